//! What is known of a graph's values before anything runs: their shapes, and few numbers that follow from the file alone.

use crate::checkpoint::{DType, Node, Tensor};

/// Numbers of a value that are followed: those of shapes, scales and axes.
pub(super) const KNOWN: usize = 64;
/// Axes of a value.
pub(super) const MAX_AXES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Real,
    /// Whole numbers and truth values.
    Whole,
}

/// What is known of one value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fact {
    pub shape: Vec<usize>,
    pub kind: Kind,
    /// Its numbers, row-major, if no picture decides them and they are few.
    pub known: Option<Vec<f64>>,
}

impl Fact {
    pub fn new(shape: Vec<usize>, kind: Kind) -> Self {
        Fact { shape, kind, known: None }
    }

    pub fn real(shape: Vec<usize>) -> Self {
        Fact::new(shape, Kind::Real)
    }

    /// Whole numbers in a row.
    pub fn row(numbers: Vec<f64>) -> Self {
        Fact { shape: vec![numbers.len()], kind: Kind::Whole, known: Some(numbers) }
    }

    /// Of a tensor in the file.
    ///
    /// # Errors
    /// The file can no longer be read.
    pub fn of(tensor: &Tensor) -> Result<Self, String> {
        let kind = kind_of(tensor.dtype());
        let few = tensor.len() <= KNOWN;
        let known = match kind {
            Kind::Real if few => Some(tensor.to_f32()?.into_iter().map(f64::from).collect()),
            Kind::Whole if few => Some(tensor.to_i64()?.into_iter().map(|x| x as f64).collect()),
            _ => None,
        };
        Ok(Fact { shape: tensor.shape().to_vec(), kind, known })
    }

    /// The same numbers in another shape.
    pub fn reshaped(&self, shape: Vec<usize>) -> Self {
        Fact { shape, ..self.clone() }
    }

    pub fn len(&self) -> u64 {
        elements(&self.shape)
    }

    /// Its numbers as whole ones.
    pub fn ints(&self) -> Option<Vec<i64>> {
        Some(self.known.as_ref()?.iter().map(|&x| x as i64).collect())
    }
}

pub(super) fn kind_of(dtype: DType) -> Kind {
    match dtype {
        DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 | DType::Bool => Kind::Whole,
        _ => Kind::Real,
    }
}

/// The product of a shape, at most as large as can be told.
pub(super) fn elements(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |product: u64, &axis| product.saturating_mul(axis as u64))
}

/// Shapes side by side, from the last axis on: axes are equal, or one of them is 1.
pub(super) fn broadcast(shapes: &[&[usize]]) -> Result<Vec<usize>, String> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let mut result = vec![1; rank];
    for shape in shapes {
        for (result, &axis) in result[rank - shape.len()..].iter_mut().zip(*shape) {
            match (*result, axis) {
                (_, 1) => {}
                (1, axis) => *result = axis,
                (result, axis) if result == axis => {}
                _ => return Err(format!("shapes that do not fit each other: {}", list(shapes))),
            }
        }
    }
    Ok(result)
}

fn list(shapes: &[&[usize]]) -> String {
    shapes.iter().take(8).map(|shape| format!("{shape:?}")).collect::<Vec<_>>().join(", ")
}

/// A node that is to be understood, with what is known of its inputs.
pub(super) struct Call<'a> {
    pub node: &'a Node,
    /// Version of the standard operators.
    pub opset: i64,
    /// `None` for inputs that are left out.
    pub facts: Vec<Option<Fact>>,
    /// Outputs that somebody takes.
    pub outputs: usize,
}

/// What is said of a node: how it is written, and what it makes; or why it is refused.
pub(super) type Ruled = Result<Step, String>;

/// A node as it is written for the runtime.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub operator: &'static str,
    pub inputs: Vec<Operand>,
    pub settings: Vec<(&'static str, Setting)>,
    pub outputs: Vec<Fact>,
    /// Multiplications and additions, or what takes as long.
    pub work: u64,
    /// Numbers that are kept besides while it runs.
    pub scratch: u64,
}

/// An input of a written node.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    /// The node's own input of that place.
    Input(usize),
    Omitted,
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    /// A number without axes.
    Scalar(f32),
}

