//! Where a model comes from: a file, or one of the generators inside the program.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A model to open. Written as a path, or as `example:toy-heads`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Source {
    File(PathBuf),
    Example(Example),
}

/// The generators that ship inside the program, so that it works with no download.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Example {
    #[default]
    ToyHeads,
    Faces,
}

impl Example {
    pub const ALL: [Example; 2] = [Example::ToyHeads, Example::Faces];

    /// The name in `example:NAME`.
    pub fn name(self) -> &'static str {
        match self {
            Example::ToyHeads => "toy-heads",
            Example::Faces => "faces",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Example::ToyHeads => "Toy heads (StyleGAN2)",
            Example::Faces => "Faces (DCGAN)",
        }
    }

    /// The safetensors file inside the program.
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Example::ToyHeads => include_bytes!("../../models/toy-heads/toy-heads.safetensors"),
            Example::Faces => include_bytes!("../../models/faces-dcgan/faces-dcgan.safetensors"),
        }
    }

    /// A seed whose picture is a good first one.
    pub fn first_seed(self) -> u64 {
        match self {
            Example::ToyHeads => 3,
            Example::Faces => 10,
        }
    }
}

impl Source {
    /// A short name to show: the file's stem, or the example's name.
    pub fn short_name(&self) -> String {
        match self {
            Source::File(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            Source::Example(example) => example.name().to_owned(),
        }
    }
}

impl From<String> for Source {
    fn from(text: String) -> Self {
        let example =
            text.strip_prefix("example:").and_then(|name| Example::ALL.into_iter().find(|e| e.name() == name));
        example.map_or_else(|| Source::File(text.into()), Source::Example)
    }
}

impl FromStr for Source {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.to_owned().into())
    }
}

impl From<Source> for String {
    fn from(source: Source) -> String {
        source.to_string()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Example(example) => write!(f, "example:{}", example.name()),
        }
    }
}
