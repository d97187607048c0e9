//! `render`: pictures as numbered PNG frames.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;

use super::arguments::{
    self, ClassChoice, ClassList, DeviceArguments, LayerChoice, MAX_FRAMES, Numbers, ReadingArguments, SeedsOf,
    StyleChoice,
};
use super::progress::Bar;
use super::{device_line, note, open_model, print, warn};
use crate::directions::DirectionSet;
use crate::edit::{ClassMix, Code, Direction, Edit, Noise, NoiseMode, Seed, Truncation, Weighting};
use crate::export::{
    self, Codes, ContactSheet, ExportError, FrameSink, Latents, Older, SHEET, Sequence, Shot, Space, ThreadSink,
};
use crate::files;
use crate::generator::ModelInfo;
use crate::names::DirectionNames;
use crate::project::Project;
use crate::render::{Engine, Example, Source};

const EXAMPLES: &str = "\
Examples:
  sefa-studio render --out out --seeds 0-9
      ten pictures of the built-in generator
  sefa-studio render ffhq.pkl --out out --seeds 5 --psi 0.7 \\
          --layers 0-1 --direction 0 --from -3 --to 3 --steps 7 --sheet
      seven pictures along the strongest direction of the bottom layers, and all of them on one sheet
  sefa-studio render ffhq.pkl --out out --latents projected_w.npz --space w
      the code that another tool found for a photo
  sefa-studio render biggan-deep-256.bin --out out --seeds 3 \\
          --classes \"golden retriever\" --mix-class zebra --mix 0.3
      a class of ImageNet by name, with some of another
  sefa-studio render --out out --seeds 0-9 --style top=42
      ten samples in the colours of another
  sefa-studio render --out out --edit picture.png
      the same picture again, from the edit inside an exported PNG

Frames are numbered code by code, and for each code along the sweep. Every PNG carries its edit: \
open it in the window, or give it to --edit.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Generator: a checkpoint, or example:toy-heads [default: the built-in one]
    #[arg(value_parser = arguments::source())]
    file: Option<Source>,

    #[command(flatten)]
    reading: ReadingArguments,

    /// Folder for the frames; made if it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Replace the frames of an older series in the folder; without this they are not touched, and nothing is rendered
    #[arg(long)]
    overwrite: bool,

    /// Also write sheet.png: all frames side by side, labelled
    #[arg(long)]
    sheet: bool,

    /// Also write each frame as float32 npy [C,H,W], as the network makes it, not clipped
    #[arg(long)]
    raw: bool,

    #[command(flatten, next_help_heading = "Sample")]
    sample: SampleArguments,

    #[command(flatten, next_help_heading = "SweepValues along a direction")]
    sweep: SweepArguments,
}

#[derive(Args)]
pub(super) struct SampleArguments {
    /// Seeds to draw z from, such as 0,3,10-12 [default: 0]
    #[arg(long)]
    seeds: Option<Numbers>,

    /// Whose seeds they are: auto (of the tool that the network comes from; `info` says which), studio (this program's own),
    /// numpy (RandomState(seed).randn(1, z)), torch (manual_seed(seed), randn(1, z) on a CPU) or scipy (truncated normal,
    /// as Hugging Face's BigGAN) [default: auto]
    #[arg(long, value_name = "TOOL", conflicts_with = "latents")]
    seeds_of: Option<SeedsOf>,

    /// Latent codes of another tool instead of seeds: npy, npz, safetensors, a PyTorch or pickle file, JSON or a table of
    /// numbers. Arrays [z] or [N,z], [w] or [N,w], and [layers,w] or [N,layers,w] for one w per layer (w+), with any axes of
    /// length 1; alone, or in maps and lists, where names such as latent, z, w, w_plus and dlatents are known
    #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
    latents: Option<PathBuf>,

    /// Which array of the file, by its name or its path (photo.jpg/latent); needed if several can be meant
    #[arg(long, value_name = "NAME", requires = "latents")]
    latents_key: Option<String>,

    /// Space of the codes: z (as it is; psi truncates the w made from it), w, or w+ (one w per layer) [default: by name and
    /// shape; z for [N,dim] that can be both]
    #[arg(long, requires = "latents")]
    space: Option<Space>,

    /// Classes of conditional models, such as 0,10-12, or names of ImageNet's 1000 classes: one for all codes, one per
    /// code, or several for one code [default: 0]
    #[arg(long, value_name = "CLASSES")]
    classes: Option<ClassList>,

