//! Gradients of PGGAN's pictures with respect to z.

use burn::tensor::Tensor;

use super::{Config, first_rows, gain};
use crate::generator::adjoint::{ConvAdjoint, add, linear};
use crate::generator::layers::{Growth, Linear};
use crate::generator::{Adjoint, Gradient, LoadError, Pulled, Tally, Tape};
use crate::layout::{PgganClasses, Weights};
use crate::ops::{Place, pull_lrelu, pull_pixel_norm};

/// The adjoint of [`super::Pggan`].
pub(super) struct PgganAdjoint {
    z_dim: usize,
    classes: Option<PgganClasses>,
    first: Linear,
    blocks: Vec<Block>,
    growth: Growth,
}

struct Block {
    up: Option<ConvAdjoint>,
    conv: ConvAdjoint,
    rgb: ConvAdjoint,
}

impl PgganAdjoint {
    pub(super) fn load(
        config: &Config,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Self, LoadError> {
        let (c0, z_dim) = (config.channels[0], config.z_dim);
        let inputs = z_dim + config.classes.map_or(0, |classes| classes.count);
        let stored = tally.get(weights, "layer0.weight", &[c0, inputs, 4, 4])?;
        let first = linear(&first_rows(&stored, [c0, inputs]), inputs, gain(16 * inputs), device);
        let mut blocks = Vec::new();
        for (b, &channels) in config.channels.iter().enumerate() {
            let mut weight = |name: String, outputs: usize, inputs: usize, kernel: usize| {
                tally.get(weights, &name, &[outputs, inputs, kernel, kernel])
            };
            let mut up = None;
            if b > 0 {
                let inputs = config.channels[b - 1];
                let weight = weight(format!("layer{}.weight", 2 * b), channels, inputs, 3)?;
                up = Some(ConvAdjoint::nearest(weight, [channels, inputs], 2 << b, gain(9 * inputs), device));
            }
            let conv = weight(format!("layer{}.weight", 2 * b + 1), channels, channels, 3)?;
            let outputs = config.picture_channels;
            let rgb = weight(format!("output{b}.weight"), outputs, channels, 1)?;
            blocks.push(Block {
                up,
                conv: ConvAdjoint::same(conv, [channels, channels, 3], 4 << b, gain(9 * channels), device),
                rgb: ConvAdjoint::same(rgb, [outputs, channels, 1], 0, 1.0 / (channels as f64).sqrt(), device),
            });
        }
        let growth = config.growth(weights, tally)?;
        Ok(PgganAdjoint { z_dim, classes: config.classes, first, blocks, growth })
    }

    /// `[N, C, 4, 4]` -> code `[N, z_dim]`
    fn pull_first_map(&self, grad: Tensor<4>, tape: &mut Tape) -> Tensor<2> {
        let (y, x, code) = (tape.take_rows(), tape.take_rows(), tape.take_rows());
        let grad = self.first.forward(pull_lrelu(grad.reshape(y.dims()), y, 0.2));
        let grad = pull_pixel_norm(grad, x);
        // A class beside z goes nowhere; one that was normalised with it does after that.
        let width = code.dims()[1];
        pull_pixel_norm(grad.narrow(1, 0, width), code).narrow(1, 0, self.z_dim)
    }
}

impl Adjoint for PgganAdjoint {
    fn pull(&self, stage: usize, mut tape: Tape, grad: Gradient) -> Pulled {
        let block = &self.blocks[stage];
        let [own, before] = self.growth.pull(stage, grad.picture);
        let of_rgb = own.map(|own| pull_pixel_norm(block.rgb.pull(own, None), tape.take()));
        let mut features = add(grad.features, of_rgb);
        if self.growth.runs(stage) {
            let layer = |grad, conv: &ConvAdjoint| {
                let grad = conv.pull_activated(grad, &mut tape);
                pull_pixel_norm(grad, tape.take())
            };
            features = features.map(|grad| [&block.conv].into_iter().chain(&block.up).fold(grad, layer));
        }
        if stage > 0 {
            return Pulled { input: Gradient { features, picture: before }, ..Pulled::default() };
        }
        let features = features.unwrap_or_else(|| unreachable!("the first map makes every picture"));
        Pulled { codes: vec![self.pull_first_map(features, &mut tape)], ..Pulled::default() }
    }

    fn pull_map(&self, mut tape: Tape, grad: Tensor<2>) -> Tensor<2> {
        if self.classes.is_some_and(|classes| classes.normalised_with_z) {
            return grad;
        }
        pull_pixel_norm(grad, tape.take_rows())
    }
}
