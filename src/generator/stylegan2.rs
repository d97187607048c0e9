//! StyleGAN2 (Karras et al., CVPR 2020, "Analyzing and Improving the Image Quality of StyleGAN") in its three architectures:
//! skip, residual and plain.
//!
//! Reference: NVlabs/stylegan2-ada-pytorch, `training/networks.py` (names and conventions). Differences, none of which
//! changes the result beyond rounding: weights are shared by a batch (input channels are scaled by the style and output
//! channels by the demodulation, instead of one fused weight per sample); the gain of the activation is folded into what
//! comes before it (`lrelu(a x) = a lrelu(x)` for a > 0); constant noise is scaled at load.

mod adjoint;

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use burn::tensor::Tensor;

use super::info::LayerInfo;
use super::layers::{ConvLayer, Linear, repeated, tensor};
use super::mapping::{Mapping, MappingConfig, MeanCodes};
use super::{
    Activation, Adjoint, Blueprint, Conditions, Facts, Label, LayerNoise, LoadError, Network, NoiseInput,
    ReadBackError, Stage, Tally, Tape, problem,
};
use crate::edit::{Truncation, Weighting};
use crate::layout::{LayoutError, Upsampling, Weights};
use crate::limits::{DOUBLINGS, SIDE};
use crate::ops::{self, After, Place, Upsample};
use crate::sefa::StyleRows;
use crate::size::Size;
use adjoint::StyleGan2Adjoint;

/// How blocks reach the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Architecture {
    /// Every block adds its RGB to the up-sampled picture.
    Skip,
    /// Every block adds its up-sampled input to its output; only the last has RGB.
    Residual,
    /// Only the last block has RGB.
    Plain,
}

/// Sizes, all read from tensor shapes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    architecture: Architecture,
    base: Size, // of the first block; every other one doubles it
    noise: NoiseInputs,
    upsampling: Upsampling,
    picture_channels: usize,
    mapping: MappingConfig,
    /// Output channels of each block, from the smallest up.
    channels: Vec<usize>,
}

/// The noise inputs that a network has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoiseInputs {
    None,
    /// Inputs without stored noise.
    Bare,
    Stored,
}

impl Config {
    pub(super) fn read(weights: &Weights) -> Result<Self, LayoutError> {
        let name = |block: usize| format!("synthesis.b{}.conv1.bias", 4 << block);
        let blocks = (0..=DOUBLINGS).take_while(|&block| weights.shape(&name(block)).is_some()).count();
        if blocks == 0 || blocks > DOUBLINGS {
            return Err(problem(weights, &name(0), format!("expected 1 to {DOUBLINGS} blocks, found {blocks}")));
        }
        let channels: Result<Vec<usize>, LayoutError> =
            (0..blocks).map(|block| Ok(weights.dims::<1>(&name(block))?[0])).collect();
        let [_, height, width] = weights.dims::<3>("synthesis.b4.const")?;
        let base = Size::new(width, height);
        if base.larger() > SIDE >> (blocks - 1) {
            let what = format!("expected at most {SIDE} pixels after {blocks} blocks, found {base} in the first");
            return Err(problem(weights, "synthesis.b4.const", what));
        }
        let has = |part: &str| weights.shape(&format!("synthesis.b4.conv1.{part}")).is_some();
        let noise = match (has("noise_strength"), has("noise_const")) {
            (false, _) => NoiseInputs::None,
            (true, false) => NoiseInputs::Bare,
            (true, true) => NoiseInputs::Stored,
        };
        let architecture = if weights.shape("synthesis.b8.skip.weight").is_some() {
            Architecture::Residual
        } else if weights.shape("synthesis.b4.torgb.weight").is_some() {
            Architecture::Skip
        } else {
            Architecture::Plain
        };
        let [picture_channels, ..] = weights.dims::<4>(&format!("synthesis.b{}.torgb.weight", 2 << blocks))?;
        let mapping = MappingConfig::read(weights, "fc")?;
        let upsampling = weights.conventions.upsampling;
        Ok(Config { architecture, base, noise, upsampling, picture_channels, mapping, channels: channels? })
    }

