//! `bench`: how long loading, rendering and factorisation take on this machine.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use clap::Args;
use serde::Serialize;

use super::progress::Bar;
use super::{arguments, device_line, open_model, print};
use crate::edit::Weighting;
use crate::generator::{Group, ModelInfo};
use crate::gpu::DeviceChoice;
use crate::progress::Progress;
use crate::render::{Engine, Example, Source};

const EXAMPLES: &str = "\
Examples:
  sefa-studio bench
  sefa-studio bench ffhq.pkl --device gpu --frames 100 --json

Every frame has another seed, so that nothing comes from the cache. A frame ends when the picture is complete on the device; \
the first one when its pixels have been read. Stages are timed one by one, waiting after each, so their sum is more \
than a frame.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Generator: a checkpoint, or example:toy-heads [default: the built-in one]
    #[arg(value_parser = arguments::source())]
    file: Option<Source>,

    /// Frames to take the median of
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    frames: u32,

    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    device: String,
    model: String,
    resolution: usize,
    load_ms: f64,
    first_frame_ms: f64,
    /// Median.
    frame_ms: f64,
    frames: u32,
    /// Medians.
    stages: Vec<StageReport>,
    /// All layers, nothing remembered.
    factorize_ms: f64,
    /// `None` where the system does not tell.
    peak_rss_mb: Option<f64>,
}

#[derive(Serialize)]
struct StageReport {
    name: String,
    ms: f64,
}

pub fn run(arguments: Arguments, device: DeviceChoice) -> anyhow::Result<()> {
    let source = arguments.file.unwrap_or(Source::Example(Example::default()));
    let report = measure(&source, device, arguments.frames)?;
    match arguments.json {
        true => print(&format!("{}\n", serde_json::to_string_pretty(&report)?)),
        false => print(&report.to_text()),
    }
}

fn measure(source: &Source, device: DeviceChoice, frames: u32) -> anyhow::Result<Report> {
    let start = Instant::now();
    let (mut engine, info) = open_model(source, device)?;
    wait(&engine)?;
    let load_ms = milliseconds(start.elapsed());

    let start = Instant::now();
    engine.render(&info.start(0))?.to_pixels()?;
    let first_frame_ms = milliseconds(start.elapsed());

    let bar = Bar::new();
    let progress = |done: u32| {
        bar.show(Progress { stage: "measuring".into(), done: u64::from(done), total: 2 * u64::from(frames) });
    };
    let mut times = Vec::new();
    for frame in 0..frames {
        progress(frame);
        let edit = info.start(1 + u64::from(frame));
        let start = Instant::now();
        engine.render(&edit)?;
        wait(&engine)?;
        times.push(milliseconds(start.elapsed()));
    }
    let stages = stages(&mut engine, &info, frames, |frame| progress(frames + frame))?;
    drop(bar);

    let all = info.group(Group::All).context("the model has no layers")?;
    let start = Instant::now();
    engine.factorize(&all, Weighting::RowNormalised)?;
    let factorize_ms = milliseconds(start.elapsed());

    Ok(Report {
        device: device_line(engine.device()),
        model: info.name.clone(),
        resolution: info.resolution,
        load_ms,
        first_frame_ms,
        frame_ms: median(&mut times),
        frames,
        stages,
        factorize_ms,
        peak_rss_mb: peak_rss_mb(),
    })
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
    let report = |(name, times): (String, &mut Vec<f64>)| StageReport { name, ms: median(times) };
    Ok(names.into_iter().zip(&mut times).map(report).collect())
}

/// Waits until the device has finished what was given to it.
fn wait(engine: &Engine) -> anyhow::Result<()> {
    engine.device().device().sync().map_err(|error| anyhow!("the device failed: {error:?}"))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The middle value; of an even number of values the mean of the two in the middle. 0 if there is none.
fn median(values: &mut [f64]) -> f64 {
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
        let mut text = format!("{}, {1} x {1} pixels, on {2}\n", self.model, self.resolution, self.device);
        let mut line =
            |name: &str, value: f64, unit: &str| text.push_str(&format!("  {name:<20} {value:>10.2} {unit}\n"));
        line("load", self.load_ms, "ms");
        line("first frame", self.first_frame_ms, "ms");
        line(&format!("frame (of {})", self.frames), self.frame_ms, "ms");
        for stage in &self.stages {
            line(&format!("  {}", stage.name), stage.ms, "ms");
        }
        line("factorise all layers", self.factorize_ms, "ms");
        if let Some(peak) = self.peak_rss_mb {
            line("peak memory", peak, "MB");
        }
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
