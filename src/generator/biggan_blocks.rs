//! What BigGAN and BigGAN-deep have in common: class-conditional batch norm, self-attention, the way to the picture.

mod adjoint;

use burn::tensor::{Device, Tensor};

use super::layers::{ConvLayer, Linear, repeated, tensor};
use super::{Conditions, LoadError, Tally, Tape};
use crate::layout::{LayoutError, Weights};
use crate::ops::{Norm, Place, attention};
use crate::sefa::StyleRows;
use adjoint::keep_norm;
pub(super) use adjoint::{AttentionAdjoint, NormAdjoint, ToPictureAdjoint};

/// BigGAN's customary truncation.
pub(super) const DEFAULT_PSI: f32 = 0.5;

/// Class embeddings, one row each. A network without classes has no row, or one that is always taken.
pub(super) struct Embeddings {
    /// Row-major `[rows, width]`
    table: Vec<f32>,
    width: usize,
    device: Device,
}

impl Embeddings {
    pub(super) fn new(table: Vec<f32>, width: usize, device: &Device) -> Self {
        Embeddings { table, width, device: device.clone() }
    }

    /// Classes to choose from, of so many rows.
    pub(super) fn classes(rows: usize) -> Option<usize> {
        (rows > 1).then_some(rows)
    }

    /// `[N, width]`; `None` if there is none.
    pub(super) fn of(&self, conditions: &[Conditions]) -> Option<Tensor<2>> {
        let row = |conditions: &Conditions| match self.table.len() == self.width {
            true => self.table.clone(),
            false => conditions.label.embed(&self.table, self.width),
        };
        let rows = || conditions.iter().flat_map(row).collect();
        (!self.table.is_empty()).then(|| tensor(rows(), [conditions.len(), self.width], &self.device))
    }
}

/// Means and variances of a batch norm. Hugging Face's networks have a row for every fiftieth of psi; others have one.
pub(super) struct Statistics {
    /// Row-major `[rows, channels]`
    means: Vec<f32>,
    variances: Vec<f32>,
    channels: usize,
    epsilon: f32,
    device: Device,
}

impl Statistics {
    /// `[rows, channels]` of the tensor of that name.
    pub(super) fn shape(weights: &Weights, means: &str) -> Result<[usize; 2], LayoutError> {
        match weights.shape(means) {
            Some(&[channels]) => Ok([1, channels]),
            _ => weights.dims::<2>(means),
        }
    }

    pub(super) fn load(
        [means, variances]: [&str; 2],
        channels: usize,
        epsilon: f32,
        weights: &Weights,
        device: &Device,
        tally: &mut Tally,
    ) -> Result<Self, LoadError> {
        let [rows, _] = Statistics::shape(weights, means)?;
        let is_vector = weights.shape(means).is_some_and(|shape| shape.len() == 1);
        let shape = if is_vector { vec![channels] } else { vec![rows, channels] };
        let means = tally.get(weights, means, &shape)?;
        let variances = tally.get(weights, variances, &shape)?;
        Ok(Statistics { means, variances, channels, epsilon, device: device.clone() })
    }

    fn depends_on_psi(&self) -> bool {
        self.means.len() > self.channels
    }

    /// Factor and offset of every channel that normalise it, `[N, channels]`, or `[1, channels]` where all samples have the same.
    fn normalisation(&self, conditions: &[Conditions]) -> [Tensor<2>; 2] {
        let mut psis: Vec<f32> = conditions.iter().map(|conditions| conditions.psi).collect();
        if !self.depends_on_psi() || psis.iter().all(|&psi| psi == psis[0]) {
            psis.truncate(1);
        }
        let (factors, offsets): (Vec<_>, Vec<_>) = psis.iter().map(|&psi| self.of_psi(psi)).unzip();
        [factors, offsets].map(|values| tensor(values.concat(), [psis.len(), self.channels], &self.device))
    }

    /// Factors and offsets of the channels at one psi.
    fn of_psi(&self, psi: f32) -> (Vec<f32>, Vec<f32>) {
        let mixture = row_mixture(psi, self.means.len() / self.channels);
        let at = |table: &[f32], channel: usize| -> f64 {
            mixture.iter().map(|&(row, weight)| f64::from(table[row * self.channels + channel]) * weight).sum()
        };
        let factors: Vec<f64> =
            (0..self.channels).map(|c| 1.0 / (at(&self.variances, c) + f64::from(self.epsilon)).sqrt()).collect();
        let offsets = factors.iter().enumerate().map(|(c, factor)| (-at(&self.means, c) * factor) as f32).collect();
        (factors.iter().map(|&factor| factor as f32).collect(), offsets)
    }
}

