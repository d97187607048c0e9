//! StyleGAN2 as MMGeneration and MMagic spell it (open-mmlab, `StyleGANv2Generator`): rosinality's arithmetic with names of its
//! own, another normalisation of z, and pictures whose first channel is blue.

use super::conventions::{ChannelOrder, Conventions, LatentNorm, Upsampling};
use super::mapping::Mapping;
use super::state_dict::StateDict;
use super::stylegan2::{Layer, Spelling};

pub(super) const SPELLING: Spelling = Spelling {
    layout: "mmgeneration",
    constant: "constant_input.input",
    mapping: Mapping {
        // 0 is the pixel norm.
        dense: |i| dense(i + 1),
        scale: 1.0,
        // With classes, which the embedding is made of, the pixel norm is elsewhere and layers count from 0: see `unified`.
        embed: Some("embed."),
        label: None,
        mean_w: "w_avg",
    },
    conv: |n| {
        let name = if n == 0 { "conv1".into() } else { format!("convs.{}", n - 1) };
        let noise = [format!("injected_noise_{n}"), format!("{name}.noise_injector.weight")];
        layer(&name, format!("{name}.activate.bias"), Some(noise))
    },
    rgb: |block| {
        let name = if block == 0 { "to_rgb1".into() } else { format!("to_rgbs.{}", block - 1) };
        layer(&name, format!("{name}.bias"), None)
    },
    skip: None,
    filter: ("kernel", 4.0),
    up_kernels_reversed: false,
    style_bias_lacks_one: false,
    is_folded: false,
    conventions: Conventions {
        upsampling: Upsampling::Fir,
        latent_norm: LatentNorm::Root,
        channel_order: ChannelOrder::Bgr,
    },
};

/// Said of every such network: nothing in a file tells the order.
pub(super) const COLOURS: (&str, &str) = (
    "channel_order",
    "the network is taken to make blue, green, red, as MMGeneration trains: pictures are shown with these swapped \
     (--channels rgb shows them as they are)",
);

/// The form with classes under the names of the one without.
pub(super) fn unified(state: &StateDict) -> Option<StateDict> {
    let is_conditional = state.has(EMBEDDING);
    is_conditional.then(|| {
        state.mapped(|name, tensor| {
            let layer = name.strip_prefix("style_mapping.").and_then(|rest| rest.split_once('.'));
            let layer = layer.and_then(|(i, part)| Some((i.parse::<usize>().ok()?.checked_add(1)?, part)));
            let name = match layer {
                Some((i, part)) => format!("style_mapping.{i}.{part}"),
                None if name == EMBEDDING => "embed.weight".into(),
                None => name.into(),
            };
            (name, tensor.clone())
        })
    })
}

const EMBEDDING: &str = "embed.linear.weight_orig";

fn dense(i: usize) -> [String; 2] {
    [format!("style_mapping.{i}.linear.weight_orig"), format!("style_mapping.{i}.bias")]
}

fn layer(name: &str, bias: String, noise: Option<[String; 2]>) -> Layer {
    Layer {
        weight: format!("{name}.conv.weight_orig"),
        bias,
        style_weight: format!("{name}.conv.style_modulation.linear.weight_orig"),
        style_bias: format!("{name}.conv.style_modulation.bias"),
        noise,
    }
}
