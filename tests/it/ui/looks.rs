//! The ways to look at the document: samples, directions, a comparison.

use egui::accesskit::{Role, Toggled};
use egui::{Key, Modifiers, vec2};
use egui_kittest::kittest::{NodeT, Queryable};
use sefa_studio::edit::Edit;
use sefa_studio::gpu::RenderDevice;
use sefa_studio::ui::App;

use super::{Window, click, drag, edit, press, rgba, seed, settle, slider, toy_heads, wait_until, window_on};

/// Accessible names of the pictures of a grid, in their order.
fn pictures(window: &Window, prefix: &str) -> Vec<String> {
    let buttons = window.query_all_by_role(Role::Button);
    let labels = buttons.filter_map(|node| node.accesskit_node().label());
    labels.filter(|label| label.starts_with(prefix)).collect()
}

fn selected(window: &Window, prefix: &str) -> Vec<String> {
    let buttons = window.query_all_by_role(Role::Button).map(|node| node.accesskit_node());
    let on = buttons.filter(|node| node.toggled() == Some(Toggled::True) || node.is_selected() == Some(true));
    on.filter_map(|node| node.label()).filter(|label| label.starts_with(prefix)).collect()
}

#[track_caller]
fn assert_tiles_are_made(window: &mut Window, count: usize) {
    wait_until(window, "the tiles", |app: &App| app.is_settled() && app.tiles_shown() == count);
}

#[test]
fn samples_lie_in_a_grid_where_arrows_and_clicks_take_one() {
    let mut window = toy_heads([]);
    let first = seed(&edit(&window)) / 16 * 16;
    press(&mut window, Modifiers::NONE, Key::Num2);
    assert_tiles_are_made(&mut window, 16);
    let of = |number: u64| format!("Seed {number}");
    assert_eq!(pictures(&window, "Seed "), (first..first + 16).map(of).collect::<Vec<_>>());
    click(&mut window, &of(first + 5));
    assert_eq!(seed(&edit(&window)), first + 5);
    assert_eq!(selected(&window, "Seed "), [of(first + 5)]);
    for (key, expected) in [(Key::ArrowDown, 9), (Key::ArrowRight, 10), (Key::ArrowUp, 6), (Key::PageDown, 22)] {
        press(&mut window, Modifiers::NONE, key);
        assert_eq!(seed(&edit(&window)), first + expected);
    }
    assert_eq!(pictures(&window, "Seed ")[0], of(first + 16), "the page follows the sample");
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(seed(&edit(&window)), first + 6);
    click(&mut window, "3 by 3 samples");
    assert_tiles_are_made(&mut window, 9);
    assert_eq!(pictures(&window, "Seed ").len(), 9);
    click(&mut window, "Draw samples");
    let drawn = pictures(&window, "Seed ");
    assert_tiles_are_made(&mut window, 9);
    click(&mut window, &drawn[4]);
    assert_eq!(pictures(&window, "Seed "), drawn, "who takes one of those that were drawn keeps the others");
    press(&mut window, Modifiers::NONE, Key::ArrowLeft);
    assert_eq!(selected(&window, "Seed "), [drawn[3].clone()]);
    press(&mut window, Modifiers::NONE, Key::Num1);
    assert!(pictures(&window, "Seed ").is_empty());
}

#[test]
fn samples_follow_a_slider_that_is_held() {
    let devices = crate::support::devices();
    let Some(setup) = devices.iter().find_map(RenderDevice::wgpu).cloned() else { return };
    let mut window = window_on(&setup, devices[0].clone());
    press(&mut window, Modifiers::NONE, Key::Num2);
    assert_tiles_are_made(&mut window, 16);
    let before = window.render().unwrap();
    let row = slider(&window, "Direction 1").rect().center();
    window.drag_at(row);
    window.run_steps(2);
    window.hover_at(row + vec2(40.0, 0.0));
    // The button is still down.
    let mut changed = 0;
    for _ in 0..200 {
        window.run_steps(1);
        std::thread::sleep(std::time::Duration::from_millis(10));
        let now = window.render().unwrap();
        let places = pictures(&window, "Seed ");
        let places = places.iter().map(|label| window.get_by_label(label).rect().center());
        changed = places.filter(|at| differs(&before, &now, *at)).count();
        if changed == 16 {
            break;
        }
    }
    assert_eq!(changed, 16, "pictures that followed");
    window.drop_at(row + vec2(40.0, 0.0));
    assert_tiles_are_made(&mut window, 16);
}

