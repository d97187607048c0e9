//! `invert`: codes of photos.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde_json::json;

use super::arguments::{self, ClassChoice, DeviceArguments, ReadingArguments};
use super::info::printable;
use super::progress::Bar;
use super::{note, open_model, print, warn};
use crate::edit::{Code, NoiseMode};
use crate::export::{self, Cell, Column, Table, TableFormat};
use crate::files;
use crate::generator::ModelInfo;
use crate::gpu::Precision;
use crate::invert::{Found, Mask, Photo, Search, SearchSpace, Settings, Target};
use crate::perceptual::Perceptual;
use crate::project::Project;
use crate::render::{Engine, Example, Pixels, Source};

const EXAMPLES: &str = "\
Examples:
  sefa-studio invert ffhq.pkl --photos me.jpg --out found
  sefa-studio invert ffhq.pkl --photos portraits --out found --steps 1000 --editable 0.5
  sefa-studio render ffhq.pkl --latents found/me.npz --direction 0 --layers 0-1 --out turned

Every photo NAME becomes NAME.npz (its code: w [1, layers, w_dim], or z [1, z_dim]), NAME.png (the model's picture, which opens \
as an edit) and NAME-pair.png (photo and picture); table.json says how near they are. The model sees the photo's middle, as \
large a part as has the proportions of its pictures: a photo has to be cut as the model's own training pictures were.";

/// Photos of one call.
const MAX_PHOTOS: usize = 100_000;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Generator: a checkpoint, or example:toy-heads [default: the built-in one]
    #[arg(value_parser = arguments::source())]
    file: Option<Source>,

    #[command(flatten)]
    reading: ReadingArguments,

    /// Photos (PNG, JPEG, WebP, BMP, TIFF), or folders of them
    #[arg(long, value_name = "FILES", value_delimiter = ',', num_args = 1.., required = true)]
    photos: Vec<PathBuf>,

    /// Folder for what is found
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Replace files of the same names
    #[arg(long)]
    overwrite: bool,

    /// Steps at most; the search ends when it comes no nearer
    #[arg(long, value_name = "N", default_value_t = Settings::STEPS as u32, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: u32,

    /// Seed of the samples that it starts from
    #[arg(long, default_value = "0")]
    seed: u64,

    /// Where to look: w+ (a w for each layer), w (one for all) or z [default: w+, or z where there is no w]
    #[arg(long)]
    space: Option<SearchSpace>,

    /// What counts: a picture of the photo's size, white where it does and black where it does not
    #[arg(long, value_name = "FILE")]
    mask: Option<PathBuf>,

    /// Also compares what VGG16 sees in the pictures (LPIPS): its weights, as torchvision or LPIPS store them
    #[arg(long, value_name = "FILE")]
    vgg: Option<PathBuf>,

    /// 0: as near to the photo as it gets; 1: as editable as the model's own samples
    #[arg(long, value_name = "SHARE", default_value_t = Settings::EDITABLE, value_parser = arguments::share)]
    editable: f32,

    /// Class of a model that has classes, number or name [default: that of the nearest sample]
    #[arg(long)]
    class: Option<ClassChoice>,

    /// Noise of the pictures: const (as stored in the file) or none [default: const, where there is some]
    #[arg(long, value_name = "KIND", value_parser = noise)]
    noise: Option<NoiseMode>,

    /// What shows where a photo is transparent: red, green and blue, 0 to 255 each
    #[arg(long, value_name = "R,G,B", default_value = "255,255,255", value_parser = colour)]
    background: [u8; 3],
}

fn noise(text: &str) -> Result<NoiseMode, String> {
    match text.parse() {
        Ok(mode @ (NoiseMode::Const | NoiseMode::None)) => Ok(mode),
        _ => Err("expected const or none".into()),
    }
}

fn colour(text: &str) -> Result<[u8; 3], String> {
    let parts: Option<Vec<u8>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    parts
        .and_then(|parts| parts.try_into().ok())
        .ok_or_else(|| "expected three numbers from 0 to 255, such as 255,255,255".into())
}

