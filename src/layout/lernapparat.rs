//! StyleGAN as lernapparat spells it (lernapparat/lernapparat, `style_gan/pytorch_style_gan.ipynb`), and PULSE after it: instance norms
//! have PyTorch's epsilon; there are no noise pictures, no mean w, and one RGB output.

use super::assembly::Assembled;
use super::error::LayoutProblem;
use super::mapping::{Mapping, pair};
use super::state_dict::StateDict;
use super::stylegan::{Layer, Spelling};

const NAME: &str = "lernapparat";
/// Of PyTorch's instance norms.
const EPSILON: f32 = 1e-5;

/// Both networks in one file.
const WHOLE: Spelling = Spelling {
    layout: NAME,
    mapping: mapping(|i| pair(&format!("g_mapping.dense{i}."))),
    lod: None,
    layer: |n| layer("g_synthesis.", n),
    fused: None,
    rgb: |block, blocks| rgb("g_synthesis.", block, blocks),
    epsilon: EPSILON,
};

/// PULSE's, which come without the names of the two networks.
const BARE: Spelling = Spelling {
    mapping: mapping(|i| pair(&format!("dense{i}."))),
    layer: |n| layer("", n),
    rgb: |block, blocks| rgb("", block, blocks),
    ..WHOLE
};

const fn mapping(dense: fn(usize) -> [String; 2]) -> Mapping {
    Mapping { dense, scale: 1.0, embed: None, label: None, mean_w: "w_avg" }
}

fn layer(prefix: &str, n: usize) -> Layer {
    let (side, which) = (4usize << (n / 2), n % 2 + 1);
    let block = format!("{prefix}blocks.{side}x{side}");
    let conv = match n {
        1 => "conv.",
        _ if n.is_multiple_of(2) => "conv0_up.",
        _ => "conv1.",
    };
    let epilogue = format!("{block}.epi{which}");
    let [weight, bias] =
        if n == 0 { ["const", "bias"].map(|p| format!("{block}.{p}")) } else { pair(&format!("{block}.{conv}")) };
    let [style_weight, style_bias] = pair(&format!("{epilogue}.style_mod.lin."));
    let noise_strength = format!("{epilogue}.top_epi.noise.weight");
    // The bias is added after the blur here too.
    Layer { weight, bias, early_bias: None, noise: None, noise_strength, style_weight, style_bias }
}

/// Only the last block has an output; the others' names never occur.
fn rgb(prefix: &str, block: usize, blocks: usize) -> [String; 2] {
    let name = if block + 1 == blocks { "torgb".into() } else { format!("torgb{block}") };
    pair(&format!("{prefix}{name}."))
}

/// The canonical network, if `state` has these names.
pub(super) fn assemble(state: &StateDict) -> Option<Result<Assembled, LayoutProblem>> {
    let spelling = [WHOLE, BARE].into_iter().find(|spelling| spelling.matches(state))?;
    let [first, _] = (spelling.mapping.dense)(0);
    if !state.has(&first) {
        let what = format!("the synthesis network of a StyleGAN, without its mapping network (there is no {first})");
        let advice = "Save the state dicts of both networks as one: {**mapping.state_dict(), **synthesis.state_dict()}";
        return Some(Err(LayoutProblem::foreign(what, advice)));
    }
    Some(spelling.assemble(state))
}
