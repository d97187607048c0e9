//! ONNX networks that look at pictures, run by `rten` on the CPU.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, op_registry};

use super::description::{
    Activation, AttributeForm, Channels, Description, InputForm, Layout, MAX_ATTRIBUTES, OutputForm, from_metadata,
};
use super::graph::{self, Plan};
use super::input::Input;
use super::{Attribute, PredictorError};
use crate::checkpoint::{Checkpoint, Graph, GraphInput, Program};
use crate::limits;

/// A network with all that is known of it.
pub struct ImageNetwork {
    /// The file, for messages.
    file: String,
    input: Input,
    outputs: Vec<Output>,
    attributes: Vec<Attribute>,
    /// What nobody said, and was taken as is customary.
    assumed: Vec<String>,
    model: Model,
    picture: NodeId,
    results: Vec<NodeId>,
    /// Bytes of all maps of a picture.
    map_bytes: u64,
    work: u64,
}

/// An output that is used.
struct Output {
    name: String,
    activation: Activation,
    /// Of each of its numbers; `None` if it is not looked at.
    attributes: Vec<Option<Attribute>>,
}

/// Bytes of the maps of all pictures that are looked at at once.
const MAPS_TOGETHER: u64 = 4 << 30;

impl ImageNetwork {
    /// A network of a file, as its description says, else its metadata, else as is customary.
    ///
    /// # Errors
    /// The file is no network that takes a picture, would cost more than a file of its size may, or does not fit its description.
    pub(super) fn new(checkpoint: &Checkpoint, beside: Option<Description>) -> Result<Self, PredictorError> {
        let refused = |problem: String| PredictorError::Refused { file: checkpoint.file.clone(), problem };
        let Some(Program::Onnx(graph)) = &checkpoint.program else {
            return Err(refused(format!("expected an ONNX network, found a {} file", checkpoint.container)));
        };
        if checkpoint.file_len > limits::PREDICTOR_FILE {
            let (most, found) = (limits::PREDICTOR_FILE, checkpoint.file_len);
            return Err(refused(format!("expected a network of at most {most} bytes, found {found}")));
        }
        let mut reading = Reading {
            graph,
            file_len: checkpoint.file_len,
            said: merged(beside.unwrap_or_default(), from_metadata(&graph.metadata)),
            assumed: Vec::new(),
        };
        let input = reading.input().map_err(refused)?;
        let outputs = reading.outputs(&input).map_err(refused)?;
        let names: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
        let plan = reading.plan(&input, &names).map_err(refused)?;
        let assumed = reading.assumed;
        let model = load(plan.write().map_err(refused)?).map_err(refused)?;
        let node = |name: &str| model.node_id(name).map_err(|error| refused(error.to_string()));
        let picture = node(graph::INPUT)?;
        let results = (0..outputs.len()).map(|at| node(&graph::output_name(at))).collect::<Result<_, _>>()?;
        Ok(ImageNetwork {
            file: checkpoint.file.clone(),
            attributes: outputs.iter().flat_map(|output| output.attributes.iter().flatten().cloned()).collect(),
            map_bytes: plan.map_bytes,
            work: plan.work,
            input,
            outputs,
            assumed,
            model,
            picture,
            results,
        })
    }

    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// What was taken as is customary, because nobody said it.
    pub fn assumed(&self) -> &[String] {
        &self.assumed
    }

    /// Multiplications and additions for one picture, or what takes as long.
    pub fn work(&self) -> u64 {
        self.work
    }

    /// All that is known of the network, as a description to be kept beside it.
    pub fn description(&self) -> Description {
        let Input { name, layout, size, channels, range, mean, std, fit, .. } = self.input.clone();
        let output = |output: &Output| OutputForm {
            name: Some(output.name.clone()),
            activation: Some(output.activation),
            attributes: Some(output.attributes.iter().cloned().map(|known| known.map(AttributeForm)).collect()),
        };
        Description {
            version: 1,
            input: InputForm {
                name: Some(name),
                layout: Some(layout),
                size: Some(size),
                channels: Some(channels),
                range: Some(range),
                mean: Some(mean.to_vec()),
                std: Some(std.to_vec()),
                fit: Some(fit),
            },
            outputs: self.outputs.iter().map(output).collect(),
        }
    }

    /// Larger side of the pictures of such proportions that it has use for: none of its input is a pixel made of less than one.
    pub(super) fn side(&self, [height, width]: [usize; 2]) -> usize {
        let [own_height, own_width] = self.input.size;
        match height * own_width == width * own_height {
            true => own_height.max(own_width),
            // Of other proportions, it takes the whole, and stretches or cuts it.
            false => height.max(width),
        }
    }

