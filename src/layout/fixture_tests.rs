//! Real layouts: every fixture gives the network it should, or says why not.

use std::path::PathBuf;

use super::state_dict::StateDict;
use super::{LayoutError, Weights, detect, nvidia};
use crate::checkpoint::{Checkpoint, Container};
use crate::family::Family;
use crate::progress::silent;

pub(super) fn open(name: &str) -> Result<Weights, LayoutError> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    detect(Checkpoint::open(&path, &mut silent).unwrap_or_else(|error| panic!("{name}: {error:?}")))
}

fn refusal(name: &str) -> String {
    open(name).expect_err("was accepted").to_string()
}

pub(super) fn values(weights: &Weights, name: &str) -> Vec<f32> {
    weights.get(name, weights.shape(name).unwrap()).unwrap()
}

#[test]
fn one_network_in_every_layout_gives_the_same_tensors() {
    let master = open("stylegan2_ada_skip/model.pth").unwrap();
    assert_eq!((master.family, master.layout, master.container), (Family::StyleGan2, "nvidia", Container::TorchZip));
    assert_eq!(master.ignored, [""; 0]);
    assert_eq!(master.names().count(), 1 + 2 * 8 + 1 + 6 * 7 + 4 * 4);
    for (file, layout, mean) in [
        ("stylegan2_ada_skip/model.safetensors", "nvidia", true),
        ("stylegan2_ada_skip/model.pkl", "nvidia", true),
        ("stylegan2_ada_skip/model_tf.pkl", "tensorflow", true),
        ("stylegan2_genforce/model.pth", "genforce", true),
        ("stylegan2_rosinality/model.pt", "rosinality", true),
        ("stylegan2_rosinality/model_train.pt", "rosinality", false),
    ] {
        let other = open(file).unwrap();
        assert_eq!((other.family, other.layout), (Family::StyleGan2, layout), "{file}");
        assert_eq!(other.shape("mapping.w_avg").is_some(), mean, "{file}");
        let bare = layout == "nvidia" && other.container != Container::PythonPickle;
        assert_eq!(other.warnings.len(), usize::from(!mean || bare), "{file}: {:?}", other.warnings);
        assert_eq!(other.conv_clamp, None);
        for (name, shape) in master.shapes().filter(|(name, _)| mean || *name != "mapping.w_avg") {
            assert_eq!(other.shape(name), Some(shape), "{file}: {name}");
            let worst =
                values(&master, name).iter().zip(values(&other, name)).map(|(a, b)| (a - b).abs()).fold(0., f32::max);
            assert!(worst <= 1e-6, "{file}: {name} differs by {worst}");
        }
        assert_eq!(other.names().count(), master.names().count() - usize::from(!mean), "{file}");
        if layout == "nvidia" {
            assert_eq!(other.identity(), master.identity(), "{file}");
        }
    }
}

#[test]
fn unused_parts_and_code_are_reported() {
    let train = open("stylegan2_rosinality/model_train.pt").unwrap();
    assert_eq!(train.ignored, ["g", "d", "g_optim", "d_optim", "args", "ada_aug_p"]);
    assert!(!train.carries_code);
    assert!(train.warnings[0].starts_with("no mean w in the file"));
    let genforce = open("stylegan2_genforce/model.pth").unwrap();
    assert_eq!(genforce.ignored, ["generator", "discriminator"]);
    let pickled = open("stylegan2_ada_skip/model.pkl").unwrap();
    assert!(pickled.carries_code);
    assert_eq!(pickled.ignored, ["training_set_kwargs", "G", "D", "augment_pipe"]);
}

#[test]
fn one_dcgan_in_every_container() {
    let master = open("dcgan/netG.pth").unwrap();
    assert_eq!((master.family, master.layout), (Family::Dcgan, "sequential"));
    assert_eq!(master.shape("main.0.weight"), Some(&[12, 32, 4, 4][..]));
    assert_eq!(master.shape("main.12.weight"), Some(&[4, 3, 4, 4][..]));
    assert_eq!(master.names().count(), 5 + 4 * 4);
    let parallel = open("dcgan/netG_dataparallel.pth").unwrap();
    assert_eq!((parallel.container, parallel.identity()), (Container::TorchLegacy, master.identity()));
    let (half, half_safetensors) = (open("dcgan/netG_f16.pth").unwrap(), open("dcgan/netG_f16.safetensors").unwrap());
    assert_eq!(half.identity(), half_safetensors.identity());
    for (name, _) in master.shapes() {
        for (a, b) in values(&master, name).iter().zip(values(&half, name)) {
            assert!((a - b).abs() <= a.abs() / 1024.0 + 1e-6, "{name}: {a} {b}");
        }
    }
}