fn differs(a: &image::RgbaImage, b: &image::RgbaImage, at: egui::Pos2) -> bool {
    let around = (-20..=20).flat_map(|dx| (-20..=20).map(move |dy| (at.x as i32 + dx, at.y as i32 + dy)));
    around.into_iter().any(|(x, y)| a.get_pixel(x as u32, y as u32) != b.get_pixel(x as u32, y as u32))
}

#[test]
fn the_sheet_shows_every_direction_and_takes_what_is_chosen() {
    let mut window = toy_heads([]);
    press(&mut window, Modifiers::NONE, Key::Num3);
    settle(&mut window);
    let cells = pictures(&window, "Direction ");
    assert!(cells.len() >= 7 * 8 && cells.len().is_multiple_of(7), "{cells:?}");
    assert_tiles_are_made(&mut window, cells.len());
    let range = window.state().model().unwrap().slider_range;
    click(&mut window, &cells[7 * 2 + 6]);
    let moves = edit(&window).moves;
    assert_eq!((moves.len(), moves[0].value), (1, range), "{} was clicked", cells[20]);
    click(&mut window, &cells[7 * 2 + 3]);
    assert_eq!(edit(&window).moves[0].value, 0.0);
    click(&mut window, "5 steps along every direction");
    settle(&mut window);
    assert!(pictures(&window, "Direction ").len().is_multiple_of(5));

    // The same by the keyboard.
    let sheet = window.get_by_role(Role::Grid);
    sheet.focus();
    window.run_steps(2);
    for key in [Key::ArrowDown, Key::ArrowDown, Key::ArrowDown, Key::ArrowRight, Key::Enter] {
        press(&mut window, Modifiers::NONE, key);
    }
    let moves = edit(&window).moves;
    assert_eq!((moves.len(), moves[1].value), (2, range), "{moves:?}");
    assert_eq!(moves[1].direction.origin.to_string(), "direction 4");
    press(&mut window, Modifiers::NONE, Key::End);
    settle(&mut window);
    assert!(pictures(&window, "Direction 128").len() == 5, "the last row is in sight");
}

#[test]
fn what_is_compared_can_be_swapped_and_the_line_moved() {
    let mut window = toy_heads([]);
    drag(&mut window, "Direction 1", 40.0);
    let (edited, unedited) = (edit(&window), edit(&window).unedited());
    press(&mut window, Modifiers::NONE, Key::Num4);
    settle(&mut window);
    click(&mut window, "Swap");
    assert_eq!(edit(&window), unedited);
    click(&mut window, "Swap");
    assert_eq!(edit(&window), edited);
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(edit(&window), unedited);
    let line = "Line between A and B, in percent";
    slider(&window, line).focus();
    window.run_steps(2);
    press(&mut window, Modifiers::NONE, Key::ArrowLeft);
    press(&mut window, Modifiers::NONE, Key::ArrowLeft);
    assert_eq!(slider(&window, line).accesskit_node().numeric_value(), Some(48.0));
}

