//! The picture: zoom, pan, compare, and its menu.

use egui::emath::GuiRounding;
use egui::{Align2, Color32, FontId, PointerButton, Rect, Response, Sense, StrokeKind, Ui, Vec2, pos2, vec2};

use super::command::Command;
use super::keyboard::leave_space_free;
use super::style;
use super::surface::{PicturePipeline, Surface};

/// How the picture lies in its area.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Placement {
    /// Screen pixels per pixel of the picture; `None` fits the area.
    pub zoom: Option<f32>,
    /// From the area's centre to the picture's, in points.
    pub offset: Vec2,
    /// The scale on screen, for the status bar: as `zoom`, whether it fits or not.
    pub shown: f32,
}

const ZOOM: std::ops::RangeInclusive<f32> = 0.05..=64.0;
/// One step of the zoom keys.
const STEP: f32 = 1.25;

impl Placement {
    pub fn fit(&mut self) {
        *self = Placement { shown: self.shown, ..Placement::default() };
    }

    pub fn actual_size(&mut self) {
        self.zoom = Some(1.0);
        self.offset = Vec2::ZERO;
    }

    /// Scales by `STEP` per step, around a point given from the area's centre.
    pub fn zoom_by(&mut self, steps: f32, around: Vec2) {
        let zoom = (self.shown * STEP.powf(steps)).clamp(*ZOOM.start(), *ZOOM.end());
        self.offset = around + (self.offset - around) * (zoom / self.shown.max(1e-6));
        self.zoom = Some(zoom);
    }
}

/// What the area says below and in place of the picture.
pub struct Caption<'a> {
    /// Below the picture.
    pub text: &'a str,
    /// The picture is not the edit, and this says so.
    pub compared: bool,
    /// A picture was set as comparison.
    pub pinned: bool,
}

/// The picture area; it fills `ui`.
pub fn picture_ui(
    ui: &mut Ui,
    surface: &Surface,
    picture_pipeline: Option<&PicturePipeline>,
    placement: &mut Placement,
    caption: &Caption<'_>,
    commands: &mut Vec<Command>,
) {
    let whole = ui.available_rect_before_wrap();
    let line = Rect::from_min_max(pos2(whole.left(), whole.bottom() - style::ROW), whole.max);
    let area = Rect::from_min_max(whole.min, line.left_top() + vec2(whole.width(), 0.0)).shrink(style::GRID * 3.0);
    let response = ui.allocate_rect(whole, Sense::click_and_drag());
    let place = placed(ui, &response, area, surface.size(), placement);
    // A picture that fits the window is looked at as a whole; who zooms in wants to see pixels.
    let sharp = placement.zoom.is_some_and(|zoom| zoom >= style::SHARP_FROM);
    let painter = ui.painter_at(whole);
    fill_around(&painter, whole, place.shrink(1.0), style::palette(ui).surround);
    if let Some(picture_pipeline) = picture_pipeline {
        surface.paint(&painter, picture_pipeline, place, whole, sharp);
    }

    caption_ui(ui, line, place, caption);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, format!("Picture, {}", caption.text)));
    let cursor = if is_panned(&response) { egui::CursorIcon::Grabbing } else { egui::CursorIcon::Default };
    if response.has_focus() {
        leave_space_free(ui, &response);
        painter.rect_stroke(whole, 0.0, (1.0, style::palette(ui).accent), StrokeKind::Inside);
    }
    response.on_hover_cursor(cursor).context_menu(|ui| {
        let comparison = if caption.pinned { Command::ClearComparison } else { Command::SetComparison };
        for command in [Command::CopyPicture, Command::Export, comparison] {
            let button =
                egui::Button::new(command.text()).right_text(egui::RichText::new(command.keys(ui.ctx())).weak());
            if ui.add(button).on_hover_text(command.tooltip()).clicked() {
                commands.push(command);
            }
        }
    });
}

