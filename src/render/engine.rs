//! The engine: one open generator on one device, and what its pictures left to go on from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::tensor::Tensor;

use super::model::Loaded;
use super::trace::{Owner, StageInput, Trace, Traces};
use super::{Picture, Source, ViewId};
use crate::checkpoint::CheckpointError;
use crate::edit::{Edit, LayerSet, Weighting};
use crate::family::Family;
use crate::generator::{self, Generator, LoadError, ModelInfo, ReadBackError};
use crate::gpu::{Precision, RenderDevice};
use crate::layout::{GIVEN_RECIPE, LayoutError, Weights};
use crate::pca::PcaError;
use crate::progress::{Cancelled, Progress, Report};
use crate::sefa::{Basis, SefaError};

#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("{0} cannot be loaded")]
    Load(String, #[source] Box<LoadError>),
    #[error("no model is open")]
    NoModel,
    #[error("the edit does not fit {model}: {problem}")]
    Misfit { model: String, problem: String },
    #[error(transparent)]
    Sefa(#[from] SefaError),
    #[error(transparent)]
    Pca(#[from] PcaError),
    #[error(transparent)]
    ReadBack(#[from] ReadBackError),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// See [`Engine::interrupt_when`].
    #[error("something more urgent came before the picture")]
    Interrupted,
    #[error("the picture is not finite: the model's values overflow for this edit")]
    NotFinite,
    #[error("{model} cannot be inverted yet: a network of this kind ({family}) has no gradients here")]
    NoGradients { model: String, family: Family },
    #[error("{0} has changed since it was opened; open it again")]
    Changed(String),
}

impl RenderError {
    /// True if the user stopped the work.
    pub fn is_cancelled(&self) -> bool {
        match self {
            RenderError::Cancelled(_) => true,
            RenderError::Checkpoint(error) => error.is_cancelled(),
            RenderError::Load(_, error) => matches!(**error, LoadError::Cancelled(_)),
            _ => false,
        }
    }
}

/// How long one stage took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageTime {
    pub name: String,
    pub took: Duration,
}

pub struct Engine {
    pub(super) device: RenderDevice,
    pub(super) model: Option<Loaded>,
    /// Where the open model was read from, and a person's recipe if there was one.
    pub(super) origin: Option<(Source, Option<String>)>,
    /// Of pictures of the open model.
    pub(super) traces: Traces,
    /// Asked between two stages of pictures that no view shows.
    pub(super) is_interrupted: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Engine {
    pub fn new(device: RenderDevice) -> Self {
        Engine { device, model: None, origin: None, traces: Traces::new(), is_interrupted: Box::new(|| false) }
    }

    pub fn device(&self) -> &RenderDevice {
        &self.device
    }

    /// How models that are opened from now on are stored, if the device can.
    pub fn set_precision(&mut self, precision: Precision) {
        self.device = self.device.clone().with_precision(precision);
    }

    /// The open model.
    pub fn info(&self) -> Option<Arc<ModelInfo>> {
        self.model.as_ref().map(|model| model.info().clone())
    }

    /// Opens a model in place of the present one, which stays if this fails or is cancelled.
    pub fn open(&mut self, source: &Source, report: Report) -> Result<Arc<ModelInfo>, RenderError> {
        self.open_as(source, None, report)
    }

    /// As [`Engine::open`]; the network is read as a person's recipe says, JSON, if there is one.
    pub fn open_as(
        &mut self,
        source: &Source,
        recipe: Option<&str>,
        report: Report,
    ) -> Result<Arc<ModelInfo>, RenderError> {
        let name = source.short_name();
        let weights = Self::weights(source, recipe, report)?;
        let label = self.device.label();
        let limits = (label.as_str(), self.device.max_tensor_bytes());
        let generator = Generator::load(&weights, &name, self.device.place(), limits, report)
            .map_err(|error| RenderError::Load(source.to_string(), Box::new(error)))?;
        let mut model = Loaded::new(generator, self.device.device());
        let mut traces = Traces::new();
        if self.device.wgpu().is_some() {
            // The picture that a window shows first, so that nothing is done twice.
            self.warm_up(&mut model, traces.restart(Owner::View(ViewId::PICTURE)), report)?;
        }
        let info = model.info().clone();
        (self.model, self.traces) = (Some(model), traces);
        self.origin = Some((source.clone(), recipe.map(str::to_owned)));
        Ok(info)
    }

    /// The tensors of a model.
    pub(super) fn weights(source: &Source, recipe: Option<&str>, report: Report) -> Result<Weights, RenderError> {
        let mut checkpoint = source.open(report)?;
        checkpoint.metadata.extend(recipe.map(|json| (GIVEN_RECIPE.to_owned(), json.to_owned())));
        generator::recognise(checkpoint, report).map_err(|error| match error {
            LoadError::Layout(error) => RenderError::Layout(error),
            error => RenderError::Load(source.to_string(), Box::new(error)),
        })
    }

    /// Renders the first sample: kernels are compiled when they are first used, and on some drivers that takes seconds.
    fn warm_up(&self, model: &mut Loaded, trace: &mut Trace, report: Report) -> Result<(), RenderError> {
        let inputs = inputs(model, &model.info().start(0))?;
        let total = inputs.len() as u64;
        for (stage, input) in inputs.into_iter().enumerate() {
            report(Progress { stage: "preparing the GPU".into(), done: stage as u64, total })?;
            trace.run(model, input);
            self.device.device().sync().map_err(|error| ReadBackError::new(&error))?;
        }
        trace.drop_last_features();
        Ok(())
    }

    fn model(&mut self) -> Result<&mut Loaded, RenderError> {
        self.model.as_mut().ok_or(RenderError::NoModel)
    }

    /// SeFa's directions of a group of layers. The most recent ones are remembered until another model is opened.
    pub fn factorize(&mut self, layers: &LayerSet, weighting: Weighting) -> Result<Arc<Basis>, RenderError> {
        self.model()?.factorize(layers, weighting)
    }

    /// One code per layer of each edit's sample, truncated, before moves: w, or z where there is no w.
    ///
    /// # Errors
    /// An edit does not fit the model, none is open, or the device failed.
    pub fn codes(&mut self, edits: &[&Edit]) -> Result<Vec<Vec<Vec<f32>>>, RenderError> {
        let model = self.model()?;
        edits.iter().try_for_each(|edit| model.check(edit))?;
        model.codes(edits)
    }

    /// Tells whether `edit` can be applied to the open model.
    pub fn check(&mut self, edit: &Edit) -> Result<(), RenderError> {
        self.model()?.check(edit)
    }

    /// Has [`Engine::render`] and tiles end with [`RenderError::Interrupted`] between two stages, when this says so.
    pub fn interrupt_when(&mut self, is_due: impl Fn() -> bool + Send + Sync + 'static) {
        self.is_interrupted = Box::new(is_due);
    }

    /// Makes the picture of an edit that no view shows: for exports and the command line. Stages whose input is that of a view,
    /// or of the last such picture, do not run; if that one was interrupted, this goes on from there, by one stage at least.
    pub fn render(&mut self, edit: &Edit) -> Result<Picture, RenderError> {
        let model = self.model.as_mut().ok_or(RenderError::NoModel)?;
        let inputs = inputs(model, edit)?;
        let stages = inputs.len();
        let (trace, first) = self.traces.resume(Owner::Private, &inputs);
        for (stage, input) in inputs.into_iter().enumerate().skip(first) {
            trace.run(model, input);
            if stage + 1 < stages && (self.is_interrupted)() {
                self.traces.trim();
                return Err(RenderError::Interrupted);
            }
        }
        let picture = whole(model, trace, stages - first);
        self.traces.trim();
        picture
    }

    /// Makes the picture of the edit that a view shows, re-running only the stages whose input changed. `enough` is asked after
    /// every stage: if it says so and the network has a smaller picture by then, that one is the result
    /// ([`Picture::is_exact`] tells). What ran is kept, so that the next render of the same edit goes on from there.
    pub fn render_view(
        &mut self,
        view: ViewId,
        edit: &Edit,
        enough: impl Fn() -> bool,
    ) -> Result<Picture, RenderError> {
        let model = self.model.as_mut().ok_or(RenderError::NoModel)?;
        let inputs = inputs(model, edit)?;
        let (trace, first) = self.traces.resume(Owner::View(view), &inputs);
        let picture = finish(model, trace, first, inputs, enough);
        self.traces.trim();
        picture
    }

    /// Stages that ran since the model was opened; one that ran for several pictures at once counts for each.
    pub fn stages_run(&self) -> u64 {
        self.model.as_ref().map_or(0, Loaded::stages_run)
    }

    /// Runs every stage, waiting for the device after each.
    pub fn render_timed(&mut self, edit: &Edit) -> Result<(Picture, Vec<StageTime>), RenderError> {
        let model = self.model.as_mut().ok_or(RenderError::NoModel)?;
        let mut times = Vec::new();
        let mut start = Instant::now();
        let mut lap = |name: &str| {
            let took = start.elapsed();
            start = Instant::now();
            times.push(StageTime { name: name.to_owned(), took });
        };
        let inputs = inputs(model, edit)?;
        lap("latent");
        let trace = self.traces.restart(Owner::Private);
        let stages = inputs.len();
        for (stage, input) in inputs.into_iter().enumerate() {
            trace.run(model, input);
            self.device.device().sync().map_err(|error| ReadBackError::new(&error))?;
            lap(&model.stages()[stage].name);
        }
        let picture = whole(model, trace, stages)?;
        self.traces.trim();
        Ok((picture, times))
    }
}

/// What each stage reads for an edit that fits the model.
fn inputs(model: &mut Loaded, edit: &Edit) -> Result<Vec<StageInput>, RenderError> {
    model.check(edit)?;
    Ok(model.inputs(&[edit])?.pop().unwrap_or_default())
}

/// The picture after a stage, if it is large enough to show instead of the whole.
fn preview(trace: &Trace, stage: usize) -> Option<Tensor<4>> {
    const SMALLEST: usize = 64;
    let picture = trace.output(stage)?.picture.clone();
    picture.filter(|picture| picture.dims()[2].max(picture.dims()[3]) >= SMALLEST)
}

/// Runs the stages from `first` on, until there is a picture that is `enough`.
fn finish(
    model: &Loaded,
    trace: &mut Trace,
    first: usize,
    inputs: Vec<StageInput>,
    enough: impl Fn() -> bool,
) -> Result<Picture, RenderError> {
    let stages = inputs.len();
    for (stage, input) in inputs.into_iter().enumerate().skip(first) {
        trace.run(model, input);
        if stage + 1 < stages
            && enough()
            && let Some(preview) = preview(trace, stage)
        {
            let (order, stages_run) = (model.info().channel_order, (stage + 1 - first, stages));
            return Ok(Picture { tensor: preview, order, stages_run, is_exact: false });
        }
    }
    whole(model, trace, stages - first)
}

/// The output of the last stage, after `ran` stages.
fn whole(model: &Loaded, trace: &mut Trace, ran: usize) -> Result<Picture, RenderError> {
    let stages = model.stages().len();
    trace.drop_last_features();
    let last = stages.checked_sub(1).and_then(|last| trace.output(last)).ok_or(RenderError::NoModel)?;
    let tensor = last.picture.clone().ok_or(RenderError::NoModel)?;
    Ok(Picture { tensor, order: model.info().channel_order, stages_run: (ran, stages), is_exact: true })
}
