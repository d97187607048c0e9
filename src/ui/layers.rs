//! Which layers are factorised: the groups of the paper, and a ruler for any other range.

use egui::Ui;

use super::command::Command;
use super::ruler::ruler_ui;
use super::segments::{Segment, segments_ui};
use super::style;
use crate::edit::LayerSet;
use crate::generator::{Group, ModelInfo};

/// Buttons and ruler. A change is written to `layers`.
pub fn layers_ui(ui: &mut Ui, info: &ModelInfo, layers: &mut LayerSet) {
    let segments: Vec<(Segment<'_>, Option<LayerSet>, String)> = Group::ALL
        .into_iter()
        .map(|group| {
            // A group that is the whole model is the button "All".
            let whole = info.group(Group::All);
            let set = info.group(group).filter(|set| group == Group::All || Some(set) != whole.as_ref());
            let hint = match &set {
                Some(set) => format!("Layers {set}: {}", Command::Select(group).hint(ui.ctx())),
                None => "This model has no such layers".to_owned(),
            };
            let on = set.as_ref() == Some(layers);
            (Segment { text: group.name(), name: group.name(), tooltip: "", enabled: set.is_some(), on }, set, hint)
        })
        .collect();
    let shown: Vec<Segment<'_>> =
        segments.iter().map(|(segment, _, hint)| Segment { tooltip: hint, ..*segment }).collect();
    if let Some(clicked) = segments_ui(ui, ui.available_width(), &shown)
        && let Some(set) = &segments[clicked].1
    {
        *layers = set.clone();
    }
    if info.num_layers > 1 {
        ruler_ui(ui, info, layers);
    }
    summary_ui(ui, info, layers);
}

fn summary_ui(ui: &mut Ui, info: &ModelInfo, layers: &LayerSet) {
    let chosen: Vec<_> = layers.as_slice().iter().filter_map(|&layer| info.layers.get(layer)).collect();
    let (Some(first), Some(last)) = (chosen.first(), chosen.last()) else { return };
    let pixels = match first.size == last.size {
        true => format!("{} px", first.size.brief()),
        false => format!("{}–{} px", first.size.brief(), last.size.brief()),
    };
    let plural = if chosen.len() == 1 { "layer" } else { "layers" };
    let channels: usize = chosen.iter().map(|layer| layer.channels).sum();
    let which = match info.num_layers {
        1 => "the only layer".to_owned(),
        count => format!("{plural} {layers} of 0-{}", count - 1),
    };
    let text = format!("{which}  ·  {pixels}  ·  {channels} channels");
    ui.add(egui::Label::new(egui::RichText::new(text).size(style::SMALL_TEXT).weak()).truncate());
}
