//! `factorize`: the directions of a group of layers, as a table or a file.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use clap::Args;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};

use super::arguments::{self, DeviceArguments, LayerChoice, ReadingArguments};
use super::progress::Bar;
use super::sets::{MethodArguments, MethodChoice};
use super::{note, open_model, print};
use crate::directions::{DirectionSet, Scores};
use crate::edit::{Code, Direction, LayerSet, Weighting};
use crate::export::{self, Codes, Latents};
use crate::files;
use crate::generator::ModelInfo;
use crate::pca::Components;
use crate::render::{CodeSource, Engine, Example, Source};

const EXAMPLES: &str = "\
Examples:
  sefa-studio factorize --layers bottom                 the ten strongest directions of layers 0-1
  sefa-studio factorize ffhq.pkl --layers 2-5,7 --json  all of them, as JSON
  sefa-studio factorize ffhq.pkl --out directions.safetensors --top 50
  sefa-studio factorize ffhq.pkl --method pca           the principal components of 100000 codes (GANSpace)
  sefa-studio factorize ffhq.pkl --method pca --samples 1000000 --seed 3 --out pca.npy

A direction is a unit vector in the space of the latent code; its eigenvalue says how much it changes the styles of the \
chosen layers, its variance how much codes that are drawn differ along it. Files hold `eigenvalues` or `variances` [k], \
descending, and `directions` [k, dim]; those of PCA also the `mean` of the codes. npy holds the directions alone.

Principal components are those of w, or of z where there is no w, and are the same for all layers. Codes of conditional \
networks are of each class in turn. The same seed gives the same numbers, bit for bit, on the same device.";

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

    #[command(flatten)]
    method: MethodArguments,

    /// PCA: codes to take instead, z or w, in any file that `render --latents` reads
    #[arg(long, value_name = "FILE", conflicts_with_all = ["samples", "seed"])]
    latents: Option<PathBuf>,

    /// Which array of that file
    #[arg(long, value_name = "NAME", requires = "latents")]
    latents_key: Option<String>,
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
    arguments.method.refuse_others()?;
    let method = arguments.method.method;
    ensure!(method == MethodChoice::Pca || arguments.latents.is_none(), "--latents is an option of --method pca");
    let recipe = arguments.reading.recipe.clone();
    let source = arguments.reading.of(arguments.file.clone().unwrap_or(Source::Example(Example::default())));
    let (mut engine, info) = open_model(&source, device, recipe.as_deref())?;
    let layers = arguments.layers.resolve(&info)?;
    let found = match method {
        MethodChoice::Sefa => {
            let weighting = arguments.method.weighting();
            Found::sefa(DirectionSet::from(&*engine.factorize(&layers, weighting)?), weighting, &info)
        }
        MethodChoice::Pca => pca(&arguments, &mut engine, layers, &info)?,
        MethodChoice::Own => {
            bail!("directions of other tools are not found here: `library list` and `library export` have them")
        }
    };
    let top = arguments.top.map_or(found.vectors.len(), |top| found.vectors.len().min(top as usize));
    if let Some(file) = &arguments.out {
        found.save(file, top)?;
    }
    if arguments.json {
        return print(&found.to_json(top)?);
    }
    let mut text = found.table(arguments.top.map_or(TABLE_ROWS.min(top), |_| top), &info);
    if let Some(file) = &arguments.out {
        text.push_str(&format!("{top} directions in {}\n", file.path.display()));
    }
    print(&text)
}

fn pca(arguments: &Arguments, engine: &mut Engine, layers: LayerSet, info: &ModelInfo) -> anyhow::Result<Found> {
    if info.w_dim.is_none() {
        note(
            "the codes of this model are z, drawn alike in every direction: their components are chance. What GANSpace does for such \
             models, components of the first layer's outputs led back to z, has a closed form: --method sefa --raw-weights",
        );
    }
    let (source, from) = match &arguments.latents {
        Some(file) => given_codes(file, arguments.latents_key.as_deref(), info)?,
        None => {
            let (samples, seed) = arguments.method.drawn();
            (CodeSource::Drawn { samples, seed }, json!({ "samples": samples, "seed": seed }))
        }
    };
    let mut bar = Bar::new();
    let components = engine.components(source, &mut bar.report())?;
    drop(bar);
    Ok(Found::pca(&components, &layers, from, info))
}

/// Codes of a file, and what to say of them.
fn given_codes(file: &Path, key: Option<&str>, info: &ModelInfo) -> anyhow::Result<(CodeSource, Value)> {
    let Codes { codes, reading, doubt } = Latents::read(file, key)?.into_codes(None, info)?;
    note(&reading);
    doubt.iter().for_each(|doubt| super::warn(doubt));
    let about = json!({ "samples": codes.len(), "latents": file.to_string_lossy() });
    let (mut z, mut w) = (Vec::new(), Vec::new());
    for code in codes {
        match code {
            Code::Z(code) => z.push(code),
            Code::W(code) => w.push(code),
            Code::WPlus(_) | Code::Seed(_) | Code::Between(_) => {
                bail!("{}: expected codes in z or w, found one w per layer (w+)", file.display())
            }
        }
    }
    Ok((if w.is_empty() { CodeSource::Z(z) } else { CodeSource::Codes(w) }, about))
}

