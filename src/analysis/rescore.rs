//! What moves change of what a predictor says of pictures (Shen & Zhou, CVPR 2021, Table 2).

use std::sync::Arc;

use super::pictures::Pictures;
use super::{AnalysisError, Mean, Measurement};
use crate::edit::{Direction, Edit};
use crate::layout::ChannelOrder;
use crate::predictor::Predictor;
use crate::progress::Progress;
use crate::render::{Engine, RenderError, tile_size};

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct RescorePlan {
    pub samples: Vec<Edit>,
    /// With the distance that each is moved.
    pub moves: Vec<(Arc<Direction>, f32)>,
    /// Half of the difference between a sample moved so far and one moved as far back, instead of the difference from the sample
    /// itself.
    pub both_ways: bool,
}

/// Numbers that may be remembered: 256 MB.
const MAX_NUMBERS: usize = 64 << 20;
/// Pictures that are looked at together, for each core.
const TOGETHER: usize = 8;
/// Bytes of pictures that wait to be looked at.
const WAITING_BYTES: usize = 256 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{samples} samples, {moves} directions and {attributes} attributes are more than {MAX_NUMBERS} numbers: fewer of them can be \
     chosen"
)]
pub struct TooManyNumbers {
    samples: usize,
    moves: usize,
    attributes: usize,
}

pub struct RescoreRun {
    plan: RescorePlan,
    predictor: Arc<Predictor>,
    /// Scores of samples, `[samples, attributes]`; not finite where they are unknown.
    before: Vec<f32>,
    /// Those of moved samples, `[samples, moves, attributes]`.
    after: Vec<f32>,
    /// As `after`, moved back; empty if nothing is.
    back: Vec<f32>,
    /// Samples of which all pictures are made.
    made: usize,
    pictures: Option<Pictures>,
    /// Pictures on their way to the predictor.
    waiting: Waiting,
    /// Pictures that were looked at.
    scored: usize,
}

#[derive(Default)]
struct Waiting {
    /// Planes of red, green and blue, one picture after the other.
    planes: Vec<f32>,
    /// Which sample each is of, and which of its pictures.
    of: Vec<(usize, usize)>,
    /// Height and width.
    size: [usize; 2],
}

/// What a move changes of one attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Mean over the samples, in standard deviations of the attribute over the unmoved samples; NaN where it has none.
    pub mean: f64,
    /// Standard error of that mean; NaN for one sample.
    pub error: f64,
    /// Those that counted: whose scores are numbers.
    pub samples: usize,
}

impl RescoreRun {
    /// # Errors
    /// More numbers would have to be remembered than memory should hold.
    pub fn new(plan: RescorePlan, predictor: Arc<Predictor>) -> Result<Self, TooManyNumbers> {
        let (samples, moves, attributes) = (plan.samples.len(), plan.moves.len(), predictor.attributes().len());
        let all = samples.checked_mul(moves + 1).and_then(|pictures| pictures.checked_mul(attributes));
        let all = all.filter(|&all| all <= MAX_NUMBERS / 2).ok_or(TooManyNumbers { samples, moves, attributes })?;
        let moved = all - samples * attributes;
        Ok(RescoreRun {
            before: vec![f32::NAN; samples * attributes],
            after: vec![f32::NAN; moved],
            back: vec![f32::NAN; if plan.both_ways { moved } else { 0 }],
            made: 0,
            pictures: None,
            waiting: Waiting::default(),
            scored: 0,
            plan,
            predictor,
        })
    }

    /// Pictures of one sample: unmoved, moved by each, and back by each.
    fn each(&self) -> usize {
        1 + self.plan.moves.len() * if self.plan.both_ways { 2 } else { 1 }
    }

    fn edits(&self, sample: &Edit) -> Vec<Edit> {
        let moved = |sign: f32| {
            self.plan.moves.iter().map(move |(direction, distance)| {
                let mut edit = sample.clone();
                let before = edit.along(direction).filter(|step| step.enabled).map_or(0.0, |step| step.value);
                edit.set_along(direction, before + sign * distance).enabled = true;
                edit
            })
        };
        let back = moved(-1.0).take(if self.plan.both_ways { self.plan.moves.len() } else { 0 });
        std::iter::once(sample.clone()).chain(moved(1.0)).chain(back).collect()
    }

    /// Has the predictor look at all that waits.
    fn score(&mut self) -> Result<(), AnalysisError> {
        let Waiting { planes, of, size } = std::mem::take(&mut self.waiting);
        let scores = match self.predictor.predict(&planes, size) {
            Ok(scores) => scores,
            Err(error) => {
                self.waiting = Waiting { planes, of, size };
                return Err(error.into());
            }
        };
        let (moves, attributes) = (self.plan.moves.len(), self.predictor.attributes().len());
        for (&(sample, picture), scores) in of.iter().zip(scores.chunks_exact(attributes)) {
            let (row, at) = match picture {
                0 => (&mut self.before, sample),
                picture if picture <= moves => (&mut self.after, sample * moves + picture - 1),
                picture => (&mut self.back, sample * moves + picture - 1 - moves),
            };
            row[at * attributes..][..attributes].copy_from_slice(scores);
        }
        self.scored += of.len();
        Ok(())
    }

