//! StyleGAN2 in the spellings of other projects, oblong, without noise, with bilinear up-sampling; StyleGAN3 of portraits.

use sefa_studio::edit::{Code, Noise, NoiseMode};
use sefa_studio::family::Family;
use sefa_studio::render::{Engine, Source};
use sefa_studio::size::Size;
use sefa_studio::{layout, progress};

use super::{Case, PICTURE, assert_basis, assert_close_relative};
use crate::support::{Arrays, fixture};

/// A fixture, with what it has.
struct Network {
    folder: &'static str,
    files: &'static [&'static str],
    family: Family,
    size: Size,
    /// Features after each stage.
    stages: &'static [&'static str],
    /// Psi and cutoff of `image_trunc`, where the file has a mean w.
    truncation: Option<(f32, Option<usize>)>,
    /// Bound of pictures.
    bound: f32,
    groups: &'static [(&'static str, &'static str)],
}

const NVIDIA: [&str; 4] = ["synthesis.b4.conv1", "synthesis.b8.conv1", "synthesis.b16.conv1", "synthesis.b32.conv1"];
const BASICSR: [&str; 3] = ["style_conv1", "style_convs.1", "style_convs.3"];
const FEW_LAYERS: &[(&str, &str)] = &[("all", "0-5"), ("0-1", "0-1")];
const MORE_LAYERS: &[(&str, &str)] = &[("all", "0-7"), ("0-1", "0-1")];

const NETWORKS: [Network; 8] = [
    Network {
        folder: "stylegan2_human_oblong",
        files: &["model.pth", "model.pkl"],
        family: Family::StyleGan2,
        size: Size::new(16, 32),
        stages: &NVIDIA,
        truncation: Some((0.6, None)),
        bound: PICTURE,
        groups: MORE_LAYERS,
    },
    Network {
        folder: "rosinality_oblong",
        files: &["model.pt"],
        family: Family::StyleGan2,
        size: Size::new(16, 32),
        stages: &["conv1", "convs.1", "convs.3", "convs.5"],
        truncation: Some((0.6, None)),
        bound: PICTURE,
        groups: MORE_LAYERS,
    },
    Network {
        folder: "stylegan2_init_size",
        files: &["model.pth", "model.pkl"],
        family: Family::StyleGan2,
        size: Size::new(24, 16),
        stages: NVIDIA.first_chunk::<3>().unwrap(),
        truncation: Some((0.6, None)),
        bound: PICTURE,
        groups: FEW_LAYERS,
    },
    Network {
        folder: "stylegan2_no_noise",
        files: &["model.pth", "model.pkl"],
        family: Family::StyleGan2,
        size: Size::square(16),
        stages: NVIDIA.first_chunk::<3>().unwrap(),
        truncation: Some((0.6, None)),
        bound: PICTURE,
        groups: FEW_LAYERS,
    },
    Network {
        folder: "stylegan2_mmgen",
        files: &["model.pth", "model_ema.pth"],
        family: Family::StyleGan2,
        size: Size::square(16),
        stages: &["conv1", "convs.1", "convs.3"],
        truncation: None,
        bound: PICTURE,
        groups: FEW_LAYERS,
    },
    Network {
        folder: "stylegan2_basicsr",
        files: &["model.pth"],
        family: Family::StyleGan2,
        size: Size::square(16),
        stages: &BASICSR,
        truncation: Some((0.6, None)),
        bound: PICTURE,
        groups: FEW_LAYERS,
    },
    Network {
        folder: "stylegan2_clean",
        files: &["model.pth"],
        family: Family::StyleGan2,
        size: Size::square(16),
        stages: &BASICSR,
        truncation: None,
        bound: PICTURE,
        groups: FEW_LAYERS,
    },
    Network {
        folder: "stylegan3_human_oblong",
        files: &["model.pkl", "state_dict.pth"],
        family: Family::StyleGan3,
        size: Size::new(16, 32),
        stages: &[
            "synthesis.input",
            "synthesis.L0_18_10",
            "synthesis.L1_18_10",
            "synthesis.L2_26_10",
            "synthesis.L3_26_10",
            "synthesis.L4_26_10",
            "synthesis.L5_16_10",
            "synthesis.L6_16_3",
        ],
        truncation: Some((0.6, Some(3))),
        bound: 1e-3,
        // The input layer has no rows.
        groups: &[("all", "0-7")],
    },
];

