//! What the window edits, and its history.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::edit::{Edit, LayerSet, Move, Weighting};
use crate::names::DirectionNames;
use crate::sefa::Basis;

/// Which directions the panel shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub layers: LayerSet,
    pub weighting: Weighting,
}

impl Selection {
    pub fn of(found: &Basis) -> Self {
        Selection { layers: found.layers.clone(), weighting: found.weighting }
    }

    pub fn of_move(found: &Move) -> Self {
        Selection { layers: found.layers.clone(), weighting: found.weighting }
    }
}

/// Everything that undo brings back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Document {
    pub edit: Edit,
    pub names: DirectionNames,
}

impl Document {
    /// The move along direction `index` of a basis, if there is one.
    pub fn find(&self, selection: &Selection, index: usize) -> Option<&Move> {
        self.edit.moves.iter().find(|found| is_along(found, selection, index))
    }

    /// Moves along a direction; the move is made when it is first needed.
    pub fn set(&mut self, basis: &Basis, index: usize, value: f32) {
        let selection = Selection::of(basis);
        if let Some(found) = self.edit.moves.iter_mut().find(|found| is_along(found, &selection, index)) {
            found.value = value;
        } else if value != 0.0 {
            let name = self.names.get(&basis.layers, basis.weighting, index).to_owned();
            self.edit.moves.push(Move {
                layers: selection.layers,
                weighting: selection.weighting,
                index,
                vector: basis.direction(index).to_vec(),
                value,
                enabled: true,
                name,
            });
        }
    }

    /// Takes the move along a direction away.
    pub fn reset(&mut self, selection: &Selection, index: usize) {
        self.edit.moves.retain(|found| !is_along(found, selection, index));
    }

    pub fn rename(&mut self, selection: &Selection, index: usize, name: &str) {
        self.names.set(&selection.layers, selection.weighting, index, name);
        for found in self.edit.moves.iter_mut().filter(|found| is_along(found, selection, index)) {
            name.clone_into(&mut found.name);
        }
    }

    /// The name of a move: its own, else the one its direction has.
    pub fn name_of<'a>(&'a self, found: &'a Move) -> &'a str {
        if found.name.is_empty() { self.names.get(&found.layers, found.weighting, found.index) } else { &found.name }
    }
}

fn is_along(found: &Move, selection: &Selection, index: usize) -> bool {
    found.index == index && found.weighting == selection.weighting && found.layers == selection.layers
}

/// Angle between two directions in degrees, 0..=90: opposite directions are the same direction.
pub fn angle(a: &[f32], b: &[f32]) -> f32 {
    let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    dot.abs().min(1.0).acos().to_degrees()
}

/// Undo and redo. One gesture is one step: a change is a step once nothing moved for a moment.
pub struct History {
    past: Vec<Document>,
    future: Vec<Document>,
    /// The document after the last step.
    settled: Document,
    /// The document as last seen, and since when it has been so (seconds).
    seen: (Document, f64),
    /// Where the pointer was pressed last.
    pressed_at: egui::Pos2,
}

/// Longer than a double-click takes, so that its two clicks are one step.
const QUIET: f64 = 0.4;
/// Presses nearer to each other than this may be one double-click.
const SAME_PLACE: f32 = 8.0;
/// Steps kept. Each is a small value: a move has a few hundred numbers.
const DEPTH: usize = 500;

impl History {
    /// Starts anew: nothing to undo.
    pub fn new(document: &Document) -> Self {
        History {
            past: Vec::new(),
            future: Vec::new(),
            settled: document.clone(),
            seen: (document.clone(), 0.0),
            pressed_at: egui::Pos2::ZERO,
        }
    }

    /// To be called before the panels of a frame: a press somewhere else ends the gesture before it.
    pub fn begin_gesture(&mut self, document: &Document, ctx: &egui::Context) {
        let pressed =
            ctx.input(|input| input.pointer.primary_pressed().then(|| input.pointer.interact_pos()).flatten());
        if let Some(place) = pressed {
            if place.distance(self.pressed_at) > SAME_PLACE {
                self.settle(document);
            }
            self.pressed_at = place;
        }
    }

