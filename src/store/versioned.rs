//! JSON files with a version: `{"version": 1, ...}`.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::folders::stamp;
use crate::files::{self, WriteError};

/// A kept file that could not be used. What became of it decides whether its name is free ([`StoreError::is_set_aside`]).
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot read {path}; it is left as it is")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is damaged; it is kept as {}", aside.display())]
    Broken { path: PathBuf, aside: PathBuf, source: Damage },
    #[error("parts of {path} are damaged and left out: {}; a copy is kept as {}", dropped.join(", "), aside.display())]
    Partly { path: PathBuf, aside: PathBuf, dropped: Vec<String> },
    #[error("{path} is damaged ({damage}), and no copy of it can be kept; it is left as it is")]
    Stuck { path: PathBuf, damage: Damage, source: io::Error },
    #[error(
        "{path} has version {found}, of a newer program; this one reads versions 1 to {newest}, and leaves it as it is"
    )]
    Newer { path: PathBuf, found: u64, newest: u32 },
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    #[error("it is {found} bytes long, expected at most {most}")]
    TooLong { found: u64, most: u64 },
    #[error("it is no file")]
    NoFile,
    #[error("expected JSON with a version")]
    Json(#[from] serde_json::Error),
    #[error("expected version 1 or more, found {0}")]
    Version(u64),
    #[error("{0}")]
    Content(String),
}

impl StoreError {
    /// True if nothing is lost by writing the file anew: it got out of the way, or a copy of it is kept.
    pub fn is_set_aside(&self) -> bool {
        matches!(self, StoreError::Broken { .. } | StoreError::Partly { .. })
    }
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

/// Reads a file of version 1 to `newest` and at most `most` bytes; `None` if there is none. One that is damaged is renamed to
/// `NAME.broken-YYYYMMDD-HHMMSS`.
///
/// # Errors
/// The file cannot be read, is damaged, or of a newer version.
pub fn read<T: DeserializeOwned>(path: &Path, newest: u32, most: u64) -> Result<Option<T>, StoreError> {
    read_with(path, newest, most, |_, json| Ok(serde_json::from_slice(json)?))
}

/// As [`read`], with a decoder of its own, which is given the version.
///
/// # Errors
/// As [`read`].
pub(super) fn read_with<T>(
    path: &Path,
    newest: u32,
    most: u64,
    decode: impl FnOnce(u32, &[u8]) -> Result<T, Damage>,
) -> Result<Option<T>, StoreError> {
    let bytes = match read_bytes(path, most) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::Read { path: path.into(), source }),
    };
    let decoded = bytes.and_then(|bytes| {
        let Version { version } = serde_json::from_slice(&bytes)?;
        match u32::try_from(version) {
            Ok(0) => Err(Damage::Version(version)),
            Ok(known) if known <= newest => Ok(Ok(decode(known, &bytes)?)),
            _ => Ok(Err(version)),
        }
    });
    match decoded {
        Ok(Ok(value)) => Ok(Some(value)),
        Ok(Err(found)) => Err(StoreError::Newer { path: path.into(), found, newest }),
        Err(damage) => Err(set_aside(path, damage)),
    }
}

/// The bytes of a file, or that it is too long to be one of ours.
fn read_bytes(path: &Path, most: u64) -> io::Result<Result<Vec<u8>, Damage>> {
    // Asked before opening, because opening a pipe would wait for somebody to write.
    let facts = match fs::metadata(path) {
        Ok(facts) if facts.is_file() => facts,
        Ok(_) => return Ok(Err(Damage::NoFile)),
        Err(error) if is_loop(path, &error) => return Ok(Err(Damage::NoFile)),
        Err(error) => return Err(error),
    };
    if facts.len() > most {
        return Ok(Err(Damage::TooLong { found: facts.len(), most }));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(Ok(bytes))
}

/// True if that is a link that leads to itself, for which Rust has no name yet.
fn is_loop(path: &Path, error: &io::Error) -> bool {
    !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) && path.is_symlink()
}

