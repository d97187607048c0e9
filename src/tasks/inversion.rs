//! Inversion: the code of a photo.

use super::{Outcome, Step, Task, TaskError};
use crate::generator::ModelInfo;
use crate::invert::{InvertError, Search, Settings, Target};
use crate::render::Engine;

/// Searches for the code of a photo, one step of gradients a step.
pub struct Inversion {
    name: String,
    search: Search,
}

impl Inversion {
    /// `photo` is its name.
    ///
    /// # Errors
    /// As [`Search::new`].
    pub fn new(photo: &str, target: Target, settings: Settings, info: &ModelInfo) -> Result<Self, InvertError> {
        Ok(Inversion { name: format!("Finding {photo}"), search: Search::new(target, settings, info)? })
    }
}

impl Task for Inversion {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn step(&mut self, engine: &mut Engine) -> Result<Step, TaskError> {
        Ok(match self.search.step(engine)? {
            Some(found) => Step::Done(Outcome::Found(Box::new(found))),
            None => Step::More(self.search.progress()),
        })
    }
}
