//! What merges, what comes back, and what is refused.

use std::path::Path;

use super::*;
use crate::edit::Vectors;

fn model() -> LibraryModel {
    LibraryModel { identity: "abc123".into(), name: "größer".into(), family: "StyleGAN2".into() }
}

fn sefa(index: usize) -> Arc<Direction> {
    let vector = vec![index as f32, 0.1, -1.0e-9];
    Direction::sefa(LayerSet::range(0, 1), Weighting::RowNormalised, index, vector).into()
}

fn mixed() -> Arc<Direction> {
    let vectors = Vectors::PerLayer(vec![vec![0.5, 0.0, 0.25], vec![0.0, -3.5, 1.0]]);
    Direction { layers: "2,5".parse().unwrap(), vectors, origin: Origin::Mixed }.into()
}

fn named(names: &[(Arc<Direction>, &str)]) -> Library {
    let mut library = Library::new(model());
    for (direction, name) in names {
        library.change(direction, |known| (*name).clone_into(&mut known.name));
    }
    library
}

/// As kept at a moment.
fn at(time: u64, names: &[(Arc<Direction>, &str)]) -> Library {
    named(names).to_keep(&Library::new(model()), time).unwrap()
}

fn names(library: &Library) -> Vec<&str> {
    library.entries().map(|entry| entry.knowledge.name.as_str()).collect()
}

#[test]
fn the_newer_of_two_entries_counts_and_what_was_taken_back_stays_so() {
    let mut library = at(5, &[(sefa(0), "pose"), (sefa(1), "age")]);
    library.merge(&at(3, &[(sefa(0), "older"), (sefa(2), "light")]));
    library.merge(&at(7, &[(sefa(1), "newer")]));
    assert_eq!(names(&library), ["pose", "newer", "light"]);

    let mut without = library.clone();
    without.change(&sefa(0), |known| known.name.clear());
    let kept = without.to_keep(&library, 9).unwrap();
    assert_eq!(names(&kept), ["newer", "light"]);
    library.merge(&kept);
    library.merge(&at(8, &[(sefa(0), "from before it was taken back")]));
    assert_eq!(names(&library), ["newer", "light"]);
    assert_eq!(library.of(&sefa(0)), &NOTHING);
}

#[test]
fn only_what_changed_is_newer_and_a_clock_that_is_behind_does_not_lose_it() {
    let kept = at(1000, &[(sefa(0), "pose"), (mixed(), "smile")]);
    assert_eq!(kept.to_keep(&kept, 2000), None, "nothing changed");
    let mut changed = kept.clone();
    changed.change(&sefa(0), |known| known.star = true);
    let now_kept = changed.to_keep(&kept, 10).unwrap();
    assert_eq!(now_kept.entries.iter().map(|entry| entry.changed).collect::<Vec<_>>(), [1001, 1000]);
    // Undo of what made an entry takes the entry itself away.
    let gone = named(&[(sefa(0), "pose")]).to_keep(&kept, 2000).unwrap();
    assert_eq!(names(&gone), ["pose"]);
    assert_eq!(gone.entries[1].changed, 2000, "it says that the name was taken back");
}

#[test]
fn what_changed_elsewhere_comes_in_where_nothing_was_changed_here() {
    let kept = at(1, &[(sefa(0), "pose"), (sefa(1), "age")]);
    let mut here = kept.clone();
    here.change(&sefa(0), |known| known.name = "mine".into());
    let mut theirs = kept.clone();
    theirs.merge(&at(2, &[(sefa(0), "theirs"), (sefa(1), "years"), (mixed(), "new")]));
    here.follow(&kept, &theirs);
    assert_eq!(names(&here), ["mine", "years", "new"]);
}

#[test]
fn the_answer_of_an_earlier_write_takes_nothing_back() {
    // Two changes are on their way to the file; that of the first write comes back.
    let (first, second) = (at(1, &[(sefa(0), "po")]), at(2, &[(sefa(0), "pose")]));
    let mut here = second.clone();
    here.follow(&second, &first);
    assert_eq!(names(&here), ["pose"]);
}

