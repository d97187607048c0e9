//! Files that are written whole or not at all, and what to ask of a path before it is opened.
//!
//! Projects, libraries, sessions and exports all write through here.

mod path;

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::NamedTempFile;

pub use path::{Doubt, doubt, without_verbatim_prefix};

/// A file that could not be written; whatever had its name before is as it was.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
pub struct WriteError {
    pub path: PathBuf,
    pub source: io::Error,
}

const PREFIX: &str = ".sefa-studio-";
const SUFFIX: &str = ".part";

/// A file on its way: a temporary one in the folder of its place, until it is whole. Dropped before that, it is gone.
pub struct Draft {
    path: PathBuf,
    target: PathBuf,
    file: NamedTempFile,
}

impl Draft {
    /// For a file that is to be at `path`. A link is followed; a file that is there stays until [`Draft::keep`], which gives its
    /// permissions to the new one.
    ///
    /// # Errors
    /// The folder is missing or read-only, `path` a read-only file or no file at all.
    pub fn begin(path: &Path) -> Result<Self, WriteError> {
        let failed = |source| WriteError { path: path.into(), source };
        let (target, before) = target(path).map_err(failed)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).suffix(SUFFIX);
        // The crate's default is private; a picture gets the permissions that any new file gets here.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder_of(&target)).map_err(|error| failed(unnamed(error)))?;
        // Tells `remove_leftovers` that somebody is at it; without locks its age does.
        let _ = file.as_file().try_lock();
        if let Some(before) = before {
            // Not every file system has permissions to keep.
            let _ = file.as_file().set_permissions(before.permissions());
        }
        Ok(Draft { path: path.into(), target, file })
    }

    /// Where the file is to be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is as long as it is on its way.
    pub fn place(&self) -> &Path {
        self.file.path()
    }

    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    /// The file for a writer that keeps one.
    ///
    /// # Errors
    /// The program has too many open files.
    pub fn handle(&self) -> Result<File, WriteError> {
        self.file().try_clone().map_err(|source| self.failed(source))
    }

    /// What went wrong with writing it.
    pub fn failed(&self, source: io::Error) -> WriteError {
        WriteError { path: self.path.clone(), source }
    }

    /// Flushes it to the disk and moves it to its place.
    ///
    /// # Errors
    /// The disk is full, or the folder gone.
    pub fn keep(self) -> Result<(), WriteError> {
        self.file().sync_all().map_err(|source| self.failed(source))?;
        let _ = self.file().unlock();
        let Draft { path, target, file } = self;
        file.persist(&target).map_err(|error| WriteError { path, source: error.error })?;
        sync_folder(folder_of(&target));
        Ok(())
    }
}

/// Writes a file through `content`, all of it or nothing ([`Draft`]).
///
/// # Errors
/// Those of `content`; or the folder is missing or read-only, the disk full, `path` a read-only file or no file at all.
pub fn write_atomically<E: From<WriteError>>(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<&File>) -> Result<(), E>,
) -> Result<(), E> {
    let draft = Draft::begin(path)?;
    let mut writer = BufWriter::with_capacity(1 << 20, draft.file());
    content(&mut writer)?;
    writer.flush().map_err(|source| draft.failed(source))?;
    drop(writer);
    Ok(draft.keep()?)
}

/// Writes a file whose content is in memory. All of it or nothing.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    write_atomically(path, |file| file.write_all(bytes).map_err(|source| WriteError { path: path.into(), source }))
}

/// A file without a name, for what is to be written to `path` later and is too long for memory. It lies in the same folder, and is
/// gone when it is closed, however the program ends.
///
/// # Errors
/// As [`write_atomically`], as far as that can be told beforehand.
pub fn spool(path: &Path) -> Result<File, WriteError> {
    let failed = |source| WriteError { path: path.into(), source };
    let (target, _) = target(path).map_err(failed)?;
    tempfile::tempfile_in(folder_of(&target)).map_err(|error| failed(unnamed(error)))
}

