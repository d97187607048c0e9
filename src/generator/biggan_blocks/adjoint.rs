//! Gradients through what BigGAN and BigGAN-deep have in common.

use burn::tensor::Tensor;

use super::{Attention, ConditionalNorm, NormNames};
use crate::generator::adjoint::{ConvAdjoint, linear, pull_tanh};
use crate::generator::layers::Linear;
use crate::generator::{Conditions, LoadError, Tally, Tape};
use crate::layout::Weights;
use crate::ops::{Norm, Place, pull_attention, pull_norm};

/// The adjoint of [`ConditionalNorm`].
pub(in crate::generator) struct NormAdjoint {
    gain: Linear,
    bias: Linear,
}

impl NormAdjoint {
    pub(in crate::generator) fn load(
        names: &NormNames,
        [channels, condition]: [usize; 2],
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Self, LoadError> {
        let mut get = |name: &str| {
            Ok::<_, LoadError>(linear(&tally.get(weights, name, &[channels, condition])?, condition, 1.0, device))
        };
        Ok(NormAdjoint { gain: get(&names.gain)?, bias: get(&names.bias)? })
    }

    /// From `[N, C, h, w]` after [`ConditionalNorm::of_saving`] to the map before and the condition, `[N, width]`.
    pub(in crate::generator) fn pull(&self, grad: Tensor<4>, tape: &mut Tape) -> (Tensor<4>, Tensor<2>) {
        let (shift, scale) = (tape.take_rows(), tape.take_rows());
        let (norm, x) = take_norm(tape);
        let grad = pull_norm(grad, &x, norm);
        // factor = gain scale, offset = bias + gain shift
        let of_gain = grad.factor * scale + grad.offset.clone() * shift;
        (grad.x, self.gain.forward(of_gain) + self.bias.forward(grad.offset))
    }
}

impl ConditionalNorm {
    /// As [`ConditionalNorm::of`], for `x`; leaves behind what [`NormAdjoint::pull`] needs.
    pub(in crate::generator) fn of_saving(
        &self,
        x: &Tensor<4>,
        condition: &Tensor<2>,
        conditions: &[Conditions],
        tape: &mut Tape,
    ) -> Norm {
        let [scale, shift] = self.statistics.normalisation(conditions);
        let norm = self.of(condition, [scale.clone(), shift.clone()]);
        keep_norm(x, &norm, tape);
        tape.keep_rows(&scale);
        tape.keep_rows(&shift);
        norm
    }
}

/// What [`take_norm`] takes, of a norm of `x`.
pub(super) fn keep_norm(x: &Tensor<4>, norm: &Norm, tape: &mut Tape) {
    tape.keep(x);
    tape.keep_rows(&norm.factor);
    tape.keep_rows(&norm.offset);
}

fn take_norm(tape: &mut Tape) -> (Norm, Tensor<4>) {
    let (offset, factor) = (tape.take_rows(), tape.take_rows());
    (Norm { factor, offset }, tape.take())
}

/// The adjoint of [`Attention`].
pub(in crate::generator) struct AttentionAdjoint {
    projections: ConvAdjoint,
    width: usize,
    output: ConvAdjoint,
}

impl AttentionAdjoint {
    /// `names` are as for [`Attention::load`].
    pub(in crate::generator) fn load(
        names: [&str; 5],
        channels: usize,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Self, LoadError> {
        let parts = Attention::read(names, channels, weights, tally)?;
        let (width, values, gain) = (parts.width, parts.values, f64::from(parts.gamma));
        let shape = [2 * width + values, channels, 1];
        Ok(AttentionAdjoint {
            projections: ConvAdjoint::same(parts.projections, shape, 0, 1.0, device),
            width,
            output: ConvAdjoint::same(parts.output, [channels, values, 1], 0, gain, device),
        })
    }

    /// `[N, C, H, W]` -> the same shape, after [`Attention::forward`].
    pub(in crate::generator) fn pull(&self, grad: Tensor<4>, tape: &mut Tape) -> Tensor<4> {
        let of_values = self.output.pull(grad.clone(), None);
        let of_map = pull_attention(of_values, tape.take(), self.width);
        grad + self.projections.pull(of_map, None)
    }
}

/// The adjoint of [`super::ToPicture`].
pub(in crate::generator) struct ToPictureAdjoint {
    conv: ConvAdjoint,
}

impl ToPictureAdjoint {
    /// `conv` is the prefix of the convolution.
    pub(in crate::generator) fn load(
        conv: &str,
        [outputs, channels]: [usize; 2],
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Self, LoadError> {
        let weight = tally.get(weights, &format!("{conv}.weight"), &[outputs, channels, 3, 3])?;
        Ok(ToPictureAdjoint { conv: ConvAdjoint::same(weight, [outputs, channels, 3], 0, 1.0, device) })
    }

    /// `[N, picture channels, H, W]` -> `[N, C, H, W]`, after [`super::ToPicture::forward`].
    pub(in crate::generator) fn pull(&self, grad: Tensor<4>, tape: &mut Tape) -> Tensor<4> {
        let grad = self.conv.pull(pull_tanh(grad, tape.take()), None);
        let (norm, x) = take_norm(tape);
        pull_norm(grad, &x, norm).x
    }
}
