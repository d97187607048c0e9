//! Directions in latent space, where they come from, and moves along them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::LayerSet;

/// A direction in latent space: which layers' codes it shifts, and by what for every unit of distance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Direction {
    /// The layers that are moved.
    pub layers: LayerSet,
    /// Stored in full, so that a saved edit never depends on how its directions were found.
    pub vectors: Vectors,
    pub origin: Origin,
}

/// What one unit of distance adds to the codes; vectors of length `w_dim` (`z_dim` where there is no w).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vectors {
    /// The same in every layer.
    One(Vec<f32>),
    /// One for each layer of [`Direction::layers`], ascending.
    PerLayer(Vec<Vec<f32>>),
}

/// How a direction was found.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Origin {
    /// Eigenvector `index` of the weights of its layers, 0 = largest eigenvalue (`sefa`).
    Sefa { weighting: Weighting, index: usize },
    /// Principal component `index` of codes drawn from the mapping network, 0 = largest variance (GANSpace). Its vector is one
    /// standard deviation long.
    Pca { samples: usize, seed: u64, index: usize },
    /// The normal of a plane between two kinds of pictures (InterFaceGAN).
    Boundary { name: String },
    /// Found by optimisation.
    Learned { name: String },
    /// Number `index` of a file of directions.
    File { name: String, index: usize },
    /// From one code to another.
    Difference { name: String },
    /// A combination of others.
    Mixed,
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

impl Weighting {
    /// The word for it in files.
    pub fn name(self) -> &'static str {
        match self {
            Weighting::RowNormalised => "row-normalised",
            Weighting::Raw => "raw",
        }
    }
}

impl Direction {
    /// A direction of SeFa: the same unit vector in all of `layers`.
    pub fn sefa(layers: LayerSet, weighting: Weighting, index: usize, vector: Vec<f32>) -> Self {
        Direction { layers, vectors: Vectors::One(vector), origin: Origin::Sefa { weighting, index } }
    }

    /// Half-width of its slider where nobody chose one: so many standard deviations of a principal component, else `latent`, as far
    /// as is customary for the model.
    pub fn customary_range(&self, latent: f32) -> f32 {
        const SIGMAS: f32 = 3.0;
        if matches!(self.origin, Origin::Pca { .. }) { SIGMAS } else { latent }
    }

    /// What one unit of distance adds to the code of a layer; `None` for a layer that is not moved.
    pub fn vector_of(&self, layer: usize) -> Option<&[f32]> {
        let at = self.layers.as_slice().binary_search(&layer).ok()?;
        match &self.vectors {
            Vectors::One(vector) => Some(vector),
            Vectors::PerLayer(vectors) => vectors.get(at).map(Vec::as_slice),
        }
    }

    /// Of its vectors; a root mean square over its layers, where each has one of its own.
    pub fn length(&self) -> f64 {
        let square = |vector: &[f32]| vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
        match &self.vectors {
            Vectors::One(vector) => square(vector).sqrt(),
            Vectors::PerLayer(vectors) => {
                (vectors.iter().map(|vector| square(vector)).sum::<f64>() / vectors.len().max(1) as f64).sqrt()
            }
        }
    }

    /// The same in those of its layers that are among `layers`; `None` if none is.
    pub fn within(&self, layers: &LayerSet) -> Option<Direction> {
        let layers = self.layers.within(layers)?;
        let own = |&layer: &usize| self.vector_of(layer).map(<[f32]>::to_vec);
        let vectors = match &self.vectors {
            Vectors::One(vector) => Vectors::One(vector.clone()),
            Vectors::PerLayer(_) => Vectors::PerLayer(layers.as_slice().iter().map(own).collect::<Option<_>>()?),
        };
        Some(Direction { layers, vectors, origin: self.origin.clone() })
    }

    /// True if both are one direction, wherever they come from: the same vectors in the same layers, or the same number
    /// of the same factorisation, whose vectors differ in rounding between machines at most.
    pub fn is_same_place(&self, other: &Direction) -> bool {
        std::ptr::eq(self, other) || self.layers == other.layers && self.is_same_within_layers(other)
    }

    fn is_same_within_layers(&self, other: &Direction) -> bool {
        let is_found_again = matches!(self.origin, Origin::Sefa { .. } | Origin::Pca { .. });
        is_found_again && self.origin == other.origin || self.vectors == other.vectors
    }
}

/// What a direction is called that nobody gave a name: "direction 3", "PCA 2", the name of its file.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Sefa { index, .. } => write!(f, "direction {}", index + 1),
            Origin::Pca { index, .. } => write!(f, "PCA {}", index + 1),
            Origin::File { name, index } => write!(f, "{name} {}", index + 1),
            Origin::Boundary { name } | Origin::Learned { name } | Origin::Difference { name } => f.write_str(name),
            Origin::Mixed => f.write_str("combination"),
        }
    }
}

