//! What the user knows about directions: it stays the user's, it is kept, and rows show it.

use std::fs;

use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use sefa_studio::edit::{LayerSet, Weighting};
use sefa_studio::library::{self, Library, LibraryModel, Subject};
use sefa_studio::names::DirectionNames;
use sefa_studio::project::Project;
use sefa_studio::render::Source;
use sefa_studio::store::Folders;

use super::{Window, click, drag, edit, press, settle, slider, wait_until, window_with};
use crate::support;

/// A model whose file has no names for its directions.
fn model() -> Source {
    Source::File(support::fixture("stylegan2_ada_skip/model.pth"))
}

fn open(folders: &Folders) -> Window {
    window_with(model(), [], Some(folders.clone()), false)
}

/// Types a name into the row of a direction.
fn name_direction(window: &mut Window, direction: &str, name: &str) {
    let field = format!("Name of {direction}");
    window.get_by_label(&field).focus();
    window.step();
    if name.is_empty() {
        window.key_press(Key::Backspace);
    } else {
        window.get_by_label(&field).type_text(name);
    }
    window.step();
    press(window, Modifiers::NONE, Key::Enter);
}

#[track_caller]
fn assert_rows(window: &Window, rows: &[&str]) {
    for row in rows {
        window.get_by_role_and_label(Role::Slider, row);
    }
}

/// What is kept of the library of the open model.
fn kept(window: &Window, folders: &Folders) -> Library {
    let model = LibraryModel::from(window.state().model().unwrap());
    library::read(&folders.libraries(), &model).unwrap().unwrap_or_default()
}

fn kept_names(window: &Window, folders: &Folders) -> Vec<String> {
    kept(window, folders).entries().map(|entry| entry.knowledge.name.clone()).collect()
}

/// What was lost before: opening an edit replaced the user's names by those of its author, and the next start kept that.
#[test]
fn an_edit_brings_names_along_and_the_users_own_stay() {
    let folder = tempfile::tempdir().unwrap();
    let folders = Folders::below(folder.path());
    let mut window = open(&folders);
    name_direction(&mut window, "direction 1", "mine");
    name_direction(&mut window, "direction 2", "mine too");
    drag(&mut window, "Direction 1", 20.0);
    drag(&mut window, "Direction 3", 20.0);
    let (mut theirs, mut names) = (edit(&window), DirectionNames::default());
    let layers = LayerSet::range(0, 1);
    for (index, name) in [(0, "theirs"), (1, "theirs too"), (3, "new")] {
        names.set(&layers, Weighting::RowNormalised, index, name);
    }
    theirs.moves[0].name = "theirs".into();
    theirs.moves[1].name = "of the move".into();
    let project = Project::new(window.state().model().unwrap(), model().to_string(), theirs.clone(), names);
    let path = folder.path().join("theirs.json");
    fs::write(&path, project.to_json()).unwrap();
    drop(window);

    // A new start, with the edit; and then without it.
    let mut window = window_with(Source::File(path), [], Some(folders.clone()), false);
    wait_until(&mut window, "the edit", |app| app.document().edit.moves.len() == 2);
    settle(&mut window);
    let mine = ["Direction 1, mine", "Direction 2, mine too"];
    assert_rows(&window, &mine);
    assert_rows(&window, &["Direction 3, of the move", "Direction 4, new"]);
    assert_eq!(edit(&window), theirs, "the edit itself is as its author wrote it");
    window.get_by_label("Delete move 1, mine");
    drop(window);
    let mut window = open(&folders);
    assert_rows(&window, &mine);
    assert_rows(&window, &["Direction 3", "Direction 4"]);
    name_direction(&mut window, "direction 1", "");
    assert_rows(&window, &["Direction 1", mine[1]]);
    drop(window);
    assert_rows(&open(&folders), &["Direction 1", mine[1]]);
}

#[test]
fn undo_takes_a_name_back_in_the_file_too_and_another_windows_names_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let folders = Folders::below(folder.path());
    let mut window = open(&folders);
    name_direction(&mut window, "direction 1", "pose");
    assert_eq!(kept_names(&window, &folders), ["pose"]);
    let mut other = open(&folders);
    name_direction(&mut other, "direction 2", "light");
    assert_eq!(kept_names(&window, &folders), ["pose", "light"]);
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_rows(&window, &["Direction 1", "Direction 2, light"]);
    assert_eq!(kept_names(&window, &folders), ["light"], "undo is of this window's own doing");
    press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    assert_eq!(kept_names(&window, &folders), ["pose", "light"]);
    name_direction(&mut other, "direction 1", "turn");
    drop(other);
    name_direction(&mut window, "direction 3", "age");
    assert_rows(&window, &["Direction 1, turn", "Direction 2, light", "Direction 3, age"]);
}

