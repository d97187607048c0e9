//! StyleGAN (Karras et al. 2019), as genforce and as the TensorFlow original spell it.

use super::assembly::{Assembled, Assembly, check_picture};
use super::entry::Change;
use super::error::{LayoutProblem, Names};
use super::mapping::{Mapping, pair};
use super::state_dict::StateDict;
use crate::generator::Family;

/// Layers of the largest network: 8192 pixels.
const MAX_LAYERS: usize = 24;
/// Up-sampling to this many pixels and more is fused with the convolution ("auto", as in all public models).
const FUSED_FROM: usize = 128;

/// Where a layout keeps each tensor. Layer 0 starts from the constant, even ones up-sample.
pub(super) struct Spelling {
    pub(super) layout: &'static str,
    pub(super) mapping: Mapping,
    pub(super) lod: &'static str,
    pub(super) layer: fn(usize) -> Layer,
    /// Prefix of the RGB output of a block, given the number of blocks.
    pub(super) rgb: fn(usize, usize) -> String,
}

/// Names of the tensors of one layer.
pub(super) struct Layer {
    /// The convolution's kernel; of layer 0 the constant.
    pub(super) weight: String,
    pub(super) bias: String,
    pub(super) noise: String,
    pub(super) noise_strength: String,
    pub(super) style_weight: String,
    pub(super) style_bias: String,
}

impl Layer {
    fn names(self) -> [String; 6] {
        [self.weight, self.bias, self.noise, self.noise_strength, self.style_weight, self.style_bias]
    }
}

pub(super) const GENFORCE: Spelling = Spelling {
    layout: "genforce",
    mapping: Mapping {
        dense: |i| pair(&format!("mapping.dense{i}.")),
        scale: 1.0,
        embed: None,
        label: Some("mapping.label_weight"),
        mean_w: "truncation.w_avg",
    },
    lod: "synthesis.lod",
    layer: |n| {
        let name = format!("synthesis.layer{n}");
        Layer {
            weight: format!("{name}.{}", if n == 0 { "const" } else { "weight" }),
            bias: format!("{name}.bias"),
            noise: format!("{name}.apply_noise.noise"),
            noise_strength: format!("{name}.apply_noise.weight"),
            style_weight: format!("{name}.style.weight"),
            style_bias: format!("{name}.style.bias"),
        }
    },
    rgb: |block, _| format!("synthesis.output{block}."),
};

/// The original's names (NVlabs/stylegan), with the axes in PyTorch's order.
pub(super) const TENSORFLOW: Spelling = Spelling {
    layout: "tensorflow",
    mapping: Mapping {
        dense: |i| pair(&format!("mapping/Dense{i}/")),
        scale: 1.0,
        embed: None,
        label: Some("mapping/LabelConcat/weight"),
        mean_w: "dlatent_avg",
    },
    lod: "synthesis/lod",
    layer: |n| {
        let part = match n {
            0 => "Const",
            1 => "Conv",
            _ if n % 2 == 0 => "Conv0_up",
            _ => "Conv1",
        };
        let name = format!("synthesis/{0}x{0}/{part}", 4usize << (n / 2));
        Layer {
            weight: format!("{name}/{}", if n == 0 { "const" } else { "weight" }),
            bias: format!("{name}/bias"),
            noise: format!("synthesis/noise{n}"),
            noise_strength: format!("{name}/Noise/weight"),
            style_weight: format!("{name}/StyleMod/weight"),
            style_bias: format!("{name}/StyleMod/bias"),
        }
    },
    rgb: |block, blocks| format!("synthesis/ToRGB_lod{}/", blocks.saturating_sub(block + 1)),
};

impl Spelling {
    pub(super) fn matches(&self, state: &StateDict) -> bool {
        let first = (self.layer)(0);
        state.has(&first.weight) && state.has(&first.style_weight)
    }

