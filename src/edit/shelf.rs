//! The shelf: edits that were kept, in a row.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Code, Direction, Edit, Sample, Vectors};

/// An edit that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub edit: Edit,
    /// Empty if nobody named it.
    pub name: String,
    /// From it to the next when the shelf is played, in [`SECONDS`].
    pub seconds: f32,
    /// How it goes on from there.
    pub easing: Easing,
}

impl Default for Kept {
    fn default() -> Self {
        Kept { edit: Edit::default(), name: String::new(), seconds: DEFAULT_SECONDS, easing: Easing::default() }
    }
}

/// Seconds from one kept edit to the next, unless somebody said otherwise.
pub const DEFAULT_SECONDS: f32 = 1.0;
/// Seconds from one kept edit to the next: at least a frame, at most an hour.
pub const SECONDS: RangeInclusive<f32> = 0.02..=3600.0;

/// How a motion goes on from a kept edit to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Easing {
    /// Through all with a continuous velocity.
    #[default]
    Smooth,
    /// Straight, at constant speed.
    Linear,
    /// It stays, and jumps to the next at its time.
    Hold,
}

/// How a motion is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Playback {
    /// Frames per second, one of [`Playback::RATES`] unless a script asked for another.
    pub fps: u32,
    /// After the last it goes back to the first and on.
    pub loops: bool,
    /// Random noise is drawn anew for every frame, instead of being that of the first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh_noise: bool,
}

impl Playback {
    /// The usual frame rates.
    pub const RATES: [u32; 5] = [24, 25, 30, 50, 60];
    /// Frame rates that can be asked for.
    pub const FPS: RangeInclusive<u32> = 1..=120;
}

impl Default for Playback {
    fn default() -> Self {
        Playback { fps: 30, loops: true, fresh_noise: false }
    }
}

/// Edits of one shelf, at most.
pub const MAX_KEPT: usize = 1000;
/// Numbers in their codes and directions, at most, each direction counted once: as text they fit into a project file.
pub const MAX_NUMBERS: usize = 4_000_000;
/// Letters of a name, at most.
pub const MAX_NAME: usize = 100;

/// Kept edits in their order, which is a motion when they are played. Copies share them, so that every step of undo may have its own.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    kept: Arc<Vec<Arc<Kept>>>,
    pub playback: Playback,
}

/// Nothing more fits on the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShelfFull {
    #[error("the shelf holds {MAX_KEPT} pictures, which is as many as there is room for")]
    Edits,
    #[error("the codes and directions of the shelf have {MAX_NUMBERS} numbers, which is as many as there is room for")]
    Numbers,
}

impl Shelf {
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub fn get(&self, at: usize) -> Option<&Arc<Kept>> {
        self.kept.get(at)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Kept>> {
        self.kept.iter()
    }

    /// The same with other edits.
    pub fn map(&self, change: impl Fn(&Edit) -> Edit) -> Shelf {
        let changed = |kept: &Arc<Kept>| Arc::new(Kept { edit: change(&kept.edit), ..(**kept).clone() });
        Shelf { kept: Arc::new(self.iter().map(changed).collect()), playback: self.playback }
    }

    /// Puts an edit behind the others.
    ///
    /// # Errors
    /// There is no room.
    pub fn keep(&mut self, kept: Kept) -> Result<(), ShelfFull> {
        if self.len() >= MAX_KEPT {
            return Err(ShelfFull::Edits);
        }
        if numbers(self.iter().map(Arc::as_ref).chain([&kept])) > MAX_NUMBERS {
            return Err(ShelfFull::Numbers);
        }
        Arc::make_mut(&mut self.kept).push(Arc::new(kept));
        Ok(())
    }

    pub fn remove(&mut self, at: usize) {
        if at < self.len() {
            Arc::make_mut(&mut self.kept).remove(at);
        }
    }

    /// Moves an edit so that it has the place `to` among all.
    pub fn shift(&mut self, from: usize, to: usize) {
        let to = to.min(self.len().saturating_sub(1));
        if from < self.len() && from != to {
            let kept = Arc::make_mut(&mut self.kept);
            let one = kept.remove(from);
            kept.insert(to, one);
        }
    }

    /// Gives an edit a name; an empty one takes it back.
    pub fn rename(&mut self, at: usize, name: &str) {
        if let Some(kept) = Arc::make_mut(&mut self.kept).get_mut(at) {
            Arc::make_mut(kept).name = name.trim().chars().take(MAX_NAME).collect();
        }
    }

    /// True if anything of how it is played was changed.
    pub fn is_timed(&self) -> bool {
        let is_usual = |kept: &Arc<Kept>| kept.seconds == DEFAULT_SECONDS && kept.easing == Easing::default();
        self.playback != Playback::default() || !self.iter().all(is_usual)
    }

    /// Sets how a motion goes on from an edit; `seconds` within [`SECONDS`].
    pub fn time(&mut self, at: usize, seconds: f32, easing: Easing) {
        if let Some(kept) = Arc::make_mut(&mut self.kept).get_mut(at) {
            let kept = Arc::make_mut(kept);
            (kept.seconds, kept.easing) = (seconds.clamp(*SECONDS.start(), *SECONDS.end()), easing);
        }
    }
}

/// Edits beyond [`MAX_KEPT`] are left out: who reads a file says so before.
impl FromIterator<Kept> for Shelf {
    fn from_iter<I: IntoIterator<Item = Kept>>(kept: I) -> Self {
        let kept = Arc::new(kept.into_iter().take(MAX_KEPT).map(Arc::new).collect());
        Shelf { kept, playback: Playback::default() }
    }
}

/// Asked in every frame: what is shared is not looked at.
impl PartialEq for Shelf {
    fn eq(&self, other: &Self) -> bool {
        let is_one = |(a, b): (&Arc<Kept>, &Arc<Kept>)| Arc::ptr_eq(a, b) || a == b;
        let are_all = || self.len() == other.len() && self.iter().zip(other.iter()).all(is_one);
        self.playback == other.playback && (Arc::ptr_eq(&self.kept, &other.kept) || are_all())
    }
}

/// Numbers in the codes and directions of edits; a direction that several share counts once.
fn numbers<'a>(kept: impl Iterator<Item = &'a Kept>) -> usize {
    let mut seen: HashSet<*const Direction> = HashSet::new();
    let mut count = 0;
    for Kept { edit, .. } in kept {
        count += numbers_of(&edit.sample);
        let new = edit.moves.iter().filter(|step| seen.insert(Arc::as_ptr(&step.direction)));
        count += new
            .map(|step| match &step.direction.vectors {
                Vectors::One(vector) => vector.len(),
                Vectors::PerLayer(vectors) => vectors.iter().map(Vec::len).sum(),
            })
            .sum::<usize>();
    }
    count
}

