//! What belongs to an open model, whoever looks at it: the network, SeFa's directions, the codes and noise of seeds. Everything
//! that is remembered here follows from the model and its key alone, and is bounded in bytes.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use super::RenderError;
use super::recent::Recent;
use super::trace::StageInput;
use crate::edit::{Between, Code, Edit, LayerSet, Noise, NoiseMode, Sample, Seed, Truncation, Weighting, along_curve};
use crate::generator::{Activation, Conditions, Generator, Label, ModelInfo, Network, NoiseInput, Stage, Tape};
use crate::latent;
use crate::ops::Gram;
use crate::sefa::{self, Basis, Product, SefaError, StyleRows};
use crate::size::Size;

/// Bytes of bases: 60 of codes of 512 numbers.
const BASES: u64 = 64 << 20;
/// Bytes of the matrices that bases are made of, one a layer: those of StyleGAN2 of 1024 pixels have 19 MB.
const GRAMS: u64 = 128 << 20;
/// Bytes of codes that z of samples were mapped to: 500 of 512 numbers.
const CODES: u64 = 1 << 20;
/// z that are mapped at a time. For so few, operators give each the code that it has alone, bit for bit.
const MAPPED_TOGETHER: usize = 16;
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
    codes: Recent<Origin, Vec<f32>>,
    /// By seed.
    noise: Mutex<Recent<u64, LayerNoise>>,
    stages_run: AtomicU64,
}

/// z with its label: what a code is mapped from.
#[derive(Clone)]
struct Origin {
    z: Vec<f32>,
    label: Label,
}

impl Origin {
    fn bits(&self) -> impl Iterator<Item = u64> {
        let label = self.label.weights().iter().flat_map(|(class, weight)| [*class as u64, weight.to_bits().into()]);
        self.z.iter().map(|x| x.to_bits().into()).chain(label)
    }
}

/// Bit for bit.
impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        self.bits().eq(other.bits())
    }
}

impl Eq for Origin {}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits().for_each(|bits| state.write_u64(bits));
    }
}

/// A sample on its way to codes.
struct Start<'a> {
    own: Source<'a>,
    styles: Vec<(&'a LayerSet, Source<'a>)>,
    truncation: Truncation,
}

/// What a code is made from.
enum Source<'a> {
    Mapped(Origin),
    W(&'a [f32]),
    WPlus(&'a [Vec<f32>]),
    Between(&'a Between, Vec<Start<'a>>),
}

impl Start<'_> {
    fn origins(&self) -> Vec<&Origin> {
        let styles = self.styles.iter().map(|(_, source)| source);
        std::iter::once(&self.own).chain(styles).flat_map(Source::origins).collect()
    }
}

