//! StyleGAN3 (Karras et al., NeurIPS 2021, "Alias-Free Generative Adversarial Networks"), configurations T and R.
//!
//! Reference: NVlabs/stylegan3, `training/networks_stylegan3.py` (names and conventions). Differences, none of which changes
//! the result beyond rounding: weights are shared by a batch (input channels are scaled by the style and output channels by
//! the demodulation); styles are normalised per sample, which the demodulation cancels; filters are read from the file
//! instead of designed; sines are taken of angles less their whole turns.

mod adjoint;
mod waves;

use burn::tensor::Tensor;

use super::filtered::{FilteredActivation, Resampling, Taps};
use super::info::LayerInfo;
use super::layers::Linear;
use super::mapping::{Mapping, MappingConfig, MeanCodes};
use super::{
    Activation, Adjoint, Blueprint, Conditions, Facts, Label, LoadError, Network, NoiseInput, ReadBackError, Stage,
    Tally, Tape, problem,
};
use crate::edit::{Truncation, Weighting};
use crate::layout::{LayoutError, Weights};
use crate::limits;
use crate::ops::{self, After, Place};
use crate::sefa::StyleRows;
use crate::size::Size;
use adjoint::StyleGan3Adjoint;
use waves::Waves;

/// Pixels around the picture that every layer but the last ones carries along.
const MARGIN: usize = 10;
/// Taps of a filter per unit of its factor.
const TAPS_PER_FACTOR: usize = 6;
/// The picture's scale in the last layer's output.
const PICTURE_GAIN: f64 = 0.25;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    mapping: MappingConfig,
    input_channels: usize,
    /// Samples of the first layer per unit of the picture's longer side, the same along both axes.
    rate: usize,
    layers: Vec<LayerConfig>,
}

#[derive(Clone, Debug, PartialEq)]
struct LayerConfig {
    prefix: String,
    inputs: usize,
    outputs: usize,
    kernel: usize,
    /// Of the output.
    size: Size,
    /// Along y and along x.
    resampling: [Resampling; 2],
}

impl Config {
    pub(super) fn read(weights: &Weights) -> Result<Self, LayoutError> {
        let mapping = MappingConfig::read(weights, "fc")?;
        let [input_channels, _] = weights.dims::<2>("synthesis.input.freqs")?;
        let mut named: Vec<(usize, usize, String)> = weights.names().filter_map(parse_layer).collect();
        named.sort();
        let in_order = named.iter().enumerate().all(|(i, &(index, ..))| i == index);
        if named.is_empty() || named.len() > limits::LAYERS || !in_order {
            let what =
                format!("expected layers L0 to at most L{}, one of each, found {}", limits::LAYERS - 1, named.len());
            return Err(problem(weights, "synthesis.L0_*.bias", what));
        }
        let first = named[0].1;
        let Some((rate, to_height)) = sampling(first) else {
            let what = format!("expected a first layer of more than {} pixels, found {first}", 2 * MARGIN);
            return Err(problem(weights, &named[0].2, what));
        };
        let mut layers: Vec<LayerConfig> = Vec::new();
        for (_, width, prefix) in named {
            let size = Size::new(width, width.saturating_mul(to_height));
            let (inputs, input_size) =
                layers.last().map_or((input_channels, size), |before| (before.outputs, before.size));
            layers.push(LayerConfig::read(weights, prefix, inputs, [input_size, size])?);
        }
        Ok(Config { mapping, input_channels, rate, layers })
    }

    fn last(&self) -> &LayerConfig {
        &self.layers[self.layers.len() - 1]
    }
}

/// The sampling rate of a first layer of that width, and its height in widths. Rates are powers of two, and a square network's
/// layer has the margin on both sides; in a portrait of twice the width (StyleGAN-Human), half of it is left along x. `None` if
/// there is no room for a margin.
fn sampling(width: usize) -> Option<(usize, usize)> {
    let rate = |side: usize| side.checked_sub(2 * MARGIN).filter(|&rate| rate > 0);
    let portrait = || width.checked_mul(2).and_then(rate).filter(|rate| rate.is_power_of_two());
    match rate(width) {
        Some(square) if square.is_power_of_two() => Some((square, 1)),
        square => portrait().map(|rate| (rate, 2)).or(square.map(|rate| (rate, 1))),
    }
}

/// Number, width and prefix of the layer whose bias has this name, such as "synthesis.L3_52_128.bias".
fn parse_layer(name: &str) -> Option<(usize, usize, String)> {
    let prefix = name.strip_suffix(".bias")?;
    let mut parts = prefix.strip_prefix("synthesis.L")?.split('_');
    let index = parts.next()?.parse().ok()?;
    let size = parts.next()?.parse().ok()?;
    let _channels: usize = parts.next()?.parse().ok()?;
    parts.next().is_none().then(|| (index, size, prefix.to_owned()))
}

