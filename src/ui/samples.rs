//! Many samples under the same moves, in a grid.

use std::collections::BTreeMap;

use egui::{
    Align2, Context, FontId, Id, Key, Modifiers, Rect, Role, Sense, Shape, Stroke, StrokeKind, Ui, WidgetInfo, pos2,
    vec2,
};

use super::icons::{Icon, icon_button};
use super::segments::{Segment, segments_ui};
use super::style;
use super::tiles::{Tiles, Want};
use crate::edit::{Code, Edit, Sample, Seed, SeedKind};
use crate::export::Shot;
use crate::generator::ModelInfo;

/// Between the pictures.
const GAP: f32 = 2.0;
/// Samples in a row and in a column.
const SIDES: std::ops::RangeInclusive<usize> = 2..=6;
/// Narrow choices of one digit.
const SEGMENT: f32 = 24.0;

/// Which samples are shown.
#[derive(Debug)]
pub struct SamplesView {
    /// Samples in a row, and rows.
    side: usize,
    /// Seeds that were drawn at random, instead of those that follow one another.
    drawn: Vec<u64>,
    /// The first seed of the page, where the present sample is none that has a page.
    first: u64,
    /// Seeds that were marked: whether they have what is to be learned.
    marks: BTreeMap<u64, bool>,
    /// The one under the pointer.
    pointed: Option<u64>,
}

impl Default for SamplesView {
    fn default() -> Self {
        SamplesView { side: 4, drawn: Vec::new(), first: 0, marks: BTreeMap::new(), pointed: None }
    }
}

/// What was asked for in the bar.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SamplesAnswer {
    /// The sample with this seed is to be the present one.
    pub taken: Option<u64>,
    /// Others are to be drawn at random.
    pub draw: bool,
    /// A direction is to be learned from the marks.
    pub learn: bool,
}

impl SamplesView {
    /// The seeds shown, row by row. `present` is the seed of the present sample, if it has one.
    fn seeds(&self, present: Option<u64>) -> Vec<u64> {
        let count = self.side * self.side;
        if !self.drawn.is_empty() {
            return self.drawn.iter().copied().take(count).collect();
        }
        let first = present.unwrap_or(self.first) / count as u64 * count as u64;
        (0..count as u64).filter_map(|n| first.checked_add(n)).collect()
    }

    /// Shows these seeds from now on.
    pub fn show_drawn(&mut self, draw: impl FnMut() -> u64) {
        let most = SIDES.end() * SIDES.end();
        self.drawn = std::iter::repeat_with(draw).take(most).collect();
    }

    /// The seed that lies so many places after the present one in the grid; the pages of consecutive seeds follow one another.
    fn neighbour(&self, present: Option<u64>, places: i64) -> Option<u64> {
        if self.drawn.is_empty() {
            return present.unwrap_or(self.first).checked_add_signed(places);
        }
        let seeds = self.seeds(present);
        let Some(at) = present.and_then(|present| seeds.iter().position(|seed| *seed == present)) else {
            return seeds.first().copied();
        };
        usize::try_from(at as i64 + places).ok().and_then(|at| seeds.get(at).copied())
    }

    /// Marks the sample under the pointer, or else the present one; a mark that is there is taken away.
    pub fn mark(&mut self, edit: &Edit, up: bool) {
        let Some(seed) = self.pointed.or(seed_of(edit)) else { return };
        match self.marks.get(&seed) == Some(&up) {
            true => _ = self.marks.remove(&seed),
            false => _ = self.marks.insert(seed, up),
        }
    }

    /// Samples that were marked: up, and down.
    pub fn marked(&self, info: &ModelInfo, edit: &Edit) -> [Vec<Edit>; 2] {
        let kind = seed_kind(edit, info);
        [true, false].map(|kind_of_mark| {
            let some = self.marks.iter().filter(|(_, up)| **up == kind_of_mark);
            some.map(|(&number, _)| with_seed(&edit.unedited(), Seed { number, kind })).collect()
        })
    }

    pub fn forget_marks(&mut self) {
        self.marks.clear();
    }

    /// How many are marked, and what becomes of them; from the right.
    fn marks_ui(&mut self, ui: &mut Ui, answer: &mut SamplesAnswer) {
        if self.marks.is_empty() {
            return;
        }
        let up = self.marks.values().filter(|up| **up).count();
        if icon_button(ui, Icon::Cross, "Forget the marks", "Takes all marks away").clicked() {
            self.forget_marks();
        }
        let hint = "Learns a direction from the samples that were marked down to those that were marked up; at least two of each";
        let text = format!("Learn from {up} up, {} down", self.marks.len() - up);
        answer.learn = ui.button(text).on_hover_text(hint).clicked();
    }

