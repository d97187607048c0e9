//! Adjoints of what surrounds a convolution: the activation after it, the scaling or the norm before it.

use burn::tensor::{Tensor, TensorData};

use super::{After, Host, Norm, cpu, is_cpu};

/// From the gradient with respect to `y`, which `after` made of a convolution u, `[N, C, h, w]` both, to that with respect to what was
/// activated: `u * scale + bias + noise`. The activation's slope is that of the sign of `y`, and 0 where `y` was clamped. With a scale,
/// also the sum over each map of that gradient times `u * scale`, `[N, C]`: the gradient with respect to the scale, times the scale.
pub fn pull_after(grad: Tensor<4>, y: &Tensor<4>, after: &After) -> (Tensor<4>, Option<Tensor<2>>) {
    let ([n, channels, height, width], device) = (y.dims(), y.device());
    let (slope, clamp) = (after.slope.unwrap_or(1.0), after.clamp.unwrap_or(f32::INFINITY));
    if !is_cpu(&device) {
        return plain(grad, y, after);
    }
    if after.scale.is_none() && after.slope.is_none() && after.clamp.is_none() {
        return (grad, None);
    }
    let (mut grad, y) = (Host::of(grad), Host::of(y.clone()));
    let (bias, noise) = (after.bias.clone().map(Host::of), after.noise.clone().map(Host::of));
    let plane = height * width;
    let of_plane = |index: usize| cpu::PlaneAfter {
        bias: bias.as_ref().map_or(0.0, |bias| bias.values()[index % channels]),
        noise: noise.as_ref().map(|noise| noise.own_or_shared(index / channels, plane)),
        slope,
        clamp,
    };
    let mut values = grad.take().into_owned();
    let sums = cpu::pull_after(&mut values, y.values(), plane, of_plane, after.scale.is_some());
    let sums = after.scale.is_some().then(|| Tensor::from_data(TensorData::new(sums, [n, channels]), &device));
    (Tensor::from_data(TensorData::new(values, [n, channels, height, width]), &device), sums)
}

fn plain(mut grad: Tensor<4>, y: &Tensor<4>, after: &After) -> (Tensor<4>, Option<Tensor<2>>) {
    let [n, channels, ..] = y.dims();
    if let Some(slope) = after.slope {
        grad = pull_lrelu(grad, y.clone(), slope);
    }
    if let Some(clamp) = after.clamp {
        grad = grad.mask_fill(y.clone().abs().greater_equal_elem(clamp), 0.0);
    }
    if after.scale.is_none() {
        return (grad, None);
    }
    let mut before = y.clone();
    if let Some(slope) = after.slope {
        before = before.clone().min_pair(before.div_scalar(slope));
    }
    if let Some(bias) = &after.bias {
        before = before - bias.clone().reshape([1, channels, 1, 1]);
    }
    if let Some(noise) = &after.noise {
        before = before - noise.clone();
    }
    let sums = plane_sums(grad.clone() * before).reshape([n, channels]);
    (grad, Some(sums))
}

/// From the gradient with respect to `x * scale`, `[N, C, h, w]` with a factor per map `[N, C]`, to those with respect to `x` and to
/// the scale.
pub fn pull_scale(grad: Tensor<4>, x: &Tensor<4>, scale: Tensor<2>) -> (Tensor<4>, Tensor<2>) {
    let ([n, channels, height, width], device) = (x.dims(), x.device());
    if !is_cpu(&device) {
        let of_scale = plane_sums(grad.clone() * x.clone()).reshape([n, channels]);
        return (grad * scale.reshape([n, channels, 1, 1]), of_scale);
    }
    let (mut grad, x, scale) = (Host::of(grad), Host::of(x.clone()), Host::of(scale));
    let mut values = grad.take().into_owned();
    let sums = cpu::pull_scale(&mut values, x.values(), height * width, scale.values());
    let of_scale = Tensor::from_data(TensorData::new(sums, [n, channels]), &device);
    (Tensor::from_data(TensorData::new(values, [n, channels, height, width]), &device), of_scale)
}

/// Gradients with respect to what a [`Norm`] was applied to and to its factors and offsets.
pub struct NormGradient {
    /// `[N, C, h, w]`
    pub x: Tensor<4>,
    /// `[N, C]` each
    pub factor: Tensor<2>,
    pub offset: Tensor<2>,
}

/// From the gradient with respect to `max(0, x * factor + offset)` to those with respect to its parts.
pub fn pull_norm(grad: Tensor<4>, x: &Tensor<4>, norm: Norm) -> NormGradient {
    let ([n, channels, height, width], device) = (x.dims(), x.device());
    let Norm { factor, offset } = norm;
    if !is_cpu(&device) {
        let of_maps = |rows: Tensor<2>| rows.reshape([n, channels, 1, 1]);
        let factor = of_maps(factor);
        let before = x.clone() * factor.clone() + of_maps(offset);
        let grad = grad * before.greater_elem(0.0).float();
        return NormGradient {
            factor: plane_sums(grad.clone() * x.clone()).reshape([n, channels]),
            offset: plane_sums(grad.clone()).reshape([n, channels]),
            x: grad * factor,
        };
    }
    let (mut grad, x, factor, offset) = (Host::of(grad), Host::of(x.clone()), Host::of(factor), Host::of(offset));
    let mut values = grad.take().into_owned();
    let sums = cpu::pull_norm(&mut values, x.values(), height * width, factor.values(), offset.values());
    let (of_factor, of_offset): (Vec<f32>, Vec<f32>) = sums.into_iter().unzip();
    let rows = |values| Tensor::from_data(TensorData::new(values, [n, channels]), &device);
    NormGradient {
        x: Tensor::from_data(TensorData::new(values, [n, channels, height, width]), &device),
        factor: rows(of_factor),
        offset: rows(of_offset),
    }
}

