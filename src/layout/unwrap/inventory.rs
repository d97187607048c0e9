//! All tensors of a file as one flat list of dotted names: keys of maps, places in lists, names of submodules and the parts
//! of names are all steps of one path.

use std::collections::HashSet;

use super::super::state_dict::{Module, Parts, StateDict, join};
use super::super::tensorflow;
use super::words::{Other, Role};
use crate::checkpoint::{Tensor, Tree, Value};
use crate::limits;

/// Parts that are passed over by name.
const MAX_PASSED: usize = 100;
/// Tensors of a list without names: the parameters of one network.
const MAX_LIST: usize = 4096;

/// What a file holds.
#[derive(Default)]
pub(super) struct Inventory {
    pub(super) state: StateDict,
    /// Paths, ending in a dot, that are keys of maps or places in lists; others are parts of tensors' names.
    keys: HashSet<String>,
    /// Networks of TensorFlow, which have names of their own.
    pub(super) networks: Vec<(String, Value)>,
    /// Lists of tensors without names.
    pub(super) lists: Vec<(String, Vec<Tensor>)>,
    /// What was passed over, by path.
    pub(super) passed: Vec<(String, Other)>,
    /// Why the walk ended early, if it did.
    pub(super) cut: Option<String>,
    looks: usize,
    parts: Parts,
}

impl Inventory {
    pub(super) fn of(tree: &Tree) -> Inventory {
        let mut inventory = Inventory::default();
        inventory.walk(tree, tree.root(), "", 0);
        inventory
    }

    fn walk(&mut self, tree: &Tree, value: Value, path: &str, depth: usize) {
        if self.cut.is_some() || depth > limits::NESTING {
            return;
        }
        if let Err(why) = self.parts.spend(1) {
            self.cut = Some(why);
            return;
        }
        if depth > 0 {
            self.keys.insert(path.into());
        }
        if tensorflow::is_network(tree, value) {
            self.networks.push((path.into(), value));
        } else if let Some(module) = Module::of(tree, value) {
            self.cut = self.state.add_modules(tree, module, path, &mut self.parts).err();
        } else if let Some(items) = tree.items(value) {
            self.walk_list(tree, items, path, depth);
        } else {
            // Objects of unknown classes keep what they hold in their attributes.
            let state = tree.object(value).map(|object| object.state);
            let entries = tree.entries(value).or_else(|| tree.entries(state?));
            self.walk_map(tree, entries.unwrap_or_default(), path, depth);
        }
    }

    fn walk_list(&mut self, tree: &Tree, items: &[Value], path: &str, depth: usize) {
        if !self.may_look_at(items.len()) {
            return;
        }
        let tensors = items.iter().filter_map(|&item| tree.tensor(item));
        let count = tensors.clone().count();
        if (2..=MAX_LIST).contains(&count) && self.parts.spend(count).is_ok() {
            self.lists.push((path.into(), tensors.cloned().collect()));
        }
        for (place, &item) in items.iter().enumerate().filter(|(_, item)| holds_more(tree, **item)) {
            // Networks of TensorFlow say what they are: (G, D, Gs).
            let is_network = tensorflow::is_network(tree, item);
            let name = if is_network { tensorflow::name(tree, item).to_string() } else { place.to_string() };
            if let Some(inside) = join(path, &format!("{name}.")) {
                self.walk(tree, item, &inside, depth + 1);
            }
        }
    }

    fn walk_map(&mut self, tree: &Tree, entries: &[(Value, Value)], path: &str, depth: usize) {
        if !self.may_look_at(entries.len()) {
            return;
        }
        let has = |wanted: &str| entries.iter().any(|&(key, _)| tree.text(key) == Some(wanted));
        if has("param_groups") && has("state") {
            self.pass(path, Other::Optimiser);
            return;
        }
        for &(key, value) in entries {
            let number;
            let name = match (tree.text(key), key) {
                (Some(text), _) => text,
                (None, Value::Int(key)) => {
                    number = key.to_string();
                    &number
                }
                _ => continue,
            };
            if let Some(tensor) = tree.tensor(value) {
                if let Err(why) = self.parts.spend(1) {
                    self.cut = Some(why);
                    return;
                }
                if let Some(name) = join(path, name) {
                    self.state.insert(name, tensor.clone());
                }
            } else if let Some(kind) = tree.unread(value) {
                self.state.add_unread(path, name, kind);
            } else if holds_more(tree, value)
                && let Some(inside) = join(path, name)
            {
                match Role::of(name, true).other {
                    Some(other) => self.pass(&inside, other),
                    None => self.walk(tree, value, &format!("{inside}."), depth + 1),
                }
            }
        }
    }

    fn pass(&mut self, path: &str, other: Other) {
        if self.passed.len() < MAX_PASSED {
            self.passed.push((path.trim_end_matches('.').into(), other));
        }
    }

    fn may_look_at(&mut self, entries: usize) -> bool {
        if entries > limits::ENTRIES {
            return false;
        }
        self.looks = self.looks.saturating_add(entries.max(1));
        if self.looks > limits::LOOKS {
            self.cut =
                Some(format!("maps and lists of more than {} entries, or some that contain themselves", limits::LOOKS));
        }
        self.cut.is_none()
    }

    pub(super) fn is_key(&self, path: &str) -> bool {
        self.keys.contains(path)
    }

    /// The tensor of that name which lies nearest to a network: in the same map, or in one around it.
    pub(super) fn beside(&self, path: &str, name: &str) -> Option<&Tensor> {
        let dots = path.match_indices('.').map(|(at, _)| at + 1);
        let around: Vec<&str> = std::iter::once("").chain(dots.map(|end| &path[..end])).collect();
        around.iter().rev().find_map(|around| self.state.get(&join(around, name)?))
    }
}

/// True for maps, lists and objects that are not empty.
fn holds_more(tree: &Tree, value: Value) -> bool {
    tree.object(value).is_some()
        || tree.items(value).is_some_and(|items| !items.is_empty())
        || tree.entries(value).is_some_and(|entries| !entries.is_empty())
}
