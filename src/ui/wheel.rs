//! The wheel over a slider steps it, and over a list scrolls it.

use egui::{Context, Event, Id, Modifiers, MouseWheelUnit, Response, Ui, Vec2};

/// Wheel events closer together than this (seconds) belong to one turn of the wheel.
const GAP: f64 = 0.35;
/// Touch pads count in points; a wheel's notch is taken for as many.
const POINTS_PER_NOTCH: f32 = 50.0;

/// Whose a turn of the wheel is: the slider under the pointer where it began, or the list's. Otherwise a list that scrolls
/// under a resting pointer would change the sliders that pass by.
#[derive(Clone, Copy)]
struct Turn {
    /// `None`: the list's.
    owner: Option<Id>,
    /// When the wheel was last turned, in seconds.
    last: f64,
    /// Less than a notch that a slider of whole steps has not used yet.
    rest: f32,
}

fn turn_id() -> Id {
    Id::unique("turn of the wheel")
}

/// A tenth with Shift, where there is less than a `whole` step; ten with Ctrl.
pub fn pace(modifiers: Modifiers, whole: bool) -> f32 {
    match (modifiers.shift, modifiers.command) {
        (true, _) if !whole => 0.1,
        (_, true) => 10.0,
        _ => 1.0,
    }
}

/// Notches turned over this slider, `whole` ones only if so; they are taken from whatever would scroll.
pub fn wheel_steps(ui: &Ui, response: &Response, whole: bool) -> f32 {
    if !response.hovered() || !response.enabled() {
        return 0.0;
    }
    let (now, notches) = ui.input(|input| {
        let turned = input.events.iter().filter_map(|event| match event {
            Event::MouseWheel { unit, delta, modifiers, .. } => {
                // Shift turns a wheel sideways on some systems.
                let delta = if delta.y != 0.0 { delta.y } else { delta.x };
                let points_per_notch = if *unit == MouseWheelUnit::Point { POINTS_PER_NOTCH } else { 1.0 };
                Some(delta / points_per_notch * pace(*modifiers, whole))
            }
            _ => None,
        });
        (input.time, turned.sum::<f32>())
    });
    let turn = ui.data(|data| data.get_temp::<Turn>(turn_id()));
    let mine = turn.filter(|turn| turn.owner == Some(response.id));
    let Some(mut turn) = mine.or_else(|| {
        let fresh = Turn { owner: Some(response.id), last: now, rest: 0.0 };
        (notches != 0.0 && turn.is_none()).then_some(fresh)
    }) else {
        return 0.0;
    };
    turn.rest += notches;
    let steps = if whole { turn.rest.trunc() } else { turn.rest };
    turn.rest -= steps;
    ui.data_mut(|data| data.insert_temp(turn_id(), turn));
    ui.input_mut(|input| input.smooth_scroll_delta = Vec2::ZERO);
    steps
}

/// To be called before and after the panels of a frame: a turn of the wheel that no slider took belongs to the lists.
pub fn track_wheel(ctx: &Context, before_panels: bool) {
    let (now, turned) = ctx.input(|input| {
        let turned = input.events.iter().any(|event| matches!(event, Event::MouseWheel { .. }));
        (input.time, turned)
    });
    ctx.data_mut(|data| {
        let turn = data.get_temp::<Turn>(turn_id());
        let over = turn.is_none_or(|turn| now - turn.last > GAP);
        match (before_panels, turned, turn) {
            (true, _, _) if over => data.remove::<Turn>(turn_id()),
            (false, true, turn) => {
                let turn = turn.unwrap_or(Turn { owner: None, last: now, rest: 0.0 });
                data.insert_temp(turn_id(), Turn { last: now, ..turn });
            }
            _ => {}
        }
    });
}
