//! Nearest up-sampling by two followed by a 3x3 convolution, with 9 products per value of the small map.
//!
//! In one dimension with the kernel a, b, c, outputs 2n and 2n+1 are `a x[n-1] + (b + c) x[n]` and `(a + b) x[n] + c x[n+1]`.
//! With s = a + b + c and the differences D[n] = x[n] - x[n-1] they are `s x[n] - a D[n]` and `s x[n] + c D[n+1]`: three
//! products for two outputs, and nine for four in two dimensions.

use super::kernel::{OUTPUTS, POSITIONS, accumulate, widest};
use super::memory::{Disjoint, Source, fresh};
use super::{After, Before, Packed, Parts, STRIP_BYTES, Scratch};

/// Weights of the nine products.
pub(crate) struct PackedNearest {
    /// By what is summed in each direction: 3 * vertical + horizontal, of s, -a and c.
    products: [Packed; 9],
}

impl PackedNearest {
    /// `weight` is `[outputs, inputs, 3, 3]`, row-major, as it lies on the up-sampled picture.
    pub(crate) fn new(weight: &[f32], [outputs, inputs]: [usize; 2]) -> Self {
        // What the kernel's rows (or columns) count for in s, -a and c.
        const FACTORS: [[f32; 3]; 3] = [[1.0, 1.0, 1.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
        let products = std::array::from_fn(|product| {
            let (rows, columns) = (FACTORS[product / 3], FACTORS[product % 3]);
            Packed::new([outputs, inputs, 1], |o, i, _| {
                let kernel = &weight[(o * inputs + i) * 9..][..9];
                kernel.iter().enumerate().map(|(at, x)| x * rows[at / 3] * columns[at % 3]).sum()
            })
        });
        PackedNearest { products }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.products[0].outputs
    }
}

/// `x` is `[inputs, height, width]`, one sample. Returns `[outputs, 2 height, 2 width]`.
pub(crate) fn conv_nearest_up(
    x: &[f32],
    [height, width]: [usize; 2],
    before: Before,
    packed: &PackedNearest,
    after: After,
) -> Vec<f32> {
    let row = width + 2;
    let outputs = packed.outputs();
    let source = Source { x, channels: packed.products[0].inputs, height, width, before };
    let mut result = fresh(outputs * 4 * height * width);
    let target = Disjoint::new(&mut result);
    // A strip and its three differences share the cache.
    Parts::new([height, width], &packed.products[0], 1, STRIP_BYTES / 4).run(|part, scratch| {
        let Scratch { strip, differences: [by_x, by_y, by_both], sums, .. } = scratch;
        strip.fill(&source, part.first, part.end);
        strip.differences(1, by_x);
        strip.differences(row, by_y);
        by_x.differences(row, by_both);
        let rows = part.end - part.first;
        let stride = (rows * row).next_multiple_of(POSITIONS);
        let length = OUTPUTS * stride;
        let sums = sums.take(9 * length);
        // Where c reads is one further.
        let taps = [[0], [1], [row as isize], [row as isize + 1]];
        let inputs = [
            strip.input(1, &taps[0]),
            by_x.input(1, &taps[0]),
            by_x.input(1, &taps[1]),
            by_y.input(1, &taps[0]),
            by_both.input(1, &taps[0]),
            by_both.input(1, &taps[1]),
            by_y.input(1, &taps[2]),
            by_both.input(1, &taps[2]),
            by_both.input(1, &taps[3]),
        ];
        for group in part.groups {
            for ((input, packed), sums) in inputs.iter().zip(&packed.products).zip(sums.chunks_exact_mut(length)) {
                accumulate(input, packed.group(group), sums, stride, rows * row);
            }
            for (o, channel) in (group * OUTPUTS..outputs.min((group + 1) * OUTPUTS)).enumerate() {
                for y in 0..2 * rows {
                    let from = o * stride + y / 2 * row + 1;
                    let products: [&[f32]; 9] = std::array::from_fn(|n| &sums[n * length + from..][..width]);
                    let [s, s_a, s_c, a_s, a_a, a_c, c_s, c_a, c_c] = products;
                    let vertical = if y % 2 == 0 { [a_s, a_a, a_c] } else { [c_s, c_a, c_c] };
                    let pixel = (2 * part.first + y) * 2 * width;
                    // SAFETY: a part owns its rows of its groups' channels, and no other part has them.
                    let to = unsafe { target.slice(channel * 4 * height * width + pixel, 2 * width) };
                    combine([s, s_a, s_c], vertical, to);
                    after.finish(to, channel, pixel, 2 * width);
                }
            }
        }
    });
    result
}

widest! {
    fn combine(even: [&[f32]; 3], vertical: [&[f32]; 3], row: &mut [f32]) {
        let pairs = row.as_chunks_mut::<2>().0;
        let [s, left, right] = even.map(|sums| &sums[..pairs.len()]);
        let [v, v_left, v_right] = vertical.map(|sums| &sums[..pairs.len()]);
        for (n, pair) in pairs.iter_mut().enumerate() {
            let both = s[n] + v[n];
            *pair = [both + (left[n] + v_left[n]), both + (right[n] + v_right[n])];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_close, numbers, plain_conv};
    use super::*;

    #[test]
    fn nearest_up_convolutions_equal_their_definition() {
        for (h, w, inputs, outputs) in [(4, 4, 3, 5), (1, 1, 2, 8), (5, 9, 4, 12), (40, 32, 48, 9)] {
            let (x, weight) = (numbers(inputs * h * w, 1), numbers(outputs * inputs * 9, 2));
            let packed = PackedNearest::new(&weight, [outputs, inputs]);
            let found = conv_nearest_up(&x, [h, w], Before::default(), &packed, After::default());
            let large = |at: usize| x[at / (4 * h * w) * h * w + at / (2 * w) % (2 * h) / 2 * w + at % (2 * w) / 2];
            let large: Vec<f32> = (0..inputs * 4 * h * w).map(large).collect();
            let expected = plain_conv(&large, [2 * h, 2 * w], [outputs, inputs], 3, &weight);
            assert_close(&found, &expected, &format!("{h}x{w} {inputs}->{outputs}"));
        }
    }
}
