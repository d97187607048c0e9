//! Pickled modules: every layer with its class and numbers, in the order in which their parents list them.
//!
//! What a `forward` does between them is code, which is not read. Where activations are modules that stand between the
//! layers, the modules are taken for what runs, one after the other; where they are not, the reading by shapes takes strides
//! and paddings from here.

use super::super::error::LayoutProblem;
use super::OTHERS;
use super::class::Entrance;
use super::items::{Item, Kind};
use super::reading::{Class, Custom, Known, name_of, outputs};
use super::sizes::{Place, Plan};
use super::units::{Role, Unit, is_square, picture_of};
use crate::recipe::{
    Activation, Conv, ConvTranspose, Fact, Joining, Padding, Prior, Range, Recipe, Resizing, Size, Source,
    StatedModule, StatedValue, Step, VERSION,
};

/// Modules that do nothing when a network is evaluated, or whose sides are known from elsewhere.
const IDLE: [&str; 8] =
    ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout", "Identity", "Embedding"];

/// What the modules of a file say of its network.
pub(super) struct Modules<'a> {
    /// Without parts of their own, in order, those of encoders and discriminators left out.
    leaves: Vec<&'a StatedModule>,
    by: &'a str,
    /// One list of modules, one after the other: nothing but its order is to be known.
    is_list: bool,
}

/// What a leaf is.
enum Leaf {
    /// With tensors.
    Step(Step),
    Activation(Activation),
    /// Without.
    Other(Vec<Step>),
}

impl<'a> Modules<'a> {
    pub(super) fn new(modules: &'a [StatedModule], by: &'a str) -> Modules<'a> {
        let is_parent = |name: &str| {
            modules.iter().any(|other| {
                other.name != name
                    && (name.is_empty() || other.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
            })
        };
        let is_other = |module: &StatedModule| {
            let item = Item { name: module.name.clone(), kind: Kind::Strange, parts: vec![] };
            item.is_called(&OTHERS)
        };
        let leaves: Vec<&StatedModule> = modules.iter().filter(|module| !is_parent(&module.name)).collect();
        let own: Vec<&StatedModule> = leaves.iter().copied().filter(|module| !is_other(module)).collect();
        let leaves = if own.is_empty() { leaves } else { own };
        // "main.0", "main.1", ...: one list, and the root does no more than run it.
        let list = |module: &&&StatedModule| module.name.rsplit_once('.').map_or("", |(list, _)| list).to_string();
        let first = leaves.first().as_ref().map(list);
        let is_list = leaves.iter().all(|leaf| Some(list(&leaf)) == first);
        Modules { leaves, by, is_list }
    }

    fn source(&self) -> Source {
        Source::Stated { by: self.by.into() }
    }

    /// The plan that strides and paddings of the modules make, if those of all kernels are stated.
    pub(super) fn plan(&self, kernels: &[Unit], start: usize) -> Result<Option<Plan>, LayoutProblem> {
        let mut places = Vec::new();
        for unit in kernels {
            match self.place(unit)? {
                Some(place) => places.push(place),
                None => return Ok(None),
            }
        }
        Ok(if places.is_empty() { None } else { Plan::of(places, kernels, start) })
    }

    fn place(&self, unit: &Unit) -> Result<Option<Place>, LayoutProblem> {
        let Some(module) = self.leaves.iter().find(|module| module.name == unit.name) else { return Ok(None) };
        let same = |pair: [usize; 2]| (pair[0] == pair[1]).then_some(pair[0]);
        let even = |[a, b, c, d]: [usize; 4]| ([b, c, d] == [a; 3]).then_some(a);
        if !is_layer(module) {
            // Of a class of its own, whose numbers are not known.
            return Ok(None);
        }
        Ok(match (leaf(module, None)?, unit.role) {
            (Leaf::Step(Step::Conv(conv)), Role::Conv)
                if (conv.stride, conv.dilation, conv.groups) == ([1, 1], [1, 1], 1)
                    && conv.padding_mode == Padding::Zeros =>
            {
                even(conv.padding).map(|padding| Place::Conv { padding, up: false })
            }
            (Leaf::Step(Step::ConvTranspose(conv)), Role::Transposed)
                if (conv.dilation, conv.groups) == ([1, 1], 1) =>
            {
                let numbers = (same(conv.stride), even(conv.padding), same(conv.output_padding));
                match numbers {
                    (Some(stride), Some(padding), Some(output_padding)) => {
                        Some(Place::Transposed { stride, padding, output_padding })
                    }
                    _ => None,
                }
            }
            _ => None,
        })
    }

