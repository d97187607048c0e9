//! `library`: what the user knows about the directions of a model, as a table, or as a file for others.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};

use super::arguments::{self, DeviceArguments, ReadingArguments};
use super::foreign::ForeignArguments;
use super::info::printable;
use super::{open_model, open_weights, print};
use crate::directions::DirectionSet;
use crate::edit::{LayerSet, Origin};
use crate::export::ForeignDirection;
use crate::generator::{self, ModelInfo};
use crate::library::{self, Entry, Imported, Knowledge, Library, LibraryModel, Measured, Subject};
use crate::render::{Example, Source};
use crate::store::Folders;

const EXAMPLES: &str = "\
Examples:
  sefa-studio library list                              what is known about the built-in generator
  sefa-studio library ffhq.pkl export smile.json        to give to somebody who has ffhq.pkl
  sefa-studio library ffhq.pkl export smile.safetensors the same, the directions as tensors
  sefa-studio library ffhq.pkl import smile.json        theirs, where one has nothing oneself
  sefa-studio library ffhq.pkl import smile_boundary.npy --without glasses_boundary.npy
      a boundary of InterFaceGAN, without what glasses change; see `library import --help` for what else is read

The window keeps the names, stars and ranges that are given to directions in the library of their model. Files name the \
model that they are of, whatever the checkpoint is called.";

const EXPORT_EXAMPLES: &str = "\
Examples:
  sefa-studio library ffhq.pkl export smile.json
  sefa-studio library ffhq.pkl export smile.safetensors

JSON holds everything. safetensors has a tensor `entries.N` for each direction, [dim], or [layers, dim] where each layer has \
a vector of its own, and the rest as JSON in its metadata (sefa_studio_library).";

const IMPORT_EXAMPLES: &str = "\
Examples:
  sefa-studio library ffhq.pkl import smile.json                        a library that `library export` wrote
  sefa-studio library ffhq.pkl import age_w_boundary.npy --name age     a boundary of InterFaceGAN
  sefa-studio library ffhq.pkl import stylegan2_ffhq_style_pca.npz --directions 0-19   a cache of GANSpace
  sefa-studio library ffhq.pkl import deformator.pt --as columns        a learned matrix
  sefa-studio library ffhq.pkl import smile_boundary.npy --without age_boundary.npy,glasses_boundary.npy

Arrays are read from npy, npz, safetensors, PyTorch and pickle files, JSON and tables of numbers, alone or in maps, whose keys \
become names: [dim] and [k,dim], [layers,dim] and [k,layers,dim] with a vector for each layer, the same with layers and dim as one \
axis, with axes of length 1 anywhere; [dim,k] with a direction in each column. What fits two readings needs --as. Vectors stay as \
long as they are: a slider counts in them, and its ends are set accordingly. GANSpace's components, which have a standard deviation \
each, count in these.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Generator: a checkpoint, or example:toy-heads [default: the built-in one]
    #[arg(value_parser = arguments::source())]
    file: Option<Source>,

    #[command(flatten)]
    reading: ReadingArguments,

    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print what is known, and the names that the model brings along
    List {
        /// Print JSON, as export writes it, instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Write what is known to a file, .json or .safetensors
    #[command(after_help = EXPORT_EXAMPLES)]
    Export {
        /// File to write; one that is there is replaced
        #[arg(value_name = "OUT", value_parser = out_file)]
        out: PathBuf,
    },
    /// Take in a library that was exported, or directions of other tools; what is known already stays
    #[command(after_help = IMPORT_EXAMPLES)]
    Import {
        /// File to read
        #[arg(value_name = "IN")]
        file: PathBuf,

        /// Where both say something, take what the file says
        #[arg(long)]
        replace: bool,

        #[command(flatten, next_help_heading = "Directions of other tools")]
        foreign: Box<ForeignArguments>,
    },
}

fn out_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match extension.as_str() {
        "json" | "safetensors" => Ok(path),
        _ => Err("expected a name ending in .json or .safetensors".into()),
    }
}

pub fn run(arguments: Arguments, device: DeviceArguments) -> anyhow::Result<()> {
    let recipe = arguments.reading.recipe.clone();
    let source = arguments.reading.of(arguments.file.unwrap_or(Source::Example(Example::default())));
    let weights = open_weights(&source, recipe.as_deref())?;
    let info = generator::describe(&weights, &source.short_name())?;
    drop(weights);
    let folder = Folders::of_user().context("there is no folder for data: this user has no home")?.libraries();
    let model = LibraryModel::from(&info);
    let mut own = library::read(&folder, &model)?.unwrap_or_else(|| Library::new(model));
    match arguments.action {
        Action::List { json: true } => print(&own.known().to_json()),
        Action::List { json: false } => print(&table(&own, &info)),
        Action::Export { out } => {
            let count = own.entries().count();
            ensure!(
                count > 0,
                "nothing is known about the directions of {} yet: the window names them",
                own.model.name
            );
            complete(&mut own, &source, device, recipe.as_deref())?;
            own.export(&out)?;
            print(&format!("{count} {} of {} in {}\n", plural(count), own.model.name, out.display()))
        }
        Action::Import { file, replace, foreign } => {
            let theirs = match library::is_library(&file) {
                true => theirs(&own, &file, &info)?,
                false => of_arrays(&own, foreign.read(&file, &info)?, &info)?,
            };
            let Imported { new, changed, left } = own.import(&theirs, replace, library::now());
            library::update(&folder, &own)?;
            print(&format!("{new} new, {changed} changed, {left} left as they are; {}\n", told(&own)))
        }
    }
}

