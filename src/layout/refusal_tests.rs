//! Networks that are not opened: each is called by its name, with what to do.

use super::LayoutError;
use super::detect;
use super::fixture_tests::{NamedTensor, detect_bytes, open, raw_tensors, safetensors, tensors};
use crate::checkpoint::Checkpoint;

fn refusal(tensors: impl IntoIterator<Item = NamedTensor>) -> String {
    detect_bytes(safetensors(tensors, [])).map(|weights| weights.layout).expect_err("was accepted").to_string()
}

/// Tensors of one element.
fn named(names: &[&str]) -> Vec<NamedTensor> {
    names.iter().map(|name| (name.to_string(), vec![1], vec![0.5])).collect()
}

fn pickled(program: &[&[u8]]) -> Result<&'static str, LayoutError> {
    detect(Checkpoint::from_bytes(program.concat(), "test.pkl").unwrap()).map(|weights| weights.layout)
}

#[test]
fn other_networks_are_called_by_their_names() {
    for (names, expected) in [
        (&["GAN.GE.initial_block", "GAN.SE.net.0.weight", "GAN.D.x"][..], "a StyleGAN2 of lucidrains' code"),
        (&["GE.initial_block", "S.net.0.weight", "D.x"], "a StyleGAN2 of lucidrains' code"),
        (&["synthesis.input.freqs", "mapping.embed_proj.weight"], "a StyleGAN-XL"),
        (&["backbone.synthesis.b4.const", "decoder.net.0.weight"], "an EG3D"),
        (&["synthesis.init.init.0.weight_orig", "mapping.x"], "a Projected GAN"),
        (&["conv1.weight", "layer1.0.conv1.weight", "fc.weight"], "a ResNet-like network of 3 tensors"),
        (&["synthesis/ToRGB_lod0/mod_weight", "synthesis/4x4/Const/const"], "a revised StyleGAN"),
        (
            &["blocks.0.0.conv1.weight", "linear.weight", "blocks.0.0.bn1.gain.weight"],
            "BigGAN (ajbrock) is missing linear.bias",
        ),
        (
            &["blocks.0.0.conv4.weight", "blocks.0.0.conv1.weight", "linear.weight", "blocks.0.0.bn1.gain.weight"],
            "G_shared off",
        ),
        (&["embed.weight", "linear.weight", "blocks.0.0.conv1.weight"], "no generator layout matches"),
    ] {
        let message = refusal(named(names));
        assert!(message.starts_with("test.safetensors: ") && message.contains(expected), "{message}");
    }
}

#[test]
fn files_beside_the_network_are_called_by_their_names() {
    let optimiser = pickled(&[b"\x80\x02}(U\x05state}U\x0cparam_groups]u."]).unwrap_err().to_string();
    assert!(optimiser.contains("the state of an optimiser") && optimiser.contains("G_ema.pth"), "{optimiser}");
    let counters =
        pickled(&[b"\x80\x02}(U\x03itrK\x05U\x05epochK\x02U\x06config}U\x01aK\x01su."]).unwrap_err().to_string();
    assert!(counters.contains("the progress of a training"), "{counters}");
}

#[test]
fn theano_networks_are_refused() {
    let state = b"}(U\x07versionK\x01U\x0cparam_values]u";
    let message = pickled(&[b"\x80\x02cnetwork\nNetwork\n)\x81", state, b"b."]).unwrap_err().to_string();
    assert!(message.contains("a PGGAN of the Theano code") && message.contains("instead"), "{message}");
}

#[test]
fn tensorflow_networks_built_otherwise_are_refused() {
    let network = |arguments: &[u8]| {
        let state = [b"}(U\x0dstatic_kwargs}(".as_slice(), arguments, b"uU\x09variables]u"].concat();
        pickled(&[b"\x80\x02cdnnlib.tflib.network\nNetwork\n)\x81", &state, b"b."]).unwrap_err().to_string()
    };
    let message = network(b"U\x0cnonlinearityU\x04relu");
    assert!(message.contains("a TensorFlow network built with nonlinearity = relu"), "{message}");
    let message = network(b"U\x0fresample_kernel](K\x01K\x01e");
    assert!(message.contains("built with resample_kernel = a list of 2 values"), "{message}");
    assert!(network(b"U\x0dmapping_lrmulG\x3f\xf0\0\0\0\0\0\0").contains("built with mapping_lrmul = 1"));
    // The default, written out.
    let message = network(b"U\x0fresample_kernel](K\x01K\x03K\x03K\x01eU\x0cnonlinearityU\x05lrelu");
    assert!(message.contains("no tensors"), "{message}");
}

