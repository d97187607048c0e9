//! The mapping network of StyleGAN 1 to 3: z, and the class where there is one, to w.

use super::assembly::Assembly;
use super::entry::{Change, Entry};
use super::error::LayoutProblem;
use super::state_dict::StateDict;
use crate::limits::MAPPING_LAYERS;

/// Where a layout keeps the tensors of the mapping network.
#[derive(Clone, Copy)]
pub(super) struct Mapping {
    /// Names of the weight and the bias of layer i.
    pub(super) dense: fn(usize) -> [String; 2],
    /// What is stored times this is canonical: weights and biases of a layer that has a gain of sqrt(2) and a learning rate of
    /// 0.01 in its arithmetic.
    pub(super) scale: f32,
    /// Prefix of the class embedding that is normalised by itself (ADA), with the separator.
    pub(super) embed: Option<&'static str>,
    /// The class embedding that is normalised together with z (LabelConcat).
    pub(super) label: Option<&'static str>,
    pub(super) mean_w: &'static str,
}

/// Weight and bias under one prefix, which ends with the separator.
pub(super) fn pair(prefix: &str) -> [String; 2] {
    ["weight", "bias"].map(|part| format!("{prefix}{part}"))
}

impl Mapping {
    /// Number of layers, as far as the names tell.
    pub(super) fn layers(&self, state: &StateDict) -> usize {
        let last = (0..=MAPPING_LAYERS).filter(|&i| state.has(&(self.dense)(i)[0])).max();
        last.map_or(1, |last| last + 1)
    }

    pub(super) fn required(&self, layers: usize) -> impl Iterator<Item = String> {
        (0..layers).flat_map(self.dense)
    }

    /// Takes the network over: each layer as wide as the next one needs, the last one as wide as w. `dense` is the canonical
    /// prefix of the layers, without their number.
    pub(super) fn put(&self, assembly: &mut Assembly<'_>, dense: &str, w_dim: usize) -> Result<(), LayoutProblem> {
        let layers = self.layers(assembly.state);
        if layers > MAPPING_LAYERS {
            return Err(LayoutProblem::unsupported(format!("a network of more than {MAPPING_LAYERS} mapping layers")));
        }
        let [first, _] = (self.dense)(0);
        let [_, mut width] = assembly.axes(&first)?;
        let mut embedded = 0;
        if let Some(prefix) = self.embed.filter(|prefix| assembly.state.has(&format!("{prefix}weight"))) {
            let weight = format!("{prefix}weight");
            let [out, classes] = assembly.axes(&weight)?;
            assembly.put(&weight, "mapping.embed.weight".into(), &[out, classes])?;
            assembly.put(&format!("{prefix}bias"), "mapping.embed.bias".into(), &[out])?;
            embedded += out;
        }
        if let Some(label) = self.label.filter(|label| assembly.state.has(label)) {
            let [classes, out] = assembly.axes(label)?;
            assembly.put(label, "mapping.label_weight".into(), &[classes, out])?;
            embedded = out.saturating_add(embedded);
        }
        if width <= embedded {
            let expected = format!("more columns than the {embedded} of the class");
            return Err(LayoutProblem::Shape { found: assembly.shape(&first), tensor: first, expected });
        }
        for i in 0..layers {
            let [weight, bias] = (self.dense)(i);
            let [out, _] = assembly.axes(&weight)?;
            let out = if i + 1 == layers { w_dim } else { out };
            assembly.put_changed(&weight, format!("{dense}{i}.weight"), &[out, width], Change::scale(self.scale))?;
            assembly.put_changed(&bias, format!("{dense}{i}.bias"), &[out], Change::scale(self.scale))?;
            width = out;
        }
        Ok(())
    }

    /// Takes the mean w over, one or one for every layer; false if the file has none.
    pub(super) fn put_mean(
        &self,
        assembly: &mut Assembly<'_>,
        canonical: &str,
        layers: usize,
        w_dim: usize,
    ) -> Result<bool, LayoutProblem> {
        let Some(mean) = assembly.state.get(self.mean_w) else { return Ok(false) };
        let all = w_dim.saturating_mul(layers);
        let (stored, shape) = match mean.shape() {
            [rows, width] if [*rows, *width] == [layers, w_dim] => (vec![layers, w_dim], vec![all]),
            [length] if *length == all => (vec![all], vec![all]),
            _ => (vec![w_dim], vec![w_dim]),
        };
        let tensor = assembly.checked(self.mean_w, &stored)?.clone();
        assembly.insert(canonical.into(), Entry { tensor, shape, changes: Vec::new() });
        Ok(true)
    }
}
