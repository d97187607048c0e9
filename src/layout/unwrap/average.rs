//! Averages that are kept without all of their network: the trained parameters only, or without their names.

use std::collections::HashMap;

use super::super::state_dict::StateDict;
use super::candidates::{Candidate, Candidates, Holds};
use super::inventory::Inventory;
use crate::checkpoint::Tensor;

/// Networks that an average is compared with.
const MAX_BASES: usize = 4;
/// Last parts of the names of buffers, which lists of parameters do not have.
const BUFFERS: [&str; 11] = [
    "running_mean",
    "running_var",
    "num_batches_tracked",
    "weight_u",
    "weight_v",
    "noise_const",
    "resample_filter",
    "kernel",
    "w_avg",
    "u0",
    "sv0",
];

/// The network in training that `average` is the average of, with the averaged tensors in place of its own; and where it
/// lies. `None` if the average is complete by itself, or nothing fits it.
pub(super) fn completed<'a>(
    from: &Inventory,
    found: &'a Candidates,
    average: &Candidate,
) -> Option<(StateDict, &'a Candidate)> {
    if !average.standing.averaged {
        return None;
    }
    let bases = found.likely.iter().filter(|base| !base.standing.averaged && !base.by_names_only);
    bases.take(MAX_BASES).find_map(|base| {
        let Holds::Names(members) = &base.holds else { return None };
        let state = from.state.part(&base.prefix, members);
        let averaged = match &average.holds {
            Holds::Names(own) => by_names(&state, &from.state.part(&average.prefix, own))?,
            Holds::List(number) => by_order(&state, &from.lists.get(*number)?.1)?,
            Holds::Network(_) => return None,
        };
        let mut state = state;
        for (name, tensor) in averaged {
            state.insert(name, tensor);
        }
        Some((state, base))
    })
}

/// Averaged tensors by the names of the network: the same names, or those without their dots, as Lightning's buffers need.
fn by_names(base: &StateDict, average: &StateDict) -> Option<Vec<(String, Tensor)>> {
    let without_dots: HashMap<String, &str> = base.names().map(|name| (name.replace('.', ""), name)).collect();
    let mut found = Vec::new();
    for (name, tensor) in average.iter() {
        let full = if base.has(name) { Some(name) } else { without_dots.get(name).copied() };
        match full.and_then(|full| Some((full, base.get(full)?))) {
            Some((full, own)) if own.shape() == tensor.shape() => found.push((full.to_string(), tensor.clone())),
            // Counters of the average itself.
            None if tensor.len() <= 1 => {}
            _ => return None,
        }
    }
    let is_whole = found.len() == base.len() && average.names().all(|name| base.has(name));
    (!is_whole && 2 * found.len() >= base.len()).then_some(found)
}

/// Averaged parameters in the order of the network's, which has buffers between them.
fn by_order(base: &StateDict, average: &[Tensor]) -> Option<Vec<(String, Tensor)>> {
    let is_buffer = |name: &str| BUFFERS.contains(&name.rsplit('.').next().unwrap_or_default());
    let mut found = Vec::new();
    let mut waiting = average.iter();
    for (name, own) in base.iter().filter(|(name, _)| !is_buffer(name)) {
        let tensor = waiting.next()?;
        if tensor.shape() != own.shape() {
            return None;
        }
        found.push((name.to_string(), tensor.clone()));
    }
    waiting.next().is_none().then_some(found)
}
