//! Directions of other tools: which files and shapes are read, what becomes of them, and what is refused.

use std::fs;
use std::path::PathBuf;

use proptest::{prop_assert, proptest};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use sefa_studio::checkpoint::Checkpoint;
use sefa_studio::edit::{Direction, LayerSet, Origin, Vectors};
use sefa_studio::export::{DirectionsAs, ForeignDirections, Latents};
use sefa_studio::generator::{self, ModelInfo};
use sefa_studio::{layout, progress};
use serde_json::Value;
use tempfile::TempDir;
use zip::CompressionMethod;

use crate::cli::Shell;
use crate::latents::{f32s, npy, npz};
use crate::support::{Arrays, fixture};

fn model() -> String {
    fixture("stylegan2_ada_skip/model.pth").display().to_string()
}

/// Eight layers, z and w of 16.
fn info() -> ModelInfo {
    let checkpoint = Checkpoint::open(&fixture("stylegan2_ada_skip/model.pth"), &mut progress::silent).unwrap();
    generator::describe(&layout::detect(checkpoint).unwrap(), "model").unwrap()
}

/// Different everywhere, and nowhere zero.
fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 7919 % 1009) as f32 / 1009.0 - 0.4999).collect()
}

fn array(shape: &[usize]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    npy("<f4", &format!("({sizes})"), f32s(&values(shape.iter().product())))
}

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Files(TempDir::new().unwrap())
    }

    fn add(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn read(&self, bytes: &[u8], asked: Option<DirectionsAs>) -> Result<ForeignDirections, String> {
        let latents = Latents::read(&self.add("smile.bin", bytes), None).map_err(|error| error.to_string())?;
        latents.directions(asked, &info()).map_err(|error| error.to_string())
    }

    fn vectors(&self, bytes: &[u8], asked: Option<DirectionsAs>) -> Vec<Vectors> {
        let found = self.read(bytes, asked).unwrap();
        found.directions.into_iter().map(|found| found.direction.vectors).collect()
    }
}

fn rows(values: &[f32]) -> Vec<Vectors> {
    values.chunks(16).map(|row| Vectors::One(row.to_vec())).collect()
}

fn layers(values: &[f32]) -> Vec<Vectors> {
    let one = |all: &[f32]| Vectors::PerLayer(all.chunks(16).map(<[f32]>::to_vec).collect());
    values.chunks(128).map(one).collect()
}

#[test]
fn every_shape_is_read() {
    let files = Files::new();
    for shape in [&[16][..], &[1, 16], &[3, 16], &[3, 1, 16], &[8, 1, 16]] {
        assert_eq!(files.vectors(&array(shape), None), rows(&values(shape.iter().product())), "{shape:?}");
    }
    for shape in [&[1, 8, 16][..], &[3, 8, 16], &[1, 3, 8, 16], &[128], &[1, 128], &[3, 128]] {
        assert_eq!(files.vectors(&array(shape), None), layers(&values(shape.iter().product())), "{shape:?}");
    }
    let columns = files.vectors(&array(&[16, 3]), None);
    assert_eq!((columns.len(), &columns[2]), (3, &Vectors::One(values(48).into_iter().skip(2).step_by(3).collect())));

    let unclear = files.read(&array(&[8, 16]), None).unwrap_err();
    assert!(
        unclear.contains("8 directions, one a row (--as rows) or a vector for each layer (--as layers)"),
        "{unclear}"
    );
    assert_eq!(files.vectors(&array(&[8, 16]), Some(DirectionsAs::Rows)), rows(&values(128)));
    assert_eq!(files.vectors(&array(&[8, 16]), Some(DirectionsAs::Layers)), layers(&values(128)));
    let unclear = files.read(&array(&[16, 16]), None).unwrap_err();
    assert!(unclear.contains("one a row (--as rows) or 16 directions, one a column (--as columns)"), "{unclear}");
    assert_eq!(files.vectors(&array(&[16, 16]), Some(DirectionsAs::Rows)), rows(&values(256)));
}

