//! What an open model is, and what its file says of itself.

use egui::{Label, RichText, Ui};

use super::icons::{self, Icon};
use super::style;
use crate::classes::Classes;
use crate::generator::ModelInfo;

/// What the shield means.
pub const CARRIES_CODE: &str = "contains program code; not run";

/// What a file may say of itself, by its metadata's keys; its title is the model's name.
const TEXTS: [&str; 4] = ["author", "license", "licence", "source"];
/// Letters of a fact that are shown: a whole licence text would fill the window.
const MOST_LETTERS: usize = 240;
const NAME_WIDTH: f32 = 56.0;
const VALUE_WIDTH: f32 = 280.0;

/// Family, file, latent space, classes, licence, and what was left out.
pub fn facts_ui(ui: &mut Ui, info: &ModelInfo) {
    if info.carries_code {
        shield_ui(ui);
    }
    ui.spacing_mut().item_spacing = egui::vec2(style::GRID * 2.0, 2.0);
    for (what, value) in facts(info) {
        ui.horizontal_top(|ui| {
            let column = egui::vec2(NAME_WIDTH, ui.text_style_height(&egui::TextStyle::Body));
            ui.allocate_ui_with_layout(column, egui::Layout::left_to_right(egui::Align::Min), |ui| {
                ui.set_min_width(NAME_WIDTH);
                ui.add(Label::new(RichText::new(what).weak()).extend());
            });
            ui.vertical(|ui| {
                ui.set_max_width(VALUE_WIDTH);
                ui.add(Label::new(shortened(&value)).wrap());
            });
        });
    }
    ui.set_max_width(NAME_WIDTH + VALUE_WIDTH);
    for warning in &info.warnings {
        let colour = style::palette(ui).warning;
        ui.add(Label::new(RichText::new(shortened(warning)).color(colour)).wrap());
    }
}

/// The same in a few lines.
pub fn summary(info: &ModelInfo) -> Vec<String> {
    let classes = info.classes.map(|count| format!(" · {count} classes")).unwrap_or_default();
    let mut lines = vec![
        format!("{} {}{classes}", info.family, info.size.brief()),
        format!("{}, {} layout", info.container, info.layout),
    ];
    lines.push(format!("network: {}", info.network_taken));
    let licence = info.metadata.get("license").or_else(|| info.metadata.get("licence"));
    lines.extend(licence.map(|text| format!("licence: {}", shortened(text).replace('\n', " "))));
    if !info.ignored.is_empty() {
        lines.push(format!("not used: {}", info.ignored.join(", ")));
    }
    lines
}

/// [`summary`], each line cut where it is too long.
pub fn summary_ui(ui: &mut Ui, info: &ModelInfo) {
    ui.spacing_mut().item_spacing.y = 2.0;
    for line in summary(info) {
        ui.add(Label::new(RichText::new(line).size(style::SMALL_TEXT)).truncate());
    }
    if info.carries_code {
        shield_ui(ui);
    }
}

fn shield_ui(ui: &mut Ui) {
    ui.horizontal(|ui| {
        let colour = style::palette(ui).warning;
        let (rect, _) = ui.allocate_exact_size(egui::vec2(12.0, style::ROW), egui::Sense::hover());
        icons::paint(ui.painter(), Icon::Shield, rect.center(), colour);
        ui.colored_label(colour, CARRIES_CODE);
    });
}

fn facts(info: &ModelInfo) -> Vec<(&'static str, String)> {
    let plural = if info.num_layers == 1 { "layer" } else { "layers" };
    let latent = info.w_dim.map_or_else(|| format!("z {}", info.z_dim), |w| format!("z {}, w {w}", info.z_dim));
    let colours = match info.channels {
        1 => "grey".to_owned(),
        3 => "RGB".to_owned(),
        4 => "RGBA".to_owned(),
        other => format!("{other} channels"),
    };
    let mut facts = vec![
        ("family", info.family.to_string()),
        ("file", format!("{}, {} layout", info.container, info.layout)),
        ("network", info.network_taken.clone()),
        ("picture", format!("{} × {}, {colours}", info.size.width, info.size.height)),
        ("latent", format!("{latent}, {} {plural}", info.num_layers)),
    ];
    facts.extend(info.classes.map(|count| {
        let named = if Classes::new(count).are_named() { ", those of ImageNet" } else { "" };
        ("classes", format!("{count}{named}"))
    }));
    facts.extend(TEXTS.into_iter().filter_map(|key| Some((key, info.metadata.get(key)?.clone()))));
    if !info.ignored.is_empty() {
        facts.push(("not used", info.ignored.join(", ")));
    }
    facts.push(("identity", info.identity.chars().take(16).collect()));
    facts
}

fn shortened(text: &str) -> String {
    let mut letters = text.trim().chars();
    let shown: String = letters.by_ref().take(MOST_LETTERS).collect();
    if letters.next().is_some() { shown + "…" } else { shown }
}
