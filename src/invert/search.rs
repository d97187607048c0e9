//! The search, step by step: samples that resemble the photo, the best few of them descended a little, the best one to the end.

use std::sync::Arc;

use super::descent::{Best, Descent, Seen};
use super::knowledge::{Knowledge, TRIAL_STEPS};
use super::{InvertError, SearchSpace, Settings, Target};
use crate::edit::Edit;
use crate::generator::ModelInfo;
use crate::perceptual::Perceptual;
use crate::progress::{self, Progress};
use crate::render::{Drawn, Engine, Gradients, Pixels};

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// An edit whose sample has the code: in z, or with one w per layer.
    pub edit: Edit,
    /// Peak signal-to-noise ratio of its picture, in decibels.
    pub psnr: f64,
    /// How many percent of the model's own codes are more typical.
    pub percentile: f64,
    /// Steps that were taken.
    pub steps: usize,
    /// LPIPS between its picture and the photo, where a network was given for that.
    pub lpips: Option<f64>,
}

/// How near a search is.
#[derive(Clone, Debug, PartialEq)]
pub struct Glimpse {
    /// Position in the schedule.
    pub step: usize,
    /// Of the best code so far: 0 would be the photo itself.
    pub cost: f64,
    /// Of its picture, in decibels.
    pub psnr: f64,
    /// As large as the network makes it at this point of the search.
    pub picture: Pixels,
    /// With the best code so far.
    pub edit: Edit,
}

/// A search for the code of a photo.
pub struct Search {
    target: Target,
    settings: Settings,
    perceptual: Option<Arc<Perceptual>>,
    gradients: Option<Gradients>,
    knowledge: Option<Knowledge>,
    state: State,
}

enum State {
    Preparing,
    /// Samples with their costs, the best first.
    Ranking {
        next: usize,
        best: Vec<(f64, Drawn)>,
    },
    Trying {
        trials: Vec<Descent>,
        step: usize,
    },
    Descending(Box<Descent>),
    Done(Found),
}

impl Search {
    /// # Errors
    /// The model has no w, and it was asked for.
    pub fn new(target: Target, settings: Settings, info: &ModelInfo) -> Result<Self, InvertError> {
        if info.w_dim.is_none() && settings.space != SearchSpace::Z {
            return Err(InvertError::NoW { model: info.name.clone() });
        }
        Ok(Search { target, settings, perceptual: None, gradients: None, knowledge: None, state: State::Preparing })
    }

    /// The same, which also compares what a network sees in pictures.
    pub fn comparing(self, perceptual: Arc<Perceptual>) -> Self {
        Search { perceptual: Some(perceptual), ..self }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// How far the search is.
    pub fn progress(&self) -> Progress {
        let (stage, done, total) = match &self.state {
            State::Preparing => ("preparing gradients", 0, 0),
            State::Ranking { next, .. } => {
                ("comparing samples", *next, self.knowledge.as_ref().map_or(0, |knowledge| knowledge.samples))
            }
            State::Trying { step, .. } => ("trying the nearest", *step, TRIAL_STEPS),
            State::Descending(descent) => ("searching", descent.step, self.settings.steps),
            State::Done(_) => ("searching", self.settings.steps, self.settings.steps),
        };
        Progress { stage: stage.into(), done: done as u64, total: total as u64 }
    }

    /// The best so far, while it comes nearer.
    pub fn glimpse(&self) -> Option<Glimpse> {
        let (State::Descending(descent), Some(knowledge)) = (&self.state, &self.knowledge) else { return None };
        let Best { cost, seen: Seen { picture, size: [height, width], psnr }, .. } = descent.best.as_ref()?;
        let edit = knowledge.edit_of(descent.best_variables().code(&knowledge.chart), descent.class);
        let picture = self.target.shown(picture, *height, *width);
        Some(Glimpse { step: descent.step, cost: *cost, psnr: *psnr, picture, edit })
    }

    /// Takes one step; what was found, after the last one. If a step is interrupted it is taken again, and so it is with another engine
    /// that has the same model open.
    ///
    /// # Errors
    /// The model has no gradients, its values overflow, or the device failed.
    pub fn step(&mut self, engine: &mut Engine) -> Result<Option<Found>, InvertError> {
        if self.gradients.as_ref().is_none_or(|gradients| !gradients.fit(engine)) {
            self.gradients = Some(engine.gradients(&mut progress::silent)?);
            return Ok(None);
        }
        let Some(gradients) = &mut self.gradients else { return Ok(None) };
        let Some(knowledge) = &self.knowledge else {
            let knowledge =
                Knowledge::gather(engine, gradients, &self.target, &self.settings, self.perceptual.as_ref())?;
            self.state = match &self.settings.from {
                Some(code) => State::Descending(Box::new(knowledge.resume(code, &self.settings)?)),
                None => State::Ranking { next: 0, best: Vec::new() },
            };
            self.knowledge = Some(knowledge);
            return Ok(None);
        };
        let settings = &self.settings;
        match &mut self.state {
            State::Preparing => {}
            State::Ranking { next, best } if *next < knowledge.samples => {
                *next = knowledge.rank(engine, gradients, settings, *next, best)?;
            }
            State::Ranking { best, .. } => {
                self.state =
                    State::Trying { trials: knowledge.starts(engine, std::mem::take(best), settings), step: 0 };
            }
            State::Trying { trials, step } if *step < TRIAL_STEPS && trials.len() > 1 => {
                knowledge.try_all(engine, gradients, trials, settings)?;
                *step += 1;
            }
            State::Trying { trials, .. } => {
                let best = trials.drain(..).min_by(|a, b| a.best_cost().total_cmp(&b.best_cost()));
                let Some(best) = best else { return Err(InvertError::Overflow { model: knowledge.model.clone() }) };
                self.state = State::Descending(Box::new(Descent::from(best)));
            }
            State::Descending(descent) => {
                if knowledge.descend(engine, gradients, descent, settings)? {
                    let found = knowledge.found(engine, gradients, descent)?;
                    self.state = State::Done(found.clone());
                    return Ok(Some(found));
                }
            }
            State::Done(found) => return Ok(Some(found.clone())),
        }
        Ok(None)
    }
}
