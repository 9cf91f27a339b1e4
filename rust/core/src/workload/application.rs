//! A network of layers read from TOML, checked, with what follows from its wiring.

use std::collections::HashMap;

use serde::Deserialize;

use super::layer::{Layer, LayerKind, LayerText, Producer, Shape, Source};
use crate::error::{Error, Result};
use crate::suggest::did_you_mean;

/// Name of the network's input among a layer's `inputs`.
const INPUT: &str = "input";
/// Name of a tensor carried over from the previous time step among a layer's `inputs`.
const STATE: &str = "state";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplicationText {
    name: String,
    title: String,
    source: String,
    #[serde(default)]
    stand_in: bool,
    input: Shape,
    layer: Vec<toml::Table>,
}

/// A neural network as the simulator sees it: layers in the order in which they run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Short name, by which it is asked for.
    pub name: String,
    /// One line that says what the network is.
    pub title: String,
    /// Where the definition comes from.
    pub source: String,
    /// Whether the network stands in for one that is not public.
    pub stand_in: bool,
    /// Shape of the network's input.
    pub input: Shape,
    layers: Vec<Layer>,
    totals: Totals,
}

/// Sums over the layers of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Convolutions, grouped and transposed ones among them, depthwise ones apart.
    pub conv_layers: usize,
    /// Depthwise convolutions.
    pub depthwise_layers: usize,
    /// Dense and recurrent layers.
    pub feed_forward_layers: usize,
    /// Recurrent layers alone.
    pub recurrent_layers: usize,
    /// Bytes of all weights.
    pub parameter_bytes: u64,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
    /// Operations of pools and elementwise layers.
    pub vector_operations: u64,
    /// Bytes that layers read and write, but for weights.
    pub activation_bytes: u64,
    /// The most of them in one layer.
    pub largest_activation_bytes: u64,
    /// The most bytes of weights in one layer.
    pub largest_parameter_bytes: u64,
    /// The most multiply-accumulates in one layer.
    pub largest_macs: u64,
}

impl Application {
    /// Parses and checks an application file; `origin` names it in errors.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        let ApplicationText { name, title, source, stand_in, input, layer } =
            toml::from_str(text).map_err(|error| {
                let start = error.span().map_or(0, |span| span.start);
                let line = text.bytes().take(start).filter(|&byte| byte == b'\n').count() + 1;
                Error::Configuration(format!("{origin}, line {line}: {}", error.message()))
            })?;
        if input.contains(&0) {
            let problem = format!("{origin}: input: found {input:?}, every size must be at least 1");
            return Err(Error::Configuration(problem));
        }
        if layer.is_empty() {
            return Err(Error::Configuration(format!(
                "{origin}: layer: found no layer, at least one is needed"
            )));
        }
        let layers = read_layers(layer, input, origin)?;
        if !layers.iter().any(|layer| layer.producers.contains(&Producer::Input)) {
            return Err(Error::Configuration(format!("{origin}: input: no layer reads it")));
        }
        let totals = Totals::new(&layers)
            .ok_or_else(|| Error::Configuration(format!("{origin}: the layers' sums exceed 2^64")))?;
        Ok(Self { name, title, source, stand_in, input, layers, totals })
    }

    /// The layers in the order in which they run.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Sums over the layers.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// For each layer, the bytes of tensors that must be kept across it: made before it (the network's input
    /// before the first layer), read by a later layer, neither read nor written by it.
    ///
    /// Outputs of the network and carried state leave at once and do not count.
    #[must_use]
    pub fn live_bytes(&self) -> Vec<u64> {
        let mut live = vec![0; self.layers.len()];
        let input_bytes = self.input.iter().map(|&size| u64::from(size)).product();
        let outputs = self.layers.iter().enumerate();
        let outputs = outputs.map(|(index, layer)| (Producer::Layer(index), index + 1, layer.output_bytes()));
        for (tensor, first, bytes) in std::iter::once((Producer::Input, 0, input_bytes)).chain(outputs) {
            let reads = |layer: &Layer| layer.producers.contains(&tensor);
            let last = self.layers.iter().rposition(reads).unwrap_or(first);
            for (layer, live) in self.layers.iter().zip(&mut live).take(last).skip(first) {
                if !reads(layer) {
                    *live += bytes;
                }
            }
        }
        live
    }
}

