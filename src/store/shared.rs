//! A file that several windows change, such as the preferences.

use std::fs;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::lenient::{Decoded, decode};
use super::lock::Lock;
use super::merge::merge;
use super::versioned::{Damage, StoreError, aside, read_with, write};

/// How long another window may take to write the file.
const PATIENCE: Duration = Duration::from_secs(2);

/// A versioned file of a structure whose fields all have defaults. Saving writes only what was changed here since the last call,
/// into what the file holds by then.
#[derive(Debug)]
pub struct SharedFile<T> {
    /// `None`: nothing is kept.
    path: Option<PathBuf>,
    version: u32,
    /// Longest file that is read, in bytes.
    most: u64,
    /// What was read or saved here last.
    base: Value,
    of: PhantomData<fn() -> T>,
}

impl<T: Default + Serialize + DeserializeOwned> SharedFile<T> {
    /// Reads the file; the default if there is none. What is said beside it is for the user: a damaged file is set aside, of a
    /// partly damaged one a copy is, and one that must be left alone is never written.
    pub fn open(path: PathBuf, version: u32, most: u64) -> (Self, T, Option<StoreError>) {
        let mut file = SharedFile { path: Some(path), version, most, base: plain(&T::default()), of: PhantomData };
        match file.read() {
            Ok(None) => (file, T::default(), None),
            Ok(Some(Decoded { value, json, dropped })) => {
                file.base = plain(&value);
                let told = file.keep_copy(&dropped);
                match &told {
                    Some(error) if error.is_set_aside() => file.clean(&json),
                    // Writing it would lose what could not be read.
                    Some(_) => file.path = None,
                    None => {}
                }
                (file, value, told)
            }
            Err(error) => {
                file.leave_alone(&error);
                (file, T::default(), Some(error))
            }
        }
    }

    /// A file for a user without folders: keeps nothing.
    pub fn nowhere() -> Self {
        SharedFile { path: None, version: 1, most: 0, base: Value::Null, of: PhantomData }
    }

    /// Writes what is other in `value` than at the last call.
    ///
    /// # Errors
    /// The file cannot be written, or has become one that must be left alone.
    pub fn save(&mut self, value: &T) -> Result<(), StoreError> {
        let mine = plain(value);
        let Some(path) = self.path.as_ref().filter(|_| mine != self.base).cloned() else { return Ok(()) };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Where there are no locks, a window that writes at this moment is not seen.
        let _lock = Lock::take(&path.with_file_name(format!(".{name}.lock")), PATIENCE);
        let theirs = match self.read() {
            Ok(Some(held)) => match self.keep_copy(&held.dropped) {
                Some(error) if !error.is_set_aside() => {
                    self.path = None;
                    return Err(error);
                }
                _ => Some(Value::Object(held.json)),
            },
            Ok(None) => None,
            Err(error) if error.is_set_aside() => None,
            Err(error) => {
                self.leave_alone(&error);
                return Err(error);
            }
        };
        let merged = match &theirs {
            Some(theirs) => merge(Some(&self.base), Some(&mine), Some(theirs)),
            None => Some(mine.clone()),
        };
        if let Some(Value::Object(merged)) = merged {
            write(&path, self.version, &merged)?;
        }
        self.base = mine;
        Ok(())
    }

    /// What was left out goes from the file too, or it would be told at every start.
    fn clean(&self, json: &Map<String, Value>) {
        let Some(path) = &self.path else { return };
        if let Err(error) = write(path, self.version, json) {
            tracing::warn!("{error}: {}", error.source);
        }
    }

    /// A file of a newer program, or a damaged one of which no copy can be kept, is written no more. One that cannot be read or
    /// written now may be later.
    fn leave_alone(&mut self, error: &StoreError) {
        if matches!(error, StoreError::Newer { .. } | StoreError::Stuck { .. }) {
            self.path = None;
        }
    }

    fn read(&self) -> Result<Option<Decoded<T>>, StoreError> {
        let Some(path) = &self.path else { return Ok(None) };
        read_with(path, self.version, self.most, |_, json| {
            let mut json: Map<String, Value> = serde_json::from_slice(json)?;
            json.remove("version");
            decode(json).map_err(Damage::Json)
        })
    }

    /// A copy of a file of which some cannot be read, and what is to be said of it.
    fn keep_copy(&self, dropped: &[String]) -> Option<StoreError> {
        let path = self.path.clone().filter(|_| !dropped.is_empty())?;
        let aside = aside(&path);
        Some(match fs::copy(&path, &aside) {
            Ok(_) => StoreError::Partly { path, aside, dropped: dropped.to_vec() },
            Err(source) => {
                // Half of it, on a disk that is full.
                let _ = fs::remove_file(&aside);
                StoreError::Stuck { path, damage: Damage::Content(dropped.join(", ")), source }
            }
        })
    }
}

