//! Style mixing: a picture whose layers take their codes from two samples is the one of those codes, set together by hand, bit for
//! bit. Where there is a w that is a code of one w per layer, as NVIDIA's `style_mixing.py` makes it; BigGAN's z are set together
//! block by block.

use std::sync::Arc;

use sefa_studio::edit::{ClassMix, Code, Direction, Edit, LayerSet, Move, Noise, NoiseMode, Origin, Sample, Style};
use sefa_studio::edit::{Truncation, Vectors};
use sefa_studio::generator::{Generator, Label};
use sefa_studio::gpu::RenderDevice;
use sefa_studio::render::{Engine, RenderError};

use super::{Case, code_from_z};

/// One w per layer of a z, truncated: what a projector of another tool would write.
pub(super) fn by_hand(
    generator: &Generator,
    z: &[f32],
    label: &Label,
    Truncation { psi, cutoff }: Truncation,
) -> Vec<Vec<f32>> {
    let w = code_from_z(generator, z, label);
    let layers = generator.info.num_layers;
    let of_layer = |layer| {
        if layer >= cutoff.unwrap_or(layers) || psi == 1.0 {
            return w.clone();
        }
        let mean = generator.network.mean_code(layer).unwrap();
        w.iter().zip(mean).map(|(w, mean)| mean + psi * (w - mean)).collect()
    };
    (0..layers).map(of_layer).collect()
}

#[track_caller]
fn values(engine: &mut Engine, edit: &Edit) -> Vec<f32> {
    engine.render(edit).unwrap().to_f32().unwrap()
}

/// Codes of `styles`' layers taken over in their order.
fn mixed(mut codes: Vec<Vec<f32>>, styles: &[(&LayerSet, &Vec<Vec<f32>>)]) -> Vec<Vec<f32>> {
    for (layers, others) in styles {
        layers.as_slice().iter().for_each(|&layer| codes[layer].clone_from(&others[layer]));
    }
    codes
}

#[test]
fn styles_of_networks_with_w_are_codes_of_one_w_per_layer() {
    for (folder, file) in [
        ("stylegan2_ada_skip", "model.pth"),
        ("stylegan2_genforce_cond", "model.pth"),
        ("stylegan3_t", "model.pth"),
        ("stylegan1_genforce", "model.pth"),
    ] {
        for case in Case::all(folder, &[file]) {
            let (generator, mut engine) = (case.load(), case.open());
            let info = engine.info().unwrap();
            let z = [0, 1].map(|n| case.expected.row("z", n));
            let truncation = Truncation { psi: 0.6, cutoff: Some(info.num_layers - 2) };
            let last = info.num_layers - 1;
            let (coarse, fine) = (LayerSet::range(0, 1), LayerSet::range(1, last));
            let noise = Noise { mode: NoiseMode::Random, seed: 3 };
            let label = case.label(1);
            let codes = z.each_ref().map(|z| by_hand(&generator, z, &label, truncation));
            let w = code_from_z(&generator, &z[0], &label).iter().map(|x| -x).collect::<Vec<f32>>();

            let base = Edit { truncation, noise, ..case.edit(1, Code::Z(z[1].clone()), 1.0) };
            let style = |layers: &LayerSet, code| Style::new(layers.clone(), code);
            let per_layer: Vec<Vec<f32>> =
                (0..=last).map(|layer| w.iter().map(|x| x * layer as f32).collect()).collect();
            let [of_z, of_w_plus] = [Code::Z(z[0].clone()), Code::WPlus(per_layer.clone())];
            let muted = Style { enabled: false, ..style(&fine, Code::W(w)) };
            let moves = vec![Move::new(
                Arc::new(Direction {
                    layers: coarse.clone(),
                    vectors: Vectors::One(z[0].iter().cycle().take(info.code_dim()).copied().collect()),
                    origin: Origin::Mixed,
                }),
                0.5,
            )];
            for (styles, expected) in [
                (vec![style(&fine, of_z.clone())], mixed(codes[1].clone(), &[(&fine, &codes[0])])),
                (vec![style(&coarse, of_z.clone()), muted], mixed(codes[1].clone(), &[(&coarse, &codes[0])])),
                (
                    vec![style(&fine, of_w_plus), style(&coarse, of_z)],
                    mixed(codes[1].clone(), &[(&fine, &per_layer), (&coarse, &codes[0])]),
                ),
            ] {
                let with = |styles, code| {
                    let sample = Sample { styles, code, ..base.sample.clone() };
                    Edit { sample, moves: moves.clone(), ..base.clone() }
                };
                let found = values(&mut engine, &with(styles, base.sample.code.clone()));
                let by_hand = values(&mut engine, &with(vec![], Code::WPlus(expected)));
                assert!(found == by_hand, "{}", case.what("styles", 1));
                assert!(found != values(&mut engine, &with(vec![], base.sample.code.clone())), "nothing is mixed");
            }
        }
    }
}

