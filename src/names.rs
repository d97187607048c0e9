//! Names of directions: "pose" says more than "bottom 1". A model may bring names along; the user's own take their place.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::edit::{LayerSet, Weighting};

/// The entry of a safetensors file's metadata that holds its directions' names as JSON.
pub const METADATA_KEY: &str = "direction_names";

/// Names of directions, by layers, weighting and index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DirectionNames(BTreeMap<String, String>);

impl DirectionNames {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, layers: &LayerSet, weighting: Weighting, index: usize) -> &str {
        self.0.get(&Self::key(layers, weighting, index)).map_or("", String::as_str)
    }

    /// An empty name removes the entry.
    pub fn set(&mut self, layers: &LayerSet, weighting: Weighting, index: usize, name: &str) {
        let key = Self::key(layers, weighting, index);
        if name.is_empty() {
            self.0.remove(&key);
        } else {
            self.0.insert(key, name.to_owned());
        }
    }

    fn key(layers: &LayerSet, weighting: Weighting, index: usize) -> String {
        let weighting = match weighting {
            Weighting::RowNormalised => "row-normalised",
            Weighting::Raw => "raw",
        };
        format!("{layers}/{weighting}/{index}")
    }
}
