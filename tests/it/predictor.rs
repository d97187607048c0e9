//! Predictors: ONNX networks of others against another runtime, hostile files, and what directions change of what they say.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use sefa_studio::analysis::{self, RescorePlan, RescoreRun, effects, meaning};
use sefa_studio::directions::DirectionSet;
use sefa_studio::edit::{Direction, Edit, LayerSet, Origin, Truncation, Vectors, Weighting};
use sefa_studio::gpu::RenderDevice;
use sefa_studio::predictor::{Predictor, PredictorSource};
use sefa_studio::progress;
use sefa_studio::render::{Engine, Example, Source};
use serde_json::Value;

use crate::cli::Shell;
use crate::support::fixture;

fn predictor(name: &str) -> Result<Predictor, String> {
    let source = PredictorSource::File(fixture(&format!("predictors/{name}.onnx")));
    Predictor::open(&source, &mut progress::silent).map_err(|error| {
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    })
}

fn open(source: Source) -> Engine {
    let mut engine = Engine::new(RenderDevice::cpu(None));
    engine.open(&source, &mut progress::silent).unwrap();
    engine
}

#[test]
fn a_network_says_what_another_runtime_says() {
    let shell = Shell::new();
    let (network, picture) = (fixture("predictors/small.onnx"), fixture("predictors/picture.png"));
    let said = shell.json(&format!("predictor check {} --picture {} --json", network.display(), picture.display()));
    let expected: Value =
        serde_json::from_slice(&fs::read(fixture("predictors/small.expected.json")).unwrap()).unwrap();
    let rows = said["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["attribute"].as_str().unwrap()).collect();
    // One is not looked at.
    assert_eq!(names, ["young", "smile", "glasses", "hat"]);
    for (row, at) in rows.iter().zip([0, 1, 3, 4]) {
        let (found, expected) = (row["value"].as_f64().unwrap(), expected["scores"][at].as_f64().unwrap());
        assert!((found - expected).abs() < 1e-5, "{row}: expected {expected}");
    }
    assert_eq!(said["description"]["outputs"][0]["attributes"][1]["plus"], "smiling");
}

#[test]
fn hostile_and_useless_networks_are_refused_by_what_is_wrong() {
    for (name, expected) in [
        ("bad_circle", ["node round (Add)", "circle"]),
        ("bad_expand", ["node swell (Expand)", "bytes of maps"]),
        ("bad_work", ["node grow", "bytes of maps"]),
        ("bad_operator", ["node detect (NonMaxSuppression)", "not known"]),
        ("bad_external", ["../../../etc/passwd", "no file in the model's folder"]),
        ("bad_input", ["expected an input of pictures", "[1, 77]"]),
        ("bad_size", ["pictures of any size", "description"]),
    ] {
        let message = predictor(name).err().unwrap_or_else(|| panic!("{name} was accepted"));
        assert!(message.contains(&format!("{name}.onnx")), "{message}");
        assert!(expected.iter().all(|part| message.contains(part)), "{message}");
    }
    // What nothing depends on is never run.
    assert!(predictor("bad_loop").is_ok());
}

/// Every cut of a sound network, and every change of one of its bytes, is either refused or runs.
#[test]
fn damaged_networks_are_refused_or_run() {
    let bytes = fs::read(fixture("predictors/small.onnx")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    let open = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Predictor::open(&PredictorSource::File(path.clone()), &mut progress::silent)
    };
    let picture = vec![0.25; 3 * 16 * 16];
    let (mut refused, mut ran) = (0, 0);
    for length in (0..bytes.len()).step_by(97) {
        assert!(open(&bytes[..length]).is_err(), "{length} of {} bytes were accepted", bytes.len());
    }
    for at in (0..bytes.len()).step_by(23) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x15;
        match open(&changed) {
            Ok(predictor) => {
                let _ = predictor.predict(&picture, [16, 16]);
                ran += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains("net.onnx"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 10 && ran > 10, "{refused} refused, {ran} ran");
}

/// In a network that is linear in z, a linear score changes by the same for every sample.
#[test]
fn linear_scores_of_a_linear_network_change_as_the_closed_form_says() {
    let mut engine = open(Source::File(fixture("predictors/generator.onnx")));
    let info = engine.info().unwrap();
    let linear = Arc::new(predictor("linear").unwrap());
    let picture = |engine: &mut Engine, edit: &Edit| engine.render(edit).unwrap().to_f32().unwrap();
    let samples: Vec<Edit> = (0..6).map(|seed| info.start(seed)).collect();
    let vectors = [[0.6, 0.0, 0.8, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0]];
    let direction = |vector: &[f32; 5]| {
        Arc::new(Direction {
            layers: LayerSet::range(0, 0),
            vectors: Vectors::One(vector.to_vec()),
            origin: Origin::Mixed,
        })
    };
    let moves: Vec<_> = vectors.iter().map(direction).zip([0.5, -1.25]).collect();
    for both_ways in [false, true] {
        let plan = RescorePlan { samples: samples.clone(), moves: moves.clone(), both_ways };
        let mut run = RescoreRun::new(plan, linear.clone()).unwrap();
        analysis::measure(&mut engine, &mut run, &mut progress::silent).unwrap();
        assert_eq!((run.samples_done(), run.not_finite()), (6, 0));
        for (at, (direction, distance)) in moves.iter().enumerate() {
            let mut moved = samples[0].clone();
            moved.set_along(direction, *distance);
            let [before, after] = [&samples[0], &moved].map(|edit| picture(&mut engine, edit));
            // The score of a difference is the difference of the scores, because 0 scores 0.
            let difference: Vec<f32> = after.iter().zip(&before).map(|(a, b)| a - b).collect();
            let expected = linear.predict(&difference, [8, 8]).unwrap();
            for attribute in 0..2 {
                let (unit, change) = (run.attribute(attribute).spread, run.change(at, attribute));
                let (found, expected) = (change.mean * unit, f64::from(expected[attribute]));
                assert!((found - expected).abs() < 2e-4 * expected.abs().max(1.0), "{found}, expected {expected}");
                assert!(change.error < 1e-4 && change.samples == 6, "{change:?}");
            }
        }
    }
}

#[test]
fn scores_that_are_no_numbers_or_all_the_same_are_said() {
    let shell = Shell::new();
    let score = |name: &str| {
        let network = fixture(&format!("predictors/{name}.onnx"));
        let line = format!("score --predictor {} --directions 0 --layers bottom --samples 3 --json", network.display());
        (shell.json(&line), shell.said(&line).1)
    };
    let (table, said) = score("nan");
    assert!(said.contains("scores are no numbers"), "{said}");
    assert!(table["rows"].as_array().unwrap().iter().all(|row| row["change"].is_null() && row["samples"] == 0));
    let (table, said) = score("constant");
    assert!(said.contains("the same for all samples"), "{said}");
    assert!(table["rows"].as_array().unwrap().iter().all(|row| row["change"].is_null()));
    let missing = shell.fails("score --predictor missing.onnx --samples 3", 1);
    assert!(missing.contains("missing.onnx"), "{missing}");
    let word = shell.fails("find --attribute wings --samples 2 --first 1 --layers bottom", 1);
    assert!(word.contains("expected one of") && word.contains("turn"), "{word}");
}

/// Rows of the model card's tables: group, direction, name, and changes by attribute.
fn card() -> Vec<(LayerSet, usize, String, BTreeMap<String, f64>)> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/models/toy-heads/README.md")).unwrap();
    let mut group = None;
    let mut rows = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("**").filter(|line| line.contains("change per unit")) {
            group = rest.split_once('(').and_then(|(_, rest)| rest.split_once(')')?.0.parse::<LayerSet>().ok());
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let (Some(layers), [_, number, name, _, factors, _]) = (&group, &cells[..])
            && let Ok(number) = number.parse::<usize>()
        {
            let pair = |factor: &str| factor.rsplit_once(' ').map(|(name, x)| (name.to_owned(), x.parse().unwrap()));
            rows.push((layers.clone(), number - 1, (*name).to_owned(), factors.split(", ").filter_map(pair).collect()));
        } else if line.starts_with('#') {
            group = None;
        }
    }
    rows
}

#[test]
fn rescoring_the_heads_gives_their_cards_table() {
    let mut engine = open(Source::Example(Example::ToyHeads));
    let info = engine.info().unwrap();
    let regressor = Arc::new(Predictor::open(&PredictorSource::ToyHeads, &mut progress::silent).unwrap());
    let rows = card();
    assert_eq!(rows.len(), 40, "ten directions of each group");
    let direction = |(layers, index, ..): &(LayerSet, usize, String, BTreeMap<String, f64>)| {
        let set = DirectionSet::from(&*engine.factorize(layers, Weighting::RowNormalised).unwrap());
        (set.directions[*index].clone(), 2.0)
    };
    let moves: Vec<_> = rows.iter().map(direction).collect();
    let truncation = Truncation { psi: 0.7, ..Truncation::default() };
    let samples = (0..10).map(|seed| Edit { truncation, ..info.start(seed) }).collect();
    let mut run = RescoreRun::new(RescorePlan { samples, moves, both_ways: true }, regressor.clone()).unwrap();
    analysis::measure(&mut engine, &mut run, &mut progress::silent).unwrap();
    let attributes = regressor.attributes();
    let (mut found, mut expected) = (Vec::new(), Vec::new());
    let mut named = 0;
    for (at, (layers, index, name, factors)) in rows.iter().enumerate() {
        for (factor, change) in factors {
            let Some(attribute) = attributes.iter().position(|attribute| attribute.name == *factor) else { continue };
            // The card counts in deviations of the data, which a regressor's numbers are in.
            found.push(run.change(at, attribute).mean * run.attribute(attribute).spread / 2.0);
            expected.push(*change);
        }
        // Where one thing stands out in the card, the name is the same.
        let changes: Vec<f64> = (0..attributes.len())
            .map(|attribute| run.change(at, attribute).mean * run.attribute(attribute).spread / 2.0)
            .collect();
        let strongest = factors.values().fold(0.0_f64, |most, change| most.max(change.abs()));
        if strongest >= 0.5 && !name.contains('[') {
            let meaning = meaning(&effects(attributes, &changes)).unwrap();
            assert_eq!(meaning.name, *name, "direction {} of {layers}", index + 1);
            named += 1;
        }
    }
    assert!(named >= 15 && found.len() > 100, "{named} names, {} cells", found.len());
    let correlation = correlation(&found, &expected);
    assert!(correlation >= 0.95, "{correlation} over {} cells", found.len());
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(x, y)| f(x - ma, y - mb)).sum::<f64>();
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

#[test]
fn directions_are_found_and_named_on_the_command_line() {
    let shell = Shell::new();
    let found = shell.json("find --attribute turn --samples 12 --first 3 --layers bottom --layers top --json");
    let first = &found["rows"][0];
    assert_eq!((first["layers"].as_str(), first["attribute"].as_str()), (Some("0-1"), Some("turn")), "{first}");
    assert_eq!(first["name"], "turn");
    assert!(first["purity"].as_f64().unwrap() > 0.3, "{first}");
    assert_eq!(found["rows"].as_array().unwrap().len(), 6);
    let line = "name --samples 24 --first 2 --layers bottom --json";
    let names = shell.json(line);
    assert_eq!(names["rows"][0]["measured"], "turn");
    // They are kept, as measured, and `library list` tells them.
    let library = shell.ok("library list");
    assert!(library.contains("turn"), "{library}");
}

#[test]
fn a_direction_is_learned_from_scores_and_from_marks() {
    let shell = Shell::new();
    let said = shell.ok("learn --attribute yaw --samples 150 --name turned --out turned.npy");
    assert!(said.contains("turned: learned from 150 samples") && said.contains("held out"), "{said}");
    // It turns heads as the strongest direction of the bottom does.
    let aligned = shell.json("align --layers bottom --against turned.npy --json");
    let row = &aligned["rows"][0];
    assert_eq!(row["index"], 0, "{row}");
    assert!(row["distance"].as_f64().unwrap() < 0.7, "{row}");

    let marked = shell.ok("learn --up 1,2,5 --down 3,4 --layers top --name mine");
    assert!(marked.contains("mine: learned from 5 samples; in the library of the model"), "{marked}");
    assert!(shell.ok("library list").contains("mine"));
    let few = shell.fails("learn --up 1 --down 2,3", 1);
    assert!(few.contains("at least 2 marks of each kind, found 1 for and 2 against"), "{few}");
    let both = shell.fails("learn --up 1,2 --down 2,3", 1);
    assert!(both.contains("seed 2 is marked both up and down"), "{both}");
    let constant = fixture("predictors/constant.onnx");
    let same = shell.fails(&format!("learn --predictor {} --attribute 0 --samples 12", constant.display()), 1);
    assert!(same.contains("all samples have the same score"), "{same}");
}

/// What the page of a study says of its model, and the directions that it asks about.
fn study_of(page: &str) -> Value {
    let start = page.find("id=\"study\">").unwrap() + "id=\"study\">".len();
    serde_json::from_str(&page[start..start + page[start..].find("</script>").unwrap()]).unwrap()
}

#[test]
fn people_are_asked_and_their_answers_counted() {
    let shell = Shell::new();
    let said = shell.ok("study make --first 3 --layers bottom --layers top --steps 3 --side 32 --out study.html");
    assert!(said.contains("6 directions in study.html"), "{said}");
    let study = study_of(&fs::read_to_string(shell.path("study.html")).unwrap());
    let items = study["items"].as_array().unwrap();
    assert_eq!(items.len(), 6);
    assert!(items.iter().all(|item| item["picture"].as_str().unwrap().starts_with("iVBOR")), "PNG pictures");
    let write = |name: &str, participant: &str, says: &dyn Fn(usize) -> (bool, bool, &'static str)| {
        let answer = |(at, item): (usize, &Value)| {
            let (obvious, meaningful, name) = says(at);
            let mut answer = item.clone();
            answer.as_object_mut().unwrap().remove("picture");
            answer["obvious"] = obvious.into();
            answer["meaningful"] = meaningful.into();
            answer["name"] = name.into();
            answer
        };
        let answers: Vec<Value> = items.iter().enumerate().map(answer).collect();
        let mut sheet = serde_json::json!({"version": 1, "participant": participant, "answers": answers});
        for key in ["model", "identity", "family"] {
            sheet[key] = study[key].clone();
        }
        fs::write(shell.path(name), sheet.to_string()).unwrap();
        sheet
    };
    write("anna.json", "Anna", &|at| (true, at < 2, if at == 0 { "Turn around" } else { "" }));
    write("ben.json", "Ben", &|at| (at < 3, at == 0, if at == 0 { "turn  around" } else { "" }));
    let table = shell.ok("study merge anna.json ben.json --markdown");
    assert!(table.contains("3/2 of 3") && table.contains("3/1 of 3") && table.contains("0/0 of 3"), "{table}");
    let rows = shell.json("study merge anna.json ben.json --keep --json");
    let first = &rows["rows"][0];
    assert_eq!((first["asked"].as_u64(), first["obvious"].as_u64()), (Some(2), Some(2)), "{first}");
    assert_eq!(first["names"], "turn around (2)");
    assert!(shell.ok("library list").contains("turn around"));

    // Hostile and useless answers.
    let mut other = write("other.json", "", &|_| (false, false, ""));
    other["identity"] = "another".into();
    fs::write(shell.path("other.json"), other.to_string()).unwrap();
    let message = shell.fails("study merge anna.json other.json", 1);
    assert!(message.contains("other.json") && message.contains("another model"), "{message}");
    for (text, expected) in
        [("{", "expected answers"), ("[]", "expected answers"), ("{\"version\": 1}", "expected answers")]
    {
        fs::write(shell.path("bad.json"), text).unwrap();
        let message = shell.fails("study merge bad.json", 1);
        assert!(message.contains("bad.json") && message.contains(expected), "{message}");
    }
    write("twice.json", "", &|_| (false, true, ""));
    assert!(shell.fails("study merge twice.json", 1).contains("meaningful without a change"));
}
