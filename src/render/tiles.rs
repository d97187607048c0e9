//! Tiles: many small pictures, several in one pass of the network.

use std::panic::resume_unwind;
use std::sync::LazyLock;

use burn::tensor::Tensor;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::model::Loaded;
use super::trace::{Owner, StageInput, Trace};
use super::{Engine, Pixels, RenderError, ViewId};
use crate::edit::{Edit, NoiseMode};
use crate::generator::{Activation, read_back};
use crate::ops::{area_mean, is_cpu};

/// A small picture on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    pub pixels: Pixels,
    /// False if it is the network's own smaller picture, from halfway through.
    pub is_exact: bool,
}

/// A tile, or what is wrong with it alone.
pub type TileResult = Result<Tile, RenderError>;

/// What one pass has made, by places among what it was asked for.
pub type Made<T> = Vec<(usize, Result<T, RenderError>)>;

/// Tiles of one pass, at most.
const TOGETHER: usize = 16;
/// Bytes of the largest map of all tiles of a pass: eight of a network of 128 pixels, one of 1024.
const BATCH_BYTES: u64 = 128 << 20;
/// Tiles among which those are looked for that one pass makes, for each that it makes.
const LOOKED_AT: usize = 4;

impl Engine {
    /// The tiles of `edits`: pictures whose larger side has at most `side` pixels, means over areas of the network's own. Where the
    /// network has a smaller picture that is large enough on its way, that one is taken instead ([`Tile::is_exact`] tells).
    ///
    /// Stages whose inputs are those of what `from` shows do not run again, for any of the tiles.
    ///
    /// # Errors
    /// No model is open, or the device failed. What is wrong with one tile is told in its place: an edit that does not fit, a
    /// picture that is not finite.
    pub fn tiles(&mut self, edits: &[Edit], side: usize, from: Option<ViewId>) -> Result<Vec<TileResult>, RenderError> {
        self.all_tiles(edits, side, from, false)
    }

    /// As [`Engine::tiles`], all of them exact.
    pub fn exact_tiles(
        &mut self,
        edits: &[Edit],
        side: usize,
        from: Option<ViewId>,
    ) -> Result<Vec<TileResult>, RenderError> {
        self.all_tiles(edits, side, from, true)
    }

    fn all_tiles(
        &mut self,
        edits: &[Edit],
        side: usize,
        from: Option<ViewId>,
        exact: bool,
    ) -> Result<Vec<TileResult>, RenderError> {
        let mut waiting: Vec<usize> = (0..edits.len()).collect();
        let mut tiles: Vec<Option<TileResult>> = edits.iter().map(|_| None).collect();
        while !waiting.is_empty() {
            let wanted: Vec<&Edit> = waiting.iter().map(|&at| &edits[at]).collect();
            for (at, tile) in self.first_tiles(&wanted, side, from, exact)? {
                tiles[waiting[at]] = Some(tile);
            }
            waiting.retain(|&at| tiles[at].is_none());
        }
        Ok(tiles.into_iter().flatten().collect())
    }

    /// One pass of the network: the tile of the first of `edits`, and those of others that can be made with it, by their places
    /// in `edits`. For whoever has other things to do between passes; the rest is as in [`Engine::tiles`]. What an interrupted
    /// pass has made is lost (see [`Engine::interrupt_when`]).
    pub fn first_tiles(
        &mut self,
        edits: &[&Edit],
        side: usize,
        from: Option<ViewId>,
        exact: bool,
    ) -> Result<Made<Tile>, RenderError> {
        self.pass_from(edits, side, from.map(Owner::View), exact, into_tiles)
    }

    /// As [`Engine::first_tiles`], from the picture of `base`, which no view has to show: of its stages those run here, once, that
    /// the tiles share with it. For sheets, which are many tiles that differ from one sample.
    ///
    /// # Errors
    /// As [`Engine::first_tiles`]. If it is interrupted before the pass, what ran of `base` is kept, one stage at least.
    pub fn first_tiles_beside(
        &mut self,
        base: &Edit,
        edits: &[&Edit],
        side: usize,
        exact: bool,
    ) -> Result<Made<Tile>, RenderError> {
        // If the first one is of `base` itself, which shares all, the next one tells what the others share.
        self.run_shared(base, &edits[..edits.len().min(2)])?;
        self.pass_from(edits, side, Some(Owner::Private), exact, into_tiles)
    }

