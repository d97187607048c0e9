//! Convolutions that double the size of a picture: transposed convolutions of stride 2, and what follows them in StyleGAN2
//! (a filter of four taps) and after a nearest up-sampling (one of two).
//!
//! Here each parity of output row and column is one ordinary convolution, and its sums are filtered while they are in the
//! cache. For large maps with many channels [`super::doubling_tiles`] needs fewer products.

use super::doubling_tiles::{double_tiles, pack_doubling};
use super::kernel::{OUTPUTS, POSITIONS, accumulate, widest};
use super::memory::{Disjoint, Source, fresh};
use super::tiles::PackedTiles;
use super::{After, Before, Packed, Parts, STRIP_BYTES, Scratch};

/// Weights of a convolution that doubles the size, in the form that suits its maps.
///
/// What is made of an input of height h is a sum map: row 2n + k of a 3x3 kernel takes input row n with kernel row k, for
/// 2h + 1 rows. Rows 2n are its even ones, n from 0 to h, and 2n + 1 its odd ones; the same goes for columns.
pub(crate) struct PackedUp {
    form: Form,
    filter: Filter,
}

enum Form {
    Direct(Phases),
    Tiles(PackedTiles),
}

impl PackedUp {
    /// A transposed 3x3 convolution of stride 2 followed by the filter [1,3,3,1] x [1,3,3,1] / 16, for inputs of about that width
    /// and height. `weight` is `[outputs, inputs, 3, 3]`, row-major; input pixel (y, x) adds its kernel at (2y, 2x).
    pub(crate) fn filtered(weight: &[f32], [outputs, inputs]: [usize; 2], side: usize) -> Self {
        let at = |o, i, tap| weight[(o * inputs + i) * 9 + tap];
        PackedUp { form: Form::of_3x3([outputs, inputs], side, at), filter: Filter::Smooth }
    }

    /// Nearest up-sampling by two followed by a 3x3 convolution. `weight` is `[outputs, inputs, 3, 3]`, row-major, as it lies on
    /// the up-sampled picture.
    ///
    /// Up-sampling puts zeros between the pixels and adds up neighbours; that can as well be done last.
    pub(crate) fn nearest(weight: &[f32], [outputs, inputs]: [usize; 2], side: usize) -> Self {
        let flipped = |o, i, tap| weight[(o * inputs + i) * 9 + 8 - tap];
        PackedUp { form: Form::of_3x3([outputs, inputs], side, flipped), filter: Filter::Pairs }
    }

    /// A transposed 4x4 convolution of stride 2 and padding 1. `weight` is `[inputs, outputs, 4, 4]`, row-major.
    pub(crate) fn transposed(weight: &[f32], [inputs, outputs]: [usize; 2]) -> Self {
        let at = |o, i, tap| weight[(i * outputs + o) * 16 + tap];
        // Output 2y + k - 1 takes input y with kernel index k.
        let reach: [&[Reach]; 2] = [&[(1, 0), (3, -1)], &[(0, 1), (2, 0)]];
        PackedUp { form: Form::Direct(Phases::new([outputs, inputs], 4, reach, at)), filter: Filter::None }
    }

    pub(crate) fn outputs(&self) -> usize {
        match &self.form {
            Form::Direct(phases) => phases.outputs(),
            Form::Tiles(packed) => packed.outputs,
        }
    }

    /// Convolves one sample, `[inputs, height, width]` -> `[outputs, 2 height, 2 width]`.
    pub(crate) fn conv(&self, x: &[f32], size: [usize; 2], before: Before, after: After) -> Vec<f32> {
        match &self.form {
            Form::Direct(phases) => double(x, size, before, phases, self.filter, after),
            Form::Tiles(packed) => double_tiles(x, size, before, packed, self.filter, after),
        }
    }
}

impl Form {
    /// `weight(o, i, tap)` is counted row by row.
    fn of_3x3(shape: [usize; 2], side: usize, weight: impl Fn(usize, usize, usize) -> f32 + Sync) -> Self {
        // As for ordinary convolutions: the transformed weights of small maps would take longer to read.
        if side >= 32 && shape[0].min(shape[1]) >= 16 {
            return Form::Tiles(pack_doubling(shape, weight));
        }
        Form::Direct(Phases::new(shape, 3, [&[(0, 0), (2, -1)], &[(1, 0)]], weight))
    }
}

