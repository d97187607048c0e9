//! Convolutions that double the size of a picture: transposed convolutions of stride 2, and what follows them in StyleGAN2
//! (a filter of four taps) and after a nearest up-sampling (one of two).
//!
//! Here each parity of output row and column is one ordinary convolution, and its sums are filtered while they are in the
//! cache. For large maps with many channels [`super::doubling_tiles`] needs fewer products.

use std::borrow::Cow;

use super::doubling_tiles::{double_tiles, pack_doubling};
use super::kernel::{OUTPUTS, POSITIONS, accumulate, widest};
use super::memory::{Disjoint, Source, fresh};
use super::tiles::PackedTiles;
use super::{AfterSums, Before, ConvScratch, Convolve, PackedGroups, Parts, STRIP_BYTES};

/// Weights of a convolution that doubles the size, in the form that suits its maps.
///
/// What is made of an input of height h is a sum map: row 2n + k of a 3x3 kernel takes input row n with kernel row k, for
/// 2h + 1 rows. Rows 2n are its even ones, n from 0 to h, and 2n + 1 its odd ones; the same goes for columns.
#[expect(clippy::large_enum_variant, reason = "one per layer for the life of a model, never moved about")]
pub(crate) enum PackedUp {
    Direct(Phases, Option<Filter>),
    Tiles(PackedTiles, Filter),
}

impl PackedUp {
    /// A transposed 3x3 convolution of stride 2 followed by the filter [1,3,3,1] x [1,3,3,1] / 16, for inputs of about that width
    /// and height. `weight` is `[outputs, inputs, 3, 3]`, row-major; input pixel (y, x) adds its kernel at (2y, 2x).
    pub(crate) fn filtered(weight: &[f32], [outputs, inputs]: [usize; 2], side: usize) -> Self {
        let at = |o, i, tap| weight[(o * inputs + i) * 9 + tap];
        Self::of_3x3([outputs, inputs], side, at, Filter::SMOOTH)
    }

    /// Nearest up-sampling by two followed by a 3x3 convolution. `weight` is `[outputs, inputs, 3, 3]`, row-major, as it lies on
    /// the up-sampled picture.
    ///
    /// Up-sampling puts zeros between the pixels and adds up neighbours; that can as well be done last.
    pub(crate) fn nearest(weight: &[f32], [outputs, inputs]: [usize; 2], side: usize) -> Self {
        let flipped = |o, i, tap| weight[(o * inputs + i) * 9 + 8 - tap];
        Self::of_3x3([outputs, inputs], side, flipped, Filter::PAIRS)
    }

    /// A transposed 4x4 convolution of stride 2 and padding 1. `weight` is `[inputs, outputs, 4, 4]`, row-major.
    pub(crate) fn transposed(weight: &[f32], [inputs, outputs]: [usize; 2]) -> Self {
        let at = |o, i, tap| weight[(i * outputs + o) * 16 + tap];
        // Output 2y + k - 1 takes input y with kernel index k.
        let reach: [&[Reach]; 2] = [&[(1, 0), (3, -1)], &[(0, 1), (2, 0)]];
        PackedUp::Direct(Phases::new([outputs, inputs], 4, reach, at), None)
    }

    /// `weight(o, i, tap)` is counted row by row.
    fn of_3x3(
        shape: [usize; 2],
        side: usize,
        weight: impl Fn(usize, usize, usize) -> f32 + Sync,
        filter: Filter,
    ) -> Self {
        // As for ordinary convolutions: of small maps the transformed weights would take longer to read, and with few channels
        // the transformations as long as the products that they save.
        if side >= 32 && shape[0].min(shape[1]) >= 64 {
            return PackedUp::Tiles(pack_doubling(shape, weight), filter);
        }
        PackedUp::Direct(Phases::new(shape, 3, [&[(0, 0), (2, -1)], &[(1, 0)]], weight), Some(filter))
    }
}

impl Convolve for PackedUp {
    fn outputs(&self) -> usize {
        match self {
            PackedUp::Direct(phases, _) => phases.outputs(),
            PackedUp::Tiles(packed, _) => packed.outputs,
        }
    }

    fn result_size(&self, size: [usize; 2]) -> [usize; 2] {
        size.map(|length| 2 * length)
    }

    fn conv(&self, x: Cow<[f32]>, size: [usize; 2], before: Before, after: AfterSums) -> Vec<f32> {
        match self {
            PackedUp::Direct(phases, filter) => double(&x, size, before, phases, *filter, after),
            PackedUp::Tiles(packed, filter) => double_tiles(&x, size, before, packed, *filter, after),
        }
    }
}