fn silent(mut edit: sefa_studio::edit::Edit) -> sefa_studio::edit::Edit {
    edit.noise = Noise { mode: NoiseMode::None, seed: 0 };
    edit
}

#[test]
fn other_spellings_render_as_their_references() {
    for network in &NETWORKS {
        for case in Case::all(network.folder, network.files) {
            let mut engine = case.open();
            let info = engine.info().unwrap();
            assert_eq!((info.family, info.size), (network.family, network.size), "{}", case.what("size", 0));
            assert_pictures(&case, &mut engine, network);
        }
    }
}

fn assert_pictures(case: &Case, engine: &mut Engine, network: &Network) {
    let codes = |name: &str, n| Code::WPlus(case.expected.rows(name, n));
    for n in case.samples() {
        let plain = case.edit_of_z(n, 1.0);
        case.assert_picture(engine, &plain, "image", n, network.bound);
        let w = case.edit(n, Code::W(case.expected.row("w", n)), 1.0);
        case.assert_picture(engine, &w, "image", n, network.bound);
        if case.expected.has("image_nonoise") {
            case.assert_picture(engine, &silent(plain), "image_nonoise", n, network.bound);
        }
        if let Some((psi, cutoff)) = network.truncation {
            let mut truncated = case.edit_of_z(n, psi);
            truncated.truncation.cutoff = cutoff;
            case.assert_picture(engine, &truncated, "image_trunc", n, network.bound);
        }
        if case.expected.has("image_trunc") {
            case.assert_picture(engine, &case.edit(n, codes("ws_trunc", n), 1.0), "image_trunc", n, network.bound);
        }
        case.assert_picture(engine, &case.edit(n, codes("edit/ws", n), 1.0), "edit/image", n, network.bound);
    }
}

#[test]
fn other_spellings_have_the_activations_of_their_references() {
    for network in &NETWORKS {
        for case in Case::all(network.folder, network.files) {
            let generator = case.load();
            for n in case.samples() {
                let w = case.assert_code(&generator, "w", n);
                case.assert_stages(&generator, &w, 1.0, n, network.stages);
            }
        }
    }
}

#[test]
fn other_spellings_have_the_directions_of_their_references() {
    for network in &NETWORKS {
        for case in Case::all(network.folder, network.files).into_iter().filter(Case::is_cpu) {
            let mut engine = case.open();
            for (group, layers) in network.groups {
                assert_basis(&mut engine, &layers.parse().unwrap(), &case.expected, group);
            }
        }
    }
}

/// MMGeneration adds its epsilon to the root, which shows where z is next to nothing.
#[test]
fn tiny_codes_are_normalised_as_mmgeneration_does() {
    for case in Case::all("stylegan2_mmgen", &["model_ema.pth"]) {
        let generator = case.load();
        for n in case.samples() {
            let z = case.expected.row("z_small", n);
            let w = super::code_from_z(&generator, &z, &case.label(n));
            assert_close_relative(&case.what("w_small", n), &w, &case.expected.row("w_small", n), super::CODE);
        }
    }
}

