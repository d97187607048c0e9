//! The bar at the bottom: what the picture cost, on which device, how it is scaled, and what is going on.

use egui::{Align, Layout, Ui};

use super::style;
use crate::progress::Progress;
use crate::render::Frame;

/// The facts of the bar.
pub struct Status<'a> {
    pub frame: Option<&'a Frame>,
    pub device: &'a str,
    pub device_note: Option<&'a str>,
    /// Scale of the picture, 1 = one screen pixel per pixel.
    pub zoom: f32,
    pub fits: bool,
    /// What is being done, and how far it is.
    pub work: Option<(&'a str, &'a Progress)>,
}

/// Shows the bar; returns true if the work is to be cancelled.
pub fn status_ui(ui: &mut Ui, status: &Status<'_>) -> bool {
    ui.style_mut().override_text_style = Some(egui::TextStyle::Small);
    let colours = style::palette(ui);
    let mut cancel = false;
    ui.horizontal_centered(|ui| {
        ui.spacing_mut().item_spacing.x = style::GRID * 2.0;
        if let Some(frame) = status.frame {
            let (run, all) = frame.stages_run;
            let hint = format!(
                "From the edit to the finished picture: {run} of {all} stages ran, the rest came from the cache"
            );
            // A fixed width, so that the rest of the bar stands still while the time changes.
            let (rect, response) = ui.allocate_exact_size(egui::vec2(56.0, style::STATUS_HEIGHT), egui::Sense::hover());
            let time = format!("{:.1} ms", frame.took.as_secs_f64() * 1e3);
            let font = egui::FontId::proportional(style::SMALL_TEXT);
            ui.painter().text(rect.left_center(), egui::Align2::LEFT_CENTER, &time, font, colours.text);
            response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, time.as_str()));
            response.on_hover_text(hint);
            ui.weak("·");
            match frame.is_exact {
                true => ui.weak("exact").on_hover_text("The full generator made this picture, at full resolution"),
                false => ui.weak("preview").on_hover_text("A smaller picture from halfway; the exact one follows"),
            };
            ui.weak("·");
        }
        let device = egui::RichText::new(status.device);
        let device =
            if status.device_note.is_some() { device.color(colours.warning) } else { device.color(colours.text_weak) };
        let label = ui.add(egui::Label::new(device).truncate());
        if let Some(note) = status.device_note {
            label.on_hover_text(note);
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if let Some((what, progress)) = status.work {
                cancel = ui
                    .add(egui::Button::new("Cancel").small())
                    .on_hover_text("What was there stays as it is")
                    .clicked();
                progress_ui(ui, what, progress);
                ui.weak("·");
            }
            let percent = status.zoom * 100.0;
            let digits = if percent < 10.0 { 1 } else { 0 };
            let zoom = format!("{}{percent:.digits$} %", if status.fits { "fit " } else { "" });
            if status.frame.is_some() {
                ui.weak(zoom).on_hover_text("F fits, 1 shows every pixel as one, the wheel zooms");
            }
        });
    });
    cancel
}

fn progress_ui(ui: &mut Ui, what: &str, progress: &Progress) {
    let mut text = format!("{what}: {}", progress.stage);
    if progress.total > 0 {
        let share = progress.done as f32 / progress.total as f32;
        ui.add(egui::ProgressBar::new(share.clamp(0.0, 1.0)).desired_width(96.0).desired_height(6.0));
        // Bytes come in millions, everything else is counted.
        let amount = match progress.total {
            1_000_000.. => format!(" {:.0} of {:.0} MB", progress.done as f64 / 1e6, progress.total as f64 / 1e6),
            total => format!(" {} of {total}", progress.done),
        };
        text.push_str(&amount);
    } else {
        ui.add(egui::Spinner::new().size(12.0));
    }
    ui.add(egui::Label::new(text).truncate());
}
