//! Codes between others: what a motion passes through on its way.

use serde::{Deserialize, Serialize};

use super::{Sample, Truncation};

/// A place on a path through samples.
///
/// Where there is a w, paths lead through the codes of each layer after mapping and truncation, along straight lines; where the latent
/// space is z, through z on spheres, by angle and length apart (Shoemake, 1985; White, 2016, "Sampling Generative Networks").
/// What a class does beside the codes goes linearly from the sample before the place to the one behind it; the classes of the
/// [`Sample`] that has this code mean nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Between {
    /// Two: the path is the shortest from the first to the second. Four: it leads from the second to the third, and is part of a curve
    /// through all that has a continuous velocity.
    pub through: Vec<Waypoint>,
    /// When each of them is passed, seconds, ascending.
    pub times: Vec<f64>,
    /// When this place is passed: between the two middle ones.
    pub at: f64,
}

/// A sample under a truncation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waypoint {
    pub sample: Sample,
    pub truncation: Truncation,
}

impl Between {
    /// Why there is no such path, if there is none. What the samples hold is not looked at.
    pub fn check(&self) -> Result<(), String> {
        let Between { through, times, at } = self;
        if ![2, 4].contains(&through.len()) || times.len() != through.len() {
            let found = format!("{} samples with {} times", through.len(), times.len());
            return Err(format!("a code between others with {found}, expected two or four of each"));
        }
        let is_ascending = times.iter().all(|time| time.is_finite()) && times.is_sorted_by(|a, b| a < b);
        let middle = through.len() / 2;
        if !is_ascending || !(times[middle - 1]..=times[middle]).contains(at) {
            return Err(format!(
                "a code between others at {at} s, expected a time between those in the middle of {times:?}"
            ));
        }
        Ok(())
    }

    /// The samples before and behind the place, and the share of the way from one to the other that lies behind, 0..=1.
    ///
    /// # Panics
    /// [`Between::check`] fails.
    pub fn nearest(&self) -> ([&Waypoint; 2], f64) {
        let behind = self.through.len() / 2;
        let [from, to] = [self.times[behind - 1], self.times[behind]];
        ([&self.through[behind - 1], &self.through[behind]], (self.at - from) / (to - from))
    }
}

/// A place on the curve that passes each of two or four `points` at its time: with two, `mix` of them; with four, a Catmull-Rom spline
/// from the second to the third by nested mixtures (Barry and Goldman, 1988), which needs no more than `mix` of two points, and so
/// works on spheres too. `mix(a, b, t)` is `a` at 0, `b` at 1, and goes on beyond.
///
/// # Panics
/// There are other numbers of points.
pub fn along_curve<T>(points: &[T], times: &[f64], at: f64, mix: impl Fn(&T, &T, f64) -> T) -> T {
    let share = |from: usize, to: usize| (at - times[from]) / (times[to] - times[from]);
    match points {
        [a, b] => mix(a, b, share(0, 1)),
        [a, b, c, d] => {
            let middle = mix(b, c, share(1, 2));
            let early = mix(&mix(a, b, share(0, 1)), &middle, share(0, 2));
            let late = mix(&middle, &mix(c, d, share(2, 3)), share(1, 3));
            mix(&early, &late, share(1, 2))
        }
        _ => panic!("a curve through {} points", points.len()),
    }
}

/// On the straight line.
pub fn straight(a: f64, b: f64, t: f64) -> f64 {
    a + t * (b - a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(count: usize, times: &[f64], at: f64) -> Between {
        let waypoint = Waypoint { sample: Sample::default(), truncation: Truncation::default() };
        Between { through: vec![waypoint; count], times: times.to_vec(), at }
    }

    #[test]
    fn paths_that_are_none_are_refused() {
        between(2, &[0.0, 1.0], 0.5).check().unwrap();
        between(4, &[0.0, 1.0, 3.0, 4.0], 3.0).check().unwrap();
        for (count, times, at) in [
            (0, &[][..], 0.0),
            (3, &[0.0, 1.0, 2.0], 0.5),
            (2, &[0.0, 1.0, 2.0], 0.5),
            (2, &[0.0, 0.0], 0.0),
            (2, &[1.0, 0.0], 0.5),
            (2, &[0.0, f64::NAN], 0.5),
            (2, &[0.0, 1.0], f64::NAN),
            (2, &[0.0, 1.0], 1.5),
            (4, &[0.0, 1.0, 3.0, 4.0], 0.5),
        ] {
            between(count, times, at).check().unwrap_err();
        }
    }

    #[test]
    fn curves_pass_their_points_and_keep_their_velocity() {
        // A cubic through evenly spaced points is the usual Catmull-Rom spline.
        let (points, times) = ([1.0, 2.0, -1.0, 4.0], [0.0, 1.0, 2.0, 3.0]);
        let value = |at: f64| along_curve(&points, &times, at, |&a, &b, t| straight(a, b, t));
        let spline = |u: f64| {
            let [a, b, c, d] = points;
            let tail = u * (2.0 * a - 5.0 * b + 4.0 * c - d + u * (3.0 * (b - c) + d - a));
            0.5 * (2.0 * b + u * (c - a + tail))
        };
        for step in 0..=10 {
            let u = f64::from(step) / 10.0;
            assert!((value(1.0 + u) - spline(u)).abs() < 1e-12, "{u}");
        }
        // With uneven times, too, one piece goes on where and as the one before ends.
        let (points, times) = ([0.0, 3.0, 1.0, 2.0, 7.0], [0.0, 0.5, 2.0, 2.3, 4.0]);
        let piece = |first: usize, at: f64| {
            along_curve(&points[first..first + 4], &times[first..first + 4], at, |&a, &b, t| straight(a, b, t))
        };
        let velocity = |first, at: f64| (piece(first, at + 1e-6) - piece(first, at - 1e-6)) / 2e-6;
        assert!((piece(0, 2.0) - 1.0).abs() < 1e-12 && (piece(1, 2.0) - 1.0).abs() < 1e-12);
        assert!((velocity(0, 2.0) - velocity(1, 2.0)).abs() < 1e-6);
        assert_eq!(along_curve(&[5.0, 7.0], &[1.0, 2.0], 1.25, |&a, &b, t| straight(a, b, t)), 5.5);
    }
}