    /// A second class, number or name, to mix into every picture
    #[arg(long, value_name = "CLASS")]
    mix_class: Option<ClassChoice>,

    /// How much of it: 0 the picture's own class alone, 1 the second class alone [default: 0.5]
    #[arg(long, value_name = "AMOUNT", value_parser = arguments::share, requires = "mix_class")]
    mix: Option<f32>,

    /// Takes the codes of some layers from another seed: LAYERS=SEED, such as 6-11=7 or top=7; may be given several times.
    /// They are of the picture's own class, or of one that follows the seed (top=7:207); BigGAN's blocks show the
    /// picture's own class in any case
    #[arg(long = "style", value_name = "LAYERS=SEED")]
    styles: Vec<StyleChoice>,

    /// Truncation: 1 none, 0 the mean picture; for BigGAN the factor of a seed's z, which picks the batch statistics too
    /// [default: the model's; 1 for codes in w]
    #[arg(long, value_parser = arguments::finite, allow_hyphen_values = true)]
    psi: Option<f32>,

    /// Number of layers that are truncated, from layer 0 [default: the model's]
    #[arg(long, value_name = "LAYERS")]
    cutoff: Option<usize>,

    /// Noise inputs: const (stored in the checkpoint), random or none [default: const; none if none is stored]
    #[arg(long, value_name = "MODE")]
    noise: Option<NoiseMode>,

    /// Seed of random noise [default: 0]
    #[arg(long, value_name = "SEED", requires = "noise")]
    noise_seed: Option<u64>,

    /// Render exactly what the window made: a project or an exported PNG. Without FILE, its own model is opened
    #[arg(
        long,
        value_name = "JSON|PNG",
        conflicts_with_all = [
            "seeds", "seeds_of", "latents", "classes", "mix_class", "styles", "psi", "cutoff", "noise", "noise_seed"
        ]
    )]
    edit: Option<PathBuf>,
}

impl SampleArguments {
    /// As if `--edit` had been given.
    ///
    /// # Errors
    /// It was, or something that it does not go with.
    pub(super) fn take_edit(&mut self, path: PathBuf) -> anyhow::Result<()> {
        let SampleArguments { seeds, latents, edit, .. } = self;
        anyhow::ensure!(
            seeds.is_none() && latents.is_none() && edit.is_none(),
            "{} has its own samples: --seeds, --latents and --edit do not go with it",
            path.display()
        );
        *edit = Some(path);
        Ok(())
    }

    /// So many seeds from one on, if no samples were given.
    ///
    /// # Errors
    /// Samples were given, and these too.
    pub(super) fn take_drawn(&mut self, count: Option<u32>, first: Option<u64>, default: u32) -> anyhow::Result<()> {
        let SampleArguments { seeds, latents, edit, .. } = self;
        if seeds.is_some() || latents.is_some() || edit.is_some() {
            anyhow::ensure!(
                count.is_none() && first.is_none(),
                "--samples and --seed draw samples: --seeds, --latents and --edit do not go with them"
            );
            return Ok(());
        }
        let (first, count) = (first.unwrap_or_default(), u64::from(count.unwrap_or(default)));
        let last = first.checked_add(count).context("--seed: too large for so many samples")?;
        *seeds = Some(Numbers((first..last).collect()));
        Ok(())
    }

    /// Takes the samples of these seeds, and no others.
    pub(super) fn take_seeds(&mut self, seeds: Vec<u64>) {
        self.seeds = Some(Numbers(seeds));
    }
}

#[derive(Args)]
struct SweepArguments {
    /// Layers to factorise and to move: all, bottom, middle, top, or such as 2-5,7 [default: all]
    #[arg(long, requires = "direction")]
    layers: Option<LayerChoice>,

    /// Which direction, 0 is the strongest
    #[arg(long, value_name = "NUMBER")]
    direction: Option<usize>,

    /// Distance at the first step
    #[arg(long, default_value = "-3", value_parser = arguments::finite, allow_hyphen_values = true, requires = "direction")]
    from: f32,

    /// Distance at the last step
    #[arg(long, default_value = "3", value_parser = arguments::finite, allow_hyphen_values = true, requires = "direction")]
    to: f32,

