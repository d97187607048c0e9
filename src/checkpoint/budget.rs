//! Counts what reading one file costs, and asks now and then whether to go on.

use crate::limits;
use crate::progress::{Progress, Report};

/// Counts down while a file is read.
pub(super) struct Budget<'r> {
    opcodes: u64,
    structure: u64,
    inflated: u64,
    nesting: u8,
    report: Report<'r>,
    cancelled: bool,
}

impl<'r> Budget<'r> {
    /// For a file of that many bytes; `report` may stop the work.
    pub(super) fn new(file_len: usize, report: Report<'r>) -> Budget<'r> {
        let len = file_len as u64;
        Budget {
            opcodes: limits::opcodes(len),
            structure: limits::structure_bytes(len),
            inflated: limits::inflated_bytes(len),
            nesting: limits::PICKLES_IN_PICKLES,
            report,
            cancelled: false,
        }
    }

    /// True if an error is none of the file's: the user stopped the work.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    pub(super) fn opcode(&mut self) -> Result<(), String> {
        /// Opcodes between two questions, some milliseconds.
        const OFTEN: u64 = 1 << 16;
        self.opcodes =
            self.opcodes.checked_sub(1).ok_or("far more opcodes than a file of this size has: not a checkpoint")?;
        if self.opcodes.is_multiple_of(OFTEN) {
            let progress = Progress { stage: "reading the file".into(), done: 0, total: 0 };
            (self.report)(progress).map_err(|stop| {
                self.cancelled = true;
                stop.to_string()
            })?;
        }
        Ok(())
    }

    /// Asks for `bytes` of structure before they are allocated.
    pub(super) fn memory(&mut self, bytes: usize) -> Result<(), String> {
        let left = self.structure.checked_sub(bytes as u64);
        self.structure =
            left.ok_or("needs far more memory besides its tensors than a file of this size: not a checkpoint")?;
        Ok(())
    }

    /// Asks for `bytes` of a compressed part before they are inflated.
    pub(super) fn inflate(&mut self, bytes: u64) -> Result<(), String> {
        let left = self.inflated.checked_sub(bytes);
        let too_much = || format!("is compressed, and inflates to {bytes} bytes: save the file again uncompressed");
        self.inflated = left.ok_or_else(too_much)?;
        Ok(())
    }

    /// Enters a pickle inside a pickle; false if that is one too many.
    pub(super) fn enter(&mut self) -> bool {
        let deeper = self.nesting.checked_sub(1);
        self.nesting = deeper.unwrap_or(0);
        deeper.is_some()
    }

    pub(super) fn leave(&mut self) {
        self.nesting += 1;
    }
}
