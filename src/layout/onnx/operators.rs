//! ONNX's operators on values that depend on the code.

use super::super::flow::{Axis, Flow, Flowing, Obstacle, sizes, unknown};
use super::super::stated;
use super::{MAX_LIST, Run, Value, axis, position};
use crate::checkpoint::Node;
use crate::recipe::{Activation, Conv, ConvTranspose, Input, Joining, Padding, Resizing, Size, Step};

impl Run<'_> {
    /// Operators whose first input does not depend on the code, and another one does.
    pub(super) fn mixed(&mut self, node: &Node) -> Flowing<Flow> {
        match node.operator.as_str() {
            "Gather" if node.int("axis").unwrap_or(0) == 0 => {
                let (table, label) = (self.parameter(node, 0)?, self.flow(node, 1)?);
                let shape = sizes(self.state, &table)?.to_vec();
                self.classes = shape.first().copied();
                label.embedding(&table, &shape)
            }
            "Mul" | "Add" => self.flow(node, 1).and_then(|flow| self.arithmetic(node, flow, 0)),
            "Sub" => {
                let Some(number) = self.scalar(node, 0) else { return unknown("Sub of a tensor") };
                self.flow(node, 1)?.scale(-1.0, number)
            }
            "Concat" => self.concat(node),
            _ => unknown(format!("the operator {:.80} with a code in the place of a weight", node.operator)),
        }
    }

    pub(super) fn flow_node(&mut self, node: &Node) -> Flowing<Flow> {
        let flow = self.flow(node, 0)?;
        let float = |name: &str, default: f32| node.float(name).unwrap_or(default);
        let function = match node.operator.as_str() {
            "Identity" | "Dropout" | "Cast" => Activation::None,
            "Relu" => Activation::Relu,
            "LeakyRelu" => Activation::LeakyRelu { slope: float("alpha", 0.01) },
            "Elu" => Activation::Elu { alpha: float("alpha", 1.0) },
            "Selu" => Activation::Selu,
            "Gelu" => Activation::Gelu { tanh: node.text("approximate") == Some("tanh") },
            "Tanh" => Activation::Tanh,
            "Sigmoid" => Activation::Sigmoid,
            "Softplus" => Activation::Softplus,
            "Clip" => {
                let bound = |name: &str, at: usize, open: f32| {
                    node.float(name).or_else(|| self.scalar(node, at)).unwrap_or(open)
                };
                Activation::Clamp { low: bound("min", 1, f32::MIN), high: bound("max", 2, f32::MAX) }
            }
            _ => return self.layer(node, flow),
        };
        flow.activation(function)
    }

    fn layer(&mut self, node: &Node, flow: Flow) -> Flowing<Flow> {
        let ints = |name: &str| node.ints(name).unwrap_or_default();
        match node.operator.as_str() {
            "Gemm" => {
                let plain = |name: &str| node.float(name).is_none_or(|factor| factor == 1.0);
                if !plain("alpha") || !plain("beta") || node.int("transA").unwrap_or(0) != 0 {
                    return unknown("Gemm with factors");
                }
                let (weight, bias) = (self.parameter(node, 1)?, self.optional(node, 2)?);
                let shape = sizes(self.state, &weight)?;
                flow.linear(&weight, shape, bias, node.int("transB").unwrap_or(0) == 0)
            }
            "MatMul" => {
                let weight = self.parameter(node, 1)?;
                flow.linear(&weight, sizes(self.state, &weight)?, None, true)
            }
            "Conv" => {
                let (weight, bias) = (self.parameter(node, 1)?, self.optional(node, 2)?);
                let shape = sizes(self.state, &weight)?;
                let (stride, dilation) = (pair(ints("strides"), 1)?, pair(ints("dilations"), 1)?);
                let padding = stated::same_padding(node.text("auto_pad"), &flow, shape, stride, dilation)
                    .map_or_else(|| pads(ints("pads")), Ok)?;
                let groups = group(node)?;
                flow.conv(Conv { weight, bias, stride, padding, dilation, groups, padding_mode: Padding::Zeros }, shape)
            }
            "ConvTranspose" => self.conv_transpose(node, flow),
            "BatchNormalization" => {
                if node.int("training_mode").unwrap_or(0) != 0 {
                    return unknown("BatchNormalization in training mode");
                }
                let (mean, variance) = (self.parameter(node, 3)?, self.parameter(node, 4)?);
                let (weight, bias) = (Some(self.parameter(node, 1)?), Some(self.parameter(node, 2)?));
                let channels = sizes(self.state, &mean)?.iter().product();
                let epsilon = epsilon(node);
                flow.batch_norm(Step::BatchNorm { mean, variance, weight, bias, epsilon }, channels)
            }
            "InstanceNormalization" => {
                let (weight, bias) = (Some(self.parameter(node, 1)?), Some(self.parameter(node, 2)?));
                flow.norm(Step::InstanceNorm { weight, bias, epsilon: epsilon(node) })
            }
            "GroupNormalization" => {
                let (weight, bias) = (Some(self.parameter(node, 1)?), Some(self.parameter(node, 2)?));
                let groups = node.int("num_groups").and_then(|groups| usize::try_from(groups).ok()).unwrap_or(0);
                flow.norm(Step::GroupNorm { groups, weight, bias, epsilon: epsilon(node) })
            }
            "LayerNormalization" => {
                let (weight, bias) = (Some(self.parameter(node, 1)?), self.optional(node, 2)?);
                let axis = node.int("axis").unwrap_or(-1);
                let axis = if axis < 0 { axis + 1 + flow.shape().len() as i64 } else { axis };
                if axis != 1 {
                    return unknown("LayerNormalization over some of the axes");
                }
                flow.norm(Step::LayerNorm { weight, bias, epsilon: epsilon(node), over_channels: false })
            }
            "PRelu" => {
                let name = self.parameter(node, 1)?;
                let flat = self.state.get(&name).and_then(|slope| slope.reshaped(&[slope.len()]));
                let Some(flat) = flat else { return unknown("PRelu with slopes of a strange shape") };
                let weight = format!("{name}.flat");
                self.state.insert(weight.clone(), flat);
                flow.activation(Activation::Prelu { weight })
            }
            "Resize" | "Upsample" => self.resize(node, flow),
            "DepthToSpace" if node.text("mode") == Some("CRD") => {
                flow.pixel_shuffle(node.int("blocksize").and_then(|size| usize::try_from(size).ok()).unwrap_or(0))
            }
            "Pad" => self.pad(node, flow),
            "Reshape" => {
                let mut axes =
                    self.axes(node, 1).or_else(|| ints("shape").iter().map(|&i| axis(i)).collect()).unwrap_or_default();
                if node.int("allowzero").unwrap_or(0) == 0 {
                    // Zero keeps the input's axis.
                    let own = std::iter::once(Axis::Batch).chain(flow.shape().iter().map(|&size| Axis::Size(size)));
                    axes.iter_mut().zip(own).for_each(|(axis, own)| {
                        if *axis == Axis::Size(0) {
                            *axis = own;
                        }
                    });
                }
                flow.reshape(&axes)
            }
            "Flatten" if node.int("axis").unwrap_or(1) == 1 => flow.reshape(&[Axis::Batch, Axis::Rest]),
            "Unsqueeze" | "Squeeze" => self.ones(node, flow),
            "Transpose" => {
                let order: Vec<usize> = ints("perm").iter().filter_map(|&axis| usize::try_from(axis).ok()).collect();
                match order.split_first() {
                    Some((0, rest)) if !rest.contains(&0) => {
                        let rest: Vec<usize> = rest.iter().map(|axis| axis - 1).collect();
                        flow.permute(&rest)
                    }
                    _ => unknown("Transpose of the batch"),
                }
            }
            "Concat" => self.concat(node),
            "OneHot" => {
                let depth = self.scalar(node, 1).filter(|depth| (1.0..=1e6).contains(depth));
                let (Some(depth), Input::Class) = (depth, flow.starts_at()) else {
                    return unknown("OneHot of no class");
                };
                self.classes = Some(depth as usize);
                Ok(Flow::start(Input::Class, vec![depth as usize]))
            }
            "Add" | "Mul" | "Sub" | "Div" => self.arithmetic(node, flow, 1),
            other => unknown(format!("the operator {other:.80}")),
        }
    }

    fn concat(&self, node: &Node) -> Flowing<Flow> {
        let rank = self.flow(node, 0)?.shape().len() as i64;
        let axis = node.int("axis").unwrap_or(1);
        let axis = if axis < 0 { axis + rank + 1 } else { axis };
        if axis != 1 && !(axis == 2 && rank == 2) {
            return unknown(format!("Concat along axis {axis}"));
        }
        let mut joined = self.flow(node, 0)?;
        for at in 1..node.inputs.len() {
            joined = joined.join(self.flow(node, at)?, Joining::Concat)?;
        }
        Ok(joined)
    }

    /// A flow and another one, a number, or a bias.
    fn arithmetic(&mut self, node: &Node, flow: Flow, at: usize) -> Flowing<Flow> {
        let operator = node.operator.as_str();
        if let Some(Value::Flow(other)) = self.value(node, at) {
            return match operator {
                "Add" => flow.join(other, Joining::Sum),
                "Sub" => flow.join(other.scale(-1.0, 0.0)?, Joining::Sum),
                "Mul" => flow.join(other, Joining::Product),
                _ => unknown("the operator Div of two values"),
            };
        }
        if let Some(number) = self.scalar(node, at) {
            return match operator {
                "Add" => flow.scale(1.0, number),
                "Sub" => flow.scale(1.0, -number),
                "Mul" => flow.scale(number, 0.0),
                _ => flow.scale(1.0 / number, 0.0),
            };
        }
        let name = self.parameter(node, at)?;
        if operator != "Add" {
            return unknown(format!("the operator {operator} with the tensor {name:.80}"));
        }
        stated::add_bias(flow, self.state, &name)
    }

    fn conv_transpose(&self, node: &Node, flow: Flow) -> Flowing<Flow> {
        let ints = |name: &str| node.ints(name).unwrap_or_default();
        let (weight, bias) = (self.parameter(node, 1)?, self.optional(node, 2)?);
        let shape = sizes(self.state, &weight)?;
        let (stride, dilation) = (pair(ints("strides"), 1)?, pair(ints("dilations"), 1)?);
        let (output_padding, groups) = (pair(ints("output_padding"), 0)?, group(node)?);
        let auto = node.text("auto_pad").unwrap_or("NOTSET");
        let (&[_, _, kh, kw], &[_, h, w]) = (shape, flow.shape()) else {
            return unknown(format!("ConvTranspose on values of shape {:?}", flow.shape()));
        };
        let wanted = match (ints("output_shape"), auto) {
            (&[.., height, width], _) => Some([height, width]),
            (_, "SAME_UPPER" | "SAME_LOWER") => {
                let side = |n: usize, stride: usize| i64::try_from(n.saturating_mul(stride)).unwrap_or(i64::MAX);
                Some([side(h, stride[0]), side(w, stride[1])])
            }
            _ => None,
        };
        let padding = match wanted {
            None if auto == "VALID" => [0; 4],
            None => pads(ints("pads"))?,
            Some(wanted) => {
                let mut padding = [0; 4];
                for (axis, (n, k)) in [(h, kh), (w, kw)].into_iter().enumerate() {
                    let full = n.checked_sub(1).and_then(|n| n.checked_mul(stride[axis]));
                    let reach = k.checked_sub(1).and_then(|k| k.checked_mul(dilation[axis]));
                    let full =
                        full.zip(reach).and_then(|(a, b)| a.checked_add(b)?.checked_add(1 + output_padding[axis]));
                    let total =
                        full.zip(usize::try_from(wanted[axis]).ok()).and_then(|(full, side)| full.checked_sub(side));
                    let Some(total) = total else { return unknown("ConvTranspose to a size that it does not reach") };
                    let half = total / 2;
                    let first = if auto == "SAME_UPPER" { half } else { total - half };
                    [padding[2 * axis], padding[2 * axis + 1]] = [first, total - first];
                }
                padding
            }
        };
        flow.conv_transpose(ConvTranspose { weight, bias, stride, padding, output_padding, dilation, groups }, shape)
    }

    fn resize(&self, node: &Node, flow: Flow) -> Flowing<Flow> {
        let old = node.operator == "Upsample";
        let scales = node.floats("scales").map(<[f32]>::to_vec);
        let scales = scales
            .or_else(|| self.floats(node, if old || node.inputs.len() == 2 { 1 } else { 2 }))
            .filter(|s| !s.is_empty());
        let size = match (scales.as_deref(), self.axes(node, 3).as_deref()) {
            (Some(&[_, 1.0, y, x]), _) => Size::Times([y.into(), x.into()]),
            (None, Some(&[_, _, Axis::Size(h), Axis::Size(w)])) => Size::To([h, w]),
            _ => return unknown(format!("the operator {} to a size that is not stated", node.operator)),
        };
        let &[_, h, w] = flow.shape() else { return unknown(format!("{} of values that are no maps", node.operator)) };
        let factors = match size {
            Size::Times(factors) => factors,
            Size::To([y, x]) => [y as f64 / h.max(1) as f64, x as f64 / w.max(1) as f64],
        };
        let whole = factors.iter().all(|factor| factor.fract() == 0.0);
        let transform =
            node.text("coordinate_transformation_mode").unwrap_or(if old { "asymmetric" } else { "half_pixel" });
        let rounding = node.text("nearest_mode").unwrap_or(if old { "floor" } else { "round_prefer_floor" });
        let method = match (node.text("mode").unwrap_or("nearest"), transform, rounding) {
            ("nearest", "asymmetric", "floor") => Resizing::Nearest,
            ("nearest", "asymmetric", "round_prefer_floor") if whole && factors.iter().all(|&f| f <= 2.0) => {
                Resizing::Nearest
            }
            ("nearest", "half_pixel" | "pytorch_half_pixel", "round_prefer_floor" | "round_prefer_ceil") if whole => {
                Resizing::Nearest
            }
            ("linear" | "bilinear", "half_pixel" | "pytorch_half_pixel", _) => {
                Resizing::Bilinear { align_corners: false }
            }
            ("linear" | "bilinear", "align_corners", _) => Resizing::Bilinear { align_corners: true },
            (mode, transform, rounding) => {
                return unknown(format!(
                    "the operator {} with {mode:.40}, {transform:.40}, {rounding:.40}",
                    node.operator
                ));
            }
        };
        flow.resize(size, method)
    }

    fn pad(&self, node: &Node, flow: Flow) -> Flowing<Flow> {
        let mode = match node.text("mode").unwrap_or("constant") {
            "constant" if self.scalar(node, 2).or(node.float("value")).unwrap_or(0.0) == 0.0 => Padding::Zeros,
            "reflect" => Padding::Reflect,
            "edge" => Padding::Replicate,
            "wrap" => Padding::Circular,
            other => return unknown(format!("the operator Pad with {other:.40}")),
        };
        let amounts = self.list(node, "pads", 1).unwrap_or_default();
        let amounts: Vec<i32> = amounts.into_iter().filter_map(|amount| i32::try_from(amount).ok()).collect();
        match amounts[..] {
            [0, 0, top, left, 0, 0, bottom, right] => flow.pad([top, bottom, left, right], mode),
            _ => unknown("the operator Pad of other axes than height and width"),
        }
    }

    /// Axes of length one, added or taken away.
    fn ones(&self, node: &Node, flow: Flow) -> Flowing<Flow> {
        let adds = node.operator == "Unsqueeze";
        let rank = 1 + flow.shape().len();
        let mut shape: Vec<Axis> =
            std::iter::once(Axis::Batch).chain(flow.shape().iter().map(|&s| Axis::Size(s))).collect();
        let axes = self.list(node, "axes", 1).unwrap_or_default();
        let result = rank + if adds { axes.len() } else { 0 };
        let axes: Option<Vec<usize>> = axes.iter().map(|&axis| position(axis, result)).collect();
        let Some(mut axes) = axes.filter(|axes| !axes.is_empty() && axes.len() <= MAX_LIST) else {
            return unknown(format!("{} of axes that are not stated", node.operator));
        };
        axes.sort_unstable();
        if !adds {
            axes.reverse();
        }
        for axis in axes {
            if adds && axis <= shape.len() {
                shape.insert(axis, Axis::Size(1));
            } else if !adds && shape.get(axis) == Some(&Axis::Size(1)) {
                shape.remove(axis);
            } else {
                return unknown(format!("{} of axis {axis} of values of shape {:?}", node.operator, flow.shape()));
            }
        }
        flow.reshape(&shape)
    }
}