impl Totals {
    fn new(layers: &[Layer]) -> Option<Self> {
        let mut totals = Self::default();
        for layer in layers {
            match layer.kind {
                LayerKind::Conv | LayerKind::TransposedConv => totals.conv_layers += 1,
                LayerKind::Depthwise => totals.depthwise_layers += 1,
                LayerKind::Dense | LayerKind::Recurrent => totals.feed_forward_layers += 1,
                LayerKind::Matmul | LayerKind::Pool | LayerKind::Elementwise => {}
            }
            totals.recurrent_layers += usize::from(layer.kind == LayerKind::Recurrent);
            totals.parameter_bytes = totals.parameter_bytes.checked_add(layer.parameter_bytes())?;
            totals.macs = totals.macs.checked_add(layer.macs())?;
            totals.vector_operations = totals.vector_operations.checked_add(layer.vector_operations())?;
            // That their sum fits keeps every sum of live tensors in range.
            let activation_bytes = layer.input_bytes().checked_add(layer.output_bytes())?;
            totals.activation_bytes = totals.activation_bytes.checked_add(activation_bytes)?;
            totals.largest_activation_bytes = totals.largest_activation_bytes.max(activation_bytes);
            totals.largest_parameter_bytes = totals.largest_parameter_bytes.max(layer.parameter_bytes());
            totals.largest_macs = totals.largest_macs.max(layer.macs());
        }
        Some(totals)
    }
}

/// Reads the layers in order, each against the tensors made before it.
fn read_layers(tables: Vec<toml::Table>, input: Shape, origin: &str) -> Result<Vec<Layer>> {
    let mut layers: Vec<Layer> = Vec::with_capacity(tables.len());
    let mut made: HashMap<String, usize> = HashMap::new();
    for (index, table) in tables.into_iter().enumerate() {
        let place = match table.get("name").and_then(toml::Value::as_str) {
            Some(name) => format!("{origin}: layer {name:?}"),
            None => format!("{origin}: layer {}", index + 1),
        };
        let text = LayerText::deserialize(table).map_err(|error| {
            let problem = error.to_string();
            let problem = problem.split_whitespace().collect::<Vec<_>>().join(" ");
            Error::Configuration(format!("{place}: {problem}"))
        })?;
        let name = text.name().to_owned();
        let invalid =
            |field: &str, problem: String| Error::Configuration(format!("{place}: {field}: {problem}"));
        if name.is_empty() || name == INPUT || name == STATE {
            return Err(invalid(
                "name",
                format!("found {name:?}, it must not be empty, {INPUT:?} or {STATE:?}"),
            ));
        }
        if let Some(other) = made.get(&name) {
            return Err(invalid("name", format!("layers {} and {} both bear it", other + 1, index + 1)));
        }
        let mut sources: Vec<Source> = Vec::new();
        let names = text.inputs(layers.last().map_or(INPUT, |layer| &layer.name));
        if names.is_empty() {
            return Err(invalid("inputs", "found none, at least one is needed".to_owned()));
        }
        for producer_name in names {
            if sources.iter().any(|source| source.name == producer_name) {
                return Err(invalid("inputs", format!("{producer_name:?} is listed twice")));
            }
            let (producer, shape) = match producer_name.as_str() {
                INPUT => (Producer::Input, input),
                STATE => (Producer::State, text.input()),
                other => {
                    let producer = *made.get(other).ok_or_else(|| {
                        let hint = did_you_mean(other, layers.iter().map(|layer| layer.name.as_str()));
                        invalid("inputs", format!("{other:?} is no earlier layer{hint}"))
                    })?;
                    (Producer::Layer(producer), layers[producer].output)
                }
            };
            sources.push(Source { name: producer_name, producer, shape });
        }
        made.insert(name, index);
        layers.push(Layer::new(text, &sources, &place)?);
    }
    Ok(layers)
}
