//! Operators that take parts of a value, pad it, or change the size of a map.

use super::facts::{Call, Fact, KNOWN, Operand, Ruled, Setting, Step, axes, axis};

pub(super) fn rule(call: &Call) -> Option<Ruled> {
    Some(match call.node.operator.as_str() {
        "Slice" => slice(call),
        "Gather" => gather(call),
        "Pad" => pad(call),
        "Resize" => resize(call),
        "Upsample" => upsample(call),
        "DepthToSpace" => depth_to_space(call),
        _ => return None,
    })
}

/// The first place that a slice takes of an axis, and how many it takes.
fn taken(length: usize, start: i64, end: i64, step: i64) -> (i64, usize) {
    let length = length as i64;
    let from_end = |at: i64| if at < 0 { at.saturating_add(length) } else { at };
    let [start, end] = [start, end].map(from_end);
    let (start, way) = match step > 0 {
        true => (start.clamp(0, length), end.clamp(0, length) - start.clamp(0, length)),
        false => (start.clamp(-1, length - 1), start.clamp(-1, length - 1) - end.clamp(-1, length - 1)),
    };
    (start, way.max(0).unsigned_abs().div_ceil(step.unsigned_abs()) as usize)
}

fn slice(call: &Call) -> Ruled {
    call.allow(&["starts", "ends", "axes"])?;
    let x = call.fact(0)?;
    let missing = |what: &str| format!("expected {what}, found none");
    let starts = call.ints("starts", 1)?.ok_or_else(|| missing("starts"))?;
    let ends = call.ints("ends", 2)?.ok_or_else(|| missing("ends"))?;
    let over = match call.ints("axes", 3)? {
        Some(list) => axes(&list, x.shape.len())?,
        None => (0..starts.len()).collect(),
    };
    let steps = call.ints("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    let counts = [starts.len(), ends.len(), over.len(), steps.len()];
    if counts.iter().any(|&count| count != counts[0]) || counts[0] > x.shape.len() || steps.contains(&0) {
        return Err(format!("expected as many starts, ends, axes and steps, none of them 0, found {counts:?}"));
    }
    let mut output = Fact::new(x.shape.clone(), x.kind);
    for (place, &at) in over.iter().enumerate() {
        output.shape[at] = taken(x.shape[at], starts[place], ends[place], steps[place]).1;
    }
    if let ([length], [_], Some(known)) = (&x.shape[..], &over[..], &x.known) {
        let (first, count) = taken(*length, starts[0], ends[0], steps[0]);
        let place = |at: usize| usize::try_from(first + at as i64 * steps[0]).ok();
        output.known = (0..count).map(|at| known.get(place(at)?).copied()).collect();
    }
    // As 32-bit numbers they are written.
    let ints = |list: &[i64]| Operand::Ints(list.iter().map(|&n| n.clamp(i32::MIN.into(), i32::MAX.into())).collect());
    let over: Vec<i64> = over.iter().map(|&at| at as i64).collect();
    let inputs = vec![Operand::Input(0), ints(&starts), ints(&ends), ints(&over), ints(&steps)];
    Ok(Step::new("Slice", inputs, output))
}

fn gather(call: &Call) -> Ruled {
    call.allow(&["axis"])?;
    let (x, places) = (call.fact(0)?, call.fact(1)?);
    let at = axis(call.node.int("axis").unwrap_or(0), x.shape.len())?;
    let length = x.shape[at] as i64;
    let known = places.ints();
    if let Some(wrong) = known.iter().flatten().find(|&&place| !(-length..length).contains(&place)) {
        return Err(format!("expected places of {length}, found {wrong}"));
    }
    let shape = [&x.shape[..at], &places.shape[..], &x.shape[at + 1..]].concat();
    let mut output = Fact::new(shape, x.kind);
    if let (1, Some(known), Some(places)) = (x.shape.len(), &x.known, &known)
        && places.len() <= KNOWN
    {
        let number = |place: &i64| known.get(usize::try_from(place.rem_euclid(length)).ok()?).copied();
        output.known = places.iter().map(number).collect();
    }
    Ok(Step::new("Gather", call.operands(), output).with("axis", Setting::Int(at as i64)))
}

fn pad(call: &Call) -> Ruled {
    call.allow(&["mode", "pads", "value"])?;
    let x = call.real(0)?;
    let mode = match call.node.text("mode") {
        None | Some("constant") => "constant",
        Some("reflect") => "reflect",
        Some("edge") => "edge",
        Some(other) => return Err(format!("the mode {other:.40} is not known")),
    };
    if call.given(3).is_some() {
        return Err("pads of some axes only are not known".into());
    }
    let rank = x.shape.len();
    let pads = call.ints("pads", 1)?.ok_or("expected pads, found none")?;
    if pads.len() != 2 * rank {
        return Err(format!("expected {} pads, found {}", 2 * rank, pads.len()));
    }
    let side = |at: usize| {
        let both = [pads[at], pads[rank + at]].map(|pad| usize::try_from(pad).ok());
        let [before, behind] = [both[0]?, both[1]?];
        let fits = mode == "constant" || mode == "edge" || before.max(behind) < x.shape[at];
        x.shape[at].checked_add(before)?.checked_add(behind).filter(|_| fits)
    };
    let shape: Option<Vec<usize>> = (0..rank).map(side).collect();
    let shape = shape.ok_or_else(|| format!("pads {pads:?} of {:?} are not made ({mode})", x.shape))?;
    let value = match (call.node.float("value"), call.given(2)) {
        (Some(value), _) => Operand::Scalar(value),
        (None, Some(fact)) if fact.len() == 1 => Operand::Input(2),
        (None, Some(fact)) => return Err(format!("expected one number to pad with, found {:?}", fact.shape)),
        (None, None) => Operand::Scalar(0.0),
    };
    let inputs = vec![Operand::Input(0), Operand::Ints(pads), value];
    Ok(Step::new("Pad", inputs, Fact::real(shape)).with("mode", Setting::Text(mode)))
}

/// One of several words; the first if nothing is said.
fn word(call: &Call, name: &'static str, words: &[&'static str]) -> Result<&'static str, String> {
    let Some(said) = call.node.text(name) else { return Ok(words[0]) };
    words.iter().find(|word| **word == said).copied().ok_or_else(|| format!("{name} {said:.40} is not known"))
}

