//! A matrix of numbers in colour: pointed at or gone to by keys, each cell says its number and leads to a direction.

use egui::{
    Align2, Color32, EventFilter, FontId, Id, Key, Modifiers, Rect, Role, ScrollArea, Sense, StrokeKind, Ui, Vec2,
    WidgetInfo, epaint::TextShape, pos2, vec2,
};

use super::keyboard::leave_space_free;
use super::style;

/// What is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    pub rows: Vec<String>,
    pub columns: Vec<String>,
    /// Row by row; `None` stays without colour.
    pub values: Vec<Option<f64>>,
    /// Whatever is as large as that, positive or negative, has the full colour.
    pub largest: f64,
    /// What the number is, for whoever points at a cell: "cosine".
    pub what: &'static str,
}

/// Where the keyboard is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cursor {
    row: usize,
    column: usize,
}

/// Sides of a cell, in points; narrower cells have no number in them.
const WIDTHS: [f32; 2] = [20.0, 64.0];
const NUMBERED: f32 = 38.0;
/// Room for the names of rows, and most for those of columns.
const LABEL: f32 = 148.0;
const HEAD: f32 = 104.0;
/// Names of columns that are longer than that are words, and run upwards.
const SHORT: usize = 5;

impl Matrix {
    fn value(&self, at: Cursor) -> Option<f64> {
        self.values.get(at.row * self.columns.len() + at.column).copied().flatten()
    }

    fn text(&self, at: Cursor) -> String {
        let (row, column) = (&self.rows[at.row], &self.columns[at.column]);
        let number = self.value(at).map_or_else(|| "not known".to_owned(), |value| format!("{value:+.3}"));
        format!("{row}, {column}: {} {number}", self.what)
    }

    /// Fills `ui`; returns the cell that was clicked, or chosen by Enter, as row and column.
    pub fn show(&self, ui: &mut Ui, cursor: &mut Cursor) -> Option<(usize, usize)> {
        if self.rows.is_empty() || self.columns.is_empty() {
            return None;
        }
        cursor.row = cursor.row.min(self.rows.len() - 1);
        cursor.column = cursor.column.min(self.columns.len() - 1);
        let room = ui.available_width() - LABEL - 4.0 * style::GRID;
        let width = (room / self.columns.len() as f32).clamp(WIDTHS[0], WIDTHS[1]).floor();
        let cell = vec2(width, style::ROW);
        let is_words = self.columns.iter().any(|name| name.chars().count() > SHORT);
        let head = if is_words { HEAD } else { style::ROW };
        let scroll = ScrollArea::both().id_salt("matrix").auto_shrink(false);
        scroll.show(ui, |ui| self.cells_ui(ui, cursor, cell, head, is_words)).inner
    }

    fn cells_ui(
        &self,
        ui: &mut Ui,
        cursor: &mut Cursor,
        cell: Vec2,
        head: f32,
        is_words: bool,
    ) -> Option<(usize, usize)> {
        let size = vec2(
            LABEL + cell.x * self.columns.len() as f32 + if is_words { HEAD / 2.0 } else { 0.0 },
            head + cell.y * self.rows.len() as f32,
        );
        let (area, response) = ui.allocate_exact_size(size, Sense::click());
        let corner = area.min + vec2(LABEL, head);
        let place = |at: Cursor| {
            Rect::from_min_size(corner + cell * vec2(at.column as f32, at.row as f32), cell - Vec2::splat(1.0))
        };
        let pointed = response.hover_pos().and_then(|pointer| {
            let at = (pointer - corner) / cell;
            let inside = at.x >= 0.0 && at.y >= 0.0;
            let at = Cursor { row: at.y.max(0.0) as usize, column: at.x.max(0.0) as usize };
            (inside && at.row < self.rows.len() && at.column < self.columns.len()).then_some(at)
        });
        let chosen = self.follow_keys(ui, response.id, response.has_focus(), cursor);
        response.widget_info(|| {
            WidgetInfo::labeled(Role::Button, ui.is_enabled(), format!("Matrix, {}", self.text(*cursor)))
        });
        self.paint(ui, place, cell, is_words);
        let colours = style::palette(ui);
        if response.has_focus() {
            leave_space_free(ui, &response);
            ui.painter().rect_stroke(place(*cursor).expand(1.0), 0.0, (2.0, colours.accent), StrokeKind::Inside);
            if chosen.is_some() || ui.input(|input| input.keys_down.iter().any(|key| key.name().starts_with("Arrow"))) {
                ui.scroll_to_rect(place(*cursor), None);
            }
        }
        if let Some(at) = pointed {
            ui.painter().rect_stroke(place(at), 0.0, (1.0, colours.text_strong), StrokeKind::Inside);
        }
        let clicked = response.clicked().then_some(pointed).flatten();
        if let Some(at) = pointed {
            response.on_hover_text_at_pointer(format!("{}\nClick, or Enter, to go to the slider", self.text(at)));
        }
        let taken = clicked.or(chosen)?;
        *cursor = taken;
        Some((taken.row, taken.column))
    }

