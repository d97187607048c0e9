//! StyleGAN2 as NVIDIA's PyTorch code spells it (stylegan2-ada-pytorch and stylegan3, `training/networks*.py`). These names
//! are the canonical ones.

use super::assembly::Assembled;
use super::conventions::Conventions;
use super::error::LayoutProblem;
use super::mapping::{Mapping, pair};
use super::state_dict::StateDict;
use super::stylegan2::{Layer, Spelling, conv_name};

pub(super) const SPELLING: Spelling = Spelling {
    layout: "nvidia",
    constant: "synthesis.b4.const",
    mapping: Mapping {
        dense: |i| pair(&format!("mapping.fc{i}.")),
        scale: 1.0,
        embed: Some("mapping.embed."),
        // No public file has a label_weight with these names; canonical files do.
        label: Some("mapping.label_weight"),
        mean_w: "mapping.w_avg",
    },
    conv: |n| layer(&conv_name(n), true),
    rgb: |block| layer(&format!("synthesis.b{}.torgb", 4usize << block), false),
    skip: Some(|block| format!("synthesis.b{}.skip.weight", 4usize << block)),
    filter: ("resample_filter", 1.0),
    up_kernels_reversed: false,
    style_bias_lacks_one: false,
    is_folded: false,
    conventions: Conventions::DEFAULT,
};

fn layer(name: &str, noisy: bool) -> Layer {
    Layer {
        weight: format!("{name}.weight"),
        bias: format!("{name}.bias"),
        style_weight: format!("{name}.affine.weight"),
        style_bias: format!("{name}.affine.bias"),
        noise: noisy.then(|| [format!("{name}.noise_const"), format!("{name}.noise_strength")]),
    }
}

/// The canonical network, with the clamp if the file tells of one.
pub(super) fn assemble(state: &StateDict) -> Result<Assembled, LayoutProblem> {
    check_mapping_rate(state)?;
    let mut assembled = SPELLING.assemble(state)?;
    assembled.conv_clamp = conv_clamp(state)?;
    assembled.clamp_unknown = !tells_clamp(state);
    Ok(assembled)
}

/// True if the file says whether there is a clamp.
pub(super) fn tells_clamp(state: &StateDict) -> bool {
    state.attributes.iter().any(|(name, _)| name.ends_with(".conv_clamp"))
}

/// The clamp that pickled modules tell of: one for the whole network.
pub(super) fn conv_clamp(state: &StateDict) -> Result<Option<f32>, LayoutProblem> {
    // Shortcuts of the residual architecture are never clamped, and say so.
    let of_layer = |name: &str| name.ends_with(".conv_clamp") && !name.ends_with(".skip.conv_clamp");
    let mut clamps = state.attributes.iter().filter(|(name, _)| of_layer(name));
    let Some((first, clamp)) = clamps.next() else { return Ok(None) };
    if let Some((other, _)) = clamps.find(|(_, other)| other != clamp) {
        return Err(LayoutProblem::unsupported(format!(
            "a StyleGAN2 whose layers differ in conv_clamp ({first}, {other})"
        )));
    }
    match clamp {
        None => Ok(None),
        Some(clamp) if clamp.is_finite() && *clamp > 0.0 => Ok(Some(*clamp as f32)),
        Some(clamp) => Err(LayoutProblem::content(first, format!("expected a positive number, found {clamp}"))),
    }
}

/// The learning-rate multiplier of the mapping enters its arithmetic; pickled modules tell it as the gain of the bias.
pub(super) fn check_mapping_rate(state: &StateDict) -> Result<(), LayoutProblem> {
    let rates =
        state.attributes.iter().filter(|(name, _)| name.starts_with("mapping.fc") && name.ends_with(".bias_gain"));
    for (name, rate) in rates {
        if rate.is_some_and(|rate| (rate - 0.01).abs() > 1e-6) {
            return Err(LayoutProblem::content(name, format!("expected 0.01, found {}", rate.unwrap_or_default())));
        }
    }
    Ok(())
}
