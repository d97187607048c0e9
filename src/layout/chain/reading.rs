//! A network as its tensors show it, with what they leave open: axes of hypotheses, each choice of which makes a recipe.

use super::sizes::{Place, Plan};
use super::units::{Norm, NormKind, Role, Unit, picture_of};
use crate::recipe::{
    Activation, Branch, Conv, ConvTranspose, Input, Joining, Padding, Prior, Range, Recipe, Resizing, Size, Source,
    Step, VERSION,
};

/// Something that shapes leave open.
#[derive(Clone, Debug)]
pub struct Axis {
    /// "activation", "output", ...
    pub what: &'static str,
    /// The most customary first.
    pub values: Vec<String>,
    /// The statistics of batch norms can tell.
    pub is_tested: bool,
    /// So many of the first values are worth trying together with those of other axes.
    pub tried_together: usize,
    /// Who states the only value, if the file does.
    pub stated: Option<Source>,
    kind: Kind,
}

impl Axis {
    pub fn is_sizes(&self) -> bool {
        self.kind == Kind::Sizes
    }

    /// True for values that are the same, or make pictures that can hardly be told apart.
    pub fn are_alike(&self, a: usize, b: usize) -> bool {
        let is_relu = |at: usize| self.values.get(at).is_some_and(|name| name == "ReLU" || name == "LeakyReLU 0.01");
        a == b || self.kind == Kind::Activation && is_relu(a) && is_relu(b)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Activation,
    Sizes,
    Upsampling,
    Prior,
    Label,
    Epsilon,
    Norm,
    Output,
}

/// How a class enters.
#[derive(Clone, Debug)]
pub(in super::super) struct Class {
    pub(super) count: usize,
    /// Its table, or none where the class is put beside z as it is.
    pub(super) embedding: Option<String>,
    /// Bias of the table where it is a layer `[width, classes]` rather than a table `[classes, width]`.
    pub(super) layer_bias: Option<Option<String>>,
    /// Multiplied with z rather than put beside it.
    pub(super) multiplies: bool,
}

/// What kind of network it is likely to be; decides what is customary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Custom {
    #[default]
    Gan,
    /// A decoder: ReLU and sigmoid.
    Decoder,
    /// The decoder of the PyTorch-VAE collection, by its names: LeakyReLU 0.01 and tanh.
    PytorchVae,
}

/// A network with open questions.
#[derive(Clone, Debug)]
pub struct Reading {
    pub(super) z_dim: usize,
    pub(in super::super) class: Option<Class>,
    pub(in super::super) branches: Option<[Unit; 2]>,
    pub(in super::super) units: Vec<Unit>,
    /// Empty where all units are linear.
    pub(in super::super) plans: Vec<Plan>,
    functions: Vec<Activation>,
    outputs: Vec<(Activation, Range)>,
    axes: Vec<Axis>,
}

/// What a file states of a network that is read by its shapes.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) source: Option<Source>,
    /// `None` where it is open.
    pub(super) activation: Option<Activation>,
    pub(super) output: Option<(Activation, Range)>,
    /// The only plan is stated.
    pub(super) sizes: bool,
}

/// Activations, the most customary first.
fn activations(custom: Custom) -> Vec<Activation> {
    let mut functions = vec![
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.2 },
        Activation::LeakyRelu { slope: 0.01 },
        Activation::Elu { alpha: 1.0 },
        Activation::Selu,
        Activation::Gelu { tanh: false },
        Activation::Silu,
        Activation::Tanh,
        Activation::LeakyRelu { slope: 0.1 },
        Activation::Sigmoid,
        Activation::None,
    ];
    if custom == Custom::PytorchVae {
        functions.swap(0, 2);
    }
    functions
}

