//! What goes to the thread and what comes back: every answer says what it answers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::directions::DirectionSet;
use crate::edit::{Edit, LayerSet, Weighting};
use crate::failure::Failure;
use crate::generator::ModelInfo;
use crate::gpu::Precision;
use crate::invert::Glimpse;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::render::{Frame, Source, Tile, ViewId};
use crate::tasks::{Findings, Outcome, Task};

/// One job; no two of a run of the program share a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(u64);

impl JobId {
    /// Nobody's job: what the thread has to say by itself.
    pub const THREAD: JobId = JobId(0);

    /// One that was not there before.
    pub fn fresh() -> JobId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        JobId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// One opening of a model: the job that opened it. The same file opened twice is two models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelId(JobId);

impl ModelId {
    pub fn opened_by(job: JobId) -> ModelId {
        ModelId(job)
    }
}

/// Work for the thread. What is asked of a model that is still being opened waits for it; what is asked of one that is
/// closed is dropped, and said to be.
pub enum Job {
    /// Stores models in another precision from now on; the open one is opened again for it, as another [`ModelId`].
    Store(Precision),
    /// Replaces the open model; if it fails, the old one stays. `recipe`: the network is read as a person says.
    Open { source: Source, recipe: Option<Box<Recipe>> },
    /// SeFa's directions of some layers. Of one model only the newest such job counts.
    Factorize { model: ModelId, layers: LayerSet, weighting: Weighting },
    /// The picture of a view. Of one view only the newest edit counts.
    Render { model: ModelId, view: ViewId, edit: Edit },
    /// Small pictures of `wanted`, in that order, their larger side `side` pixels at most, going on from what `base` shows. Of
    /// one model only the newest such job counts: what it does not want is forgotten. `exact`: never the network's own smaller
    /// pictures.
    Tiles { model: ModelId, base: ViewId, side: usize, exact: bool, wanted: Vec<Edit> },
    /// Long work in steps. Several take turns; it goes on with its model if another one is opened.
    Run { model: ModelId, task: Box<dyn Task> },
}

impl Job {
    /// The model it is asked of; that which is open at its turn if `None`.
    pub fn model(&self) -> Option<ModelId> {
        match self {
            Job::Store(_) | Job::Open { .. } => None,
            Job::Factorize { model, .. }
            | Job::Render { model, .. }
            | Job::Tiles { model, .. }
            | Job::Run { model, .. } => Some(*model),
        }
    }

    /// True of what opens a model.
    pub fn opens(&self) -> bool {
        matches!(self, Job::Open { .. } | Job::Store(_))
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Job::Store(precision) => write!(f, "Store({precision:?})"),
            Job::Open { source, recipe } => write!(f, "Open({source}, recipe: {})", recipe.is_some()),
            Job::Factorize { model, layers, weighting } => write!(f, "Factorize({model:?}, {layers}, {weighting:?})"),
            Job::Render { model, view, .. } => write!(f, "Render({model:?}, {view:?})"),
            Job::Tiles { model, wanted, .. } => write!(f, "Tiles({model:?}, {} wanted)", wanted.len()),
            Job::Run { model, task } => write!(f, "Run({model:?}, {})", task.name()),
        }
    }
}

/// The device that pictures are made on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFacts {
    pub label: String,
    /// Why it is not the device that one would expect, or stores otherwise than was asked for.
    pub note: Option<String>,
    /// How it stores weights and maps.
    pub precision: Precision,
}

/// Something that happened, and the job that it answers.
#[derive(Clone, Debug)]
pub struct Event {
    pub job: JobId,
    pub kind: EventKind,
}

/// Every job has exactly one last event ([`EventKind::is_last`]), whatever becomes of it.
#[derive(Clone, Debug)]
pub enum EventKind {
    /// The device that pictures are made on; said at the start and whenever it changes.
    Device(DeviceFacts),
    Progress(Progress),
    /// How near a search is.
    Nearer(Progress, Box<Glimpse>),
    /// What a measurement has found by now.
    Measured(Progress, Box<Findings>),
    /// The model that is open now; its [`ModelId`] is that of the job.
    Opened {
        info: Arc<ModelInfo>,
        source: Source,
        took: Duration,
    },
    /// From now on models are stored as was said. The last word where no model had to be opened again.
    Stored,
    Factorized(Arc<DirectionSet>),
    /// The last word if the frame is exact; an exact one follows a preview.
    Rendered {
        view: ViewId,
        frame: Frame,
    },
    /// Tiles, or what is wrong with each. The last word if none is `left`.
    Tiles {
        made: Vec<(Edit, Result<Tile, Failure>)>,
        left: usize,
    },
    /// A task came to its end.
    Done(Outcome),
    /// A newer job took its place, or its model was closed.
    Superseded,
    /// Stopped, or forgotten with the thread.
    Cancelled,
    Failed(Failure),
    /// The thread has ended by itself; nothing will be done any more.
    Stopped(Failure),
}

impl EventKind {
    /// True if nothing follows for the job.
    pub fn is_last(&self) -> bool {
        match self {
            EventKind::Device(_)
            | EventKind::Progress(_)
            | EventKind::Nearer(..)
            | EventKind::Measured(..)
            | EventKind::Stopped(_) => false,
            EventKind::Rendered { frame, .. } => frame.is_exact,
            EventKind::Tiles { left, .. } => *left == 0,
            EventKind::Opened { .. }
            | EventKind::Stored
            | EventKind::Factorized(_)
            | EventKind::Done(_)
            | EventKind::Superseded
            | EventKind::Cancelled
            | EventKind::Failed(_) => true,
        }
    }
}
