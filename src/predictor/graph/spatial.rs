//! Operators that look at the neighbours of a pixel: convolutions and pools.

use super::facts::{Call, Fact, Operand, Ruled, Setting, Step, elements};

pub(super) fn rule(call: &Call) -> Option<Ruled> {
    Some(match call.node.operator.as_str() {
        "Conv" => conv(call),
        "ConvTranspose" => conv_transpose(call),
        "MaxPool" => pool(call, "MaxPool"),
        "AveragePool" => pool(call, "AveragePool"),
        "GlobalAveragePool" => global_pool(call, "ReduceMean"),
        "GlobalMaxPool" => global_pool(call, "ReduceMax"),
        _ => return None,
    })
}

/// How a kernel goes over a map, one number for each of its axes.
struct Window {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    /// Before and behind.
    pads: Vec<[usize; 2]>,
}

/// Longest side of a kernel, and the largest of its other numbers; larger ones are slips or malice.
const MAX_KERNEL: usize = 4096;

impl Window {
    /// Of a node whose kernel has this size, on a map of the size `map`.
    fn of(call: &Call, kernel: &[usize], map: &[usize]) -> Result<Self, String> {
        let axes = map.len();
        let numbers = |name: &str, default: usize| match call.node.ints(name) {
            None => Ok(vec![default; axes]),
            Some(numbers) => sizes(numbers, axes).map_err(|problem| format!("{name}: {problem}")),
        };
        let (strides, dilations) = (numbers("strides", 1)?, numbers("dilations", 1)?);
        let is_sound = |numbers: &[usize]| numbers.iter().all(|n| (1..=MAX_KERNEL).contains(n));
        if kernel.len() != axes || !is_sound(kernel) || !is_sound(&strides) || !is_sound(&dilations) {
            return Err(format!(
                "expected a kernel, strides and dilations of 1 to {MAX_KERNEL} for each of {axes} axes, found {kernel:?}, \
                 {strides:?}, {dilations:?}"
            ));
        }
        let window = Window { kernel: kernel.to_vec(), strides, dilations, pads: vec![[0; 2]; axes] };
        let pads = match call.node.text("auto_pad") {
            None | Some("NOTSET") => match call.node.ints("pads") {
                None => window.pads.clone(),
                Some(numbers) => {
                    let pads = sizes(numbers, 2 * axes).map_err(|problem| format!("pads: {problem}"))?;
                    (0..axes).map(|axis| [pads[axis], pads[axes + axis]]).collect()
                }
            },
            Some("VALID") => window.pads.clone(),
            Some(same @ ("SAME_UPPER" | "SAME_LOWER")) => {
                (0..axes).map(|axis| window.same(axis, map[axis], same == "SAME_UPPER")).collect()
            }
            Some(other) => return Err(format!("auto_pad {other:.40} is not known")),
        };
        if pads.iter().flatten().any(|&pad| pad > MAX_KERNEL) {
            return Err(format!("expected pads of at most {MAX_KERNEL}, found {pads:?}"));
        }
        Ok(Window { pads, ..window })
    }

    /// How far a kernel reaches.
    fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilations[axis] + 1
    }

    /// So much around a map that it comes out as long as it is, over the stride. What is odd goes behind (`upper`) or before.
    fn same(&self, axis: usize, length: usize, upper: bool) -> [usize; 2] {
        let result = length.div_ceil(self.strides[axis]);
        let all = (result.saturating_sub(1) * self.strides[axis] + self.reach(axis)).saturating_sub(length);
        if upper { [all / 2, all.div_ceil(2)] } else { [all.div_ceil(2), all / 2] }
    }

    /// Size of the map that comes out. `ceil`: a last window may stick out, if it begins on the map or the pad before it.
    fn result(&self, map: &[usize], ceil: bool) -> Result<Vec<usize>, String> {
        let one = |(axis, &length): (usize, &usize)| {
            let [before, behind] = self.pads[axis];
            let (whole, reach, stride) = (length + before + behind, self.reach(axis), self.strides[axis]);
            let room = whole.checked_sub(reach);
            let room =
                room.ok_or_else(|| format!("a kernel that reaches {reach} on a map of {whole} with its pads"))?;
            let result = if ceil { room.div_ceil(stride) } else { room / stride } + 1;
            let sticks_out = ceil && (result - 1) * stride >= length + before;
            Ok(result - usize::from(sticks_out))
        };
        map.iter().enumerate().map(one).collect()
    }

    fn settings(&self, step: Step) -> Step {
        let ints = |numbers: &[usize]| Setting::Ints(numbers.iter().map(|&n| n as i64).collect());
        let pads: Vec<usize> = (0..2).flat_map(|end| self.pads.iter().map(move |pad| pad[end])).collect();
        step.with("kernel_shape", ints(&self.kernel)).with("strides", ints(&self.strides)).with("pads", ints(&pads))
    }
}

