//! What an ONNX graph says of its network: every node in turn takes a value one operator further.

mod operators;

use std::collections::HashMap;

use super::flow::{Axis, Flow, Flowing, Obstacle, unknown};
use super::state_dict::StateDict;
use super::stated::{self, Width};
use crate::checkpoint::{DType, Graph, GraphInput, Node, Tensor};
use crate::recipe::{Input, Recipe};

/// Numbers of a tensor that is looked at as sizes, scales or axes.
const MAX_LIST: usize = 64;

/// What a name stands for.
#[derive(Clone)]
enum Value {
    Flow(Flow),
    /// A parameter or a constant; all are in the state dict by this name.
    Tensor(String),
    /// A shape, or a part of one.
    Axes(Vec<Axis>),
}

/// The recipe of a graph. Tensors that only the graph has are added to `state`.
///
/// # Errors
/// The graph takes no code, or has something that no recipe can say.
pub(super) fn recipe(graph: &Graph, state: &mut StateDict) -> Flowing<Recipe> {
    let (z, class) = inputs(graph)?;
    stated::solve(|width| {
        let mut run = Run { state: &mut *state, values: HashMap::new(), classes: None };
        run.start(z, class, width);
        for node in &graph.nodes {
            let value = run.node(node)?;
            for output in node.outputs.iter().filter(|_| !node.outputs.is_empty()).take(1) {
                run.values.insert(output, value.clone());
            }
        }
        let mut pictures = graph.outputs.iter().filter_map(|name| match run.values.get(name.as_str()) {
            Some(Value::Flow(flow)) => Some(flow.clone()),
            _ => None,
        });
        match pictures.next() {
            Some(flow) => Ok((flow, run.classes)),
            None => unknown("no result that depends on the code"),
        }
    })
}

/// The input that is the code, and the one that is the class.
fn inputs(graph: &Graph) -> Flowing<(&GraphInput, Option<&GraphInput>)> {
    let (class, codes): (Vec<_>, Vec<_>) = graph
        .inputs
        .iter()
        .partition(|input| input.whole || (graph.inputs.len() > 1 && stated::names_class(&input.name)));
    let [first, rest @ ..] = codes.as_slice() else {
        return unknown(format!("no code among its {} inputs", graph.inputs.len()));
    };
    let class: Vec<_> = class.into_iter().chain(rest.iter().copied()).collect();
    let is_wide = |input: &GraphInput| input.shape.iter().skip(2).any(|axis| *axis != Some(1));
    if is_wide(first) {
        let axes: Vec<String> =
            first.shape.iter().map(|axis| axis.map_or("?".into(), |axis| axis.to_string())).collect();
        let what =
            format!("a network that takes a picture or a map ({:.80}: {}), not a code", first.name, axes.join(" x "));
        return Err(Obstacle::Foreign { what, advice: stated::OPEN_GENERATOR });
    }
    match class[..] {
        [] => Ok((first, None)),
        [class] if !is_wide(class) => Ok((first, Some(class))),
        _ => {
            let names: Vec<&str> = graph.inputs.iter().take(8).map(|input| input.name.as_str()).collect();
            let names = names.join(", ");
            unknown(format!("{} inputs ({names:.200}), expected a code and perhaps a class", graph.inputs.len()))
        }
    }
}

struct Run<'a> {
    state: &'a mut StateDict,
    values: HashMap<&'a str, Value>,
    classes: Option<usize>,
}

impl<'a> Run<'a> {
    fn start(&mut self, z: &'a GraphInput, class: Option<&'a GraphInput>, width: Width) {
        // Axes of length one behind the code's own.
        let ones = z.shape.len().saturating_sub(2);
        let stated = z.shape.get(1).copied().flatten();
        let mut shape = vec![stated.unwrap_or(width.features)];
        shape.resize(1 + ones.max(if z.shape.is_empty() { width.ones } else { 0 }), 1);
        self.values.insert(&z.name, Value::Flow(Flow::start(Input::Z, shape)));
        if let Some(class) = class {
            let shape: Vec<usize> = class.shape.iter().skip(1).map(|axis| axis.unwrap_or(1)).collect();
            if !class.whole {
                self.classes = shape.first().copied();
            }
            self.values.insert(&class.name, Value::Flow(Flow::start(Input::Class, shape)));
        }
    }

