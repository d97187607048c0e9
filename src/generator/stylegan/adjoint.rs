//! Gradients of StyleGAN's pictures with respect to w.

use burn::tensor::Tensor;

use super::{Config, FUSED_FROM, gain};
use crate::generator::adjoint::{ConvAdjoint, add, linear};
use crate::generator::layers::{Growth, Linear};
use crate::generator::mapping::MappingAdjoint;
use crate::generator::{Adjoint, Gradient, LoadError, Pulled, Tally, Tape};
use crate::layout::Weights;
use crate::ops::{Place, StyleLayer};

/// The adjoint of [`super::StyleGan`].
pub(super) struct StyleGanAdjoint {
    mapping: MappingAdjoint,
    w_dim: usize,
    blocks: Vec<Block>,
    growth: Growth,
}

struct Block {
    layers: [Layer; 2],
    rgb: Option<ConvAdjoint>,
}

/// The adjoint of [`super::Layer`].
struct Layer {
    conv: Option<ConvAdjoint>,
    /// Its derivative needs what it made.
    after: StyleLayer,
    style: Linear,
}

impl StyleGanAdjoint {
    pub(super) fn load(
        config: &Config,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Self, LoadError> {
        let mapping = config.mapping.load_adjoint(weights, device, tally)?;
        let (growth, w_dim) = (config.growth(weights, tally)?, config.mapping.w_dim);
        let mut blocks = Vec::new();
        for (b, &channels) in config.channels.iter().enumerate() {
            let inputs = b.checked_sub(1).map(|before| config.channels[before]);
            let mut layer = |n: usize, inputs| Layer::load(n, [w_dim, channels], inputs, weights, device, tally);
            let layers = [layer(2 * b, inputs)?, layer(2 * b + 1, Some(channels))?];
            let (name, outputs) = (format!("synthesis.output{b}.weight"), config.picture_channels);
            let mut rgb = None;
            if growth.shows(b) {
                let weight = tally.get(weights, &name, &[outputs, channels, 1, 1])?;
                let gain = 1.0 / (channels as f64).sqrt();
                rgb = Some(ConvAdjoint::same(weight, [outputs, channels, 1], 0, gain, device));
            }
            blocks.push(Block { layers, rgb });
        }
        Ok(StyleGanAdjoint { mapping, w_dim, blocks, growth })
    }
}

impl Adjoint for StyleGanAdjoint {
    fn pull(&self, stage: usize, mut tape: Tape, grad: Gradient) -> Pulled {
        let block = &self.blocks[stage];
        let [own, before] = self.growth.pull(stage, grad.picture);
        let of_rgb = own.zip(block.rgb.as_ref()).map(|(own, rgb)| rgb.pull(own, None));
        let mut features = add(grad.features, of_rgb);
        let mut codes = Vec::new();
        if self.growth.runs(stage) {
            for layer in block.layers.iter().rev() {
                let Some(grad) = features else {
                    unreachable!("a block that runs makes a picture, or what one is made of")
                };
                let (of_input, of_w) = layer.pull(grad, &mut tape);
                codes.insert(0, of_w);
                features = Some(of_input);
            }
        } else if let Some(picture) = &before {
            codes = vec![Tensor::zeros([picture.dims()[0], self.w_dim], &picture.device()); 2];
        }
        let input = if stage > 0 { Gradient { features, picture: before } } else { Gradient::default() };
        Pulled { input, codes, embedding: None }
    }

    fn pull_map(&self, tape: Tape, grad: Tensor<2>) -> Tensor<2> {
        self.mapping.pull(tape, grad)
    }
}

impl Layer {
    /// Layer n; `inputs` is `None` for the layer that starts from the constant.
    fn load(
        n: usize,
        [w_dim, outputs]: [usize; 2],
        inputs: Option<usize>,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Self, LoadError> {
        let (up, r) = (n.is_multiple_of(2), 4 << (n / 2));
        let mut get = |part: &str, shape: &[usize]| tally.get(weights, &format!("synthesis.layer{n}.{part}"), shape);
        let conv = match inputs {
            None => None,
            Some(inputs) => {
                let weight = get("weight", &[outputs, inputs, 3, 3])?;
                let gain = gain(inputs);
                Some(match up {
                    false => ConvAdjoint::same(weight, [outputs, inputs, 3], r, gain, device),
                    true if r < FUSED_FROM => ConvAdjoint::nearest(weight, [outputs, inputs], r / 2, gain, device),
                    true => ConvAdjoint::fused_up(weight, [outputs, inputs], r / 2, gain, device),
                })
            }
        };
        let (bias, strength) = (get("bias", &[outputs])?, get("apply_noise.weight", &[outputs])?);
        let style = get("style.weight", &[2 * outputs, w_dim])?;
        Ok(Layer {
            after: StyleLayer::new(bias, strength, up && conv.is_some(), device)
                .with_epsilon(weights.instance_norm_epsilon),
            conv,
            style: linear(&style, w_dim, 1.0 / (w_dim as f64).sqrt(), device),
        })
    }

    /// From `[N, outputs, r, r]` to `[N, inputs, h, w]` and w `[N, w_dim]`
    fn pull(&self, grad: Tensor<4>, tape: &mut Tape) -> (Tensor<4>, Tensor<2>) {
        let noise = tape.take_after().noise;
        let (style, x) = (tape.take_rows(), tape.take());
        let (grad, of_style) = self.after.pull(grad, x, noise, style);
        let grad = match &self.conv {
            Some(conv) => conv.pull(grad, None),
            None => grad,
        };
        (grad, self.style.forward(of_style))
    }
}
