//! From the root of a file down to the tensors of its generator.

use super::error::{LayoutProblem, Names};
use super::foreign::{self, known};
use super::state_dict::{StateDict, is_module};
use super::{rosinality, tensorflow};
use crate::checkpoint::{Tensor, Tree, Value};

/// Where files keep the network to use, best first: moving averages before the networks in training.
const PREFERRED: [&str; 19] = [
    "Gs",
    "g_ema",
    "G_ema",
    "generator_smooth",
    "generator_ema",
    "netG_ema",
    "params_ema",
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

/// A network found in a checkpoint.
pub(super) struct Network {
    pub(super) state: StateDict,
    /// The mean w that rosinality's files keep beside the network.
    pub(super) mean_w: Option<Tensor>,
    pub(super) ignored: Vec<String>,
}

/// Descends to the generator's tensors.
pub(super) fn unwrap(tree: &Tree) -> Result<Network, LayoutProblem> {
    let (mut value, mut path) = (tree.root(), String::new());
    let (mut mean_w, mut ignored) = (None, Vec::new());
    for _ in 0..MAX_WRAPPING {
        foreign::refuse_optimiser(tree, value)?;
        if let Some(network) = tensorflow::choose(tree, value) {
            let others = tree.items(value).unwrap_or_default().iter().filter(|&&other| other != network);
            ignored.extend(others.map(|&other| format!("{path}{}", tensorflow::name(tree, other))));
            value = network;
        }
        if is_module(tree, value) || tensorflow::is_network(tree, value) {
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
    let state = if tensorflow::is_network(tree, value) {
        tensorflow::collect(tree, value)?
    } else {
        StateDict::collect(tree, value).map_err(|what| LayoutProblem::Unknown { seen: what, nearest: known() })?
    };
    if state.len() == 0 {
        let place = if path.is_empty() { String::new() } else { format!(" under {}", path.trim_end_matches('.')) };
        let keys = tree.entries(value).unwrap_or_default().iter().filter_map(|&(key, _)| tree.text(key));
        let keys: Vec<String> = keys.map(String::from).collect();
        let of = if keys.is_empty() { String::new() } else { format!(" ({})", Names(keys)) };
        foreign::refuse_counters(tree, tree.root())?;
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
    let holds_more = |value: Value| {
        is_module(tree, value)
            || tensorflow::is_network(tree, value)
            || tree.entries(value).is_some_and(|entries| !entries.is_empty())
    };
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
    pub(super) fn strip_prefixes(&mut self) {
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