fn sizes(numbers: &[i64], count: usize) -> Result<Vec<usize>, String> {
    let found: Option<Vec<usize>> = numbers.iter().map(|&n| usize::try_from(n).ok()).collect();
    found
        .filter(|found| found.len() == count)
        .ok_or_else(|| format!("expected {count} sizes, found {:?}", &numbers[..numbers.len().min(16)]))
}

/// A map and its kernel's weights, both of the same number of axes, which are sides of 1 or 2.
fn map_and_weight<'a>(call: &'a Call) -> Result<(&'a Fact, &'a Fact), String> {
    let (x, weight) = (call.real(0)?, call.real(1)?);
    match x.shape.len() == weight.shape.len() && (3..=4).contains(&x.shape.len()) {
        true => Ok((x, weight)),
        false => {
            Err(format!("expected a map with one or two sides and its kernel, found {:?}, {:?}", x.shape, weight.shape))
        }
    }
}

const CONV: [&str; 6] = ["kernel_shape", "strides", "dilations", "pads", "auto_pad", "group"];

/// How many groups of channels there are; each has an equal share of `channels`.
fn groups(call: &Call, channels: &[usize]) -> Result<usize, String> {
    let group = call.node.int("group").unwrap_or(1);
    let groups = usize::try_from(group).ok().filter(|&groups| groups > 0);
    groups
        .filter(|groups| channels.iter().all(|channels| channels.is_multiple_of(*groups)))
        .ok_or_else(|| format!("expected groups that divide {channels:?} channels, found {group}"))
}

fn check_bias(call: &Call, channels: usize) -> Result<(), String> {
    match call.given(2) {
        Some(bias) if bias.shape != [channels] => Err(format!("expected {channels} biases, found {:?}", bias.shape)),
        _ => Ok(()),
    }
}

fn check_kernel(call: &Call, weight: &[usize]) -> Result<(), String> {
    match call.node.ints("kernel_shape") {
        Some(stated) if !stated.iter().map(|&n| usize::try_from(n).ok()).eq(weight.iter().map(|&n| Some(n))) => Err(
            format!("expected a kernel of {weight:?}, as its weights are, found {:?}", &stated[..stated.len().min(8)]),
        ),
        _ => Ok(()),
    }
}

fn conv(call: &Call) -> Ruled {
    call.allow(&CONV)?;
    let (x, weight) = map_and_weight(call)?;
    let (channels, outputs, inputs) = (x.shape[1], weight.shape[0], weight.shape[1]);
    let groups = groups(call, &[channels, outputs])?;
    if inputs.checked_mul(groups) != Some(channels) {
        return Err(format!("expected weights for {channels} channels, found {inputs} in each of {groups} groups"));
    }
    check_bias(call, outputs)?;
    check_kernel(call, &weight.shape[2..])?;
    let window = Window::of(call, &weight.shape[2..], &x.shape[2..])?;
    let sides = window.result(&x.shape[2..], false)?;
    let output = Fact::real([vec![x.shape[0], outputs], sides].concat());
    let work = output.len().saturating_mul(elements(&weight.shape[1..]));
    let dilations = window.dilations.iter().map(|&n| n as i64).collect();
    Ok(window
        .settings(Step::new("Conv", call.operands(), output))
        .with("dilations", Setting::Ints(dilations))
        .with("group", Setting::Int(groups as i64))
        .working(work))
}

