//! Kernels for every device that wgpu opens: tiles of the input and the weights in a workgroup's shared memory, sums in
//! registers, and everything that precedes or follows a convolution in the same pass.
//!
//! Weights and maps are stored in f32 or f16 ([`Precision`](super::Precision)); whatever is computed, summed or shared is f32,
//! and so are styles, statistics, partial sums and pictures. In kernels `S` is the type that is read, `T` the one written.
//! The exception is [`matrix`]: matrix units multiply f16, and sum in f32.
//!
//! The others stay within what every WebGPU device has: 256 threads and 16 KiB of shared memory per workgroup, 8 buffers per
//! kernel (one of them is cubecl's own). cubecl checks no index into a slice, so launchers assert the shapes that kernels
//! rely on, and kernels compare each index with them.

mod area;
mod ceiling;
mod conv;
mod double;
mod epilogue;
#[cfg(test)]
mod half_tests;
mod linear;
mod matrix;
mod norm;
mod residual;
mod rgb;
#[cfg(test)]
mod tests;
mod tile;

use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_wgpu::{CubeBackend, CubeTensor};
use cubecl::ir::ElemType;
use cubecl::prelude::*;
use half::f16;

use super::{After, Place, is_cpu, stored_as};

pub(crate) use area::area_mean;
pub(crate) use ceiling::multiply_add;
pub(crate) use conv::{TILES as CONV_TILES, TiledConv};
pub(crate) use double::{Double, TILES as DOUBLE_TILES};
pub(crate) use linear::{demodulation, is_for as is_for_linear, linear};
pub use matrix::MatrixUnits;
pub(crate) use matrix::{
    By, DOUBLING as MATRIX_DOUBLING, MatrixConv, SAME as MATRIX_SAME, are_right as matrix_units_are_right,
};
pub(crate) use norm::{affine_relu, pixel_norm, style_layer};
pub(crate) use residual::sum;
pub(crate) use rgb::upsample;

/// Output channels are handled four at a time.
const LANES: usize = 4;
/// Buffers of a kernel, cubecl's own among them.
const BUFFERS: u32 = 8;
/// Shared memory of a workgroup, in bytes: what every device has.
const SHARED_BYTES: usize = 16 << 10;
/// Threads of a workgroup: likewise.
const THREADS: usize = 256;

/// True if the kernels run on `device`.
pub(crate) fn is_able(device: &Device) -> bool {
    if is_cpu(device) {
        return false;
    }
    let client = primitive(Tensor::<1>::empty([1], device)).client;
    let hardware = &client.properties().hardware;
    // cubecl holds one back from what the device allows.
    hardware.max_bindings + 1 >= BUFFERS
        && hardware.max_shared_memory_size >= SHARED_BYTES
        && hardware.max_units_per_cube >= THREADS as u32
}

/// What a kernel has to know of its tensors.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub(crate) struct Sizes {
    samples: usize,
    inputs: usize,
    outputs: usize,
    /// Of the input.
    height: usize,
    width: usize,
    /// Input channels that one workgroup sums; others sum the rest.
    share: usize,
}

/// Weights as a kernel reads them.
struct DeviceWeights {
    values: Tensor<3>,
    inputs: usize,
    outputs: usize,
}

impl DeviceWeights {
    /// For the tiled kernels: `[inputs, taps, outputs]`, the outputs filled up with zeros to a multiple of four.
    /// `weight(o, i, tap)` is the factor of input `i` at `tap` for output `o`.
    fn new([outputs, inputs, taps]: [usize; 3], place: &Place, weight: impl Fn(usize, usize, usize) -> f32) -> Self {
        let padded = outputs.next_multiple_of(LANES);
        let mut values = vec![0.0; inputs * taps * padded];
        for (index, to) in values.chunks_exact_mut(padded).enumerate() {
            for (o, to) in to[..outputs].iter_mut().enumerate() {
                *to = weight(o, index / taps, index % taps);
            }
        }
        DeviceWeights::of(values, [inputs, taps, padded], [inputs, outputs], place)
    }

    /// `values` are `shape`, row-major; those that the place's precision does not hold become its largest.
    fn of(mut values: Vec<f32>, shape: [usize; 3], [inputs, outputs]: [usize; 2], place: &Place) -> Self {
        let dtype = place.precision().dtype();
        if dtype == DType::F16 {
            let largest = f16::MAX.to_f32();
            values.iter_mut().for_each(|x| *x = x.clamp(-largest, largest));
        }
        DeviceWeights { values: Tensor::from_data(TensorData::new(values, shape), (&**place, dtype)), inputs, outputs }
    }
}

