//! Keras' layers, one by one.

use serde_json::Value as Json;

use super::super::flow::{Axis, Flow, Flowing, Obstacle, sizes, unknown};
use super::super::stated::same_padding;
use super::{Run, text};
use crate::recipe::{Activation, Conv, ConvTranspose, Joining, Padding, Resizing, Size, Step};

/// Slope of `LeakyReLU` the layer, and of `leaky_relu` the function.
const LAYER_SLOPE: f64 = 0.3;
const FUNCTION_SLOPE: f64 = 0.2;

fn number(json: &Json, key: &str, default: f64) -> f64 {
    json.get(key).and_then(Json::as_f64).unwrap_or(default)
}

fn flag(json: &Json, key: &str, default: bool) -> bool {
    json.get(key).and_then(Json::as_bool).unwrap_or(default)
}

/// A whole number for height and width, or one for each.
fn pair(json: &Json, key: &str, default: usize) -> Flowing<[usize; 2]> {
    let whole = |json: &Json| json.as_u64().and_then(|number| usize::try_from(number).ok()).filter(|n| *n < 1 << 20);
    let found = match json.get(key) {
        None | Some(Json::Null) => Some([default; 2]),
        Some(Json::Array(items)) => match items.as_slice() {
            [y, x] => whole(y).zip(whole(x)).map(|(y, x)| [y, x]),
            _ => None,
        },
        Some(one) => whole(one).map(|one| [one; 2]),
    };
    found.map_or_else(|| unknown(format!("a Keras layer whose {key} is no pair of numbers")), Ok)
}

