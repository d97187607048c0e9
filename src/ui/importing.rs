//! Directions of other tools and exported libraries, dropped onto the window or opened: they go into the library of the model.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use egui::Context;

use super::app::App;
use super::asking::Asking;
use super::document::Selection;
use super::exchange::FileEvent;
use super::messages::About;
use super::running::Purpose;
use crate::directions::Method;
use crate::edit::LayerSet;
use crate::export::{DirectionsAs, ForeignDirections, Latents, LatentsError};
use crate::failure::Failure;
use crate::generator::ModelInfo;
use crate::library::{self, Imported, Library, LibraryModel, MAX_ENTRIES, Subject};
use crate::project;
use crate::render::Source;

/// What a file turned out to be.
pub(super) enum Foreign {
    Directions(ForeignDirections),
    Library(Box<Library>),
    /// Its array can be read in two ways.
    Unclear {
        what: String,
        readings: [DirectionsAs; 2],
    },
    /// Nothing of that kind: it may be a model or an edit.
    Other,
}

/// Files that are longer are models.
const LONGEST: u64 = 64 << 20;

/// True if a file may hold directions rather than a model, as far as its name and length tell.
pub(super) fn may_hold_directions(path: &Path) -> bool {
    const NAMES: [&str; 10] = ["npy", "npz", "json", "csv", "txt", "pt", "pth", "pkl", "safetensors", "bin"];
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    NAMES.contains(&extension.as_str()) && path.metadata().is_ok_and(|facts| facts.is_file() && facts.len() <= LONGEST)
}

impl App {
    /// Looks into a file on a thread. `asked`: how its array is to be read.
    pub(super) fn read_directions(&mut self, path: PathBuf, asked: Option<DirectionsAs>, ctx: &Context) {
        let Some(info) = self.model.as_ref().map(|model| model.info.clone()) else { return };
        self.on_thread(ctx, move || match read(&path, asked, &info) {
            Ok(foreign) => FileEvent::Foreign(path, foreign),
            Err(failure) => FileEvent::Failed(failure),
        });
    }

    pub(super) fn take_foreign(&mut self, path: PathBuf, foreign: Foreign, ctx: &Context) {
        let Some(info) = self.model.as_ref().map(|model| model.info.clone()) else { return };
        match foreign {
            Foreign::Other if project::is_edit(&path) => self.read_project(path, ctx),
            Foreign::Other => self.start_opening(Source::File(path), None, Purpose::Begin),
            Foreign::Unclear { what, readings } => self.asking.push(Asking::Axes { path, what, readings }),
            Foreign::Library(theirs) => self.import(path, &theirs, &info, ctx),
            Foreign::Directions(ForeignDirections { directions, .. }) => {
                let named = directions.into_iter().map(|found| {
                    let range = found.range(&info);
                    (Arc::new(found.direction), found.name, range)
                });
                let theirs = Library::of_named(LibraryModel::from(&*info), named);
                self.import(path, &theirs, &info, ctx);
            }
        }
    }

    /// Takes in what a file says of directions of the open model; what is known stays. Undo takes it back.
    fn import(&mut self, path: PathBuf, theirs: &Library, info: &ModelInfo, ctx: &Context) {
        if let Err(problem) = check(theirs, info) {
            let headline = format!("{} does not fit the model {}", path.display(), info.name);
            self.notices.failure = Some(Failure { headline, causes: vec![problem] });
            return;
        }
        let room = MAX_ENTRIES.saturating_sub(self.document.library.entries().count());
        if theirs.entries().count() > room {
            let headline = format!("{} has more directions than the library has room for", path.display());
            let causes = vec![format!("it has {}, there is room for {room}", theirs.entries().count())];
            self.notices.failure = Some(Failure { headline, causes });
            return;
        }
        let Imported { new, changed, left } =
            Arc::make_mut(&mut self.document.library).import(theirs, false, library::now());
        self.preferences.set_folder(path.parent().map(Into::into));
        self.say(About::Imported(path, new + changed + left), ctx);
        let has_own = theirs.entries().any(|entry| Method::of(&entry.subject.origin()) == Method::Own);
        if let Some(model) = self.model.as_mut().filter(|_| has_own) {
            let layers = LayerSet::range(0, info.num_layers - 1);
            model.directions.selection = Selection { layers, method: Method::Own };
        }
        ctx.request_repaint();
    }
}

fn read(path: &Path, asked: Option<DirectionsAs>, info: &ModelInfo) -> Result<Foreign, Failure> {
    if library::is_library(path) {
        let theirs = Library::load(path).map_err(|error| Failure::of(&error))?;
        return Ok(Foreign::Library(Box::new(theirs)));
    }
    let is_table =
        ["npy", "csv", "txt"].iter().any(|end| path.extension().is_some_and(|own| own.eq_ignore_ascii_case(end)));
    let latents = match Latents::read(path, None) {
        Ok(latents) if is_table || latents.is_of_directions(info) => latents,
        Err(error) if is_table => return Err(Failure::of(&error)),
        Ok(_) | Err(_) => return Ok(Foreign::Other),
    };
    match latents.directions(asked, info) {
        Ok(directions) => Ok(Foreign::Directions(directions)),
        Err(error) => match &error {
            LatentsError::UnclearDirections { path, key, shape, readings } if readings.len() == 2 => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let what = format!("The array {key} {shape:?} in {name} can be read in two ways");
                Ok(Foreign::Unclear { what, readings: [readings[0], readings[1]] })
            }
            _ => Err(Failure::of(&error)),
        },
    }
}

/// Why a library is of no use for a model, if it is not.
fn check(theirs: &Library, info: &ModelInfo) -> Result<(), String> {
    if theirs.model.identity != info.identity {
        return Err(format!("it is of another model, {} ({})", theirs.model.name, theirs.model.family));
    }
    theirs.entries().try_for_each(|entry| match &entry.subject {
        Subject::Whole(direction) => info.check_direction(direction),
        Subject::Sefa { layers, .. } => info.check_layers(layers),
    })
}