#[test]
fn oblong_stylegans_are_refused() {
    let message = refusal(widened("stylegan1_genforce/model.pth", "synthesis.layer0.const", 6));
    assert!(message.contains("for oblong pictures") && message.contains("Only square networks"), "{message}");
}

/// The tensors of a file, of which one is given another last axis.
pub(super) fn widened(file: &str, tensor: &str, length: usize) -> Vec<NamedTensor> {
    let widen = |(name, mut shape, mut values): NamedTensor| {
        if name == tensor {
            *shape.last_mut().unwrap() = length;
            values.resize(shape.iter().product(), 0.0);
        }
        (name, shape, values)
    };
    tensors(&open(file).unwrap()).into_iter().map(widen).collect()
}

#[test]
fn networks_beyond_any_use_are_refused_by_their_size() {
    let message = refusal(widened("stylegan2_genforce/model.pth", "synthesis.b4.const", 2000));
    assert!(message.contains("a StyleGAN2 (nvidia) of more than 8192 pixels"), "{message}");
}

#[test]
fn attention_of_surgery_and_restorers_are_called_by_their_names() {
    let message = refusal(named(&["synthesis/4x4/Const/const", "synthesis/32x32/SelfAtten/gamma"]));
    assert!(message.contains("self-attention"), "{message}");
    let message = refusal(named(&["stylegan_decoder.constant_input.weight", "conv_body_first.weight"]));
    assert!(message.contains("a GFPGAN, which restores"), "{message}");
}

#[test]
fn metadata_that_contradicts_the_tensors_is_refused() {
    let with = |family: &str| {
        let metadata = [("format", "sefa-studio".to_string()), ("family", family.to_string())];
        let bytes = safetensors(tensors(&open("dcgan/netG.pth").unwrap()), metadata);
        detect_bytes(bytes).map(|weights| weights.family)
    };
    assert!(with("dcgan").is_ok() && with("DCGAN").is_ok());
    let message = with("pggan").unwrap_err().to_string();
    assert!(message.contains("says that this is a PGGAN, but the tensors are a DCGAN"), "{message}");
    assert!(with("stylegan9").unwrap_err().to_string().contains("family stylegan9"));
}

/// All kernels of a StyleGAN2 as views of one storage: each is sound, together they are not.
#[test]
fn networks_that_are_one_storage_many_times_are_refused() {
    use std::io::Write;
    let mut program = b"\x80\x02}(".to_vec();
    let text = |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let int = |value: usize| [b"J".as_slice(), &(value as u32).to_le_bytes()].concat();
    for (name, shape, _) in tensors(&open("stylegan2_ada_skip/model.pth").unwrap()) {
        // Every width becomes 1000: nine million numbers a kernel.
        let is_width = |axis: usize| matches!(axis, 8 | 16 | 24) && !name.ends_with("noise_const");
        let shape: Vec<usize> = shape.iter().map(|&axis| if is_width(axis) { 1000 } else { axis }).collect();
        let strides: Vec<usize> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
        let tuple =
            |values: &[usize]| [b"(".to_vec(), values.iter().flat_map(|&v| int(v)).collect(), b"t".to_vec()].concat();
        program.extend([text(&name), b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(), text("storage")].concat());
        program.extend(
            [b"ctorch\nByteStorage\n".to_vec(), text("0"), text("cpu"), int(9_000_000), b"tQ".to_vec()].concat(),
        );
        program.extend([int(0), tuple(&shape), tuple(&strides), b"\x89NtR".to_vec()].concat());
    }
    program.extend(b"u.");
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in [("x/data.pkl", program), ("x/data/0", vec![0; 9_000_000])] {
        let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        zip.start_file(name, options).unwrap();
        zip.write_all(&content).unwrap();
    }
    let file = zip.finish().unwrap().into_inner();
    let message = detect(Checkpoint::from_bytes(file, "test.pth").unwrap()).unwrap_err().to_string();
    assert!(message.contains("a file whose tensors overlap"), "{message}");
}