/// Blue comes first in what the network makes, and red in what is shown.
#[test]
fn pictures_of_mmgeneration_are_shown_with_red_first() {
    for case in Case::all("stylegan2_mmgen", &["model_ema.pth"]) {
        let mut engine = case.open();
        let picture = engine.render(&case.edit_of_z(1, 1.0)).unwrap();
        let (values, pixels) = (picture.to_f32().unwrap(), picture.to_pixels().unwrap());
        let plane = pixels.width * pixels.height;
        for (pixel, shown) in pixels.data.chunks_exact(3).enumerate() {
            let byte = |channel: usize| (values[channel * plane + pixel] * 127.5 + 128.0) as u8;
            assert_eq!(shown, [byte(2), byte(1), byte(0)], "pixel {pixel}");
        }
    }
}

/// Names and shapes are those of the filter; the user tells.
#[test]
fn bilinear_networks_render_as_their_reference_once_told() {
    for case in Case::all("stylegan2_bilinear", &["model.pth"]) {
        let source = Source::File(case.file.clone()).told([("upsampling", "bilinear".into())]);
        let mut engine = Engine::new(case.device.clone());
        let info = engine.open(&source, &mut progress::silent).unwrap();
        assert!(!info.warnings.iter().any(|warning| warning.contains("bilinear")), "{:?}", info.warnings);
        let network = Network {
            folder: "stylegan2_bilinear",
            files: &["model.pth"],
            family: Family::StyleGan2,
            size: Size::square(16),
            stages: &BASICSR,
            truncation: None,
            bound: PICTURE,
            groups: FEW_LAYERS,
        };
        assert_pictures(&case, &mut engine, &network);
        for (group, layers) in network.groups {
            assert_basis(&mut engine, &layers.parse().unwrap(), &case.expected, group);
        }
        let generator = sefa_studio::generator::Generator::load(
            &layout::detect(source.open(&mut progress::silent).unwrap()).unwrap(),
            "case",
            case.device.place(),
            ("device", None),
            &mut progress::silent,
        );
        let generator = generator.unwrap();
        for n in case.samples() {
            let w = case.assert_code(&generator, "w", n);
            case.assert_stages(&generator, &w, 1.0, n, network.stages);
        }
    }
}

/// The same network as another fixture, in a file without noise that fits.
#[test]
fn files_without_noise_are_drawn_without_and_take_random_noise() {
    for (folder, file) in [("rosinality_oblong", "model_nonoise.pt"), ("stylegan2_tf_surgery", "model.pkl")] {
        for case in Case::all(folder, &[file]) {
            let mut engine = case.open();
            let info = engine.info().unwrap();
            assert!(info.has_noise && !info.stores_noise, "{folder}");
            assert_eq!(info.start(0).noise.mode, NoiseMode::None, "{folder}");
            for n in case.samples() {
                // Whether none is asked for, or what the file does not have.
                let plain = case.edit_of_z(n, 1.0);
                case.assert_picture(&mut engine, &plain, "image_nonoise", n, PICTURE);
                case.assert_picture(&mut engine, &silent(plain.clone()), "image_nonoise", n, PICTURE);
                let mut random = plain.clone();
                random.noise = Noise { mode: NoiseMode::Random, seed: 7 };
                let noisy = engine.render(&random).unwrap().to_f32().unwrap();
                assert_ne!(noisy, engine.render(&plain).unwrap().to_f32().unwrap(), "{folder}");
            }
        }
    }
}

/// Noise of a seed is the same rows on every device, whatever the shape.
#[test]
fn random_noise_of_oblong_networks_is_the_same_on_every_device() {
    let expected = Arrays::read(&fixture("stylegan2_init_size/expected.safetensors"));
    let mut pictures = Vec::new();
    for case in Case::all("stylegan2_init_size", &["model.pth"]) {
        let mut edit = case.edit(0, Code::Z(expected.row("z", 0)), 1.0);
        edit.noise = Noise { mode: NoiseMode::Random, seed: 3 };
        pictures.push(case.open().render(&edit).unwrap().to_f32().unwrap());
    }
    for picture in &pictures[1..] {
        super::assert_close("random noise", picture, &pictures[0], PICTURE);
    }
}
