//! Every family in every layout: recognised, complete, and the same network whatever the file.

use std::path::PathBuf;

use super::fixture_tests::{detect_bytes, open, safetensors, tensors, values};
use crate::checkpoint::{Checkpoint, Container};
use crate::family::Family;
use crate::progress::silent;

/// File, family, layout, container, and one tensor with its canonical shape.
type Case = (&'static str, Family, &'static str, Container, &'static str, &'static [usize]);

const CASES: [Case; 25] = {
    use Container::{PythonPickle as Pkl, TorchLegacy as Legacy, TorchZip as Zip};
    use Family::{BigGan, BigGanDeep, Pggan, StyleGan, StyleGan2, StyleGan3};
    [
        ("pggan_genforce/model.pth", Pggan, "genforce", Legacy, "layer6.weight", &[8, 16, 3, 3]),
        ("pggan_genforce/model_tf.pkl", Pggan, "tensorflow", Pkl, "layer0.weight", &[16, 16, 4, 4]),
        ("pggan_genforce_fused/model.pth", Pggan, "genforce", Zip, "layer6.weight", &[8, 16, 3, 3]),
        ("pggan_genforce_fused/model_tf.pkl", Pggan, "tensorflow", Pkl, "layer6.weight", &[8, 16, 3, 3]),
        ("stylegan1_genforce/model.pth", StyleGan, "genforce", Zip, "synthesis.layer10.weight", &[8, 16, 3, 3]),
        ("stylegan1_genforce/model_tf.pkl", StyleGan, "tensorflow", Pkl, "synthesis.layer10.style.weight", &[16, 16]),
        ("stylegan2_genforce_cond/model.pth", StyleGan2, "genforce", Zip, "mapping.label_weight", &[5, 12]),
        ("stylegan2_ada_cond_pkl/model.pkl", StyleGan2, "nvidia", Pkl, "mapping.embed.weight", &[16, 7]),
        ("stylegan2_ada_cond_pkl/model_cond.pth", StyleGan2, "nvidia", Zip, "mapping.fc0.weight", &[16, 28]),
        ("stylegan2_ada_resnet/model.pth", StyleGan2, "nvidia", Zip, "synthesis.b16.skip.weight", &[16, 24, 1, 1]),
        ("stylegan3_t/model.pth", StyleGan3, "nvidia", Zip, "synthesis.L2_52_16.up_filter", &[24]),
        ("stylegan3_t/model.pkl", StyleGan3, "nvidia", Pkl, "synthesis.L6_32_3.weight", &[3, 16, 1, 1]),
        ("stylegan3_r/model.pth", StyleGan3, "nvidia", Zip, "synthesis.L0_36_16.down_filter", &[12, 12]),
        ("stylegan3_r/model.pkl", StyleGan3, "nvidia", Pkl, "synthesis.input.freqs", &[16, 2]),
        ("biggan_ajbrock/G_ema.pth", BigGan, "ajbrock", Zip, "blocks.2.1.theta.weight", &[2, 16, 1, 1]),
        ("biggan_deep_ajbrock/G_ema.pth", BigGanDeep, "ajbrock", Zip, "generator.layers.4.gamma", &[1]),
        (
            "biggan_deep_hf/pytorch_model.bin",
            BigGanDeep,
            "huggingface",
            Legacy,
            "generator.conv_to_rgb.weight",
            &[3, 4, 3, 3],
        ),
        ("biggan_deep_hf_small/pytorch_model.bin", BigGanDeep, "huggingface", Legacy, "embeddings.weight", &[12, 6]),
        (
            "stylegan1_interfacegan/model.pth",
            StyleGan,
            "interfacegan",
            Legacy,
            "synthesis.layer6.weight",
            &[8, 10, 3, 3],
        ),
        ("stylegan1_lernapparat/model.pt", StyleGan, "lernapparat", Legacy, "synthesis.output3.weight", &[3, 5, 1, 1]),
        ("stylegan1_rosinality/model.model", StyleGan, "rosinality", Legacy, "synthesis.layer4.early_bias", &[8]),
        ("pggan_interfacegan/model.pth", Pggan, "interfacegan", Legacy, "layer6.weight", &[8, 10, 3, 3]),
        ("biggan_ajbrock_nohier/G_ema.pth", BigGan, "ajbrock", Legacy, "blocks.0.0.bn1.gain.weight", &[16, 6]),
        ("biggan_ajbrock_unshared/G_ema.pth", BigGan, "ajbrock", Legacy, "shared.weight", &[4, 4]),
        ("sngan_ajbrock/G_ema.pth", BigGan, "ajbrock", Legacy, "linear.weight", &[256, 12]),
    ]
};

