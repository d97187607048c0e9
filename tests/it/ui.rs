//! The window without a display, driven by its accessible names, with the generator inside the program on the CPU.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use egui::accesskit::Role;
use egui::{Key, Modifiers, vec2};
use egui_kittest::kittest::{NodeT, Queryable};
use egui_kittest::{Harness, Node};
use sefa_studio::edit::{ClassMix, Code, Edit, LayerSet, SeedKind, Weighting};
use sefa_studio::gpu::{DeviceChoice, RenderDevice, WgpuSetup};
use sefa_studio::project::Project;
use sefa_studio::render::{Example, FrameImage, Source};
use sefa_studio::store::Folders;
use sefa_studio::ui::{App, ScriptedDialogs, Services};
use sefa_studio::worker::Worker;

mod analysis;
mod library;
mod looks;
mod photo;
mod player;
mod shelf;
mod strips;
mod styles;

pub type Window = Harness<'static, App>;

pub fn window(source: Source, paths: impl IntoIterator<Item = PathBuf>) -> Window {
    window_with(source, paths, None, false)
}

/// A window that keeps its files in these folders, and goes on with the document that was left there last if `restore`.
pub fn window_with(
    source: Source,
    paths: impl IntoIterator<Item = PathBuf>,
    folders: Option<Folders>,
    restore: bool,
) -> Window {
    let mut window = start_window(source, paths, folders, restore);
    wait_until(&mut window, "the first picture", |app| app.model().is_some());
    settle(&mut window);
    window
}

/// As [`window_with`], before anything is opened.
pub fn start_window(
    source: Source,
    paths: impl IntoIterator<Item = PathBuf>,
    folders: Option<Folders>,
    restore: bool,
) -> Window {
    let dialogs = ScriptedDialogs::new(paths.into_iter().map(Some));
    Harness::builder().with_size([1280.0, 800.0]).with_step_dt(0.03).build_eframe(move |cc| {
        let background = Worker::starter(|| RenderDevice::new(DeviceChoice::Cpu).unwrap());
        let services =
            Services { background, dialogs: Box::new(dialogs), start: source, restore, precision: None, folders };
        App::new(cc, services).unwrap()
    })
}

pub fn toy_heads(paths: impl IntoIterator<Item = PathBuf>) -> Window {
    window(Source::Example(Example::ToyHeads), paths)
}

#[track_caller]
pub fn wait_until(window: &mut Window, what: &str, done: impl Fn(&App) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        window.step();
        if done(window.state()) {
            return;
        }
        assert!(Instant::now() < deadline, "waited 60 s for {what}; the window says {:?}", window.state().failure());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until picture and directions answer what is set, and a gesture under way has become a step of the history.
#[track_caller]
pub fn settle(window: &mut Window) {
    wait_until(window, "the worker", App::is_settled);
    window.run_steps(16);
    wait_until(window, "the worker", App::is_settled);
}

pub fn edit(window: &Window) -> Edit {
    window.state().document().edit.clone()
}

pub fn pixels(window: &Window) -> Vec<u8> {
    match &window.state().frame().expect("a picture").image {
        FrameImage::Pixels(pixels) => pixels.data.clone(),
        FrameImage::Texture(_) => panic!("the CPU makes pixels"),
    }
}

/// The slider of this name; after that of a direction its own name may follow.
#[track_caller]
pub fn slider<'w>(window: &'w Window, name: &str) -> Node<'w> {
    let mut sliders = window.get_all_by_role(Role::Slider);
    let found = sliders.find(|node| {
        let label = node.accesskit_node().label().unwrap_or_default();
        label.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(", "))
    });
    found.unwrap_or_else(|| panic!("no slider {name:?}"))
}

#[track_caller]
pub fn drag(window: &mut Window, name: &str, distance: f32) {
    let start = slider(window, name).rect().center();
    window.drag_at(start);
    window.step();
    for part in [0.5, 1.0] {
        window.hover_at(start + vec2(distance * part, 0.0));
        window.step();
    }
    window.drop_at(start + vec2(distance, 0.0));
    settle(window);
}

/// What move `n` of the edit is called in its row.
pub fn title(window: &Window, n: usize) -> String {
    let document = window.state().document();
    format!("move {}, {}", n + 1, document.called(&document.edit.moves[n].direction))
}

pub fn press(window: &mut Window, modifiers: Modifiers, key: Key) {
    window.key_press_modifiers(modifiers, key);
    settle(window);
}

