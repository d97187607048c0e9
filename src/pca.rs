//! Principal components of latent codes: the directions in which codes that are drawn differ most (GANSpace, Härkönen et al.,
//! NeurIPS 2020). Pure mathematics, no tensors.

use crate::eigen::{self, Eigen, NoConvergence};

/// Count, mean and products of codes, in double precision: all that components need, however many codes there are.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    count: usize,
    mean: Vec<f64>,
    /// Sums of products of differences from the mean: the lower triangle of `[dim, dim]`, column-major.
    scatter: Vec<f64>,
}

impl Moments {
    /// Of no codes.
    pub fn new(dim: usize) -> Self {
        Moments { count: 0, mean: vec![0.0; dim], scatter: vec![0.0; dim * dim] }
    }

    /// Of `codes` `[N, dim]`, row-major, whose `A^T A` is `products`, a lower triangle, column-major.
    pub fn of(codes: &[f32], dim: usize, products: Vec<f64>) -> Self {
        let count = codes.len() / dim;
        let mut mean = vec![0.0; dim];
        for code in codes.chunks_exact(dim) {
            mean.iter_mut().zip(code).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        mean.iter_mut().for_each(|sum| *sum /= count.max(1) as f64);
        let mut moments = Moments { count, mean, scatter: products };
        let mean = moments.mean.clone();
        moments.add_outer(&mean, -(count as f64));
        moments
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes in the moments of other codes (Chan, Golub & LeVeque, 1983).
    pub fn merge(&mut self, other: &Moments) {
        let (own, theirs) = (self.count as f64, other.count as f64);
        let all = own + theirs;
        if other.count == 0 {
            return;
        }
        let apart: Vec<f64> = other.mean.iter().zip(&self.mean).map(|(theirs, own)| theirs - own).collect();
        self.scatter.iter_mut().zip(&other.scatter).for_each(|(sum, x)| *sum += x);
        self.add_outer(&apart, own * theirs / all);
        self.mean.iter_mut().zip(&apart).for_each(|(mean, apart)| *mean += apart * theirs / all);
        self.count += other.count;
    }

    /// Adds `factor * v v^T` to the scatter.
    fn add_outer(&mut self, v: &[f64], factor: f64) {
        for (column, values) in self.scatter.chunks_exact_mut(v.len()).enumerate() {
            let factor = factor * v[column];
            values[column..].iter_mut().zip(&v[column..]).for_each(|(sum, x)| *sum += factor * x);
        }
    }

    /// The directions in which the codes differ most, by falling variance.
    ///
    /// # Errors
    /// There are no more codes than a code has numbers, so that some directions would be made up; or the codes are not finite.
    pub fn components(&self) -> Result<Components, PcaError> {
        let dim = self.mean.len();
        if self.count <= dim {
            return Err(PcaError::TooFew { samples: self.count, dim });
        }
        let per_code = 1.0 / (self.count - 1) as f64;
        let covariance: Vec<f64> = self.scatter.iter().map(|x| x * per_code).collect();
        if !covariance.iter().all(|x| x.is_finite()) {
            return Err(PcaError::NotFinite);
        }
        let Eigen { values, vectors } = eigen::symmetric(&covariance, dim)?;
        let mean = self.mean.iter().map(|&x| x as f32).collect();
        Ok(Components { mean, variances: values, vectors })
    }
}

/// Principal components of codes.
#[derive(Clone, Debug, PartialEq)]
pub struct Components {
    /// Of the codes.
    pub mean: Vec<f32>,
    /// Of the codes along each component, descending.
    pub variances: Vec<f64>,
    /// Row-major `[dim, dim]`: unit rows, orthogonal to each other.
    vectors: Vec<f32>,
}

impl Components {
    pub fn len(&self) -> usize {
        self.variances.len()
    }

    pub fn is_empty(&self) -> bool {
        self.variances.is_empty()
    }

    /// Unit vector number `index`.
    pub fn vector(&self, index: usize) -> &[f32] {
        let dim = self.mean.len();
        &self.vectors[index * dim..(index + 1) * dim]
    }

    /// How far codes lie from their mean along component `index`, as a rule: a standard deviation.
    pub fn sigma(&self, index: usize) -> f64 {
        self.variances[index].sqrt()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PcaError {
    #[error("principal components of codes of {dim} numbers: expected more than {dim} samples, found {samples}")]
    TooFew { samples: usize, dim: usize },
    #[error("the codes that the model makes are not finite: they have no principal components")]
    NotFinite,
    #[error(transparent)]
    NoConvergence(#[from] NoConvergence),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By their definition.
    fn moments(codes: &[f32], dim: usize) -> Moments {
        let mut products = vec![0.0; dim * dim];
        for code in codes.chunks_exact(dim) {
            (0..dim * dim).for_each(|at| products[at] += f64::from(code[at / dim]) * f64::from(code[at % dim]));
        }
        Moments::of(codes, dim, products)
    }

    #[test]
    fn codes_on_axes_have_these_as_components() {
        // Far from zero, 4 apart along y, 2 along x.
        let codes = [101.0, 50.0, 99.0, 50.0, 100.0, 52.0, 100.0, 48.0];
        let found = moments(&codes, 2).components().unwrap();
        assert_eq!(found.mean, [100.0, 50.0]);
        assert!((found.variances[0] - 8.0 / 3.0).abs() < 1e-9 && (found.variances[1] - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!((found.vector(0), found.vector(1)), (&[0.0, 1.0][..], &[1.0, 0.0][..]));
        assert!((found.sigma(0) - (8.0_f64 / 3.0).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn moments_of_parts_add_up_to_those_of_the_whole() {
        let dim = 5;
        let codes: Vec<f32> = (0..77 * dim).map(|i| (i * i * 7919 % 1013) as f32 / 100.0 + (i % dim) as f32).collect();
        let whole = moments(&codes, dim);
        let mut parts = Moments::new(dim);
        for part in codes.chunks(13 * dim).chain([&codes[..0]]) {
            parts.merge(&moments(part, dim));
        }
        assert_eq!(parts.count(), 77);
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9 * b.abs().max(1.0));
        assert!(close(&parts.mean, &whole.mean));
        for column in 0..dim {
            let below = column * dim + column..(column + 1) * dim;
            assert!(close(&parts.scatter[below.clone()], &whole.scatter[below]), "column {column}");
        }
    }

    #[test]
    fn too_few_codes_and_such_that_are_no_numbers_are_refused() {
        let few = moments(&[1.0, 2.0, 3.0, 5.0], 2).components().unwrap_err();
        assert!(few.to_string().contains("more than 2 samples, found 2"), "{few}");
        let broken = moments(&[1.0, 2.0, f32::NAN, 4.0, 0.0, 1.0], 2).components();
        assert!(matches!(broken, Err(PcaError::NotFinite)));
    }
}
