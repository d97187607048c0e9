//! Networks that NVIDIA's TensorFlow code pickled (`dnnlib.tflib.network.Network`, `tfutil.Network`): variables by slashed
//! names, and the arguments that the network was built with.

use super::conventions::Conventions;
use super::error::LayoutProblem;
use super::mapping::{Mapping, pair};
use super::state_dict::StateDict;
use super::stylegan2::{Layer, Spelling};
use crate::checkpoint::{DType, Tensor, Tree, Value};
use crate::limits::DOUBLINGS;

const CLASSES: [&str; 3] = ["dnnlib.tflib.network.Network", "tfutil.Network", "network.Network"];
/// Networks in a file, and parts of one network: mapping and synthesis.
const MAX_COMPONENTS: usize = 8;
/// Variables and arguments of one network; public ones have about 200 and 20.
const MAX_VARIABLES: usize = 10_000;
const MAX_ARGUMENTS: usize = 1000;
/// Arguments whose numbers the layouts ask for. Absent ones have the code's defaults.
const NUMBERS: [&str; 3] = ["conv_clamp", "fused_scale", "label_size"];

/// Arguments that the renderer knows with one value only, their default.
const FIXED: [(&str, Argument); 15] = [
    ("nonlinearity", Argument::Text("lrelu")),
    ("mapping_nonlinearity", Argument::Text("lrelu")),
    ("mapping_lrmul", Argument::Numbers(&[0.01])),
    ("normalize_latents", Argument::Numbers(&[1.0])),
    ("resample_kernel", Argument::Numbers(&[1.0, 3.0, 3.0, 1.0])),
    ("blur_filter", Argument::Numbers(&[1.0, 2.0, 1.0])),
    ("use_wscale", Argument::Numbers(&[1.0])),
    ("use_pixelnorm", Argument::Numbers(&[1.0])),
    ("use_leakyrelu", Argument::Numbers(&[1.0])),
    ("tanh_at_end", Argument::Numbers(&[0.0])),
    ("use_pixel_norm", Argument::Numbers(&[0.0])),
    ("use_instance_norm", Argument::Numbers(&[1.0])),
    ("use_styles", Argument::Numbers(&[1.0])),
    ("use_noise", Argument::Numbers(&[1.0])),
    ("const_input_layer", Argument::Numbers(&[1.0])),
];

