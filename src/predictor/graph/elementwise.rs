//! Operators that work number by number.

use super::facts::{Call, Fact, KNOWN, Kind, Operand, Ruled, Setting, Step, broadcast};

pub(super) fn rule(call: &Call) -> Option<Ruled> {
    Some(match call.node.operator.as_str() {
        "Identity" => unary(call, "Identity", &[], Some(|x| x)),
        "Dropout" => dropout(call),
        "Abs" => unary(call, "Abs", &[], Some(f64::abs)),
        "Neg" => unary(call, "Neg", &[], Some(|x| -x)),
        "Floor" => unary(call, "Floor", &[], Some(f64::floor)),
        "Ceil" => unary(call, "Ceil", &[], Some(f64::ceil)),
        "Round" => unary(call, "Round", &[], Some(f64::round_ties_even)),
        "Sqrt" => unary(call, "Sqrt", &[], Some(f64::sqrt)),
        "Sign" => unary(call, "Sign", &[], None),
        "Reciprocal" => unary(call, "Reciprocal", &[], None),
        "Exp" => unary(call, "Exp", &[], None),
        "Log" => unary(call, "Log", &[], None),
        "Sin" => unary(call, "Sin", &[], None),
        "Cos" => unary(call, "Cos", &[], None),
        "Erf" => unary(call, "Erf", &[], None),
        "Relu" => unary(call, "Relu", &[], None),
        "Sigmoid" => unary(call, "Sigmoid", &[], None),
        "Tanh" => unary(call, "Tanh", &[], None),
        "Softplus" => unary(call, "Softplus", &[], None),
        "Softsign" => unary(call, "Softsign", &[], None),
        "HardSwish" => unary(call, "HardSwish", &[], None),
        "HardSigmoid" => unary(call, "HardSigmoid", &[("alpha", 0.2), ("beta", 0.5)], None),
        "LeakyRelu" => unary(call, "LeakyRelu", &[("alpha", 0.01)], None),
        "Elu" => unary(call, "Elu", &[("alpha", 1.0)], None),
        "Gelu" => gelu(call),
        "PRelu" => prelu(call),
        "Clip" => clip(call),
        "Cast" => cast(call),
        "Add" => several(call, "Add", Kind::of_inputs, Some(|a, b| a + b)),
        "Sub" => several(call, "Sub", Kind::of_inputs, Some(|a, b| a - b)),
        "Mul" => several(call, "Mul", Kind::of_inputs, Some(|a, b| a * b)),
        "Div" => several(call, "Div", Kind::of_inputs, Some(|a, b| a / b)),
        "Min" => several(call, "Min", Kind::of_inputs, Some(f64::min)),
        "Max" => several(call, "Max", Kind::of_inputs, Some(f64::max)),
        "Sum" => several(call, "Sum", Kind::of_inputs, None),
        "Mean" => several(call, "Mean", Kind::of_inputs, None),
        "Pow" => pow(call),
        "Equal" => several(call, "Equal", Kind::truth, Some(|a, b| f64::from(a == b))),
        "Greater" => several(call, "Greater", Kind::truth, None),
        "GreaterOrEqual" => several(call, "GreaterOrEqual", Kind::truth, None),
        "Less" => several(call, "Less", Kind::truth, None),
        "LessOrEqual" => several(call, "LessOrEqual", Kind::truth, None),
        "And" => several(call, "And", Kind::truth, None),
        "Or" => several(call, "Or", Kind::truth, None),
        "Not" => unary(call, "Not", &[], None),
        "Where" => choice(call),
        _ => return None,
    })
}

impl Kind {
    fn of_inputs(call: &Call) -> Kind {
        call.given(0).map_or(Kind::Real, |fact| fact.kind)
    }

    fn truth(_: &Call) -> Kind {
        Kind::Whole
    }
}