    fn num_layers(&self) -> usize {
        2 * self.channels.len()
    }

    fn has_rgb(&self, block: usize) -> bool {
        self.architecture == Architecture::Skip || block + 1 == self.channels.len()
    }

    /// Style layers in the order of w: conv layer n reads w number n, the last one is the last RGB layer.
    fn layers(&self) -> Vec<LayerInfo> {
        let last = self.num_layers() - 1;
        let layer = |index: usize| {
            let (block, name) = if index == last {
                (index / 2, "torgb")
            } else {
                (index.div_ceil(2), if index.is_multiple_of(2) { "conv1" } else { "conv0" })
            };
            let input_block = if name == "conv0" { block - 1 } else { block };
            LayerInfo {
                index,
                name: format!("synthesis.b{}.{name}", 4 << block),
                size: self.base.doubled(block),
                channels: self.channels[input_block],
            }
        };
        (0..=last).map(layer).collect()
    }
}

impl Blueprint for Config {
    fn facts(&self) -> Facts {
        Facts {
            size: self.base.doubled(self.channels.len() - 1),
            channels: self.picture_channels,
            z_dim: self.mapping.z_dim,
            w_dim: Some(self.mapping.w_dim),
            layers: self.layers(),
            classes: self.mapping.classes(),
            default_truncation: Some(Truncation::default()),
            has_noise: self.noise != NoiseInputs::None,
            stores_noise: self.noise == NoiseInputs::Stored,
            slider_range: 15.0, // SeFa's own interface
        }
    }

    fn map_bytes(&self) -> Vec<u64> {
        let of_block =
            |(block, &channels): (usize, &usize)| 4 * channels as u64 * self.base.doubled(block).pixels() as u64;
        self.channels.iter().enumerate().map(of_block).collect()
    }

    fn load(&self, weights: &Weights, device: &Place, tally: &mut Tally) -> Result<Box<dyn Network>, LoadError> {
        Ok(Box::new(StyleGan2::load(self, weights, device, tally)?))
    }

