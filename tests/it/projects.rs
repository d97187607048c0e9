//! Projects and exported pictures of every version of the format: they open for ever, to the same edit and the same pixels.

use std::fs;
use std::path::{Path, PathBuf};

use sefa_studio::edit::{
    ClassMix, Code, Easing, Edit, Kept, Noise, NoiseMode, Origin, Playback, Seed, SeedKind, Truncation, Weighting,
};
use sefa_studio::gpu::RenderDevice;
use sefa_studio::progress;
use sefa_studio::project::{PROGRAM, Project, ProjectError, VERSION};
use sefa_studio::render::{Engine, Example, Source};
use tempfile::TempDir;

use crate::support::{fixture, pixels_of};

/// Written by version 0.1.0 of the program, before directions were things of their own.
const OF_VERSION_1: [&str; 4] = ["two_groups", "w_plus", "classes", "swept"];

fn file(version: &str, name: &str) -> PathBuf {
    fixture("projects").join(version).join(name)
}

fn open(path: &Path) -> Project {
    Project::load(path).unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)))
}

/// Renders an edit with the model that it is of.
fn render(name: &str, edit: &Edit) -> Vec<u8> {
    let source = match name {
        "classes" => Source::File(fixture("biggan_ajbrock/G_ema.pth")),
        _ => Source::Example(Example::ToyHeads),
    };
    let mut engine = Engine::new(RenderDevice::cpu(None));
    engine.open(&source, &mut progress::silent).unwrap();
    engine.render(edit).unwrap().to_pixels().unwrap().data
}

/// Equal up to what another order of summation changes.
fn assert_same_picture(name: &str, found: &[u8], expected: &[u8]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let most = found.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(most <= Some(1), "{name}: values differ by up to {most:?} of 255");
}

#[test]
fn pictures_of_version_1_open_to_their_own_pixels() {
    for name in OF_VERSION_1 {
        let picture = file("v1", &format!("{name}.png"));
        let edit = open(&picture).edit;
        let drawn = pixels_of(&fs::read(&picture).unwrap());
        assert_same_picture(name, &render(name, &edit), &drawn);
        let unmoved = render(name, &edit.unedited());
        assert!(unmoved != drawn, "{name}: its moves change nothing, so they are not tested");
    }
}

#[test]
fn files_of_version_1_open_to_the_edit_inside_their_pictures() {
    for name in ["two_groups", "w_plus", "classes"] {
        let project = open(&file("v1", &format!("{name}.json")));
        assert_eq!(project.edit, open(&file("v1", &format!("{name}.png"))).edit, "{name}");
    }
    let Project { edit, names, model, .. } = open(&file("v1", "two_groups.json"));
    assert_eq!((model.name.as_str(), model.source.as_str()), ("Toy heads", "example:toy-heads"));
    assert_eq!(edit.sample.code, Code::Seed(Seed { number: 7, kind: SeedKind::Numpy }));
    assert_eq!(edit.truncation, Truncation { psi: 0.7, cutoff: Some(8) });
    assert_eq!(edit.noise, Noise { mode: NoiseMode::Random, seed: 3 });
    let sefa = |weighting, index| Origin::Sefa { weighting, index };
    let expected = [
        ("turn \"left\", größer", "0-1", sefa(Weighting::RowNormalised, 0), 1.4, true),
        ("", "6-11", sefa(Weighting::Raw, 2), -2.25, true),
        ("", "0-1", sefa(Weighting::RowNormalised, 3), 9.0, false),
    ];
    assert_eq!(edit.moves.len(), expected.len());
    for (step, (name, layers, origin, value, enabled)) in edit.moves.iter().zip(expected) {
        assert_eq!((step.name.as_str(), step.value, step.enabled), (name, value, enabled));
        assert_eq!((step.direction.layers.to_string().as_str(), &step.direction.origin), (layers, &origin));
        let vector = step.direction.vector_of(step.direction.layers.last()).unwrap();
        let length: f32 = vector.iter().map(|x| x * x).sum();
        assert!(vector.len() == 128 && (length - 1.0).abs() < 1e-4, "{length}");
    }
    assert_eq!(names.of(&edit.moves[0].direction), "turn \"left\", größer");
    assert_eq!(names.get(&"2-5".parse().unwrap(), Weighting::Raw, 1), "not moved");

    let classes = open(&file("v1", "classes.json")).edit;
    assert_eq!((classes.sample.class, classes.sample.mix), (Some(1), Some(ClassMix { class: 2, amount: 0.3 })));
    let Code::WPlus(codes) = open(&file("v1", "w_plus.json")).edit.sample.code else { panic!("expected w+") };
    assert_eq!((codes.len(), codes[11].len()), (12, 128));
}

