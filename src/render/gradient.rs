//! Gradients of pictures with respect to codes, one stage at a time, so that whatever is more urgent gets its turn in between.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};

use super::model::Loaded;
use super::{Engine, RenderError};
use crate::edit::{Code, NoiseMode};
use crate::generator::{
    Activation, Adjoint, Conditions, Generator, Gradient, Label, Network, NoiseInput, Stage, Tape, read_back,
};
use crate::gpu::Precision;
use crate::latent;
use crate::progress::Report;
use crate::size::Size;

/// What the gradients of the open model's pictures need: the weights of its network once more, packed the other way about. They go
/// with this value.
pub struct Gradients {
    adjoint: Box<dyn Adjoint>,
    /// The network in f32, where the engine stores it in f16.
    own: Option<Generator>,
    device: Device,
    /// Of the model.
    identity: String,
    pulling: Option<Pulling>,
}

/// Where a picture is taken from: a code in z, in w or with one w per layer, never truncated.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub code: Code,
    pub label: Label,
    /// As [`Conditions::psi`].
    pub psi: f32,
}

/// What a picture costs, and how the cost changes with its code.
#[derive(Clone, Debug, PartialEq)]
pub struct Slope {
    pub cost: f64,
    /// Of the code's rows: one, or one per layer where each has its own.
    pub rows: Vec<Vec<f32>>,
}

/// A picture's cost and the gradient of it with respect to the picture, both planar `[channels, height, width]`.
pub type Cost<'a> = &'a mut dyn FnMut(usize, &[f32], [usize; 3]) -> (f64, Vec<f32>);

/// Pictures, perhaps on their way to gradients.
struct Pulling {
    points: Vec<Point>,
    noise: NoiseMode,
    stages: usize,
    /// Stages leave behind what gradients need.
    is_taped: bool,
    /// Stages that were run, and the sizes of the pictures that they made.
    done: usize,
    sizes: Vec<(usize, Size)>,
    /// `[N, dim]` of every layer.
    codes: Vec<Tensor<2>>,
    /// What mapping z has left behind.
    map: Option<Tape>,
    /// What stages have left behind.
    tapes: Vec<Tape>,
    output: Option<Activation>,
    back: Option<Back>,
}

/// The way back.
struct Back {
    costs: Vec<f64>,
    gradient: Gradient,
    of_layers: Vec<Option<Tensor<2>>>,
}

/// One of the samples that a search may start from.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    pub z: Vec<f32>,
    /// What moves act on: w, or z.
    pub code: Vec<f32>,
    pub class: Option<usize>,
}

impl Engine {
    /// Samples of the open model by their numbers: of one class, or of classes that lie evenly among all, however few are drawn.
    ///
    /// # Errors
    /// No model is open, or the device failed.
    pub fn drawn(&self, seed: u64, numbers: Range<usize>, class: Option<usize>) -> Result<Vec<Drawn>, RenderError> {
        let model = self.model.as_ref().ok_or(RenderError::NoModel)?;
        let (info, prior) = (model.info(), model.network().prior());
        let draw = |number: usize| {
            // By the golden ratio.
            let share = (number as f64 * 0.618_033_988_749_895).fract();
            let class = info.classes.map(|classes| class.unwrap_or((share * classes as f64) as usize));
            Drawn { z: latent::draw_of_many(prior, seed, number, info.z_dim), code: Vec::new(), class }
        };
        let mut drawn: Vec<Drawn> = numbers.map(draw).collect();
        let labels: Vec<Label> = drawn.iter().map(|sample| label_of(sample.class)).collect();
        let z: Vec<&[f32]> = drawn.iter().map(|sample| sample.z.as_slice()).collect();
        let codes = model.network().codes_from_z(&z, &labels.iter().collect::<Vec<_>>())?;
        drawn.iter_mut().zip(codes).for_each(|(sample, code)| sample.code = code);
        Ok(drawn)
    }

