//! One code on its way down.

use super::SearchSpace;
use super::adam::Adam;
use super::space::Variables;

/// The search has come to its end when the cost falls by less than this part in so many steps.
const STALLED: f64 = 0.005;
const PATIENCE: usize = 50;

/// One code on its way down.
#[derive(Clone)]
pub(super) struct Descent {
    pub variables: Variables,
    pub class: Option<usize>,
    pub adam: Adam,
    /// Position in the schedule, and steps that were taken.
    pub step: usize,
    pub taken: usize,
    /// Factor of the learning rate.
    pub caution: f32,
    pub overflows: usize,
    /// Of the present kind of pictures and variables.
    pub best: Option<Best>,
    /// Steps since the cost fell by enough, and what it fell to.
    stalled: usize,
    mark: f64,
    pub phase: Option<Phase>,
}

#[derive(Clone)]
pub(super) struct Best {
    pub cost: f64,
    values: Vec<f32>,
    pub seen: Seen,
}

/// A picture that a step saw.
#[derive(Clone, Default)]
pub(super) struct Seen {
    /// Planar `[channels, height, width]`
    pub picture: Vec<f32>,
    /// Height and width.
    pub size: [usize; 2],
    /// Decibels.
    pub psnr: f64,
}

/// What part of the picture a step looks at, and where it looks for the code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Phase {
    pub view: usize,
    pub space: SearchSpace,
}

impl Descent {
    pub(super) fn new(variables: Variables, class: Option<usize>) -> Self {
        let adam = Adam::new(variables.values.len());
        Descent {
            variables,
            class,
            adam,
            step: 0,
            taken: 0,
            caution: 1.0,
            overflows: 0,
            best: None,
            stalled: 0,
            mark: f64::INFINITY,
            phase: None,
        }
    }

    /// The best of a trial, from its beginning.
    pub(super) fn from(trial: Descent) -> Self {
        Descent::new(trial.best_variables(), trial.class)
    }

    pub(super) fn best_cost(&self) -> f64 {
        self.best.as_ref().map_or(f64::INFINITY, |best| best.cost)
    }

    pub(super) fn best_variables(&self) -> Variables {
        let values = self.best.as_ref().map_or(&self.variables.values, |best| &best.values);
        Variables { values: values.clone(), ..self.variables.clone() }
    }

    /// Remembers a cost of the present variables, and their picture.
    pub(super) fn note(&mut self, cost: f64, seen: Seen) {
        if self.best.as_ref().is_none_or(|best| cost < best.cost) {
            self.best = Some(Best { cost, values: self.variables.values.clone(), seen });
        }
        if cost < (1.0 - STALLED) * self.mark {
            (self.mark, self.stalled) = (cost, 0);
        } else {
            self.stalled += 1;
        }
    }

    /// Goes on from the best so far with other pictures or variables.
    pub(super) fn enter(&mut self, phase: Phase, layers: usize) {
        self.variables = self.best_variables();
        if phase.space == SearchSpace::WPlus && self.variables.space == SearchSpace::W {
            self.variables = self.variables.spread(layers);
            self.adam = Adam::new(self.variables.values.len());
        }
        (self.best, self.mark, self.stalled, self.phase) = (None, f64::INFINITY, 0, Some(phase));
    }

    /// True if the cost has not fallen by much for a while.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled >= PATIENCE
    }

    /// Goes on from the best so far at another place of the schedule.
    pub(super) fn skip_to(&mut self, step: usize) {
        self.variables = self.best_variables();
        (self.step, self.stalled) = (step, 0);
    }

    /// Goes on from the best so far by smaller steps.
    pub(super) fn step_back(&mut self) {
        self.variables = self.best_variables();
        self.adam = Adam::new(self.variables.values.len());
        self.caution *= 0.5;
    }
}