/// What is made of the sum map, in each direction: output y is the sum of the rows y - 1 ..= y + 2 with the factors outer, inner,
/// inner and outer.
#[derive(Clone, Copy)]
pub(crate) struct Filter {
    pub outer: f32,
    pub inner: f32,
}

impl Filter {
    /// StyleGAN2's.
    pub(super) const SMOOTH: Filter = Filter { outer: 0.25, inner: 0.75 };
    /// Each row and the next.
    pub(super) const PAIRS: Filter = Filter { outer: 0.0, inner: 1.0 };

    /// What output row `y` is made of, still at the columns of the sum map. `row(parity, n)` is row 2n + parity of that map.
    fn rows<'a>(self, y: usize, row: impl Fn(usize, isize) -> &'a [f32], to: &mut [f32]) {
        let n = (y / 2) as isize;
        let rows = match y % 2 {
            0 => [row(1, n - 1), row(0, n), row(1, n), row(0, n + 1)],
            _ => [row(0, n), row(1, n), row(0, n + 1), row(1, n + 1)],
        };
        filter_rows(self, rows, to);
    }
}

widest! {
    pub(super) fn filter_rows(filter: Filter, rows: [&[f32]; 4], to: &mut [f32]) {
        let Filter { outer, inner } = filter;
        let [a, b, c, d] = rows.map(|row| &row[..to.len()]);
        for (n, x) in to.iter_mut().enumerate() {
            *x = outer * (a[n] + d[n]) + inner * (b[n] + c[n]);
        }
    }
}

