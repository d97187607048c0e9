//! Long work in steps: exports, principal components, searches for the codes of photos, measurements of directions.
//!
//! A task never keeps the engine for long: between two steps whoever runs it does what is more urgent, so that a slider
//! answers within one frame whatever runs. Encoding and writing happen on other threads.

mod components;
mod export;
mod inversion;
mod learning;
mod measuring;
mod typicality;

use std::path::PathBuf;
use std::sync::Arc;

pub use components::PrincipalComponents;
pub use export::{DirectionSheet, Export};
pub use inversion::Inversion;
pub use learning::{Learning, Lesson};
pub use measuring::{FindingKind, Findings, Measuring, Moves, Scored};
pub use typicality::{MOST_NUMBERS, Typicality};

use crate::analysis::{AnalysisError, LearnError, Learned, NoSuchAttribute, TooManyNumbers, TypicalSet};
use crate::export::ExportError;
use crate::invert::{Found, Glimpse, InvertError};
use crate::pca::Components;
use crate::predictor::PredictorError;
use crate::progress::Progress;
use crate::render::{Engine, RenderError};

/// Work in steps.
pub trait Task: Send {
    /// What is shown while it runs, such as "Exporting picture.png".
    fn name(&self) -> String;

    /// Does about one frame's work. A render that is interrupted for something more urgent ends the step with its error, and
    /// the step is called again later; so it is with a lost device, then with an engine on another one. What the task
    /// remembers must change only when the work of the step is there.
    ///
    /// # Errors
    /// The task ends with it. Dropped at any moment, a task leaves whole files or none.
    fn step(&mut self, engine: &mut Engine) -> Result<Step, TaskError>;
}

/// How far a task is after a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    More(Progress),
    /// A search has come nearer.
    Nearer(Progress, Box<Glimpse>),
    /// More is known.
    Measured(Progress, Box<Findings>),
    Done(Outcome),
}

/// What a task leaves behind.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A file, or the folder or the first of several.
    Written(PathBuf),
    /// Of so many codes of a seed.
    Components {
        samples: usize,
        seed: u64,
        components: Arc<Components>,
    },
    /// The code of a photo.
    Found(Box<Found>),
    Measured(Box<Findings>),
    /// How far codes lie from their mean.
    Typical(Arc<TypicalSet>),
    /// A direction, and what it is called.
    Learned {
        name: String,
        learned: Box<Learned>,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Invert(#[from] InvertError),
    #[error(transparent)]
    Analysis(#[from] AnalysisError),
    #[error(transparent)]
    Predictor(#[from] PredictorError),
    #[error(transparent)]
    TooMany(#[from] TooManyNumbers),
    #[error(transparent)]
    Learn(#[from] LearnError),
    #[error(transparent)]
    Attribute(#[from] NoSuchAttribute),
}

impl TaskError {
    /// The failed render, if it is one.
    pub fn render(&self) -> Option<&RenderError> {
        match self {
            TaskError::Render(error)
            | TaskError::Export(ExportError::Render(error))
            | TaskError::Invert(InvertError::Render(error))
            | TaskError::Analysis(AnalysisError::Render(error)) => Some(error),
            _ => None,
        }
    }
}
