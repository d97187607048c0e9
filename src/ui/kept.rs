//! The files that the window keeps for its user, written by a thread of their own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::preferences::Preferences;
use crate::store::{Folders, SharedFile, StoreError, Writer};

/// Seconds until a write that failed is tried again.
pub const RETRY: f64 = 2.0;

/// Preferences on their way to the disk.
pub struct KeptPreferences {
    file: Arc<Mutex<SharedFile<Preferences>>>,
    /// As they were last handed over.
    kept: Preferences,
    /// When that was (seconds).
    kept_at: f64,
    /// The last write failed, and that was told.
    is_failing: Arc<AtomicBool>,
}

impl KeptPreferences {
    /// Reads the user's preferences; what is told beside them is for the user.
    pub fn open(
        folders: Option<&Folders>,
        storage: Option<&dyn eframe::Storage>,
    ) -> (Self, Preferences, Option<StoreError>) {
        let (file, preferences, told) = Preferences::open(folders, storage);
        // Those of an earlier version were not written yet.
        let file = Arc::new(Mutex::new(file));
        let kept = KeptPreferences { file, kept: Preferences::default(), kept_at: 0.0, is_failing: Arc::default() };
        (kept, preferences, told)
    }

    /// Writes what changed, and what could not be written [`RETRY`] seconds ago. `now`: in seconds. `failed` is called when it
    /// cannot be written for the first time. Returns how long to wait before the next try.
    pub fn keep(
        &mut self,
        writer: &Writer,
        preferences: &Preferences,
        now: f64,
        failed: impl FnOnce(StoreError) + Send + 'static,
    ) -> Option<Duration> {
        if *preferences == self.kept {
            let wait = self.kept_at + RETRY - now;
            if !self.is_failing.load(Ordering::Relaxed) {
                return None;
            } else if wait > 0.0 {
                return Some(Duration::from_secs_f64(wait));
            }
        }
        (self.kept, self.kept_at) = (preferences.clone(), now);
        let (file, preferences, is_failing) = (self.file.clone(), preferences.clone(), self.is_failing.clone());
        writer.write(move || {
            let saved = file.lock().unwrap_or_else(PoisonError::into_inner).save(&preferences);
            let was_failing = is_failing.swap(saved.is_err(), Ordering::Relaxed);
            if let Some(error) = saved.err().filter(|_| !was_failing) {
                failed(error);
            }
        });
        self.is_failing.load(Ordering::Relaxed).then(|| Duration::from_secs_f64(RETRY))
    }
}
