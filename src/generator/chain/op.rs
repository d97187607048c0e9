//! One step on a device.

use std::cell::RefCell;

use burn::tensor::Tensor;
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, PadMode};

use super::super::layers::{self, Linear};
use super::arithmetic::{Function, Gather, Over, from_channels_last, normalise, pixel_norm, pixel_shuffle};
use super::shapes::Shape;
use super::statistics::Norm;
use crate::ops::nearest_up;
use crate::recipe::Joining;

/// Maps are `[N, C, H, W]`, vectors maps of one pixel.
#[expect(clippy::large_enum_variant, reason = "one per step for the life of a model, never moved about")]
pub(super) enum Op {
    /// With `max(y, slope y)` after it.
    Linear {
        layer: Linear,
        slope: Option<f32>,
        to: Shape,
    },
    /// On our own operators.
    Conv(layers::ConvLayer),
    /// On burn's, with a bias `[1, C, 1, 1]`.
    Correlate {
        weight: Tensor<4>,
        bias: Option<Tensor<4>>,
        options: ConvOptions<2>,
    },
    /// `cut`: rows taken from top, bottom, left and right.
    Transpose {
        weight: Tensor<4>,
        bias: Option<Tensor<4>>,
        options: ConvTransposeOptions<2>,
        cut: [usize; 4],
    },
    /// x * factor + offset, both broadcast.
    Affine {
        factor: Option<Tensor<4>>,
        offset: Option<Tensor<4>>,
    },
    /// A batch norm whose input is looked at.
    Measured(Box<Norm>),
    Normalise {
        over: Over,
        epsilon: f64,
    },
    PixelNorm(f64),
    Function(Function),
    Gather(Gather),
    /// Every value four times.
    NearestUp,
    /// Zeros at top, bottom, left and right.
    Zeros([usize; 4]),
    Shuffle(usize),
    Reshape {
        to: Shape,
        channels_last: bool,
    },
    Flatten {
        channels_last: bool,
    },
    Scale {
        factor: f32,
        offset: f32,
    },
    Join {
        how: Joining,
        branches: Vec<(Entry, Vec<Op>)>,
    },
}

/// What a branch starts from.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Entry {
    Flow,
    /// z of a latent layer.
    Z(usize),
    Class,
}

/// What steps read beside the step before them.
#[derive(Default)]
pub(super) struct Inputs {
    /// Latent layers and their codes, `[N, z_dim, 1, 1]`.
    pub(super) codes: Vec<(usize, Tensor<4>)>,
    /// `[N, classes, 1, 1]`
    pub(super) class: Option<Tensor<4>>,
    /// Mean and variance before each [`Op::Measured`], in order.
    pub(super) seen: RefCell<Vec<(Vec<f64>, Vec<f64>)>>,
}

pub(super) fn run_all(ops: &[Op], x: Tensor<4>, inputs: &Inputs) -> Tensor<4> {
    ops.iter().fold(x, |x, op| op.run(x, inputs))
}

