//! What is done with the shelf: pictures come onto it, go back into the edit, and change places.

use egui::Ui;

use super::app::App;
use super::command::Command;
use super::looks;
use super::player;
use super::shelf::{self, Act, Facts, What};
use super::style;
use crate::edit::{Edit, Kept};
use crate::failure::Failure;

/// The picture is not made smaller than this (points) by the shelf.
const LEAST_PICTURE: f32 = 512.0;

impl App {
    /// The strip under the picture, if it is on.
    pub(super) fn shelf_ui(&mut self, ui: &mut Ui, commands: &mut Vec<Command>) {
        let Some(model) = self.model.as_ref().filter(|_| self.preferences.shelf && !self.panels_hidden) else { return };
        // Beside the picture there are the bar over it, the line of its caption and its margins.
        let player = if self.player.is_some() { player::height(ui.available_width()) } else { 0.0 };
        let left = ui.available_height() - shelf::HEIGHT - player - looks::HEIGHT - style::ROW - style::GRID * 6.0;
        let facts = Facts {
            shelf: &self.document.shelf,
            present: &self.document.edit,
            info: &model.info,
            layers: &model.directions.selection.layers,
            is_high: left >= LEAST_PICTURE && !self.document.shelf.is_empty(),
        };
        match self.shelf.show(ui, &facts, &mut self.tiles, commands) {
            Some(Act { what: What::ExportAll, .. }) => commands.push(Command::ExportShelf),
            Some(act) => self.act(act),
            None => {}
        }
    }

    /// Puts an edit on the shelf.
    pub(super) fn keep(&mut self, edit: Edit) {
        self.history.settle(&self.document);
        match self.document.shelf.keep(Kept { edit, ..Kept::default() }) {
            Ok(()) => {
                self.shelf.go_to(self.document.shelf.len() - 1);
                if !self.preferences.shelf || self.panels_hidden {
                    self.notices.messages.say(format!("Kept {}", self.document.shelf.len()));
                }
            }
            Err(full) => self.notices.failure = Some(Failure::of(&full)),
        }
        self.history.settle(&self.document);
    }

    /// Each act is a step of its own.
    fn act(&mut self, Act { at, what }: Act) {
        let Some(kept) = self.document.shelf.get(at).cloned() else { return };
        self.history.settle(&self.document);
        let edit = &mut self.document.edit;
        match what {
            What::Restore => {
                kept.edit.clone_into(edit);
                self.refused_seed = None;
            }
            What::Compare => {
                if let Some(model) = &mut self.model {
                    model.reference = Some(kept.edit.clone());
                }
            }
            What::TakeStyle => {
                if let Some(model) = &self.model {
                    edit.sample.take_style(&model.directions.selection.layers, &kept.edit.sample);
                }
            }
            What::CopyMoves => {
                for step in &kept.edit.moves {
                    *edit.set_along(&step.direction, step.value) = step.clone();
                }
            }
            What::Rename(name) => self.document.shelf.rename(at, &name),
            What::ExportAll => {}
            What::Remove => self.document.shelf.remove(at),
            What::Shift { to } => self.document.shelf.shift(at, to),
        }
        self.history.settle(&self.document);
    }
}
