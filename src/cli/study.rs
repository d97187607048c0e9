//! `study`: what people see in directions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::{Map, json};

use super::arguments::{self, DeviceArguments, LayerChoice, ReadingArguments};
use super::progress::Bar;
use super::render::{self, Opened, SampleArguments};
use super::tables::TableArguments;
use super::{note, print};
use crate::analysis::study::{self, AnswerSheet, Count, Seen};
use crate::directions::DirectionSet;
use crate::edit::{Edit, LayerSet, Weighting};
use crate::export::{Cell, Column, StudyItem, Table, sweep_values, write_study};
use crate::generator::Group;
use crate::library::{self, Library, LibraryModel};
use crate::progress::Progress;
use crate::render::{Engine, Pixels, Source};
use crate::store::Folders;

const EXAMPLES: &str = "\
Examples:
  sefa-studio study make --first 20 --out study.html
      a page that asks about the first 20 directions of each group of the built-in heads
  sefa-studio study merge anna.json ben.json --latex
      Table 3 of the paper from what two people answered
  sefa-studio study merge anna.json ben.json --keep
      the same, and the marks of most of them and their names go into the library of the model

People answer in their browser, by keyboard: does something change, is it one thing, which name. The page keeps answers, goes on where \
it stopped, and saves them as a file to send back.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Write the page that asks
    Make(Box<MakeArguments>),
    /// Count what people answered
    Merge(MergeArguments),
}

#[derive(Args)]
struct MakeArguments {
    /// Generator: a checkpoint, or example:toy-heads [default: the built-in one]
    #[arg(value_parser = arguments::source())]
    file: Option<Source>,

    #[command(flatten)]
    reading: ReadingArguments,

    /// Layers: all, bottom, middle, top, or such as 2-5,7; may be given several times [default: bottom, middle and top]
    #[arg(long)]
    layers: Vec<LayerChoice>,

    /// The strongest directions of each
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u32).range(1..=512))]
    first: u32,

    /// Pictures from one end of a slider to the other
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(2..=15))]
    steps: u32,

    /// Larger side of each, in pixels
    #[arg(long, value_name = "PIXELS", default_value = "128", value_parser = clap::value_parser!(u32).range(16..=512))]
    side: u32,

    /// The page, .html
    #[arg(long, value_name = "FILE", value_parser = page_file)]
    out: PathBuf,

    #[command(flatten, next_help_heading = "Samples")]
    sample: SampleArguments,
}

#[derive(Args)]
struct MergeArguments {
    /// Files that the page saved
    #[arg(required = true, value_name = "ANSWERS")]
    answers: Vec<PathBuf>,

    /// Keep the marks of most people, and the names they gave most, in the library of the model; names of yours stay
    #[arg(long)]
    keep: bool,

    #[command(flatten)]
    table: TableArguments,
}

fn page_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_page = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("html"));
    is_page.then_some(path).ok_or_else(|| "expected a name ending in .html".into())
}

pub fn run(arguments: Arguments, device: DeviceArguments) -> anyhow::Result<()> {
    match arguments.action {
        Action::Make(arguments) => make(*arguments, device),
        Action::Merge(arguments) => merge(&arguments),
    }
}

/// Samples that are shown, if nobody says which.
const SAMPLES: u32 = 3;

