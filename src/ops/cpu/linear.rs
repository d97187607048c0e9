//! Products of a few rows with a matrix. What a row becomes does not depend on the rows beside it, bit for bit: a picture that is
//! made in a batch is the same as one that is made alone.

use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use super::kernel::widest;

/// Outputs that are summed side by side, in vector registers; those that are left over are filled up to a multiple of eight.
const LANES: usize = 64;
const FEWER: usize = 8;
/// Multiplications that are worth another thread.
const TASK: usize = 1 << 17;

/// A matrix `[outputs, inputs]`, packed in groups of outputs.
pub(crate) struct PackedLinear {
    /// `[inputs][64]` for each group, and `[inputs][outputs]` for those that are left over. Missing outputs are zero.
    groups: Vec<Vec<f32>>,
    pub inputs: usize,
    pub outputs: usize,
}

impl PackedLinear {
    /// `weight` is `[outputs, inputs]`, row-major.
    pub(crate) fn new(weight: &[f32], [outputs, inputs]: [usize; 2]) -> Self {
        let group = |rows: &[f32]| {
            let width = (rows.len() / inputs).next_multiple_of(FEWER);
            let mut values = vec![0.0; inputs * width];
            for (output, row) in rows.chunks_exact(inputs).enumerate() {
                values[output..].iter_mut().step_by(width).zip(row).for_each(|(to, x)| *to = *x);
            }
            values
        };
        PackedLinear { groups: weight.chunks(LANES * inputs).map(group).collect(), inputs, outputs }
    }

    /// The transposed matrix, `[inputs, outputs]`, row-major.
    pub(crate) fn transposed(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.inputs * self.outputs);
        for input in 0..self.inputs {
            let row = self.groups.iter().flat_map(|group| {
                let width = group.len() / self.inputs;
                &group[input * width..][..width]
            });
            values.extend(row.take(self.outputs));
        }
        values
    }

    /// Of x `[rows, inputs]`: `[rows, outputs]`. `finish` is given the sums of each row.
    pub(crate) fn products(&self, x: &[f32], finish: impl Fn(&mut [f32])) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        let together = (TASK / (x.len() * LANES)).clamp(1, self.groups.len());
        // Group by group, because the weights of a group are read for all rows.
        let mut sums = vec![0.0; self.groups.len() * rows * LANES];
        let tasks = sums.par_chunks_mut(together * rows * LANES).zip(self.groups.par_chunks(together));
        tasks.for_each(|(sums, groups)| {
            let groups = sums.chunks_exact_mut(rows * LANES).zip(groups);
            groups.for_each(|(sums, group)| sums_of_products(x, group, self.inputs, sums));
        });
        let mut result = Vec::with_capacity(rows * self.outputs);
        for row in 0..rows {
            for (group, sums) in sums.chunks_exact(rows * LANES).enumerate() {
                let count = LANES.min(self.outputs - group * LANES);
                result.extend_from_slice(&sums[row * LANES..][..count]);
            }
            finish(&mut result[row * self.outputs..]);
        }
        result
    }
}

widest! {
    /// Of one group of outputs: `[rows][64]`.
    fn sums_of_products(x: &[f32], group: &[f32], inputs: usize, sums: &mut [f32]) {
        let width = group.len() / inputs;
        for (x, sums) in x.chunks_exact(inputs).zip(sums.chunks_exact_mut(LANES)) {
            if width == LANES {
                sums_from::<LANES>(x, group, width, 0, sums);
            } else {
                (0..width).step_by(FEWER).for_each(|first| sums_from::<FEWER>(x, group, width, first, sums));
            }
        }
    }
}

/// Those of `COUNT` outputs from `first` on.
#[inline(always)]
fn sums_from<const COUNT: usize>(x: &[f32], group: &[f32], width: usize, first: usize, sums: &mut [f32]) {
    let mut lanes = [0.0; COUNT];
    for (x, weights) in x.iter().zip(group.chunks_exact(width)) {
        for (lane, weight) in lanes.iter_mut().zip(&weights[first..first + COUNT]) {
            *lane += x * weight;
        }
    }
    sums[first..first + COUNT].copy_from_slice(&lanes);
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_close, numbers};
    use super::*;

    #[test]
    fn products_equal_their_definition_and_those_of_each_row_alone() {
        for (rows, inputs, outputs) in [(1, 1, 1), (3, 7, 5), (2, 32, 64), (16, 100, 133), (5, 512, 300)] {
            // Sums of about one, of which f32 keeps more than is compared.
            let scale = 1.0 / (inputs as f32).sqrt();
            let x: Vec<f32> = numbers(rows * inputs, 1).into_iter().map(|x| scale * x).collect();
            let weight = numbers(outputs * inputs, 2);
            let packed = PackedLinear::new(&weight, [outputs, inputs]);
            let finish =
                |sums: &mut [f32]| sums.iter_mut().enumerate().for_each(|(output, sum)| *sum += (output % 8) as f32);
            let found = packed.products(&x, finish);
            let expected = (0..rows * outputs).map(|at| {
                let (row, output) = (at / outputs, at % outputs);
                let (x, weight) = (&x[row * inputs..][..inputs], &weight[output * inputs..][..inputs]);
                x.iter().zip(weight).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>() + (output % 8) as f64
            });
            assert_close(&found, &expected.collect::<Vec<_>>(), &format!("{rows} x {inputs} x {outputs}"));
            let alone: Vec<f32> = x.chunks_exact(inputs).flat_map(|x| packed.products(x, finish)).collect();
            assert_eq!(found, alone);
            let turned = packed.transposed();
            assert!((0..inputs * outputs).all(|at| turned[at] == weight[at % outputs * inputs + at / outputs]));
        }
    }
}
