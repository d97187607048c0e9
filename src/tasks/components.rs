//! Principal components of the open model's codes.

use std::sync::Arc;

use super::{Outcome, Step, Task, TaskError};
use crate::render::{CodeSource, ComponentSearch, Engine};

/// Maps codes that are drawn, some a step.
pub struct PrincipalComponents {
    samples: usize,
    seed: u64,
    search: ComponentSearch,
}

impl PrincipalComponents {
    pub fn new(samples: usize, seed: u64) -> Self {
        PrincipalComponents { samples, seed, search: ComponentSearch::new(CodeSource::Drawn { samples, seed }) }
    }
}

impl Task for PrincipalComponents {
    fn name(&self) -> String {
        "Principal components".into()
    }

    fn step(&mut self, engine: &mut Engine) -> Result<Step, TaskError> {
        let (samples, seed) = (self.samples, self.seed);
        Ok(match self.search.step(engine)? {
            Some(components) => Step::Done(Outcome::Components { samples, seed, components: Arc::new(components) }),
            None => Step::More(self.search.progress()),
        })
    }
}
