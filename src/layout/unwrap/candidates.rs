//! The places of a file that may hold its generator, the likeliest first.

use std::collections::HashMap;

use super::inventory::Inventory;
use super::words::{Other, Role};
use crate::checkpoint::{DType, Tensor, Value};
use crate::limits;

/// Groups of names at one level; where there are more, none of them is a network.
const MAX_GROUPS: usize = 2000;
/// Tensors of the smallest part of a larger network that is tried by itself.
const MIN_PART: usize = 8;
/// Tensors beside a network that are none of it.
const STRAYS: [&str; 9] =
    ["latent_avg", "dlatent_avg", "fixed_noise", "fixed_z", "noise", "z", "step", "n_averaged", "mean_path_length"];

/// A place that may hold the generator.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Ends in a dot, or is empty for the root.
    pub(super) prefix: String,
    pub(super) holds: Holds,
    pub(super) standing: Standing,
    /// Something else of the same file lies around it: only names can tell that it is a network, not shapes.
    pub(super) by_names_only: bool,
    /// A part of what may be the network itself.
    is_part: bool,
    /// Prefixes beside it, without words of their own, that are not used.
    pub(super) leaves: Vec<String>,
    depth: usize,
}

#[derive(Debug)]
pub(super) enum Holds {
    /// Tensors of the inventory, by number.
    Names(Vec<usize>),
    /// A network of TensorFlow.
    Network(Value),
    /// A list of tensors without names, by number: the parameters of a network that lies beside it.
    List(usize),
}

/// How likely it is that a place holds the network to use; the greater, the better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Standing {
    pub(super) averaged: bool,
    pub(super) generator: bool,
}

impl Standing {
    fn with(self, role: Role) -> Standing {
        Standing { averaged: self.averaged || role.averaged, generator: self.generator || role.generator }
    }
}

impl Candidate {
    /// The path as it is shown and given by the user; empty for the root.
    pub(super) fn path(&self) -> &str {
        self.prefix.trim_end_matches('.')
    }

    pub(super) fn tensors(&self) -> Option<usize> {
        match &self.holds {
            Holds::Names(members) => Some(members.len()),
            Holds::Network(_) | Holds::List(_) => None,
        }
    }

    /// True if nothing in the names or their order prefers one to the other.
    pub(super) fn equals(&self, other: &Candidate) -> bool {
        let rank = |it: &Candidate| (it.standing, it.by_names_only, it.depth, it.tensors());
        rank(self) == rank(other)
    }
}

/// Everything of a file that is a network by its words.
pub(super) struct Candidates {
    /// Likeliest first.
    pub(super) likely: Vec<Candidate>,
    /// What is not the generator, by path.
    pub(super) others: Vec<(String, Other)>,
}

impl Candidates {
    pub(super) fn of(inventory: &Inventory) -> Candidates {
        let mut found = Candidates { likely: Vec::new(), others: inventory.passed.clone() };
        let all: Vec<usize> = (0..inventory.state.len()).collect();
        if !all.is_empty() {
            found.visit(inventory, "", all, Standing::default(), 0);
        }
        // Reversed: of TensorFlow's networks the averaged one comes last, also where they have no names.
        for (path, network) in inventory.networks.iter().rev() {
            found.add_spoken(path, Holds::Network(*network));
        }
        for (number, (path, _)) in inventory.lists.iter().enumerate() {
            found.add_spoken(path, Holds::List(number));
        }
        found.likely.retain(|it| !matches!(it.holds, Holds::List(_)) || it.standing.averaged);
        found.doubt_small_averages();
        let rank = |it: &Candidate| (it.is_part, std::cmp::Reverse(it.standing), it.depth);
        found.likely.sort_by_key(rank);
        found
    }

