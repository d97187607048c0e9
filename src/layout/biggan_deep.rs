//! BigGAN-deep, as Hugging Face's port of the published networks and as ajbrock/BigGAN-PyTorch spell it. Hugging Face's names
//! without the vectors of spectral normalisation are the canonical ones.

use super::assembly::{Assembled, Assembly};
use super::biggan::Shared;
use super::entry::{Change, Entry};
use super::error::LayoutProblem;
use super::state_dict::StateDict;
use crate::family::Family;

/// Layers with attention; the deepest public network has 15.
const MAX_LAYERS: usize = 4 * crate::limits::DOUBLINGS;
/// What the published networks add to variances; a file's config.json may say otherwise.
const HUGGING_FACE_EPSILON: f32 = 1e-4;
/// Only these rows of the last convolution are drawn.
const PICTURE: usize = 3;
pub(super) const HUGGING_FACE: &str = "huggingface";
const ATTENTION: [&str; 4] = ["theta", "phi", "g", "o_conv"];

pub(super) fn matches(state: &StateDict) -> bool {
    state.has("generator.gen_z.weight_orig") || state.has("generator.gen_z.weight")
}

/// Blocks up-sample if their number, attention not counted, is odd: so their number is even, and their width changes
/// there only.
struct Depth {
    blocks: usize,
}