#[test]
fn a_name_without_a_vector_is_known_again_and_completed() {
    let (mut old, mut brought) = (DirectionNames::default(), DirectionNames::default());
    let layers = LayerSet::range(0, 1);
    old.set(&layers, Weighting::RowNormalised, 0, "pose");
    old.set(&layers, Weighting::RowNormalised, 1, "from the file");
    brought.set(&layers, Weighting::RowNormalised, 1, "from the file");
    let mut library = Library::new(model());
    library.adopt_names(&old, &brought);
    assert_eq!(names(&library), ["pose"], "only what was the user's own");
    assert_eq!(library.of(&sefa(0)).name, "pose");
    assert_eq!(library.names_over(&brought), old);
    library.adopt_names(&old, &brought);
    assert_eq!(library.entries.len(), 1);

    let directions = vec![sefa(0), sefa(1)];
    let method = crate::directions::Method::default();
    let set = DirectionSet { layers, method, directions, scores: crate::directions::Scores::None };
    assert!(library.is_without_vectors(&set));
    library.complete(&set);
    assert_eq!(library.entries[0].subject, Subject::Whole(sefa(0)));
    assert!(!library.is_without_vectors(&set));

    // A newer name without a vector does not take the vector away.
    let mut newer = Library::new(model());
    old.set(&set.layers, Weighting::RowNormalised, 0, "turn");
    newer.adopt_names(&old, &brought);
    library.merge(&newer.to_keep(&Library::new(model()), 5).unwrap());
    assert_eq!(names(&library), ["turn"]);
    assert_eq!(library.entries[0].subject, Subject::Whole(sefa(0)));
}

#[test]
fn an_import_keeps_what_is_known_and_says_what_it_did() {
    let mut own = named(&[(sefa(0), "pose"), (sefa(1), "age"), (sefa(2), "")]);
    let mut theirs = named(&[(sefa(0), "turn"), (sefa(1), "age"), (sefa(2), "light"), (mixed(), "smile")]);
    theirs.change(&sefa(0), |known| known.range = Some(2.5));
    let mut filled = own.clone();
    assert_eq!(filled.import(&theirs, false, 7), Imported { new: 2, changed: 1, left: 1 });
    assert_eq!(names(&filled), ["pose", "age", "light", "smile"]);
    assert_eq!(filled.of(&sefa(0)).range, Some(2.5));
    assert_eq!(filled.import(&theirs, false, 8), Imported { new: 0, changed: 0, left: 4 });
    assert_eq!(own.import(&theirs, true, 7), Imported { new: 2, changed: 1, left: 1 });
    assert_eq!(names(&own), ["turn", "age", "light", "smile"]);
}

fn everything() -> Library {
    let mut library = at(3, &[(sefa(0), "turn \"left\""), (mixed(), "smile")]);
    library.change(&mixed(), |known| {
        *known = Knowledge {
            name: "smile".into(),
            range: Some(2.5),
            star: true,
            hidden: true,
            obvious: true,
            meaningful: true,
            note: "two\nlines".into(),
            measured: Some(Measured {
                name: "smile, mouth".into(),
                purity: 0.75,
                change: -0.5,
                plus: "serious".into(),
                minus: "smiling".into(),
                predictor: "celeba.onnx".into(),
            }),
        }
    });
    let mut names = DirectionNames::default();
    names.set(&LayerSet::range(0, 3), Weighting::Raw, 4, "no vector");
    library.adopt_names(&names, &DirectionNames::default());
    library
}

