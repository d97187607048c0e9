//! Files made to take a machine down, and files damaged by chance, through the whole program: opened, drawn, factorised.
//!
//! The seeds are fixed. `SEFA_STUDIO_FUZZ_SECONDS=600` goes on for as long, from a seed of the clock that is printed.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use sefa_studio::checkpoint::{Checkpoint, Container, Tree, Value};
use sefa_studio::edit::Weighting;
use sefa_studio::export;
use sefa_studio::generator::Group;
use sefa_studio::gpu::RenderDevice;
use sefa_studio::progress::silent;
use sefa_studio::render::{Engine, Source};

use crate::support::fixture;

/// What any file of 64 kB may take, with room for machines under load.
const SLOW: Duration = Duration::from_secs(20);

/// Opens a file, draws its first picture and finds its directions, as far as it goes; what stopped it, if something did.
fn use_all(path: &Path) -> Result<(), String> {
    let started = Instant::now();
    let used = (|| {
        let mut engine = Engine::new(RenderDevice::cpu(None));
        let info = engine.open(&Source::File(path.into()), &mut silent).map_err(|error| format!("{error:?}"))?;
        let drawn = engine.render(&info.start(1)).and_then(|picture| picture.to_f32());
        let layers = info.group(Group::All).ok_or("no layers")?;
        engine.factorize(&layers, Weighting::RowNormalised).map_err(|error| format!("{error:?}"))?;
        drawn.map(drop).map_err(|error| format!("{error:?}"))
    })();
    let took = started.elapsed();
    assert!(took < SLOW, "{} took {took:?}: {used:?}", path.display());
    used
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit.max(1)
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// A tensor of a state dict: a view of numbers that are there, or one number over and over.
#[derive(Clone)]
struct Stored {
    name: String,
    shape: Vec<usize>,
    values: Option<Vec<f32>>,
}

/// The state dict of a fixture, on the way to it whatever key there is.
fn state_dict(file: &str) -> Vec<Stored> {
    let checkpoint = Checkpoint::open(&fixture(file), &mut silent).unwrap();
    let tree: &Tree = &checkpoint.tree;
    let parts = ["g_ema", "generator_smooth", "generator"];
    let root: Value = parts.iter().find_map(|part| tree.get(tree.root(), part)).unwrap_or(tree.root());
    let entries = tree.entries(root).unwrap().iter();
    let stored = entries.filter_map(|&(key, value)| {
        let (name, tensor) = (tree.text(key)?, tree.tensor(value)?);
        let values = tensor.to_f32().unwrap();
        Some(Stored { name: name.into(), shape: tensor.shape().into(), values: Some(values) })
    });
    stored.collect()
}

/// A torch file of those tensors.
fn torch_file(path: &Path, tensors: &[Stored]) {
    use std::io::Write;
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    let mut program = b"\x80\x02}(".to_vec();
    let text = |program: &mut Vec<u8>, text: &str| {
        program.push(b'X');
        program.extend((text.len() as u32).to_le_bytes());
        program.extend(text.as_bytes());
    };
    let tuple = |program: &mut Vec<u8>, numbers: &[usize]| {
        program.push(b'(');
        for number in numbers {
            program.push(b'J');
            program.extend((*number as u32).to_le_bytes());
        }
        program.push(b't');
    };
    for (key, tensor) in tensors.iter().enumerate() {
        let values = tensor.values.clone().unwrap_or_else(|| vec![0.01]);
        zip.start_file(format!("x/data/{key}"), options).unwrap();
        zip.write_all(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
        text(&mut program, &tensor.name);
        program.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut program, "storage");
        program.extend(b"ctorch\nFloatStorage\n");
        text(&mut program, &key.to_string());
        text(&mut program, "cpu");
        program.push(b'J');
        program.extend((values.len() as u32).to_le_bytes());
        program.extend(b"tQK\0");
        tuple(&mut program, &tensor.shape);
        let row_major = |axis: usize| tensor.shape[axis + 1..].iter().product::<usize>();
        let strides = (0..tensor.shape.len()).map(|axis| if tensor.values.is_some() { row_major(axis) } else { 0 });
        tuple(&mut program, &strides.collect::<Vec<_>>());
        program.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    program.extend(b"u.");
    zip.start_file("x/data.pkl", options).unwrap();
    zip.write_all(&program).unwrap();
    zip.finish().unwrap();
}

const STATE_DICTS: [&str; 8] = [
    "pggan_genforce/model.pth",
    "stylegan1_genforce/model.pth",
    "stylegan2_ada_skip/model.pth",
    "stylegan2_rosinality/model_train.pt",
    "stylegan3_r/model.pth",
    "biggan_ajbrock/G_ema.pth",
    "biggan_deep_hf_small/pytorch_model.bin",
    "dcgan/netG.pth",
];

/// Gives all axes of one length another, so that the tensors still fit each other, and claims numbers that are not there.
fn resize(tensors: &mut [Stored], from: usize, to: usize) {
    for tensor in tensors.iter_mut().filter(|tensor| tensor.shape.contains(&from)) {
        tensor.shape.iter_mut().filter(|axis| **axis == from).for_each(|axis| *axis = to);
        tensor.values = None;
    }
}

/// Until when to go on, and where to begin.
fn effort(cases: usize, seed: u64) -> (impl FnMut() -> bool, Random) {
    let seconds = std::env::var("SEFA_STUDIO_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let seed = match until {
        None => seed,
        Some(_) => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1,
    };
    println!("seed {seed}");
    let mut done = 0;
    let goes_on = move || {
        done += 1;
        until.map_or(done <= cases, |until| Instant::now() < until)
    };
    (goes_on, Random(seed))
}

#[test]
fn networks_of_any_claimed_size_are_drawn_or_refused_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("claims.pth");
    let dicts: Vec<Vec<Stored>> = STATE_DICTS.iter().map(|file| state_dict(file)).collect();
    let (mut goes_on, mut random) = effort(80, 0x9e37_79b9_7f4a_7c15);
    let (mut drawn, mut tried) = (0, 0);
    while goes_on() {
        let mut tensors = random.one(&dicts).clone();
        for _ in 0..1 + random.below(3) {
            let shape = random.one(&tensors).shape.clone();
            let Some(&from) = shape.get(random.below(shape.len())) else { continue };
            let to = *random.one(&[1, 2, 5, 64, 512, 2048, 4096, 65_536, from * 2, from * 4, from / 2, from + 1]);
            resize(&mut tensors, from, to);
        }
        torch_file(&path, &tensors);
        tried += 1;
        drawn += usize::from(use_all(&path).is_ok());
    }
    println!("{drawn} of {tried} were drawn");
    assert!(drawn * 20 >= tried, "only {drawn} of {tried} networks were drawn at all: this tests nothing");
}

#[test]
fn damaged_networks_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.pth");
    let files = [
        "stylegan2_ada_skip/model.pkl",
        "dcgan/netG_dataparallel.pth",
        "stylegan1_genforce/model_tf.pkl",
        "archive_dcgan/model.onnx",
        "archive_dcgan/scripted.pt",
        "stated/functional.keras",
    ];
    let whole: Vec<Vec<u8>> = STATE_DICTS.iter().chain(&files).map(|file| fs::read(fixture(file)).unwrap()).collect();
    let (mut goes_on, mut random) = effort(120, 0x2545_f491_4f6c_dd1d);
    let (mut drawn, mut tried) = (0, 0);
    while goes_on() {
        let mut bytes = random.one(&whole).clone();
        for _ in 0..1 + random.below(4) {
            // Half of the changes where the structure is: at the ends.
            let (len, near) = (bytes.len(), bytes.len().min(3000));
            let at = match random.below(4) {
                0 => random.below(near),
                1 => len - 1 - random.below(near),
                _ => random.below(len),
            };
            match random.below(8) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..(at + 1 + random.below(8)).min(len))),
                2 => bytes.insert(at, random.below(256) as u8),
                3 => bytes[at] = *random.one(&[0, 1, 0x7f, 0x80, 0xff]),
                _ => bytes[at] ^= 1 << random.below(8),
            }
            if bytes.is_empty() {
                break;
            }
        }
        fs::write(&path, &bytes).unwrap();
        tried += 1;
        drawn += usize::from(use_all(&path).is_ok());
    }
    println!("{drawn} of {tried} were drawn");
    assert!(drawn * 20 >= tried, "only {drawn} of {tried} networks were drawn at all: this tests nothing");
}

