//! The system's file dialogs, behind a trait: tests script them, and a desktop without any is noticed.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::looks::Look;
use crate::invert::PHOTO_ENDINGS;

/// What a file is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    Open,
    /// One that is to be found.
    Photo,
    /// A network that looks at pictures.
    Predictor,
    SaveEdit,
    Export,
    /// What a view shows, as one picture.
    View(Look),
    SweepFolder,
    ShelfFolder,
    Film,
    FrameFolder,
}

impl Ask {
    pub fn title(self) -> &'static str {
        match self {
            Ask::Open => "Open a model, an edit, an exported picture or directions",
            Ask::Photo => "Open a photo",
            Ask::Predictor => "Choose an ONNX network that looks at pictures",
            Ask::SaveEdit => "Save the edit",
            Ask::Export => "Export the picture",
            Ask::View(_) => "Export what is shown",
            Ask::SweepFolder => "Folder for the series",
            Ask::ShelfFolder => "Folder for the pictures of the shelf",
            Ask::Film => "Export the motion",
            Ask::FrameFolder => "Folder for the frames of the motion",
        }
    }

    /// True if a folder is asked for, where numbered files will lie.
    pub fn is_series(self) -> bool {
        matches!(self, Ask::SweepFolder | Ask::ShelfFolder | Ask::FrameFolder)
    }
}

/// A question to the user, with a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub ask: Ask,
    pub folder: Option<PathBuf>,
    /// Proposed file name, for files that are written.
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Path(Ask, PathBuf),
    Cancelled(Ask),
    /// This desktop has no file dialogs: ask in the window instead.
    Unavailable(Question),
}

/// Asks for files without ever blocking the window.
pub trait Dialogs {
    /// `wake` is called when the answer is there.
    fn ask(&mut self, question: Question, wake: Box<dyn FnOnce() + Send>);
    /// The answers since the last call.
    fn answers(&mut self) -> Vec<Answer>;
}

/// The dialogs of the system.
pub struct SystemDialogs {
    sender: Sender<Answer>,
    receiver: Receiver<Answer>,
}

impl Default for SystemDialogs {
    fn default() -> Self {
        let (sender, receiver) = channel();
        SystemDialogs { sender, receiver }
    }
}

/// Without a portal the dialog "answers" at once with nothing, as if cancelled; nobody cancels this fast.
const FASTER_THAN_PEOPLE: Duration = Duration::from_millis(250);

impl Dialogs for SystemDialogs {
    fn ask(&mut self, question: Question, wake: Box<dyn FnOnce() + Send>) {
        let sender = self.sender.clone();
        std::thread::spawn(move || {
            let asked = Instant::now();
            let path = show(&question);
            let answer = answer(question, path, asked.elapsed(), has_dialogs());
            // A closed window no longer listens.
            let _ = sender.send(answer);
            wake();
        });
    }

    fn answers(&mut self) -> Vec<Answer> {
        self.receiver.try_iter().collect()
    }
}

/// What an answer means. `has_dialogs`: as far as is known this desktop can show some.
fn answer(question: Question, path: Option<PathBuf>, took: Duration, has_dialogs: bool) -> Answer {
    match path {
        Some(path) => Answer::Path(question.ask, path),
        // On a busy machine even the search for a portal takes longer.
        None if took < FASTER_THAN_PEOPLE || !has_dialogs => Answer::Unavailable(question),
        None => Answer::Cancelled(question.ask),
    }
}

/// False if nothing is there that could show a dialog: no bus of the session to ask for a portal, and no zenity.
#[cfg(target_os = "linux")]
fn has_dialogs() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    is_set("DBUS_SESSION_BUS_ADDRESS")
        || runtime.is_some_and(|folder| folder.join("bus").exists())
        || std::env::split_paths(&path).any(|folder| folder.join("zenity").exists())
}

#[cfg(not(target_os = "linux"))]
fn has_dialogs() -> bool {
    true
}

fn show(question: &Question) -> Option<PathBuf> {
    let mut dialog = rfd::FileDialog::new().set_title(question.ask.title());
    if let Some(folder) = &question.folder {
        dialog = dialog.set_directory(folder);
    }
    match question.ask {
        Ask::Open => dialog
            .add_filter(
                "Models, edits, exported pictures and directions",
                &["pkl", "pt", "pth", "ckpt", "safetensors", "bin", "npz", "npy", "json", "png"],
            )
            .add_filter("All files", &["*"])
            .pick_file(),
        Ask::Photo => dialog.add_filter("Photos", &PHOTO_ENDINGS).add_filter("All files", &["*"]).pick_file(),
        Ask::SaveEdit => dialog.add_filter("Edit", &["json"]).set_file_name(&question.name).save_file(),
        Ask::Predictor => dialog.add_filter("ONNX network", &["onnx"]).add_filter("All files", &["*"]).pick_file(),
        Ask::View(Look::Analysis) => {
            let dialog = dialog.add_filter("Picture or table", &["png", "csv", "json", "md", "tex"]);
            dialog.set_file_name(&question.name).save_file()
        }
        Ask::View(Look::Directions) => {
            dialog.add_filter("Page or PNG picture", &["html", "png"]).set_file_name(&question.name).save_file()
        }
        Ask::Export | Ask::View(_) => {
            dialog.add_filter("PNG picture", &["png"]).set_file_name(&question.name).save_file()
        }
        Ask::Film => {
            let dialog = dialog.add_filter("Film (MP4, GIF, APNG)", &["mp4", "gif", "png"]);
            dialog.add_filter("All that ffmpeg writes", &["*"]).set_file_name(&question.name).save_file()
        }
        Ask::SweepFolder | Ask::ShelfFolder | Ask::FrameFolder => dialog.pick_folder(),
    }
}

/// Answers given beforehand, for tests.
#[derive(Default)]
pub struct ScriptedDialogs {
    pub paths: VecDeque<Option<PathBuf>>,
    answers: Vec<Answer>,
}

impl ScriptedDialogs {
    /// The first question gets the first path; `None` cancels.
    pub fn new(paths: impl IntoIterator<Item = Option<PathBuf>>) -> Self {
        ScriptedDialogs { paths: paths.into_iter().collect(), answers: Vec::new() }
    }
}

impl Dialogs for ScriptedDialogs {
    fn ask(&mut self, question: Question, wake: Box<dyn FnOnce() + Send>) {
        self.answers.push(match self.paths.pop_front() {
            Some(Some(path)) => Answer::Path(question.ask, path),
            Some(None) => Answer::Cancelled(question.ask),
            None => Answer::Unavailable(question),
        });
        wake();
    }

    fn answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_machine_without_dialogs_is_no_person_who_cancels() {
        let question = Question { ask: Ask::Export, folder: None, name: "a.png".into() };
        let of = |took, has_dialogs| answer(question.clone(), None, took, has_dialogs);
        let (soon, late) = (Duration::from_millis(3), Duration::from_secs(3));
        for nothing_is_there in [of(soon, true), of(soon, false), of(late, false)] {
            assert_eq!(nothing_is_there, Answer::Unavailable(question.clone()));
        }
        assert_eq!(of(late, true), Answer::Cancelled(Ask::Export));
        let path = PathBuf::from("b.png");
        let chosen = answer(question.clone(), Some(path.clone()), soon, false);
        assert_eq!(chosen, Answer::Path(Ask::Export, path));
    }
}
