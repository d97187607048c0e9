//! Measurements of directions: against golden values, and on a network whose answers are known in closed form.

use std::fs;
use std::sync::Arc;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use sefa_studio::analysis::{
    self, AnalysisError, EntanglementPlan, EntanglementRun, Measurement, PathPlan, PathRun, align,
};
use sefa_studio::directions::DirectionSet;
use sefa_studio::edit::{Direction, Edit, LayerSet, Origin, Vectors, Weighting};
use sefa_studio::gpu::RenderDevice;
use sefa_studio::progress::{self, Cancelled};
use sefa_studio::render::{CodeSource, Engine, Example, RenderError, Source};
use sefa_studio::tasks::{Outcome, Step, Task, Typicality};
use serde_json::Value;

use crate::cli::Shell;
use crate::support::{Arrays, devices, fixture};

fn open(source: Source, device: RenderDevice) -> Engine {
    let mut engine = Engine::new(device);
    engine.open(&source, &mut progress::silent).unwrap();
    engine
}

fn one(layers: LayerSet, vector: Vec<f32>) -> Direction {
    Direction { layers, vectors: Vectors::One(vector), origin: Origin::Mixed }
}

#[test]
fn alignment_equals_the_golden_one() {
    let golden: Value = serde_json::from_slice(&fs::read(fixture("analysis/alignment.json")).unwrap()).unwrap();
    let arrays = Arrays::read(&fixture("analysis/pca.safetensors"));
    let mut engine = open(Source::File(fixture("stylegan2_ada_skip/model.pth")), RenderDevice::cpu(None));
    let z = arrays.get("z").chunks(16).map(<[f32]>::to_vec).collect();
    let components = engine.components(CodeSource::Z(z), &mut progress::silent).unwrap();
    let cases = golden.as_object().unwrap();
    assert_eq!(cases.len(), 10);
    for (name, expected) in cases {
        let (set, boundary) = name.rsplit_once('/').unwrap();
        let set = match set.strip_prefix("sefa/") {
            Some(group) => {
                let layers = if group == "all" { LayerSet::range(0, 7) } else { group.parse().unwrap() };
                DirectionSet::from(&*engine.factorize(&layers, Weighting::RowNormalised).unwrap())
            }
            None => DirectionSet::of_components(&components, 4096, 0, LayerSet::range(0, 7)),
        };
        let number = boundary.strip_prefix("boundary").unwrap().parse().unwrap();
        let reference = one(LayerSet::range(0, 7), arrays.row("boundaries", number));
        let found = align(&reference, &set);
        assert_eq!(found.nearest, expected["index"].as_u64().map(|index| index as usize), "{name}");
        let distances: Vec<f64> = found.distances().map(Option::unwrap).collect();
        let wanted = expected["distances"].as_array().unwrap();
        assert_eq!(distances.len(), wanted.len(), "{name}");
        for (at, (found, expected)) in distances.iter().zip(wanted).enumerate() {
            let expected = expected.as_f64().unwrap();
            assert!((found - expected).abs() < 2e-5, "{name}, {at}: {found}, expected {expected}");
        }
        assert!((found.distance().unwrap() - expected["distance"].as_f64().unwrap()).abs() < 2e-5, "{name}");
    }
}

/// z of 4, a picture that is a matrix times z, and the matrix `[192, 4]`.
fn linear_network() -> (tempfile::NamedTempFile, Vec<f32>) {
    let recipe = r#"{"version": 1, "prior": "normal", "z_dim": 4, "steps": [{"step": "linear", "weight": "t"},
        {"step": "reshape", "shape": [3, 8, 8]}], "picture": [3, 8, 8], "range": "-1..1"}"#;
    let matrix: Vec<f32> = (0..192 * 4).map(|i| (i * 7919 % 1013) as f32 / 4052.0 - 0.125).collect();
    let bytes: Vec<u8> = matrix.iter().flat_map(|x| x.to_le_bytes()).collect();
    let tensors = [("t", TensorView::new(Dtype::F32, vec![192, 4], &bytes).unwrap())];
    let about = [("recipe", recipe), ("format", "sefa-studio"), ("family", "chain")];
    let about = about.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
    let file = tempfile::Builder::new().suffix(".safetensors").tempfile().unwrap();
    fs::write(file.path(), safetensors::serialize(tensors, Some(about)).unwrap()).unwrap();
    (file, matrix)
}

