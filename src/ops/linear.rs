//! Fully connected layers and demodulation: one pass each on the CPU, and for a few rows on GPUs, where starting a kernel costs
//! more than such a product.

use burn::tensor::activation::leaky_relu;
use burn::tensor::{Device, Tensor, TensorData};

use super::{Host, cpu, gpu, is_cpu};

/// Rows that a GPU's operator of our own is for, for more of them general ones do as well; and the CPU's that makes few at a time.
const FEW: usize = 16;

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

/// `[inputs, outputs]`.
#[expect(clippy::large_enum_variant, reason = "one per layer for the life of a model, never moved about")]
enum Matrix {
    /// Laid out so.
    Tensor(Tensor<2>),
    Cpu(cpu::PackedLinear),
}

/// Who makes a product.
enum By<'a> {
    Kernel(&'a Tensor<2>),
    Cpu(&'a cpu::PackedLinear),
    Tensors(&'a Tensor<2>),
}

impl Matrix {
    /// From `[outputs, inputs]`, row-major.
    fn new(values: Vec<f32>, [outputs, inputs]: [usize; 2], device: &Device) -> Self {
        if is_cpu(device) {
            return Matrix::Cpu(cpu::PackedLinear::new(&values, [outputs, inputs]));
        }
        let columns = (0..inputs).flat_map(|input| (0..outputs).map(move |output| output * inputs + input));
        let values = columns.map(|at| values[at]).collect::<Vec<_>>();
        Matrix::Tensor(Tensor::from_data(TensorData::new(values, [inputs, outputs]), device))
    }

    /// Who makes the product with so many rows.
    fn by(&self, rows: usize) -> By<'_> {
        match self {
            Matrix::Cpu(packed) => By::Cpu(packed),
            Matrix::Tensor(matrix)
                if rows <= FEW && gpu::is_for_linear(matrix.dims()[1]) && gpu::is_able(&matrix.device()) =>
            {
                By::Kernel(matrix)
            }
            Matrix::Tensor(matrix) => By::Tensors(matrix),
        }
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
        self.forward_lrelu(x, 1.0)
    }

    /// The same with `max(y, slope y)` after it; slope at most 1.
    pub fn forward_lrelu(&self, x: Tensor<2>, slope: f32) -> Tensor<2> {
        match self.weight.by(x.dims()[0]) {
            By::Kernel(weight) => gpu::linear(x, weight.clone(), self.bias.clone(), slope),
            By::Cpu(weight) => {
                let bias = Host::of(self.bias.clone());
                let bias = bias.values();
                on_cpu(x, weight, |row| {
                    for (y, bias) in row.iter_mut().zip(bias) {
                        *y += bias;
                        // What is no number stays none.
                        *y = if *y > 0.0 { *y } else { slope * *y };
                    }
                })
            }
            By::Tensors(weight) => {
                let y = x.matmul(weight.clone()) + self.bias.clone();
                if slope == 1.0 { y } else { leaky_relu(y, slope.into()) }
            }
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
        match self.squares.by(style.dims()[0]) {
            By::Kernel(squares) => gpu::demodulation(style, squares.clone(), self.gain as f32),
            By::Cpu(squares) => {
                let gain = self.gain as f32;
                on_cpu(style.square(), squares, |row| row.iter_mut().for_each(|x| *x = gain / (*x + 1e-8).sqrt()))
            }
            By::Tensors(squares) => {
                style.square().matmul(squares.clone()).add_scalar(1e-8).sqrt().recip().mul_scalar(self.gain)
            }
        }
    }
}

/// x `[N, inputs]` -> `[N, outputs]`
fn on_cpu(x: Tensor<2>, packed: &cpu::PackedLinear, finish: impl Fn(&mut [f32]) + Sync) -> Tensor<2> {
    let ([rows, inputs], device) = (x.dims(), x.device());
    assert_eq!(inputs, packed.inputs, "inputs");
    let x = Host::of(x);
    let values = match rows {
        0..=FEW => packed.products(x.values(), finish),
        _ => packed.many_products(x.values(), finish),
    };
    Tensor::from_data(TensorData::new(values, [rows, packed.outputs]), &device)
}
