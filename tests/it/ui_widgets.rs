//! Sliders, fields, keys: numbers change only when they are edited, and every press counts.

use egui::accesskit::Role;
use egui::{Event, Key, Modifiers, PointerButton, Pos2, Vec2, vec2};
use egui_kittest::kittest::{NodeT, Queryable};
use sefa_studio::edit::LayerSet;

use super::ui::{Window, click, drag, edit, press, seed, settle, slider, title, toy_heads};

/// Sets a slider as assistive tools do: to exactly this number.
fn set(window: &mut Window, name: &str, value: f64) {
    slider(window, name).set_value_accesskit(value);
    settle(window);
}

/// Where the handle of a slider is.
fn handle(window: &Window, name: &str, value: f32) -> Pos2 {
    let slider = slider(window, name);
    let (node, rect) = (slider.accesskit_node(), slider.rect());
    let [low, high] = [node.min_numeric_value(), node.max_numeric_value()].map(|end| end.unwrap() as f32);
    let travel = rect.x_range().shrink(4.0);
    egui::pos2(egui::remap(value, low..=high, travel), rect.center().y)
}

fn button(pos: Pos2, pressed: bool) -> Event {
    Event::PointerButton { pos, button: PointerButton::Primary, pressed, modifiers: Modifiers::NONE }
}

/// Press, motion and release, all within one frame of the window.
fn flick(window: &mut Window, from: Pos2, by: Vec2) {
    let to = from + by;
    let events =
        [Event::PointerMoved(from), button(from, true), Event::PointerMoved(from + by / 2.0), Event::PointerMoved(to)];
    window.input_mut().events.extend(events);
    window.input_mut().events.push(button(to, false));
    settle(window);
}

fn type_into(window: &mut Window, name: &str, text: &str) {
    window.get_by_label(name).focus();
    window.step();
    window.get_by_label(name).type_text(text);
    window.step();
    press(window, Modifiers::NONE, Key::Enter);
}

#[test]
fn pressing_the_handle_of_a_slider_changes_no_number() {
    let mut window = toy_heads([]);
    for (name, value) in [("Direction 1", 0.123_456), ("Psi", 0.654_321)] {
        set(&mut window, name, value);
        let before = edit(&window);
        let place = handle(&window, name, value as f32);
        window.drag_at(place);
        window.run_steps(3);
        assert_eq!(edit(&window), before, "{name}, while held");
        window.drop_at(place);
        settle(&mut window);
        assert_eq!(edit(&window), before, "{name}, when let go");
        // Moved and brought back, it is what it was.
        window.drag_at(place);
        for x in [20.0, 0.0] {
            window.hover_at(place + vec2(x, 0.0));
            window.step();
        }
        assert_eq!(edit(&window), before, "{name}, brought back");
        window.drop_at(place);
        settle(&mut window);
    }
}

#[test]
fn neither_pressing_nor_releasing_shift_makes_a_dragged_value_jump() {
    let mut window = toy_heads([]);
    let value = |window: &Window| edit(window).moves[0].value;
    let range = window.state().model().unwrap().slider_range;
    let start = slider(&window, "Direction 1").rect().center();
    let per_point = 2.0 * range / (slider(&window, "Direction 1").rect().width() - 8.0);
    window.drag_at(start);
    window.hover_at(start + vec2(20.0, 0.0));
    window.step();
    let coarse = value(&window);
    window.event(Event::ModifiersChanged(Modifiers::SHIFT));
    window.step();
    assert_eq!(value(&window), coarse, "Shift alone moves nothing");
    window.hover_at(start + vec2(50.0, 0.0));
    window.step();
    let fine = value(&window);
    assert!((fine - coarse - 3.0 * per_point).abs() < 0.01, "a tenth of 30 points, found {coarse} to {fine}");
    window.event(Event::ModifiersChanged(Modifiers::NONE));
    window.step();
    assert_eq!(value(&window), fine, "released, it stays");
    window.hover_at(start + vec2(51.0, 0.0));
    window.step();
    let after = value(&window);
    // One point further, and at most rounded to a tenth.
    assert!((after - fine).abs() < per_point + 0.06, "jumped from {fine} to {after}");
    window.drop_at(start + vec2(51.0, 0.0));
}

