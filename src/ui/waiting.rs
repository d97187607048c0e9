//! An edit whose model is not open, and where it comes from.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use super::keeping::KeptEdit;
use crate::project::Project;

/// An edit whose model is not open. It waits until that model is opened or the user drops it.
pub struct WaitingEdit {
    pub project: Project,
    pub from: EditFrom,
}

/// Where an edit was found.
pub enum EditFrom {
    File {
        path: PathBuf,
        /// An exported picture: edits are not saved there.
        is_picture: bool,
        /// When it was last written.
        modified: Option<SystemTime>,
    },
    /// A document that was left.
    Session(Box<KeptEdit>),
}

impl fmt::Display for EditFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EditFrom::File { path, .. } => write!(f, "in {}", path.display()),
            EditFrom::Session(kept) => match &kept.path {
                Some(path) => write!(f, "of {} as it was left", path.display()),
                None => f.write_str("that was left"),
            },
        }
    }
}

impl WaitingEdit {
    /// What it waits for.
    pub fn text(&self) -> String {
        let model = &self.project.model;
        format!(
            "The edit {} needs the model {} ({}), which was at {}. Open that model, and the edit follows.",
            self.from, model.name, model.family, model.source
        )
    }
}