fn resize(call: &Call) -> Ruled {
    let names = [
        "mode",
        "coordinate_transformation_mode",
        "nearest_mode",
        "cubic_coeff_a",
        "exclude_outside",
        "extrapolation_value",
        "antialias",
        "keep_aspect_ratio_policy",
    ];
    call.allow(&names)?;
    let stretches = matches!(call.node.text("keep_aspect_ratio_policy"), None | Some("stretch"));
    if call.flag("antialias", false) || call.flag("exclude_outside", false) || !stretches {
        return Err("antialias, exclude_outside and keep_aspect_ratio_policy are not known".into());
    }
    let mode = word(call, "mode", &["nearest", "linear"])?;
    if call.opset < 11 {
        return scaled(call, mode, 1);
    }
    let coordinates = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"];
    let coordinates = word(call, "coordinate_transformation_mode", &coordinates)?;
    let nearest = word(call, "nearest_mode", &["round_prefer_floor", "floor", "ceil", "round_prefer_ceil"])?;
    let x = call.real(0)?;
    let is_listed = |at: usize| call.given(at).is_some_and(|fact| fact.len() > 0);
    let (target, sides) = match (is_listed(2), is_listed(3)) {
        (_, true) => {
            let sizes = call.ints("sizes", 3)?.unwrap_or_default();
            let sides: Option<Vec<usize>> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
            (vec![Operand::Omitted, Operand::Ints(sizes)], sides.unwrap_or_default())
        }
        (true, false) => {
            let scales = scales(call, 2)?;
            let sides = scaled_sides(&x.shape, &scales);
            (vec![Operand::Floats(scales), Operand::Omitted], sides)
        }
        (false, false) => return Err("expected scales or sizes, found none".into()),
    };
    let inputs = [vec![Operand::Input(0), Operand::Omitted], target].concat();
    let output = check_sides(x, sides)?;
    Ok(Step::new("Resize", inputs, output)
        .with("mode", Setting::Text(mode))
        .with("coordinate_transformation_mode", Setting::Text(coordinates))
        .with("nearest_mode", Setting::Text(nearest)))
}

