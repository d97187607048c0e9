//! numpy arrays and scalars inside pickles.

use super::bytes::Bytes;
use super::calls::array_strides;
use super::globals::Meaning;
use super::machine::Machine;
use super::tensor::{DType, Tensor};
use super::tree::{Node, Value};

impl Machine<'_, '_> {
    /// BUILD of an array: `(version, shape, dtype, is_fortran, data)`; `None` for arrays of Python objects.
    pub(super) fn numpy_array(&mut self, state: Value) -> Result<Option<Tensor>, String> {
        let Some(&[_, shape, dtype, fortran, data]) = self.tree.items(state) else { return Ok(None) };
        let Some(dtype) = self.numpy_dtype(dtype)? else { return Ok(None) };
        let Some(data) = self.numpy_data(data)? else { return Ok(None) };
        let fortran = matches!(fortran, Value::Bool(true) | Value::Int(1));
        self.numpy_tensor(dtype, shape, fortran, data).map(Some)
    }

    /// `(dtype, bytes)`.
    pub(super) fn numpy_scalar(&mut self, args: Value) -> Result<Option<Value>, String> {
        let Some(&[dtype, data]) = self.tree.items(args) else { return Ok(None) };
        let Some(dtype) = self.numpy_dtype(dtype)? else { return Ok(None) };
        let Some(data) = self.numpy_data(data)? else { return Ok(None) };
        let tensor = Tensor::contiguous(dtype, Vec::new(), data)?;
        self.add(Node::Tensor(tensor)).map(Some)
    }

    /// `(buffer, dtype, shape, order)`.
    pub(super) fn numpy_from_buffer(&mut self, args: Value) -> Result<Option<Value>, String> {
        let Some(&[data, dtype, shape, order]) = self.tree.items(args) else { return Ok(None) };
        let Some(dtype) = self.numpy_dtype(dtype)? else { return Ok(None) };
        let Some(data) = self.numpy_data(data)? else { return Ok(None) };
        let fortran = self.tree.text(order) == Some("F");
        let tensor = self.numpy_tensor(dtype, shape, fortran, data)?;
        self.add(Node::Tensor(tensor)).map(Some)
    }

    fn numpy_tensor(&self, dtype: DType, shape: Value, fortran: bool, data: Bytes) -> Result<Tensor, String> {
        let shape = self.sizes(shape)?;
        let strides = array_strides(&shape, fortran).ok_or_else(|| format!("an array of shape {shape:?}"))?;
        Tensor::new(dtype, shape, strides, 0, data)
    }

    /// Bytes, or the text of one character per byte that Python 2 wrote.
    fn numpy_data(&mut self, data: Value) -> Result<Option<Bytes>, String> {
        match self.tree.node(data) {
            Some(Node::Bytes(bytes)) => Ok(Some(bytes.clone())),
            Some(Node::Text(text)) => {
                self.budget.memory(text.len())?;
                let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
                Ok(bytes.ok().map(Bytes::from))
            }
            _ => Ok(None),
        }
    }

    /// `dtype("f4", ..)`, whose BUILD state `(3, "<", ..)` holds the byte order; `None` for types that are not read.
    fn numpy_dtype(&self, dtype: Value) -> Result<Option<DType>, String> {
        let Some(object) = self.tree.object(dtype).filter(|object| object.meaning == Meaning::NumpyDType) else {
            return Ok(None);
        };
        let code = self.argument(object.args, 0).and_then(|code| self.tree.text(code)).unwrap_or_default();
        let order = self.argument(object.state, 1).and_then(|order| self.tree.text(order)).unwrap_or("|");
        if order == ">" || code.starts_with('>') {
            return Err("expected a little-endian array, found a big-endian one".into());
        }
        Ok(element_type(code))
    }
}

/// Little-endian types, as numpy writes them: `<f4`.
pub(super) fn element_type(code: &str) -> Option<DType> {
    Some(match code.trim_start_matches(['<', '|', '=']) {
        "f2" => DType::F16,
        "f4" => DType::F32,
        "f8" => DType::F64,
        "i1" => DType::I8,
        "i2" => DType::I16,
        "i4" => DType::I32,
        "i8" => DType::I64,
        "u1" => DType::U8,
        "b1" => DType::Bool,
        _ => return None,
    })
}
