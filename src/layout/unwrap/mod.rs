//! From the root of a file down to the tensors of its generator.
//!
//! People keep the generator under many names: as a key, as a prefix of the tensors' names, in lists and tuples, inside
//! wrappers, beside its average over the training and beside the networks it was trained with. So nothing is looked up by
//! name. All tensors of the file make one flat list of dotted names ([`inventory`]); every step of a path is judged by its
//! words ([`words`]); the places that may hold the generator are ranked ([`candidates`]), and the first whose tensors some
//! layout knows is taken.

mod average;
mod candidates;
mod inventory;
mod nothing;
#[cfg(test)]
mod tests;
mod words;

use std::collections::HashSet;

use super::error::LayoutProblem;
use super::foreign::known;
use super::state_dict::StateDict;
use super::{rosinality, tensorflow};
use crate::checkpoint::{Tensor, Tree};
use crate::limits;
use candidates::{Candidate, Candidates, Holds};
use inventory::Inventory;

/// Unused parts that are named one by one.
const MAX_IGNORED: usize = 32;
/// A network that needs no path.
const WHOLE: &str = "the whole file";
/// Networks that are named beside the one that is taken.
const MAX_BESIDE: usize = 6;

/// A network found in a checkpoint.
pub(super) struct Network {
    pub(super) state: StateDict,
    /// The network with all that has names in the same state dict or module, if it is not alone there: an encoder, another
    /// prefix. What the file is may show there.
    pub(super) surroundings: Option<StateDict>,
    /// The mean w that rosinality's files keep beside the network.
    pub(super) mean_w: Option<Tensor>,
    /// Lies among things of other kinds, so that its names must tell that it is a generator; shapes do not suffice.
    pub(super) by_names_only: bool,
    /// Path and words of the place, such as "g_ema (averaged; beside it: g, d)".
    pub(super) taken: String,
    pub(super) ignored: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// The likeliest network in a file that `read` understands, or the one at the path `wanted`. A file that states its network
/// (`stated`) is nothing else.
///
/// # Errors
/// There is none: what `read` said of the likeliest place, or what the file holds instead.
pub(super) fn find<T>(
    tree: &Tree,
    stated: Option<StateDict>,
    wanted: Option<&str>,
    mut read: impl FnMut(&mut Network) -> Result<T, LayoutProblem>,
) -> Result<(Network, T), LayoutProblem> {
    if let Some(state) = stated {
        let mut network = Network::whole(state);
        let content = read(&mut network)?;
        return Ok((network, content));
    }
    let inventory = Inventory::of(tree);
    let found = Candidates::of(&inventory);
    let tried = match wanted {
        Some(wanted) => only(wanted, &found)?,
        None => found.likely.iter().collect(),
    };
    let mut failures: Vec<(&Candidate, LayoutProblem)> = Vec::new();
    for candidate in tried.into_iter().take(limits::TRIED) {
        // What is damaged, or known and not opened, is the generator all the same: nothing less likely takes its place.
        let is_known = |(failed, problem): &&(&Candidate, LayoutProblem)| {
            !matches!(problem, LayoutProblem::Unknown { .. })
                && (candidate.standing != failed.standing || candidate.prefix.starts_with(&failed.prefix))
        };
        if failures.iter().any(|failure| is_known(&failure)) {
            continue;
        }
        let place = Place { tree, inventory: &inventory, found: &found, candidate };
        let read = place.network().and_then(|mut network| {
            let content = read(&mut network)?;
            Ok((network, content))
        });
        match read {
            Ok((mut network, content)) => {
                if wanted.is_none() {
                    network.warnings.extend(place.doubts(&failures));
                }
                return Ok((network, content));
            }
            Err(problem) => failures.push((candidate, problem)),
        }
    }
    let known = |(_, problem): &&(&Candidate, LayoutProblem)| !matches!(problem, LayoutProblem::Unknown { .. });
    if let Some((_, problem)) = failures.iter().find(known) {
        return Err(problem.clone());
    }
    Err(match failures.first() {
        Some((_, problem)) => nothing::stranger(&inventory).unwrap_or_else(|| problem.clone()),
        None => nothing::problem(tree, &inventory, &found),
    })
}

impl Network {
    fn whole(state: StateDict) -> Network {
        Network {
            state,
            surroundings: None,
            mean_w: None,
            by_names_only: false,
            taken: WHOLE.into(),
            ignored: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// The candidates at a path that the user named.
fn only<'a>(wanted: &str, found: &'a Candidates) -> Result<Vec<&'a Candidate>, LayoutProblem> {
    let wanted_ones: Vec<&Candidate> =
        found.likely.iter().filter(|it| it.path() == wanted.trim_end_matches('.')).collect();
    if !wanted_ones.is_empty() {
        return Ok(wanted_ones);
    }
    let named = found.likely.iter().filter(|it| !it.by_names_only && !it.path().is_empty());
    let mut seen = HashSet::new();
    let paths: Vec<&str> = named.map(Candidate::path).filter(|path| seen.insert(*path)).take(MAX_IGNORED).collect();
    let there = if paths.is_empty() { "it has only one".into() } else { format!("there are {}", paths.join(", ")) };
    Err(LayoutProblem::NoSuchNetwork { wanted: wanted.into(), there })
}

/// A candidate with all that lies around it.
struct Place<'a> {
    tree: &'a Tree,
    inventory: &'a Inventory,
    found: &'a Candidates,
    candidate: &'a Candidate,
}

impl Place<'_> {
    fn network(&self) -> Result<Network, LayoutProblem> {
        let prefix = self.candidate.prefix.as_str();
        let mut averaged = self.candidate.standing.averaged.then(|| "averaged".to_string());
        let state = match &self.candidate.holds {
            Holds::Network(network) => tensorflow::collect(self.tree, *network)?,
            Holds::List(_) | Holds::Names(_) => match average::completed(self.inventory, self.found, self.candidate) {
                Some((state, base)) => {
                    averaged = Some(format!("averaged; what is not averaged is from {}", named(base)));
                    state
                }
                None => match &self.candidate.holds {
                    Holds::Names(members) => self.inventory.state.part(prefix, members),
                    _ => return Err(self.unknown("a list of tensors without names")),
                },
            },
        };
        if state.len() == 0 {
            return Err(self.unknown("no tensors"));
        }
        let beside = self.beside();
        let beside = (!beside.is_empty()).then(|| format!("beside it: {}", beside.join(", ")));
        let words: Vec<String> = averaged.into_iter().chain(beside).collect();
        let words = if words.is_empty() { String::new() } else { format!(" ({})", words.join("; ")) };
        Ok(Network {
            surroundings: self.surroundings(),
            mean_w: self.inventory.beside(prefix, rosinality::MEAN_W).cloned(),
            by_names_only: self.candidate.by_names_only,
            taken: format!("{}{words}", named(self.candidate)),
            ignored: self.ignored(),
            warnings: Vec::new(),
            state,
        })
    }

