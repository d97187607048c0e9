//! Normalisations: StyleGAN's layer after its convolution, PGGAN's pixel norm.

use burn::tensor::activation::leaky_relu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};

use super::{Host, cpu, each_sample, gpu, is_cpu};

/// What follows a convolution of StyleGAN (Karras et al., 2019, figure 1b): blur after up-sampling, noise, bias, activation,
/// and adaptive instance normalisation.
pub struct StyleLayer {
    bias: Vec<f32>,
    noise_strength: Vec<f32>,
    blur: bool,
    /// Added to the variances.
    epsilon: f32,
    /// The same as tensors; absent on the CPU.
    tensors: Option<Tensors>,
}

struct Tensors {
    /// `[1, C, 1, 1]` each
    bias: Tensor<4>,
    noise_strength: Tensor<4>,
    /// `[C, 1, 3, 3]`
    blur: Option<Tensor<4>>,
}

impl StyleLayer {
    /// One bias and one noise strength per channel; `blur` with [1,2,1] x [1,2,1] / 16.
    pub fn new(bias: Vec<f32>, noise_strength: Vec<f32>, blur: bool, device: &Device) -> Self {
        let tensors = (!is_cpu(device)).then(|| Tensors::new(&bias, &noise_strength, blur, device));
        StyleLayer { bias, noise_strength, blur, epsilon: 1e-8, tensors }
    }

    /// With this added to the variances, instead of the original's 1e-8.
    pub fn with_epsilon(self, epsilon: f32) -> Self {
        StyleLayer { epsilon, ..self }
    }

    /// x `[N, C, h, w]`, noise `[1, 1, h, w]` or `[N, 1, h, w]` before its strength, style `[N, 2 C]`: factors less 1, then offsets.
    pub fn forward(&self, x: Tensor<4>, noise: Option<Tensor<4>>, style: Tensor<2>) -> Tensor<4> {
        match &self.tensors {
            Some(Tensors { bias, noise_strength, .. }) if gpu::is_able(&x.device()) => {
                let per_channel = [noise_strength.clone(), bias.clone()];
                gpu::style_layer(x, noise, style, per_channel, self.blur, self.epsilon)
            }
            Some(tensors) => tensors.forward(x, noise, style, self.epsilon),
            None => self.on_cpu(x, noise, style),
        }
    }

    fn on_cpu(&self, x: Tensor<4>, noise: Option<Tensor<4>>, style: Tensor<2>) -> Tensor<4> {
        let (shape, device) = (x.dims(), x.device());
        let [n, channels, height, width] = shape;
        let (x, style, noise) = (Host::of(x), Host::of(style), noise.map(Host::of));
        let one = |sample: usize| {
            let (scales, offsets) = style.sample(sample, n).split_at(channels);
            let channel = |c: usize| cpu::StyleChannel {
                noise_strength: self.noise_strength[c],
                bias: self.bias[c],
                scale: scales[c] + 1.0,
                offset: offsets[c],
            };
            let channels: Vec<_> = (0..channels).map(channel).collect();
            let noise = noise.as_ref().map(|noise| noise.own_or_shared(sample, height * width));
            cpu::style_layer(x.sample(sample, n), width, self.blur, noise, f64::from(self.epsilon), &channels)
        };
        Tensor::from_data(TensorData::new(each_sample(n, one), shape), &device)
    }
}

impl Tensors {
    fn new(bias: &[f32], noise_strength: &[f32], blur: bool, device: &Device) -> Self {
        let channels = bias.len();
        let per_channel =
            |values: &[f32]| Tensor::from_data(TensorData::new(values.to_vec(), [1, channels, 1, 1]), device);
        const TAPS: [f32; 3] = [0.25, 0.5, 0.25];
        let kernel: Vec<f32> = TAPS.iter().flat_map(|a| TAPS.map(|b| a * b)).collect();
        let kernel = || Tensor::<4>::from_data(TensorData::new(kernel, [1, 1, 3, 3]), device);
        Tensors {
            bias: per_channel(bias),
            noise_strength: per_channel(noise_strength),
            blur: blur.then(|| kernel().repeat(&[channels, 1, 1, 1])),
        }
    }