#[test]
fn version_2_says_the_same_as_version_1() {
    for name in OF_VERSION_1 {
        let [v1, v2] = [file("v1", &format!("{name}.png")), file("v2", &format!("{name}.json"))];
        assert_eq!(open(&v2), open(&v1), "{name}");
    }
    let kinds = open(&file("v2", "kinds.json"));
    let origins: Vec<String> = kinds.edit.moves.iter().map(|step| step.direction.origin.to_string()).collect();
    assert_eq!(origins, ["PCA 1", "smile", "age", "ganspace.npy 3", "7 to 8", "combination"]);
    let per_layer = &kinds.edit.moves[5].direction;
    assert_eq!([2, 5].map(|layer| per_layer.vector_of(layer).unwrap()[0]), [0.5, -0.25]);
    let whole = fs::read_to_string(file("v2", "kinds.json")).unwrap();
    let again: serde_json::Value = serde_json::from_str(&kinds.to_json()).unwrap();
    assert_eq!(again, serde_json::from_str::<serde_json::Value>(&whole).unwrap(), "a move of every kind");
}

/// Version 3 has styles. What has none is written as version 2, which programs of before open.
#[test]
fn a_file_says_the_oldest_version_that_holds_it() {
    let styles = open(&file("v3", "styles.png"));
    assert_same_picture(
        "styles",
        &render("styles", &styles.edit),
        &pixels_of(&fs::read(file("v3", "styles.png")).unwrap()),
    );
    let version = |project: &Project| {
        let json: serde_json::Value = serde_json::from_str(&project.to_json()).unwrap();
        json["version"].as_u64().unwrap()
    };
    let bare = Project { edit: styles.edit.unedited(), ..styles.clone() };
    assert_eq!((version(&styles), version(&bare)), (3, 2));
    let [top, muted] = &styles.edit.sample.styles[..] else { panic!("{:?}", styles.edit.sample.styles) };
    assert_eq!((top.layers.to_string().as_str(), &top.code), ("6-11", &Code::Seed(Seed::studio(42))));
    assert_eq!((muted.layers.to_string().as_str(), muted.enabled), ("0-1", false));
    let again = fs::read_to_string(file("v3", "styles.json")).unwrap();
    assert_eq!(open(&file("v3", "styles.json")), styles);
    assert_eq!(again, styles.to_json());
}

