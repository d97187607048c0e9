//! StyleGAN (Karras et al., CVPR 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks").
//!
//! Reference: NVlabs/stylegan, `training/networks_stylegan.py` (`G_style`), and genforce/genforce,
//! `models/stylegan_generator.py` (names); rosinality/style-based-gan-pytorch, `model.py`, for the bias before the blur and the noise
//! that layers share. Difference, which does not change the result beyond rounding: nearest up-sampling
//! and the convolution after it are one operator at every resolution. From 128 pixels on the reference does
//! so too, and thereby reads the kernel reversed.

mod adjoint;

use std::f64::consts::SQRT_2;

use burn::tensor::Tensor;

use super::info::LayerInfo;
use super::layers::{ConvLayer, Growth, Linear, repeated, tensor};
use super::mapping::{Mapping, MappingConfig, MeanCodes};
use super::{
    Activation, Adjoint, Blueprint, Conditions, Facts, Label, LayerNoise, LoadError, Network, NoiseInput,
    ReadBackError, Stage, Tally, Tape, problem,
};
use crate::edit::{Truncation, Weighting};
use crate::layout::{LayoutError, Weights};
use crate::limits::DOUBLINGS;
use crate::ops::{After, Place, StyleLayer};
use crate::sefa::StyleRows;
use crate::size::Size;
use adjoint::StyleGanAdjoint;

/// Resolution from which on the reference fuses up-sampling with the convolution.
const FUSED_FROM: usize = 128;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    picture_channels: usize,
    mapping: MappingConfig,
    /// Output channels of each block, from 4x4 up.
    channels: Vec<usize>,
    stores_noise: bool,
}

impl Config {
    pub(super) fn read(weights: &Weights) -> Result<Self, LayoutError> {
        let name = |block: usize| format!("synthesis.layer{}.bias", 2 * block + 1);
        let blocks = (0..=DOUBLINGS).take_while(|&block| weights.shape(&name(block)).is_some()).count();
        if blocks == 0 || blocks > DOUBLINGS {
            return Err(problem(weights, &name(0), format!("expected 1 to {DOUBLINGS} blocks, found {blocks}")));
        }
        let channels: Result<Vec<usize>, LayoutError> =
            (0..blocks).map(|block| Ok(weights.dims::<1>(&name(block))?[0])).collect();
        let [picture_channels, ..] = weights.dims::<4>(&format!("synthesis.output{}.weight", blocks - 1))?;
        let mapping = MappingConfig::read(weights, "dense")?;
        let stores_noise = weights.shape("synthesis.layer0.apply_noise.noise").is_some();
        Ok(Config { picture_channels, mapping, channels: channels?, stores_noise })
    }

    fn growth(&self, weights: &Weights, tally: &mut Tally) -> Result<Growth, LoadError> {
        let lod = tally.find(weights, "synthesis.lod", &[])?.and_then(|lod| lod.first().copied()).unwrap_or(0.0);
        Ok(Growth::new(lod, self.channels.len()))
    }

    fn num_layers(&self) -> usize {
        2 * self.channels.len()
    }
}

impl Blueprint for Config {
    fn facts(&self) -> Facts {
        let layer = |index: usize| LayerInfo {
            index,
            name: format!("synthesis.layer{index}"),
            size: Size::square(4 << (index / 2)),
            channels: 2 * self.channels[index / 2],
        };
        Facts {
            size: Size::square(2 << self.channels.len()),
            channels: self.picture_channels,
            z_dim: self.mapping.z_dim,
            w_dim: Some(self.mapping.w_dim),
            layers: (0..self.num_layers()).map(layer).collect(),
            classes: self.mapping.classes(),
            default_truncation: Some(Truncation { psi: 0.7, cutoff: Some(8) }),
            has_noise: true,
            stores_noise: self.stores_noise,
            slider_range: 2.0, // SeFa's own interface
        }
    }

    fn map_bytes(&self) -> Vec<u64> {
        let of_block = |(block, &channels): (usize, &usize)| 4 * channels as u64 * (4u64 << block).pow(2);
        self.channels.iter().enumerate().map(of_block).collect()
    }

    fn load(&self, weights: &Weights, device: &Place, tally: &mut Tally) -> Result<Box<dyn Network>, LoadError> {
        Ok(Box::new(StyleGan::load(self, weights, device, tally)?))
    }

