//! BigGAN as first published (Brock et al., ICLR 2019, "Large Scale GAN Training for High Fidelity Natural Image
//! Synthesis", figure 15), with or without z split over the blocks.
//!
//! Reference: ajbrock/BigGAN-PyTorch, `BigGAN.py`. Differences, none of which changes the result beyond rounding: spectral
//! norms are folded into the weights when the file is read; a batch norm is one factor and one offset per channel; nearest
//! up-sampling and the convolution after it are one operator, and the shortcut is convolved before it is
//! up-sampled.

mod adjoint;

use burn::tensor::Tensor;

use super::biggan_blocks::{
    Attention, ConditionalNorm, DEFAULT_PSI, Embeddings, NormNames, Statistics, ToPicture, z_rows,
};
use super::info::LayerInfo;
use super::layers::{ConvLayer, Linear};
use super::{
    Activation, Adjoint, Blueprint, Conditions, Facts, LoadError, Network, NoiseInput, Stage, Tally, Tape, problem,
};
use crate::edit::{Truncation, Weighting};
use crate::layout::{LayoutError, Weights};
use crate::limits::DOUBLINGS;
use crate::ops::Place;
use crate::recipe::Prior;
use crate::sefa::StyleRows;
use crate::size::Size;
use adjoint::BigGanAdjoint;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    /// Numbers of z that the first layer reads, and each block if z is split.
    chunk: usize,
    is_split: bool,
    /// Rows of the table of embeddings, and their width; both are 0 if there is none.
    rows: usize,
    embedding_width: usize,
    picture_channels: usize,
    first_channels: usize,
    blocks: Vec<BlockConfig>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct BlockConfig {
    inputs: usize,
    /// Between the two convolutions.
    hidden: usize,
    outputs: usize,
    has_attention: bool,
}

impl Config {
    pub(super) fn read(weights: &Weights) -> Result<Self, LayoutError> {
        let has_classes = weights.shape("shared.weight").is_some();
        let [rows, embedding_width] = if has_classes { weights.dims::<2>("shared.weight")? } else { [0, 0] };
        let [outputs, chunk] = weights.dims::<2>("linear.weight")?;
        let [picture_channels, ..] = weights.dims::<4>("output_layer.2.weight")?;
        let first_channels = outputs / 16;
        let mut blocks: Vec<BlockConfig> = Vec::new();
        let mut inputs = first_channels;
        while weights.shape(&format!("blocks.{}.0.conv1.weight", blocks.len())).is_some() {
            let prefix = format!("blocks.{}", blocks.len());
            let [hidden, ..] = weights.dims::<4>(&format!("{prefix}.0.conv1.weight"))?;
            let [outputs, ..] = weights.dims::<4>(&format!("{prefix}.0.conv2.weight"))?;
            let has_attention = weights.shape(&format!("{prefix}.1.theta.weight")).is_some();
            blocks.push(BlockConfig { inputs, hidden, outputs, has_attention });
            inputs = outputs;
            if blocks.len() > DOUBLINGS {
                return Err(problem(weights, &prefix, format!("expected at most {DOUBLINGS} blocks")));
            }
        }
        if blocks.is_empty() {
            return Err(problem(weights, "blocks.0.0.conv1.weight", "expected, found no such tensor".into()));
        }
        let name = "blocks.0.0.bn1.gain.weight";
        let [_, condition] = weights.dims::<2>(name)?;
        let is_split = match condition.checked_sub(embedding_width) {
            Some(0) => false,
            Some(part) if part == chunk => true,
            _ => {
                let split = embedding_width + chunk;
                let what = format!("expected {embedding_width} or {split} inputs, found {condition}");
                return Err(problem(weights, name, what));
            }
        };
        Ok(Config { chunk, is_split, rows, embedding_width, picture_channels, first_channels, blocks })
    }

    fn z_dim(&self) -> usize {
        if self.is_split { self.chunk * (self.blocks.len() + 1) } else { self.chunk }
    }

    fn condition(&self) -> usize {
        self.embedding_width + if self.is_split { self.chunk } else { 0 }
    }
}

impl Blueprint for Config {
    fn facts(&self) -> Facts {
        let first =
            LayerInfo { index: 0, name: "linear".into(), size: Size::square(4), channels: 16 * self.first_channels };
        let of_block = |(i, block): (usize, &BlockConfig)| LayerInfo {
            index: i + 1,
            name: format!("blocks.{i}.0"),
            size: Size::square(8 << i),
            channels: 2 * (block.inputs + block.hidden),
        };
        // Blocks that read no z are no latent layers.
        let reading = if self.is_split { &self.blocks[..] } else { &[] };
        Facts {
            size: Size::square(4 << self.blocks.len()),
            channels: self.picture_channels,
            z_dim: self.z_dim(),
            w_dim: None,
            layers: std::iter::once(first).chain(reading.iter().enumerate().map(of_block)).collect(),
            classes: Embeddings::classes(self.rows),
            default_truncation: Some(Truncation { psi: DEFAULT_PSI, cutoff: None }),
            has_noise: false,
            stores_noise: false,
            slider_range: 3.0,
        }
    }

