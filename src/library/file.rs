//! Libraries as files: JSON, or safetensors with the vectors as tensors and the rest as JSON in the metadata.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde::{Deserialize, Serialize};

use super::{Entry, Knowledge, Library, LibraryModel, MAX_ENTRIES, Subject};
use crate::edit::{Direction, LayerSet, Origin, Vectors};
use crate::files::{self, WriteError};
use crate::project::PROGRAM;

/// Newest format that this program reads, and the one it writes.
pub const VERSION: u32 = 1;
/// Longest file that is read, in bytes.
pub const MAX_BYTES: u64 = 64 << 20;
/// Longest vector: wider than any network's codes.
const MAX_WIDTH: usize = 1 << 16;
/// The entry of a safetensors file's metadata that holds the library without its vectors.
const METADATA_KEY: &str = "sefa_studio_library";

#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is {bytes} bytes long; a library has at most {MAX_BYTES}")]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("{path} is no library of directions")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{path} is an edit, not a library of directions; the window and `render --edit` open it")]
    Edit { path: PathBuf },
    #[error("{path} is no library of directions: its metadata has no {METADATA_KEY}")]
    NoLibrary { path: PathBuf },
    #[error("{path} has library version {found}; this program ({PROGRAM}) reads versions 1 to {VERSION}")]
    Version { path: PathBuf, found: u64 },
    #[error("{path} is a damaged safetensors file")]
    Tensors { path: PathBuf, source: SafeTensorError },
    #[error("{path}: {problem}")]
    Content { path: PathBuf, problem: String },
    #[error("cannot encode {path}")]
    Encode { path: PathBuf, source: SafeTensorError },
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What a file holds.
#[derive(Deserialize)]
pub struct Form {
    model: LibraryModel,
    entries: Vec<EntryForm>,
}

#[derive(Serialize, Deserialize)]
struct EntryForm {
    direction: DirectionForm,
    #[serde(flatten)]
    knowledge: Knowledge,
    #[serde(default)]
    changed: u64,
}

/// A direction, whose vectors may be elsewhere or unknown.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DirectionForm {
    layers: LayerSet,
    origin: Origin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vectors: Option<Vectors>,
}

impl TryFrom<Form> for Library {
    type Error = String;

    fn try_from(Form { model, entries }: Form) -> Result<Self, String> {
        if entries.len() > MAX_ENTRIES {
            return Err(format!("{} entries, expected at most {MAX_ENTRIES}", entries.len()));
        }
        let mut read = Library::new(model);
        for (number, form) in entries.into_iter().enumerate() {
            let entry = Entry::try_from(form).map_err(|problem| format!("entry {number}: {problem}"))?;
            // Of two about one direction the newer counts.
            read.merge(&Library { model: LibraryModel::default(), entries: vec![entry] });
        }
        Ok(read)
    }
}

impl TryFrom<EntryForm> for Entry {
    type Error = String;

    fn try_from(EntryForm { direction, knowledge, changed }: EntryForm) -> Result<Self, String> {
        knowledge.check()?;
        let DirectionForm { layers, origin, vectors } = direction;
        let subject = match (vectors, origin) {
            (None, Origin::Sefa { weighting, index }) => Subject::Sefa { layers, weighting, index },
            (None, origin) => return Err(format!("no vectors of {origin}")),
            (Some(vectors), origin) => {
                check_vectors(&vectors, &layers)?;
                Subject::Whole(Arc::new(Direction { layers, vectors, origin }))
            }
        };
        Ok(Entry { subject, knowledge, changed })
    }
}

