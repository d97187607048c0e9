//! `path`: how evenly pictures change along directions.

use anyhow::ensure;
use clap::Args;
use serde_json::{Map, json};

use super::arguments::{self, DeviceArguments, LayerChoice, Numbers, ReadingArguments};
use super::progress::Bar;
use super::render::{self, Opened, SampleArguments};
use super::sets::{self, MethodArguments};
use super::tables::TableArguments;
use crate::analysis::{self, Mean, PathCurve, PathPlan, PathRun, SIDE};
use crate::export::{Cell, Column, Table};
use crate::render::Source;

const EXAMPLES: &str = "\
Examples:
  sefa-studio path ffhq.pkl --layers bottom --seeds 0-15
      how far and how straight the ten strongest directions of the bottom layers lead
  sefa-studio path ffhq.pkl --layers bottom --directions 3 --seeds 0-99 --steps 21 --curve --csv
      where along direction 3 the picture changes most

A path goes from -A to +A. The change between neighbours is the mean absolute difference of their pixels at 64 pixels, 1 from black \
to white; the length is their sum. Straightness is the change from end to end as a share of that: 1 is straight, and a path that \
returns to where it began has 0. Means over the samples, and the standard deviation between these.";

/// Directions, if not asked otherwise.
const ROWS: usize = 10;

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

    /// Paths go from -A to +A [default: as far as the sliders]
    #[arg(long, value_name = "A", value_parser = arguments::above_zero)]
    range: Option<f32>,

    /// Pictures of a path
    #[arg(long, value_name = "N", default_value = "11", value_parser = clap::value_parser!(u32).range(2..=1001))]
    steps: u32,

    /// A row for each step instead of one for each direction (JSON has both)
    #[arg(long)]
    curve: bool,

    #[command(flatten)]
    table: TableArguments,

    #[command(flatten, next_help_heading = "Samples")]
    sample: SampleArguments,
}

pub fn run(arguments: Arguments, device: DeviceArguments) -> anyhow::Result<()> {
    let Opened { mut engine, info, starts, .. } =
        render::open(arguments.file.clone(), &arguments.reading, &arguments.sample, device)?;
    let set = arguments.method.set(&mut engine, arguments.layers.resolve(&info)?, &info)?;
    let places = sets::chosen(&set, arguments.directions.as_ref(), ROWS)?;
    let directions = places.iter().map(|&place| {
        let direction = set.directions[place].clone();
        let reach = arguments.range.unwrap_or(direction.customary_range(info.slider_range));
        (direction, reach)
    });
    let plan = PathPlan {
        samples: starts.iter().map(|start| start.edit.clone()).collect(),
        directions: directions.collect(),
        points: arguments.steps as usize,
    };
    let mut run = PathRun::new(plan.clone());
    analysis::measure(&mut engine, &mut run, &mut Bar::new().report())?;
    let curves = run.curves();
    ensure!(curves.iter().any(|curve| curve.samples > 0), "no path has pictures that are finite at all its steps");

    let mut parameters = sets::parameters(&info, &set, &arguments.method, &starts);
    parameters.extend([("steps", json!(arguments.steps)), ("side", json!(SIDE))]);
    let found = || places.iter().zip(&plan.directions).zip(&curves);
    let lengths = Table {
        parameters: parameters.clone(),
        columns: length_columns(),
        rows: found().map(|((&place, (_, reach)), curve)| length_row(place, *reach, curve)).collect(),
    };
    let steps = Table {
        parameters,
        columns: step_columns(),
        rows: found().flat_map(|((&place, (_, reach)), curve)| step_rows(place, &plan.values(*reach), curve)).collect(),
    };
    let title = sets::title(&info, &set, &starts);
    let mut more = Map::new();
    if arguments.curve {
        more.insert("lengths".into(), lengths.json_rows());
        return arguments.table.show(&title, &steps, None, more);
    }
    more.insert("curve".into(), steps.json_rows());
    arguments.table.show(&title, &lengths, None, more)
}

fn length_columns() -> Vec<Column> {
    vec![
        Column::new("direction", "direction"),
        Column::new("range", "range"),
        Column::new("length", "length"),
        Column::new("length_sd", "spread"),
        Column::new("straightness", "straightness"),
        Column::new("straightness_sd", "spread"),
        Column::new("samples", "samples"),
    ]
}

fn length_row(place: usize, reach: f32, curve: &PathCurve) -> Vec<Cell> {
    let PathCurve { length, straightness, samples, .. } = curve;
    vec![
        place.into(),
        f64::from(reach).into(),
        length.mean.into(),
        length.spread.into(),
        straightness.mean.into(),
        straightness.spread.into(),
        (*samples).into(),
    ]
}

fn step_columns() -> Vec<Column> {
    vec![
        Column::new("direction", "direction"),
        Column::new("from", "from"),
        Column::new("to", "to"),
        Column::new("change", "change"),
        Column::new("change_sd", "spread"),
    ]
}

fn step_rows(place: usize, values: &[f32], curve: &PathCurve) -> Vec<Vec<Cell>> {
    let row = |(pair, change): (&[f32], &Mean)| {
        let [from, to] = [pair[0], pair[1]].map(|value| Cell::from(f64::from(value)));
        vec![place.into(), from, to, change.mean.into(), change.spread.into()]
    };
    values.windows(2).zip(&curve.changes).map(row).collect()
}