/// The bytes of a header's length may spell the start of a pickle: 640, 896, 1152 and so on.
#[test]
fn converted_files_open_whatever_the_length_of_their_header() {
    let folder = tempfile::tempdir().unwrap();
    let (small, out) = (folder.path().join("small.pth"), folder.path().join("out.safetensors"));
    let tensor = |name: &str, shape: &[usize]| {
        let values = vec![0.5; shape.iter().product()];
        Stored { name: name.into(), shape: shape.into(), values: Some(values) }
    };
    let norm = ["weight", "bias", "running_mean", "running_var"].map(|part| tensor(&format!("main.1.{part}"), &[2]));
    let ends = [tensor("main.0.weight", &[3, 2, 4, 4]), tensor("main.3.weight", &[2, 3, 4, 4])];
    torch_file(&small, &[&ends[..1], &norm, &ends[1..]].concat());
    let mut lengths = Vec::new();
    for title in (0..1000).step_by(8) {
        let mut weights = sefa_studio::layout::detect(Checkpoint::open(&small, &mut silent).unwrap()).unwrap();
        weights.metadata.insert("title".into(), "t".repeat(title));
        export::write_weights(&out, &weights, export::NumberFormat::Single, &mut silent).unwrap();
        lengths.push(u64::from_le_bytes(fs::read(&out).unwrap()[..8].try_into().unwrap()));
        let opened = Checkpoint::open(&out, &mut silent).unwrap();
        assert_eq!(opened.container, Container::Safetensors, "header of {:?} bytes", lengths.last());
    }
    assert!(lengths.contains(&896) && lengths.contains(&1152), "{lengths:?}");
}

