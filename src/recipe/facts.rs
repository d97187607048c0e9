//! Where the parts of a recipe come from, and what files state.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Recipe;

/// One thing that is known, or guessed, about a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// "activation", "output", "strides", "prior", ...
    pub what: String,
    /// As a person would say it: "LeakyReLU 0.2".
    pub value: String,
    pub source: Source,
}

/// How a [`Fact`] is known, the most certain first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A person said so: a recipe, a setting.
    User,
    /// The file says so; `by` names what in it, such as "the pickled module" or "the ONNX graph".
    Stated { by: String },
    /// Nothing else fits the tensors' shapes, names and order.
    Shapes,
    /// Statistics of the batch norms fit best: `score` of this one and of the next best (0 is a perfect fit, above 1 none).
    Statistics { score: f32, next: Option<f32> },
    /// The custom of the field; nothing in the file says so.
    Guess,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::User => f.write_str("by the recipe"),
            Source::Stated { by } => write!(f, "stated by {by}"),
            Source::Shapes => f.write_str("by the tensors' shapes"),
            Source::Statistics { score, next: Some(next) } => {
                write!(f, "by the statistics of batch norms: {score:.2} against {next:.2}")
            }
            Source::Statistics { score, next: None } => write!(f, "by the statistics of batch norms: {score:.2}"),
            Source::Guess => f.write_str("a guess"),
        }
    }
}

/// What a file says of its network beside the tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Stated {
    #[default]
    Nothing,
    /// The whole network, as a graph states it (ONNX, TorchScript, Keras). The tensors it names are in the state dict.
    Network { recipe: Recipe, by: String },
    /// Modules with their settings, in the order in which their parents list them; what happens between them is not known.
    Modules { modules: Vec<StatedModule>, by: String },
    /// A whole network, some of which no recipe can say, such as "LSTM, which a chain has not": to be refused by that name.
    Unsupported { what: String },
}

/// A module of a network, leaf or not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatedModule {
    /// Dotted, as in tensor names: "main.3"; empty for the root.
    pub name: String,
    /// Last part of the class's name, such as "ConvTranspose2d", "Sequential", "Generator".
    pub class: String,
    /// Under PyTorch's names: "stride", "padding", "negative_slope", ...
    pub settings: Vec<(String, StatedValue)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StatedValue {
    /// Python's None.
    Nothing,
    Flag(bool),
    Number(f64),
    /// (2, 2)
    Numbers(Vec<f64>),
    Text(String),
}

impl Stated {
    /// What is said of the modules whose names begin with `prefix`, which is taken off ("" or "module.").
    pub fn below(&self, prefix: &str) -> Stated {
        let Stated::Modules { modules, by } = self else { return self.clone() };
        let root = prefix.strip_suffix('.').unwrap_or(prefix);
        let inside = modules.iter().filter_map(|module| {
            let is_root = module.name == root;
            let name = if is_root { "" } else { module.name.strip_prefix(prefix)? };
            Some(StatedModule { name: name.into(), ..module.clone() })
        });
        let modules: Vec<StatedModule> = inside.collect();
        if modules.is_empty() { Stated::Nothing } else { Stated::Modules { modules, by: by.clone() } }
    }
}

impl StatedModule {
    pub fn setting(&self, name: &str) -> Option<&StatedValue> {
        self.settings.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        match self.setting(name)? {
            StatedValue::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.setting(name)? {
            StatedValue::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.setting(name)? {
            StatedValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number for height and width, or one for each, as PyTorch takes strides and paddings.
    pub fn pair(&self, name: &str) -> Option<[usize; 2]> {
        let whole = |number: f64| {
            let fits = number.fract() == 0.0 && (0.0..=f64::from(u16::MAX)).contains(&number);
            fits.then_some(number as usize)
        };
        match self.setting(name)? {
            StatedValue::Number(number) => Some([whole(*number)?; 2]),
            StatedValue::Numbers(numbers) => match numbers[..] {
                [height, width] => Some([whole(height)?, whole(width)?]),
                _ => None,
            },
            _ => None,
        }
    }
}
