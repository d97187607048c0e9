//! Where a model comes from: a file, or one of the generators inside the program.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::edit::SeedKind;
use crate::generator::SEEDS_KEY;
use crate::layout::SETTINGS;
use crate::progress::Report;

/// Between a file and the path of a network in it, and before what is said of it.
const SEPARATOR: &str = "::";

/// A model to open. Written as a path, as a path and a network in that file (`train.pt::g`), or as `example:toy-heads`. What a
/// person knows of a file that it does not say itself comes last: `faces.pth::upsampling=bilinear`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Source {
    File(PathBuf),
    /// Another network of a file than the likeliest: `network` is its path in it.
    Network {
        file: PathBuf,
        network: String,
    },
    /// A file, as if its metadata said `statements` too ([`SETTINGS`]).
    Told {
        file: PathBuf,
        network: Option<String>,
        statements: BTreeMap<String, String>,
    },
    Example(Example),
}

/// A file, a network in it, and what is said of it.
type Parts = (PathBuf, Option<String>, BTreeMap<String, String>);

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
            Example::ToyHeads => 17,
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
            Source::Told { file, network, statements } => {
                let mut checkpoint = Checkpoint { network: network.clone(), ..Checkpoint::open(file, report)? };
                checkpoint.metadata.extend(statements.clone());
                Ok(checkpoint)
            }
            Source::Example(example) => {
                let mut checkpoint = Checkpoint::from_static(example.bytes(), example.name())?;
                // Their home is this program: pictures, cards and `first_seed` speak of its own seeds.
                checkpoint.metadata.insert(SEEDS_KEY.into(), SeedKind::Studio.to_string());
                Ok(checkpoint)
            }
        }
    }

    /// The parts of a file's source; those of an example are none.
    fn parts(self) -> Result<Parts, Source> {
        match self {
            Source::File(file) => Ok((file, None, BTreeMap::new())),
            Source::Network { file, network } => Ok((file, Some(network), BTreeMap::new())),
            Source::Told { file, network, statements } => Ok((file, network, statements)),
            Source::Example(_) => Err(self),
        }
    }

    fn of_parts((file, network, statements): Parts) -> Source {
        match network {
            _ if !statements.is_empty() => Source::Told { file, network, statements },
            Some(network) => Source::Network { file, network },
            None => Source::File(file),
        }
    }

    /// The file, unless it is part of the program.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Source::File(file) | Source::Network { file, .. } | Source::Told { file, .. } => Some(file),
            Source::Example(_) => None,
        }
    }

    /// The same, so that it can be found from any folder.
    pub fn absolute(&self) -> Source {
        match self.clone().parts() {
            Ok((file, network, statements)) => {
                Source::of_parts((std::path::absolute(&file).unwrap_or(file), network, statements))
            }
            Err(example) => example,
        }
    }

    /// A certain network of the file; `None`: the likeliest one.
    pub fn with_network(self, network: Option<String>) -> Source {
        match self.parts() {
            Ok((file, before, statements)) => Source::of_parts((file, network.or(before), statements)),
            Err(example) => example,
        }
    }

    /// The same file with more said of it, or something else than before.
    pub fn told(self, more: impl IntoIterator<Item = (&'static str, String)>) -> Source {
        match self.parts() {
            Ok((file, network, mut statements)) => {
                statements.extend(more.into_iter().map(|(key, text)| (key.to_owned(), text)));
                Source::of_parts((file, network, statements))
            }
            Err(example) => example,
        }
    }

    /// A short name to show: the file's stem, or the example's name.
    pub fn short_name(&self) -> String {
        match self {
            Source::File(file) | Source::Network { file, .. } | Source::Told { file, .. } => {
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
        if let Some((rest, said)) = text.rsplit_once(SEPARATOR)
            && let Some(statements) = statements(said).filter(|_| !rest.is_empty() && !Path::new(&text).exists())
        {
            return Source::from(rest.to_owned()).told(statements);
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

/// `upsampling=bilinear,channel_order=rgb`; `None` if any of it is something else.
fn statements(text: &str) -> Option<Vec<(&'static str, String)>> {
    let statement = |text: &str| {
        let (key, text) = text.split_once('=')?;
        SETTINGS.into_iter().find(|known| *known == key).map(|key| (key, text.to_owned()))
    };
    text.split(',').map(statement).collect()
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
            Source::Told { file, network, statements } => {
                write!(f, "{}", file.display())?;
                network.iter().try_for_each(|network| write!(f, "{SEPARATOR}{network}"))?;
                let said: Vec<String> = statements.iter().map(|(key, text)| format!("{key}={text}")).collect();
                write!(f, "{SEPARATOR}{}", said.join(","))
            }
            Source::Example(example) => write!(f, "example:{}", example.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_written_and_read_again() {
        for text in [
            "a b.pt",
            "C:\\models\\ffhq.pkl",
            "train.pt::state_dict.generator",
            "example:faces",
            "::x",
            "x::",
            "a.pth::upsampling=bilinear",
            "a.pth::g::channel_order=rgb,upsampling=fir",
        ] {
            assert_eq!(Source::from(text.to_owned()).to_string(), text);
        }
        let source = Source::from("folder/train.pt".to_owned()).with_network(Some("g".into()));
        assert_eq!(source, Source::Network { file: "folder/train.pt".into(), network: "g".into() });
        assert_eq!((source.to_string().as_str(), source.short_name().as_str()), ("folder/train.pt::g", "train"));
        assert_eq!(Source::Example(Example::Faces).with_network(None), Source::Example(Example::Faces));
        let told = source.told([("upsampling", "bilinear".into())]);
        assert_eq!(
            (told.to_string().as_str(), told.short_name().as_str()),
            ("folder/train.pt::g::upsampling=bilinear", "train")
        );
        assert_eq!(told.clone().told([("upsampling", "fir".into())]).to_string(), "folder/train.pt::g::upsampling=fir");
        assert_eq!(told.with_network(Some("h".into())).to_string(), "folder/train.pt::h::upsampling=bilinear");
    }
}