#[test]
fn every_file_is_recognised() {
    for (file, family, layout, container, tensor, shape) in CASES {
        let weights = open(file).unwrap();
        let found = (weights.family, weights.layout, weights.container);
        assert_eq!(found, (family, layout, container), "{file}");
        assert_eq!(weights.shape(tensor), Some(shape), "{file}: {tensor}");
        assert!(!weights.ignored.iter().any(|part| part.starts_with("tensors")), "{file}: {:?}", weights.ignored);
        let bare_nvidia = family == Family::StyleGan2 && layout == "nvidia" && container == Container::TorchZip;
        // Neither noise pictures nor a mean w.
        let lacking = file.contains("lernapparat") || file.contains("stylegan1_rosinality");
        let warnings = if lacking { 2 } else { usize::from(bare_nvidia) };
        assert_eq!(weights.warnings.len(), warnings, "{file}: {:?}", weights.warnings);
        assert_eq!(weights.carries_code, container == Container::PythonPickle, "{file}");
        assert!(tensors(&weights).iter().all(|(_, shape, values)| values.len() == shape.iter().product::<usize>()));
    }
}

#[test]
fn one_network_in_two_files_gives_the_same_tensors() {
    for (a, b) in [
        ("pggan_genforce/model.pth", "pggan_genforce/model_tf.pkl"),
        ("pggan_genforce_fused/model.pth", "pggan_genforce_fused/model_tf.pkl"),
        ("stylegan1_genforce/model.pth", "stylegan1_genforce/model_tf.pkl"),
        ("stylegan2_ada_skip/model.pth", "stylegan2_ada_skip/model_tf.pkl"),
        ("stylegan2_ada_cond_pkl/model.pkl", "stylegan2_ada_cond_pkl/model_cond.pth"),
        ("stylegan3_t/model.pth", "stylegan3_t/model.pkl"),
        ("stylegan3_r/model.pth", "stylegan3_r/model.pkl"),
    ] {
        let (a_weights, b_weights) = (open(a).unwrap(), open(b).unwrap());
        assert!(a_weights.names().eq(b_weights.names()), "{a}, {b}");
        assert_eq!(a_weights.identity(), b_weights.identity(), "{a}, {b}");
    }
}

fn checkpoint(name: &str) -> Checkpoint {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    Checkpoint::open(&path, &mut silent).unwrap()
}

#[test]
fn the_averaged_network_is_taken() {
    for (file, used, decoy) in [
        ("pggan_genforce/model.pth", "generator_smooth", "generator"),
        ("pggan_genforce_fused/model.pth", "generator_smooth", "generator"),
    ] {
        let tree = checkpoint(file).tree;
        let raw = |part: &str| {
            let bias = tree.get(tree.root(), part).and_then(|part| tree.get(part, "layer3.bias")).unwrap();
            tree.tensor(bias).unwrap().to_f32().unwrap()
        };
        let found = values(&open(file).unwrap(), "layer3.bias");
        assert_eq!(found, raw(used), "{file}");
        assert_ne!(found, raw(decoy), "{file}");
    }
    for file in ["pggan_genforce/model_tf.pkl", "stylegan1_genforce/model_tf.pkl", "stylegan2_ada_skip/model_tf.pkl"] {
        assert_eq!(open(file).unwrap().ignored, ["G", "D"], "{file}");
    }
}

#[test]
fn numbers_beside_the_tensors_are_kept() {
    assert_eq!(open("stylegan2_ada_cond_pkl/model.pkl").unwrap().conv_clamp, Some(0.8));
    let bare = open("stylegan2_ada_cond_pkl/model_cond.pth").unwrap();
    assert_eq!(bare.conv_clamp, None);
    assert!(bare.warnings[0].contains("clamp"), "{:?}", bare.warnings);
    assert_eq!(open("stylegan3_t/model.pth").unwrap().conv_clamp, Some(256.0));
    assert_eq!(open("biggan_deep_hf/pytorch_model.bin").unwrap().batch_norm_epsilon, 1e-4);
    assert_eq!(open("biggan_deep_ajbrock/G_ema.pth").unwrap().batch_norm_epsilon, 1e-5);
    assert_eq!(open("biggan_ajbrock/G_ema.pth").unwrap().batch_norm_epsilon, 1e-5);
}