pub fn click(window: &mut Window, name: &str) {
    window.get_by_label(name).click();
    settle(window);
}

pub fn seed(edit: &Edit) -> u64 {
    match edit.sample.code {
        Code::Seed(seed) => seed.number,
        ref code => panic!("expected a seed, found {code:?}"),
    }
}

#[test]
fn sliders_of_two_groups_add_up_and_undo_takes_them_back_one_by_one() {
    let mut window = toy_heads([]);
    let rows = window
        .query_all_by_role(Role::Slider)
        .filter(|node| node.accesskit_node().label().is_some_and(|l| l.starts_with("Direction")))
        .count();
    assert_eq!(rows, 10);
    let first = pixels(&window);

    drag(&mut window, "Direction 1", 20.0);
    let one = edit(&window);
    assert_eq!(one.moves.len(), 1);
    assert!(one.moves[0].value > 0.0 && one.moves[0].direction.layers.to_string() == "0-1");
    assert_ne!(pixels(&window), first, "the picture must follow the slider");

    click(&mut window, "Top");
    drag(&mut window, "Direction 2", -20.0);
    let two = edit(&window);
    assert_eq!(two.moves.len(), 2, "another group must not discard moves");
    assert_eq!(two.moves[0], one.moves[0]);
    assert!(two.moves[1].value < 0.0 && two.moves[1].direction.layers.first() == 6);
    let both = pixels(&window);
    let titles = [0, 1].map(|n| title(&window, n));
    titles.iter().for_each(|title| drop(window.get_all_by_label(&format!("Delete {title}"))));

    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(edit(&window), one);
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert!(edit(&window).moves.is_empty());
    assert_eq!(pixels(&window), first, "undo must bring the first picture back, bit for bit");
    press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    assert_eq!(edit(&window), one);
    press(&mut window, Modifiers::COMMAND, Key::Y);
    assert_eq!(edit(&window), two);
    assert_eq!(pixels(&window), both);

    // The row of the muted move keeps its value; the picture does without it.
    click(&mut window, &format!("Use {}", titles[1]));
    assert_eq!(edit(&window).moves[1].value, two.moves[1].value);
    assert_ne!(pixels(&window), both);
    click(&mut window, &format!("Show {}", titles[0]));
    let shown = slider(&window, "Direction 1").value();
    assert_eq!(shown, Some(format!("{:.2}", two.moves[0].value)), "the move's own layers must be back in the panel");
}

#[test]
fn an_exported_picture_opens_again_as_the_same_edit() {
    let folder = tempfile::tempdir().unwrap();
    let (png, json) = (folder.path().join("a.png"), folder.path().join("a.json"));
    let mut window = toy_heads([png.clone(), json.clone(), png.clone(), json.clone()]);
    drag(&mut window, "Direction 3", 25.0);
    let saved = edit(&window);
    let picture = pixels(&window);
    press(&mut window, Modifiers::COMMAND, Key::E);
    wait_until(&mut window, "the picture", |_| png.exists());
    press(&mut window, Modifiers::COMMAND, Key::S);
    wait_until(&mut window, "the edit", |_| json.exists());
    for file in ["picture", "edit"] {
        press(&mut window, Modifiers::NONE, Key::ArrowRight);
        press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::Delete);
        assert_ne!(edit(&window), saved);
        press(&mut window, Modifiers::COMMAND, Key::O);
        wait_until(&mut window, file, |app| app.document().edit == saved);
        settle(&mut window);
        assert_eq!(pixels(&window), picture);
    }
    drop(window);
    // By content: a picture that was renamed carries its edit all the same.
    let renamed = png.with_extension("jpeg");
    std::fs::copy(&png, &renamed).unwrap();
    for picture in [png, renamed] {
        let window = self::window(Source::File(picture), []);
        assert_eq!(edit(&window), saved, "a picture must open at start, with the model it needs");
    }
}

#[test]
fn a_broken_file_leaves_everything_as_it_was_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.pt");
    std::fs::write(&broken, b"PK\x03\x04 not really a zip").unwrap();
    let missing = folder.path().join("missing.json");
    let mut window = toy_heads([broken, missing]);
    drag(&mut window, "Direction 1", 20.0);
    let (before, picture) = (edit(&window), pixels(&window));
    for _ in 0..2 {
        window.key_press_modifiers(Modifiers::COMMAND, Key::O);
        wait_until(&mut window, "the failure", |app| app.failure().is_some());
        settle(&mut window);
        assert_eq!(edit(&window), before);
        assert_eq!(pixels(&window), picture);
        let failure = window.state().failure().cloned().unwrap();
        window.get_by_label(&failure.headline);
        click(&mut window, "Dismiss");
        assert_eq!(window.state().failure(), None);
    }
    drag(&mut window, "Direction 2", 20.0);
    assert_ne!(pixels(&window), picture, "the old model must still answer");
}

