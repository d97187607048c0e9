//! What becomes of the document without anybody asking: it is kept two seconds after each change, and offered again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use egui::{Context, TextureHandle, TextureOptions};
use serde::{Deserialize, Serialize};

use super::app::App;
use super::document::{Document, Selection};
use super::exchange::FileEvent;
use super::kept::KeptPreferences;
use super::semantics::PAGE;
use super::thumbnail;
use super::titles::edit_title;
use super::waiting::{EditFrom, WaitingEdit};
use crate::directions::Method;
use crate::edit::{Edit, LayerSet, Weighting};
use crate::failure::Failure;
use crate::limits;
use crate::project::Project;
use crate::render::{Example, Source, ViewId};
use crate::store::{Closed, Folders, MOST_SESSIONS, Session, SessionFile, Sessions, Writer};

/// Seconds from a change until it is on the disk.
const DELAY: f64 = 2.0;

/// What the window keeps in files, and how far that is.
pub struct Keeping {
    pub writer: Writer,
    pub preferences: KeptPreferences,
    sessions: Option<Sessions>,
    /// The present document's, from the first time that it is written.
    session: Option<Arc<SessionFile>>,
    /// The document as it was opened, until it differs from that.
    untouched: Option<Document>,
    /// As it was last written.
    written: Option<Left>,
    /// Since when it differs from that (seconds).
    since: Option<f64>,
    /// The edit whose picture was last written beside it.
    pictured: Option<Edit>,
    /// The last writing failed, and that was told.
    is_failing: Arc<AtomicBool>,
    pub place: Place,
    /// Documents that no window has open, newest first.
    pub recent: Vec<RecentDocument>,
    /// What is told of the document that the window began with.
    pub restored: Option<String>,
}

/// Where the document is saved by hand.
#[derive(Default)]
pub struct Place {
    pub path: Option<PathBuf>,
    /// What is saved there, or what needs no saving.
    pub saved: Option<Document>,
    /// When the file was last written, as far as this window knows.
    pub modified: Option<SystemTime>,
}

/// All of a session but the edit itself.
pub struct KeptEdit {
    pub file: SessionFile,
    pub path: Option<PathBuf>,
    pub is_saved: bool,
    pub view: serde_json::Value,
    /// When it was left, for the one that the window begins with.
    pub restored: Option<String>,
}

/// A document as it is left.
struct Left {
    document: Document,
    source: Source,
    path: Option<PathBuf>,
    is_saved: bool,
    panels: Panels,
}

/// What the window wants to know of its panels.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Panels {
    layers: LayerSet,
    /// Of SeFa, where that is the method.
    weighting: Weighting,
    /// Samples and seed of principal components, where these are shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pca: Option<(usize, u64)>,
    /// Directions that are kept one by one are shown.
    #[serde(default)]
    is_own: bool,
    rows: usize,
    hidden: bool,
}

/// A document that can be opened again.
pub struct RecentDocument {
    pub path: PathBuf,
    /// "Toy heads · seed 17 · 2 moves"
    pub title: String,
    /// "smile.json · 5 minutes ago"
    pub facts: String,
    /// Its picture.
    pub thumbnail: Option<TextureHandle>,
}

impl Keeping {
    pub fn new(folders: Option<&Folders>, preferences: KeptPreferences) -> std::io::Result<Self> {
        let sessions = folders.map(Sessions::new);
        let writer = Writer::start()?;
        if let Some(sessions) = sessions.clone() {
            writer.write(move || sessions.tidy(MOST_SESSIONS));
        }
        Ok(Keeping {
            writer,
            preferences,
            sessions,
            session: None,
            untouched: None,
            written: None,
            pictured: None,
            since: None,
            is_failing: Arc::default(),
            place: Place::default(),
            recent: Vec::new(),
            restored: None,
        })
    }
}

impl App {
    /// A document takes the place of the present one, which was left before ([`App::leave_document`]).
    pub(super) fn begin_document(&mut self, document: Document, place: Place) {
        let keeping = &mut self.keeping;
        (keeping.untouched, keeping.written, keeping.since) = (Some(document.clone()), None, None);
        keeping.pictured = None;
        keeping.place = place;
        self.document = document;
    }

