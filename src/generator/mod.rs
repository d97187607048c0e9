//! The networks. This module is the only place that knows families: the rest of the program sees [`ModelInfo`] and
//! [`Network`].
//!
//! To add a family: a file with its [`Blueprint`] (read from tensor shapes) and its [`Network`], a variant of [`Family`] and
//! an arm in [`blueprint`]; its file layouts go to `layout/`.

mod adjoint;
mod biggan;
mod biggan_blocks;
mod biggan_deep;
mod chain;
mod conditions;
mod dcgan;
mod filtered;
mod info;
mod layers;
mod mapping;
mod pggan;
mod stylegan;
mod stylegan2;
mod stylegan3;
mod tape;

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::checkpoint::Checkpoint;
use crate::edit::{SeedKind, Truncation, Weighting};
use crate::family::Family;
use crate::layout::{self, LayoutError, LayoutProblem, Weights};
use crate::limits;
use crate::names;
use crate::ops::{Place, Precision};
use crate::progress::{Cancelled, Progress, Report};
use crate::recipe::Prior;
use crate::sefa::StyleRows;
use crate::size::Size;
pub use adjoint::{Adjoint, Gradient, Pulled};
pub use conditions::{Conditions, Label};
pub use info::{Group, LayerInfo, ModelInfo};
pub use tape::Tape;

/// One step of a forward pass, the unit that the render engine caches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// A name to show, such as "32x32".
    pub name: String,
    /// Latent layers whose codes the stage reads, ascending.
    pub layers: Vec<usize>,
    pub reads_noise: bool,
    /// True if [`Conditions::label`] changes the output by another way than the codes.
    pub reads_label: bool,
    /// True if [`Conditions::psi`] changes the output by another way than the codes.
    pub reads_psi: bool,
}

/// What a stage hands to the next one.
#[derive(Clone)]
pub struct Activation {
    /// `[N, C, H, W]`, f32 or f16
    pub features: Tensor<4>,
    /// The picture so far, `[N, channels, H, W]` in -1..=1, f32, not clipped; the last stage always has one.
    pub picture: Option<Tensor<4>>,
}

impl Activation {
    /// That of one sample as that of `samples` equal ones.
    pub fn repeated(&self, samples: usize) -> Activation {
        let repeat = |tensor: &Tensor<4>| layers::repeated(tensor, samples);
        Activation { features: repeat(&self.features), picture: self.picture.as_ref().map(repeat) }
    }
}

/// Noise for the stages that read it.
pub enum NoiseInput<'a> {
    /// What the checkpoint stores.
    Const,
    None,
    /// Standard normal noise of a layer and its size: `[1, 1, height, width]` for all samples, or `[N, 1, height, width]`.
    Given(&'a dyn Fn(usize, Size) -> Tensor<4>),
}

/// Noise of one layer.
#[expect(clippy::large_enum_variant, reason = "one at a time exists, and only on its way to a layer")]
enum LayerNoise {
    Const,
    None,
    Given(Tensor<4>),
}

impl NoiseInput<'_> {
    fn of_layer(&self, layer: usize, size: Size) -> LayerNoise {
        match self {
            NoiseInput::Const => LayerNoise::Const,
            NoiseInput::None => LayerNoise::None,
            NoiseInput::Given(noise) => LayerNoise::Given(noise(layer, size)),
        }
    }
}

/// A generator as a chain of stages.
pub trait Network: Send + Sync {
    fn stages(&self) -> Vec<Stage>;

    /// The distribution that z of a seed is drawn from.
    fn prior(&self) -> Prior {
        Prior::Normal
    }

    /// For each z, `[z_dim]`, with its label the code that moves act on, before truncation: w, or z itself. One read-back for
    /// all.
    fn codes_from_z(&self, z: &[&[f32]], _labels: &[&Label]) -> Result<Vec<Vec<f32>>, ReadBackError> {
        Ok(z.iter().map(|z| z.to_vec()).collect())
    }

    /// The centre of truncation of a layer; `None` where codes are not truncated.
    fn mean_code(&self, _layer: usize) -> Option<&[f32]> {
        None
    }

    /// Runs one stage for N samples: as many as there are `conditions`, which mean something to stages that read them. `input` is
    /// the output of the stage before (`None` for the first), `codes` are `[N, dim]`, one per entry of [`Stage::layers`]. What
    /// [`Adjoint::pull`] needs is left on the tape.
    fn run(
        &self,
        stage: usize,
        input: Option<&Activation>,
        codes: &[Tensor<2>],
        noise: &NoiseInput,
        conditions: &[Conditions],
        tape: &mut Tape,
    ) -> Activation;

