//! Flows that come together: residual blocks, and classes beside the code.

use super::{Flow, Flowing, Form, MAX_STEPS, Obstacle, unknown};
use crate::recipe::{Branch, Input, Joining, Step};

impl Flow {
    /// Two flows as one.
    pub(in crate::layout) fn join(self, other: Flow, how: Joining) -> Flowing<Flow> {
        let (a, b) = (self.settled_or_vector()?, other.settled_or_vector()?);
        let shape = joined_shape(&a.shape, &b.shape, how)?;
        let form = match shape[..] {
            [c, h, w] if !matches!(a.form, Form::Vector(_)) => Form::Map([c, h, w]),
            _ => Form::Vector(shape.iter().product()),
        };
        let same_form = matches!((a.form, b.form), (Form::Vector(_), Form::Vector(_)) | (Form::Map(_), Form::Map(_)));
        if !same_form {
            return unknown(format!("values of shapes {:?} and {:?} joined", a.shape, b.shape));
        }
        let code = a.code.or(b.code);
        let flow = |steps: Vec<Step>| Branch { input: Input::Flow, steps };
        let (start, mut steps, branches) = match (a.start, b.start) {
            (Input::Class, Input::Class) | (Input::Z, Input::Z) => {
                let common = a.steps.iter().zip(&b.steps).take_while(|(a, b)| a == b).count();
                let (mut head, mut tail) = (a.steps, b.steps);
                let (rest_a, rest_b) = (head.split_off(common), tail.split_off(common));
                match (common, a.start) {
                    // z enters a second time.
                    (0, Input::Z) if rest_a.len() >= rest_b.len() => {
                        (a.start, rest_a, [flow(Vec::new()), Branch { input: Input::Z, steps: rest_b }])
                    }
                    (0, Input::Z) => (a.start, rest_b, [Branch { input: Input::Z, steps: rest_a }, flow(Vec::new())]),
                    _ => (a.start, head, [flow(rest_a), flow(rest_b)]),
                }
            }
            (Input::Class, _) => (b.start, b.steps, [Branch { input: Input::Class, steps: a.steps }, flow(Vec::new())]),
            (_, _) => (a.start, a.steps, [flow(Vec::new()), Branch { input: Input::Class, steps: b.steps }]),
        };
        let branches = branches.map(|mut branch| {
            // From the start of everything, the flow is z itself.
            if steps.is_empty() && branch.input == Input::Flow && branch.steps.is_empty() && start == Input::Z {
                branch.input = Input::Z;
            }
            branch
        });
        // A join of a join of the same kind is one join: a concatenation of three things.
        steps.push(Step::Join { how, branches: branches.into() });
        if count(&steps) > MAX_STEPS {
            return unknown(format!("a network of more than {MAX_STEPS} steps"));
        }
        Ok(Flow { start, code, steps, form, shape, channels_last: false, bounds: None })
    }

    /// Settled, where the shape has a form; row vectors [1, n] stay as they are.
    fn settled_or_vector(self) -> Flowing<Flow> {
        if self.channels_last {
            return unknown("maps whose channels are last, joined");
        }
        if matches!(self.form, Form::Vector(width) if self.shape.contains(&width) && self.shape.iter().filter(|&&a| a != 1).count() <= 1)
        {
            return Ok(self);
        }
        self.settled()
    }
}

/// Steps and the steps of their branches.
fn count(steps: &[Step]) -> usize {
    let inside = |step: &Step| match step {
        Step::Join { branches, .. } => branches.iter().map(|branch| 1 + count(&branch.steps)).sum(),
        _ => 0,
    };
    steps.iter().map(|step| 1 + inside(step)).sum()
}

fn joined_shape(a: &[usize], b: &[usize], how: Joining) -> Flowing<Vec<usize>> {
    let differ = || Obstacle::Unknown(format!("values of shapes {a:?} and {b:?} joined"));
    if a.len() != b.len() || a.is_empty() {
        return Err(differ());
    }
    if how != Joining::Concat {
        return if a == b { Ok(a.to_vec()) } else { Err(differ()) };
    }
    // Features of vectors, channels of maps; [1, n] is a vector in disguise.
    let axis = if a.len() == 2 && a[0] == 1 { 1 } else { 0 };
    let same = a.iter().zip(b).enumerate().all(|(at, (a, b))| at == axis || a == b);
    if !same {
        return Err(differ());
    }
    let mut shape = a.to_vec();
    shape[axis] = a[axis].checked_add(b[axis]).ok_or_else(differ)?;
    Ok(shape)
}
