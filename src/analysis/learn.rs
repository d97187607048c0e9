//! Directions that are learned: from scores of samples, or from marks that a person gave them.
//!
//! InterFaceGAN (Shen et al., CVPR 2020) takes the normal of a plane between the samples with the highest and the lowest scores. All
//! scores together tell more than the few at both ends: in 512 dimensions, 2 % of 2000 samples at either end leave |cos| near 0.4 to a
//! planted direction, ridge regression on all of them 0.99. For marks, which are few and have no strength, the plane is that of a
//! logistic regression.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

use crate::eigen::{NoConvergence, symmetric};

/// A direction that changes what was scored or marked.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// Of unit length; scores rise along it.
    pub vector: Vec<f32>,
    /// Of every fifth sample, which the direction was not learned from: for scores, the share of their variance that is foretold (R²);
    /// for marks, the share that is told right. `None` where there were too few to spare any.
    pub held_out: Option<f64>,
    pub samples: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum LearnError {
    #[error("expected at least {LEAST_SCORES} samples with a score that is a number, found {0}")]
    FewScores(usize),
    #[error("all samples have the same score: there is nothing to learn")]
    Constant,
    #[error("expected at least {LEAST_MARKS} marks of each kind, found {up} for and {down} against")]
    FewMarks { up: usize, down: usize },
    #[error("the marked samples have the same codes: there is nothing to learn")]
    SameCodes,
    #[error(transparent)]
    NoConvergence(#[from] NoConvergence),
}

const LEAST_SCORES: usize = 10;
const LEAST_MARKS: usize = 2;
/// Every so many samples one is held out.
const FOLD: usize = 5;
/// Marks of a kind from which on some are held out.
const SPARED_FROM: usize = 10;
/// Penalties that are tried, in parts of the codes' mean variance.
const PENALTIES: [f64; 9] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0];
/// Newton's steps, more than ever needed.
const NEWTON_STEPS: usize = 50;

/// The direction along which scores rise most surely: ridge regression whose penalty has the least generalised cross-validation error
/// (Golub, Heath & Wahba, 1979). `codes` are `dim` numbers each; scores that are no numbers are left out.
///
/// # Errors
/// Too few scores, or all the same.
pub fn from_scores(codes: &[&[f32]], scores: &[f64]) -> Result<Learned, LearnError> {
    let known: Vec<(&[f32], f64)> =
        codes.iter().copied().zip(scores.iter().copied()).filter(|(_, score)| score.is_finite()).collect();
    if known.len() < LEAST_SCORES {
        return Err(LearnError::FewScores(known.len()));
    }
    let (apart, kept): (Vec<_>, Vec<_>) = known.iter().enumerate().partition(|(at, _)| at % FOLD == FOLD - 1);
    let [apart, kept] = [apart, kept].map(|some| some.into_iter().map(|(_, known)| *known).collect::<Vec<_>>());
    let plane = ridge(&kept)?;
    let held_out = plane.explained(&apart);
    let Plane { weights, .. } = ridge(&known)?;
    Ok(Learned { vector: unit(&weights).ok_or(LearnError::Constant)?, held_out, samples: known.len() })
}

/// The direction from samples that were marked down to those that were marked up: logistic regression with a quadratic penalty.
///
/// # Errors
/// Fewer than two marks of a kind.
pub fn from_marks(up: &[&[f32]], down: &[&[f32]]) -> Result<Learned, LearnError> {
    if up.len().min(down.len()) < LEAST_MARKS {
        return Err(LearnError::FewMarks { up: up.len(), down: down.len() });
    }
    let marked = |codes: &[&[f32]], is_apart: &dyn Fn(usize) -> bool, truth: f64| -> Vec<(Vec<f32>, f64)> {
        let some = codes.iter().enumerate().filter(|(at, _)| is_apart(*at));
        some.map(|(_, code)| (code.to_vec(), truth)).collect()
    };
    let both = |is_apart: &dyn Fn(usize) -> bool| {
        let mut all = marked(up, is_apart, 1.0);
        all.extend(marked(down, is_apart, 0.0));
        all
    };
    let all = both(&|_| true);
    let held_out = (up.len().min(down.len()) >= SPARED_FROM).then(|| {
        let plane = logistic(&both(&|at| at % FOLD != FOLD - 1))?;
        let apart = both(&|at| at % FOLD == FOLD - 1);
        let right = apart.iter().filter(|(code, truth)| (plane.value(code) > 0.0) == (*truth > 0.5)).count();
        Some(right as f64 / apart.len() as f64)
    });
    let plane = logistic(&all).ok_or(LearnError::SameCodes)?;
    let vector = unit(&plane.weights).ok_or(LearnError::SameCodes)?;
    Ok(Learned { vector, held_out: held_out.flatten(), samples: all.len() })
}

/// `weights` times a code, less `offset`.
struct Plane {
    weights: Vec<f64>,
    offset: f64,
}

impl Plane {
    fn value(&self, code: &[f32]) -> f64 {
        self.weights.iter().zip(code).map(|(w, &x)| w * f64::from(x)).sum::<f64>() - self.offset
    }