#[test]
fn every_gesture_of_a_slider_has_a_key() {
    let mut window = toy_heads([]);
    slider(&window, "Direction 1").focus();
    window.step();
    press(&mut window, Modifiers::NONE, Key::ArrowRight);
    press(&mut window, Modifiers::SHIFT, Key::ArrowRight);
    press(&mut window, Modifiers::COMMAND, Key::ArrowRight);
    assert!((edit(&window).moves[0].value - 1.11).abs() < 1e-6, "found {}", edit(&window).moves[0].value);
    let first = Example::ToyHeads.first_seed();
    assert_eq!(seed(&edit(&window)), first, "arrows belong to the slider while it has the keyboard");
    press(&mut window, Modifiers::NONE, Key::Delete);
    assert!(edit(&window).moves.is_empty(), "Delete removes the move");

    let track = slider(&window, "Direction 1");
    track.set_value_accesskit(2.5);
    settle(&mut window);
    assert_eq!(edit(&window).moves[0].value, 2.5, "a screen reader can set it");
    let handle = slider(&window, "Direction 1").rect().center();
    for _ in 0..2 {
        window.drag_at(handle + vec2(30.0, 0.0));
        window.drop_at(handle + vec2(30.0, 0.0));
    }
    settle(&mut window);
    assert!(edit(&window).moves.is_empty(), "a double-click removes the move");
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(edit(&window).moves[0].value, 2.5, "both clicks of a double-click are one step");
}

#[test]
fn any_value_can_be_typed_and_the_track_stretches() {
    let mut window = toy_heads([]);
    window.get_by_label("Value of direction 1").focus();
    window.step();
    window.get_by_label("Value of direction 1").type_text("40");
    window.step();
    press(&mut window, Modifiers::NONE, Key::Enter);
    assert_eq!(edit(&window).moves[0].value, 40.0);
    let track = slider(&window, "Direction 1");
    assert_eq!(track.accesskit_node().max_numeric_value(), Some(40.0));
    let untouched = slider(&window, "Direction 2");
    assert!(untouched.accesskit_node().max_numeric_value().unwrap() < 40.0);
}

#[test]
fn the_ruler_chooses_any_range_and_old_moves_stay() {
    let mut window = toy_heads([]);
    drag(&mut window, "Direction 1", 20.0);
    let before = edit(&window);
    window.get_by_role_and_label(Role::Slider, "Last layer").focus();
    window.step();
    press(&mut window, Modifiers::NONE, Key::ArrowRight);
    assert!(window.query_by_label_contains("layers 0-2 of").is_some());
    assert_eq!(edit(&window), before, "choosing layers must not edit");
    drag(&mut window, "Direction 1", -20.0);
    assert_eq!(edit(&window).moves[1].direction.layers.to_string(), "0-2");
}

#[test]
fn seeds_are_stepped_and_typed_and_nonsense_is_refused() {
    let mut window = toy_heads([]);
    assert_eq!(seed(&edit(&window)), Example::ToyHeads.first_seed());
    press(&mut window, Modifiers::NONE, Key::ArrowRight);
    press(&mut window, Modifiers::NONE, Key::ArrowRight);
    press(&mut window, Modifiers::NONE, Key::ArrowLeft);
    assert_eq!(seed(&edit(&window)), Example::ToyHeads.first_seed() + 1);
    for (typed, expected) in [("18446744073709551615", u64::MAX), ("twelve", u64::MAX)] {
        window.get_by_label("Seed").focus();
        window.step();
        window.get_by_label("Seed").type_text(typed);
        window.step();
        press(&mut window, Modifiers::NONE, Key::Enter);
        assert_eq!(seed(&edit(&window)), expected, "after typing {typed:?}");
    }
    assert!(window.query_by_label_contains("is no seed").is_some());
}

