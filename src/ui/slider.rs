//! The slider of a direction: marked at its centre, filled from there, resettable, steppable, and never in the way of
//! values beyond its ends.

use std::ops::RangeInclusive;

use egui::accesskit::{Action, ActionData, Role};
use egui::{EventFilter, Id, Key, Modifiers, Rect, Response, Sense, StrokeKind, Ui, pos2, remap, remap_clamp, vec2};

use super::style;

/// Nearer to the centre than this many points, a drag gives the centre itself.
const SNAP: f32 = 2.5;
const HANDLE: egui::Vec2 = vec2(6.0, 14.0);
/// Wheel events closer together than this (seconds) belong to one turn of the wheel.
const WHEEL_GAP: f64 = 0.35;

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
}

/// What happened to a slider besides its value.
pub struct SliderResponse {
    pub response: Response,
    /// Reset by double-click or Delete: stronger than a value of 0.
    pub reset: bool,
}

#[derive(Clone, Copy)]
struct Drag {
    /// The track does not move under the pointer while dragging.
    low: f32,
    high: f32,
    /// From the pointer to the handle where it was grabbed, in points.
    grip: f32,
    /// Pointer position and value where Shift was pressed: from there on it moves at a tenth.
    fine: Option<(f32, f32)>,
}

impl<'a> Slider<'a> {
    /// `name` is the accessible name.
    pub fn new(value: &'a mut f32, range: RangeInclusive<f32>, name: &'a str) -> Self {
        Slider { value, range, home: 0.0, step: 0.1, decimals: 2, name }
    }

    pub fn home(mut self, home: f32) -> Self {
        self.home = home;
        self
    }

    pub fn step(mut self, step: f32) -> Self {
        self.step = step;
        self
    }

    /// Whole numbers only.
    pub fn integer(mut self) -> Self {
        self.step = 1.0;
        self.decimals = 0;
        self
    }

    pub fn show(self, ui: &mut Ui, width: f32) -> SliderResponse {
        let (rect, mut response) = ui.allocate_exact_size(vec2(width, style::ROW), Sense::click_and_drag());
        let id = response.id;
        let before = *self.value;
        let dragged: Option<Drag> = ui.data(|data| data.get_temp(id));
        let (low, high) = match dragged {
            Some(drag) if response.is_pointer_button_down_on() => (drag.low, drag.high),
            _ => (self.range.start().min(before), self.range.end().max(before)),
        };
        let travel = rect.x_range().shrink(HANDLE.x / 2.0 + 1.0);
        let to_x = |value: f32| remap_clamp(value, low..=high, travel);

        if response.is_pointer_button_down_on() && ui.input(|input| input.pointer.primary_down()) {
            if let Some(pointer) = response.interact_pointer_pos() {
                let mut drag = dragged.unwrap_or_else(|| {
                    response.request_focus();
                    // Only a press beside the handle makes it jump, so that a double-click on the handle never does.
                    let grip = to_x(before) - pointer.x;
                    let grip = if grip.abs() <= HANDLE.x { grip } else { 0.0 };
                    Drag { low, high, grip, fine: None }
                });
                *self.value = self.dragged_to(ui, &mut drag, pointer.x, travel);
                ui.data_mut(|data| data.insert_temp(id, drag));
            }
        } else if dragged.is_some() {
            ui.data_mut(|data| data.remove::<Drag>(id));
        }

        let mut reset = response.double_clicked();
        if response.has_focus() {
            let filter = EventFilter { horizontal_arrows: true, ..Default::default() };
            ui.memory_mut(|memory| memory.set_focus_lock_filter(id, filter));
            leave_space_free(ui, &response);
            reset |= ui.input_mut(|input| {
                input.consume_key(Modifiers::NONE, Key::Delete) || input.consume_key(Modifiers::NONE, Key::Backspace)
            });
        }
        let steps = key_steps(ui, &response) + wheel_steps(ui, &response);
        if steps != 0.0 {
            *self.value = self.rounded(*self.value + steps * self.step, self.decimals + 1);
        }
        if let Some(asked) = asked_by_screen_reader(ui, id) {
            *self.value = asked;
        }
        if reset {
            *self.value = self.home;
        }
        if *self.value != before {
            response.mark_changed();
        }
        self.describe(ui, &response, low, high);
        if ui.is_rect_visible(rect) {
            self.paint(ui, rect, &response, to_x);
        }
        SliderResponse { response, reset }
    }

