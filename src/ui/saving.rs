//! Where files go: the questions for names, saving by hand, exports.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use egui::{Context, ViewportCommand};

use super::app::App;
use super::asking::{Asking, Chosen, Taken};
use super::dialogs::{Answer, Ask, Question};
use super::document::{Document, FiledDocument};
use super::exchange::FileEvent;
use super::file_name::{proposed, with_suffix};
use super::looks::Look;
use super::open::PathPrompt;
use super::semantics::visible;
use super::titles::{edit_title, kept_title};
use crate::edit::Kept;
use crate::export::{
    self, FilmFormat, FilmPlan, FilmTarget, Older, SheetFormat, SheetPlan, SheetRow, Shot, TableFormat,
};
use crate::failure::Failure;
use crate::files;
use crate::generator::ModelInfo;
use crate::predictor::PredictorSource;
use crate::project::{self, Project};
use crate::render::Source;
use crate::tasks::{DirectionSheet, Export};

/// Larger side of a cell of an exported sheet, in pixels.
const EXPORTED_CELL: usize = 192;

/// When the window closes, if it was asked to while exports run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quitting {
    #[default]
    No,
    WhenDone,
    Anyway,
}

impl App {
    /// Writes the edit to where it is saved, or asks for a place.
    pub(super) fn save_edit(&mut self, ctx: &Context) {
        match self.keeping.place.path.clone() {
            Some(path) => self.save_edit_to(path, self.keeping.place.modified, ctx),
            None => self.ask(Ask::SaveEdit, ctx),
        }
    }

    pub(super) fn ask(&mut self, ask: Ask, ctx: &Context) {
        let name = self.model().map_or_else(String::new, |info| proposed(info, &self.document));
        let name = match ask {
            Ask::Export => format!("{name}.png"),
            Ask::View(Look::Directions) => format!("{name}-directions.html"),
            Ask::View(look) => format!("{name}-{}.png", look.title().to_lowercase()),
            Ask::SaveEdit => match self.keeping.place.path.as_deref().and_then(Path::file_name) {
                Some(own) => own.to_string_lossy().into_owned(),
                None => format!("{name}.json"),
            },
            Ask::Film => format!("{name}.mp4"),
            Ask::Open | Ask::Photo | Ask::Predictor | Ask::SweepFolder | Ask::ShelfFolder | Ask::FrameFolder => {
                String::new()
            }
        };
        let ctx = ctx.clone();
        let question = Question { ask, folder: self.preferences.folder(), name };
        self.dialogs.ask(question, Box::new(move || ctx.request_repaint()));
    }

    pub(super) fn take_answer(&mut self, answer: Answer, ctx: &Context) {
        match answer {
            Answer::Path(ask, path) => self.answered(ask, path, true, ctx),
            Answer::Cancelled(_) => {}
            Answer::Unavailable(question) => self.overlays.path_prompt = Some(PathPrompt::new(question)),
        }
    }

    /// A path was chosen. `was_asked`: by a dialog that asked before it returned the name of a file that exists.
    pub(super) fn answered(&mut self, ask: Ask, path: PathBuf, was_asked: bool, ctx: &Context) {
        match ask {
            Ask::Open => return self.open(Source::File(path), ctx),
            Ask::Photo => return self.read_photo(path, ctx),
            Ask::Predictor => {
                self.preferences.set_folder(path.parent().map(Into::into));
                self.looks.analysis.predictor = Some(PredictorSource::File(path));
                return;
            }
            _ => {}
        }
        let chosen = std::path::absolute(&path).unwrap_or(path);
        let path = match ask {
            Ask::SaveEdit => with_suffix(chosen.clone(), "json"),
            Ask::View(Look::Analysis) if TableFormat::of(&chosen).is_some() => chosen.clone(),
            Ask::View(Look::Directions) if SheetFormat::of(&chosen).is_some() => chosen.clone(),
            Ask::View(Look::Directions) => with_suffix(chosen.clone(), "html"),
            Ask::Export | Ask::View(_) => with_suffix(chosen.clone(), "png"),
            Ask::Film if FilmFormat::of(&chosen).is_some() => chosen.clone(),
            Ask::Film => with_suffix(chosen.clone(), "mp4"),
            Ask::Open | Ask::Photo | Ask::Predictor | Ask::SweepFolder | Ask::ShelfFolder | Ask::FrameFolder => {
                chosen.clone()
            }
        };
        let folder = if ask.is_series() { Some(path.as_path()) } else { path.parent() };
        self.preferences.set_folder(folder.map(Into::into));
        // What was asked about is the name without the suffix.
        let was_asked = was_asked && path == chosen;
        self.on_thread(ctx, move || {
            let folder = if ask.is_series() { path.as_path() } else { path.parent().unwrap_or(&path) };
            files::remove_leftovers(folder);
            match taken(ask, &path) {
                Ok(Taken::File) if was_asked => FileEvent::Chosen(ask, path, Taken::Free),
                Ok(taken) => FileEvent::Chosen(ask, path, taken),
                Err(failure) => FileEvent::Failed(failure),
            }
        });
    }

