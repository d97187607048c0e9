//! What the window says: what did not work, notes of what was done, and what was said before. Screen readers read out
//! both as they come.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use egui::accesskit::Live;
use egui::{
    Align, Align2, Area, Button, Context, Id, Label, Layout, Order, Popup, PopupCloseBehavior, Rect, Response,
    RichText, Ui, vec2,
};

use super::command::Command;
use super::facts::summary_ui;
use super::icons::{self, Icon, icon_button};
use super::style;
use crate::failure::Failure;
use crate::files::without_verbatim_prefix;
use crate::generator::ModelInfo;

/// What the window says at present.
#[derive(Default)]
pub struct Notices {
    pub failure: Option<Failure>,
    /// What became of kept files; stays until it is dismissed.
    pub told: Vec<Failure>,
    /// Every cause of the failure is shown.
    pub shows_details: bool,
    pub note: Option<Note>,
    pub messages: Messages,
}

/// Has a text read out when it appears or changes; [`Live::Assertive`] interrupts.
pub fn read_out(response: &Response, live: Live) {
    response.ctx.accesskit_node_builder(response.id, |node| node.set_live(live));
}

/// The bar under the menu. Returns false when it is dismissed.
pub fn failure_ui(ui: &mut Ui, failure: &Failure, details: &mut bool) -> bool {
    let mut stays = true;
    let colours = style::palette(ui);
    ui.horizontal_top(|ui| {
        let (rect, _) = ui.allocate_exact_size(vec2(16.0, style::ROW), egui::Sense::hover());
        icons::paint(ui.painter(), Icon::Warning, rect.center(), colours.error);
        ui.with_layout(Layout::right_to_left(Align::Min), |ui| {
            stays = !icon_button(ui, Icon::Cross, "Dismiss", "Closes this message").clicked();
            if failure.causes.len() > 1 {
                let text = if *details { "Hide details" } else { "Details" };
                *details ^= ui.add(Button::new(text)).clicked();
            }
            ui.with_layout(Layout::top_down(Align::Min), |ui| {
                ui.add_space(4.0);
                let headline = RichText::new(&failure.headline).color(colours.text_strong);
                read_out(&ui.add(Label::new(headline).wrap()), Live::Assertive);
                // Why belongs to what; the rest is for those who ask.
                let shown = if *details { failure.causes.len() } else { 1 };
                for cause in failure.causes.iter().take(shown) {
                    ui.add(Label::new(RichText::new(cause).color(colours.text)).wrap().selectable(true));
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
        let headline = ui.label(RichText::new(&failure.headline).color(colours.text_strong));
        read_out(&headline, Live::Assertive);
        headline.on_hover_text(failure.causes.join("\n"));
        let button = ui.button("Start again");
        again = button.on_hover_text("Your edit is kept; the model is opened again").clicked();
    });
    again
}

/// The bar of an edit that waits for its model. Returns true when the edit is dropped.
pub fn waiting_ui(ui: &mut Ui, text: &str, commands: &mut Vec<Command>) -> bool {
    let mut dropped = false;
    ui.horizontal_top(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Min), |ui| {
            dropped = ui.button("Drop the edit").on_hover_text("Its file stays as it is").clicked();
            if ui.button(Command::Open.text()).on_hover_text(Command::Open.tooltip()).clicked() {
                commands.push(Command::Open);
            }
            ui.with_layout(Layout::top_down(Align::Min), |ui| {
                ui.add_space(4.0);
                read_out(&ui.add(Label::new(text).wrap()), Live::Polite);
                ui.add_space(3.0);
            });
        });
    });
    dropped
}

/// A note that goes away by itself, but not from under the pointer or the keyboard.
pub struct Note {
    about: About,
    /// Time of the window (seconds) at which it goes.
    until: f64,
}

/// What a note is about.
pub enum About {
    /// A picture or a series was written; a click opens its folder.
    Exported(PathBuf),
    /// An edit was written; likewise.
    Saved(PathBuf),
    /// Where the log is; likewise.
    Log(PathBuf),
    /// So many directions were taken in from a file; likewise.
    Imported(PathBuf, usize),
    /// A direction was learned; how much of what was held out is foretold, if some was.
    Learned(String, Option<f64>),
    /// A model was opened; a click closes the note.
    Opened(Arc<ModelInfo>),
}

/// Seconds that the shortest note stays, and that every note stays after the pointer or the keyboard left it.
const SHORTEST: f64 = 8.0;
const AFTERWARDS: f64 = 3.0;
/// Letters that people read in a second, who first have to see that there is something to read.
const LETTERS_A_SECOND: f64 = 12.0;
const NOTE_WIDTH: f32 = 248.0;

impl About {
    /// The note as one line.
    pub fn text(&self) -> String {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self {
            About::Exported(path) => format!("Exported {}", name(path)),
            About::Saved(path) => format!("Saved {}", name(path)),
            About::Log(path) => format!("The log is {}", path.display()),
            About::Imported(path, 1) => format!("A direction of {} is among your own", name(path)),
            About::Imported(path, count) => format!("{count} directions of {} are among your own", name(path)),
            About::Learned(name, None) => format!("{name} was learned and is among your own directions"),
            About::Learned(name, Some(share)) => {
                format!(
                    "{name} was learned, {:.0} % of what was held out: it is among your own directions",
                    100.0 * share
                )
            }
            About::Opened(info) => format!("Opened {}", info.name),
        }
    }

    /// Letters of all of it.
    fn letters(&self) -> usize {
        match self {
            About::Exported(_) | About::Saved(_) | About::Log(_) | About::Imported(..) | About::Learned(..) => {
                self.text().chars().count()
            }
            About::Opened(info) => {
                let lines = super::facts::summary(info);
                lines.iter().map(|line| line.chars().count()).sum::<usize>() + self.text().chars().count()
            }
        }
    }
}

impl Note {
    /// A note that appears at `now`, in seconds of the window's time.
    pub fn new(about: About, now: f64) -> Self {
        let reading = 3.0 + about.letters() as f64 / LETTERS_A_SECOND;
        Note { about, until: now + reading.max(SHORTEST) }
    }
}

/// Shows the note above `area`'s lower right corner.
pub fn note_ui(ctx: &Context, note: &mut Option<Note>, area: Rect) {
    let Some(shown) = note else { return };
    let now = ctx.input(|input| input.time);
    if now >= shown.until {
        *note = None;
        return;
    }
    let corner = area.right_bottom() - vec2(12.0, 12.0);
    let place = Area::new(Id::unique("note")).order(Order::Foreground).pivot(Align2::RIGHT_BOTTOM).fixed_pos(corner);
    let frame = place.show(ctx, |ui| {
        egui::Frame::popup(ui.style()).show(ui, |ui| match &shown.about {
            About::Exported(path) | About::Saved(path) | About::Log(path) | About::Imported(path, _) => {
                written_ui(ui, &shown.about.text(), path)
            }
            About::Learned(..) => read_ui(ui, &shown.about.text()),
            About::Opened(info) => opened_ui(ui, &shown.about.text(), info),
        })
    });
    let button = frame.inner.inner;
    let pointed = ctx.rect_contains_pointer(frame.response.layer_id, frame.response.rect);
    if pointed || button.has_focus() {
        shown.until = shown.until.max(now + AFTERWARDS);
    }
    ctx.request_repaint_after_secs((shown.until - now) as f32);
    if button.clicked() && matches!(shown.about, About::Opened(_) | About::Learned(..)) {
        *note = None;
    }
}

/// A note that only says something; a click closes it.
fn read_ui(ui: &mut Ui, text: &str) -> Response {
    let button = ui.add(Button::new(text).frame_when_inactive(false));
    read_out(&button, Live::Polite);
    button.on_hover_text("Click to close")
}

/// Returns the button of the note, for the keyboard.
fn written_ui(ui: &mut Ui, text: &str, path: &Path) -> Response {
    let button = ui.add(Button::new(text).frame_when_inactive(false));
    read_out(&button, Live::Polite);
    let button = button.on_hover_text(format!("{}\nClick to open the folder", path.display()));
    if button.clicked() {
        show_folder(ui.ctx(), path);
    }
    button
}

/// Likewise.
fn opened_ui(ui: &mut Ui, text: &str, info: &ModelInfo) -> Response {
    ui.set_width(NOTE_WIDTH);
    let heading = ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let hint = "The title shows this and more when pointed at";
            let cross = icon_button(ui, Icon::Cross, "Close this note", hint);
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                read_out(&ui.add(Label::new(RichText::new(text).strong()).truncate()), Live::Polite);
            });
            cross
        })
    });
    summary_ui(ui, info);
    heading.inner.inner
}