    fn load_adjoint(
        &self,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Option<Box<dyn Adjoint>>, LoadError> {
        Ok(Some(Box::new(StyleGanAdjoint::load(self, weights, device, tally)?)))
    }
}

struct StyleGan {
    mapping: Mapping,
    w_mean: MeanCodes,
    constant: Tensor<4>,
    blocks: Vec<Block>,
    growth: Growth,
    noise_of_blocks: bool,
    style_rows: Vec<StyleRows>,
}

struct Block {
    /// The block's two layers; the first one of the 4x4 block has no convolution.
    layers: [Layer; 2],
    /// Always there in the last block.
    rgb: Option<ConvLayer>,
}

impl StyleGan {
    fn load(config: &Config, weights: &Weights, device: &Place, tally: &mut Tally) -> Result<Self, LoadError> {
        let mapping = config.mapping.load(1.0, weights, device, tally)?;
        let w_mean = mapping.means("truncation.w_avg", config.num_layers(), weights, tally)?;
        let c0 = config.channels[0];
        let constant = tally.get(weights, "synthesis.layer0.const", &[1, c0, 4, 4])?;
        let growth = config.growth(weights, tally)?;
        let mut blocks = Vec::new();
        let mut style_rows = Vec::new();
        for (b, &channels) in config.channels.iter().enumerate() {
            let mut loader = LayerLoader { w_dim: config.mapping.w_dim, weights, device, resolution: 4 << b, tally };
            let inputs = if b > 0 { Some(config.channels[b - 1]) } else { None };
            let (first, first_rows) = loader.layer(2 * b, inputs, channels)?;
            let (second, second_rows) = loader.layer(2 * b + 1, Some(channels), channels)?;
            style_rows.extend([first_rows, second_rows]);
            let outputs = config.picture_channels;
            let name = format!("synthesis.output{b}");
            let mut rgb = None;
            if growth.shows(b) || weights.shape(&format!("{name}.weight")).is_some() {
                let weight = tally.get(weights, &format!("{name}.weight"), &[outputs, channels, 1, 1])?;
                let bias = tally.get(weights, &format!("{name}.bias"), &[outputs])?;
                let gain = 1.0 / (channels as f64).sqrt();
                rgb = Some(ConvLayer::new(weight, [outputs, channels, 1], gain, Some(bias), device).for_picture());
            }
            blocks.push(Block { layers: [first, second], rgb });
        }
        let constant = tensor(constant, [1, c0, 4, 4], device);
        let noise_of_blocks = weights.noise_of_blocks;
        Ok(StyleGan { mapping, w_mean, constant, blocks, growth, noise_of_blocks, style_rows })
    }
}

impl Network for StyleGan {
    fn stages(&self) -> Vec<Stage> {
        let stage = |block: usize| Stage {
            name: format!("{0}x{0}", 4 << block),
            layers: vec![2 * block, 2 * block + 1],
            reads_noise: true,
            ..Stage::default()
        };
        (0..self.blocks.len()).map(stage).collect()
    }

    fn codes_from_z(&self, z: &[&[f32]], labels: &[&Label]) -> Result<Vec<Vec<f32>>, ReadBackError> {
        self.mapping.w(z, labels)
    }

    fn map(&self, z: Tensor<2>, labels: &[&Label], tape: &mut Tape) -> Tensor<2> {
        self.mapping.map(z, labels, tape)
    }

    fn mean_code(&self, layer: usize) -> Option<&[f32]> {
        Some(self.w_mean.of_layer(layer))
    }

    fn run(
        &self,
        stage: usize,
        input: Option<&Activation>,
        codes: &[Tensor<2>],
        noise: &NoiseInput,
        conditions: &[Conditions],
        tape: &mut Tape,
    ) -> Activation {
        let block = &self.blocks[stage];
        let (mut x, before) = match input {
            Some(input) => (input.features.clone(), input.picture.clone()),
            None => (repeated(&self.constant, conditions.len()), None),
        };
        if self.growth.runs(stage) {
            for (i, (layer, w)) in block.layers.iter().zip(codes).enumerate() {
                let layer_of_noise = if self.noise_of_blocks { 2 * stage } else { 2 * stage + i };
                x = layer.forward(x, w.clone(), noise.of_layer(layer_of_noise, Size::square(4 << stage)), tape);
            }
        }
        let rgb = block.rgb.as_ref();
        let picture = rgb.and_then(|rgb| self.growth.picture(stage, before, || rgb.forward(x.clone())));
        Activation { features: x, picture }
    }

