//! Locks between processes.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// A file that one window at a time holds; the system lets go of it when the program ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    /// Locked as long as it is open.
    _file: File,
}

impl Lock {
    /// Takes the lock at once; `None` if another holds it. Makes the file and its folder.
    ///
    /// # Errors
    /// The folder cannot be written, or its file system has no locks.
    pub fn try_take(path: &Path) -> io::Result<Option<Lock>> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        loop {
            refuse_what_waits(path)?;
            let file = File::options().write(true).create(true).truncate(false).open(path)?;
            match file.try_lock() {
                Ok(()) if is_at(&file, path) => return Ok(Some(Lock { _file: file })),
                // Removed between opening and locking: a lock that nobody else would see.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// True if somebody holds it. Asking keeps nobody else who asks from it.
    pub fn is_held(path: &Path) -> bool {
        refuse_what_waits(path)
            .and_then(|()| File::open(path))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Takes the lock, waiting so long for another to let go of it.
    ///
    /// # Errors
    /// As [`Lock::try_take`]; or it is still held.
    pub fn take(path: &Path, patience: Duration) -> io::Result<Lock> {
        let start = Instant::now();
        loop {
            if let Some(lock) = Lock::try_take(path)? {
                return Ok(lock);
            }
            if start.elapsed() > patience {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "another window is writing it"));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Fails where something stands that is no file: opening a pipe would wait for somebody at its other end.
pub(super) fn refuse_what_waits(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(facts) if !facts.is_file() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is no file", path.display())))
        }
        _ => Ok(()),
    }
}

/// True if the open file is still the one of that name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// True if the open file is still the one of that name; a file that is open keeps its name here.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_a_lock_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/x.lock");
        let lock = Lock::try_take(&path).unwrap().unwrap();
        assert!(Lock::try_take(&path).unwrap().is_none());
        assert_eq!(Lock::take(&path, Duration::ZERO).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(Lock::is_held(&path));
        drop(lock);
        assert!(!Lock::is_held(&path) && !Lock::is_held(&folder.path().join("none")));
        assert!(Lock::try_take(&path).unwrap().is_some());
    }

    #[test]
    #[cfg(unix)]
    fn a_pipe_in_the_place_of_a_lock_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(!Lock::is_held(&path));
        assert!(Lock::try_take(&path).unwrap_err().to_string().contains("no file"));
    }
}
