//! Adjoints of what surrounds a convolution on the CPU, one pass over memory each, with sums in double precision.

use rayon::prelude::{
    IndexedParallelIterator, IntoParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut,
};

use super::kernel::widest;

/// Values that are summed in single precision at a time.
const RUN: usize = 1 << 12;
const LANES: usize = 16;

/// What followed a convolution in one channel of one sample; see [`super::AfterSums`].
#[derive(Clone, Copy)]
pub(crate) struct PlaneAfter<'a> {
    pub bias: f32,
    pub noise: Option<&'a [f32]>,
    /// 1 where there is no activation.
    pub slope: f32,
    /// Infinite where nothing is clamped.
    pub clamp: f32,
}

/// Turns the gradient with respect to `y` into that with respect to what was activated, in place. `after` is asked for each plane of
/// `plane` values. If they are asked for, also the sum over each plane of the new gradient times what was activated, less bias and noise.
pub(crate) fn pull_after<'a>(
    grad: &mut [f32],
    y: &[f32],
    plane: usize,
    after: impl Fn(usize) -> PlaneAfter<'a> + Sync,
    with_sums: bool,
) -> Vec<f32> {
    let planes = grad.par_chunks_exact_mut(plane).zip(y.par_chunks_exact(plane)).enumerate();
    let sums = planes.map(|(index, (grad, y))| {
        let after = after(index);
        let mut sum = 0.0;
        for (at, (grad, y)) in grad.chunks_mut(RUN).zip(y.chunks(RUN)).enumerate() {
            mask(grad, y, after.slope, after.clamp);
            if with_sums {
                let noise = after.noise.map(|noise| &noise[at * RUN..][..y.len()]);
                add_products(grad, y, after.slope.recip(), after.bias, noise, &mut sum);
            }
        }
        sum as f32
    });
    sums.collect()
}

widest! {
    fn mask(grad: &mut [f32], y: &[f32], slope: f32, clamp: f32) {
        for (grad, &y) in grad.iter_mut().zip(y) {
            let factor = if y > 0.0 { 1.0 } else { slope };
            *grad = if y.abs() >= clamp { 0.0 } else { factor * *grad };
        }
    }
}

widest! {
    fn add_products(grad: &[f32], y: &[f32], below: f32, bias: f32, noise: Option<&[f32]>, sum: &mut f64) {
        let before = |y: f32| if y > 0.0 { y } else { below * y } - bias;
        let mut lanes = [0.0_f32; LANES];
        let whole = grad.len() / LANES * LANES;
        for at in (0..whole).step_by(LANES) {
            let (grad, y) = (&grad[at..at + LANES], &y[at..at + LANES]);
            match noise {
                Some(noise) => {
                    let noise = &noise[at..at + LANES];
                    (0..LANES).for_each(|n| lanes[n] += grad[n] * (before(y[n]) - noise[n]));
                }
                None => (0..LANES).for_each(|n| lanes[n] += grad[n] * before(y[n])),
            }
        }
        *sum += lanes.iter().map(|&x| f64::from(x)).sum::<f64>();
        for at in whole..grad.len() {
            *sum += f64::from(grad[at] * (before(y[at]) - noise.map_or(0.0, |noise| noise[at])));
        }
    }
}

/// Of maps whose planes were scaled: multiplies the gradient with the factors, in place. Also the gradients with respect to these: the
/// sums over each plane of `grad` as it was times `x`.
pub(crate) fn pull_scale(grad: &mut [f32], x: &[f32], plane: usize, scale: &[f32]) -> Vec<f32> {
    let planes = grad.par_chunks_exact_mut(plane).zip(x.par_chunks_exact(plane)).zip(scale.into_par_iter());
    let sums = planes.map(|((grad, x), &scale)| {
        let mut sum = 0.0;
        grad.chunks_mut(RUN).zip(x.chunks(RUN)).for_each(|(grad, x)| multiply(grad, x, scale, &mut sum));
        sum as f32
    });
    sums.collect()
}

widest! {
    fn multiply(grad: &mut [f32], x: &[f32], scale: f32, sum: &mut f64) {
        let mut lanes = [0.0_f32; LANES];
        let (whole, rest) = grad.as_chunks_mut::<LANES>();
        let (whole_x, rest_x) = x.as_chunks::<LANES>();
        for (grad, x) in whole.iter_mut().zip(whole_x) {
            for n in 0..LANES {
                lanes[n] += grad[n] * x[n];
                grad[n] *= scale;
            }
        }
        *sum += lanes.iter().map(|&x| f64::from(x)).sum::<f64>();
        for (grad, x) in rest.iter_mut().zip(rest_x) {
            *sum += f64::from(*grad * x);
            *grad *= scale;
        }
    }
}

/// Of `max(0, x * factor + offset)`: the gradient with respect to `x`, in place, and for each plane those with respect to the factor
/// and the offset.
pub(crate) fn pull_norm(grad: &mut [f32], x: &[f32], plane: usize, factor: &[f32], offset: &[f32]) -> Vec<(f32, f32)> {
    let planes = grad.par_chunks_exact_mut(plane).zip(x.par_chunks_exact(plane));
    let planes = planes.zip(factor.into_par_iter().zip(offset));
    let sums = planes.map(|((grad, x), (&factor, &offset))| {
        let mut sums = [0.0; 2];
        let runs = grad.chunks_mut(RUN).zip(x.chunks(RUN));
        runs.for_each(|(grad, x)| norm_run(grad, x, factor, offset, &mut sums));
        (sums[0] as f32, sums[1] as f32)
    });
    sums.collect()
}

widest! {
    fn norm_run(grad: &mut [f32], x: &[f32], factor: f32, offset: f32, sums: &mut [f64; 2]) {
        let (mut products, mut alone) = ([0.0_f32; LANES], [0.0_f32; LANES]);
        let one = |grad: &mut f32, x: f32, products: &mut f32, alone: &mut f32| {
            let passed = if x * factor + offset > 0.0 { *grad } else { 0.0 };
            *products += passed * x;
            *alone += passed;
            *grad = passed * factor;
        };
        let (whole, rest) = grad.as_chunks_mut::<LANES>();
        let (whole_x, rest_x) = x.as_chunks::<LANES>();
        for (grad, x) in whole.iter_mut().zip(whole_x) {
            for n in 0..LANES {
                one(&mut grad[n], x[n], &mut products[n], &mut alone[n]);
            }
        }
        for (n, (grad, x)) in rest.iter_mut().zip(rest_x).enumerate() {
            one(grad, *x, &mut products[n], &mut alone[n]);
        }
        sums[0] += products.iter().map(|&x| f64::from(x)).sum::<f64>();
        sums[1] += alone.iter().map(|&x| f64::from(x)).sum::<f64>();
    }
}