pub fn run(arguments: Arguments, device: DeviceArguments) -> anyhow::Result<()> {
    let photos = photos(&arguments.photos)?;
    let names = names(&photos)?;
    let names = names.iter().map(|name| Names::new(&arguments.out, name)).collect::<Vec<_>>();
    let table_file = arguments.out.join("table.json");
    if !arguments.overwrite {
        let all = names.iter().flat_map(Names::all).chain([&table_file]);
        if let Some(file) = all.into_iter().find(|file| file.exists()) {
            bail!("{} is there already; --overwrite replaces it, or choose another folder", file.display());
        }
    }
    let recipe = arguments.reading.recipe.clone();
    let source = arguments.reading.of(arguments.file.clone().unwrap_or(Source::Example(Example::default())));
    let (mut engine, info) = open_model(&source, device, recipe.as_deref())?;
    let mut settings = Settings {
        steps: arguments.steps as usize,
        seed: arguments.seed,
        editable: arguments.editable,
        class: arguments.class.as_ref().map(|class| class.resolve("--class", &info)).transpose()?,
        ..Settings::new(&info)
    };
    settings.space = arguments.space.unwrap_or(settings.space);
    settings.noise = arguments.noise.map_or(settings.noise, |mode| info.noise_mode(mode));
    let place = engine.device().place().with_precision(Precision::F32);
    let vgg = arguments.vgg.as_ref().map(|file| Perceptual::load(file, place, &mut Bar::new().report())).transpose()?;
    let vgg = vgg.map(Arc::new);
    let mut rows = Vec::new();
    let mut left = Vec::new();
    for (path, names) in photos.iter().zip(&names) {
        let start = Instant::now();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let cut = || -> anyhow::Result<Target> {
            let photo = Photo::read(path)?;
            let mask = arguments.mask.as_ref().map(|mask| Mask::read(mask, &photo)).transpose()?;
            Ok(photo.target(photo.middle(&info), mask.as_ref(), arguments.background, &info).named(&name))
        };
        let target = match cut() {
            Ok(target) => target,
            // The others are found all the same.
            Err(error) if photos.len() > 1 => {
                warn(&format!("{error:#}"));
                left.push(path);
                continue;
            }
            Err(error) => return Err(error),
        };
        std::fs::create_dir_all(&arguments.out)
            .with_context(|| format!("cannot make the folder {}", arguments.out.display()))?;
        let found = search(&mut engine, target.clone(), settings.clone(), vgg.as_ref(), &info)
            .with_context(|| format!("no code of {} was found", path.display()))?;
        let seconds = start.elapsed().as_secs_f64();
        names.write(&mut engine, &target, &found, &info, &source)?;
        print(&format!(
            "{}: {:.1} dB in {seconds:.1} s, {} steps; more typical than {:.0} % of the model's own codes\n",
            printable(&name),
            found.psnr,
            found.steps,
            100.0 - found.percentile
        ))?;
        rows.push(row(path, &found, seconds));
    }
    ensure!(!rows.is_empty(), "none of {} photos can be used", photos.len());
    let table = table(rows, &settings, &info);
    files::write_bytes(&table_file, table.text(TableFormat::Json).as_bytes())?;
    ensure!(left.is_empty(), "{} of {} photos cannot be used; the others are found", left.len(), photos.len());
    Ok(())
}

fn search(
    engine: &mut Engine,
    target: Target,
    settings: Settings,
    vgg: Option<&Arc<Perceptual>>,
    info: &ModelInfo,
) -> anyhow::Result<Found> {
    let mut search = Search::new(target, settings, info)?;
    if let Some(vgg) = vgg {
        search = search.comparing(vgg.clone());
    }
    let bar = Bar::new();
    loop {
        bar.show(search.progress());
        if let Some(found) = search.step(engine)? {
            return Ok(found);
        }
    }
}

