//! StyleGAN2 in every layout and architecture, with and without classes.

use sefa_studio::edit::{Code, LayerSet, Noise, NoiseMode, Weighting};
use sefa_studio::family::Family;
use sefa_studio::generator::Conditions;
use sefa_studio::gpu::RenderDevice;

use super::{ACTIVATION, Case, PICTURE, assert_basis, assert_close, assert_close_relative, open};
use crate::support::{Arrays, fixture, run_stages};

/// A fixture with its truncation and names.
struct Network {
    folder: &'static str,
    files: &'static [&'static str],
    psi: f32,
    cutoff: Option<usize>,
    /// Truncated per-layer codes.
    codes: &'static str,
    /// Features after each stage; empty where the fixture has none.
    stages: &'static [&'static str],
}

const NVIDIA: [&str; 4] = ["synthesis.b4.conv1", "synthesis.b8.conv1", "synthesis.b16.conv1", "synthesis.b32.conv1"];
const GENFORCE: [&str; 4] = ["synthesis.layer0", "synthesis.layer2", "synthesis.layer4", "synthesis.layer6"];

const NETWORKS: [Network; 6] = [
    Network {
        folder: "stylegan2_ada_skip",
        files: &["model.pth", "model.safetensors", "model.pkl", "model_tf.pkl"],
        psi: 0.5,
        cutoff: None,
        codes: "ws_trunc",
        stages: &NVIDIA,
    },
    Network {
        folder: "stylegan2_genforce",
        files: &["model.pth"],
        psi: 0.5,
        cutoff: None,
        codes: "wp_trunc",
        stages: &GENFORCE,
    },
    Network {
        folder: "stylegan2_rosinality",
        files: &["model.pt"],
        psi: 0.5,
        cutoff: None,
        codes: "latent_trunc",
        stages: &["conv1", "convs.1", "convs.3", "convs.5"],
    },
    Network {
        folder: "stylegan2_ada_cond_pkl",
        files: &["model.pkl"],
        psi: 0.7,
        cutoff: Some(3),
        codes: "ws_trunc",
        stages: &NVIDIA,
    },
    Network {
        folder: "stylegan2_genforce_cond",
        files: &["model.pth"],
        psi: 0.5,
        cutoff: Some(4),
        codes: "wp_trunc",
        stages: GENFORCE.first_chunk::<3>().unwrap(),
    },
    // Its features are compared by a test of their own.
    Network {
        folder: "stylegan2_ada_resnet",
        files: &["model.pth"],
        psi: 0.5,
        cutoff: None,
        codes: "ws_trunc",
        stages: &["synthesis.b4.conv1", "", ""],
    },
];

fn cases(network: &Network) -> Vec<Case> {
    Case::all(network.folder, network.files)
}

#[test]
fn stylegan2_maps_truncates_and_renders_as_the_reference() {
    for network in &NETWORKS {
        for case in cases(network) {
            let mut engine = case.open();
            assert_eq!(engine.info().unwrap().family, Family::StyleGan2);
            for n in case.samples() {
                let plain = case.edit_of_z(n, 1.0);
                case.assert_picture(&mut engine, &plain, "image", n, PICTURE);
                let w = case.edit(n, Code::W(case.expected.row("w", n)), 1.0);
                case.assert_picture(&mut engine, &w, "image", n, PICTURE);
                let mut truncated = case.edit_of_z(n, network.psi);
                truncated.truncation.cutoff = network.cutoff;
                case.assert_picture(&mut engine, &truncated, "image_trunc", n, PICTURE);
                let codes = case.edit(n, Code::WPlus(case.expected.rows(network.codes, n)), 0.123);
                case.assert_picture(&mut engine, &codes, "image_trunc", n, PICTURE);
                if case.expected.has("image_nonoise") {
                    let mut silent = plain;
                    silent.noise = Noise { mode: NoiseMode::None, seed: 0 };
                    case.assert_picture(&mut engine, &silent, "image_nonoise", n, PICTURE);
                }
            }
        }
    }
}

#[test]
fn stylegan2_activations_match_stage_by_stage() {
    for network in &NETWORKS {
        for case in cases(network) {
            let generator = case.load();
            for n in case.samples() {
                let w = case.assert_code(&generator, "w", n);
                case.assert_stages(&generator, &w, 1.0, n, network.stages);
            }
        }
    }
}

/// The fixture has the pictures so far after every block of this layout only.
#[test]
fn pictures_add_up_as_the_reference() {
    for case in Case::all("stylegan2_rosinality", &["model.pt"]) {
        let outputs =
            run_stages(&case.load(), &case.expected.row("w", 1), &Conditions::default(), case.device.device());
        for (output, name) in outputs.iter().zip(["to_rgb1", "to_rgbs.0", "to_rgbs.1", "to_rgbs.2"]) {
            let (every, expected) = case.expected.activation(name, 1);
            assert_close_relative(&case.what(name, 1), &output.picture_every(every), &expected, ACTIVATION);
        }
    }
}

