//! The sheet of directions: what each of them does to the present sample, from one end of its slider to the other.

use std::sync::Arc;

use egui::{
    Align, Align2, EventFilter, FontId, Id, Key, Modifiers, Rect, Role, ScrollArea, Sense, StrokeKind, Ui, Vec2,
    WidgetInfo, pos2, vec2,
};

use super::document::Document;
use super::field::TextField;
use super::keyboard::leave_space_free;
use super::known::{about_ui, menu_ui};
use super::segments::{Segment, segments_ui};
use super::semantics::{capitalised, title, visible};
use super::strips::{edit_at, value_text};
use super::style;
use super::tiles::{Tiles, Want};
use crate::directions::DirectionSet;
use crate::edit::Direction;
use crate::generator::ModelInfo;

/// Between the pictures.
const GAP: f32 = 2.0;
/// Steps from one end of a slider to the other; odd, so that one is the middle.
const STEPS: [usize; 4] = [3, 5, 7, 9];
const SEGMENT: f32 = 24.0;
/// Width of the column of names.
const LABEL: f32 = 132.0;
/// Height of the line with the values.
const HEAD: f32 = 18.0;
/// Smallest and largest side of a picture, in points.
const CELL: [f32; 2] = [40.0, 192.0];

/// How the sheet is shown.
#[derive(Debug)]
pub struct SheetView {
    /// Steps in a row, one of [`STEPS`].
    steps: usize,
    /// The picture that the keyboard is at: row among those shown, and step.
    cursor: (usize, usize),
}

impl Default for SheetView {
    fn default() -> Self {
        SheetView { steps: 7, cursor: (0, 3) }
    }
}

/// What the sheet shows of the window's state.
pub struct Sheet<'a> {
    pub info: &'a ModelInfo,
    pub set: &'a DirectionSet,
    pub shows_hidden: bool,
}

/// The pictures of a row.
struct Cells {
    /// In points.
    size: Vec2,
    steps: usize,
    /// The one that the keyboard is at.
    marked: Option<usize>,
}

/// A row of the sheet.
struct Row<'a> {
    index: usize,
    direction: &'a Arc<Direction>,
    title: String,
    range: f32,
}

impl SheetView {
    /// Steps in a row.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The controls in the bar, from the right.
    pub fn bar_ui(&mut self, ui: &mut Ui) {
        let texts = STEPS.map(|steps| (steps.to_string(), format!("{steps} steps along every direction")));
        let segments: Vec<Segment<'_>> = STEPS
            .iter()
            .zip(&texts)
            .map(|(&steps, (text, name))| Segment { text, name, tooltip: name, enabled: true, on: steps == self.steps })
            .collect();
        if let Some(at) = segments_ui(ui, SEGMENT * segments.len() as f32, &segments) {
            self.steps = STEPS[at];
        }
        ui.weak("Steps");
    }

    /// The sheet; it fills `ui`. A picture that is clicked becomes the edit's.
    pub fn show(&mut self, ui: &mut Ui, sheet: &Sheet<'_>, document: &mut Document, tiles: &mut Tiles) {
        let area = ui.available_rect_before_wrap();
        ui.painter().rect_filled(area, 0.0, style::palette(ui).surround);
        let steps = self.steps;
        let room = area.width() - LABEL - style::GRID * 6.0 - GAP * (steps - 1) as f32;
        let width = (room / steps as f32).clamp(CELL[0], CELL[1]).floor();
        let cell = vec2(width, (width * sheet.info.size.height as f32 / sheet.info.size.width as f32).round());
        let rows: Vec<usize> = visible(document, sheet.set, sheet.shows_hidden);
        let mut child =
            ui.new_child(egui::UiBuilder::new().max_rect(area.shrink2(vec2(style::GRID * 2.0, style::GRID))));
        let ui = &mut child;
        let taken = self.keys_ui(ui, area, sheet, &rows, document);
        let first = sheet.set.directions.first();
        let customary = first.map_or(sheet.info.slider_range, |first| first.customary_range(sheet.info.slider_range));
        self.head_ui(ui, cell.x, customary);
        let height = cell.y + GAP;
        let mut scroll = ScrollArea::vertical().id_salt("sheet").auto_shrink(false);
        if let Some(offset) = self.scrolled_to(ui, height, taken.moved) {
            scroll = scroll.vertical_scroll_offset(offset);
        }
        ui.spacing_mut().item_spacing.y = 0.0;
        let shown = scroll.show_rows(ui, height, rows.len(), |ui, range| {
            let mut clicked = None;
            for place in range {
                let index = rows[place];
                let direction = &sheet.set.directions[index];
                let range = document.range_of(direction, sheet.info);
                let row = Row { index, direction, title: title(document, direction), range };
                let marked = (taken.has_focus && self.cursor.0 == place).then_some(self.cursor.1);
                let cells = Cells { size: cell, steps, marked };
                let value = ui.push_id(index, |ui| row_ui(ui, sheet, &row, &cells, document, tiles)).inner;
                clicked = clicked.or(value.map(|value| (index, value)));
            }
            clicked
        });
        if let Some((index, value)) = shown.inner.or(taken.value) {
            document.set(&sheet.set.directions[index], value);
        }
        ui.data_mut(|data| data.insert_temp(seen_id(), (shown.state.clamped_offset().y, shown.inner_rect.height())));
    }

