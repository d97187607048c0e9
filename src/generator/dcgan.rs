//! DCGAN (Radford et al., 2016, "Unsupervised Representation Learning with Deep Convolutional GANs").
//!
//! Reference: pytorch/examples, `dcgan/main.py` (class `Generator`). Difference: batch norms in evaluation mode are folded
//! into the transposed convolutions before them, and the first convolution, on a 1x1 picture, is a matrix product.

mod adjoint;

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use super::info::LayerInfo;
use super::layers::{ConvLayer, Linear};
use super::{
    Activation, Adjoint, Blueprint, Conditions, Facts, LoadError, Network, NoiseInput, Stage, Tally, Tape, problem,
};
use crate::edit::Weighting;
use crate::layout::{LayoutError, Weights};
use crate::limits::DOUBLINGS;
use crate::ops::Place;
use crate::sefa::StyleRows;
use crate::size::Size;
use adjoint::DcganAdjoint;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub z_dim: usize,
    /// Output channels of each transposed convolution; the last are the picture's.
    pub channels: Vec<usize>,
}

impl Config {
    pub(super) fn read(weights: &Weights) -> Result<Self, LayoutError> {
        let name = |i: usize| format!("main.{}.weight", 3 * i);
        let [z_dim, ..] = weights.dims::<4>(&name(0))?;
        let mut channels = Vec::new();
        while weights.shape(&name(channels.len())).is_some() {
            let [_, outputs, ..] = weights.dims::<4>(&name(channels.len()))?;
            channels.push(outputs);
        }
        if channels.len() < 2 || channels.len() > DOUBLINGS {
            let what = format!("expected 2 to {DOUBLINGS} transposed convolutions, found {}", channels.len());
            return Err(problem(weights, &name(0), what));
        }
        Ok(Config { z_dim, channels })
    }
}

impl Blueprint for Config {
    fn facts(&self) -> Facts {
        Facts {
            size: Size::square(2 << self.channels.len()),
            channels: self.channels[self.channels.len() - 1],
            z_dim: self.z_dim,
            w_dim: None,
            // z enters once, so there is one latent layer.
            layers: vec![LayerInfo {
                index: 0,
                name: "main.0".into(),
                size: Size::square(4),
                channels: 16 * self.channels[0],
            }],
            classes: None,
            default_truncation: None,
            has_noise: false,
            stores_noise: false,
            slider_range: 5.0,
        }
    }

    fn map_bytes(&self) -> Vec<u64> {
        let of_layer = |(i, &channels): (usize, &usize)| 4 * channels as u64 * (4u64 << i).pow(2);
        self.channels.iter().enumerate().map(of_layer).collect()
    }

    fn load(&self, weights: &Weights, device: &Place, tally: &mut Tally) -> Result<Box<dyn Network>, LoadError> {
        Ok(Box::new(Dcgan::load(self, weights, device, tally)?))
    }

