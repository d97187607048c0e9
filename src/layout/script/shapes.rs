//! Operators that change the shape of values and no number: resizing, padding, views.

use super::super::flow::{Axis, Flow, Flowing, unknown};
use super::arguments::Arguments;
use super::run::Value;
use crate::recipe::{Padding, Resizing, Size};

/// `at`: size, factors, align_corners.
pub(super) fn resize(flow: Flow, arguments: &Arguments<'_>, at: [usize; 3], mode: &str) -> Flowing<Flow> {
    let method = match mode {
        "nearest" => Resizing::Nearest,
        "bilinear" => Resizing::Bilinear { align_corners: arguments.flag(at[2], "align_corners") },
        other => return unknown(format!("{} with {other:.40}", arguments.operator)),
    };
    let pair = |numbers: Vec<f64>| match numbers[..] {
        [one] => Some([one; 2]),
        [y, x] => Some([y, x]),
        _ => None,
    };
    let size = arguments.numbers(at[0], "size").and_then(pair);
    let factors = arguments.numbers(at[1], "scale_factor").and_then(pair);
    match (size, factors) {
        (Some(_), _) => flow.resize(Size::To(arguments.pair(at[0], "size", 0)?), method),
        (None, Some(factors)) => flow.resize(Size::Times(factors), method),
        (None, None) => unknown(format!("{} to a size that is not stated", arguments.operator)),
    }
}

pub(super) fn pad(flow: Flow, arguments: &Arguments<'_>) -> Flowing<Flow> {
    let mode = match (arguments.operator, arguments.text(2, "mode")) {
        ("reflection_pad2d", _) | ("pad", Some("reflect")) => Padding::Reflect,
        ("replication_pad2d", _) | ("pad", Some("replicate")) => Padding::Replicate,
        ("pad", Some("circular")) => Padding::Circular,
        ("pad", Some("constant") | None) if arguments.number(3, "value", 0.0)? == 0.0 => Padding::Zeros,
        ("constant_pad_nd", _) if arguments.number(2, "value", 0.0)? == 0.0 => Padding::Zeros,
        _ => return unknown(format!("{} with other numbers than zeros", arguments.operator)),
    };
    let sides: Vec<i32> = arguments.numbers(1, "pad").unwrap_or_default().iter().map(|&side| side as i32).collect();
    match sides[..] {
        [left, right, top, bottom] => flow.pad([top, bottom, left, right], mode),
        [left, right] => flow.pad([0, 0, left, right], mode),
        _ => unknown(format!("{} of other axes than height and width", arguments.operator)),
    }
}

/// Operators that only change shapes.
pub(super) fn reshape(flow: Flow, arguments: &Arguments<'_>) -> Flowing<Flow> {
    let own = || std::iter::once(Axis::Batch).chain(flow.shape().iter().map(|&size| Axis::Size(size)));
    let mut shape: Vec<Axis> = own().collect();
    let rank = shape.len();
    let place = |at: i64, rank: usize| {
        let at = if at < 0 { at + rank as i64 } else { at };
        usize::try_from(at).ok().filter(|&at| at < rank)
    };
    let cannot = || format!("{} of values of shape {:?}", arguments.operator, flow.shape());
    match arguments.operator {
        "view" | "reshape" | "_unsafe_view" => match list(arguments.values.get(1)) {
            Some(axes) => flow.reshape(&axes),
            None => unknown(cannot()),
        },
        "flatten" => {
            let (Some(start), Some(end)) =
                (place(arguments.whole(1, "start_dim", 0)?, rank), place(arguments.whole(2, "end_dim", -1)?, rank))
            else {
                return unknown(cannot());
            };
            if start == 0 || end < start {
                return unknown(cannot());
            }
            shape.splice(start..=end, [Axis::Rest]);
            flow.reshape(&shape)
        }
        "unflatten" => {
            let (Some(at), Some(into)) = (place(arguments.whole(1, "dim", 0)?, rank), list(arguments.get(2, "sizes")))
            else {
                return unknown(cannot());
            };
            shape.splice(at..=at, into);
            flow.reshape(&shape)
        }
        "unsqueeze" => match place(arguments.whole(1, "dim", 0)?, rank + 1).filter(|&at| at > 0) {
            Some(at) => {
                shape.insert(at, Axis::Size(1));
                flow.reshape(&shape)
            }
            None => unknown(cannot()),
        },
        "squeeze" => {
            let only = arguments.get(1, "dim").and_then(|_| place(arguments.whole(1, "dim", 0).ok()?, rank));
            let mut at = 0;
            shape.retain(|axis| {
                at += 1;
                *axis != Axis::Size(1) || only.is_some_and(|only| only + 1 != at)
            });
            flow.reshape(&shape)
        }
        "permute" => {
            let order: Option<Vec<usize>> =
                arguments.numbers(1, "dims").map(|dims| dims.iter().filter_map(|&at| place(at as i64, rank)).collect());
            match order.as_deref().and_then(<[usize]>::split_first) {
                Some((0, rest)) if !rest.contains(&0) => {
                    let rest: Vec<usize> = rest.iter().map(|axis| axis - 1).collect();
                    flow.permute(&rest)
                }
                _ => unknown(cannot()),
            }
        }
        // The whole of an axis.
        "slice" if matches!(arguments.get(2, "start"), None | Some(Value::Int(0))) => {
            let whole = match arguments.get(3, "end") {
                None => true,
                Some(Value::Int(end)) => *end > 1 << 40,
                Some(_) => false,
            };
            if whole && arguments.whole(4, "step", 1)? == 1 { Ok(flow) } else { unknown(cannot()) }
        }
        other => unknown(format!("the operator {other:.80}")),
    }
}

/// Sizes, of which one may be open and one the batch's.
fn list(value: Option<&Value>) -> Option<Vec<Axis>> {
    let Some(Value::List(parts)) = value else { return None };
    let axis = |part: &Value| match part {
        Value::Batch => Some(Axis::Batch),
        Value::Int(-1) => Some(Axis::Rest),
        Value::Int(size) => usize::try_from(*size).ok().map(Axis::Size),
        _ => None,
    };
    parts.iter().map(axis).collect()
}