#[test]
fn a_seed_is_of_the_tool_that_is_chosen_and_undo_goes_back() {
    let mut window = fixture_window("stylegan2_ada_skip/model.pth");
    let kind = |window: &Window| match edit(window).sample.code {
        Code::Seed(seed) => seed.kind,
        ref code => panic!("expected a seed, found {code:?}"),
    };
    assert_eq!(kind(&window), SeedKind::Numpy, "the file's names are NVIDIA's");
    press(&mut window, Modifiers::NONE, Key::ArrowRight);
    click(&mut window, "Seed of PyTorch");
    assert_eq!((kind(&window), seed(&edit(&window))), (SeedKind::Torch, 1));
    assert_eq!(window.state().shown_edit(), Some(&edit(&window)));
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!((kind(&window), seed(&edit(&window))), (SeedKind::Numpy, 1));
    window.get_by_label("Seed").focus();
    window.step();
    window.get_by_label("Seed").type_text("4294967296");
    window.step();
    press(&mut window, Modifiers::NONE, Key::Enter);
    assert!(window.query_by_label_contains("from 0 to 4294967295").is_some());
    assert_eq!(seed(&edit(&window)), 1);
}

#[test]
fn names_appear_in_row_and_move_and_are_undone() {
    let mut window = fixture_window("stylegan2_ada_skip/model.pth");
    drag(&mut window, "Direction 1", 20.0);
    window.get_by_label("Name of direction 1").focus();
    window.step();
    window.get_by_label("Name of direction 1").type_text("pose");
    window.step();
    press(&mut window, Modifiers::NONE, Key::Enter);
    window.get_by_role_and_label(Role::Slider, "Direction 1, pose");
    window.get_by_label("Delete move 1, pose");
    assert_eq!(edit(&window).moves[0].name, "pose");
    press(&mut window, Modifiers::COMMAND, Key::Z);
    window.get_by_role_and_label(Role::Slider, "Direction 1");
    assert_eq!(edit(&window).moves[0].name, "");
}

#[test]
fn names_that_a_model_brings_along_are_shown_until_the_user_has_others() {
    let mut window = toy_heads([]);
    let names = window.state().model().unwrap().direction_names.clone();
    let layers = LayerSet::range(0, 1);
    let first = names.get(&layers, Weighting::RowNormalised, 0);
    assert!(!first.is_empty());
    window.get_by_role_and_label(Role::Slider, &format!("Direction 1, {first}"));
    drag(&mut window, "Direction 1", 20.0);
    window.get_by_label(&format!("Delete move 1, {first}"));
    assert_eq!(window.state().document().names, names);
    assert_eq!(window.state().document().library.entries().count(), 0, "they are not the user's");
}

#[test]
fn a_name_typed_faster_than_frames_come_is_kept_whole() {
    let mut window = fixture_window("stylegan2_ada_skip/model.pth");
    window.get_by_label("Name of direction 2").focus();
    window.step();
    for letters in [vec!["p"], vec!["o", "s", "e"]] {
        let last = letters.len() > 1;
        let events = &mut window.input_mut().events;
        events.extend(letters.into_iter().map(|letter| egui::Event::Text(letter.into())));
        let enter = |pressed| egui::Event::Key {
            key: Key::Enter,
            physical_key: None,
            pressed,
            repeat: false,
            modifiers: Modifiers::NONE,
        };
        events.extend([true, false].into_iter().filter(|_| last).map(enter));
        window.step();
    }
    settle(&mut window);
    window.get_by_role_and_label(Role::Slider, "Direction 2, pose");
}

#[test]
fn space_shows_the_unedited_sample_while_it_is_held() {
    let mut window = toy_heads([]);
    drag(&mut window, "Direction 1", 20.0);
    let moved = edit(&window);
    window.key_down(Key::Space);
    window.run_steps(2);
    settle(&mut window);
    assert!(window.query_by_label_contains("unedited sample").is_some());
    window.key_up(Key::Space);
    window.run_steps(2);
    assert!(window.query_by_label_contains("unedited sample").is_none());
    assert_eq!(edit(&window), moved, "comparing must not edit");
}

#[test]
fn a_model_without_w_offers_only_what_it_has() {
    let mut window = window(Source::Example(Example::Faces), []);
    assert!(window.get_by_role_and_label(Role::Slider, "Psi").accesskit_node().is_disabled());
    assert!(window.get_by_label("Random noise").accesskit_node().is_disabled());
    assert!(window.get_by_label("Top").accesskit_node().is_disabled());
    let first = pixels(&window);
    drag(&mut window, "Direction 1", 20.0);
    assert_ne!(pixels(&window), first);
}

pub fn fixture_window(name: &str) -> Window {
    window(Source::File(super::support::fixture(name)), [])
}

/// Types into the search field of the open list of classes.
fn search(window: &mut Window, text: &str) {
    window.step();
    window.get_by_label("Search classes").type_text(text);
    window.run_steps(2);
}

