//! Documents as windows left them: one file for each, locked by the window that has it open, so that nothing is lost when a program
//! ends in whatever way, and two windows never write the same one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::folders::{Folders, stamp};
use super::lock::Lock;
use super::versioned::{Damage, StoreError, read_with};
use crate::files::{self, WriteError};
use crate::project::{self, Project};

const VERSION: u32 = 1;
/// A project, and the little that is kept beside it.
const MAX_BYTES: u64 = project::MAX_BYTES + (1 << 20);
/// Documents that are kept, beside those in open windows.
pub const MOST_SESSIONS: usize = 30;

/// A document, and how it stood in its window.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Edit, names and model.
    pub project: Project,
    /// Where it was last saved by hand or opened from.
    pub path: Option<PathBuf>,
    /// The file at `path` holds just this.
    pub is_saved: bool,
    /// What the window wants to know of its panels; nothing that changes the picture.
    pub view: Value,
}

/// The session beside its project.
#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    /// Only if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default)]
    is_saved: bool,
    #[serde(default)]
    view: Value,
}

impl Session {
    fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let path = self.path.as_ref().and_then(|path| path.to_str()).map(str::to_owned);
        let head = Head { version: VERSION, path, is_saved: self.is_saved, view: self.view.clone() };
        let mut json = serde_json::to_vec(&head)?;
        json.pop(); // the brace that closes the head
        json.extend(b",\n\"project\": ");
        json.extend(self.project.to_json().as_bytes());
        json.extend(b"}\n");
        Ok(json)
    }

    fn from_json(path: &Path, json: &[u8]) -> Result<Session, Damage> {
        #[derive(Deserialize)]
        struct Whole {
            #[serde(flatten)]
            head: Head,
            project: Value,
        }
        let Whole { head, project } = serde_json::from_slice(json)?;
        let project = Project::from_json(path, &serde_json::to_vec(&project)?);
        let project = project.map_err(|error| Damage::Content(failure_text(&error)))?;
        Ok(Session { project, path: head.path.map(PathBuf::from), is_saved: head.is_saved, view: head.view })
    }
}

fn failure_text(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The folder of sessions.
#[derive(Clone, Debug)]
pub struct Sessions {
    folder: PathBuf,
    thumbnails: PathBuf,
}

/// A session that this window has open; nobody else writes it meanwhile.
#[derive(Debug)]
pub struct SessionFile {
    path: PathBuf,
    /// `None` where the file system has no locks.
    lock: Option<Lock>,
}

/// A session that no window has open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    pub path: PathBuf,
    pub saved_at: SystemTime,
}

impl Sessions {
    pub fn new(folders: &Folders) -> Self {
        Sessions { folder: folders.sessions(), thumbnails: folders.thumbnails() }
    }

    /// Where the small picture of a session lies, if there is one.
    pub fn thumbnail(&self, session: &Path) -> PathBuf {
        self.thumbnails.join(session.file_stem().unwrap_or_default()).with_extension("png")
    }

