//! StyleGAN, with a fused layer at 128 pixels, and as others trained or ported it.

use burn::tensor::{Tensor, TensorData};
use sefa_studio::edit::{Code, Truncation};
use sefa_studio::family::Family;
use sefa_studio::generator::{Conditions, NoiseInput};
use sefa_studio::size::Size;

use super::{Case, PICTURE, assert_basis, assert_close};
use crate::support::run_stages_with;

fn cases() -> Vec<Case> {
    Case::all("stylegan1_genforce", &["model.pth", "model_tf.pkl"])
}

#[test]
fn stylegan_truncates_renders_and_edits_as_the_reference() {
    for case in cases() {
        let mut engine = case.open();
        let info = engine.info().unwrap();
        assert_eq!((info.family, info.size, info.num_layers), (Family::StyleGan, Size::square(128), 12));
        assert_eq!(info.default_truncation, Some(Truncation { psi: 0.7, cutoff: Some(8) }));
        for n in case.samples() {
            let mut edit = case.edit_of_z(n, 1.0);
            case.assert_picture(&mut engine, &edit, "image", n, PICTURE);
            edit.truncation = info.default_truncation.unwrap();
            case.assert_picture(&mut engine, &edit, "image_trunc", n, PICTURE);
            edit.moves.push(case.stored_move("2-5", 0, 2.0, "2-5"));
            case.assert_picture(&mut engine, &edit, "edit/image", n, PICTURE);
            let codes = Code::WPlus(case.expected.rows("wp_trunc", n));
            case.assert_picture(&mut engine, &case.edit(n, codes, 0.123), "image_trunc", n, PICTURE);
        }
    }
}

#[test]
fn stylegan_activations_match_stage_by_stage() {
    for case in cases() {
        let generator = case.load();
        for n in case.samples() {
            let w = case.assert_code(&generator, "w", n);
            let names = [1, 3, 5, 7, 9, 11].map(|n| format!("synthesis.layer{n}"));
            case.assert_stages(&generator, &w, 1.0, n, &names.each_ref().map(String::as_str));
        }
    }
}

#[test]
fn stylegan_has_the_directions_of_the_reference() {
    for case in cases().iter().filter(|case| case.is_cpu()) {
        let mut engine = case.open();
        for (group, layers) in [("all", "0-11"), ("0-1", "0-1"), ("2-5", "2-5"), ("6-11", "6-11")] {
            assert_basis(&mut engine, &layers.parse().unwrap(), &case.expected, group);
        }
    }
}

/// A fixture of another layout, and its activations after each block.
struct Port {
    folder: &'static str,
    file: &'static str,
    side: usize,
    activations: &'static [&'static str],
    /// The code of the moved sample: one for all layers, or one for each.
    edited: &'static str,
}

const PORTS: [Port; 3] = [
    Port {
        folder: "stylegan1_interfacegan",
        file: "model.pth",
        side: 32,
        activations: &["synthesis.layer1", "synthesis.layer3", "synthesis.layer5", "synthesis.layer7"],
        edited: "edit/wp",
    },
    Port {
        folder: "stylegan1_lernapparat",
        file: "model.pt",
        side: 32,
        activations: &[
            "g_synthesis.blocks.4x4.epi2",
            "g_synthesis.blocks.8x8.epi2",
            "g_synthesis.blocks.16x16.epi2",
            "g_synthesis.blocks.32x32.epi2",
        ],
        edited: "edit/wp",
    },
    Port {
        folder: "stylegan1_rosinality",
        file: "model.model",
        side: 16,
        activations: &["generator.progression.0", "generator.progression.1", "generator.progression.2"],
        edited: "edit/w",
    },
];

