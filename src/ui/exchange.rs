//! The window, its worker and its threads for files: what is sent when, and what becomes of the answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use egui::Context;

use super::app::{App, ModelComponents, OpenModel};
use super::asking::Taken;
use super::dialogs::Ask;
use super::document::{Document, History, Selection};
use super::facts::CARRIES_CODE;
use super::importing::Foreign;
use super::keeping::{Place, RecentDocument};
use super::librarian::Changes;
use super::looks::Look;
use super::menu;
use super::messages::{About, Note};
use super::player::Player;
use super::reading::FormAnswer;
use super::running::{Opening, Purpose, Running, Stopped};
use super::semantics::{PAGE, ShownDirections, TypicalEnds};
use super::surface::PicturePipeline;
use super::waiting::WaitingEdit;
use crate::directions::Method;
use crate::edit::Edit;
use crate::failure::Failure;
use crate::files::Doubt;
use crate::generator::{Group, ModelInfo};
use crate::gpu::Precision;
use crate::invert::Photo;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::render::{Source, ViewId};
use crate::store::{Session, SessionFile};
use crate::tasks::{MOST_NUMBERS, Outcome, Task, Typicality};
use crate::worker::{Event, EventKind, Job, JobId, ModelId};

/// A dozen frames a second are enough for sliders to keep up with the hand until a picture comes.
const FRAME_WITHOUT_PICTURE: Duration = Duration::from_millis(80);
/// A model is open for so long before its codes are looked at, which nobody asked for.
const OPENED_FOR: Duration = Duration::from_secs(2);
/// Where many small pictures are made together, each frame of the window takes a good part of the time of all.
const FRAME_WITHOUT_ROUND: Duration = Duration::from_millis(200);

/// What became of reading or writing a small file on a thread.
pub(super) enum FileEvent {
    /// An edit was read, and what speaks against opening its model unasked.
    Project(Box<WaitingEdit>, Option<Doubt>),
    Session(Box<(SessionFile, Session)>),
    Saved {
        path: PathBuf,
        document: Box<Document>,
        modified: Option<SystemTime>,
    },
    /// A place to write to was looked at.
    Chosen(Ask, PathBuf, Taken),
    RecentDocuments(Vec<RecentDocument>),
    /// What a file that may hold directions turned out to be.
    Foreign(PathBuf, Foreign),
    Photo(PathBuf, Box<Photo>),
    /// What a view shows was written.
    Written(PathBuf),
    Failed(Failure),
    /// Something that was kept without anybody asking could not be; what the user asked for stays in sight.
    Told(Failure),
}

/// Wakes the window from another thread.
pub(super) fn wake(ctx: &egui::Context) -> Box<dyn Fn() + Send + Sync> {
    let ctx = ctx.clone();
    Box::new(move || ctx.request_repaint())
}