    /// One pass of the network.
    fn render(&mut self, engine: &mut Engine) -> Result<(), RenderError> {
        let Some(sample) = self.plan.samples.get(self.made) else { return Ok(()) };
        let info = engine.info().ok_or(RenderError::NoModel)?;
        let whole = [info.size.height, info.size.width];
        let side = self.predictor.side(whole);
        let mut pictures = self.pictures.take().unwrap_or_else(|| Pictures::new(self.edits(sample)));
        let stepped = pictures.step(engine, sample, side);
        let (size, order) = (tile_size(whole, side), info.channel_order);
        for (at, values) in pictures.taken() {
            push_rgb(&mut self.waiting.planes, &values, size, order);
            self.waiting.of.push((self.made, at));
        }
        self.waiting.size = size;
        match pictures.are_complete() {
            true => self.made += 1,
            false => self.pictures = Some(pictures),
        }
        stepped
    }

    fn is_full(&self) -> bool {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let waiting = &self.waiting;
        waiting.of.len() >= TOGETHER * cores || 4 * waiting.planes.len() >= WAITING_BYTES
    }

    /// What the unmoved samples have of an attribute, in its own unit: mean and standard deviation of those that are known so far.
    pub fn attribute(&self, attribute: usize) -> Mean {
        Mean::of(self.scores(attribute).filter(|x| x.is_finite()))
    }

    /// What each unmoved sample has of an attribute; not finite where it is unknown.
    pub fn scores(&self, attribute: usize) -> impl Iterator<Item = f64> + Clone {
        let attributes = self.predictor.attributes().len();
        self.before.iter().skip(attribute).step_by(attributes).map(|&x| f64::from(x))
    }

    /// What a move has changed of an attribute of each sample so far, in its own unit; not finite where it is unknown.
    pub fn changes(&self, at: usize, attribute: usize) -> impl Iterator<Item = f64> + Clone {
        let (moves, attributes) = (self.plan.moves.len(), self.predictor.attributes().len());
        (0..self.plan.samples.len()).map(move |sample| {
            let number = |row: &[f32], at: usize| f64::from(row[at * attributes + attribute]);
            let after = number(&self.after, sample * moves + at);
            match self.plan.both_ways {
                true => (after - number(&self.back, sample * moves + at)) / 2.0,
                false => after - number(&self.before, sample),
            }
        })
    }

    /// What a move changes of an attribute, by the samples so far.
    pub fn change(&self, at: usize, attribute: usize) -> Change {
        let known = self.changes(at, attribute).filter(|x| x.is_finite());
        let (Mean { mean, spread }, samples) = (Mean::of(known.clone()), known.count());
        let unit = self.attribute(attribute);
        // What differs by rounding alone is the same for all.
        let unit = if unit.spread > 1e-6 * unit.mean.abs() { unit.spread } else { f64::NAN };
        Change { mean: mean / unit, error: spread / (samples as f64).sqrt() / unit, samples }
    }

    /// Scores that were no numbers, of the pictures that were looked at.
    pub fn not_finite(&self) -> usize {
        let attributes = self.predictor.attributes().len();
        let known = [&self.before, &self.after, &self.back].into_iter().flatten().filter(|x| x.is_finite()).count();
        (self.scored * attributes).saturating_sub(known)
    }

    /// Samples of which everything was measured.
    pub fn samples_done(&self) -> usize {
        self.waiting.of.first().map_or(self.made, |(sample, _)| *sample)
    }

    pub fn plan(&self) -> &RescorePlan {
        &self.plan
    }

    pub fn predictor(&self) -> &Predictor {
        &self.predictor
    }
}

/// Appends planes of red, green and blue.
fn push_rgb(to: &mut Vec<f32>, values: &[f32], [height, width]: [usize; 2], order: ChannelOrder) {
    let mut planes = values.chunks_exact(height * width);
    match (planes.next(), planes.next(), planes.next()) {
        (Some(first), Some(second), Some(third)) => {
            let (red, blue) = if order == ChannelOrder::Bgr { (third, first) } else { (first, third) };
            [red, second, blue].into_iter().for_each(|plane| to.extend_from_slice(plane));
        }
        (Some(grey), ..) => (0..3).for_each(|_| to.extend_from_slice(grey)),
        (None, ..) => {}
    }
}

impl Measurement for RescoreRun {
    fn progress(&self) -> Progress {
        let made = self.pictures.as_ref().map_or(0, Pictures::made);
        let (done, total) = (self.made * self.each() + made, self.plan.samples.len() * self.each());
        Progress { stage: "scoring".into(), done: done as u64, total: total as u64 }
    }

    fn step(&mut self, engine: &mut Engine) -> Result<bool, AnalysisError> {
        let is_last = self.made == self.plan.samples.len();
        if self.is_full() || (is_last && !self.waiting.of.is_empty()) {
            self.score()?;
        } else {
            self.render(engine)?;
        }
        Ok(self.made == self.plan.samples.len() && self.waiting.of.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_all_networks_have_red_green_and_blue() {
        let planes = |values: &[f32], order| {
            let mut planes = Vec::new();
            push_rgb(&mut planes, values, [1, 2], order);
            planes
        };
        let rgb = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(planes(&rgb, ChannelOrder::Rgb), rgb);
        assert_eq!(planes(&rgb, ChannelOrder::Bgr), [5.0, 6.0, 3.0, 4.0, 1.0, 2.0]);
        assert_eq!(planes(&[1.0, 2.0], ChannelOrder::Rgb), [1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
        assert_eq!(planes(&[1.0; 8], ChannelOrder::Rgb).len(), 6, "without transparency");
    }
}
