//! Inversion: the code of a photo.

use super::{Outcome, Step, Task, TaskError};
use crate::invert::{Search, Settings, Target};
use crate::render::{Engine, RenderError};

/// Searches for the code of a photo, one step of gradients a step.
pub struct Inversion {
    name: String,
    cut: Box<dyn Fn() -> Target + Send>,
    settings: Settings,
    /// From the first step on.
    search: Option<Search>,
}

impl Inversion {
    /// `photo` is its name; `cut` cuts the target out of it, on the engine's thread.
    pub fn new(photo: &str, settings: Settings, cut: impl Fn() -> Target + Send + 'static) -> Self {
        Inversion { name: format!("Finding {photo}"), cut: Box::new(cut), settings, search: None }
    }
}

impl Task for Inversion {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn step(&mut self, engine: &mut Engine) -> Result<Step, TaskError> {
        let Some(search) = &mut self.search else {
            let info = engine.info().ok_or(RenderError::NoModel)?;
            let search = self.search.insert(Search::new((self.cut)(), self.settings.clone(), &info)?);
            return Ok(Step::More(search.progress()));
        };
        if let Some(found) = search.step(engine)? {
            return Ok(Step::Done(Outcome::Found(Box::new(found))));
        }
        let progress = search.progress();
        Ok(match search.glimpse() {
            Some(glimpse) => Step::Nearer(progress, Box::new(glimpse)),
            None => Step::More(progress),
        })
    }
}
