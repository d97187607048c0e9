//! The project file: an [`Edit`] with the model it belongs to, the names of its directions, and the edits that were kept beside it.
//!
//! The same JSON is written to `.json` files and into the text chunk of exported pictures.

mod newer;
mod picture;
mod shelf;
mod v1;

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::edit::{Edit, Shelf};
use crate::generator::ModelInfo;
use crate::names::DirectionNames;
use crate::recipe::Recipe;

pub use picture::{embedded_project, is_png};

/// Newest format this program knows; every older one stays readable.
pub const VERSION: u32 = 5;

/// The ones before styles and shelves, before motions and before photos: written where there are none, so that earlier programs open
/// what they can show.
const BEFORE_STYLES: u32 = 2;
const BEFORE_MOTIONS: u32 = 3;
const BEFORE_PHOTOS: u32 = 4;

/// Name and version of this program, as files tell it.
pub const PROGRAM: &str = concat!("SeFa Studio ", env!("CARGO_PKG_VERSION"));

/// A project file is text; anything larger than this is none of ours (512 moves of 512 numbers take 4 MB).
pub const MAX_BYTES: u64 = 64 << 20;

/// True if a file is for [`Project::load`], by its first bytes: a PNG picture or JSON. Whether it is sound shows there.
pub fn is_edit(path: &Path) -> bool {
    const FIRST: u64 = 64;
    // Asked before opening, because opening a pipe would wait for somebody to write.
    if !path.metadata().is_ok_and(|facts| facts.is_file()) {
        return false;
    }
    let mut first = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FIRST).read_to_end(&mut first));
    let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&first).trim_ascii_start();
    read.is_ok() && (is_png(&first) || text.starts_with(b"{"))
}

/// True if a file is a PNG picture, whatever its name.
pub fn is_picture(path: &Path) -> bool {
    let mut first = Vec::new();
    let read = File::open(path).and_then(|file| file.take(8).read_to_end(&mut first));
    read.is_ok() && is_png(&first)
}

/// An edit that can be opened again, on any machine that has the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    pub model: ModelIdentity,
    pub edit: Edit,
    /// Names that its author had for directions of the model, moved or not.
    pub names: DirectionNames,
    /// Other edits of the model that were kept.
    pub shelf: Shelf,
}

/// Which model an edit was made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// See [`ModelInfo::identity`].
    pub identity: String,
    pub name: String,
    pub family: String,
    /// Where it was opened from: a path, or `example:NAME` for a model inside the program.
    pub source: String,
    /// How the network was read, where a recipe says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Recipe>,
}

#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is {bytes} bytes long; a project file has at most {MAX_BYTES}")]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("{path} is no SeFa Studio project")]
    Json { path: PathBuf, source: serde_json::Error },
    /// `about` tells what wrote it and what it holds that is unknown here, or is empty.
    #[error("{path} has project version {found}{about}; this program ({PROGRAM}) reads versions 1 to {VERSION}")]
    Version { path: PathBuf, found: u32, about: String },
    #[error("{path} is a picture without an edit inside; only pictures exported by SeFa Studio carry one")]
    NoEdit { path: PathBuf },
    #[error("cannot read the picture {path}: damaged or truncated PNG file")]
    Picture { path: PathBuf, source: png::DecodingError },
    #[error("the edit in {path} does not fit the model {model}: {problem}")]
    Misfit { path: PathBuf, model: String, problem: String },
}

impl Project {
    /// With an empty shelf.
    pub fn new(info: &ModelInfo, source: String, edit: Edit, names: DirectionNames) -> Self {
        let model = ModelIdentity {
            identity: info.identity.clone(),
            name: info.name.clone(),
            family: info.family.to_string(),
            source,
            recipe: info.recipe.clone(),
        };
        Project { model, edit, names, shelf: Shelf::default() }
    }

    /// Reads a `.json` project, or the one inside an exported PNG (told apart by content).
    pub fn load(path: &Path) -> Result<Self, ProjectError> {
        let read = |source| ProjectError::Read { path: path.into(), source };
        let bytes = std::fs::metadata(path).map_err(read)?.len();
        if bytes > MAX_BYTES {
            return Err(ProjectError::TooLarge { path: path.into(), bytes });
        }
        let content = std::fs::read(path).map_err(read)?;
        if !is_png(&content) {
            return Self::from_json(path, &content);
        }
        match embedded_project(&content) {
            Ok(Some(text)) => Self::from_json(path, text.as_bytes()),
            Ok(None) => Err(ProjectError::NoEdit { path: path.into() }),
            Err(source) => Err(ProjectError::Picture { path: path.into(), source }),
        }
    }

    /// Reads a project from text; `path` stands for it in messages.
    ///
    /// # Errors
    /// It is no project, or one of a newer version.
    pub(crate) fn from_json(path: &Path, json: &[u8]) -> Result<Self, ProjectError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let invalid = |source| ProjectError::Json { path: path.into(), source };
        let Versioned { version } = serde_json::from_slice(json).map_err(invalid)?;
        match version {
            1 => serde_json::from_slice::<v1::Project>(json).map(Into::into).map_err(invalid),
            BEFORE_STYLES..=VERSION => serde_json::from_slice::<Stored>(json).map(Into::into).map_err(invalid),
            found => Err(newer::refuse(path, found, json)),
        }
    }

    /// The oldest format that holds all of it.
    fn version(&self) -> u32 {
        let Project { edit, shelf, .. } = self;
        let edits = || shelf.iter().map(|kept| &kept.edit).chain([edit]);
        if edits().any(|edit| edit.sample.photo.is_some()) {
            return VERSION;
        }
        if shelf.is_timed() || edits().any(Edit::is_between) {
            return BEFORE_PHOTOS;
        }
        let is_old = edit.sample.styles.is_empty() && shelf.is_empty();
        if is_old { BEFORE_STYLES } else { BEFORE_MOTIONS }
    }

    /// Pretty JSON but for the shelf, ends in a newline.
    pub fn to_json(&self) -> String {
        let Project { model, edit, names, shelf } = self;
        let stored = Stored {
            version: self.version(),
            program: Some(PROGRAM.into()),
            model: Cow::Borrowed(model),
            edit: Cow::Borrowed(edit),
            names: Cow::Borrowed(names),
            shelf: Shelf::default(),
        };
        const TEXT: &str = "a project holds no map with keys other than text";
        let mut json = serde_json::to_string_pretty(&stored).expect(TEXT);
        if !shelf.is_empty() || shelf.is_timed() {
            // Before the brace that closes the project.
            json.truncate(json.len() - "\n}".len());
            json.push_str(",\n  \"shelf\": ");
            json.push_str(&shelf::to_json(shelf).expect(TEXT));
            json.push_str("\n}");
        }
        json.push('\n');
        json
    }
}

/// What a file of the present version holds, or of the one before.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<'a> {
    version: u32,
    /// What wrote it: told to people whose program is older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    program: Option<Cow<'a, str>>,
    model: Cow<'a, ModelIdentity>,
    edit: Cow<'a, Edit>,
    #[serde(default, skip_serializing_if = "no_names")]
    names: Cow<'a, DirectionNames>,
    /// Written by itself.
    #[serde(default, skip_serializing, deserialize_with = "shelf::deserialize")]
    shelf: Shelf,
}

fn no_names(names: &DirectionNames) -> bool {
    names.is_empty()
}

impl From<Stored<'_>> for Project {
    fn from(Stored { model, edit, names, shelf, .. }: Stored<'_>) -> Self {
        Project { model: model.into_owned(), edit: edit.into_owned(), names: names.into_owned(), shelf }
    }
}
