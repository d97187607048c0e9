//! Convolutions on the CPU without intermediate maps: input channels are scaled while a strip of rows is copied into the
//! cache, with a zero border, and everything that follows a convolution is applied while its sums are still there.

mod area;
mod attention;
mod doubling;
mod doubling_tiles;
mod filtered;
mod gram;
mod halving;
mod kernel;
mod linear;
mod memory;
mod norm;
mod phases;
mod pointwise;
mod pull;
mod tiles;
mod winograd;
mod winograd_small;

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

pub(crate) use area::area_mean;
pub(crate) use attention::attention;
pub(crate) use doubling::PackedUp;
pub use filtered::FilterPlan;
pub(crate) use filtered::filtered;
pub use gram::Gram;
pub(crate) use halving::PackedDown;
use kernel::{OUTPUTS, POSITIONS, accumulate, widest};
pub(crate) use linear::PackedLinear;
pub(crate) use memory::bordered;
pub use memory::keep_freed_memory;
use memory::{Buffer, Disjoint, Source, Strip, fresh};
pub(crate) use norm::{StyleChannel, pixel_norm, pull_style_layer, style_layer};
use pointwise::pointwise;
pub(crate) use pull::{PlaneAfter, pull_after, pull_norm, pull_scale};
use tiles::PackedTiles;
use winograd::{conv_tiles, pack_tiles};
use winograd_small::{conv_small, pack_small};

/// Bytes of input that one task reads again and again: half of a processor's second cache.
const STRIP_BYTES: usize = 1 << 19;

/// Weights `[outputs, inputs, taps]`, packed in groups of 8 outputs.
pub(crate) struct PackedGroups {
    /// `[outputs / 8][inputs][taps][8]`, missing outputs are zero.
    values: Vec<f32>,
    pub inputs: usize,
    pub outputs: usize,
    taps: usize,
}

impl PackedGroups {
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
        PackedGroups { values, inputs, outputs, taps }
    }

    fn groups(&self) -> usize {
        self.outputs.div_ceil(OUTPUTS)
    }

    fn group(&self, group: usize) -> &[f32] {
        let length = self.inputs * self.taps * OUTPUTS;
        &self.values[group * length..(group + 1) * length]
    }
}

/// Weights of a 3x3 or 1x1 convolution, in the form that suits its maps.
pub(crate) enum PackedConv {
    Direct(PackedGroups),
    SmallTiles(PackedTiles),
    Tiles(PackedTiles),
}

impl PackedConv {
    /// For maps of about that width and height. `weight` is `[outputs, inputs, k, k]`, row-major, with k 1 or 3.
    pub(crate) fn new(weight: &[f32], [outputs, inputs, k]: [usize; 3], side: usize) -> Self {
        let at = |o: usize, i: usize, tap: usize| weight[(o * inputs + i) * k * k + tap];
        // Of small maps the transformed weights take longer to read than the sums that they save; with few channels the
        // transformations do.
        match side {
            32.. if k == 3 && inputs.min(outputs) >= 16 => PackedConv::Tiles(pack_tiles([outputs, inputs], at)),
            16.. if k == 3 && inputs.min(outputs) >= 16 => PackedConv::SmallTiles(pack_small([outputs, inputs], at)),
            _ => PackedConv::Direct(PackedGroups::new([outputs, inputs, k * k], at)),
        }
    }
}

/// A convolution of one sample, in whatever form.
pub(crate) trait Convolve {
    fn outputs(&self) -> usize;

    /// Height and width of the result.
    fn result_size(&self, size: [usize; 2]) -> [usize; 2];

    /// `[inputs, height, width]` -> `[outputs, height, width]` of the result, with zero padding. Memory that is handed over may
    /// become the result's.
    fn conv(&self, x: Cow<[f32]>, size: [usize; 2], before: Before, after: AfterSums) -> Vec<f32>;
}

impl Convolve for PackedConv {
    fn outputs(&self) -> usize {
        match self {
            PackedConv::Direct(packed) => packed.outputs,
            PackedConv::SmallTiles(packed) | PackedConv::Tiles(packed) => packed.outputs,
        }
    }

    fn result_size(&self, size: [usize; 2]) -> [usize; 2] {
        size
    }

