//! `convert`: a generator as safetensors with canonical names.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;

use super::arguments::{self, ReadingArguments};
use super::progress::Bar;
use super::{open_weights, print};
use crate::export::{self, NumberFormat};
use crate::names;
use crate::project::Project;
use crate::render::Source;

const EXAMPLES: &str = "\
Examples:
  sefa-studio convert ffhq.pkl ffhq.safetensors
  sefa-studio convert stylegan2-ffhq.pt ffhq.safetensors --half
  sefa-studio convert ffhq.pkl ffhq.safetensors --names my-edit.json --about license=CC-BY-NC-4.0
  sefa-studio convert faces-bilinear.pth faces.safetensors --upsampling bilinear

Only the generator is kept, its averaged copy where there is one. The result opens by itself, in less time, and holds \
nothing but numbers.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Checkpoint, or example:toy-heads
    #[arg(value_parser = arguments::source())]
    file: Source,

    #[command(flatten)]
    reading: ReadingArguments,

    /// File to write; replaced if it exists
    #[arg(value_name = "OUT.safetensors", value_parser = safetensors_path)]
    out: PathBuf,

    /// Store half-precision numbers: half the size, pictures differ by about one part in a thousand
    #[arg(long)]
    half: bool,

    /// Names of directions to send along: an edit saved or exported in the window (.json or .png)
    #[arg(long, value_name = "EDIT")]
    names: Option<PathBuf>,

    /// Something the file says of itself, such as title, license, source or slider_range; may be given several times
    #[arg(long, value_name = "KEY=TEXT", value_parser = statement)]
    about: Vec<(String, String)>,
}

fn statement(text: &str) -> Result<(String, String), String> {
    let (key, text) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("expected KEY=TEXT")?;
    Ok((key.into(), text.into()))
}

fn safetensors_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let matches = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors"));
    if matches { Ok(path) } else { Err("expected a name ending in .safetensors".into()) }
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let source = arguments.reading.of(arguments.file);
    let mut weights = open_weights(&source, arguments.reading.recipe.as_deref())?;
    arguments.reading.warn_of_no_effect(weights.family);
    if let Some(path) = &arguments.names {
        let Project { model, names, .. } = Project::load(path)?;
        let expected = weights.identity()?;
        ensure!(
            model.identity == expected,
            "{}: names of directions of another model, {} ({}), not of {}",
            path.display(),
            model.name,
            model.family,
            source
        );
        weights.metadata.insert(names::METADATA_KEY.into(), serde_json::to_string(&names)?);
    }
    weights.metadata.extend(arguments.about);
    let precision = if arguments.half { NumberFormat::Half } else { NumberFormat::Single };
    let bytes = export::write_weights(&arguments.out, &weights, precision, &mut Bar::new().report())?;
    let (count, megabytes) = (weights.names().count(), bytes as f64 / 1e6);
    print(&format!("{count} tensors of a {}, {megabytes:.1} MB, in {}\n", weights.family, arguments.out.display()))
}
