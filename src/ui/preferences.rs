//! What persists between runs, beside the window's own size and panel widths: nothing else does.

use std::collections::BTreeMap;
use std::path::PathBuf;

use egui::ThemePreference;
use serde::{Deserialize, Serialize};

use crate::generator::ModelInfo;
use crate::gpu::Precision;
use crate::names::DirectionNames;
use crate::recipe::Recipe;
use crate::render::Source;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    pub theme: ThemePreference,
    /// How a GPU stores weights and maps.
    pub precision: Precision,
    /// Newest first.
    pub recent: Vec<Recent>,
    /// Where the last file was opened or written.
    pub folder: Option<PathBuf>,
    /// Names of directions, by the model's identity: offered again whenever that model is opened.
    pub names: BTreeMap<String, DirectionNames>,
    /// How a person had a model read, by its identity.
    pub recipes: BTreeMap<String, Recipe>,
    /// The first slider was dragged, so the hint has done its work.
    pub has_dragged: bool,
}

impl Default for Preferences {
    fn default() -> Self {
        Preferences {
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
    /// Puts a model that was just opened in front. Examples have their own place in the menu.
    pub fn remember(&mut self, source: &Source, info: &ModelInfo) {
        let Some(path) = source.file() else { return };
        self.folder = path.parent().map(Into::into);
        self.recent.retain(|recent| recent.source != *source);
        let recent = Recent {
            source: source.clone(),
            name: info.name.clone(),
            family: info.family.to_string(),
            resolution: info.size.larger(),
            oblong: (info.size.width != info.size.height).then(|| info.size.brief()),
        };
        self.recent.insert(0, recent);
        self.recent.truncate(MOST_RECENT);
    }

    /// The user's names of a model's directions, or those that the model brings along.
    pub fn names_of(&self, info: &ModelInfo) -> DirectionNames {
        self.names.get(&info.identity).unwrap_or(&info.direction_names).clone()
    }

    /// Keeps the names of a model's directions, if they are the user's own.
    pub fn keep_names(&mut self, info: &ModelInfo, names: &DirectionNames) {
        if *names == info.direction_names {
            self.names.remove(&info.identity);
        } else {
            self.names.insert(info.identity.clone(), names.clone());
        }
    }
}
