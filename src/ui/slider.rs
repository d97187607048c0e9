//! The slider of a direction: marked at its centre, filled from there, resettable, steppable, and never in the way of
//! values beyond its ends.

use std::ops::RangeInclusive;

use egui::accesskit::{Action, ActionData, Role};
use egui::{
    Event, EventFilter, Id, Key, Modifiers, Rangef, Rect, Response, Sense, StrokeKind, Ui, pos2, remap_clamp, vec2,
};

use super::keyboard::leave_space_free;
use super::style;
use super::wheel::{pace, wheel_steps};

/// Nearer to the centre than this many points, a drag gives the centre itself.
const SNAP: f32 = 2.5;
const HANDLE: egui::Vec2 = vec2(6.0, 14.0);

pub struct Slider<'a> {
    value: &'a mut f32,
    /// Stretched to hold the value, if that lies outside.
    range: RangeInclusive<f32>,
    /// Where the fill starts, and what a reset gives.
    home: f32,
    /// One step of wheel and arrow keys; a tenth with Shift, ten with Ctrl.
    step: f32,
    decimals: usize,
    name: &'a str,
    /// Values that are marked on the rail.
    marks: [f32; 2],
}

/// What happened to a slider besides its value.
pub struct SliderResponse {
    pub response: Response,
    /// Reset by double-click or Delete: stronger than a value of 0.
    pub reset: bool,
}

/// A drag under way. Where the track is and what it spans stay as they were when it was pressed.
#[derive(Clone, Copy)]
struct Drag {
    low: f32,
    high: f32,
    /// Pointer (points) and value that motion counts from: where the slider was pressed, or where Shift was last pressed or
    /// released, so that neither makes the value jump.
    from: (f32, f32),
    /// The value while the pointer is still at `from`: a handle that is only held keeps its value, unrounded.
    held: f32,
    /// Shift was down: motion counts a tenth.
    fine: bool,
}

/// The part of a slider's width that its handle travels, and the values at its ends.
#[derive(Clone, Copy)]
struct Track {
    travel: Rangef,
    low: f32,
    high: f32,
}

impl Track {
    fn x(&self, value: f32) -> f32 {
        remap_clamp(value, self.low..=self.high, self.travel)
    }

    fn value(&self, x: f32) -> f32 {
        remap_clamp(x, self.travel, self.low..=self.high)
    }

    /// Value per point of travel.
    fn per_point(&self) -> f32 {
        (self.high - self.low) / self.travel.span().max(1.0)
    }
}

impl<'a> Slider<'a> {
    /// `name` is the accessible name.
    pub fn new(value: &'a mut f32, range: RangeInclusive<f32>, name: &'a str) -> Self {
        Slider { value, range, home: 0.0, step: 0.1, decimals: 2, name, marks: [f32::NEG_INFINITY, f32::INFINITY] }
    }

    pub fn home(mut self, home: f32) -> Self {
        self.home = home;
        self
    }

    pub fn step(mut self, step: f32) -> Self {
        self.step = step;
        self
    }

    /// Marks two values, if they lie within the ends.
    pub fn marks(mut self, marks: [f32; 2]) -> Self {
        self.marks = marks;
        self
    }

    /// Whole numbers only.
    pub fn integer(mut self) -> Self {
        self.step = 1.0;
        self.decimals = 0;
        self
    }

    pub fn show(mut self, ui: &mut Ui, width: f32) -> SliderResponse {
        let (rect, mut response) = ui.allocate_exact_size(vec2(width, style::ROW), Sense::click_and_drag());
        let before = *self.value;
        let track = self.follow_pointer(ui, rect, &response);
        let reset = response.double_clicked() | self.follow_keys(ui, &response);
        let wheel = wheel_steps(ui, &response, self.decimals == 0);
        if wheel != 0.0 {
            self.step_by(wheel);
        }
        if let Some(asked) = asked_by_screen_reader(ui, response.id) {
            *self.value = if self.decimals == 0 { asked.round() } else { asked };
        }
        if reset {
            *self.value = self.home;
        }
        if *self.value != before {
            response.mark_changed();
        }
        self.describe(ui, &response, &track);
        if ui.is_rect_visible(rect) {
            self.paint(ui, rect, &response, &track);
        }
        SliderResponse { response, reset }
    }

