//! What the StyleGAN2 layouts have in common: the same tensors under other names, with small differences of convention.

use std::f32::consts::FRAC_1_SQRT_2;

use super::assembly::{Assembled, Assembly, check_picture};
use super::conventions::Conventions;
use super::entry::Change;
use super::error::{LayoutProblem, Names};
use super::mapping::Mapping;
use super::state_dict::StateDict;
use crate::family::Family;
use crate::limits::{DOUBLINGS, SIDE};
use crate::size::Size;

/// Where a layout keeps each tensor, and how its conventions differ from the canonical ones.
pub(super) struct Spelling {
    /// Such as "nvidia".
    pub(super) layout: &'static str,
    pub(super) constant: &'static str,
    pub(super) mapping: Mapping,
    /// Tensors of style layer n: 0 is the first block's convolution, odd ones up-sample.
    pub(super) conv: fn(usize) -> Layer,
    /// Tensors of the RGB layer of block b.
    pub(super) rgb: fn(usize) -> Layer,
    /// Weight of the shortcut of block b, in layouts that know the residual architecture.
    pub(super) skip: Option<fn(usize) -> String>,
    /// Last part of the names of the FIR buffers, and the sum of their taps.
    pub(super) filter: (&'static str, f32),
    /// Up-sampling kernels are stored as correlation kernels: reversed in both axes.
    pub(super) up_kernels_reversed: bool,
    /// The 1 of the style is added by the code instead of being part of the bias.
    pub(super) style_bias_lacks_one: bool,
    /// Scales by the number of inputs, and the gains of activations, are part of the stored numbers.
    pub(super) is_folded: bool,
    pub(super) conventions: Conventions,
}

/// Names of the tensors of one style layer.
pub(super) struct Layer {
    pub(super) weight: String,
    pub(super) bias: String,
    pub(super) style_weight: String,
    pub(super) style_bias: String,
    /// Noise picture and strength; RGB layers have none.
    pub(super) noise: Option<[String; 2]>,
}

impl Layer {
    fn names(self) -> impl Iterator<Item = String> {
        [self.weight, self.bias, self.style_weight, self.style_bias].into_iter().chain(self.noise.into_iter().flatten())
    }
}

/// Canonical prefix of style layer n.
pub(super) fn conv_name(n: usize) -> String {
    format!("{}.conv{}", block_name(n.div_ceil(2)), if n == 0 { 1 } else { (n + 1) % 2 })
}

/// Canonical prefix of a block: as if the network started from 4x4, which most do.
fn block_name(block: usize) -> String {
    format!("synthesis.b{}", 4usize << block)
}

/// The noise inputs that a file has tensors for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Noise {
    None,
    /// How strong it is, but no pictures of it.
    Strengths,
    Pictures,
}

/// What the picture is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Architecture {
    /// Every block has RGB outputs, which add up.
    Skip,
    /// Blocks have shortcuts; RGB outputs in the last block only.
    Residual,
    /// RGB outputs in the last block only.
    Original,
}

/// Number of blocks and of mapping layers, and the architecture, as far as the names tell.
struct Extent {
    blocks: usize,
    dense: usize,
    architecture: Architecture,
    noise: Noise,
}

impl Extent {
    fn has_rgb(&self, block: usize) -> bool {
        self.architecture == Architecture::Skip || block + 1 == self.blocks
    }
}

impl Spelling {
    fn extent(&self, state: &StateDict) -> Extent {
        // One past the limit, so that a larger network is seen and refused.
        let convs = (0..=2 * DOUBLINGS).filter(|&n| state.has(&(self.conv)(n).weight)).max().unwrap_or(0);
        let blocks = convs.div_ceil(2) + 1;
        let some_rgb = |block| (self.rgb)(block).names().any(|name| state.has(&name));
        let architecture = if (0..blocks - 1).any(some_rgb) || !some_rgb(blocks - 1) {
            Architecture::Skip
        } else if (1..blocks).any(|block| self.skip.is_some_and(|skip| state.has(&skip(block)))) {
            Architecture::Residual
        } else {
            Architecture::Original
        };
        let noise = |part: usize| {
            let mut names = (0..2 * blocks - 1).filter_map(|n| (self.conv)(n).noise);
            names.any(|parts| state.has(&parts[part]))
        };
        let noise = match [noise(0), noise(1)] {
            [_, false] => Noise::None,
            [false, true] => Noise::Strengths,
            [true, true] => Noise::Pictures,
        };
        Extent { blocks, dense: self.mapping.layers(state), architecture, noise }
    }