/// Rows of the statistics with their weights at a psi of 0..=1; beyond, the nearest end.
///
/// As the reference has it, in double precision: with q = psi / step, the row below q has the *fraction* of q as its weight,
/// and the row above has the rest. Rounding makes 0.14 a hair more than its row, and 0.58 a hair less; so psi must be the
/// decimal that was written, 0.4 rather than the 32-bit number nearest to it.
fn row_mixture(psi: f32, rows: usize) -> Vec<(usize, f64)> {
    if rows < 2 {
        return vec![(0, 1.0)];
    }
    let psi: f64 = psi.clamp(0.0, 1.0).to_string().parse().unwrap_or(1.0);
    let position = psi / (1.0 / (rows - 1) as f64);
    let (row, fraction) = (position.floor() as usize, position.fract());
    match fraction {
        0.0 => vec![(row, 1.0)],
        _ => vec![(row, fraction), (row + 1, 1.0 - fraction)],
    }
}

/// Batch norm whose gain and bias are linear in the condition.
pub(super) struct ConditionalNorm {
    statistics: Statistics,
    /// condition -> gain less 1
    gain: Linear,
    bias: Linear,
}

/// Names of a conditional batch norm's tensors.
pub(super) struct NormNames {
    pub gain: String,
    pub bias: String,
    pub mean: String,
    pub variance: String,
}

impl ConditionalNorm {
    /// Also hands out the weights of gain and bias, `[channels, condition]`.
    pub(super) fn load(
        names: &NormNames,
        [channels, condition]: [usize; 2],
        epsilon: f32,
        weights: &Weights,
        device: &Device,
        tally: &mut Tally,
    ) -> Result<(Self, [Vec<f32>; 2]), LoadError> {
        let statistics = Statistics::load([&names.mean, &names.variance], channels, epsilon, weights, device, tally)?;
        let gain = tally.get(weights, &names.gain, &[channels, condition])?;
        let bias = tally.get(weights, &names.bias, &[channels, condition])?;
        let linear = |weight: &[f32]| Linear::new(weight.to_vec(), vec![0.0; channels], (1.0, 1.0), device);
        let norm = ConditionalNorm { statistics, gain: linear(&gain), bias: linear(&bias) };
        Ok((norm, [gain, bias]))
    }

    pub(super) fn depends_on_psi(&self) -> bool {
        self.statistics.depends_on_psi()
    }

    /// What it does to maps of that condition, `[N, width]`, with the activation after it. The statistics are those of
    /// [`Statistics::normalisation`].
    fn of(&self, condition: &Tensor<2>, [factor, offset]: [Tensor<2>; 2]) -> Norm {
        let gain = self.gain.forward(condition.clone()).add_scalar(1.0);
        let bias = self.bias.forward(condition.clone()) + offset * gain.clone();
        Norm { factor: gain * factor, offset: bias }
    }
}

/// Self-attention (Zhang et al., ICML 2019), with keys and values pooled by two.
pub(super) struct Attention {
    /// theta, phi and g, one after the other.
    projections: ConvLayer,
    /// Outputs of theta and of phi.
    width: usize,
    /// Times gamma.
    output: ConvLayer,
}

/// What a file has of it.
struct AttentionParts {
    /// `[2 width + values, channels]`
    projections: Vec<f32>,
    /// `[channels, values]`
    output: Vec<f32>,
    gamma: f32,
    width: usize,
    /// Outputs of g.
    values: usize,
}

