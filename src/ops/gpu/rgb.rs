//! 1x1 convolutions to a few channels, which memory bounds: each value of the input is read once, without shared memory. And
//! the up-sampled smaller picture of StyleGAN2's skip architecture, which is added in the same pass.

use burn::tensor::{DType, Tensor};
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::epilogue::{Epilogue, finish};
use super::{
    DeviceWeights, Operands, Sizes, SizesLaunch, THREADS, elem_type, fresh, into_tensor, lanes, linear_count,
    primitive, stored,
};
use crate::ops::{After, stored_as};

/// Threads that share the input channels of the same pixels.
const SLICES: usize = 8;
const PIXEL_THREADS: usize = THREADS / SLICES;

#[cube(launch)]
#[expect(clippy::too_many_arguments, reason = "buffers of a kernel")]
fn rgb_kernel<S: Float, T: Float, N: Size>(
    x: &[Vector<S, N>],
    style: ComptimeOption<&[f32]>,
    weight: &[Vector<S, Const<4>>],
    after: &Epilogue,
    smaller: ComptimeOption<&[f32]>,
    out: &mut [Vector<T, N>],
    sizes: &Sizes,
    #[comptime] outputs: usize,
    #[comptime] lanes: usize,
    #[define(S, T)] _types: [ElemType; 2],
) {
    // Vectors of one channel.
    let count = sizes.height * sizes.width / lanes;
    let workgroup = CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    let sample = CUBE_POS_Z as usize;
    let unit = UNIT_POS as usize;
    let at = workgroup * PIXEL_THREADS + unit % PIXEL_THREADS;
    let slice = unit / PIXEL_THREADS;

    let mut sums = Array::<Vector<f32, N>>::new(outputs);
    if at < count {
        for input in range_stepped(slice, sizes.inputs, SLICES) {
            let channel = sample * sizes.inputs + input;
            let mut factors = Vector::<f32, Const<4>>::cast_from(weight[input]);
            if comptime!(style.is_some()) {
                factors *= Vector::new(style.as_ref().unwrap()[channel]);
            }
            let value = Vector::<f32, N>::cast_from(x[channel * count + at]);
            #[unroll]
            for o in 0..outputs {
                sums[o] += value * Vector::new(factors.extract(o));
            }
        }
    }
    let mut shared = Shared::<[Vector<f32, N>]>::new_slice(THREADS);
    #[unroll]
    for o in 0..outputs {
        shared[unit] = sums[o];
        sync_cube();
        if slice == 0 && at < count {
            let mut total = shared[unit];
            #[unroll]
            for other in 1..SLICES {
                total += shared[unit + other * PIXEL_THREADS];
            }
            let channel = sample * outputs + o;
            let mut total = finish::<N>(after, total, channel, o, at * lanes, lanes);
            if comptime!(smaller.is_some()) {
                let smaller = smaller.unwrap();
                let (y, px) = (at * lanes / sizes.width, at * lanes % sizes.width);
                total += up_sampled::<f32, N>(smaller, channel, y, px, sizes.height, sizes.width, lanes);
            }
            out[channel * count + at] = stored::<T, N>(total);
        }
        sync_cube();
    }
}

#[cube(launch)]
fn upsample_kernel<S: Float, N: Size>(
    smaller: &[S],
    out: &mut [Vector<S, N>],
    height: usize,
    width: usize,
    #[comptime] lanes: usize,
    #[define(S)] _type: ElemType,
) {
    if ABSOLUTE_POS < out.len() {
        let first = ABSOLUTE_POS * lanes;
        let row = first / width;
        let (channel, y, px) = (row / height, row % height, first % width);
        let found = up_sampled::<S, N>(smaller, channel, y, px, height, width, lanes);
        out[ABSOLUTE_POS] = stored::<S, N>(found);
    }
}