    /// The code that truncation leads to, the mean of all layers; `None` where codes are not truncated.
    pub fn mean_code(&self) -> Option<Vec<f32>> {
        let model = self.model.as_ref()?;
        let means: Option<Vec<&[f32]>> =
            (0..model.info().num_layers).map(|layer| model.network().mean_code(layer)).collect();
        let means = means?;
        let mut sum = vec![0.0; means.first()?.len()];
        means.iter().for_each(|mean| sum.iter_mut().zip(*mean).for_each(|(sum, x)| *sum += x));
        sum.iter_mut().for_each(|x| *x /= means.len() as f32);
        Some(sum)
    }

    /// Makes gradients of the open model's pictures possible: reads its file once more.
    ///
    /// # Errors
    /// No model is open, its family has no gradients, its file is gone or another one, or `report` stopped the work.
    pub fn gradients(&mut self, report: Report) -> Result<Gradients, RenderError> {
        let model = self.model.as_ref().ok_or(RenderError::NoModel)?;
        let (info, (source, recipe)) = (model.info().clone(), self.origin.as_ref().ok_or(RenderError::NoModel)?);
        let weights = Self::weights(source, recipe.as_deref(), report)?;
        let failed = |error| RenderError::Load(source.to_string(), Box::new(error));
        if weights.identity()? != info.identity {
            return Err(RenderError::Changed(source.to_string()));
        }
        let place = self.device.place().with_precision(Precision::F32);
        let adjoint = Generator::load_adjoint(&weights, &place, report).map_err(failed)?;
        let adjoint =
            adjoint.ok_or_else(|| RenderError::NoGradients { model: info.name.clone(), family: info.family })?;
        let own = match self.device.place().precision() {
            Precision::F32 => None,
            Precision::F16 => {
                let label = self.device.label();
                let limits = (label.as_str(), self.device.max_tensor_bytes());
                Some(Generator::load(&weights, &info.name, &place, limits, report).map_err(failed)?)
            }
        };
        let device = self.device.device().clone();
        Ok(Gradients { adjoint, own, device, identity: info.identity.clone(), pulling: None })
    }
}

impl Gradients {
    /// True if these are of the model that the engine has open, on its device.
    pub fn fit(&self, engine: &Engine) -> bool {
        let is_open = engine.model.as_ref().is_some_and(|model| model.info().identity == self.identity);
        is_open && *engine.device.device() == self.device
    }

    fn network<'a>(&'a self, model: &'a Loaded) -> &'a dyn Network {
        self.own.as_ref().map_or_else(|| model.network(), |own| &*own.network)
    }

    /// After how many stages there is a picture of what size, from the smallest to the whole.
    ///
    /// # Errors
    /// As [`Gradients::pictures`].
    pub fn picture_sizes(&mut self, engine: &Engine, point: &Point) -> Result<Vec<(usize, Size)>, RenderError> {
        Ok(self.run(engine, std::slice::from_ref(point), NoiseMode::None, usize::MAX)?.sizes)
    }

    /// The pictures of points after so many stages, planar `[channels, height, width]`; the points' codes are of one kind. If something
    /// more urgent came, the same call goes on from there.
    ///
    /// # Errors
    /// No model is open, the device failed, or something more urgent came.
    pub fn pictures(
        &mut self,
        engine: &Engine,
        points: &[Point],
        noise: NoiseMode,
        stages: usize,
    ) -> Result<Vec<Vec<f32>>, RenderError> {
        let picture = self.run(engine, points, noise, stages)?.output.and_then(|output| output.picture);
        let values = read_back(picture.ok_or(RenderError::NoModel)?)?;
        Ok(values.chunks_exact(values.len() / points.len()).map(<[f32]>::to_vec).collect())
    }

    /// The way there alone.
    fn run(
        &mut self,
        engine: &Engine,
        points: &[Point],
        noise: NoiseMode,
        stages: usize,
    ) -> Result<Pulling, RenderError> {
        let model = engine.model.as_ref().ok_or(RenderError::NoModel)?;
        let mut running = self.resume(model, points, noise, stages, false);
        while running.done < running.stages {
            self.run_stage(model, &mut running);
            if running.done < running.stages && (engine.is_interrupted)() {
                self.pulling = Some(running);
                return Err(RenderError::Interrupted);
            }
        }
        Ok(running)
    }

