//! What is asked before a file is written, and what becomes of the file that was there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use egui::accesskit::Role;
use egui::{Key, Modifiers, ViewportCommand, ViewportEvent, ViewportId};
use egui_kittest::kittest::Queryable;
use sefa_studio::project::Project;
use sefa_studio::render::{Example, Source};

use crate::ui::{Dropped, Window, click, drag, edit, press, settle, wait_until, window_with};

fn toy_heads(paths: impl IntoIterator<Item = PathBuf>) -> Window {
    window_with(Source::Example(Example::ToyHeads), paths, None, false)
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_first_save_asks_for_a_place_and_the_next_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first.json"), folder.path().join("second.json"));
    let mut window = toy_heads([first.clone(), second.clone()]);
    assert!(!window.state().is_unsaved());
    for path in [&first, &first, &second, &second] {
        press(&mut window, Modifiers::NONE, Key::ArrowRight);
        assert!(window.state().is_unsaved());
        let elsewhere = path == &second && !second.exists();
        let modifiers = if elsewhere { Modifiers::COMMAND | Modifiers::SHIFT } else { Modifiers::COMMAND };
        press(&mut window, modifiers, Key::S);
        wait_until(&mut window, "the file", |app| !app.is_unsaved());
        assert_eq!(Project::load(path).unwrap().edit, edit(&window));
        wait_for(&mut window, &format!("Saved {}", path.file_name().unwrap().to_str().unwrap()));
    }
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert!(window.state().is_unsaved());
    press(&mut window, Modifiers::COMMAND, Key::Y);
    assert!(!window.state().is_unsaved(), "what was saved is what is saved, by whatever way");
    assert_eq!(names_in(folder.path()), ["first.json", "second.json"]);
}

/// Steps until something is shown.
#[track_caller]
fn wait_for(window: &mut Window, text: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while window.query_all_by_label_contains(text).next().is_none() {
        assert!(Instant::now() < deadline, "waited 60 s for {text:?}; the window says {:?}", window.state().failure());
        window.step();
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The system's dialog asks about the name that was typed; the file gets another one.
#[test]
fn a_name_without_suffix_gets_it_before_a_file_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    for (key, name) in [(Key::S, "pose+1.4.json"), (Key::E, "pose+1.4.png")] {
        let (there, other) = (folder.path().join(name), folder.path().join(name.replace("pose", "other")));
        fs::write(&there, "mine").unwrap();
        let typed = folder.path().join("pose+1.4");
        let mut window = toy_heads([typed.clone(), typed.clone(), other.clone()]);
        let question = format!("There is a file {name} in {}", folder.path().display());
        press(&mut window, Modifiers::COMMAND, key);
        wait_for(&mut window, &question);
        click(&mut window, "Cancel");
        assert!(window.query_by_label_contains(&question).is_none());
        press(&mut window, Modifiers::COMMAND, key);
        wait_for(&mut window, &question);
        click(&mut window, "Choose another…");
        wait_until(&mut window, "the other file", |_| Project::load(&other).is_ok());
        assert_eq!(fs::read_to_string(&there).unwrap(), "mine");
        drop(window);

        let mut window = toy_heads([typed]);
        press(&mut window, Modifiers::COMMAND, key);
        wait_for(&mut window, &question);
        click(&mut window, "Replace");
        wait_until(&mut window, "the new file", |_| Project::load(&there).is_ok());
    }
}

#[test]
fn a_path_typed_into_the_window_is_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("there.json");
    fs::write(&there, "mine").unwrap();
    // Without answers there are no dialogs of the system.
    let mut window = toy_heads([]);
    press(&mut window, Modifiers::COMMAND, Key::S);
    window.get_by_label("Path").focus();
    window.step();
    press(&mut window, Modifiers::COMMAND, Key::A);
    window.get_by_label("Path").type_text(there.to_str().unwrap());
    window.step();
    press(&mut window, Modifiers::NONE, Key::Enter);
    wait_for(&mut window, "There is a file there.json");
    assert_eq!(fs::read_to_string(&there).unwrap(), "mine");
    click(&mut window, "Replace");
    wait_until(&mut window, "the file", |app| !app.is_unsaved() && Project::load(&there).is_ok());
}

#[test]
fn a_file_that_somebody_else_wrote_meanwhile_is_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edit.json");
    let mut window = toy_heads([path.clone()]);
    press(&mut window, Modifiers::COMMAND, Key::S);
    wait_for(&mut window, "Saved edit.json");
    std::thread::sleep(Duration::from_millis(20));
    fs::write(&path, "theirs").unwrap();
    press(&mut window, Modifiers::NONE, Key::ArrowRight);
    press(&mut window, Modifiers::COMMAND, Key::S);
    wait_for(&mut window, "was changed by another program");
    assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
    click(&mut window, "Replace");
    wait_until(&mut window, "the file", |_| Project::load(&path).is_ok());
}

#[test]
fn what_cannot_be_written_is_named_and_the_old_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (file, read_only) = (folder.path().join("file"), folder.path().join("read-only.json"));
    fs::write(&file, "in the way").unwrap();
    fs::write(&read_only, "mine").unwrap();
    let mut permissions = fs::metadata(&read_only).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&read_only, permissions).unwrap();
    let mut targets = vec![read_only.clone(), file.join("edit.json"), folder.path().join("missing/edit.json")];
    if cfg!(target_os = "linux") {
        // Not even the administrator writes there.
        targets.push("/proc/edit.json".into());
    }
    for target in targets {
        let mut window = toy_heads([target.clone()]);
        press(&mut window, Modifiers::NONE, Key::ArrowRight);
        press(&mut window, Modifiers::COMMAND, Key::S);
        wait_until(&mut window, "the failure", |app| app.failure().is_some());
        let failure = window.state().failure().cloned().unwrap();
        assert!(failure.headline.contains(target.to_str().unwrap()) && !failure.causes.is_empty(), "{failure:?}");
        assert!(window.state().is_unsaved());
    }
    assert_eq!(fs::read_to_string(&read_only).unwrap(), "mine");
    assert_eq!(names_in(folder.path()), ["file", "read-only.json"]);
}

