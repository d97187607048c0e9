//! Every fixture, the same body on the CPU and on wgpu: w, activations stage by stage, pictures, SeFa, stored edits. The
//! bounds are those of the fixtures' README.

mod batches;
mod between;
mod biggan;
mod chain;
mod dcgan;
mod gradients;
mod half;
mod pca;
mod pggan;
mod spellings;
mod stated;
mod stylegan;
mod stylegan2;
mod stylegan3;
mod styles;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use sefa_studio::checkpoint::Checkpoint;
use sefa_studio::edit::{Code, Direction, Edit, LayerSet, Move, Sample, Truncation, Weighting};
use sefa_studio::generator::{Conditions, Generator, Label};
use sefa_studio::gpu::RenderDevice;
use sefa_studio::layout::{self, Weights};
use sefa_studio::progress;
use sefa_studio::render::{Engine, Example, Source};
use tempfile::TempPath;

use crate::support::{Arrays, devices, fixture, run_stages, sampled};

/// How far a picture may be off, absolute, in units of the -1..1 range.
const PICTURE: f32 = 5e-4;
const CODE: f32 = 1e-5;
const ACTIVATION: f32 = 2e-4;

/// One file of a fixture on one device.
struct Case {
    file: PathBuf,
    device: RenderDevice,
    expected: Arrays,
    /// Removes the file in the end, if a test made it.
    _temporary: Option<TempPath>,
}

impl Case {
    /// The files of a fixture's folder, each on every device.
    fn all(folder: &str, files: &[&str]) -> Vec<Case> {
        Case::of_devices(devices(), folder, files)
    }

    fn of_devices(devices: Vec<RenderDevice>, folder: &str, files: &[&str]) -> Vec<Case> {
        let case = |file: &&str, device: &RenderDevice| Case {
            file: fixture(&format!("{folder}/{file}")),
            device: device.clone(),
            expected: Arrays::read(&fixture(&format!("{folder}/expected.safetensors"))),
            _temporary: None,
        };
        devices.iter().flat_map(|device| files.iter().map(move |file| case(file, device))).collect()
    }

    fn is_cpu(&self) -> bool {
        self.device.wgpu().is_none()
    }

    /// Software Vulkan is slow, and one sample tells as much as two.
    fn samples(&self) -> std::ops::Range<usize> {
        if self.is_cpu() { 0..2 } else { 1..2 }
    }

    fn what(&self, part: &str, n: usize) -> String {
        format!("{} on {}, sample {n}: {part}", self.file.display(), self.device.label())
    }

    fn open(&self) -> Engine {
        open(&self.file, &self.device)
    }

    fn load(&self) -> Generator {
        Generator::load(&weights(&self.file), "case", self.device.place(), ("device", None), &mut progress::silent)
            .unwrap()
    }

    /// The class of a sample, if the fixture has classes.
    fn class(&self, n: usize) -> Option<usize> {
        if self.expected.has("class_index") {
            return Some(self.expected.get("class_index")[n] as usize);
        }
        self.expected.has("label").then(|| self.expected.row("label", n).iter().position(|&x| x == 1.0).unwrap())
    }

    fn edit(&self, n: usize, code: Code, psi: f32) -> Edit {
        let mut edit = edit(code, psi);
        edit.sample.class = self.class(n);
        edit
    }

    /// The edit of the stored z.
    fn edit_of_z(&self, n: usize, psi: f32) -> Edit {
        self.edit(n, Code::Z(self.expected.row("z", n)), psi)
    }

    #[track_caller]
    fn assert_picture(&self, engine: &mut Engine, edit: &Edit, name: &str, n: usize, bound: f32) {
        let picture = engine.render(edit).unwrap();
        let (every, expected) = self.expected.picture(name, n);
        let info = engine.info().unwrap();
        let size = [info.channels, info.size.height, info.size.width];
        let found = sampled(&picture.to_f32().unwrap(), size, every);
        assert_close(&self.what(name, n), &found, &expected, bound);
    }

    /// Features after the stages that `names` have a name for, with the stored code as input.
    #[track_caller]
    fn assert_stages(&self, generator: &Generator, code: &[f32], psi: f32, n: usize, names: &[&str]) {
        let conditions = Conditions { label: self.label(n), psi };
        let outputs = run_stages(generator, code, &conditions, self.device.device());
        assert_eq!(outputs.len(), names.len(), "number of stages");
        for (output, name) in outputs.iter().zip(names).filter(|(_, name)| !name.is_empty()) {
            let (every, expected) = self.expected.activation(name, n);
            assert_close_relative(&self.what(name, n), &output.features_every(every), &expected, ACTIVATION);
        }
    }

    fn label(&self, n: usize) -> Label {
        self.class(n).map_or(Label::default(), Label::class)
    }

    #[track_caller]
    fn assert_code(&self, generator: &Generator, name: &str, n: usize) -> Vec<f32> {
        let code = code_from_z(generator, &self.expected.row("z", n), &self.label(n));
        assert_close_relative(&self.what(name, n), &code, &self.expected.row(name, n), CODE);
        code
    }

    /// A move along a direction of the fixture: ours may have the other sign.
    fn stored_move(&self, group: &str, index: usize, value: f32, layers: &str) -> Move {
        let vectors = self.expected.get(&format!("sefa/{group}/eigenvectors"));
        let dim = vectors.len().isqrt();
        let vector = vectors[index * dim..(index + 1) * dim].to_vec();
        let direction = Direction::sefa(layers.parse().unwrap(), Weighting::RowNormalised, index, vector);
        Move::new(direction.into(), value)
    }

    /// The fixture's network with other values in one tensor, as a file of canonical tensors.
    fn with_tensor(&self, name: &str, values: &[f32]) -> Case {
        let weights = weights(&self.file);
        let shape = weights.shape(name).unwrap().to_vec();
        self.with_shaped_tensor(name, &shape, values)
    }

