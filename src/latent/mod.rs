//! Latent codes on the host: seed -> z, and the per-layer codes that an edit asks for.
//!
//! Everything here gives the same bits on every machine (integer generators, and logarithm and cosine in software), so that a
//! seed names one picture everywhere. The generators of other tools are in files of their own.

mod numpy;
mod scipy;
mod torch;

use std::f64::consts::{PI, TAU};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::edit::{Move, Seed, SeedKind, Truncation, straight};
use crate::recipe::Prior;

/// The first of the independent sequences of a seed that z of many belong to; those before are z itself and noise.
const MANY: u64 = 1 << 32;

/// z of a seed from a distribution. Uniform numbers are this program's own, whatever the tool.
pub fn draw(prior: Prior, seed: Seed, dim: usize) -> Vec<f32> {
    match prior {
        Prior::Normal => z_of_seed(seed, dim, false),
        Prior::TruncatedNormal { limit: 2.0 } => z_of_seed(seed, dim, true),
        Prior::TruncatedNormal { limit } => normals(seed.number, 0).filter(|x| x.abs() <= limit).take(dim).collect(),
        Prior::Uniform { low, high } => {
            uniforms(seed.number, 0).map(|x| low + (high - low) * x as f32).take(dim).collect()
        }
    }
}

/// z number `number` of as many as one likes that belong to a seed, for statistics. Each is the same whichever others are drawn.
pub fn draw_of_many(prior: Prior, seed: u64, number: usize, dim: usize) -> Vec<f32> {
    let stream = MANY + number as u64;
    match prior {
        Prior::Normal => normal(seed, stream, dim),
        Prior::TruncatedNormal { limit } => normals(seed, stream).filter(|x| x.abs() <= limit).take(dim).collect(),
        Prior::Uniform { low, high } => {
            uniforms(seed, stream).map(|x| low + (high - low) * x as f32).take(dim).collect()
        }
    }
}

/// z of a seed, by the tool that the seed is of. `truncated`: for a network whose z was drawn within -2..=2 (BigGAN), before
/// the factor psi; other tools' normal numbers stay as they are.
///
/// NumPy and SciPy take seeds up to 2^32 - 1 ([`Seed::check`]); of larger ones the lower half counts.
pub fn z_of_seed(seed: Seed, dim: usize, truncated: bool) -> Vec<f32> {
    let Seed { number, kind } = seed;
    match kind {
        SeedKind::Studio if truncated => truncated_z_from_seed(number, dim),
        SeedKind::Studio => z_from_seed(number, dim),
        SeedKind::Numpy => numpy::randn(number as u32, dim),
        SeedKind::Torch => torch::randn(number, dim),
        SeedKind::Scipy => scipy::truncated_normal(number as u32, dim),
    }
}

/// z of one of this program's own seeds: `dim` independent standard normal numbers.
pub fn z_from_seed(seed: u64, dim: usize) -> Vec<f32> {
    normal(seed, 0, dim)
}

/// The same for BigGAN, before the factor psi: standard normal numbers, those outside -2..=2 drawn anew (Brock et al.,
/// 2019, section 3.1).
pub fn truncated_z_from_seed(seed: u64, dim: usize) -> Vec<f32> {
    normals(seed, 0).filter(|x| x.abs() <= 2.0).take(dim).collect()
}

/// Random noise of a layer of that many pixels: standard normal numbers, row by row, different for every layer.
pub fn noise_from_seed(seed: u64, layer: usize, pixels: usize) -> Vec<f32> {
    normal(seed, 1 + layer as u64, pixels)
}

fn normal(seed: u64, stream: u64, count: usize) -> Vec<f32> {
    normals(seed, stream).take(count).collect()
}

