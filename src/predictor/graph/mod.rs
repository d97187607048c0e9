//! What an ONNX graph would cost, found before anything runs: every node is understood, its shapes and its work are known, and the
//! graph is written anew from that. The runtime never sees a byte of the file that was not understood here.
//!
//! One picture goes through at a time, so that all sizes are known. Operators whose results have sizes that depend on the picture
//! (detections, loops) are refused by name.

mod elementwise;
mod facts;
mod matrix;
mod parts;
mod shaping;
mod spatial;
mod write;

pub(super) use write::{INPUT, output_name};

use std::collections::{HashMap, HashSet};

use crate::checkpoint::{Graph, Node, Tensor};
use crate::limits;
use facts::{Call, Fact, Kind, MAX_AXES, Ruled, Step, elements};

/// A graph that was understood.
#[derive(Debug)]
pub(super) struct Plan {
    values: Vec<Value>,
    steps: Vec<Planned>,
    /// Number of the input.
    input: usize,
    /// Numbers of the values that are asked for.
    outputs: Vec<usize>,
    /// Bytes of all values that are made on the way.
    pub map_bytes: u64,
    /// Bytes of the weights, as f32.
    pub weight_bytes: u64,
    /// Multiplications and additions for one picture.
    pub work: u64,
}

#[derive(Debug)]
struct Value {
    fact: Fact,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Input,
    Tensor(Tensor),
    /// A step, or the numbers that are known.
    Made,
}

#[derive(Debug)]
struct Planned {
    step: Step,
    /// What messages of the runtime call it.
    label: String,
    /// Numbers of the node's own inputs.
    inputs: Vec<Option<usize>>,
    outputs: Vec<Option<usize>>,
}

/// A node, as messages call it.
fn label(node: &Node) -> String {
    let name = std::iter::once(&node.name).chain(&node.outputs).find(|name| !name.is_empty());
    let name = name.map_or("without a name", String::as_str);
    let clean: String = name.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect();
    format!("node {clean:.120} ({:.60})", node.operator)
}

/// The rule of an operator.
fn rule(call: &Call) -> Ruled {
    let rules = [elementwise::rule, spatial::rule, matrix::rule, shaping::rule, parts::rule];
    let ruled = rules.iter().find_map(|rule| rule(call));
    ruled
        .unwrap_or_else(|| Err("the operator is not known, or the size of what it makes depends on the picture".into()))
}

/// Nodes without which the outputs cannot be made, by their places.
fn needed(graph: &Graph, outputs: &[&str]) -> Vec<usize> {
    let mut wanted: HashSet<&str> = outputs.iter().copied().collect();
    let mut nodes = Vec::new();
    for (at, node) in graph.nodes.iter().enumerate().rev() {
        if node.outputs.iter().any(|name| !name.is_empty() && wanted.contains(name.as_str())) {
            wanted.extend(node.inputs.iter().filter(|name| !name.is_empty()).map(String::as_str));
            nodes.push(at);
        }
    }
    nodes.reverse();
    nodes
}

impl Plan {
    /// How `outputs` are made of an `input` of that shape. `file_len`: a file that is longer may cost more.
    ///
    /// # Errors
    /// Says which node is refused, and why.
    pub fn new<'a>(
        graph: &'a Graph,
        input: &'a str,
        shape: &[usize],
        outputs: &[&'a str],
        file_len: u64,
    ) -> Result<Plan, String> {
        let nodes = needed(graph, outputs);
        if nodes.len() > limits::PREDICTOR_NODES {
            return Err(format!("expected at most {} nodes, found {}", limits::PREDICTOR_NODES, nodes.len()));
        }
        if graph.opset < OLDEST {
            return Err(format!("expected operators of version {OLDEST} or newer, found {}", graph.opset));
        }
        let takers =
            nodes.iter().flat_map(|&at| &graph.nodes[at].inputs).map(String::as_str).chain(outputs.iter().copied());
        let mut planner = Planner { takers: takers.collect(), ..Planner::new(graph, file_len) };
        let input = planner.add(input, Fact::real(shape.to_vec()), Source::Input);
        for at in nodes {
            let node = &graph.nodes[at];
            planner.node(node).map_err(|problem| format!("{}: {problem}", label(node)))?;
        }
        let known = |name: &&str| planner.names.get(name).copied();
        let outputs = outputs.iter().map(|name| known(name).ok_or_else(|| format!("there is no output {name:.120}")));
        let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
        let Planner { values, steps, map_bytes, weight_bytes, work, .. } = planner;
        Ok(Plan { values, steps, input, outputs, map_bytes, weight_bytes, work })
    }

    /// How many numbers each output has.
    pub fn output_sizes(&self) -> impl Iterator<Item = u64> {
        self.outputs.iter().map(|&at| self.values[at].fact.len())
    }

    /// The graph as an ONNX file of this program's own.
    ///
    /// # Errors
    /// Weights can no longer be read.
    pub fn write(&self) -> Result<Vec<u8>, String> {
        write::model(self)
    }
}

/// Version 7 brought the shapes side by side that all operators use since.
const OLDEST: i64 = 7;

struct Planner<'a> {
    graph: &'a Graph,
    tensors: HashMap<&'a str, &'a Tensor>,
    names: HashMap<&'a str, usize>,
    /// Names of values that are taken by some node, or asked for.
    takers: HashSet<&'a str>,
    values: Vec<Value>,
    steps: Vec<Planned>,
    file_len: u64,
    map_bytes: u64,
    weight_bytes: u64,
    work: u64,
}

