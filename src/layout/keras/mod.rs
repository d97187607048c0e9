//! What the JSON of a Keras file says of its network: sequential models, and functional ones layer by layer.
//!
//! Keras has channels last. Here everything is channels first: kernels are turned where they are taken from the file, and
//! reshapes say in which order their numbers lie.

mod layers;
mod weights;

use std::collections::HashMap;

use serde_json::Value as Json;

use super::flow::{Flow, Flowing, Obstacle, unknown};
use super::state_dict::StateDict;
use super::stated::{self, Width};
use crate::checkpoint::KerasNetwork;
use crate::recipe::{Input, Recipe};
use weights::Names;

/// Models within models.
const MAX_DEPTH: usize = 4;
/// Layers, those of inner models too.
const MAX_LAYERS: usize = 2000;
/// Inputs of one layer.
const MAX_INPUTS: usize = 64;

const WEIGHTS: &str = "a file of Keras weights (HDF5) without their network: which layers they belong to is in the JSON of model.to_json()";
const SAVE_MODEL: &str = "Save the whole model with model.save(\"generator.keras\"), which keeps both";

/// The recipe of a network. Turned kernels are added to `state`.
///
/// # Errors
/// The file has weights only, or something that no recipe can say.
pub(super) fn recipe(network: &KerasNetwork, state: &mut StateDict) -> Flowing<Recipe> {
    let Some(config) = &network.config else {
        return Err(Obstacle::Foreign { what: WEIGHTS.into(), advice: SAVE_MODEL });
    };
    let config: Json = match serde_json::from_str(config) {
        Ok(config) => config,
        Err(error) => return unknown(format!("JSON that is broken ({error})")),
    };
    let first = channels_first(&config, 0);
    stated::solve(|width| {
        let mut run =
            Run { state: &mut *state, names: Names::new(network), channels_first: first, classes: None, layers: 0 };
        let flow = run.network(&config, width)?;
        Ok((flow, run.classes))
    })
}

/// True if some layer says that its channels come first.
fn channels_first(json: &Json, depth: usize) -> bool {
    const DEEPEST: usize = 64;
    match json {
        _ if depth > DEEPEST => false,
        Json::Object(map) => map.iter().any(|(key, value)| {
            (key == "data_format" && value == "channels_first") || channels_first(value, depth + 1)
        }),
        Json::Array(items) => items.iter().any(|item| channels_first(item, depth + 1)),
        _ => false,
    }
}

struct Run<'a> {
    state: &'a mut StateDict,
    names: Names<'a>,
    channels_first: bool,
    classes: Option<usize>,
    layers: usize,
}

/// The layers of a model and its own name.
struct ModelConfig<'a> {
    layers: &'a [Json],
    config: &'a Json,
    sequential: bool,
}

impl<'a> ModelConfig<'a> {
    fn of(json: &'a Json) -> Option<ModelConfig<'a>> {
        let class = text(json, "class_name")?;
        let config = json.get("config")?;
        // Early versions keep the layers of sequential models in the place of the config.
        let layers = config.get("layers").unwrap_or(config).as_array()?;
        let sequential = class == "Sequential";
        (sequential || matches!(class, "Functional" | "ModelConfig")).then_some(ModelConfig {
            layers,
            config,
            sequential,
        })
    }
}

fn text<'a>(json: &'a Json, key: &str) -> Option<&'a str> {
    json.get(key).and_then(Json::as_str)
}

fn config(layer: &Json) -> &Json {
    layer.get("config").unwrap_or(&Json::Null)
}

/// A layer's name, in its config or beside it.
fn name(layer: &Json) -> &str {
    text(config(layer), "name").or_else(|| text(layer, "name")).unwrap_or_default()
}

