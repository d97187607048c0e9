//! `bench`: how long loading, rendering and factorisation take on this machine.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use clap::Args;
use serde::Serialize;

use super::arguments::{DeviceArguments, ReadingArguments};
use super::progress::Bar;
use super::tiles::{self, TileReport};
use super::{arguments, bench_motion, bench_scores, bench_sheets, device_line, open_model, operators, print, soak};
use crate::directions::Method;
use crate::edit::{Direction, Edit, LayerSet, Move, Origin, Vectors, Weighting};
use crate::family::Family;
use crate::generator::{Group, LayerInfo, ModelInfo};
use crate::ops::{After, Conv};
use crate::progress::Progress;
use crate::render::{CodeSource, Engine, Example, Source};
use crate::size::Size;

/// Passes of tiles to take the median of.
const TILE_ROUNDS: u32 = 10;

const EXAMPLES: &str = "\
Examples:
  sefa-studio bench
  sefa-studio bench ffhq.pkl --device gpu --frames 100 --json
  sefa-studio bench ffhq.pkl --device gpu --precision f16
  sefa-studio bench --operators --device gpu
  sefa-studio bench ffhq.pkl --sheets
  sefa-studio bench --motion
  sefa-studio bench --scores
  sefa-studio bench ffhq.pkl --soak 600

Every frame has another seed, so that nothing comes from the cache. A frame ends when the picture is complete on the device; \
the first one when its pixels have been read. On a GPU, loading compiles the kernels by rendering once. Stages are timed one \
by one, waiting after each, so their sum is more than a frame. A top-layer move (layers 6 to the last) changes only what those \
layers feed; the rest is remembered.

Tiles are exact pictures of 128 pixels, read back: those of other samples, 8 asked for at once, which one pass makes on a GPU \
where the network's maps are small, and the CPU one on each core; the same asked for one after the other; then a sheet of 8 values of a top-layer move on the sample that a view shows, whose lower stages do not run \
again, and the same with all stages of each.

--soak uses the program at random for so many seconds: samples, moves of random groups of layers, comparisons, tiles, exports to \
memory, the model opened again. It prints the memory of the process at the start and after each tenth of the time. Memory grows \
until all that is remembered is as large as it may be; from the middle on it should not.

--sheets writes pages of 10 directions and 7 steps on one sample, of the bottom and of the top layers: exact ones and, where the \
network makes smaller pictures on its way, previews. It compares them with as many whole pictures, one after the other.

--motion counts what the window shows of what moves: frames of a swing, rounds of 16 samples while a slider is held (where the \
network makes smaller pictures on its way, these), and writes ten seconds of film.

--scores tells how long it takes to measure what ten directions of each group change of what the built-in heads' own network says \
of 256 samples; of other models, what the statistics of pictures do.

GFLOP/s count the multiplications and additions of StyleGAN2's convolutions as written in the paper, two for each weight and \
pixel, however they are computed. The ceiling is one large convolution on the same device.

--operators names tiles by output channels / those of a thread x rows x columns / those of a thread; shares are parts of \
the sum over input channels. Forms that store weights and maps in f16 say so; whatever --precision is, both are measured.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Generator: a checkpoint, or example:toy-heads [default: the built-in one]
    #[arg(value_parser = arguments::source())]
    file: Option<Source>,

    /// Frames to take the median of
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    frames: u32,

    /// Measure StyleGAN2's convolutions instead, in all their forms
    #[arg(long, conflicts_with_all = ["file", "frames"])]
    operators: bool,

    /// Smallest picture side of these
    #[arg(long, value_name = "PIXELS", default_value = "4", requires = "operators")]
    smallest: usize,

    /// Largest picture side of these
    #[arg(long, value_name = "PIXELS", default_value = "1024", requires = "operators")]
    largest: usize,

    /// Use the program at random for so long instead, and tell the memory that it takes
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["operators", "frames"], value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    soak: Option<u64>,

    /// Measure sheets of directions instead, from the first cell to the file
    #[arg(long, conflicts_with_all = ["operators", "frames", "soak"])]
    sheets: bool,

    /// Measure swings, samples under a slider, and films instead
    #[arg(long, conflicts_with_all = ["operators", "frames", "soak", "sheets"])]
    motion: bool,

    /// Measure re-scoring instead: what ten directions of each group change on 256 samples
    #[arg(long, conflicts_with_all = ["operators", "frames", "soak", "sheets", "motion"])]
    scores: bool,

    /// Print JSON instead of text
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    reading: ReadingArguments,
}