fn set_aside(path: &Path, damage: Damage) -> StoreError {
    let aside = aside(path);
    match fs::rename(path, &aside) {
        Ok(()) => {
            tracing::warn!("{} is damaged ({damage}) and is kept as {}", path.display(), aside.display());
            StoreError::Broken { path: path.into(), aside, source: damage }
        }
        Err(source) => StoreError::Stuck { path: path.into(), damage, source },
    }
}

/// A name that is free: `NAME.broken-20260131-235959`, with a number behind it where two come in one second.
pub(super) fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = format!("{name}.broken-{}", stamp());
    let mut candidate = path.with_file_name(&name);
    let mut number = 2;
    while candidate.symlink_metadata().is_ok() {
        candidate = path.with_file_name(format!("{name}-{number}"));
        number += 1;
    }
    candidate
}

/// Writes a file, all of it or nothing; `content` becomes its fields. Makes the folder.
///
/// # Errors
/// As [`files::write_bytes`].
pub fn write<T: Serialize>(path: &Path, version: u32, content: &T) -> Result<(), WriteError> {
    #[derive(Serialize)]
    struct Versioned<'a, T> {
        version: u32,
        #[serde(flatten)]
        content: &'a T,
    }
    let failed = |source| WriteError { path: path.into(), source };
    let mut json = serde_json::to_vec_pretty(&Versioned { version, content }).map_err(|error| failed(error.into()))?;
    json.push(b'\n');
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    files::write_bytes(path, &json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Thing {
        numbers: Vec<f32>,
        seed: u64,
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_written_is_read_again_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/thing.json");
        assert_eq!(read::<Thing>(&path, 1, 1000).unwrap(), None);
        let thing = Thing { numbers: vec![0.1, -1e-38, 3.4e38], seed: u64::MAX };
        write(&path, 1, &thing).unwrap();
        assert_eq!(read(&path, 1, 1000).unwrap(), Some(thing));
        assert!(fs::read_to_string(&path).unwrap().contains("\"version\": 1"));
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_never_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thing.json");
        let whole = r#"{"version": 1, "numbers": [], "seed": 7}"#;
        let damaged =
            [&whole[..20], "", "[]", "{\"version\": 0}", "{\"version\": 1, \"numbers\": 3}", &"[".repeat(500)];
        for (number, content) in damaged.iter().enumerate() {
            fs::write(&path, content).unwrap();
            let error = read::<Thing>(&path, 1, 1000).unwrap_err();
            let StoreError::Broken { aside, .. } = &error else { panic!("{content}: {error}") };
            assert_eq!(&fs::read_to_string(aside).unwrap(), content);
            assert!(aside.file_name().unwrap().to_str().unwrap().starts_with("thing.json.broken-20"), "{error}");
            assert!(error.is_set_aside() && !path.exists());
            assert_eq!(names_in(folder.path()).len(), number + 1, "those before stay");
        }
        fs::write(&path, "x".repeat(1001)).unwrap();
        let error = read::<Thing>(&path, 1, 1000).unwrap_err();
        assert!(matches!(error, StoreError::Broken { source: Damage::TooLong { found: 1001, most: 1000 }, .. }));
    }

    #[test]
    fn a_newer_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thing.json");
        for version in ["2", "99999999999999"] {
            let content = format!(r#"{{"version": {version}, "other": true}}"#);
            fs::write(&path, &content).unwrap();
            let error = read::<Thing>(&path, 1, 1000).unwrap_err();
            assert!(matches!(error, StoreError::Newer { .. }) && !error.is_set_aside(), "{error}");
            assert!(error.to_string().contains(version));
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    #[cfg(unix)]
    fn what_is_no_file_is_set_aside_and_said_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thing.json");
        let makers: [fn(&Path); 3] = [
            |path| fs::create_dir(path).unwrap(),
            |path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success()),
            |path| std::os::unix::fs::symlink(path, path).unwrap(),
        ];
        for make in makers {
            make(&path);
            let error = read::<Thing>(&path, 1, 1000).unwrap_err();
            let StoreError::Broken { aside, source: Damage::NoFile, .. } = &error else { panic!("{error}") };
            assert!(aside.symlink_metadata().is_ok() && path.symlink_metadata().is_err());
            assert!(read::<Thing>(&path, 1, 1000).unwrap().is_none());
        }
    }
}
