//! Blocks that several families share.

use burn::tensor::activation::leaky_relu;
use burn::tensor::{Device, Tensor, TensorData};

use super::Tape;
pub(super) use crate::ops::Linear;
use crate::ops::{self, After, Norm, Place, nearest_up, pull_nearest_up};

/// Values as a tensor on `device`; `values.len()` is the product of `shape`.
pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// `[1, ...]` -> `[samples, ...]`, laid out rather than a view, which operators would lay out one by one.
pub(super) fn repeated<const D: usize>(x: &Tensor<D>, samples: usize) -> Tensor<D> {
    match samples {
        1 => x.clone(),
        _ => x.clone().repeat_dim(0, samples),
    }
}

/// `max(x, 0.2 x)`, the activation of every style-based generator.
pub(super) fn lrelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    leaky_relu(x, 0.2)
}

/// A convolution with zero padding that keeps the size, or doubles it.
pub(super) struct ConvLayer {
    op: Op,
    after: After,
}

enum Op {
    Same(ops::Conv),
    Nearest(ops::ConvNearestUp),
    Double(ops::ConvTranspose),
}

impl ConvLayer {
    /// From a stored `[outputs, inputs, k, k]` weight with k 1 or 3, scaled once by `gain`, and the bias as it is.
    pub(super) fn new(weight: Vec<f32>, shape: [usize; 3], gain: f64, bias: Option<Vec<f32>>, device: &Place) -> Self {
        ConvLayer::for_side(weight, shape, 0, gain, bias, device)
    }

    /// As [`ConvLayer::new`], in the form that is fastest for maps of that width and height.
    pub(super) fn for_side(
        mut weight: Vec<f32>,
        shape: [usize; 3],
        side: usize,
        gain: f64,
        bias: Option<Vec<f32>>,
        device: &Place,
    ) -> Self {
        scale(&mut weight, gain);
        ConvLayer { op: Op::Same(ops::Conv::for_side(&weight, shape, side, device)), after: only_bias(bias, device) }
    }

    /// Nearest up-sampling by two, then correlation with a stored `[outputs, inputs, 3, 3]` weight, in
    /// the form that is fastest for inputs of that width and height.
    pub(super) fn after_nearest_up(
        mut weight: Vec<f32>,
        shape: [usize; 2],
        side: usize,
        gain: f64,
        bias: Option<Vec<f32>>,
        device: &Place,
    ) -> Self {
        scale(&mut weight, gain);
        ConvLayer {
            op: Op::Nearest(ops::ConvNearestUp::for_side(&weight, shape, side, device)),
            after: only_bias(bias, device),
        }
    }

    /// As [`ConvLayer::after_nearest_up`] with the kernel flipped in both axes: the "fused" up-sampling of PGGAN and StyleGAN.
    pub(super) fn fused_up(
        mut weight: Vec<f32>,
        shape: [usize; 2],
        side: usize,
        gain: f64,
        bias: Option<Vec<f32>>,
        device: &Place,
    ) -> Self {
        flip(&mut weight);
        ConvLayer::after_nearest_up(weight, shape, side, gain, bias, device)
    }

    /// Transposed convolution of stride 2 with a stored `[inputs, outputs, 4, 4]` weight, padding 1.
    pub(super) fn transposed(weight: &[f32], shape: [usize; 2], bias: Option<Vec<f32>>, device: &Place) -> Self {
        ConvLayer { op: Op::Double(ops::ConvTranspose::new(weight, shape, device)), after: only_bias(bias, device) }
    }

    /// With `max(x, slope x)` after the bias.
    pub(super) fn with_activation(mut self, slope: f32) -> Self {
        self.after.slope = Some(slope);
        self
    }

    /// The result is a picture, which is f32 however maps are stored.
    pub(super) fn for_picture(mut self) -> Self {
        self.after.is_picture = true;
        self
    }

