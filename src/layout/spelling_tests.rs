//! Spellings of networks that have another one: the same canonical tensors, whatever the names and the order of axes.

use super::fixture_tests::{NamedTensor, detect_bytes, open, raw_tensors, safetensors, tensors, values};
use crate::family::Family;
use crate::layout::{LayoutError, PgganClasses, Weights};

fn detect(tensors: impl IntoIterator<Item = NamedTensor>) -> Result<Weights, LayoutError> {
    detect_bytes(safetensors(tensors, []))
}

/// `[a, b, 3, 3]` -> `[3, 3, b, a]`
fn kernels_first([a, b]: [usize; 2], values: &[f32]) -> Vec<f32> {
    let at = |y, x, j, i| values[((i * b + j) * 3 + y) * 3 + x];
    let places = (0..3).flat_map(|y| (0..3).map(move |x| (y, x)));
    places.flat_map(|(y, x)| (0..b).flat_map(move |j| (0..a).map(move |i| at(y, x, j, i)))).collect()
}

fn swapped([a, b]: [usize; 2], values: &[f32]) -> Vec<f32> {
    (0..b).flat_map(|j| (0..a).flat_map(move |i| values[(i * b + j) * 9..][..9].to_vec())).collect()
}

fn reversed(values: &[f32]) -> Vec<f32> {
    values.chunks(9).flat_map(|kernel| kernel.iter().rev().copied()).collect()
}

fn number(name: &str, prefix: &str) -> Option<usize> {
    name.strip_prefix(prefix)?.split('.').next()?.parse().ok()
}

/// genforce's names of StyleGAN as InterFaceGAN has them; the layer that reaches 128 pixels is fused.
fn interfacegan((name, shape, values): NamedTensor) -> NamedTensor {
    let renamed = name
        .replace(".style.weight", ".epilogue.style_mod.dense.linear.weight")
        .replace(".style.bias", ".epilogue.style_mod.dense.wscale.bias")
        .replace(".apply_noise.", ".epilogue.apply_noise.");
    match number(&name, "synthesis.layer") {
        Some(0) if name.ends_with(".const") => (renamed.replace("const", "first_layer"), shape, values),
        Some(10) if shape.ends_with(&[3, 3]) => {
            let turned = kernels_first([shape[0], shape[1]], &values);
            (renamed, vec![3, 3, shape[1], shape[0]], turned)
        }
        Some(_) if shape.ends_with(&[3, 3]) => (renamed.replace(".weight", ".conv.weight"), shape, values),
        Some(n) if name == format!("synthesis.layer{n}.bias") => {
            (format!("synthesis.layer{n}.epilogue.bias"), shape, values)
        }
        Some(_) => (renamed, shape, values),
        None if name.starts_with("mapping.") => {
            (name.replace(".weight", ".linear.weight").replace(".bias", ".wscale.bias"), shape, values)
        }
        None if name.starts_with("synthesis.output") => (name.replace(".weight", ".conv.weight"), shape, values),
        None => (name, shape, values),
    }
}

#[test]
fn interfacegans_stylegan_is_genforces() {
    let genforce = open("stylegan1_genforce/model.pth").unwrap();
    let found = detect(tensors(&genforce).into_iter().map(interfacegan)).unwrap();
    assert_eq!((found.family, found.layout), (Family::StyleGan, "interfacegan"));
    assert_eq!(found.identity(), genforce.identity());
    assert_eq!((&found.warnings[..], &found.ignored[..]), (&[][..], &[][..]));

    // Without a fused layer it is another network: the kernel is the other way round.
    let plain = tensors(&genforce).into_iter().map(|tensor| match tensor.0.as_str() {
        "synthesis.layer10.weight" => ("synthesis.layer10.conv.weight".into(), tensor.1, tensor.2),
        _ => interfacegan(tensor),
    });
    let kernel = "synthesis.layer10.weight";
    assert_eq!(values(&detect(plain).unwrap(), kernel), reversed(&values(&genforce, kernel)));
}

