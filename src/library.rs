//! The library of a model: what a person knows about its directions. It is the person's own: files that bring names along
//! never change it, and directions without an entry are shown with what the files say.

mod file;
mod kept;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::directions::DirectionSet;
use crate::edit::{Direction, LayerSet, Origin, Weighting};
use crate::generator::ModelInfo;
use crate::names::DirectionNames;

pub use file::{LibraryError, MAX_BYTES, VERSION, is_library};
pub use kept::{now, read, update};

/// Entries of one library; bounds what a file may cost.
pub const MAX_ENTRIES: usize = 4096;
/// Letters of a name.
pub const MAX_NAME: usize = 200;
/// Letters of a note.
pub const MAX_NOTE: usize = 4000;

/// What a person knows about the directions of one model.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "file::Form")]
pub struct Library {
    pub model: LibraryModel,
    /// At most one about each direction, [`MAX_ENTRIES`] at most.
    entries: Vec<Entry>,
}

/// Which model a library is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibraryModel {
    /// See [`ModelInfo::identity`].
    pub identity: String,
    pub name: String,
    pub family: String,
}

impl From<&ModelInfo> for LibraryModel {
    fn from(info: &ModelInfo) -> Self {
        LibraryModel { identity: info.identity.clone(), name: info.name.clone(), family: info.family.to_string() }
    }
}

/// What is known about one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub subject: Subject,
    /// Nothing where it was taken back: such an entry stays, so that an older one elsewhere does not bring it back.
    pub knowledge: Knowledge,
    /// When it was changed last, in milliseconds since 1970. Of two entries about one direction the newer counts.
    pub changed: u64,
}

/// The direction that an entry is about.
#[derive(Clone, Debug)]
pub enum Subject {
    Whole(Arc<Direction>),
    /// One of SeFa's whose vector is not known yet: all that names kept by earlier versions tell.
    Sefa {
        layers: LayerSet,
        weighting: Weighting,
        index: usize,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Knowledge {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// How far a slider goes to either side, in latent units; `None`: as far as is customary for the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<f32>,
    #[serde(skip_serializing_if = "is_false")]
    pub star: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub hidden: bool,
    /// One sees at once that something changes.
    #[serde(skip_serializing_if = "is_false")]
    pub obvious: bool,
    /// What changes is one thing that has a name.
    #[serde(skip_serializing_if = "is_false")]
    pub meaningful: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What a predictor found that it does. Never in the place of a name: that is a person's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
}

/// What a direction does by what a predictor says of pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    pub name: String,
    /// Share of the squared change that is in what it moves most, 0..=1.
    pub purity: f64,
    /// What it changes of that for each unit of distance, in standard deviations over samples.
    pub change: f64,
    /// What its positive end looks like; empty where nobody said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub plus: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub minus: String,
    /// Which predictor said so.
    pub predictor: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(mark: &bool) -> bool {
    !mark
}

static NOTHING: Knowledge = Knowledge {
    name: String::new(),
    range: None,
    star: false,
    hidden: false,
    obvious: false,
    meaningful: false,
    note: String::new(),
    measured: None,
};

impl Knowledge {
    pub fn is_nothing(&self) -> bool {
        *self == NOTHING
    }

    /// Why it cannot be kept, if it cannot.
    fn check(&self) -> Result<(), String> {
        for (what, text, most) in [("name", &self.name, MAX_NAME), ("note", &self.note, MAX_NOTE)] {
            let letters = text.chars().count();
            if letters > most {
                return Err(format!("a {what} of {letters} letters, expected at most {most}"));
            }
        }
        if let Some(measured) = &self.measured {
            measured.check()?;
        }
        match self.range {
            Some(range) if !(range.is_finite() && range > 0.0) => Err(format!("range {range}, expected more than 0")),
            _ => Ok(()),
        }
    }

    /// Takes what is not known here from `other`. Whether a direction is hidden stays.
    fn fill_from(&mut self, other: &Knowledge) {
        for (own, other) in [(&mut self.name, &other.name), (&mut self.note, &other.note)] {
            if own.is_empty() {
                other.clone_into(own);
            }
        }
        self.range = self.range.or(other.range);
        self.measured = self.measured.take().or_else(|| other.measured.clone());
        self.star |= other.star;
        self.obvious |= other.obvious;
        self.meaningful |= other.meaningful;
    }
}

impl Measured {
    /// Why it cannot be kept, if it cannot.
    fn check(&self) -> Result<(), String> {
        for (what, text, most) in [
            ("measured name", &self.name, MAX_NAME),
            ("word for an end", &self.plus, MAX_NAME),
            ("word for an end", &self.minus, MAX_NAME),
            ("name of a predictor", &self.predictor, MAX_NOTE),
        ] {
            let letters = text.chars().count();
            if letters > most {
                return Err(format!("a {what} of {letters} letters, expected at most {most}"));
            }
        }
        match self.change.is_finite() && (0.0..=1.0).contains(&self.purity) {
            true => Ok(()),
            false => Err(format!("purity {} and change {}, expected 0 to 1 and a number", self.purity, self.change)),
        }
    }
}

impl Subject {
    pub fn layers(&self) -> &LayerSet {
        match self {
            Subject::Whole(direction) => &direction.layers,
            Subject::Sefa { layers, .. } => layers,
        }
    }

    pub fn origin(&self) -> Origin {
        match self {
            Subject::Whole(direction) => direction.origin.clone(),
            Subject::Sefa { weighting, index, .. } => Origin::Sefa { weighting: *weighting, index: *index },
        }
    }

    pub fn is(&self, direction: &Direction) -> bool {
        match self {
            Subject::Whole(own) => own.is_same_place(direction),
            Subject::Sefa { layers, weighting, index } => {
                let origin = Origin::Sefa { weighting: *weighting, index: *index };
                direction.layers == *layers && direction.origin == origin
            }
        }
    }

    /// The whole direction in a set, if only its place is known.
    fn in_set<'a>(&self, set: &'a DirectionSet) -> Option<&'a Arc<Direction>> {
        let Subject::Sefa { layers, .. } = self else { return None };
        if *layers != set.layers {
            return None;
        }
        set.directions.iter().find(|direction| self.is(direction))
    }