    /// What the arrow keys ask for, where no control has the keyboard.
    pub fn stepped(&self, ctx: &Context, edit: &Edit) -> Option<u64> {
        if ctx.memory(|memory| memory.focused()).is_some() {
            return None;
        }
        let (side, count) = (self.side as i64, (self.side * self.side) as i64);
        let steps = [
            (Key::ArrowLeft, -1),
            (Key::ArrowRight, 1),
            (Key::ArrowUp, -side),
            (Key::ArrowDown, side),
            (Key::PageUp, -count),
            (Key::PageDown, count),
        ];
        let pressed =
            steps.into_iter().find(|(key, _)| ctx.input_mut(|input| input.consume_key(Modifiers::NONE, *key)));
        self.neighbour(seed_of(edit), pressed?.1)
    }

    /// The controls in the bar, from the right.
    pub fn bar_ui(&mut self, ui: &mut Ui, edit: &Edit) -> SamplesAnswer {
        let mut answer = SamplesAnswer::default();
        let count = (self.side * self.side) as i64;
        let texts: Vec<(String, String)> =
            SIDES.map(|side| (side.to_string(), format!("{side} by {side} samples"))).collect();
        let segments: Vec<Segment<'_>> = SIDES
            .zip(&texts)
            .map(|(side, (text, name))| Segment { text, name, tooltip: name, enabled: true, on: side == self.side })
            .collect();
        if let Some(at) = segments_ui(ui, SEGMENT * segments.len() as f32, &segments) {
            self.side = SIDES.start() + at;
        }
        ui.add_space(style::GRID);
        if icon_button(ui, Icon::Dice, "Draw samples", "Other samples, drawn at random").clicked() {
            answer.draw = true;
        }
        if self.drawn.is_empty() {
            let next = icon_button(ui, Icon::Next, "Next samples", "The seeds after these (Page down)").clicked();
            let before =
                icon_button(ui, Icon::Previous, "Previous samples", "The seeds before these (Page up)").clicked();
            let step = if next { Some(count) } else { before.then_some(-count) };
            answer.taken = step.and_then(|step| self.neighbour(seed_of(edit), step));
        } else {
            let back = ui.add(egui::Button::new("In order").frame_when_inactive(false));
            if back.on_hover_text("Samples whose seeds follow one another").clicked() {
                self.drawn.clear();
            }
        }
        self.marks_ui(ui, &mut answer);
        answer
    }

    /// What the grid shows, to be made at full size.
    pub fn shots(&self, info: &ModelInfo, edit: &Edit) -> Vec<Shot> {
        let kind = seed_kind(edit, info);
        let shot = |number| Shot { label: format!("seed {number}"), edit: with_seed(edit, Seed { number, kind }) };
        self.seeds(seed_of(edit)).into_iter().map(shot).collect()
    }

    /// Samples in a row.
    pub fn columns(&self) -> usize {
        self.side
    }

    /// The grid; it fills `ui`. Returns the seed that was clicked.
    pub fn show(&mut self, ui: &mut Ui, info: &ModelInfo, edit: &Edit, tiles: &mut Tiles) -> Option<u64> {
        let present = seed_of(edit);
        let seeds = self.seeds(present);
        if let (Some(first), true) = (seeds.first(), self.drawn.is_empty()) {
            self.first = *first;
        }
        let area = ui.available_rect_before_wrap();
        ui.painter().rect_filled(area, 0.0, style::palette(ui).surround);
        let count = self.side as f32;
        let [width, height] = [info.size.width as f32, info.size.height as f32];
        let room = area.shrink(style::GRID * 2.0).size() - vec2(GAP, GAP) * (count - 1.0);
        let scale = (room.x / (width * count)).min(room.y / (height * count)).max(0.0);
        let cell = (vec2(width, height) * scale).floor();
        let whole = cell * count + vec2(GAP, GAP) * (count - 1.0);
        let corner = (area.center() - whole / 2.0).floor();
        let pixels = (cell.max_elem() * ui.pixels_per_point()).round().max(1.0) as usize;
        let pointer = ui.input(|input| input.pointer.hover_pos()).filter(|at| area.contains(*at));
        let kind = seed_kind(edit, info);
        let mut clicked = None;
        self.pointed = None;
        for (n, &number) in seeds.iter().enumerate() {
            let (column, row) = ((n % self.side) as f32, (n / self.side) as f32);
            let place = Rect::from_min_size(corner + vec2(column, row) * (cell + vec2(GAP, GAP)), cell);
            let is_present = present == Some(number);
            // The one under the pointer comes first, then its neighbours; without a pointer the present one.
            let urgency = match pointer {
                Some(at) => place.center().distance(at),
                None => {
                    if is_present {
                        0.0
                    } else {
                        n as f32 + 1.0
                    }
                }
            };
            let want = Want { edit: with_seed(edit, Seed { number, kind }), side: pixels, urgency, live: true };
            let id = Id::unique(("sample", number));
            let shown = tiles.show(id, want);
            let response = ui.interact(place, id, Sense::CLICK);
            tiles.paint(ui, place, shown.as_ref(), false);
            let marked = self.marks.get(&number);
            let text = match marked {
                Some(true) => format!("Seed {number}, marked up"),
                Some(false) => format!("Seed {number}, marked down"),
                None => format!("Seed {number}"),
            };
            if let Some(up) = marked {
                thumb_ui(ui, place, *up);
            }
            if response.hovered() {
                self.pointed = Some(number);
            }
            mark_ui(ui, place, &text, is_present, response.hovered());
            response.widget_info(|| WidgetInfo::selected(Role::Button, ui.is_enabled(), is_present, &text));
            if response.clicked() {
                clicked = Some(number);
            }
        }
        clicked
    }
}

