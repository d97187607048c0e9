//! Convolutions on a GPU's matrix units ("cooperative matrices"), for maps and weights in f16.
//!
//! A plane of threads (subgroup) multiplies matrices of 16x16 or 8x8 at once: weights `[outputs, inputs]` of one tap with
//! pixels `[inputs, positions]`. Pixels lie in shared memory with their channels side by side, so the pixels of another tap
//! are the same matrix from another start; where a row of the tile is no multiple of the matrix, positions are counted on
//! over its end, and what the matrices find there becomes sums that nobody reads. Sums are f32; in shared memory the threads
//! take them over, filter where the convolution ends in a filter, finish and write them.
//!
//! cubecl writes no such matrices for wgpu's own compiler, so the kernel is WGSL text, filled in for each shape. It does write
//! them in SPIR-V, but then all kernels are SPIR-V, past wgpu's validation, and Mesa 22.3 crashes on the first.

mod kernel;
#[cfg(test)]
mod tests;
mod tile;

use burn::tensor::{DType, Tensor, TensorData};
use burn_wgpu::CubeTensor;
use cubecl::prelude::*;
use cubecl::server::KernelArguments;
use half::f16;

use super::epilogue::{Epilogue, add_shares};
use super::{DeviceWeights, Double, LANES, Operands, TiledConv, into_tensor, primitive, shares};
use crate::ops::{After, Place};
use kernel::{Kernel, wgsl};
pub use tile::MatrixUnits;
pub(crate) use tile::{DOUBLING, MatrixPlan, SAME};
use tile::{Form, MatrixTile};

/// A convolution's weights on a device with matrix units.
pub(crate) struct MatrixConv {
    /// Matrices `[outputs, inputs]`, column by column: `[taps, inputs / side, outputs / side]` of them, filled up with zeros to
    /// multiples of the plan's channels.
    packed: DeviceWeights,
    tile: MatrixTile,
}

/// How its plan is found.
#[derive(Clone, Copy)]
pub(crate) enum By {
    /// The best for maps of this width and height, if matrix units are worth while there; right for all.
    Side(usize),
    Plan(MatrixPlan),
}

/// All constructors return `None` where the kernels without matrix units do better or are needed.
impl MatrixConv {
    /// `weight` is `[outputs, inputs, k, k]`, row-major, with k 1 or 3.
    pub(crate) fn same(weight: &[f32], shape: [usize; 3], by: By, place: &Place) -> Option<Self> {
        let [_, inputs, k] = shape;
        Self::new(Form::Same, shape, by, place, |o, i, tap| weight[(o * inputs + i) * k * k + tap])
    }

    /// 3x3 and the filter; `weight` is `[outputs, inputs, 3, 3]`, row-major, not flipped.
    pub(crate) fn filtered(weight: &[f32], [outputs, inputs]: [usize; 2], by: By, place: &Place) -> Option<Self> {
        let at = |o, i, tap| weight[(o * inputs + i) * 9 + tap] / 16.0;
        Self::new(Form::Filtered, [outputs, inputs, 3], by, place, at)
    }

    /// 4x4; `weight` is `[inputs, outputs, 4, 4]`, row-major.
    pub(crate) fn transposed(weight: &[f32], [inputs, outputs]: [usize; 2], by: By, place: &Place) -> Option<Self> {
        let at = |o, i, tap| weight[(i * outputs + o) * 16 + tap];
        Self::new(Form::Transposed, [outputs, inputs, 4], by, place, at)
    }

