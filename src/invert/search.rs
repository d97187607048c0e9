//! The search, step by step: samples that resemble the photo, the best few of them descended a little, the best one to the end.

use super::adam::{Adam, rate_at};
use super::cost::{Likeness, decibels};
use super::space::{Chart, Variables};
use super::typical::{Typical, before_activation};
use super::{InvertError, SearchSpace, Settings, Target};
use crate::edit::{Code, Edit, Noise, Sample, Truncation};
use crate::family::Family;
use crate::generator::ModelInfo;
use crate::progress::{self, Progress};
use crate::render::{Drawn, Engine, Gradients, Point, RenderError, Slope, moments_of};
use crate::size::Size;

/// Samples that the start is chosen from; fewer where pictures are large and cannot be made smaller.
const SAMPLES: usize = 1024;
/// Pixels that those may have together.
const SAMPLE_PIXELS: usize = SAMPLES * 64 * 64;
/// Samples that are drawn at a time.
const TOGETHER: usize = 16;
/// Codes that distributions are estimated from, at least.
const CODES: usize = 4096;
/// Pixels of the larger side at which samples are compared.
const COMPARED: usize = 32;
/// Samples that are descended for a few steps each, beside the mean.
const TRIED: usize = 4;
const TRIAL_STEPS: usize = 20;
/// Learning rate, in standard deviations of codes.
const RATE: f32 = 0.1;
/// Weights of how far codes are from typical ones, and of how far layers' codes are from each other, at the settings' 1.
const TYPICAL: f64 = 0.05;
const TOGETHERNESS: f64 = 0.05;
/// The search has come to its end when the cost falls by less than this part in so many steps.
const STALLED: f64 = 0.005;
const PATIENCE: usize = 50;
/// Times that values may overflow.
const OVERFLOWS: usize = 3;

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// In z, or with one w per layer.
    pub code: Code,
    pub class: Option<usize>,
    /// What the model shows at it.
    pub edit: Edit,
    /// Peak signal-to-noise ratio of its picture, in decibels.
    pub psnr: f64,
    /// How many percent of the model's own codes are more typical.
    pub percentile: f64,
    /// Steps that were taken.
    pub steps: usize,
}

/// A search for the code of a photo.
pub struct Search {
    target: Target,
    settings: Settings,
    gradients: Option<Gradients>,
    knowledge: Option<Knowledge>,
    state: State,
}

/// What is known of the model.
struct Knowledge {
    chart: Chart,
    typical: Typical,
    /// The network divides z by its length.
    is_on_sphere: bool,
    layers: usize,
    psi: f32,
    edit: Edit,
    model: String,
    /// Pictures on the way, from the smallest useful one to the whole: after how many stages, and what they are compared with.
    views: Vec<View>,
    /// For ranking samples.
    small: View,
    /// Samples that will be looked at.
    samples: usize,
}

struct View {
    stages: usize,
    likeness: Likeness,
    /// Means are taken of so many pixels along both axes before pictures are compared.
    shrink: usize,
    size: [usize; 2],
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

/// One code on its way down.
#[derive(Clone)]
struct Descent {
    variables: Variables,
    class: Option<usize>,
    adam: Adam,
    /// Position in the schedule, and steps that were taken.
    step: usize,
    taken: usize,
    /// Factor of the learning rate.
    caution: f32,
    overflows: usize,
    /// Of the present kind of pictures and variables.
    best: Option<Best>,
    /// Steps since the cost fell by enough, and what it fell to.
    stalled: usize,
    mark: f64,
    phase: Option<Phase>,
}

#[derive(Clone)]
struct Best {
    cost: f64,
    values: Vec<f32>,
}

/// What part of the picture a step looks at, and where it looks for the code.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Phase {
    view: usize,
    space: SearchSpace,
}