    /// `[N, dim]` of every layer.
    fn codes(&self, model: &Loaded, network: &dyn Network, points: &[Point], tape: &mut Tape) -> Vec<Tensor<2>> {
        let layers = model.info().num_layers;
        let tensor = |rows: Vec<&[f32]>| {
            let dim = rows[0].len();
            Tensor::from_data(TensorData::new(rows.concat(), [rows.len(), dim]), &self.device)
        };
        let of_layer = |layer: usize| tensor(points.iter().map(|point| row_of(&point.code, layer)).collect());
        match points[0].code {
            Code::WPlus(_) => (0..layers).map(of_layer).collect(),
            Code::Z(_) => {
                let labels: Vec<&Label> = points.iter().map(|point| &point.label).collect();
                vec![network.map(of_layer(0), &labels, tape); layers]
            }
            _ => vec![of_layer(0); layers],
        }
    }

    /// What each point's picture after so many stages costs, and the gradient of that with respect to its code; the points' codes are of
    /// one kind. If something more urgent came, the same call goes on from there.
    ///
    /// # Errors
    /// No model is open, the device failed, or something more urgent came.
    pub fn pull(
        &mut self,
        engine: &Engine,
        points: &[Point],
        noise: NoiseMode,
        stages: usize,
        cost: Cost,
    ) -> Result<Vec<Slope>, RenderError> {
        let model = engine.model.as_ref().ok_or(RenderError::NoModel)?;
        let mut pulling = self.resume(model, points, noise, stages, true);
        loop {
            match &mut pulling.back {
                None if pulling.done < pulling.stages => self.run_stage(model, &mut pulling),
                None => self.turn(&mut pulling, cost)?,
                Some(back) => match pulling.tapes.pop() {
                    Some(tape) => {
                        self.pull_stage(&model.stages()[pulling.tapes.len()], pulling.tapes.len(), tape, back)
                    }
                    None => break,
                },
            }
            if (engine.is_interrupted)() {
                self.pulling = Some(pulling);
                return Err(RenderError::Interrupted);
            }
        }
        self.finish(pulling)
    }

    /// What was interrupted, if it is the same; or else its beginning.
    fn resume(&mut self, model: &Loaded, points: &[Point], noise: NoiseMode, stages: usize, is_taped: bool) -> Pulling {
        let stages = stages.min(model.stages().len());
        let is_same = |before: &Pulling| {
            before.points == points && (before.noise, before.stages, before.is_taped) == (noise, stages, is_taped)
        };
        if let Some(before) = self.pulling.take().filter(is_same) {
            return before;
        }
        let mut map = Tape::on();
        Pulling {
            codes: self.codes(model, self.network(model), points, &mut map),
            map: matches!(points[0].code, Code::Z(_)).then_some(map),
            points: points.to_vec(),
            noise,
            stages,
            is_taped,
            done: 0,
            sizes: Vec::new(),
            tapes: Vec::new(),
            output: None,
            back: None,
        }
    }

    fn run_stage(&self, model: &Loaded, running: &mut Pulling) {
        let number = running.done;
        let stage = &model.stages()[number];
        let codes: Vec<Tensor<2>> = stage.layers.iter().map(|&layer| running.codes[layer].clone()).collect();
        let (noise, conditions) = (noise_input(running.noise), conditions(&running.points));
        let mut tape = if running.is_taped { Tape::on() } else { Tape::off() };
        let before = running.output.take();
        let output = self.network(model).run(number, before.as_ref(), &codes, &noise, &conditions, &mut tape);
        if running.is_taped {
            running.tapes.push(tape);
        }
        running.done = number + 1;
        if let Some(picture) = &output.picture {
            let [_, _, height, width] = picture.dims();
            running.sizes.push((running.done, Size::new(width, height)));
        }
        running.output = Some(output);
    }