    /// A place whose whole path tells what it is.
    fn add_spoken(&mut self, path: &str, holds: Holds) {
        let roles =
            path.split('.').filter(|step| !step.is_empty()).take(limits::STEPS).map(|step| Role::of(step, true));
        let mut standing = Standing::default();
        for role in roles {
            if let Some(other) = role.other {
                return self.others.push((path.trim_end_matches('.').into(), other));
            }
            standing = standing.with(role);
        }
        let depth = path.matches('.').count();
        self.add(path, holds, standing, depth, false, Vec::new());
    }

    fn add(
        &mut self,
        prefix: &str,
        holds: Holds,
        standing: Standing,
        depth: usize,
        by_names_only: bool,
        leaves: Vec<String>,
    ) {
        if self.likely.len() < limits::CANDIDATES {
            let prefix = prefix.into();
            self.likely.push(Candidate { prefix, holds, standing, by_names_only, is_part: false, leaves, depth });
        }
    }

    /// Looks for networks among the tensors whose names begin with `prefix`.
    fn visit(&mut self, from: &Inventory, prefix: &str, members: Vec<usize>, standing: Standing, depth: usize) {
        if depth > limits::STEPS || self.likely.len() >= limits::CANDIDATES {
            return;
        }
        let whole = |members: Vec<usize>| Holds::Names(members);
        let Some(Level { mut direct, groups }) = Level::of(from, prefix, &members) else {
            return self.add(prefix, whole(members), standing, depth, false, Vec::new());
        };
        let (mut spoken, mut wrappers, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut encoders, mut rivals) = (false, false);
        for group in groups {
            match group.role.other {
                Some(other) => {
                    encoders |= other == Other::Encoder;
                    rivals |= other != Other::Encoder;
                    self.others.push((group.prefix.trim_end_matches('.').into(), other));
                }
                None if group.role.generator || group.role.averaged => spoken.push(group),
                None if group.role.wrapper => wrappers.push(group),
                None => parts.push(group),
            }
        }
        if encoders && !spoken.is_empty() {
            parts.retain(|group| !is_latent_head(&group.name));
        }
        let is_stray =
            |&at: &usize| from.state.at(at).is_none_or(|(name, tensor)| is_stray(&name[prefix.len()..], tensor));
        let has_keys = [&spoken, &wrappers, &parts].iter().any(|groups| groups.iter().any(|group| group.is_key));
        if has_keys && !parts.iter().any(|group| group.is_key) {
            // Beside state dicts lie fixed noise and counters, not weights.
            direct.clear();
        }
        let is_bare = direct.iter().all(is_stray);
        let kept = |groups: &[&Vec<Group>]| {
            let inside = groups.iter().flat_map(|groups| groups.iter()).flat_map(|group| group.members.iter().copied());
            let mut kept: Vec<usize> = direct.iter().copied().chain(inside).collect();
            kept.sort_unstable();
            kept
        };

        if let [only] = spoken.as_slice() {
            // `generator.` may be a submodule: BigGAN-deep has its embeddings beside it, VAEs have more than a `decoder.`.
            if parts.iter().any(|group| !group.is_key) || !is_bare {
                let by_names_only = rivals || only.role.averaged;
                let members = kept(&[&spoken, &parts]);
                self.add(prefix, whole(members), standing.with(only.role), depth, by_names_only, Vec::new());
            }
        } else if spoken.is_empty() && !(parts.is_empty() && wrappers.len() == 1 && is_bare) {
            // Not every one of several state dicts is a part of one network.
            let has_wrapped_keys = wrappers.iter().any(|group| group.is_key);
            let is_one_key = parts.len() == 1 && parts[0].is_key && is_bare;
            let members = kept(&[&wrappers, &parts]);
            if !members.is_empty() && !has_wrapped_keys && !is_one_key {
                self.add(prefix, whole(members), standing, depth, false, Vec::new());
            }
        }
        let is_alone = spoken.is_empty() && wrappers.len() + parts.len() == 1;
        let left: Vec<String> = match spoken.len() {
            1 => parts
                .iter()
                .filter(|group| !group.is_key)
                .map(|group| group.prefix.trim_end_matches('.').into())
                .collect(),
            _ => Vec::new(),
        };
        let has_spoken = !spoken.is_empty();
        for group in spoken {
            let first = self.likely.len();
            self.visit(from, &group.prefix, group.members, standing.with(group.role), depth + 1);
            self.likely[first..].iter_mut().for_each(|it| it.leaves.extend(left.iter().take(8).cloned()));
        }
        for group in wrappers.into_iter().chain(parts) {
            let is_network = group.is_key || is_alone && is_bare || has_spoken && group.role.wrapper;
            if is_network {
                self.visit(from, &group.prefix, group.members, standing, depth + 1);
            } else if group.members.len() >= MIN_PART && depth < 3 {
                let first = self.likely.len();
                self.visit(from, &group.prefix, group.members, standing, depth + 1);
                self.likely[first..].iter_mut().for_each(|it| (it.by_names_only, it.is_part) = (true, true));
            }
        }
    }

