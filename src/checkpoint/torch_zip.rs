//! Zip files of PyTorch 1.6 and later: `data.pkl` beside one entry per storage.
//!
//! PyTorch stores its entries uncompressed, so they are used where they lie in the file; entries that another tool has
//! compressed are inflated.

use std::collections::HashMap;
use std::io::{BufReader, Read};

use zip::read::{ArchiveOffset, Config};
use zip::{CompressionMethod, ZipArchive};

use super::budget::Budget;
use super::bytes::{Bytes, Stream};
use super::error::Broken;
use super::pickle::{self, Pickled, StorageId, Storages};
use crate::progress::silent;

/// What kind of zip file it is, by the names of its entries.
pub(super) enum Kind {
    Torch,
    TorchScript,
    /// Arrays of `numpy.savez`.
    Arrays,
    /// `config.json` and `model.weights.h5`.
    Keras,
    Other {
        entries: usize,
        first: String,
    },
}

/// Nothing stands before a checkpoint's first entry. Looking for where the archive starts instead, the zip crate takes another
/// header for the first one where PyTorch's zip64 records lie as they do for a stem of 21 bytes.
pub(crate) const FROM_THE_START: Config = Config { archive_offset: ArchiveOffset::Known(0) };

/// A zip file whose central directory was read.
pub(super) struct Zip<'a> {
    file: &'a Bytes,
    archive: ZipArchive<BufReader<Stream>>,
    /// Entry name -> number.
    entries: HashMap<String, usize>,
}

impl<'a> Zip<'a> {
    pub(super) fn open(file: &'a Bytes) -> Result<Zip<'a>, Broken> {
        let archive = ZipArchive::with_config(FROM_THE_START, BufReader::new(Stream::new(file.clone())));
        let archive = archive.map_err(|error| {
            let len = file.len();
            Broken::new("central directory", format!("{error}. The file ({len} bytes) is incomplete: fetch it again"))
        })?;
        let mut entries = HashMap::new();
        for number in 0..archive.len() {
            if let Some(Ok(name)) = archive.name_for_index(number) {
                entries.insert(name.into_owned(), number);
            }
        }
        Ok(Zip { file, archive, entries })
    }

    pub(super) fn kind(&self) -> Kind {
        let has = |test: &dyn Fn(&str) -> bool| self.entries.keys().any(|name| test(name));
        if has(&|name| name.ends_with("constants.pkl")) && has(&|name| name.contains("/code/")) {
            Kind::TorchScript
        } else if has(&|name| name == "config.json") && has(&|name| name == "model.weights.h5") {
            Kind::Keras
        } else if has(&|name| name == "data.pkl" || name.ends_with("/data.pkl")) {
            Kind::Torch
        } else if has(&|name| name.ends_with(".npy")) {
            Kind::Arrays
        } else {
            let first = self.entries.iter().min_by_key(|(_, number)| **number);
            Kind::Other { entries: self.entries.len(), first: first.map(|(name, _)| name.clone()).unwrap_or_default() }
        }
    }

    pub(super) fn read(mut self, budget: &mut Budget<'_>) -> Result<Pickled, Broken> {
        let root = self.root(budget)?;
        self.pickle(&root, "data.pkl", "data/", budget)
    }

    /// The folder of everything, with its slash; checked to hold numbers of this machine's order.
    pub(super) fn root(&mut self, budget: &mut Budget<'_>) -> Result<String, Broken> {
        let programs = self.entries.keys().filter_map(|name| name.strip_suffix("data.pkl"));
        let mut roots = programs.filter(|root| root.is_empty() || root.ends_with('/'));
        let (Some(root), None) = (roots.next(), roots.next()) else {
            return Err(Broken::new("central directory", "expected one data.pkl, found several"));
        };
        let root = root.to_string();
        let order = format!("{root}byteorder");
        if self.entries.contains_key(&order) && !self.is_little(&order, budget)? {
            return Err(Broken::new(order, "expected little-endian numbers, found a file of a big-endian machine"));
        }
        Ok(root)
    }

    fn is_little(&mut self, order: &str, budget: &mut Budget<'_>) -> Result<bool, Broken> {
        let bytes = self.named(order, budget)?;
        let bytes = bytes.slice(0..bytes.len().min(64)).unwrap_or(bytes);
        let text = bytes.load().map_err(|gone| Broken::new(order, gone))?;
        Ok(text.trim_ascii() == b"little")
    }

    /// All entries, in the order of the file.
    pub(super) fn names_in_order(&self) -> Vec<String> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(_, number)| **number);
        entries.into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// A pickle of the folder `root`, whose storages are entries of the folder `storages` in it.
    pub(super) fn pickle(
        &mut self,
        root: &str,
        name: &str,
        storages: &str,
        budget: &mut Budget<'_>,
    ) -> Result<Pickled, Broken> {
        let program = self.named(&format!("{root}{name}"), budget)?;
        // Its own allowance, because the pickle's budget is busy while storages are fetched.
        let mut report = silent;
        let own = Budget::new(self.file.len(), &mut report);
        let folder = format!("{root}{storages}");
        let mut storages = ZipStorages { zip: self, folder, budget: own, known: HashMap::new() };
        pickle::read(&program, 0, name, &mut storages, budget)
    }

