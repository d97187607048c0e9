//! Self-attention on the CPU, a block of queries at a time: their weights of all keys stay in the cache.

use std::cell::RefCell;

use rayon::prelude::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use super::PackedGroups;
use super::kernel::{Input, OUTPUTS, accumulate, widest};
use super::memory::{Buffer, Disjoint, fresh};

/// Queries that one task handles at a time, a multiple of the kernel's positions.
const QUERIES: usize = 64;

/// A thread's buffers, kept from block to block.
#[derive(Default)]
struct AttentionScratch {
    /// `[width, QUERIES]`
    queries: Buffer,
    /// Scores, then weights, `[keys, QUERIES]`.
    weights: Buffer,
    /// `[8, QUERIES]`
    sums: Buffer,
}

thread_local! {
    static SCRATCH: RefCell<AttentionScratch> = RefCell::default();
}

/// `softmax(theta^T phi) g^T` of one sample, with `phi` and `g` pooled by two (the largest of each 2x2).
///
/// `map` holds theta `[width, h, w]`, phi of the same shape, and g `[channels, h, w]`. Returns `[channels, h, w]`.
#[expect(unsafe_code, reason = "a task alone writes its queries of every channel")]
pub(crate) fn attention(map: &[f32], size: [usize; 2], width: usize) -> Vec<f32> {
    let pixels = size[0] * size[1];
    let keys = (size[0] / 2) * (size[1] / 2);
    let channels = map.len() / pixels - 2 * width;
    let phi = pool(&map[width * pixels..2 * width * pixels], size);
    let g = pool(&map[2 * width * pixels..], size);
    let phi = PackedGroups::new([keys, width, 1], |key, i, _| phi[i * keys + key]);
    let g = PackedGroups::new([channels, keys, 1], |channel, key, _| g[channel * keys + key]);
    let mut result = fresh(channels * pixels);
    let target = Disjoint::new(&mut result);
    (0..pixels.div_ceil(QUERIES)).into_par_iter().with_max_len(1).for_each(|block| {
        let first = block * QUERIES;
        let count = QUERIES.min(pixels - first);
        SCRATCH.with_borrow_mut(|AttentionScratch { queries, weights, sums }| {
            let queries = queries.take(width * QUERIES);
            let sums = sums.take(OUTPUTS * QUERIES);
            for (to, from) in queries.chunks_exact_mut(QUERIES).zip(map.chunks_exact(pixels)) {
                to[..count].copy_from_slice(&from[first..first + count]);
            }
            let weights = weights.take(keys.next_multiple_of(OUTPUTS) * QUERIES);
            product(
                queries,
                &phi,
                |group, scores| {
                    weights[group * OUTPUTS * QUERIES..][..OUTPUTS * QUERIES].copy_from_slice(scores);
                },
                sums,
            );
            let weights = &mut weights[..keys * QUERIES];
            let mut shares = [0.0; QUERIES];
            exponentials(weights, &mut shares);
            product(
                weights,
                &g,
                |group, values| {
                    for (values, channel) in values.chunks_exact(QUERIES).zip(group * OUTPUTS..channels) {
                        // SAFETY: a task owns its queries in every channel.
                        let to = unsafe { target.slice(channel * pixels + first, count) };
                        to.iter_mut().zip(values.iter().zip(&shares)).for_each(|(to, (x, share))| *to = x * share);
                    }
                },
                sums,
            );
        });
    });
    result
}

/// Hands each group of 8 outputs of a product, `[8, QUERIES]`, to `take`. `values` is `[inputs, QUERIES]`.
fn product(values: &[f32], packed: &PackedGroups, mut take: impl FnMut(usize, &[f32]), sums: &mut [f32]) {
    let input = Input { values, plane: QUERIES, channels: packed.inputs, first: 0, taps: &[0] };
    for group in 0..packed.groups() {
        accumulate(&input, packed.group(group), sums, QUERIES, QUERIES);
        take(group, sums);
    }
}

/// Unlike `max`, which drops a NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a < b || b.is_nan() { b } else { a }
}

/// The largest of each 2x2: `[channels, height, width]` -> `[channels, height / 2, width / 2]`
fn pool(x: &[f32], [height, width]: [usize; 2]) -> Vec<f32> {
    let mut result = Vec::with_capacity(x.len() / 4);
    for plane in x.chunks_exact(height * width) {
        for rows in plane.chunks_exact(2 * width) {
            let (above, below) = rows.split_at(width);
            let pairs = above.as_chunks::<2>().0.iter().zip(below.as_chunks::<2>().0);
            result.extend(pairs.map(|(a, b)| larger(larger(a[0], a[1]), larger(b[0], b[1]))));
        }
    }
    result
}

widest! {
    /// Replaces the scores `[keys, QUERIES]` by their exponentials, less the largest of each query, and hands out what makes
    /// those of a query add up to 1.
    fn exponentials(weights: &mut [f32], shares: &mut [f32; QUERIES]) {
        let rows = weights.as_chunks_mut::<QUERIES>().0;
        let mut largest = [f32::NEG_INFINITY; QUERIES];
        for row in rows.iter() {
            for (largest, x) in largest.iter_mut().zip(row) {
                *largest = largest.max(*x);
            }
        }
        let mut sums = [0.0; QUERIES];
        for row in rows.iter_mut() {
            for ((x, largest), sum) in row.iter_mut().zip(&largest).zip(&mut sums) {
                *x = exp(*x - largest);
                *sum += *x;
            }
        }
        for (share, sum) in shares.iter_mut().zip(&sums) {
            *share = 1.0 / sum;
        }
    }
}

/// `e^x` for x not above 0, to 2e-7 of its value; plain operations, so that it can be done for many at once.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Added to a small number, it leaves the number's nearest whole one in the last bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first with few bits.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // Below, the result has no place among normal numbers. (A NaN must stay one, so this is no `max`.)
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    let r = (x - power * LN2[0]) - power * LN2[1];
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    p * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_close, numbers};
    use super::*;

    #[test]
    fn exponentials_are_right_to_the_last_digits() {
        for x in (0..87_000).map(|i| -i as f32 / 1000.0) {
            let (found, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found / expected - 1.0).abs() < 2e-7, "e^{x}: {found} and {expected}");
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn attention_equals_its_definition() {
        for (h, w, width, channels) in [(4, 4, 3, 5), (10, 14, 8, 9), (16, 16, 4, 16)] {
            let (pixels, keys) = (h * w, h / 2 * (w / 2));
            let map: Vec<f32> = numbers((2 * width + channels) * pixels, 1).iter().map(|x| 2.0 * x).collect();
            let at = |channel: usize, pixel: usize| f64::from(map[channel * pixels + pixel]);
            let pooled = |channel: usize, key: usize| {
                let corner = key / (w / 2) * 2 * w + key % (w / 2) * 2;
                [0, 1, w, w + 1].map(|step| at(channel, corner + step)).into_iter().fold(f64::MIN, f64::max)
            };
            let mut expected = vec![0.0; channels * pixels];
            for pixel in 0..pixels {
                let score = |key| (0..width).map(|i| at(i, pixel) * pooled(width + i, key)).sum::<f64>().exp();
                let scores: Vec<f64> = (0..keys).map(score).collect();
                for channel in 0..channels {
                    let sum: f64 = (0..keys).map(|key| scores[key] * pooled(2 * width + channel, key)).sum();
                    expected[channel * pixels + pixel] = sum / scores.iter().sum::<f64>();
                }
            }
            assert_close(&attention(&map, [h, w], width), &expected, &format!("{h}x{w}"));
        }
    }
}
