//! Two pictures: one over the other with a line between, side by side, or how much they differ.

use std::sync::Arc;
use std::time::Duration;

use egui::{
    Align2, CursorIcon, EventFilter, FontId, Id, Key, Modifiers, Rect, Role, Sense, StrokeKind, Ui, WidgetInfo, lerp,
    pos2, vec2,
};

use super::command::Command;
use super::keyboard::leave_space_free;
use super::picture::{Placement, fill_around, placed};
use super::segments::{Segment, segments_ui};
use super::style;
use super::surface::{PicturePipeline, Surface};
use crate::edit::{Edit, PhotoNote};
use crate::invert::noted_picture;
use crate::render::{Frame, FrameImage};

/// How two pictures are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// One on each side of a line that can be dragged.
    #[default]
    Wipe,
    SideBySide,
    /// The mean difference over the channels, as heat.
    Difference,
}

/// The modes with what they are called.
const MODES: [(Mode, &str, &str); 3] = [
    (Mode::Wipe, "Wipe", "A on the left of a line, B on the right; drag the line, or move it with the arrow keys"),
    (Mode::SideBySide, "Side by side", "A on the left, B on the right; both are moved and scaled together"),
    (Mode::Difference, "Difference", "How much A and B differ, the mean over the channels: black where they are equal"),
];
/// What differences are multiplied by.
const GAINS: [(f32, &str, &str); 3] = [
    (1.0, "×1", "White is the whole range of values"),
    (4.0, "×4", "White is a quarter of the range of values"),
    (16.0, "×16", "White is a sixteenth of the range of values"),
];
/// Width of the choice of one of them, in points.
const GAIN: f32 = 32.0;
/// Half the width of what takes hold of the line, in points.
const GRASP: f32 = 6.0;

/// How the comparison is shown.
pub struct CompareView {
    mode: Mode,
    /// Which of [`GAINS`].
    gain: usize,
    /// Where the line is, from the left edge of the picture (0) to the right one (1).
    line: f32,
    /// A is the photo that the sample was found for, if it was for one.
    with_photo: bool,
    photo: Option<ShownPhoto>,
}

impl Default for CompareView {
    fn default() -> Self {
        CompareView { mode: Mode::Wipe, gain: 1, line: 0.5, with_photo: true, photo: None }
    }
}

/// A photo on screen.
struct ShownPhoto {
    note: Arc<PhotoNote>,
    /// `None` if its picture is damaged.
    surface: Option<Surface>,
}

/// One of the two pictures.
pub struct Side<'a> {
    /// `None` until it is made.
    pub surface: Option<&'a Surface>,
    pub text: &'a str,
}

impl CompareView {
    /// Shows how much both differ, from now on.
    pub fn show_difference(&mut self) {
        (self.mode, self.with_photo) = (Mode::Difference, false);
    }

    fn gain(&self) -> f32 {
        GAINS.get(self.gain).unwrap_or(&GAINS[1]).0
    }

    /// The controls in the bar, from the right.
    pub fn bar_ui(&mut self, ui: &mut Ui, edit: &Edit, commands: &mut Vec<Command>) {
        let modes = MODES.map(|(mode, text, tooltip)| segment(text, tooltip, mode == self.mode));
        if let Some(at) = segments_ui(ui, 240.0, &modes) {
            self.mode = MODES[at].0;
        }
        let swap = ui.add(egui::Button::new("Swap").frame_when_inactive(false));
        if swap.on_hover_text(Command::SwapCompared.hint(ui.ctx())).clicked() {
            commands.push(Command::SwapCompared);
        }
        if let Some(photo) = edit.sample.photo() {
            let hint = format!("A is {}, the photo that this sample was found for", photo.name);
            ui.toggle_value(&mut self.with_photo, "Photo").on_hover_text(hint);
        }
    }

