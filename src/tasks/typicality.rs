//! How far the open model's codes lie from their mean.

use std::sync::Arc;

use super::{Outcome, Step, Task, TaskError};
use crate::analysis::TypicalSet;
use crate::progress::Progress;
use crate::render::{Engine, RenderError, moments_of};

/// Codes that are drawn, at least.
const CODES: usize = 4096;
/// Codes of a step.
const TOGETHER: usize = 512;
/// Numbers of a code from which on this takes too long for what nobody asked for.
pub const MOST_NUMBERS: usize = 1024;

/// Draws codes, some a step.
#[derive(Default)]
pub struct Typicality {
    codes: Vec<f32>,
    drawn: usize,
}

impl Task for Typicality {
    fn name(&self) -> String {
        "Learning how far is typical".into()
    }

    fn step(&mut self, engine: &mut Engine) -> Result<Step, TaskError> {
        let dim = engine.info().ok_or(RenderError::NoModel)?.code_dim();
        let count = CODES.max(4 * dim);
        if self.drawn < count {
            let end = count.min(self.drawn + TOGETHER);
            let drawn = engine.drawn(0, self.drawn..end, None)?;
            self.codes.extend(drawn.into_iter().flat_map(|sample| sample.code));
            self.drawn = end;
            return Ok(Step::More(Progress { stage: "drawing codes".into(), done: end as u64, total: count as u64 }));
        }
        let components = moments_of(&self.codes, dim).components().map_err(RenderError::from)?;
        Ok(Step::Done(Outcome::Typical(Arc::new(TypicalSet::new(&self.codes, &components)))))
    }
}
