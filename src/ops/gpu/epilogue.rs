//! What follows the sums of a convolution, and the pass that adds sums whose input channels were shared out.

use burn::tensor::{DType, Tensor};
use burn_wgpu::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::{THREADS, elem_type, fresh, lanes, linear_count, primitive, stored};
use crate::ops::After;

/// `clamp(lrelu(sum * scale + bias + noise))`, each part optional.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Epilogue {
    /// `[samples, outputs]`
    scale: ComptimeOption<Box<[f32]>>,
    /// `[outputs]`
    bias: ComptimeOption<Box<[f32]>>,
    /// `[height, width]` of the output, one for all samples or one each
    noise: ComptimeOption<Box<[f32]>>,
    /// From the noise of a sample to that of the next: 0 where they share it.
    noise_step: usize,
    outputs: usize,
    /// 1 for none.
    slope: f32,
    /// Infinity for none.
    clamp: f32,
}

impl Epilogue {
    /// Kernels read without asking how much there is.
    pub(super) fn check(after: &After, [samples, outputs, height, width]: [usize; 4]) {
        assert!(after.scale.as_ref().is_none_or(|scale| scale.dims() == [samples, outputs]), "scales");
        assert!(after.bias.as_ref().is_none_or(|bias| bias.dims() == [outputs]), "biases");
        let fits =
            |noise: &Tensor<4>| noise.dims()[1..] == [1, height, width] && [1, samples].contains(&noise.dims()[0]);
        assert!(after.noise.as_ref().is_none_or(fits), "noise");
    }

    /// Whether each sample has noise of its own.
    pub(super) fn has_own_noise(after: &After) -> bool {
        after.noise.as_ref().is_some_and(|noise| noise.dims()[0] > 1)
    }

    /// For a result `[samples, outputs, height, width]`.
    pub(super) fn of(after: &After, shape: [usize; 4]) -> EpilogueLaunch {
        Self::check(after, shape);
        EpilogueLaunch::new(
            after.scale.clone().map(|scale| primitive(scale).into_buffer_arg()).into(),
            after.bias.clone().map(|bias| primitive(bias).into_buffer_arg()).into(),
            after.noise.clone().map(|noise| primitive(noise).into_buffer_arg()).into(),
            if Self::has_own_noise(after) { shape[2] * shape[3] } else { 0 },
            shape[1],
            after.slope.unwrap_or(1.0),
            after.clamp.unwrap_or(f32::INFINITY),
        )
    }
}

/// The sums of one channel at `N` pixels from `pixel` on, finished. `sample_channel` counts the channels of all samples.
#[cube]
pub(super) fn finish<N: Size>(
    after: &Epilogue,
    sums: Vector<f32, N>,
    sample_channel: usize,
    channel: usize,
    pixel: usize,
    #[comptime] lanes: usize,
) -> Vector<f32, N> {
    let mut x = sums;
    if comptime!(after.scale.is_some()) {
        x *= Vector::new(after.scale.as_ref().unwrap()[sample_channel]);
    }
    if comptime!(after.bias.is_some()) {
        x += Vector::new(after.bias.as_ref().unwrap()[channel]);
    }
    if comptime!(after.noise.is_some()) {
        let noise = after.noise.as_ref().unwrap();
        let first = sample_channel / after.outputs * after.noise_step + pixel;
        let mut values = Vector::<f32, N>::new(0.0);
        #[unroll]
        for lane in 0..lanes {
            values.insert(lane, noise[first + lane]);
        }
        x += values;
    }
    // For slopes of at most 1. What is no number stays none: plain `max` and `clamp` may give one of their other operands.
    x = max_nan(x, x * Vector::new(after.slope));
    clamp_nan(x, Vector::new(-after.clamp), Vector::new(after.clamp))
}

/// Adds `shares` sums and finishes them. `parts` is `[shares, samples, outputs, pixels]`, `out` one of these.
#[cube(launch)]
fn add_kernel<T: Float, N: Size>(
    parts: &[Vector<f32, N>],
    after: &Epilogue,
    out: &mut [Vector<T, N>],
    shares: usize,
    outputs: usize,
    pixels: usize,
    #[comptime] lanes: usize,
    #[define(T)] _type: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < out.len() {
        let mut sums = parts[at];
        for share in 1..shares {
            sums += parts[share * out.len() + at];
        }
        let first = at * lanes;
        let sample_channel = first / pixels;
        let channel = sample_channel % outputs;
        let found = finish::<N>(after, sums, sample_channel, channel, first % pixels, lanes);
        out[at] = stored::<T, N>(found);
    }
}

/// `parts` is `[shares * samples, outputs, height, width]`, in f32; returns `[samples, outputs, height, width]` in `dtype`.
pub(super) fn add_shares(parts: CubeTensor, dtype: DType, shares: usize, after: &After) -> CubeTensor {
    let [all, outputs, height, width] = parts.meta.shape().dims();
    let shape = [all / shares, outputs, height, width];
    let out = fresh(&parts, shape, dtype);
    let lanes = lanes(width);
    add_kernel::launch(
        &parts.client.clone(),
        linear_count((out.meta.shape().num_elements() / lanes).div_ceil(THREADS), 1),
        CubeDim::new_1d(THREADS as u32),
        lanes,
        parts.into_buffer_arg(),
        Epilogue::of(after, shape),
        out.clone().into_buffer_arg(),
        shares,
        outputs,
        height * width,
        lanes,
        elem_type(dtype),
    );
    out
}