#[test]
fn classes_are_searched_picked_mixed_and_undone() {
    let mut window = fixture_window("biggan_deep_hf/pytorch_model.bin");
    let first = pixels(&window);
    assert_eq!(edit(&window).sample.class, Some(0));

    click(&mut window, "Class, 0");
    window.get_by_label("9");
    search(&mut window, "7");
    assert!(window.query_by_label("9").is_none(), "the list holds what was searched for");
    press(&mut window, Modifiers::NONE, Key::Enter);
    assert_eq!(edit(&window).sample.class, Some(7));
    assert!(window.query_by_label("Search classes").is_none(), "Enter closes the list");
    let seven = pixels(&window);
    assert_ne!(seven, first);

    click(&mut window, "Class, 7");
    press(&mut window, Modifiers::NONE, Key::ArrowDown);
    press(&mut window, Modifiers::NONE, Key::Escape);
    assert!(window.query_by_label("Search classes").is_none(), "Escape closes the list");
    assert_eq!(edit(&window).sample.class, Some(7), "and picks nothing");
    click(&mut window, "Class, 7");
    press(&mut window, Modifiers::NONE, Key::ArrowUp);
    press(&mut window, Modifiers::NONE, Key::ArrowUp);
    press(&mut window, Modifiers::NONE, Key::Enter);
    assert_eq!(edit(&window).sample.class, Some(5));
    assert_eq!(seed(&edit(&window)), 0, "arrows belong to the list while it is open");
    click(&mut window, "Next class");
    click(&mut window, "Next class");

    assert!(window.query_by_label("Amount of the second class").is_none());
    click(&mut window, "Second class, none");
    click(&mut window, "3");
    assert_eq!(edit(&window).sample.mix, Some(ClassMix { class: 3, amount: 0.5 }));
    let half = pixels(&window);
    assert_ne!(half, seven);
    window.get_by_role_and_label(Role::Slider, "Amount of the second class").set_value_accesskit(4.0);
    settle(&mut window);
    assert_eq!(edit(&window).sample.mix, Some(ClassMix { class: 3, amount: 1.0 }), "an amount ends at 1");
    drag(&mut window, "Amount of the second class", -300.0);
    assert_eq!(edit(&window).sample.mix, Some(ClassMix { class: 3, amount: 0.0 }));
    assert_eq!(pixels(&window), seven);
    press(&mut window, Modifiers::COMMAND, Key::Z);
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(pixels(&window), half, "undo brings the mixture back");
    click(&mut window, "Second class, 3");
    search(&mut window, "none");
    press(&mut window, Modifiers::NONE, Key::Enter);
    assert_eq!(edit(&window).sample.mix, None);
    for _ in 0..6 {
        press(&mut window, Modifiers::COMMAND, Key::Z);
    }
    assert_eq!(edit(&window).sample.class, Some(0));
    assert_eq!(pixels(&window), first);
}

#[test]
fn classes_of_imagenet_are_found_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = super::cli::with_a_thousand_classes(folder.path());
    let mut window = window(Source::File(file), []);
    click(&mut window, "Class, 0 tench");
    let rows = window.query_all_by_label_contains(" t").count();
    assert!(rows < 60, "only the rows in sight are made, found {rows}");
    search(&mut window, "retriever");
    window.get_by_label("208 Labrador retriever");
    // Twice within one frame, as a slow frame sees it.
    let modifiers = Modifiers::NONE;
    let down = egui::Event::Key { key: Key::ArrowDown, physical_key: None, pressed: true, repeat: false, modifiers };
    window.input_mut().events.extend([down.clone(), down]);
    press(&mut window, Modifiers::NONE, Key::Enter);
    assert_eq!(edit(&window).sample.class, Some(207));
    window.get_by_label("Class, 207 golden retriever");
    click(&mut window, "Class, 207 golden retriever");
    window.get_by_label("207 golden retriever");
    search(&mut window, "unicorn");
    press(&mut window, Modifiers::NONE, Key::Enter);
    assert_eq!(edit(&window).sample.class, Some(207), "Enter on an empty list picks nothing");
}

#[test]
fn a_list_of_classes_opens_from_the_keyboard_and_gives_it_back() {
    let mut window = fixture_window("stylegan2_ada_cond_pkl/model.pkl");
    window.get_by_label("Class, 0").focus();
    window.step();
    press(&mut window, Modifiers::NONE, Key::Enter);
    search(&mut window, "4");
    press(&mut window, Modifiers::NONE, Key::Enter);
    assert_eq!(edit(&window).sample.class, Some(4));
    assert!(window.get_by_label("Class, 4").is_focused());
    assert!(window.query_by_label("Search classes").is_none());
}

