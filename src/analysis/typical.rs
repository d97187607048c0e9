//! How far is too far: the codes that a model makes lie within a known distance of their mean, and what leaves it is no longer typical.

use crate::edit::{Direction, Vectors};
use crate::pca::Components;

/// Directions along which codes hardly differ are taken for this part of the strongest.
const FLOOR: f64 = 1e-2;
/// Share of the codes that lie nearer to the mean than what counts as far.
const TYPICAL: f64 = 0.99;
/// Codes whose median is moved.
const MOVED: usize = 256;
/// Doublings of a distance that no direction needs.
const DOUBLINGS: usize = 40;
/// Halvings of the interval that holds the end: to a thousandth of it.
const HALVINGS: usize = 12;

/// Codes of a model, in standard deviations along their principal components, where lengths are Mahalanobis distances.
#[derive(Clone, Debug, PartialEq)]
pub struct TypicalSet {
    /// `[dim, dim]`: components divided by their standard deviations.
    axes: Vec<f32>,
    dim: usize,
    /// Some codes, whitened.
    codes: Vec<Vec<f32>>,
    /// Squared distance that 99 % of the codes stay within.
    limit: f64,
}

impl TypicalSet {
    /// Of codes `[N, dim]` with these components.
    pub fn new(codes: &[f32], components: &Components) -> Self {
        let dim = components.len();
        let floor = FLOOR * components.sigma(0);
        let axis = |index: usize| {
            let sigma = components.sigma(index).max(floor).max(1e-12) as f32;
            components.vector(index).iter().map(move |x| x / sigma)
        };
        let axes: Vec<f32> = (0..dim).flat_map(axis).collect();
        let mut set = TypicalSet { axes, dim, codes: Vec::new(), limit: 0.0 };
        let whitened = |code: &[f32]| {
            let apart: Vec<f32> = code.iter().zip(&components.mean).map(|(x, mean)| x - mean).collect();
            set.whitened(&apart)
        };
        let all: Vec<Vec<f32>> = codes.chunks_exact(dim).map(whitened).collect();
        let mut squares: Vec<f64> = all.iter().map(|code| square(code)).collect();
        squares.sort_by(f64::total_cmp);
        set.limit = squares.get((TYPICAL * squares.len() as f64) as usize).copied().unwrap_or(f64::INFINITY);
        set.codes = all.into_iter().take(MOVED).collect();
        set
    }

    fn whitened(&self, apart: &[f32]) -> Vec<f32> {
        let along = |axis: &[f32]| axis.iter().zip(apart).map(|(a, x)| a * x).sum();
        self.axes.chunks_exact(self.dim).map(along).collect()
    }

    /// How far a direction can be moved, back and forth, until the median of the moved codes lies beyond 99 % of the model's own; as
    /// values of its slider. Not finite for a direction that leads nowhere.
    pub fn ends(&self, direction: &Direction) -> [f32; 2] {
        let vector = match &direction.vectors {
            Vectors::One(vector) => vector,
            // The layer that it moves most.
            Vectors::PerLayer(vectors) => {
                let longest = vectors.iter().max_by(|a, b| square(a).total_cmp(&square(b)));
                longest.unwrap_or(&vectors[0])
            }
        };
        if vector.len() != self.dim {
            return [f32::NEG_INFINITY, f32::INFINITY];
        }
        let moved = self.whitened(vector);
        let along: Vec<[f64; 2]> = self.codes.iter().map(|code| [square(code), dot(code, &moved)]).collect();
        let length = square(&moved);
        let is_beyond = |distance: f64| {
            let mut squares: Vec<f64> = along
                .iter()
                .map(|[square, along]| square + 2.0 * distance * along + distance * distance * length)
                .collect();
            let middle = squares.len() / 2;
            squares.select_nth_unstable_by(middle, f64::total_cmp);
            squares[middle] > self.limit
        };
        [-1.0, 1.0].map(|sign| {
            let mut far = 1e-3;
            for _ in 0..DOUBLINGS {
                if is_beyond(sign * far) {
                    break;
                }
                far *= 2.0;
            }
            if !is_beyond(sign * far) {
                return (sign * f64::INFINITY) as f32;
            }
            let mut near = 0.0;
            for _ in 0..HALVINGS {
                let middle = (near + far) / 2.0;
                if is_beyond(sign * middle) { far = middle } else { near = middle }
            }
            (sign * far) as f32
        })
    }
}

fn square(vector: &[f32]) -> f64 {
    dot(vector, vector)
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{LayerSet, Origin};
    use crate::latent;
    use crate::pca::Moments;

    #[test]
    fn ends_lie_where_the_closed_form_of_normal_codes_says() {
        // Independent numbers with standard deviations 2 and 0.5: a Rayleigh distribution once they are whitened.
        let dim = 2;
        let codes: Vec<f32> = (0..20_000)
            .flat_map(|seed| latent::z_from_seed(seed, dim))
            .enumerate()
            .map(|(at, x)| x * [2.0, 0.5][at % 2] + 3.0)
            .collect();
        let mut products = vec![0.0; dim * dim];
        for code in codes.chunks_exact(dim) {
            (0..dim * dim).for_each(|at| products[at] += f64::from(code[at / dim]) * f64::from(code[at % dim]));
        }
        let components = Moments::of(&codes, dim, products).components().unwrap();
        let set = TypicalSet::new(&codes, &components);
        // 99 % lie within the square root of -2 ln 0.01.
        let limit = (-2.0 * 0.01_f64.ln()).sqrt();
        assert!((set.limit.sqrt() - limit).abs() < 0.06, "{} {limit}", set.limit.sqrt());
        let ends = |x, y| {
            let vectors = Vectors::One(vec![x, y]);
            set.ends(&Direction { layers: LayerSet::range(0, 0), vectors, origin: Origin::Mixed })
        };
        let [back, forth] = ends(1.0, 0.0);
        let narrow = ends(0.0, 1.0);
        // The same along both axes in standard deviations; the median is a little less far than the move alone.
        for (wide, narrow) in [(back, narrow[0]), (forth, narrow[1])] {
            assert!((wide / 2.0 - narrow / 0.5).abs() < 0.4, "{wide} {narrow}");
            assert!((wide.abs() / 2.0 - limit as f32).abs() < 0.5 && wide.abs() / 2.0 < limit as f32 + 0.1, "{wide}");
        }
        assert!(back < 0.0 && forth > 0.0);
        let scaled = ends(2.0, 0.0);
        assert!((scaled[1] - forth / 2.0).abs() < 0.01 * forth, "a direction twice as long goes half as far");
        assert_eq!(ends(0.0, 0.0), [f32::NEG_INFINITY, f32::INFINITY]);
    }
}