    /// As [`Case::with_tensor`], with another shape too, or one that the network lacks.
    fn with_shaped_tensor(&self, name: &str, shape: &[usize], values: &[f32]) -> Case {
        let weights = weights(&self.file);
        let stored = weights.shapes().filter(|(tensor, _)| *tensor != name);
        let stored =
            stored.map(|(tensor, stored)| (tensor.to_owned(), stored.to_vec(), weights.get(tensor, stored).unwrap()));
        let tensors = stored.chain([(name.to_owned(), shape.to_vec(), values.to_vec())]).collect();
        self.with_tensors(tensors, weights.settings().into_iter().collect())
    }

    /// The tensors of a map in the file's root, with other values, as a file.
    fn with_raw_tensors(&self, key: &str, change: impl Fn(&str, &mut Vec<f32>)) -> Case {
        let tree = Checkpoint::open(&self.file, &mut progress::silent).unwrap().tree;
        let map = tree.get(tree.root(), key).unwrap();
        let tensors = tree.entries(map).unwrap().iter().map(|&(name, value)| {
            let (name, tensor) = (tree.text(name).unwrap().to_owned(), tree.tensor(value).unwrap());
            let mut values = tensor.to_f32().unwrap();
            change(&name, &mut values);
            (name, tensor.shape().to_vec(), values)
        });
        self.with_tensors(tensors.collect(), HashMap::new())
    }

    fn with_tensors(&self, tensors: Vec<(String, Vec<usize>, Vec<f32>)>, metadata: HashMap<String, String>) -> Case {
        let bytes = |values: Vec<f32>| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let tensors: Vec<_> = tensors.into_iter().map(|(name, shape, values)| (name, shape, bytes(values))).collect();
        let views = tensors.iter().map(|(tensor, shape, bytes)| {
            (tensor.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        let file = tempfile::Builder::new().suffix(".safetensors").tempfile().unwrap().into_temp_path();
        std::fs::write(&file, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
        let expected = Arrays::read(&self.folder().join("expected.safetensors"));
        Case { file: file.to_path_buf(), device: self.device.clone(), expected, _temporary: Some(file) }
    }

    fn folder(&self) -> &Path {
        self.file.parent().unwrap()
    }
}

fn open(file: &Path, device: &RenderDevice) -> Engine {
    let mut engine = Engine::new(device.clone());
    let opened = engine.open(&Source::File(file.into()), &mut progress::silent);
    opened.unwrap_or_else(|error| panic!("{}: {error:?}", file.display()));
    engine
}

fn code_from_z(generator: &Generator, z: &[f32], label: &Label) -> Vec<f32> {
    generator.network.codes_from_z(&[z], &[label]).unwrap().remove(0)
}

fn weights(file: &Path) -> Weights {
    layout::detect(Checkpoint::open(file, &mut progress::silent).unwrap()).unwrap()
}

fn edit(code: Code, psi: f32) -> Edit {
    Edit {
        sample: Sample { code, ..Sample::default() },
        truncation: Truncation { psi, cutoff: None },
        ..Edit::default()
    }
}

#[track_caller]
fn assert_close(what: &str, found: &[f32], expected: &[f32], bound: f32) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= bound, "{what}: off by {worst}, allowed {bound}");
}

/// Relative to the largest expected value, or to 1.
#[track_caller]
fn assert_close_relative(what: &str, found: &[f32], expected: &[f32], bound: f32) {
    let largest = expected.iter().fold(1.0_f32, |m, x| m.max(x.abs()));
    assert_close(what, found, expected, bound * largest);
}

#[test]
fn the_models_inside_the_program_render_as_when_they_were_trained() {
    for (example, case, samples) in [(Example::ToyHeads, "toy-heads", 4), (Example::Faces, "faces-dcgan", 4)] {
        let expected = Arrays::read(&fixture(&format!("models/{case}.expected.safetensors")));
        for device in devices() {
            let mut engine = Engine::new(device.clone());
            engine.open(&Source::Example(example), &mut progress::silent).unwrap();
            for n in 0..samples {
                let edit = edit(Code::Z(expected.row("z", n)), 1.0);
                let found = engine.render(&edit).unwrap().to_f32().unwrap();
                // The weights inside the program are f16.
                assert_close(case, &found, &expected.row("image", n), 2e-2);
            }
        }
    }
}

/// Eigenvalues and directions against the fixture; near-equal eigenvalues leave only a subspace to compare.
fn assert_basis(engine: &mut Engine, layers: &LayerSet, expected: &Arrays, group: &str) {
    let basis = engine.factorize(layers, Weighting::RowNormalised).unwrap();
    let eigenvalues = expected.get(&format!("sefa/{group}/eigenvalues"));
    let vectors = expected.get(&format!("sefa/{group}/eigenvectors"));
    let dim = basis.len();
    let found: Vec<f32> = basis.eigenvalues.iter().map(|&v| v as f32).collect();
    assert_close(&format!("eigenvalues of {group}"), &found, &eigenvalues, 1e-5 * eigenvalues[0]);
    for i in 0..dim {
        let gap = |j: usize| (eigenvalues[i] - eigenvalues[j]).abs() / eigenvalues[0];
        let is_alone = (i == 0 || gap(i - 1) > 1e-3) && (i + 1 == dim || gap(i + 1) > 1e-3);
        let row = &vectors[i * dim..(i + 1) * dim];
        let cosine: f32 = basis.direction(i).iter().zip(row).map(|(a, b)| a * b).sum();
        assert!(!is_alone || cosine.abs() >= 0.9999, "direction {i} of {group}: |cos| {}", cosine.abs());
    }
}
