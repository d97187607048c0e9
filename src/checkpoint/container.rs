//! Which kind of file it is, by its content. Extensions say nothing: .pt, .pth, .bin and .pkl are used for each other.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;

use super::budget::Budget;
use super::bytes::{Bytes, Unreadable};
use super::error::{Broken, CheckpointError};
use super::keras::KerasNetwork;
use super::onnx::Graph;
use super::pickle::{self, NoStorages, Pickled};
use super::torch_script::Script;
use super::torch_zip::{Kind, Zip};
use super::tree::Tree;
use super::{keras, npy, onnx, safetensors, stranger, torch_legacy, torch_script};
use crate::limits;
use crate::progress::{Cancelled, Progress, Report, silent};

/// Kinds of files that hold weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Container {
    #[serde(rename = "torch zip")]
    TorchZip,
    #[serde(rename = "numpy arrays")]
    NumpyArrays,
    #[serde(rename = "torch legacy")]
    TorchLegacy,
    #[serde(rename = "safetensors")]
    Safetensors,
    #[serde(rename = "python pickle")]
    PythonPickle,
    #[serde(rename = "torchscript")]
    TorchScript,
    #[serde(rename = "onnx")]
    Onnx,
    #[serde(rename = "keras")]
    Keras,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Container::TorchZip => "torch zip",
            Container::NumpyArrays => "numpy arrays",
            Container::TorchLegacy => "torch legacy",
            Container::Safetensors => "safetensors",
            Container::PythonPickle => "python pickle",
            Container::TorchScript => "TorchScript",
            Container::Onnx => "ONNX",
            Container::Keras => "Keras",
        })
    }
}

/// What a network computes, in the words of its file; what they mean is for `layout` to say. None of it is ever run.
#[derive(Debug)]
pub enum Program {
    Onnx(Graph),
    TorchScript(Script),
    Keras(KerasNetwork),
}

/// An opened file: its values, with tensors still in the file.
#[derive(Debug)]
pub struct Checkpoint {
    /// The file's name, for messages.
    pub file: String,
    pub container: Container,
    pub tree: Tree,
    /// Texts that a safetensors file says of itself.
    pub metadata: BTreeMap<String, String>,
    /// The config.json beside the file, as text, if there is one; Hugging Face keeps some numbers there.
    pub config: Option<String>,
    /// True if the file names program code that a Python reader would run. It is never run here.
    pub carries_code: bool,
    /// Bytes of the file.
    pub file_len: u64,
    /// What the network computes, for files that say so.
    pub program: Option<Program>,
    /// Path of the network to use, such as "g_ema"; `None`: the likeliest.
    pub network: Option<String>,
}

impl Checkpoint {
    /// Reads the structure of a file. Numbers stay on disk until a tensor is asked for.
    ///
    /// # Errors
    /// The file cannot be read, is not a checkpoint, or is damaged; or `report` stopped the work.
    pub fn open(path: &Path, report: Report<'_>) -> Result<Checkpoint, CheckpointError> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let io_error = |source| CheckpointError::Io { file: path.display().to_string(), source };
        // Asked before opening, because opening a pipe would wait for somebody to write.
        let facts = match path.metadata() {
            Err(_) if is_web_address(path) => {
                return Err(refused(
                    &path.to_string_lossy(),
                    "this is a web address",
                    "Fetch the file, then open it from the disk",
                ));
            }
            facts => facts.map_err(io_error)?,
        };
        if facts.is_dir() {
            return Err(refused(&name, "this is a folder", "Choose the checkpoint file inside it"));
        }
        if !facts.is_file() {
            return Err(refused(&name, "this is a device or a pipe", EXPECTED));
        }
        let file = File::open(path).map_err(io_error)?;
        let len = file.metadata().map_err(io_error)?.len();
        report(Progress { stage: "reading the file".into(), done: 0, total: len })?;
        if len == 0 {
            return Err(refused(&name, "the file is empty", "Fetch it again"));
        }
        let bytes = Bytes::of_file(file).map_err(io_error)?;
        let folder = path.parent();
        let checkpoint = Checkpoint { config: config_beside(path), ..Checkpoint::read(bytes, &name, folder, report)? };
        report(Progress { stage: "reading the file".into(), done: len, total: len })?;
        Ok(checkpoint)
    }

