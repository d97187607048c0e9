//! What a picture depends on besides codes and noise.

use crate::edit::{Code, Sample};

/// What the stages that ask for it are told of one sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    pub label: Label,
    /// [`crate::edit::Truncation::psi`], for networks whose statistics depend on it.
    pub psi: f32,
}

/// Classes with their weights, which sum to 1: one class, two in a mixture, several between mixtures, none for an unconditional network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Label(Vec<(usize, f32)>);

impl Label {
    /// The label of a sample that fits the model.
    pub fn of(sample: &Sample) -> Self {
        if let Code::Between(between) = &sample.code {
            let (nearest, share) = between.nearest();
            let [from, to] = nearest.map(|waypoint| Label::of(&waypoint.sample));
            return from.towards(&to, share as f32);
        }
        let Some(class) = sample.class else { return Label::default() };
        let weights = match sample.mix {
            Some(mix) if mix.class != class => vec![(class, 1.0 - mix.amount), (mix.class, mix.amount)],
            _ => vec![(class, 1.0)],
        };
        Label(weights.into_iter().filter(|(_, weight)| *weight != 0.0).collect())
    }

    /// A mixture of this with a share of another.
    fn towards(&self, other: &Self, share: f32) -> Self {
        if self == other {
            return self.clone();
        }
        let mut weights: Vec<(usize, f32)> =
            self.0.iter().map(|&(class, weight)| (class, (1.0 - share) * weight)).collect();
        for &(class, weight) in &other.0 {
            match weights.iter_mut().find(|(known, _)| *known == class) {
                Some((_, sum)) => *sum += share * weight,
                None => weights.push((class, share * weight)),
            }
        }
        Label(weights.into_iter().filter(|(_, weight)| *weight != 0.0).collect())
    }

    pub fn class(class: usize) -> Self {
        Label(vec![(class, 1.0)])
    }

    /// Classes and their weights.
    pub fn weights(&self) -> &[(usize, f32)] {
        &self.0
    }

    /// One weight per class.
    pub(super) fn one_hot(&self, classes: usize) -> Vec<f32> {
        let mut weights = vec![0.0; classes];
        self.0.iter().for_each(|&(class, weight)| weights[class] += weight);
        weights
    }

    /// The weighted sum of rows of `table`, row-major `[classes, width]`.
    pub(super) fn embed(&self, table: &[f32], width: usize) -> Vec<f32> {
        let mut sum = vec![0.0; width];
        for &(class, weight) in &self.0 {
            let row = &table[class * width..][..width];
            sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += weight * x);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::ClassMix;

    #[test]
    fn a_mixture_goes_from_the_first_class_to_the_second() {
        let label = |amount| {
            Label::of(&Sample { class: Some(0), mix: Some(ClassMix { class: 2, amount }), ..Sample::default() })
        };
        assert_eq!(label(0.0), Label::class(0));
        assert_eq!(label(1.0), Label::class(2));
        assert_eq!(label(0.25).one_hot(3), [0.75, 0.0, 0.25]);
        assert_eq!(label(0.25).embed(&[4.0, 0.0, 1.0, 1.0, 8.0, 4.0], 2), [5.0, 1.0]);
        assert_eq!(Label::of(&Sample::default()), Label::default());
    }
}
