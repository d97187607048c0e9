//! Convolutions on the CPU without intermediate maps: input channels are scaled while a strip of rows is copied into the
//! cache, with a zero border, and everything that follows a convolution is applied while its sums are still there.

mod filtered;
mod kernel;
mod memory;

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

pub use filtered::Plan;
pub(super) use filtered::filtered;
use kernel::{OUTPUTS, POSITIONS, accumulate};
use memory::{Disjoint, Source, Strip, fresh};

/// Bytes of input that one task reads again and again: about a processor's second cache.
const STRIP_BYTES: usize = 1 << 20;

/// Weights `[outputs, inputs, taps]`, packed in groups of 8 outputs.
pub(super) struct Packed {
    /// `[outputs / 8][inputs][taps][8]`, missing outputs are zero.
    values: Vec<f32>,
    pub inputs: usize,
    pub outputs: usize,
    taps: usize,
}

impl Packed {
    /// `weight(o, i, tap)` is the factor of input `i` at `tap` for output `o`.
    pub(super) fn new([outputs, inputs, taps]: [usize; 3], weight: impl Fn(usize, usize, usize) -> f32) -> Self {
        let groups = outputs.div_ceil(OUTPUTS);
        let mut values = vec![0.0; groups * inputs * taps * OUTPUTS];
        for o in 0..outputs {
            for i in 0..inputs {
                for tap in 0..taps {
                    values[((o / OUTPUTS * inputs + i) * taps + tap) * OUTPUTS + o % OUTPUTS] = weight(o, i, tap);
                }
            }
        }
        Packed { values, inputs, outputs, taps }
    }

    fn groups(&self) -> usize {
        self.outputs.div_ceil(OUTPUTS)
    }

    fn group(&self, group: usize) -> &[f32] {
        let length = self.inputs * self.taps * OUTPUTS;
        &self.values[group * length..(group + 1) * length]
    }
}

/// What happens to the sums of a convolution: `clamp(lrelu(sum * scale + bias + noise))`, each part optional.
#[derive(Clone, Copy, Default)]
pub(super) struct After<'a> {
    /// One factor per output channel.
    pub scale: Option<&'a [f32]>,
    /// One summand per output channel.
    pub bias: Option<&'a [f32]>,
    /// One summand per pixel.
    pub noise: Option<&'a [f32]>,
    /// Slope below zero.
    pub slope: Option<f32>,
    /// Largest magnitude.
    pub clamp: Option<f32>,
}

impl After<'_> {
    /// Finishes a row of channel `channel` that starts at pixel `pixel`.
    fn finish(&self, row: &mut [f32], channel: usize, pixel: usize) {
        let scale = self.scale.map_or(1.0, |scale| scale[channel]);
        let bias = self.bias.map_or(0.0, |bias| bias[channel]);
        match self.noise {
            Some(noise) => {
                for (x, noise) in row.iter_mut().zip(&noise[pixel..]) {
                    *x = *x * scale + bias + noise;
                }
            }
            None => row.iter_mut().for_each(|x| *x = *x * scale + bias),
        }
        if let Some(slope) = self.slope {
            // For slopes below 1.
            row.iter_mut().for_each(|x| *x = x.max(slope * *x));
        }
        if let Some(limit) = self.clamp {
            row.iter_mut().for_each(|x| *x = x.clamp(-limit, limit));
        }
    }
}

/// How one convolution's work is cut: into strips of rows, whose input stays in the cache, and shares of the outputs.
struct Parts {
    height: usize,
    /// Rows per strip.
    rows: usize,
    strips: usize,
    groups: usize,
    /// Groups of outputs per share.
    groups_per_share: usize,
    shares: usize,
}

/// One part: the rows `first..end` of the input, and groups of outputs.
struct Part {
    first: usize,
    end: usize,
    groups: Range<usize>,
}

impl Parts {
    fn new([height, width]: [usize; 2], packed: &Packed, least_rows: usize) -> Self {
        let row_bytes = 4 * packed.inputs * (width + 2);
        let rows = (STRIP_BYTES / row_bytes).saturating_sub(2).clamp(least_rows.min(height), height);
        let strips = height.div_ceil(rows);
        let groups = packed.groups();
        // A few parts per thread, so that none waits long for the last.
        let wanted_shares = (4 * rayon::current_num_threads()).div_ceil(strips);
        let groups_per_share = groups.div_ceil(wanted_shares);
        Parts { height, rows, strips, groups, groups_per_share, shares: groups.div_ceil(groups_per_share) }
    }