    fn unknown(&self, what: &str) -> LayoutProblem {
        LayoutProblem::Unknown { seen: format!("{}: {what}", named(self.candidate)), nearest: known() }
    }

    /// The state dict or module that the candidate is a part of.
    fn surroundings(&self) -> Option<StateDict> {
        let prefix = self.candidate.prefix.as_str();
        let ends = prefix.match_indices('.').map(|(at, _)| &prefix[..=at]);
        let around = ends.rev().find(|path| self.inventory.is_key(path)).unwrap_or("");
        let inside = |at: &usize| self.inventory.state.at(*at).is_some_and(|(name, _)| name.starts_with(around));
        let members: Vec<usize> = (0..self.inventory.state.len()).filter(inside).collect();
        match self.candidate.tensors() {
            Some(own) if own < members.len() => Some(self.inventory.state.part(around, &members)),
            _ => None,
        }
    }

    /// The other networks of the file.
    fn beside(&self) -> Vec<String> {
        let prefix = self.candidate.prefix.as_str();
        let apart =
            |path: &str| !path.is_empty() && !prefix.starts_with(&format!("{path}.")) && !path.starts_with(prefix);
        let candidates = self.found.likely.iter().filter(|it| !it.by_names_only).map(Candidate::path);
        let others = self.found.others.iter().filter(|(_, other)| other.is_network()).map(|(path, _)| path.as_str());
        let around = prefix.trim_end_matches('.').rfind('.').map_or("", |dot| &prefix[..=dot]);
        let mut beside: Vec<&str> = Vec::new();
        for path in candidates.chain(others).filter(|path| apart(path) || prefix.is_empty() && !path.is_empty()) {
            let inside = |outer: &&str| path.strip_prefix(*outer).is_some_and(|rest| rest.starts_with('.'));
            if !beside.iter().any(|known| *known == path || inside(known)) {
                beside.push(path);
            }
        }
        if prefix.is_empty() {
            beside.retain(|path| self.found.others.iter().any(|(other, _)| other == path));
        }
        beside.truncate(MAX_BESIDE);
        beside.into_iter().map(|path| format!("{:.80}", path.strip_prefix(around).unwrap_or(path))).collect()
    }

