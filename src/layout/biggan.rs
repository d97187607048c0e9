//! BigGAN (Brock et al. 2019) as ajbrock/BigGAN-PyTorch spells it. The names without the vectors of spectral normalisation are
//! the canonical ones.

use super::assembly::{Assembled, Assembly, check_picture};
use super::entry::{Change, Entry};
use super::error::LayoutProblem;
use super::state_dict::StateDict;
use crate::checkpoint::{DType, Tensor};
use crate::family::Family;

/// Blocks, attention not counted; the deepest public network has 14.
const MAX_BLOCKS: usize = crate::limits::DOUBLINGS;
/// Classes of a network without a shared embedding, whose one-hot table is made up here.
const MAX_CLASSES: usize = 2048;
/// Of the networks on TensorFlow Hub, in ajbrock's names (`TFHub/converter.py`); but not of the last batch norm.
const HUB_EPSILON: f32 = 1e-4;

pub(super) fn matches(state: &StateDict) -> bool {
    state.has("linear.weight") && state.has("blocks.0.0.conv1.weight") && state.has("blocks.0.0.bn1.gain.weight")
}

/// True if the blocks are the bottlenecks of BigGAN-deep.
pub(super) fn is_deep(state: &StateDict) -> bool {
    state.has("blocks.0.0.conv4.weight")
}

/// Where the gains and biases of batch norms come from.
#[derive(Clone, Copy, PartialEq)]
enum Source {
    /// Layers over the shared embedding of the class, and over a part of z if it is split.
    Embedding,
    /// Every batch norm has its own table with a row per class.
    Tables,
    /// Layers over z alone: a network without classes.
    Z,
}

/// What both kinds of ajbrock's networks have in common.
pub(super) struct Shared<'a> {
    pub(super) assembly: Assembly<'a>,
    /// Width of the class embedding, and number of classes.
    pub(super) embedding: usize,
    pub(super) classes: usize,
    /// Width of what conditions the batch norms.
    pub(super) condition: usize,
    source: Source,
    /// Converted from TensorFlow Hub: variances and spectral norms have another epsilon.
    is_from_hub: bool,
    /// Channels of the first block's input.
    pub(super) channels: usize,
    pub(super) blocks: usize,
}

/// Name of the running mean or variance of batch norm `norm`: it depends on how the network was trained.
fn statistic(state: &StateDict, norm: &str, kind: &str) -> String {
    let spellings = ["stored_", "bn.stored_", "bn.running_", "running_"].map(|part| format!("{norm}.{part}{kind}"));
    let found = spellings.iter().find(|name| state.has(name));
    found.unwrap_or(&spellings[0]).clone()
}

/// True if gains are computed by layers, `[channels, inputs]`; tables are `[classes, channels]`, and have no spectral norm.
fn gains_are_layers(state: &StateDict) -> bool {
    let norms = (0..=MAX_BLOCKS).flat_map(|i| [1, 2].map(|j| format!("blocks.{i}.0.bn{j}")));
    let tells = |norm: String| {
        let &[rows, columns] = state.get(&format!("{norm}.gain.weight"))?.shape() else { return None };
        let channels = state.get(&statistic(state, &norm, "mean"))?.len();
        (rows != columns).then_some(rows == channels)
    };
    state.has("blocks.0.0.bn1.gain.u0") || norms.filter_map(tells).next().unwrap_or(false)
}

