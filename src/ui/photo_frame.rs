//! The photo with the frame of the part that is to be found, and the brush that hides what does not count.

use egui::emath::Rot2;
use egui::{
    Color32, ColorImage, CursorIcon, EventFilter, Id, Key, Mesh, Modifiers, Pos2, Rect, Response, Role, Sense, Shape,
    StrokeKind, TextureHandle, TextureOptions, Ui, Vec2, WidgetInfo, pos2, vec2,
};

use super::keyboard::leave_space_free;
use super::style;
use crate::edit::Crop;
use crate::invert::{Mask, Photo};

/// What the pointer does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tool {
    #[default]
    Frame,
    Hide,
    Show,
}

/// The part of a photo that is to be found, and what of it counts.
pub struct PhotoFrame {
    pub crop: Crop,
    pub tool: Tool,
    /// Radius of the brush, in parts of the photo's larger side.
    pub brush: f32,
    pub mask: Mask,
    /// What is hidden, in colour; absent until something is, and after it has changed.
    veil: Option<TextureHandle>,
    held: Option<Held>,
}

/// What of the frame the pointer holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Inside,
    Corner,
    Knob,
}

/// Where the photo and its frame lie on screen.
struct Laid {
    /// The whole photo.
    place: Rect,
    /// Points per pixel of the photo.
    scale: f32,
    centre: Pos2,
    half: Vec2,
    turn: Rot2,
}

/// Smallest width of a frame, in pixels of the photo, and largest, in widths of it.
const WIDTHS: [f32; 2] = [8.0, 4.0];
/// Degrees that the frame turns to either side.
const MOST_TURN: f32 = 45.0;
/// Radius of what takes hold of a corner or the knob, in points.
const GRASP: f32 = 9.0;
/// From the frame's upper edge to the knob that turns it, in points.
const KNOB: f32 = 18.0;
/// Part of the frame's width that arrow keys move it by; with Shift a tenth of it.
const STEP: f32 = 0.02;

impl PhotoFrame {
    pub fn new(photo: &Photo, crop: Crop) -> Self {
        PhotoFrame { crop, tool: Tool::Frame, brush: 0.03, mask: Mask::open(photo), veil: None, held: None }
    }

    /// Shows everything of the photo again.
    pub fn hide_nothing(&mut self, photo: &Photo) {
        (self.mask, self.veil) = (Mask::open(photo), None);
    }

