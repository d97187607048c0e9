//! What persists between runs, beside the window's own size and panel widths: `preferences.json`, which all windows share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use egui::ThemePreference;
use serde::{Deserialize, Serialize};

use crate::generator::ModelInfo;
use crate::gpu::Precision;
use crate::names::DirectionNames;
use crate::recipe::Recipe;
use crate::render::Source;
use crate::store::{Folders, SharedFile, StoreError};

const VERSION: u32 = 1;
/// Names of thousands of directions and recipes of hundreds of models fit.
const MAX_BYTES: u64 = 16 << 20;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    pub theme: ThemePreference,
    /// How a GPU stores weights and maps.
    pub precision: Precision,
    /// Models that were opened before, by [`Source`]: windows add theirs one by one.
    recent: BTreeMap<String, Recent>,
    /// Where the last file was opened or written; text, because other paths have no place in JSON.
    folder: Option<String>,
    /// Names of directions, by the model's identity, as earlier versions kept them: they go into the model's library.
    pub names: BTreeMap<String, DirectionNames>,
    /// How a person had a model read, by its identity.
    pub recipes: BTreeMap<String, Recipe>,
    /// Thumbnails under every direction, not only beside the one that is pointed at.
    pub strips: bool,
    /// The strip of kept pictures under the picture.
    pub shelf: bool,
    /// The first slider was dragged, so the hint has done its work.
    pub has_dragged: bool,
}

impl Default for Preferences {
    fn default() -> Self {
        Preferences {
            theme: ThemePreference::Dark,
            precision: Precision::F32,
            recent: BTreeMap::new(),
            folder: None,
            names: BTreeMap::new(),
            recipes: BTreeMap::new(),
            strips: false,
            shelf: true,
            has_dragged: false,
        }
    }
}

/// A model that was opened before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    pub source: Source,
    pub name: String,
    pub family: String,
    /// Larger side of the picture.
    pub resolution: usize,
    /// Both sides, where they differ.
    #[serde(default)]
    pub oblong: Option<String>,
    /// Milliseconds since 1970.
    #[serde(default)]
    opened: u64,
}

const MOST_RECENT: usize = 10;

impl Recent {
    /// "StyleGAN2 1024"
    pub fn facts(&self) -> String {
        match &self.oblong {
            Some(size) => format!("{} {size}", self.family),
            None => format!("{} {}", self.family, self.resolution),
        }
    }
}

impl Preferences {
    /// Reads the user's, or those that the window's storage held before version 0.2. What is told beside them is for the user.
    pub fn open(
        folders: Option<&Folders>,
        storage: Option<&dyn eframe::Storage>,
    ) -> (SharedFile<Preferences>, Preferences, Option<StoreError>) {
        let Some(folders) = folders else { return (SharedFile::nowhere(), Preferences::default(), None) };
        let path = folders.preferences();
        let is_first = !path.exists();
        let (file, mut preferences, told) = SharedFile::open(path, VERSION, MAX_BYTES);
        if let Some(before) = storage.filter(|_| is_first).and_then(old::read) {
            preferences = before;
        }
        (file, preferences, told)
    }

    /// Puts a model that was just opened in front. Examples have their own place in the menu.
    pub fn remember(&mut self, source: &Source, info: &ModelInfo) {
        // The next start may be in another folder.
        let source = source.absolute();
        let Some(path) = source.file() else { return };
        self.set_folder(path.parent().map(Into::into));
        let recent = Recent {
            name: info.name.clone(),
            family: info.family.to_string(),
            resolution: info.size.larger(),
            oblong: (info.size.width != info.size.height).then(|| info.size.brief()),
            opened: self.recent.values().map(|recent| recent.opened + 1).max().unwrap_or(0).max(now()),
            source: source.clone(),
        };
        self.recent.insert(source.to_string(), recent);
        while self.recent.len() > MOST_RECENT
            && let Some(oldest) = self.recent.iter().min_by_key(|(_, recent)| recent.opened)
        {
            let oldest = oldest.0.clone();
            self.recent.remove(&oldest);
        }
    }

    /// Models that were opened before, newest first.
    pub fn recent(&self) -> Vec<&Recent> {
        let mut recent: Vec<&Recent> = self.recent.values().collect();
        recent.sort_by_key(|recent| std::cmp::Reverse(recent.opened));
        recent.truncate(MOST_RECENT);
        recent
    }

    /// Where the last file was opened or written.
    pub fn folder(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(PathBuf::from)
    }

