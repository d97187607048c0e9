//! Long work in steps: exports, principal components, searches for the codes of photos; studies belong here too.
//!
//! A task never keeps the engine for long: between two steps whoever runs it does what is more urgent, so that a slider
//! answers within one frame whatever runs. Encoding and writing happen on other threads.

mod components;
mod export;
mod inversion;

use std::path::PathBuf;
use std::sync::Arc;

pub use components::PrincipalComponents;
pub use export::{DirectionSheet, Export};
pub use inversion::Inversion;

use crate::export::ExportError;
use crate::invert::{Found, Glimpse, InvertError};
use crate::pca::Components;
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
    Done(Outcome),
}

/// What a task leaves behind.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A file, or the folder or the first of several.
    Written(PathBuf),
    /// Of so many codes of a seed.
    Components { samples: usize, seed: u64, components: Arc<Components> },
    /// The code of a photo.
    Found(Box<Found>),
}

#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Invert(#[from] InvertError),
}

impl TaskError {
    /// The failed render, if it is one.
    pub fn render(&self) -> Option<&RenderError> {
        match self {
            TaskError::Render(error)
            | TaskError::Export(ExportError::Render(error))
            | TaskError::Invert(InvertError::Render(error)) => Some(error),
            TaskError::Export(_) | TaskError::Invert(_) => None,
        }
    }
}
