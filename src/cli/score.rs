//! `score`: what directions change of what a predictor says of pictures.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use serde_json::{Map, json};

use super::arguments::{self, DeviceArguments, LayerChoice, Numbers, ReadingArguments};
use super::render::SampleArguments;
use super::scored::ScoreArguments;
use super::sets::{self, MethodArguments, MethodChoice};
use super::tables::{self, TableArguments};
use crate::analysis::{Change, RescoreRun, titles_for};
use crate::edit::Direction;
use crate::export::{Cell, Column, HeatMap, Table};
use crate::generator::ModelInfo;
use crate::render::Source;

const EXAMPLES: &str = "\
Examples:
  sefa-studio score --layers bottom --directions 0-4 --samples 64
      what the five strongest directions of the bottom layers of the built-in heads change
  sefa-studio score ffhq.pkl --layers bottom --predictor celeba.onnx --samples 2000 --attributes smile,young --latex
      two attributes for a paper (Table 2 of the paper)
  sefa-studio score ffhq.pkl --layers all --predictor celeba.onnx --json --out scores.csv --plot scores.png
      everything, for a program, as a table and as a picture

Every sample is scored as it is and moved by D along each direction; a number is the mean change over the samples, with its \
standard error, in standard deviations of the attribute over the unmoved samples. Without --attributes, people are shown those that \
change most; JSON, CSV and the picture have all.";

/// Samples, directions and columns, if not asked otherwise.
const SAMPLES: u32 = 256;
const ROWS: usize = 10;
const COLUMNS: usize = 8;

#[derive(Args)]
#[command(
    after_help = EXAMPLES,
    mut_arg("samples", |arg| arg.long("pca-samples")),
    mut_arg("seed", |arg| arg.long("pca-seed"))
)]
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

    #[command(flatten)]
    score: ScoreArguments,

    /// Which attributes, by name or title
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    attributes: Vec<String>,

    /// Save the table as a picture, .png
    #[arg(long, alias = "png", value_name = "FILE", value_parser = tables::png_file)]
    plot: Option<PathBuf>,

    #[command(flatten)]
    table: TableArguments,

    #[command(flatten, next_help_heading = "Samples")]
    sample: SampleArguments,
}

pub fn run(mut arguments: Arguments, device: DeviceArguments) -> anyhow::Result<()> {
    let MethodArguments { method, samples, seed, .. } = &arguments.method;
    ensure!(
        *method == MethodChoice::Pca || (samples.is_none() && seed.is_none()),
        "--pca-samples and --pca-seed are options of --method pca"
    );
    let (score, sample) = (&arguments.score, &mut arguments.sample);
    let mut subject = score.open(arguments.file, &arguments.reading, sample, device, SAMPLES)?;
    let attributes = subject.predictor.attributes().to_vec();
    let mut chosen = Vec::new();
    for word in &arguments.attributes {
        let titles = titles_for(&attributes, word)?;
        chosen.extend((0..attributes.len()).filter(|&at| titles.contains(&attributes[at].title.as_str())));
    }
    let info = subject.info.clone();
    let set = arguments.method.set(&mut subject.engine, arguments.layers.resolve(&info)?, &info)?;
    let places = sets::chosen(&set, arguments.directions.as_ref(), ROWS)?;
    let moves = score.moves(places.iter().map(|&place| set.directions[place].clone()), &info);
    let steps: Vec<f32> = moves.iter().map(|(_, distance)| *distance).collect();
    let (run, stopped) = subject.measure(moves, score)?;

    let mut parameters = sets::parameters(&info, &set, &arguments.method, &subject.samples);
    parameters.extend([("steps", json!(steps))]);
    parameters.extend(score.parameters(&subject, &run));
    let shown = if chosen.is_empty() { strongest(&run, COLUMNS) } else { chosen.clone() };
    let all = if chosen.is_empty() { (0..attributes.len()).collect() } else { chosen };
    let title = format!("{}, {} looks", sets::title(&info, &set, &subject.samples), subject.predictor_name());
    if let Some(path) = &arguments.plot {
        plot(&run, &places, &all, &title).write(path)?;
    }
    let known = |place: usize| called(&set.directions[place], &info);
    let matrix = Table { parameters: parameters.clone(), ..matrix(&run, &places, &shown, known) };
    let long = Table { parameters, ..long(&run, &places, &all) };
    let mut more = Map::new();
    more.insert("attributes".into(), units(&run, &all).json_rows());
    arguments.table.show(&title, &matrix, Some(&long), more)?;
    stopped
}

