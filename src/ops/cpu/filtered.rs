//! StyleGAN3's filtered activation on the CPU: up-sample, activate and down-sample a few rows at a time, so that the large
//! map in between never leaves the cache.
//!
//! Rows are up-sampled along x as they are needed, then along y, activated, down-sampled along y, then along x. Samples of
//! an up-sampled row are kept by phases: every `phases`-th lies next to the other. So each of the four filters reads and
//! writes runs of neighbours, skips the zeros between samples, and is one and the same loop, [`sums`].

use std::cell::RefCell;

use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use super::kernel::{Input, POSITIONS, accumulate_few, widest};
use super::memory::Buffer;
use super::phases::Passes;

/// What is done to every plane; both axes alike but for their lengths. Pairs are of y and x.
pub struct FilterPlan {
    pub up: usize,
    pub down: usize,
    /// First sample of the up-sampled axes, counted in the full transposed convolution, and their numbers.
    pub start: [usize; 2],
    pub length: [usize; 2],
    /// Filter of the up-sampling along an axis, with its gain.
    pub up_taps: Vec<f32>,
    /// Filter of the down-sampling: `[taps]` for each axis, or `[taps, taps]` for both at once.
    pub down_taps: Vec<f32>,
    pub is_radial: bool,
    /// Slope below zero and gain of the activation.
    pub activation: Option<[f32; 2]>,
    pub clamp: Option<f32>,
}

impl FilterPlan {
    pub(super) fn down_count(&self) -> usize {
        if self.is_radial { self.down_taps.len().isqrt() } else { self.down_taps.len() }
    }

    /// The up-sampling alone.
    pub(crate) fn only_up(&self) -> FilterPlan {
        FilterPlan {
            down: 1,
            down_taps: vec![1.0],
            is_radial: false,
            activation: None,
            clamp: None,
            up_taps: self.up_taps.clone(),
            ..*self
        }
    }

    /// The adjoint of the down-sampling, whose filter is not radial.
    pub(crate) fn down_as_up(&self) -> FilterPlan {
        FilterPlan { up: self.down, start: [0, 0], up_taps: self.down_taps.clone(), ..self.only_up() }
    }

    /// The adjoint of the up-sampling, of maps of that height and width: all that the full transposed convolution makes.
    pub(crate) fn up_as_down(&self, full: [usize; 2]) -> FilterPlan {
        let (start, up_taps, down_taps) = ([0, 0], vec![1.0], self.up_taps.clone());
        FilterPlan { up: 1, down: self.up, start, length: full, up_taps, down_taps, ..self.only_up() }
    }

    /// Height and width of the result.
    pub(crate) fn output(&self) -> [usize; 2] {
        self.length.map(|length| (length - self.down_count()) / self.down + 1)
    }
}

/// `x` is `[channels, height, width]`, `bias` one summand per channel. Returns `[channels, height, width]` of the result.
pub(crate) fn filtered(x: &[f32], size: [usize; 2], bias: &[f32], plan: &FilterPlan) -> Vec<f32> {
    let pixels = plan.output().iter().product();
    let mut result = super::fresh(bias.len() * pixels);
    let passes = Passes::new(plan, size);
    let planes = result.par_chunks_exact_mut(pixels).zip(x.par_chunks_exact(size[0] * size[1])).enumerate();
    planes.for_each(|(channel, (to, from))| {
        BUFFERS.with_borrow_mut(|buffers| filter_plane(&passes, from, bias[channel], buffers, to));
    });
    result
}

