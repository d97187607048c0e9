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
    /// Found by other means, and kept one by one.
    Own,
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
            Method::Own => "kept one by one".into(),
        }
    }

    /// The method that finds a direction again.
    pub fn of(origin: &Origin) -> Method {
        match origin {
            Origin::Sefa { weighting, .. } => Method::Sefa { weighting: *weighting },
            Origin::Pca { samples, seed, .. } => Method::Pca { samples: *samples, seed: *seed },
            Origin::Boundary { .. }
            | Origin::Learned { .. }
            | Origin::File { .. }
            | Origin::Difference { .. }
            | Origin::Mixed => Method::Own,
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

/// Cosine of the angle between two directions, over the layers that both move; `None` if they share no layer, their codes are of
/// different widths, or one of them is zero there.
pub fn cosine(a: &Direction, b: &Direction) -> Option<f64> {
    let (mut dot, mut a_square, mut b_square) = (0.0, 0.0, 0.0);
    for &layer in a.layers.as_slice() {
        let Some((a, b)) = a.vector_of(layer).zip(b.vector_of(layer)) else { continue };
        if a.len() != b.len() {
            return None;
        }
        for (a, b) in a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b))) {
            dot += a * b;
            a_square += a * a;
            b_square += b * b;
        }
    }
    let lengths = (a_square * b_square).sqrt();
    (lengths > 0.0).then(|| (dot / lengths).clamp(-1.0, 1.0))
}

/// The part of a direction that is orthogonal to all `conditions`, of length 1: it changes what the direction changes, and as
/// little as can be of what they change (InterFaceGAN's conditional boundaries). `None` if nothing is left, or a condition is of
/// another width.
pub fn without(direction: &Direction, conditions: &[Direction]) -> Option<Vectors> {
    let is_one = |direction: &Direction| matches!(direction.vectors, Vectors::One(_));
    let each_layer = !(is_one(direction) && conditions.iter().all(is_one));
    let flat = |other: &Direction| -> Option<Vec<f64>> {
        let own = direction.vector_of(direction.layers.first())?.len();
        let layers = direction.layers.as_slice();
        let layers = if each_layer { layers } else { &layers[..1] };
        let zero = vec![0.0; own];
        let vectors = layers.iter().map(|&layer| match &other.vectors {
            // In whichever layers it moves: its meaning is the same.
            Vectors::One(vector) => vector,
            Vectors::PerLayer(_) => other.vector_of(layer).unwrap_or(&zero),
        });
        let vectors: Vec<&[f32]> = vectors.collect();
        vectors.iter().all(|vector| vector.len() == own).then(|| vectors.concat().into_iter().map(f64::from).collect())
    };
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for condition in conditions {
        basis.extend(orthogonal(flat(condition)?, &basis));
    }
    let rest = orthogonal(flat(direction)?, &basis)?;
    let rest: Vec<f32> = rest.into_iter().map(|x| x as f32).collect();
    Some(match each_layer {
        true => Vectors::PerLayer(rest.chunks(rest.len() / direction.layers.len()).map(<[f32]>::to_vec).collect()),
        false => Vectors::One(rest),
    })
}

