//! Small pictures of many edits of one sample, a pass at a time.

use crate::edit::Edit;
use crate::render::{Engine, RenderError};

/// Pictures on their way, in any order.
pub(super) struct Pictures {
    edits: Vec<Edit>,
    /// `Some(None)`: not finite.
    made: Vec<Option<Option<Vec<f32>>>>,
}

impl Pictures {
    pub(super) fn new(edits: Vec<Edit>) -> Self {
        Pictures { made: edits.iter().map(|_| None).collect(), edits }
    }

    pub(super) fn made(&self) -> usize {
        self.made.iter().flatten().count()
    }

    pub(super) fn are_complete(&self) -> bool {
        self.made.iter().all(Option::is_some)
    }

    /// One pass of the network, from the first that is missing on.
    pub(super) fn step(&mut self, engine: &mut Engine, base: &Edit, side: usize) -> Result<(), RenderError> {
        /// Pictures that the engine may choose from for a pass, for each that it makes.
        const OFFERED: usize = 4;
        let offered = OFFERED * engine.tiles_together();
        let wanted: Vec<usize> = (0..self.edits.len()).filter(|&at| self.made[at].is_none()).take(offered).collect();
        let edits: Vec<&Edit> = wanted.iter().map(|&at| &self.edits[at]).collect();
        if edits.is_empty() {
            return Ok(());
        }
        for (at, values) in engine.first_values_beside(base, &edits, side)? {
            self.made[wanted[at]] = Some(match values {
                Ok(values) => Some(values),
                Err(RenderError::NotFinite) => None,
                Err(error) => return Err(error),
            });
        }
        Ok(())
    }

    /// Takes those that are made and finite, and were not taken before, with their places.
    pub(super) fn taken(&mut self) -> Vec<(usize, Vec<f32>)> {
        let made = self.made.iter_mut().enumerate();
        made.filter_map(|(at, made)| Some((at, made.as_mut()?.take()?))).collect()
    }

    /// Where all are there: each, or `None` of one that is not finite.
    pub(super) fn take(self) -> Vec<Option<Vec<f32>>> {
        self.made.into_iter().map(Option::flatten).collect()
    }
}

/// Mean absolute difference, as a share of what lies between black and white.
pub(super) fn difference(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).sum();
    sum / a.len().max(1) as f64 / 2.0
}