    fn map_bytes(&self) -> Vec<u64> {
        let of_block = |(i, block): (usize, &BlockConfig)| {
            let side = 8u64 << i;
            let attention = if block.has_attention { Attention::largest_tensor_bytes(side) } else { 0 };
            attention.max(4 * block.hidden.max(block.outputs) as u64 * side.pow(2))
        };
        self.blocks.iter().enumerate().map(of_block).collect()
    }

    /// Attention works in f32.
    fn wide_bytes(&self) -> u64 {
        let with_attention = self.blocks.iter().enumerate().filter(|(_, block)| block.has_attention);
        with_attention.map(|(i, _)| Attention::largest_tensor_bytes(8 << i)).max().unwrap_or(0)
    }

    fn load(&self, weights: &Weights, device: &Place, tally: &mut Tally) -> Result<Box<dyn Network>, LoadError> {
        Ok(Box::new(BigGan::load(self, weights, device, tally)?))
    }

    fn load_adjoint(
        &self,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Option<Box<dyn Adjoint>>, LoadError> {
        Ok(Some(Box::new(BigGanAdjoint::load(self, weights, device, tally)?)))
    }
}

struct BigGan {
    config: Config,
    embeddings: Embeddings,
    first: Linear,
    blocks: Vec<Block>,
    to_picture: ToPicture,
    /// Of the first layer, then of each block that reads z.
    style_rows: Vec<StyleRows>,
}

struct Block {
    norms: [ConditionalNorm; 2],
    convs: [ConvLayer; 2],
    shortcut: ConvLayer,
    attention: Option<Attention>,
}

impl BigGan {
    fn load(config: &Config, weights: &Weights, device: &Place, tally: &mut Tally) -> Result<Self, LoadError> {
        let (c0, chunk, z_dim) = (config.first_channels, config.chunk, config.z_dim());
        let table = tally.find(weights, "shared.weight", &[config.rows, config.embedding_width])?.unwrap_or_default();
        let linear = tally.get(weights, "linear.weight", &[16 * c0, chunk])?;
        let bias = tally.get(weights, "linear.bias", &[16 * c0])?;
        let mut style_rows = vec![z_rows([&linear], chunk, 0..chunk, 0, z_dim)];
        let first = Linear::new(linear, bias, (1.0, 1.0), device);
        let mut blocks = Vec::new();
        for (i, block) in config.blocks.iter().enumerate() {
            let (block, rows) = Block::load(i, block, config.condition(), weights, device, tally)?;
            blocks.push(block);
            if config.is_split {
                let columns = config.embedding_width..config.condition();
                style_rows.push(z_rows(&rows, config.condition(), columns, (i + 1) * chunk, z_dim));
            }
        }
        let channels = config.blocks[config.blocks.len() - 1].outputs;
        let names = ["output_layer.0.stored_mean", "output_layer.0.stored_var"];
        let statistics = Statistics::load(names, channels, weights.last_norm_epsilon, weights, device, tally)?;
        let norm = ["output_layer.0.gain", "output_layer.0.bias"];
        let outputs = config.picture_channels;
        let to_picture = ToPicture::load(statistics, norm, "output_layer.2", outputs, weights, device, tally)?;
        let embeddings = Embeddings::new(table, config.embedding_width, device);
        Ok(BigGan { config: config.clone(), embeddings, first, blocks, to_picture, style_rows })
    }
}

/// Of a block's theta, phi, g, the output convolution and gamma.
fn attention_names(index: usize) -> [String; 5] {
    ["theta.weight", "phi.weight", "g.weight", "o.weight", "gamma"].map(|name| format!("blocks.{index}.1.{name}"))
}

/// Of a block's norms 1 and 2.
fn norm_names(prefix: &str, j: usize) -> NormNames {
    let name = |part: &str| format!("{prefix}.bn{j}.{part}");
    NormNames {
        gain: name("gain.weight"),
        bias: name("bias.weight"),
        mean: name("stored_mean"),
        variance: name("stored_var"),
    }
}

impl Block {
    /// Also hands out the weights of gains and biases.
    fn load(
        index: usize,
        config: &BlockConfig,
        condition: usize,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<(Self, Vec<Vec<f32>>), LoadError> {
        let BlockConfig { inputs, hidden, outputs, has_attention } = *config;
        let prefix = format!("blocks.{index}.0");
        let mut norm = |j: usize, channels: usize| {
            let names = norm_names(&prefix, j);
            let epsilon = weights.batch_norm_epsilon;
            ConditionalNorm::load(&names, [channels, condition], epsilon, weights, device, tally)
        };
        let (first_norm, first_rows) = norm(1, inputs)?;
        let (second_norm, second_rows) = norm(2, hidden)?;
        let mut get = |name: &str, outputs: usize, inputs: usize, kernel: usize| {
            let weight = tally.get(weights, &format!("{prefix}.{name}.weight"), &[outputs, inputs, kernel, kernel])?;
            let bias = tally.get(weights, &format!("{prefix}.{name}.bias"), &[outputs])?;
            Ok::<_, LoadError>((weight, Some(bias)))
        };
        let (weight, bias) = get("conv1", hidden, inputs, 3)?;
        let conv1 = ConvLayer::after_nearest_up(weight, [hidden, inputs], 4 << index, 1.0, bias, device);
        let (weight, bias) = get("conv2", outputs, hidden, 3)?;
        let conv2 = ConvLayer::for_side(weight, [outputs, hidden, 3], 8 << index, 1.0, bias, device);
        let (weight, bias) = get("conv_sc", outputs, inputs, 1)?;
        let shortcut = ConvLayer::new(weight, [outputs, inputs, 1], 1.0, bias, device);
        let mut attention = None;
        if has_attention {
            let names = attention_names(index);
            let names = names.each_ref().map(String::as_str);
            attention = Some(Attention::load(names, outputs, weights, device, tally)?);
        }
        let norms = [first_norm, second_norm];
        let rows = first_rows.into_iter().chain(second_rows).collect();
        Ok((Block { norms, convs: [conv1, conv2], shortcut, attention }, rows))
    }

    /// `[N, inputs, H, W]` -> `[N, outputs, 2H, 2W]`. There is one row of statistics, whatever psi is.
    fn forward(&self, x: Tensor<4>, condition: &Tensor<2>, conditions: &[Conditions], tape: &mut Tape) -> Tensor<4> {
        let mut norm = |n: usize, x: &Tensor<4>| Some(self.norms[n].of_saving(x, condition, conditions, tape));
        let shortcut = self.shortcut.forward(x.clone());
        let first = norm(0, &x);
        let branch = self.convs[0].forward_residual(x, first, None);
        let second = norm(1, &branch);
        let x = self.convs[1].forward_residual(branch, second, Some(shortcut));
        match &self.attention {
            Some(attention) => attention.forward(x, tape),
            None => x,
        }
    }
}

impl Network for BigGan {
    fn stages(&self) -> Vec<Stage> {
        let first = Stage { name: "4x4".into(), layers: vec![0], ..Stage::default() };
        let of_block = |i: usize| Stage {
            name: format!("{0}x{0}", 8 << i),
            layers: if self.config.is_split { vec![i + 1] } else { vec![] },
            reads_label: Embeddings::classes(self.config.rows).is_some(),
            ..Stage::default()
        };
        let picture = Stage { name: "picture".into(), ..Stage::default() };
        std::iter::once(first).chain((0..self.blocks.len()).map(of_block)).chain([picture]).collect()
    }

