//! Every operator in f16 against itself in f32 on the CPU.

use burn::tensor::{DType, Device, Tensor};

use super::tests::device;
use crate::ops::tests::{everything, noise_shape, numbers, weights};
use crate::ops::{
    self, After, Conv, ConvNearestUp, ConvTranspose, ConvUp, Norm, Place, Precision, StyleLayer, Upsample, stored_as,
};

/// How far a value may be off, as a part of the largest one: f16 rounds to 1/2048, and the operators round twice or, in sums
/// whose errors mostly cancel, three times. Measured: at most 1.0e-3 (the style layer), convolutions 6e-4.
const BOUND: f32 = 2e-3;

/// wgpu in f16.
fn place() -> Option<Place> {
    let place = Place::from(&device()?).with_precision(Precision::F16);
    assert_eq!(place.precision(), Precision::F16, "software Vulkan has f16");
    Some(place)
}

fn values(x: Tensor<4>) -> Vec<f32> {
    x.cast(DType::F32).into_data().try_into_vec().unwrap()
}

/// Runs `operator` in both places. Its result is in f16, or in f32 if it is a picture.
#[track_caller]
pub(super) fn compare(what: &str, half: &Place, dtype: DType, operator: impl Fn(&Place) -> Tensor<4>) {
    let (found, expected) = (operator(half), operator(&Place::from(&Device::flex())));
    assert_eq!((found.dims(), found.dtype()), (expected.dims(), dtype), "{what}");
    let (found, expected) = (values(found), values(expected));
    let largest = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= BOUND * largest, "{what}: off by {worst} of {largest}");
    assert!(worst > 0.0, "{what}: nothing was rounded");
}

/// A map as it is stored there.
pub(super) fn map(shape: [usize; 4], seed: usize, place: &Place) -> Tensor<4> {
    stored_as(numbers(shape, seed, place), place.precision().dtype())
}

/// All that can follow a convolution; no limit, which would hide errors.
pub(super) fn after(n: usize, outputs: usize, [height, width]: [usize; 2], place: &Place) -> After {
    let noise = Some(numbers(noise_shape(n, [height, width]), 5, place));
    After { noise, clamp: None, ..everything(n, outputs, 1, place) }
}

#[test]
fn convolutions_in_f16_are_within_its_bound() {
    let Some(half) = place() else { return };
    // Odd numbers of values, batches, and so many channels that their sum is shared out.
    for (shape, outputs, k) in
        [([2, 9, 5, 7], 5, 3), ([1, 160, 8, 8], 6, 3), ([1, 7, 6, 6], 9, 1), ([2, 21, 5, 3], 3, 1)]
    {
        let [n, inputs, height, width] = shape;
        for is_picture in [false, true] {
            let dtype = if is_picture { DType::F32 } else { DType::F16 };
            compare(&format!("{k}x{k}, {shape:?}, picture: {is_picture}"), &half, dtype, |place| {
                let after = After { is_picture, ..after(n, outputs, [height, width], place) };
                let conv = Conv::new(&weights(outputs * inputs * k * k), [outputs, inputs, k], place);
                conv.forward(map(shape, 1, place), Some(numbers([n, inputs], 2, place)), &after)
            });
        }
    }
}

#[test]
fn convolutions_that_double_the_size_in_f16_are_within_its_bound() {
    let Some(half) = place() else { return };
    for (shape, outputs) in [([2, 5, 3, 4], 7), ([1, 140, 4, 4], 3), ([1, 9, 10, 9], 10)] {
        let [n, inputs, height, width] = shape;
        let after = |place: &Place| after(n, outputs, [2 * height, 2 * width], place);
        compare(&format!("up, {shape:?}"), &half, DType::F16, |place| {
            let conv = ConvUp::for_side(&weights(outputs * inputs * 9), [outputs, inputs], height, place);
            conv.forward(map(shape, 1, place), Some(numbers([n, inputs], 2, place)), &after(place))
        });
        compare(&format!("transposed, {shape:?}"), &half, DType::F16, |place| {
            let conv = ConvTranspose::new(&weights(outputs * inputs * 16), [inputs, outputs], place);
            conv.forward(map(shape, 1, place), &after(place))
        });
        compare(&format!("nearest, {shape:?}"), &half, DType::F16, |place| {
            let conv = ConvNearestUp::for_side(&weights(outputs * inputs * 9), [outputs, inputs], height, place);
            conv.forward_residual(
                map(shape, 1, place),
                None,
                Some(map([n, outputs, height, width], 8, place)),
                &after(place),
            )
        });
    }
}

