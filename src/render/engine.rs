//! The engine: one open generator on one device, and everything that is remembered between two renders.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::{IntoParallelIterator, ParallelExtend, ParallelIterator};

use super::{Picture, Source};
use crate::checkpoint::CheckpointError;
use crate::edit::{Code, Edit, LayerSet, Noise, NoiseMode, Seed, Weighting};
use crate::generator::{
    self, Activation, Conditions, Generator, Label, LoadError, ModelInfo, NoiseInput, ReadBackError, Size, Stage,
};
use crate::gpu::{Precision, RenderDevice};
use crate::latent;
use crate::layout::{GIVEN_RECIPE, LayoutError};
use crate::ops::Gram;
use crate::progress::{Cancelled, Progress, Report};
use crate::sefa::{self, Basis, SefaError, StyleRows};

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
    ReadBack(#[from] ReadBackError),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    #[error("the picture is not finite: the model's values overflow for this edit")]
    NotFinite,
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
    device: RenderDevice,
    model: Option<Model>,
}

/// An open generator with its caches. All caches are keyed by what their content depends on.
struct Model {
    generator: Generator,
    stages: Vec<Stage>,
    /// Last output of each stage with the inputs that made it.
    outputs: Vec<Option<(StageInput, Activation)>>,
    /// The last z that was mapped, with its label and what it became, before truncation.
    mapped: Option<(Vec<f32>, Label, Vec<f32>)>,
    noise: RefCell<NoiseBank>,
    grams: HashMap<(usize, Weighting), Vec<Gram>>,
    bases: HashMap<(LayerSet, Weighting), Arc<Basis>>,
}

/// What a stage's output depends on, besides the stage before it.
#[derive(Clone, Debug, PartialEq)]
struct StageInput {
    codes: Vec<Vec<f32>>,
    /// `None` where the stage does not read it, here and below.
    noise: Option<Noise>,
    label: Option<Label>,
    psi: Option<f32>,
}

/// Random noise of one seed, made when a layer first asks for it.
#[derive(Default)]
struct NoiseBank {
    seed: u64,
    layers: HashMap<usize, Tensor<4>>,
}

impl NoiseBank {
    fn layer(&mut self, seed: u64, layer: usize, size: Size, device: &Device) -> Tensor<4> {
        if self.seed != seed {
            *self = NoiseBank { seed, layers: HashMap::new() };
        }
        let make = || {
            let values = latent::noise_from_seed(seed, layer, size.pixels());
            Tensor::from_data(TensorData::new(values, [1, 1, size.height, size.width]), device)
        };
        self.layers.entry(layer).or_insert_with(make).clone()
    }
}

impl Engine {
    pub fn new(device: RenderDevice) -> Self {
        Engine { device, model: None }
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
        self.model.as_ref().map(|model| model.generator.info.clone())
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
        let mut checkpoint = source.open(report)?;
        checkpoint.metadata.extend(recipe.map(|json| (GIVEN_RECIPE.to_owned(), json.to_owned())));
        let loading = |error| match error {
            LoadError::Layout(error) => RenderError::Layout(error),
            error => RenderError::Load(source.to_string(), Box::new(error)),
        };
        let weights = generator::recognise(checkpoint, report).map_err(loading)?;
        let label = self.device.label();
        let limits = (label.as_str(), self.device.max_tensor_bytes());
        let generator = Generator::load(&weights, &name, self.device.place(), limits, report)
            .map_err(|error| RenderError::Load(source.to_string(), Box::new(error)))?;
        let info = generator.info.clone();
        let stages = generator.network.stages();
        let mut model = Model {
            outputs: stages.iter().map(|_| None).collect(),
            stages,
            generator,
            mapped: None,
            noise: RefCell::default(),
            grams: HashMap::new(),
            bases: HashMap::new(),
        };
        if self.device.wgpu().is_some() {
            model.warm_up(self.device.device(), report)?;
        }
        self.model = Some(model);
        Ok(info)
    }

    fn model(&mut self) -> Result<&mut Model, RenderError> {
        self.model.as_mut().ok_or(RenderError::NoModel)
    }

