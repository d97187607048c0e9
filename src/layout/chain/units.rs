//! Layers with what belongs to them, linked by their widths into a network from z to a picture.

use super::items::{CLASS_WORDS, Item, Kind};

/// A layer with the norms and the activation that come with it.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Unit {
    /// Its module.
    pub(in super::super) name: String,
    pub(in super::super) role: Role,
    pub(in super::super) inputs: usize,
    pub(in super::super) outputs: usize,
    /// Height and width of the kernel.
    pub(in super::super) kernel: [usize; 2],
    pub(in super::super) has_bias: bool,
    pub(in super::super) norm: Option<Norm>,
    /// Something without tensors stands between layer and norm.
    pub(in super::super) norm_is_late: bool,
    /// An activation follows; `false` where names leave no place for one.
    pub(in super::super) is_activated: bool,
    /// Its PReLU.
    pub(in super::super) slopes: Option<String>,
    /// Modules without tensors between this unit and the one before, where names tell.
    pub(in super::super) gap: Option<usize>,
    /// Side of a pixel shuffle after it.
    pub(in super::super) shuffle: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Role {
    Linear,
    Conv,
    Transposed,
}

#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Norm {
    pub(in super::super) name: String,
    pub(in super::super) kind: NormKind,
    pub(in super::super) has_weight: bool,
    pub(in super::super) has_bias: bool,
    /// Where the file states it.
    pub(in super::super) epsilon: Option<f64>,
}

#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum NormKind {
    Batch(usize),
    /// Without running statistics.
    Other(Vec<usize>),
}

/// A layer of the file with what was found to belong to it.
#[derive(Clone, Debug)]
struct Loose<'a, 'b> {
    item: &'b Item<'a>,
    norm: Option<&'b Item<'a>>,
    slopes: Option<&'b Item<'a>>,
}

/// What [`link`] has found.
#[derive(Clone, Debug)]
pub(super) struct Linked {
    /// Ways of z and of the class before they are joined side by side; otherwise the first unit takes both.
    pub(super) branches: Option<[Unit; 2]>,
    pub(super) units: Vec<Unit>,
    /// Index among the layers of the first that is used.
    pub(super) start: usize,
}

/// Why layers do not make a network.
pub(super) enum Misfit {
    None,
    /// Two layers that follow each other and do not fit, with their shapes.
    Gap(String, String),
    /// The last layer makes no picture.
    NoPicture(String, usize),
}

/// Layers in the order of the file with their norms; names of items that belong to none.
fn gather<'a, 'b>(items: &'b [Item<'a>]) -> (Vec<Loose<'a, 'b>>, Vec<String>) {
    let mut layers: Vec<Loose<'a, 'b>> = Vec::new();
    let mut strangers = Vec::new();
    // Norms that are listed before their layers, in files that are sorted by name.
    let mut orphans: Vec<&Item<'a>> = Vec::new();
    // Layers since the last norm: norms that are listed together belong to layers that are listed together.
    let mut run = 0;
    let mut at = 0;
    while let Some(item) = items.get(at) {
        at += 1;
        match &item.kind {
            Kind::Linear(_) | Kind::Kernel(_) => {
                layers.push(Loose { item, norm: None, slopes: None });
                run += 1;
            }
            Kind::BatchNorm(_) | Kind::OtherNorm(_) => {
                let more = items[at..].iter().take_while(|next| is_norm(next)).count();
                let several = more > 0 || run == 0;
                let first = layers.len() - run;
                let free = |layer: &&mut Loose<'_, '_>| layer.norm.is_none() && takes(layer.item, item);
                let found = match several {
                    true => layers[first..].iter_mut().find(free),
                    false => layers.last_mut().filter(free),
                };
                let found = match found {
                    Some(found) => Some(found),
                    None => layers.iter_mut().find(free),
                };
                match found {
                    Some(layer) => layer.norm = Some(item),
                    None => orphans.push(item),
                }
                if more == 0 {
                    run = 0;
                }
            }
            Kind::Slopes(_) => match layers.last_mut().filter(|layer| layer.slopes.is_none()) {
                Some(layer) => layer.slopes = Some(item),
                None => strangers.push(item.example()),
            },
            Kind::Embedding(_) => {}
            Kind::Strange => strangers.push(item.example()),
        }
    }
    for norm in orphans {
        match layers.iter_mut().find(|layer| layer.norm.is_none() && takes(layer.item, norm)) {
            Some(layer) => layer.norm = Some(norm),
            None => strangers.push(norm.example()),
        }
    }
    (layers, strangers)
}

