//! Spellings of StyleGAN2 and 3: what each file gives, what is said of it, and what survives a conversion.

use std::path::PathBuf;

use super::fixture_tests::{NamedTensor, detect_bytes, open, safetensors, tensors, values};
use super::refusal_tests::widened;
use super::state_dict::StateDict;
use super::{ChannelOrder, LatentNorm, Upsampling, Weights, nvidia, tensorflow};
use crate::checkpoint::Checkpoint;
use crate::family::Family;
use crate::generator::{ModelInfo, describe};
use crate::progress::silent;
use crate::size::Size;

fn info(weights: &Weights) -> ModelInfo {
    describe(weights, "test").unwrap()
}

#[test]
fn every_spelling_is_recognised_with_its_size() {
    let (portrait, landscape, square) = (Size::new(16, 32), Size::new(24, 16), Size::square(16));
    for (file, layout, size) in [
        ("stylegan2_human_oblong/model.pth", "nvidia", portrait),
        ("stylegan2_human_oblong/model.pkl", "nvidia", portrait),
        ("rosinality_oblong/model.pt", "rosinality", portrait),
        ("rosinality_oblong/model_nonoise.pt", "rosinality", portrait),
        ("stylegan2_init_size/model.pth", "nvidia", landscape),
        ("stylegan2_init_size/model.pkl", "nvidia", landscape),
        ("stylegan2_tf_surgery/model.pkl", "tensorflow", landscape),
        ("stylegan2_no_noise/model.pth", "nvidia", square),
        ("stylegan2_no_noise/model.pkl", "nvidia", square),
        ("stylegan2_mmgen/model.pth", "mmgeneration", square),
        ("stylegan2_mmgen/model_ema.pth", "mmgeneration", square),
        ("stylegan2_basicsr/model.pth", "basicsr", square),
        ("stylegan2_bilinear/model.pth", "basicsr", square),
        ("stylegan2_clean/model.pth", "gfpgan clean", square),
        ("stylegan3_human_oblong/model.pkl", "nvidia", portrait),
        ("stylegan3_human_oblong/state_dict.pth", "nvidia", portrait),
    ] {
        let weights = open(file).unwrap();
        let info = info(&weights);
        assert_eq!((weights.layout, info.size), (layout, size), "{file}");
        let is_filter = |part: &String| part.contains("kernel") || part.contains("filter");
        assert!(
            !weights.ignored.iter().any(|part| part.starts_with("tensors") && !is_filter(part)),
            "{file}: {:?}",
            weights.ignored
        );
        assert_eq!(info.layers.last().map(|layer| layer.size), Some(size), "{file}");
    }
}

#[test]
fn one_oblong_network_in_two_spellings_gives_the_same_tensors() {
    for (file, other) in [
        ("stylegan2_human_oblong/model.pth", "rosinality_oblong/model.pt"),
        ("stylegan2_human_oblong/model.pth", "stylegan2_human_oblong/model.pkl"),
        ("stylegan2_init_size/model.pth", "stylegan2_tf_surgery/model.pkl"),
        ("stylegan2_mmgen/model.pth", "stylegan2_mmgen/model_ema.pth"),
        ("stylegan3_human_oblong/model.pkl", "stylegan3_human_oblong/state_dict.pth"),
    ] {
        let (a, b) = (open(file).unwrap(), open(other).unwrap());
        for (name, shape) in b.shapes() {
            assert_eq!(a.shape(name), Some(shape), "{other}: {name}");
            let worst = values(&a, name).iter().zip(values(&b, name)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= 1e-6, "{other}: {name} differs by {worst}");
        }
    }
}

