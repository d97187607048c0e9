//! Where a direction lies among those of a set: the nearest, and how near (Shen & Zhou, CVPR 2021, Table 1).

use crate::directions::{DirectionSet, cosine};
use crate::edit::Direction;

/// A direction held against those of a set.
#[derive(Clone, Debug, PartialEq)]
pub struct Alignment {
    /// With each of the set, over the layers that both move; `None` where they share none.
    pub cosines: Vec<Option<f64>>,
    /// The one whose line is nearest, by its place in the set; `None` if no cosine is known.
    pub nearest: Option<usize>,
}

impl Alignment {
    /// `1 - |cos|` to each, 0 for the same line and 1 for a right angle.
    pub fn distances(&self) -> impl Iterator<Item = Option<f64>> {
        self.cosines.iter().map(|cosine| cosine.map(|cosine| 1.0 - cosine.abs()))
    }

    /// To the nearest.
    pub fn distance(&self) -> Option<f64> {
        self.distances().nth(self.nearest?).flatten()
    }

    /// 1 if both ends mean the same, -1 if they are swapped.
    pub fn sign(&self) -> Option<i64> {
        let cosine = self.cosines[self.nearest?]?;
        Some(if cosine < 0.0 { -1 } else { 1 })
    }
}

pub fn align(reference: &Direction, set: &DirectionSet) -> Alignment {
    let cosines: Vec<Option<f64>> = set.directions.iter().map(|direction| cosine(reference, direction)).collect();
    let known = cosines.iter().enumerate().filter_map(|(at, cosine)| Some((at, cosine.as_ref()?.abs())));
    // The first of equals.
    let nearest = known.reduce(|best, other| if other.1 > best.1 { other } else { best });
    Alignment { nearest: nearest.map(|(at, _)| at), cosines }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{LayerSet, Origin, Vectors};

    fn direction(layers: LayerSet, vector: [f32; 2]) -> Direction {
        Direction { layers, vectors: Vectors::One(vector.to_vec()), origin: Origin::Mixed }
    }

    #[test]
    fn the_nearest_line_is_found_whichever_way_it_leads() {
        let layers = LayerSet::range(0, 1);
        let kept = [[1.0, 0.0], [0.0, -2.0], [0.0, 1.5]].map(|vector| direction(layers.clone(), vector).into());
        let set = DirectionSet { directions: kept.to_vec(), ..DirectionSet::of_own([], layers.clone()) };
        let found = align(&direction(LayerSet::range(1, 3), [0.6, 0.8]), &set);
        assert_eq!((found.nearest, found.sign()), (Some(1), Some(-1)), "the first of equals");
        assert!((found.distance().unwrap() - 0.2).abs() < 1e-7);
        let apart = align(&direction(LayerSet::range(2, 3), [0.6, 0.8]), &set);
        assert_eq!((apart.nearest, apart.distance(), apart.sign()), (None, None, None));
    }
}