    pub(super) fn named(&mut self, name: &str, budget: &mut Budget<'_>) -> Result<Bytes, Broken> {
        self.entry(name, budget).map_err(|what| Broken::new(format!("entry {name}"), what))
    }

    /// The content of an entry.
    fn entry(&mut self, name: &str, budget: &mut Budget<'_>) -> Result<Bytes, String> {
        let number = *self.entries.get(name).ok_or("there is no such entry in the file")?;
        let describe = |error: zip::result::ZipError| format!("cannot be read: {error}");
        let entry = self.archive.by_index_raw(number).map_err(describe)?;
        if entry.encrypted() {
            return Err("is encrypted".into());
        }
        if entry.compression() == CompressionMethod::Stored {
            if entry.compressed_size() != entry.size() {
                return Err(format!("claims {} bytes stored as {}", entry.size(), entry.compressed_size()));
            }
            let range = entry.data_start().and_then(|start| Some(start..start.checked_add(entry.size())?));
            let range = range.and_then(|r| Some(usize::try_from(r.start).ok()?..usize::try_from(r.end).ok()?));
            let bytes = range.and_then(|range| self.file.slice(range));
            return bytes.ok_or_else(|| format!("claims {} bytes, more than the file has", entry.size()));
        }
        let size = entry.size();
        drop(entry);
        budget.inflate(size)?;
        let entry = self.archive.by_index(number).map_err(describe)?;
        let mut bytes = Vec::new();
        // The claimed size was paid for; one byte more shows a lie.
        let read = entry.take(size + 1).read_to_end(&mut bytes);
        read.map_err(|error| format!("cannot be inflated: {error}"))?;
        if bytes.len() as u64 != size {
            return Err(format!("claims {size} bytes and has {}", bytes.len()));
        }
        Ok(bytes.into())
    }
}

struct ZipStorages<'a, 'b, 'r> {
    zip: &'a mut Zip<'b>,
    folder: String,
    budget: Budget<'r>,
    /// Storages that were asked for before: tensors may share one, and it is inflated once.
    known: HashMap<String, Bytes>,
}

impl Storages for ZipStorages<'_, '_, '_> {
    fn storage(&mut self, id: &StorageId<'_>) -> Result<Option<Bytes>, String> {
        if let Some(bytes) = self.known.get(id.key) {
            return Ok(Some(bytes.clone()));
        }
        let name = format!("{}{}", self.folder, id.key);
        let bytes = self.zip.entry(&name, &mut self.budget).map_err(|what| format!("entry {name}: {what}"))?;
        self.known.insert(id.key.into(), bytes.clone());
        Ok(Some(bytes))
    }
}
