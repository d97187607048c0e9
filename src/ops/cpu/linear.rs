//! Products of rows with a matrix. What a row becomes does not depend on the rows beside it, bit for bit: a picture that is
//! made in a batch is the same as one that is made alone. (That holds among few rows, and among many: sums of many are fused.)

use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use super::kernel::{Input, OUTPUTS, accumulate, widest};

/// Outputs that are summed side by side, in vector registers; those that are left over are filled up to a multiple of eight.
const LANES: usize = 64;
const FEWER: usize = 8;
/// Multiplications that are worth another thread.
const TASK: usize = 1 << 17;
/// Rows of a task where there are many: the weights of a group are read once for all of them.
const BLOCK: usize = 4 * OUTPUTS;

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

    /// The same for many rows, on all cores.
    pub(crate) fn many_products(&self, x: &[f32], finish: impl Fn(&mut [f32]) + Sync) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        let mut result = vec![0.0; rows * self.outputs];
        let blocks = result.par_chunks_mut(BLOCK * self.outputs).zip(x.par_chunks(BLOCK * self.inputs));
        blocks.for_each(|(result, x)| {
            let packed = self.packed(x);
            let mut sums = vec![0.0; LANES * (x.len() / self.inputs).next_multiple_of(OUTPUTS)];
            for (group, weights) in self.groups.iter().enumerate() {
                if weights.len() == LANES * self.inputs {
                    let input = Input { values: weights, plane: LANES, channels: self.inputs, first: 0, taps: &[0] };
                    let rows = packed.chunks_exact(OUTPUTS * self.inputs).zip(sums.chunks_exact_mut(OUTPUTS * LANES));
                    rows.for_each(|(rows, sums)| accumulate(&input, rows, sums, LANES, LANES));
                } else {
                    sums_of_products(x, weights, self.inputs, &mut sums);
                }
                let first = group * LANES;
                let last = self.outputs.min(first + LANES);
                for (row, sums) in result.chunks_exact_mut(self.outputs).zip(sums.chunks_exact(LANES)) {
                    row[first..last].copy_from_slice(&sums[..last - first]);
                }
            }
            result.chunks_exact_mut(self.outputs).for_each(&finish);
        });
        result
    }

    /// Rows in groups of eight, `[inputs][8]` each; rows that are missing are zero.
    fn packed(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        let mut packed = vec![0.0; rows.next_multiple_of(OUTPUTS) * self.inputs];
        let groups = packed.chunks_exact_mut(OUTPUTS * self.inputs).zip(x.chunks(OUTPUTS * self.inputs));
        for (group, x) in groups {
            for (at, row) in x.chunks_exact(self.inputs).enumerate() {
                group[at..].iter_mut().step_by(OUTPUTS).zip(row).for_each(|(to, x)| *to = *x);
            }
        }
        packed
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
        for (rows, inputs, outputs) in [(1, 1, 1), (3, 7, 5), (2, 32, 64), (16, 100, 133), (5, 512, 300), (77, 40, 130)]
        {
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
            let expected: Vec<f64> = expected.collect();
            assert_close(&found, &expected, &format!("{rows} x {inputs} x {outputs}"));
            let alone: Vec<f32> = x.chunks_exact(inputs).flat_map(|x| packed.products(x, finish)).collect();
            assert_eq!(found, alone);
            let many = packed.many_products(&x, finish);
            assert_close(&many, &expected, &format!("many of {rows} x {inputs} x {outputs}"));
            let alone: Vec<f32> = x.chunks_exact(inputs).flat_map(|x| packed.many_products(x, finish)).collect();
            assert_eq!(many, alone);
        }
    }
}