#[test]
fn a_folder_with_an_older_series_is_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let older = folder.path().join("frame_0123.png");
    fs::write(&older, "older").unwrap();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let answers = [folder.path().to_path_buf(), folder.path().to_path_buf()];
    let mut window = toy_heads(answers);
    drag(&mut window, "Direction 1", 20.0);
    for answer in ["Cancel", "Replace"] {
        assert!(older.exists());
        if window.query_by_label("Choose folder…").is_none() {
            press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::E);
        }
        click(&mut window, "Choose folder…");
        wait_for(&mut window, "holds 1 files of an older series");
        click(&mut window, answer);
    }
    wait_for(&mut window, "Exported sheet.png");
    let names = names_in(folder.path());
    assert!(!older.exists() && names.contains(&"notes.txt".to_owned()));
    assert_eq!(names.iter().filter(|name| name.ends_with(".png")).count(), 10, "9 frames and a sheet, found {names:?}");
}

/// The window is told to close, as by its cross.
fn close(window: &mut Window) -> Vec<ViewportCommand> {
    window.input_mut().viewports.entry(ViewportId::ROOT).or_default().events.push(ViewportEvent::Close);
    window.step();
    let viewport = window.input_mut().viewports.entry(ViewportId::ROOT).or_default();
    viewport.events.clear();
    commands(window)
}

fn commands(window: &Window) -> Vec<ViewportCommand> {
    window.output().viewport_output.get(&ViewportId::ROOT).map_or(Vec::new(), |root| root.commands.clone())
}

#[test]
fn a_window_with_running_exports_asks_before_it_closes() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = toy_heads([folder.path().to_path_buf()]);
    assert!(!close(&mut window).contains(&ViewportCommand::CancelClose), "nothing runs");
    drag(&mut window, "Direction 1", 20.0);
    window.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::E);
    window.run_steps(2);
    window.get_by_role_and_label(Role::SpinButton, "Frames").focus();
    window.step();
    window.get_by_role_and_label(Role::SpinButton, "Frames").type_text("400");
    window.step();
    window.key_press(Key::Enter);
    window.run_steps(2);
    window.get_by_label("Choose folder…").click();
    wait_for(&mut window, "Exporting 400 frames");
    assert!(close(&mut window).contains(&ViewportCommand::CancelClose));
    wait_for(&mut window, "An export is running.");
    window.get_by_label("Do not quit").click();
    window.run_steps(2);
    assert!(window.query_by_label("Do not quit").is_none());
    assert!(close(&mut window).contains(&ViewportCommand::CancelClose), "asked anew");
    window.run_steps(2);
    window.get_by_label("Quit anyway").click();
    window.step();
    assert!(commands(&window).contains(&ViewportCommand::Close));
    assert!(!close(&mut window).contains(&ViewportCommand::CancelClose));
}

#[test]
fn an_edit_from_a_stranger_does_not_open_a_path_on_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edit.json");
    let mut window = toy_heads([path.clone()]);
    drag(&mut window, "Direction 1", 20.0);
    let saved = edit(&window);
    press(&mut window, Modifiers::COMMAND, Key::S);
    wait_for(&mut window, "Saved edit.json");
    let json = fs::read_to_string(&path).unwrap().replace("example:toy-heads", r"\\\\server\\share\\heads.pt");
    fs::write(&path, &json).unwrap();
    // With its model open no path is needed.
    let mut same = toy_heads([path.clone()]);
    press(&mut same, Modifiers::COMMAND, Key::O);
    wait_until(&mut same, "the edit", |app| app.document().edit == saved);

    let mut other = window_with(Source::Example(Example::Faces), [path], None, false);
    press(&mut other, Modifiers::COMMAND, Key::O);
    wait_for(&mut other, r"at \\server\share\heads.pt: it leads to another computer on the network");
    click(&mut other, "Do not open");
    assert_eq!(other.state().failure(), None, "nothing was tried");
    assert!(other.query_by_label_contains("Open that model, and the edit follows").is_some());
    click(&mut other, "File");
    other.get_by_label_contains("Open example: Toy heads").click();
    wait_until(&mut other, "the edit", |app| app.document().edit == saved);
}

#[test]
fn a_picture_is_recognised_by_content_when_it_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let (picture, renamed) = (folder.path().join("a.png"), folder.path().join("a.pt"));
    let mut window = toy_heads([picture.clone()]);
    drag(&mut window, "Direction 1", 20.0);
    let exported = edit(&window);
    press(&mut window, Modifiers::COMMAND, Key::E);
    wait_for(&mut window, "Exported a.png");
    fs::rename(&picture, &renamed).unwrap();
    press(&mut window, Modifiers::COMMAND, Key::Z);
    window.input_mut().dropped_files.push(Arc::new(Dropped(renamed)));
    window.step();
    window.input_mut().dropped_files.clear();
    wait_until(&mut window, "the edit", |app| app.document().edit == exported);
    settle(&mut window);
    assert!(!window.state().is_unsaved());
    // Edits are not saved into a picture: without answers the window asks for a path.
    press(&mut window, Modifiers::COMMAND, Key::S);
    assert!(window.query_by_label("Path").is_some());
}
