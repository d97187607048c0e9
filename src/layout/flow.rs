//! A value of a stated graph on its way from the code to the picture: the steps so far, and the shape that the graph gives it.
//!
//! ONNX, TorchScript and Keras say the same things in different words; this is what they have in common. Every method takes
//! the flow one operator further, or says why not. Shapes are checked against the tensors, so that a graph that lies ends here.

mod join;

use super::state_dict::StateDict;
use crate::recipe::{Activation, Conv, ConvTranspose, Input, Padding, Resizing, Size, Step};

/// Numbers of one sample at any place of a network: 8192 x 8192 pixels of 4 channels.
const MAX_ELEMENTS: usize = 1 << 28;
/// Axes of a value.
const MAX_AXES: usize = 8;
/// Steps of one flow, those of joined ones too.
const MAX_STEPS: usize = crate::recipe::MAX_STEPS;

/// Why a graph is no recipe.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Obstacle {
    /// Something has `got` features where `want` are needed; tells the width of a code that the file does not state.
    Width { got: usize, want: usize, place: String },
    /// What a recipe cannot say, by name.
    Unknown(String),
    /// No generator of pictures, and what to do.
    Foreign { what: String, advice: &'static str },
}

pub(super) type Flowing<T> = Result<T, Obstacle>;

pub(super) fn unknown<T>(what: impl Into<String>) -> Flowing<T> {
    Err(Obstacle::Unknown(what.into()))
}

impl Obstacle {
    pub(super) fn message(&self) -> String {
        match self {
            Obstacle::Width { got, want, place } => format!("{place} takes {want} features and gets {got}"),
            Obstacle::Unknown(what) | Obstacle::Foreign { what, .. } => what.clone(),
        }
    }
}

/// What the numbers are for the steps of a recipe.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Vector(usize),
    Map([usize; 3]),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Flow {
    /// Where it starts: z or the class.
    start: Input,
    /// Features of z, if it takes part.
    code: Option<usize>,
    steps: Vec<Step>,
    form: Form,
    /// The shape in the graph without the batch; it may differ from the form until a step needs it.
    shape: Vec<usize>,
    /// The shape lists the axes of a map as height, width, channels.
    channels_last: bool,
    /// Bounds of the numbers, if the last steps have any.
    bounds: Option<[f32; 2]>,
}

/// One axis that a reshape asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Axis {
    Batch,
    Size(usize),
    /// What is left over: -1.
    Rest,
}

