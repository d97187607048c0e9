//! The Fourier features that StyleGAN3 starts from, and their derivative.

use std::f64::consts::TAU;

use burn::tensor::Tensor;

use super::Config;
use crate::generator::layers::tensor;
use crate::generator::{LoadError, Tally};
use crate::layout::Weights;
use crate::ops::Place;
use crate::size::Size;

/// In periods over the picture; it matters to user transforms that scale.
const BANDWIDTH: f64 = 2.0;

/// Waves on a grid, turned and shifted.
pub(super) struct Waves {
    /// `[1, C, 2]`, periods over the picture
    frequencies: Tensor<3>,
    /// `[1, C, 1]`, in turns
    phases: Tensor<3>,
    /// `[1, 3, 3]`, inverse transform of the picture
    transform: Tensor<3>,
    /// x, y and 1 of every pixel, `[1, 3, height * width]`
    grid: Tensor<3>,
    size: Size,
    /// Samples per unit.
    rate: usize,
}

/// Waves that were turned and shifted.
struct Turned {
    /// `[N, 1]` each: cosine, sine, shifts along x and y, and the length of what the first two were
    numbers: [Tensor<2>; 4],
    length: Tensor<2>,
    /// `[N, C, 2]`
    frequencies: Tensor<3>,
    /// `[N, C, 1]` each
    norms: Tensor<3>,
    amplitudes: Tensor<3>,
    /// Of every pixel less whole ones, `[N, C, height * width]`
    turns: Tensor<3>,
}