    fn style_rows(&self, layer: usize, _weighting: Weighting) -> Vec<&StyleRows> {
        vec![&self.style_rows[layer]]
    }
}

/// Of weights that are scaled while the network runs, with the gain of the activation.
fn gain(inputs: usize) -> f64 {
    SQRT_2 / (9.0 * inputs as f64).sqrt()
}

struct LayerLoader<'a, 'b> {
    w_dim: usize,
    weights: &'a Weights,
    device: &'a Place,
    resolution: usize,
    tally: &'a mut Tally<'b>,
}

impl LayerLoader<'_, '_> {
    /// Layer n; `inputs` is `None` for the layer that starts from the constant.
    fn layer(&mut self, n: usize, inputs: Option<usize>, outputs: usize) -> Result<(Layer, StyleRows), LoadError> {
        let (device, r, w_dim) = (self.device, self.resolution, self.w_dim);
        let up = n.is_multiple_of(2);
        let name = |part: &str| format!("synthesis.layer{n}.{part}");
        let early_bias = self.tally.find(self.weights, &name("early_bias"), &[outputs])?;
        let noise_const = self.tally.find(self.weights, &name("apply_noise.noise"), &[1, 1, r, r])?;
        let mut get = |part: &str, shape: &[usize]| self.tally.get(self.weights, &name(part), shape);
        let conv = match inputs {
            None => None,
            Some(inputs) => {
                let weight = get("weight", &[outputs, inputs, 3, 3])?;
                let gain = gain(inputs);
                Some(match up {
                    false => ConvLayer::for_side(weight, [outputs, inputs, 3], r, gain, early_bias, device),
                    true if r < FUSED_FROM => {
                        ConvLayer::after_nearest_up(weight, [outputs, inputs], r / 2, gain, early_bias, device)
                    }
                    true => ConvLayer::fused_up(weight, [outputs, inputs], r / 2, gain, early_bias, device),
                })
            }
        };
        let bias = get("bias", &[outputs])?;
        let strength = get("apply_noise.weight", &[outputs])?;
        let style_weight = get("style.weight", &[2 * outputs, w_dim])?;
        let style_bias = get("style.bias", &[2 * outputs])?;
        let rows = StyleRows { values: style_weight.clone(), dim: w_dim };
        let layer = Layer {
            after: StyleLayer::new(bias, strength, up && conv.is_some(), device)
                .with_epsilon(self.weights.instance_norm_epsilon),
            conv,
            noise_const: noise_const.map(|noise| tensor(noise, [1, 1, r, r], device)),
            style: Linear::new(style_weight, style_bias, (1.0 / (w_dim as f64).sqrt(), 1.0), device),
        };
        Ok((layer, rows))
    }
}

/// Convolution, noise, bias, activation, and adaptive instance normalisation.
struct Layer {
    conv: Option<ConvLayer>,
    after: StyleLayer,
    /// `[1, 1, r, r]`, if the file has it
    noise_const: Option<Tensor<4>>,
    /// w -> factors less 1, then offsets, `[w_dim, 2 * outputs]`
    style: Linear,
}

impl Layer {
    /// `[N, inputs, h, w]`, w `[N, w_dim]` -> `[N, outputs, r, r]`
    fn forward(&self, x: Tensor<4>, w: Tensor<2>, noise: LayerNoise, tape: &mut Tape) -> Tensor<4> {
        let x = match &self.conv {
            Some(conv) => conv.forward(x),
            None => x,
        };
        let noise = match noise {
            LayerNoise::Const => self.noise_const.clone(),
            LayerNoise::None => None,
            LayerNoise::Given(noise) => Some(noise),
        };
        let style = self.style.forward(w);
        tape.keep(&x);
        tape.keep_rows(&style);
        tape.keep_after(&After { noise: noise.clone(), ..After::default() });
        self.after.forward(x, noise, style)
    }
}
