//! The directions that the list shows: what is asked for, and what becomes of it.

use std::sync::Arc;

use egui::Context;

use super::app::{App, AskedDirections};
use super::document::{Document, Selection};
use crate::directions::{DirectionSet, Method};
use crate::edit::{Direction, LayerSet};
use crate::failure::Failure;
use crate::pca::Components;
use crate::tasks::PrincipalComponents;
use crate::worker::{Job, JobId, ModelId};

/// Directions of an earlier selection look old after this many seconds; before that they would only flicker.
const STALE_AFTER: f64 = 0.1;

impl App {
    /// The end of a frame: asks for the selected directions, unless they are there or on their way.
    pub(super) fn ask_for_directions(&mut self, ctx: &Context, now: f64) {
        if self.work.stopped.is_some() {
            return;
        }
        let Some(model) = self.model.as_mut() else { return };
        let selection = &model.directions.selection;
        let is_tried = |asked: &AskedDirections| !asked.has_failed || model.directions.failure.is_some();
        if model.asked.as_ref().is_none_or(|asked| asked.selection != *selection || !is_tried(asked)) {
            let (id, selection) = (model.id, selection.clone());
            model.directions.failure = None;
            let job = self.find(id, &selection);
            let asked = AskedDirections { job, selection, since: now, has_failed: false };
            let Some(model) = self.model.as_mut() else { return };
            model.asked = Some(asked);
        }
        self.renew_own();
        self.show_search();
        let Some(model) = self.model.as_mut() else { return };
        let is_answered = model.directions.is_current() || model.directions.failure.is_some();
        let since = model.asked.as_ref().map_or(now, |asked| asked.since);
        model.directions.stale = !is_answered && now - since > STALE_AFTER;
        if !is_answered && !model.directions.stale {
            ctx.request_repaint_after_secs(STALE_AFTER as f32);
        }
    }

    /// Begins to look for directions, if that was not done; the job that answers.
    fn find(&mut self, model: ModelId, selection: &Selection) -> JobId {
        let Selection { layers, method } = selection.clone();
        let (samples, seed) = match method {
            Method::Sefa { weighting } => return self.background.send(Job::Factorize { model, layers, weighting }),
            Method::Pca { samples, seed } => (samples, seed),
            Method::Own => {
                self.list_own(layers);
                return JobId::THREAD;
            }
        };
        let Some(open) = self.model.as_mut() else { return JobId::THREAD };
        if let Some((found, components)) = &open.components.found
            && *found == method
        {
            let set = DirectionSet::of_components(components, samples, seed, layers);
            open.directions.set = Some(Arc::new(set));
            return JobId::THREAD;
        }
        match open.components.searching.take() {
            Some((job, sought)) if sought == method => {
                open.components.searching = Some((job, sought));
                return job;
            }
            Some((other, _)) => self.background.cancel(other),
            None => {}
        }
        let job = self.run_with(model, PrincipalComponents::new(samples, seed));
        if let Some(open) = self.model.as_mut() {
            open.components.searching = Some((job, method));
        }
        job
    }

    fn list_own(&mut self, layers: LayerSet) {
        let Some(model) = self.model.as_mut() else { return };
        let set = DirectionSet::of_own(self.document.own_directions(), layers);
        model.directions.set = Some(Arc::new(set));
        model.own = Some((self.document.library.clone(), moved(&self.document)));
    }

    /// Own directions come and go with what is known and moved.
    fn renew_own(&mut self) {
        let Some(model) = &self.model else { return };
        let is_same = model.own.as_ref().is_some_and(|(library, moves)| {
            let now = self.document.edit.moves.iter().map(|step| &step.direction);
            Arc::ptr_eq(library, &self.document.library)
                && moves.len() == now.len()
                && moves.iter().zip(now).all(|(before, now)| Arc::ptr_eq(before, now))
        });
        if model.directions.selection.method == Method::Own && !is_same {
            self.list_own(model.directions.selection.layers.clone());
        }
    }

    /// The list shows how far a search is that it waits for.
    fn show_search(&mut self) {
        let Some(model) = self.model.as_mut() else { return };
        let awaited =
            model.components.searching.as_ref().filter(|(_, method)| *method == model.directions.selection.method);
        let running = awaited.and_then(|(job, _)| self.work.tasks.iter().find(|task| task.job == *job));
        model.directions.search = running.map(|running| running.progress.clone());
    }

    pub(super) fn found_components(&mut self, job: JobId, method: Method, components: Arc<Components>) {
        let Some(model) = self.model.as_mut() else { return };
        if model.components.searching.take_if(|(searching, _)| *searching == job).is_none() {
            // Of a model that is closed.
            return;
        }
        if model.directions.selection.method == method {
            // Asked for again, they are there.
            model.asked = None;
        }
        model.components.found = Some((method, components));
    }

    /// A job came to its end without what it was for. False if it was no search for components.
    pub(super) fn ended_components(&mut self, job: JobId, failure: Option<&Failure>) -> bool {
        let Some(model) = self.model.as_mut() else { return false };
        let Some((_, method)) = model.components.searching.take_if(|(searching, _)| *searching == job) else {
            return false;
        };
        self.work.tasks.retain(|task| task.job != job);
        let is_shown = model.directions.selection.method == method;
        match failure {
            Some(failure) if is_shown => {
                model.directions.failure = Some(failure.clone());
                model.asked.iter_mut().for_each(|asked| asked.has_failed = true);
            }
            Some(failure) => self.notices.failure = Some(failure.clone()),
            // Who stops it wants others.
            None if is_shown => model.directions.selection.method = Method::default(),
            None => {}
        }
        true
    }

    /// The components are those of another network, or nobody looks for them any more.
    pub(super) fn forget_components(&mut self) {
        let Some(model) = self.model.as_mut() else { return };
        model.components.found = None;
        if let Some((job, _)) = model.components.searching.take() {
            self.background.cancel(job);
            self.work.tasks.retain(|task| task.job != job);
            model.asked = None;
        }
    }
}

fn moved(document: &Document) -> Vec<Arc<Direction>> {
    document.edit.moves.iter().map(|step| step.direction.clone()).collect()
}