#[test]
fn tabbing_through_the_fields_changes_nothing() {
    let mut window = toy_heads([]);
    for (name, value) in
        [("Direction 1", 0.123_456_7), ("Direction 2", 20_000.5), ("Direction 3", -1.0e-5), ("Psi", 0.654_321)]
    {
        set(&mut window, name, value);
    }
    set(&mut window, "Cutoff", 3.0);
    let before = edit(&window);
    assert_eq!(before.moves[1].value, 20_000.5, "a number is not limited by its field");
    let mut wanted: Vec<String> = (0..3).map(|n| format!("Value of {}", title(&window, n))).collect();
    wanted.extend(["Psi value", "Cutoff value", "Value of direction 1", "Value of direction 2"].map(str::to_owned));
    for _ in 0..120 {
        window.key_press(Key::Tab);
        window.step();
        wanted.retain(|name| !window.query_all_by_label(name).any(|node| node.is_focused()));
    }
    settle(&mut window);
    assert!(wanted.is_empty(), "the keyboard never came to {wanted:?}");
    assert_eq!(edit(&window), before);
    window.get_by_label("Psi value").focus();
    window.run_steps(2);
    let shown = window.get_by_label("Psi value").value();
    assert_eq!(shown.as_deref(), Some("0.654321"), "all digits are there to be edited");
}

#[test]
fn the_largest_number_takes_no_room_from_its_neighbours() {
    let mut window = toy_heads([]);
    drag(&mut window, "Direction 1", 20.0);
    let move_value = format!("Value of {}", title(&window, 0));
    let fields = ["Value of direction 1", "Psi value", &move_value];
    let places = |window: &Window| {
        let mut places: Vec<_> = fields.iter().map(|name| window.get_by_label(name).rect()).collect();
        places.push(slider(window, "Direction 1").rect());
        places.push(slider(window, "Direction 2").rect());
        places
    };
    let before = places(&window);
    for (typed, value) in [("1e6", 1e6), ("-123456.789", -123_456.79), ("-1e-30", -1e-30)] {
        for field in fields {
            type_into(&mut window, field, typed);
            assert_eq!(places(&window), before, "{typed} in {field}");
            // The keyboard comes and goes.
            window.get_by_label(field).focus();
            window.run_steps(2);
            assert_eq!(places(&window), before, "{typed} in {field}, about to be typed over");
            window.key_press(Key::Tab);
            settle(&mut window);
        }
        let edit = edit(&window);
        assert_eq!([edit.moves[0].value, edit.truncation.psi].map(f32::to_bits), [value; 2].map(f32::to_bits));
    }
}

#[test]
fn what_is_no_number_is_refused_and_the_old_value_kept() {
    let mut window = toy_heads([]);
    set(&mut window, "Direction 1", 1.5);
    let before = edit(&window);
    for text in ["nan", "inf", "-inf", "1e39", "one"] {
        for name in ["Value of direction 1", "Psi value", "Cutoff value"] {
            type_into(&mut window, name, text);
            assert_eq!(edit(&window), before, "after {text:?} in {name}");
        }
    }
    type_into(&mut window, "Value of direction 1", "12345.5");
    assert_eq!(edit(&window).moves[0].value, 12_345.5);
}

#[test]
fn assistive_tools_cannot_set_what_is_no_number() {
    let mut window = toy_heads([]);
    set(&mut window, "Direction 1", 1.5);
    let before = edit(&window);
    for value in [f64::NAN, f64::INFINITY, -1.0e300] {
        set(&mut window, "Direction 1", value);
        set(&mut window, "Psi", value);
        let field = window.get_by_label("Value of direction 1");
        field.set_value_accesskit(value);
        settle(&mut window);
        assert_eq!(edit(&window), before, "after {value}");
    }
}

