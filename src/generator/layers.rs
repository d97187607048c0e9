//! Blocks that several families share.

use burn::tensor::activation::leaky_relu;
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Tensor, TensorData};

/// Values as a tensor on `device`; `values.len()` is the product of `shape`.
pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// `max(x, 0.2 x)`, the activation of every style-based generator.
pub(super) fn lrelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    leaky_relu(x, 0.2)
}

/// `x / sqrt(mean(x^2) + 1e-8)` over the features of `[N, features]` (Karras et al., 2018, section 4.2).
pub(super) fn pixel_norm(x: Tensor<2>) -> Tensor<2> {
    let mean_square = x.clone().square().mean_dim(1);
    x * mean_square.add_scalar(1e-8).sqrt().recip()
}

/// A fully connected layer, `x W + b`.
pub(super) struct Linear {
    /// `[inputs, outputs]`
    weight: Tensor<2>,
    /// `[1, outputs]`
    bias: Tensor<2>,
}

impl Linear {
    /// From a stored `[outputs, inputs]` weight and a `[outputs]` bias, scaled once by their gains.
    pub(super) fn new(weight: Vec<f32>, bias: Vec<f32>, gains: (f64, f64), device: &Device) -> Self {
        let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
        let weight = tensor(weight, [outputs, inputs], device).mul_scalar(gains.0).transpose();
        let bias = tensor(bias, [1, outputs], device).mul_scalar(gains.1);
        // The transpose is a view; adding nothing to it would keep it one. A product lays it out anew.
        Linear { weight, bias }
    }

    /// `[N, inputs]` -> `[N, outputs]`
    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weight.clone()) + self.bias.clone()
    }
}

/// The outer product of [1, 3, 3, 1] with itself, scaled to the sum `gain`, as `[1, 1, 4, 4]`.
fn fir_kernel(gain: f32, device: &Device) -> Tensor<4> {
    const TAPS: [f32; 4] = [1.0, 3.0, 3.0, 1.0];
    let values = TAPS.iter().flat_map(|a| TAPS.iter().map(move |b| a * b * gain / 64.0)).collect();
    tensor(values, [1, 1, 4, 4], device)
}

/// Low-pass filter after a stride-2 transposed convolution: pad 1, correlate with [1,3,3,1] x [1,3,3,1] of sum 4.
pub(super) struct BlurAfterUp {
    kernel: Tensor<4>,
}

impl BlurAfterUp {
    pub(super) fn new(channels: usize, device: &Device) -> Self {
        // A repeated kernel, not an expanded view: convolutions want it laid out.
        BlurAfterUp { kernel: fir_kernel(4.0, device).repeat(&[channels, 1, 1, 1]) }
    }

    /// `[N, C, 2H+1, 2W+1]` -> `[N, C, 2H, 2W]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let channels = self.kernel.dims()[0];
        conv2d(x, self.kernel.clone(), None, ConvOptions::new([1, 1], [1, 1], [1, 1], channels))
    }
}

/// Up-sampling of pictures by two with the same filter; zeros outside the picture (StyleGAN2, `upsample_2d`).
pub(super) struct UpsamplePicture {
    kernel: Tensor<4>,
}

impl UpsamplePicture {
    pub(super) fn new(device: &Device) -> Self {
        UpsamplePicture { kernel: fir_kernel(4.0, device) }
    }

    /// `[N, C, H, W]` -> `[N, C, 2H, 2W]`
    pub(super) fn forward(&self, picture: Tensor<4>) -> Tensor<4> {
        let [n, channels, height, width] = picture.dims();
        // Channels go through as pictures of their own, so that the convolution needs no groups.
        let planes = picture.reshape([n * channels, 1, height, width]);
        let options = ConvTransposeOptions::new([2, 2], [1, 1], [0, 0], [1, 1], 1);
        let planes = conv_transpose2d(planes, self.kernel.clone(), None, options);
        planes.reshape([n, channels, 2 * height, 2 * width])
    }
}
