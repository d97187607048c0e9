//! PGGAN and StyleGAN as InterFaceGAN spells them (genforce/interfacegan, `models/*_generator_model.py`): genforce's networks of
//! a year before, with other names, and with fused kernels as TensorFlow has them.

use super::assembly::INSTANCE_NORM_EPSILON;
use super::mapping::Mapping;
use super::pggan;
use super::stylegan::{self, Layer};

const NAME: &str = "interfacegan";

pub(super) const STYLEGAN: stylegan::Spelling = stylegan::Spelling {
    layout: NAME,
    mapping: Mapping {
        dense: |i| scaled(&format!("mapping.dense{i}"), "linear"),
        scale: 1.0,
        embed: None,
        label: None,
        mean_w: "truncation.w_avg",
    },
    lod: Some("synthesis.lod"),
    layer: |n| {
        let name = format!("synthesis.layer{n}");
        let [style_weight, style_bias] = scaled(&format!("{name}.epilogue.style_mod.dense"), "linear");
        Layer {
            weight: format!("{name}.{}", if n == 0 { "first_layer" } else { "conv.weight" }),
            bias: format!("{name}.epilogue.bias"),
            early_bias: None,
            noise: Some(format!("{name}.epilogue.apply_noise.noise")),
            noise_strength: format!("{name}.epilogue.apply_noise.weight"),
            style_weight,
            style_bias,
        }
    },
    fused: Some(|n| format!("synthesis.layer{n}.weight")),
    rgb: |block, _| ["conv.weight", "bias"].map(|part| format!("synthesis.output{block}.{part}")),
    epsilon: INSTANCE_NORM_EPSILON,
};

pub(super) const PGGAN: pggan::Spelling = pggan::Spelling {
    layout: NAME,
    lod: "lod",
    layer: |n| scaled(&format!("layer{n}"), "conv"),
    fused: Some(pggan::Fused {
        layer: |n| [format!("layer{n}.weight"), format!("layer{n}.wscale.bias")],
        order: [3, 2, 0, 1],
    }),
    rgb: |block, _| scaled(&format!("output{block}"), "conv"),
    starts_dense: false,
};

/// Names of weight and bias of a layer whose weight is scaled.
fn scaled(name: &str, kind: &str) -> [String; 2] {
    [format!("{name}.{kind}.weight"), format!("{name}.wscale.bias")]
}