/// Outline and caption of a picture in a grid: of the present one, and of the one under the pointer.
fn mark_ui(ui: &Ui, place: Rect, text: &str, is_present: bool, is_hovered: bool) {
    if !is_present && !is_hovered {
        return;
    }
    let colours = style::palette(ui);
    let colour = if is_present { colours.accent } else { colours.text_strong };
    ui.painter().rect_stroke(place, 0.0, (2.0, colour), StrokeKind::Inside);
    if is_hovered {
        let galley =
            ui.painter().layout_no_wrap(text.to_owned(), FontId::proportional(style::SMALL_TEXT), colours.text_strong);
        let at = Align2::LEFT_BOTTOM.anchor_size(pos2(place.left() + 4.0, place.bottom() - 4.0), galley.size());
        ui.painter().rect_filled(at.expand2(vec2(4.0, 2.0)), style::RADIUS, colours.panel);
        ui.painter().galley(at.min, galley, colours.text_strong);
    }
}

/// The mark of a picture in its corner: a triangle that points up or down.
fn thumb_ui(ui: &Ui, place: Rect, up: bool) {
    let colours = style::palette(ui);
    let centre = pos2(place.right() - 14.0, place.top() + 14.0);
    let tip = if up { -5.0 } else { 5.0 };
    let points = [vec2(0.0, tip), vec2(6.0, -tip), vec2(-6.0, -tip)].map(|corner| centre + corner);
    ui.painter().circle_filled(centre, 10.0, colours.panel);
    let fill = if up { colours.accent } else { colours.error };
    ui.painter().add(Shape::convex_polygon(points.to_vec(), fill, Stroke::NONE));
}

/// The number of an edit's seed, if its sample has one.
fn seed_of(edit: &Edit) -> Option<u64> {
    match &edit.sample.code {
        Code::Seed(seed) => Some(seed.number),
        _ => None,
    }
}

/// How numbers become codes: as the present sample's does, or as is customary for the model.
pub fn seed_kind(edit: &Edit, info: &ModelInfo) -> SeedKind {
    match &edit.sample.code {
        Code::Seed(seed) => seed.kind,
        _ => info.seeds,
    }
}

/// The same edit of another sample.
pub fn with_seed(edit: &Edit, seed: Seed) -> Edit {
    Edit { sample: Sample { code: Code::Seed(seed), ..edit.sample.clone() }, ..edit.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_seeds_follow_one_another_and_hold_the_present_one() {
        let view = SamplesView { side: 3, ..SamplesView::default() };
        assert_eq!(view.seeds(Some(4)), (0..9).collect::<Vec<_>>());
        assert_eq!(view.seeds(Some(9)), (9..18).collect::<Vec<_>>());
        assert_eq!(view.neighbour(Some(8), 1), Some(9));
        assert_eq!(view.neighbour(Some(4), 9), Some(13), "a page on, at the same place");
        assert_eq!(view.neighbour(Some(2), -3), None, "there is nothing before seed 0");
        let last = view.seeds(Some(u64::MAX));
        assert_eq!(last.last(), Some(&u64::MAX), "a page may end early");
        assert_eq!(view.neighbour(Some(u64::MAX), 1), None);
        let of_file = SamplesView { first: 9, ..view };
        assert_eq!(of_file.seeds(None)[0], 9, "a sample without a seed leaves the page as it was");
    }

    #[test]
    fn drawn_seeds_stay_whichever_is_taken() {
        let mut view = SamplesView { side: 2, ..SamplesView::default() };
        let mut next = [50, 7, 90, 3, 8].into_iter().cycle();
        view.show_drawn(|| next.next().unwrap());
        assert_eq!(view.seeds(Some(7)), [50, 7, 90, 3]);
        assert_eq!((view.neighbour(Some(7), 2), view.neighbour(Some(7), -2)), (Some(3), None));
        assert_eq!(view.neighbour(Some(1234), 1), Some(50), "from outside one enters at the first");
    }
}