    /// A new, empty session; its file is written by [`SessionFile::write`].
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn begin(&self) -> Result<SessionFile, WriteError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = self.folder.join(format!("{}-{}-{number}.json", stamp(), std::process::id()));
            let lock = match Lock::try_take(&lock_of(&path)) {
                Ok(Some(lock)) => Some(lock),
                Ok(None) => continue,
                Err(error) if error.kind() == io::ErrorKind::Unsupported => None,
                Err(source) => return Err(WriteError { path, source }),
            };
            if !path.exists() {
                return Ok(SessionFile { path, lock });
            }
        }
    }

    /// Those that no window has open, the newest first.
    pub fn closed(&self) -> Vec<Closed> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let mut closed: Vec<Closed> = entries.flatten().filter_map(|entry| closed(&entry.path())).collect();
        closed.sort_by(|a, b| (b.saved_at, &b.path).cmp(&(a.saved_at, &a.path)));
        closed
    }

    /// Opens a session again; `None` if another window was faster.
    ///
    /// # Errors
    /// As [`super::read`].
    pub fn take(&self, path: &Path) -> Result<Option<(SessionFile, Session)>, StoreError> {
        /// Somebody who only asks whether it is open holds it for less.
        const PATIENCE: Duration = Duration::from_millis(100);
        let lock = match Lock::take(&lock_of(path), PATIENCE) {
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if has_no_locks(&error) => None,
            Err(source) => return Err(StoreError::Read { path: path.into(), source }),
        };
        let session = read_with(path, VERSION, MAX_BYTES, |_, json| Session::from_json(path, json))?;
        Ok(session.map(|session| (SessionFile { path: path.into(), lock }, session)))
    }

    /// What a session holds, without opening it; `None` if that cannot be read.
    pub fn look_at(&self, path: &Path) -> Option<Session> {
        let is_short = path.metadata().is_ok_and(|facts| facts.is_file() && facts.len() <= MAX_BYTES);
        let json = is_short.then(|| fs::read(path).ok()).flatten()?;
        Session::from_json(path, &json).ok()
    }

    /// The newest session that can be opened, and what became of newer ones that cannot.
    pub fn take_newest(&self) -> (Option<(SessionFile, Session)>, Vec<StoreError>) {
        let mut told = Vec::new();
        for closed in self.closed() {
            match self.take(&closed.path) {
                Ok(Some(taken)) => return (Some(taken), told),
                Ok(None) => {}
                Err(error) => told.push(error),
            }
        }
        (None, told)
    }

    /// Removes the oldest beyond `most`, and what programs that were killed left half-written.
    pub fn tidy(&self, most: usize) {
        files::remove_leftovers(&self.folder);
        for closed in self.closed().into_iter().skip(most) {
            if let Ok(Some(lock)) = Lock::try_take(&lock_of(&closed.path)) {
                SessionFile { path: closed.path, lock: Some(lock) }.discard();
            }
        }
        self.remove_orphans();
    }

    /// Locks of sessions that were never written, and pictures of those that are gone.
    fn remove_orphans(&self) {
        let thumbnails = fs::read_dir(&self.thumbnails).into_iter().flatten().flatten();
        for thumbnail in thumbnails.map(|entry| entry.path()) {
            let session = self.folder.join(thumbnail.file_stem().unwrap_or_default()).with_extension("json");
            if !session.exists() {
                let _ = fs::remove_file(&thumbnail);
            }
        }
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for lock in entries.flatten().map(|entry| entry.path()) {
            let is_lock = lock.extension().is_some_and(|extension| extension == "lock");
            let is_orphan = is_lock && !lock.with_extension("json").exists();
            let Ok(Some(_held)) = (if is_orphan { Lock::try_take(&lock) } else { Ok(None) }) else { continue };
            // Written before the lock was taken, perhaps.
            if !lock.with_extension("json").exists() {
                let _ = fs::remove_file(&lock);
            }
        }
    }
}

impl SessionFile {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the session, all of it or nothing. One that could not be read again is not written.
    ///
    /// # Errors
    /// The file cannot be written, or not read again.
    pub fn write(&self, session: &Session) -> Result<(), WriteError> {
        let failed = |source| WriteError { path: self.path.clone(), source };
        let json = session.to_json().map_err(|error| failed(error.into()))?;
        if json.len() as u64 > MAX_BYTES {
            return Err(failed(io::Error::other(format!("{} bytes, expected at most {MAX_BYTES}", json.len()))));
        }
        if let Err(damage) = Session::from_json(&self.path, &json) {
            return Err(failed(io::Error::other(format!("it could not be read again: {damage}"))));
        }
        files::write_bytes(&self.path, &json)
    }

    /// Removes the session.
    pub fn discard(self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(lock_of(&self.path));
        drop(self.lock);
    }
}