impl Attention {
    /// `names` are those of theta, phi, g, the output convolution and gamma.
    pub(super) fn load(
        names: [&str; 5],
        channels: usize,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Self, LoadError> {
        let AttentionParts { projections, output, gamma, width, values } = Self::read(names, channels, weights, tally)?;
        Ok(Attention {
            projections: ConvLayer::new(projections, [2 * width + values, channels, 1], 1.0, None, device),
            width,
            output: ConvLayer::new(output, [channels, values, 1], f64::from(gamma), None, device),
        })
    }

    fn read(
        names: [&str; 5],
        channels: usize,
        weights: &Weights,
        tally: &mut Tally,
    ) -> Result<AttentionParts, LoadError> {
        let [theta, phi, g, output, gamma] = names;
        let [width, ..] = weights.dims::<4>(theta)?;
        let [values, ..] = weights.dims::<4>(g)?;
        let mut projections = tally.get(weights, theta, &[width, channels, 1, 1])?;
        projections.extend(tally.get(weights, phi, &[width, channels, 1, 1])?);
        projections.extend(tally.get(weights, g, &[values, channels, 1, 1])?);
        let output = tally.get(weights, output, &[channels, values, 1, 1])?;
        let shape = weights.shape(gamma).filter(|shape| shape.iter().product::<usize>() == 1).unwrap_or_default();
        let gamma = tally.get(weights, gamma, shape)?.first().copied().unwrap_or(0.0);
        Ok(AttentionParts { projections, output, gamma, width, values })
    }

    /// Bytes of the matrix of weights on a map of that side.
    pub(super) fn largest_tensor_bytes(side: u64) -> u64 {
        side.pow(4)
    }

    /// `[N, C, H, W]` -> the same shape
    pub(super) fn forward(&self, x: Tensor<4>, tape: &mut Tape) -> Tensor<4> {
        let map = self.projections.forward(x.clone());
        tape.keep(&map);
        let values = attention(map, self.width);
        self.output.forward_residual(values, None, Some(x))
    }
}

/// Batch norm, convolution, tanh: from the last block to the picture.
pub(super) struct ToPicture {
    statistics: Statistics,
    gain: Tensor<2>,
    bias: Tensor<2>,
    conv: ConvLayer,
}

impl ToPicture {
    /// `norm` are the names of gain and bias, `conv` the prefix of the convolution.
    pub(super) fn load(
        statistics: Statistics,
        norm: [&str; 2],
        conv: &str,
        outputs: usize,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Self, LoadError> {
        let channels = statistics.channels;
        let [gain, bias] = [tally.get(weights, norm[0], &[channels])?, tally.get(weights, norm[1], &[channels])?];
        let weight = tally.get(weights, &format!("{conv}.weight"), &[outputs, channels, 3, 3])?;
        let conv_bias = tally.get(weights, &format!("{conv}.bias"), &[outputs])?;
        Ok(ToPicture {
            statistics,
            gain: tensor(gain, [1, channels], device),
            bias: tensor(bias, [1, channels], device),
            conv: ConvLayer::new(weight, [outputs, channels, 3], 1.0, Some(conv_bias), device).for_picture(),
        })
    }

    pub(super) fn depends_on_psi(&self) -> bool {
        self.statistics.depends_on_psi()
    }

    /// `[N, C, H, W]` -> `[N, picture channels, H, W]`
    pub(super) fn forward(&self, x: Tensor<4>, conditions: &[Conditions], tape: &mut Tape) -> Tensor<4> {
        let [factor, offset] = self.statistics.normalisation(conditions);
        let bias = self.bias.clone() + offset * self.gain.clone();
        let of_all = |values: Tensor<2>| match values.dims()[0] {
            1 => repeated(&values, conditions.len()),
            _ => values,
        };
        let norm = Norm { factor: of_all(self.gain.clone() * factor), offset: of_all(bias) };
        keep_norm(&x, &norm, tape);
        let picture = self.conv.forward_residual(x, Some(norm), None).tanh();
        tape.keep(&picture);
        picture
    }
}

/// SeFa's rows of weights `[rows, width]`, of which `used` columns read the part of z that starts at `at`; zero elsewhere.
pub(super) fn z_rows<'a>(
    weights: impl IntoIterator<Item = &'a Vec<f32>>,
    width: usize,
    used: std::ops::Range<usize>,
    at: usize,
    z_dim: usize,
) -> StyleRows {
    let mut values = Vec::new();
    for row in weights.into_iter().flat_map(|weight| weight.chunks_exact(width)) {
        values.extend(std::iter::repeat_n(0.0, at));
        values.extend_from_slice(&row[used.clone()]);
        values.extend(std::iter::repeat_n(0.0, z_dim - at - used.len()));
    }
    StyleRows { values, dim: z_dim }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_looked_up_as_the_reference_does_with_its_rounding() {
        let whole = |psi: f32| {
            let heaviest = row_mixture(psi, 51).into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
            assert!(heaviest.1 > 1.0 - 1e-9, "{psi}: {heaviest:?}");
            heaviest.0
        };
        // Multiples of the step, and those that rounding moves to a neighbour.
        assert_eq!([0.0, 0.02, 0.4, 0.5, 0.96, 1.0].map(whole), [0, 1, 20, 25, 48, 50]);
        assert_eq!([0.14, 0.28, 0.56, 0.58, 0.94].map(whole), [8, 15, 29, 28, 46]);
        assert_eq!([-1.0, 7.0].map(whole), [0, 50]);
        let between = row_mixture(0.435, 51);
        assert_eq!([between[0].0, between[1].0], [21, 22]);
        assert!((between[0].1 - 0.75).abs() < 1e-9 && (between[1].1 - 0.25).abs() < 1e-9);
        assert_eq!(row_mixture(0.3, 1), [(0, 1.0)]);
    }
}
