//! StyleGAN (Karras et al. 2019), as genforce, InterFaceGAN, lernapparat and the TensorFlow original spell it.

use super::assembly::{Assembled, Assembly, INSTANCE_NORM_EPSILON, check_picture};
use super::entry::{Change, Entry};
use super::error::{LayoutProblem, Names};
use super::mapping::{Mapping, pair};
use super::state_dict::StateDict;
use crate::family::Family;

/// Layers of the largest network: 8192 pixels.
pub(super) const MAX_LAYERS: usize = 2 * crate::limits::DOUBLINGS;
/// Up-sampling to this many pixels and more is fused with the convolution ("auto", as in all public models).
const FUSED_FROM: usize = 128;

/// Where a layout keeps each tensor. Layer 0 starts from the constant, even ones up-sample.
pub(super) struct Spelling {
    pub(super) layout: &'static str,
    pub(super) mapping: Mapping,
    /// The level of detail, in layouts that have one.
    pub(super) lod: Option<&'static str>,
    pub(super) layer: fn(usize) -> Layer,
    /// Kernel `[3, 3, in, out]` of a layer that is fused with its up-sampling, in layouts that store these differently.
    pub(super) fused: Option<fn(usize) -> String>,
    /// Names of weight and bias of a block's RGB output, given the number of blocks.
    pub(super) rgb: fn(usize, usize) -> [String; 2],
    /// Added to the variances of instance norms.
    pub(super) epsilon: f32,
}

/// Names of the tensors of one layer.
pub(super) struct Layer {
    /// The convolution's kernel; of layer 0 the constant.
    pub(super) weight: String,
    pub(super) bias: String,
    /// A bias between convolution and blur; taken where there is one.
    pub(super) early_bias: Option<String>,
    /// The constant noise; `None` in layouts that store none.
    pub(super) noise: Option<String>,
    pub(super) noise_strength: String,
    pub(super) style_weight: String,
    pub(super) style_bias: String,
}

impl Layer {
    fn names(&self) -> [&String; 5] {
        [&self.weight, &self.bias, &self.noise_strength, &self.style_weight, &self.style_bias]
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
    lod: Some("synthesis.lod"),
    layer: |n| {
        let name = format!("synthesis.layer{n}");
        Layer {
            weight: format!("{name}.{}", if n == 0 { "const" } else { "weight" }),
            bias: format!("{name}.bias"),
            // In canonical files only.
            early_bias: Some(format!("{name}.early_bias")),
            noise: Some(format!("{name}.apply_noise.noise")),
            noise_strength: format!("{name}.apply_noise.weight"),
            style_weight: format!("{name}.style.weight"),
            style_bias: format!("{name}.style.bias"),
        }
    },
    fused: None,
    rgb: |block, _| pair(&format!("synthesis.output{block}.")),
    epsilon: INSTANCE_NORM_EPSILON,
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
    lod: Some("synthesis/lod"),
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
            early_bias: None,
            noise: Some(format!("synthesis/noise{n}")),
            noise_strength: format!("{name}/Noise/weight"),
            style_weight: format!("{name}/StyleMod/weight"),
            style_bias: format!("{name}/StyleMod/bias"),
        }
    },
    fused: None,
    rgb: |block, blocks| pair(&format!("synthesis/ToRGB_lod{}/", blocks.saturating_sub(block + 1))),
    epsilon: INSTANCE_NORM_EPSILON,
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
        let layers: Vec<(Layer, bool)> = (0..2 * blocks).map(|n| self.layer(state, n)).collect();
        let mut names: Vec<String> = self.mapping.required(self.mapping.layers(state)).collect();
        names.extend(layers.iter().flat_map(|(layer, _)| layer.names()).cloned());
        // Stored for all layers or for none.
        let noises = || layers.iter().filter_map(|(layer, _)| layer.noise.as_ref());
        let has_noise = noises().any(|noise| state.has(noise));
        names.extend(noises().filter(|_| has_noise).cloned());
        names.extend((self.rgb)(blocks - 1, blocks));
        assembly.require(names)?;

        let first = &layers[0].0;
        let [mut channels, height, width] = assembly.axes(&first.weight)?;
        if height != width {
            let what = format!("a StyleGAN for oblong pictures (its constant is {height}x{width})");
            return Err(LayoutProblem::foreign(what, "Only square networks, which start from 4x4, can be opened"));
        }
        let [_, w_dim] = assembly.axes(&first.style_weight)?;
        for (n, (layer, is_fused)) in layers.iter().enumerate() {
            let (name, size) = (format!("synthesis.layer{n}"), 4usize << (n / 2));
            if n == 0 {
                assembly.put(&layer.weight, format!("{name}.const"), &[1, channels, 4, 4])?;
            } else {
                let [out] = assembly.axes(&layer.bias)?;
                let shape = [out, channels, 3, 3];
                let order = if *is_fused && self.fused.is_some() { [3, 2, 0, 1] } else { [0, 1, 2, 3] };
                put_kernel(&mut assembly, &layer.weight, n, &shape, (order, *is_fused), 1.0)?;
                channels = out;
            }
            let doubled = channels.saturating_mul(2);
            assembly.put(&layer.bias, format!("{name}.bias"), &[channels])?;
            if let Some(early) = layer.early_bias.as_ref().filter(|early| state.has(early)) {
                assembly.put(early, format!("{name}.early_bias"), &[channels])?;
            }
            if let Some(noise) = layer.noise.as_ref().filter(|_| has_noise) {
                assembly.put(noise, format!("{name}.apply_noise.noise"), &[1, 1, size, size])?;
            }
            assembly.put(&layer.noise_strength, format!("{name}.apply_noise.weight"), &[channels])?;
            assembly.put(&layer.style_weight, format!("{name}.style.weight"), &[doubled, w_dim])?;
            assembly.put(&layer.style_bias, format!("{name}.style.bias"), &[doubled])?;
            // Files of finished networks may lack all but the last.
            let rgb = (self.rgb)(n / 2, blocks);
            if n % 2 == 1 && rgb.iter().any(|name| state.has(name)) {
                put_rgb(&mut assembly, &rgb, n / 2, channels, 1.0)?;
            }
        }
        if let Some(lod) = self.lod.filter(|lod| state.has(lod)) {
            assembly.put(lod, "synthesis.lod".into(), &[])?;
        }
        self.mapping.put(&mut assembly, "mapping.dense", w_dim)?;
        self.mapping.put_mean(&mut assembly, "truncation.w_avg", 2 * blocks, w_dim)?;
        check_blur(state, is_blur)?;
        // TensorFlow keeps the level of detail twice.
        let mut assembled = assembly.finish(|name| name == "lod" || is_blur(name));
        assembled.instance_norm_epsilon = self.epsilon;
        if !has_noise {
            assembled.warnings.push(NO_NOISE.into());
        }
        Ok(assembled)
    }

    /// Names of layer n, and whether its convolution is fused with up-sampling.
    fn layer(&self, state: &StateDict, n: usize) -> (Layer, bool) {
        let layer = (self.layer)(n);
        let is_up = n > 0 && n.is_multiple_of(2);
        match self.fused.map(|name| name(n)).filter(|_| is_up) {
            Some(weight) if state.has(&weight) => (Layer { weight, ..layer }, true),
            Some(_) => (layer, false),
            None => (layer, is_up && fused(state, 4 << (n / 2))),
        }
    }
}

