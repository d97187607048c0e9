//! The thread: takes what is next, does it, and says so.

use std::collections::HashMap;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::protocol::{DeviceFacts, EventKind, Job, JobId, ModelId};
use super::queue::{Begun, Work};
use super::shared::Shared;
use crate::directions::DirectionSet;
use crate::edit::Edit;
use crate::export::ExportError;
use crate::failure::Failure;
use crate::generator::ModelInfo;
use crate::gpu::{self, Precision, RenderDevice};
use crate::progress::{CancelToken, Cancelled};
use crate::recipe::Recipe;
use crate::render::{Engine, Frame, FrameImage, Picture, RenderError, Screen, Source, TileResult, ViewId};
use crate::tasks::{Step, TaskError};

/// Two frames of a 60 Hz screen: a picture that takes longer is felt to lag behind the hand.
const PREVIEW_AFTER: Duration = Duration::from_millis(33);
/// Of the time between two parts of an opening, what the open model gets if it asks without end.
const FOR_VIEWS: Duration = Duration::from_millis(100);
/// More reports a second than this nobody reads.
const REPORT_EVERY: Duration = Duration::from_millis(50);

/// Works until the window is closed. Whatever ends it, the window is told.
pub(super) fn run(device: impl FnOnce() -> RenderDevice, shared: &Arc<Shared>) {
    let outcome = catch_unwind(AssertUnwindSafe(|| EngineThread::new(device(), shared).work()));
    let failure = outcome.err().map(|panic| {
        let reason = gpu::reason_of(&*panic).to_owned();
        Failure { headline: "The engine stopped unexpectedly".into(), causes: vec![reason] }
    });
    shared.ended(failure);
}

/// A model, and what opens it again.
struct OpenModel {
    id: ModelId,
    engine: Engine,
    source: Source,
    recipe: Option<Box<Recipe>>,
}

struct EngineThread<'a> {
    shared: &'a Arc<Shared>,
    /// Where models are opened from now on.
    device: RenderDevice,
    screen: Option<Screen>,
    open: Option<OpenModel>,
    /// Models that were open before, for their tasks.
    kept: Vec<OpenModel>,
    /// Whole pictures take longer than the hand notices.
    is_slow: bool,
    /// When each job that goes on last said how far it is.
    reported: HashMap<JobId, Instant>,
    /// A picture that was made while a model is opened failed badly: the others wait until it is open.
    views_wait: bool,
}

/// How an attempt ended that did not fail.
enum JobAnswer {
    Last(EventKind),
    /// A model that takes the place of the open one, and what is said then.
    Opened(Box<OpenModel>, EventKind),
    /// There is more to do.
    Unfinished,
}

/// Why a job was not done.
enum Trouble {
    Cancelled,
    Failed(Failure),
    /// A panic, or tensors that could not be read: the job's fault, or the device's.
    Suspect(String),
}

impl<'a> EngineThread<'a> {
    fn new(device: RenderDevice, shared: &'a Arc<Shared>) -> Self {
        let screen = device.wgpu().map(Screen::new);
        EngineThread {
            shared,
            device,
            screen,
            open: None,
            kept: Vec::new(),
            is_slow: false,
            reported: HashMap::new(),
            views_wait: false,
        }
    }

    fn work(mut self) {
        self.announce_device();
        while let Some(work) = self.shared.next() {
            self.answer(work);
            self.kept.retain(|model| self.shared.needs(model.id));
        }
    }

    fn announce_device(&self) {
        self.shared.say(JobId::THREAD, EventKind::Device(facts_of(&self.device)));
    }

    /// Does one job, or a part of it; if the GPU is lost under it, goes on with the CPU and does it again there.
    fn answer(&mut self, mut work: Work) {
        let mut outcome = self.attempt(&mut work);
        if let Err(Trouble::Suspect(reason)) = &outcome
            && self.device.wgpu().is_some()
            && !self.device.is_alive()
        {
            self.move_to_cpu(reason);
            outcome = self.attempt(&mut work);
        }
        let view = if let Job::Render { view, .. } = work.job { Some(view) } else { None };
        if self.close(work, outcome)
            && let Some(view) = view
        {
            self.shared.wait_for_newer(view);
        }
    }

