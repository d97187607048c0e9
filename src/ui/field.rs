//! Fields for text and numbers, quiet until they are pointed at.

use egui::{Align, Align2, Color32, DragValue, Id, Key, Response, Stroke, TextEdit, Ui, vec2};

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
            ui.visuals_mut().weak_text_color = Some(colours.text_faint);
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

fn select_all(ui: &Ui, id: Id, text: &str) {
    use egui::text::{CCursor, CCursorRange};
    let mut state = TextEdit::load_state(ui.ctx(), id).unwrap_or_default();
    let range = CCursorRange::two(CCursor::new(0), CCursor::new(text.chars().count()));
    state.cursor.set_char_range(Some(range));
    TextEdit::store_state(ui.ctx(), id, state);
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digits {
    /// With its sign and one or two decimals: a distance along a direction.
    Signed,
    Plain(usize),
    /// A whole number; this one and above are written "all".
    UpTo(usize),
}

/// A number that can be typed (any value) or dragged. Changes when typing ends, not with every key.
pub fn number(ui: &mut Ui, value: &mut f32, speed: f32, digits: Digits, name: &str) -> Response {
    let write = |value: f64, _: std::ops::RangeInclusive<usize>| match digits {
        Digits::Signed => signed(value as f32),
        Digits::Plain(decimals) => format!("{value:.decimals$}"),
        Digits::UpTo(all) if value >= all as f64 => "all".to_owned(),
        Digits::UpTo(_) => format!("{value:.0}"),
    };
    let response = ui.scope(|ui| {
        let visuals = ui.visuals_mut();
        visuals.widgets.inactive.weak_bg_fill = Color32::TRANSPARENT;
        ui.spacing_mut().button_padding = vec2(style::GRID, 2.0);
        let field = DragValue::new(value)
            .speed(speed)
            .range(-1.0e4..=1.0e4)
            .custom_formatter(write)
            .update_while_editing(false)
            .clip_text(true)
            // Takes the spare room, so that numbers end at the right edge.
            .prefix(egui::Atom::grow())
            .min_size(vec2(style::VALUE_COLUMN, style::ROW - 2.0));
        ui.add(field).accessible_name(name)
    });
    response.inner
}

/// A distance as text: "+1.4", "−0.25", "0.0".
pub fn signed(value: f32) -> String {
    let tenths = (value * 10.0).round() / 10.0;
    let text = if (value - tenths).abs() < 1e-4 { format!("{value:+.1}") } else { format!("{value:+.2}") };
    if value == 0.0 { "0.0".to_owned() } else { text.replace('-', "−") }
}

#[cfg(test)]
mod tests {
    use super::signed;

    #[test]
    fn distances_have_a_sign_and_no_needless_digits() {
        assert_eq!([signed(1.4), signed(-0.25), signed(0.0), signed(12.0)], ["+1.4", "−0.25", "0.0", "+12.0"]);
    }
}