#[test]
fn files_of_both_kinds_give_back_all_that_is_known() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["library.json", "library.safetensors", "library.SafeTensors"] {
        let path = folder.path().join(name);
        everything().export(&path).unwrap();
        assert_eq!(Library::load(&path).unwrap(), everything(), "{name}");
    }
    let bytes = std::fs::read(folder.path().join("library.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("entries.0").unwrap().shape(), [3]);
    assert_eq!(tensors.tensor("entries.1").unwrap().shape(), [2, 3]);
    assert_eq!(bytes[8..], std::fs::read(folder.path().join("library.SafeTensors")).unwrap()[8..]);

    let mut taken_back = everything();
    taken_back.change(&sefa(0), |known| *known = Knowledge::default());
    let path = folder.path().join("less.json");
    taken_back.export(&path).unwrap();
    assert!(
        !std::fs::read_to_string(&path).unwrap().contains("\"index\":0"),
        "what was taken back is nobody's business"
    );
}

#[test]
fn hostile_files_are_refused_with_what_was_expected_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("library.json");
    let load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = Library::load(&path).unwrap_err();
        let causes = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let text = format!("{error}: {causes}");
        assert!(text.contains("library.json"), "{text}");
        text
    };
    let entry = |entry: &str| {
        let model = r#"{"identity":"a","name":"b","family":"c"}"#;
        load(format!(r#"{{"version":1,"model":{model},"entries":[{entry}]}}"#).as_bytes())
    };
    let one = |rest: &str| entry(&format!(r#"{{"direction":{{"layers":"0-1",{rest}}}}}"#));
    assert!(load(b"").contains("no library"));
    assert!(load(&b"[".repeat(10_000)).contains("no library"));
    assert!(load(br#"{"version":2}"#).contains("version 2"));
    assert!(load(br#"{"version":1,"edit":{}}"#).contains("is an edit"));
    assert!(load(br#"{"version":1,"model":{"identity":"a","name":"b","family":"c"}}"#).contains("entries"));
    assert!(one(r#""origin":"mixed""#).contains("no vectors of combination"));
    assert!(one(r#""origin":"mixed","vectors":{"per_layer":[[1]]}"#).contains("1 vectors for 2 layers"));
    assert!(one(r#""origin":"mixed","vectors":{"per_layer":[[1],[1,2]]}"#).contains("one length"));
    assert!(one(r#""origin":"mixed","vectors":{"one":[]}"#).contains("one length"));
    assert!(one(r#""origin":"mixed","vectors":{"one":[1e99]}"#).contains("not finite"));
    let named = |rest: &str| {
        let direction = r#""direction":{"layers":"0","origin":"mixed","vectors":{"one":[1]}}"#;
        entry(&format!("{{{direction},{rest}}}"))
    };
    assert!(named(r#""range":0"#).contains("range 0, expected more than 0"));
    assert!(named(&format!(r#""name":"{}""#, "x".repeat(201))).contains("201 letters, expected at most 200"));
    let many = vec![r#"{"direction":{"layers":"0","origin":{"sefa":{"weighting":"raw","index":0}}}}"#; MAX_ENTRIES + 1];
    assert!(entry(&many.join(",")).contains("4097 entries, expected at most 4096"));

    let metadata = |json: &str| Some([("sefa_studio_library".to_owned(), json.to_owned())].into());
    let shape = |shape: Vec<usize>| {
        let data = vec![0; 4 * shape.iter().product::<usize>()];
        let tensor = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &data).unwrap();
        let json = everything().json(false);
        load(&safetensors::serialize([("entries.1", tensor)], metadata(&json)).unwrap())
    };
    assert!(shape(vec![2, 0]).contains("found F32 of [2, 0]"));
    assert!(shape(vec![1, 1, 1]).contains("[1, 1, 1]"));
    assert!(shape(vec![3, 1]).contains("3 vectors for 2 layers"));
    let nothing: [(&str, safetensors::tensor::TensorView<'_>); 0] = [];
    assert!(load(&safetensors::serialize(nothing, None).unwrap()).contains("metadata"));
    assert!(load(b"\x10\0\0\0\0\0\0\0{\"a\":").contains("damaged safetensors"));
    assert!(Library::load(folder.path()).unwrap_err().to_string().contains("cannot read"));
}

fn kept_names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".lock"))
        .collect();
    names.sort();
    names
}

#[test]
fn two_programs_that_write_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("libraries");
    std::thread::scope(|scope| {
        for program in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for step in 0..10 {
                    let index = program * 100 + step;
                    update(path, &at(now(), &[(sefa(index), &format!("name {index}"))])).unwrap();
                }
            });
        }
    });
    let library = read(&path, &model()).unwrap().unwrap();
    assert_eq!(library.entries().count(), 40);
    assert_eq!(library.of(&sefa(309)).name, "name 309");
    assert_eq!(kept_names(&path), ["abc123.json"]);
}

#[test]
fn a_damaged_library_is_set_aside_and_a_newer_one_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("abc123.json");
    assert_eq!(read(folder.path(), &model()).unwrap(), None);
    std::fs::write(&path, "{\"version\": 1, \"entries\": 7}").unwrap();
    assert!(read(folder.path(), &model()).unwrap_err().is_set_aside());
    assert_eq!(kept_names(folder.path()).len(), 1);
    std::fs::write(&path, "{").unwrap();
    let library = at(5, &[(sefa(0), "pose")]);
    assert_eq!(update(folder.path(), &library).unwrap(), library);
    assert_eq!(read(folder.path(), &model()).unwrap(), Some(library.clone()));
    assert_eq!(kept_names(folder.path()).len(), 3, "both damaged ones are still there");
    let newer = "{\"version\": 2}";
    std::fs::write(&path, newer).unwrap();
    assert!(matches!(update(folder.path(), &library), Err(crate::store::StoreError::Newer { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), newer);
    let elsewhere = LibraryModel { identity: "../x".into(), ..model() };
    assert!(read(folder.path(), &elsewhere).is_err(), "an identity is no path");
}
