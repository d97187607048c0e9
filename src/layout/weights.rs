//! Canonical weights: one spelling per family, read from the file when asked for.

use std::collections::BTreeMap;

use super::error::{LayoutError, LayoutProblem};
use crate::checkpoint::{Container, Tensor};
use crate::generator::Family;

/// The weights of one generator under canonical names.
///
/// StyleGAN2 has the names and conventions of NVIDIA's PyTorch state dict: `mapping.fc{i}.{weight,bias}`, `mapping.w_avg`,
/// `synthesis.b4.const` `[C,4,4]`, `synthesis.b{r}.{conv0,conv1,torgb}.{weight,bias,affine.weight,affine.bias}`, and of the
/// convolutions `noise_const` `[r,r]`, `noise_strength` `[]`. Kernels of `conv0` are those of a transposed convolution, style
/// biases contain the 1. DCGAN has those of PyTorch's tutorial: `main.{0,3,6,..}.weight[, bias]` and
/// `main.{1,4,..}.{weight,bias,running_mean,running_var}`.
#[derive(Debug)]
pub struct Weights {
    /// The file's name, for messages.
    pub file: String,
    pub family: Family,
    /// Naming scheme of the file: "nvidia", "genforce", "rosinality" or "sequential".
    pub layout: &'static str,
    pub container: Container,
    pub metadata: BTreeMap<String, String>,
    pub carries_code: bool,
    /// Parts of the file that were not used.
    pub ignored: Vec<String>,
    pub warnings: Vec<String>,
    /// StyleGAN2: every activation is clamped to +-this; `None` means no clamp.
    pub conv_clamp: Option<f32>,
    pub(super) tensors: Canonical,
}

/// Canonical name -> tensor.
pub(super) type Canonical = BTreeMap<String, Entry>;

/// A tensor of the file and what makes it canonical.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) tensor: Tensor,
    /// The canonical shape: that of `tensor` up to axes of length one.
    pub(super) shape: Vec<usize>,
    pub(super) change: Change,
}

/// How stored numbers become canonical ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// Both kernel axes are reversed.
    Flip,
    AddOne,
}

impl Entry {
    fn to_f32(&self) -> Vec<f32> {
        let mut values = self.tensor.to_f32();
        match self.change {
            Change::None => {}
            Change::Flip => {
                let kernel: usize = self.shape.iter().rev().take(2).product();
                values.chunks_exact_mut(kernel.max(1)).for_each(<[f32]>::reverse);
            }
            Change::AddOne => values.iter_mut().for_each(|value| *value += 1.0),
        }
        values
    }
}

impl Weights {
    /// Shape of a canonical tensor; `None` if the network has none of that name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|entry| entry.shape.as_slice())
    }

    /// Shape of a canonical tensor of N axes.
    ///
    /// # Errors
    /// There is no such tensor, or it has another number of axes.
    pub fn dims<const N: usize>(&self, name: &str) -> Result<[usize; N], LayoutError> {
        let found = self
            .shape(name)
            .ok_or_else(|| self.error(LayoutProblem::content(name, "expected, found no such tensor")))?;
        found.try_into().map_err(|_| {
            let expected = format!("of {N} axes");
            self.error(LayoutProblem::Shape { tensor: name.into(), expected, found: found.to_vec() })
        })
    }

    /// Canonical names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Canonical names and shapes, sorted by name.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|(name, entry)| (name.as_str(), entry.shape.as_slice()))
    }

    /// The values of a tensor in row-major order.
    ///
    /// # Errors
    /// There is no such tensor, its shape is not `expected`, or some value is not finite.
    pub fn get(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>, LayoutError> {
        self.find(name, expected)?.ok_or_else(|| {
            self.error(LayoutProblem::content(name, format!("expected shape {expected:?}, found no such tensor")))
        })
    }

    /// As [`Weights::get`], for tensors that a network may lack.
    ///
    /// # Errors
    /// The tensor's shape is not `expected`, or some value is not finite.
    pub fn find(&self, name: &str, expected: &[usize]) -> Result<Option<Vec<f32>>, LayoutError> {
        let Some(entry) = self.tensors.get(name) else { return Ok(None) };
        if entry.shape != expected {
            return Err(self.error(LayoutProblem::shape(name, expected, &entry.shape)));
        }
        let values = entry.to_f32();
        self.check_finite(name, values.iter().copied())?;
        Ok(Some(values))
    }

    fn check_finite(&self, name: &str, values: impl Iterator<Item = f32>) -> Result<(), LayoutError> {
        match values.enumerate().find(|(_, value)| !value.is_finite()) {
            None => Ok(()),
            Some((at, value)) => {
                let what = format!("expected finite numbers, found {value} as value {at}");
                Err(self.error(LayoutProblem::content(name, what)))
            }
        }
    }

    /// BLAKE3 in hex over names, shapes and little-endian f32 values: the same for every container, and for every layout
    /// that stores the same numbers. Read tensor by tensor.
    ///
    /// # Errors
    /// Some value is not finite.
    pub fn identity(&self) -> Result<String, LayoutError> {
        // Values turned to bytes at a time.
        const CHUNK: usize = 16 << 10;
        let mut hasher = blake3::Hasher::new();
        for (name, entry) in &self.tensors {
            // Lengths first, so that no two lists of tensors give the same bytes.
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
            hasher.update(&(entry.shape.len() as u64).to_le_bytes());
            for &axis in &entry.shape {
                hasher.update(&(axis as u64).to_le_bytes());
            }
            match (entry.change, entry.tensor.f32_bytes()) {
                (Change::None, Some(bytes)) => {
                    self.check_finite(name, bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)))?;
                    hasher.update(bytes);
                }
                _ => {
                    let values = entry.to_f32();
                    self.check_finite(name, values.iter().copied())?;
                    let mut bytes = Vec::with_capacity(4 * CHUNK);
                    for values in values.chunks(CHUNK) {
                        bytes.clear();
                        values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
                        hasher.update(&bytes);
                    }
                }
            }
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    fn error(&self, problem: LayoutProblem) -> LayoutError {
        LayoutError { file: self.file.clone(), problem }
    }
}
