//! The modules that tensors come from, in the order of the file, and what their shapes make of them.

use super::super::state_dict::StateDict;
use crate::checkpoint::Tensor;

/// The tensors of one module.
#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    /// Dotted name of the module; empty for tensors without a dot.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// (part, name in the file, tensor): "weight", "bias", "running_mean", "weight_orig", ...
    pub(super) parts: Vec<(String, &'a str, &'a Tensor)>,
}

/// What a module is, by its tensors.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// `[out, in]`; an embedding if it has no bias and is called one.
    Linear([usize; 2]),
    /// `[classes, width]`
    Embedding([usize; 2]),
    /// A convolution `[out, in, kh, kw]` or a transposed one `[in, out, kh, kw]`.
    Kernel([usize; 4]),
    BatchNorm(usize),
    /// Another norm with weight and bias: `[C]`, or `[C, H, W]`.
    OtherNorm(Vec<usize>),
    /// Slopes of a PReLU: one, or one per channel.
    Slopes(usize),
    /// What no chain has.
    Strange,
}

impl<'a> Item<'a> {
    pub(super) fn part(&self, part: &str) -> Option<&'a Tensor> {
        self.parts.iter().find(|(name, ..)| name == part).map(|(.., tensor)| *tensor)
    }

    /// The name that a recipe has for a part.
    pub(super) fn path(&self, part: &str) -> String {
        if self.name.is_empty() { part.into() } else { format!("{}.{part}", self.name) }
    }

    pub(super) fn optional(&self, part: &str) -> Option<String> {
        self.part(part).map(|_| self.path(part))
    }

    /// The name of one of its tensors in the file, for messages.
    pub(super) fn example(&self) -> String {
        self.parts.first().map(|(_, name, _)| (*name).to_string()).unwrap_or_default()
    }

    /// Place in a list of modules: "main.3" is (main, 3).
    pub(super) fn index(&self) -> Option<(&str, usize)> {
        let (list, index) = self.name.rsplit_once('.').unwrap_or(("", &self.name));
        Some((list, index.parse().ok()?))
    }

    pub(super) fn is_layer(&self) -> bool {
        matches!(self.kind, Kind::Linear(_) | Kind::Kernel(_))
    }

    /// True if some part of the name, in lower case and without digits at its end, is one of these.
    pub(super) fn is_called(&self, names: &[&str]) -> bool {
        let lower = self.name.to_ascii_lowercase();
        lower.split(['.', '_']).any(|part| names.contains(&part.trim_end_matches(|c: char| c.is_ascii_digit())))
    }
}

/// Words in the names of what takes a class.
pub(super) const CLASS_WORDS: [&str; 12] =
    ["label", "labels", "class", "classes", "cls", "emb", "embed", "embedding", "cond", "condition", "y", "c"];

/// Modules in the order of the file.
pub(super) fn items(state: &StateDict) -> Vec<Item<'_>> {
    let mut items: Vec<Item<'_>> = Vec::new();
    for (name, tensor) in state.iter() {
        let (module, part) = split(name);
        if part == "num_batches_tracked" {
            continue;
        }
        // Spectral norms of the newer kind lie in modules below; the module may have had other tensors before.
        let same = items.iter_mut().rev().take(3).find(|item| item.name == module);
        match same {
            Some(item) => item.parts.push((part, name, tensor)),
            None => items.push(Item { name: module, kind: Kind::Strange, parts: vec![(part, name, tensor)] }),
        }
    }
    for item in &mut items {
        item.kind = kind(item);
    }
    items
}

/// Module and part of a tensor's name. Parametrisations are named as their older forms.
fn split(name: &str) -> (String, String) {
    if let Some((module, rest)) = name.split_once(".parametrizations.weight.") {
        let part = match rest {
            "original" => "weight_orig",
            "0._u" => "weight_u",
            "0._v" => "weight_v",
            "original0" => "weight_g",
            "original1" => "weight_v",
            other => other,
        };
        return (module.into(), part.into());
    }
    let (module, part) = name.rsplit_once('.').unwrap_or(("", name));
    (module.into(), part.into())
}

fn kind(item: &Item<'_>) -> Kind {
    let shape = |part| item.part(part).map(Tensor::shape);
    if let (Some(&[mean]), Some(&[variance])) = (shape("running_mean"), shape("running_var")) {
        return if mean == variance && mean > 0 { Kind::BatchNorm(mean) } else { Kind::Strange };
    }
    let is_normed = item.part("weight_g").is_some();
    let weight = shape("weight").or(shape("weight_orig")).or(if is_normed { shape("weight_v") } else { None });
    let has_bias = item.part("bias").is_some();
    match weight {
        Some(&[out, inputs]) if !has_bias && item.is_called(&CLASS_WORDS) => Kind::Embedding([out, inputs]),
        Some(&[out, inputs]) if out > 0 && inputs > 0 => Kind::Linear([out, inputs]),
        Some(&[a, b, height, width]) if a.min(b).min(height).min(width) > 0 => Kind::Kernel([a, b, height, width]),
        Some(&[channels]) if has_bias => Kind::OtherNorm(vec![channels]),
        Some(&[slopes]) => Kind::Slopes(slopes),
        Some(shape @ &[_, _, _]) if has_bias && item.part("bias").map(Tensor::shape) == Some(shape) => {
            Kind::OtherNorm(shape.to_vec())
        }
        _ => Kind::Strange,
    }
}