    fn dragged_to(&self, ui: &Ui, drag: &mut Drag, pointer: f32, travel: egui::Rangef) -> f32 {
        let modifiers = ui.input(|input| input.modifiers);
        let per_point = (drag.high - drag.low) / travel.span().max(1.0);
        if modifiers.shift && self.decimals > 0 {
            let (from, value) = *drag.fine.get_or_insert((pointer, *self.value));
            let value = value + (pointer - from) * per_point * 0.1;
            return self.rounded(value.clamp(drag.low, drag.high), self.decimals + 1);
        }
        drag.fine = None;
        let value = remap((pointer + drag.grip).clamp(travel.min, travel.max), travel, drag.low..=drag.high);
        if modifiers.command {
            let coarse = self.step * 5.0;
            return (value / coarse).round() * coarse;
        }
        // Digits finer than half a point of travel would be noise.
        let decimals = if per_point > 0.02 { self.decimals.min(1) } else { self.decimals };
        if (value - self.home).abs() < SNAP * per_point { self.home } else { self.rounded(value, decimals) }
    }

    fn rounded(&self, value: f32, decimals: usize) -> f32 {
        let decimals = if self.decimals == 0 { 0 } else { decimals };
        let scale = 10_f64.powi(decimals as i32);
        ((f64::from(value) * scale).round() / scale) as f32
    }

    fn describe(&self, ui: &Ui, response: &Response, low: f32, high: f32) {
        let value = *self.value;
        response.widget_info(|| egui::WidgetInfo::slider(ui.is_enabled(), f64::from(value), self.name));
        ui.ctx().accesskit_node_builder(response.id, |node| {
            node.set_role(Role::Slider);
            node.set_label(self.name.to_owned());
            node.set_value(format!("{value:.*}", self.decimals));
            node.set_min_numeric_value(f64::from(low));
            node.set_max_numeric_value(f64::from(high));
            node.set_numeric_value_step(f64::from(self.step));
            for action in [Action::SetValue, Action::Increment, Action::Decrement] {
                node.add_action(action);
            }
        });
    }

