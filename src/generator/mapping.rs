//! z -> w, the mapping network of the style-based generators (Karras et al., CVPR 2019), with or without classes.

mod adjoint;

use std::f64::consts::SQRT_2;

use burn::tensor::{Device, Tensor};

use super::layers::{Linear, tensor};
use super::{Label, LoadError, ReadBackError, Tally, Tape, problem, read_back};
use crate::latent;
use crate::layout::{LatentNorm, LayoutError, Weights};
use crate::limits::{self, MAPPING_LAYERS};
use crate::ops::pixel_norm;
pub(super) use adjoint::MappingAdjoint;

/// Learning-rate multiplier of the mapping network, the same in every public model.
const LEARNING_RATE: f64 = 0.01;
/// Of the activation below zero.
const SLOPE: f32 = 0.2;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct MappingConfig {
    /// "fc" or "dense".
    layer_name: &'static str,
    pub z_dim: usize,
    pub w_dim: usize,
    /// `[outputs, inputs]` of each layer.
    layers: Vec<[usize; 2]>,
    embedding: Embedding,
}

/// How a class reaches the mapping network.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Embedding {
    None,
    /// A row per class, normalised together with z (the TensorFlow networks' "LabelConcat").
    Joint {
        classes: usize,
        width: usize,
    },
    /// A linear layer, normalised by itself (StyleGAN2-ADA and StyleGAN3).
    Separate {
        classes: usize,
        width: usize,
    },
}

impl MappingConfig {
    pub(super) fn read(weights: &Weights, layer_name: &'static str) -> Result<Self, LayoutError> {
        let name = |i: usize| format!("mapping.{layer_name}{i}.weight");
        let mut layers = vec![weights.dims::<2>(&name(0))?];
        while weights.shape(&name(layers.len())).is_some() {
            layers.push(weights.dims::<2>(&name(layers.len()))?);
            if layers.len() > MAPPING_LAYERS {
                return Err(problem(weights, &name(0), format!("expected at most {MAPPING_LAYERS} mapping layers")));
            }
        }
        if let Some(i) = layers.windows(2).position(|pair| pair[0][0] != pair[1][1]) {
            let what = format!("expected {} inputs, found {}", layers[i][0], layers[i + 1][1]);
            return Err(problem(weights, &name(i + 1), what));
        }
        let embedding = if weights.shape("mapping.label_weight").is_some() {
            let [classes, width] = weights.dims::<2>("mapping.label_weight")?;
            Embedding::Joint { classes, width }
        } else if weights.shape("mapping.embed.weight").is_some() {
            let [width, classes] = weights.dims::<2>("mapping.embed.weight")?;
            Embedding::Separate { classes, width }
        } else {
            Embedding::None
        };
        let (inputs, width) = (layers[0][1], embedding.width());
        let z_dim = inputs.checked_sub(width).filter(|&z_dim| z_dim > 0).ok_or_else(|| {
            problem(weights, &name(0), format!("expected more inputs than the {width} of the class, found {inputs}"))
        })?;
        let w_dim = layers[layers.len() - 1][0];
        Ok(MappingConfig { layer_name, z_dim, w_dim, layers, embedding })
    }

    pub(super) fn classes(&self) -> Option<usize> {
        match self.embedding {
            Embedding::None => None,
            Embedding::Joint { classes, .. } | Embedding::Separate { classes, .. } => Some(classes),
        }
    }

    /// Bias gain of the layers: StyleGAN has the gain of the activation in the weights alone, its successors after it.
    pub(super) fn load(
        &self,
        bias_gain: f64,
        weights: &Weights,
        device: &Device,
        tally: &mut Tally,
    ) -> Result<Mapping, LoadError> {
        let mut layers = Vec::new();
        for (i, &[outputs, inputs]) in self.layers.iter().enumerate() {
            let prefix = format!("mapping.{}{i}", self.layer_name);
            let weight = tally.get(weights, &format!("{prefix}.weight"), &[outputs, inputs])?;
            let bias = tally.get(weights, &format!("{prefix}.bias"), &[outputs])?;
            let gains = (weight_gain(inputs), bias_gain * LEARNING_RATE);
            layers.push(Linear::new(weight, bias, gains, device));
        }
        let embedding = match self.embedding {
            Embedding::None => None,
            Embedding::Joint { classes, width } => {
                // Stored [classes, width]: transposed to a linear layer's [outputs, inputs].
                let table = tally.get(weights, "mapping.label_weight", &[classes, width])?;
                let weight =
                    (0..width).flat_map(|x| (0..classes).map(move |c| c * width + x)).map(|i| table[i]).collect();
                Some(Linear::new(weight, vec![0.0; width], (1.0, 1.0), device))
            }
            Embedding::Separate { classes, width } => {
                let weight = tally.get(weights, "mapping.embed.weight", &[width, classes])?;
                let bias = tally.get(weights, "mapping.embed.bias", &[width])?;
                Some(Linear::new(weight, bias, (1.0 / (classes as f64).sqrt(), 1.0), device))
            }
        };
        let norm = weights.conventions.latent_norm;
        Ok(Mapping { config: self.clone(), layers, embedding, norm, device: device.clone() })
    }
}

/// With the gain of the activation.
fn weight_gain(inputs: usize) -> f64 {
    SQRT_2 * LEARNING_RATE / (inputs as f64).sqrt()
}

