//! A recipe: how a code becomes a picture, step by step, for networks that no family's own file describes.
//!
//! Pure data without tensors. A recipe names tensors as the network names its own parameters (`main.0.weight`, also where a
//! file has `main.0.weight_orig` and the vectors of a spectral norm, or an ONNX initialiser of any name). Where each part of
//! it comes from is said by [`Fact`]s. What a file states is handed over as [`Stated`]: a whole recipe, or modules.
//!
//! Recipes are read from files, so they are hostile input: [`Recipe::parse`] and deserialising check every number and
//! length. Whether the tensors fit is checked when the network is built (`generator/chain`).
//!
//! To add a step: a variant of [`Step`], its tensors in `recipe/check.rs`, its arithmetic in `generator/chain`.

mod check;
mod facts;

use serde::{Deserialize, Serialize};

pub use check::{MAX_JSON, MAX_STEPS, RecipeError};
pub use facts::{Fact, Source, Stated, StatedModule, StatedValue};

/// The version that is written; older ones are read.
pub const VERSION: u32 = 1;

/// A network from z to a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Recipe {
    pub version: u32,
    pub prior: Prior,
    /// Width of z, without anything joined to it.
    pub z_dim: usize,
    /// Number of classes; the steps say where the class enters ([`Input::Class`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
    /// From z `[N, z_dim]` on.
    pub steps: Vec<Step>,
    /// Channels (1, 3 or 4), height and width of what the last step makes. A vector of as many numbers is
    /// read as such a picture.
    pub picture: [usize; 3],
    pub range: Range,
    /// Batch norms use mean and variance of the drawn batch, as in training, in place of the stored ones.
    #[serde(default, skip_serializing_if = "is_default")]
    pub batch_statistics: bool,
}

/// The distribution that z is drawn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Prior {
    /// Standard normal.
    #[default]
    Normal,
    Uniform {
        low: f32,
        high: f32,
    },
    /// Standard normal within +-limit.
    TruncatedNormal {
        limit: f32,
    },
}

/// What the numbers of the network's output mean; the product's pictures are -1..1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Range {
    #[default]
    #[serde(rename = "-1..1")]
    Signed,
    /// Shown as 2x - 1.
    #[serde(rename = "0..1")]
    Unit,
    /// 0..1 after a sigmoid that is not part of the network.
    #[serde(rename = "logits")]
    Logits,
}

impl Range {
    /// A number of the product's picture as the network makes it; logits stay 0..1.
    pub fn own(self, x: f32) -> f32 {
        match self {
            Range::Signed => x,
            Range::Unit | Range::Logits => (x + 1.0) / 2.0,
        }
    }
}

/// One step. Vectors are `[N, features]`, maps `[N, channels, height, width]`; pairs are (height, width).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// W x + b on vectors; maps are flattened first.
    Linear {
        weight: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bias: Option<String>,
        /// W is stored `[in, out]` (Keras, ONNX MatMul) instead of `[out, in]`.
        #[serde(default, skip_serializing_if = "is_default")]
        transposed: bool,
    },
    /// A row of a table `[classes, width]` for a class; the row of a mixture is the mixture of rows.
    Embedding {
        weight: String,
    },
    /// A vector as a map.
    Reshape {
        /// Channels, height, width.
        shape: [usize; 3],
        /// The vector is in the order height, width, channels (Keras).
        #[serde(default, skip_serializing_if = "is_default")]
        channels_last: bool,
    },
    /// A map as a vector.
    Flatten {
        /// The vector gets the order height, width, channels (Keras).
        #[serde(default, skip_serializing_if = "is_default")]
        channels_last: bool,
    },
    /// Correlation; a vector is a map of one pixel.
    Conv(Conv),
    /// PyTorch's ConvTranspose2d; a vector is a map of one pixel.
    ConvTranspose(ConvTranspose),
    Resize {
        size: Size,
        method: Resizing,
    },
    /// `[r*r*C, H, W]` -> `[C, r*H, r*W]` as in PyTorch.
    PixelShuffle {
        factor: usize,
    },
    /// Adds to (or with negative numbers, cuts from) top, bottom, left and right.
    Pad {
        sides: [i32; 4],
        #[serde(default, skip_serializing_if = "is_default")]
        mode: Padding,
    },
    /// (x - mean) / sqrt(variance + epsilon) * weight + bias, per channel or feature.
    BatchNorm {
        mean: String,
        variance: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weight: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bias: Option<String>,
        epsilon: f64,
    },
    /// Over everything but N, or over the channels at each place.
    LayerNorm {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weight: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bias: Option<String>,
        epsilon: f64,
        #[serde(default, skip_serializing_if = "is_default")]
        over_channels: bool,
    },
    InstanceNorm {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weight: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bias: Option<String>,
        epsilon: f64,
    },
    GroupNorm {
        groups: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weight: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bias: Option<String>,
        epsilon: f64,
    },
    /// x / sqrt(mean of x^2 over channels + epsilon)
    PixelNorm {
        epsilon: f64,
    },
    Activation {
        function: Activation,
    },
    /// x * factor + offset
    Scale {
        factor: f32,
        offset: f32,
    },
    /// Several ways from here on, joined again: residual blocks, classes beside z.
    Join {
        how: Joining,
        branches: Vec<Branch>,
    },
}