#[test]
fn interfacegans_pggan_is_genforces() {
    for (file, fused) in [("pggan_genforce/model.pth", false), ("pggan_genforce_fused/model.pth", true)] {
        let genforce = open(file).unwrap();
        let renamed = tensors(&genforce).into_iter().map(|(name, shape, values)| {
            let is_up = number(&name, "layer").is_some_and(|n| n > 0 && n % 2 == 0);
            if fused && is_up && name.ends_with(".weight") {
                let turned = kernels_first([shape[0], shape[1]], &reversed(&values));
                return (name, vec![3, 3, shape[1], shape[0]], turned);
            }
            (name.replace(".weight", ".conv.weight").replace(".bias", ".wscale.bias"), shape, values)
        });
        let found = detect(renamed).unwrap();
        assert_eq!((found.family, found.layout), (Family::Pggan, "interfacegan"));
        assert_eq!(found.identity(), genforce.identity(), "{file}");
    }
}

/// genforce's names of StyleGAN as lernapparat has them; without what it lacks.
fn lernapparat(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("mapping.") {
        return Some(format!("g_mapping.{rest}"));
    }
    if let Some(rest) = name.strip_prefix("synthesis.output5.") {
        return Some(format!("g_synthesis.torgb.{rest}"));
    }
    let n = number(name, "synthesis.layer")?;
    let part = name.strip_prefix(&format!("synthesis.layer{n}."))?;
    let block = format!("g_synthesis.blocks.{0}x{0}", 4 << (n / 2));
    let epilogue = format!("{block}.epi{}", n % 2 + 1);
    let conv = if n == 1 { "conv" } else { ["conv0_up", "conv1"][n % 2] };
    match part {
        "apply_noise.noise" => None,
        "apply_noise.weight" => Some(format!("{epilogue}.top_epi.noise.weight")),
        "style.weight" | "style.bias" => Some(format!("{epilogue}.style_mod.lin.{}", &part[6..])),
        _ if n == 0 => Some(format!("{block}.{part}")),
        _ => Some(format!("{block}.{conv}.{part}")),
    }
}

#[test]
fn lernapparats_stylegan_is_genforces_without_noise_and_mean() {
    let genforce = open("stylegan1_genforce/model.pth").unwrap();
    let renamed = || {
        let tensors = tensors(&genforce).into_iter();
        tensors.filter_map(|(name, shape, values)| Some((lernapparat(&name)?, shape, values)))
    };
    // PULSE's files lack the two prefixes.
    let bare = |name: String| name.replace("g_mapping.", "").replace("g_synthesis.", "");
    for found in [detect(renamed()), detect(renamed().map(|(name, shape, values)| (bare(name), shape, values)))] {
        let found = found.unwrap();
        assert_eq!((found.family, found.layout), (Family::StyleGan, "lernapparat"));
        assert_eq!(found.instance_norm_epsilon, 1e-5);
        let common = found.names().filter(|name| genforce.shape(name).is_some()).count();
        assert_eq!((common, found.names().count()), (16 + 12 * 5 + 2, 16 + 12 * 5 + 2));
        for (name, shape) in found.shapes() {
            assert_eq!(found.get(name, shape).unwrap(), genforce.get(name, shape).unwrap(), "{name}");
        }
        assert_eq!(found.warnings.len(), 2, "{:?}", found.warnings);
    }
    let halves = |is_wanted: fn(&str) -> bool| {
        let half = renamed().filter(move |(name, ..)| is_wanted(name));
        detect(half.map(|(name, shape, values)| (bare(name), shape, values))).unwrap_err().to_string()
    };
    let message = halves(|name| name.starts_with("g_synthesis."));
    assert!(message.contains("the synthesis network of a StyleGAN, without its mapping network"), "{message}");
}

/// The averaged network of the fixture, in the names of its file.
fn style_based() -> Vec<NamedTensor> {
    raw_tensors("stylegan1_rosinality/model.model", Some("g_running"))
}

fn raw<'a>(tensors: &'a [NamedTensor], name: &str) -> &'a [f32] {
    &tensors.iter().find(|tensor| tensor.0 == name).unwrap().2
}

