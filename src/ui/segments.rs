//! A row of joined buttons, one of which is on.

use egui::{Align2, CornerRadius, FontId, Rect, Role, Sense, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::style;

/// One of the choices.
pub struct Segment<'a> {
    pub text: &'a str,
    /// Accessible name.
    pub name: &'a str,
    pub tooltip: &'a str,
    pub enabled: bool,
    pub on: bool,
}

/// Shows the choices over `width`; returns the one that was clicked.
pub fn segments_ui(ui: &mut Ui, width: f32, segments: &[Segment<'_>]) -> Option<usize> {
    let (area, _) = ui.allocate_exact_size(vec2(width, style::ROW), Sense::hover());
    let colours = style::palette(ui);
    ui.painter().rect_filled(area, style::RADIUS, colours.button);
    let mut clicked = None;
    let last = segments.len().saturating_sub(1);
    let edges = edges(ui, width, segments);
    for (i, segment) in segments.iter().enumerate() {
        let edge = |i: usize| (area.left() + edges[i]).round();
        let rect = Rect::from_min_max(pos2(edge(i), area.top()), pos2(edge(i + 1), area.bottom()));
        let mut child = ui.new_child(egui::UiBuilder::new().max_rect(rect).id_salt(i));
        if !segment.enabled {
            child.disable();
        }
        let response = child.allocate_rect(rect, Sense::click());
        response.widget_info(|| WidgetInfo::selected(Role::RadioButton, segment.enabled, segment.on, segment.name));
        let corners = CornerRadius {
            nw: if i == 0 { style::RADIUS } else { 0 },
            sw: if i == 0 { style::RADIUS } else { 0 },
            ne: if i == last { style::RADIUS } else { 0 },
            se: if i == last { style::RADIUS } else { 0 },
        };
        let painter = child.painter();
        let (fill, text) = match (segment.on, response.hovered()) {
            (true, _) => (colours.accent_dim, colours.text_strong),
            (false, true) => (colours.button_hovered, colours.text_strong),
            (false, false) => (colours.button, colours.text),
        };
        painter.rect_filled(rect, corners, fill);
        if i > 0 && !segment.on && !segments[i - 1].on {
            painter.vline(rect.left(), rect.y_range().shrink(5.0), (1.0, colours.rail));
        }
        if response.has_focus() {
            painter.rect_stroke(rect, corners, (1.0, colours.accent), StrokeKind::Inside);
        }
        painter.text(rect.center(), Align2::CENTER_CENTER, segment.text, FontId::proportional(style::TEXT), text);
        if response.on_hover_text(segment.tooltip).on_disabled_hover_text(segment.tooltip).clicked() {
            clicked = Some(i);
        }
    }
    clicked
}

/// Where the choices begin and end, from the left: all as wide, or where a text has no room in that, as wide as their texts need.
fn edges(ui: &Ui, width: f32, segments: &[Segment<'_>]) -> Vec<f32> {
    let text = |segment: &Segment<'_>| {
        let font = FontId::proportional(style::TEXT);
        ui.painter().layout_no_wrap(segment.text.to_owned(), font, style::palette(ui).text).size().x + style::GRID
    };
    let needed: Vec<f32> = segments.iter().map(text).collect();
    let (all, equal) = (needed.iter().sum::<f32>().max(1.0), width / segments.len().max(1) as f32);
    let has_room = needed.iter().all(|needed| *needed <= equal);
    let widths = needed.iter().map(|needed| if has_room { equal } else { width * needed / all });
    let mut edges = vec![0.0];
    for width in widths {
        edges.push(edges[edges.len() - 1] + width);
    }
    edges
}
