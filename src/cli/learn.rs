//! `learn`: a direction from what a predictor says of samples, or from marks.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, ensure};
use clap::Args;

use super::arguments::{self, DeviceArguments, LayerChoice, Numbers, ReadingArguments};
use super::info::printable;
use super::print;
use super::render::{self, Opened, SampleArguments};
use super::scored::ScoreArguments;
use crate::analysis::{Learned, from_marks, from_scores, titles_for};
use crate::edit::{Direction, Edit, Origin, Vectors};
use crate::export::{self, Shot};
use crate::generator::ModelInfo;
use crate::library::{self, Library, LibraryModel};
use crate::render::{Engine, Source};
use crate::store::Folders;

const EXAMPLES: &str = "\
Examples:
  sefa-studio learn --attribute smile --out smile.npy
      the direction of smiles of the built-in heads, by their own network, as other tools read it
  sefa-studio learn ffhq.pkl --predictor celeba.onnx --attribute young --psi 0.7
      into the library of the model, where the window shows it under Own
  sefa-studio learn ffhq.pkl --up 3,7,12,20 --down 4,9,15 --name winter --out winter.json
      from samples that you liked and others that you did not, by their seeds

From scores it is ridge regression over all samples, from marks logistic regression; both hold out every fifth sample and say how much \
of it is foretold. What is learned is one vector for all layers, of unit length; --layers says which of them it moves.";

/// Samples, if not asked otherwise: as many as the paper scored.
const SAMPLES: u32 = 2000;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Generator: a checkpoint, or example:toy-heads [default: the built-in one]
    #[arg(value_parser = arguments::source())]
    file: Option<Source>,

    #[command(flatten)]
    reading: ReadingArguments,

    /// What is to rise along the direction: the name of an attribute of the predictor, or a word of it
    #[arg(long, value_name = "NAME", required_unless_present = "up", conflicts_with_all = ["up", "down"])]
    attribute: Option<String>,

    /// Seeds of samples that have it, such as 3,7,12-15
    #[arg(long, value_name = "SEEDS", requires = "down", conflicts_with_all = ["seeds", "latents"])]
    up: Option<Numbers>,

    /// Seeds of samples that do not have it
    #[arg(long, value_name = "SEEDS", requires = "up")]
    down: Option<Numbers>,

    /// Layers that it moves
    #[arg(long, default_value = "all")]
    layers: LayerChoice,

    /// What it is called [default: the attribute]
    #[arg(long)]
    name: Option<String>,

    /// Where to write it: .npy ([1, dim], as InterFaceGAN's boundaries), or a library, .json or .safetensors [default: into the library
    /// of the model]
    #[arg(long, value_name = "FILE", value_parser = out_file)]
    out: Option<PathBuf>,

    #[command(flatten)]
    score: ScoreArguments,

    #[command(flatten, next_help_heading = "Samples")]
    sample: SampleArguments,
}

fn out_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match ending.as_str() {
        "npy" | "json" | "safetensors" => Ok(path),
        _ => Err("expected a name ending in .npy, .json or .safetensors".into()),
    }
}

pub fn run(mut arguments: Arguments, device: DeviceArguments) -> anyhow::Result<()> {
    let marks = arguments.up.take().zip(arguments.down.take());
    let (learned, info, what) = match marks {
        Some((up, down)) => of_marks(&mut arguments, &up, &down, device)?,
        None => of_scores(&mut arguments, device)?,
    };
    let name: String = arguments.name.clone().unwrap_or(what).chars().take(library::MAX_NAME).collect();
    let layers = arguments.layers.resolve(&info)?;
    let (Learned { vector, held_out, samples }, dim) = (learned, info.code_dim());
    let direction =
        Direction { layers, vectors: Vectors::One(vector.clone()), origin: Origin::Learned { name: name.clone() } };
    let place = match &arguments.out {
        Some(path) if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npy")) => {
            export::write_npy(path, &[1, dim], &vector)?;
            path.display().to_string()
        }
        Some(path) => {
            library_of(direction, &name, &info).export(path)?;
            path.display().to_string()
        }
        None => {
            let folder = Folders::of_user().context("there is no folder for data: this user has no home")?.libraries();
            library::update(&folder, &library_of(direction, &name, &info))?;
            "the library of the model".into()
        }
    };
    let told =
        held_out.map_or_else(String::new, |share| format!(", {:.0} % of a fifth that was held out", 100.0 * share));
    print(&format!("{}: learned from {samples} samples{told}; in {place}\n", printable(&name)))
}

fn library_of(direction: Direction, name: &str, info: &ModelInfo) -> Library {
    Library::of_named(LibraryModel::from(info), [(Arc::new(direction), name.to_owned(), None)])
}

fn of_scores(arguments: &mut Arguments, device: DeviceArguments) -> anyhow::Result<(Learned, Arc<ModelInfo>, String)> {
    let Arguments { file, reading, score, sample, attribute, .. } = arguments;
    let word = attribute.as_deref().context("--attribute: expected a name")?;
    let mut subject = score.open(file.take(), reading, sample, device, SAMPLES)?;
    let attributes = subject.predictor.attributes().to_vec();
    let titles = titles_for(&attributes, word)?;
    let meant: Vec<usize> =
        (0..attributes.len()).filter(|&at| titles.contains(&attributes[at].title.as_str())).collect();
    let names: Vec<&str> = meant.iter().map(|&at| attributes[at].name.as_str()).collect();
    ensure!(meant.len() == 1, "--attribute {word}: expected one attribute, found {}", names.join(", "));
    let (run, stopped) = subject.measure(Vec::new(), score)?;
    stopped?;
    let scores: Vec<f64> = run.scores(meant[0]).collect();
    let codes = codes_of(&mut subject.engine, &subject.samples)?;
    let codes: Vec<&[f32]> = codes.iter().map(Vec::as_slice).collect();
    let learned = from_scores(&codes, &scores).with_context(|| format!("{} cannot be learned", names[0]))?;
    Ok((learned, subject.info, titles[0].to_owned()))
}

fn of_marks(
    arguments: &mut Arguments,
    Numbers(up): &Numbers,
    Numbers(down): &Numbers,
    device: DeviceArguments,
) -> anyhow::Result<(Learned, Arc<ModelInfo>, String)> {
    if let Some(both) = up.iter().find(|seed| down.contains(seed)) {
        anyhow::bail!("seed {both} is marked both up and down");
    }
    arguments.sample.take_seeds(up.iter().chain(down).copied().collect());
    let Opened { mut engine, info, starts, .. } =
        render::open(arguments.file.take(), &arguments.reading, &arguments.sample, device)?;
    let codes = codes_of(&mut engine, &starts)?;
    let codes: Vec<&[f32]> = codes.iter().map(Vec::as_slice).collect();
    let (up, down) = codes.split_at(up.len());
    Ok((from_marks(up, down)?, info, "marks".to_owned()))
}

/// What moves act on, of each sample: its code in w, or z; where layers differ, that of the first.
fn codes_of(engine: &mut Engine, samples: &[Shot]) -> anyhow::Result<Vec<Vec<f32>>> {
    let edits: Vec<&Edit> = samples.iter().map(|sample| &sample.edit).collect();
    let codes = engine.codes(&edits)?;
    Ok(codes.into_iter().filter_map(|layers| layers.into_iter().next()).collect())
}
