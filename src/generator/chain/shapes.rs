//! Shapes along a recipe, before any tensor is read: what fits is checked here, once.

use super::super::problem;
use crate::layout::{LayoutError, Weights};
use crate::recipe::{Activation, Conv, ConvTranspose, Input, Joining, Recipe, Size, Step};

/// Channels, height and width; a vector is a map of one pixel.
pub(super) type Shape = [usize; 3];

/// Numbers of one map, so that no product of shapes overflows; what a picture may take is bounded by `limits`.
const MAX_MAP: usize = 1 << 28;

/// What a recipe makes of its input.
pub(super) struct Shapes<'a> {
    pub(super) weights: &'a Weights,
    pub(super) recipe: &'a Recipe,
}

/// Sums over a whole network.
#[derive(Default)]
pub(super) struct Totals {
    /// Numbers of the largest map.
    pub(super) largest: usize,
    /// Bytes of the largest map of each step.
    pub(super) maps: Vec<u64>,
    /// Multiplications.
    pub(super) work: u64,
    /// Numbers that the steps make.
    pub(super) numbers: u64,
}

impl Shapes<'_> {
    /// Shape after all steps, which has as many numbers as the picture.
    pub(super) fn check(&self) -> Result<Totals, LayoutError> {
        let mut totals = Totals::default();
        let mut last = [self.recipe.z_dim, 1, 1];
        for step in self.recipe.steps.chunks(1) {
            let mut of_step = Totals::default();
            last = self.after_steps(step, last, &mut of_step)?;
            totals.work = totals.work.saturating_add(of_step.work);
            totals.numbers = totals.numbers.saturating_add(of_step.numbers);
            totals.maps.push(4 * of_step.largest as u64);
            totals.largest = totals.largest.max(of_step.largest);
        }
        let picture = self.recipe.picture;
        if last != picture
            && (last.iter().product::<usize>() != picture.iter().product::<usize>() || last[1..] != [1, 1])
        {
            return Err(self.misfit(format!("the last step makes {last:?}, expected a picture {picture:?}")));
        }
        Ok(totals)
    }

    pub(super) fn after_steps(
        &self,
        steps: &[Step],
        mut shape: Shape,
        totals: &mut Totals,
    ) -> Result<Shape, LayoutError> {
        for step in steps {
            let (before, mut work) = (shape, 0);
            shape = self.after(step, before, &mut work, totals)?;
            let length = shape.iter().try_fold(1, |product: usize, &axis| product.checked_mul(axis));
            let length = length.filter(|length| (1..=MAX_MAP).contains(length)).ok_or_else(|| {
                self.misfit(format!("a map of {shape:?} numbers, expected 1 to {MAX_MAP} of them in all"))
            })?;
            totals.largest = totals.largest.max(length);
            totals.work = totals.work.saturating_add(work).saturating_add(length as u64);
            totals.numbers = totals.numbers.saturating_add(length as u64);
        }
        Ok(shape)
    }

    /// What a branch starts from.
    pub(super) fn of_input(&self, input: Input, flow: Shape) -> Shape {
        match input {
            Input::Flow => flow,
            Input::Z => [self.recipe.z_dim, 1, 1],
            Input::Class => [self.recipe.classes.unwrap_or(1), 1, 1],
        }
    }

    /// Shape after one step; `work` gets its multiplications.
    fn after(&self, step: &Step, from: Shape, work: &mut u64, totals: &mut Totals) -> Result<Shape, LayoutError> {
        let [channels, height, width] = from;
        let length = channels * height * width;
        let times =
            |numbers: [usize; 3]| numbers.iter().fold(1u64, |product, &number| product.saturating_mul(number as u64));
        Ok(match step {
            Step::Linear { weight, bias, transposed } => {
                let [outputs, inputs] = self.matrix(weight, *transposed)?;
                if inputs != length {
                    return Err(self.fits(weight, format!("{inputs} inputs"), format!("{from:?} before it")));
                }
                self.optional(bias, &[outputs])?;
                *work = times([outputs, inputs, 1]);
                [outputs, 1, 1]
            }
            Step::Embedding { weight } => {
                let [rows, outputs] = self.weights.dims(weight)?;
                if rows != length {
                    return Err(self.fits(weight, format!("{rows} rows"), format!("{length} classes")));
                }
                [outputs, 1, 1]
            }
            Step::Reshape { shape, .. } => {
                if shape.iter().product::<usize>() != length {
                    return Err(self.misfit(format!("{from:?} cannot be reshaped to {shape:?}")));
                }
                *shape
            }
            Step::Flatten { .. } => [length, 1, 1],
            Step::Conv(conv) => {
                let [outputs, inputs, kernel_height, kernel_width] = self.weights.dims(&conv.weight)?;
                if inputs.checked_mul(conv.groups) != Some(channels) || outputs % conv.groups != 0 {
                    let takes = format!("{inputs} input channels in {} groups", conv.groups);
                    return Err(self.fits(&conv.weight, takes, format!("{from:?} before it")));
                }
                self.optional(&conv.bias, &[outputs])?;
                let sides = self.convolved(conv, [height, width], [kernel_height, kernel_width])?;
                *work = times([outputs * inputs, kernel_height * kernel_width, sides[0].saturating_mul(sides[1])]);
                [outputs, sides[0], sides[1]]
            }
            Step::ConvTranspose(conv) => {
                let [inputs, outputs, kernel_height, kernel_width] = self.weights.dims(&conv.weight)?;
                if inputs != channels || inputs % conv.groups != 0 {
                    let takes = format!("{inputs} input channels in {} groups", conv.groups);
                    return Err(self.fits(&conv.weight, takes, format!("{from:?} before it")));
                }
                let outputs = outputs.saturating_mul(conv.groups);
                self.optional(&conv.bias, &[outputs])?;
                let sides = self.transposed(conv, [height, width], [kernel_height, kernel_width])?;
                *work = times([outputs / conv.groups * inputs, kernel_height * kernel_width, height * width]);
                [outputs, sides[0], sides[1]]
            }
            Step::Resize { size: Size::To([to_height, to_width]), .. } => [channels, *to_height, *to_width],
            Step::Resize { size: Size::Times([down, across]), .. } => {
                [channels, (height as f64 * down) as usize, (width as f64 * across) as usize]
            }
            Step::PixelShuffle { factor } => {
                if channels % (factor * factor) != 0 {
                    return Err(self.misfit(format!("a pixel shuffle by {factor} of {channels} channels")));
                }
                [channels / (factor * factor), height * factor, width * factor]
            }
            Step::Pad { sides: [top, bottom, left, right], .. } => {
                let side = |side: usize, before: i32, after: i32| {
                    usize::try_from(side as i64 + i64::from(before) + i64::from(after)).unwrap_or(0)
                };
                [channels, side(height, *top, *bottom), side(width, *left, *right)]
            }
            Step::BatchNorm { mean, variance, weight, bias, .. } => {
                self.fixed(mean, &[channels])?;
                self.fixed(variance, &[channels])?;
                self.optional(weight, &[channels])?;
                self.optional(bias, &[channels])?;
                from
            }
            Step::LayerNorm { weight, bias, over_channels, .. } => {
                let expected: &[usize] = match (over_channels, from) {
                    (true, _) | (_, [_, 1, 1]) => &[channels],
                    _ => &from,
                };
                self.optional(weight, expected)?;
                self.optional(bias, expected)?;
                from
            }
            Step::InstanceNorm { weight, bias, .. } => {
                self.optional(weight, &[channels])?;
                self.optional(bias, &[channels])?;
                from
            }
            Step::GroupNorm { groups, weight, bias, .. } => {
                if channels % groups != 0 {
                    return Err(self.misfit(format!("a group norm of {groups} groups for {channels} channels")));
                }
                self.optional(weight, &[channels])?;
                self.optional(bias, &[channels])?;
                from
            }
            Step::Activation { function: Activation::Prelu { weight } } => {
                let [slopes] = self.weights.dims(weight)?;
                if slopes != 1 && slopes != channels {
                    return Err(self.fits(weight, format!("{slopes} slopes"), format!("{channels} channels")));
                }
                from
            }
            Step::PixelNorm { .. } | Step::Activation { .. } | Step::Scale { .. } => from,
            Step::Join { how, branches } => {
                let mut joined: Option<Shape> = None;
                for branch in branches {
                    let shape = self.after_steps(&branch.steps, self.of_input(branch.input, from), totals)?;
                    joined = Some(match joined {
                        None => shape,
                        Some([channels, height, width]) if shape[1..] == [height, width] => match how {
                            Joining::Concat => [channels.saturating_add(shape[0]), height, width],
                            Joining::Sum | Joining::Product if shape[0] == channels => shape,
                            _ => return Err(self.unequal(how, [channels, height, width], shape)),
                        },
                        Some(other) => return Err(self.unequal(how, other, shape)),
                    });
                }
                joined.ok_or_else(|| self.misfit("a join without branches".into()))?
            }
        })
    }

    /// Height and width after a convolution.
    fn convolved(&self, conv: &Conv, sides: [usize; 2], kernel: [usize; 2]) -> Result<[usize; 2], LayoutError> {
        let mut result = [0; 2];
        for axis in 0..2 {
            let padded = sides[axis] + conv.padding[2 * axis] + conv.padding[2 * axis + 1];
            let reach = conv.dilation[axis].saturating_mul(kernel[axis].saturating_sub(1)).saturating_add(1);
            let steps = padded.checked_sub(reach).ok_or_else(|| {
                self.fits(&conv.weight, format!("a kernel of {kernel:?}"), format!("{sides:?} pixels before it"))
            })?;
            result[axis] = steps / conv.stride[axis] + 1;
        }
        Ok(result)
    }

    /// Height and width after a transposed convolution.
    fn transposed(
        &self,
        conv: &ConvTranspose,
        sides: [usize; 2],
        kernel: [usize; 2],
    ) -> Result<[usize; 2], LayoutError> {
        let mut result = [0; 2];
        for axis in 0..2 {
            let reach = conv.dilation[axis].saturating_mul(kernel[axis].saturating_sub(1)).saturating_add(1);
            let full = ((sides[axis] - 1) * conv.stride[axis]).saturating_add(reach);
            let grown = full.saturating_add(conv.output_padding[axis]);
            let cut = conv.padding[2 * axis] + conv.padding[2 * axis + 1];
            result[axis] = grown.checked_sub(cut).filter(|&side| side > 0).ok_or_else(|| {
                self.fits(
                    &conv.weight,
                    format!("a padding of {:?}", conv.padding),
                    format!("{sides:?} pixels before it"),
                )
            })?;
        }
        Ok(result)
    }

    /// Outputs and inputs of a linear layer.
    pub(super) fn matrix(&self, weight: &str, transposed: bool) -> Result<[usize; 2], LayoutError> {
        let [mut outputs, mut inputs] = self.weights.dims(weight)?;
        if transposed {
            std::mem::swap(&mut outputs, &mut inputs);
        }
        Ok([outputs, inputs])
    }

    fn fixed(&self, name: &str, expected: &[usize]) -> Result<(), LayoutError> {
        let found = self.weights.shape(name);
        if found == Some(expected) {
            return Ok(());
        }
        let found = found.map_or("no such tensor".into(), |found| format!("{found:?}"));
        Err(problem(self.weights, name, format!("expected shape {expected:?}, found {found}")))
    }

    fn optional(&self, name: &Option<String>, expected: &[usize]) -> Result<(), LayoutError> {
        name.as_ref().map_or(Ok(()), |name| self.fixed(name, expected))
    }

    fn unequal(&self, how: &Joining, a: Shape, b: Shape) -> LayoutError {
        let verb = match how {
            Joining::Sum => "added",
            Joining::Product => "multiplied",
            Joining::Concat => "put side by side",
        };
        self.misfit(format!("{a:?} and {b:?} cannot be {verb}"))
    }

    fn fits(&self, tensor: &str, takes: String, found: String) -> LayoutError {
        problem(self.weights, tensor, format!("takes {takes}, found {found}"))
    }

    fn misfit(&self, what: String) -> LayoutError {
        let recipe = crate::layout::LayoutProblem::Recipe { what };
        LayoutError { file: self.weights.file.clone(), problem: recipe }
    }
}
