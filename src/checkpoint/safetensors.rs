//! safetensors files: a JSON header of names, shapes and offsets, then the numbers.

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors};

use super::bytes::Bytes;
use super::error::Broken;
use super::tensor::{DType, Tensor};
use super::tree::{Node, Tree};

/// The length of the header, if the bytes look like such a file.
pub(super) fn header_len(file: &[u8]) -> Option<u64> {
    let len = u64::from_le_bytes(*file.first_chunk()?);
    // The format's own limit on headers, 100 MB.
    (file.get(8) == Some(&b'{') && (2..=100_000_000).contains(&len)).then_some(len)
}

/// A map of tensors in the order of their data, and the file's texts on itself.
pub(super) fn read(file: &Bytes) -> Result<(Tree, BTreeMap<String, String>), Broken> {
    let (header, metadata) = SafeTensors::read_metadata(file).map_err(|error| {
        let len = file.len();
        Broken::new("header", format!("{error}. The file ({len} bytes) is incomplete or was changed: fetch it again"))
    })?;
    let mut tree = Tree::new();
    let mut entries = Vec::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        // Types that no layout here knows (8-bit floats, say) are left out; if they matter, the layout misses them.
        let Some(dtype) = dtype(info.dtype) else { continue };
        let (start, end) = info.data_offsets;
        let bytes = start.checked_add(8 + header).zip(end.checked_add(8 + header));
        let bytes = bytes.and_then(|(start, end)| file.slice(start..end));
        let tensor = bytes.ok_or_else(|| "its data lies outside the file".to_string());
        let tensor = tensor.and_then(|bytes| Tensor::contiguous(dtype, info.shape.clone(), bytes));
        let tensor = tensor.map_err(|what| Broken::new(format!("tensor {name}"), what))?;
        let key = tree.add(Node::Text(name.into()));
        entries.push((key, tree.add(Node::Tensor(tensor))));
    }
    let root = tree.add(Node::Map(entries));
    tree.set_root(root);
    let texts = metadata.metadata().iter().flatten().map(|(key, text)| (key.clone(), text.clone())).collect();
    Ok((tree, texts))
}

fn dtype(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        Dtype::U8 => DType::U8,
        Dtype::I8 => DType::I8,
        Dtype::I16 => DType::I16,
        Dtype::I32 => DType::I32,
        Dtype::I64 => DType::I64,
        Dtype::BOOL => DType::Bool,
        _ => return None,
    })
}
