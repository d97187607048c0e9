//! Every kernel against the plain tensor operations on the CPU.

use std::io::Write;

use burn::tensor::{Device, Tensor};

use super::{CONV_TILES, DOUBLE_TILES, Double, TiledConv, is_able};
use crate::gpu::{DeviceChoice, RenderDevice};
use crate::ops::tests::{assert_equal, everything, noise_shape, numbers, weights};
use crate::ops::{self, After, Norm, Upsample, down, pull};

/// wgpu on whatever this machine has (software Vulkan counts). A missing GPU is said aloud, and fails where
/// `SEFA_STUDIO_ALL_TESTS` is set, as the test command does.
pub(super) fn render_device() -> Option<RenderDevice> {
    match RenderDevice::new(DeviceChoice::Gpu(None)) {
        Ok(device) => {
            assert!(is_able(device.device()), "the kernels do not run on {}", device.label());
            Some(device)
        }
        Err(error) => {
            assert!(std::env::var_os("SEFA_STUDIO_ALL_TESTS").is_none(), "no GPU to test on: {error}");
            skipped(&error.to_string());
            None
        }
    }
}

pub(super) fn device() -> Option<Device> {
    render_device().map(|device| device.device().clone())
}

/// Says so aloud: what is printed by macros shows for failed tests only.
pub(super) fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// `run` with the same input, style and epilogue on both devices. `shape` is that of the input, `scale` how much larger the
/// output is.
fn compare(
    shape: [usize; 4],
    outputs: usize,
    scale: usize,
    gpu: &Device,
    kernel: impl Fn(Tensor<4>, Option<Tensor<2>>, &After) -> Tensor<4>,
    plain: impl Fn(Tensor<4>, Option<Tensor<2>>, &After) -> Tensor<4>,
) {
    let [n, inputs, height, width] = shape;
    let after = |device: &Device| After {
        noise: Some(numbers(noise_shape(n, [scale * height, scale * width]), 5, device)),
        ..everything(n, outputs, 1, device)
    };
    let cpu = Device::flex();
    let with_all = |device: &Device| (numbers(shape, 1, device), Some(numbers([n, inputs], 2, device)), after(device));
    let ((x, style, after), (same_x, same_style, same_after)) = (with_all(gpu), with_all(&cpu));
    assert_equal(kernel(x.clone(), style, &after), plain(same_x.clone(), same_style, &same_after));
    assert_equal(kernel(x, None, &After::default()), plain(same_x, None, &After::default()));
}

#[test]
fn convolutions_with_every_tile_equal_plain_ones() {
    let Some(gpu) = device() else { return };
    let shapes = [
        ([1, 5, 4, 4], 3),
        ([2, 9, 5, 7], 40),
        ([1, 8, 20, 12], 66),
        ([2, 6, 9, 16], 5),
        ([1, 10, 17, 36], 70),
        ([1, 4, 8, 32], 32),
        ([1, 3, 16, 20], 130),
    ];
    for (tile, (shape, outputs)) in CONV_TILES.into_iter().zip(shapes) {
        let weight = weights(outputs * shape[1] * 9);
        let size = [outputs, shape[1], 3];
        let (conv, plain) =
            (TiledConv::new(&weight, size, &gpu), ops::Conv::of_tensors(&weight, size, &Device::flex()));
        for shares in [1, 2] {
            let kernel = |x, style, after: &After| conv.forward_by(tile, shares, x, style, after);
            compare(shape, outputs, 1, &gpu, kernel, |x, style, after| plain.forward(x, style, after));
        }
    }
}

#[test]
fn chosen_kernels_equal_plain_ones() {
    let Some(gpu) = device() else { return };
    for (shape, outputs, k) in
        [([1, 40, 4, 4], 6, 3), ([2, 7, 6, 6], 9, 1), ([3, 21, 12, 8], 3, 1), ([1, 9, 3, 5], 2, 1)]
    {
        let weight = weights(outputs * shape[1] * k * k);
        let size = [outputs, shape[1], k];
        let conv = ops::Conv::new(&weight, size, &gpu);
        let plain = ops::Conv::of_tensors(&weight, size, &Device::flex());
        let kernel = |x, style, after: &After| conv.forward(x, style, after);
        compare(shape, outputs, 1, &gpu, kernel, |x, style, after| plain.forward(x, style, after));
    }
}

#[test]
fn up_convolutions_with_every_tile_equal_plain_ones() {
    let Some(gpu) = device() else { return };
    let shapes = [([2, 5, 4, 4], 67), ([1, 9, 3, 7], 3), ([1, 17, 9, 9], 20), ([1, 13, 18, 16], 10)];
    for (tile, (shape, outputs)) in [0, 1, 1, 2].map(|tile| DOUBLE_TILES[tile]).into_iter().zip(shapes) {
        let weight = weights(outputs * shape[1] * 9);
        let size = [outputs, shape[1]];
        let (conv, plain) =
            (Double::filtered(&weight, size, &gpu), ops::ConvUp::of_tensors(&weight, size, &Device::flex()));
        for shares in [1, 3] {
            let kernel = |x, style, after: &After| conv.forward_by(tile, shares, x, style, after);
            compare(shape, outputs, 2, &gpu, kernel, |x, style, after| plain.forward(x, style, after));
        }
    }
}

#[test]
fn transposed_convolutions_equal_plain_ones() {
    let Some(gpu) = device() else { return };
    for (shape, outputs) in [([1, 40, 1, 1], 3), ([2, 6, 4, 4], 9), ([1, 5, 8, 6], 34), ([1, 9, 19, 17], 5)] {
        let weight = weights(outputs * shape[1] * 16);
        let size = [shape[1], outputs];
        let conv = ops::ConvTranspose::new(&weight, size, &gpu);
        let plain = ops::ConvTranspose::of_tensors(&weight, size, &Device::flex());
        let kernel = |x, _, after: &After| conv.forward(x, after);
        compare(shape, outputs, 2, &gpu, kernel, |x, _, after| plain.forward(x, after));
    }
}

