//! The one thread that owns tensors: [`Job`] in, [`Event`] out.
//!
//! The latest render wins: jobs that arrive while a picture is being made are drained and coalesced, so the window never
//! waits and at most one frame is in flight. While a newer edit waits already, or the hand that makes them holds a slider, a
//! slow render shows the smaller picture that the network has on its way and leaves the rest for later; the newest edit is
//! always rendered to the end.

use std::collections::VecDeque;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::directions::DirectionSet;
use crate::edit::{Edit, LayerSet, Weighting};
use crate::export::{self, ExportError, Sweep};
use crate::generator::ModelInfo;
use crate::gpu::{self, Precision, RenderDevice};
use crate::progress::{Cancelled, Progress};
use crate::project::Project;
use crate::recipe::Recipe;
use crate::render::{Engine, Frame, FrameImage, RenderError, Screen, Source, ViewId};

/// Work for the thread. Jobs are done in order, except that of several renders only the newest is done.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// Replaces the open model; if it fails, the old one stays.
    Open(Source),
    /// The same, read as a person says.
    OpenAs(Source, Box<Recipe>),
    /// Stores models in another precision; the open one is opened again for it.
    Store(Precision),
    Factorize {
        layers: LayerSet,
        weighting: Weighting,
    },
    Render {
        edit: Edit,
        purpose: Purpose,
    },
    /// Renders `project.edit` and writes it as a PNG that carries the project.
    Export {
        project: Box<Project>,
        path: PathBuf,
    },
    /// Writes `frames` numbered PNG files into `folder`: the move along its direction goes from `from` to `to`.
    ExportSweep {
        project: Box<Project>,
        sweep: Sweep,
    },
}

/// What a rendered picture is for; the newest of each purpose is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    Edit,
    /// The unedited sample, shown while "compare" is held.
    Compare,
}

impl Purpose {
    fn view(self) -> ViewId {
        match self {
            Purpose::Edit => ViewId::PICTURE,
            Purpose::Compare => ViewId::COMPARISON,
        }
    }
}

#[derive(Clone, Debug)]
pub enum Event {
    /// The device that pictures are made on; sent at start and whenever it changes (`note` says why it is not a GPU).
    Device {
        label: String,
        note: Option<String>,
    },
    Opened {
        info: Arc<ModelInfo>,
        source: Source,
        took: Duration,
    },
    Factorized(Arc<DirectionSet>),
    Rendered {
        frame: Frame,
        purpose: Purpose,
    },
    Exported {
        path: PathBuf,
    },
    Progress {
        task: Task,
        progress: Progress,
    },
    Cancelled(Task),
    Failed {
        task: Task,
        headline: String,
        causes: Vec<String>,
    },
}

/// The kinds of work that can report progress or fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Open,
    Factorize,
    Render,
    Export,
}

/// Two frames of a 60 Hz screen: a picture that takes longer is felt to lag behind the hand.
const PREVIEW_AFTER: Duration = Duration::from_millis(33);

/// After a preview, how long a held slider may take to send its newest edit; the rest of the old one would only delay it.
const NEWER_WITHIN: Duration = Duration::from_millis(17);

/// Handle of the thread. Dropping it stops the present work and waits for the thread.
pub struct Worker {
    jobs: Option<Sender<Job>>,
    events: Receiver<Event>,
    signals: Arc<Signals>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Signals {
    cancel: AtomicBool,
    /// A slider is held: more edits are to be expected.
    held: AtomicBool,
    /// Jobs sent and not yet done or dropped.
    pending: AtomicUsize,
}

impl Worker {
    /// Starts the thread. `start` makes the engine there; `wake` is called after every event.
    pub fn spawn(
        start: impl FnOnce() -> Engine + Send + 'static,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, inbox) = mpsc::channel();
        let (outbox, events) = mpsc::channel();
        let signals = Arc::new(Signals::default());
        let shared = signals.clone();
        let run = move || {
            let notify = move |event| {
                // The window may be gone already; then nobody wants the event.
                let _ = outbox.send(event);
                wake();
            };
            Desk::new(start(), notify, shared).work_through(&inbox);
        };
        let thread = std::thread::Builder::new().name("engine".into()).spawn(run)?;
        Ok(Worker { jobs: Some(jobs), events, signals, thread: Some(thread) })
    }