/// A function as people call it.
pub(super) fn name_of(function: &Activation) -> String {
    match function {
        Activation::None => "none".into(),
        Activation::Relu => "ReLU".into(),
        Activation::LeakyRelu { slope } => format!("LeakyReLU {slope}"),
        Activation::Elu { alpha: 1.0 } => "ELU".into(),
        Activation::Elu { alpha } => format!("ELU {alpha}"),
        Activation::Selu => "SELU".into(),
        Activation::Gelu { .. } => "GELU".into(),
        Activation::Silu => "SiLU".into(),
        Activation::Prelu { .. } => "PReLU".into(),
        Activation::Tanh => "tanh".into(),
        Activation::Sigmoid => "sigmoid".into(),
        Activation::Softplus => "softplus".into(),
        Activation::Clamp { low, high } => format!("clamp {low}..{high}"),
    }
}

/// The axis of the number that is added to the variances of batch norms.
pub const EPSILON: &str = "epsilon of batch norms";
/// Of the first batch norm and of the others: custom scripts give 0.8 to those behind convolutions only.
const EPSILONS: [[f64; 2]; 5] = [[1e-5; 2], [0.8; 2], [1e-5, 0.8], [1e-3; 2], [0.1; 2]];
const PRIORS: [(&str, Prior); 3] = [
    ("normal", Prior::Normal),
    ("uniform -1..1", Prior::Uniform { low: -1.0, high: 1.0 }),
    ("uniform 0..1", Prior::Uniform { low: 0.0, high: 1.0 }),
];

/// The last activation and the range it makes, the most customary first.
pub(super) fn outputs(custom: Custom) -> Vec<(Activation, Range)> {
    let mut outputs = vec![
        (Activation::Tanh, Range::Signed),
        (Activation::Sigmoid, Range::Unit),
        (Activation::None, Range::Signed),
        (Activation::None, Range::Logits),
    ];
    if custom == Custom::Decoder {
        outputs.swap(0, 1);
    }
    outputs
}

fn output_text((function, range): &(Activation, Range)) -> String {
    let range = match range {
        Range::Signed => "-1..1",
        Range::Unit => "0..1",
        Range::Logits => "logits",
    };
    format!("{}, {range}", name_of(function))
}

fn epsilon_text([first, others]: [f64; 2]) -> String {
    let text = |epsilon: f64| if epsilon < 0.01 { format!("{epsilon:e}") } else { epsilon.to_string() };
    if first == others { text(first) } else { format!("{}, the first {}", text(others), text(first)) }
}

impl Reading {
    pub(super) fn new(
        z_dim: usize,
        class: Option<Class>,
        branches: Option<[Unit; 2]>,
        units: Vec<Unit>,
        plans: Vec<Plan>,
        (custom, known): (Custom, Known),
    ) -> Reading {
        let functions = known.activation.clone().map_or_else(|| activations(custom), |function| vec![function]);
        let outputs = known.output.clone().map_or_else(|| outputs(custom), |output| vec![output]);
        let mut reading = Reading { z_dim, class, branches, units, plans, functions, outputs, axes: Vec::new() };
        reading.axes = reading.open_axes(&known);
        reading
    }