fn check_vectors(vectors: &Vectors, layers: &LayerSet) -> Result<(), String> {
    let all = match vectors {
        Vectors::One(vector) => std::slice::from_ref(vector),
        Vectors::PerLayer(vectors) if vectors.len() != layers.len() => {
            return Err(format!("{} vectors for {} layers ({layers})", vectors.len(), layers.len()));
        }
        Vectors::PerLayer(vectors) => vectors,
    };
    let width = all.first().map_or(0, Vec::len);
    if !(1..=MAX_WIDTH).contains(&width) || all.iter().any(|vector| vector.len() != width) {
        return Err(format!("expected vectors of one length from 1 to {MAX_WIDTH}"));
    }
    match all.iter().flatten().all(|x| x.is_finite()) {
        true => Ok(()),
        false => Err("a vector holds a value that is not finite".into()),
    }
}

impl EntryForm {
    fn of(entry: &Entry, with_vectors: bool) -> Self {
        let vectors = match &entry.subject {
            Subject::Whole(direction) if with_vectors => Some(direction.vectors.clone()),
            _ => None,
        };
        let direction =
            DirectionForm { layers: entry.subject.layers().clone(), origin: entry.subject.origin(), vectors };
        EntryForm { direction, knowledge: entry.knowledge.clone(), changed: entry.changed }
    }
}

/// True if a file claims to be a library, sound or not.
pub fn is_library(path: &Path) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        entries: Option<serde::de::IgnoredAny>,
    }
    let Ok(bytes) = read_bytes(path) else { return false };
    if is_safetensors(&bytes) {
        let header = SafeTensors::read_metadata(&bytes).ok();
        return header.is_some_and(|(_, header)| {
            header.metadata().as_ref().is_some_and(|metadata| metadata.contains_key(METADATA_KEY))
        });
    }
    let kind = serde_json::from_slice::<Kind>(&bytes);
    kind.is_ok_and(|kind| kind.entries.is_some())
}

impl Library {
    /// Reads a library that was exported: JSON or safetensors, told apart by content.
    pub fn load(path: &Path) -> Result<Library, LibraryError> {
        let bytes = read_bytes(path)?;
        // JSON has no `{` behind eight bytes of length.
        match is_safetensors(&bytes) {
            true => from_safetensors(path, &bytes),
            false => from_json(path, &bytes, Ok),
        }
    }

    /// What somebody else can use: without entries that say nothing.
    pub fn known(&self) -> Library {
        Library { model: self.model.clone(), entries: self.entries().cloned().collect() }
    }

    /// Writes what is known, as safetensors if the name ends so, else as JSON. All of it or nothing.
    pub fn export(&self, path: &Path) -> Result<(), LibraryError> {
        let known = self.known();
        let is_tensors = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors"));
        let bytes = match is_tensors {
            true => known.to_safetensors().map_err(|source| LibraryError::Encode { path: path.into(), source })?,
            false => known.to_json().into_bytes(),
        };
        Ok(files::write_bytes(path, &bytes)?)
    }

    /// JSON with a line for each entry: vectors are long.
    pub fn to_json(&self) -> String {
        self.json(true)
    }