    /// Number of steps; an odd one shows the unmoved picture in the middle
    #[arg(
        long,
        default_value = "7",
        value_parser = clap::value_parser!(u32).range(1..=MAX_FRAMES as i64),
        requires = "direction"
    )]
    steps: u32,

    /// Factorise the weights as stored, their rows not normalised
    #[arg(long, requires = "direction")]
    raw_weights: bool,
}

pub fn run(arguments: Arguments, device: DeviceArguments) -> anyhow::Result<()> {
    if !arguments.overwrite {
        // Before a model is opened for nothing.
        clear_folder(&arguments.out, arguments.overwrite)?;
    }
    let Opened { mut engine, info, source, starts, names, saved } =
        open(arguments.file.clone(), &arguments.reading, &arguments.sample, device)?;
    let sweep = SweepValues::new(&arguments.sweep, &mut engine, &info)?;
    if let (Some(sweep), Some(project)) = (&sweep, &saved) {
        sweep.note_replaced(&project.edit);
    }
    let frames = starts.len() * sweep.as_ref().map_or(1, |sweep| sweep.values.len());
    if frames > MAX_FRAMES {
        bail!("{} codes along the sweep are {frames} frames; expected at most {MAX_FRAMES}", starts.len());
    }
    // So that a picture can be opened again from any folder.
    let source = source.absolute().to_string();
    let project = Project::new(&info, source, Edit::default(), names);

    let sheet = arguments.sheet.then(|| contact_sheet(&starts, sweep.as_ref(), &info));
    clear_folder(&arguments.out, arguments.overwrite)?;
    let and_sheet = if sheet.is_some() { " and sheet.png" } else { "" };
    let mut sinks: Vec<Box<dyn FrameSink>> = vec![Box::new(ThreadSink::numbered_png(&arguments.out, arguments.raw))];
    if let Some(sheet) = sheet {
        sinks.push(Box::new(ThreadSink::sheet(arguments.out.join(SHEET), move || sheet)));
    }
    let sequence = Sequence::new(project, shots(&starts, sweep.as_ref()), frames, sinks);
    let mut bar = Bar::new();
    export::render_sequence(&mut engine, sequence, &mut bar.report())?;
    drop(bar);
    let plural = if frames == 1 { "frame" } else { "frames" };
    let (folder, device) = (arguments.out.display(), device_line(engine.device()));
    print(&format!("{frames} {plural}{and_sheet} in {folder} ({device})\n"))
}

/// A model that is open, and what the options ask of it.
pub(super) struct Opened {
    pub(super) engine: Engine,
    pub(super) info: Arc<ModelInfo>,
    pub(super) source: Source,
    /// Each edit fits the model.
    pub(super) starts: Vec<Shot>,
    /// Of directions, as the model or the edit brings them along.
    pub(super) names: DirectionNames,
    /// The edit that was given.
    pub(super) saved: Option<Project>,
}

/// Opens the model that is given, or the one of the edit that is given, and finds the samples.
pub(super) fn open(
    file: Option<Source>,
    reading: &ReadingArguments,
    sample: &SampleArguments,
    device: DeviceArguments,
) -> anyhow::Result<Opened> {
    let saved = sample.edit.as_deref().map(Project::load).transpose()?;
    let source = match (&file, &saved) {
        (Some(file), _) => file.clone(),
        (None, Some(project)) => of_edit(project)?,
        (None, None) => Source::Example(Example::default()),
    };
    // A recipe that is given comes before the one that the edit was made with.
    let made_with = saved.as_ref().and_then(|project| project.model.recipe.as_ref());
    let recipe = reading.recipe.clone();
    let recipe = recipe.or_else(|| made_with.and_then(|recipe| serde_json::to_string(recipe).ok()));
    let source = reading.of(source);
    let (mut engine, info) = match (open_model(&source, device, recipe.as_deref()), &saved) {
        (Err(error), Some(project)) if file.is_none() => {
            let model = &project.model;
            return Err(
                error.context(format!("cannot open {}, which the edit was made with; give it as FILE", model.name))
            );
        }
        (opened, _) => opened?,
    };
    reading.warn_of_no_effect(info.family);

    let (starts, names) = match &saved {
        Some(project) => (vec![Shot { label: "edit".into(), edit: project.edit.clone() }], project.names.clone()),
        None => (starts(sample, &info)?, info.direction_names.clone()),
    };
    for start in &starts {
        engine.check(&start.edit)?;
    }
    if let Some(model) = saved.as_ref().map(|project| &project.model).filter(|model| model.identity != info.identity) {
        warn(&format!(
            "the edit was made with another model, {} ({}): the picture will differ",
            model.name, model.family
        ));
    }
    Ok(Opened { engine, info, source, starts, names, saved })
}