    /// `[N, inputs, H, W]` -> `[N, outputs, H, W]` or `[N, outputs, 2H, 2W]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.forward_residual(x, None, None)
    }

    /// As [`ConvLayer::forward`], and leaves behind what [`super::adjoint::ConvAdjoint::pull_activated`] needs.
    pub(super) fn forward_saving(&self, x: Tensor<4>, tape: &mut Tape) -> Tensor<4> {
        let y = self.forward(x);
        tape.keep(&y);
        tape.keep_after(&self.after);
        y
    }

    /// As [`ConvLayer::forward`], with the surroundings of [`ops::Conv::forward_residual`].
    pub(super) fn forward_residual(&self, x: Tensor<4>, norm: Option<Norm>, shortcut: Option<Tensor<4>>) -> Tensor<4> {
        match &self.op {
            Op::Same(conv) => conv.forward_residual(x, norm, shortcut, &self.after),
            Op::Nearest(conv) => conv.forward_residual(x, norm, shortcut, &self.after),
            Op::Double(conv) => conv.forward_residual(x, norm, shortcut, &self.after),
        }
    }
}

/// Turns 3x3 kernels by half a turn.
pub(super) fn flip(weight: &mut [f32]) {
    weight.as_chunks_mut::<9>().0.iter_mut().for_each(|kernel| kernel.reverse());
}

pub(super) fn scale(weight: &mut [f32], gain: f64) {
    weight.iter_mut().for_each(|x| *x = (f64::from(*x) * gain) as f32);
}

fn only_bias(bias: Option<Vec<f32>>, device: &Device) -> After {
    let bias = bias.map(|bias| {
        let length = bias.len();
        tensor(bias, [length], device)
    });
    After { bias, ..After::default() }
}

/// The level of detail of a progressively grown network (Karras et al., 2018): 0 when it is grown to the end, n when the
/// last n doublings are not trained yet, and between two whole numbers while one fades in.
pub(super) struct Growth {
    lod: f64,
    blocks: usize,
}

impl Growth {
    pub(super) fn new(lod: f32, blocks: usize) -> Self {
        Growth { lod: f64::from(lod).clamp(0.0, (blocks - 1) as f64), blocks }
    }

    fn block_lod(&self, block: usize) -> f64 {
        (self.blocks - 1 - block) as f64
    }

    /// True if a block takes part in the picture.
    pub(super) fn runs(&self, block: usize) -> bool {
        self.lod < self.block_lod(block) + 1.0
    }

    /// True if a block's own picture is part of the result.
    pub(super) fn shows(&self, block: usize) -> bool {
        (self.lod - self.block_lod(block)).abs() < 1.0
    }

    /// The picture after a block; `rgb` makes the block's own.
    pub(super) fn picture(
        &self,
        block: usize,
        before: Option<Tensor<4>>,
        rgb: impl FnOnce() -> Tensor<4>,
    ) -> Option<Tensor<4>> {
        let block_lod = self.block_lod(block);
        match before {
            Some(before) if self.lod >= block_lod + 1.0 => Some(nearest_up(before)),
            Some(before) if self.lod > block_lod => {
                let new = self.lod.ceil() - self.lod;
                Some(rgb().mul_scalar(new) + nearest_up(before).mul_scalar(1.0 - new))
            }
            _ => (self.lod > block_lod - 1.0 && self.lod <= block_lod).then(rgb),
        }
    }

    /// From the gradient with respect to the picture after a block to those with respect to the block's own and to the one before.
    pub(super) fn pull(&self, block: usize, grad: Option<Tensor<4>>) -> [Option<Tensor<4>>; 2] {
        let Some(grad) = grad else { return [None, None] };
        let block_lod = self.block_lod(block);
        if block == self.first_picture() || self.lod <= block_lod {
            return [Some(grad), None];
        }
        if self.lod >= block_lod + 1.0 {
            return [None, Some(pull_nearest_up(grad))];
        }
        let new = self.lod.ceil() - self.lod;
        [Some(grad.clone().mul_scalar(new)), Some(pull_nearest_up(grad).mul_scalar(1.0 - new))]
    }

    /// The first block that has a picture.
    fn first_picture(&self) -> usize {
        self.blocks - 1 - self.lod.ceil() as usize
    }
}