    /// z `[N, z_dim]` with their labels -> the codes that moves act on, `[N, dim]`, for [`Adjoint::pull_map`]: w, or z itself.
    fn map(&self, z: Tensor<2>, _labels: &[&Label], _tape: &mut Tape) -> Tensor<2> {
        z
    }

    /// SeFa's rows of a layer; empty if the layer has none in this variant.
    fn style_rows(&self, layer: usize, weighting: Weighting) -> Vec<&StyleRows>;
}

/// What a family reads from tensor shapes, before any tensor is loaded.
trait Blueprint {
    fn facts(&self) -> Facts;

    /// Bytes of the largest map of every stage; what a stage makes stays in memory between edits.
    fn map_bytes(&self) -> Vec<u64>;

    /// Bytes of the largest tensor that is f32 whatever maps are stored in, as far as it is larger than a map in f16.
    fn wide_bytes(&self) -> u64 {
        0
    }

    /// Multiplications and additions of a picture, or more: without knowing the sizes of maps, every convolution is taken for one of
    /// the largest size.
    fn multiply_adds(&self, weights: &Weights) -> u64 {
        let facts = self.facts();
        let layers = facts.layers.iter().map(|layer| layer.size.pixels() as u64);
        let pixels = layers.fold(facts.size.pixels() as u64, u64::max);
        let kernels = weights.shapes().filter(|(_, shape)| shape.len() == 4);
        kernels.map(|(_, shape)| shape.iter().product::<usize>() as u64).sum::<u64>().saturating_mul(pixels)
    }

    fn load(&self, weights: &Weights, device: &Place, tally: &mut Tally) -> Result<Box<dyn Network>, LoadError>;

    /// What gradients need; `None` if the family has none yet.
    fn load_adjoint(
        &self,
        _weights: &Weights,
        _device: &Place,
        _tally: &mut Tally,
    ) -> Result<Option<Box<dyn Adjoint>>, LoadError> {
        Ok(None)
    }
}

/// The family's part of [`ModelInfo`].
struct Facts {
    /// Of the picture.
    size: Size,
    channels: usize,
    z_dim: usize,
    w_dim: Option<usize>,
    layers: Vec<LayerInfo>,
    classes: Option<usize>,
    default_truncation: Option<Truncation>,
    has_noise: bool,
    stores_noise: bool,
    slider_range: f32,
}

fn blueprint(weights: &Weights) -> Result<Box<dyn Blueprint>, LayoutError> {
    if let Some((name, shape)) = weights.shapes().find(|(_, shape)| shape.contains(&0)) {
        return Err(problem(weights, name, format!("expected no empty axis, found {shape:?}")));
    }
    if let Some(recipe) = weights.drawn_by() {
        return Ok(Box::new(chain::Config::read(weights, recipe)?));
    }
    Ok(match weights.family {
        Family::Chain => return Err(problem(weights, "recipe", "expected with a chain, found none".into())),
        Family::Pggan => Box::new(pggan::Config::read(weights)?),
        Family::StyleGan => Box::new(stylegan::Config::read(weights)?),
        Family::StyleGan2 => Box::new(stylegan2::Config::read(weights)?),
        Family::StyleGan3 => Box::new(stylegan3::Config::read(weights)?),
        Family::BigGan => Box::new(biggan::Config::read(weights)?),
        Family::BigGanDeep => Box::new(biggan_deep::Config::read(weights)?),
        Family::Dcgan => Box::new(dcgan::Config::read(weights)?),
    })
}

/// What is wrong with a tensor, or with the network around it.
fn problem(weights: &Weights, tensor: &str, what: String) -> LayoutError {
    LayoutError { file: weights.file.clone(), problem: LayoutProblem::Content { tensor: tensor.into(), what } }
}

fn unsupported(weights: &Weights, what: String) -> LayoutError {
    LayoutError { file: weights.file.clone(), problem: LayoutProblem::Unsupported { what } }
}

