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
    /// Matrix product inside a recurrent cell, its weights used once a time step.
    Recurrent,
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
            Self::TransposedConv => "transposed_conv",
            Self::Pool => "pool",
            Self::Elementwise => "elementwise",
        }
    }

    /// Whether the layer multiplies by weights: all but pool and elementwise.
    #[must_use]
    pub fn has_weights(self) -> bool {
        !matches!(self, Self::Pool | Self::Elementwise)
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
    groups: Option<u32>,
    inputs: Option<Vec<String>>,
}

/// One layer of an [`Application`](super::Application), checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Unique name, and the name of the tensor the layer produces.
    pub name: String,
    /// What the layer computes.
    pub kind: LayerKind,
    /// Shape of the input, concatenated where there are several producers (elementwise: of a full operand).
    pub input: Shape,
    /// Shape of the output.
    pub output: Shape,
    /// Height and width of the kernel or pooling window.
    pub kernel: [u32; 2],
    /// Vertical and horizontal stride; of a transposed convolution, its upscaling.
    pub stride: [u32; 2],
    /// Groups of channels convolved apart: the input channels for depthwise, 1 where there are none.
    pub groups: u32,
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
        let LayerText { name, kind, input, output, kernel, stride, groups, .. } = text;
        let invalid =
            |field: &str, problem: String| Error::Configuration(format!("{place}: {field}: {problem}"));
        let windowed = !kind.is_fully_connected() && kind != LayerKind::Elementwise;
        for (field, given) in [("kernel", kernel.is_some()), ("stride", stride.is_some())] {
            if given && !windowed {
                return Err(invalid(
                    field,
                    format!("a layer of kind {} has none; leave it out", kind.name()),
                ));
            }
        }
        let kernel = kernel.unwrap_or([1, 1]);
        let stride = stride.unwrap_or([1, 1]);
        let default_groups = if kind == LayerKind::Depthwise { input[2] } else { 1 };
        let groups = groups.unwrap_or(default_groups);
        let sizes: [(&str, &[u32]); 5] = [
            ("input", &input),
            ("output", &output),
            ("kernel", &kernel),
            ("stride", &stride),
            ("groups", &[groups]),
        ];
        for (field, values) in sizes {
            if values.contains(&0) {
                return Err(invalid(field, format!("found {values:?}, every size must be at least 1")));
            }
        }
        if !matches!(kind, LayerKind::Conv | LayerKind::TransposedConv) && groups != default_groups {
            let expected = format!("a layer of kind {} has {default_groups}, found {groups}", kind.name());
            return Err(invalid("groups", expected));
        }
        if input[2] % groups != 0 || output[2] % groups != 0 {
            let [from, to] = [input[2], output[2]];
            return Err(invalid("groups", format!("{groups} does not divide both {from} and {to} channels")));
        }
        check_output(kind, input, output, kernel, stride).map_err(|problem| invalid("output", problem))?;
        check_sources(kind, input, sources).map_err(|problem| invalid("inputs", problem))?;

        let counts = || -> Option<[u64; 5]> {
            let window = product(&kernel)?;
            let from = product(&input)?;
            let to = product(&output)?;
            let weights = match kind {
                LayerKind::Pool | LayerKind::Elementwise => 0,
                LayerKind::Dense | LayerKind::Recurrent => from.checked_mul(to)?,
                LayerKind::Conv | LayerKind::Depthwise | LayerKind::TransposedConv => {
                    window.checked_mul(product(&[input[2] / groups, output[2]])?)?
                }
            };
            let uses = match kind {
                LayerKind::Dense | LayerKind::Recurrent => 1,
                LayerKind::TransposedConv => product(&input[..2])?,
                _ => product(&output[..2])?,
            };
            let vector = match kind {
                LayerKind::Pool => to.checked_mul(window)?,
                LayerKind::Elementwise => to.checked_mul(sources.len() as u64)?,
                _ => 0,
            };
            let read =
                sources.iter().try_fold(0_u64, |sum, source| sum.checked_add(product(&source.shape)?))?;
            Some([read, to, weights, weights.checked_mul(uses)?, vector])
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
            groups,
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

/// What is wrong with `output`, if anything.
fn check_output(
    kind: LayerKind,
    input: Shape,
    output: Shape,
    kernel: [u32; 2],
    stride: [u32; 2],
) -> std::result::Result<(), String> {
    match kind {
        LayerKind::Elementwise if output != input => {
            return Err(format!(
                "found {output:?}, an elementwise layer keeps the shape of its input, {input:?}"
            ));
        }
        LayerKind::Dense | LayerKind::Recurrent if output[..2] != [1, 1] => {
            return Err(format!("found {output:?}, a {} layer produces [1, 1, units]", kind.name()));
        }
        LayerKind::Pool if output[2] != input[2] => {
            return Err(format!("found {} channels, a pool keeps its input's {}", output[2], input[2]));
        }
        _ => {}
    }
    if kind.is_fully_connected() || kind == LayerKind::Elementwise {
        return Ok(());
    }
    for axis in 0..2 {
        let [from, to, kernel, stride] =
            [input[axis], output[axis], kernel[axis], stride[axis]].map(i128::from);
        // From no padding to as much as keeps at least one input element under the kernel.
        let (least, most) = if kind == LayerKind::TransposedConv {
            ((from - 1) * stride + 1, (from - 1) * stride + kernel.max(stride))
        } else {
            ((from - kernel).div_euclid(stride) + 1, (from + kernel - 2) / stride + 1)
        };
        let least = least.max(1);
        if !(least..=most).contains(&to) {
            let axis = ["height", "width"][axis];
            return Err(format!(
                "found a {axis} of {to}; an input of {from}, a kernel of {kernel} and a stride of {stride} \
                 give {least} to {most}, by the padding"
            ));
        }
    }
    Ok(())
}

/// What is wrong with the tensors that a layer of this kind and input shape reads, if anything.
fn check_sources(kind: LayerKind, input: Shape, sources: &[Source]) -> std::result::Result<(), String> {
    let found = || {
        let list: Vec<String> =
            sources.iter().map(|source| format!("{} {:?}", source.name, source.shape)).collect();
        list.join(", ")
    };
    if kind == LayerKind::Elementwise {
        let gate = [1, 1, input[2]];
        let operand = |source: &Source| source.shape == input || source.shape == gate;
        if sources.iter().all(operand) && sources.iter().any(|source| source.shape == input) {
            return Ok(());
        }
        return Err(format!(
            "found {}, each must be {input:?} or a gate of {gate:?}, and one {input:?}",
            found()
        ));
    }
    let elements = || sources.iter().try_fold(0_u64, |sum, source| sum.checked_add(product(&source.shape)?));
    if kind.is_fully_connected() && elements().is_some_and(|elements| Some(elements) == product(&input)) {
        return Ok(());
    }
    let channels: u64 = sources.iter().map(|source| u64::from(source.shape[2])).sum();
    if sources.iter().all(|source| source.shape[..2] == input[..2]) && channels == u64::from(input[2]) {
        return Ok(());
    }
    Err(format!("found {}, together they must be the input, {input:?}", found()))
}