    /// The sheet as one stop of the keyboard: arrows go from picture to picture, Enter takes one.
    fn keys_ui(&mut self, ui: &mut Ui, area: Rect, sheet: &Sheet<'_>, rows: &[usize], document: &Document) -> Keys {
        let response = ui.interact(area, Id::unique("sheet of directions"), Sense::focusable_noninteractive());
        let steps = self.steps;
        self.cursor = (self.cursor.0.min(rows.len().saturating_sub(1)), self.cursor.1.min(steps - 1));
        let at = rows.get(self.cursor.0).map(|&index| {
            let direction = &sheet.set.directions[index];
            let range = document.range_of(direction, sheet.info);
            (index, value_at(self.cursor.1, steps, range), title(document, direction))
        });
        let name = match &at {
            Some((_, value, title)) => format!("Sheet of directions, {title} at {}", value_text(*value)),
            None => "Sheet of directions".to_owned(),
        };
        response.widget_info(|| WidgetInfo::labeled(Role::Grid, ui.is_enabled(), &name));
        let mut keys = Keys { has_focus: response.has_focus(), ..Keys::default() };
        if !keys.has_focus {
            return keys;
        }
        leave_space_free(ui, &response);
        let filter = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
        let pressed = |key| ui.input_mut(|input| input.consume_key(Modifiers::NONE, key));
        let before = self.cursor;
        let (row, step) = &mut self.cursor;
        *step = (*step + usize::from(pressed(Key::ArrowRight)))
            .min(steps - 1)
            .saturating_sub(usize::from(pressed(Key::ArrowLeft)));
        let last = rows.len().saturating_sub(1);
        *row =
            (*row + usize::from(pressed(Key::ArrowDown))).min(last).saturating_sub(usize::from(pressed(Key::ArrowUp)));
        if pressed(Key::Home) {
            *row = 0;
        }
        if pressed(Key::End) {
            *row = last;
        }
        keys.moved = self.cursor != before;
        keys.value = at.filter(|_| pressed(Key::Enter)).map(|(index, value, _)| (index, value));
        keys
    }

    /// Where the sheet is to be scrolled so that the cursor is in sight; `None` if it is or was not moved.
    fn scrolled_to(&self, ui: &Ui, height: f32, moved: bool) -> Option<f32> {
        let (offset, room) = ui.data(|data| data.get_temp::<(f32, f32)>(seen_id())).filter(|_| moved)?;
        let top = self.cursor.0 as f32 * height;
        let offset_wanted = offset.min(top).max(top + height - room);
        (offset_wanted != offset).then_some(offset_wanted.max(0.0))
    }

    /// The values of the columns.
    fn head_ui(&self, ui: &mut Ui, width: f32, range: f32) {
        let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), HEAD), Sense::hover());
        let colour = style::palette(ui).text_weak;
        for step in 0..self.steps {
            let x = rect.left() + LABEL + GAP + (width + GAP) * step as f32 + width / 2.0;
            let text = value_text(value_at(step, self.steps, range));
            let font = FontId::proportional(style::SMALL_TEXT);
            ui.painter().text(pos2(x, rect.center().y), Align2::CENTER_CENTER, text, font, colour);
        }
    }
}

/// What the keyboard did to the sheet.
#[derive(Default)]
struct Keys {
    has_focus: bool,
    moved: bool,
    /// A direction, by its place in the set, and the value it is to have.
    value: Option<(usize, f32)>,
}

fn seen_id() -> Id {
    Id::unique("what is seen of the sheet")
}