#[test]
fn a_style_is_mapped_with_its_own_class_or_with_that_of_the_sample() {
    for case in Case::all("stylegan2_genforce_cond", &["model.pth"]) {
        let (generator, mut engine) = (case.load(), case.open());
        let z = [0, 1].map(|n| case.expected.row("z", n));
        let mix = Some(ClassMix { class: 1, amount: 0.25 });
        let own = Sample { code: Code::Z(z[1].clone()), class: Some(0), mix, ..Sample::default() };
        let layers = LayerSet::range(2, 5);
        for (class, style_mix, label) in [
            (None, None, Label::of(&own)),
            (Some(1), None, Label::class(1)),
            (Some(1), Some(ClassMix { class: 0, amount: 0.5 }), {
                let mix = Some(ClassMix { class: 0, amount: 0.5 });
                Label::of(&Sample { class: Some(1), mix, ..Sample::default() })
            }),
        ] {
            let style = Style { class, mix: style_mix, ..Style::new(layers.clone(), Code::Z(z[0].clone())) };
            let sample = Sample { styles: vec![style], ..own.clone() };
            let found = values(&mut engine, &Edit { sample, ..Edit::default() });
            let untruncated = Truncation::default();
            let base = by_hand(&generator, &z[1], &Label::of(&own), untruncated);
            let other = by_hand(&generator, &z[0], &label, untruncated);
            let code = Code::WPlus(mixed(base, &[(&layers, &other)]));
            let by_hand = values(&mut engine, &Edit { sample: Sample { code, ..own.clone() }, ..Edit::default() });
            assert!(found == by_hand, "{}: {label:?}", case.what("style", 1));
        }
    }
}

/// A z whose differences to others of its kind are exact.
fn exact(z: &[f32]) -> Vec<f32> {
    z.iter().map(|x| (x * 8.0).round() / 8.0).collect()
}

#[test]
fn styles_of_biggan_are_z_block_by_block() {
    for (folder, file) in [("biggan_ajbrock", "G_ema.pth"), ("biggan_deep_hf_small", "pytorch_model.bin")] {
        for case in Case::all(folder, &[file]) {
            let mut engine = case.open();
            let z = [0, 1].map(|n| exact(&case.expected.row("z", n)));
            let layers: LayerSet = "1,3".parse().unwrap();
            let mut edit = case.edit(1, Code::Z(z[1].clone()), 0.4);
            let plain = values(&mut engine, &edit);
            // The class of a style is in no z: the blocks keep the class of the sample.
            let style = Style { class: Some(0), ..Style::new(layers.clone(), Code::Z(z[0].clone())) };
            edit.sample.styles.push(style);
            let found = values(&mut engine, &edit);
            edit.sample.styles.clear();
            let difference = z[0].iter().zip(&z[1]).map(|(other, own)| other - own).collect();
            let direction = Direction { layers, vectors: Vectors::One(difference), origin: Origin::Mixed };
            edit.moves.push(Move::new(Arc::new(direction), 1.0));
            assert!(found == values(&mut engine, &edit), "{}", case.what("style", 1));
            assert!(found != plain, "nothing is mixed");
            if folder == "biggan_ajbrock" {
                // Each block reads its own part of z.
                let info = engine.info().unwrap();
                let chunk = info.z_dim / info.num_layers;
                let mut parts = z[1].clone();
                for at in [1, 3].map(|layer| layer * chunk) {
                    parts[at..at + chunk].copy_from_slice(&z[0][at..at + chunk]);
                }
                let by_hand = case.edit(1, Code::Z(parts), 0.4);
                assert!(found == values(&mut engine, &by_hand), "{}", case.what("parts of z", 1));
            }
        }
    }
}

