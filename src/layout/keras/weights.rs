//! Where the weights of a Keras layer are: by its name (`.h5`), or by its place among those of its class (`.keras`).

use std::collections::HashMap;

use super::super::state_dict::StateDict;
use crate::checkpoint::KerasNetwork;

/// Finds the paths of weights, model by model.
pub(super) struct Names<'a> {
    network: &'a KerasNetwork,
    /// Names of the models that the layers lie in.
    models: Vec<String>,
    /// Paths of the layers' groups in `.keras` files, for every model that was entered.
    places: Vec<HashMap<String, String>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(network: &'a KerasNetwork) -> Names<'a> {
        Names { network, models: Vec::new(), places: Vec::new() }
    }

    /// Starts with the layers of a model: their classes and names.
    pub(super) fn enter<'b>(&mut self, layers: impl Iterator<Item = (&'b str, &'b str)>) {
        let mut used: HashMap<String, usize> = HashMap::new();
        let folder = self.folder();
        let places = layers.map(|(class, name)| {
            let class = snake_case(class);
            let count = used.entry(class.clone()).or_default();
            let group = if *count == 0 { class } else { format!("{class}_{count}") };
            *count += 1;
            (name.to_string(), format!("{folder}layers/{group}"))
        });
        let places = places.collect();
        self.places.push(places);
    }

    pub(super) fn leave(&mut self) {
        self.places.pop();
    }

    pub(super) fn descend(&mut self, model: &str) {
        self.models.push(model.into());
    }

    pub(super) fn ascend(&mut self) {
        self.models.pop();
    }

    /// The group of the model that is entered next.
    fn folder(&self) -> String {
        let inner = self.models.last().zip(self.places.last()).and_then(|(model, places)| places.get(model));
        inner.map(|path| format!("{path}/")).unwrap_or_default()
    }

    /// The path of a layer's weight: `role` is its name in `.h5` files, `number` its place in `.keras` files.
    pub(super) fn find(&self, state: &StateDict, layer: &str, role: &str, number: usize) -> Option<String> {
        let group = self.places.last().and_then(|places| places.get(layer));
        // The group says the name of its layer, or else its own name has to do.
        let stated = self.network.layers.iter().find(|(path, name)| {
            name == layer
                && group.is_some_and(|group| {
                    path.rsplit_once("layers/").map(|p| p.0) == group.rsplit_once("layers/").map(|p| p.0)
                })
        });
        let numbered = match stated {
            Some((path, _)) => Some(format!("{path}/{number}")),
            None => group.map(|group| format!("{group}/vars/{number}")),
        };
        if let Some(path) = numbered.filter(|path| state.has(path)) {
            return Some(path);
        }
        let named = state.names().filter(|path| {
            let mut parts: Vec<&str> = path.split('/').collect();
            let last = parts.pop().unwrap_or_default();
            // TensorFlow numbers the outputs of its operations.
            let last = last.split_once(':').map_or(last, |(last, _)| last);
            last == role && parts.contains(&layer) && self.models.iter().all(|model| parts.contains(&model.as_str()))
        });
        named.min_by_key(|path| path.len()).map(String::from)
    }
}

/// `Conv2DTranspose` -> `conv2d_transpose`, as Keras does it: a word starts with a capital that a small letter follows, or
/// that follows one.
fn snake_case(class: &str) -> String {
    let chars: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut name = String::new();
    for (at, &c) in chars.iter().enumerate() {
        let is_small = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(char::is_ascii_lowercase);
        if at > 0 && c.is_ascii_uppercase() && (is_small(Some(at + 1)) || is_small(at.checked_sub(1))) {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn groups_are_named_after_classes() {
        for (class, group) in [
            ("Dense", "dense"),
            ("BatchNormalization", "batch_normalization"),
            ("Conv2D", "conv2d"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("LeakyReLU", "leaky_re_lu"),
            ("ReLU", "re_lu"),
            ("UpSampling2D", "up_sampling2d"),
            ("PReLU", "p_re_lu"),
        ] {
            assert_eq!(snake_case(class), group);
        }
    }
}
