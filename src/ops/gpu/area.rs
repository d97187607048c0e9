//! Means over areas: each thread makes a pixel of the result.

use burn::tensor::{DType, Tensor};
use cubecl::prelude::*;

use super::{THREADS, fresh, into_tensor, linear_count, primitive};

/// `out` is `[maps, to_height, to_width]`. Lengths are in parts of a pixel of x, as many as the result's axis is long.
#[cube(launch)]
fn area_kernel(x: &[f32], out: &mut [f32], height: usize, width: usize, to_height: usize, to_width: usize) {
    if ABSOLUTE_POS < out.len() {
        let to_x = ABSOLUTE_POS % to_width;
        let row = ABSOLUTE_POS / to_width;
        let (map, to_y) = (row / to_height, row % to_height);
        let (top, bottom) = (to_y * height, (to_y + 1) * height);
        let (left, right) = (to_x * width, (to_x + 1) * width);
        let mut sum = 0f32;
        for y in top / to_height..(bottom - 1) / to_height + 1 {
            let tall = min(bottom, (y + 1) * to_height) - max(top, y * to_height);
            for px in left / to_width..(right - 1) / to_width + 1 {
                let wide = min(right, (px + 1) * to_width) - max(left, px * to_width);
                let value = x[(map * height + y) * width + px];
                // An infinity and a NaN have to show.
                let limited = select(value.is_inf(), value, clamp_nan(value, -1.0, 1.0));
                sum += f32::cast_from(tall * wide) * limited;
            }
        }
        out[ABSOLUTE_POS] = sum / f32::cast_from(height * width);
    }
}

/// x `[N, C, h, w]`, f32 -> `[N, C, height, width]`, no side larger than before.
pub(crate) fn area_mean(x: Tensor<4>, [height, width]: [usize; 2]) -> Tensor<4> {
    let [n, channels, from_height, from_width] = x.dims();
    assert_eq!(x.dtype(), DType::F32, "pictures are f32");
    let x = primitive(x);
    let out = fresh(&x, [n, channels, height, width], DType::F32);
    area_kernel::launch(
        &x.client.clone(),
        linear_count((n * channels * height * width).div_ceil(THREADS), 1),
        CubeDim::new_1d(THREADS as u32),
        x.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        from_height,
        from_width,
        height,
        width,
    );
    into_tensor(out)
}
