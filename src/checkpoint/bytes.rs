//! A range of bytes that is cheap to clone. What lies in a file stays there until it is asked for.
//!
//! Files are read at positions, never mapped: another program may rewrite or cut a checkpoint that is open here (a training
//! that saves over its latest file does), and of that a read gives an error or other numbers, a map a signal.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a file, of a buffer, or embedded in the program.
#[derive(Clone)]
pub struct Bytes {
    owner: Owner,
    range: Range<usize>,
}

#[derive(Clone)]
enum Owner {
    Static(&'static [u8]),
    Buffer(Arc<Vec<u8>>),
    File(Arc<File>),
}

/// Bytes that were there when the file was opened could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Unreadable {
        Unreadable(match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                "the file has become shorter since it was opened. Open it again once it is written to the end".into()
            }
            _ => format!("the file can no longer be read: {error}"),
        })
    }
}

impl From<Unreadable> for String {
    fn from(Unreadable(text): Unreadable) -> String {
        text
    }
}

impl Bytes {
    /// Bytes handed over at a time: they still lie in the cache when they are converted.
    pub const BLOCK: usize = 256 << 10;

    /// All of a file, as long as it is now.
    pub fn of_file(file: File) -> io::Result<Bytes> {
        let len = usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        Ok(Bytes { owner: Owner::File(Arc::new(file)), range: 0..len })
    }

    pub fn len(&self) -> usize {
        self.range.len()
    }

    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The part `range`, counted from the start of these bytes; `None` if it sticks out.
    pub fn slice(&self, range: Range<usize>) -> Option<Bytes> {
        if range.start > range.end || range.end > self.range.len() {
            return None;
        }
        let start = self.range.start + range.start;
        Some(Bytes { owner: self.owner.clone(), range: start..start + range.len() })
    }

    /// The bytes, unless they are in a file.
    pub fn in_memory(&self) -> Option<&[u8]> {
        let whole: &[u8] = match &self.owner {
            Owner::Static(bytes) => bytes,
            Owner::Buffer(bytes) => bytes,
            Owner::File(_) => return None,
        };
        whole.get(self.range.clone())
    }

    /// Fills `to` with the bytes from `at` on.
    ///
    /// # Errors
    /// There are fewer, or the file cannot be read.
    pub fn read_at(&self, at: usize, to: &mut [u8]) -> Result<(), Unreadable> {
        let end = at.checked_add(to.len()).filter(|end| *end <= self.len());
        let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        match (&self.owner, self.in_memory()) {
            (Owner::File(file), _) => read_exact_at(file, to, (self.range.start + at) as u64)?,
            (_, Some(bytes)) => to.copy_from_slice(&bytes[at..end]),
            (_, None) => {}
        }
        Ok(())
    }

    /// The N bytes from `at` on; `None` if there are fewer.
    pub fn array<const N: usize>(&self, at: usize) -> Result<Option<[u8; N]>, Unreadable> {
        if at.checked_add(N).is_none_or(|end| end > self.len()) {
            return Ok(None);
        }
        let mut array = [0; N];
        self.read_at(at, &mut array)?;
        Ok(Some(array))
    }

    /// All bytes; those of a file are copied, so the caller bounds their number first.
    pub fn load(&self) -> Result<Cow<'_, [u8]>, Unreadable> {
        if let Some(bytes) = self.in_memory() {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut bytes = vec![0; self.len()];
        self.read_at(0, &mut bytes)?;
        Ok(Cow::Owned(bytes))
    }

    /// The same bytes in memory.
    pub(super) fn kept(&self) -> Result<Bytes, Unreadable> {
        match self.load()? {
            Cow::Borrowed(_) => Ok(self.clone()),
            Cow::Owned(bytes) => Ok(bytes.into()),
        }
    }

    /// Hands all bytes over from front to back, in blocks of [`Bytes::BLOCK`] and a shorter last one.
    ///
    /// # Errors
    /// The first one of `take`, or the file cannot be read.
    pub fn for_each_block<E: From<Unreadable>>(&self, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if let Some(bytes) = self.in_memory() {
            return bytes.chunks(Bytes::BLOCK).try_for_each(take);
        }
        let mut block = vec![0; self.len().min(Bytes::BLOCK)];
        for at in (0..self.len()).step_by(Bytes::BLOCK) {
            let count = block.len().min(self.len() - at);
            self.read_at(at, &mut block[..count])?;
            take(&block[..count])?;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, to: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, to, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut to: &mut [u8], mut at: u64) -> io::Result<()> {
    while !to.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, to, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                to = &mut to[count..];
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Bytes as a stream, for readers that want one.
pub(super) struct Stream {
    bytes: Bytes,
    at: u64,
}

impl Stream {
    pub(super) fn new(bytes: Bytes) -> Stream {
        Stream { bytes, at: 0 }
    }
}

impl Read for Stream {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let len = self.bytes.len();
        let at = usize::try_from(self.at).map_or(len, |at| at.min(len));
        let count = to.len().min(len - at);
        self.bytes.read_at(at, &mut to[..count]).map_err(io::Error::other)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Stream {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => (self.bytes.len() as u64).checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(content: &[u8]) -> (tempfile::NamedTempFile, Bytes) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let bytes = Bytes::of_file(File::open(file.path()).unwrap()).unwrap();
        (file, bytes)
    }

    #[test]
    fn files_and_buffers_read_alike() {
        let content: Vec<u8> = (0..3 * Bytes::BLOCK + 5).map(|i| (i % 251) as u8).collect();
        let (_file, in_file) = file(&content);
        for bytes in [in_file, content.clone().into()] {
            assert_eq!(*bytes.load().unwrap(), content);
            let part = bytes.slice(7..2 * Bytes::BLOCK).unwrap();
            assert_eq!(part.array(1).unwrap(), Some([8u8, 9, 10]));
            assert_eq!(part.array::<2>(part.len() - 1).unwrap(), None);
            assert!(part.array::<1>(usize::MAX).unwrap().is_none() && part.slice(1..part.len() + 1).is_none());
            let mut seen = Vec::new();
            part.for_each_block(|block| -> Result<(), Unreadable> {
                seen.extend_from_slice(block);
                Ok(())
            })
            .unwrap();
            assert_eq!(seen, content[7..2 * Bytes::BLOCK]);
            let mut stream = Stream::new(part);
            let mut four = [0; 4];
            stream.seek(SeekFrom::End(-4)).unwrap();
            stream.read_exact(&mut four).unwrap();
            assert_eq!(four, content[2 * Bytes::BLOCK - 4..2 * Bytes::BLOCK]);
            assert_eq!(stream.read(&mut four).unwrap(), 0);
            assert!(stream.seek(SeekFrom::Current(-1 << 40)).is_err());
        }
    }

    #[test]
    fn a_file_that_was_cut_is_an_error() {
        let (file, bytes) = file(&[1; 100]);
        file.as_file().set_len(50).unwrap();
        assert_eq!(bytes.array::<4>(10).unwrap(), Some([1; 4]));
        assert!(bytes.array::<4>(48).unwrap_err().to_string().contains("shorter"));
        assert!(bytes.load().is_err());
    }
}