#[test]
fn every_container_is_read_and_keys_become_names() {
    let files = Files::new();
    let (smile, age) = (array(&[1, 16]), array(&[16]));
    let tensor = f32s(&values(16));
    let tensors = [("smile", TensorView::new(Dtype::F32, vec![16], &tensor).unwrap())];
    let json = serde_json::json!({ "directions": { "smile": values(16), "age": [values(16)] }, "note": "of a friend" });
    for (bytes, names) in [
        (smile.clone(), &["smile"][..]),
        (
            npz(&[("smile.npy", smile.clone()), ("age.npy", age.clone())], CompressionMethod::Deflated),
            &["smile", "age"],
        ),
        (safetensors::serialize(tensors, None).unwrap(), &["smile"]),
        (json.to_string().into_bytes(), &["age", "smile"]),
        (values(16).iter().map(|x| format!("{x} ")).collect::<String>().into_bytes(), &["smile"]),
    ] {
        let found = files.read(&bytes, None).unwrap();
        let found_names: Vec<&str> = found.directions.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(found_names, names);
        for found in &found.directions {
            assert_eq!(found.direction.vectors, rows(&values(16))[0]);
            assert_eq!(found.direction.layers, LayerSet::range(0, 7));
            assert_eq!(found.direction.origin, Origin::Learned { name: found.name.clone() });
        }
    }
    let many = files.read(&array(&[3, 16]), None).unwrap();
    assert_eq!(many.directions[1].name, "smile 2");
    assert_eq!(many.directions[1].direction.origin, Origin::File { name: "smile.bin".into(), index: 1 });
    assert_eq!(
        many.readings,
        [format!("{}: array [3, 16] is read as 3 directions of w", files.0.path().join("smile.bin").display())]
    );

    // What rosinality's factorisation writes: a direction in each column.
    let factor = Latents::read(&fixture("latents/factor.pt"), None).unwrap();
    let found = factor.directions(None, &info()).unwrap();
    assert!(found.directions.len() == 16 && found.readings[0].contains("one a column"), "{:?}", found.readings);
}

#[test]
fn components_count_in_their_standard_deviations() {
    let files = Files::new();
    let sigmas = npy("<f4", "(3,)", f32s(&[3.0, 2.0, 0.5]));
    let cache = npz(
        &[
            ("act_comp.npy", array(&[3, 1, 16])),
            ("act_stdev.npy", sigmas.clone()),
            ("lat_comp.npy", array(&[3, 1, 16])),
            ("lat_mean.npy", array(&[1, 16])),
            ("lat_stdev.npy", sigmas),
            ("var_ratio.npy", npy("<f4", "(3,)", f32s(&[0.5, 0.3, 0.2]))),
        ],
        CompressionMethod::Stored,
    );
    let found = files.read(&cache, None).unwrap();
    assert_eq!(found.directions.len(), 3);
    for (at, sigma) in [3.0, 2.0, 0.5].into_iter().enumerate() {
        let expected: Vec<f32> = values(48)[16 * at..16 * (at + 1)].iter().map(|x| x * sigma).collect();
        let ForeignDirections { directions, .. } = &found;
        assert_eq!(directions[at].direction.vectors, Vectors::One(expected));
        assert!(directions[at].counts_sigmas && directions[at].range(&info()) == Some(3.0));
    }
    // Longer and shorter ones have sliders that go as far as others.
    let long: Vec<f32> = (0..16).map(|i| if i == 3 { 8.0 } else { 0.0 }).collect();
    let long = files.read(&npy("<f4", "(16,)", f32s(&long)), None).unwrap();
    let range = long.directions[0].range(&info()).unwrap();
    assert!((range / (info().slider_range / 8.0) - 1.0).abs() < 0.06, "{range}");
}

#[test]
fn a_boundary_becomes_one_of_the_models_own_directions() {
    let shell = Shell::new();
    let golden = Arrays::read(&fixture("analysis/pca.safetensors"));
    let file = |name: &str| fixture(&format!("analysis/{name}")).display().to_string();
    let printed = shell.ok(&format!("library {} import {}", model(), file("boundary0.npy")));
    assert!(printed.starts_with("1 new, 0 changed, 0 left"), "{printed}");
    let line = format!(
        "library {} import {} --without {} --name smile",
        model(),
        file("boundary0.npy"),
        file("boundary1.npy")
    );
    let printed = shell.ok(&format!("{line} --layers bottom"));
    assert!(printed.starts_with("1 new") && printed.contains("2 directions"), "{printed}");
    let known = shell.json(&format!("library {} list --json", model()));
    let direction =
        |at: usize| -> Direction { serde_json::from_value(known["entries"][at]["direction"].clone()).unwrap() };
    assert_eq!(direction(0).vectors, Vectors::One(golden.row("boundaries", 0)));
    assert_eq!(direction(0).origin, Origin::Boundary { name: "boundary0".into() });
    assert_eq!((&known["entries"][1]["name"], direction(1).layers), (&Value::from("smile"), LayerSet::range(0, 1)));
    let Vectors::One(conditional) = direction(1).vectors else { panic!("one vector") };
    let expected = golden.get("boundary0_without_1");
    for (found, expected) in conditional.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
    }
    let of_key = format!("library {} import {} --key boundaries --directions 1", model(), file("pca.safetensors"));
    assert!(shell.ok(&of_key).starts_with("1 new"), "the second boundary");
    assert!(shell.ok(&of_key).starts_with("0 new, 0 changed, 1 left"));
}

