//! What the user knows about a direction: the menu of its row.

use std::sync::Arc;

use egui::{
    Align2, FontId, Key, Popup, PopupCloseBehavior, Response, Role, Sense, SetOpenCommand, Ui, WidgetInfo, pos2, vec2,
};

use super::document::Document;
use super::icons::{self, Icon};
use super::number::{Digits, number_box};
use super::style;
use crate::edit::Direction;
use crate::library::MAX_NOTE;

/// Width of a row's number, with room for a star.
const NUMBER: f32 = 28.0;
/// Width of the menu.
const WIDTH: f32 = 200.0;

/// The number of a row, with its star: a button that opens the menu. `called` names the direction.
pub fn about_ui(ui: &mut Ui, number: usize, called: &str, starred: bool, hidden: bool) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(NUMBER, style::ROW), Sense::click());
    let marks = [(starred, ", starred"), (hidden, ", hidden")].map(|(is_on, text)| if is_on { text } else { "" });
    let name = format!("About {called}{}", marks.concat());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, ui.is_enabled(), &name));
    let colours = style::palette(ui);
    let strong = response.hovered() || response.has_focus();
    let (font, at) = (FontId::proportional(style::SMALL_TEXT), pos2(rect.right(), rect.center().y));
    let colour = if strong { colours.text_strong } else { colours.text_weak };
    ui.painter().text(at, Align2::RIGHT_CENTER, number.to_string(), font, colour);
    if starred {
        icons::paint(ui.painter(), Icon::Star, pos2(rect.left() + 5.0, rect.center().y), colours.accent);
    }
    response
}

/// The menu of a row, opened by its number, or by the other mouse button anywhere in the row (`asked`). Its first mark has the
/// focus then, and the number has it again after Escape.
pub fn menu_ui(
    button: &Response,
    asked: bool,
    called: &str,
    document: &mut Document,
    direction: &Arc<Direction>,
    customary: f32,
) {
    let id = Popup::default_response_id(button);
    let was_open = Popup::is_id_open(&button.ctx, id);
    let open = match (button.clicked(), asked || button.secondary_clicked()) {
        (true, _) => Some(SetOpenCommand::Toggle),
        (false, true) => Some(SetOpenCommand::Bool(true)),
        (false, false) => None,
    };
    let menu = Popup::menu(button).open_memory(open).close_behavior(PopupCloseBehavior::CloseOnClickOutside);
    let menu = menu.accessible_name(format!("What is known about {called}"));
    menu.show(|ui| known_ui(ui, called, document, direction, customary, !was_open));
    let escaped = was_open && button.ctx.input(|input| input.key_pressed(Key::Escape));
    if escaped && !Popup::is_id_open(&button.ctx, id) {
        button.request_focus();
    }
}

fn known_ui(
    ui: &mut Ui,
    called: &str,
    document: &mut Document,
    direction: &Arc<Direction>,
    customary: f32,
    is_new: bool,
) {
    let mut known = document.known(direction).clone();
    ui.set_min_width(WIDTH);
    ui.label(egui::RichText::new(called).strong());
    let marks = [
        (&mut known.star, "Star", "One of those that matter"),
        (&mut known.hidden, "Hide", "Takes the row out of the list; its move stays"),
        (&mut known.obvious, "Obvious", "One sees at once that something changes"),
        (&mut known.meaningful, "Meaningful", "What changes is one thing that has a name"),
    ];
    for (place, (mark, text, hint)) in marks.into_iter().enumerate() {
        let mark = ui.checkbox(mark, text).on_hover_text(hint);
        if is_new && place == 0 {
            mark.request_focus();
        }
    }
    ui.horizontal(|ui| {
        ui.label("Slider to ±");
        let mut value = known.range.unwrap_or(customary);
        let changed = number_box(ui, &mut value, 0.02, Digits::AtMost(2), "Slider to").changed();
        if changed && value > 0.0 {
            known.range = Some(value);
        }
        let reset = ui.add_enabled(known.range.is_some(), egui::Button::new("Customary").small());
        if reset.on_hover_text("As far as the model's other sliders").clicked() {
            known.range = None;
        }
    });
    let label = ui.label("Note").id;
    let note = egui::TextEdit::multiline(&mut known.note).desired_rows(2).desired_width(WIDTH).char_limit(MAX_NOTE);
    ui.add(note).labelled_by(label);
    if known != *document.known(direction) {
        document.learn(direction, |own| *own = known);
    }
}
