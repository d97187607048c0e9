//! StyleGAN2 as rosinality spells it (rosinality/stylegan2-pytorch, `model.py`), also inside pSp, e4e and restyle files.

use super::assembly::Assembled;
use super::conventions::Conventions;
use super::error::LayoutProblem;
use super::mapping::{Mapping, pair};
use super::state_dict::StateDict;
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
    is_folded: false,
    conventions: Conventions::DEFAULT,
};

/// The canonical network. Its z is as wide as w; converters from NVIDIA's code copy the layers of the mapping network and leave
/// the class's embedding behind, which the first layer still waits for.
pub(super) fn assemble(state: &StateDict) -> Result<Assembled, LayoutProblem> {
    let mut assembled = SPELLING.assemble(state)?;
    let shape = |name: &str| assembled.tensors.get(name).map(|entry| entry.shape.as_slice());
    if let (Some(&[_, inputs]), Some(&[_, w_dim])) =
        (shape("mapping.fc0.weight"), shape("synthesis.b4.conv1.affine.weight"))
        && inputs > w_dim
    {
        assembled.warnings.push(format!(
            "the network was converted from one with classes, and what stood for the class is lost (style.1.weight takes \
             {inputs} numbers, {w_dim} of them z): pictures of seeds and of z are not what the network was trained for; \
             codes in w are drawn right"
        ));
    }
    Ok(assembled)
}

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
