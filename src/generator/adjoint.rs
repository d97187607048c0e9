//! Gradients of pictures with respect to codes: every stage's derivative, backwards. Weights never change, so these are the
//! network's own operators with inputs and outputs swapped. Their weights are packed when somebody asks for gradients, and go with
//! the value that holds them.

use burn::tensor::Tensor;

use super::layers::Linear;
use super::{Generator, LoadError, Tally, Tape, blueprint};
use crate::layout::Weights;
use crate::ops::{self, ConvDown, Place};
use crate::progress::Report;

/// The derivatives of a network's stages, as products with a row vector ("vector-Jacobian products").
pub trait Adjoint: Send + Sync {
    /// From the gradient of some number with respect to the output of a stage to those with respect to what it was made of. `tape` is
    /// what that run of [`super::Network::run`] left behind.
    fn pull(&self, stage: usize, tape: Tape, grad: Gradient) -> Pulled;

    /// From the gradient with respect to a code, `[N, dim]`, to that with respect to the z that was mapped to it, `[N, z_dim]`; `tape` is
    /// what [`super::Network::map`] left behind.
    fn pull_map(&self, tape: Tape, grad: Tensor<2>) -> Tensor<2>;
}

/// The gradient of a number with respect to a stage's output, of the same shapes; what it does not depend on is absent.
#[derive(Clone, Default)]
pub struct Gradient {
    pub features: Option<Tensor<4>>,
    pub picture: Option<Tensor<4>>,
}

impl Gradient {
    pub(super) fn of_features(features: Tensor<4>) -> Self {
        Gradient { features: Some(features), picture: None }
    }
}

/// Gradients with respect to what a stage read.
#[derive(Default)]
pub struct Pulled {
    /// The output of the stage before; nothing for the first one.
    pub input: Gradient,
    /// `[N, dim]`, one per entry of [`super::Stage::layers`].
    pub codes: Vec<Tensor<2>>,
    /// The embedding of the class, `[N, width]`, where the stage reads it and the family has one.
    pub embedding: Option<Tensor<2>>,
}

impl Generator {
    /// The adjoint of the network in a checkpoint, its weights packed for `device`, in f32; `None` for families that have none.
    ///
    /// # Errors
    /// A tensor cannot be read, or `report` stopped the work.
    pub fn load_adjoint(
        weights: &Weights,
        device: &Place,
        report: Report,
    ) -> Result<Option<Box<dyn Adjoint>>, LoadError> {
        let mut tally = Tally { report, done: 0, total: weights.names().count() as u64 };
        blueprint(weights)?.load_adjoint(weights, &device.with_precision(ops::Precision::F32), &mut tally)
    }
}

/// That of a stage whose output is one map: its features, or the picture.
pub(super) fn whole(grad: Gradient) -> Tensor<4> {
    add(grad.features, grad.picture).unwrap_or_else(|| unreachable!("a gradient of the features or of the picture"))
}

/// From the gradient with respect to `y`, a hyperbolic tangent, to that with respect to its argument.
pub(super) fn pull_tanh(grad: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    grad.clone() - grad * y.square()
}

/// The sum of gradients that may be absent.
pub(super) fn add<const D: usize>(one: Option<Tensor<D>>, other: Option<Tensor<D>>) -> Option<Tensor<D>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one + other),
        (one, other) => one.or(other),
    }
}

/// The adjoint of a fully connected layer from its stored `[outputs, inputs]` weight, scaled once by `gain`: `[N, outputs]` to
/// `[N, inputs]`.
pub(super) fn linear(weight: &[f32], inputs: usize, gain: f64, device: &Place) -> Linear {
    let outputs = weight.len() / inputs;
    let columns = (0..inputs).flat_map(|input| (0..outputs).map(move |output| output * inputs + input));
    Linear::new(columns.map(|at| weight[at]).collect(), vec![0.0; inputs], (gain, 1.0), device)
}

/// The adjoint of a [`super::layers::ConvLayer`].
pub(super) enum ConvAdjoint {
    Same(ops::Conv),
    Down(ConvDown),
}

impl ConvAdjoint {
    /// Of [`super::layers::ConvLayer::for_side`].
    pub(super) fn same(weight: Vec<f32>, shape: [usize; 3], side: usize, gain: f64, device: &Place) -> Self {
        ConvAdjoint::Same(ops::Conv::adjoint(&scaled(weight, gain), shape, side, device))
    }

    /// Of [`super::layers::ConvLayer::after_nearest_up`].
    pub(super) fn nearest(weight: Vec<f32>, shape: [usize; 2], side: usize, gain: f64, device: &Place) -> Self {
        ConvAdjoint::Down(ConvDown::of_nearest(&scaled(weight, gain), shape, side, device))
    }

    /// Of [`super::layers::ConvLayer::fused_up`].
    pub(super) fn fused_up(mut weight: Vec<f32>, shape: [usize; 2], side: usize, gain: f64, device: &Place) -> Self {
        super::layers::flip(&mut weight);
        Self::nearest(weight, shape, side, gain, device)
    }

    /// Of [`super::layers::ConvLayer::transposed`].
    pub(super) fn transposed(weight: &[f32], shape: [usize; 2], device: &Place) -> Self {
        ConvAdjoint::Down(ConvDown::of_transposed(weight, shape, 0, device))
    }

    /// `[N, outputs, H, W]`, scale `[N, outputs]` -> `[N, inputs, h, w]`, without what surrounds the convolution.
    pub(super) fn pull(&self, grad: Tensor<4>, scale: Option<Tensor<2>>) -> Tensor<4> {
        match self {
            ConvAdjoint::Same(conv) => conv.pull(grad, scale),
            ConvAdjoint::Down(conv) => conv.pull(grad, scale),
        }
    }

    /// The same with the activation, after [`super::layers::ConvLayer::forward_saving`].
    pub(super) fn pull_activated(&self, grad: Tensor<4>, tape: &mut Tape) -> Tensor<4> {
        let after = tape.take_after();
        let (grad, _) = ops::pull_after(grad, &tape.take(), &after);
        self.pull(grad, None)
    }
}

pub(super) fn scaled(mut weight: Vec<f32>, gain: f64) -> Vec<f32> {
    super::layers::scale(&mut weight, gain);
    weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_layers_have_their_adjoints() {
        let device = burn::tensor::Device::flex();
        let numbers = |count: usize, seed: usize| -> Vec<f32> {
            (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0).collect()
        };
        for (rows, inputs, outputs) in [(1, 3, 5), (2, 128, 256), (2, 128, 32), (17, 70, 9)] {
            let (weight, x, r) = (numbers(outputs * inputs, 1), numbers(rows * inputs, 2), numbers(rows * outputs, 3));
            let tensor =
                |values: &[f32]| super::super::layers::tensor(values.to_vec(), [rows, values.len() / rows], &device);
            let forward = Linear::new(weight.clone(), vec![0.0; outputs], (0.5, 1.0), &device);
            let adjoint = linear(&weight, inputs, 0.5, &(&device).into());
            let one: f32 = (forward.forward(tensor(&x)) * tensor(&r)).sum().into_scalar();
            let other: f32 = (adjoint.forward(tensor(&r)) * tensor(&x)).sum().into_scalar();
            assert!((one - other).abs() < 1e-3, "{rows} {inputs} {outputs}: {one} and {other}");
        }
    }
}
