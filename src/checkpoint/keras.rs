//! Keras files: weights in HDF5, and the network as JSON beside them (`.keras`) or in an attribute (whole models in `.h5`).
//!
//! HDF5 is read by a crate. It checks sizes before it allocates; that it may panic all the same is caught here, and what
//! it may read is bounded by the budget and by the length of the file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hdf5_reader::group::Group;
use hdf5_reader::{Dataset, Datatype, Hdf5File, OpenOptions, Storage, StorageBuffer};

use super::budget::Budget;
use super::bytes::Bytes;
use super::error::Broken;
use super::tensor::{DType, Tensor};
use super::torch_zip::Zip;
use super::tree::{Node, Tree};

/// First bytes of an HDF5 file.
pub(super) const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Groups within groups: layers of models within models.
const MAX_DEPTH: usize = 12;
/// Groups and datasets; a group may be reached on several ways, and counts each time.
const MAX_MEMBERS: usize = 20_000;
/// Axes of a dataset.
const MAX_AXES: usize = 8;
/// Longest path of a dataset, joined by slashes.
const MAX_PATH: usize = 1024;
/// Bytes of the JSON that describes a network.
const MAX_CONFIG: usize = 4 << 20;
/// Numbers of a compressed file per byte of it, and what goes without saying.
const PER_BYTE: usize = 16;
const SMALL: usize = 1 << 20;
const CHUNK: usize = 64 << 20;

/// What a Keras file says of its network. Its weights are the tree's tensors, by path.
#[derive(Debug, Default)]
pub struct KerasNetwork {
    /// The network as JSON; `None` in files of weights alone.
    pub config: Option<String>,
    /// Paths of groups of weights whose layer is named by an attribute: (path, name of the layer).
    pub layers: Vec<(String, String)>,
}

/// A `.keras` file.
pub(super) fn read_zip(zip: &mut Zip<'_>, budget: &mut Budget<'_>) -> Result<(Tree, KerasNetwork), Broken> {
    let config = zip.named("config.json", budget)?;
    if config.len() > MAX_CONFIG {
        return Err(Broken::new(
            "entry config.json",
            format!("{} bytes, expected a description of layers", config.len()),
        ));
    }
    let config = config.load().map_err(|gone| Broken::new("entry config.json", gone))?;
    let config = String::from_utf8_lossy(&config).into_owned();
    let weights = zip.named("model.weights.h5", budget)?;
    let (tree, network) = read_hdf5(&weights, budget)?;
    Ok((tree, KerasNetwork { config: Some(config), ..network }))
}

/// An HDF5 file: the tensors by path, and the network if an attribute has it.
pub(super) fn read_hdf5(file: &Bytes, budget: &mut Budget<'_>) -> Result<(Tree, KerasNetwork), Broken> {
    let read = catch_unwind(AssertUnwindSafe(|| Reader::read(file, budget)));
    let read = read.unwrap_or_else(|_| Err("cannot be read: its structure is damaged".into()));
    read.map_err(|what| Broken::new("HDF5", what))
}

/// Lends the bytes to the crate.
struct Lent(Bytes);

impl Storage for Lent {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_range(&self, offset: u64, len: usize) -> hdf5_reader::error::Result<StorageBuffer> {
        let end = || hdf5_reader::error::Error::OffsetOutOfBounds(offset);
        let start = usize::try_from(offset).map_err(|_| end())?;
        let part = start.checked_add(len).and_then(|end| self.0.slice(start..end)).ok_or_else(end)?;
        let bytes = part.load().map_err(|gone| hdf5_reader::error::Error::Other(gone.to_string()))?;
        Ok(StorageBuffer::from_vec(bytes.into_owned()))
    }
}

struct Reader<'a, 'b> {
    budget: &'a mut Budget<'b>,
    tree: Tree,
    entries: Vec<(super::tree::Value, super::tree::Value)>,
    network: KerasNetwork,
    members: usize,
    /// Bytes of numbers that may still be read.
    numbers: usize,
}