#[test]
fn psi_scales_the_z_of_a_styles_seed_as_that_of_the_sample() {
    let case = &Case::all("biggan_ajbrock", &["G_ema.pth"])[0];
    let mut engine = case.open();
    let info = engine.info().unwrap();
    let code = |seed| Code::Seed(info.seed(seed));
    let mut edit = case.edit(0, code(4), 0.5);
    let whole = LayerSet::range(0, info.num_layers - 1);
    edit.sample.styles.push(Style::new(whole, code(9)));
    assert!(values(&mut engine, &edit) == values(&mut engine, &case.edit(0, code(9), 0.5)));
}

#[test]
fn tiles_of_mixed_samples_are_their_pictures() {
    let case = &Case::all("stylegan2_ada_skip", &["model.pth"])[0];
    let mut engine = case.open();
    let info = engine.info().unwrap();
    let mixed = |seed| {
        let mut edit = info.start(1);
        edit.sample.styles.push(Style::new(LayerSet::range(2, 3), Code::Seed(info.seed(seed))));
        edit
    };
    let edits = [mixed(5), mixed(6), info.start(1), mixed(5)];
    let tiles = engine.exact_tiles(&edits, info.size.larger(), None).unwrap();
    for (edit, tile) in edits.iter().zip(tiles) {
        assert!(tile.unwrap().pixels == engine.render(edit).unwrap().to_pixels().unwrap(), "{edit:?}");
    }
}

#[test]
fn styles_that_do_not_fit_are_refused() {
    let problem = |folder: &str, file: &str, styles: Vec<Style>| {
        let mut engine = Case::of_devices(vec![RenderDevice::cpu(None)], folder, &[file])[0].open();
        let mut edit = engine.info().unwrap().start(0);
        edit.sample.styles = styles;
        match engine.render(&edit) {
            Err(RenderError::Misfit { problem, .. }) => problem,
            other => panic!("{:?}", other.err()),
        }
    };
    let style = |layers: &str, code| Style::new(layers.parse().unwrap(), code);
    let one_layer = "a style for some layers, but the model has one layer: its code is the whole sample";
    for (folder, file) in
        [("pggan_genforce", "model.pth"), ("dcgan", "netG.pth"), ("biggan_ajbrock_nohier", "G_ema.pth")]
    {
        assert_eq!(problem(folder, file, vec![style("0", Code::default())]), one_layer);
    }
    let refused = |style: Style| problem("stylegan2_ada_skip", "model.pth", vec![style]);
    assert!(
        refused(style("2-99", Code::default())).starts_with("a style: layers 2-99, but the model has layers 0 to ")
    );
    assert!(refused(style("0", Code::Z(vec![0.0; 3]))).starts_with("a style: z has 3 numbers, expected "));
    assert!(refused(style("0", Code::W(vec![f32::NAN; 64]))).starts_with("a style: w "));
    let class = Style { class: Some(1), ..style("0", Code::default()) };
    assert_eq!(refused(class), "a style: class 1, but the model has no classes");
    let only_mix = Style { mix: Some(ClassMix { class: 1, amount: 0.5 }), ..style("0", Code::default()) };
    assert_eq!(refused(only_mix), "a style: a mixture of classes without the first of them");
    let many = vec![Style { enabled: false, ..style("0", Code::default()) }; 65];
    assert_eq!(problem("stylegan2_ada_skip", "model.pth", many), "65 styles, expected at most 64");
    let in_w = problem("biggan_ajbrock", "G_ema.pth", vec![style("0", Code::W(vec![0.0; 3]))]);
    assert_eq!(in_w, "a style: a code in w, but the model's latent space is z");
}