#[test]
fn in_a_linear_network_paths_are_straight_and_moves_are_not_entangled() {
    let (file, matrix) = linear_network();
    for device in devices() {
        let mut engine = open(Source::File(file.path().into()), device);
        let info = engine.info().unwrap();
        let samples: Vec<Edit> = (0..3).map(|seed| info.start(seed)).collect();
        let direction = |vector: [f32; 4]| Arc::new(one(LayerSet::range(0, 0), vector.to_vec()));
        let directions = vec![(direction([1.0, 0.0, 0.0, 0.0]), 2.0_f32), (direction([0.6, 0.0, 0.8, 0.0]), 1.0)];
        let mut run = PathRun::new(PathPlan { samples: samples.clone(), directions: directions.clone(), points: 6 });
        analysis::measure(&mut engine, &mut run, &mut progress::silent).unwrap();
        for (curve, (direction, reach)) in run.curves().iter().zip(&directions) {
            let Vectors::One(vector) = &direction.vectors else { panic!("one vector") };
            let pixel = |row: &[f32]| row.iter().zip(vector).map(|(a, b)| f64::from(a * b)).sum::<f64>().abs();
            // Half of the mean over pixels: 1 is from black to white.
            let unit = matrix.chunks(4).map(pixel).sum::<f64>() / 192.0 / 2.0;
            let length = 2.0 * f64::from(*reach) * unit;
            assert!((curve.length.mean - length).abs() < 1e-5, "{} instead of {length}", curve.length.mean);
            assert!((curve.straightness.mean - 1.0).abs() < 1e-4 && curve.length.spread < 1e-5);
            assert!(curve.changes.len() == 5 && curve.samples == 3);
            assert!(curve.changes.iter().all(|change| (change.mean - length / 5.0).abs() < 1e-5));
        }
        let mut run = EntanglementRun::new(EntanglementPlan { samples, moves: directions });
        analysis::measure(&mut engine, &mut run, &mut progress::silent).unwrap();
        let found = run.result();
        assert!(found.of(0, 1).unwrap() < 1e-5 && found.samples == [3], "{found:?}");
    }
}

#[test]
fn what_is_measured_when_a_measurement_is_stopped_stays() {
    let mut engine = open(Source::Example(Example::ToyHeads), RenderDevice::cpu(None));
    let info = engine.info().unwrap();
    let basis = engine.factorize(&LayerSet::range(0, 1), Weighting::RowNormalised).unwrap();
    let set = DirectionSet::from(&*basis);
    let directions: Vec<_> = set.directions[..2].iter().map(|direction| (direction.clone(), 2.0)).collect();
    let samples: Vec<Edit> = (0..50).map(|seed| info.start(seed)).collect();
    let mut run = PathRun::new(PathPlan { samples, directions, points: 3 });
    let mut report = |progress: progress::Progress| {
        assert_eq!(progress.total, 300);
        if progress.done < 9 { Ok(()) } else { Err(Cancelled) }
    };
    let stopped = analysis::measure(&mut engine, &mut run, &mut report);
    assert!(matches!(stopped, Err(AnalysisError::Render(RenderError::Cancelled(_)))));
    let curves = run.curves();
    assert!(curves[0].samples >= 1 && curves[0].length.mean > 0.0 && curves[0].samples < 50);
    // It goes on from there.
    let before = run.progress().done;
    run.step(&mut engine).unwrap();
    assert!(run.progress().done > before);
}

fn rows(json: &Value) -> &Vec<Value> {
    json["rows"].as_array().unwrap()
}

#[test]
fn alignment_is_a_table_in_every_format() {
    let shell = Shell::new();
    let model = fixture("stylegan2_ada_skip/model.pth").display().to_string();
    let [a, b] =
        ["boundary0.npy", "boundary1.npy"].map(|name| fixture(&format!("analysis/{name}")).display().to_string());
    let line = format!("align {model} --layers all --layers 0-1 --against {a},{b}");
    let json = shell.json(&format!("{line} --json --plot cosines.png --out table.csv"));
    assert_eq!((rows(&json).len(), &json["method"], &json["weighting"]), (4, &"sefa".into(), &"row-normalised".into()));
    let first = &rows(&json)[0];
    assert_eq!((&first["reference"], &first["index"], &first["sign"]), (&"boundary0".into(), &11.into(), &1.into()));
    assert!((first["distance"].as_f64().unwrap() - 0.526_742).abs() < 1e-5 && first["layers"] == "0-7", "{first}");
    assert!(fs::read(shell.path("cosines.png")).unwrap().starts_with(b"\x89PNG"));
    let csv = fs::read_to_string(shell.path("table.csv")).unwrap();
    assert!(csv.starts_with("layers,reference,index,distance,sign,model,") && csv.lines().count() == 5, "{csv}");
    assert_eq!(csv, shell.ok(&format!("{line} --csv")));
    assert!(shell.ok(&format!("{line} --markdown")).contains("| 0-7 | boundary0 | 11 | 0.5267 | 1 |"));
    assert!(shell.ok(&format!("{line} --latex")).contains("0-7 & boundary0 & 11 & 0.5267 & 1 \\\\"));
    assert!(shell.ok(&line).contains("model, rows normalised"));

    // The library's own, and principal components; seeds make it the same again.
    assert!(shell.fails(&format!("align {model} --library"), 1).contains("has no directions of other tools"));
    shell.ok(&format!("library {model} import {b} --name smile"));
    let pca = format!("align {model} --library --method pca --samples 3000 --seed 4 --json");
    let json = shell.json(&pca);
    assert_eq!((&rows(&json)[0]["reference"], &json["pca_seed"]), (&"smile".into(), &4.into()));
    assert_eq!(json, shell.json(&pca));
    let own = shell.json(&format!("align {model} --method own --against {b} --json"));
    assert!(rows(&own)[0]["distance"].as_f64().unwrap() < 1e-6);

    shell.fails(&format!("align {model}"), 2);
    shell.fails(&format!("{line} --json --csv"), 2);
    shell.fails(&format!("{line} --plot cosines.jpg"), 2);
    assert!(shell.fails(&format!("align --against {a}"), 1).contains("expected directions of this model"));
    assert!(shell.fails(&format!("align {model} --against missing.npy"), 1).contains("missing.npy"));
}

