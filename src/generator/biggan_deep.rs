//! BigGAN-deep (Brock et al., ICLR 2019, "Large Scale GAN Training for High Fidelity Natural Image Synthesis", appendix B).
//!
//! Reference: huggingface/pytorch-pretrained-BigGAN, `model.py` (names and conventions), and ajbrock/BigGAN-PyTorch,
//! `BigGANdeep.py`. Differences, none of which changes the result beyond rounding: spectral norms are folded into the
//! weights when the file is read; a batch norm is one factor and one offset per channel; nearest up-sampling and the
//! convolution after it are one operator.

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
use adjoint::BigGanDeepAdjoint;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    z_dim: usize,
    /// Columns of the table of embeddings, and their length; both are 0 if there is none.
    columns: usize,
    embedding_width: usize,
    picture_channels: usize,
    first_channels: usize,
    /// In the order of the file's list.
    items: Vec<Item>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Item {
    Block {
        /// Position among the blocks, counted from 0: every second one doubles the size.
        number: usize,
        inputs: usize,
        bottleneck: usize,
        outputs: usize,
    },
    Attention {
        channels: usize,
    },
}

impl Item {
    fn doubles(self) -> bool {
        matches!(self, Item::Block { number, .. } if number % 2 == 1)
    }
}

/// Of theta, phi, g, the output convolution and gamma.
const ATTENTION: [&str; 5] =
    ["snconv1x1_theta.weight", "snconv1x1_phi.weight", "snconv1x1_g.weight", "snconv1x1_o_conv.weight", "gamma"];

fn prefix(index: usize) -> String {
    format!("generator.layers.{index}")
}

impl Config {
    pub(super) fn read(weights: &Weights) -> Result<Self, LayoutError> {
        let has_classes = weights.shape("embeddings.weight").is_some();
        let [embedding_width, columns] = if has_classes { weights.dims::<2>("embeddings.weight")? } else { [0, 0] };
        let [rows, condition] = weights.dims::<2>("generator.gen_z.weight")?;
        let z_dim = condition.checked_sub(embedding_width).filter(|&z_dim| z_dim > 0).ok_or_else(|| {
            let what = format!("expected more inputs than the {embedding_width} of the class, found {condition}");
            problem(weights, "generator.gen_z.weight", what)
        })?;
        let first_channels = rows / 16;
        let [picture_channels, ..] = weights.dims::<4>("generator.conv_to_rgb.weight")?;
        let mut items: Vec<Item> = Vec::new();
        let (mut channels, mut number) = (first_channels, 0);
        loop {
            let prefix = prefix(items.len());
            if weights.shape(&format!("{prefix}.snconv1x1_theta.weight")).is_some() {
                items.push(Item::Attention { channels });
            } else if weights.shape(&format!("{prefix}.conv_0.weight")).is_some() {
                let [bottleneck, ..] = weights.dims::<4>(&format!("{prefix}.conv_0.weight"))?;
                let [outputs, ..] = weights.dims::<4>(&format!("{prefix}.conv_3.weight"))?;
                if outputs > channels {
                    let what = format!("expected at most {channels} outputs, found {outputs}");
                    return Err(problem(weights, &format!("{prefix}.conv_3.weight"), what));
                }
                items.push(Item::Block { number, inputs: channels, bottleneck, outputs });
                number += 1;
                channels = outputs;
            } else {
                break;
            }
            // Two blocks a size, and room for attention.
            if number > 2 * DOUBLINGS || items.len() > 4 * DOUBLINGS {
                return Err(problem(weights, &prefix, format!("expected at most {} blocks", 2 * DOUBLINGS)));
            }
        }
        if number == 0 {
            return Err(problem(weights, &prefix(0), "expected a block, found none".into()));
        }
        Ok(Config { z_dim, columns, embedding_width, picture_channels, first_channels, items })
    }

    fn condition(&self) -> usize {
        self.z_dim + self.embedding_width
    }

    /// Width and height after each item.
    fn resolutions(&self) -> impl Iterator<Item = usize> {
        self.items.iter().scan(4, |resolution, item| {
            *resolution <<= usize::from(item.doubles());
            Some(*resolution)
        })
    }
}

impl Blueprint for Config {
    fn facts(&self) -> Facts {
        let first = LayerInfo {
            index: 0,
            name: "generator.gen_z".into(),
            size: Size::square(4),
            channels: 16 * self.first_channels,
        };
        let mut layers = vec![first];
        for ((index, item), resolution) in self.items.iter().enumerate().zip(self.resolutions()) {
            if let Item::Block { number, inputs, bottleneck, .. } = *item {
                let channels = 2 * (inputs + 3 * bottleneck);
                layers.push(LayerInfo {
                    index: number + 1,
                    name: prefix(index),
                    size: Size::square(resolution),
                    channels,
                });
            }
        }
        Facts {
            size: Size::square(self.resolutions().last().unwrap_or(4)),
            channels: self.picture_channels,
            z_dim: self.z_dim,
            w_dim: None,
            layers,
            classes: Embeddings::classes(self.columns),
            default_truncation: Some(Truncation { psi: DEFAULT_PSI, cutoff: None }),
            has_noise: false,
            stores_noise: false,
            slider_range: 3.0,
        }
    }

