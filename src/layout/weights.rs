//! Canonical weights: one spelling per family, read from the file when asked for.

use std::collections::BTreeMap;

use super::assembly::PgganClasses;
use super::chain::Reading;
use super::conventions::Conventions;
use super::entry::Canonical;
use super::error::{LayoutError, LayoutProblem};
use crate::checkpoint::Container;
use crate::family::Family;
use crate::recipe::{Fact, Recipe};

/// The weights of one generator under canonical names.
///
/// PGGAN and StyleGAN have genforce's names, StyleGAN2 and StyleGAN3 NVIDIA's of PyTorch, BigGAN ajbrock's, BigGAN-deep those
/// of Hugging Face, DCGAN those of PyTorch's tutorial. Of the differences between the layouts nothing is left:
///
/// * PGGAN: `layer{n}.weight` are `[out, in, 3, 3]` kernels for nearest up-sampling and correlation, fused files' too.
/// * StyleGAN: kernels of the layers that reach 128 pixels or more are reversed by the network (genforce's convention). Noise
///   pictures, and all RGB outputs but the last, may be absent; `early_bias` is added between convolution and blur.
/// * StyleGAN2: `synthesis.b4.const` is `[C, h, w]`, mostly 4 by 4; the block called `b{4 n}` is n times as large.
///   `noise_const` is `[height, width]`, `noise_strength` `[]`; all layers have both, the strength alone, or neither.
///   Kernels of `conv0` are those of a transposed convolution, style biases contain the 1. `mapping.embed.*` is normalised by itself,
///   `mapping.label_weight` `[classes, n]` together with z. `skip.weight`: residual architecture.
/// * BigGAN and BigGAN-deep: spectral norms are divided out. `generator.gen_z.weight` is `[4*4*C, z + e]`, its rows in the
///   order (y, x, channel), z before the embedding; statistics are `[S, C]`, S = 1 if there is one set.
/// * Chains have the names of the file, as the recipe says them.
/// * DCGAN: `main.{0,3,6,..}.weight[, bias]`, `main.{1,4,..}.{weight,bias,running_mean,running_var}`.
#[derive(Debug)]
pub struct Weights {
    /// The file's name, for messages.
    pub file: String,
    pub family: Family,
    /// Naming scheme of the file, such as "nvidia", "rosinality" or "sequential".
    pub layout: &'static str,
    pub container: Container,
    /// Bytes of the file.
    pub file_len: u64,
    pub metadata: BTreeMap<String, String>,
    pub carries_code: bool,
    /// Where in the file the network lies, and what is said of it: "g_ema (averaged; beside it: g, d)".
    pub network_taken: String,
    /// Parts of the file that were not used.
    pub ignored: Vec<String>,
    pub warnings: Vec<String>,
    /// StyleGAN2: what its code has built in and no tensor tells.
    pub conventions: Conventions,
    /// StyleGAN2 and 3: every activation is clamped to +-this; `None` means no clamp.
    pub conv_clamp: Option<f32>,
    /// BigGAN, BigGAN-deep and DCGAN: added to the variances of batch norms.
    pub batch_norm_epsilon: f32,
    /// BigGAN and BigGAN-deep: the same of the batch norm before the picture.
    pub last_norm_epsilon: f32,
    /// StyleGAN: added to the variances of instance norms.
    pub instance_norm_epsilon: f32,
    /// StyleGAN: both layers of a block share one noise picture.
    pub noise_of_blocks: bool,
    /// PGGAN: how many of the first layer's inputs are the class.
    pub(crate) pggan_classes: Option<PgganClasses>,
    /// The network step by step, for chains and DCGANs.
    pub recipe: Option<Recipe>,
    /// What is known or guessed of the network, and by what.
    pub facts: Vec<Fact>,
    /// What shapes leave open, until `generator::settle` has settled it.
    pub reading: Option<Reading>,
    /// How far the statistics of batch norms are from what codes bring to them; 0 is a perfect fit.
    pub statistics: Option<f32>,
    /// Tensors under the names of the recipe, while those below have canonical ones and the family's own code draws.
    pub(super) renamed: Option<Canonical>,
    pub(super) tensors: Canonical,
}

/// Tensors under other names.
pub(crate) struct Renamed(Canonical);

/// The `format` that files of canonical tensors name in their metadata.
pub(super) const FORMAT: &str = "sefa-studio";

/// The metadata's key of a chain's recipe.
pub(super) const RECIPE: &str = "recipe";

/// Families by the names that metadata has for them.
const FAMILIES: [(&str, Family); 8] = [
    ("pggan", Family::Pggan),
    ("stylegan", Family::StyleGan),
    ("stylegan2", Family::StyleGan2),
    ("stylegan3", Family::StyleGan3),
    ("biggan", Family::BigGan),
    ("biggan-deep", Family::BigGanDeep),
    ("dcgan", Family::Dcgan),
    ("chain", Family::Chain),
];

fn family_name(family: Family) -> &'static str {
    FAMILIES.iter().find(|(_, known)| *known == family).map_or("", |(name, _)| *name)
}