/// The fields of a value; nothing of what is kept here can fail to become JSON.
fn plain<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;
    use std::path::Path;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Thing {
        theme: String,
        names: BTreeMap<String, u32>,
    }

    fn open(path: &Path) -> (SharedFile<Thing>, Thing) {
        let (file, value, told) = SharedFile::open(path.into(), 1, 10_000);
        assert!(told.is_none(), "{told:?}");
        (file, value)
    }

    #[test]
    fn two_windows_do_not_overwrite_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thing.json");
        let ((mut a_file, mut a), (mut b_file, mut b)) = (open(&path), open(&path));
        a.names.insert("pose".into(), 1);
        a_file.save(&a).unwrap();
        b.names.insert("age".into(), 2);
        b.theme = "light".into();
        b_file.save(&b).unwrap();
        a.names.insert("hair".into(), 3);
        a_file.save(&a).unwrap();
        let names = [("pose".into(), 1), ("age".into(), 2), ("hair".into(), 3)].into();
        let expected = Thing { theme: "light".into(), names };
        assert_eq!(open(&path).1, expected);
        b_file.save(&b).unwrap();
        assert_eq!(open(&path).1, expected, "a window without changes writes nothing");
    }

    #[test]
    fn many_windows_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thing.json");
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    let (mut file, mut value) = open(path);
                    for number in 0..10 {
                        value.names.insert(format!("{thread}.{number}"), number);
                        file.save(&value).unwrap();
                    }
                });
            }
        });
        assert_eq!(open(&path).1.names.len(), 40);
    }

    #[test]
    fn one_bad_field_costs_that_field_and_a_copy_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thing.json");
        let content = r#"{"version": 1, "theme": 7, "names": {"a": 1, "b": "x"}, "of a later program": [1]}"#;
        fs::write(&path, content).unwrap();
        let (mut file, mut value, told) = SharedFile::<Thing>::open(path.clone(), 1, 10_000);
        let told = told.unwrap();
        let StoreError::Partly { aside, .. } = &told else { panic!("{told}") };
        assert_eq!(fs::read_to_string(aside).unwrap(), content);
        assert!(told.to_string().contains("theme") && told.to_string().contains("names.b"), "{told}");
        assert_eq!(value.names, [("a".into(), 1)].into());
        assert!(open(&path).1.theme.is_empty(), "said once");
        value.theme = "dark".into();
        file.save(&value).unwrap();
        let written = fs::read_to_string(&path).unwrap();
        assert!(written.contains("of a later program") && written.contains("dark"), "{written}");
    }

    /// No name for the copy is free to be made: that of the file is the longest that there may be.
    #[test]
    #[cfg(unix)]
    fn what_cannot_be_read_and_not_be_copied_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x".repeat(250));
        let content = r#"{"version": 1, "theme": 7, "names": {"a": 1}}"#;
        fs::write(&path, content).unwrap();
        let (mut file, mut value, told) = SharedFile::<Thing>::open(path.clone(), 1, 10_000);
        let told = told.unwrap();
        assert!(matches!(told, StoreError::Stuck { .. }) && told.to_string().contains("left as it is"), "{told}");
        value.names.insert("b".into(), 2);
        file.save(&value).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }

    #[test]
    fn what_became_damaged_meanwhile_is_kept_before_it_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thing.json");
        let (mut file, mut value) = open(&path);
        let content = r#"{"version": 1, "theme": 7}"#;
        fs::write(&path, content).unwrap();
        value.names.insert("b".into(), 2);
        file.save(&value).unwrap();
        assert_eq!(open(&path).1.names, value.names);
        let mut entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let aside = entries.find(|path| path.to_string_lossy().contains(".broken-")).expect("a copy");
        assert_eq!(fs::read_to_string(aside).unwrap(), content);
    }

    #[test]
    fn a_newer_file_is_never_written_over_and_a_broken_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thing.json");
        let newer = r#"{"version": 9}"#;
        fs::write(&path, newer).unwrap();
        let (mut file, mut value, told) = SharedFile::<Thing>::open(path.clone(), 1, 10_000);
        assert!(matches!(told, Some(StoreError::Newer { .. })));
        value.theme = "light".into();
        file.save(&value).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), newer);

        fs::write(&path, "{").unwrap();
        let (mut file, mut value, told) = SharedFile::<Thing>::open(path.clone(), 1, 10_000);
        assert!(told.unwrap().is_set_aside());
        value.theme = "light".into();
        file.save(&value).unwrap();
        assert_eq!(open(&path).1.theme, "light");
        // A newer program came meanwhile.
        fs::write(&path, newer).unwrap();
        value.theme = "dark".into();
        assert!(matches!(file.save(&value), Err(StoreError::Newer { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), newer);
    }
}
