//! What the window edits, and its history.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::directions::{DirectionSet, Method};
use crate::edit::{Direction, Edit, LayerSet, Origin};
use crate::names::DirectionNames;

/// Which directions the panel shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub layers: LayerSet,
    pub method: Method,
}

impl Selection {
    pub fn of(set: &DirectionSet) -> Self {
        Selection { layers: set.layers.clone(), method: set.method.clone() }
    }

    /// Goes to the layers of a direction, and to the set that it is of, if it is of one.
    pub fn go_to(&mut self, direction: &Direction) {
        self.layers = direction.layers.clone();
        self.method = Method::of(&direction.origin).unwrap_or_else(|| self.method.clone());
    }
}

/// Everything that undo brings back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Document {
    pub edit: Edit,
    pub names: DirectionNames,
}

impl Document {
    /// Moves along a direction; the move is made when it is first needed.
    pub fn set(&mut self, direction: &Arc<Direction>, value: f32) {
        if self.edit.along(direction).is_none() {
            if value == 0.0 {
                return;
            }
            self.names.of(direction).clone_into(&mut self.edit.set_along(direction, value).name);
        }
        self.edit.set_along(direction, value);
    }

    /// Takes the move along a direction away.
    pub fn reset(&mut self, direction: &Direction) {
        self.edit.moves.retain(|step| !step.is_along(direction));
    }

    pub fn rename(&mut self, direction: &Direction, name: &str) {
        if let Origin::Sefa { weighting, index } = direction.origin {
            self.names.set(&direction.layers, weighting, index, name);
        }
        for step in self.edit.moves.iter_mut().filter(|step| step.is_along(direction)) {
            name.clone_into(&mut step.name);
        }
    }

    /// The name that somebody gave to a direction: that of its move, else the one known; empty if there is none.
    pub fn name_of<'a>(&'a self, direction: &Direction) -> &'a str {
        let own = self.edit.along(direction).map_or("", |step| step.name.as_str());
        if own.is_empty() { self.names.of(direction) } else { own }
    }

    /// The name of a direction, or what it is called without one.
    pub fn called(&self, direction: &Direction) -> String {
        match self.name_of(direction) {
            "" => direction.origin.to_string(),
            name => name.to_owned(),
        }
    }
}

/// Angle between two directions in degrees, 0..=90, over the layers that both move: opposite directions are the same
/// direction. `None` if they share no layer, or codes of different widths.
pub fn angle(a: &Direction, b: &Direction) -> Option<f32> {
    let (mut dot, mut a_square, mut b_square) = (0.0, 0.0, 0.0);
    for &layer in a.layers.as_slice() {
        let Some((a, b)) = a.vector_of(layer).zip(b.vector_of(layer)) else { continue };
        if a.len() != b.len() {
            return None;
        }
        for (a, b) in a.iter().zip(b) {
            dot += a * b;
            a_square += a * a;
            b_square += b * b;
        }
    }
    let lengths = (a_square * b_square).sqrt();
    (lengths > 0.0).then(|| (dot.abs() / lengths).min(1.0).acos().to_degrees())
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
    use crate::edit::{Code, Seed, Weighting};

    fn direction(layers: &str) -> Arc<Direction> {
        Direction::sefa(layers.parse().unwrap(), Weighting::Raw, 0, vec![1.0, 0.0]).into()
    }

    fn seeded(seed: u64) -> Document {
        let mut document = Document::default();
        document.edit.sample.code = Code::Seed(Seed::studio(seed));
        document
    }

    #[test]
    fn a_slider_makes_updates_and_removes_its_move() {
        let (bottom, top) = (direction("0-1"), direction("6-11"));
        let mut document = Document::default();
        document.set(&bottom, 0.0);
        assert!(document.edit.moves.is_empty(), "a slider at rest makes no move");
        document.rename(&bottom, "pose");
        document.set(&bottom, 1.5);
        document.set(&top, -2.0);
        document.set(&bottom, 0.0);
        assert_eq!(document.edit.moves.len(), 2, "dragging through 0 keeps the move");
        assert_eq!(document.edit.moves[0].name, "pose");
        assert_eq!(document.edit.moves[0].direction, bottom);
        document.reset(&bottom);
        assert_eq!(document.edit.moves.len(), 1);
        assert_eq!(document.edit.along(&top).unwrap().value, -2.0);
        assert_eq!(document.called(&bottom), "pose", "the name outlives the move");
        assert_eq!(document.called(&top), "direction 1");
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
    fn angles_ignore_the_sign_and_the_layers_that_are_not_shared() {
        let along = |layers: &str, x, y| Direction::sefa(layers.parse().unwrap(), Weighting::Raw, 0, vec![x, y]);
        assert!(angle(&along("0-1", 1.0, 0.0), &along("1-2", -2.0, 0.0)).unwrap() < 1e-3);
        assert!((angle(&along("0-1", 1.0, 0.0), &along("0", 0.0, 1.0)).unwrap() - 90.0).abs() < 1e-3);
        assert_eq!(angle(&along("0-1", 1.0, 0.0), &along("2", 1.0, 0.0)), None);
        assert_eq!(angle(&along("0", 1.0, 0.0), &along("0", 0.0, 0.0)), None);
    }
}
