//! `sheet`: what directions do to some samples, on one page or picture.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::Args;

use super::arguments::{self, DeviceArguments, LayerChoice, Numbers, ReadingArguments};
use super::info::printable;
use super::progress::Bar;
use super::render::{self, Opened, SampleArguments};
use super::{device_line, note, print, warn};
use crate::directions::DirectionSet;
use crate::edit::Weighting;
use crate::export::{MAX_CELL, MAX_STEPS, SheetFormat, SheetPlan, SheetRow, SheetRun, render_sheet};
use crate::generator::ModelInfo;
use crate::library::{self, Library, LibraryModel};
use crate::names::DirectionNames;
use crate::render::Source;
use crate::store::Folders;

const EXAMPLES: &str = "\
Examples:
  sefa-studio sheet --layers bottom --out sheet.html
      the ten strongest directions of the bottom layers of the built-in generator, seven steps each
  sefa-studio sheet ffhq.pkl --layers bottom --directions 0-9 --steps 7 --seeds 0-4 --psi 0.7 --out sheet.html
      what they do to five samples: a page with a table sample by sample and one direction by direction
  sefa-studio sheet ffhq.pkl --layers top --directions 0,3,5 --range 8 --side 256 --out top.png
      three of them as a picture
  sefa-studio sheet --layers bottom --edit picture.png --out sheet.html
      on the sample of an exported picture, with the moves that it has

A page needs nothing else: pictures are in the file, and it may be sent to anybody. Names, stars and ranges are those of the \
library of the model, and names that the model or the edit brings along where it has none.";

/// Directions of a sheet, if not asked otherwise.
const ROWS: usize = 10;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Generator: a checkpoint, or example:toy-heads [default: the built-in one, or that of the edit]
    #[arg(value_parser = arguments::source())]
    file: Option<Source>,

    #[command(flatten)]
    reading: ReadingArguments,

    /// File to write, .html or .png; one that is there is replaced
    #[arg(long, value_name = "FILE", value_parser = out_file)]
    out: PathBuf,

    /// Layers to factorise and to move: all, bottom, middle, top, or such as 2-5,7
    #[arg(long, default_value = "all")]
    layers: LayerChoice,

    /// Which directions, such as 0-9,12; 0 is the strongest [default: the ten strongest]
    #[arg(long, value_name = "NUMBERS")]
    directions: Option<Numbers>,

    /// Also directions that are hidden in the library
    #[arg(long)]
    hidden: bool,

    /// Steps of each direction, an odd number: the one in the middle is the sample itself
    #[arg(long, value_name = "N", default_value = "7", value_parser = steps)]
    steps: usize,

    /// Steps go from -A to +A [default: the range of each direction in the library, else the model's]
    #[arg(long, value_name = "A", value_parser = arguments::above_zero)]
    range: Option<f32>,

    /// Larger side of each picture in pixels, at most the network's own
    #[arg(long, value_name = "PIXELS", default_value = "128", value_parser = clap::value_parser!(u32).range(8..=MAX_CELL as i64))]
    side: u32,

    /// Take the network's own smaller pictures where it makes them on its way and they are as large as the side: much faster,
    /// and not quite what the whole network makes
    #[arg(long)]
    previews: bool,

    /// Factorise the weights as stored, their rows not normalised
    #[arg(long)]
    raw_weights: bool,

    #[command(flatten, next_help_heading = "Sample")]
    sample: SampleArguments,
}

fn out_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    SheetFormat::of(&path).map(|_| path).ok_or_else(|| "expected a name ending in .html or .png".into())
}

fn steps(text: &str) -> Result<usize, String> {
    let steps = text.parse().ok().filter(|steps| (3..=MAX_STEPS).contains(steps) && steps % 2 == 1);
    steps.ok_or_else(|| {
        format!("expected an odd number from 3 to {MAX_STEPS}: the step in the middle is the sample itself")
    })
}

pub fn run(arguments: Arguments, device: DeviceArguments) -> anyhow::Result<()> {
    let Opened { mut engine, info, starts, names, .. } =
        render::open(arguments.file.clone(), &arguments.reading, &arguments.sample, device)?;
    let layers = arguments.layers.resolve(&info)?;
    let weighting = if arguments.raw_weights { Weighting::Raw } else { Weighting::RowNormalised };
    let set = DirectionSet::from(&*engine.factorize(&layers, weighting)?);
    let rows = rows(&arguments, &set, &own_library(&info), &names, &info)?;
    let plan = SheetPlan {
        about: format!("layers {layers}, {}", set.method.about()),
        samples: starts,
        rows,
        score_name: set.scores.name().into(),
        steps: arguments.steps,
        side: arguments.side as usize,
        previews: arguments.previews,
        path: arguments.out.clone(),
    };
    let sheet = SheetRun::new(plan, &info)?;
    let cells = sheet.cells();
    let mut bar = Bar::new();
    render_sheet(&mut engine, sheet, &mut bar.report())?;
    drop(bar);
    print(&format!("{cells} pictures in {} ({})\n", arguments.out.display(), device_line(engine.device())))
}

/// What the user knows of the model; nothing where that cannot be read.
pub(super) fn own_library(info: &ModelInfo) -> Library {
    let model = LibraryModel::from(info);
    let read = Folders::of_user().map(|folders| library::read(&folders.libraries(), &model)).transpose();
    let read = read.unwrap_or_else(|error| {
        warn(&format!("names, stars and ranges of the library are not used: {error}"));
        None
    });
    read.flatten().unwrap_or_else(|| Library::new(model))
}

/// The directions that are asked for, with what is known of them.
fn rows(
    arguments: &Arguments,
    set: &DirectionSet,
    own: &Library,
    names: &DirectionNames,
    info: &ModelInfo,
) -> anyhow::Result<Vec<SheetRow>> {
    let is_hidden = |index: &usize| !arguments.hidden && own.of(&set.directions[*index]).hidden;
    let chosen: Vec<usize> = match &arguments.directions {
        None => (0..set.len()).filter(|index| !is_hidden(index)).take(ROWS).collect(),
        Some(Numbers(numbers)) => {
            let last = set.len().saturating_sub(1);
            let index = |&number: &u64| usize::try_from(number).ok().filter(|&index| index <= last);
            if let Some(number) = numbers.iter().find(|number| index(number).is_none()) {
                bail!("--directions: expected 0 to {last} for {}, found {number}", printable(&info.name));
            }
            let (hidden, chosen): (Vec<usize>, Vec<usize>) = numbers.iter().filter_map(index).partition(is_hidden);
            if !hidden.is_empty() {
                let hidden: Vec<String> = hidden.iter().map(usize::to_string).collect();
                note(&format!("hidden in the library and left out, unless --hidden: {}", hidden.join(", ")));
            }
            chosen
        }
    };
    ensure!(!chosen.is_empty(), "all these directions are hidden in the library; --hidden shows them");
    let row = |index: usize| {
        let direction = set.directions[index].clone();
        let known = own.of(&direction);
        let name = if known.name.is_empty() { names.of(&direction) } else { &known.name };
        SheetRow {
            name: name.to_owned(),
            score: set.scores.values().get(index).copied(),
            range: arguments.range.or(known.range).unwrap_or(direction.customary_range(info.slider_range)),
            is_starred: known.star,
            direction,
        }
    };
    Ok(chosen.into_iter().map(row).collect())
}
