//! Where a model comes from: a file, or one of the generators inside the program.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::edit::SeedKind;
use crate::generator::SEEDS_KEY;
use crate::progress::Report;

/// Between a file and the path of a network in it.
const SEPARATOR: &str = "::";

/// A model to open. Written as a path, as a path and a network in that file (`train.pt::g`), or as `example:toy-heads`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Source {
    File(PathBuf),
    /// Another network of a file than the likeliest: `network` is its path in it.
    Network {
        file: PathBuf,
        network: String,
    },
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
    /// Opens the file; which network in it is used is decided later.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open(&self, report: Report<'_>) -> Result<Checkpoint, CheckpointError> {
        match self {
            Source::File(path) => Checkpoint::open(path, report),
            Source::Network { file, network } => {
                Ok(Checkpoint { network: Some(network.clone()), ..Checkpoint::open(file, report)? })
            }
            Source::Example(example) => {
                let mut checkpoint = Checkpoint::from_static(example.bytes(), example.name())?;
                // Their home is this program: pictures, cards and `first_seed` speak of its own seeds.
                checkpoint.metadata.insert(SEEDS_KEY.into(), SeedKind::Studio.to_string());
                Ok(checkpoint)
            }
        }
    }

    /// The file, unless it is part of the program.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Source::File(file) | Source::Network { file, .. } => Some(file),
            Source::Example(_) => None,
        }
    }

    /// The same, so that it can be found from any folder.
    pub fn absolute(&self) -> Source {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        match self {
            Source::File(path) => Source::File(absolute(path)),
            Source::Network { file, network } => Source::Network { file: absolute(file), network: network.clone() },
            Source::Example(_) => self.clone(),
        }
    }

    /// A certain network of the file; `None`: the likeliest one.
    pub fn with_network(self, network: Option<String>) -> Source {
        match (self, network) {
            (Source::File(file) | Source::Network { file, .. }, Some(network)) => Source::Network { file, network },
            (source, _) => source,
        }
    }

    /// A short name to show: the file's stem, or the example's name.
    pub fn short_name(&self) -> String {
        match self {
            Source::File(file) | Source::Network { file, .. } => {
                file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
            }
            Source::Example(example) => example.name().to_owned(),
        }
    }
}

impl From<String> for Source {
    fn from(text: String) -> Self {
        let example = |name: &str| Example::ALL.into_iter().find(|example| example.name() == name);
        if let Some(example) = text.strip_prefix("example:").and_then(example) {
            return Source::Example(example);
        }
        match text.rsplit_once(SEPARATOR) {
            // A file may be named so.
            Some((file, network)) if !file.is_empty() && !network.is_empty() && !Path::new(&text).exists() => {
                Source::Network { file: file.into(), network: network.into() }
            }
            _ => Source::File(text.into()),
        }
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
            Source::Network { file, network } => write!(f, "{}{SEPARATOR}{network}", file.display()),
            Source::Example(example) => write!(f, "example:{}", example.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_written_and_read_again() {
        for text in ["a b.pt", "C:\\models\\ffhq.pkl", "train.pt::state_dict.generator", "example:faces", "::x", "x::"]
        {
            assert_eq!(Source::from(text.to_owned()).to_string(), text);
        }
        let source = Source::from("folder/train.pt".to_owned()).with_network(Some("g".into()));
        assert_eq!(source, Source::Network { file: "folder/train.pt".into(), network: "g".into() });
        assert_eq!((source.to_string().as_str(), source.short_name().as_str()), ("folder/train.pt::g", "train"));
        assert_eq!(Source::Example(Example::Faces).with_network(None), Source::Example(Example::Faces));
    }
}
