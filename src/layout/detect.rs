//! Finds the generator in a checkpoint and recognises its layout, by names and shapes only.

use super::dcgan::Match;
use super::error::{LayoutError, LayoutProblem, Names};
use super::state_dict::{StateDict, is_module};
use super::stylegan2::Spelling;
use super::weights::{Canonical, Weights};
use super::{dcgan, genforce, nvidia, rosinality};
use crate::checkpoint::{Checkpoint, Container, Tensor, Tree, Value};
use crate::generator::Family;

/// Where files keep the network to use, best first: moving averages before the networks in training.
const PREFERRED: [&str; 15] = [
    "g_ema",
    "G_ema",
    "generator_smooth",
    "ema",
    "generator",
    "g",
    "G",
    "netG",
    "netG_state_dict",
    "generator_state_dict",
    "G_state_dict",
    "model",
    "state_dict",
    "model_state_dict",
    "models",
];
/// Wrappers that add a prefix to every name: data parallelism and compilation.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];
/// Networks saved together in one state dict: the generator's prefix, and its companion's (none is needed for decoders).
const COMPANIONS: [(&str, &str); 4] =
    [("decoder.", "decoder."), ("generator.", "discriminator."), ("netG.", "netD."), ("G.", "D.")];
const MAX_WRAPPING: usize = 8;
/// Entries of a map without preferred names in which the only network is looked for.
const MAX_CANDIDATES: usize = 1000;
/// Unused parts that are named one by one.
const MAX_IGNORED: usize = 32;

/// Recognises the generator in `checkpoint`.
///
/// # Errors
/// No known layout matches, the family cannot be opened yet, or tensors are missing or misshapen.
pub fn detect(checkpoint: Checkpoint) -> Result<Weights, LayoutError> {
    let file = checkpoint.file.clone();
    recognise(checkpoint).map_err(|problem| LayoutError { file, problem })
}

fn recognise(checkpoint: Checkpoint) -> Result<Weights, LayoutProblem> {
    let mut network = unwrap(&checkpoint.tree)?;
    if checkpoint.container == Container::Safetensors {
        network.state.sort_naturally();
    }
    network.strip_prefixes();
    let mut weights = Weights {
        file: checkpoint.file,
        family: Family::StyleGan2,
        layout: "",
        container: checkpoint.container,
        metadata: checkpoint.metadata,
        carries_code: checkpoint.carries_code,
        ignored: network.ignored,
        warnings: Vec::new(),
        conv_clamp: None,
        tensors: Canonical::new(),
    };
    let mut state = network.state;
    refuse_other_families(&state)?;
    if state.has(nvidia::SPELLING.constant) {
        nvidia::refuse_variants(&state)?;
        nvidia::check_mapping_rate(&state)?;
        weights.conv_clamp = nvidia::conv_clamp(&state)?.or(clamp_from_metadata(&mut weights));
        fill(&mut weights, &nvidia::SPELLING, &state, NO_MEAN)?;
    } else if state.has(genforce::SPELLING.constant) {
        genforce::refuse_variants(&state)?;
        fill(&mut weights, &genforce::SPELLING, &state, NO_MEAN)?;
    } else if state.has(rosinality::SPELLING.constant) && state.has("conv1.conv.weight") {
        let several = network.mean_w.is_some();
        if let Some(mean) = network.mean_w.as_ref().and_then(one_mean) {
            state.insert(rosinality::MEAN_W.into(), mean);
        }
        let why = if several { "the mean w in the file differs from layer to layer" } else { NO_MEAN };
        fill(&mut weights, &rosinality::SPELLING, &state, why)?;
    } else {
        match dcgan::assemble(&state)? {
            Match::Yes(tensors) => {
                weights = Weights { family: Family::Dcgan, layout: "sequential", tensors, ..weights };
            }
            Match::Nearly(remark) => return Err(unknown(&state, Some(remark))),
            Match::No => return Err(unknown(&state, None)),
        }
    }
    Ok(weights)
}

const NO_MEAN: &str = "no mean w in the file";

