//! Progress of long work, and the way to stop it.

/// How far a long piece of work has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What is being done now, ready to show: "reading tensors".
    pub stage: String,
    pub done: u64,
    /// In the unit of `done` (bytes, tensors, frames); 0 if unknown.
    pub total: u64,
}

/// The user stopped the work. Not a failure: nothing is reported for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

/// Called now and then during long work; an error tells the work to stop.
pub type Report<'a> = &'a mut dyn FnMut(Progress) -> Result<(), Cancelled>;

/// A report for work that nobody watches.
pub fn silent(_: Progress) -> Result<(), Cancelled> {
    Ok(())
}
