//! The parts of an ONNX graph that matter here.

use crate::checkpoint::Tensor;

/// What an ONNX file computes: nodes in the order of computation.
#[derive(Debug, Default)]
pub struct Graph {
    /// Version of the standard operators.
    pub opset: i64,
    /// Inputs that no initialiser gives.
    pub inputs: Vec<Input>,
    pub outputs: Vec<String>,
    pub nodes: Vec<Node>,
    /// Initialisers by name, in the order of the file.
    pub tensors: Vec<(String, Tensor)>,
    /// What the file says of itself, in pairs of a key and a text.
    pub metadata: Vec<(String, String)>,
}

/// An input of a graph; axes whose length is open are `None`.
#[derive(Debug, Default)]
pub struct Input {
    pub name: String,
    pub shape: Vec<Option<usize>>,
    /// The numbers are whole ones, as labels are.
    pub whole: bool,
}

/// One operator.
#[derive(Debug, Default)]
pub struct Node {
    /// The operator's name, after `domain::` if it is none of the standard.
    pub operator: String,
    pub name: String,
    /// Names of values; an empty one is an argument left out.
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub(super) attributes: Vec<(String, Attribute)>,
}

/// A setting of a node.
#[derive(Clone, Debug)]
pub(super) enum Attribute {
    Int(i64),
    Float(f32),
    Text(String),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Tensor(Tensor),
    /// A graph, or a list of anything else.
    Other,
}

impl Node {
    fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, attribute)| attribute)
    }

    /// The names of all its settings.
    pub fn settings(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().map(|(name, _)| name.as_str())
    }

    pub fn int(&self, name: &str) -> Option<i64> {
        match self.attribute(name)? {
            Attribute::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub fn float(&self, name: &str) -> Option<f32> {
        match self.attribute(name)? {
            Attribute::Float(value) => Some(*value),
            _ => None,
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.attribute(name)? {
            Attribute::Text(value) => Some(value),
            _ => None,
        }
    }

    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.attribute(name)? {
            Attribute::Ints(values) => Some(values),
            _ => None,
        }
    }

    pub fn floats(&self, name: &str) -> Option<&[f32]> {
        match self.attribute(name)? {
            Attribute::Floats(values) => Some(values),
            _ => None,
        }
    }

    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        match self.attribute(name)? {
            Attribute::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }
}
