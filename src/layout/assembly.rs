//! Putting canonical tensors together: shapes are checked, what was used is noted.

use std::collections::HashSet;
use std::sync::Arc;

use super::chain::Described;
use super::conventions::Conventions;
use super::entry::{Canonical, Change, Entry, SpectralNorm, Vectors};
use super::error::{LayoutProblem, Names};
use super::state_dict::StateDict;
use crate::checkpoint::Tensor;
use crate::family::Family;

/// A network in canonical form, and what is to be said about it.
#[derive(Debug)]
pub(super) struct Assembled {
    pub(super) family: Family,
    /// Naming scheme of the file.
    pub(super) layout: &'static str,
    pub(super) tensors: Canonical,
    /// Tensors that no part of the network uses.
    pub(super) unused: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) conventions: Conventions,
    /// What the layout only makes likely: the key of metadata that would tell, and what is said if it does not.
    pub(super) guesses: Vec<(&'static str, &'static str)>,
    pub(super) conv_clamp: Option<f32>,
    /// The file could have a clamp that it has no place to tell of.
    pub(super) clamp_unknown: bool,
    /// Added to variances; read by the families that have batch norms.
    pub(super) batch_norm_epsilon: f32,
    /// Of the batch norm before the picture, in BigGAN and BigGAN-deep.
    pub(super) last_norm_epsilon: f32,
    /// Added to the variances of StyleGAN's instance norms.
    pub(super) instance_norm_epsilon: f32,
    /// StyleGAN: both layers of a block share one noise picture.
    pub(super) noise_of_blocks: bool,
    pub(super) pggan_classes: Option<PgganClasses>,
    /// Networks that a recipe describes.
    pub(super) described: Described,
}

/// The classes of a PGGAN: as many of the first layer's inputs, the last ones, are a one-hot vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PgganClasses {
    pub(crate) count: usize,
    /// z and class are normalised as one vector (TensorFlow's networks); else z is, before the class comes to it.
    pub(crate) normalised_with_z: bool,
}

impl Assembled {
    pub(super) fn new(family: Family, layout: &'static str, tensors: Canonical) -> Assembled {
        Assembled {
            family,
            layout,
            tensors,
            unused: Vec::new(),
            warnings: Vec::new(),
            conventions: Conventions::default(),
            guesses: Vec::new(),
            conv_clamp: None,
            clamp_unknown: false,
            batch_norm_epsilon: BATCH_NORM_EPSILON,
            last_norm_epsilon: BATCH_NORM_EPSILON,
            instance_norm_epsilon: INSTANCE_NORM_EPSILON,
            noise_of_blocks: false,
            pggan_classes: None,
            described: Described::default(),
        }
    }
}

/// PyTorch's own.
pub(super) const BATCH_NORM_EPSILON: f32 = 1e-5;
/// StyleGAN's own.
pub(super) const INSTANCE_NORM_EPSILON: f32 = 1e-8;

/// Canonical tensors in the making.
pub(super) struct Assembly<'a> {
    pub(super) state: &'a StateDict,
    family: Family,
    layout: &'static str,
    tensors: Canonical,
    used: HashSet<String>,
    /// Of ajbrock's spectral norms.
    pub(super) spectral_epsilon: f64,
}