/// Row `y` from `px` on of a channel of `smaller`, doubled to `height` times `width` by the filter [1,3,3,1] x [1,3,3,1] / 16:
/// a pixel is 3/4 of its source and 1/4 of the nearer neighbour, along both axes; zeros outside.
#[cube]
fn up_sampled<S: Float, N: Size>(
    smaller: &[S],
    channel: usize,
    y: usize,
    px: usize,
    height: usize,
    width: usize,
    #[comptime] lanes: usize,
) -> Vector<f32, N> {
    let (height, width) = (height / 2, width / 2);
    let mut values = Vector::<f32, N>::new(0.0);
    #[unroll]
    for lane in 0..lanes {
        let (own_y, own_x) = (y / 2, (px + lane) / 2);
        // Counted from -1.
        let (other_y, other_x) = (own_y + y % 2 * 2, own_x + (px + lane) % 2 * 2);
        let has_y = other_y >= 1 && other_y <= height;
        let has_x = other_x >= 1 && other_x <= width;
        let row = (channel * height + own_y) * width;
        let mut value = 9.0 * f32::cast_from(smaller[row + own_x]);
        if has_x {
            value += 3.0 * f32::cast_from(smaller[row + other_x - 1]);
        }
        if has_y {
            let row = (channel * height + other_y - 1) * width;
            value += 3.0 * f32::cast_from(smaller[row + own_x]);
            if has_x {
                value += f32::cast_from(smaller[row + other_x - 1]);
            }
        }
        values.insert(lane, value / 16.0);
    }
    values
}

impl super::TiledConv {
    /// True if [`TiledConv::to_rgb`](super::TiledConv::to_rgb) has a kernel for this convolution.
    pub(crate) fn is_to_rgb(&self) -> bool {
        self.kernel == 1 && self.packed.outputs <= super::LANES
    }

    /// As `forward` for a 1x1 kernel with at most four outputs; with `smaller` `[N, outputs, h/2, w/2]`, which is up-sampled
    /// and added in the end.
    pub(crate) fn to_rgb(
        &self,
        x: Tensor<4>,
        style: Option<Tensor<2>>,
        after: &After,
        smaller: Option<Tensor<4>>,
    ) -> Tensor<4> {
        let DeviceWeights { inputs, outputs, .. } = &self.packed;
        let [n, _, height, width] = x.dims();
        if let Some(smaller) = &smaller {
            let [_, _, half_height, half_width] = smaller.dims();
            assert_eq!([height, width], [2 * half_height, 2 * half_width], "size of the smaller picture");
            assert_eq!(smaller.dims()[..2], [n, *outputs], "channels of the smaller picture");
        }
        let Operands { x, style, weight, shape, parts: out, .. } = self.packed.operands(x, style, after, 1, 1, 1);
        let lanes = lanes(width);
        let workgroups = (height * width / lanes).div_ceil(PIXEL_THREADS);
        let types = [x.dtype, out.dtype].map(elem_type);
        rgb_kernel::launch(
            &x.client.clone(),
            linear_count(workgroups, n),
            CubeDim::new_1d(THREADS as u32),
            lanes,
            x.into_buffer_arg(),
            style.map(|style| style.into_buffer_arg()).into(),
            weight.into_buffer_arg(),
            Epilogue::of(after, shape),
            smaller.map(|smaller| primitive(stored_as(smaller, DType::F32)).into_buffer_arg()).into(),
            out.clone().into_buffer_arg(),
            SizesLaunch::new(n, *inputs, *outputs, height, width, *inputs),
            *outputs,
            lanes,
            types,
        );
        into_tensor(out)
    }
}

/// `[N, C, h, w]` -> `[N, C, 2h, 2w]` by the filter [1,3,3,1] x [1,3,3,1] / 16.
pub(crate) fn upsample(x: Tensor<4>) -> Tensor<4> {
    let [n, channels, height, width] = x.dims();
    let x = primitive(x);
    let (height, width) = (2 * height, 2 * width);
    let out = fresh(&x, [n, channels, height, width], x.dtype);
    let dtype = elem_type(x.dtype);
    let lanes = lanes(width);
    upsample_kernel::launch(
        &x.client.clone(),
        linear_count((n * channels * height * width / lanes).div_ceil(THREADS), 1),
        CubeDim::new_1d(THREADS as u32),
        lanes,
        x.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        height,
        width,
        lanes,
        dtype,
    );
    into_tensor(out)
}