#[test]
fn rosinalitys_stylegan_has_its_factors_in_the_weights() {
    let raw_tensors = style_based();
    let found = detect(raw_tensors.clone()).unwrap();
    assert_eq!((found.family, found.layout, found.noise_of_blocks), (Family::StyleGan, "rosinality", true));
    let style = values(&found, "synthesis.layer3.style.bias");
    let stored = raw(&raw_tensors, "generator.progression.1.adain2.style.linear.bias");
    assert!(style.iter().zip(stored).take(10).all(|(found, stored)| (stored - 1.0 - found).abs() < 1e-6));
    assert_eq!(style[10..], stored[10..]);
    assert_eq!(values(&found, "synthesis.layer2.bias"), [0.0; 10]);
    assert_eq!(
        values(&found, "synthesis.layer2.early_bias"),
        raw(&raw_tensors, "generator.progression.1.conv1.1.conv.bias")
    );
    assert!(found.shape("synthesis.output0.weight").is_none() && found.shape("synthesis.lod").is_none());
    assert_eq!(found.ignored, [""; 0]);

    // A fused layer stores the axes the other way round, and its kernel reversed, times 4.
    let fused = raw_tensors.iter().cloned().map(|(name, shape, values)| match name.as_str() {
        "generator.progression.2.conv1.1.conv.weight_orig" => {
            let turned = swapped([shape[0], shape[1]], &reversed(&values)).iter().map(|x| 4.0 * x).collect();
            ("generator.progression.2.conv1.0.weight".into(), vec![shape[1], shape[0], 3, 3], turned)
        }
        _ => {
            let (unfused, fused) = ("progression.2.conv1.", "progression.2.conv1.0.bias");
            let renamed = name
                .replace("progression.2.conv1.1.conv.bias", fused)
                .replace(&format!("{unfused}2.weight"), &format!("{unfused}1.weight"));
            (renamed, shape, values)
        }
    });
    assert_eq!(detect(fused).unwrap().identity(), found.identity());
}

#[test]
fn rosinalitys_stylegan_ends_with_the_last_block_that_is_trained() {
    let untrained = style_based().into_iter().map(|(name, shape, values)| {
        let starts_at_zero = name.contains(".noise") || name.ends_with("conv.bias");
        let values = if name.starts_with("generator.progression.2.") && starts_at_zero {
            vec![0.0; values.len()]
        } else {
            values
        };
        (name, shape, values)
    });
    let found = detect(untrained).unwrap();
    assert!(found.shape("synthesis.layer3.weight").is_some() && found.shape("synthesis.layer4.weight").is_none());
    assert!(found.shape("synthesis.output1.weight").is_some());
    assert!(found.warnings.iter().any(|warning| warning.contains("8 pixels a side")), "{:?}", found.warnings);
    assert_eq!(found.ignored, [""; 0]);
}

#[test]
fn stylegans_without_noise_pictures_open() {
    let genforce = open("stylegan1_genforce/model.pth").unwrap();
    let without = tensors(&genforce).into_iter().filter(|(name, ..)| !name.ends_with("apply_noise.noise"));
    let found = detect(without).unwrap();
    assert!(found.warnings[0].contains("without noise"), "{:?}", found.warnings);
    let some = tensors(&genforce).into_iter().filter(|(name, ..)| name != "synthesis.layer4.apply_noise.noise");
    let message = detect(some).unwrap_err().to_string();
    assert!(message.contains("is missing synthesis.layer4.apply_noise.noise"), "{message}");
}

/// ajbrock's network of the fixture, in its file's names, with `change`d tensors.
fn brock(file: &str, change: impl Fn(NamedTensor) -> Option<NamedTensor>) -> Result<Weights, LayoutError> {
    detect(raw_tensors(file, None).into_iter().filter_map(change))
}

#[test]
fn biggans_from_tensorflow_hub_have_their_epsilons() {
    let hub = brock("biggan_ajbrock/G_ema.pth", |tensor| (!tensor.0.ends_with(".sv0")).then_some(tensor)).unwrap();
    assert_eq!((hub.batch_norm_epsilon, hub.last_norm_epsilon), (1e-4, 1e-5));
    // Without any spectral norm the code's own epsilon holds.
    let plain = brock("sngan_ajbrock/G_ema.pth", Some).unwrap();
    assert_eq!((plain.batch_norm_epsilon, plain.last_norm_epsilon), (1e-5, 1e-5));
}

