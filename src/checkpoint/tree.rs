//! The values of a file, as one flat list of nodes.

use std::sync::Arc;

use super::bytes::Bytes;
use super::globals::Meaning;
use super::tensor::{DType, Tensor};

/// Longest bytes that are looked at as text, and kept in memory; what means something is a name.
pub(super) const MAX_BYTES_TEXT: usize = 4096;

/// A value: small ones as they are, the others by the number of their node. Two equal ids are one shared object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Node(NodeId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

/// All values of one file. Nodes refer to each other by number, so sharing and cycles need no care here; whoever walks
/// the tree bounds the walk.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    root: Value,
}

#[derive(Debug)]
pub(super) enum Node {
    Text(Box<str>),
    Bytes(Bytes),
    Storage(Storage),
    Tensor(Tensor),
    /// List, tuple or set.
    List(Vec<Value>),
    /// In the order of insertion; of equal keys the last one counts.
    Map(Vec<(Value, Value)>),
    Global(Global),
    Object(Object),
}

impl Object {
    /// In place of a tensor whose kind is not read; `what` says which.
    pub(super) fn unread(what: String) -> Object {
        let (args, state) = (Value::None, Value::None);
        Object { class: what.into(), args, state, meaning: Meaning::Unread(""), entries: Vec::new() }
    }
}

/// A run of elements that tensors look into.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    pub(super) dtype: DType,
    pub(super) bytes: Bytes,
}

/// A name that a pickle refers to; never resolved to anything.
#[derive(Clone, Debug)]
pub(super) struct Global {
    pub(super) name: Arc<str>,
    pub(super) meaning: Meaning,
}

/// What would have been an object of a class that this program knows nothing of.
#[derive(Clone, Debug)]
pub struct Object {
    /// Full name of the class, or of the function that would have made the object.
    pub class: Arc<str>,
    /// What the class or function would have been called with: a list.
    pub args: Value,
    /// The attributes, usually a map.
    pub state: Value,
    pub(super) meaning: Meaning,
    /// Items set on the object, if it is a kind of map.
    pub(super) entries: Vec<(Value, Value)>,
}

impl Tree {
    pub(super) fn new() -> Tree {
        Tree { nodes: Vec::new(), root: Value::None }
    }

    pub fn root(&self) -> Value {
        self.root
    }

    pub(super) fn set_root(&mut self, root: Value) {
        self.root = root;
    }

    /// Adds a node. The budget ends long before 2^32 nodes; past that the value is `None`.
    pub(super) fn add(&mut self, node: Node) -> Value {
        let Ok(id) = u32::try_from(self.nodes.len()) else { return Value::None };
        self.nodes.push(node);
        Value::Node(NodeId(id))
    }

    pub(super) fn node(&self, value: Value) -> Option<&Node> {
        let Value::Node(NodeId(id)) = value else { return None };
        self.nodes.get(id as usize)
    }

    pub(super) fn node_mut(&mut self, value: Value) -> Option<&mut Node> {
        let Value::Node(NodeId(id)) = value else { return None };
        self.nodes.get_mut(id as usize)
    }

    pub fn tensor(&self, value: Value) -> Option<&Tensor> {
        match self.node(value)? {
            Node::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// Text; also bytes that are UTF-8, because Python 2 wrote its text so.
    pub fn text(&self, value: Value) -> Option<&str> {
        match self.node(value)? {
            Node::Text(text) => Some(text),
            Node::Bytes(bytes) if bytes.len() <= MAX_BYTES_TEXT => str::from_utf8(bytes.in_memory()?).ok(),
            _ => None,
        }
    }

    /// The entries of a list, tuple or set.
    pub fn items(&self, value: Value) -> Option<&[Value]> {
        match self.node(value)? {
            Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a map in the file's order. A key may occur twice; the last one counts.
    pub fn entries(&self, value: Value) -> Option<&[(Value, Value)]> {
        match self.node(value)? {
            Node::Map(entries) => Some(entries),
            Node::Object(object) if !object.entries.is_empty() => Some(&object.entries),
            _ => None,
        }
    }

    /// The entry of a map under a text key.
    pub fn get(&self, map: Value, key: &str) -> Option<Value> {
        let entries = self.entries(map)?;
        entries.iter().rev().find(|(k, _)| self.text(*k) == Some(key)).map(|(_, value)| *value)
    }

    pub fn object(&self, value: Value) -> Option<&Object> {
        match self.node(value)? {
            Node::Object(object) => Some(object),
            _ => None,
        }
    }

    /// What a tensor is that is not read: "a quantised tensor"; `None` for everything else.
    pub fn unread(&self, value: Value) -> Option<&str> {
        self.object(value).filter(|object| matches!(object.meaning, Meaning::Unread(_))).map(|object| &*object.class)
    }

    /// A number: integer, float, bool, or a tensor of one element.
    pub fn number(&self, value: Value) -> Option<f64> {
        match value {
            Value::Bool(b) => Some(f64::from(u8::from(b))),
            Value::Int(i) => Some(i as f64),
            Value::Float(f) => Some(f),
            Value::None => None,
            Value::Node(_) => {
                let values = self.tensor(value).filter(|tensor| tensor.len() == 1)?.to_f32().ok()?;
                values.first().copied().map(f64::from)
            }
        }
    }

    /// A few words on what a value is, for messages.
    pub fn describe(&self, value: Value) -> String {
        match value {
            Value::None => "None".into(),
            Value::Bool(b) => format!("the truth value {b}"),
            Value::Int(i) => format!("the number {i}"),
            Value::Float(f) => format!("the number {f}"),
            Value::Node(_) => match self.node(value) {
                Some(Node::Text(_)) => "a text".into(),
                Some(Node::Bytes(bytes)) => format!("{} raw bytes", bytes.len()),
                Some(Node::Storage(storage)) => format!("a bare storage of {}", storage.dtype),
                Some(Node::Tensor(tensor)) => format!("one tensor of shape {:?}", tensor.shape()),
                Some(Node::List(items)) => format!("a list of {} values", items.len()),
                Some(Node::Map(entries)) => format!("a map of {} entries", entries.len()),
                Some(Node::Global(global)) => format!("the name {:.120}", global.name),
                Some(Node::Object(object)) if matches!(object.meaning, Meaning::Unread(_)) => object.class.to_string(),
                Some(Node::Object(object)) => format!("an object of class {:.120}", object.class),
                None => "nothing".into(),
            },
        }
    }
}