#[test]
fn what_a_file_lacks_of_noise_is_said() {
    let of = |file: &str| {
        let weights = open(file).unwrap();
        let info = info(&weights);
        (info.has_noise, info.stores_noise, weights.warnings.iter().any(|warning| warning.contains("noise")))
    };
    assert_eq!(of("stylegan2_human_oblong/model.pkl"), (true, true, false));
    assert_eq!(of("stylegan2_no_noise/model.pkl"), (false, false, false));
    assert_eq!(of("rosinality_oblong/model_nonoise.pt"), (true, false, true));
    assert_eq!(of("stylegan2_tf_surgery/model.pkl"), (true, false, true));
    // A constant that the noise of the file does not fit.
    let weights =
        detect_bytes(safetensors(widened("stylegan2_genforce/model.pth", "synthesis.b4.const", 6), [])).unwrap();
    assert_eq!(info(&weights).size, Size::new(48, 32));
    let said = weights.warnings.iter().find(|warning| warning.contains("noise")).unwrap();
    assert!(said.contains("synthesis.b4.conv1.noise_const is 4 x 4, its layer 6 x 4"), "{said}");
    // Some noise pictures, but not all.
    let some = tensors(&open("stylegan2_genforce/model.pth").unwrap());
    let some = some.into_iter().filter(|(name, ..)| name != "synthesis.b8.conv0.noise_const");
    let message = detect_bytes(safetensors(some, [])).unwrap_err().to_string();
    assert!(message.contains("is missing synthesis.b8.conv0.noise_const"), "{message}");
}

