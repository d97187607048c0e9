//! The ruler of layers: any range of them, by its ends or its middle.

use egui::accesskit::{Action, ActionData, Role};
use egui::{Align2, CursorIcon, EventFilter, FontId, Key, Rangef, Rect, Response, Sense, StrokeKind, Ui, pos2, vec2};

use super::style;
use crate::edit::LayerSet;
use crate::generator::ModelInfo;

const CELLS: f32 = 16.0;
const NUMBERS: f32 = 14.0;
/// Points beside an end that belong to it.
const REACH: f32 = 8.0;

/// One cell for each layer, with the sizes of their maps below. A change is written to `layers`.
pub fn ruler_ui(ui: &mut Ui, info: &ModelInfo, layers: &mut LayerSet) {
    let (area, _) = ui.allocate_exact_size(vec2(ui.available_width(), CELLS + NUMBERS), Sense::hover());
    let cells = Cells { rect: Rect::from_min_size(area.min, vec2(area.width(), CELLS)), count: info.num_layers };
    let response = follow_pointer(ui, &cells, layers);
    facts_ui(response, &cells, info);
    cells.paint(ui, layers);
    sizes_ui(ui, info, &cells, Rangef::new(cells.rect.bottom(), area.bottom()));
    for end in [End::First, End::Last] {
        end_ui(ui, end, layers, &cells);
    }
}

/// Where the layers are.
struct Cells {
    rect: Rect,
    count: usize,
}

impl Cells {
    /// Where a layer begins.
    fn edge(&self, layer: usize) -> f32 {
        self.rect.left() + self.rect.width() * layer as f32 / self.count as f32
    }

    /// Layers from the left edge.
    fn at(&self, x: f32) -> f32 {
        (x - self.rect.left()) / self.rect.width() * self.count as f32
    }

    fn layer_at(&self, x: f32) -> usize {
        (self.at(x).max(0.0) as usize).min(self.count - 1)
    }

    fn paint(&self, ui: &Ui, layers: &LayerSet) {
        let colours = style::palette(ui);
        for layer in 0..self.count {
            let x = Rangef::new(self.edge(layer), self.edge(layer + 1)).shrink(0.5);
            let fill = if layers.contains(layer) { colours.accent_dim } else { colours.button };
            ui.painter().rect_filled(Rect::from_x_y_ranges(x, self.rect.y_range()), 1.0, fill);
        }
    }
}

/// What a press on the ruler takes hold of.
#[derive(Clone, Copy, PartialEq)]
enum Grip {
    One(End),
    /// The middle: both ends move, the pointer is this many layers behind the first.
    Both(f32),
}

fn follow_pointer(ui: &Ui, cells: &Cells, layers: &mut LayerSet) -> Response {
    // The ends take the keyboard, so the ruler itself does not.
    let sense = Sense::CLICK | Sense::DRAG;
    let response = ui.interact(cells.rect, ui.scope_id().with("ruler"), sense);
    let grip_id = response.id.with("grip");
    let pointer = response.interact_pointer_pos().filter(|_| response.is_pointer_button_down_on());
    let Some(pointer) = pointer else {
        ui.data_mut(|data| data.remove::<Grip>(grip_id));
        return response;
    };
    let grip = ui.data(|data| data.get_temp::<Grip>(grip_id)).unwrap_or_else(|| grab(cells, pointer.x, layers));
    ui.data_mut(|data| data.insert_temp(grip_id, grip));
    let (first, last) = (layers.first(), layers.last());
    let moved = match grip {
        Grip::One(end) => end.moved(layers, cells.layer_at(pointer.x), cells.count),
        Grip::Both(behind) => {
            let highest = (cells.count - 1).saturating_sub(last - first);
            let start = ((cells.at(pointer.x) - behind).round().max(0.0) as usize).min(highest);
            LayerSet::range(start, start + last - first)
        }
    };
    // A set with holes stays one until an end is really moved.
    if (moved.first(), moved.last()) != (first, last) {
        *layers = moved;
    }
    response
}

/// What is beside an end belongs to it, but never more than a third of what is chosen.
fn grab(cells: &Cells, pointer: f32, layers: &LayerSet) -> Grip {
    let at = cells.at(pointer);
    let (left, right) = (layers.first() as f32, layers.last() as f32 + 1.0);
    let reach = (REACH / cells.rect.width() * cells.count as f32).min((right - left) / 3.0);
    if at < left + reach {
        Grip::One(End::First)
    } else if at > right - reach {
        Grip::One(End::Last)
    } else {
        Grip::Both(at - left)
    }
}

/// What the layer under the pointer is.
fn facts_ui(response: Response, cells: &Cells, info: &ModelInfo) {
    let dragged = response.dragged();
    let response = response.on_hover_cursor(if dragged { CursorIcon::Grabbing } else { CursorIcon::PointingHand });
    // While dragging, the numbers below say more, and must not be covered.
    let pointed = response.hover_pos().filter(|_| !dragged).map(|pointer| cells.layer_at(pointer.x));
    if let Some(layer) = pointed.and_then(|layer| info.layers.get(layer)) {
        let facts = format!("{} px, {} channels", layer.size.brief(), layer.channels);
        let text = format!("Layer {}: {}\n{facts}\nDrag an end or the middle", layer.index, layer.name);
        response.on_hover_text_at_pointer(text);
    }
}

