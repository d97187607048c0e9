//! The sum of a residual block's two branches.

use burn::tensor::Tensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::{THREADS, elem_type, fresh, into_tensor, lanes, linear_count, primitive, stored};

/// x and `out` are `[samples, channels, height, width]`, the shortcut `[samples, shortcut_channels, height, width]` or half
/// as high and wide.
#[cube(launch)]
#[expect(clippy::too_many_arguments, reason = "sizes of two maps")]
fn sum_kernel<T: Float, S: Float, N: Size>(
    x: &[Vector<T, N>],
    shortcut: &[S],
    out: &mut [Vector<T, N>],
    channels: usize,
    shortcut_channels: usize,
    height: usize,
    width: usize,
    #[comptime] factor: usize,
    #[comptime] lanes: usize,
    #[define(T, S)] _types: [ElemType; 2],
) {
    if ABSOLUTE_POS < out.len() {
        let first = ABSOLUTE_POS * lanes;
        let (row, px) = (first / width, first % width);
        let (map, y) = (row / height, row % height);
        let map = map / channels * shortcut_channels + map % channels;
        let from = (map * (height / factor) + y / factor) * (width / factor);
        let mut sums = Vector::<f32, N>::cast_from(x[ABSOLUTE_POS]);
        let mut others = Vector::<f32, N>::new(0.0);
        #[unroll]
        for lane in 0..lanes {
            others.insert(lane, f32::cast_from(shortcut[from + (px + lane) / factor]));
        }
        sums += others;
        out[ABSOLUTE_POS] = stored::<T, N>(sums);
    }
}

/// x `[N, C, h, w]` and the first channels of `shortcut`, which is of the same size, or of half of it and up-sampled by two.
pub(crate) fn sum(x: Tensor<4>, shortcut: Tensor<4>) -> Tensor<4> {
    let shape = x.dims();
    let [n, channels, height, width] = shape;
    let [samples, shortcut_channels, shortcut_height, shortcut_width] = shortcut.dims();
    let factor = if shortcut_height < height { 2 } else { 1 };
    assert!(samples == n && shortcut_channels >= channels, "samples and channels of the shortcut");
    assert_eq!([height, width], [factor * shortcut_height, factor * shortcut_width], "size of the shortcut");
    let (x, shortcut) = (primitive(x), primitive(shortcut));
    let types = [x.dtype, shortcut.dtype].map(elem_type);
    let out = fresh(&x, shape, x.dtype);
    let lanes = lanes(width);
    sum_kernel::launch(
        &x.client.clone(),
        linear_count((n * channels * height * width / lanes).div_ceil(THREADS), 1),
        CubeDim::new_1d(THREADS as u32),
        lanes,
        x.into_buffer_arg(),
        shortcut.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        channels,
        shortcut_channels,
        height,
        width,
        factor,
        lanes,
        types,
    );
    into_tensor(out)
}
