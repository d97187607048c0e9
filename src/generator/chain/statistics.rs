//! What the statistics that batch norms have stored say of a network: the activations before them, strides, the prior.
//!
//! A network that was trained as a hypothesis says brings to each batch norm what it has stored: codes are run through, and
//! mean and variance before every batch norm are compared with the running ones. (Nothing is said of what follows the last.)

use std::collections::HashMap;

use burn::tensor::{Device, Tensor};

use super::build::{Builder, Norms};
use super::entries::takes_flow;
use super::op::{Inputs, run_all};
use super::shapes::{Shapes, Totals};
use super::{LoadError, Statistics, Tally, tensor};
use crate::edit::{Seed, SeedKind};
use crate::latent;
use crate::layout::{EPSILON, Reading, Weights};
use crate::limits;
use crate::ops::Place;
use crate::progress::{Progress, Report};
use crate::recipe::{Fact, Source};

/// Multiplications that the test is planned to take where the file allows as many.
const PLANNED: u64 = 75_000_000_000;
/// Codes of one run, most and least; and of one where much is tried together.
const CODES: [u64; 2] = [2000, 16];
const WIDE: [u64; 2] = [200, 8];
/// Numbers of the largest map of all codes together.
const MAX_NUMBERS: u64 = 1 << 25;
/// Codes of an "as in training" batch.
const BATCH: usize = 64;
/// Above this a hypothesis does not fit: real networks score 0.02 to 0.2 when they are read right, and wrong readings of
/// them, or networks of random weights, rarely less than 0.4.
const MISFIT: f32 = 0.35;
/// Strides and paddings that are not customary have to be better by this.
const UNUSUAL: f32 = 0.05;
/// What reading and packing one weight costs, in multiplications.
const WEIGHT: u64 = 200;
/// What making one number of a map costs besides its multiplications: it is written, normalised and read again.
const NUMBER: u64 = 50;
/// Hypotheses as close as this are not told apart.
const TIE: f32 = 0.02;
/// What one channel adds to a score at most: a dead one has a variance of nothing.
const MAX_TERM: f64 = 4.0;

/// A batch norm that tells what comes to it.
pub(super) struct Norm {
    pub(super) name: String,
    pub(super) mean: Vec<f64>,
    pub(super) variance: Vec<f64>,
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) epsilon: f64,
    /// Normalises by what comes, in place of what is stored.
    pub(super) by_batch: bool,
}

impl Norm {
    /// Factor and summand of each channel.
    pub(super) fn factors(&self) -> (Vec<f32>, Vec<f32>) {
        factors(self, &self.mean, &self.variance)
    }

    /// The normalised map, and mean and variance of what came.
    pub(super) fn apply(&self, x: Tensor<4>) -> (Tensor<4>, Seen) {
        let seen = seen(&x);
        let (factor, offset) = if self.by_batch { factors(self, &seen.0, &seen.1) } else { self.factors() };
        let (channels, device) = (factor.len(), x.device());
        let per_channel = |values| tensor(values, [1, channels, 1, 1], &device);
        (x * per_channel(factor) + per_channel(offset), seen)
    }
}

type Seen = (Vec<f64>, Vec<f64>);

fn factors(norm: &Norm, mean: &[f64], variance: &[f64]) -> (Vec<f32>, Vec<f32>) {
    let factor = |(weight, variance): (&f32, &f64)| f64::from(*weight) / (variance + norm.epsilon).sqrt();
    let factors: Vec<f64> = norm.weight.iter().zip(variance).map(factor).collect();
    let offset = |((factor, mean), bias): ((&f64, &f64), &f32)| (f64::from(*bias) - mean * factor) as f32;
    let offsets = factors.iter().zip(mean).zip(&norm.bias).map(offset).collect();
    (factors.into_iter().map(|factor| factor as f32).collect(), offsets)
}

