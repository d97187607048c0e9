//! Styles: layers that take their codes from another sample, as rows of Active moves.

use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use sefa_studio::edit::{Code, Seed};
use sefa_studio::render::{Example, Source};

use super::{Window, click, drag, edit, pixels, press, settle, toy_heads, window};

/// Layers and seed of each style.
fn styles(window: &Window) -> Vec<(String, u64)> {
    let of = |code: &Code| match code {
        Code::Seed(Seed { number, .. }) => *number,
        other => panic!("{other:?}"),
    };
    edit(window).sample.styles.iter().map(|style| (style.layers.to_string(), of(&style.code))).collect()
}

#[test]
fn a_key_mixes_another_style_into_the_layers_that_are_shown() {
    let mut window = toy_heads([]);
    let first = (edit(&window), pixels(&window));
    click(&mut window, "Top");
    press(&mut window, Modifiers::NONE, Key::M);
    let mixed = (edit(&window), pixels(&window));
    let [(layers, seed)] = &styles(&window)[..] else { panic!("{:?}", styles(&window)) };
    assert_eq!(layers, "6-11");
    assert_ne!(mixed.1, first.1);

    let row = format!("style 1, seed {seed}");
    click(&mut window, &format!("Use {row}"));
    assert_eq!(pixels(&window), first.1, "muted, it leaves the picture alone");
    click(&mut window, &format!("Use {row}"));
    assert_eq!(pixels(&window), mixed.1);
    window.key_down(Key::Space);
    window.run_steps(2);
    assert!(window.query_by_label_contains("unedited sample").is_some(), "compared is what nothing is mixed into");
    window.key_up(Key::Space);
    window.run_steps(2);

    press(&mut window, Modifiers::NONE, Key::M);
    assert_eq!(styles(&window).len(), 1, "the same layers take the next one");
    assert_ne!(styles(&window)[0].1, *seed);
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(edit(&window), mixed.0);
    click(&mut window, "Bottom");
    press(&mut window, Modifiers::NONE, Key::M);
    assert_eq!(styles(&window).len(), 2);
    click(&mut window, &format!("Show {row}"));
    assert!(window.query_by_label_contains("layers 6-11 of").is_some(), "its layers are in the panel");
    click(&mut window, &format!("Delete {row}"));
    assert_eq!(styles(&window)[0].0, "0-1");
    press(&mut window, Modifiers::COMMAND, Key::Z);
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(edit(&window), mixed.0, "one step each");
    press(&mut window, Modifiers::NONE, Key::ArrowRight);
    assert_eq!(edit(&window).sample.styles, mixed.0.sample.styles, "another sample keeps the style");
    drag(&mut window, "Direction 1", 20.0);
    assert!(window.query_by_label_contains("· 1 style · 1 move").is_some(), "the caption says so");
    click(&mut window, "Reset all moves");
    assert!(edit(&window).is_bare());
}

#[test]
fn the_seed_of_a_style_is_typed_and_nonsense_is_taken_back() {
    let mut window = toy_heads([]);
    press(&mut window, Modifiers::NONE, Key::M);
    for (typed, expected) in [("18446744073709551615", u64::MAX), ("seven", u64::MAX), ("3", 3)] {
        window.get_by_label("Seed of style 1").focus();
        window.step();
        window.get_by_label("Seed of style 1").type_text(typed);
        window.step();
        press(&mut window, Modifiers::NONE, Key::Enter);
        assert_eq!(styles(&window), [("0-1".to_owned(), expected)], "after typing {typed:?}");
    }
    window.get_by_label("Delete style 1, seed 3");
}

#[test]
fn a_network_of_one_layer_has_nothing_to_mix() {
    let mut window = window(Source::Example(Example::Faces), []);
    press(&mut window, Modifiers::NONE, Key::M);
    assert!(edit(&window).is_bare());
    window.get_by_label("Edit").click();
    settle(&mut window);
    assert!(window.get_by_label_contains("Mix in another style").accesskit_node().is_disabled());
}
