//! The sheet of keys on F1.

use egui::{
    Align, Align2, Context, Frame, Grid, Id, LayerId, Layout, Popup, PopupAnchor, PopupCloseBehavior, PopupKind,
    RectAlign, Ui,
};

use super::command::Menu;
use super::icons::{Icon, icon_button};
use super::style;

/// What the pointer and unlisted keys do.
const GESTURES: [(&str, &str); 14] = [
    ("Space", "Compare, while held"),
    ("Wheel on a slider", "Step; Shift fine, Ctrl coarse"),
    ("Arrows on a slider", "Step; Shift fine, Ctrl coarse"),
    ("Shift while dragging", "Ten times finer"),
    ("Ctrl while dragging", "Round values"),
    ("Double-click, Delete", "Reset the slider"),
    ("Click on a number", "Type any value"),
    ("Tab, Shift+Tab", "Next, previous control"),
    ("Wheel on the picture", "Zoom at the pointer"),
    ("Drag the picture", "Pan; double-click fits"),
    ("Shift+click on a sample", "Keep it on the shelf"),
    ("Arrows, Enter, F2, Delete", "On the shelf: go, restore, name, remove"),
    ("Drop a file", "Open it"),
    ("Ctrl+Plus, Minus, 0", "Size of the whole window's text"),
];

const WIDTH: f32 = 752.0;

/// Shows the sheet while it is open. As a popup of the panels it closes with Escape or a click beside it, and their tooltips
/// keep away from it.
pub fn shortcuts_ui(ctx: &Context, open: &mut bool) {
    let middle = PopupAnchor::Position(ctx.content_rect().center());
    let popup = Popup::new(Id::unique("keyboard shortcuts"), ctx.clone(), middle, LayerId::background());
    let centred = RectAlign { parent: Align2::CENTER_CENTER, child: Align2::CENTER_CENTER };
    let mut stays = true;
    let popup = popup
        .kind(PopupKind::Popup)
        .align(centred)
        .align_alternatives(&[])
        .width(WIDTH)
        .frame(Frame::popup(&ctx.global_style()).inner_margin(12))
        .accessible_name("Keyboard shortcuts")
        .close_behavior(PopupCloseBehavior::CloseOnClickOutside)
        .open_bool(open);
    popup.show(|ui| {
        ui.set_min_width(WIDTH);
        stays = !heading_ui(ui);
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = 28.0;
            for menus in [&Menu::ALL[..2], &Menu::ALL[2..]] {
                ui.vertical(|ui| menus.iter().for_each(|menu| menu_ui(ui, *menu)));
            }
            ui.vertical(|ui| {
                style::section(ui, "Pointer and sliders");
                list_ui(ui, "gestures", GESTURES.iter().map(|&(keys, what)| (keys.to_owned(), what)));
            });
        });
    });
    *open &= stays;
}

/// Returns true if the sheet is to be closed.
fn heading_ui(ui: &mut Ui) -> bool {
    let heading = ui.horizontal(|ui| {
        ui.strong("Keyboard shortcuts");
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            icon_button(ui, Icon::Cross, "Close the keyboard shortcuts", "Closes this sheet (Escape)").clicked()
        })
        .inner
    });
    ui.separator();
    heading.inner
}

fn menu_ui(ui: &mut Ui, menu: Menu) {
    style::section(ui, menu.title());
    let commands = menu.commands().iter().flatten().filter(|command| !command.shortcuts().is_empty());
    let ctx = ui.ctx().clone();
    list_ui(ui, menu.title(), commands.map(|command| (command.keys(&ctx), command.text().trim_end_matches('…'))));
    ui.add_space(8.0);
}

fn list_ui<'a>(ui: &mut Ui, id: &str, rows: impl Iterator<Item = (String, &'a str)>) {
    Grid::new(id).num_columns(2).spacing([12.0, 3.0]).show(ui, |ui| {
        for (keys, what) in rows {
            ui.weak(keys);
            ui.label(what);
            ui.end_row();
        }
    });
}
