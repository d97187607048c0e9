//! How far a picture is from another one: differences of values and of edges, on every level of a pyramid.

use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice};

/// Differences that weigh between square and absolute, in units of the range -1..1.
const SOFT: f32 = 0.05;
/// Edges against values.
const EDGES: f32 = 1.0;
/// Shorter side of the coarsest level, at least.
const COARSEST: usize = 8;

/// What pictures of one size are compared with.
pub(super) struct Likeness {
    /// `[channels, height, width]`
    target: Vec<f32>,
    /// One weight per pixel, 0 to 1; absent where all count.
    mask: Option<Vec<f32>>,
    /// Mean of the mask.
    share: f64,
    size: [usize; 2],
}

impl Likeness {
    pub(super) fn new(target: Vec<f32>, mask: Option<Vec<f32>>, size: [usize; 2]) -> Self {
        let mean = |mask: &Vec<f32>| mask.iter().map(|&x| f64::from(x)).sum::<f64>() / mask.len() as f64;
        let share = mask.as_ref().map_or(1.0, mean).max(1e-6);
        Likeness { target, mask, share, size }
    }

    /// The cost of a picture, and its gradient. 0 for the target itself; a difference of `d` everywhere costs about `|d|`.
    pub(super) fn cost(&self, picture: &[f32]) -> (f64, Vec<f32>) {
        let [height, width] = self.size;
        let plane = height * width;
        let channels = picture.len() / plane;
        let of_channel = |(picture, target): (&[f32], &[f32])| {
            let mut difference: Vec<f32> = picture.iter().zip(target).map(|(a, b)| a - b).collect();
            self.apply_mask(&mut difference);
            let (cost, mut gradient) = level_costs(difference, self.size);
            self.apply_mask(&mut gradient);
            (cost, gradient)
        };
        let planes = picture.par_chunks_exact(plane).zip(self.target.par_chunks_exact(plane));
        let (costs, gradients): (Vec<f64>, Vec<Vec<f32>>) = planes.map(of_channel).unzip();
        let weight = 1.0 / (self.share * channels as f64);
        let mut gradient = gradients.concat();
        gradient.iter_mut().for_each(|x| *x *= weight as f32);
        (costs.iter().sum::<f64>() * weight, gradient)
    }

    fn apply_mask(&self, plane: &mut [f32]) {
        if let Some(mask) = &self.mask {
            plane.iter_mut().zip(mask).for_each(|(x, weight)| *x *= weight);
        }
    }

    /// Mean of the squared differences of what a screen shows, where the mask is.
    pub(super) fn mean_square(&self, picture: &[f32]) -> f64 {
        let plane = self.size[0] * self.size[1];
        let squares = picture.chunks_exact(plane).zip(self.target.chunks_exact(plane)).map(|(picture, target)| {
            let pixel = |at: usize| {
                let weight = self.mask.as_ref().map_or(1.0, |mask| f64::from(mask[at]));
                weight * f64::from(picture[at].clamp(-1.0, 1.0) - target[at]).powi(2)
            };
            (0..plane).map(pixel).sum::<f64>()
        });
        squares.sum::<f64>() / (picture.len() as f64 * self.share)
    }
}

/// The peak signal-to-noise ratio of a mean square, in decibels: pictures run from -1 to 1.
pub(super) fn decibels(mean_square: f64) -> f64 {
    10.0 * (4.0 / mean_square.max(1e-12)).log10()
}

/// The mean cost of a difference over the levels of its pyramid, and its gradient.
fn level_costs(difference: Vec<f32>, size: [usize; 2]) -> (f64, Vec<f32>) {
    let mut levels = vec![(difference, size)];
    while let Some((finest, [height, width])) = levels.last()
        && (height / 2).min(width / 2) >= COARSEST
    {
        levels.push((halved(finest, [*height, *width]), [height / 2, width / 2]));
    }
    let weight = 1.0 / levels.len() as f32;
    let (mut cost, mut gradient, mut coarser) = (0.0, Vec::new(), [0, 0]);
    while let Some((level, size)) = levels.pop() {
        let (of_level, mut of_values) = level_cost(&level, size, weight);
        cost += of_level;
        // Nothing, on the coarsest level.
        add_doubled(&gradient, coarser, &mut of_values, size[1]);
        (gradient, coarser) = (of_values, size);
    }
    (cost, gradient)
}

