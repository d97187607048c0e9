//! Half precision: the reference's pictures of every family, with weights and maps in f16 on wgpu.

use super::Case;
use crate::support::{half_devices, sampled};

/// A picture of a fixture, and how far it may be off: about twice what was measured.
struct Picture {
    folder: &'static str,
    file: &'static str,
    name: &'static str,
    psi: f32,
    /// In units of the -1..1 range.
    error: f32,
    /// Decibels over that range.
    psnr: f32,
}

const fn picture(
    folder: &'static str,
    file: &'static str,
    name: &'static str,
    psi: f32,
    [error, psnr]: [f32; 2],
) -> Picture {
    Picture { folder, file, name, psi, error, psnr }
}

const PICTURES: [Picture; 10] = [
    picture("stylegan2_ada_skip", "model.pth", "image", 1.0, [0.005, 64.0]),
    picture("stylegan2_ada_resnet", "model.pth", "image", 1.0, [0.0036, 65.5]),
    picture("stylegan1_genforce", "model.pth", "image", 1.0, [0.037, 52.5]),
    picture("stylegan3_t", "model.pth", "image", 1.0, [0.003, 68.5]),
    picture("pggan_genforce", "model.pth", "image", 1.0, [0.025, 55.5]),
    picture("biggan_ajbrock", "G_ema.pth", "image", 1.0, [0.015, 58.0]),
    picture("biggan_deep_ajbrock", "G_ema.pth", "image", 1.0, [0.0076, 61.0]),
    picture("biggan_deep_hf_small", "pytorch_model.bin", "image_t0.4", 0.4, [0.026, 54.0]),
    picture("dcgan", "netG.pth", "image", 1.0, [0.0036, 73.5]),
    picture("dcgan", "netG_f16.pth", "image", 1.0, [0.0041, 71.0]),
];

#[test]
fn every_family_renders_in_half_precision_within_its_bounds() {
    for Picture { folder, file, name, psi, error, psnr } in PICTURES {
        for case in Case::of_devices(half_devices(), folder, &[file]) {
            let n = 1;
            let (every, expected) = case.expected.picture(name, n);
            let mut engine = case.open();
            let found = engine.render(&case.edit_of_z(n, psi)).unwrap().to_f32().unwrap();
            let info = engine.info().unwrap();
            let found = sampled(&found, [info.channels, info.resolution, info.resolution], every);
            assert_eq!(found.len(), expected.len());
            let errors = || found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
            let worst = errors().fold(0.0, f32::max);
            let mean_square = errors().map(|x| x * x).sum::<f32>() / expected.len() as f32;
            let decibels = 10.0 * (4.0 / mean_square).log10();
            let what = case.what(name, n);
            assert!(worst <= error && decibels >= psnr, "{what}: off by {worst}, PSNR {decibels} dB");
            // Below the bound of single precision nothing would have been stored in half.
            assert!(worst > 2e-5, "{what}: off by only {worst}");
        }
    }
}