fn numbers_of(sample: &Sample) -> usize {
    let of_code = |code: &Code| match code {
        Code::Seed(_) => 0,
        Code::Z(code) | Code::W(code) => code.len(),
        Code::WPlus(codes) => codes.iter().map(Vec::len).sum(),
        Code::Between(between) => between.through.iter().map(|point| numbers_of(&point.sample)).sum(),
    };
    let of_photo = sample.photo.as_ref().map_or(0, |photo| photo.picture.len() / size_of::<f32>());
    of_photo + of_code(&sample.code) + sample.styles.iter().map(|style| of_code(&style.code)).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{LayerSet, Move, Seed, Weighting};

    fn kept(seed: u64) -> Kept {
        let code = Code::Seed(Seed::studio(seed));
        Kept { edit: Edit { sample: Sample { code, ..Sample::default() }, ..Edit::default() }, ..Kept::default() }
    }

    fn seeds(shelf: &Shelf) -> Vec<u64> {
        let seed = |kept: &Arc<Kept>| match kept.edit.sample.code {
            Code::Seed(seed) => seed.number,
            _ => panic!("expected a seed"),
        };
        shelf.iter().map(seed).collect()
    }

    #[test]
    fn edits_are_kept_moved_named_and_removed() {
        let mut shelf: Shelf = (1..=4).map(kept).collect();
        shelf.keep(kept(5)).unwrap();
        for (from, to, expected) in [(0, 4, [2, 3, 4, 5, 1]), (4, 1, [2, 1, 3, 4, 5]), (2, 9, [2, 1, 4, 5, 3])] {
            shelf.shift(from, to);
            assert_eq!(seeds(&shelf), expected, "{from} to {to}");
        }
        let before = shelf.clone();
        shelf.shift(9, 0);
        shelf.shift(1, 1);
        shelf.remove(9);
        shelf.rename(9, "nothing");
        assert_eq!(shelf, before);
        shelf.rename(1, "  best one ");
        assert_eq!((shelf.get(1).unwrap().name.as_str(), before.get(1).unwrap().name.as_str()), ("best one", ""));
        assert_ne!(shelf, before);
        shelf.rename(0, &"ö".repeat(500));
        assert_eq!(shelf.get(0).unwrap().name.chars().count(), MAX_NAME);
        shelf.remove(0);
        assert_eq!((seeds(&shelf), seeds(&before)), (vec![1, 4, 5, 3], vec![2, 1, 4, 5, 3]));
    }

    #[test]
    fn a_full_shelf_says_so_and_stays() {
        let mut shelf: Shelf = (0..MAX_KEPT as u64).map(kept).collect();
        assert_eq!(shelf.keep(kept(0)), Err(ShelfFull::Edits));
        assert_eq!(shelf.len(), MAX_KEPT);
        let wide = |layers| Kept {
            edit: Edit {
                sample: Sample { code: Code::WPlus(vec![vec![0.5; 1000]; layers]), ..Sample::default() },
                ..Edit::default()
            },
            ..Kept::default()
        };
        let mut shelf: Shelf = (0..3).map(|_| wide(1000)).collect();
        shelf.keep(wide(900)).unwrap();
        assert_eq!(shelf.keep(wide(101)), Err(ShelfFull::Numbers));
        // A direction that is there already takes no room.
        let direction = Arc::new(Direction::sefa(LayerSet::range(0, 1), Weighting::Raw, 0, vec![0.0; 60_000]));
        let mut moved = kept(1);
        moved.edit.moves = vec![Move::new(direction.clone(), 1.0), Move::new(direction, 2.0)];
        shelf.keep(moved.clone()).unwrap();
        shelf.keep(moved).unwrap();
        assert_eq!(shelf.keep(wide(41)), Err(ShelfFull::Numbers));
    }
}
