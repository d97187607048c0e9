//! The command line: the window by default, and one file per subcommand.
//!
//! Exit code 0, 1 (it failed: one `error:` line, causes indented below it) or 2 (wrong usage).

mod align;
mod animate;
mod arguments;
mod bench;
mod bench_motion;
mod bench_scores;
mod bench_sheets;
mod convert;
#[cfg(feature = "gui")]
mod edit;
mod entangle;
mod factorize;
mod find;
mod foreign;
mod info;
mod invert;
mod learn;
mod library;
mod name;
mod operators;
mod path;
mod predictor;
mod progress;
mod render;
mod score;
mod scored;
mod sets;
mod sheet;
mod soak;
mod study;
mod tables;
mod tiles;

use std::io::{self, ErrorKind, Write};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use arguments::DeviceArguments;
use clap::{CommandFactory, Parser, Subcommand};

use crate::generator::{self, ModelInfo};
use crate::gpu::{self, RenderDevice};
use crate::layout::{GIVEN_RECIPE, Weights};
use crate::project::{self, Project, ProjectError};
use crate::render::{Engine, Source};
use crate::store::{Folders, log};

const EXAMPLES: &str = "\
Examples:
  sefa-studio                                  open the window, with what was left in it last
  sefa-studio ffhq.pkl                         open the window with a checkpoint
  sefa-studio render --out frames --seeds 0-9  ten pictures, no window
  sefa-studio factorize ffhq.pkl --layers 0-1  the directions that move pose
  sefa-studio sheet --layers 0-1 --out s.html  what they do, on one page to share
  sefa-studio animate --swing --direction 0 --out s.mp4
                                               one of them as a film
  sefa-studio info ffhq.pkl                    what is in a file

FILE is a checkpoint, or example:toy-heads or example:faces for a generator inside the program.
A file that is named like a subcommand is given as ./render.";

/// Edits GAN pictures along the closed-form directions (SeFa) of any generator checkpoint.
#[derive(Parser)]
#[command(name = "sefa-studio", version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Arguments {
    /// Generator to open in the window [default: the built-in one]
    #[arg(value_parser = arguments::source())]
    file: Option<Source>,

    /// Do not go on with the document that was left last; it stays under File, Recent documents
    #[arg(long, conflicts_with = "file")]
    fresh: bool,

    #[command(flatten)]
    device: DeviceArguments,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Write pictures as numbered PNG frames
    Render(Box<render::Arguments>),
    /// Write a sheet of directions: what each does to some samples, as a page or a picture
    Sheet(Box<sheet::Arguments>),
    /// Write a motion as a film: the shelf of a project, a walk through samples, a swing along a direction
    Animate(Box<animate::Arguments>),
    /// Print or save the directions of a group of layers
    Factorize(factorize::Arguments),
    /// Find directions of others among those of a model
    Align(Box<align::Arguments>),
    /// Find the codes of photos
    Invert(Box<invert::Arguments>),
    /// Measure how evenly pictures change along directions
    Path(Box<path::Arguments>),
    /// Measure how far moves disturb each other
    Entangle(Box<entangle::Arguments>),
    /// Measure what directions change of what a predictor says of pictures
    Score(Box<score::Arguments>),
    /// Find the directions that change something
    Find(Box<find::Arguments>),
    /// Name directions after what they change
    Name(Box<name::Arguments>),
    /// Learn a direction from what a predictor says of samples, or from marks
    Learn(Box<learn::Arguments>),
    /// Ask people what they see in directions, and count their answers
    Study(study::Arguments),
    /// Say what a predictor says of a picture
    Predictor(predictor::Arguments),
    /// List, export and import what is known about the directions of a model
    Library(library::Arguments),
    /// Say what is in a checkpoint
    Info(info::Arguments),
    /// Save a generator as safetensors, which opens faster and carries no code
    Convert(convert::Arguments),
    /// Measure loading, rendering and factorisation
    Bench(bench::Arguments),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.file.is_some() && arguments.command.is_some() {
        let message = "FILE belongs after the subcommand: sefa-studio render FILE --out DIR";
        Arguments::command().error(clap::error::ErrorKind::ArgumentConflict, message).exit();
    }
    if let Some(folders) = Folders::of_user() {
        // Without a log everything else works.
        let _ = log::start(&folders.log());
    }
    match run_caught(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            report_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// burn and wgpu report lost devices and exhausted memory by panicking; here that becomes an error like any other. The log has
/// where it came from, and `RUST_BACKTRACE` shows it.
fn run_caught(arguments: Arguments) -> anyhow::Result<()> {
    log::take_panics(std::env::var_os("RUST_BACKTRACE").is_some());
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| run(arguments)));
    outcome.unwrap_or_else(|panic| {
        Err(anyhow::anyhow!("{}", gpu::reason_of(&*panic)).context("the program stopped unexpectedly"))
    })
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let device = arguments.device;
    let _doing = tracing::info_span!("run", command = ?std::env::args_os().nth(1)).entered();
    match arguments.command {
        None => open_window(arguments.file, arguments.fresh, device),
        Some(Command::Render(arguments)) => render::run(*arguments, device),
        Some(Command::Sheet(arguments)) => sheet::run(*arguments, device),
        Some(Command::Animate(arguments)) => animate::run(*arguments, device),
        Some(Command::Factorize(arguments)) => factorize::run(arguments, device),
        Some(Command::Align(arguments)) => align::run(*arguments, device),
        Some(Command::Invert(arguments)) => invert::run(*arguments, device),
        Some(Command::Path(arguments)) => path::run(*arguments, device),
        Some(Command::Entangle(arguments)) => entangle::run(*arguments, device),
        Some(Command::Score(arguments)) => score::run(*arguments, device),
        Some(Command::Find(arguments)) => find::run(*arguments, device),
        Some(Command::Study(arguments)) => study::run(arguments, device),
        Some(Command::Name(arguments)) => name::run(*arguments, device),
        Some(Command::Learn(arguments)) => learn::run(*arguments, device),
        Some(Command::Predictor(arguments)) => predictor::run(arguments),
        Some(Command::Library(arguments)) => library::run(arguments, device),
        Some(Command::Info(arguments)) => info::run(arguments),
        Some(Command::Convert(arguments)) => convert::run(arguments),
        Some(Command::Bench(arguments)) => bench::run(arguments, device),
    }
}