impl<'a> Shared<'a> {
    /// `parts` are the tensors of one block that a complete network has.
    pub(super) fn read(state: &'a StateDict, family: Family, parts: &[&str]) -> Result<Shared<'a>, LayoutProblem> {
        let mut assembly = Assembly::new(state, family, "ajbrock");
        let has_part = |part: &str| state.names().any(|name| name.ends_with(part));
        // ajbrock's own code stores both; the converter has no singular values.
        let is_from_hub = has_part(".u0") && !has_part(".sv0");
        if is_from_hub {
            assembly.spectral_epsilon = HUB_EPSILON.into();
        }
        let source = if state.has("shared.weight") {
            Source::Embedding
        } else if gains_are_layers(state) {
            Source::Z
        } else {
            Source::Tables
        };
        if source == Source::Tables && family == Family::BigGanDeep {
            let what = format!("a {family} whose layers embed the class separately (G_shared off, no shared.weight)");
            return Err(LayoutProblem::unsupported(what));
        }
        let last = (0..=MAX_BLOCKS).filter(|i| state.has(&format!("blocks.{i}.0.conv1.weight"))).max().unwrap_or(0);
        if last >= MAX_BLOCKS {
            return Err(LayoutProblem::unsupported(format!("a {family} of more than {MAX_BLOCKS} blocks")));
        }
        let blocks = last + 1;
        let names = (0..blocks).flat_map(|i| parts.iter().map(move |part| format!("blocks.{i}.0.{part}")));
        let rest = ["linear.weight", "linear.bias", "output_layer.0.gain", "output_layer.0.bias"];
        let rest = rest.into_iter().chain(["output_layer.2.weight", "output_layer.2.bias"]).map(String::from);
        assembly.require(rest.chain(names))?;
        let gain = assembly.axes("blocks.0.0.bn1.gain.weight")?;
        let ([channels, condition], [classes, embedding]) = match source {
            Source::Embedding => (gain, assembly.axes("shared.weight")?),
            Source::Tables => ([gain[1], gain[0]], [gain[0], gain[0]]),
            Source::Z => (gain, [0, 0]),
        };
        Ok(Shared { assembly, embedding, classes, condition, source, is_from_hub, channels, blocks })
    }

    pub(super) fn has_classes(&self) -> bool {
        self.source != Source::Z
    }

    /// The embedding of the classes; where there is none, one-hot vectors do the same.
    fn put_classes(&mut self) -> Result<(), LayoutProblem> {
        let (classes, shape) = (self.classes, [self.classes, self.embedding]);
        match self.source {
            Source::Embedding => return self.assembly.put("shared.weight", "shared.weight".into(), &shape),
            Source::Z => return Ok(()),
            Source::Tables => {}
        }
        if classes > MAX_CLASSES {
            return Err(LayoutProblem::unsupported(format!(
                "a BigGAN of {classes} classes without a shared embedding"
            )));
        }
        let mut one_hot = vec![0; classes * classes * 4];
        for (at, value) in one_hot.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            if at / classes == at % classes {
                *value = 1f32.to_le_bytes();
            }
        }
        let tensor = Tensor::contiguous(DType::F32, shape.to_vec(), one_hot.into());
        let tensor = tensor.map_err(|what| LayoutProblem::content("shared.weight", what))?;
        let entry = Entry { tensor, shape: shape.to_vec(), changes: Vec::new() };
        self.assembly.insert("shared.weight".into(), entry);
        Ok(())
    }

    /// The gains or biases of a batch norm, `[channels, condition]`; tables are stored `[classes, channels]`.
    fn put_conditional(&mut self, module: &str, shape: &[usize; 2]) -> Result<(), LayoutProblem> {
        let canonical = format!("{module}.weight");
        if self.source != Source::Tables {
            return self.assembly.put_normed(module, canonical, shape);
        }
        let [channels, classes] = *shape;
        self.put_viewed((module, &[classes, channels]), canonical, shape, |table| table.permuted(&[1, 0]), None)
    }

    pub(super) fn put_statistics(
        &mut self,
        norm: &str,
        canonical: [String; 2],
        expected: &[usize],
    ) -> Result<(), LayoutProblem> {
        let [mean, var] = canonical;
        self.assembly.put(&statistic(self.assembly.state, norm, "mean"), mean, expected)?;
        self.assembly.put(&statistic(self.assembly.state, norm, "var"), var, expected)
    }

    /// The 3x3 convolution at the end; gives the picture's channels.
    pub(super) fn put_picture(&mut self, canonical: &str, channels: usize) -> Result<(), LayoutProblem> {
        let [picture, ..] = self.assembly.axes::<4>("output_layer.2.weight")?;
        check_picture(picture, "output_layer.2.weight", &self.assembly.shape("output_layer.2.weight"))?;
        self.assembly.put_normed("output_layer.2", format!("{canonical}.weight"), &[picture, channels, 3, 3])?;
        self.assembly.put("output_layer.2.bias", format!("{canonical}.bias"), &[picture])
    }

    /// The attention after a block: `canonical` has the names of its four kernels and of its gain.
    pub(super) fn put_attention(
        &mut self,
        block: usize,
        canonical: [String; 5],
        gain: &[usize],
        channels: usize,
    ) -> Result<(), LayoutProblem> {
        let prefix = format!("blocks.{block}.1");
        let [theta, phi, g, o, gamma] = canonical;
        let [narrow, ..] = self.assembly.axes::<4>(&format!("{prefix}.theta.weight"))?;
        let [half, ..] = self.assembly.axes::<4>(&format!("{prefix}.g.weight"))?;
        self.assembly.put_normed(&format!("{prefix}.theta"), theta, &[narrow, channels, 1, 1])?;
        self.assembly.put_normed(&format!("{prefix}.phi"), phi, &[narrow, channels, 1, 1])?;
        self.assembly.put_normed(&format!("{prefix}.g"), g, &[half, channels, 1, 1])?;
        self.assembly.put_normed(&format!("{prefix}.o"), o, &[channels, half, 1, 1])?;
        self.assembly.put(&format!("{prefix}.gamma"), gamma, gain)
    }

