//! The networks. This module is the only place that knows families: the rest of the program sees [`ModelInfo`] and
//! [`Network`].
//!
//! To add a family: a file with its `Config` (read from tensor shapes) and its [`Network`], a variant of [`Family`], an arm
//! in [`describe`] and one in [`Generator::load`]; its file layouts go to `layout/`.

mod dcgan;
mod info;
mod layers;
mod stylegan2;

use std::sync::Arc;

use burn::tensor::{Device, Tensor};

use crate::edit::{Truncation, Weighting};
use crate::layout::{LayoutError, Weights};
use crate::progress::{Cancelled, Progress, Report};
use crate::sefa::StyleRows;
pub use info::{Family, Group, LayerInfo, ModelInfo};

/// One step of a forward pass, the unit that the render engine caches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// A name to show, such as "32x32".
    pub name: String,
    /// Latent layers whose codes the stage reads, ascending.
    pub layers: Vec<usize>,
    pub reads_noise: bool,
}

/// What a stage hands to the next one.
#[derive(Clone)]
pub struct Activation {
    /// `[N, C, H, W]`
    pub features: Tensor<4>,
    /// The picture so far, `[N, channels, H, W]` in -1..=1, not clipped; the last stage always has one.
    pub picture: Option<Tensor<4>>,
}

/// Noise for the stages that read it.
pub enum NoiseInput<'a> {
    /// What the checkpoint stores.
    Const,
    None,
    /// Standard normal noise `[1, 1, r, r]` of (layer, resolution r).
    Given(&'a dyn Fn(usize, usize) -> Tensor<4>),
}

/// Noise of one layer.
enum LayerNoise {
    Const,
    None,
    Given(Tensor<4>),
}

impl NoiseInput<'_> {
    fn of_layer(&self, layer: usize, resolution: usize) -> LayerNoise {
        match self {
            NoiseInput::Const => LayerNoise::Const,
            NoiseInput::None => LayerNoise::None,
            NoiseInput::Given(noise) => LayerNoise::Given(noise(layer, resolution)),
        }
    }
}

/// A generator as a chain of stages.
pub trait Network: Send {
    fn stages(&self) -> Vec<Stage>;

    /// z, `[z_dim]` -> the code that moves act on, before truncation: w, or z itself.
    fn code_from_z(&self, z: &[f32], class: Option<usize>) -> Result<Vec<f32>, ReadBackError>;

    /// The centre of truncation; `None` where truncation means nothing.
    fn mean_code(&self) -> Option<&[f32]>;

    /// Runs one stage. `input` is the output of the stage before (`None` for the first), `codes` are `[N, dim]`, one per
    /// entry of [`Stage::layers`].
    fn run(&self, stage: usize, input: Option<&Activation>, codes: &[Tensor<2>], noise: &NoiseInput) -> Activation;

    /// SeFa's rows of a layer; empty if the layer has none in this variant.
    fn style_rows(&self, layer: usize, weighting: Weighting) -> Vec<&StyleRows>;
}

/// A loaded generator.
pub struct Generator {
    pub info: Arc<ModelInfo>,
    pub network: Box<dyn Network>,
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

/// Facts about the network in a checkpoint, without loading it onto a device. `name` is shown if the file has no title.
pub fn describe(weights: &Weights, name: &str) -> Result<ModelInfo, LayoutError> {
    let info = |resolution, channels, z_dim, w_dim, layers: Vec<LayerInfo>| ModelInfo {
        name: weights.metadata.get("title").cloned().unwrap_or_else(|| name.to_owned()),
        identity: String::new(),
        family: weights.family,
        layout: weights.layout.to_owned(),
        container: weights.container.to_string(),
        resolution,
        channels,
        z_dim,
        w_dim,
        num_layers: layers.len(),
        layers,
        classes: None,
        carries_code: weights.carries_code,
        ignored: weights.ignored.clone(),
        warnings: weights.warnings.clone(),
        metadata: weights.metadata.clone(),
        default_truncation: None,
        has_noise: false,
        slider_range: 5.0,
    };
    let mut info = match weights.family {
        Family::StyleGan2 => {
            let config = stylegan2::Config::read(weights)?;
            let layers = config.layers();
            ModelInfo {
                default_truncation: Some(Truncation::default()),
                has_noise: true,
                slider_range: 15.0, // SeFa's own interface
                ..info(config.resolution, config.picture_channels, config.z_dim, Some(config.w_dim), layers)
            }
        }
        Family::Dcgan => {
            let config = dcgan::Config::read(weights)?;
            info(config.resolution(), config.picture_channels(), config.z_dim, None, config.layers())
        }
    };
    info.identity = weights.identity()?;
    Ok(info)
}

impl Generator {
    /// Loads a network onto a device. `max_tensor_bytes` is the largest tensor the device takes, `device_label` its name.
    pub fn load(
        weights: &Weights,
        name: &str,
        device: &Device,
        (device_label, max_tensor_bytes): (&str, Option<u64>),
        report: Report,
    ) -> Result<Self, LoadError> {
        report(Progress { stage: "reading the layout".into(), done: 0, total: 0 })?;
        let info = describe(weights, name)?;
        let fits = |needed: u64| match max_tensor_bytes {
            Some(limit) if needed > limit => Err(LoadError::TooLarge {
                needed: needed.div_ceil(1 << 20),
                limit: limit >> 20,
                device: device_label.into(),
            }),
            _ => Ok(()),
        };
        let mut tally = Tally { report, done: 0, total: weights.names().count() as u64 };
        let network: Box<dyn Network> = match weights.family {
            Family::StyleGan2 => {
                let config = stylegan2::Config::read(weights)?;
                fits(config.largest_tensor_bytes())?;
                Box::new(stylegan2::StyleGan2::load(&config, weights, device, &mut tally)?)
            }
            Family::Dcgan => {
                let config = dcgan::Config::read(weights)?;
                fits(config.largest_tensor_bytes())?;
                Box::new(dcgan::Dcgan::load(&config, weights, device, &mut tally)?)
            }
        };
        Ok(Generator { info: Arc::new(info), network })
    }
}