impl Reader<'_, '_> {
    fn read(file: &Bytes, budget: &mut Budget<'_>) -> Result<(Tree, KerasNetwork), String> {
        let numbers = file.len().saturating_mul(PER_BYTE).saturating_add(SMALL);
        let options = OpenOptions::default()
            .with_chunk_cache_bytes(0)
            .with_max_chunk_bytes(CHUNK)
            .with_max_read_bytes(numbers)
            .with_max_object_header_bytes(MAX_CONFIG);
        let hdf5 = Hdf5File::from_storage_with_options(Arc::new(Lent(file.clone())), options)
            .map_err(|error| error.to_string())?;
        let end = hdf5.superblock().eof_address;
        if end != u64::MAX && end > file.len() as u64 {
            return Err(format!("ends after {} bytes and should have {end}: the file is incomplete", file.len()));
        }
        let root = hdf5.root_group().map_err(|error| error.to_string())?;
        let network = KerasNetwork::default();
        let (tree, entries) = (Tree::new(), Vec::new());
        let mut reader = Reader { budget, tree, entries, network, members: MAX_MEMBERS, numbers };
        // A network without this attribute, or one of another kind, is a file of weights.
        reader.network.config = reader.text(&root, "model_config")?;
        reader.group(&root, "", 0)?;
        let Reader { mut tree, entries, network, .. } = reader;
        let root = tree.add(Node::Map(entries));
        tree.set_root(root);
        Ok((tree, network))
    }

    fn text(&mut self, group: &Group, name: &str) -> Result<Option<String>, String> {
        let text = group.attribute(name).and_then(|attribute| attribute.read_string());
        let text = text.ok().filter(|text| text.len() <= MAX_CONFIG);
        self.budget.memory(text.as_ref().map_or(0, String::len))?;
        Ok(text)
    }

    fn spend(&mut self) -> Result<(), String> {
        self.members =
            self.members.checked_sub(1).ok_or_else(|| format!("more than {MAX_MEMBERS} groups and datasets"))?;
        self.budget.memory(1024)
    }

    fn group(&mut self, group: &Group, path: &str, depth: usize) -> Result<(), String> {
        self.spend()?;
        if depth > MAX_DEPTH {
            return Err(format!("groups within groups, deeper than {MAX_DEPTH}"));
        }
        if path.ends_with("vars")
            && let Some(name) = self.text(group, "name")?
        {
            self.network.layers.push((path.into(), name));
        }
        let (groups, datasets) = group.members().map_err(|error| error.to_string())?;
        for dataset in &datasets {
            self.dataset(dataset, path)?;
        }
        for child in &groups {
            // Optimisers have weights of every layer once more.
            if path.is_empty() && matches!(child.name(), "optimizer" | "optimizer_weights") {
                continue;
            }
            let path = join(path, child.name())?;
            self.group(child, &path, depth + 1)?;
        }
        Ok(())
    }

    fn dataset(&mut self, dataset: &Dataset, path: &str) -> Result<(), String> {
        self.spend()?;
        let name = join(path, dataset.name())?;
        let Some(dtype) = dtype(dataset.dtype()) else { return Ok(()) };
        let shape: Option<Vec<usize>> = dataset.shape().iter().map(|&axis| usize::try_from(axis).ok()).collect();
        let shape =
            shape.filter(|shape| shape.len() <= MAX_AXES).ok_or_else(|| format!("{name}: its shape is no tensor's"))?;
        let len = dataset.raw_byte_len().map_err(|error| error.to_string())?;
        let left = self.numbers.checked_sub(len);
        self.numbers = left.ok_or_else(|| format!("{name}: claims {len} bytes, more than the file can have"))?;
        self.budget.inflate(len as u64)?;
        let bytes = dataset.read_native_bytes().map_err(|error| error.to_string())?;
        let tensor = Tensor::contiguous(dtype, shape, bytes.into()).map_err(|what| format!("{name}: {what}"))?;
        let key = self.tree.add(Node::Text(name.into()));
        self.entries.push((key, self.tree.add(Node::Tensor(tensor))));
        Ok(())
    }
}

fn join(path: &str, name: &str) -> Result<String, String> {
    let name = name.rsplit('/').next().unwrap_or(name);
    if path.len() + name.len() > MAX_PATH {
        return Err(format!("a path of more than {MAX_PATH} bytes"));
    }
    Ok(if path.is_empty() { name.into() } else { format!("{path}/{name}") })
}

/// Numbers that networks are made of; others are left out.
fn dtype(datatype: &Datatype) -> Option<DType> {
    match datatype {
        Datatype::FloatingPoint { size: 2, .. } => Some(DType::F16),
        Datatype::FloatingPoint { size: 4, .. } => Some(DType::F32),
        Datatype::FloatingPoint { size: 8, .. } => Some(DType::F64),
        _ => None,
    }
}
