//! Normalisations on the CPU, in as few passes over memory as they need, with sums in double precision: a map of a million
//! pixels added up in single precision is off in the fourth digit.

use rayon::prelude::{
    IndexedParallelIterator, IntoParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut,
};

use super::fresh;
use super::kernel::widest;
use super::memory::Disjoint;

/// One channel of StyleGAN's layer after its convolution; see [`style_layer`].
#[derive(Clone, Copy)]
pub(crate) struct StyleChannel {
    pub noise_strength: f32,
    pub bias: f32,
    pub scale: f32,
    pub offset: f32,
}

/// Blur with [1,2,1] x [1,2,1] / 16 (if asked for), noise, bias, activation, instance normalisation, then scale and offset.
///
/// `x` is `[channels, height, width]`, `noise` one summand per pixel before its strength; `epsilon` is added to variances.
pub(crate) fn style_layer(
    x: &[f32],
    width: usize,
    blur: bool,
    noise: Option<&[f32]>,
    epsilon: f64,
    channels: &[StyleChannel],
) -> Vec<f32> {
    let plane = x.len() / channels.len();
    let mut result = fresh(x.len());
    let planes = result.par_chunks_exact_mut(plane).zip(x.par_chunks_exact(plane)).zip(channels);
    planes.for_each(|((to, from), channel)| {
        let [mean, factor] = activate(from, width, blur, noise, epsilon, *channel, to);
        let factor = f64::from(channel.scale) * factor;
        let offset = f64::from(channel.offset) - mean * factor;
        scale_and_shift(to, factor as f32, offset as f32);
    });
    result
}

/// Blur, noise, bias and activation of a plane; its mean and the reciprocal of its deviation.
fn activate(
    from: &[f32],
    width: usize,
    blur: bool,
    noise: Option<&[f32]>,
    epsilon: f64,
    channel: StyleChannel,
    to: &mut [f32],
) -> [f64; 2] {
    let (mut sum, mut squares) = (0.0, 0.0);
    if blur {
        blurred(from, width, to);
    } else {
        to.copy_from_slice(from);
    }
    for (y, row) in to.chunks_exact_mut(width).enumerate() {
        let noise = noise.map(|noise| &noise[y * width..(y + 1) * width]);
        let mut sums = [0.0; 2];
        activate_row(row, noise, channel, &mut sums);
        sum += sums[0];
        squares += sums[1];
    }
    let count = from.len() as f64;
    let mean = sum / count;
    let variance = (squares / count - mean * mean).max(0.0);
    [mean, (variance + epsilon).sqrt().recip()]
}

/// A plane blurred with [1,2,1] x [1,2,1] / 16, which is its own adjoint.
fn blurred(from: &[f32], width: usize, to: &mut [f32]) {
    let zeros = vec![0.0; width];
    let mut tall = vec![0.0; width];
    let row_of = |y: usize| from.get(y * width..(y + 1) * width).unwrap_or(&zeros);
    for (y, row) in to.chunks_exact_mut(width).enumerate() {
        let above = if y == 0 { &zeros } else { row_of(y - 1) };
        blur_row([above, row_of(y), row_of(y + 1)], &mut tall, row);
    }
}

widest! {
    fn blur_row(rows: [&[f32]; 3], tall: &mut [f32], row: &mut [f32]) {
        let [above, middle, below] = rows.map(|row| &row[..tall.len()]);
        for (n, x) in tall.iter_mut().enumerate() {
            *x = 0.25 * (above[n] + below[n]) + 0.5 * middle[n];
        }
        let side = row.len();
        for n in 1..side - 1 {
            row[n] = 0.25 * (tall[n - 1] + tall[n + 1]) + 0.5 * tall[n];
        }
        row[0] = 0.25 * tall[1] + 0.5 * tall[0];
        row[side - 1] = 0.25 * tall[side - 2] + 0.5 * tall[side - 1];
    }
}

widest! {
    /// Noise, bias and activation of a row, and the sums of its values and of their squares.
    fn activate_row(row: &mut [f32], noise: Option<&[f32]>, channel: StyleChannel, sums: &mut [f64; 2]) {
        const LANES: usize = 16;
        if let Some(noise) = noise {
            row.iter_mut().zip(noise).for_each(|(x, noise)| *x += channel.noise_strength * noise);
        }
        row.iter_mut().for_each(|x| {
            let biased = *x + channel.bias;
            *x = biased.max(0.2 * biased);
        });
        let (mut sum, mut squares) = ([0.0_f32; LANES], [0.0_f32; LANES]);
        let (whole, rest) = row.as_chunks::<LANES>();
        for values in whole {
            for lane in 0..LANES {
                sum[lane] += values[lane];
                squares[lane] += values[lane] * values[lane];
            }
        }
        let wide = |x: &f32| f64::from(*x);
        sums[0] = sum.iter().chain(rest).map(wide).sum();
        sums[1] = squares.iter().map(wide).sum::<f64>() + rest.iter().map(|x| wide(x) * wide(x)).sum::<f64>();
    }
}