/// The model that an edit was made with, where it says that it lies. Whoever wrote the edit does not choose what is asked of
/// other computers.
fn of_edit(project: &Project) -> anyhow::Result<Source> {
    let source = Source::from(project.model.source.clone());
    if let Some(doubt) = source.file().and_then(files::doubt) {
        bail!("the edit's model, {source}, was not opened: {doubt}. Give the model as FILE");
    }
    Ok(source)
}

/// Removes an older series from a folder, if that was asked for; refuses to mix with it if not.
pub(super) fn clear_folder(folder: &Path, overwrite: bool) -> anyhow::Result<()> {
    let older = if overwrite { Older::Remove } else { Older::Refuse };
    match export::clear_for_series(folder, older) {
        Err(error @ ExportError::OlderSeries { .. }) => {
            Err(anyhow::anyhow!("{error}; --overwrite replaces them, or choose another folder"))
        }
        cleared => Ok(cleared?),
    }
}

/// All pictures: code by code, and for each code along the sweep.
fn shots(starts: &[Shot], sweep: Option<&SweepValues>) -> impl Iterator<Item = Shot> + Send {
    starts.iter().flat_map(move |start| {
        let steps = sweep.map_or(1, |sweep| sweep.values.len());
        (0..steps).map(move |step| sweep.map_or_else(|| start.clone(), |sweep| sweep.apply(start, step)))
    })
}

/// An empty sheet with room for all pictures.
fn contact_sheet(starts: &[Shot], sweep: Option<&SweepValues>, info: &ModelInfo) -> ContactSheet {
    let steps = sweep.map_or(1, |sweep| sweep.values.len());
    let label = shots(starts, sweep).map(|shot| shot.label.len()).max().unwrap_or(0);
    let size = [info.size.width, info.size.height];
    ContactSheet::new(starts.len() * steps, export::sheet_columns(steps, starts.len(), size), size, label)
}

/// The edits that the options ask for, before any sweep.
fn starts(arguments: &SampleArguments, info: &ModelInfo) -> anyhow::Result<Vec<Shot>> {
    let kind = arguments.seeds_of.and_then(|SeedsOf(kind)| kind).unwrap_or(info.seeds);
    let mut starts: Vec<Shot> = match &arguments.latents {
        None => {
            let seeds = arguments.seeds.as_ref().map_or(&[0][..], |seeds| &seeds.0);
            let shot = |&number: &u64| {
                let mut edit = info.start(number);
                edit.sample.code = Code::Seed(Seed { number, kind });
                Shot { label: format!("seed {number}"), edit }
            };
            seeds.iter().map(shot).collect()
        }
        Some(path) => {
            let latents = Latents::read(path, arguments.latents_key.as_deref())?;
            let Codes { codes, reading, doubt } = latents.into_codes(arguments.space, info)?;
            note(&reading);
            doubt.iter().for_each(|doubt| warn(doubt));
            codes.into_iter().enumerate().map(|(number, code)| from_code(number, code, info)).collect()
        }
    };
    let classes = arguments.classes.as_ref().map(|classes| classes.resolve("--classes", info)).transpose()?;
    if let Some(classes) = classes {
        starts = with_classes(&starts, &classes)?;
    }
    let amount = arguments.mix.unwrap_or(0.5);
    let mix = arguments.mix_class.as_ref().map(|class| class.resolve("--mix-class", info)).transpose()?;
    let mix = mix.map(|class| ClassMix { class, amount });
    let styles = arguments.styles.iter().map(|style| style.resolve(info, kind)).collect::<anyhow::Result<Vec<_>>>()?;
    for Shot { edit, .. } in &mut starts {
        edit.sample.mix = mix;
        edit.sample.styles.clone_from(&styles);
        edit.truncation.psi = arguments.psi.unwrap_or(edit.truncation.psi);
        edit.truncation.cutoff = arguments.cutoff.or(edit.truncation.cutoff);
        edit.noise =
            Noise { mode: arguments.noise.unwrap_or(edit.noise.mode), seed: arguments.noise_seed.unwrap_or_default() };
    }
    warn_of_no_effect(arguments, info, &starts);
    Ok(starts)
}