    /// Does all parts, in parallel.
    fn run(&self, task: impl Fn(Part, &mut Scratch) + Sync) {
        (0..self.strips * self.shares).into_par_iter().with_max_len(1).for_each(|index| {
            let (strip, share) = (index / self.shares, index % self.shares);
            let first = strip * self.rows;
            let end = (first + self.rows).min(self.height);
            let groups = share * self.groups_per_share..((share + 1) * self.groups_per_share).min(self.groups);
            SCRATCH.with_borrow_mut(|scratch| task(Part { first, end, groups }, scratch));
        });
    }
}

/// A thread's buffers, kept from part to part: fresh memory costs more than the arithmetic of a wide layer.
#[derive(Default)]
struct Scratch {
    strip: Strip,
    sums: [Vec<f32>; 4],
    columns: [Vec<f32>; 2],
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Convolution with a square kernel of 1 or 3 (`packed.taps` 1 or 9), stride 1, zero padding, of one sample.
///
/// `x` is `[inputs, height, width]`; `style` holds one factor per input. Returns `[outputs, height, width]`.
pub(super) fn conv(
    x: &[f32],
    [height, width]: [usize; 2],
    style: Option<&[f32]>,
    packed: &Packed,
    after: After,
) -> Vec<f32> {
    let row = width + 2;
    let taps: Vec<isize> = match packed.taps {
        1 => vec![0],
        _ => (-1..=1).flat_map(|y| (-1..=1).map(move |x| y * row as isize + x)).collect(),
    };
    let source = Source { x, channels: packed.inputs, height, width, style };
    let mut result = fresh(packed.outputs * height * width);
    let target = Disjoint::new(&mut result);
    Parts::new([height, width], packed, 1).run(|part, scratch| {
        scratch.strip.fill(&source, part.first, part.end);
        let positions = (part.end - part.first) * row;
        let stride = positions.next_multiple_of(POSITIONS);
        let sums = &mut scratch.sums[0];
        sums.resize(OUTPUTS * stride, 0.0);
        for group in part.groups {
            accumulate(&scratch.strip.input(1, &taps), packed.group(group), sums, stride, positions);
            for (o, channel) in (group * OUTPUTS..packed.outputs.min((group + 1) * OUTPUTS)).enumerate() {
                for y in part.first..part.end {
                    let from = o * stride + (y - part.first) * row + 1;
                    let pixel = y * width;
                    // SAFETY: a part owns its rows of its groups' channels, and no other part has them.
                    let row = unsafe { target.slice(channel * height * width + pixel, width) };
                    row.copy_from_slice(&sums[from..from + width]);
                    after.finish(row, channel, pixel);
                }
            }
        }
    });
    result
}

/// The four kernels of a stride-2 transposed convolution: one per parity of output row and column.
pub(super) struct PackedUp {
    /// (even, even), (even, odd), (odd, even), (odd, odd)
    phases: [Packed; 4],
    /// Kernel row (or column) and input row (or column) that reach an even and an odd output: (kernel index, offset).
    reach: [&'static [(usize, isize)]; 2],
}

impl PackedUp {
    /// 3x3 without padding, the size becomes 2h+1: output 2y + k takes input y with kernel index k.
    pub(super) fn of_3x3(shape: [usize; 2], weight: impl Fn(usize, usize, usize, usize) -> f32) -> Self {
        Self::new(shape, [&[(0, 0), (2, -1)], &[(1, 0)]], weight)
    }

    /// 4x4 with padding 1, the size becomes 2h: output 2y + k - 1 takes input y with kernel index k.
    pub(super) fn of_4x4(shape: [usize; 2], weight: impl Fn(usize, usize, usize, usize) -> f32) -> Self {
        Self::new(shape, [&[(1, 0), (3, -1)], &[(0, 1), (2, 0)]], weight)
    }