    /// Names of all tensors that a network of this extent needs.
    fn required(&self, extent: &Extent) -> Vec<String> {
        let conv = |n: usize| {
            let mut layer = (self.conv)(n);
            let noise = layer.noise.take().into_iter().flatten();
            // Pictures come first.
            let noise = noise.skip(match extent.noise {
                Noise::Pictures => 0,
                Noise::Strengths => 1,
                Noise::None => 2,
            });
            layer.names().chain(noise)
        };
        let convs = (0..2 * extent.blocks - 1).flat_map(conv);
        let rgbs = (0..extent.blocks).filter(|&block| extent.has_rgb(block)).map(self.rgb).flat_map(Layer::names);
        let skips = self.skip.filter(|_| extent.architecture == Architecture::Residual);
        let skips = skips.into_iter().flat_map(|skip| (1..extent.blocks).map(skip));
        let constant = std::iter::once(self.constant.to_string());
        constant.chain(self.mapping.required(extent.dense)).chain(convs).chain(rgbs).chain(skips).collect()
    }

    /// How much of this layout is there: the share of the tensors that are present, and the missing ones.
    pub(super) fn likeness(&self, state: &StateDict) -> (f64, Names) {
        let required = self.required(&self.extent(state));
        let total = required.len();
        let missing: Vec<String> = required.into_iter().filter(|name| !state.has(name)).collect();
        ((total - missing.len()) as f64 / total as f64, Names(missing))
    }

    /// The canonical network.
    pub(super) fn assemble(&self, state: &StateDict) -> Result<Assembled, LayoutProblem> {
        let mut extent = self.extent(state);
        let mut assembly = Assembly::new(state, Family::StyleGan2, self.layout);
        if extent.blocks <= DOUBLINGS {
            assembly.require(self.required(&extent))?;
        }
        let [_, height, width] = assembly.axes(self.constant)?;
        let base = Size::new(width, height);
        if extent.blocks > DOUBLINGS || base.larger() > SIDE >> (extent.blocks - 1) {
            let what = format!("a StyleGAN2 ({}) of more than {SIDE} pixels", self.layout);
            return Err(LayoutProblem::unsupported(what));
        }
        let mut warning = self.misfit_of_noise(&mut assembly, &mut extent, base);
        let w_dim = self.synthesis(&mut assembly, &extent, base)?;
        self.mapping.put(&mut assembly, "mapping.fc", w_dim)?;
        if self.is_folded {
            self.unfold_mapping(&mut assembly, extent.dense);
        }
        self.mapping.put_mean(&mut assembly, "mapping.w_avg", 2 * extent.blocks, w_dim)?;
        self.check_filters(state, &extent)?;
        if extent.noise == Noise::Strengths {
            let without = "pictures are drawn without noise, and random noise can be chosen";
            let why = warning.take().unwrap_or_else(|| "the file holds no noise pictures".into());
            warning = Some(format!("{why}: {without}"));
        }
        let mut assembled = assembly.finish(|name| self.is_filter(name));
        assembled.conventions = self.conventions;
        assembled.warnings.extend(warning);
        Ok(assembled)
    }

    /// Noise pictures of another size than their layers serve no purpose (stylegan2-surgery keeps square ones for oblong
    /// networks). Passes over them all, and says why.
    fn misfit_of_noise(&self, assembly: &mut Assembly<'_>, extent: &mut Extent, base: Size) -> Option<String> {
        if extent.noise != Noise::Pictures {
            return None;
        }
        let names = || (0..2 * extent.blocks - 1).filter_map(|n| Some((n, (self.conv)(n).noise?[0].clone())));
        let misfit = names().find_map(|(n, name)| {
            // What is no picture at all is a fault, and reported as such.
            let [height, width] = assembly.axes(&name).ok()?;
            let (found, expected) = (Size::new(width, height), base.doubled(n.div_ceil(2)));
            (found != expected).then(|| {
                format!("the noise pictures are not of the layers' sizes ({name} is {found}, its layer {expected})")
            })
        })?;
        let all: Vec<String> = names().map(|(_, name)| name).collect();
        all.into_iter().for_each(|name| assembly.pass_over(name));
        extent.noise = Noise::Strengths;
        Some(misfit)
    }

