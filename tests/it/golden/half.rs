//! Half precision: pictures of every family, with weights and maps in f16 on wgpu.

use burn::tensor::DType;
use sefa_studio::generator::{Conditions, Generator, LoadError};
use sefa_studio::gpu::{Precision, RenderDevice};
use sefa_studio::ops::Place;
use sefa_studio::progress;
use sefa_studio::render::{Engine, Example, Source};

use super::Case;
use crate::support::{half_devices, run_stages, sampled};

/// How far a picture may be off: about twice what was measured. The largest difference in units of the -1..1 range, and the
/// PSNR in decibels over that range.
type Bounds = [f32; 2];

/// Fixture, file, picture, psi. Weights of most fixtures are random, which f16 suits less than trained ones.
const PICTURES: [(&str, &str, &str, f32, Bounds); 10] = [
    ("stylegan2_ada_skip", "model.pth", "image", 1.0, [5e-3, 64.0]),
    ("stylegan2_ada_resnet", "model.pth", "image", 1.0, [3.6e-3, 65.5]),
    ("stylegan1_genforce", "model.pth", "image", 1.0, [3.7e-2, 52.5]),
    ("stylegan3_t", "model.pth", "image", 1.0, [3e-3, 68.5]),
    ("pggan_genforce", "model.pth", "image", 1.0, [2.5e-2, 55.5]),
    ("biggan_ajbrock", "G_ema.pth", "image", 1.0, [1.5e-2, 58.0]),
    ("biggan_deep_ajbrock", "G_ema.pth", "image", 1.0, [7.6e-3, 61.0]),
    ("biggan_deep_hf_small", "pytorch_model.bin", "image_t0.4", 0.4, [2.6e-2, 54.0]),
    ("dcgan", "netG.pth", "image", 1.0, [3.6e-3, 73.5]),
    ("dcgan", "netG_f16.pth", "image", 1.0, [4.1e-3, 71.0]),
];

/// Of the generator inside the program, which is trained, against single precision.
const TOY_HEADS: Bounds = [1.2e-2, 70.0];

#[track_caller]
fn assert_within(what: &str, found: &[f32], expected: &[f32], [error, psnr]: Bounds) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let errors = || found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let worst = errors().fold(0.0, f32::max);
    let mean_square = errors().map(|x| x * x).sum::<f32>() / expected.len() as f32;
    let decibels = 10.0 * (4.0 / mean_square).log10();
    assert!(worst <= error && decibels >= psnr, "{what}: off by {worst}, PSNR {decibels} dB");
    // Single precision is closer than this, even on another device.
    assert!(worst > 5e-4, "{what}: off by only {worst}: was nothing stored in half precision?");
}

#[test]
fn every_family_renders_in_half_precision_within_its_bounds() {
    for (folder, file, name, psi, bounds) in PICTURES {
        for case in Case::of_devices(half_devices(), folder, &[file]) {
            let n = 1;
            let (every, expected) = case.expected.picture(name, n);
            let mut engine = case.open();
            let found = engine.render(&case.edit_of_z(n, psi)).unwrap().to_f32().unwrap();
            let info = engine.info().unwrap();
            let found = sampled(&found, [info.channels, info.size.height, info.size.width], every);
            assert_within(&case.what(name, n), &found, &expected, bounds);
        }
    }
}

/// Without this, an operator that widens its maps for good would pass.
#[test]
fn maps_between_stages_are_half_and_pictures_single() {
    let cases = [
        ("stylegan2_ada_skip", "model.pth", "w"),
        ("stylegan2_ada_resnet", "model.pth", "w"),
        ("stylegan1_genforce", "model.pth", "w"),
        ("stylegan3_t", "model.pth", "w"),
        ("pggan_genforce", "model.pth", "z_norm"),
        ("biggan_ajbrock", "G_ema.pth", "z"),
        ("biggan_deep_hf_small", "pytorch_model.bin", "z"),
        ("dcgan", "netG.pth", "z"),
    ];
    for (folder, file, code) in cases {
        for case in Case::of_devices(half_devices(), folder, &[file]) {
            let conditions = Conditions { label: case.label(1), psi: 0.5 };
            let outputs = run_stages(&case.load(), &case.expected.row(code, 1), &conditions, case.device.device());
            let (last, rest) = outputs.split_last().unwrap();
            assert_eq!(last.dtypes().1, Some(DType::F32), "{folder}");
            // Before the first convolution there is only a small map.
            for (stage, output) in rest.iter().enumerate().skip(1) {
                let (features, picture) = output.dtypes();
                assert_eq!(features, DType::F16, "{folder}, stage {stage}");
                assert_ne!(picture, Some(DType::F16), "{folder}, stage {stage}");
            }
        }
    }
}

/// Maps of half the size fit into devices of half the limit.
#[test]
fn sizes_are_counted_in_the_precision_of_the_maps() {
    for case in Case::of_devices(half_devices(), "pggan_genforce", &["model.pth"]) {
        // 16 channels of 16 x 16 pixels, and 8 of 32 x 32.
        let largest = 8 * 32 * 32 * 4;
        let load = |place: &Place, limit| {
            let weights = super::weights(&case.file);
            Generator::load(&weights, "case", place, ("device", Some(limit)), &mut progress::silent).map(|_| ())
        };
        let half = case.device.place();
        let single = half.with_precision(Precision::F32);
        assert!(load(&single, largest).is_ok() && load(half, largest / 2).is_ok());
        assert!(matches!(load(&single, largest - 1), Err(LoadError::TooLarge { .. })));
        assert!(matches!(load(half, largest / 2 - 1), Err(LoadError::TooLarge { .. })));
    }
}

#[test]
fn a_trained_network_in_half_precision_is_close_to_single() {
    let picture = |device: RenderDevice| {
        let mut engine = Engine::new(device);
        let info = engine.open(&Source::Example(Example::ToyHeads), &mut progress::silent).unwrap();
        engine.render(&info.start(0)).unwrap().to_f32().unwrap()
    };
    let expected = picture(RenderDevice::cpu(None));
    for device in half_devices() {
        assert_within("toy heads", &picture(device), &expected, TOY_HEADS);
    }
}