/// One tensor taken away from every family: the message names it.
#[test]
fn missing_tensors_are_listed() {
    for (file, tensor) in [
        ("pggan_genforce/model.pth", "layer5.bias"),
        ("stylegan1_genforce/model.pth", "synthesis.layer4.apply_noise.weight"),
        ("stylegan2_ada_resnet/model.pth", "synthesis.b8.skip.weight"),
        ("stylegan3_t/model.pth", "synthesis.L3_52_16.magnitude_ema"),
        ("biggan_ajbrock/G_ema.pth", "blocks.1.0.conv_sc.bias"),
        ("biggan_deep_hf/pytorch_model.bin", "generator.layers.3.bn_2.running_vars"),
        ("biggan_deep_hf_small/pytorch_model.bin", "generator.layers.3.gamma"),
    ] {
        let message = refusal(tensors(&open(file).unwrap()).into_iter().filter(|(name, ..)| name != tensor));
        assert!(message.contains(&format!("is missing {tensor}")), "{file}: {message}");
    }
}

/// One tensor cut short in every family: the message names it, what was expected, and what was found.
#[test]
fn misshapen_tensors_are_named() {
    for (file, tensor, expected) in [
        ("pggan_genforce/model.pth", "layer4.weight", "of 4 axes, found [2303]"),
        ("stylegan1_genforce/model.pth", "synthesis.layer3.style.bias", "[32], found [31]"),
        ("stylegan2_genforce_cond/model.pth", "mapping.fc1.weight", "of 2 axes, found [399]"),
        ("stylegan3_r/model.pth", "synthesis.L0_36_16.down_filter", "of a filter of 6 to 48 taps, found [143]"),
        ("biggan_ajbrock/G_ema.pth", "blocks.0.0.bn2.gain.weight", "[64, 14], found [895]"),
        ("biggan_deep_hf/pytorch_model.bin", "generator.layers.8.snconv1x1_phi.weight", "[1, 8, 1, 1], found [7]"),
    ] {
        let message = refusal(tensors(&open(file).unwrap()).into_iter().map(|(name, mut shape, mut values)| {
            if name == tensor {
                values.pop();
                shape = vec![values.len()];
            }
            (name, shape, values)
        }));
        assert!(message.contains(&format!("tensor {tensor}: expected shape {expected}")), "{file}: {message}");
    }
}

/// Networks with tensors dropped, doubled, renamed and reshaped: refused or opened, never a panic.
#[test]
fn garbled_networks_never_panic() {
    // In the names of their files, too.
    let raw = [
        raw_tensors("stylegan1_interfacegan/model.pth", None),
        raw_tensors("stylegan1_lernapparat/model.pt", None),
        raw_tensors("stylegan1_rosinality/model.model", Some("g_running")),
        raw_tensors("pggan_interfacegan/model.pth", None),
        raw_tensors("biggan_ajbrock_unshared/G_ema.pth", None),
    ];
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |below: usize| {
        // Marsaglia's xorshift.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as usize % below.max(1)
    };
    for whole in [
        "pggan_genforce_fused/model.pth",
        "stylegan2_genforce_cond/model.pth",
        "stylegan2_ada_resnet/model.pth",
        "stylegan3_r/model.pth",
        "biggan_deep_ajbrock/G_ema.pth",
        "dcgan/netG.pth",
    ]
    .iter()
    .map(|file| tensors(&open(file).unwrap()))
    .chain(raw)
    {
        for _ in 0..60 {
            let mut garbled = whole.clone();
            for _ in 0..1 + next(4) {
                let at = next(garbled.len());
                let other = garbled[next(whole.len() - 8)].clone();
                let (name, shape, values) = &mut garbled[at];
                match next(7) {
                    0 => drop(garbled.remove(at)),
                    1 => shape.reverse(),
                    2 => (*shape, *values) = (vec![0, usize::MAX >> 12], Vec::new()),
                    3 => (*shape, *values) = (other.1, other.2),
                    4 => *name = name.replacen(char::is_numeric, "77", 1),
                    5 => (*shape, *values) = (Vec::new(), vec![f32::NAN]),
                    _ => *shape = shape.iter().flat_map(|&axis| [axis, 1]).take(16).collect(),
                }
            }
            // Doubled names leave a hole in the file, which the container refuses.
            let checkpoint = Checkpoint::from_bytes(safetensors(garbled, []), "garbled.safetensors");
            if let Some(weights) = checkpoint.ok().and_then(|checkpoint| detect(checkpoint).ok()) {
                let _ = weights.identity();
            }
        }
    }
}