    /// A document is open again that was kept; from now on it is kept in the same file.
    pub(super) fn resume_document(&mut self, document: Document, kept: KeptEdit) {
        let KeptEdit { file, path, is_saved, view, restored } = kept;
        let modified = path.as_ref().and_then(|path| path.metadata().ok()?.modified().ok());
        let saved = is_saved.then(|| document.clone());
        self.begin_document(document, Place { path, saved, modified });
        (self.keeping.untouched, self.keeping.session) = (None, Some(Arc::new(file)));
        self.keeping.restored = restored;
        self.arrange(view);
    }

    /// Keeps the present document, which another takes the place of; what was only looked at is not kept.
    pub(super) fn leave_document(&mut self, ctx: &Context) {
        if self.keeping.untouched.as_ref().is_some_and(|untouched| untouched.is_same_work(&self.document)) {
            if let Some(session) = self.keeping.session.take() {
                self.keeping.writer.write(move || Arc::into_inner(session).map_or((), SessionFile::discard));
            }
        } else {
            self.write_session(ctx);
        }
        self.keeping.session = None;
        self.keeping.restored = None;
        self.list_recent_documents(ctx);
    }

    /// Keeps the document if it changed long enough ago. Returns how long to wait until then.
    pub(super) fn keep_document(&mut self, ctx: &Context) -> Option<Duration> {
        if self.keeping.untouched.as_ref().is_some_and(|untouched| !untouched.is_same_work(&self.document)) {
            self.keeping.untouched = None;
        }
        if !self.is_worth_keeping() || self.is_as_written() {
            self.keeping.since = None;
            self.keep_thumbnail();
            return None;
        }
        let now = ctx.input(|input| input.time);
        let since = *self.keeping.since.get_or_insert(now);
        if now - since < DELAY {
            return Some(Duration::from_secs_f64(DELAY - (now - since)));
        }
        self.write_session(ctx);
        // A window at rest has no further frame in which to try again.
        self.keeping.is_failing.load(Ordering::Relaxed).then(|| Duration::from_secs_f64(DELAY))
    }

    /// The window closes: what is worth to be kept is.
    pub(super) fn write_last_session(&mut self, ctx: &Context) {
        if self.is_worth_keeping() {
            self.write_session(ctx);
        }
    }

    /// An example that was only looked at is there at every start.
    fn is_worth_keeping(&self) -> bool {
        let untouched = self.keeping.untouched.as_ref().is_some_and(|untouched| untouched.is_same_work(&self.document));
        let is_touched = !untouched || self.keeping.place.path.is_some();
        self.model.as_ref().is_some_and(|model| is_touched || !matches!(model.source, Source::Example(_)))
    }

    /// Hands the document to the writer, unless it was.
    pub(super) fn write_session(&mut self, ctx: &Context) {
        self.keeping.since = None;
        if self.is_as_written() {
            return;
        }
        let (Some(left), Some(project), Some(sessions)) = (self.left(), self.project_to_keep(), &self.keeping.sessions)
        else {
            return;
        };
        let (files, ctx, is_failing) = (self.files.0.clone(), ctx.clone(), self.keeping.is_failing.clone());
        let failed = move |failure: Failure| {
            // A disk that is full stays so for a while, and is tried every two seconds.
            if !is_failing.swap(true, Ordering::Relaxed) {
                tracing::error!("{}: {}", failure.headline, failure.causes.join(": "));
                // A closed window no longer listens.
                let _ = files.send(FileEvent::Told(failure.under("The document cannot be kept for the next start")));
                ctx.request_repaint();
            }
        };
        if self.keeping.session.is_none() {
            match sessions.begin() {
                Ok(session) => self.keeping.session = Some(Arc::new(session)),
                Err(error) => return failed(Failure::of(&error)),
            }
        }
        let Some(file) = self.keeping.session.clone() else { return };
        let view = serde_json::to_value(&left.panels).unwrap_or_default();
        let session = Session { project: *project, path: left.path.clone(), is_saved: left.is_saved, view };
        let is_failing = self.keeping.is_failing.clone();
        self.keeping.writer.write(move || match file.write(&session) {
            Ok(()) => is_failing.store(false, Ordering::Relaxed),
            Err(error) => failed(Failure::of(&error)),
        });
        self.keeping.written = Some(left);
    }

