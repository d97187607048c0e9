//! Gestures that begin and end within one frame of the window.

use std::collections::VecDeque;

use egui::{Context, Event, Key, Plugin, RawInput};

/// Hands events on over as many frames as widgets need to see every press, every move and every release. egui knows a frame
/// only by where the pointer was last: of a flick that began and ended between two frames, which take up to 80 ms where the
/// window is painted by processors, it would show a release to whatever lies where it ended, and to nobody the press.
#[derive(Default)]
pub struct EventPacing {
    waiting: VecDeque<Event>,
}

/// More waiting events than this are handed on as they come: they are no hand's, and must not queue for seconds.
const MOST_WAITING: usize = 256;

impl Plugin for EventPacing {
    fn debug_name(&self) -> &'static str {
        "event pacing"
    }

    fn input_hook(&mut self, ctx: &Context, input: &mut RawInput) {
        self.waiting.extend(input.events.drain(..));
        let count = match self.waiting.len() {
            0..=MOST_WAITING => events_of_a_frame(self.waiting.make_contiguous()),
            more => more,
        };
        input.events.extend(self.waiting.drain(..count));
        if !self.waiting.is_empty() {
            ctx.request_repaint();
        }
    }
}

/// How many of `events` one frame takes: up to the first press, or to what goes before a release. A Tab has a frame of its own:
/// keys before it are for another field than those after it.
fn events_of_a_frame(events: &[Event]) -> usize {
    let mut moved = false;
    for (index, event) in events.iter().enumerate() {
        match event {
            Event::PointerMoved(_) => moved = true,
            Event::PointerButton { pressed: false, .. } if moved => return index,
            Event::PointerButton { .. } => return index + 1,
            Event::Key { key: Key::Tab, pressed: true, .. } => return index.max(1),
            _ => {}
        }
    }
    events.len()
}

#[cfg(test)]
mod tests {
    use egui::{Modifiers, PointerButton, pos2};

    use super::*;

    fn moved() -> Event {
        Event::PointerMoved(pos2(1.0, 2.0))
    }

    fn button(pressed: bool) -> Event {
        Event::PointerButton {
            pos: pos2(1.0, 2.0),
            button: PointerButton::Primary,
            pressed,
            modifiers: Modifiers::NONE,
        }
    }

    /// Numbers of events that frames get of `events`, which came at once.
    fn frames(events: Vec<Event>) -> Vec<usize> {
        let (ctx, mut pacing) = (Context::default(), EventPacing::default());
        let mut input = RawInput { events, ..RawInput::default() };
        let mut counts = Vec::new();
        loop {
            pacing.input_hook(&ctx, &mut input);
            if input.events.is_empty() {
                return counts;
            }
            counts.push(input.events.drain(..).count());
        }
    }

    #[test]
    fn presses_moves_and_releases_of_one_frame_are_seen_one_by_one() {
        assert_eq!(frames(vec![moved(), button(true), moved(), moved(), button(false), moved()]), [2, 2, 1, 1]);
        assert_eq!(frames(vec![button(true), button(false), button(true), button(false)]), [1; 4]);
        assert_eq!(frames(vec![moved(), moved(), Event::Copy]), [3]);
        let tab =
            Event::Key { key: Key::Tab, physical_key: None, pressed: true, repeat: false, modifiers: Modifiers::NONE };
        assert_eq!(frames(vec![Event::Copy, Event::Copy, tab.clone(), tab, Event::Copy]), [2, 1, 1, 1]);
    }

    #[test]
    fn a_flood_of_events_does_not_wait() {
        let clicks = std::iter::repeat_with(|| [button(true), button(false)]).flatten().take(10_000);
        assert_eq!(frames(clicks.collect()), [10_000]);
    }
}