/// The family of that name; upper and lower case are the same.
pub(super) fn family_of(name: &str) -> Option<Family> {
    FAMILIES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, family)| *family)
}

impl Weights {
    /// The recipe that the network is drawn by, unless its family's own code does.
    pub fn drawn_by(&self) -> Option<&Recipe> {
        self.recipe.as_ref().filter(|_| self.renamed.is_none())
    }

    /// Gives the tensors the names that the recipe has, for a while; what they had is to be given back.
    pub(crate) fn with_recipe_names(&mut self) -> Option<Renamed> {
        self.renamed.as_mut().map(|renamed| Renamed(std::mem::replace(&mut self.tensors, renamed.clone())))
    }

    /// Gives back what [`Weights::with_recipe_names`] took.
    pub(crate) fn with_names(&mut self, names: Option<Renamed>) {
        if let Some(Renamed(tensors)) = names {
            self.tensors = tensors;
        }
    }

    /// Reads the network as `recipe` says from now on.
    pub(crate) fn adopt(&mut self, recipe: Recipe) {
        if self.recipe.as_ref() != Some(&recipe)
            && let Some(tensors) = self.renamed.take()
        {
            self.tensors = tensors;
        }
        self.recipe = Some(recipe);
    }

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
    /// There is no such tensor, its shape is not `expected`, some value is not finite, or the file can no longer be read.
    pub fn get(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>, LayoutError> {
        self.find(name, expected)?.ok_or_else(|| {
            self.error(LayoutProblem::content(name, format!("expected shape {expected:?}, found no such tensor")))
        })
    }

    /// As [`Weights::get`], for tensors that a network may lack.
    ///
    /// # Errors
    /// The tensor's shape is not `expected`, some value is not finite, or the file can no longer be read.
    pub fn find(&self, name: &str, expected: &[usize]) -> Result<Option<Vec<f32>>, LayoutError> {
        let Some(entry) = self.tensors.get(name) else { return Ok(None) };
        if entry.shape != expected {
            return Err(self.error(LayoutProblem::shape(name, expected, &entry.shape)));
        }
        let values = entry.to_f32().map_err(|gone| self.error(gone.into()))?;
        self.check_finite(name, 0, values.iter().copied())?;
        Ok(Some(values))
    }

    /// `values` are those of the tensor from value `first` on.
    fn check_finite(&self, name: &str, first: usize, values: impl Iterator<Item = f32>) -> Result<(), LayoutError> {
        match (first..).zip(values).find(|(_, value)| !value.is_finite()) {
            None => Ok(()),
            Some((at, value)) => {
                let what = format!("expected finite numbers, found {value} as value {at}");
                Err(self.error(LayoutProblem::content(name, what)))
            }
        }
    }

    /// What a safetensors file of these tensors has to say in its metadata, so that [`super::detect`] gives the same again:
    /// `format`, `family`, and the numbers that no tensor holds.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = vec![("format", FORMAT.to_string()), ("family", family_name(self.family).to_string())];
        settings.extend(self.conv_clamp.map(|clamp| ("conv_clamp", clamp.to_string())));
        if matches!(self.family, Family::BigGan | Family::BigGanDeep | Family::Dcgan) {
            settings.push(("batch_norm_epsilon", self.batch_norm_epsilon.to_string()));
        }
        if let Some(recipe) = self.drawn_by().and_then(|recipe| serde_json::to_string(recipe).ok()) {
            settings.push((RECIPE, recipe));
        }
        settings.extend(self.conventions.settings());
        if self.family == Family::BigGanDeep {
            settings.push(("last_norm_epsilon", self.last_norm_epsilon.to_string()));
        }
        if self.family == Family::StyleGan {
            settings.push(("instance_norm_epsilon", self.instance_norm_epsilon.to_string()));
        }
        if self.noise_of_blocks {
            settings.push(("noise_of", "blocks".into()));
        }
        if let Some(PgganClasses { count, normalised_with_z }) = self.pggan_classes {
            settings.push(("classes", count.to_string()));
            settings.push(("classes_normalised", if normalised_with_z { "with z" } else { "after z" }.into()));
        }
        settings.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
    }

    /// BLAKE3 in hex over names, shapes and little-endian f32 values: the same for every container, and for every layout
    /// that stores the same numbers. Read tensor by tensor.
    ///
    /// # Errors
    /// Some value is not finite, or the file can no longer be read.
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
            match entry.f32_bytes() {
                Some(bytes) => {
                    let mut first = 0;
                    bytes
                        .for_each_block(|block| {
                            let (values, _) = block.as_chunks();
                            let finite =
                                self.check_finite(name, first, values.iter().map(|&bytes| f32::from_le_bytes(bytes)));
                            finite.map_err(|error| error.problem)?;
                            hasher.update(block);
                            first += values.len();
                            Ok(())
                        })
                        .map_err(|problem: LayoutProblem| self.error(problem))?;
                }
                None => {
                    let values = entry.to_f32().map_err(|gone| self.error(gone.into()))?;
                    self.check_finite(name, 0, values.iter().copied())?;
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