impl Depth {
    fn add(&mut self, name: &str, input: usize, output: usize) -> Result<(), LayoutProblem> {
        let up = self.blocks % 2 == 1;
        self.blocks += 1;
        if input < output || !up && input != output {
            let what =
                format!("a BigGAN-deep with other than two blocks to a resolution ({name}: {input} to {output})");
            return Err(LayoutProblem::unsupported(what));
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), LayoutProblem> {
        if self.blocks.is_multiple_of(2) {
            return Ok(());
        }
        let what = format!("a BigGAN-deep of {} blocks, other than two to a resolution", self.blocks);
        Err(LayoutProblem::unsupported(what))
    }
}

/// The canonical network of a file with Hugging Face's names.
pub(super) fn assemble(state: &StateDict) -> Result<Assembled, LayoutProblem> {
    let mut assembly = Assembly::new(state, Family::BigGanDeep, HUGGING_FACE);
    let layer = |n: usize| format!("generator.layers.{n}");
    let is_attention =
        |assembly: &Assembly<'_>, n| state.has(&assembly.weight_name(&format!("{}.snconv1x1_theta", layer(n))));
    let is_layer = |n| state.has(&assembly.weight_name(&format!("{}.conv_0", layer(n)))) || is_attention(&assembly, n);
    let layers = (0..=MAX_LAYERS).filter(|&n| is_layer(n)).max().map_or(1, |last| last + 1);
    if layers > MAX_LAYERS {
        return Err(LayoutProblem::unsupported(format!("a BigGAN-deep of more than {MAX_LAYERS} layers")));
    }
    let mut names = vec![assembly.weight_name("generator.gen_z"), assembly.weight_name("generator.conv_to_rgb")];
    let rest = ["gen_z.bias", "conv_to_rgb.bias", "bn.weight", "bn.bias", "bn.running_means", "bn.running_vars"];
    names.extend(rest.map(|part| format!("generator.{part}")));
    for n in (0..layers).filter(|&n| !is_attention(&assembly, n)) {
        for i in 0..4 {
            let (conv, norm) = (format!("{}.conv_{i}", layer(n)), format!("{}.bn_{i}", layer(n)));
            names.extend([assembly.weight_name(&conv), format!("{conv}.bias"), format!("{norm}.running_means")]);
            names.extend([format!("{norm}.running_vars"), assembly.weight_name(&format!("{norm}.scale"))]);
            names.push(assembly.weight_name(&format!("{norm}.offset")));
        }
    }
    assembly.require(names)?;

    let mut embedding = 0;
    if state.has("embeddings.weight") {
        let [width, classes] = assembly.axes("embeddings.weight")?;
        assembly.put("embeddings.weight", "embeddings.weight".into(), &[width, classes])?;
        embedding = width;
    }
    let first = assembly.weight_name("generator.gen_z");
    let [rows, condition] = assembly.axes(&first)?;
    if condition <= embedding {
        let expected = format!("[.., more than the {embedding} of the class]");
        return Err(LayoutProblem::Shape { found: assembly.shape(&first), tensor: first, expected });
    }
    assembly.put_normed("generator.gen_z", "generator.gen_z.weight".into(), &[rows, condition])?;
    assembly.put("generator.gen_z.bias", "generator.gen_z.bias".into(), &[rows])?;
    let [sets, _] = assembly.axes("generator.bn.running_means")?;
    let mut channels = rows / 16;
    if channels.saturating_mul(16) != rows {
        let expected = format!("[a multiple of 16, {condition}]");
        return Err(LayoutProblem::Shape { found: assembly.shape(&first), tensor: first, expected });
    }
    let mut depth = Depth { blocks: 0 };
    for n in 0..layers {
        let name = layer(n);
        if is_attention(&assembly, n) {
            put_attention(&mut assembly, &name, channels)?;
            continue;
        }
        let [middle, ..] = assembly.axes::<4>(&assembly.weight_name(&format!("{name}.conv_0")))?;
        let [out, ..] = assembly.axes::<4>(&assembly.weight_name(&format!("{name}.conv_3")))?;
        depth.add(&name, channels, out)?;
        for (i, ([input, output], kernel)) in convolutions(channels, middle, out).into_iter().enumerate() {
            let (conv, norm) = (format!("{name}.conv_{i}"), format!("{name}.bn_{i}"));
            assembly.put_normed(&conv, format!("{conv}.weight"), &[output, input, kernel, kernel])?;
            assembly.put(&format!("{conv}.bias"), format!("{conv}.bias"), &[output])?;
            for part in ["scale", "offset"] {
                let module = format!("{norm}.{part}");
                assembly.put_normed(&module, format!("{module}.weight"), &[input, condition])?;
            }
            for part in ["running_means", "running_vars"] {
                assembly.put(&format!("{norm}.{part}"), format!("{norm}.{part}"), &[sets, input])?;
            }
        }
        channels = out;
    }
    depth.check_end()?;
    for (part, shape) in [
        ("weight", &[channels][..]),
        ("bias", &[channels]),
        ("running_means", &[sets, channels]),
        ("running_vars", &[sets, channels]),
    ] {
        assembly.put(&format!("generator.bn.{part}"), format!("generator.bn.{part}"), shape)?;
    }
    put_picture(&mut assembly, channels)?;
    let mut assembled = assembly.finish(|_| false);
    assembled.batch_norm_epsilon = HUGGING_FACE_EPSILON;
    assembled.last_norm_epsilon = HUGGING_FACE_EPSILON;
    Ok(assembled)
}

/// Channels in and out, and kernel, of a block's four convolutions.
fn convolutions(input: usize, middle: usize, output: usize) -> [([usize; 2], usize); 4] {
    [([input, middle], 1), ([middle, middle], 3), ([middle, middle], 3), ([middle, output], 1)]
}

fn put_attention(assembly: &mut Assembly<'_>, name: &str, channels: usize) -> Result<(), LayoutProblem> {
    let modules = ATTENTION.map(|part| format!("{name}.snconv1x1_{part}"));
    let gamma = format!("{name}.gamma");
    let names = modules.iter().map(|module| assembly.weight_name(module)).chain([gamma.clone()]);
    assembly.require(names.collect::<Vec<_>>())?;
    let [theta, phi, g, o] = &modules;
    let [narrow, ..] = assembly.axes::<4>(&assembly.weight_name(theta))?;
    let [half, ..] = assembly.axes::<4>(&assembly.weight_name(g))?;
    for (module, shape) in
        [(theta, [narrow, channels]), (phi, [narrow, channels]), (g, [half, channels]), (o, [channels, half])]
    {
        assembly.put_normed(module, format!("{module}.weight"), &[shape[0], shape[1], 1, 1])?;
    }
    assembly.put(&gamma, gamma.clone(), &[1])
}

/// The last convolution has as many outputs as inputs, of which the first three are the picture.
fn put_picture(assembly: &mut Assembly<'_>, channels: usize) -> Result<(), LayoutProblem> {
    let module = "generator.conv_to_rgb";
    let name = assembly.weight_name(module);
    let [rows, ..] = assembly.axes::<4>(&name)?;
    let picture = if rows == 1 { 1 } else { PICTURE };
    let (weight, changes) = assembly.normed(module, &[rows, channels, 3, 3])?;
    let bias = assembly.checked("generator.conv_to_rgb.bias", &[rows])?;
    let (Some(weight), Some(bias)) = (weight.first_rows(picture), bias.first_rows(picture)) else {
        return Err(LayoutProblem::shape(&name, &[PICTURE, channels, 3, 3], &assembly.shape(&name)));
    };
    let shape = vec![picture, channels, 3, 3];
    assembly.insert(format!("{module}.weight"), Entry { tensor: weight, shape, changes });
    assembly.insert(format!("{module}.bias"), Entry { tensor: bias, shape: vec![picture], changes: Vec::new() });
    Ok(())
}

/// The canonical network of a file with ajbrock's names: there the embedding comes before z and channels before pixels.
pub(super) fn assemble_brock(state: &StateDict) -> Result<Assembled, LayoutProblem> {
    let parts: Vec<String> = (1..=4)
        .flat_map(|i| {
            ["conv#.weight", "conv#.bias", "bn#.gain.weight", "bn#.bias.weight"]
                .map(|part| part.replace('#', &i.to_string()))
        })
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let mut shared = Shared::read(state, Family::BigGanDeep, &parts)?;
    let (condition, embedding, mut channels) = (shared.condition, shared.embedding, shared.channels);
    let [_, first] = shared.assembly.axes("linear.weight")?;
    if first != condition || condition <= embedding {
        let what = "a BigGAN-deep whose layers do not all have the class and z (hier off)";
        return Err(LayoutProblem::unsupported(what));
    }
    let rotate = || Some(Change::Rotate(embedding));
    if shared.has_classes() {
        let table = shared.assembly.checked("shared.weight", &[shared.classes, embedding])?;
        let turned = table.permuted(&[1, 0]);
        let turned =
            turned.ok_or_else(|| LayoutProblem::shape("shared.weight", &[shared.classes, embedding], table.shape()))?;
        let shape = vec![embedding, shared.classes];
        shared.assembly.insert("embeddings.weight".into(), Entry { tensor: turned, shape, changes: Vec::new() });
    }

    let rows = channels.saturating_mul(16);
    let stored: (&str, &[usize]) = ("linear", &[rows, condition]);
    let canonical = "generator.gen_z.weight".to_string();
    let pixels_first = |tensor: &crate::checkpoint::Tensor| tensor.split(0, &[channels, 4, 4])?.permuted(&[1, 2, 0, 3]);
    shared.put_viewed(stored, canonical, &[rows, condition], pixels_first, rotate())?;
    let bias = shared.assembly.checked("linear.bias", &[rows])?;
    let turned = bias.split(0, &[channels, 4, 4]).and_then(|bias| bias.permuted(&[1, 2, 0]));
    let turned = turned.ok_or_else(|| LayoutProblem::shape("linear.bias", &[rows], bias.shape()))?;
    let entry = Entry { tensor: turned, shape: vec![rows], changes: Vec::new() };
    shared.assembly.insert("generator.gen_z.bias".into(), entry);

    let (mut layer, mut depth) = (0, Depth { blocks: 0 });
    for block in 0..shared.blocks {
        let (name, target) = (format!("blocks.{block}.0"), format!("generator.layers.{layer}"));
        let [middle, ..] = shared.assembly.axes::<4>(&format!("{name}.conv1.weight"))?;
        let [out, ..] = shared.assembly.axes::<4>(&format!("{name}.conv4.weight"))?;
        depth.add(&name, channels, out)?;
        for (i, ([input, output], kernel)) in convolutions(channels, middle, out).into_iter().enumerate() {
            let (conv, norm) = (format!("{name}.conv{}", i + 1), format!("{name}.bn{}", i + 1));
            let shape = [output, input, kernel, kernel];
            shared.assembly.put_normed(&conv, format!("{target}.conv_{i}.weight"), &shape)?;
            shared.assembly.put(&format!("{conv}.bias"), format!("{target}.conv_{i}.bias"), &[output])?;
            for (part, canonical) in [("gain", "scale"), ("bias", "offset")] {
                let (module, shape) = (format!("{norm}.{part}"), [input, condition]);
                let canonical = format!("{target}.bn_{i}.{canonical}.weight");
                shared.put_viewed((&module, &shape), canonical, &shape, |tensor| Some(tensor.clone()), rotate())?;
            }
            let statistics = ["running_means", "running_vars"].map(|part| format!("{target}.bn_{i}.{part}"));
            shared.put_statistics(&norm, statistics, &[1, input])?;
        }
        (channels, layer) = (out, layer + 1);
        if shared.has_attention(block) {
            if block.is_multiple_of(2) {
                let what = format!("a BigGAN-deep with attention inside a resolution (after block {block})");
                return Err(LayoutProblem::unsupported(what));
            }
            let target = format!("generator.layers.{layer}");
            let [theta, phi, g, o] = ATTENTION.map(|part| format!("{target}.snconv1x1_{part}.weight"));
            shared.put_attention(block, [theta, phi, g, o, format!("{target}.gamma")], &[1], channels)?;
            layer += 1;
        }
    }
    depth.check_end()?;
    shared.assembly.put("output_layer.0.gain", "generator.bn.weight".into(), &[channels])?;
    shared.assembly.put("output_layer.0.bias", "generator.bn.bias".into(), &[channels])?;
    let statistics = ["running_means", "running_vars"].map(|part| format!("generator.bn.{part}"));
    shared.put_statistics("output_layer.0", statistics, &[1, channels])?;
    shared.put_picture("generator.conv_to_rgb", channels)?;
    Ok(shared.finish())
}

/// Takes over what the config.json beside a Hugging Face file says, as far as it is about this network.
pub(super) fn apply_config(assembled: &mut Assembled, config: &str) -> Result<(), LayoutProblem> {
    let Ok(config) = serde_json::from_str::<serde_json::Value>(config) else {
        assembled.warnings.push("config.json beside the file is not valid JSON: it is not used".into());
        return Ok(());
    };
    let Some(layers) = config.get("layers").and_then(|layers| layers.as_array()) else { return Ok(()) };
    let blocks = assembled.tensors.keys().filter(|name| name.ends_with(".conv_0.weight")).count();
    if layers.len() != blocks {
        assembled.warnings.push(format!(
            "config.json beside the file is about {} blocks, the file has {blocks}: it is not used",
            layers.len()
        ));
        return Ok(());
    }
    let ups = layers.iter().map(|layer| layer.get(0).and_then(|up| up.as_bool()));
    if let Some((block, _)) = ups.enumerate().find(|(block, up)| up.is_some_and(|up| up != (block % 2 == 1))) {
        let what = format!("a BigGAN-deep with other than two blocks to a resolution (config.json, block {block})");
        return Err(LayoutProblem::unsupported(what));
    }
    let epsilon = config.get("eps").and_then(|eps| eps.as_f64()).filter(|eps| (0.0..1.0).contains(eps) && *eps > 0.0);
    if let Some(epsilon) = epsilon {
        assembled.batch_norm_epsilon = epsilon as f32;
        assembled.last_norm_epsilon = epsilon as f32;
    }
    Ok(())
}