impl Embedding {
    fn width(self) -> usize {
        match self {
            Embedding::None => 0,
            Embedding::Joint { width, .. } | Embedding::Separate { width, .. } => width,
        }
    }
}

pub(super) struct Mapping {
    config: MappingConfig,
    layers: Vec<Linear>,
    embedding: Option<Linear>,
    norm: LatentNorm,
    device: Device,
}

impl Mapping {
    /// z, `[z_dim]` each -> w, `[w_dim]` each
    pub(super) fn w(&self, z: &[&[f32]], labels: &[&Label]) -> Result<Vec<Vec<f32>>, ReadBackError> {
        let piece = self.together();
        let mut codes = Vec::with_capacity(z.len());
        for (z, labels) in z.chunks(piece).zip(labels.chunks(piece)) {
            let n = z.len();
            let z = tensor(z.concat(), [n, self.config.z_dim], &self.device);
            let w = read_back(self.map(z, labels, &mut Tape::off()))?;
            codes.extend(w.chunks_exact(self.config.w_dim).map(<[f32]>::to_vec));
        }
        Ok(codes)
    }

    /// z `[N, z_dim]` -> w `[N, w_dim]`
    pub(super) fn map(&self, z: Tensor<2>, labels: &[&Label], tape: &mut Tape) -> Tensor<2> {
        let label = self.config.classes().map(|classes| {
            let rows = labels.iter().flat_map(|label| label.one_hot(classes)).collect();
            tensor(rows, [labels.len(), classes], &self.device)
        });
        self.forward(z, label, tape)
    }

    /// Codes that are mapped at a time, because a layer between z and w may be of any width.
    fn together(&self) -> usize {
        let widths = self.config.layers.iter().flatten().copied();
        let widest = widths.chain(self.config.classes()).max().unwrap_or(1).max(1);
        (limits::ESTIMATE / widest).max(1)
    }

    /// z `[N, z_dim]`, label `[N, classes]` -> w `[N, w_dim]`
    fn forward(&self, z: Tensor<2>, label: Option<Tensor<2>>, tape: &mut Tape) -> Tensor<2> {
        let embedded = self.embedding.as_ref().zip(label).map(|(embedding, label)| embedding.forward(label));
        let (normalised, beside) = match (embedded, self.config.embedding) {
            (Some(class), Embedding::Separate { .. }) => (z, Some(normalise(class, self.norm))),
            (Some(class), _) => (Tensor::cat(vec![z, class], 1), None),
            (None, _) => (z, None),
        };
        tape.keep_rows(&normalised);
        let normalised = normalise(normalised, self.norm);
        let x = match beside {
            Some(class) => Tensor::cat(vec![normalised, class], 1),
            None => normalised,
        };
        self.layers.iter().fold(x, |x, layer| {
            let y = layer.forward_lrelu(x, SLOPE);
            tape.keep_rows(&y);
            y
        })
    }

    /// The mean w of every layer: stored once for all, or per layer, or else the mean of 4096 mapped z, which is what
    /// rosinality's training files leave to the reader.
    pub(super) fn means(
        &self,
        name: &str,
        num_layers: usize,
        weights: &Weights,
        tally: &mut Tally,
    ) -> Result<MeanCodes, LoadError> {
        let w_dim = self.config.w_dim;
        let stored: Option<usize> = weights.shape(name).map(|shape| shape.iter().product());
        let values = match stored {
            Some(count) if count == num_layers * w_dim => {
                let shape = weights.shape(name).unwrap_or_default().to_vec();
                tally.get(weights, name, &shape)?
            }
            Some(_) => tally.get(weights, name, &[w_dim])?,
            None => self.estimated_mean()?,
        };
        Ok(MeanCodes { values, w_dim })
    }

    fn estimated_mean(&self) -> Result<Vec<f32>, LoadError> {
        const SAMPLES: usize = 4096;
        let z_dim = self.config.z_dim;
        let z = latent::z_from_seed(0, SAMPLES * z_dim);
        let piece = self.together().min(SAMPLES);
        let mut sum = vec![0.0; self.config.w_dim];
        for (i, z) in z.chunks(piece * z_dim).enumerate() {
            let count = z.len() / z_dim;
            let z = tensor(z.to_vec(), [count, z_dim], &self.device);
            // Every class equally often.
            let label = self.config.classes().map(|classes| {
                let rows = (0..count).flat_map(|n| Label::class((i * piece + n) % classes).one_hot(classes)).collect();
                tensor(rows, [count, classes], &self.device)
            });
            let part = read_back(self.forward(z, label, &mut Tape::off()).sum_dim(0))?;
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += f64::from(part));
        }
        Ok(sum.into_iter().map(|sum| (sum / SAMPLES as f64) as f32).collect())
    }
}

fn normalise(x: Tensor<2>, norm: LatentNorm) -> Tensor<2> {
    match norm {
        LatentNorm::Squares => pixel_norm(x),
        LatentNorm::Root => x.clone() / x.square().mean_dim(1).sqrt().add_scalar(1e-6),
    }
}

/// Mean w, `[w_dim]` or `[layers, w_dim]`.
pub(super) struct MeanCodes {
    values: Vec<f32>,
    w_dim: usize,
}

impl MeanCodes {
    pub(super) fn of_layer(&self, layer: usize) -> &[f32] {
        if self.values.len() == self.w_dim { &self.values } else { &self.values[layer * self.w_dim..][..self.w_dim] }
    }
}