    fn value(&self, node: &Node, at: usize) -> Option<Value> {
        let name = node.inputs.get(at).filter(|name| !name.is_empty())?;
        if let Some(value) = self.values.get(name.as_str()) {
            return Some(value.clone());
        }
        self.state.has(name).then(|| Value::Tensor(name.clone()))
    }

    fn flow(&self, node: &Node, at: usize) -> Flowing<Flow> {
        match self.value(node, at) {
            Some(Value::Flow(flow)) => Ok(flow),
            _ => unknown(format!("{} of something that does not depend on the code", node.operator)),
        }
    }

    /// The name of a parameter.
    fn parameter(&self, node: &Node, at: usize) -> Flowing<String> {
        match self.value(node, at) {
            Some(Value::Tensor(name)) => Ok(name),
            _ => unknown(format!("{} with a weight that is computed", node.operator)),
        }
    }

    fn optional(&self, node: &Node, at: usize) -> Flowing<Option<String>> {
        node.inputs.get(at).filter(|name| !name.is_empty()).map(|_| self.parameter(node, at)).transpose()
    }

    fn tensor(&self, node: &Node, at: usize) -> Option<&Tensor> {
        match self.value(node, at)? {
            Value::Tensor(name) => self.state.get(&name),
            _ => None,
        }
    }

    /// A short list of numbers.
    fn floats(&self, node: &Node, at: usize) -> Option<Vec<f32>> {
        self.tensor(node, at).filter(|tensor| tensor.len() <= MAX_LIST).and_then(|tensor| tensor.to_f32().ok())
    }

    /// One number, of any shape.
    fn scalar(&self, node: &Node, at: usize) -> Option<f32> {
        self.tensor(node, at)
            .filter(|tensor| tensor.len() == 1)
            .and_then(|tensor| tensor.to_f32().ok()?.first().copied())
    }

    /// A shape: sizes, or what became of a value's own.
    fn axes(&self, node: &Node, at: usize) -> Option<Vec<Axis>> {
        match self.value(node, at)? {
            Value::Axes(axes) => Some(axes),
            Value::Tensor(name) => {
                let tensor = self.state.get(&name).filter(|tensor| tensor.len() <= MAX_LIST)?;
                tensor.to_f32().ok()?.iter().map(|&number| axis(number as i64)).collect()
            }
            Value::Flow(_) => None,
        }
    }

    /// Axes to work on, as an attribute or (later) as an input.
    fn list(&self, node: &Node, name: &str, at: usize) -> Option<Vec<i64>> {
        match node.ints(name) {
            Some(list) => Some(list.to_vec()),
            None => Some(self.floats(node, at)?.into_iter().map(|number| number as i64).collect()),
        }
    }

    /// Adds a tensor that the file has in another shape, or in the graph only.
    fn add(&mut self, node: &Node, tensor: Tensor) -> Value {
        let name = node.outputs.first().cloned().unwrap_or_default();
        self.state.insert(name.clone(), tensor);
        Value::Tensor(name)
    }

    fn node(&mut self, node: &Node) -> Flowing<Value> {
        if let Some(Value::Flow(_)) = self.value(node, 0) {
            return self.flow_node(node).map(Value::Flow).or_else(|obstacle| self.about_flow(node).ok_or(obstacle));
        }
        let later = (1..node.inputs.len()).any(|at| matches!(self.value(node, at), Some(Value::Flow(_))));
        if later {
            return self.mixed(node).map(Value::Flow);
        }
        self.constant(node)
    }

    /// What is asked about a flow, and is none.
    fn about_flow(&self, node: &Node) -> Option<Value> {
        let Some(Value::Flow(flow)) = self.value(node, 0) else { return None };
        let shape = flow.shape().iter().map(|&axis| Axis::Size(axis));
        (node.operator == "Shape").then(|| Value::Axes(std::iter::once(Axis::Batch).chain(shape).collect()))
    }