    /// Says how an attempt ended. True if the job goes on.
    fn close(&mut self, work: Work, outcome: Result<JobAnswer, Trouble>) -> bool {
        let kind = match outcome {
            Ok(JobAnswer::Unfinished) => {
                self.shared.give_back(work);
                return true;
            }
            Ok(JobAnswer::Opened(model, kind)) => {
                self.reported.remove(&work.id);
                self.put_in_place(work.id, *model, kind);
                return false;
            }
            Ok(JobAnswer::Last(kind)) => kind,
            Err(Trouble::Cancelled) => EventKind::Cancelled,
            Err(Trouble::Failed(failure)) => EventKind::Failed(failure),
            Err(Trouble::Suspect(reason)) => EventKind::Failed(Failure {
                headline: "Something in the engine went wrong; the rest of it goes on".into(),
                causes: vec![reason],
            }),
        };
        self.reported.remove(&work.id);
        self.shared.finish(work.id, kind);
        false
    }

    fn attempt(&mut self, work: &mut Work) -> Result<JobAnswer, Trouble> {
        // A panic is logged with it.
        let _doing = tracing::info_span!("engine", job = ?work.job).entered();
        // burn and wgpu report lost devices and exhausted memory by panicking. Engines stay sound: a stage's output is
        // stored only when it is complete.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.perform(work)));
        outcome.unwrap_or_else(|panic| Err(Trouble::Suspect(gpu::reason_of(&*panic).to_owned())))
    }

    /// Everything that lay on the GPU is forgotten; models are opened again when they are next needed.
    fn move_to_cpu(&mut self, reason: &str) {
        let label = self.device.label();
        let first_line = reason.lines().next().unwrap_or_default();
        let note = format!("{label} failed ({first_line}); pictures are made on the CPU now");
        self.device = RenderDevice::cpu(Some(note));
        let screen = self.screen.take();
        let lost = self.open.iter_mut().chain(&mut self.kept).map(|model| {
            let fresh = engine_on(self.device.clone(), self.shared);
            std::mem::replace(&mut model.engine, fresh)
        });
        let lost: Vec<Engine> = lost.collect();
        // What lay on a lost device may panic once more when it goes.
        let _ = catch_unwind(AssertUnwindSafe(|| drop((screen, lost))));
        self.announce_device();
    }

    fn perform(&mut self, work: &mut Work) -> Result<JobAnswer, Trouble> {
        let Work { id, job, cancel, begun, keeps_turn } = work;
        if let Some(model) = job.model() {
            self.reopen_if_lost(*id, model, cancel)?;
        }
        match job {
            Job::Open { source, recipe } => self.load(*id, self.device.clone(), source.clone(), recipe.clone(), cancel),
            Job::Store(precision) => self.store(*id, *precision, cancel),
            Job::Factorize { model, layers, weighting } => {
                let basis = self.engine(*model)?.factorize(layers, *weighting)?;
                Ok(JobAnswer::Last(EventKind::Factorized(Arc::new(DirectionSet::from(&*basis)))))
            }
            Job::Render { model, view, edit } => self.render(*id, *model, *view, edit, begun),
            Job::Tiles { model, base, side, exact, wanted } => {
                let edits: Vec<&Edit> = wanted.iter().collect();
                match self.engine(*model)?.first_tiles(&edits, *side, Some(*base), *exact) {
                    Ok(tiles) => Ok(self.hand_over(*id, wanted, tiles)),
                    Err(RenderError::Interrupted) => Ok(JobAnswer::Unfinished),
                    Err(error) => Err(error.into()),
                }
            }
            Job::Run { model, task } => match task.step(self.engine(*model)?) {
                Ok(Step::More(progress)) => {
                    self.report(*id, EventKind::Progress(progress));
                    Ok(JobAnswer::Unfinished)
                }
                Ok(Step::Nearer(progress, glimpse)) => {
                    self.report(*id, EventKind::Nearer(progress, glimpse));
                    Ok(JobAnswer::Unfinished)
                }
                Ok(Step::Measured(progress, findings)) => {
                    self.report(*id, EventKind::Measured(progress, findings));
                    Ok(JobAnswer::Unfinished)
                }
                Ok(Step::Done(outcome)) => Ok(JobAnswer::Last(EventKind::Done(outcome))),
                Err(error) if matches!(error.render(), Some(RenderError::Interrupted)) => {
                    *keeps_turn = true;
                    Ok(JobAnswer::Unfinished)
                }
                Err(error) => Err(error.into()),
            },
        }
    }

