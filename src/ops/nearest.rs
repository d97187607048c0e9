//! Nearest up-sampling and the convolution after it, as one.

use burn::tensor::Tensor;

use super::residual::{Around, on_host};
use super::{After, ConvTranspose, Norm, Place, cpu, is_cpu};

/// Nearest up-sampling by two, then correlation with a 3x3 kernel.
pub struct ConvNearestUp(Form);

#[expect(clippy::large_enum_variant, reason = "one per layer for the life of a model, never moved about")]
enum Form {
    Transposed(ConvTranspose),
    Cpu(cpu::PackedUp),
}

impl ConvNearestUp {
    /// `weight` is `[outputs, inputs, 3, 3]`, row-major.
    /// In the form that is fastest for inputs of that width and height; right for all.
    pub fn for_side(weight: &[f32], shape: [usize; 2], side: usize, place: impl Into<Place>) -> Self {
        let place = place.into();
        ConvNearestUp(match is_cpu(&place) {
            true => Form::Cpu(cpu::PackedUp::nearest(weight, shape, side)),
            false => Form::Transposed(transposed(weight, shape, side, &place)),
        })
    }

    /// x `[N, inputs, h, w]` -> `[N, outputs, 2h, 2w]`, with the surroundings of [`super::Conv::forward_residual`].
    pub fn forward_residual(
        &self,
        x: Tensor<4>,
        norm: Option<Norm>,
        shortcut: Option<Tensor<4>>,
        after: &After,
    ) -> Tensor<4> {
        match &self.0 {
            Form::Transposed(conv) => conv.forward_residual(x, norm, shortcut, after),
            Form::Cpu(packed) => on_host(x, Around::new(norm, shortcut), after, packed),
        }
    }
}

/// The same as a transposed convolution of stride 2 with a 4x4 kernel: each value reaches the 4x4 outputs around its copies, by
/// the sums of the 2x2 windows of the flipped kernel.
fn transposed(weight: &[f32], [outputs, inputs]: [usize; 2], side: usize, place: impl Into<Place>) -> ConvTranspose {
    let mut spread = vec![0.0; 16 * inputs * outputs];
    for (index, kernel) in weight.as_chunks::<9>().0.iter().enumerate() {
        // Transposed convolutions are stored with the inputs first.
        let (output, input) = (index / inputs, index % inputs);
        let to = &mut spread[16 * (input * outputs + output)..][..16];
        for (i, x) in kernel.iter().rev().enumerate() {
            let at = i / 3 * 4 + i % 3;
            [at, at + 1, at + 4, at + 5].iter().for_each(|&at| to[at] += x);
        }
    }
    ConvTranspose::for_side(&spread, [inputs, outputs], side, place)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::super::tests::{assert_equal, everything, numbers, weights};
    use super::super::{Conv, nearest_up};
    use super::*;

    #[test]
    fn both_forms_equal_up_sampling_and_convolution() {
        let device = Device::flex();
        for (n, inputs, outputs, side) in [(1, 6, 4, 4), (2, 24, 10, 16), (2, 70, 66, 32)] {
            let x = numbers([n, inputs, side, side], 1, &device);
            let norm =
                || Some(Norm { factor: numbers([n, inputs], 6, &device), offset: numbers([n, inputs], 7, &device) });
            let shortcut = || Some(numbers([n, outputs, side, side], 8, &device));
            let weight = weights(outputs * inputs * 9);
            let after = everything(n, outputs, 2 * side, &device);
            // A batch norm treats every pixel alike, so it may come before the up-sampling.
            let expected = Conv::of_tensors(&weight, [outputs, inputs, 3], &device).forward_residual(
                nearest_up(x.clone()),
                norm(),
                shortcut(),
                &after,
            );
            let fast = ConvNearestUp::for_side(&weight, [outputs, inputs], side, &device);
            assert_equal(fast.forward_residual(x.clone(), norm(), shortcut(), &after), expected.clone());
            let transposed = ConvNearestUp(Form::Transposed(transposed(&weight, [outputs, inputs], side, &device)));
            assert_equal(transposed.forward_residual(x, norm(), shortcut(), &after), expected);
        }
    }
}
