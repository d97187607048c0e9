//! Products of a few rows with a matrix: styles, demodulation, mapping networks. Each frame has dozens of them, so every step that
//! follows is in the same pass.

use burn::tensor::{DType, Tensor};
use burn_wgpu::CubeBackend;
use cubecl::prelude::*;

use super::{LANES, THREADS, fresh, primitive};

/// Vectors of outputs of a workgroup; its threads share out the inputs of each.
const VECTORS: usize = 8;
const SLICES: usize = THREADS / VECTORS;

/// What follows the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Finish {
    /// `max(x, slope x)` after the bias.
    Bias,
    /// The sums are of squares: `gain / sqrt(x + 1e-8)`.
    Demodulation,
}

#[cube(launch)]
#[expect(clippy::too_many_arguments, reason = "buffers and sizes of a kernel")]
fn linear_kernel(
    x: &[f32],
    weight: &[Vector<f32, Const<4>>],
    bias: ComptimeOption<&[Vector<f32, Const<4>>]>,
    out: &mut [Vector<f32, Const<4>>],
    inputs: usize,
    outputs: usize,
    factor: f32,
    #[comptime] finish: Finish,
) {
    let vectors = outputs / LANES;
    let row = CUBE_POS_Z as usize;
    let unit = UNIT_POS as usize;
    let vector = CUBE_POS_X as usize * VECTORS + unit % VECTORS;
    let slice = unit / VECTORS;

    let mut sum = Vector::<f32, Const<4>>::new(0.0);
    if vector < vectors {
        for input in range_stepped(slice, inputs, SLICES) {
            let mut value = x[row * inputs + input];
            if comptime!(finish == Finish::Demodulation) {
                value *= value;
            }
            sum += Vector::new(value) * weight[input * vectors + vector];
        }
    }

    let mut sums = Shared::<[Vector<f32, Const<4>>]>::new_slice(THREADS);
    sums[unit] = sum;
    sync_cube();
    #[unroll]
    for halving in 0..comptime!(SLICES.ilog2() as usize) {
        let others = comptime!(SLICES >> (halving + 1));
        if slice < others {
            sum += sums[unit + others * VECTORS];
            sums[unit] = sum;
        }
        sync_cube();
    }

    if slice == 0 && vector < vectors {
        if comptime!(finish == Finish::Demodulation) {
            sum = Vector::new(factor) * (sum + Vector::new(1e-8)).inverse_sqrt();
        } else {
            sum += bias.as_ref().unwrap()[vector];
            sum = max_nan(sum, Vector::new(factor) * sum);
        }
        out[row * vectors + vector] = sum;
    }
}

/// True if the kernel is made for products of a few rows with a matrix of so many columns.
pub(crate) fn is_for(outputs: usize) -> bool {
    outputs.is_multiple_of(LANES)
}

/// `max(y, slope y)` with y = x W + b: x `[N, inputs]`, W `[inputs, outputs]`, b `[1, outputs]`, slope at most 1.
pub(crate) fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<2>, slope: f32) -> Tensor<2> {
    launch(x, weight, Some(bias), slope, Finish::Bias)
}

/// `gain / sqrt(x² S + 1e-8)`: x `[N, inputs]`, S `[inputs, outputs]`.
pub(crate) fn demodulation(x: Tensor<2>, squares: Tensor<2>, gain: f32) -> Tensor<2> {
    launch(x, squares, None, gain, Finish::Demodulation)
}

fn launch(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<2>>, factor: f32, finish: Finish) -> Tensor<2> {
    let ([rows, inputs], [weight_inputs, outputs]) = (x.dims(), weight.dims());
    assert_eq!(inputs, weight_inputs, "inputs");
    assert!(is_for(outputs) && bias.as_ref().is_none_or(|bias| bias.dims() == [1, outputs]), "outputs");
    let x = primitive(x);
    let out = fresh(&x, [rows, outputs], DType::F32);
    linear_kernel::launch(
        &x.client.clone(),
        CubeCount::Static((outputs / LANES).div_ceil(VECTORS) as u32, 1, rows as u32),
        CubeDim::new_1d(THREADS as u32),
        x.into_buffer_arg(),
        primitive(weight).into_buffer_arg(),
        bias.map(|bias| primitive(bias).into_buffer_arg()).into(),
        out.clone().into_buffer_arg(),
        inputs,
        outputs,
        factor,
        finish,
    );
    Tensor::from_primitive::<CubeBackend>(out)
}
