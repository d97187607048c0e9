//! How typical a code is of those that a model makes. Codes in w come out of a leaky ReLU; before it they are nearly normal (the space
//! P_N of Zhu et al., 2020, "Improved StyleGAN Embedding: Where are the Good Latents?"), so that lengths in standard deviations mean
//! something there.

use crate::pca::Components;

/// Of the last activation of mapping networks, below zero.
const SLOPE: f32 = 0.2;
/// Directions along which codes hardly differ are taken for this part of the strongest.
const FLOOR: f64 = 1e-2;

/// The distribution of a model's codes.
pub(super) struct Typical {
    /// Before the activation; absent for z, which is standard normal by itself.
    whitening: Option<Whitening>,
    /// Squared lengths of samples, ascending.
    lengths: Vec<f64>,
}

struct Whitening {
    mean: Vec<f32>,
    /// `[dim, dim]`: axes divided by their standard deviations
    axes: Vec<f32>,
}

/// What the last activation was given, up to a factor.
pub(super) fn before_activation(code: &[f32]) -> Vec<f32> {
    code.iter().map(|&x| if x > 0.0 { x } else { x / SLOPE }).collect()
}

impl Typical {
    /// Of codes in w whose [`before_activation`] have these components; `samples` are some of the codes.
    pub(super) fn of_w(components: &Components, samples: &[Vec<f32>]) -> Self {
        let floor = FLOOR * components.sigma(0);
        let axis = |index: usize| {
            let sigma = components.sigma(index).max(floor).max(1e-12) as f32;
            components.vector(index).iter().map(move |x| x / sigma)
        };
        let axes = (0..components.len()).flat_map(axis).collect();
        Self::with(Some(Whitening { mean: components.mean.clone(), axes }), samples)
    }

    /// Of codes that are drawn from a normal distribution.
    pub(super) fn of_z(samples: &[Vec<f32>]) -> Self {
        Self::with(None, samples)
    }

    fn with(whitening: Option<Whitening>, samples: &[Vec<f32>]) -> Self {
        let mut typical = Typical { whitening, lengths: Vec::new() };
        let mut lengths: Vec<f64> = samples.iter().map(|code| typical.length(code).0).collect();
        lengths.sort_by(f64::total_cmp);
        typical.lengths = lengths;
        typical
    }

    /// The squared length of a code in standard deviations, divided by its numbers: about 1 for samples. And its gradient.
    pub(super) fn length(&self, code: &[f32]) -> (f64, Vec<f32>) {
        let dim = code.len();
        let Some(Whitening { mean, axes }) = &self.whitening else {
            let square: f64 = code.iter().map(|&x| f64::from(x).powi(2)).sum();
            return (square / dim as f64, code.iter().map(|x| 2.0 * x / dim as f32).collect());
        };
        let apart: Vec<f32> = before_activation(code).iter().zip(mean).map(|(x, mean)| x - mean).collect();
        let (mut square, mut gradient) = (0.0, vec![0.0; dim]);
        for axis in axes.chunks_exact(dim) {
            let along: f32 = axis.iter().zip(&apart).map(|(a, x)| a * x).sum();
            square += f64::from(along).powi(2);
            gradient.iter_mut().zip(axis).for_each(|(to, a)| *to += along * a);
        }
        let through = |(gradient, &x): (&mut f32, &f32)| {
            *gradient *= 2.0 / dim as f32 * if x > 0.0 { 1.0 } else { 1.0 / SLOPE };
        };
        gradient.iter_mut().zip(code).for_each(through);
        (square / dim as f64, gradient)
    }

    /// How many percent of the model's samples are nearer to the middle.
    pub(super) fn percentile(&self, code: &[f32]) -> f64 {
        let length = self.length(code).0;
        let below = self.lengths.partition_point(|&other| other < length);
        100.0 * below as f64 / self.lengths.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pca::Moments;

    #[test]
    fn lengths_count_deviations_before_the_activation() {
        let dim = 2;
        // Wide along one axis, narrow along the other, and activated.
        let before: Vec<f32> = (0..400).map(|i| ((i * 7919 % 401) as f32 / 200.0 - 1.0) * [10.0, 0.5][i % 2]).collect();
        let after: Vec<Vec<f32>> =
            before.chunks_exact(dim).map(|x| x.iter().map(|&x| x.max(SLOPE * x)).collect()).collect();
        let mut products = vec![0.0; dim * dim];
        for code in before.chunks_exact(dim) {
            (0..dim * dim).for_each(|at| products[at] += f64::from(code[at / dim]) * f64::from(code[at % dim]));
        }
        let typical = Typical::of_w(&Moments::of(&before, dim, products).components().unwrap(), &after);
        let mean = after.iter().map(|code| typical.length(code).0).sum::<f64>() / after.len() as f64;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        let code = [-1.0, 0.3];
        let (length, gradient) = typical.length(&code);
        for axis in 0..dim {
            let mut moved = code;
            moved[axis] += 1e-3;
            assert!(((typical.length(&moved).0 - length) / 1e-3 - f64::from(gradient[axis])).abs() < 0.05);
        }
        assert!(typical.percentile(&[100.0, 0.0]) == 100.0 && typical.percentile(&after[0]) < 100.0);
    }
}
