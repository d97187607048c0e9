//! Principal components of a model's codes, in steps.

use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use super::model::Loaded;
use super::{Engine, RenderError};
use crate::generator::Label;
use crate::latent;
use crate::ops::Gram;
use crate::pca::{Components, Moments};
use crate::progress::{Progress, Report};

/// Codes that a step draws and maps: so few that a slider does not wait for them. Whatever it is, it decides which sums are made
/// first, and with that the last bits of the result.
const STEP: usize = 512;
/// Codes whose moments are taken together, on several cores.
const TOGETHER: usize = 8 * STEP;

/// The codes whose components are looked for.
#[derive(Clone, Debug, PartialEq)]
pub enum CodeSource {
    /// As many as that, drawn from the distribution that the network was trained for.
    Drawn { samples: usize, seed: u64 },
    /// z that are given, `[z_dim]` each.
    Z(Vec<Vec<f32>>),
    /// Codes as moves act on them, w or z, that are given.
    Codes(Vec<Vec<f32>>),
}

impl CodeSource {
    /// How many there are.
    pub fn samples(&self) -> usize {
        match self {
            CodeSource::Drawn { samples, .. } => *samples,
            CodeSource::Z(codes) | CodeSource::Codes(codes) => codes.len(),
        }
    }
}

/// A search for principal components. Between its steps others may use the engine.
///
/// Codes of conditional networks are of each class in turn.
pub struct ComponentSearch {
    source: CodeSource,
    /// Codes that were mapped.
    done: usize,
    moments: Option<Moments>,
    /// Codes whose moments are not taken yet, one after the other.
    waiting: Vec<f32>,
}

impl ComponentSearch {
    pub fn new(source: CodeSource) -> Self {
        ComponentSearch { source, done: 0, moments: None, waiting: Vec::new() }
    }

    pub fn progress(&self) -> Progress {
        Progress { stage: "mapping codes".into(), done: self.done as u64, total: self.source.samples() as u64 }
    }

    /// Maps some codes; the components, when that were the last of them. If it fails, it may be called again with another engine.
    ///
    /// # Errors
    /// No model is open, the device failed, or the codes have no components.
    pub fn step(&mut self, engine: &mut Engine) -> Result<Option<Components>, RenderError> {
        let model = engine.model.as_ref().ok_or(RenderError::NoModel)?;
        let dim = model.info().code_dim();
        let end = self.source.samples().min(self.done + STEP);
        let codes = model.numbered_codes(&self.source, self.done..end)?;
        self.waiting.extend(codes.iter().flatten());
        self.done = end;
        let is_last = end == self.source.samples();
        if is_last || self.waiting.len() >= TOGETHER * dim {
            let moments = self.moments.get_or_insert_with(|| Moments::new(dim));
            moments.merge(&moments_of(&self.waiting, dim));
            self.waiting.clear();
        }
        match &self.moments {
            Some(moments) if is_last => Ok(Some(moments.components()?)),
            _ => Ok(None),
        }
    }
}

/// Of `codes` `[N, dim]`, on all cores.
pub fn moments_of(codes: &[f32], dim: usize) -> Moments {
    let gram = Gram::new(codes, dim, &vec![1.0; codes.len() / dim]);
    Moments::of(codes, dim, Gram::sum(dim, &[&gram]))
}

impl Loaded {
    /// Some of the codes, by their numbers.
    fn numbered_codes(
        &self,
        source: &CodeSource,
        numbers: std::ops::Range<usize>,
    ) -> Result<Vec<Vec<f32>>, RenderError> {
        let drawn: Vec<Vec<f32>>;
        let z = match source {
            CodeSource::Codes(codes) => return Ok(codes[numbers].to_vec()),
            CodeSource::Z(z) => &z[numbers.clone()],
            CodeSource::Drawn { seed, .. } => {
                let (prior, dim) = (self.network().prior(), self.info().z_dim);
                let draw = |number| latent::draw_of_many(prior, *seed, number, dim);
                drawn = numbers.clone().into_par_iter().map(draw).collect();
                &drawn
            }
        };
        let label = |number| self.info().classes.map_or_else(Label::default, |classes| Label::class(number % classes));
        let labels: Vec<Label> = numbers.map(label).collect();
        let z: Vec<&[f32]> = z.iter().map(Vec::as_slice).collect();
        Ok(self.network().codes_from_z(&z, &labels.iter().collect::<Vec<_>>())?)
    }
}

impl Engine {
    /// The principal components of the open model's codes, all steps at once.
    ///
    /// # Errors
    /// As [`ComponentSearch::step`], or `report` stopped it.
    pub fn components(&mut self, source: CodeSource, report: Report) -> Result<Components, RenderError> {
        let mut search = ComponentSearch::new(source);
        loop {
            report(search.progress())?;
            if let Some(components) = search.step(self)? {
                return Ok(components);
            }
        }
    }
}
