//! What a search is told.

use std::fmt;
use std::str::FromStr;

use crate::edit::{Code, NoiseMode};
use crate::generator::ModelInfo;

/// Where codes are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchSpace {
    /// z, through the mapping network where there is one.
    Z,
    /// One w for all layers.
    W,
    /// First one w for all layers, then one for each.
    WPlus,
}

impl SearchSpace {
    /// That with the most room.
    pub fn of(info: &ModelInfo) -> Self {
        if info.w_dim.is_some() { SearchSpace::WPlus } else { SearchSpace::Z }
    }
}

impl FromStr for SearchSpace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "z" => Ok(SearchSpace::Z),
            "w" => Ok(SearchSpace::W),
            "w+" => Ok(SearchSpace::WPlus),
            other => Err(format!("expected z, w or w+, found {other:?}")),
        }
    }
}

impl fmt::Display for SearchSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SearchSpace::Z => "z",
            SearchSpace::W => "w",
            SearchSpace::WPlus => "w+",
        })
    }
}

/// How to search.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub space: SearchSpace,
    /// At most; the search stops before, when the cost falls no more.
    pub steps: usize,
    /// Of the samples that it starts from.
    pub seed: u64,
    /// 0: as near to the photo as it gets; 1: a code as the model's own samples have, which moves like theirs.
    pub editable: f32,
    /// Noise of the pictures; random noise counts as none.
    pub noise: NoiseMode,
    /// For models with classes: this one, or that of the nearest sample.
    pub class: Option<usize>,
    /// A code of the space (or one w for w+) that was found before: the search goes on from there on whole pictures.
    pub from: Option<Code>,
}

impl Settings {
    pub const STEPS: usize = 500;
    pub const EDITABLE: f32 = 0.5;

    pub fn new(info: &ModelInfo) -> Self {
        Settings {
            space: SearchSpace::of(info),
            steps: Self::STEPS,
            seed: 0,
            editable: Self::EDITABLE,
            noise: info.noise_mode(NoiseMode::Const),
            class: None,
            from: None,
        }
    }
}
