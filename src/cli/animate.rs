//! `animate`: a motion as a film, or as numbered PNG frames.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{anyhow, bail, ensure};
use clap::Args;

use super::arguments::{self, DeviceArguments, LayerChoice, ReadingArguments};
use super::progress::Bar;
use super::render::{self, Opened, SampleArguments};
use super::{device_line, note, print};
use crate::directions::DirectionSet;
use crate::edit::{Code, Direction, Edit, Playback, Seed, Weighting};
use crate::export::{self, FilmFormat, FilmPlan, FilmTarget, MAX_FILM_SIDE, Shot};
use crate::generator::ModelInfo;
use crate::motion::Motion;
use crate::project::{self, Project};
use crate::render::{Engine, Source};

const EXAMPLES: &str = "\
Examples:
  sefa-studio animate --swing --layers bottom --direction 0 --out swing.mp4
      the strongest direction of the bottom layers of the built-in generator, from -3 to 3 and back
  sefa-studio animate ffhq.pkl --walk 6 --seeds 100 --psi 0.7 --seconds 12 --loop --out walk.gif
      through six samples and back to the first, twelve seconds, played again and again
  sefa-studio animate project.json --out film.mp4
      the pictures that the project keeps on its shelf, from left to right, each with its time
  sefa-studio animate project.json --fps 60 --side 1024 --out frames
      the same as numbered PNG frames, each of which carries its edit

FILM ends in .mp4 (H.264), .gif or .png (APNG), for which nothing has to be installed; where ffmpeg is, also in .webm, .mkv, .mov and \
others that it knows. A name without an ending is a folder for frames.";

/// Seconds of a swing, and from one sample of a walk to the next, if not asked otherwise.
const SECONDS: f64 = 4.0;
const SECONDS_OF_LEG: f64 = 2.0;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Project or exported PNG whose shelf is played; or a generator: a checkpoint, or example:toy-heads [default: the built-in one]
    #[arg(value_parser = arguments::source())]
    file: Option<Source>,

    #[command(flatten)]
    reading: ReadingArguments,

    /// File or folder to write; a file that is there is replaced
    #[arg(long, value_name = "FILM|DIR")]
    out: PathBuf,

    /// Replace the frames of an older series in the folder; without this they are not touched, and nothing is rendered
    #[arg(long)]
    overwrite: bool,

    #[command(flatten, next_help_heading = "Motion")]
    motion: MotionArguments,

    #[command(flatten, next_help_heading = "Sample")]
    sample: SampleArguments,
}

#[derive(Args)]
struct MotionArguments {
    /// Go through N samples: those of --seeds or --latents, or N from the only seed on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1000), conflicts_with = "swing")]
    walk: Option<u32>,

    /// Go back through the samples instead of ending at the last
    #[arg(long, requires = "walk")]
    back: bool,

    /// Move along a direction from one distance to another and back
    #[arg(long, requires = "direction")]
    swing: bool,

    /// Layers to factorise and to move: all, bottom, middle, top, or such as 2-5,7 [default: all]
    #[arg(long, requires = "swing")]
    layers: Option<LayerChoice>,

    /// Which direction, 0 is the strongest
    #[arg(long, value_name = "NUMBER", requires = "swing")]
    direction: Option<usize>,

    /// Distance where it begins and ends
    #[arg(long, default_value = "-3", value_parser = arguments::finite, allow_hyphen_values = true, requires = "swing")]
    from: f32,

    /// Distance in the middle
    #[arg(long, default_value = "3", value_parser = arguments::finite, allow_hyphen_values = true, requires = "swing")]
    to: f32,

    /// Factorise the weights as stored, their rows not normalised
    #[arg(long, requires = "swing")]
    raw_weights: bool,

    /// Length of the film [default: 4 for a swing, 2 for each sample of a walk, else what the project says]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<f64>,

    /// Frames per second [default: 30, or what the project says]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=120))]
    fps: Option<u32>,

    /// From the last picture it goes back to the first, and plays again
    #[arg(long = "loop", conflicts_with = "once")]
    loops: bool,

    /// It ends at the last picture, whatever the project says
    #[arg(long, conflicts_with = "swing")]
    once: bool,

    /// Draw random noise anew for every frame
    #[arg(long)]
    fresh_noise: bool,

    /// Larger side of the frames in pixels; enlarged pixels stay squares [default: that of the pictures]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=MAX_FILM_SIDE as i64))]
    side: Option<u32>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|seconds| *seconds > 0.0 && *seconds <= 1e5).ok_or_else(|| "expected seconds above 0".into())
}