    /// Reads a checkpoint that is part of the program; nothing is copied.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn from_static(bytes: &'static [u8], name: &str) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::from_bytes(bytes, name)
    }

    /// Reads a checkpoint from memory; `name` stands for the file in messages.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn from_bytes(bytes: impl Into<Bytes>, name: &str) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::read(bytes.into(), name, None, &mut silent)
    }

    /// `folder` is where the file lies, for those that keep tensors in other files beside them.
    fn read(
        bytes: Bytes,
        name: &str,
        folder: Option<&Path>,
        report: Report<'_>,
    ) -> Result<Checkpoint, CheckpointError> {
        let gone = |gone: Unreadable| CheckpointError::Io { file: name.into(), source: io::Error::other(gone) };
        let container = recognise(&Start::read(&bytes).map_err(gone)?, name)?;
        let mut budget = Budget::new(bytes.len(), report);
        let content = read(container, &bytes, name, folder, &mut budget);
        let content = if budget.is_cancelled() { Err(Cancelled.into()) } else { content };
        let Content { container, tree, metadata, carries_code, program } = content?;
        let file_len = bytes.len() as u64;
        Ok(Checkpoint {
            file: name.into(),
            container,
            tree,
            metadata,
            config: None,
            carries_code,
            file_len,
            program,
            network: None,
        })
    }
}

