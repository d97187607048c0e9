//! Thumbnails of directions: what each of them does to the present sample, before it is dragged.
//!
//! A strip is five tiles along a direction, from one end of its slider to the other. It lies beside the row that is pointed
//! at or has the keyboard, or, if the user wants that, under every row.

use std::sync::Arc;

use egui::{Align2, Area, FontId, Id, Order, Rect, Role, Sense, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::style;
use super::tiles::{ShownTile, Tiles, Want};
use crate::edit::{Direction, Edit, Move};

/// Places of the tiles, in shares of the slider's range.
const STEPS: [f32; 5] = [-1.0, -0.5, 0.0, 0.5, 1.0];
/// Larger side of a tile beside a row, in points.
const SIDE: f32 = 64.0;
const GAP: f32 = 2.0;
/// Below the tiles: their values.
const VALUES: f32 = 14.0;
/// A row is pointed at for so long (seconds) before its strip appears: who passes by or drags wants to see the picture.
const DWELL: f64 = 0.35;

/// Which strip is seen.
#[derive(Default)]
pub struct Strips {
    pointed: Option<Pointed>,
    /// The row that was pressed and has the keyboard since: its strip is not asked for by that.
    pressed: Option<Id>,
}

/// The row that the pointer rests on.
struct Pointed {
    row: Id,
    /// Since when, in seconds of the window's time; `None` after it was pressed, until the pointer has left.
    since: Option<f64>,
    /// Where its strip is shown.
    strip: Option<Rect>,
}

/// The strips, as the user wants to see them.
pub struct Thumbnails<'a> {
    pub strips: &'a mut Strips,
    pub tiles: &'a mut Tiles,
    /// Under every row.
    pub always: bool,
    /// Beside the row that is pointed at, too.
    pub beside: bool,
}

impl Thumbnails<'_> {
    /// The strip of a row, where it is to be seen. Returns the value of a tile that was clicked.
    pub fn row_ui(&mut self, ui: &mut Ui, row: &Row<'_>, edit: &Edit) -> Option<f32> {
        if self.always {
            return under_ui(ui, row, edit, self.tiles);
        }
        (self.beside && self.strips.is_shown_beside(ui, row))
            .then(|| self.strips.beside_ui(ui, row, edit, self.tiles))
            .flatten()
    }
}

/// A row of the list.
pub struct Row<'a> {
    pub id: Id,
    pub rect: Rect,
    /// Its slider has the keyboard.
    pub is_focused: bool,
    pub direction: &'a Arc<Direction>,
    /// As it is called.
    pub title: &'a str,
    /// Half the slider's length, in latent units.
    pub range: f32,
}

/// Under a row: its strip, as wide as the panel. Returns the value of a tile that was clicked.
fn under_ui(ui: &mut Ui, row: &Row<'_>, edit: &Edit, tiles: &mut Tiles) -> Option<f32> {
    let count = STEPS.len() as f32;
    let side = ((ui.available_width() - (count - 1.0) * GAP) / count).floor();
    let place = Rect::from_min_size(ui.cursor().min, vec2(ui.available_width(), side + VALUES));
    if !ui.is_rect_visible(place) {
        // Scrolled away: nothing of it is wanted.
        ui.allocate_rect(place, Sense::hover());
        return None;
    }
    tiles_ui(ui, row, edit, side, tiles)
}

impl Strips {
    /// Beside a row that is pointed at or has the keyboard: its strip. Returns the value of a tile that was clicked.
    fn beside_ui(&mut self, ui: &Ui, row: &Row<'_>, edit: &Edit, tiles: &mut Tiles) -> Option<f32> {
        let corner = pos2(ui.clip_rect().left() - style::GRID * 2.0, row.rect.center().y);
        let area = Area::new(row.id.with("strip")).order(Order::Foreground).pivot(Align2::RIGHT_CENTER);
        let shown = area.fixed_pos(corner).constrain_to(ui.ctx().content_rect()).show(ui.ctx(), |ui| {
            egui::Frame::popup(ui.style()).show(ui, |ui| tiles_ui(ui, row, edit, SIDE, tiles)).inner
        });
        if let Some(pointed) = self.pointed.as_mut().filter(|pointed| pointed.row == row.id) {
            // As far as the row, so that the pointer leaves neither on its way from one to the other.
            pointed.strip = Some(shown.response.rect.with_max_x(row.rect.left()));
        }
        shown.inner
    }

    fn is_shown_beside(&mut self, ui: &Ui, row: &Row<'_>) -> bool {
        let (now, pointer, is_down) = ui.input(|input| {
            (input.time, input.pointer.hover_pos(), input.pointer.any_down() || input.pointer.any_pressed())
        });
        let own = self.pointed.take_if(|pointed| pointed.row == row.id);
        let strip = own.as_ref().and_then(|own| own.strip);
        let is_over_row = pointer.is_some_and(|at| row.rect.contains(at) && ui.clip_rect().contains(at));
        let is_over = is_over_row || pointer.zip(strip).is_some_and(|(at, strip)| strip.contains(at));
        if is_down && is_over_row {
            // A slider under the hand needs the whole picture in sight, and so does who lets go of it.
            self.pointed = Some(Pointed { row: row.id, since: None, strip: None });
            self.pressed = Some(row.id);
            return false;
        }
        if !row.is_focused {
            self.pressed.take_if(|pressed| *pressed == row.id);
        }
        let mut has_dwelt = false;
        if is_over && let Some(own) = own {
            let left = own.since.map(|since| DWELL - (now - since));
            has_dwelt = left.is_some_and(|left| left <= 0.0);
            if let Some(left) = left.filter(|left| *left > 0.0) {
                ui.request_repaint_after_secs(left as f32);
            }
            self.pointed = Some(own);
        } else if is_over && self.pointed.as_ref().is_none_or(|other| other.strip.is_none()) {
            // A strip that is shown keeps the pointer's way to it: the rows on that way stay quiet.
            self.pointed = Some(Pointed { row: row.id, since: Some(now), strip: None });
            ui.request_repaint_after_secs(DWELL as f32);
        }
        has_dwelt || row.is_focused && self.pressed != Some(row.id)
    }

