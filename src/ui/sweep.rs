//! The dialog of a sweep: a series of pictures along one move.

use std::path::PathBuf;
use std::sync::Arc;

use egui::{Align2, Context, Grid};

use super::dialog::dialog_ui;
use super::document::Document;
use super::number::{Digits, number_box};
use crate::edit::{Direction, Edit};
use crate::export::Sweep;

/// State of the open dialog. It is no modal one: sliders and picture go on.
pub struct SweepDialog {
    direction: Arc<Direction>,
    from: f32,
    to: f32,
    frames: usize,
    sheet: bool,
}

impl SweepDialog {
    /// Starts with the move that is farthest out, if there is a move; `range` is the customary half-width of a slider.
    pub fn new(edit: &Edit, range: f32) -> Option<Self> {
        let farthest = edit.moves.iter().max_by(|a, b| a.value.abs().total_cmp(&b.value.abs()))?;
        let range = farthest.direction.customary_range(range);
        Some(SweepDialog { direction: farthest.direction.clone(), from: -range, to: range, frames: 9, sheet: true })
    }

    /// The sweep that is set, into a folder.
    pub fn sweep(self, folder: PathBuf) -> Sweep {
        let SweepDialog { direction, from, to, frames, sheet } = self;
        Sweep { direction, from, to, frames, folder, sheet }
    }
}

/// Shows the dialog while it is open; returns true when the folder is to be chosen.
pub fn sweep_ui(ctx: &Context, open: &mut Option<SweepDialog>, document: &Document) -> bool {
    let Some(dialog) = open.as_mut() else { return false };
    let moves = &document.edit.moves;
    if let (None, Some(first)) = (document.edit.along(&dialog.direction), moves.first()) {
        // The move was removed meanwhile.
        dialog.direction = first.direction.clone();
    }
    let mut go = false;
    let stays = dialog_ui(ctx, "Export sweep", Align2::CENTER_CENTER, |ui| {
        if moves.is_empty() {
            ui.label("A sweep goes along a move: drag a slider first.");
            return;
        }
        Grid::new("sweep").num_columns(2).spacing([12.0, 6.0]).show(ui, |ui| {
            let label = ui.label("Move").id;
            let called = |direction: &Direction| format!("{} ({})", document.called(direction), direction.layers);
            let present = called(&dialog.direction);
            let list = egui::ComboBox::from_id_salt("sweep move").selected_text(present).width(180.0);
            list.show_ui(ui, |ui| {
                for step in moves {
                    let is_chosen = step.is_along(&dialog.direction);
                    if ui.selectable_label(is_chosen, called(&step.direction)).clicked() {
                        dialog.direction = step.direction.clone();
                    }
                }
            })
            .response
            .labelled_by(label);
            ui.end_row();
            for (text, value) in [("From", &mut dialog.from), ("To", &mut dialog.to)] {
                ui.label(text);
                number_box(ui, value, 0.05, Digits::AtMost(2), text);
                ui.end_row();
            }
            ui.label("Frames");
            let mut frames = dialog.frames as f32;
            if number_box(ui, &mut frames, 1.0, Digits::Plain(0), "Frames").changed() {
                dialog.frames = (frames.round() as usize).clamp(2, 2000);
            }
            ui.end_row();
            ui.label("");
            ui.checkbox(&mut dialog.sheet, "Also one sheet of all frames");
            ui.end_row();
        });
        ui.add_space(8.0);
        ui.horizontal(|ui| {
            go = ui.button("Choose folder…").clicked();
            ui.weak(format!("{} PNG files", dialog.frames));
        });
    });
    if !stays {
        *open = None;
    }
    go
}