#[test]
fn a_row_is_starred_hidden_and_given_a_range_by_mouse_and_by_keys() {
    let folder = tempfile::tempdir().unwrap();
    let folders = Folders::below(folder.path());
    let mut window = open(&folders);
    let has_row = |window: &Window, row: &str| window.query_by_role_and_label(Role::Slider, row).is_some();
    click(&mut window, "About direction 2");
    click(&mut window, "Star");
    click(&mut window, "Hide");
    press(&mut window, Modifiers::NONE, Key::Escape);
    assert!(!has_row(&window, "Direction 2") && has_row(&window, "Direction 11"), "another takes its place");
    click(&mut window, "1 hidden, show");
    window.get_by_label("About direction 2, starred, hidden");
    click(&mut window, "Hide 1 again");
    assert!(!has_row(&window, "Direction 2"));
    press(&mut window, Modifiers::COMMAND, Key::Z);
    window.get_by_label("About direction 2, starred");

    // With the other button on the slider, and with keys on the number.
    slider(&window, "Direction 3").click_secondary();
    settle(&mut window);
    click(&mut window, "Meaningful");
    press(&mut window, Modifiers::NONE, Key::Escape);
    window.get_by_label("About direction 1").focus();
    window.step();
    press(&mut window, Modifiers::NONE, Key::Enter);
    press(&mut window, Modifiers::NONE, Key::Space);
    window.get_by_label("About direction 1, starred");
    window.get_by_role_and_label(Role::SpinButton, "Slider to").focus();
    window.step();
    window.input_mut().events.push(egui::Event::Text("1.5".into()));
    window.step();
    press(&mut window, Modifiers::NONE, Key::Enter);
    press(&mut window, Modifiers::NONE, Key::Escape);
    assert!(window.get_by_label("About direction 1, starred").is_focused(), "Escape goes back to where it was opened");
    let ends = |window: &Window, name: &str| {
        let slider = slider(window, name);
        let node = slider.accesskit_node();
        (node.min_numeric_value(), node.max_numeric_value())
    };
    assert_eq!(ends(&window, "Direction 1"), (Some(-1.5), Some(1.5)));
    assert_ne!(ends(&window, "Direction 2"), (Some(-1.5), Some(1.5)));
    let marks: Vec<_> = kept(&window, &folders)
        .entries()
        .map(|entry| (entry.subject.origin().to_string(), entry.knowledge.star, entry.knowledge.meaningful))
        .collect();
    let expected = [("direction 2", true, false), ("direction 3", false, true), ("direction 1", true, false)];
    assert_eq!(marks, expected.map(|(name, star, meaningful)| (name.to_owned(), star, meaningful)));
}

#[test]
fn a_library_that_cannot_be_read_or_written_is_said_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let folders = Folders::below(folder.path());
    let window = open(&folders);
    let path = folders.libraries().join(format!("{}.json", window.state().model().unwrap().identity));
    drop(window);
    fs::create_dir_all(folders.libraries()).unwrap();
    fs::write(&path, "{\"version\": 1, \"entries\": [{}]}").unwrap();
    let mut window = open(&folders);
    assert!(window.state().failure().unwrap().headline.contains("damaged; it is kept as"));
    name_direction(&mut window, "direction 1", "pose");
    assert_eq!(kept_names(&window, &folders), ["pose"]);
    drop(window);
    let newer = "{\"version\": 2}";
    fs::write(&path, newer).unwrap();
    let mut window = open(&folders);
    let says = |window: &Window| window.state().failure().unwrap().headline.clone();
    assert!(says(&window).contains("version 2"), "{}", says(&window));
    name_direction(&mut window, "direction 2", "mine");
    assert!(says(&window).contains("version 2"), "{}", says(&window));
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
}

#[test]
fn what_could_not_be_written_into_the_library_is_as_soon_as_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let folders = Folders::below(folder.path());
    let mut window = open(&folders);
    fs::create_dir_all(&folders.data).unwrap();
    fs::write(folders.libraries(), "no folder").unwrap();
    name_direction(&mut window, "direction 1", "pose");
    wait_until(&mut window, "the failure", |app| {
        app.failure().is_some_and(|failure| failure.headline.starts_with("cannot write"))
    });
    click(&mut window, "Dismiss");
    window.run_steps(200);
    assert_eq!(window.state().failure(), None, "said once");
    fs::remove_file(folders.libraries()).unwrap();
    let path = folders.libraries().join(format!("{}.json", window.state().model().unwrap().identity));
    wait_until(&mut window, "the library", |_| path.exists());
    wait_until(&mut window, "the end of the write", |app| app.is_settled());
    assert_eq!(kept_names(&window, &folders), ["pose"]);
}