    /// To be called once per frame. Returns how long to wait until a change becomes a step.
    pub fn watch(&mut self, document: &Document, now: f64, busy: bool) -> Option<Duration> {
        if self.seen.0 != *document {
            self.seen = (document.clone(), now);
        }
        if *document == self.settled || busy {
            return None;
        }
        let quiet = now - self.seen.1;
        if quiet < QUIET {
            return Some(Duration::from_secs_f64(QUIET - quiet));
        }
        self.settle(document);
        None
    }

    /// Ends the gesture under way, if there is one.
    pub fn settle(&mut self, document: &Document) {
        if *document == self.settled {
            return;
        }
        self.past.push(std::mem::replace(&mut self.settled, document.clone()));
        self.future.clear();
        if self.past.len() > DEPTH {
            self.past.remove(0);
        }
    }

    pub fn can_undo(&self, document: &Document) -> bool {
        !self.past.is_empty() || *document != self.settled
    }

    pub fn can_redo(&self, document: &Document) -> bool {
        !self.future.is_empty() && *document == self.settled
    }

    pub fn undo(&mut self, document: &mut Document) {
        self.settle(document);
        if let Some(past) = self.past.pop() {
            self.future.push(std::mem::replace(&mut self.settled, past.clone()));
            *document = past;
        }
    }

    pub fn redo(&mut self, document: &mut Document) {
        self.settle(document);
        if let Some(future) = self.future.pop() {
            self.past.push(std::mem::replace(&mut self.settled, future.clone()));
            *document = future;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{Code, Seed};
    use crate::sefa::{StyleRows, factorize, gram};

    fn basis(layers: &str) -> Basis {
        let rows = StyleRows { values: vec![3.0, 0.0, 0.0, 1.0], dim: 2 };
        factorize(layers.parse().unwrap(), Weighting::Raw, [&gram(&rows, Weighting::Raw)]).unwrap()
    }

    fn seeded(seed: u64) -> Document {
        let mut document = Document::default();
        document.edit.sample.code = Code::Seed(Seed::studio(seed));
        document
    }

    #[test]
    fn a_slider_makes_updates_and_removes_its_move() {
        let (bottom, top) = (basis("0-1"), basis("6-11"));
        let mut document = Document::default();
        document.set(&bottom, 0, 0.0);
        assert!(document.edit.moves.is_empty(), "a slider at rest makes no move");
        document.rename(&Selection::of(&bottom), 0, "pose");
        document.set(&bottom, 0, 1.5);
        document.set(&top, 0, -2.0);
        document.set(&bottom, 0, 0.0);
        assert_eq!(document.edit.moves.len(), 2, "dragging through 0 keeps the move");
        assert_eq!(document.edit.moves[0].name, "pose");
        assert_eq!(document.edit.moves[0].vector, bottom.direction(0));
        document.reset(&Selection::of(&bottom), 0);
        assert_eq!(document.edit.moves.len(), 1);
        assert_eq!(document.find(&Selection::of(&top), 0).unwrap().value, -2.0);
        assert_eq!(document.names.get(&bottom.layers, Weighting::Raw, 0), "pose", "the name outlives the move");
    }

    #[test]
    fn one_gesture_is_one_step() {
        let mut document = seeded(0);
        let mut history = History::new(&document);
        for (frame, seed) in [1, 2, 3].into_iter().enumerate() {
            document = seeded(seed);
            history.watch(&document, frame as f64 * 0.016, true);
        }
        assert!(history.watch(&document, 0.1, false).is_some(), "not yet quiet");
        assert_eq!(history.watch(&document, 1.0, false), None);
        document = seeded(9);
        history.watch(&document, 2.0, false);
        history.undo(&mut document);
        assert_eq!(document, seeded(3), "undo ends the gesture under way, then takes it back");
        history.undo(&mut document);
        assert_eq!(document, seeded(0));
        assert!(!history.can_undo(&document));
        history.redo(&mut document);
        assert_eq!(document, seeded(3));
        document = seeded(7);
        history.settle(&document);
        assert!(!history.can_redo(&document), "a new step ends the old future");
    }

    #[test]
    fn angles_ignore_the_sign() {
        assert!(angle(&[1.0, 0.0], &[-1.0, 0.0]) < 1e-3);
        assert!((angle(&[1.0, 0.0], &[0.0, 1.0]) - 90.0).abs() < 1e-3);
    }
}
