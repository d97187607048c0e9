//! Files that hold latent codes -> one [`Item`], whatever the container: npy and npz, safetensors, torch's and Python's
//! pickles, JSON, tables of numbers. The kind is told by the content.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use serde_json::Value as Json;
use zip::ZipArchive;

use super::LatentsError;
use crate::checkpoint::{Checkpoint, FROM_THE_START, Tensor, Tree, Value};
use crate::export::npy::{self, Array, NpyError};
use crate::progress;

/// Numbers in one array: 7000 codes of 18 layers of 512. A larger array is a data set, no list of codes to render.
pub(super) const MAX_VALUES: usize = 1 << 26;
const MAX_NPY_BYTES: u64 = 8 * MAX_VALUES as u64 + (1 << 17);
/// Text takes more memory once it is read; 64 MB are 3 million numbers.
const MAX_TEXT_BYTES: u64 = 64 << 20;
/// Values that are looked at in one file, and how deep they may lie: a projector's file of a thousand photos has far fewer.
const MAX_ITEMS: usize = 1 << 22;
const MAX_DEPTH: usize = 16;

/// What a file holds.
pub(super) enum Item {
    Array(Numbers),
    Number(f32),
    Map(Vec<(String, Item)>),
    List(Vec<Item>),
    /// Anything else: text, nothing, objects.
    Other,
}

/// An array, converted when it is asked for.
#[derive(Clone, Debug)]
pub(super) enum Numbers {
    Read(Array),
    Stored(Tensor),
}

impl Numbers {
    pub(super) fn shape(&self) -> &[usize] {
        match self {
            Numbers::Read(array) => &array.shape,
            Numbers::Stored(tensor) => tensor.shape(),
        }
    }
}

/// Reads the file.
pub(super) fn read(path: &Path) -> Result<Item, LatentsError> {
    let failed = |source| LatentsError::Read { path: path.into(), source };
    // Asked before opening, because opening a pipe would wait for somebody to write.
    if path.metadata().map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    let mut file = File::open(path).map_err(failed)?;
    let mut head = Vec::new();
    (&file).take(512).read_to_end(&mut head).map_err(failed)?;
    file.rewind().map_err(failed)?;
    if npy::is_npy(&head) {
        let bytes = read_bounded(file, MAX_NPY_BYTES).map_err(failed)?;
        let bytes = bytes.map_err(|found| too_large(path, None, found / 4))?;
        return npy_item(&bytes).map_err(|source| LatentsError::Array {
            path: path.into(),
            key: UNNAMED.into(),
            source,
        });
    }
    if let Some(archive) = open_npz(&head, &file) {
        return read_npz(path, archive);
    }
    if looks_like_text(&head) && file.metadata().map_err(failed)?.len() <= MAX_TEXT_BYTES {
        let mut text = Vec::new();
        (&file).take(MAX_TEXT_BYTES).read_to_end(&mut text).map_err(failed)?;
        if let Some(item) = text_item(path, &text)? {
            return Ok(item);
        }
    }
    let checkpoint = Checkpoint::open(path, &mut progress::silent)?;
    Ok(tree_item(&checkpoint.tree))
}

/// How an array without a name is called in messages.
pub(super) const UNNAMED: &str = "(unnamed)";

pub(super) fn too_large(path: &Path, key: Option<&str>, found: u64) -> LatentsError {
    LatentsError::TooLarge { path: path.into(), key: key.unwrap_or(UNNAMED).into(), found }
}

/// Everything in `source`, or its length so far if that is more than `limit`.
fn read_bounded(source: impl Read, limit: u64) -> io::Result<Result<Vec<u8>, u64>> {
    let mut bytes = Vec::new();
    source.take(limit + 1).read_to_end(&mut bytes)?;
    let length = bytes.len() as u64;
    Ok(if length > limit { Err(length) } else { Ok(bytes) })
}

/// An array, or what `numpy.save` pickles of Python objects.
fn npy_item(bytes: &[u8]) -> Result<Item, NpyError> {
    if let Some(pickled) = npy::pickled_objects(bytes) {
        let objects = Checkpoint::from_bytes(pickled.to_vec(), "objects");
        return objects
            .map(|checkpoint| tree_item(&checkpoint.tree))
            .map_err(|_| NpyError::Type("Python objects".into()));
    }
    npy::read_npy(bytes).map(|array| Item::Array(Numbers::Read(array)))
}

/// The archive, if the file is a zip with at least one npy member; torch's files are zips as well.
fn open_npz<'a>(head: &[u8], file: &'a File) -> Option<ZipArchive<BufReader<&'a File>>> {
    let archive = || ZipArchive::with_config(FROM_THE_START, BufReader::new(file)).ok();
    let archive = head.starts_with(b"PK").then(archive)??;
    let is_npz = npz_keys(&archive).next().is_some();
    is_npz.then_some(archive)
}

fn npz_keys<R: Read + Seek>(archive: &ZipArchive<R>) -> impl Iterator<Item = String> {
    let names = archive.file_names().filter_map(Result::ok);
    names.filter_map(|name| name.strip_suffix(".npy").map(str::to_owned))
}

