//! How evenly a picture changes along a direction: whether its steps are alike, and whether it goes straight.

use std::sync::Arc;

use super::pictures::{Pictures, difference};
use super::{AnalysisError, Mean, Measurement, SIDE};
use crate::edit::{Direction, Edit};
use crate::progress::Progress;
use crate::render::Engine;

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct PathPlan {
    pub samples: Vec<Edit>,
    /// With the distance that a path goes to either side.
    pub directions: Vec<(Arc<Direction>, f32)>,
    /// Pictures of a path, from one end to the other; two at least.
    pub points: usize,
}

impl PathPlan {
    /// Where the pictures of a path of this reach lie, from -reach to reach.
    pub fn values(&self, reach: f32) -> Vec<f32> {
        let last = (self.points - 1) as f32;
        (0..self.points).map(|point| reach * (2.0 * point as f32 / last - 1.0)).collect()
    }
}

/// What was measured of one direction. Changes are mean absolute differences of pixels, 1 from black to white.
#[derive(Clone, Debug, PartialEq)]
pub struct PathCurve {
    /// Between each picture and the next.
    pub changes: Vec<Mean>,
    /// The sum of these changes.
    pub length: Mean,
    /// The change from one end to the other as a share of that sum: 1 if the way goes straight, 0 if it comes back to where it
    /// began.
    pub straightness: Mean,
    /// Those of which all pictures were finite.
    pub samples: usize,
}

/// A path of one sample.
struct Path {
    changes: Vec<f64>,
    ends: f64,
}

pub struct PathRun {
    plan: PathPlan,
    /// By direction.
    paths: Vec<Vec<Path>>,
    /// Paths that are done, sample by sample.
    done: usize,
    pictures: Option<Pictures>,
}

impl PathRun {
    pub fn new(plan: PathPlan) -> Self {
        let paths = plan.directions.iter().map(|_| Vec::new()).collect();
        PathRun { plan, paths, done: 0, pictures: None }
    }

    /// What is measured so far, of each direction.
    pub fn curves(&self) -> Vec<PathCurve> {
        self.paths.iter().map(|paths| curve(paths, self.plan.points - 1)).collect()
    }

    fn count(&self) -> usize {
        self.plan.samples.len() * self.plan.directions.len()
    }
}

fn curve(paths: &[Path], steps: usize) -> PathCurve {
    let length = |path: &Path| path.changes.iter().sum::<f64>();
    // A path on which nothing changes is neither straight nor crooked.
    let straightness = paths.iter().map(|path| path.ends / length(path)).filter(|share| share.is_finite());
    PathCurve {
        changes: (0..steps).map(|step| Mean::of(paths.iter().map(|path| path.changes[step]))).collect(),
        length: Mean::of(paths.iter().map(length)),
        straightness: Mean::of(straightness),
        samples: paths.len(),
    }
}

impl Measurement for PathRun {
    fn progress(&self) -> Progress {
        let made = self.pictures.as_ref().map_or(0, Pictures::made);
        let (done, total) = (self.done * self.plan.points + made, self.count() * self.plan.points);
        Progress { stage: "rendering".into(), done: done as u64, total: total as u64 }
    }

    fn step(&mut self, engine: &mut Engine) -> Result<bool, AnalysisError> {
        if self.done == self.count() {
            return Ok(true);
        }
        let directions = self.plan.directions.len();
        let (sample, at) = (&self.plan.samples[self.done / directions], self.done % directions);
        let (direction, reach) = &self.plan.directions[at];
        let pictures = self.pictures.get_or_insert_with(|| {
            let moved = |value| {
                let mut edit = sample.clone();
                edit.set_along(direction, value).enabled = true;
                edit
            };
            Pictures::new(self.plan.values(*reach).into_iter().map(moved).collect())
        });
        pictures.step(engine, sample, SIDE)?;
        if pictures.are_complete() {
            let pictures = self.pictures.take().map(Pictures::take).unwrap_or_default();
            if let Some(pictures) = pictures.into_iter().collect::<Option<Vec<_>>>()
                && let [first, .., last] = &pictures[..]
            {
                let changes = pictures.windows(2).map(|pair| difference(&pair[0], &pair[1])).collect();
                self.paths[at].push(Path { changes, ends: difference(first, last) });
            }
            self.done += 1;
        }
        Ok(self.done == self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn straight_and_crooked_ways_are_told_apart() {
        let path = |changes: &[f64], ends| Path { changes: changes.to_vec(), ends };
        let found = curve(&[path(&[0.5, 0.5], 1.0), path(&[0.25, 0.75], 0.0), path(&[0.0, 0.0], 0.0)], 2);
        assert_eq!((found.length.mean, found.straightness.mean, found.samples), (2.0 / 3.0, 0.5, 3));
        assert_eq!(found.changes[0].mean, 0.25);
        assert!(curve(&[], 2).length.mean.is_nan());
    }

    #[test]
    fn points_go_from_end_to_end() {
        let plan = PathPlan { samples: Vec::new(), directions: Vec::new(), points: 5 };
        assert_eq!(plan.values(3.0), [-3.0, -1.5, 0.0, 1.5, 3.0]);
    }
}
