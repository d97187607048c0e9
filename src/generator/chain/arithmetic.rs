//! The arithmetic of steps without weights, as PyTorch has it.

use std::f64::consts::FRAC_1_SQRT_2;

use burn::tensor::activation::{gelu_approximate, leaky_relu, relu, selu, sigmoid};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::super::layers::tensor;
use crate::recipe::{Padding, Resizing};

/// Functions of one number, [`crate::recipe::Activation`] with its tensors.
#[expect(clippy::large_enum_variant, reason = "one per step for the life of a model, never moved about")]
pub(super) enum Function {
    LeakyRelu(f32),
    Elu(f32),
    Selu,
    Gelu {
        tanh: bool,
    },
    Silu,
    /// Slopes `[1, 1 or C, 1, 1]`
    Prelu(Tensor<4>),
    Tanh,
    Sigmoid,
    Softplus,
    Clamp(f32, f32),
}

impl Function {
    pub(super) fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Function::LeakyRelu(0.0) => relu(x),
            Function::LeakyRelu(slope) => leaky_relu(x, f64::from(*slope)),
            Function::Elu(alpha) => {
                // The exponential of large numbers would be infinite, and infinity times zero is no number.
                let below = x.clone().clamp_max(0.0).exp().sub_scalar(1.0).mul_scalar(*alpha);
                relu(x) + below
            }
            Function::Selu => selu(x),
            Function::Gelu { tanh: true } => gelu_approximate(x),
            Function::Gelu { tanh: false } => {
                x.clone().mul_scalar(0.5) * x.mul_scalar(FRAC_1_SQRT_2).erf().add_scalar(1.0)
            }
            Function::Silu => x.clone() * sigmoid(x),
            Function::Prelu(slopes) => relu(x.clone()) - relu(x.neg()) * slopes.clone(),
            Function::Tanh => x.tanh(),
            Function::Sigmoid => sigmoid(x),
            Function::Softplus => relu(x.clone()) + x.abs().neg().exp().log1p(),
            Function::Clamp(low, high) => x.clamp(*low, *high),
        }
    }
}

/// Rows or columns of a map made from others: copies, or mixtures of two.
pub(super) struct Gather {
    axis: usize,
    first: Tensor<1, Int>,
    /// The second row of each mixture, and its share `[1, 1, n, 1]` or `[1, 1, 1, n]`.
    second: Option<(Tensor<1, Int>, Tensor<4>)>,
}

impl Gather {
    /// For `axis` 2 (height) or 3 (width).
    fn new(axis: usize, first: Vec<usize>, second: Option<(Vec<usize>, Vec<f32>)>, device: &Device) -> Gather {
        let count = first.len();
        let index = |index: Vec<usize>| {
            let index: Vec<i32> = index.into_iter().map(|at| at as i32).collect();
            Tensor::<1, Int>::from_data(TensorData::new(index, [count]), device)
        };
        let mut shape = [1; 4];
        shape[axis] = count;
        let second = second.map(|(second, shares)| (index(second), tensor(shares, shape, device)));
        Gather { axis, first: index(first), second }
    }

    /// From `from` to `to` rows, as PyTorch's `interpolate` without `recompute_scale_factor`; `factor` if that is given.
    pub(super) fn resize(
        axis: usize,
        [from, to]: [usize; 2],
        factor: Option<f64>,
        how: Resizing,
        device: &Device,
    ) -> Self {
        let scale = factor.map_or(from as f64 / to as f64, |factor| 1.0 / factor);
        match how {
            Resizing::Nearest => {
                let at = |row: usize| ((row as f64 * scale) as usize).min(from - 1);
                Gather::new(axis, (0..to).map(at).collect(), None, device)
            }
            Resizing::Bilinear { align_corners } => {
                let at = |row: usize| match align_corners {
                    true if to > 1 => row as f64 * (from - 1) as f64 / (to - 1) as f64,
                    true => 0.0,
                    false => ((row as f64 + 0.5) * scale - 0.5).max(0.0),
                };
                let first: Vec<usize> = (0..to).map(|row| (at(row) as usize).min(from - 1)).collect();
                let second = first.iter().map(|row| (row + 1).min(from - 1)).collect();
                let shares =
                    (0..to).zip(&first).map(|(row, &first)| (at(row) - first as f64).min(1.0) as f32).collect();
                Gather::new(axis, first, Some((second, shares)), device)
            }
        }
    }

    /// Adds `before` and `after` rows, by other rows of the map; negative numbers cut.
    pub(super) fn pad(axis: usize, side: usize, [before, after]: [i32; 2], mode: Padding, device: &Device) -> Self {
        let last = side as i64 - 1;
        let at = |row: i64| {
            let inside = match mode {
                Padding::Zeros | Padding::Replicate => row.clamp(0, last),
                Padding::Circular => row.rem_euclid(side as i64),
                Padding::Reflect if last == 0 => 0,
                Padding::Reflect => {
                    let around = row.rem_euclid(2 * last);
                    around.min(2 * last - around)
                }
            };
            inside as usize
        };
        let rows = (-i64::from(before)..side as i64 + i64::from(after)).map(at).collect();
        Gather::new(axis, rows, None, device)
    }

    pub(super) fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let first = x.clone().select(self.axis, self.first.clone());
        match &self.second {
            None => first,
            Some((second, share)) => {
                let second = x.select(self.axis, second.clone());
                first.clone() + (second - first) * share.clone()
            }
        }
    }
}

/// Over which numbers a normalisation takes mean and variance.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Over {
    /// Channels in so many groups, and all pixels.
    Groups(usize),
    /// Channels at each pixel.
    Channels,
}

/// (x - mean) / sqrt(variance + epsilon)
pub(super) fn normalise(x: Tensor<4>, over: Over, epsilon: f64) -> Tensor<4> {
    let shape = x.dims();
    let [n, channels, height, width] = shape;
    let (x, axis) = match over {
        Over::Groups(groups) => (x.reshape([n, groups, channels / groups * height * width, 1]), 2),
        Over::Channels => (x, 1),
    };
    let centred = x.clone() - x.mean_dim(axis);
    let variance = centred.clone().square().mean_dim(axis);
    (centred / variance.add_scalar(epsilon).sqrt()).reshape(shape)
}

/// x / sqrt(mean of x² over channels + epsilon)
pub(super) fn pixel_norm(x: Tensor<4>, epsilon: f64) -> Tensor<4> {
    let mean = x.clone().square().mean_dim(1);
    x / mean.add_scalar(epsilon).sqrt()
}

/// `[N, r*r*C, H, W]` -> `[N, C, r*H, r*W]`
pub(super) fn pixel_shuffle(x: Tensor<4>, factor: usize) -> Tensor<4> {
    let [n, channels, height, width] = x.dims();
    let channels = channels / (factor * factor);
    let x: Tensor<6> = x.reshape([n, channels, factor, factor, height, width]);
    x.permute([0, 1, 4, 2, 5, 3]).reshape([n, channels, factor * height, factor * width])
}

/// A vector in the order height, width, channels -> `[N, C, H, W]`.
pub(super) fn from_channels_last(x: Tensor<4>, [channels, height, width]: [usize; 3]) -> Tensor<4> {
    let n = x.dims()[0];
    x.reshape([n, height, width, channels]).permute([0, 3, 1, 2])
}