#[derive(Serialize)]
struct Report {
    device: String,
    model: String,
    #[serde(flatten)]
    size: Size,
    load_ms: f64,
    first_frame_ms: f64,
    /// Median.
    frame_ms: f64,
    frame_min_ms: f64,
    frames: u32,
    /// Of the median frame; `None` for other families than StyleGAN2.
    frame_gflops: Option<f64>,
    /// Medians.
    stages: Vec<StageReport>,
    /// Median frame while a move of the top layers (or the last layer, where there are none) changes.
    drag_top_ms: f64,
    tiles: TileReport,
    /// All layers, nothing remembered.
    factorize_ms: f64,
    /// Some of these layers after that; `None` if the model has but one group.
    factorize_again_ms: Option<f64>,
    /// Principal components of 100 000 codes.
    pca_ms: f64,
    /// A large convolution on the same device.
    ceiling_gflops: f64,
    /// `None` where the system does not tell.
    peak_rss_mb: Option<f64>,
}

#[derive(Serialize)]
struct StageReport {
    name: String,
    ms: f64,
    gflops: Option<f64>,
}

pub fn run(arguments: Arguments, device: DeviceArguments) -> anyhow::Result<()> {
    if arguments.operators {
        return operators::run(device, arguments.smallest..=arguments.largest, arguments.json);
    }
    let source = arguments.file.unwrap_or(Source::Example(Example::default()));
    if let Some(seconds) = arguments.soak {
        let duration = Duration::from_secs(seconds);
        return soak::run(&source, &arguments.reading, device, duration, arguments.json);
    }
    if arguments.sheets {
        return bench_sheets::run(&source, &arguments.reading, device, arguments.json);
    }
    if arguments.motion {
        return bench_motion::run(&source, &arguments.reading, device, arguments.json);
    }
    if arguments.scores {
        return bench_scores::run(&source, &arguments.reading, device, arguments.json);
    }
    let report = measure(&source, &arguments.reading, device, arguments.frames)?;
    match arguments.json {
        true => print(&format!("{}\n", serde_json::to_string_pretty(&report)?)),
        false => print(&report.to_text()),
    }
}

fn measure(
    source: &Source,
    reading: &ReadingArguments,
    device: DeviceArguments,
    frames: u32,
) -> anyhow::Result<Report> {
    let start = Instant::now();
    let (mut engine, info) = open_model(source, device, reading.recipe.as_deref())?;
    wait(&engine)?;
    let load_ms = milliseconds(start.elapsed());

    let start = Instant::now();
    engine.render(&info.start(0))?.to_pixels()?;
    let first_frame_ms = milliseconds(start.elapsed());

    let bar = Bar::new();
    let progress = |done: u32| {
        bar.show(Progress { stage: "measuring".into(), done: u64::from(done), total: 4 * u64::from(frames) });
    };
    let mut times = Vec::new();
    for frame in 0..frames {
        progress(frame);
        times.push(frame_time(&mut engine, &info.start(1 + u64::from(frame)))?);
    }
    let frame_ms = median(&mut times);
    let stages = stages(&mut engine, &info, frames, |frame| progress(frames + frame))?;
    let drag_top_ms = drag(&mut engine, &info, frames, |frame| progress(2 * frames + frame))?;
    let tiles = tiles::measure(&mut engine, &info, frames.min(TILE_ROUNDS), |round| progress(3 * frames + round))?;
    drop(bar);

    let all = info.group(Group::All).context("the model has no layers")?;
    let factorize_ms = factorization_time(&mut engine, &all)?;
    let other = [Group::Top, Group::Middle, Group::Bottom].into_iter().filter_map(|group| info.group(group));
    let other = other.into_iter().find(|layers| *layers != all);
    let factorize_again_ms = other.map(|layers| factorization_time(&mut engine, &layers)).transpose()?;
    let start = Instant::now();
    let codes = CodeSource::Drawn { samples: Method::PCA_SAMPLES, seed: 0 };
    engine.components(codes, &mut Bar::new().report())?;
    let pca_ms = milliseconds(start.elapsed());
    // Before the ceiling, which the model has no part in.
    let peak_rss_mb = peak_rss_mb();

    Ok(Report {
        device: device_line(engine.device()),
        model: info.name.clone(),
        size: info.size,
        load_ms,
        first_frame_ms,
        frame_ms,
        frame_min_ms: times.first().copied().unwrap_or_default(),
        frames,
        frame_gflops: gflops(multiply_adds(&info, |_| true), frame_ms),
        stages,
        drag_top_ms,
        tiles,
        factorize_ms,
        factorize_again_ms,
        pca_ms,
        ceiling_gflops: ceiling_gflops(&mut engine, &info)?,
        peak_rss_mb,
    })
}