    /// SeFa's directions of a group of layers; remembered until another model is opened.
    pub fn factorize(&mut self, layers: &LayerSet, weighting: Weighting) -> Result<Arc<Basis>, RenderError> {
        let model = self.model()?;
        let key = (layers.clone(), weighting);
        if let Some(basis) = model.bases.get(&key) {
            return Ok(basis.clone());
        }
        model.generator.info.check_layers(layers).map_err(|problem| model.misfit(problem))?;
        let network = &model.generator.network;
        let missing = layers.as_slice().iter().filter(|&&layer| !model.grams.contains_key(&(layer, weighting)));
        let rows: Vec<_> = missing.map(|&layer| (layer, network.style_rows(layer, weighting))).collect();
        let gram = |(layer, rows): (usize, Vec<&StyleRows>)| {
            ((layer, weighting), rows.into_iter().map(|rows| sefa::gram(rows, weighting)).collect())
        };
        model.grams.par_extend(rows.into_par_iter().map(gram));
        let grams = layers.as_slice().iter().flat_map(|&layer| &model.grams[&(layer, weighting)]);
        let basis = Arc::new(sefa::factorize(layers.clone(), weighting, grams)?);
        model.bases.insert(key, basis.clone());
        Ok(basis)
    }

    /// Tells whether `edit` can be applied to the open model.
    pub fn check(&mut self, edit: &Edit) -> Result<(), RenderError> {
        let model = self.model()?;
        model.generator.info.check(edit).map_err(|problem| model.misfit(problem))
    }

    /// Makes the picture of an edit, re-running only the stages whose input changed.
    pub fn render(&mut self, edit: &Edit) -> Result<Picture, RenderError> {
        self.render_until(edit, || false)
    }

    /// As [`Engine::render`], but `enough` is asked after every stage: if it says so and the network has a smaller picture
    /// by then, that one is the result ([`Picture::is_exact`] tells). What ran is kept, so that the next render of the
    /// same edit goes on from there.
    pub fn render_until(&mut self, edit: &Edit, enough: impl Fn() -> bool) -> Result<Picture, RenderError> {
        self.check(edit)?;
        let device = self.device.device().clone();
        let model = self.model()?;
        let inputs = model.inputs(edit)?;
        let unchanged = |(output, input): &(&Option<(StageInput, Activation)>, &StageInput)| {
            output.as_ref().is_some_and(|(made_from, _)| made_from == *input)
        };
        let first = model.outputs.iter().zip(&inputs).take_while(unchanged).count();
        let stages = inputs.len();
        for (stage, input) in inputs.into_iter().enumerate().skip(first) {
            model.run_stage(stage, input, &device);
            if stage + 1 < stages
                && enough()
                && let Some(preview) = model.preview(stage)
            {
                let (order, stages_run) = (model.generator.info.channel_order, (stage + 1 - first, stages));
                return Ok(Picture { tensor: preview, order, stages_run, is_exact: false });
            }
        }
        model.picture(stages - first)
    }

    /// Runs every stage, waiting for the device after each.
    pub fn render_timed(&mut self, edit: &Edit) -> Result<(Picture, Vec<StageTime>), RenderError> {
        self.check(edit)?;
        let device = self.device.device().clone();
        let model = self.model()?;
        let mut times = Vec::new();
        let mut start = Instant::now();
        let mut lap = |name: &str| {
            let took = start.elapsed();
            start = Instant::now();
            times.push(StageTime { name: name.to_owned(), took });
        };
        let inputs = model.inputs(edit)?;
        lap("latent");
        for (stage, input) in inputs.into_iter().enumerate() {
            model.run_stage(stage, input, &device);
            device.sync().map_err(|error| ReadBackError::new(&error))?;
            lap(&model.stages[stage].name);
        }
        Ok((model.picture(model.stages.len())?, times))
    }
}

impl Model {
    fn misfit(&self, problem: String) -> RenderError {
        RenderError::Misfit { model: self.generator.info.name.clone(), problem }
    }

    /// What each stage reads for `edit`: sample -> code -> one code per layer -> truncation -> moves.
    fn inputs(&mut self, edit: &Edit) -> Result<Vec<StageInput>, RenderError> {
        let mut codes = self.codes(edit)?;
        latent::apply_moves(&mut codes, &edit.moves);
        let noise = match edit.noise.mode {
            NoiseMode::Random => edit.noise,
            // The seed means nothing in the other modes and must not cause work.
            mode => Noise { mode, seed: 0 },
        };
        let label = Label::of(&edit.sample);
        let input = |stage: &Stage| StageInput {
            codes: stage.layers.iter().map(|&layer| codes[layer].clone()).collect(),
            noise: stage.reads_noise.then_some(noise),
            label: stage.reads_label.then(|| label.clone()),
            psi: stage.reads_psi.then_some(edit.truncation.psi),
        };
        Ok(self.stages.iter().map(input).collect())
    }

