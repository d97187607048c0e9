//! `align`: where directions of others lie among those of a model.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, json};

use super::arguments::{self, DeviceArguments, LayerChoice, ReadingArguments};
use super::foreign;
use super::info::printable;
use super::open_model;
use super::sets::{MethodArguments, own_directions};
use super::sheet::own_library;
use super::tables::{self, TableArguments};
use crate::analysis::{Alignment, align};
use crate::directions::DirectionSet;
use crate::edit::Direction;
use crate::export::{Cell, Column, DirectionsAs, HeatMap, Table};
use crate::generator::ModelInfo;
use crate::render::{Example, Source};

const EXAMPLES: &str = "\
Examples:
  sefa-studio align ffhq.pkl --layers bottom --layers middle --against pose.npy,smile.npy
      the nearest of SeFa's directions to two boundaries, in two groups of layers (Table 1 of the paper)
  sefa-studio align ffhq.pkl --method pca --against smile.npy --latex
      the same among the principal components, for a paper
  sefa-studio align ffhq.pkl --library --plot cosines.png
      all directions of other tools that are in the library, and a picture of all cosines

The distance is 1 - |cos|: 0 for the same line, 1 for a right angle, over the layers that both move. Directions are counted from 0, \
as in the paper (the window counts from 1); sign is -1 where the two ends are swapped. Files are read as `library import` reads them.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Generator: a checkpoint, or example:toy-heads [default: the built-in one]
    #[arg(value_parser = arguments::source())]
    file: Option<Source>,

    #[command(flatten)]
    reading: ReadingArguments,

    /// Layers: all, bottom, middle, top, or such as 2-5,7; may be given several times
    #[arg(long, default_value = "all")]
    layers: Vec<LayerChoice>,

    #[command(flatten)]
    method: MethodArguments,

    /// Files of directions to find again
    #[arg(long, value_name = "FILES", value_delimiter = ',', required_unless_present = "library")]
    against: Vec<PathBuf>,

    /// Read their arrays so, where the shape leaves that open: rows, columns or layers
    #[arg(long, value_name = "READING")]
    against_as: Option<DirectionsAs>,

    /// Also the directions of other tools in the library
    #[arg(long)]
    library: bool,

    /// Save all cosines as a picture, .png
    #[arg(long, value_name = "FILE", value_parser = tables::png_file)]
    plot: Option<PathBuf>,

    #[command(flatten)]
    table: TableArguments,
}

/// A direction to find again.
struct Reference {
    name: String,
    direction: Direction,
}

pub fn run(arguments: Arguments, device: DeviceArguments) -> anyhow::Result<()> {
    let recipe = arguments.reading.recipe.clone();
    let source = arguments.reading.of(arguments.file.clone().unwrap_or(Source::Example(Example::default())));
    let (mut engine, info) = open_model(&source, device, recipe.as_deref())?;
    let groups = arguments.layers.iter().map(|layers| layers.resolve(&info)).collect::<anyhow::Result<Vec<_>>>()?;
    let references = references(&arguments, &info)?;
    let sets = arguments.method.sets(&mut engine, &groups, &info)?;
    let aligned: Vec<(&DirectionSet, Vec<Alignment>)> = sets
        .iter()
        .map(|set| (set, references.iter().map(|reference| align(&reference.direction, set)).collect()))
        .collect();
    if let Some(path) = &arguments.plot {
        plot(&aligned, &references, &info).write(path)?;
    }
    let against = json!(arguments.against.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>());
    let about = [("model", json!(info.name)), ("identity", json!(info.identity))];
    let table = Table {
        parameters: about.into_iter().chain(arguments.method.parameters()).chain([("against", against)]).collect(),
        columns: vec![
            Column::new("layers", "layers"),
            Column::new("reference", "reference"),
            Column::new("index", "nearest"),
            Column::new("distance", "distance"),
            Column::new("sign", "sign"),
            Column::new("distances", "distances"),
        ],
        rows: aligned
            .iter()
            .flat_map(|(set, all)| all.iter().zip(&references).map(|(found, reference)| row(set, found, reference)))
            .collect(),
    };
    let title = format!("{}, {}", printable(&info.name), sets.first().map_or(String::new(), |set| set.method.about()));
    arguments.table.show(&title, &table, None, Map::new())
}

fn references(arguments: &Arguments, info: &ModelInfo) -> anyhow::Result<Vec<Reference>> {
    let mut references = Vec::new();
    for file in &arguments.against {
        let found = foreign::read(file, None, arguments.against_as, info)?;
        references.extend(found.into_iter().map(|found| Reference { name: found.name, direction: found.direction }));
    }
    if arguments.library {
        let own = own_library(info);
        references.extend(own_directions(&own).map(|direction| {
            let name = own.of(direction).name.clone();
            let name = if name.is_empty() { direction.origin.to_string() } else { name };
            Reference { name, direction: (**direction).clone() }
        }));
        anyhow::ensure!(!references.is_empty(), "the library of {} has no directions of other tools", info.name);
    }
    Ok(references)
}

fn row(set: &DirectionSet, found: &Alignment, reference: &Reference) -> Vec<Cell> {
    vec![
        Cell::Text(set.layers.to_string()),
        Cell::Text(reference.name.clone()),
        found.nearest.map_or(Cell::Missing, Cell::from),
        found.distance().into(),
        found.sign().map_or(Cell::Missing, Cell::Whole),
        Cell::Numbers(found.distances().flatten().collect()),
    ]
}

/// A row for each reference in each group, a column for each direction.
fn plot(aligned: &[(&DirectionSet, Vec<Alignment>)], references: &[Reference], info: &ModelInfo) -> HeatMap {
    let most = aligned.iter().map(|(set, _)| set.len()).max().unwrap_or(0);
    let several = aligned.len() > 1;
    let label =
        |set: &DirectionSet, name: &str| if several { format!("{} {name}", set.layers) } else { name.to_owned() };
    let rows = aligned.iter().flat_map(|(set, _)| references.iter().map(|reference| label(set, &reference.name)));
    let values = aligned.iter().flat_map(|(_, all)| all).flat_map(|found| {
        let cosines = found.cosines.iter().copied();
        cosines.chain(std::iter::repeat(None)).take(most)
    });
    HeatMap {
        title: format!("cosines, {}", printable(&info.name)),
        rows: rows.collect(),
        columns: (0..most).map(|at| at.to_string()).collect(),
        values: values.collect(),
        largest: 1.0,
    }
}
