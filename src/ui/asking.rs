//! Questions in a bar under the menu: whoever does not answer goes on working.

use std::path::{Path, PathBuf};

use egui::accesskit::Live;
use egui::{Align, Label, Layout, Ui};

use super::dialogs::Ask;
use super::messages::read_out;
use super::waiting::WaitingEdit;
use crate::export::DirectionsAs;
use crate::files::Doubt;

/// Something that is not done without an answer.
pub enum Asking {
    /// A file would be replaced.
    Replace { ask: Ask, path: PathBuf, why: Taken },
    /// The path of the model in an edit leads elsewhere.
    Elsewhere { waiting: Box<WaitingEdit>, doubt: Doubt },
    /// An array of directions can be read in two ways.
    Axes { path: PathBuf, what: String, readings: [DirectionsAs; 2] },
    /// The window was to be closed while exports run.
    Quit,
}

/// What stands where something is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    Free,
    /// A file of this name.
    File,
    /// The file that the edit was saved to, as somebody else has written it since.
    Changed,
    /// So many files of an older series.
    Series(usize),
}

/// An answer to the question that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    Yes,
    /// In a way that the question offers beside yes and no.
    Otherwise,
    No,
}

impl Asking {
    /// The question; `exports` of them are running.
    fn text(&self, exports: usize) -> String {
        match self {
            Asking::Replace { path, why, .. } => {
                let (name, folder) = (name_of(path), path.parent().unwrap_or(path).display());
                match why {
                    Taken::Changed => format!("{name} in {folder} was changed by another program. Replace it?"),
                    Taken::Series(files) => {
                        format!("{} holds {files} files of an older series. Replace them?", path.display())
                    }
                    Taken::File | Taken::Free => format!("There is a file {name} in {folder}. Replace it?"),
                }
            }
            Asking::Elsewhere { waiting, doubt } => {
                let model = &waiting.project.model;
                format!(
                    "The edit {} wants to open the model {} at {}: {doubt}.",
                    waiting.from, model.name, model.source
                )
            }
            Asking::Axes { what, .. } => format!("{what}. Which is it?"),
            Asking::Quit if exports == 1 => "An export is running.".into(),
            Asking::Quit => format!("{exports} exports are running."),
        }
    }

    fn choices(&self) -> &'static [(Chosen, &'static str)] {
        match self {
            Asking::Replace { .. } => {
                &[(Chosen::Yes, "Replace"), (Chosen::Otherwise, "Choose another…"), (Chosen::No, "Cancel")]
            }
            Asking::Elsewhere { .. } => &[(Chosen::Yes, "Open it"), (Chosen::No, "Do not open")],
            Asking::Axes { readings: [DirectionsAs::Rows, DirectionsAs::Columns], .. } => {
                &[(Chosen::Yes, "A row each"), (Chosen::Otherwise, "A column each"), (Chosen::No, "Cancel")]
            }
            Asking::Axes { .. } => &[
                (Chosen::Yes, "Several directions"),
                (Chosen::Otherwise, "A vector for each layer"),
                (Chosen::No, "Cancel"),
            ],
            Asking::Quit => &[
                (Chosen::Otherwise, "Quit when they are done"),
                (Chosen::Yes, "Quit anyway"),
                (Chosen::No, "Do not quit"),
            ],
        }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Shows a question with its answers.
pub fn asking_ui(ui: &mut Ui, asking: &Asking, exports: usize) -> Option<Chosen> {
    let place = choices_ui(ui, &asking.text(exports), asking.choices().iter().map(|(_, text)| *text))?;
    Some(asking.choices()[place].0)
}

/// A text with buttons behind it; returns the place of the one that was pressed.
pub fn choices_ui(ui: &mut Ui, text: &str, choices: impl DoubleEndedIterator<Item = &'static str>) -> Option<usize> {
    let mut chosen = None;
    ui.horizontal_top(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Min), |ui| {
            let choices: Vec<&str> = choices.collect();
            for (place, choice) in choices.iter().enumerate().rev() {
                if ui.button(*choice).clicked() {
                    chosen = Some(place);
                }
            }
            ui.with_layout(Layout::top_down(Align::Min), |ui| {
                ui.add_space(4.0);
                read_out(&ui.add(Label::new(text).wrap()), Live::Polite);
                ui.add_space(3.0);
            });
        });
    });
    chosen
}