    /// An average has as many tensors as what it is the average of: `running_stats` with two numbers is none.
    fn doubt_small_averages(&mut self) {
        let largest = |generator: bool| {
            let copies = self.likely.iter().filter(|it| !it.standing.averaged && !it.by_names_only);
            copies.filter(|it| it.standing.generator || !generator).filter_map(Candidate::tensors).max()
        };
        let Some(largest) = largest(true).or_else(|| largest(false)) else { return };
        for it in self.likely.iter_mut().filter(|it| it.standing.averaged) {
            if it.tensors().is_some_and(|tensors| 2 * tensors < largest) {
                it.standing.averaged = false;
            }
        }
    }
}

/// Tensors by the next step of their names.
struct Level {
    /// Those whose name ends here.
    direct: Vec<usize>,
    groups: Vec<Group>,
}

struct Group {
    name: String,
    /// Ends in a dot.
    prefix: String,
    role: Role,
    is_key: bool,
    members: Vec<usize>,
}

impl Level {
    /// `None` if there are too many groups for any to be a network.
    fn of(from: &Inventory, prefix: &str, members: &[usize]) -> Option<Level> {
        let mut places: HashMap<&str, usize> = HashMap::new();
        let (mut direct, mut groups): (Vec<usize>, Vec<(&str, Vec<usize>)>) = (Vec::new(), Vec::new());
        for &at in members {
            let rest = from.state.at(at).and_then(|(name, _)| name.strip_prefix(prefix)).unwrap_or_default();
            let Some((step, _)) = rest.split_once('.') else {
                direct.push(at);
                continue;
            };
            let place = *places.entry(step).or_insert(groups.len());
            if place == groups.len() {
                if groups.len() >= MAX_GROUPS {
                    return None;
                }
                groups.push((step, Vec::new()));
            }
            groups[place].1.push(at);
        }
        let group = |(step, members): (&str, Vec<usize>)| {
            let prefix = format!("{prefix}{step}.");
            let is_key = from.is_key(&prefix);
            Group { name: step.into(), role: Role::of(step, is_key), prefix, is_key, members }
        };
        Some(Level { direct, groups: groups.into_iter().map(group).collect() })
    }
}

/// Counters, samples and means: tensors that lie beside networks.
fn is_stray(name: &str, tensor: &Tensor) -> bool {
    let is_integer =
        matches!(tensor.dtype(), DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 | DType::Bool);
    tensor.len() <= 1 || is_integer || STRAYS.contains(&name)
}

/// What makes mean and variance out of an encoder's features.
fn is_latent_head(name: &str) -> bool {
    let words: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).collect();
    let is_head = |word: &&str| ["mu", "var", "logvar", "mean", "sigma", "logsigma", "std", "logstd"].contains(word);
    words.iter().any(is_head)
        && words.iter().all(|word| is_head(word) || ["fc", "to", "z", "log", "linear"].contains(word))
}