    /// Arrow keys go from cell to cell; Enter chooses one.
    fn follow_keys(&self, ui: &Ui, id: Id, has_focus: bool, cursor: &mut Cursor) -> Option<Cursor> {
        if !has_focus {
            return None;
        }
        let filter = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(id, filter));
        let pressed = |key| ui.input_mut(|input| input.count_and_consume_key(Modifiers::NONE, key));
        let (down, up) = (pressed(Key::ArrowDown), pressed(Key::ArrowUp));
        let (right, left) = (pressed(Key::ArrowRight), pressed(Key::ArrowLeft));
        cursor.row = (cursor.row + down).saturating_sub(up).min(self.rows.len() - 1);
        cursor.column = (cursor.column + right).saturating_sub(left).min(self.columns.len() - 1);
        (pressed(Key::Enter) > 0).then_some(*cursor)
    }

    fn paint(&self, ui: &Ui, place: impl Fn(Cursor) -> Rect, cell: Vec2, is_words: bool) {
        let colours = style::palette(ui);
        let (painter, clip) = (ui.painter(), ui.clip_rect());
        let font = FontId::proportional(style::SMALL_TEXT);
        for (row, name) in self.rows.iter().enumerate() {
            let at = place(Cursor { row, column: 0 });
            if !clip.y_range().intersects(at.y_range()) {
                continue;
            }
            let text = fitted(painter, name, LABEL - 2.0 * style::GRID);
            painter.text(
                at.left_center() - vec2(style::GRID, 0.0),
                Align2::RIGHT_CENTER,
                text,
                font.clone(),
                colours.text,
            );
            for column in 0..self.columns.len() {
                let at = Cursor { row, column };
                let (rect, value) = (place(at), self.value(at));
                let share = value.map_or(0.0, |value| (value / self.largest.max(f64::MIN_POSITIVE)) as f32);
                painter.rect_filled(rect, 0.0, style::signed_heat(share, colours.field));
                if let Some(value) = value.filter(|_| cell.x >= NUMBERED) {
                    let ink = if share.abs() > 0.55 { Color32::BLACK } else { colours.text };
                    painter.text(rect.center(), Align2::CENTER_CENTER, format!("{value:.2}"), font.clone(), ink);
                }
            }
        }
        for (column, name) in self.columns.iter().enumerate() {
            let at = place(Cursor { row: 0, column });
            if is_words {
                let text = fitted(painter, name, HEAD * 1.2);
                let galley = painter.layout_no_wrap(text, font.clone(), colours.text);
                let origin = pos2(at.left() + at.width() * 0.3, at.top() - galley.size().y / 2.0 - style::GRID);
                painter.add(TextShape::new(origin, galley, colours.text).with_angle(-std::f32::consts::FRAC_PI_3));
            } else {
                let above = pos2(at.center().x, at.top() - style::ROW / 2.0);
                painter.text(above, Align2::CENTER_CENTER, name, font.clone(), colours.text_weak);
            }
        }
    }
}

/// As much of a text as has room, with dots where some is left out.
fn fitted(painter: &egui::Painter, text: &str, room: f32) -> String {
    let width =
        |text: String| painter.layout_no_wrap(text, FontId::proportional(style::SMALL_TEXT), Color32::WHITE).size().x;
    if width(text.to_owned()) <= room {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let some = |count: usize| letters[..count].iter().collect::<String>() + "…";
    (0..letters.len()).rev().map(some).find(|text| width(text.clone()) <= room).unwrap_or_default()
}
