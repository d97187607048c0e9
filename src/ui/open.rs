//! Ways to name a file without the system's dialogs.

use std::path::PathBuf;

use egui::{Align2, Context, Id, Key, LayerId, Modifiers, Order, StrokeKind, TextEdit};

use super::dialog::dialog_ui;
use super::dialogs::{Ask, Question};
use super::style;

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
        let path = folder.join(&question.name);
        let text = std::path::absolute(&path).unwrap_or(path).display().to_string();
        PathPrompt { question, text, fresh: true }
    }
}

/// Shows the field while it is open; returns the path when it is confirmed.
pub fn path_ui(ctx: &Context, open: &mut Option<PathPrompt>) -> Option<(Ask, PathBuf)> {
    let prompt = open.as_mut()?;
    let mut done = false;
    // Its only field has the keyboard: Escape there means the whole question.
    let taken_back = ctx.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Escape));
    let stays = dialog_ui(ctx, prompt.question.ask.title(), Align2::CENTER_CENTER, |ui| {
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
    if done || !stays || taken_back {
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