    /// Takes the synthesis network over; gives the width of w.
    fn synthesis(&self, assembly: &mut Assembly<'_>, extent: &Extent, base: Size) -> Result<usize, LayoutProblem> {
        let [mut channels, ..] = assembly.axes::<3>(self.constant)?;
        assembly.put(self.constant, "synthesis.b4.const".into(), &[channels, base.height, base.width])?;
        let [_, w_dim] = assembly.axes(&(self.conv)(0).style_weight)?;
        let last_rgb = (self.rgb)(extent.blocks - 1).weight;
        let [picture, ..] = assembly.axes::<4>(&last_rgb)?;
        check_picture(picture, &last_rgb, &assembly.shape(&last_rgb))?;
        for n in 0..2 * extent.blocks - 1 {
            let (layer, name, block) = ((self.conv)(n), conv_name(n), block_name(n.div_ceil(2)));
            let size = base.doubled(n.div_ceil(2));
            let [out, ..] = assembly.axes::<4>(&layer.weight)?;
            let reversed = n % 2 == 1 && self.up_kernels_reversed;
            let kernel = if reversed { vec![Change::Flip] } else { Vec::new() };
            if let Some(skip) = self.skip.filter(|_| n % 2 == 1 && extent.architecture == Architecture::Residual) {
                // The shortcut ends where the block does.
                let [block_out, ..] = assembly.axes::<4>(&(self.conv)(n + 1).weight)?;
                let canonical = format!("{block}.skip.weight");
                assembly.put(&skip(n / 2 + 1), canonical, &[block_out, channels, 1, 1])?;
            }
            assembly.put_changed(&layer.weight, format!("{name}.weight"), &[out, channels, 3, 3], kernel)?;
            let gain = Change::scale(if self.is_folded { FRAC_1_SQRT_2 } else { 1.0 });
            assembly.put_changed(&layer.bias, format!("{name}.bias"), &[out], gain.clone())?;
            self.put_style(assembly, &layer, &name, channels, w_dim)?;
            if let Some([noise, strength]) = layer.noise.as_ref().filter(|_| extent.noise != Noise::None) {
                assembly.put_changed(strength, format!("{name}.noise_strength"), &[], gain)?;
                if extent.noise == Noise::Pictures {
                    assembly.put(noise, format!("{name}.noise_const"), &[size.height, size.width])?;
                }
            }
            channels = out;
            if n % 2 == 0 && extent.has_rgb(n / 2) {
                let (rgb, name) = ((self.rgb)(n / 2), format!("{block}.torgb"));
                let unfold = self.unfold(channels);
                assembly.put_changed(&rgb.weight, format!("{name}.weight"), &[picture, channels, 1, 1], unfold)?;
                assembly.put(&rgb.bias, format!("{name}.bias"), &[picture])?;
                self.put_style(assembly, &rgb, &name, channels, w_dim)?;
            }
        }
        Ok(w_dim)
    }

    fn put_style(
        &self,
        assembly: &mut Assembly<'_>,
        layer: &Layer,
        name: &str,
        channels: usize,
        w_dim: usize,
    ) -> Result<(), LayoutProblem> {
        let (weight, unfold) = (format!("{name}.affine.weight"), self.unfold(w_dim));
        assembly.put_changed(&layer.style_weight, weight, &[channels, w_dim], unfold)?;
        let bias = if self.style_bias_lacks_one { vec![Change::AddOne] } else { Vec::new() };
        assembly.put_changed(&layer.style_bias, format!("{name}.affine.bias"), &[channels], bias)
    }

    fn unfold_mapping(&self, assembly: &mut Assembly<'_>, layers: usize) {
        for i in 0..layers {
            let name = format!("mapping.fc{i}.weight");
            if let Some(inputs) = assembly.canonical_shape(&name).and_then(|shape| shape.last().copied()) {
                assembly.change(&name, self.unfold(inputs));
            }
        }
    }

    /// Takes the scale by the number of inputs out of a stored weight, if it is in there.
    fn unfold(&self, inputs: usize) -> Vec<Change> {
        Change::scale(if self.is_folded { (inputs as f32).sqrt() } else { 1.0 })
    }

    fn is_filter(&self, name: &str) -> bool {
        name.rsplit('.').next() == Some(self.filter.0)
    }

    /// The renderer has the taps [1,3,3,1] built in, as all public models do.
    fn check_filters(&self, state: &StateDict, extent: &Extent) -> Result<(), LayoutProblem> {
        const TAPS: [f32; 4] = [1.0, 3.0, 3.0, 1.0];
        let gain = self.filter.1;
        // Some forks keep a filter for every convolution; those that do not double the size have no use for it.
        let weights: Vec<String> = (0..extent.blocks).map(|block| (self.conv)(2 * block).weight).collect();
        let idle: Vec<&str> = weights.iter().filter_map(|name| Some(&name[..=name.rfind('.')?])).collect();
        let is_idle = |name: &str| idle.iter().any(|module| name.starts_with(module));
        for (name, tensor) in state.iter().filter(|(name, _)| self.is_filter(name) && !is_idle(name)) {
            if !tensor.shape().ends_with(&[4, 4]) || tensor.len() != 16 {
                return Err(LayoutProblem::shape(name, &[4, 4], tensor.shape()));
            }
            let expected = TAPS.iter().flat_map(|y| TAPS.map(|x| x * y * gain / 64.0));
            if tensor
                .to_f32()?
                .into_iter()
                .zip(expected)
                .any(|(found, expected)| (found - expected).abs() > 1e-4 * gain)
            {
                let what =
                    "expected the standard filter [1, 3, 3, 1], found other taps, which are not drawn right here";
                return Err(LayoutProblem::content(name, what));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_named_as_in_the_public_networks() {
        let names: Vec<String> = (0..5).map(conv_name).collect();
        assert_eq!(
            names,
            [
                "synthesis.b4.conv1",
                "synthesis.b8.conv0",
                "synthesis.b8.conv1",
                "synthesis.b16.conv0",
                "synthesis.b16.conv1"
            ]
        );
    }
}
