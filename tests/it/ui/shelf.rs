//! The shelf: pictures that were kept, under the picture.

use std::fs;
use std::path::PathBuf;

use egui::accesskit::Role;
use egui::{Key, Modifiers, vec2};
use egui_kittest::Node;
use egui_kittest::kittest::{NodeT, Queryable};
use sefa_studio::edit::{Code, Edit, Kept, Seed, Shelf, Style};
use sefa_studio::project::Project;
use sefa_studio::render::Source;
use sefa_studio::ui::App;

use super::{Window, click, drag, edit, pixels, press, seed, settle, slider, toy_heads, wait_until, window};

/// What is on the shelf, as it is called.
fn shown(window: &Window) -> Vec<String> {
    let options = window.query_all_by_role(Role::ListBoxOption);
    options.filter_map(|node| node.accesskit_node().label()).collect()
}

/// The kept picture whose name begins so.
#[track_caller]
fn option<'w>(window: &'w Window, name: &str) -> Node<'w> {
    let mut options = window.query_all_by_role(Role::ListBoxOption);
    let found = options.find(|node| node.accesskit_node().label().is_some_and(|label| label.starts_with(name)));
    found.unwrap_or_else(|| panic!("no {name:?} on the shelf"))
}

/// The seeds of what is on the shelf.
fn kept(window: &Window) -> Vec<u64> {
    window.state().document().shelf.iter().map(|kept| seed(&kept.edit)).collect()
}

/// The window after the samples of so many seeds were kept, one after another.
fn with_kept(count: u64) -> Window {
    let mut window = toy_heads([]);
    for _ in 0..count {
        press(&mut window, Modifiers::NONE, Key::K);
        press(&mut window, Modifiers::NONE, Key::ArrowRight);
    }
    window
}

/// Gives the strip the keyboard, at the picture of this number.
fn focus(window: &mut Window, at: usize) {
    window.get_by_role(Role::ListBox).focus();
    window.run_steps(2);
    press(window, Modifiers::NONE, Key::Home);
    (0..at).for_each(|_| press(window, Modifiers::NONE, Key::ArrowRight));
}

/// Opens the menu of a kept picture with the other mouse button, and chooses.
fn choose(window: &mut Window, kept: &str, entry: &str) {
    option(window, kept).click_secondary();
    window.run_steps(2);
    click(window, entry);
}

#[test]
fn what_is_kept_comes_back_with_a_click_and_undo_takes_each_back() {
    let mut window = toy_heads([]);
    let first = (edit(&window), pixels(&window));
    press(&mut window, Modifiers::NONE, Key::K);
    drag(&mut window, "Direction 1", 20.0);
    press(&mut window, Modifiers::NONE, Key::Num2);
    press(&mut window, Modifiers::NONE, Key::K);
    press(&mut window, Modifiers::NONE, Key::Num1);
    let second = edit(&window);
    let number = seed(&first.0);
    assert_eq!(shown(&window), [format!("Kept 1, seed {number}"), format!("Kept 2, seed {number} · 1 move")]);
    wait_until(&mut window, "the thumbnails", |app: &App| app.is_settled() && app.tiles_shown() == 2);

    let first_kept = shown(&window)[0].clone();
    click(&mut window, &first_kept);
    assert_eq!((edit(&window), pixels(&window)), first);
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(edit(&window), second);
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(shown(&window).len(), 1, "keeping is a step too");
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(edit(&window), first.0);
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert!(shown(&window).is_empty());
    for _ in 0..4 {
        press(&mut window, Modifiers::COMMAND, Key::Y);
    }
    assert_eq!((shown(&window).len(), edit(&window)), (2, first.0));
}

#[test]
fn a_sample_of_the_grid_is_kept_with_shift_and_not_taken() {
    let mut window = toy_heads([]);
    drag(&mut window, "Direction 1", 20.0);
    let before = edit(&window);
    press(&mut window, Modifiers::NONE, Key::Num2);
    let number = seed(&before) / 16 * 16 + 3;
    window.get_by_label(&format!("Seed {number}")).click_modifiers(Modifiers::SHIFT);
    settle(&mut window);
    assert_eq!((kept(&window), edit(&window)), (vec![number], before.clone()));
    assert_eq!(window.state().document().shelf.get(0).unwrap().edit.moves, before.moves, "with the present moves");
}

