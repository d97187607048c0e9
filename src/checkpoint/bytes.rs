//! A range of bytes that is cheap to clone and never copied.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::sync::Arc;

use memmap2::Mmap;

/// Bytes of a mapped file, of a buffer, or embedded in the program.
#[derive(Clone)]
pub struct Bytes {
    owner: Owner,
    range: Range<usize>,
}

#[derive(Clone)]
enum Owner {
    Static(&'static [u8]),
    Buffer(Arc<Vec<u8>>),
    Map(Arc<Mmap>),
}

impl Bytes {
    /// Maps a whole file for reading.
    pub fn map(file: &File) -> io::Result<Bytes> {
        // SAFETY: `Mmap::map` is sound as long as nobody changes the file while it is mapped. The map is private and
        // read-only, so this program cannot; it also never writes a file in place (every export is a temporary file
        // renamed over its target, which leaves the mapped inode alone). Another program that rewrites a checkpoint
        // while it is open here could change values under a reader. All structure (sizes, offsets, names) is copied and
        // checked before it is used, numbers are read bytewise and any bit pattern is a valid number, and every access
        // goes through a bounds-checked slice of the fixed length, so changed bytes give wrong numbers, not wrong
        // addresses. A file that shrinks raises SIGBUS, which ends the process: the price of not copying 400 MB.
        #[expect(unsafe_code, reason = "memory-mapping is what keeps checkpoints of 400 MB from being copied")]
        let map = unsafe { Mmap::map(file)? };
        let range = 0..map.len();
        Ok(Bytes { owner: Owner::Map(Arc::new(map)), range })
    }

    /// The part `range`, counted from the start of these bytes; `None` if it sticks out.
    pub fn slice(&self, range: Range<usize>) -> Option<Bytes> {
        if range.start > range.end || range.end > self.range.len() {
            return None;
        }
        let start = self.range.start + range.start;
        Some(Bytes { owner: self.owner.clone(), range: start..start + range.len() })
    }

    /// Says that these bytes have been read and need no memory any more. They can be read again all the same.
    pub fn release(&self) {
        /// Below this, the call costs more than the memory is worth.
        const WORTHWHILE: usize = 256 << 10;
        #[cfg(unix)]
        if let Owner::Map(map) = &self.owner
            && self.len() >= WORTHWHILE
        {
            // SAFETY: the map is private, read-only and backed by its file (`map`), so a dropped page comes back from the
            // file with what it held. Where the system refuses, the pages simply stay.
            #[expect(unsafe_code, reason = "peak memory at load: without it a file counts twice, mapped and converted")]
            let _ = unsafe {
                map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, self.range.start, self.range.len())
            };
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let whole: &[u8] = match &self.owner {
            Owner::Static(bytes) => bytes,
            Owner::Buffer(bytes) => bytes,
            Owner::Map(map) => map,
        };
        &whole[self.range.clone()]
    }
}

impl From<&'static [u8]> for Bytes {
    fn from(bytes: &'static [u8]) -> Bytes {
        Bytes { range: 0..bytes.len(), owner: Owner::Static(bytes) }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes { range: 0..bytes.len(), owner: Owner::Buffer(Arc::new(bytes)) }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
