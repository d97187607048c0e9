//! Steps -> operators: tensors are read, batch norms and activations put into the layers before them.

use std::collections::HashMap;

use burn::tensor::Tensor;
use burn::tensor::ops::ConvOptions;

use super::super::layers::{self, tensor};
use super::super::{LoadError, Tally};
use super::arithmetic::{Function, Gather, Over};
use super::op::{Entry, Op};
use super::shapes::{Shape, Shapes, Totals};
use super::statistics::Norm;
use crate::ops::Place;
use crate::recipe::{Activation, Conv, Input, Padding, Resizing, Size, Step};

/// What becomes of batch norms.
pub(super) enum Norms<'a> {
    /// Folded into the layer before, with the stored statistics.
    Stored,
    /// The same with other statistics, by the name of the mean.
    Given(&'a HashMap<String, (Vec<f64>, Vec<f64>)>),
    /// Steps of their own that tell what comes to them; `true`: and normalise by that.
    Measured(bool),
}

pub(super) struct Builder<'a, 'b> {
    pub(super) shapes: &'a Shapes<'a>,
    pub(super) place: &'a Place,
    pub(super) tally: &'a mut Tally<'b>,
    pub(super) norms: Norms<'a>,
    /// Entries of z that have a latent layer so far.
    pub(super) entries: usize,
}

/// What follows a layer and becomes part of it.
#[derive(Default)]
pub(super) struct Folded {
    /// Factor and summand of each output channel.
    norm: Option<(Vec<f32>, Vec<f32>)>,
    slope: Option<f32>,
}

impl Folded {
    /// Scales `weight`, whose runs of `run` values belong to output channels in turn, and gives the bias.
    pub(super) fn apply(
        &self,
        weight: &mut [f32],
        run: usize,
        bias: Option<Vec<f32>>,
        channels: usize,
    ) -> Option<Vec<f32>> {
        let Some((factor, offset)) = &self.norm else { return bias };
        for (k, values) in weight.chunks_exact_mut(run.max(1)).enumerate() {
            values.iter_mut().for_each(|x| *x *= factor[k % channels]);
        }
        let bias = bias.unwrap_or_else(|| vec![0.0; channels]);
        Some(bias.iter().zip(factor).zip(offset).map(|((b, f), o)| b * f + o).collect())
    }

    pub(super) fn on(&self, conv: layers::ConvLayer) -> Op {
        Op::Conv(match self.slope {
            Some(slope) => conv.with_activation(slope),
            None => conv,
        })
    }

    /// The same for some of the outputs.
    pub(super) fn part(&self, of: std::ops::Range<usize>) -> Folded {
        let part = |values: &[f32]| values.get(of.clone()).unwrap_or_default().to_vec();
        Folded { norm: self.norm.as_ref().map(|(factor, offset)| (part(factor), part(offset))), slope: self.slope }
    }

    pub(super) fn slope(&self) -> Option<f32> {
        self.slope
    }

    /// The activation as an operator of its own.
    pub(super) fn after(self, op: Op) -> Vec<Op> {
        std::iter::once(op).chain(self.slope.map(|slope| Op::Function(Function::LeakyRelu(slope)))).collect()
    }
}

impl Builder<'_, '_> {
    /// Operators of `steps`, each with the shape after it.
    pub(super) fn ops(&mut self, steps: &[Step], mut shape: Shape) -> Result<Vec<(Op, Shape)>, LoadError> {
        let mut ops = Vec::new();
        let mut at = 0;
        while let Some(step) = steps.get(at) {
            let from = shape;
            let mut next = 1;
            shape = self.shape_after(step, from)?;
            // Up-sampling and the convolution after it are one operator.
            let mut layer = step;
            let doubles = is_doubling(step);
            if doubles
                && let Some(conv @ Step::Conv(description)) = steps.get(at + 1)
                && self.is_plain(description, 3)?
            {
                (layer, next) = (conv, 2);
                shape = self.shape_after(conv, shape)?;
            }
            let mut made = if layer.is_foldable() {
                let mut folded = Folded::default();
                if let Some(norm @ Step::BatchNorm { .. }) = steps.get(at + next)
                    && !matches!(self.norms, Norms::Measured(_))
                {
                    folded.norm = Some(self.factors(norm, shape[0])?);
                    next += 1;
                }
                if let Some(Step::Activation { function }) = steps.get(at + next)
                    && let Some(slope) = slope(function)
                {
                    folded.slope = Some(slope);
                    next += 1;
                }
                self.layer(layer, from, next > 1 && doubles && !std::ptr::eq(layer, step), shape, folded)?
            } else {
                self.other(step, from, shape)?
            };
            ops.extend(made.drain(..).map(|op| (op, shape)));
            at += next;
        }
        Ok(ops)
    }