/// One row of statistics does not make a network Brock's.
#[test]
fn one_row_of_statistics_keeps_the_epsilon_of_its_layout() {
    let hugging_face = tensors(&open("biggan_deep_hf_small/pytorch_model.bin").unwrap());
    let one_row = hugging_face.into_iter().map(|(name, shape, mut values)| {
        if !name.contains("running_") {
            return (name, shape, values);
        }
        values.truncate(shape[1]);
        (name, vec![1, shape[1]], values)
    });
    let found = detect(one_row).unwrap();
    assert_eq!((found.batch_norm_epsilon, found.last_norm_epsilon), (1e-4, 1e-4));
    let brock = open("biggan_deep_ajbrock/G_ema.pth").unwrap();
    assert_eq!((brock.batch_norm_epsilon, brock.last_norm_epsilon), (1e-5, 1e-5));
}

#[test]
fn biggans_without_classes_open() {
    // Gains and biases from z alone: the columns of the embedding are gone.
    let alone = brock("biggan_ajbrock/G_ema.pth", |(name, shape, values)| {
        let is_layer = name.ends_with(".gain.weight") || name.ends_with(".bias.weight");
        match name.as_str() {
            "shared.weight" => None,
            _ if is_layer => {
                let of_z = values.chunks(shape[1]).flat_map(|row| &row[shape[1] - 4..]).copied().collect();
                Some((name, vec![shape[0], 4], of_z))
            }
            _ => Some((name, shape, values)),
        }
    });
    let alone = alone.unwrap();
    assert!(alone.shape("shared.weight").is_none());
    assert_eq!(alone.shape("blocks.0.0.bn1.gain.weight"), Some(&[64, 4][..]));

    // One row of a table.
    let one = brock("biggan_ajbrock_unshared/G_ema.pth", |(name, shape, values)| {
        let is_table = name.ends_with(".gain.weight") || name.ends_with(".bias.weight");
        let row = |values: Vec<f32>| values[..shape[1]].to_vec();
        Some(if is_table { (name, vec![1, shape[1]], row(values)) } else { (name, shape, values) })
    });
    assert_eq!(one.unwrap().get("shared.weight", &[1, 1]).unwrap(), [1.0]);
}

#[test]
fn networks_of_instance_features_are_refused_by_name() {
    let with_features = brock("biggan_ajbrock/G_ema.pth", |(name, shape, values)| {
        let is_layer = name.ends_with(".gain.weight") || name.ends_with(".bias.weight");
        match is_layer {
            true => Some((name, vec![shape[0], shape[1] + 3], vec![0.5; shape[0] * (shape[1] + 3)])),
            false => Some((name, shape, values)),
        }
    });
    let message = with_features.unwrap_err().to_string();
    assert!(message.contains("17 numbers, 3 more") && message.contains("IC-GAN"), "{message}");
}

#[test]
fn classes_of_a_pggan_are_told_or_guessed() {
    let genforce = tensors(&open("pggan_genforce/model.pth").unwrap());
    let wide = |inputs: usize| {
        genforce.iter().cloned().map(move |(name, shape, values)| match name.as_str() {
            "layer0.weight" => (name, vec![shape[0], inputs, 4, 4], vec![0.25; shape[0] * inputs * 16]),
            _ => (name, shape, values),
        })
    };
    let guessed = detect(wide(522)).unwrap();
    assert_eq!(guessed.pggan_classes, Some(PgganClasses { count: 10, normalised_with_z: false }));
    assert!(guessed.warnings[0].contains("512 and 10 classes"), "{:?}", guessed.warnings);
    for inputs in [16, 512, 1024] {
        let plain = detect(wide(inputs)).unwrap();
        assert_eq!((plain.pggan_classes, plain.warnings.len()), (None, 0), "{inputs}");
    }
    // What a converted file says, or does not say, holds.
    let converted = |classes: &[(&'static str, &str)]| {
        let metadata = [("format", "sefa-studio"), ("family", "pggan")].iter().chain(classes);
        let metadata: Vec<_> = metadata.map(|&(key, value)| (key, value.to_string())).collect();
        detect_bytes(safetensors(wide(522), metadata)).map(|weights| weights.pggan_classes)
    };
    assert_eq!(converted(&[]).unwrap(), None);
    let told = converted(&[("classes", "7"), ("classes_normalised", "with z")]).unwrap();
    assert_eq!(told, Some(PgganClasses { count: 7, normalised_with_z: true }));
    assert!(converted(&[("classes", "522")]).unwrap_err().to_string().contains("expected 1 to 521 classes"));
}