/// What is made of the sum map, in each direction.
#[derive(Clone, Copy)]
pub(super) enum Filter {
    /// Output y is row y.
    None,
    /// Output y is the sum of the rows y and y + 1.
    Pairs,
    /// Output y is the sum of the rows y - 1 ..= y + 2 with the factors 1/4, 3/4, 3/4 and 1/4.
    Smooth,
}

impl Filter {
    /// Output row `y`, without the factors' denominator. `row(parity, n)` is row 2n + parity of the sum map.
    pub(super) fn rows<'a>(self, y: usize, row: impl Fn(usize, isize) -> &'a [f32], to: &mut [f32]) {
        let n = (y / 2) as isize;
        match (self, y % 2) {
            (Filter::None, parity) => to.copy_from_slice(row(parity, n)),
            (Filter::Pairs, 0) => add_rows(row(0, n), row(1, n), to),
            (Filter::Pairs, _) => add_rows(row(1, n), row(0, n + 1), to),
            (Filter::Smooth, 0) => smooth_rows([row(1, n - 1), row(0, n), row(1, n), row(0, n + 1)], to),
            (Filter::Smooth, _) => smooth_rows([row(0, n), row(1, n), row(0, n + 1), row(1, n + 1)], to),
        }
    }

    /// A row of the result from the even and the odd columns of one that [`Filter::rows`] made. Both start one column before the
    /// first, which is 0 then.
    pub(super) fn columns(self, even: &[f32], odd: &[f32], row: &mut [f32]) {
        match self {
            Filter::None => interleave(even, odd, row),
            Filter::Pairs => add_columns(even, odd, row),
            Filter::Smooth => smooth_columns(even, odd, row),
        }
    }
}

widest! {
    fn add_rows(a: &[f32], b: &[f32], to: &mut [f32]) {
        to.iter_mut().zip(a.iter().zip(b)).for_each(|(to, (a, b))| *to = a + b);
    }
}

widest! {
    fn smooth_rows(rows: [&[f32]; 4], to: &mut [f32]) {
        let [a, b, c, d] = rows.map(|row| &row[..to.len()]);
        for (n, x) in to.iter_mut().enumerate() {
            *x = (a[n] + d[n]) + 3.0 * (b[n] + c[n]);
        }
    }
}

widest! {
    fn interleave(even: &[f32], odd: &[f32], row: &mut [f32]) {
        for (pair, (even, odd)) in row.as_chunks_mut::<2>().0.iter_mut().zip(even[1..].iter().zip(&odd[1..])) {
            *pair = [*even, *odd];
        }
    }
}

widest! {
    fn add_columns(even: &[f32], odd: &[f32], row: &mut [f32]) {
        let count = row.len() / 2;
        let (e1, e2, o1) = (&even[1..=count], &even[2..count + 2], &odd[1..=count]);
        for (n, pair) in row.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            *pair = [e1[n] + o1[n], o1[n] + e2[n]];
        }
    }
}

widest! {
    fn smooth_columns(even: &[f32], odd: &[f32], row: &mut [f32]) {
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

/// The four kernels of a transposed convolution of stride 2: one per parity of output row and column.
struct Phases {
    /// (even, even), (even, odd), (odd, even), (odd, odd)
    phases: [Packed; 4],
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
            Packed::new([outputs, inputs, pairs.len()], |o, i, tap| {
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
fn double(
    x: &[f32],
    [height, width]: [usize; 2],
    before: Before,
    packed: &Phases,
    filter: Filter,
    after: After,
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
        let Scratch { strip, sums, columns: [even, odd], .. } = scratch;
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
                    filter.rows(y, |parity, n| map_row(2 * parity, n), even);
                    filter.rows(y, |parity, n| map_row(2 * parity + 1, n), odd);
                    let pixel = (2 * part.first + y) * up_width;
                    // SAFETY: a part owns its rows of its groups' channels, and no other part has them.
                    let to = unsafe { target.slice(channel * up_height * up_width + pixel, up_width) };
                    filter.columns(even, odd, to);
                    after.finish(to, channel, pixel, up_width);
                }
            }
        }
    });
    result
}
