//! Convolutions on matrix units: their text on every machine, their results on devices that have such units.

use burn::tensor::{DType, Tensor};

use super::super::half_tests::{after, compare, map};
use super::super::tests::{render_device, skipped};
use super::{By, DOUBLING, Form, Kernel, MatrixConv, MatrixPlan, MatrixTile, MatrixUnits, SAME};
use crate::gpu::Precision;
use crate::ops::tests::{numbers, weights};
use crate::ops::{self, After, Place};

/// Every plan of every form for a device whose matrices have this side.
fn tiles(side: usize) -> Vec<MatrixTile> {
    let units = MatrixUnits { side, plane: 32, shared_bytes: 48 << 10, threads: 1024 };
    let forms = [(Form::Same, 1, &SAME[..]), (Form::Same, 3, &SAME), (Form::Filtered, 3, &DOUBLING)];
    let forms = forms.into_iter().chain([(Form::Transposed, 4, &DOUBLING[..])]);
    let of = |(form, kernel, plans): (Form, usize, &'static [MatrixPlan])| {
        plans.iter().map(move |&plan| MatrixTile::new(form, kernel, plan, units).expect("all plans fit such a device"))
    };
    forms.flat_map(of).collect()
}

#[test]
fn the_shader_is_valid_in_every_form() {
    for tile in [8, 16].into_iter().flat_map(tiles) {
        for (is_half, operands) in [(true, vec!["style", "scale", "bias", "noise"]), (false, vec![])] {
            let optional = |x: f32| is_half.then(|| format!("{x:?}f"));
            let kernel = Kernel {
                tile,
                samples: 2,
                inputs: 40,
                outputs: 24,
                height: 17,
                width: if is_half { 20 } else { 19 },
                share: 32,
                is_half,
                operands,
                has_own_noise: tile.plan.inputs == 16,
                slope: optional(0.2),
                clamp: optional(65504.0),
                kept: "0x7f800000u",
            };
            let text = kernel.text().unwrap();
            let module =
                naga::front::wgsl::parse_str(&text).unwrap_or_else(|error| panic!("{}", error.emit_to_string(&text)));
            let capabilities = naga::valid::Capabilities::COOPERATIVE_MATRIX
                | naga::valid::Capabilities::SHADER_FLOAT16
                | naga::valid::Capabilities::SUBGROUP;
            let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities);
            validator.subgroup_stages(naga::valid::ShaderStages::COMPUTE);
            validator.validate(&module).unwrap_or_else(|error| panic!("{}", error.emit_to_string(&text)));
        }
    }
}

/// wgpu in f16 on a device with matrix units. That there are none is said aloud.
fn place() -> Option<Place> {
    let device = render_device()?;
    let place = device.place().with_precision(Precision::F16);
    if !place.uses_matrix_units() {
        skipped(&format!("no matrix units on {}", device.label()));
        return None;
    }
    assert!(device.with_precision(Precision::F16).place().uses_matrix_units(), "they were found wanting");
    Some(place)
}

/// Plans whose kernels software Vulkan compiles in seconds; its compiler takes minutes for those of real devices.
const SMALL_SAME: [MatrixPlan; 2] = [
    MatrixPlan { outputs: 16, height: 2, width: 8, planes: [1, 2], inputs: 16 },
    MatrixPlan { outputs: 32, height: 4, width: 4, planes: [2, 2], inputs: 32 },
];
const SMALL_DOUBLING: [MatrixPlan; 2] = [
    MatrixPlan { outputs: 16, height: 2, width: 4, planes: [1, 2], inputs: 16 },
    MatrixPlan { outputs: 16, height: 4, width: 8, planes: [1, 5], inputs: 16 },
];

/// With and without matrix units: `kernel` 1 or 3, the input channels cut into `shares`.
fn compare_same(plan: MatrixPlan, shape: [usize; 4], outputs: usize, kernel: usize, shares: usize, place: &Place) {
    let [n, inputs, height, width] = shape;
    let side = place.matrix_units().unwrap().side;
    let what = format!("{kernel}x{kernel}, {shape:?} to {outputs}, {plan}, matrices of {side}");
    // Pictures are f32.
    let is_picture = n == 2;
    compare(&what, place, if is_picture { DType::F32 } else { DType::F16 }, |place| {
        let (weight, shape_of_weight) = (weights(outputs * inputs * kernel * kernel), [outputs, inputs, kernel]);
        let after = After { is_picture, ..after(n, outputs, [height, width], place) };
        let (x, style) = (map(shape, 1, place), Some(numbers([n, inputs], 2, place)));
        if !place.uses_matrix_units() {
            return ops::Conv::new(&weight, shape_of_weight, place).forward(x, style, &after);
        }
        let conv = MatrixConv::same(&weight, shape_of_weight, By::Plan(plan), place).expect("the plan is small");
        conv.forward_by(shares, x, style, &after)
    });
}

