//! Keeps the user's library of the open model: reads it when the model opens, writes what changes, takes in what other
//! programs write meanwhile.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use egui::Context;

use super::kept::RETRY;
use crate::generator::ModelInfo;
use crate::library::{self, Library};
use crate::names::DirectionNames;
use crate::store::{StoreError, Writer};

/// What a file holds after a write.
type Written = Result<Library, StoreError>;

/// Dropping it waits until all is written.
pub struct Librarian {
    /// Where libraries are; `None` keeps nothing.
    folder: Option<PathBuf>,
    /// As it was read, or handed over to be written, last.
    kept: Arc<Library>,
    /// The window's library when it was compared with that last.
    seen: Arc<Library>,
    writer: Writer,
    /// Writes on their way.
    writing: usize,
    /// The last write failed, and that was told.
    has_failed: bool,
    /// When it was asked for (seconds).
    tried: f64,
    answers: (Sender<Written>, Receiver<Written>),
    wake: Context,
}

/// What another program changed in the library, for [`Library::follow`].
pub struct Changes {
    pub kept: Arc<Library>,
    pub theirs: Library,
}

impl Librarian {
    /// # Errors
    /// No thread can be started.
    pub fn start(folder: Option<PathBuf>, wake: Context) -> std::io::Result<Self> {
        Ok(Librarian {
            folder,
            kept: Arc::default(),
            seen: Arc::default(),
            writer: Writer::start()?,
            writing: 0,
            has_failed: false,
            tried: 0.0,
            answers: channel(),
            wake,
        })
    }

    /// The library of a model that was opened; an empty one if it cannot be read, and why. `names`: what an earlier version
    /// kept of the user's names.
    pub fn open(&mut self, info: &ModelInfo, names: Option<&DirectionNames>) -> (Arc<Library>, Option<StoreError>) {
        let model = library::LibraryModel::from(info);
        let read = self.folder.as_ref().map_or(Ok(None), |folder| library::read(folder, &model));
        let (read, failure) = read.map_or_else(|error| (None, Some(error)), |read| (read, None));
        self.kept = Arc::new(read.unwrap_or_else(|| Library::new(model)));
        self.has_failed = false;
        let mut library = self.kept.clone();
        if let Some(names) = names {
            Arc::make_mut(&mut library).adopt_names(names, &info.direction_names);
        }
        (library, failure)
    }

    /// Writes what is other than it was kept last, on a thread, and what could not be written [`RETRY`] seconds ago. `now`: in
    /// seconds. Returns how long to wait before the next try.
    pub fn keep(&mut self, library: &Arc<Library>, now: f64) -> Option<Duration> {
        let is_other = !Arc::ptr_eq(library, &self.seen) && library.model == self.kept.model;
        if is_other {
            self.seen = library.clone();
        }
        let changed = if is_other { library.to_keep(&self.kept, library::now()) } else { None };
        let wait = self.tried + RETRY - now;
        if let Some(changed) = changed {
            self.kept = Arc::new(changed);
        } else if !self.has_failed || self.writing > 0 {
            return None;
        } else if wait > 0.0 {
            return Some(Duration::from_secs_f64(wait));
        }
        self.tried = now;
        self.write();
        None
    }

    /// The same before the window or the model is closed.
    pub fn finish(&mut self, library: &Arc<Library>) {
        self.keep(library, f64::INFINITY);
    }

    /// The whole library, so that nothing of an earlier write that failed is missing.
    fn write(&mut self) {
        let Some(folder) = self.folder.clone() else { return };
        let (library, sender, wake) = (self.kept.clone(), self.answers.0.clone(), self.wake.clone());
        self.writing += 1;
        self.writer.write(move || {
            // A closed window no longer listens.
            let _ = sender.send(library::update(&folder, &library));
            wake.request_repaint();
        });
    }

    /// What became of the writes: what others changed, and failures.
    pub fn answers(&mut self) -> Vec<Result<Changes, StoreError>> {
        let mut answers = Vec::new();
        for answer in self.answers.1.try_iter() {
            self.writing = self.writing.saturating_sub(1);
            // A newer program's file stays what it is.
            let may_succeed = matches!(&answer, Err(error) if !matches!(error, StoreError::Newer { .. }));
            let had_failed = std::mem::replace(&mut self.has_failed, may_succeed);
            match answer {
                // Another model may be open by now.
                Ok(theirs) if theirs.model == self.kept.model => {
                    let kept = self.kept.clone();
                    Arc::make_mut(&mut self.kept).merge(&theirs);
                    answers.push(Ok(Changes { kept, theirs }));
                }
                Ok(_) => {}
                Err(error) if !had_failed => answers.push(Err(error)),
                Err(_) => {}
            }
        }
        answers
    }

    /// True if nothing is being written.
    pub fn is_idle(&self) -> bool {
        self.writing == 0
    }
}
