//! StyleGAN3 (Karras et al. 2021), T and R, as NVIDIA's code spells it; the names are the canonical ones.

use super::assembly::{Assembled, Assembly, check_picture};
use super::error::LayoutProblem;
use super::mapping::{Mapping, pair};
use super::nvidia;
use super::state_dict::StateDict;
use crate::family::Family;
use crate::limits;

const MAPPING: Mapping = Mapping {
    dense: |i| pair(&format!("mapping.fc{i}.")),
    scale: 1.0,
    embed: Some("mapping.embed."),
    label: None,
    mean_w: "mapping.w_avg",
};
const INPUT: &str = "synthesis.input";
/// Width and height of a layer: ten pixels of margin on every side.
const MOST_SIDE: usize = limits::SIDE + 20;
/// Taps of a filter per step of up- or down-sampling.
const TAPS: usize = 6;
/// What the training code clamps to; kept in modules, not in state dicts.
const CLAMP: f32 = 256.0;
/// Numbers of modules that the arithmetic has built in.
const FIXED: [(&str, f64); 3] = [("output_scale", 0.25), ("bandwidth", 2.0), ("margin_size", 10.0)];

/// One layer, whose name tells its output.
struct Layer {
    name: String,
    index: usize,
    size: usize,
    channels: usize,
}

impl Layer {
    /// Reads `L{index}_{size}_{channels}`.
    fn parse(name: &str) -> Option<Layer> {
        let numbers: Option<Vec<usize>> = name.strip_prefix('L')?.split('_').map(|part| part.parse().ok()).collect();
        match numbers?[..] {
            [index, size, channels] => Some(Layer { name: format!("synthesis.{name}"), index, size, channels }),
            _ => None,
        }
    }
}

pub(super) fn matches(state: &StateDict) -> bool {
    state.has("synthesis.input.freqs") || state.names().any(|name| name.starts_with("synthesis.L0_"))
}

/// The canonical network.
pub(super) fn assemble(state: &StateDict) -> Result<Assembled, LayoutProblem> {
    for (name, expected) in FIXED {
        let given = state.attributes.iter().find(|(path, _)| path.rsplit('.').next() == Some(name));
        if let Some((path, Some(found))) = given.filter(|(_, found)| found.is_some_and(|x| (x - expected).abs() > 1e-6))
        {
            return Err(LayoutProblem::content(path, format!("expected {expected}, found {found}")));
        }
    }
    let mut assembly = Assembly::new(state, Family::StyleGan3, "nvidia");
    let layers = layers(state)?;
    let input = ["weight", "freqs", "phases", "transform", "affine.weight", "affine.bias"];
    let parts = ["weight", "bias", "magnitude_ema", "affine.weight", "affine.bias"];
    let mut names: Vec<String> = MAPPING.required(MAPPING.layers(state)).collect();
    names.extend(input.map(|part| format!("{INPUT}.{part}")));
    names.extend(layers.iter().flat_map(|layer| parts.map(|part| format!("{}.{part}", layer.name))));
    assembly.require(names)?;

    let [mut channels] = assembly.axes("synthesis.input.phases")?;
    let [_, w_dim] = assembly.axes("synthesis.input.affine.weight")?;
    let shapes: [&[usize]; 6] = [&[channels, channels], &[channels, 2], &[channels], &[3, 3], &[4, w_dim], &[4]];
    for (part, shape) in input.iter().zip(shapes) {
        assembly.put(&format!("{INPUT}.{part}"), format!("{INPUT}.{part}"), shape)?;
    }
    for layer in &layers {
        channels = put_layer(&mut assembly, layer, channels, w_dim)?;
    }
    if let Some(last) = layers.last() {
        let weight = format!("{}.weight", last.name);
        check_picture(channels, &weight, &assembly.shape(&weight))?;
    }
    MAPPING.put(&mut assembly, "mapping.fc", w_dim)?;
    MAPPING.put_mean(&mut assembly, MAPPING.mean_w, layers.len() + 1, w_dim)?;
    nvidia::check_mapping_rate(state)?;
    let mut assembled = assembly.finish(|_| false);
    assembled.conv_clamp = if nvidia::tells_clamp(state) { nvidia::conv_clamp(state)? } else { Some(CLAMP) };
    Ok(assembled)
}

/// The layers in their order.
fn layers(state: &StateDict) -> Result<Vec<Layer>, LayoutProblem> {
    let prefixes = state.names().filter_map(|name| name.strip_prefix("synthesis.")?.strip_suffix(".bias"));
    let mut layers: Vec<Layer> = prefixes.filter_map(Layer::parse).collect();
    layers.sort_by_key(|layer| layer.index);
    if let Some((at, layer)) = layers.iter().enumerate().find(|(at, layer)| layer.index != *at) {
        let what = format!("expected L{at}_.., found {}", layer.name);
        return Err(LayoutProblem::content(&format!("{}.bias", layer.name), what));
    }
    if let Some(layer) = layers.iter().find(|layer| layer.size > MOST_SIDE || layer.size == 0) {
        return Err(LayoutProblem::unsupported(format!("a StyleGAN3 with a layer of {} pixels", layer.size)));
    }
    match layers.len() {
        0 => Err(LayoutProblem::content("synthesis.L0_*", "expected, found no such tensor")),
        1..=limits::LAYERS => Ok(layers),
        more => Err(LayoutProblem::unsupported(format!("a StyleGAN3 of {more} layers"))),
    }
}

/// Takes a layer over; gives the channels of its output.
fn put_layer(assembly: &mut Assembly<'_>, layer: &Layer, input: usize, w_dim: usize) -> Result<usize, LayoutProblem> {
    let Layer { name, channels, .. } = layer;
    let weight = format!("{name}.weight");
    let [.., kernel, _] = assembly.axes::<4>(&weight)?;
    let kernel = if kernel == 3 { 3 } else { 1 };
    assembly.put(&weight, weight.clone(), &[*channels, input, kernel, kernel])?;
    for (part, shape) in [
        ("bias", &[*channels][..]),
        ("magnitude_ema", &[]),
        ("affine.weight", &[input, w_dim]),
        ("affine.bias", &[input]),
    ] {
        assembly.put(&format!("{name}.{part}"), format!("{name}.{part}"), shape)?;
    }
    for part in ["up_filter", "down_filter"] {
        let filter = format!("{name}.{part}");
        if !assembly.state.has(&filter) {
            continue;
        }
        let shape = assembly.shape(&filter);
        let is_step = |taps: usize| taps.is_multiple_of(TAPS) && (TAPS..=TAPS * limits::RESAMPLING).contains(&taps);
        let fits = match shape[..] {
            [taps] => is_step(taps),
            [height, width] => part == "down_filter" && height == width && is_step(width),
            _ => false,
        };
        if !fits {
            let expected = format!("of a filter of {TAPS} to {} taps", TAPS * limits::RESAMPLING);
            return Err(LayoutProblem::Shape { tensor: filter, expected, found: shape });
        }
        assembly.put(&filter, filter.clone(), &shape)?;
    }
    Ok(*channels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_layers_tell_their_size() {
        let layer = Layer::parse("L12_1044_64").unwrap();
        assert_eq!((layer.index, layer.size, layer.channels), (12, 1044, 64));
        assert!(["L1_2", "L1_2_3_4", "L_2_3", "M1_2_3", "L1_2_-3"].iter().all(|name| Layer::parse(name).is_none()));
    }
}