    /// R²
    fn explained(&self, samples: &[(&[f32], f64)]) -> Option<f64> {
        let mean = samples.iter().map(|(_, score)| score).sum::<f64>() / samples.len() as f64;
        let all: f64 = samples.iter().map(|(_, score)| (score - mean).powi(2)).sum();
        let left: f64 = samples.iter().map(|(code, score)| (score - self.value(code)).powi(2)).sum();
        (all > 0.0).then(|| 1.0 - left / all)
    }
}

fn unit(weights: &[f64]) -> Option<Vec<f32>> {
    let length = weights.iter().map(|x| x * x).sum::<f64>().sqrt();
    (length > 0.0 && length.is_finite()).then(|| weights.iter().map(|x| (x / length) as f32).collect())
}

fn mean_of<'a>(codes: impl ExactSizeIterator<Item = &'a [f32]>, dim: usize) -> Vec<f64> {
    let count = codes.len() as f64;
    let mut mean = vec![0.0; dim];
    for code in codes {
        mean.iter_mut().zip(code).for_each(|(sum, &x)| *sum += f64::from(x) / count);
    }
    mean
}

fn ridge(samples: &[(&[f32], f64)]) -> Result<Plane, LearnError> {
    let (n, dim) = (samples.len(), samples[0].0.len());
    let mean = mean_of(samples.iter().map(|(code, _)| *code), dim);
    let middle = samples.iter().map(|(_, score)| score).sum::<f64>() / n as f64;
    let x = Mat::from_fn(n, dim, |row, column| f64::from(samples[row].0[column]) - mean[column]);
    let y = Mat::from_fn(n, 1, |row, _| samples[row].1 - middle);
    let square: f64 = samples.iter().map(|(_, score)| (score - middle).powi(2)).sum();
    // What differs by rounding alone is the same.
    if square <= n as f64 * (1e-9 * middle).powi(2) {
        return Err(LearnError::Constant);
    }
    let products = x.transpose() * &x;
    let towards = x.transpose() * &y;
    let lower: Vec<f64> = (0..dim)
        .flat_map(|column| (0..dim).map(move |row| (row, column)))
        .map(|(row, column)| products[(row, column)])
        .collect();
    let eigen = symmetric(&lower, dim)?;
    let along: Vec<f64> = eigen
        .vectors
        .chunks_exact(dim)
        .map(|vector| vector.iter().enumerate().map(|(at, &v)| f64::from(v) * towards[(at, 0)]).sum())
        .collect();
    let scale = eigen.values.iter().sum::<f64>() / dim as f64;
    let error = |penalty: f64| {
        let (mut left, mut freedom) = (square, 1.0);
        for (value, along) in eigen.values.iter().zip(&along) {
            let of = 1.0 / (value + penalty);
            left -= along * along * of * (2.0 - value * of);
            freedom += value * of;
        }
        left.max(0.0) / (n as f64 - freedom).max(1e-9).powi(2)
    };
    let penalties = PENALTIES.map(|part| (part * scale).max(f64::MIN_POSITIVE));
    let best = penalties.into_iter().min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap_or(scale);
    let mut weights = vec![0.0; dim];
    for ((vector, value), along) in eigen.vectors.chunks_exact(dim).zip(&eigen.values).zip(&along) {
        let part = along / (value + best);
        weights.iter_mut().zip(vector).for_each(|(w, &v)| *w += part * f64::from(v));
    }
    let offset = weights.iter().zip(&mean).map(|(w, m)| w * m).sum::<f64>() - middle;
    Ok(Plane { weights, offset })
}

