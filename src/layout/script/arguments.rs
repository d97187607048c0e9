//! The arguments of one call, by place or by name.

use super::super::flow::{Flow, Flowing, unknown};
use super::run::Value;

/// The arguments of one call.
pub(super) struct Arguments<'a> {
    pub(super) operator: &'a str,
    pub(super) values: &'a [Value],
    pub(super) named: &'a [(String, Value)],
}

impl Arguments<'_> {
    pub(super) fn get(&self, at: usize, name: &str) -> Option<&Value> {
        let named = self.named.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        named.or_else(|| self.values.get(at)).filter(|value| !matches!(value, Value::None))
    }

    pub(super) fn flow(&self, at: usize) -> Flowing<Flow> {
        match self.values.get(at) {
            Some(Value::Flow(flow)) => Ok(flow.clone()),
            _ => unknown(format!("{} of something that does not depend on the code", self.operator)),
        }
    }

    pub(super) fn tensor(&self, at: usize, name: &str) -> Flowing<String> {
        match self.get(at, name) {
            Some(Value::Tensor(tensor)) => Ok(tensor.clone()),
            _ => unknown(format!("{} with a {name} that is computed", self.operator)),
        }
    }

    pub(super) fn optional(&self, at: usize, name: &str) -> Flowing<Option<String>> {
        self.get(at, name).map(|_| self.tensor(at, name)).transpose()
    }

    pub(super) fn number(&self, at: usize, name: &str, default: f64) -> Flowing<f64> {
        match self.get(at, name) {
            None => Ok(default),
            Some(Value::Int(number)) => Ok(*number as f64),
            Some(Value::Float(number)) => Ok(*number),
            Some(_) => unknown(format!("{} with a {name} that is no number", self.operator)),
        }
    }

    pub(super) fn whole(&self, at: usize, name: &str, default: i64) -> Flowing<i64> {
        match self.get(at, name) {
            None => Ok(default),
            Some(Value::Int(number)) => Ok(*number),
            Some(_) => unknown(format!("{} with a {name} that is no whole number", self.operator)),
        }
    }

    pub(super) fn count(&self, at: usize, name: &str, default: usize) -> Flowing<usize> {
        let number = self.whole(at, name, i64::try_from(default).unwrap_or(0))?;
        usize::try_from(number).map_or_else(|_| unknown(format!("{} with a negative {name}", self.operator)), Ok)
    }

    pub(super) fn flag(&self, at: usize, name: &str) -> bool {
        matches!(self.get(at, name), Some(Value::Bool(true)))
    }

    pub(super) fn text(&self, at: usize, name: &str) -> Option<&str> {
        match self.get(at, name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// One number, or a list of numbers.
    pub(super) fn numbers(&self, at: usize, name: &str) -> Option<Vec<f64>> {
        let number = |value: &Value| match value {
            Value::Int(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            _ => None,
        };
        match self.get(at, name)? {
            Value::List(parts) => parts.iter().map(number).collect(),
            other => Some(vec![number(other)?]),
        }
    }

    /// A whole number for height and width, or one for each.
    pub(super) fn pair(&self, at: usize, name: &str, default: usize) -> Flowing<[usize; 2]> {
        let Some(numbers) = self.numbers(at, name) else {
            let missing = self.get(at, name).is_none();
            return if missing {
                Ok([default; 2])
            } else {
                unknown(format!("{} with an unknown {name}", self.operator))
            };
        };
        let whole = |number: f64| {
            if number.fract() == 0.0 && (0.0..1e6).contains(&number) { number as usize } else { usize::MAX }
        };
        let pair = match numbers[..] {
            [] => [default; 2],
            [one] => [whole(one); 2],
            [y, x] => [whole(y), whole(x)],
            _ => return unknown(format!("{} over {} axes", self.operator, numbers.len())),
        };
        if pair.contains(&usize::MAX) {
            unknown(format!("{} with a {name} out of bounds", self.operator))
        } else {
            Ok(pair)
        }
    }
}
