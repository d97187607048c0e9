//! StyleGAN2 as rosinality spells it (rosinality/stylegan2-pytorch, `model.py`), also inside pSp, e4e and restyle files.

use super::mapping::{Mapping, pair};
use super::stylegan2::{Layer, Spelling};

/// The mean w lies beside the state dict under this name, not in it; training files have none.
pub(super) const MEAN_W: &str = "latent_avg";

pub(super) const SPELLING: Spelling = Spelling {
    layout: "rosinality",
    constant: "input.input",
    mapping: Mapping {
        // style.0 is the pixel norm.
        dense: |i| pair(&format!("style.{}.", i + 1)),
        scale: 1.0,
        embed: None,
        label: None,
        mean_w: MEAN_W,
    },
    conv,
    rgb,
    skip: None,
    filter: ("kernel", 4.0),
    up_kernels_reversed: false,
    style_bias_lacks_one: false,
};

fn conv(n: usize) -> Layer {
    let name = if n == 0 { "conv1".into() } else { format!("convs.{}", n - 1) };
    Layer {
        weight: format!("{name}.conv.weight"),
        bias: format!("{name}.activate.bias"),
        style_weight: format!("{name}.conv.modulation.weight"),
        style_bias: format!("{name}.conv.modulation.bias"),
        noise: Some([format!("noises.noise_{n}"), format!("{name}.noise.weight")]),
    }
}

fn rgb(block: usize) -> Layer {
    let name = if block == 0 { "to_rgb1".into() } else { format!("to_rgbs.{}", block - 1) };
    Layer {
        weight: format!("{name}.conv.weight"),
        bias: format!("{name}.bias"),
        style_weight: format!("{name}.conv.modulation.weight"),
        style_bias: format!("{name}.conv.modulation.bias"),
        noise: None,
    }
}
