//! Normalisations: StyleGAN's layer after its convolution, PGGAN's pixel norm, BigGAN's conditional batch norm.

use burn::tensor::{DType, Tensor};
use burn_wgpu::CubeBackend;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::{THREADS, elem_type, fresh, into_tensor, lanes, linear_count, primitive, stored, stored_one};

/// Pixels that a workgroup takes the moments of.
const SEGMENT: usize = 16 * THREADS;

/// `noise_step` is from the noise of a sample to that of the next, 0 where they share it.
/// Writes `lrelu(blur(x) + noise * strength + bias)` and the moments of each segment: mean and sum of squared distances.
#[cube(launch)]
#[expect(clippy::too_many_arguments, reason = "buffers of a kernel")]
fn moments_kernel<S: Float>(
    x: &[S],
    noise: ComptimeOption<&[f32]>,
    noise_step: usize,
    strength: &[f32],
    bias: &[f32],
    out: &mut [S],
    moments: &mut [f32],
    channels: usize,
    height: usize,
    width: usize,
    #[comptime] blur: bool,
    #[define(S)] _type: ElemType,
) {
    let channel = CUBE_POS_Y as usize;
    let map = CUBE_POS_Z as usize * channels + channel;
    let segment = CUBE_POS_X as usize;
    let segments = CUBE_COUNT_X as usize;
    let end = min((segment + 1) * SEGMENT, height * width);
    let unit = UNIT_POS as usize;

    // Distances from the thread's first value: squares of large values would lose the digits that tell them apart.
    let mut first = 0f32;
    let mut count = 0f32;
    let mut sum = 0f32;
    let mut squares = 0f32;
    for pixel in range_stepped(segment * SEGMENT + unit, end, THREADS) {
        let at = map * height * width + pixel;
        let mut value = 0f32;
        if blur {
            // Rows and columns counted from -1.
            #[unroll]
            for dy in 0..3usize {
                let y = pixel / width + dy;
                #[unroll]
                for dx in 0..3usize {
                    let px = pixel % width + dx;
                    if y >= 1 && y <= height && px >= 1 && px <= width {
                        let factor = comptime!([1.0, 2.0, 1.0][dy] * [1.0, 2.0, 1.0][dx] / 16.0f32);
                        value += factor * f32::cast_from(x[(map * height + y - 1) * width + px - 1]);
                    }
                }
            }
        } else {
            value = f32::cast_from(x[at]);
        }
        if comptime!(noise.is_some()) {
            value += noise.as_ref().unwrap()[CUBE_POS_Z as usize * noise_step + pixel] * strength[channel];
        }
        value += bias[channel];
        value = max_nan(value, 0.2 * value);
        out[at] = stored_one::<S>(value);
        if count == 0.0 {
            first = value;
        }
        let distance = value - first;
        count += 1.0;
        sum += distance;
        squares += distance * distance;
    }
    let mut shared = Shared::<[f32]>::new_slice(comptime!(3 * THREADS));
    let own = max(count, 1.0);
    shared[3 * unit] = count;
    shared[3 * unit + 1] = first + sum / own;
    shared[3 * unit + 2] = squares - sum * sum / own;
    merge_all(&mut shared, unit);
    if unit == 0 {
        moments[(map * segments + segment) * 2] = shared[1];
        moments[(map * segments + segment) * 2 + 1] = shared[2];
    }
}

/// Merges the (count, mean, sum of squared distances) of all threads into those of the first (Chan et al., 1979).
#[cube]
fn merge_all(shared: &mut Shared<[f32]>, unit: usize) {
    sync_cube();
    let mut half = comptime!(THREADS / 2).runtime();
    while half > 0 {
        if unit < half {
            merge(shared, unit, unit + half);
        }
        sync_cube();
        half /= 2;
    }
}

/// Adds entry `from` to entry `to`.
#[cube]
fn merge(shared: &mut Shared<[f32]>, to: usize, from: usize) {
    let (count, other) = (shared[3 * to], shared[3 * from]);
    let distance = shared[3 * from + 1] - shared[3 * to + 1];
    let share = other / max(count + other, 1.0);
    shared[3 * to] = count + other;
    shared[3 * to + 1] += distance * share;
    shared[3 * to + 2] += shared[3 * from + 2] + distance * distance * count * share;
}