/// `None` if all codes are the same.
fn logistic(samples: &[(Vec<f32>, f64)]) -> Option<Plane> {
    let (n, dim) = (samples.len(), samples[0].0.len());
    let mean = mean_of(samples.iter().map(|(code, _)| code.as_slice()), dim);
    let square = |code: &[f32]| code.iter().zip(&mean).map(|(&x, mean)| (f64::from(x) - mean).powi(2)).sum::<f64>();
    let scale = (samples.iter().map(|(code, _)| square(code)).sum::<f64>() / (n * dim) as f64).sqrt();
    if scale.is_nan() || scale <= 0.0 {
        return None;
    }
    // The last column is the offset, which costs nothing.
    let x = Mat::from_fn(n, dim + 1, |row, column| match column == dim {
        true => 1.0,
        false => (f64::from(samples[row].0[column]) - mean[column]) / scale,
    });
    let mut weights = Mat::<f64>::zeros(dim + 1, 1);
    for _ in 0..NEWTON_STEPS {
        let values = &x * &weights;
        let shares: Vec<f64> = (0..n).map(|row| 1.0 / (1.0 + (-values[(row, 0)]).exp())).collect();
        let weighted =
            Mat::from_fn(n, dim + 1, |row, column| (shares[row] * (1.0 - shares[row])).max(1e-9) * x[(row, column)]);
        let mut bend = x.transpose() * &weighted;
        (0..dim).for_each(|at| bend[(at, at)] += 1.0);
        bend[(dim, dim)] += 1e-9;
        let apart = Mat::from_fn(n, 1, |row, _| shares[row] - samples[row].1);
        let mut slope = x.transpose() * &apart;
        (0..dim).for_each(|at| slope[(at, 0)] += weights[(at, 0)]);
        let step = bend.llt(Side::Lower).ok()?.solve(&slope);
        weights = &weights - &step;
        if step.norm_l2() < 1e-9 * weights.norm_l2().max(1.0) {
            break;
        }
    }
    let normal: Vec<f64> = (0..dim).map(|at| weights[(at, 0)] / scale).collect();
    let offset = normal.iter().zip(&mean).map(|(w, m)| w * m).sum::<f64>() - weights[(dim, 0)];
    Some(Plane { weights: normal, offset })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latent;

    const DIM: usize = 512;

    /// Codes whose numbers have different spreads and depend on each other, as those in w do; and a direction.
    fn codes(count: usize) -> (Vec<Vec<f32>>, Vec<f32>) {
        let normal = latent::z_from_seed;
        let spread: Vec<f32> = (0..DIM).map(|at| 0.3 + 1.4 * (at * 7919 % DIM) as f32 / DIM as f32).collect();
        let code = |seed| -> Vec<f32> {
            let z = normal(seed, DIM);
            (0..DIM).map(|at| spread[at] * (z[at] + 0.5 * z[(at + 1) % DIM])).collect()
        };
        (
            (0..count as u64).map(code).collect(),
            unit(&normal(99_999, DIM).iter().map(|&x| f64::from(x)).collect::<Vec<_>>()).unwrap(),
        )
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum()
    }

    fn slices(codes: &[Vec<f32>]) -> Vec<&[f32]> {
        codes.iter().map(Vec::as_slice).collect()
    }

    #[test]
    fn a_planted_direction_is_found_in_noisy_scores() {
        let (codes, planted) = codes(2000);
        let noise = latent::z_from_seed(77, 2000);
        let mut scores: Vec<f64> =
            codes.iter().zip(&noise).map(|(code, noise)| dot(code, &planted) + 0.1 * f64::from(*noise)).collect();
        let learned = from_scores(&slices(&codes), &scores).unwrap();
        assert!(dot(&learned.vector, &planted) > 0.98, "{}", dot(&learned.vector, &planted));
        assert!(learned.held_out.unwrap() > 0.95 && learned.samples == 2000, "{:?}", learned.held_out);
        // Scores of which some are missing, and in other units, lead to the same.
        scores.iter_mut().step_by(7).for_each(|score| *score = f64::NAN);
        scores.iter_mut().for_each(|score| *score = 1000.0 - 30.0 * *score);
        let again = from_scores(&slices(&codes), &scores).unwrap();
        assert!(dot(&again.vector, &planted) < -0.97 && again.samples < 2000);
    }

    #[test]
    fn noise_alone_foretells_nothing() {
        let (codes, _) = codes(600);
        let noise: Vec<f64> = latent::z_from_seed(5, 600).into_iter().map(f64::from).collect();
        let held_out = from_scores(&slices(&codes), &noise).unwrap().held_out.unwrap();
        assert!(held_out < 0.1, "{held_out}");
    }

    #[test]
    fn marks_lead_from_one_kind_to_the_other() {
        let (codes, planted) = codes(1500);
        let (up, down): (Vec<_>, Vec<_>) = codes.iter().map(Vec::as_slice).partition(|code| dot(code, &planted) > 0.0);
        let learned = from_marks(&up, &down).unwrap();
        assert!(dot(&learned.vector, &planted) > 0.8, "{}", dot(&learned.vector, &planted));
        assert!(learned.held_out.unwrap() > 0.7, "{:?}", learned.held_out);
        let few = from_marks(&up[..3], &down[..2]).unwrap();
        assert!(few.held_out.is_none() && dot(&few.vector, &learned.vector) > 0.0);
        assert!(dot(&few.vector, up[0]) > dot(&few.vector, down[0]));
    }

    #[test]
    fn what_cannot_be_learned_from_is_said() {
        let (codes, _) = codes(20);
        let codes = slices(&codes);
        assert_eq!(from_scores(&codes, &[2.5; 20]), Err(LearnError::Constant));
        assert_eq!(from_scores(&codes, &[f64::NAN; 20]), Err(LearnError::FewScores(0)));
        assert_eq!(from_scores(&codes[..9], &[1.0; 9]), Err(LearnError::FewScores(9)));
        let few = from_marks(&codes[..1], &codes[1..]).unwrap_err();
        assert_eq!(few, LearnError::FewMarks { up: 1, down: 19 });
        assert!(few.to_string().contains("at least 2 marks of each kind, found 1 for and 19 against"));
        assert_eq!(from_marks(&[codes[0]; 3], &[codes[0]; 3]), Err(LearnError::SameCodes));
    }
}