    /// Puts the photo in the place of A, if the sample was found for one.
    fn show_photo(&mut self, edit: &Edit, picture_pipeline: Option<&PicturePipeline>) {
        let note = edit.sample.photo().filter(|_| self.with_photo);
        let is_shown = |shown: &ShownPhoto| note.is_some_and(|note| Arc::ptr_eq(note, &shown.note));
        if self.photo.as_ref().is_some_and(is_shown) {
            return;
        }
        self.photo = note.map(|note| {
            let surface = noted_picture(note).map(|pixels| {
                let frame = Frame {
                    model: String::new(),
                    edit: edit.unedited(),
                    size: [pixels.width, pixels.height],
                    is_exact: true,
                    took: Duration::ZERO,
                    stages_run: (0, 0),
                    image: FrameImage::Pixels(pixels.into()),
                };
                Surface::show(None, frame, picture_pipeline)
            });
            ShownPhoto { note: note.clone(), surface }
        });
    }

    /// The comparison; it fills `ui`. `edit`: that of B.
    pub fn show(
        &mut self,
        ui: &mut Ui,
        [a, b]: &[Side<'_>; 2],
        edit: &Edit,
        picture_pipeline: Option<&PicturePipeline>,
        placement: &mut Placement,
    ) {
        self.show_photo(edit, picture_pipeline);
        let photo = self.photo.take();
        let photo_side = photo.as_ref().and_then(|photo| {
            let surface = photo.surface.as_ref()?;
            Some(Side { surface: Some(surface), text: &photo.note.name })
        });
        let a = photo_side.as_ref().unwrap_or(a);
        self.sides_ui(ui, [a, b], picture_pipeline, placement);
        self.photo = photo;
    }

    fn sides_ui(
        &mut self,
        ui: &mut Ui,
        [a, b]: [&Side<'_>; 2],
        picture_pipeline: Option<&PicturePipeline>,
        placement: &mut Placement,
    ) {
        let whole = ui.available_rect_before_wrap();
        let response = ui.allocate_rect(whole, Sense::click_and_drag());
        let text = format!("Comparison of A, {}, with B, {}", a.text, b.text);
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &text));
        let surround = style::palette(ui).surround;
        let Some(size) = b.surface.or(a.surface).map(Surface::size) else {
            ui.painter().rect_filled(whole, 0.0, surround);
            return;
        };
        let below = if self.mode == Mode::Difference { 2.0 * style::ROW } else { style::ROW };
        let line = Rect::from_min_max(pos2(whole.left(), whole.bottom() - style::ROW), whole.max);
        let area = Rect::from_min_max(whole.min, pos2(whole.right(), whole.bottom() - below)).shrink(style::GRID * 2.0);
        let [left, right] = match self.mode {
            Mode::SideBySide => area.split_left_right_at_fraction(0.5).into(),
            Mode::Wipe | Mode::Difference => [area, area],
        };
        let [left, right] = [left, right].map(|half| half.shrink2(vec2(style::GRID / 2.0, 0.0)));
        let place = placed(ui, &response, left, size, placement);
        let sharp = placement.zoom.is_some_and(|zoom| zoom >= style::SHARP_FROM);
        let painter = ui.painter_at(whole);
        let paint = |side: &Side<'_>, place: Rect, clip: Rect| {
            if let (Some(surface), Some(pipeline)) = (side.surface, picture_pipeline) {
                surface.paint(&painter, pipeline, place, clip, sharp);
            }
        };
        match self.mode {
            Mode::Wipe => {
                fill_around(&painter, whole, place.shrink(1.0), surround);
                let x = lerp(place.x_range(), self.line).clamp(whole.left(), whole.right());
                paint(a, place, whole.with_max_x(x));
                paint(b, place, whole.with_min_x(x));
                self.line_ui(ui, place, whole);
            }
            Mode::SideBySide => {
                let other = place.translate(right.min - left.min);
                painter.rect_filled(whole, 0.0, surround);
                paint(a, place, whole.with_max_x(left.right()));
                paint(b, other, whole.with_min_x(right.left()));
            }
            Mode::Difference => {
                fill_around(&painter, whole, place.shrink(1.0), surround);
                if let (Some(a), Some(b), Some(pipeline)) = (a.surface, b.surface, picture_pipeline) {
                    b.paint_difference(a, self.gain(), &painter, pipeline, place, whole);
                }
                self.scale_ui(ui, line);
            }
        }
        for (name, side, x, align) in
            [("A", a, left.left(), Align2::LEFT_CENTER), ("B", b, right.right(), Align2::RIGHT_CENTER)]
        {
            caption_ui(ui, &format!("{name}  {}", side.text), pos2(x, line.center().y), align);
        }
        if response.has_focus() {
            leave_space_free(ui, &response);
            painter.rect_stroke(whole, 0.0, (1.0, style::palette(ui).accent), StrokeKind::Inside);
        }
    }

    /// The line between A and B.
    fn line_ui(&mut self, ui: &Ui, place: Rect, whole: Rect) {
        let x = lerp(place.x_range(), self.line).clamp(whole.left(), whole.right());
        let seen = place.intersect(whole);
        let grasp = Rect::from_x_y_ranges(x - GRASP..=x + GRASP, seen.y_range());
        let response = ui.interact(grasp, Id::unique("line of the comparison"), Sense::click_and_drag());
        let percent = f64::from((self.line * 100.0).round());
        response.widget_info(|| WidgetInfo::slider(ui.is_enabled(), percent, "Line between A and B, in percent"));
        if let Some(pointer) = response.interact_pointer_pos().filter(|_| response.dragged()) {
            self.line = ((pointer.x - place.left()) / place.width().max(1.0)).clamp(0.0, 1.0);
        }
        if response.has_focus() {
            let filter = EventFilter { horizontal_arrows: true, ..EventFilter::default() };
            ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
            leave_space_free(ui, &response);
            let pressed = |key| ui.input_mut(|input| input.count_and_consume_key(Modifiers::NONE, key)) as f32;
            self.line = (self.line + 0.01 * (pressed(Key::ArrowRight) - pressed(Key::ArrowLeft))).clamp(0.0, 1.0);
        }
        let strong = response.hovered() || response.dragged() || response.has_focus();
        let colour = if response.has_focus() { style::palette(ui).accent } else { style::LINE };
        let painter = ui.painter_at(whole);
        painter.vline(x, seen.y_range(), (3.0, style::LINE_SHADE));
        painter.vline(x, seen.y_range(), (if strong { 2.0 } else { 1.0 }, colour));
        painter.circle(pos2(x, seen.center().y), 5.0, colour, (1.0, style::LINE_SHADE));
        response.on_hover_cursor(CursorIcon::ResizeHorizontal);
    }

    /// What the colours of the difference mean.
    fn scale_ui(&mut self, ui: &mut Ui, line: Rect) {
        let colours = style::palette(ui);
        let choice = Rect::from_center_size(line.center() + vec2(0.0, -style::GRID), vec2(GAIN * 3.0, style::ROW));
        let gains = GAINS.map(|(gain, text, tooltip)| segment(text, tooltip, gain == self.gain()));
        let mut child = ui.new_child(egui::UiBuilder::new().max_rect(choice).id_salt("gain"));
        if let Some(at) = segments_ui(&mut child, choice.width(), &gains) {
            self.gain = at;
        }
        let bar = Rect::from_center_size(choice.center() - vec2(0.0, style::ROW), vec2(120.0, 8.0));
        let steps = 60;
        for step in 0..steps {
            let heat = (step as f32 + 0.5) / steps as f32;
            let at = |step: i32| bar.left() + bar.width() * step as f32 / steps as f32;
            let part = Rect::from_x_y_ranges(at(step)..=at(step + 1), bar.y_range());
            ui.painter().rect_filled(part, 0.0, style::heat(heat));
        }
        let font = FontId::proportional(style::SMALL_TEXT);
        let most = format!("{} of the range", 1.0 / self.gain());
        for (text, x, align) in
            [("0", bar.left() - 6.0, Align2::RIGHT_CENTER), (&most, bar.right() + 6.0, Align2::LEFT_CENTER)]
        {
            ui.painter().text(pos2(x, bar.center().y), align, text, font.clone(), colours.text_weak);
        }
    }
}

fn segment<'a>(text: &'a str, tooltip: &'a str, on: bool) -> Segment<'a> {
    Segment { text, name: text, tooltip, enabled: true, on }
}

fn caption_ui(ui: &Ui, text: &str, at: egui::Pos2, align: Align2) {
    let colours = style::palette(ui);
    let galley =
        ui.painter().layout_no_wrap(text.to_owned(), FontId::proportional(style::SMALL_TEXT + 1.0), colours.text);
    let place = align.anchor_size(at, galley.size());
    ui.painter().galley(place.min, galley, colours.text);
}
