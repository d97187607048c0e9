//! Products of matrices, sums over axes, and what sets numbers to a norm.

use super::facts::{Call, Fact, Kind, Operand, Ruled, Setting, Step, axes, axis, broadcast, elements};

pub(super) fn rule(call: &Call) -> Option<Ruled> {
    Some(match call.node.operator.as_str() {
        "MatMul" => matmul(call),
        "Gemm" => gemm(call),
        "ReduceMean" => reduce(call, "ReduceMean"),
        "ReduceSum" => reduce(call, "ReduceSum"),
        "ReduceMax" => reduce(call, "ReduceMax"),
        "ReduceMin" => reduce(call, "ReduceMin"),
        "ReduceL2" => reduce(call, "ReduceL2"),
        "ReduceSumSquare" => reduce(call, "ReduceSumSquare"),
        "ReduceProd" => reduce(call, "ReduceProd"),
        "ArgMax" => arg_max(call),
        "Softmax" => softmax(call, "Softmax"),
        "LogSoftmax" => softmax(call, "LogSoftmax"),
        "LpNormalization" => lp_normalization(call),
        "BatchNormalization" => batch_normalization(call),
        "InstanceNormalization" => instance_normalization(call),
        "LayerNormalization" => layer_normalization(call),
        _ => return None,
    })
}

fn matmul(call: &Call) -> Ruled {
    call.allow(&[])?;
    let (a, b) = (call.real(0)?, call.real(1)?);
    let misfit = || format!("matrices that do not fit each other: {:?}, {:?}", a.shape, b.shape);
    // A vector is a row on the left and a column on the right.
    let (rows, inner) = match a.shape[..] {
        [] => return Err(misfit()),
        [inner] => (None, inner),
        [.., rows, inner] => (Some(rows), inner),
    };
    let (own, columns) = match b.shape[..] {
        [] => return Err(misfit()),
        [inner] => (inner, None),
        [.., inner, columns] => (inner, Some(columns)),
    };
    if inner != own {
        return Err(misfit());
    }
    let outer = |shape: &[usize]| shape[..shape.len().saturating_sub(2)].to_vec();
    let mut shape = broadcast(&[&outer(&a.shape), &outer(&b.shape)])?;
    shape.extend(rows.into_iter().chain(columns));
    let output = Fact::real(shape);
    let work = output.len().saturating_mul(inner as u64);
    Ok(Step::new("MatMul", call.operands(), output).working(work))
}

fn gemm(call: &Call) -> Ruled {
    call.allow(&["alpha", "beta", "transA", "transB"])?;
    let (a, b) = (call.real(0)?, call.real(1)?);
    let (&[a0, a1], &[b0, b1]) = (&a.shape[..], &b.shape[..]) else {
        return Err(format!("expected two matrices, found {:?}, {:?}", a.shape, b.shape));
    };
    let turned = ["transA", "transB"].map(|name| call.flag(name, false));
    let (rows, inner) = if turned[0] { (a1, a0) } else { (a0, a1) };
    let (own, columns) = if turned[1] { (b1, b0) } else { (b0, b1) };
    if inner != own {
        return Err(format!("matrices that do not fit each other: {:?}, {:?}", a.shape, b.shape));
    }
    let output = Fact::real(vec![rows, columns]);
    if let Some(bias) = call.given(2)
        && broadcast(&[&bias.shape, &output.shape])? != output.shape
    {
        return Err(format!("expected biases for {:?}, found {:?}", output.shape, bias.shape));
    }
    let work = output.len().saturating_mul(inner as u64);
    let float = |name| Setting::Float(call.node.float(name).unwrap_or(1.0));
    let [a, b] = turned.map(|turned| Setting::Int(turned.into()));
    Ok(Step::new("Gemm", call.operands(), output)
        .with("alpha", float("alpha"))
        .with("beta", float("beta"))
        .with("transA", a)
        .with("transB", b)
        .working(work))
}

fn reduce(call: &Call, operator: &'static str) -> Ruled {
    call.allow(&["axes", "keepdims", "noop_with_empty_axes"])?;
    let x = call.fact(0)?;
    let rank = x.shape.len();
    let listed = call.ints("axes", 1)?.unwrap_or_default();
    if listed.is_empty() && call.flag("noop_with_empty_axes", false) {
        return match operator {
            "ReduceL2" | "ReduceSumSquare" => Err("it changes nothing but each number by itself".into()),
            _ => Ok(Step::identity(x.clone())),
        };
    }
    let over = if listed.is_empty() { (0..rank).collect() } else { axes(&listed, rank)? };
    let keeps = call.flag("keepdims", true);
    let kept = |(axis, &length): (usize, &usize)| match (over.contains(&axis), keeps) {
        (false, _) => Some(length),
        (true, true) => Some(1),
        (true, false) => None,
    };
    let shape = x.shape.iter().enumerate().filter_map(kept).collect();
    let mut output = Fact::new(shape, x.kind);
    // Sizes are multiplied so.
    if let Some(known) = x.known.as_ref().filter(|_| over.len() == rank) {
        let all = match operator {
            "ReduceProd" => Some(known.iter().product()),
            "ReduceSum" => Some(known.iter().sum()),
            _ => None,
        };
        output.known = all.map(|all| vec![all]);
    }
    let listed = over.iter().map(|&axis| axis as i64).collect();
    Ok(Step::new(operator, vec![Operand::Input(0)], output)
        .with("axes", Setting::Ints(listed))
        .with("keepdims", Setting::Int(keeps.into()))
        .working(x.len()))
}