fn epsilon(node: &Node) -> f64 {
    node.float("epsilon").map_or(1e-5, f64::from)
}

fn group(node: &Node) -> Flowing<usize> {
    let groups = usize::try_from(node.int("group").unwrap_or(1)).ok().filter(|&groups| groups > 0);
    groups.ok_or_else(|| Obstacle::Unknown(format!("{} of no groups", node.operator)))
}

/// Height and width.
fn pair(numbers: &[i64], default: usize) -> Flowing<[usize; 2]> {
    match numbers {
        [] => Ok([default; 2]),
        &[y, x] => match (usize::try_from(y), usize::try_from(x)) {
            (Ok(y), Ok(x)) => Ok([y, x]),
            _ => unknown("a negative stride or padding"),
        },
        _ => unknown(format!("convolutions over {} axes", numbers.len())),
    }
}

/// ONNX's top, left, bottom, right as top, bottom, left, right.
fn pads(numbers: &[i64]) -> Flowing<[usize; 4]> {
    match numbers {
        [] => Ok([0; 4]),
        &[top, left, bottom, right] => {
            let sides = [top, bottom, left, right].map(|side| usize::try_from(side).unwrap_or(usize::MAX));
            if sides.contains(&usize::MAX) { unknown("a negative padding") } else { Ok(sides) }
        }
        _ => unknown(format!("paddings of {} axes", numbers.len() / 2)),
    }
}
