//! The places on screen that show an edit: what each should show, what was asked for it, and what it shows.

use std::collections::BTreeMap;

use super::surface::{PicturePipeline, Surface};
use crate::edit::Edit;
use crate::failure::Failure;
use crate::render::{Frame, ViewId};
use crate::worker::{Background, Job, JobId, ModelId};

/// All views of the open model. A view is there from the first time that a picture is asked for it.
#[derive(Default)]
pub struct Views(BTreeMap<ViewId, ViewState>);

#[derive(Default)]
struct ViewState {
    /// The edit last asked for.
    asked: Option<Edit>,
    /// Jobs without their last word. What other jobs have to say is of another model.
    jobs: Vec<JobId>,
    surface: Option<Surface>,
    /// Why the newest picture could not be made; gone with the next one that can.
    failure: Option<Failure>,
}

impl Views {
    /// Asks for the picture of an edit, unless it was asked for last.
    pub fn ask(&mut self, view: ViewId, edit: &Edit, model: ModelId, background: &dyn Background) {
        let state = self.0.entry(view).or_default();
        if state.asked.as_ref() != Some(edit) {
            state.jobs.push(background.send(Job::Render { model, view, edit: edit.clone() }));
            state.asked = Some(edit.clone());
        }
    }

    /// True if a picture of a view is on its way.
    pub fn is_awaited(&self, view: ViewId) -> bool {
        self.0.get(&view).is_some_and(|state| !state.jobs.is_empty())
    }

    /// What a view shows.
    pub fn surface(&self, view: ViewId) -> Option<&Surface> {
        self.0.get(&view)?.surface.as_ref()
    }

    /// What a view shows, if it shows this.
    pub fn surface_of(&self, view: ViewId, edit: &Edit) -> Option<&Surface> {
        self.surface(view).filter(|surface| surface.edit() == edit)
    }

    /// Why the newest picture of a view could not be made.
    pub fn failure(&self, view: ViewId) -> Option<&Failure> {
        self.0.get(&view)?.failure.as_ref()
    }

    pub fn dismiss_failures(&mut self) {
        self.0.values_mut().for_each(|state| state.failure = None);
    }

    /// Another model: nothing is shown and nothing asked any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The same picture, made anew: what is shown stays until then.
    pub fn ask_again(&mut self) {
        for state in self.0.values_mut() {
            (state.asked, state.jobs) = (None, Vec::new());
        }
    }

    /// A picture was made.
    pub fn show(&mut self, job: JobId, view: ViewId, frame: Frame, picture_pipeline: Option<&PicturePipeline>) {
        let Some(state) = self.0.get_mut(&view).filter(|state| state.jobs.contains(&job)) else { return };
        if frame.is_exact {
            state.jobs.retain(|&other| other != job);
        }
        state.failure = None;
        state.surface = Some(Surface::show(state.surface.take(), frame, picture_pipeline));
    }

    /// A picture will not be made, and why. True if it was one of these views'.
    pub fn end(&mut self, job: JobId, failure: Option<&Failure>) -> bool {
        let Some(state) = self.0.values_mut().find(|state| state.jobs.contains(&job)) else { return false };
        state.jobs.retain(|&other| other != job);
        state.failure = failure.cloned().or(state.failure.take());
        true
    }
}
