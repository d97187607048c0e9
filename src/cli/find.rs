//! `find`: the directions that change something.

use std::sync::Arc;

use clap::Args;
use serde_json::{Map, json};

use super::arguments::{self, DeviceArguments, ReadingArguments};
use super::info::printable;
use super::render::SampleArguments;
use super::scored::{self, GroupArguments, ScoreArguments};
use super::sheet::own_library;
use super::tables::TableArguments;
use crate::analysis::{Effect, effects, titles_for};
use crate::edit::Direction;
use crate::export::{Cell, Column, Table};
use crate::render::Source;

const EXAMPLES: &str = "\
Examples:
  sefa-studio find --attribute turn
      which directions of the built-in heads turn them
  sefa-studio find ffhq.pkl --predictor celeba.onnx --attribute smiling --pca --samples 256
      which of all groups and of the principal components make people smile
  sefa-studio find --predictor statistics --attribute lightness --layers top
      which directions of the top layers make pictures lighter

The ten strongest directions of each group are moved (--first). They are listed by how strongly and purely they change the attribute: \
the change for each unit of distance, in its standard deviations over samples, times its share of the squared change of all \
attributes. A word also finds attributes in whose name, title or ends it stands.";

const SAMPLES: u32 = 64;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Generator: a checkpoint, or example:toy-heads [default: the built-in one, or that of the edit]
    #[arg(value_parser = arguments::source())]
    file: Option<Source>,

    #[command(flatten)]
    reading: ReadingArguments,

    /// What to find: the name of an attribute, or a word of it
    #[arg(long, value_name = "NAME")]
    attribute: String,

    #[command(flatten)]
    groups: GroupArguments,

    #[command(flatten)]
    score: ScoreArguments,

    /// Directions to list
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=1000))]
    top: u32,

    #[command(flatten)]
    table: TableArguments,

    #[command(flatten, next_help_heading = "Samples")]
    sample: SampleArguments,
}

/// What a direction does to what is looked for.
struct Found {
    direction: Arc<Direction>,
    effect: Effect,
    /// What it does besides.
    other: Option<Effect>,
}

pub fn run(mut arguments: Arguments, device: DeviceArguments) -> anyhow::Result<()> {
    let (score, sample) = (&arguments.score, &mut arguments.sample);
    let mut subject = score.open(arguments.file, &arguments.reading, sample, device, SAMPLES)?;
    let attributes = subject.predictor.attributes().to_vec();
    let titles = titles_for(&attributes, &arguments.attribute)?;
    let info = subject.info.clone();
    let directions = arguments.groups.directions(&mut subject.engine, &info)?;
    let moves = score.moves(directions, &info);
    let (run, stopped) = subject.measure(moves, score)?;
    let mut found: Vec<Found> = Vec::new();
    for (at, (direction, _)) in run.plan().moves.iter().enumerate() {
        let effects = effects(&attributes, &scored::changes_per_unit(&run, at));
        for effect in effects.iter().filter(|effect| titles.contains(&effect.title.as_str())) {
            let other = effects.iter().find(|other| other.title != effect.title).cloned();
            found.push(Found { direction: direction.clone(), effect: effect.clone(), other });
        }
    }
    found.sort_by(|a, b| b.effect.rank().total_cmp(&a.effect.rank()));
    found.truncate(arguments.top as usize);

    let own = own_library(&info);
    let names = own.names_over(&info.direction_names);
    let name = |direction: &Direction| match own.of(direction).name.as_str() {
        "" => names.of(direction).to_owned(),
        name => name.to_owned(),
    };
    let row = |Found { direction, effect, other }: &Found| {
        let other = other.as_ref().map(|other| format!("{} {:+.2}", other.title, other.change));
        vec![
            Cell::Text(direction.layers.to_string()),
            Cell::Text(direction.origin.to_string()),
            Cell::Text(name(direction)),
            Cell::Text(effect.title.clone()),
            effect.change.into(),
            effect.share.into(),
            Cell::Text(effect.ends[0].clone()),
            Cell::Text(effect.ends[1].clone()),
            Cell::Text(other.unwrap_or_default()),
        ]
    };
    let mut parameters = scored::parameters(&info, &subject.samples);
    parameters.push(("attribute", json!(arguments.attribute)));
    parameters.push(("steps", json!(run.plan().moves.iter().map(|(_, step)| step).collect::<Vec<_>>())));
    parameters.extend(arguments.groups.parameters());
    parameters.extend(score.parameters(&subject, &run));
    let table = Table {
        parameters,
        columns: vec![
            Column::new("layers", "layers"),
            Column::new("origin", "direction"),
            Column::new("name", "name"),
            Column::new("attribute", "changes"),
            Column::new("change", "by"),
            Column::new("purity", "purity"),
            Column::new("plus", "+"),
            Column::new("minus", "-"),
            Column::new("other", "besides"),
        ],
        rows: found.iter().map(row).collect(),
    };
    let title =
        format!("{}, {} samples, {} looks", printable(&info.name), subject.samples.len(), subject.predictor_name());
    arguments.table.show(&title, &table, None, Map::new())?;
    stopped
}
