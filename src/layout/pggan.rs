//! PGGAN (Karras et al. 2018), as genforce, InterFaceGAN and the TensorFlow original spell it.

use super::assembly::{Assembled, Assembly, PgganClasses, check_picture};
use super::entry::{Change, Entry};
use super::error::LayoutProblem;
use super::mapping::pair;
use super::state_dict::StateDict;
use crate::family::Family;

/// Blocks of the largest network: 8192 pixels.
const MAX_BLOCKS: usize = crate::limits::DOUBLINGS;

/// Where a layout keeps each tensor. Layer 2b up-samples to block b, layer 2b + 1 follows it.
pub(super) struct Spelling {
    pub(super) layout: &'static str,
    pub(super) lod: &'static str,
    /// Names of weight and bias of layer n.
    pub(super) layer: fn(usize) -> [String; 2],
    /// Layers that are fused with their up-sampling, in layouts that tell by the name.
    pub(super) fused: Option<Fused>,
    /// Names of weight and bias of a block's RGB output, given the number of blocks.
    pub(super) rgb: fn(usize, usize) -> [String; 2],
    /// Layer 0 is a dense layer `[C * 4 * 4, z]` instead of a convolution of a padded pixel `[C, z, 4, 4]`.
    pub(super) starts_dense: bool,
}

/// Where a layout keeps layer 2b if it is fused with its up-sampling.
#[derive(Clone, Copy)]
pub(super) struct Fused {
    /// Names of weight and bias.
    pub(super) layer: fn(usize) -> [String; 2],
    /// Which stored axes of the weight are `[out, in, height, width]`.
    pub(super) order: [usize; 4],
}

/// One layer of a file.
struct Layer {
    names: [String; 2],
    /// The order of the axes, if it is stored fused.
    fused: Option<[usize; 4]>,
}

pub(super) const GENFORCE: Spelling = Spelling {
    layout: "genforce",
    lod: "lod",
    layer: |n| pair(&format!("layer{n}.")),
    fused: None,
    rgb: |block, _| pair(&format!("output{block}.")),
    starts_dense: false,
};

impl Spelling {
    pub(super) fn matches(&self, state: &StateDict) -> bool {
        let [first, _] = (self.layer)(0);
        let rgb = (0..=MAX_BLOCKS).any(|blocks| state.has(&(self.rgb)(0, blocks)[0]));
        let rank = if self.starts_dense { 2 } else { 4 };
        rgb && state.get(&first).is_some_and(|weight| weight.shape().len() == rank)
    }

    fn layer(&self, state: &StateDict, n: usize) -> Layer {
        let fused = self.fused.filter(|_| n > 0 && n.is_multiple_of(2));
        let fused = fused.map(|fused| Layer { names: (fused.layer)(n), fused: Some(fused.order) });
        let fused = fused.filter(|layer| state.has(&layer.names[0]));
        fused.unwrap_or_else(|| Layer { names: (self.layer)(n), fused: None })
    }

    /// The canonical network.
    pub(super) fn assemble(&self, state: &StateDict) -> Result<Assembled, LayoutProblem> {
        let convs = (1..=2 * MAX_BLOCKS + 1).filter(|&n| state.has(&self.layer(state, n).names[0]));
        let blocks = convs.max().unwrap_or(1) / 2 + 1;
        if blocks > MAX_BLOCKS {
            return Err(LayoutProblem::unsupported(format!("a PGGAN ({}) of more than 8192 pixels", self.layout)));
        }
        let mut assembly = Assembly::new(state, Family::Pggan, self.layout);
        let mut layers: Vec<Layer> = (0..2 * blocks).map(|n| self.layer(state, n)).collect();
        let rgbs: Vec<[String; 2]> = (0..blocks).map(|block| (self.rgb)(block, blocks)).collect();
        let names = layers.iter().map(|layer| &layer.names).chain(&rgbs).flatten().cloned();
        assembly.require(names.chain([self.lod.to_string()]))?;

        let mut widths = Vec::new();
        for layer in &layers {
            let [width] = assembly.axes(&layer.names[1])?;
            widths.push(width);
        }
        let [first, _] = &layers[0].names;
        let inputs = self.put_first(&mut assembly, first, widths[0])?;
        if self.fused.is_none() && swapped(&assembly, &layers, &widths)? {
            layers.iter_mut().skip(2).step_by(2).for_each(|layer| layer.fused = Some([1, 0, 2, 3]));
        }
        for (n, layer) in layers.iter().enumerate().skip(1) {
            let (source, shape) = (&layer.names[0], [widths[n], widths[n - 1], 3, 3]);
            let canonical = format!("layer{n}.weight");
            let Some(order) = layer.fused else {
                assembly.put(source, canonical, &shape)?;
                continue;
            };
            // A transposed convolution, whose kernel is what nearest up-sampling needs, reversed.
            let mut stored = [0; 4];
            order.iter().zip(shape).for_each(|(&at, axis)| stored[at] = axis);
            let tensor = assembly.checked(source, &stored)?;
            let turned = tensor.permuted(&order);
            let turned = turned.ok_or_else(|| LayoutProblem::shape(source, &stored, tensor.shape()))?;
            assembly.insert(canonical, Entry { tensor: turned, shape: shape.to_vec(), changes: vec![Change::Flip] });
        }
        for (n, layer) in layers.iter().enumerate() {
            assembly.put(&layer.names[1], format!("layer{n}.bias"), &[widths[n]])?;
        }
        let [picture] = assembly.axes(&rgbs[0][1])?;
        for (block, [weight, bias]) in rgbs.iter().enumerate() {
            check_picture(picture, weight, &assembly.shape(weight))?;
            assembly.put(weight, format!("output{block}.weight"), &[picture, widths[2 * block + 1], 1, 1])?;
            assembly.put(bias, format!("output{block}.bias"), &[picture])?;
        }
        assembly.put(self.lod, "lod".into(), &[])?;
        let mut assembled = assembly.finish(|_| false);
        let told = state.attributes.iter().find(|(name, _)| name.ends_with(".label_size") || name == "label_size");
        assembled.pggan_classes = match told.and_then(|(_, labels)| *labels) {
            None | Some(0.0) => None,
            Some(labels) if labels > 0.0 && labels.fract() == 0.0 && labels < inputs as f64 => {
                Some(PgganClasses { count: labels as usize, normalised_with_z: self.starts_dense })
            }
            Some(labels) => {
                let what = format!("a PGGAN of {labels} classes, whose first layer has {inputs} inputs");
                return Err(LayoutProblem::unsupported(what));
            }
        };
        Ok(assembled)
    }