/// Means of 2x2 pixels; a last odd row or column is left out.
fn halved(plane: &[f32], [height, width]: [usize; 2]) -> Vec<f32> {
    let (half_height, half_width) = (height / 2, width / 2);
    let mut half = Vec::with_capacity(half_height * half_width);
    for y in 0..half_height {
        let (upper, lower) = (&plane[2 * y * width..][..width], &plane[(2 * y + 1) * width..][..width]);
        let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
        half.extend(pairs.map(|(a, b)| 0.25 * (a[0] + a[1] + b[0] + b[1])));
    }
    half
}

/// The adjoint of [`halved`], added.
fn add_doubled(half: &[f32], [height, width]: [usize; 2], to: &mut [f32], to_width: usize) {
    for y in 0..2 * height {
        let from = &half[y / 2 * width..][..width];
        let pairs = to[y * to_width..][..to_width].as_chunks_mut::<2>().0.iter_mut().zip(from);
        pairs.for_each(|(pair, x)| *pair = [pair[0] + 0.25 * x, pair[1] + 0.25 * x]);
    }
}

/// `sqrt(d² + SOFT²) - SOFT`, Huber's function without a kink, and its derivative.
fn soft(d: f32) -> (f32, f32) {
    let root = (d * d + SOFT * SOFT).sqrt();
    (root - SOFT, d / root)
}

/// The mean of soft differences and of soft edges, times `weight`.
fn level_cost(plane: &[f32], [height, width]: [usize; 2], weight: f32) -> (f64, Vec<f32>) {
    let mut gradient = vec![0.0; plane.len()];
    let mut cost = 0.0;
    let factor = weight / plane.len() as f32;
    let edge = factor * EDGES / 2.0;
    for y in 0..height {
        let row = &plane[y * width..][..width];
        let (mut of_values, mut of_edges) = (0.0, 0.0);
        for (x, to) in row.iter().zip(&mut gradient[y * width..][..width]) {
            let (value, slope) = soft(*x);
            of_values += value;
            *to += factor * slope;
        }
        for (at, pair) in row.windows(2).enumerate() {
            let (value, slope) = soft(pair[1] - pair[0]);
            of_edges += value;
            gradient[y * width + at] -= edge * slope;
            gradient[y * width + at + 1] += edge * slope;
        }
        if y + 1 < height {
            let (here, next) = gradient[y * width..].split_at_mut(width);
            for (at, (above, below)) in row.iter().zip(&plane[(y + 1) * width..][..width]).enumerate() {
                let (value, slope) = soft(below - above);
                of_edges += value;
                here[at] -= edge * slope;
                next[at] += edge * slope;
            }
        }
        cost += f64::from(factor * of_values) + f64::from(edge * of_edges);
    }
    (cost, gradient)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0).collect()
    }

    #[test]
    fn the_gradient_is_that_of_differences() {
        for (channels, height, width, is_masked) in [(1, 8, 8, false), (3, 33, 20, true), (2, 16, 64, false)] {
            let plane = height * width;
            let mask = is_masked.then(|| (0..plane).map(|at| if at % 5 == 0 { 0.0 } else { 0.8 }).collect());
            let likeness = Likeness::new(numbers(channels * plane, 1), mask, [height, width]);
            let picture = numbers(channels * plane, 2);
            let (_, gradient) = likeness.cost(&picture);
            let direction = numbers(channels * plane, 3);
            let along = |step: f32| {
                let moved: Vec<f32> = picture.iter().zip(&direction).map(|(x, d)| x + step * d).collect();
                likeness.cost(&moved).0
            };
            let expected = (along(1e-3) - along(-1e-3)) / 2e-3;
            let found: f64 = gradient.iter().zip(&direction).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            assert!((found - expected).abs() < 2e-3 * expected.abs().max(0.01), "{found} and {expected}");
        }
    }

    #[test]
    fn the_target_costs_nothing_and_what_the_mask_hides_does_not_count() {
        let target = numbers(3 * 256, 1);
        let mut other = target.clone();
        other[..16].fill(0.9);
        let hidden = Some((0..256).map(|at| if at < 16 { 0.0 } else { 1.0 }).collect());
        let plain = Likeness::new(target.clone(), None, [16, 16]);
        let masked = Likeness::new(target.clone(), hidden, [16, 16]);
        assert_eq!((plain.cost(&target).0, masked.cost(&other).0), (0.0, 0.0));
        assert!(plain.cost(&other).0 > 1e-3 && masked.mean_square(&other) == 0.0);
        assert!((decibels(plain.mean_square(&target.iter().map(|x| x * 0.9).collect::<Vec<_>>())) - 30.8).abs() < 1.0);
    }
}
