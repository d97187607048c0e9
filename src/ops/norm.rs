//! Normalisations: StyleGAN's layer after its convolution, PGGAN's pixel norm.

use burn::tensor::activation::leaky_relu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};

use super::{Host, cpu, each_sample, gpu, is_cpu, pull_lrelu};

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

    /// One per channel, for styles of a sample.
    fn channels(&self, style: &[f32]) -> Vec<cpu::StyleChannel> {
        let (scales, offsets) = style.split_at(self.bias.len());
        let channel = |c: usize| cpu::StyleChannel {
            noise_strength: self.noise_strength[c],
            bias: self.bias[c],
            scale: scales[c] + 1.0,
            offset: offsets[c],
        };
        (0..self.bias.len()).map(channel).collect()
    }

    fn on_cpu(&self, x: Tensor<4>, noise: Option<Tensor<4>>, style: Tensor<2>) -> Tensor<4> {
        let (shape, device) = (x.dims(), x.device());
        let [n, _, height, width] = shape;
        let (x, style, noise) = (Host::of(x), Host::of(style), noise.map(Host::of));
        let one = |sample: usize| {
            let channels = self.channels(style.sample(sample, n));
            let noise = noise.as_ref().map(|noise| noise.own_or_shared(sample, height * width));
            cpu::style_layer(x.sample(sample, n), width, self.blur, noise, f64::from(self.epsilon), &channels)
        };
        Tensor::from_data(TensorData::new(each_sample(n, one), shape), &device)
    }

    /// From the gradient with respect to what [`StyleLayer::forward`] makes of the other arguments to those with respect to `x` and to
    /// the style.
    pub fn pull(
        &self,
        grad: Tensor<4>,
        x: Tensor<4>,
        noise: Option<Tensor<4>>,
        style: Tensor<2>,
    ) -> (Tensor<4>, Tensor<2>) {
        if let Some(tensors) = &self.tensors {
            return tensors.pull(grad, x, noise, style, self.epsilon);
        }
        let (shape, device) = (x.dims(), x.device());
        let [n, channels, height, width] = shape;
        let (mut grad, x, style, noise) = (Host::of(grad), Host::of(x), Host::of(style), noise.map(Host::of));
        let mut values = grad.take().into_owned();
        let mut of_style = Vec::with_capacity(2 * n * channels);
        for (sample, grad) in values.chunks_exact_mut(channels * height * width).enumerate() {
            let channels = self.channels(style.sample(sample, n));
            let noise = noise.as_ref().map(|noise| noise.own_or_shared(sample, height * width));
            let (x, epsilon) = (x.sample(sample, n), f64::from(self.epsilon));
            let sums = cpu::pull_style_layer(grad, x, width, self.blur, noise, epsilon, &channels);
            let (scales, offsets): (Vec<f32>, Vec<f32>) = sums.into_iter().unzip();
            of_style.extend(scales.into_iter().chain(offsets));
        }
        let of_style = Tensor::from_data(TensorData::new(of_style, [n, 2 * channels]), &device);
        (Tensor::from_data(TensorData::new(values, shape), &device), of_style)
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

    fn forward(&self, x: Tensor<4>, noise: Option<Tensor<4>>, style: Tensor<2>, epsilon: f32) -> Tensor<4> {
        let [n, channels, ..] = x.dims();
        let x = self.activated(x, noise);
        let x = x.clone() - mean(x);
        let x = x.clone() * mean(x.square()).add_scalar(epsilon).sqrt().recip();
        let style = style.reshape([n, 2 * channels, 1, 1]);
        let (scale, offset) = (style.clone().narrow(1, 0, channels), style.narrow(1, channels, channels));
        x * scale.add_scalar(1.0) + offset
    }

    fn activated(&self, x: Tensor<4>, noise: Option<Tensor<4>>) -> Tensor<4> {
        let mut x = self.blurred(x);
        if let Some(noise) = noise {
            x = x + noise * self.noise_strength.clone();
        }
        leaky_relu(x + self.bias.clone(), 0.2)
    }

    fn blurred(&self, x: Tensor<4>) -> Tensor<4> {
        let channels = x.dims()[1];
        match &self.blur {
            Some(kernel) => conv2d(x, kernel.clone(), None, ConvOptions::new([1, 1], [1, 1], [1, 1], channels)),
            None => x,
        }
    }

    fn pull(
        &self,
        grad: Tensor<4>,
        x: Tensor<4>,
        noise: Option<Tensor<4>>,
        style: Tensor<2>,
        epsilon: f32,
    ) -> (Tensor<4>, Tensor<2>) {
        let [n, channels, ..] = x.dims();
        let activated = self.activated(x, noise);
        let x = activated.clone() - mean(activated.clone());
        let factor = mean(x.clone().square()).add_scalar(epsilon).sqrt().recip();
        let x = x * factor.clone();
        let (along, alone) = (mean(grad.clone() * x.clone()), mean(grad.clone()));
        let pixels = (x.dims()[2] * x.dims()[3]) as f64;
        let of_style = Tensor::cat(vec![along.clone(), alone.clone()], 1).mul_scalar(pixels).reshape([n, 2 * channels]);
        let scale = style.narrow(1, 0, channels).add_scalar(1.0).reshape([n, channels, 1, 1]);
        let grad = (grad - alone - x * along) * (scale * factor);
        // The blur is its own adjoint.
        (self.blurred(pull_lrelu(grad, activated, 0.2)), of_style)
    }
}

/// Rows first, then columns: one sum over a million values in single precision loses three digits.
fn mean(x: Tensor<4>) -> Tensor<4> {
    x.mean_dim(3).mean_dim(2)
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
                assert_equal(found, plain.forward(x.clone(), noise.clone(), style.clone(), epsilon));
                let grad = numbers([n, channels, height, width], 6);
                let (of_x, of_style) = fast.pull(grad.clone(), x.clone(), noise.clone(), style.clone());
                let expected = plain.pull(grad, x.clone(), noise, style.clone(), epsilon);
                assert_equal(of_x, expected.0);
                // Sums over all pixels.
                let as_map =
                    |rows: Tensor<2>| rows.div_scalar((height * width) as f32).reshape([1, 1, n, 2 * channels]);
                assert_equal(as_map(of_style), as_map(expected.1));
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
