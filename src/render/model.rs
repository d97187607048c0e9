//! What belongs to an open model, whoever looks at it: the network, SeFa's directions, the codes and noise of seeds. Everything
//! that is remembered here follows from the model and its key alone, and is bounded in bytes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use super::RenderError;
use super::recent::Recent;
use super::trace::{StageInput, Trace};
use crate::edit::{Code, Edit, LayerSet, Noise, NoiseMode, Seed, Weighting};
use crate::generator::{Conditions, Generator, Label, ModelInfo, NoiseInput, Size, Stage};
use crate::latent;
use crate::ops::Gram;
use crate::sefa::{self, Basis, StyleRows};

/// Bytes of bases: 60 of codes of 512 numbers.
const BASES: u64 = 64 << 20;
/// Bytes of the matrices that bases are made of, one a layer: those of StyleGAN2 of 1024 pixels have 19 MB.
const GRAMS: u64 = 128 << 20;
/// Bytes of codes that z of samples were mapped to: 500 of 512 numbers.
const CODES: u64 = 1 << 20;
/// Bytes of random noise. That of one seed has 11 MB at 1024 pixels, and stays however large it is.
const NOISE: u64 = 32 << 20;

/// An open generator.
pub(super) struct Loaded {
    generator: Generator,
    device: Device,
    stages: Vec<Stage>,
    grams: Recent<(usize, Weighting), Arc<Vec<Gram>>>,
    bases: Recent<(LayerSet, Weighting), Arc<Basis>>,
    /// What z became, before truncation.
    codes: Recent<Mapped, Vec<f32>>,
    /// By seed.
    noise: RefCell<Recent<u64, LayerNoise>>,
}

/// A z with its label.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Mapped {
    /// The bits of each number.
    z: Vec<u32>,
    /// Classes with the bits of their weights.
    label: Vec<(usize, u32)>,
}

/// Random noise of one seed, `[1, 1, height, width]` for each layer that asked for it.
type LayerNoise = HashMap<usize, Tensor<4>>;

fn noise_bytes(noise: &LayerNoise) -> u64 {
    noise.values().map(|noise| 4 * noise.shape().num_elements() as u64).sum()
}

impl Loaded {
    pub(super) fn new(generator: Generator, device: &Device) -> Self {
        Loaded {
            device: device.clone(),
            stages: generator.network.stages(),
            generator,
            grams: Recent::new(GRAMS, |grams| grams.iter().map(Gram::bytes).sum()),
            bases: Recent::new(BASES, |basis| basis.bytes()),
            codes: Recent::new(CODES, |code| 8 * code.len() as u64),
            noise: RefCell::new(Recent::new(NOISE, noise_bytes)),
        }
    }

    pub(super) fn info(&self) -> &Arc<ModelInfo> {
        &self.generator.info
    }

    pub(super) fn stages(&self) -> &[Stage] {
        &self.stages
    }

    fn misfit(&self, problem: String) -> RenderError {
        RenderError::Misfit { model: self.info().name.clone(), problem }
    }

    pub(super) fn check(&self, edit: &Edit) -> Result<(), RenderError> {
        self.info().check(edit).map_err(|problem| self.misfit(problem))
    }

    pub(super) fn factorize(&mut self, layers: &LayerSet, weighting: Weighting) -> Result<Arc<Basis>, RenderError> {
        let key = (layers.clone(), weighting);
        if let Some(basis) = self.bases.get(&key) {
            return Ok(basis.clone());
        }
        self.info().check_layers(layers).map_err(|problem| self.misfit(problem))?;
        let grams = self.grams(layers, weighting);
        let basis = Arc::new(sefa::factorize(layers.clone(), weighting, grams.iter().flat_map(|grams| grams.iter()))?);
        self.bases.insert(key, basis.clone());
        Ok(basis)
    }

