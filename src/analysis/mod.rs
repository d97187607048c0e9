//! What directions do and mean, measured: where others' directions lie among a model's own, how evenly a picture changes along one,
//! how far two of them disturb each other, what they change of what a predictor says. Measurements are made in steps, so that they can
//! be tasks.

mod alignment;
mod entanglement;
mod influence;
mod learn;
mod meaning;
mod path;
mod pictures;
mod rescore;
pub mod study;
mod typical;

pub use alignment::{Alignment, align};
pub use entanglement::{Entanglement, EntanglementPlan, EntanglementRun};
pub use influence::{InfluenceRun, alone};
pub use learn::{LearnError, Learned, from_marks, from_scores};
pub use meaning::{Effect, Meaning, NAMED_FROM, NoSuchAttribute, effects, meaning, titles_for};
pub use path::{PathCurve, PathPlan, PathRun};
pub use rescore::{Change, RescorePlan, RescoreRun, TooManyNumbers};
pub use typical::TypicalSet;

use crate::predictor::PredictorError;
use crate::progress::{Cancelled, Progress, Report};
use crate::render::{Engine, RenderError};

/// Side of the pictures that are compared.
pub const SIDE: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error(transparent)]
    Predictor(#[from] PredictorError),
}

impl From<Cancelled> for AnalysisError {
    fn from(cancelled: Cancelled) -> Self {
        RenderError::Cancelled(cancelled).into()
    }
}

/// Work in steps, of one pass of the network each at most.
pub trait Measurement {
    fn progress(&self) -> Progress;

    /// True if there was nothing more to do. If it fails, it may be called again, also with another engine.
    ///
    /// # Errors
    /// The device or a predictor failed, or something more urgent came.
    fn step(&mut self, engine: &mut Engine) -> Result<bool, AnalysisError>;
}

/// All steps of a measurement.
///
/// # Errors
/// As [`Measurement::step`], or `report` stopped it; what is measured by then stays.
pub fn measure(engine: &mut Engine, run: &mut dyn Measurement, report: Report) -> Result<(), AnalysisError> {
    loop {
        report(run.progress())?;
        if run.step(engine)? {
            return Ok(());
        }
    }
}

/// A mean over samples and the standard deviation between them; NaN where there is nothing to tell one from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    pub mean: f64,
    pub spread: f64,
}

impl Mean {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let count = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / count;
        let square: f64 = values.map(|x| (x - mean).powi(2)).sum();
        Mean { mean, spread: (square / (count - 1.0)).sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_have_the_spread_of_a_sample() {
        let found = Mean::of([1.0, 2.0, 6.0].into_iter());
        assert_eq!((found.mean, found.spread), (3.0, 7_f64.sqrt()));
        let one = Mean::of([2.0].into_iter());
        assert!(one.mean == 2.0 && one.spread.is_nan() && Mean::of(std::iter::empty()).mean.is_nan());
    }
}
