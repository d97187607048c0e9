//! Chains: every step against PyTorch (`chain_steps`, whose files carry their recipes), networks that are read from shapes
//! and statistics (`chain_read`, whose batch norms hold what their codes bring to them), and public layouts.

use sefa_studio::edit::{Code, LayerSet, Sample};
use sefa_studio::family::Family;
use sefa_studio::recipe::{Prior, Source};
use sefa_studio::size::Size;

use super::{Case, PICTURE, assert_basis, assert_close, edit};
use crate::support::{Arrays, devices, fixture};

fn files(folder: &str) -> Vec<String> {
    let names =
        std::fs::read_dir(fixture(folder)).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.contains("expected")).collect();
    names.sort();
    names
}

/// The stored pictures of both samples, with classes where there are some.
#[track_caller]
fn assert_pictures(case: &Case, expected: &Arrays, prefix: &str) {
    let mut engine = case.open();
    let info = engine.info().unwrap();
    for n in case.samples() {
        let class =
            expected.has(&format!("{prefix}class_index")).then(|| expected.get(&format!("{prefix}class_index"))[n]);
        let mut edit = edit(Code::Z(expected.row(&format!("{prefix}z"), n)), 1.0);
        edit.sample = Sample { class: class.map(|class| class as usize), ..edit.sample };
        let found = engine.render(&edit).unwrap().to_f32().unwrap();
        let own: Vec<f32> = match info.recipe.as_ref().map(|recipe| serde_json::to_string(&recipe.range).unwrap()) {
            Some(range) if range.contains("logits") => found.iter().map(|x| 2.0 * x.atanh()).collect(),
            _ => found.iter().map(|&x| info.range().own(x)).collect(),
        };
        assert_close(&case.what("picture", n), &own, &expected.row(&format!("{prefix}image"), n), PICTURE);
    }
}

#[test]
fn every_step_does_what_pytorch_does() {
    let files = files("chain_steps");
    assert_eq!(files.len(), 12);
    let names: Vec<&str> = files.iter().map(String::as_str).collect();
    for device in devices() {
        for name in &names {
            let file = fixture(&format!("chain_steps/{name}"));
            let case = Case { expected: Arrays::read(&file), file, device: device.clone(), _temporary: None };
            assert_pictures(&case, &case.expected, "expected.");
        }
    }
}

/// What a reading has to find, by its facts.
#[test]
fn networks_are_read_from_shapes_and_statistics() {
    for (name, found) in [
        ("leaky_mlp", &[("activation", "LeakyReLU 0.2"), ("epsilon of batch norms", "0.8")][..]),
        ("elu_transposed", &[("activation", "ELU")]),
        ("late_norms", &[("activation", "ReLU")]),
        ("kernels_3434", &[("activation", "ReLU")]),
        ("uniform_mlp", &[("prior", "uniform -1..1")]),
        ("class_before", &[("class", "class before z")]),
        ("upsampling", &[("activation", "LeakyReLU 0.2"), ("up-sampling", "nearest")]),
        ("spectral", &[]),
        ("weight_norm", &[]),
    ] {
        for device in devices() {
            let file = fixture(&format!("chain_read/{name}.safetensors"));
            let expected = Arrays::read(&fixture(&format!("chain_read/{name}.expected.safetensors")));
            let case = Case { expected, file, device, _temporary: None };
            let info = case.open().info().unwrap();
            for (what, value) in found {
                let fact = info.facts.iter().find(|fact| fact.what == *what).unwrap();
                assert_eq!(fact.value, *value, "{name}: {:?}", info.facts);
                assert!(matches!(fact.source, Source::Statistics { .. }), "{name}: {fact:?}");
            }
            // The output is a guess in all of them, and said to be one.
            assert!(
                info.warnings.iter().any(|warning| warning.contains("output (tanh")),
                "{name}: {:?}",
                info.warnings
            );
            assert_pictures(&case, &case.expected, "");
        }
    }
}

#[test]
fn public_layouts_of_chains_open() {
    for (file, family, size) in [
        ("sngan_mimicry/netG.pth", Family::Chain, Size::square(32)),
        ("vae_linear/vae.pth", Family::Chain, Size::square(32)),
    ] {
        let (folder, name) = file.split_once('/').unwrap();
        for case in Case::all(folder, &[name]) {
            let mut engine = case.open();
            let info = engine.info().unwrap();
            assert_eq!((info.family, info.size), (family, size), "{file}");
            for n in case.samples() {
                case.assert_picture(&mut engine, &case.edit_of_z(n, 1.0), "image", n, PICTURE);
            }
            if case.is_cpu() {
                let group = if folder == "vae_linear" { "decoder_input" } else { "l1" };
                assert_basis(&mut engine, &LayerSet::range(0, 0), &case.expected, group);
            }
        }
    }
}

/// psi scales the z of a seed where there is no w, and the prior is the recipe's.
#[test]
fn seeds_are_drawn_from_the_prior_and_scaled_by_psi() {
    for device in devices().into_iter().take(1) {
        let expected = Arrays::read(&fixture("chain_read/uniform_mlp.expected.safetensors"));
        let case = Case { file: fixture("chain_read/uniform_mlp.safetensors"), device, expected, _temporary: None };
        let mut engine = case.open();
        let info = engine.info().unwrap();
        let mut edit = info.start(3);
        edit.truncation.psi = 0.5;
        let from_seed = engine.render(&edit).unwrap().to_f32().unwrap();
        let z = sefa_studio::latent::draw(Prior::Uniform { low: -1.0, high: 1.0 }, info.seed(3), info.z_dim);
        edit.sample.code = Code::Z(z.iter().map(|x| 0.5 * x).collect());
        assert_eq!(engine.render(&edit).unwrap().to_f32().unwrap(), from_seed);
    }
}