/// Directions, as a table or a file shows them.
struct Found {
    /// "layers 0-1, rows normalised"
    about: String,
    /// What files say besides.
    facts: Map<String, Value>,
    /// "eigenvalues" or "variances"
    scores_key: &'static str,
    scores: Scores,
    /// Unit vectors.
    vectors: Vec<Vec<f32>>,
    names: Vec<String>,
    mean: Option<Vec<f32>>,
}

impl Found {
    fn sefa(set: DirectionSet, weighting: Weighting, info: &ModelInfo) -> Self {
        let names = set.directions.iter().map(|direction| info.direction_names.of(direction).to_owned()).collect();
        let vector = |direction: &Direction| direction.vector_of(set.layers.first()).map(<[f32]>::to_vec);
        let mut facts = facts(info, &set.layers, "sefa");
        facts.insert("weighting".into(), weighting.name().into());
        Found {
            about: format!("layers {}, {}", set.layers, set.method.about()),
            facts,
            scores_key: "eigenvalues",
            vectors: set.directions.iter().filter_map(|direction| vector(direction)).collect(),
            scores: set.scores,
            names,
            mean: None,
        }
    }

    fn pca(components: &Components, layers: &LayerSet, from: Value, info: &ModelInfo) -> Self {
        let mut facts = facts(info, layers, "pca");
        let about = format!("layers {layers}, PCA of {} codes", from["samples"]);
        if let Value::Object(from) = from {
            facts.extend(from);
        }
        Found {
            about,
            facts,
            scores_key: "variances",
            scores: Scores::Variances(components.variances.clone()),
            vectors: (0..components.len()).map(|index| components.vector(index).to_vec()).collect(),
            names: vec![String::new(); components.len()],
            mean: Some(components.mean.clone()),
        }
    }

    fn table(&self, rows: usize, info: &ModelInfo) -> String {
        let mut text = format!("{}, {}\n", info.name, self.about);
        let names = &self.names[..rows];
        let named = if names.iter().any(|name| !name.is_empty()) { "  name" } else { "" };
        let score = self.scores.name();
        text.push_str(&format!("{:>9} {score:>12} {:>8} {:>11}{named}\n", "direction", "share", "cumulative"));
        let mut cumulative = 0.0;
        for (index, (name, score)) in names.iter().zip(self.scores.values()).enumerate() {
            let share = self.scores.share(index).unwrap_or_default();
            cumulative += share;
            let (share, cumulative) = (100.0 * share, 100.0 * cumulative);
            let gap = if name.is_empty() { "" } else { "  " };
            text.push_str(&format!("{index:>9} {score:>12.5} {share:>6.2} % {cumulative:>9.2} %{gap}{name}\n"));
        }
        if rows < self.vectors.len() {
            text.push_str(&format!("... {rows} of {} directions; --top K shows more\n", self.vectors.len()));
        }
        text
    }

    fn to_json(&self, top: usize) -> serde_json::Result<String> {
        let mut all = self.facts.clone();
        all.insert(self.scores_key.into(), json!(self.scores.values()[..top]));
        if let Some(mean) = &self.mean {
            all.insert("mean".into(), json!(mean));
        }
        all.insert("directions".into(), json!(self.vectors[..top]));
        Ok(serde_json::to_string(&all)? + "\n")
    }

    fn save(&self, file: &OutputFile, top: usize) -> anyhow::Result<()> {
        let directions = self.vectors[..top].concat();
        let dim = directions.len() / top;
        match file.format {
            Format::Json => files::write_bytes(&file.path, self.to_json(top)?.as_bytes())?,
            Format::Npy => export::write_npy(&file.path, &[top, dim], &directions)?,
            Format::Safetensors => {
                let scores: Vec<u8> = self.scores.values()[..top].iter().flat_map(|x| x.to_le_bytes()).collect();
                let [directions, mean] = [&directions, self.mean.as_deref().unwrap_or_default()]
                    .map(|values| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
                let mut tensors = vec![
                    (self.scores_key, TensorView::new(Dtype::F64, vec![top], &scores)?),
                    ("directions", TensorView::new(Dtype::F32, vec![top, dim], &directions)?),
                ];
                if self.mean.is_some() {
                    tensors.push(("mean", TensorView::new(Dtype::F32, vec![dim], &mean)?));
                }
                let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let about = self.facts.iter().map(|(key, value)| (key.clone(), text(value))).collect();
                let bytes = safetensors::serialize(tensors, Some(about)).context("cannot encode the directions")?;
                files::write_bytes(&file.path, &bytes)?;
            }
        }
        Ok(())
    }
}

fn facts(info: &ModelInfo, layers: &LayerSet, method: &str) -> Map<String, Value> {
    let facts = [
        ("model", info.name.clone()),
        ("identity", info.identity.clone()),
        ("layers", layers.to_string()),
        ("method", method.to_owned()),
    ];
    facts.into_iter().map(|(key, text)| (key.to_owned(), text.into())).collect()
}