/// Milliseconds until the picture of `edit` is complete.
fn frame_time(engine: &mut Engine, edit: &Edit) -> anyhow::Result<f64> {
    let start = Instant::now();
    engine.render(edit)?;
    wait(engine)?;
    Ok(milliseconds(start.elapsed()))
}

fn factorization_time(engine: &mut Engine, layers: &LayerSet) -> anyhow::Result<f64> {
    let start = Instant::now();
    engine.factorize(layers, Weighting::RowNormalised)?;
    Ok(milliseconds(start.elapsed()))
}

/// Median frame while a move of the top layers changes and everything else stays.
fn drag(engine: &mut Engine, info: &ModelInfo, frames: u32, progress: impl Fn(u32)) -> anyhow::Result<f64> {
    let mut edit = info.start(0);
    edit.moves.push(top_layer_move(info, 0.0));
    frame_time(engine, &edit)?;
    let mut times = Vec::new();
    for frame in 0..frames {
        progress(frame);
        edit.moves[0].value = (frame + 1) as f32 * 0.01;
        times.push(frame_time(engine, &edit)?);
    }
    Ok(median(&mut times))
}

/// A move of the top layers, or of the last one where there are none.
pub(super) fn top_layer_move(info: &ModelInfo, value: f32) -> Move {
    let last = info.num_layers - 1;
    let layers = info.group(Group::Top).unwrap_or(LayerSet::range(last, last));
    // Which direction makes no difference to the time.
    let mut vector = vec![0.0; info.code_dim()];
    vector[0] = 1.0;
    let direction = Direction { layers, vectors: Vectors::One(vector), origin: Origin::Mixed };
    Move::new(direction.into(), value)
}

/// Multiply-adds of StyleGAN2's convolutions at the resolutions that `counts`; `None` for other families, whose widths
/// [`ModelInfo`] does not tell. The 1x1 convolutions to RGB and the filters, under 1 % of the whole, are left out.
fn multiply_adds(info: &ModelInfo, counts: impl Fn(Size) -> bool) -> Option<f64> {
    if info.family != Family::StyleGan2 {
        return None;
    }
    // A layer's outputs are the inputs of the layer after it; the last layer is RGB.
    let convolutions = info.layers.windows(2).filter(|pair| counts(pair[0].size));
    let work = |pair: &[LayerInfo]| {
        let [layer, next] = pair else { return 0.0 };
        // Odd layers double the size: their kernel is applied once for every pixel of the input.
        let size = if layer.index % 2 == 1 { layer.size.halved() } else { layer.size };
        9.0 * size.pixels() as f64 * (layer.channels * next.channels) as f64
    };
    Some(convolutions.map(work).sum())
}

fn gflops(multiply_adds: Option<f64>, ms: f64) -> Option<f64> {
    multiply_adds.filter(|&work| work > 0.0 && ms > 0.0).map(|work| 2.0 * work / ms / 1e6)
}

/// GFLOP/s of a 3x3 convolution of 256 channels at 128 pixels, the best of five, or of as many as fit into two seconds.
fn ceiling_gflops(engine: &mut Engine, info: &ModelInfo) -> anyhow::Result<f64> {
    const CHANNELS: usize = 256;
    const SIDE: usize = 128;
    let weight = vec![1.0; CHANNELS * CHANNELS * 9];
    let conv = Conv::for_side(&weight, [CHANNELS, CHANNELS, 3], SIDE, engine.device().place());
    // Any picture is a tensor of the engine's device; what it shows makes no difference.
    let one = engine.render(&info.start(0))?.tensor().clone().mean().ones_like();
    let input = one.reshape([1, 1, 1, 1]).repeat(&[1, CHANNELS, SIDE, SIDE]);
    // What a convolution makes is stored as the next one reads it.
    let input = conv.forward(input, None, &After::default());
    let run = || {
        let start = Instant::now();
        conv.forward(input.clone(), None, &After::default());
        wait(engine)?;
        anyhow::Ok(milliseconds(start.elapsed()))
    };
    let start = Instant::now();
    // The first one may compile.
    run()?;
    let mut best = run()?;
    for _ in 1..5 {
        if start.elapsed() < Duration::from_secs(2) {
            best = best.min(run()?);
        }
    }
    let work = 9 * SIDE * SIDE * CHANNELS * CHANNELS;
    Ok(gflops(Some(work as f64), best).unwrap_or_default())
}

