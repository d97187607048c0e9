//! What the window keeps between runs: preferences and documents.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use sefa_studio::render::{Example, Source};
use sefa_studio::store::{Folders, Sessions};
use sefa_studio::ui::App;

use crate::ui::{Window, click, drag, edit, pixels, press, seed, settle, start_window, wait_until, window_with};

const HEADS: Source = Source::Example(Example::ToyHeads);

fn window(home: &Path) -> Window {
    window_with(Source::Example(Example::Faces), [], Some(Folders::below(home)), false)
}

/// A window that goes on with what was left last, or begins with the heads.
fn next_window(home: &Path) -> Window {
    window_with(HEADS, [], Some(Folders::below(home)), true)
}

fn sessions(home: &Path) -> Sessions {
    Sessions::new(&Folders::below(home))
}

/// Files of documents, whether a window has them open or not.
fn documents(home: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(Folders::below(home).sessions()) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
}

/// Waits until the document is kept as it is now.
fn wait_until_kept(window: &mut Window, home: &Path) {
    let now = edit(window);
    let holds_it = |path: &PathBuf| sessions(home).look_at(path).is_some_and(|kept| kept.project.edit == now);
    wait_until(window, "the document on the disk", |_| documents(home).iter().any(holds_it));
}

/// Opens the newest of the recent documents whose line has this text.
fn open_recent(window: &mut Window, text: &str) {
    click(window, "File");
    click(window, "Recent documents");
    window.get_by_label_contains(text).click();
    window.step();
}

#[test]
fn preferences_last_and_two_windows_keep_both_of_theirs() {
    let home = tempfile::tempdir().unwrap();
    let (mut first, mut second) = (window(home.path()), window(home.path()));
    press(&mut first, Modifiers::COMMAND, Key::Comma);
    drag(&mut second, "Direction 1", 20.0);
    // Windows write when something changed, not when they are closed.
    let file = Folders::below(home.path()).preferences();
    let kept = |text: &str| fs::read_to_string(&file).is_ok_and(|json| json.contains(text));
    wait_until(&mut second, "both", |_| kept("\"theme\": \"Light\"") && kept("\"has_dragged\": true"));
    drop((first, second));
    let third = window(home.path());
    assert!(kept("\"theme\": \"Light\""), "a start changes nothing");
    assert!(third.query_by_label_contains("Drag a slider").is_none());
}

#[test]
fn damaged_and_newer_preferences_are_said_and_kept() {
    for (content, said, stays) in [
        ("{\"version\": 1, \"theme\": ", "is damaged; it is kept as", false),
        ("{\"version\": 1, \"theme\": 3, \"has_dragged\": true}", "left out: theme", false),
        ("{\"version\": 99}", "of a newer program", true),
    ] {
        let home = tempfile::tempdir().unwrap();
        let folders = Folders::below(home.path());
        fs::create_dir_all(&folders.config).unwrap();
        fs::write(folders.preferences(), content).unwrap();
        let mut window = window(home.path());
        let failure = window.state().failure().cloned().unwrap();
        assert!(failure.headline.contains("preferences.json") && failure.headline.contains(said), "{failure:?}");
        window.get_by_label(&failure.headline);
        click(&mut window, "Dismiss");
        assert_eq!(window.state().failure(), None);
        press(&mut window, Modifiers::COMMAND, Key::Comma);
        drop(window);
        let mut texts: Vec<String> = Vec::new();
        for entry in fs::read_dir(&folders.config).unwrap() {
            texts.push(fs::read_to_string(entry.unwrap().path()).unwrap());
        }
        assert!(texts.iter().any(|text| text == content), "what was there is kept");
        assert_eq!(fs::read_to_string(folders.preferences()).unwrap() == content, stays);
    }
}

#[test]
fn what_was_edited_is_there_at_the_next_start_however_the_window_ended() {
    let home = tempfile::tempdir().unwrap();
    let mut first = next_window(home.path());
    assert!(first.query_by_label_contains("Restored").is_none());
    drag(&mut first, "Direction 1", 20.0);
    click(&mut first, "Top");
    press(&mut first, Modifiers::NONE, Key::ArrowRight);
    let (left, picture) = (edit(&first), pixels(&first));
    wait_until_kept(&mut first, home.path());
    let thumbnail = sessions(home.path()).thumbnail(&documents(home.path())[0]);
    wait_until(&mut first, "its picture", |_| image::open(&thumbnail).is_ok_and(|picture| picture.width() == 96));
    // Nothing is written at the end: the window is not closed, it is gone.
    drop(first);
    let mut second = next_window(home.path());
    assert_eq!(edit(&second), left);
    assert_eq!(pixels(&second), picture);
    assert!(second.query_by_label_contains("layers 6-11 of").is_some(), "the panel shows what it showed");
    assert!(second.query_by_label_contains("Restored the document that was left").is_some());
    assert_eq!(documents(home.path()).len(), 1, "it is kept where it was");
    click(&mut second, "Go on");
    assert!(second.query_by_label_contains("Restored").is_none());
    drop(second);

    let mut third = next_window(home.path());
    click(&mut third, "Start fresh");
    wait_until(&mut third, "a new document", |app| app.document().edit != left);
    settle(&mut third);
    assert!(edit(&third).moves.is_empty());
    open_recent(&mut third, &format!("seed {} · 1 move", seed(&left)));
    wait_until(&mut third, "the document of before", |app| app.document().edit == left);
}