#[test]
fn what_is_no_direction_of_the_model_is_refused_and_nothing_changes() {
    let shell = Shell::new();
    let write = |name: &str, bytes: &[u8]| fs::write(shell.path(name), bytes).unwrap();
    write("wide.npy", &array(&[3, 17]));
    write("zero.npy", &npy("<f4", "(2, 16)", f32s(&[values(16), vec![0.0; 16]].concat())));
    write("nan.npy", &npy("<f4", "(16,)", f32s(&[&values(15)[..], &[f32::NAN]].concat())));
    write("square.npy", &array(&[16, 16]));
    write("own.npy", &array(&[16]));
    write("broken.json", b"{\"smile\": [0.1");
    write("page.pt", b"<!DOCTYPE html>");
    let other = npz(&[("a.npy", array(&[5])), ("b.npy", array(&[2, 2]))], CompressionMethod::Stored);
    write("other.npz", &other);
    for (import, expected) in [
        ("wide.npy", "wide.npy: array (unnamed) has shape [3, 17]; expected directions of this model, [16], [k, 16]"),
        ("zero.npy", "zero.npy: direction 1 of array (unnamed) is zero"),
        ("nan.npy", "holds NaN at position 15; expected finite numbers"),
        ("square.npy", "say which"),
        ("square.npy --as layers", "has shape [16, 16]"),
        ("own.npy --without own.npy", "nothing is left of own"),
        ("own.npy --directions 1", "--directions: expected 0 to 0, found 1"),
        ("own.npy --layers 0-90", "0-90"),
        ("own.npy --key smile", "has no array named smile"),
        ("square.npy --as rows --name smile", "--name: expected one direction, found 16"),
        ("broken.json", "begins as JSON and is none"),
        ("page.pt", "page.pt is no library and holds no directions"),
        ("missing.npy", "cannot read missing.npy"),
        ("other.npz", "holds no array of a shape that directions of this model have"),
    ] {
        let message = shell.fails(&format!("library {} import {import}", model()), 1);
        assert!(message.contains(expected), "{import}: {message}");
    }
    shell.fails(&format!("library {} import own.npy --as diagonals", model()), 2);
    assert!(shell.ok(&format!("library {} list", model())).contains("0 directions"));
}

#[test]
fn checkpoints_are_no_files_of_directions() {
    let of_directions = |file: &str| Latents::read(&fixture(file), None).unwrap().is_of_directions(&info());
    for file in ["stylegan2_ada_skip/model.safetensors", "stylegan2_rosinality/model.pt", "dcgan/netG.pth"] {
        assert!(!of_directions(file), "{file}");
    }
    for file in ["analysis/pca.safetensors", "analysis/boundary0.npy", "latents/factor.pt"] {
        assert!(of_directions(file), "{file}");
    }
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, cases: 64, ..Default::default() })]
    #[test]
    fn whatever_is_in_a_file_is_an_answer_and_no_panic(bytes in proptest::collection::vec(0_u8.., 0..400), at in 0_usize..200) {
        let files = Files::new();
        let _ = files.read(&bytes, None);
        let mut damaged = npz(&[("smile.npy", array(&[1, 16])), ("age.npy", array(&[16]))], CompressionMethod::Stored);
        let length = damaged.len();
        damaged[at % length] ^= 1 << (bytes.len() % 8);
        if let Ok(found) = files.read(&damaged, None) {
            prop_assert!(found.directions.iter().all(|found| info().check_direction(&found.direction).is_ok()));
        }
    }
}
