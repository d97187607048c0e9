//! StyleGAN2, skip architecture (Karras et al., CVPR 2020, "Analyzing and Improving the Image Quality of StyleGAN").
//!
//! Reference: NVlabs/stylegan2-ada-pytorch, `training/networks.py` (names and conventions). Differences, none of which
//! changes the result beyond rounding: weights are shared by a batch (input channels are scaled by the style and output
//! channels by the demodulation, instead of one fused weight per sample); the gain sqrt(2) of the activation is folded into
//! what comes before it (`lrelu(a x) = a lrelu(x)` for a > 0); constant noise is scaled at load.

use std::f64::consts::SQRT_2;

use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Tensor};

use super::layers::{BlurAfterUp, Linear, UpsamplePicture, lrelu, pixel_norm, tensor};
use super::info::LayerInfo;
use super::{Activation, LayerNoise, LoadError, Network, NoiseInput, ReadBackError, Stage, Tally, read_back};
use crate::edit::Weighting;
use crate::latent;
use crate::layout::{LayoutError, Weights};
use crate::sefa::StyleRows;

/// Learning-rate multiplier of the mapping network, the same in every public model.
const MAPPING_LR: f64 = 0.01;

/// Sizes, all read from tensor shapes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub resolution: usize,
    pub picture_channels: usize,
    pub z_dim: usize,
    pub w_dim: usize,
    pub mapping_layers: usize,
    /// Output channels of each block, from 4x4 up.
    pub channels: Vec<usize>,
}

impl Config {
    pub(super) fn read(weights: &Weights) -> Result<Self, LayoutError> {
        let channels_of = |block: usize| weights.dims::<1>(&format!("synthesis.b{}.conv1.bias", 4 << block));
        let mut channels = Vec::new();
        while weights.shape(&format!("synthesis.b{}.conv1.bias", 4usize << channels.len())).is_some() {
            channels.push(channels_of(channels.len())?[0]);
        }
        let [_, w_dim] = weights.dims::<2>("synthesis.b4.conv1.affine.weight")?;
        let [_, z_dim] = weights.dims::<2>("mapping.fc0.weight")?;
        let mapping_layers =
            (0..).take_while(|i| weights.shape(&format!("mapping.fc{i}.weight")).is_some()).count();
        let [picture_channels, ..] = weights.dims::<4>("synthesis.b4.torgb.weight")?;
        let resolution = 2 << channels.len();
        Ok(Config { resolution, picture_channels, z_dim, w_dim, mapping_layers, channels })
    }

    pub(super) fn num_layers(&self) -> usize {
        2 * self.channels.len()
    }

    /// Style layers in the order of w: conv layer n reads w number n, the last one is the last RGB layer.
    pub(super) fn layers(&self) -> Vec<LayerInfo> {
        let last = self.num_layers() - 1;
        let layer = |index: usize| {
            let (block, name) = if index == last {
                (index / 2, "torgb")
            } else {
                (index.div_ceil(2), if index.is_multiple_of(2) { "conv1" } else { "conv0" })
            };
            let resolution = 4 << block;
            let input_block = if name == "conv0" { block - 1 } else { block };
            LayerInfo {
                index,
                name: format!("synthesis.b{resolution}.{name}"),
                resolution,
                channels: self.channels[input_block],
            }
        };
        (0..=last).map(layer).collect()
    }

    /// Bytes of the largest tensor of a forward pass: the map between a transposed convolution and its filter.
    pub(super) fn largest_tensor_bytes(&self) -> u64 {
        let of_block = |(block, &channels): (usize, &usize)| {
            let side = (4u64 << block) + 1;
            4 * channels as u64 * side * side
        };
        self.channels.iter().enumerate().map(of_block).max().unwrap_or(0)
    }
}

pub(super) struct StyleGan2 {
    mapping: Vec<Linear>,
    w_mean: Vec<f32>,
    constant: Tensor<4>,
    blocks: Vec<Block>,
    upsample: UpsamplePicture,
    /// SeFa's matrices per layer: of the conv (last: RGB) layer, and of the first RGB layer.
    style_rows: Vec<StyleRows>,
    first_rgb_rows: StyleRows,
    device: Device,
}