    /// `weight(output, input, kernel row, kernel column)`
    fn new(
        [outputs, inputs]: [usize; 2],
        reach: [&'static [(usize, isize)]; 2],
        weight: impl Fn(usize, usize, usize, usize) -> f32,
    ) -> Self {
        let phases = std::array::from_fn(|phase| {
            let taps = pairs(reach[phase / 2], reach[phase % 2]);
            Packed::new([outputs, inputs, taps.len()], |o, i, tap| weight(o, i, taps[tap].0.0, taps[tap].1.0))
        });
        PackedUp { phases, reach }
    }

    /// Where the taps of each phase read in rows of length `row`.
    fn taps(&self, row: usize) -> [Vec<isize>; 4] {
        std::array::from_fn(|phase| {
            let taps = pairs(self.reach[phase / 2], self.reach[phase % 2]);
            taps.iter().map(|((_, y), (_, x))| y * row as isize + x).collect()
        })
    }

    pub(super) fn outputs(&self) -> usize {
        self.phases[0].outputs
    }
}

type Reach = (usize, isize);

fn pairs(rows: &[Reach], columns: &[Reach]) -> Vec<(Reach, Reach)> {
    rows.iter().flat_map(|&y| columns.iter().map(move |&x| (y, x))).collect()
}

/// Sum maps of one group of outputs on the rows of a part.
struct PhaseSums<'a> {
    sums: &'a [Vec<f32>; 4],
    /// Distance between outputs.
    stride: usize,
    row: usize,
}

impl PhaseSums<'_> {
    /// Even and odd columns of one output's map row: of this parity, number `m` counted from the row before the part's first.
    fn map_row(&self, output: usize, parity: usize, m: usize) -> [&[f32]; 2] {
        let from = output * self.stride + m * self.row;
        [&self.sums[2 * parity][from..from + self.row], &self.sums[2 * parity + 1][from..from + self.row]]
    }
}

/// Stride-2 transposed convolution of one sample, its four phases handed to `finish(output, y, sums, columns, row)`, which
/// fills row `y` of the result. `x` is `[inputs, height, width]`. Returns `[outputs, 2 height, 2 width]`.
fn double(
    x: &[f32],
    [height, width]: [usize; 2],
    style: Option<&[f32]>,
    packed: &PackedUp,
    after: After,
    finish: impl Fn(usize, usize, &PhaseSums, &mut [Vec<f32>; 2], &mut [f32]) + Sync,
) -> Vec<f32> {
    let row = width + 2;
    let taps = packed.taps(row);
    let [first_phase, ..] = &packed.phases;
    let outputs = packed.outputs();
    let (up_height, up_width) = (2 * height, 2 * width);
    let source = Source { x, channels: first_phase.inputs, height, width, style };
    let mut result = fresh(outputs * up_height * up_width);
    let target = Disjoint::new(&mut result);
    Parts::new([height, width], first_phase, 8).run(|part, scratch| {
        scratch.strip.fill(&source, part.first, part.end);
        let rows = part.end - part.first + 2;
        // Room for the rounding of runs that start one row in.
        let stride = (rows * row).next_multiple_of(POSITIONS) + POSITIONS;
        let Scratch { strip, sums, columns } = scratch;
        sums.iter_mut().for_each(|sums| sums.resize(OUTPUTS * stride, 0.0));
        columns.iter_mut().for_each(|column| column.resize(row, 0.0));
        for group in part.groups {
            for (phase, (sums, taps)) in sums.iter_mut().zip(&taps).enumerate() {
                // A map row that reads above or below the strip is not read by `finish` either.
                let skip_first = usize::from(taps.iter().any(|&tap| tap < -1));
                let skip_last = usize::from(taps.iter().any(|&tap| tap > 1));
                let positions = (rows - skip_first - skip_last) * row;
                let weights = packed.phases[phase].group(group);
                accumulate(&strip.input(skip_first, taps), weights, &mut sums[skip_first * row..], stride, positions);
            }
            let phases = PhaseSums { sums, stride, row };
            for (o, channel) in (group * OUTPUTS..outputs.min((group + 1) * OUTPUTS)).enumerate() {
                for y in 0..2 * (part.end - part.first) {
                    let pixel = (2 * part.first + y) * up_width;
                    // SAFETY: a part owns its rows of its groups' channels, and no other part has them.
                    let row = unsafe { target.slice(channel * up_height * up_width + pixel, up_width) };
                    finish(o, y, &phases, columns, row);
                    after.finish(row, channel, pixel);
                }
            }
        }
    });
    result
}

/// Stride-2 transposed 3x3 convolution followed by the filter [1,3,3,1] x [1,3,3,1] / 16 (pad 1), of one sample.
///
/// `x` is `[inputs, height, width]`. Returns `[outputs, 2 height, 2 width]`. The map of size 2h+1 never exists.
pub(super) fn conv_up(x: &[f32], size: [usize; 2], style: Option<&[f32]>, packed: &PackedUp, after: After) -> Vec<f32> {
    double(x, size, style, packed, after, |output, y, sums, columns, row| {
        // Rows y-1 ..= y+2 of the sum map; rows are counted from the one before the part's first.
        let m = y / 2 + 1;
        let map_row = |parity, m| sums.map_row(output, parity, m);
        let taken = match y % 2 {
            0 => [map_row(1, m - 1), map_row(0, m), map_row(1, m), map_row(0, m + 1)],
            _ => [map_row(0, m), map_row(1, m), map_row(0, m + 1), map_row(1, m + 1)],
        };
        for (parity, column) in columns.iter_mut().enumerate() {
            let [a, b, c, d] = taken.map(|rows| &rows[parity][..column.len()]);
            for (n, x) in column.iter_mut().enumerate() {
                *x = (a[n] + d[n]) + 3.0 * (b[n] + c[n]);
            }
        }
        filter_columns(&columns[0], &columns[1], row);
    })
}

/// Stride-2 transposed 4x4 convolution with padding 1, of one sample.
///
/// `x` is `[inputs, height, width]`. Returns `[outputs, 2 height, 2 width]`.
pub(super) fn conv_transpose(
    x: &[f32],
    size: [usize; 2],
    style: Option<&[f32]>,
    packed: &PackedUp,
    after: After,
) -> Vec<f32> {
    double(x, size, style, packed, after, |output, y, sums, _, row| {
        let [even, odd] = sums.map_row(output, y % 2, y / 2 + 1);
        for (pair, (even, odd)) in row.as_chunks_mut::<2>().0.iter_mut().zip(even[1..].iter().zip(&odd[1..])) {
            *pair = [*even, *odd];
        }
    })
}

/// Filters along a row: `even` and `odd` hold the columns of the sum map at bordered indices (index 1 is column 0).
fn filter_columns(even: &[f32], odd: &[f32], row: &mut [f32]) {
    let columns = odd.windows(3).zip(even[1..].windows(2));
    for (pair, (odd, even)) in row.chunks_exact_mut(2).zip(columns) {
        let ([o0, o1, o2], [e1, e2]) = ([odd[0], odd[1], odd[2]], [even[0], even[1]]);
        pair[0] = ((o0 + e2) + 3.0 * (e1 + o1)) * (1.0 / 16.0);
        pair[1] = ((e1 + o2) + 3.0 * (o1 + e2)) * (1.0 / 16.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0).collect()
    }

    /// Straight from the definition, in f64.
    fn plain_conv(x: &[f32], [h, w]: [usize; 2], [outputs, inputs]: [usize; 2], k: usize, weight: &[f32]) -> Vec<f64> {
        let mut result = vec![0.0; outputs * h * w];
        for (index, sum) in result.iter_mut().enumerate() {
            let (o, y, px) = (index / (h * w), index / w % h, index % w);
            for i in 0..inputs {
                for (ky, kx) in (0..k * k).map(|t| (t / k, t % k)) {
                    let (sy, sx) = ((y + ky).wrapping_sub(k / 2), (px + kx).wrapping_sub(k / 2));
                    if sy < h && sx < w {
                        let weight = weight[((o * inputs + i) * k + ky) * k + kx];
                        *sum += f64::from(x[(i * h + sy) * w + sx]) * f64::from(weight);
                    }
                }
            }
        }
        result
    }

    #[track_caller]
    fn assert_close(found: &[f32], expected: &[f64], what: &str) {
        assert_eq!(found.len(), expected.len());
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!((f64::from(*a) - b).abs() < 1e-4, "{what}, value {i}: {a} and {b}");
        }
    }

