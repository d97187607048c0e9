//! Which layers a move acts through: the same move in one layer at a time.

use std::sync::Arc;

use super::pictures::{Pictures, difference};
use super::{AnalysisError, Measurement, SIDE};
use crate::edit::{Direction, Edit, LayerSet, Origin};
use crate::progress::Progress;
use crate::render::Engine;

/// One move of one sample.
pub struct InfluenceRun {
    sample: Edit,
    layers: LayerSet,
    pictures: Option<Pictures>,
    /// Mean absolute difference of the picture from the unmoved one, for each layer of the direction.
    changes: Option<Vec<f64>>,
}

impl InfluenceRun {
    pub fn new(sample: Edit, direction: &Direction, distance: f32) -> Self {
        let mut edits = vec![sample.clone()];
        for &layer in direction.layers.as_slice() {
            let mut edit = sample.clone();
            if let Some(alone) = alone(direction, layer) {
                edit.set_along(&alone, distance).enabled = true;
            }
            edits.push(edit);
        }
        let layers = direction.layers.clone();
        InfluenceRun { sample, layers, pictures: Some(Pictures::new(edits)), changes: None }
    }

    /// Each layer, and its share of what all do on their own, 0..=1; `None` until it is known, or if nothing changes.
    pub fn shares(&self) -> Option<Vec<(usize, f64)>> {
        let changes = self.changes.as_ref()?;
        let all: f64 = changes.iter().sum();
        let shares = self.layers.as_slice().iter().zip(changes).map(|(&layer, change)| (layer, change / all));
        (all > 0.0).then(|| shares.collect())
    }
}

/// What a direction does in one of its layers alone: no direction of a factorisation any more.
pub fn alone(direction: &Direction, layer: usize) -> Option<Arc<Direction>> {
    let within = direction.within(&LayerSet::range(layer, layer))?;
    Some(Arc::new(Direction { origin: Origin::Mixed, ..within }))
}

impl Measurement for InfluenceRun {
    fn progress(&self) -> Progress {
        let (made, total) = (self.pictures.as_ref().map_or(0, Pictures::made), self.layers.len() + 1);
        Progress { stage: "rendering".into(), done: made as u64, total: total as u64 }
    }

    fn step(&mut self, engine: &mut Engine) -> Result<bool, AnalysisError> {
        let Some(mut pictures) = self.pictures.take() else { return Ok(true) };
        let stepped = pictures.step(engine, &self.sample, SIDE);
        if !pictures.are_complete() {
            self.pictures = Some(pictures);
            stepped?;
            return Ok(false);
        }
        let pictures = pictures.take();
        if let Some((Some(first), rest)) = pictures.split_first() {
            let change =
                |picture: &Option<Vec<f32>>| picture.as_ref().map_or(0.0, |picture| difference(first, picture));
            self.changes = Some(rest.iter().map(change).collect());
        }
        Ok(true)
    }
}
