//! Files that state their whole network.

use super::state_dict::StateDict;
use super::{detect, stated};
use crate::checkpoint::{Checkpoint, Program};
use crate::progress::silent;
use crate::recipe::{Activation, Input, Joining, Range, Recipe, Stated, StatedValue, Step};

fn checkpoint(file: &str) -> Checkpoint {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file);
    Checkpoint::open(&path, &mut silent).unwrap_or_else(|error| panic!("{file}: {error:?}"))
}

fn stated(file: &str) -> (Stated, StateDict) {
    let checkpoint = checkpoint(file);
    let mut state = stated::network(checkpoint.program.as_ref().unwrap(), &checkpoint.tree).unwrap();
    (std::mem::take(&mut state.stated), state)
}

fn recipe(file: &str) -> Recipe {
    match stated(file) {
        (Stated::Network { recipe, .. }, state) => {
            let missing = recipe.steps.iter().flat_map(Step::tensors).find(|name| !state.has(name));
            assert_eq!(missing, None, "{file}");
            recipe
        }
        (other, _) => panic!("{file}: {other:?}"),
    }
}

/// The recipe without the names of its tensors, and with settings as f32 has them.
fn nameless(recipe: &Recipe) -> serde_json::Value {
    fn strip(json: &mut serde_json::Value) {
        match json {
            serde_json::Value::Object(map) => {
                // Matrices may be stored either way round.
                map.remove("transposed");
                for (key, value) in map {
                    if matches!(key.as_str(), "weight" | "bias" | "mean" | "variance") {
                        *value = "".into();
                    }
                    strip(value);
                }
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(strip),
            serde_json::Value::Number(number) => {
                if let Some(float) = number.as_f64().filter(|float| float.fract() != 0.0) {
                    *json = format!("{:.5e}", float as f32).into();
                }
            }
            _ => {}
        }
    }
    let mut json = serde_json::to_value(recipe).unwrap();
    strip(&mut json);
    json
}

#[test]
fn archives_of_one_network_give_one_recipe() {
    let scripted = recipe("archive_dcgan/scripted.pt");
    assert_eq!((scripted.z_dim, scripted.picture, scripted.steps.len()), (12, [3, 32, 32], 11), "{scripted:?}");
    assert_eq!(scripted.steps[2], Step::Activation { function: Activation::LeakyRelu { slope: 0.1 } });
    for file in ["archive_dcgan/traced.pt", "archive_dcgan/frozen.pt", "archive_dcgan/model.onnx"] {
        assert_eq!(nameless(&recipe(file)), nameless(&scripted), "{file}");
    }
    let scripted = recipe("stated/cond_scripted.pt");
    assert_eq!((scripted.z_dim, scripted.classes, scripted.picture), (8, Some(5), [3, 16, 16]), "{scripted:?}");
    let Step::Join { how: Joining::Concat, branches } = &scripted.steps[0] else { panic!("{scripted:?}") };
    assert_eq!((branches[0].input, branches[1].input), (Input::Class, Input::Z));
    for file in ["cond_traced.pt", "cond_frozen.pt"] {
        assert_eq!(nameless(&recipe(&format!("stated/{file}"))), nameless(&scripted), "{file}");
    }
}

#[test]
fn graphs_and_code_give_the_same_networks() {
    let decoder = recipe("vae_linear/decoder.onnx");
    assert_eq!((decoder.z_dim, decoder.picture, decoder.range), (10, [3, 32, 32], Range::Signed), "{decoder:?}");
    let start = &decoder.steps[..2];
    assert!(
        matches!(start, [Step::Linear { transposed: false, .. }, Step::Reshape { shape: [16, 4, 4], .. }]),
        "{start:?}"
    );
    assert_eq!(decoder.steps.last(), Some(&Step::Activation { function: Activation::Tanh }));
    for (file, z_dim, classes, picture, range) in [
        ("mlp_scripted.pt", 9, None, [1, 8, 8], Range::Unit),
        ("mlp_old.onnx", 9, None, [1, 8, 8], Range::Unit),
        ("mlp_dynamo.onnx", 9, None, [1, 8, 8], Range::Unit),
        ("cond_old.onnx", 8, Some(5), [3, 16, 16], Range::Signed),
        ("cond_dynamo.onnx", 8, Some(5), [3, 16, 16], Range::Signed),
        ("res_traced.pt", 10, None, [3, 32, 32], Range::Unit),
        ("res_frozen.pt", 10, None, [3, 32, 32], Range::Unit),
        ("res_old.onnx", 10, None, [3, 32, 32], Range::Unit),
        ("sequential.keras", 8, None, [3, 32, 24], Range::Signed),
        ("functional.keras", 7, Some(4), [3, 4, 4], Range::Unit),
    ] {
        let found = recipe(&format!("stated/{file}"));
        assert_eq!(
            (found.z_dim, found.classes, found.picture, found.range),
            (z_dim, classes, picture, range),
            "{file}"
        );
    }
    for network in ["sequential", "functional"] {
        let [whole, zip] = ["h5", "keras"].map(|ending| nameless(&recipe(&format!("stated/{network}.{ending}"))));
        assert_eq!(whole, zip, "{network}");
    }
}

#[test]
fn keras_weights_alone_are_refused_with_what_is_missing() {
    let refusal = detect(checkpoint("stated/sequential.weights.h5")).unwrap_err().to_string();
    assert!(
        refusal.contains("Keras weights (HDF5) without their network") && refusal.contains("model.save"),
        "{refusal}"
    );
}

#[test]
fn pickled_modules_state_their_settings() {
    let checkpoint = checkpoint("stylegan2_ada_skip/model.pkl");
    let taken = super::unwrap::find(&checkpoint.tree, None, None, |network| Ok(network.state.stated.clone()));
    let (_, stated) = taken.unwrap_or_else(|problem| panic!("{problem}"));
    let Stated::Modules { modules, .. } = &stated else { panic!("{stated:?}") };
    assert_eq!((modules[0].name.as_str(), modules[0].class.as_str()), ("", "Generator"));
    let mapping = modules.iter().find(|module| module.name == "mapping").unwrap();
    assert!(matches!(mapping.setting("num_layers"), Some(StatedValue::Number(_))), "{mapping:?}");
}

#[test]
fn damaged_programs_never_panic() {
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let files = [
        "cond_frozen.pt",
        "res_traced.pt",
        "mlp_scripted.pt",
        "cond_old.onnx",
        "res_old.onnx",
        "functional.h5",
        "sequential.keras",
    ];
    for file in files {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stated").join(file);
        let whole = std::fs::read(path).unwrap();
        for round in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..=round % 4 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let at = (random >> 8) as usize % bytes.len();
                bytes[at] = (random >> 56) as u8;
            }
            if let Ok(checkpoint) = Checkpoint::from_bytes(bytes, "test") {
                let _ = detect(checkpoint).map(|weights| weights.identity());
            }
        }
    }
}

#[test]
fn damaged_code_never_panics() {
    let mut random = 0x853c_49e6_748f_ea9bu64;
    for file in ["stated/cond_frozen.pt", "stated/mlp_scripted.pt", "archive_dcgan/traced.pt"] {
        for round in 0..300 {
            let mut checkpoint = checkpoint(file);
            let Some(Program::TorchScript(script)) = &mut checkpoint.program else { panic!("{file}") };
            for text in script.code.values_mut() {
                let mut bytes = std::mem::take(text).into_bytes();
                for _ in 0..=round % 3 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let (from, to) = ((random >> 8) as usize % bytes.len(), (random >> 32) as usize % bytes.len());
                    bytes[to] = bytes[from];
                }
                *text = String::from_utf8_lossy(&bytes).into_owned();
            }
            let _ = detect(checkpoint);
        }
    }
}
