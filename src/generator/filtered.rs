//! The filtered nonlinearity of StyleGAN3 (Karras et al., NeurIPS 2021, "Alias-Free Generative Adversarial Networks",
//! section 3.2): up-sample, activate, down-sample, so that the activation's harmonics do not alias.

use std::f32::consts::SQRT_2;

use burn::tensor::activation::leaky_relu;
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{DType, Device, Tensor};

use super::layers::tensor;
use crate::ops::{self, FilterPlan};

/// Bytes of the up-sampled map that are held at a time. It has up to 16 times the values of the maps around it, and channels
/// do not depend on each other.
const PIECE_BYTES: usize = 32 << 20;

/// A low-pass filter as the file has it.
#[derive(Clone, Debug)]
pub(super) enum Taps {
    Separable(Vec<f32>),
    /// `[taps, taps]`, row-major
    Radial(Vec<f32>),
}

/// How the size of one axis changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Resampling {
    pub up: usize,
    pub down: usize,
    /// What the up-sampled map starts at and how long it is, in the full result of the transposed convolution.
    start: usize,
    length: usize,
}

impl Resampling {
    /// From `input` values an axis to `output`; `None` if the filters cannot do it.
    pub(super) fn new(
        [input, output]: [usize; 2],
        [up, down]: [usize; 2],
        [up_taps, down_taps]: [usize; 2],
    ) -> Option<Self> {
        let signed = |n: usize| i64::try_from(n).ok();
        // What the filters and the last kept sample need, as padding of the zero-inserted input; negative crops.
        let needed = signed((output.checked_sub(1)? * down + 1).checked_add(up_taps + down_taps)?.checked_sub(2)?)?;
        let padding = needed - signed(input.checked_mul(up)?)?;
        let low = (padding + signed(up)?).div_euclid(2);
        // Sample j of the padded and filtered map is sample j + taps - 1 - low of the full transposed convolution.
        let start = usize::try_from(signed(up_taps)? - 1 - low).ok()?;
        let length = (output - 1) * down + down_taps;
        (start + length <= input.checked_sub(1)? * up + up_taps).then_some(Resampling { up, down, start, length })
    }
}

impl Resampling {
    /// Values of an axis of the up-sampled map.
    pub(super) fn length(&self) -> usize {
        self.length
    }
}

/// Bias, up-sampling, activation, clamp and down-sampling.
pub(super) struct FilteredActivation {
    plan: FilterPlan,
    bias: Vec<f32>,
    /// The same as tensors; absent on the CPU, which has an operator of its own.
    tensors: Option<Tensors>,
}

struct Tensors {
    /// Transposed convolution along y, then along x, `[1, 1, taps, 1]` and `[1, 1, 1, taps]`, of gain `up` each.
    up: [Tensor<4>; 2],
    /// Convolutions with stride, `[1, 1, ...]`.
    down: Vec<(Tensor<4>, [usize; 2])>,
    /// `[1, C, 1, 1]`
    bias: Tensor<4>,
}

impl FilteredActivation {
    /// `is_linear` for the last layer, which makes the picture and has no activation. Both axes have the same filters.
    pub(super) fn new(
        [along_y, along_x]: [Resampling; 2],
        up: Option<&[f32]>,
        down: Option<&Taps>,
        bias: Vec<f32>,
        is_linear: bool,
        clamp: Option<f32>,
        device: &Device,
    ) -> Self {
        let one = Taps::Separable(vec![1.0]);
        let (down_taps, is_radial) = match down.unwrap_or(&one) {
            Taps::Separable(taps) => (taps.clone(), false),
            Taps::Radial(taps) => (taps.clone(), true),
        };
        let plan = FilterPlan {
            up: along_x.up,
            down: along_x.down,
            start: [along_y.start, along_x.start],
            length: [along_y.length, along_x.length],
            up_taps: up.unwrap_or(&[1.0]).iter().map(|tap| tap * along_x.up as f32).collect(),
            down_taps,
            is_radial,
            activation: (!is_linear).then_some([0.2, SQRT_2]),
            clamp,
        };
        let tensors = (!ops::is_cpu(device)).then(|| Tensors::new(&plan, &bias, device));
        FilteredActivation { plan, bias, tensors }
    }

