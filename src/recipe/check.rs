//! Bounds of recipes: nothing in one may ask for absurd amounts of anything.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Activation, Conv, ConvTranspose, Input, Prior, Recipe, Size, Step, VERSION};

/// Bytes of a recipe as JSON.
pub const MAX_JSON: usize = 1 << 20;
/// Steps, those of branches too.
pub const MAX_STEPS: usize = 2000;
/// Joins within joins.
const MAX_DEPTH: usize = 6;
/// Bytes of a tensor's name.
const MAX_NAME: usize = 512;
/// Pixels of a side of a map or picture.
const MAX_SIDE: usize = 8192;
/// Channels, features, classes, groups.
const MAX_WIDTH: usize = 1 << 24;
/// Strides, dilations, paddings and factors.
const MAX_NUMBER: usize = 4096;

/// Why a recipe is not used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    #[error("a recipe of {0} bytes, expected at most {MAX_JSON}")]
    TooLong(usize),
    #[error("not a recipe: {0}")]
    Json(#[from] serde_json::Error),
}

impl Recipe {
    /// Reads a recipe from JSON.
    ///
    /// # Errors
    /// The text is too long, is no recipe, or one out of bounds.
    pub fn parse(json: &str) -> Result<Recipe, RecipeError> {
        if json.len() > MAX_JSON {
            return Err(RecipeError::TooLong(json.len()));
        }
        Ok(serde_json::from_str(json)?)
    }

    /// Names of all tensors, in the order of the steps, and whether a transposed convolution has it; some may come twice.
    pub fn layers(&self) -> Vec<(&str, bool)> {
        let mut names = Vec::new();
        let mut waiting: Vec<&Step> = self.steps.iter().rev().collect();
        while let Some(step) = waiting.pop() {
            let is_transposed = matches!(step, Step::ConvTranspose(_));
            names.extend(step.tensors().into_iter().map(|name| (name, is_transposed)));
            if let Step::Join { branches, .. } = step {
                waiting.extend(branches.iter().rev().flat_map(|branch| branch.steps.iter().rev()));
            }
        }
        names
    }

    /// What is out of bounds, if something is. Recipes that are deserialised have passed; those made by readers have to.
    pub fn check(&self) -> Result<(), String> {
        if self.version == 0 || self.version > VERSION {
            return Err(format!("a recipe of version {}, expected 1 to {VERSION}", self.version));
        }
        within("z_dim", self.z_dim, 1..=MAX_WIDTH)?;
        if let Some(classes) = self.classes {
            within("classes", classes, 1..=MAX_WIDTH)?;
        }
        let [channels, height, width] = self.picture;
        if !matches!(channels, 1 | 3 | 4) {
            return Err(format!("a picture of {channels} channels, expected 1, 3 or 4"));
        }
        within("the picture's height", height, 1..=MAX_SIDE)?;
        within("the picture's width", width, 1..=MAX_SIDE)?;
        match self.prior {
            Prior::Normal => {}
            Prior::Uniform { low, high } => finite("the prior", &[low, high])?,
            Prior::TruncatedNormal { limit } if limit.is_finite() && limit >= 0.1 => {}
            Prior::TruncatedNormal { limit } => {
                return Err(format!("a prior truncated at {limit}, expected 0.1 or more"));
            }
        }
        let mut left = MAX_STEPS;
        self.check_steps(&self.steps, &mut left, 0)
    }

    fn check_steps(&self, steps: &[Step], left: &mut usize, depth: usize) -> Result<(), String> {
        *left = left.checked_sub(steps.len()).ok_or_else(|| format!("more than {MAX_STEPS} steps"))?;
        for step in steps {
            if let Some(name) = step.tensors().into_iter().find(|name| name.is_empty() || name.len() > MAX_NAME) {
                return Err(format!("a tensor's name of {} bytes, expected 1 to {MAX_NAME}", name.len()));
            }
            step.check()?;
            if let Step::Join { branches, .. } = step {
                if depth == MAX_DEPTH {
                    return Err(format!("joins within joins, deeper than {MAX_DEPTH}"));
                }
                within("the branches of a join", branches.len(), 1..=MAX_STEPS)?;
                for branch in branches {
                    if branch.input == Input::Class && self.classes.is_none() {
                        return Err("a branch takes the class, but there are no classes".into());
                    }
                    // A branch counts as a step, so that joins of joins without steps end too.
                    *left = left.checked_sub(1).ok_or_else(|| format!("more than {MAX_STEPS} steps"))?;
                    self.check_steps(&branch.steps, left, depth + 1)?;
                }
            }
        }
        Ok(())
    }
}