    fn is_same(&self, other: &Subject) -> bool {
        match other {
            Subject::Whole(direction) => self.is(direction),
            Subject::Sefa { layers, .. } => self.layers() == layers && self.origin() == other.origin(),
        }
    }
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            // The window compares whole libraries every frame, and vectors are long.
            (Subject::Whole(a), Subject::Whole(b)) => Arc::ptr_eq(a, b) || a == b,
            (Subject::Sefa { .. }, Subject::Sefa { .. }) => self.is_same(other),
            _ => false,
        }
    }
}

impl Entry {
    /// True if it tells the same of the same direction, whenever.
    fn is_alike(&self, other: &Entry) -> bool {
        self.subject == other.subject && self.knowledge == other.knowledge
    }

    /// Becomes `newer`, about the same direction; vectors that are known stay known.
    fn renew(&mut self, newer: Entry) {
        let subject = match (&self.subject, newer.subject) {
            (Subject::Whole(_), Subject::Sefa { .. }) => self.subject.clone(),
            (_, subject) => subject,
        };
        *self = Entry { subject, ..newer };
    }
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub new: usize,
    pub changed: usize,
    /// Known here already, in the same words or in one's own.
    pub left: usize,
}

impl Library {
    pub fn new(model: LibraryModel) -> Self {
        Library { model, entries: Vec::new() }
    }

    /// Of directions with their names, and how far their sliders go where that is not customary; for [`Library::import`].
    pub fn of_named(
        model: LibraryModel,
        named: impl IntoIterator<Item = (Arc<Direction>, String, Option<f32>)>,
    ) -> Self {
        let mut library = Library::new(model);
        for (direction, name, range) in named {
            library.change(&direction, |known| (known.name, known.range) = (name, range));
        }
        library
    }