    /// Of each of `layers`.
    fn grams(&mut self, layers: &LayerSet, weighting: Weighting) -> Vec<Arc<Vec<Gram>>> {
        let layers = layers.as_slice();
        let mut found: Vec<_> = layers.iter().map(|&layer| self.grams.get(&(layer, weighting)).cloned()).collect();
        let network = &self.generator.network;
        let missing = (0..layers.len()).filter(|&at| found[at].is_none());
        let rows: Vec<_> = missing.map(|at| (at, network.style_rows(layers[at], weighting))).collect();
        let gram = |(at, rows): (usize, Vec<&StyleRows>)| {
            (at, Arc::new(rows.into_iter().map(|rows| sefa::gram(rows, weighting)).collect::<Vec<_>>()))
        };
        let made: Vec<_> = rows.into_par_iter().map(gram).collect();
        for (at, grams) in made {
            self.grams.insert((layers[at], weighting), grams.clone());
            found[at] = Some(grams);
        }
        found.into_iter().flatten().collect()
    }

    /// What each stage reads for `edit`: sample -> code -> one code per layer -> truncation -> moves.
    pub(super) fn inputs(&mut self, edit: &Edit) -> Result<Vec<StageInput>, RenderError> {
        let mut codes = self.codes(edit)?;
        latent::apply_moves(&mut codes, &edit.moves);
        let noise = match edit.noise.mode {
            NoiseMode::Random => edit.noise,
            // The seed means nothing in the other modes and must not cause work.
            mode => Noise { mode, seed: 0 },
        };
        let label = Label::of(&edit.sample);
        let input = |stage: &Stage| StageInput {
            codes: stage.layers.iter().map(|&layer| codes[layer].clone()).collect(),
            noise: stage.reads_noise.then_some(noise),
            label: stage.reads_label.then(|| label.clone()),
            psi: stage.reads_psi.then_some(edit.truncation.psi),
        };
        Ok(self.stages.iter().map(input).collect())
    }

    /// One code per layer, truncated, before moves.
    fn codes(&mut self, edit: &Edit) -> Result<Vec<Vec<f32>>, RenderError> {
        let code = match &edit.sample.code {
            Code::WPlus(codes) => return Ok(codes.clone()),
            Code::W(w) => w.clone(),
            Code::Z(z) => self.mapped(z, edit)?,
            Code::Seed(seed) => self.mapped(&self.drawn(*seed, edit.truncation.psi), edit)?,
        };
        let mut codes = vec![code; self.info().num_layers];
        let network = &self.generator.network;
        if network.mean_code(0).is_some() {
            latent::truncate(&mut codes, |layer| network.mean_code(layer).unwrap_or_default(), edit.truncation);
        }
        Ok(codes)
    }

    /// z of a seed.
    fn drawn(&self, seed: Seed, psi: f32) -> Vec<f32> {
        let info = self.info();
        let z = latent::draw(self.generator.network.prior(), seed, info.z_dim);
        match info.w_dim {
            // Truncation pulls w towards its mean; without w, z is drawn closer to zero.
            None => z.iter().map(|x| psi * x).collect(),
            Some(_) => z,
        }
    }

    /// The code of z.
    fn mapped(&mut self, z: &[f32], edit: &Edit) -> Result<Vec<f32>, RenderError> {
        let label = Label::of(&edit.sample);
        let weights = label.weights().iter().map(|(class, weight)| (*class, weight.to_bits()));
        let key = Mapped { z: z.iter().map(|x| x.to_bits()).collect(), label: weights.collect() };
        if let Some(code) = self.codes.get(&key) {
            return Ok(code.clone());
        }
        let code = self.generator.network.code_from_z(z, &label)?;
        self.codes.insert(key, code.clone());
        Ok(code)
    }