/// Half of each picture on its side of the line, and no difference where both are the same.
#[test]
fn the_pixels_of_both_sides_are_those_of_their_edits() {
    let devices = super::super::support::devices();
    let Some(setup) = devices.iter().find_map(RenderDevice::wgpu).cloned() else { return };
    for device in devices {
        let mut window = window_on(&setup, device);
        let unedited = rgba(&window, &setup);
        drag(&mut window, "Direction 1", 40.0);
        let edited = rgba(&window, &setup);
        press(&mut window, Modifiers::NONE, Key::Num4);
        press(&mut window, Modifiers::NONE, Key::Num0);
        settle(&mut window);
        let [width, height] = window.state().frame().unwrap().size;
        let half = |picture: &[u8], columns: std::ops::Range<usize>| -> Vec<u8> {
            picture.chunks_exact(width * 4).flat_map(|row| row[columns.start * 4..columns.end * 4].to_vec()).collect()
        };
        // The line and its shade take a few pixels around the middle.
        let columns = [0..width / 2 - 8, width / 2 + 8..width];
        let size = [width / 2 - 8, height];
        let wiped = [half(&unedited, columns[0].clone()), half(&edited, columns[1].clone())];
        let seen = |window: &mut Window, part: &[u8]| super::shows_part(window, part, size);
        assert_eq!([seen(&mut window, &wiped[0]), seen(&mut window, &wiped[1])], [true, true]);
        click(&mut window, "Difference");
        settle(&mut window);
        assert!(!seen(&mut window, &wiped[0]) && !seen(&mut window, &wiped[1]));
        // Nothing is moved any more: both are one picture, and the difference is black.
        press(&mut window, Modifiers::COMMAND, Key::Z);
        let unmoved: Edit = edit(&window);
        assert_eq!(unmoved, unmoved.unedited());
        settle(&mut window);
        let black = [0, 0, 0, 255].repeat(size[0] * size[1]);
        assert!(seen(&mut window, &black));
    }
}

#[test]
fn what_a_view_shows_is_exported_in_full_size() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["samples", "compared"].map(|name| folder.path().join(format!("{name}.png")));
    let mut window = toy_heads(paths.clone());
    let export = |window: &mut Window, path: &std::path::Path| {
        click(window, "Export this view");
        wait_until(window, "the export", |app: &App| app.is_settled() && path.exists());
        image::open(path).unwrap().into_rgba8()
    };
    press(&mut window, Modifiers::NONE, Key::Num2);
    settle(&mut window);
    let samples = export(&mut window, &paths[0]);
    assert!(samples.width() > 4 * 128 && samples.height() > 4 * 128, "{:?}", samples.dimensions());
    press(&mut window, Modifiers::NONE, Key::Num4);
    drag(&mut window, "Direction 1", 40.0);
    let compared = export(&mut window, &paths[1]);
    let shown = super::pixels(&window);
    let [width, height] = window.state().frame().unwrap().size;
    let part =
        |at: (u32, u32)| image::imageops::crop_imm(&compared, at.0, at.1, width as u32, height as u32).to_image();
    let places = (0..compared.width() - width as u32).flat_map(|x| (0..24).map(move |y| (x, y)));
    let rgb = |picture: image::RgbaImage| image::DynamicImage::from(picture).into_rgb8().into_raw();
    assert!(places.into_iter().any(|at| rgb(part(at)) == shown), "B is the picture of the edit, pixel for pixel");
}

#[test]
fn the_sheet_is_exported_as_a_page_and_as_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["sheet.html", "sheet.png"].map(|name| folder.path().join(name));
    let mut window = toy_heads(paths.clone());
    press(&mut window, Modifiers::NONE, Key::Num3);
    click(&mut window, "3 steps along every direction");
    settle(&mut window);
    for path in &paths {
        click(&mut window, "Export this view");
        wait_until(&mut window, "the sheet", |app: &App| app.is_settled() && path.exists());
    }
    let page = std::fs::read_to_string(&paths[0]).unwrap();
    assert!(page.contains("hair length") && !page.contains("http://"), "ten directions with their names");
    let picture = image::open(&paths[1]).unwrap();
    assert!(picture.width() > 3 * 128 && picture.height() > 10 * 128, "{}x{}", picture.width(), picture.height());
}
