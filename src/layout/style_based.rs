//! StyleGAN as rosinality trains it (rosinality/style-based-gan-pytorch, `model.py`). Of the differences from the original these are
//! left in canonical tensors: a bias before the blur, and none on the constant. The others are factors, and a 1 that the
//! style's bias contains.

use std::f32::consts::SQRT_2;

use super::assembly::{Assembled, Assembly};
use super::entry::{Change, Entry};
use super::error::LayoutProblem;
use super::mapping::Mapping;
use super::rosinality;
use super::state_dict::StateDict;
use super::stylegan::{MAX_LAYERS, NO_NOISE, check_blur, put_kernel, put_rgb};
use crate::checkpoint::{DType, Tensor};
use crate::family::Family;

const MAX_BLOCKS: usize = MAX_LAYERS / 2;
const EPSILON: f32 = 1e-5;
/// Widest layer whose values are looked at.
const MAX_WIDTH: usize = 1 << 16;

const MAPPING: Mapping = Mapping {
    // style.0 is the pixel norm, the even ones after it are activations.
    dense: |i| ["weight_orig", "bias"].map(|part| format!("style.{}.linear.{part}", 2 * i + 1)),
    // There is no learning rate in the arithmetic.
    scale: 100.0,
    embed: None,
    label: None,
    mean_w: rosinality::MEAN_W,
};

/// Names of the tensors of a block.
struct Block {
    name: String,
    /// The first convolution's kernel `[out, in, 3, 3]`, or `[in, out, 3, 3]` if it is fused with up-sampling; its bias. The
    /// constant in the first block.
    first: String,
    first_bias: Option<String>,
    is_fused: bool,
}

impl Block {
    fn find(state: &StateDict, block: usize) -> Block {
        let name = format!("generator.progression.{block}");
        let fused = format!("{name}.conv1.0.weight");
        let (first, bias, is_fused) = match block {
            0 => (format!("{name}.conv1.input"), None, false),
            _ if state.has(&fused) => (fused, Some(format!("{name}.conv1.0.bias")), true),
            _ => (format!("{name}.conv1.1.conv.weight_orig"), Some(format!("{name}.conv1.1.conv.bias")), false),
        };
        Block { name, first, first_bias: bias, is_fused }
    }

    fn name(&self, part: &str) -> String {
        format!("{}.{part}", self.name)
    }

    fn required(&self) -> Vec<String> {
        let layers = [1, 2].map(|i| {
            let style = ["weight_orig", "bias"].map(|part| self.name(&format!("adain{i}.style.linear.{part}")));
            style.into_iter().chain([self.name(&format!("noise{i}.weight_orig"))])
        });
        let second = ["weight_orig", "bias"].map(|part| self.name(&format!("conv2.conv.{part}")));
        let first = self.first_bias.iter().chain([&self.first]).cloned();
        layers.into_iter().flatten().chain(second).chain(first).collect()
    }

