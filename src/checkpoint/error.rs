//! Why a checkpoint could not be read.

use std::io;

use super::container::Container;
use crate::progress::Cancelled;

/// A file that could not be read as a checkpoint; every message starts with the file's name.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    #[error("{file}: cannot be read")]
    Io {
        file: String,
        #[source]
        source: io::Error,
    },
    /// Not a container that holds weights, or one that this program does not read.
    #[error("{file}: {found}. {advice}")]
    Refused { file: String, found: String, advice: &'static str },
    /// A known container with something wrong inside.
    #[error("{file}: broken {container} file")]
    Broken {
        file: String,
        container: Container,
        #[source]
        source: Broken,
    },
}

impl CheckpointError {
    /// True if the user stopped the work.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, CheckpointError::Cancelled(_))
    }
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct Broken {
    /// Part of the file, and the byte in it where that is known: "data.pkl, byte 1234 (REDUCE)".
    pub place: String,
    /// What was expected and what was found.
    pub what: String,
}

const MAX_MESSAGE: usize = 500;

impl Broken {
    pub(super) fn new(place: impl Into<String>, what: impl Into<String>) -> Broken {
        // Texts of the file may be part of the message, and of any length.
        let clip = |text: String| if text.len() > MAX_MESSAGE { format!("{text:.MAX_MESSAGE$}..") } else { text };
        Broken { place: clip(place.into()), what: clip(what.into()) }
    }
}
