//! Gradients of pictures with respect to codes against those of the reference implementations (PyTorch autograd in double precision),
//! on the CPU and on wgpu. The bounds are those of the fixtures' README.

use burn::tensor::{Tensor, TensorData};
use sefa_studio::generator::{
    Activation, Adjoint, Conditions, Generator, Gradient, Label, NoiseInput, Tape, recognise,
};
use sefa_studio::gpu::RenderDevice;
use sefa_studio::latent;
use sefa_studio::layout::Weights;
use sefa_studio::progress;
use sefa_studio::render::{Example, Source};

use super::{Case, weights};
use crate::support::{Arrays, devices, fixture};

/// How far a gradient may be off, relative to its largest value, and how far its cosine from 1.
#[derive(Clone, Copy, Debug)]
struct Bound {
    error: f32,
    cosine: f64,
}

/// Where no unit is near the kink of its activation, and where one is.
const TIGHT: Bound = Bound { error: 5e-4, cosine: 1e-6 };
const LOOSE: Bound = Bound { error: 3e-2, cosine: 5e-4 };

/// A network with its adjoint.
struct Subject {
    name: String,
    device: RenderDevice,
    generator: Generator,
    adjoint: Box<dyn Adjoint>,
    expected: Arrays,
    labels: [Label; 2],
}

impl Subject {
    fn new(name: &str, weights: &Weights, device: &RenderDevice, labels: [Label; 2]) -> Self {
        let expected = fixture(&format!("vjp/{name}.safetensors"));
        let place = device.place();
        let generator = Generator::load(weights, "case", place, ("device", None), &mut progress::silent).unwrap();
        let adjoint = Generator::load_adjoint(weights, place, &mut progress::silent).unwrap();
        Subject {
            name: format!("{name} on {}", device.label()),
            device: device.clone(),
            generator,
            adjoint: adjoint.expect("a family with gradients"),
            expected: if expected.exists() { Arrays::read(&expected) } else { Arrays::empty() },
            labels,
        }
    }

    /// The fixture's file on every device.
    fn all(folder: &str, file: &str) -> Vec<(Subject, Case)> {
        let cases = Case::all(folder, &[file]).into_iter();
        let subject = |case: Case| {
            let labels = [case.label(0), case.label(1)];
            (Subject::new(folder, &weights(&case.file), &case.device, labels), case)
        };
        cases.map(subject).collect()
    }

