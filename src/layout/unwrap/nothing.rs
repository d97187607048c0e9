//! What a file without a generator holds instead.

use super::super::error::{LayoutProblem, Names};
use super::super::foreign::{self, known};
use super::candidates::Candidates;
use super::inventory::Inventory;
use super::words::Other;
use crate::checkpoint::Tree;

/// Why there is no network in the file.
pub(super) fn problem(tree: &Tree, inventory: &Inventory, found: &Candidates) -> LayoutProblem {
    let root = tree.root();
    if let Some(why) = &inventory.cut {
        return LayoutProblem::Unknown { seen: why.clone(), nearest: known() };
    }
    if let Some((name, kind)) = inventory.state.unread.first() {
        let what = format!("this is {kind}, which is not read. Convert the network to float32 and save it again");
        return LayoutProblem::content(name, what);
    }
    if let Err(problem) = foreign::refuse_optimiser(tree, root).and_then(|()| foreign::refuse_counters(tree, root)) {
        return problem;
    }
    if let Some((path, tensors)) = inventory.lists.first() {
        let place = if path.is_empty() { String::new() } else { format!(" ({:.80})", path.trim_end_matches('.')) };
        let what = format!("a list of {} tensors without names{place}", tensors.len());
        return LayoutProblem::foreign(what, "Save the generator's state_dict(), which has the names");
    }
    // All that is there may be one thing of a name.
    if let [(_, _)] = &found.others[..]
        && let Err(problem) = foreign::refuse_others(&inventory.state)
    {
        return problem;
    }
    let networks: Vec<String> = found.others.iter().map(|(path, other)| told(path, *other)).collect();
    if !networks.is_empty() {
        let what = format!("a file without a generator: it holds {}", Names(networks));
        return LayoutProblem::foreign(what, "Open the file that holds the generator");
    }
    if let Some(tensor) = tree.tensor(root) {
        let what = format!("one tensor of shape {:?}, not a network", tensor.shape());
        return LayoutProblem::foreign(what, "Open the generator's file; codes are given with --latents");
    }
    let keys = tree.entries(root).unwrap_or_default().iter().filter_map(|&(key, _)| tree.text(key));
    let keys: Vec<String> = keys.take(64).map(String::from).collect();
    let of = if keys.is_empty() { String::new() } else { format!(" ({})", Names(keys)) };
    LayoutProblem::Unknown { seen: format!("{}{of}, no tensors", tree.describe(root)), nearest: known() }
}

/// What tensors are that no layout knows, if their names or their number tell.
pub(super) fn stranger(inventory: &Inventory) -> Option<LayoutProblem> {
    let is_lora = |name: &str| ["lora_up", "lora_down", "lora_A", "lora_B"].iter().any(|part| name.contains(part));
    if inventory.state.names().any(is_lora) {
        let advice = "Open the generator that it changes, with the changes merged into it";
        return Some(LayoutProblem::foreign("a LoRA: small changes to a network that is not in the file", advice));
    }
    match inventory.state.at(0) {
        Some((name, tensor)) if inventory.state.len() == 1 => {
            let what = format!("one tensor, {name:.80} of shape {:?}, not a network", tensor.shape());
            Some(LayoutProblem::foreign(what, "Open the generator's file; codes are given with --latents"))
        }
        _ => None,
    }
}

fn told(path: &str, other: Other) -> String {
    if path.is_empty() { other.name().into() } else { format!("{path:.80} ({})", other.name()) }
}