/// `https://..` and its like.
fn is_web_address(path: &Path) -> bool {
    let scheme = path.to_str().and_then(|text| Some(text.split_once(":/")?.0));
    scheme.is_some_and(|scheme| scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// `config.json`, or `{prefix}config.json` beside `{prefix}pytorch_model.bin`; `None` also if it is too long to be one.
fn config_beside(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let prefix = name.strip_suffix("pytorch_model.bin").unwrap_or_default();
    let config = path.with_file_name(format!("{prefix}config.json"));
    let facts = config.metadata().ok().filter(|facts| facts.is_file() && facts.len() <= limits::CONFIG)?;
    let mut text = String::with_capacity(usize::try_from(facts.len()).ok()?);
    File::open(config).ok()?.take(limits::CONFIG).read_to_string(&mut text).ok()?;
    Some(text)
}

fn refused(file: &str, found: impl Into<String>, advice: &'static str) -> CheckpointError {
    CheckpointError::Refused { file: file.into(), found: found.into(), advice }
}

struct Content {
    container: Container,
    tree: Tree,
    metadata: BTreeMap<String, String>,
    carries_code: bool,
    program: Option<Program>,
}

impl Content {
    fn new(container: Container, tree: Tree, program: Option<Program>) -> Content {
        Content { container, tree, metadata: BTreeMap::new(), carries_code: false, program }
    }
}

fn read(
    container: Container,
    bytes: &Bytes,
    name: &str,
    folder: Option<&Path>,
    budget: &mut Budget<'_>,
) -> Result<Content, CheckpointError> {
    let broken_as = |container| move |source: Broken| CheckpointError::Broken { file: name.into(), container, source };
    let broken = broken_as(container);
    let Pickled { tree, carries_code, .. } = match container {
        Container::Safetensors => {
            let (tree, metadata) = safetensors::read(bytes).map_err(broken)?;
            return Ok(Content { metadata, ..Content::new(container, tree, None) });
        }
        Container::Onnx => {
            let (tree, graph) = onnx::read(bytes, folder, budget).map_err(broken)?;
            return Ok(Content::new(container, tree, Some(Program::Onnx(graph))));
        }
        Container::Keras => {
            let (tree, network) = keras::read_hdf5(bytes, budget).map_err(broken)?;
            return Ok(Content::new(container, tree, Some(Program::Keras(network))));
        }
        Container::TorchZip | Container::NumpyArrays | Container::TorchScript => {
            let mut zip = Zip::open(bytes).map_err(broken)?;
            match zip.kind() {
                Kind::Torch => zip.read(budget).map_err(broken)?,
                Kind::Arrays => {
                    let container = Container::NumpyArrays;
                    let tree = npy::read_archive(zip, budget).map_err(broken_as(container))?;
                    return Ok(Content::new(container, tree, None));
                }
                Kind::TorchScript => {
                    let broken = broken_as(Container::TorchScript);
                    let (tree, script) = torch_script::read(&mut zip, budget).map_err(broken)?;
                    let program = Some(Program::TorchScript(script));
                    return Ok(Content { carries_code: true, ..Content::new(Container::TorchScript, tree, program) });
                }
                Kind::Keras => {
                    let (tree, network) = keras::read_zip(&mut zip, budget).map_err(broken_as(Container::Keras))?;
                    return Ok(Content::new(Container::Keras, tree, Some(Program::Keras(network))));
                }
                Kind::Other { entries, first } => {
                    let found = format!("this is a zip file of {entries} entries (first {first:?}) without a data.pkl");
                    return Err(refused(
                        name,
                        found,
                        "Expected a PyTorch file; if the checkpoint is inside, unpack it",
                    ));
                }
            }
        }
        Container::TorchLegacy => torch_legacy::read(bytes, budget).map_err(broken)?,
        Container::PythonPickle => pickle::read(bytes, 0, "pickle", &mut NoStorages, budget).map_err(broken)?,
    };
    Ok(Content { carries_code, ..Content::new(container, tree, None) })
}

const FETCH_AGAIN: &str = "Fetch the file itself again";
const UNPACK: &str = "Unpack it, then open the checkpoint inside";
const EXPECTED: &str = "Expected a PyTorch (.pt, .pth), safetensors, pickle, ONNX or Keras file";
const SAVE_PICKLE: &str =
    "Open the network as NVIDIA's code pickles it, or save its weights with PyTorch or safetensors";

/// First bytes of things that are met under a checkpoint's name, and are none.
const REFUSED: [(&[u8], &str, &str); 14] = [
    (b"model_checkpoint_path:", "this is a part of a TensorFlow checkpoint", SAVE_PICKLE),
    (b"version https://git-lfs", "this is a Git LFS pointer, not the file it stands for", "Fetch it with git lfs pull"),
    (b"\x89PNG", "this is a PNG picture", EXPECTED),
    (b"\xff\xd8\xff", "this is a JPEG picture", EXPECTED),
    (b"GIF8", "this is a GIF picture", EXPECTED),
    (b"%PDF", "this is a PDF document", EXPECTED),
    (b"\x1f\x8b", "this is a gzip archive", UNPACK),
    (b"BZh", "this is a bzip2 archive", UNPACK),
    (b"\xfd7zXZ\0", "this is an xz archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "this is a 7-Zip archive", UNPACK),
    (b"Rar!", "this is a RAR archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "this is a Zstandard archive", UNPACK),
    (b"\x93NUMPY", "this is a numpy array", EXPECTED),
    (b"GGUF", "this is a GGUF language model", EXPECTED),
];

/// What tells the kind of a file.
struct Start {
    /// The first bytes.
    head: Vec<u8>,
    /// The last bytes.
    tail: Vec<u8>,
    is_safetensors: bool,
}

impl Start {
    fn read(bytes: &Bytes) -> Result<Start, Unreadable> {
        const HEAD: usize = 1024;
        const TAIL: usize = 64;
        let part = |range| bytes.slice(range).map_or(Ok(Vec::new()), |part| part.load().map(Cow::into_owned));
        Ok(Start {
            head: part(0..bytes.len().min(HEAD))?,
            tail: part(bytes.len().saturating_sub(TAIL)..bytes.len())?,
            is_safetensors: safetensors::is_sound(bytes)?,
        })
    }
}

fn recognise(start: &Start, name: &str) -> Result<Container, CheckpointError> {
    let bytes = start.head.as_slice();
    if bytes.is_empty() {
        return Err(refused(name, "the file is empty", "Fetch it again"));
    }
    // First, because the bytes of a header's length may spell the start of anything else.
    if start.is_safetensors {
        return Ok(Container::Safetensors);
    }
    if let Some((_, found, advice)) = REFUSED.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return Err(refused(name, *found, advice));
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return Ok(Container::TorchZip);
    }
    if bytes.starts_with(&torch_legacy::MAGIC) {
        return Ok(Container::TorchLegacy);
    }
    if matches!(bytes, [0x80, 2..=5, ..]) {
        return Ok(Container::PythonPickle);
    }
    if safetensors::header_len(bytes).is_some() {
        return Ok(Container::Safetensors);
    }
    if bytes.starts_with(keras::HDF5) {
        return Ok(Container::Keras);
    }
    if onnx::matches(bytes) {
        return Ok(Container::Onnx);
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Err(refused(
            name,
            "this is a tar archive",
            "If PyTorch before 0.1.10 wrote it, load it there and save it again; otherwise unpack it",
        ));
    }
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    if ["<!doctype", "<html", "<head", "<?xml"].iter().any(|tag| text.starts_with(tag)) {
        return Err(refused(name, "this is a web page, probably a download that asked for something", FETCH_AGAIN));
    }
    // Protocols 0 and 1 have no header: the first opcode makes a mark, a list, a map or a name, and STOP is last.
    if matches!(bytes[0], b'(' | b']' | b'}' | b'c') && start.tail.trim_ascii_end().ends_with(b".") {
        return Ok(Container::PythonPickle);
    }
    // TensorFlow's index is a table of LevelDB's format, whose magic number comes last; the numbers beside it have no mark.
    if start.tail.ends_with(b"\x57\xfb\x80\x8b\x24\x75\x47\xdb") || (name.contains(".data-") && name.contains("-of-")) {
        return Err(refused(name, "this is a part of a TensorFlow checkpoint", SAVE_PICKLE));
    }
    if let Some((found, advice)) = stranger::describe(bytes) {
        return Err(refused(name, found, advice));
    }
    let shown: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Err(refused(name, format!("unknown kind of file, its first bytes are {}", shown.join(" ")), EXPECTED))
}
