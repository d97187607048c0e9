//! Every applicable fixture, the same body on the CPU and on wgpu: w, activations, pictures, SeFa, stored edits.

use std::path::PathBuf;

use sefa_studio::edit::{Code, Edit, LayerSet, Move, Noise, NoiseMode, Sample, Truncation, Weighting};
use sefa_studio::generator::{Family, Generator};
use sefa_studio::gpu::RenderDevice;
use sefa_studio::progress;
use sefa_studio::render::{Engine, Example, Source};

use crate::support::{Arrays, devices, fixture};

/// How far a picture may be off, absolute, in units of the -1..1 range. The fixtures' own bound is 5e-4.
const PICTURE: f32 = 5e-4;

/// A checkpoint file with the names that its fixture uses.
struct Case {
    file: PathBuf,
    expected: Arrays,
    /// Truncated per-layer codes.
    truncated_codes: &'static str,
    /// Names of the activations after each stage: features, and the picture so far where the fixture has it.
    stages: Vec<(String, Option<String>)>,
}

fn stylegan2_cases() -> Vec<Case> {
    let nvidia = |file: &str| Case {
        file: fixture(&format!("stylegan2_ada_skip/{file}")),
        expected: Arrays::read(&fixture("stylegan2_ada_skip/expected.safetensors")),
        truncated_codes: "ws_trunc",
        stages: [4, 8, 16, 32].map(|r| (format!("synthesis.b{r}.conv1"), None)).into(),
    };
    let genforce = Case {
        file: fixture("stylegan2_genforce/model.pth"),
        expected: Arrays::read(&fixture("stylegan2_genforce/expected.safetensors")),
        truncated_codes: "wp_trunc",
        stages: [0, 2, 4, 6].map(|n| (format!("synthesis.layer{n}"), None)).into(),
    };
    let rosinality = |file: &str| Case {
        file: fixture(&format!("stylegan2_rosinality/{file}")),
        expected: Arrays::read(&fixture("stylegan2_rosinality/expected.safetensors")),
        truncated_codes: "latent_trunc",
        stages: [("conv1", "to_rgb1"), ("convs.1", "to_rgbs.0"), ("convs.3", "to_rgbs.1"), ("convs.5", "to_rgbs.2")]
            .map(|(conv, rgb)| (conv.to_owned(), Some(rgb.to_owned())))
            .into(),
    };
    let mut cases = vec![nvidia("model.pth"), nvidia("model.safetensors"), genforce, rosinality("model.pt")];
    cases.push(rosinality("model_train.pt"));
    cases
}

fn open(file: &std::path::Path, device: &RenderDevice) -> Engine {
    let mut engine = Engine::new(device.clone());
    let opened = engine.open(&Source::File(file.into()), &mut progress::silent);
    opened.unwrap_or_else(|error| panic!("{}: {error:?}", file.display()));
    engine
}

/// Load the network itself, to look at its activations.
fn load(file: &std::path::Path, device: &RenderDevice) -> Generator {
    let checkpoint = sefa_studio::checkpoint::Checkpoint::open(file, &mut progress::silent).unwrap();
    let weights = sefa_studio::layout::detect(checkpoint).unwrap();
    Generator::load(&weights, "case", device.device(), ("device", None), &mut progress::silent).unwrap()
}

fn edit(code: Code, psi: f32) -> Edit {
    Edit {
        sample: Sample { code, class: None, mix: None },
        truncation: Truncation { psi, cutoff: None },
        ..Edit::default()
    }
}

#[track_caller]
fn assert_close(what: &str, found: &[f32], expected: &[f32], bound: f32) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= bound, "{what}: off by {worst}, allowed {bound}");
}

/// Relative to the largest expected value, or to 1.
#[track_caller]
fn assert_close_relative(what: &str, found: &[f32], expected: &[f32], bound: f32) {
    let largest = expected.iter().fold(1.0_f32, |m, x| m.max(x.abs()));
    assert_close(what, found, expected, bound * largest);
}

