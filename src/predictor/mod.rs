//! What a picture shows, in numbers: an ONNX network of anybody's, or statistics that need none.
//!
//! A network is hostile input. Its file is read as checkpoints are, its graph is understood node by node ([`graph`]) with all sizes
//! and the whole work before anything runs, and what runs is written anew from what was understood.

mod description;
mod graph;
mod input;
mod network;
mod statistics;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::progress::Report;
pub use description::{Description, DescriptionError};
pub use network::ImageNetwork;

/// One of the numbers that a predictor gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attribute {
    /// "ground_hue (cos)".
    pub name: String,
    /// What it is a part of, as people say it: "background". Attributes of one title are one thing.
    pub title: String,
    /// What more of it looks like: "smiling"; empty if nobody said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub plus: String,
    /// What less of it looks like: "serious".
    #[serde(skip_serializing_if = "String::is_empty")]
    pub minus: String,
}

impl Attribute {
    /// Of which nothing but the name is known.
    pub fn named(name: &str) -> Self {
        let title = name.replace('_', " ").trim().to_owned();
        Attribute { name: name.into(), title, plus: String::new(), minus: String::new() }
    }
}

/// Where a predictor comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PredictorSource {
    /// What needs no network.
    Statistics,
    /// The regressor of the toy heads, which is part of the program.
    ToyHeads,
    /// An ONNX file, perhaps with a description beside it.
    File(PathBuf),
}

const STATISTICS: &str = "statistics";
const TOY_HEADS: &str = "example:toy-heads";

impl FromStr for PredictorSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            STATISTICS => Ok(PredictorSource::Statistics),
            TOY_HEADS => Ok(PredictorSource::ToyHeads),
            other if other.starts_with("example:") => Err(format!("expected {TOY_HEADS}, {STATISTICS}, or a file")),
            file => Ok(PredictorSource::File(file.into())),
        }
    }
}

impl std::fmt::Display for PredictorSource {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            PredictorSource::Statistics => f.write_str(STATISTICS),
            PredictorSource::ToyHeads => f.write_str(TOY_HEADS),
            PredictorSource::File(path) => path.display().fmt(f),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PredictorError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// No network that can be used.
    #[error("{file}: {problem}")]
    Refused { file: String, problem: String },
    #[error("{file} failed on a picture: {problem}")]
    Run { file: String, problem: String },
}

/// Tells numbers of pictures.
pub enum Predictor {
    Statistics(Vec<Attribute>),
    Network(Box<ImageNetwork>),
}

impl Predictor {
    /// # Errors
    /// The file cannot be read, is no network that takes pictures, would cost too much, or does not fit its description; or `report`
    /// stopped the work.
    pub fn open(source: &PredictorSource, report: Report) -> Result<Self, PredictorError> {
        let (checkpoint, description) = match source {
            PredictorSource::Statistics => return Ok(Predictor::Statistics(statistics::attributes())),
            PredictorSource::ToyHeads => {
                let network = include_bytes!("../../models/toy-heads/regressor.onnx");
                let json = include_str!("../../models/toy-heads/regressor.predictor.json");
                let description = Description::parse(json, Path::new("regressor.predictor.json"))?;
                (Checkpoint::from_static(network, "regressor.onnx")?, Some(description))
            }
            PredictorSource::File(path) => (Checkpoint::open(path, report)?, Description::beside(path)?),
        };
        Ok(Predictor::Network(Box::new(ImageNetwork::new(&checkpoint, description)?)))
    }

    /// The numbers that it gives, in order.
    pub fn attributes(&self) -> &[Attribute] {
        match self {
            Predictor::Statistics(attributes) => attributes,
            Predictor::Network(network) => network.attributes(),
        }
    }

    /// Larger side that pictures need to have, if theirs is larger: no more is looked at.
    pub fn side(&self, size: [usize; 2]) -> usize {
        match self {
            Predictor::Statistics(_) => statistics::SIDE,
            Predictor::Network(network) => network.side(size),
        }
    }

    /// Numbers `[N, attributes]` of pictures `[N, 3, height, width]` of `size`, planes of red, green and blue in -1..=1 (what lies
    /// beyond is limited). On all cores.
    ///
    /// # Errors
    /// The network failed.
    pub fn predict(&self, pictures: &[f32], size: [usize; 2]) -> Result<Vec<f32>, PredictorError> {
        match self {
            Predictor::Statistics(_) => {
                let pictures = pictures.chunks_exact(3 * size[0] * size[1]);
                Ok(pictures.flat_map(|picture| statistics::predict(picture, size)).collect())
            }
            Predictor::Network(network) => network.predict(pictures, size),
        }
    }
}
