//! The window for those who do not see it or have no pointer: names, keys, what is read out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use egui::accesskit::{Live, Role};
use egui::{Key, Modifiers};
use egui_kittest::kittest::{By, NodeT, Queryable};

use super::ui::{Window, click, drag, edit, fixture_window, press, settle, title, toy_heads, wait_until};

/// What has the keyboard: which node, and what it is called.
fn focused(window: &Window) -> Option<(egui::accesskit::NodeId, String)> {
    let node = window.query_all(By::new().predicate(|node| node.is_focused())).next()?;
    let node = node.accesskit_node();
    let name = node.label().unwrap_or_default();
    Some((node.locate().0, name))
}

/// Walks once around with Tab: the names of everything that takes the keyboard, each of which has one of its own.
#[track_caller]
fn names_by_tab(window: &mut Window) -> Vec<String> {
    let mut seen: BTreeMap<u64, String> = BTreeMap::new();
    let mut names = Vec::new();
    for _ in 0..300 {
        window.key_press(Key::Tab);
        window.step();
        let Some((id, name)) = focused(window) else { continue };
        if seen.insert(id.0, name.clone()).is_some() {
            break;
        }
        assert!(!name.trim().is_empty(), "what comes after {:?} has no name", names.last());
        assert!(!names.contains(&name), "two controls are called {name:?}: {names:#?}");
        names.push(name);
    }
    names
}

#[track_caller]
fn assert_reached(names: &[String], wanted: &[&str]) {
    for wanted in wanted {
        // The name that a direction has follows what it is.
        let reached =
            |name: &String| name.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(", "));
        assert!(names.iter().any(reached), "Tab never comes to {wanted:?}: {names:#?}");
    }
}

#[test]
fn everything_has_a_name_of_its_own_and_is_reached_by_tab() {
    let mut window = toy_heads([]);
    drag(&mut window, "Direction 1", 20.0);
    click(&mut window, "Top");
    drag(&mut window, "Direction 1", 20.0);
    // Both moves get one name.
    for n in [0, 1] {
        let name = format!("Name of {}", title(&window, n));
        window.get_by_label(&name).focus();
        window.step();
        window.get_by_label(&name).type_text("same");
        window.step();
        press(&mut window, Modifiers::NONE, Key::Enter);
    }
    click(&mut window, "Random noise");
    let names = names_by_tab(&mut window);
    assert_reached(
        &names,
        &["File", "Undo", "Compare", "Export", "Seed", "Random seed", "Psi", "Psi value", "Cutoff", "Random noise"],
    );
    assert_reached(&names, &["New random noise", "Delete move 2, same", "Reset all moves", "Top", "First layer"]);
    assert_reached(&names, &["Last layer", "Direction 10", "Value of direction 10", "Row-normalised"]);
    assert!(names.iter().any(|name| name.starts_with("Picture, ")), "{names:#?}");
    assert!(names.iter().any(|name| name.starts_with("Spectrum of ")), "{names:#?}");
}

#[test]
fn classes_dialogs_and_bars_have_names_too() {
    let mut window = fixture_window("biggan_deep_hf/pytorch_model.bin");
    click(&mut window, "Second class, none");
    click(&mut window, "3");
    let names = names_by_tab(&mut window);
    assert_reached(&names, &["Class, 0", "Second class, 3", "Amount of the second class", "Amount value"]);

    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.pt");
    std::fs::write(&broken, b"PK\x03\x04 not really a zip").unwrap();
    let mut window = toy_heads([broken]);
    press(&mut window, Modifiers::COMMAND, Key::O);
    wait_until(&mut window, "the failure", |app| app.failure().is_some());
    drag(&mut window, "Direction 1", 20.0);
    press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::E);
    let names = names_by_tab(&mut window);
    assert_reached(&names, &["Dismiss", "Move", "From", "To", "Frames", "Choose folder…"]);
    press(&mut window, Modifiers::NONE, Key::Escape);
    press(&mut window, Modifiers::NONE, Key::Escape);
    press(&mut window, Modifiers::NONE, Key::F1);
    assert_reached(&names_by_tab(&mut window), &["Close the keyboard shortcuts"]);
    press(&mut window, Modifiers::NONE, Key::Escape);
    // No dialog is scripted any more, as on a desktop without any.
    press(&mut window, Modifiers::COMMAND, Key::O);
    assert_reached(&names_by_tab(&mut window), &["Path"]);
}

#[test]
fn the_form_of_how_a_file_was_read_has_names() {
    let mut window = fixture_window("chain_read/leaky_mlp.safetensors");
    assert_reached(&names_by_tab(&mut window), &["Change…", "Dismiss how the file was read"]);
    click(&mut window, "Change…");
    assert_reached(&names_by_tab(&mut window), &["Activation", "Slope of the activation", "Range", "Code"]);
}