#[test]
fn stylegan2_maps_truncates_and_renders_as_the_reference() {
    for device in devices() {
        for case in stylegan2_cases() {
            let mut engine = open(&case.file, &device);
            let what = |part: &str, n: usize| format!("{} {part} sample {n} on {}", case.file.display(), device.label());
            let mut picture = |edit: &Edit| engine.render(edit).unwrap().to_f32().unwrap();
            let expected = &case.expected;
            // A training checkpoint has no mean w; an estimate cannot match a stored one.
            let has_mean = !case.file.ends_with("model_train.pt");
            for n in 0..2 {
                let z = Code::Z(expected.row("z", n));
                assert_close(&what("image", n), &picture(&edit(z.clone(), 1.0)), &expected.row("image", n), PICTURE);
                let from_w = picture(&edit(Code::W(expected.row("w", n)), 1.0));
                assert_close(&what("image from w", n), &from_w, &expected.row("image", n), PICTURE);
                if has_mean {
                    let truncated = picture(&edit(z.clone(), 0.5));
                    assert_close(&what("truncated", n), &truncated, &expected.row("image_trunc", n), PICTURE);
                }
                let codes = expected.rows(case.truncated_codes, n);
                let given = picture(&edit(Code::WPlus(codes), 0.123));
                assert_close(&what("image from w+", n), &given, &expected.row("image_trunc", n), PICTURE);
                if expected.has("image_nonoise") {
                    let silent = Edit { noise: Noise { mode: NoiseMode::None, seed: 0 }, ..edit(z, 1.0) };
                    assert_close(&what("no noise", n), &picture(&silent), &expected.row("image_nonoise", n), PICTURE);
                }
            }
        }
    }
}

#[test]
fn truncation_with_a_cutoff_is_that_of_genforce() {
    let expected = Arrays::read(&fixture("stylegan2_genforce/expected.safetensors"));
    for device in devices() {
        let mut engine = open(&fixture("stylegan2_genforce/model.pth"), &device);
        for n in 0..2 {
            let mut edit = edit(Code::Z(expected.row("z", n)), 0.7);
            edit.truncation.cutoff = Some(3);
            let found = engine.render(&edit).unwrap().to_f32().unwrap();
            assert_close("cutoff 3", &found, &expected.row("image_trunc_psi0.7_layers3", n), PICTURE);
        }
    }
}

#[test]
fn stylegan2_activations_match_stage_by_stage() {
    for device in devices() {
        for case in stylegan2_cases() {
            let generator = load(&case.file, &device);
            let z = case.expected.row("z", 1);
            let w = generator.network.code_from_z(&z, None).unwrap();
            assert_close_relative("w", &w, &case.expected.row("w", 1), 1e-5);
            let activations = crate::support::run_stages(&generator, &w, device.device());
            for (found, (features, picture)) in activations.iter().zip(&case.stages) {
                let (every, expected) = case.expected.activation(features, 1);
                let what = format!("{} {features} on {}", case.file.display(), device.label());
                assert_close_relative(&what, &found.features_every(every), &expected, 2e-4);
                if let Some(picture) = picture {
                    let (every, expected) = case.expected.activation(picture, 1);
                    assert_close_relative(&what, &found.picture_every(every), &expected, 2e-4);
                }
            }
            assert_eq!(activations.len(), 4);
        }
    }
}

#[test]
fn dcgan_renders_as_the_reference_in_single_and_half_precision() {
    let expected = Arrays::read(&fixture("dcgan/expected.safetensors"));
    for device in devices() {
        let files = [
            ("netG.pth", PICTURE),
            ("netG_dataparallel.pth", PICTURE),
            ("netG_f16.pth", 5e-3),
            ("netG_f16.safetensors", 5e-3),
        ];
        for (file, bound) in files {
            let mut engine = open(&fixture(&format!("dcgan/{file}")), &device);
            let info = engine.info().unwrap();
            assert_eq!((info.family, info.resolution, info.z_dim, info.num_layers), (Family::Dcgan, 64, 12, 1));
            for n in 0..2 {
                let edit = edit(Code::Z(expected.row("z", n)), 1.0);
                let found = engine.render(&edit).unwrap().to_f32().unwrap();
                assert_close(&format!("{file} on {}", device.label()), &found, &expected.row("image", n), bound);
            }
        }
        // Batch norms of the fixture, before their activation; ours are folded and come after it.
        let generator = load(&fixture("dcgan/netG.pth"), &device);
        let activations = crate::support::run_stages(&generator, &expected.row("z", 0), device.device());
        for (found, name) in activations.iter().zip(["main.1", "main.4", "main.7", "main.10"]) {
            let (every, before) = expected.activation(name, 0);
            let after: Vec<f32> = before.iter().map(|x| x.max(0.0)).collect();
            assert_close_relative(name, &found.features_every(every), &after, 2e-4);
        }
    }
}