/// Has the system show the folder that holds a file, or the folder itself.
pub fn show_folder(ctx: &Context, path: &Path) {
    ctx.open_url(egui::OpenUrl::new_tab(folder_url(path)));
}

/// `file://` address of the folder that holds a file, or of the folder itself.
fn folder_url(path: &Path) -> String {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    url(&without_verbatim_prefix(folder).to_string_lossy())
}

/// The address of an absolute path of any system.
fn url(path: &str) -> String {
    let path = if cfg!(windows) || path.starts_with(r"\\") { path.replace('\\', "/") } else { path.to_owned() };
    let mut url = String::from(match path.as_bytes() {
        // The host of a share.
        [b'/', b'/', ..] => "file:",
        [b'/', ..] => "file://",
        _ => "file:///",
    });
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' | b':' => {
                url.push(char::from(byte))
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}

/// What the window said lately, so that nothing is lost that was read too slowly or closed too quickly.
#[derive(Default)]
pub struct Messages {
    /// Newest last.
    said: VecDeque<String>,
    /// The failure that the bar shows, once it is among what was said.
    heard: Option<Failure>,
}

const MOST_MESSAGES: usize = 20;

impl Messages {
    pub fn say(&mut self, text: String) {
        self.said.push_back(text);
        while self.said.len() > MOST_MESSAGES {
            self.said.pop_front();
        }
    }

