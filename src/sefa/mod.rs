//! SeFa: closed-form factorisation of latent semantics (Shen & Zhou, CVPR 2021). Pure mathematics, no tensors.
//!
//! A stacks the style weights of the chosen layers, one row per style output. The directions in latent space that change
//! those outputs most are the eigenvectors of `A^T A` with the largest eigenvalues. The released code gives every row unit
//! length first; rosinality's variant does not ([`Weighting`]).

use crate::edit::{LayerSet, Weighting};
use crate::eigen::{self, Eigen, NoConvergence};

/// Style weights of one layer, as stored in the checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct StyleRows {
    /// Row-major `[rows, dim]`; a row holds the weights of one style output.
    pub values: Vec<f32>,
    /// Length of a row: the width of the latent code.
    pub dim: usize,
}

/// Directions of a layer group, the most effective first.
#[derive(Clone, Debug, PartialEq)]
pub struct Basis {
    pub layers: LayerSet,
    pub weighting: Weighting,
    /// Eigenvalues of `A^T A`, descending, `dim` of them, none below 0.
    pub eigenvalues: Vec<f64>,
    /// Row-major `[dim, dim]`: unit rows, orthogonal to each other.
    directions: Vec<f32>,
}

#[derive(Debug, thiserror::Error)]
pub enum SefaError {
    #[error("layers {0} have no style weights in this variant")]
    NoRows(LayerSet),
    #[error("style weights of width {found} among others of width {expected}")]
    Width { expected: usize, found: usize },
    #[error(transparent)]
    NoConvergence(#[from] NoConvergence),
}

impl Basis {
    pub fn len(&self) -> usize {
        self.eigenvalues.len()
    }

    pub fn is_empty(&self) -> bool {
        self.eigenvalues.is_empty()
    }

    /// Of memory.
    pub fn bytes(&self) -> u64 {
        (size_of_val(self.eigenvalues.as_slice()) + size_of_val(self.directions.as_slice())) as u64
    }

    /// Unit vector number `index`, in the space of the latent code.
    pub fn direction(&self, index: usize) -> &[f32] {
        let dim = self.len();
        &self.directions[index * dim..(index + 1) * dim]
    }

    /// All directions, row-major `[dim, dim]`.
    pub fn directions(&self) -> &[f32] {
        &self.directions
    }

    /// Eigenvalue `index` as a share of their sum, 0..=1.
    pub fn share(&self, index: usize) -> f64 {
        let total: f64 = self.eigenvalues.iter().sum();
        if total > 0.0 { self.eigenvalues[index] / total } else { 0.0 }
    }
}

/// What each row of A is multiplied by.
pub fn row_factors(rows: &StyleRows, weighting: Weighting) -> Vec<f64> {
    let factor = |row: &[f32]| {
        let norm = square_sum(row).sqrt();
        match weighting {
            // A dead output (a row of zeros) has no direction to normalise; it adds nothing.
            Weighting::RowNormalised if norm > 0.0 => 1.0 / norm,
            _ => 1.0,
        }
    };
    rows.values.chunks_exact(rows.dim).map(factor).collect()
}

/// `A^T A` of a group of layers: the sum of those of its layers.
#[derive(Clone, Debug)]
pub struct Product {
    /// The width of the latent code.
    pub dim: usize,
    /// The lower triangle of `[dim, dim]`, column-major; what lies above the diagonal is not read.
    pub lower: Vec<f64>,
}

/// In eight sums, which do not wait for each other.
fn square_sum(row: &[f32]) -> f64 {
    let mut sums = [0.0; 8];
    let (whole, rest) = row.as_chunks::<8>();
    for values in whole.iter().map(|values| values.map(f64::from)) {
        sums.iter_mut().zip(values).for_each(|(sum, x)| *sum += x * x);
    }
    rest.iter().map(|&x| f64::from(x) * f64::from(x)).chain(sums).sum()
}

/// Eigenvectors of `product`, by falling eigenvalue; their signs are those of [`eigen`].
pub fn factorize(layers: LayerSet, weighting: Weighting, product: &Product) -> Result<Basis, SefaError> {
    let Eigen { values, vectors } = eigen::symmetric(&product.lower, product.dim)?;
    Ok(Basis { layers, weighting, eigenvalues: values, directions: vectors })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[f32], dim: usize) -> StyleRows {
        StyleRows { values: values.to_vec(), dim }
    }

    /// By its definition.
    fn product(layers: &[&StyleRows], weighting: Weighting) -> Product {
        let dim = layers[0].dim;
        let mut lower = vec![0.0; dim * dim];
        for rows in layers {
            for (row, factor) in rows.values.chunks_exact(dim).zip(row_factors(rows, weighting)) {
                let row: Vec<f64> = row.iter().map(|&x| f64::from(x) * factor).collect();
                (0..dim * dim).for_each(|at| lower[at] += row[at / dim] * row[at % dim]);
            }
        }
        Product { dim, lower }
    }

    #[test]
    fn axis_aligned_rows_give_axes_in_falling_order() {
        let a = rows(&[1.0, 0.0, 0.0, 0.0, -3.0, 0.0, 0.0, 0.0, 2.0], 3);
        let basis = factorize(LayerSet::range(0, 0), Weighting::Raw, &product(&[&a], Weighting::Raw)).unwrap();
        assert_eq!(basis.eigenvalues.iter().map(|v| v.round()).collect::<Vec<_>>(), [9.0, 4.0, 1.0]);
        assert!((basis.direction(0)[1] - 1.0).abs() < 1e-6, "largest component must be positive");
        assert!((basis.share(0) - 9.0 / 14.0).abs() < 1e-12);
    }

    #[test]
    fn normalised_eigenvalues_sum_to_the_number_of_rows_and_directions_are_orthonormal() {
        let dim = 16;
        let values: Vec<f32> =
            (0..40 * dim).map(|i| ((i * 7919 % 1013) as f32 / 1013.0 - 0.5) * (1 + i / dim) as f32).collect();
        let a = rows(&values, dim);
        let w = Weighting::RowNormalised;
        let basis = factorize(LayerSet::range(0, 3), w, &product(&[&a], w)).unwrap();
        assert!((basis.eigenvalues.iter().sum::<f64>() - 40.0).abs() < 1e-9);
        assert!(basis.eigenvalues.is_sorted_by(|a, b| a >= b));
        for i in 0..dim {
            for j in 0..=i {
                let dot: f32 = basis.direction(i).iter().zip(basis.direction(j)).map(|(a, b)| a * b).sum();
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((dot - expected).abs() < 1e-6, "directions {i} and {j} have product {dot}");
            }
        }
    }
}
