//! What `score`, `find` and `name` have in common: a predictor, samples that are drawn, directions of several groups, and the
//! measurement.

use std::sync::Arc;

use anyhow::ensure;
use clap::Args;
use serde_json::{Value, json};

use super::arguments::{self, DeviceArguments, LayerChoice, ReadingArguments};
use super::progress::Bar;
use super::render::{self, Opened, SampleArguments};
use super::{note, warn};
use crate::analysis::{self, RescorePlan, RescoreRun};
use crate::directions::{DirectionSet, Method};
use crate::edit::{Direction, LayerSet, Weighting};
use crate::export::Shot;
use crate::generator::{Group, ModelInfo};
use crate::predictor::{Predictor, PredictorSource};
use crate::render::{CodeSource, Engine, Example, Source};

/// What is asked of samples, and how far they are moved.
#[derive(Args)]
pub struct ScoreArguments {
    /// Who looks at the pictures: an ONNX network (`predictor check --help` tells how it is read), statistics (lightness, hue and
    /// the like), or example:toy-heads [default: statistics; for the built-in heads their own network]
    #[arg(long, value_name = "NET.onnx|statistics")]
    predictor: Option<PredictorSource>,

    /// Samples to draw [default: 256, for find and name 64]
    #[arg(id = "drawn", long = "samples", value_name = "N", value_parser = clap::value_parser!(u32).range(2..=arguments::MAX_FRAMES as i64))]
    samples: Option<u32>,

    /// Seed of the first of them; the next ones follow [default: 0]
    #[arg(id = "first", long = "seed", value_name = "SEED")]
    seed: Option<u64>,

    /// How far each is moved [default: a third of its slider, for principal components one standard deviation]
    #[arg(long, value_name = "D", value_parser = arguments::above_zero)]
    step: Option<f32>,

    /// Move each sample back as far, too: half of the difference of both, twice the time
    #[arg(long)]
    both_ways: bool,
}

/// A model, samples and a predictor, all of which are open.
pub(super) struct Subject {
    pub engine: Engine,
    pub info: Arc<ModelInfo>,
    pub samples: Vec<Shot>,
    pub predictor: Arc<Predictor>,
    source: PredictorSource,
}

impl ScoreArguments {
    /// `count`: samples, if nobody says how many.
    pub fn open(
        &self,
        file: Option<Source>,
        reading: &ReadingArguments,
        sample: &mut SampleArguments,
        device: DeviceArguments,
        count: u32,
    ) -> anyhow::Result<Subject> {
        sample.take_drawn(self.samples, self.seed, count)?;
        let Opened { engine, info, source: model, starts, .. } = render::open(file, reading, sample, device)?;
        ensure!(
            starts.len() >= 2,
            "expected 2 samples or more, found {}: an attribute counts in its standard deviation over them",
            starts.len()
        );
        let source = self.predictor.clone().unwrap_or(match model {
            Source::Example(Example::ToyHeads) => PredictorSource::ToyHeads,
            _ => PredictorSource::Statistics,
        });
        let predictor = Arc::new(Predictor::open(&source, &mut Bar::new().report())?);
        note_assumed(&predictor);
        Ok(Subject { engine, info, samples: starts, predictor, source })
    }

    /// Directions with the distance that each is moved.
    pub fn moves(
        &self,
        directions: impl IntoIterator<Item = Arc<Direction>>,
        info: &ModelInfo,
    ) -> Vec<(Arc<Direction>, f32)> {
        let distance = |direction: &Direction| self.step.unwrap_or(direction.customary_range(info.slider_range) / 3.0);
        directions.into_iter().map(|direction| (direction.clone(), distance(&direction))).collect()
    }

    /// What a report says of it, and of what was measured.
    pub fn parameters(&self, subject: &Subject, run: &RescoreRun) -> Vec<(&'static str, Value)> {
        let mut parameters = vec![
            ("predictor", json!(subject.source.to_string())),
            ("both_ways", json!(self.both_ways)),
            ("samples", json!(run.plan().samples.len())),
            ("samples_done", json!(run.samples_done())),
            ("scores_not_finite", json!(run.not_finite())),
        ];
        if let Predictor::Network(network) = run.predictor() {
            parameters.push(("predictor_assumed", json!(network.assumed())));
        }
        parameters
    }
}

/// Says how a network was read where nobody said how.
pub(super) fn note_assumed(predictor: &Predictor) {
    if let Predictor::Network(network) = predictor
        && !network.assumed().is_empty()
    {
        note(&format!("taken as is customary, because nobody says otherwise: {}", network.assumed().join("; ")));
    }
}

impl Subject {
    /// Short, to show and to keep: a file without its folder.
    pub fn predictor_name(&self) -> String {
        match &self.source {
            PredictorSource::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            source => source.to_string(),
        }
    }

