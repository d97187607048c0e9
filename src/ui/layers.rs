//! Which layers are factorised: the groups of the paper, and a ruler for any other range.

use egui::accesskit::{Action, Role};
use egui::{Align2, EventFilter, FontId, Key, Rangef, Rect, Sense, StrokeKind, Ui, pos2, vec2};

use super::command::Command;
use super::segments::{Segment, segments_ui};
use super::style;
use crate::edit::LayerSet;
use crate::generator::{Group, ModelInfo};

/// Buttons and ruler. A change is written to `layers`.
pub fn layers_ui(ui: &mut Ui, info: &ModelInfo, layers: &mut LayerSet) {
    let segments: Vec<(Segment<'_>, Option<LayerSet>, String)> = Group::ALL
        .into_iter()
        .map(|group| {
            // A group that is the whole model is the button "All".
            let whole = info.group(Group::All);
            let set = info.group(group).filter(|set| group == Group::All || Some(set) != whole.as_ref());
            let hint = match &set {
                Some(set) => format!("Layers {set}: {}", Command::Select(group).hint(ui.ctx())),
                None => "This model has no such layers".to_owned(),
            };
            let on = set.as_ref() == Some(layers);
            (Segment { text: group.name(), name: group.name(), tooltip: "", enabled: set.is_some(), on }, set, hint)
        })
        .collect();
    let shown: Vec<Segment<'_>> =
        segments.iter().map(|(segment, _, hint)| Segment { tooltip: hint, ..*segment }).collect();
    if let Some(clicked) = segments_ui(ui, ui.available_width(), &shown)
        && let Some(set) = &segments[clicked].1
    {
        *layers = set.clone();
    }
    if info.num_layers > 1 {
        ruler_ui(ui, info, layers);
    }
    summary_ui(ui, info, layers);
}

fn summary_ui(ui: &mut Ui, info: &ModelInfo, layers: &LayerSet) {
    let chosen: Vec<_> = layers.as_slice().iter().filter_map(|&layer| info.layers.get(layer)).collect();
    let (Some(first), Some(last)) = (chosen.first(), chosen.last()) else { return };
    let pixels = match first.size == last.size {
        true => format!("{} px", first.size.brief()),
        false => format!("{}–{} px", first.size.brief(), last.size.brief()),
    };
    let plural = if chosen.len() == 1 { "layer" } else { "layers" };
    let channels: usize = chosen.iter().map(|layer| layer.channels).sum();
    let which = match info.num_layers {
        1 => "the only layer".to_owned(),
        count => format!("{plural} {layers} of 0-{}", count - 1),
    };
    let text = format!("{which}  ·  {pixels}  ·  {channels} channels");
    ui.add(egui::Label::new(egui::RichText::new(text).size(style::SMALL_TEXT).weak()).truncate());
}

#[derive(Clone, Copy, PartialEq)]
enum Grip {
    First,
    Last,
    /// The middle: both ends move, the pointer is this many layers behind the first.
    Both(f32),
}

const CELLS: f32 = 16.0;
const NUMBERS: f32 = 14.0;

fn ruler_ui(ui: &mut Ui, info: &ModelInfo, layers: &mut LayerSet) {
    let count = info.num_layers;
    let (area, _) = ui.allocate_exact_size(vec2(ui.available_width(), CELLS + NUMBERS), Sense::hover());
    let cells = Rect::from_min_size(area.min, vec2(area.width(), CELLS));
    let edge = |layer: usize| cells.left() + cells.width() * layer as f32 / count as f32;
    let colours = style::palette(ui);
    let (first, last) = (layers.first(), layers.last().min(count - 1));

    let response = ui.interact(cells, ui.scope_id().with("ruler"), Sense::click_and_drag());
    let at = |x: f32| (x - cells.left()) / cells.width() * count as f32;
    let grip_id = response.id.with("grip");
    if response.is_pointer_button_down_on()
        && let Some(pointer) = response.interact_pointer_pos()
    {
        let layer = at(pointer.x);
        let grip =
            ui.data(|data| data.get_temp::<Grip>(grip_id)).unwrap_or_else(|| grab(layer, first, last, cells, count));
        ui.data_mut(|data| data.insert_temp(grip_id, grip));
        let cell = (layer.floor().max(0.0) as usize).min(count - 1);
        let moved = match grip {
            Grip::First => LayerSet::range(cell.min(last), last),
            Grip::Last => LayerSet::range(first, cell.max(first)),
            Grip::Both(behind) => {
                let start = ((layer - behind).round().max(0.0) as usize).min(count - 1 - (last - first));
                LayerSet::range(start, start + last - first)
            }
        };
        // A set with holes stays one until an end is really moved.
        if (moved.first(), moved.last()) != (first, last) {
            *layers = moved;
        }
    } else {
        ui.data_mut(|data| data.remove::<Grip>(grip_id));
    }
    let dragged = response.dragged();
    let cursor = if dragged { egui::CursorIcon::Grabbing } else { egui::CursorIcon::PointingHand };
    let response = response.on_hover_cursor(cursor);
    // While dragging, the numbers below say more, and must not be covered.
    let pointed = response.hover_pos().filter(|_| !dragged).map(|pointer| at(pointer.x).max(0.0) as usize);
    if let Some(layer) = pointed.and_then(|layer| info.layers.get(layer)) {
        let facts = format!("{} px, {} channels", layer.size.brief(), layer.channels);
        let text = format!("Layer {}: {}\n{facts}\nDrag an end or the middle", layer.index, layer.name);
        response.on_hover_text_at_pointer(text);
    }

    for layer in 0..count {
        let cell = Rect::from_x_y_ranges(Rangef::new(edge(layer), edge(layer + 1)).shrink(0.5), cells.y_range());
        let fill = if layers.contains(layer) { colours.accent_dim } else { colours.button };
        ui.painter().rect_filled(cell, 1.0, fill);
    }
    sizes_ui(ui, info, Rangef::new(cells.bottom(), area.bottom()), edge);
    end_ui(ui, "First layer", layers, edge(first) + 1.5, cells, |layers, step| {
        let (first, last) = (layers.first(), layers.last());
        LayerSet::range(first.saturating_add_signed(step).min(last), last)
    });
    end_ui(ui, "Last layer", layers, edge(last + 1) - 1.5, cells, |layers, step| {
        let (first, last) = (layers.first(), layers.last());
        LayerSet::range(first, last.saturating_add_signed(step).clamp(first, count - 1))
    });
}

fn grab(layer: f32, first: usize, last: usize, cells: Rect, count: usize) -> Grip {
    let (left, right) = (first as f32, last as f32 + 1.0);
    // Eight points beside an end, but never more than a third of what is chosen, belong to the end.
    let reach = (8.0 / cells.width() * count as f32).min((right - left) / 3.0);
    if layer < left + reach {
        Grip::First
    } else if layer > right - reach {
        Grip::Last
    } else {
        Grip::Both(layer - left)
    }
}

/// One end of the range, for the eye and for the keyboard.
fn end_ui(
    ui: &mut Ui,
    name: &str,
    layers: &mut LayerSet,
    x: f32,
    cells: Rect,
    step: impl Fn(&LayerSet, isize) -> LayerSet,
) {
    let bar = Rect::from_center_size(pos2(x, cells.center().y), vec2(3.0, CELLS + 2.0));
    let id = ui.scope_id().with(name);
    // No sense of the pointer: the ruler below takes every press.
    let response = ui.interact(bar, id, Sense::focusable_noninteractive());
    let colours = style::palette(ui);
    ui.painter().rect_filled(bar, 1.0, colours.accent);
    let mut steps = ui.input(|input| {
        input.num_accesskit_action_requests(id, Action::Increment) as isize
            - input.num_accesskit_action_requests(id, Action::Decrement) as isize
    });
    if response.has_focus() {
        let filter = EventFilter { horizontal_arrows: true, ..Default::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(id, filter));
        steps +=
            ui.input(|input| input.num_presses(Key::ArrowRight) as isize - input.num_presses(Key::ArrowLeft) as isize);
        ui.painter().rect_stroke(bar.expand(2.0), 2.0, (1.0, colours.accent), StrokeKind::Inside);
    }
    if steps != 0 {
        *layers = step(layers, steps);
    }
    let value = if name == "First layer" { layers.first() } else { layers.last() };
    response.widget_info(|| egui::WidgetInfo::slider(ui.is_enabled(), value as f64, name));
    ui.ctx().accesskit_node_builder(id, |node| {
        node.set_role(Role::Slider);
        node.set_label(name.to_owned());
        node.set_value(value.to_string());
        node.add_action(Action::Increment);
        node.add_action(Action::Decrement);
    });
}

/// The sizes below the cells, one for all layers of the same.
fn sizes_ui(ui: &Ui, info: &ModelInfo, y: Rangef, edge: impl Fn(usize) -> f32) {
    let colour = style::palette(ui).text_weak;
    let font = FontId::proportional(10.0);
    let mut free_from = f32::NEG_INFINITY;
    for run in info.layers.chunk_by(|a, b| a.size == b.size) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let x = (edge(first.index) + edge(last.index + 1)) / 2.0;
        let galley = ui.painter().layout_no_wrap(first.size.brief(), font.clone(), colour);
        let rect = Align2::CENTER_CENTER.anchor_size(pos2(x, y.center()), galley.size());
        // Too many layers for the width: leave numbers out rather than paint them over each other.
        if rect.left() >= free_from {
            free_from = rect.right() + 3.0;
            ui.painter().galley(rect.min, galley, colour);
        }
    }
}
