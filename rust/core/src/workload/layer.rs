//! One layer: its shapes, whether they make sense, and the work and bytes that follow from them.

use serde::Deserialize;

use crate::error::{Error, Result};

/// Height, width and channels of a tensor.
pub type Shape = [u32; 3];

/// What a layer computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerKind {
    /// Convolution, grouped or not.
    Conv,
    /// Convolution of every channel by itself.
    Depthwise,
    /// Fully connected layer over the flattened input.
    Dense,
    /// Matrix product inside a recurrent cell, its weights used once a time step; the steps are output rows.
    Recurrent,
    /// Product of two activations, `groups` of them side by side: no weights.
    Matmul,
    /// Convolution whose output is `stride` times as large as its input.
    TransposedConv,
    /// Maximum or mean over a window.
    Pool,
    /// Addition, product or activation, element by element.
    Elementwise,
}

impl LayerKind {
    /// The name used in application files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Conv => "conv",
            Self::Depthwise => "depthwise",
            Self::Dense => "dense",
            Self::Recurrent => "recurrent",
            Self::Matmul => "matmul",
            Self::TransposedConv => "transposed_conv",
            Self::Pool => "pool",
            Self::Elementwise => "elementwise",
        }
    }

    /// Whether the layer multiplies and accumulates: all but pool and elementwise.
    #[must_use]
    pub fn multiplies(self) -> bool {
        !matches!(self, Self::Pool | Self::Elementwise)
    }

    /// Whether the layer multiplies by weights: a matmul multiplies by a second activation.
    #[must_use]
    pub fn has_weights(self) -> bool {
        self.multiplies() && self != Self::Matmul
    }

    /// Whether the layer moves a window over its input.
    fn has_window(self) -> bool {
        matches!(self, Self::Conv | Self::Depthwise | Self::TransposedConv | Self::Pool)
    }

    /// Whether every output depends on every input: dense and recurrent.
    #[must_use]
    pub fn is_fully_connected(self) -> bool {
        matches!(self, Self::Dense | Self::Recurrent)
    }
}

/// Where an input of a layer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Producer {
    /// The input of the network.
    Input,
    /// A tensor carried over from the previous time step.
    State,
    /// The output of the layer of this index.
    Layer(usize),
}

/// A layer as written in an application file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LayerText {
    name: String,
    kind: LayerKind,
    input: Shape,
    output: Shape,
    kernel: Option<[u32; 2]>,
    stride: Option<[u32; 2]>,
    dilation: Option<[u32; 2]>,
    groups: Option<u32>,
    inputs: Option<Vec<String>>,
    #[serde(default)]
    view: bool,
}

/// One layer of an [`Application`](super::Application), checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Unique name, and the name of the tensor the layer produces.
    pub name: String,
    /// What the layer computes.
    pub kind: LayerKind,
    /// Shape of the input, concatenated where there are several producers (elementwise: of a full operand;
    /// matmul: of the first operand).
    pub input: Shape,
    /// Shape of the output.
    pub output: Shape,
    /// Height and width of the kernel or pooling window.
    pub kernel: [u32; 2],
    /// Vertical and horizontal stride; of a transposed convolution, its upscaling.
    pub stride: [u32; 2],
    /// Vertical and horizontal distance of the kernel's taps.
    pub dilation: [u32; 2],
    /// Groups of channels convolved apart: the input channels for depthwise, 1 where there are none.
    pub groups: u32,
    /// Whether the input is made of the producers' elements by reshaping, slicing, padding or repeating them.
    pub view: bool,
    /// Names of the producers of the inputs.
    pub inputs: Vec<String>,
    /// The producers that `inputs` names.
    pub producers: Vec<Producer>,
    input_bytes: u64,
    output_bytes: u64,
    parameter_bytes: u64,
    macs: u64,
    vector_operations: u64,
}

impl Layer {
    /// Bytes of all inputs together.
    #[must_use]
    pub fn input_bytes(&self) -> u64 {
        self.input_bytes
    }

    /// Bytes of the output.
    #[must_use]
    pub fn output_bytes(&self) -> u64 {
        self.output_bytes
    }

    /// Bytes of the weights, biases left out.
    #[must_use]
    pub fn parameter_bytes(&self) -> u64 {
        self.parameter_bytes
    }

    /// Time steps of one inference, which run one after the other: 1 but for recurrent layers.
    #[must_use]
    pub fn steps(&self) -> u32 {
        if self.kind == LayerKind::Recurrent { self.output[0] } else { 1 }
    }

    /// Multiply-accumulates of one inference; 0 for pool and elementwise.
    #[must_use]
    pub fn macs(&self) -> u64 {
        self.macs
    }

    /// Operations of a layer without weights: window elements read by a pool, operands read by an elementwise
    /// layer. 0 for all others.
    #[must_use]
    pub fn vector_operations(&self) -> u64 {
        self.vector_operations
    }