    fn forward(&self, mut x: Tensor<4>, noise: Option<Tensor<4>>, style: Tensor<2>, epsilon: f32) -> Tensor<4> {
        let [n, channels, ..] = x.dims();
        if let Some(kernel) = &self.blur {
            x = conv2d(x, kernel.clone(), None, ConvOptions::new([1, 1], [1, 1], [1, 1], channels));
        }
        if let Some(noise) = noise {
            x = x + noise * self.noise_strength.clone();
        }
        let x = leaky_relu(x + self.bias.clone(), 0.2);
        // Rows first, then columns: one sum over a million values in single precision loses three digits.
        let mean = |x: Tensor<4>| x.mean_dim(3).mean_dim(2);
        let x = x.clone() - mean(x);
        let x = x.clone() * mean(x.square()).add_scalar(epsilon).sqrt().recip();
        let style = style.reshape([n, 2 * channels, 1, 1]);
        let (scale, offset) = (style.clone().narrow(1, 0, channels), style.narrow(1, channels, channels));
        x * scale.add_scalar(1.0) + offset
    }
}

/// `x / sqrt(mean over channels of x^2 + 1e-8)` at every pixel (Karras et al., 2018, section 4.2); x is `[N, C, ...]`: maps, or
/// codes, which have one pixel.
pub fn pixel_norm<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let (shape, device) = (x.dims(), x.device());
    if gpu::is_able(&device) {
        return gpu::pixel_norm(x);
    }
    if !is_cpu(&device) {
        let mean_square = x.clone().square().mean_dim(1);
        return x * mean_square.add_scalar(1e-8).sqrt().recip();
    }
    let (n, channels) = (shape[0], shape[1]);
    let x = Host::of(x);
    let one = |sample: usize| cpu::pixel_norm(x.sample(sample, n), channels);
    Tensor::from_data(TensorData::new(each_sample(n, one), shape), &device)
}

#[cfg(test)]
mod tests {
    use super::super::tests::noise_shape;
    use super::*;

    fn numbers<const D: usize>(shape: [usize; D], seed: usize) -> Tensor<D> {
        crate::ops::tests::numbers(shape, seed, &Device::flex())
    }

    #[track_caller]
    fn assert_equal(fast: Tensor<4>, plain: Tensor<4>) {
        let worst: f32 = (fast - plain).abs().max().into_scalar();
        assert!(worst < 2e-5, "off by {worst}");
    }

    #[test]
    fn the_fast_style_layer_equals_the_plain_one() {
        let device = Device::flex();
        for (n, channels, [height, width], blur, epsilon) in
            [(1, 3, [4, 4], false, 1e-8), (2, 5, [20, 20], true, 1e-2), (1, 2, [64, 24], true, 1e-8)]
        {
            let host = |seed| numbers([channels], seed).into_data().try_into_vec::<f32>().unwrap();
            let (x, style) = (numbers([n, channels, height, width], 1), numbers([n, 2 * channels], 2));
            for noise in [None, Some(numbers(noise_shape(n, [height, width]), 3))] {
                let fast = StyleLayer::new(host(4), host(5), blur, &device).with_epsilon(epsilon);
                let plain = Tensors::new(&host(4), &host(5), blur, &device);
                let found = fast.forward(x.clone(), noise.clone(), style.clone());
                assert_equal(found, plain.forward(x.clone(), noise, style.clone(), epsilon));
            }
        }
    }

    #[test]
    fn a_million_pixels_keep_their_precision() {
        // Far from zero mean, where sums in single precision fail.
        let x = numbers([1, 1, 1024, 1024], 1).add_scalar(3.0);
        let layer = StyleLayer::new(vec![0.0], vec![0.0], false, &Device::flex());
        let found: Vec<f32> =
            layer.forward(x.clone(), None, numbers([1, 2], 0).mul_scalar(0.0)).into_data().try_into_vec().unwrap();
        let values: Vec<f32> = x.into_data().try_into_vec().unwrap();
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / values.len() as f64;
        for (x, found) in values.iter().zip(&found) {
            let expected = (f64::from(*x) - mean) / (variance + 1e-8).sqrt();
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} and {expected}");
        }
    }

    #[test]
    fn pixel_norm_gives_unit_mean_square() {
        let x = numbers([2, 5, 9, 7], 1);
        let mean_square = pixel_norm(x.clone()).square().mean_dim(1);
        assert_equal(mean_square, Tensor::ones([2, 1, 9, 7], &Device::flex()));
        let plain = x.clone() * x.square().mean_dim(1).add_scalar(1e-8).sqrt().recip();
        assert_equal(pixel_norm(numbers([2, 5, 9, 7], 1)), plain);
    }
}