#[cfg(feature = "gui")]
fn open_window(file: Option<Source>, fresh: bool, device: DeviceArguments) -> anyhow::Result<()> {
    edit::run(file, fresh, device)
}

#[cfg(not(feature = "gui"))]
fn open_window(_: Option<Source>, _: bool, _: DeviceArguments) -> anyhow::Result<()> {
    anyhow::bail!("this build has no window; `sefa-studio render --out DIR` writes pictures without one")
}

/// Opens the device and the model, with a progress bar, and says what there is to say of it.
fn open_model(
    source: &Source,
    device: DeviceArguments,
    recipe: Option<&str>,
) -> anyhow::Result<(Engine, Arc<ModelInfo>)> {
    refuse_edit(source)?;
    let mut engine = Engine::new(device.open()?);
    let info = engine.open_as(source, recipe, &mut progress::Bar::new().report())?;
    info.warnings.iter().for_each(|warning| warn(&info::printable(warning)));
    Ok((engine, info))
}

/// Reads the tensors of a model without a device.
fn open_weights(source: &Source, recipe: Option<&str>) -> anyhow::Result<Weights> {
    refuse_edit(source)?;
    let mut bar = progress::Bar::new();
    let mut report = bar.report();
    let mut checkpoint = source.open(&mut report)?;
    checkpoint.metadata.extend(recipe.map(|json| (GIVEN_RECIPE.to_owned(), json.to_owned())));
    Ok(generator::recognise(checkpoint, &mut report)?)
}

/// Edits are given in the place of generators by mistake; the message says where they belong.
fn refuse_edit(source: &Source) -> anyhow::Result<()> {
    let Some(file) = source.file().filter(|file| project::is_edit(file)) else { return Ok(()) };
    match Project::load(file) {
        Ok(project) => bail!(
            "{}: this is an edit of {} ({}), not a generator; `render --edit {0}` renders it, and the window opens it",
            file.display(),
            project.model.name,
            project.model.family
        ),
        Err(error @ ProjectError::Version { .. }) => Err(error.into()),
        // The reader of checkpoints says what it is.
        Err(_) => Ok(()),
    }
}

/// The device, and why it is not what one would expect if it is not.
fn device_line(device: &RenderDevice) -> String {
    match device.note() {
        Some(note) => format!("{}: {note}", device.label()),
        None => device.label(),
    }
}

/// Writes to the standard output. A reader that stops early, such as `head`, is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to the standard output"),
    }
}

/// Says what was taken for what, where a person could mean something else.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "note: {text}");
}

fn warn(text: &str) {
    let _ = writeln!(io::stderr(), "warning: {text}");
}

fn report_error(error: &anyhow::Error) {
    let mut text = format!("error: {}\n", error.to_string().replace('\n', "\n  "));
    let mut shown = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Some errors repeat their cause in their own words.
        if !shown.contains(&cause) {
            text.push_str(&format!("  {}\n", cause.replace('\n', "\n  ")));
        }
        shown = cause;
    }
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
