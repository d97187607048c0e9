//! Transposed convolutions: on operators of our own where they are of a kind that these have.

use burn::tensor::ops::ConvTransposeOptions;

use super::super::LoadError;
use super::super::layers::{self, tensor};
use super::build::{Builder, Folded};
use super::op::Op;
use super::shapes::Shape;
use crate::recipe::ConvTranspose;

impl Builder<'_, '_> {
    pub(super) fn transposed(
        &mut self,
        conv: &ConvTranspose,
        from: Shape,
        to: Shape,
        folded: Folded,
    ) -> Result<Vec<Op>, LoadError> {
        let (mut values, shape) = self.values(&conv.weight)?;
        let [inputs, outputs, height, width] = shape[..] else { return Err(LoadError::NoLayers) };
        let kernel = [height, width];
        let bias = self.optional(&conv.bias)?;
        let keeps = |k: usize| (height, width, conv.padding) == (k, k, [k / 2; 4]) && conv.output_padding == [0, 0];
        let is_simple = conv.groups == 1 && conv.dilation == [1, 1];
        let is_same = conv.stride == [1, 1] && (keeps(1) || keeps(3));
        let (on_one_pixel, doubling) =
            (from[1..] == [1, 1] && to[1] <= height && to[2] <= width, doubling(conv, kernel));
        if !is_simple || !on_one_pixel && !is_same && doubling.is_none() {
            return self.by_burn(conv, values, shape, bias, folded);
        }
        let bias = folded.apply(&mut values, height * width, bias, outputs);
        if on_one_pixel {
            // On one pixel, a matrix product.
            let taps = taps(kernel, [conv.padding[0], conv.padding[2]], to);
            let value = |o: usize, tap: Option<usize>, i: usize| {
                tap.map_or(0.0, |tap| values[(i * outputs + o) * height * width + tap])
            };
            let rows = (0..outputs).flat_map(|o| taps.iter().map(move |&tap| (o, tap)));
            let rows = rows.flat_map(|(o, tap)| (0..inputs).map(move |i| value(o, tap, i))).collect();
            let bias = bias.unwrap_or_else(|| vec![0.0; outputs]);
            let bias = bias.iter().flat_map(|&bias| std::iter::repeat_n(bias, taps.len())).collect();
            let layer = layers::Linear::new(rows, bias, (1.0, 1.0), self.place);
            return Ok(vec![Op::Linear { layer, slope: folded.slope(), to }]);
        }
        if let Some(offsets) = doubling {
            let mut spread = vec![0.0; inputs * outputs * 16];
            for (from, to) in values.chunks_exact(height * width).zip(spread.as_chunks_mut::<16>().0) {
                for (at, value) in from.iter().enumerate() {
                    to[4 * (at / width + offsets[0]) + at % width + offsets[1]] = *value;
                }
            }
            let layer = layers::ConvLayer::transposed(&spread, [inputs, outputs], bias, self.place);
            return Ok(vec![folded.on(layer)]);
        }
        // Correlation with the kernel turned round.
        let at = |o: usize, i: usize| (i * outputs + o) * height * width;
        let kernels = (0..outputs).flat_map(|o| (0..inputs).map(move |i| at(o, i)));
        let turned = kernels.flat_map(|at| values[at..at + height * width].iter().rev().copied()).collect();
        let side = from[1].max(from[2]);
        let layer = layers::ConvLayer::for_side(turned, [outputs, inputs, height], side, 1.0, bias, self.place);
        Ok(vec![folded.on(layer)])
    }

    fn by_burn(
        &mut self,
        conv: &ConvTranspose,
        mut values: Vec<f32>,
        shape: Vec<usize>,
        bias: Option<Vec<f32>>,
        folded: Folded,
    ) -> Result<Vec<Op>, LoadError> {
        let [inputs, outputs, height, width] = shape[..] else { return Err(LoadError::NoLayers) };
        let all = outputs * conv.groups;
        let bias = if conv.groups == 1 {
            folded.apply(&mut values, height * width, bias, outputs)
        } else {
            // The outputs of an input's group.
            let per_group = inputs / conv.groups * outputs * height * width;
            let mut bias = bias;
            let mut made = Vec::with_capacity(all);
            for (group, values) in values.chunks_exact_mut(per_group.max(1)).enumerate() {
                let of_group = group * outputs..(group + 1) * outputs;
                let part = bias.as_mut().map(|bias| bias[of_group.clone()].to_vec());
                match folded.part(of_group).apply(values, height * width, part, outputs) {
                    Some(part) => made.extend(part),
                    None => made.extend(std::iter::repeat_n(0.0, outputs)),
                }
            }
            Some(made)
        };
        // Burn cuts as much on both sides; the rest is cut here.
        let [top, bottom, left, right] = conv.padding;
        let both = [top.min(bottom), left.min(right)];
        let cut = [top - both[0], bottom - both[0], left - both[1], right - both[1]];
        let options = ConvTransposeOptions::new(conv.stride, both, conv.output_padding, conv.dilation, conv.groups);
        let weight = tensor(values, [inputs, outputs, height, width], self.place);
        let op = Op::Transpose { weight, bias: self.per_channel(bias), options, cut };
        Ok(folded.after(op))
    }
}

/// The place in the kernel of each output pixel of a transposed convolution of one pixel; `None` where none reaches.
fn taps([height, width]: [usize; 2], [top, left]: [usize; 2], to: Shape) -> Vec<Option<usize>> {
    let rows = (top..top + to[1]).flat_map(|y| (left..left + to[2]).map(move |x| (y, x)));
    rows.map(|(y, x)| (y < height && x < width).then_some(y * width + x)).collect()
}

/// Where the kernel lies in one of 4 x 4 with stride 2 and padding 1 that does the same, if there is such a one.
fn doubling(conv: &ConvTranspose, kernel: [usize; 2]) -> Option<[usize; 2]> {
    let offset = |axis: usize| {
        let [before, after] = [conv.padding[2 * axis], conv.padding[2 * axis + 1]];
        let doubles = kernel[axis] + conv.output_padding[axis] == before + after + 2;
        // Tap t reaches output t - before of input 0; that of the other kernel's tap t is t - 1.
        let offset = 1usize.checked_sub(before)?;
        (doubles && offset + kernel[axis] <= 4).then_some(offset)
    };
    (conv.stride == [2, 2]).then_some(())?;
    Some([offset(0)?, offset(1)?])
}
