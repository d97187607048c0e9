//! Where moves start: seed, truncation, noise, classes.

use egui::{Align, Id, Label, Ui, vec2};

use super::classes::classes_ui;
use super::command::Command;
use super::field::TextField;
use super::icons::{Icon, icon_button};
use super::number::{Digits, number};
use super::segments::{Segment, segments_ui};
use super::slider::Slider;
use super::style;
use crate::classes::Classes;
use crate::edit::{Code, Edit, NoiseMode, Sample, Seed, SeedKind};
use crate::generator::ModelInfo;

/// Room for the button behind a code that is given in full, in points.
const USE_A_SEED: f32 = 84.0;

/// The panel. `refused` holds the text of a seed that is none, until it is corrected.
pub fn sample_ui(
    ui: &mut Ui,
    info: &ModelInfo,
    edit: &mut Edit,
    refused: &mut Option<String>,
    commands: &mut Vec<Command>,
) {
    style::section(ui, "Sample");
    row(ui, "Seed", |ui| match edit.sample.code {
        Code::Seed(seed) => seed_ui(ui, seed, &mut edit.sample.code, refused, commands),
        _ => code_ui(ui, info, &mut edit.sample),
    });
    if let Some(text) = refused {
        let last = if let Code::Seed(seed) = edit.sample.code { seed.kind.last() } else { u64::MAX };
        let hint = format!("{text:?} is no seed: a whole number from 0 to {last}");
        ui.colored_label(style::palette(ui).warning, egui::RichText::new(hint).size(style::SMALL_TEXT));
    }
    if let Code::Seed(seed) = &mut edit.sample.code {
        row(ui, "of", |ui| kind_ui(ui, info, seed));
    }
    truncation_ui(ui, info, edit);
    noise_ui(ui, info, edit, commands);
    if let Some(classes) = info.classes {
        let why = match edit.sample.code {
            Code::Seed(_) | Code::Z(_) => None,
            Code::W(_) | Code::WPlus(_) => Some("The code from the file is in w, and its class already in it"),
            Code::Between(_) => Some("The samples that this code lies between have their own classes"),
        };
        classes_ui(ui, Classes::new(classes), &mut edit.sample, why);
    }
}

/// A label column, then controls.
pub fn row<R>(ui: &mut Ui, label: &str, add_controls: impl FnOnce(&mut Ui) -> R) -> R {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = style::GRID;
        let (rect, _) = ui.allocate_exact_size(egui::vec2(style::LABEL_COLUMN, style::ROW), egui::Sense::hover());
        let font = egui::FontId::proportional(style::TEXT);
        ui.painter().text(rect.left_center(), egui::Align2::LEFT_CENTER, label, font, style::palette(ui).text_weak);
        add_controls(ui)
    })
    .inner
}

fn seed_ui(ui: &mut Ui, seed: Seed, code: &mut Code, refused: &mut Option<String>, commands: &mut Vec<Command>) {
    command_icon(ui, Icon::Previous, Command::PreviousSeed, commands);
    let width = ui.available_width() - 2.0 * (style::ROW + style::GRID);
    let field = TextField { name: "Seed", hint: "", width, quiet: false, align: Align::Center };
    let (response, typed) = field.show(ui, Id::unique("seed"), &seed.number.to_string());
    if let Some(text) = typed {
        match text.trim().parse().map(|number| Seed { number, ..seed }) {
            Ok(seed) if seed.check().is_ok() => (*code, *refused) = (Code::Seed(seed), None),
            _ => *refused = Some(text),
        }
    } else if response.has_focus() && ui.input(|input| input.events.iter().any(|e| matches!(e, egui::Event::Text(_)))) {
        *refused = None;
    }
    response.on_hover_text("The seed of the latent code. Left and Right step through seeds.");
    command_icon(ui, Icon::Next, Command::NextSeed, commands);
    command_icon(ui, Icon::Dice, Command::RandomSeed, commands);
}

/// Whose seed it is.
fn kind_ui(ui: &mut Ui, info: &ModelInfo, seed: &mut Seed) {
    let z = info.z_dim;
    let kinds = SeedKind::ALL.map(|kind| {
        let (text, name, meaning) = match kind {
            SeedKind::Studio => ("Studio", "Seed of SeFa Studio", "This program's own random numbers".to_owned()),
            SeedKind::Numpy => (
                "NumPy",
                "Seed of NumPy",
                format!("RandomState(seed).randn(1, {z}), as NVIDIA's and genforce's tools draw"),
            ),
            SeedKind::Torch => ("torch", "Seed of PyTorch", format!("manual_seed(seed), randn(1, {z}) on a CPU")),
            SeedKind::Scipy => {
                ("SciPy", "Seed of SciPy", "truncnorm within -2 to 2, as Hugging Face's BigGAN draws".to_owned())
            }
        };
        let own = if kind == info.seeds { "\nThe tool that this model comes from" } else { "" };
        (text, name, format!("The picture that this seed stands for there: {meaning}{own}"))
    });
    let segments: Vec<Segment> = SeedKind::ALL
        .into_iter()
        .zip(&kinds)
        .map(|(kind, (text, name, tooltip))| Segment { text, name, tooltip, enabled: true, on: seed.kind == kind })
        .collect();
    let clicked = segments_ui(ui, ui.available_width(), &segments);
    if let Some(&kind) = clicked.and_then(|clicked| SeedKind::ALL.get(clicked)) {
        *seed = seed.of(kind);
    }
}

fn command_icon(ui: &mut Ui, icon: Icon, command: Command, commands: &mut Vec<Command>) {
    if icon_button(ui, icon, command.text(), &command.hint(ui.ctx())).clicked() {
        commands.push(command);
    }
}