    fn map_bytes(&self) -> Vec<u64> {
        let of_item = |(item, resolution): (&Item, usize)| {
            let side = resolution as u64;
            match *item {
                // The first normalised map has the block's own input channels, but at half the size.
                Item::Block { inputs, bottleneck, outputs, .. } => {
                    let before = if item.doubles() { side / 2 } else { side };
                    (4 * inputs as u64 * before.pow(2)).max(4 * bottleneck.max(outputs) as u64 * side.pow(2))
                }
                Item::Attention { channels } => {
                    Attention::largest_tensor_bytes(side).max(4 * channels as u64 * side.pow(2))
                }
            }
        };
        let first = 4 * 16 * self.first_channels as u64 * self.condition() as u64;
        std::iter::once(first).chain(self.items.iter().zip(self.resolutions()).map(of_item)).collect()
    }

    /// Attention works in f32.
    fn wide_bytes(&self) -> u64 {
        let sides = self.items.iter().zip(self.resolutions());
        let sides = sides.filter(|(item, _)| matches!(item, Item::Attention { .. }));
        sides.map(|(_, side)| Attention::largest_tensor_bytes(side as u64)).max().unwrap_or(0)
    }

    fn load(&self, weights: &Weights, device: &Place, tally: &mut Tally) -> Result<Box<dyn Network>, LoadError> {
        Ok(Box::new(BigGanDeep::load(self, weights, device, tally)?))
    }

    fn load_adjoint(
        &self,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Option<Box<dyn Adjoint>>, LoadError> {
        Ok(Some(Box::new(BigGanDeepAdjoint::load(self, weights, device, tally)?)))
    }
}

struct BigGanDeep {
    config: Config,
    embeddings: Embeddings,
    /// Condition -> the 4x4 map, channels last.
    first: Linear,
    items: Vec<LoadedItem>,
    to_picture: ToPicture,
    /// Of the first layer, then of each block.
    style_rows: Vec<StyleRows>,
}

enum LoadedItem {
    Block(Block),
    Attention(Box<Attention>),
}

struct Block {
    norms: Vec<ConditionalNorm>,
    convs: Vec<ConvLayer>,
}

impl BigGanDeep {
    fn load(config: &Config, weights: &Weights, device: &Place, tally: &mut Tally) -> Result<Self, LoadError> {
        let (classes, width, condition) = (config.columns, config.embedding_width, config.condition());
        let columns = tally.find(weights, "embeddings.weight", &[width, classes])?.unwrap_or_default();
        let table = (0..classes).flat_map(|c| (0..width).map(move |i| i * classes + c)).map(|at| columns[at]).collect();
        let c0 = config.first_channels;
        let gen_z = tally.get(weights, "generator.gen_z.weight", &[16 * c0, condition])?;
        let bias = tally.get(weights, "generator.gen_z.bias", &[16 * c0])?;
        let rows_of_z = |weights: &[Vec<f32>]| z_rows(weights, condition, 0..config.z_dim, 0, config.z_dim);
        let mut style_rows = vec![rows_of_z(std::slice::from_ref(&gen_z))];
        let first = Linear::new(gen_z, bias, (1.0, 1.0), device);
        let mut items = Vec::new();
        let mut channels = c0;
        for ((index, item), resolution) in config.items.iter().enumerate().zip(config.resolutions()) {
            let prefix = prefix(index);
            items.push(match *item {
                Item::Attention { channels } => {
                    let names = ATTENTION.map(|name| format!("{prefix}.{name}"));
                    let names = names.each_ref().map(String::as_str);
                    LoadedItem::Attention(Box::new(Attention::load(names, channels, weights, device, tally)?))
                }
                Item::Block { inputs, bottleneck, outputs, .. } => {
                    channels = outputs;
                    let sizes = [inputs, bottleneck, bottleneck, bottleneck];
                    let (norms, rows) = load_norms(&prefix, sizes, condition, weights, device, tally)?;
                    style_rows.push(rows_of_z(&rows));
                    let mut conv = |j: usize, outputs: usize, inputs: usize, kernel: usize, up: bool| {
                        let shape = [outputs, inputs, kernel, kernel];
                        let weight = tally.get(weights, &format!("{prefix}.conv_{j}.weight"), &shape)?;
                        let bias = Some(tally.get(weights, &format!("{prefix}.conv_{j}.bias"), &[outputs])?);
                        Ok::<ConvLayer, LoadError>(match up {
                            true => ConvLayer::after_nearest_up(
                                weight,
                                [outputs, inputs],
                                resolution / 2,
                                1.0,
                                bias,
                                device,
                            ),
                            false => {
                                ConvLayer::for_side(weight, [outputs, inputs, kernel], resolution, 1.0, bias, device)
                            }
                        })
                    };
                    let convs = vec![
                        conv(0, bottleneck, inputs, 1, false)?,
                        conv(1, bottleneck, bottleneck, 3, item.doubles())?,
                        conv(2, bottleneck, bottleneck, 3, false)?,
                        conv(3, outputs, bottleneck, 1, false)?,
                    ];
                    LoadedItem::Block(Block { norms, convs })
                }
            });
        }
        let names = ["generator.bn.running_means", "generator.bn.running_vars"];
        let statistics = Statistics::load(names, channels, weights.last_norm_epsilon, weights, device, tally)?;
        let norm = ["generator.bn.weight", "generator.bn.bias"];
        let outputs = config.picture_channels;
        let to_picture = ToPicture::load(statistics, norm, "generator.conv_to_rgb", outputs, weights, device, tally)?;
        let embeddings = Embeddings::new(table, width, device);
        Ok(BigGanDeep { config: config.clone(), embeddings, first, items, to_picture, style_rows })
    }

