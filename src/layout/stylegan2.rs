//! What the StyleGAN2 layouts have in common: the same tensors under other names, with small differences of convention.

use super::assembly::{Assembled, Assembly, check_picture};
use super::entry::Change;
use super::error::{LayoutProblem, Names};
use super::mapping::Mapping;
use super::state_dict::StateDict;
use crate::generator::Family;

/// Blocks of the largest network: 8192 pixels.
const MAX_BLOCKS: usize = 12;

/// Where a layout keeps each tensor, and how its conventions differ from the canonical ones.
pub(super) struct Spelling {
    /// "nvidia", "genforce", "rosinality", "tensorflow".
    pub(super) layout: &'static str,
    pub(super) constant: &'static str,
    pub(super) mapping: Mapping,
    /// Tensors of style layer n: 0 is the 4x4 convolution, odd ones up-sample.
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
    format!("synthesis.b{}.conv{}", resolution(n), if n == 0 { 1 } else { (n + 1) % 2 })
}

/// Width and height of the output of style layer n.
fn resolution(n: usize) -> usize {
    4 << n.div_ceil(2)
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
}

impl Extent {
    fn has_rgb(&self, block: usize) -> bool {
        self.architecture == Architecture::Skip || block + 1 == self.blocks
    }
}

impl Spelling {
    fn extent(&self, state: &StateDict) -> Extent {
        // One past the limit, so that a larger network is seen and refused.
        let convs = (0..=2 * MAX_BLOCKS).filter(|&n| state.has(&(self.conv)(n).weight)).max().unwrap_or(0);
        let blocks = convs.div_ceil(2) + 1;
        let some_rgb = |block| (self.rgb)(block).names().any(|name| state.has(&name));
        let architecture = if (0..blocks - 1).any(some_rgb) || !some_rgb(blocks - 1) {
            Architecture::Skip
        } else if (1..blocks).any(|block| self.skip.is_some_and(|skip| state.has(&skip(block)))) {
            Architecture::Residual
        } else {
            Architecture::Original
        };
        Extent { blocks, dense: self.mapping.layers(state), architecture }
    }

    /// Names of all tensors that a network of this extent needs.
    fn required(&self, extent: &Extent) -> Vec<String> {
        let convs = (0..2 * extent.blocks - 1).map(self.conv).flat_map(Layer::names);
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
        let extent = self.extent(state);
        if extent.blocks > MAX_BLOCKS {
            return Err(LayoutProblem::unsupported(format!("a StyleGAN2 ({}) of more than 8192 pixels", self.layout)));
        }
        let mut assembly = Assembly::new(state, Family::StyleGan2, self.layout);
        assembly.require(self.required(&extent))?;
        let w_dim = self.synthesis(&mut assembly, &extent)?;
        self.mapping.put(&mut assembly, "mapping.fc", w_dim)?;
        self.mapping.put_mean(&mut assembly, "mapping.w_avg", 2 * extent.blocks, w_dim)?;
        self.check_filters(state)?;
        Ok(assembly.finish(|name| self.is_filter(name)))
    }

    /// Takes the synthesis network over; gives the width of w.
    fn synthesis(&self, assembly: &mut Assembly<'_>, extent: &Extent) -> Result<usize, LayoutProblem> {
        let [mut channels, height, width] = assembly.axes(self.constant)?;
        if height != width {
            let what = format!("a StyleGAN2 for oblong pictures ({} is {height}x{width})", self.constant);
            return Err(LayoutProblem::foreign(what, "Only square networks, which start from 4x4, can be opened"));
        }
        assembly.put(self.constant, "synthesis.b4.const".into(), &[channels, 4, 4])?;
        let [_, w_dim] = assembly.axes(&(self.conv)(0).style_weight)?;
        let last_rgb = (self.rgb)(extent.blocks - 1).weight;
        let [picture, ..] = assembly.axes::<4>(&last_rgb)?;
        check_picture(picture, &last_rgb, &assembly.shape(&last_rgb))?;
        for n in 0..2 * extent.blocks - 1 {
            let (layer, name, size) = ((self.conv)(n), conv_name(n), resolution(n));
            let [out, ..] = assembly.axes::<4>(&layer.weight)?;
            let reversed = n % 2 == 1 && self.up_kernels_reversed;
            let kernel = if reversed { vec![Change::Flip] } else { Vec::new() };
            if let Some(skip) = self.skip.filter(|_| n % 2 == 1 && extent.architecture == Architecture::Residual) {
                // The shortcut ends where the block does.
                let [block_out, ..] = assembly.axes::<4>(&(self.conv)(n + 1).weight)?;
                let canonical = format!("synthesis.b{size}.skip.weight");
                assembly.put(&skip(n / 2 + 1), canonical, &[block_out, channels, 1, 1])?;
            }
            assembly.put_changed(&layer.weight, format!("{name}.weight"), &[out, channels, 3, 3], kernel)?;
            assembly.put(&layer.bias, format!("{name}.bias"), &[out])?;
            self.put_style(assembly, &layer, &name, channels, w_dim)?;
            if let Some([noise, strength]) = &layer.noise {
                assembly.put(noise, format!("{name}.noise_const"), &[size, size])?;
                assembly.put(strength, format!("{name}.noise_strength"), &[])?;
            }
            channels = out;
            if n % 2 == 0 && extent.has_rgb(n / 2) {
                let (rgb, name) = ((self.rgb)(n / 2), format!("synthesis.b{size}.torgb"));
                assembly.put(&rgb.weight, format!("{name}.weight"), &[picture, channels, 1, 1])?;
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
        assembly.put(&layer.style_weight, format!("{name}.affine.weight"), &[channels, w_dim])?;
        let bias = if self.style_bias_lacks_one { vec![Change::AddOne] } else { Vec::new() };
        assembly.put_changed(&layer.style_bias, format!("{name}.affine.bias"), &[channels], bias)
    }

    fn is_filter(&self, name: &str) -> bool {
        name.rsplit('.').next() == Some(self.filter.0)
    }

    /// The renderer has the taps [1,3,3,1] built in, as all public models do.
    fn check_filters(&self, state: &StateDict) -> Result<(), LayoutProblem> {
        const TAPS: [f32; 4] = [1.0, 3.0, 3.0, 1.0];
        let gain = self.filter.1;
        for (name, tensor) in state.iter().filter(|(name, _)| self.is_filter(name)) {
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
