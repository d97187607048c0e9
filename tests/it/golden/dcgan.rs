//! DCGAN: activations, pictures in single and half precision, SeFa.

use sefa_studio::edit::LayerSet;
use sefa_studio::family::Family;
use sefa_studio::generator::Conditions;
use sefa_studio::size::Size;

use super::{ACTIVATION, Case, PICTURE, assert_basis, assert_close_relative};
use crate::support::run_stages;

#[test]
fn dcgan_renders_as_the_reference_in_single_and_half_precision() {
    let files = ["netG.pth", "netG_dataparallel.pth", "netG_f16.pth", "netG_f16.safetensors"];
    for case in Case::all("dcgan", &files) {
        let mut engine = case.open();
        let info = engine.info().unwrap();
        assert_eq!((info.family, info.size, info.z_dim, info.num_layers), (Family::Dcgan, Size::square(64), 12, 1));
        let is_half = case.file.to_string_lossy().contains("f16");
        for n in case.samples() {
            case.assert_picture(&mut engine, &case.edit_of_z(n, 1.0), "image", n, if is_half { 5e-3 } else { PICTURE });
        }
    }
}

/// Batch norms of the fixture are before their activation; ours are folded and come after it.
#[test]
fn dcgan_activations_match_stage_by_stage() {
    for case in Case::all("dcgan", &["netG.pth"]) {
        let code = case.expected.row("z", 0);
        let outputs = run_stages(&case.load(), &code, &Conditions::default(), case.device.device());
        for (found, name) in outputs.iter().zip(["main.1", "main.4", "main.7", "main.10"]) {
            let (every, before) = case.expected.activation(name, 0);
            let after: Vec<f32> = before.iter().map(|x| x.max(0.0)).collect();
            assert_close_relative(&case.what(name, 0), &found.features_every(every), &after, ACTIVATION);
        }
    }
}

#[test]
fn dcgan_has_the_directions_of_the_reference() {
    for case in Case::all("dcgan", &["netG.pth"]).iter().filter(|case| case.is_cpu()) {
        assert_basis(&mut case.open(), &LayerSet::range(0, 0), &case.expected, "main.0");
    }
}
