//! `name`: directions are named after what they change, in the library of their model.

use anyhow::Context;
use clap::Args;
use serde_json::{Map, json};

use super::arguments::{self, DeviceArguments, ReadingArguments};
use super::info::printable;
use super::render::SampleArguments;
use super::scored::{self, GroupArguments, ScoreArguments};
use super::tables::TableArguments;
use super::{note, sheet};
use crate::analysis::{Meaning, effects, meaning};
use crate::export::{Cell, Column, Table};
use crate::library::{self, Measured};
use crate::render::Source;
use crate::store::Folders;

const EXAMPLES: &str = "\
Examples:
  sefa-studio name
      names for the ten strongest directions of each group of the built-in heads
  sefa-studio name ffhq.pkl --predictor celeba.onnx --layers bottom --samples 256 --dry-run
      what they would be called, without keeping it

A direction is named after the attribute that it changes most, if that is at least a tenth of its standard deviation for each unit of \
distance and at least one and a half times as much as the next; where the next is closer, after both. Purity is the share of the \
squared change of all attributes. Names go into the library as measured: one that a person gave stays, and is shown in their place.";

const SAMPLES: u32 = 64;
/// Effects that are told of each direction.
const TOLD: usize = 4;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Generator: a checkpoint, or example:toy-heads [default: the built-in one, or that of the edit]
    #[arg(value_parser = arguments::source())]
    file: Option<Source>,

    #[command(flatten)]
    reading: ReadingArguments,

    #[command(flatten)]
    groups: GroupArguments,

    #[command(flatten)]
    score: ScoreArguments,

    /// Only print the names
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    table: TableArguments,

    #[command(flatten, next_help_heading = "Samples")]
    sample: SampleArguments,
}

pub fn run(mut arguments: Arguments, device: DeviceArguments) -> anyhow::Result<()> {
    let (score, sample) = (&arguments.score, &mut arguments.sample);
    let mut subject = score.open(arguments.file, &arguments.reading, sample, device, SAMPLES)?;
    let attributes = subject.predictor.attributes().to_vec();
    let info = subject.info.clone();
    let directions = arguments.groups.directions(&mut subject.engine, &info)?;
    let moves = score.moves(directions, &info);
    let (run, stopped) = subject.measure(moves, score)?;
    let mut own = sheet::own_library(&info);
    let kept = own.clone();
    let mut rows = Vec::new();
    for (at, (direction, _)) in run.plan().moves.iter().enumerate() {
        let effects = effects(&attributes, &scored::changes_per_unit(&run, at));
        let found = meaning(&effects);
        let told: Vec<String> =
            effects.iter().take(TOLD).map(|effect| format!("{} {:+.2}", effect.title, effect.change)).collect();
        let persons = own.of(direction).name.clone();
        let called = if persons.is_empty() { info.direction_names.of(direction).to_owned() } else { persons };
        let measured = found.map(|Meaning { name, purity, change, ends: [plus, minus] }| Measured {
            name: name.chars().take(library::MAX_NAME).collect(),
            purity,
            change,
            plus,
            minus,
            predictor: subject.predictor_name(),
        });
        let number = |of: fn(&Measured) -> f64| measured.as_ref().map(of).into();
        let text = |of: fn(&Measured) -> &str| Cell::Text(measured.as_ref().map(of).unwrap_or_default().to_owned());
        rows.push(vec![
            Cell::Text(direction.layers.to_string()),
            Cell::Text(direction.origin.to_string()),
            text(|measured| &measured.name),
            number(|measured| measured.purity),
            number(|measured| measured.change),
            text(|measured| &measured.plus),
            text(|measured| &measured.minus),
            Cell::Text(called),
            Cell::Text(told.join(", ")),
        ]);
        own.change(direction, |known| known.measured = measured);
    }
    let mut parameters = scored::parameters(&info, &subject.samples);
    parameters.push(("steps", json!(run.plan().moves.iter().map(|(_, step)| step).collect::<Vec<_>>())));
    parameters.extend(arguments.groups.parameters());
    parameters.extend(score.parameters(&subject, &run));
    let table = Table {
        parameters,
        columns: vec![
            Column::new("layers", "layers"),
            Column::new("origin", "direction"),
            Column::new("measured", "measured name"),
            Column::new("purity", "purity"),
            Column::new("change", "change"),
            Column::new("plus", "+"),
            Column::new("minus", "-"),
            Column::new("name", "given name"),
            Column::new("effects", "changes most"),
        ],
        rows,
    };
    let title =
        format!("{}, {} samples, {} looks", printable(&info.name), subject.samples.len(), subject.predictor_name());
    arguments.table.show(&title, &table, None, Map::new())?;
    // Names of a part of the samples are no worse than none, but nobody asked for them.
    stopped?;
    if !arguments.dry_run
        && let Some(own) = own.to_keep(&kept, library::now())
    {
        let folder = Folders::of_user().context("there is no folder for data: this user has no home")?.libraries();
        library::update(&folder, &own)?;
        note("names are in the library of the model, as measured");
    }
    Ok(())
}