struct Block {
    resolution: usize,
    /// Number of the block's first style layer.
    first_layer: usize,
    /// Absent in the 4x4 block.
    up: Option<StyledConv>,
    conv: StyledConv,
    rgb: ToRgb,
}

impl StyleGan2 {
    pub(super) fn load(config: &Config, weights: &Weights, device: &Device, tally: &mut Tally) -> Result<Self, LoadError> {
        let mut mapping = Vec::new();
        for i in 0..config.mapping_layers {
            let [outputs, inputs] = weights.dims::<2>(&format!("mapping.fc{i}.weight"))?;
            let weight = tally.get(weights, &format!("mapping.fc{i}.weight"), &[outputs, inputs])?;
            let bias = tally.get(weights, &format!("mapping.fc{i}.bias"), &[outputs])?;
            // sqrt(2) of the activation goes into the weights.
            let gains = (SQRT_2 * MAPPING_LR / (inputs as f64).sqrt(), SQRT_2 * MAPPING_LR);
            mapping.push(Linear::new(weight, bias, gains, device));
        }
        let c0 = config.channels[0];
        let constant = tally.get(weights, "synthesis.b4.const", &[c0, 4, 4])?;
        let mut blocks = Vec::new();
        let mut style_rows = Vec::new();
        let mut first_rgb_rows = None;
        for (b, &channels) in config.channels.iter().enumerate() {
            let resolution = 4 << b;
            let prefix = format!("synthesis.b{resolution}");
            let mut loader = LayerLoader { config, weights, device, resolution, tally };
            let mut up = None;
            if b > 0 {
                let (layer, rows) = loader.conv(&format!("{prefix}.conv0"), config.channels[b - 1], channels, true)?;
                up = Some(layer);
                style_rows.push(rows);
            }
            let (conv, rows) = loader.conv(&format!("{prefix}.conv1"), channels, channels, false)?;
            style_rows.push(rows);
            let (rgb, rows) = loader.rgb(&format!("{prefix}.torgb"), channels)?;
            first_rgb_rows.get_or_insert_with(|| rows.clone());
            if b + 1 == config.channels.len() {
                style_rows.push(rows);
            }
            blocks.push(Block { resolution, first_layer: (2 * b).saturating_sub(1), up, conv, rgb });
        }
        let w_mean = tally.find(weights, "mapping.w_avg", &[config.w_dim])?;
        let mut network = StyleGan2 {
            mapping,
            w_mean: Vec::new(),
            constant: tensor(constant, [1, c0, 4, 4], device),
            blocks,
            upsample: UpsamplePicture::new(device),
            style_rows,
            first_rgb_rows: first_rgb_rows.ok_or(LoadError::NoLayers)?,
            device: device.clone(),
        };
        network.w_mean = match w_mean {
            Some(mean) => mean,
            None => network.estimate_w_mean(config.z_dim)?,
        };
        Ok(network)
    }

    /// Mean of 4096 mapped w: what rosinality's training files leave to the reader.
    fn estimate_w_mean(&self, z_dim: usize) -> Result<Vec<f32>, LoadError> {
        const SAMPLES: usize = 4096;
        let z = tensor(latent::z_from_seed(0, SAMPLES * z_dim), [SAMPLES, z_dim], &self.device);
        Ok(read_back(self.map(z).mean_dim(0))?)
    }

    /// `[N, z_dim]` -> w, `[N, w_dim]`
    fn map(&self, z: Tensor<2>) -> Tensor<2> {
        self.mapping.iter().fold(pixel_norm(z), |x, layer| lrelu(layer.forward(x)))
    }
}

impl Network for StyleGan2 {
    fn stages(&self) -> Vec<Stage> {
        let stage = |block: &Block| {
            let last = block.first_layer + if block.up.is_some() { 2 } else { 1 };
            Stage {
                name: format!("{0}x{0}", block.resolution),
                layers: (block.first_layer..=last).collect(),
                reads_noise: true,
            }
        };
        self.blocks.iter().map(stage).collect()
    }

    fn code_from_z(&self, z: &[f32], _class: Option<usize>) -> Result<Vec<f32>, ReadBackError> {
        read_back(self.map(tensor(z.to_vec(), [1, z.len()], &self.device)))
    }

