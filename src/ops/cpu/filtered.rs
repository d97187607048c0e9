//! StyleGAN3's filtered activation on the CPU: up-sample, activate and down-sample one row at a time, so that the large map
//! in between is never stored.

use std::cell::RefCell;
use std::sync::LazyLock;

use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

/// What is done to every plane; both axes alike.
pub struct Plan {
    pub up: usize,
    pub down: usize,
    /// First sample of the up-sampled axis, counted in the full transposed convolution, and their number.
    pub start: usize,
    pub length: usize,
    /// Filter of the up-sampling along an axis, with its gain.
    pub up_taps: Vec<f32>,
    /// Filter of the down-sampling: `[taps]` for each axis, or `[taps, taps]` for both at once.
    pub down_taps: Vec<f32>,
    pub is_radial: bool,
    /// Slope below zero and gain of the activation.
    pub activation: Option<[f32; 2]>,
    pub clamp: Option<f32>,
}

impl Plan {
    fn down_count(&self) -> usize {
        if self.is_radial { self.down_taps.len().isqrt() } else { self.down_taps.len() }
    }

    /// Length of an axis of the result.
    pub(crate) fn output(&self) -> usize {
        (self.length - self.down_count()) / self.down + 1
    }
}

/// `x` is `[channels, side, side]`, `bias` one summand per channel. Returns `[channels, output, output]`.
pub(crate) fn filtered(x: &[f32], side: usize, bias: &[f32], plan: &Plan) -> Vec<f32> {
    let output = plan.output();
    let mut result = super::fresh(bias.len() * output * output);
    let planes = result.par_chunks_exact_mut(output * output).zip(x.par_chunks_exact(side * side)).enumerate();
    planes.for_each(|(channel, (to, from))| {
        BUFFERS.with_borrow_mut(|buffers| {
            // SAFETY: `PLANE` was chosen by asking the processor for the features that it was compiled with.
            unsafe { PLANE(Plane { from, side, bias: bias[channel], plan }, buffers, to) }
        });
    });
    result
}

/// A thread's buffers, kept from plane to plane.
#[derive(Default)]
struct Buffers {
    /// The input with its bias.
    biased: Vec<f32>,
    /// A row up-sampled along y, with zeros around it.
    tall: Vec<f32>,
    /// One phase of the row up-sampled along x.
    phase: Vec<f32>,
    /// The up-sampled and activated row, and the same by phases of the down-sampling.
    row: Vec<f32>,
    phases: Vec<f32>,
    /// Rows that are down-sampled along x already.
    narrow: Vec<f32>,
    terms: Vec<(f32, usize)>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

struct Plane<'a> {
    from: &'a [f32],
    side: usize,
    bias: f32,
    plan: &'a Plan,
}

type Run = unsafe fn(Plane, &mut Buffers, &mut [f32]);

