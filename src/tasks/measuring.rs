//! Measurements of directions: how evenly pictures change along them, how far they disturb each other, what they change of what a
//! predictor says.

use std::sync::Arc;

use super::{Outcome, Step, Task, TaskError};
use crate::analysis::{
    Change, Entanglement, EntanglementPlan, EntanglementRun, InfluenceRun, Measurement, PathCurve, PathPlan, PathRun,
    RescorePlan, RescoreRun,
};
use crate::directions::DirectionSet;
use crate::edit::{Direction, Edit, LayerSet, Weighting};
use crate::predictor::{Attribute, Predictor, PredictorSource};
use crate::progress::{self, Progress};
use crate::render::{Engine, RenderError};

/// Directions, each with the distance that it is moved.
pub type Moves = Vec<(Arc<Direction>, f32)>;

/// What was measured of some directions, perhaps not yet of all samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    pub moves: Moves,
    /// Samples of which all is known.
    pub samples: usize,
    pub kind: FindingKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum FindingKind {
    /// One for each direction.
    Path(Vec<PathCurve>),
    Entanglement(Entanglement),
    /// Of the one direction: layers with their share of what it changes, 0..=1.
    Influence(Vec<(usize, f64)>),
    /// Changes are row-major `[directions, attributes]`, in standard deviations of the attribute over the samples.
    Scores {
        attributes: Vec<Attribute>,
        changes: Vec<Change>,
    },
}

/// Which directions are scored.
#[derive(Clone, Debug, PartialEq)]
pub enum Scored {
    Moves(Moves),
    /// So many of SeFa's of each group, each moved by a third of its slider.
    First(usize, Vec<LayerSet>),
}

/// A measurement that is under way.
pub struct Measuring {
    name: &'static str,
    moves: Moves,
    run: Run,
}

enum Run {
    Path(PathRun),
    Entanglement(EntanglementRun),
    Influence(InfluenceRun),
    Scores(Box<Scoring>),
}

struct Scoring {
    source: PredictorSource,
    directions: Scored,
    samples: Vec<Edit>,
    /// From the second step on.
    run: Option<RescoreRun>,
}

impl Measuring {
    /// Each direction from one end to the other in so many `points`.
    pub fn path(samples: Vec<Edit>, moves: Moves, points: usize) -> Self {
        let run = PathRun::new(PathPlan { samples, directions: moves.clone(), points });
        Measuring { name: "Measuring paths", moves, run: Run::Path(run) }
    }

    pub fn entanglement(samples: Vec<Edit>, moves: Moves) -> Self {
        let run = EntanglementRun::new(EntanglementPlan { samples, moves: moves.clone() });
        Measuring { name: "Measuring entanglement", moves, run: Run::Entanglement(run) }
    }

    /// Through which of its layers a direction acts, on one sample.
    pub fn influence(sample: Edit, direction: Arc<Direction>, distance: f32) -> Self {
        let run = InfluenceRun::new(sample, &direction, distance);
        Measuring { name: "Measuring layers", moves: vec![(direction, distance)], run: Run::Influence(run) }
    }

    /// What a predictor says of the samples, moved and not.
    pub fn scores(samples: Vec<Edit>, directions: Scored, source: PredictorSource) -> Self {
        let scoring = Scoring { source, directions, samples, run: None };
        Measuring { name: "Scoring directions", moves: Vec::new(), run: Run::Scores(Box::new(scoring)) }
    }

    /// What is known by now.
    fn findings(&self) -> Option<Findings> {
        let (samples, kind) = match &self.run {
            Run::Path(run) => {
                let curves = run.curves();
                (curves.iter().map(|curve| curve.samples).min().unwrap_or(0), FindingKind::Path(curves))
            }
            Run::Entanglement(run) => {
                let found = run.result();
                (found.samples.iter().copied().min().unwrap_or(0), FindingKind::Entanglement(found))
            }
            Run::Influence(run) => (1, FindingKind::Influence(run.shares()?)),
            Run::Scores(scoring) => {
                let run = scoring.run.as_ref()?;
                let attributes = run.predictor().attributes().to_vec();
                let cells = (0..self.moves.len()).flat_map(|at| (0..attributes.len()).map(move |of| (at, of)));
                let changes = cells.map(|(at, of)| run.change(at, of)).collect();
                (run.samples_done(), FindingKind::Scores { attributes, changes })
            }
        };
        Some(Findings { moves: self.moves.clone(), samples, kind })
    }
}

impl Scoring {
    /// Opens the predictor and finds the directions.
    fn begin(&mut self, engine: &mut Engine) -> Result<Moves, TaskError> {
        let info = engine.info().ok_or(RenderError::NoModel)?;
        let predictor = Arc::new(Predictor::open(&self.source, &mut progress::silent)?);
        let moves = match &self.directions {
            Scored::Moves(moves) => moves.clone(),
            Scored::First(first, groups) => {
                let mut moves = Moves::new();
                for layers in groups {
                    let set = DirectionSet::from(&*engine.factorize(layers, Weighting::RowNormalised)?);
                    let some = set.directions.into_iter().take(*first);
                    moves.extend(some.map(|direction| {
                        let distance = direction.customary_range(info.slider_range) / 3.0;
                        (direction, distance)
                    }));
                }
                moves
            }
        };
        let plan = RescorePlan { samples: std::mem::take(&mut self.samples), moves: moves.clone(), both_ways: false };
        self.run = Some(RescoreRun::new(plan, predictor)?);
        Ok(moves)
    }
}

impl Task for Measuring {
    fn name(&self) -> String {
        self.name.into()
    }

    fn step(&mut self, engine: &mut Engine) -> Result<Step, TaskError> {
        let run: &mut dyn Measurement = match &mut self.run {
            Run::Path(run) => run,
            Run::Entanglement(run) => run,
            Run::Influence(run) => run,
            Run::Scores(scoring) => match &mut scoring.run {
                Some(run) => run,
                None => {
                    self.moves = scoring.begin(engine)?;
                    return Ok(Step::More(Progress { stage: "scoring".into(), done: 0, total: 0 }));
                }
            },
        };
        let is_done = run.step(engine)?;
        let progress = run.progress();
        let nothing = Findings { moves: self.moves.clone(), samples: 0, kind: FindingKind::Influence(Vec::new()) };
        Ok(match self.findings() {
            found if is_done => Step::Done(Outcome::Measured(Box::new(found.unwrap_or(nothing)))),
            Some(findings) => Step::Measured(progress, Box::new(findings)),
            None => Step::More(progress),
        })
    }
}
