//! Adjoints of the convolutions that double the size ([`super::doubling`]): each value of the small map is summed from all that it
//! was spread to.
//!
//! A strip of the large map is filtered while it is copied into the cache, and kept by the parities of its rows and columns there: so
//! the sums read runs of neighbours, and cost as many products as those of the doubling.

use super::doubling::{Filter, filter_rows};
use super::kernel::{OUTPUTS, POSITIONS, accumulate, widest};
use super::memory::{Disjoint, Strip, fresh};
use super::{ConvScratch, PackedGroups, Parts, STRIP_BYTES};

/// Weights of the adjoint of a doubling convolution.
pub(crate) struct PackedDown {
    /// Its outputs are the inputs of that convolution, and the other way about.
    packed: PackedGroups,
    /// Along an axis, for each row (or column) of the kernel: parity and neighbour of the large map's row that it reads.
    reach: &'static [(usize, isize)],
    filter: Option<Filter>,
}

/// Values that a thread puts together before it splits them into even and odd columns: more than a row has, on both sides.
const MARGIN: usize = 4;

impl PackedDown {
    /// The adjoint of [`super::PackedUp::filtered`] of that weight, `[outputs, inputs, 3, 3]`.
    pub(crate) fn of_filtered(weight: &[f32], [outputs, inputs]: [usize; 2]) -> Self {
        Self::of_3x3([outputs, inputs], |o, i, tap| weight[(o * inputs + i) * 9 + tap], Filter::SMOOTH)
    }

    /// The adjoint of [`super::PackedUp::nearest`] of that weight, `[outputs, inputs, 3, 3]`.
    pub(crate) fn of_nearest(weight: &[f32], [outputs, inputs]: [usize; 2]) -> Self {
        Self::of_3x3([outputs, inputs], |o, i, tap| weight[(o * inputs + i) * 9 + 8 - tap], Filter::PAIRS)
    }

    /// The adjoint of [`super::PackedUp::transposed`] of that weight, `[inputs, outputs, 4, 4]`.
    pub(crate) fn of_transposed(weight: &[f32], [inputs, outputs]: [usize; 2]) -> Self {
        // Kernel row k of input row y has reached row 2y + k - 1.
        let packed = PackedGroups::new([inputs, outputs, 16], |i, o, tap| weight[(i * outputs + o) * 16 + tap]);
        PackedDown { packed, reach: &[(1, -1), (0, 0), (1, 0), (0, 1)], filter: None }
    }

    fn of_3x3([outputs, inputs]: [usize; 2], at: impl Fn(usize, usize, usize) -> f32, filter: Filter) -> Self {
        // Kernel row k of input row y has reached row 2y + k of the map before the filter.
        let packed = PackedGroups::new([inputs, outputs, 9], |i, o, tap| at(o, i, tap));
        PackedDown { packed, reach: &[(0, 0), (1, 0), (0, 1)], filter: Some(filter) }
    }

    /// Channels of the result.
    pub(crate) fn channels(&self) -> usize {
        self.packed.outputs
    }

    /// Channels of the large map.
    pub(crate) fn large_channels(&self) -> usize {
        self.packed.inputs
    }