    /// Gives the number of inputs.
    fn put_first(&self, assembly: &mut Assembly<'_>, source: &str, width: usize) -> Result<usize, LayoutProblem> {
        let canonical = "layer0.weight".to_string();
        if !self.starts_dense {
            let [_, inputs, _, _] = assembly.axes::<4>(source)?;
            assembly.put(source, canonical, &[width, inputs, 4, 4])?;
            return Ok(inputs);
        }
        let [_, inputs] = assembly.axes(source)?;
        let expected = [width.saturating_mul(16), inputs];
        let tensor = assembly.checked(source, &expected)?;
        let kernels = tensor.split(0, &[width, 4, 4]).and_then(|tensor| tensor.permuted(&[0, 3, 1, 2]));
        let kernels = kernels.ok_or_else(|| LayoutProblem::shape(source, &expected, tensor.shape()))?;
        let shape = vec![width, inputs, 4, 4];
        assembly.insert(canonical, Entry { tensor: kernels, shape, changes: vec![Change::Flip] });
        Ok(inputs)
    }
}

/// Of the first layer's inputs the last may be the class: TensorFlow's files, pickled modules and converted files say how many.
/// State dicts do not, but all known networks have a z of 512 numbers or fewer.
pub(super) fn apply_classes(
    assembled: &mut Assembled,
    converted: bool,
    told: Option<(&str, bool)>,
) -> Result<(), LayoutProblem> {
    const Z: usize = 512;
    let inputs = assembled.tensors.get("layer0.weight").and_then(|entry| entry.shape.get(1)).copied().unwrap_or(0);
    match told.filter(|_| converted) {
        Some((told, normalised_with_z)) => {
            let Some(count) = told.parse().ok().filter(|count| (1..inputs).contains(count)) else {
                let what =
                    format!("expected 1 to {} classes in the metadata, found {told:.40}", inputs.saturating_sub(1));
                return Err(LayoutProblem::content("layer0.weight", what));
            };
            assembled.pggan_classes = Some(PgganClasses { count, normalised_with_z });
        }
        None if !converted && assembled.pggan_classes.is_none() && (Z + 1..2 * Z).contains(&inputs) => {
            let count = inputs - Z;
            assembled.pggan_classes =
                Some(PgganClasses { count, normalised_with_z: assembled.layout == TENSORFLOW.layout });
            assembled.warnings.push(format!(
                "the first layer has {inputs} inputs: read as a z of {Z} and {count} classes, which the file does not say"
            ));
        }
        None => {}
    }
    Ok(())
}

/// True if the up-sampling layers are stored `[in, out, 3, 3]`, as far as one that is not square tells. All public files
/// whose layers are all square are plain.
fn swapped(assembly: &Assembly<'_>, layers: &[Layer], widths: &[usize]) -> Result<bool, LayoutProblem> {
    for n in (2..layers.len()).step_by(2) {
        let [first, second, ..] = assembly.axes::<4>(&layers[n].names[0])?;
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
        0 => pair("4x4/Dense/"),
        1 => pair("4x4/Conv/"),
        _ => pair(&format!("{0}x{0}/Conv{1}/", 4usize << (n / 2), n % 2)),
    },
    fused: Some(Fused { layer: |n| pair(&format!("{0}x{0}/Conv0_up/", 4usize << (n / 2))), order: [1, 0, 2, 3] }),
    rgb: |block, blocks| pair(&format!("ToRGB_lod{}/", blocks.saturating_sub(block + 1))),
    starts_dense: true,
};