impl Step {
    /// Names of the tensors that the step itself reads, without those of its branches.
    pub fn tensors(&self) -> Vec<&str> {
        match self {
            Step::Linear { weight, bias, .. }
            | Step::Conv(Conv { weight, bias, .. })
            | Step::ConvTranspose(ConvTranspose { weight, bias, .. }) => names([Some(weight), bias.as_ref()]),
            Step::Embedding { weight } | Step::Activation { function: Activation::Prelu { weight } } => {
                names([Some(weight)])
            }
            Step::BatchNorm { mean, variance, weight, bias, .. } => {
                names([Some(mean), Some(variance), weight.as_ref(), bias.as_ref()])
            }
            Step::LayerNorm { weight, bias, .. }
            | Step::InstanceNorm { weight, bias, .. }
            | Step::GroupNorm { weight, bias, .. } => names([weight.as_ref(), bias.as_ref()]),
            Step::Reshape { .. }
            | Step::Flatten { .. }
            | Step::Resize { .. }
            | Step::PixelShuffle { .. }
            | Step::Pad { .. }
            | Step::PixelNorm { .. }
            | Step::Activation { .. }
            | Step::Scale { .. }
            | Step::Join { .. } => Vec::new(),
        }
    }

    /// The numbers of the step itself.
    fn check(&self) -> Result<(), String> {
        match self {
            Step::Linear { .. } | Step::Embedding { .. } | Step::Flatten { .. } | Step::Join { .. } => Ok(()),
            Step::Reshape { shape: [channels, height, width], .. } => {
                within("the channels of a reshape", *channels, 1..=MAX_WIDTH)?;
                within("the height of a reshape", *height, 1..=MAX_SIDE)?;
                within("the width of a reshape", *width, 1..=MAX_SIDE)
            }
            Step::Conv(Conv { stride, padding, dilation, groups, .. }) => strides(stride, padding, dilation, *groups),
            Step::ConvTranspose(ConvTranspose { stride, padding, output_padding, dilation, groups, .. }) => {
                strides(stride, padding, dilation, *groups)?;
                output_padding.iter().try_for_each(|&rows| within("an output padding", rows, 0..=MAX_NUMBER))
            }
            Step::Resize { size: Size::To(sides), .. } => {
                sides.iter().try_for_each(|&side| within("a side", side, 1..=MAX_SIDE))
            }
            Step::Resize { size: Size::Times(factors), .. } => {
                let sound = factors.iter().all(|factor| (1e-3..=MAX_NUMBER as f64).contains(factor));
                sound.then_some(()).ok_or_else(|| format!("a resize by {factors:?}, expected 0.001 to {MAX_NUMBER}"))
            }
            Step::PixelShuffle { factor } => within("the factor of a pixel shuffle", *factor, 1..=MAX_NUMBER),
            Step::Pad { sides, .. } => {
                let sound = sides.iter().all(|side| side.unsigned_abs() as usize <= MAX_NUMBER);
                sound.then_some(()).ok_or_else(|| format!("a padding of {sides:?}, expected at most {MAX_NUMBER}"))
            }
            Step::BatchNorm { epsilon, .. }
            | Step::LayerNorm { epsilon, .. }
            | Step::InstanceNorm { epsilon, .. }
            | Step::PixelNorm { epsilon } => small(*epsilon),
            Step::GroupNorm { groups, epsilon, .. } => {
                within("groups", *groups, 1..=MAX_WIDTH)?;
                small(*epsilon)
            }
            Step::Activation { function } => match function {
                Activation::LeakyRelu { slope: number } | Activation::Elu { alpha: number } => {
                    finite("an activation", &[*number])
                }
                Activation::Clamp { low, high } => finite("a clamp", &[*low, *high]),
                _ => Ok(()),
            },
            Step::Scale { factor, offset } => finite("a scale", &[*factor, *offset]),
        }
    }
}

