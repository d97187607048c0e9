//! Operators that move numbers about, or make them from shapes.

use super::elementwise::spread;
use super::facts::{Call, Fact, KNOWN, Kind, Operand, Ruled, Setting, Step, axes, axis, broadcast, elements};

pub(super) fn rule(call: &Call) -> Option<Ruled> {
    Some(match call.node.operator.as_str() {
        "Shape" => shape(call),
        "Size" => size(call),
        "Reshape" => reshape(call),
        "Flatten" => flatten(call),
        "Squeeze" => squeeze(call),
        "Unsqueeze" => unsqueeze(call),
        "Transpose" => transpose(call),
        "Concat" => concat(call),
        "Split" => split(call),
        "Expand" => expand(call),
        "Tile" => tile(call),
        "ConstantOfShape" => constant_of_shape(call),
        "Range" => range(call),
        _ => return None,
    })
}

/// All numbers of `x` in another shape.
fn into_shape(x: &Fact, shape: Vec<usize>) -> Step {
    let target = shape.iter().map(|&axis| axis as i64).collect();
    let step = Step::new("Reshape", vec![Operand::Input(0), Operand::Ints(target)], x.reshaped(shape));
    Step { work: 1, ..step }
}

fn shape(call: &Call) -> Ruled {
    call.allow(&["start", "end"])?;
    let x = call.fact(0)?;
    let rank = x.shape.len() as i64;
    let bound = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
    let (start, end) = (bound(call.node.int("start").unwrap_or(0)), bound(call.node.int("end").unwrap_or(rank)));
    let axes = x.shape.get(start..end).unwrap_or_default();
    Ok(Step::identity(Fact::row(axes.iter().map(|&axis| axis as f64).collect())))
}

fn size(call: &Call) -> Ruled {
    call.allow(&[])?;
    let count = call.fact(0)?.len() as f64;
    Ok(Step::identity(Fact { shape: Vec::new(), kind: Kind::Whole, known: Some(vec![count]) }))
}

fn reshape(call: &Call) -> Ruled {
    call.allow(&["shape", "allowzero"])?;
    let x = call.fact(0)?;
    let target = call.ints("shape", 1)?.ok_or("expected a shape, found none")?;
    let keeps_zero = call.flag("allowzero", false);
    let misfit = || format!("{:?} does not become {:?}", x.shape, &target[..target.len().min(16)]);
    let axis = |(at, &length): (usize, &i64)| match length {
        0 if !keeps_zero => x.shape.get(at).copied(),
        -1 => Some(1),
        length => usize::try_from(length).ok(),
    };
    let mut shape = target.iter().enumerate().map(axis).collect::<Option<Vec<_>>>().ok_or_else(misfit)?;
    let open: Vec<usize> = (0..target.len()).filter(|&at| target[at] == -1).collect();
    if let [at] = open[..] {
        let rest = elements(&shape).max(1);
        shape[at] = usize::try_from(x.len() / rest).map_err(|_| misfit())?;
    }
    match open.len() <= 1 && elements(&shape) == x.len() {
        true => Ok(into_shape(x, shape)),
        false => Err(misfit()),
    }
}

fn flatten(call: &Call) -> Ruled {
    call.allow(&["axis"])?;
    let x = call.fact(0)?;
    let at = call.node.int("axis").unwrap_or(1);
    let at = if at == x.shape.len() as i64 { x.shape.len() } else { axis(at, x.shape.len())? };
    let sides = [&x.shape[..at], &x.shape[at..]].map(|axes| usize::try_from(elements(axes)).unwrap_or(usize::MAX));
    Ok(into_shape(x, sides.to_vec()))
}

