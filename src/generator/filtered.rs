//! The filtered nonlinearity of StyleGAN3 (Karras et al., NeurIPS 2021, "Alias-Free Generative Adversarial Networks",
//! section 3.2): up-sample, activate, down-sample, so that the activation's harmonics do not alias.

use std::f32::consts::SQRT_2;

use burn::tensor::activation::leaky_relu;
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, PadMode};
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

/// The adjoint of the activation: the gradient goes up the down-sampling, through the slopes, and down the up-sampling. The map in
/// between is made once more.
impl FilteredActivation {
    /// From the gradient with respect to `[N, C, H, W]`, which [`FilteredActivation::forward`] made of `x`, to that with respect to `x`.
    pub(super) fn pull(&self, grad: Tensor<4>, x: Tensor<4>) -> Tensor<4> {
        let [n, channels, height, width] = x.dims();
        let planes = n * channels;
        let biases: Vec<f32> = self.bias.iter().copied().cycle().take(planes).collect();
        let [grad_height, grad_width] = [grad.dims()[2], grad.dims()[3]];
        let (x, grad) = (x.reshape([planes, 1, height, width]), grad.reshape([planes, 1, grad_height, grad_width]));
        let piece = (PIECE_BYTES / (4 * self.plan.length[0] * self.plan.length[1]).max(1)).clamp(1, planes);
        let pieces = (0..planes).step_by(piece).map(|at| {
            let count = piece.min(planes - at);
            let of = |map: &Tensor<4>| map.clone().narrow(0, at, count);
            self.pull_planes(of(&grad), of(&x), &biases[at..at + count])
        });
        Tensor::cat(pieces.collect(), 0).reshape([n, channels, height, width])
    }

    /// `[planes, 1, ..]` both
    fn pull_planes(&self, grad: Tensor<4>, x: Tensor<4>, biases: &[f32]) -> Tensor<4> {
        let plan = &self.plan;
        let [_, _, height, width] = x.dims();
        let mut large = self.spread(grad);
        let [slope, gain] = plan.activation.unwrap_or([1.0, 1.0]);
        if plan.activation.is_some() || plan.clamp.is_some() {
            let up = self.up_sampled(x, biases);
            if let Some(limit) = plan.clamp {
                let reached = up.clone().max_pair(up.clone().mul_scalar(slope)).mul_scalar(gain).abs();
                large = large.mask_fill(reached.greater_equal_elem(limit), 0.0);
            }
            large = ops::pull_lrelu(large, up, slope).mul_scalar(gain);
        }
        self.gathered(large, [height, width])
    }

    /// `[planes, 1, h, w]`, up-sampled, with the bias and without the activation.
    fn up_sampled(&self, x: Tensor<4>, biases: &[f32]) -> Tensor<4> {
        let plan = &self.plan;
        match &self.tensors {
            Some(tensors) => {
                let biases = tensor(biases.to_vec(), [biases.len(), 1, 1, 1], &x.device());
                tensors.up_sample(x + biases, plan)
            }
            None => on_planes(x, biases, &plan.only_up()),
        }
    }

    /// The adjoint of the down-sampling: `[planes, 1, H, W]` to the size of the up-sampled map.
    fn spread(&self, grad: Tensor<4>) -> Tensor<4> {
        let (plan, device) = (&self.plan, grad.device());
        if self.tensors.is_none() && !plan.is_radial {
            let zeros = vec![0.0; grad.dims()[0]];
            return on_planes(grad, &zeros, &plan.down_as_up());
        }
        let options = |stride| ConvTransposeOptions::new(stride, [0, 0], [0, 0], [1, 1], 1);
        let down = down_kernels(plan, &device);
        down.into_iter()
            .rev()
            .fold(grad, |grad, (kernel, stride)| conv_transpose2d(grad, kernel, None, options(stride)))
    }

    /// The adjoint of the up-sampling, from the up-sampled map to `[planes, 1, h, w]`.
    fn gathered(&self, large: Tensor<4>, [height, width]: [usize; 2]) -> Tensor<4> {
        let plan = &self.plan;
        // Zeros where the full transposed convolution was cut.
        let full = |size: usize| (size - 1) * plan.up + plan.up_taps.len();
        let [before_y, before_x] = plan.start;
        let (after_y, after_x) = (full(height) - before_y - plan.length[0], full(width) - before_x - plan.length[1]);
        let large = large.pad((before_x, after_x, before_y, after_y), PadMode::Constant(0.0));
        if self.tensors.is_none() {
            let zeros = vec![0.0; large.dims()[0]];
            return on_planes(large, &zeros, &plan.up_as_down([full(height), full(width)]));
        }
        let device = large.device();
        let [along_y, along_x] = axes(&plan.up_taps, &device);
        let along = |x: Tensor<4>, kernel, stride| conv2d(x, kernel, None, ConvOptions::new(stride, [0, 0], [1, 1], 1));
        along(along(large, along_x, [1, plan.up]), along_y, [plan.up, 1])
    }
}

/// On the CPU, for planes `[planes, 1, h, w]`, each with its bias.
fn on_planes(x: Tensor<4>, biases: &[f32], plan: &FilterPlan) -> Tensor<4> {
    let [planes, _, height, width] = x.dims();
    let y = ops::filtered_on_cpu(x.reshape([1, planes, height, width]), biases, plan);
    let [_, _, height, width] = y.dims();
    y.reshape([planes, 1, height, width])
}

/// Taps along y and along x, as kernels.
fn axes(taps: &[f32], device: &Device) -> [Tensor<4>; 2] {
    let count = taps.len();
    [tensor(taps.to_vec(), [1, 1, count, 1], device), tensor(taps.to_vec(), [1, 1, 1, count], device)]
}

/// Kernels of the down-sampling, one after the other, with their strides.
fn down_kernels(plan: &FilterPlan, device: &Device) -> Vec<(Tensor<4>, [usize; 2])> {
    let factor = plan.down;
    if plan.is_radial {
        let count = plan.down_taps.len().isqrt();
        return vec![(tensor(plan.down_taps.clone(), [1, 1, count, count], device), [factor, factor])];
    }
    let [along_y, along_x] = axes(&plan.down_taps, device);
    vec![(along_y, [factor, 1]), (along_x, [1, factor])]
}

impl Tensors {
    fn new(plan: &FilterPlan, bias: &[f32], device: &Device) -> Self {
        Tensors {
            up: axes(&plan.up_taps, device),
            down: down_kernels(plan, device),
            bias: tensor(bias.to_vec(), [1, bias.len(), 1, 1], device),
        }
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
        let x = self.up_sample(x, plan);
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

    fn up_sample(&self, x: Tensor<4>, plan: &FilterPlan) -> Tensor<4> {
        let &FilterPlan { up, start, length, .. } = plan;
        let [along_y, along_x] = &self.up;
        let options = |stride| ConvTransposeOptions::new(stride, [0, 0], [0, 0], [1, 1], 1);
        let x = conv_transpose2d(x, along_y.clone(), None, options([up, 1])).narrow(2, start[0], length[0]);
        conv_transpose2d(x, along_x.clone(), None, options([1, up])).narrow(3, start[1], length[1])
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