#[test]
fn the_clamp_is_an_attribute_of_pickled_modules() {
    for (name, expected) in [("stylegan2_ada_cond_pkl/model.pkl", Some(0.8)), ("stylegan2_ada_skip/model.pkl", None)] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        let tree = Checkpoint::open(&path, &mut silent).unwrap().tree;
        let state = StateDict::collect(&tree, tree.get(tree.root(), "G_ema").unwrap()).unwrap();
        assert_eq!(state.class.as_deref(), Some("Generator"));
        assert!(state.attributes.iter().any(|(name, rate)| name == "mapping.fc0.bias_gain" && rate.is_some()));
        assert_eq!(nvidia::conv_clamp(&state), Ok(expected), "{name}");
        assert_eq!(nvidia::check_mapping_rate(&state), Ok(()));
    }
}

#[test]
fn activations_on_file_are_no_generator() {
    let message = refusal("dcgan/expected.safetensors");
    assert!(message.contains("no generator layout matches") && message.contains("tensors, "), "{message}");
}

pub(super) type NamedTensor = (String, Vec<usize>, Vec<f32>);

/// A safetensors file.
pub(super) fn safetensors(
    tensors: impl IntoIterator<Item = NamedTensor>,
    metadata: impl IntoIterator<Item = (&'static str, String)>,
) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        header.insert(name, serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}));
    }
    let metadata = metadata.into_iter().map(|(key, text)| (key.to_string(), text.into()));
    header.insert("__metadata__".into(), serde_json::Value::Object(metadata.collect()));
    let header = serde_json::to_vec(&header).unwrap();
    [(header.len() as u64).to_le_bytes().to_vec(), header, data].concat()
}

/// All tensors of a file in its own names: of its root, or of a map in it.
pub(super) fn raw_tensors(name: &str, key: Option<&str>) -> Vec<NamedTensor> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let tree = Checkpoint::open(&path, &mut silent).unwrap().tree;
    let map = key.map_or(tree.root(), |key| tree.get(tree.root(), key).unwrap());
    let tensor = |&(name, value): &_| {
        let tensor = tree.tensor(value).unwrap();
        (tree.text(name).unwrap().to_string(), tensor.shape().to_vec(), tensor.to_f32().unwrap())
    };
    tree.entries(map).unwrap().iter().map(tensor).collect()
}

/// All canonical tensors of some weights.
pub(super) fn tensors(weights: &Weights) -> Vec<NamedTensor> {
    weights.shapes().map(|(name, shape)| (name.to_string(), shape.to_vec(), values(weights, name))).collect()
}

/// The canonical tensors of a file, changed by `change`, as a safetensors file.
fn rewritten(file: &str, change: impl Fn(&str, Vec<usize>, Vec<f32>) -> Option<NamedTensor>) -> Vec<u8> {
    let tensors = tensors(&open(file).unwrap());
    let changed = tensors.into_iter().filter_map(|(name, shape, values)| change(&name, shape, values));
    safetensors(changed, [("conv_clamp", "256".to_string()), ("title", "test".to_string())])
}

pub(super) fn detect_bytes(bytes: Vec<u8>) -> Result<Weights, LayoutError> {
    detect(Checkpoint::from_bytes(bytes, "test.safetensors").unwrap())
}

#[test]
fn canonical_tensors_written_and_read_again_are_the_same() {
    for file in ["stylegan2_genforce/model.pth", "dcgan/netG_f16.pth"] {
        let again = detect_bytes(rewritten(file, |name, shape, values| Some((name.into(), shape, values)))).unwrap();
        assert_eq!(again.identity(), open(file).unwrap().identity());
        assert_eq!(again.metadata["title"], "test");
        let stylegan = again.family == Family::StyleGan2;
        assert_eq!(again.conv_clamp, stylegan.then_some(256.0));
    }
}

#[test]
fn dcgans_of_other_scripts_are_recognised() {
    // convTr1.weight, bn1.weight, ... with biases and a grey picture.
    let renamed = |name: &str, mut shape: Vec<usize>, mut values: Vec<f32>| {
        let (module, part) = name.strip_prefix("main.")?.split_once('.')?;
        let index: usize = module.parse().ok()?;
        if index == 12 {
            shape[1] = 1;
            values.truncate(4 * 16);
        }
        let kind = if index.is_multiple_of(3) { "convTr" } else { "bn" };
        Some((format!("netG.{kind}{}.{part}", index / 3 + 1), shape, values))
    };
    let weights = detect_bytes(rewritten("dcgan/netG.pth", renamed)).unwrap();
    assert_eq!(weights.shape("main.12.weight"), Some(&[4, 1, 4, 4][..]));
    assert_eq!(values(&weights, "main.4.running_var"), values(&open("dcgan/netG.pth").unwrap(), "main.4.running_var"));
    // The same numbers as a discriminator's convolutions, [out, in, k, k] from the picture down.
    let mirrored = |name: &str, shape: Vec<usize>, values: Vec<f32>| {
        let (module, part) = name.strip_prefix("main.")?.split_once('.')?;
        let index: usize = module.parse().ok()?;
        Some((format!("main.{}.{part}", if index.is_multiple_of(3) { 12 - index } else { 14 - index }), shape, values))
    };
    let message = detect_bytes(rewritten("dcgan/netG.pth", mirrored)).unwrap_err().to_string();
    assert!(message.contains("a network that takes a picture, not a code"), "{message}");
}