    fn mean_code(&self) -> Option<&[f32]> {
        Some(&self.w_mean)
    }

    fn run(&self, stage: usize, input: Option<&Activation>, codes: &[Tensor<2>], noise: &NoiseInput) -> Activation {
        let block = &self.blocks[stage];
        let mut codes = codes.iter();
        let mut layer = block.first_layer;
        let mut next = || {
            layer += 1;
            (layer - 1, codes.next().expect("the engine passes one code per layer of the stage").clone())
        };
        let mut features = match input {
            Some(input) => input.features.clone(),
            None => self.constant.clone(),
        };
        if let Some(up) = &block.up {
            let (layer, w) = next();
            features = up.forward(features, w, noise.of_layer(layer, block.resolution));
        }
        let (layer, w) = next();
        features = block.conv.forward(features, w, noise.of_layer(layer, block.resolution));
        let (_, w) = next();
        let rgb = block.rgb.forward(features.clone(), w);
        let picture = match input.and_then(|input| input.picture.clone()) {
            Some(smaller) => self.upsample.forward(smaller) + rgb,
            None => rgb,
        };
        Activation { features, picture: Some(picture) }
    }

    /// SeFa (Shen & Zhou, 2021, released code) takes the styles of the conv layers and of the last RGB layer. rosinality's
    /// raw variant takes those of the conv layers and of the first RGB layer, which reads w number 1.
    fn style_rows(&self, layer: usize, weighting: Weighting) -> Vec<&StyleRows> {
        let rows = &self.style_rows[layer];
        match weighting {
            Weighting::RowNormalised => vec![rows],
            Weighting::Raw if layer + 1 == self.style_rows.len() => vec![],
            Weighting::Raw if layer == 1 => vec![rows, &self.first_rgb_rows],
            Weighting::Raw => vec![rows],
        }
    }
}

/// Reads the layers of one block.
struct LayerLoader<'a, 'b> {
    config: &'a Config,
    weights: &'a Weights,
    device: &'a Device,
    resolution: usize,
    tally: &'a mut Tally<'b>,
}

impl LayerLoader<'_, '_> {
    fn affine(&mut self, prefix: &str, inputs: usize) -> Result<(Linear, StyleRows), LoadError> {
        let w_dim = self.config.w_dim;
        let weight = self.tally.get(self.weights, &format!("{prefix}.affine.weight"), &[inputs, w_dim])?;
        let bias = self.tally.get(self.weights, &format!("{prefix}.affine.bias"), &[inputs])?;
        let rows = StyleRows { values: weight.clone(), dim: w_dim };
        Ok((Linear::new(weight, bias, (1.0 / (w_dim as f64).sqrt(), 1.0), self.device), rows))
    }

    fn conv(
        &mut self,
        prefix: &str,
        inputs: usize,
        outputs: usize,
        up: bool,
    ) -> Result<(StyledConv, StyleRows), LoadError> {
        let (style, rows) = self.affine(prefix, inputs)?;
        let (weights, device, r) = (self.weights, self.device, self.resolution);
        let weight = self.tally.get(weights, &format!("{prefix}.weight"), &[outputs, inputs, 3, 3])?;
        let bias = self.tally.get(weights, &format!("{prefix}.bias"), &[outputs])?;
        let strength = self.tally.get(weights, &format!("{prefix}.noise_strength"), &[])?;
        let noise = self.tally.get(weights, &format!("{prefix}.noise_const"), &[r, r])?;
        let noise_gain = f64::from(strength.first().copied().unwrap_or(0.0)) * SQRT_2;
        let weight = tensor(weight, [outputs, inputs, 3, 3], device);
        let squares = weight.clone().square().sum_dim(3).sum_dim(2).reshape([outputs, inputs]).transpose();
        let conv = StyledConv {
            style,
            // The stored weight is the kernel of the transposed convolution as it is (NVIDIA's convention).
            weight: if up { weight.swap_dims(0, 1) } else { weight },
            squares,
            blur: up.then(|| BlurAfterUp::new(outputs, device)),
            bias: tensor(bias, [1, outputs, 1, 1], device).mul_scalar(SQRT_2),
            noise_const: tensor(noise, [1, 1, r, r], device).mul_scalar(noise_gain),
            noise_gain,
            clamp: weights.conv_clamp,
        };
        Ok((conv, rows))
    }