    fn shape_after(&self, step: &Step, from: Shape) -> Result<Shape, LoadError> {
        Ok(self.shapes.after_steps(std::slice::from_ref(step), from, &mut Totals::default())?)
    }

    pub(super) fn values(&mut self, name: &str) -> Result<(Vec<f32>, Vec<usize>), LoadError> {
        let shape = self.shapes.weights.shape(name).unwrap_or_default().to_vec();
        Ok((self.tally.get(self.shapes.weights, name, &shape)?, shape))
    }

    pub(super) fn optional(&mut self, name: &Option<String>) -> Result<Option<Vec<f32>>, LoadError> {
        name.as_ref().map(|name| Ok(self.values(name)?.0)).transpose()
    }

    /// Factor and summand of a batch norm.
    fn factors(&mut self, step: &Step, channels: usize) -> Result<(Vec<f32>, Vec<f32>), LoadError> {
        let norm = self.norm(step, channels)?;
        Ok(norm.factors())
    }

    fn norm(&mut self, step: &Step, channels: usize) -> Result<Norm, LoadError> {
        let Step::BatchNorm { mean, variance, weight, bias, epsilon } = step else {
            return Err(LoadError::NoLayers);
        };
        let double = |values: Vec<f32>| -> Vec<f64> { values.into_iter().map(f64::from).collect() };
        let mut norm = Norm {
            name: mean.clone(),
            mean: double(self.values(mean)?.0),
            variance: double(self.values(variance)?.0),
            weight: self.optional(weight)?.unwrap_or_else(|| vec![1.0; channels]),
            bias: self.optional(bias)?.unwrap_or_else(|| vec![0.0; channels]),
            epsilon: *epsilon,
            by_batch: matches!(self.norms, Norms::Measured(true)),
        };
        if let Norms::Given(statistics) = &self.norms
            && let Some((mean, variance)) = statistics.get(&norm.name)
        {
            (norm.mean, norm.variance) = (mean.clone(), variance.clone());
        }
        Ok(norm)
    }

    /// True for a convolution with a `k` x `k` kernel that keeps the size.
    pub(super) fn is_plain(&self, conv: &Conv, k: usize) -> Result<bool, LoadError> {
        let [.., height, width] = self.shapes.weights.dims::<4>(&conv.weight)?;
        Ok([height, width] == [k, k]
            && (conv.stride, conv.dilation, conv.groups) == ([1, 1], [1, 1], 1)
            && conv.padding == [k / 2; 4]
            && (conv.padding_mode == Padding::Zeros || k == 1))
    }

    fn layer(
        &mut self,
        step: &Step,
        from: Shape,
        doubled: bool,
        to: Shape,
        folded: Folded,
    ) -> Result<Vec<Op>, LoadError> {
        match step {
            Step::Linear { weight, bias, transposed } => {
                let [outputs, inputs] = self.shapes.matrix(weight, *transposed)?;
                let (mut values, _) = self.values(weight)?;
                if *transposed {
                    values = (0..outputs)
                        .flat_map(|o| (0..inputs).map(move |i| i * outputs + o))
                        .map(|at| values[at])
                        .collect();
                }
                let bias = self.optional(bias)?;
                let bias = folded.apply(&mut values, inputs, bias, outputs).unwrap_or_else(|| vec![0.0; outputs]);
                let layer = layers::Linear::new(values, bias, (1.0, 1.0), self.place);
                Ok(vec![Op::Linear { layer, slope: folded.slope(), to }])
            }
            Step::Conv(conv) => self.conv(conv, from, doubled, folded),
            Step::ConvTranspose(conv) => self.transposed(conv, from, to, folded),
            _ => Ok(Vec::new()),
        }
    }