    /// Constants and arithmetic on shapes.
    fn constant(&mut self, node: &Node) -> Flowing<Value> {
        let cannot = || Obstacle::Unknown(format!("the operator {:.80} on constants", node.operator));
        match node.operator.as_str() {
            "Constant" => {
                if let Some(tensor) = node.tensor("value") {
                    return Ok(self.add(node, tensor.clone()));
                }
                let floats =
                    node.floats("value_floats").map(<[f32]>::to_vec).or_else(|| Some(vec![node.float("value_float")?]));
                let ints = node.ints("value_ints").map(<[i64]>::to_vec).or_else(|| Some(vec![node.int("value_int")?]));
                let numbers =
                    floats.or_else(|| Some(ints?.iter().map(|&int| int as f32).collect())).ok_or_else(cannot)?;
                let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
                let tensor = Tensor::contiguous(DType::F32, vec![numbers.len()], bytes.into());
                Ok(self.add(node, tensor.map_err(Obstacle::Unknown)?))
            }
            "Identity" | "Cast" | "Floor" | "Ceil" => self.value(node, 0).ok_or_else(cannot),
            "Squeeze" | "Unsqueeze" if matches!(self.value(node, 0), Some(Value::Axes(_))) => {
                self.value(node, 0).ok_or_else(cannot)
            }
            "Transpose" => {
                let tensor = self.tensor(node, 0).ok_or_else(cannot)?;
                let backwards: Vec<i64> = (0..tensor.shape().len() as i64).rev().collect();
                let order = node.ints("perm").unwrap_or(&backwards);
                let order: Option<Vec<usize>> = order.iter().map(|&axis| usize::try_from(axis).ok()).collect();
                let turned = order.and_then(|order| tensor.permuted(&order)).ok_or_else(cannot)?;
                Ok(self.add(node, turned))
            }
            "Gather" => {
                let axes = self.axes(node, 0).ok_or_else(cannot)?;
                let picked = self.floats(node, 1).ok_or_else(cannot)?;
                let picked: Option<Vec<Axis>> =
                    picked.into_iter().map(|at| axes.get(position(at as i64, axes.len())?).copied()).collect();
                picked.map(Value::Axes).ok_or_else(cannot)
            }
            "Slice" => {
                let axes = self.axes(node, 0).ok_or_else(cannot)?;
                let (from, to) = self.list(node, "starts", 1).zip(self.list(node, "ends", 2)).ok_or_else(cannot)?;
                let (&[from], &[to]) = (from.as_slice(), to.as_slice()) else { return Err(cannot()) };
                let bound = |at: i64| {
                    usize::try_from(if at < 0 { at.saturating_add(axes.len() as i64) } else { at })
                        .unwrap_or(0)
                        .min(axes.len())
                };
                axes.get(bound(from)..bound(to)).map(|part| Value::Axes(part.to_vec())).ok_or_else(cannot)
            }
            "Concat" => {
                let parts: Option<Vec<Vec<Axis>>> = (0..node.inputs.len()).map(|at| self.axes(node, at)).collect();
                let joined = parts.ok_or_else(cannot)?.concat();
                if joined.len() > MAX_LIST { Err(cannot()) } else { Ok(Value::Axes(joined)) }
            }
            "Mul" | "Add" | "Sub" | "Div" => {
                let (a, b) = self.axes(node, 0).zip(self.axes(node, 1)).ok_or_else(cannot)?;
                let (a, b) = if a.len() >= b.len() { (a, b) } else { (b, a) };
                let results = a.iter().enumerate().map(|(at, a)| {
                    let b = if b.len() == 1 { b.first() } else { b.get(at) };
                    let (Axis::Size(a), Some(Axis::Size(b))) = (a, b) else { return None };
                    Some(Axis::Size(match node.operator.as_str() {
                        "Mul" => a.checked_mul(*b)?,
                        "Add" => a.checked_add(*b)?,
                        "Sub" => a.checked_sub(*b)?,
                        _ => a.checked_div(*b)?,
                    }))
                });
                let results: Option<Vec<Axis>> = results.collect();
                results.map(Value::Axes).ok_or_else(cannot)
            }
            _ => Err(cannot()),
        }
    }
}

/// A number of a shape: -1 is what is left over.
fn axis(size: i64) -> Option<Axis> {
    if size == -1 { Some(Axis::Rest) } else { usize::try_from(size).ok().map(Axis::Size) }
}

/// A place in a list; negative ones count from its end.
fn position(at: i64, len: usize) -> Option<usize> {
    let at = if at < 0 { at.checked_add(i64::try_from(len).ok()?)? } else { at };
    usize::try_from(at).ok().filter(|&at| at < len)
}