/// What a convolution kernel is launched with.
struct Operands {
    x: CubeTensor,
    style: Option<CubeTensor>,
    weight: CubeTensor,
    /// Of [`Self::parts`]: `[shares * N, outputs, h, w]`
    shape: [usize; 4],
    /// Room for the sums over each share of the input channels, or for the result if there is one share.
    parts: CubeTensor,
    /// Type of the result.
    result: DType,
    /// Into how many shares the input channels are cut, and how many each has.
    shares: usize,
    share: usize,
}

impl DeviceWeights {
    /// Checks x `[N, inputs, h, w]` and style `[N, inputs]`. `step` input channels are summed at a time; the result is `scale`
    /// times as high and wide as x.
    fn operands(
        &self,
        x: Tensor<4>,
        style: Option<Tensor<2>>,
        after: &After,
        shares: usize,
        step: usize,
        scale: usize,
    ) -> Operands {
        let [n, channels, height, width] = x.dims();
        assert_eq!(channels, self.inputs, "channels of the input");
        assert!(style.as_ref().is_none_or(|style| style.dims() == [n, self.inputs]), "styles");
        let share = self.inputs.div_ceil(shares).next_multiple_of(step);
        let shares = self.inputs.div_ceil(share);
        let shape = [shares * n, self.outputs, scale * height, scale * width];
        let stored = self.values.dtype();
        let x = primitive(stored_as(x, stored));
        let result = if after.is_picture { DType::F32 } else { stored };
        let parts = fresh(&x, shape, if shares == 1 { result } else { DType::F32 });
        let weight = primitive(self.values.clone());
        Operands { x, style: style.map(primitive), weight, shape, parts, result, shares, share }
    }
}

/// A tensor as kernels take it: laid out row by row.
fn primitive<const D: usize>(tensor: Tensor<D>) -> CubeTensor {
    let tensor = tensor.try_into_primitive::<CubeBackend>();
    let tensor = tensor.expect("the operator was made for this device's tensors");
    if tensor.is_contiguous() {
        return tensor;
    }
    let CubeTensor { client, device, dtype, .. } = tensor.clone();
    let copy = cubecl::std::tensor::into_contiguous(&client, tensor.binding(), elem_type(dtype));
    CubeTensor::new(client, copy.handle, *copy.metadata, device, dtype)
}

/// Room for a result beside `like`.
fn fresh<const D: usize>(like: &CubeTensor, shape: [usize; D], dtype: DType) -> CubeTensor {
    // Bindings end at a multiple of four bytes.
    let bytes = (shape.iter().product::<usize>() * dtype.size()).next_multiple_of(4);
    let handle = like.client.empty(bytes);
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape.into(), handle, dtype)
}

/// What a kernel calls the type of a tensor.
fn elem_type(dtype: DType) -> ElemType {
    match dtype {
        DType::F32 => f32::elem_type_native(),
        DType::F16 => f16::elem_type_native(),
        other => unreachable!("weights and maps are f32 or f16, not {other:?}"),
    }
}

/// Values on their way to memory. Finite ones that f16 does not hold become its largest: an infinity would spread over the
/// picture, as one that is there already has to.
#[cube]
fn stored<T: Float, N: Size>(x: Vector<f32, N>) -> Vector<T, N> {
    let dtype = elem_type_of::<T>();
    if comptime!(dtype == f16::elem_type_native()) {
        let largest = comptime!(f16::MAX.to_f32());
        let held = clamp_nan(x, Vector::new(-largest), Vector::new(largest));
        Vector::cast_from(select_many(x.is_inf(), x, held))
    } else {
        Vector::cast_from(x)
    }
}

/// The same for one value.
#[cube]
fn stored_one<T: Float>(x: f32) -> T {
    stored::<T, Const<1>>(Vector::new(x)).extract(0usize)
}

fn into_tensor(result: CubeTensor) -> Tensor<4> {
    Tensor::from_primitive::<CubeBackend>(result)
}

/// How many pixels of a row are read and written at once.
fn lanes(width: usize) -> usize {
    if width.is_multiple_of(LANES) { LANES } else { 1 }
}

/// At least as many workgroups for each sample; no dimension may have more than 65535.
fn linear_count(workgroups: usize, samples: usize) -> CubeCount {
    let columns = workgroups.clamp(1, 1 << 15);
    CubeCount::Static(columns as u32, workgroups.div_ceil(columns) as u32, samples as u32)
}

/// Into how many shares the sum over input channels is cut, so that a small picture keeps a large device busy: a second
/// pass adds them. `workgroups` is the number without cutting, `chunks` how often the kernel's loop over channels turns.
fn shares(workgroups: usize, chunks: usize) -> usize {
    // On an H200, 128 to 512 workgroups did best at 8 to 32 pixels, and loops of four turns were still worth while.
    const WANTED: usize = 256;
    (WANTED / workgroups).min(chunks / 4).max(1)
}
