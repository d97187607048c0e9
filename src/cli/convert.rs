//! `convert`: a generator as safetensors with canonical names.

use std::path::PathBuf;

use clap::Args;

use super::progress::Bar;
use super::{arguments, open_weights, print};
use crate::export::{self, Precision};
use crate::render::Source;

const EXAMPLES: &str = "\
Examples:
  sefa-studio convert ffhq.pkl ffhq.safetensors
  sefa-studio convert stylegan2-ffhq.pt ffhq.safetensors --half

Only the generator is kept, its averaged copy where there is one. The result opens by itself, in less time, and holds \
nothing but numbers.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Checkpoint, or example:toy-heads
    #[arg(value_parser = arguments::source())]
    file: Source,

    /// File to write; replaced if it exists
    #[arg(value_name = "OUT.safetensors", value_parser = safetensors_path)]
    out: PathBuf,

    /// Store half-precision numbers: half the size, pictures differ by about one part in a thousand
    #[arg(long)]
    half: bool,
}

fn safetensors_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let matches = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors"));
    if matches { Ok(path) } else { Err("expected a name ending in .safetensors".into()) }
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let weights = open_weights(&arguments.file)?;
    let precision = if arguments.half { Precision::Half } else { Precision::Single };
    let bytes = export::write_weights(&arguments.out, &weights, precision, &mut Bar::new().report())?;
    let (count, megabytes) = (weights.names().count(), bytes as f64 / 1e6);
    print(&format!("{count} tensors of a {}, {megabytes:.1} MB, in {}\n", weights.family, arguments.out.display()))
}
