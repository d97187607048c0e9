//! What a view's last render left at each stage, and where the next one goes on from.

use burn::tensor::Tensor;

use super::model::Loaded;
use super::recent::Recent;
use crate::edit::Noise;
use crate::generator::{Activation, Label};

/// A place on screen that shows one edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ViewId(pub u32);

impl ViewId {
    /// The picture that is edited.
    pub const PICTURE: ViewId = ViewId(0);
    /// What the picture is compared with.
    pub const COMPARISON: ViewId = ViewId(1);
}

/// Bytes of all traces. One of StyleGAN2 at 1024 pixels has 150 MB in f32.
const TRACES: u64 = 512 << 20;

/// What a stage's output depends on, besides the stage before it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StageInput {
    pub codes: Vec<Vec<f32>>,
    /// `None` where the stage does not read it, here and below.
    pub noise: Option<Noise>,
    pub label: Option<Label>,
    pub psi: Option<f32>,
}

/// The output of each stage with the inputs that made it. A stage has one only if all before it have.
#[derive(Default)]
pub(super) struct Trace {
    outputs: Vec<(StageInput, Activation)>,
}

impl Trace {
    /// How many stages from the first on made their output of these inputs.
    pub(super) fn agreement(&self, inputs: &[StageInput]) -> usize {
        self.outputs.iter().zip(inputs).take_while(|((made_from, _), input)| made_from == *input).count()
    }

    /// Output of a stage.
    pub(super) fn output(&self, stage: usize) -> Option<&Activation> {
        self.outputs.get(stage).map(|(_, output)| output)
    }

    /// Runs the stage after those that it holds.
    pub(super) fn run(&mut self, model: &Loaded, input: StageInput) {
        let output = model.run(self.outputs.len(), self.outputs.last().map(|(_, output)| output), &[&input]);
        self.outputs.push((input, output));
    }

    /// Nobody reads the features of the last stage; at 1024 pixels they are 128 MiB.
    pub(super) fn drop_last_features(&mut self) {
        if let Some((_, Activation { features, picture: Some(picture) })) = self.outputs.last_mut() {
            *features = picture.clone();
        }
    }

    /// Of all tensors; those that several traces share count in each.
    fn bytes(&self) -> u64 {
        let of = |tensor: &Tensor<4>| (tensor.shape().num_elements() * tensor.dtype().size()) as u64;
        let output =
            |(_, output): &(StageInput, Activation)| of(&output.features) + output.picture.as_ref().map_or(0, of);
        self.outputs.iter().map(output).sum()
    }
}

/// Whose trace it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    View(ViewId),
    /// Exports, the command line: whatever is on no screen.
    Private,
}

impl Owner {
    fn is_on_screen(&self) -> bool {
        matches!(self, Owner::View(ViewId::PICTURE | ViewId::COMPARISON))
    }
}

/// The traces of one model's pictures. Those of the picture and of what it is compared with always stay; the others as long as
/// there is room, the most recent one in any case.
pub(super) struct Traces(Recent<Owner, Trace>);

impl Traces {
    pub(super) fn new() -> Self {
        Traces(Recent::new(TRACES, Trace::bytes))
    }

    /// The trace of `owner`, with all that it or another trace holds of a picture of these inputs and nothing else, and how many
    /// stages that is.
    pub(super) fn resume(&mut self, owner: Owner, inputs: &[StageInput]) -> (&mut Trace, usize) {
        let agreement = |trace: &Trace| trace.agreement(inputs);
        let own = self.0.peek(&owner).map_or(0, agreement);
        let others = self.0.values().filter(|trace| agreement(trace) > own);
        // Clones of tensors share their memory.
        let taken = others.max_by_key(|trace| agreement(trace)).map(|trace| trace.outputs[..agreement(trace)].to_vec());
        let trace = self.0.get_or_insert_with(owner, Trace::default);
        match taken {
            Some(outputs) => trace.outputs = outputs,
            None => trace.outputs.truncate(own),
        }
        let stages = trace.outputs.len();
        (trace, stages)
    }

    /// What `owner` shows, if that is remembered.
    pub(super) fn of(&self, owner: Owner) -> Option<&Trace> {
        self.0.peek(&owner)
    }

    /// The trace of `owner`, empty.
    pub(super) fn restart(&mut self, owner: Owner) -> &mut Trace {
        let trace = self.0.get_or_insert_with(owner, Trace::default);
        trace.outputs.clear();
        trace
    }

    /// To be called after a render: drops what there is no room for.
    pub(super) fn trim(&mut self) {
        self.0.trim(Owner::is_on_screen);
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn inputs(codes: [f32; 3]) -> Vec<StageInput> {
        let of = |x| StageInput { codes: vec![vec![x]], noise: None, label: None, psi: None };
        codes.map(of).into()
    }

    /// Renders with stages that make a map of 400 bytes each, and says how many ran.
    fn render(traces: &mut Traces, owner: Owner, codes: [f32; 3]) -> usize {
        let inputs = inputs(codes);
        let (trace, first) = traces.resume(owner, &inputs);
        for input in inputs.into_iter().skip(first) {
            let output = Activation { features: Tensor::zeros([1, 1, 10, 10], &Device::flex()), picture: None };
            trace.outputs.push((input, output));
        }
        traces.trim();
        3 - first
    }

    #[test]
    fn views_on_screen_keep_their_traces_and_the_others_share_what_is_left() {
        let mut traces = Traces(Recent::new(5 * 400, Trace::bytes));
        let view = |id| Owner::View(ViewId(id));
        let (picture, comparison) = (Owner::View(ViewId::PICTURE), Owner::View(ViewId::COMPARISON));
        assert_eq!(render(&mut traces, picture, [1.0, 1.0, 1.0]), 3);
        assert_eq!(render(&mut traces, comparison, [1.0, 1.0, 2.0]), 1, "what agrees is taken from the picture");
        assert_eq!(render(&mut traces, view(5), [3.0, 3.0, 3.0]), 3);
        assert_eq!(render(&mut traces, Owner::Private, [4.0, 4.0, 4.0]), 3);
        assert_eq!(render(&mut traces, view(5), [3.0, 3.0, 3.0]), 3, "there was no room for it");
        assert_eq!(render(&mut traces, picture, [1.0, 1.0, 1.0]), 0);
        assert_eq!(render(&mut traces, comparison, [1.0, 1.0, 2.0]), 0);
        assert_eq!(render(&mut traces, picture, [1.0, 1.0, 5.0]), 1);
        assert_eq!(render(&mut traces, picture, [6.0, 1.0, 5.0]), 3, "a stage depends on all before it");
    }
}
