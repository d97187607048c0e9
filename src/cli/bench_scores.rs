//! `bench --scores`: how long it takes to tell what directions change.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::arguments::{DeviceArguments, ReadingArguments};
use super::progress::Bar;
use super::{device_line, open_model, print};
use crate::analysis::{RescorePlan, RescoreRun, measure};
use crate::directions::DirectionSet;
use crate::edit::{LayerSet, Weighting};
use crate::generator::{Group, ModelInfo};
use crate::predictor::{Predictor, PredictorSource};
use crate::progress;
use crate::render::{Engine, Example, Source};

/// Directions and samples.
const MOVES: usize = 10;
const SAMPLES: u64 = 256;
/// Pictures that a predictor looks at to tell how fast it is.
const LOOKS: usize = 64;

#[derive(Serialize)]
struct Report {
    device: String,
    model: String,
    predictor: String,
    /// Of the predictor alone.
    predictions_per_s: f64,
    /// 10 directions of each group, 256 samples.
    groups: Vec<GroupReport>,
}

#[derive(Serialize)]
struct GroupReport {
    layers: LayerSet,
    seconds: f64,
    pictures_per_s: f64,
}

pub(super) fn run(
    source: &Source,
    reading: &ReadingArguments,
    device: DeviceArguments,
    json: bool,
) -> anyhow::Result<()> {
    let (mut engine, info) = open_model(source, device, reading.recipe.as_deref())?;
    let predictor = match source {
        Source::Example(Example::ToyHeads) => PredictorSource::ToyHeads,
        _ => PredictorSource::Statistics,
    };
    let name = predictor.to_string();
    let predictor = Arc::new(Predictor::open(&predictor, &mut progress::silent)?);
    let predictions_per_s = looks(&predictor, &info)?;
    let groups =
        [Group::Bottom, Group::Middle, Group::Top, Group::All].into_iter().filter_map(|group| info.group(group));
    let groups =
        groups.map(|layers| group(&mut engine, &info, layers, &predictor)).collect::<anyhow::Result<Vec<_>>>()?;
    let (device, model) = (device_line(engine.device()), info.name.clone());
    let report = Report { device, model, predictor: name, predictions_per_s, groups };
    match json {
        true => print(&format!("{}\n", serde_json::to_string_pretty(&report)?)),
        false => print(&report.to_text()),
    }
}

fn looks(predictor: &Predictor, info: &ModelInfo) -> anyhow::Result<f64> {
    let size = [info.size.height, info.size.width];
    let pictures = vec![0.5; LOOKS * 3 * size[0] * size[1]];
    predictor.predict(&pictures, size)?;
    let start = Instant::now();
    predictor.predict(&pictures, size)?;
    Ok(LOOKS as f64 / start.elapsed().as_secs_f64())
}

fn group(
    engine: &mut Engine,
    info: &ModelInfo,
    layers: LayerSet,
    predictor: &Arc<Predictor>,
) -> anyhow::Result<GroupReport> {
    let set = DirectionSet::from(&*engine.factorize(&layers, Weighting::RowNormalised)?);
    let moves: Vec<_> =
        set.directions.iter().take(MOVES).map(|direction| (direction.clone(), info.slider_range / 3.0)).collect();
    let pictures = SAMPLES as usize * (1 + moves.len());
    let samples = (0..SAMPLES).map(|seed| info.start(seed)).collect();
    let mut run = RescoreRun::new(RescorePlan { samples, moves, both_ways: false }, predictor.clone())?;
    let start = Instant::now();
    measure(engine, &mut run, &mut Bar::new().report())?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(GroupReport { layers, seconds, pictures_per_s: pictures as f64 / seconds })
}

impl Report {
    fn to_text(&self) -> String {
        let mut text = format!("{}, {}, on {}\n", self.model, self.predictor, self.device);
        text.push_str(&format!("  {:<34} {:>8.1} pictures/s\n", "predictor alone", self.predictions_per_s));
        for GroupReport { layers, seconds, pictures_per_s } in &self.groups {
            let what = format!("{MOVES} directions x {SAMPLES} samples, {layers}");
            text.push_str(&format!("  {what:<34} {seconds:>8.2} s  {pictures_per_s:>6.1} pictures/s\n"));
        }
        text
    }
}