    pub(super) fn json(&self, with_vectors: bool) -> String {
        #[derive(Serialize)]
        struct Head<'a> {
            version: u32,
            program: &'a str,
            model: &'a LibraryModel,
        }
        let json = |value: serde_json::Result<String>| value.expect("a library holds no map with keys other than text");
        let head = json(serde_json::to_string(&Head { version: VERSION, program: PROGRAM, model: &self.model }));
        let entry = |entry| json(serde_json::to_string(&EntryForm::of(entry, with_vectors)));
        let entries: Vec<String> = self.entries.iter().map(entry).collect();
        // Without the brace that ends it: the entries follow.
        let head = head.strip_suffix('}').unwrap_or(&head);
        format!("{head},\n\"entries\": [\n{}\n]}}\n", entries.join(",\n"))
    }

    fn to_safetensors(&self) -> Result<Vec<u8>, SafeTensorError> {
        let mut tensors = Vec::new();
        for (number, entry) in self.entries.iter().enumerate() {
            let Subject::Whole(direction) = &entry.subject else { continue };
            let (shape, values): (Vec<usize>, Cow<'_, [f32]>) = match &direction.vectors {
                Vectors::One(vector) => (vec![vector.len()], vector.into()),
                Vectors::PerLayer(vectors) => {
                    (vec![vectors.len(), vectors.first().map_or(0, Vec::len)], vectors.concat().into())
                }
            };
            let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            tensors.push((tensor_name(number), shape, bytes));
        }
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| Ok((name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
        let views = views.collect::<Result<Vec<_>, SafeTensorError>>()?;
        let metadata = [(METADATA_KEY.to_owned(), self.json(false))].into();
        safetensors::serialize(views, Some(metadata))
    }
}

/// The tensor with the vectors of an entry: `[dim]`, or `[layers, dim]` where each layer has its own.
fn tensor_name(entry: usize) -> String {
    format!("entries.{entry}")
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, LibraryError> {
    let failed = |source| LibraryError::Read { path: path.into(), source };
    // Asked before opening, because opening a pipe would wait for somebody to write.
    let facts = path.metadata().map_err(failed)?;
    if !facts.is_file() {
        return Err(failed(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no file")));
    }
    if facts.len() > MAX_BYTES {
        return Err(LibraryError::TooLarge { path: path.into(), bytes: facts.len() });
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes)).map_err(failed)?;
    Ok(bytes)
}

fn is_safetensors(bytes: &[u8]) -> bool {
    bytes.get(8) == Some(&b'{') && bytes.first_chunk().is_some_and(|&length| u64::from_le_bytes(length) <= MAX_BYTES)
}

fn from_json(
    path: &Path,
    json: &[u8],
    add_vectors: impl FnOnce(Form) -> Result<Form, String>,
) -> Result<Library, LibraryError> {
    #[derive(Deserialize)]
    struct Kind {
        version: u64,
        /// Projects have one.
        edit: Option<serde::de::IgnoredAny>,
    }
    let invalid = |source| LibraryError::Json { path: path.into(), source };
    let Kind { version, edit } = serde_json::from_slice(json).map_err(invalid)?;
    if edit.is_some() {
        return Err(LibraryError::Edit { path: path.into() });
    }
    if version == 0 || version > u64::from(VERSION) {
        return Err(LibraryError::Version { path: path.into(), found: version });
    }
    let form = serde_json::from_slice(json).map_err(invalid)?;
    add_vectors(form)
        .and_then(Library::try_from)
        .map_err(|problem| LibraryError::Content { path: path.into(), problem })
}

fn from_safetensors(path: &Path, bytes: &[u8]) -> Result<Library, LibraryError> {
    let damaged = |source| LibraryError::Tensors { path: path.into(), source };
    let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let json = header.metadata().as_ref().and_then(|metadata| metadata.get(METADATA_KEY));
    let json = json.ok_or_else(|| LibraryError::NoLibrary { path: path.into() })?;
    from_json(path, json.as_bytes(), |mut form| {
        for (number, entry) in form.entries.iter_mut().enumerate().take(MAX_ENTRIES) {
            if let Ok(tensor) = tensors.tensor(&tensor_name(number)) {
                let vectors = vectors_of(&tensor).map_err(|problem| format!("{}: {problem}", tensor_name(number)))?;
                entry.direction.vectors = Some(vectors);
            }
        }
        Ok(form)
    })
}

fn vectors_of(tensor: &TensorView<'_>) -> Result<Vectors, String> {
    let (dtype, shape) = (tensor.dtype(), tensor.shape());
    let (Dtype::F32, [.., 1..=MAX_WIDTH]) = (dtype, shape) else {
        return Err(format!("expected F32 of [dim] or [layers, dim], found {dtype:?} of {shape:?}"));
    };
    let values: Vec<f32> = tensor.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    match *shape {
        [_] => Ok(Vectors::One(values)),
        [_, dim] => Ok(Vectors::PerLayer(values.chunks_exact(dim).map(<[f32]>::to_vec).collect())),
        _ => Err(format!("expected [dim] or [layers, dim], found {shape:?}")),
    }
}