#[test]
fn a_skip_picture_stays_f32() {
    let Some(half) = place() else { return };
    compare("to RGB onto a smaller picture", &half, DType::F32, |place| {
        let conv = Conv::new(&weights(3 * 9), [3, 9, 1], place);
        let after = After { is_picture: true, noise: None, ..everything(1, 3, 1, place) };
        let (smaller, style) = (numbers([1, 3, 4, 4], 1, place), numbers([1, 9], 6, place));
        conv.forward_onto(smaller, &Upsample::new(place), map([1, 9, 8, 8], 2, place), Some(style), &after)
    });
    compare("up-sampling of maps", &half, DType::F16, |place| {
        Upsample::new(place).forward(map([2, 3, 5, 3], 1, place))
    });
}

#[test]
fn normalisations_in_f16_are_within_its_bound() {
    let Some(half) = place() else { return };
    for (n, channels, side, blur) in [(2, 3, 5, true), (1, 2, 96, false)] {
        compare(&format!("style layer, {side} pixels"), &half, DType::F16, |place| {
            let host = |seed| numbers([channels], seed, place).into_data().try_into_vec::<f32>().unwrap();
            let layer = StyleLayer::new(host(4), host(5), blur, place);
            let (noise, style) =
                (numbers(noise_shape(n, [side, side]), 3, place), numbers([n, 2 * channels], 2, place));
            layer.forward(map([n, channels, side, side], 1, place), Some(noise), style)
        });
    }
    compare("pixel norm", &half, DType::F16, |place| ops::pixel_norm(map([2, 5, 9, 7], 1, place)));
    compare("batch norm", &half, DType::F16, |place| {
        let norm = Norm { factor: numbers([2, 3], 2, place), offset: numbers([2, 3], 3, place) };
        norm.apply(map([2, 3, 5, 5], 1, place))
    });
}

#[test]
fn sums_of_branches_in_f16_are_within_its_bound() {
    let Some(half) = place() else { return };
    // Of the same size, of half of it, and with more channels than the result has.
    for (shape, shortcut) in [([2, 3, 5, 7], [2, 3, 5, 7]), ([2, 3, 8, 4], [2, 5, 4, 2])] {
        compare(&format!("sum with {shortcut:?}"), &half, DType::F16, |place| {
            ops::sum(map(shape, 1, place), map(shortcut, 2, place))
        });
    }
    // The first layers of a network make their maps by other operators, in f32.
    compare("sum with f32", &half, DType::F16, |place| {
        ops::sum(map([1, 2, 4, 4], 1, place), numbers([1, 2, 4, 4], 2, place))
    });
    compare("attention", &half, DType::F32, |place| ops::attention(map([1, 9, 4, 4], 1, place), 2));
}

#[test]
fn what_f16_does_not_hold_becomes_its_largest() {
    let Some(half) = place() else { return };
    let cast = |x: Tensor<4>| stored_as(x, DType::F16);
    let large = |shape: [usize; 4], value: f32| cast(Tensor::full(shape, value, &*half));
    let found = [
        ("conversion", cast(Tensor::full([1, 1, 2, 2], 1e6, &*half))),
        ("sum", ops::sum(large([1, 1, 4, 4], 6e4), large([1, 1, 4, 4], 6e4))),
        // 4 inputs of 60000, and 160, whose sum is shared out.
        (
            "convolution",
            Conv::new(&[1.0; 36], [1, 4, 3], &half).forward(large([1, 4, 8, 8], 6e4), None, &After::default()),
        ),
        (
            "shares",
            Conv::new(&[1.0; 1440], [1, 160, 3], &half).forward(large([1, 160, 4, 4], 6e4), None, &After::default()),
        ),
        ("weights", Conv::new(&[1e6], [1, 1, 1], &half).forward(large([1, 1, 4, 4], 1.0), None, &After::default())),
    ];
    for (what, found) in found {
        assert!(values(found).iter().all(|&x| x == 65504.0), "{what}");
    }
}