impl Search {
    /// # Errors
    /// The model has no w, and it was asked for.
    pub fn new(target: Target, settings: Settings, info: &ModelInfo) -> Result<Self, InvertError> {
        if info.w_dim.is_none() && settings.space != SearchSpace::Z {
            return Err(InvertError::NoW { model: info.name.clone() });
        }
        Ok(Search { target, settings, gradients: None, knowledge: None, state: State::Preparing })
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

    /// The edit of the best code so far.
    pub fn best(&self) -> Option<Edit> {
        match (&self.state, &self.knowledge) {
            (State::Done(found), _) => Some(found.edit.clone()),
            (State::Descending(descent), Some(knowledge)) => {
                Some(knowledge.edit_of(descent.best_variables().code(&knowledge.chart), descent.class))
            }
            _ => None,
        }
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
            self.knowledge = Some(Knowledge::gather(engine, gradients, &self.target, &self.settings)?);
            self.state = State::Ranking { next: 0, best: Vec::new() };
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
                let cost = |descent: &Descent| descent.best.as_ref().map_or(f64::INFINITY, |best| best.cost);
                let best = trials.drain(..).min_by(|a, b| cost(a).total_cmp(&cost(b)));
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

impl View {
    /// Compares pictures of a size after so many stages, shrunk until the larger side is at most `most`.
    fn new(target: &Target, stages: usize, size: [usize; 2], most: usize) -> Self {
        let shrink = size[0].max(size[1]).div_ceil(most.max(1)).next_power_of_two();
        let shrink = shrink.min(size[0]).min(size[1]);
        let compared = size.map(|side| side / shrink);
        let reduce = |values: &[f32], channels: usize| area_means(values, channels, target.size, compared);
        let mask = target.mask.as_ref().map(|mask| reduce(mask, 1));
        let channels = target.values.len() / (target.size[0] * target.size[1]);
        View { stages, likeness: Likeness::new(reduce(&target.values, channels), mask, compared), shrink, size }
    }

    /// Of a picture of the view's size.
    fn cost(&self, picture: &[f32]) -> f64 {
        let channels = picture.len() / (self.size[0] * self.size[1]);
        let compared = self.size.map(|side| side / self.shrink);
        match self.shrink {
            1 => self.likeness.cost(picture).0,
            _ => self.likeness.cost(&area_means(picture, channels, self.size, compared)).0,
        }
    }
}

/// Planes `[height, width]` made smaller (or no larger): each pixel is the mean of the area that it covers.
fn area_means(values: &[f32], channels: usize, from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    if from == to {
        return values.to_vec();
    }
    let along = |values: &[f32], lines: usize, from: usize, to: usize| {
        // Rows of `from` values to rows of `to`.
        let mut result = Vec::with_capacity(lines * to);
        for line in values.chunks_exact(from) {
            for at in 0..to {
                let (start, end) = (at * from, (at + 1) * from);
                let share = |of: usize| ((of + 1) * to).min(end).saturating_sub((of * to).max(start)) as f32;
                let covered = start / to..end.div_ceil(to);
                result.push(covered.map(|of| share(of) * line[of]).sum::<f32>() / from as f32);
            }
        }
        result
    };
    let transposed = |values: &[f32], height: usize, width: usize| -> Vec<f32> {
        (0..width).flat_map(|x| (0..height).map(move |y| y * width + x)).map(|at| values[at]).collect()
    };
    let mut result = Vec::with_capacity(channels * to[0] * to[1]);
    for plane in values.chunks_exact(from[0] * from[1]) {
        let narrow = along(plane, from[0], from[1], to[1]);
        let low = along(&transposed(&narrow, from[0], to[1]), to[1], from[0], to[0]);
        result.extend(transposed(&low, to[1], to[0]));
    }
    result
}

impl Knowledge {
    fn gather(
        engine: &mut Engine,
        gradients: &Gradients,
        target: &Target,
        settings: &Settings,
    ) -> Result<Self, InvertError> {
        let info = engine.info().ok_or(RenderError::NoModel)?;
        let psi = info.default_truncation.filter(|_| info.w_dim.is_none()).map_or(1.0, |truncation| truncation.psi);
        let count = CODES.max(4 * info.code_dim());
        let drawn = engine.drawn(settings.seed, 0..count, settings.class)?;
        let is_z = settings.space == SearchSpace::Z;
        let dim = info.code_dim();
        let (chart, typical) = if is_z {
            let z: Vec<Vec<f32>> = drawn.into_iter().take(CODES).map(|sample| sample.z).collect();
            (Chart::Plain, Typical::of_z(&z))
        } else {
            let components = |codes: &[f32]| moments_of(codes, dim).components().map_err(RenderError::from);
            let flat: Vec<f32> = drawn.iter().flat_map(|sample| sample.code.iter().copied()).collect();
            let chart = Chart::of(&components(&flat)?);
            let codes: Vec<Vec<f32>> = drawn.into_iter().map(|sample| sample.code).collect();
            (chart, Typical::of_w(&components(&before_activation(&flat))?, &codes[..CODES.min(codes.len())]))
        };
        let edit = Edit {
            truncation: Truncation { psi, cutoff: None },
            noise: Noise { mode: info.noise_mode(settings.noise), seed: 0 },
            ..info.start(0)
        };
        let some = engine.drawn(settings.seed, 0..1, settings.class)?;
        let some = some.into_iter().next().ok_or(RenderError::NoModel)?;
        let sizes = gradients.picture_sizes(engine, &Point::new(Code::Z(some.z), some.class, psi))?;
        let (views, small) = views(target, &sizes);
        let samples = (SAMPLE_PIXELS / (small.size[0] * small.size[1])).clamp(TRIED * TOGETHER, SAMPLES);
        let is_on_sphere =
            is_z && matches!(info.family, Family::Pggan | Family::StyleGan | Family::StyleGan2 | Family::StyleGan3);
        Ok(Knowledge {
            chart,
            typical,
            is_on_sphere,
            layers: info.num_layers,
            psi,
            edit,
            model: info.name.clone(),
            views,
            small,
            samples,
        })
    }

    fn keep_on_sphere(&self, variables: &mut Variables) {
        if self.is_on_sphere {
            let squares: f32 = variables.values.iter().map(|x| x * x).sum();
            let factor = (variables.values.len() as f32 / squares.max(1e-12)).sqrt();
            variables.values.iter_mut().for_each(|x| *x *= factor);
        }
    }

    fn edit_of(&self, code: Code, class: Option<usize>) -> Edit {
        let code = match code {
            Code::W(w) => Code::WPlus(vec![w; self.layers]),
            code => code,
        };
        Edit { sample: Sample { code, class, ..Sample::default() }, ..self.edit.clone() }
    }

    /// Draws some samples and keeps the best; the number of the next one.
    fn rank(
        &self,
        engine: &Engine,
        gradients: &Gradients,
        settings: &Settings,
        next: usize,
        best: &mut Vec<(f64, Drawn)>,
    ) -> Result<usize, InvertError> {
        let end = self.samples.min(next + TOGETHER);
        let mut drawn = engine.drawn(settings.seed, next..end, settings.class)?;
        // Where there is no w, truncation draws z nearer to zero.
        drawn.iter_mut().flat_map(|sample| &mut sample.z).for_each(|x| *x *= self.psi);
        let points: Vec<Point> =
            drawn.iter().map(|sample| Point::new(Code::Z(sample.z.clone()), sample.class, self.psi)).collect();
        let pictures = gradients.pictures(engine, &points, self.edit.noise.mode, self.small.stages)?;
        best.extend(pictures.iter().map(|picture| self.small.cost(picture)).zip(drawn));
        best.retain(|(cost, _)| cost.is_finite());
        best.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        best.truncate(TRIED);
        Ok(end)
    }

    /// The samples that are worth a few steps, and the mean of all.
    fn starts(&self, engine: &Engine, best: Vec<(f64, Drawn)>, settings: &Settings) -> Vec<Descent> {
        let is_z = settings.space == SearchSpace::Z;
        let mean =
            engine.mean_code().filter(|_| !is_z).map(|code| (code, best.first().and_then(|(_, sample)| sample.class)));
        let sampled = best.into_iter().map(|(_, sample)| (if is_z { sample.z } else { sample.code }, sample.class));
        let space = if is_z { SearchSpace::Z } else { SearchSpace::W };
        let start = |(code, class): (Vec<f32>, Option<usize>)| {
            let values = self.chart.coordinates(&code);
            Descent::new(Variables { dim: values.len(), values, space }, class)
        };
        sampled.chain(mean).map(start).collect()
    }

    /// One step of all trials at once, on the smallest pictures.
    fn try_all(
        &self,
        engine: &Engine,
        gradients: &mut Gradients,
        trials: &mut [Descent],
        settings: &Settings,
    ) -> Result<(), InvertError> {
        let points: Vec<Point> = trials.iter().map(|trial| self.point(trial)).collect();
        let slopes = self.slopes(engine, gradients, &points, 0)?;
        for (trial, slope) in trials.iter_mut().zip(slopes) {
            let (cost, gradient) = self.regularised(trial, slope, settings);
            // One that overflows loses.
            if cost.is_finite() && gradient.iter().all(|x| x.is_finite()) {
                trial.note(cost);
                trial.adam.step(&mut trial.variables.values, &gradient, RATE);
                self.keep_on_sphere(&mut trial.variables);
            }
        }
        Ok(())
    }

    fn point(&self, descent: &Descent) -> Point {
        Point::new(descent.variables.code(&self.chart), descent.class, self.psi)
    }

    fn slopes(
        &self,
        engine: &Engine,
        gradients: &mut Gradients,
        points: &[Point],
        view: usize,
    ) -> Result<Vec<Slope>, InvertError> {
        let View { stages, likeness, .. } = &self.views[view];
        let mut cost = |_: usize, picture: &[f32], _: [usize; 3]| likeness.cost(picture);
        Ok(gradients.pull(engine, points, self.edit.noise.mode, *stages, &mut cost)?)
    }

    /// The cost with what keeps the code typical, and its gradient with respect to the variables.
    fn regularised(&self, descent: &Descent, slope: Slope, settings: &Settings) -> (f64, Vec<f32>) {
        let rows = slope.rows.len() as f64;
        let (weight, mut cost) = (TYPICAL * f64::from(settings.editable) / rows, slope.cost);
        let mut gradient = Vec::with_capacity(descent.variables.values.len());
        for (at, of_row) in descent.variables.rows().zip(&slope.rows) {
            let code = self.chart.code(at);
            let (length, of_length) = self.typical.length(&code);
            cost += weight * length;
            let sum: Vec<f32> = of_row.iter().zip(&of_length).map(|(a, b)| a + weight as f32 * b).collect();
            gradient.extend(self.chart.pull(&sum));
        }
        if descent.variables.space == SearchSpace::WPlus {
            let dim = descent.variables.dim;
            let weight = TOGETHERNESS * f64::from(settings.editable) / (rows * dim as f64);
            let mut mean = vec![0.0; dim];
            descent
                .variables
                .rows()
                .for_each(|row| mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x / rows as f32));
            for (row, gradient) in descent.variables.rows().zip(gradient.chunks_exact_mut(dim)) {
                for ((x, mean), to) in row.iter().zip(&mean).zip(gradient) {
                    cost += weight * f64::from(x - mean).powi(2);
                    *to += 2.0 * weight as f32 * (x - mean);
                }
            }
        }
        (cost, gradient)
    }

    /// What step number `step` does.
    fn phase(&self, step: usize, settings: &Settings) -> Phase {
        let at = step as f64 / settings.steps.max(1) as f64;
        // Most steps on small pictures, the last fifth on the whole.
        let coarse = [0.0, 0.3, 0.55].iter().filter(|&&start| at >= start).count() - 1;
        let last = self.views.len() - 1;
        let view = if at >= 0.8 { last } else { coarse.min(last) };
        let space = match settings.space {
            SearchSpace::WPlus if at < 0.3 => SearchSpace::W,
            space => space,
        };
        Phase { view, space }
    }

    /// One step; true after the last one.
    fn descend(
        &self,
        engine: &Engine,
        gradients: &mut Gradients,
        descent: &mut Descent,
        settings: &Settings,
    ) -> Result<bool, InvertError> {
        if descent.step >= settings.steps {
            return Ok(true);
        }
        let phase = self.phase(descent.step, settings);
        if descent.phase != Some(phase) {
            descent.enter(phase, self.layers);
        }
        let point = self.point(descent);
        let Some(slope) = self.slopes(engine, gradients, &[point], phase.view)?.pop() else { return Ok(true) };
        let (cost, gradient) = self.regularised(descent, slope, settings);
        if !cost.is_finite() || !gradient.iter().all(|x| x.is_finite()) {
            descent.overflows += 1;
            if descent.overflows >= OVERFLOWS {
                return Err(InvertError::Overflow { model: self.model.clone() });
            }
            descent.step_back();
            return Ok(false);
        }
        descent.note(cost);
        if descent.stalled >= PATIENCE {
            // The next kind of pictures or variables, or the end.
            let next = (descent.step..settings.steps).find(|&step| self.phase(step, settings) != phase);
            let Some(next) = next else { return Ok(true) };
            descent.step = next;
            return Ok(false);
        }
        let rate = RATE * descent.caution * rate_at(1.0, (descent.step as f32 + 0.5) / settings.steps as f32);
        descent.adam.step(&mut descent.variables.values, &gradient, rate);
        self.keep_on_sphere(&mut descent.variables);
        descent.taken += 1;
        descent.step += 1;
        Ok(descent.step >= settings.steps)
    }

    fn found(&self, engine: &Engine, gradients: &Gradients, descent: &Descent) -> Result<Found, InvertError> {
        let variables = descent.best_variables();
        let code = variables.code(&self.chart);
        let whole = &self.views[self.views.len() - 1];
        let point = Point::new(code.clone(), descent.class, self.psi);
        let pictures = gradients.pictures(engine, &[point], self.edit.noise.mode, whole.stages)?;
        let psnr = decibels(whole.likeness.mean_square(&pictures[0]));
        let percentiles = variables.rows().map(|row| self.typical.percentile(&self.chart.code(row)));
        let percentile = percentiles.sum::<f64>() / variables.rows().len() as f64;
        let edit = self.edit_of(code, descent.class);
        let code = edit.sample.code.clone();
        Ok(Found { code, class: descent.class, edit, psnr, percentile, steps: descent.taken })
    }
}

/// Of the pictures that a network makes on the way: 64 pixels, 128, 256 and the whole, as far as it has them; and what samples are
/// ranked by.
fn views(target: &Target, sizes: &[(usize, Size)]) -> (Vec<View>, View) {
    let whole = sizes.last().map_or((usize::MAX, target.size), |(stages, _)| (*stages, target.size));
    // Pictures that a growing network doubles without detail tell nothing new.
    let of_side = |side: usize| {
        let (stages, size) = sizes.iter().find(|(_, size)| size.larger() >= side)?;
        Some((*stages, [size.height, size.width]))
    };
    let mut chosen: Vec<(usize, [usize; 2])> = [64, 128, 256].into_iter().filter_map(of_side).chain([whole]).collect();
    chosen.dedup();
    let small = of_side(COMPARED).unwrap_or(whole);
    let view = |(stages, size): (usize, [usize; 2])| View::new(target, stages, size, size[0].max(size[1]));
    (chosen.into_iter().map(view).collect(), View::new(target, small.0, small.1, COMPARED))
}

impl Descent {
    fn new(variables: Variables, class: Option<usize>) -> Self {
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
    fn from(trial: Descent) -> Self {
        Descent::new(trial.best_variables(), trial.class)
    }

    fn best_variables(&self) -> Variables {
        let values = self.best.as_ref().map_or(&self.variables.values, |best| &best.values);
        Variables { values: values.clone(), ..self.variables.clone() }
    }

    /// Remembers a cost of the present variables.
    fn note(&mut self, cost: f64) {
        if self.best.as_ref().is_none_or(|best| cost < best.cost) {
            self.best = Some(Best { cost, values: self.variables.values.clone() });
        }
        if cost < (1.0 - STALLED) * self.mark {
            (self.mark, self.stalled) = (cost, 0);
        } else {
            self.stalled += 1;
        }
    }

    /// Goes on from the best so far with other pictures or variables.
    fn enter(&mut self, phase: Phase, layers: usize) {
        self.variables = self.best_variables();
        if phase.space == SearchSpace::WPlus && self.variables.space == SearchSpace::W {
            self.variables = self.variables.spread(layers);
            self.adam = Adam::new(self.variables.values.len());
        }
        (self.best, self.mark, self.stalled, self.phase) = (None, f64::INFINITY, 0, Some(phase));
    }

    /// Goes on from the best so far by smaller steps.
    fn step_back(&mut self) {
        self.variables = self.best_variables();
        self.adam = Adam::new(self.variables.values.len());
        self.caution *= 0.5;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_become_their_means() {
        let plane: Vec<f32> = (0..24).map(|i| i as f32).collect();
        assert_eq!(area_means(&plane, 1, [4, 6], [2, 2]), [4.0, 7.0, 16.0, 19.0]);
        assert_eq!(area_means(&plane, 1, [4, 6], [4, 6]), plane);
        let found = area_means(&[0.0, 3.0, 6.0], 1, [1, 3], [1, 2]);
        assert!((found[0] - 1.0).abs() < 1e-6 && (found[1] - 5.0).abs() < 1e-6, "{found:?}");
    }
}