impl Op {
    pub(super) fn run(&self, x: Tensor<4>, inputs: &Inputs) -> Tensor<4> {
        let [n, channels, height, width] = x.dims();
        match self {
            Op::Linear { layer, slope, to } => {
                let x: Tensor<2> = x.reshape([n, channels * height * width]);
                let y = match slope {
                    Some(slope) => layer.forward_lrelu(x, *slope),
                    None => layer.forward(x),
                };
                y.reshape([n, to[0], to[1], to[2]])
            }
            Op::Conv(conv) => conv.forward(x),
            Op::Correlate { weight, bias, options } => plus(conv2d(x, weight.clone(), None, options.clone()), bias),
            Op::Transpose { weight, bias, options, cut } => {
                let full = conv_transpose2d(x, weight.clone(), None, options.clone());
                let [_, _, height, width] = full.dims();
                let [top, bottom, left, right] = *cut;
                let full = match cut {
                    [0, 0, 0, 0] => full,
                    _ => full.narrow(2, top, height - top - bottom).narrow(3, left, width - left - right),
                };
                plus(full, bias)
            }
            Op::Affine { factor, offset } => {
                let x = match factor {
                    Some(factor) => x * factor.clone(),
                    None => x,
                };
                plus(x, offset)
            }
            Op::Measured(norm) => {
                let (x, seen) = norm.apply(x);
                inputs.seen.borrow_mut().push(seen);
                x
            }
            Op::Normalise { over, epsilon } => normalise(x, *over, *epsilon),
            Op::PixelNorm(epsilon) => pixel_norm(x, *epsilon),
            Op::Function(function) => function.apply(x),
            Op::Gather(gather) => gather.apply(x),
            Op::NearestUp => nearest_up(x),
            Op::Zeros([top, bottom, left, right]) => x.pad((*left, *right, *top, *bottom), PadMode::Constant(0.0)),
            Op::Shuffle(factor) => pixel_shuffle(x, *factor),
            Op::Reshape { to, channels_last: true } => from_channels_last(x, *to),
            Op::Reshape { to, channels_last: false } => x.reshape([n, to[0], to[1], to[2]]),
            Op::Flatten { channels_last } => {
                let x = if *channels_last { x.permute([0, 2, 3, 1]) } else { x };
                x.reshape([n, channels * height * width, 1, 1])
            }
            Op::Scale { factor, offset } => x.mul_scalar(*factor).add_scalar(*offset),
            Op::Join { how, branches } => {
                let outputs = branches.iter().map(|(entry, ops)| {
                    let start = match entry {
                        Entry::Flow => x.clone(),
                        Entry::Z(layer) => inputs.code(*layer).unwrap_or_else(|| x.clone()),
                        Entry::Class => inputs.class.clone().unwrap_or_else(|| x.clone()),
                    };
                    run_all(ops, start, inputs)
                });
                match how {
                    Joining::Concat => Tensor::cat(outputs.collect(), 1),
                    Joining::Sum => outputs.reduce(|a, b| a + b).unwrap_or_else(|| x.clone()),
                    Joining::Product => outputs.reduce(|a, b| a * b).unwrap_or_else(|| x.clone()),
                }
            }
        }
    }

    /// True for steps that take work, each of which makes a stage.
    pub(super) fn is_layer(&self) -> bool {
        match self {
            Op::Linear { .. } | Op::Conv(_) | Op::Correlate { .. } | Op::Transpose { .. } => true,
            Op::Join { branches, .. } => branches.iter().any(|(_, ops)| ops.iter().any(Op::is_layer)),
            _ => false,
        }
    }

    /// True if a batch norm in it is measured.
    pub(super) fn measures(&self) -> bool {
        match self {
            Op::Measured(_) => true,
            Op::Join { branches, .. } => branches.iter().any(|(_, ops)| ops.iter().any(Op::measures)),
            _ => false,
        }
    }

    /// The batch norms that are measured, in the order in which they run.
    pub(super) fn into_norms(self) -> Vec<Norm> {
        match self {
            Op::Measured(norm) => vec![*norm],
            Op::Join { branches, .. } => {
                branches.into_iter().flat_map(|(_, ops)| ops).flat_map(Op::into_norms).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What the step and its branches read.
    pub(super) fn entries(&self) -> Vec<Entry> {
        match self {
            Op::Join { branches, .. } => {
                let of_branch = |(entry, ops): &(Entry, Vec<Op>)| {
                    std::iter::once(*entry).chain(ops.iter().flat_map(Op::entries)).collect::<Vec<_>>()
                };
                branches.iter().flat_map(of_branch).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Inputs {
    pub(super) fn code(&self, layer: usize) -> Option<Tensor<4>> {
        self.codes.iter().find(|(of, _)| *of == layer).map(|(_, code)| code.clone())
    }
}

fn plus(x: Tensor<4>, offset: &Option<Tensor<4>>) -> Tensor<4> {
    match offset {
        Some(offset) => x + offset.clone(),
        None => x,
    }
}