fn squeeze(call: &Call) -> Ruled {
    call.allow(&["axes"])?;
    let x = call.fact(0)?;
    let gone = match call.ints("axes", 1)? {
        Some(list) => axes(&list, x.shape.len())?,
        None => (0..x.shape.len()).filter(|&at| x.shape[at] == 1).collect(),
    };
    if gone.iter().any(|&at| x.shape[at] != 1) {
        return Err(format!("expected axes of length 1, found {gone:?} of {:?}", x.shape));
    }
    let shape = (0..x.shape.len()).filter(|at| !gone.contains(at)).map(|at| x.shape[at]).collect();
    Ok(into_shape(x, shape))
}

fn unsqueeze(call: &Call) -> Ruled {
    call.allow(&["axes"])?;
    let x = call.fact(0)?;
    let list = call.ints("axes", 1)?.ok_or("expected axes, found none")?;
    let rank = x.shape.len() + list.len();
    let new = axes(&list, rank)?;
    let mut old = x.shape.iter();
    let shape = (0..rank).map(|at| if new.contains(&at) { 1 } else { old.next().copied().unwrap_or(1) });
    Ok(into_shape(x, shape.collect()))
}

fn transpose(call: &Call) -> Ruled {
    call.allow(&["perm"])?;
    let x = call.fact(0)?;
    let rank = x.shape.len();
    let order = match call.node.ints("perm") {
        Some(list) if list.len() == rank => axes(list, rank)?,
        Some(list) => return Err(format!("expected an order of {rank} axes, found {}", list.len())),
        None => (0..rank).rev().collect(),
    };
    let mut output = Fact::new(order.iter().map(|&at| x.shape[at]).collect(), x.kind);
    // One axis has one order.
    output.known = x.known.clone().filter(|_| rank <= 1);
    let order = order.iter().map(|&at| at as i64).collect();
    Ok(Step::new("Transpose", vec![Operand::Input(0)], output).with("perm", Setting::Ints(order)))
}

fn concat(call: &Call) -> Ruled {
    call.allow(&["axis"])?;
    let first = call.fact(0)?;
    let at = axis(call.node.int("axis").unwrap_or(1), first.shape.len())?;
    let mut shape = first.shape.clone();
    let mut known = Some(Vec::new());
    shape[at] = 0;
    for place in 0..call.facts.len() {
        let fact = call.fact(place)?;
        let others_fit = fact.shape.len() == shape.len()
            && fact.shape.iter().zip(&first.shape).enumerate().all(|(axis, (own, first))| axis == at || own == first);
        if !others_fit || fact.kind != first.kind {
            return Err(format!("{:?} does not go behind {:?} along axis {at}", fact.shape, first.shape));
        }
        shape[at] = shape[at].saturating_add(fact.shape[at]);
        known = known.zip(fact.known.as_ref()).map(|(known, more): (Vec<f64>, _)| [&known[..], &more[..]].concat());
    }
    let known = known.filter(|known| shape.len() == 1 && known.len() <= KNOWN);
    let output = Fact { shape, kind: first.kind, known };
    Ok(Step::new("Concat", call.operands(), output).with("axis", Setting::Int(at as i64)))
}

fn split(call: &Call) -> Ruled {
    call.allow(&["axis", "split", "num_outputs"])?;
    let x = call.fact(0)?;
    let at = axis(call.node.int("axis").unwrap_or(0), x.shape.len())?;
    let (length, count) = (x.shape[at], call.node.outputs.len().max(1));
    let parts = match call.ints("split", 1)? {
        Some(parts) => parts.iter().map(|&part| usize::try_from(part).ok()).collect::<Option<Vec<_>>>(),
        None => {
            let part = length.div_ceil(count);
            Some((0..count).map(|at| part.min(length.saturating_sub(at * part))).collect())
        }
    };
    let parts = parts.filter(|parts| {
        parts.len() == count && parts.iter().try_fold(0usize, |sum, &part| sum.checked_add(part)) == Some(length)
    });
    let parts = parts.ok_or_else(|| format!("expected {count} parts of an axis of {length}"))?;
    let mut first = 0;
    let output = |&part: &usize| {
        let known = x.known.as_ref().filter(|_| x.shape.len() == 1).map(|known| known[first..first + part].to_vec());
        first += part;
        let mut shape = x.shape.clone();
        shape[at] = part;
        Fact { shape, kind: x.kind, known }
    };
    let outputs: Vec<Fact> = parts.iter().map(output).collect();
    let lengths = parts.iter().map(|&part| part as i64).collect();
    let step = Step::new("Split", vec![Operand::Input(0), Operand::Ints(lengths)], x.clone());
    Ok(Step { outputs, ..step.with("axis", Setting::Int(at as i64)) })
}