    /// Numbers `[N, attributes]` of pictures `[N, 3, height, width]`.
    pub(super) fn predict(&self, pictures: &[f32], size: [usize; 2]) -> Result<Vec<f32>, PredictorError> {
        let pictures: Vec<&[f32]> = pictures.chunks_exact(3 * size[0] * size[1]).collect();
        let by_memory = (MAPS_TOGETHER / self.map_bytes.max(1)).max(1);
        let cores = CORES.len().min(usize::try_from(by_memory).unwrap_or(usize::MAX));
        let share = pictures.len().div_ceil(cores.max(1)).max(1);
        let work = |pictures: &[&[f32]], pool: &Arc<ThreadPool>| -> Result<Vec<f32>, PredictorError> {
            let mut numbers = Vec::with_capacity(pictures.len() * self.attributes.len());
            for picture in pictures {
                numbers.extend(self.look_at(picture, size, pool)?);
            }
            Ok(numbers)
        };
        if share >= pictures.len() {
            return work(&pictures, &ALL_CORES);
        }
        // A core does better with a picture of its own than with a share of one.
        let shares: Vec<Result<Vec<f32>, PredictorError>> = std::thread::scope(|scope| {
            let shares = pictures.chunks(share).zip(CORES.iter());
            let threads: Vec<_> = shares.map(|(pictures, core)| scope.spawn(move || work(pictures, core))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| Err(self.failed(&*panic)))).collect()
        });
        Ok(shares.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
    }

    fn failed(&self, panic: &(dyn Any + Send)) -> PredictorError {
        PredictorError::Run { file: self.file.clone(), problem: reason_of(panic) }
    }

    fn look_at(&self, picture: &[f32], size: [usize; 2], pool: &Arc<ThreadPool>) -> Result<Vec<f32>, PredictorError> {
        let run = |problem: String| PredictorError::Run { file: self.file.clone(), problem };
        let tensor = self.input.tensor(picture, size);
        let value = Value::from_shape(self.input.shape(), tensor).map_err(|error| run(error.to_string()))?;
        let options = RunOptions::default().with_thread_pool(Some(pool.clone()));
        let ran = AssertUnwindSafe(|| self.model.run(vec![(self.picture, value.into())], &self.results, Some(options)));
        let results = catch_unwind(ran).map_err(|panic| self.failed(&*panic))?;
        let results = results.map_err(|error| run(error.to_string()))?;
        let mut numbers = Vec::with_capacity(self.attributes.len());
        for (output, result) in self.outputs.iter().zip(results) {
            let (_, mut scores) = result.into_shape_vec::<f32, 1>().map_err(|error| run(error.to_string()))?;
            activate(&mut scores, output.activation);
            let kept = scores.into_iter().zip(&output.attributes).filter(|(_, attribute)| attribute.is_some());
            numbers.extend(kept.map(|(score, _)| score));
        }
        Ok(numbers)
    }
}

/// What a caught panic says.
fn reason_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason was given").to_owned()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A pool of one thread for each core.
static CORES: LazyLock<Vec<Arc<ThreadPool>>> =
    LazyLock::new(|| (0..cores()).map(|_| Arc::new(ThreadPool::with_num_threads(1))).collect());
/// All cores for one picture.
static ALL_CORES: LazyLock<Arc<ThreadPool>> = LazyLock::new(|| Arc::new(ThreadPool::with_num_threads(cores())));

fn activate(scores: &mut [f32], activation: Activation) {
    match activation {
        Activation::None | Activation::Regression => {}
        Activation::Sigmoid => scores.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp())),
        Activation::Softmax => {
            let largest = scores.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
            scores.iter_mut().for_each(|x| *x = (*x - largest).exp());
            let sum: f32 = scores.iter().sum();
            scores.iter_mut().for_each(|x| *x /= sum);
        }
    }
}

