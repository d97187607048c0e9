//! PGGAN (Karras et al. 2018), as genforce and as the TensorFlow original spell it.

use super::assembly::{Assembled, Assembly, check_picture};
use super::entry::{Change, Entry};
use super::error::LayoutProblem;
use super::state_dict::StateDict;
use crate::generator::Family;

/// Blocks of the largest network: 8192 pixels.
const MAX_BLOCKS: usize = 12;

/// Where a layout keeps each tensor. Layer 2b up-samples to block b, layer 2b + 1 follows it.
pub(super) struct Spelling {
    pub(super) layout: &'static str,
    pub(super) lod: &'static str,
    /// Prefix of layer n, with the separator.
    pub(super) layer: fn(usize) -> String,
    /// Prefix of layer 2b if it is fused with its up-sampling, in layouts that tell by the name.
    pub(super) fused_layer: Option<fn(usize) -> String>,
    /// Prefix of the RGB output of a block, given the number of blocks.
    pub(super) rgb: fn(usize, usize) -> String,
    /// Layer 0 is a dense layer `[C * 4 * 4, z]` instead of a convolution of a padded pixel `[C, z, 4, 4]`.
    pub(super) starts_dense: bool,
}

pub(super) const GENFORCE: Spelling = Spelling {
    layout: "genforce",
    lod: "lod",
    layer: |n| format!("layer{n}."),
    fused_layer: None,
    rgb: |block, _| format!("output{block}."),
    starts_dense: false,
};

impl Spelling {
    pub(super) fn matches(&self, state: &StateDict) -> bool {
        let first = format!("{}weight", (self.layer)(0));
        let rgb = (0..=MAX_BLOCKS).any(|blocks| state.has(&format!("{}weight", (self.rgb)(0, blocks))));
        let rank = if self.starts_dense { 2 } else { 4 };
        rgb && state.get(&first).is_some_and(|weight| weight.shape().len() == rank)
    }

    /// Prefix of layer n, and whether its name says that it is fused.
    fn prefix(&self, state: &StateDict, n: usize) -> (String, bool) {
        let fused = self.fused_layer.map(|name| name(n)).filter(|name| state.has(&format!("{name}weight")));
        match fused.filter(|_| n.is_multiple_of(2)) {
            Some(name) => (name, true),
            None => ((self.layer)(n), false),
        }
    }