    fn open_axes(&self, known: &Known) -> Vec<Axis> {
        let norms: Vec<&Norm> = self.all_units().filter_map(|unit| unit.norm.as_ref()).collect();
        let batch: Vec<&Norm> = norms.iter().copied().filter(|norm| norm.is_batch()).collect();
        let is_any = |of: fn(&Place) -> bool| self.plans.iter().any(|plan| plan.places.iter().any(of));
        let has_open_activation = self.all_units().any(|unit| unit.is_activated && unit.slopes.is_none());
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_string()).collect::<Vec<_>>();
        // Of what comes before the last norm the statistics tell.
        let tells = batch.len() > 1;
        let stated = |is: bool| known.source.clone().filter(|_| is);
        let mut axes = Vec::new();
        let mut add = |what, kind, values: Vec<String>, is_tested, stated: Option<Source>| {
            if !values.is_empty() {
                let tried_together = match kind {
                    Kind::Sizes => 12,
                    Kind::Activation => 3,
                    Kind::Epsilon => 3,
                    Kind::Label => 2,
                    _ => 1,
                };
                axes.push(Axis { what, values, is_tested, tried_together, stated, kind });
            }
        };
        let sizes = self.plans.iter().map(|plan| describe(plan, &self.units)).collect();
        add("sizes", Kind::Sizes, sizes, tells, stated(known.sizes));
        if has_open_activation {
            let names = self.functions.iter().map(name_of).collect();
            let is_tested = tells || !batch.is_empty() && self.units.len() > 2;
            add("activation", Kind::Activation, names, is_tested, stated(known.activation.is_some()));
        }
        if !known.sizes && is_any(|place| matches!(place, Place::Conv { up: true, .. })) {
            add("up-sampling", Kind::Upsampling, texts(&["nearest", "bilinear"]), tells, None);
        }
        add("prior", Kind::Prior, texts(&PRIORS.map(|(text, _)| text)), !batch.is_empty(), None);
        if batch.iter().any(|norm| norm.epsilon.is_none()) {
            add(EPSILON, Kind::Epsilon, EPSILONS.map(epsilon_text).into(), tells, None);
        }
        if norms.len() > batch.len() && !self.plans.is_empty() {
            add("norms", Kind::Norm, texts(&["instance norm", "group norm of 8", "group norm of 32"]), false, None);
        }
        if let Some(class) = &self.class {
            let values: &[&str] = match class.multiplies {
                true => &["embedding times z", "embedding plus z"],
                false => &["class behind z", "class before z"],
            };
            add("class", Kind::Label, texts(values), !batch.is_empty(), None);
        }
        let outputs = self.outputs.iter().map(output_text).collect();
        add("output", Kind::Output, outputs, false, stated(known.output.is_some()));
        axes
    }

    /// True for the activations of a plain DCGAN.
    pub(in super::super) fn is_relu_and_tanh(&self) -> bool {
        self.functions.first() == Some(&Activation::Relu)
            && self.outputs.first() == Some(&(Activation::Tanh, Range::Signed))
    }

    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    fn all_units(&self) -> impl Iterator<Item = &Unit> {
        self.branches.iter().flatten().chain(&self.units)
    }

    /// The recipe of one value per axis; `None` if that makes no picture.
    pub fn recipe(&self, choice: &[usize]) -> Option<Recipe> {
        let value = |kind: Kind| {
            let at = self.axes.iter().position(|axis| axis.kind == kind)?;
            choice.get(at).copied()
        };
        let text = |kind: Kind| {
            let axis = self.axes.iter().find(|axis| axis.kind == kind)?;
            axis.values.get(value(kind)?).map(String::as_str)
        };
        let activation = self.functions.get(value(Kind::Activation).unwrap_or(0))?.clone();
        let (_, prior) = *PRIORS.get(value(Kind::Prior).unwrap_or(0))?;
        let epsilon = *EPSILONS.get(value(Kind::Epsilon).unwrap_or(0))?;
        let (output, range) = self.outputs.get(value(Kind::Output).unwrap_or(0))?;
        let plan = match value(Kind::Sizes) {
            Some(at) => Some(self.plans.get(at)?),
            None => None,
        };
        let choices = Choices {
            activation,
            epsilons: epsilon,
            first_norm: self.all_units().find_map(|unit| unit.norm.as_ref()).map(|norm| norm.name.as_str()),
            norm: text(Kind::Norm).unwrap_or("instance norm"),
            bilinear: text(Kind::Upsampling) == Some("bilinear"),
        };
        let mut steps = self.start(text(Kind::Label), &choices);
        let first = self.branches.as_ref().map_or(self.units.first()?.role, |branches| branches[0].role);
        let mut is_vector = first == Role::Linear;
        // Between a unit and the next, up-sampling may take the only place that names leave for an activation.
        let is_followed = |unit: &Unit, next: usize| {
            let place = plan.and_then(|plan| plan.places.get(next));
            let takes_it = matches!(place, Some(Place::Conv { up: true, .. })) && self.units[next].gap == Some(1);
            unit.is_activated && !takes_it
        };
        for (at, unit) in self.units.iter().enumerate() {
            let place = plan.and_then(|plan| plan.places.get(at)).copied().unwrap_or(Place::Vector);
            if unit.role != Role::Linear && is_vector {
                let side = plan?.start;
                steps.push(Step::Reshape { shape: [unit.inputs, side, side], channels_last: false });
                // A norm of channels comes after the reshape.
                if let Some(previous) = at.checked_sub(1).map(|at| &self.units[at])
                    && previous.norm.as_ref().is_some_and(|norm| norm.channels() != previous.outputs)
                {
                    choices.tail(previous, is_followed(previous, at), &mut steps);
                }
                is_vector = false;
            }
            if let Place::Conv { up: true, .. } = place {
                let method = match choices.bilinear {
                    true => Resizing::Bilinear { align_corners: false },
                    false => Resizing::Nearest,
                };
                steps.push(Step::Resize { size: Size::Times([2.0, 2.0]), method });
            }
            steps.push(layer(unit, place));
            if unit.shuffle > 1 {
                steps.push(Step::PixelShuffle { factor: unit.shuffle });
            }
            let is_of_channels =
                unit.role == Role::Linear && unit.norm.as_ref().is_some_and(|norm| norm.channels() != unit.outputs);
            if !is_of_channels {
                choices.tail(unit, is_followed(unit, at + 1), &mut steps);
            }
        }
        steps.push(Step::Activation { function: output.clone() });
        let last = self.units.last()?;
        let picture = match (last.role, plan) {
            (Role::Linear, _) => picture_of(last.outputs)?,
            (_, Some(plan)) => [last.outputs, plan.side, plan.side],
            _ => return None,
        };
        Some(Recipe {
            version: VERSION,
            prior,
            z_dim: self.z_dim,
            classes: self.class.as_ref().map(|class| class.count),
            steps,
            picture,
            range: *range,
            batch_statistics: false,
        })
    }

    /// z with its class.
    fn start(&self, label: Option<&str>, choices: &Choices<'_>) -> Vec<Step> {
        if let Some(branches) = &self.branches {
            let [of_z, of_class] = branches.each_ref().map(|unit| {
                let place = Place::Transposed { stride: 1, padding: 0, output_padding: 0 };
                let mut steps = vec![layer(unit, if unit.role == Role::Linear { Place::Vector } else { place })];
                choices.tail(unit, unit.is_activated, &mut steps);
                steps
            });
            let branches =
                vec![Branch { input: Input::Z, steps: of_z }, Branch { input: Input::Class, steps: of_class }];
            let branches = match label {
                Some("class before z") => branches.into_iter().rev().collect(),
                _ => branches,
            };
            return vec![Step::Join { how: Joining::Concat, branches }];
        }
        let Some(class) = &self.class else { return Vec::new() };
        let table = class.embedding.as_ref().map(|weight| match &class.layer_bias {
            Some(bias) => Step::Linear { weight: weight.clone(), bias: bias.clone(), transposed: false },
            None => Step::Embedding { weight: weight.clone() },
        });
        let how = match label {
            Some("embedding times z") => Joining::Product,
            Some("embedding plus z") => Joining::Sum,
            _ => Joining::Concat,
        };
        vec![Step::with_class(how, table.into_iter().collect(), label == Some("class before z"))]
    }
}