/// Normalises each map by its moments, then scales and shifts it by the style.
#[cube(launch)]
fn normalise_kernel<S: Float>(
    values: &mut [S],
    moments: &[f32],
    style: &[f32],
    channels: usize,
    pixels: usize,
    epsilon: f32,
    #[define(S)] _type: ElemType,
) {
    let (channel, sample) = (CUBE_POS_Y as usize, CUBE_POS_Z as usize);
    let map = sample * channels + channel;
    let segment = CUBE_POS_X as usize;
    let segments = CUBE_COUNT_X as usize;
    let unit = UNIT_POS as usize;
    // Two entries per thread: its own, and the one that is merged into it.
    let mut shared = Shared::<[f32]>::new_slice(comptime!(6 * THREADS));
    shared[3 * unit] = 0.0;
    shared[3 * unit + 1] = 0.0;
    shared[3 * unit + 2] = 0.0;
    let spare = unit + THREADS;
    for other in range_stepped(unit, segments, THREADS) {
        shared[3 * spare] = f32::cast_from(min(SEGMENT, pixels - other * SEGMENT));
        shared[3 * spare + 1] = moments[(map * segments + other) * 2];
        shared[3 * spare + 2] = moments[(map * segments + other) * 2 + 1];
        merge(&mut shared, unit, spare);
    }
    merge_all(&mut shared, unit);
    let deviation = (shared[2] / f32::cast_from(pixels) + epsilon).sqrt();
    let scale = (style[sample * 2 * channels + channel] + 1.0) / deviation;
    let offset = style[(sample * 2 + 1) * channels + channel];
    let mean = shared[1];
    for pixel in range_stepped(segment * SEGMENT + unit, min((segment + 1) * SEGMENT, pixels), THREADS) {
        let at = map * pixels + pixel;
        values[at] = stored_one::<S>((f32::cast_from(values[at]) - mean) * scale + offset);
    }
}

/// StyleGAN's layer after its convolution: x `[N, C, h, w]`, noise `[1, 1, h, w]` or `[N, 1, h, w]`, style `[N, 2 C]`, strength and bias
/// `[1, C, 1, 1]`; `epsilon` is added to variances.
pub(crate) fn style_layer(
    x: Tensor<4>,
    noise: Option<Tensor<4>>,
    style: Tensor<2>,
    [strength, bias]: [Tensor<4>; 2],
    blur: bool,
    epsilon: f32,
) -> Tensor<4> {
    let [n, channels, height, width] = x.dims();
    assert_eq!(style.dims(), [n, 2 * channels], "styles");
    assert_eq!([strength.dims(), bias.dims()], [[1, channels, 1, 1]; 2], "strengths and biases");
    let fits = |noise: &Tensor<4>| noise.dims()[1..] == [1, height, width] && [1, n].contains(&noise.dims()[0]);
    assert!(noise.as_ref().is_none_or(fits), "noise");
    let noise_step = noise.as_ref().filter(|noise| noise.dims()[0] > 1).map_or(0, |_| height * width);
    let (x, style, strength, bias) = (primitive(x), primitive(style), primitive(strength), primitive(bias));
    let segments = (height * width).div_ceil(SEGMENT);
    let out = fresh(&x, [n, channels, height, width], x.dtype);
    let moments = fresh(&x, [n, channels, segments, 2], DType::F32);
    let dtype = elem_type(x.dtype);
    let client = x.client.clone();
    let count = CubeCount::Static(segments as u32, channels as u32, n as u32);
    moments_kernel::launch(
        &client,
        count.clone(),
        CubeDim::new_1d(THREADS as u32),
        x.into_buffer_arg(),
        noise.map(|noise| primitive(noise).into_buffer_arg()).into(),
        noise_step,
        strength.into_buffer_arg(),
        bias.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        moments.clone().into_buffer_arg(),
        channels,
        height,
        width,
        blur,
        dtype,
    );
    normalise_kernel::launch(
        &client,
        count,
        CubeDim::new_1d(THREADS as u32),
        out.clone().into_buffer_arg(),
        moments.into_buffer_arg(),
        style.into_buffer_arg(),
        channels,
        height * width,
        epsilon,
        dtype,
    );
    into_tensor(out)
}