impl Source<'_> {
    fn origins(&self) -> Vec<&Origin> {
        match self {
            Source::Mapped(origin) => vec![origin],
            Source::W(_) | Source::WPlus(_) => Vec::new(),
            Source::Between(_, starts) => starts.iter().flat_map(Start::origins).collect(),
        }
    }
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
            noise: Mutex::new(Recent::new(NOISE, noise_bytes)),
            stages_run: AtomicU64::new(0),
        }
    }

    pub(super) fn info(&self) -> &Arc<ModelInfo> {
        &self.generator.info
    }

    pub(super) fn network(&self) -> &dyn Network {
        &*self.generator.network
    }

    pub(super) fn stages(&self) -> &[Stage] {
        &self.stages
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// Bytes of the largest map on the way to a picture, in f32.
    pub(super) fn map_bytes(&self) -> u64 {
        self.generator.map_bytes
    }

    /// Since the model was opened; a stage that runs for several samples counts for each.
    pub(super) fn stages_run(&self) -> u64 {
        self.stages_run.load(Ordering::Relaxed)
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
        let grams: Vec<&Gram> = grams.iter().flat_map(|grams| grams.iter()).collect();
        let basis = Arc::new(sefa::factorize(layers.clone(), weighting, &product(layers, &grams)?)?);
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
            (at, Arc::new(rows.into_iter().map(|rows| gram_of(rows, weighting)).collect::<Vec<_>>()))
        };
        let made: Vec<_> = rows.into_par_iter().map(gram).collect();
        for (at, grams) in made {
            self.grams.insert((layers[at], weighting), grams.clone());
            found[at] = Some(grams);
        }
        found.into_iter().flatten().collect()
    }

    /// What each stage reads for each of `edits`: sample and styles -> codes -> one per layer, truncated -> moves.
    pub(super) fn inputs(&mut self, edits: &[&Edit]) -> Result<Vec<Vec<StageInput>>, RenderError> {
        let codes = self.codes(edits)?;
        Ok(edits.iter().zip(codes).map(|(edit, codes)| self.inputs_of(edit, codes)).collect())
    }

    /// `codes` is one per layer, before moves.
    fn inputs_of(&self, edit: &Edit, mut codes: Vec<Vec<f32>>) -> Vec<StageInput> {
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
        self.stages.iter().map(input).collect()
    }

    /// One code per layer of each edit, truncated, before moves.
    pub(super) fn codes(&mut self, edits: &[&Edit]) -> Result<Vec<Vec<Vec<f32>>>, RenderError> {
        let starts: Vec<Start> = edits.iter().map(|edit| self.start(&edit.sample, edit.truncation)).collect();
        let known = self.mapped(starts.iter().flat_map(Start::origins))?;
        Ok(starts.iter().map(|start| self.codes_of(start, &known)).collect())
    }

    fn start<'a>(&self, sample: &'a Sample, truncation: Truncation) -> Start<'a> {
        let source = |code: &'a Code, label: Label| match code {
            Code::Seed(seed) => Source::Mapped(Origin { z: self.drawn(*seed, truncation.psi), label }),
            Code::Z(z) => Source::Mapped(Origin { z: z.clone(), label }),
            Code::W(w) => Source::W(w),
            Code::WPlus(codes) => Source::WPlus(codes),
            Code::Between(between) => {
                let starts = between.through.iter().map(|point| self.start(&point.sample, point.truncation));
                Source::Between(between, starts.collect())
            }
        };
        let styles = sample.active_styles();
        let styles = styles.map(|style| (&style.layers, source(&style.code, Label::of(&sample.of_style(style)))));
        Start { own: source(&sample.code, Label::of(sample)), styles: styles.collect(), truncation }
    }

    /// One code per layer of a sample, truncated.
    fn codes_of(&self, start: &Start, known: &HashMap<&Origin, Vec<f32>>) -> Vec<Vec<f32>> {
        let mut codes = self.codes_from(&start.own, known, start.truncation);
        for (layers, source) in &start.styles {
            let mut taken = self.codes_from(source, known, start.truncation);
            layers.as_slice().iter().for_each(|&layer| codes[layer] = std::mem::take(&mut taken[layer]));
        }
        codes
    }

    fn codes_from(&self, source: &Source, known: &HashMap<&Origin, Vec<f32>>, truncation: Truncation) -> Vec<Vec<f32>> {
        let code = match source {
            Source::WPlus(codes) => return codes.to_vec(),
            Source::Between(between, starts) => {
                let points: Vec<_> = starts.iter().map(|start| self.codes_of(start, known)).collect();
                let mix = if self.info().w_dim.is_some() { latent::on_line } else { latent::on_sphere };
                let mix_layers =
                    |a: &Vec<Vec<f32>>, b: &Vec<Vec<f32>>, t| a.iter().zip(b).map(|(a, b)| mix(a, b, t)).collect();
                return along_curve(&points, &between.times, between.at, mix_layers);
            }
            Source::W(w) => w.to_vec(),
            Source::Mapped(origin) => known.get(origin).cloned().unwrap_or_default(),
        };
        let mut codes = vec![code; self.info().num_layers];
        let network = &self.generator.network;
        if network.mean_code(0).is_some() {
            latent::truncate(&mut codes, |layer| network.mean_code(layer).unwrap_or_default(), truncation);
        }
        codes
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

    /// The code of each z.
    fn mapped<'a>(
        &mut self,
        origins: impl Iterator<Item = &'a Origin>,
    ) -> Result<HashMap<&'a Origin, Vec<f32>>, RenderError> {
        let mut known = HashMap::new();
        let mut missing = Vec::new();
        for origin in origins {
            match self.codes.get(origin) {
                Some(code) => _ = known.insert(origin, code.clone()),
                None if missing.contains(&origin) => {}
                None => missing.push(origin),
            }
        }
        for some in missing.chunks(MAPPED_TOGETHER) {
            let z: Vec<&[f32]> = some.iter().map(|origin| origin.z.as_slice()).collect();
            let labels: Vec<&Label> = some.iter().map(|origin| &origin.label).collect();
            let codes = self.generator.network.codes_from_z(&z, &labels)?;
            for (&origin, code) in some.iter().zip(codes) {
                self.codes.insert(origin.clone(), code.clone());
                known.insert(origin, code);
            }
        }
        Ok(known)
    }

    /// Runs a stage for so many samples after `before`, the output of the stage before it. Their noise is of one mode.
    pub(super) fn run(&self, stage: usize, before: Option<&Activation>, inputs: &[&StageInput]) -> Activation {
        self.stages_run.fetch_add(inputs.len() as u64, Ordering::Relaxed);
        let code = |layer: usize| {
            let values: Vec<f32> = inputs.iter().flat_map(|input| input.codes[layer].iter().copied()).collect();
            let dim = values.len() / inputs.len();
            Tensor::from_data(TensorData::new(values, [inputs.len(), dim]), &self.device)
        };
        let codes: Vec<Tensor<2>> = (0..self.stages[stage].layers.len()).map(code).collect();
        let noise_of: Vec<Noise> = inputs.iter().map(|input| input.noise.unwrap_or_default()).collect();
        debug_assert!(noise_of.iter().all(|noise| noise.mode == noise_of[0].mode), "noise of several modes");
        let random = |layer, size| {
            let seeds = noise_of.iter().map(|noise| noise.seed);
            match noise_of.iter().all(|noise| noise.seed == noise_of[0].seed) {
                true => self.random_noise(noise_of[0].seed, layer, size),
                false => Tensor::cat(seeds.map(|seed| self.random_noise(seed, layer, size)).collect(), 0),
            }
        };
        let noise = match noise_of[0].mode {
            NoiseMode::Const => NoiseInput::Const,
            NoiseMode::None => NoiseInput::None,
            NoiseMode::Random => NoiseInput::Given(&random),
        };
        let conditions = inputs.iter().map(|input| Conditions {
            label: input.label.clone().unwrap_or_default(),
            psi: input.psi.unwrap_or_default(),
        });
        self.generator.network.run(stage, before, &codes, &noise, &conditions.collect::<Vec<_>>(), &mut Tape::off())
    }

    /// Standard normal noise of a layer.
    fn random_noise(&self, seed: u64, layer: usize, size: Size) -> Tensor<4> {
        let make = || {
            let values = latent::noise_from_seed(seed, layer, size.pixels());
            Tensor::from_data(TensorData::new(values, [1, 1, size.height, size.width]), &self.device)
        };
        let mut noise = self.noise.lock().unwrap_or_else(PoisonError::into_inner);
        let made = noise.get_or_insert_with(seed, LayerNoise::new).entry(layer).or_insert_with(make).clone();
        noise.trim(|_| false);
        made
    }
}