/// The fixture with other channels from one block on, all zeros but for one number.
#[test]
fn small_files_that_claim_large_networks_are_refused_with_the_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("claims.pth");
    let view = |name: String, shape: &[usize]| Stored { name, shape: shape.into(), values: None };
    // Twelve blocks of 16 channels: 4 GiB for the largest map.
    let mut pggan = vec![view("lod".into(), &[]), view("layer0.weight".into(), &[16, 16, 4, 4])];
    for block in 0..12 {
        let first = if block == 0 { 1 } else { 2 * block };
        (first..2 * block + 2).for_each(|n| pggan.push(view(format!("layer{n}.weight"), &[16, 16, 3, 3])));
        pggan.push(view(format!("output{block}.weight"), &[3, 16, 1, 1]));
        pggan.push(view(format!("output{block}.bias"), &[3]));
    }
    (0..24).for_each(|n| pggan.push(view(format!("layer{n}.bias"), &[16])));
    torch_file(&path, &pggan);
    let refusal = use_all(&path).unwrap_err();
    assert!(refusal.contains("TooCostly") && refusal.contains("8192 x 8192"), "{refusal}");

    // A latent code of 65 536 numbers: 34 GB for SeFa's matrix.
    let mut wide = state_dict("dcgan/netG.pth");
    resize(&mut wide, 32, 1);
    resize(&mut wide, 12, 65_536);
    torch_file(&path, &wide);
    let refusal = use_all(&path).unwrap_err();
    assert!(refusal.contains("65536 numbers (at most 2048)"), "{refusal}");

    // No mean w, and a mapping network of 60 000 numbers in the middle: 1 GB for 4096 samples in one piece.
    let mut wide = state_dict("stylegan2_rosinality/model_train.pt");
    for (name, shape) in [("style.4.weight", [60_000, 16]), ("style.5.weight", [16, 60_000])] {
        let tensor = wide.iter_mut().find(|tensor| tensor.name == name).unwrap();
        (tensor.shape, tensor.values) = (shape.into(), None);
    }
    let bias = wide.iter_mut().find(|tensor| tensor.name == "style.4.bias").unwrap();
    (bias.shape, bias.values) = (vec![60_000], None);
    torch_file(&path, &wide);
    use_all(&path).unwrap();
}
