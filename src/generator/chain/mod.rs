//! Chains: networks that a [`Recipe`] describes step by step, of any tutorial or training script.
//!
//! Differences from PyTorch's own evaluation: batch norms right behind a layer are folded into it; nearest up-sampling and
//! the convolution after it, and transposed convolutions of a 4x4 kernel (or one that lies in it), run on our operators, and
//! those of one pixel are matrix products. Everything else is burn's. Maps are stored in f32 on every device.

mod arithmetic;
mod build;
mod entries;
mod op;
mod shapes;
mod statistics;
mod transposed;

use std::collections::HashMap;

use burn::tensor::Tensor;

use super::info::LayerInfo;
use super::layers::tensor;
use super::{Activation, Blueprint, Conditions, Facts, LoadError, Network, NoiseInput, Stage, Tally, Tape};
use crate::edit::{Truncation, Weighting};
use crate::layout::{LayoutError, Weights};
use crate::ops::{Place, Precision};
use crate::recipe::{Prior, Range, Recipe};
use crate::sefa::StyleRows;
use crate::size::Size;
use build::{Builder, Norms};
use entries::{FirstMap, first_maps, takes_flow};
use op::{Entry, Inputs, Op, run_all};
use shapes::{Shape, Shapes, Totals};
pub(super) use statistics::{settle, warnings};

/// A recipe whose shapes fit.
pub(super) struct Config {
    recipe: Recipe,
    first_maps: Vec<Option<FirstMap>>,
    totals: Totals,
}

impl Config {
    pub(super) fn read(weights: &Weights, recipe: &Recipe) -> Result<Self, LayoutError> {
        let shapes = Shapes { weights, recipe };
        let totals = shapes.check()?;
        Ok(Config { recipe: recipe.clone(), first_maps: first_maps(&shapes)?, totals })
    }
}

impl Blueprint for Config {
    fn facts(&self) -> Facts {
        let [channels, height, width] = self.recipe.picture;
        let layer = |(index, map): (usize, &Option<FirstMap>)| match map {
            Some(map) => LayerInfo {
                index,
                name: map.weight.trim_end_matches(".weight").into(),
                size: Size::new(map.to[2], map.to[1]),
                channels: map.rows,
            },
            None => LayerInfo { index, name: "z".into(), size: Size::square(1), channels: 0 },
        };
        Facts {
            size: Size::new(width, height),
            channels,
            z_dim: self.recipe.z_dim,
            w_dim: None,
            layers: self.first_maps.iter().enumerate().map(layer).collect(),
            classes: self.recipe.classes,
            default_truncation: Some(Truncation::default()),
            has_noise: false,
            stores_noise: false,
            slider_range: 5.0,
        }
    }

    fn map_bytes(&self) -> Vec<u64> {
        self.totals.maps.clone()
    }

    fn multiply_adds(&self, _weights: &Weights) -> u64 {
        self.totals.work
    }

    fn load(&self, weights: &Weights, place: &Place, tally: &mut Tally) -> Result<Box<dyn Network>, LoadError> {
        Ok(Box::new(Chain::load(self, weights, place, tally)?))
    }
}

struct Chain {
    stages: Vec<(Stage, Vec<Op>)>,
    /// Per latent layer; empty where no linear map of z alone follows.
    rows: Vec<Option<StyleRows>>,
    prior: Prior,
    classes: Option<usize>,
    picture: Shape,
    range: Range,
}

impl Chain {
    fn load(config: &Config, weights: &Weights, place: &Place, tally: &mut Tally) -> Result<Self, LoadError> {
        let recipe = &config.recipe;
        let shapes = Shapes { weights, recipe };
        let place = place.with_precision(Precision::F32);
        let statistics = match recipe.batch_statistics {
            true => Some(statistics::of_a_batch(&shapes, tally)?),
            false => None,
        };
        let norms = statistics.as_ref().map_or(Norms::Stored, Norms::Given);
        let mut builder =
            Builder { shapes: &shapes, place: &place, tally, norms, entries: usize::from(takes_flow(&recipe.steps)) };
        let ops = builder.ops(&recipe.steps, [recipe.z_dim, 1, 1])?;
        let rows = config.first_maps.iter().map(|map| map.as_ref().map(|map| map.rows(weights)).transpose());
        Ok(Chain {
            stages: stages(ops, takes_flow(&recipe.steps)),
            rows: rows.collect::<Result<_, _>>()?,
            prior: recipe.prior,
            classes: recipe.classes,
            picture: recipe.picture,
            range: recipe.range,
        })
    }
}

