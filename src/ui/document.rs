//! What the window edits, and its history.

use std::sync::Arc;
use std::time::Duration;

use crate::directions::{DirectionSet, Method, cosine};
use crate::edit::{Direction, Edit, LayerSet, Shelf};
use crate::generator::ModelInfo;
use crate::library::{self, Knowledge, Library, Subject};
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

    /// Goes to the layers of a direction, and to the set that it is of.
    pub fn go_to(&mut self, direction: &Direction) {
        self.layers = direction.layers.clone();
        self.method = Method::of(&direction.origin);
    }
}

/// Everything that undo brings back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    pub edit: Edit,
    /// Names that came with the model or the edit: shown where the user has none.
    pub names: DirectionNames,
    /// Edits that were kept.
    pub shelf: Shelf,
    /// What the user knows about the model's directions; kept in a file of its own.
    pub library: Arc<Library>,
}

impl Document {
    /// Moves along a direction; the move is made when it is first needed.
    pub fn set(&mut self, direction: &Arc<Direction>, value: f32) {
        if self.edit.along(direction).is_some() {
            self.edit.set_along(direction, value);
        } else if value != 0.0 {
            let name = self.name_of(direction).to_owned();
            self.edit.set_along(direction, value).name = name;
        }
    }

    /// Takes the move along a direction away.
    pub fn reset(&mut self, direction: &Direction) {
        self.edit.moves.retain(|step| !step.is_along(direction));
    }

    /// Gives a direction a name of the user's; an empty one takes it back.
    pub fn rename(&mut self, direction: &Arc<Direction>, name: &str) {
        self.learn(direction, |known| known.name = name.chars().take(library::MAX_NAME).collect());
        for step in self.edit.moves.iter_mut().filter(|step| step.is_along(direction)) {
            name.clone_into(&mut step.name);
        }
    }

    /// True if both are one for whoever saves them; what the user knows is kept by itself.
    pub fn is_same_work(&self, other: &Document) -> bool {
        self.edit == other.edit && self.names == other.names && self.shelf == other.shelf
    }

    /// What the user knows about a direction.
    pub fn known(&self, direction: &Direction) -> &Knowledge {
        self.library.of(direction)
    }

    /// How far the slider of a direction goes to either side.
    pub fn range_of(&self, direction: &Direction, info: &ModelInfo) -> f32 {
        self.known(direction).range.unwrap_or(direction.customary_range(info.slider_range))
    }

    /// Directions that are of no set: those that the user knows something of, and those that are moved.
    pub fn own_directions(&self) -> impl Iterator<Item = &Arc<Direction>> {
        let known = self.library.entries().filter_map(|entry| match &entry.subject {
            Subject::Whole(direction) => Some(direction),
            Subject::Sefa { .. } => None,
        });
        let all = known.chain(self.edit.moves.iter().map(|step| &step.direction));
        all.filter(|direction| Method::of(&direction.origin) == Method::Own)
    }

    /// Changes what the user knows about a direction.
    pub fn learn(&mut self, direction: &Arc<Direction>, change: impl FnOnce(&mut Knowledge)) {
        Arc::make_mut(&mut self.library).change(direction, change);
    }

    /// The user's name of a direction, else that of its move, else the one that was brought along, else the one that was measured; empty
    /// if there is none.
    pub fn name_of<'a>(&'a self, direction: &Direction) -> &'a str {
        let moved = self.edit.along(direction).map_or("", |step| step.name.as_str());
        let known = self.known(direction);
        let measured = known.measured.as_ref().map_or("", |measured| measured.name.as_str());
        let names = [known.name.as_str(), moved, self.names.of(direction), measured];
        names.into_iter().find(|name| !name.is_empty()).unwrap_or_default()
    }

    /// The name of a direction, or what it is called without one.
    pub fn called(&self, direction: &Direction) -> String {
        match self.name_of(direction) {
            "" => direction.origin.to_string(),
            name => name.to_owned(),
        }
    }

    /// As files hold it: each move with the name that is shown, so that others see the same.
    pub fn for_files(&self) -> FiledDocument {
        FiledDocument {
            edit: self.with_names(&self.edit),
            names: self.library.names_over(&self.names),
            shelf: self.shelf.map(|edit| self.with_names(edit)),
        }
    }

    fn with_names(&self, edit: &Edit) -> Edit {
        let mut edit = edit.clone();
        for step in &mut edit.moves {
            let name = self.name_of(&step.direction);
            if !name.is_empty() {
                name.clone_into(&mut step.name);
            }
        }
        edit
    }
}

/// What a file holds of a document.
pub struct FiledDocument {
    pub edit: Edit,
    pub names: DirectionNames,
    pub shelf: Shelf,
}

/// Angle between two directions in degrees, 0..=90, over the layers that both move: opposite directions are the same
/// direction. `None` if they share no layer, or codes of different widths.
pub fn angle(a: &Direction, b: &Direction) -> Option<f32> {
    cosine(a, b).map(|cosine| cosine.abs().acos().to_degrees() as f32)
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

    /// Takes in what changed elsewhere as if it had always been so: no undo takes it back.
    pub fn follow(&mut self, document: &mut Document, follow: impl Fn(&mut Library)) {
        // Most steps share one library.
        let mut last: Option<(Arc<Library>, Arc<Library>)> = None;
        let steps = self.past.iter_mut().chain(&mut self.future);
        for step in steps.chain([&mut self.settled, &mut self.seen.0, document]) {
            let is_last = last.as_ref().is_some_and(|(before, _)| Arc::ptr_eq(before, &step.library));
            if !is_last {
                let mut library = Library::clone(&step.library);
                follow(&mut library);
                last = Some((step.library.clone(), library.into()));
            }
            if let Some((_, after)) = &last {
                step.library = after.clone();
            }
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
    fn the_users_names_come_before_those_of_moves_and_those_before_what_was_brought_along() {
        let direction = direction("0-1");
        let mut document = Document::default();
        document.names.set(&direction.layers, Weighting::Raw, 0, "of the model");
        assert_eq!(document.name_of(&direction), "of the model");
        document.edit.set_along(&direction, 1.0).name = "of the edit".into();
        assert_eq!(document.name_of(&direction), "of the edit");
        document.learn(&direction, |known| known.name = "mine".into());
        assert_eq!(document.name_of(&direction), "mine");
        let FiledDocument { edit, names, .. } = document.for_files();
        assert_eq!((edit.moves[0].name.as_str(), names.of(&direction)), ("mine", "mine"));
        document.rename(&direction, "");
        assert_eq!(document.name_of(&direction), "of the model");
    }

    #[test]
    fn undo_takes_a_name_back_and_leaves_what_came_from_elsewhere() {
        let (mine, other) = (direction("0-1"), direction("6-11"));
        let mut document = seeded(0);
        let mut history = History::new(&document);
        document.rename(&mine, "pose");
        history.settle(&document);
        let kept = Library::clone(&document.library);
        let mut theirs = kept.clone();
        theirs.change(&other, |known| known.name = "light".into());
        history.follow(&mut document, |library| library.follow(&kept, &theirs));
        let names = |document: &Document| [&mine, &other].map(|direction| document.name_of(direction).to_owned());
        assert_eq!(names(&document), ["pose", "light"]);
        history.undo(&mut document);
        assert_eq!(names(&document), ["", "light"]);
        history.redo(&mut document);
        assert_eq!(names(&document), ["pose", "light"]);
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