    fn conv(&mut self, conv: &Conv, from: Shape, doubled: bool, folded: Folded) -> Result<Vec<Op>, LoadError> {
        let (mut values, shape) = self.values(&conv.weight)?;
        let [outputs, inputs, height, width] = shape[..] else { return Err(LoadError::NoLayers) };
        let bias = self.optional(&conv.bias)?;
        let bias = folded.apply(&mut values, inputs * height * width, bias, outputs);
        let side = from[1].max(from[2]);
        if doubled {
            let layer = layers::ConvLayer::after_nearest_up(values, [outputs, inputs], side, 1.0, bias, self.place);
            return Ok(vec![folded.on(layer)]);
        }
        if self.is_plain(conv, 3)? || self.is_plain(conv, 1)? {
            let layer = layers::ConvLayer::for_side(values, [outputs, inputs, height], side, 1.0, bias, self.place);
            return Ok(vec![folded.on(layer)]);
        }
        let [top, bottom, left, right] = conv.padding;
        let is_inside = conv.padding_mode == Padding::Zeros && top == bottom && left == right;
        let mut ops =
            if is_inside { vec![] } else { self.pad(from, conv.padding.map(|rows| rows as i32), conv.padding_mode) };
        let inside = if is_inside { [top, left] } else { [0, 0] };
        let options = ConvOptions::new(conv.stride, inside, conv.dilation, conv.groups);
        let weight = tensor(values, [outputs, inputs, height, width], self.place);
        ops.extend(folded.after(Op::Correlate { weight, bias: self.per_channel(bias), options }));
        Ok(ops)
    }

    pub(super) fn per_channel(&self, values: Option<Vec<f32>>) -> Option<Tensor<4>> {
        values.map(|values| {
            let channels = values.len();
            tensor(values, [1, channels, 1, 1], self.place)
        })
    }

    fn pad(&self, from: Shape, [top, bottom, left, right]: [i32; 4], mode: Padding) -> Vec<Op> {
        let sides = [top, bottom, left, right];
        if sides == [0; 4] {
            return vec![];
        }
        if mode == Padding::Zeros && sides.iter().all(|&side| side >= 0) {
            return vec![Op::Zeros(sides.map(|side| side.unsigned_abs() as usize))];
        }
        if mode == Padding::Zeros {
            // What is cut first, then what is added.
            let cut = self.pad(from, sides.map(|side| side.min(0)), Padding::Replicate);
            return cut.into_iter().chain(self.pad(from, sides.map(|side| side.max(0)), mode)).collect();
        }
        let gather = |axis, side, rows| Op::Gather(Gather::pad(axis, side, rows, mode, self.place));
        vec![gather(2, from[1], [top, bottom]), gather(3, from[2], [left, right])]
    }