/// The files that are given, and those of folders by their names.
fn photos(given: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut photos = Vec::new();
    for path in given {
        if !path.is_dir() {
            photos.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).with_context(|| format!("cannot read the folder {}", path.display()))?;
        let mut inside: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        inside.retain(|path| path.is_file() && Photo::is_named(path));
        inside.sort();
        if inside.is_empty() {
            note(&format!("the folder {} holds no photo", path.display()));
        }
        photos.extend(inside);
    }
    ensure!(!photos.is_empty(), "--photos: expected files or folders with photos, found none");
    ensure!(photos.len() <= MAX_PHOTOS, "--photos: expected at most {MAX_PHOTOS} photos, found {}", photos.len());
    Ok(photos)
}

/// What files of each photo are named after.
fn names(photos: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let mut taken = BTreeSet::new();
    let mut names = Vec::new();
    for photo in photos {
        let name = photo.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // Pairs are files like any other.
        for name in [name.clone(), format!("{name}-pair")] {
            if !taken.insert(name.to_lowercase()) {
                bail!("two photos would be written to {name}.png: {} is one of them; rename it", photo.display());
            }
        }
        names.push(name);
    }
    Ok(names)
}

/// The files of a photo.
struct Names {
    code: PathBuf,
    picture: PathBuf,
    pair: PathBuf,
}

impl Names {
    fn new(folder: &Path, name: &str) -> Self {
        let file = |ending: &str| folder.join(format!("{name}{ending}"));
        Names { code: file(".npz"), picture: file(".png"), pair: file("-pair.png") }
    }

    fn all(&self) -> [&PathBuf; 3] {
        [&self.code, &self.picture, &self.pair]
    }

    fn write(
        &self,
        engine: &mut Engine,
        target: &Target,
        found: &Found,
        info: &ModelInfo,
        source: &Source,
    ) -> anyhow::Result<()> {
        let (key, shape, values) = match &found.edit.sample.code {
            Code::WPlus(rows) => ("w", vec![1, rows.len(), rows[0].len()], rows.concat()),
            Code::Z(row) | Code::W(row) => ("z", vec![1, row.len()], row.clone()),
            Code::Seed(_) | Code::Between(_) => bail!("expected a code in full"),
        };
        export::write_npz(&self.code, key, &shape, &values)?;
        let pixels = engine.render(&found.edit)?.to_pixels()?;
        let source = source.absolute().to_string();
        let project = Project::new(info, source, found.edit.clone(), info.direction_names.clone());
        export::write_png(&self.picture, &pixels, Some(&project))?;
        export::write_png(&self.pair, &beside(&target.pixels(), &pixels), None)?;
        Ok(())
    }
}

/// Two pictures of the same size in one.
fn beside(left: &Pixels, right: &Pixels) -> Pixels {
    let length = left.width * left.channels;
    let rows = left.data.chunks_exact(length).zip(right.data.chunks_exact(length));
    let data = rows.flat_map(|(left, right)| [left, right]).flatten().copied().collect();
    Pixels { width: 2 * left.width, data, ..*left }
}

fn row(path: &Path, found: &Found, seconds: f64) -> Vec<Cell> {
    vec![
        Cell::Text(path.to_string_lossy().into_owned()),
        found.psnr.into(),
        seconds.into(),
        found.steps.into(),
        found.percentile.into(),
        found.lpips.into(),
        found.edit.sample.class.map_or(Cell::Missing, Cell::from),
    ]
}

fn table(rows: Vec<Vec<Cell>>, settings: &Settings, info: &ModelInfo) -> Table {
    let noise = if settings.noise == NoiseMode::Const { "const" } else { "none" };
    Table {
        parameters: vec![
            ("model", json!(info.name)),
            ("identity", json!(info.identity)),
            ("space", json!(settings.space.to_string())),
            ("most_steps", json!(settings.steps)),
            ("seed", json!(settings.seed)),
            ("editable", json!(settings.editable)),
            ("noise", json!(noise)),
        ],
        columns: ["photo", "psnr", "seconds", "steps", "percentile", "lpips", "class"]
            .map(|key| Column::new(key, key))
            .into(),
        rows,
    }
}