pub fn run(mut arguments: Arguments, device: DeviceArguments) -> anyhow::Result<()> {
    // A project stands where a generator may stand.
    if let Some(path) = arguments.file.as_ref().and_then(Source::file).filter(|path| project::is_edit(path)) {
        let path = path.to_owned();
        arguments.sample.take_edit(path)?;
        arguments.file = None;
    }
    let is_folder = is_folder(&arguments.out);
    if is_folder {
        // Before a model is opened for nothing.
        render::clear_folder(&arguments.out, arguments.overwrite)?;
    } else if FilmFormat::of(&arguments.out).is_none() {
        return Err(export::FilmError::Format(arguments.out).into());
    }
    let Opened { mut engine, info, source, starts, names, saved } =
        render::open(arguments.file.clone(), &arguments.reading, &arguments.sample, device)?;
    let motion = motion(&arguments, &mut engine, &info, &starts, saved.as_ref())?;
    for (number, key) in motion.keys().iter().enumerate() {
        engine
            .check(&key.edit)
            .map_err(|error| anyhow!(error).context(format!("picture {} of the motion", number + 1)))?;
    }
    let project = Project::new(&info, source.absolute().to_string(), Edit::default(), names);
    let target = match is_folder {
        true => FilmTarget::Folder(arguments.out.clone()),
        false => FilmTarget::Film(FilmPlan {
            path: arguments.out.clone(),
            playback: motion.playback(),
            frames: motion.frames(),
            picture: [info.size.width, info.size.height],
            side: arguments.motion.side.map(|side| side as usize),
        }),
    };
    if is_folder && arguments.motion.side.is_some() {
        note("--side has no effect on PNG frames: each is the picture of its edit");
    }
    let (frames, seconds) = (motion.frames(), motion.seconds());
    let mut bar = Bar::new();
    export::render_sequence(&mut engine, target.sequence(project, motion)?, &mut bar.report())?;
    drop(bar);
    let (out, device) = (arguments.out.display(), device_line(engine.device()));
    print(&format!("{frames} frames, {seconds:.1} s, in {out} ({device})\n"))
}

/// True if frames go to numbered files there.
fn is_folder(out: &Path) -> bool {
    out.extension().is_none() || out.is_dir()
}

fn motion(
    arguments: &Arguments,
    engine: &mut Engine,
    info: &ModelInfo,
    starts: &[Shot],
    saved: Option<&Project>,
) -> anyhow::Result<Motion> {
    let asked = &arguments.motion;
    let usual = saved.map_or(Playback { loops: false, ..Playback::default() }, |project| project.shelf.playback);
    let playback = Playback {
        fps: asked.fps.unwrap_or(usual.fps),
        loops: asked.loops || asked.back || usual.loops && !asked.once && asked.walk.is_none(),
        fresh_noise: asked.fresh_noise || usual.fresh_noise,
    };
    if let Some(count) = asked.walk {
        let mut edits = samples(starts, count as usize, info)?;
        if asked.back {
            let inner: Vec<Edit> = edits[1..edits.len() - 1].iter().rev().cloned().collect();
            edits.extend(inner);
        }
        let legs = if playback.loops { edits.len() } else { edits.len() - 1 };
        let seconds = asked.seconds.unwrap_or(SECONDS_OF_LEG * legs as f64);
        return Ok(Motion::walk(edits, seconds, playback)?);
    }
    if asked.swing {
        ensure!(starts.len() == 1, "--swing shows one sample, found {}", starts.len());
        let direction = direction(asked, engine, info)?;
        let seconds = asked.seconds.unwrap_or(SECONDS);
        return Ok(Motion::swing(&starts[0].edit, &direction, [asked.from, asked.to], seconds, playback)?);
    }
    let Some(project) = saved else {
        bail!("expected --walk N, --swing, or a project whose shelf is to be played");
    };
    let shelf = &project.shelf;
    ensure!(
        shelf.len() >= 2,
        "the project keeps {} on its shelf; a motion needs two pictures or more (or --walk, or --swing)",
        match shelf.len() {
            0 => "no picture",
            _ => "one picture",
        }
    );
    let motion = Motion::new(shelf.iter().cloned().collect(), playback)?;
    Ok(match asked.seconds {
        Some(seconds) => motion.lasting(seconds)?,
        None => motion,
    })
}

/// The samples of a walk.
fn samples(starts: &[Shot], count: usize, info: &ModelInfo) -> anyhow::Result<Vec<Edit>> {
    if starts.len() > 1 {
        ensure!(
            starts.len() == count,
            "--walk {count}: expected {count} samples or one seed to begin with, found {}",
            starts.len()
        );
        return Ok(starts.iter().map(|start| start.edit.clone()).collect());
    }
    let first = &starts[0].edit;
    let Code::Seed(seed) = first.sample.code else {
        bail!("--walk {count}: expected a seed to begin with, or {count} codes, found one code of {}", info.name);
    };
    let of_number = |number: u64| {
        let mut edit = first.clone();
        edit.sample.code = Code::Seed(Seed { number, ..seed });
        edit
    };
    Ok((0..count as u64).map(|step| of_number(seed.number.saturating_add(step))).collect())
}

fn direction(asked: &MotionArguments, engine: &mut Engine, info: &ModelInfo) -> anyhow::Result<Arc<Direction>> {
    let layers = asked.layers.as_ref().unwrap_or(&LayerChoice::ALL).resolve(info)?;
    let weighting = if asked.raw_weights { Weighting::Raw } else { Weighting::RowNormalised };
    let set = DirectionSet::from(&*engine.factorize(&layers, weighting)?);
    let index = asked.direction.unwrap_or(0);
    set.directions.get(index).cloned().ok_or_else(|| {
        anyhow!("--direction: expected 0 to {} for {}, found {index}", set.len().saturating_sub(1), info.name)
    })
}
