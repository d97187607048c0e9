//! PGGAN (Karras et al., ICLR 2018, "Progressive Growing of GANs for Improved Quality, Stability, and Variation").
//!
//! Reference: tkarras/progressive_growing_of_gans, `networks.py` (`G_paper`), and genforce/genforce,
//! `models/pggan_generator.py` (names). Differences, none of which changes the result beyond rounding: the first
//! convolution, on a 1x1 picture, is a matrix product; nearest up-sampling and the convolution after it are one transposed
//! convolution, whether the file has them fused or not; blocks above the stored level of detail are not run.

mod adjoint;

use std::f64::consts::SQRT_2;

use burn::tensor::{Device, Tensor};

use super::info::LayerInfo;
use super::layers::{ConvLayer, Growth, Linear, lrelu, tensor};
use super::{
    Activation, Adjoint, Blueprint, Conditions, Facts, Label, LoadError, Network, NoiseInput, ReadBackError, Stage,
    Tally, Tape, problem, read_back,
};
use crate::edit::Weighting;
use crate::layout::{LayoutError, PgganClasses, Weights};
use crate::limits::DOUBLINGS;
use crate::ops::{Place, pixel_norm};
use crate::sefa::StyleRows;
use crate::size::Size;
use adjoint::PgganAdjoint;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    z_dim: usize,
    classes: Option<PgganClasses>,
    picture_channels: usize,
    /// Output channels of each block, from 4x4 up.
    channels: Vec<usize>,
}

impl Config {
    pub(super) fn read(weights: &Weights) -> Result<Self, LayoutError> {
        let name = |block: usize| format!("layer{}.bias", 2 * block + 1);
        let blocks = (0..=DOUBLINGS).take_while(|&block| weights.shape(&name(block)).is_some()).count();
        if blocks == 0 || blocks > DOUBLINGS {
            return Err(problem(weights, &name(0), format!("expected 1 to {DOUBLINGS} blocks, found {blocks}")));
        }
        let channels: Result<Vec<usize>, LayoutError> =
            (0..blocks).map(|block| Ok(weights.dims::<1>(&name(block))?[0])).collect();
        let [_, inputs, ..] = weights.dims::<4>("layer0.weight")?;
        let classes = weights.pggan_classes;
        let z_dim = inputs.checked_sub(classes.map_or(0, |classes| classes.count)).filter(|&z_dim| z_dim > 0);
        let z_dim = z_dim.ok_or_else(|| {
            problem(weights, "layer0.weight", format!("expected more inputs than classes, found {inputs}"))
        })?;
        let [picture_channels, ..] = weights.dims::<4>(&format!("output{}.weight", blocks - 1))?;
        Ok(Config { z_dim, classes, picture_channels, channels: channels? })
    }

    fn growth(&self, weights: &Weights, tally: &mut Tally) -> Result<Growth, LoadError> {
        let lod = tally.find(weights, "lod", &[])?.and_then(|lod| lod.first().copied()).unwrap_or(0.0);
        Ok(Growth::new(lod, self.channels.len()))
    }
}

impl Blueprint for Config {
    fn facts(&self) -> Facts {
        Facts {
            size: Size::square(2 << self.channels.len()),
            channels: self.picture_channels,
            z_dim: self.z_dim,
            w_dim: None,
            // z enters once, so there is one latent layer.
            layers: vec![LayerInfo {
                index: 0,
                name: "layer0".into(),
                size: Size::square(4),
                channels: 16 * self.channels[0],
            }],
            classes: self.classes.map(|classes| classes.count),
            default_truncation: None,
            has_noise: false,
            stores_noise: false,
            slider_range: 5.0, // SeFa's own interface
        }
    }

    fn map_bytes(&self) -> Vec<u64> {
        let of_block = |(block, &channels): (usize, &usize)| 4 * channels as u64 * (4u64 << block).pow(2);
        self.channels.iter().enumerate().map(of_block).collect()
    }

    fn load(&self, weights: &Weights, device: &Place, tally: &mut Tally) -> Result<Box<dyn Network>, LoadError> {
        Ok(Box::new(Pggan::load(self, weights, device, tally)?))
    }