    /// The canonical network.
    pub(super) fn assemble(&self, state: &StateDict) -> Result<Assembled, LayoutProblem> {
        let last = (0..=MAX_LAYERS).filter(|&n| state.has(&(self.layer)(n).style_weight)).max().unwrap_or(0);
        if last >= MAX_LAYERS {
            return Err(LayoutProblem::unsupported(format!("a StyleGAN ({}) of more than 8192 pixels", self.layout)));
        }
        let blocks = last / 2 + 1;
        let mut assembly = Assembly::new(state, Family::StyleGan, self.layout);
        let rgbs: Vec<String> = (0..blocks).map(|block| (self.rgb)(block, blocks)).collect();
        let mut names: Vec<String> = self.mapping.required(self.mapping.layers(state)).collect();
        names.extend((0..2 * blocks).flat_map(|n| (self.layer)(n).names()));
        names.extend(rgbs.iter().flat_map(|prefix| [format!("{prefix}weight"), format!("{prefix}bias")]));
        names.push(self.lod.into());
        assembly.require(names)?;

        let [mut channels, height, width] = assembly.axes((self.layer)(0).weight.as_str())?;
        if height != width {
            let what = format!("a StyleGAN for oblong pictures (its constant is {height}x{width})");
            return Err(LayoutProblem::foreign(what, "Only square networks, which start from 4x4, can be opened"));
        }
        let [_, w_dim] = assembly.axes(&(self.layer)(0).style_weight)?;
        let [picture] = assembly.axes(&format!("{}bias", rgbs[0]))?;
        for n in 0..2 * blocks {
            let (layer, name, size) = ((self.layer)(n), format!("synthesis.layer{n}"), 4usize << (n / 2));
            if n == 0 {
                assembly.put(&layer.weight, format!("{name}.const"), &[1, channels, 4, 4])?;
            } else {
                let [out, ..] = assembly.axes::<4>(&layer.weight)?;
                let other = n % 2 == 0 && fused(state, size) != (size >= FUSED_FROM);
                let kernel = if other { vec![Change::Flip] } else { Vec::new() };
                let shape = [out, channels, 3, 3];
                assembly.put_changed(&layer.weight, format!("{name}.weight"), &shape, kernel)?;
                channels = out;
            }
            let doubled = channels.saturating_mul(2);
            assembly.put(&layer.bias, format!("{name}.bias"), &[channels])?;
            assembly.put(&layer.noise, format!("{name}.apply_noise.noise"), &[1, 1, size, size])?;
            assembly.put(&layer.noise_strength, format!("{name}.apply_noise.weight"), &[channels])?;
            assembly.put(&layer.style_weight, format!("{name}.style.weight"), &[doubled, w_dim])?;
            assembly.put(&layer.style_bias, format!("{name}.style.bias"), &[doubled])?;
            if n % 2 == 1 {
                let (prefix, block) = (&rgbs[n / 2], n / 2);
                let weight = format!("{prefix}weight");
                check_picture(picture, &weight, &assembly.shape(&weight))?;
                assembly.put(&weight, format!("synthesis.output{block}.weight"), &[picture, channels, 1, 1])?;
                assembly.put(&format!("{prefix}bias"), format!("synthesis.output{block}.bias"), &[picture])?;
            }
        }
        assembly.put(self.lod, "synthesis.lod".into(), &[])?;
        self.mapping.put(&mut assembly, "mapping.dense", w_dim)?;
        self.mapping.put_mean(&mut assembly, "truncation.w_avg", 2 * blocks, w_dim)?;
        check_blur(state)?;
        // TensorFlow keeps the level of detail twice.
        Ok(assembly.finish(|name| name == "lod" || name.ends_with(".blur.kernel")))
    }
}

/// Whether the layer that up-samples to `size` is fused. Only TensorFlow's files can say anything but "auto".
fn fused(state: &StateDict, size: usize) -> bool {
    let told = state.attributes.iter().find(|(name, _)| name.ends_with(".fused_scale"));
    match told {
        Some((_, Some(fused))) => *fused != 0.0,
        _ => size >= FUSED_FROM,
    }
}

/// The renderer has the taps [1, 2, 1] built in, as all public models do.
fn check_blur(state: &StateDict) -> Result<(), LayoutProblem> {
    const TAPS: [f32; 3] = [0.25, 0.5, 0.25];
    // One kernel per channel, more than any layer has.
    const MAX_BLUR: usize = 9 * 16_384;
    let is_blur = |name: &str| name.starts_with("synthesis.layer") && name.ends_with(".blur.kernel");
    for (name, tensor) in state.iter().filter(|(name, _)| is_blur(name)) {
        if !tensor.shape().ends_with(&[3, 3]) || tensor.len() > MAX_BLUR {
            return Err(LayoutProblem::Shape {
                tensor: name.into(),
                expected: "of 3x3 kernels".into(),
                found: tensor.shape().to_vec(),
            });
        }
        let expected = TAPS.iter().flat_map(|y| TAPS.map(|x| x * y)).cycle();
        if tensor.to_f32()?.into_iter().zip(expected).any(|(found, expected)| (found - expected).abs() > 1e-4) {
            let what = "expected the standard filter [1, 2, 1], found other taps, which are not drawn right here";
            return Err(LayoutProblem::content(name, what));
        }
    }
    Ok(())
}

/// The revised StyleGAN, configurations B to D of StyleGAN2's paper: modulated weights, but StyleGAN's outputs.
pub(super) fn refuse_revised(state: &StateDict) -> Result<(), LayoutProblem> {
    let names = state.names().filter(|name| name.starts_with("synthesis/ToRGB_lod") && name.ends_with("/mod_weight"));
    let names: Vec<String> = names.map(String::from).collect();
    if names.is_empty() {
        return Ok(());
    }
    let what = format!("a revised StyleGAN (configurations B to D of StyleGAN2's paper; it has {})", Names(names));
    Err(LayoutProblem::foreign(what, "Use a network of configuration E or F, or a StyleGAN"))
}