    /// z `[N, z_dim]` -> `[N, z_dim + embedding]`
    fn condition(&self, z: &Tensor<2>, conditions: &[Conditions]) -> Tensor<2> {
        Tensor::cat(std::iter::once(z.clone()).chain(self.embeddings.of(conditions)).collect(), 1)
    }
}

/// A block's batch norms, and the weights of their gains and biases.
fn load_norms(
    prefix: &str,
    channels: [usize; 4],
    condition: usize,
    weights: &Weights,
    device: &Place,
    tally: &mut Tally,
) -> Result<(Vec<ConditionalNorm>, Vec<Vec<f32>>), LoadError> {
    let (mut norms, mut rows) = (Vec::new(), Vec::new());
    for (j, channels) in channels.into_iter().enumerate() {
        let names = norm_names(prefix, j);
        let epsilon = weights.batch_norm_epsilon;
        let (norm, weights) = ConditionalNorm::load(&names, [channels, condition], epsilon, weights, device, tally)?;
        norms.push(norm);
        rows.extend(weights);
    }
    Ok((norms, rows))
}

/// Of a block's norms, from 0 on.
fn norm_names(prefix: &str, j: usize) -> NormNames {
    let name = |part: &str| format!("{prefix}.bn_{j}.{part}");
    NormNames {
        gain: name("scale.weight"),
        bias: name("offset.weight"),
        mean: name("running_means"),
        variance: name("running_vars"),
    }
}

impl Block {
    fn forward(&self, x: Tensor<4>, condition: &Tensor<2>, conditions: &[Conditions], tape: &mut Tape) -> Tensor<4> {
        let mut run = |n: usize, branch: Tensor<4>, shortcut: Option<Tensor<4>>| {
            let norm = self.norms[n].of_saving(&branch, condition, conditions, tape);
            self.convs[n].forward_residual(branch, Some(norm), shortcut)
        };
        let branch = (0..3).fold(x.clone(), |branch, n| run(n, branch, None));
        run(3, branch, Some(x))
    }
}

impl Network for BigGanDeep {
    fn stages(&self) -> Vec<Stage> {
        let reads_label = Embeddings::classes(self.config.columns).is_some();
        let first = Stage { name: "4x4 input".into(), layers: vec![0], reads_label, ..Stage::default() };
        let mut stages = vec![first];
        let mut layer = 0;
        for (item, r) in self.items.iter().zip(self.config.resolutions()) {
            stages.push(match item {
                LoadedItem::Attention(_) => Stage { name: format!("{r}x{r} attention"), ..Stage::default() },
                LoadedItem::Block(block) => {
                    layer += 1;
                    Stage {
                        name: format!("{r}x{r}"),
                        layers: vec![layer],
                        reads_label,
                        reads_psi: block.norms.iter().any(ConditionalNorm::depends_on_psi),
                        ..Stage::default()
                    }
                }
            });
        }
        let reads_psi = self.to_picture.depends_on_psi();
        stages.push(Stage { name: "picture".into(), reads_psi, ..Stage::default() });
        stages
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
        let Some(input) = input else {
            let condition = self.condition(&codes[0], conditions);
            let (n, channels) = (condition.dims()[0], self.config.first_channels);
            let features = self.first.forward(condition).reshape([n, 4, 4, channels]).permute([0, 3, 1, 2]);
            return Activation { features, picture: None };
        };
        let x = input.features.clone();
        let features = match self.items.get(stage - 1) {
            Some(LoadedItem::Block(block)) => {
                block.forward(x, &self.condition(&codes[0], conditions), conditions, tape)
            }
            Some(LoadedItem::Attention(attention)) => attention.forward(x, tape),
            None => {
                let picture = self.to_picture.forward(x, conditions, tape);
                return Activation { features: picture.clone(), picture: Some(picture) };
            }
        };
        Activation { features, picture: None }
    }

    fn style_rows(&self, layer: usize, _weighting: Weighting) -> Vec<&StyleRows> {
        vec![&self.style_rows[layer]]
    }
}