static PLANE: LazyLock<Run> = LazyLock::new(|| {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
            return avx512;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return avx2;
        }
    }
    portable
});

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
fn avx512(plane: Plane, buffers: &mut Buffers, to: &mut [f32]) {
    run::<true>(plane, buffers, to);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(plane: Plane, buffers: &mut Buffers, to: &mut [f32]) {
    run::<true>(plane, buffers, to);
}

fn portable(plane: Plane, buffers: &mut Buffers, to: &mut [f32]) {
    run::<false>(plane, buffers, to);
}

/// `to[n] (+)= sum of factor * source[offset + n]` over the terms.
#[inline(always)]
fn weighted_sum<const FUSED: bool>(to: &mut [f32], add: bool, source: &[f32], terms: &[(f32, usize)]) {
    const LANES: usize = 16;
    let fused = |a: f32, b: f32, c: f32| if FUSED { a.mul_add(b, c) } else { a * b + c };
    let whole = to.len() / LANES * LANES;
    for n in (0..whole).step_by(LANES) {
        let mut sum = [0.0; LANES];
        if add {
            sum.copy_from_slice(&to[n..n + LANES]);
        }
        for &(factor, offset) in terms {
            let values = &source[offset + n..][..LANES];
            for (sum, value) in sum.iter_mut().zip(values) {
                *sum = fused(factor, *value, *sum);
            }
        }
        to[n..n + LANES].copy_from_slice(&sum);
    }
    for (n, to) in to.iter_mut().enumerate().skip(whole) {
        let sum = if add { *to } else { 0.0 };
        *to = terms.iter().fold(sum, |sum, &(factor, offset)| fused(factor, source[offset + n], sum));
    }
}

#[inline(always)]
fn run<const FUSED: bool>(plane: Plane, buffers: &mut Buffers, to: &mut [f32]) {
    let Plane { from, side, bias, plan } = plane;
    let Buffers { biased, tall, phase, row, phases, narrow, terms } = buffers;
    let (up, down, count, output) = (plan.up, plan.down, plan.down_count(), plan.output());
    // Input samples that reach one up-sampled sample, and zeros for them around a row.
    let margin = plan.up_taps.len().div_ceil(up);
    biased.clear();
    biased.extend(from.iter().map(|x| x + bias));
    tall.clear();
    tall.resize(side + 2 * margin + 16, 0.0);
    row.resize(plan.length, 0.0);
    // A phase of the down-sampling holds every `down`-th sample of the row.
    let phase_length = plan.length.div_ceil(down);
    phases.resize(down * phase_length, 0.0);
    narrow.resize(plan.length * output, 0.0);
    if plan.is_radial {
        to.fill(0.0);
    }
    for j in 0..plan.length {
        // Along y: sample F of the full transposed convolution takes input i with tap F - i * up.
        let full = j + plan.start;
        let first = (full + 1).saturating_sub(plan.up_taps.len()).div_ceil(up);
        terms.clear();
        terms.extend((first..=full / up).take_while(|&i| i < side).map(|i| (plan.up_taps[full - i * up], i * side)));
        weighted_sum::<FUSED>(&mut tall[margin..margin + side], false, biased, terms);
        // Along x, one phase of the up-sampling after the other.
        for begin in 0..up.min(plan.length) {
            let full = begin + plan.start;
            let samples = (plan.length - begin).div_ceil(up);
            terms.clear();
            for k in 0..margin {
                // Samples that would lie left of the zeros are zeros themselves.
                let tap = full % up + k * up;
                if tap < plan.up_taps.len() && full / up + margin >= k {
                    terms.push((plan.up_taps[tap], full / up + margin - k));
                }
            }
            phase.clear();
            phase.resize(samples, 0.0);
            tall.resize(tall.len().max(full / up + margin + samples), 0.0);
            weighted_sum::<FUSED>(phase, false, tall, terms);
            row[begin..].iter_mut().step_by(up).zip(&*phase).for_each(|(to, x)| *to = *x);
        }
        if let Some([slope, gain]) = plan.activation {
            row.iter_mut().for_each(|x| *x = x.max(slope * *x) * gain);
        }
        if let Some(limit) = plan.clamp {
            row.iter_mut().for_each(|x| *x = x.clamp(-limit, limit));
        }
        for (q, phase) in phases.chunks_exact_mut(phase_length).enumerate() {
            row[q.min(row.len())..].iter().step_by(down).zip(phase).for_each(|(x, to)| *to = *x);
        }
        let along_x = |taps: &[f32], terms: &mut Vec<(f32, usize)>| {
            terms.clear();
            terms.extend(taps.iter().enumerate().map(|(k, &tap)| (tap, k % down * phase_length + k / down)));
        };
        if plan.is_radial {
            // Every result row that this row reaches.
            let first = (j + 1).saturating_sub(count).div_ceil(down);
            for m in (first..=j / down).take_while(|&m| m < output) {
                let k = j - m * down;
                along_x(&plan.down_taps[k * count..(k + 1) * count], terms);
                weighted_sum::<FUSED>(&mut to[m * output..(m + 1) * output], true, phases, terms);
            }
        } else {
            along_x(&plan.down_taps, terms);
            weighted_sum::<FUSED>(&mut narrow[j * output..(j + 1) * output], false, phases, terms);
        }
    }
    if !plan.is_radial {
        for (m, to) in to.chunks_exact_mut(output).enumerate() {
            terms.clear();
            terms.extend(plan.down_taps.iter().enumerate().map(|(k, &tap)| (tap, (m * down + k) * output)));
            weighted_sum::<FUSED>(to, false, narrow, terms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::numbers;
    use super::*;

    /// Zero-insertion, full correlation and picking, straight from the definition.
    fn definition(x: &[f32], side: usize, bias: f32, plan: &Plan) -> Vec<f64> {
        let taps = &plan.up_taps;
        let at =
            |full: usize, i: usize| full.checked_sub(i * plan.up).and_then(|tap| taps.get(tap)).map(|&t| f64::from(t));
        let mut large = vec![0.0; plan.length * plan.length];
        for (index, sum) in large.iter_mut().enumerate() {
            let (y, px) = (index / plan.length + plan.start, index % plan.length + plan.start);
            for (i, value) in x.iter().enumerate() {
                if let (Some(a), Some(b)) = (at(y, i / side), at(px, i % side)) {
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
        let (count, output) = (plan.down_count(), plan.output());
        let weight = |y: usize, x: usize| match plan.is_radial {
            true => f64::from(plan.down_taps[y * count + x]),
            false => f64::from(plan.down_taps[y]) * f64::from(plan.down_taps[x]),
        };
        let mut result = vec![0.0; output * output];
        for (index, sum) in result.iter_mut().enumerate() {
            for (y, px) in (0..count * count).map(|k| (k / count, k % count)) {
                let (row, column) = (index / output * plan.down + y, index % output * plan.down + px);
                *sum += large[row * plan.length + column] * weight(y, px);
            }
        }
        result
    }

    #[test]
    fn every_kind_of_resampling_equals_its_definition() {
        // side, up, down, start, length, up taps, down taps, radial
        for (side, up, down, start, length, up_count, down_count, is_radial) in [
            (14, 2, 2, 2, 32, 12, 12, false),
            (9, 4, 2, 29, 26, 24, 12, false),
            (11, 2, 2, 0, 30, 12, 12, true),
            (10, 2, 1, 3, 20, 12, 1, false),
            (7, 1, 1, 0, 7, 1, 1, false),
            (20, 1, 2, 0, 20, 1, 12, true),
        ] {
            let plan = Plan {
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
            let (x, bias) = (numbers(2 * side * side, 3), [0.25, -0.5]);
            let found = filtered(&x, side, &bias, &plan);
            let expected: Vec<f64> =
                (0..2).flat_map(|c| definition(&x[c * side * side..][..side * side], side, bias[c], &plan)).collect();
            assert_eq!(found.len(), expected.len());
            for (a, b) in found.iter().zip(&expected) {
                assert!((f64::from(*a) - b).abs() < 1e-4, "side {side}, up {up}, down {down}: {a} and {b}");
            }
        }
    }
}