    /// To be called every frame with what the bar shows.
    pub fn hear(&mut self, failure: Option<&Failure>) {
        if let Some(failure) = failure.filter(|failure| self.heard.as_ref() != Some(failure)) {
            tracing::warn!("{}: {}", failure.headline, failure.causes.join(": "));
            self.say(failure.headline.clone());
        }
        if self.heard.as_ref() != failure {
            self.heard = failure.cloned();
        }
    }
}

/// The newest message, for the status bar; a click shows those before it.
pub fn messages_ui(ui: &mut Ui, messages: &Messages) {
    let Some(newest) = messages.said.back() else { return };
    let text = RichText::new(newest).color(style::palette(ui).text_weak);
    let button = Button::new(text).small().truncate().frame_when_inactive(false);
    let button = ui.add(button).accessible_name(format!("Messages, the last is: {newest}"));
    let button = button.on_hover_text("What was said lately");
    Popup::menu(&button).close_behavior(PopupCloseBehavior::CloseOnClickOutside).show(|ui| {
        ui.set_max_width(style::PANEL_WIDTHS[1]);
        for said in messages.said.iter().rev() {
            ui.add(Label::new(said).wrap().selectable(true));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn folders_become_addresses() {
        assert_eq!(folder_url(Path::new("/no such/ü/a.png")), "file:///no%20such/%C3%BC");
    }

    #[test]
    fn addresses_of_windows_have_drives_and_hosts() {
        assert_eq!(url("C:/a b"), "file:///C:/a%20b");
        assert_eq!(url(r"\\server\a b"), "file://server/a%20b");
    }

    #[test]
    fn long_notes_stay_longer() {
        let short = Note::new(About::Exported("a/b.png".into()), 100.0);
        let long = Note::new(About::Saved("x".repeat(300).into()), 100.0);
        assert_eq!(short.until, 108.0);
        assert!(long.until > 125.0);
    }

    #[test]
    fn a_failure_is_heard_once_each_time_it_is_shown() {
        let mut messages = Messages::default();
        let failure = Failure { headline: "no".into(), causes: Vec::new() };
        for shown in [Some(&failure), Some(&failure), None, Some(&failure)] {
            messages.hear(shown);
        }
        assert_eq!(messages.said, ["no", "no"]);
        (0..99).for_each(|n| messages.say(n.to_string()));
        assert_eq!((messages.said.len(), messages.said.back().unwrap().as_str()), (MOST_MESSAGES, "98"));
    }
}