    /// Activations that are listed once, for code that uses them again and again.
    pub(super) fn known(&self) -> Known {
        let mut functions: Vec<Activation> = self.leaves.iter().filter_map(|module| activation(module)).collect();
        functions.dedup();
        let (outputs, inner): (Vec<_>, Vec<_>) =
            functions.into_iter().partition(|function| range_of(function).is_some());
        let output = match &outputs[..] {
            [output] => range_of(output).map(|range| (output.clone(), range)),
            _ => None,
        };
        let activation = match &inner[..] {
            [function] if !matches!(function, Activation::Prelu { .. }) => Some(function.clone()),
            _ => None,
        };
        Known { source: Some(self.source()), activation, output, sizes: false }
    }

    /// True if activations stand between the layers.
    fn is_interleaved(&self) -> bool {
        let kinds: Vec<bool> = self
            .leaves
            .iter()
            .filter_map(|module| match (is_layer(module), activation(module)) {
                (true, _) => Some(true),
                (_, Some(_)) => Some(false),
                _ => None,
            })
            .collect();
        let layers = kinds.iter().filter(|&&layer| layer).count();
        let followed = kinds.windows(2).filter(|pair| pair[0] && !pair[1]).count();
        // Two layers in a row happen; a run of them means that activations are listed elsewhere.
        layers > 0 && followed + 1 >= layers
    }