    /// `[N, C, h, w]` -> `[N, C, H, W]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match &self.tensors {
            None => ops::filtered_on_cpu(x, &self.bias, &self.plan),
            // Its operations have no other form than f32.
            Some(tensors) => {
                let stored = x.dtype();
                ops::stored_as(tensors.forward(ops::stored_as(x, DType::F32), &self.plan), stored)
            }
        }
    }
}

impl Tensors {
    fn new(plan: &FilterPlan, bias: &[f32], device: &Device) -> Self {
        let axes = |taps: &[f32]| {
            let count = taps.len();
            [tensor(taps.to_vec(), [1, 1, count, 1], device), tensor(taps.to_vec(), [1, 1, 1, count], device)]
        };
        let factor = plan.down;
        let down = if plan.is_radial {
            let count = plan.down_taps.len().isqrt();
            vec![(tensor(plan.down_taps.clone(), [1, 1, count, count], device), [factor, factor])]
        } else {
            let [along_y, along_x] = axes(&plan.down_taps);
            vec![(along_y, [factor, 1]), (along_x, [1, factor])]
        };
        Tensors { up: axes(&plan.up_taps), down, bias: tensor(bias.to_vec(), [1, bias.len(), 1, 1], device) }
    }

    fn forward(&self, x: Tensor<4>, plan: &FilterPlan) -> Tensor<4> {
        let x = x + self.bias.clone();
        let [n, channels, height, width] = x.dims();
        // Channels go through as pictures of their own, so that the convolutions need no groups.
        let planes = n * channels;
        let x = x.reshape([planes, 1, height, width]);
        let piece = (PIECE_BYTES / (4 * plan.length[0] * plan.length[1]).max(1)).clamp(1, planes);
        let pieces = (0..planes)
            .step_by(piece)
            .map(|at| self.resample(x.clone().narrow(0, at, piece.min(planes - at)), plan))
            .collect();
        let x = Tensor::cat(pieces, 0);
        let [_, _, height, width] = x.dims();
        x.reshape([n, channels, height, width])
    }

    /// `[planes, 1, h, w]` -> `[planes, 1, H, W]`
    fn resample(&self, x: Tensor<4>, plan: &FilterPlan) -> Tensor<4> {
        let &FilterPlan { up, start, length, .. } = plan;
        let [along_y, along_x] = &self.up;
        let options = |stride| ConvTransposeOptions::new(stride, [0, 0], [0, 0], [1, 1], 1);
        let x = conv_transpose2d(x, along_y.clone(), None, options([up, 1])).narrow(2, start[0], length[0]);
        let x = conv_transpose2d(x, along_x.clone(), None, options([1, up])).narrow(3, start[1], length[1]);
        let x = match plan.activation {
            Some([slope, gain]) => leaky_relu(x, slope.into()).mul_scalar(gain),
            None => x,
        };
        let x = match plan.clamp {
            Some(limit) => x.clamp(-limit, limit),
            None => x,
        };
        self.down.iter().fold(x, |x, (kernel, stride)| {
            conv2d(x, kernel.clone(), None, ConvOptions::new(*stride, [0, 0], [1, 1], 1))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_the_public_networks_fit_and_others_are_refused() {
        // StyleGAN3-T: an ordinary layer, one that doubles, one that crops its margin, and the last one. Inputs are those of
        // the filters: the convolution before has added two.
        for (sizes, factors, taps) in [
            ([38, 36], [2, 2], [12, 12]),
            ([38, 52], [4, 2], [24, 12]),
            ([54, 32], [2, 2], [12, 12]),
            ([32, 32], [1, 1], [1, 1]),
        ] {
            let found = Resampling::new(sizes, factors, taps);
            assert!(found.is_some_and(|r| r.length == (sizes[1] - 1) * factors[1] + taps[1]), "{sizes:?}: {found:?}");
        }
        assert_eq!(Resampling::new([8, 64], [2, 2], [12, 12]), None);
        assert_eq!(Resampling::new([0, 0], [2, 2], [12, 12]), None);
    }
}
