//! Ways to name a file without the system's dialogs, and the notices about what became of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use egui::{Align, Align2, Area, Context, Id, Key, LayerId, Order, Rect, StrokeKind, TextEdit, Ui, Window, vec2};

use super::command::Command;
use super::dialogs::{Ask, Question};
use super::facts::summary_ui;
use super::icons::{self, Icon, icon_button};
use super::style;
use crate::failure::Failure;
use crate::generator::ModelInfo;

/// The outline while a file hovers over the window; returns the files that were dropped.
pub fn drop_ui(ctx: &Context) -> Vec<PathBuf> {
    let (hovering, dropped) = ctx.input(|input| {
        let paths = input.raw.dropped_files.iter().map(|file| file.path().to_path_buf());
        (!input.raw.hovered_files.is_empty(), paths.collect::<Vec<_>>())
    });
    if hovering {
        let colours = style::palette_of(ctx);
        let painter = ctx.layer_painter(LayerId::new(Order::Foreground, Id::unique("drop")));
        let window = ctx.content_rect();
        painter.rect_filled(window, 0.0, style::DROP_SHADE);
        painter.rect_stroke(window.shrink(6.0), 6.0, (2.0, colours.accent), StrokeKind::Inside);
        let font = egui::FontId::proportional(style::TEXT + 5.0);
        painter.text(window.center(), Align2::CENTER_CENTER, "Drop to open", font, style::DROP_TEXT);
    }
    dropped
}

/// A path typed by hand, for desktops without file dialogs.
pub struct PathPrompt {
    pub question: Question,
    text: String,
    /// Not shown yet: the keyboard still has to be taken.
    fresh: bool,
}

impl PathPrompt {
    pub fn new(question: Question) -> Self {
        let folder = question.folder.clone().unwrap_or_default();
        let text = folder.join(&question.name).display().to_string();
        PathPrompt { question, text, fresh: true }
    }
}

/// Shows the field while it is open; returns the path when it is confirmed.
pub fn path_ui(ctx: &Context, open: &mut Option<PathPrompt>) -> Option<(Ask, PathBuf)> {
    let prompt = open.as_mut()?;
    let mut stays = true;
    let mut done = false;
    let window = Window::new(prompt.question.ask.title()).collapsible(false).resizable(false).open(&mut stays);
    window.pivot(Align2::CENTER_CENTER).default_pos(ctx.content_rect().center()).show(ctx, |ui| {
        ui.set_width(480.0);
        style::accent_outline(ui);
        ui.weak(match prompt.question.ask {
            Ask::Open => "This desktop offers no file dialog. A file can also be dropped onto the window.",
            _ => "This desktop offers no file dialog.",
        });
        let field = TextEdit::singleline(&mut prompt.text).hint_text("Path").desired_width(f32::INFINITY);
        let field = ui.add(field.id(Id::unique("path prompt"))).accessible_name("Path");
        let entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        if std::mem::take(&mut prompt.fresh) {
            field.request_focus();
        }
        ui.add_space(4.0);
        let button = ui.add_enabled(!prompt.text.trim().is_empty(), egui::Button::new("OK"));
        done = (entered || button.clicked()) && !prompt.text.trim().is_empty();
    });
    let answer = done.then(|| (prompt.question.ask, home_relative(prompt.text.trim())));
    if done || !stays || ctx.input(|input| input.key_pressed(Key::Escape)) {
        *open = None;
    }
    answer
}

/// A path as people type it: `~` is the home folder.
fn home_relative(text: &str) -> PathBuf {
    let rest = text.strip_prefix("~/").or_else(|| text.strip_prefix("~\\"));
    match (rest, directories::UserDirs::new()) {
        (Some(rest), Some(user)) => user.home_dir().join(rest),
        _ => PathBuf::from(text),
    }
}

/// The bar under the menu. Returns false when it is dismissed.
pub fn failure_ui(ui: &mut Ui, failure: &Failure, details: &mut bool) -> bool {
    let mut stays = true;
    let colours = style::palette(ui);
    ui.horizontal_top(|ui| {
        let (rect, _) = ui.allocate_exact_size(vec2(16.0, style::ROW), egui::Sense::hover());
        icons::paint(ui.painter(), Icon::Warning, rect.center(), colours.error);
        ui.with_layout(egui::Layout::right_to_left(Align::Min), |ui| {
            stays = !icon_button(ui, Icon::Cross, "Dismiss", "Closes this message").clicked();
            if !failure.causes.is_empty() {
                let text = if *details { "Hide details" } else { "Details" };
                *details ^= ui.add(egui::Button::new(text)).clicked();
            }
            ui.with_layout(egui::Layout::top_down(Align::Min), |ui| {
                ui.add_space(4.0);
                ui.add(egui::Label::new(egui::RichText::new(&failure.headline).color(colours.text_strong)).wrap());
                if *details {
                    for cause in &failure.causes {
                        ui.add(
                            egui::Label::new(egui::RichText::new(cause).color(colours.text)).wrap().selectable(true),
                        );
                    }
                }
                ui.add_space(3.0);
            });
        });
    });
    stays
}