/// Mean and variance of each channel.
fn seen(x: &Tensor<4>) -> Seen {
    let [n, channels, height, width] = x.dims();
    let values = super::super::read_back(x.clone()).unwrap_or_default();
    let (pixels, count) = (height * width, (n * height * width) as f64);
    let mut sums = vec![(0.0f64, 0.0f64); channels];
    for (at, map) in values.chunks_exact(pixels.max(1)).enumerate() {
        // In two sums of f32 over one map, which is short.
        let (sum, squares) = map.iter().fold((0.0f32, 0.0f32), |(sum, squares), x| (sum + x, squares + x * x));
        let channel = &mut sums[at % channels];
        *channel = (channel.0 + f64::from(sum), channel.1 + f64::from(squares));
    }
    let mean: Vec<f64> = sums.iter().map(|(sum, _)| sum / count).collect();
    let variance = sums.iter().zip(&mean).map(|((_, squares), mean)| (squares / count - mean * mean).max(0.0));
    let variance = variance.collect();
    (mean, variance)
}

/// What comes to every batch norm, by the name of its mean.
/// As far as the given number of steps with norms.
fn run(
    shapes: &Shapes,
    codes: usize,
    norms: usize,
    by_batch: bool,
    tally: &mut Tally,
) -> Result<Vec<(Norm, Seen)>, LoadError> {
    let device = Device::flex();
    let place = Place::from(&device);
    let recipe = shapes.recipe;
    let entries = usize::from(takes_flow(&recipe.steps));
    let mut builder = Builder { shapes, place: &place, tally, norms: Norms::Measured(by_batch), entries };
    let ops: Vec<_> = builder.ops(&recipe.steps, [recipe.z_dim, 1, 1])?.into_iter().map(|(op, _)| op).collect();
    let entries = builder.entries;
    let z = latent::draw(recipe.prior, Seed { number: 0, kind: SeedKind::Studio }, codes * recipe.z_dim);
    let z = tensor(z, [codes, recipe.z_dim, 1, 1], &device);
    let class = recipe.classes.map(|classes| {
        let rows = (0..codes).flat_map(|n| (0..classes).map(move |class| f32::from(u8::from(class == n % classes))));
        tensor(rows.collect(), [codes, classes, 1, 1], &device)
    });
    let codes = (0..entries).map(|entry| (entry, z.clone())).collect();
    let inputs = Inputs { codes, class, ..Inputs::default() };
    let mut ops = ops;
    // Nothing is told by what follows the last norm.
    let measuring = ops.iter().enumerate().filter(|(_, op)| op.measures()).map(|(at, _)| at + 1);
    let last = measuring.take(norms).last().unwrap_or(0);
    ops.truncate(last);
    run_all(&ops, z, &inputs);
    let norms = ops.into_iter().flat_map(super::op::Op::into_norms);
    Ok(norms.zip(inputs.seen.into_inner()).collect())
}

/// Statistics of a batch that is drawn anew, as in training.
pub(super) fn of_a_batch(shapes: &Shapes, tally: &mut Tally) -> Result<Statistics, LoadError> {
    let seen = run(shapes, BATCH, usize::MAX, true, tally)?;
    Ok(seen.into_iter().map(|(norm, seen)| (norm.name, seen)).collect::<HashMap<_, _>>())
}

/// How far what comes is from what is stored: the mean over channels of |difference of means| / sigma + |log of the ratio of
/// variances|. `None` without batch norms.
fn score(seen: &[(Norm, Seen)]) -> Option<f32> {
    let mut terms = Vec::new();
    for (norm, (mean, variance)) in seen {
        for channel in 0..norm.mean.len() {
            let floor = |variance: f64| variance.max(1e-10);
            let (stored, found) = (floor(norm.variance[channel]), floor(variance[channel]));
            let term = (norm.mean[channel] - mean[channel]).abs() / stored.sqrt() + (stored / found).ln().abs();
            terms.push(if term.is_finite() { term.min(MAX_TERM) } else { MAX_TERM });
        }
    }
    (!terms.is_empty()).then(|| (terms.iter().sum::<f64>() / terms.len() as f64) as f32)
}