    fn load_adjoint(
        &self,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Option<Box<dyn Adjoint>>, LoadError> {
        Ok(Some(Box::new(StyleGan2Adjoint::load(self, weights, device, tally)?)))
    }
}

struct StyleGan2 {
    mapping: Mapping,
    w_mean: MeanCodes,
    constant: Tensor<4>,
    blocks: Vec<Block>,
    upsample: Upsample,
    reads_noise: bool,
    /// SeFa's matrices per layer, of the conv (last: RGB) layer.
    style_rows: Vec<StyleRows>,
    /// Of the RGB layer of the 4x4 block, which only the skip architecture has.
    first_rgb_rows: Option<StyleRows>,
}

struct Block {
    size: Size,
    /// Number of the block's first style layer.
    first_layer: usize,
    /// Absent in the 4x4 block.
    up: Option<StyledConv>,
    conv: StyledConv,
    /// The residual architecture's 1x1 convolution before up-sampling.
    skip: Option<ConvLayer>,
    rgb: Option<ToRgb>,
}

impl StyleGan2 {
    fn load(config: &Config, weights: &Weights, device: &Place, tally: &mut Tally) -> Result<Self, LoadError> {
        let mapping = config.mapping.load(SQRT_2, weights, device, tally)?;
        let c0 = config.channels[0];
        let Size { width, height } = config.base;
        let constant = tally.get(weights, "synthesis.b4.const", &[c0, height, width])?;
        let mut blocks = Vec::new();
        let mut style_rows = Vec::new();
        let mut first_rgb_rows = None;
        for (b, &channels) in config.channels.iter().enumerate() {
            let size = config.base.doubled(b);
            let prefix = format!("synthesis.b{}", 4 << b);
            let mut loader = LayerLoader { config, weights, device, size, tally };
            let (mut up, mut skip) = (None, None);
            // Both branches of a residual block are scaled by sqrt(1/2), so that their sum keeps its variance.
            let mut scale = 1.0;
            if b > 0 {
                let inputs = config.channels[b - 1];
                let (layer, rows) = loader.conv(&format!("{prefix}.conv0"), [channels, inputs], true, 1.0)?;
                up = Some(layer);
                style_rows.push(rows);
                if config.architecture == Architecture::Residual {
                    scale = FRAC_1_SQRT_2;
                    let weight =
                        loader.tally.get(weights, &format!("{prefix}.skip.weight"), &[channels, inputs, 1, 1])?;
                    skip = Some(ConvLayer::new(
                        weight,
                        [channels, inputs, 1],
                        scale / (inputs as f64).sqrt(),
                        None,
                        device,
                    ));
                }
            }
            let (conv, rows) = loader.conv(&format!("{prefix}.conv1"), [channels, channels], false, scale)?;
            style_rows.push(rows);
            let mut rgb = None;
            if config.has_rgb(b) {
                let (layer, rows) = loader.rgb(&format!("{prefix}.torgb"), channels)?;
                if b == 0 {
                    first_rgb_rows = Some(rows.clone());
                }
                if b + 1 == config.channels.len() {
                    style_rows.push(rows);
                }
                rgb = Some(layer);
            }
            blocks.push(Block { size, first_layer: (2 * b).saturating_sub(1), up, conv, skip, rgb });
        }
        let w_mean = mapping.means("mapping.w_avg", config.num_layers(), weights, tally)?;
        Ok(StyleGan2 {
            mapping,
            w_mean,
            constant: tensor(constant, [1, c0, height, width], device),
            blocks,
            upsample: match config.upsampling {
                Upsampling::Fir => Upsample::new(device),
                Upsampling::Bilinear => Upsample::bilinear(device),
            },
            reads_noise: config.noise != NoiseInputs::None,
            style_rows,
            first_rgb_rows,
        })
    }
}

impl Network for StyleGan2 {
    fn stages(&self) -> Vec<Stage> {
        let stage = |block: &Block| {
            let convs = if block.up.is_some() { 2 } else { 1 };
            let end = block.first_layer + convs + usize::from(block.rgb.is_some());
            Stage {
                name: block.size.name(),
                layers: (block.first_layer..end).collect(),
                reads_noise: self.reads_noise,
                ..Stage::default()
            }
        };
        self.blocks.iter().map(stage).collect()
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
        let mut codes = codes.iter();
        let mut layer = block.first_layer;
        let mut next = || {
            layer += 1;
            (layer - 1, codes.next().expect("the engine passes one code per layer of the stage").clone())
        };
        let before = match input {
            Some(input) => input.features.clone(),
            None => repeated(&self.constant, conditions.len()),
        };
        let mut features = before.clone();
        if let Some(up) = &block.up {
            let (layer, w) = next();
            features = up.forward(features, w, noise.of_layer(layer, block.size), tape);
        }
        let (layer, w) = next();
        features = block.conv.forward(features, w, noise.of_layer(layer, block.size), tape);
        if let Some(skip) = &block.skip {
            features = ops::sum(features, self.upsample.forward(skip.forward(before)));
        }
        // Only the skip architecture has a picture before the last block, and then one after every block.
        let smaller = input.and_then(|input| input.picture.clone());
        let picture = block.rgb.as_ref().map(|rgb| {
            let (_, w) = next();
            rgb.forward(features.clone(), w, smaller, &self.upsample, tape)
        });
        Activation { features, picture }
    }