    /// The canonical network.
    pub(super) fn assemble(&self, state: &StateDict) -> Result<Assembled, LayoutProblem> {
        let labels = state.attributes.iter().find(|(name, _)| name.ends_with(".label_size"));
        if let Some((_, Some(labels))) = labels.filter(|(_, labels)| labels.is_some_and(|labels| labels > 0.0)) {
            return Err(LayoutProblem::unsupported(format!("a PGGAN of {labels} classes")));
        }
        let convs = (1..=2 * MAX_BLOCKS + 1).filter(|&n| state.has(&format!("{}weight", self.prefix(state, n).0)));
        let blocks = convs.max().unwrap_or(1) / 2 + 1;
        if blocks > MAX_BLOCKS {
            return Err(LayoutProblem::unsupported(format!("a PGGAN ({}) of more than 8192 pixels", self.layout)));
        }
        let mut assembly = Assembly::new(state, Family::Pggan, self.layout);
        let layers: Vec<(String, bool)> = (0..2 * blocks).map(|n| self.prefix(state, n)).collect();
        let rgbs: Vec<String> = (0..blocks).map(|block| (self.rgb)(block, blocks)).collect();
        let parts = layers.iter().map(|(prefix, _)| prefix).chain(&rgbs);
        let names = parts.flat_map(|prefix| [format!("{prefix}weight"), format!("{prefix}bias")]);
        assembly.require(names.chain([self.lod.to_string()]))?;

        let mut widths = Vec::new();
        for (prefix, _) in &layers {
            let [width] = assembly.axes(&format!("{prefix}bias"))?;
            widths.push(width);
        }
        self.put_first(&mut assembly, &layers[0].0, widths[0])?;
        let all_fused = self.fused_layer.is_none() && swapped(&assembly, &layers, &widths)?;
        for (n, (prefix, fused)) in layers.iter().enumerate().skip(1) {
            let (input, output) = (widths[n - 1], widths[n]);
            let (source, canonical) = (format!("{prefix}weight"), format!("layer{n}.weight"));
            if *fused || all_fused && n.is_multiple_of(2) {
                // A transposed convolution, whose kernel is what nearest up-sampling needs, reversed.
                let tensor = assembly.checked(&source, &[input, output, 3, 3])?;
                let turned = tensor.permuted(&[1, 0, 2, 3]);
                let turned =
                    turned.ok_or_else(|| LayoutProblem::shape(&source, &[input, output, 3, 3], tensor.shape()))?;
                let shape = vec![output, input, 3, 3];
                assembly.insert(canonical, Entry { tensor: turned, shape, changes: vec![Change::Flip] });
            } else {
                assembly.put(&source, canonical, &[output, input, 3, 3])?;
            }
        }
        for (n, (prefix, _)) in layers.iter().enumerate() {
            assembly.put(&format!("{prefix}bias"), format!("layer{n}.bias"), &[widths[n]])?;
        }
        let [picture] = assembly.axes(&format!("{}bias", rgbs[0]))?;
        for (block, prefix) in rgbs.iter().enumerate() {
            let weight = format!("{prefix}weight");
            check_picture(picture, &weight, &assembly.shape(&weight))?;
            assembly.put(&weight, format!("output{block}.weight"), &[picture, widths[2 * block + 1], 1, 1])?;
            assembly.put(&format!("{prefix}bias"), format!("output{block}.bias"), &[picture])?;
        }
        assembly.put(self.lod, "lod".into(), &[])?;
        Ok(assembly.finish(|_| false))
    }

    fn put_first(&self, assembly: &mut Assembly<'_>, prefix: &str, width: usize) -> Result<(), LayoutProblem> {
        let (source, canonical) = (format!("{prefix}weight"), "layer0.weight".to_string());
        if !self.starts_dense {
            let [_, z_dim, _, _] = assembly.axes::<4>(&source)?;
            return assembly.put(&source, canonical, &[width, z_dim, 4, 4]);
        }
        let [_, z_dim] = assembly.axes(&source)?;
        let expected = [width.saturating_mul(16), z_dim];
        let tensor = assembly.checked(&source, &expected)?;
        let kernels = tensor.split(0, &[width, 4, 4]).and_then(|tensor| tensor.permuted(&[0, 3, 1, 2]));
        let kernels = kernels.ok_or_else(|| LayoutProblem::shape(&source, &expected, tensor.shape()))?;
        let shape = vec![width, z_dim, 4, 4];
        assembly.insert(canonical, Entry { tensor: kernels, shape, changes: vec![Change::Flip] });
        Ok(())
    }
}

/// True if the up-sampling layers are stored `[in, out, 3, 3]`, as far as one that is not square tells. All public files
/// whose layers are all square are plain.
fn swapped(assembly: &Assembly<'_>, layers: &[(String, bool)], widths: &[usize]) -> Result<bool, LayoutProblem> {
    for n in (2..layers.len()).step_by(2) {
        let [first, second, ..] = assembly.axes::<4>(&format!("{}weight", layers[n].0))?;
        if first != second {
            return Ok([first, second] == [widths[n - 1], widths[n]]);
        }
    }
    Ok(false)
}

/// The original's names (tkarras/progressive_growing_of_gans), with the axes in PyTorch's order.
pub(super) const TENSORFLOW: Spelling = Spelling {
    layout: "tensorflow",
    lod: "lod",
    layer: |n| match n {
        0 => "4x4/Dense/".into(),
        1 => "4x4/Conv/".into(),
        _ => format!("{0}x{0}/Conv{1}/", 4usize << (n / 2), n % 2),
    },
    fused_layer: Some(|n| format!("{0}x{0}/Conv0_up/", 4usize << (n / 2))),
    rgb: |block, blocks| format!("ToRGB_lod{}/", blocks.saturating_sub(block + 1)),
    starts_dense: true,
};