    fn rgb(&mut self, prefix: &str, inputs: usize) -> Result<(ToRgb, StyleRows), LoadError> {
        let (style, rows) = self.affine(prefix, inputs)?;
        let outputs = self.config.picture_channels;
        let weight = self.tally.get(self.weights, &format!("{prefix}.weight"), &[outputs, inputs, 1, 1])?;
        let bias = self.tally.get(self.weights, &format!("{prefix}.bias"), &[outputs])?;
        let weight = tensor(weight, [outputs, inputs, 1, 1], self.device).mul_scalar(1.0 / (inputs as f64).sqrt());
        let bias = tensor(bias, [1, outputs, 1, 1], self.device);
        Ok((ToRgb { style, weight, bias, clamp: self.weights.conv_clamp }, rows))
    }
}

/// A 3x3 modulated convolution with noise, bias and activation; doubles the resolution if it has a `blur`.
struct StyledConv {
    /// w -> style, the factors of the input channels.
    style: Linear,
    /// `[outputs, inputs, 3, 3]`, or `[inputs, outputs, 3, 3]` for the transposed convolution.
    weight: Tensor<4>,
    /// Sums of the squared kernels, `[inputs, outputs]`, from which the demodulation follows.
    squares: Tensor<2>,
    blur: Option<BlurAfterUp>,
    /// `[1, outputs, 1, 1]`, times sqrt(2)
    bias: Tensor<4>,
    /// `[1, 1, r, r]`, times strength and sqrt(2)
    noise_const: Tensor<4>,
    /// strength times sqrt(2)
    noise_gain: f64,
    clamp: Option<f32>,
}

impl StyledConv {
    /// `[N, inputs, h, w]`, w `[N, w_dim]` -> `[N, outputs, r, r]`
    fn forward(&self, x: Tensor<4>, w: Tensor<2>, noise: LayerNoise) -> Tensor<4> {
        let style = self.style.forward(w);
        let [n, inputs] = style.dims();
        let demodulation =
            style.clone().square().matmul(self.squares.clone()).add_scalar(1e-8).sqrt().recip().mul_scalar(SQRT_2);
        let x = x * style.reshape([n, inputs, 1, 1]);
        let x = match &self.blur {
            None => conv2d(x, self.weight.clone(), None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1)),
            Some(blur) => {
                let options = ConvTransposeOptions::new([2, 2], [0, 0], [0, 0], [1, 1], 1);
                blur.forward(conv_transpose2d(x, self.weight.clone(), None, options))
            }
        };
        let outputs = x.dims()[1];
        let mut x = x * demodulation.reshape([n, outputs, 1, 1]) + self.bias.clone();
        match noise {
            LayerNoise::Const => x = x + self.noise_const.clone(),
            LayerNoise::None => {}
            LayerNoise::Given(noise) => x = x + noise.mul_scalar(self.noise_gain),
        }
        let x = lrelu(x);
        match self.clamp {
            Some(limit) => x.clamp(-limit, limit),
            None => x,
        }
    }
}

/// A 1x1 modulated convolution to picture channels, without demodulation.
struct ToRgb {
    style: Linear,
    /// `[picture channels, inputs, 1, 1]`, divided by sqrt(inputs)
    weight: Tensor<4>,
    bias: Tensor<4>,
    clamp: Option<f32>,
}

impl ToRgb {
    /// `[N, inputs, r, r]`, w `[N, w_dim]` -> `[N, picture channels, r, r]`
    fn forward(&self, x: Tensor<4>, w: Tensor<2>) -> Tensor<4> {
        let style = self.style.forward(w);
        let [n, inputs] = style.dims();
        let x = x * style.reshape([n, inputs, 1, 1]);
        let x = conv2d(x, self.weight.clone(), None, ConvOptions::new([1, 1], [0, 0], [1, 1], 1)) + self.bias.clone();
        match self.clamp {
            Some(limit) => x.clamp(-limit, limit),
            None => x,
        }
    }
}