/// The bar that says that the engine has stopped. Returns true when it is to be started again.
pub fn stopped_ui(ui: &mut Ui, failure: &Failure) -> bool {
    let colours = style::palette(ui);
    let mut again = false;
    ui.horizontal_wrapped(|ui| {
        let (rect, _) = ui.allocate_exact_size(vec2(16.0, style::ROW), egui::Sense::hover());
        icons::paint(ui.painter(), Icon::Warning, rect.center(), colours.error);
        let text = egui::RichText::new(&failure.headline).color(colours.text_strong);
        ui.label(text).on_hover_text(failure.causes.join("\n"));
        let button = ui.button("Start again");
        again = button.on_hover_text("Your edit is kept; the model is opened again").clicked();
    });
    again
}

/// The bar of an edit that waits for its model. Returns true when the edit is dropped.
pub fn waiting_ui(ui: &mut Ui, text: &str, commands: &mut Vec<Command>) -> bool {
    let mut dropped = false;
    ui.horizontal_top(|ui| {
        ui.with_layout(egui::Layout::right_to_left(Align::Min), |ui| {
            dropped = ui.button("Drop the edit").on_hover_text("Its file stays as it is").clicked();
            if ui.button(Command::Open.text()).on_hover_text(Command::Open.tooltip()).clicked() {
                commands.push(Command::Open);
            }
            ui.with_layout(egui::Layout::top_down(Align::Min), |ui| {
                ui.add_space(4.0);
                ui.add(egui::Label::new(text).wrap());
                ui.add_space(3.0);
            });
        });
    });
    dropped
}

/// A note that goes away by itself.
pub struct Toast {
    pub of: ToastOf,
    /// Time of the window (seconds) at which it goes.
    pub until: f64,
}

/// What a note is about.
pub enum ToastOf {
    /// A file was written; a click opens its folder.
    Written(PathBuf),
    /// A model was opened; a click closes the note.
    Opened(Arc<ModelInfo>),
}

/// Seconds that a toast stays.
pub const TOAST_SECONDS: f64 = 8.0;
const TOAST_WIDTH: f32 = 248.0;

/// Shows the note above `area`'s lower right corner.
pub fn toast_ui(ctx: &Context, toast: &mut Option<Toast>, area: Rect) {
    let Some(shown) = toast else { return };
    let left = shown.until - ctx.input(|input| input.time);
    if left <= 0.0 {
        *toast = None;
        return;
    }
    ctx.request_repaint_after_secs(left as f32);
    let corner = area.right_bottom() - vec2(12.0, 12.0);
    let place = Area::new(Id::unique("toast")).order(Order::Foreground).pivot(Align2::RIGHT_BOTTOM).fixed_pos(corner);
    let clicked = place.show(ctx, |ui| {
        let frame = egui::Frame::popup(ui.style());
        frame.show(ui, |ui| match &shown.of {
            ToastOf::Written(path) => written_ui(ui, path),
            ToastOf::Opened(info) => opened_ui(ui, info),
        })
    });
    if clicked.inner.inner {
        *toast = None;
    }
}

fn written_ui(ui: &mut Ui, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let button = egui::Button::new(format!("Exported {name}")).frame_when_inactive(false);
    if ui.add(button).on_hover_text(format!("{}\nClick to open the folder", path.display())).clicked() {
        ui.open_url(egui::OpenUrl::new_tab(folder_url(path)));
    }
    false
}

/// Returns true when the note is closed.
fn opened_ui(ui: &mut Ui, info: &ModelInfo) -> bool {
    ui.set_width(TOAST_WIDTH);
    let heading = ui.horizontal(|ui| {
        ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
            let cross =
                icon_button(ui, Icon::Cross, "Close this note", "The title shows this and more when pointed at");
            ui.with_layout(egui::Layout::left_to_right(Align::Center), |ui| {
                ui.add(egui::Label::new(egui::RichText::new(format!("Opened {}", info.name)).strong()).truncate());
            });
            cross.clicked()
        })
    });
    summary_ui(ui, info);
    heading.inner.inner
}

/// `file://` address of the folder that holds a file, or of the folder itself.
fn folder_url(path: &Path) -> String {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let mut url = String::from(if cfg!(windows) { "file:///" } else { "file://" });
    for byte in folder.to_string_lossy().replace('\\', "/").bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' | b':' => {
                url.push(char::from(byte))
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn folders_become_addresses() {
        assert_eq!(folder_url(Path::new("/no such/ü/a.png")), "file:///no%20such/%C3%BC");
    }
}