    pub fn send(&self, job: Job) {
        self.signals.pending.fetch_add(1, Ordering::SeqCst);
        if let Some(jobs) = &self.jobs {
            // Fails only if the thread is gone, and then its last event said why.
            let _ = jobs.send(job);
        }
    }

    /// Everything that happened since the last call. If that is nothing, waits that long for a first event.
    pub fn events(&self, patience: Duration) -> Vec<Event> {
        let first = if patience.is_zero() { None } else { self.events.recv_timeout(patience).ok() };
        first.into_iter().chain(self.events.try_iter()).collect()
    }

    /// Tells whether the user holds a slider, or whatever else makes one edit after the other.
    pub fn expect_edits(&self, held: bool) {
        self.signals.held.store(held, Ordering::SeqCst);
    }

    /// Stops the present opening or export.
    pub fn cancel(&self) {
        self.signals.cancel.store(true, Ordering::SeqCst);
    }

    /// True if no job waits or runs.
    pub fn is_idle(&self) -> bool {
        self.signals.pending.load(Ordering::SeqCst) == 0
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.cancel();
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// Drops the jobs that later ones make pointless; keeps the order of the rest. Of renders (per purpose) and of
/// factorisations only the newest between two opens remain, since each replaces what the one before it would show.
pub fn coalesce(jobs: Vec<Job>) -> Vec<Job> {
    let mut kept: Vec<Job> = Vec::with_capacity(jobs.len());
    for job in jobs.into_iter().rev() {
        let same_kind = |other: &Job| match (&job, other) {
            (Job::Render { purpose: a, .. }, Job::Render { purpose: b, .. }) => a == b,
            (Job::Factorize { .. }, Job::Factorize { .. }) => true,
            _ => false,
        };
        let after_open = kept.iter().rev().take_while(|other| !matches!(other, Job::Open(_) | Job::OpenAs(..)));
        if !after_open.into_iter().any(same_kind) {
            kept.push(job);
        }
    }
    kept.reverse();
    kept
}

/// The thread's own state: the engine, and the way events leave.
struct Desk<Notify> {
    engine: Engine,
    screen: Option<Screen>,
    /// What opens the present model again.
    source: Option<(Source, Option<Box<Recipe>>)>,
    /// Whole pictures take longer than the hand notices.
    is_slow: bool,
    notify: Notify,
    signals: Arc<Signals>,
}

impl<Notify: Fn(Event)> Desk<Notify> {
    fn new(engine: Engine, notify: Notify, signals: Arc<Signals>) -> Self {
        let screen = engine.device().wgpu().map(Screen::new);
        Desk { engine, screen, source: None, is_slow: false, notify, signals }
    }

    fn work_through(mut self, inbox: &Receiver<Job>) {
        self.announce_device();
        let mut waiting = VecDeque::new();
        while let Ok(job) = inbox.recv() {
            waiting.push_back(job);
            while !waiting.is_empty() {
                waiting.extend(inbox.try_iter());
                let all = waiting.len();
                waiting = coalesce(waiting.into()).into();
                self.signals.pending.fetch_sub(all - waiting.len(), Ordering::SeqCst);
                let Some(job) = waiting.pop_front() else { continue };
                match self.answer(&job) {
                    Answer::Done => _ = self.signals.pending.fetch_sub(1, Ordering::SeqCst),
                    // Rendered to the end after all, unless a newer edit takes its place.
                    Answer::Preview => {
                        waiting.push_front(job);
                        if self.signals.held.load(Ordering::SeqCst) {
                            waiting.extend(inbox.recv_timeout(NEWER_WITHIN));
                        }
                    }
                }
                self.signals.cancel.store(false, Ordering::SeqCst);
            }
        }
    }

    fn announce_device(&self) {
        let device = self.engine.device();
        (self.notify)(Event::Device { label: device.label(), note: device.note() });
    }

    /// Does one job; if a GPU fails under it, goes on with the CPU and does it again there.
    fn answer(&mut self, job: &Job) -> Answer {
        let task = job.task();
        let mut outcome = self.attempt(job);
        if let Err(Failure::Device(reason)) = &outcome
            && self.engine.device().wgpu().is_some()
        {
            outcome = self.move_to_cpu(reason).and_then(|_| self.attempt(job));
        }
        let failure = match outcome {
            Ok(answer) => return answer,
            Err(failure) => failure,
        };
        (self.notify)(match failure {
            Failure::Cancelled => Event::Cancelled(task),
            Failure::Error(error) => Event::failed(task, &*error),
            Failure::Device(reason) => {
                Event::Failed { task, headline: "the engine stopped unexpectedly".into(), causes: vec![reason] }
            }
        });
        Answer::Done
    }

    fn attempt(&mut self, job: &Job) -> Result<Answer, Failure> {
        // burn and wgpu report lost devices and exhausted memory by panicking. The engine stays sound: a stage's output
        // is stored only when it is complete.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.perform(job)));
        outcome.unwrap_or_else(|panic| Err(Failure::Device(gpu::reason_of(&*panic).to_owned())))
    }

    fn move_to_cpu(&mut self, reason: &str) -> Result<Answer, Failure> {
        let label = self.engine.device().label();
        let first_line = reason.lines().next().unwrap_or_default();
        let note = format!("{label} failed ({first_line}); pictures are made on the CPU now");
        self.screen = None;
        self.engine = Engine::new(RenderDevice::cpu(Some(note)));
        self.announce_device();
        match self.source.clone() {
            Some((source, None)) => self.attempt(&Job::Open(source)),
            Some((source, Some(recipe))) => self.attempt(&Job::OpenAs(source, recipe)),
            None => Ok(Answer::Done),
        }
    }

    fn perform(&mut self, job: &Job) -> Result<Answer, Failure> {
        let start = Instant::now();
        let pending = self.signals.pending.load(Ordering::SeqCst);
        // A frame that takes longer than the hand notices, while something newer waits or is on its way.
        let (device, is_slow) = (self.engine.device().device().clone(), self.is_slow);
        let is_late = || {
            let held = self.signals.held.load(Ordering::SeqCst);
            if !held && self.signals.pending.load(Ordering::SeqCst) == pending {
                return false;
            }
            // A GPU takes a whole picture's work at once; a slow one is waited for stage by stage. That it failed is found
            // out when the picture is read.
            if is_slow {
                let _ = device.sync();
            }
            start.elapsed() > PREVIEW_AFTER
        };
        let task = job.task();
        let notify = &self.notify;
        let mut report = |progress| {
            notify(Event::Progress { task, progress });
            if self.signals.cancel.load(Ordering::SeqCst) { Err(Cancelled) } else { Ok(()) }
        };
        match job {
            Job::Open(source) => {
                let info = self.engine.open(source, &mut report)?;
                self.source = Some((source.clone(), None));
                notify(Event::Opened { info, source: source.clone(), took: start.elapsed() });
            }
            Job::OpenAs(source, recipe) => {
                let info = self.engine.open_as(source, json(recipe).as_deref(), &mut report)?;
                self.source = Some((source.clone(), Some(recipe.clone())));
                notify(Event::Opened { info, source: source.clone(), took: start.elapsed() });
            }
            Job::Store(precision) => {
                let before = self.engine.device().place().precision();
                self.engine.set_precision(*precision);
                let changed = self.engine.device().place().precision() != before;
                if let Some((source, recipe)) = self.source.clone().filter(|_| changed) {
                    let recipe = recipe.and_then(|recipe| json(&recipe));
                    match self.engine.open_as(&source, recipe.as_deref(), &mut report) {
                        Ok(info) => notify(Event::Opened { info, source, took: start.elapsed() }),
                        Err(error) => {
                            // The model that stays is stored as before.
                            self.engine.set_precision(before);
                            return Err(error.into());
                        }
                    }
                }
                self.announce_device();
            }
            Job::Factorize { layers, weighting } => {
                let basis = self.engine.factorize(layers, *weighting)?;
                notify(Event::Factorized(Arc::new(DirectionSet::from(&*basis))));
            }
            Job::Render { edit, purpose } => {
                let picture = self.engine.render_view(purpose.view(), edit, is_late)?;
                let image = match &mut self.screen {
                    Some(screen) => FrameImage::Texture(screen.show(&picture)?),
                    None => FrameImage::Pixels(Arc::new(picture.to_pixels()?)),
                };
                if picture.is_exact() {
                    let (ran, stages) = picture.stages_run();
                    self.is_slow = start.elapsed() > PREVIEW_AFTER || self.is_slow && ran < stages;
                }
                let info = self.engine.info().ok_or(RenderError::NoModel)?;
                let frame = Frame {
                    model: info.identity.clone(),
                    edit: edit.clone(),
                    size: [info.size.width, info.size.height],
                    is_exact: picture.is_exact(),
                    took: start.elapsed(),
                    stages_run: picture.stages_run(),
                    image,
                };
                notify(Event::Rendered { frame, purpose: *purpose });
                if !picture.is_exact() {
                    return Ok(Answer::Preview);
                }
            }
            Job::Export { project, path } => {
                let pixels = self.engine.render(&project.edit)?.to_pixels()?;
                export::write_png(path, &pixels, Some(project))?;
                notify(Event::Exported { path: path.clone() });
            }
            Job::ExportSweep { project, sweep } => {
                let path = export::write_sweep(&mut self.engine, project, sweep, &mut report)?;
                notify(Event::Exported { path });
            }
        }
        Ok(Answer::Done)
    }
}

/// A recipe as text; none fails to become one.
fn json(recipe: &Recipe) -> Option<String> {
    serde_json::to_string(recipe).ok()
}

/// How a job ended that did not fail.
enum Answer {
    Done,
    /// A preview was shown; the exact picture is still to be made.
    Preview,
}

/// Why a job was not done.
enum Failure {
    Cancelled,
    Error(Box<dyn Error>),
    /// The device or a library under it gave up.
    Device(String),
}

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        match error {
            error if error.is_cancelled() => Failure::Cancelled,
            RenderError::ReadBack(error) => Failure::Device(error.to_string()),
            error => Failure::Error(Box::new(error)),
        }
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Render(error) => error.into(),
            ExportError::Cancelled(_) => Failure::Cancelled,
            error => Failure::Error(Box::new(error)),
        }
    }
}

