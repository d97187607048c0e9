//! ONNX files: a protocol buffer of nodes and tensors. Numbers stay where they are, in the file or in files beside it.

mod graph;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Component, Path};

use super::budget::Budget;
use super::bytes::Bytes;
use super::error::Broken;
use super::tensor::{DType, Tensor};
use super::tree::{Node as Value, Tree};
use super::wire::{Field, Fields};
use graph::Attribute;
pub use graph::{Graph, Input, Node};

/// Longest name; exporters make them of module paths.
const MAX_NAME: usize = 4096;
/// Longest text that a file says of itself: the names of a thousand classes have 30 kB.
const MAX_TEXT: usize = 1 << 20;
/// Numbers of one attribute or of one tensor that is not stored as raw bytes.
const MAX_NUMBERS: usize = 1 << 26;
/// Axes of a tensor.
const MAX_AXES: usize = 16;
/// Files beside the model that hold tensors; PyTorch writes one, or one for every tensor.
const MAX_EXTERNAL: usize = 4096;

/// True if the bytes start as exporters start: the version of the format, then another field of a model.
pub(super) fn matches(file: &[u8]) -> bool {
    const NEXT: [u8; 8] = [0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72];
    matches!(file, [0x08, 1..=0x40, next, ..] if NEXT.contains(next))
}

/// The graph, and its initialisers as a map.
pub(super) fn read(file: &Bytes, folder: Option<&Path>, budget: &mut Budget<'_>) -> Result<(Tree, Graph), Broken> {
    let mut reader = Reader { folder, budget, files: HashMap::new() };
    let graph = reader.model(file).map_err(|what| Broken::new("graph", what))?;
    let mut tree = Tree::new();
    let entries = graph.tensors.iter().map(|(name, tensor)| {
        let key = tree.add(Value::Text(name.as_str().into()));
        (key, tree.add(Value::Tensor(tensor.clone())))
    });
    let entries = entries.collect();
    let root = tree.add(Value::Map(entries));
    tree.set_root(root);
    Ok((tree, graph))
}

struct Reader<'a, 'b> {
    /// Where files beside the model are looked for.
    folder: Option<&'a Path>,
    budget: &'a mut Budget<'b>,
    files: HashMap<String, Bytes>,
}

impl Reader<'_, '_> {
    fn model(&mut self, file: &Bytes) -> Result<Graph, String> {
        let (mut graph, mut opset, mut metadata) = (None, 0, Vec::new());
        for field in Fields::of(file) {
            match field? {
                (7, field) => graph = Some(self.graph(field.bytes()?)?),
                (8, field) => opset = standard_opset(field.bytes()?)?.unwrap_or(opset),
                (14, field) => {
                    self.spend(size_of::<(String, String)>() + field.bytes()?.len())?;
                    // A text that is longer is none that matters here.
                    metadata.extend(entry(field.bytes()?, MAX_TEXT).ok());
                }
                _ => {}
            }
        }
        let graph = graph.ok_or("expected a graph, found none: the file is incomplete, or no ONNX model")?;
        if opset <= 0 {
            return Err("expected the version of its operators, found none: the file is incomplete".into());
        }
        Ok(Graph { opset, metadata, ..graph })
    }

    fn graph(&mut self, bytes: &Bytes) -> Result<Graph, String> {
        let mut graph = Graph::default();
        for field in Fields::of(bytes) {
            match field? {
                (1, field) => {
                    let node = self.node(field.bytes()?)?;
                    graph.nodes.push(node);
                }
                (5, field) => {
                    let named = self.tensor(field.bytes()?)?;
                    graph.tensors.extend(named.1.map(|tensor| (named.0, tensor)));
                }
                (11, field) => {
                    self.spend(size_of::<Input>())?;
                    graph.inputs.push(input(field.bytes()?)?);
                }
                (12, field) => {
                    self.spend(size_of::<Input>())?;
                    graph.outputs.push(input(field.bytes()?)?.name);
                }
                (15, _) => return Err("sparse initialisers are not read".into()),
                _ => {}
            }
        }
        // Old files list every initialiser as an input as well.
        let given: HashSet<&str> = graph.tensors.iter().map(|(name, _)| name.as_str()).collect();
        graph.inputs.retain(|input| !given.contains(input.name.as_str()));
        Ok(graph)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.budget.opcode()?;
        self.budget.memory(bytes)
    }

    fn name(&mut self, field: &Field) -> Result<String, String> {
        self.spend(size_of::<String>() + field.bytes()?.len())?;
        field.text(MAX_NAME)
    }

    fn node(&mut self, bytes: &Bytes) -> Result<Node, String> {
        self.spend(size_of::<Node>())?;
        let (mut node, mut domain) = (Node::default(), String::new());
        for field in Fields::of(bytes) {
            match field? {
                (1, field) => node.inputs.push(self.name(&field)?),
                (2, field) => node.outputs.push(self.name(&field)?),
                (3, field) => node.name = self.name(&field)?,
                (4, field) => node.operator = self.name(&field)?,
                (5, field) => {
                    let attribute = self.attribute(field.bytes()?)?;
                    node.attributes.push(attribute);
                }
                (7, field) => domain = self.name(&field)?,
                _ => {}
            }
        }
        if !matches!(domain.as_str(), "" | "ai.onnx") {
            node.operator = format!("{domain}::{}", node.operator);
        }
        Ok(node)
    }