fn expected(case: &str, tensor: &str) -> Vec<f32> {
    let tree = checkpoint(&format!("{case}/expected.safetensors")).tree;
    tree.get(tree.root(), tensor).and_then(|value| tree.tensor(value)).unwrap().to_f32().unwrap()
}

fn close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(1.0f32, |scale, x| scale.max(x.abs()));
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 2e-6 * scale, "differ by {worst}");
}

#[test]
fn spectral_norms_are_divided_out() {
    for case in ["biggan_deep_hf", "biggan_deep_hf_small"] {
        let tree = checkpoint(&format!("{case}/pytorch_model.bin")).tree;
        let raw = tree.get(tree.root(), "generator.gen_z.weight_orig").and_then(|value| tree.tensor(value)).unwrap();
        let sigma = expected(case, "sn/gen_z_sigma")[0];
        let scaled: Vec<f32> = raw.to_f32().unwrap().iter().map(|value| value / sigma).collect();
        close(&values(&open(&format!("{case}/pytorch_model.bin")).unwrap(), "generator.gen_z.weight"), &scaled);
    }
    let brock = open("biggan_ajbrock/G_ema.pth").unwrap();
    close(&values(&brock, "linear.weight"), &expected("biggan_ajbrock", "sn/linear_effective_weight"));
}

#[test]
fn brocks_order_becomes_hugging_faces() {
    let tree = checkpoint("biggan_deep_ajbrock/G_ema.pth").tree;
    let raw = |name: &str| tree.get(tree.root(), name).and_then(|value| tree.tensor(value)).unwrap().to_f32().unwrap();
    let weights = open("biggan_deep_ajbrock/G_ema.pth").unwrap();
    // 7 classes, embedding of 10, z of 12, 32 channels.
    let (linear, gen_z) = (raw("linear.weight"), values(&weights, "generator.gen_z.weight"));
    let scale = linear[10] / gen_z[0];
    for (channel, y, x, column) in [(0, 0, 0, 0), (31, 3, 2, 11), (5, 1, 3, 12), (17, 2, 0, 21)] {
        let stored = linear[((channel * 4 + y) * 4 + x) * 22 + (column + 10) % 22];
        let found = gen_z[((y * 4 + x) * 32 + channel) * 22 + column];
        assert!((stored / scale - found).abs() < 1e-6);
    }
    let (table, embeddings) = (raw("shared.weight"), values(&weights, "embeddings.weight"));
    assert_eq!(embeddings[3 * 7 + 5], table[5 * 10 + 3]);
    assert_eq!(values(&weights, "generator.layers.5.bn_3.running_means"), raw("blocks.4.0.bn4.stored_mean"));
}

#[test]
fn other_spellings_of_running_statistics_are_read() {
    let weights = open("biggan_ajbrock/G_ema.pth").unwrap();
    for (mean, var) in [(".bn.running_mean", ".bn.running_var"), (".bn.stored_mean", ".bn.stored_var")] {
        let renamed = tensors(&weights).into_iter().map(|(name, shape, values)| {
            (name.replace(".stored_mean", mean).replace(".stored_var", var), shape, values)
        });
        assert_eq!(detect_bytes(safetensors(renamed, [])).unwrap().identity(), weights.identity());
    }
}

