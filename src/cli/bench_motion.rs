//! `bench --motion`: how many pictures a second there are of what moves: swings, samples that follow a slider, films.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use serde::Serialize;

use super::arguments::{DeviceArguments, ReadingArguments};
use super::bench::{median, milliseconds};
use super::progress::Bar;
use super::{device_line, open_model, print};
use crate::directions::DirectionSet;
use crate::edit::{Direction, Edit, LayerSet, Playback, Weighting};
use crate::export::{FilmPlan, FilmTarget, render_sequence};
use crate::generator::{Group, ModelInfo};
use crate::motion::Motion;
use crate::names::DirectionNames;
use crate::progress::{self, Progress};
use crate::project::Project;
use crate::render::{Engine, Source, ViewId};
use crate::size::Size;

/// Frames of each swing.
const FRAMES: usize = 60;
/// Samples of the grid, its larger sides of cells in pixels, and rounds to take the median of.
const SAMPLES: u64 = 16;
const SIDES: [usize; 3] = [32, 64, 128];
const ROUNDS: u32 = 10;
/// Of the films.
const SECONDS: f64 = 10.0;
const FPS: u32 = 30;
/// A film is measured if its frames take no longer than this together.
const ENOUGH_MS: f64 = 60_000.0;

#[derive(Serialize)]
struct Report {
    device: String,
    model: String,
    #[serde(flatten)]
    size: Size,
    swings: Vec<SwingReport>,
    /// 4 x 4 samples under a move of the bottom layers that changes: what the window shows while a slider is held.
    grids: Vec<GridReport>,
    /// A swing of the bottom layers, 10 s at 30 frames a second.
    films: Vec<FilmReport>,
}

/// Frames along the strongest direction, as the player asks for them.
#[derive(Serialize)]
struct SwingReport {
    layers: LayerSet,
    frames_per_s: f64,
}

#[derive(Serialize)]
struct GridReport {
    side: usize,
    rounds_per_s: f64,
}

#[derive(Serialize)]
struct FilmReport {
    format: &'static str,
    seconds: f64,
}

pub(super) fn run(
    source: &Source,
    reading: &ReadingArguments,
    device: DeviceArguments,
    json: bool,
) -> anyhow::Result<()> {
    let (mut engine, info) = open_model(source, device, reading.recipe.as_deref())?;
    let folder = tempfile::tempdir().context("cannot make a folder for films")?;
    let bar = Bar::new();
    let measuring = |done| bar.show(Progress { stage: "measuring".into(), done, total: 4 });
    measuring(0);
    let layers = [Group::Bottom, Group::Top].map(|group| info.group(group)).into_iter().flatten();
    let swings = layers.map(|layers| swing(&mut engine, &info, layers)).collect::<anyhow::Result<Vec<_>>>()?;
    measuring(1);
    let grids = SIDES.map(|side| grid(&mut engine, &info, side)).into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let frame_ms = swings.first().map_or(f64::INFINITY, |swing| 1e3 / swing.frames_per_s);
    let mut films = Vec::new();
    if frame_ms * SECONDS * f64::from(FPS) < ENOUGH_MS {
        for (number, format) in ["mp4", "gif"].into_iter().enumerate() {
            measuring(2 + number as u64);
            films.push(film(&mut engine, &info, format, folder.path())?);
        }
    }
    drop(bar);
    let (device, model) = (device_line(engine.device()), info.name.clone());
    let report = Report { device, model, size: info.size, swings, grids, films };
    match json {
        true => print(&format!("{}\n", serde_json::to_string_pretty(&report)?)),
        false => print(&report.to_text()),
    }
}

fn strongest(engine: &mut Engine, layers: &LayerSet) -> anyhow::Result<Arc<Direction>> {
    let set = DirectionSet::from(&*engine.factorize(layers, Weighting::RowNormalised)?);
    set.directions.first().cloned().context("the model has no directions")
}

fn motion(engine: &mut Engine, info: &ModelInfo, layers: &LayerSet, frames: f64) -> anyhow::Result<Motion> {
    let direction = strongest(engine, layers)?;
    let (range, playback) = (info.slider_range, Playback { fps: FPS, ..Playback::default() });
    Ok(Motion::swing(&info.start(0), &direction, [-range, range], frames / f64::from(FPS), playback)?)
}

fn swing(engine: &mut Engine, info: &ModelInfo, layers: LayerSet) -> anyhow::Result<SwingReport> {
    let motion = motion(engine, info, &layers, 2.0 * FRAMES as f64)?;
    let mut times = Vec::new();
    // There, not back: nothing is made twice. The first compiles.
    for number in 0..=FRAMES {
        let start = Instant::now();
        engine.render_view(ViewId::PICTURE, &motion.frame(number), || false)?.to_pixels()?;
        if number > 0 {
            times.push(milliseconds(start.elapsed()));
        }
    }
    Ok(SwingReport { layers, frames_per_s: 1e3 / median(&mut times) })
}

fn grid(engine: &mut Engine, info: &ModelInfo, side: usize) -> anyhow::Result<GridReport> {
    let layers = info.group(Group::Bottom).unwrap_or(LayerSet::range(0, 0));
    let direction = strongest(engine, &layers)?;
    let mut times = Vec::new();
    for round in 0..=ROUNDS {
        let sample = |seed| {
            let mut edit = info.start(seed);
            edit.set_along(&direction, 0.1 * (1 + round) as f32);
            edit
        };
        let edits: Vec<Edit> = (0..SAMPLES).map(sample).collect();
        let start = Instant::now();
        for tile in engine.tiles(&edits, side, Some(ViewId::PICTURE))? {
            tile?;
        }
        if round > 0 {
            times.push(milliseconds(start.elapsed()));
        }
    }
    Ok(GridReport { side, rounds_per_s: 1e3 / median(&mut times) })
}

fn film(engine: &mut Engine, info: &ModelInfo, format: &'static str, folder: &Path) -> anyhow::Result<FilmReport> {
    let layers = info.group(Group::Bottom).unwrap_or(LayerSet::range(0, 0));
    let motion = motion(engine, info, &layers, SECONDS * f64::from(FPS))?;
    let plan = FilmPlan {
        path: folder.join("film").with_extension(format),
        playback: motion.playback(),
        frames: motion.frames(),
        picture: [info.size.width, info.size.height],
        side: None,
    };
    let project = Project::new(info, String::new(), Edit::default(), DirectionNames::default());
    let start = Instant::now();
    render_sequence(engine, FilmTarget::Film(plan).sequence(project, motion)?, &mut progress::silent)?;
    Ok(FilmReport { format, seconds: start.elapsed().as_secs_f64() })
}

impl Report {
    fn to_text(&self) -> String {
        let Report { device, model, size, swings, grids, films } = self;
        let mut text = format!("{model}, {size} pixels, on {device}\n");
        let mut line =
            |what: String, value: f64, unit: &str| text.push_str(&format!("  {what:<44} {value:>8.2} {unit}\n"));
        for SwingReport { layers, frames_per_s } in swings {
            line(format!("swing of layers {layers}"), *frames_per_s, "frames/s");
        }
        for GridReport { side, rounds_per_s } in grids {
            line(format!("{SAMPLES} samples under a slider, {side} px"), *rounds_per_s, "rounds/s");
        }
        for FilmReport { format, seconds } in films {
            line(format!("{SECONDS} s at {FPS} frames/s as {format}"), *seconds, "s");
        }
        text
    }
}