    /// Writes to a path, unless something has to be asked first.
    pub(super) fn write_to(&mut self, ask: Ask, path: PathBuf, taken: Taken, ctx: &Context) {
        if taken != Taken::Free {
            self.asking.push(Asking::Replace { ask, path, why: taken });
            return;
        }
        let Some(project) = self.project() else { return };
        match ask {
            Ask::SaveEdit => self.save_edit_to(path, None, ctx),
            Ask::Export => {
                let edit = self.edit_in_view().clone();
                self.run(Export::picture(Project { edit, ..*project }, path));
            }
            Ask::View(look) => self.export_view(look, *project, path, ctx),
            Ask::SweepFolder => {
                if let Some(dialog) = self.overlays.sweep.take()
                    && let Some(info) = self.model.as_ref().map(|model| model.info.clone())
                {
                    self.run(Export::sweep(*project, &dialog.sweep(path), &info));
                }
            }
            Ask::ShelfFolder => {
                let shots = project.shelf.iter().enumerate().map(|(at, kept)| shot(at, kept)).collect();
                self.run(Export::pictures(*project, shots, &path));
            }
            Ask::Film | Ask::FrameFolder => self.export_motion(ask, *project, path),
            Ask::Open | Ask::Photo | Ask::Predictor => {}
        }
    }

    /// What the player showed when it was asked for.
    fn export_motion(&mut self, ask: Ask, project: Project, path: PathBuf) {
        let Some(((motion, side), info)) = self.overlays.film.clone().zip(self.model()) else { return };
        let target = match ask {
            Ask::FrameFolder => FilmTarget::Folder(path),
            _ => FilmTarget::Film(FilmPlan {
                path,
                playback: motion.playback(),
                frames: motion.frames(),
                picture: [info.size.width, info.size.height],
                side: Some(side),
            }),
        };
        match Export::motion(project, motion, &target) {
            Ok(task) => self.run(task),
            Err(error) => self.notices.failure = Some(Failure::of(&error)),
        }
    }

    /// What a view shows, in full size.
    fn export_view(&mut self, look: Look, project: Project, path: PathBuf, ctx: &Context) {
        let Some(info) = self.model.as_ref().map(|model| model.info.clone()) else { return };
        let (shots, columns) = match look {
            Look::Samples => (self.looks.samples.shots(&info, &project.edit), self.looks.samples.columns()),
            Look::Compare => (self.compared_shots(&project.edit), 2),
            Look::Picture | Look::Photo => return self.run(Export::picture(project, path)),
            Look::Directions => return self.export_sheet(&info, path),
            Look::Analysis => return self.export_analysis(path, ctx),
        };
        self.run(Export::contact_sheet(project, shots, columns, &info, path));
    }

    /// The directions that the list shows, on the present sample.
    fn export_sheet(&mut self, info: &ModelInfo, path: PathBuf) {
        let Some(model) = &self.model else { return };
        let Some(set) = &model.directions.set else { return };
        let rows = visible(&self.document, set, model.directions.shows_hidden);
        let row = |index: usize| {
            let direction = set.directions[index].clone();
            let known = self.document.known(&direction);
            SheetRow {
                name: self.document.name_of(&direction).to_owned(),
                score: set.scores.values().get(index).copied(),
                range: self.document.range_of(&direction, info),
                is_starred: known.star,
                direction,
            }
        };
        let sample = Shot { label: edit_title(&self.document.edit), edit: self.document.edit.clone() };
        let plan = SheetPlan {
            about: format!("layers {}, {}", set.layers, set.method.about()),
            samples: vec![sample],
            rows: rows.into_iter().take(model.directions.rows).map(row).collect(),
            score_name: set.scores.name().into(),
            steps: self.looks.sheet.steps(),
            side: EXPORTED_CELL,
            previews: false,
            path,
        };
        match DirectionSheet::new(plan, info) {
            Ok(task) => self.run(task),
            Err(error) => self.notices.failure = Some(Failure::of(&error)),
        }
    }

    /// Writes the edit. `known`: when the file was written last as far as this window knows; if that was not the last time, the
    /// user is asked.
    fn save_edit_to(&mut self, path: PathBuf, known: Option<SystemTime>, ctx: &Context) {
        let Some(project) = self.project() else { return };
        let document = Box::new(self.document.clone());
        let (sender, ctx) = (self.files.0.clone(), ctx.clone());
        self.keeping.writer.write(move || {
            let is_changed = known.is_some() && modified(&path).is_some_and(|modified| Some(modified) != known);
            let event = if is_changed {
                FileEvent::Chosen(Ask::SaveEdit, path, Taken::Changed)
            } else {
                match write_project(&path, &project) {
                    Ok(()) => FileEvent::Saved { modified: modified(&path), path, document },
                    Err(failure) => FileEvent::Failed(failure),
                }
            };
            // A closed window no longer listens.
            let _ = sender.send(event);
            ctx.request_repaint();
        });
    }

    /// The edit is on the disk.
    pub(super) fn saved(&mut self, path: PathBuf, document: Document, modified: Option<SystemTime>) {
        tracing::info!("saved {}", path.display());
        let place = &mut self.keeping.place;
        (place.path, place.saved, place.modified) = (Some(path), Some(document), modified);
    }