enum Argument {
    Text(&'static str),
    /// Truth values count as 1 and 0.
    Numbers(&'static [f64]),
}

impl Argument {
    fn is(&self, tree: &Tree, value: Value) -> bool {
        match self {
            Argument::Text(expected) => tree.text(value) == Some(expected),
            Argument::Numbers(expected) => {
                let same =
                    |value: &Value, expected: &f64| tree.number(*value).is_some_and(|x| (x - expected).abs() < 1e-6);
                match tree.items(value) {
                    Some(items) => {
                        items.len() == expected.len() && items.iter().zip(*expected).all(|(v, e)| same(v, e))
                    }
                    None => expected.len() == 1 && same(&value, &expected[0]),
                }
            }
        }
    }
}

/// True if `value` is a pickled network.
pub(super) fn is_network(tree: &Tree, value: Value) -> bool {
    tree.object(value).is_some_and(|object| CLASSES.contains(&&*object.class))
}

/// What a network calls itself.
pub(super) fn name(tree: &Tree, network: Value) -> &str {
    let name = tree.object(network).and_then(|object| tree.get(object.state, "name"));
    name.and_then(|name| tree.text(name)).filter(|name| name.len() <= 80).unwrap_or("another network")
}

/// The variables of a network and of its parts, with the axes in PyTorch's order: `[out, in, height, width]`, `[out, in]`.
pub(super) fn collect(tree: &Tree, network: Value) -> Result<StateDict, LayoutProblem> {
    let mut dict = StateDict::default();
    let mut waiting = vec![(String::new(), network)];
    let mut components = MAX_COMPONENTS;
    while let Some((prefix, network)) = waiting.pop() {
        let Some(object) = tree.object(network) else { continue };
        let state = object.state;
        if tree.get(state, "param_values").is_some() {
            let what = format!("a PGGAN of the Theano code ({})", object.class);
            return Err(LayoutProblem::foreign(what, "Open the TensorFlow or PyTorch version of the network instead"));
        }
        let function = tree.get(state, "build_func_name").and_then(|name| tree.text(name)).unwrap_or("?");
        dict.class.get_or_insert_with(|| format!("{}, built by {function:.80}", object.class));
        add_arguments(tree, state, &prefix, &mut dict)?;
        let variables = tree.get(state, "variables").and_then(|list| tree.items(list)).unwrap_or_default();
        if variables.len() > MAX_VARIABLES {
            return Err(LayoutProblem::unsupported(format!("a network of {} variables", variables.len())));
        }
        for &variable in variables {
            let Some(&[name, value]) = tree.items(variable) else { continue };
            let name = tree.text(name).filter(|name| name.len() <= 256);
            if let (Some(name), Some(tensor)) = (name, tensor(tree, value)) {
                let name = format!("{prefix}{name}");
                // The first StyleGANs have one list, with the scopes of the parts.
                let name = name.strip_prefix("G_").filter(|_| prefix.is_empty()).unwrap_or(&name).to_string();
                let tensor = in_pytorch_order(&name, tensor);
                dict.insert(name, tensor);
            }
        }
        let parts = tree.get(state, "components").and_then(|parts| tree.entries(parts)).unwrap_or_default();
        for &(name, part) in parts {
            let name = tree.text(name).filter(|name| name.len() <= 32);
            if let Some(name) = name.filter(|_| is_network(tree, part)) {
                components = components.checked_sub(1).ok_or_else(|| {
                    LayoutProblem::unsupported(format!("a network of more than {MAX_COMPONENTS} parts"))
                })?;
                waiting.push((format!("{prefix}{name}/"), part));
            }
        }
    }
    Ok(dict)
}

fn add_arguments(tree: &Tree, state: Value, prefix: &str, dict: &mut StateDict) -> Result<(), LayoutProblem> {
    let Some(arguments) = tree.get(state, "static_kwargs") else { return Ok(()) };
    if tree.entries(arguments).is_some_and(|arguments| arguments.len() > MAX_ARGUMENTS) {
        return Ok(());
    }
    for (name, expected) in FIXED {
        if let Some(value) = tree.get(arguments, name).filter(|value| !expected.is(tree, *value)) {
            let what = match (tree.text(value), tree.number(value)) {
                (Some(text), _) => format!("{text:.40}"),
                (None, Some(number)) => number.to_string(),
                (None, None) => tree.describe(value),
            };
            return Err(LayoutProblem::unsupported(format!("a TensorFlow network built with {name} = {what}")));
        }
    }
    for name in NUMBERS {
        if let Some(value) = tree.get(arguments, name) {
            dict.attributes.push((format!("{prefix}static_kwargs.{name}"), tree.number(value)));
        }
    }
    Ok(())
}

/// Variables without axes are numpy scalars, or Python numbers.
fn tensor(tree: &Tree, value: Value) -> Option<Tensor> {
    match value {
        Value::Int(_) | Value::Float(_) => {
            let number = tree.number(value)? as f32;
            Tensor::contiguous(DType::F32, Vec::new(), number.to_le_bytes().to_vec().into()).ok()
        }
        _ => tree.tensor(value).cloned(),
    }
}

/// TensorFlow has `[height, width, in, out]` and `[in, out]`; embeddings that are looked up stay as they are.
fn in_pytorch_order(name: &str, tensor: Tensor) -> Tensor {
    let last = name.rsplit('/').next().unwrap_or_default();
    let order: &[usize] = match (tensor.shape().len(), last) {
        (4, "weight") => &[3, 2, 0, 1],
        (2, "weight" | "mod_weight") if !name.ends_with("LabelConcat/weight") => &[1, 0],
        _ => return tensor,
    };
    tensor.permuted(order).unwrap_or(tensor)
}

/// Oblong networks (aydao/stylegan2-surgery) name their scopes after sizes, some of which are not even theirs: under the names
/// of a square network, by the order of their sizes. `None` for other networks.
///
/// # Errors
/// The network has layers that are not drawn here.
pub(super) fn unified(state: &StateDict) -> Result<Option<StateDict>, LayoutProblem> {
    if let Some(name) = state.names().find(|name| name.starts_with("synthesis/") && name.contains("/SelfAtten")) {
        let what = format!("a StyleGAN2 with self-attention (stylegan2-surgery's option; it has {name:.80})");
        return Err(LayoutProblem::unsupported(what));
    }
    let mut scopes: Vec<[usize; 2]> = state.names().filter_map(|name| Some(scope(name)?.0)).collect();
    scopes.sort_by_key(|&[height, width]| (height.saturating_mul(width), height));
    scopes.dedup();
    let has_constant = |[height, width]: &[usize; 2]| state.has(&format!("synthesis/{height}x{width}/Const/const"));
    let is_oblong = scopes.first().is_some_and(has_constant) && !state.has(STYLEGAN2.constant);
    if !is_oblong || scopes.len() > DOUBLINGS {
        return Ok(None);
    }
    // Layers that the sizes skip leave gaps in the numbers of the noise.
    let noise = |name: &str| name.strip_prefix("synthesis/noise")?.parse::<usize>().ok();
    let mut noises: Vec<usize> = state.names().filter_map(noise).collect();
    noises.sort_unstable();
    let renamed = |name: &str| {
        if let Some(number) = noise(name) {
            return Some(format!("synthesis/noise{}", noises.binary_search(&number).ok()?));
        }
        let (size, part) = scope(name)?;
        let block = scopes.iter().position(|&scope| scope == size)?;
        Some(format!("synthesis/{0}x{0}/{part}", 4usize << block))
    };
    Ok(Some(state.mapped(|name, tensor| (renamed(name).unwrap_or_else(|| name.into()), tensor.clone()))))
}

/// Height, width and the rest of a name such as "synthesis/8x12/Conv1/bias".
fn scope(name: &str) -> Option<([usize; 2], &str)> {
    let (size, part) = name.strip_prefix("synthesis/")?.split_once('/')?;
    let (height, width) = size.split_once('x')?;
    Some(([height.parse().ok()?, width.parse().ok()?], part))
}

/// StyleGAN2 and StyleGAN2-ADA.
pub(super) const STYLEGAN2: Spelling = Spelling {
    layout: "tensorflow",
    constant: "synthesis/4x4/Const/const",
    mapping: Mapping {
        dense: |i| pair(&format!("mapping/Dense{i}/")),
        scale: 1.0,
        embed: Some("mapping/LabelEmbed/"),
        label: Some("mapping/LabelConcat/weight"),
        mean_w: "dlatent_avg",
    },
    conv: |n| {
        let part = match n {
            0 => "Conv",
            _ if n % 2 == 1 => "Conv0_up",
            _ => "Conv1",
        };
        layer(&format!("synthesis/{0}x{0}/{part}", 4usize << n.div_ceil(2)), Some(n))
    },
    rgb: |block| layer(&format!("synthesis/{0}x{0}/ToRGB", 4usize << block), None),
    skip: Some(|block| format!("synthesis/{0}x{0}/Skip/weight", 4usize << block)),
    // Taps are arguments, not variables.
    filter: ("", 1.0),
    up_kernels_reversed: true,
    style_bias_lacks_one: true,
    is_folded: false,
    conventions: Conventions::DEFAULT,
};

fn layer(name: &str, noise: Option<usize>) -> Layer {
    Layer {
        weight: format!("{name}/weight"),
        bias: format!("{name}/bias"),
        style_weight: format!("{name}/mod_weight"),
        style_bias: format!("{name}/mod_bias"),
        noise: noise.map(|n| [format!("synthesis/noise{n}"), format!("{name}/noise_strength")]),
    }
}
