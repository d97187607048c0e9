//! StyleGAN2 as genforce spells it (genforce/genforce and genforce/sefa, `stylegan2_generator.py`): TensorFlow's conventions
//! in PyTorch, so up-sampling kernels are reversed and the style bias lacks its 1.

use super::error::LayoutProblem;
use super::state_dict::StateDict;
use super::stylegan2::{Layer, Spelling};

pub(super) const SPELLING: Spelling = Spelling {
    layout: "genforce",
    constant: "synthesis.early_layer.const",
    mean_w: "truncation.w_avg",
    dense: |i| format!("mapping.dense{i}."),
    conv: |n| layer(&format!("synthesis.layer{n}"), true),
    rgb: |block| layer(&format!("synthesis.output{block}"), false),
    filter: ("kernel", 4.0),
    up_kernels_reversed: true,
    style_bias_lacks_one: true,
};

fn layer(name: &str, noisy: bool) -> Layer {
    Layer {
        weight: format!("{name}.weight"),
        bias: format!("{name}.bias"),
        style_weight: format!("{name}.style.weight"),
        style_bias: format!("{name}.style.bias"),
        noise: noisy.then(|| [format!("{name}.noise"), format!("{name}.noise_strength")]),
    }
}

/// Variants with the same names that compute something else.
pub(super) fn refuse_variants(state: &StateDict) -> Result<(), LayoutProblem> {
    let labels = ["mapping.label_weight", "mapping.LabelEmbed.weight"];
    match labels.into_iter().find(|name| state.has(name)) {
        Some(name) => {
            Err(LayoutProblem::unsupported(format!("a class-conditional StyleGAN2 (genforce names, {name})")))
        }
        None => Ok(()),
    }
}
