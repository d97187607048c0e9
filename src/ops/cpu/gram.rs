//! `A^T A` in double precision: half of a symmetric product, in panels that stay in the cache.

use std::cell::RefCell;

use faer::Mat;
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice};

use super::kernel::{Input, OUTPUTS, POSITIONS, accumulate, widest};

/// Rows that are summed at a time: their panel of columns stays in a processor's second cache.
const ROWS: usize = 256;
/// Rows per task. The sums of tasks are added in the order of the rows, however many threads there are.
const TASK_ROWS: usize = 8 * ROWS;

thread_local! {
    /// The same values twice: `[dim / 32][rows][32]` as what is summed, `[dim / 8][rows][8]` as what it is multiplied with.
    static PANELS: RefCell<[Vec<f64>; 2]> = RefCell::default();
}

/// The lower triangle of `A^T A`, `[dim, dim]`, where A is `[rows, dim]`, row-major, each row multiplied by its factor. What
/// lies above the diagonal is unspecified.
pub(crate) fn gram(a: &[f32], dim: usize, factors: &[f64]) -> Mat<f64> {
    let tasks = a.par_chunks(TASK_ROWS * dim).zip(factors.par_chunks(TASK_ROWS));
    let partial = tasks.map(|(a, factors)| {
        let mut sums = Mat::zeros(dim, dim);
        PANELS.with_borrow_mut(|panels| {
            for (a, factors) in a.chunks(ROWS * dim).zip(factors.chunks(ROWS)) {
                add_rows(a, dim, factors, panels, &mut sums);
            }
        });
        sums
    });
    let sum = partial.collect::<Vec<_>>().into_iter().reduce(|sum, partial| sum + partial);
    sum.unwrap_or_else(|| Mat::zeros(dim, dim))
}

fn add_rows(a: &[f32], dim: usize, factors: &[f64], [wide, narrow]: &mut [Vec<f64>; 2], result: &mut Mat<f64>) {
    let rows = factors.len();
    // What is beyond the last column is never looked at.
    wide.resize(dim.next_multiple_of(POSITIONS) * rows, 0.0);
    narrow.resize(dim.next_multiple_of(OUTPUTS) * rows, 0.0);
    fill_panels(a, dim, factors, wide, narrow);
    let mut sums = [0.0; OUTPUTS * POSITIONS];
    for (panel, values) in wide.chunks_exact(rows * POSITIONS).enumerate() {
        let input = Input { values, plane: POSITIONS, channels: rows, first: 0, taps: &[0] };
        let below = panel * POSITIONS..dim.min((panel + 1) * POSITIONS);
        for group in 0..below.end.div_ceil(OUTPUTS) {
            accumulate(&input, &narrow[group * rows * OUTPUTS..][..rows * OUTPUTS], &mut sums, POSITIONS, POSITIONS);
            for (column, sums) in (group * OUTPUTS..below.end).zip(sums.chunks_exact(POSITIONS)) {
                let to = &mut result.col_as_slice_mut(column)[below.clone()];
                to.iter_mut().zip(sums).for_each(|(to, x)| *to += x);
            }
        }
    }
}

widest! {
    fn fill_panels(a: &[f32], dim: usize, factors: &[f64], wide: &mut [f64], narrow: &mut [f64]) {
        let rows = factors.len();
        for (r, (row, factor)) in a.chunks_exact(dim).zip(factors).enumerate() {
            for (panel, row) in row.chunks(POSITIONS).enumerate() {
                let to = &mut wide[(panel * rows + r) * POSITIONS..][..row.len()];
                to.iter_mut().zip(row).for_each(|(to, x)| *to = f64::from(*x) * factor);
                for (part, values) in to.chunks(OUTPUTS).enumerate() {
                    let group = panel * (POSITIONS / OUTPUTS) + part;
                    narrow[(group * rows + r) * OUTPUTS..][..values.len()].copy_from_slice(values);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::numbers;
    use super::*;

    #[test]
    fn gram_matrices_equal_their_definition() {
        for (rows, dim) in [(1, 1), (3, 7), (40, 33), (20, 64), (0, 5), (4500, 9)] {
            let a = numbers(rows * dim, 1);
            let factors: Vec<f64> = numbers(rows, 2).iter().map(|&x| f64::from(x)).collect();
            let found = gram(&a, dim, &factors);
            for (i, j) in (0..dim).flat_map(|i| (0..=i).map(move |j| (i, j))) {
                let at = |r: usize, column: usize| f64::from(a[r * dim + column]) * factors[r];
                let expected: f64 = (0..rows).map(|r| at(r, i) * at(r, j)).sum();
                assert!((found[(i, j)] - expected).abs() < 1e-11, "{rows}x{dim}: {i}, {j}");
            }
        }
    }
}