impl LayerConfig {
    fn read(
        weights: &Weights,
        prefix: String,
        inputs: usize,
        [input_size, size]: [Size; 2],
    ) -> Result<Self, LayoutError> {
        let [outputs, _, kernel, _] = weights.dims::<4>(&format!("{prefix}.weight"))?;
        let taps = |filter: &str| -> Result<usize, LayoutError> {
            let name = format!("{prefix}.{filter}");
            match weights.shape(&name) {
                None => Ok(1),
                Some(&[taps, ..]) if taps % TAPS_PER_FACTOR == 0 => Ok(taps),
                Some(shape) => Err(problem(
                    weights,
                    &name,
                    format!("expected a multiple of {TAPS_PER_FACTOR} taps, found {shape:?}"),
                )),
            }
        };
        let taps = [taps("up_filter")?, taps("down_filter")?];
        let factors = taps.map(|taps| (taps / TAPS_PER_FACTOR).max(1));
        let fits = size.larger() <= limits::SIDE + 2 * MARGIN
            && matches!(kernel, 1 | 3)
            && factors.iter().all(|&factor| factor <= limits::RESAMPLING);
        let along = |input: usize, output: usize| {
            fits.then(|| Resampling::new([input + kernel - 1, output], factors, taps)).flatten()
        };
        let (along_y, along_x) = (along(input_size.height, size.height), along(input_size.width, size.width));
        match along_y.zip(along_x) {
            Some((along_y, along_x)) => {
                let resampling = [along_y, along_x];
                Ok(LayerConfig { prefix, inputs, outputs, kernel, size, resampling })
            }
            None => {
                let what = format!(
                    "expected sizes that the filters can make, found {input_size} to {size} pixels with filters of {taps:?} taps"
                );
                Err(problem(weights, &prefix, what))
            }
        }
    }
}

impl LayerConfig {
    /// Pixels of one up-sampled channel.
    fn up_sampled(&self) -> u64 {
        self.resampling.iter().map(|axis| axis.length() as u64).product()
    }
}

impl Blueprint for Config {
    fn facts(&self) -> Facts {
        let input = LayerInfo { index: 0, name: "synthesis.input".into(), size: self.layers[0].size, channels: 4 };
        let of_layer = |(i, layer): (usize, &LayerConfig)| LayerInfo {
            index: i + 1,
            name: layer.prefix.clone(),
            size: layer.size,
            channels: layer.inputs,
        };
        Facts {
            size: self.last().size,
            channels: self.last().outputs,
            z_dim: self.mapping.z_dim,
            w_dim: Some(self.mapping.w_dim),
            layers: std::iter::once(input).chain(self.layers.iter().enumerate().map(of_layer)).collect(),
            classes: self.mapping.classes(),
            default_truncation: Some(Truncation::default()),
            has_noise: false,
            stores_noise: false,
            slider_range: 15.0,
        }
    }

    /// Filters work in pieces of at least one channel, so the largest maps are those around them, or one up-sampled channel.
    fn map_bytes(&self) -> Vec<u64> {
        let of_layer = |layer: &LayerConfig| {
            let bordered = |side: usize| (side + layer.kernel - 1) as u64;
            let around = bordered(layer.size.width) * bordered(layer.size.height);
            4 * (layer.inputs.max(layer.outputs) as u64 * around).max(layer.up_sampled())
        };
        self.layers.iter().map(of_layer).collect()
    }

    /// The filters work in f32.
    fn wide_bytes(&self) -> u64 {
        self.map_bytes().into_iter().max().unwrap_or(0)
    }

    /// Convolutions, and the taps of the filters: those of an up-sampled row have gaps, radial ones are squares.
    fn multiply_adds(&self, _: &Weights) -> u64 {
        let of_layer = |layer: &LayerConfig| {
            let bordered = |side: usize| (side + layer.kernel - 1) as u64;
            let around = bordered(layer.size.width) * bordered(layer.size.height);
            let conv = (layer.inputs * layer.kernel.pow(2)) as u64 * around;
            let up = (2 * TAPS_PER_FACTOR) as u64 * layer.up_sampled();
            let [along_y, _] = layer.resampling;
            let down = (along_y.down * TAPS_PER_FACTOR).pow(2) as u64 * layer.size.pixels() as u64;
            (layer.outputs as u64).saturating_mul(conv.saturating_add(up).saturating_add(down))
        };
        self.layers.iter().map(of_layer).fold(0, u64::saturating_add)
    }

    fn load(&self, weights: &Weights, device: &Place, tally: &mut Tally) -> Result<Box<dyn Network>, LoadError> {
        Ok(Box::new(StyleGan3::load(self, weights, device, tally)?))
    }