impl Run<'_> {
    fn network(&mut self, json: &Json, width: Width) -> Flowing<Flow> {
        let Some(model) = ModelConfig::of(json) else {
            let class = text(json, "class_name").unwrap_or("without a class");
            return unknown(format!("a Keras model of class {class:.80}, whose layers its JSON does not say"));
        };
        let inputs = if model.sequential {
            vec![start(Input::Z, model.layers.first().and_then(input_shape), width)]
        } else {
            functional_inputs(&model, width)?
        };
        self.model(&model, inputs, 0)
    }

    fn model(&mut self, model: &ModelConfig<'_>, inputs: Vec<Flow>, depth: usize) -> Flowing<Flow> {
        if depth > MAX_DEPTH {
            return unknown(format!("models within models, deeper than {MAX_DEPTH}"));
        }
        self.names.enter(model.layers.iter().map(|layer| (text(layer, "class_name").unwrap_or_default(), name(layer))));
        let result = if model.sequential {
            self.sequential(model, inputs, depth)
        } else {
            self.functional(model, inputs, depth)
        };
        self.names.leave();
        result
    }

    fn sequential(&mut self, model: &ModelConfig<'_>, inputs: Vec<Flow>, depth: usize) -> Flowing<Flow> {
        let Ok([mut flow]) = <[Flow; 1]>::try_from(inputs) else {
            return unknown("a sequential model of several inputs");
        };
        for layer in model.layers {
            flow = self.layer(layer, vec![flow], depth)?;
        }
        Ok(flow)
    }

    fn functional(&mut self, model: &ModelConfig<'_>, inputs: Vec<Flow>, depth: usize) -> Flowing<Flow> {
        let mut inputs = input_names(model).into_iter().zip(inputs).collect::<HashMap<&str, Flow>>();
        // By name and number of the use: a shared layer is used several times.
        let mut values: HashMap<(&str, usize), Flow> = HashMap::new();
        for layer in model.layers {
            let name = name(layer);
            if text(layer, "class_name") == Some("InputLayer") {
                if let Some(flow) = inputs.remove(name) {
                    values.insert((name, 0), flow);
                }
                continue;
            }
            let uses = layer.get("inbound_nodes").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
            for (number, node) in uses.iter().enumerate().take(MAX_INPUTS) {
                let mut sources = Vec::new();
                histories(node, 0, &mut sources);
                let flows: Option<Vec<Flow>> = sources.iter().map(|source| values.get(source).cloned()).collect();
                let Some(flows) = flows.filter(|flows| !flows.is_empty()) else {
                    return unknown(format!("the Keras layer {name:.80}, whose inputs are not known"));
                };
                let flow = self.layer(layer, flows, depth)?;
                values.insert((name, number), flow);
            }
        }
        let mut outputs = Vec::new();
        histories(model.config.get("output_layers").unwrap_or(&Json::Null), 0, &mut outputs);
        let flow = outputs.first().and_then(|output| values.remove(output));
        flow.map_or_else(|| unknown("a Keras model without an output"), Ok)
    }

    fn layer(&mut self, layer: &Json, inputs: Vec<Flow>, depth: usize) -> Flowing<Flow> {
        self.layers += 1;
        if self.layers > MAX_LAYERS {
            return unknown(format!("more than {MAX_LAYERS} layers"));
        }
        if let Some(model) = ModelConfig::of(layer) {
            self.names.descend(name(layer));
            let flow = self.model(&model, inputs, depth + 1);
            self.names.ascend();
            return flow;
        }
        self.apply(text(layer, "class_name").unwrap_or_default(), name(layer), config(layer), inputs)
    }
}

/// The flow that an input starts, of the stated shape (without the batch) if there is one.
fn start(input: Input, shape: Option<Vec<Option<usize>>>, width: Width) -> Flow {
    let shape = match shape {
        Some(shape) => shape.into_iter().map(|axis| axis.unwrap_or(width.features)).collect(),
        None if input == Input::Z => vec![width.features],
        None => Vec::new(),
    };
    Flow::start(input, shape)
}

/// The shape that a layer states for its input, without the batch.
fn input_shape(layer: &Json) -> Option<Vec<Option<usize>>> {
    let stated = ["batch_shape", "batch_input_shape"].iter().find_map(|key| config(layer).get(key));
    let shape = stated.or_else(|| layer.get("build_config")?.get("input_shape"))?.as_array()?;
    let axes = shape.iter().skip(1).take(8).map(|axis| axis.as_u64().and_then(|axis| usize::try_from(axis).ok()));
    Some(axes.filter(|axis| axis.is_none_or(|axis| axis < 1 << 24)).collect())
}

fn input_names<'a>(model: &ModelConfig<'a>) -> Vec<&'a str> {
    let mut inputs = Vec::new();
    histories(model.config.get("input_layers").unwrap_or(&Json::Null), 0, &mut inputs);
    inputs.into_iter().map(|(name, _)| name).collect()
}

/// Where the code and the class come in.
fn functional_inputs(model: &ModelConfig<'_>, width: Width) -> Flowing<Vec<Flow>> {
    let names = input_names(model);
    let layer = |wanted: &str| model.layers.iter().find(|layer| name(layer) == wanted);
    // What is looked up in a table is a class.
    let looked_up = |wanted: &str| {
        model.layers.iter().filter(|layer| text(layer, "class_name") == Some("Embedding")).any(|layer| {
            let mut sources = Vec::new();
            histories(layer.get("inbound_nodes").unwrap_or(&Json::Null), 0, &mut sources);
            sources.iter().any(|(source, _)| *source == wanted)
        })
    };
    let whole = |wanted: &str| {
        let dtype = layer(wanted).and_then(|layer| text(config(layer), "dtype"));
        dtype.is_some_and(|dtype| dtype.starts_with("int") || dtype.starts_with("uint"))
    };
    let is_class =
        |wanted: &str| looked_up(wanted) || (names.len() > 1 && (whole(wanted) || stated::names_class(wanted)));
    let codes = names.iter().filter(|name| !is_class(name)).count();
    if codes != 1 || names.len() > 2 {
        return unknown(format!("a Keras model of {} inputs, expected a code and perhaps a class", names.len()));
    }
    let flows = names.iter().map(|name| {
        let shape = layer(name).and_then(input_shape);
        start(if is_class(name) { Input::Class } else { Input::Z }, shape, width)
    });
    Ok(flows.collect())
}

/// References to other layers in the order in which they stand: `["name", use, output, ..]`, however they are wrapped.
fn histories<'a>(json: &'a Json, depth: usize, found: &mut Vec<(&'a str, usize)>) {
    const DEEPEST: usize = 16;
    if depth > DEEPEST || found.len() >= MAX_INPUTS {
        return;
    }
    match json {
        Json::Array(items) => match items.as_slice() {
            [Json::String(name), Json::Number(number), Json::Number(_), ..] => {
                found.push((
                    name,
                    number.as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(usize::MAX),
                ));
            }
            items => items.iter().for_each(|item| histories(item, depth + 1, found)),
        },
        Json::Object(map) => map.values().for_each(|value| histories(value, depth + 1, found)),
        _ => {}
    }
}
