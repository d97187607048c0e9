//! What a pickle's calls give: the few names of `globals.rs` their meaning, everything else an opaque object.

use super::globals::Meaning;
use super::machine::{Machine, index};
use super::tensor::{DType, Tensor, row_major};
use super::torch_legacy;
use super::tree::{Global, Node, NodeId, Object, Value};

impl Machine<'_, '_> {
    /// REDUCE, NEWOBJ, INST and OBJ: `callee(*args)`.
    pub(super) fn call(&mut self, callee: Value, args: Value) -> Result<Value, String> {
        let Some(Node::Global(global)) = self.tree.node(callee) else {
            self.carries_code = true;
            return self.opaque("result of a call", args);
        };
        let global = global.clone();
        match global.meaning {
            Meaning::RebuildFromType => match self.argument(args, 0).map(|function| self.tree.node(function)) {
                Some(Some(Node::Global(function))) if function.meaning == Meaning::RebuildWrapper => {
                    self.unwrap_subclass(args)
                }
                Some(Some(Node::Global(function))) if function.meaning != Meaning::RebuildFromType => {
                    let function = function.clone();
                    let inner = self.argument(args, 2).unwrap_or(Value::None);
                    self.call_global(function, inner)
                }
                _ => self.object_of(global, args),
            },
            _ => self.call_global(global, args),
        }
    }

    fn call_global(&mut self, global: Global, args: Value) -> Result<Value, String> {
        let made = match global.meaning {
            Meaning::Map => return self.map_of(args),
            Meaning::EmptyMap => return self.add(Node::Map(Vec::new())),
            Meaning::First => self.argument(args, 0),
            Meaning::RebuildTensor => self.rebuild_tensor(args, None)?,
            Meaning::RebuildTyped => self.rebuild_typed(args)?,
            Meaning::Unread(what) => return self.unread(what.into()),
            Meaning::LoadStorage => self.load_storage(args)?,
            Meaning::NumpyScalar => self.numpy_scalar(args)?,
            Meaning::NumpyFromBuffer => self.numpy_from_buffer(args)?,
            Meaning::Encode => self.encode(args)?,
            Meaning::NewObject => match self.argument(args, 0).and_then(|class| self.tree.node(class)) {
                Some(Node::Global(class)) => {
                    let class = class.clone();
                    return self.object_of(class, args);
                }
                _ => None,
            },
            Meaning::NumpyArray | Meaning::NumpyDType | Meaning::ElementType(_) | Meaning::Data => None,
            Meaning::Storage(_) | Meaning::RebuildFromType | Meaning::RebuildWrapper | Meaning::Unknown => None,
        };
        match made {
            Some(value) => Ok(value),
            None => self.object_of(global, args),
        }
    }

    fn object_of(&mut self, global: Global, args: Value) -> Result<Value, String> {
        self.carries_code |= global.meaning == Meaning::Unknown;
        let Global { name, meaning } = global;
        self.add(Node::Object(Object { class: name, args, state: Value::None, meaning, entries: Vec::new() }))
    }

    /// BUILD: `target.__setstate__(state)`.
    pub(super) fn build(&mut self, target: Value, state: Value) -> Result<(), String> {
        let array = match self.tree.object(target) {
            Some(object) if object.meaning == Meaning::NumpyArray => self.numpy_array(state)?,
            _ => None,
        };
        match (self.tree.node_mut(target), array) {
            // In place, so that everything that already refers to the array sees it.
            (Some(node), Some(tensor)) => *node = Node::Tensor(tensor),
            (Some(Node::Object(object)), None) => object.state = state,
            // A map's own attributes, such as the `_metadata` at the end of every state dict, are of no use here.
            _ => {}
        }
        Ok(())
    }

    pub(super) fn argument(&self, args: Value, at: usize) -> Option<Value> {
        self.tree.items(args)?.get(at).copied()
    }

    /// A map of nothing, or of a list of pairs.
    fn map_of(&mut self, args: Value) -> Result<Value, String> {
        let source = self.argument(args, 0).unwrap_or(Value::None);
        let pairs = self.tree.items(source).unwrap_or_default();
        // Counted before they are copied: one list may be the argument of a million calls.
        self.budget.memory(pairs.len() * size_of::<(Value, Value)>())?;
        let pair = |&pair: &Value| match self.tree.items(pair) {
            Some(&[key, value]) => Some((key, value)),
            _ => None,
        };
        let entries = pairs.iter().filter_map(pair).collect();
        self.add(Node::Map(entries))
    }

    /// A tensor of a kind that is not read.
    fn unread(&mut self, what: String) -> Result<Value, String> {
        self.budget.memory(what.len())?;
        self.add(Node::Object(Object::unread(what)))
    }