impl App {
    /// Takes in everything that happened elsewhere since the last frame.
    pub(super) fn take_events(&mut self, ctx: &Context) {
        // Asked first: whoever is dead by now has said why.
        let is_alive = self.background.is_alive();
        let until = Instant::now() + self.patience();
        loop {
            let events = self.background.events(until.saturating_duration_since(Instant::now()));
            // A few tiles of many are no reason to paint the window where that takes their makers' time.
            let is_part = |event: &Event| matches!(event.kind, EventKind::Tiles { left, .. } if left > 0);
            let is_done = events.is_empty() || !events.iter().all(is_part);
            for event in events {
                self.take_event(event, ctx);
            }
            if is_done || Instant::now() >= until {
                break;
            }
        }
        if self.work.stopped.is_none() && !is_alive {
            self.engine_stopped(Failure::new("The engine stopped unexpectedly"));
        }
        for answer in self.librarian.answers() {
            match answer {
                Ok(Changes { kept, theirs }) => {
                    self.history.follow(&mut self.document, |library| library.follow(&kept, &theirs));
                }
                Err(error) => self.notices.failure = Some(Failure::of(&error)),
            }
        }
        self.painted = Instant::now();
        for answer in self.dialogs.answers() {
            self.take_answer(answer, ctx);
        }
        while let Ok(event) = self.files.1.try_recv() {
            match event {
                FileEvent::Project(waiting, doubt) => self.open_project(*waiting, doubt, ctx),
                FileEvent::Session(taken) => self.reopen(taken.0, taken.1, None, ctx),
                FileEvent::Saved { path, document, modified } => {
                    self.say(About::Saved(path.clone()), ctx);
                    self.saved(path, *document, modified);
                }
                FileEvent::Chosen(ask, path, taken) => self.write_to(ask, path, taken, ctx),
                FileEvent::Written(path) => self.say(About::Exported(path), ctx),
                FileEvent::Photo(path, photo) => self.show_photo(path, *photo, ctx),
                FileEvent::Foreign(path, foreign) => self.take_foreign(path, foreign, ctx),
                FileEvent::RecentDocuments(documents) => self.keeping.recent = documents,
                FileEvent::Failed(failure) => self.notices.failure = Some(failure),
                FileEvent::Told(failure) if self.notices.told.contains(&failure) => {}
                FileEvent::Told(failure) => self.notices.told.push(failure),
            }
        }
    }

    /// How long the next frame of the window may wait for a picture. Where the window is painted by the processors that also
    /// make the pictures, a frame for every motion of the pointer would leave nothing for them.
    fn patience(&self) -> Duration {
        let shares_processors = self.picture_pipeline.as_ref().is_some_and(PicturePipeline::is_software);
        if !shares_processors || self.background.is_idle() {
            return Duration::ZERO;
        }
        let longest = if self.tiles.are_live() { FRAME_WITHOUT_ROUND } else { FRAME_WITHOUT_PICTURE };
        longest.saturating_sub(self.painted.elapsed())
    }

    /// An event is of the job that it names, whatever else is under way.
    fn take_event(&mut self, Event { job, kind }: Event, ctx: &Context) {
        match kind {
            EventKind::Device(facts) => self.device = facts,
            EventKind::Progress(progress) => self.progressed(job, progress),
            EventKind::Nearer(progress, glimpse) => self.came_nearer(job, progress, *glimpse, ctx),
            EventKind::Measured(progress, findings) => self.measured(job, progress, *findings),
            EventKind::Opened { info, source, .. } => self.opened(job, info, source, ctx),
            EventKind::Stored => self.work.storing = self.work.storing.take_if(|(storing, _)| *storing != job),
            EventKind::Factorized(set) => {
                if let Some(model) = &mut self.model
                    && model.asked.as_ref().is_some_and(|asked| asked.job == job)
                {
                    if self.document.library.is_without_vectors(&set) {
                        self.history.follow(&mut self.document, |library| library.complete(&set));
                    }
                    model.directions.set = Some(set);
                }
            }
            EventKind::Rendered { view, frame } => self.views.show(job, view, frame, self.picture_pipeline.as_ref()),
            EventKind::Tiles { made, left } => self.tiles.take(job, made, left),
            EventKind::Done(outcome) => {
                self.work.tasks.retain(|task| task.job != job);
                match outcome {
                    Outcome::Written(path) => self.say(About::Exported(path), ctx),
                    Outcome::Components { samples, seed, components } => {
                        self.found_components(job, Method::Pca { samples, seed }, components);
                    }
                    Outcome::Found(found) => self.found_photo(job, *found),
                    Outcome::Typical(set) => {
                        if let Some(model) =
                            self.model.as_mut().filter(|model| model.directions.typical.job == Some(job))
                        {
                            model.directions.typical.set = Some(set);
                        }
                    }
                    Outcome::Learned { name, learned } => self.learned(name, &learned, ctx),
                    Outcome::Measured(findings) => self.measured_all(job, *findings),
                }
            }
            EventKind::Superseded | EventKind::Cancelled => self.ended(job, None),
            EventKind::Failed(failure) => self.ended(job, Some(failure)),
            EventKind::Stopped(failure) => self.engine_stopped(failure),
        }
    }