#[test]
fn the_smaller_picture_is_up_sampled_and_added() {
    let Some(gpu) = device() else { return };
    let cpu = Device::flex();
    for (n, inputs, height, width) in [(1, 9, 8, 8), (2, 3, 2, 6)] {
        let weight = weights(3 * inputs);
        let picture = |device: &Device| {
            let conv = ops::Conv::new(&weight, [3, inputs, 1], device);
            let (smaller, x) =
                (numbers([n, 3, height / 2, width / 2], 1, device), numbers([n, inputs, height, width], 2, device));
            let after = After { noise: None, ..everything(n, 3, 1, device) };
            let upsample = Upsample::new(device);
            let up = upsample.forward(smaller.clone());
            (up, conv.forward_onto(smaller, &upsample, x, Some(numbers([n, inputs], 6, device)), &after))
        };
        let ((up, onto), (plain_up, plain_onto)) = (picture(&gpu), picture(&cpu));
        assert_equal(up, plain_up);
        assert_equal(onto, plain_onto);
    }
}

#[test]
fn views_are_laid_out_first() {
    let Some(gpu) = device() else { return };
    let weight = weights(6 * 5 * 9);
    let result = |device: &Device| {
        let x = numbers([1, 8, 8, 5], 1, device).permute([0, 3, 1, 2]);
        ops::Conv::new(&weight, [6, 5, 3], device).forward(x, None, &After::default())
    };
    assert_equal(result(&gpu), result(&Device::flex()));
}

#[test]
fn style_layers_equal_plain_ones() {
    let Some(gpu) = device() else { return };
    // More than one segment of pixels, and far from zero mean, where sums in single precision fail.
    for (n, channels, side, blur, mean) in [(2, 3, 4, true, 0.0), (1, 2, 96, false, 10.0), (1, 1, 67, true, 3.0)] {
        let result = |device: &Device| {
            let host = |seed| numbers([channels], seed, device).into_data().try_into_vec::<f32>().unwrap();
            let layer =
                ops::StyleLayer::new(host(4), host(5), blur, device).with_epsilon(if blur { 1e-2 } else { 1e-8 });
            let x = numbers([n, channels, side, side], 1, device).add_scalar(mean);
            let style = numbers([n, 2 * channels], 2, device);
            let noise = (mean != 3.0).then(|| numbers(noise_shape(n, [side, side]), 3, device));
            layer.forward(x, noise, style)
        };
        assert_equal(result(&gpu), result(&Device::flex()));
    }
}

#[test]
fn pixel_norms_equal_plain_ones() {
    let Some(gpu) = device() else { return };
    for shape in [[2, 5, 9, 7], [1, 19, 4, 4]] {
        let result = |device: &Device| ops::pixel_norm(numbers(shape, 1, device));
        assert_equal(result(&gpu), result(&Device::flex()));
    }
    let code = |device: &Device| ops::pixel_norm(numbers([2, 40], 1, device)).reshape([2, 40, 1, 1]);
    assert_equal(code(&gpu), code(&Device::flex()));
}

#[test]
fn means_over_areas_equal_plain_ones() {
    let Some(gpu) = device() else { return };
    for (shape, size) in ops::area::tests::SIZES {
        let result = |device: &Device| ops::area_mean(numbers(shape, 1, device).mul_scalar(1.5), size);
        assert_equal(result(&gpu), result(&Device::flex()));
    }
    for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let x = Tensor::<4>::from_data([[[[0.0, 0.0, 0.0, broken]]]], &gpu);
        let found = ops::area_mean(x, [1, 2]).into_data().try_into_vec::<f32>().unwrap();
        assert!(found[0] == 0.0 && !found[1].is_finite(), "{broken} became {}", found[1]);
    }
}

#[test]
fn batch_norms_equal_plain_ones() {
    let Some(gpu) = device() else { return };
    for width in [8, 5] {
        let result = |device: &Device| {
            let norm = Norm { factor: numbers([2, 3], 2, device), offset: numbers([2, 3], 3, device) };
            norm.apply(numbers([2, 3, 5, width], 1, device))
        };
        assert_equal(result(&gpu), result(&Device::flex()));
    }
}

#[test]
fn products_of_a_few_rows_equal_plain_ones() {
    let Some(gpu) = device() else { return };
    // Less than a workgroup's outputs and inputs, more, and what the kernel is not made for: odd outputs, many rows.
    for (n, inputs, outputs) in [(1, 5, 4), (3, 70, 36), (2, 33, 7), (20, 6, 8)] {
        let weight = || weights(outputs * inputs);
        let result = |device: &Device| {
            let bias = weights(outputs);
            let layer = ops::Linear::new(weight(), bias, (0.5, 2.0), device);
            let x = numbers([n, inputs], 1, device);
            let squares = weight().iter().map(|x| x * x).collect();
            let demodulation = ops::Demodulation::new(squares, [outputs, inputs], 1.5, device);
            let found = [layer.forward(x.clone()), layer.forward_lrelu(x.clone(), 0.2), demodulation.forward(x)];
            Tensor::stack::<3>(found.to_vec(), 0).reshape([3, n, outputs, 1])
        };
        assert_equal(result(&gpu), result(&Device::flex()));
    }
}

#[test]
fn adjoints_are_those_of_the_convolutions_and_of_what_surrounds_them() {
    let Some(gpu) = device() else { return };
    down::tests::SHAPES.into_iter().for_each(|shape| down::tests::check(&gpu, shape));
    pull::tests::compare(&gpu);
}
