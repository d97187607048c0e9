//! `bench --soak`: random use for a while, and the memory that it leaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use super::arguments::{DeviceArguments, ReadingArguments};
use super::progress::Bar;
use super::{device_line, open_model, print};
use crate::edit::{Direction, Edit, LayerSet, Move, NoiseMode, Seed, Weighting};
use crate::generator::ModelInfo;
use crate::progress::{self, Progress};
use crate::render::{Engine, RenderError, Source, TileCache, ViewId};

/// Moments at which memory is measured, the end among them.
const MOMENTS: u32 = 10;
/// Larger side of tiles, in pixels, and bytes of those that are kept.
const SIDE: usize = 96;
const TILES: u64 = 16 << 20;

#[derive(Serialize)]
struct Report {
    device: String,
    model: String,
    /// What was done, and how often.
    steps: Vec<(&'static str, u32)>,
    memory: Vec<Moment>,
}

#[derive(Serialize)]
struct Moment {
    seconds: f64,
    steps: u32,
    /// Memory of this process that is in use, in 10^6 bytes; `None` where the system does not tell.
    rss_mb: Option<f64>,
}

pub(super) fn run(
    source: &Source,
    reading: &ReadingArguments,
    device: DeviceArguments,
    duration: Duration,
    json: bool,
) -> anyhow::Result<()> {
    let (engine, info) = open_model(source, device, reading.recipe.as_deref())?;
    let device = device_line(engine.device());
    let mut person = Person::new(engine, &info, source);
    let bar = Bar::new();
    let start = Instant::now();
    let mut memory = vec![Moment { seconds: 0.0, steps: 0, rss_mb: rss_mb() }];
    let mut steps = 0;
    while start.elapsed() < duration {
        person.step()?;
        steps += 1;
        let elapsed = start.elapsed();
        bar.show(Progress { stage: "using it".into(), done: elapsed.as_secs(), total: duration.as_secs() });
        if elapsed >= duration * memory.len() as u32 / MOMENTS {
            memory.push(Moment { seconds: elapsed.as_secs_f64(), steps, rss_mb: rss_mb() });
        }
    }
    drop(bar);
    let report = Report { device, model: info.name.clone(), steps: person.done, memory };
    match json {
        true => print(&format!("{}\n", serde_json::to_string_pretty(&report)?)),
        false => print(&report.to_text()),
    }
}

/// Whoever uses the program, at random but always alike.
struct Person<'a> {
    engine: Engine,
    info: Arc<ModelInfo>,
    source: &'a Source,
    random: ChaCha12Rng,
    edit: Edit,
    tiles: TileCache,
    /// How often what was done.
    done: Vec<(&'static str, u32)>,
}

impl<'a> Person<'a> {
    fn new(engine: Engine, info: &Arc<ModelInfo>, source: &'a Source) -> Self {
        Person {
            engine,
            info: info.clone(),
            source,
            random: ChaCha12Rng::seed_from_u64(0),
            edit: info.start(0),
            tiles: TileCache::new(TILES),
            done: Vec::new(),
        }
    }

    fn below(&mut self, end: usize) -> usize {
        (self.random.next_u64() % end.max(1) as u64) as usize
    }

    /// Something like what people do, sliders most of all.
    fn step(&mut self) -> anyhow::Result<()> {
        let what = match self.below(1000) {
            0..2 => self.open()?,
            2..120 => self.sample()?,
            120..220 => self.direction()?,
            220..320 => self.tiles()?,
            320..360 => self.export()?,
            360..420 => self.compare()?,
            _ => self.drag()?,
        };
        match self.done.iter_mut().find(|(name, _)| *name == what) {
            Some((_, times)) => *times += 1,
            None => self.done.push((what, 1)),
        }
        Ok(())
    }

    fn open(&mut self) -> anyhow::Result<&'static str> {
        self.engine.open(self.source, &mut progress::silent)?;
        Ok("opened the model again")
    }