#[test]
fn ports_of_stylegan_render_as_their_own_code() {
    for port in PORTS {
        for case in Case::all(port.folder, &[port.file]) {
            let mut engine = case.open();
            let generator = case.load();
            let info = engine.info().unwrap();
            assert_eq!((info.family, info.size), (Family::StyleGan, Size::square(port.side)), "{}", port.folder);
            for n in case.samples() {
                let w = case.assert_code(&generator, "w", n);
                case.assert_stages(&generator, &w, 1.0, n, port.activations);
                case.assert_picture(&mut engine, &case.edit_of_z(n, 1.0), "image", n, PICTURE);
                let edited = match port.edited {
                    "edit/w" => Code::W(case.expected.row(port.edited, n)),
                    _ => Code::WPlus(case.expected.rows(port.edited, n)),
                };
                case.assert_picture(&mut engine, &case.edit(n, edited, 1.0), "edit/image", n, PICTURE);
            }
        }
    }
}

#[test]
fn ports_of_stylegan_truncate_as_their_own_code() {
    for case in Case::all("stylegan1_interfacegan", &["model.pth"]) {
        let mut engine = case.open();
        for n in case.samples() {
            let mut edit = case.edit_of_z(n, 1.0);
            edit.truncation = Truncation { psi: 0.7, cutoff: Some(3) };
            case.assert_picture(&mut engine, &edit, "image_trunc", n, PICTURE);
        }
    }
    for case in Case::all("stylegan1_rosinality", &["model.model"]) {
        let mean = case.expected.get("mean_w");
        let case = case.with_shaped_tensor("truncation.w_avg", &[mean.len()], &mean);
        let mut engine = case.open();
        for n in case.samples() {
            case.assert_picture(&mut engine, &case.edit_of_z(n, 0.7), "image_trunc", n, PICTURE);
        }
    }
}

/// Noise of each layer, or of each block for both of its layers.
#[test]
fn ports_of_stylegan_add_noise_as_their_own_code() {
    for port in &PORTS[1..] {
        for case in Case::all(port.folder, &[port.file]) {
            let generator = case.load();
            let of_blocks = port.edited == "edit/w";
            let noise = |layer: usize, size: Size| {
                assert!(!of_blocks || layer.is_multiple_of(2), "both layers of a block ask for the same noise");
                let name = format!("noise/{}", if of_blocks { layer / 2 } else { layer });
                let shape = [1, 1, size.height, size.width];
                Tensor::from_data(TensorData::new(case.expected.get(&name), shape), case.device.device())
            };
            for n in case.samples() {
                let w = case.expected.row("w", n);
                let given = NoiseInput::Given(&noise);
                let device = case.device.device();
                let outputs = run_stages_with(&generator, &w, &Conditions::default(), &given, device);
                let (every, expected) = case.expected.picture("image_noise", n);
                let found = outputs.last().unwrap().picture_every(every);
                assert_close(&case.what("image_noise", n), &found, &expected, PICTURE);
            }
        }
    }
}

/// The picture of a network whose last block was never trained is that of the block before.
#[test]
fn a_stylegan_of_rosinality_ends_where_its_training_did() {
    for case in Case::all("stylegan1_rosinality", &["model.model"]) {
        let starts_at_zero = |name: &str| name.contains(".noise") || name.ends_with("conv.bias");
        let case = case.with_raw_tensors("g_running", |name, values| {
            if name.starts_with("generator.progression.2.") && starts_at_zero(name) {
                values.fill(0.0);
            }
        });
        let mut engine = case.open();
        assert_eq!(engine.info().unwrap().size, Size::square(8));
        for n in case.samples() {
            case.assert_picture(&mut engine, &case.edit_of_z(n, 1.0), "image_step1", n, PICTURE);
        }
    }
}

#[test]
fn ports_of_stylegan_have_the_directions_of_the_reference() {
    for port in PORTS {
        for case in Case::all(port.folder, &[port.file]).iter().filter(|case| case.is_cpu()) {
            let mut engine = case.open();
            let all = format!("0-{}", engine.info().unwrap().num_layers - 1);
            for (group, layers) in [("all", all.as_str()), ("0-1", "0-1")] {
                assert_basis(&mut engine, &layers.parse().unwrap(), &case.expected, group);
            }
        }
    }
}
