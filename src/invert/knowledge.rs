//! What a search knows of the model, and what it does with it.

use std::sync::Arc;

use super::adam::{SLOWING, rate_at};
use super::cost::decibels;
use super::descent::{Descent, Phase, Seen};
use super::perceived::Perceived;
use super::space::{Chart, Variables};
use super::typical::{Typical, before_activation};
use super::view::{View, views};
use super::{Found, InvertError, SearchSpace, Settings, Target};
use crate::edit::{Code, Edit, Noise, Sample, Truncation};
use crate::family::Family;
use crate::perceptual::Perceptual;
use crate::render::{Drawn, Engine, Gradients, Point, RenderError, Slope, moments_of};

/// Samples that the start is chosen from: as many as steps, within these bounds, since each costs less than a step; and fewer where
/// pictures are large and cannot be made smaller.
const SAMPLES: [usize; 2] = [64, 1024];
/// Pixels that those may have together.
const SAMPLE_PIXELS: usize = 1024 * 64 * 64;
/// Samples that are drawn at a time.
const TOGETHER: usize = 16;
/// Codes that distributions are estimated from, at least.
const CODES: usize = 4096;
/// Samples that are descended for a few steps each, beside the mean.
const TRIED: usize = 4;
pub(super) const TRIAL_STEPS: usize = 20;
/// Learning rate, in standard deviations of codes.
const RATE: f32 = 0.1;
/// Weights of how far codes are from typical ones, and of how far layers' codes are from each other, at the settings' 1.
const TYPICAL: f64 = 0.05;
const TOGETHERNESS: f64 = 0.05;
/// Factor of the rate where a search goes on: what is near already would be lost by larger steps.
const RESUMED: f32 = 0.3;
/// Times that values may overflow.
const OVERFLOWS: usize = 3;

/// What is known of the model.
pub(super) struct Knowledge {
    pub chart: Chart,
    typical: Typical,
    /// The network divides z by its length.
    is_on_sphere: bool,
    layers: usize,
    psi: f32,
    edit: Edit,
    pub model: String,
    /// Pictures on the way, from the smallest useful one to the whole: after how many stages, and what they are compared with.
    views: Vec<View>,
    /// How much they look like the photo to a network, if there is one.
    perceived: Vec<Option<Perceived>>,
    /// For ranking samples.
    small: View,
    /// Samples that will be looked at.
    pub samples: usize,
}

impl Knowledge {
    pub(super) fn gather(
        engine: &mut Engine,
        gradients: &mut Gradients,
        target: &Target,
        settings: &Settings,
        perceptual: Option<&Arc<Perceptual>>,
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
            sample: Sample { photo: target.note.clone(), ..Sample::default() },
            truncation: Truncation { psi, cutoff: None },
            noise: Noise { mode: info.noise_mode(settings.noise), seed: 0 },
            ..info.start(0)
        };
        let some = engine.drawn(settings.seed, 0..1, settings.class)?;
        let some = some.into_iter().next().ok_or(RenderError::NoModel)?;
        let sizes = gradients.picture_sizes(engine, &Point::new(Code::Z(some.z), some.class, psi))?;
        let (views, small) = views(target, &sizes);
        let see = |view: &View| perceptual.map(|network| Perceived::new(network, target, view.size)).transpose();
        let perceived = views.iter().map(see).collect::<Result<_, _>>()?;
        let [fewest, most] = SAMPLES;
        let samples = settings.steps.min(SAMPLE_PIXELS / (small.size[0] * small.size[1])).clamp(fewest, most);
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
            perceived,
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

    pub(super) fn edit_of(&self, code: Code, class: Option<usize>) -> Edit {
        let code = match code {
            Code::W(w) => Code::WPlus(vec![w; self.layers]),
            code => code,
        };
        Edit { sample: Sample { code, class, ..self.edit.sample.clone() }, ..self.edit.clone() }
    }