#[test]
fn paths_and_entanglement_are_tables_with_all_that_made_them() {
    let shell = Shell::new();
    let path = "path --layers bottom --directions 0,3 --seeds 0-1 --steps 5";
    let json = shell.json(&format!("{path} --json"));
    assert_eq!((rows(&json).len(), json["curve"].as_array().unwrap().len(), &json["steps"]), (2, 8, &5.into()));
    assert_eq!(json["sample_labels"], serde_json::json!(["seed 0", "seed 1"]));
    for row in rows(&json) {
        let straightness = row["straightness"].as_f64().unwrap();
        assert!(row["length"].as_f64().unwrap() > 0.0 && (0.0..=1.0).contains(&straightness), "{row}");
    }
    let sum: f64 = json["curve"].as_array().unwrap()[..4].iter().map(|step| step["change"].as_f64().unwrap()).sum();
    assert!((sum - rows(&json)[0]["length"].as_f64().unwrap()).abs() < 1e-9);
    let curve = shell.ok(&format!("{path} --curve --csv"));
    assert!(curve.starts_with("direction,from,to,change,change_sd,model,") && curve.lines().count() == 9, "{curve}");

    let entangle = "entangle --layers bottom --directions 0-2 --seeds 0-1";
    let json = shell.json(&format!("{entangle} --json --plot matrix.png"));
    let values: Vec<f64> = rows(&json).iter().map(|row| row["entanglement"].as_f64().unwrap()).collect();
    assert!(values.len() == 3 && values.iter().all(|value| (0.0..=1.5).contains(value)), "{values:?}");
    assert!(shell.ok(&format!("{entangle} --markdown")).contains("| direction | 0 | 1 | 2 |"));
    assert!(shell.path("matrix.png").exists());
    let still = shell.ok("entangle --layers bottom --directions 0-1 --distance 0");
    assert!(still.contains('-'), "nothing changes, and nothing is measured: {still}");

    for (line, expected) in [
        ("path --directions 9999", "--directions: expected 0 to 127, found 9999"),
        ("path --method own", "has no directions of other tools"),
        ("entangle --directions 3", "expected 2 to 100 directions, found 1"),
        ("entangle --directions 3,3", "direction 3 twice"),
        ("entangle --method sefa --seed 3", "--seed is an option of --method pca"),
    ] {
        let message = shell.fails(line, 1);
        assert!(message.contains(expected), "{line}: {message}");
    }
    for line in ["path --steps 1", "path --range 0", "entangle --distance x", "entangle --out table.doc"] {
        shell.fails(line, 2);
    }
}

/// A task finds out how far codes are typical; every direction of the heads has ends, farther out than their sliders go by default.
#[test]
fn sliders_learn_how_far_is_typical() {
    let mut engine = open(Source::Example(Example::ToyHeads), RenderDevice::cpu(None));
    let info = engine.info().unwrap();
    let mut task = Typicality::default();
    let set = loop {
        match task.step(&mut engine).unwrap() {
            Step::Done(Outcome::Typical(set)) => break set,
            Step::Done(other) => panic!("{other:?}"),
            _ => {}
        }
    };
    let basis = engine.factorize(&LayerSet::range(0, 1), Weighting::RowNormalised).unwrap();
    for direction in DirectionSet::from(&*basis).directions.iter().take(10) {
        let [back, forth] = set.ends(direction);
        assert!(back < -0.5 && forth > 0.5 && forth < 40.0 && back > -40.0, "{back} {forth}");
        println!("{back} {forth} of {}", info.slider_range);
    }
}
