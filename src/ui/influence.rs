//! Through which layers a direction acts: a bar for each, over the ruler's cells.

use egui::{FontId, Rect, Role, Sense, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::document::Document;
use super::semantics::Influence;
use super::style;
use crate::generator::ModelInfo;

const HEIGHT: f32 = 34.0;

/// The bars. Returns the layer whose bar was clicked.
pub fn influence_ui(ui: &mut Ui, info: &ModelInfo, influence: &Influence, document: &Document) -> Option<usize> {
    let colours = style::palette(ui);
    let called = document.called(&influence.direction);
    let (area, _) = ui.allocate_exact_size(vec2(ui.available_width(), HEIGHT), Sense::hover());
    ui.painter().rect_filled(area, style::RADIUS, colours.field);
    if influence.shares.is_empty() {
        let font = FontId::proportional(style::SMALL_TEXT);
        ui.painter().text(area.center(), egui::Align2::CENTER_CENTER, "measuring…", font, colours.text_weak);
        return None;
    }
    let largest = influence.shares.iter().fold(1e-9, |most: f64, (_, share)| most.max(*share));
    let width = area.width() / info.num_layers as f32;
    let mut clicked = None;
    for &(layer, share) in &influence.shares {
        let left = area.left() + width * layer as f32;
        let whole = Rect::from_min_max(pos2(left + 0.5, area.top()), pos2(left + width - 0.5, area.bottom()));
        let response = ui.interact(whole, ui.scope_id().with(("influence", layer)), Sense::click());
        let text = format!("Layer {layer}: {:.0} % of what {called} changes", 100.0 * share);
        response.widget_info(|| WidgetInfo::labeled(Role::Button, ui.is_enabled(), &text));
        let height = ((whole.height() - 4.0) * (share / largest) as f32).max(1.0);
        let bar = Rect::from_min_max(
            pos2(whole.left(), whole.bottom() - 2.0 - height),
            whole.right_bottom() - vec2(0.0, 2.0),
        );
        let strong = response.hovered() || response.has_focus();
        ui.painter().rect_filled(bar, 1.0, if strong { colours.text_strong } else { colours.accent });
        if response.has_focus() {
            ui.painter().rect_stroke(whole, 1.0, (1.0, colours.accent), StrokeKind::Inside);
        }
        if response.on_hover_text(format!("{text}\nClick: it acts in this layer only")).clicked() {
            clicked = Some(layer);
        }
    }
    clicked
}