impl Job {
    fn task(&self) -> Task {
        match self {
            Job::Open(_) | Job::OpenAs(..) | Job::Store(_) => Task::Open,
            Job::Factorize { .. } => Task::Factorize,
            Job::Render { .. } => Task::Render,
            Job::Export { .. } | Job::ExportSweep { .. } => Task::Export,
        }
    }
}

impl Event {
    fn failed(task: Task, error: &dyn Error) -> Event {
        let causes =
            std::iter::successors(error.source(), |cause| (*cause).source()).map(ToString::to_string).collect();
        Event::Failed { task, headline: error.to_string(), causes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{Code, Sample, Seed};
    use crate::render::Example;

    fn render(seed: u64) -> Job {
        let edit =
            Edit { sample: Sample { code: Code::Seed(Seed::studio(seed)), class: None, mix: None }, ..Edit::default() };
        Job::Render { edit, purpose: Purpose::Edit }
    }

    fn compare() -> Job {
        Job::Render { edit: Edit::default(), purpose: Purpose::Compare }
    }

    fn factorize(last: usize) -> Job {
        Job::Factorize { layers: LayerSet::range(0, last), weighting: Weighting::RowNormalised }
    }

    #[test]
    fn only_the_newest_render_of_each_purpose_remains_and_order_is_kept() {
        let jobs = vec![render(1), compare(), render(2), factorize(1), render(3), factorize(2)];
        assert_eq!(coalesce(jobs), [compare(), render(3), factorize(2)]);
    }

    #[test]
    fn an_open_separates_renders_and_is_never_dropped() {
        let open = || Job::Open(Source::Example(Example::ToyHeads));
        let jobs = vec![render(1), render(2), open(), render(3), open(), render(4), render(5)];
        assert_eq!(coalesce(jobs), [render(2), open(), render(3), open(), render(5)]);
    }
}
