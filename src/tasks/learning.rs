//! Directions that are learned, from marks or from what a predictor says.

use std::sync::Arc;

use super::{Outcome, Step, Task, TaskError};
use crate::analysis::{Learned, Measurement, RescorePlan, RescoreRun, from_marks, from_scores, titles_for};
use crate::edit::Edit;
use crate::predictor::{Predictor, PredictorSource};
use crate::progress::{self, Progress};
use crate::render::Engine;

/// What a direction is learned from.
#[derive(Clone, Debug, PartialEq)]
pub enum Lesson {
    /// Samples that have it, and others that do not.
    Marks { up: Vec<Edit>, down: Vec<Edit> },
    /// What a predictor says of samples; `attribute`: its name, or a word of it.
    Scores { samples: Vec<Edit>, source: PredictorSource, attribute: String },
}

/// Learns a direction.
pub struct Learning {
    lesson: Lesson,
    /// Of scores, from the second step on, and which attribute is meant.
    run: Option<(RescoreRun, usize)>,
}

impl Learning {
    pub fn new(lesson: Lesson) -> Self {
        Learning { lesson, run: None }
    }
}

/// What moves act on, of each sample; where layers differ, that of the first.
fn codes_of(engine: &mut Engine, edits: &[Edit]) -> Result<Vec<Vec<f32>>, TaskError> {
    let codes = engine.codes(&edits.iter().collect::<Vec<_>>())?;
    Ok(codes.into_iter().filter_map(|layers| layers.into_iter().next()).collect())
}

fn slices(codes: &[Vec<f32>]) -> Vec<&[f32]> {
    codes.iter().map(Vec::as_slice).collect()
}

fn learned(learned: Learned, name: &str) -> Step {
    Step::Done(Outcome::Learned { name: name.to_owned(), learned: Box::new(learned) })
}

impl Task for Learning {
    fn name(&self) -> String {
        "Learning a direction".into()
    }

    fn step(&mut self, engine: &mut Engine) -> Result<Step, TaskError> {
        match &self.lesson {
            Lesson::Marks { up, down } => {
                let [up, down] = [codes_of(engine, up)?, codes_of(engine, down)?];
                Ok(learned(from_marks(&slices(&up), &slices(&down))?, "marks"))
            }
            Lesson::Scores { samples, source, attribute } => {
                let Some((run, meant)) = &mut self.run else {
                    let predictor = Arc::new(Predictor::open(source, &mut progress::silent)?);
                    let attributes = predictor.attributes();
                    let titles = titles_for(attributes, attribute)?;
                    let is_meant = |title: &String| titles.first().is_some_and(|first| first == title);
                    let meant = attributes.iter().position(|attribute| is_meant(&attribute.title)).unwrap_or_default();
                    let plan = RescorePlan { samples: samples.clone(), moves: Vec::new(), both_ways: false };
                    self.run = Some((RescoreRun::new(plan, predictor)?, meant));
                    return Ok(Step::More(Progress { stage: "scoring".into(), done: 0, total: samples.len() as u64 }));
                };
                if !run.step(engine)? {
                    return Ok(Step::More(run.progress()));
                }
                let scores: Vec<f64> = run.scores(*meant).collect();
                let title = run.predictor().attributes()[*meant].title.clone();
                let codes = codes_of(engine, samples)?;
                Ok(learned(from_scores(&slices(&codes), &scores)?, &title))
            }
        }
    }
}
