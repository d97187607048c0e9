//! How far two moves disturb each other: what both together do, held against what each does alone.

use std::sync::Arc;

use super::pictures::Pictures;
use super::{AnalysisError, Measurement, SIDE};
use crate::edit::{Direction, Edit};
use crate::progress::Progress;
use crate::render::Engine;

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct EntanglementPlan {
    pub samples: Vec<Edit>,
    /// With the distance that each is moved.
    pub moves: Vec<(Arc<Direction>, f32)>,
}

/// `|G(ab) - G(a) - G(b) + G(0)| / (|G(a) - G(0)| + |G(b) - G(0)|)` of each pair of moves, sums over pixels and samples above and
/// below: 0 where each does the same whether the other is there or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Entanglement {
    pub moves: usize,
    /// Of the pairs (0, 1), (0, 2), ... (1, 2), ...; `None` where neither move changes anything.
    values: Vec<Option<f64>>,
    /// Samples that counted for each pair: those of which all pictures were finite.
    pub samples: Vec<usize>,
}

impl Entanglement {
    /// Of two moves, in either order; `None` also for a move with itself.
    pub fn of(&self, a: usize, b: usize) -> Option<f64> {
        let at = pairs(self.moves).position(|pair| pair == (a.min(b), a.max(b)))?;
        self.values[at]
    }

    /// Each pair, and what was measured of it.
    pub fn pairs(&self) -> impl Iterator<Item = ((usize, usize), Option<f64>)> {
        pairs(self.moves).zip(self.values.iter().copied())
    }
}

fn pairs(moves: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..moves).flat_map(move |a| (a + 1..moves).map(move |b| (a, b)))
}

/// Sums over the samples so far.
#[derive(Clone, Copy, Default)]
struct Sums {
    together: f64,
    alone: f64,
    samples: usize,
}

pub struct EntanglementRun {
    plan: EntanglementPlan,
    /// Of each pair.
    sums: Vec<Sums>,
    /// Samples that are done.
    done: usize,
    pictures: Option<Pictures>,
}

impl EntanglementRun {
    pub fn new(plan: EntanglementPlan) -> Self {
        let sums = vec![Sums::default(); pairs(plan.moves.len()).count()];
        EntanglementRun { plan, sums, done: 0, pictures: None }
    }

    /// What is measured so far.
    pub fn result(&self) -> Entanglement {
        let value = |sums: &Sums| (sums.alone > 0.0).then(|| sums.together / sums.alone);
        Entanglement {
            moves: self.plan.moves.len(),
            values: self.sums.iter().map(value).collect(),
            samples: self.sums.iter().map(|sums| sums.samples).collect(),
        }
    }

    /// Of a sample: unmoved, moved by each, and by each pair.
    fn edits(&self, sample: &Edit) -> Vec<Edit> {
        let moved = |moves: &[usize]| {
            let mut edit = sample.clone();
            for &at in moves {
                let (direction, distance) = &self.plan.moves[at];
                let before = edit.along(direction).filter(|step| step.enabled).map_or(0.0, |step| step.value);
                edit.set_along(direction, before + distance).enabled = true;
            }
            edit
        };
        let moves = self.plan.moves.len();
        let alone = (0..moves).map(|at| moved(&[at]));
        std::iter::once(moved(&[])).chain(alone).chain(pairs(moves).map(|(a, b)| moved(&[a, b]))).collect()
    }

    fn take(&mut self, pictures: &[Option<Vec<f32>>]) {
        let moves = self.plan.moves.len();
        let (alone, together) = pictures.split_at(1 + moves);
        for (((a, b), both), sums) in pairs(moves).zip(together).zip(&mut self.sums) {
            if let (Some(none), Some(a), Some(b), Some(both)) = (&alone[0], &alone[1 + a], &alone[1 + b], both) {
                sums.add(none, a, b, both);
            }
        }
    }
}

impl Sums {
    fn add(&mut self, none: &[f32], a: &[f32], b: &[f32], both: &[f32]) {
        for (((none, a), b), both) in none.iter().zip(a).zip(b).zip(both) {
            let [none, a, b, both] = [none, a, b, both].map(|x| f64::from(*x));
            self.together += (both - a - b + none).abs();
            self.alone += (a - none).abs() + (b - none).abs();
        }
        self.samples += 1;
    }
}

impl Measurement for EntanglementRun {
    fn progress(&self) -> Progress {
        let each = 1 + self.plan.moves.len() + self.sums.len();
        let made = self.pictures.as_ref().map_or(0, Pictures::made);
        let (done, total) = (self.done * each + made, self.plan.samples.len() * each);
        Progress { stage: "rendering".into(), done: done as u64, total: total as u64 }
    }

    fn step(&mut self, engine: &mut Engine) -> Result<bool, AnalysisError> {
        let Some(sample) = self.plan.samples.get(self.done) else { return Ok(true) };
        let mut pictures = self.pictures.take().unwrap_or_else(|| Pictures::new(self.edits(sample)));
        let stepped = pictures.step(engine, sample, SIDE);
        if pictures.are_complete() {
            self.take(&pictures.take());
            self.done += 1;
        } else {
            self.pictures = Some(pictures);
        }
        stepped?;
        Ok(self.done == self.plan.samples.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_that_add_up_are_not_entangled() {
        let mut sums = Sums::default();
        sums.add(&[0.0, 1.0], &[1.0, 1.0], &[0.0, 3.0], &[1.0, 3.0]);
        assert_eq!((sums.together, sums.alone, sums.samples), (0.0, 3.0, 1));
        // The second move undoes the first.
        sums.add(&[0.0, 1.0], &[1.0, 1.0], &[0.0, 3.0], &[0.0, 3.0]);
        assert_eq!((sums.together, sums.alone), (1.0, 6.0));
    }

    #[test]
    fn pairs_are_found_in_either_order() {
        let values = vec![Some(0.1), None, Some(0.3)];
        let found = Entanglement { moves: 3, values, samples: vec![1; 3] };
        assert_eq!(
            [found.of(0, 1), found.of(2, 0), found.of(2, 1), found.of(1, 1)],
            [Some(0.1), None, Some(0.3), None]
        );
        assert_eq!(found.pairs().map(|(pair, _)| pair).collect::<Vec<_>>(), [(0, 1), (0, 2), (1, 2)]);
    }
}