    /// Runs the stage after those that `trace` holds.
    pub(super) fn run_stage(&self, trace: &mut Trace, stage: usize, input: StageInput) {
        let codes: Vec<Tensor<2>> = (input.codes.iter())
            .map(|code| Tensor::from_data(TensorData::new(code.clone(), [1, code.len()]), &self.device))
            .collect();
        let Noise { mode, seed } = input.noise.unwrap_or_default();
        let random = |layer, size| self.random_noise(seed, layer, size);
        let noise = match mode {
            NoiseMode::Const => NoiseInput::Const,
            NoiseMode::None => NoiseInput::None,
            NoiseMode::Random => NoiseInput::Given(&random),
        };
        let before = stage.checked_sub(1).and_then(|before| trace.output(before));
        let conditions =
            Conditions { label: input.label.clone().unwrap_or_default(), psi: input.psi.unwrap_or_default() };
        let output = self.generator.network.run(stage, before, &codes, &noise, &conditions);
        trace.push(input, output);
        debug_assert!(trace.output(stage).is_some(), "stages run in order");
    }

    /// Standard normal noise of a layer.
    fn random_noise(&self, seed: u64, layer: usize, size: Size) -> Tensor<4> {
        let make = || {
            let values = latent::noise_from_seed(seed, layer, size.pixels());
            Tensor::from_data(TensorData::new(values, [1, 1, size.height, size.width]), &self.device)
        };
        let mut noise = self.noise.borrow_mut();
        let made = noise.get_or_insert_with(seed, LayerNoise::new).entry(layer).or_insert_with(make).clone();
        noise.trim(|_| false);
        made
    }

    /// The picture after a stage, if it is large enough to show instead of the whole.
    pub(super) fn preview(&self, trace: &Trace, stage: usize) -> Option<Tensor<4>> {
        const SMALLEST: usize = 64;
        let picture = trace.output(stage)?.picture.clone();
        picture.filter(|picture| picture.dims()[2].max(picture.dims()[3]) >= SMALLEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator;
    use crate::progress;
    use crate::render::{Example, Source};

    fn toy_heads() -> Loaded {
        let checkpoint = Source::Example(Example::ToyHeads).open(&mut progress::silent).unwrap();
        let weights = generator::recognise(checkpoint, &mut progress::silent).unwrap();
        let place = (&Device::flex()).into();
        let generator = Generator::load(&weights, "", &place, ("", None), &mut progress::silent).unwrap();
        Loaded::new(generator, &place)
    }

    #[test]
    fn bases_of_every_group_that_a_ruler_can_mark_stay_within_their_bytes() {
        let mut model = toy_heads();
        let basis = |model: &mut Loaded, first, last| {
            model.factorize(&LayerSet::range(first, last), Weighting::RowNormalised).unwrap()
        };
        let first = basis(&mut model, 0, 1);
        let limit = 3 * first.bytes();
        model.bases = Recent::new(limit, |basis| basis.bytes());
        model.grams = Recent::new(100_000, |grams| grams.iter().map(Gram::bytes).sum());
        for first in 0..6 {
            for last in first..6 {
                basis(&mut model, first, last);
                assert!(model.bases.bytes() <= limit && model.grams.bytes() <= 100_000, "{first} to {last}");
            }
        }
        let kept = basis(&mut model, 5, 5);
        assert!(Arc::ptr_eq(&kept, &basis(&mut model, 5, 5)), "the newest is made once");
        assert_eq!(basis(&mut model, 0, 1), first, "what was forgotten is made again");
    }

    #[test]
    fn noise_of_a_seed_is_drawn_once_and_that_of_old_seeds_goes() {
        let model = toy_heads();
        model.noise.replace(Recent::new(4 * 64 * 3, noise_bytes));
        let size = Size::square(8);
        let values = |seed, layer| model.random_noise(seed, layer, size).into_data().try_into_vec::<f32>().unwrap();
        let first = [values(1, 0), values(1, 1), values(2, 0), values(2, 1)];
        assert_eq!(model.noise.borrow().bytes(), 4 * 64 * 2, "seed 1 made room for seed 2");
        assert_eq!(first, [values(1, 0), values(1, 1), values(2, 0), values(2, 1)]);
        (2..9).for_each(|layer| drop(values(2, layer)));
        assert_eq!(model.noise.borrow().peek(&2).map(HashMap::len), Some(9), "that of the newest seed stays");
    }
}