    fn load_adjoint(
        &self,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Option<Box<dyn Adjoint>>, LoadError> {
        Ok(Some(Box::new(StyleGan3Adjoint::load(self, weights, device, tally)?)))
    }
}

struct StyleGan3 {
    mapping: Mapping,
    w_mean: MeanCodes,
    input: FourierInput,
    layers: Vec<Layer>,
    /// Of the layers after the input.
    style_rows: Vec<StyleRows>,
}

impl StyleGan3 {
    fn load(config: &Config, weights: &Weights, device: &Place, tally: &mut Tally) -> Result<Self, LoadError> {
        // sqrt(2) of the mapping's activation goes into weights and biases.
        let mapping = config.mapping.load(std::f64::consts::SQRT_2, weights, device, tally)?;
        let w_mean = mapping.means("mapping.w_avg", config.layers.len() + 1, weights, tally)?;
        let w_dim = config.mapping.w_dim;
        let input = FourierInput::load(config, weights, device, tally)?;
        let (mut layers, mut style_rows) = (Vec::new(), Vec::new());
        for (i, layer) in config.layers.iter().enumerate() {
            let is_last = i + 1 == config.layers.len();
            let (layer, rows) = Layer::load(layer, is_last, w_dim, weights, device, tally)?;
            layers.push(layer);
            style_rows.push(rows);
        }
        Ok(StyleGan3 { mapping, w_mean, input, layers, style_rows })
    }
}

impl Network for StyleGan3 {
    fn stages(&self) -> Vec<Stage> {
        let input = Stage { name: "input".into(), layers: vec![0], ..Stage::default() };
        let of_layer = |(i, layer): (usize, &Layer)| Stage {
            name: format!("L{i} {}", layer.size.name()),
            layers: vec![i + 1],
            ..Stage::default()
        };
        std::iter::once(input).chain(self.layers.iter().enumerate().map(of_layer)).collect()
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
        _noise: &NoiseInput,
        _conditions: &[Conditions],
        tape: &mut Tape,
    ) -> Activation {
        let w = codes[0].clone();
        let Some(input) = input else {
            return Activation { features: self.input.forward(w, tape), picture: None };
        };
        let features = self.layers[stage - 1].forward(input.features.clone(), w, tape);
        let picture = (stage == self.layers.len()).then(|| features.clone().mul_scalar(PICTURE_GAIN));
        Activation { features, picture }
    }

    /// The input layer's four numbers turn and shift the picture; SeFa leaves them out.
    fn style_rows(&self, layer: usize, _weighting: Weighting) -> Vec<&StyleRows> {
        layer.checked_sub(1).map(|layer| &self.style_rows[layer]).into_iter().collect()
    }
}

/// Fourier features, turned and shifted by the first code.
struct FourierInput {
    /// w -> (cos, sin, shift x, shift y), the first two up to a common factor
    affine: Linear,
    waves: Waves,
    /// Of every pixel's features, 1x1.
    mixing: ops::Conv,
}

impl FourierInput {
    fn load(config: &Config, weights: &Weights, device: &Place, tally: &mut Tally) -> Result<Self, LoadError> {
        let (channels, size, w_dim) = (config.input_channels, config.layers[0].size, config.mapping.w_dim);
        let waves = Waves::load(config, weights, device, tally)?;
        let mixing = Self::read_mixing(channels, weights, tally)?;
        let mut get = |part: &str, shape: &[usize]| tally.get(weights, &format!("synthesis.input.{part}"), shape);
        let (affine, bias) = (get("affine.weight", &[4, w_dim])?, get("affine.bias", &[4])?);
        Ok(FourierInput {
            affine: Linear::new(affine, bias, (1.0 / (w_dim as f64).sqrt(), 1.0), device),
            waves,
            mixing: ops::Conv::for_side(&mixing, [channels, channels, 1], size.larger(), device),
        })
    }

    fn read_mixing(channels: usize, weights: &Weights, tally: &mut Tally) -> Result<Vec<f32>, LoadError> {
        let mut mixing = tally.get(weights, "synthesis.input.weight", &[channels, channels])?;
        mixing.iter_mut().for_each(|x| *x /= (channels as f32).sqrt());
        Ok(mixing)
    }