    /// The question that is shown was answered.
    pub(super) fn answer(&mut self, chosen: Chosen, ctx: &Context) {
        let Some(asking) = self.asking.pop() else { return };
        match (asking, chosen) {
            (Asking::Replace { ask, path, why: Taken::Series(_) }, Chosen::Yes) => {
                self.on_thread(ctx, move || match export::clear_for_series(&path, Older::Remove) {
                    Ok(()) => FileEvent::Chosen(ask, path, Taken::Free),
                    Err(error) => FileEvent::Failed(Failure::of(&error)),
                });
            }
            (Asking::Replace { ask, path, .. }, Chosen::Yes) => self.write_to(ask, path, Taken::Free, ctx),
            (Asking::Replace { ask, .. }, Chosen::Otherwise) => self.ask(ask, ctx),
            (Asking::Elsewhere { waiting, .. }, Chosen::Yes) => self.open_edit(*waiting, ctx),
            // Its model may be opened from another place.
            (Asking::Elsewhere { waiting, .. }, _) => self.waiting = Some(*waiting),
            (Asking::Quit, Chosen::Yes) => self.quit(Quitting::Anyway, ctx),
            (Asking::Quit, Chosen::Otherwise) => self.quit(Quitting::WhenDone, ctx),
            (Asking::Quit, Chosen::No) => self.quit(Quitting::No, ctx),
            (Asking::Axes { path, readings, .. }, Chosen::Yes) => self.read_directions(path, Some(readings[0]), ctx),
            (Asking::Axes { path, readings, .. }, Chosen::Otherwise) => {
                self.read_directions(path, Some(readings[1]), ctx);
            }
            (Asking::Replace { .. } | Asking::Axes { .. }, Chosen::No) => {}
        }
    }

    fn quit(&mut self, quitting: Quitting, ctx: &Context) {
        self.quitting = quitting;
        if quitting == Quitting::Anyway {
            ctx.send_viewport_cmd(ViewportCommand::Close);
        }
    }

    /// Tasks that leave files.
    pub(super) fn exports(&self) -> usize {
        let search = self.model.as_ref().and_then(|model| model.components.searching.as_ref());
        self.work.tasks.iter().filter(|task| search.is_none_or(|(job, _)| *job != task.job)).count()
    }

    /// Holds the window open while exports run, until the user has said what is to become of them.
    pub(super) fn watch_closing(&mut self, ctx: &Context) {
        let is_closing = ctx.input(|input| input.viewport().close_requested());
        let exports = self.exports();
        if self.quitting == Quitting::WhenDone && exports == 0 {
            // Whoever waited for files wants to know that there are none.
            self.quit(if self.notices.failure.is_none() { Quitting::Anyway } else { Quitting::No }, ctx);
        }
        if is_closing && exports > 0 && self.quitting != Quitting::Anyway {
            ctx.send_viewport_cmd(ViewportCommand::CancelClose);
            if !self.asking.iter().any(|asking| matches!(asking, Asking::Quit)) {
                self.asking.push(Asking::Quit);
            }
        }
    }

    /// The edit with its model and the names that are shown, for others.
    pub(super) fn project(&self) -> Option<Box<Project>> {
        self.project_of(self.document.for_files())
    }

    /// The same for the next start: with the names that were brought along, because the user's own are in the library.
    pub(super) fn project_to_keep(&self) -> Option<Box<Project>> {
        let Document { edit, names, shelf, library: _ } = self.document.clone();
        self.project_of(FiledDocument { edit, names, shelf })
    }

    fn project_of(&self, document: FiledDocument) -> Option<Box<Project>> {
        let model = self.model.as_ref()?;
        let FiledDocument { edit, names, shelf } = document;
        let project = Project::new(&model.info, model.source.absolute().to_string(), edit, names);
        Some(Box::new(Project { shelf, ..project }))
    }
}

/// A kept picture, to be exported.
fn shot(at: usize, kept: &Kept) -> Shot {
    Shot { label: kept_title(at, kept), edit: kept.edit.clone() }
}

/// One that could not be opened again is not written.
fn write_project(path: &Path, project: &Project) -> Result<(), Failure> {
    let json = project.to_json();
    if json.len() as u64 > project::MAX_BYTES {
        let why = format!("The edit has {} bytes, expected at most {}", json.len(), project::MAX_BYTES);
        return Err(Failure::new(why).under(format!("Cannot write {}", path.display())));
    }
    files::write_bytes(path, json.as_bytes()).map_err(|error| Failure::of(&error))
}

/// What stands where something is to be written.
fn taken(ask: Ask, path: &Path) -> Result<Taken, Failure> {
    if ask.is_series() {
        let files = export::files_of_series(path).map_err(|error| Failure::of(&error))?;
        return Ok(if files.is_empty() { Taken::Free } else { Taken::Series(files.len()) });
    }
    Ok(if path.symlink_metadata().is_ok() { Taken::File } else { Taken::Free })
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}