/// As `convert` does, with what the user says of the file.
fn converted(file: &str, told: &[(&'static str, &str)]) -> Weights {
    let weights = open(file).unwrap();
    let metadata: Vec<(String, String)> = weights.settings().into_iter().collect();
    let told = told.iter().map(|&(key, text)| (key, text.to_owned()));
    let known = ["format", "family", "conv_clamp", "upsampling", "latent_norm", "channel_order"];
    let settings = metadata
        .into_iter()
        .filter_map(|(key, text)| known.into_iter().find(|known| *known == key).map(|key| (key, text)));
    detect_bytes(safetensors(tensors(&weights), settings.chain(told))).unwrap()
}

#[test]
fn what_no_tensor_tells_survives_a_conversion() {
    let clean = converted("stylegan2_clean/model.pth", &[]);
    assert_eq!((clean.layout, clean.conventions.upsampling), ("nvidia", Upsampling::Bilinear));
    let mmgen = converted("stylegan2_mmgen/model.pth", &[]);
    assert_eq!((mmgen.conventions.latent_norm, mmgen.conventions.channel_order), (LatentNorm::Root, ChannelOrder::Bgr));
    assert_eq!(info(&mmgen).channel_order, ChannelOrder::Bgr);
    let switched = converted("stylegan2_mmgen/model.pth", &[("channel_order", "rgb")]);
    assert_eq!(switched.conventions.channel_order, ChannelOrder::Rgb);
    let bilinear = converted("stylegan2_bilinear/model.pth", &[("upsampling", "bilinear")]);
    assert_eq!(bilinear.conventions.upsampling, Upsampling::Bilinear);
    let odd = converted("stylegan2_bilinear/model.pth", &[("upsampling", "cubic")]);
    assert!(odd.warnings.iter().any(|warning| warning.contains("expected fir or bilinear")), "{:?}", odd.warnings);
}

#[test]
fn guesses_are_said() {
    let says = |file: &str, text: &str| open(file).unwrap().warnings.iter().any(|warning| warning.contains(text));
    assert!(says("stylegan2_mmgen/model.pth", "blue, green, red"));
    assert!(says("stylegan2_basicsr/model.pth", "--upsampling bilinear"));
    assert!(!says("stylegan2_clean/model.pth", "--upsampling"));
}

/// A first mapping layer that is wider than w is what converters leave of a network with classes.
#[test]
fn classes_that_a_conversion_lost_are_said() {
    let renamed = |(name, shape, values): NamedTensor| -> NamedTensor {
        let rosinality = [
            ("synthesis.b4.const", "input.input"),
            ("synthesis.b4.conv1.weight", "conv1.conv.weight"),
            ("synthesis.b4.conv1.affine", "conv1.conv.modulation"),
            ("synthesis.b4.conv1.bias", "conv1.activate.bias"),
            ("synthesis.b4.torgb.weight", "to_rgb1.conv.weight"),
            ("synthesis.b4.torgb.affine", "to_rgb1.conv.modulation"),
            ("synthesis.b4.torgb.bias", "to_rgb1.bias"),
            ("mapping.fc0", "style.1"),
        ];
        let found = rosinality.iter().find_map(|(ours, theirs)| Some(format!("{theirs}{}", name.strip_prefix(ours)?)));
        (found.unwrap_or(name), shape, values)
    };
    let with_inputs = |inputs: usize| {
        let tensor = |name: &str, shape: &[usize]| -> NamedTensor {
            (name.into(), shape.to_vec(), vec![0.5; shape.iter().product()])
        };
        let network = [
            tensor("synthesis.b4.const", &[4, 4, 4]),
            tensor("synthesis.b4.conv1.weight", &[4, 4, 3, 3]),
            tensor("synthesis.b4.conv1.affine.weight", &[4, 8]),
            tensor("synthesis.b4.conv1.affine.bias", &[4]),
            tensor("synthesis.b4.conv1.bias", &[4]),
            tensor("synthesis.b4.torgb.weight", &[3, 4, 1, 1]),
            tensor("synthesis.b4.torgb.affine.weight", &[4, 8]),
            tensor("synthesis.b4.torgb.affine.bias", &[4]),
            tensor("synthesis.b4.torgb.bias", &[3]),
            tensor("mapping.fc0.weight", &[8, inputs]),
            tensor("mapping.fc0.bias", &[8]),
        ];
        detect_bytes(safetensors(network.into_iter().map(renamed), [])).unwrap()
    };
    let lost =
        |weights: &Weights| weights.warnings.iter().any(|warning| warning.contains("what stood for the class is lost"));
    let weights = with_inputs(16);
    assert_eq!((weights.family, weights.layout), (Family::StyleGan2, "rosinality"));
    assert!(lost(&weights) && !lost(&with_inputs(8)));
}

/// The tensors of genforce's file as its first version has them.
#[test]
fn genforces_first_version_gives_the_same_network() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stylegan2_genforce/model.pth");
    let tree = Checkpoint::open(&path, &mut silent).unwrap().tree;
    let state = StateDict::collect(&tree, tree.get(tree.root(), "generator_smooth").unwrap()).unwrap();
    let first_version = state.iter().map(|(name, tensor)| {
        let is_linear = name.ends_with("style.weight") || name.starts_with("mapping.dense") && name.ends_with("weight");
        let name = if is_linear { name.replace(".weight", ".fc.weight") } else { name.to_owned() };
        let kernel = name.ends_with(".weight") && tensor.shape().len() == 4;
        let tensor = if kernel { tensor.permuted(&[2, 3, 1, 0]).unwrap() } else { tensor.clone() };
        (name, tensor.shape().to_vec(), tensor.to_f32().unwrap())
    });
    let weights = detect_bytes(safetensors(first_version, [])).unwrap();
    assert_eq!(weights.layout, "genforce");
    assert_eq!(weights.identity(), open("stylegan2_genforce/model.pth").unwrap().identity());
}

/// Shortcuts of the residual architecture carry the attribute too, and are never clamped.
#[test]
fn shortcuts_have_no_say_in_the_clamp() {
    let attribute = |name: &str, value| (format!("synthesis.b8.{name}.conv_clamp"), value);
    let state = |skip, conv1| {
        let mut state = StateDict::default();
        state.attributes.extend([attribute("conv0", Some(256.0)), attribute("skip", skip), attribute("conv1", conv1)]);
        state
    };
    assert_eq!(nvidia::conv_clamp(&state(None, Some(256.0))), Ok(Some(256.0)));
    assert!(nvidia::conv_clamp(&state(None, None)).is_err());
}

/// MMGeneration's form with classes counts its mapping layers from 0 and embeds them in a layer of its own.
#[test]
fn mmgenerations_classes_are_taken_over() {
    let weights = open("stylegan2_mmgen/model_ema.pth").unwrap();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stylegan2_mmgen/model_ema.pth");
    let tree = Checkpoint::open(&path, &mut silent).unwrap().tree;
    let state = StateDict::collect(&tree, tree.get(tree.root(), "state_dict").unwrap()).unwrap();
    let conditional = state.iter().map(|(name, tensor)| {
        let (mut name, mut shape, mut values) = (name.to_owned(), tensor.shape().to_vec(), tensor.to_f32().unwrap());
        let layer = name.strip_prefix("style_mapping.").and_then(|rest| rest.split_once('.'));
        if let Some((i, part)) = layer.map(|(i, part)| (i.to_owned(), part.to_owned())) {
            name = format!("style_mapping.{}.{part}", i.parse::<usize>().unwrap() - 1);
            if i == "1" && part != "bias" {
                // As many inputs again, for the class.
                shape[1] *= 2;
                values.resize(shape.iter().product(), 0.25);
            }
        }
        (name, shape, values)
    });
    let embedding: [NamedTensor; 2] = [
        ("embed.linear.weight_orig".into(), vec![16, 5], vec![0.5; 80]),
        ("embed.bias".into(), vec![16], vec![0.0; 16]),
    ];
    let found = detect_bytes(safetensors(conditional.chain(embedding), [])).unwrap();
    assert_eq!(info(&found).classes, Some(5));
    assert_eq!(found.shape("mapping.fc0.weight"), Some(&[16, 32][..]));
    assert_eq!(values(&found, "mapping.fc7.weight"), values(&weights, "mapping.fc7.weight"));
}

/// Where both sides are large, stylegan2-surgery's scopes claim to be larger than they are, and its numbers have gaps.
#[test]
fn scopes_of_surgery_need_not_be_sizes() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stylegan2_tf_surgery/model.pkl");
    let tree = Checkpoint::open(&path, &mut silent).unwrap().tree;
    let networks = tree.items(tree.root()).unwrap();
    let network = *networks.iter().find(|&&network| tensorflow::name(&tree, network) == "Gs").unwrap();
    let state = tensorflow::collect(&tree, network).unwrap();
    let claims = [
        ("/8x12/", "/32x48/"),
        ("/16x24/", "/64x96/"),
        ("noise1", "noise5"),
        ("noise2", "noise6"),
        ("noise3", "noise7"),
        ("noise4", "noise8"),
    ];
    let renamed = state.iter().map(|(name, tensor)| {
        let claim = claims.iter().find(|(real, _)| name.contains(real));
        let name = claim.map_or_else(|| name.to_owned(), |(real, claimed)| name.replace(real, claimed));
        (name, tensor.shape().to_vec(), tensor.to_f32().unwrap())
    });
    let weights = detect_bytes(safetensors(renamed, [])).unwrap();
    assert_eq!(weights.identity(), open("stylegan2_tf_surgery/model.pkl").unwrap().identity());
}

/// Some forks keep a filter for every convolution, which only those that double the size have a use for.
#[test]
fn filters_without_a_use_are_passed_over() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rosinality_oblong/model.pt");
    let tree = Checkpoint::open(&path, &mut silent).unwrap().tree;
    let state = StateDict::collect(&tree, tree.get(tree.root(), "g_ema").unwrap()).unwrap();
    let with = |filter: &str| {
        let tensors =
            state.iter().map(|(name, tensor)| (name.to_owned(), tensor.shape().to_vec(), tensor.to_f32().unwrap()));
        let filter: NamedTensor = (filter.into(), vec![3, 3], vec![1.0; 9]);
        detect_bytes(safetensors(tensors.filter(|(name, ..)| *name != filter.0).chain([filter.clone()]), []))
    };
    let idle = with("convs.1.conv.blur.kernel").unwrap();
    assert_eq!(idle.ignored, [""; 0]);
    assert!(with("convs.0.conv.blur.kernel").unwrap_err().to_string().contains("convs.0.conv.blur.kernel"));
}