#[test]
fn a_shelf_is_saved_with_every_direction_once_and_hostile_ones_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("edit.json");
    let mut project = open(&file("v3", "shelf.json"));
    let names: Vec<&str> = project.shelf.iter().map(|kept| kept.name.as_str()).collect();
    assert_eq!(names, ["best", "", "größer"]);
    let moves: Vec<usize> = project.shelf.iter().map(|kept| kept.edit.moves.len()).collect();
    assert_eq!(moves, [0, 1, 2]);
    let direction = |at: usize| project.shelf.get(at).unwrap().edit.moves[0].direction.clone();
    assert!(std::sync::Arc::ptr_eq(&direction(1), &direction(2)), "one direction is one");
    assert_eq!(project.shelf.get(2).unwrap().edit.sample.styles.len(), 1);
    assert_eq!(project.to_json(), fs::read_to_string(file("v3", "shelf.json")).unwrap());

    // A thousand edits along one direction take little.
    let moved = project.shelf.get(1).unwrap().edit.clone();
    let many = (0..1000).map(|n| {
        let mut edit = moved.clone();
        edit.moves[0].value = n as f32 / 7.0;
        Kept { edit, name: format!("number {n}"), ..Kept::default() }
    });
    project.shelf = many.collect();
    fs::write(&path, project.to_json()).unwrap();
    assert_eq!(open(&path), project);
    assert!(fs::metadata(&path).unwrap().len() < 400_000);

    let shelf = |kept: usize, direction: usize, extra: &str| {
        let edit = r#"{"sample":{"code":{"seed":1}},"truncation":{"psi":1},"noise":{"mode":"const"},"moves":"#;
        let moves = format!(r#"[{{"value":1,"direction":{direction}}}]"#);
        let kept = vec![format!(r#"{{"edit":{edit}{moves}}}{extra}}}"#); kept].join(",");
        let directions = r#"[{"layers":"0","vectors":{"one":[1]},"origin":"mixed"}]"#;
        let json = open(&file("v3", "styles.json")).to_json();
        let json = json.trim_end().strip_suffix('}').unwrap();
        fs::write(&path, format!(r#"{json}, "shelf": {{"directions": {directions}, "kept": [{kept}]}}}}"#)).unwrap();
        let error = Project::load(&path).map(|project| project.shelf.len());
        error.map_err(|error| std::error::Error::source(&error).unwrap().to_string())
    };
    assert_eq!(shelf(1000, 0, ""), Ok(1000));
    assert!(shelf(1001, 0, "").unwrap_err().contains("a shelf of 1001 edits, expected at most 1000"));
    assert!(shelf(1, 3, "").unwrap_err().contains("a move along direction 3 of the shelf, which has 1"));
    assert!(shelf(1, 0, r#","mood":1"#).unwrap_err().contains("unknown field `mood`"));
}

#[test]
fn a_motion_is_saved_with_its_times_and_one_that_cannot_be_played_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("edit.json");
    let project = open(&file("v4", "motion.json"));
    let times: Vec<(f32, Easing)> = project.shelf.iter().map(|kept| (kept.seconds, kept.easing)).collect();
    assert_eq!(times, [(0.5, Easing::Hold), (1.0, Easing::Linear), (1.0, Easing::Smooth)]);
    assert_eq!(project.shelf.playback, Playback { fps: 24, loops: false, fresh_noise: true });
    let Code::Between(between) = &project.edit.sample.code else { panic!("{:?}", project.edit.sample.code) };
    assert_eq!((between.through.len(), between.at), (2, 0.125));
    let json = fs::read_to_string(file("v4", "motion.json")).unwrap();
    assert_eq!(project.to_json(), json);
    // What earlier programs can show is written as they read it.
    let without =
        Project { shelf: project.shelf.map(Edit::clone), edit: project.shelf.get(0).unwrap().edit.clone(), ..project };
    assert!(without.to_json().contains("\"version\": 4"));
    let untimed = Project { shelf: open(&file("v3", "shelf.json")).shelf, ..without };
    assert!(untimed.to_json().contains("\"version\": 3"));
    for (written, hostile, expected) in [
        ("\"seconds\":0.5", "\"seconds\":0", "0 seconds after an edit of the shelf, expected 0.02 to 3600"),
        ("\"seconds\":0.5", "\"seconds\":1e30", "seconds after an edit of the shelf"),
        ("\"fps\":24", "\"fps\":0", "a shelf played at 0 frames a second, expected 1 to 120"),
        ("\"hold\"", "\"leap\"", "unknown variant `leap`"),
    ] {
        fs::write(&path, json.replace(written, hostile)).unwrap();
        let error = Project::load(&path).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(expected), "{cause}");
    }
}

#[test]
fn a_photo_is_saved_with_the_code_that_was_found_for_it_and_a_damaged_one_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("edit.json");
    let project = open(&file("v5", "photo.json"));
    let note = project.edit.sample.photo().unwrap();
    assert_eq!((note.name.as_str(), note.crop.centre, note.crop.width), ("f0.png", [32.0, 32.0], 64.0));
    assert_eq!(sefa_studio::invert::noted_picture(note).unwrap().width, 64);
    let json = fs::read_to_string(file("v5", "photo.json")).unwrap();
    assert_eq!(project.to_json(), json);
    // Without the photo, earlier programs read it.
    let mut without = project.clone();
    without.edit.sample.photo = None;
    assert!(without.to_json().contains("\"version\": 2"));
    let long = format!("\"picture\": \"{}", "AAAA".repeat(200_000));
    for (hostile, expected) in [("\"picture\": \"*", "Invalid symbol"), (&long, "expected at most 524288")] {
        fs::write(&path, json.replace("\"picture\": \"", hostile)).unwrap();
        let error = Project::load(&path).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(expected), "{cause}");
    }
}

#[test]
fn a_newer_version_is_named_with_what_wrote_it_and_what_is_unknown() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("edit.json");
    let message = |json: &str| {
        fs::write(&path, json).unwrap();
        let error = Project::load(&path).unwrap_err();
        assert!(matches!(error, ProjectError::Version { .. }), "{error:?}");
        error.to_string()
    };
    let found = message(
        r#"{"version": 6, "program": "SeFa Studio 0.9.0", "edit": {"moves": [{"curve": 1}], "mood": 1}, "wall": []}"#,
    );
    assert!(found.contains("edit.json has project version 6, written by SeFa Studio 0.9.0"), "{found}");
    assert!(found.contains("(edit.mood, edit.moves.curve, wall)"), "{found}");
    assert!(found.contains(&format!("this program ({PROGRAM}) reads versions 1 to {VERSION}")), "{found}");
    assert!(message(r#"{"version": 0}"#).contains("version 0; this program"));
    let hostile = format!(r#"{{"version": 9, "program": "{}", {}}}"#, "\\u001b[2J".repeat(99), keys(1000));
    let found = message(&format!("{hostile}{}", " ".repeat(100)));
    assert!(found.len() < 1000 && !found.contains('\u{1b}') && found.contains("and 992 more"), "{found}");
    assert!(message(&format!(r#"{{"version": 4294967295, "x": [{}0]}}"#, "0,".repeat(3 << 20))).len() < 300);

    let mut json: serde_json::Value = serde_json::from_str(&open(&file("v1", "swept.png")).to_json()).unwrap();
    json["edit"]["moves"][0]["direction"]["curve"] = 1.into();
    fs::write(&path, json.to_string()).unwrap();
    let error = Project::load(&path).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("unknown field `curve`"), "{cause}");
}

fn keys(count: usize) -> String {
    (0..count).map(|number| format!("\"k{number:04}\": 0")).collect::<Vec<_>>().join(", ")
}

#[test]
fn every_field_that_is_written_is_known() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("edit.json");
    for (version, name) in
        [("v1", "two_groups"), ("v1", "classes"), ("v3", "styles"), ("v3", "shelf"), ("v4", "motion"), ("v5", "photo")]
    {
        let json = open(&file(version, &format!("{name}.json"))).to_json();
        let newer = ["2", "3", "4", "5"]
            .iter()
            .fold(json, |json, known| json.replacen(&format!("\"version\": {known}"), "\"version\": 7", 1));
        fs::write(&path, newer).unwrap();
        let error = Project::load(&path).unwrap_err().to_string();
        assert!(error.contains("version 7, written by SeFa Studio") && !error.contains("unknown"), "{error}");
    }
}