/// One move: the codes of the direction's layers shift by `value` times its vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// Distance along the direction, in latent units.
    pub value: f32,
    /// A muted move stays in the list and leaves the picture alone.
    #[serde(default = "enabled_by_default")]
    pub enabled: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub direction: Arc<Direction>,
}

pub(crate) fn enabled_by_default() -> bool {
    true
}

impl Move {
    pub fn new(direction: Arc<Direction>, value: f32) -> Self {
        Move { value, enabled: true, name: String::new(), direction }
    }

    pub fn is_active(&self) -> bool {
        self.enabled && self.value != 0.0
    }

    pub fn is_along(&self, direction: &Direction) -> bool {
        self.direction.is_same_place(direction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_direction_survives_json_and_strange_fields_are_refused() {
        let origins = [
            Origin::Sefa { weighting: Weighting::RowNormalised, index: 3 },
            Origin::Pca { samples: 10_000, seed: 1, index: 0 },
            Origin::Boundary { name: "smile".into() },
            Origin::Learned { name: "age".into() },
            Origin::File { name: "ganspace.npy".into(), index: 2 },
            Origin::Difference { name: "7 to 8".into() },
            Origin::Mixed,
        ];
        let called = ["direction 4", "PCA 1", "smile", "age", "ganspace.npy 3", "7 to 8", "combination"];
        for (origin, called) in origins.into_iter().zip(called) {
            assert_eq!(origin.to_string(), called);
            let vectors = Vectors::PerLayer(vec![vec![0.1, 1.0e-9], vec![-3.5, 0.0]]);
            let direction = Direction { layers: LayerSet::range(2, 3), vectors, origin };
            let json = serde_json::to_string(&direction).unwrap();
            assert_eq!(serde_json::from_str::<Direction>(&json).unwrap(), direction, "{json}");
        }
        let strange = r#"{"layers":"0","vectors":{"one":[1]},"origin":{"sefa":{"weighting":"raw","index":0,"x":1}}}"#;
        assert!(serde_json::from_str::<Direction>(strange).unwrap_err().to_string().contains("unknown field `x`"));
        assert!(serde_json::from_str::<Direction>(r#"{"layers":"0","vectors":{"one":[1]}}"#).is_err());
    }

    #[test]
    fn vectors_belong_to_their_layers() {
        let vectors = Vectors::PerLayer(vec![vec![1.0], vec![2.0]]);
        let direction = Direction { layers: "2,5".parse().unwrap(), vectors, origin: Origin::Mixed };
        let of = |layer| direction.vector_of(layer).map(<[f32]>::to_vec);
        assert_eq!([of(2), of(3), of(5)], [Some(vec![1.0]), None, Some(vec![2.0])]);
        let one = Direction::sefa("2,5".parse().unwrap(), Weighting::Raw, 0, vec![3.0]);
        assert_eq!(one.vector_of(5), Some(&[3.0][..]));
        assert_eq!(one.vector_of(0), None);
        let wide =
            Direction { layers: LayerSet::range(0, 5), vectors: Vectors::One(vec![3.0, 4.0]), origin: Origin::Mixed };
        assert_eq!((wide.length(), direction.length()), (5.0, 2.5_f64.sqrt()));
        let within = |direction: &Direction, layers: &str| direction.within(&layers.parse().unwrap());
        assert_eq!(within(&direction, "3-9").unwrap().vectors, Vectors::PerLayer(vec![vec![2.0]]));
        assert_eq!(within(&wide, "3-9").unwrap().layers, LayerSet::range(3, 5));
        assert_eq!((within(&wide, "0-9"), within(&direction, "3-4")), (Some(wide.clone()), None));
        let short = Direction { vectors: Vectors::PerLayer(vec![vec![1.0]]), ..direction };
        assert_eq!(short.vector_of(5), None, "a vector that is missing is no panic");
    }

    #[test]
    fn one_direction_is_known_by_its_vectors_or_by_its_place_in_a_factorisation() {
        let sefa = |layers: &str, weighting, index, x: f32| {
            Direction::sefa(layers.parse().unwrap(), weighting, index, vec![x, 1.0])
        };
        let first = sefa("0-1", Weighting::Raw, 0, 0.5);
        assert!(first.is_same_place(&sefa("0-1", Weighting::Raw, 0, 0.499_999)), "rounding");
        assert!(!first.is_same_place(&sefa("0-1", Weighting::Raw, 1, 0.25)));
        assert!(!first.is_same_place(&sefa("0-1", Weighting::RowNormalised, 0, 0.25)));
        assert!(!first.is_same_place(&sefa("0-2", Weighting::Raw, 0, 0.5)));
        let file = |x: f32| Direction {
            origin: Origin::File { name: "f".into(), index: 0 },
            ..sefa("0-1", Weighting::Raw, 0, x)
        };
        assert!(first.is_same_place(&file(0.5)), "the same vectors from a file");
        assert!(!file(0.5).is_same_place(&file(0.25)), "two files may have one name");
    }
}