/// All arrays; those of other types than numbers only count if there is nothing else.
fn read_npz<R: Read + Seek>(path: &Path, mut archive: ZipArchive<R>) -> Result<Item, LatentsError> {
    let broken = |source| LatentsError::Zip { path: path.into(), source };
    let keys: Vec<String> = npz_keys(&archive).collect();
    let (mut items, mut refused, mut left) = (Vec::new(), None, MAX_NPY_BYTES);
    for key in keys {
        let member = archive.by_name(&format!("{key}.npy")).map_err(broken)?;
        // The size that a zip announces may be a lie; what counts is what comes out.
        let bytes = read_bounded(member, left).map_err(|source| broken(source.into()))?;
        let bytes = bytes.map_err(|found| too_large(path, Some(&key), found / 4))?;
        left -= bytes.len() as u64;
        match npy_item(&bytes) {
            Ok(item) => items.push((key, item)),
            Err(source) => _ = refused.get_or_insert(LatentsError::Array { path: path.into(), key, source }),
        }
    }
    match refused {
        Some(error) if items.is_empty() => Err(error),
        _ => Ok(Item::Map(items)),
    }
}

/// Text has no zeros; what it is turns out when it is read.
fn looks_like_text(head: &[u8]) -> bool {
    let printable = |byte: &u8| !byte.is_ascii_control() || byte.is_ascii_whitespace();
    let first = head.trim_ascii_start().first();
    head.iter().all(printable)
        && first.is_some_and(|byte| matches!(byte, b'[' | b'{' | b'#' | b'-' | b'+' | b'.' | b'0'..=b'9'))
}

/// JSON, or a table of numbers; `None` if it is neither.
fn text_item(path: &Path, bytes: &[u8]) -> Result<Option<Item>, LatentsError> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(None) };
    if text.trim_start().starts_with(['[', '{']) {
        let json = serde_json::from_str(text).map_err(|source| LatentsError::Json { path: path.into(), source })?;
        if let Json::Object(map) = &json
            && map.contains_key("edit")
            && map.contains_key("model")
        {
            return Err(LatentsError::Edit { path: path.into() });
        }
        return Ok(Some(json_item(json)));
    }
    Ok(table_item(text))
}

/// Rows of numbers between commas, semicolons, tabs or spaces; `#` begins a remark, as `numpy.savetxt` writes.
fn table_item(text: &str) -> Option<Item> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let mut shape = [0, 0];
    let mut values = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let before = values.len();
        for word in line.split([',', ';', '\t', ' ']).filter(|word| !word.is_empty()) {
            values.push(word.parse::<f32>().ok()?);
        }
        let width = values.len() - before;
        if shape[0] > 0 && width != shape[1] {
            return None;
        }
        shape = [shape[0] + 1, width];
    }
    Some(Item::Array(Numbers::Read(Array { shape: shape.to_vec(), values })))
}

fn json_item(json: Json) -> Item {
    match json {
        Json::Number(number) => number.as_f64().map_or(Item::Other, |number| Item::Number(number as f32)),
        Json::Array(items) => list_item(items.into_iter().map(json_item).collect()),
        Json::Object(map) => Item::Map(map.into_iter().map(|(key, value)| (key, json_item(value))).collect()),
        _ => Item::Other,
    }
}

/// A list of numbers is an array, and so is a list of such lists of one length.
fn list_item(items: Vec<Item>) -> Item {
    let numbers = items.iter().map(|item| match item {
        Item::Number(number) => Some(*number),
        _ => None,
    });
    if let Some(values) = numbers.collect::<Option<Vec<f32>>>().filter(|values| !values.is_empty()) {
        return Item::Array(Numbers::Read(Array { shape: vec![values.len()], values }));
    }
    let rows = items.iter().map(|item| match item {
        Item::Array(Numbers::Read(array)) => Some(array),
        _ => None,
    });
    match rows.collect::<Option<Vec<&Array>>>() {
        Some(rows) if !rows.is_empty() && rows.iter().all(|row| row.shape == rows[0].shape) => {
            let shape = [&[rows.len()], &rows[0].shape[..]].concat();
            let values = rows.iter().flat_map(|row| row.values.iter().copied()).collect();
            Item::Array(Numbers::Read(Array { shape, values }))
        }
        _ => Item::List(items),
    }
}

/// What a checkpoint's reader found. A value that is shared is looked at wherever it lies, within bounds.
fn tree_item(tree: &Tree) -> Item {
    let mut left = MAX_ITEMS;
    value_item(tree, tree.root(), MAX_DEPTH, &mut left)
}

fn value_item(tree: &Tree, value: Value, depth: usize, left: &mut usize) -> Item {
    let (Some(deeper), Some(fewer)) = (depth.checked_sub(1), left.checked_sub(1)) else { return Item::Other };
    *left = fewer;
    if let Some(tensor) = tree.tensor(value) {
        return Item::Array(Numbers::Stored(tensor.clone()));
    }
    if let Some(entries) = tree.entries(value) {
        let mut items: Vec<(String, Item)> = Vec::new();
        for &(key, entry) in entries {
            let key = match (tree.text(key), tree.number(key)) {
                (Some(text), _) => text.to_owned(),
                (None, Some(number)) => number.to_string(),
                (None, None) => continue,
            };
            items.push((key, value_item(tree, entry, deeper, left)));
        }
        return Item::Map(items);
    }
    if let Some(values) = tree.items(value) {
        return list_item(values.iter().map(|&value| value_item(tree, value, deeper, left)).collect());
    }
    if let Some(object) = tree.object(value) {
        // An object's attributes; numpy's arrays of objects keep them in a tuple.
        return value_item(tree, object.state, deeper, left);
    }
    tree.number(value).map_or(Item::Other, |number| Item::Number(number as f32))
}
