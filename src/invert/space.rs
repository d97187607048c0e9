//! The variables of a search: codes in units of how far the model's own codes lie apart.

use super::SearchSpace;
use crate::edit::Code;
use crate::pca::Components;

/// Directions along which codes hardly differ are taken for this part of the strongest.
const FLOOR: f64 = 1e-2;

/// Coordinates of codes: so many standard deviations along each principal component; or the numbers themselves.
pub(super) enum Chart {
    Components {
        mean: Vec<f32>,
        dim: usize,
        axes: Vec<f32>,
    },
    /// z, which is drawn alike in all directions.
    Plain,
}

impl Chart {
    pub(super) fn of(components: &Components) -> Self {
        let dim = components.len();
        let floor = FLOOR * components.sigma(0);
        let axis = |index: usize| {
            let sigma = components.sigma(index).max(floor) as f32;
            components.vector(index).iter().map(move |x| sigma * x)
        };
        Chart::Components { mean: components.mean.clone(), dim, axes: (0..dim).flat_map(axis).collect() }
    }

    /// The code at some coordinates.
    pub(super) fn code(&self, at: &[f32]) -> Vec<f32> {
        let Chart::Components { mean, dim, axes } = self else { return at.to_vec() };
        let mut code = mean.clone();
        for (x, axis) in at.iter().zip(axes.chunks_exact(*dim)) {
            code.iter_mut().zip(axis).for_each(|(to, a)| *to += x * a);
        }
        code
    }

    /// The coordinates of a code.
    pub(super) fn coordinates(&self, code: &[f32]) -> Vec<f32> {
        let Chart::Components { mean, dim, axes } = self else { return code.to_vec() };
        let along = |axis: &[f32]| {
            let length: f32 = axis.iter().map(|a| a * a).sum();
            code.iter().zip(mean).zip(axis).map(|((x, mean), a)| (x - mean) * a).sum::<f32>() / length
        };
        axes.chunks_exact(*dim).map(along).collect()
    }

    /// From the gradient with respect to the code to that with respect to the coordinates.
    pub(super) fn pull(&self, gradient: &[f32]) -> Vec<f32> {
        let Chart::Components { dim, axes, .. } = self else { return gradient.to_vec() };
        let along = |axis: &[f32]| axis.iter().zip(gradient).map(|(a, g)| a * g).sum();
        axes.chunks_exact(*dim).map(along).collect()
    }
}

/// Coordinates of one code, or of one for each layer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Variables {
    pub values: Vec<f32>,
    pub dim: usize,
    pub space: SearchSpace,
}

impl Variables {
    pub(super) fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dim)
    }

    pub(super) fn code(&self, chart: &Chart) -> Code {
        match self.space {
            SearchSpace::Z => Code::Z(chart.code(&self.values)),
            SearchSpace::W => Code::W(chart.code(&self.values)),
            SearchSpace::WPlus => Code::WPlus(self.rows().map(|row| chart.code(row)).collect()),
        }
    }

    /// The same w for each layer.
    pub(super) fn spread(&self, layers: usize) -> Self {
        Variables { values: self.values.repeat(layers), dim: self.dim, space: SearchSpace::WPlus }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pca::Moments;

    #[test]
    fn coordinates_lead_to_the_code_and_back_and_gradients_follow() {
        let dim = 3;
        let codes: Vec<f32> =
            (0..40 * dim).map(|i| (i * i * 7919 % 101) as f32 / 50.0 * [3.0, 1.0, 0.2][i % 3]).collect();
        let mut products = vec![0.0; dim * dim];
        for code in codes.chunks_exact(dim) {
            (0..dim * dim).for_each(|at| products[at] += f64::from(code[at / dim]) * f64::from(code[at % dim]));
        }
        let chart = Chart::of(&Moments::of(&codes, dim, products).components().unwrap());
        for code in codes.chunks_exact(dim) {
            let at = chart.coordinates(code);
            assert!(chart.code(&at).iter().zip(code).all(|(a, b)| (a - b).abs() < 1e-4));
            // A linear function of the code is one of the coordinates.
            let gradient = [0.5, -1.0, 2.0];
            let value = |at: &[f32]| chart.code(at).iter().zip(gradient).map(|(x, g)| x * g).sum::<f32>();
            let pulled = chart.pull(&gradient);
            for axis in 0..dim {
                let mut moved = at.clone();
                moved[axis] += 1.0;
                assert!((value(&moved) - value(&at) - pulled[axis]).abs() < 1e-3);
            }
        }
    }
}