/// The part of `vector` that is orthogonal to all of `basis`, which are so to each other, of length 1 as they are; `None` if it
/// lies in their span.
fn orthogonal(mut vector: Vec<f64>, basis: &[Vec<f64>]) -> Option<Vec<f64>> {
    const NOTHING: f64 = 1e-6;
    let length = |vector: &[f64]| vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    let whole = length(&vector);
    // Twice is enough (Kahan): what rounding left of the basis the first time goes the second time.
    for unit in basis.iter().chain(basis) {
        let along: f64 = vector.iter().zip(unit).map(|(x, u)| x * u).sum();
        vector.iter_mut().zip(unit).for_each(|(x, u)| *x -= along * u);
    }
    let rest = length(&vector);
    (rest > NOTHING * whole).then(|| vector.iter().map(|x| x / rest).collect())
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
    /// Directions that were kept one by one, in those of their layers that are among `layers`.
    pub fn of_own<'a>(kept: impl IntoIterator<Item = &'a Arc<Direction>>, layers: LayerSet) -> Self {
        let mut directions: Vec<Arc<Direction>> = Vec::new();
        for direction in kept {
            let is_inside = direction.layers.without(&layers).is_none();
            let within = if is_inside { Some(direction.clone()) } else { direction.within(&layers).map(Arc::new) };
            directions.extend(within.filter(|within| !directions.iter().any(|other| other.is_same_place(within))));
        }
        DirectionSet { method: Method::Own, scores: Scores::None, directions, layers }
    }

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

    fn direction(layers: &str, vectors: Vectors) -> Direction {
        Direction { layers: layers.parse().unwrap(), vectors, origin: Origin::Mixed }
    }

    #[test]
    fn directions_that_were_kept_are_moved_in_the_chosen_layers() {
        let kept = ["0-3", "2-3", "5", "0-3"].map(|layers| Arc::new(direction(layers, Vectors::One(vec![1.0, 0.0]))));
        let set = DirectionSet::of_own(&kept, "2-4".parse().unwrap());
        assert_eq!(set.len(), 1, "the same in the same layers is one");
        assert!(!Arc::ptr_eq(&set.directions[0], &kept[1]) && *set.directions[0] == *kept[1]);
        let all = DirectionSet::of_own(&kept, LayerSet::range(0, 9));
        assert!(all.len() == 3 && all.directions.iter().zip(&kept).all(|(a, b)| Arc::ptr_eq(a, b)));
        assert_eq!(Method::of(&Origin::Mixed), all.method);
    }

    #[test]
    fn cosines_are_over_shared_layers() {
        let one = |layers, x, y| direction(layers, Vectors::One(vec![x, y]));
        assert!((cosine(&one("0-1", 3.0, 0.0), &one("1-2", -1.0, 1.0)).unwrap() + 0.5_f64.sqrt()).abs() < 1e-12);
        assert_eq!(cosine(&one("0", 1.0, 0.0), &one("1", 1.0, 0.0)), None);
        assert_eq!(cosine(&one("0", 1.0, 0.0), &one("0", 0.0, 0.0)), None);
        assert_eq!(cosine(&one("0", 1.0, 0.0), &direction("0", Vectors::One(vec![1.0]))), None);
        let each = direction("0-1", Vectors::PerLayer(vec![vec![1.0, 0.0], vec![0.0, 1.0]]));
        assert!((cosine(&each, &one("0-1", 1.0, 0.0)).unwrap() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn what_conditions_change_is_taken_away() {
        let one = |vector: &[f32]| direction("0-2", Vectors::One(vector.to_vec()));
        let left = without(&one(&[1.0, 2.0, 3.0]), &[one(&[5.0, 0.0, 0.0]), one(&[2.0, 1.0, 0.0])]);
        assert_eq!(left, Some(Vectors::One(vec![0.0, 0.0, 1.0])));
        let (a, b) = (one(&[1.0, 1.0, 0.0]), one(&[1.0, 0.0, 0.0]));
        assert_eq!(without(&a, &[b.clone(), b.clone()]), Some(Vectors::One(vec![0.0, 1.0, 0.0])), "twice is once");
        assert_eq!((without(&a, std::slice::from_ref(&a)), without(&a, &[b, one(&[0.0, 2.0, 0.0])])), (None, None));
        assert_eq!(without(&a, &[direction("0", Vectors::One(vec![1.0]))]), None);
        assert_eq!(without(&one(&[0.0, 0.0, 2.0]), &[]), Some(Vectors::One(vec![0.0, 0.0, 1.0])));
        let each = direction("0-1", Vectors::PerLayer(vec![vec![1.0, 0.0], vec![0.0, 1.0]]));
        let Some(Vectors::PerLayer(left)) = without(&each, &[direction("0-1", Vectors::One(vec![1.0, 0.0]))]) else {
            panic!("a vector for each layer")
        };
        let dot = left[0][0] + left[1][0];
        let square: f32 = left.iter().flatten().map(|x| x * x).sum();
        assert!(dot.abs() < 1e-6 && (square - 1.0).abs() < 1e-6, "{left:?}");
    }

    #[test]
    fn a_basis_becomes_directions_that_know_where_they_come_from() {
        let product = Product { dim: 2, lower: vec![9.0, 0.0, 0.0, 1.0] };
        let basis = factorize("2,4".parse().unwrap(), Weighting::Raw, &product).unwrap();
        let set = DirectionSet::from(&basis);
        assert_eq!((set.len(), set.layers.to_string()), (2, "2,4".to_owned()));
        for (index, direction) in set.directions.iter().enumerate() {
            assert_eq!(direction.origin, Origin::Sefa { weighting: Weighting::Raw, index });
            assert_eq!(direction.vector_of(4), Some(basis.direction(index)));
            assert_eq!(Method::of(&direction.origin), set.method);
        }
        assert_eq!(set.scores.share(0), Some(0.9));
        assert_eq!(set.scores.text(1).unwrap(), "eigenvalue 1.000000\n10.00 % of the variance");
        assert_eq!((set.scores.share(2), Scores::None.text(0)), (None, None));
    }
}