    fn prior(&self) -> Prior {
        Prior::TruncatedNormal { limit: 2.0 }
    }

    fn run(
        &self,
        stage: usize,
        input: Option<&Activation>,
        codes: &[Tensor<2>],
        _noise: &NoiseInput,
        conditions: &[Conditions],
        tape: &mut Tape,
    ) -> Activation {
        let chunk = |z: &Tensor<2>| z.clone().narrow(1, stage * self.config.chunk, self.config.chunk);
        let Some(input) = input else {
            let z = chunk(&codes[0]);
            let (n, channels) = (z.dims()[0], self.config.first_channels);
            return Activation { features: self.first.forward(z).reshape([n, channels, 4, 4]), picture: None };
        };
        let x = input.features.clone();
        let Some(block) = self.blocks.get(stage - 1) else {
            let picture = self.to_picture.forward(x, conditions, tape);
            return Activation { features: picture.clone(), picture: Some(picture) };
        };
        let parts = self.embeddings.of(conditions).into_iter().chain(codes.first().map(chunk));
        let condition = Tensor::cat(parts.collect(), 1);
        Activation { features: block.forward(x, &condition, conditions, tape), picture: None }
    }

    fn style_rows(&self, layer: usize, _weighting: Weighting) -> Vec<&StyleRows> {
        vec![&self.style_rows[layer]]
    }
}