/// Numbers in (0, 1]: never 0, whose logarithm is infinite. `stream` gives independent sequences of one seed.
fn uniforms(seed: u64, stream: u64) -> impl Iterator<Item = f64> {
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    random.set_stream(stream);
    std::iter::repeat_with(move || ((random.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64)
}

/// Standard normal numbers by the Box-Muller transform.
fn normals(seed: u64, stream: u64) -> impl Iterator<Item = f32> {
    let mut uniforms = uniforms(seed, stream);
    let mut uniform = move || uniforms.next().unwrap_or(1.0);
    std::iter::repeat_with(move || {
        let radius = libm::sqrt(-2.0 * libm::log(uniform()));
        let angle = TAU * uniform();
        [(radius * libm::cos(angle)) as f32, (radius * libm::sin(angle)) as f32]
    })
    .flatten()
}

/// `mean + psi * (code - mean)` on the first `cutoff` of the per-layer codes (Karras et al., 2019, appendix B).
/// `mean` gives the mean of a layer.
pub fn truncate<'a>(codes: &mut [Vec<f32>], mean: impl Fn(usize) -> &'a [f32], truncation: Truncation) {
    if truncation.psi == 1.0 {
        return; // exactly the codes, not codes after a rounding
    }
    let cutoff = truncation.cutoff.unwrap_or(codes.len()).min(codes.len());
    for (layer, code) in codes[..cutoff].iter_mut().enumerate() {
        for (x, mean) in code.iter_mut().zip(mean(layer)) {
            *x = mean + truncation.psi * (*x - mean);
        }
    }
}

/// `a` at `t` = 0 and `b` at 1, on a straight line.
pub fn on_line(a: &[f32], b: &[f32], t: f64) -> Vec<f32> {
    a.iter().zip(b).map(|(&a, &b)| straight(a.into(), b.into(), t) as f32).collect()
}

/// `a` at `t` = 0 and `b` at 1, by angle and length apart (Shoemake, 1985): normal numbers of many dimensions lie close to a sphere,
/// and a straight line between two would lead through its inside, where no network was trained. Codes of opposite directions, or
/// without one, are mixed on a line.
pub fn on_sphere(a: &[f32], b: &[f32], t: f64) -> Vec<f32> {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let [length_a, length_b] = [a, b].map(|code| product(code, code).sqrt());
    let angle = libm::acos((product(a, b) / (length_a * length_b)).clamp(-1.0, 1.0));
    // Also where a code has no direction: NaN compares as false.
    if !(1e-6..PI - 1e-6).contains(&angle) {
        return on_line(a, b, t);
    }
    let length = straight(length_a, length_b, t);
    let weight = |share: f64, own: f64| length * libm::sin(share * angle) / (libm::sin(angle) * own);
    let [of_a, of_b] = [weight(1.0 - t, length_a), weight(t, length_b)];
    a.iter().zip(b).map(|(&a, &b)| (of_a * f64::from(a) + of_b * f64::from(b)) as f32).collect()
}

/// Adds every active move to the codes of its layers. Layers that no move names keep their codes bit for bit.
pub fn apply_moves(codes: &mut [Vec<f32>], moves: &[Move]) {
    for step in moves.iter().filter(|step| step.is_active()) {
        for &layer in step.direction.layers.as_slice() {
            let vector = step.direction.vector_of(layer).unwrap_or_default();
            for (x, direction) in codes[layer].iter_mut().zip(vector) {
                *x += step.value * direction;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{Direction, LayerSet, Origin, Vectors, Weighting};

    /// The first numbers of seed 0, as bits. A change here breaks every saved edit.
    const FIRST_OF_SEED_0: [u32; 3] = [1_039_011_589, 3_209_193_773, 3_222_629_034];

    #[test]
    fn a_seed_means_the_same_numbers_for_ever() {
        let z = z_from_seed(0, 3);
        assert_eq!(z, z_from_seed(0, 512)[..3]);
        assert_eq!(z.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), FIRST_OF_SEED_0);
        assert_ne!(z, z_from_seed(1, 3));
        assert_ne!(noise_from_seed(0, 0, 4), noise_from_seed(0, 1, 4));
    }

    #[test]
    fn numbers_are_standard_normal() {
        let values = z_from_seed(7, 100_000);
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / 1e5;
        let variance = values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 1e5 - mean * mean;
        let beyond_two = values.iter().filter(|x| x.abs() > 2.0).count() as f64 / 1e5;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02 && (beyond_two - 0.0455).abs() < 0.003);
    }

    #[test]
    fn truncated_normal_numbers_stay_within_two() {
        let values = truncated_z_from_seed(7, 20_000);
        let variance = values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 2e4;
        assert!(values.iter().all(|x| x.abs() <= 2.0));
        assert!((variance - 0.774).abs() < 0.02, "{variance}");
        let whole = z_from_seed(7, 100);
        let kept: Vec<f32> = whole.into_iter().filter(|x| x.abs() <= 2.0).collect();
        assert_eq!(values[..kept.len()], kept);
    }

    #[test]
    fn z_of_many_are_of_their_prior_and_independent_of_each_other() {
        let (low, high) = (-0.5, 2.0);
        let priors = [Prior::Normal, Prior::TruncatedNormal { limit: 1.0 }, Prior::Uniform { low, high }];
        for prior in priors {
            let all: Vec<Vec<f32>> = (0..2000).map(|number| draw_of_many(prior, 3, number, 8)).collect();
            assert_eq!(all[7], draw_of_many(prior, 3, 7, 8));
            assert_ne!(all[7], draw_of_many(prior, 4, 7, 8));
            assert_ne!(all[0], draw(prior, Seed::studio(3), 8));
            let mean = all.iter().flatten().map(|&x| f64::from(x)).sum::<f64>() / 16e3;
            let expected = if matches!(prior, Prior::Uniform { .. }) { 0.75 } else { 0.0 };
            assert!((mean - expected).abs() < 0.03, "{prior:?}: {mean}");
            let together =
                all.windows(2).map(|pair| f64::from((pair[0][0] - expected as f32) * (pair[1][0] - expected as f32)));
            assert!((together.sum::<f64>() / 2e3).abs() < 0.08, "{prior:?}");
            if let Prior::TruncatedNormal { limit } = prior {
                assert!(all.iter().flatten().all(|x| x.abs() <= limit));
            }
        }
    }

    #[test]
    fn truncation_stops_at_the_cutoff() {
        let mut codes = vec![vec![2.0]; 3];
        truncate(&mut codes, |_| &[1.0], Truncation { psi: 0.5, cutoff: Some(2) });
        assert_eq!(codes, [[1.5], [1.5], [2.0]]);
        truncate(&mut codes, |_| &[1.0], Truncation { psi: 0.0, cutoff: None });
        assert_eq!(codes, [[1.0], [1.0], [1.0]]);
    }

    #[test]
    fn spheres_are_crossed_by_angle_and_length_apart() {
        let (a, b) = ([3.0, 0.0], [0.0, 1.0]);
        let half = on_sphere(&a, &b, 0.5);
        assert!(half.iter().all(|x| (x - 2.0 * 0.5f32.sqrt()).abs() < 1e-6), "{half:?}");
        let third = on_sphere(&a, &b, 1.0 / 3.0);
        assert!((third[1].atan2(third[0]) - std::f32::consts::FRAC_PI_6).abs() < 1e-6);
        for (t, end) in [(0.0, a), (1.0, b)] {
            let found = on_sphere(&a, &b, t);
            assert!(found.iter().zip(end).all(|(x, y)| (x - y).abs() < 1e-6), "{found:?}");
        }
        // Where there is no angle, the line.
        for b in [[6.0, 0.0], [-1.0, 0.0], [0.0, 0.0]] {
            assert_eq!(on_sphere(&a, &b, 0.25), on_line(&a, &b, 0.25));
        }
        assert_eq!(on_line(&a, &b, 0.25), [2.25, 0.25]);
    }

    #[test]
    fn moves_add_up_and_leave_other_layers_alone() {
        let step = |layers, value, enabled| {
            let direction = Direction::sefa(layers, Weighting::RowNormalised, 0, vec![1.0, 0.0]);
            Move { enabled, ..Move::new(direction.into(), value) }
        };
        let mut codes = vec![vec![0.25, 0.5]; 4];
        let moves = [
            step(LayerSet::range(0, 1), 2.0, true),
            step(LayerSet::range(1, 2), 1.0, true),
            step(LayerSet::range(0, 3), 9.0, false),
        ];
        apply_moves(&mut codes, &moves);
        assert_eq!(codes, [[2.25, 0.5], [3.25, 0.5], [1.25, 0.5], [0.25, 0.5]]);

        let vectors = Vectors::PerLayer(vec![vec![1.0, 0.0], vec![0.0, -1.0]]);
        let direction = Direction { layers: "0,2".parse().unwrap(), vectors, origin: Origin::Mixed };
        let mut codes = vec![vec![0.25, 0.5]; 3];
        apply_moves(&mut codes, &[Move::new(direction.into(), 2.0)]);
        assert_eq!(codes, [[2.25, 0.5], [0.25, 0.5], [0.25, -1.5]], "a vector for each layer");
    }
}
