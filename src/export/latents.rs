//! Latent codes that other tools found: npy, npz, safetensors, and tensors saved by torch.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use zip::ZipArchive;

use super::npy::{self, Array, NpyError};
use crate::checkpoint::{Checkpoint, CheckpointError, FROM_THE_START, Tensor};
use crate::edit::Code;
use crate::generator::ModelInfo;
use crate::progress;

/// Numbers in one array: 7000 codes of 18 layers of 512. A larger array is a data set, no list of codes to render.
const MAX_VALUES: usize = 1 << 26;
const MAX_NPY_BYTES: u64 = 8 * MAX_VALUES as u64 + (1 << 17);

/// The latent space that a code of shape `[dim]` lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    Z,
    W,
}

impl FromStr for Space {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "z" => Ok(Space::Z),
            "w" => Ok(Space::W),
            other => Err(format!("expected z or w, found {other:?}")),
        }
    }
}

/// An array of latent codes, not yet held against a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Latents {
    path: PathBuf,
    /// Name inside the file; `None` where the file holds one array without a name.
    key: Option<String>,
    array: Array,
}

#[derive(Debug, thiserror::Error)]
pub enum LatentsError {
    #[error("cannot read latent codes from {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: array {key} cannot be read")]
    Array { path: PathBuf, key: String, source: NpyError },
    #[error("{path} is a broken npz file")]
    Zip { path: PathBuf, source: zip::result::ZipError },
    #[error("cannot read latent codes: expected npy, npz or safetensors")]
    Container(#[from] CheckpointError),
    #[error("{path} holds no array")]
    Empty { path: PathBuf },
    #[error("{path} holds {} arrays; choose one with --latents-key: {}", keys.len(), listed(keys))]
    Ambiguous { path: PathBuf, keys: Vec<String> },
    #[error("{path} has no array named {key}; it has {}", listed(keys))]
    NoSuchKey { path: PathBuf, key: String, keys: Vec<String> },
    #[error("{path}: array {key} holds {found} numbers, more than the {MAX_VALUES} that are read")]
    TooLarge { path: PathBuf, key: String, found: u64 },
    #[error("{path}: array {key} has shape {found:?}; expected {expected}")]
    Shape { path: PathBuf, key: String, expected: String, found: Vec<usize> },
    #[error("{path}: array {key} holds {value} at position {position}; expected finite numbers")]
    NotFinite { path: PathBuf, key: String, position: usize, value: f32 },
}

/// Enough names to find the right one; a whole checkpoint has hundreds.
fn listed(keys: &[String]) -> String {
    match keys {
        [] => "one array without a name".into(),
        keys if keys.len() > 20 => format!("{}, ...", keys[..20].join(", ")),
        keys => keys.join(", "),
    }
}

/// How an array without a name is called in messages.
const UNNAMED: &str = "(unnamed)";

impl Latents {
    /// Reads the array named `key`, or the only one. The kind of file is told by its content.
    pub fn read(path: &Path, key: Option<&str>) -> Result<Self, LatentsError> {
        let failed = |source| LatentsError::Read { path: path.into(), source };
        let mut file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let mut head = Vec::new();
        (&file).take(8).read_to_end(&mut head).map_err(failed)?;
        file.rewind().map_err(failed)?;
        let (key, array) = if npy::is_npy(&head) {
            let bytes = read_bounded(file, MAX_NPY_BYTES).map_err(failed)?;
            let bytes = bytes.map_err(|found| too_large(path, UNNAMED, found / 4))?;
            let key = choose(path, &[], key)?;
            (key, npy::read_npy(&bytes).map_err(|source| array_error(path, UNNAMED, source))?)
        } else if let Some(archive) = open_npz(&head, &file) {
            read_npz(path, archive, key)?
        } else {
            read_checkpoint(path, key)?
        };
        let name = key.as_deref().unwrap_or(UNNAMED);
        if let Some(position) = array.values.iter().position(|value| !value.is_finite()) {
            let (path, key) = (path.into(), name.into());
            return Err(LatentsError::NotFinite { path, key, position, value: array.values[position] });
        }
        Ok(Latents { path: path.into(), key, array })
    }

    /// The codes as starting points of edits. `[N, dim]` and `[dim]` lie in `space` (z unless given);
    /// `[N, layers, dim]` is one w per layer.
    pub fn into_codes(self, space: Option<Space>, info: &ModelInfo) -> Result<Vec<Code>, LatentsError> {
        let rows = |width: usize| self.array.values.chunks_exact(width);
        let codes: Vec<Code> = match self.array.shape[..] {
            [dim] | [_, dim] => match space.unwrap_or(Space::Z) {
                Space::Z if dim == info.z_dim => rows(dim).map(|z| Code::Z(z.to_vec())).collect(),
                Space::W if Some(dim) == info.w_dim => rows(dim).map(|w| Code::W(w.to_vec())).collect(),
                _ => Vec::new(),
            },
            [_, layers, dim] if space != Some(Space::Z) && layers == info.num_layers && Some(dim) == info.w_dim => {
                let per_layer = |code: &[f32]| code.chunks_exact(dim).map(<[f32]>::to_vec).collect();
                rows(layers * dim).map(|code| Code::WPlus(per_layer(code))).collect()
            }
            _ => Vec::new(),
        };
        if codes.is_empty() { Err(self.shape_error(space, info)) } else { Ok(codes) }
    }