/// The adjoint of [`super::nearest_up`]: `[N, C, 2H, 2W]` -> `[N, C, H, W]`, the sums of four.
pub fn pull_nearest_up(grad: Tensor<4>) -> Tensor<4> {
    let [n, channels, height, width] = grad.dims();
    let pairs = grad.reshape([n, channels, height / 2, 2, width / 2, 2]);
    pairs.sum_dim(5).sum_dim(3).reshape([n, channels, height / 2, width / 2])
}

/// The adjoint of [`super::sum`] for its second part, a map of `shape`.
pub fn pull_shortcut(grad: Tensor<4>, [n, channels, height, width]: [usize; 4]) -> Tensor<4> {
    let grad = if height < grad.dims()[2] { pull_nearest_up(grad) } else { grad };
    match channels - grad.dims()[1] {
        0 => grad,
        missing => {
            let nothing = Tensor::zeros([n, missing, height, width], &grad.device());
            Tensor::cat(vec![grad, nothing], 1)
        }
    }
}

/// From the gradient with respect to `y`, which `max(x, slope x)` made, to that with respect to x.
pub fn pull_lrelu<const D: usize>(grad: Tensor<D>, y: Tensor<D>, slope: f32) -> Tensor<D> {
    grad * y.greater_elem(0.0).float().mul_scalar(1.0 - slope).add_scalar(slope)
}

/// From the gradient with respect to [`super::pixel_norm`] of `x` to that with respect to `x`.
pub fn pull_pixel_norm<const D: usize>(grad: Tensor<D>, x: Tensor<D>) -> Tensor<D> {
    let factor = x.clone().square().mean_dim(1).add_scalar(1e-8).sqrt().recip();
    let y = x * factor.clone();
    let along = (grad.clone() * y.clone()).mean_dim(1);
    (grad - y * along) * factor
}

/// Rows first, then columns: one sum over a million values in single precision loses three digits.
pub(super) fn plane_sums(x: Tensor<4>) -> Tensor<4> {
    x.sum_dim(3).sum_dim(2)
}

#[cfg(test)]
pub(super) mod tests {
    use burn::tensor::Device;

    use super::super::tests::{assert_equal, everything, numbers};
    use super::*;

    /// A made-up convolution, what follows it, and a gradient.
    fn case(n: usize, channels: usize, side: usize, device: &Device) -> (After, Tensor<4>, Tensor<4>, Tensor<4>) {
        let after = After { clamp: Some(0.9), ..everything(n, channels, side, device) };
        let u = numbers([n, channels, side, side], 1, device);
        let y = after.apply(u.clone());
        (after, u, y, numbers([n, channels, side, side], 9, device))
    }

    #[test]
    fn the_fast_forms_equal_the_plain_ones() {
        compare(&Device::flex());
    }

    /// The forms of a device with plain tensor operations on the CPU.
    pub(in crate::ops) fn compare(device: &Device) {
        let cpu = Device::flex();
        let moved = |x: Tensor<4>| Tensor::from_data(x.into_data(), &cpu);
        for (n, channels, side) in [(1, 3, 4), (2, 5, 13), (3, 2, 80)] {
            let (after, u, y, grad) = case(n, channels, side, device);
            let (fast, sums) = pull_after(grad.clone(), &y, &after);
            let scale = numbers([n, channels], 3, device);
            let (scaled, of_scale) = pull_scale(grad, &u, scale);
            let (after, u, y, grad) = case(n, channels, side, &cpu);
            let (expected, expected_sums) = plain(grad.clone(), &y, &after);
            assert_equal(moved(fast), expected);
            // Sums of thousands of values, of which each form rounds others.
            let of = |sums: Tensor<2>| moved(sums.div_scalar(side as f32).reshape([1, 1, n, channels]));
            assert_equal(of(sums.unwrap()), of(expected_sums.unwrap()));
            let scale = numbers([n, channels, 1, 1], 3, &cpu);
            assert_equal(moved(scaled), grad.clone() * scale);
            assert_equal(of(of_scale), of(plane_sums(grad * u).reshape([n, channels])));
        }
    }

    /// The derivative of `sum(r * y)` with respect to a factor common to all scales, by differences; no value is near a kink.
    #[test]
    fn the_gradient_of_the_scale_is_that_of_differences() {
        let device = Device::flex();
        let (after, u, _, r) = case(1, 2, 8, &device);
        let after = After { slope: Some(0.2), clamp: None, noise: None, bias: None, ..after };
        let value = |factor: f32| {
            let scale = after.scale.clone().map(|scale| scale.mul_scalar(factor));
            After { scale, ..after.clone() }.apply(u.clone())
        };
        let sum = |factor| f64::from((value(factor) * r.clone()).sum().into_scalar::<f32>());
        let (_, sums) = pull_after(r.clone(), &value(1.0), &after);
        let found = f64::from(sums.unwrap().sum().into_scalar::<f32>());
        let expected = (sum(1.01) - sum(0.99)) / 0.02;
        assert!((found - expected).abs() < 1e-3 * expected.abs().max(1.0), "{found} and {expected}");
    }
}
