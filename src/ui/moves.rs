//! Active moves: every move and style of the edit, whatever layers the other panel shows.

use std::sync::Arc;

use egui::{Align, Align2, Id, Sense, Ui, vec2};

use super::command::Command;
use super::document::Document;
use super::field::TextField;
use super::icons::{self, Icon};
use super::number::{Digits, number};
use super::style;
use super::titles::code_title;
use crate::edit::{Code, Direction, LayerSet, Seed, Style};

/// What is to be brought back into the directions panel.
pub enum Shown {
    Direction(Arc<Direction>),
    Layers(LayerSet),
}

/// The panel: styles, then moves. Returns what is to be brought back into the directions panel.
pub fn moves_ui(ui: &mut Ui, document: &mut Document, commands: &mut Vec<Command>) -> Option<Shown> {
    ui.horizontal(|ui| {
        style::section(ui, "Active moves");
        ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
            let any = !document.edit.is_bare();
            let text = egui::RichText::new("Reset all").size(style::SMALL_TEXT);
            let button = ui.add_enabled(any, egui::Button::new(text).small().frame_when_inactive(false));
            let button = button.accessible_name("Reset all moves");
            if button.on_hover_text(Command::ResetMoves.hint(ui.ctx())).clicked() {
                commands.push(Command::ResetMoves);
            }
        });
    });
    if document.edit.is_bare() {
        let text = egui::RichText::new("None yet. A slider that leaves 0 appears here.").size(style::SMALL_TEXT);
        ui.weak(text);
        return None;
    }
    let mut shown = None;
    egui::ScrollArea::vertical().id_salt("moves").auto_shrink([false, true]).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        let styles = &mut document.edit.sample.styles;
        if let Some((i, action)) = rows_ui(ui, "style", styles.len(), |ui, i| style_ui(ui, &mut styles[i], i)) {
            match action {
                RowAction::Delete => drop(styles.remove(i)),
                RowAction::Show => shown = Some(Shown::Layers(styles[i].layers.clone())),
            }
        }
        let count = document.edit.moves.len();
        if let Some((i, action)) = rows_ui(ui, "move", count, |ui, i| move_ui(ui, document, i)) {
            let moves = &mut document.edit.moves;
            match action {
                RowAction::Delete => drop(moves.remove(i)),
                RowAction::Show => shown = Some(Shown::Direction(moves[i].direction.clone())),
            }
        }
    });
    shown
}

enum RowAction {
    Delete,
    Show,
}

/// So many rows; returns what was asked of which.
fn rows_ui(
    ui: &mut Ui,
    kind: &str,
    count: usize,
    mut row_ui: impl FnMut(&mut Ui, usize) -> Option<RowAction>,
) -> Option<(usize, RowAction)> {
    let mut asked = None;
    for i in 0..count {
        let action = ui.push_id((kind, i), |ui| row_ui(ui, i)).inner;
        asked = asked.or(action.map(|action| (i, action)));
    }
    asked
}

/// Widths of what stands behind the name in a row.
const LAYERS: f32 = 48.0;
const CROSS: f32 = 16.0;
const GAP: f32 = 2.0;