/// One stage per step that takes work, with what follows it.
fn stages(ops: Vec<(Op, Shape)>, takes_flow: bool) -> Vec<(Stage, Vec<Op>)> {
    let mut stages: Vec<(Stage, Vec<Op>)> = Vec::new();
    let mut has_layer = true;
    for (op, [channels, height, width]) in ops {
        if stages.is_empty() || has_layer && op.is_layer() {
            stages.push(Default::default());
            has_layer = false;
        }
        let is_first = stages.len() == 1;
        let Some((stage, ops)) = stages.last_mut() else { break };
        has_layer |= op.is_layer();
        let entries = op.entries();
        let codes = entries.iter().filter_map(|entry| match entry {
            Entry::Z(layer) => Some(*layer),
            _ => None,
        });
        stage.layers.extend(codes.chain((is_first && ops.is_empty() && takes_flow).then_some(0)));
        stage.layers.sort_unstable();
        stage.reads_label |= entries.contains(&Entry::Class);
        stage.name = if [height, width] == [1, 1] { channels.to_string() } else { format!("{width}x{height}") };
        ops.push(op);
    }
    stages
}

impl Network for Chain {
    fn stages(&self) -> Vec<Stage> {
        self.stages.iter().map(|(stage, _)| stage.clone()).collect()
    }

    fn prior(&self) -> Prior {
        self.prior
    }

    fn run(
        &self,
        stage: usize,
        input: Option<&Activation>,
        codes: &[Tensor<2>],
        _noise: &NoiseInput,
        conditions: &[Conditions],
        _tape: &mut Tape,
    ) -> Activation {
        let (description, ops) = &self.stages[stage];
        let as_map = |code: &Tensor<2>| {
            let [n, width] = code.dims();
            code.clone().reshape([n, width, 1, 1])
        };
        let codes: Vec<_> = description.layers.iter().copied().zip(codes.iter().map(as_map)).collect();
        let before = input.map(|input| input.features.clone());
        let x = before.or_else(|| codes.first().map(|(_, code)| code.clone()));
        // A first stage reads z, in every recipe whose shapes fit; one that reads only the class starts from that.
        let device = x.as_ref().map(Tensor::device).unwrap_or_default();
        let n = conditions.len();
        let class = self.classes.filter(|_| description.reads_label).map(|classes| {
            let rows = conditions.iter().flat_map(|conditions| conditions.label.one_hot(classes)).collect();
            tensor(rows, [n, classes, 1, 1], &device)
        });
        let Some(x) = x.or_else(|| class.clone()) else {
            let nothing = Tensor::zeros([n, 1, 1, 1], &device);
            return Activation { features: nothing, picture: None };
        };
        let x = run_all(ops, x, &Inputs { codes, class, ..Inputs::default() });
        if stage + 1 < self.stages.len() {
            return Activation { features: x, picture: None };
        }
        let [channels, height, width] = self.picture;
        let x = x.reshape([n, channels, height, width]);
        let picture = match self.range {
            Range::Signed => x,
            Range::Unit => x.mul_scalar(2.0).sub_scalar(1.0),
            // 2 sigmoid(x) - 1
            Range::Logits => x.mul_scalar(0.5).tanh(),
        };
        Activation { features: picture.clone(), picture: Some(picture) }
    }

    fn style_rows(&self, layer: usize, _weighting: Weighting) -> Vec<&StyleRows> {
        self.rows.get(layer).and_then(Option::as_ref).into_iter().collect()
    }
}

/// Statistics of batch norms by the name of the mean.
type Statistics = HashMap<String, (Vec<f64>, Vec<f64>)>;
