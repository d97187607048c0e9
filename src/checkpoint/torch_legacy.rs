//! Files of PyTorch before 1.6: four pickles, then a list of storage keys, then the storages one after the other.

use std::collections::HashMap;

use super::budget::Budget;
use super::bytes::Bytes;
use super::error::Broken;
use super::pickle::{self, NoStorages, Pickled, StorageId, Storages};
use super::tensor::DType;
use super::tree::{Node, Storage, Tree, Value};
use crate::limits;

/// The number 0x1950a86a20f9469cfc6c as a pickle of protocol 2.
pub(super) const MAGIC: [u8; 15] =
    [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
const PROTOCOL: i64 = 1001;

pub(super) fn read(file: &Bytes, budget: &mut Budget<'_>) -> Result<Pickled, Broken> {
    if file.array(0).map_err(|gone| Broken::new("byte 0", gone))? != Some(MAGIC) {
        return Err(Broken::new("byte 0", "expected the magic number of a PyTorch file"));
    }
    let version = pickle::read(file, MAGIC.len(), "version", &mut NoStorages, budget)?;
    if version.tree.root() != Value::Int(PROTOCOL) {
        let found = version.tree.describe(version.tree.root());
        return Err(Broken::new("version", format!("expected {PROTOCOL}, found {found}")));
    }
    let system = pickle::read(file, version.end, "system", &mut NoStorages, budget)?;
    if system.tree.get(system.tree.root(), "little_endian") == Some(Value::Bool(false)) {
        return Err(Broken::new("system", "expected little-endian numbers, found a file of a big-endian machine"));
    }
    // Where a storage lies is known only after the object that refers to it: read once to find the end and the element
    // types, once more for the values.
    let mut seen = Seen::default();
    let skipped = pickle::read(file, system.end, "object", &mut seen, budget)?;
    let keys = pickle::read(file, skipped.end, "storage keys", &mut NoStorages, budget)?;
    let mut table = Table { bytes: locate(file, &keys.tree, keys.end, &seen)? };
    let object = pickle::read(file, system.end, "object", &mut table, budget)?;
    Ok(Pickled { end: file.len(), ..object })
}

/// A whole file that holds one storage; `None` if its element type is not known.
pub(super) fn read_storage(file: &Bytes, budget: &mut Budget<'_>) -> Result<Option<Storage>, Broken> {
    let pickled = read(file, budget)?;
    match pickled.tree.node(pickled.tree.root()) {
        Some(Node::Storage(storage)) => Ok(Some(storage.clone())),
        _ => Ok(None),
    }
}

/// Element type of every storage that the object mentions.
#[derive(Default)]
struct Seen(HashMap<String, DType>);

impl Storages for Seen {
    fn storage(&mut self, id: &StorageId<'_>) -> Result<Option<Bytes>, String> {
        self.0.insert(id.key.into(), id.dtype);
        Ok(None)
    }
}

struct Table {
    bytes: HashMap<String, Bytes>,
}

impl Storages for Table {
    fn storage(&mut self, id: &StorageId<'_>) -> Result<Option<Bytes>, String> {
        let bytes = self.bytes.get(id.key).cloned();
        bytes.map(Some).ok_or_else(|| format!("storage {:?} is not in the file's list of storages", id.key))
    }
}

/// Finds the storages from byte `at` on: for each key an i64 number of elements, then the elements.
fn locate(file: &Bytes, keys: &Tree, mut at: usize, seen: &Seen) -> Result<HashMap<String, Bytes>, Broken> {
    let broken = |what: String| Broken::new("storage keys", what);
    let list = keys.items(keys.root());
    let list = list.ok_or_else(|| broken(format!("expected a list, found {}", keys.describe(keys.root()))))?;
    let mut found = HashMap::new();
    for &key in list {
        let text = keys.text(key).filter(|key| key.len() <= limits::STORAGE_KEY);
        let key = text.ok_or_else(|| broken(format!("expected a short text, found {}", keys.describe(key))))?;
        let dtype = *seen
            .0
            .get(key)
            .ok_or_else(|| broken(format!("storage {key:?} is of a type that is not read, or nothing refers to it")))?;
        let numel = file.array(at).map_err(|gone| broken(gone.into()))?.map(i64::from_le_bytes);
        let end = numel.and_then(|numel| usize::try_from(numel).ok()?.checked_mul(dtype.size())?.checked_add(at + 8));
        let bytes = end.and_then(|end| file.slice(at + 8..end));
        let (Some(end), Some(bytes)) = (end, bytes) else {
            let expected = numel.map_or_else(|| "its length".into(), |numel| format!("{numel} elements of {dtype}"));
            let left = file.len().saturating_sub(at);
            return Err(Broken::new(
                format!("byte {at}, storage {key:?}"),
                format!("expected {expected}, {left} bytes are left. The file is incomplete: fetch it again"),
            ));
        };
        found.insert(key.into(), bytes);
        at = end;
    }
    Ok(found)
}