#[test]
fn the_models_inside_the_program_render_as_when_they_were_trained() {
    for (example, case, samples) in [(Example::ToyHeads, "toy-heads", 8), (Example::Faces, "faces-dcgan", 4)] {
        let expected = Arrays::read(&fixture(&format!("models/{case}.expected.safetensors")));
        for device in devices() {
            let mut engine = Engine::new(device.clone());
            engine.open(&Source::Example(example), &mut progress::silent).unwrap();
            for n in 0..samples {
                let edit = edit(Code::Z(expected.row("z", n)), 1.0);
                let found = engine.render(&edit).unwrap().to_f32().unwrap();
                // The weights inside the program are f16.
                assert_close(case, &found, &expected.row("image", n), 2e-2);
            }
        }
    }
}

/// Eigenvalues and directions against the fixture; near-equal eigenvalues leave only a subspace to compare.
fn assert_basis(engine: &mut Engine, layers: &LayerSet, expected: &Arrays, group: &str) {
    let basis = engine.factorize(layers, Weighting::RowNormalised).unwrap();
    let eigenvalues = expected.get(&format!("sefa/{group}/eigenvalues"));
    let vectors = expected.get(&format!("sefa/{group}/eigenvectors"));
    let dim = basis.len();
    let found: Vec<f32> = basis.eigenvalues.iter().map(|&v| v as f32).collect();
    assert_close(&format!("eigenvalues of {group}"), &found, &eigenvalues, 1e-5 * eigenvalues[0]);
    for i in 0..dim {
        let gap = |j: usize| (eigenvalues[i] - eigenvalues[j]).abs() / eigenvalues[0];
        let is_alone = (i == 0 || gap(i - 1) > 1e-3) && (i + 1 == dim || gap(i + 1) > 1e-3);
        let row = &vectors[i * dim..(i + 1) * dim];
        let cosine: f32 = basis.direction(i).iter().zip(row).map(|(a, b)| a * b).sum();
        assert!(!is_alone || cosine.abs() >= 0.9999, "direction {i} of {group}: |cos| {}", cosine.abs());
    }
}

#[test]
fn sefa_finds_the_eigenvalues_and_directions_of_the_reference() {
    let cpu = RenderDevice::cpu(None);
    for case in stylegan2_cases() {
        let mut engine = open(&case.file, &cpu);
        for (group, layers) in [("all", "0-7"), ("0-1", "0-1"), ("2-5", "2-5"), ("6-7", "6-7")] {
            assert_basis(&mut engine, &layers.parse().unwrap(), &case.expected, group);
        }
    }
    let mut engine = open(&fixture("dcgan/netG.pth"), &cpu);
    let expected = Arrays::read(&fixture("dcgan/expected.safetensors"));
    assert_basis(&mut engine, &LayerSet::range(0, 0), &expected, "main.0");
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
    let expected = Arrays::read(&fixture("stylegan2_ada_skip/expected.safetensors"));
    // The fixture's own direction: ours may have the other sign.
    let direction = expected.get("sefa/2-5/eigenvectors")[16..32].to_vec();
    for device in devices() {
        let mut engine = open(&fixture("stylegan2_ada_skip/model.pth"), &device);
        for n in 0..2 {
            let mut edit = edit(Code::Z(expected.row("z", n)), 0.5);
            edit.moves.push(Move {
                layers: "2-5".parse().unwrap(),
                weighting: Weighting::RowNormalised,
                index: 1,
                vector: direction.clone(),
                value: 3.0,
                enabled: true,
                name: String::new(),
            });
            let found = engine.render(&edit).unwrap().to_f32().unwrap();
            assert_close("edited picture", &found, &expected.row("edit/image", n), PICTURE);
        }
    }
}