    /// The whole network, if activations stand between its layers.
    ///
    /// # Errors
    /// A module is of a class that no chain has.
    pub(super) fn recipe(
        &self,
        items: &[Item<'_>],
        means: Option<usize>,
    ) -> Result<Option<(Recipe, Vec<Fact>)>, LayoutProblem> {
        if !self.is_interleaved() {
            return Ok(None);
        }
        let item = |name: &str| items.iter().find(|item| item.name == name);
        let mut steps: Vec<Step> = Vec::new();
        // Channels and side where known: `None` before the first layer.
        let mut width: Option<usize> = None;
        let (mut is_map, mut sides) = (false, [1, 1]);
        let mut z_dim = None;
        let mut pending: Vec<Step> = Vec::new();
        let mut entrance = None;
        for module in &self.leaves {
            let found = item(&module.name);
            let step = match leaf(module, found)? {
                Leaf::Activation(function) => {
                    pending.push(Step::Activation { function });
                    continue;
                }
                Leaf::Other(other) => {
                    for step in &other {
                        match step {
                            Step::Reshape { .. } => is_map = true,
                            Step::Flatten { .. } => is_map = false,
                            _ => {}
                        }
                        sides = side_after(step, sides, None);
                    }
                    if width.is_some() {
                        pending.extend(other);
                    }
                    continue;
                }
                Leaf::Step(step) => step,
            };
            let takes_map = takes_map(module, &step, found);
            if width.is_none() && matches!(step, Step::Conv(_)) {
                // It takes a picture.
                return Ok(None);
            }
            if let (Some(channels), Some(width), false) = (takes_map, width, is_map) {
                // The `view` in the code between: to squares.
                if channels == 0 || !width.is_multiple_of(channels) || !is_square(width / channels) {
                    return Ok(None);
                }
                let side = (width / channels).isqrt();
                sides = [side; 2];
                steps.append(&mut pending);
                steps.push(Step::Reshape { shape: [channels, side, side], channels_last: false });
                is_map = true;
            }
            steps.append(&mut pending);
            sides = side_after(&step, sides, found);
            if let Some((inputs, outputs)) = widths(&step, found) {
                if z_dim.is_none() {
                    let way_in = Entrance::find(items, inputs, means);
                    z_dim = Some(way_in.z_dim);
                    steps.splice(0..0, class_steps(&way_in));
                    entrance = Some(way_in);
                }
                width = Some(outputs);
                is_map |= !matches!(step, Step::Linear { .. });
            }
            steps.push(step);
        }
        let has_output = pending.iter().any(|step| matches!(step, Step::Activation { .. }));
        steps.append(&mut pending);
        let (Some(z_dim), Some(last), Some(entrance)) = (z_dim, width, entrance) else { return Ok(None) };
        let mut facts = vec![Fact {
            what: "layers".into(),
            value: format!("{} modules", self.leaves.len()),
            source: self.source(),
        }];
        if !self.is_list {
            facts.push(Fact { what: "order".into(), value: "as the modules are listed".into(), source: Source::Guess });
        }
        let (output, range) = match steps.iter().rev().find(|step| matches!(step, Step::Activation { .. })) {
            Some(Step::Activation { function }) if has_output => (function.clone(), range_of(function)),
            _ => {
                let (output, range) = outputs(CUSTOM).swap_remove(0);
                steps.push(Step::Activation { function: output.clone() });
                (output, Some(range))
            }
        };
        let source = if has_output { self.source() } else { Source::Guess };
        facts.push(Fact { what: "output".into(), value: name_of(&output), source });
        if range.is_none() {
            facts.push(Fact { what: "range".into(), value: "-1..1".into(), source: Source::Guess });
        }
        facts.push(Fact { what: "prior".into(), value: "normal".into(), source: Source::Guess });
        facts.extend(entrance.fact.clone());
        let picture = match is_map {
            true => Some([last, sides[0], sides[1]]).filter(|_| matches!(last, 1 | 3 | 4)),
            false => picture_of(last),
        };
        // It is no generator of pictures.
        let Some(picture) = picture else { return Ok(None) };
        let recipe = Recipe {
            version: VERSION,
            prior: Prior::Normal,
            z_dim,
            classes: entrance.class.as_ref().map(|class| class.count),
            steps,
            picture,
            range: range.unwrap_or(Range::Signed),
            batch_statistics: false,
        };
        Ok(Some((recipe, facts)))
    }
}

/// Where modules do not say what comes last.
const CUSTOM: Custom = Custom::Gan;

/// Height and width after a step.
fn side_after(step: &Step, sides: [usize; 2], item: Option<&Item<'_>>) -> [usize; 2] {
    let kernel = match item.map(|item| &item.kind) {
        Some(Kind::Kernel([_, _, height, width])) => [*height, *width],
        _ => [1, 1],
    };
    let each = |of: &dyn Fn(usize) -> usize| [of(0), of(1)];
    match step {
        Step::Linear { .. } | Step::Flatten { .. } => [1, 1],
        Step::Reshape { shape: [_, height, width], .. } => [*height, *width],
        Step::Conv(conv) => each(&|axis| {
            let reach = conv.dilation[axis] * (kernel[axis] - 1) + 1;
            (sides[axis] + conv.padding[2 * axis] + conv.padding[2 * axis + 1]).saturating_sub(reach)
                / conv.stride[axis].max(1)
                + 1
        }),
        Step::ConvTranspose(conv) => each(&|axis| {
            let full = sides[axis].saturating_sub(1).saturating_mul(conv.stride[axis])
                + conv.dilation[axis] * (kernel[axis] - 1)
                + 1;
            (full + conv.output_padding[axis]).saturating_sub(conv.padding[2 * axis] + conv.padding[2 * axis + 1])
        }),
        Step::Resize { size: Size::To(sides), .. } => *sides,
        Step::Resize { size: Size::Times(factors), .. } => each(&|axis| (sides[axis] as f64 * factors[axis]) as usize),
        Step::PixelShuffle { factor } => each(&|axis| sides[axis].saturating_mul(*factor)),
        Step::Pad { sides: rows, .. } => each(&|axis| {
            (sides[axis] as i64 + i64::from(rows[2 * axis]) + i64::from(rows[2 * axis + 1])).max(0) as usize
        }),
        _ => sides,
    }
}

/// The class joined to z as the first step.
fn class_steps(entrance: &Entrance) -> Vec<Step> {
    let Some(Class { embedding, layer_bias, multiplies, .. }) = &entrance.class else { return vec![] };
    let table = embedding.as_ref().map(|weight| match layer_bias {
        Some(bias) => Step::Linear { weight: weight.clone(), bias: bias.clone(), transposed: false },
        None => Step::Embedding { weight: weight.clone() },
    });
    let how = if *multiplies { Joining::Product } else { Joining::Concat };
    vec![Step::with_class(how, table.into_iter().collect(), false)]
}

/// The range that an activation makes, if it tells.
fn range_of(function: &Activation) -> Option<Range> {
    match function {
        Activation::Tanh => Some(Range::Signed),
        Activation::Sigmoid => Some(Range::Unit),
        Activation::Clamp { low, high } if (*low, *high) == (0.0, 1.0) => Some(Range::Unit),
        Activation::Clamp { low, high } if (*low, *high) == (-1.0, 1.0) => Some(Range::Signed),
        _ => None,
    }
}

fn is_layer(module: &StatedModule) -> bool {
    matches!(module.class.as_str(), "Linear" | "LazyLinear" | "Conv2d" | "ConvTranspose2d")
}

/// Inputs and outputs of a layer.
fn widths(step: &Step, item: Option<&Item<'_>>) -> Option<(usize, usize)> {
    let groups = match step {
        Step::Conv(conv) => conv.groups,
        Step::ConvTranspose(conv) => conv.groups,
        _ => 1,
    };
    match (step, &item?.kind) {
        (Step::Linear { .. }, Kind::Linear([outputs, inputs]) | Kind::Embedding([outputs, inputs])) => {
            Some((*inputs, *outputs))
        }
        (Step::Conv(_), Kind::Kernel([outputs, inputs, ..])) => Some((inputs * groups, *outputs)),
        (Step::ConvTranspose(_), Kind::Kernel([inputs, outputs, ..])) => Some((*inputs, outputs * groups)),
        _ => None,
    }
}

/// Channels of the map that a module takes, if it takes one.
fn takes_map(module: &StatedModule, step: &Step, item: Option<&Item<'_>>) -> Option<usize> {
    match (step, &item?.kind) {
        (Step::BatchNorm { .. }, Kind::BatchNorm(channels)) if module.class.ends_with("2d") => Some(*channels),
        (Step::LayerNorm { .. }, Kind::OtherNorm(shape)) if shape.len() == 3 => shape.first().copied(),
        (Step::InstanceNorm { .. } | Step::GroupNorm { .. }, Kind::OtherNorm(shape)) => shape.first().copied(),
        (Step::Conv(_) | Step::ConvTranspose(_), _) => widths(step, item).map(|(inputs, _)| inputs),
        _ => None,
    }
}

/// What a module does.
fn leaf(module: &StatedModule, found: Option<&Item<'_>>) -> Result<Leaf, LayoutProblem> {
    let path = |part: &str| if module.name.is_empty() { part.into() } else { format!("{}.{part}", module.name) };
    let bias = found.and_then(|item| item.optional("bias"));
    let scale = found.and_then(|item| item.optional("weight"));
    let epsilon = module.number("eps").unwrap_or(1e-5);
    if let Some(function) = activation(module) {
        return Ok(Leaf::Activation(function));
    }
    let wrong = |what: &str| {
        LayoutProblem::unsupported(format!("a network whose {} ({}) has {what}", module.name, module.class))
    };
    let pair = |name: &str, custom: usize| match module.setting(name) {
        None => Ok([custom; 2]),
        Some(_) => module.pair(name).ok_or_else(|| wrong(&format!("{name} {:?}", module.setting(name)))),
    };
    let groups = module.number("groups").map_or(1, |groups| groups as usize);
    Ok(match module.class.as_str() {
        "Linear" | "LazyLinear" => Leaf::Step(Step::Linear { weight: path("weight"), bias, transposed: false }),
        "Conv2d" => {
            let kernel = pair("kernel_size", 1)?;
            let padding = match module.text("padding") {
                Some("valid") => [0, 0],
                Some("same") => kernel.map(|k| k / 2),
                _ => pair("padding", 0)?,
            };
            let padding_mode = match module.text("padding_mode") {
                None | Some("zeros") => Padding::Zeros,
                Some("reflect") => Padding::Reflect,
                Some("replicate") => Padding::Replicate,
                Some("circular") => Padding::Circular,
                Some(other) => return Err(wrong(&format!("padding_mode {other:.40}"))),
            };
            Leaf::Step(Step::Conv(Conv {
                weight: path("weight"),
                bias,
                stride: pair("stride", 1)?,
                padding: [padding[0], padding[0], padding[1], padding[1]],
                dilation: pair("dilation", 1)?,
                groups,
                padding_mode,
            }))
        }
        "ConvTranspose2d" => {
            let padding = pair("padding", 0)?;
            Leaf::Step(Step::ConvTranspose(ConvTranspose {
                weight: path("weight"),
                bias,
                stride: pair("stride", 1)?,
                padding: [padding[0], padding[0], padding[1], padding[1]],
                output_padding: pair("output_padding", 0)?,
                dilation: pair("dilation", 1)?,
                groups,
            }))
        }
        "BatchNorm1d" | "BatchNorm2d" | "SyncBatchNorm" | "LazyBatchNorm2d" => match found.map(|item| &item.kind) {
            Some(Kind::BatchNorm(_)) | None => Leaf::Step(Step::BatchNorm {
                mean: path("running_mean"),
                variance: path("running_var"),
                weight: scale,
                bias,
                epsilon,
            }),
            _ => return Err(wrong("no running statistics")),
        },
        "LayerNorm" => Leaf::Step(Step::LayerNorm { weight: scale, bias, epsilon, over_channels: false }),
        "InstanceNorm2d" => Leaf::Step(Step::InstanceNorm { weight: scale, bias, epsilon }),
        "GroupNorm" => {
            let groups = module.number("num_groups").ok_or_else(|| wrong("no number of groups"))?;
            Leaf::Step(Step::GroupNorm { groups: groups as usize, weight: scale, bias, epsilon })
        }
        "Upsample" | "UpsamplingNearest2d" | "UpsamplingBilinear2d" => {
            Leaf::Other(vec![resize(module).ok_or_else(|| wrong("a size or mode that is not known"))?])
        }
        "PixelShuffle" => {
            let factor = module.number("upscale_factor").ok_or_else(|| wrong("no factor"))?;
            Leaf::Other(vec![Step::PixelShuffle { factor: factor as usize }])
        }
        "Flatten" => Leaf::Other(vec![Step::Flatten { channels_last: false }]),
        "Unflatten" => {
            let sides = match module.setting("unflattened_size") {
                Some(StatedValue::Numbers(numbers)) => numbers.clone(),
                _ => return Err(wrong("an unflattened_size that is not known")),
            };
            let [channels, height, width] = sides[..] else { return Err(wrong("an unflattened_size that is no map")) };
            let shape = [channels, height, width].map(|side| side as usize);
            Leaf::Other(vec![Step::Reshape { shape, channels_last: false }])
        }
        "ZeroPad2d" | "ReflectionPad2d" | "ReplicationPad2d" => {
            let mode = match module.class.as_str() {
                "ZeroPad2d" => Padding::Zeros,
                "ReflectionPad2d" => Padding::Reflect,
                _ => Padding::Replicate,
            };
            let sides = match module.setting("padding") {
                Some(StatedValue::Number(side)) => [*side; 4],
                Some(StatedValue::Numbers(sides)) => match sides[..] {
                    // PyTorch has left and right first.
                    [left, right, top, bottom] => [top, bottom, left, right],
                    _ => return Err(wrong("a padding that is not known")),
                },
                _ => return Err(wrong("a padding that is not known")),
            };
            Leaf::Other(vec![Step::Pad { sides: sides.map(|side| side as i32), mode }])
        }
        idle if IDLE.contains(&idle) => Leaf::Other(vec![]),
        _ => {
            return Err(LayoutProblem::unsupported(format!(
                "a network with {:.80} of class {:.80}, which no chain of layers has,",
                module.name, module.class
            )));
        }
    })
}

fn resize(module: &StatedModule) -> Option<Step> {
    let method = match (module.class.as_str(), module.text("mode")) {
        ("UpsamplingNearest2d", _) | (_, None | Some("nearest")) => Resizing::Nearest,
        ("UpsamplingBilinear2d", _) => Resizing::Bilinear { align_corners: true },
        (_, Some("bilinear")) => Resizing::Bilinear { align_corners: module.flag("align_corners").unwrap_or(false) },
        _ => return None,
    };
    let size = match module.setting("scale_factor") {
        Some(StatedValue::Number(factor)) => Size::Times([*factor; 2]),
        Some(StatedValue::Numbers(factors)) => Size::Times(<[f64; 2]>::try_from(&factors[..]).ok()?),
        _ => Size::To(module.pair("size")?),
    };
    Some(Step::Resize { size, method })
}

/// The function of a module that is one.
fn activation(module: &StatedModule) -> Option<Activation> {
    let number = |name: &str, custom: f64| module.number(name).unwrap_or(custom) as f32;
    Some(match module.class.as_str() {
        "ReLU" => Activation::Relu,
        "ReLU6" => Activation::Clamp { low: 0.0, high: 6.0 },
        "LeakyReLU" => Activation::LeakyRelu { slope: number("negative_slope", 0.01) },
        "ELU" => Activation::Elu { alpha: number("alpha", 1.0) },
        "SELU" => Activation::Selu,
        "GELU" => Activation::Gelu { tanh: module.text("approximate") == Some("tanh") },
        "SiLU" => Activation::Silu,
        "PReLU" => Activation::Prelu { weight: format!("{}.weight", module.name) },
        "Tanh" => Activation::Tanh,
        "Sigmoid" => Activation::Sigmoid,
        "Softplus" if number("beta", 1.0) == 1.0 => Activation::Softplus,
        "Hardtanh" => Activation::Clamp { low: number("min_val", -1.0), high: number("max_val", 1.0) },
        _ => return None,
    })
}
