//! The shelf: edits that were kept, in a row.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Code, Direction, Edit, Vectors};

/// An edit that was kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    pub edit: Edit,
    /// Empty if nobody named it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// Edits of one shelf, at most.
pub const MAX_KEPT: usize = 1000;
/// Numbers in their codes and directions, at most, each direction counted once: as text they fit into a project file.
pub const MAX_NUMBERS: usize = 4_000_000;
/// Letters of a name, at most.
pub const MAX_NAME: usize = 100;

/// Kept edits in their order. Copies share them, so that every step of undo may have its own.
#[derive(Clone, Debug, Default)]
pub struct Shelf(Arc<Vec<Arc<Kept>>>);

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
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, at: usize) -> Option<&Arc<Kept>> {
        self.0.get(at)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Kept>> {
        self.0.iter()
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
        Arc::make_mut(&mut self.0).push(Arc::new(kept));
        Ok(())
    }

    pub fn remove(&mut self, at: usize) {
        if at < self.len() {
            Arc::make_mut(&mut self.0).remove(at);
        }
    }

    /// Moves an edit so that it has the place `to` among all.
    pub fn shift(&mut self, from: usize, to: usize) {
        let to = to.min(self.len().saturating_sub(1));
        if from < self.len() && from != to {
            let kept = Arc::make_mut(&mut self.0);
            let one = kept.remove(from);
            kept.insert(to, one);
        }
    }

    /// Gives an edit a name; an empty one takes it back.
    pub fn rename(&mut self, at: usize, name: &str) {
        if let Some(kept) = Arc::make_mut(&mut self.0).get_mut(at) {
            Arc::make_mut(kept).name = name.trim().chars().take(MAX_NAME).collect();
        }
    }
}

/// Edits beyond [`MAX_KEPT`] are left out: who reads a file says so before.
impl FromIterator<Kept> for Shelf {
    fn from_iter<I: IntoIterator<Item = Kept>>(kept: I) -> Self {
        Shelf(Arc::new(kept.into_iter().take(MAX_KEPT).map(Arc::new).collect()))
    }
}

/// Asked in every frame: what is shared is not looked at.
impl PartialEq for Shelf {
    fn eq(&self, other: &Self) -> bool {
        let is_one = |(a, b): (&Arc<Kept>, &Arc<Kept>)| Arc::ptr_eq(a, b) || a == b;
        Arc::ptr_eq(&self.0, &other.0) || self.len() == other.len() && self.iter().zip(other.iter()).all(is_one)
    }
}

/// Numbers in the codes and directions of edits; a direction that several share counts once.
fn numbers<'a>(kept: impl Iterator<Item = &'a Kept>) -> usize {
    let mut seen: HashSet<*const Direction> = HashSet::new();
    let mut count = 0;
    for Kept { edit, .. } in kept {
        let styles = edit.sample.styles.iter().map(|style| &style.code);
        count += std::iter::once(&edit.sample.code).chain(styles).map(numbers_of).sum::<usize>();
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

fn numbers_of(code: &Code) -> usize {
    match code {
        Code::Seed(_) => 0,
        Code::Z(code) | Code::W(code) => code.len(),
        Code::WPlus(codes) => codes.iter().map(Vec::len).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{LayerSet, Move, Sample, Seed, Weighting};

    fn kept(seed: u64) -> Kept {
        let code = Code::Seed(Seed::studio(seed));
        Kept { edit: Edit { sample: Sample { code, ..Sample::default() }, ..Edit::default() }, name: String::new() }
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