    /// SeFa (Shen & Zhou, 2021, released code) takes the styles of the conv layers and of the last RGB layer. rosinality's
    /// raw variant takes those of the conv layers and of the first RGB layer, which reads w number 1.
    fn style_rows(&self, layer: usize, weighting: Weighting) -> Vec<&StyleRows> {
        let rows = &self.style_rows[layer];
        match weighting {
            Weighting::RowNormalised => vec![rows],
            Weighting::Raw if layer + 1 == self.style_rows.len() => vec![],
            Weighting::Raw if layer == 1 => std::iter::once(rows).chain(&self.first_rgb_rows).collect(),
            Weighting::Raw => vec![rows],
        }
    }
}

/// Reads the layers of one block.
struct LayerLoader<'a, 'b> {
    config: &'a Config,
    weights: &'a Weights,
    device: &'a Place,
    size: Size,
    tally: &'a mut Tally<'b>,
}

impl LayerLoader<'_, '_> {
    fn affine(&mut self, prefix: &str, inputs: usize) -> Result<(Linear, StyleRows), LoadError> {
        let w_dim = self.config.mapping.w_dim;
        let weight = self.tally.get(self.weights, &format!("{prefix}.affine.weight"), &[inputs, w_dim])?;
        let bias = self.tally.get(self.weights, &format!("{prefix}.affine.bias"), &[inputs])?;
        let rows = StyleRows { values: weight.clone(), dim: w_dim };
        Ok((Linear::new(weight, bias, (1.0 / (w_dim as f64).sqrt(), 1.0), self.device), rows))
    }

    /// `scale` multiplies the layer's output.
    fn conv(
        &mut self,
        prefix: &str,
        [outputs, inputs]: [usize; 2],
        up: bool,
        scale: f64,
    ) -> Result<(StyledConv, StyleRows), LoadError> {
        let (style, rows) = self.affine(prefix, inputs)?;
        let (weights, device) = (self.weights, self.device);
        let (Size { width, height }, side) = (self.size, self.size.larger());
        let weight = self.tally.get(weights, &format!("{prefix}.weight"), &[outputs, inputs, 3, 3])?;
        let bias = self.tally.get(weights, &format!("{prefix}.bias"), &[outputs])?;
        let strength = self.tally.find(weights, &format!("{prefix}.noise_strength"), &[])?;
        let noise = self.tally.find(weights, &format!("{prefix}.noise_const"), &[height, width])?;
        let gain = SQRT_2 * scale;
        let strength = strength.and_then(|strength| strength.first().copied()).unwrap_or(0.0);
        let noise_gain = f64::from(strength) * gain;
        let sums = weight.as_chunks::<9>().0.iter().map(|kernel| kernel.iter().map(|x| x * x).sum()).collect();
        let is_interpolated = up && self.config.upsampling == Upsampling::Bilinear;
        let conv = StyledConv {
            style,
            interpolation: is_interpolated.then(|| Upsample::bilinear(device)),
            op: match up && !is_interpolated {
                // The stored weight is the kernel of the transposed convolution as it is (NVIDIA's convention).
                true => ModulatedConv::Up(ops::ConvUp::for_side(&weight, [outputs, inputs], side / 2, device)),
                false => ModulatedConv::Same(ops::Conv::for_side(&weight, [outputs, inputs, 3], side, device)),
            },
            demodulation: ops::Demodulation::new(sums, [outputs, inputs], gain, device),
            bias: tensor(bias, [outputs], device).mul_scalar(gain),
            noise_const: noise.map(|noise| tensor(noise, [1, 1, height, width], device).mul_scalar(noise_gain)),
            noise_gain,
            clamp: weights.conv_clamp.map(|limit| limit * scale as f32),
        };
        Ok((conv, rows))
    }