fn arg_max(call: &Call) -> Ruled {
    call.allow(&["axis", "keepdims", "select_last_index"])?;
    if call.flag("select_last_index", false) {
        return Err("the last of equals is not looked for".into());
    }
    let x = call.real(0)?;
    let at = axis(call.node.int("axis").unwrap_or(0), x.shape.len())?;
    let keeps = call.flag("keepdims", true);
    let mut shape = x.shape.clone();
    if keeps {
        shape[at] = 1;
    } else {
        shape.remove(at);
    }
    Ok(Step::new("ArgMax", vec![Operand::Input(0)], Fact::new(shape, Kind::Whole))
        .with("axis", Setting::Int(at as i64))
        .with("keepdims", Setting::Int(keeps.into()))
        .working(x.len()))
}

/// What an exponential or a norm costs for each number.
const PER_NORM: u64 = 8;

/// Up to version 12 over all axes from one on, since then over one.
fn softmax(call: &Call, operator: &'static str) -> Ruled {
    call.allow(&["axis"])?;
    let x = call.real(0)?;
    let default = if call.opset < 13 { 1 } else { -1 };
    let at = axis(call.node.int("axis").unwrap_or(default), x.shape.len())?;
    if call.opset < 13 && elements(&x.shape[at + 1..]) != 1 {
        return Err(format!("over several axes of {:?} at once (version {})", x.shape, call.opset));
    }
    Ok(Step::new(operator, vec![Operand::Input(0)], Fact::real(x.shape.clone()))
        .with("axis", Setting::Int(at as i64))
        .working(x.len().saturating_mul(PER_NORM)))
}

fn lp_normalization(call: &Call) -> Ruled {
    call.allow(&["axis", "p"])?;
    let x = call.real(0)?;
    let at = axis(call.node.int("axis").unwrap_or(-1), x.shape.len())?;
    let p = call.node.int("p").unwrap_or(2);
    if !(1..=2).contains(&p) {
        return Err(format!("expected a norm of 1 or 2, found {p}"));
    }
    Ok(Step::new("LpNormalization", vec![Operand::Input(0)], Fact::real(x.shape.clone()))
        .with("axis", Setting::Int(at as i64))
        .with("p", Setting::Int(p))
        .working(x.len().saturating_mul(PER_NORM)))
}

/// The channels of a map; `from` on, there is a number for each in every input.
fn channels_with<'a>(call: &'a Call, inputs: std::ops::Range<usize>) -> Result<&'a Fact, String> {
    let x = call.real(0)?;
    let channels = *x.shape.get(1).ok_or_else(|| format!("expected a map, found {:?}", x.shape))?;
    for at in inputs {
        let fact = call.real(at)?;
        if fact.shape != [channels] {
            return Err(format!("expected {channels} numbers at place {at}, found {:?}", fact.shape));
        }
    }
    Ok(x)
}

fn epsilon(call: &Call) -> Setting {
    Setting::Float(call.node.float("epsilon").unwrap_or(1e-5))
}

fn batch_normalization(call: &Call) -> Ruled {
    call.allow(&["epsilon", "momentum", "training_mode", "spatial", "is_test"])?;
    let x = channels_with(call, 1..5)?;
    if call.flag("training_mode", false) || !call.flag("spatial", true) {
        return Err("it is one of a training, or not the same for all pixels".into());
    }
    call.one_output()?;
    Ok(Step::new("BatchNormalization", call.operands(), Fact::real(x.shape.clone())).with("epsilon", epsilon(call)))
}

fn instance_normalization(call: &Call) -> Ruled {
    call.allow(&["epsilon"])?;
    let x = channels_with(call, 1..3)?;
    if x.shape.len() < 3 {
        return Err(format!("expected a map, found {:?}", x.shape));
    }
    Ok(Step::new("InstanceNormalization", call.operands(), Fact::real(x.shape.clone()))
        .with("epsilon", epsilon(call))
        .working(x.len().saturating_mul(PER_NORM)))
}

fn layer_normalization(call: &Call) -> Ruled {
    call.allow(&["axis", "epsilon", "stash_type"])?;
    call.one_output()?;
    let x = call.real(0)?;
    let at = axis(call.node.int("axis").unwrap_or(-1), x.shape.len())?;
    for place in 1..3 {
        match call.given(place) {
            Some(fact) if fact.shape != x.shape[at..] => {
                return Err(format!("expected {:?} at place {place}, found {:?}", &x.shape[at..], fact.shape));
            }
            None if place == 1 => return Err("expected factors, found none".into()),
            _ => {}
        }
    }
    Ok(Step::new("LayerNormalization", call.operands(), Fact::real(x.shape.clone()))
        .with("axis", Setting::Int(at as i64))
        .with("epsilon", epsilon(call))
        .working(x.len().saturating_mul(PER_NORM)))
}