    fn paint(&self, ui: &Ui, rect: Rect, response: &Response, to_x: impl Fn(f32) -> f32) {
        let colours = style::palette(ui);
        let painter = ui.painter();
        let (y, x, home) = (rect.center().y, to_x(*self.value), to_x(self.home));
        let bar = |from: f32, to: f32, height: f32| {
            Rect::from_min_max(pos2(from.min(to), y - height / 2.0), pos2(from.max(to), y + height / 2.0))
        };
        painter.rect_filled(bar(rect.left() + 1.0, rect.right() - 1.0, 2.0), 1.0, colours.rail);
        painter.rect_filled(Rect::from_center_size(pos2(home, y), vec2(1.0, 8.0)), 0.0, colours.rail);
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

const FOCUSED: &str = "focused, Space free";
const WHEEL: &str = "wheel owner";

/// Says that a control has the keyboard but no use for Space.
pub fn leave_space_free(ui: &Ui, focused: &Response) {
    ui.data_mut(|data| data.insert_temp(Id::unique(FOCUSED), focused.id));
}

/// True if Space is free: no control has the keyboard, or one that leaves Space alone.
pub fn space_is_free(ctx: &egui::Context) -> bool {
    let focused = ctx.memory(|memory| memory.focused());
    focused.is_none() || focused == ctx.data(|data| data.get_temp::<Id>(Id::unique(FOCUSED)))
}

/// A tenth with Shift, ten with Ctrl.
fn pace(modifiers: Modifiers) -> f32 {
    match (modifiers.shift, modifiers.command) {
        (true, _) => 0.1,
        (_, true) => 10.0,
        _ => 1.0,
    }
}

fn key_steps(ui: &Ui, response: &Response) -> f32 {
    let id = response.id;
    let asked = ui.input(|input| {
        input.num_accesskit_action_requests(id, Action::Increment) as f32
            - input.num_accesskit_action_requests(id, Action::Decrement) as f32
    });
    if !response.has_focus() {
        return asked;
    }
    let pressed = ui.input(|input| {
        let steps = input.num_presses(Key::ArrowRight) as f32 - input.num_presses(Key::ArrowLeft) as f32;
        steps * pace(input.modifiers)
    });
    asked + pressed
}

fn asked_by_screen_reader(ui: &Ui, id: Id) -> Option<f32> {
    ui.input(|input| {
        let requests = input.accesskit_action_requests(id, Action::SetValue);
        let values = requests.filter_map(|request| match request.data {
            Some(ActionData::NumericValue(value)) => Some(value as f32),
            _ => None,
        });
        values.last()
    })
}

/// Whose a turn of the wheel is: the slider under the pointer where it began, or the list's. Otherwise a list that scrolls
/// under a resting pointer would change the sliders that pass by.
#[derive(Clone, Copy)]
struct Wheel {
    owner: Option<Id>,
    last: f64,
}

/// Notches turned over this slider; they are taken from whatever would scroll.
pub fn wheel_steps(ui: &Ui, response: &Response) -> f32 {
    if !response.hovered() || !response.enabled() {
        return 0.0;
    }
    let notches: f32 = ui.input(|input| {
        let turned = input.events.iter().filter_map(|event| match event {
            egui::Event::MouseWheel { unit, delta, modifiers, .. } => {
                // Shift turns a wheel sideways on some systems.
                let delta = if delta.y != 0.0 { delta.y } else { delta.x };
                let points_per_notch = if *unit == egui::MouseWheelUnit::Point { 50.0 } else { 1.0 };
                Some(delta / points_per_notch * pace(*modifiers))
            }
            _ => None,
        });
        turned.sum()
    });
    let wheel = ui.data(|data| data.get_temp::<Wheel>(Id::unique(WHEEL)));
    let mine = wheel.is_some_and(|wheel| wheel.owner == Some(response.id));
    let free = notches != 0.0 && wheel.is_none();
    if free {
        let last = ui.input(|input| input.time);
        ui.data_mut(|data| data.insert_temp(Id::unique(WHEEL), Wheel { owner: Some(response.id), last }));
    }
    if !mine && !free {
        return 0.0;
    }
    ui.input_mut(|input| input.smooth_scroll_delta = egui::Vec2::ZERO);
    notches
}

/// To be called before and after the panels of a frame: a turn of the wheel that no slider took belongs to the lists.
pub fn track_wheel(ctx: &egui::Context, before_panels: bool) {
    let (now, turned) = ctx.input(|input| {
        let turned = input.events.iter().any(|event| matches!(event, egui::Event::MouseWheel { .. }));
        (input.time, turned)
    });
    ctx.data_mut(|data| {
        let id = Id::unique(WHEEL);
        let wheel = data.get_temp::<Wheel>(id);
        let over = wheel.is_none_or(|wheel| now - wheel.last > WHEEL_GAP);
        match (before_panels, turned, wheel) {
            (true, _, _) if over => data.remove::<Wheel>(id),
            (false, true, wheel) => {
                data.insert_temp(id, Wheel { owner: wheel.and_then(|wheel| wheel.owner), last: now });
            }
            _ => {}
        }
    });
}