    fn rgb(&mut self, prefix: &str, inputs: usize) -> Result<(ToRgb, StyleRows), LoadError> {
        let (style, rows) = self.affine(prefix, inputs)?;
        let outputs = self.config.picture_channels;
        let mut weight = self.tally.get(self.weights, &format!("{prefix}.weight"), &[outputs, inputs, 1, 1])?;
        let bias = self.tally.get(self.weights, &format!("{prefix}.bias"), &[outputs])?;
        let gain = 1.0 / (inputs as f32).sqrt();
        weight.iter_mut().for_each(|x| *x *= gain);
        let conv = ops::Conv::new(&weight, [outputs, inputs, 1], self.device);
        let bias = Some(tensor(bias, [outputs], self.device));
        Ok((
            ToRgb {
                style,
                conv,
                after: After { bias, clamp: self.weights.conv_clamp, is_picture: true, ..After::default() },
            },
            rows,
        ))
    }
}

/// A 3x3 modulated convolution with noise, bias and activation, which may double the resolution.
struct StyledConv {
    /// w -> style, the factors of the input channels.
    style: Linear,
    /// Doubles the size before an ordinary convolution.
    interpolation: Option<Upsample>,
    op: ModulatedConv,
    /// Times the gain of the activation: sqrt(2), or 1 in a residual block.
    demodulation: ops::Demodulation,
    /// `[outputs]`, times the gain
    bias: Tensor<1>,
    /// `[1, 1, height, width]`, times strength and gain
    noise_const: Option<Tensor<4>>,
    /// strength times gain
    noise_gain: f64,
    clamp: Option<f32>,
}

enum ModulatedConv {
    Same(ops::Conv),
    Up(ops::ConvUp),
}

impl StyledConv {
    /// `[N, inputs, h, w]`, w `[N, w_dim]` -> `[N, outputs, height, width]`
    fn forward(&self, x: Tensor<4>, w: Tensor<2>, noise: LayerNoise, tape: &mut Tape) -> Tensor<4> {
        let style = self.style.forward(w);
        let after = After {
            scale: Some(self.demodulation.forward(style.clone())),
            bias: Some(self.bias.clone()),
            noise: match noise {
                LayerNoise::Const => self.noise_const.clone(),
                LayerNoise::None => None,
                LayerNoise::Given(noise) => Some(noise.mul_scalar(self.noise_gain)),
            },
            slope: Some(0.2),
            clamp: self.clamp,
            is_picture: false,
        };
        let x = match &self.interpolation {
            Some(interpolation) => interpolation.forward(x),
            None => x,
        };
        tape.keep(&x);
        tape.keep_rows(&style);
        let y = match &self.op {
            ModulatedConv::Same(conv) => conv.forward(x, Some(style), &after),
            ModulatedConv::Up(conv) => conv.forward(x, Some(style), &after),
        };
        tape.keep(&y);
        tape.keep_after(&after);
        y
    }
}

/// A 1x1 modulated convolution to picture channels, without demodulation.
struct ToRgb {
    style: Linear,
    /// Weights divided by sqrt(inputs).
    conv: ops::Conv,
    after: After,
}

impl ToRgb {
    /// `[N, inputs, h, w]`, w `[N, w_dim]` -> `[N, picture channels, h, w]`, with the smaller picture up-sampled and added
    fn forward(
        &self,
        x: Tensor<4>,
        w: Tensor<2>,
        smaller: Option<Tensor<4>>,
        upsample: &Upsample,
        tape: &mut Tape,
    ) -> Tensor<4> {
        let style = self.style.forward(w);
        tape.keep(&x);
        tape.keep_rows(&style);
        match smaller {
            Some(smaller) if tape.is_on() && self.after.clamp.is_some() => {
                // What was clamped shows in the block's own picture alone.
                let own = self.conv.forward(x, Some(style), &self.after);
                tape.keep(&own);
                upsample.forward(smaller) + own
            }
            Some(smaller) => {
                let picture = self.conv.forward_onto(smaller, upsample, x, Some(style), &self.after);
                tape.keep(&picture);
                picture
            }
            None => {
                let own = self.conv.forward(x, Some(style), &self.after);
                tape.keep(&own);
                own
            }
        }
    }
}