#[test]
fn failures_and_notes_are_read_out_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let (broken, png) = (folder.path().join("broken.pt"), folder.path().join("picture.png"));
    std::fs::write(&broken, b"PK\x03\x04 not really a zip").unwrap();
    let mut window = toy_heads([broken, png.clone()]);
    press(&mut window, Modifiers::COMMAND, Key::O);
    wait_until(&mut window, "the failure", |app| app.failure().is_some());
    let failure = window.state().failure().cloned().unwrap();
    window.step();
    assert_eq!(window.get_by_label(&failure.headline).accesskit_node().live(), Live::Assertive);
    click(&mut window, "Dismiss");
    click(&mut window, &format!("Messages, the last is: {}", failure.headline));
    window.get_by_label(&failure.headline);
    press(&mut window, Modifiers::NONE, Key::Escape);
    press(&mut window, Modifiers::COMMAND, Key::E);
    wait_until(&mut window, "the picture", |_| png.exists());
    settle(&mut window);
    assert_eq!(window.get_by_label("Exported picture.png").accesskit_node().live(), Live::Polite);
    window.get_by_label("Messages, the last is: Exported picture.png");
}

#[test]
fn a_note_stays_while_it_is_pointed_at_or_has_the_keyboard() {
    let folder = tempfile::tempdir().unwrap();
    let png = folder.path().join("picture.png");
    let mut window = toy_heads([png.clone()]);
    press(&mut window, Modifiers::COMMAND, Key::E);
    let note = "Exported picture.png";
    wait_until(&mut window, "the picture", |_| png.exists());
    settle(&mut window);
    // A step is 0.03 s; a short note stays 8 s by itself.
    window.hover_at(window.get_by_label(note).rect().center());
    window.run_steps(400);
    assert!(window.query_by_label(note).is_some(), "under the pointer");
    window.get_by_label(note).focus();
    window.hover_at(egui::pos2(5.0, 400.0));
    window.run_steps(400);
    assert!(window.query_by_label(note).is_some(), "with the keyboard");
    press(&mut window, Modifiers::NONE, Key::Escape);
    window.run_steps(150);
    assert!(window.query_by_label(note).is_none(), "left alone, it goes");
    assert!(window.query_by_label(&format!("Messages, the last is: {note}")).is_some());
}

#[test]
fn a_saved_edit_is_not_called_exported() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("edit.json");
    let mut window = toy_heads([json.clone()]);
    press(&mut window, Modifiers::COMMAND, Key::S);
    // It is written by a thread, which says so afterwards.
    let deadline = Instant::now() + Duration::from_secs(60);
    while window.query_by_label("Saved edit.json").is_none() {
        assert!(Instant::now() < deadline, "waited 60 s for the note");
        window.step();
    }
}

#[test]
fn ends_of_the_ruler_say_where_they_are_and_how_far_they_go() {
    let mut window = toy_heads([]);
    let last_layer = window.state().model().unwrap().num_layers as f64 - 1.0;
    let range = |window: &Window, name: &str| {
        let node = window.get_by_role_and_label(Role::Slider, name);
        let node = node.accesskit_node();
        [node.min_numeric_value(), node.numeric_value(), node.max_numeric_value()].map(Option::unwrap)
    };
    assert_eq!(range(&window, "First layer"), [0.0, 0.0, 1.0]);
    assert_eq!(range(&window, "Last layer"), [0.0, 1.0, last_layer]);
    window.get_by_label("Last layer").set_value_accesskit(4.0);
    settle(&mut window);
    for value in [9.0, f64::NAN] {
        window.get_by_label("First layer").set_value_accesskit(value);
        settle(&mut window);
        assert_eq!(range(&window, "First layer"), [0.0, 4.0, 4.0], "an end stops at the other");
    }
}

#[test]
fn the_spectrum_is_read_with_arrow_keys() {
    let mut window = toy_heads([]);
    let spectrum = |window: &Window| {
        let node = window.get_by_label_contains("Spectrum of ");
        let node = node.accesskit_node();
        (node.label().unwrap(), node.value().unwrap(), node.description().unwrap_or_default())
    };
    let (name, value, description) = spectrum(&window);
    assert!(name.ends_with("% in 10"), "{name}");
    assert!(value.starts_with("Direction 1, eigenvalue ") && value.ends_with("% of the variance"), "{value}");
    assert!(description.contains("direction 10 "), "{description}");
    let before = edit(&window);
    window.get_by_label_contains("Spectrum of ").focus();
    window.step();
    press(&mut window, Modifiers::NONE, Key::ArrowRight);
    assert!(spectrum(&window).1.starts_with("Direction 2, "));
    assert_eq!(edit(&window), before);
}

#[test]
fn the_compare_button_works_with_the_keyboard() {
    let mut window = toy_heads([]);
    drag(&mut window, "Direction 1", 20.0);
    window.get_by_label("Compare").focus();
    window.step();
    window.key_down(Key::Space);
    window.run_steps(2);
    assert!(window.query_by_label_contains("unedited sample").is_some());
    window.key_up(Key::Space);
    window.run_steps(2);
    assert!(window.query_by_label_contains("unedited sample").is_none());
}

#[test]
fn what_was_opened_is_read_out() {
    let window = fixture_window("dcgan/netG.pth");
    assert_eq!(window.get_by_label("Opened netG").accesskit_node().live(), Live::Polite);
}