pub(super) const NO_NOISE: &str =
    "the file holds no noise pictures: pictures are drawn without noise, and random noise can be chosen";

/// Puts the kernel of layer n, `[out, in, 3, 3]`. The file has axis `i` of it as axis `order[i]`; `is_fused` if it is meant for a
/// transposed convolution.
pub(super) fn put_kernel(
    assembly: &mut Assembly<'_>,
    source: &str,
    n: usize,
    shape: &[usize; 4],
    (order, is_fused): ([usize; 4], bool),
    scale: f32,
) -> Result<(), LayoutProblem> {
    let mut stored = [0; 4];
    order.iter().zip(shape).for_each(|(&at, &axis)| stored[at] = axis);
    let tensor = assembly.checked(source, &stored)?;
    let turned = match order {
        [0, 1, 2, 3] => Some(tensor.clone()),
        _ => tensor.permuted(&order),
    };
    let turned = turned.ok_or_else(|| LayoutProblem::shape(source, &stored, tensor.shape()))?;
    let canonically_fused = n.is_multiple_of(2) && 4usize << (n / 2) >= FUSED_FROM;
    let mut changes = Change::scale(scale);
    if is_fused != canonically_fused {
        changes.push(Change::Flip);
    }
    let canonical = format!("synthesis.layer{n}.weight");
    assembly.insert(canonical, Entry { tensor: turned, shape: shape.to_vec(), changes });
    Ok(())
}

/// Puts weight and bias of a block's RGB output.
pub(super) fn put_rgb(
    assembly: &mut Assembly<'_>,
    [weight, bias]: &[String; 2],
    block: usize,
    channels: usize,
    scale: f32,
) -> Result<(), LayoutProblem> {
    let [picture] = assembly.axes(bias)?;
    check_picture(picture, weight, &assembly.shape(weight))?;
    let shape = [picture, channels, 1, 1];
    assembly.put_changed(weight, format!("synthesis.output{block}.weight"), &shape, Change::scale(scale))?;
    assembly.put(bias, format!("synthesis.output{block}.bias"), &[picture])
}

fn is_blur(name: &str) -> bool {
    name.ends_with(".blur.kernel") || name.ends_with(".intermediate.kernel")
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
pub(super) fn check_blur(state: &StateDict, is_blur: fn(&str) -> bool) -> Result<(), LayoutProblem> {
    const TAPS: [f32; 3] = [0.25, 0.5, 0.25];
    // One kernel per channel, more than any layer has.
    const MAX_BLUR: usize = 9 * 16_384;
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