/// One direction: its name, and its pictures. Returns the value of one that was clicked.
fn row_ui(
    ui: &mut Ui,
    sheet: &Sheet<'_>,
    row: &Row<'_>,
    cells: &Cells,
    document: &mut Document,
    tiles: &mut Tiles,
) -> Option<f32> {
    let &Cells { size: cell, steps, marked } = cells;
    let corner = ui.cursor().min;
    let (whole, _) = ui.allocate_exact_size(vec2(ui.available_width(), cell.y + GAP), Sense::hover());
    let label = Rect::from_min_size(corner, vec2(LABEL, cell.y));
    label_ui(ui, label, sheet, row, document);
    let present = document.edit.along(row.direction).filter(|step| step.enabled).map_or(0.0, |step| step.value);
    let nearest = nearest_step(present, row.range, steps);
    let pixels = (cell.max_elem() * ui.pixels_per_point()).round().max(1.0) as usize;
    let anchor = ui.input(|input| input.pointer.hover_pos()).filter(|at| ui.clip_rect().contains(*at));
    let anchor = anchor.unwrap_or(pos2(whole.center().x, ui.clip_rect().top()));
    let mut clicked = None;
    for step in 0..steps {
        let value = value_at(step, steps, row.range);
        let left = corner.x + LABEL + GAP + (cell.x + GAP) * step as f32;
        let place = Rect::from_min_size(pos2(left, corner.y), cell);
        // Row by row, the nearest first.
        let urgency = 10.0 * (place.center().y - anchor.y).abs() + (place.center().x - anchor.x).abs();
        let want = Want { edit: edit_at(&document.edit, row.direction, value), side: pixels, urgency, live: false };
        let id = ui.scope_id().with(("tile", step));
        let shown = tiles.show(id, want);
        let response = ui.interact(place, id, Sense::CLICK);
        let colours = style::palette(ui);
        tiles.paint(ui, place, shown.as_ref(), true);
        if marked == Some(step) || response.hovered() {
            ui.painter().rect_stroke(place, 0.0, (2.0, colours.text_strong), StrokeKind::Inside);
        } else if step == nearest {
            ui.painter().rect_stroke(place, 0.0, (1.0, colours.accent), StrokeKind::Inside);
        }
        let text = format!("{} at {}", capitalised(&row.title), value_text(value));
        response.widget_info(|| WidgetInfo::selected(Role::Button, ui.is_enabled(), step == nearest, &text));
        if response.on_hover_text(format!("{text}\nClick to take it")).clicked() {
            clicked = Some(value);
        }
    }
    clicked
}

/// The name of a row, with its number, star and menu, and how much the direction does.
fn label_ui(ui: &mut Ui, place: Rect, sheet: &Sheet<'_>, row: &Row<'_>, document: &mut Document) {
    let mut child = ui.new_child(egui::UiBuilder::new().max_rect(place).id_salt("label"));
    let ui = &mut child;
    let known = document.known(row.direction).clone();
    let name = document.name_of(row.direction).to_owned();
    ui.add_space(((place.height() - style::ROW * 1.6) / 2.0).max(0.0));
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = style::GRID;
        let about = about_ui(ui, row.index + 1, &row.title, known.star, known.hidden);
        let called = format!("Name of {} in the sheet", row.direction.origin);
        let width = ui.available_width() - style::GRID;
        let hint = if name.is_empty() { "unnamed" } else { "" };
        let field = TextField { name: &called, hint, width, quiet: true, align: Align::Min };
        let id = Id::unique(("name in the sheet", &sheet.set.layers, &sheet.set.method, row.index));
        let (response, typed) = field.show(ui, id, &name);
        if let Some(typed) = typed {
            document.rename(row.direction, typed.trim());
        }
        let customary = row.direction.customary_range(sheet.info.slider_range);
        menu_ui(&about, response.secondary_clicked(), &row.title, document, row.direction, customary);
    });
    if let Some(share) = sheet.set.scores.share(row.index).filter(|_| place.height() >= style::ROW * 1.6) {
        let font = FontId::proportional(style::SMALL_TEXT);
        let at = pos2(ui.cursor().left() + 32.0, ui.cursor().top() + 5.0);
        let colour = style::palette(ui).text_weak;
        ui.painter().text(at, Align2::LEFT_CENTER, format!("{:.1} %", share * 100.0), font, colour);
    }
}

/// The value of a step, from `-range` to `range`; the middle one is exactly 0.
fn value_at(step: usize, steps: usize, range: f32) -> f32 {
    let half = (steps / 2) as f32;
    (step as f32 - half) / half * range
}

fn nearest_step(value: f32, range: f32, steps: usize) -> usize {
    let distance = |step: &usize| (value_at(*step, steps, range) - value).abs();
    (0..steps).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_from_end_to_end_through_zero() {
        assert_eq!(STEPS.map(|steps| value_at(steps / 2, steps, 7.3)), [0.0; 4]);
        assert_eq!([0, 3, 6].map(|step| value_at(step, 7, 15.0)), [-15.0, 0.0, 15.0]);
        assert_eq!([0.0, 14.0, -900.0].map(|value| nearest_step(value, 15.0, 5)), [2, 4, 0]);
    }
}