fn names<const N: usize>(names: [Option<&String>; N]) -> Vec<&str> {
    names.into_iter().flatten().map(String::as_str).collect()
}

fn strides(stride: &[usize; 2], padding: &[usize; 4], dilation: &[usize; 2], groups: usize) -> Result<(), String> {
    stride.iter().try_for_each(|&stride| within("a stride", stride, 1..=MAX_NUMBER))?;
    padding.iter().try_for_each(|&rows| within("a padding", rows, 0..=MAX_NUMBER))?;
    dilation.iter().try_for_each(|&dilation| within("a dilation", dilation, 1..=MAX_NUMBER))?;
    within("groups", groups, 1..=MAX_WIDTH)
}

fn within(what: &str, number: usize, bounds: std::ops::RangeInclusive<usize>) -> Result<(), String> {
    let expected = || format!("{what}: {number}, expected {} to {}", bounds.start(), bounds.end());
    bounds.contains(&number).then_some(()).ok_or_else(expected)
}

fn finite(what: &str, numbers: &[f32]) -> Result<(), String> {
    let sound = numbers.iter().all(|number| number.is_finite());
    sound.then_some(()).ok_or_else(|| format!("{what} of {numbers:?}, expected finite numbers"))
}

fn small(epsilon: f64) -> Result<(), String> {
    let sound = (0.0..=1e3).contains(&epsilon);
    sound.then_some(()).ok_or_else(|| format!("an epsilon of {epsilon}, expected 0 to 1000"))
}

/// The derived form is called `Recipe::serialize` and `Recipe::deserialize` by serde's `remote = "Self"`.
impl Serialize for Recipe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Recipe::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Recipe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let recipe = Recipe::deserialize(deserializer)?;
        recipe.check().map_err(serde::de::Error::custom)?;
        Ok(recipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Joining, Range};

    fn sample() -> Recipe {
        let linear = |i: usize| Step::Linear {
            weight: format!("gen.{i}.weight"),
            bias: Some(format!("gen.{i}.bias")),
            transposed: false,
        };
        let relu = || Step::Activation { function: Activation::Relu };
        let embedding = Step::Embedding { weight: "embed.weight".into() };
        Recipe {
            version: VERSION,
            prior: Prior::Uniform { low: -1.0, high: 1.0 },
            z_dim: 100,
            classes: Some(10),
            steps: vec![
                Step::with_class(Joining::Concat, vec![embedding], false),
                linear(0),
                relu(),
                Step::residual(vec![linear(2), relu()], vec![]),
                Step::Activation { function: Activation::LeakyRelu { slope: 0.2 } },
                linear(4),
            ],
            picture: [1, 28, 28],
            range: Range::Logits,
            batch_statistics: false,
        }
    }

    #[test]
    fn recipes_survive_json() {
        let json = serde_json::to_string(&sample()).unwrap();
        assert_eq!(Recipe::parse(&json).unwrap(), sample(), "{json}");
    }

    #[test]
    fn recipes_out_of_bounds_are_refused() {
        let refusal = |change: fn(&mut Recipe)| {
            let mut recipe = sample();
            change(&mut recipe);
            Recipe::parse(&serde_json::to_string(&recipe).unwrap()).unwrap_err().to_string()
        };
        for (change, expected) in [
            ((|r| r.version = 2) as fn(&mut Recipe), "version 2"),
            (|r| r.picture[0] = 2, "2 channels"),
            (|r| r.picture[2] = 1 << 40, "width"),
            (|r| r.classes = None, "there are no classes"),
            (|r| r.steps = vec![Step::PixelNorm { epsilon: -1.0 }], "epsilon"),
            (|r| r.steps = vec![Step::PixelShuffle { factor: 0 }; 3], "factor"),
            (|r| r.steps = vec![Step::Flatten { channels_last: false }; 2001], "steps"),
            (|r| r.steps = vec![Step::Embedding { weight: "x".repeat(600) }], "600 bytes"),
            (|r| r.steps = (0..8).fold(vec![], |steps, _| vec![Step::residual(steps, vec![])]), "deeper"),
        ] {
            let message = refusal(change);
            assert!(message.contains(expected), "{message}");
        }
        assert!(Recipe::parse(&" ".repeat(MAX_JSON + 1)).is_err());
        assert!(Recipe::parse("{\"step\": 1}").is_err());
    }
}