impl Run<'_> {
    /// What a layer makes of its inputs.
    pub(super) fn apply(&mut self, class: &str, name: &str, config: &Json, inputs: Vec<Flow>) -> Flowing<Flow> {
        if let Some(how) = match class {
            "Concatenate" => Some(Joining::Concat),
            "Add" => Some(Joining::Sum),
            "Multiply" => Some(Joining::Product),
            _ => None,
        } {
            return self.join(config, inputs, how);
        }
        let Ok([flow]) = <[Flow; 1]>::try_from(inputs) else {
            return unknown(format!("the Keras layer {class:.80} ({name:.80}) of several inputs"));
        };
        let flow = match class {
            "InputLayer"
            | "Dropout"
            | "SpatialDropout2D"
            | "AlphaDropout"
            | "GaussianNoise"
            | "GaussianDropout"
            | "ActivityRegularization" => flow,
            "Dense" => {
                let (weight, shape) = self.kernel(name, "kernel", &[])?;
                let bias = self.bias(name, config)?;
                flow.linear(&weight, &shape, bias, true)?
            }
            "Conv2D" => self.conv(name, config, flow)?,
            "Conv2DTranspose" => self.conv_transpose(name, config, flow)?,
            "BatchNormalization" => self.batch_norm(name, config, flow)?,
            "LayerNormalization" => {
                let (weight, bias) = self.scale_and_center(name, config)?;
                let over_channels = flow.shape().len() > 1;
                flow.norm(Step::LayerNorm { weight, bias, epsilon: number(config, "epsilon", 1e-3), over_channels })?
            }
            "GroupNormalization" => {
                let (weight, bias) = self.scale_and_center(name, config)?;
                let groups =
                    config.get("groups").and_then(Json::as_u64).and_then(|groups| usize::try_from(groups).ok());
                let epsilon = number(config, "epsilon", 1e-3);
                flow.norm(Step::GroupNorm { groups: groups.unwrap_or(0), weight, bias, epsilon })?
            }
            "Embedding" => {
                let (table, shape) = self.kernel(name, "embeddings", &[])?;
                self.classes = shape.first().copied();
                flow.embedding(&table, &shape)?
            }
            "Flatten" => self.reshape(flow, &[Axis::Batch, Axis::Rest])?,
            "Reshape" => {
                let target = config.get("target_shape").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
                let axes = target.iter().take(8).map(|axis| match axis.as_i64() {
                    Some(-1) => Some(Axis::Rest),
                    Some(size) => usize::try_from(size).ok().map(Axis::Size),
                    None => None,
                });
                let axes: Option<Vec<Axis>> = std::iter::once(Some(Axis::Batch)).chain(axes).collect();
                self.reshape(flow, &axes.unwrap_or_default())?
            }
            "UpSampling2D" => {
                let [y, x] = pair(config, "size", 2)?;
                let method = match text(config, "interpolation").unwrap_or("nearest") {
                    "nearest" => Resizing::Nearest,
                    "bilinear" => Resizing::Bilinear { align_corners: false },
                    other => return unknown(format!("the Keras layer UpSampling2D with {other:.40}")),
                };
                flow.resize(Size::Times([y as f64, x as f64]), method)?
            }
            "ZeroPadding2D" | "Cropping2D" => {
                let key = if class == "ZeroPadding2D" { "padding" } else { "cropping" };
                let sign = if class == "ZeroPadding2D" { 1 } else { -1 };
                let sides =
                    sides(config.get(key)).ok_or_else(|| Obstacle::Unknown(format!("a {class} of no sizes")))?;
                flow.pad(sides.map(|side| sign * side), Padding::Zeros)?
            }
            "Rescaling" => flow.scale(number(config, "scale", 1.0) as f32, number(config, "offset", 0.0) as f32)?,
            "Activation" => flow,
            "LeakyReLU" | "ReLU" | "ELU" | "PReLU" => self.activation(class, name, config, flow)?,
            other => return unknown(format!("the Keras layer {other:.80} ({name:.80})")),
        };
        match config.get("activation") {
            None | Some(Json::Null) => Ok(flow),
            Some(function) => activate(flow, function),
        }
    }

    /// A weight, its axes in the order that a recipe wants; and its shape then.
    fn kernel(&mut self, layer: &str, role: &str, order: &[usize]) -> Flowing<(String, Vec<usize>)> {
        self.weight(layer, role, 0, order)
    }

    fn weight(&mut self, layer: &str, role: &str, number: usize, order: &[usize]) -> Flowing<(String, Vec<usize>)> {
        let missing =
            || Obstacle::Unknown(format!("the {role} of the Keras layer {layer:.80}, which is not in the file"));
        let path = self.names.find(self.state, layer, role, number).ok_or_else(missing)?;
        if order.is_empty() {
            let shape = sizes(self.state, &path)?.to_vec();
            return Ok((path, shape));
        }
        let turned = self.state.get(&path).and_then(|tensor| tensor.permuted(order));
        let turned = turned.ok_or_else(|| Obstacle::Unknown(format!("the kernel {path:.200} of a strange shape")))?;
        let (name, shape) = (format!("{path}.channels_first"), turned.shape().to_vec());
        self.state.insert(name.clone(), turned);
        Ok((name, shape))
    }

    fn bias(&mut self, layer: &str, config: &Json) -> Flowing<Option<String>> {
        if !flag(config, "use_bias", true) {
            return Ok(None);
        }
        self.weight(layer, "bias", 1, &[]).map(|(name, _)| Some(name))
    }

    /// Gamma and beta, of which either may be missing.
    fn scale_and_center(&mut self, layer: &str, config: &Json) -> Flowing<(Option<String>, Option<String>)> {
        let mut parts = [None, None];
        let mut number = 0;
        for (part, (key, role)) in parts.iter_mut().zip([("scale", "gamma"), ("center", "beta")]) {
            if flag(config, key, true) {
                *part = Some(self.weight(layer, role, number, &[])?.0);
                number += 1;
            }
        }
        let [gamma, beta] = parts;
        Ok((gamma, beta))
    }

    fn batch_norm(&mut self, layer: &str, config: &Json, flow: Flow) -> Flowing<Flow> {
        let (weight, bias) = self.scale_and_center(layer, config)?;
        let before = usize::from(weight.is_some()) + usize::from(bias.is_some());
        let (mean, shape) = self.weight(layer, "moving_mean", before, &[])?;
        let (variance, _) = self.weight(layer, "moving_variance", before + 1, &[])?;
        let epsilon = number(config, "epsilon", 1e-3);
        let axis = config.get("axis").map(|axis| axis.get(0).unwrap_or(axis)).and_then(Json::as_i64).unwrap_or(-1);
        let last = flow.shape().len() as i64;
        let expected = if self.channels_first && last == 3 { [1, 1 - last - 1] } else { [-1, last] };
        if !expected.contains(&axis) {
            return unknown(format!("the Keras layer BatchNormalization ({layer:.80}) along axis {axis}"));
        }
        flow.batch_norm(Step::BatchNorm { mean, variance, weight, bias, epsilon }, shape.iter().product())
    }

    fn conv(&mut self, layer: &str, config: &Json, flow: Flow) -> Flowing<Flow> {
        let (weight, shape) = self.kernel(layer, "kernel", &[3, 2, 0, 1])?;
        let bias = self.bias(layer, config)?;
        let (stride, dilation) = (pair(config, "strides", 1)?, pair(config, "dilation_rate", 1)?);
        let groups =
            config.get("groups").and_then(Json::as_u64).and_then(|groups| usize::try_from(groups).ok()).unwrap_or(1);
        let padding = same_padding(text(config, "padding").or(Some("valid")), &flow, &shape, stride, dilation);
        let Some(padding) = padding else {
            return unknown(format!("the Keras layer Conv2D ({layer:.80}) with an unknown padding"));
        };
        flow.conv(Conv { weight, bias, stride, padding, dilation, groups, padding_mode: Padding::Zeros }, &shape)
    }

    /// TensorFlow's transposed convolution is the gradient of a convolution of the result: what that one would pad is cut.
    fn conv_transpose(&mut self, layer: &str, config: &Json, flow: Flow) -> Flowing<Flow> {
        let (weight, shape) = self.kernel(layer, "kernel", &[3, 2, 0, 1])?;
        let bias = self.bias(layer, config)?;
        let (stride, dilation) = (pair(config, "strides", 1)?, pair(config, "dilation_rate", 1)?);
        let same = match text(config, "padding").unwrap_or("valid") {
            "same" => true,
            "valid" => false,
            other => return unknown(format!("the Keras layer Conv2DTranspose with padding {other:.40}")),
        };
        let stated =
            config.get("output_padding").filter(|stated| !stated.is_null()).map(|_| pair(config, "output_padding", 0));
        let stated = stated.transpose()?;
        let (mut padding, mut output_padding) = ([0; 4], [0; 2]);
        let (&[_, h, w], &[_, _, kh, kw]) = (flow.shape(), shape.as_slice()) else {
            return unknown(format!(
                "the Keras layer Conv2DTranspose ({layer:.80}) on values of shape {:?}",
                flow.shape()
            ));
        };
        for (axis, (n, k)) in [(h, kh), (w, kw)].into_iter().enumerate() {
            let stride = stride[axis];
            let reach = k.checked_sub(1).and_then(|k| k.checked_mul(dilation[axis])?.checked_add(1));
            let full = n.checked_sub(1).and_then(|n| n.checked_mul(stride)).zip(reach);
            let full = full.and_then(|(all, reach)| Some((all.checked_add(reach)?, all, reach)));
            let Some((full, all, reach)) = full else { return unknown("a Keras layer Conv2DTranspose of no size") };
            let side = match stated {
                Some(more) if same => (all + reach + more[axis]).saturating_sub(2 * (reach / 2)),
                Some(more) => full + more[axis],
                None if same => all + stride,
                None => all + stride + reach.saturating_sub(stride),
            };
            let cut = full.saturating_sub(side);
            let before = if same { cut / 2 } else { 0 };
            [padding[2 * axis], padding[2 * axis + 1]] = [before, cut - before];
            output_padding[axis] = side.saturating_sub(full);
        }
        let conv = ConvTranspose { weight, bias, stride, padding, output_padding, dilation, groups: 1 };
        flow.conv_transpose(conv, &shape)
    }

    /// Reshapes as Keras sees them: maps are height, width, channels.
    fn reshape(&self, flow: Flow, axes: &[Axis]) -> Flowing<Flow> {
        let turn = |flow: Flow, order: [usize; 3]| {
            if flow.shape().len() == 3 && !self.channels_first { flow.permute(&order) } else { Ok(flow) }
        };
        turn(turn(flow, [1, 2, 0])?.reshape(axes)?, [2, 0, 1])
    }

    fn join(&self, config: &Json, inputs: Vec<Flow>, how: Joining) -> Flowing<Flow> {
        let mut inputs = inputs.into_iter();
        let Some(mut joined) = inputs.next() else { return unknown("a Keras layer that joins nothing") };
        let rank = joined.shape().len() as i64;
        let axis = config.get("axis").and_then(Json::as_i64).unwrap_or(-1);
        let channels = if self.channels_first && rank == 3 { [1, -3] } else { [-1, rank] };
        if how == Joining::Concat && !channels.contains(&axis) {
            return unknown(format!("the Keras layer Concatenate along axis {axis}"));
        }
        for flow in inputs {
            joined = joined.join(flow, how)?;
        }
        Ok(joined)
    }

    fn activation(&mut self, class: &str, name: &str, config: &Json, flow: Flow) -> Flowing<Flow> {
        match class {
            "LeakyReLU" => {
                let slope = config.get("negative_slope").or_else(|| config.get("alpha"));
                // Older files have the slope as an array.
                let slope =
                    slope.and_then(|slope| slope.as_f64().or_else(|| slope.get("config")?.get("value")?.as_f64()));
                flow.activation(Activation::LeakyRelu { slope: slope.unwrap_or(LAYER_SLOPE) as f32 })
            }
            "ELU" => flow.activation(Activation::Elu { alpha: number(config, "alpha", 1.0) as f32 }),
            "ReLU" => {
                if number(config, "threshold", 0.0) != 0.0 {
                    return unknown("the Keras layer ReLU with a threshold");
                }
                let slope = number(config, "negative_slope", 0.0) as f32;
                match config.get("max_value").and_then(Json::as_f64) {
                    Some(high) if slope == 0.0 => flow.activation(Activation::Clamp { low: 0.0, high: high as f32 }),
                    Some(_) => unknown("the Keras layer ReLU with a slope and a largest value"),
                    None if slope == 0.0 => flow.activation(Activation::Relu),
                    None => flow.activation(Activation::LeakyRelu { slope }),
                }
            }
            _ => {
                let (weight, _) = self.kernel(name, "alpha", &[])?;
                let channels = flow.shape().first().copied().unwrap_or(0);
                let flat = self.state.get(&weight).and_then(|slopes| slopes.reshaped(&[channels]));
                let Some(flat) = flat else { return unknown("the Keras layer PReLU with a slope for every pixel") };
                let weight = format!("{weight}.flat");
                self.state.insert(weight.clone(), flat);
                flow.activation(Activation::Prelu { weight })
            }
        }
    }
}