/// True if locks cannot be had: the file system has none, or nothing can be written, and then no other window writes it either.
fn has_no_locks(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(error.kind(), Unsupported | ReadOnlyFilesystem | PermissionDenied)
}

fn lock_of(session: &Path) -> PathBuf {
    session.with_extension("lock")
}

/// What is known of a session's file, if no window has it open; also of what only has such a name, so that it is said.
fn closed(path: &Path) -> Option<Closed> {
    let is_named_so = path.extension().is_some_and(|extension| extension == "json");
    let facts = path.metadata().or_else(|_| path.symlink_metadata()).ok().filter(|_| is_named_so)?;
    let saved_at = facts.modified().ok()?;
    (!Lock::is_held(&lock_of(path))).then(|| Closed { path: path.into(), saved_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{Code, Edit, Seed, Shelf};
    use crate::names::DirectionNames;
    use crate::project::ModelIdentity;
    use serde_json::json;

    fn session(seed: u64) -> Session {
        let mut edit = Edit::default();
        edit.sample.code = Code::Seed(Seed::studio(seed));
        edit.truncation.psi = 0.1;
        let model = ModelIdentity {
            identity: "abc".into(),
            name: "größer".into(),
            family: "StyleGAN2".into(),
            source: "example:toy-heads".into(),
            recipe: None,
        };
        let project = Project { model, edit, names: DirectionNames::default(), shelf: Shelf::default() };
        Session { project, path: Some("a/b.json".into()), is_saved: false, view: json!({"layers": "0-1"}) }
    }

    fn written(sessions: &Sessions, seed: u64) -> SessionFile {
        let file = sessions.begin().unwrap();
        file.write(&session(seed)).unwrap();
        file
    }

    /// Makes a file older than those written now.
    fn age(path: &Path, seconds: u64) {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn a_session_comes_back_as_it_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(&Folders::below(folder.path()));
        assert!(sessions.take_newest().0.is_none());
        let file = written(&sessions, 7);
        file.write(&session(8)).unwrap();
        let path = file.path().to_owned();
        drop(file);
        let (taken, told) = sessions.take_newest();
        let (file, read) = taken.unwrap();
        assert!(told.is_empty());
        assert_eq!((file.path(), read), (&*path, session(8)));
    }

    #[test]
    fn every_window_gets_the_newest_that_no_other_has() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(&Folders::below(folder.path()));
        let (old, new, open) = (written(&sessions, 1), written(&sessions, 2), written(&sessions, 3));
        age(old.path(), 100);
        drop((old, new));
        let first = sessions.take_newest().0.unwrap();
        let second = sessions.take_newest().0.unwrap();
        assert_eq!((first.1, second.1), (session(2), session(1)));
        assert!(sessions.take_newest().0.is_none() && sessions.closed().is_empty());
        assert!(sessions.take(open.path()).unwrap().is_none());
        drop(first.0);
        assert_eq!(sessions.closed().len(), 1);
    }

    #[test]
    fn a_damaged_session_is_set_aside_and_the_one_before_it_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(&Folders::below(folder.path()));
        let (old, new) = (written(&sessions, 1), written(&sessions, 2));
        age(old.path(), 100);
        let whole = fs::read(new.path()).unwrap();
        fs::write(new.path(), &whole[..whole.len() / 2]).unwrap();
        drop((old, new));
        let (taken, told) = sessions.take_newest();
        assert_eq!(taken.unwrap().1, session(1));
        assert!(
            matches!(&told[..], [StoreError::Broken { aside, .. }] if fs::read(aside).unwrap().len() == whole.len() / 2)
        );
    }

    #[test]
    fn a_folder_in_the_place_of_a_session_is_set_aside_and_said() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(&Folders::below(folder.path()));
        let old = written(&sessions, 1);
        age(old.path(), 100);
        fs::create_dir(sessions.folder.join("x.json")).unwrap();
        drop(old);
        let (taken, told) = sessions.take_newest();
        assert_eq!(taken.unwrap().1, session(1));
        assert!(matches!(&told[..], [StoreError::Broken { source: Damage::NoFile, .. }]), "{told:?}");
    }

    #[test]
    fn a_session_that_cannot_begin_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("data"), "no folder").unwrap();
        let error = Sessions::new(&Folders::below(folder.path())).begin().unwrap_err();
        assert!(error.to_string().contains("sessions"), "{error}");
    }

    #[test]
    fn a_session_whose_lock_cannot_be_taken_is_said_and_left() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(&Folders::below(folder.path()));
        let path = written(&sessions, 1).path().to_owned();
        fs::remove_file(lock_of(&path)).unwrap();
        fs::create_dir(lock_of(&path)).unwrap();
        let (taken, told) = sessions.take_newest();
        assert!(taken.is_none() && matches!(&told[..], [StoreError::Read { .. }]), "{told:?}");
        assert!(path.exists());
    }

    /// Where nothing can be written, documents are still opened.
    #[test]
    #[cfg(unix)]
    fn a_session_in_a_read_only_folder_comes_back() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(&Folders::below(folder.path()));
        let path = written(&sessions, 1).path().to_owned();
        fs::remove_file(lock_of(&path)).unwrap();
        let allow = |mode| fs::set_permissions(&sessions.folder, fs::Permissions::from_mode(mode)).unwrap();
        allow(0o555);
        let (taken, told) = sessions.take_newest();
        allow(0o755);
        // The system lets its administrator write everywhere; then the lock is there as ever.
        let (file, session) = taken.unwrap();
        assert!(told.is_empty() && session == super::tests::session(1) && file.path() == path);
    }

    #[test]
    fn what_json_cannot_hold_is_not_written_over_what_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(&Folders::below(folder.path()));
        let file = written(&sessions, 1);
        let mut bad = session(2);
        bad.project.edit.truncation.psi = f32::NAN;
        assert!(file.write(&bad).is_err());
        let path = file.path().to_owned();
        drop(file);
        assert_eq!(sessions.take(&path).unwrap().unwrap().1, session(1));
    }

    #[test]
    fn a_session_that_cannot_begin_names_its_file() {
        let no_folder = tempfile::NamedTempFile::new().unwrap();
        let folders = Folders::below(no_folder.path());
        let error = Sessions::new(&folders).begin().err().unwrap();
        assert!(error.to_string().contains(&folders.sessions().display().to_string()), "{error}");
    }

    #[test]
    fn tidying_keeps_the_newest_and_those_that_are_open() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(&Folders::below(folder.path()));
        let open = written(&sessions, 0);
        age(open.path(), 9999);
        let closed: Vec<PathBuf> = (1..6)
            .map(|seed| {
                let file = written(&sessions, seed);
                age(file.path(), 100 * seed);
                file.path().to_owned()
            })
            .collect();
        let never_written = sessions.begin().unwrap();
        let lock = lock_of(never_written.path());
        sessions.tidy(2);
        assert!(lock.exists(), "of a window that has not written yet");
        drop(never_written);
        for session in [&closed[0], &closed[4]] {
            fs::create_dir_all(&sessions.thumbnails).unwrap();
            fs::write(sessions.thumbnail(session), "picture").unwrap();
        }
        sessions.tidy(2);
        let left: Vec<PathBuf> = sessions.closed().into_iter().map(|closed| closed.path).collect();
        assert_eq!(left, closed[..2]);
        assert!(open.path().exists() && !lock.exists() && !lock_of(&closed[4]).exists());
        assert!(sessions.thumbnail(&closed[0]).exists() && !sessions.thumbnail(&closed[4]).exists());
        open.discard();
        assert_eq!(fs::read_dir(&sessions.folder).unwrap().count(), 4, "two sessions and their locks");
    }
}
