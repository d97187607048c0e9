//! `info`: what is in a checkpoint.

use std::fmt::Write;

use clap::Args;

use super::{arguments, open_weights, print};
use crate::generator::{self, Group, ModelInfo};
use crate::render::{Example, Source};

const EXAMPLES: &str = "\
Examples:
  sefa-studio info ffhq.pkl
  sefa-studio info ffhq.pkl --json";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Checkpoint, or example:toy-heads [default: the built-in generator]
    #[arg(value_parser = arguments::source())]
    file: Option<Source>,

    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let source = arguments.file.unwrap_or(Source::Example(Example::default()));
    let weights = open_weights(&source)?;
    let info = generator::describe(&weights, &source.short_name())?;
    match arguments.json {
        true => print(&format!("{}\n", serde_json::to_string_pretty(&info)?)),
        false => print(&describe(&source, &info)),
    }
}

fn describe(source: &Source, info: &ModelInfo) -> String {
    let mut text = format!("{}\n", info.name);
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<11} {value}");
    };
    line("file", &format!("{source} ({}, {} layout)", info.container, info.layout));
    line("identity", &info.identity);
    let colours = match info.channels {
        1 => "grey".into(),
        3 => "RGB".into(),
        4 => "RGBA".into(),
        other => format!("{other} channels"),
    };
    line("generator", &format!("{}, {} x {} pixels, {colours}", info.family, info.resolution, info.resolution));
    let w = info.w_dim.map(|w_dim| format!(", w {w_dim}")).unwrap_or_default();
    let plural = if info.num_layers == 1 { "layer" } else { "layers" };
    line("latent", &format!("z {}{w}, {} {plural}", info.z_dim, info.num_layers));
    let group = |group: Group| Some(format!("{} {}", group.name().to_lowercase(), info.group(group)?));
    line(
        "groups",
        &[Group::Bottom, Group::Middle, Group::Top].into_iter().filter_map(group).collect::<Vec<_>>().join(", "),
    );
    line("classes", &info.classes.map_or("none".into(), |classes| classes.to_string()));
    if info.carries_code {
        line("code", "the file carries program code; it was not run");
    }
    for (key, value) in &info.metadata {
        line(key, value);
    }
    let _ = writeln!(text, "  {:>5} {:>11} {:>9}  tensors", "layer", "output", "channels");
    for layer in &info.layers {
        let output = format!("{0} x {0}", layer.resolution);
        let _ = writeln!(text, "  {:>5} {output:>11} {:>9}  {}", layer.index, layer.channels, layer.name);
    }
    for ignored in &info.ignored {
        let _ = writeln!(text, "  ignored: {ignored}");
    }
    for warning in &info.warnings {
        let _ = writeln!(text, "  warning: {warning}");
    }
    text
}