    /// As [`Engine::first_tiles_beside`], exact, and as the network makes them: -1..=1 and beyond, `[channels, height, width]`. For
    /// measurements, to which rounding to colours would be noise.
    ///
    /// # Errors
    /// As [`Engine::first_tiles_beside`].
    pub fn first_values_beside(
        &mut self,
        base: &Edit,
        edits: &[&Edit],
        side: usize,
    ) -> Result<Made<Vec<f32>>, RenderError> {
        self.run_shared(base, &edits[..edits.len().min(2)])?;
        let into = |_: &Loaded, picture, side, _| Ok(values_of(picture, side)?.collect());
        self.pass_from(edits, side, Some(Owner::Private), true, into)
    }

    /// Runs the stages of `base` whose inputs are those of the first of `others` too that is not the same picture, in the trace of
    /// what is on no screen.
    fn run_shared(&mut self, base: &Edit, others: &[&Edit]) -> Result<(), RenderError> {
        let model = self.model.as_mut().ok_or(RenderError::NoModel)?;
        let edits: Vec<&Edit> = std::iter::once(base).chain(others.iter().copied()).collect();
        // What does not fit is told by the pass.
        if edits.iter().any(|edit| model.check(edit).is_err()) {
            return Ok(());
        }
        let inputs = model.inputs(&edits)?;
        let Some((base, others)) = inputs.split_first() else { return Ok(()) };
        let agreement = |other: &Vec<StageInput>| base.iter().zip(other).take_while(|(a, b)| a == b).count();
        let shared = others.iter().map(agreement).find(|&stages| stages < base.len());
        let shared = shared.unwrap_or(if others.is_empty() { 0 } else { base.len() });
        let (trace, ran) = self.traces.resume(Owner::Private, base);
        for (stage, input) in base.iter().enumerate().take(shared).skip(ran) {
            trace.run(model, input.clone());
            if stage + 1 < shared && (self.is_interrupted)() {
                self.traces.trim();
                return Err(RenderError::Interrupted);
            }
        }
        if shared == base.len() {
            trace.drop_last_features();
        }
        self.traces.trim();
        Ok(())
    }

    /// `into` makes of the pictures `[N, C, H, W]` whatever is wanted of each, of this side and exact or not; `None` of one that is
    /// not finite.
    fn pass_from<T: Clone>(
        &mut self,
        edits: &[&Edit],
        side: usize,
        from: Option<Owner>,
        exact: bool,
        into: impl FnOnce(&Loaded, Tensor<4>, usize, bool) -> Result<Vec<Option<T>>, RenderError>,
    ) -> Result<Made<T>, RenderError> {
        let together = self.tiles_together();
        let model = self.model.as_mut().ok_or(RenderError::NoModel)?;
        let Some(first) = edits.first() else { return Ok(Vec::new()) };
        if let Err(error) = model.check(first) {
            return Ok(vec![(0, Err(error))]);
        }
        let looked_at = (0..edits.len().min(LOOKED_AT * together)).filter(|&at| model.check(edits[at]).is_ok());
        let (places, fitting): (Vec<usize>, Vec<&Edit>) = looked_at.map(|at| (at, edits[at])).unzip();
        let inputs = model.inputs(&fitting)?;
        let inputs = places.into_iter().zip(inputs.iter().map(Vec::as_slice));
        let mut batch = Batch::first_of(inputs, from.and_then(|owner| self.traces.of(owner)), together);
        if !is_cpu(model.device()) {
            batch.truncate_to_power_of_two();
        }
        let is_enough = |picture: &Tensor<4>| !exact && larger_side(picture) >= side;
        let (picture, is_exact) = batch.pass(model, is_enough, &*self.is_interrupted)?;
        // Where all samples are equal, there is one picture for all.
        let tiles = into(model, picture, side, is_exact)?.into_iter().cycle();
        Ok(batch.places.into_iter().zip(tiles).map(|(at, tile)| (at, tile.ok_or(RenderError::NotFinite))).collect())
    }