/// Threads that share the channels of the same pixels.
const SLICES: usize = 8;
const PIXEL_THREADS: usize = THREADS / SLICES;

#[cube(launch)]
fn pixel_norm_kernel<S: Float>(x: &[S], out: &mut [S], channels: usize, pixels: usize, #[define(S)] _type: ElemType) {
    let sample = CUBE_POS_Z as usize;
    let workgroup = CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    let unit = UNIT_POS as usize;
    let pixel = workgroup * PIXEL_THREADS + unit % PIXEL_THREADS;
    let slice = unit / PIXEL_THREADS;
    let mut squares = 0f32;
    if pixel < pixels {
        for channel in range_stepped(slice, channels, SLICES) {
            let value = f32::cast_from(x[(sample * channels + channel) * pixels + pixel]);
            squares += value * value;
        }
    }
    let mut shared = Shared::<[f32]>::new_slice(THREADS);
    shared[unit] = squares;
    sync_cube();
    let mut total = 0f32;
    #[unroll]
    for slice in 0..SLICES {
        total += shared[unit % PIXEL_THREADS + slice * PIXEL_THREADS];
    }
    let deviation = (total / f32::cast_from(channels) + 1e-8).sqrt();
    if pixel < pixels {
        for channel in range_stepped(slice, channels, SLICES) {
            let at = (sample * channels + channel) * pixels + pixel;
            out[at] = stored_one::<S>(f32::cast_from(x[at]) / deviation);
        }
    }
}

/// `x / sqrt(mean over channels of x^2 + 1e-8)` at every pixel; x is `[N, C, ...]`.
pub(crate) fn pixel_norm<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let shape = x.dims();
    let (n, channels) = (shape[0], shape[1]);
    let pixels: usize = shape[2..].iter().product();
    let x = primitive(x);
    let out = fresh(&x, shape, x.dtype);
    let dtype = elem_type(x.dtype);
    pixel_norm_kernel::launch(
        &x.client.clone(),
        linear_count(pixels.div_ceil(PIXEL_THREADS), n),
        CubeDim::new_1d(THREADS as u32),
        x.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        channels,
        pixels,
        dtype,
    );
    Tensor::from_primitive::<CubeBackend>(out)
}

#[cube(launch)]
fn affine_relu_kernel<S: Float, N: Size>(
    x: &[Vector<S, N>],
    factor: &[f32],
    offset: &[f32],
    out: &mut [Vector<S, N>],
    pixels: usize,
    #[comptime] lanes: usize,
    #[define(S)] _type: ElemType,
) {
    if ABSOLUTE_POS < out.len() {
        let map = ABSOLUTE_POS * lanes / pixels;
        let value = Vector::<f32, N>::cast_from(x[ABSOLUTE_POS]);
        let value = value * Vector::new(factor[map]) + Vector::new(offset[map]);
        out[ABSOLUTE_POS] = stored::<S, N>(max_nan(value, Vector::new(0.0)));
    }
}

/// `max(0, x * factor + offset)`: x `[N, C, h, w]`, factor and offset `[N, C]`.
pub(crate) fn affine_relu(x: Tensor<4>, factor: Tensor<2>, offset: Tensor<2>) -> Tensor<4> {
    let shape = x.dims();
    let [n, channels, height, width] = shape;
    assert_eq!([factor.dims(), offset.dims()], [[n, channels]; 2], "factors and offsets");
    let x = primitive(x);
    let out = fresh(&x, shape, x.dtype);
    let dtype = elem_type(x.dtype);
    let lanes = lanes(width);
    affine_relu_kernel::launch(
        &x.client.clone(),
        linear_count((n * channels * height * width / lanes).div_ceil(THREADS), 1),
        CubeDim::new_1d(THREADS as u32),
        lanes,
        x.into_buffer_arg(),
        primitive(factor).into_buffer_arg(),
        primitive(offset).into_buffer_arg(),
        out.clone().into_buffer_arg(),
        height * width,
        lanes,
        dtype,
    );
    into_tensor(out)
}
