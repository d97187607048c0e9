//! Adam (Kingma & Ba, ICLR 2015).

const BETAS: [f32; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;

/// Running moments of the gradients of some variables.
#[derive(Clone, Debug, Default)]
pub(super) struct Adam {
    first: Vec<f32>,
    second: Vec<f32>,
    steps: i32,
}

impl Adam {
    pub(super) fn new(variables: usize) -> Self {
        Adam { first: vec![0.0; variables], second: vec![0.0; variables], steps: 0 }
    }

    /// Moves variables against a gradient, each by about `rate`.
    pub(super) fn step(&mut self, variables: &mut [f32], gradient: &[f32], rate: f32) {
        self.steps += 1;
        let [of_first, of_second] = BETAS.map(|beta| 1.0 - beta.powi(self.steps));
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((x, g), (first, second)) in variables.iter_mut().zip(gradient).zip(moments) {
            *first = BETAS[0] * *first + (1.0 - BETAS[0]) * g;
            *second = BETAS[1] * *second + (1.0 - BETAS[1]) * g * g;
            *x -= rate * (*first / of_first) / ((*second / of_second).sqrt() + EPSILON);
        }
    }
}

/// From there on of the way the rate falls.
pub(super) const SLOWING: f32 = 0.75;

/// The learning rate at `at` of the way: it rises for the first twentieth and falls along a cosine in the last quarter (Karras et al.,
/// 2020, appendix D).
pub(super) fn rate_at(rate: f32, at: f32) -> f32 {
    let down =
        (0.5 - 0.5 * (std::f32::consts::PI * ((1.0 - at) / (1.0 - SLOWING)).clamp(0.0, 1.0)).cos()).clamp(0.0, 1.0);
    rate * down * (at / 0.05).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valley_is_descended_whatever_its_scale() {
        for scale in [1e-3, 1.0, 1e3] {
            let (mut x, mut adam) = (vec![3.0, -2.0], Adam::new(2));
            for step in 0..400 {
                let gradient = [scale * 2.0 * (x[0] - 1.0), scale * 20.0 * x[1]];
                adam.step(&mut x, &gradient, rate_at(0.1, (step as f32 + 0.5) / 400.0));
            }
            assert!((x[0] - 1.0).abs() < 0.01 && x[1].abs() < 0.01, "{x:?}");
        }
    }

    #[test]
    fn the_rate_rises_stays_and_falls() {
        assert_eq!((rate_at(0.1, 0.0), rate_at(0.1, 0.5)), (0.0, 0.1));
        assert!((rate_at(0.1, 0.025) - 0.05).abs() < 1e-6 && rate_at(0.1, 1.0) < 1e-6);
        assert!((rate_at(0.1, 0.875) - 0.05).abs() < 1e-3);
    }
}