/// Where a picture of `size` pixels lies in `area`, after the wheel and the pointer of `response` have moved it.
pub fn placed(ui: &Ui, response: &Response, area: Rect, size: Vec2, placement: &mut Placement) -> Rect {
    let pixel = 1.0 / ui.pixels_per_point();
    if response.double_clicked() {
        placement.fit();
    }
    let fit = (area.width() / size.x).min(area.height() / size.y) / pixel;
    placement.shown = placement.zoom.unwrap_or(fit.max(*ZOOM.start()));
    let centre = area.center();
    if let Some(pointer) = response.hover_pos() {
        let (scroll, pinch) = ui.input(|input| (input.smooth_scroll_delta.y, input.zoom_delta()));
        let steps = scroll / 50.0 + pinch.ln() / STEP.ln();
        if steps != 0.0 {
            placement.zoom_by(steps, pointer - centre);
            placement.shown = placement.zoom.unwrap_or(placement.shown);
        }
    }
    if is_panned(response) {
        placement.zoom.get_or_insert(placement.shown);
        placement.offset += response.drag_delta();
    }
    let shown = size * placement.shown * pixel;
    if placement.zoom.is_some() {
        // Some of the picture always stays in sight.
        let reach = (shown + area.size()) / 2.0 - Vec2::splat(48.0);
        placement.offset = placement.offset.clamp(-reach.max(Vec2::ZERO), reach.max(Vec2::ZERO));
    }
    let place = Rect::from_center_size(centre + placement.offset, shown);
    Rect::from_min_size(place.min.round_to_pixels(ui.pixels_per_point()), shown)
}

fn is_panned(response: &Response) -> bool {
    response.dragged_by(PointerButton::Primary) || response.dragged_by(PointerButton::Middle)
}

/// Fills what of `whole` lies outside `hole`: software rasterisers take as long for what will be covered.
pub fn fill_around(painter: &egui::Painter, whole: Rect, hole: Rect, colour: Color32) {
    let hole = Rect::from_min_max(whole.clamp(hole.min), whole.clamp(hole.max));
    for side in [
        Rect::from_min_max(whole.min, pos2(whole.right(), hole.top())),
        Rect::from_min_max(pos2(whole.left(), hole.bottom()), whole.max),
        Rect::from_min_max(pos2(whole.left(), hole.top()), hole.left_bottom()),
        Rect::from_min_max(hole.right_top(), pos2(whole.right(), hole.bottom())),
    ] {
        painter.rect_filled(side, 0.0, colour);
    }
}

fn caption_ui(ui: &Ui, line: Rect, picture: Rect, caption: &Caption<'_>) {
    let colours = style::palette(ui);
    let colour = if caption.compared { colours.text_strong } else { colours.text_weak };
    let font = FontId::proportional(style::SMALL_TEXT + 1.0);
    // Just below the picture, where there is room, else in the line that is kept free for it.
    let centre = pos2(line.center().x, (picture.bottom() + style::ROW * 0.75).min(line.center().y - style::GRID));
    let galley = ui.painter().layout_no_wrap(caption.text.to_owned(), font, colour);
    let place = Align2::CENTER_CENTER.anchor_size(centre, galley.size());
    let fill = if caption.compared { colours.accent_dim } else { colours.surround };
    ui.painter().rect_filled(place.expand2(vec2(8.0, 3.0)), 8.0, fill);
    ui.painter().galley(place.min, galley, colour);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zooming_keeps_the_point_under_the_pointer() {
        let mut placement = Placement { shown: 2.0, offset: vec2(10.0, -4.0), ..Placement::default() };
        let pointer = vec2(30.0, 20.0);
        let on_picture = (pointer - placement.offset) / placement.shown;
        placement.zoom_by(3.0, pointer);
        let zoom = placement.zoom.unwrap();
        assert!(((pointer - placement.offset) / zoom - on_picture).length() < 1e-4);
        assert!((zoom - 2.0 * STEP.powf(3.0)).abs() < 1e-5);
    }
}
