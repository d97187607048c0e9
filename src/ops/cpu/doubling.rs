//! Transposed convolutions of stride 2, which double the size of a picture: one ordinary convolution per parity of output row
//! and column, and what StyleGAN2 filters afterwards.

use super::kernel::{OUTPUTS, POSITIONS, accumulate, widest};
use super::memory::{Disjoint, Source, fresh};
use super::{After, Before, Packed, Parts, STRIP_BYTES, Scratch};

/// The four kernels of a stride-2 transposed convolution: one per parity of output row and column.
pub(crate) struct PackedUp {
    /// (even, even), (even, odd), (odd, even), (odd, odd)
    phases: [Packed; 4],
    /// Kernel row (or column) and input row (or column) that reach an even and an odd output: (kernel index, offset).
    reach: [&'static [(usize, isize)]; 2],
}

impl PackedUp {
    /// 3x3 without padding, the size becomes 2h+1: output 2y + k takes input y with kernel index k.
    pub(crate) fn of_3x3(shape: [usize; 2], weight: impl Fn(usize, usize, usize, usize) -> f32) -> Self {
        Self::new(shape, [&[(0, 0), (2, -1)], &[(1, 0)]], weight)
    }

    /// 4x4 with padding 1, the size becomes 2h: output 2y + k - 1 takes input y with kernel index k.
    pub(crate) fn of_4x4(shape: [usize; 2], weight: impl Fn(usize, usize, usize, usize) -> f32) -> Self {
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

    pub(crate) fn outputs(&self) -> usize {
        self.phases[0].outputs
    }
}

type Reach = (usize, isize);

fn pairs(rows: &[Reach], columns: &[Reach]) -> Vec<(Reach, Reach)> {
    rows.iter().flat_map(|&y| columns.iter().map(move |&x| (y, x))).collect()
}

/// Sum maps of one group of outputs on the rows of a part.
struct PhaseSums<'a> {
    sums: [&'a [f32]; 4],
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
    before: Before,
    packed: &PackedUp,
    after: After,
    finish: impl Fn(usize, usize, &PhaseSums, &mut [Vec<f32>; 2], &mut [f32]) + Sync,
) -> Vec<f32> {
    let row = width + 2;
    let taps = packed.taps(row);
    let [first_phase, ..] = &packed.phases;
    let outputs = packed.outputs();
    let (up_height, up_width) = (2 * height, 2 * width);
    let source = Source { x, channels: first_phase.inputs, height, width, before };
    let mut result = fresh(outputs * up_height * up_width);
    let target = Disjoint::new(&mut result);
    Parts::new([height, width], first_phase, 8, STRIP_BYTES).run(|part, scratch| {
        scratch.strip.fill(&source, part.first, part.end);
        let rows = part.end - part.first + 2;
        // Room for the rounding of runs that start one row in.
        let stride = (rows * row).next_multiple_of(POSITIONS) + POSITIONS;
        let Scratch { strip, sums, columns, .. } = scratch;
        let sums = sums.take(4 * OUTPUTS * stride);
        columns.iter_mut().for_each(|column| column.resize(row, 0.0));
        for group in part.groups {
            for (phase, (sums, taps)) in sums.chunks_exact_mut(OUTPUTS * stride).zip(&taps).enumerate() {
                // A map row that reads above or below the strip is not read by `finish` either.
                let skip_first = usize::from(taps.iter().any(|&tap| tap < -1));
                let skip_last = usize::from(taps.iter().any(|&tap| tap > 1));
                let positions = (rows - skip_first - skip_last) * row;
                let weights = packed.phases[phase].group(group);
                accumulate(&strip.input(skip_first, taps), weights, &mut sums[skip_first * row..], stride, positions);
            }
            let of_phase = |phase: usize| &sums[phase * OUTPUTS * stride..][..OUTPUTS * stride];
            let phases = PhaseSums { sums: [0, 1, 2, 3].map(of_phase), stride, row };
            for (o, channel) in (group * OUTPUTS..outputs.min((group + 1) * OUTPUTS)).enumerate() {
                for y in 0..2 * (part.end - part.first) {
                    let pixel = (2 * part.first + y) * up_width;
                    // SAFETY: a part owns its rows of its groups' channels, and no other part has them.
                    let row = unsafe { target.slice(channel * up_height * up_width + pixel, up_width) };
                    finish(o, y, &phases, columns, row);
                    after.finish(row, channel, pixel, up_width);
                }
            }
        }
    });
    result
}

/// Stride-2 transposed 3x3 convolution followed by the filter [1,3,3,1] x [1,3,3,1] / 16 (pad 1), of one sample.
///
/// `x` is `[inputs, height, width]`. Returns `[outputs, 2 height, 2 width]`. The map of size 2h+1 never exists.
pub(crate) fn conv_up(x: &[f32], size: [usize; 2], before: Before, packed: &PackedUp, after: After) -> Vec<f32> {
    double(x, size, before, packed, after, |output, y, sums, columns, row| {
        // Rows y-1 ..= y+2 of the sum map; rows are counted from the one before the part's first.
        let m = y / 2 + 1;
        let map_row = |parity, m| sums.map_row(output, parity, m);
        let taken = match y % 2 {
            0 => [map_row(1, m - 1), map_row(0, m), map_row(1, m), map_row(0, m + 1)],
            _ => [map_row(0, m), map_row(1, m), map_row(0, m + 1), map_row(1, m + 1)],
        };
        for (parity, column) in columns.iter_mut().enumerate() {
            filter_rows(taken.map(|rows| rows[parity]), column);
        }
        filter_columns(&columns[0], &columns[1], row);
    })
}

/// Stride-2 transposed 4x4 convolution with padding 1, of one sample.
///
/// `x` is `[inputs, height, width]`. Returns `[outputs, 2 height, 2 width]`.
pub(crate) fn conv_transpose(x: &[f32], size: [usize; 2], before: Before, packed: &PackedUp, after: After) -> Vec<f32> {
    double(x, size, before, packed, after, |output, y, sums, _, row| {
        let [even, odd] = sums.map_row(output, y % 2, y / 2 + 1);
        interleave(&even[1..], &odd[1..], row);
    })
}

widest! {
    /// The vertical part of the filter.
    fn filter_rows(rows: [&[f32]; 4], column: &mut [f32]) {
        let [a, b, c, d] = rows.map(|row| &row[..column.len()]);
        for (n, x) in column.iter_mut().enumerate() {
            *x = (a[n] + d[n]) + 3.0 * (b[n] + c[n]);
        }
    }
}

widest! {
    fn interleave(even: &[f32], odd: &[f32], row: &mut [f32]) {
        for (pair, (even, odd)) in row.as_chunks_mut::<2>().0.iter_mut().zip(even.iter().zip(odd)) {
            *pair = [*even, *odd];
        }
    }
}

widest! {
    /// The horizontal part: `even` and `odd` hold the columns of the sum map at bordered indices (index 1 is column 0).
    fn filter_columns(even: &[f32], odd: &[f32], row: &mut [f32]) {
        let count = row.len() / 2;
        let (e1, e2) = (&even[1..=count], &even[2..count + 2]);
        let (o0, o1, o2) = (&odd[..count], &odd[1..=count], &odd[2..count + 2]);
        for (n, pair) in row.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let left = (o0[n] + e2[n]) + 3.0 * (e1[n] + o1[n]);
            let right = (e1[n] + o2[n]) + 3.0 * (o1[n] + e2[n]);
            *pair = [left * (1.0 / 16.0), right * (1.0 / 16.0)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_close, numbers};
    use super::*;

    #[test]
    fn transposed_convolutions_equal_their_definition() {
        for (h, w, inputs, outputs) in [(4, 4, 3, 5), (1, 1, 2, 8), (5, 9, 4, 12), (40, 32, 48, 9)] {
            let (x, weight) = (numbers(inputs * h * w, 1), numbers(outputs * inputs * 16, 2));
            let packed = PackedUp::of_4x4([outputs, inputs], |o, i, y, x| weight[((o * inputs + i) * 4 + y) * 4 + x]);
            let found = conv_transpose(&x, [h, w], Before::default(), &packed, After::default());
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
            let found = conv_up(&x, [h, w], Before::default(), &packed, After::default());
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