/// The same for both forms that double the size.
fn compare_doubling(plan: MatrixPlan, shape: [usize; 4], outputs: usize, shares: usize, place: &Place) {
    let [n, inputs, height, width] = shape;
    let side = place.matrix_units().unwrap().side;
    let what = |kind| format!("{kind}, {shape:?} to {outputs}, {plan}, matrices of {side}");
    let after = |place: &Place| after(n, outputs, [2 * height, 2 * width], place);
    compare(&what("up"), place, DType::F16, |place| {
        let weight = weights(outputs * inputs * 9);
        let (x, style) = (map(shape, 1, place), Some(numbers([n, inputs], 2, place)));
        if !place.uses_matrix_units() {
            return ops::ConvUp::for_side(&weight, [outputs, inputs], 0, place).forward(x, style, &after(place));
        }
        let conv = MatrixConv::filtered(&weight, [outputs, inputs], By::Plan(plan), place).expect("the plan is small");
        conv.forward_by(shares, x, style, &after(place))
    });
    compare(&what("transposed"), place, DType::F16, |place| {
        let (weight, x) = (weights(outputs * inputs * 16), map(shape, 1, place));
        if !place.uses_matrix_units() {
            return ops::ConvTranspose::new(&weight, [inputs, outputs], place).forward(x, &after(place));
        }
        let conv =
            MatrixConv::transposed(&weight, [inputs, outputs], By::Plan(plan), place).expect("the plan is small");
        conv.forward_by(shares, x, None, &after(place))
    });
}

/// Sizes beside the tile's, channels beside its multiples, batches, and sums that are shared out.
#[test]
fn convolutions_equal_those_without_matrix_units() {
    let Some(place) = place() else { return };
    compare_same(SMALL_SAME[0], [1, 64, 16, 16], 64, 3, 1, &place);
    compare_same(SMALL_SAME[1], [2, 36, 9, 12], 40, 3, 1, &place);
    compare_same(SMALL_SAME[0], [1, 160, 8, 8], 24, 3, 4, &place);
    compare_same(SMALL_SAME[1], [1, 48, 13, 7], 33, 1, 1, &place);
    compare_doubling(SMALL_DOUBLING[0], [1, 32, 16, 16], 32, 1, &place);
    compare_doubling(SMALL_DOUBLING[1], [2, 36, 9, 12], 40, 1, &place);
    compare_doubling(SMALL_DOUBLING[0], [1, 160, 8, 8], 24, 4, &place);
    compare_doubling(SMALL_DOUBLING[1], [1, 48, 13, 7], 33, 1, &place);
}

/// Software Vulkan names matrices of side 8 and takes these too.
#[test]
#[ignore = "takes minutes on software Vulkan"]
fn matrices_of_side_16_give_the_same() {
    let Some(place) = place() else { return };
    let units = MatrixUnits { side: 16, ..place.matrix_units().unwrap() };
    let place = Place::new(&place, Some(units)).with_precision(Precision::F16);
    compare_same(SMALL_SAME[0], [1, 36, 9, 12], 40, 3, 1, &place);
    compare_doubling(SMALL_DOUBLING[0], [1, 36, 9, 12], 40, 1, &place);
}

#[test]
#[ignore = "takes minutes on software Vulkan"]
fn every_plan_that_the_device_allows_gives_the_same() {
    let Some(place) = place() else { return };
    let allows =
        |form, kernel, plan: &MatrixPlan| MatrixTile::new(form, kernel, *plan, place.matrix_units().unwrap()).is_some();
    for plan in SAME.into_iter().filter(|plan| allows(Form::Same, 3, plan)) {
        compare_same(plan, [1, 40, 20, 24], 130, 3, 1, &place);
    }
    for plan in DOUBLING.into_iter().filter(|plan| allows(Form::Filtered, 3, plan)) {
        compare_doubling(plan, [1, 40, 20, 24], 24, 1, &place);
    }
}

#[test]
fn what_f16_does_not_hold_becomes_its_largest() {
    let Some(place) = place() else { return };
    let conv = MatrixConv::same(&[1.0; 9 * 1024], [32, 32, 3], By::Side(16), &place)
        .expect("32 channels of 16 pixels are enough");
    let x = Tensor::full([1, 32, 16, 16], 6e4, (&*place, DType::F16));
    let found = conv.forward(x, None, &After::default()).cast(DType::F32).into_data().try_into_vec::<f32>().unwrap();
    assert!(found.iter().all(|&x| x == 65504.0));
}