/// A disk that was full for a while: said once, and written as soon as it can be, also where nothing happens in the window.
#[test]
fn preferences_that_could_not_be_written_are_later() {
    let home = tempfile::tempdir().unwrap();
    let folders = Folders::below(home.path());
    let mut window = window(home.path());
    settle(&mut window);
    let kept = |text: &str| fs::read_to_string(folders.preferences()).is_ok_and(|json| json.contains(text));
    fs::write(&folders.config, "no folder").unwrap();
    press(&mut window, Modifiers::COMMAND, Key::Comma);
    wait_until(&mut window, "the failure", |app| {
        app.failure().is_some_and(|failure| failure.headline.contains("preferences.json"))
    });
    click(&mut window, "Dismiss");
    window.run_steps(200);
    assert_eq!(window.state().failure(), None, "said once");
    let delay = window.output().viewport_output[&egui::ViewportId::ROOT].repaint_delay;
    assert!(delay <= Duration::from_secs(2), "the next frame comes in {delay:?}");
    fs::remove_file(&folders.config).unwrap();
    wait_until(&mut window, "the preferences", |_| kept("\"theme\": \"Light\""));
}

/// A disk that was full for a while.
#[test]
#[cfg(unix)]
fn what_could_not_be_kept_is_kept_as_soon_as_it_can_be() {
    let home = tempfile::tempdir().unwrap();
    let unwritable = home.path().join("no folder/edit.json");
    let folders = Some(Folders::below(home.path()));
    let mut window = start_window(HEADS, [unwritable], folders, true);
    wait_until(&mut window, "the first picture", |app| app.model().is_some());
    settle(&mut window);
    drag(&mut window, "Direction 1", 20.0);
    wait_until_kept(&mut window, home.path());
    let (folder, away) = (Folders::below(home.path()).sessions(), home.path().join("away"));
    fs::rename(&folder, &away).unwrap();
    fs::write(&folder, "no folder").unwrap();
    press(&mut window, Modifiers::NONE, Key::ArrowRight);
    wait_until(&mut window, "the failure", |app| {
        app.failure().is_some_and(|failure| failure.headline.contains("cannot be kept for the next start"))
    });
    // What the user asks for is said before that.
    press(&mut window, Modifiers::COMMAND, Key::S);
    wait_until(&mut window, "the failure of the save", |app| {
        app.failure().is_some_and(|failure| failure.headline.starts_with("cannot write"))
    });
    window.run_steps(200);
    assert!(window.state().failure().unwrap().headline.starts_with("cannot write"));
    click(&mut window, "Dismiss");
    click(&mut window, "Dismiss");
    window.run_steps(200);
    assert_eq!(window.state().failure(), None, "said once");
    // A window in which nothing happens tries again too.
    for _ in 0..200 {
        window.step();
        let delay = window.output().viewport_output[&egui::ViewportId::ROOT].repaint_delay;
        assert!(delay <= Duration::from_secs(2), "the next frame comes in {delay:?}");
    }
    fs::remove_file(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    wait_until_kept(&mut window, home.path());
}

#[test]
fn kept_pictures_are_there_at_the_next_start_however_the_window_ended() {
    let home = tempfile::tempdir().unwrap();
    let mut first = next_window(home.path());
    drag(&mut first, "Direction 1", 20.0);
    press(&mut first, Modifiers::NONE, Key::M);
    press(&mut first, Modifiers::NONE, Key::K);
    press(&mut first, Modifiers::NONE, Key::ArrowRight);
    press(&mut first, Modifiers::NONE, Key::K);
    let left = first.state().document().shelf.clone();
    let holds_it = |path: &PathBuf| sessions(home.path()).look_at(path).is_some_and(|kept| kept.project.shelf == left);
    wait_until(&mut first, "the shelf on the disk", |_| documents(home.path()).iter().any(holds_it));
    drop(first);
    let mut second = next_window(home.path());
    assert_eq!((second.state().document().shelf.clone(), left.len()), (left, 2));
    click(&mut second, "Start fresh");
    wait_until(&mut second, "a new document", |app| app.document().shelf.is_empty());
    settle(&mut second);
    open_recent(&mut second, "· 2 kept");
    wait_until(&mut second, "the shelf of before", |app| app.document().shelf.len() == 2);
}

#[test]
fn an_example_that_was_only_looked_at_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut window = next_window(home.path());
    window.run_steps(100);
    drop(window);
    assert!(documents(home.path()).is_empty());
    assert!(next_window(home.path()).query_by_label_contains("Restored").is_none());
}

