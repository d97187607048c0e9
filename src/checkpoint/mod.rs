//! Bytes of a checkpoint -> a tree of plain values and tensor views. The only code that meets untrusted bytes.
//!
//! Nothing in a file is ever executed or imported: pickles run on an inert stack machine (`pickle.rs`) whose globals are
//! names. A [`Tensor`] is a checked view into the file; its numbers are read and converted when they are asked for.
//! A [`Tree`] keeps its nodes in one flat list, so a file that nests without end, or that contains itself, costs no stack.

mod budget;
mod bytes;
mod calls;
mod container;
mod error;
mod globals;
mod keras;
mod literals;
mod machine;
pub(crate) mod npy;
mod numpy;
mod onnx;
mod pickle;
mod safetensors;
mod stranger;
mod tensor;
mod torch_legacy;
mod torch_script;
mod torch_zip;
mod tree;
mod wire;

pub use bytes::{Bytes, Unreadable};
pub use container::{Checkpoint, Container, Program};
pub use error::{Broken, CheckpointError};
pub use keras::KerasNetwork;
pub use onnx::{Graph, Input as GraphInput, Node};
pub use tensor::{DType, Tensor};
pub use torch_script::Script;
pub(crate) use torch_zip::FROM_THE_START;
pub use tree::{NodeId, Object, Tree, Value};

#[cfg(test)]
mod container_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod pickle_tests;