struct Choices<'a> {
    activation: Activation,
    /// Of the first batch norm and of the others.
    epsilons: [f64; 2],
    first_norm: Option<&'a str>,
    norm: &'a str,
    bilinear: bool,
}

impl Choices<'_> {
    /// Norm and activation behind a layer.
    fn tail(&self, unit: &Unit, is_activated: bool, steps: &mut Vec<Step>) {
        let norm = unit.norm.as_ref().map(|norm| self.norm(norm, unit.role));
        let function = match &unit.slopes {
            Some(weight) => Activation::Prelu { weight: weight.clone() },
            None => self.activation.clone(),
        };
        let function = (is_activated || unit.norm_is_late).then_some(Step::Activation { function });
        match unit.norm_is_late {
            true => steps.extend(function.into_iter().chain(norm)),
            false => steps.extend(norm.into_iter().chain(function)),
        }
    }

    fn norm(&self, norm: &Norm, role: Role) -> Step {
        let part = |part: &str| format!("{}.{part}", norm.name);
        let weight = norm.has_weight.then(|| part("weight"));
        let bias = norm.has_bias.then(|| part("bias"));
        match (&norm.kind, role) {
            (NormKind::Batch(_), _) => Step::BatchNorm {
                mean: part("running_mean"),
                variance: part("running_var"),
                weight,
                bias,
                epsilon: norm
                    .epsilon
                    .unwrap_or(self.epsilons[usize::from(self.first_norm != Some(norm.name.as_str()))]),
            },
            (NormKind::Other(shape), Role::Linear) if shape.len() == 1 => {
                Step::LayerNorm { weight, bias, epsilon: 1e-5, over_channels: false }
            }
            (NormKind::Other(shape), _) if shape.len() == 3 => {
                Step::LayerNorm { weight, bias, epsilon: 1e-5, over_channels: false }
            }
            _ => match self.norm {
                "group norm of 8" => Step::GroupNorm { groups: 8, weight, bias, epsilon: 1e-5 },
                "group norm of 32" => Step::GroupNorm { groups: 32, weight, bias, epsilon: 1e-5 },
                _ => Step::InstanceNorm { weight, bias, epsilon: 1e-5 },
            },
        }
    }
}