/// `A^T A` of one layer's rows.
fn gram_of(rows: &StyleRows, weighting: Weighting) -> Gram {
    Gram::new(&rows.values, rows.dim, &sefa::row_factors(rows, weighting))
}

/// The sum over all `layers`.
fn product(layers: &LayerSet, grams: &[&Gram]) -> Result<Product, SefaError> {
    let dim = grams.first().ok_or_else(|| SefaError::NoRows(layers.clone()))?.dim();
    match grams.iter().find(|gram| gram.dim() != dim) {
        Some(other) => Err(SefaError::Width { expected: dim, found: other.dim() }),
        None => Ok(Product { dim, lower: Gram::sum(dim, grams) }),
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
        *model.noise.lock().unwrap() = Recent::new(4 * 64 * 3, noise_bytes);
        let size = Size::square(8);
        let values = |seed, layer| model.random_noise(seed, layer, size).into_data().try_into_vec::<f32>().unwrap();
        let first = [values(1, 0), values(1, 1), values(2, 0), values(2, 1)];
        assert_eq!(model.noise.lock().unwrap().bytes(), 4 * 64 * 2, "seed 1 made room for seed 2");
        assert_eq!(first, [values(1, 0), values(1, 1), values(2, 0), values(2, 1)]);
        (2..9).for_each(|layer| drop(values(2, layer)));
        assert_eq!(model.noise.lock().unwrap().peek(&2).map(HashMap::len), Some(9), "that of the newest seed stays");
    }

    #[test]
    fn layers_add_up_and_those_without_rows_or_of_other_widths_are_refused() {
        let rows = |values: &[f32], dim| StyleRows { values: values.to_vec(), dim };
        let (a, b) = (rows(&[1.0, 2.0, 0.5, -1.0], 2), rows(&[3.0, 1.0], 2));
        let both = rows(&[1.0, 2.0, 0.5, -1.0, 3.0, 1.0], 2);
        let (layers, weighting) = (LayerSet::range(0, 1), Weighting::RowNormalised);
        let [a, b, both, wide] = [&a, &b, &both, &rows(&[1.0, 0.0, 0.0], 3)].map(|rows| gram_of(rows, weighting));
        let factorized = |grams: &[&Gram]| {
            let product = product(&layers, grams)?;
            sefa::factorize(layers.clone(), weighting, &product)
        };
        let (parts, whole) = (factorized(&[&a, &b]).unwrap(), factorized(&[&both]).unwrap());
        for (p, q) in parts.eigenvalues.iter().zip(&whole.eigenvalues) {
            assert!((p - q).abs() < 1e-12);
        }
        assert!(matches!(factorized(&[]), Err(SefaError::NoRows(_))));
        assert!(matches!(factorized(&[&a, &wide]), Err(SefaError::Width { expected: 2, found: 3 })));
    }
}
