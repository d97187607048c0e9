//! One canonical tensor: a view of the file, and what makes its numbers canonical.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::checkpoint::{Bytes, Tensor, Unreadable};

/// Canonical name -> tensor.
pub(super) type Canonical = BTreeMap<String, Entry>;

/// A tensor of the file and what makes it canonical. Nothing is read before it is asked for.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// In the order of the canonical tensor's elements: axes are moved by its strides, not here.
    pub(super) tensor: Tensor,
    /// The canonical shape; the product is that of `tensor`'s shape.
    pub(super) shape: Vec<usize>,
    /// Applied one after the other.
    pub(super) changes: Vec<Change>,
}

/// How stored numbers become canonical ones.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Both kernel axes are reversed.
    Flip,
    AddOne,
    /// 1 is taken from the first so many values.
    LessOne(usize),
    /// Every value is multiplied.
    Scale(f32),
    /// Every run along the last axis moves left by so many places; what falls out in front is added behind.
    Rotate(usize),
    /// Spectral normalisation.
    Divide(Arc<SpectralNorm>),
    /// Weight normalisation: every row along the first axis gets the length that is stored here.
    Lengths(Tensor),
}

impl Entry {
    pub(super) fn to_f32(&self) -> Result<Vec<f32>, Unreadable> {
        // First, so that at most one copy of the weight exists at a time.
        let divisors = self.changes.iter().filter_map(Change::divisor).collect::<Result<Vec<f32>, _>>()?;
        let mut values = self.tensor.to_f32()?;
        for change in &self.changes {
            match change {
                Change::Flip => {
                    let kernel: usize = self.shape.iter().rev().take(2).product();
                    values.chunks_exact_mut(kernel.max(1)).for_each(<[f32]>::reverse);
                }
                Change::AddOne => values.iter_mut().for_each(|value| *value += 1.0),
                Change::LessOne(first) => values.iter_mut().take(*first).for_each(|value| *value -= 1.0),
                Change::Scale(factor) => values.iter_mut().for_each(|value| *value *= factor),
                Change::Rotate(places) => {
                    let run = self.shape.last().copied().unwrap_or(1).max(1);
                    values.chunks_exact_mut(run).for_each(|run| run.rotate_left(*places % run.len()));
                }
                Change::Lengths(lengths) => {
                    let lengths = lengths.to_f32()?;
                    let row = values.len() / lengths.len().max(1);
                    for (row, length) in values.chunks_exact_mut(row.max(1)).zip(lengths) {
                        let norm = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
                        row.iter_mut().for_each(|x| *x *= (f64::from(length) / norm) as f32);
                    }
                }
                Change::Divide(_) => {}
            }
        }
        for divisor in divisors {
            values.iter_mut().for_each(|value| *value /= divisor);
        }
        Ok(values)
    }

    /// The stored bytes, if they already are what [`Entry::to_f32`] gives.
    pub(super) fn f32_bytes(&self) -> Option<Bytes> {
        if self.changes.is_empty() { self.tensor.f32_bytes() } else { None }
    }
}

impl Change {
    /// Nothing for a factor of 1.
    pub(super) fn scale(factor: f32) -> Vec<Change> {
        if factor == 1.0 { Vec::new() } else { vec![Change::Scale(factor)] }
    }

    fn divisor(&self) -> Option<Result<f32, Unreadable>> {
        match self {
            Change::Divide(norm) => Some(norm.sigma()),
            _ => None,
        }
    }
}

/// The largest singular value of a weight, as the training code estimates it from the vectors it stores.
///
/// The weight is a matrix M of its first axis by all others. Both kinds are computed in double precision, once.
#[derive(Debug)]
pub(super) struct SpectralNorm {
    weight: Tensor,
    rows: usize,
    vectors: Vectors,
    sigma: OnceLock<f32>,
}

#[derive(Debug)]
pub(super) enum Vectors {
    /// PyTorch's `spectral_norm`: sigma = u^T M v, both stored.
    Stored { u: Tensor, v: Tensor },
    /// ajbrock's `SN`: one power iteration from the stored u at every evaluation, never kept. Vectors shorter than `epsilon` are
    /// not scaled up any further.
    Iterated { u: Tensor, epsilon: f64 },
}

impl SpectralNorm {
    /// `u` has as many elements as `weight` has rows, `v` as many as it has columns.
    pub(super) fn new(weight: Tensor, rows: usize, vectors: Vectors) -> SpectralNorm {
        SpectralNorm { weight, rows: rows.max(1), vectors, sigma: OnceLock::new() }
    }