fn layer(unit: &Unit, place: Place) -> Step {
    let path = |part: &str| if unit.name.is_empty() { part.into() } else { format!("{}.{part}", unit.name) };
    let (weight, bias) = (path("weight"), unit.has_bias.then(|| path("bias")));
    match place {
        Place::Vector => Step::Linear { weight, bias, transposed: false },
        Place::Conv { padding, .. } => Step::Conv(Conv {
            weight,
            bias,
            stride: [1, 1],
            padding: [padding; 4],
            dilation: [1, 1],
            groups: 1,
            padding_mode: Padding::Zeros,
        }),
        Place::Transposed { stride, padding, output_padding } => Step::ConvTranspose(ConvTranspose {
            weight,
            bias,
            stride: [stride; 2],
            padding: [padding; 4],
            output_padding: [output_padding; 2],
            dilation: [1, 1],
            groups: 1,
        }),
    }
}

/// A plan in words: "4x4 s1, 4x4 s2 p1, up, 3x3; 28x28".
fn describe(plan: &Plan, units: &[Unit]) -> String {
    let of_place = |(place, unit): (&Place, &Unit)| {
        let kernel = format!("{}x{}", unit.kernel[0], unit.kernel[1]);
        match place {
            Place::Vector => "linear".into(),
            Place::Conv { padding, up } => {
                let up = if *up { "up, " } else { "" };
                format!("{up}{kernel} p{padding}")
            }
            Place::Transposed { stride, padding, output_padding: 0 } => format!("{kernel} s{stride} p{padding}"),
            Place::Transposed { stride, padding, output_padding } => {
                format!("{kernel} s{stride} p{padding} op{output_padding}")
            }
        }
    };
    let places: Vec<String> = plan.places.iter().zip(units).map(of_place).collect();
    format!("{}; {2}x{2}, from {1}x{1}", places.join(", "), plan.start, plan.side)
}