fn code_ui(ui: &mut Ui, info: &ModelInfo, sample: &mut Sample) {
    let what = match &sample.code {
        Code::Seed(_) | Code::Z(_) => "code from file (z)",
        Code::W(_) => "code from file (w)",
        Code::WPlus(_) => "code from file (w+)",
        Code::Between(_) => "code between others",
    };
    let (text, hint) = match sample.photo() {
        Some(photo) => (photo.name.as_str(), format!("{what}: it was found for this photo")),
        None => (what, "This edit starts from a given latent code, not from a seed".to_owned()),
    };
    let room = (ui.available_width() - USE_A_SEED).max(0.0);
    ui.allocate_ui(vec2(room, style::ROW), |ui| ui.add(Label::new(text).truncate())).inner.on_hover_text(hint);
    let button = ui.button("Use a seed").on_hover_text("Leaves this code and draws one from seed 0");
    if button.clicked() {
        sample.code = Code::Seed(info.seed(0));
    }
}

/// Why truncation has no effect, if it has none, and what psi does.
fn psi_facts(info: &ModelInfo, code: &Code) -> (Option<&'static str>, &'static str) {
    match (&info.default_truncation, code) {
        (None, _) => (Some("This model has no mean code to truncate towards"), ""),
        (_, Code::WPlus(_)) => (Some("Codes with one w per layer are never truncated"), ""),
        (Some(_), Code::Between(_)) if info.w_dim.is_some() => {
            (Some("The samples that this code lies between have their own truncation"), "")
        }
        (Some(_), Code::Z(_)) if info.w_dim.is_none() => {
            (None, "Picks the batch statistics; the z from the file stays as it is. Double-click resets.")
        }
        (Some(_), _) if info.w_dim.is_none() => (
            None,
            "Scales the seed's z and picks the batch statistics: less is more typical, more is more varied. Double-click resets.",
        ),
        (Some(_), _) => {
            (None, "Truncation: 1 leaves the sample as it is, 0 gives the mean picture. Double-click resets.")
        }
    }
}

fn truncation_ui(ui: &mut Ui, info: &ModelInfo, edit: &mut Edit) {
    let (why, hint) = psi_facts(info, &edit.sample.code);
    let home = info.default_truncation.unwrap_or_default();
    let range = if info.w_dim.is_some() { -0.5..=1.5 } else { 0.0..=1.0 };
    let truncation = &mut edit.truncation;
    ui.add_enabled_ui(why.is_none(), |ui| {
        row(ui, "Psi", |ui| {
            let width = ui.available_width() - style::VALUE_COLUMN - style::GRID;
            let slider = Slider::new(&mut truncation.psi, range, "Psi").home(home.psi).step(0.05).show(ui, width);
            slider.response.on_hover_text(hint).on_disabled_hover_text(why.unwrap_or_default());
            number(ui, &mut truncation.psi, 0.01, Digits::Plain(2), "Psi value")
                .on_hover_text("Drag, or click to type");
        });
    });
    let why = why.or_else(|| info.w_dim.is_none().then_some("This model has no w to truncate layer by layer"));
    ui.add_enabled_ui(why.is_none(), |ui| {
        row(ui, "Cutoff", |ui| {
            let layers = info.num_layers;
            let mut cutoff = truncation.cutoff.unwrap_or(layers).min(layers) as f32;
            let width = ui.available_width() - style::VALUE_COLUMN - style::GRID;
            let at_home = home.cutoff.unwrap_or(layers) as f32;
            let slider =
                Slider::new(&mut cutoff, 0.0..=layers as f32, "Cutoff").integer().home(at_home).show(ui, width);
            let hint = "How many layers are truncated, counted from the coarsest";
            let mut changed = slider.response.changed();
            slider.response.on_hover_text(hint).on_disabled_hover_text(why.unwrap_or_default());
            changed |= number(ui, &mut cutoff, 0.1, Digits::UpTo(layers), "Cutoff value").changed();
            if changed {
                let whole = cutoff.round().clamp(0.0, layers as f32) as usize;
                truncation.cutoff = (whole < layers).then_some(whole);
            }
        });
    });
}

/// Mode, text, accessible name, and what it means.
const NOISE: [(NoiseMode, &str, &str, &str); 3] = [
    (NoiseMode::Const, "const", "Stored noise", "The noise stored in the checkpoint"),
    (NoiseMode::Random, "random", "Random noise", "Fresh noise from its own seed; the dice draws another"),
    (NoiseMode::None, "none", "No noise", "No noise: the smoothest picture"),
];

fn noise_ui(ui: &mut Ui, info: &ModelInfo, edit: &mut Edit, commands: &mut Vec<Command>) {
    let random = edit.noise.mode == NoiseMode::Random;
    ui.add_enabled_ui(info.has_noise, |ui| {
        row(ui, "Noise", |ui| {
            let segments = NOISE.map(|(mode, text, name, tooltip)| {
                let missing = match mode {
                    _ if !info.has_noise => Some("This model has no noise inputs"),
                    NoiseMode::Const if !info.stores_noise => Some("The file holds no noise"),
                    _ => None,
                };
                Segment {
                    text,
                    name,
                    tooltip: missing.unwrap_or(tooltip),
                    enabled: missing.is_none(),
                    on: info.has_noise && info.noise_mode(edit.noise.mode) == mode,
                }
            });
            let spare = if random { style::ROW + style::GRID } else { 0.0 };
            if let Some(clicked) = segments_ui(ui, ui.available_width() - spare, &segments) {
                edit.noise.mode = NOISE[clicked].0;
            }
            if random {
                command_icon(ui, Icon::Dice, Command::RerollNoise, commands);
            }
        });
    });
}