/// One end of the range, which the keyboard and assistive tools can move.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    First,
    Last,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            End::First => "First layer",
            End::Last => "Last layer",
        }
    }

    fn of(self, layers: &LayerSet) -> usize {
        match self {
            End::First => layers.first(),
            End::Last => layers.last(),
        }
    }

    /// The lowest and the highest layer that this end can be, so that the other stays where it is.
    fn reach(self, layers: &LayerSet, count: usize) -> (usize, usize) {
        match self {
            End::First => (0, layers.last()),
            End::Last => (layers.first(), count - 1),
        }
    }

    /// The range with this end at a layer, as near as it can come.
    fn moved(self, layers: &LayerSet, to: usize, count: usize) -> LayerSet {
        let (lowest, highest) = self.reach(layers, count);
        let to = to.clamp(lowest, highest.max(lowest));
        match self {
            End::First => LayerSet::range(to, layers.last()),
            End::Last => LayerSet::range(layers.first(), to),
        }
    }
}

fn end_ui(ui: &mut Ui, end: End, layers: &mut LayerSet, cells: &Cells) {
    let x = match end {
        End::First => cells.edge(layers.first()) + 1.5,
        End::Last => cells.edge(layers.last() + 1) - 1.5,
    };
    let bar = Rect::from_center_size(pos2(x, cells.rect.center().y), vec2(3.0, CELLS + 2.0));
    let id = ui.scope_id().with(end.name());
    // No sense of the pointer: the ruler below takes every press.
    let response = ui.interact(bar, id, Sense::focusable_noninteractive());
    let colours = style::palette(ui);
    ui.painter().rect_filled(bar, 1.0, colours.accent);
    if response.has_focus() {
        let filter = EventFilter { horizontal_arrows: true, ..Default::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(id, filter));
        ui.painter().rect_stroke(bar.expand(2.0), 2.0, (1.0, colours.accent), StrokeKind::Inside);
    }
    let to = asked(ui, &response, end.of(layers));
    if to != end.of(layers) {
        *layers = end.moved(layers, to, cells.count);
    }
    describe(ui, &response, end, layers, cells.count);
}

/// The layer that keys or assistive tools want an end at.
fn asked(ui: &Ui, response: &Response, now: usize) -> usize {
    let (id, focused) = (response.id, response.has_focus());
    ui.input(|input| {
        let set = input.accesskit_action_requests(id, Action::SetValue).filter_map(|request| match request.data {
            Some(ActionData::NumericValue(value)) if value.is_finite() => Some(value.round().max(0.0) as usize),
            _ => None,
        });
        let mut steps = input.num_accesskit_action_requests(id, Action::Increment) as isize
            - input.num_accesskit_action_requests(id, Action::Decrement) as isize;
        if focused {
            steps += input.num_presses(Key::ArrowRight) as isize - input.num_presses(Key::ArrowLeft) as isize;
        }
        set.last().unwrap_or(now).saturating_add_signed(steps)
    })
}

fn describe(ui: &Ui, response: &Response, end: End, layers: &LayerSet, count: usize) {
    let (value, (lowest, highest)) = (end.of(layers), end.reach(layers, count));
    response.widget_info(|| egui::WidgetInfo::slider(ui.is_enabled(), value as f64, end.name()));
    ui.ctx().accesskit_node_builder(response.id, |node| {
        node.set_role(Role::Slider);
        node.set_label(end.name());
        node.set_value(value.to_string());
        node.set_min_numeric_value(lowest as f64);
        node.set_max_numeric_value(highest as f64);
        node.set_numeric_value_step(1.0);
        for action in [Action::SetValue, Action::Increment, Action::Decrement] {
            node.add_action(action);
        }
    });
}

/// The sizes below the cells, one for all layers of the same.
fn sizes_ui(ui: &Ui, info: &ModelInfo, cells: &Cells, y: Rangef) {
    let colour = style::palette(ui).text_weak;
    let font = FontId::proportional(10.0);
    let mut free_from = f32::NEG_INFINITY;
    for run in info.layers.chunk_by(|a, b| a.size == b.size) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let x = (cells.edge(first.index) + cells.edge(last.index + 1)) / 2.0;
        let galley = ui.painter().layout_no_wrap(first.size.brief(), font.clone(), colour);
        let rect = Align2::CENTER_CENTER.anchor_size(pos2(x, y.center()), galley.size());
        // Too many layers for the width: leave numbers out rather than paint them over each other.
        if rect.left() >= free_from {
            free_from = rect.right() + 3.0;
            ui.painter().galley(rect.min, galley, colour);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_never_passes_the_other_nor_the_last_layer() {
        let layers = LayerSet::range(2, 5);
        assert_eq!(End::First.moved(&layers, 9, 8), LayerSet::range(5, 5));
        assert_eq!(End::Last.moved(&layers, 0, 8), LayerSet::range(2, 2));
        assert_eq!(End::Last.moved(&layers, usize::MAX, 8), LayerSet::range(2, 7));
        // A set of an edit that was made with more layers than there are.
        assert_eq!(End::Last.moved(&LayerSet::range(9, 12), 3, 8), LayerSet::range(9, 9));
    }
}
