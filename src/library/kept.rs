//! The library that is kept for a user: one file for each model, which several programs may change at once.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Library, LibraryModel, MAX_BYTES, VERSION};
use crate::files;
use crate::store::{self, Lock, StoreError};

/// How long another program may take to write.
const PATIENCE: Duration = Duration::from_secs(2);

/// Milliseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// `folder/IDENTITY.json`.
fn path_of(folder: &Path, model: &LibraryModel) -> Result<PathBuf, StoreError> {
    // It becomes a file name.
    let is_plain = !model.identity.is_empty() && model.identity.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let path = folder.join(format!("{}.json", model.identity));
    match is_plain {
        true => Ok(path),
        false => Err(StoreError::Read { path, source: Error::new(ErrorKind::InvalidInput, "no identity of a model") }),
    }
}

/// The library of a model in `folder`; `None` if there is none.
///
/// # Errors
/// The file cannot be read, is damaged (and set aside), or of a newer version.
pub fn read(folder: &Path, model: &LibraryModel) -> Result<Option<Library>, StoreError> {
    let library = store::read::<Library>(&path_of(folder, model)?, VERSION, MAX_BYTES)?;
    Ok(library.map(|library| Library { model: model.clone(), ..library }))
}

/// Merges a library into the file of its model, of two entries about one direction the newer one; returns what the file holds
/// then.
///
/// # Errors
/// As [`read`], except that a damaged file is replaced by the library after it was set aside. Or the file cannot be written, or
/// another program keeps its lock.
pub fn update(folder: &Path, library: &Library) -> Result<Library, StoreError> {
    let path = path_of(folder, &library.model)?;
    let lock = Lock::take(&folder.join(format!(".{}.lock", library.model.identity)), PATIENCE);
    // Where a file system has no locks, a program that writes at this moment is not seen.
    let _lock = match lock {
        Err(source) if source.kind() != ErrorKind::Unsupported => {
            return Err(files::WriteError { path, source }.into());
        }
        lock => lock.ok(),
    };
    let mut merged = match read(folder, &library.model) {
        Err(error) if !error.is_set_aside() => return Err(error),
        held => held.ok().flatten().unwrap_or_else(|| Library::new(library.model.clone())),
    };
    merged.merge(library);
    files::write_bytes(&path, merged.to_json().as_bytes())?;
    Ok(merged)
}