#[test]
fn names_that_earlier_versions_kept_go_into_the_library_once() {
    let folder = tempfile::tempdir().unwrap();
    let folders = Folders::below(folder.path());
    let identity = open(&Folders::below(&folder.path().join("other"))).state().model().unwrap().identity.clone();
    let names = r#"{"0-1/row-normalised/0": "pose", "0-1/row-normalised/1": "age", "nonsense": "x"}"#;
    fs::create_dir_all(&folders.config).unwrap();
    fs::write(folders.preferences(), format!(r#"{{"version": 1, "names": {{"{identity}": {names}}}}}"#)).unwrap();
    let mut window = open(&folders);
    assert_rows(&window, &["Direction 1, pose", "Direction 2, age"]);
    assert_eq!(kept_names(&window, &folders), ["pose", "age"]);
    let library = kept(&window, &folders);
    assert!(library.entries().all(|entry| matches!(entry.subject, Subject::Whole(_))), "vectors came with the list");
    name_direction(&mut window, "direction 1", "");
    drop(window);
    let window = open(&folders);
    assert_rows(&window, &["Direction 1", "Direction 2, age"]);
    assert_eq!(kept_names(&window, &folders), ["age"], "what was taken back does not come again");
}

fn drop_file(window: &mut Window, path: &std::path::Path) {
    window.input_mut().dropped_files.push(std::sync::Arc::new(super::Dropped(path.to_path_buf())));
    window.step();
    window.input_mut().dropped_files.clear();
}

/// Directions of other tools are dropped onto the window, and are rows like all others.
#[test]
fn a_file_of_directions_that_is_dropped_becomes_own_directions() {
    let folder = tempfile::tempdir().unwrap();
    let folders = Folders::below(folder.path());
    let mut window = open(&folders);
    drop_file(&mut window, &support::fixture("analysis/boundary0.npy"));
    wait_until(&mut window, "the direction", |app| app.document().library.entries().count() == 1);
    settle(&mut window);
    assert_rows(&window, &["Boundary0"]);
    assert!(window.query_all_by_label_contains("A direction of boundary0.npy is among your own").next().is_some());
    let before = super::pixels(&window);
    drag(&mut window, "Boundary0", 20.0);
    settle(&mut window);
    assert_ne!(super::pixels(&window), before, "it moves the picture");
    assert_eq!(edit(&window).moves[0].direction.layers, LayerSet::range(0, 7));
    // In some of its layers it is another direction.
    click(&mut window, "Bottom");
    settle(&mut window);
    drag(&mut window, "Boundary0", 20.0);
    assert_eq!(edit(&window).moves[1].direction.layers, LayerSet::range(0, 1));
    click(&mut window, "Directions by SeFa");
    settle(&mut window);
    assert_rows(&window, &["Direction 1"]);
    assert_eq!(kept_names(&window, &folders), ["boundary0"]);

    // One that can be two things is asked about.
    let two = folder.path().join("two.npy");
    sefa_studio::export::write_npy(&two, &[8, 16], &(0..128).map(|i| (i % 17) as f32 - 7.5).collect::<Vec<_>>())
        .unwrap();
    drop_file(&mut window, &two);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while window.query_by_label_contains("can be read in two ways").is_none() {
        assert!(std::time::Instant::now() < deadline, "waited 60 s for the question");
        window.step();
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    click(&mut window, "A vector for each layer");
    wait_until(&mut window, "the direction", |app| app.document().library.entries().count() == 2);
    settle(&mut window);
    assert_rows(&window, &["Two"]);

    // What does not fit is told, and a model is opened as ever.
    let wide = folder.path().join("wide.npy");
    sefa_studio::export::write_npy(&wide, &[17], &[1.0; 17]).unwrap();
    drop_file(&mut window, &wide);
    wait_until(&mut window, "the failure", |app| app.failure().is_some());
    assert!(window.state().failure().unwrap().headline.contains("expected directions of this model"));
    drop_file(&mut window, &support::fixture("dcgan/netG_f16.safetensors"));
    wait_until(&mut window, "the model", |app| {
        app.model().is_some_and(|info| info.layout.contains("dcgan") || info.num_layers == 1)
    });
}

/// What `library export` wrote is taken in as well, if it is of the model.
#[test]
fn a_library_that_is_dropped_is_taken_in() {
    let folder = tempfile::tempdir().unwrap();
    let folders = Folders::below(folder.path());
    let mut giver = open(&folders);
    name_direction(&mut giver, "direction 1", "smile");
    let file = folder.path().join("theirs.json");
    giver.state().document().library.export(&file).unwrap();
    drop(giver);
    let mut window = open(&Folders::below(&folder.path().join("other")));
    drop_file(&mut window, &file);
    wait_until(&mut window, "the name", |app| app.document().library.entries().count() == 1);
    settle(&mut window);
    assert_rows(&window, &["Direction 1, smile"]);
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_rows(&window, &["Direction 1"]);
}