    /// Steps that nothing is folded into.
    fn other(&mut self, step: &Step, from: Shape, to: Shape) -> Result<Vec<Op>, LoadError> {
        Ok(match step {
            Step::Linear { .. } | Step::Conv(_) | Step::ConvTranspose(_) => Vec::new(),
            Step::Embedding { weight } => {
                let (values, shape) = self.values(weight)?;
                let [rows, width] = shape[..] else { return Err(LoadError::NoLayers) };
                let turned =
                    (0..width).flat_map(|o| (0..rows).map(move |i| i * width + o)).map(|at| values[at]).collect();
                let layer = layers::Linear::new(turned, vec![0.0; width], (1.0, 1.0), self.place);
                vec![Op::Linear { layer, slope: None, to }]
            }
            Step::Reshape { channels_last, .. } => vec![Op::Reshape { to, channels_last: *channels_last }],
            Step::Flatten { channels_last } => vec![Op::Flatten { channels_last: *channels_last }],
            Step::Resize { size, method } => {
                if is_doubling(step) {
                    return Ok(vec![Op::NearestUp]);
                }
                let factors = match size {
                    Size::Times([down, across]) => [Some(*down), Some(*across)],
                    Size::To(_) => [None, None],
                };
                let gather = |axis: usize| {
                    Gather::resize(axis + 1, [from[axis], to[axis]], factors[axis - 1], *method, self.place)
                };
                vec![Op::Gather(gather(1)), Op::Gather(gather(2))]
            }
            Step::PixelShuffle { factor } => vec![Op::Shuffle(*factor)],
            Step::Pad { sides, mode } => self.pad(from, *sides, *mode),
            Step::BatchNorm { .. } => {
                if matches!(self.norms, Norms::Measured(_)) {
                    return Ok(vec![Op::Measured(Box::new(self.norm(step, from[0])?))]);
                }
                let (factor, offset) = self.factors(step, from[0])?;
                vec![Op::Affine { factor: self.per_channel(Some(factor)), offset: self.per_channel(Some(offset)) }]
            }
            Step::LayerNorm { weight, bias, epsilon, over_channels } => {
                let over = if *over_channels { Over::Channels } else { Over::Groups(1) };
                let shape = if *over_channels { [1, from[0], 1, 1] } else { [1, from[0], from[1], from[2]] };
                self.normalised(over, *epsilon, [weight, bias], shape)?
            }
            Step::InstanceNorm { weight, bias, epsilon } => {
                self.normalised(Over::Groups(from[0]), *epsilon, [weight, bias], [1, from[0], 1, 1])?
            }
            Step::GroupNorm { groups, weight, bias, epsilon } => {
                self.normalised(Over::Groups(*groups), *epsilon, [weight, bias], [1, from[0], 1, 1])?
            }
            Step::PixelNorm { epsilon } => vec![Op::PixelNorm(*epsilon)],
            Step::Activation { function } => self.function(function)?.map(Op::Function).into_iter().collect(),
            Step::Scale { factor, offset } => vec![Op::Scale { factor: *factor, offset: *offset }],
            Step::Join { how, branches } => {
                let mut made = Vec::new();
                for branch in branches {
                    let entry = match branch.input {
                        Input::Flow => Entry::Flow,
                        Input::Class => Entry::Class,
                        Input::Z => {
                            self.entries += 1;
                            Entry::Z(self.entries - 1)
                        }
                    };
                    let ops = self.ops(&branch.steps, self.shapes.of_input(branch.input, from))?;
                    made.push((entry, ops.into_iter().map(|(op, _)| op).collect()));
                }
                vec![Op::Join { how: *how, branches: made }]
            }
        })
    }

    fn normalised(
        &mut self,
        over: Over,
        epsilon: f64,
        [weight, bias]: [&Option<String>; 2],
        shape: [usize; 4],
    ) -> Result<Vec<Op>, LoadError> {
        let (factor, offset) = (self.optional(weight)?, self.optional(bias)?);
        let on_device = |values: Option<Vec<f32>>| values.map(|values| tensor(values, shape, self.place));
        let affine = Op::Affine { factor: on_device(factor), offset: on_device(offset) };
        Ok(vec![Op::Normalise { over, epsilon }, affine])
    }

    fn function(&mut self, function: &Activation) -> Result<Option<Function>, LoadError> {
        Ok(Some(match function {
            Activation::None => return Ok(None),
            Activation::Relu => Function::LeakyRelu(0.0),
            Activation::LeakyRelu { slope } => Function::LeakyRelu(*slope),
            Activation::Elu { alpha } => Function::Elu(*alpha),
            Activation::Selu => Function::Selu,
            Activation::Gelu { tanh } => Function::Gelu { tanh: *tanh },
            Activation::Silu => Function::Silu,
            Activation::Prelu { weight } => {
                let slopes = self.values(weight)?.0;
                let count = slopes.len();
                Function::Prelu(tensor(slopes, [1, count, 1, 1], self.place))
            }
            Activation::Tanh => Function::Tanh,
            Activation::Sigmoid => Function::Sigmoid,
            Activation::Softplus => Function::Softplus,
            Activation::Clamp { low, high } => Function::Clamp(*low, *high),
        }))
    }
}

impl Step {
    /// True for layers that take batch norms and activations in.
    fn is_foldable(&self) -> bool {
        matches!(self, Step::Linear { .. } | Step::Conv(_) | Step::ConvTranspose(_))
    }
}

fn is_doubling(step: &Step) -> bool {
    matches!(step, Step::Resize { size: Size::Times([2.0, 2.0]), method: Resizing::Nearest })
}

/// Slope of an activation that layers have built in.
fn slope(function: &Activation) -> Option<f32> {
    match function {
        Activation::Relu => Some(0.0),
        Activation::LeakyRelu { slope } if (0.0..1.0).contains(slope) => Some(*slope),
        _ => None,
    }
}