    /// From the picture to the way back.
    fn turn(&self, pulling: &mut Pulling, cost: Cost) -> Result<(), RenderError> {
        let picture = pulling.output.take().and_then(|output| output.picture).ok_or(RenderError::NoModel)?;
        let shape @ [n, channels, height, width] = picture.dims();
        let values = read_back(picture)?;
        let pictures = values.chunks_exact(values.len() / n).enumerate();
        let (costs, gradients): (Vec<f64>, Vec<Vec<f32>>) =
            pictures.map(|(at, picture)| cost(at, picture, [channels, height, width])).unzip();
        let gradient = Tensor::from_data(TensorData::new(gradients.concat(), shape), &self.device);
        let gradient = Gradient { features: None, picture: Some(gradient) };
        pulling.back = Some(Back { costs, gradient, of_layers: vec![None; pulling.codes.len()] });
        Ok(())
    }

    fn pull_stage(&self, stage: &Stage, number: usize, tape: Tape, back: &mut Back) {
        let pulled = self.adjoint.pull(number, tape, std::mem::take(&mut back.gradient));
        for (&layer, gradient) in stage.layers.iter().zip(pulled.codes) {
            let sum = &mut back.of_layers[layer];
            *sum = Some(sum.take().map_or_else(|| gradient.clone(), |before| before + gradient.clone()));
        }
        back.gradient = pulled.input;
    }

    /// Reads the gradients.
    fn finish(&self, pulling: Pulling) -> Result<Vec<Slope>, RenderError> {
        let Pulling { points, codes, map, back, .. } = pulling;
        let Some(Back { costs, of_layers, .. }) = back else { return Ok(Vec::new()) };
        // Layers that were not reached have no part in the picture.
        let of_layers = of_layers.into_iter().zip(&codes);
        let of_layers = of_layers.map(|(gradient, code)| gradient.unwrap_or_else(|| code.zeros_like()));
        let of_rows: Vec<Tensor<2>> = match &points[0].code {
            Code::WPlus(_) => of_layers.collect(),
            _ => {
                let sum = of_layers.reduce(|sum, gradient| sum + gradient).ok_or(RenderError::NoModel)?;
                vec![map.map_or(sum.clone(), |tape| self.adjoint.pull_map(tape, sum))]
            }
        };
        let (n, dim) = (points.len(), of_rows[0].dims()[1]);
        let values = read_back(Tensor::cat(of_rows, 1))?;
        let of_point = |values: &[f32]| values.chunks_exact(dim).map(<[f32]>::to_vec).collect();
        let rows = values.chunks_exact(values.len() / n).map(of_point);
        Ok(costs.into_iter().zip(rows).map(|(cost, rows)| Slope { cost, rows }).collect())
    }
}

fn label_of(class: Option<usize>) -> Label {
    class.map_or_else(Label::default, Label::class)
}

impl Point {
    /// A code of one class, as networks are shown it whose statistics depend on psi.
    pub fn new(code: Code, class: Option<usize>, psi: f32) -> Self {
        Point { code, label: label_of(class), psi }
    }
}

/// The row of a code that a layer reads.
fn row_of(code: &Code, layer: usize) -> &[f32] {
    match code {
        Code::Z(row) | Code::W(row) => row,
        Code::WPlus(rows) => &rows[layer],
        Code::Seed(_) | Code::Between(_) => &[],
    }
}

fn conditions(points: &[Point]) -> Vec<Conditions> {
    points.iter().map(|point| Conditions { label: point.label.clone(), psi: point.psi }).collect()
}

/// Random noise has no gradients of its own, and would be another one for every picture.
fn noise_input(mode: NoiseMode) -> NoiseInput<'static> {
    match mode {
        NoiseMode::Const => NoiseInput::Const,
        NoiseMode::Random | NoiseMode::None => NoiseInput::None,
    }
}