    pub(super) fn progressed(&mut self, job: JobId, progress: Progress) {
        let openings = self.work.openings.iter_mut().map(|opening| &mut opening.running);
        if let Some(running) = openings.chain(&mut self.work.tasks).find(|running| running.job == job) {
            running.report(progress);
        }
    }

    /// A job came to its end without what it was for; without a failure it was stopped.
    fn ended(&mut self, job: JobId, failure: Option<Failure>) {
        if self.views.end(job, failure.as_ref()) || self.tiles.end(job, failure.is_some()) {
            return;
        }
        self.ended_search(job);
        self.looks.analysis.end(job);
        if self.ended_components(job, failure.as_ref()) {
            return;
        }
        if let Some(model) = &mut self.model
            && let Some(asked) = model.asked.as_mut().filter(|asked| asked.job == job)
        {
            asked.has_failed = true;
            model.directions.failure = failure;
            return;
        }
        if let Some(position) = self.work.openings.iter().position(|opening| opening.running.job == job) {
            // The model could not be read as a person said: that is not tried again.
            if let Purpose::Again { recipe_of: Some(identity) } = self.work.openings.remove(position).purpose {
                self.preferences.recipes.remove(&identity);
            }
        } else if let Some((_, before)) = self.work.storing.take_if(|(storing, _)| *storing == job) {
            self.preferences.precision = before;
        } else if let Some(position) = self.work.tasks.iter().position(|task| task.job == job) {
            self.work.tasks.remove(position);
        } else {
            // Of a model that is closed.
            return;
        }
        self.notices.failure = failure.or(self.notices.failure.take());
    }

    /// Nothing that was asked will be answered: only what the user made is left.
    fn engine_stopped(&mut self, failure: Failure) {
        let unfinished: Vec<String> =
            self.work.tasks.drain(..).map(|task| format!("{} was not finished", task.name)).collect();
        let causes = [failure.causes, unfinished].concat();
        self.work.stopped =
            Some(Stopped { failure: Failure { causes, ..failure }, interrupted: self.work.openings.pop() });
        self.work.openings.clear();
        self.work.storing = None;
        self.forget_components();
        self.stop_search();
    }

    /// Starts the engine again and opens what was open, or was being opened.
    pub(super) fn restart(&mut self, ctx: &Context) {
        let Some(stopped) = self.work.stopped.take() else { return };
        match (self.start_background)(wake(ctx)) {
            Ok(background) => self.background = background,
            Err(error) => {
                self.notices.failure = Some(Failure::of(&error).under("The engine cannot be started again"));
                self.work.stopped = Some(stopped);
                return;
            }
        }
        self.store_in(self.preferences.precision, Precision::default());
        if let Some(model) = &self.model {
            let own = self.preferences.recipes.get(&model.info.identity);
            let (source, recipe) = (model.source.clone(), own.cloned().map(Box::new));
            self.start_opening(source, recipe, Purpose::Again { recipe_of: None });
        }
        if let Some(Opening { source, recipe, purpose, .. }) = stopped.interrupted {
            let job = self.background.send(Job::Open { source: source.clone(), recipe: recipe.clone() });
            self.await_opening(job, source, recipe, purpose);
        }
    }

    /// Opens a model instead of those that are being opened.
    pub(super) fn start_opening(&mut self, source: Source, recipe: Option<Box<Recipe>>, purpose: Purpose) {
        for opening in &self.work.openings {
            self.background.cancel(opening.running.job);
        }
        let job = self.background.send(Job::Open { source: source.clone(), recipe: recipe.clone() });
        self.await_opening(job, source, recipe, purpose);
    }

    fn await_opening(&mut self, job: JobId, source: Source, recipe: Option<Box<Recipe>>, purpose: Purpose) {
        let running = Running::new(job, format!("Opening {}", source.short_name()), "opening");
        self.work.openings.push(Opening { running, source, recipe, purpose });
    }