    fn engine(&mut self, model: ModelId) -> Result<&mut Engine, RenderError> {
        let found = self.open.iter_mut().chain(&mut self.kept).find(|open| open.id == model);
        found.map(|open| &mut open.engine).ok_or(RenderError::NoModel)
    }

    /// Opens a model again that lay on a lost device.
    fn reopen_if_lost(&mut self, job: JobId, model: ModelId, cancel: &CancelToken) -> Result<(), Trouble> {
        let shared = self.shared;
        let found = self.open.iter_mut().chain(&mut self.kept).find(|open| open.id == model);
        let Some(model) = found.filter(|open| open.engine.info().is_none()) else { return Ok(()) };
        let mut report = |progress| {
            shared.say(job, EventKind::Progress(progress));
            cancel.check()
        };
        model.engine.open_as(&model.source, json(model.recipe.as_deref()).as_deref(), &mut report)?;
        Ok(())
    }

    fn store(&mut self, id: JobId, precision: Precision, cancel: &CancelToken) -> Result<JobAnswer, Trouble> {
        let device = self.device.clone().with_precision(precision);
        let is_other = device.place().precision() != self.device.place().precision();
        let open = self.open.as_ref().filter(|_| is_other).map(|open| (open.source.clone(), open.recipe.clone()));
        match open {
            // If it fails, the model stays and is stored as before.
            Some((source, recipe)) => self.load(id, device, source, recipe, cancel),
            None => {
                self.device = device;
                self.announce_device();
                Ok(JobAnswer::Last(EventKind::Stored))
            }
        }
    }

    /// Opens a model beside the one that is open, which makes pictures meanwhile.
    fn load(
        &mut self,
        id: JobId,
        device: RenderDevice,
        source: Source,
        recipe: Option<Box<Recipe>>,
        cancel: &CancelToken,
    ) -> Result<JobAnswer, Trouble> {
        let start = Instant::now();
        let mut engine = engine_on(device, self.shared);
        self.views_wait = false;
        let mut report = |progress| {
            self.report(id, EventKind::Progress(progress));
            self.answer_views();
            cancel.check()
        };
        let info = engine.open_as(&source, json(recipe.as_deref()).as_deref(), &mut report)?;
        let kind = EventKind::Opened { info, source: source.clone(), took: start.elapsed() };
        Ok(JobAnswer::Opened(Box::new(OpenModel { id: ModelId::opened_by(id), engine, source, recipe }), kind))
    }

    /// An opened model takes the place of the one before, unless it was cancelled.
    fn put_in_place(&mut self, job: JobId, model: OpenModel, opened: EventKind) {
        let device = model.engine.device().clone();
        let is_same = (device.label(), device.note()) == (self.device.label(), self.device.note());
        if self.shared.finish_opening(job, opened, (!is_same).then(|| facts_of(&device))) {
            self.device = device;
            self.kept.extend(self.open.replace(model));
            self.is_slow = false;
        }
    }

    /// Pictures and directions that are asked of the open model while another one is being opened.
    fn answer_views(&mut self) {
        let start = Instant::now();
        while !self.views_wait
            && start.elapsed() < FOR_VIEWS
            && let Some(mut work) = self.shared.next_while_opening()
        {
            match self.attempt(&mut work) {
                // If the device is lost, the opening finds it out too; then this is done again on another one.
                Err(Trouble::Suspect(_)) => {
                    self.views_wait = true;
                    self.shared.give_back(work);
                }
                outcome => _ = self.close(work, outcome),
            }
        }
    }

