//! The tensors of one network by name, out of a map of tensors or out of a pickled module.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::checkpoint::{Tensor, Tree, Value};
use crate::recipe::{Stated, StatedModule, StatedValue};

/// Tensors and modules of one network, counting a shared one each time; the largest public ones have a few thousand.
/// Ends walks through modules that contain themselves.
const MAX_PARTS: usize = 100_000;
/// Tensors of kinds that are not read, for messages.
const MAX_UNREAD: usize = 8;
/// Longest dotted name of a tensor; longer ones are of no layout.
const MAX_NAME: usize = 512;
/// Attributes of one module; torch gives it about 30.
const MAX_ATTRIBUTES: usize = 1000;
/// Modules whose settings are kept, settings of one, bytes of one's name or text, and numbers of a list.
const MAX_STATED: usize = 10_000;
const MAX_SETTINGS: usize = 100;
const MAX_SETTING: usize = 80;
const MAX_NUMBERS: usize = 8;
/// Numbers kept of pickled modules: the clamp of activations, the bias gain that tells the learning-rate multiplier, the
/// epsilon of batch norms, what StyleGAN3's arithmetic has built in, and the classes of a PGGAN.
const ATTRIBUTES: [&str; 7] =
    ["conv_clamp", "bias_gain", "eps", "output_scale", "bandwidth", "margin_size", "label_size"];

/// Tensors in the order of the file.
#[derive(Debug, Default)]
pub(super) struct StateDict {
    entries: Vec<(String, Tensor)>,
    index: HashMap<String, usize>,
    /// Numeric attributes of modules by dotted name; `None` where Python has None.
    pub(super) attributes: Vec<(String, Option<f64>)>,
    /// The first tensors that are of a kind that is not read, by name, and their kinds.
    pub(super) unread: Vec<(String, String)>,
    /// Class of the module that the tensors come from, if the file tells.
    pub(super) class: Option<String>,
    /// What the file says of the network: all of it, or the modules that the tensors lie in.
    pub(super) stated: Stated,
    /// Classes of the modules inside, by the prefix of their tensors' names.
    classes: HashMap<String, String>,
}

impl StateDict {
    /// The tensors of a map or of a module.
    #[cfg(test)]
    pub(super) fn collect(tree: &Tree, value: Value) -> Result<StateDict, String> {
        let mut dict = StateDict::default();
        let mut parts = Parts::default();
        match Module::of(tree, value) {
            Some(module) => dict.add_modules(tree, module, "", &mut parts)?,
            None => dict.add_map(tree, value, "", &mut parts)?,
        }
        dict.class = dict.classes.get("").cloned();
        Ok(dict)
    }

    fn add_map(&mut self, tree: &Tree, map: Value, prefix: &str, parts: &mut Parts) -> Result<(), String> {
        let entries = tree.entries(map).unwrap_or_default();
        parts.spend(entries.len())?;
        for &(key, value) in entries {
            if let (Some(name), Some(tensor)) = (tree.text(key).and_then(|key| join(prefix, key)), tree.tensor(value)) {
                self.insert(name, tensor.clone());
            } else if let (Some(name), Some(kind)) = (tree.text(key), tree.unread(value)) {
                self.add_unread(prefix, name, kind);
            }
        }
        Ok(())
    }

    /// Notes a tensor of a kind that is not read.
    pub(super) fn add_unread(&mut self, prefix: &str, name: &str, kind: &str) {
        if self.unread.len() < MAX_UNREAD
            && let Some(name) = join(prefix, name)
        {
            self.unread.push((name, kind.to_owned()));
        }
    }

