//! Gradients of DCGAN's pictures with respect to z.

use burn::tensor::Tensor;

use super::{Config, Folded};
use crate::generator::adjoint::{ConvAdjoint, pull_tanh, whole};
use crate::generator::layers::Linear;
use crate::generator::{Adjoint, Gradient, LoadError, Pulled, Tally, Tape};
use crate::layout::Weights;
use crate::ops::{Place, pull_lrelu};

/// The adjoint of [`super::Dcgan`].
pub(super) struct DcganAdjoint {
    /// `[channels * 16, z_dim]`
    first: Linear,
    rest: Vec<ConvAdjoint>,
}

impl DcganAdjoint {
    pub(super) fn load(
        config: &Config,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Self, LoadError> {
        let Folded { inputs, weight, .. } = Folded::load(config, 0, weights, tally)?;
        // The stored weight, one row per number of z, is that of the adjoint.
        let first = Linear::new(weight, vec![0.0; inputs], (1.0, 1.0), device);
        let mut rest = Vec::new();
        for (i, &outputs) in config.channels.iter().enumerate().skip(1) {
            let Folded { inputs, weight, .. } = Folded::load(config, i, weights, tally)?;
            rest.push(ConvAdjoint::transposed(&weight, [inputs, outputs], device));
        }
        Ok(DcganAdjoint { first, rest })
    }
}

impl Adjoint for DcganAdjoint {
    fn pull(&self, stage: usize, mut tape: Tape, grad: Gradient) -> Pulled {
        let grad = whole(grad);
        let Some(conv) = stage.checked_sub(1).map(|layer| &self.rest[layer]) else {
            let y = tape.take_rows();
            let grad = pull_lrelu(grad.reshape(y.dims()), y, 0.0);
            return Pulled { codes: vec![self.first.forward(grad)], ..Pulled::default() };
        };
        let grad = if stage == self.rest.len() { pull_tanh(grad, tape.take()) } else { grad };
        Pulled { input: Gradient::of_features(conv.pull_activated(grad, &mut tape)), ..Pulled::default() }
    }

    fn pull_map(&self, _: Tape, grad: Tensor<2>) -> Tensor<2> {
        grad
    }
}
