//! What is known about the directions of a model, from one user to another by the command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sefa_studio::directions::DirectionSet;
use sefa_studio::edit::{Direction, LayerSet, Weighting};
use sefa_studio::gpu::RenderDevice;
use sefa_studio::library::{self, Library, LibraryModel};
use sefa_studio::names::DirectionNames;
use sefa_studio::progress;
use sefa_studio::render::{Engine, Example, Source};
use sefa_studio::store::Folders;
use serde_json::Value;

use crate::cli::Shell;

/// The toy heads, and their bottom directions.
fn toy_heads() -> (LibraryModel, Vec<Arc<Direction>>) {
    let mut engine = Engine::new(RenderDevice::cpu(None));
    let info = engine.open(&Source::Example(Example::ToyHeads), &mut progress::silent).unwrap();
    let basis = engine.factorize(&LayerSet::range(0, 1), Weighting::RowNormalised).unwrap();
    (LibraryModel::from(&*info), DirectionSet::from(&*basis).directions)
}

fn libraries(shell: &Shell) -> PathBuf {
    Folders::below(&shell.path("home")).libraries()
}

/// A user who named two directions, and one with an earlier version of the program.
fn user() -> (Shell, LibraryModel, Vec<Arc<Direction>>) {
    let (shell, (model, directions)) = (Shell::new(), toy_heads());
    let mut own = Library::new(model.clone());
    own.change(&directions[0], |known| {
        known.name = "turn \"left\"".into();
        known.range = Some(2.5);
        known.star = true;
        known.note = "both\nends".into();
    });
    own.change(&directions[3], |known| known.hidden = true);
    let mut names = DirectionNames::default();
    names.set(&LayerSet::range(6, 11), Weighting::Raw, 2, "light");
    own.adopt_names(&names, &DirectionNames::default());
    library::update(&libraries(&shell), &own.to_keep(&Library::new(model.clone()), 5).unwrap()).unwrap();
    (shell, model, directions)
}

fn read(shell: &Shell, model: &LibraryModel) -> Library {
    library::read(&libraries(shell), model).unwrap().unwrap()
}

#[test]
fn what_one_user_exports_another_imports() {
    let (giver, model, directions) = user();
    let list = giver.ok("library list");
    assert!(list.starts_with("Toy heads (StyleGAN2): 3 directions of Toy heads are known\n"), "{list}");
    assert!(list.contains("turn \"left\"") && list.contains("starred, slider to 2.5, both ends"), "{list}");
    assert!(list.contains("6-11") && list.contains("light") && list.contains("hidden"), "{list}");
    assert!(list.contains("named by the model's file"), "{list}");
    assert_eq!(giver.json("library list --json")["entries"].as_array().unwrap().len(), 3);

    for name in ["smile.json", "smile.safetensors"] {
        let printed = giver.ok(&format!("library example:toy-heads export {name}"));
        assert!(printed.contains("3 directions of Toy heads in") && printed.contains(name), "{printed}");
        let taker = Shell::new();
        fs::copy(giver.path(name), taker.path(name)).unwrap();
        let printed = taker.ok(&format!("library import {name}"));
        assert!(printed.starts_with("3 new, 0 changed, 0 left as they are; 3 directions"), "{printed}");
        let (own, theirs) = (read(&taker, &model), read(&giver, &model));
        for (own, theirs) in own.entries().zip(theirs.entries()) {
            assert_eq!(own.knowledge, theirs.knowledge);
        }
        assert_eq!(own.of(&directions[0]).name, "turn \"left\"");
        let json: Value = serde_json::from_str(&taker.ok("library list --json")).unwrap();
        let vector = json["entries"][2]["direction"]["vectors"]["one"].as_array().unwrap();
        assert_eq!(vector.len(), 128, "what was known by its place only was completed");
        let again = taker.ok(&format!("library import {name}"));
        assert!(again.starts_with("0 new, 0 changed, 3 left"), "{again}");
    }
}

#[test]
fn an_import_leaves_what_is_known_unless_told_otherwise() {
    let (giver, model, directions) = user();
    giver.ok("library export theirs.json");
    let taker = Shell::new();
    let mut own = Library::new(model.clone());
    own.change(&directions[0], |known| known.name = "mine".into());
    library::update(&libraries(&taker), &own.to_keep(&Library::new(model.clone()), 5).unwrap()).unwrap();
    fs::copy(giver.path("theirs.json"), taker.path("theirs.json")).unwrap();
    let printed = taker.ok("library import theirs.json");
    assert!(printed.starts_with("2 new, 1 changed, 0 left"), "{printed}");
    let known = read(&taker, &model).of(&directions[0]).clone();
    assert_eq!((known.name.as_str(), known.range, known.star), ("mine", Some(2.5), true));
    let printed = taker.ok("library import theirs.json --replace");
    assert!(printed.starts_with("0 new, 1 changed, 2 left"), "{printed}");
    assert_eq!(read(&taker, &model).of(&directions[0]).name, "turn \"left\"");
}

#[test]
fn files_that_do_not_belong_are_refused_and_nothing_changes() {
    let (shell, model, _) = user();
    let before = fs::read(kept(&shell, &model)).unwrap();
    shell.ok("library export own.json");
    let message = shell.fails("library example:faces import own.json", 1);
    assert!(message.contains("own.json: expected directions of Faces") && message.contains("Toy heads"), "{message}");
    let own = fs::read_to_string(shell.path("own.json")).unwrap();
    let damaged = |from: &str, to: &str| {
        assert!(own.contains(from), "{from}");
        fs::write(shell.path("damaged.json"), own.replacen(from, to, 1)).unwrap();
        shell.fails("library import damaged.json", 1)
    };
    let message = damaged("\"layers\":\"0-1\"", "\"layers\":\"0-99\"");
    assert!(message.contains("damaged.json: turn \"left\" (direction 1 of layers 0-99)"), "{message}");
    assert!(message.contains("layers 0-99, but the model has layers 0 to 11"), "{message}");
    assert!(damaged("\"one\":[", "\"one\":[0.5,").contains("a direction has 129 numbers, expected 128"));
    assert!(damaged("\"version\":1", "\"version\":2").contains("library version 2"));
    assert!(damaged("\"range\":2.5", "\"range\":-2.5").contains("entry 0: range -2.5, expected more than 0"));
    let message = shell.fails("library import missing.json", 1);
    assert!(message.contains("cannot read missing.json"), "{message}");
    shell.ok("render --out frames");
    let message = shell.fails("library import frames/frame_0000.png", 1);
    assert!(message.contains("frame_0000.png is no library"), "{message}");
    assert!(shell.fails("library export own.txt", 2).contains(".json or .safetensors"));
    assert!(shell.fails("library example:faces export own.json", 1).contains("nothing is known"));
    assert_eq!(fs::read(kept(&shell, &model)).unwrap(), before);
}

fn kept(shell: &Shell, model: &LibraryModel) -> PathBuf {
    Path::new(&libraries(shell)).join(format!("{}.json", model.identity))
}

#[test]
fn a_damaged_library_is_set_aside_and_said() {
    let (shell, model, _) = user();
    fs::write(kept(&shell, &model), "{").unwrap();
    let message = shell.fails("library list", 1);
    assert!(message.contains("is damaged; it is kept as"), "{message}");
    assert!(shell.ok("library list").contains("0 directions of Toy heads are known"));
}