fn from_code(number: usize, code: Code, info: &ModelInfo) -> Shot {
    let mut edit = info.start(0);
    if !matches!(code, Code::Z(_)) {
        // A code found in w is meant as it is.
        edit.truncation = Truncation::default();
    }
    edit.sample.code = code;
    Shot { label: format!("code {number}"), edit }
}

/// One class for all codes, one per code, or several for one code.
fn with_classes(starts: &[Shot], classes: &[usize]) -> anyhow::Result<Vec<Shot>> {
    let codes = starts.len();
    if classes.len() != 1 && codes != 1 && classes.len() != codes {
        bail!("--classes: expected one class, or one for each of {codes} codes, found {}", classes.len());
    }
    let shots = starts.iter().cycle().zip(classes.iter().cycle()).take(codes.max(classes.len()));
    let shot = |(start, &class): (&Shot, &usize)| {
        let mut edit = start.edit.clone();
        edit.sample.class = Some(class);
        Shot { label: format!("{} class {class}", start.label), edit }
    };
    Ok(shots.map(shot).collect())
}

fn warn_of_no_effect(arguments: &SampleArguments, info: &ModelInfo, starts: &[Shot]) {
    let truncates = arguments.psi.is_some() || arguments.cutoff.is_some();
    if truncates && info.default_truncation.is_none() {
        warn(&format!("--psi and --cutoff have no effect: {} is not truncated", info.name));
    } else if truncates && starts.iter().any(|start| matches!(start.edit.sample.code, Code::WPlus(_))) {
        warn("--psi and --cutoff have no effect on codes with one w per layer");
    }
    if arguments.cutoff.is_some() && info.default_truncation.is_some() && info.w_dim.is_none() {
        warn(&format!("--cutoff has no effect: {} has no w to truncate layer by layer", info.name));
    }
    let in_w = |start: &Shot| matches!(start.edit.sample.code, Code::W(_) | Code::WPlus(_));
    if (arguments.classes.is_some() || arguments.mix_class.is_some()) && starts.iter().any(in_w) {
        warn("--classes and --mix-class have no effect on codes in w: the class is already in them");
    }
    if info.w_dim.is_none() && arguments.styles.iter().any(StyleChoice::has_class) {
        warn(&format!("the class in --style has no effect: {} has no w that a class could be in", info.name));
    }
    if arguments.noise.is_some() && !info.has_noise {
        warn(&format!("--noise has no effect: {} has no noise inputs", info.name));
    } else if arguments.noise.is_some_and(|mode| info.noise_mode(mode) != mode) {
        warn(&format!("--noise const: {} holds no noise, so pictures are drawn without", info.name));
    }
}

/// A direction, and the distances along it.
struct SweepValues {
    direction: Arc<Direction>,
    values: Vec<f32>,
}

impl SweepValues {
    fn new(arguments: &SweepArguments, engine: &mut Engine, info: &ModelInfo) -> anyhow::Result<Option<Self>> {
        let Some(index) = arguments.direction else { return Ok(None) };
        let layers = arguments.layers.as_ref().unwrap_or(&LayerChoice::ALL).resolve(info)?;
        let weighting = if arguments.raw_weights { Weighting::Raw } else { Weighting::RowNormalised };
        let set = DirectionSet::from(&*engine.factorize(&layers, weighting)?);
        let Some(direction) = set.directions.get(index) else {
            bail!("--direction: expected 0 to {} for {}, found {index}", set.len() - 1, info.name);
        };
        let values = export::sweep_values(arguments.from, arguments.to, arguments.steps as usize);
        Ok(Some(SweepValues { direction: direction.clone(), values }))
    }

    /// The start, moved. A move that the start has along the direction already takes the value, so that none counts twice.
    fn apply(&self, start: &Shot, step: usize) -> Shot {
        let value = self.values[step];
        let mut edit = start.edit.clone();
        edit.set_along(&self.direction, value).enabled = true;
        Shot { label: format!("{} {value:+.2}", start.label), edit }
    }

    /// Says which move of the edit the sweep takes the place of, if it has that one.
    fn note_replaced(&self, edit: &Edit) {
        let Some(step) = edit.along(&self.direction) else { return };
        let called = if step.name.is_empty() { step.direction.origin.to_string() } else { format!("{:?}", step.name) };
        let (layers, value) = (&step.direction.layers, step.value);
        note(&format!(
            "the edit moves along {called} of layers {layers} already, by {value}: the sweep takes its place"
        ));
    }
}
