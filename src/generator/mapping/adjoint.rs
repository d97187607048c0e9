//! The gradient of w with respect to z.

use burn::tensor::Tensor;

use super::{MappingConfig, SLOPE, weight_gain};
use crate::generator::adjoint::linear;
use crate::generator::layers::Linear;
use crate::generator::{LoadError, Tally, Tape};
use crate::layout::{LatentNorm, Weights};
use crate::ops::{Place, pull_lrelu, pull_pixel_norm};

/// The adjoint of [`super::Mapping`].
pub(in crate::generator) struct MappingAdjoint {
    z_dim: usize,
    layers: Vec<Linear>,
    norm: LatentNorm,
}

impl MappingConfig {
    pub(in crate::generator) fn load_adjoint(
        &self,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<MappingAdjoint, LoadError> {
        let mut layers = Vec::new();
        for (i, &[outputs, inputs]) in self.layers.iter().enumerate() {
            let weight = tally.get(weights, &format!("mapping.{}{i}.weight", self.layer_name), &[outputs, inputs])?;
            layers.push(linear(&weight, inputs, weight_gain(inputs), device));
        }
        Ok(MappingAdjoint { z_dim: self.z_dim, layers, norm: weights.conventions.latent_norm })
    }
}

impl MappingAdjoint {
    /// `[N, w_dim]` -> `[N, z_dim]`
    pub(in crate::generator) fn pull(&self, mut tape: Tape, grad: Tensor<2>) -> Tensor<2> {
        let through = |grad, layer: &Linear| layer.forward(pull_lrelu(grad, tape.take_rows(), SLOPE));
        let grad = self.layers.iter().rev().fold(grad, through);
        let x = tape.take_rows();
        // Beside z may be a class, normalised with it or by itself.
        let width = x.dims()[1];
        let grad = grad.narrow(1, 0, width);
        let grad = match self.norm {
            LatentNorm::Squares => pull_pixel_norm(grad, x),
            LatentNorm::Root => pull_root_norm(grad, x),
        };
        grad.narrow(1, 0, self.z_dim)
    }
}

/// Of `x / (root of the mean square + 1e-6)`.
fn pull_root_norm(grad: Tensor<2>, x: Tensor<2>) -> Tensor<2> {
    let root = x.clone().square().mean_dim(1).sqrt();
    let length = root.clone().add_scalar(1e-6);
    let along = (grad.clone() * x.clone()).mean_dim(1) / (root * length.clone());
    (grad - x * along) / length
}
