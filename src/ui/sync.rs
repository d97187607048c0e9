//! The window and its worker: what is sent when, and what becomes of the answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use egui::Context;

use super::app::{App, FileEvent, Model};
use super::document::{Document, History, Selection};
use super::facts::CARRIES_CODE;
use super::menu;
use super::open::{Failure, TOAST_SECONDS, Toast, ToastOf};
use super::reading::FormAnswer;
use super::semantics::{PAGE, Shown};
use super::surface::{Easel, Surface};
use crate::directions::Method;
use crate::edit::Edit;
use crate::generator::{Group, ModelInfo};
use crate::render::{Frame, Source};
use crate::worker::{Event, Job, Purpose, Task};

/// Directions of an earlier selection look old after this many seconds; before that they would only flicker.
const STALE_AFTER: f64 = 0.1;
/// A dozen frames a second are enough for sliders to keep up with the hand until a picture comes.
const FRAME_WITHOUT_PICTURE: Duration = Duration::from_millis(80);

impl App {
    /// Takes in everything that happened elsewhere since the last frame.
    pub(super) fn take_events(&mut self, ctx: &Context) {
        for event in self.worker.events(self.patience()) {
            self.take_event(event, ctx);
        }
        self.painted = Instant::now();
        for answer in self.dialogs.answers() {
            self.take_answer(answer, ctx);
        }
        while let Ok(event) = self.files.1.try_recv() {
            match event {
                FileEvent::Project(path, project) => self.open_project(path, *project, ctx),
                FileEvent::Saved(path) => self.show_toast(ToastOf::Written(path), ctx),
                FileEvent::Failed(failure) => self.failure = Some(failure),
            }
        }
    }

    /// How long the next frame of the window may wait for a picture. Where the window is painted by the processors that also
    /// make the pictures, a frame for every motion of the pointer would leave nothing for them.
    fn patience(&self) -> Duration {
        let shares_processors = self.easel.as_ref().is_some_and(Easel::is_software);
        match shares_processors && !self.worker.is_idle() {
            true => FRAME_WITHOUT_PICTURE.saturating_sub(self.painted.elapsed()),
            false => Duration::ZERO,
        }
    }

    fn take_event(&mut self, event: Event, ctx: &Context) {
        match event {
            Event::Device { label, note } => self.device = (label, note),
            Event::Opened { info, source, .. } => self.opened(info, source, ctx),
            Event::Factorized(set) => {
                if let Some(model) = &mut self.model
                    && Selection::of(&set) == model.shown.selection
                {
                    model.shown.set = Some(set);
                }
            }
            Event::Rendered { frame, purpose } => self.take_frame(frame, purpose),
            Event::Exported { path } => {
                self.finish(Task::Export);
                self.show_toast(ToastOf::Written(path), ctx);
            }
            Event::Progress { progress, .. } => self.work.progress = Some(progress),
            Event::Cancelled(task) => {
                self.finish(task);
                self.stay_as_read(task);
                self.pending = self.pending.take().filter(|_| task != Task::Open);
            }
            Event::Failed { task, headline, causes } => {
                self.finish(task);
                self.stay_as_read(task);
                if task == Task::Render {
                    self.render_failure = Some(Failure { headline, causes });
                    return;
                }
                self.failure = Some(match (&self.pending, task) {
                    (Some((path, project)), Task::Open) => {
                        let model = &project.model;
                        let needed = format!(
                            "The edit in {} needs the model {} ({}), which was at {}. Open that model, and the edit follows.",
                            path.display(),
                            model.name,
                            model.family,
                            model.source
                        );
                        Failure { headline: needed, causes: [vec![headline], causes].concat() }
                    }
                    _ => Failure { headline, causes },
                });
            }
        }
    }

    fn finish(&mut self, task: Task) {
        let count = match task {
            Task::Open => &mut self.work.opening,
            Task::Export => &mut self.work.exporting,
            Task::Factorize | Task::Render => return,
        };
        *count = count.saturating_sub(1);
        if self.work.opening + self.work.exporting == 0 {
            self.work.progress = None;
        }
    }

    /// The model could not be read as a person said: it is as it was, and what was said is not tried again.
    fn stay_as_read(&mut self, task: Task) {
        if task == Task::Open
            && std::mem::take(&mut self.work.rereading)
            && let Some(model) = &self.model
        {
            self.preferences.recipes.remove(&model.info.identity);
        }
    }

    fn take_frame(&mut self, frame: Frame, purpose: Purpose) {
        let current = self.model.as_ref().is_some_and(|model| model.info.identity == frame.model);
        if !current {
            return;
        }
        if purpose == Purpose::Edit {
            self.render_failure = None;
        }
        let slot = match purpose {
            Purpose::Edit => &mut self.surface,
            Purpose::Compare => &mut self.comparison,
        };
        *slot = Some(Surface::show(slot.take(), frame, self.easel.as_ref()));
    }

    fn show_toast(&mut self, of: ToastOf, ctx: &Context) {
        let until = ctx.input(|input| input.time) + TOAST_SECONDS;
        self.toast = Some(Toast { of, until });
    }