fn is_norm(item: &Item<'_>) -> bool {
    matches!(item.kind, Kind::BatchNorm(_) | Kind::OtherNorm(_))
}

/// True if a norm may follow a layer.
fn takes(layer: &Item<'_>, norm: &Item<'_>) -> bool {
    let channels = match &norm.kind {
        Kind::BatchNorm(channels) => *channels,
        Kind::OtherNorm(shape) => shape.first().copied().unwrap_or(0),
        _ => return false,
    };
    match layer.kind {
        Kind::Linear([outputs, _]) => channels > 0 && outputs % channels == 0,
        Kind::Kernel([a, b, ..]) => channels == a || channels == b,
        _ => false,
    }
}

/// Links the layers of `items` to a network that ends in a picture.
pub(super) fn link(items: &[Item<'_>]) -> Result<Linked, (Misfit, Vec<String>)> {
    let (layers, strangers) = gather(items);
    if !strangers.is_empty() {
        return Err((Misfit::None, strangers));
    }
    let mut first_misfit = Misfit::None;
    let mut best: Option<Linked> = None;
    for start in 0..layers.len() {
        match link_from(&layers, start) {
            Ok(linked) => {
                let inputs = |linked: &Linked| linked.units.first().map_or(0, |unit| unit.inputs);
                let outputs = numbers(&linked);
                // A network that takes as much as it makes is an autoencoder: what follows its narrowest layer decodes.
                let is_narrower = match &best {
                    None => true,
                    Some(best) => {
                        best.units[0].role == Role::Linear && inputs(best) >= outputs && inputs(&linked) < inputs(best)
                    }
                };
                if is_narrower {
                    best = Some(linked);
                }
            }
            Err(misfit) if start == 0 => first_misfit = misfit,
            Err(_) => {}
        }
        if best.as_ref().is_some_and(|best| {
            let outputs = numbers(best);
            best.units[0].role != Role::Linear || best.units[0].inputs < outputs
        }) {
            break;
        }
    }
    // Behind an encoder, a decoder starts with a linear layer: what follows skip connections would look like one.
    let is_sound = |best: &Linked| best.start == 0 || encodes(&layers[0]) && best.units[0].role == Role::Linear;
    best.filter(is_sound).filter(|best| best.units.len() > 1).ok_or((first_misfit, strangers))
}

/// Numbers that a network of linear layers makes; any other makes more than it takes.
fn numbers(linked: &Linked) -> usize {
    match linked.units.last() {
        Some(Unit { role: Role::Linear, outputs, .. }) => *outputs,
        _ => usize::MAX,
    }
}

/// True if a layer takes pictures.
fn encodes(layer: &Loose<'_, '_>) -> bool {
    match layer.item.kind {
        // Of a picture, with a class beside it perhaps.
        Kind::Linear([_, inputs]) => {
            [0, 10, 40].iter().any(|more| inputs.checked_sub(*more).and_then(picture_of).is_some())
        }
        Kind::Kernel([_, inputs, ..]) => matches!(inputs, 1 | 3 | 4),
        _ => false,
    }
}

fn link_from(layers: &[Loose<'_, '_>], start: usize) -> Result<Linked, Misfit> {
    let layers = &layers[start..];
    let mut units: Vec<Unit> = Vec::new();
    let mut branches = None;
    for (at, layer) in layers.iter().enumerate() {
        let before = units.last().map(|unit| (unit.role, unit.outputs));
        // Kernels of one size are mostly of one kind.
        let alike = units.iter().rev().find(|unit| Some(unit.kernel) == kernel_of(layer) && unit.role != Role::Linear);
        let alike = alike.map(|unit| unit.role);
        if let Some(mut unit) = fit(layer, before, alike) {
            if let Some(previous) = units.last_mut() {
                unit.gap = gap(previous_item(layers, at), layer.item);
                // Nothing stands between, so no activation does.
                previous.is_activated &= unit.gap != Some(0) || previous.norm_is_late;
                let channels = if unit.role == Role::Linear { 1 } else { unit.inputs };
                if previous.role == Role::Conv && unit.role == Role::Conv && previous.outputs != channels {
                    previous.shuffle = (previous.outputs / channels).isqrt();
                }
            }
            units.push(unit);
            continue;
        }
        // Two layers side by side, whose outputs the next one takes together.
        let joined = match (&units[..], layers.get(at + 1)) {
            ([first], Some(next)) if at == 1 => fit(layer, None, Some(first.role)).filter(|second| {
                let both = first.outputs + second.outputs;
                second.role == first.role
                    && second.kernel == first.kernel
                    && fit(next, Some((first.role, both)), None).is_some()
            }),
            _ => None,
        };
        let Some(second) = joined else {
            let previous = at.checked_sub(1).map(|at| describe(layers[at].item)).unwrap_or_default();
            return Err(Misfit::Gap(previous, describe(layer.item)));
        };
        let first = units.remove(0);
        let first_is_class = layers[0].item.is_called(&CLASS_WORDS) && !layer.item.is_called(&CLASS_WORDS);
        let mut together = first.clone();
        together.outputs = first.outputs + second.outputs;
        units.push(together);
        branches = Some(if first_is_class { [second, first] } else { [first, second] });
    }
    let Some(last) = units.last_mut() else { return Err(Misfit::None) };
    last.is_activated = false;
    let makes_picture = match last.role {
        Role::Linear => picture_of(last.outputs).is_some(),
        Role::Conv | Role::Transposed => matches!(last.outputs, 1 | 3 | 4),
    };
    if !makes_picture {
        return Err(Misfit::NoPicture(last.name.clone(), last.outputs));
    }
    if branches.is_some() {
        // The unit that stood for both.
        units.remove(0);
    }
    // A convolution cannot start from z: it takes a picture.
    match units.first().map(|unit| unit.role) {
        Some(Role::Conv) if branches.is_none() => Err(Misfit::None),
        None => Err(Misfit::None),
        _ => Ok(Linked { branches, units, start }),
    }
}

/// What stands last before a layer, of those in the same list: the layer before, its norm or its slopes.
fn previous_item<'a, 'b>(layers: &[Loose<'a, 'b>], at: usize) -> Option<&'b Item<'a>> {
    let (previous, next) = (layers.get(at.checked_sub(1)?)?, layers[at].item);
    let list = |item: &Item<'_>| item.index().map(|(list, _)| list.to_string());
    let all = [Some(previous.item), previous.norm, previous.slopes].into_iter().flatten();
    let same = all.filter(|item| list(item) == list(next));
    same.max_by_key(|item| item.index().map(|(_, index)| index))
}

/// Modules between two of one list.
fn gap(before: Option<&Item<'_>>, after: &Item<'_>) -> Option<usize> {
    let ((a, i), (b, j)) = (before?.index()?, after.index()?);
    (a == b && !a.is_empty() && j > i).then(|| j - i - 1)
}

fn kernel_of(layer: &Loose<'_, '_>) -> Option<[usize; 2]> {
    match layer.item.kind {
        Kind::Kernel([_, _, height, width]) => Some([height, width]),
        _ => None,
    }
}

/// The unit of a layer that comes after one with so many outputs (or first); `None` if it does not fit there.
fn fit(layer: &Loose<'_, '_>, before: Option<(Role, usize)>, alike: Option<Role>) -> Option<Unit> {
    let item = layer.item;
    let unit = |role, inputs, outputs, kernel| Unit {
        name: item.name.clone(),
        role,
        inputs,
        outputs,
        kernel,
        has_bias: item.part("bias").is_some(),
        norm: layer.norm.map(norm_of),
        norm_is_late: layer.norm.is_some_and(|norm| gap(Some(item), norm).is_some_and(|gap| gap > 0)),
        is_activated: true,
        slopes: layer.slopes.map(|slopes| slopes.path("weight")),
        gap: None,
        shuffle: 1,
    };
    let made = match item.kind {
        Kind::Linear([outputs, inputs]) => {
            let fits = before.is_none_or(|(role, width)| role == Role::Linear && width == inputs);
            fits.then(|| unit(Role::Linear, inputs, outputs, [1, 1]))
        }
        Kind::Kernel([a, b, height, width]) => {
            // A vector is reshaped to any number of channels that divides it into squares.
            let fits = |channels: usize| match before {
                None => true,
                Some((Role::Linear, width)) => width.is_multiple_of(channels) && is_square(width / channels),
                Some((_, width)) => width == channels,
            };
            let shuffles = |channels: usize| match before {
                Some((Role::Conv, width)) => [4, 9, 16].iter().any(|factor| width == channels * factor),
                _ => false,
            };
            let odd = height % 2 == 1;
            match (fits(a), fits(b) && before.is_some()) {
                (true, true) => {
                    let custom = if odd { Role::Conv } else { Role::Transposed };
                    Some(match alike.unwrap_or(custom) {
                        Role::Conv => unit(Role::Conv, b, a, [height, width]),
                        _ => unit(Role::Transposed, a, b, [height, width]),
                    })
                }
                (true, false) => Some(unit(Role::Transposed, a, b, [height, width])),
                (false, true) => Some(unit(Role::Conv, b, a, [height, width])),
                (false, false) => shuffles(b).then(|| unit(Role::Conv, b, a, [height, width])),
            }
        }
        _ => None,
    };
    // A norm of other channels says that the other reading is right.
    made.and_then(|made| match (&made.norm, made.role) {
        (Some(norm), Role::Conv | Role::Transposed) if norm.channels() != made.outputs => {
            let [a, b, height, width] = match item.kind {
                Kind::Kernel(shape) => shape,
                _ => return None,
            };
            let other = if made.role == Role::Conv {
                unit(Role::Transposed, a, b, [height, width])
            } else {
                unit(Role::Conv, b, a, [height, width])
            };
            (norm.channels() == other.outputs && before.is_some_and(|(_, width)| width == other.inputs))
                .then_some(other)
        }
        _ => Some(made),
    })
}

impl Norm {
    pub(in super::super) fn is_batch(&self) -> bool {
        matches!(self.kind, NormKind::Batch(_))
    }

    pub(super) fn channels(&self) -> usize {
        match &self.kind {
            NormKind::Batch(channels) => *channels,
            NormKind::Other(shape) => shape.first().copied().unwrap_or(0),
        }
    }
}

fn norm_of(item: &Item<'_>) -> Norm {
    let kind = match &item.kind {
        Kind::BatchNorm(channels) => NormKind::Batch(*channels),
        Kind::OtherNorm(shape) => NormKind::Other(shape.clone()),
        _ => NormKind::Other(Vec::new()),
    };
    Norm {
        name: item.name.clone(),
        kind,
        has_weight: item.part("weight").is_some(),
        has_bias: item.part("bias").is_some(),
        epsilon: None,
    }
}

fn describe(item: &Item<'_>) -> String {
    let shape = match &item.kind {
        Kind::Linear(shape) => format!("{shape:?}"),
        Kind::Kernel(shape) => format!("{shape:?}"),
        _ => String::new(),
    };
    format!("{} {shape}", item.path("weight"))
}

pub(super) fn is_square(number: usize) -> bool {
    number > 0 && number.isqrt().pow(2) == number
}

/// The picture that so many numbers make: grey or RGB, square, of 8 pixels or more.
pub(super) fn picture_of(numbers: usize) -> Option<[usize; 3]> {
    let square = |channels: usize| {
        let pixels = numbers / channels;
        let side = pixels.isqrt();
        (numbers.is_multiple_of(channels) && side * side == pixels && side >= 8).then_some([channels, side, side])
    };
    square(1).or_else(|| square(3))
}
