//! `info`: what is in a checkpoint.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::arguments::{self, ReadingArguments};
use super::{open_weights, print};
use crate::classes::Classes;
use crate::generator::{self, Group, ModelInfo};
use crate::layout::ChannelOrder;
use crate::render::{Example, Source};

const EXAMPLES: &str = "\
Examples:
  sefa-studio info ffhq.pkl
  sefa-studio info ffhq.pkl --json
  sefa-studio info digits.pth --recipe digits.json   then change it, and: render digits.pth --as digits.json";

/// Entries of a file's metadata that come first, if it has them.
const TOLD_FIRST: [&str; 5] = ["title", "author", "license", "licence", "source"];

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Checkpoint, or example:toy-heads [default: the built-in generator]
    #[arg(value_parser = arguments::source())]
    file: Option<Source>,

    #[command(flatten)]
    reading: ReadingArguments,

    /// Print JSON instead of text
    #[arg(long)]
    json: bool,

    /// Write the network step by step, for --as after it was changed
    #[arg(long = "recipe", value_name = "RECIPE.json")]
    recipe_out: Option<PathBuf>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let source = arguments.reading.of(arguments.file.unwrap_or(Source::Example(Example::default())));
    let weights = open_weights(&source, arguments.reading.recipe.as_deref())?;
    arguments.reading.warn_of_no_effect(weights.family);
    let info = generator::describe(&weights, &source.short_name())?;
    if let Some(path) = &arguments.recipe_out {
        let none = || format!("a {} has no recipe: its own code draws it", info.family);
        let mut json = serde_json::to_string_pretty(info.recipe.as_ref().with_context(none)?)?;
        json.push('\n');
        std::fs::write(path, json).with_context(|| path.display().to_string())?;
    }
    match arguments.json {
        true => print(&format!("{}\n", serde_json::to_string_pretty(&info)?)),
        false => print(&describe(&source, &info)),
    }
}

fn describe(source: &Source, info: &ModelInfo) -> String {
    let mut text = format!("{}\n", printable(&info.name));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {:<11} {}", printable(name), printable(value));
    };
    line("file", &format!("{source} ({}, {} layout)", info.container, info.layout));
    line("network", &info.network_taken);
    line("identity", &info.identity);
    let colours = match info.channels {
        1 => "grey".into(),
        3 if info.channel_order == ChannelOrder::Bgr => "BGR, shown as RGB".into(),
        3 => "RGB".into(),
        4 => "RGBA".into(),
        other => format!("{other} channels"),
    };
    line("generator", &format!("{}, {} pixels, {colours}", info.family, info.size));
    let w = info.w_dim.map(|w_dim| format!(", w {w_dim}")).unwrap_or_default();
    let plural = if info.num_layers == 1 { "layer" } else { "layers" };
    line("latent", &format!("z {}{w}, {} {plural}", info.z_dim, info.num_layers));
    line("seeds", &format!("of {}", info.seeds.tool()));
    let group = |group: Group| Some(format!("{} {}", group.name().to_lowercase(), info.group(group)?));
    line(
        "groups",
        &[Group::Bottom, Group::Middle, Group::Top].into_iter().filter_map(group).collect::<Vec<_>>().join(", "),
    );
    line("classes", &classes(info));
    if info.carries_code {
        line("code", "contains program code, which was not run");
    }
    for fact in &info.facts {
        line(&fact.what, &format!("{} ({})", fact.value, fact.source));
    }
    // What people ask for first; the rest of what the file says of itself follows.
    let is_told = |key: &&String| TOLD_FIRST.contains(&key.as_str());
    let keys = TOLD_FIRST.into_iter().chain(info.metadata.keys().filter(|key| !is_told(key)).map(String::as_str));
    for key in keys {
        if let Some(value) = info.metadata.get(key) {
            line(key, value);
        }
    }
    let _ = writeln!(text, "  {:>5} {:>11} {:>9}  tensors", "layer", "output", "channels");
    for layer in &info.layers {
        let output = layer.size.to_string();
        let _ = writeln!(text, "  {:>5} {output:>11} {:>9}  {}", layer.index, layer.channels, printable(&layer.name));
    }
    for ignored in &info.ignored {
        let _ = writeln!(text, "  ignored: {}", printable(ignored));
    }
    for warning in &info.warnings {
        let _ = writeln!(text, "  warning: {}", printable(warning));
    }
    text
}

fn classes(info: &ModelInfo) -> String {
    let Some(count) = info.classes else { return "none".into() };
    let classes = Classes::new(count);
    match (classes.are_named(), count) {
        (true, _) => format!("{count} of ImageNet, {} to {}", classes.label(0), classes.label(count - 1)),
        (false, 0 | 1) => count.to_string(),
        (false, _) => format!("{count}, 0 to {}", count - 1),
    }
}

/// Text from a file, for a terminal: its lines are indented, and signs that would steer the terminal are left out.
pub(super) fn printable(text: &str) -> String {
    let lines = text.lines().map(|line| line.chars().filter(|c| !c.is_control()).collect::<String>());
    lines.collect::<Vec<_>>().join("\n              ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_a_file_cannot_steer_the_terminal() {
        assert_eq!(printable("MIT\u{1b}[2J\r\nno warranty\u{7}"), "MIT[2J\n              no warranty");
    }
}