/// A shape that is given as numbers.
fn stated_shape(numbers: &[i64]) -> Result<Vec<usize>, String> {
    let shape: Option<Vec<usize>> = numbers.iter().map(|&n| usize::try_from(n).ok()).collect();
    shape.ok_or_else(|| format!("expected a shape, found {:?}", &numbers[..numbers.len().min(16)]))
}

fn expanded(x: &Fact, shape: Vec<usize>) -> Step {
    let known = if elements(&shape) <= KNOWN as u64 { spread(x, &shape) } else { None };
    let target = shape.iter().map(|&axis| axis as i64).collect();
    Step::new("Expand", vec![Operand::Input(0), Operand::Ints(target)], Fact { shape, kind: x.kind, known })
}

fn expand(call: &Call) -> Ruled {
    call.allow(&[])?;
    let x = call.fact(0)?;
    let target = stated_shape(&call.ints("shape", 1)?.ok_or("expected a shape, found none")?)?;
    Ok(expanded(x, broadcast(&[&x.shape, &target])?))
}

fn tile(call: &Call) -> Ruled {
    call.allow(&[])?;
    let x = call.fact(0)?;
    let times = stated_shape(&call.ints("repeats", 1)?.ok_or("expected repeats, found none")?)?;
    if times.len() != x.shape.len() {
        return Err(format!("expected repeats of {} axes, found {}", x.shape.len(), times.len()));
    }
    let shape = x.shape.iter().zip(&times).map(|(&axis, &times)| axis.saturating_mul(times)).collect();
    Ok(Step::new("Tile", call.operands(), Fact::new(shape, x.kind)))
}

fn constant_of_shape(call: &Call) -> Ruled {
    call.allow(&["value"])?;
    let shape = stated_shape(&call.ints("shape", 0)?.ok_or("expected a shape, found none")?)?;
    let value = match call.node.tensor("value") {
        None => Fact { shape: vec![1], kind: Kind::Real, known: Some(vec![0.0]) },
        Some(tensor) if tensor.len() == 1 => Fact::of(tensor)?,
        Some(tensor) => return Err(format!("expected one number, found {:?}", tensor.shape())),
    };
    let number = value.known.as_ref().and_then(|known| known.first().copied()).unwrap_or_default();
    let step = expanded(&value.reshaped(Vec::new()), shape);
    let number = match value.kind {
        Kind::Real => Operand::Scalar(number as f32),
        Kind::Whole => Operand::Ints(vec![number as i64]),
    };
    let inputs = std::iter::once(number).chain(step.inputs.into_iter().skip(1)).collect();
    Ok(Step { inputs, ..step })
}

fn range(call: &Call) -> Ruled {
    call.allow(&[])?;
    let number = |at: usize| match call.fact(at)?.known.as_deref() {
        Some(&[number]) => Ok(number),
        _ => Err(format!("the number at place {at} depends on the picture")),
    };
    let (start, limit, step) = (number(0)?, number(1)?, number(2)?);
    let count = ((limit - start) / step).ceil().max(0.0);
    if count.is_nan() || count > KNOWN as f64 {
        return Err(format!("expected at most {KNOWN} numbers from {start} to {limit}"));
    }
    let numbers: Vec<f64> = (0..count as usize).map(|at| start + at as f64 * step).collect();
    Ok(Step::identity(Fact { shape: vec![numbers.len()], kind: call.fact(0)?.kind, known: Some(numbers) }))
}