#[test]
fn every_family_opens_shows_a_picture_and_moves() {
    for name in [
        "pggan_genforce/model.pth",
        "stylegan1_genforce/model.pth",
        "stylegan2_ada_resnet/model.pth",
        "stylegan3_r/model.pth",
        "biggan_ajbrock/G_ema.pth",
        "biggan_deep_ajbrock/G_ema.pth",
        "dcgan/netG.pth",
    ] {
        let mut window = fixture_window(name);
        let info = window.state().model().unwrap().clone();
        assert_eq!(window.query_by_label("Previous class").is_some(), info.classes.is_some(), "{name}");
        let (psi, cutoff) = (info.default_truncation.is_some(), info.w_dim.is_some());
        for (slider, works) in [("Psi", psi), ("Cutoff", psi && cutoff)] {
            let slider = window.get_by_role_and_label(Role::Slider, slider);
            assert_eq!(!slider.accesskit_node().is_disabled(), works, "{name}");
        }
        let first = pixels(&window);
        drag(&mut window, "Direction 1", 30.0);
        assert_ne!(pixels(&window), first, "{name}");
    }
}

#[test]
fn an_oblong_model_without_noise_shows_both_sides_and_offers_random_noise() {
    let mut window = fixture_window("rosinality_oblong/model_nonoise.pt");
    let shown = |window: &Window| match &window.state().frame().expect("a picture").image {
        FrameImage::Pixels(pixels) => [pixels.width, pixels.height],
        FrameImage::Texture(_) => panic!("the CPU makes pixels"),
    };
    assert_eq!((shown(&window), window.state().frame().unwrap().size), ([16, 32], [16, 32]));
    assert!(window.query_by_label("StyleGAN2 16x32").is_some(), "the facts have both sides");
    assert!(window.get_by_label("Stored noise").accesskit_node().is_disabled());
    let first = pixels(&window);
    click(&mut window, "Random noise");
    assert_ne!(pixels(&window), first);
    click(&mut window, "No noise");
    assert_eq!(pixels(&window), first);
    drag(&mut window, "Direction 1", 30.0);
    assert_ne!(pixels(&window), first);
}

/// What no file tells is told in the View menu; the edit stays.
#[test]
fn a_model_is_read_again_as_the_user_says() {
    let mut window = fixture_window("stylegan2_mmgen/model_ema.pth");
    drag(&mut window, "Direction 1", 20.0);
    let (moved, swapped) = (edit(&window), pixels(&window));
    let view = |window: &mut Window, entry: &str| {
        click(window, "Model");
        // Where a shortcut would be there is a space.
        window.get_by_label_contains(entry).click();
        settle(window);
    };
    view(&mut window, "Read as blue, green, red");
    assert_eq!(edit(&window), moved);
    let red_first: Vec<u8> = swapped.chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]]).collect();
    assert_eq!(pixels(&window), red_first);
    view(&mut window, "Read as bilinear");
    assert_eq!(edit(&window), moved);
    assert_ne!(pixels(&window), red_first);
    view(&mut window, "Read as bilinear");
    view(&mut window, "Read as blue, green, red");
    assert_eq!(pixels(&window), swapped);
}

#[test]
fn a_file_with_code_has_a_shield_and_says_what_was_left_out() {
    let window = fixture_window("stylegan2_ada_skip/model.pkl");
    let title = window.get_by_label_contains("· 8 layers");
    assert!(title.accesskit_node().value().unwrap().contains("contains program code; not run"));
    // The note that says what was opened.
    window.get_by_label("contains program code; not run");
    window.get_by_label("python pickle, nvidia layout");
    window.get_by_label_contains("augment_pipe");
    let window = fixture_window("stylegan2_ada_skip/model.pth");
    assert!(window.query_by_label_contains("program code").is_none());
}

/// A file as the system hands it over when it is dropped.
#[derive(Debug)]
pub struct Dropped(pub PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        Err("the window opens files by their path".into())
    }
}

#[test]
fn a_dropped_file_is_opened() {
    let mut window = toy_heads([]);
    window.input_mut().hovered_files.push(egui::HoveredFile::default());
    window.step();
    window.input_mut().hovered_files.clear();
    let file = super::support::fixture("biggan_ajbrock/G_ema.pth");
    window.input_mut().dropped_files.push(Arc::new(Dropped(file)));
    window.step();
    window.input_mut().dropped_files.clear();
    wait_until(&mut window, "the dropped model", |app| app.model().is_some_and(|info| info.classes == Some(7)));
    settle(&mut window);
    assert_eq!(window.state().failure(), None);
}