/// Settles what shapes leave open by the statistics of batch norms, if there are some; what they do not tell stays the
/// first hypothesis.
///
/// # Errors
/// A tensor cannot be read, or `report` stopped the work.
pub(in super::super) fn settle(weights: &mut Weights, report: Report) -> Result<(), LoadError> {
    let Some(reading) = weights.reading.take() else { return Ok(()) };
    let canonical = weights.with_recipe_names();
    let settled = Test::new(weights, &reading, report).settle();
    weights.with_names(canonical);
    let Some((choice, score, facts)) = settled? else { return Ok(()) };
    if let Some(recipe) = reading.recipe(&choice) {
        weights.adopt(recipe);
    }
    weights.facts.retain(|fact| !facts.iter().any(|new| new.what == fact.what));
    weights.facts.extend(facts);
    weights.statistics = Some(score);
    Ok(())
}

/// What a person has to know of what was guessed.
pub(in super::super) fn warnings(weights: &Weights) -> Vec<String> {
    // Where statistics cannot tell one epsilon from another, it makes no difference.
    let matters = |fact: &&Fact| weights.statistics.is_none() || fact.what != EPSILON;
    let guesses = weights.facts.iter().filter(|fact| fact.source == Source::Guess).filter(matters);
    let guesses: Vec<String> = guesses.map(|fact| format!("{} ({})", fact.what, fact.value)).collect();
    let mut warnings = Vec::new();
    if !guesses.is_empty() {
        let guesses = guesses.join(", ");
        warnings
            .push(format!("nothing in the file says, so it is guessed: {guesses}; --as RECIPE.json says otherwise"));
    }
    if let Some(score) = weights.statistics.filter(|score| *score > MISFIT) {
        warnings.push(format!(
            "no reading of the network fits the statistics of its batch norms (the best is off by {score:.2}, expected \
             less than {MISFIT}): the picture may be wrong, or the statistics spoilt (batch_statistics in a recipe)"
        ));
    }
    warnings
}

/// Multiplications that are left. What hypotheses cost differs: of two strides one may make maps sixteen times as large as
/// the other, so each run is paid for by itself.
struct Budget {
    left: u64,
}

impl Budget {
    /// What a file of so many bytes is worth.
    fn of_file(file_len: u64) -> Self {
        Budget { left: limits::statistics(file_len) }
    }

    /// What the numbers of codes are chosen for. Plans count every run as one of the whole network and with all codes, and
    /// come to about half of that.
    fn planned(&self) -> u64 {
        self.left.saturating_mul(2).min(PLANNED)
    }

