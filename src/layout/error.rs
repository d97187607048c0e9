//! Why a checkpoint's tensors do not make a generator.

use std::fmt;

use crate::checkpoint::Unreadable;

/// What is wrong with the network in a file; the message starts with the file's name.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct LayoutError {
    pub file: String,
    pub problem: LayoutProblem,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LayoutProblem {
    /// Nothing that any layout knows.
    #[error("{seen}; no generator layout matches. {nearest}")]
    Unknown { seen: String, nearest: String },
    /// Known, but not opened: a family, or a variant of one.
    #[error("{what} cannot be opened yet")]
    Unsupported { what: String },
    /// Known, and not a network that this program draws.
    #[error("this is {what}. {advice}")]
    Foreign { what: String, advice: &'static str },
    /// The file has no network at the path that was asked for.
    #[error("no network {wanted} in the file: {there}")]
    NoSuchNetwork { wanted: String, there: String },
    #[error("{layout} is missing {names}")]
    Missing { layout: String, names: Names },
    #[error("tensor {tensor}: expected shape {expected}, found {found:?}")]
    Shape { tensor: String, expected: String, found: Vec<usize> },
    #[error("the network's description: {what}")]
    Recipe { what: String },
    #[error("tensor {tensor}: {what}")]
    Content { tensor: String, what: String },
    /// The file changed under the reader.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl LayoutProblem {
    pub(super) fn shape(tensor: &str, expected: &[usize], found: &[usize]) -> LayoutProblem {
        LayoutProblem::Shape { tensor: tensor.into(), expected: format!("{expected:?}"), found: found.to_vec() }
    }

    pub(super) fn content(tensor: &str, what: impl Into<String>) -> LayoutProblem {
        LayoutProblem::Content { tensor: tensor.into(), what: what.into() }
    }

    pub(super) fn foreign(what: impl Into<String>, advice: &'static str) -> LayoutProblem {
        LayoutProblem::Foreign { what: what.into(), advice }
    }

    pub(super) fn unsupported(what: impl Into<String>) -> LayoutProblem {
        LayoutProblem::Unsupported { what: what.into() }
    }
}

/// A list of names, shown as the first few and a count.
#[derive(Clone, Debug, PartialEq)]
pub struct Names(pub Vec<String>);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        let shown = &self.0[..self.0.len().min(SHOWN)];
        for (i, name) in shown.iter().enumerate() {
            // Names come from the file, so they may be of any length.
            write!(f, "{}{name:.80}", if i > 0 { ", " } else { "" })?;
        }
        match self.0.len() - shown.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
