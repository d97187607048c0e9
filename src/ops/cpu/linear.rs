//! Products of a few rows with a matrix. What a row becomes does not depend on the rows beside it, bit for bit: a picture that is
//! made in a batch is the same as one that is made alone.

use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use super::kernel::widest;

/// Multiplications that are worth another thread.
const TASK: usize = 1 << 16;
/// Sums that do not wait for each other.
const LANES: usize = 32;

/// `x W^T`, row by row: x `[rows, inputs]`, W `[outputs, inputs]` -> `[rows, outputs]`, each value finished by
/// `finish(sum, output)`.
pub(crate) fn products(x: &[f32], rows: usize, weight: &[f32], finish: impl Fn(f32, usize) -> f32) -> Vec<f32> {
    let inputs = x.len() / rows;
    let outputs = weight.len() / inputs;
    let together = (TASK / (rows * inputs)).clamp(1, outputs);
    // Output by output, because a row of the weight is read for all rows of x.
    let mut sums = vec![0.0; outputs * rows];
    let tasks = sums.par_chunks_mut(together * rows).zip(weight.par_chunks(together * inputs));
    tasks.for_each(|(sums, weight)| sums_of_products(x, weight, inputs, sums));
    let mut result = Vec::with_capacity(sums.len());
    for row in 0..rows {
        result.extend((0..outputs).map(|output| finish(sums[output * rows + row], output)));
    }
    result
}

widest! {
    /// `[outputs, rows]`
    fn sums_of_products(x: &[f32], weight: &[f32], inputs: usize, sums: &mut [f32]) {
        let rows = x.len() / inputs;
        for (weight, sums) in weight.chunks_exact(inputs).zip(sums.chunks_exact_mut(rows)) {
            for (x, sum) in x.chunks_exact(inputs).zip(sums) {
                let ((x, x_rest), (weight, weight_rest)) = (x.as_chunks::<LANES>(), weight.as_chunks::<LANES>());
                let mut lanes = [0.0; LANES];
                for (x, weight) in x.iter().zip(weight) {
                    for (lane, (x, weight)) in lanes.iter_mut().zip(x.iter().zip(weight)) {
                        *lane += x * weight;
                    }
                }
                let mut width = LANES;
                while width > 1 {
                    width /= 2;
                    for lane in 0..width {
                        lanes[lane] += lanes[lane + width];
                    }
                }
                *sum = x_rest.iter().zip(weight_rest).fold(lanes[0], |sum, (x, weight)| sum + x * weight);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_close, numbers};
    use super::*;

    #[test]
    fn products_equal_their_definition_and_those_of_each_row_alone() {
        for (rows, inputs, outputs) in [(1, 1, 1), (3, 7, 5), (2, 32, 9), (16, 100, 33), (5, 512, 300)] {
            let (x, weight) = (numbers(rows * inputs, 1), numbers(outputs * inputs, 2));
            let finish = |sum, output: usize| sum + output as f32;
            let found = products(&x, rows, &weight, finish);
            let expected = (0..rows * outputs).map(|at| {
                let (row, output) = (at / outputs, at % outputs);
                let (x, weight) = (&x[row * inputs..][..inputs], &weight[output * inputs..][..inputs]);
                x.iter().zip(weight).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>() + output as f64
            });
            assert_close(&found, &expected.collect::<Vec<_>>(), &format!("{rows} x {inputs} x {outputs}"));
            let alone: Vec<f32> = x.chunks_exact(inputs).flat_map(|x| products(x, 1, &weight, finish)).collect();
            assert_eq!(found, alone);
        }
    }
}
