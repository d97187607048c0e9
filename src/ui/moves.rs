//! Active moves: every move of the edit, whatever layers the other panel shows.

use std::sync::Arc;

use egui::{Align, Id, Sense, Ui, vec2};

use super::command::Command;
use super::document::Document;
use super::field::TextField;
use super::icons::{self, Icon};
use super::number::{Digits, number};
use super::style;
use crate::edit::Direction;

/// The panel. Returns the direction that is to be brought back into the directions panel.
pub fn moves_ui(ui: &mut Ui, document: &mut Document, commands: &mut Vec<Command>) -> Option<Arc<Direction>> {
    ui.horizontal(|ui| {
        style::section(ui, "Active moves");
        ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
            let any = !document.edit.moves.is_empty();
            let text = egui::RichText::new("Reset all").size(style::SMALL_TEXT);
            let button = ui.add_enabled(any, egui::Button::new(text).small().frame_when_inactive(false));
            let button = button.accessible_name("Reset all moves");
            if button.on_hover_text(Command::ResetMoves.hint(ui.ctx())).clicked() {
                commands.push(Command::ResetMoves);
            }
        });
    });
    if document.edit.moves.is_empty() {
        let text = egui::RichText::new("None yet. A slider that leaves 0 appears here.").size(style::SMALL_TEXT);
        ui.weak(text);
        return None;
    }
    let mut back = None;
    let mut deleted = None;
    egui::ScrollArea::vertical().id_salt("moves").auto_shrink([false, true]).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        for i in 0..document.edit.moves.len() {
            match ui.push_id(i, |ui| move_ui(ui, document, i)).inner {
                Some(RowAction::Delete) => deleted = Some(i),
                Some(RowAction::Show) => back = Some(document.edit.moves[i].direction.clone()),
                None => {}
            }
        }
    });
    if let Some(i) = deleted {
        document.edit.moves.remove(i);
    }
    back
}

enum RowAction {
    Delete,
    Show,
}

fn move_ui(ui: &mut Ui, document: &mut Document, i: usize) -> Option<RowAction> {
    let mut asked = None;
    let direction = document.edit.moves[i].direction.clone();
    let called = document.called(&direction);
    // Two moves may have one name; said aloud, their rows have to differ.
    let spoken = format!("move {}, {called}", i + 1);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        let the_move = &mut document.edit.moves[i];
        let mute = ui.checkbox(&mut the_move.enabled, "").accessible_name(format!("Use {spoken}"));
        mute.on_hover_text("Unticked, the move stays here and leaves the picture alone");

        let (layers_width, cross_width, gap) = (48.0, 16.0, 2.0);
        let width = ui.available_width() - layers_width - style::VALUE_COLUMN - cross_width - 3.0 * gap;
        let name = format!("Name of {spoken}");
        let field = TextField { name: &name, hint: "unnamed", width, quiet: true, align: Align::Min };
        let (response, typed) = field.show(ui, Id::unique(("move name", i)), &called);
        response.on_hover_text(format!("{called}\nClick to rename"));
        if let Some(typed) = typed {
            document.rename(&direction, typed.trim());
        }
        let layers = egui::RichText::new(direction.layers.to_string()).size(style::SMALL_TEXT).weak();
        let show = ui.add_sized(
            [layers_width, style::ROW - 2.0],
            egui::Button::new(layers).frame_when_inactive(false).truncate(),
        );
        if show
            .accessible_name(format!("Show {spoken}"))
            .on_hover_text("Brings these layers into the directions panel")
            .clicked()
        {
            asked = Some(RowAction::Show);
        }
        let the_move = &mut document.edit.moves[i];
        let value = format!("Value of {spoken}");
        number(ui, &mut the_move.value, 0.02, Digits::Signed, &value).on_hover_text("Drag to scale, or click to type");
        if cross_ui(ui, &format!("Delete {spoken}")) {
            asked = Some(RowAction::Delete);
        }
    });
    asked
}

/// A small cross, weaker than its row until it is pointed at.
fn cross_ui(ui: &mut Ui, name: &str) -> bool {
    let (rect, response) = ui.allocate_exact_size(vec2(16.0, style::ROW - 2.0), Sense::click());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, ui.is_enabled(), name));
    let colours = style::palette(ui);
    let strong = response.hovered() || response.has_focus();
    icons::paint(ui.painter(), Icon::Cross, rect.center(), if strong { colours.text_strong } else { colours.mark });
    response.on_hover_text("Removes this move").clicked()
}