/// Directions of other tools, with what is known of them.
fn of_arrays(own: &Library, found: Vec<ForeignDirection>, info: &ModelInfo) -> anyhow::Result<Library> {
    let room = library::MAX_ENTRIES - own.entries().count().min(library::MAX_ENTRIES);
    ensure!(
        found.len() <= room,
        "{} directions, but the library has room for {room}; --directions chooses some",
        found.len()
    );
    let named = found.into_iter().map(|found| {
        let range = found.range(info);
        (Arc::new(found.direction), found.name, range)
    });
    Ok(Library::of_named(own.model.clone(), named))
}

/// A library that was exported, if it is of this model.
fn theirs(own: &Library, file: &Path, info: &ModelInfo) -> anyhow::Result<Library> {
    let theirs = Library::load(file)?;
    let (model, other) = (&own.model, &theirs.model);
    if model.identity != other.identity {
        let name = |model: &LibraryModel| format!("{} ({})", printable(&model.name), printable(&model.family));
        bail!(
            "{}: expected directions of {}, found those of another model, {}; they would mean nothing here",
            file.display(),
            name(model),
            name(other)
        );
    }
    for entry in theirs.entries() {
        let what = || format!("{}: {}", file.display(), printable(&called(entry)));
        check(&entry.subject, info).map_err(anyhow::Error::msg).with_context(what)?;
    }
    Ok(theirs)
}

/// Why the model has no such direction, if it has not.
fn check(subject: &Subject, info: &ModelInfo) -> Result<(), String> {
    match subject {
        Subject::Whole(direction) => info.check_direction(direction),
        Subject::Sefa { layers, .. } => info.check_layers(layers),
    }
}

/// Finds the vectors of entries that were named before vectors were kept.
fn complete(own: &mut Library, source: &Source, device: DeviceArguments, recipe: Option<&str>) -> anyhow::Result<()> {
    let sets: BTreeSet<_> = own
        .entries()
        .filter_map(|entry| match &entry.subject {
            Subject::Sefa { layers, weighting, .. } => Some((layers.clone(), *weighting)),
            Subject::Whole(_) => None,
        })
        .collect();
    if sets.is_empty() {
        return Ok(());
    }
    let (mut engine, _) = open_model(source, device, recipe)?;
    for (layers, weighting) in sets {
        own.complete(&DirectionSet::from(&*engine.factorize(&layers, weighting)?));
    }
    Ok(())
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "direction" } else { "directions" }
}

fn told(library: &Library) -> String {
    let count = library.entries().count();
    format!("{count} {} of {} are known", plural(count), printable(&library.model.name))
}

fn called(entry: &Entry) -> String {
    let (origin, layers) = (entry.subject.origin(), entry.subject.layers());
    match entry.knowledge.name.as_str() {
        "" => format!("{origin} of layers {layers}"),
        name => format!("{name} ({origin} of layers {layers})"),
    }
}

/// A row of the table.
struct Row {
    layers: LayerSet,
    origin: Origin,
    name: String,
    /// What it is called where it has no name.
    measured: Option<String>,
    about: String,
}

fn table(own: &Library, info: &ModelInfo) -> String {
    let mut rows: Vec<Row> = own.entries().map(own_row).collect();
    for (layers, weighting, index, name) in info.direction_names.iter() {
        let origin = Origin::Sefa { weighting, index };
        match rows.iter_mut().find(|row| row.layers == layers && row.origin == origin) {
            Some(row) if !row.name.is_empty() => {}
            Some(row) => row.name = name.to_owned(),
            None => {
                let about = "named by the model's file".into();
                rows.push(Row { layers, origin, name: name.to_owned(), measured: None, about });
            }
        }
    }
    for row in rows.iter_mut().filter(|row| row.name.is_empty()) {
        row.name = row.measured.take().unwrap_or_default();
    }
    rows.sort_by(|a, b| (&a.layers, &a.origin).cmp(&(&b.layers, &b.origin)));
    let mut text = format!("{} ({}): {}\n", printable(&info.name), info.family, told(own));
    if rows.is_empty() {
        return text;
    }
    let cells = |row: &Row| [row.layers.to_string(), row.origin.to_string(), row.name.clone(), row.about.clone()];
    let head = ["layers", "direction", "name", "what is known"].map(str::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| rows.iter().map(|row| one_line(&row[column]).chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for row in &rows {
        let [layers, direction, name, about] = row.each_ref().map(|cell| one_line(cell));
        let [a, b, c] = widths;
        let line = format!("  {layers:a$}  {direction:b$}  {name:c$}  {about}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn one_line(text: &str) -> String {
    printable(&text.replace(['\n', '\r'], " "))
}

fn own_row(entry: &Entry) -> Row {
    let Knowledge { name, range, star, hidden, obvious, meaningful, note, measured } = &entry.knowledge;
    let marks = [(star, "starred"), (hidden, "hidden"), (obvious, "obvious"), (meaningful, "meaningful")];
    let marks = marks.into_iter().filter(|(is_on, _)| **is_on).map(|(_, mark)| mark.to_owned());
    let range = range.map(|range| format!("slider to {range}"));
    let note = Some(note.clone()).filter(|note| !note.is_empty());
    let said = measured.as_ref().map(|Measured { name: own, purity, predictor, .. }| {
        let called = if name.is_empty() { String::new() } else { format!(" as {own}") };
        format!("measured{called} by {predictor}, purity {purity:.2}")
    });
    let about: Vec<String> = marks.chain(range).chain(note).chain(said).collect();
    Row {
        layers: entry.subject.layers().clone(),
        origin: entry.subject.origin(),
        name: name.clone(),
        measured: measured.as_ref().map(|measured| measured.name.clone()),
        about: about.join(", "),
    }
}
