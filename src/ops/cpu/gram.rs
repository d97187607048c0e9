//! `A^T A` in double precision: half of a symmetric product, in panels that stay in the cache.

use std::cell::RefCell;

use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use super::kernel::{Input, OUTPUTS, POSITIONS, accumulate, widest};

/// Rows that are summed at a time: their panel of columns stays in a processor's first cache.
const ROWS: usize = 128;
/// Rows per task. The sums of tasks are added in the order of the rows, however many threads there are.
const TASK_ROWS: usize = 16 * ROWS;

thread_local! {
    /// The same values twice: `[dim / 32][rows][32]` as what is summed, `[dim / 8][rows][8]` as what it is multiplied with.
    static PANELS: RefCell<[Vec<f64>; 2]> = RefCell::default();
}

/// The lower triangle of `A^T A`, `[dim, dim]`. Those of several A of the same width add up to that of all their rows.
#[derive(Clone, Debug)]
pub struct Gram {
    dim: usize,
    /// For each 32 rows of the product, from the top, all columns up to the diagonal: `[rows / 32][columns][32]`. What lies
    /// above the diagonal is unspecified.
    panels: Vec<f64>,
}

impl Gram {
    /// Of A `[rows, dim]`, row-major, each row multiplied by its factor.
    pub(crate) fn new(a: &[f32], dim: usize, factors: &[f64]) -> Self {
        let tasks = a.par_chunks(TASK_ROWS * dim).zip(factors.par_chunks(TASK_ROWS));
        let partial = tasks.map(|(a, factors)| {
            let mut gram = Gram::zero(dim);
            PANELS.with_borrow_mut(|panels| {
                for (part, (a, factors)) in a.chunks(ROWS * dim).zip(factors.chunks(ROWS)).enumerate() {
                    // Fresh memory is written first: reading it would let the system map a page of zeros, to be
                    // replaced when it is written.
                    let put = if part == 0 { <[f64]>::copy_from_slice } else { add };
                    gram.put_rows(a, factors, panels, put);
                }
            });
            gram
        });
        let sum = partial.collect::<Vec<_>>().into_iter().reduce(|mut sum, partial| {
            add(&mut sum.panels, &partial.panels);
            sum
        });
        sum.unwrap_or_else(|| Gram::zero(dim))
    }

    fn zero(dim: usize) -> Self {
        let columns: usize = panels(dim).map(|below| below.end).sum();
        Gram { dim, panels: vec![0.0; columns * POSITIONS] }
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// Of memory.
    pub(crate) fn bytes(&self) -> u64 {
        size_of_val(self.panels.as_slice()) as u64
    }

    /// The sum of Gram matrices of width `dim`, `[dim, dim]`, column-major; zeros above the diagonal.
    pub(crate) fn sum(dim: usize, grams: &[&Gram]) -> Vec<f64> {
        const TASK: usize = 1 << 13;
        let mut sum = Gram::zero(dim);
        sum.panels.par_chunks_mut(TASK).enumerate().for_each(|(task, to)| {
            for (index, gram) in grams.iter().enumerate() {
                let put = if index == 0 { <[f64]>::copy_from_slice } else { add };
                put(to, &gram.panels[task * TASK..][..to.len()]);
            }
        });
        let mut whole = vec![0.0; dim * dim];
        let mut columns = sum.panels.chunks_exact(POSITIONS);
        for below in panels(dim) {
            for (column, values) in columns.by_ref().take(below.end).enumerate() {
                let rows = below.start.max(column)..below.end;
                whole[column * dim..][rows.clone()].copy_from_slice(&values[rows.start - below.start..][..rows.len()]);
            }
        }
        whole
    }

    fn put_rows(
        &mut self,
        a: &[f32],
        factors: &[f64],
        [wide, narrow]: &mut [Vec<f64>; 2],
        put: impl Fn(&mut [f64], &[f64]),
    ) {
        let (dim, rows) = (self.dim, factors.len());
        // What is beyond the last column is never looked at.
        wide.resize(dim.next_multiple_of(POSITIONS) * rows, 0.0);
        narrow.resize(dim.next_multiple_of(OUTPUTS) * rows, 0.0);
        fill_panels(a, dim, factors, wide, narrow);
        let mut sums = [0.0; OUTPUTS * POSITIONS];
        let mut columns = self.panels.as_mut_slice();
        for (below, values) in panels(dim).zip(wide.chunks_exact(rows * POSITIONS)) {
            let input = Input { values, plane: POSITIONS, channels: rows, first: 0, taps: &[0] };
            let (here, after) = columns.split_at_mut(below.end * POSITIONS);
            columns = after;
            for (group, to) in here.chunks_mut(OUTPUTS * POSITIONS).enumerate() {
                accumulate(
                    &input,
                    &narrow[group * rows * OUTPUTS..][..rows * OUTPUTS],
                    &mut sums,
                    POSITIONS,
                    POSITIONS,
                );
                put(to, &sums[..to.len()]);
            }
        }
    }
}

/// The rows of each panel.
fn panels(dim: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..dim).step_by(POSITIONS).map(move |first| first..dim.min(first + POSITIONS))
}

widest! {
    fn add(to: &mut [f64], values: &[f64]) {
        to.iter_mut().zip(values).for_each(|(to, x)| *to += x);
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
            // Of all rows, and the sum of those of some rows and the rest.
            let (some, rest) = a.split_at(rows / 3 * dim);
            let parts = [(some, &factors[..rows / 3]), (rest, &factors[rows / 3..])].map(|(a, f)| Gram::new(a, dim, f));
            let (whole, parts) = (Gram::new(&a, dim, &factors), [&parts[0], &parts[1]]);
            for found in [Gram::sum(dim, &[&whole]), Gram::sum(dim, &parts)] {
                for (i, j) in (0..dim).flat_map(|i| (0..=i).map(move |j| (i, j))) {
                    let at = |r: usize, column: usize| f64::from(a[r * dim + column]) * factors[r];
                    let expected: f64 = (0..rows).map(|r| at(r, i) * at(r, j)).sum();
                    assert!((found[j * dim + i] - expected).abs() < 1e-11, "{rows}x{dim}: {i}, {j}");
                }
            }
        }
    }
}