    pub fn set_folder(&mut self, folder: Option<PathBuf>) {
        let absolute = folder.and_then(|folder| std::path::absolute(folder).ok());
        self.folder = absolute.and_then(|folder| folder.to_str().map(str::to_owned)).or(self.folder.take());
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Preferences as the window's storage held them before they had a file of their own.
mod old {
    use super::{BTreeMap, Deserialize, DirectionNames, PathBuf, Preferences, Recent, Recipe, ThemePreference};
    use crate::gpu::Precision;

    const KEY: &str = "preferences";

    #[derive(Deserialize)]
    #[serde(default)]
    struct Stored {
        theme: ThemePreference,
        precision: Precision,
        /// Newest first.
        recent: Vec<Recent>,
        folder: Option<PathBuf>,
        names: BTreeMap<String, DirectionNames>,
        recipes: BTreeMap<String, Recipe>,
        has_dragged: bool,
    }

    impl Default for Stored {
        fn default() -> Self {
            Stored {
                theme: ThemePreference::Dark,
                precision: Precision::F32,
                recent: Vec::new(),
                folder: None,
                names: BTreeMap::new(),
                recipes: BTreeMap::new(),
                has_dragged: false,
            }
        }
    }

    pub fn read(storage: &dyn eframe::Storage) -> Option<Preferences> {
        let Stored { theme, precision, recent, folder, names, recipes, has_dragged } = eframe::get_value(storage, KEY)?;
        let count = recent.len() as u64;
        let recent = recent.into_iter().zip(0..).map(|(recent, place)| {
            let source = recent.source.absolute();
            (source.to_string(), Recent { opened: count - place, source, ..recent })
        });
        let mut preferences = Preferences {
            theme,
            precision,
            recent: recent.collect(),
            names,
            recipes,
            has_dragged,
            ..Preferences::default()
        };
        preferences.set_folder(folder);
        Some(preferences)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress;
    use crate::render::{Engine, Example};

    #[derive(Default)]
    struct Ron(BTreeMap<String, String>);

    impl eframe::Storage for Ron {
        fn get_string(&self, key: &str) -> Option<String> {
            self.0.get(key).cloned()
        }

        fn set_string(&mut self, key: &str, value: String) {
            self.0.insert(key.into(), value);
        }

        fn remove_string(&mut self, key: &str) {
            self.0.remove(key);
        }

        fn flush(&mut self) {}
    }

    /// As version 0.1 wrote it.
    const OLD: &str = r#"(theme:Light,precision:F16,recent:[(source:"/models/b.pt",name:"b",family:"StyleGAN2",resolution:256,oblong:None),(source:"a.pt::g",name:"a",family:"StyleGAN",resolution:1024,oblong:Some("512x1024"))],folder:Some("/models"),names:{"abc":{"0-1/row-normalised/0":"pose"}},recipes:{},has_dragged:true)"#;

    #[test]
    fn preferences_of_the_old_storage_are_taken_over_once() {
        let home = tempfile::tempdir().unwrap();
        let folders = Folders::below(home.path());
        let storage = Ron([("preferences".to_owned(), OLD.to_owned())].into());
        let open = || Preferences::open(Some(&folders), Some(&storage));
        let (mut file, mut preferences, told) = open();
        assert!(told.is_none());
        assert_eq!((preferences.theme, preferences.precision), (ThemePreference::Light, Precision::F16));
        assert_eq!(preferences.recent().iter().map(|recent| recent.name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert!(preferences.recent()[1].source.file().unwrap().is_absolute());
        assert_eq!(
            preferences.names["abc"].get(&"0-1".parse().unwrap(), crate::edit::Weighting::RowNormalised, 0),
            "pose"
        );
        assert_eq!(preferences.folder(), Some("/models".into()));
        preferences.theme = ThemePreference::Dark;
        file.save(&preferences).unwrap();
        assert_eq!(open().1, preferences, "the old ones do not come back");
    }

    #[test]
    fn recent_files_are_absolute_and_the_newest_ten() {
        let mut engine = Engine::new(crate::gpu::RenderDevice::cpu(None));
        let info = engine.open(&Source::Example(Example::Faces), &mut progress::silent).unwrap();
        let mut preferences = Preferences::default();
        for number in (0..12).chain([4]) {
            preferences.remember(&Source::File(format!("models/{number}.pt").into()), &info);
        }
        let recent: Vec<_> = preferences.recent().into_iter().map(|recent| recent.source.clone()).collect();
        let names: Vec<String> = recent.iter().map(Source::short_name).collect();
        assert_eq!(names, ["4", "11", "10", "9", "8", "7", "6", "5", "3", "2"]);
        assert!(recent.iter().all(|source| source.file().unwrap().is_absolute()));
        assert!(preferences.folder().unwrap().is_absolute());
        preferences.remember(&Source::Example(Example::Faces), &info);
        assert_eq!(preferences.recent().len(), 10);
    }
}