    /// Keeps the picture of the document beside it, once it is there.
    fn keep_thumbnail(&mut self) {
        let Keeping { sessions: Some(sessions), session: Some(file), pictured, writer, .. } = &mut self.keeping else {
            return;
        };
        let edit = &self.document.edit;
        let is_new = pictured.as_ref() != Some(edit);
        let shown = self.views.surface_of(ViewId::PICTURE, edit).filter(|shown| is_new && shown.frame.is_exact);
        if let Some(read) = shown.and_then(|surface| surface.reader(self.picture_pipeline.as_ref())) {
            let path = sessions.thumbnail(file.path());
            writer.write(move || read().into_iter().for_each(|picture| thumbnail::write(&path, &picture)));
            *pictured = Some(edit.clone());
        }
    }

    fn left(&self) -> Option<Left> {
        let model = self.model.as_ref()?;
        let Place { path, saved, .. } = &self.keeping.place;
        Some(Left {
            document: self.document.clone(),
            source: model.source.clone(),
            path: path.clone(),
            is_saved: saved.as_ref().is_some_and(|saved| saved.is_same_work(&self.document)),
            panels: self.panels()?,
        })
    }

    fn panels(&self) -> Option<Panels> {
        let directions = &self.model.as_ref()?.directions;
        let Selection { layers, method } = directions.selection.clone();
        let is_own = method == Method::Own;
        let (weighting, pca) = match method {
            Method::Sefa { weighting } => (weighting, None),
            Method::Pca { samples, seed } => (Weighting::default(), Some((samples, seed))),
            Method::Own => (Weighting::default(), None),
        };
        Some(Panels { layers, weighting, pca, is_own, rows: directions.rows, hidden: self.panels_hidden })
    }

    /// Asked in every frame: nothing is copied.
    fn is_as_written(&self) -> bool {
        let (Some(written), Some(model)) = (&self.keeping.written, &self.model) else { return false };
        let path = &self.keeping.place.path;
        // One that could not be written is tried again until it is.
        !self.keeping.is_failing.load(Ordering::Relaxed)
            && written.document.is_same_work(&self.document)
            && written.source == model.source
            && written.path == *path
            && written.is_saved != self.is_unsaved()
            && Some(&written.panels) == self.panels().as_ref()
    }

    /// True if the document differs from what is saved of it.
    pub fn is_unsaved(&self) -> bool {
        let saved = self.keeping.place.saved.as_ref();
        self.model.is_some() && !saved.is_some_and(|saved| saved.is_same_work(&self.document))
    }

    /// The document in front of the title: "• smile.json · ", the dot only if it is not saved.
    pub(super) fn file_shown(&self) -> String {
        let name = self.keeping.place.path.as_deref().and_then(Path::file_name);
        let name = name.map_or_else(String::new, |name| format!("{} · ", name.to_string_lossy()));
        format!("{}{name}", if self.is_unsaved() { "• " } else { "" })
    }

    /// Shows the panels as they were.
    pub(super) fn arrange(&mut self, view: serde_json::Value) {
        let Ok(Panels { layers, weighting, pca, is_own, rows, hidden }) = serde_json::from_value(view) else { return };
        let Some(model) = &mut self.model else { return };
        if layers.last() < model.info.num_layers {
            let method = match pca {
                Some((samples, seed)) => Method::Pca { samples, seed },
                None if is_own => Method::Own,
                None => Method::Sefa { weighting },
            };
            model.directions.selection = Selection { layers, method };
            model.directions.rows = rows.clamp(PAGE, limits::LATENT);
        }
        self.panels_hidden = hidden;
    }

