//! A photo in the window: opened, framed, found, edited, saved, compared.

use std::path::{Path, PathBuf};

use egui::accesskit::Role;
use egui::{Key, Modifiers, vec2};
use egui_kittest::kittest::{NodeT, Queryable};
use sefa_studio::edit::{Code, Edit};
use sefa_studio::export::write_png;
use sefa_studio::gpu::RenderDevice;
use sefa_studio::progress;
use sefa_studio::project::Project;
use sefa_studio::render::{Engine, Example, Pixels, Source};
use sefa_studio::ui::App;

use super::{Window, click, edit, press, seed, settle, toy_heads, wait_until, window};

/// A face of the smallest model as a photo of 160 x 96 pixels, between grey borders; its name.
fn photo(folder: &Path) -> PathBuf {
    let mut engine = Engine::new(RenderDevice::cpu(None));
    let info = engine.open(&Source::Example(Example::Faces), &mut progress::silent).unwrap();
    let picture = engine.render(&info.start(7)).unwrap().to_pixels().unwrap();
    let (width, height) = (160, 96);
    let mut data = vec![120; 3 * width * height];
    for y in 0..64 {
        let row = 3 * ((y + 16) * width + 48);
        data[row..row + 192].copy_from_slice(&picture.data[192 * y..192 * (y + 1)]);
    }
    let path = folder.join("me.png");
    write_png(&path, &Pixels { width, height, channels: 3, data }, None).unwrap();
    path
}

fn set(window: &mut Window, field: &str, value: &str) {
    window.get_by_label(field).click();
    window.run_steps(2);
    window.key_press_modifiers(Modifiers::COMMAND, Key::A);
    window.get_by_label(field).type_text(value);
    window.key_press(Key::Enter);
    settle(window);
}

fn numeric(window: &Window, field: &str) -> f64 {
    window.get_by_label(field).accesskit_node().numeric_value().unwrap()
}

fn is_found(edit: &Edit) -> bool {
    matches!(edit.sample.code, Code::Z(_) | Code::WPlus(_)) && edit.sample.photo().is_some()
}

#[test]
fn a_photo_is_framed_found_edited_saved_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = photo(folder.path());
    let saved = folder.path().join("me.json");
    let mut window = window(Source::Example(Example::Faces), [path, saved.clone()]);
    let first = edit(&window);
    press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::O);
    wait_until(&mut window, "the photo", |app: &App| app.is_settled());
    assert!(window.query_by_label("Width of the frame in pixels of the photo").is_some(), "the photo is shown");
    assert_eq!(numeric(&window, "Width of the frame in pixels of the photo"), 96.0);
    set(&mut window, "Width of the frame in pixels of the photo", "64");
    set(&mut window, "Steps at most", "30");
    press(&mut window, Modifiers::COMMAND, Key::Enter);
    wait_until(&mut window, "what is found", |app: &App| app.is_settled() && is_found(&app.document().edit));
    settle(&mut window);
    let found = edit(&window);
    let note = found.sample.photo().unwrap();
    assert_eq!((note.name.as_str(), note.crop.width, note.crop.centre), ("me.png", 64.0, [80.0, 48.0]));
    let decibels = window.get_all_by_role(Role::Image).find_map(|node| {
        let label = node.accesskit_node().label()?;
        Some(label.strip_prefix("Picture, ")?.split(" dB").next()?.parse::<f32>().unwrap())
    });
    assert!(decibels.unwrap() > 20.0, "{decibels:?}");

    // It goes on from there, and comes no further away.
    click(&mut window, "Go on");
    wait_until(&mut window, "the second search", |app: &App| app.is_settled() && app.document().edit != found);
    assert!(is_found(&edit(&window)));
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(edit(&window), found, "undo brings the first find back");
    press(&mut window, Modifiers::COMMAND, Key::S);
    wait_until(&mut window, "the file", |_| saved.exists());
    assert_eq!(Project::load(&saved).unwrap().edit, found);
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(edit(&window), first, "the whole search is one step");
}

#[test]
fn a_search_that_is_stopped_leaves_the_nearest_and_one_that_is_cancelled_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = window(Source::Example(Example::Faces), [photo(folder.path())]);
    let first = edit(&window);
    press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::O);
    set(&mut window, "Steps at most", "100000");
    let begin = |window: &mut Window| {
        window.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let is_descending = |window: &Window| {
            let mut pictures = window.query_all_by_role(Role::Image).filter_map(|node| node.accesskit_node().label());
            pictures.any(|label| label.starts_with("Picture, step "))
        };
        while !is_descending(window) {
            window.step();
            assert!(std::time::Instant::now() < deadline, "the search shows no picture");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    begin(&mut window);
    assert_eq!(edit(&window), first, "the document stays while it is searched");
    window.get_by_label("Cancel").click();
    settle(&mut window);
    assert_eq!(edit(&window), first);
    begin(&mut window);
    click(&mut window, "Stop");
    assert!(is_found(&edit(&window)));
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(edit(&window), first);
}

#[test]
fn the_frame_follows_keys_and_pointer_and_the_brush_hides() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = toy_heads([photo(folder.path())]);
    press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::O);
    let width = "Width of the frame in pixels of the photo";
    let left = "Middle of the frame, pixels from the left";
    let before = numeric(&window, left);
    let name = "Photo: arrow keys move the frame, Page Up and Page Down scale it";
    let place = window.get_by_label(name).rect();
    window.get_by_label(name).focus();
    window.run_steps(2);
    let first = seed(&edit(&window));
    press(&mut window, Modifiers::NONE, Key::ArrowRight);
    assert!(numeric(&window, left) > before && seed(&edit(&window)) == first, "arrows move the frame, not the seed");
    press(&mut window, Modifiers::NONE, Key::PageDown);
    assert!(numeric(&window, width) < 96.0);
    // One screen point is half a pixel of the photo here.
    let moved = numeric(&window, left);
    window.drag_at(place.center());
    window.step();
    window.hover_at(place.center() + vec2(-20.0, 0.0));
    window.step();
    window.drop_at(place.center() + vec2(-20.0, 0.0));
    settle(&mut window);
    assert!(numeric(&window, left) < moved - 5.0);
    click(&mut window, "Hide");
    window.drag_at(place.center());
    window.step();
    window.drop_at(place.center() + vec2(30.0, 0.0));
    settle(&mut window);
    click(&mut window, "Hide nothing");
    assert!(window.query_by_label(width).is_none(), "the brush has the bar");
    click(&mut window, "Frame");
    assert!(window.query_by_label(width).is_some());
}

#[test]
fn what_is_no_photo_is_said_and_an_exported_picture_is_still_an_edit() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.jpg");
    std::fs::write(&text, "no picture at all, but long enough").unwrap();
    let mut window = toy_heads([text.clone(), photo(folder.path())]);
    press(&mut window, Modifiers::COMMAND, Key::O);
    wait_until(&mut window, "a message", |app: &App| app.failure().is_some());
    let said = window.state().failure().unwrap().headline.clone();
    assert!(said.contains("text.jpg") && said.contains("PNG, JPEG"), "{said}");
    // A PNG without an edit inside is a photo.
    press(&mut window, Modifiers::COMMAND, Key::O);
    wait_until(&mut window, "the photo", |app: &App| app.is_settled());
    settle(&mut window);
    assert!(window.query_by_label("Find it").is_some());
}
