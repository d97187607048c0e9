//! A batch is its samples, one by one: of every fixture, three samples of different z, classes, psi and noise in one pass equal
//! three passes.

use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use sefa_studio::checkpoint::Checkpoint;
use sefa_studio::edit::{ClassMix, Sample};
use sefa_studio::generator::{Activation, Conditions, Generator, Label, NoiseInput, Tape, recognise};
use sefa_studio::latent;
use sefa_studio::progress;
use sefa_studio::size::Size;

use super::assert_close_relative;
use crate::support::{devices, fixture};

/// On the CPU every operator of ours treats samples alike, bit for bit; those of burn, which chains use, may cut their sums
/// otherwise, and so may the kernels of GPUs, which share out the channels of small maps. (Measured: at most 1e-7 of the largest value.)
const BOUND: f32 = 1e-5;

/// Folders that hold no network.
const OTHERS: [&str; 6] = ["analysis", "latents", "models", "projects", "seeds", "vjp"];
/// Folders whose files are different networks.
const COLLECTIONS: [&str; 3] = ["chain_read", "chain_steps", "stated"];
const SAMPLES: usize = 3;

/// One file of every fixture, or all files of a collection.
fn networks() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(fixture(""))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let mut networks = Vec::new();
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        if OTHERS.contains(&name.as_str()) {
            continue;
        }
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = files.filter(|file| !file.to_str().unwrap().contains("expected")).collect();
        files.sort();
        files.retain(|file| {
            Checkpoint::open(file, &mut progress::silent)
                .is_ok_and(|checkpoint| recognise(checkpoint, &mut progress::silent).is_ok())
        });
        assert!(!files.is_empty(), "no network in {name}");
        if !COLLECTIONS.contains(&name.as_str()) {
            files.truncate(1);
        }
        networks.extend(files);
    }
    networks
}

/// What differs from sample to sample.
struct Batch {
    conditions: Vec<Conditions>,
    /// `[samples][layers]`
    codes: Vec<Vec<Vec<f32>>>,
}

impl Batch {
    fn of(generator: &Generator) -> Self {
        let info = &generator.info;
        let z: Vec<Vec<f32>> = (0..SAMPLES as u64).map(|seed| latent::z_from_seed(seed, info.z_dim)).collect();
        let label = |n: usize| match info.classes {
            None => Label::default(),
            Some(classes) => {
                let mix = (n == 1).then_some(ClassMix { class: 2 % classes, amount: 0.25 });
                Label::of(&Sample { class: Some(n % classes), mix, ..Sample::default() })
            }
        };
        let conditions: Vec<Conditions> =
            (0..SAMPLES).map(|n| Conditions { label: label(n), psi: [0.4, 1.0, 0.43][n] }).collect();
        let all: Vec<&[f32]> = z.iter().map(Vec::as_slice).collect();
        let labels: Vec<&Label> = conditions.iter().map(|conditions| &conditions.label).collect();
        let codes = generator.network.codes_from_z(&all, &labels).unwrap();
        for n in 0..SAMPLES {
            let alone = generator.network.codes_from_z(&all[n..=n], &labels[n..=n]).unwrap().remove(0);
            assert_eq!(alone, codes[n], "the code of z does not depend on the z beside it");
        }
        // Another code in every layer.
        let of_layer = |code: &Vec<f32>, layer: usize| code.iter().map(|x| x + 0.03 * layer as f32).collect();
        let of_sample = |code: &Vec<f32>| (0..info.num_layers).map(|layer| of_layer(code, layer)).collect();
        Batch { codes: codes.iter().map(of_sample).collect(), conditions }
    }

    /// Outputs of all stages for some of the samples.
    fn run(
        &self,
        generator: &Generator,
        samples: std::ops::Range<usize>,
        is_noisy: bool,
        device: &Device,
    ) -> Vec<Activation> {
        let random = |layer: usize, size: Size| {
            let of = |seed: usize| latent::noise_from_seed(seed as u64, layer, size.pixels());
            let values = samples.clone().flat_map(of).collect::<Vec<_>>();
            Tensor::from_data(TensorData::new(values, [samples.len(), 1, size.height, size.width]), device)
        };
        let noise = if is_noisy { NoiseInput::Given(&random) } else { NoiseInput::Const };
        let mut outputs: Vec<Activation> = Vec::new();
        for (number, stage) in generator.network.stages().iter().enumerate() {
            let code = |&layer: &usize| {
                let values: Vec<f32> =
                    self.codes[samples.clone()].iter().flat_map(|codes| codes[layer].clone()).collect();
                let dim = values.len() / samples.len();
                Tensor::from_data(TensorData::new(values, [samples.len(), dim]), device)
            };
            let codes: Vec<Tensor<2>> = stage.layers.iter().map(code).collect();
            let conditions = &self.conditions[samples.clone()];
            outputs.push(generator.network.run(number, outputs.last(), &codes, &noise, conditions, &mut Tape::off()));
        }
        outputs
    }
}

fn values(tensor: &Tensor<4>) -> Vec<f32> {
    tensor.clone().into_data().try_into_vec().unwrap()
}

/// Entry `n` along the first axis of each tensor of an activation.
fn sample(output: &Activation, n: usize) -> Vec<Vec<f32>> {
    let tensors = std::iter::once(&output.features).chain(&output.picture);
    tensors.map(|tensor| values(&tensor.clone().narrow(0, n, 1))).collect()
}

#[test]
fn three_samples_in_one_pass_equal_three_passes_of_every_family() {
    for file in networks() {
        let recognised = recognise(Checkpoint::open(&file, &mut progress::silent).unwrap(), &mut progress::silent);
        let weights = recognised.unwrap();
        for device in devices() {
            let load = Generator::load(&weights, "", device.place(), ("", None), &mut progress::silent);
            let generator = load.unwrap();
            let is_exact = device.wgpu().is_none() && generator.info.recipe.is_none();
            let batch = Batch::of(&generator);
            // Software Vulkan is slow; noise that differs from sample to sample shows more than noise that they share.
            let kinds: &[bool] = match (generator.info.has_noise, device.wgpu()) {
                (false, _) => &[false],
                (true, None) => &[false, true],
                (true, Some(_)) => &[true],
            };
            for &is_noisy in kinds {
                let together = batch.run(&generator, 0..SAMPLES, is_noisy, device.device());
                for n in 0..SAMPLES {
                    let alone = batch.run(&generator, n..n + 1, is_noisy, device.device());
                    for (stage, (alone, together)) in alone.iter().zip(&together).enumerate() {
                        let what = format!(
                            "{} on {}, noise: {is_noisy}, sample {n}, stage {stage}",
                            file.display(),
                            device.label()
                        );
                        assert_eq!(together.features.dims()[0], SAMPLES, "{what}");
                        for (alone, together) in sample(alone, 0).iter().zip(sample(together, n)) {
                            assert_close_relative(&what, &together, alone, if is_exact { 0.0 } else { BOUND });
                        }
                    }
                }
                // Samples that are all alike would pass without being told apart.
                let last = together.last().unwrap();
                assert_ne!(sample(last, 0), sample(last, 1), "{}", file.display());
                assert_ne!(sample(last, 0), sample(last, 2), "{}", file.display());
            }
        }
    }
}
