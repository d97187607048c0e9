//! Fully connected layers and demodulation: one pass each on GPUs, where starting a kernel costs more than such a product, and
//! for a few rows on the CPU.

use burn::tensor::activation::leaky_relu;
use burn::tensor::{Device, Tensor, TensorData};

use super::{Host, cpu, gpu, is_cpu};

/// Rows that operators of our own are for; for more of them general ones do as well.
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
enum Matrix {
    /// Laid out so, for kernels.
    Columns(Tensor<2>),
    /// As it is stored, `[outputs, inputs]`.
    Rows(Tensor<2>),
}

/// Who makes a product.
enum By<'a> {
    Kernel(&'a Tensor<2>),
    Cpu(&'a Tensor<2>),
    Tensors,
}

impl Matrix {
    /// From `[outputs, inputs]`, row-major.
    fn new(values: Vec<f32>, [outputs, inputs]: [usize; 2], device: &Device) -> Self {
        if !gpu::is_able(device) {
            return Matrix::Rows(Tensor::from_data(TensorData::new(values, [outputs, inputs]), device));
        }
        let columns = (0..inputs).flat_map(|input| (0..outputs).map(move |output| output * inputs + input));
        let values = columns.map(|at| values[at]).collect::<Vec<_>>();
        Matrix::Columns(Tensor::from_data(TensorData::new(values, [inputs, outputs]), device))
    }

    /// Who makes the product with so many rows.
    fn by(&self, rows: usize) -> By<'_> {
        match self {
            Matrix::Columns(columns) if rows <= FEW && gpu::is_for_linear(columns.dims()[1]) => By::Kernel(columns),
            Matrix::Rows(rows_of_inputs) if rows <= FEW && is_cpu(&rows_of_inputs.device()) => By::Cpu(rows_of_inputs),
            _ => By::Tensors,
        }
    }

    /// `[inputs, outputs]`
    fn columns(&self) -> Tensor<2> {
        match self {
            Matrix::Columns(columns) => columns.clone(),
            Matrix::Rows(rows) => rows.clone().transpose(),
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
                on_cpu(x, weight, |sum, output| {
                    let y = sum + bias[output];
                    // What is no number stays none.
                    if y > 0.0 { y } else { slope * y }
                })
            }
            By::Tensors => {
                let y = x.matmul(self.weight.columns()) + self.bias.clone();
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
                on_cpu(style.square(), squares, |sum, _| gain / (sum + 1e-8).sqrt())
            }
            By::Tensors => {
                style.square().matmul(self.squares.columns()).add_scalar(1e-8).sqrt().recip().mul_scalar(self.gain)
            }
        }
    }
}

/// x `[N, inputs]`, weight `[outputs, inputs]` -> `[N, outputs]`
fn on_cpu(x: Tensor<2>, weight: &Tensor<2>, finish: impl Fn(f32, usize) -> f32) -> Tensor<2> {
    let ([rows, inputs], [outputs, expected], device) = (x.dims(), weight.dims(), x.device());
    assert_eq!(inputs, expected, "inputs");
    let (x, weight) = (Host::of(x), Host::of(weight.clone()));
    let values = cpu::products(x.values(), rows, weight.values(), finish);
    Tensor::from_data(TensorData::new(values, [rows, outputs]), &device)
}