/// A function by its name, or written out as a layer.
fn activate(flow: Flow, function: &Json) -> Flowing<Flow> {
    let name = function.as_str().or_else(|| text(function, "class_name")).unwrap_or_default();
    let config = function.get("config").unwrap_or(&Json::Null);
    let name = if matches!(name, "function") { config.as_str().unwrap_or_default() } else { name };
    let function = match name {
        "linear" => Activation::None,
        "relu" | "ReLU" => Activation::Relu,
        "relu6" => Activation::Clamp { low: 0.0, high: 6.0 },
        "leaky_relu" => Activation::LeakyRelu { slope: number(config, "negative_slope", FUNCTION_SLOPE) as f32 },
        "LeakyReLU" => {
            let slope = config.get("negative_slope").or_else(|| config.get("alpha")).and_then(Json::as_f64);
            Activation::LeakyRelu { slope: slope.unwrap_or(LAYER_SLOPE) as f32 }
        }
        "elu" | "ELU" => Activation::Elu { alpha: number(config, "alpha", 1.0) as f32 },
        "selu" => Activation::Selu,
        "gelu" => Activation::Gelu { tanh: false },
        "swish" | "silu" => Activation::Silu,
        "tanh" => Activation::Tanh,
        "sigmoid" => Activation::Sigmoid,
        "softplus" => Activation::Softplus,
        other => return unknown(format!("the Keras activation {other:.80}")),
    };
    flow.activation(function)
}

/// Top, bottom, left, right of `2`, `[1, 2]` or `[[1, 1], [2, 2]]`.
fn sides(json: Option<&Json>) -> Option<[i32; 4]> {
    let one = |json: &Json| json.as_i64().and_then(|side| i32::try_from(side).ok());
    let two = |json: &Json| match json {
        Json::Array(items) => one(items.first()?).zip(one(items.get(1)?)),
        other => one(other).map(|side| (side, side)),
    };
    let ((top, bottom), (left, right)) = match json? {
        Json::Array(items) => two(items.first()?).zip(two(items.get(1)?))?,
        other => two(other).zip(two(other))?,
    };
    Some([top, bottom, left, right])
}
