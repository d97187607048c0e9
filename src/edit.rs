//! The edit: everything that decides what the picture shows, as one small value.
//!
//! The picture is a pure function of (checkpoint, [`Edit`]). Undo, project files, export, the render request and the
//! command line all use this value; what does not change the picture (zoom, open panels) never enters it.

mod seed;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use seed::{Seed, SeedKind};

/// A picture's recipe: where it starts in latent space, and how far it was moved along which directions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    pub sample: Sample,
    pub truncation: Truncation,
    pub noise: Noise,
    /// Moves add up; their order does not change the picture.
    pub moves: Vec<Move>,
}

impl Edit {
    /// The same sample with no move applied: what "compare" shows.
    pub fn unedited(&self) -> Edit {
        Edit { moves: Vec::new(), ..self.clone() }
    }

    /// True if some move changes the picture.
    pub fn is_moved(&self) -> bool {
        self.moves.iter().any(Move::is_active)
    }
}

/// The point in latent space from which moves start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    pub code: Code,
    /// Class index, for conditional models only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<usize>,
    /// A second class to mix in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<ClassMix>,
}

/// A mixture of a sample's class with another one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassMix {
    pub class: usize,
    /// 0 is the sample's own class alone, 1 is `class` alone.
    pub amount: f32,
}

/// A latent code: drawn from a seed, or given in full (a projection, a code found by another tool).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// z is drawn by this seed from the distribution that the network was trained for (`latent::draw`), times psi where
    /// there is no w.
    Seed(Seed),
    /// z as it is, length `z_dim`.
    Z(Vec<f32>),
    /// w as it is, before truncation, length `w_dim`.
    W(Vec<f32>),
    /// One w per layer, `[num_layers][w_dim]`; never truncated.
    WPlus(Vec<Vec<f32>>),
}

impl Default for Code {
    fn default() -> Self {
        Code::Seed(Seed::default())
    }
}

/// Pulls w towards the mean w: `w_avg + psi * (w - w_avg)` on the first `cutoff` layers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Truncation {
    /// 1 leaves w as it is, 0 gives the mean picture; values outside 0..=1 extrapolate. BigGAN, which has no w, scales
    /// the z of a seed and picks its batch statistics with it.
    pub psi: f32,
    /// Number of layers truncated, counted from layer 0; `None` means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cutoff: Option<usize>,
}

impl Default for Truncation {
    fn default() -> Self {
        Truncation { psi: 1.0, cutoff: None }
    }
}

/// The per-pixel noise inputs of StyleGAN-type networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    pub mode: NoiseMode,
    /// Chooses the noise in [`NoiseMode::Random`]; kept while another mode is picked.
    #[serde(default)]
    pub seed: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoiseMode {
    /// The noise stored in the checkpoint.
    #[default]
    Const,
    /// Fresh normal noise, drawn from [`Noise::seed`].
    Random,
    None,
}

impl FromStr for NoiseMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "const" => Ok(NoiseMode::Const),
            "random" => Ok(NoiseMode::Random),
            "none" => Ok(NoiseMode::None),
            other => Err(format!("expected const, random or none, found {other:?}")),
        }
    }
}

/// One move: the codes of `layers` shift by `value * vector`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// The layers that were factorised, and that are moved.
    pub layers: LayerSet,
    pub weighting: Weighting,
    /// Which direction of that basis, 0 = largest eigenvalue.
    pub index: usize,
    /// The direction itself, a unit vector of length `w_dim` (or `z_dim`), so that a saved edit never depends on a solver.
    pub vector: Vec<f32>,
    /// Distance along the direction, in latent units.
    pub value: f32,
    /// A muted move stays in the list and leaves the picture alone.
    #[serde(default = "enabled_by_default")]
    pub enabled: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

fn enabled_by_default() -> bool {
    true
}

impl Move {
    pub fn is_active(&self) -> bool {
        self.enabled && self.value != 0.0
    }
}

/// How the style weights enter SeFa.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weighting {
    /// Every row of A has unit length, as in the paper's released code.
    #[default]
    RowNormalised,
    /// Rows as stored, the variant of rosinality's `closed_form_factorization.py`.
    Raw,
}

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

    pub fn contains(&self, layer: usize) -> bool {
        self.0.binary_search(&layer).is_ok()
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

    #[test]
    fn an_edit_survives_json_bit_for_bit() {
        let edit = Edit {
            sample: Sample {
                code: Code::Z(vec![0.1, -1.0e-7, 3.402_823_5e38]),
                class: Some(3),
                mix: Some(ClassMix { class: 5, amount: 0.1 }),
            },
            truncation: Truncation { psi: 0.7, cutoff: Some(8) },
            noise: Noise { mode: NoiseMode::Random, seed: u64::MAX },
            moves: vec![Move {
                layers: "2-5".parse().unwrap(),
                weighting: Weighting::Raw,
                index: 1,
                vector: vec![0.6, -0.8],
                value: 1.4,
                enabled: false,
                name: "pose".into(),
            }],
        };
        let json = serde_json::to_string(&edit).unwrap();
        assert_eq!(serde_json::from_str::<Edit>(&json).unwrap(), edit);
        let old: Sample = serde_json::from_str(r#"{"code":{"seed":7},"class":3}"#).unwrap();
        assert_eq!(old, Sample { code: Code::Seed(Seed::studio(7)), class: Some(3), mix: None });
    }
}