/// The runtime knows the operators that plans are written with, and no others.
fn load(bytes: Vec<u8>) -> Result<Model, String> {
    let operators = op_registry!(
        Abs,
        Add,
        And,
        ArgMax,
        AveragePool,
        BatchNormalization,
        Cast,
        Ceil,
        Clip,
        Concat,
        Conv,
        ConvTranspose,
        Cos,
        DepthToSpace,
        Div,
        Elu,
        Equal,
        Erf,
        Exp,
        Expand,
        Floor,
        Gather,
        Gelu,
        Gemm,
        Greater,
        GreaterOrEqual,
        HardSigmoid,
        HardSwish,
        Identity,
        InstanceNormalization,
        LayerNormalization,
        LeakyRelu,
        Less,
        LessOrEqual,
        Log,
        LogSoftmax,
        LpNormalization,
        MatMul,
        Max,
        MaxPool,
        Mean,
        Min,
        Mul,
        Neg,
        Not,
        Or,
        PRelu,
        Pad,
        Pow,
        Reciprocal,
        ReduceL2,
        ReduceMax,
        ReduceMean,
        ReduceMin,
        ReduceProd,
        ReduceSum,
        ReduceSumSquare,
        Relu,
        Reshape,
        Resize,
        Round,
        Sigmoid,
        Sign,
        Sin,
        Slice,
        Softmax,
        Softplus,
        Softsign,
        Split,
        Sqrt,
        Sub,
        Sum,
        Tanh,
        Tile,
        Transpose,
        Where
    );
    let load = AssertUnwindSafe(|| ModelOptions::with_ops(operators).prepack_weights(true).load(bytes));
    let loaded = catch_unwind(load).map_err(|panic| reason_of(&*panic))?;
    loaded.map_err(|error| error.to_string())
}

/// What the description says, and where it says nothing, what the metadata do.
fn merged(beside: Description, inside: Description) -> Description {
    let (a, b) = (beside.input, inside.input);
    Description {
        version: beside.version,
        input: InputForm {
            name: a.name.or(b.name),
            layout: a.layout.or(b.layout),
            size: a.size.or(b.size),
            channels: a.channels.or(b.channels),
            range: a.range.or(b.range),
            mean: a.mean.or(b.mean),
            std: a.std.or(b.std),
            fit: a.fit.or(b.fit),
        },
        outputs: if beside.outputs.is_empty() { inside.outputs } else { beside.outputs },
    }
}

/// A network on its way to be understood.
struct Reading<'a> {
    graph: &'a Graph,
    file_len: u64,
    said: Description,
    assumed: Vec<String>,
}

