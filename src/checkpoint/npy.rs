//! The header of NumPy's array files, and archives of such files (`numpy.savez`).
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>. The header is the text of a Python
//! dictionary; three keys are picked out of it and nothing is evaluated, so no header can recurse or allocate.

use super::budget::Budget;
use super::bytes::Bytes;
use super::calls::array_strides;
use super::error::Broken;
use super::numpy::element_type;
use super::tensor::Tensor;
use super::torch_zip::Zip;
use super::tree::{Node, Object, Tree};
use crate::limits;

pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

/// What an npy file says of its array.
pub(crate) struct Header {
    /// Element type as in Python: `'<f4'` with its quotes, or a list for records.
    pub(crate) descr: String,
    pub(crate) fortran: bool,
    pub(crate) shape: Vec<usize>,
    /// Offset of the numbers.
    pub(crate) data_at: usize,
}

impl Header {
    /// Reads the first bytes of a file; `None` if they are no such header.
    pub(crate) fn parse(start: &[u8]) -> Option<Header> {
        let rest = start.strip_prefix(MAGIC)?;
        let (version, rest) = rest.split_first_chunk::<2>()?;
        let (length, rest) = match version[0] {
            1 => rest.split_first_chunk::<2>().map(|(n, rest)| (u16::from_le_bytes(*n) as usize, rest))?,
            2 | 3 => rest.split_first_chunk::<4>().map(|(n, rest)| (u32::from_le_bytes(*n) as usize, rest))?,
            _ => return None,
        };
        let header = rest.get(..length).filter(|_| length <= limits::NPY_HEADER)?;
        let data_at = start.len() - rest.len() + length;
        let header = str::from_utf8(header).ok()?;
        let fortran = match entry(header, "fortran_order")? {
            text if text.starts_with("True") => true,
            text if text.starts_with("False") => false,
            _ => return None,
        };
        let shape = parse_shape(entry(header, "shape")?)?;
        Some(Header { descr: entry(header, "descr")?.into(), fortran, shape, data_at })
    }

    /// The element type without quotes and without what follows; `None` for records.
    pub(crate) fn code(&self) -> Option<&str> {
        Some(self.descr.strip_prefix('\'')?.split_once('\'')?.0)
    }
}

/// The text after `'key':`.
fn entry<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let quoted = format!("'{key}'");
    let after = &header[header.find(&quoted)? + quoted.len()..];
    Some(after.trim_start().strip_prefix(':')?.trim_start())
}

/// `(3, 512)`, `(3,)` or `()`.
fn parse_shape(text: &str) -> Option<Vec<usize>> {
    let (inner, _) = text.strip_prefix('(')?.split_once(')')?;
    let sizes = inner.split(',').map(str::trim);
    sizes.filter(|size| !size.is_empty()).map(|size| size.parse().ok()).collect()
}

/// A map of the arrays of an npz file by their names, in the order of the file.
pub(super) fn read_archive(mut zip: Zip, budget: &mut Budget<'_>) -> Result<Tree, Broken> {
    let mut tree = Tree::new();
    let mut entries = Vec::new();
    for entry in zip.names_in_order() {
        let Some(name) = entry.strip_suffix(".npy") else { continue };
        let broken = |what: String| Broken::new(format!("array {name}"), what);
        let array = array(zip.named(&entry, budget)?).map_err(broken)?;
        budget.memory(name.len() + 2 * size_of::<Node>()).map_err(broken)?;
        let key = tree.add(Node::Text(name.into()));
        entries.push((key, tree.add(array)));
    }
    let root = tree.add(Node::Map(entries));
    tree.set_root(root);
    Ok(tree)
}

fn array(file: Bytes) -> Result<Node, String> {
    let start = file.slice(0..file.len().min(12 + limits::NPY_HEADER)).unwrap_or_else(|| file.clone());
    let header = Header::parse(&start.load()?).ok_or("damaged or truncated npy header")?;
    let code = header.code().unwrap_or("records");
    if code.starts_with('>') {
        return Err("expected a little-endian array, found a big-endian one".into());
    }
    let Some(dtype) = element_type(code) else {
        return Ok(Node::Object(Object::unread(format!("a numpy array of type {code:.40}"))));
    };
    let data = file.slice(header.data_at..file.len()).ok_or("damaged or truncated npy header")?;
    let strides = array_strides(&header.shape, header.fortran);
    let strides = strides.ok_or_else(|| format!("an array of shape {:?}", header.shape))?;
    Tensor::new(dtype, header.shape, strides, 0, data).map(Node::Tensor)
}