    /// Takes the value to where the pointer drags it; returns the track.
    fn follow_pointer(&mut self, ui: &Ui, rect: Rect, response: &Response) -> Track {
        let travel = rect.x_range().shrink(HANDLE.x / 2.0 + 1.0);
        let at_rest =
            Track { travel, low: self.range.start().min(*self.value), high: self.range.end().max(*self.value) };
        let id = response.id;
        let dragged: Option<Drag> = ui.data(|data| data.get_temp(id));
        let pressed = response.is_pointer_button_down_on() && ui.input(|input| input.pointer.primary_down());
        let Some(pointer) = response.interact_pointer_pos().filter(|_| pressed) else {
            if dragged.is_some() {
                ui.data_mut(|data| data.remove::<Drag>(id));
            }
            return at_rest;
        };
        let mut drag = dragged.unwrap_or_else(|| {
            response.request_focus();
            self.grab(&at_rest, pointer.x)
        });
        let track = Track { travel, low: drag.low, high: drag.high };
        *self.value = self.dragged_to(&track, &mut drag, pointer.x, ui.input(|input| input.modifiers));
        ui.data_mut(|data| data.insert_temp(id, drag));
        track
    }

    /// A press on the handle moves nothing, so that a double-click on it never does; one beside it makes it jump there.
    fn grab(&self, track: &Track, pointer: f32) -> Drag {
        let Track { low, high, .. } = *track;
        let on_handle = (track.x(*self.value) - pointer).abs() <= HANDLE.x;
        let from = if on_handle { *self.value } else { track.value(pointer) };
        let held = if on_handle { *self.value } else { self.settled(track, from, Modifiers::NONE) };
        Drag { low, high, from: (pointer, from), held, fine: false }
    }

    fn dragged_to(&self, track: &Track, drag: &mut Drag, pointer: f32, modifiers: Modifiers) -> f32 {
        let fine = modifiers.shift && self.decimals > 0;
        if fine != drag.fine {
            (drag.fine, drag.from, drag.held) = (fine, (pointer, *self.value), *self.value);
        }
        let (from, value) = drag.from;
        if pointer == from {
            return drag.held;
        }
        let pace = if fine { 0.1 } else { 1.0 };
        let value = (value + (pointer - from) * track.per_point() * pace).clamp(track.low, track.high);
        self.settled(track, value, modifiers)
    }

    /// The value that a drag to `value` gives: one of as many as the hand can tell apart.
    fn settled(&self, track: &Track, value: f32, modifiers: Modifiers) -> f32 {
        let per_point = track.per_point();
        if modifiers.shift && self.decimals > 0 {
            return self.rounded(value, self.decimals + 1);
        }
        if modifiers.command {
            let coarse = self.step * 5.0;
            return (value / coarse).round() * coarse;
        }
        // Digits finer than half a point of travel would be noise.
        let decimals = if per_point > 0.02 { self.decimals.min(1) } else { self.decimals };
        if (value - self.home).abs() < SNAP * per_point { self.home } else { self.rounded(value, decimals) }
    }