#[test]
fn the_picture_is_copied() {
    let mut window = toy_heads([]);
    let modifiers = Modifiers::COMMAND | Modifiers::SHIFT;
    let keys = egui::Event::Key { key: Key::C, physical_key: None, pressed: true, repeat: false, modifiers };
    window.input_mut().events.push(keys);
    window.step();
    let copied = window.output().platform_output.commands.iter().find_map(|command| match command {
        egui::OutputCommand::CopyImage(image) => Some(image.size),
        _ => None,
    });
    let size = window.state().model().unwrap().size;
    assert_eq!(copied, Some([size.width, size.height]));
}

#[test]
fn a_sweep_is_exported_frame_by_frame() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = toy_heads([folder.path().to_path_buf()]);
    drag(&mut window, "Direction 1", 20.0);
    let before = edit(&window);
    press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::E);
    click(&mut window, "Choose folder…");
    wait_until(&mut window, "the sweep", App::is_settled);
    let names: std::collections::BTreeSet<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names.iter().filter(|name| name.ends_with(".png")).count(), 10, "9 frames and a sheet, found {names:?}");
    assert!(window.query_by_label("Choose folder…").is_none(), "the dialog closes");
    assert_eq!(edit(&window), before);
}

#[test]
fn a_sweep_stays_with_its_move_whatever_happens_to_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = toy_heads([folder.path().to_path_buf()]);
    drag(&mut window, "Direction 1", 20.0);
    drag(&mut window, "Direction 2", 20.0);
    drag(&mut window, "Direction 3", 40.0);
    press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::E);
    let farthest = edit(&window).moves[2].direction.clone();
    let first = format!("Delete {}", title(&window, 0));
    click(&mut window, &first);
    let rest = edit(&window).moves;
    assert_eq!(rest.len(), 2);
    click(&mut window, "Choose folder…");
    wait_until(&mut window, "the sweep", App::is_settled);
    let frame = Project::load(&folder.path().join("frame_0000.png")).unwrap().edit;
    assert_eq!(frame.moves[0], rest[0], "a move that is not swept");
    assert!(frame.moves[1].is_along(&farthest) && frame.moves[1].value < 0.0, "{}", frame.moves[1].value);
}

#[test]
fn an_edit_with_a_code_keeps_it_until_a_seed_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("edit.json");
    for (name, space) in [("biggan_deep_ajbrock/G_ema.pth", "z"), ("stylegan2_ada_cond_pkl/model.pkl", "w")] {
        let file = super::support::fixture(name);
        let mut window = window(Source::File(file), [json.clone(), json.clone()]);
        press(&mut window, Modifiers::COMMAND, Key::S);
        wait_until(&mut window, "the edit", |_| json.exists());
        let info = window.state().model().unwrap().clone();
        let mut project = Project::load(&json).unwrap();
        project.edit.sample.code = match space {
            "z" => Code::Z(vec![0.25; info.z_dim]),
            _ => Code::W(vec![0.25; info.w_dim.unwrap()]),
        };
        std::fs::write(&json, project.to_json()).unwrap();
        press(&mut window, Modifiers::COMMAND, Key::O);
        wait_until(&mut window, "the code", |app| app.document().edit == project.edit);
        settle(&mut window);
        window.get_by_label(&format!("code from file ({space})"));
        let class = window.get_by_label_contains("Class, ");
        assert_eq!(class.accesskit_node().is_disabled(), space == "w", "a w holds its class already");
        let given = pixels(&window);
        press(&mut window, Modifiers::NONE, Key::ArrowRight);
        assert_eq!(edit(&window), project.edit, "there is no seed to step");
        click(&mut window, "Use a seed");
        assert_eq!(seed(&edit(&window)), 0);
        assert_ne!(pixels(&window), given);
        press(&mut window, Modifiers::COMMAND, Key::Z);
        assert_eq!(pixels(&window), given);
        std::fs::remove_file(&json).unwrap();
    }
}

