//! `entangle`: how far moves disturb each other.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use serde_json::{Map, json};

use super::arguments::{self, DeviceArguments, LayerChoice, Numbers, ReadingArguments};
use super::progress::Bar;
use super::render::{self, Opened, SampleArguments};
use super::sets::{self, MethodArguments};
use super::tables::{self, TableArguments};
use crate::analysis::{self, Entanglement, EntanglementPlan, EntanglementRun, SIDE};
use crate::export::{Cell, Column, HeatMap, Table};
use crate::render::Source;

const EXAMPLES: &str = "\
Examples:
  sefa-studio entangle ffhq.pkl --layers bottom --seeds 0-15
      the ten strongest directions of the bottom layers, each against each other
  sefa-studio entangle ffhq.pkl --directions 0,3,7 --distance 4 --seeds 0-99 --json --plot entangled.png

For two moves a and b, |G(ab) - G(a) - G(b) + G(0)| over |G(a) - G(0)| + |G(b) - G(0)|, sums over pixels (at 64 pixels) and samples: \
0 where each does the same whether the other is there or not. Directions that are orthogonal can be entangled all the same.";

/// Directions, if not asked otherwise.
const MOVES: usize = 10;
/// More of them are more pictures than anybody waits for.
const MOST: usize = 100;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Generator: a checkpoint, or example:toy-heads [default: the built-in one, or that of the edit]
    #[arg(value_parser = arguments::source())]
    file: Option<Source>,

    #[command(flatten)]
    reading: ReadingArguments,

    /// Layers that are moved: all, bottom, middle, top, or such as 2-5,7
    #[arg(long, default_value = "all")]
    layers: LayerChoice,

    #[command(flatten)]
    method: MethodArguments,

    /// Which directions, such as 0-9,12; 0 is the strongest [default: the ten strongest]
    #[arg(long, value_name = "NUMBERS")]
    directions: Option<Numbers>,

    /// How far each is moved [default: a third of its slider]
    #[arg(long, value_name = "D", value_parser = arguments::finite, allow_hyphen_values = true)]
    distance: Option<f32>,

    /// Save the matrix as a picture, .png
    #[arg(long, value_name = "FILE", value_parser = tables::png_file)]
    plot: Option<PathBuf>,

    #[command(flatten)]
    table: TableArguments,

    #[command(flatten, next_help_heading = "Samples")]
    sample: SampleArguments,
}

pub fn run(arguments: Arguments, device: DeviceArguments) -> anyhow::Result<()> {
    let Opened { mut engine, info, starts, .. } =
        render::open(arguments.file.clone(), &arguments.reading, &arguments.sample, device)?;
    let set = arguments.method.set(&mut engine, arguments.layers.resolve(&info)?, &info)?;
    let places = sets::chosen(&set, arguments.directions.as_ref(), MOVES)?;
    let twice = places.iter().enumerate().find(|(at, place)| places[..*at].contains(place));
    ensure!(twice.is_none(), "--directions: direction {} twice", twice.map_or(0, |(_, place)| *place));
    ensure!((2..=MOST).contains(&places.len()), "expected 2 to {MOST} directions, found {}", places.len());
    let moves = places.iter().map(|&place| {
        let direction = set.directions[place].clone();
        let distance = arguments.distance.unwrap_or(direction.customary_range(info.slider_range) / 3.0);
        (direction, distance)
    });
    let plan =
        EntanglementPlan { samples: starts.iter().map(|start| start.edit.clone()).collect(), moves: moves.collect() };
    let distances: Vec<f32> = plan.moves.iter().map(|(_, distance)| *distance).collect();
    let mut run = EntanglementRun::new(plan);
    analysis::measure(&mut engine, &mut run, &mut Bar::new().report())?;
    let found = run.result();
    ensure!(found.samples.iter().any(|&samples| samples > 0), "no sample has pictures that are all finite");

    let mut parameters = sets::parameters(&info, &set, &arguments.method, &starts);
    parameters.extend([("distances", json!(distances)), ("side", json!(SIDE))]);
    let title = sets::title(&info, &set, &starts);
    if let Some(path) = &arguments.plot {
        plot(&found, &places, &title).write(path)?;
    }
    let matrix = Table { parameters: parameters.clone(), ..matrix(&found, &places) };
    let pairs = Table { parameters, ..pairs(&found, &places) };
    arguments.table.show(&title, &matrix, Some(&pairs), Map::new())
}

/// For people: a row and a column for each direction.
fn matrix(found: &Entanglement, places: &[usize]) -> Table {
    let heads = places.iter().map(|place| Column::new(&place.to_string(), &place.to_string()));
    let row = |a: usize| {
        let cells = (0..places.len()).map(|b| found.of(a, b).into());
        std::iter::once(Cell::from(places[a])).chain(cells).collect()
    };
    Table {
        parameters: Vec::new(),
        columns: std::iter::once(Column::new("direction", "direction")).chain(heads).collect(),
        rows: (0..places.len()).map(row).collect(),
    }
}

/// For programs: a row for each pair.
fn pairs(found: &Entanglement, places: &[usize]) -> Table {
    let row = |(((a, b), value), &samples): (((usize, usize), Option<f64>), &usize)| {
        vec![places[a].into(), places[b].into(), value.into(), samples.into()]
    };
    Table {
        parameters: Vec::new(),
        columns: ["a", "b", "entanglement", "samples"].map(|key| Column::new(key, key)).to_vec(),
        rows: found.pairs().zip(&found.samples).map(row).collect(),
    }
}

fn plot(found: &Entanglement, places: &[usize], title: &str) -> HeatMap {
    let labels: Vec<String> = places.iter().map(usize::to_string).collect();
    let count = places.len();
    HeatMap {
        title: format!("entanglement, {title}"),
        rows: labels.clone(),
        columns: labels,
        values: (0..count * count).map(|at| found.of(at / count, at % count)).collect(),
        largest: 1.0,
    }
}