    fn load_adjoint(
        &self,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Option<Box<dyn Adjoint>>, LoadError> {
        Ok(Some(Box::new(PgganAdjoint::load(self, weights, device, tally)?)))
    }
}

struct Pggan {
    /// z and class -> the 4x4 map, `[z_dim + classes, channels * 16]`
    first: Linear,
    classes: Option<PgganClasses>,
    blocks: Vec<Block>,
    growth: Growth,
    style_rows: StyleRows,
    device: Device,
}

struct Block {
    /// Doubles the size; absent in the 4x4 block.
    up: Option<ConvLayer>,
    conv: ConvLayer,
    rgb: ConvLayer,
}

impl Pggan {
    fn load(config: &Config, weights: &Weights, device: &Place, tally: &mut Tally) -> Result<Self, LoadError> {
        let (c0, z_dim) = (config.channels[0], config.z_dim);
        let inputs = z_dim + config.classes.map_or(0, |classes| classes.count);
        let stored = tally.get(weights, "layer0.weight", &[c0, inputs, 4, 4])?;
        let rows = first_rows(&stored, [c0, inputs]);
        let bias = tally.get(weights, "layer0.bias", &[c0])?.iter().flat_map(|&b| [b; 16]).collect();
        let gains = (gain(16 * inputs), 1.0);
        let of_z = rows.chunks_exact(inputs).flat_map(|row| &row[..z_dim]).copied().collect();
        let first = Linear::new(rows, bias, gains, device);
        let style_rows = StyleRows { values: of_z, dim: z_dim };
        let mut blocks = Vec::new();
        let mut conv = |n: usize, shape @ [outputs, inputs]: [usize; 2], up: bool| -> Result<ConvLayer, LoadError> {
            let weight = tally.get(weights, &format!("layer{n}.weight"), &[outputs, inputs, 3, 3])?;
            let bias = Some(tally.get(weights, &format!("layer{n}.bias"), &[outputs])?);
            let gain = gain(9 * inputs);
            let conv = match up {
                true => ConvLayer::after_nearest_up(weight, shape, 2 << (n / 2), gain, bias, device),
                false => ConvLayer::for_side(weight, [outputs, inputs, 3], 4 << (n / 2), gain, bias, device),
            };
            Ok(conv.with_activation(0.2))
        };
        let mut convs = Vec::new();
        for (b, &channels) in config.channels.iter().enumerate() {
            let up = if b > 0 { Some(conv(2 * b, [channels, config.channels[b - 1]], true)?) } else { None };
            convs.push((up, conv(2 * b + 1, [channels, channels], false)?));
        }
        for (b, (up, conv)) in convs.into_iter().enumerate() {
            let (inputs, outputs) = (config.channels[b], config.picture_channels);
            let weight = tally.get(weights, &format!("output{b}.weight"), &[outputs, inputs, 1, 1])?;
            let bias = tally.get(weights, &format!("output{b}.bias"), &[outputs])?;
            let gain = 1.0 / (inputs as f64).sqrt();
            let rgb = ConvLayer::new(weight, [outputs, inputs, 1], gain, Some(bias), device).for_picture();
            blocks.push(Block { up, conv, rgb });
        }
        let growth = config.growth(weights, tally)?;
        Ok(Pggan { first, classes: config.classes, blocks, growth, style_rows, device: Device::clone(device) })
    }
}

/// Of weights that are scaled while the network runs, with the gain of the activation.
fn gain(fan_in: usize) -> f64 {
    SQRT_2 / (fan_in as f64).sqrt()
}

/// The first layer as a matrix, `[outputs * 16, inputs]`. Row (o, y, x) is the kernel reversed, since it slides over one value with
/// padding 3.
fn first_rows(stored: &[f32], [outputs, inputs]: [usize; 2]) -> Vec<f32> {
    let row = |o| (0..16).flat_map(move |at| (0..inputs).map(move |i| (o * inputs + i) * 16 + 15 - at));
    (0..outputs).flat_map(row).map(|at| stored[at]).collect()
}

impl Network for Pggan {
    fn stages(&self) -> Vec<Stage> {
        let stage = |block: usize| Stage {
            name: format!("{0}x{0}", 4 << block),
            layers: if block == 0 { vec![0] } else { vec![] },
            reads_label: block == 0 && self.classes.is_some(),
            ..Stage::default()
        };
        (0..self.blocks.len()).map(stage).collect()
    }

    /// Moves start from the sphere that the network was trained on, unless the class is part of what it normalises.
    fn codes_from_z(&self, z: &[&[f32]], labels: &[&Label]) -> Result<Vec<Vec<f32>>, ReadBackError> {
        let z_dim = self.style_rows.dim;
        let z = tensor(z.concat(), [z.len(), z_dim], &self.device);
        let codes = read_back(self.map(z, labels, &mut Tape::off()))?;
        Ok(codes.chunks_exact(z_dim).map(<[f32]>::to_vec).collect())
    }

    fn map(&self, z: Tensor<2>, _labels: &[&Label], tape: &mut Tape) -> Tensor<2> {
        if self.classes.is_some_and(|classes| classes.normalised_with_z) {
            return z;
        }
        tape.keep_rows(&z);
        pixel_norm(z)
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
        let block = &self.blocks[stage];
        let (mut x, before) = match input {
            Some(input) => (input.features.clone(), input.picture.clone()),
            None => (self.first_map(codes[0].clone(), conditions, tape), None),
        };
        if self.growth.runs(stage) {
            let layer = |x, conv: &ConvLayer| {
                tape.keep(&x);
                conv.forward_saving(pixel_norm(x), tape)
            };
            x = block.up.iter().chain([&block.conv]).fold(x, layer);
        }
        let rgb = || {
            tape.keep(&x);
            block.rgb.forward(pixel_norm(x.clone()))
        };
        let picture = self.growth.picture(stage, before, rgb);
        Activation { features: x, picture }
    }

    fn style_rows(&self, _layer: usize, _weighting: Weighting) -> Vec<&StyleRows> {
        vec![&self.style_rows]
    }
}

impl Pggan {
    /// code `[N, z_dim]` -> `[N, C, 4, 4]`
    fn first_map(&self, code: Tensor<2>, conditions: &[Conditions], tape: &mut Tape) -> Tensor<4> {
        // Once as the network's own first step, once before the layer, as every layer has it.
        let with_class = |x: Tensor<2>, count: usize| {
            let rows = conditions.iter().flat_map(|conditions| conditions.label.one_hot(count)).collect();
            Tensor::cat(vec![x, tensor(rows, [conditions.len(), count], &self.device)], 1)
        };
        let joint = self.classes.filter(|classes| classes.normalised_with_z);
        let x = joint.map_or(code.clone(), |classes| with_class(code, classes.count));
        tape.keep_rows(&x);
        let x = pixel_norm(x);
        let beside = self.classes.filter(|classes| !classes.normalised_with_z);
        let x = beside.map_or(x.clone(), |classes| with_class(x, classes.count));
        tape.keep_rows(&x);
        let x = lrelu(self.first.forward(pixel_norm(x)));
        tape.keep_rows(&x);
        let [n, values] = x.dims();
        x.reshape([n, values / 16, 4, 4])
    }
}