    /// What should be said of the choice.
    fn doubts(&self, failures: &[(&Candidate, LayoutProblem)]) -> Vec<String> {
        let taken = named(self.candidate);
        let mut doubts = Vec::new();
        for (failed, problem) in failures {
            // A larger place around the network, or one without words, was only a try.
            let was_likelier = failed.standing > self.candidate.standing;
            if was_likelier && !failed.by_names_only && !self.candidate.prefix.starts_with(&failed.prefix) {
                doubts.push(format!("{} looked likelier than {taken}, which is used, but: {problem}", named(failed)));
            }
        }
        let equals: Vec<String> = self.found.likely.iter().filter(|it| self.is_equal(it)).map(named).collect();
        if !equals.is_empty() {
            let others = equals.into_iter().take(MAX_BESIDE).collect::<Vec<_>>().join(", ");
            doubts.push(format!("the file holds several networks that are alike: {taken} is used, not {others}"));
        }
        if !self.candidate.leaves.is_empty() {
            let left = self.candidate.leaves.join(", ");
            doubts.push(format!(
                "{left} lies beside {taken} and is not used: if the network needs it, pictures are wrong"
            ));
        }
        doubts
    }

    fn is_equal(&self, other: &Candidate) -> bool {
        other.path() != self.candidate.path() && other.equals(self.candidate) && other.tensors().is_some()
    }

    /// What lies beside the network on the way to it, but for tensors that are used with it.
    fn ignored(&self) -> Vec<String> {
        let (tree, prefix) = (self.tree, self.candidate.prefix.as_str());
        let mut ignored = Ignored::default();
        let (mut value, mut rest) = (tree.root(), prefix);
        loop {
            let path = &prefix[..prefix.len() - rest.len()];
            let step = |name: &str| rest.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
            if let Some(items) = tree.items(value) {
                let name = |place: usize| match tensorflow::is_network(tree, items[place]) {
                    true => tensorflow::name(tree, items[place]).to_string(),
                    false => place.to_string(),
                };
                // Of equal names the last one is meant, as with maps.
                let Some(place) = (0..items.len().min(MAX_ITEMS)).rev().find(|&place| step(&name(place)).is_some())
                else {
                    break;
                };
                for other in (0..items.len()).filter(|&other| other != place) {
                    ignored.add(path, &name(other));
                }
                (value, rest) = (items[place], step(&name(place)).unwrap_or_default());
                continue;
            }
            let attributes = tree.object(value).map(|object| object.state);
            let Some(entries) = tree.entries(value).or_else(|| tree.entries(attributes?)) else { break };
            let texts = || entries.iter().filter_map(|&(key, value)| Some((tree.text(key)?, value)));
            let taken = texts().filter(|(key, _)| step(key).is_some()).max_by_key(|(key, _)| key.len());
            let Some((key, child)) = taken.filter(|_| !super::state_dict::is_module(tree, value)) else { break };
            for (other, _) in texts().filter(|(other, _)| *other != key && *other != rosinality::MEAN_W) {
                ignored.add(path, other);
            }
            (value, rest) = (child, step(key).unwrap_or_default());
        }
        // The rest of the path is prefixes of names.
        let mut path = &prefix[..prefix.len() - rest.len()];
        for step in rest.split_inclusive('.') {
            let names = self.inventory.state.names().filter_map(|name| name.strip_prefix(path));
            for head in names.map(|name| name.split('.').next().unwrap_or_default()) {
                if head != step.trim_end_matches('.') && head != rosinality::MEAN_W {
                    ignored.add_once(path, head);
                }
            }
            path = &prefix[..path.len() + step.len()];
        }
        for (other, _) in self.found.others.iter().filter(|(other, _)| other.starts_with(prefix)) {
            ignored.add_once("", other);
        }
        ignored.finish()
    }
}

/// Items of a list on the way to a network.
const MAX_ITEMS: usize = 10_000;

/// Names of unused parts; past the first few they are counted only.
#[derive(Default)]
struct Ignored {
    names: Vec<String>,
    more: usize,
}

impl Ignored {
    fn add(&mut self, path: &str, name: &str) {
        match self.names.len() < MAX_IGNORED {
            true => self.names.push(format!("{path:.160}{name:.80}")),
            false => self.more += 1,
        }
    }

    fn add_once(&mut self, path: &str, name: &str) {
        let is = |known: &String| known.strip_prefix(path).is_some_and(|rest| rest == name);
        if self.names.len() < MAX_IGNORED && !self.names.iter().any(is) {
            self.add(path, name);
        }
    }

    fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            self.names.push(format!("{} more", self.more));
        }
        self.names
    }
}

fn named(candidate: &Candidate) -> String {
    if candidate.path().is_empty() { WHOLE.into() } else { format!("{:.160}", candidate.path()) }
}
