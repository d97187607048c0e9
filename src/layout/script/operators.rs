//! Operators on tensors, of `torch` (traced and frozen code) and of `torch.nn.functional` (scripted code), and PyTorch's own
//! modules where scripted code states their settings.

use super::super::flow::{Flow, Flowing, sizes, unknown};
use super::super::stated;
use super::arguments::Arguments;
use super::run::{Run, Value, own_class};
use super::shapes::{pad, reshape, resize};
use super::syntax::{self, Expr};
use crate::checkpoint;
use crate::recipe::{Activation, Conv, ConvTranspose, Input, Joining, Padding, Step};

const FUNCTIONAL: &str = "__torch__.torch.nn.functional.";

/// Height and width as top, bottom, left, right.
fn around([y, x]: [usize; 2]) -> [usize; 4] {
    [y, y, x, x]
}

impl Run<'_> {
    /// An operator with a tensor or a flow among its arguments, or one that is not known.
    pub(super) fn tensor_operator(
        &mut self,
        path: &str,
        values: &[Value],
        named: &[(String, Value)],
    ) -> Flowing<Value> {
        let functional = path.strip_prefix(FUNCTIONAL);
        // Overloaded functions have a part of their own that makes them unique.
        let functional = functional.and_then(|path| path.rsplit('.').next());
        let name = functional.or_else(|| path.strip_prefix("torch.")).unwrap_or(path);
        // In place or not is the same here.
        let name = name.trim_end_matches('_');
        let arguments = Arguments { operator: name, values, named };
        match (name, values) {
            ("t" | "numpy_T", [Value::Tensor(weight)]) => {
                let turned = self.state.get(weight).and_then(|tensor| tensor.permuted(&[1, 0]));
                let Some(turned) = turned else { return unknown(format!("the transposed {weight:.80}")) };
                let name = format!("{weight}.t");
                self.state.insert(name.clone(), turned);
                return Ok(Value::Tensor(name));
            }
            ("embedding", _) => {
                let at = usize::from(functional.is_some());
                let (table, label) = (arguments.tensor(at, "weight")?, arguments.flow(1 - at)?);
                let shape = sizes(self.state, &table)?.to_vec();
                self.classes = shape.first().copied();
                return label.embedding(&table, &shape).map(Value::Flow);
            }
            ("one_hot", _) => {
                let classes = arguments.count(1, "num_classes", 0)?;
                if arguments.flow(0)?.starts_at() != Input::Class || classes == 0 {
                    return unknown("one_hot of no class");
                }
                self.classes = Some(classes);
                return Ok(Value::Flow(Flow::start(Input::Class, vec![classes])));
            }
            ("cat", [Value::List(parts), ..]) => return self.cat(parts, &arguments).map(Value::Flow),
            ("addmm", _) => {
                let flow = arguments.flow(1)?;
                let (weight, bias) = (arguments.tensor(2, "weight")?, arguments.tensor(0, "bias")?);
                return flow.linear(&weight, sizes(self.state, &weight)?, Some(bias), true).map(Value::Flow);
            }
            ("add" | "sub" | "rsub" | "mul" | "div", _) => return self.arithmetic(&arguments).map(Value::Flow),
            // Values that only say where or of what type tensors are.
            (_, values) if !values.iter().any(|value| matches!(value, Value::Flow(_))) => {
                return unknown(format!("the operator {path:.80}"));
            }
            _ => {}
        }
        let flow = arguments.flow(0)?;
        if let Some(function) = activation(&arguments, functional.is_some())? {
            return flow.activation(function).map(Value::Flow);
        }
        self.layer(flow, &arguments, functional.is_some()).map(Value::Flow)
    }

    fn layer(&mut self, flow: Flow, arguments: &Arguments<'_>, functional: bool) -> Flowing<Flow> {
        match arguments.operator {
            "prelu" => {
                let weight = arguments.tensor(1, "weight")?;
                flow.activation(Activation::Prelu { weight })
            }
            "linear" => {
                let (weight, bias) = (arguments.tensor(1, "weight")?, arguments.optional(2, "bias")?);
                flow.linear(&weight, sizes(self.state, &weight)?, bias, false)
            }
            "matmul" | "mm" => {
                let weight = arguments.tensor(1, "weight")?;
                flow.linear(&weight, sizes(self.state, &weight)?, None, true)
            }
            "conv2d" => self.conv(flow, arguments, [3, 4, 5, 6]),
            "conv_transpose2d" => self.conv_transpose(flow, arguments, [3, 4, 5, 6, 7]),
            "_convolution" | "convolution" if arguments.flag(6, "transposed") => {
                self.conv_transpose(flow, arguments, [3, 4, 7, 8, 5])
            }
            "_convolution" | "convolution" => self.conv(flow, arguments, [3, 4, 5, 8]),
            "batch_norm" | "instance_norm" => self.norm(flow, arguments, functional),
            "layer_norm" => {
                let (weight, bias) = (arguments.optional(2, "weight")?, arguments.optional(3, "bias")?);
                let shape = arguments.numbers(1, "normalized_shape").unwrap_or_default();
                let own: Vec<f64> = flow.shape().iter().map(|&axis| axis as f64).collect();
                if shape != own {
                    return unknown("layer_norm over some of the axes");
                }
                let epsilon = arguments.number(4, "eps", 1e-5)?;
                flow.norm(Step::LayerNorm { weight, bias, epsilon, over_channels: false })
            }
            "group_norm" => {
                let (groups, epsilon) = (arguments.count(1, "num_groups", 0)?, arguments.number(4, "eps", 1e-5)?);
                let (weight, bias) = (arguments.optional(2, "weight")?, arguments.optional(3, "bias")?);
                flow.norm(Step::GroupNorm { groups, weight, bias, epsilon })
            }
            "interpolate" | "upsample" => {
                resize(flow, arguments, [1, 2, 4], arguments.text(3, "mode").unwrap_or("nearest"))
            }
            "upsample_nearest2d" => resize(flow, arguments, [1, 2, 9], "nearest"),
            "upsample_bilinear2d" => resize(flow, arguments, [1, 3, 2], "bilinear"),
            "pixel_shuffle" => flow.pixel_shuffle(arguments.count(1, "upscale_factor", 0)?),
            "pad" | "constant_pad_nd" | "reflection_pad2d" | "replication_pad2d" => pad(flow, arguments),
            _ => reshape(flow, arguments),
        }
    }

    /// `at`: stride, padding, dilation, groups.
    fn conv(&self, flow: Flow, arguments: &Arguments<'_>, at: [usize; 4]) -> Flowing<Flow> {
        let (weight, bias) = (arguments.tensor(1, "weight")?, arguments.optional(2, "bias")?);
        let shape = sizes(self.state, &weight)?;
        let (stride, dilation) = (arguments.pair(at[0], "stride", 1)?, arguments.pair(at[2], "dilation", 1)?);
        let padding = match stated::same_padding(arguments.text(at[1], "padding"), &flow, shape, stride, dilation) {
            Some(padding) => padding,
            None => around(arguments.pair(at[1], "padding", 0)?),
        };
        let groups = arguments.count(at[3], "groups", 1)?;
        flow.conv(Conv { weight, bias, stride, padding, dilation, groups, padding_mode: Padding::Zeros }, shape)
    }

    /// `at`: stride, padding, output padding, groups, dilation.
    fn conv_transpose(&self, flow: Flow, arguments: &Arguments<'_>, at: [usize; 5]) -> Flowing<Flow> {
        let (weight, bias) = (arguments.tensor(1, "weight")?, arguments.optional(2, "bias")?);
        let shape = sizes(self.state, &weight)?;
        let conv = ConvTranspose {
            weight,
            bias,
            stride: arguments.pair(at[0], "stride", 1)?,
            padding: around(arguments.pair(at[1], "padding", 0)?),
            output_padding: arguments.pair(at[2], "output_padding", 0)?,
            groups: arguments.count(at[3], "groups", 1)?,
            dilation: arguments.pair(at[4], "dilation", 1)?,
        };
        flow.conv_transpose(conv, shape)
    }

    /// Batch and instance norms; `torch` has weight and bias first, `torch.nn.functional` mean and variance.
    fn norm(&self, flow: Flow, arguments: &Arguments<'_>, functional: bool) -> Flowing<Flow> {
        let [mean, variance, weight, bias] = if functional { [1, 2, 3, 4] } else { [3, 4, 1, 2] };
        let weight = arguments.optional(weight, "weight")?;
        let bias = arguments.optional(bias, "bias")?;
        let epsilon = arguments.number(7, "eps", 1e-5)?;
        if arguments.operator == "instance_norm" && arguments.get(mean, "running_mean").is_none() {
            return flow.norm(Step::InstanceNorm { weight, bias, epsilon });
        }
        let mean = arguments.tensor(mean, "running_mean")?;
        let variance = arguments.tensor(variance, "running_var")?;
        let channels = sizes(self.state, &mean)?.iter().product();
        flow.batch_norm(Step::BatchNorm { mean, variance, weight, bias, epsilon }, channels)
    }

    fn cat(&self, parts: &[Value], arguments: &Arguments<'_>) -> Flowing<Flow> {
        let flows: Option<Vec<Flow>> =
            parts.iter().map(|part| if let Value::Flow(flow) = part { Some(flow.clone()) } else { None }).collect();
        let mut flows = flows.unwrap_or_default().into_iter();
        let Some(mut joined) = flows.next() else { return unknown("cat of constants") };
        let rank = 1 + joined.shape().len() as i64;
        let axis = arguments.whole(1, "dim", 0)?;
        let axis = if axis < 0 { axis + rank } else { axis };
        if axis != 1 {
            return unknown(format!("cat along axis {axis}"));
        }
        for flow in flows {
            joined = joined.join(flow, Joining::Concat)?;
        }
        Ok(joined)
    }

    fn arithmetic(&mut self, arguments: &Arguments<'_>) -> Flowing<Flow> {
        let (operator, values) = (arguments.operator, arguments.values);
        let number = |value: &Value| match value {
            Value::Int(number) => Some(*number as f32),
            Value::Float(number) => Some(*number as f32),
            _ => None,
        };
        if arguments.number(2, "alpha", 1.0)? != 1.0 && operator != "div" {
            return unknown(format!("{operator} with a factor"));
        }
        match values {
            [Value::Flow(a), Value::Flow(b), ..] => match operator {
                "add" => a.clone().join(b.clone(), Joining::Sum),
                "mul" => a.clone().join(b.clone(), Joining::Product),
                "sub" => a.clone().join(b.clone().scale(-1.0, 0.0)?, Joining::Sum),
                _ => unknown(format!("{operator} of two values")),
            },
            [Value::Flow(flow), Value::Tensor(bias), ..] | [Value::Tensor(bias), Value::Flow(flow), ..]
                if operator == "add" =>
            {
                stated::add_bias(flow.clone(), self.state, bias)
            }
            [Value::Flow(flow), other, ..] => match (operator, number(other).or_else(|| self.scalar(other))) {
                ("add", Some(number)) => flow.clone().scale(1.0, number),
                ("sub", Some(number)) => flow.clone().scale(1.0, -number),
                ("rsub", Some(number)) => flow.clone().scale(-1.0, number),
                ("mul", Some(number)) => flow.clone().scale(number, 0.0),
                ("div", Some(number)) => flow.clone().scale(1.0 / number, 0.0),
                _ => unknown(format!("{operator} with a tensor")),
            },
            _ => unknown(format!("{operator} of constants")),
        }
    }

    /// A tensor of one number.
    fn scalar(&self, value: &Value) -> Option<f32> {
        let Value::Tensor(name) = value else { return None };
        let tensor = self.state.get(name).filter(|tensor| tensor.len() == 1)?;
        tensor.to_f32().ok()?.first().copied()
    }

    /// What one of PyTorch's modules gives whose settings the code states, and whose forward function is long-winded.
    pub(super) fn known_module(
        &mut self,
        path: &str,
        value: checkpoint::Value,
        class: &str,
        arguments: &[Value],
    ) -> Flowing<Option<Value>> {
        let (Some(kind), Some(Value::Flow(flow))) = (own_class(class), arguments.first()) else { return Ok(None) };
        if !matches!(kind, "ConvTranspose2d" | "BatchNorm1d" | "BatchNorm2d") {
            return Ok(None);
        }
        let finals = syntax::finals(self.class(class).unwrap_or_default());
        let settings: Vec<(String, Value)> =
            finals.filter_map(|(name, value)| Some((name.into(), setting(&value)?))).collect();
        let setting = |name: &str| settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        if setting("stride").or_else(|| setting("eps")).is_none() {
            // Traced: the forward function is short and says everything.
            return Ok(None);
        }
        let module = Value::Module(path.into(), value);
        let tensor = |name: &str| match self.attribute(&module, name) {
            tensor @ Value::Tensor(_) => tensor,
            _ => Value::None,
        };
        let or_none = |name: &str| setting(name).unwrap_or(Value::None);
        let (operator, values) = if kind == "ConvTranspose2d" {
            let mut values = vec![Value::Flow(flow.clone()), tensor("weight"), tensor("bias")];
            values.extend(["stride", "padding", "output_padding", "groups", "dilation"].map(or_none));
            ("torch.conv_transpose2d", values)
        } else {
            let parts = ["weight", "bias", "running_mean", "running_var"].map(tensor);
            let rest = [Value::Bool(false), Value::None, or_none("eps")];
            ("torch.batch_norm", std::iter::once(Value::Flow(flow.clone())).chain(parts).chain(rest).collect())
        };
        self.tensor_operator(operator, &values, &[]).map(Some)
    }
}

