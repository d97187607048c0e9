//! Small signs, drawn with lines: no font has them all.

use egui::{Painter, Pos2, Rect, Response, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::style;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    Previous,
    Next,
    Dice,
    Undo,
    Redo,
    Cross,
    Compare,
    Export,
    Shield,
    Warning,
    Star,
    Plus,
    Play,
    Pause,
}

/// A square button with a sign; `name` is its accessible name.
pub fn icon_button(ui: &mut Ui, icon: Icon, name: &str, tooltip: &str) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(style::ROW, style::ROW), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, ui.is_enabled(), name));
    if ui.is_rect_visible(rect) {
        let visuals = *ui.style().interact(&response);
        let idle = !response.hovered() && !response.has_focus() && !response.is_pointer_button_down_on();
        if !idle {
            let painter = ui.painter();
            painter.rect(rect, visuals.corner_radius, visuals.weak_bg_fill, visuals.bg_stroke, StrokeKind::Inside);
        }
        paint(ui.painter(), icon, rect.center(), visuals.fg_stroke.color);
    }
    response.on_hover_text(tooltip).on_disabled_hover_text(tooltip)
}

/// Draws the sign in a 12 px square around `centre`.
pub fn paint(painter: &Painter, icon: Icon, centre: Pos2, colour: egui::Color32) {
    let at = |x: f32, y: f32| pos2(centre.x + x, centre.y + y);
    let stroke = Stroke::new(1.4, colour);
    let line = |points: &[(f32, f32)]| {
        painter.line(points.iter().map(|&(x, y)| at(x, y)).collect(), stroke);
    };
    let arc = |radius: f32, from: f32, to: f32| {
        let points =
            (0..=16).map(|i| from + (to - from) * i as f32 / 16.0).map(|a| at(radius * a.cos(), radius * a.sin()));
        painter.line(points.collect(), stroke);
    };
    match icon {
        Icon::Previous => line(&[(2.0, -4.0), (-2.0, 0.0), (2.0, 4.0)]),
        Icon::Next => line(&[(-2.0, -4.0), (2.0, 0.0), (-2.0, 4.0)]),
        Icon::Cross => {
            line(&[(-3.5, -3.5), (3.5, 3.5)]);
            line(&[(-3.5, 3.5), (3.5, -3.5)]);
        }
        Icon::Plus => {
            line(&[(-4.5, 0.0), (4.5, 0.0)]);
            line(&[(0.0, -4.5), (0.0, 4.5)]);
        }
        Icon::Play => line(&[(-3.0, -4.5), (4.5, 0.0), (-3.0, 4.5), (-3.0, -4.5)]),
        Icon::Pause => {
            line(&[(-2.5, -4.0), (-2.5, 4.0)]);
            line(&[(2.5, -4.0), (2.5, 4.0)]);
        }
        Icon::Dice => {
            let square = Rect::from_center_size(centre, vec2(12.0, 12.0));
            painter.rect_stroke(square, 2.5, stroke, StrokeKind::Inside);
            for (x, y) in [(-2.6, -2.6), (0.0, 0.0), (2.6, 2.6)] {
                painter.circle_filled(at(x, y), 1.1, colour);
            }
        }
        Icon::Undo | Icon::Redo => {
            let side = if icon == Icon::Undo { 1.0 } else { -1.0 };
            let bow = (-8..=8).map(|i| i as f32 / 8.0 * std::f32::consts::FRAC_PI_2);
            painter.line(bow.map(|a| at(side * (1.5 + 3.5 * a.cos()), 0.5 + 3.5 * a.sin())).collect(), stroke);
            line(&[(side * 1.5, 4.0), (side * -3.0, 4.0)]);
            line(&[(side * 1.5, -3.0), (side * -4.5, -3.0)]);
            line(&[(side * -1.8, -5.7), (side * -4.5, -3.0), (side * -1.8, -0.3)]);
        }
        Icon::Compare => {
            let square = Rect::from_center_size(centre, vec2(12.0, 10.0));
            painter.rect_stroke(square, 1.5, stroke, StrokeKind::Inside);
            painter.rect_filled(Rect::from_min_max(square.min, pos2(centre.x, square.max.y)), 1.0, colour);
        }
        Icon::Export => {
            line(&[(0.0, 1.5), (0.0, -5.5)]);
            line(&[(-2.8, -2.8), (0.0, -5.5), (2.8, -2.8)]);
            line(&[(-5.0, 0.5), (-5.0, 5.0), (5.0, 5.0), (5.0, 0.5)]);
        }
        Icon::Shield => {
            let outline = [(0.0, -6.0), (5.0, -4.0), (5.0, 0.5), (0.0, 6.0), (-5.0, 0.5), (-5.0, -4.0), (0.0, -6.0)];
            line(&outline);
            line(&[(-2.2, -0.3), (-0.4, 1.7), (2.6, -2.2)]);
        }
        Icon::Star => {
            let corner = |i: usize| {
                let radius = if i.is_multiple_of(2) { 4.5 } else { 1.9 };
                let angle = std::f32::consts::PI * (i as f32 / 5.0 - 0.5);
                (radius * angle.cos(), radius * angle.sin())
            };
            line(&(0..=10).map(corner).collect::<Vec<_>>());
        }
        Icon::Warning => {
            arc(6.0, 0.0, std::f32::consts::TAU);
            line(&[(0.0, -3.2), (0.0, 0.8)]);
            painter.circle_filled(at(0.0, 3.0), 0.9, colour);
        }
    }
}
