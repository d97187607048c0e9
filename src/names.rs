//! Names of directions: "pose" says more than "bottom 1". A model or an edit may bring names along; the user's own come first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::edit::{Direction, LayerSet, Origin, Weighting};

/// The entry of a safetensors file's metadata that holds its directions' names as JSON.
pub const METADATA_KEY: &str = "direction_names";

/// Names of SeFa's directions, by layers, weighting and index. Other directions carry theirs in their moves.
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

    /// The name of a direction; empty if it has none here.
    pub fn of(&self, direction: &Direction) -> &str {
        match direction.origin {
            Origin::Sefa { weighting, index } => self.get(&direction.layers, weighting, index),
            _ => "",
        }
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

    /// These, and where there are none the others.
    pub fn over(&self, others: &DirectionNames) -> DirectionNames {
        let names = others.0.clone().into_iter().chain(self.0.clone());
        DirectionNames(names.collect())
    }

    /// All of them; keys that this program did not write are left out.
    pub fn iter(&self) -> impl Iterator<Item = (LayerSet, Weighting, usize, &str)> {
        self.0.iter().filter_map(|(key, name)| {
            let mut parts = key.split('/');
            let (layers, weighting, index) = (parts.next()?, parts.next()?, parts.next()?);
            let weighting = [Weighting::RowNormalised, Weighting::Raw].into_iter().find(|w| w.name() == weighting)?;
            Some((layers.parse().ok()?, weighting, index.parse().ok()?, name.as_str()))
        })
    }

    fn key(layers: &LayerSet, weighting: Weighting, index: usize) -> String {
        format!("{layers}/{}/{index}", weighting.name())
    }
}