impl Waves {
    pub(super) fn load(
        config: &Config,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Self, LoadError> {
        let (channels, size) = (config.input_channels, config.layers[0].size);
        let mut get = |part: &str, shape: &[usize]| tally.get(weights, &format!("synthesis.input.{part}"), shape);
        let frequencies = get("freqs", &[channels, 2])?;
        let phases = get("phases", &[channels])?;
        let transform = get("transform", &[3, 3])?;
        let Size { width, height } = size;
        let rate = config.rate as f64;
        let at = |pixel: usize, side: usize| ((pixel as f64 + 0.5 - side as f64 / 2.0) / rate) as f32;
        let pixels = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let x = pixels().map(|(x, _)| at(x, width));
        let grid = x.chain(pixels().map(|(_, y)| at(y, height))).chain(pixels().map(|_| 1.0));
        Ok(Waves {
            frequencies: tensor(frequencies, [1, channels, 2], device),
            phases: tensor(phases, [1, channels, 1], device),
            transform: tensor(transform, [1, 3, 3], device),
            grid: tensor(grid.collect(), [1, 3, size.pixels()], device),
            size,
            rate: config.rate,
        })
    }

    /// t `[N, 4]`: cosine and sine, up to a common factor of all four, and shifts along x and y -> `[N, C, height, width]`
    pub(super) fn forward(&self, t: Tensor<2>) -> Tensor<4> {
        let [n, channels] = [t.dims()[0], self.frequencies.dims()[1]];
        let Turned { amplitudes, turns, .. } = self.turned(t);
        let features = turns.mul_scalar(TAU).sin() * amplitudes;
        features.reshape([n, channels, self.size.height, self.size.width])
    }

    fn turned(&self, t: Tensor<2>) -> Turned {
        let n = t.dims()[0];
        let number = |i: usize| t.clone().narrow(1, i, 1);
        let length = (number(0).square() + number(1).square()).sqrt();
        let numbers = [0, 1, 2, 3].map(|i| number(i) / length.clone());
        let [cos, sin, x, y] = numbers.clone();
        // The upper rows of turn * shift, then the user's transform; the lower row stays 0, 0, 1.
        let shift_x = sin.clone() * y.clone() - cos.clone() * x.clone();
        let shift_y = (sin.clone() * x + cos.clone() * y).neg();
        let rows = Tensor::cat(vec![cos.clone(), sin.clone().neg(), shift_x, sin, cos, shift_y], 1);
        let transform = rows.reshape([n, 2, 3]).matmul(self.transform.clone().repeat(&[n, 1, 1]));
        // Frequencies in the first two columns, the change of phase in the third.
        let waves = self.frequencies.clone().repeat(&[n, 1, 1]).matmul(transform);
        let frequencies = waves.clone().narrow(2, 0, 2);
        let phases = waves.narrow(2, 2, 1) + self.phases.clone();
        // Frequencies that a transform has driven beyond what the grid can show fade out.
        let norms = frequencies.clone().square().sum_dim(2).sqrt();
        let amplitudes = norms.clone().sub_scalar(BANDWIDTH).mul_scalar(self.fading()).add_scalar(1.0).clamp(0.0, 1.0);
        let waves = Tensor::cat(vec![frequencies.clone(), phases], 2);
        let turns = waves.matmul(self.grid.clone().repeat(&[n, 1, 1]));
        let turns = turns.clone() - turns.round();
        Turned { numbers, length, frequencies, norms, amplitudes, turns }
    }

    /// The amplitude's slope above the bandwidth.
    fn fading(&self) -> f64 {
        -1.0 / (self.rate as f64 / 2.0 - BANDWIDTH)
    }

    /// From the gradient with respect to the features to that with respect to t.
    pub(super) fn pull(&self, grad: Tensor<4>, t: Tensor<2>) -> Tensor<2> {
        let [n, channels, height, width] = grad.dims();
        let grad = grad.reshape([n, channels, height * width]);
        let Turned { numbers, length, frequencies, norms, amplitudes, turns } = self.turned(t);
        let angles = turns.mul_scalar(TAU);
        let is_between = amplitudes.clone().greater_elem(0.0).float() * amplitudes.clone().lower_elem(1.0).float();
        let of_amplitudes = (grad.clone() * angles.clone().sin()).sum_dim(2);
        let of_turns = grad * angles.cos().mul_scalar(TAU) * amplitudes;
        // Of frequencies and phases, [N, C, 3].
        let of_waves = of_turns.matmul(self.grid.clone().repeat(&[n, 1, 1]).swap_dims(1, 2));
        let of_norms = of_amplitudes.mul_scalar(self.fading()) * is_between;
        let of_frequencies = of_waves.clone().narrow(2, 0, 2) + frequencies * (of_norms / norms.add_scalar(1e-30));
        let of_waves = Tensor::cat(vec![of_frequencies, of_waves.narrow(2, 2, 1)], 2);
        let of_transform = self.frequencies.clone().repeat(&[n, 1, 1]).swap_dims(1, 2).matmul(of_waves);
        let of_rows = of_transform.matmul(self.transform.clone().repeat(&[n, 1, 1]).swap_dims(1, 2)).reshape([n, 6]);
        let row = |i: usize| of_rows.clone().narrow(1, i, 1);
        let [cos, sin, x, y] = numbers.clone();
        // rows = cos, -sin, sin y - cos x, sin, cos, -(sin x + cos y)
        let of_numbers = [
            row(0) + row(4) - row(2) * x.clone() - row(5) * y.clone(),
            row(3) - row(1) + row(2) * y - row(5) * x,
            (row(2) * cos.clone() + row(5) * sin.clone()).neg(),
            row(2) * sin.clone() - row(5) * cos.clone(),
        ];
        // All four were divided by the length of the first two.
        let products = of_numbers.iter().zip(&numbers).map(|(grad, number)| grad.clone() * number.clone());
        let along = products.reduce(|sum, product| sum + product).unwrap_or_else(|| length.zeros_like());
        let [of_cos, of_sin, of_x, of_y] = of_numbers;
        let parts = vec![of_cos - along.clone() * cos, of_sin - along * sin, of_x, of_y];
        Tensor::cat(parts, 1) / length
    }
}
