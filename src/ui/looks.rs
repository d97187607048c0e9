//! The ways to look at the document, and the bar over them.

use egui::{Align, Layout, Panel, Ui};

use super::command::Command;
use super::compare::CompareView;
use super::samples::{SamplesAnswer, SamplesView};
use super::segments::{Segment, segments_ui};
use super::sheet::SheetView;
use super::style;
use crate::edit::Edit;

/// A way to look at the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Look {
    /// One picture.
    #[default]
    Picture,
    /// Many samples under the same moves.
    Samples,
    /// The sheet of directions.
    Directions,
    /// Two pictures.
    Compare,
}

impl Look {
    pub const ALL: [Look; 4] = [Look::Picture, Look::Samples, Look::Directions, Look::Compare];

    pub fn title(self) -> &'static str {
        match self {
            Look::Picture => "Picture",
            Look::Samples => "Samples",
            Look::Directions => "Directions",
            Look::Compare => "Compare",
        }
    }
}

/// The present look, and how each of them is set.
#[derive(Debug, Default)]
pub struct Looks {
    pub look: Look,
    pub samples: SamplesView,
    pub sheet: SheetView,
    pub compare: CompareView,
}

/// Width of one look in the bar.
const SEGMENT: f32 = 76.0;
/// Height of the bar.
const HEIGHT: f32 = 30.0;

/// The bar: which look, and what belongs to it alone.
pub fn looks_bar_ui(ui: &mut Ui, looks: &mut Looks, edit: &Edit, commands: &mut Vec<Command>) -> SamplesAnswer {
    let mut answer = SamplesAnswer::default();
    let bar = Panel::top("looks").frame(style::bar_frame()).exact_size(HEIGHT).show_separator_line(false);
    bar.show(ui, |ui| {
        ui.horizontal_centered(|ui| {
            let hints = Look::ALL.map(|look| Command::Look(look).hint(ui.ctx()));
            let segments: Vec<Segment<'_>> = Look::ALL
                .iter()
                .zip(&hints)
                .map(|(&look, hint)| Segment {
                    text: look.title(),
                    name: look.title(),
                    tooltip: hint,
                    enabled: true,
                    on: look == looks.look,
                })
                .collect();
            if let Some(at) = segments_ui(ui, SEGMENT * segments.len() as f32, &segments) {
                commands.push(Command::Look(Look::ALL[at]));
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| match looks.look {
                Look::Picture => {}
                Look::Samples => answer = looks.samples.bar_ui(ui, edit),
                Look::Directions => looks.sheet.bar_ui(ui),
                Look::Compare => looks.compare.bar_ui(ui, commands),
            });
        });
    });
    answer
}