    fn conv(&self, x: Cow<[f32]>, size: [usize; 2], before: Before, after: AfterSums) -> Vec<f32> {
        match self {
            PackedConv::Direct(packed) => conv(&x, size, before, packed, after),
            PackedConv::SmallTiles(packed) => conv_small(&x, size, before, packed, after),
            PackedConv::Tiles(packed) => conv_tiles(x, size, before, packed, after),
        }
    }
}

/// What happens to the input of a convolution: `x * scale`, or `max(0, x * scale + offset)` if there are offsets.
#[derive(Clone, Copy, Default)]
pub(crate) struct Before<'a> {
    /// One factor per input channel.
    pub scale: Option<&'a [f32]>,
    /// One summand per input channel.
    pub offset: Option<&'a [f32]>,
}

/// What happens to the sums of a convolution: `clamp(lrelu(sum * scale + bias + noise)) + shortcut`, each part optional.
#[derive(Clone, Copy, Default)]
pub(crate) struct AfterSums<'a> {
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
    /// Another map, of whose channels the first are added.
    pub shortcut: Option<Shortcut<'a>>,
}

/// A map that is added to a result, at its size or up-sampled by two: every value four times.
#[derive(Clone, Copy)]
pub(crate) struct Shortcut<'a> {
    /// `[channels, height, width]`, as many channels as the result or more.
    pub values: &'a [f32],
    pub size: [usize; 2],
}

impl Shortcut<'_> {
    /// Adds to the pixels from `pixel` on of a channel of a result of that width.
    fn add(&self, mut to: &mut [f32], channel: usize, mut pixel: usize, result_width: usize) {
        let [height, width] = self.size;
        let plane = &self.values[channel * height * width..][..height * width];
        if width == result_width {
            return add(&plane[pixel..][..to.len()], to);
        }
        // Row by row: each starts at an even pixel, and ends at one or with the row.
        while !to.is_empty() {
            let (y, x) = (pixel / result_width, pixel % result_width);
            let length = (result_width - x).min(to.len());
            let (row, rest) = std::mem::take(&mut to).split_at_mut(length);
            add_twice(&plane[y / 2 * width + x / 2..][..row.len() / 2], row);
            pixel += length;
            to = rest;
        }
    }
}

widest! {
    fn add(values: &[f32], row: &mut [f32]) {
        row.iter_mut().zip(values).for_each(|(to, x)| *to += x);
    }
}

widest! {
    fn add_twice(values: &[f32], row: &mut [f32]) {
        for (to, x) in row.as_chunks_mut::<2>().0.iter_mut().zip(values) {
            *to = [to[0] + x, to[1] + x];
        }
    }
}

impl AfterSums<'_> {
    /// Finishes a run of pixels of channel `channel` that starts at pixel `pixel` of a map of that width.
    fn finish(&self, row: &mut [f32], channel: usize, pixel: usize, width: usize) {
        let scale = self.scale.map_or(1.0, |scale| scale[channel]);
        let bias = self.bias.map_or(0.0, |bias| bias[channel]);
        let noise = self.noise.map(|noise| &noise[pixel..pixel + row.len()]);
        finish_row(row, [scale, bias], noise, self.slope, self.clamp);
        if let Some(shortcut) = &self.shortcut {
            shortcut.add(row, channel, pixel, width);
        }
    }
}

