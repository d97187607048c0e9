//! Convolutions with what residual networks have around them: a batch norm with its activation before, a shortcut after. On the
//! CPU neither is a pass of its own.

use std::borrow::Cow;

use burn::tensor::activation::{relu, softmax};
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{DType, Tensor, TensorData};

use super::{After, Conv, ConvTranspose, Form, Host, cpu, each_sample, gpu, is_cpu, stored_as};

/// A batch norm with its activation, `max(0, x * factor + offset)`.
pub struct Norm {
    /// `[N, C]` each
    pub factor: Tensor<2>,
    pub offset: Tensor<2>,
}

impl Norm {
    pub(super) fn apply(self, x: Tensor<4>) -> Tensor<4> {
        if gpu::is_able(&x.device()) {
            return gpu::affine_relu(x, self.factor, self.offset);
        }
        let [n, channels, ..] = x.dims();
        relu(x * self.factor.reshape([n, channels, 1, 1]) + self.offset.reshape([n, channels, 1, 1]))
    }
}

/// What else than [`After`] surrounds a convolution on the CPU.
#[derive(Default)]
pub(super) struct Around {
    /// `[N, inputs]` each: factors of the input, and summands, which bring `max(0, ..)` along.
    scale: Option<Tensor<2>>,
    offset: Option<Tensor<2>>,
    shortcut: Option<Tensor<4>>,
}

impl Around {
    pub(super) fn styled(style: Option<Tensor<2>>) -> Self {
        Around { scale: style, ..Around::default() }
    }

    pub(super) fn new(norm: Option<Norm>, shortcut: Option<Tensor<4>>) -> Self {
        let (scale, offset) = norm.map(|norm| (norm.factor, norm.offset)).unzip();
        Around { scale, offset, shortcut }
    }
}

impl Conv {
    /// As [`Conv::forward`] with a batch norm before it, and the first channels of `shortcut` added in the end: a map
    /// of the result's size, or of half of it, which is up-sampled by two (every value four times).
    pub fn forward_residual(
        &self,
        x: Tensor<4>,
        norm: Option<Norm>,
        shortcut: Option<Tensor<4>>,
        after: &After,
    ) -> Tensor<4> {
        self.0.residual(x, norm, shortcut, after, |x| self.forward(x, None, after))
    }
}

impl ConvTranspose {
    /// As [`ConvTranspose::forward`], with the surroundings of [`Conv::forward_residual`].
    pub fn forward_residual(
        &self,
        x: Tensor<4>,
        norm: Option<Norm>,
        shortcut: Option<Tensor<4>>,
        after: &After,
    ) -> Tensor<4> {
        self.0.residual(x, norm, shortcut, after, |x| self.forward(x, after))
    }
}

impl<Packed: cpu::Convolve, Kernel> Form<Packed, Kernel> {
    /// `convolve` is the convolution with what follows it, for devices on which the surroundings are passes of their own.
    fn residual(
        &self,
        mut x: Tensor<4>,
        norm: Option<Norm>,
        shortcut: Option<Tensor<4>>,
        after: &After,
        convolve: impl FnOnce(Tensor<4>) -> Tensor<4>,
    ) -> Tensor<4> {
        if let Form::Cpu(packed) = self {
            return on_host(x, Around::new(norm, shortcut), after, packed);
        }
        if let Some(norm) = norm {
            x = norm.apply(x);
        }
        let x = convolve(x);
        match shortcut {
            Some(shortcut) => sum(x, shortcut),
            None => x,
        }
    }
}

/// `x` and the first channels of `shortcut`: a map of the same size, or of half of it, which is up-sampled by two (every
/// value four times).
pub fn sum(x: Tensor<4>, shortcut: Tensor<4>) -> Tensor<4> {
    if gpu::is_able(&x.device()) {
        return gpu::sum(x, shortcut);
    }
    let [_, channels, height, _] = x.dims();
    let shortcut = shortcut.narrow(1, 0, channels);
    x + if shortcut.dims()[2] < height { nearest_up(shortcut) } else { shortcut }
}

/// `[N, C, H, W]` -> `[N, C, 2H, 2W]`, every value four times.
pub fn nearest_up(x: Tensor<4>) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    x.reshape([n, c, h, 1, w, 1]).expand([n, c, h, 2, w, 2]).reshape([n, c, 2 * h, 2 * w])
}