/// A loaded generator.
pub struct Generator {
    pub info: Arc<ModelInfo>,
    pub network: Box<dyn Network>,
    /// Bytes of the largest map on the way to a picture, in f32.
    pub map_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("the checkpoint holds no layers")]
    NoLayers,
    #[error(
        "the model needs a tensor of {needed} MiB, more than {device} can hold in one piece ({limit} MiB); \
         --device cpu has no such limit"
    )]
    TooLarge { needed: u64, limit: u64, device: String },
    #[error("{file}: {what}, a file of {file_len} bytes warrants {limit}. Networks of that size have far larger files")]
    TooCostly { file: String, what: String, limit: String, file_len: u64 },
    #[error(transparent)]
    ReadBack(#[from] ReadBackError),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// The device failed while values were read from it.
#[derive(Debug, thiserror::Error)]
#[error("values could not be read from the device: {0}")]
pub struct ReadBackError(String);

impl ReadBackError {
    pub(crate) fn new(cause: &dyn std::fmt::Debug) -> Self {
        ReadBackError(format!("{cause:?}"))
    }
}

/// Values of a tensor, row-major. Waits for the device.
pub(crate) fn read_back<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ReadBackError> {
    let data = tensor.try_into_data().map_err(|error| ReadBackError::new(&error))?;
    data.try_into_vec::<f32>().map_err(|error| ReadBackError::new(&error))
}

/// Reads tensors and counts them for the progress bar.
struct Tally<'a> {
    report: Report<'a>,
    done: u64,
    total: u64,
}

impl Tally<'_> {
    fn get(&mut self, weights: &Weights, name: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        self.count()?;
        Ok(weights.get(name, shape)?)
    }

    fn find(&mut self, weights: &Weights, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>, LoadError> {
        self.count()?;
        Ok(weights.find(name, shape)?)
    }

    fn count(&mut self) -> Result<(), Cancelled> {
        self.done += 1;
        (self.report)(Progress { stage: "loading tensors".into(), done: self.done, total: self.total })
    }
}

/// Entry of a file's metadata that says whose seeds its network's seeds are, by the names of [`SeedKind`].
pub const SEEDS_KEY: &str = "seeds";

/// Recognises the network in a checkpoint; what its shapes leave open is settled by the statistics of its batch norms.
///
/// # Errors
/// No layout matches, a tensor cannot be read, or `report` stopped the work.
pub fn recognise(checkpoint: Checkpoint, report: Report) -> Result<Weights, LoadError> {
    let mut weights = layout::detect(checkpoint)?;
    // Before anything is computed with what the file claims.
    if let Ok(blueprint) = blueprint(&weights) {
        check_extent(&blueprint.facts(), &weights)?;
    }
    chain::settle(&mut weights, report)?;
    Ok(weights)
}

/// Codes, layers and pictures stay within the limits.
fn check_extent(facts: &Facts, weights: &Weights) -> Result<(), LayoutError> {
    for (space, dim) in [("z", Some(facts.z_dim)), ("w", facts.w_dim)] {
        if let Some(dim) = dim.filter(|&dim| dim > limits::LATENT) {
            let what = format!("a network whose {space} has {dim} numbers (at most {})", limits::LATENT);
            return Err(unsupported(weights, what));
        }
    }
    let (layers, width) = (facts.layers.len(), facts.w_dim.unwrap_or(facts.z_dim));
    if layers > limits::LAYERS || layers * width.pow(2) > limits::GRAMS {
        let what = format!("a network of {layers} layers that read codes of {width} numbers");
        return Err(unsupported(weights, what));
    }
    if facts.size.width.max(facts.size.height) > limits::SIDE {
        let what = format!("a network for pictures of {} x {} pixels", facts.size.width, facts.size.height);
        return Err(unsupported(weights, what));
    }
    Ok(())
}

/// Facts about the network in a checkpoint, without loading it onto a device. `name` is shown if the file has no title.
pub fn describe(weights: &Weights, name: &str) -> Result<ModelInfo, LayoutError> {
    describe_blueprint(&*blueprint(weights)?, weights, name)
}