widest! {
    fn finish_row(
        row: &mut [f32],
        factors: [f32; 2],
        noise: Option<&[f32]>,
        slope: Option<f32>,
        clamp: Option<f32>,
    ) {
        let [scale, bias] = factors;
        match noise {
            Some(noise) => row.iter_mut().zip(noise).for_each(|(x, noise)| *x = *x * scale + bias + noise),
            None => row.iter_mut().for_each(|x| *x = *x * scale + bias),
        }
        if let Some(slope) = slope {
            // For slopes below 1.
            row.iter_mut().for_each(|x| *x = x.max(slope * *x));
        }
        if let Some(limit) = clamp {
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
    fn new([height, width]: [usize; 2], packed: &PackedGroups, least_rows: usize, strip_bytes: usize) -> Self {
        let row_bytes = 4 * packed.inputs * (width + 2);
        let rows = (strip_bytes / row_bytes).saturating_sub(2).clamp(least_rows.min(height), height);
        let strips = height.div_ceil(rows);
        let groups = packed.groups();
        // A few parts per thread, so that none waits long for the last.
        let wanted_shares = (4 * rayon::current_num_threads()).div_ceil(strips);
        let groups_per_share = groups.div_ceil(wanted_shares);
        Parts { height, rows, strips, groups, groups_per_share, shares: groups.div_ceil(groups_per_share) }
    }

    /// Does all parts, in parallel.
    fn run(&self, task: impl Fn(Part, &mut ConvScratch) + Sync) {
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
struct ConvScratch {
    strip: Strip,
    sums: Buffer,
    columns: [Vec<f32>; 2],
}

thread_local! {
    static SCRATCH: RefCell<ConvScratch> = RefCell::default();
}

/// Convolution with a 3x3 or 1x1 kernel (`packed.taps` 9 or 1), stride 1, zero padding, of one sample.
///
/// `x` is `[inputs, height, width]`. Returns `[outputs, height, width]`.
#[expect(unsafe_code, reason = "a part alone writes its rows of its groups' channels")]
fn conv(x: &[f32], [height, width]: [usize; 2], before: Before, packed: &PackedGroups, after: AfterSums) -> Vec<f32> {
    if packed.taps == 1 {
        return pointwise(x, [height, width], before, packed, after);
    }
    let row = width + 2;
    let taps: Vec<isize> = (-1..=1).flat_map(|y| (-1..=1).map(move |x| y * row as isize + x)).collect();
    let source = Source { x, channels: packed.inputs, height, width, before };
    let mut result = fresh(packed.outputs * height * width);
    let target = Disjoint::new(&mut result);
    Parts::new([height, width], packed, 1, STRIP_BYTES).run(|part, scratch| {
        scratch.strip.fill(&source, part.first, part.end);
        let positions = (part.end - part.first) * row;
        let stride = positions.next_multiple_of(POSITIONS);
        let sums = scratch.sums.take(OUTPUTS * stride);
        for group in part.groups {
            accumulate(&scratch.strip.input(1, &taps), packed.group(group), sums, stride, positions);
            for (o, channel) in (group * OUTPUTS..packed.outputs.min((group + 1) * OUTPUTS)).enumerate() {
                for y in part.first..part.end {
                    let from = o * stride + (y - part.first) * row + 1;
                    let pixel = y * width;
                    // SAFETY: a part owns its rows of its groups' channels, and no other part has them.
                    let row = unsafe { target.slice(channel * height * width + pixel, width) };
                    row.copy_from_slice(&sums[from..from + width]);
                    after.finish(row, channel, pixel, width);
                }
            }
        }
    });
    result
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0).collect()
    }

    /// Straight from the definition, in f64.
    pub(super) fn plain_conv(
        x: &[f32],
        [h, w]: [usize; 2],
        [outputs, inputs]: [usize; 2],
        k: usize,
        weight: &[f32],
    ) -> Vec<f64> {
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
    pub(super) fn assert_close(found: &[f32], expected: &[f64], what: &str) {
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
            (20, 12, 70, 17, 1),
            (3, 7, 2100, 9, 1),
        ] {
            let (x, weight) = (numbers(inputs * h * w, 1), numbers(outputs * inputs * k * k, 2));
            let packed = PackedGroups::new([outputs, inputs, k * k], |o, i, t| weight[(o * inputs + i) * k * k + t]);
            let found = conv(&x, [h, w], Before::default(), &packed, AfterSums::default());
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
        let packed = PackedGroups::new([outputs, inputs, 9], |o, i, t| weight[(o * inputs + i) * 9 + t]);
        let after = AfterSums {
            scale: Some(&scale),
            bias: Some(&bias),
            noise: Some(&noise),
            slope: Some(0.2),
            clamp: Some(0.9),
            shortcut: None,
        };
        let before = Before { scale: Some(&style), offset: None };
        let found = conv(&x, [h, w], before, &packed, after);
        let styled: Vec<f32> = x.iter().enumerate().map(|(i, x)| x * style[i / (h * w)]).collect();
        let sums = plain_conv(&styled, [h, w], [outputs, inputs], 3, &weight);
        let finish = |(i, sum): (usize, &f64)| {
            let channel = i / (h * w);
            let x = sum * f64::from(scale[channel]) + f64::from(bias[channel]) + f64::from(noise[i % (h * w)]);
            x.max(0.2 * x).clamp(-0.9, 0.9)
        };
        assert_close(&found, &sums.iter().enumerate().map(finish).collect::<Vec<_>>(), "epilogue");
    }
}