    /// `weight(o, i, tap)` is the factor of input `i` at `tap` for output `o`.
    fn new(
        form: Form,
        [outputs, inputs, kernel]: [usize; 3],
        by: By,
        place: &Place,
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Option<Self> {
        let units = place.matrix_units()?;
        let tile = match by {
            // Tiny maps and few channels fill no matrices.
            By::Side(side) if side < 8 || inputs.min(outputs) < units.side => None,
            By::Side(side) => MatrixTile::choose(form, kernel, outputs, side, units),
            By::Plan(plan) => MatrixTile::new(form, kernel, plan, units),
        }?;
        let plan = tile.plan;
        // The kernel reads four channels at a time.
        if !inputs.is_multiple_of(LANES) {
            return None;
        }
        let side = units.side;
        let (blocks, output_blocks) =
            (inputs.next_multiple_of(plan.inputs) / side, outputs.next_multiple_of(plan.outputs) / side);
        let matrices = tile.taps() * blocks * output_blocks;
        let mut values = vec![0.0; matrices * side * side];
        for (index, column) in values.chunks_exact_mut(side).enumerate() {
            let (matrix, i) = (index / side, index % side);
            let (tap, block, output_block) =
                (matrix / (blocks * output_blocks), matrix / output_blocks % blocks, matrix % output_blocks);
            let (first_output, input) = (output_block * side, block * side + i);
            for (o, to) in column.iter_mut().enumerate() {
                if first_output + o < outputs && input < inputs {
                    *to = weight(first_output + o, input, tap);
                }
            }
        }
        Some(MatrixConv { packed: DeviceWeights::of(values, [matrices, side, side], [inputs, outputs], place), tile })
    }

    /// x `[N, inputs, h, w]`, style `[N, inputs]` -> `[N, outputs, h, w]` or `[N, outputs, 2h, 2w]`
    pub(crate) fn forward(&self, x: Tensor<4>, style: Option<Tensor<2>>, after: &After) -> Tensor<4> {
        let [n, _, height, width] = x.dims();
        let workgroups = self.tile.grid([n, self.packed.outputs, height, width]).iter().product();
        self.forward_by(shares(workgroups, self.packed.inputs / self.tile.plan.inputs), x, style, after)
    }

    /// The same with the input channels cut into `shares`.
    pub(crate) fn forward_by(&self, shares: usize, x: Tensor<4>, style: Option<Tensor<2>>, after: &After) -> Tensor<4> {
        let MatrixConv { tile, packed: DeviceWeights { inputs, outputs, .. } } = *self;
        let [n, _, height, width] = x.dims();
        let Operands { x, style, weight, shape, parts, result, shares, share } =
            self.packed.operands(x, style, after, shares, tile.plan.inputs, tile.scale());
        let now = if shares == 1 { after } else { &After::default() };
        Epilogue::check(now, shape);
        let optional: [(&str, Option<CubeTensor>); 4] = [
            ("style", style),
            ("scale", now.scale.clone().map(primitive)),
            ("bias", now.bias.clone().map(primitive)),
            ("noise", now.noise.clone().map(primitive)),
        ];
        let (operands, optional): (Vec<_>, Vec<_>) =
            optional.into_iter().filter_map(|(name, tensor)| Some((name, tensor?))).unzip();
        let limit = match parts.dtype {
            DType::F16 => Some(now.clamp.unwrap_or(f32::MAX).min(f16::MAX.to_f32())),
            _ => now.clamp,
        };
        let kernel = Kernel {
            tile,
            samples: n,
            inputs,
            outputs,
            height,
            width,
            share,
            is_half: parts.dtype == DType::F16,
            operands,
            has_own_noise: Epilogue::has_own_noise(now),
            slope: now.slope.map(wgsl),
            clamp: limit.map(wgsl),
            kept: if now.clamp.is_some() { "0x7f800001u" } else { "0x7f800000u" },
        };
        let [columns, rows, parts_of_outputs] =
            tile.grid([shares * n, outputs, height, width]).map(|count| count as u32);
        let client = x.client.clone();
        let buffers = [x, weight, parts.clone()].into_iter().chain(optional);
        let buffers = buffers.map(|tensor| tensor.handle.binding()).collect();
        let count = CubeCount::Static(columns, rows, parts_of_outputs);
        client.launch(Box::new(kernel), count, KernelArguments::new().with_buffers(buffers));
        into_tensor(if shares == 1 { parts } else { add_shares(parts, result, shares, after) })
    }
}

/// Whether convolutions on the matrix units of `place` are what they are without them.
pub(crate) fn are_right(place: &Place) -> bool {
    const CHANNELS: usize = 64;
    const SIDE: usize = 16;
    let numbers = |count| (0..count).map(|i: usize| ((i * 6007) % 997) as f32 / 498.5 - 1.0).collect::<Vec<_>>();
    let values = |x: Tensor<4>| x.cast(DType::F32).into_data().try_into_vec::<f32>().ok();
    let check = || {
        let weight = numbers(9 * CHANNELS * CHANNELS);
        let (same, filtered) = ([CHANNELS, CHANNELS, 3], [CHANNELS, CHANNELS]);
        let x = TensorData::new(numbers(CHANNELS * SIDE * SIDE), [1, CHANNELS, SIDE, SIDE]);
        let x = Tensor::from_data(x, (&**place, DType::F16));
        let (by, after) = (By::Side(SIDE), &After::default());
        let pairs = [
            (
                MatrixConv::same(&weight, same, by, place),
                TiledConv::new(&weight, same, place).forward(x.clone(), None, after),
            ),
            (
                MatrixConv::filtered(&weight, filtered, by, place),
                Double::filtered(&weight, filtered, place).forward(x.clone(), None, after),
            ),
        ];
        for (conv, expected) in pairs {
            // What the device is too small for is not used.
            let Some(conv) = conv else { continue };
            let (found, expected) = (values(conv.forward(x.clone(), None, after))?, values(expected)?);
            let largest = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
            let is_close = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 2e-3 * largest);
            if !is_close {
                return None;
            }
        }
        Some(())
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).ok().flatten().is_some()
}