#[derive(Clone, Debug)]
pub(super) enum Setting {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
    Text(&'static str),
}

/// What an element of a map costs besides multiplications.
const PER_ELEMENT: u64 = 4;

impl Step {
    pub fn new(operator: &'static str, inputs: Vec<Operand>, output: Fact) -> Self {
        let work = PER_ELEMENT.saturating_mul(output.len());
        Step { operator, inputs, settings: Vec::new(), outputs: vec![output], work, scratch: 0 }
    }

    /// A node whose result is known, or which hands on its first input.
    pub fn identity(output: Fact) -> Self {
        Step::new("Identity", vec![Operand::Input(0)], output)
    }

    pub fn with(mut self, name: &'static str, setting: Setting) -> Self {
        self.settings.push((name, setting));
        self
    }

    /// Takes at least so much work.
    pub fn working(self, work: u64) -> Self {
        Step { work: self.work.saturating_add(work), ..self }
    }
}

impl Call<'_> {
    /// Settings that mean something, all others are refused: nobody knows what they ask for.
    pub fn allow(&self, names: &[&str]) -> Result<(), String> {
        match self.node.settings().find(|name| !names.contains(name)) {
            Some(name) => Err(format!("the setting {name:.80} is not known")),
            None => Ok(()),
        }
    }

    pub fn given(&self, at: usize) -> Option<&Fact> {
        self.facts.get(at)?.as_ref()
    }

    pub fn fact(&self, at: usize) -> Result<&Fact, String> {
        self.given(at).ok_or_else(|| format!("expected an input at place {at}, found none"))
    }

    /// An input of real numbers.
    pub fn real(&self, at: usize) -> Result<&Fact, String> {
        let fact = self.fact(at)?;
        match fact.kind {
            Kind::Real => Ok(fact),
            Kind::Whole => Err(format!("expected real numbers at place {at}, found whole ones")),
        }
    }

    /// All inputs as they are.
    pub fn operands(&self) -> Vec<Operand> {
        let operand = |(at, fact): (usize, &Option<Fact>)| match fact {
            Some(_) => Operand::Input(at),
            None => Operand::Omitted,
        };
        self.facts.iter().enumerate().map(operand).collect()
    }

    /// Whole numbers that older files have as a setting and newer ones as an input.
    pub fn ints(&self, name: &str, at: usize) -> Result<Option<Vec<i64>>, String> {
        if let Some(setting) = self.node.ints(name) {
            return Ok(Some(setting.to_vec()));
        }
        let Some(fact) = self.given(at) else { return Ok(None) };
        fact.ints().map(Some).ok_or_else(|| format!("its {name} depend on the picture, or are too many"))
    }

    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.node.int(name).map_or(default, |setting| setting != 0)
    }

    /// More than one output that is used.
    pub fn one_output(&self) -> Result<(), String> {
        match self.outputs {
            0 | 1 => Ok(()),
            many => Err(format!("expected one output, found {many}")),
        }
    }
}

/// An axis; negative ones count from the end.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let at = if axis < 0 { axis.checked_add_unsigned(rank as u64) } else { Some(axis) };
    at.and_then(|at| usize::try_from(at).ok())
        .filter(|&at| at < rank)
        .ok_or_else(|| format!("expected an axis of {rank}, found {axis}"))
}

/// Different axes; negative ones count from the end.
pub(super) fn axes(list: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    if list.len() > rank {
        return Err(format!("expected at most {rank} axes, found {}", list.len()));
    }
    let found: Vec<usize> = list.iter().map(|&at| axis(at, rank)).collect::<Result<_, _>>()?;
    match found.iter().enumerate().any(|(at, axis)| found[..at].contains(axis)) {
        true => Err(format!("expected different axes, found {list:?}")),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_laid_side_by_side() {
        assert_eq!(broadcast(&[&[2, 1, 3], &[4, 1], &[]]), Ok(vec![2, 4, 3]));
        assert!(broadcast(&[&[2], &[3]]).unwrap_err().contains("[2], [3]"));
        assert_eq!(elements(&[usize::MAX, 4]), u64::MAX);
    }

    #[test]
    fn axes_count_from_both_ends() {
        assert_eq!((axis(-1, 3), axis(2, 3)), (Ok(2), Ok(2)));
        assert!(axis(3, 3).is_err() && axis(-4, 3).is_err() && axis(i64::MIN, 3).is_err() && axis(0, 0).is_err());
        assert_eq!(axes(&[0, -1], 3), Ok(vec![0, 2]));
        assert!(axes(&[2, -1], 3).is_err());
    }
}