#[test]
fn a_flick_within_one_frame_counts() {
    let mut window = toy_heads([]);
    let centre = slider(&window, "Direction 1").rect().center();
    flick(&mut window, centre, vec2(30.0, 0.0));
    let flicked = edit(&window);
    assert!(flicked.moves[0].value > 0.0, "the slider");
    let per_point =
        2.0 * window.state().model().unwrap().slider_range / (slider(&window, "Direction 1").rect().width() - 8.0);
    assert!(
        (flicked.moves[0].value - 30.0 * per_point).abs() < 0.06,
        "the whole way, found {}",
        flicked.moves[0].value
    );

    // It ended over another slider, which stays as it is.
    let below = slider(&window, "Direction 2").rect().center();
    flick(&mut window, below, vec2(-25.0, centre.y - below.y));
    let two = edit(&window);
    assert_eq!((two.moves[0].value, two.moves.len()), (flicked.moves[0].value, 2));
    assert!(two.moves[1].value < 0.0, "the slider that was pressed");

    let field = window.get_by_label("Value of direction 1").rect().center();
    flick(&mut window, field, vec2(40.0, 0.0));
    assert!(edit(&window).moves[0].value > flicked.moves[0].value, "the number field");

    let last = window.get_by_role_and_label(Role::Slider, "Last layer").rect();
    let cell = cell_width(&window);
    flick(&mut window, last.center() - vec2(2.0, 0.0), vec2(3.0 * cell, 0.0));
    assert!(window.query_by_label_contains("layers 0-4 of").is_some(), "the ruler");

    let track = slider(&window, "Direction 3").rect().center() + vec2(20.0, 0.0);
    flick(&mut window, track, Vec2::ZERO);
    assert!(edit(&window).moves.last().unwrap().value > 0.0, "a click on the track");
    assert_eq!(edit(&window).moves.last().unwrap().direction.layers, LayerSet::range(0, 4));
}

/// Width of one layer on the ruler.
fn cell_width(window: &Window) -> f32 {
    let [first, last] =
        ["First layer", "Last layer"].map(|name| window.get_by_role_and_label(Role::Slider, name).rect().center().x);
    (last - first + 3.0) / 2.0
}

#[test]
fn keys_pressed_within_one_frame_all_count() {
    let mut window = toy_heads([]);
    let first = seed(&edit(&window));
    let key = |key: Key, modifiers: Modifiers| Event::Key {
        key,
        physical_key: None,
        pressed: true,
        repeat: false,
        modifiers,
    };
    window.input_mut().events.extend([key(Key::ArrowRight, Modifiers::NONE), key(Key::ArrowRight, Modifiers::NONE)]);
    settle(&mut window);
    assert_eq!(seed(&edit(&window)), first + 2);
    slider(&window, "Direction 1").focus();
    window.step();
    window.input_mut().events.extend([key(Key::ArrowRight, Modifiers::NONE), key(Key::ArrowRight, Modifiers::SHIFT)]);
    settle(&mut window);
    assert!((edit(&window).moves[0].value - 0.11).abs() < 1e-6, "each press with its own modifiers");
    // What is typed goes to the field that had the keyboard when it was typed.
    window.get_by_label("Value of direction 1").focus();
    window.step();
    let typed = |text: &str| Event::Text(text.to_owned());
    let tab = || key(Key::Tab, Modifiers::NONE);
    // The number of the next direction lies between.
    window.input_mut().events.extend([typed("2"), tab(), tab(), typed("head")]);
    window.run_steps(5);
    press(&mut window, Modifiers::NONE, Key::Enter);
    assert_eq!(edit(&window).moves[0].value, 2.0);
    window.get_by_role_and_label(Role::Slider, "Direction 2, head");
}