    /// How many tiles a pass makes at most: few of large networks, whose maps are large, and on the CPU one on each core.
    pub fn tiles_together(&self) -> usize {
        let Some(model) = &self.model else { return 1 };
        let limit = self.device.max_tensor_bytes().map_or(BATCH_BYTES, |most| most.min(BATCH_BYTES));
        let most = if is_cpu(model.device()) { cores().min(TOGETHER) } else { TOGETHER };
        (limit / model.map_bytes().max(1)).clamp(1, most as u64) as usize
    }
}

fn noise_mode(inputs: &[StageInput]) -> Option<NoiseMode> {
    inputs.iter().find_map(|input| input.noise).map(|noise| noise.mode)
}

fn larger_side(picture: &Tensor<4>) -> usize {
    let [_, _, height, width] = picture.dims();
    height.max(width)
}

/// Tiles that one pass makes.
struct Batch<'a> {
    /// Of each tile among those that were asked for.
    places: Vec<usize>,
    /// What each stage reads, for each tile.
    inputs: Vec<&'a [StageInput]>,
    /// Stages whose outputs all tiles share with a trace, and the output of the last of them.
    shared: usize,
    before: Option<Activation>,
}

impl<'a> Batch<'a> {
    /// The first tile, and others whose noise is of the same mode and that share as many stages with the trace.
    fn first_of(
        mut tiles: impl Iterator<Item = (usize, &'a [StageInput])>,
        trace: Option<&Trace>,
        together: usize,
    ) -> Self {
        let kind = |inputs: &[StageInput]| (trace.map_or(0, |trace| trace.agreement(inputs)), noise_mode(inputs));
        let first = tiles.next();
        let own = first.map_or((0, None), |(_, inputs)| kind(inputs));
        let alike = first.into_iter().chain(tiles.filter(|(_, inputs)| kind(inputs) == own));
        let (places, inputs) = alike.take(together).unzip();
        let before = own.0.checked_sub(1).and_then(|last| trace?.output(last)).cloned();
        Batch { places, inputs, shared: own.0, before }
    }

    /// Kernels for matrix units are compiled for each number of samples, so there are to be few of these.
    fn truncate_to_power_of_two(&mut self) {
        let count = self.inputs.len().checked_ilog2().map_or(0, |power| 1 << power);
        self.places.truncate(count);
        self.inputs.truncate(count);
    }

    /// Runs the other stages. Returns the pictures, `[N, C, H, W]`, or `[1, C, H, W]` where all are the same, and whether all
    /// stages have run.
    fn pass(
        &self,
        model: &Loaded,
        is_enough: impl Fn(&Tensor<4>) -> bool + Sync,
        is_interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Pictures, RenderError> {
        let stages = model.stages().len();
        // Those of several tiles that all read the same run once.
        let is_common = |stage: &usize| self.inputs.iter().all(|inputs| inputs[*stage] == self.inputs[0][*stage]);
        let common = if self.inputs.len() > 1 { (0..stages).take_while(is_common).count() } else { 0 };
        let mut before = self.before.clone();
        for stage in self.shared..common {
            if is_interrupted() {
                return Err(RenderError::Interrupted);
            }
            before = Some(model.run(stage, before.as_ref(), &[&self.inputs[0][stage]]));
        }
        let first = common.max(self.shared);
        if first == stages {
            let picture = before.and_then(|before| before.picture).ok_or(RenderError::NoModel)?;
            return Ok((picture, true));
        }
        let rest = |inputs: &[&[StageInput]]| rest(model, before.as_ref(), first, inputs, &is_enough, is_interrupted);
        if !is_cpu(model.device()) {
            return rest(&self.inputs);
        }
        // A processor does better with one picture on each core, whose maps stay in its cache.
        let pictures = on_all_cores(&self.inputs, |inputs| rest(std::slice::from_ref(inputs)));
        let (pictures, is_exact): (Vec<_>, Vec<_>) =
            pictures.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        Ok((Tensor::cat(pictures, 0), is_exact.iter().all(|&is_exact| is_exact)))
    }
}

/// `[N, C, H, W]`, and whether all stages have run.
type Pictures = (Tensor<4>, bool);

/// Runs the stages from `first` on, all of `inputs` in one pass, after `before`, the output of the stage before for one of them.
fn rest(
    model: &Loaded,
    before: Option<&Activation>,
    first: usize,
    inputs: &[&[StageInput]],
    is_enough: impl Fn(&Tensor<4>) -> bool,
    is_interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<Pictures, RenderError> {
    let stages = model.stages().len();
    let mut last = before.map(|before| before.repeated(inputs.len()));
    for stage in first..stages {
        if is_interrupted() {
            return Err(RenderError::Interrupted);
        }
        let of_stage: Vec<&StageInput> = inputs.iter().map(|inputs| &inputs[stage]).collect();
        let output = model.run(stage, last.as_ref(), &of_stage);
        if stage + 1 < stages
            && let Some(picture) = output.picture.clone().filter(&is_enough)
        {
            return Ok((picture, false));
        }
        last = Some(output);
    }
    let picture = last.and_then(|last| last.picture).ok_or(RenderError::NoModel)?;
    Ok((picture, true))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A pool of one thread for each core: what it runs does not share its loops with the other cores, which would wait for each other
/// at the end of every loop. The threads stay, and with them their memory for maps.
static CORES: LazyLock<Vec<ThreadPool>> = LazyLock::new(|| {
    let pool = |_| ThreadPoolBuilder::new().num_threads(1).build();
    (0..cores()).map_while(|core| pool(core).ok()).collect()
});

/// `work` on each item, a share of them on each core; the results in order.
fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let all = &|items: &[T]| items.iter().map(&work).collect::<Vec<R>>();
    let share = items.len().div_ceil(CORES.len().max(1)).max(1);
    if share == items.len() || CORES.is_empty() {
        return all(items);
    }
    std::thread::scope(|scope| {
        let shares = items.chunks(share).zip(CORES.iter());
        let threads: Vec<_> = shares.map(|(items, core)| scope.spawn(move || core.install(|| all(items)))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// A tile of each picture; `None` for one that is not finite. Waits for the device.
fn into_tiles(
    model: &Loaded,
    picture: Tensor<4>,
    side: usize,
    is_exact: bool,
) -> Result<Vec<Option<Tile>>, RenderError> {
    let [_, channels, height, width] = picture.dims();
    let [height, width] = tile_size([height, width], side);
    let order = model.info().channel_order;
    let tile = |values: Vec<f32>| {
        let pixels = Pixels::from_planar(&values, channels, height, width).in_rgb(order);
        Tile { pixels, is_exact }
    };
    Ok(values_of(picture, side)?.map(|values| values.map(tile)).collect())
}

/// The values of each picture as a tile; `None` for one that is not finite. Waits for the device.
fn values_of(picture: Tensor<4>, side: usize) -> Result<impl Iterator<Item = Option<Vec<f32>>>, RenderError> {
    let [samples, _, height, width] = picture.dims();
    let values = read_back(area_mean(picture, tile_size([height, width], side)))?;
    let length = values.len() / samples.max(1);
    let value = move |at: usize| {
        let values = &values[at * length..(at + 1) * length];
        values.iter().all(|x| x.is_finite()).then(|| values.to_vec())
    };
    Ok((0..samples).map(value))
}

/// Height and width of a tile: the larger of them `side`, unless the picture is smaller already.
pub fn tile_size([height, width]: [usize; 2], side: usize) -> [usize; 2] {
    let larger = height.max(width);
    let side = side.clamp(1, larger);
    [height, width].map(|length| ((2 * length * side + larger) / (2 * larger)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_keep_the_shape_of_the_picture() {
        assert_eq!(tile_size([1024, 1024], 128), [128, 128]);
        assert_eq!(tile_size([1024, 512], 100), [100, 50]);
        assert_eq!(tile_size([64, 48], 200), [64, 48], "nothing grows");
        assert_eq!(tile_size([5, 1000], 100), [1, 100]);
        assert_eq!(tile_size([7, 7], 0), [1, 1]);
    }
}