    /// Arrow keys, and what assistive tools call increment and decrement, step. Returns true for a key that resets.
    fn follow_keys(&mut self, ui: &Ui, response: &Response) -> bool {
        let id = response.id;
        let mut steps = ui.input(|input| {
            input.num_accesskit_action_requests(id, Action::Increment) as f32
                - input.num_accesskit_action_requests(id, Action::Decrement) as f32
        });
        let mut reset = false;
        if response.has_focus() {
            let filter = EventFilter { horizontal_arrows: true, ..Default::default() };
            ui.memory_mut(|memory| memory.set_focus_lock_filter(id, filter));
            leave_space_free(ui, response);
            let whole = self.decimals == 0;
            ui.input_mut(|input| {
                let pressed = input.events.iter().filter_map(|event| match event {
                    Event::Key { key: Key::ArrowRight, pressed: true, modifiers, .. } => Some(pace(*modifiers, whole)),
                    Event::Key { key: Key::ArrowLeft, pressed: true, modifiers, .. } => Some(-pace(*modifiers, whole)),
                    _ => None,
                });
                steps += pressed.sum::<f32>();
                reset = input.consume_key(Modifiers::NONE, Key::Delete)
                    | input.consume_key(Modifiers::NONE, Key::Backspace);
            });
        }
        if steps != 0.0 {
            self.step_by(steps);
        }
        reset
    }

    fn step_by(&mut self, steps: f32) {
        let value = self.rounded(*self.value + steps * self.step, self.decimals + 1);
        if value.is_finite() {
            *self.value = value;
        }
    }

    fn rounded(&self, value: f32, decimals: usize) -> f32 {
        let decimals = if self.decimals == 0 { 0 } else { decimals };
        let scale = 10_f64.powi(decimals as i32);
        ((f64::from(value) * scale).round() / scale) as f32
    }

    fn describe(&self, ui: &Ui, response: &Response, track: &Track) {
        let value = *self.value;
        response.widget_info(|| egui::WidgetInfo::slider(ui.is_enabled(), f64::from(value), self.name));
        ui.ctx().accesskit_node_builder(response.id, |node| {
            node.set_role(Role::Slider);
            node.set_label(self.name.to_owned());
            node.set_value(format!("{value:.*}", self.decimals));
            node.set_min_numeric_value(f64::from(track.low));
            node.set_max_numeric_value(f64::from(track.high));
            node.set_numeric_value_step(f64::from(self.step));
            for action in [Action::SetValue, Action::Increment, Action::Decrement] {
                node.add_action(action);
            }
        });
    }

    fn paint(&self, ui: &Ui, rect: Rect, response: &Response, track: &Track) {
        let colours = style::palette(ui);
        let painter = ui.painter();
        let (y, x, home) = (rect.center().y, track.x(*self.value), track.x(self.home));
        let bar = |from: f32, to: f32, height: f32| {
            Rect::from_min_max(pos2(from.min(to), y - height / 2.0), pos2(from.max(to), y + height / 2.0))
        };
        painter.rect_filled(bar(rect.left() + 1.0, rect.right() - 1.0, 2.0), 1.0, colours.rail);
        painter.rect_filled(Rect::from_center_size(pos2(home, y), vec2(1.0, 8.0)), 0.0, colours.rail);
        for mark in self.marks.into_iter().filter(|mark| track.low < *mark && *mark < track.high) {
            let mark = Rect::from_center_size(pos2(track.x(mark), y), vec2(1.0, 6.0));
            painter.rect_filled(mark, 0.0, colours.warning);
        }
        let moved = *self.value != self.home;
        if moved {
            painter.rect_filled(bar(home, x, 3.0), 1.0, colours.accent);
        }
        let handle = Rect::from_center_size(pos2(x, y), HANDLE);
        let alive = response.hovered() || response.is_pointer_button_down_on();
        let fill = match (moved, alive) {
            (true, _) => colours.accent,
            (false, true) => colours.text_strong,
            (false, false) => colours.handle,
        };
        painter.rect_filled(handle, 2.0, fill);
        if response.has_focus() {
            painter.rect_stroke(handle.expand(2.0), 4.0, (1.0, colours.accent), StrokeKind::Inside);
        }
    }
}

/// The last value that was asked for; what is no finite number in 32 bits is none.
fn asked_by_screen_reader(ui: &Ui, id: Id) -> Option<f32> {
    ui.input(|input| {
        let requests = input.accesskit_action_requests(id, Action::SetValue);
        let values = requests.filter_map(|request| match request.data {
            Some(ActionData::NumericValue(value)) => Some(value as f32).filter(|value| value.is_finite()),
            _ => None,
        });
        values.last()
    })
}