/// The value of a Final.
fn setting(value: &Expr) -> Option<Value> {
    Some(match value {
        Expr::Int(number) => Value::Int(*number),
        Expr::Float(number) => Value::Float(*number),
        Expr::Bool(flag) => Value::Bool(*flag),
        Expr::Text(text) => Value::Text(text.clone()),
        Expr::List(parts) => Value::List(parts.iter().map(setting).collect::<Option<_>>()?),
        _ => return None,
    })
}

/// Functions of one number, and operators that do nothing to a network in use.
fn activation(arguments: &Arguments<'_>, functional: bool) -> Flowing<Option<Activation>> {
    let number = |at, name, default: f64| arguments.number(at, name, default).map(|number| number as f32);
    Ok(Some(match arguments.operator {
        "relu" => Activation::Relu,
        "leaky_relu" => Activation::LeakyRelu { slope: number(1, "negative_slope", 0.01)? },
        "elu" => Activation::Elu { alpha: number(1, "alpha", 1.0)? },
        "selu" => Activation::Selu,
        "gelu" => Activation::Gelu { tanh: arguments.text(1, "approximate") == Some("tanh") },
        "silu" => Activation::Silu,
        "tanh" => Activation::Tanh,
        "sigmoid" => Activation::Sigmoid,
        "softplus" if number(1, "beta", 1.0)? == 1.0 => Activation::Softplus,
        "hardtanh" => Activation::Clamp { low: number(1, "min_val", -1.0)?, high: number(2, "max_val", 1.0)? },
        "relu6" => Activation::Clamp { low: 0.0, high: 6.0 },
        "clamp" => Activation::Clamp {
            low: number(1, "min", f64::from(f32::MIN))?,
            high: number(2, "max", f64::from(f32::MAX))?,
        },
        "dropout" | "dropout2d" | "feature_dropout" | "alpha_dropout" | "contiguous" | "detach" | "clone" | "to"
        | "type_as" | "alias" | "float" | "cpu" | "requires_grad" => Activation::None,
        _ if functional => return Ok(None),
        _ => return Ok(None),
    }))
}
