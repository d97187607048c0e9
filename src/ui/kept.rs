//! The files that the window keeps for its user, written by a thread of their own.

use std::sync::{Arc, Mutex, PoisonError};

use super::preferences::Preferences;
use crate::store::{Folders, SharedFile, StoreError, Writer};

/// Preferences on their way to the disk.
pub struct KeptPreferences {
    file: Arc<Mutex<SharedFile<Preferences>>>,
    /// As they were last handed over.
    kept: Preferences,
}

impl KeptPreferences {
    /// Reads the user's preferences; what is told beside them is for the user.
    pub fn open(
        folders: Option<&Folders>,
        storage: Option<&dyn eframe::Storage>,
    ) -> (Self, Preferences, Option<StoreError>) {
        let (file, preferences, told) = Preferences::open(folders, storage);
        // Those of an earlier version were not written yet.
        (KeptPreferences { file: Arc::new(Mutex::new(file)), kept: Preferences::default() }, preferences, told)
    }

    /// Writes what changed. `failed` is called if it cannot be written.
    pub fn keep(
        &mut self,
        writer: &Writer,
        preferences: &Preferences,
        failed: impl FnOnce(StoreError) + Send + 'static,
    ) {
        if *preferences == self.kept {
            return;
        }
        self.kept = preferences.clone();
        let (file, preferences) = (self.file.clone(), preferences.clone());
        writer.write(move || {
            let saved = file.lock().unwrap_or_else(PoisonError::into_inner).save(&preferences);
            if let Err(error) = saved {
                failed(error);
            }
        });
    }
}
