//! Long work that is under way, as the window knows it: openings and tasks.

use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::gpu::Precision;
use crate::progress::{Pace, Progress};
use crate::recipe::Recipe;
use crate::render::Source;
use crate::worker::JobId;

/// One piece of long work.
pub struct Running {
    pub job: JobId,
    /// "Opening ffhq", "Exporting 9 frames"
    pub name: String,
    pub progress: Progress,
    pace: Pace,
}

impl Running {
    pub fn new(job: JobId, name: String, stage: &str) -> Self {
        let progress = Progress { stage: stage.into(), done: 0, total: 0 };
        Running { job, name, progress, pace: Pace::default() }
    }

    pub fn report(&mut self, progress: Progress) {
        self.pace.note(&progress, Instant::now());
        self.progress = progress;
    }

    /// How long it still takes, once that can be told.
    pub fn left(&self) -> Option<Duration> {
        self.pace.left(&self.progress)
    }
}

/// A model that is being opened.
pub struct Opening {
    pub running: Running,
    /// What opens it again, should the engine stop meanwhile.
    pub source: Source,
    pub recipe: Option<Box<Recipe>>,
    pub purpose: Purpose,
}

/// Why a model is opened, which decides what becomes of the present edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To begin with it.
    Begin,
    /// It is the present one, to be read in another way or by a new engine: the edit stays if it fits. `recipe_of`: the
    /// identity of the model whose recipe was chosen for it, and is forgotten if that fails.
    Again { recipe_of: Option<String> },
}

/// What the engine has in hand, beside pictures and directions.
#[derive(Default)]
pub struct Work {
    /// Models that are being opened, the newest last; the others were told to stop.
    pub openings: Vec<Opening>,
    /// A change of precision that is under way, and the precision before.
    pub storing: Option<(JobId, Precision)>,
    pub tasks: Vec<Running>,
    /// The engine has stopped.
    pub stopped: Option<Stopped>,
}

/// What is left when the engine has stopped by itself.
pub struct Stopped {
    pub failure: Failure,
    /// The model that was being opened, and is opened when the engine is started again.
    pub interrupted: Option<Opening>,
}
