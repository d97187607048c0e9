//! The player: the shelf, a swing or a walk in place of the picture.

use std::time::{Duration, Instant};

use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use sefa_studio::edit::{Code, Easing, Edit};
use sefa_studio::project::Project;

use super::{Window, click, edit, press, seed, settle, slider, toy_heads, wait_until};

/// The window after the samples of so many seeds were kept, one after another.
fn with_kept(count: u64) -> Window {
    let mut window = toy_heads([]);
    for _ in 0..count {
        press(&mut window, Modifiers::NONE, Key::K);
        press(&mut window, Modifiers::NONE, Key::ArrowRight);
    }
    settle(&mut window);
    window
}

/// Presses a key, while a motion may run.
fn tap(window: &mut Window, key: Key) {
    window.key_press_modifiers(Modifiers::NONE, key);
    window.run_steps(3);
}

/// What the picture shows.
fn shown(window: &Window) -> Edit {
    window.state().shown_edit().expect("a picture").clone()
}

#[test]
fn p_plays_the_shelf_and_the_document_stays() {
    let mut window = with_kept(3);
    let before = window.state().document().clone();
    tap(&mut window, Key::P);
    let mut codes = Vec::new();
    let until = Instant::now() + Duration::from_secs(20);
    while codes.len() < 4 && Instant::now() < until {
        window.step();
        let code = shown(&window).sample.code;
        if !codes.contains(&code) {
            codes.push(code);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(codes.iter().any(|code| matches!(code, Code::Between(_))), "{codes:?}");
    tap(&mut window, Key::P);
    settle(&mut window);
    assert_eq!(window.state().document(), &before, "playing changes nothing");
}

#[test]
fn frames_are_stepped_and_kept_and_escape_brings_the_picture_back() {
    let mut window = with_kept(2);
    let present = edit(&window);
    tap(&mut window, Key::P);
    tap(&mut window, Key::P);
    settle(&mut window);
    while window.query_by_label("0.00 of 2.00 s").is_none() {
        press(&mut window, Modifiers::NONE, Key::Comma);
    }
    settle(&mut window);
    assert_eq!(seed(&shown(&window)), seed(&window.state().document().shelf.get(0).unwrap().edit));
    press(&mut window, Modifiers::NONE, Key::Period);
    settle(&mut window);
    let frame = shown(&window);
    assert!(matches!(frame.sample.code, Code::Between(_)));
    press(&mut window, Modifiers::NONE, Key::K);
    settle(&mut window);
    assert_eq!(window.state().document().shelf.get(2).unwrap().edit, frame, "what is seen is kept");
    press(&mut window, Modifiers::NONE, Key::Escape);
    settle(&mut window);
    assert_eq!((shown(&window), edit(&window)), (present.clone(), present));
}

#[test]
fn whoever_moves_a_slider_sees_what_it_does() {
    let mut window = with_kept(2);
    tap(&mut window, Key::P);
    slider(&window, "Direction 1").focus();
    tap(&mut window, Key::ArrowRight);
    settle(&mut window);
    assert_eq!(edit(&window).moves.len(), 1);
    assert_eq!(shown(&window), edit(&window));
    assert!(window.query_by_label("Close the player").is_none());
}

#[test]
fn times_and_easings_are_part_of_the_document() {
    let mut window = with_kept(2);
    tap(&mut window, Key::P);
    tap(&mut window, Key::P);
    click(&mut window, "Hold");
    click(&mut window, "Loop");
    settle(&mut window);
    let shelf = window.state().document().shelf.clone();
    assert_eq!((shelf.get(0).unwrap().easing, shelf.playback.loops), (Easing::Hold, false));
    press(&mut window, Modifiers::COMMAND, Key::Z);
    settle(&mut window);
    assert!(window.state().document().shelf.playback.loops, "one step of undo");
    assert_eq!(window.state().document().shelf.get(0).unwrap().easing, Easing::Hold);
}

#[test]
fn without_a_shelf_there_is_a_swing_and_a_walk() {
    let mut window = toy_heads([]);
    tap(&mut window, Key::P);
    tap(&mut window, Key::P);
    settle(&mut window);
    let swing = shown(&window);
    assert_eq!((swing.moves.len(), &swing.sample), (1, &edit(&window).sample));
    click(&mut window, "Walk");
    settle(&mut window);
    press(&mut window, Modifiers::NONE, Key::Period);
    settle(&mut window);
    assert!(matches!(shown(&window).sample.code, Code::Between(_)));
    click(&mut window, "Shelf");
    settle(&mut window);
    window.get_by_label_contains("a motion needs two pictures or more; here is none");
}

#[test]
fn the_motion_is_exported_as_a_film_and_as_frames() {
    let folder = tempfile::tempdir().unwrap();
    let (film, frames) = (folder.path().join("film"), folder.path().join("frames"));
    let mut window = toy_heads([film.clone(), frames.clone()]);
    for _ in 0..2 {
        press(&mut window, Modifiers::NONE, Key::K);
        press(&mut window, Modifiers::NONE, Key::ArrowRight);
    }
    press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::M);
    let film = film.with_extension("mp4");
    wait_until(&mut window, "a film", |_| film.exists());
    settle(&mut window);
    assert_eq!(&std::fs::read(&film).unwrap()[4..8], b"ftyp");
    window.get_by_label("Close the player");
    click(&mut window, "File");
    window.get_by_label_contains("Export motion as pictures…").click();
    let last = frames.join("frame_0059.png");
    wait_until(&mut window, "frames", |_| last.exists());
    settle(&mut window);
    let first = Project::load(&frames.join("frame_0000.png")).unwrap().edit;
    assert_eq!(first.sample, window.state().document().shelf.get(0).unwrap().edit.sample);
}