/// What the system said, without the name of the temporary file that `tempfile` adds: nobody asked for that one.
fn unnamed(error: io::Error) -> io::Error {
    let text = error.to_string();
    match text.rsplit_once(" at path ") {
        Some((said, _)) => io::Error::new(error.kind(), said),
        None => error,
    }
}

/// What is to be replaced: the file itself or the one that a link names, with what is known of it if it exists.
fn target(path: &Path) -> io::Result<(PathBuf, Option<Metadata>)> {
    let facts = match fs::metadata(path) {
        Ok(facts) => facts,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((path.into(), None)),
        Err(error) => return Err(error),
    };
    if facts.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "a folder has this name"));
    }
    if !facts.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a device or a pipe has this name"));
    }
    // Renaming asks the folder alone and would replace it all the same.
    if facts.permissions().readonly() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file is read-only"));
    }
    let target = if path.is_symlink() { fs::canonicalize(path)? } else { path.into() };
    Ok((target, Some(facts)))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a rename last through a power cut. The file is in place already, and not every file system can do this.
fn sync_folder(folder: &Path) {
    #[cfg(unix)]
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    #[cfg(not(unix))]
    let _ = folder;
}

/// A temporary file that is younger may not be locked yet.
const LOCKED_BY_THEN: Duration = Duration::from_secs(10);

/// Removes temporary files that a program which was killed left in a folder.
pub fn remove_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if is_ours && is_abandoned(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_abandoned(path: &Path) -> bool {
    let modified = path.symlink_metadata().ok().filter(Metadata::is_file).and_then(|facts| facts.modified().ok());
    let is_old = modified
        .and_then(|modified| SystemTime::now().duration_since(modified).ok())
        .is_some_and(|age| age > LOCKED_BY_THEN);
    is_old && File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_in(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_failure_on_the_way_keeps_the_old_file_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edit.json");
        write_bytes(&path, b"old").unwrap();
        let stopped = write_atomically(&path, |file| {
            file.write_all(&vec![b'x'; 3 << 20]).unwrap();
            Err(WriteError { path: path.clone(), source: io::ErrorKind::StorageFull.into() })
        });
        assert!(stopped.unwrap_err().to_string().contains("edit.json"));
        assert_eq!((fs::read(&path).unwrap(), names_in(folder.path())), (b"old".to_vec(), vec!["edit.json".into()]));
    }

    #[test]
    #[cfg(unix)]
    fn links_are_followed_and_permissions_kept() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        write_bytes(&file, b"old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_bytes(&link, b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_writable_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "kept").unwrap();
        let mut permissions = file.metadata().unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&file, permissions).unwrap();
        let error = write_bytes(&file, b"new").unwrap_err();
        assert!(error.to_string().contains("file") && error.source.to_string().contains("read-only"));
        assert_eq!(fs::read(&file).unwrap(), b"kept");
        assert!(write_bytes(folder.path(), b"new").unwrap_err().source.to_string().contains("folder"));
        #[cfg(unix)]
        assert!(write_bytes(Path::new("/dev/null"), b"new").unwrap_err().source.to_string().contains("device"));
    }

    #[test]
    fn a_spool_leaves_nothing_and_says_beforehand_what_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film");
        let mut file = spool(&path).unwrap();
        file.write_all(b"long").unwrap();
        drop(file);
        assert!(names_in(folder.path()).is_empty());
        for path in [folder.path().join("missing/film"), folder.path().to_owned()] {
            assert_eq!(spool(&path).unwrap_err().path, path);
            let Err(error) = Draft::begin(&path) else { panic!("{path:?}") };
            assert!(!error.source.to_string().contains(SUFFIX), "{}", error.source);
        }
    }

    #[test]
    fn leftovers_go_and_files_being_written_stay() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - 2 * LOCKED_BY_THEN).unwrap();
            file
        };
        file(".sefa-studio-killed.part");
        file(".other.part");
        let writing = file(".sefa-studio-writing.part");
        writing.try_lock().unwrap();
        file(".sefa-studio-young.part").set_modified(SystemTime::now()).unwrap();
        remove_leftovers(folder.path());
        assert_eq!(names_in(folder.path()), [".other.part", ".sefa-studio-writing.part", ".sefa-studio-young.part"]);
    }
}