#[test]
fn converted_files_of_every_family_open_again() {
    for (file, ..) in CASES.iter().chain([&("dcgan/netG.pth", Family::Dcgan, "", Container::TorchZip, "", &[][..])]) {
        let weights = open(file).unwrap();
        let settings = weights.settings();
        let known = [
            "format",
            "family",
            "conv_clamp",
            "batch_norm_epsilon",
            "last_norm_epsilon",
            "instance_norm_epsilon",
            "noise_of",
        ];
        assert!(settings.keys().all(|key| known.contains(&key.as_str())));
        let metadata = known.into_iter().filter_map(|key| Some((key, settings.get(key)?.clone())));
        let again = detect_bytes(safetensors(tensors(&weights), metadata)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(again.identity(), weights.identity(), "{file}");
        assert_eq!((again.family, again.conv_clamp), (weights.family, weights.conv_clamp), "{file}");
        assert_eq!(again.batch_norm_epsilon, weights.batch_norm_epsilon, "{file}");
        let warnings: Vec<_> = weights.warnings.iter().collect();
        assert!(again.warnings.iter().all(|warning| warnings.contains(&warning)), "{file}: {:?}", again.warnings);
        assert_eq!(again.settings(), settings, "{file}");
    }
}

#[test]
fn means_of_every_layer_are_kept() {
    let weights = open("stylegan1_genforce/model.pth").unwrap();
    for shape in [vec![12 * 16], vec![12, 16]] {
        let spread = tensors(&weights).into_iter().map(|(name, old, values)| match name.as_str() {
            "truncation.w_avg" => (name, shape.clone(), (0..12 * 16).map(|i| i as f32).collect()),
            _ => (name, old, values),
        });
        let again = detect_bytes(safetensors(spread, [])).unwrap();
        assert_eq!(again.get("truncation.w_avg", &[12 * 16]).unwrap()[17], 17.0);
    }
    let without = tensors(&weights).into_iter().filter(|(name, ..)| name != "truncation.w_avg");
    let warnings = detect_bytes(safetensors(without, [])).unwrap().warnings;
    assert!(warnings[0].starts_with("no mean w in the file"), "{warnings:?}");
}

/// Resolution 8, one RGB output at the end, no shortcut.
#[test]
fn the_original_architecture_is_told_by_its_outputs() {
    let weights = open("stylegan2_ada_resnet/model.pth").unwrap();
    let original = tensors(&weights).into_iter().filter(|(name, ..)| !name.contains(".skip."));
    let found = detect_bytes(safetensors(original, [])).unwrap();
    assert!(found.shape("synthesis.b8.skip.weight").is_none() && found.shape("synthesis.b16.torgb.weight").is_some());
    assert!(found.names().count() == weights.names().count() - 2);
}

#[test]
fn a_config_beside_the_file_is_used_if_it_fits() {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/biggan_deep_hf_small");
    let file = folder.path().join("biggan-deep-64-pytorch_model.bin");
    std::fs::copy(fixtures.join("pytorch_model.bin"), &file).unwrap();
    let config = std::fs::read_to_string(fixtures.join("config.json")).unwrap();
    let with = |config: &str| {
        std::fs::write(folder.path().join("biggan-deep-64-config.json"), config).unwrap();
        super::detect(Checkpoint::open(&file, &mut silent).unwrap())
    };
    assert_eq!(with(&config.replace("0.0001", "0.002")).unwrap().batch_norm_epsilon, 0.002);
    for (config, warnings) in [("{", 1), ("{\"layers\": []}", 1), ("[1]", 0), ("{\"eps\": 7}", 0)] {
        let weights = with(config).unwrap();
        assert_eq!((weights.batch_norm_epsilon, weights.warnings.len()), (1e-4, warnings), "{config}");
    }
    let message = with(&config.replacen("false", "true", 1)).unwrap_err().to_string();
    assert!(message.contains("other than two blocks to a resolution"), "{message}");
}

#[test]
fn tables_of_classes_become_one_hot_conditions() {
    // Gains and biases of 4 classes instead of layers over the embedding; no part of z but the first layer's.
    let weights = open("biggan_ajbrock/G_ema.pth").unwrap();
    let unshared =
        tensors(&weights).into_iter().filter(|(name, ..)| name != "shared.weight").map(|(name, shape, values)| {
            let is_table = name.ends_with(".gain.weight") || name.ends_with(".bias.weight");
            if is_table {
                (name, vec![4, shape[0]], (0..4 * shape[0]).map(|i| i as f32).collect())
            } else {
                (name, shape, values)
            }
        });
    let found = detect_bytes(safetensors(unshared, [])).unwrap();
    assert_eq!(found.get("shared.weight", &[4, 4]).unwrap()[..6], [1., 0., 0., 0., 0., 1.]);
    assert_eq!(found.get("blocks.0.0.bn1.gain.weight", &[64, 4]).unwrap()[..5], [0., 64., 128., 192., 1.]);
}