fn make(mut arguments: MakeArguments, device: DeviceArguments) -> anyhow::Result<()> {
    arguments.sample.take_drawn(None, None, SAMPLES)?;
    let Opened { mut engine, info, starts, .. } =
        render::open(arguments.file, &arguments.reading, &arguments.sample, device)?;
    let groups: Vec<LayerSet> = match arguments.layers.is_empty() {
        true => {
            let groups = [Group::Bottom, Group::Middle, Group::Top];
            let some: Vec<_> = groups.into_iter().filter_map(|group| info.group(group)).collect();
            if some.is_empty() { info.group(Group::All).into_iter().collect() } else { some }
        }
        false => arguments.layers.iter().map(|layers| layers.resolve(&info)).collect::<anyhow::Result<_>>()?,
    };
    let weighting = Weighting::RowNormalised;
    let sets: Vec<DirectionSet> = groups
        .iter()
        .map(|layers| Ok(DirectionSet::from(&*engine.factorize(layers, weighting)?)))
        .collect::<anyhow::Result<_>>()?;
    let samples: Vec<&Edit> = starts.iter().map(|start| &start.edit).collect();
    let first = arguments.first as usize;
    let total = sets.iter().map(|set| set.len().min(first)).sum::<usize>() as u64;
    let (bar, mut items) = (Bar::new(), Vec::new());
    for set in &sets {
        for (index, direction) in set.directions.iter().take(first).enumerate() {
            bar.show(Progress { stage: "making pictures".into(), done: items.len() as u64, total });
            let range = direction.customary_range(info.slider_range);
            let values = sweep_values(-range, range, arguments.steps as usize);
            let rows = samples.iter().map(|sample| {
                let edits = values.iter().map(|&value| {
                    let mut edit = (*sample).clone();
                    edit.set_along(direction, value).enabled = true;
                    edit
                });
                row_of(&mut engine, &edits.collect::<Vec<_>>(), arguments.side as usize)
            });
            let strip = stacked(rows.collect::<anyhow::Result<Vec<_>>>()?);
            items.push(StudyItem { layers: set.layers.clone(), weighting, index, strip });
        }
    }
    ensure!(!items.is_empty(), "the model has no directions in these layers");
    write_study(&arguments.out, &info, &items)?;
    print(&format!("{} directions in {}\n", items.len(), arguments.out.display()))
}

/// Pictures beside each other; one that is not finite is black.
fn row_of(engine: &mut Engine, edits: &[Edit], side: usize) -> anyhow::Result<Pixels> {
    let tiles = engine.tiles(edits, side, None)?;
    let tiles: Vec<Option<Pixels>> = tiles.into_iter().map(|tile| tile.ok().map(|tile| tile.pixels)).collect();
    let Some(first) = tiles.iter().flatten().next() else { bail!("none of the pictures of a direction is finite") };
    let (width, height) = (first.width, first.height);
    let mut row =
        Pixels { width: width * tiles.len(), height, channels: 3, data: vec![0; 3 * width * height * tiles.len()] };
    for (at, tile) in tiles.iter().enumerate() {
        let Some(tile) = tile else { continue };
        let rgba = tile.to_rgba();
        for y in 0..height {
            for x in 0..width {
                let to = 3 * (y * row.width + at * width + x);
                row.data[to..to + 3].copy_from_slice(&rgba[4 * (y * width + x)..][..3]);
            }
        }
    }
    Ok(row)
}

/// Rows of one width below each other.
fn stacked(rows: Vec<Pixels>) -> Pixels {
    let (width, height) = (rows[0].width, rows.iter().map(|row| row.height).sum());
    Pixels { width, height, channels: 3, data: rows.into_iter().flat_map(|row| row.data).collect() }
}

/// Longest file of answers, in bytes.
const MAX_BYTES: u64 = 16 << 20;

fn read(path: &Path) -> anyhow::Result<AnswerSheet> {
    let mut text = String::new();
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(text.len() as u64 <= MAX_BYTES, "{}: expected at most {MAX_BYTES} bytes of answers", path.display());
    let sheet: AnswerSheet = serde_json::from_str(&text)
        .with_context(|| format!("{}: expected answers that the page of a study saved", path.display()))?;
    sheet.check().map_err(|problem| anyhow::anyhow!("{}: {problem}", path.display()))?;
    Ok(sheet)
}

fn merge(arguments: &MergeArguments) -> anyhow::Result<()> {
    let mut sheets: Vec<AnswerSheet> = Vec::new();
    for path in &arguments.answers {
        let sheet = read(path)?;
        if let Some(first) = sheets.first() {
            ensure!(
                sheet.identity == first.identity,
                "{}: expected answers about {}, found those about another model, {}",
                path.display(),
                first.model,
                sheet.model
            );
        }
        if let Some(twice) = sheets.iter().position(|other| *other == sheet) {
            note(&format!("{} says the same as {}", path.display(), arguments.answers[twice].display()));
        }
        sheets.push(sheet);
    }
    let all = study::merge(&sheets);
    let (model, identity) = (sheets[0].model.clone(), sheets[0].identity.clone());
    let parameters = || vec![("model", json!(model)), ("identity", json!(identity)), ("people", json!(sheets.len()))];
    let table = Table { parameters: parameters(), ..of_groups(&sheets) };
    let long = Table { parameters: parameters(), ..of_directions(&all) };
    let title = format!("{model}, {} people: directions with a change that one sees / that is one thing", sheets.len());
    arguments.table.show(&title, &table, Some(&long), Map::new())?;
    if arguments.keep {
        keep(&all, &sheets[0])?;
    }
    Ok(())
}

