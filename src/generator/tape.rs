//! What runs leave behind for gradients.

use burn::tensor::Tensor;

use crate::ops::After;

/// What the run of a stage leaves behind for its adjoint, which takes it back in reverse order. Tensors share their memory with the
/// run's own.
#[derive(Default)]
pub struct Tape {
    is_on: bool,
    entries: Vec<Entry>,
}

#[expect(clippy::large_enum_variant, reason = "a few dozen of them exist")]
enum Entry {
    Map(Tensor<4>),
    Rows(Tensor<2>),
    After(After),
}

/// Says of a tape that is not that of the stage, which only a mistake in this program can bring about.
const OTHER: &str = "the tape of the same stage";

impl Tape {
    /// Remembers what is needed for gradients.
    pub fn on() -> Self {
        Tape { is_on: true, entries: Vec::new() }
    }

    /// Remembers nothing.
    pub fn off() -> Self {
        Tape::default()
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    pub(super) fn keep(&mut self, map: &Tensor<4>) {
        self.push(|| Entry::Map(map.clone()));
    }

    pub(super) fn keep_rows(&mut self, rows: &Tensor<2>) {
        self.push(|| Entry::Rows(rows.clone()));
    }

    pub(super) fn keep_after(&mut self, after: &After) {
        self.push(|| Entry::After(after.clone()));
    }

    fn push(&mut self, entry: impl FnOnce() -> Entry) {
        if self.is_on {
            self.entries.push(entry());
        }
    }

    pub(super) fn take(&mut self) -> Tensor<4> {
        match self.entries.pop() {
            Some(Entry::Map(map)) => map,
            _ => unreachable!("expected {OTHER}"),
        }
    }

    pub(super) fn take_rows(&mut self) -> Tensor<2> {
        match self.entries.pop() {
            Some(Entry::Rows(rows)) => rows,
            _ => unreachable!("expected {OTHER}"),
        }
    }

    pub(super) fn take_after(&mut self) -> After {
        match self.entries.pop() {
            Some(Entry::After(after)) => after,
            _ => unreachable!("expected {OTHER}"),
        }
    }
}