    /// Has models stored in another precision than before.
    pub(super) fn store_in(&mut self, precision: Precision, before: Precision) {
        self.preferences.precision = precision;
        if precision != before {
            self.work.storing = Some((self.background.send(Job::Store(precision)), before));
        }
    }

    /// Runs a task with the open model.
    pub(super) fn run(&mut self, task: impl Task + 'static) {
        if let Some(model) = self.model.as_ref().map(|model| model.id) {
            self.run_with(model, task);
        }
    }

    pub(super) fn run_with(&mut self, model: ModelId, task: impl Task + 'static) -> JobId {
        let name = task.name();
        let job = self.background.send(Job::Run { model, task: Box::new(task) });
        self.work.tasks.push(Running::new(job, name, "waiting"));
        job
    }

    pub(super) fn say(&mut self, about: About, ctx: &Context) {
        self.notices.messages.say(about.text());
        self.notices.note = Some(Note::new(about, ctx.input(|input| input.time)));
    }

    /// From now on this model is the open one, whoever asked for it.
    fn opened(&mut self, job: JobId, info: Arc<ModelInfo>, source: Source, ctx: &Context) {
        let id = ModelId::opened_by(job);
        let opening = self.work.openings.iter().position(|opening| opening.running.job == job);
        let opening = opening.map(|position| self.work.openings.remove(position));
        let is_stored = self.work.storing.take_if(|(storing, _)| *storing == job).is_some();
        let is_again = is_stored || opening.is_some_and(|opening| opening.purpose != Purpose::Begin);
        if is_again && self.model.is_some() && info.check(&self.document.edit).is_ok() {
            self.opened_again(id, info, source);
            return;
        }
        self.librarian.finish(&self.document.library);
        self.leave_document(ctx);
        self.preferences.remember(&source, &info);
        let (library, unread) = self.librarian.open(&info, self.preferences.names.get(&info.identity));
        self.notices.failure = None;
        let seed = match &source {
            Source::Example(example) => example.first_seed(),
            Source::File(_) | Source::Network { .. } | Source::Told { .. } => 0,
        };
        tracing::info!("opened {source}: {} {}", info.family, info.identity);
        let names = info.direction_names.clone();
        let document = Document { edit: info.start(seed), names, library, ..Document::default() };
        if source.file().is_some() {
            self.say(About::Opened(info.clone()), ctx);
        }
        self.views.clear();
        self.player = None;
        self.strips.clear();
        self.tiles.clear();
        self.forget_components();
        self.forget_search(&info);
        self.looks.analysis.clear();
        self.looks.samples.forget_marks();
        self.placement.fit();
        self.history = History::new(&document);
        self.model = Some(start(id, info.clone(), source, &document.edit));
        self.begin_document(document.clone(), Place { saved: Some(document), ..Place::default() });
        let fitting = self.waiting.take_if(|waiting| waiting.project.model.identity == info.identity);
        let stated = fitting.as_ref().and_then(|waiting| waiting.project.model.recipe.clone());
        if let Some(waiting) = fitting {
            self.adopt(waiting, &info, ctx);
        }
        self.notices.failure = self.notices.failure.take().or_else(|| unread.map(|error| Failure::of(&error)));
        // What the edit says, or else what a person said of this model before, comes before what the file was read as.
        let own = stated.as_ref().or(self.preferences.recipes.get(&info.identity));
        let own = own.filter(|recipe| info.recipe.as_ref().is_some_and(|read| read != *recipe)).cloned();
        if let Some(recipe) = own {
            self.reread_as(FormAnswer::Read(recipe.into()));
        }
    }

