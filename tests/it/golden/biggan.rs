//! BigGAN and BigGAN-deep, of Hugging Face and of Brock.

use sefa_studio::edit::{ClassMix, Code, LayerSet};
use sefa_studio::family::Family;
use sefa_studio::gpu::RenderDevice;
use sefa_studio::latent;
use sefa_studio::size::Size;

use super::{Case, PICTURE, assert_basis, open};
use crate::support::fixture;

/// A fixture of Hugging Face's kind: its truncations, the first of which its activations have, and the place of attention.
struct Deep {
    folder: &'static str,
    resolution: usize,
    psis: &'static [&'static str],
    items: usize,
}

const DEEP: [Deep; 2] = [
    Deep { folder: "biggan_deep_hf", resolution: 128, psis: &["1.0", "0.5", "0.435", "0.58"], items: 11 },
    Deep { folder: "biggan_deep_hf_small", resolution: 64, psis: &["0.4", "0.765"], items: 9 },
];

#[test]
fn biggan_deep_picks_statistics_by_psi_and_renders_as_the_reference() {
    for deep in DEEP {
        for case in Case::all(deep.folder, &["pytorch_model.bin"]) {
            let mut engine = case.open();
            let info = engine.info().unwrap();
            assert_eq!((info.family, info.size), (Family::BigGanDeep, Size::square(deep.resolution)));
            assert_eq!(info.num_layers, deep.items, "the first layer and the blocks");
            for n in case.samples() {
                for psi in deep.psis {
                    let edit = case.edit_of_z(n, psi.parse().unwrap());
                    case.assert_picture(&mut engine, &edit, &format!("image_t{psi}"), n, PICTURE);
                }
                // The fixture moves z as a whole.
                let mut edit = case.edit_of_z(n, deep.psis[0].parse().unwrap());
                let all = LayerSet::range(0, info.num_layers - 1).to_string();
                edit.moves.push(case.stored_move("gen_z", 0, 2.0, &all));
                case.assert_picture(&mut engine, &edit, "edit/image", n, PICTURE);
            }
        }
    }
}

#[test]
fn biggan_deep_activations_match_stage_by_stage() {
    for deep in DEEP {
        for case in Case::all(deep.folder, &["pytorch_model.bin"]) {
            let generator = case.load();
            for n in case.samples() {
                let names: Vec<String> = (0..deep.items).map(|n| format!("generator.layers.{n}")).collect();
                let names: Vec<&str> = [""].into_iter().chain(names.iter().map(String::as_str)).chain([""]).collect();
                case.assert_stages(&generator, &case.expected.row("z", n), deep.psis[0].parse().unwrap(), n, &names);
            }
        }
    }
}

#[test]
fn biggan_deep_has_the_directions_of_the_reference() {
    for deep in DEEP {
        for case in Case::all(deep.folder, &["pytorch_model.bin"]).iter().filter(|case| case.is_cpu()) {
            let mut engine = case.open();
            assert_basis(&mut engine, &LayerSet::range(0, 0), &case.expected, "gen_z");
            let last = engine.info().unwrap().num_layers - 1;
            engine.factorize(&LayerSet::range(1, last), Default::default()).unwrap();
        }
    }
}

#[test]
fn brocks_networks_render_as_the_reference() {
    let blocks = ["linear", "blocks.0.0", "blocks.1.0", "blocks.2.1", "blocks.3.0", ""];
    let deep = [
        "linear",
        "blocks.0.0",
        "blocks.1.0",
        "blocks.2.0",
        "blocks.3.0",
        "blocks.3.1",
        "blocks.4.0",
        "blocks.5.0",
        "",
    ];
    let cases: [(&str, Family, usize, &[&str]); 2] =
        [("biggan_ajbrock", Family::BigGan, 5, &blocks), ("biggan_deep_ajbrock", Family::BigGanDeep, 7, &deep)];
    for (folder, family, layers, names) in cases {
        for case in Case::all(folder, &["G_ema.pth"]) {
            let mut engine = case.open();
            let info = engine.info().unwrap();
            assert_eq!((info.family, info.num_layers, info.classes), (family, layers, Some(7)));
            let generator = case.load();
            for n in case.samples() {
                case.assert_stages(&generator, &case.expected.row("z", n), 1.0, n, names);
                case.assert_picture(&mut engine, &case.edit_of_z(n, 1.0), "image", n, PICTURE);
            }
        }
    }
}