    /// w `[N, w_dim]` -> `[N, C, height, width]`
    fn forward(&self, w: Tensor<2>, tape: &mut Tape) -> Tensor<4> {
        let t = self.affine.forward(w);
        tape.keep_rows(&t);
        self.mixing.forward(self.waves.forward(t), None, &After::default())
    }
}

/// A modulated convolution and a filtered activation.
struct Layer {
    style: Linear,
    /// Weights of unit mean square per output, except in the last layer; the kernel is 1 or 3.
    conv: ops::Conv,
    kernel: usize,
    /// The last layer has none.
    demodulation: Option<ops::Demodulation>,
    /// Input magnitude's reciprocal.
    gain: f64,
    activation: FilteredActivation,
    size: Size,
}

/// What a layer's tensors say, ready to be packed.
struct LayerParts {
    /// `[inputs, w_dim]`, as stored
    affine: Vec<f32>,
    affine_bias: Vec<f32>,
    /// Of the styles: the last layer is not demodulated, so there the gain of the weights counts.
    style_gain: f64,
    /// Of unit mean square per output, except in the last layer.
    weight: Vec<f32>,
    /// Input magnitude's reciprocal.
    gain: f64,
    activation: FilteredActivation,
}

impl LayerParts {
    /// The sums of squared kernels, `[outputs, inputs]`.
    fn squares(&self, kernel: usize) -> Vec<f32> {
        self.weight.chunks_exact(kernel * kernel).map(|kernel| kernel.iter().map(|x| x * x).sum()).collect()
    }
}

impl Layer {
    fn read(
        config: &LayerConfig,
        is_last: bool,
        w_dim: usize,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<LayerParts, LoadError> {
        let LayerConfig { prefix, inputs, outputs, kernel, resampling, .. } = config;
        let (inputs, outputs, kernel) = (*inputs, *outputs, *kernel);
        let name = |part: &str| format!("{prefix}.{part}");
        let mut get = |part: &str, shape: &[usize]| tally.get(weights, &name(part), shape);
        let mut weight = get("weight", &[outputs, inputs, kernel, kernel])?;
        let bias = get("bias", &[outputs])?;
        let magnitude = get("magnitude_ema", &[])?.first().copied().unwrap_or(1.0);
        let affine = get("affine.weight", &[inputs, w_dim])?;
        let affine_bias = get("affine.bias", &[inputs])?;
        let stored = |part: &str| weights.shape(&name(part)).map(<[usize]>::to_vec);
        let up = stored("up_filter").map(|shape| get("up_filter", &shape)).transpose()?;
        let down = match stored("down_filter") {
            None => None,
            Some(shape) if shape.len() == 1 => Some(Taps::Separable(get("down_filter", &shape)?)),
            Some(shape) => Some(Taps::Radial(get("down_filter", &[shape[0], shape[0]])?)),
        };
        if !is_last {
            for output in weight.chunks_exact_mut(inputs * kernel * kernel) {
                let mean_square = output.iter().map(|x| f64::from(x * x)).sum::<f64>() / output.len() as f64;
                output.iter_mut().for_each(|x| *x /= mean_square.sqrt() as f32);
            }
        }
        let clamp = weights.conv_clamp;
        let activation =
            FilteredActivation::new(*resampling, up.as_deref(), down.as_ref(), bias, is_last, clamp, device);
        let style_gain = if is_last { 1.0 / ((inputs * kernel * kernel) as f64).sqrt() } else { 1.0 };
        let gain = 1.0 / f64::from(magnitude).sqrt();
        Ok(LayerParts { affine, affine_bias, style_gain, weight, gain, activation })
    }

    fn load(
        config: &LayerConfig,
        is_last: bool,
        w_dim: usize,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<(Self, StyleRows), LoadError> {
        let LayerConfig { inputs, outputs, kernel, size, .. } = *config;
        let parts = Self::read(config, is_last, w_dim, weights, device, tally)?;
        let demodulation =
            (!is_last).then(|| ops::Demodulation::new(parts.squares(kernel), [outputs, inputs], 1.0, device));
        let conv = ops::Conv::for_side(&parts.weight, [outputs, inputs, kernel], size.larger(), device);
        let LayerParts { affine, affine_bias, style_gain, gain, activation, .. } = parts;
        let to_style = 1.0 / (w_dim as f64).sqrt() * style_gain;
        let style = Linear::new(affine.clone(), affine_bias, (to_style, style_gain), device);
        let layer = Layer { style, conv, kernel, demodulation, gain, activation, size };
        Ok((layer, StyleRows { values: affine, dim: w_dim }))
    }

    /// `[N, inputs, h, w]`, w `[N, w_dim]` -> `[N, outputs, height, width]`
    fn forward(&self, x: Tensor<4>, w: Tensor<2>, tape: &mut Tape) -> Tensor<4> {
        let affine = self.style.forward(w);
        let mut style = affine.clone();
        let mut after = After { is_picture: self.demodulation.is_none(), ..After::default() };
        if let Some(demodulation) = &self.demodulation {
            style = style.clone() * style.square().mean_dim(1).sqrt().recip();
            after.scale = Some(demodulation.forward(style.clone()));
        }
        // The operator keeps the size; here it grows by the kernel less one.
        let x = ops::bordered(x, self.kernel / 2);
        tape.keep(&x);
        tape.keep_rows(&affine);
        let y = self.conv.forward(x, Some(style.mul_scalar(self.gain)), &after);
        tape.keep(&y);
        tape.keep_after(&after);
        self.activation.forward(y)
    }
}