widest! {
    fn scale_and_shift(values: &mut [f32], factor: f32, offset: f32) {
        values.iter_mut().for_each(|x| *x = *x * factor + offset);
    }
}

/// The adjoint of [`style_layer`] of the same arguments: the gradient with respect to `x`, in place of `grad`, and those with respect to
/// the scale and the offset of each channel.
pub(crate) fn pull_style_layer(
    grad: &mut [f32],
    x: &[f32],
    width: usize,
    blur: bool,
    noise: Option<&[f32]>,
    epsilon: f64,
    channels: &[StyleChannel],
) -> Vec<(f32, f32)> {
    let plane = x.len() / channels.len();
    let planes = grad.par_chunks_exact_mut(plane).zip(x.par_chunks_exact(plane)).zip(channels);
    let sums = planes.map(|((grad, x), channel)| {
        // What was normalised, once more.
        let mut values = vec![0.0; plane];
        let moments @ [_, factor] = activate(x, width, blur, noise, epsilon, *channel, &mut values);
        let mut sums = [0.0; 2];
        grad.chunks(width).zip(values.chunks(width)).for_each(|(grad, x)| add_row_sums(grad, x, moments, &mut sums));
        let means = sums.map(|sum| (sum / plane as f64) as f32);
        let gain = (f64::from(channel.scale) * factor) as f32;
        let rows = grad.chunks_mut(width).zip(values.chunks(width));
        rows.for_each(|(grad, x)| pull_row(grad, x, moments, means, gain));
        if blur {
            values.copy_from_slice(grad);
            blurred(&values, width, grad);
        }
        (sums[0] as f32, sums[1] as f32)
    });
    sums.collect()
}

widest! {
    /// Adds the sums of the gradient times what it is normalised to, and of the gradient alone.
    fn add_row_sums(grad: &[f32], x: &[f32], moments: [f64; 2], sums: &mut [f64; 2]) {
        const LANES: usize = 16;
        let [mean, factor] = moments.map(|x| x as f32);
        let (mut products, mut alone) = ([0.0_f32; LANES], [0.0_f32; LANES]);
        for (grad, x) in grad.chunks(LANES).zip(x.chunks(LANES)) {
            for (n, (grad, x)) in grad.iter().zip(x).enumerate() {
                products[n] += grad * ((x - mean) * factor);
                alone[n] += grad;
            }
        }
        sums[0] += products.iter().map(|&x| f64::from(x)).sum::<f64>();
        sums[1] += alone.iter().map(|&x| f64::from(x)).sum::<f64>();
    }
}

widest! {
    /// Through normalisation and activation.
    fn pull_row(grad: &mut [f32], x: &[f32], moments: [f64; 2], means: [f32; 2], gain: f32) {
        let [mean, factor] = moments.map(|x| x as f32);
        for (grad, &x) in grad.iter_mut().zip(x) {
            let normalised = (x - mean) * factor;
            let of_x = gain * (*grad - means[1] - normalised * means[0]);
            *grad = if x > 0.0 { of_x } else { 0.2 * of_x };
        }
    }
}

/// Pixels that one task normalises at a time: all their channels stay in the cache for small networks.
const PIXELS: usize = 4096;

/// `x / sqrt(mean over channels of x^2 + 1e-8)` at every pixel; `x` is `[channels, pixels]`.
#[expect(unsafe_code, reason = "a part alone writes its pixels of every channel")]
pub(crate) fn pixel_norm(x: &[f32], channels: usize) -> Vec<f32> {
    let pixels = x.len() / channels;
    let mut result = fresh(x.len());
    let target = Disjoint::new(&mut result);
    (0..pixels.div_ceil(PIXELS)).into_par_iter().for_each(|part| {
        let (first, count) = (part * PIXELS, PIXELS.min(pixels - part * PIXELS));
        let mut factors = vec![0.0; count];
        for channel in 0..channels {
            add_squares(&x[channel * pixels + first..][..count], &mut factors);
        }
        factors.iter_mut().for_each(|x| *x = (*x / channels as f32 + 1e-8).sqrt().recip());
        for channel in 0..channels {
            let at = channel * pixels + first;
            // SAFETY: a part owns its pixels of every channel, and no other part has them.
            let to = unsafe { target.slice(at, count) };
            multiply(&x[at..at + count], &factors, to);
        }
    });
    result
}

widest! {
    fn add_squares(values: &[f32], sums: &mut [f32]) {
        sums.iter_mut().zip(values).for_each(|(sum, x)| *sum += x * x);
    }
}

widest! {
    fn multiply(values: &[f32], factors: &[f32], to: &mut [f32]) {
        to.iter_mut().zip(values.iter().zip(factors)).for_each(|(to, (x, factor))| *to = x * factor);
    }
}