fn conv_transpose(call: &Call) -> Ruled {
    call.allow(&[&CONV[..], &["output_padding"]].concat())?;
    let (x, weight) = map_and_weight(call)?;
    let axes = x.shape.len() - 2;
    let (channels, each) = (x.shape[1], weight.shape[1]);
    let groups = groups(call, &[channels])?;
    let outputs = each.saturating_mul(groups);
    if weight.shape[0] != channels {
        return Err(format!("expected weights for {channels} channels, found {}", weight.shape[0]));
    }
    check_bias(call, outputs)?;
    check_kernel(call, &weight.shape[2..])?;
    if matches!(call.node.text("auto_pad"), Some("SAME_UPPER" | "SAME_LOWER")) {
        return Err("auto_pad of a transposed convolution is not known".into());
    }
    let window = Window::of(call, &weight.shape[2..], &x.shape[2..])?;
    if window.dilations.iter().any(|&dilation| dilation != 1) {
        return Err(format!("a transposed convolution with dilations {:?}", window.dilations));
    }
    let more = match call.node.ints("output_padding") {
        None => vec![0; axes],
        Some(numbers) => sizes(numbers, axes).map_err(|problem| format!("output_padding: {problem}"))?,
    };
    let side = |axis: usize| {
        let whole = (x.shape[2 + axis] - 1) * window.strides[axis] + window.reach(axis);
        let side = whole.checked_add(more[axis])?.checked_sub(window.pads[axis].iter().sum())?;
        (more[axis] < window.strides[axis] && side > 0).then_some(side)
    };
    let sides: Option<Vec<usize>> = (0..axes).map(side).collect();
    let sides = sides.ok_or_else(|| format!("pads {:?} or output_padding {more:?} too large", window.pads))?;
    let output = Fact::real([vec![x.shape[0], outputs], sides].concat());
    let work = x.len().saturating_mul(elements(&weight.shape[1..]));
    let more = more.iter().map(|&n| n as i64).collect();
    let step = window
        .settings(Step::new("ConvTranspose", call.operands(), output))
        .with("output_padding", Setting::Ints(more))
        .with("group", Setting::Int(groups as i64))
        .working(work);
    // What each pixel adds to its neighbours is made before it is added.
    Ok(Step { scratch: work / channels as u64, ..step })
}

fn pool(call: &Call, operator: &'static str) -> Ruled {
    let known =
        ["kernel_shape", "strides", "dilations", "pads", "auto_pad", "ceil_mode", "count_include_pad", "storage_order"];
    call.allow(&known)?;
    call.one_output()?;
    let x = call.real(0)?;
    if x.shape.len() != 4 {
        return Err(format!("expected a map of two sides, found {:?}", x.shape));
    }
    let kernel = sizes(call.node.ints("kernel_shape").unwrap_or_default(), 2)
        .map_err(|problem| format!("kernel_shape: {problem}"))?;
    let window = Window::of(call, &kernel, &x.shape[2..])?;
    if window.dilations.iter().any(|&dilation| dilation != 1) {
        return Err(format!("a pool with dilations {:?}", window.dilations));
    }
    if window.pads.iter().zip(&window.kernel).any(|(pad, kernel)| pad.iter().any(|pad| pad >= kernel)) {
        return Err(format!("expected pads smaller than the kernel {:?}, found {:?}", window.kernel, window.pads));
    }
    let ceil = call.flag("ceil_mode", false);
    let sides = window.result(&x.shape[2..], ceil)?;
    let output = Fact::real([x.shape[..2].to_vec(), sides].concat());
    let work = output.len().saturating_mul(elements(&kernel));
    let step = window.settings(Step::new(operator, vec![Operand::Input(0)], output));
    let step = match operator {
        "AveragePool" => step.with("count_include_pad", Setting::Int(call.flag("count_include_pad", false).into())),
        _ => step,
    };
    Ok(step.with("ceil_mode", Setting::Int(ceil.into())).working(work))
}

/// Over all of a map.
fn global_pool(call: &Call, reduction: &'static str) -> Ruled {
    call.allow(&[])?;
    let x = call.real(0)?;
    if x.shape.len() < 3 {
        return Err(format!("expected a map, found {:?}", x.shape));
    }
    let mut shape = x.shape[..2].to_vec();
    shape.resize(x.shape.len(), 1);
    let sides = (2..x.shape.len() as i64).collect();
    Ok(Step::new(reduction, vec![Operand::Input(0)], Fact::real(shape))
        .with("axes", Setting::Ints(sides))
        .with("keepdims", Setting::Int(1))
        .working(x.len()))
}