    /// Another model: nothing is pointed at.
    pub fn clear(&mut self) {
        *self = Strips::default();
    }
}

fn tiles_ui(ui: &mut Ui, row: &Row<'_>, edit: &Edit, side: f32, tiles: &mut Tiles) -> Option<f32> {
    let pixels = (side * ui.pixels_per_point()).round().max(1.0) as usize;
    let present = edit.along(row.direction).filter(|step| step.enabled).map_or(0.0, |step| step.value);
    let nearest = nearest_step(present, row.range);
    let mut clicked = None;
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = GAP;
        for (step, share) in STEPS.into_iter().enumerate() {
            let value = share * row.range;
            // Before whatever else wants tiles: it is what is looked at.
            let want = Want { edit: edit_at(edit, row.direction, value), side: pixels, urgency: -1.0, live: false };
            let shown = tiles.show(row.id.with(step), want);
            let tile = StripTile { shown, value, is_nearest: step == nearest, title: row.title };
            if tile_ui(ui, side, &tile, tiles) {
                clicked = Some(value);
            }
        }
    });
    clicked
}

/// The present edit with the move along `direction` at `value`.
pub fn edit_at(edit: &Edit, direction: &Arc<Direction>, value: f32) -> Edit {
    let mut edit = edit.clone();
    match edit.moves.iter_mut().find(|step| step.is_along(direction)) {
        Some(step) => (step.value, step.enabled) = (value, true),
        None => edit.moves.push(Move::new(direction.clone(), value)),
    }
    edit
}

fn nearest_step(value: f32, range: f32) -> usize {
    let distance = |step: &usize| (STEPS[*step] * range - value).abs();
    (0..STEPS.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or_default()
}

/// One of a strip.
struct StripTile<'a> {
    shown: Option<ShownTile>,
    value: f32,
    is_nearest: bool,
    title: &'a str,
}

/// One tile with its value below. Returns true if it was clicked.
fn tile_ui(ui: &mut Ui, side: f32, tile: &StripTile<'_>, tiles: &Tiles) -> bool {
    let &StripTile { ref shown, value, is_nearest, title } = tile;
    let colours = style::palette(ui);
    // No stop of the Tab key: the row's slider and number do the same, and ten rows would have fifty stops.
    let (rect, response) = ui.allocate_exact_size(vec2(side, side + VALUES), Sense::CLICK);
    let picture = Rect::from_min_size(rect.min, vec2(side, side));
    tiles.paint(ui, picture, shown.as_ref(), true);
    let painter = ui.painter();
    if is_nearest || response.hovered() {
        let colour = if response.hovered() { colours.text_strong } else { colours.accent };
        painter.rect_stroke(picture, 0.0, (1.0, colour), StrokeKind::Inside);
    }
    let text = value_text(value);
    let at = pos2(picture.center().x, picture.bottom() + VALUES / 2.0);
    painter.text(at, Align2::CENTER_CENTER, &text, FontId::proportional(10.0), colours.text_weak);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, ui.is_enabled(), format!("{title} at {text}")));
    response.on_hover_text(format!("{title} at {text}\nClick to take it")).clicked()
}

/// "0", "+7.5", "−15"
pub fn value_text(value: f32) -> String {
    let digits = format!("{:.1}", value.abs());
    let digits = digits.strip_suffix(".0").unwrap_or(&digits);
    match value {
        _ if digits == "0" => "0".to_owned(),
        value if value < 0.0 => format!("−{digits}"),
        _ => format!("+{digits}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{LayerSet, Weighting};

    fn direction() -> Arc<Direction> {
        Arc::new(Direction::sefa(LayerSet::range(0, 1), Weighting::Raw, 0, vec![0.6, 0.8]))
    }

    #[test]
    fn a_tile_shows_the_present_edit_with_one_move_at_its_value() {
        let (direction, other) =
            (direction(), Arc::new(Direction { layers: LayerSet::range(2, 3), ..(*direction()).clone() }));
        let mut edit = Edit { moves: vec![Move::new(other, 2.0)], ..Edit::default() };
        assert_eq!(edit_at(&edit, &direction, -3.0).moves, [edit.moves[0].clone(), Move::new(direction.clone(), -3.0)]);
        let muted = Move { enabled: false, ..Move::new(direction.clone(), 1.0) };
        edit.moves.push(muted);
        let shown = edit_at(&edit, &direction, 4.0);
        assert_eq!((shown.moves.len(), shown.moves[1].value, shown.moves[1].enabled), (2, 4.0, true));
    }

    #[test]
    fn the_outlined_tile_is_the_one_nearest_to_the_value() {
        assert_eq!([0.0, 3.0, 5.0, 15.0, 400.0, -8.0].map(|value| nearest_step(value, 15.0)), [2, 2, 3, 4, 4, 1]);
    }

    #[test]
    fn values_are_short() {
        assert_eq!([0.0, -0.0, 7.5, -15.0, 0.04].map(value_text), ["0", "0", "+7.5", "−15", "0"]);
    }
}