    fn load_adjoint(
        &self,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Option<Box<dyn Adjoint>>, LoadError> {
        Ok(Some(Box::new(DcganAdjoint::load(self, weights, device, tally)?)))
    }
}

struct Dcgan {
    /// z -> the 4x4 map, `[z_dim, channels * 16]`
    first: Linear,
    first_channels: usize,
    /// Transposed convolutions with their folded batch norms.
    rest: Vec<ConvLayer>,
    style_rows: StyleRows,
}

impl Dcgan {
    fn load(config: &Config, weights: &Weights, device: &Place, tally: &mut Tally) -> Result<Self, LoadError> {
        let mut first = None;
        let mut rest = Vec::new();
        for (i, &outputs) in config.channels.iter().enumerate() {
            let is_last = i + 1 == config.channels.len();
            let Folded { inputs, stored, weight, bias } = Folded::load(config, i, weights, tally)?;
            if i == 0 {
                // One row per output value and one column per number of z, as a linear layer stores it.
                let bias = bias.iter().flat_map(|&b| [b; 16]).collect();
                let layer = Linear::new(columns_to_rows(&weight, inputs), bias, (1.0, 1.0), device);
                first = Some((layer, outputs, StyleRows { values: columns_to_rows(&stored, inputs), dim: inputs }));
            } else {
                let conv = ConvLayer::transposed(&weight, [inputs, outputs], Some(bias), device);
                rest.push(if is_last { conv.for_picture() } else { conv.with_activation(0.0) });
            }
        }
        let (first, first_channels, style_rows) = first.ok_or(LoadError::NoLayers)?;
        Ok(Dcgan { first, first_channels, rest, style_rows })
    }
}

/// A transposed convolution with the batch norm after it.
struct Folded {
    inputs: usize,
    /// `[inputs, outputs, 4, 4]` each; as stored, and with the gain of the norm.
    stored: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Folded {
    /// Number `i`; the last one has no norm.
    fn load(config: &Config, i: usize, weights: &Weights, tally: &mut Tally) -> Result<Self, LoadError> {
        let inputs = i.checked_sub(1).map_or(config.z_dim, |before| config.channels[before]);
        let (name, outputs) = (format!("main.{}", 3 * i), config.channels[i]);
        let stored = tally.get(weights, &format!("{name}.weight"), &[inputs, outputs, 4, 4])?;
        let bias = tally.find(weights, &format!("{name}.bias"), &[outputs])?.unwrap_or(vec![0.0; outputs]);
        let is_last = i + 1 == config.channels.len();
        let (gain, bias) =
            if is_last { (vec![1.0; outputs], bias) } else { batch_norm(weights, 3 * i + 1, bias, tally)? };
        let mut weight = stored.clone();
        for (k, kernel) in weight.chunks_exact_mut(16).enumerate() {
            kernel.iter_mut().for_each(|x| *x *= gain[k % outputs]);
        }
        Ok(Folded { inputs, stored, weight, bias })
    }
}

/// Gain and bias per channel of "add `bias`, then normalise by batch norm number `index`".
fn batch_norm(
    weights: &Weights,
    index: usize,
    bias: Vec<f32>,
    tally: &mut Tally,
) -> Result<(Vec<f32>, Vec<f32>), LoadError> {
    let mut get = |what: &str| tally.get(weights, &format!("main.{index}.{what}"), &[bias.len()]);
    let (scale, shift, mean, variance) = (get("weight")?, get("bias")?, get("running_mean")?, get("running_var")?);
    let gain: Vec<f32> =
        scale.iter().zip(&variance).map(|(s, v)| s / (v + weights.batch_norm_epsilon).sqrt()).collect();
    let bias = (0..gain.len()).map(|c| (bias[c] - mean[c]) * gain[c] + shift[c]).collect();
    Ok((gain, bias))
}

/// `[rows, columns]` -> `[columns, rows]`
fn columns_to_rows(values: &[f32], rows: usize) -> Vec<f32> {
    let columns = values.len() / rows;
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}

impl Network for Dcgan {
    fn stages(&self) -> Vec<Stage> {
        let stage = |i: usize| Stage {
            name: format!("{0}x{0}", 4 << i),
            layers: if i == 0 { vec![0] } else { vec![] },
            ..Stage::default()
        };
        (0..=self.rest.len()).map(stage).collect()
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
        let Some(input) = input else {
            let z = codes[0].clone();
            let n = z.dims()[0];
            let features = relu(self.first.forward(z));
            tape.keep_rows(&features);
            return Activation { features: features.reshape([n, self.first_channels, 4, 4]), picture: None };
        };
        let x = self.rest[stage - 1].forward_saving(input.features.clone(), tape);
        if stage < self.rest.len() {
            return Activation { features: x, picture: None };
        }
        let picture = x.tanh();
        tape.keep(&picture);
        Activation { features: picture.clone(), picture: Some(picture) }
    }

    fn style_rows(&self, _layer: usize, _weighting: Weighting) -> Vec<&StyleRows> {
        vec![&self.style_rows]
    }
}