impl Flow {
    /// z or a class, of that shape without the batch.
    pub(super) fn start(start: Input, shape: Vec<usize>) -> Flow {
        let width = shape.iter().product();
        let code = (start == Input::Z).then_some(width);
        Flow { start, code, steps: Vec::new(), form: Form::Vector(width), shape, channels_last: false, bounds: None }
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Features of z.
    pub(super) fn code(&self) -> Option<usize> {
        self.code
    }

    pub(super) fn starts_at(&self) -> Input {
        self.start
    }

    pub(super) fn bounds(&self) -> Option<[f32; 2]> {
        self.bounds
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    pub(super) fn last_step(&mut self) -> Option<&mut Step> {
        self.steps.last_mut()
    }

    fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Adds a step whose result has this form.
    fn step(mut self, step: Step, form: Form) -> Flowing<Flow> {
        self.shape = match form {
            Form::Vector(width) => vec![width],
            Form::Map(sides) => sides.to_vec(),
        };
        let fits =
            self.shape.iter().try_fold(1usize, |len, &axis| len.checked_mul(axis)).filter(|&l| l <= MAX_ELEMENTS);
        if self.steps.len() >= MAX_STEPS || fits.is_none() {
            return unknown(format!(
                "a network of more than {MAX_STEPS} steps, or {MAX_ELEMENTS} numbers at one place"
            ));
        }
        let keeps_numbers = matches!(step, Step::Reshape { .. } | Step::Flatten { .. } | Step::PixelShuffle { .. });
        self.bounds = self.bounds.filter(|_| keeps_numbers);
        (self.form, self.channels_last) = (form, false);
        self.steps.push(step);
        Ok(self)
    }

    /// Adds a step that leaves the shape as it is.
    pub(super) fn same(mut self, step: Step) -> Flowing<Flow> {
        let (shape, channels_last) = (std::mem::take(&mut self.shape), self.channels_last);
        let form = self.form;
        let flow = self.step(step, form)?;
        Ok(Flow { shape, channels_last, ..flow })
    }

    /// As a vector of features, for a linear layer or a norm.
    pub(super) fn vector(mut self, place: &str) -> Flowing<(Flow, usize)> {
        let [width] = self.shape[..] else {
            return unknown(format!("{place} on values of shape {:?}, expected vectors", self.shape));
        };
        self = self.settled()?;
        Ok((self, width))
    }

    /// As a map of channels, height and width.
    fn map(mut self, place: &str) -> Flowing<(Flow, [usize; 3])> {
        let [_, _, _] = self.shape[..] else {
            return unknown(format!("{place} on values of shape {:?}, expected maps", self.shape));
        };
        if self.channels_last {
            return unknown(format!("{place} on maps whose channels are last"));
        }
        self = self.settled()?;
        match self.shape[..] {
            [c, h, w] => Ok((self, [c, h, w])),
            _ => unknown(place),
        }
    }

    /// With the form that the shape says, whatever the reshapes on the way.
    fn settled(self) -> Flowing<Flow> {
        let shape = self.shape.clone();
        let done = |flow: Flow| Ok(Flow { shape: shape.clone(), ..flow });
        match (shape.as_slice(), self.form) {
            (&[width], Form::Vector(old)) if width == old => Ok(self),
            // A vector is a map of one pixel.
            (&[channels, 1, 1], Form::Vector(old)) if channels == old => Ok(self),
            (&[c, h, w], Form::Map(old)) if [c, h, w] == old => Ok(self),
            (&[_], Form::Map(_)) => {
                let (width, channels_last) = (self.len(), self.channels_last);
                self.step(Step::Flatten { channels_last }, Form::Vector(width))
            }
            (&[c, h, w], Form::Vector(_)) => {
                let reshaped =
                    self.step(Step::Reshape { shape: [c, h, w], channels_last: false }, Form::Map([c, h, w]))?;
                done(reshaped)
            }
            (&[c, h, w], Form::Map(_)) => {
                let flat = self.len();
                let flat = self.step(Step::Flatten { channels_last: false }, Form::Vector(flat))?;
                flat.step(Step::Reshape { shape: [c, h, w], channels_last: false }, Form::Map([c, h, w]))
            }
            _ => unknown(format!("values of shape {shape:?}, neither vectors nor maps")),
        }
    }

    /// Another shape for the same numbers; the first axis is the batch's.
    pub(super) fn reshape(mut self, axes: &[Axis]) -> Flowing<Flow> {
        let len = self.len();
        let (batch, rest) = match axes.split_first() {
            Some((first, rest)) => (*first, rest),
            None => return unknown("a reshape to no shape"),
        };
        let open = rest.iter().filter(|axis| **axis == Axis::Rest).count();
        let known = |axes: &[Axis]| {
            axes.iter().try_fold(1usize, |product, axis| match axis {
                Axis::Size(size) => product.checked_mul(*size),
                _ => Some(product),
            })
        };
        // A code without features (the first guess at one) may be any shape of no size.
        let product = known(rest).filter(|&product| (product > 0 || len == 0) && product <= MAX_ELEMENTS);
        let Some(product) = product else { return unknown("a reshape to no size, or to one beyond all bounds") };
        if rest.contains(&Axis::Batch) || open > 1 || (open == 1 && batch == Axis::Rest) {
            return unknown("a reshape that mixes the pictures of a batch");
        }
        if (open == 0 && product != len) || (product > 0 && !len.is_multiple_of(product)) {
            return Err(Obstacle::Width { got: len, want: product, place: "a reshape".into() });
        }
        let sizes = rest.iter().map(|axis| match axis {
            Axis::Size(size) => *size,
            _ => len.checked_div(product).unwrap_or(0),
        });
        let shape: Vec<usize> = sizes.collect();
        if self.channels_last && shape != self.shape {
            // Only a vector keeps the order of height, width, channels.
            self.shape = vec![len];
            self = self.settled()?;
        }
        if shape.len() > MAX_AXES {
            return unknown(format!("values of {} axes", shape.len()));
        }
        // Reshapes never move a number, so nothing is done before a step needs a form.
        self.shape = shape;
        Ok(self)
    }

    /// The axes in another order, all of them without the batch's.
    pub(super) fn permute(mut self, order: &[usize]) -> Flowing<Flow> {
        let kept = order.iter().copied().eq(0..order.len());
        // Axes of length one may stand anywhere.
        let long =
            |axes: &[usize]| axes.iter().copied().filter(|&axis| self.shape.get(axis) != Some(&1)).collect::<Vec<_>>();
        let ordered: Vec<usize> = (0..self.shape.len()).collect();
        let moved = long(order) != long(&ordered);
        if order.len() != self.shape.len() || ordered.iter().any(|axis| !order.contains(axis)) {
            return unknown(format!("a permutation {order:?} of values of shape {:?}", self.shape));
        }
        let shape: Vec<usize> = order.iter().filter_map(|&axis| self.shape.get(axis).copied()).collect();
        if kept || !moved {
            self.shape = shape;
            return Ok(self);
        }
        match (order, self.form, self.channels_last) {
            // A vector written height, width, channels becomes a map.
            ([2, 0, 1], Form::Vector(_), false) => match shape[..] {
                [c, h, w] => self.step(Step::Reshape { shape: [c, h, w], channels_last: true }, Form::Map([c, h, w])),
                _ => unknown("a permutation"),
            },
            ([2, 0, 1], Form::Map(_), true) => Ok(Flow { shape, channels_last: false, ..self }),
            ([1, 2, 0], _, false) => {
                let flow = self.settled()?;
                Ok(Flow { shape, channels_last: true, ..flow })
            }
            _ => unknown(format!("a permutation {order:?} of values of shape {:?}", self.shape)),
        }
    }

    pub(super) fn linear(self, weight: &str, sizes: &[usize], bias: Option<String>, transposed: bool) -> Flowing<Flow> {
        let place = format!("the linear layer {weight:.200}");
        let &[first, second] = sizes else { return unknown(format!("{place}, whose weight has shape {sizes:?}")) };
        let (want, out) = if transposed { (first, second) } else { (second, first) };
        let (flow, got) = self.vector(&place)?;
        if got != want {
            return Err(Obstacle::Width { got, want, place });
        }
        flow.step(Step::Linear { weight: weight.into(), bias, transposed }, Form::Vector(out))
    }

    /// `sizes` is `[out, in / groups, kh, kw]`.
    pub(super) fn conv(self, conv: Conv, sizes: &[usize]) -> Flowing<Flow> {
        let place = format!("the convolution {:.200}", conv.weight);
        let &[out, per_group, kh, kw] = sizes else {
            return unknown(format!("{place}, whose kernel has shape {sizes:?}"));
        };
        let (flow, [got, h, w]) = self.map(&place)?;
        let Some(want) = per_group.checked_mul(conv.groups) else { return unknown(place) };
        if got != want {
            return Err(Obstacle::Width { got, want, place });
        }
        let side = |n: usize, k: usize, axis: usize| {
            let [before, after] = [conv.padding[2 * axis], conv.padding[2 * axis + 1]];
            let reach = conv.dilation[axis].checked_mul(k.checked_sub(1)?)?.checked_add(1)?;
            let all = n.checked_add(before)?.checked_add(after)?;
            Some(all.checked_sub(reach)? / conv.stride[axis].max(1) + 1)
        };
        let Some((h, w)) = side(h, kh, 0).zip(side(w, kw, 1)) else {
            return unknown(format!("{place} on maps of {h} x {w}, smaller than its kernel"));
        };
        flow.step(Step::Conv(conv), Form::Map([out, h, w]))
    }

    /// `sizes` is `[in, out / groups, kh, kw]`.
    pub(super) fn conv_transpose(self, conv: ConvTranspose, sizes: &[usize]) -> Flowing<Flow> {
        let place = format!("the transposed convolution {:.200}", conv.weight);
        let &[want, per_group, kh, kw] = sizes else {
            return unknown(format!("{place}, whose kernel has shape {sizes:?}"));
        };
        let (flow, [got, h, w]) = self.map(&place)?;
        if got != want {
            return Err(Obstacle::Width { got, want, place });
        }
        let side = |n: usize, k: usize, axis: usize| {
            let cut = conv.padding[2 * axis].checked_add(conv.padding[2 * axis + 1])?;
            let reach = conv.dilation[axis].checked_mul(k.checked_sub(1)?)?.checked_add(1)?;
            let full = n.checked_sub(1)?.checked_mul(conv.stride[axis])?.checked_add(reach)?;
            full.checked_add(conv.output_padding[axis])?.checked_sub(cut).filter(|&side| side > 0)
        };
        let sides = side(h, kh, 0).zip(side(w, kw, 1)).zip(per_group.checked_mul(conv.groups));
        let Some(((h, w), out)) = sides else { return unknown(format!("{place}, which leaves nothing of its maps")) };
        flow.step(Step::ConvTranspose(conv), Form::Map([out, h, w]))
    }

    /// A norm with a mean and a variance for each channel or feature.
    pub(super) fn batch_norm(self, step: Step, channels: usize) -> Flowing<Flow> {
        let place = "a batch norm";
        let flow = if self.shape.len() == 1 { self.vector(place)?.0 } else { self.map(place)?.0 };
        match flow.shape.first() {
            Some(&got) if got == channels => flow.same(step),
            got => Err(Obstacle::Width { got: got.copied().unwrap_or(0), want: channels, place: place.into() }),
        }
    }

    /// A norm of vectors or maps that leaves their shape.
    pub(super) fn norm(self, step: Step) -> Flowing<Flow> {
        let flow = if self.shape.len() == 1 { self.vector("a norm")?.0 } else { self.map("a norm")?.0 };
        flow.same(step)
    }

    pub(super) fn activation(self, function: Activation) -> Flowing<Flow> {
        if matches!(function, Activation::Prelu { .. }) {
            return self.norm(Step::Activation { function });
        }
        let bounds = match &function {
            Activation::None => return Ok(self),
            Activation::Tanh => Some([-1.0, 1.0]),
            Activation::Sigmoid => Some([0.0, 1.0]),
            Activation::Clamp { low, high } => Some([*low, *high]),
            _ => None,
        };
        let flow = self.same(Step::Activation { function })?;
        Ok(Flow { bounds, ..flow })
    }

    /// x * factor + offset
    pub(super) fn scale(self, factor: f32, offset: f32) -> Flowing<Flow> {
        if factor == 1.0 && offset == 0.0 {
            return Ok(self);
        }
        let bounds = self.bounds.map(|bounds| bounds.map(|bound| bound * factor + offset));
        let flow = self.same(Step::Scale { factor, offset })?;
        Ok(Flow { bounds, ..flow })
    }

    pub(super) fn resize(self, size: Size, method: Resizing) -> Flowing<Flow> {
        let (flow, [c, h, w]) = self.map("an up-sampling")?;
        let [h, w] = match size {
            Size::To(sides) => sides,
            Size::Times([y, x]) => {
                let side = |n: usize, factor: f64| (n as f64 * factor).floor().clamp(0.0, 1e9) as usize;
                [side(h, y), side(w, x)]
            }
        };
        flow.step(Step::Resize { size, method }, Form::Map([c, h, w]))
    }

    pub(super) fn pixel_shuffle(self, factor: usize) -> Flowing<Flow> {
        let (flow, [c, h, w]) = self.map("a pixel shuffle")?;
        let sides = factor.checked_mul(factor).filter(|&square| square > 0 && c % square == 0);
        let Some(square) = sides else { return unknown(format!("a pixel shuffle by {factor} of {c} channels")) };
        let sides = Form::Map([c / square, h.saturating_mul(factor), w.saturating_mul(factor)]);
        flow.step(Step::PixelShuffle { factor }, sides)
    }

    /// Top, bottom, left, right; negative numbers cut.
    pub(super) fn pad(self, sides: [i32; 4], mode: Padding) -> Flowing<Flow> {
        if sides == [0; 4] {
            return Ok(self);
        }
        let (flow, [c, h, w]) = self.map("a padding")?;
        let side = |n: usize, before: i32, after: i32| {
            let n = n.checked_add_signed(before as isize)?.checked_add_signed(after as isize)?;
            (n > 0).then_some(n)
        };
        let grown = side(h, sides[0], sides[1]).zip(side(w, sides[2], sides[3]));
        let Some((h, w)) = grown else { return unknown(format!("a padding by {sides:?} that leaves nothing")) };
        flow.step(Step::Pad { sides, mode }, Form::Map([c, h, w]))
    }

    pub(super) fn embedding(self, weight: &str, sizes: &[usize]) -> Flowing<Flow> {
        let &[_, width] = sizes else { return unknown(format!("the table {weight:.200} of shape {sizes:?}")) };
        if self.start != Input::Class || !self.steps.is_empty() {
            return unknown(format!("the table {weight:.200}, which is looked into with something else than a class"));
        }
        // A class of shape [] gives a vector, one of shape [1] a row of one.
        let mut shape = if self.shape.len() == 1 && self.shape[0] == 1 { vec![1] } else { Vec::new() };
        shape.push(width);
        let flow = self.step(Step::Embedding { weight: weight.into() }, Form::Vector(width))?;
        Ok(Flow { shape, ..flow })
    }

    /// The picture that it makes, channels first, with the reshape that it needs.
    pub(super) fn picture(mut self) -> Flowing<(Flow, [usize; 3])> {
        if let (Form::Map(sides), true) = (self.form, self.channels_last) {
            return Ok((self, sides));
        }
        let len = self.len();
        let picture = match self.shape[..] {
            [c, h, w] if matches!(c, 1 | 3 | 4) => Some([c, h, w]),
            // A vector that is written height, width, channels.
            [h, w, c] if matches!(c, 1 | 3 | 4) && matches!(self.form, Form::Vector(_)) => {
                self.shape = vec![c, h, w];
                self = self.step(Step::Reshape { shape: [c, h, w], channels_last: true }, Form::Map([c, h, w]))?;
                Some([c, h, w])
            }
            [h, w] => {
                self.shape = vec![1, h, w];
                Some([1, h, w])
            }
            [_] => square(len),
            _ => None,
        };
        let Some(picture) = picture else {
            return unknown(format!("a result of shape {:?}, which is no grey, RGB or RGBA picture", self.shape));
        };
        if self.shape.len() == 3 {
            self = self.settled()?;
        }
        Ok((self, picture))
    }
}

/// A vector as a square picture: 784 is 28 x 28 grey, 3072 is 32 x 32 RGB.
fn square(len: usize) -> Option<[usize; 3]> {
    [1, 3].into_iter().find_map(|channels| {
        let side = (len / channels).isqrt();
        (channels * side * side == len && side > 1).then_some([channels, side, side])
    })
}

/// The shape of a parameter of the network.
pub(super) fn sizes<'a>(state: &'a StateDict, name: &str) -> Flowing<&'a [usize]> {
    state
        .get(name)
        .map(crate::checkpoint::Tensor::shape)
        .ok_or_else(|| Obstacle::Unknown(format!("{name:.200}, a tensor that is not in the file")))
}