#[test]
fn two_windows_keep_two_documents_and_each_comes_back() {
    let home = tempfile::tempdir().unwrap();
    let (mut first, mut second) = (next_window(home.path()), next_window(home.path()));
    for (window, steps) in [(&mut first, 2), (&mut second, 5)] {
        (0..steps).for_each(|_| press(window, Modifiers::NONE, Key::ArrowRight));
        wait_until_kept(window, home.path());
    }
    let mut left = [seed(&edit(&first)), seed(&edit(&second))];
    assert_ne!(left[0], left[1]);
    drop((first, second));
    let (third, fourth) = (next_window(home.path()), next_window(home.path()));
    let mut back = [seed(&edit(&third)), seed(&edit(&fourth))];
    left.sort_unstable();
    back.sort_unstable();
    assert_eq!(back, left);
    assert!(next_window(home.path()).query_by_label_contains("Restored").is_none(), "no window takes another's");
}

#[test]
fn opening_another_model_keeps_the_document_and_brings_it_back_with_its_model() {
    let home = tempfile::tempdir().unwrap();
    let mut window = next_window(home.path());
    drag(&mut window, "Direction 2", 20.0);
    let (left, name) = (edit(&window), window.state().model().unwrap().name.clone());
    click(&mut window, "File");
    window.get_by_label_contains("Open example: Faces").click();
    wait_until(&mut window, "the other model", |app| app.model().is_some_and(|info| info.name != name));
    settle(&mut window);
    wait_until(&mut window, "the document on the disk", |_| documents(home.path()).len() == 1);
    open_recent(&mut window, "· 1 move");
    wait_until(&mut window, "its model", |app| app.model().is_some_and(|info| info.name == name));
    settle(&mut window);
    assert_eq!(edit(&window), left);
    assert_eq!(window.state().failure(), None);
}

#[test]
fn a_damaged_document_is_said_and_kept_and_the_one_before_it_comes_back() {
    let home = tempfile::tempdir().unwrap();
    for keys in [1, 3] {
        let mut window = window_with(HEADS, [], Some(Folders::below(home.path())), false);
        (0..keys).for_each(|_| press(&mut window, Modifiers::NONE, Key::ArrowRight));
        wait_until_kept(&mut window, home.path());
        // So that file times differ.
        std::thread::sleep(Duration::from_millis(20));
    }
    let newest = sessions(home.path()).closed().remove(0).path;
    let whole = fs::read(&newest).unwrap();
    fs::write(&newest, &whole[..whole.len() - 100]).unwrap();
    let window = next_window(home.path());
    assert_eq!(seed(&edit(&window)), Example::ToyHeads.first_seed() + 1);
    let failure = window.state().failure().cloned().unwrap();
    assert!(failure.headline.contains("is damaged; it is kept as"), "{failure:?}");
    let folder = fs::read_dir(Folders::below(home.path()).sessions()).unwrap();
    let aside = folder.map(|entry| entry.unwrap().path()).find(|path| path.to_string_lossy().contains(".broken-"));
    assert_eq!(fs::read(aside.unwrap()).unwrap(), whole[..whole.len() - 100]);
}

#[test]
fn a_document_whose_model_is_gone_waits_for_it() {
    let home = tempfile::tempdir().unwrap();
    let (model, moved) = (home.path().join("model.pth"), home.path().join("moved.pth"));
    fs::copy(crate::support::fixture("stylegan2_ada_skip/model.pth"), &model).unwrap();
    let folders = Some(Folders::below(home.path()));
    let mut window = window_with(Source::File(model.clone()), [], folders.clone(), false);
    drag(&mut window, "Direction 1", 20.0);
    let left = edit(&window);
    wait_until_kept(&mut window, home.path());
    drop(window);
    fs::rename(&model, &moved).unwrap();
    let mut window = start_window(HEADS, [moved], folders, true);
    wait_until(&mut window, "the failure", |app: &App| app.failure().is_some());
    assert!(window.query_by_label_contains("The edit that was left needs the model").is_some());
    press(&mut window, Modifiers::COMMAND, Key::O);
    wait_until(&mut window, "the document", |app| app.document().edit == left);
}
