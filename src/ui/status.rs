//! The bar at the bottom: what the picture cost, on which device, how it is scaled, and what is going on.

use std::time::Duration;

use egui::{Align, Layout, Ui};

use super::messages::{Messages, messages_ui};
use super::running::Running;
use super::style;
use crate::progress::Progress;
use crate::render::Frame;
use crate::worker::{DeviceFacts, JobId};

/// The facts of the bar.
pub struct Status<'a> {
    pub frame: Option<&'a Frame>,
    pub device: &'a DeviceFacts,
    /// Scale of the picture, 1 = one screen pixel per pixel.
    pub zoom: f32,
    pub fits: bool,
    /// Long work that is under way.
    pub running: &'a [&'a Running],
    pub messages: &'a Messages,
}

/// Shows the bar; returns the work that is to be cancelled.
pub fn status_ui(ui: &mut Ui, status: &Status<'_>) -> Option<JobId> {
    ui.style_mut().override_text_style = Some(egui::TextStyle::Small);
    let colours = style::palette(ui);
    let mut cancelled = None;
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
        let DeviceFacts { label, note, .. } = status.device;
        let colour = if note.is_some() { colours.warning } else { colours.text_weak };
        let label = ui.add(egui::Label::new(egui::RichText::new(label).color(colour)).truncate());
        if let Some(note) = note {
            label.on_hover_text(note);
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            match status.running {
                [] => {}
                [one] => {
                    cancelled = running_ui(ui, one, false);
                    ui.weak("·");
                }
                several => {
                    cancelled = several_ui(ui, several);
                    ui.weak("·");
                }
            }
            let percent = status.zoom * 100.0;
            let digits = if percent < 10.0 { 1 } else { 0 };
            let zoom = format!("{}{percent:.digits$} %", if status.fits { "fit " } else { "" });
            if status.frame.is_some() {
                ui.weak(zoom).on_hover_text("F fits, 0 shows every pixel as one, the wheel zooms");
            }
            messages_ui(ui, status.messages);
        });
    });
    cancelled
}

/// One line, from right to left: its button, how far it is, what it is.
fn running_ui(ui: &mut Ui, running: &Running, is_in_list: bool) -> Option<JobId> {
    let button = ui.add(egui::Button::new("Cancel").small()).on_hover_text("What was there stays as it is");
    // Alone, nothing else can be meant.
    let button = if is_in_list { button.accessible_name(format!("Cancel {}", running.name)) } else { button };
    let Progress { stage, done, total } = &running.progress;
    let mut text = format!("{}: {stage}", running.name);
    if *total > 0 {
        let share = *done as f32 / *total as f32;
        ui.add(egui::ProgressBar::new(share.clamp(0.0, 1.0)).desired_width(96.0).desired_height(6.0));
        // Bytes come in millions, everything else is counted.
        let amount = match *total {
            1_000_000.. => format!(" {:.0} of {:.0} MB", *done as f64 / 1e6, *total as f64 / 1e6),
            total => format!(" {done} of {total}"),
        };
        text.push_str(&amount);
    } else {
        ui.add(egui::Spinner::new().size(12.0));
    }
    if let Some(left) = running.left().filter(|left| *left >= SOON) {
        text.push_str(&format!(" · {} left", spoken(left)));
    }
    let label = egui::Label::new(text).truncate();
    match is_in_list {
        true => ui.with_layout(Layout::left_to_right(Align::Center), |ui| ui.add(label)).inner,
        false => ui.add(label),
    };
    button.clicked().then_some(running.job)
}

/// How many there are; a click lists them.
fn several_ui(ui: &mut Ui, several: &[&Running]) -> Option<JobId> {
    let list = ui.menu_button(format!("{} tasks", several.len()), |ui| {
        let mut cancelled = None;
        for running in several {
            let line = ui.allocate_ui_with_layout(
                egui::vec2(style::TASK_WIDTH, style::ROW),
                Layout::right_to_left(Align::Center),
                |ui| running_ui(ui, running, true),
            );
            cancelled = cancelled.or(line.inner);
        }
        cancelled
    });
    ui.add(egui::Spinner::new().size(12.0));
    list.inner.flatten()
}

/// What is over by then says nothing of the time that is left.
const SOON: Duration = Duration::from_secs(2);

/// "7 s", "3 min", "2 h 5 min"
fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds.div_ceil(60)) {
        (0, _) if seconds < 100 => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, _) => format!("{hours} h {} min", seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let said = |seconds| spoken(Duration::from_secs(seconds));
        assert_eq!(
            [7, 99, 100, 3599, 3600, 7500].map(said),
            ["7 s", "99 s", "2 min", "60 min", "1 h 0 min", "2 h 5 min"]
        );
    }
}