impl<'a> Planner<'a> {
    fn new(graph: &'a Graph, file_len: u64) -> Self {
        Planner {
            graph,
            tensors: graph.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect(),
            names: HashMap::new(),
            takers: HashSet::new(),
            values: Vec::new(),
            steps: Vec::new(),
            file_len,
            map_bytes: 0,
            weight_bytes: 0,
            work: 0,
        }
    }

    fn add(&mut self, name: &'a str, fact: Fact, source: Source) -> usize {
        self.values.push(Value { fact, source });
        self.names.insert(name, self.values.len() - 1);
        self.values.len() - 1
    }

    fn add_tensor(&mut self, name: &'a str, tensor: &Tensor) -> Result<usize, String> {
        self.weight_bytes = self.weight_bytes.saturating_add(4 * tensor.len() as u64);
        if self.weight_bytes > limits::PREDICTOR_WEIGHTS {
            return Err(format!("expected at most {} bytes of weights, found more", limits::PREDICTOR_WEIGHTS));
        }
        if tensor.shape().len() > MAX_AXES {
            return Err(format!("expected at most {MAX_AXES} axes, found {:?}", tensor.shape()));
        }
        // Lists may be empty, as those of sizes are that are not given.
        if tensor.is_empty() && tensor.shape().len() > 1 {
            return Err(format!("expected weights, found none in {:?}", tensor.shape()));
        }
        let fact = Fact::of(tensor)?;
        Ok(self.add(name, fact, Source::Tensor(tensor.clone())))
    }

    /// The number of a value that a node takes.
    fn taken(&mut self, name: &'a str) -> Result<usize, String> {
        if let Some(&at) = self.names.get(name) {
            return Ok(at);
        }
        match self.tensors.get(name).copied() {
            Some(tensor) => self.add_tensor(name, tensor),
            None => Err(format!(
                "takes {name:.120}, which is no weight, and made by no node before it: the graph goes in a circle, is out of \
                 order, or has a second input"
            )),
        }
    }

    fn node(&mut self, node: &'a Node) -> Result<(), String> {
        if let Some(twice) = node.outputs.iter().find(|name| self.names.contains_key(name.as_str())) {
            return Err(format!("makes {twice:.120}, which there is already"));
        }
        if node.operator == "Constant" {
            return self.constant(node);
        }
        let taken = |name: &'a String| match name.as_str() {
            "" => Ok(None),
            name => self.taken(name).map(Some),
        };
        let inputs: Vec<Option<usize>> = node.inputs.iter().map(taken).collect::<Result<_, _>>()?;
        let facts = inputs.iter().map(|at| at.map(|at| self.values[at].fact.clone())).collect();
        let is_taken = |name: &&String| !name.is_empty() && self.takers.contains(name.as_str());
        let taken_outputs = node.outputs.iter().filter(is_taken).count();
        let step = rule(&Call { node, opset: self.graph.opset, facts, outputs: taken_outputs })?;
        self.check(&step)?;
        let known = step.outputs.iter().all(|fact| fact.known.is_some());
        let mut outputs = Vec::new();
        for (place, name) in node.outputs.iter().enumerate() {
            if name.is_empty() || !self.takers.contains(name.as_str()) {
                outputs.push(None);
                continue;
            }
            let fact = step.outputs.get(place).cloned();
            let fact = fact.ok_or_else(|| format!("its output number {place} is not made"))?;
            outputs.push(Some(self.add(name, fact, Source::Made)));
        }
        if !known {
            self.steps.push(Planned { step, label: label(node), inputs, outputs });
        }
        Ok(())
    }

    /// Adds up what a step costs.
    fn check(&mut self, step: &Step) -> Result<(), String> {
        let numbers = step.outputs.iter().fold(step.scratch, |sum, fact| sum.saturating_add(fact.len()));
        let (most_bytes, most_work) = (limits::predictor_maps(self.file_len), limits::predictor_work(self.file_len));
        self.map_bytes = self.map_bytes.saturating_add(numbers.saturating_mul(4));
        self.work = self.work.saturating_add(step.work);
        if let Some(fact) = step.outputs.iter().find(|fact| fact.shape.len() > MAX_AXES) {
            return Err(format!("expected at most {MAX_AXES} axes, found {}", fact.shape.len()));
        }
        if step.outputs.iter().any(|fact| fact.known.is_none() && elements(&fact.shape) == 0) {
            return Err("it makes nothing".into());
        }
        if self.map_bytes > most_bytes {
            return Err(format!("expected at most {most_bytes} bytes of maps in a file of this size, found more"));
        }
        if self.work > most_work {
            return Err(format!("expected at most {most_work} multiplications in a file of this size, found more"));
        }
        Ok(())
    }

    fn constant(&mut self, node: &'a Node) -> Result<(), String> {
        let [name] = &node.outputs[..] else { return Err("expected one output".into()) };
        if let Some(tensor) = node.tensor("value") {
            return self.add_tensor(name, tensor).map(|_| ());
        }
        let one = |number: Option<f64>| number.map(|number| (Vec::new(), vec![number]));
        let row = |numbers: Vec<f64>| (vec![numbers.len()], numbers);
        let whole = one(node.int("value_int").map(|x| x as f64))
            .or_else(|| node.ints("value_ints").map(|list| row(list.iter().map(|&x| x as f64).collect())));
        let real = one(node.float("value_float").map(f64::from))
            .or_else(|| node.floats("value_floats").map(|list| row(list.iter().map(|&x| f64::from(x)).collect())));
        let kind = if whole.is_some() { Kind::Whole } else { Kind::Real };
        let (shape, numbers) = whole.or(real).ok_or("expected a number or a tensor, found neither")?;
        self.add(name, Fact { shape, kind, known: Some(numbers) }, Source::Made);
        Ok(())
    }
}