    /// All that something is known about.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.knowledge.is_nothing())
    }

    /// What is known about a direction; nothing if it has no entry.
    pub fn of(&self, direction: &Direction) -> &Knowledge {
        self.entries.iter().find(|entry| entry.subject.is(direction)).map_or(&NOTHING, |entry| &entry.knowledge)
    }

    /// Changes what is known about a direction. A full library stays as it is.
    pub fn change(&mut self, direction: &Arc<Direction>, change: impl FnOnce(&mut Knowledge)) {
        let subject = Subject::Whole(direction.clone());
        let mut entry = Entry { subject, knowledge: self.of(direction).clone(), changed: 0 };
        change(&mut entry.knowledge);
        self.put(entry);
    }

    /// Changes what the user knows about one of SeFa's directions, whose vector need not be known.
    pub fn change_sefa(
        &mut self,
        (layers, weighting, index): (LayerSet, Weighting, usize),
        change: impl FnOnce(&mut Knowledge),
    ) {
        let subject = Subject::Sefa { layers, weighting, index };
        let known = self.find(&subject).cloned();
        let mut entry = known.unwrap_or(Entry { subject, knowledge: Knowledge::default(), changed: 0 });
        change(&mut entry.knowledge);
        self.put(entry);
    }

    /// Puts an entry in the place of the one about its direction, or behind the others.
    fn put(&mut self, entry: Entry) {
        match self.position(&entry.subject) {
            Some(at) => self.entries[at].renew(entry),
            None if entry.knowledge.is_nothing() || self.entries.len() >= MAX_ENTRIES => {}
            None => self.entries.push(entry),
        }
    }

    fn find(&self, subject: &Subject) -> Option<&Entry> {
        self.position(subject).map(|at| &self.entries[at])
    }

    fn position(&self, subject: &Subject) -> Option<usize> {
        self.entries.iter().position(|own| own.subject.is_same(subject))
    }

    /// Takes in what another holds about the same model: of two entries about one direction the newer counts.
    pub fn merge(&mut self, other: &Library) {
        for entry in &other.entries {
            match self.position(&entry.subject) {
                Some(at) if entry.changed > self.entries[at].changed => self.entries[at].renew(entry.clone()),
                Some(at) => {
                    let own = &mut self.entries[at];
                    if let (Subject::Sefa { .. }, Subject::Whole(_)) = (&own.subject, &entry.subject) {
                        own.subject = entry.subject.clone();
                    }
                }
                None if self.entries.len() < MAX_ENTRIES => self.entries.push(entry.clone()),
                None => {}
            }
        }
    }

    /// This library as it is to be kept, when `kept` is what was kept last: whatever is other than there was changed `now`,
    /// or just after it was changed there if that clock was ahead. `None` if all is the same.
    pub fn to_keep(&self, kept: &Library, now: u64) -> Option<Library> {
        let mut result = kept.clone();
        let mut is_other = false;
        let gone = |entry: &&Entry| !entry.knowledge.is_nothing() && self.find(&entry.subject).is_none();
        let taken_back = kept.entries.iter().filter(gone);
        let taken_back = taken_back.map(|entry| Entry { knowledge: Knowledge::default(), ..entry.clone() });
        for entry in self.entries.iter().cloned().chain(taken_back) {
            let before = kept.find(&entry.subject);
            if before.map_or(!entry.knowledge.is_nothing(), |before| !before.is_alike(&entry)) {
                let changed = before.map_or(now, |before| now.max(before.changed.saturating_add(1)));
                result.put(Entry { changed, ..entry });
                is_other = true;
            }
        }
        is_other.then_some(result)
    }

    /// Takes in what changed elsewhere: what `theirs` has that is newer than in `kept`, except where this one is other too.
    /// What is older was written before the last change here, and tells of this library itself.
    pub fn follow(&mut self, kept: &Library, theirs: &Library) {
        for entry in &theirs.entries {
            let (before, own) = (kept.find(&entry.subject), self.find(&entry.subject));
            let is_untouched = match (before, own) {
                (Some(before), Some(own)) => before.is_alike(own),
                (None, None) => true,
                // An entry that says nothing is as good as none.
                (Some(one), None) | (None, Some(one)) => one.knowledge.is_nothing(),
            };
            if is_untouched && before.is_none_or(|before| entry.changed > before.changed) {
                self.put(entry.clone());
            }
        }
    }

    /// True if there is an entry without vectors about a direction of a set.
    pub fn is_without_vectors(&self, set: &DirectionSet) -> bool {
        self.entries.iter().any(|entry| entry.subject.in_set(set).is_some())
    }

    /// Gives entries without vectors those of a set.
    pub fn complete(&mut self, set: &DirectionSet) {
        for entry in &mut self.entries {
            if let Some(direction) = entry.subject.in_set(set) {
                entry.subject = Subject::Whole(direction.clone());
            }
        }
    }

    /// Takes in names that an earlier version kept for the user, where nothing is known yet. `brought`: names that came with
    /// the model, which that version kept too.
    pub fn adopt_names(&mut self, names: &DirectionNames, brought: &DirectionNames) {
        for (layers, weighting, index, name) in names.iter() {
            let is_own = brought.get(&layers, weighting, index) != name;
            let subject = Subject::Sefa { layers, weighting, index };
            if is_own && self.find(&subject).is_none() {
                let name = name.chars().take(MAX_NAME).collect();
                self.put(Entry { subject, knowledge: Knowledge { name, ..Knowledge::default() }, changed: 0 });
            }
        }
    }

    /// Names of SeFa's directions: these, and where there are none those that were brought along, else those that were measured.
    pub fn names_over(&self, brought: &DirectionNames) -> DirectionNames {
        let mut names = brought.clone();
        for Entry { subject, knowledge: Knowledge { name, measured, .. }, .. } in &self.entries {
            let Origin::Sefa { weighting, index } = subject.origin() else { continue };
            match measured {
                _ if !name.is_empty() => names.set(subject.layers(), weighting, index, name),
                Some(measured) if names.get(subject.layers(), weighting, index).is_empty() => {
                    names.set(subject.layers(), weighting, index, &measured.name);
                }
                _ => {}
            }
        }
        names
    }

    /// Takes in somebody else's library of the same model. What is known here stays, unless `replaces`.
    pub fn import(&mut self, theirs: &Library, replaces: bool, now: u64) -> Imported {
        let mut imported = Imported::default();
        for entry in theirs.entries() {
            let mut entry = entry.clone();
            let Some(own) = self.find(&entry.subject) else {
                imported.new += usize::from(self.entries.len() < MAX_ENTRIES);
                self.put(Entry { changed: now, ..entry });
                continue;
            };
            let (is_new, before) = (own.knowledge.is_nothing(), own.knowledge.clone());
            if !is_new && !replaces {
                let theirs = std::mem::replace(&mut entry.knowledge, before.clone());
                entry.knowledge.fill_from(&theirs);
            }
            let count = match entry.knowledge == before {
                true => &mut imported.left,
                false if is_new => &mut imported.new,
                false => &mut imported.changed,
            };
            *count += 1;
            if entry.knowledge != before {
                let changed = now.max(own.changed.saturating_add(1));
                self.put(Entry { changed, ..entry });
            }
        }
        imported
    }
}

#[cfg(test)]
mod tests;