#[test]
fn a_slider_of_whole_numbers_steps_by_one_with_shift() {
    let mut window = toy_heads([]);
    let layers = window.state().model().unwrap().num_layers;
    set(&mut window, "Cutoff", 5.0);
    slider(&window, "Cutoff").focus();
    window.step();
    press(&mut window, Modifiers::SHIFT, Key::ArrowLeft);
    assert_eq!(edit(&window).truncation.cutoff, Some(4));
    press(&mut window, Modifiers::NONE, Key::ArrowRight);
    assert_eq!(edit(&window).truncation.cutoff, Some(5));
    let place = slider(&window, "Cutoff").rect().center();
    window.hover_at(place);
    window.step();
    let wheel = |unit, y: f32| Event::MouseWheel {
        unit,
        delta: vec2(0.0, y),
        phase: egui::TouchPhase::Move,
        source: egui::MouseWheelSource::Unknown,
        modifiers: Modifiers::SHIFT,
    };
    window.event(wheel(egui::MouseWheelUnit::Line, 1.0));
    window.step();
    assert_eq!(edit(&window).truncation.cutoff, Some(6));
    // A touch pad's small motions add up to a step.
    for _ in 0..4 {
        window.event(wheel(egui::MouseWheelUnit::Point, 15.0));
        window.step();
    }
    assert_eq!(edit(&window).truncation.cutoff, Some(7));
    press(&mut window, Modifiers::COMMAND, Key::ArrowRight);
    assert_eq!(edit(&window).truncation.cutoff, None, "{layers} layers are all");
}

#[test]
fn the_first_seed_has_none_before_it() {
    let mut window = toy_heads([]);
    type_into(&mut window, "Seed", "0");
    press(&mut window, Modifiers::NONE, Key::Escape);
    press(&mut window, Modifiers::NONE, Key::ArrowLeft);
    assert_eq!(seed(&edit(&window)), 0);
}

#[test]
fn escape_closes_the_sheet_of_keys_and_no_tooltip_lies_over_it() {
    let mut window = toy_heads([]);
    let tooltip = "Double-click or Delete resets.";
    window.hover_at(slider(&window, "Direction 1").rect().center());
    window.run_steps(40);
    assert!(window.query_by_label_contains(tooltip).is_some(), "the slider's tooltip is there at first");
    window.key_press(Key::F1);
    window.run_steps(4);
    assert!(window.query_by_label("Ten times finer").is_some());
    assert!(window.query_by_label_contains(tooltip).is_none(), "the sheet lies over what it covers");
    window.key_press(Key::Escape);
    window.run_steps(4);
    assert!(window.query_by_label("Ten times finer").is_none(), "Escape closes the sheet");
    for _ in 0..2 {
        window.key_press(Key::F1);
        window.run_steps(4);
    }
    assert!(window.query_by_label("Ten times finer").is_none(), "F1 closes what F1 opened");
    window.key_press(Key::F1);
    window.run_steps(4);
    click(&mut window, "Close the keyboard shortcuts");
    assert!(window.query_by_label("Ten times finer").is_none());
}

#[test]
fn escape_in_a_field_takes_the_typing_back_and_the_next_one_closes_the_dialog() {
    let mut window = toy_heads([]);
    drag(&mut window, "Direction 1", 20.0);
    press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::E);
    window.get_by_role_and_label(Role::SpinButton, "Frames").focus();
    window.step();
    window.get_by_role_and_label(Role::SpinButton, "Frames").type_text("77");
    window.step();
    press(&mut window, Modifiers::NONE, Key::Escape);
    assert!(window.query_by_label("Choose folder…").is_some(), "the dialog stays");
    assert_eq!(window.get_by_role_and_label(Role::SpinButton, "Frames").value().as_deref(), Some("9"));
    press(&mut window, Modifiers::NONE, Key::Escape);
    assert!(window.query_by_label("Choose folder…").is_none());
}

#[test]
fn escape_closes_one_thing_at_a_time() {
    let mut window = toy_heads([]);
    drag(&mut window, "Direction 1", 20.0);
    press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::E);
    press(&mut window, Modifiers::NONE, Key::F1);
    press(&mut window, Modifiers::NONE, Key::Escape);
    assert!(window.query_by_label("Ten times finer").is_none());
    assert!(window.query_by_label("Choose folder…").is_some(), "the sheet alone");
}
