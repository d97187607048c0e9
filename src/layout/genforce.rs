//! StyleGAN2 as genforce spells it (genforce/genforce and genforce/sefa, `stylegan2_generator.py`): TensorFlow's conventions
//! in PyTorch, so up-sampling kernels are reversed and the style bias lacks its 1.

use super::conventions::Conventions;
use super::mapping::{Mapping, pair};
use super::state_dict::StateDict;
use super::stylegan2::{Layer, Spelling};

pub(super) const SPELLING: Spelling = Spelling {
    layout: "genforce",
    constant: "synthesis.early_layer.const",
    mapping: Mapping {
        dense: |i| pair(&format!("mapping.dense{i}.")),
        scale: 1.0,
        embed: Some("mapping.LabelEmbed."),
        label: Some("mapping.label_weight"),
        mean_w: "truncation.w_avg",
    },
    conv: |n| layer(&format!("synthesis.layer{n}"), true),
    rgb: |block| layer(&format!("synthesis.output{block}"), false),
    skip: None,
    filter: ("kernel", 4.0),
    up_kernels_reversed: true,
    style_bias_lacks_one: true,
    is_folded: false,
    conventions: Conventions::DEFAULT,
};

/// The inference-only variant (genforce/sefa's first version): linear layers are called `fc`, and kernels have TensorFlow's
/// order, `[k, k, inputs, outputs]`. `None` for the others.
pub(super) fn unified(state: &StateDict) -> Option<StateDict> {
    let is_variant = state.has("mapping.dense0.fc.weight");
    is_variant.then(|| {
        state.mapped(|name, tensor| {
            let kernel = tensor.permuted(&[3, 2, 0, 1]).filter(|_| name.ends_with(".weight"));
            (name.replace(".fc.", "."), kernel.unwrap_or_else(|| tensor.clone()))
        })
    })
}

fn layer(name: &str, noisy: bool) -> Layer {
    Layer {
        weight: format!("{name}.weight"),
        bias: format!("{name}.bias"),
        style_weight: format!("{name}.style.weight"),
        style_bias: format!("{name}.style.bias"),
        noise: noisy.then(|| [format!("{name}.noise"), format!("{name}.noise_strength")]),
    }
}
