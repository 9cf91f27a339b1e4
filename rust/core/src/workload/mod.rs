//! Applications: neural networks as lists of layers, one int8 byte an element.
//!
//! Conventions of the application files (`data/applications/*.toml`):
//!
//! - Shapes are `[height, width, channels]` of one inference (batch 1). `kernel` and `stride` are `[1, 1]`
//!   unless given. Any padding is accepted that keeps the kernel on the input.
//! - A layer reads the tensors that `inputs` names, else the previous layer's output. `"input"` is the
//!   network's input; `"state"` is a tensor carried over from the previous time step, in the shape of the
//!   layer's input. Layers run in file order, so producers come first.
//! - Several inputs are concatenated along their channels, except for `elementwise`, where each has the shape
//!   of the output or 1 in place of some of its sizes, as a gate of `[1, 1, channels]` has. `dense` and
//!   `recurrent` flatten their input.
//! - `dilation` spreads a kernel's taps, `groups` divides the channels of a `conv` or `transposed_conv`. What has
//!   one spatial dimension lies along the width, so that it has a row buffer.
//! - `matmul` multiplies two activations, `groups` of them side by side (batch, attention heads): `input` is the
//!   first operand, `[rows, columns, groups x inner]`, `output` is `[rows, columns, groups x units]`, and the second
//!   operand has `inner x groups x units` elements. It has no weights.
//! - `view = true`: the input is made of the elements of the named tensors by reshaping, transposing, slicing,
//!   joining, padding or repeating, which costs nothing. What is read is the tensors or the input, whichever is
//!   less (`elementwise`: of each operand).
//! - Activations, batch normalisation and biases belong to the layer they follow. Squeeze-and-excite is
//!   `pool`, two `dense` and an `elementwise` scale; a residual connection is an `elementwise` of two inputs.
//!   A recurrent network runs one time step an inference, or several: a `recurrent` layer from
//!   `[steps, 1, features]` to `[steps, 1, units]` runs once a step, one after the other.
//!
//! Parameters are weights only, a byte each; biases are left out, as in the published tables, whose megabyte
//! is 2^20 bytes. A multiply-accumulate counts once; those on a convolution's padding count too.

mod application;
mod layer;

pub use application::{Application, Totals};
pub use layer::{Layer, LayerKind, Producer, Shape};

use crate::error::{Error, Result};
use crate::suggest::did_you_mean;

macro_rules! bundled {
    ($($name:literal: $file:literal),* $(,)?) => {
        [$(($name, $file, include_str!(concat!("../../data/applications/", $file)))),*]
    };
}

/// How many of `BUNDLED`, its first, are applications of the PRIME paper.
const PRIME: usize = 9;

/// Name, file name and text of each application that ships with the crate: PRIME's in the order of the paper,
/// then the others.
const BUNDLED: [(&str, &str, &str); PRIME + 7] = bundled! {
    "MobileNetEdgeTPU": "mobilenet_edgetpu.toml",
    "MobileNetV2": "mobilenet_v2.toml",
    "MobileNetV3": "mobilenet_v3.toml",
    "M4": "m4.toml",
    "M5": "m5.toml",
    "M6": "m6.toml",
    "U-Net": "u_net.toml",
    "t-RNN Dec": "t_rnn_dec.toml",
    "t-RNN Enc": "t_rnn_enc.toml",
    "MobileNetV1": "mobilenet_v1.toml",
    "SqueezeNet": "squeezenet.toml",
    "Inception v1": "inception_v1.toml",
    "ResNet-18": "resnet_18.toml",
    "ResNet-50": "resnet_50.toml",
    "VGG16": "vgg16.toml",
    "EfficientNet-EdgeTPU-S": "efficientnet_edgetpu_s.toml",
};

/// Names of the applications that ship with the crate, the nine of [`prime_names`] first.
pub fn bundled_names() -> impl Iterator<Item = &'static str> + Clone {
    BUNDLED.iter().map(|&(name, ..)| name)
}

/// Names of the nine applications of the PRIME paper (Kumar et al. 2022, arXiv 2110.11346), in its order.
pub fn prime_names() -> impl Iterator<Item = &'static str> + Clone {
    bundled_names().take(PRIME)
}

/// File name and text of the application of this name that ships with the crate; upper and lower case are the same.
pub fn bundled_file(name: &str) -> Result<(&'static str, &'static str)> {
    let found = BUNDLED.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
    found.map(|&(_, file, text)| (file, text)).ok_or_else(|| {
        let known: Vec<&str> = bundled_names().collect();
        let hint = did_you_mean(name, bundled_names());
        Error::Configuration(format!("unknown application {name:?}{hint}; known: {}", known.join(", ")))
    })
}

impl Application {
    /// The application of this name that ships with the crate; upper and lower case are the same.
    pub fn bundled(name: &str) -> Result<Self> {
        let (file, text) = bundled_file(name)?;
        Self::from_toml(text, file)
    }
}
