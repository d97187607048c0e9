//! Fully connected layers and demodulation: one pass each on GPUs, where starting a kernel costs more than such a product.

use burn::tensor::activation::leaky_relu;
use burn::tensor::{Device, Tensor, TensorData};

use super::gpu;

/// A fully connected layer, `x W + b`.
pub struct Linear {
    weight: Matrix,
    /// `[1, outputs]`
    bias: Tensor<2>,
}

/// The factors of StyleGAN2's outputs (Karras et al., CVPR 2020, section 2.2) for styles s: `gain / sqrt(s² S + 1e-8)`, where S holds the
/// sums of the squared kernels.
pub struct Demodulation {
    squares: Matrix,
    gain: f64,
}

/// `[inputs, outputs]`: on GPUs laid out so, elsewhere a view of what is stored, rows of inputs.
struct Matrix(Tensor<2>);

impl Matrix {
    /// From `[outputs, inputs]`, row-major.
    fn new(values: Vec<f32>, [outputs, inputs]: [usize; 2], device: &Device) -> Self {
        if !gpu::is_able(device) {
            return Matrix(Tensor::<2>::from_data(TensorData::new(values, [outputs, inputs]), device).transpose());
        }
        let columns = (0..inputs).flat_map(|input| (0..outputs).map(move |output| output * inputs + input));
        let values = columns.map(|at| values[at]).collect::<Vec<_>>();
        Matrix(Tensor::from_data(TensorData::new(values, [inputs, outputs]), device))
    }

    /// True if a kernel of ours makes the product with x.
    fn has_kernel(&self, x: &Tensor<2>) -> bool {
        gpu::is_able(&x.device()) && gpu::is_for_linear([x.dims()[0], self.0.dims()[1]])
    }
}

impl Linear {
    /// From a stored `[outputs, inputs]` weight and a `[outputs]` bias, scaled once by their gains.
    pub fn new(mut weight: Vec<f32>, mut bias: Vec<f32>, gains: (f64, f64), device: &Device) -> Self {
        let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
        weight.iter_mut().for_each(|x| *x *= gains.0 as f32);
        bias.iter_mut().for_each(|x| *x *= gains.1 as f32);
        let bias = Tensor::from_data(TensorData::new(bias, [1, outputs]), device);
        Linear { weight: Matrix::new(weight, [outputs, inputs], device), bias }
    }

    /// `[N, inputs]` -> `[N, outputs]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match self.weight.has_kernel(&x) {
            true => gpu::linear(x, self.weight.0.clone(), self.bias.clone(), 1.0),
            false => x.matmul(self.weight.0.clone()) + self.bias.clone(),
        }
    }

    /// The same with `max(y, slope y)` after it; slope at most 1.
    pub fn forward_lrelu(&self, x: Tensor<2>, slope: f32) -> Tensor<2> {
        match self.weight.has_kernel(&x) {
            true => gpu::linear(x, self.weight.0.clone(), self.bias.clone(), slope),
            false => leaky_relu(self.forward(x), slope.into()),
        }
    }
}

impl Demodulation {
    /// `squares` is `[outputs, inputs]`, row-major.
    pub fn new(squares: Vec<f32>, shape: [usize; 2], gain: f64, device: &Device) -> Self {
        Demodulation { squares: Matrix::new(squares, shape, device), gain }
    }

    /// Styles `[N, inputs]` -> factors `[N, outputs]`
    pub fn forward(&self, style: Tensor<2>) -> Tensor<2> {
        let squares = self.squares.0.clone();
        match self.squares.has_kernel(&style) {
            true => gpu::demodulation(style, squares, self.gain as f32),
            false => style.square().matmul(squares).add_scalar(1e-8).sqrt().recip().mul_scalar(self.gain),
        }
    }
}
