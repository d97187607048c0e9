//! Photos in the window: opened, searched for, and what becomes of what is found.

use std::path::PathBuf;

use egui::Context;

use super::app::App;
use super::exchange::FileEvent;
use super::looks::Look;
use super::photo::{OpenPhoto, PhotoSearch};
use crate::edit::Edit;
use crate::failure::Failure;
use crate::generator::ModelInfo;
use crate::invert::{Found, Glimpse, Photo};
use crate::progress::Progress;
use crate::tasks::Inversion;
use crate::worker::JobId;

/// What of the photo shows where it is transparent.
const BACKGROUND: [u8; 3] = [255; 3];

impl App {
    /// Reads a photo on a thread.
    pub(super) fn read_photo(&mut self, path: PathBuf, ctx: &Context) {
        self.on_thread(ctx, move || match Photo::read(&path) {
            Ok(photo) => FileEvent::Photo(path, Box::new(photo)),
            Err(error) => FileEvent::Failed(Failure::of(&error)),
        });
    }

    pub(super) fn show_photo(&mut self, path: PathBuf, photo: Photo, ctx: &Context) {
        let Some(info) = self.model.as_ref().map(|model| model.info.clone()) else {
            let headline = format!("{} is a photo: open a model first, which is to find it", path.display());
            self.notices.failure = Some(Failure::new(&headline));
            return;
        };
        self.stop_search();
        self.preferences.set_folder(path.parent().map(Into::into));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.looks.photo.open = Some(OpenPhoto::new(name, photo, &info, ctx));
        self.looks.look = Look::Photo;
    }

    /// Looks for the code of the photo; a search that runs is stopped, and what it found is used.
    pub(super) fn find_or_stop(&mut self) {
        if self.looks.photo.open.as_ref().is_some_and(|open| open.running().is_some()) {
            self.stop_search();
        } else {
            self.search(false, false);
        }
    }

    /// `afresh`: from other samples; `goes_on`: from the code that was found last.
    pub(super) fn search(&mut self, afresh: bool, goes_on: bool) {
        let Some((id, info)) = self.model.as_ref().map(|model| (model.id, model.info.clone())) else { return };
        let view = &mut self.looks.photo;
        let from = view.goes_on_from().filter(|_| goes_on).cloned();
        let settings = view.settings(&info, afresh, from);
        let Some(open) = &view.open else { return };
        if open.frame.mask.hides_all() {
            self.notices.failure = Some(Failure::new("The whole photo is hidden: nothing is left to be found"));
            return;
        }
        let (name, photo, crop) = (open.name.clone(), open.photo.clone(), open.frame.crop);
        let mask = Some(open.frame.mask.clone()).filter(|mask| !mask.hides_nothing());
        let cut = {
            let name = name.clone();
            move || photo.target(crop, mask.as_ref(), BACKGROUND, &info).named(&name)
        };
        let job = self.run_with(id, Inversion::new(&name, settings.clone(), cut));
        if let Some(open) = &mut self.looks.photo.open {
            open.search = Some(PhotoSearch::new(job, &settings));
        }
    }

    /// Stops the search that runs and goes on with what it found.
    pub(super) fn stop_search(&mut self) {
        let Some(search) = self.looks.photo.open.as_mut().and_then(|open| open.search.as_mut()) else { return };
        let Some(job) = search.job else { return };
        search.end(None);
        let found = search.glimpse.as_ref().map(|glimpse| glimpse.edit.clone());
        self.background.cancel(job);
        found.into_iter().for_each(|edit| self.take_found(edit));
    }

    pub(super) fn came_nearer(&mut self, job: JobId, progress: Progress, glimpse: Glimpse, ctx: &Context) {
        self.progressed(job, progress);
        if let Some(search) = self.looks.photo.search_of(job) {
            search.come_nearer(glimpse, ctx);
        }
    }

    pub(super) fn found_photo(&mut self, job: JobId, found: Found) {
        if let Some(search) = self.looks.photo.search_of(job) {
            search.end(Some(&found));
            self.take_found(found.edit);
        }
    }

    /// The search came to its end without a last word of its own: it was cancelled, or failed.
    pub(super) fn ended_search(&mut self, job: JobId) {
        if let Some(search) = self.looks.photo.search_of(job) {
            search.end(None);
        }
    }

    /// Another model: the photo stays, to be found by that one.
    pub(super) fn forget_search(&mut self, info: &ModelInfo) {
        if let Some(open) = &mut self.looks.photo.open {
            open.search.take().and_then(|search| search.job).into_iter().for_each(|job| self.background.cancel(job));
            open.frame.crop = open.photo.middle(info);
        }
    }

    /// Goes on with the code of a photo, as one step that can be taken back.
    fn take_found(&mut self, edit: Edit) {
        if self.model.as_ref().is_some_and(|model| model.info.check(&edit).is_ok()) {
            self.history.settle(&self.document);
            self.document.edit = edit;
        }
    }
}