    pub(super) fn has_attention(&self, block: usize) -> bool {
        self.assembly.state.has(&format!("blocks.{block}.1.theta.weight"))
    }

    /// Puts a weight whose elements are taken in the order of `view`.
    pub(super) fn put_viewed(
        &mut self,
        (module, stored): (&str, &[usize]),
        canonical: String,
        shape: &[usize],
        view: impl Fn(&Tensor) -> Option<Tensor>,
        more: Option<Change>,
    ) -> Result<(), LayoutProblem> {
        let (tensor, mut changes) = self.assembly.normed(module, stored)?;
        let viewed = view(tensor).ok_or_else(|| LayoutProblem::shape(module, stored, tensor.shape()))?;
        changes.extend(more);
        self.assembly.insert(canonical, Entry { tensor: viewed, shape: shape.to_vec(), changes });
        Ok(())
    }

    pub(super) fn finish(self) -> Assembled {
        let is_counter = |name: &str| name.ends_with(".accumulation_counter") || name.ends_with(".num_batches_tracked");
        let mut assembled = self.assembly.finish(is_counter);
        if self.is_from_hub {
            assembled.batch_norm_epsilon = HUB_EPSILON;
        }
        assembled
    }
}

const PARTS: [&str; 10] = [
    "conv1.weight",
    "conv1.bias",
    "conv2.weight",
    "conv2.bias",
    "conv_sc.weight",
    "conv_sc.bias",
    "bn1.gain.weight",
    "bn1.bias.weight",
    "bn2.gain.weight",
    "bn2.bias.weight",
];

/// The canonical network.
pub(super) fn assemble(state: &StateDict) -> Result<Assembled, LayoutProblem> {
    let mut shared = Shared::read(state, Family::BigGan, &PARTS)?;
    let (condition, blocks, mut channels) = (shared.condition, shared.blocks, shared.channels);
    let [_, first] = shared.assembly.axes("linear.weight")?;
    // Either every block has its own part of z beside the embedding, as long as the first layer's, or none has.
    if condition != shared.embedding && condition != shared.embedding.saturating_add(first) {
        let (more, with_z) = (shared.embedding, shared.embedding.saturating_add(first));
        if condition > with_z {
            let what = format!(
                "a BigGAN whose blocks take {condition} numbers, {} more than class and z have (instance features, as in an \
                 IC-GAN?)",
                condition - with_z
            );
            return Err(LayoutProblem::foreign(what, super::foreign::NO_FEATURES));
        }
        let (name, expected) = ("blocks.0.0.bn1.gain.weight", format!("[{channels}, {more} or {with_z}]"));
        return Err(LayoutProblem::Shape { tensor: name.into(), expected, found: shared.assembly.shape(name) });
    }
    let rows = channels.saturating_mul(16);
    shared.put_classes()?;
    shared.assembly.put_normed("linear", "linear.weight".into(), &[rows, first])?;
    shared.assembly.put("linear.bias", "linear.bias".into(), &[rows])?;
    for i in 0..blocks {
        let name = format!("blocks.{i}.0");
        let [out, ..] = shared.assembly.axes::<4>(&format!("{name}.conv1.weight"))?;
        for (part, shape) in
            [("conv1", [out, channels, 3, 3]), ("conv2", [out, out, 3, 3]), ("conv_sc", [out, channels, 1, 1])]
        {
            shared.assembly.put_normed(&format!("{name}.{part}"), format!("{name}.{part}.weight"), &shape)?;
            shared.assembly.put(&format!("{name}.{part}.bias"), format!("{name}.{part}.bias"), &[out])?;
        }
        for (norm, width) in [("bn1", channels), ("bn2", out)] {
            let norm = format!("{name}.{norm}");
            for part in ["gain", "bias"] {
                shared.put_conditional(&format!("{norm}.{part}"), &[width, condition])?;
            }
            shared.put_statistics(&norm, [format!("{norm}.stored_mean"), format!("{norm}.stored_var")], &[width])?;
        }
        channels = out;
        if shared.has_attention(i) {
            let prefix = format!("blocks.{i}.1");
            let kernels = ["theta.weight", "phi.weight", "g.weight", "o.weight", "gamma"];
            shared.put_attention(i, kernels.map(|part| format!("{prefix}.{part}")), &[], channels)?;
        }
    }
    for part in ["gain", "bias"] {
        let name = format!("output_layer.0.{part}");
        shared.assembly.put(&name, name.clone(), &[channels])?;
    }
    let statistics = ["mean", "var"].map(|kind| format!("output_layer.0.stored_{kind}"));
    shared.put_statistics("output_layer.0", statistics, &[channels])?;
    shared.put_picture("output_layer.2", channels)?;
    Ok(shared.finish())
}