    /// Checks `text` by itself and against the tensors `inputs` (names, producers, shapes) it reads.
    ///
    /// `place` names the file and the layer for errors.
    pub(super) fn new(text: LayerText, sources: &[Source], place: &str) -> Result<Self> {
        let LayerText { name, kind, input, output, kernel, stride, dilation, groups, view, .. } = text;
        let invalid =
            |field: &str, problem: String| Error::Configuration(format!("{place}: {field}: {problem}"));
        let windows = [("kernel", kernel), ("stride", stride), ("dilation", dilation)];
        if let Some((field, _)) = windows.iter().find(|(_, given)| given.is_some() && !kind.has_window()) {
            return Err(invalid(field, format!("a layer of kind {} has none; leave it out", kind.name())));
        }
        let [kernel, stride, dilation] = windows.map(|(_, given)| given.unwrap_or([1, 1]));
        let default_groups = if kind == LayerKind::Depthwise { input[2] } else { 1 };
        let groups = groups.unwrap_or(default_groups);
        let sizes: [(&str, &[u32]); 6] = [
            ("input", &input),
            ("output", &output),
            ("kernel", &kernel),
            ("stride", &stride),
            ("dilation", &dilation),
            ("groups", &[groups]),
        ];
        for (field, values) in sizes {
            if values.contains(&0) {
                return Err(invalid(field, format!("found {values:?}, every size must be at least 1")));
            }
        }
        let grouped = matches!(kind, LayerKind::Conv | LayerKind::TransposedConv | LayerKind::Matmul);
        if !grouped && groups != default_groups {
            let expected = format!("a layer of kind {} has {default_groups}, found {groups}", kind.name());
            return Err(invalid("groups", expected));
        }
        if input[2] % groups != 0 || output[2] % groups != 0 {
            let [from, to] = [input[2], output[2]];
            return Err(invalid("groups", format!("{groups} does not divide both {from} and {to} channels")));
        }
        let reach = [0, 1].map(|axis| (i128::from(kernel[axis]) - 1) * i128::from(dilation[axis]) + 1);
        check_output(kind, input, output, reach, stride).map_err(|problem| invalid("output", problem))?;
        let second =
            if kind == LayerKind::Matmul { product(&[input[2] / groups, output[2]]) } else { Some(0) };
        if !view {
            check_sources(kind, input, second, sources).map_err(|problem| invalid("inputs", problem))?;
        }

        let counts = || -> Option<[u64; 5]> {
            let window = product(&kernel)?;
            let from = product(&input)?;
            let to = product(&output)?;
            let second = second?;
            let factors = match kind {
                LayerKind::Pool | LayerKind::Elementwise => 0,
                LayerKind::Dense => from.checked_mul(to)?,
                // A step has its share of the input and of the output.
                LayerKind::Recurrent => (from / u64::from(output[0])).checked_mul(u64::from(output[2]))?,
                LayerKind::Matmul => second,
                LayerKind::Conv | LayerKind::Depthwise | LayerKind::TransposedConv => {
                    window.checked_mul(product(&[input[2] / groups, output[2]])?)?
                }
            };
            let uses = match kind {
                LayerKind::Dense => 1,
                LayerKind::TransposedConv => product(&input[..2])?,
                _ => product(&output[..2])?,
            };
            let vector = match kind {
                LayerKind::Pool => to.checked_mul(window)?,
                LayerKind::Elementwise => to.checked_mul(sources.len() as u64)?,
                _ => 0,
            };
            // A view reads no more than there is, and no more than it needs.
            let operand = if view { from } else { u64::MAX };
            let most = if kind == LayerKind::Elementwise { u64::MAX } else { operand };
            let read = sources.iter().try_fold(0_u64, |sum, source| {
                let bytes = product(&source.shape)?;
                sum.checked_add(if kind == LayerKind::Elementwise { bytes.min(operand) } else { bytes })
            })?;
            let read = read.min(most.saturating_add(second));
            let weights = if kind.has_weights() { factors } else { 0 };
            Some([read, to, weights, factors.checked_mul(uses)?, vector])
        };
        let [input_bytes, output_bytes, parameter_bytes, macs, vector_operations] =
            counts().ok_or_else(|| {
                invalid("input", format!("{input:?} to {output:?} takes more than 2^64 operations"))
            })?;
        Ok(Self {
            name,
            kind,
            input,
            output,
            kernel,
            stride,
            dilation,
            groups,
            view,
            inputs: sources.iter().map(|source| source.name.clone()).collect(),
            producers: sources.iter().map(|source| source.producer).collect(),
            input_bytes,
            output_bytes,
            parameter_bytes,
            macs,
            vector_operations,
        })
    }
}