/// z as a whole in the first layer; tables of classes instead of a shared embedding; no spectral norm.
#[test]
fn variants_of_brocks_network_render_as_the_reference() {
    let attention: &[&str] = &["linear", "blocks.0.0", "blocks.1.1", "blocks.2.0", ""];
    let plain: &[&str] = &["linear", "blocks.0.0", "blocks.1.0", "blocks.2.0", ""];
    for (folder, classes, names) in [
        ("biggan_ajbrock_nohier", 5, attention),
        ("biggan_ajbrock_unshared", 4, attention),
        ("sngan_ajbrock", 4, plain),
    ] {
        for case in Case::all(folder, &["G_ema.pth"]) {
            let (mut engine, generator) = (case.open(), case.load());
            let info = engine.info().unwrap();
            assert_eq!((info.family, info.num_layers, info.classes), (Family::BigGan, 1, Some(classes)));
            for n in case.samples() {
                case.assert_stages(&generator, &case.expected.row("z", n), 1.0, n, names);
                case.assert_picture(&mut engine, &case.edit_of_z(n, 1.0), "image", n, PICTURE);
                let edited = case.edit(n, Code::Z(case.expected.row("edit/z", n)), 1.0);
                case.assert_picture(&mut engine, &edited, "edit/image", n, PICTURE);
            }
            if case.is_cpu() {
                assert_basis(&mut engine, &LayerSet::range(0, 0), &case.expected, "linear");
            }
        }
    }
}

#[test]
fn a_network_of_brock_without_classes_renders_as_the_reference() {
    for case in Case::all("biggan_ajbrock_no_classes", &["G_ema.pth"]) {
        let mut engine = case.open();
        let info = engine.info().unwrap();
        assert_eq!((info.family, info.z_dim, info.num_layers, info.classes), (Family::BigGan, 16, 4, None));
        for n in case.samples() {
            case.assert_picture(&mut engine, &case.edit_of_z(n, 1.0), "image", n, PICTURE);
        }
    }
}

/// z of a layer of a network that splits it has no effect outside its own part, and SeFa's rows know.
#[test]
fn directions_of_a_block_lie_in_its_part_of_a_split_z() {
    let mut engine = open(&fixture("biggan_ajbrock/G_ema.pth"), &RenderDevice::cpu(None));
    let basis = engine.factorize(&"2".parse().unwrap(), Default::default()).unwrap();
    for index in 0..4 {
        let direction = basis.direction(index);
        let outside = direction.iter().enumerate().filter(|(i, _)| !(8..12).contains(i)).map(|(_, x)| x.abs());
        assert!(outside.fold(0.0, f32::max) < 1e-6, "{direction:?}");
    }
    assert!(basis.eigenvalues[4] < 1e-9 * basis.eigenvalues[0]);
}

#[test]
fn psi_drives_the_z_of_a_seed_and_leaves_a_given_z_alone() {
    let mut engine = open(&fixture("biggan_deep_hf_small/pytorch_model.bin"), &RenderDevice::cpu(None));
    let info = engine.info().unwrap();
    let mut edit = info.start(3);
    assert_eq!((edit.truncation.psi, edit.sample.class), (0.5, Some(0)));
    let from_seed = engine.render(&edit).unwrap().to_f32().unwrap();
    let z = latent::z_of_seed(info.seed(3), info.z_dim, true).iter().map(|x| 0.5 * x).collect();
    edit.sample.code = Code::Z(z);
    assert_eq!(engine.render(&edit).unwrap().to_f32().unwrap(), from_seed);
}

#[test]
fn a_class_mixture_goes_from_one_class_to_the_other_and_caches_stay_exact() {
    let file = fixture("biggan_deep_hf_small/pytorch_model.bin");
    let mut engine = open(&file, &RenderDevice::cpu(None));
    let start = engine.info().unwrap().start(5);
    let with = |class, mix: Option<(usize, f32)>, psi| {
        let mut edit = start.clone();
        edit.sample.class = Some(class);
        edit.sample.mix = mix.map(|(class, amount)| ClassMix { class, amount });
        edit.truncation.psi = psi;
        edit
    };
    let walk = [
        with(1, None, 0.5),
        with(1, Some((4, 0.0)), 0.5),
        with(1, Some((4, 0.5)), 0.5),
        with(1, Some((4, 1.0)), 0.5),
        with(4, None, 0.5),
        with(4, None, 0.6),
    ];
    let pictures: Vec<Vec<f32>> = walk
        .iter()
        .map(|edit| {
            let cached = engine.render(edit).unwrap().to_f32().unwrap();
            let fresh = open(&file, &RenderDevice::cpu(None)).render(edit).unwrap().to_f32().unwrap();
            assert_eq!(cached, fresh, "{edit:?}");
            cached
        })
        .collect();
    assert_eq!(pictures[0], pictures[1]);
    assert_eq!(pictures[3], pictures[4]);
    assert!([0, 3, 5].iter().all(|&other| pictures[2] != pictures[other]));
    assert!(engine.render(&with(1, Some((9, 0.5)), 0.5)).is_err_and(|error| error.to_string().contains("class 9")));
    assert!(engine.render(&with(1, Some((2, 1.5)), 0.5)).is_err_and(|error| error.to_string().contains("mixture")));
}