fn describe_blueprint(blueprint: &dyn Blueprint, weights: &Weights, name: &str) -> Result<ModelInfo, LayoutError> {
    let facts = blueprint.facts();
    check_extent(&facts, weights)?;
    let (mut metadata, mut warnings) = (weights.metadata.clone(), weights.warnings.clone());
    let direction_names = metadata.remove(names::METADATA_KEY).map(|json| serde_json::from_str(&json));
    let direction_names = direction_names.transpose().unwrap_or_else(|error| {
        warnings.push(format!("the names of directions in the metadata are not used: {error}"));
        None
    });
    let seeds = match metadata.remove(SEEDS_KEY).map(|text| text.parse()) {
        Some(Ok(kind)) => kind,
        told => {
            warnings.extend(
                told.and_then(Result::err).map(|error: String| format!("{SEEDS_KEY} in the metadata: {error}")),
            );
            // A converted file keeps the seeds of the tool that it came from.
            SeedKind::of_layout(metadata.get("source_layout").map_or(weights.layout, String::as_str))
        }
    };
    metadata.remove("recipe");
    warnings.extend(chain::warnings(weights));
    let slider_range = metadata.get("slider_range").and_then(|text| text.parse().ok());
    let slider_range = slider_range.filter(|range| (1e-3..1e3).contains(range)).unwrap_or(facts.slider_range);
    Ok(ModelInfo {
        name: metadata.get("title").cloned().unwrap_or_else(|| name.to_owned()),
        identity: weights.identity()?,
        family: weights.family,
        layout: weights.layout.to_owned(),
        container: weights.container.to_string(),
        size: facts.size,
        channels: facts.channels,
        z_dim: facts.z_dim,
        w_dim: facts.w_dim,
        seeds,
        num_layers: facts.layers.len(),
        layers: facts.layers,
        classes: facts.classes,
        carries_code: weights.carries_code,
        network_taken: weights.network_taken.clone(),
        ignored: weights.ignored.clone(),
        warnings,
        metadata,
        direction_names: direction_names.unwrap_or_default(),
        default_truncation: facts.default_truncation,
        has_noise: facts.has_noise,
        stores_noise: facts.stores_noise,
        channel_order: weights.conventions.channel_order,
        upsampling: (weights.family == Family::StyleGan2).then_some(weights.conventions.upsampling),
        slider_range,
        recipe: weights.recipe.clone(),
        facts: weights.facts.clone(),
    })
}

/// What a picture takes grows with what the file holds: a few kB of repeated zeros could otherwise ask for any amount.
fn check_cost(blueprint: &dyn Blueprint, weights: &Weights) -> Result<(), LoadError> {
    let Facts { size, channels, .. } = blueprint.facts();
    // The picture grows beside the maps, and is copied where it is shown or saved.
    let pictures = 2 * 4 * (channels * size.pixels()) as u64;
    let memory = blueprint.map_bytes().into_iter().fold(pictures, u64::saturating_add);
    let work = blueprint.multiply_adds(weights);
    let (most_memory, most_work) = (limits::map_bytes(weights.file_len), limits::multiply_adds(weights.file_len));
    let (what, limit) = if memory > most_memory {
        (format!("{} MiB of memory", memory >> 20), format!("{} MiB", most_memory >> 20))
    } else if work > most_work {
        (format!("up to {} billion multiplications", work / 1_000_000_000), (most_work / 1_000_000_000).to_string())
    } else {
        return Ok(());
    };
    let what = format!("a picture of {} x {} pixels would take {what}", size.width, size.height);
    Err(LoadError::TooCostly { file: weights.file.clone(), what, limit, file_len: weights.file_len })
}

impl Generator {
    /// Loads a network onto a device, to store its maps there as the place says. `max_tensor_bytes` is the largest tensor the device takes, `device_label` its name.
    pub fn load(
        weights: &Weights,
        name: &str,
        device: &Place,
        (device_label, max_tensor_bytes): (&str, Option<u64>),
        report: Report,
    ) -> Result<Self, LoadError> {
        report(Progress { stage: "reading the layout".into(), done: 0, total: 0 })?;
        let blueprint = blueprint(weights)?;
        let info = describe_blueprint(&*blueprint, weights, name)?;
        check_cost(&*blueprint, weights)?;
        let largest_map = blueprint.map_bytes().into_iter().max().unwrap_or(0);
        let stored = match device.precision() {
            Precision::F32 => largest_map,
            Precision::F16 => blueprint.wide_bytes().max(largest_map / 2),
        };
        match (stored, max_tensor_bytes) {
            (needed, Some(limit)) if needed > limit => {
                return Err(LoadError::TooLarge {
                    needed: needed.div_ceil(1 << 20),
                    limit: limit >> 20,
                    device: device_label.into(),
                });
            }
            _ => {}
        }
        let mut tally = Tally { report, done: 0, total: weights.names().count() as u64 };
        let network = blueprint.load(weights, device, &mut tally)?;
        Ok(Generator { info: Arc::new(info), network, map_bytes: largest_map })
    }
}