    #[test]
    fn convolutions_of_every_size_equal_their_definition() {
        for (h, w, inputs, outputs, k) in [
            (4, 4, 5, 3, 3),
            (1, 1, 2, 9, 3),
            (8, 8, 16, 24, 3),
            (7, 33, 3, 8, 3),
            (70, 64, 64, 17, 3),
            (9, 5, 6, 3, 1),
        ] {
            let (x, weight) = (numbers(inputs * h * w, 1), numbers(outputs * inputs * k * k, 2));
            let packed = Packed::new([outputs, inputs, k * k], |o, i, t| weight[(o * inputs + i) * k * k + t]);
            let found = conv(&x, [h, w], None, &packed, After::default());
            assert_close(
                &found,
                &plain_conv(&x, [h, w], [outputs, inputs], k, &weight),
                &format!("{h}x{w} {inputs}->{outputs}"),
            );
        }
    }

    #[test]
    fn what_follows_a_convolution_is_applied_in_order() {
        let (h, w, inputs, outputs) = (6, 10, 4, 11);
        let (x, weight) = (numbers(inputs * h * w, 3), numbers(outputs * inputs * 9, 4));
        let (style, scale) = (numbers(inputs, 5), numbers(outputs, 6));
        let (bias, noise) = (numbers(outputs, 7), numbers(h * w, 8));
        let packed = Packed::new([outputs, inputs, 9], |o, i, t| weight[(o * inputs + i) * 9 + t]);
        let after =
            After { scale: Some(&scale), bias: Some(&bias), noise: Some(&noise), slope: Some(0.2), clamp: Some(0.9) };
        let found = conv(&x, [h, w], Some(&style), &packed, after);
        let styled: Vec<f32> = x.iter().enumerate().map(|(i, x)| x * style[i / (h * w)]).collect();
        let sums = plain_conv(&styled, [h, w], [outputs, inputs], 3, &weight);
        let finish = |(i, sum): (usize, &f64)| {
            let channel = i / (h * w);
            let x = sum * f64::from(scale[channel]) + f64::from(bias[channel]) + f64::from(noise[i % (h * w)]);
            x.max(0.2 * x).clamp(-0.9, 0.9)
        };
        assert_close(&found, &sums.iter().enumerate().map(finish).collect::<Vec<_>>(), "epilogue");
    }

