//! What the StyleGAN2 layouts have in common: the same tensors under other names, with small differences of convention.

use std::collections::HashSet;

use super::error::{LayoutProblem, Names};
use super::state_dict::StateDict;
use super::weights::{Canonical, Change, Entry};

/// Blocks of the largest network: 8192 pixels.
const MAX_BLOCKS: usize = 12;
const MAX_DENSE: usize = 64;

/// Where a layout keeps each tensor, and how its conventions differ from the canonical ones.
pub(super) struct Spelling {
    /// "nvidia", "genforce", "rosinality".
    pub(super) layout: &'static str,
    pub(super) constant: &'static str,
    pub(super) mean_w: &'static str,
    /// Prefix of mapping layer i, with the dot.
    pub(super) dense: fn(usize) -> String,
    /// Tensors of style layer n: 0 is the 4x4 convolution, odd ones up-sample.
    pub(super) conv: fn(usize) -> Layer,
    /// Tensors of the RGB layer of block b.
    pub(super) rgb: fn(usize) -> Layer,
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

/// Number of blocks and of mapping layers, as far as the names tell.
struct Extent {
    blocks: usize,
    dense: usize,
}

impl Spelling {
    fn extent(&self, state: &StateDict) -> Extent {
        // One past the limit, so that a larger network is seen and refused.
        let convs = (0..=2 * MAX_BLOCKS).filter(|&n| state.has(&(self.conv)(n).weight)).max().unwrap_or(0);
        let dense = (0..=MAX_DENSE).filter(|&i| state.has(&format!("{}weight", (self.dense)(i)))).max();
        Extent { blocks: convs.div_ceil(2) + 1, dense: dense.map_or(1, |last| last + 1) }
    }

    /// Names of all tensors that a network of this extent needs.
    fn required(&self, extent: &Extent) -> Vec<String> {
        let dense = (0..extent.dense).map(self.dense).flat_map(|p| [format!("{p}weight"), format!("{p}bias")]);
        let convs = (0..2 * extent.blocks - 1).map(self.conv).flat_map(Layer::names);
        let rgbs = (0..extent.blocks).map(self.rgb).flat_map(Layer::names);
        std::iter::once(self.constant.to_string()).chain(dense).chain(convs).chain(rgbs).collect()
    }

    /// How much of this layout is there: the share of the tensors that are present, and the missing ones.
    pub(super) fn likeness(&self, state: &StateDict) -> (f64, Names) {
        let required = self.required(&self.extent(state));
        let total = required.len();
        let missing: Vec<String> = required.into_iter().filter(|name| !state.has(name)).collect();
        ((total - missing.len()) as f64 / total as f64, Names(missing))
    }

    /// The canonical tensors, and the names of the tensors that no part of the network uses.
    pub(super) fn assemble(&self, state: &StateDict) -> Result<(Canonical, Vec<String>), LayoutProblem> {
        let extent = self.extent(state);
        if extent.blocks > MAX_BLOCKS || extent.dense > MAX_DENSE {
            let what = format!("StyleGAN2 ({}) of more than 8192 pixels or {MAX_DENSE} mapping layers", self.layout);
            return Err(LayoutProblem::Unsupported { what });
        }
        let missing: Vec<String> = self.required(&extent).into_iter().filter(|name| !state.has(name)).collect();
        if !missing.is_empty() {
            let layout = format!("StyleGAN2 ({})", self.layout);
            return Err(LayoutProblem::Missing { layout, names: Names(missing) });
        }
        let mut assembly = Assembly { state, tensors: Canonical::new(), used: HashSet::new() };
        self.synthesis(&mut assembly, extent.blocks)?;
        self.mapping(&mut assembly, extent.dense)?;
        self.check_filters(state)?;
        let unused = state.names().filter(|name| !assembly.used.contains(*name) && !self.is_filter(name));
        Ok((assembly.tensors, unused.map(String::from).collect()))
    }

    fn synthesis(&self, assembly: &mut Assembly<'_>, blocks: usize) -> Result<(), LayoutProblem> {
        let [mut channels, _, _] = assembly.axes(self.constant)?;
        assembly.put(self.constant, "synthesis.b4.const".into(), &[channels, 4, 4], Change::None)?;
        let [_, w_dim] = assembly.axes(&(self.conv)(0).style_weight)?;
        let [picture, ..] = assembly.axes::<4>(&(self.rgb)(0).weight)?;
        if !matches!(picture, 1 | 3 | 4) {
            let found = assembly.shape(&(self.rgb)(0).weight);
            let expected = format!("[1, 3 or 4, {channels}, 1, 1]");
            return Err(LayoutProblem::Shape { tensor: (self.rgb)(0).weight, expected, found });
        }
        let style = if self.style_bias_lacks_one { Change::AddOne } else { Change::None };
        for n in 0..2 * blocks - 1 {
            let (layer, name, size) = ((self.conv)(n), conv_name(n), resolution(n));
            let [out, ..] = assembly.axes::<4>(&layer.weight)?;
            let kernel = if n % 2 == 1 && self.up_kernels_reversed { Change::Flip } else { Change::None };
            assembly.put(&layer.weight, format!("{name}.weight"), &[out, channels, 3, 3], kernel)?;
            assembly.put(&layer.bias, format!("{name}.bias"), &[out], Change::None)?;
            assembly.put_style(&layer, &name, channels, w_dim, style)?;
            if let Some([noise, strength]) = &layer.noise {
                assembly.put(noise, format!("{name}.noise_const"), &[size, size], Change::None)?;
                assembly.put(strength, format!("{name}.noise_strength"), &[], Change::None)?;
            }
            channels = out;
            if n % 2 == 0 {
                let (rgb, name) = ((self.rgb)(n / 2), format!("synthesis.b{size}.torgb"));
                assembly.put(&rgb.weight, format!("{name}.weight"), &[picture, channels, 1, 1], Change::None)?;
                assembly.put(&rgb.bias, format!("{name}.bias"), &[picture], Change::None)?;
                assembly.put_style(&rgb, &name, channels, w_dim, style)?;
            }
        }
        if assembly.state.has(self.mean_w) {
            assembly.put(self.mean_w, "mapping.w_avg".into(), &[w_dim], Change::None)?;
        }
        Ok(())
    }

