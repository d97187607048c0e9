//! Thumbnails of directions: beside the row that is pointed at or has the keyboard, or under every row.

use egui::accesskit::Role;
use egui::{Key, Modifiers, vec2};
use egui_kittest::kittest::{NodeT, Queryable};
use sefa_studio::ui::App;

use super::{Window, drag, edit, press, settle, slider, toy_heads, wait_until};

/// Accessible names of the tiles that are seen, in their order.
fn tiles(window: &Window) -> Vec<String> {
    let buttons = window.query_all_by_role(Role::Button);
    let labels = buttons.filter_map(|node| node.accesskit_node().label());
    labels.filter(|label| label.starts_with("Direction ") && label.contains(" at ")).collect()
}

/// Rests with the pointer until what appears by that is there, with its tiles.
fn rest(window: &mut Window) {
    window.run_steps(20);
    settle(window);
}

#[track_caller]
fn assert_tiles_are_made(window: &mut Window, count: usize) {
    wait_until(window, "the tiles", |app: &App| app.is_settled() && app.tiles_shown() == count);
}

#[test]
fn a_row_that_is_pointed_at_shows_what_its_direction_does_and_a_click_takes_it() {
    let mut window = toy_heads([]);
    let row = slider(&window, "Direction 2").rect().center();
    window.hover_at(row);
    rest(&mut window);
    let shown = tiles(&window);
    assert_eq!(shown.len(), 5, "{shown:?}");
    assert!(shown.iter().all(|tile| tile.starts_with("Direction 2")), "{shown:?}");
    assert_tiles_are_made(&mut window, 5);

    let last = window.get_by_label(&shown[4]).rect().center();
    window.hover_at(last);
    rest(&mut window);
    assert_eq!(tiles(&window), shown, "the way to the strip leaves it where it is");
    window.drag_at(last);
    window.drop_at(last);
    settle(&mut window);
    let moves = edit(&window).moves;
    let range = window.state().model().unwrap().slider_range;
    assert_eq!((moves.len(), moves[0].value), (1, range), "{moves:?}");
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert!(edit(&window).moves.is_empty());

    window.hover_at(vec2(500.0, 400.0).to_pos2());
    rest(&mut window);
    assert!(tiles(&window).is_empty(), "nothing is pointed at");
}

#[test]
fn a_slider_that_is_dragged_leaves_the_picture_in_sight_and_the_keyboard_brings_the_strip() {
    let mut window = toy_heads([]);
    drag(&mut window, "Direction 1", 20.0);
    rest(&mut window);
    assert!(tiles(&window).is_empty(), "the pointer rests on the slider that it dragged");
    slider(&window, "Direction 3").focus();
    rest(&mut window);
    let shown = tiles(&window);
    assert!(shown.len() == 5 && shown[0].starts_with("Direction 3"), "{shown:?}");
}

#[test]
fn every_row_has_its_strip_if_the_user_wants_that() {
    let mut window = toy_heads([]);
    press(&mut window, Modifiers::NONE, Key::T);
    let seen = tiles(&window).len();
    assert!(seen >= 10 && seen.is_multiple_of(5), "{seen}");
    assert_tiles_are_made(&mut window, seen);
    press(&mut window, Modifiers::NONE, Key::ArrowRight);
    assert_tiles_are_made(&mut window, seen);
    press(&mut window, Modifiers::NONE, Key::T);
    assert!(tiles(&window).is_empty());
}