    /// `(function, class, arguments of the function, attributes)` of a subclass that wraps tensors: the one inside, if it is
    /// all there is to the outer one.
    fn unwrap_subclass(&mut self, args: Value) -> Result<Value, String> {
        let attributes = self.argument(args, 3).and_then(|state| self.tree.entries(state)).unwrap_or_default();
        let mut inside = attributes.iter().filter_map(|&(_, value)| Some((value, self.tree.tensor(value)?)));
        let outer = self.argument(args, 2).and_then(|inner| self.argument(inner, 2));
        if let (Some((value, tensor)), None, Some(size)) = (inside.next(), inside.next(), outer)
            && self.sizes(size)? == tensor.shape()
        {
            return Ok(value);
        }
        let class = self.argument(args, 1).map_or_else(|| "an unknown class".into(), |class| self.tree.describe(class));
        self.unread(format!("a tensor of {class}"))
    }

    /// `(storage, offset, size, stride, gradient, hooks, dtype, ..)`: how newer element types are kept.
    fn rebuild_typed(&mut self, args: Value) -> Result<Option<Value>, String> {
        let Some(Node::Global(dtype)) = self.argument(args, 6).and_then(|dtype| self.tree.node(dtype)) else {
            return Ok(None);
        };
        match dtype.meaning {
            Meaning::ElementType(dtype) => self.rebuild_tensor(args, Some(dtype)),
            _ => {
                let what = format!("a tensor of type {:.80}", dtype.name);
                self.unread(what).map(Some)
            }
        }
    }

    /// `(storage, offset, size, stride, ..)`; `dtype` where the storage is one of bytes.
    fn rebuild_tensor(&mut self, args: Value, dtype: Option<DType>) -> Result<Option<Value>, String> {
        let Some(&[storage, offset, size, stride, ..]) = self.tree.items(args) else { return Ok(None) };
        let Some(Node::Storage(storage)) = self.tree.node(storage) else {
            let class = self.tree.object(storage).map_or("an unknown storage", |object| &object.class);
            let what = format!("a tensor of {class:.80}");
            return self.unread(what).map(Some);
        };
        let offset = index(offset).ok_or("expected a tensor's offset, found no such number")?;
        let shape = self.sizes(size)?;
        let strides = self.sizes(stride)?;
        self.budget.memory(2 * size_of_val(shape.as_slice()))?;
        let tensor = Tensor::new(dtype.unwrap_or(storage.dtype), shape, strides, offset, storage.bytes.clone())?;
        self.add(Node::Tensor(tensor)).map(Some)
    }

    /// A short list of sizes, none negative.
    pub(super) fn sizes(&self, value: Value) -> Result<Vec<usize>, String> {
        let items = self.tree.items(value).filter(|items| items.len() <= 64);
        let sizes = items.and_then(|items| items.iter().map(|&item| index(item)).collect());
        sizes.ok_or_else(|| format!("expected a tensor's sizes, none negative, found {}", self.show(value)))
    }

    fn show(&self, value: Value) -> String {
        match self.tree.items(value) {
            Some(items) if items.len() <= 16 => {
                let items: Vec<String> = items.iter().map(|&item| self.tree.describe(item)).collect();
                format!("[{}]", items.join(", "))
            }
            _ => self.tree.describe(value),
        }
    }

    fn load_storage(&mut self, args: Value) -> Result<Option<Value>, String> {
        let Some(blob @ Value::Node(id)) = self.argument(args, 0) else { return Ok(None) };
        if let Some(&known) = self.blobs.get(&id) {
            return Ok(known);
        }
        let Some(Node::Bytes(bytes)) = self.tree.node(blob) else { return Ok(None) };
        let bytes = bytes.clone();
        if !self.budget.enter() {
            return Ok(None);
        }
        let storage = torch_legacy::read_storage(&bytes, self.budget);
        self.budget.leave();
        let storage = storage.map_err(|broken| format!("in the storage kept here: {broken}"))?;
        let made = storage.map(|storage| self.add(Node::Storage(storage))).transpose()?;
        self.budget.memory(2 * size_of::<(NodeId, Value)>())?;
        self.blobs.insert(id, made);
        Ok(made)
    }

    /// `(text, "latin1")`: how protocol 2 writes bytes.
    fn encode(&mut self, args: Value) -> Result<Option<Value>, String> {
        let Some(Node::Text(text)) = self.argument(args, 0).and_then(|text| self.tree.node(text)) else {
            return Ok(None);
        };
        self.budget.memory(text.len())?;
        let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
        match bytes {
            Ok(bytes) => self.add(Node::Bytes(bytes.into())).map(Some),
            Err(_) => Ok(None),
        }
    }
}

/// Strides of a contiguous array in C or Fortran order.
pub(super) fn array_strides(shape: &[usize], fortran: bool) -> Option<Vec<usize>> {
    if !fortran {
        return row_major(shape);
    }
    let reversed: Vec<usize> = shape.iter().rev().copied().collect();
    let mut strides = row_major(&reversed)?;
    strides.reverse();
    Some(strides)
}