/// The fixture has both branches of a residual block; ours are already added.
#[test]
fn residual_blocks_match_stage_by_stage() {
    for case in Case::all("stylegan2_ada_resnet", &["model.pth"]) {
        let outputs =
            run_stages(&case.load(), &case.expected.row("w", 1), &Conditions::default(), case.device.device());
        for (output, block) in outputs[1..].iter().zip(["synthesis.b8", "synthesis.b16"]) {
            let branch = |name: &str| case.expected.row(&format!("act/{block}.{name}"), 1);
            let sum: Vec<f32> = branch("conv1").iter().zip(branch("skip")).map(|(a, b)| a + b).collect();
            assert_close_relative(&case.what(block, 1), &output.features_every(1), &sum, ACTIVATION);
        }
    }
}

/// Trained by rosinality's program, the file has no mean w; an estimate cannot match a stored one.
#[test]
fn a_training_checkpoint_renders_as_the_reference_where_the_mean_does_not_matter() {
    for case in Case::all("stylegan2_rosinality", &["model_train.pt"]) {
        let mut engine = case.open();
        for n in case.samples() {
            case.assert_picture(&mut engine, &case.edit_of_z(n, 1.0), "image", n, PICTURE);
        }
    }
}

#[test]
fn truncation_with_a_cutoff_is_that_of_genforce() {
    for case in Case::all("stylegan2_genforce", &["model.pth"]) {
        let mut engine = case.open();
        for n in case.samples() {
            let mut edit = case.edit_of_z(n, 0.7);
            edit.truncation.cutoff = Some(3);
            case.assert_picture(&mut engine, &edit, "image_trunc_psi0.7_layers3", n, PICTURE);
        }
    }
}

#[test]
fn a_mean_per_layer_truncates_each_layer_by_its_own() {
    let cases = Case::all("stylegan2_ada_skip", &["model.pth"]);
    let case = &cases[0];
    let w = case.expected.row("w", 0);
    let codes: Vec<Vec<f32>> = (0..8).map(|layer| w.iter().map(|x| 0.5 * x + 0.5 * layer as f32).collect()).collect();
    let means: Vec<f32> = (0..8).flat_map(|layer| vec![layer as f32; w.len()]).collect();
    let mut engine = case.with_shaped_tensor("mapping.w_avg", &[8, w.len()], &means).open();
    let truncated = engine.render(&case.edit(0, Code::W(w), 0.5)).unwrap().to_f32().unwrap();
    let given = engine.render(&case.edit(0, Code::WPlus(codes), 1.0)).unwrap().to_f32().unwrap();
    assert_close("mean per layer", &truncated, &given, 1e-5);
}

#[test]
fn stylegan2_has_the_directions_of_the_reference() {
    for network in NETWORKS.iter().filter(|network| network.stages.len() == 4) {
        for case in cases(network).iter().filter(|case| case.is_cpu()) {
            let mut engine = case.open();
            for (group, layers) in [("all", "0-7"), ("0-1", "0-1"), ("2-5", "2-5"), ("6-7", "6-7")] {
                assert_basis(&mut engine, &layers.parse().unwrap(), &case.expected, group);
            }
        }
    }
}

#[test]
fn the_raw_variant_is_that_of_rosinality() {
    let mut engine = open(&fixture("stylegan2_rosinality/model.pt"), &RenderDevice::cpu(None));
    let expected = Arrays::read(&fixture("stylegan2_rosinality/expected.safetensors"));
    let basis = engine.factorize(&LayerSet::range(0, 7), Weighting::Raw).unwrap();
    let singular = expected.get("closed_form/singular_values");
    let found: Vec<f32> = basis.eigenvalues.iter().map(|v| v.sqrt() as f32).collect();
    assert_close("singular values", &found, &singular, 1e-5 * singular[0]);
    let rows = expected.get("closed_form/eigvec_rows");
    for i in 0..basis.len() {
        let cosine: f32 = basis.direction(i).iter().zip(&rows[i * 16..]).map(|(a, b)| a * b).sum();
        assert!(cosine.abs() >= 0.9999, "direction {i}: |cos| {}", cosine.abs());
    }
}

#[test]
fn a_move_along_a_stored_direction_gives_the_stored_picture() {
    for folder in ["stylegan2_ada_skip", "stylegan2_genforce"] {
        for case in Case::all(folder, &["model.pth"]) {
            let mut engine = case.open();
            for n in case.samples() {
                let mut edit = case.edit_of_z(n, 0.5);
                edit.moves.push(case.stored_move("2-5", 1, 3.0, "2-5"));
                case.assert_picture(&mut engine, &edit, "edit/image", n, PICTURE);
            }
        }
    }
}