/// `fold`: what it does to a number that is known.
fn unary(call: &Call, operator: &'static str, floats: &[(&'static str, f32)], fold: Option<fn(f64) -> f64>) -> Ruled {
    let names: Vec<&str> = floats.iter().map(|(name, _)| *name).collect();
    call.allow(&names)?;
    call.one_output()?;
    let fact = call.fact(0)?;
    let known = fact.known.as_ref().zip(fold).map(|(known, fold)| known.iter().map(|&x| fold(x)).collect());
    let step = Step::new(operator, vec![Operand::Input(0)], Fact { known, ..fact.clone() });
    Ok(floats
        .iter()
        .fold(step, |step, &(name, default)| step.with(name, Setting::Float(call.node.float(name).unwrap_or(default)))))
}

/// Nothing is left out after the training.
fn dropout(call: &Call) -> Ruled {
    call.allow(&["ratio", "seed", "is_test"])?;
    call.one_output()?;
    if call.given(2).is_some_and(|training| training.known.as_deref() != Some(&[0.0])) {
        return Err("it is one of a training".into());
    }
    Ok(Step::identity(call.fact(0)?.clone()))
}

fn gelu(call: &Call) -> Ruled {
    call.allow(&["approximate"])?;
    let approximate = match call.node.text("approximate") {
        None | Some("none") => "none",
        Some("tanh") => "tanh",
        Some(other) => return Err(format!("the approximation {other:.40} is not known")),
    };
    let output = Fact::real(call.real(0)?.shape.clone());
    Ok(Step::new("Gelu", vec![Operand::Input(0)], output).with("approximate", Setting::Text(approximate)))
}

fn prelu(call: &Call) -> Ruled {
    call.allow(&[])?;
    let (x, slope) = (call.real(0)?, call.real(1)?);
    match broadcast(&[&x.shape, &slope.shape])? == x.shape {
        true => Ok(Step::new("PRelu", call.operands(), Fact::real(x.shape.clone()))),
        false => Err(format!("expected slopes for {:?}, found {:?}", x.shape, slope.shape)),
    }
}

fn clip(call: &Call) -> Ruled {
    call.allow(&["min", "max"])?;
    let x = call.fact(0)?;
    let mut inputs = vec![Operand::Input(0)];
    for (at, name) in [(1, "min"), (2, "max")] {
        inputs.push(match (call.node.float(name), call.given(at)) {
            (Some(setting), _) => Operand::Scalar(setting),
            (None, Some(fact)) if fact.len() == 1 && fact.kind == x.kind => Operand::Input(at),
            (None, Some(fact)) => return Err(format!("expected one number as its {name}, found {:?}", fact.shape)),
            (None, None) => Operand::Omitted,
        });
    }
    Ok(Step::new("Clip", inputs, Fact::new(x.shape.clone(), x.kind)))
}

/// The types of ONNX that are real numbers here, and those that are whole ones.
fn cast(call: &Call) -> Ruled {
    const FLOAT: i64 = 1;
    const INT32: i64 = 6;
    const BOOL: i64 = 9;
    call.allow(&["to", "saturate"])?;
    let x = call.fact(0)?;
    let to = call.node.int("to").ok_or("expected a type to cast to, found none")?;
    let kind = match to {
        FLOAT | 10 | 11 | 16 => Kind::Real,
        2 | 3 | 5 | INT32 | 7 | BOOL | 12 | 13 => Kind::Whole,
        other => return Err(format!("type {other} is not known")),
    };
    let known = x.known.as_ref().map(|known| match (kind, to) {
        (Kind::Real, _) => known.clone(),
        (_, BOOL) => known.iter().map(|&x| f64::from(x != 0.0)).collect(),
        _ => known.iter().map(|x| x.trunc()).collect(),
    });
    if known.is_none() && to == BOOL && x.kind == Kind::Real {
        return Err("truth values of real numbers are not made".into());
    }
    let target = if kind == Kind::Real { FLOAT } else { INT32 };
    let step = Step::new("Cast", vec![Operand::Input(0)], Fact { shape: x.shape.clone(), kind, known });
    Ok(step.with("to", Setting::Int(target)))
}

