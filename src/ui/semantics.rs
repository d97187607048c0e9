//! The directions of the chosen layers, one slider each.

use egui::{Align, Align2, FontId, Id, Rect, Sense, Ui, pos2, vec2};

use super::command::Command;
use super::document::{Document, Selection, angle};
use super::field::{Digits, TextField, number};
use super::layers::layers_ui;
use super::slider::Slider;
use super::style;
use crate::edit::Weighting;
use crate::generator::ModelInfo;
use crate::sefa::Basis;

/// Directions shown at first, and added by each "more directions".
pub const PAGE: usize = 10;

/// What the panel shows, as far as the rest of the window has to know it.
pub struct Shown {
    pub selection: Selection,
    /// Number of rows.
    pub rows: usize,
    /// The directions, once there are any; until new ones arrive these are the old ones.
    pub basis: Option<std::sync::Arc<Basis>>,
    /// The directions are those of an earlier selection, and have been for a noticeable time.
    pub stale: bool,
}

/// The panel. Returns true if a slider was dragged.
pub fn semantics_ui(
    ui: &mut Ui,
    info: &ModelInfo,
    shown: &mut Shown,
    document: &mut Document,
    commands: &mut Vec<Command>,
) -> bool {
    style::section(ui, "Semantics");
    layers_ui(ui, info, &mut shown.selection.layers);
    let Some(basis) = shown.basis.clone() else { return false };
    let mut dragged = false;
    ui.scope(|ui| {
        // Old directions may still be moved (they are what the list says), but look old.
        if shown.stale {
            ui.multiply_opacity(0.5);
        }
        spectrum_ui(ui, &basis, shown.rows);
        let footer = style::ROW + style::GRID * 2.0;
        let height = (ui.available_height() - footer).max(style::ROW);
        let scroll = egui::ScrollArea::vertical().id_salt("directions").max_height(height).auto_shrink([false, true]);
        scroll.show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 0.0;
            for index in 0..shown.rows.min(basis.len()) {
                dragged |= ui.push_id(index, |ui| direction_ui(ui, info, &basis, index, document)).inner;
            }
            ui.add_space(style::GRID);
            more_ui(ui, shown, &basis);
        });
    });
    ui.with_layout(egui::Layout::bottom_up(Align::Min), |ui| footer_ui(ui, shown, document, commands));
    dragged
}

fn more_ui(ui: &mut Ui, shown: &mut Shown, basis: &Basis) {
    ui.horizontal(|ui| {
        let rows = shown.rows.min(basis.len());
        if rows < basis.len() {
            let text = format!("More directions ({rows} of {})", basis.len());
            if ui.add(egui::Button::new(text).frame_when_inactive(false)).clicked() {
                shown.rows = rows + PAGE;
            }
        }
        if rows > PAGE && ui.add(egui::Button::new("Fewer").frame_when_inactive(false)).clicked() {
            shown.rows = PAGE;
        }
    });
}

fn footer_ui(ui: &mut Ui, shown: &mut Shown, document: &Document, commands: &mut Vec<Command>) {
    ui.horizontal(|ui| {
        let mut normalised = shown.selection.weighting == Weighting::RowNormalised;
        let switch = ui.checkbox(&mut normalised, "Row-normalised");
        let hint = "On: every row of the style weights counts the same, as in the paper.\nOff: rows count as they are stored, as in rosinality's variant.";
        if switch.on_hover_text(hint).changed() {
            shown.selection.weighting = if normalised { Weighting::RowNormalised } else { Weighting::Raw };
        }
        ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
            let any = !document.edit.moves.is_empty();
            let button = ui.add_enabled(any, egui::Button::new("Reset all"));
            if button.on_hover_text(Command::ResetMoves.hint(ui.ctx())).clicked() {
                commands.push(Command::ResetMoves);
            }
        });
    });
}

