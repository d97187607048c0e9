//! StyleGAN3 T and R, with their own and with another transform of the picture.

use sefa_studio::edit::Code;
use sefa_studio::family::Family;
use sefa_studio::size::Size;

use super::{Case, assert_basis};

/// The fixtures' bound for this family.
const PICTURE: f32 = 1e-3;

fn cases() -> impl Iterator<Item = Case> {
    ["stylegan3_t", "stylegan3_r"].iter().flat_map(|folder| Case::all(folder, &["model.pth", "model.pkl"]))
}

#[test]
fn stylegan3_truncates_and_renders_as_the_reference() {
    for case in cases() {
        let mut engine = case.open();
        let info = engine.info().unwrap();
        assert_eq!((info.family, info.size, info.num_layers), (Family::StyleGan3, Size::square(32), 8));
        for n in case.samples() {
            let mut edit = case.edit_of_z(n, 1.0);
            case.assert_picture(&mut engine, &edit, "image", n, PICTURE);
            (edit.truncation.psi, edit.truncation.cutoff) = (0.6, Some(4));
            case.assert_picture(&mut engine, &edit, "image_trunc", n, PICTURE);
            let codes = Code::WPlus(case.expected.rows("ws_trunc", n));
            case.assert_picture(&mut engine, &case.edit(n, codes, 1.0), "image_trunc", n, PICTURE);
        }
    }
}

#[test]
fn stylegan3_activations_match_stage_by_stage() {
    for case in cases() {
        let generator = case.load();
        let stages = generator.network.stages();
        let layers = ["input", "L0_36_16", "L1_36_16", "L2_52_16", "L3_52_16", "L4_52_16", "L5_32_16", "L6_32_3"];
        assert_eq!(stages.len(), layers.len());
        for n in case.samples() {
            let w = case.assert_code(&generator, "w", n);
            let names = layers.map(|layer| format!("synthesis.{layer}"));
            case.assert_stages(&generator, &w, 1.0, n, &names.each_ref().map(String::as_str));
        }
    }
}

#[test]
fn stylegan3_turns_and_shifts_the_picture_as_the_reference() {
    for folder in ["stylegan3_t", "stylegan3_r"] {
        for case in Case::all(folder, &["model.pth"]) {
            let turned = case.with_tensor("synthesis.input.transform", &case.expected.get("transform"));
            let mut engine = turned.open();
            for n in case.samples() {
                turned.assert_picture(&mut engine, &turned.edit_of_z(n, 1.0), "image_transform", n, PICTURE);
            }
        }
    }
}

#[test]
fn stylegan3_has_the_directions_of_the_reference() {
    for case in cases().filter(Case::is_cpu) {
        let mut engine = case.open();
        // The input layer has no rows, so "all" may or may not name it.
        for (group, layers) in [("all", "0-7"), ("all", "1-7"), ("2-5", "2-5")] {
            assert_basis(&mut engine, &layers.parse().unwrap(), &case.expected, group);
        }
    }
}