    fn tensor<const D: usize>(&self, values: &[f32], shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), self.device.device())
    }

    fn conditions(&self, psi: f32) -> Vec<Conditions> {
        self.labels.iter().map(|label| Conditions { label: label.clone(), psi }).collect()
    }

    /// `[layers, 2, dim]` of the stored `[2, layers, dim]`.
    fn codes(&self, values: &[f32]) -> Vec<Tensor<2>> {
        let info = &self.generator.info;
        let dim = info.code_dim();
        let of_layer = |layer: usize| {
            let rows = (0..2).flat_map(|n| &values[(n * info.num_layers + layer) * dim..][..dim]).copied();
            self.tensor(&rows.collect::<Vec<_>>(), [2, dim])
        };
        (0..info.num_layers).map(of_layer).collect()
    }

    /// Both pictures, and what their stages left behind.
    fn run(&self, codes: &[Tensor<2>], psi: f32, tape: fn() -> Tape) -> (Tensor<4>, Vec<Tape>) {
        let (network, conditions) = (&self.generator.network, self.conditions(psi));
        let (mut tapes, mut output): (Vec<Tape>, Option<Activation>) = (Vec::new(), None);
        for (number, stage) in network.stages().iter().enumerate() {
            let codes: Vec<_> = stage.layers.iter().map(|&layer| codes[layer].clone()).collect();
            let mut tape = tape();
            output = Some(network.run(number, output.as_ref(), &codes, &NoiseInput::Const, &conditions, &mut tape));
            tapes.push(tape);
        }
        (output.and_then(|output| output.picture).expect("a picture"), tapes)
    }

    /// The gradient of the fixtures' number with respect to the code of each layer, `[2, dim]`, and to the embedding of the class.
    fn pull(&self, codes: &[Tensor<2>], psi: f32) -> (Vec<Tensor<2>>, Option<Tensor<2>>) {
        let stages = self.generator.network.stages();
        let (picture, tapes) = self.run(codes, psi, Tape::on);
        let cotangent = self.tensor(&cotangent(picture.dims()), picture.dims());
        let mut gradient = Gradient { features: None, picture: Some(cotangent) };
        let mut of_codes: Vec<Option<Tensor<2>>> = vec![None; codes.len()];
        let mut embedding: Option<Tensor<2>> = None;
        for (number, tape) in tapes.into_iter().enumerate().rev() {
            let pulled = self.adjoint.pull(number, tape, gradient);
            for (&layer, grad) in stages[number].layers.iter().zip(pulled.codes) {
                let sum = of_codes[layer].take().map_or(grad.clone(), |before| before + grad);
                of_codes[layer] = Some(sum);
            }
            if let Some(grad) = pulled.embedding {
                embedding = Some(embedding.map_or(grad.clone(), |before| before + grad));
            }
            gradient = pulled.input;
        }
        assert!(gradient.features.is_none() && gradient.picture.is_none(), "nothing comes before the first stage");
        (of_codes.into_iter().map(|grad| grad.expect("a gradient of every code")).collect(), embedding)
    }

    #[track_caller]
    fn assert_close(&self, found: &[f32], name: &str, bound: Bound) {
        let expected = self.expected.get(name);
        assert_eq!(found.len(), expected.len(), "{}: {name}", self.name);
        let largest = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
        let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let cosine = product(found, &expected) / (product(found, found) * product(&expected, &expected)).sqrt();
        assert!(worst <= bound.error, "{}: {name} is off by {worst}, allowed {bound:?}", self.name);
        assert!(1.0 - cosine <= bound.cosine, "{}: {name} has the cosine {cosine}, allowed {bound:?}", self.name);
    }

    /// Of codes per layer: `[2, layers, dim]`.
    fn assert_layers(&self, codes: &[f32], name: &str, bound: Bound) {
        let (found, _) = self.pull(&self.codes(codes), 1.0);
        let by_layer: Vec<Vec<f32>> = found.into_iter().map(values).collect();
        let dim = self.generator.info.code_dim();
        let found: Vec<f32> =
            (0..2).flat_map(|n| by_layer.iter().flat_map(move |rows| &rows[n * dim..][..dim])).copied().collect();
        self.assert_close(&found, name, bound);
    }

    /// Of z, through the mapping network or straight into the layers.
    fn assert_z(&self, z: &[f32], name: &str, psi: f32, bound: Bound) -> Option<Vec<f32>> {
        let info = &self.generator.info;
        let mut tape = Tape::on();
        let z = self.tensor(z, [2, info.z_dim]);
        let code = self.generator.network.map(z, &self.labels.iter().collect::<Vec<_>>(), &mut tape);
        let (found, embedding) = self.pull(&vec![code; info.num_layers], psi);
        let sum = found.into_iter().reduce(|sum, grad| sum + grad).expect("a layer");
        self.assert_close(&values(self.adjoint.pull_map(tape, sum)), name, bound);
        embedding.map(values)
    }

    /// Everything that the fixture has of a style-based network, whose stored codes are `codes`.
    fn check_styles(&self, codes: &[f32], z: &[f32]) {
        let has_robust = self.expected.has("robust/ws");
        let bound = if has_robust { LOOSE } else { TIGHT };
        self.assert_layers(codes, "vjp64/ws", bound);
        self.assert_z(z, "vjp64/z", 1.0, bound);
        if has_robust {
            self.assert_layers(&self.expected.get("robust/ws"), "robust/vjp64/ws", TIGHT);
        }
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// The fixtures' factors of the pictures' values, whose sum is the number that is derived.
fn cotangent(shape: [usize; 4]) -> Vec<f32> {
    let number = |i: u64| {
        let mut s = i.wrapping_add(11).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        s = (s ^ (s >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        s = (s ^ (s >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        s ^= s >> 31;
        ((s >> 40) as i32 - (1 << 23)) as f32 / 16_777_216.0 / shape[2] as f32
    };
    (0..shape.iter().product::<usize>() as u64).map(number).collect()
}

#[test]
fn cotangents_are_those_of_the_fixtures() {
    let expected = Arrays::read(&fixture("vjp/stylegan2_ada_skip.safetensors")).get("cotangent");
    assert_eq!(cotangent([2, 3, 32, 32]), expected);
}

#[test]
fn stylegan2_has_the_gradients_of_the_reference() {
    for (folder, file, codes) in [
        ("stylegan2_ada_skip", "model.pth", "ws"),
        ("stylegan2_genforce", "model.pth", "wp"),
        ("stylegan2_rosinality", "model.pt", "latent"),
        ("stylegan2_genforce_cond", "model.pth", "wp"),
        ("stylegan2_ada_cond_pkl", "model.pkl", "ws"),
        ("stylegan2_ada_resnet", "model.pth", "ws"),
    ] {
        for (subject, case) in Subject::all(folder, file) {
            subject.check_styles(&case.expected.get(codes), &case.expected.get("z"));
        }
    }
}

#[test]
fn dcgan_has_the_gradients_of_the_reference() {
    for (subject, case) in Subject::all("dcgan", "netG.pth") {
        subject.assert_z(&case.expected.get("z"), "vjp64/z", 1.0, TIGHT);
    }
}

#[test]
fn the_faces_have_the_gradients_of_the_reference() {
    let z = Arrays::read(&fixture("models/faces-dcgan.expected.safetensors")).get("z");
    let checkpoint = Source::Example(Example::Faces).open(&mut progress::silent).unwrap();
    let weights = recognise(checkpoint, &mut progress::silent).unwrap();
    for device in devices() {
        let subject = Subject::new("faces-dcgan", &weights, &device, Default::default());
        // The fixture is of weights in f32, those inside the program are f16.
        subject.assert_z(&z[..200], "vjp64/z", 1.0, LOOSE);
    }
}

#[test]
fn pggan_has_the_gradients_of_the_reference() {
    for folder in ["pggan_genforce", "pggan_genforce_fused"] {
        for (subject, case) in Subject::all(folder, "model.pth") {
            let z = case.expected.get("z");
            subject.assert_z(&z, "vjp64/z", 1.0, TIGHT);
            if subject.expected.has("robust/z") {
                subject.assert_z(&subject.expected.get("robust/z"), "robust/vjp64/z", 1.0, TIGHT);
            }
            for lod in [1.5, 2.25] {
                let grown = case.with_tensor("lod", &[lod]);
                let subject = Subject::new(folder, &weights(&grown.file), &case.device, Default::default());
                subject.assert_z(&z, &format!("vjp64/z_lod{lod}"), 1.0, TIGHT);
            }
        }
    }
}

#[test]
fn stylegan_has_the_gradients_of_the_reference() {
    for (subject, case) in Subject::all("stylegan1_genforce", "model.pth") {
        subject.check_styles(&case.expected.get("wp"), &case.expected.get("z"));
    }
}

#[test]
fn stylegan3_has_the_gradients_of_the_reference() {
    for folder in ["stylegan3_t", "stylegan3_r"] {
        for (subject, case) in Subject::all(folder, "model.pth") {
            let (ws, z) = (case.expected.get("ws"), case.expected.get("z"));
            subject.check_styles(&ws, &z);
            let moved = case.with_tensor("synthesis.input.transform", &case.expected.get("transform"));
            let subject = Subject::new(folder, &weights(&moved.file), &case.device, Default::default());
            subject.assert_layers(&ws, "vjp64/ws_transform", LOOSE);
        }
    }
}

/// What the fixture has of a BigGAN, at the psi of its stored pictures.
fn check_biggan(folder: &str, file: &str, psi: f32, others: &[f32]) {
    for (subject, case) in Subject::all(folder, file) {
        let z = case.expected.get("z");
        let embedding = subject.assert_z(&z, "vjp64/z", psi, LOOSE).expect("a gradient of the embedding");
        subject.assert_close(&embedding, "vjp64/embedding", LOOSE);
        subject.assert_z(&subject.expected.get("robust/z"), "robust/vjp64/z", psi, TIGHT);
        for &psi in others {
            subject.assert_z(&z, &format!("vjp64/z_t{psi}"), psi, LOOSE);
        }
    }
}

#[test]
fn biggan_has_the_gradients_of_the_reference() {
    check_biggan("biggan_ajbrock", "G_ema.pth", 1.0, &[]);
}

#[test]
fn biggan_deep_has_the_gradients_of_the_reference() {
    check_biggan("biggan_deep_ajbrock", "G_ema.pth", 1.0, &[]);
    check_biggan("biggan_deep_hf", "pytorch_model.bin", 1.0, &[0.435, 0.5, 0.58]);
    check_biggan("biggan_deep_hf_small", "pytorch_model.bin", 0.4, &[0.765]);
}

/// The fixtures are of older weights, so here differences have to do: of the same number, along a few directions of w.
#[test]
fn the_heads_have_the_gradients_that_differences_show() {
    let checkpoint = Source::Example(Example::ToyHeads).open(&mut progress::silent).unwrap();
    let weights = recognise(checkpoint, &mut progress::silent).unwrap();
    for device in devices() {
        let subject = Subject::new("toy-heads", &weights, &device, Default::default());
        let info = &subject.generator.info;
        let z = subject.tensor(&latent::z_from_seed(7, 2 * info.z_dim), [2, info.z_dim]);
        let w = subject.generator.network.map(z, &[&Label::default(); 2], &mut Tape::off());
        let (of_layers, _) = subject.pull(&vec![w.clone(); info.num_layers], 1.0);
        let gradient = of_layers.into_iter().reduce(|sum, grad| sum + grad).unwrap();
        let number = |w: Tensor<2>| {
            let (picture, _) = subject.run(&vec![w; info.num_layers], 1.0, Tape::off);
            let picture = values(picture);
            let factors = cotangent([2, 3, info.size.height, info.size.width]);
            picture.iter().zip(&factors).map(|(x, r)| f64::from(*x) * f64::from(*r)).sum::<f64>()
        };
        // Of unit length, and each with another part of the gradient.
        for seed in 0..3 {
            let mask = subject.tensor(&latent::z_from_seed(seed, 2 * info.code_dim()), [2, info.code_dim()]);
            let direction = gradient.clone() * mask.abs();
            let direction = direction.clone() / direction.square().sum().sqrt().reshape([1, 1]);
            let expected = f64::from((gradient.clone() * direction.clone()).sum().into_scalar::<f32>());
            let step = 5e-3;
            let along = |step: f64| number(w.clone() + direction.clone().mul_scalar(step));
            let found = (along(step) - along(-step)) / (2.0 * step);
            assert!((found - expected).abs() < 1e-2 * expected, "{}: {found}, expected {expected}", subject.name);
        }
    }
}