    fn attribute(&mut self, bytes: &Bytes) -> Result<(String, Attribute), String> {
        self.spend(size_of::<(String, Attribute)>())?;
        let (mut name, mut value) = (String::new(), Attribute::Other);
        let (mut ints, mut floats, mut kind) = (Vec::new(), Vec::new(), 0);
        for field in Fields::of(bytes) {
            match field? {
                (1, field) => name = self.name(&field)?,
                (2, field) => value = Attribute::Float(field.float()?),
                (3, field) => value = Attribute::Int(field.int()?),
                (4, field) => value = Attribute::Text(self.name(&field)?),
                (5, field) => {
                    let tensor = self.tensor(field.bytes()?)?.1;
                    value = tensor.map_or(Attribute::Other, Attribute::Tensor);
                }
                (7, field) => {
                    self.spend(2 * field.bytes().map_or(4, |bytes| bytes.len()))?;
                    push_floats(&field, &mut floats)?;
                }
                (8, field) => {
                    self.spend(8 * field.bytes().map_or(1, |bytes| bytes.len()))?;
                    field.push_ints(&mut ints, MAX_NUMBERS)?;
                }
                (20, field) => kind = field.int()?,
                _ => {}
            }
        }
        // An empty list has no field of its own; its kind is 6 (floats) or 7 (whole numbers).
        match kind {
            6 => value = Attribute::Floats(floats),
            7 => value = Attribute::Ints(ints),
            _ if !ints.is_empty() => value = Attribute::Ints(ints),
            _ if !floats.is_empty() => value = Attribute::Floats(floats),
            // Zeros may be left out.
            2 if matches!(value, Attribute::Other) => value = Attribute::Int(0),
            1 if matches!(value, Attribute::Other) => value = Attribute::Float(0.0),
            _ => {}
        }
        Ok((name, value))
    }

    /// A tensor and its name; `None` if its type is one that no layout here knows.
    fn tensor(&mut self, bytes: &Bytes) -> Result<(String, Option<Tensor>), String> {
        self.spend(size_of::<Tensor>())?;
        let (mut name, mut dims, mut kind) = (String::new(), Vec::new(), 0);
        let (mut raw, mut numbers, mut ints) = (None, Vec::new(), Vec::new());
        let (mut place, mut is_external) = (HashMap::new(), false);
        for field in Fields::of(bytes) {
            match field? {
                (1, field) => field.push_ints(&mut dims, MAX_AXES)?,
                (2, field) => kind = field.int()?,
                // Floats and doubles, packed or one by one, are little-endian as they lie there.
                (4 | 10, Field::Bytes(packed)) if raw.is_none() && numbers.is_empty() => raw = Some(packed),
                (4 | 10, Field::Bytes(packed)) => {
                    self.spend(packed.len())?;
                    self.append(&mut numbers, &packed.load()?)?;
                }
                (4, Field::Fixed32(number)) => self.append(&mut numbers, &number)?,
                (10, Field::Fixed64(number)) => self.append(&mut numbers, &number)?,
                (5 | 7 | 11, field) => {
                    self.spend(16 * field.bytes().map_or(1, |bytes| bytes.len()))?;
                    field.push_ints(&mut ints, MAX_NUMBERS)?;
                }
                (8, field) => name = self.name(&field)?,
                (9, field) => raw = Some(field.bytes()?.clone()),
                (13, field) => {
                    let (key, value) = entry(field.bytes()?, MAX_NAME)?;
                    place.insert(key, value);
                }
                (14, field) => is_external = field.int()? == 1,
                _ => {}
            }
        }
        let Some(dtype) = dtype(kind) else { return Ok((name, None)) };
        let wrong = |what: String| format!("tensor {name:.200}: {what}");
        let shape: Option<Vec<usize>> = dims.iter().map(|&axis| usize::try_from(axis).ok()).collect();
        let shape = shape.ok_or_else(|| wrong("expected sizes, found a negative one".into()))?;
        let storage = if is_external {
            self.external(&place).map_err(wrong)?
        } else if !ints.is_empty() {
            ints.iter().flat_map(|int| int.to_le_bytes().into_iter().take(dtype.size())).collect::<Vec<u8>>().into()
        } else if !numbers.is_empty() {
            // Parts of one list, the first of which was taken as it lies.
            let mut whole = match raw.take() {
                Some(raw) => raw.load()?.into_owned(),
                None => Vec::new(),
            };
            self.spend(whole.len())?;
            whole.append(&mut numbers);
            whole.into()
        } else {
            raw.unwrap_or_else(|| Vec::new().into())
        };
        let tensor = Tensor::contiguous(dtype, shape, storage).map_err(wrong)?;
        Ok((name, Some(tensor)))
    }