/// See [`Step::Conv`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv {
    /// `[out, in / groups, kh, kw]`
    pub weight: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<String>,
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub stride: [usize; 2],
    /// Top, bottom, left, right.
    #[serde(default, skip_serializing_if = "is_default")]
    pub padding: [usize; 4],
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub dilation: [usize; 2],
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub groups: usize,
    #[serde(default, skip_serializing_if = "is_default")]
    pub padding_mode: Padding,
}

/// See [`Step::ConvTranspose`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvTranspose {
    /// `[in, out / groups, kh, kw]`
    pub weight: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<String>,
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub stride: [usize; 2],
    /// Cut from top, bottom, left and right of the full result, whose sides are `(n - 1) * stride + dilation * (k - 1) + 1`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub padding: [usize; 4],
    /// Rows added at the bottom and columns added at the right of that, as PyTorch does.
    #[serde(default, skip_serializing_if = "is_default")]
    pub output_padding: [usize; 2],
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub dilation: [usize; 2],
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub groups: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// floor(side * factor)
    Times([f64; 2]),
    To([usize; 2]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Resizing {
    Nearest,
    /// Clamped at the edges.
    Bilinear {
        align_corners: bool,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    #[default]
    Zeros,
    Reflect,
    Replicate,
    Circular,
}

/// Functions of one number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Activation {
    None,
    Relu,
    LeakyRelu {
        slope: f32,
    },
    Elu {
        alpha: f32,
    },
    Selu,
    Gelu {
        /// The approximation through tanh.
        tanh: bool,
    },
    Silu,
    /// One slope, or one per channel.
    Prelu {
        weight: String,
    },
    Tanh,
    Sigmoid,
    Softplus,
    Clamp {
        low: f32,
        high: f32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Joining {
    Sum,
    Product,
    /// Features of vectors or channels of maps, in the order of the branches.
    Concat,
}

/// One way of a [`Step::Join`]; without steps it hands its input on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    #[serde(default, skip_serializing_if = "is_default")]
    pub input: Input,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// What the step before the join made.
    #[default]
    Flow,
    Z,
    /// The class as a vector with a 1 at its place, `[N, classes]`.
    Class,
}

impl Step {
    /// branch(x) + shortcut(x); a shortcut without steps is x itself.
    pub fn residual(branch: Vec<Step>, shortcut: Vec<Step>) -> Step {
        let branches = [branch, shortcut].map(|steps| Branch { input: Input::Flow, steps });
        Step::Join { how: Joining::Sum, branches: branches.into() }
    }

    /// z and a class joined as the first step; `class` are the steps from the class to what is joined (an
    /// [`Step::Embedding`], or none).
    pub fn with_class(how: Joining, class: Vec<Step>, class_first: bool) -> Step {
        let mut branches =
            vec![Branch { input: Input::Z, steps: vec![] }, Branch { input: Input::Class, steps: class }];
        if class_first {
            branches.reverse();
        }
        Step::Join { how, branches }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn ones() -> [usize; 2] {
    [1, 1]
}

fn are_ones(pair: &[usize; 2]) -> bool {
    *pair == [1, 1]
}

fn one() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_one(number: &usize) -> bool {
    *number == 1
}
