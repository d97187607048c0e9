//! Which directions of a model: how they are found, and which of them.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::arguments::Numbers;
use super::info::printable;
use super::progress::Bar;
use super::{sheet, warn};
use crate::directions::{DirectionSet, Method};
use crate::edit::{Direction, LayerSet, Weighting};
use crate::export::Shot;
use crate::generator::ModelInfo;
use crate::library::{Library, Subject};
use crate::render::{CodeSource, Engine};

/// How directions are found.
#[derive(Args)]
pub struct MethodArguments {
    /// sefa: of the weights; pca: principal components of codes; own: those that were imported into the library
    #[arg(long, value_enum, default_value = "sefa")]
    pub method: MethodChoice,

    /// SeFa: factorise the weights as stored, their rows not normalised
    #[arg(long)]
    pub raw_weights: bool,

    /// PCA: codes to draw [default: 100000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_SAMPLES))]
    pub samples: Option<u32>,

    /// PCA: seed to draw them from [default: 0]
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
}

/// Codes of one call: twenty times as many as the paper of GANSpace drew.
const MAX_SAMPLES: i64 = 10_000_000;

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum MethodChoice {
    Sefa,
    Pca,
    Own,
}

impl MethodArguments {
    /// Options that mean nothing to the method are a misunderstanding.
    pub fn refuse_others(&self) -> anyhow::Result<()> {
        let is = |method| self.method == method;
        let given = [
            ("--raw-weights", self.raw_weights, is(MethodChoice::Sefa), "sefa"),
            ("--samples", self.samples.is_some(), is(MethodChoice::Pca), "pca"),
            ("--seed", self.seed.is_some(), is(MethodChoice::Pca), "pca"),
        ];
        match given.into_iter().find(|(_, is_given, has_meaning, _)| *is_given && !has_meaning) {
            Some((option, _, _, method)) => bail!("{option} is an option of --method {method}"),
            None => Ok(()),
        }
    }

    pub fn weighting(&self) -> Weighting {
        if self.raw_weights { Weighting::Raw } else { Weighting::RowNormalised }
    }

    /// Number and seed of the codes that are drawn for principal components.
    pub fn drawn(&self) -> (usize, u64) {
        let samples = self.samples.map_or(Method::PCA_SAMPLES, |samples| samples as usize);
        (samples, self.seed.unwrap_or_default())
    }

    /// The directions of each of some groups of layers.
    pub fn sets(
        &self,
        engine: &mut Engine,
        groups: &[LayerSet],
        info: &ModelInfo,
    ) -> anyhow::Result<Vec<DirectionSet>> {
        self.refuse_others()?;
        let groups = groups.iter().cloned();
        match self.method {
            MethodChoice::Sefa => {
                groups.map(|layers| Ok(DirectionSet::from(&*engine.factorize(&layers, self.weighting())?))).collect()
            }
            MethodChoice::Pca => {
                let (samples, seed) = self.drawn();
                if info.w_dim.is_none() {
                    warn("the codes of this model are z, drawn alike in every direction: their components are chance");
                }
                let components = engine.components(CodeSource::Drawn { samples, seed }, &mut Bar::new().report())?;
                Ok(groups.map(|layers| DirectionSet::of_components(&components, samples, seed, layers)).collect())
            }
            MethodChoice::Own => {
                let own = sheet::own_library(info);
                let kept = own_directions(&own).collect::<Vec<_>>();
                ensure!(
                    !kept.is_empty(),
                    "the library of {} has no directions of other tools: `library import` takes them in",
                    info.name
                );
                Ok(groups.map(|layers| DirectionSet::of_own(kept.iter().copied(), layers)).collect())
            }
        }
    }

    /// The directions of one group.
    pub fn set(&self, engine: &mut Engine, layers: LayerSet, info: &ModelInfo) -> anyhow::Result<DirectionSet> {
        self.sets(engine, &[layers], info)?.pop().context("no layers")
    }

    /// What a report says of it.
    pub fn parameters(&self) -> Vec<(&'static str, Value)> {
        let (samples, seed) = self.drawn();
        match self.method {
            MethodChoice::Sefa => vec![("method", json!("sefa")), ("weighting", json!(self.weighting().name()))],
            MethodChoice::Pca => {
                vec![("method", json!("pca")), ("pca_samples", json!(samples)), ("pca_seed", json!(seed))]
            }
            MethodChoice::Own => vec![("method", json!("own"))],
        }
    }
}

/// What a report says of a model, directions and samples.
pub fn parameters(
    info: &ModelInfo,
    set: &DirectionSet,
    method: &MethodArguments,
    samples: &[Shot],
) -> Vec<(&'static str, Value)> {
    let truncation = samples.first().map(|sample| sample.edit.truncation).unwrap_or_default();
    let mut parameters = vec![
        ("model", json!(info.name)),
        ("identity", json!(info.identity)),
        ("layers", json!(set.layers.to_string())),
    ];
    parameters.extend(method.parameters());
    let labels: Vec<&str> = samples.iter().map(|sample| sample.label.as_str()).collect();
    parameters.extend([
        ("sample_labels", json!(labels)),
        ("psi", json!(truncation.psi)),
        ("cutoff", json!(truncation.cutoff)),
    ]);
    parameters
}

/// What stands over a table.
pub fn title(info: &ModelInfo, set: &DirectionSet, samples: &[Shot]) -> String {
    let count = match samples.len() {
        1 => "1 sample".to_owned(),
        count => format!("{count} samples"),
    };
    format!("{}, layers {}, {}, {count}", printable(&info.name), set.layers, set.method.about())
}

/// Directions of a library that are of no set.
pub fn own_directions(own: &Library) -> impl Iterator<Item = &Arc<Direction>> {
    let whole = own.entries().filter_map(|entry| match &entry.subject {
        Subject::Whole(direction) => Some(direction),
        Subject::Sefa { .. } => None,
    });
    whole.filter(|direction| Method::of(&direction.origin) == Method::Own)
}

/// Those of a set that are asked for, by their places; the strongest so many if none are.
pub fn chosen(set: &DirectionSet, asked: Option<&Numbers>, strongest: usize) -> anyhow::Result<Vec<usize>> {
    ensure!(!set.is_empty(), "there are no directions in layers {}", set.layers);
    let last = set.len() - 1;
    let Some(Numbers(numbers)) = asked else { return Ok((0..set.len()).take(strongest).collect()) };
    let place = |&number: &u64| usize::try_from(number).ok().filter(|&at| at <= last);
    match numbers.iter().find(|number| place(number).is_none()) {
        Some(number) => bail!("--directions: expected 0 to {last}, found {number}"),
        None => Ok(numbers.iter().filter_map(place).collect()),
    }
}
