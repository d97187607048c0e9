//! A set of layers, as people write it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A non-empty, sorted set of style layers, written `0-1` or `2-5,7`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerSet(Vec<usize>);

/// More layers than any generator has; bounds what a text like `0-99999999999` can allocate.
const MAX_LAYERS: usize = 1024;

impl LayerSet {
    /// Layers `first..=last`; the ends may come in either order.
    pub fn range(first: usize, last: usize) -> Self {
        LayerSet((first.min(last)..=first.max(last)).collect())
    }

    pub fn as_slice(&self) -> &[usize] {
        &self.0
    }

    /// Number of layers, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn contains(&self, layer: usize) -> bool {
        self.0.binary_search(&layer).is_ok()
    }

    /// Those that are also in `other`; `None` if there are none.
    pub fn within(&self, other: &LayerSet) -> Option<LayerSet> {
        self.filtered(|layer| other.contains(layer))
    }

    /// Those that are not in `other`; `None` if there are none.
    pub fn without(&self, other: &LayerSet) -> Option<LayerSet> {
        self.filtered(|layer| !other.contains(layer))
    }

    fn filtered(&self, keep: impl Fn(usize) -> bool) -> Option<LayerSet> {
        let layers: Vec<usize> = self.0.iter().copied().filter(|&layer| keep(layer)).collect();
        (!layers.is_empty()).then_some(LayerSet(layers))
    }

    pub fn first(&self) -> usize {
        self.0[0]
    }

    pub fn last(&self) -> usize {
        self.0[self.0.len() - 1]
    }
}

impl fmt::Display for LayerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, run) in self.0.chunk_by(|a, b| a + 1 == *b).enumerate() {
            let (first, last) = (run[0], run[run.len() - 1]);
            f.write_str(if i > 0 { "," } else { "" })?;
            if first == last { write!(f, "{first}")? } else { write!(f, "{first}-{last}")? }
        }
        Ok(())
    }
}

impl FromStr for LayerSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = || format!("expected layers such as 2-5,7 (0 to {}), found {text:?}", MAX_LAYERS - 1);
        let number = |part: &str| part.trim().parse().ok().filter(|&n: &usize| n < MAX_LAYERS).ok_or_else(expected);
        let mut layers = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(expected());
            }
            layers.extend(first..=last);
        }
        Ok(LayerSet(layers.into_iter().collect()))
    }
}

impl TryFrom<String> for LayerSet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<LayerSet> for String {
    fn from(layers: LayerSet) -> String {
        layers.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_sets_read_and_write_the_same_text() {
        for text in ["0", "0-1", "2-5,7", "1,3,5-9"] {
            assert_eq!(text.parse::<LayerSet>().unwrap().to_string(), text);
        }
        assert_eq!("7,2-5,3".parse::<LayerSet>().unwrap().to_string(), "2-5,7");
        for bad in ["", "a", "5-2", "1-", "-1", "0-99999999999", "1;2"] {
            assert!(bad.parse::<LayerSet>().is_err(), "{bad:?} was accepted");
        }
    }
}
