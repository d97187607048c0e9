//! The dialog of a sweep: a series of pictures along one move.

use egui::{Align2, Context, DragValue, Grid, Window};

use super::document::Document;
use crate::export::Sweep;

/// State of the open dialog. It is no modal one: sliders and picture go on.
pub struct SweepDialog {
    index: usize,
    from: f32,
    to: f32,
    frames: usize,
    sheet: bool,
}

impl SweepDialog {
    /// Starts with the move that is farthest out; `range` is the customary half-width of a slider.
    pub fn new(document: &Document, range: f32) -> Self {
        let values = document.edit.moves.iter().map(|found| found.value.abs());
        let farthest = values.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        SweepDialog { index: farthest.map_or(0, |(index, _)| index), from: -range, to: range, frames: 9, sheet: true }
    }

    /// The sweep that is set, without its folder.
    pub fn sweep(&self) -> Sweep {
        let SweepDialog { index, from, to, frames, sheet } = *self;
        Sweep { index, from, to, frames, folder: std::path::PathBuf::new(), sheet }
    }
}

/// Shows the dialog while it is open; returns true when the folder is to be chosen.
pub fn sweep_ui(ctx: &Context, open: &mut Option<SweepDialog>, document: &Document) -> bool {
    let Some(dialog) = open.as_mut() else { return false };
    dialog.index = dialog.index.min(document.edit.moves.len().saturating_sub(1));
    let mut stays = true;
    let mut go = false;
    let window = Window::new("Export sweep").collapsible(false).resizable(false).open(&mut stays);
    let centre = ctx.content_rect().center();
    window.pivot(Align2::CENTER_CENTER).default_pos(centre).show(ctx, |ui| {
        if document.edit.moves.is_empty() {
            ui.label("A sweep goes along a move: drag a slider first.");
            return;
        }
        Grid::new("sweep").num_columns(2).spacing([12.0, 6.0]).show(ui, |ui| {
            let label = ui.label("Move").id;
            let called = |index: usize| {
                document.edit.moves.get(index).map_or_else(String::new, |found| {
                    let name = document.name_of(found);
                    let name = if name.is_empty() { format!("direction {}", found.index + 1) } else { name.to_owned() };
                    format!("{name} ({})", found.layers)
                })
            };
            let list = egui::ComboBox::from_id_salt("sweep move").selected_text(called(dialog.index)).width(180.0);
            list.show_ui(ui, |ui| {
                for index in 0..document.edit.moves.len() {
                    ui.selectable_value(&mut dialog.index, index, called(index));
                }
            })
            .response
            .labelled_by(label);
            ui.end_row();
            for (text, value) in [("From", &mut dialog.from), ("To", &mut dialog.to)] {
                let label = ui.label(text).id;
                ui.add(DragValue::new(value).speed(0.05).range(-1.0e4..=1.0e4).max_decimals(2)).labelled_by(label);
                ui.end_row();
            }
            let label = ui.label("Frames").id;
            ui.add(DragValue::new(&mut dialog.frames).range(2..=2000)).labelled_by(label);
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
    if !stays || ctx.input(|input| input.key_pressed(egui::Key::Escape)) {
        *open = None;
    }
    go
}