/// Before version 11, pixels lay at their upper left corner.
fn scaled(call: &Call, mode: &'static str, at: usize) -> Ruled {
    let x = call.real(0)?;
    let scales = match call.node.floats("scales") {
        Some(scales) => scales.to_vec(),
        None => scales(call, at)?,
    };
    let output = check_sides(x, scaled_sides(&x.shape, &scales))?;
    let inputs = vec![Operand::Input(0), Operand::Omitted, Operand::Floats(scales), Operand::Omitted];
    Ok(Step::new("Resize", inputs, output)
        .with("mode", Setting::Text(mode))
        .with("coordinate_transformation_mode", Setting::Text("asymmetric"))
        .with("nearest_mode", Setting::Text("floor")))
}

fn upsample(call: &Call) -> Ruled {
    call.allow(&["mode", "scales"])?;
    let mode = word(call, "mode", &["nearest", "linear"])?;
    scaled(call, mode, 1)
}

fn scales(call: &Call, at: usize) -> Result<Vec<f32>, String> {
    let known = call.fact(at)?.known.as_ref().ok_or("its scales depend on the picture")?;
    Ok(known.iter().map(|&scale| scale as f32).collect())
}

fn scaled_sides(shape: &[usize], scales: &[f32]) -> Vec<usize> {
    // `as` saturates, and what is no number becomes 0.
    shape.iter().zip(scales).map(|(&side, &scale)| (side as f32 * scale).floor() as usize).collect()
}

/// The sides of a map become others; its other axes stay.
fn check_sides(x: &Fact, shape: Vec<usize>) -> Result<Fact, String> {
    let is_map = x.shape.len() == 4 && shape.len() == 4 && shape[..2] == x.shape[..2];
    match is_map && shape.iter().all(|&side| side > 0) {
        true => Ok(Fact::real(shape)),
        false => Err(format!("expected another size for the sides of a map, found {shape:?} for {:?}", x.shape)),
    }
}

fn depth_to_space(call: &Call) -> Ruled {
    call.allow(&["blocksize", "mode"])?;
    let x = call.real(0)?;
    let mode = word(call, "mode", &["DCR", "CRD"])?;
    let block = call.node.int("blocksize").and_then(|block| usize::try_from(block).ok()).unwrap_or(0);
    let (&[samples, channels, height, width], 1..=64) = (&x.shape[..], block) else {
        return Err(format!("expected a map and blocks of 1 to 64, found {:?}, {block}", x.shape));
    };
    if !channels.is_multiple_of(block * block) {
        return Err(format!("expected channels for blocks of {block}, found {channels}"));
    }
    let shape = vec![samples, channels / (block * block), height * block, width * block];
    Ok(Step::new("DepthToSpace", vec![Operand::Input(0)], Fact::real(shape))
        .with("mode", Setting::Text(mode))
        .with("blocksize", Setting::Int(block as i64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_take_what_python_takes() {
        assert_eq!(taken(10, 2, 7, 2), (2, 3));
        assert_eq!(taken(10, -3, i64::MAX, 1), (7, 3));
        assert_eq!(taken(10, -1, i64::MIN, -1), (9, 10));
        assert_eq!(taken(10, 8, 2, -4), (8, 2));
        assert_eq!((taken(10, 5, 5, 1).1, taken(10, 7, 2, 1).1, taken(0, 0, 9, 1).1), (0, 0, 0));
        assert_eq!(taken(3, i64::MIN, i64::MAX, i64::MAX), (0, 1));
    }
}