/// Takes over a StyleGAN2; `no_mean` says why there is no mean w, if there is none.
fn fill(weights: &mut Weights, spelling: &Spelling, state: &StateDict, no_mean: &str) -> Result<(), LayoutProblem> {
    let (tensors, unused) = spelling.assemble(state)?;
    if !tensors.contains_key("mapping.w_avg") {
        weights.warnings.push(format!("{no_mean}: it is estimated from 4096 samples"));
    }
    if !unused.is_empty() {
        weights.ignored.push(format!("tensors {}", Names(unused)));
    }
    weights.layout = spelling.layout;
    weights.tensors = tensors;
    Ok(())
}

fn clamp_from_metadata(weights: &mut Weights) -> Option<f32> {
    let text = weights.metadata.get("conv_clamp")?;
    let clamp = text.parse().ok().filter(|clamp: &f32| clamp.is_finite() && *clamp > 0.0);
    if clamp.is_none() {
        weights
            .warnings
            .push(format!("conv_clamp {text:?} in the metadata is not a positive number: no clamp is used"));
    }
    clamp
}

/// `latent_avg` as one vector. Encoder bundles have a row per layer, usually the same one.
fn one_mean(mean: &Tensor) -> Option<Tensor> {
    if mean.shape().len() < 2 {
        return Some(mean.clone());
    }
    let first = mean.row(0)?;
    let values = first.to_f32();
    let same = mean.to_f32().chunks(values.len().max(1)).all(|row| row == values);
    same.then_some(first)
}

/// A network found in a checkpoint.
struct Network {
    state: StateDict,
    /// The mean w that rosinality's files keep beside the network.
    mean_w: Option<Tensor>,
    ignored: Vec<String>,
}

/// Descends to the generator's tensors.
fn unwrap(tree: &Tree) -> Result<Network, LayoutProblem> {
    let (mut value, mut path) = (tree.root(), String::new());
    let (mut mean_w, mut ignored) = (None, Vec::new());
    for _ in 0..MAX_WRAPPING {
        refuse_tensorflow(tree, value)?;
        if is_module(tree, value) {
            break;
        }
        let Some(entries) = tree.entries(value) else { break };
        mean_w = tree.get(value, rosinality::MEAN_W).and_then(|mean| tree.tensor(mean)).cloned().or(mean_w);
        let Some((key, child)) = choose(tree, value, entries) else { break };
        let others = entries.iter().filter_map(|&(name, _)| tree.text(name));
        let others = others.filter(|&name| name != key && name != rosinality::MEAN_W);
        ignored.extend(others.map(|name| format!("{path}{name:.80}")));
        path = format!("{path}{key:.80}.");
        value = child;
    }
    let state =
        StateDict::collect(tree, value).map_err(|what| LayoutProblem::Unknown { seen: what, nearest: known() })?;
    if state.len() == 0 {
        let place = if path.is_empty() { String::new() } else { format!(" under {}", path.trim_end_matches('.')) };
        let keys = tree.entries(value).unwrap_or_default().iter().filter_map(|&(key, _)| tree.text(key));
        let keys: Vec<String> = keys.map(String::from).collect();
        let of = if keys.is_empty() { String::new() } else { format!(" ({})", Names(keys)) };
        let seen = format!("{}{of}{place}, no tensors", tree.describe(value));
        return Err(LayoutProblem::Unknown { seen, nearest: known() });
    }
    if ignored.len() > MAX_IGNORED {
        let more = ignored.len() - MAX_IGNORED;
        ignored.truncate(MAX_IGNORED);
        ignored.push(format!("{more} more"));
    }
    Ok(Network { state, mean_w, ignored })
}

/// The entry of a map to descend into: the best of the preferred names, or else the only candidate of a map that has no
/// tensors of its own.
fn choose<'a>(tree: &'a Tree, map: Value, entries: &'a [(Value, Value)]) -> Option<(&'a str, Value)> {
    let holds_more = |value: Value| is_module(tree, value) || tree.entries(value).is_some_and(|e| !e.is_empty());
    let preferred = PREFERRED.iter().find_map(|&key| Some((key, tree.get(map, key).filter(|&v| holds_more(v))?)));
    if preferred.is_some() {
        return preferred;
    }
    if entries.len() > MAX_CANDIDATES || entries.iter().any(|&(_, value)| tree.tensor(value).is_some()) {
        return None;
    }
    let mut candidates = entries.iter().filter(|&&(_, value)| holds_more(value));
    match (candidates.next(), candidates.next()) {
        (Some(&(key, value)), None) => Some((tree.text(key)?, value)),
        _ => None,
    }
}