    pub(super) fn sigma(&self) -> Result<f32, Unreadable> {
        if let Some(&sigma) = self.sigma.get() {
            return Ok(sigma);
        }
        let sigma = self.compute()? as f32;
        Ok(*self.sigma.get_or_init(|| sigma))
    }

    fn compute(&self) -> Result<f64, Unreadable> {
        let columns = (self.weight.len() / self.rows).max(1);
        let matrix = self.weight.to_f32()?;
        let double = |tensor: &Tensor| -> Result<Vec<f64>, Unreadable> {
            Ok(tensor.to_f32()?.into_iter().map(f64::from).collect())
        };
        let (u, v) = match &self.vectors {
            Vectors::Stored { u, v } => (double(u)?, double(v)?),
            Vectors::Iterated { u, epsilon } => {
                let u = double(u)?;
                let mut v = vec![0.0; columns];
                for (row, u) in matrix.chunks_exact(columns).zip(&u) {
                    v.iter_mut().zip(row).for_each(|(v, &m)| *v += u * f64::from(m));
                }
                normalise(&mut v, *epsilon);
                let mut u = product(&matrix, &v);
                normalise(&mut u, *epsilon);
                (u, v)
            }
        };
        Ok(product(&matrix, &v).iter().zip(&u).map(|(mv, u)| mv * u).sum())
    }
}

/// M v.
fn product(matrix: &[f32], v: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(v.len().max(1)).map(|row| row.iter().zip(v).map(|(&m, v)| f64::from(m) * v).sum()).collect()
}

fn normalise(vector: &mut [f64], epsilon: f64) {
    let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt().max(epsilon);
    vector.iter_mut().for_each(|x| *x /= length);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::DType;

    fn tensor(shape: &[usize], values: &[f32]) -> Tensor {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Tensor::contiguous(DType::F32, shape.to_vec(), bytes.into()).unwrap()
    }

    #[test]
    fn changes_are_applied_to_the_canonical_order() {
        let entry = |changes| Entry { tensor: tensor(&[6], &[1., 2., 3., 4., 5., 6.]), shape: vec![2, 1, 3], changes };
        assert!(entry(vec![]).f32_bytes().is_some());
        assert_eq!(entry(vec![Change::Flip]).to_f32().unwrap(), [3., 2., 1., 6., 5., 4.]);
        assert_eq!(entry(vec![Change::Rotate(1), Change::AddOne]).to_f32().unwrap(), [3., 4., 2., 6., 7., 5.]);
        assert!(entry(vec![Change::AddOne]).f32_bytes().is_none());
        assert_eq!(entry(vec![Change::Scale(2.0), Change::LessOne(4)]).to_f32().unwrap(), [1., 3., 5., 7., 10., 12.]);
        assert!(entry(Change::scale(1.0)).f32_bytes().is_some());
    }

    #[test]
    fn both_kinds_of_spectral_norm_find_the_singular_value() {
        // diag(3, 2): one iteration from (1, 1) gives v = (3, 2)/sqrt(13), u = (9, 4)/sqrt(97), so sigma = sqrt(97/13).
        let weight = tensor(&[2, 2, 1], &[3., 0., 0., 2.]);
        let stored = Vectors::Stored { u: tensor(&[2], &[1., 0.]), v: tensor(&[2], &[1., 0.]) };
        let stored = SpectralNorm::new(weight.clone(), 2, stored);
        assert_eq!(stored.sigma().unwrap(), 3.0);
        let iterated = |u: &[f32]| Vectors::Iterated { u: tensor(&[1, 2], u), epsilon: 1e-3 };
        let short = SpectralNorm::new(weight.clone(), 2, iterated(&[1e-4, 0.]));
        // v = (0.3, 0), u = (0.9, 0) before it is scaled to length 1.
        assert!((short.sigma().unwrap() - 0.9).abs() < 1e-6, "{}", short.sigma().unwrap());
        let iterated = SpectralNorm::new(weight.clone(), 2, iterated(&[1., 1.]));
        assert!((iterated.sigma().unwrap() - (97f32 / 13.).sqrt()).abs() < 1e-6, "{}", iterated.sigma().unwrap());
        let entry = Entry { tensor: weight, shape: vec![2, 2], changes: vec![Change::Divide(Arc::new(stored))] };
        assert_eq!(entry.to_f32().unwrap(), [1., 0., 0., 2. / 3.]);
    }
}