/// The name that the model's file gives to a direction.
fn called(direction: &Direction, info: &ModelInfo) -> String {
    info.direction_names.of(direction).to_owned()
}

/// The attributes that some direction changes most, in their own order.
fn strongest(run: &RescoreRun, count: usize) -> Vec<usize> {
    let moves = run.plan().moves.len();
    let largest = |attribute: usize| {
        let changes = (0..moves).map(|at| run.change(at, attribute).mean.abs());
        changes.filter(|change| change.is_finite()).fold(-1.0, f64::max)
    };
    let mut all: Vec<(usize, f64)> = (0..run.predictor().attributes().len()).map(|at| (at, largest(at))).collect();
    all.retain(|(_, largest)| *largest >= 0.0);
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut chosen: Vec<usize> = all.into_iter().take(count).map(|(at, _)| at).collect();
    chosen.sort_unstable();
    chosen
}

/// For people: a row for each direction, a column for each attribute.
fn matrix(run: &RescoreRun, places: &[usize], attributes: &[usize], name: impl Fn(usize) -> String) -> Table {
    let names = run.predictor().attributes();
    let heads = attributes.iter().map(|&at| Column::new(&names[at].name, &names[at].name));
    let cell = |Change { mean, error, .. }: Change| match (mean.is_finite(), error.is_finite()) {
        (true, true) => Cell::Text(format!("{mean:+.2} ±{error:.2}")),
        (true, false) => Cell::Text(format!("{mean:+.2}")),
        (false, _) => Cell::Missing,
    };
    let row = |(at, &place): (usize, &usize)| {
        let cells = attributes.iter().map(|&attribute| cell(run.change(at, attribute)));
        [Cell::from(place), Cell::Text(name(place))].into_iter().chain(cells).collect()
    };
    let first = [Column::new("direction", "direction"), Column::new("name", "name")];
    Table {
        parameters: Vec::new(),
        columns: first.into_iter().chain(heads).collect(),
        rows: places.iter().enumerate().map(row).collect(),
    }
}

/// For programs: a row for each direction and attribute.
fn long(run: &RescoreRun, places: &[usize], attributes: &[usize]) -> Table {
    let names = run.predictor().attributes();
    let row = |at: usize, attribute: usize| {
        let Change { mean, error, samples } = run.change(at, attribute);
        vec![
            places[at].into(),
            f64::from(run.plan().moves[at].1).into(),
            Cell::Text(names[attribute].name.clone()),
            Cell::Text(names[attribute].title.clone()),
            mean.into(),
            error.into(),
            samples.into(),
        ]
    };
    let rows = (0..places.len()).flat_map(|at| attributes.iter().map(move |&attribute| row(at, attribute)));
    let columns = ["direction", "step", "attribute", "title", "change", "change_se", "samples"];
    Table { parameters: Vec::new(), columns: columns.map(|key| Column::new(key, key)).to_vec(), rows: rows.collect() }
}

/// The unit of each attribute: its standard deviation over the unmoved samples.
fn units(run: &RescoreRun, attributes: &[usize]) -> Table {
    let names = run.predictor().attributes();
    let row = |&attribute: &usize| {
        let of = run.attribute(attribute);
        vec![Cell::Text(names[attribute].name.clone()), of.mean.into(), of.spread.into()]
    };
    Table {
        parameters: Vec::new(),
        columns: ["attribute", "mean", "sd"].map(|key| Column::new(key, key)).to_vec(),
        rows: attributes.iter().map(row).collect(),
    }
}

fn plot(run: &RescoreRun, places: &[usize], attributes: &[usize], title: &str) -> HeatMap {
    let names = run.predictor().attributes();
    let changes = (0..places.len()).flat_map(|at| attributes.iter().map(move |&attribute| run.change(at, attribute)));
    let values: Vec<Option<f64>> = changes.map(|change| Some(change.mean).filter(|mean| mean.is_finite())).collect();
    let largest = values.iter().flatten().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    HeatMap {
        title: format!("changes, {title}"),
        rows: places.iter().map(usize::to_string).collect(),
        columns: attributes.iter().map(|&at| names[at].name.clone()).collect(),
        largest: if largest > 0.0 { largest } else { 1.0 },
        values,
    }
}
