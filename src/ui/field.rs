//! Fields for text, quiet until they are pointed at.

use egui::{Align, Align2, Color32, Id, Key, Response, Stroke, TextEdit, Ui, vec2};

use super::number::select_all;
use super::style;

/// A line of text that is committed with Enter or by leaving the field, and taken back with Escape.
pub struct TextField<'a> {
    /// Accessible name.
    pub name: &'a str,
    /// Shown, weakly, while the field is empty.
    pub hint: &'a str,
    pub width: f32,
    /// Looks like a label until it is pointed at.
    pub quiet: bool,
    pub align: Align,
}

impl TextField<'_> {
    /// Returns the text when it is committed; `id` must be the same in every frame.
    pub fn show(&self, ui: &mut Ui, id: Id, current: &str) -> (Response, Option<String>) {
        let editing: Option<String> = ui.data(|data| data.get_temp(id));
        let mut text = editing.clone().unwrap_or_else(|| current.to_owned());
        let colours = style::palette(ui);
        let output = ui.scope(|ui| {
            if self.quiet {
                let hovered = ui.read_response(id).is_some_and(|response| response.hovered());
                let visuals = ui.visuals_mut();
                let shown = editing.is_some() || hovered;
                visuals.text_edit_bg_color = Some(if shown { colours.field } else { Color32::TRANSPARENT });
                visuals.widgets.inactive.bg_stroke = Stroke::NONE;
                visuals.widgets.hovered.bg_stroke = Stroke::NONE;
            }
            style::accent_outline(ui);
            ui.visuals_mut().weak_text_color = Some(colours.text_weak);
            ui.spacing_mut().button_padding = vec2(style::GRID, 2.0);
            let edit = TextEdit::singleline(&mut text)
                .id(id)
                .hint_text(self.hint.to_owned())
                .desired_width(self.width - 2.0 * style::GRID)
                .min_size(vec2(self.width, style::ROW - 2.0))
                .align(Align2([self.align, Align::Center]))
                .char_limit(200);
            ui.add(edit)
        });
        let response = output.inner.accessible_name(self.name);
        if response.gained_focus() {
            select_all(ui, id, &text);
        }
        let mut committed = None;
        if response.has_focus() {
            ui.data_mut(|data| data.insert_temp(id, text));
        } else if editing.is_some() {
            ui.data_mut(|data| data.remove::<String>(id));
            if response.lost_focus() && !ui.input(|input| input.key_pressed(Key::Escape)) && text != current {
                committed = Some(text);
            }
        }
        (response, committed)
    }
}