    /// z -> w: each layer as wide as the next one needs, the last one as wide as w.
    fn mapping(&self, assembly: &mut Assembly<'_>, layers: usize) -> Result<(), LayoutProblem> {
        let [_, w_dim] = assembly.axes(&(self.conv)(0).style_weight)?;
        let [_, mut width] = assembly.axes(&format!("{}weight", (self.dense)(0)))?;
        for i in 0..layers {
            let prefix = (self.dense)(i);
            let [out, _] = assembly.axes(&format!("{prefix}weight"))?;
            let out = if i + 1 == layers { w_dim } else { out };
            assembly.put(&format!("{prefix}weight"), format!("mapping.fc{i}.weight"), &[out, width], Change::None)?;
            assembly.put(&format!("{prefix}bias"), format!("mapping.fc{i}.bias"), &[out], Change::None)?;
            width = out;
        }
        Ok(())
    }

    fn is_filter(&self, name: &str) -> bool {
        name.rsplit('.').next() == Some(self.filter.0)
    }

    /// The renderer has the taps [1,3,3,1] built in, as all public models do.
    fn check_filters(&self, state: &StateDict) -> Result<(), LayoutProblem> {
        const TAPS: [f32; 4] = [1.0, 3.0, 3.0, 1.0];
        let gain = self.filter.1;
        for (name, tensor) in state.iter().filter(|(name, _)| self.is_filter(name)) {
            if !same_up_to_ones(tensor.shape(), &[4, 4]) {
                return Err(LayoutProblem::shape(name, &[4, 4], tensor.shape()));
            }
            let expected = TAPS.iter().flat_map(|y| TAPS.map(|x| x * y * gain / 64.0));
            if tensor.to_f32().into_iter().zip(expected).any(|(found, expected)| (found - expected).abs() > 1e-4 * gain)
            {
                let what =
                    "expected the standard filter [1, 3, 3, 1], found other taps, which are not drawn right here";
                return Err(LayoutProblem::content(name, what));
            }
        }
        Ok(())
    }
}

struct Assembly<'a> {
    state: &'a StateDict,
    tensors: Canonical,
    used: HashSet<String>,
}

impl Assembly<'_> {
    fn shape(&self, name: &str) -> Vec<usize> {
        self.state.get(name).map(|tensor| tensor.shape().to_vec()).unwrap_or_default()
    }

    /// The last N axes of a tensor that has no others, except of length one in front.
    fn axes<const N: usize>(&self, name: &str) -> Result<[usize; N], LayoutProblem> {
        let shape = self.shape(name);
        let wrong =
            || LayoutProblem::Shape { tensor: name.into(), expected: format!("of {N} axes"), found: shape.clone() };
        let axes = shape.last_chunk::<N>().ok_or_else(wrong)?;
        if shape[..shape.len() - N].iter().any(|&axis| axis != 1) {
            return Err(wrong());
        }
        Ok(*axes)
    }

    /// Takes tensor `source` over as `canonical`. Axes of length one are free: layouts differ in them and in nothing else.
    fn put(
        &mut self,
        source: &str,
        canonical: String,
        expected: &[usize],
        change: Change,
    ) -> Result<(), LayoutProblem> {
        let Some(tensor) = self.state.get(source) else {
            return Err(LayoutProblem::content(source, "expected, found no such tensor"));
        };
        if !same_up_to_ones(tensor.shape(), expected) {
            return Err(LayoutProblem::shape(source, expected, tensor.shape()));
        }
        self.used.insert(source.into());
        self.tensors.insert(canonical, Entry { tensor: tensor.clone(), shape: expected.to_vec(), change });
        Ok(())
    }

    fn put_style(
        &mut self,
        layer: &Layer,
        name: &str,
        channels: usize,
        w_dim: usize,
        bias: Change,
    ) -> Result<(), LayoutProblem> {
        self.put(&layer.style_weight, format!("{name}.affine.weight"), &[channels, w_dim], Change::None)?;
        self.put(&layer.style_bias, format!("{name}.affine.bias"), &[channels], bias)
    }
}

fn same_up_to_ones(a: &[usize], b: &[usize]) -> bool {
    a.iter().filter(|&&axis| axis != 1).eq(b.iter().filter(|&&axis| axis != 1))
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