    /// True if training has reached the block: noise weights and biases start at zero.
    fn is_trained(&self, state: &StateDict) -> Result<bool, LayoutProblem> {
        let names = ["noise1.weight_orig", "noise2.weight_orig", "conv2.conv.bias"].map(|part| self.name(part));
        let tensors = names.iter().chain(&self.first_bias).filter_map(|name| state.get(name));
        for tensor in tensors.filter(|tensor| tensor.len() <= MAX_WIDTH) {
            if tensor.to_f32()?.iter().any(|&value| value != 0.0) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

pub(super) fn matches(state: &StateDict) -> bool {
    state.has("generator.progression.0.conv1.input")
        && state.has("generator.progression.0.adain1.style.linear.weight_orig")
}

/// The canonical network, of the blocks that are trained.
pub(super) fn assemble(state: &StateDict) -> Result<Assembled, LayoutProblem> {
    let mut assembly = Assembly::new(state, Family::StyleGan, "rosinality");
    let found = (0..=MAX_BLOCKS).filter(|&block| state.has(&Block::find(state, block).name("conv2.conv.bias"))).max();
    let found = found.map_or(1, |last| last + 1);
    if found > MAX_BLOCKS {
        return Err(LayoutProblem::unsupported("a StyleGAN (rosinality) of more than 8192 pixels"));
    }
    let mut blocks: Vec<Block> = (0..found).map(|block| Block::find(state, block)).collect();
    let mut trained = found;
    while trained > 0 && !blocks[trained - 1].is_trained(state)? {
        trained -= 1;
    }
    // All of a network that was never trained.
    let trained = if trained == 0 { found } else { trained };
    let above = blocks.split_off(trained);
    let rgb = |block: usize| ["weight_orig", "bias"].map(|part| format!("generator.to_rgb.{block}.conv.{part}"));
    let mut names: Vec<String> = MAPPING.required(MAPPING.layers(state)).collect();
    names.extend(blocks.iter().flat_map(Block::required).chain(rgb(trained - 1)));
    assembly.require(names)?;

    let [mut channels, _, _] = assembly.axes(&blocks[0].first)?;
    let [_, w_dim] = assembly.axes(&blocks[0].name("adain1.style.linear.weight_orig"))?;
    for (b, block) in blocks.iter().enumerate() {
        let n = 2 * b;
        let [out] = assembly.axes(&block.name("conv2.conv.bias"))?;
        match &block.first_bias {
            None => assembly.put(&block.first, "synthesis.layer0.const".into(), &[1, channels, 4, 4])?,
            Some(bias) => {
                // The reference takes a quarter of the sum of shifted kernels, where the original takes the sum.
                let (order, scale) = if block.is_fused { ([1, 0, 2, 3], 0.25) } else { ([0, 1, 2, 3], 1.0) };
                put_kernel(&mut assembly, &block.first, n, &[out, channels, 3, 3], (order, block.is_fused), scale)?;
                assembly.put(bias, format!("synthesis.layer{n}.early_bias"), &[out])?;
            }
        }
        channels = out;
        let zeros = zeros(channels, &block.first)?;
        assembly.insert(format!("synthesis.layer{n}.bias"), zeros);
        let [weight, bias] = ["conv2.conv.weight_orig", "conv2.conv.bias"].map(|part| block.name(part));
        put_kernel(&mut assembly, &weight, n + 1, &[channels, channels, 3, 3], ([0, 1, 2, 3], false), 1.0)?;
        assembly.put(&bias, format!("synthesis.layer{}.bias", n + 1), &[channels])?;
        for i in [1, 2] {
            let layer = format!("synthesis.layer{}", n + i - 1);
            let noise = block.name(&format!("noise{i}.weight_orig"));
            let equalised = Change::scale((2.0 / channels as f64).sqrt() as f32);
            assembly.put_changed(&noise, format!("{layer}.apply_noise.weight"), &[channels], equalised)?;
            let [weight, bias] =
                ["weight_orig", "bias"].map(|part| block.name(&format!("adain{i}.style.linear.{part}")));
            let doubled = channels.saturating_mul(2);
            let style = format!("{layer}.style");
            assembly.put_changed(&weight, format!("{style}.weight"), &[doubled, w_dim], Change::scale(SQRT_2))?;
            assembly.put_changed(&bias, format!("{style}.bias"), &[doubled], vec![Change::LessOne(channels)])?;
        }
    }
    put_rgb(&mut assembly, &rgb(trained - 1), trained - 1, channels, SQRT_2)?;
    MAPPING.put(&mut assembly, "mapping.dense", w_dim)?;
    MAPPING.put_mean(&mut assembly, "truncation.w_avg", 2 * trained, w_dim)?;
    check_blur(state, is_blur)?;

    let untrained = |name: &str| above.iter().any(|block| name.starts_with(&format!("{}.", block.name)));
    let mut assembled =
        assembly.finish(|name| is_blur(name) || untrained(name) || name.starts_with("generator.to_rgb."));
    assembled.instance_norm_epsilon = EPSILON;
    assembled.noise_of_blocks = true;
    assembled.warnings.push(NO_NOISE.into());
    if !above.is_empty() {
        let (side, full) = (2usize << trained, 2usize << found);
        assembled.warnings.push(format!(
            "the picture has {side} pixels a side: the layers for up to {full} are not trained (their noise weights and \
             biases are zero)"
        ));
    }
    Ok(assembled)
}

/// Kernel of the blur, and the same reversed.
fn is_blur(name: &str) -> bool {
    let block = name.strip_prefix("generator.progression.").and_then(|rest| rest.split_once('.'));
    let parts = ["conv1.1.weight", "conv1.1.weight_flip", "conv1.2.weight", "conv1.2.weight_flip"];
    block.is_some_and(|(_, part)| parts.contains(&part))
}

/// One zero that is repeated.
fn zeros(length: usize, tensor: &str) -> Result<Entry, LayoutProblem> {
    let zeros = Tensor::new(DType::F32, vec![length], vec![0], 0, vec![0; 4].into());
    let tensor = zeros.map_err(|what| LayoutProblem::content(tensor, what))?;
    Ok(Entry { tensor, shape: vec![length], changes: Vec::new() })
}
