//! The edit: everything that decides what the picture shows, as one small value.
//!
//! The picture is a pure function of (checkpoint, [`Edit`]). Undo, project files, export, the render request and the
//! command line all use this value; what does not change the picture (zoom, open panels) never enters it.

mod between;
mod direction;
mod layers;
mod photo;
mod seed;
mod shelf;
mod style;

use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use between::{Between, Waypoint, along_curve, straight};
pub(crate) use direction::enabled_by_default;
pub use direction::{Direction, Move, Origin, Vectors, Weighting};
pub use layers::LayerSet;
pub use photo::{Crop, PhotoNote};
pub use seed::{Seed, SeedKind};
pub use shelf::{DEFAULT_SECONDS, Easing, Kept, MAX_KEPT, MAX_NAME, Playback, SECONDS, Shelf, ShelfFull};
pub use style::Style;

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
    /// The same sample with no move applied and no style mixed in: what "compare" shows.
    pub fn unedited(&self) -> Edit {
        let Edit { sample, truncation, noise, moves: _ } = self;
        let sample = Sample { styles: Vec::new(), ..sample.clone() };
        Edit { sample, truncation: *truncation, noise: *noise, moves: Vec::new() }
    }

    /// True if some move or style changes the picture.
    pub fn is_moved(&self) -> bool {
        self.moves.iter().any(Move::is_active) || self.sample.active_styles().next().is_some()
    }

    /// True if there is neither a move nor a style, active or not.
    pub fn is_bare(&self) -> bool {
        self.moves.is_empty() && self.sample.styles.is_empty()
    }

    /// True if its sample, or that of a style, lies between others.
    pub fn is_between(&self) -> bool {
        let styles = self.sample.styles.iter().map(|style| &style.code);
        std::iter::once(&self.sample.code).chain(styles).any(|code| matches!(code, Code::Between(_)))
    }

    /// Takes every move and every style away.
    pub fn clear(&mut self) {
        self.moves.clear();
        self.sample.styles.clear();
    }

    /// The move along a direction, if there is one.
    pub fn along(&self, direction: &Direction) -> Option<&Move> {
        self.moves.iter().find(|step| step.is_along(direction))
    }

    /// Moves to `value` along a direction; the move is made, enabled and without a name, if there is none yet.
    pub fn set_along(&mut self, direction: &Arc<Direction>, value: f32) -> &mut Move {
        let at = self.moves.iter().position(|step| step.is_along(direction)).unwrap_or_else(|| {
            self.moves.push(Move::new(direction.clone(), value));
            self.moves.len() - 1
        });
        let step = &mut self.moves[at];
        step.value = value;
        step
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
    /// Layers whose codes come from other samples.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub styles: Vec<Style>,
    /// What a code in full was found for; read it by [`Sample::photo`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub photo: Option<Arc<PhotoNote>>,
}

impl Sample {
    /// The photo that its code was found for. A sample that has gone on to a seed has none.
    pub fn photo(&self) -> Option<&Arc<PhotoNote>> {
        let is_found = matches!(self.code, Code::Z(_) | Code::W(_) | Code::WPlus(_));
        self.photo.as_ref().filter(|_| is_found)
    }
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
    /// On the way from one sample to another, each with its own truncation.
    Between(Box<Between>),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_survives_json_bit_for_bit() {
        let edit = Edit {
            sample: Sample {
                code: Code::Z(vec![0.1, -1.0e-7, 3.402_823_5e38]),
                class: Some(3),
                mix: Some(ClassMix { class: 5, amount: 0.1 }),
                styles: vec![Style::new("2-5".parse().unwrap(), Code::Seed(Seed::studio(1)))],
                photo: Some(Arc::new(PhotoNote {
                    name: "me.jpg".into(),
                    crop: Crop { centre: [40.5, 30.0], width: 20.0, turn: -3.5 },
                    picture: vec![137, 80, 78, 71],
                })),
            },
            truncation: Truncation { psi: 0.7, cutoff: Some(8) },
            noise: Noise { mode: NoiseMode::Random, seed: u64::MAX },
            moves: vec![Move {
                value: 1.4,
                enabled: false,
                name: "pose".into(),
                direction: Arc::new(Direction::sefa("2-5".parse().unwrap(), Weighting::Raw, 1, vec![0.6, -0.8])),
            }],
        };
        let json = serde_json::to_string(&edit).unwrap();
        assert_eq!(serde_json::from_str::<Edit>(&json).unwrap(), edit);
        let old: Sample = serde_json::from_str(r#"{"code":{"seed":7},"class":3}"#).unwrap();
        assert_eq!(old, Sample { code: Code::Seed(Seed::studio(7)), class: Some(3), ..Sample::default() });
    }
}
