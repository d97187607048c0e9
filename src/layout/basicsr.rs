//! StyleGAN2 as BasicSR spells it (XPixelGroup/BasicSR, `stylegan2_arch.py` and `stylegan2_bilinear_arch.py`), and as GFPGAN's
//! "clean" version does (TencentARC/GFPGAN, `stylegan2_clean_arch.py`), whose scales are part of the stored numbers.

use std::f32::consts::FRAC_1_SQRT_2;

use super::conventions::{Conventions, Upsampling};
use super::mapping::{Mapping, pair};
use super::rosinality::MEAN_W;
use super::state_dict::StateDict;
use super::stylegan2::{Layer, Spelling};

const CONSTANT: &str = "constant_input.weight";

/// Up-sampling by a filter and bilinear up-sampling have the same names and shapes; the filter is much more common.
pub(super) const SPELLING: Spelling = Spelling {
    layout: "basicsr",
    constant: CONSTANT,
    mapping: Mapping {
        // 0 is the pixel norm.
        dense: |i| pair(&format!("style_mlp.{}.", i + 1)),
        scale: 1.0,
        embed: None,
        label: None,
        mean_w: MEAN_W,
    },
    conv: |n| conv(n, "activate.bias"),
    rgb: |block| {
        let name = if block == 0 { "to_rgb1".into() } else { format!("to_rgbs.{}", block - 1) };
        layer(&name, format!("{name}.bias"), None)
    },
    skip: None,
    filter: ("kernel", 4.0),
    up_kernels_reversed: false,
    style_bias_lacks_one: false,
    is_folded: false,
    conventions: Conventions::DEFAULT,
};

const CLEAN: Spelling = Spelling {
    layout: "gfpgan clean",
    mapping: Mapping {
        // An activation follows each layer.
        dense: |i| pair(&format!("style_mlp.{}.", 2 * i + 1)),
        // The learning rate and the gain of the activation.
        scale: 100.0 * FRAC_1_SQRT_2,
        ..SPELLING.mapping
    },
    conv: |n| conv(n, "bias"),
    is_folded: true,
    conventions: Conventions { upsampling: Upsampling::Bilinear, ..Conventions::DEFAULT },
    ..SPELLING
};

/// Said where the up-sampling cannot be seen.
pub(super) const UPSAMPLING: (&str, &str) = (
    "upsampling",
    "the file does not tell how it doubles sizes: taken to be StyleGAN2's filter; if pictures look wrong, it may be the \
     bilinear version (--upsampling bilinear)",
);

/// The layout of a network of this code.
pub(super) fn spelling(state: &StateDict) -> Option<&'static Spelling> {
    if !state.has(CONSTANT) {
        return None;
    }
    Some(if state.has("style_conv1.bias") { &CLEAN } else { &SPELLING })
}

pub(super) fn is_clean(spelling: &Spelling) -> bool {
    spelling.layout == CLEAN.layout
}

fn conv(n: usize, bias: &str) -> Layer {
    let name = if n == 0 { "style_conv1".into() } else { format!("style_convs.{}", n - 1) };
    let noise = [format!("noises.noise{n}"), format!("{name}.weight")];
    layer(&name, format!("{name}.{bias}"), Some(noise))
}

fn layer(name: &str, bias: String, noise: Option<[String; 2]>) -> Layer {
    Layer {
        weight: format!("{name}.modulated_conv.weight"),
        bias,
        style_weight: format!("{name}.modulated_conv.modulation.weight"),
        style_bias: format!("{name}.modulated_conv.modulation.bias"),
        noise,
    }
}