    /// Shows the photo in `area`; `proportion` is that of the model's pictures, width by height.
    pub fn show(&mut self, ui: &mut Ui, area: Rect, photo: &Photo, texture: &TextureHandle, proportion: f32) {
        let response = ui.interact(area, Id::unique("photo"), Sense::click_and_drag());
        let text = "Photo: arrow keys move the frame, Page Up and Page Down scale it";
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, text));
        let laid = self.laid(area, photo, proportion);
        match self.tool {
            Tool::Frame => self.follow_frame(ui, &response, &laid),
            Tool::Hide | Tool::Show => self.follow_brush(ui, &response, laid.place),
        }
        self.follow_keys(ui, &response);
        self.limit(photo);
        let laid = self.laid(area, photo, proportion);
        let painter = ui.painter_at(area);
        let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        painter.image(texture.id(), laid.place, whole, Color32::WHITE);
        if let Some(veil) = self.veil(ui) {
            painter.image(veil.id(), laid.place, whole, Color32::WHITE);
        }
        laid.paint(&painter.with_clip_rect(laid.place), &painter, self.tool == Tool::Frame);
        if self.tool != Tool::Frame
            && let Some(pointer) = response.hover_pos()
        {
            painter.circle_stroke(pointer, self.brush_points(laid.place), (1.5, style::LINE));
        }
        if response.has_focus() {
            leave_space_free(ui, &response);
            painter.rect_stroke(area, 0.0, (1.0, style::palette(ui).accent), StrokeKind::Inside);
        }
        let cursor = match self.tool {
            Tool::Frame => CursorIcon::Grab,
            Tool::Hide | Tool::Show => CursorIcon::Crosshair,
        };
        response.on_hover_cursor(cursor);
    }

    fn laid(&self, area: Rect, photo: &Photo, proportion: f32) -> Laid {
        let size = vec2(photo.width as f32, photo.height as f32);
        let scale = (area.width() / size.x).min(area.height() / size.y);
        let place = Rect::from_center_size(area.center(), size * scale);
        let centre = place.min + vec2(self.crop.centre[0], self.crop.centre[1]) * scale;
        let half = vec2(self.crop.width, self.crop.width / proportion) * scale / 2.0;
        Laid { place, scale, centre, half, turn: Rot2::from_angle(self.crop.turn.to_radians()) }
    }

    fn follow_frame(&mut self, ui: &Ui, response: &Response, laid: &Laid) {
        if response.drag_started() {
            let pressed = ui.input(|input| input.pointer.press_origin());
            self.held = pressed.map(|pressed| laid.held(pressed));
        }
        if !response.dragged() {
            self.held = None;
        }
        if let (Some(held), Some(pointer)) = (self.held, response.interact_pointer_pos()) {
            let moved = response.drag_delta();
            let (now, before) = (pointer - laid.centre, pointer - moved - laid.centre);
            match held {
                Held::Inside => {
                    self.crop.centre[0] += moved.x / laid.scale;
                    self.crop.centre[1] += moved.y / laid.scale;
                }
                Held::Corner => self.crop.width *= now.length() / before.length().max(1.0),
                Held::Knob => self.crop.turn += (now.angle() - before.angle()).to_degrees(),
            }
        }
        if response.hovered() {
            let (scroll, pinch) = ui.input(|input| (input.smooth_scroll_delta.y, input.zoom_delta()));
            self.crop.width *= (scroll / 500.0).exp() * pinch;
        }
    }

    fn follow_brush(&mut self, ui: &Ui, response: &Response, place: Rect) {
        let pressed = response.dragged() || response.clicked();
        let Some(pointer) = response.interact_pointer_pos().filter(|_| pressed) else { return };
        let hides = (self.tool == Tool::Hide) != ui.input(|input| input.modifiers.shift);
        // Everything on the way from the last place.
        let from = pointer - response.drag_delta();
        let steps = (response.drag_delta().length() / self.brush_points(place).max(1.0) * 2.0).ceil().clamp(1.0, 500.0);
        for step in 1..=steps as usize {
            let at = (from.lerp(pointer, step as f32 / steps) - place.min) / place.size();
            self.mask.paint(at.into(), self.brush, hides);
        }
        self.veil = None;
    }

    fn brush_points(&self, place: Rect) -> f32 {
        self.brush * place.width().max(place.height())
    }

    fn follow_keys(&mut self, ui: &Ui, response: &Response) {
        if !response.has_focus() {
            return;
        }
        let filter = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
        for (modifiers, pace) in [(Modifiers::NONE, 1.0), (Modifiers::SHIFT, 0.1)] {
            let pressed = |key| ui.input_mut(|input| input.count_and_consume_key(modifiers, key)) as f32;
            let step = STEP * pace * self.crop.width;
            self.crop.centre[0] += step * (pressed(Key::ArrowRight) - pressed(Key::ArrowLeft));
            self.crop.centre[1] += step * (pressed(Key::ArrowDown) - pressed(Key::ArrowUp));
            self.crop.width *= (1.0 + STEP * pace).powf(pressed(Key::PageUp) - pressed(Key::PageDown));
        }
    }

    /// Keeps the frame where some of the photo is.
    pub fn limit(&mut self, photo: &Photo) {
        let [least, most] = WIDTHS;
        let Crop { centre, width, turn } = &mut self.crop;
        centre[0] = centre[0].clamp(0.0, photo.width as f32);
        centre[1] = centre[1].clamp(0.0, photo.height as f32);
        *width = width.clamp(least, most * photo.width as f32);
        *turn = turn.clamp(-MOST_TURN, MOST_TURN);
    }

    /// What is hidden, in colour.
    fn veil(&mut self, ui: &Ui) -> Option<&TextureHandle> {
        if self.mask.hides_nothing() {
            self.veil = None;
        } else if self.veil.is_none() {
            let Mask { width, height, weights } = &self.mask;
            let colour = |&weight: &u8| if weight == 0 { style::VEIL } else { Color32::TRANSPARENT };
            let image = ColorImage::new([*width, *height], weights.iter().map(colour).collect());
            self.veil = Some(ui.ctx().load_texture("hidden parts of the photo", image, TextureOptions::NEAREST));
        }
        self.veil.as_ref()
    }
}