    /// The tensors of a module and of those inside it, their names behind `prefix`.
    pub(super) fn add_modules(
        &mut self,
        tree: &Tree,
        root: Module<'_>,
        prefix: &str,
        parts: &mut Parts,
    ) -> Result<(), String> {
        let mut waiting = vec![(prefix.to_string(), root)];
        while let Some((prefix, module)) = waiting.pop() {
            self.classes.insert(prefix.clone(), format!("{:.120}", module.class));
            for part in ["_parameters", "_buffers"] {
                if let Some(map) = tree.get(module.state, part) {
                    self.add_map(tree, map, &prefix, parts)?;
                }
            }
            for attribute in ATTRIBUTES {
                if let Some(value) = tree.get(module.state, attribute) {
                    self.attributes.push((format!("{prefix}{attribute}"), tree.number(value)));
                }
            }
            self.add_settings(tree, &prefix, module);
            let children = tree.get(module.state, "_modules").and_then(|map| tree.entries(map)).unwrap_or_default();
            parts.spend(children.len())?;
            // Reversed, so that the first child is taken from the stack first.
            for &(key, child) in children.iter().rev() {
                let name = tree.text(key).and_then(|key| join(&prefix, key));
                if let (Some(name), Some(child)) = (name, Module::of(tree, child)) {
                    waiting.push((format!("{name}."), child));
                }
            }
        }
        Ok(())
    }

    /// What a module says of itself.
    fn add_settings(&mut self, tree: &Tree, prefix: &str, module: Module<'_>) {
        if let Stated::Nothing = self.stated {
            self.stated = Stated::Modules { modules: Vec::new(), by: "the pickled module".into() };
        }
        let Stated::Modules { modules, .. } = &mut self.stated else { return };
        if modules.len() >= MAX_STATED {
            return;
        }
        let class = module.class.rsplit('.').next().unwrap_or_default();
        let settings = tree.entries(module.state).unwrap_or_default().iter().filter_map(|&(key, value)| {
            let name = tree.text(key).filter(|name| !name.starts_with('_') && name.len() <= MAX_SETTING)?;
            Some((name.to_string(), setting(tree, value)?))
        });
        modules.push(StatedModule {
            name: prefix.trim_end_matches('.').into(),
            class: class.chars().take(MAX_SETTING).collect(),
            settings: settings.take(MAX_SETTINGS).collect(),
        });
    }