    fn opened(&mut self, info: Arc<ModelInfo>, source: Source, ctx: &Context) {
        let asked_for = self.work.opening > 0;
        self.finish(Task::Open);
        let reopened = self.model.as_ref().is_some_and(|model| model.info.identity == info.identity);
        if let (true, false, Some(model)) = (reopened, asked_for, &mut self.model) {
            // The worker moved to another device by itself: the edit stays, and is asked for again.
            (model.asked, model.sent, model.sent_comparison) = (None, None, None);
            return;
        }
        (self.failure, self.render_failure) = (None, None);
        if std::mem::take(&mut self.work.rereading) && info.check(&self.document.edit).is_ok() {
            self.reread(info);
            return;
        }
        self.keep_names();
        self.preferences.remember(&source, &info);
        let names = self.preferences.names_of(&info);
        let seed = match &source {
            Source::Example(example) => example.first_seed(),
            Source::File(_) | Source::Network { .. } | Source::Told { .. } => 0,
        };
        self.document = Document { edit: info.start(seed), names };
        let fitting = self.pending.take_if(|(_, project)| project.model.identity == info.identity);
        let stated = fitting.as_ref().and_then(|(_, project)| project.model.recipe.clone());
        if let Some((path, project)) = fitting {
            self.adopt(&path, project, &info);
        } else if let Some((path, project)) = &self.pending {
            let model = &project.model;
            let headline = format!(
                "The edit in {} was made with another model: {} ({}). Open that one, and the edit follows.",
                path.display(),
                model.name,
                model.family
            );
            let causes = vec![format!("it was at {}", model.source)];
            self.failure = Some(Failure { headline, causes });
        }
        if source.file().is_some() {
            self.show_toast(ToastOf::Opened(info.clone()), ctx);
        }
        self.history = History::new(&self.document);
        self.comparison = None;
        self.view.fit();
        // What the edit says, or else what a person said of this model before, comes before what the file was read as.
        let own = stated.as_ref().or(self.preferences.recipes.get(&info.identity));
        let own = own.filter(|recipe| info.recipe.as_ref().is_some_and(|read| read != *recipe)).cloned();
        self.model = Some(start(info, source, &self.document.edit));
        if let Some(recipe) = own {
            self.reread_as(FormAnswer::Read(recipe.into()));
        }
    }

    /// The present model, read in another way: everything that was made of it is made again, the edit stays.
    fn reread(&mut self, info: Arc<ModelInfo>) {
        self.comparison = None;
        if let Some(model) = &mut self.model {
            model.info = info;
            model.shown.set = None;
            (model.asked, model.sent, model.sent_comparison) = (None, None, None);
        }
    }

    /// What Space shows.
    pub(super) fn comparison_edit(&self) -> Option<Edit> {
        let model = self.model.as_ref()?;
        Some(model.reference.clone().unwrap_or_else(|| self.document.edit.unedited()))
    }

    /// The end of a frame: whatever the picture or the list no longer answers is asked for.
    pub(super) fn send_what_changed(&mut self, ctx: &Context, comparing: bool) {
        let (now, pressed) = ctx.input(|input| (input.time, input.pointer.any_down()));
        self.worker.expect_edits(pressed);
        if let Some(wait) = self.history.watch(&self.document, now, pressed) {
            ctx.request_repaint_after(wait);
        }
        self.set_title(ctx);
        let comparison = self.comparison_edit();
        let Some(model) = &mut self.model else { return };
        // While another model is being opened, whatever is sent would be answered by that one.
        if self.work.opening > 0 {
            return;
        }
        let edit = &self.document.edit;
        if model.sent.as_ref() != Some(edit) {
            self.worker.send(Job::Render { edit: edit.clone(), purpose: Purpose::Edit });
            model.sent = Some(edit.clone());
        }
        let selection = &model.shown.selection;
        if model.asked.as_ref().is_none_or(|(asked, _)| asked != selection) {
            let Selection { layers, method: Method::Sefa { weighting } } = selection.clone();
            self.worker.send(Job::Factorize { layers, weighting });
            model.asked = Some((selection.clone(), now));
        }
        let answered = model.shown.is_current();
        let since = model.asked.as_ref().map_or(now, |(_, since)| *since);
        model.shown.stale = !answered && now - since > STALE_AFTER;
        if !answered && !model.shown.stale {
            ctx.request_repaint_after_secs(STALE_AFTER as f32);
        }
        // Made while nothing else is to do, so that Space answers at once.
        let idle = !pressed && edit.is_moved() && self.worker.is_idle();
        if (comparing || idle) && comparison != model.sent_comparison && comparison.as_ref() != Some(edit) {
            if let Some(edit) = comparison.clone() {
                self.worker.send(Job::Render { edit, purpose: Purpose::Compare });
            }
            model.sent_comparison = comparison;
        }
    }

    fn set_title(&mut self, ctx: &Context) {
        let title = match self.model() {
            Some(info) if info.carries_code => format!("{} · {CARRIES_CODE}", menu::title(info)),
            Some(info) => menu::title(info),
            None => super::NAME.to_owned(),
        };
        if title != self.title {
            ctx.send_viewport_cmd(egui::ViewportCommand::Title(title.clone()));
            self.title = title;
        }
    }
}

/// A model as it is first shown: its bottom layers, or those of the edit's first move.
fn start(info: Arc<ModelInfo>, source: Source, edit: &Edit) -> Model {
    let group = if info.num_layers > 1 { Group::Bottom } else { Group::All };
    let layers = info.group(group).unwrap_or_else(|| crate::edit::LayerSet::range(0, 0));
    let mut selection = Selection { layers, method: Method::default() };
    if let Some(first) = edit.moves.first() {
        selection.go_to(&first.direction);
    }
    let shown = Shown { selection, rows: PAGE, set: None, stale: false };
    Model { info, source, shown, asked: None, sent: None, sent_comparison: None, reference: None, reading_seen: false }
}
