//! Sets of directions: what the sliders of the window, sheets and tables show.
//!
//! A set knows how it was found only by its [`Method`] and its [`Scores`]; whoever shows it needs to know neither.

use std::sync::Arc;

use crate::edit::{Direction, LayerSet, Origin, Vectors, Weighting};
use crate::pca::Components;
use crate::sefa::Basis;

/// How a set of directions is found, besides the layers that it is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Eigenvectors of the weights (`sefa`).
    Sefa { weighting: Weighting },
    /// Principal components of codes that are drawn (`pca`), the same for all layers.
    Pca { samples: usize, seed: u64 },
}

impl Default for Method {
    fn default() -> Self {
        Method::Sefa { weighting: Weighting::RowNormalised }
    }
}

impl Method {
    /// Codes that are drawn for principal components where nobody says how many.
    pub const PCA_SAMPLES: usize = 100_000;
    pub const PCA: Method = Method::Pca { samples: Method::PCA_SAMPLES, seed: 0 };

    /// How it looks at the network: "rows normalised".
    pub fn about(&self) -> String {
        match self {
            Method::Sefa { weighting: Weighting::RowNormalised } => "rows normalised".into(),
            Method::Sefa { weighting: Weighting::Raw } => "raw weights".into(),
            Method::Pca { samples, seed } => format!("PCA of {samples} codes of seed {seed}"),
        }
    }

    /// The method that finds a direction again; `None` for one that is no member of a set.
    pub fn of(origin: &Origin) -> Option<Method> {
        match origin {
            Origin::Sefa { weighting, .. } => Some(Method::Sefa { weighting: *weighting }),
            Origin::Pca { samples, seed, .. } => Some(Method::Pca { samples: *samples, seed: *seed }),
            _ => None,
        }
    }
}

/// How much each direction of a set does, in falling order.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Scores {
    /// Of the matrix that was factorised.
    Eigenvalues(Vec<f64>),
    /// Of codes along the directions.
    Variances(Vec<f64>),
    #[default]
    None,
}

impl Scores {
    /// One for each direction, or none at all.
    pub fn values(&self) -> &[f64] {
        match self {
            Scores::Eigenvalues(values) | Scores::Variances(values) => values,
            Scores::None => &[],
        }
    }

    /// What one of them is called.
    pub fn name(&self) -> &'static str {
        match self {
            Scores::Eigenvalues(_) => "eigenvalue",
            Scores::Variances(_) => "variance",
            Scores::None => "score",
        }
    }

    /// Score `index` as a share of their sum, 0..=1; `None` where there is no such score.
    pub fn share(&self, index: usize) -> Option<f64> {
        let total: f64 = self.values().iter().sum();
        self.values().get(index).map(|score| if total > 0.0 { score / total } else { 0.0 })
    }

    /// Score `index` with its share, on two lines: "eigenvalue 0.123456", "12.35 % of the variance".
    pub fn text(&self, index: usize) -> Option<String> {
        let (score, share) = (self.values().get(index)?, self.share(index)?);
        Some(format!("{} {score:.6}\n{:.2} % of the variance", self.name(), 100.0 * share))
    }
}

/// Directions of one group of layers, the most effective first.
#[derive(Clone, Debug, PartialEq)]
pub struct DirectionSet {
    pub layers: LayerSet,
    pub method: Method,
    pub directions: Vec<Arc<Direction>>,
    pub scores: Scores,
}

impl DirectionSet {
    pub fn len(&self) -> usize {
        self.directions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.directions.is_empty()
    }
}

impl DirectionSet {
    /// Principal components of so many codes of a seed, as moves of some layers; one unit is one standard deviation. Where codes
    /// do not differ at all, there is no direction.
    pub fn of_components(components: &Components, samples: usize, seed: u64, layers: LayerSet) -> Self {
        let direction = |index: usize| {
            let sigma = components.sigma(index) as f32;
            let vectors = Vectors::One(components.vector(index).iter().map(|x| x * sigma).collect());
            Direction { layers: layers.clone(), vectors, origin: Origin::Pca { samples, seed, index } }
        };
        let differing = (0..components.len()).take_while(|&index| components.sigma(index) as f32 > 0.0);
        let directions: Vec<_> = differing.map(|index| Arc::new(direction(index))).collect();
        let scores = Scores::Variances(components.variances[..directions.len()].to_vec());
        DirectionSet { method: Method::Pca { samples, seed }, directions, scores, layers }
    }
}

impl From<&Basis> for DirectionSet {
    fn from(basis: &Basis) -> Self {
        let Basis { layers, weighting, eigenvalues, .. } = basis;
        let direction = |index| Direction::sefa(layers.clone(), *weighting, index, basis.direction(index).to_vec());
        DirectionSet {
            layers: layers.clone(),
            method: Method::Sefa { weighting: *weighting },
            directions: (0..basis.len()).map(|index| Arc::new(direction(index))).collect(),
            scores: Scores::Eigenvalues(eigenvalues.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sefa::{Product, factorize};

    #[test]
    fn a_basis_becomes_directions_that_know_where_they_come_from() {
        let product = Product { dim: 2, lower: vec![9.0, 0.0, 0.0, 1.0] };
        let basis = factorize("2,4".parse().unwrap(), Weighting::Raw, &product).unwrap();
        let set = DirectionSet::from(&basis);
        assert_eq!((set.len(), set.layers.to_string()), (2, "2,4".to_owned()));
        for (index, direction) in set.directions.iter().enumerate() {
            assert_eq!(direction.origin, Origin::Sefa { weighting: Weighting::Raw, index });
            assert_eq!(direction.vector_of(4), Some(basis.direction(index)));
            assert_eq!(Method::of(&direction.origin), Some(set.method.clone()));
        }
        assert_eq!(set.scores.share(0), Some(0.9));
        assert_eq!(set.scores.text(1).unwrap(), "eigenvalue 1.000000\n10.00 % of the variance");
        assert_eq!((set.scores.share(2), Scores::None.text(0)), (None, None));
    }
}