#[test]
fn networks_are_found_inside_larger_ones() {
    for (generator, companion) in [("generator", "discriminator"), ("netG", "netD"), ("G", "D"), ("decoder", "encoder")]
    {
        // The first layer serves as the companion, so the chain starts at the second and its batch norm is one too many.
        let bytes = rewritten("dcgan/netG.pth", |name, shape, values| match name {
            "main.0.weight" => Some((format!("module.{companion}.conv.weight"), shape, values)),
            _ => Some((format!("module.{generator}.{name}"), shape, values)),
        });
        let message = detect_bytes(bytes).unwrap_err().to_string();
        assert!(message.contains("a chain of layers, which has no main.1."), "{message}");
    }
}

#[test]
fn pickled_modules_that_contain_themselves_are_refused() {
    let key = |key: &str| [b"U".as_slice(), &[u8::try_from(key.len()).unwrap()], key.as_bytes()].concat();
    // An object whose _modules hold the object itself, twice.
    let program = [
        b"\x80\x02cmodels\nGenerator\n)\x81q\x00}".to_vec(),
        key("_modules"),
        b"}(".to_vec(),
        key("a"),
        b"h\x00".to_vec(),
        key("b"),
        b"h\x00usb.".to_vec(),
    ];
    let checkpoint = Checkpoint::from_bytes(program.concat(), "loop.pkl").unwrap();
    assert!(checkpoint.carries_code);
    let message = detect(checkpoint).unwrap_err().to_string();
    assert!(message.contains("modules that contain themselves"), "{message}");
}

#[test]
fn faults_of_the_network_are_named() {
    let cases: [(&str, &str, &str); 6] = [
        ("mapping.fc3.bias", "missing", "StyleGAN2 (nvidia) is missing mapping.fc3.bias"),
        ("synthesis.b8.conv1.affine.weight", "missing", "is missing synthesis.b8.conv1.affine.weight"),
        ("synthesis.b8.conv0.bias", "short", "tensor synthesis.b8.conv0.bias: expected shape [24], found [23]"),
        ("synthesis.b16.conv1.noise_const", "short", "expected shape [16, 16], found [255]"),
        ("synthesis.b4.const", "short", "tensor synthesis.b4.const: expected shape of 3 axes, found [383]"),
        ("mapping.fc7.bias", "nan", "tensor mapping.fc7.bias: expected finite numbers, found NaN as value 2"),
    ];
    for (tensor, fault, expected) in cases {
        let bytes = rewritten("stylegan2_ada_skip/model.pth", |name, shape, mut values| {
            if name != tensor {
                return Some((name.into(), shape, values));
            }
            match fault {
                "missing" => return None,
                "short" => drop(values.pop()),
                _ => values[2] = f32::NAN,
            }
            let shape = if fault == "short" { vec![values.len()] } else { shape };
            Some((name.into(), shape, values))
        });
        let found = detect_bytes(bytes).and_then(|weights| weights.get(tensor, &[16]));
        let message = found.unwrap_err().to_string();
        assert!(message.starts_with("test.safetensors: ") && message.contains(expected), "{message}");
    }
    let with_taps = rewritten("stylegan2_ada_skip/model.pth", |name, shape, values| {
        // w_avg may be absent, so its place serves for the filter.
        if name == "mapping.w_avg" {
            return Some(("synthesis.b8.resample_filter".into(), vec![4, 4], vec![1.0 / 16.0; 16]));
        }
        Some((name.into(), shape, values))
    });
    assert!(detect_bytes(with_taps).unwrap_err().to_string().contains("expected the standard filter [1, 3, 3, 1]"));
}

#[test]
fn asking_for_another_shape_or_name_is_an_error() {
    let weights = open("dcgan/netG.pth").unwrap();
    let message = weights.get("main.0.weight", &[1]).unwrap_err().to_string();
    assert_eq!(message, "netG.pth: tensor main.0.weight: expected shape [1], found [12, 32, 4, 4]");
    assert!(weights.get("main.0.bias", &[32]).is_err());
    assert_eq!(weights.dims("main.0.weight"), Ok([12, 32, 4, 4]));
    assert!(weights.dims::<1>("main.0.weight").is_err());
    assert!(weights.dims::<1>("main.0.bias").is_err());
    assert_eq!(weights.find("main.0.bias", &[32]), Ok(None));
}