impl<'a> Assembly<'a> {
    pub(super) fn new(state: &'a StateDict, family: Family, layout: &'static str) -> Assembly<'a> {
        Assembly { state, family, layout, tensors: Canonical::new(), used: HashSet::new(), spectral_epsilon: 1e-6 }
    }

    /// Fails with all names that are missing, rather than with the first one.
    pub(super) fn require(&self, names: impl IntoIterator<Item = String>) -> Result<(), LayoutProblem> {
        let missing: Vec<String> = names.into_iter().filter(|name| !self.state.has(name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(LayoutProblem::Missing { layout: format!("{} ({})", self.family, self.layout), names: Names(missing) })
    }

    pub(super) fn shape(&self, name: &str) -> Vec<usize> {
        self.state.get(name).map(|tensor| tensor.shape().to_vec()).unwrap_or_default()
    }

    /// The last N axes of a tensor that has no others, except of length one in front.
    pub(super) fn axes<const N: usize>(&self, name: &str) -> Result<[usize; N], LayoutProblem> {
        let shape = self.tensor(name)?.shape();
        let wrong =
            || LayoutProblem::Shape { tensor: name.into(), expected: format!("of {N} axes"), found: shape.to_vec() };
        let axes = shape.last_chunk::<N>().ok_or_else(wrong)?;
        if shape[..shape.len() - N].iter().any(|&axis| axis != 1) {
            return Err(wrong());
        }
        Ok(*axes)
    }

    pub(super) fn tensor(&self, name: &str) -> Result<&'a Tensor, LayoutProblem> {
        self.state.get(name).ok_or_else(|| LayoutProblem::content(name, "expected, found no such tensor"))
    }

    /// Takes tensor `source` over as `canonical`. Axes of length one are free: layouts differ in them.
    pub(super) fn put(&mut self, source: &str, canonical: String, expected: &[usize]) -> Result<(), LayoutProblem> {
        self.put_changed(source, canonical, expected, Vec::new())
    }

    pub(super) fn put_changed(
        &mut self,
        source: &str,
        canonical: String,
        expected: &[usize],
        changes: Vec<Change>,
    ) -> Result<(), LayoutProblem> {
        let tensor = self.checked(source, expected)?.clone();
        self.insert(canonical, Entry { tensor, shape: expected.to_vec(), changes });
        Ok(())
    }

    /// Tensor `source`, whose shape must be `expected` up to axes of length one; counts as used.
    pub(super) fn checked(&mut self, source: &str, expected: &[usize]) -> Result<&'a Tensor, LayoutProblem> {
        let tensor = self.tensor(source)?;
        if !same_up_to_ones(tensor.shape(), expected) || tensor.is_empty() {
            return Err(LayoutProblem::shape(source, expected, tensor.shape()));
        }
        self.used.insert(source.into());
        Ok(tensor)
    }

    pub(super) fn insert(&mut self, canonical: String, entry: Entry) {
        self.tensors.insert(canonical, entry);
    }

    pub(super) fn canonical_shape(&self, canonical: &str) -> Option<&[usize]> {
        self.tensors.get(canonical).map(|entry| entry.shape.as_slice())
    }

    /// Further changes of a tensor that was taken over.
    pub(super) fn change(&mut self, canonical: &str, changes: Vec<Change>) {
        if let Some(entry) = self.tensors.get_mut(canonical) {
            entry.changes.extend(changes);
        }
    }

    /// A tensor that is known and of no use.
    pub(super) fn pass_over(&mut self, name: String) {
        self.used.insert(name);
    }

    /// The name of a module's weight: spectral normalisation of PyTorch's kind renames it.
    pub(super) fn weight_name(&self, module: &str) -> String {
        let renamed = format!("{module}.weight_orig");
        if self.state.has(&renamed) { renamed } else { format!("{module}.weight") }
    }

    /// A module's weight, whose shape must be `expected`, and the division that its spectral norm asks for, if it has one.
    pub(super) fn normed(
        &mut self,
        module: &str,
        expected: &[usize],
    ) -> Result<(&'a Tensor, Vec<Change>), LayoutProblem> {
        let name = self.weight_name(module);
        let weight = self.checked(&name, expected)?;
        let rows = expected.first().copied().unwrap_or(1).max(1);
        let columns = weight.len() / rows;
        let vectors = if name.ends_with("_orig") {
            let u = self.checked(&format!("{module}.weight_u"), &[rows])?.clone();
            let v = self.checked(&format!("{module}.weight_v"), &[columns])?.clone();
            Some(Vectors::Stored { u, v })
        } else if self.state.has(&format!("{module}.u0")) {
            let u = self.checked(&format!("{module}.u0"), &[rows])?.clone();
            self.pass_over(format!("{module}.sv0"));
            Some(Vectors::Iterated { u, epsilon: self.spectral_epsilon })
        } else {
            None
        };
        let norm = vectors.map(|vectors| SpectralNorm::new(weight.clone(), rows, vectors));
        let divide = norm.map(|norm| Change::Divide(Arc::new(norm)));
        Ok((weight, divide.into_iter().collect()))
    }

    /// As [`Assembly::put`], for the weight of a module that may have spectral normalisation.
    pub(super) fn put_normed(
        &mut self,
        module: &str,
        canonical: String,
        expected: &[usize],
    ) -> Result<(), LayoutProblem> {
        let (tensor, changes) = self.normed(module, expected)?;
        self.insert(canonical, Entry { tensor: tensor.clone(), shape: expected.to_vec(), changes });
        Ok(())
    }

    /// The result; names that are `known` without being used go without saying.
    pub(super) fn finish(self, known: impl Fn(&str) -> bool) -> Assembled {
        let unused = self.state.names().filter(|name| !self.used.contains(*name) && !known(name));
        let unused = unused.map(String::from).collect();
        Assembled { unused, ..Assembled::new(self.family, self.layout, self.tensors) }
    }
}

/// Grey, RGB or RGBA; `expected` is the rest of the shape for the message.
pub(super) fn check_picture(channels: usize, tensor: &str, found: &[usize]) -> Result<(), LayoutProblem> {
    if matches!(channels, 1 | 3 | 4) {
        return Ok(());
    }
    let rest: Vec<String> = found.iter().rev().take(3).rev().map(usize::to_string).collect();
    let expected = format!("[1, 3 or 4, {}]", rest.join(", "));
    Err(LayoutProblem::Shape { tensor: tensor.into(), expected, found: found.to_vec() })
}

fn same_up_to_ones(a: &[usize], b: &[usize]) -> bool {
    a.iter().filter(|&&axis| axis != 1).eq(b.iter().filter(|&&axis| axis != 1))
}