    /// Opens the newest document that no window has open. Returns false if there is none.
    pub(super) fn restore(&mut self, ctx: &Context) -> bool {
        let Some(sessions) = &self.keeping.sessions else { return false };
        let (taken, told) = sessions.take_newest();
        self.notices.told.extend(told.iter().map(|error| Failure::of(error)));
        let Some((file, session)) = taken else { return false };
        let when = ago(file.path().metadata().and_then(|facts| facts.modified()).ok());
        self.reopen(file, session, Some(when), ctx);
        true
    }

    /// Opens a document that was kept, with its model. `when`: the window begins with it, as it was left then.
    pub(super) fn reopen(&mut self, file: SessionFile, session: Session, when: Option<String>, ctx: &Context) {
        tracing::info!("opening the session {}", file.path().display());
        let Session { project, path, is_saved, view } = session;
        let kept = KeptEdit { file, path, is_saved, view, restored: when };
        self.open_edit(WaitingEdit { project, from: EditFrom::Session(Box::new(kept)) }, ctx);
    }

    /// Opens one of the recent documents.
    pub(super) fn open_recent_document(&mut self, path: PathBuf, ctx: &Context) {
        let Some(sessions) = self.keeping.sessions.clone() else { return };
        self.on_thread(ctx, move || match sessions.take(&path) {
            Ok(Some((file, session))) => FileEvent::Session(Box::new((file, session))),
            Ok(None) => FileEvent::Failed(Failure::new("This document is open in another window, or was removed")),
            Err(error) => FileEvent::Failed(Failure::of(&error)),
        });
    }

    /// Leaves the document that the window began with for a new one; it stays among the recent ones.
    pub(super) fn start_fresh(&mut self, ctx: &Context) {
        self.keeping.restored = None;
        self.open(Source::Example(Example::default()), ctx);
    }

    /// Looks up, on a thread, which documents can be opened again.
    pub(super) fn list_recent_documents(&self, ctx: &Context) {
        let Some(sessions) = self.keeping.sessions.clone() else { return };
        let (files, ctx) = (self.files.0.clone(), ctx.clone());
        // After what is being written.
        self.keeping.writer.write(move || {
            let recent = sessions.closed().into_iter().filter_map(|closed| describe(&sessions, closed, &ctx)).collect();
            let _ = files.send(FileEvent::RecentDocuments(recent));
            ctx.request_repaint();
        });
    }
}

fn describe(sessions: &Sessions, closed: Closed, ctx: &Context) -> Option<RecentDocument> {
    let Session { project, path, .. } = sessions.look_at(&closed.path)?;
    let Project { model, edit, shelf, .. } = &project;
    let kept = if shelf.is_empty() { String::new() } else { format!(" · {} kept", shelf.len()) };
    let file = path.as_ref().and_then(|path| path.file_name()).map(|name| format!("{} · ", name.to_string_lossy()));
    let facts = format!("{}{}", file.unwrap_or_default(), ago(Some(closed.saved_at)));
    let picture = thumbnail::read(&sessions.thumbnail(&closed.path));
    let thumbnail = picture.map(|picture| ctx.load_texture("thumbnail", picture, TextureOptions::LINEAR));
    Some(RecentDocument {
        path: closed.path,
        title: format!("{} · {}{kept}", model.name, edit_title(edit)),
        facts,
        thumbnail,
    })
}

/// "5 minutes ago"
fn ago(time: Option<SystemTime>) -> String {
    let seconds = time.and_then(|time| time.elapsed().ok()).map_or(0, |elapsed| elapsed.as_secs());
    let (count, unit) = match seconds {
        0..60 => return "just now".into(),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_do() {
        let told = |seconds| ago(Some(SystemTime::now() - Duration::from_secs(seconds)));
        assert_eq!(
            [5, 60, 3599, 7200, 90_000, 200_000].map(told),
            ["just now", "1 minute ago", "59 minutes ago", "2 hours ago", "1 day ago", "2 days ago"]
        );
    }
}