impl Laid {
    /// A point of the frame: its corners are at -1 and 1.
    fn at(&self, x: f32, y: f32) -> Pos2 {
        self.centre + self.turn * (self.half * vec2(x, y))
    }

    fn corners(&self) -> [Pos2; 4] {
        [self.at(-1.0, -1.0), self.at(1.0, -1.0), self.at(1.0, 1.0), self.at(-1.0, 1.0)]
    }

    fn knob(&self) -> Pos2 {
        // Never so low that a small frame could not be held in its middle.
        self.centre + self.turn * vec2(0.0, KNOB.min(self.half.y / 2.0) - self.half.y)
    }

    fn held(&self, pressed: Pos2) -> Held {
        if pressed.distance(self.knob()) <= GRASP {
            Held::Knob
        } else if self.corners().iter().any(|corner| pressed.distance(*corner) <= GRASP) {
            Held::Corner
        } else {
            Held::Inside
        }
    }

    /// The frame; `inner` is clipped to the photo.
    fn paint(&self, inner: &egui::Painter, outer: &egui::Painter, has_handles: bool) {
        let corners = self.corners();
        // A ring from the frame to far beyond the photo.
        let far = 4.0 * (self.place.width() + self.place.height() + self.half.x + self.half.y);
        let mut ring = Mesh::default();
        for corner in corners {
            ring.colored_vertex(corner, style::DROP_SHADE);
            ring.colored_vertex(self.centre + (corner - self.centre).normalized() * far, style::DROP_SHADE);
        }
        for n in 0..4 {
            let (a, b) = (2 * n, 2 * ((n + 1) % 4));
            ring.add_triangle(a, a + 1, b);
            ring.add_triangle(a + 1, b + 1, b);
        }
        inner.add(Shape::mesh(ring));
        for (width, colour) in [(3.0, style::LINE_SHADE), (1.0, style::LINE)] {
            outer.add(Shape::closed_line(corners.to_vec(), (width, colour)));
        }
        if has_handles {
            for handle in corners.into_iter().chain([self.knob()]) {
                outer.circle(handle, 4.0, style::LINE, (1.0, style::LINE_SHADE));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Pixels;

    fn photo() -> Photo {
        Photo::of_pixels(&Pixels { width: 200, height: 100, channels: 3, data: vec![0; 60_000] })
    }

    #[test]
    fn the_frame_lies_where_its_crop_says() {
        let crop = Crop { centre: [100.0, 50.0], width: 50.0, turn: 90.0 };
        let frame = PhotoFrame::new(&photo(), crop);
        let laid = frame.laid(Rect::from_min_size(pos2(10.0, 20.0), vec2(400.0, 400.0)), &photo(), 2.0);
        assert_eq!((laid.place.min, laid.scale), (pos2(10.0, 120.0), 2.0));
        assert_eq!(laid.centre, pos2(210.0, 220.0));
        // Turned clockwise by a quarter, the upper left corner is on the upper right.
        assert!((laid.at(-1.0, -1.0) - pos2(235.0, 170.0)).length() < 1e-3, "{:?}", laid.at(-1.0, -1.0));
        assert!(laid.held(laid.at(1.0, 1.0)) == Held::Corner && laid.held(laid.knob()) == Held::Knob);
        assert!(laid.held(laid.centre) == Held::Inside);
    }

    #[test]
    fn the_frame_stays_on_the_photo() {
        let mut frame = PhotoFrame::new(&photo(), Crop { centre: [-10.0, 500.0], width: 1e9, turn: -70.0 });
        frame.limit(&photo());
        assert_eq!(frame.crop, Crop { centre: [0.0, 100.0], width: 800.0, turn: -45.0 });
        frame.crop.width = 0.0;
        frame.limit(&photo());
        assert_eq!(frame.crop.width, 8.0);
    }
}