    /// Another sample, without moves.
    fn sample(&mut self) -> anyhow::Result<&'static str> {
        self.edit = self.random_sample();
        self.show(ViewId::PICTURE, self.edit.clone())?;
        Ok("took another sample")
    }

    fn random_sample(&mut self) -> Edit {
        let mut edit = self.info.start(0);
        edit.sample.code =
            crate::edit::Code::Seed(Seed { number: self.random.next_u64() >> 32, kind: self.info.seeds });
        edit.sample.class = self.info.classes.map(|classes| self.below(classes));
        edit.truncation.psi = 0.5 + 0.05 * self.below(11) as f32;
        if self.info.has_noise && self.below(4) == 0 {
            (edit.noise.mode, edit.noise.seed) = (NoiseMode::Random, self.random.next_u64());
        }
        edit
    }

    /// A move along a direction of any layers, beside those that there are.
    fn direction(&mut self) -> anyhow::Result<&'static str> {
        let step = self.random_move()?;
        self.edit.moves.truncate(7);
        self.edit.moves.extend(step);
        self.show(ViewId::PICTURE, self.edit.clone())?;
        Ok("moved along another direction")
    }

    fn random_move(&mut self) -> anyhow::Result<Option<Move>> {
        let (first, last) = (self.below(self.info.num_layers), self.below(self.info.num_layers));
        let layers = LayerSet::range(first, last);
        let weighting = [Weighting::RowNormalised, Weighting::Raw][self.below(2)];
        let basis = match self.engine.factorize(&layers, weighting) {
            Ok(basis) => basis,
            // Some layers have no weights in one of the variants.
            Err(RenderError::Sefa(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let index = self.below(basis.len().min(20));
        let direction = Direction::sefa(layers, weighting, index, basis.direction(index).to_vec());
        Ok(Some(Move::new(Arc::new(direction), self.random_value())))
    }

    fn random_value(&mut self) -> f32 {
        (self.below(201) as f32 / 100.0 - 1.0) * self.info.slider_range
    }

    /// A slider, if there is one.
    fn drag(&mut self) -> anyhow::Result<&'static str> {
        let (at, value) = (self.below(self.edit.moves.len()), self.random_value());
        if let Some(step) = self.edit.moves.get_mut(at) {
            step.value = value;
        }
        self.show(ViewId::PICTURE, self.edit.clone())?;
        Ok("dragged a slider")
    }

    fn compare(&mut self) -> anyhow::Result<&'static str> {
        self.show(ViewId::COMPARISON, self.edit.unedited())?;
        Ok("compared")
    }

    /// A strip of a direction, or of other samples.
    fn tiles(&mut self) -> anyhow::Result<&'static str> {
        let step = self.random_move()?;
        let mut edits = Vec::new();
        for part in -2..=2 {
            let mut edit = self.edit.clone();
            match &step {
                Some(step) => edit.moves.push(Move { value: step.value * part as f32 / 2.0, ..step.clone() }),
                None => edit = self.random_sample(),
            }
            edits.push(edit);
        }
        edits.retain(|edit| self.tiles.get(&self.tiles.key(edit, SIDE)).is_none());
        let made = self.engine.tiles(&edits, SIDE, Some(ViewId::PICTURE))?;
        for (edit, tile) in edits.iter().zip(made) {
            if let Some(tile) = finite(tile)? {
                self.tiles.insert(self.tiles.key(edit, SIDE), Arc::new(tile));
            }
        }
        Ok("made five tiles")
    }

    fn export(&mut self) -> anyhow::Result<&'static str> {
        let edit = self.random_sample();
        finite(self.engine.render(&edit)?.to_pixels())?;
        Ok("exported a picture")
    }

    fn show(&mut self, view: ViewId, edit: Edit) -> anyhow::Result<()> {
        finite(self.engine.render_view(view, &edit, || false)?.to_pixels())?;
        Ok(())
    }
}

/// Large values of several moves may well overflow.
fn finite<T>(result: Result<T, RenderError>) -> Result<Option<T>, RenderError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(RenderError::NotFinite) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Memory of this process that is in use, in 10^6 bytes.
#[cfg(target_os = "linux")]
fn rss_mb() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

#[cfg(not(target_os = "linux"))]
fn rss_mb() -> Option<f64> {
    None
}

impl Report {
    fn to_text(&self) -> String {
        let mut text = format!("{} on {}\n", self.model, self.device);
        for (what, times) in &self.steps {
            text.push_str(&format!("  {what:<30} {times:>8} times\n"));
        }
        for Moment { seconds, steps, rss_mb } in &self.memory {
            let memory = rss_mb.map_or("not told by this system".into(), |mb| format!("{mb:.1} MB"));
            text.push_str(&format!("  after {seconds:>6.1} s, {steps:>7} steps {memory:>12}\n"));
        }
        text
    }
}