fn style_ui(ui: &mut Ui, mixed: &mut Style, i: usize) -> Option<RowAction> {
    let mut asked = None;
    let spoken = format!("style {}, {}", i + 1, code_title(&mixed.code));
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = GAP;
        let mute = ui.checkbox(&mut mixed.enabled, "").accessible_name(format!("Use {spoken}"));
        mute.on_hover_text("Unticked, the style stays here and leaves the picture alone");
        let width = ui.available_width() - LAYERS - style::VALUE_COLUMN - CROSS - 3.0 * GAP;
        let (rect, name) = ui.allocate_exact_size(vec2(width, style::ROW - 2.0), Sense::hover());
        let text = if matches!(mixed.code, Code::Seed(_)) { "style of seed" } else { "style" };
        let (font, at) = (egui::FontId::proportional(style::TEXT), rect.left_center() + vec2(style::GRID, 0.0));
        ui.painter().text(at, Align2::LEFT_CENTER, text, font, style::palette(ui).text);
        name.on_hover_text("These layers take their codes from another sample");
        asked = layers_ui(ui, &mixed.layers, &spoken).then_some(RowAction::Show);
        match &mut mixed.code {
            Code::Seed(seed) => {
                let name = format!("Seed of style {}", i + 1);
                let width = style::VALUE_COLUMN;
                let field = TextField { name: &name, hint: "", width, quiet: true, align: Align::Max };
                let (response, typed) = field.show(ui, Id::unique(("seed of style", i)), &seed.number.to_string());
                response.on_hover_text("Click to type another seed");
                // What is no seed is taken back.
                let typed = typed.and_then(|text| text.trim().parse().ok()).map(|number| Seed { number, ..*seed });
                *seed = typed.filter(|typed| typed.check().is_ok()).unwrap_or(*seed);
            }
            _ => _ = ui.add_sized([style::VALUE_COLUMN, style::ROW - 2.0], egui::Label::new("code")),
        }
        if cross_ui(ui, &format!("Delete {spoken}"), "Removes this style") {
            asked = Some(RowAction::Delete);
        }
    });
    asked
}

/// The layers of a row, a button. Returns true if it was pressed.
fn layers_ui(ui: &mut Ui, layers: &LayerSet, spoken: &str) -> bool {
    let text = egui::RichText::new(layers.to_string()).size(style::SMALL_TEXT).weak();
    let button = egui::Button::new(text).frame_when_inactive(false).truncate();
    let button = ui.add_sized([LAYERS, style::ROW - 2.0], button).accessible_name(format!("Show {spoken}"));
    button.on_hover_text("Brings these layers into the directions panel").clicked()
}

fn move_ui(ui: &mut Ui, document: &mut Document, i: usize) -> Option<RowAction> {
    let mut asked = None;
    let direction = document.edit.moves[i].direction.clone();
    let called = document.called(&direction);
    // Two moves may have one name; said aloud, their rows have to differ.
    let spoken = format!("move {}, {called}", i + 1);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = GAP;
        let the_move = &mut document.edit.moves[i];
        let mute = ui.checkbox(&mut the_move.enabled, "").accessible_name(format!("Use {spoken}"));
        mute.on_hover_text("Unticked, the move stays here and leaves the picture alone");

        let width = ui.available_width() - LAYERS - style::VALUE_COLUMN - CROSS - 3.0 * GAP;
        let name = format!("Name of {spoken}");
        let field = TextField { name: &name, hint: "unnamed", width, quiet: true, align: Align::Min };
        let (response, typed) = field.show(ui, Id::unique(("move name", i)), &called);
        response.on_hover_text(format!("{called}\nClick to rename"));
        if let Some(typed) = typed {
            document.rename(&direction, typed.trim());
        }
        asked = layers_ui(ui, &direction.layers, &spoken).then_some(RowAction::Show);
        let the_move = &mut document.edit.moves[i];
        let value = format!("Value of {spoken}");
        number(ui, &mut the_move.value, 0.02, Digits::Signed, &value).on_hover_text("Drag to scale, or click to type");
        if cross_ui(ui, &format!("Delete {spoken}"), "Removes this move") {
            asked = Some(RowAction::Delete);
        }
    });
    asked
}

/// A small cross, weaker than its row until it is pointed at.
fn cross_ui(ui: &mut Ui, name: &str, tooltip: &str) -> bool {
    let (rect, response) = ui.allocate_exact_size(vec2(CROSS, style::ROW - 2.0), Sense::click());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, ui.is_enabled(), name));
    let colours = style::palette(ui);
    let strong = response.hovered() || response.has_focus();
    icons::paint(ui.painter(), Icon::Cross, rect.center(), if strong { colours.text_strong } else { colours.mark });
    response.on_hover_text(tooltip).clicked()
}