    fn render(
        &mut self,
        id: JobId,
        model: ModelId,
        view: ViewId,
        edit: &Edit,
        begun: &mut Option<Begun>,
    ) -> Result<JobAnswer, Trouble> {
        let start = Instant::now();
        let begun = begun.get_or_insert(Begun { at: start, stages_run: 0 });
        let (shared, is_slow, device) = (self.shared, self.is_slow, self.device.device().clone());
        // A frame that takes longer than the hand notices, while something newer waits or is on its way.
        let is_late = || {
            if !shared.hurries(view) {
                return false;
            }
            // A GPU takes a whole picture's work at once; a slow one is waited for stage by stage. That it failed is found
            // out when the picture is read.
            if is_slow {
                let _ = device.sync();
            }
            start.elapsed() > PREVIEW_AFTER
        };
        let engine = self.engine(model)?;
        let info = engine.info().ok_or(RenderError::NoModel)?;
        let picture = engine.render_view(view, edit, is_late)?;
        let image = match &mut self.screen {
            Some(screen) => FrameImage::Texture(screen.show(&picture)?),
            None => FrameImage::Pixels(Arc::new(picture.to_pixels()?)),
        };
        let (ran, stages) = picture.stages_run();
        begun.stages_run += ran;
        let took = begun.at.elapsed();
        let stages_run = (begun.stages_run.min(stages), stages);
        let rendered = EventKind::Rendered { view, frame: frame(&info, edit, &picture, took, stages_run, image) };
        if picture.is_exact() {
            self.is_slow = took > PREVIEW_AFTER || is_slow && begun.stages_run < stages;
            return Ok(JobAnswer::Last(rendered));
        }
        self.shared.say(id, rendered);
        Ok(JobAnswer::Unfinished)
    }

    /// Says which tiles one pass has made, and takes them off those that are wanted.
    fn hand_over(&self, id: JobId, wanted: &mut Vec<Edit>, tiles: Vec<(usize, TileResult)>) -> JobAnswer {
        let mut wanted_still: Vec<Option<Edit>> = std::mem::take(wanted).into_iter().map(Some).collect();
        let made = tiles.into_iter().filter_map(|(at, tile)| {
            let edit = wanted_still.get_mut(at)?.take()?;
            Some((edit, tile.map_err(|error| Failure::of(&error))))
        });
        let made = made.collect();
        wanted.extend(wanted_still.into_iter().flatten());
        let kind = EventKind::Tiles { made, left: wanted.len() };
        if kind.is_last() {
            return JobAnswer::Last(kind);
        }
        self.shared.say(id, kind);
        JobAnswer::Unfinished
    }

    /// Says how far a job is, unless it was said just now.
    fn report(&mut self, job: JobId, progress: EventKind) {
        if self.reported.get(&job).is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
            self.reported.insert(job, Instant::now());
            self.shared.say(job, progress);
        }
    }
}

fn facts_of(device: &RenderDevice) -> DeviceFacts {
    DeviceFacts { label: device.label(), note: device.note(), precision: device.place().precision() }
}

/// An engine whose tasks and tiles make room for views.
fn engine_on(device: RenderDevice, shared: &Arc<Shared>) -> Engine {
    let mut engine = Engine::new(device);
    let shared = shared.clone();
    engine.interrupt_when(move || shared.interrupts_steps());
    engine
}

fn frame(
    info: &ModelInfo,
    edit: &Edit,
    picture: &Picture,
    took: Duration,
    stages_run: (usize, usize),
    image: FrameImage,
) -> Frame {
    Frame {
        model: info.identity.clone(),
        edit: edit.clone(),
        size: [info.size.width, info.size.height],
        is_exact: picture.is_exact(),
        took,
        stages_run,
        image,
    }
}

/// A recipe as text; none fails to become one.
fn json(recipe: Option<&Recipe>) -> Option<String> {
    recipe.and_then(|recipe| serde_json::to_string(recipe).ok())
}

impl From<Cancelled> for Trouble {
    fn from(_: Cancelled) -> Self {
        Trouble::Cancelled
    }
}

impl From<RenderError> for Trouble {
    fn from(error: RenderError) -> Self {
        Trouble::of(&error, Some(&error))
    }
}

impl From<TaskError> for Trouble {
    fn from(error: TaskError) -> Self {
        match &error {
            TaskError::Export(ExportError::Cancelled(_)) => Trouble::Cancelled,
            _ => Trouble::of(&error, error.render()),
        }
    }
}

impl Trouble {
    fn of(error: &dyn Error, render: Option<&RenderError>) -> Self {
        match render {
            Some(render) if render.is_cancelled() => Trouble::Cancelled,
            Some(RenderError::ReadBack(error)) => Trouble::Suspect(error.to_string()),
            _ => Trouble::Failed(Failure::of(error)),
        }
    }
}