impl LayerText {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The named inputs, or `default` where the file names none.
    pub(super) fn inputs(&self, default: &str) -> Vec<String> {
        self.inputs.clone().unwrap_or_else(|| vec![default.to_owned()])
    }

    /// Shape of the carried tensor where the layer reads one: that of its input.
    pub(super) fn input(&self) -> Shape {
        self.input
    }
}

/// A tensor that a layer reads.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) producer: Producer,
    pub(super) shape: Shape,
}

/// Product without overflow.
fn product(sizes: &[u32]) -> Option<u64> {
    sizes.iter().try_fold(1_u64, |product, &size| product.checked_mul(u64::from(size)))
}

/// What is wrong with `output`, if anything; the taps of a kernel span `reach`.
fn check_output(
    kind: LayerKind,
    input: Shape,
    output: Shape,
    reach: [i128; 2],
    stride: [u32; 2],
) -> std::result::Result<(), String> {
    match kind {
        LayerKind::Elementwise if output != input => {
            return Err(format!(
                "found {output:?}, an elementwise layer keeps the shape of its input, {input:?}"
            ));
        }
        LayerKind::Dense if output[..2] != [1, 1] => {
            return Err(format!("found {output:?}, a dense layer produces [1, 1, units]"));
        }
        LayerKind::Recurrent if output[..2] != [1, 1] && output[..2] != [input[0], 1] => {
            return Err(format!(
                "found {output:?}, a recurrent layer produces [1, 1, units], or [steps, 1, units] of an input of \
                 [steps, 1, features]"
            ));
        }
        LayerKind::Recurrent if output[0] > 1 && input[1] > 1 => {
            return Err(format!(
                "found {output:?}, several steps need an input of [steps, 1, features], not {input:?}"
            ));
        }
        LayerKind::Matmul if output[..2] != input[..2] => {
            return Err(format!(
                "found {output:?}, a matmul keeps the height and width of its input, {input:?}"
            ));
        }
        LayerKind::Pool if output[2] != input[2] => {
            return Err(format!("found {} channels, a pool keeps its input's {}", output[2], input[2]));
        }
        _ => {}
    }
    if !kind.has_window() {
        return Ok(());
    }
    for axis in 0..2 {
        let [from, to, stride] = [input[axis], output[axis], stride[axis]].map(i128::from);
        let reach = reach[axis];
        // From no padding to as much as keeps at least one input element under the kernel.
        let (least, most) = if kind == LayerKind::TransposedConv {
            ((from - 1) * stride + 2 - reach, from * stride + reach - 1)
        } else {
            ((from - reach).div_euclid(stride) + 1, (from + reach - 2) / stride + 1)
        };
        let least = least.max(1);
        if !(least..=most).contains(&to) {
            let axis = ["height", "width"][axis];
            return Err(format!(
                "found a {axis} of {to}; an input of {from}, a kernel that spans {reach} and a stride of \
                 {stride} give {least} to {most}, by the padding"
            ));
        }
    }
    Ok(())
}

/// What is wrong with the tensors that a layer of this kind and input shape reads, if anything; `second` are the
/// elements of a second operand.
fn check_sources(
    kind: LayerKind,
    input: Shape,
    second: Option<u64>,
    sources: &[Source],
) -> std::result::Result<(), String> {
    let found = || {
        let list: Vec<String> =
            sources.iter().map(|source| format!("{} {:?}", source.name, source.shape)).collect();
        list.join(", ")
    };
    if kind == LayerKind::Elementwise {
        let gate = [1, 1, input[2]];
        let operand =
            |source: &Source| source.shape.iter().zip(&input).all(|(&size, &full)| size == full || size == 1);
        if sources.iter().all(operand) && sources.iter().any(|source| source.shape == input) {
            return Ok(());
        }
        return Err(format!(
            "found {}, each must be {input:?} or have a size of 1 in its place, as a gate of {gate:?}, and one \
             {input:?}",
            found()
        ));
    }
    let elements = sources.iter().try_fold(0_u64, |sum, source| sum.checked_add(product(&source.shape)?));
    let flattens = kind.is_fully_connected() || kind == LayerKind::Matmul;
    let needed = product(&input).and_then(|first| first.checked_add(second?));
    if flattens && elements.is_some() && elements == needed {
        return Ok(());
    }
    if kind == LayerKind::Matmul {
        return Err(format!(
            "found {}, together they must be the operands, {input:?} and {} elements",
            found(),
            second.map_or("too many".to_owned(), |second| second.to_string())
        ));
    }
    let channels: u64 = sources.iter().map(|source| u64::from(source.shape[2])).sum();
    if sources.iter().all(|source| source.shape[..2] == input[..2]) && channels == u64::from(input[2]) {
        return Ok(());
    }
    Err(format!("found {}, together they must be the input, {input:?}", found()))
}