    /// Measures what moves change. What stopped it comes with what was measured by then.
    pub fn measure(
        &mut self,
        moves: Vec<(Arc<Direction>, f32)>,
        arguments: &ScoreArguments,
    ) -> anyhow::Result<(RescoreRun, anyhow::Result<()>)> {
        if self.samples.len() < moves.len() {
            warn(&format!("{} samples for {} directions: few to tell these apart", self.samples.len(), moves.len()));
        }
        let samples = self.samples.iter().map(|sample| sample.edit.clone()).collect();
        let plan = RescorePlan { samples, moves, both_ways: arguments.both_ways };
        let mut run = RescoreRun::new(plan, self.predictor.clone())?;
        let measured = analysis::measure(&mut self.engine, &mut run, &mut Bar::new().report());
        if let Err(error) = measured {
            let done = run.samples_done();
            if done < 2 {
                return Err(error.into());
            }
            warn(&format!("stopped after {done} of {} samples; what follows is of these", self.samples.len()));
            return Ok((run, Err(error.into())));
        }
        self.say(&run);
        Ok((run, Ok(())))
    }

    /// Says what could not be measured.
    fn say(&self, run: &RescoreRun) {
        let missing = run.not_finite();
        if missing > 0 {
            warn(&format!("{missing} scores are no numbers, and are left out"));
        }
        let attributes = self.predictor.attributes();
        let constant = (0..attributes.len()).filter(|&at| {
            let of = run.attribute(at);
            of.mean.is_finite() && of.spread.is_finite() && of.spread <= 1e-6 * of.mean.abs()
        });
        let constant: Vec<&str> = constant.map(|at| attributes[at].name.as_str()).collect();
        if !constant.is_empty() {
            let shown = constant.iter().take(12).copied().collect::<Vec<_>>().join(", ");
            let more = if constant.len() > 12 { ", ..." } else { "" };
            warn(&format!("the same for all samples, so that changes have no unit: {shown}{more}"));
        }
    }
}

/// Directions of several groups that are measured together.
#[derive(Args)]
pub struct GroupArguments {
    /// Layers: all, bottom, middle, top, or such as 2-5,7; may be given several times [default: all of these groups]
    #[arg(long)]
    layers: Vec<LayerChoice>,

    /// The strongest directions of each
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=100))]
    first: u32,

    /// Also principal components of codes, of each group
    #[arg(long)]
    pca: bool,
}

impl GroupArguments {
    /// The strongest directions of each group and method.
    pub fn directions(&self, engine: &mut Engine, info: &ModelInfo) -> anyhow::Result<Vec<Arc<Direction>>> {
        let mut groups: Vec<LayerSet> = match self.layers.is_empty() {
            true => {
                let groups = [Group::Bottom, Group::Middle, Group::Top, Group::All];
                groups.into_iter().filter_map(|group| info.group(group)).collect()
            }
            false => self.layers.iter().map(|layers| layers.resolve(info)).collect::<anyhow::Result<_>>()?,
        };
        let mut seen = Vec::new();
        groups.retain(|group| {
            !seen.contains(group) && {
                seen.push(group.clone());
                true
            }
        });
        let mut sets: Vec<DirectionSet> = groups
            .iter()
            .map(|layers| Ok(DirectionSet::from(&*engine.factorize(layers, Weighting::RowNormalised)?)))
            .collect::<anyhow::Result<_>>()?;
        if self.pca {
            let (samples, seed) = (Method::PCA_SAMPLES, 0);
            let components = engine.components(CodeSource::Drawn { samples, seed }, &mut Bar::new().report())?;
            sets.extend(
                groups.iter().map(|layers| DirectionSet::of_components(&components, samples, seed, layers.clone())),
            );
        }
        let first = self.first as usize;
        Ok(sets.iter().flat_map(|set| set.directions.iter().take(first).cloned()).collect())
    }

    pub fn parameters(&self) -> Vec<(&'static str, Value)> {
        vec![("first", json!(self.first)), ("pca", json!(self.pca))]
    }
}

/// What a report says of a model and its samples.
pub(super) fn parameters(info: &ModelInfo, samples: &[Shot]) -> Vec<(&'static str, Value)> {
    let truncation = samples.first().map(|sample| sample.edit.truncation).unwrap_or_default();
    let labels: Vec<&str> = samples.iter().map(|sample| sample.label.as_str()).collect();
    vec![
        ("model", json!(info.name)),
        ("identity", json!(info.identity)),
        ("sample_labels", json!(labels)),
        ("psi", json!(truncation.psi)),
        ("cutoff", json!(truncation.cutoff)),
    ]
}

/// Changes of all attributes for each unit of distance, as [`analysis::effects`] takes them.
pub(super) fn changes_per_unit(run: &RescoreRun, at: usize) -> Vec<f64> {
    let distance = f64::from(run.plan().moves[at].1);
    (0..run.predictor().attributes().len()).map(|attribute| run.change(at, attribute).mean / distance).collect()
}
