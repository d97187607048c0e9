//! `bench --sheets`: how long sheets of directions take, from the first cell to the file.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

use super::arguments::{DeviceArguments, ReadingArguments};
use super::bench::{median, milliseconds};
use super::progress::Bar;
use super::{device_line, open_model, print};
use crate::directions::DirectionSet;
use crate::edit::{LayerSet, Weighting};
use crate::export::{SequenceStep, SheetPlan, SheetRow, SheetRun, Shot};
use crate::generator::{Group, ModelInfo};
use crate::progress::Progress;
use crate::render::{Engine, Source};
use crate::size::Size;

/// Directions and steps of each sheet, and larger side of its cells.
const ROWS: usize = 10;
const STEPS: usize = 7;
const SIDE: usize = 128;
const SMALL_SIDE: usize = 64;
/// Sheets of each kind, fewer where they take longer than that together, and whole pictures to take the median of.
const ROUNDS: u64 = 3;
const ENOUGH: Duration = Duration::from_secs(10);
const PICTURES: u64 = 8;
const PATIENCE: Duration = Duration::from_millis(100);

#[derive(Serialize)]
struct Report {
    device: String,
    model: String,
    #[serde(flatten)]
    size: Size,
    /// A sheet of them all has so many cells.
    directions: usize,
    steps: usize,
    /// A picture of another sample with all its stages, read; the median.
    picture_ms: f64,
    sheets: Vec<SheetReport>,
}

/// Medians of a kind of sheet.
#[derive(Serialize)]
struct SheetReport {
    layers: LayerSet,
    side: usize,
    previews: bool,
    /// Until all cells of the first row are rendered, and until the page is on the disk.
    first_row_ms: f64,
    sheet_ms: f64,
    /// How much longer as many whole pictures would take, one after the other.
    faster: f64,
}

pub(super) fn run(
    source: &Source,
    reading: &ReadingArguments,
    device: DeviceArguments,
    json: bool,
) -> anyhow::Result<()> {
    let (mut engine, info) = open_model(source, device, reading.recipe.as_deref())?;
    let folder = tempfile::tempdir().context("cannot make a folder for sheets")?;
    let bar = Bar::new();
    let layers = [Group::Bottom, Group::Top].map(|group| info.group(group)).into_iter().flatten();
    let kinds: Vec<(LayerSet, usize, bool)> = layers
        .flat_map(|layers| {
            [(SIDE, false), (SIDE, true), (SMALL_SIDE, true)].map(|(side, quick)| (layers.clone(), side, quick))
        })
        .collect();
    let picture_ms = picture_ms(&mut engine, &info)?;
    let mut sheets: Vec<SheetReport> = Vec::new();
    for (number, (layers, side, previews)) in kinds.iter().enumerate() {
        bar.show(Progress { stage: "measuring".into(), done: number as u64, total: kinds.len() as u64 });
        let path = folder.path().join("sheet.html");
        let (mut first_rows, mut wholes) = (Vec::new(), Vec::new());
        let mut plan_of = |seed| plan(&mut engine, &info, layers, (*side, *previews), seed, &path);
        let plans = (0..=ROUNDS).map(&mut plan_of).collect::<anyhow::Result<Vec<_>>>()?;
        let start = Instant::now();
        for (round, plan) in plans.into_iter().enumerate() {
            match round {
                // Compiles, and leaves nothing.
                0 => _ = SheetRun::new(plan, &info)?.step(&mut engine, PATIENCE)?,
                _ if round > 1 && start.elapsed() > ENOUGH => break,
                _ => {
                    let [first_row, whole] = sheet_ms(&mut engine, plan, &info)?;
                    first_rows.push(first_row);
                    wholes.push(whole);
                }
            }
        }
        let (first_row_ms, sheet_ms) = (median(&mut first_rows), median(&mut wholes));
        let faster = (ROWS * STEPS) as f64 * picture_ms / sheet_ms.max(f64::MIN_POSITIVE);
        sheets.push(SheetReport {
            layers: layers.clone(),
            side: *side,
            previews: *previews,
            first_row_ms,
            sheet_ms,
            faster,
        });
    }
    drop(bar);
    let (device, model) = (device_line(engine.device()), info.name.clone());
    let report = Report { device, model, size: info.size, directions: ROWS, steps: STEPS, picture_ms, sheets };
    match json {
        true => print(&format!("{}\n", serde_json::to_string_pretty(&report)?)),
        false => print(&report.to_text()),
    }
}

/// Every picture has another seed, so that nothing comes from the cache.
fn picture_ms(engine: &mut Engine, info: &ModelInfo) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for seed in 0..=PICTURES {
        let start = Instant::now();
        engine.render(&info.start((1 << 30) + seed))?.to_pixels()?;
        if seed > 0 {
            times.push(milliseconds(start.elapsed()));
        }
    }
    Ok(median(&mut times))
}

fn plan(
    engine: &mut Engine,
    info: &ModelInfo,
    layers: &LayerSet,
    (side, previews): (usize, bool),
    seed: u64,
    path: &Path,
) -> anyhow::Result<SheetPlan> {
    let set = DirectionSet::from(&*engine.factorize(layers, Weighting::RowNormalised)?);
    let row = |number: usize| SheetRow {
        // Small networks have fewer; which one makes no difference to the time.
        direction: set.directions[number % set.len()].clone(),
        name: String::new(),
        score: set.scores.values().get(number).copied(),
        range: info.slider_range,
        is_starred: false,
    };
    Ok(SheetPlan {
        about: format!("layers {layers}"),
        samples: vec![Shot { label: format!("seed {seed}"), edit: info.start(seed) }],
        rows: (0..ROWS).map(row).collect(),
        score_name: set.scores.name().into(),
        steps: STEPS,
        side,
        previews,
        path: path.to_owned(),
    })
}

/// Milliseconds to the first row and to the file.
fn sheet_ms(engine: &mut Engine, plan: SheetPlan, info: &ModelInfo) -> anyhow::Result<[f64; 2]> {
    let start = Instant::now();
    let mut sheet = SheetRun::new(plan, info)?;
    let mut first_row = None;
    while sheet.step(engine, PATIENCE)? != SequenceStep::Finished {
        if sheet.progress().done >= STEPS as u64 {
            first_row.get_or_insert(start.elapsed());
        }
    }
    let whole = start.elapsed();
    Ok([first_row.unwrap_or(whole), whole].map(milliseconds))
}

impl Report {
    fn to_text(&self) -> String {
        let Report { device, model, size, directions, steps, picture_ms, sheets } = self;
        let mut text = format!("{model}, {size} pixels, on {device}\n");
        text.push_str(&format!("  {:<38} {picture_ms:>10.2} ms\n", "whole picture, read"));
        text.push_str(&format!("  sheets of {directions} x {steps} cells, as pages\n"));
        for SheetReport { layers, side, previews, first_row_ms, sheet_ms, faster } in sheets {
            let what = if *previews { ", previews" } else { "" };
            let name = format!("  layers {layers}, {side} px{what}");
            text.push_str(&format!(
                "  {name:<38} {sheet_ms:>10.2} ms, first row {first_row_ms:>8.2} ms, {faster:.2}x as fast as whole pictures\n"
            ));
        }
        text
    }
}
