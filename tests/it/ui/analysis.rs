//! Measurements in the window.

use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use sefa_studio::render::{Example, Source};
use sefa_studio::ui::App;
use serde_json::Value;

use super::{Window, click, press, settle, slider, toy_heads, wait_until, window};

/// What the matrix says of the cell that the keyboard is at.
fn cell(window: &Window) -> String {
    let mut buttons = window.query_all_by_role(Role::Button).filter_map(|node| node.accesskit_node().label());
    buttons.find(|label| label.starts_with("Matrix, ")).expect("a matrix")
}

fn focus_matrix(window: &mut Window) {
    let name = cell(window);
    window.get_by_label(&name).focus();
    window.run_steps(2);
}

#[test]
fn scores_are_measured_lead_to_sliders_and_name_directions() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("scores.csv");
    let mut window = window(Source::Example(Example::Faces), [table.clone()]);
    press(&mut window, Modifiers::NONE, Key::Num5);
    click(&mut window, "Measure");
    wait_until(&mut window, "the scores", |app: &App| app.is_settled());
    settle(&mut window);
    assert!(cell(&window).starts_with("Matrix, direction 1, lightness: standard deviations "), "{}", cell(&window));
    focus_matrix(&mut window);
    window.key_press(Key::ArrowDown);
    window.key_press(Key::ArrowDown);
    window.run_steps(2);
    assert!(cell(&window).contains("direction 3"), "{}", cell(&window));
    window.key_press(Key::Enter);
    settle(&mut window);
    assert!(slider(&window, "Direction 3").is_focused(), "Enter goes to the slider");
    click(&mut window, "Name them");
    let document = window.state().document();
    let measured = document.library.entries().filter(|entry| entry.knowledge.measured.is_some()).count();
    assert!(measured >= 3, "{measured} names");
    press(&mut window, Modifiers::COMMAND, Key::Z);
    let left = window.state().document().library.entries().any(|entry| entry.knowledge.measured.is_some());
    assert!(!left, "undo takes the names back");
    press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::X);
    wait_until(&mut window, "the file", |_| table.exists());
    let text = std::fs::read_to_string(&table).unwrap();
    assert!(text.contains("lightness") && text.lines().count() == 11, "{text}");
}

#[test]
fn what_changes_an_attribute_is_found_among_all_groups() {
    let mut window = window(Source::Example(Example::Faces), []);
    press(&mut window, Modifiers::NONE, Key::Num5);
    click(&mut window, "Find");
    click(&mut window, "Measure");
    wait_until(&mut window, "the scores", |app: &App| app.is_settled());
    window.get_by_label("Attribute").focus();
    window.run_steps(2);
    window.get_by_label("Attribute").type_text("lightness");
    window.key_press(Key::Enter);
    settle(&mut window);
    let found: Vec<String> = window
        .query_all_by_role(Role::Button)
        .filter_map(|node| node.accesskit_node().label())
        .filter(|label| label.contains(", layers "))
        .collect();
    assert!(found.len() >= 3, "{found:?}");
    click(&mut window, &found[0]);
    let number = found[0].split_whitespace().nth(1).unwrap().trim_end_matches(',').to_owned();
    assert!(slider(&window, &format!("Direction {number}")).is_focused(), "{}", found[0]);
}

#[test]
fn other_directions_are_laid_beside_those_of_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aligned.json");
    let mut window = toy_heads([file.clone()]);
    super::drag(&mut window, "Direction 2", 20.0);
    press(&mut window, Modifiers::NONE, Key::Num5);
    click(&mut window, "Alignment");
    click(&mut window, "Moves");
    // A direction is its own nearest.
    focus_matrix(&mut window);
    window.key_press(Key::ArrowRight);
    window.run_steps(2);
    let said = cell(&window);
    assert!(said.contains("nearest 2, 2: cosine +1.000"), "{said}");
    press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::X);
    wait_until(&mut window, "the file", |_| file.exists());
    let table: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!((table["table"].as_str(), table["rows"][0]["layers"].as_str()), (Some("Alignment"), Some("0-1")));
    assert!((table["rows"][0]["2"].as_f64().unwrap() - 1.0).abs() < 1e-6, "{table}");
}

#[test]
fn marks_in_samples_teach_a_direction() {
    let mut window = window(Source::Example(Example::Faces), []);
    press(&mut window, Modifiers::NONE, Key::Num2);
    for (seed, key) in [(0, Key::U), (1, Key::U), (2, Key::D)] {
        click(&mut window, &format!("Seed {seed}"));
        press(&mut window, Modifiers::NONE, key);
    }
    click(&mut window, "Learn from 2 up, 1 down");
    let said = window.state().failure().expect("too few marks").headline.clone();
    assert!(said.contains("at least 2 marks of each kind, found 2 for and 1 against"), "{said}");
    click(&mut window, "Seed 3");
    press(&mut window, Modifiers::NONE, Key::D);
    click(&mut window, "Learn from 2 up, 2 down");
    let document = window.state().document();
    assert!(document.own_directions().any(|direction| document.name_of(direction) == "marks"));
    assert!(slider(&window, "Marks").is_focused(), "its slider is shown");
    // The same key takes a mark away.
    click(&mut window, "Seed 3, marked down");
    press(&mut window, Modifiers::NONE, Key::D);
    assert!(window.query_by_label("Learn from 2 up, 1 down").is_some());
}

#[test]
fn a_direction_shows_through_which_layers_and_where_it_acts() {
    let mut window = toy_heads([]);
    super::drag(&mut window, "Direction 1", 20.0);
    let moved = super::edit(&window);
    press(&mut window, Modifiers::NONE, Key::L);
    wait_until(&mut window, "the bars", |app: &App| app.is_settled());
    settle(&mut window);
    let bars = |window: &Window| -> Vec<String> {
        let buttons = window.query_all_by_role(Role::Button).filter_map(|node| node.accesskit_node().label());
        buttons.filter(|label| label.starts_with("Layer ") && label.contains("% of what")).collect()
    };
    let shown = bars(&window);
    assert_eq!(shown.len(), 2, "one for each layer of the bottom: {shown:?}");
    let share = |label: &str| label.split(": ").nth(1).unwrap().split(' ').next().unwrap().parse::<f64>().unwrap();
    assert!((shown.iter().map(|label| share(label)).sum::<f64>() - 100.0).abs() <= 1.0, "{shown:?}");
    click(&mut window, &shown[1]);
    let restricted = super::edit(&window);
    assert_eq!(restricted.moves.len(), 1);
    assert_eq!(restricted.moves[0].direction.layers.to_string(), "1");
    assert_eq!(restricted.moves[0].value, moved.moves[0].value, "as far as before");
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(super::edit(&window), moved);
    press(&mut window, Modifiers::NONE, Key::L);
    assert!(bars(&window).is_empty(), "the same key hides them");

    press(&mut window, Modifiers::NONE, Key::W);
    settle(&mut window);
    let compared = window.query_all_by_role(Role::Image).filter_map(|node| node.accesskit_node().label());
    assert!(compared.into_iter().any(|label| label.starts_with("Comparison of A")), "the difference is shown");
    assert_eq!(super::edit(&window), moved, "looking changes nothing");
}