    /// The present model, read or stored in another way: everything that was made of it is made again, the edit stays.
    fn opened_again(&mut self, id: ModelId, info: Arc<ModelInfo>, source: Source) {
        self.views.ask_again();
        self.strips.clear();
        self.tiles.clear();
        self.forget_components();
        self.preferences.remember(&source, &info);
        if let Some(model) = &mut self.model {
            (model.id, model.info, model.source) = (id, info, source);
            (model.directions.set, model.directions.failure, model.asked) = (None, None, None);
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
        self.background.expect_edits(pressed);
        self.background.look_at(if comparing { ViewId::COMPARISON } else { ViewId::PICTURE });
        if let Some(wait) = self.history.watch(&self.document, now, pressed) {
            ctx.request_repaint_after(wait);
        }
        if let Some(wait) = (!pressed).then(|| self.librarian.keep(&self.document.library, now)).flatten() {
            ctx.request_repaint_after(wait);
        }
        self.set_title(ctx);
        self.learn_what_is_typical(ctx);
        self.ask_for_directions(ctx, now);
        let comparison = self.comparison_edit();
        self.follow_player(ctx, now);
        let Some(model) = self.model.as_ref().filter(|_| self.work.stopped.is_none()) else { return };
        let edit = self.player.as_ref().map_or(&self.document.edit, Player::edit);
        // Where many samples follow the hand, the one picture would only take their turn.
        if !(pressed && self.looks.look == Look::Samples) {
            self.views.ask(ViewId::PICTURE, edit, model.id, &*self.background);
        }
        let comparing = comparing || self.looks.look == Look::Compare;
        // Made while nothing moves, so that Space answers at once.
        let soon = !pressed && edit.is_moved();
        if let Some(comparison) = comparison.filter(|comparison| (comparing || soon) && comparison != edit) {
            self.views.ask(ViewId::COMPARISON, &comparison, model.id, &*self.background);
        }
        if let Some(wait) = self.tiles.send(edit, pressed, now, model.id, &*self.background) {
            ctx.request_repaint_after_secs(wait);
        }
    }

    /// Once a model is open and nothing else is to be done, finds out how far its sliders stay typical.
    fn learn_what_is_typical(&mut self, ctx: &Context) {
        let Some(model) = &self.model else { return };
        let is_asked = model.directions.typical.job.is_some() || model.info.code_dim() > MOST_NUMBERS;
        if is_asked || self.work.stopped.is_some() {
            return;
        }
        let rest = OPENED_FOR.saturating_sub(model.directions.typical.since.elapsed());
        if !rest.is_zero() || !self.background.is_idle() {
            ctx.request_repaint_after(rest.max(FRAME_WITHOUT_PICTURE));
            return;
        }
        let id = model.id;
        let job = self.run_with(id, Typicality::default());
        if let Some(model) = &mut self.model {
            model.directions.typical.job = Some(job);
        }
    }

    fn set_title(&mut self, ctx: &Context) {
        let model = match self.model() {
            Some(info) if info.carries_code => format!("{} · {CARRIES_CODE}", menu::title(info)),
            Some(info) => menu::title(info),
            None => super::NAME.to_owned(),
        };
        let title = format!("{}{model}", self.file_shown());
        if title != self.title {
            ctx.send_viewport_cmd(egui::ViewportCommand::Title(title.clone()));
            self.title = title;
        }
    }
}

/// A model as it is first shown: its bottom layers, or those of the edit's first move.
fn start(id: ModelId, info: Arc<ModelInfo>, source: Source, edit: &Edit) -> OpenModel {
    let group = if info.num_layers > 1 { Group::Bottom } else { Group::All };
    let layers = info.group(group).unwrap_or_else(|| crate::edit::LayerSet::range(0, 0));
    let mut selection = Selection { layers, method: Method::default() };
    if let Some(first) = edit.moves.first() {
        selection.go_to(&first.direction);
    }
    let directions = ShownDirections {
        selection,
        rows: PAGE,
        set: None,
        stale: false,
        failure: None,
        search: None,
        shows_hidden: false,
        revealed: None,
        typical: TypicalEnds::default(),
        touched: None,
        influence: None,
    };
    let components = ModelComponents::default();
    OpenModel { id, info, source, directions, asked: None, components, own: None, reference: None, reading_seen: false }
}