    /// One code per layer, truncated, before moves.
    fn codes(&mut self, edit: &Edit) -> Result<Vec<Vec<f32>>, RenderError> {
        let info = self.generator.info.clone();
        let code = match &edit.sample.code {
            Code::WPlus(codes) => return Ok(codes.clone()),
            Code::W(w) => w.clone(),
            Code::Z(z) => self.mapped(z.clone(), edit)?,
            Code::Seed(seed) => self.mapped(self.drawn(*seed, edit.truncation.psi), edit)?,
        };
        let mut codes = vec![code; info.num_layers];
        let network = &self.generator.network;
        if network.mean_code(0).is_some() {
            latent::truncate(&mut codes, |layer| network.mean_code(layer).unwrap_or_default(), edit.truncation);
        }
        Ok(codes)
    }

    /// z of a seed.
    fn drawn(&self, seed: Seed, psi: f32) -> Vec<f32> {
        let info = &self.generator.info;
        let z = latent::draw(self.generator.network.prior(), seed, info.z_dim);
        match info.w_dim {
            // Truncation pulls w towards its mean; without w, z is drawn closer to zero.
            None => z.iter().map(|x| psi * x).collect(),
            Some(_) => z,
        }
    }

    /// The code of z, from the cache if it is the last one's.
    fn mapped(&mut self, z: Vec<f32>, edit: &Edit) -> Result<Vec<f32>, RenderError> {
        let label = Label::of(&edit.sample);
        if let Some((last_z, last_label, code)) = &self.mapped
            && (last_z, last_label) == (&z, &label)
        {
            return Ok(code.clone());
        }
        let code = self.generator.network.code_from_z(&z, &label)?;
        self.mapped = Some((z, label, code.clone()));
        Ok(code)
    }

    /// Renders the first sample: kernels are compiled when they are first used, and on some drivers that takes seconds.
    fn warm_up(&mut self, device: &Device, report: Report) -> Result<(), RenderError> {
        let inputs = self.inputs(&self.generator.info.start(0))?;
        let total = inputs.len() as u64;
        for (stage, input) in inputs.into_iter().enumerate() {
            report(Progress { stage: "preparing the GPU".into(), done: stage as u64, total })?;
            self.run_stage(stage, input, device);
            device.sync().map_err(|error| ReadBackError::new(&error))?;
        }
        self.picture(self.stages.len())?;
        Ok(())
    }

    fn run_stage(&mut self, stage: usize, input: StageInput, device: &Device) {
        let codes: Vec<Tensor<2>> = (input.codes.iter())
            .map(|code| Tensor::from_data(TensorData::new(code.clone(), [1, code.len()]), device))
            .collect();
        let Noise { mode, seed } = input.noise.unwrap_or_default();
        let random = |layer, size| self.noise.borrow_mut().layer(seed, layer, size, device);
        let noise = match mode {
            NoiseMode::Const => NoiseInput::Const,
            NoiseMode::None => NoiseInput::None,
            NoiseMode::Random => NoiseInput::Given(&random),
        };
        // From here on nothing old is left that a later render, after one that stopped halfway, could take for its own.
        self.outputs[stage..].fill_with(|| None);
        let before = match stage {
            0 => None,
            _ => self.outputs[stage - 1].as_ref().map(|(_, output)| output),
        };
        let conditions =
            Conditions { label: input.label.clone().unwrap_or_default(), psi: input.psi.unwrap_or_default() };
        let output = self.generator.network.run(stage, before, &codes, &noise, &conditions);
        self.outputs[stage] = Some((input, output));
    }

    /// The picture so far, if it is large enough to show instead of the whole.
    fn preview(&self, stage: usize) -> Option<Tensor<4>> {
        const SMALLEST: usize = 64;
        let (_, output) = self.outputs[stage].as_ref()?;
        output.picture.clone().filter(|picture| picture.dims()[2].max(picture.dims()[3]) >= SMALLEST)
    }

    /// The output of the last stage, after `ran` stages.
    fn picture(&mut self, ran: usize) -> Result<Picture, RenderError> {
        let last = self.outputs.last_mut().and_then(Option::as_mut).ok_or(RenderError::NoModel)?;
        let tensor = last.1.picture.clone().ok_or(RenderError::NoModel)?;
        // Nobody reads the features of the last stage; at 1024 pixels they are 128 MiB.
        last.1.features = tensor.clone();
        let order = self.generator.info.channel_order;
        Ok(Picture { tensor, order, stages_run: (ran, self.stages.len()), is_exact: true })
    }
}
