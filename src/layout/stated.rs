//! Files that state their whole network: from the flow of a graph to a recipe.

use super::error::LayoutProblem;
use super::flow::{Flow, Flowing, Obstacle, unknown};
use super::state_dict::StateDict;
use super::{keras, onnx, script};
use crate::checkpoint::{Program, Tree};
use crate::recipe::{Prior, Range, Recipe, Stated, Step, VERSION};

pub(super) const OPEN_GENERATOR: &str = "Open a generator: a network that takes a code";

/// The network of a program, and what the program states of it.
///
/// # Errors
/// It is no generator.
pub(super) fn network(program: &Program, tree: &Tree) -> Result<StateDict, LayoutProblem> {
    let mut state = match program {
        Program::TorchScript(code) => {
            script::collect(tree, code).map_err(|what| LayoutProblem::foreign(what, OPEN_GENERATOR))?
        }
        Program::Onnx(_) | Program::Keras(_) => {
            let mut state = StateDict::default();
            for &(key, value) in tree.entries(tree.root()).unwrap_or_default() {
                if let (Some(name), Some(tensor)) = (tree.text(key), tree.tensor(value)) {
                    state.insert(name.into(), tensor.clone());
                }
            }
            state
        }
    };
    let (recipe, by) = match program {
        Program::Onnx(graph) => (onnx::recipe(graph, &mut state), "the ONNX graph"),
        Program::TorchScript(code) => (script::recipe(tree, code, &mut state), "the TorchScript code"),
        Program::Keras(network) => (keras::recipe(network, &mut state), "the Keras file"),
    };
    state.stated = match recipe {
        Ok(recipe) => Stated::Network { recipe, by: by.into() },
        Err(Obstacle::Foreign { what, advice }) => return Err(LayoutProblem::foreign(what, advice)),
        Err(obstacle) => Stated::Unsupported { what: format!("a network for which {by} has {}", obstacle.message()) },
    };
    Ok(state)
}

/// True if an input of that name is a class, as far as names tell.
pub(super) fn names_class(name: &str) -> bool {
    let name = name.to_lowercase();
    matches!(name.as_str(), "c" | "y") || ["label", "class", "cond"].iter().any(|part| name.contains(part))
}

/// What is assumed of a code whose shape the file does not state.
#[derive(Clone, Copy)]
pub(super) struct Width {
    pub(super) features: usize,
    /// Axes of length one behind the features'.
    pub(super) ones: usize,
}

/// Runs a graph until the width of its code is known, and makes a recipe of what it gives: the flow of the picture and the
/// number of classes.
///
/// A code without features is the first guess. The first layer then says how many it lacks.
pub(super) fn solve(mut run: impl FnMut(Width) -> Flowing<(Flow, Option<usize>)>) -> Flowing<Recipe> {
    let mut first_obstacle = None;
    for ones in [0, 2] {
        let mut width = Width { features: 0, ones };
        // Twice at most: once to learn the width, once with it.
        for _ in 0..2 {
            match run(width) {
                Ok((flow, classes)) => match finish(flow, classes) {
                    Ok(recipe) => return Ok(recipe),
                    Err(obstacle) => {
                        first_obstacle.get_or_insert(obstacle);
                        break;
                    }
                },
                Err(Obstacle::Width { got, want, .. }) if width.features == 0 && want > got => {
                    width.features = want - got;
                }
                Err(obstacle) => {
                    first_obstacle.get_or_insert(obstacle);
                    break;
                }
            }
        }
    }
    Err(first_obstacle.unwrap_or_else(|| Obstacle::Unknown("no code".into())))
}

fn finish(flow: Flow, classes: Option<usize>) -> Flowing<Recipe> {
    let Some(z_dim) = flow.code().filter(|&z_dim| z_dim > 0) else {
        return unknown("no code that its result depends on");
    };
    let (flow, picture) = flow.picture()?;
    let (flow, range) = match flow.bounds() {
        Some([0.0, 1.0]) => (flow, Range::Unit),
        // Pixels of 0 to 255.
        Some([0.0, 255.0]) => (flow.scale(1.0 / 255.0, 0.0)?, Range::Unit),
        _ => (flow, Range::Signed),
    };
    let recipe = Recipe {
        version: VERSION,
        prior: Prior::Normal,
        z_dim,
        classes,
        steps: flow.into_steps(),
        picture,
        range,
        batch_statistics: false,
    };
    recipe.check().map_err(Obstacle::Unknown)?;
    Ok(recipe)
}

/// Padding of a convolution that is to keep `n / stride` pixels, by TensorFlow's rule; `None` if it is given otherwise.
pub(super) fn same_padding(
    rule: Option<&str>,
    flow: &Flow,
    kernel: &[usize],
    stride: [usize; 2],
    dilation: [usize; 2],
) -> Option<[usize; 4]> {
    let lower = match rule? {
        "VALID" | "valid" => return Some([0; 4]),
        "SAME_UPPER" | "same" => false,
        "SAME_LOWER" => true,
        _ => return None,
    };
    let (&[_, h, w], &[_, _, kh, kw]) = (flow.shape(), kernel) else { return None };
    let mut padding = [0; 4];
    for (axis, (n, k)) in [(h, kh), (w, kw)].into_iter().enumerate() {
        let reach = k.checked_sub(1)?.checked_mul(dilation[axis])?.checked_add(1)?;
        let out = n.div_ceil(stride[axis].max(1));
        let total = out.checked_sub(1)?.checked_mul(stride[axis])?.checked_add(reach)?.saturating_sub(n);
        let before = if lower { total - total / 2 } else { total / 2 };
        [padding[2 * axis], padding[2 * axis + 1]] = [before, total - before];
    }
    Some(padding)
}

/// A bias that is added by an operator of its own: to a layer without one, or as such.
pub(super) fn add_bias(mut flow: Flow, state: &mut StateDict, name: &str) -> Flowing<Flow> {
    let Some(tensor) = state.get(name) else { return unknown(format!("{name:.80}, a tensor that is not in the file")) };
    let channels = flow.shape().first().copied().unwrap_or(0);
    let long: Vec<usize> = tensor.shape().iter().copied().filter(|&axis| axis != 1).collect();
    // Behind the channel's axis there must be one axis of length one for each axis of the maps.
    let behind = tensor.shape().iter().rev().take_while(|&&axis| axis == 1).count();
    let fits = long == [channels] && (channels == 1 || behind + 1 == flow.shape().len());
    let Some(flat) = tensor.reshaped(&[channels]).filter(|_| fits) else {
        return unknown(format!(
            "the tensor {name:.80} of shape {:?} added to values of shape {:?}",
            tensor.shape(),
            flow.shape()
        ));
    };
    let name = if tensor.shape().len() == 1 {
        name.to_string()
    } else {
        let flat_name = format!("{name}.flat");
        state.insert(flat_name.clone(), flat);
        flat_name
    };
    match flow.last_step() {
        Some(
            Step::Linear { bias: bias @ None, .. }
            | Step::Conv(crate::recipe::Conv { bias: bias @ None, .. })
            | Step::ConvTranspose(crate::recipe::ConvTranspose { bias: bias @ None, .. }),
        ) => {
            *bias = Some(name);
            Ok(flow)
        }
        _ => unknown(format!("the tensor {name:.80} added where no layer is")),
    }
}