    pub(super) fn insert(&mut self, name: String, tensor: Tensor) {
        match self.index.get(&name) {
            Some(&at) => self.entries[at].1 = tensor,
            None => {
                self.index.insert(name.clone(), self.entries.len());
                self.entries.push((name, tensor));
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Tensor> {
        self.index.get(name).map(|&at| &self.entries[at].1)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.entries.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The same network with every tensor under another name, or its axes in another order.
    pub(super) fn mapped(&self, change: impl Fn(&str, &Tensor) -> (String, Tensor)) -> StateDict {
        let mut mapped = StateDict {
            attributes: self.attributes.clone(),
            class: self.class.clone(),
            stated: self.stated.clone(),
            ..StateDict::default()
        };
        for (name, tensor) in self.iter() {
            let (name, tensor) = change(name, tensor);
            mapped.insert(name, tensor);
        }
        mapped
    }

    /// The tensors numbered `members` and what else is known of them, their names without `prefix`, which they all have.
    pub(super) fn part(&self, prefix: &str, members: &[usize]) -> StateDict {
        let mut part = StateDict { class: self.class_of(prefix), ..StateDict::default() };
        for (name, tensor) in members.iter().filter_map(|&at| self.entries.get(at)) {
            if let Some(rest) = name.strip_prefix(prefix) {
                part.insert(rest.into(), tensor.clone());
            }
        }
        let below = |name: &str| name.strip_prefix(prefix).map(str::to_string);
        let attributes = self.attributes.iter().filter_map(|(name, value)| Some((below(name)?, *value)));
        part.attributes = attributes.collect();
        part.stated = self.stated.below(prefix);
        part.unread = self.unread.iter().filter_map(|(name, kind)| Some((below(name)?, kind.clone()))).collect();
        part.classes = self.classes.iter().filter_map(|(name, class)| Some((below(name)?, class.clone()))).collect();
        part
    }

    /// The class of a module, or of the one around it where that says more (`Sequential`).
    fn class_of(&self, prefix: &str) -> Option<String> {
        let around = prefix.match_indices('.').map(|(at, _)| &prefix[..=at]).rev().chain([""]);
        let classes = around.map_while(|prefix| self.classes.get(prefix));
        let own = self.classes.get(prefix);
        classes.into_iter().find(|class| !class.starts_with("torch.nn.")).or(own).cloned()
    }

    /// Name and tensor by number, in the order of the file.
    pub(super) fn at(&self, number: usize) -> Option<(&str, &Tensor)> {
        self.entries.get(number).map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// For files that do not keep the order of modules: `main.10` after `main.4`.
    pub(super) fn sort_naturally(&mut self) {
        self.entries.sort_by(|(a, _), (b, _)| natural(a, b));
        self.index = self.entries.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
    }
}

/// Prefix and name together, unless that is longer than any real name. Checked before anything is copied.
pub(super) fn join(prefix: &str, name: &str) -> Option<String> {
    (prefix.len() + name.len() <= MAX_NAME).then(|| format!("{prefix}{name}"))
}

/// Counts down while tensors and modules are collected.
pub(super) struct Parts(usize);

impl Default for Parts {
    fn default() -> Self {
        Parts(MAX_PARTS)
    }
}

impl Parts {
    pub(super) fn spend(&mut self, count: usize) -> Result<(), String> {
        let left = self.0.checked_sub(count);
        self.0 = left
            .ok_or_else(|| format!("more than {MAX_PARTS} tensors and modules, or modules that contain themselves"))?;
        Ok(())
    }
}

/// A number, a flag, a short text or a few numbers.
fn setting(tree: &Tree, value: Value) -> Option<StatedValue> {
    Some(match value {
        Value::None => StatedValue::Nothing,
        Value::Bool(flag) => StatedValue::Flag(flag),
        Value::Int(number) => StatedValue::Number(number as f64),
        Value::Float(number) => StatedValue::Number(number),
        Value::Node(_) => {
            if let Some(text) = tree.text(value) {
                return (text.len() <= MAX_SETTING).then(|| StatedValue::Text(text.into()));
            }
            let items = tree.items(value).filter(|items| items.len() <= MAX_NUMBERS)?;
            let numbers = items.iter().map(|&item| match item {
                Value::Int(number) => Some(number as f64),
                Value::Float(number) => Some(number),
                _ => None,
            });
            StatedValue::Numbers(numbers.collect::<Option<Vec<f64>>>()?)
        }
    })
}

/// A pickled torch module.
#[derive(Clone, Copy)]
pub(super) struct Module<'a> {
    class: &'a str,
    state: Value,
}

impl<'a> Module<'a> {
    /// Either NVIDIA's `_reconstruct_persistent_obj(meta)`, whose meta holds class name and state, or any object with the
    /// attributes of a `torch.nn.Module`.
    pub(super) fn of(tree: &'a Tree, value: Value) -> Option<Module<'a>> {
        let object = tree.object(value)?;
        let small = |map: &Value| tree.entries(*map).is_some_and(|entries| entries.len() <= MAX_ATTRIBUTES);
        let module = if object.class.ends_with("._reconstruct_persistent_obj") {
            let meta = tree.items(object.args).and_then(|args| args.first()).copied().filter(small)?;
            let class = tree.get(meta, "class_name").and_then(|name| tree.text(name));
            Module { class: class.unwrap_or(&object.class), state: tree.get(meta, "state")? }
        } else {
            Module { class: &object.class, state: object.state }
        };
        let has = |part| tree.get(module.state, part).is_some();
        let is_module = small(&module.state) && (has("_parameters") || has("_modules"));
        is_module.then_some(module)
    }
}

/// True if `value` is a pickled torch module.
pub(super) fn is_module(tree: &Tree, value: Value) -> bool {
    Module::of(tree, value).is_some()
}

/// Compares names with their numbers as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (head_a, rest_a) = split_run(a);
        let (head_b, rest_b) = split_run(b);
        let order = match (number(head_a), number(head_b)) {
            (Some(x), Some(y)) => x.cmp(&y),
            _ => head_a.cmp(head_b),
        };
        if order != Ordering::Equal || head_a.is_empty() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// The first run of digits, or of anything else.
fn split_run(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

/// Digits as a number; numbers beyond 64 bits compare as text.
fn number(run: &str) -> Option<u64> {
    run.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_their_numbers() {
        let mut names = ["main.10.weight", "main.4.weight", "main.4.bias", "main", "a2b10", "a2b9", "a", "main.4"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["a", "a2b9", "a2b10", "main", "main.4", "main.4.bias", "main.4.weight", "main.10.weight"]);
    }
}
