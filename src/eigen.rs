//! Eigenvectors of symmetric matrices, in the order and with the signs that directions have. Pure mathematics, no tensors.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, SelfAdjointEvdParams, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{Auto, Col, Mat, MatRef, Spec};

/// Eigenvalues of a matrix `[dim, dim]` that has none below 0, and their vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Eigen {
    /// Descending, `dim` of them.
    pub values: Vec<f64>,
    /// Row-major `[dim, dim]`: unit rows, orthogonal to each other.
    ///
    /// The sign of an eigenvector is arbitrary; here the component of largest magnitude (the first of equals) is positive, so
    /// that a saved slider means the same on every machine.
    pub vectors: Vec<f32>,
}

/// The eigenvalues did not converge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the eigenvalues of a {0}x{0} matrix did not converge")]
pub struct NoConvergence(usize);

/// Of a symmetric matrix, positive semidefinite, given by its lower triangle, `[dim, dim]`, column-major. What lies above the
/// diagonal is not read.
pub fn symmetric(lower: &[f64], dim: usize) -> Result<Eigen, NoConvergence> {
    let (values, vectors) = ascending(lower, dim).ok_or(NoConvergence(dim))?;
    // Rounding can leave the smallest a hair below zero.
    let values = (0..dim).rev().map(|k| values[k].max(0.0)).collect();
    let mut rows = Vec::with_capacity(dim * dim);
    for column in vectors.col_iter().rev() {
        let peak = column.iter().copied().fold(0.0_f64, |peak, x| if x.abs() > peak.abs() { x } else { peak });
        rows.extend(column.iter().map(|&x| (x * peak.signum()) as f32));
    }
    Ok(Eigen { values, vectors: rows })
}

/// Ascending eigenvalues and their vectors, one a column; `None` if they do not converge.
fn ascending(matrix: &[f64], dim: usize) -> Option<(Col<f64>, Mat<f64>)> {
    let par = faer::get_global_parallelism();
    let mut parameters: SelfAdjointEvdParams = <SelfAdjointEvdParams as Auto<f64>>::auto();
    // At the widths of latent codes, handing each step of the reduction to threads takes longer than the step.
    parameters.tridiag.par_threshold = usize::MAX;
    let parameters = Spec::new(parameters);
    let mut memory = MemBuffer::new(self_adjoint_evd_scratch::<f64>(dim, ComputeEigenvectors::Yes, par, parameters));
    let (mut values, mut vectors) = (Col::zeros(dim), Mat::zeros(dim, dim));
    let matrix = MatRef::from_column_major_slice(matrix, dim, dim);
    let (to, stack) = (values.as_diagonal_mut(), MemStack::new(&mut memory));
    self_adjoint_evd(matrix, to, Some(vectors.as_mut()), par, stack, parameters).ok()?;
    Some((values, vectors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvectors_come_by_falling_value_with_their_largest_component_positive() {
        // [[2, -1], [-1, 2]]: 3 along (1, -1), 1 along (1, 1); what lies above the diagonal is anything.
        let Eigen { values, vectors } = symmetric(&[2.0, -1.0, f64::NAN, 2.0], 2).unwrap();
        assert!((values[0] - 3.0).abs() < 1e-12 && (values[1] - 1.0).abs() < 1e-12, "{values:?}");
        let half = 0.5_f32.sqrt();
        assert!((vectors[0].abs() - half).abs() < 1e-6 && (vectors[0] + vectors[1]).abs() < 1e-6, "{vectors:?}");
        assert!((vectors[2] - half).abs() < 1e-6 && (vectors[3] - half).abs() < 1e-6, "{vectors:?}");
        let zero = symmetric(&[0.0; 9], 3).unwrap();
        assert_eq!(zero.values, [0.0; 3]);
    }
}
