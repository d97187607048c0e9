//! How long `bench`'s tiles take: alone and several in one pass, and from what a view shows.

use std::time::Instant;

use serde::Serialize;

use super::bench::{median, milliseconds, top_layer_move, wait};
use crate::edit::Edit;
use crate::generator::ModelInfo;
use crate::render::{Engine, TileResult, ViewId};

/// Tiles that are asked for at a time, and larger side of each in pixels.
pub(super) const TOGETHER: usize = 8;
pub(super) const SIDE: usize = 128;

/// Tiles in a second, from medians. All are exact.
#[derive(Serialize)]
pub(super) struct TileReport {
    /// Larger side, in pixels.
    side: usize,
    /// At a time, and how many of them a pass makes.
    asked_for: usize,
    of_one_pass: usize,
    /// Of other samples, so many at a time.
    tiles_per_s: f64,
    /// One after the other.
    tiles_alone_per_s: f64,
    /// Of one sample with other values of a move of the top layers, from what a view shows.
    sheet_tiles_per_s: f64,
    /// The same one after the other, each from the first stage on.
    sheet_alone_per_s: f64,
}

pub(super) fn measure(
    engine: &mut Engine,
    info: &ModelInfo,
    rounds: u32,
    progress: impl Fn(u32),
) -> anyhow::Result<TileReport> {
    let mut times: [Vec<f64>; 4] = Default::default();
    let shown = info.start(0);
    engine.render_view(ViewId::PICTURE, &shown, || false)?;
    let sheet = |round: u32| -> Vec<Edit> {
        let value = |n: usize| 0.01 * (1 + n + TOGETHER * round as usize) as f32;
        (0..TOGETHER).map(|n| Edit { moves: vec![top_layer_move(info, value(n))], ..shown.clone() }).collect()
    };
    // Seeds that nothing else here has: a code that is remembered would take no time.
    let samples = |round: u32, part: u64| -> Vec<Edit> {
        let first = (1 << 30) + (2 * u64::from(round) + part) * TOGETHER as u64;
        (first..first + TOGETHER as u64).map(|seed| info.start(seed)).collect()
    };
    // The first of each compiles.
    for round in 0..=rounds {
        progress(round.min(rounds - 1));
        let mut lap = |which: usize, work: &mut dyn FnMut(&mut Engine) -> anyhow::Result<()>| {
            wait(engine)?;
            let start = Instant::now();
            work(engine)?;
            if round > 0 {
                times[which].push(milliseconds(start.elapsed()));
            }
            anyhow::Ok(())
        };
        // In turns, so that what else the machine does falls upon all alike.
        let (together, alone, sheet) = (samples(round, 0), samples(round, 1), sheet(round));
        lap(0, &mut |engine| all(engine.exact_tiles(&together, SIDE, None)?))?;
        lap(1, &mut |engine| one_by_one(engine, &alone))?;
        lap(2, &mut |engine| all(engine.exact_tiles(&sheet, SIDE, Some(ViewId::PICTURE))?))?;
        lap(3, &mut |engine| one_by_one(engine, &sheet))?;
    }
    let [tiles_per_s, tiles_alone_per_s, sheet_tiles_per_s, sheet_alone_per_s] =
        times.each_mut().map(|times| 1e3 * TOGETHER as f64 / median(times).max(f64::MIN_POSITIVE));
    let of_one_pass = engine.tiles_together().min(TOGETHER);
    Ok(TileReport {
        side: SIDE,
        asked_for: TOGETHER,
        of_one_pass,
        tiles_per_s,
        tiles_alone_per_s,
        sheet_tiles_per_s,
        sheet_alone_per_s,
    })
}

/// Every tile in a pass of its own, from the first stage on.
fn one_by_one(engine: &mut Engine, edits: &[Edit]) -> anyhow::Result<()> {
    edits.iter().try_for_each(|edit| all(engine.exact_tiles(std::slice::from_ref(edit), SIDE, None)?))
}

fn all(tiles: Vec<TileResult>) -> anyhow::Result<()> {
    tiles.into_iter().try_for_each(|tile| tile.map(drop)).map_err(Into::into)
}

impl TileReport {
    /// Lines of a name and tiles in a second.
    pub(super) fn lines(&self) -> [(String, f64); 4] {
        [
            (format!("tiles, {} at a time", self.asked_for), self.tiles_per_s),
            ("tiles, one at a time".into(), self.tiles_alone_per_s),
            ("sheet from the view".into(), self.sheet_tiles_per_s),
            ("sheet, all stages".into(), self.sheet_alone_per_s),
        ]
    }
}