/// A thread's buffers, kept from plane to plane.
#[derive(Default)]
struct Buffers {
    /// An input row with its bias and zeros around it.
    line: Buffer,
    /// Rings of rows: up-sampled along x, and up-sampled along both axes and activated.
    wide: Buffer,
    large: Buffer,
    /// Rows that are down-sampled along y, and along x.
    low: Buffer,
    narrow: Buffer,
    offsets: Vec<isize>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// Filters one plane.
fn filter_plane(passes: &Passes, from: &[f32], bias: f32, buffers: &mut Buffers, to: &mut [f32]) {
    let &Passes { plan, size: [height, width], outputs, output_run, .. } = passes;
    let &FilterPlan { up, down, start: [start, _], length: [length, _], .. } = plan;
    let [output, output_width] = plan.output();
    let Buffers { line, wide, large, low, narrow, offsets } = buffers;
    let row = passes.phases * passes.run;
    let line = line.take(passes.inputs * passes.line);
    line.fill(0.0);
    // Slots of the rings, by the numbers of input rows and of full rows.
    let wide_slots = passes.up_y.len() / up;
    let wide = wide.take(wide_slots * row);
    let slots = (plan.down_count() + down * (passes.rows - 1) + up - 1).next_multiple_of(up);
    // The last positions of a result may read beyond the last row, and are dropped.
    let large = large.take(slots * row + POSITIONS);
    let low = low.take(passes.rows * row + POSITIONS);
    let narrow = narrow.take(passes.rows * outputs * output_run);

    let mut input_row = (start / up).saturating_sub(wide_slots - 1);
    let mut output_row = 0;
    for group in start / up..=(start + length - 1) / up {
        while input_row < height && input_row <= group {
            passes.fill_line(&from[input_row * width..][..width], bias, line);
            let to = &mut wide[input_row % wide_slots * row..][..row];
            sums(line, &passes.up_x_offsets, &passes.up_x, passes.phases, to);
            input_row += 1;
        }
        // Full rows `up * group..` take input row `group - shift` where there is one.
        let shifts = group.saturating_sub(height - 1)..wide_slots.min(group + 1);
        let weights = &passes.up_y[shifts.start * up..];
        offsets.clear();
        offsets.extend(shifts.map(|shift| ((group - shift) % wide_slots * row) as isize));
        let full_rows = &mut large[up * group % slots * row..][..up * row];
        sums(wide, offsets, weights, up, full_rows);
        activate(full_rows, plan.activation.map(|[slope, _]| slope), plan.clamp);
        // All rows of the result whose last sample is there.
        while output_row < output {
            let rows = passes.rows.min(output - output_row);
            let first = start + down * output_row;
            let end = first + plan.down_count() + down * (rows - 1);
            if end > up * (group + 1) {
                break;
            }
            let starts = (first..end).map(|full| (full % slots * row) as isize);
            offsets.clear();
            match &passes.down_x {
                Some(down_x) => {
                    offsets.extend(starts);
                    sums(large, offsets, &passes.down_y, passes.rows, &mut low[..passes.rows * row]);
                    let targets = narrow.chunks_exact_mut(outputs * output_run);
                    for (r, to) in targets.take(rows).enumerate() {
                        sums(&low[r * row..], &passes.down_x_offsets, down_x, outputs, to);
                    }
                }
                None => {
                    offsets.extend(starts.flat_map(|at| passes.down_x_offsets.iter().map(move |x| at + x)));
                    sums(large, offsets, &passes.down_y, passes.rows * outputs, narrow);
                }
            }
            let to = to[output_row * output_width..][..rows * output_width].chunks_exact_mut(output_width);
            to.zip(narrow.chunks_exact(outputs * output_run)).for_each(|(to, phases)| passes.take_row(phases, to));
            output_row += rows;
        }
    }
}

/// Results one after the other in `to`; offsets may be fewer than the weights have terms.
fn sums(values: &[f32], offsets: &[isize], weights: &[f32], results: usize, to: &mut [f32]) {
    let input = Input { values, plane: 0, channels: 1, first: 0, taps: offsets };
    accumulate_few(&input, weights, to, to.len() / results);
}

widest! {
    fn activate(row: &mut [f32], slope: Option<f32>, clamp: Option<f32>) {
        if let Some(slope) = slope {
            // For slopes below 1.
            row.iter_mut().for_each(|x| *x = x.max(slope * *x));
        }
        if let Some(limit) = clamp {
            row.iter_mut().for_each(|x| *x = x.clamp(-limit, limit));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::numbers;
    use super::*;

    /// Zero-insertion, full correlation and picking, straight from the definition.
    fn definition(x: &[f32], width: usize, bias: f32, plan: &FilterPlan) -> Vec<f64> {
        let taps = &plan.up_taps;
        let at =
            |full: usize, i: usize| full.checked_sub(i * plan.up).and_then(|tap| taps.get(tap)).map(|&t| f64::from(t));
        let [rows, columns] = plan.length;
        let mut large = vec![0.0; rows * columns];
        for (index, sum) in large.iter_mut().enumerate() {
            let (y, px) = (index / columns + plan.start[0], index % columns + plan.start[1]);
            for (i, value) in x.iter().enumerate() {
                if let (Some(a), Some(b)) = (at(y, i / width), at(px, i % width)) {
                    *sum += a * b * f64::from(value + bias);
                }
            }
            if let Some([slope, gain]) = plan.activation {
                *sum = sum.max(f64::from(slope) * *sum) * f64::from(gain);
            }
            if let Some(limit) = plan.clamp {
                *sum = sum.clamp(f64::from(-limit), f64::from(limit));
            }
        }
        let (count, [output_rows, output]) = (plan.down_count(), plan.output());
        let weight = |y: usize, x: usize| match plan.is_radial {
            true => f64::from(plan.down_taps[y * count + x]),
            false => f64::from(plan.down_taps[y]) * f64::from(plan.down_taps[x]),
        };
        let mut result = vec![0.0; output_rows * output];
        for (index, sum) in result.iter_mut().enumerate() {
            for (y, px) in (0..count * count).map(|k| (k / count, k % count)) {
                let (row, column) = (index / output * plan.down + y, index % output * plan.down + px);
                *sum += large[row * columns + column] * weight(y, px);
            }
        }
        result
    }

    #[test]
    fn every_kind_of_resampling_equals_its_definition() {
        // height and width, up, down, starts, lengths, up taps, down taps, radial
        let square = |side: usize, up: usize, down: usize, start: usize, length: usize, up_taps, down_taps, radial| {
            ([side; 2], up, down, [start; 2], [length; 2], up_taps, down_taps, radial)
        };
        for (size @ [height, width], up, down, start, length, up_count, down_count, is_radial) in [
            square(14, 2, 2, 2, 32, 12, 12, false),
            square(9, 4, 2, 29, 26, 24, 12, false),
            square(11, 2, 2, 0, 30, 12, 12, true),
            square(10, 2, 1, 3, 20, 12, 1, false),
            square(7, 1, 1, 0, 7, 1, 1, false),
            square(20, 1, 2, 0, 20, 1, 12, true),
            square(8, 3, 2, 5, 30, 18, 12, false),
            square(9, 4, 2, 29, 26, 24, 12, true),
            ([14, 9], 2, 2, [2, 5], [32, 24], 12, 12, false),
            ([6, 20], 2, 2, [1, 3], [20, 44], 12, 12, true),
            ([9, 23], 4, 2, [29, 2], [26, 90], 24, 12, false),
        ] {
            let plan = FilterPlan {
                up,
                down,
                start,
                length,
                up_taps: numbers(up_count, 1),
                down_taps: numbers(if is_radial { down_count * down_count } else { down_count }, 2),
                is_radial,
                activation: Some([0.2, 1.4]),
                clamp: Some(1.5),
            };
            let (x, bias) = (numbers(2 * height * width, 3), [0.25, -0.5]);
            let found = filtered(&x, size, &bias, &plan);
            let expected: Vec<f64> = (0..2)
                .flat_map(|c| definition(&x[c * height * width..][..height * width], width, bias[c], &plan))
                .collect();
            assert_eq!(found.len(), expected.len());
            for (a, b) in found.iter().zip(&expected) {
                assert!((f64::from(*a) - b).abs() < 1e-4, "{height}x{width}, up {up}, down {down}: {a} and {b}");
            }
        }
    }
}