/// Convolves each sample.
pub(super) fn on_host(x: Tensor<4>, around: Around, after: &After, packed: &impl cpu::Convolve) -> Tensor<4> {
    let [n, _, height, width] = x.dims();
    let device = x.device();
    let mut x = Host::of(x);
    let [scale_before, offset_before] = [around.scale, around.offset].map(|values| values.map(Host::of));
    let shortcut = around.shortcut.map(|shortcut| {
        let [.., height, width] = shortcut.dims();
        (Host::of(shortcut), height, width)
    });
    let (scale, bias, noise) =
        (after.scale.clone().map(Host::of), after.bias.clone().map(Host::of), after.noise.clone().map(Host::of));
    let mut result = Vec::new();
    let [result_height, result_width] = packed.result_size([height, width]);
    for sample in 0..n {
        let before = cpu::Before {
            scale: scale_before.as_ref().map(|scale| scale.sample(sample, n)),
            offset: offset_before.as_ref().map(|offset| offset.sample(sample, n)),
        };
        let after = cpu::AfterSums {
            scale: scale.as_ref().map(|scale| scale.sample(sample, n)),
            bias: bias.as_ref().map(Host::values),
            noise: noise.as_ref().map(|noise| noise.own_or_shared(sample, result_height * result_width)),
            slope: after.slope,
            clamp: after.clamp,
            shortcut: shortcut.as_ref().map(|(values, height, width)| cpu::Shortcut {
                values: values.sample(sample, n),
                size: [*height, *width],
            }),
        };
        let input = if n == 1 { x.take() } else { Cow::Borrowed(x.sample(sample, n)) };
        let values = packed.conv(input, [height, width], before, after);
        if n == 1 { result = values } else { result.extend(values) }
    }
    Tensor::from_data(TensorData::new(result, [n, packed.outputs(), result_height, result_width]), &device)
}

/// Self-attention (Zhang et al., ICML 2019), with keys and values pooled by two: `softmax(theta^T phi) g^T`, where `map` holds
/// theta `[N, width, H, W]`, phi of the same shape and g `[N, C, H, W]`, one after the other. Returns `[N, C, H, W]`.
pub fn attention(map: Tensor<4>, width: usize) -> Tensor<4> {
    if !is_cpu(&map.device()) {
        return plain_attention(map, width);
    }
    let ([n, channels, height, breadth], device) = (map.dims(), map.device());
    let map = Host::of(map);
    let values = each_sample(n, |sample| cpu::attention(map.sample(sample, n), [height, breadth], width));
    Tensor::from_data(TensorData::new(values, [n, channels - 2 * width, height, breadth]), &device)
}

fn plain_attention(map: Tensor<4>, width: usize) -> Tensor<4> {
    let map = stored_as(map, DType::F32);
    let [n, channels, height, breadth] = map.dims();
    let rows = |x: Tensor<4>| {
        let [n, channels, height, breadth] = x.dims();
        x.reshape([n, channels, height * breadth])
    };
    let pooled = |x| max_pool2d(x, MaxPoolOptions { stride: [2, 2], ..MaxPoolOptions::new([2, 2]) });
    let values = channels - 2 * width;
    let theta = rows(map.clone().narrow(1, 0, width)).swap_dims(1, 2);
    let phi = rows(pooled(map.clone().narrow(1, width, width)));
    let g = rows(pooled(map.narrow(1, 2 * width, values)));
    let attention = softmax(theta.matmul(phi), 2);
    g.matmul(attention.swap_dims(1, 2)).reshape([n, values, height, breadth])
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::super::tests::{assert_equal, everything, numbers, weights};
    use super::*;

    fn norm(n: usize, channels: usize, device: &Device) -> Option<Norm> {
        Some(Norm { factor: numbers([n, channels], 6, device), offset: numbers([n, channels], 7, device) })
    }

    #[test]
    fn fast_residual_convolutions_equal_plain_ones() {
        let device = Device::flex();
        for (n, inputs, outputs, side, k) in [(1, 6, 4, 8, 1), (2, 24, 10, 16, 3), (2, 24, 40, 32, 3)] {
            let x = numbers([n, inputs, side, side], 1, &device);
            let weight = weights(outputs * inputs * k * k);
            let fast = Conv::for_side(&weight, [outputs, inputs, k], side, &device);
            let slow = Conv::of_tensors(&weight, [outputs, inputs, k], &device);
            for shortcut_side in [side, side / 2] {
                // More channels than the result has.
                let shortcut = Some(numbers([n, outputs + 3, shortcut_side, shortcut_side], 8, &device));
                let after = everything(n, outputs, side, &device);
                assert_equal(
                    fast.forward_residual(x.clone(), norm(n, inputs, &device), shortcut.clone(), &after),
                    slow.forward_residual(x.clone(), norm(n, inputs, &device), shortcut, &after),
                );
            }
        }
    }

    #[test]
    fn fast_residual_up_convolutions_equal_plain_ones() {
        let device = Device::flex();
        let (n, inputs, outputs, side) = (2, 9, 5, 8);
        let x = numbers([n, inputs, side, side], 1, &device);
        let weight = weights(outputs * inputs * 16);
        let shortcut = Some(numbers([n, outputs, side, side], 8, &device));
        let after = everything(n, outputs, 2 * side, &device);
        let forward =
            |conv: ConvTranspose| conv.forward_residual(x.clone(), norm(n, inputs, &device), shortcut.clone(), &after);
        let fast = ConvTranspose::new(&weight, [inputs, outputs], &device);
        assert_equal(forward(fast), forward(ConvTranspose::of_tensors(&weight, [inputs, outputs], &device)));
    }

    #[test]
    fn fast_attention_equals_plain_attention() {
        let device = Device::flex();
        for (n, width, channels, side) in [(1, 3, 5, 4), (2, 8, 24, 16)] {
            let map = numbers([n, 2 * width + channels, side, side], 1, &device);
            assert_equal(attention(map.clone(), width), plain_attention(map, width));
        }
    }
}