    fn shape_error(&self, space: Option<Space>, info: &ModelInfo) -> LatentsError {
        let (z_dim, layers, family) = (info.z_dim, info.num_layers, info.family);
        let expected = match (space, info.w_dim) {
            (Some(Space::W), None) => format!("[N, {z_dim}] in z: a {family} has no w"),
            (Some(Space::Z), _) | (None, None) => format!("[N, {z_dim}] in z"),
            (Some(Space::W), Some(w_dim)) => {
                format!("[N, {w_dim}] in w, or [N, {layers}, {w_dim}] with one w per layer")
            }
            (None, Some(w_dim)) => format!(
                "[N, {z_dim}] in z, [N, {w_dim}] in w with --space w, or [N, {layers}, {w_dim}] with one w per layer"
            ),
        };
        let key = self.key.clone().unwrap_or_else(|| UNNAMED.into());
        LatentsError::Shape { path: self.path.clone(), key, expected, found: self.array.shape.clone() }
    }
}

/// Everything in `source`, or its length so far if that is more than `limit`.
fn read_bounded(source: impl Read, limit: u64) -> io::Result<Result<Vec<u8>, u64>> {
    let mut bytes = Vec::new();
    source.take(limit + 1).read_to_end(&mut bytes)?;
    let length = bytes.len() as u64;
    Ok(if length > limit { Err(length) } else { Ok(bytes) })
}

/// The archive, if the file is a zip with at least one npy member; torch's files are zips as well.
fn open_npz<'a>(head: &[u8], file: &'a File) -> Option<ZipArchive<BufReader<&'a File>>> {
    let archive =
        head.starts_with(b"PK").then(|| ZipArchive::with_config(FROM_THE_START, BufReader::new(file)).ok())??;
    let is_npz = npz_keys(&archive).next().is_some();
    is_npz.then_some(archive)
}

fn npz_keys<R: Read + Seek>(archive: &ZipArchive<R>) -> impl Iterator<Item = String> {
    let names = archive.file_names().filter_map(Result::ok);
    names.filter_map(|name| name.strip_suffix(".npy").map(str::to_owned))
}

type Named = (Option<String>, Array);

fn read_npz<R: Read + Seek>(path: &Path, mut archive: ZipArchive<R>, key: Option<&str>) -> Result<Named, LatentsError> {
    let keys: Vec<String> = npz_keys(&archive).collect();
    let name = choose(path, &keys, key)?.unwrap_or_default();
    let broken = |source| LatentsError::Zip { path: path.into(), source };
    let member = archive.by_name(&format!("{name}.npy")).map_err(broken)?;
    // The size that a zip announces may be a lie; what counts is what comes out.
    let bytes = read_bounded(member, MAX_NPY_BYTES).map_err(|source| broken(source.into()))?;
    let bytes = bytes.map_err(|found| too_large(path, &name, found / 4))?;
    let array = npy::read_npy(&bytes).map_err(|source| array_error(path, &name, source))?;
    Ok((Some(name), array))
}

/// safetensors, and tensors or maps of tensors that torch saved.
fn read_checkpoint(path: &Path, key: Option<&str>) -> Result<Named, LatentsError> {
    let checkpoint = Checkpoint::open(path, &mut progress::silent)?;
    let tree = &checkpoint.tree;
    let (name, tensor) = match tree.tensor(tree.root()) {
        Some(tensor) => (choose(path, &[], key)?, tensor),
        None => {
            let entries = tree.entries(tree.root()).unwrap_or_default();
            let tensors = entries.iter().filter_map(|&(name, value)| Some((tree.text(name)?, tree.tensor(value)?)));
            let tensors: Vec<(&str, &Tensor)> = tensors.collect();
            let keys: Vec<String> = tensors.iter().map(|(name, _)| (*name).to_owned()).collect();
            let name = choose(path, &keys, key)?;
            let found = tensors.iter().rev().find(|(key, _)| Some(*key) == name.as_deref());
            (name, found.ok_or_else(|| LatentsError::Empty { path: path.into() })?.1)
        }
    };
    if tensor.len() > MAX_VALUES {
        return Err(too_large(path, name.as_deref().unwrap_or(UNNAMED), tensor.len() as u64));
    }
    let values =
        tensor.to_f32().map_err(|gone| LatentsError::Read { path: path.into(), source: io::Error::other(gone) })?;
    Ok((name, Array { shape: tensor.shape().to_vec(), values }))
}

/// The name of the array to read: the one asked for, or the only one. `keys` is empty if the one array has no name.
fn choose(path: &Path, keys: &[String], wanted: Option<&str>) -> Result<Option<String>, LatentsError> {
    match (wanted, keys) {
        (Some(wanted), keys) if !keys.iter().any(|key| key == wanted) => {
            Err(LatentsError::NoSuchKey { path: path.into(), key: wanted.into(), keys: keys.to_vec() })
        }
        (Some(wanted), _) => Ok(Some(wanted.into())),
        (None, []) => Ok(None),
        (None, [only]) => Ok(Some(only.clone())),
        (None, keys) => Err(LatentsError::Ambiguous { path: path.into(), keys: keys.to_vec() }),
    }
}

fn too_large(path: &Path, key: &str, found: u64) -> LatentsError {
    LatentsError::TooLarge { path: path.into(), key: key.into(), found }
}

fn array_error(path: &Path, key: &str, source: NpyError) -> LatentsError {
    LatentsError::Array { path: path.into(), key: key.into(), source }
}
