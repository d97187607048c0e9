//! What reading one file may cost. Generous for real checkpoints, and it ends every bomb.

/// Opcodes of all pickles in a file. Real checkpoints have tens of thousands; logs kept in them may have millions.
const MAX_OPCODES: u64 = 32_000_000;
/// Bytes copied out of the file (texts, lists, maps, inflated parts); tensors stay there and cost nothing.
const MAX_MEMORY: u64 = 512 << 20;
/// Pickles inside pickles: NVIDIA's files keep each storage as a file of its own, and nothing nests deeper.
const MAX_NESTING: u8 = 1;

/// Counts down while a file is read.
#[derive(Debug)]
pub(super) struct Budget {
    opcodes: u64,
    memory: u64,
    nesting: u8,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { opcodes: MAX_OPCODES, memory: MAX_MEMORY, nesting: MAX_NESTING }
    }
}

impl Budget {
    pub(super) fn opcode(&mut self) -> Result<(), String> {
        self.opcodes =
            self.opcodes.checked_sub(1).ok_or_else(|| format!("more than {MAX_OPCODES} opcodes: not a checkpoint"))?;
        Ok(())
    }

    /// Asks for `bytes` before they are allocated.
    pub(super) fn memory(&mut self, bytes: usize) -> Result<(), String> {
        self.memory = self
            .memory
            .checked_sub(bytes as u64)
            .ok_or_else(|| format!("needs more than {} MiB besides its tensors: not a checkpoint", MAX_MEMORY >> 20))?;
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