impl Reading<'_> {
    fn plan(&self, input: &Input, outputs: &[&str]) -> Result<Plan, String> {
        Plan::new(self.graph, &input.name, &input.shape(), outputs, self.file_len)
    }

    /// The input that takes the picture.
    fn of_picture(&self) -> Result<&GraphInput, String> {
        let all = &self.graph.inputs;
        let names = || all.iter().take(8).map(|input| format!("{:.80}", input.name)).collect::<Vec<_>>().join(", ");
        match (&self.said.input.name, &all[..]) {
            (Some(name), _) => {
                let found = all.iter().find(|input| input.name == *name);
                found.ok_or_else(|| format!("expected the input {name:?}, found {}", names()))
            }
            (None, [one]) => Ok(one),
            (None, _) => Err(format!("expected one input, found {} ({}); a description names one", all.len(), names())),
        }
    }

    fn input(&mut self) -> Result<Input, String> {
        let found = self.of_picture()?;
        let axis = |at: usize| found.shape.get(at).copied().flatten();
        if !matches!(found.shape.len(), 0 | 4) {
            let shape: Vec<String> =
                found.shape.iter().map(|axis| axis.map_or("?".into(), |axis| axis.to_string())).collect();
            return Err(format!("expected an input of pictures, [N, 3, height, width], found [{}]", shape.join(", ")));
        }
        let is_channels = |at: usize| matches!(axis(at), Some(1 | 3));
        let said = &self.said.input;
        let layout = said.layout.unwrap_or(match !is_channels(1) && is_channels(3) {
            true => Layout::Nhwc,
            false => Layout::Nchw,
        });
        let [channels_at, height_at, width_at] = match layout {
            Layout::Nchw => [1, 2, 3],
            Layout::Nhwc => [3, 1, 2],
        };
        let count = axis(channels_at);
        let channels = said.channels.unwrap_or(if count == Some(1) { Channels::Grey } else { Channels::Rgb });
        let size = match (said.size, axis(height_at), axis(width_at)) {
            (Some(size), height, width) => {
                let fits = height.is_none_or(|height| height == size[0]) && width.is_none_or(|width| width == size[1]);
                match fits {
                    true => size,
                    false => {
                        let found = [height, width].map(|side| side.map_or("?".into(), |side| side.to_string()));
                        return Err(format!("expected an input of {size:?}, as said, found [{}]", found.join(", ")));
                    }
                }
            }
            (None, Some(height), Some(width)) => [height, width],
            (None, ..) => {
                return Err(
                    "its input takes pictures of any size: expected a description that says which (size)".into()
                );
            }
        };
        let each = |numbers: &Option<Vec<f32>>, default: f32| match numbers.as_deref() {
            None => [default; 3],
            Some([one]) => [*one; 3],
            Some(numbers) => [0, 1, 2].map(|at| numbers.get(at).copied().unwrap_or(default)),
        };
        let input = Input {
            name: found.name.clone(),
            layout,
            size,
            channels,
            range: said.range.unwrap_or([-1.0, 1.0]),
            mean: each(&said.mean, 0.0),
            std: each(&said.std, 1.0),
            fit: said.fit.unwrap_or_default(),
            whole: found.whole,
        };
        let wanted = input.shape()[channels_at];
        if count.is_some_and(|count| count != wanted) || size.iter().any(|side| !(1..=4096).contains(side)) {
            return Err(format!(
                "expected an input of pictures, found one of {} channels and {size:?} pixels where {wanted} channels go in",
                count.map_or("any number of".into(), |count| count.to_string())
            ));
        }
        let (range_is_open, channels_are_open) = (said.range.is_none(), said.channels.is_none());
        if range_is_open {
            self.assumed.push("black is -1 and white is 1 (range)".into());
        }
        if channels_are_open && channels == Channels::Rgb {
            self.assumed.push("red comes first (channels)".into());
        }
        Ok(input)
    }

    /// The outputs that are used, with what their numbers mean.
    fn outputs(&mut self, input: &Input) -> Result<Vec<Output>, String> {
        let forms = match self.said.outputs.is_empty() {
            true => vec![OutputForm::default()],
            false => self.said.outputs.clone(),
        };
        let mut outputs: Vec<Output> = Vec::new();
        for form in forms {
            let used: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
            let (name, count) = self.chosen(&form, input, &used)?;
            let names = form.attributes.unwrap_or_else(|| unnamed(&name, count));
            if names.len() != count {
                return Err(format!("expected {count} attributes for the output {name:?}, found {}", names.len()));
            }
            if form.activation.is_none() {
                self.assumed.push(format!("the numbers of {name:.80} are used as they are (activation)"));
            }
            let attributes = names.into_iter().map(|form| form.map(|AttributeForm(attribute)| attribute)).collect();
            outputs.push(Output { activation: form.activation.unwrap_or_default(), attributes, name });
        }
        match outputs.iter().any(|output| output.attributes.iter().any(Option::is_some)) {
            true => Ok(outputs),
            false => Err("expected attributes, found none that are looked at".into()),
        }
    }

    /// The output that a form is about, and how many numbers it has.
    fn chosen(&self, form: &OutputForm, input: &Input, used: &[&str]) -> Result<(String, usize), String> {
        let all = || self.graph.outputs.iter().filter(|name| !used.contains(&name.as_str()));
        let count = |name: &str| {
            let numbers = self.plan(input, &[name])?.output_sizes().next().unwrap_or_default();
            match usize::try_from(numbers).ok().filter(|numbers| (1..=MAX_ATTRIBUTES).contains(numbers)) {
                Some(numbers) => Ok(numbers),
                None => Err(format!(
                    "expected at most {MAX_ATTRIBUTES} numbers in the output {name:.120}, found {numbers}; a description chooses \
                     outputs"
                )),
            }
        };
        if let Some(name) = &form.name {
            let found = all().find(|output| *output == name);
            let found = found.ok_or_else(|| {
                let names: Vec<String> = all().take(8).map(|name| format!("{name:.80}")).collect();
                format!("expected the output {name:?}, found {}", names.join(", "))
            })?;
            return Ok((found.clone(), count(found)?));
        }
        // Where there are names, the output that has as many numbers.
        if let Some(attributes) = &form.attributes
            && let Some(found) = all().find(|name| count(name) == Ok(attributes.len()))
        {
            return Ok((found.clone(), attributes.len()));
        }
        let first = all().next().ok_or("expected an output, found none")?;
        Ok((first.clone(), count(first)?))
    }
}

/// Numbers that nobody has named.
fn unnamed(output: &str, count: usize) -> Vec<Option<AttributeForm>> {
    let name = |at: usize| if count == 1 { format!("{output:.100}") } else { format!("{output:.100} {at}") };
    (0..count).map(|at| Some(AttributeForm(Attribute::named(&name(at))))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_become_shares() {
        let mut scores = [0.0, 1000.0];
        activate(&mut scores, Activation::Softmax);
        assert_eq!(scores, [0.0, 1.0]);
        let mut scores = [0.0, 3_f32.ln(), -200.0];
        activate(&mut scores, Activation::Sigmoid);
        assert!((scores[1] - 0.75).abs() < 1e-6 && scores[0] == 0.5 && scores[2] >= 0.0);
        activate(&mut scores, Activation::Regression);
        assert_eq!(scores[0], 0.5);
    }
}