#[test]
fn the_keyboard_goes_restores_names_moves_and_removes() {
    let mut window = with_kept(3);
    let first = kept(&window)[0];
    focus(&mut window, 1);
    let place = |window: &Window| window.get_by_role(Role::ListBox).accesskit_node().label().unwrap();
    assert_eq!(place(&window), format!("Shelf of 3: Kept 2, seed {}", first + 1));
    press(&mut window, Modifiers::NONE, Key::Enter);
    assert_eq!(seed(&edit(&window)), first + 1);
    press(&mut window, Modifiers::NONE, Key::ArrowRight);
    assert_eq!(seed(&edit(&window)), first + 1, "arrows only go");

    press(&mut window, Modifiers::NONE, Key::F2);
    window.get_by_label("Name of kept 3").type_text("smile");
    window.step();
    press(&mut window, Modifiers::NONE, Key::Enter);
    assert_eq!(place(&window), "Shelf of 3: Kept 3, smile");
    press(&mut window, Modifiers::NONE, Key::F2);
    window.get_by_label("Name of kept 3").type_text("never mind");
    window.step();
    press(&mut window, Modifiers::NONE, Key::Escape);
    assert_eq!(place(&window), "Shelf of 3: Kept 3, smile");

    press(&mut window, Modifiers::COMMAND, Key::ArrowLeft);
    press(&mut window, Modifiers::COMMAND, Key::ArrowLeft);
    press(&mut window, Modifiers::COMMAND, Key::ArrowLeft);
    assert_eq!(kept(&window), [first + 2, first, first + 1]);
    assert_eq!(place(&window), "Shelf of 3: Kept 1, smile", "the keyboard stays with it");
    press(&mut window, Modifiers::NONE, Key::Delete);
    assert_eq!(kept(&window), [first, first + 1]);
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!((kept(&window).len(), place(&window)), (3, "Shelf of 3: Kept 1, smile".into()));
    for _ in 0..3 {
        press(&mut window, Modifiers::COMMAND, Key::Z);
    }
    assert_eq!(shown(&window)[2], format!("Kept 3, seed {}", first + 2), "two places and the name");

    press(&mut window, Modifiers::SHIFT, Key::F10);
    click(&mut window, "Remove");
    assert_eq!(kept(&window).len(), 2);
    press(&mut window, Modifiers::NONE, Key::End);
    for _ in 0..2 {
        press(&mut window, Modifiers::NONE, Key::Delete);
    }
    assert!(shown(&window).is_empty());
    press(&mut window, Modifiers::NONE, Key::Delete);
}

#[test]
fn a_picture_is_dragged_to_another_place() {
    let mut window = with_kept(4);
    let first = kept(&window)[0];
    let places: Vec<egui::Pos2> =
        shown(&window).iter().map(|label| window.get_by_label(label).rect().center()).collect();
    for (from, to, expected) in [(0, 2, [1, 2, 0, 3]), (3, 0, [3, 1, 2, 0])] {
        // Onto the far half of the picture that makes room.
        let end = places[to] + vec2(if to > from { 20.0 } else { -20.0 }, 0.0);
        window.drag_at(places[from]);
        window.step();
        window.hover_at(places[from] + vec2(12.0, 0.0));
        window.step();
        window.hover_at(end);
        window.step();
        window.drop_at(end);
        settle(&mut window);
        assert_eq!(kept(&window), expected.map(|n: u64| first + n));
    }
    let before = edit(&window);
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(kept(&window), [1, 2, 0, 3].map(|n| first + n));
    assert_eq!(edit(&window), before, "who drags restores nothing");
}

#[test]
fn the_menu_takes_styles_and_moves_and_compares() {
    let mut window = toy_heads([]);
    drag(&mut window, "Direction 2", 20.0);
    let moved = edit(&window);
    press(&mut window, Modifiers::NONE, Key::K);
    press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::Delete);
    click(&mut window, "Next seed");
    drag(&mut window, "Direction 1", 20.0);
    click(&mut window, "Middle");
    let plain = edit(&window);

    choose(&mut window, "Kept 1, ", "Take its style into 2-5");
    let expected = Style::new("2-5".parse().unwrap(), moved.sample.code.clone());
    assert_eq!(edit(&window).sample.styles, [expected]);
    assert_eq!(edit(&window).moves, plain.moves);
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(edit(&window), plain);

    choose(&mut window, "Kept 1, ", "Copy its moves");
    assert_eq!(edit(&window).moves, [plain.moves[0].clone(), moved.moves[0].clone()]);
    assert_eq!(edit(&window).sample, plain.sample);
    choose(&mut window, "Kept 1, ", "Set as comparison");
    press(&mut window, Modifiers::NONE, Key::Num4);
    click(&mut window, "Swap");
    assert_eq!(edit(&window), moved, "it was A");
    press(&mut window, Modifiers::NONE, Key::Num1);
    choose(&mut window, "Kept 1, ", "Rename…");
    window.get_by_label("Name of kept 1").type_text("first");
    window.step();
    press(&mut window, Modifiers::NONE, Key::Enter);
    choose(&mut window, "Kept 1, first", "Remove");
    assert!(shown(&window).is_empty());
}