/// Any number of values side by side.
fn several(
    call: &Call,
    operator: &'static str,
    kind: impl Fn(&Call) -> Kind,
    fold: Option<fn(f64, f64) -> f64>,
) -> Ruled {
    call.allow(&[])?;
    let facts: Vec<&Fact> = (0..call.facts.len()).map(|at| call.fact(at)).collect::<Result<_, _>>()?;
    let first = call.fact(0)?;
    if facts.iter().any(|fact| fact.kind != first.kind) {
        return Err("real and whole numbers in one operation".into());
    }
    let shapes: Vec<&[usize]> = facts.iter().map(|fact| fact.shape.as_slice()).collect();
    let mut output = Fact::new(broadcast(&shapes)?, kind(call));
    if let Some(fold) = fold
        && output.len() <= KNOWN as u64
    {
        let values = facts.iter().map(|fact| spread(fact, &output.shape)).collect::<Option<Vec<_>>>();
        output.known = values.and_then(|values| values.into_iter().reduce(|a, b| combined(&a, &b, fold)));
        if first.kind == Kind::Whole {
            // Quotients of whole numbers have no fraction; those by zero are not known.
            output.known = output.known.take().map(|known| known.into_iter().map(f64::trunc).collect());
            output.known = output.known.take().filter(|known: &Vec<f64>| known.iter().all(|x| x.is_finite()));
        }
    }
    let many = facts.len().max(1) as u64;
    let work = output.len().saturating_mul(many);
    Ok(Step::new(operator, call.operands(), output).working(work))
}

fn combined(a: &[f64], b: &[f64], fold: fn(f64, f64) -> f64) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| fold(*a, *b)).collect()
}

/// Known numbers in a larger shape that theirs fits.
pub(super) fn spread(fact: &Fact, shape: &[usize]) -> Option<Vec<f64>> {
    let known = fact.known.as_ref()?;
    let missing = shape.len().checked_sub(fact.shape.len())?;
    let count = shape.iter().product();
    let place = |at: usize| {
        let (mut rest, mut place, mut step) = (at, 0, 1);
        for axis in (0..shape.len()).rev() {
            let index = rest % shape[axis];
            rest /= shape[axis];
            let Some(own) = axis.checked_sub(missing) else { continue };
            place += if fact.shape[own] == 1 { 0 } else { index * step };
            step *= fact.shape[own];
        }
        known.get(place).copied()
    };
    (0..count).map(place).collect()
}

/// The exponent may be a whole number where the base is a real one.
fn pow(call: &Call) -> Ruled {
    call.allow(&[])?;
    let (base, exponent) = (call.real(0)?, call.fact(1)?);
    let output = Fact::real(broadcast(&[&base.shape, &exponent.shape])?);
    let exponent = match (exponent.kind, exponent.known.as_deref()) {
        (_, Some(&[number])) => Operand::Scalar(number as f32),
        (Kind::Real, _) => Operand::Input(1),
        (Kind::Whole, _) => return Err("a whole exponent that is computed".into()),
    };
    // Powers take as long as a dozen multiplications.
    let work = 12 * output.len().min(u64::MAX / 12);
    Ok(Step::new("Pow", vec![Operand::Input(0), exponent], output).working(work))
}

fn choice(call: &Call) -> Ruled {
    call.allow(&[])?;
    let (truth, a, b) = (call.fact(0)?, call.fact(1)?, call.fact(2)?);
    if truth.kind != Kind::Whole || a.kind != b.kind {
        return Err("expected truth values and two values of one kind".into());
    }
    let mut output = Fact::new(broadcast(&[&truth.shape, &a.shape, &b.shape])?, a.kind);
    if output.len() <= KNOWN as u64 {
        let [truth, a, b] = [truth, a, b].map(|fact| spread(fact, &output.shape));
        let all = truth.zip(a).zip(b);
        output.known = all.map(|((truth, a), b)| {
            truth.iter().zip(a.iter().zip(&b)).map(|(truth, (a, b))| if *truth != 0.0 { *a } else { *b }).collect()
        });
    }
    Ok(Step::new("Where", call.operands(), output))
}