/// For people: a row for each group, "x/y of n" for each person and on average, as the paper has it.
fn of_groups(sheets: &[AnswerSheet]) -> Table {
    let counts: Vec<_> = sheets.iter().map(study::counts).collect();
    let groups: BTreeSet<&LayerSet> = counts.iter().flat_map(|counts| counts.keys()).collect();
    let person = |(at, sheet): (usize, &AnswerSheet)| match sheet.participant.as_str() {
        "" => format!("person {}", at + 1),
        name => name.chars().filter(|letter| !letter.is_control()).take(24).collect(),
    };
    let people = sheets.iter().enumerate().map(person);
    let heads = std::iter::once("layers".to_owned()).chain(people).chain(["mean".to_owned()]);
    let row = |group: &&LayerSet| {
        let of: Vec<Option<Count>> = counts.iter().map(|counts| counts.get(group).copied()).collect();
        let cell = |count: &Option<Count>| match count {
            Some(Count { obvious, meaningful, of }) => Cell::Text(format!("{obvious}/{meaningful} of {of}")),
            None => Cell::Missing,
        };
        let known: Vec<Count> = of.iter().flatten().copied().collect();
        let mean = |part: fn(&Count) -> usize| known.iter().map(part).sum::<usize>() as f64 / known.len().max(1) as f64;
        let mean = format!("{:.1}/{:.1}", mean(|count| count.obvious), mean(|count| count.meaningful));
        let cells = of.iter().map(cell);
        std::iter::once(Cell::Text(group.to_string())).chain(cells).chain([Cell::Text(mean)]).collect()
    };
    Table {
        parameters: Vec::new(),
        columns: heads.map(|head| Column::new(&head, &head)).collect(),
        rows: groups.iter().map(row).collect(),
    }
}

/// For programs: a row for each direction.
fn of_directions(all: &BTreeMap<study::Asked, Seen>) -> Table {
    let row = |((layers, weighting, index), seen): (&study::Asked, &Seen)| {
        let names: Vec<String> = seen.names.iter().map(|(name, count)| format!("{name} ({count})")).collect();
        vec![
            Cell::Text(layers.to_string()),
            Cell::from(weighting.name()),
            Cell::from(*index),
            Cell::from(seen.asked),
            Cell::from(seen.obvious),
            Cell::from(seen.meaningful),
            Cell::Text(names.join(", ")),
        ]
    };
    let columns = ["layers", "weighting", "direction", "asked", "obvious", "meaningful", "names"];
    Table {
        parameters: Vec::new(),
        columns: columns.map(|key| Column::new(key, key)).to_vec(),
        rows: all.iter().map(row).collect(),
    }
}

/// Marks that most people gave, and the name that most gave, where there is none, go into the library of the model.
fn keep(all: &BTreeMap<study::Asked, Seen>, sheet: &AnswerSheet) -> anyhow::Result<()> {
    let folder = Folders::of_user().context("there is no folder for data: this user has no home")?.libraries();
    let AnswerSheet { identity, model: name, family, .. } = sheet.clone();
    let model = LibraryModel { identity, name, family };
    let mut own = library::read(&folder, &model)?.unwrap_or_else(|| Library::new(model));
    let before = own.clone();
    for ((layers, weighting, index), seen) in all {
        own.change_sefa((layers.clone(), *weighting, *index), |known| {
            known.obvious = seen.is_obvious();
            known.meaningful = seen.is_meaningful();
            if let (true, Some((name, _))) = (known.name.is_empty() && seen.is_meaningful(), seen.names.first()) {
                known.name.clone_from(name);
            }
        });
    }
    if let Some(own) = own.to_keep(&before, library::now()) {
        library::update(&folder, &own)?;
    }
    note("marks and names are in the library of the model");
    Ok(())
}