/// A window that is drawn on `setup`'s GPU, with an engine on `device`.
fn window_on(setup: &WgpuSetup, device: RenderDevice) -> Window {
    let shared = egui_wgpu::WgpuSetup::Existing(egui_wgpu::WgpuSetupExisting {
        instance: setup.instance.clone(),
        adapter: setup.adapter.clone(),
        device: setup.device.clone(),
        queue: setup.queue.clone(),
    });
    let builder = Harness::builder().with_size([1000.0, 620.0]).wgpu_setup(shared);
    let mut window = builder.build_eframe(move |cc| {
        let services = Services {
            background: Worker::starter(move || device.clone()),
            dialogs: Box::new(ScriptedDialogs::default()),
            start: Source::Example(Example::ToyHeads),
            restore: false,
            precision: None,
            folders: None,
        };
        App::new(cc, services).unwrap()
    });
    wait_until(&mut window, "the model", |app| app.model().is_some());
    settle(&mut window);
    window
}

/// Pixels that the CPU made are uploaded; a texture of the shared device is painted as it is.
#[test]
fn at_actual_size_every_pixel_on_screen_is_one_of_the_picture() {
    let devices = super::support::devices();
    let Some(setup) = devices.iter().find_map(RenderDevice::wgpu).cloned() else { return };
    for device in devices {
        let label = device.label();
        let mut window = window_on(&setup, device);
        press(&mut window, Modifiers::NONE, Key::Num0);
        let picture = rgba(&window, &setup);
        assert!(shows(&mut window, &picture), "no pixels of the window are the picture's, made on {label}");
    }
}

/// The picture of the edit, as screens show it.
fn rgba(window: &Window, setup: &WgpuSetup) -> Vec<u8> {
    match &window.state().frame().unwrap().image {
        FrameImage::Pixels(pixels) => pixels.to_rgba(),
        FrameImage::Texture(texture) => super::support::read_texture(setup, texture),
    }
}

/// True if a picture of the model's size is somewhere on the screen, pixel for pixel.
fn shows(window: &mut Window, picture: &[u8]) -> bool {
    let size = window.state().frame().unwrap().size;
    shows_part(window, picture, size)
}

/// The same of a part of a picture.
fn shows_part(window: &mut Window, part: &[u8], size: [usize; 2]) -> bool {
    let [width, height] = size.map(|side| side as u32);
    let screen = window.render().unwrap();
    let is_at = |x, y| image::imageops::crop_imm(&screen, x, y, width, height).to_image().into_raw() == part;
    let mut places = (250..560).flat_map(|x| (150..350).map(move |y| (x, y)));
    // Comparing one pixel first is enough to rule out almost every place.
    places.any(|(x, y)| screen.get_pixel(x, y).0 == part[..4] && is_at(x, y))
}

#[test]
fn while_space_is_held_the_pixels_are_those_of_the_unedited_sample() {
    let devices = super::support::devices();
    let Some(setup) = devices.iter().find_map(RenderDevice::wgpu).cloned() else { return };
    for device in devices {
        let mut window = window_on(&setup, device);
        press(&mut window, Modifiers::NONE, Key::Num0);
        let unedited = rgba(&window, &setup);
        drag(&mut window, "Direction 1", 40.0);
        let edited = rgba(&window, &setup);
        assert_ne!(edited, unedited);
        let which = |window: &mut Window| [shows(window, &edited), shows(window, &unedited)];
        assert_eq!(which(&mut window), [true, false]);
        window.key_down(Key::Space);
        window.run_steps(2);
        settle(&mut window);
        assert_eq!(which(&mut window), [false, true]);
        window.key_up(Key::Space);
        window.run_steps(2);
        assert_eq!(which(&mut window), [true, false]);
    }
}

/// On the CPU everything goes on as it was.
#[test]
fn half_precision_opens_the_model_again_and_keeps_the_edit() {
    let devices = super::support::devices();
    let Some(setup) = devices.iter().find_map(RenderDevice::wgpu).cloned() else { return };
    for device in devices {
        let is_gpu = device.wgpu().is_some();
        let mut window = window_on(&setup, device);
        press(&mut window, Modifiers::NONE, Key::ArrowRight);
        let before = edit(&window);
        for is_half in [true, false] {
            click(&mut window, "Model");
            window.get_by_label_contains("Half precision on the GPU").click();
            settle(&mut window);
            assert_eq!(window.query_by_label_contains(", f16").is_some(), is_half && is_gpu);
            assert_eq!(edit(&window), before);
        }
    }
}

#[test]
fn every_colour_is_in_the_style() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ui");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let own = text.contains("Color32::from_") || text.contains("from_gray(");
        assert!(!own || path.ends_with("style.rs"), "{} has a colour of its own", path.display());
    }
}
