//! `factorize`: the directions of a group of layers, as a table or a file.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use clap::Args;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::Serialize;

use super::arguments::{self, DeviceArguments, LayerChoice, ReadingArguments};
use super::{open_model, print};
use crate::directions::{DirectionSet, Method};
use crate::edit::{LayerSet, Weighting};
use crate::export;
use crate::files;
use crate::generator::ModelInfo;
use crate::render::{Example, Source};

const EXAMPLES: &str = "\
Examples:
  sefa-studio factorize --layers bottom                 the ten strongest directions of layers 0-1
  sefa-studio factorize ffhq.pkl --layers 2-5,7 --json  all of them, as JSON
  sefa-studio factorize ffhq.pkl --out directions.safetensors --top 50

A direction is a unit vector in the space of the latent code; its eigenvalue says how much it changes the styles of the \
chosen layers. Files hold `eigenvalues` [k], descending, and `directions` [k, dim]; npy holds the directions alone.";

/// Rows of the printed table, if not asked otherwise.
const TABLE_ROWS: usize = 10;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Generator: a checkpoint, or example:toy-heads [default: the built-in one]
    #[arg(value_parser = arguments::source())]
    file: Option<Source>,

    #[command(flatten)]
    reading: ReadingArguments,

    /// Layers to factorise: all, bottom, middle, top, or such as 2-5,7
    #[arg(long, default_value = "all")]
    layers: LayerChoice,

    /// Only the K strongest directions [default: 10 in the table, all in JSON and files]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,

    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,

    /// Also save the directions as .json, .npy or .safetensors
    #[arg(long, value_name = "FILE")]
    out: Option<OutputFile>,

    /// Factorise the weights as stored, their rows not normalised
    #[arg(long)]
    raw_weights: bool,
}

/// A file whose name says its format.
#[derive(Clone, Debug)]
struct OutputFile {
    path: PathBuf,
    format: Format,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Json,
    Npy,
    Safetensors,
}

impl FromStr for OutputFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = PathBuf::from(text);
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let format = match extension.as_str() {
            "json" => Format::Json,
            "npy" => Format::Npy,
            "safetensors" => Format::Safetensors,
            _ => return Err("expected a name ending in .json, .npy or .safetensors".into()),
        };
        Ok(OutputFile { path, format })
    }
}

pub fn run(arguments: Arguments, device: DeviceArguments) -> anyhow::Result<()> {
    let recipe = arguments.reading.recipe.clone();
    let source = arguments.reading.of(arguments.file.unwrap_or(Source::Example(Example::default())));
    let (mut engine, info) = open_model(&source, device, recipe.as_deref())?;
    let layers = arguments.layers.resolve(&info)?;
    let weighting = if arguments.raw_weights { Weighting::Raw } else { Weighting::RowNormalised };
    let set = DirectionSet::from(&*engine.factorize(&layers, weighting)?);
    let top = arguments.top.map_or(set.len(), |top| set.len().min(top as usize));
    if let Some(file) = &arguments.out {
        save(file, &set, top, &info)?;
    }
    if arguments.json {
        return print(&to_json(&set, top, &info)?);
    }
    let rows = arguments.top.map_or(TABLE_ROWS.min(set.len()), |_| top);
    let mut text = table(&set, rows, &info);
    if let Some(file) = &arguments.out {
        text.push_str(&format!("{top} directions in {}\n", file.path.display()));
    }
    print(&text)
}

fn table(set: &DirectionSet, rows: usize, info: &ModelInfo) -> String {
    let mut text = format!("{}, layers {}, {}\n", info.name, set.layers, set.method.about());
    let names: Vec<&str> = set.directions[..rows].iter().map(|direction| info.direction_names.of(direction)).collect();
    let named = if names.iter().any(|name| !name.is_empty()) { "  name" } else { "" };
    let score = set.scores.name();
    text.push_str(&format!("{:>9} {score:>12} {:>8} {:>11}{named}\n", "direction", "share", "cumulative"));
    let mut cumulative = 0.0;
    for (index, (name, score)) in names.iter().zip(set.scores.values()).enumerate() {
        let share = set.scores.share(index).unwrap_or_default();
        cumulative += share;
        let (share, cumulative) = (100.0 * share, 100.0 * cumulative);
        let gap = if name.is_empty() { "" } else { "  " };
        text.push_str(&format!("{index:>9} {score:>12.5} {share:>6.2} % {cumulative:>9.2} %{gap}{name}\n"));
    }
    if rows < set.len() {
        text.push_str(&format!("... {rows} of {} directions; --top K shows more\n", set.len()));
    }
    text
}

/// What JSON output holds; safetensors has the texts as metadata.
#[derive(Serialize)]
struct Directions<'a> {
    model: &'a str,
    identity: &'a str,
    layers: &'a LayerSet,
    weighting: Weighting,
    eigenvalues: &'a [f64],
    directions: Vec<&'a [f32]>,
}

fn to_json(set: &DirectionSet, top: usize, info: &ModelInfo) -> serde_json::Result<String> {
    let Method::Sefa { weighting } = set.method;
    let directions = Directions {
        model: &info.name,
        identity: &info.identity,
        layers: &set.layers,
        weighting,
        eigenvalues: &set.scores.values()[..top],
        directions: vectors(set, top).collect(),
    };
    Ok(serde_json::to_string(&directions)? + "\n")
}

/// The vectors of the first directions, each the same in all layers.
fn vectors(set: &DirectionSet, top: usize) -> impl Iterator<Item = &[f32]> {
    set.directions[..top].iter().filter_map(|direction| direction.vector_of(set.layers.first()))
}

fn save(file: &OutputFile, set: &DirectionSet, top: usize, info: &ModelInfo) -> anyhow::Result<()> {
    let directions: Vec<f32> = vectors(set, top).flatten().copied().collect();
    let dim = directions.len() / top;
    match file.format {
        Format::Json => files::write_bytes(&file.path, to_json(set, top, info)?.as_bytes())?,
        Format::Npy => export::write_npy(&file.path, &[top, dim], &directions)?,
        Format::Safetensors => {
            let eigenvalues: Vec<u8> =
                set.scores.values()[..top].iter().flat_map(|value| value.to_le_bytes()).collect();
            let directions: Vec<u8> = directions.iter().flat_map(|value| value.to_le_bytes()).collect();
            let tensors = [
                ("eigenvalues", TensorView::new(Dtype::F64, vec![top], &eigenvalues)?),
                ("directions", TensorView::new(Dtype::F32, vec![top, dim], &directions)?),
            ];
            let Method::Sefa { weighting } = set.method;
            let about = [
                ("model", info.name.clone()),
                ("identity", info.identity.clone()),
                ("layers", set.layers.to_string()),
                ("weighting", weighting.name().to_owned()),
            ];
            let about = about.map(|(key, text)| (key.to_owned(), text)).into_iter().collect();
            let bytes = safetensors::serialize(tensors, Some(about)).context("cannot encode the directions")?;
            files::write_bytes(&file.path, &bytes)?;
        }
    }
    Ok(())
}
