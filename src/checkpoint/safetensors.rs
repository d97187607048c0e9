//! safetensors files: a JSON header of names, shapes and offsets, then the numbers.

use std::collections::BTreeMap;

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::bytes::{Bytes, Unreadable};
use super::error::Broken;
use super::tensor::{DType, Tensor};
use super::tree::{Node, Object, Tree};
use crate::limits;

/// Bytes of the header's length, before the header.
const LENGTH: usize = 8;

/// The length of the header, if the first bytes look like such a file.
pub(super) fn header_len(head: &[u8]) -> Option<usize> {
    let len = u64::from_le_bytes(*head.first_chunk()?);
    let likely = head.get(LENGTH) == Some(&b'{') && (2..=limits::SAFETENSORS_HEADER).contains(&len);
    likely.then(|| usize::try_from(len).ok())?
}

/// True if the file has a header of the length it names, from brace to brace. Then it is of this format whatever the bytes of
/// that length spell: 640 starts as a pickle does.
pub(super) fn is_sound(file: &Bytes) -> Result<bool, Unreadable> {
    let Some(len) = file.array::<9>(0)?.and_then(|head| header_len(&head)) else { return Ok(false) };
    // Writers fill up with spaces to a multiple of eight; nobody fills up with more than a line.
    let end = LENGTH + len;
    let Some(tail) = file.slice(end - len.min(128)..end) else { return Ok(false) };
    Ok(tail.load()?.trim_ascii_end().ends_with(b"}"))
}

/// A map of tensors in the order of their data, and the file's texts on itself.
pub(super) fn read(file: &Bytes) -> Result<(Tree, BTreeMap<String, String>), Broken> {
    let broken = |what: String| {
        let len = file.len();
        Broken::new("header", format!("{what}. The file ({len} bytes) is incomplete or was changed: fetch it again"))
    };
    let gone = |gone: Unreadable| Broken::new("header", gone);
    let len = file.array::<9>(0).map_err(gone)?.and_then(|head| header_len(&head));
    let data = LENGTH + len.ok_or_else(|| broken("expected the length of the header and an opening brace".into()))?;
    let header = file.slice(LENGTH..data).ok_or_else(|| broken(format!("the header ends at byte {data}")))?;
    let metadata: Metadata =
        serde_json::from_slice(&header.load().map_err(gone)?).map_err(|error| broken(error.to_string()))?;
    let expected = metadata.data_len().checked_add(data);
    if expected != Some(file.len()) {
        return Err(broken(format!("the tensors end at byte {}", expected.unwrap_or(usize::MAX))));
    }
    let mut tree = Tree::new();
    let mut entries = Vec::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let Some(dtype) = dtype(info.dtype) else {
            let key = tree.add(Node::Text(name.into()));
            entries.push((key, tree.add(Node::Object(Object::unread(format!("a tensor of type {:?}", info.dtype))))));
            continue;
        };
        let (start, end) = info.data_offsets;
        let bytes = start.checked_add(data).zip(end.checked_add(data));
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
        Dtype::F8_E4M3 => DType::F8E4M3,
        Dtype::F8_E4M3FNUZ => DType::F8E4M3Fnuz,
        Dtype::F8_E5M2 => DType::F8E5M2,
        Dtype::F8_E5M2FNUZ => DType::F8E5M2Fnuz,
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