    #[test]
    fn transposed_convolutions_equal_their_definition() {
        for (h, w, inputs, outputs) in [(4, 4, 3, 5), (1, 1, 2, 8), (5, 9, 4, 12), (40, 32, 48, 9)] {
            let (x, weight) = (numbers(inputs * h * w, 1), numbers(outputs * inputs * 16, 2));
            let packed = PackedUp::of_4x4([outputs, inputs], |o, i, y, x| weight[((o * inputs + i) * 4 + y) * 4 + x]);
            let found = conv_transpose(&x, [h, w], None, &packed, After::default());
            let mut expected = vec![0.0; outputs * 4 * h * w];
            for (o, i) in (0..outputs * inputs).map(|n| (n / inputs, n % inputs)) {
                for (y, px) in (0..h * w).map(|n| (n / w, n % w)) {
                    for (ky, kx) in (0..16).map(|n| (n / 4, n % 4)) {
                        let (ty, tx) = ((2 * y + ky).wrapping_sub(1), (2 * px + kx).wrapping_sub(1));
                        if ty < 2 * h && tx < 2 * w {
                            expected[(o * 2 * h + ty) * 2 * w + tx] += f64::from(x[(i * h + y) * w + px])
                                * f64::from(weight[((o * inputs + i) * 4 + ky) * 4 + kx]);
                        }
                    }
                }
            }
            assert_close(&found, &expected, &format!("{h}x{w} {inputs}->{outputs}"));
        }
    }

    #[test]
    fn up_convolutions_equal_transposed_convolution_and_filter() {
        for (h, w, inputs, outputs) in [(4, 4, 3, 5), (1, 1, 2, 8), (5, 9, 4, 12), (40, 32, 48, 9)] {
            let (x, weight) = (numbers(inputs * h * w, 1), numbers(outputs * inputs * 9, 2));
            let packed = PackedUp::of_3x3([outputs, inputs], |o, i, y, x| weight[((o * inputs + i) * 3 + y) * 3 + x]);
            let found = conv_up(&x, [h, w], None, &packed, After::default());
            let (mh, mw) = (2 * h + 1, 2 * w + 1);
            let mut map = vec![0.0; outputs * mh * mw];
            for (o, i) in (0..outputs * inputs).map(|n| (n / inputs, n % inputs)) {
                for (y, px) in (0..h * w).map(|n| (n / w, n % w)) {
                    for (ky, kx) in (0..9).map(|n| (n / 3, n % 3)) {
                        map[(o * mh + 2 * y + ky) * mw + 2 * px + kx] += f64::from(x[(i * h + y) * w + px])
                            * f64::from(weight[((o * inputs + i) * 3 + ky) * 3 + kx]);
                    }
                }
            }
            let taps = [1.0, 3.0, 3.0, 1.0];
            let mut expected = vec![0.0; outputs * 4 * h * w];
            for (index, sum) in expected.iter_mut().enumerate() {
                let (o, y, px) = (index / (4 * h * w), index / (2 * w) % (2 * h), index % (2 * w));
                for (a, b) in (0..16).map(|n| (n / 4, n % 4)) {
                    let (sy, sx) = ((y + a).wrapping_sub(1), (px + b).wrapping_sub(1));
                    if sy < mh && sx < mw {
                        *sum += map[(o * mh + sy) * mw + sx] * taps[a] * taps[b] / 16.0;
                    }
                }
            }
            assert_close(&found, &expected, &format!("{h}x{w} {inputs}->{outputs}"));
        }
    }
}
