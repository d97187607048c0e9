//! The ways to look at the document, and the bar over them.

use egui::{Align, Layout, Panel, Ui, vec2};

use super::analysis::AnalysisView;
use super::command::Command;
use super::compare::CompareView;
use super::icons::{Icon, icon_button};
use super::photo::PhotoView;
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
    /// Measurements of directions.
    Analysis,
    /// A photo that is to be found.
    Photo,
}

impl Look {
    pub const ALL: [Look; 6] =
        [Look::Picture, Look::Samples, Look::Directions, Look::Compare, Look::Analysis, Look::Photo];

    /// Its accessible name: "Compare" is a button of the menu bar.
    fn name(self) -> &'static str {
        match self {
            Look::Picture => "View: picture",
            Look::Samples => "View: samples",
            Look::Directions => "View: directions",
            Look::Compare => "View: comparison",
            Look::Analysis => "View: analysis",
            Look::Photo => "View: photo",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Look::Picture => "Picture",
            Look::Samples => "Samples",
            Look::Directions => "Directions",
            Look::Compare => "Compare",
            Look::Analysis => "Analysis",
            Look::Photo => "Photo",
        }
    }
}

/// The present look, and how each of them is set.
#[derive(Default)]
pub struct Looks {
    pub look: Look,
    pub samples: SamplesView,
    pub sheet: SheetView,
    pub compare: CompareView,
    pub analysis: AnalysisView,
    pub photo: PhotoView,
}

/// Width of one look in the bar.
const SEGMENT: f32 = 76.0;
/// Height of the bar.
pub const HEIGHT: f32 = 30.0;
/// Room in it for what belongs to one look, in points; where there is less it takes two lines.
const ROOM: f32 = 340.0;
/// The same for the frame of a photo, and for kinds of measurements.
const MUCH_ROOM: f32 = 500.0;

/// The bar: which look, and what belongs to it alone, below where there is no room beside.
pub fn looks_bar_ui(ui: &mut Ui, looks: &mut Looks, edit: &Edit, commands: &mut Vec<Command>) -> SamplesAnswer {
    let mut answer = SamplesAnswer::default();
    let own_room = match looks.look {
        Look::Picture => 0.0,
        Look::Photo if looks.photo.open.is_some() => MUCH_ROOM,
        Look::Analysis => MUCH_ROOM,
        _ => ROOM,
    };
    let has_room = ui.available_width() >= SEGMENT * Look::ALL.len() as f32 + own_room;
    let height = if has_room { HEIGHT } else { 2.0 * HEIGHT };
    let bar = Panel::top("looks").frame(style::bar_frame()).exact_size(height).show_separator_line(false);
    bar.show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        let line = |ui: &mut Ui, contents: &mut dyn FnMut(&mut Ui)| {
            let size = vec2(ui.available_width(), HEIGHT);
            ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| contents(ui));
        };
        line(ui, &mut |ui| {
            choice_ui(ui, looks.look, commands);
            if has_room {
                answer = own_ui(ui, looks, edit, commands);
            }
        });
        if !has_room {
            line(ui, &mut |ui| answer = own_ui(ui, looks, edit, commands));
        }
    });
    answer
}

fn choice_ui(ui: &mut Ui, present: Look, commands: &mut Vec<Command>) {
    let hints = Look::ALL.map(|look| Command::Look(look).hint(ui.ctx()));
    let segment = |(&look, tooltip)| Segment {
        text: Look::title(look),
        name: Look::name(look),
        tooltip,
        enabled: true,
        on: look == present,
    };
    let segments: Vec<Segment<'_>> = Look::ALL.iter().zip(hints.iter().map(String::as_str)).map(segment).collect();
    let width = (SEGMENT * segments.len() as f32).min(ui.available_width());
    if let Some(at) = segments_ui(ui, width, &segments) {
        commands.push(Command::Look(Look::ALL[at]));
    }
}

/// What belongs to the present look alone, from the right.
fn own_ui(ui: &mut Ui, looks: &mut Looks, edit: &Edit, commands: &mut Vec<Command>) -> SamplesAnswer {
    let mut answer = SamplesAnswer::default();
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        let hint = Command::ExportView.hint(ui.ctx());
        let is_exported = !matches!(looks.look, Look::Picture | Look::Photo);
        if is_exported && icon_button(ui, Icon::Export, "Export this view", &hint).clicked() {
            commands.push(Command::ExportView);
        }
        match looks.look {
            Look::Picture => {}
            Look::Samples => answer = looks.samples.bar_ui(ui, edit),
            Look::Directions => looks.sheet.bar_ui(ui),
            Look::Compare => looks.compare.bar_ui(ui, edit, commands),
            Look::Analysis => looks.analysis.bar_ui(ui),
            Look::Photo => looks.photo.bar_ui(ui, commands),
        }
    });
    answer
}