    fn append(&mut self, numbers: &mut Vec<u8>, more: &[u8]) -> Result<(), String> {
        self.spend(2 * more.len())?;
        numbers.extend_from_slice(more);
        Ok(())
    }

    /// The part of a file beside the model that holds a tensor. The file must lie in the model's folder.
    fn external(&mut self, place: &HashMap<String, String>) -> Result<Bytes, String> {
        let location = place.get("location").map(String::as_str).unwrap_or_default();
        let number = |key: &str| place.get(key).map(|text| text.trim().parse::<usize>()).transpose();
        let (offset, length) = number("offset")
            .and_then(|o| Ok((o, number("length")?)))
            .map_err(|_| format!("expected the place of its numbers in {location:.200}, found no such number"))?;
        let whole = self.file(location)?;
        let offset = offset.unwrap_or(0);
        let end = length.map_or(Some(whole.len()), |length| offset.checked_add(length));
        let bytes = end.and_then(|end| whole.slice(offset..end));
        bytes.ok_or_else(|| {
            format!("its numbers lie outside {location:.200} ({} bytes): that file is incomplete", whole.len())
        })
    }

    fn file(&mut self, location: &str) -> Result<Bytes, String> {
        if let Some(bytes) = self.files.get(location) {
            return Ok(bytes.clone());
        }
        let inside = Path::new(location).components().all(|part| matches!(part, Component::Normal(_)));
        if location.is_empty() || !inside || self.files.len() >= MAX_EXTERNAL {
            return Err(format!(
                "its numbers are said to lie in {location:.200?}, which is no file in the model's folder"
            ));
        }
        let folder = self.folder.ok_or_else(|| format!("its numbers lie in another file, {location:.200}"))?;
        let path = folder.join(location);
        let missing = |_| {
            format!("its numbers lie in {location:.200}, which is not beside the model: put both files into one folder")
        };
        let is_file = path.metadata().is_ok_and(|facts| facts.is_file());
        let file = if is_file { File::open(&path) } else { Err(std::io::ErrorKind::NotFound.into()) };
        let file = file.map_err(missing)?;
        let bytes = Bytes::of_file(file).map_err(missing)?;
        self.files.insert(location.into(), bytes.clone());
        Ok(bytes)
    }
}

fn push_floats(field: &Field, floats: &mut Vec<f32>) -> Result<(), String> {
    match field {
        Field::Bytes(packed) => {
            let packed = packed.load()?;
            let (numbers, rest) = packed.as_chunks::<4>();
            if !rest.is_empty() {
                return Err("a list of floats ends in the middle of one".into());
            }
            floats.extend(numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)));
        }
        other => floats.push(other.float()?),
    }
    Ok(())
}

/// A pair of texts, each of at most `most` bytes.
fn entry(bytes: &Bytes, most: usize) -> Result<(String, String), String> {
    let (mut key, mut value) = (String::new(), String::new());
    for field in Fields::of(bytes) {
        match field? {
            (1, field) => key = field.text(most)?,
            (2, field) => value = field.text(most)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// The version of the standard operators, if this entry tells it.
fn standard_opset(bytes: &Bytes) -> Result<Option<i64>, String> {
    let (mut domain, mut version) = (String::new(), 0);
    for field in Fields::of(bytes) {
        match field? {
            (1, field) => domain = field.text(MAX_NAME)?,
            (2, field) => version = field.int()?,
            _ => {}
        }
    }
    Ok(matches!(domain.as_str(), "" | "ai.onnx").then_some(version))
}

/// Name and shape of an input or an output.
fn input(bytes: &Bytes) -> Result<Input, String> {
    let mut input = Input::default();
    for field in Fields::of(bytes) {
        match field? {
            (1, field) => input.name = field.text(MAX_NAME)?,
            (2, field) => {
                for field in Fields::of(field.bytes()?) {
                    if let (1, field) = field? {
                        tensor_type(field.bytes()?, &mut input)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(input)
}

fn tensor_type(bytes: &Bytes, input: &mut Input) -> Result<(), String> {
    for field in Fields::of(bytes) {
        match field? {
            (1, field) => input.whole = dtype(field.int()?).is_some_and(|dtype| !is_real(dtype)),
            (2, field) => {
                for axis in Fields::of(field.bytes()?) {
                    let (1, axis) = axis? else { continue };
                    let mut length = None;
                    for field in Fields::of(axis.bytes()?) {
                        if let (1, field) = field? {
                            length = usize::try_from(field.int()?).ok();
                        }
                    }
                    input.shape.push(length);
                    if input.shape.len() > MAX_AXES {
                        return Err(format!("an input of more than {MAX_AXES} axes"));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_real(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
}

/// Element types by ONNX's numbers.
fn dtype(kind: i64) -> Option<DType> {
    Some(match kind {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        16 => DType::BF16,
        _ => return None,
    })
}