fn direction_ui(ui: &mut Ui, info: &ModelInfo, basis: &Basis, index: usize, document: &mut Document) -> bool {
    let selection = Selection::of(basis);
    let found = document.find(&selection, index);
    let muted = found.is_some_and(|found| !found.enabled);
    let mut value = found.map_or(0.0, |found| found.value);
    let name = found
        .map_or_else(|| document.names.get(&basis.layers, basis.weighting, index), |found| document.name_of(found));
    let name = name.to_owned();
    let label =
        if name.is_empty() { format!("Direction {}", index + 1) } else { format!("Direction {}, {name}", index + 1) };

    let row = Rect::from_min_size(ui.cursor().min, vec2(ui.available_width(), style::ROW));
    let colours = style::palette(ui);
    let share = (basis.share(index) / basis.share(0).max(f64::MIN_POSITIVE)) as f32;
    let bar = Rect::from_min_size(row.min, vec2(row.width() * share, row.height())).shrink2(vec2(0.0, 1.0));
    ui.painter().rect_filled(bar, 2.0, colours.share);

    let mut dragged = false;
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = style::GRID;
        let (number_rect, number_response) = ui.allocate_exact_size(vec2(20.0, style::ROW), Sense::hover());
        let font = FontId::proportional(style::SMALL_TEXT);
        let at = pos2(number_rect.right(), number_rect.center().y);
        ui.painter().text(at, Align2::RIGHT_CENTER, (index + 1).to_string(), font, colours.text_weak);
        number_response.on_hover_ui(|ui| facts_ui(ui, basis, index, document));

        let name_width = ((ui.available_width() - style::VALUE_COLUMN) * 0.38).round();
        let hint = if name.is_empty() { "unnamed" } else { "" };
        let field_name = format!("Name of direction {}", index + 1);
        let field = TextField { name: &field_name, hint, width: name_width, quiet: true, align: Align::Min };
        let field_id = Id::unique(("direction name", &basis.layers, basis.weighting, index));
        let (response, typed) = field.show(ui, field_id, &name);
        response.on_hover_ui(|ui| facts_ui(ui, basis, index, document));
        if let Some(typed) = typed {
            document.rename(&selection, index, typed.trim());
        }

        let before = value;
        let width = ui.available_width() - style::VALUE_COLUMN - style::GRID;
        if muted {
            ui.multiply_opacity(0.5);
        }
        let slider = Slider::new(&mut value, -info.slider_range..=info.slider_range, &label).show(ui, width);
        dragged = slider.response.dragged();
        slider.response.on_hover_ui(|ui| facts_ui(ui, basis, index, document));
        let typed = number(ui, &mut value, 0.02, Digits::Signed, &format!("Value of direction {}", index + 1));
        let typed_zero = typed.changed() && value == 0.0 && !typed.dragged();
        typed.on_hover_text("Drag, or click to type any value");
        if slider.reset || typed_zero {
            document.reset(&selection, index);
        } else if value != before {
            document.set(basis, index, value);
        }
    });
    dragged
}

/// Exact eigenvalue, share, and angles to the other moves that act on some of the same layers.
fn facts_ui(ui: &mut Ui, basis: &Basis, index: usize, document: &Document) {
    ui.strong(format!("Direction {} of {}", index + 1, basis.len()));
    let facts =
        format!("eigenvalue {:.6}\n{:.2} % of the variance", basis.eigenvalues[index], 100.0 * basis.share(index));
    ui.label(facts);
    let direction = basis.direction(index);
    for found in &document.edit.moves {
        let itself = found.index == index && found.layers == basis.layers && found.weighting == basis.weighting;
        let shared = found.layers.as_slice().iter().any(|&layer| basis.layers.contains(layer));
        if !itself && shared && found.is_active() && found.vector.len() == direction.len() {
            let name = document.name_of(found);
            let name = if name.is_empty() { format!("direction {}", found.index + 1) } else { name.to_owned() };
            ui.label(format!("{:.0}° to {name} ({})", angle(direction, &found.vector), found.layers));
        }
    }
    let keys = "Wheel or arrow keys step; Shift fine, Ctrl coarse.\nDouble-click or Delete resets.";
    ui.label(egui::RichText::new(keys).size(style::SMALL_TEXT).weak());
}

/// Bars in the spectrum: more would be narrower than a pixel or two.
const BARS: usize = 64;

fn spectrum_ui(ui: &mut Ui, basis: &Basis, rows: usize) {
    let (area, response) = ui.allocate_exact_size(vec2(ui.available_width(), 36.0), Sense::hover());
    let colours = style::palette(ui);
    let painter = ui.painter();
    painter.rect_filled(area, style::RADIUS, colours.field);
    let bars = basis.len().min(BARS);
    let top = basis.share(0).max(f64::MIN_POSITIVE);
    let inner = area.shrink2(vec2(4.0, 4.0));
    let step = inner.width() / bars.max(1) as f32;
    for i in 0..bars {
        let height = inner.height() * (basis.share(i) / top) as f32;
        let left = inner.left() + step * i as f32;
        let bar = Rect::from_min_max(
            pos2(left, inner.bottom() - height.max(1.0)),
            pos2(left + (step - 1.0).max(1.0), inner.bottom()),
        );
        painter.rect_filled(bar, 0.0, if i < rows { colours.accent } else { colours.rail });
    }
    let held: f64 = (0..rows.min(basis.len())).map(|i| basis.share(i)).sum();
    let text = format!("{:.0} % in {}", 100.0 * held, rows.min(basis.len()));
    let galley = painter.layout_no_wrap(text, FontId::proportional(10.0), colours.text_weak);
    let place = Align2::RIGHT_TOP.anchor_size(inner.right_top(), galley.size());
    // A flat spectrum is high everywhere, also behind the text.
    painter.rect_filled(place.expand(2.0), 2.0, colours.field);
    painter.galley(place.min, galley, colours.text_weak);
    let pointed = response.hover_pos().map(|pointer| ((pointer.x - inner.left()) / step).max(0.0) as usize);
    if let Some(i) = pointed.filter(|&i| i < bars) {
        let facts = format!(
            "Direction {}\neigenvalue {:.6}\n{:.2} % of the variance",
            i + 1,
            basis.eigenvalues[i],
            100.0 * basis.share(i)
        );
        response.on_hover_text_at_pointer(facts);
    }
}