    /// `[channels, 2 height, 2 width]`, times a factor per channel -> `[channels, height, width]` of the result.
    #[expect(unsafe_code, reason = "a part alone writes its rows of its groups' channels")]
    pub(crate) fn sums(&self, large: &[f32], [height, width]: [usize; 2], scale: Option<&[f32]>) -> Vec<f32> {
        assert_eq!(large.len(), self.large_channels() * 4 * height * width, "values of the large map");
        let row = width + 2;
        let mut result = fresh(self.packed.outputs * height * width);
        let target = Disjoint::new(&mut result);
        // Four planes of that size lie in the cache for each channel.
        Parts::new([height, width], &self.packed, 4, STRIP_BYTES / 4).run(|part, scratch| {
            let ConvScratch { strip, sums, columns, .. } = scratch;
            self.fill(strip, columns, large, [height, width], scale, [part.first, part.end]);
            let plane = (part.end - part.first + 2) * row;
            let along = |&(parity, step): &(usize, isize), [of_parity, of_step]: [usize; 2]| {
                (parity * of_parity) as isize + step * of_step as isize
            };
            let tap = |y| self.reach.iter().map(move |x| along(y, [2 * plane, row]) + along(x, [plane, 1]));
            let taps: Vec<isize> = self.reach.iter().flat_map(tap).collect();
            let positions = (part.end - part.first) * row;
            let stride = positions.next_multiple_of(POSITIONS);
            let sums = sums.take(OUTPUTS * stride);
            for group in part.groups {
                accumulate(&strip.input_of_planes(4, 1, &taps), self.packed.group(group), sums, stride, positions);
                let channels = group * OUTPUTS..self.packed.outputs.min((group + 1) * OUTPUTS);
                for (sums, channel) in sums.chunks_exact(stride).zip(channels) {
                    for y in part.first..part.end {
                        let from = (y - part.first) * row + 1;
                        // SAFETY: a part owns its rows of its groups' channels, and no other part has them.
                        let to = unsafe { target.slice((channel * height + y) * width, width) };
                        to.copy_from_slice(&sums[from..from + width]);
                    }
                }
            }
        });
        result
    }

    /// Takes the rows `first - 1 ..= end` of each parity. Strip row 1 is row `first`, column 1 the first column.
    fn fill(
        &self,
        strip: &mut Strip,
        [tall, zeros]: &mut [Vec<f32>; 2],
        large: &[f32],
        [height, width]: [usize; 2],
        scale: Option<&[f32]>,
        [first, end]: [usize; 2],
    ) {
        let row = width + 2;
        let plane = (end - first + 2) * row;
        tall.clear();
        tall.resize(2 * width + 2 * MARGIN, 0.0);
        zeros.clear();
        zeros.resize(2 * width, 0.0);
        let planes = strip.planes(4 * self.large_channels(), row, end - first + 2);
        for (channel, planes) in planes.chunks_exact_mut(4 * plane).enumerate() {
            let scale = scale.map_or(1.0, |scale| scale[channel]);
            let from = &large[channel * 4 * height * width..][..4 * height * width];
            let row_of = |y: isize| {
                let y = usize::try_from(y).ok().filter(|&y| y < 2 * height);
                y.map_or(&zeros[..], |y| &from[y * 2 * width..][..2 * width])
            };
            for (parity, planes) in planes.chunks_exact_mut(2 * plane).enumerate() {
                let (even, odd) = planes.split_at_mut(plane);
                for (at, (even, odd)) in even.chunks_exact_mut(row).zip(odd.chunks_exact_mut(row)).enumerate() {
                    let y = 2 * ((first + at) as isize - 1) + parity as isize;
                    let inside = &mut tall[MARGIN..MARGIN + 2 * width];
                    match self.filter {
                        Some(filter) => {
                            filter_rows(filter, [y - 2, y - 1, y, y + 1].map(row_of), inside);
                            split_filtered(filter, scale, tall, even, odd);
                        }
                        None => {
                            inside.copy_from_slice(row_of(y));
                            split(scale, tall, even, odd);
                        }
                    }
                }
            }
        }
    }
}

widest! {
    /// Even and odd columns of what the filter's adjoint makes of a row with its margins, from the pair before the first on.
    fn split_filtered(filter: Filter, scale: f32, tall: &[f32], even: &mut [f32], odd: &mut [f32]) {
        let (outer, inner) = (scale * filter.outer, scale * filter.inner);
        let count = even.len();
        let (tall, odd) = (&tall[..2 * count + 4], &mut odd[..count]);
        for n in 0..count {
            let t = &tall[2 * n..2 * n + 5];
            even[n] = outer * (t[0] + t[3]) + inner * (t[1] + t[2]);
            odd[n] = outer * (t[1] + t[4]) + inner * (t[2] + t[3]);
        }
    }
}

widest! {
    /// Even and odd columns of a row with its margins, from the pair before the first on.
    fn split(scale: f32, tall: &[f32], even: &mut [f32], odd: &mut [f32]) {
        let pairs = tall[2..].as_chunks::<2>().0;
        for ((even, odd), pair) in even.iter_mut().zip(odd).zip(pairs) {
            (*even, *odd) = (scale * pair[0], scale * pair[1]);
        }
    }
}