    /// Pays for a run; false if that is more than is left, and then nothing is paid.
    fn pay(&mut self, cost: u64) -> bool {
        let left = self.left.checked_sub(cost);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

/// Multiplications that one code takes through a network, or what takes as long.
fn cost_per_code(totals: &Totals) -> u64 {
    totals.work.saturating_add(NUMBER.saturating_mul(totals.numbers))
}

struct Test<'a, 'b> {
    weights: &'a Weights,
    reading: &'a Reading,
    budget: Budget,
    /// What reading the weights costs, for each run.
    reading_cost: u64,
    /// By choice; `None` for what does not fit the shapes.
    scores: HashMap<Vec<usize>, Option<f32>>,
    codes: usize,
    /// Steps with norms that are looked at.
    norms: usize,
    /// Choices that are tried in one go.
    most: u64,
    report: Report<'b>,
    done: u64,
}

/// A choice that fits best, how well, and what that says.
type Settled = (Vec<usize>, f32, Vec<Fact>);

impl<'a, 'b> Test<'a, 'b> {
    fn new(weights: &'a Weights, reading: &'a Reading, report: Report<'b>) -> Self {
        let numbers = weights.shapes().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum::<u64>();
        Test {
            weights,
            reading,
            budget: Budget::of_file(weights.file_len),
            reading_cost: WEIGHT.saturating_mul(numbers),
            scores: HashMap::new(),
            codes: 0,
            norms: 0,
            most: u64::MAX,
            report,
            done: 0,
        }
    }

    /// The choice that fits best; `None` if there are no norms to compare, or a picture takes too much.
    fn settle(mut self) -> Result<Option<Settled>, LoadError> {
        let axes = self.reading.axes();
        let customary = vec![0; axes.len()];
        let Some(recipe) = self.reading.recipe(&customary) else { return Ok(None) };
        let Ok(totals) = (Shapes { weights: self.weights, recipe: &recipe }).check() else { return Ok(None) };
        let (cost, largest) = (cost_per_code(&totals).max(1), totals.largest);
        // What goes together is tried together at first, with few codes and as far as the first norms: activation, sizes and
        // the place of the class.
        let mut wide = vec![customary.clone()];
        for (axis, values) in axes.iter().enumerate() {
            let others = (1..values.values.len().min(values.tried_together)).flat_map(|value| {
                wide.iter().map(move |choice| {
                    let mut other = choice.clone();
                    other[axis] = value;
                    other
                })
            });
            let others: Vec<_> = others.collect();
            wide.extend(others);
        }
        wide.sort_by_key(|choice| choice.iter().sum::<usize>());
        let half = self.budget.planned() / 2;
        let most = (half / CODES[1].saturating_mul(cost).saturating_add(self.reading_cost)).clamp(24, 400) as usize;
        wide.truncate(most);
        let fits = |runs: usize| (half / cost / runs as u64).min(MAX_NUMBERS / largest.max(1) as u64);
        let runs: usize = axes.iter().map(|axis| axis.values.len()).sum();
        if fits(2 * runs) == 0 {
            return Ok(None);
        }
        (self.codes, self.norms) = (fits(wide.len()).clamp(1, WIDE[0]).max(WIDE[1].min(fits(runs))) as usize, 3);
        let mut best: Vec<(f32, Vec<usize>)> = Vec::new();
        for choice in wide {
            if let Some(score) = self.score(&choice)? {
                best.push((score, choice));
            }
        }
        let Some(least) = best.iter().map(|(score, _)| *score).reduce(f32::min) else { return Ok(None) };
        // Of those that are as good as the best, the most customary first.
        best.sort_by(|a, b| a.0.total_cmp(&b.0));
        let first = best.iter().filter(|(score, _)| score - least < TIE).min_by_key(|(_, choice)| choice.clone());
        self.most = most as u64;
        let mut starts: Vec<Vec<usize>> = first.map(|(_, choice)| choice.clone()).into_iter().collect();
        starts.extend(best.iter().map(|(_, choice)| choice.clone()).find(|choice| !starts.contains(choice)));
        (self.codes, self.norms) = (fits(2 * runs).clamp(CODES[1], CODES[0]) as usize, usize::MAX);
        self.scores.clear();
        let mut found: Option<(f32, Vec<usize>)> = None;
        for start in starts {
            if let Some((score, choice)) = self.descend(start)?
                && found.as_ref().is_none_or(|(least, _)| score < least - TIE / 4.0)
            {
                found = Some((score, choice));
            }
        }
        let Some((mut score, mut choice)) = found else { return Ok(None) };
        let mut usual = choice.clone();
        axes.iter().zip(&mut usual).filter(|(axis, _)| axis.is_sizes()).for_each(|(_, value)| *value = 0);
        self.most = u64::MAX;
        if let Some(of_usual) = self.score(&usual)?
            && of_usual - score < UNUSUAL
        {
            (score, choice) = (of_usual, usual);
        }
        // Nothing fits: what is customary stays, and the facts say so.
        let choice = if score > MISFIT { customary } else { choice };
        let facts = self.facts(&choice, score);
        Ok(Some((choice, score, facts)))
    }

    /// The best choice along one axis after the other.
    fn descend(&mut self, mut choice: Vec<usize>) -> Result<Option<(f32, Vec<usize>)>, LoadError> {
        let Some(mut best) = self.score(&choice)? else { return Ok(None) };
        for round in 0..3 {
            let before = choice.clone();
            for (axis, values) in self.reading.axes().iter().enumerate() {
                for value in 0..values.values.len() {
                    let mut other = choice.clone();
                    other[axis] = value;
                    // The more customary one comes first, so another has to be better by more than chance.
                    let by = if value > choice[axis] { TIE } else { -TIE };
                    if other != choice
                        && let Some(score) = self.score(&other)?
                        && score < best - by
                        && (round == 0 || score < best - TIE)
                    {
                        (best, choice) = (score, other);
                    }
                }
            }
            if choice == before {
                break;
            }
        }
        Ok(Some((best, choice)))
    }

    fn score(&mut self, choice: &[usize]) -> Result<Option<f32>, LoadError> {
        if let Some(score) = self.scores.get(choice) {
            return Ok(*score);
        }
        if self.scores.len() as u64 >= self.most {
            return Ok(None);
        }
        self.done += 1;
        (self.report)(Progress { stage: "comparing batch norms".into(), done: self.done, total: 0 })?;
        let mut quiet = |_| Ok(());
        let mut tally = Tally { report: &mut quiet, done: 0, total: 0 };
        let recipe = self.reading.recipe(choice);
        let score = match &recipe {
            Some(recipe) => {
                let shapes = Shapes { weights: self.weights, recipe };
                let cost = shapes.check().ok().map(|totals| {
                    (self.codes as u64).saturating_mul(cost_per_code(&totals)).saturating_add(self.reading_cost)
                });
                match cost {
                    Some(cost) if self.budget.pay(cost) => {
                        score(&run(&shapes, self.codes, self.norms, false, &mut tally)?)
                    }
                    _ => None,
                }
            }
            None => None,
        };
        self.scores.insert(choice.to_vec(), score);
        Ok(score)
    }

    /// One fact for each axis.
    fn facts(&self, choice: &[usize], score: f32) -> Vec<Fact> {
        let fact = |(at, axis): (usize, &crate::layout::Axis)| {
            let others = self.scores.iter().filter(|(other, _)| !axis.are_alike(other[at], choice[at]));
            let next = others.filter_map(|(_, score)| *score).reduce(f32::min);
            let tells = axis.is_tested && score <= MISFIT && next.is_none_or(|next| next - score > TIE);
            let source = match &axis.stated {
                Some(source) => source.clone(),
                None if tells => Source::Statistics { score, next },
                None => Source::Guess,
            };
            Fact { what: axis.what.into(), value: axis.values[choice[at]].clone(), source }
        };
        self.reading.axes().iter().enumerate().map(fact).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_pays_for_little_and_never_for_more_than_it_has() {
        let mut small = Budget::of_file(7 << 10);
        let (all, large) = (small.left, Budget::of_file(20 << 20));
        assert_eq!((small.planned(), large.planned()), (2 * all, PLANNED));
        assert!(2 * all < PLANNED && PLANNED < large.left);
        assert!(small.pay(all / 2) && !small.pay(all) && !small.pay(u64::MAX), "what is too dear is not run");
        assert!(small.pay(all - all / 2), "and costs nothing");
        assert!(small.pay(0) && !small.pay(1));
    }

    #[test]
    fn numbers_cost_where_there_are_few_channels() {
        let of = |work, numbers| cost_per_code(&Totals { work, numbers, ..Totals::default() });
        assert!(of(1000, 1000) > 10 * of(1000, 0));
        assert_eq!(of(u64::MAX, u64::MAX), u64::MAX, "no sum wraps");
    }
}