    /// Draws some samples and keeps the best; the number of the next one.
    pub(super) fn rank(
        &self,
        engine: &Engine,
        gradients: &mut Gradients,
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
    pub(super) fn starts(&self, engine: &Engine, best: Vec<(f64, Drawn)>, settings: &Settings) -> Vec<Descent> {
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

    /// Where a search goes on from a code that was found before.
    pub(super) fn resume(&self, code: &Code, settings: &Settings) -> Result<Descent, InvertError> {
        let (rows, space) = match (code, settings.space) {
            (Code::Z(z), SearchSpace::Z) => (std::slice::from_ref(z), SearchSpace::Z),
            (Code::W(w), SearchSpace::W | SearchSpace::WPlus) => (std::slice::from_ref(w), SearchSpace::W),
            (Code::WPlus(rows), SearchSpace::WPlus) => (rows.as_slice(), SearchSpace::WPlus),
            (_, space) => return Err(InvertError::From { space }),
        };
        let values = rows.iter().map(|row| self.chart.coordinates(row)).collect::<Vec<_>>();
        let dim = values.first().map_or(0, Vec::len);
        let mut descent = Descent::new(Variables { values: values.concat(), dim, space }, settings.class);
        descent.caution = RESUMED;
        Ok(descent)
    }

    /// One step of all trials at once, on the smallest pictures.
    pub(super) fn try_all(
        &self,
        engine: &Engine,
        gradients: &mut Gradients,
        trials: &mut [Descent],
        settings: &Settings,
    ) -> Result<(), InvertError> {
        let points: Vec<Point> = trials.iter().map(|trial| self.point(trial)).collect();
        let slopes = self.slopes(engine, gradients, &points, 0)?;
        for (trial, (slope, seen)) in trials.iter_mut().zip(slopes) {
            let (cost, gradient) = self.regularised(trial, slope, settings);
            // One that overflows loses.
            if cost.is_finite() && gradient.iter().all(|x| x.is_finite()) {
                trial.note(cost, seen);
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
    ) -> Result<Vec<(Slope, Seen)>, InvertError> {
        let (View { stages, likeness, .. }, perceived) = (&self.views[view], &self.perceived[view]);
        let mut failed = None;
        let mut seen = vec![Seen::default(); points.len()];
        let mut cost = |at: usize, picture: &[f32], [_, height, width]: [usize; 3]| {
            let psnr = decibels(likeness.mean_square(picture));
            seen[at] = Seen { picture: picture.to_vec(), size: [height, width], psnr };
            let (mut of_values, mut gradient) = likeness.cost(picture);
            match perceived.as_ref().map(|perceived| perceived.add(picture, &mut gradient)) {
                Some(Ok(seen)) => of_values += seen,
                Some(Err(error)) => failed = Some(error),
                None => {}
            }
            (of_values, gradient)
        };
        let slopes = gradients.pull(engine, points, self.edit.noise.mode, *stages, &mut cost)?;
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(slopes.into_iter().zip(seen).collect()),
        }
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
        let last = self.views.len() - 1;
        if settings.from.is_some() {
            return Phase { view: last, space: settings.space };
        }
        let at = step as f64 / settings.steps.max(1) as f64;
        // Most steps on small pictures, the last fifth on the whole.
        let coarse = [0.0, 0.3, 0.55].iter().filter(|&&start| at >= start).count() - 1;
        let view = if at >= 0.8 { last } else { coarse.min(last) };
        let space = match settings.space {
            SearchSpace::WPlus if at < 0.3 => SearchSpace::W,
            space => space,
        };
        Phase { view, space }
    }

    /// One step; true after the last one.
    pub(super) fn descend(
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
        let Some((slope, seen)) = self.slopes(engine, gradients, &[point], phase.view)?.pop() else {
            return Ok(true);
        };
        let (cost, gradient) = self.regularised(descent, slope, settings);
        if !cost.is_finite() || !gradient.iter().all(|x| x.is_finite()) {
            descent.overflows += 1;
            if descent.overflows >= OVERFLOWS {
                return Err(InvertError::Overflow { model: self.model.clone() });
            }
            descent.step_back();
            return Ok(false);
        }
        descent.note(cost, seen);
        if descent.is_stalled() {
            // The next kind of pictures or variables; or smaller steps, and then the end.
            let next = (descent.step..settings.steps).find(|&step| self.phase(step, settings) != phase);
            let slowing = (settings.steps as f32 * SLOWING).ceil() as usize;
            match next.or((descent.step < slowing).then_some(slowing)) {
                Some(next) => descent.skip_to(next),
                None => return Ok(true),
            }
            return Ok(descent.step >= settings.steps);
        }
        let rate = RATE * descent.caution * rate_at(1.0, (descent.step as f32 + 0.5) / settings.steps as f32);
        descent.adam.step(&mut descent.variables.values, &gradient, rate);
        self.keep_on_sphere(&mut descent.variables);
        descent.taken += 1;
        descent.step += 1;
        Ok(descent.step >= settings.steps)
    }

    pub(super) fn found(
        &self,
        engine: &Engine,
        gradients: &mut Gradients,
        descent: &Descent,
    ) -> Result<Found, InvertError> {
        let variables = descent.best_variables();
        let code = variables.code(&self.chart);
        let whole = &self.views[self.views.len() - 1];
        let point = Point::new(code.clone(), descent.class, self.psi);
        let pictures = gradients.pictures(engine, &[point], self.edit.noise.mode, whole.stages)?;
        let psnr = decibels(whole.likeness.mean_square(&pictures[0]));
        let perceived = self.perceived.last().and_then(Option::as_ref);
        let lpips = perceived.map(|perceived| perceived.distance(&pictures[0])).transpose()?;
        let percentiles = variables.rows().map(|row| self.typical.percentile(&self.chart.code(row)));
        let percentile = percentiles.sum::<f64>() / variables.rows().len() as f64;
        let edit = self.edit_of(code, descent.class);
        Ok(Found { edit, psnr, percentile, steps: descent.taken, lpips })
    }
}