widest! {
    /// A row of the result from the even and the odd columns of filtered rows. Both start one column before the first.
    pub(super) fn filter_columns(filter: Filter, even: &[f32], odd: &[f32], row: &mut [f32]) {
        let Filter { outer, inner } = filter;
        let count = row.len() / 2;
        let (e1, e2) = (&even[1..=count], &even[2..count + 2]);
        let (o0, o1, o2) = (&odd[..count], &odd[1..=count], &odd[2..count + 2]);
        for (n, pair) in row.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            *pair = [
                outer * (o0[n] + e2[n]) + inner * (e1[n] + o1[n]),
                outer * (e1[n] + o2[n]) + inner * (o1[n] + e2[n]),
            ];
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

/// The four kernels of a transposed convolution of stride 2: one per parity of output row and column.
pub(crate) struct Phases {
    /// (even, even), (even, odd), (odd, even), (odd, odd)
    phases: [PackedGroups; 4],
    /// Where the taps of each read: (row, column), relative to the position.
    taps: [Vec<(isize, isize)>; 4],
}

/// Kernel row (or column), and the input row (or column) that it takes for an output row.
type Reach = (usize, isize);

impl Phases {
    /// `reach` is of even and of odd outputs, `weight(o, i, tap)` of a kernel of `k` rows, counted row by row.
    fn new(
        [outputs, inputs]: [usize; 2],
        k: usize,
        reach: [&[Reach]; 2],
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Self {
        let pairs: [Vec<(Reach, Reach)>; 4] = std::array::from_fn(|phase| {
            reach[phase / 2].iter().flat_map(|&y| reach[phase % 2].iter().map(move |&x| (y, x))).collect()
        });
        let phases = pairs.each_ref().map(|pairs| {
            PackedGroups::new([outputs, inputs, pairs.len()], |o, i, tap| {
                let ((y, _), (x, _)) = pairs[tap];
                weight(o, i, y * k + x)
            })
        });
        let taps = pairs.map(|pairs| pairs.iter().map(|((_, y), (_, x))| (*y, *x)).collect());
        Phases { phases, taps }
    }

    fn outputs(&self) -> usize {
        self.phases[0].outputs
    }
}

/// The direct sums. `x` is `[inputs, height, width]`.
#[expect(unsafe_code, reason = "a part alone writes its rows of its groups' channels")]
fn double(
    x: &[f32],
    [height, width]: [usize; 2],
    before: Before,
    packed: &Phases,
    filter: Option<Filter>,
    after: AfterSums,
) -> Vec<f32> {
    let row = width + 2;
    let taps: [Vec<isize>; 4] =
        packed.taps.each_ref().map(|taps| taps.iter().map(|(y, x)| y * row as isize + x).collect());
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
        let ConvScratch { strip, sums, columns: [even, odd], .. } = scratch;
        let sums = sums.take(4 * OUTPUTS * stride);
        even.resize(row, 0.0);
        odd.resize(row, 0.0);
        for group in part.groups {
            for (phase, (sums, taps)) in sums.chunks_exact_mut(OUTPUTS * stride).zip(&taps).enumerate() {
                // A map row that reads above or below the strip is not read by the filter either.
                let skip_first = usize::from(taps.iter().any(|&tap| tap < -1));
                let skip_last = usize::from(taps.iter().any(|&tap| tap > 1));
                let positions = (rows - skip_first - skip_last) * row;
                let weights = packed.phases[phase].group(group);
                accumulate(&strip.input(skip_first, taps), weights, &mut sums[skip_first * row..], stride, positions);
            }
            for (o, channel) in (group * OUTPUTS..outputs.min((group + 1) * OUTPUTS)).enumerate() {
                let map_row = |phase: usize, n: isize| {
                    // Rows are counted from the one before the part's first.
                    let n = (n + 1) as usize;
                    &sums[(phase * OUTPUTS + o) * stride + n * row..][..row]
                };
                for y in 0..2 * (part.end - part.first) {
                    let pixel = (2 * part.first + y) * up_width;
                    // SAFETY: a part owns its rows of its groups' channels, and no other part has them.
                    let to = unsafe { target.slice(channel * up_height * up_width + pixel, up_width) };
                    match filter {
                        Some(filter) => {
                            filter.rows(y, |parity, n| map_row(2 * parity, n), even);
                            filter.rows(y, |parity, n| map_row(2 * parity + 1, n), odd);
                            filter_columns(filter, even, odd, to);
                        }
                        None => {
                            let [even, odd] = [0, 1].map(|x| map_row(y % 2 * 2 + x, (y / 2) as isize));
                            interleave(&even[1..], &odd[1..], to);
                        }
                    }
                    after.finish(to, channel, pixel, up_width);
                }
            }
        }
    });
    result
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_close, numbers, plain_conv};
    use super::*;

    const SHAPES: [[usize; 4]; 4] = [[4, 4, 3, 5], [1, 1, 2, 8], [5, 9, 4, 12], [40, 32, 48, 9]];
    /// Sides that ask for the direct sum and for tiles.
    const FORMS: [usize; 2] = [0, 64];

    /// `[outputs, 2 height + k - 2, 2 width + k - 2]`, in f64: input pixel (y, x) adds its kernel at (2y, 2x).
    fn plain_transposed(
        x: &[f32],
        [h, w]: [usize; 2],
        [outputs, inputs]: [usize; 2],
        k: usize,
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Vec<f64> {
        let (mh, mw) = (2 * h + k - 2, 2 * w + k - 2);
        let mut map = vec![0.0; outputs * mh * mw];
        for (o, i) in (0..outputs * inputs).map(|n| (n / inputs, n % inputs)) {
            for (y, px) in (0..h * w).map(|n| (n / w, n % w)) {
                for (ky, kx) in (0..k * k).map(|n| (n / k, n % k)) {
                    map[(o * mh + 2 * y + ky) * mw + 2 * px + kx] +=
                        f64::from(x[(i * h + y) * w + px]) * f64::from(weight(o, i, ky * k + kx));
                }
            }
        }
        map
    }

    /// The filter [1,3,3,1] x [1,3,3,1] / 16 over maps of 2 height + 1 rows.
    fn smooth(map: &[f64], [h, w]: [usize; 2], outputs: usize) -> Vec<f64> {
        let (mh, mw) = (2 * h + 1, 2 * w + 1);
        let taps = [0.25, 0.75, 0.75, 0.25];
        let mut result = vec![0.0; outputs * 4 * h * w];
        for (index, sum) in result.iter_mut().enumerate() {
            let (o, y, px) = (index / (4 * h * w), index / (2 * w) % (2 * h), index % (2 * w));
            for (a, b) in (0..16).map(|n| (n / 4, n % 4)) {
                let (sy, sx) = ((y + a).wrapping_sub(1), (px + b).wrapping_sub(1));
                if sy < mh && sx < mw {
                    *sum += map[(o * mh + sy) * mw + sx] * taps[a] * taps[b];
                }
            }
        }
        result
    }

    /// Tiles are chosen for many channels only, and have to be right for all.
    fn in_form(side: usize, shape: [usize; 2], weight: &[f32], filter: Filter) -> PackedUp {
        let at = |o: usize, i: usize, tap: usize| {
            let tap = if filter.outer == 0.0 { 8 - tap } else { tap };
            weight[(o * shape[1] + i) * 9 + tap]
        };
        match side {
            0 => PackedUp::of_3x3(shape, 0, at, filter),
            _ => PackedUp::Tiles(pack_doubling(shape, at), filter),
        }
    }

    #[test]
    fn transposed_convolutions_equal_their_definition() {
        for [h, w, inputs, outputs] in SHAPES {
            let (x, weight) = (numbers(inputs * h * w, 1), numbers(outputs * inputs * 16, 2));
            let packed = PackedUp::transposed(&weight, [inputs, outputs]);
            let found = packed.conv(x.as_slice().into(), [h, w], Before::default(), AfterSums::default());
            let at = |o: usize, i: usize, tap: usize| weight[(i * outputs + o) * 16 + tap];
            let map = plain_transposed(&x, [h, w], [outputs, inputs], 4, at);
            let inside = |at: usize| {
                let (o, y, px) = (at / (4 * h * w), at / (2 * w) % (2 * h), at % (2 * w));
                map[(o * (2 * h + 2) + y + 1) * (2 * w + 2) + px + 1]
            };
            let expected: Vec<f64> = (0..found.len()).map(inside).collect();
            assert_close(&found, &expected, &format!("{h}x{w} {inputs}->{outputs}"));
        }
    }

    #[test]
    fn up_convolutions_equal_transposed_convolution_and_filter() {
        for ([h, w, inputs, outputs], form) in SHAPES.into_iter().flat_map(|shape| FORMS.map(|form| (shape, form))) {
            let (x, weight) = (numbers(inputs * h * w, 1), numbers(outputs * inputs * 9, 2));
            let packed = in_form(form, [outputs, inputs], &weight, Filter::SMOOTH);
            let found = packed.conv(x.as_slice().into(), [h, w], Before::default(), AfterSums::default());
            let at = |o: usize, i: usize, tap: usize| weight[(o * inputs + i) * 9 + tap];
            let expected = smooth(&plain_transposed(&x, [h, w], [outputs, inputs], 3, at), [h, w], outputs);
            assert_close(&found, &expected, &format!("{h}x{w} {inputs}->{outputs}, form {form}"));
        }
    }

    #[test]
    fn nearest_up_convolutions_equal_their_definition() {
        for ([h, w, inputs, outputs], form) in SHAPES.into_iter().flat_map(|shape| FORMS.map(|form| (shape, form))) {
            let (x, weight) = (numbers(inputs * h * w, 1), numbers(outputs * inputs * 9, 2));
            let packed = in_form(form, [outputs, inputs], &weight, Filter::PAIRS);
            let found = packed.conv(x.as_slice().into(), [h, w], Before::default(), AfterSums::default());
            let large = |at: usize| x[at / (4 * h * w) * h * w + at / (2 * w) % (2 * h) / 2 * w + at % (2 * w) / 2];
            let large: Vec<f32> = (0..inputs * 4 * h * w).map(large).collect();
            let expected = plain_conv(&large, [2 * h, 2 * w], [outputs, inputs], 3, &weight);
            assert_close(&found, &expected, &format!("{h}x{w} {inputs}->{outputs}, form {form}"));
        }
    }

    #[test]
    fn rounding_errors_of_tiles_are_of_the_order_of_the_direct_sums() {
        let (size @ [h, w], inputs, outputs) = ([16, 16], 256, 4);
        let (x, weight) = (numbers(inputs * h * w, 1), numbers(outputs * inputs * 9, 2));
        let at = |o: usize, i: usize, tap: usize| weight[(o * inputs + i) * 9 + tap];
        let expected = smooth(&plain_transposed(&x, size, [outputs, inputs], 3, at), size, outputs);
        let [direct, tiles] = FORMS.map(|form| {
            let packed = in_form(form, [outputs, inputs], &weight, Filter::SMOOTH);
            let found = packed.conv(x.as_slice().into(), size, Before::default(), AfterSums::default());
            found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum::<f64>().sqrt()
        });
        assert!(tiles < 3.0 * direct, "{tiles} for {direct}");
    }

    #[test]
    fn tiles_are_the_same_to_the_bit_with_any_number_of_threads() {
        // Few tiles, and so many that they are cut into strips, of other heights for other numbers of threads.
        for (h, w) in [(33, 20), (203, 301)] {
            let (x, weight) = (numbers(2 * h * w, 1), numbers(9 * 2 * 9, 2));
            let (scale, offset, noise) = (numbers(2, 3), numbers(2, 4), numbers(4 * h * w, 5));
            let packed = in_form(64, [9, 2], &weight, Filter::SMOOTH);
            let before = Before { scale: Some(&scale), offset: Some(&offset) };
            let after = AfterSums { noise: Some(&noise), slope: Some(0.2), ..AfterSums::default() };
            let with = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| packed.conv(x.as_slice().into(), [h, w], before, after))
            };
            let one = with(1);
            assert!([2, 3, 8].into_iter().all(|threads| with(threads) == one), "{h}x{w}");
        }
    }
}