impl Network {
    fn strip_prefixes(&mut self) {
        for prefix in WRAPPERS {
            if self.state.names().all(|name| name.starts_with(prefix)) {
                self.state.keep_prefix(prefix);
            }
        }
        for (generator, companion) in COMPANIONS {
            let has = |prefix| self.state.names().any(|name| name.starts_with(prefix));
            if has(generator) && has(companion) {
                for name in self.state.keep_prefix(generator) {
                    let part = name.split('.').next().unwrap_or_default().to_string();
                    if !self.ignored.contains(&part) {
                        self.ignored.push(part);
                    }
                }
            }
        }
    }
}

/// TensorFlow's networks are a tuple (G, D, Gs) of `Network` objects, or one of them.
fn refuse_tensorflow(tree: &Tree, value: Value) -> Result<(), LayoutProblem> {
    let first = tree.items(value).and_then(|items| items.iter().find_map(|&item| tree.object(item)));
    let class = first.or_else(|| tree.object(value)).map(|object| &*object.class);
    match class {
        Some(class @ ("dnnlib.tflib.network.Network" | "tfutil.Network" | "network.Network")) => {
            Err(LayoutProblem::unsupported(format!("a TensorFlow network ({class})")))
        }
        _ => Ok(()),
    }
}

fn refuse_other_families(state: &StateDict) -> Result<(), LayoutProblem> {
    let starts = |prefix: &str| state.names().any(|name| name.starts_with(prefix));
    let family = if state.has("synthesis.input.freqs") {
        "StyleGAN3 (NVIDIA names)"
    } else if state.has("synthesis.layer0.const") && state.has("synthesis.layer0.style.weight") {
        "StyleGAN (genforce names)"
    } else if state.has("layer0.weight") && state.has("output0.weight") && state.has("lod") {
        "PGGAN (genforce names)"
    } else if state.has("generator.gen_z.weight_orig") || state.has("gen_z.weight_orig") {
        "BigGAN-deep (Hugging Face names)"
    } else if state.has("linear.weight") && state.has("blocks.0.0.conv1.weight") {
        "BigGAN (ajbrock's names)"
    } else if starts("synthesis/4x4/Const") || starts("4x4/Dense") {
        "a network with TensorFlow names"
    } else if starts("GAN.") || (starts("GE.") && starts("S.")) {
        "StyleGAN2 (lucidrains' names, another network)"
    } else {
        return Ok(());
    };
    Err(LayoutProblem::unsupported(format!("{family}: this family")))
}

const STYLEGAN2: [&Spelling; 3] = [&nvidia::SPELLING, &genforce::SPELLING, &rosinality::SPELLING];

/// Says what was seen, and which layout comes closest.
fn unknown(state: &StateDict, remark: Option<String>) -> LayoutProblem {
    let names = Names(state.names().map(String::from).collect());
    let class = state.class.as_ref().map(|class| format!(" of class {class:.80}")).unwrap_or_default();
    let seen = format!("a network{class} of {} tensors, {names}", state.len());
    let likeness = STYLEGAN2.iter().map(|spelling| (spelling.layout, spelling.likeness(state)));
    let best = likeness.max_by(|(_, (a, _)), (_, (b, _))| a.total_cmp(b)).filter(|(_, (share, _))| *share > 0.1);
    let nearest = match (best, remark) {
        (Some((layout, (_, missing))), _) => format!("Nearest: StyleGAN2 ({layout}), which also has {missing}"),
        (None, Some(remark)) => format!("Nearest: {remark}"),
        (None, None) => known(),
    };
    LayoutProblem::Unknown { seen, nearest }
}

fn known() -> String {
    "Expected a generator: StyleGAN2 (names of NVIDIA, genforce or rosinality) or DCGAN".into()
}