fn stages(
    engine: &mut Engine,
    info: &ModelInfo,
    frames: u32,
    progress: impl Fn(u32),
) -> anyhow::Result<Vec<StageReport>> {
    let mut names = Vec::new();
    let mut times: Vec<Vec<f64>> = Vec::new();
    for frame in 0..frames {
        progress(frame);
        // Other seeds than before: a code that is remembered would take no time.
        let (_, stages) = engine.render_timed(&info.start(1 + u64::from(frames) + u64::from(frame)))?;
        times.resize(stages.len(), Vec::new());
        for (times, stage) in times.iter_mut().zip(&stages) {
            times.push(milliseconds(stage.took));
        }
        names = stages.into_iter().map(|stage| stage.name).collect();
    }
    let report = |(name, times): (String, &mut Vec<f64>)| {
        let ms = median(times);
        // Stages that are named after the size they work at.
        let work = multiply_adds(info, |size| name == size.name());
        StageReport { gflops: gflops(work, ms), name, ms }
    };
    Ok(names.into_iter().zip(&mut times).map(report).collect())
}

/// Waits until the device has finished what was given to it.
pub(super) fn wait(engine: &Engine) -> anyhow::Result<()> {
    engine.device().device().sync().map_err(|error| anyhow!("the device failed: {error:?}"))
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The middle value; of an even number of values the mean of the two in the middle. 0 if there is none.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values {
        [] => 0.0,
        values if values.len() % 2 == 1 => values[values.len() / 2],
        values => (values[values.len() / 2 - 1] + values[values.len() / 2]) / 2.0,
    }
}

/// Most memory that this process had at any time, in 10^6 bytes.
#[cfg(unix)]
fn peak_rss_mb() -> Option<f64> {
    use nix::sys::resource::{UsageWho, getrusage};
    // Kilobytes, except on Apple's systems.
    let unit = if cfg!(target_vendor = "apple") { 1.0 } else { 1024.0 };
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    Some(usage.max_rss() as f64 * unit / 1e6)
}

#[cfg(not(unix))]
fn peak_rss_mb() -> Option<f64> {
    None
}

impl Report {
    fn to_text(&self) -> String {
        let mut text = format!("{}, {} pixels, on {}\n", self.model, self.size, self.device);
        let mut line = |name: &str, value: f64, unit: &str, gflops: Option<f64>| {
            text.push_str(&format!("  {name:<22} {value:>10.2} {unit}"));
            if let Some(gflops) = gflops {
                let share = 100.0 * gflops / self.ceiling_gflops;
                text.push_str(&format!("  {gflops:>7.1} GFLOP/s, {share:>3.0} % of the ceiling"));
            }
            text.push('\n');
        };
        line("load", self.load_ms, "ms", None);
        line("first frame", self.first_frame_ms, "ms", None);
        line(&format!("frame (of {})", self.frames), self.frame_ms, "ms", self.frame_gflops);
        for stage in &self.stages {
            line(&format!("  {}", stage.name), stage.ms, "ms", stage.gflops);
        }
        line("top-layer move", self.drag_top_ms, "ms", None);
        self.tiles.lines().into_iter().for_each(|(name, tiles)| line(&name, tiles, "tiles/s", None));
        line("factorise all layers", self.factorize_ms, "ms", None);
        if let Some(again) = self.factorize_again_ms {
            line("factorise other layers", again, "ms", None);
        }
        line("PCA of 100 000 codes", self.pca_ms, "ms", None);
        if let Some(peak) = self.peak_rss_mb {
            line("peak memory", peak, "MB", None);
        }
        line("ceiling", self.ceiling_gflops, "GFLOP/s", None);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_need_no_order() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&mut []), 0.0);
    }
}