#[test]
fn the_picture_keeps_its_room() {
    let mut window = with_kept(1);
    let side = |window: &Window| {
        let area = window.get_by_label_contains("Picture, ").rect();
        // The line of the caption and the margins are no picture.
        (area.height() - 46.0).min(area.width() - 24.0)
    };
    let height = |window: &Window| option(window, "Kept 1").rect().height();
    assert!(side(&window) >= 512.0 && height(&window) > 64.0, "{} with {}", side(&window), height(&window));
    let before = side(&window);
    press(&mut window, Modifiers::NONE, Key::B);
    assert!(shown(&window).is_empty() && side(&window) > before);
    press(&mut window, Modifiers::NONE, Key::K);
    assert_eq!(kept(&window).len(), 2, "it works without being seen");
    assert!(window.query_by_label_contains("Messages, the last is: Kept 2").is_some());
    press(&mut window, Modifiers::NONE, Key::B);
    window.set_size(vec2(1280.0, 700.0));
    window.run_steps(4);
    assert!(side(&window) >= 512.0 && height(&window) < 30.0, "{} with {}", side(&window), height(&window));
    let first_kept = shown(&window)[0].clone();
    click(&mut window, &first_kept);
    press(&mut window, Modifiers::NONE, Key::H);
    assert!(shown(&window).is_empty(), "only the picture is left");
}

#[test]
fn a_saved_shelf_opens_again_and_pictures_carry_only_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let (json, series) = (folder.path().join("shelf.json"), folder.path().join("series"));
    let mut window = toy_heads([json.clone(), series.clone()]);
    drag(&mut window, "Direction 1", 20.0);
    for _ in 0..3 {
        press(&mut window, Modifiers::NONE, Key::K);
        press(&mut window, Modifiers::NONE, Key::ArrowRight);
    }
    focus(&mut window, 1);
    press(&mut window, Modifiers::NONE, Key::F2);
    window.get_by_label("Name of kept 2").type_text("größer");
    window.step();
    press(&mut window, Modifiers::NONE, Key::Enter);
    press(&mut window, Modifiers::COMMAND, Key::S);
    wait_until(&mut window, "the file", |app| !app.is_unsaved());
    let (edit, names) = (edit(&window), shown(&window));
    choose(&mut window, "Kept 1, ", "Export all…");
    wait_until(&mut window, "the last picture", |app: &App| series.join("frame_0002.png").exists() && app.is_settled());
    let seeds: Vec<u64> = kept(&window);
    for (n, number) in seeds.iter().enumerate() {
        let picture = Project::load(&series.join(format!("frame_000{n}.png"))).unwrap();
        assert_eq!((seed(&picture.edit), picture.edit.moves.len(), picture.shelf.len()), (*number, 1, 0));
    }
    focus(&mut window, 2);
    press(&mut window, Modifiers::NONE, Key::Delete);
    assert!(window.state().is_unsaved(), "the shelf is part of the document");
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert!(!window.state().is_unsaved());
    drop(window);

    let again = self::window(Source::File(json), []);
    assert_eq!((super::edit(&again), shown(&again)), (edit, names));
}

/// A project of the heads with this shelf, as a file.
fn project_file(folder: &std::path::Path, shelf: Shelf) -> PathBuf {
    let path = folder.join("project.json");
    let window = toy_heads([]);
    let info = window.state().model().unwrap();
    let project = Project::new(info, "example:toy-heads".into(), info.start(1), info.direction_names.clone());
    fs::write(&path, Project { shelf, ..project }.to_json()).unwrap();
    path
}

fn of_seed(number: u64) -> Kept {
    let mut edit = Edit::default();
    edit.sample.code = Code::Seed(Seed::studio(number));
    Kept { edit, ..Kept::default() }
}

#[test]
fn a_thousand_pictures_are_enough() {
    let folder = tempfile::tempdir().unwrap();
    let path = project_file(folder.path(), (0..1000).map(of_seed).collect());
    let mut window = self::window(Source::File(path), []);
    assert!((5..20).contains(&shown(&window).len()), "{} of those in sight are laid out", shown(&window).len());
    focus(&mut window, 0);
    press(&mut window, Modifiers::NONE, Key::End);
    window.run_steps(2);
    assert_eq!(shown(&window).last().unwrap(), "Kept 1000, seed 999");
    press(&mut window, Modifiers::NONE, Key::K);
    let failure = window.state().failure().cloned().unwrap();
    assert!(failure.headline.contains("the shelf holds 1000 pictures"), "{failure:?}");
    assert_eq!(kept(&window).len(), 1000);
    slider(&window, "Direction 1");
}

#[test]
fn a_shelf_that_does_not_fit_is_refused_with_the_picture_that_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut strange = of_seed(3);
    strange.edit.sample.styles.push(Style::new("7-99".parse().unwrap(), Code::default()));
    let path = project_file(folder.path(), [of_seed(2), Kept { name: "odd".into(), ..strange }].into_iter().collect());
    let mut window = toy_heads([path]);
    let before = edit(&window);
    press(&mut window, Modifiers::COMMAND, Key::O);
    wait_until(&mut window, "the failure", |app| app.failure().is_some());
    let failure = window.state().failure().cloned().unwrap();
    assert!(failure.headline.contains("project.json does not fit the model Toy heads"), "{failure:?}");
    assert_eq!(failure.causes, ["Kept 2, odd: a style: layers 7-99, but the model has layers 0 to 11"]);
    assert_eq!((edit(&window), shown(&window).len()), (before, 0));
}
