//! StyleGAN, with a fused layer at 128 pixels.

use sefa_studio::edit::{Code, Truncation};
use sefa_studio::generator::{Family, Size};

use super::{Case, PICTURE, assert_basis};

fn cases() -> Vec<Case> {
    Case::all("stylegan1_genforce", &["model.pth", "model_tf.pkl"])
}

#[test]
fn stylegan_truncates_renders_and_edits_as_the_reference() {
    for case in cases() {
        let mut engine = case.open();
        let info = engine.info().unwrap();
        assert_eq!((info.family, info.size, info.num_layers), (Family::StyleGan, Size::square(128), 12));
        assert_eq!(info.default_truncation, Some(Truncation { psi: 0.7, cutoff: Some(8) }));
        for n in case.samples() {
            let mut edit = case.edit_of_z(n, 1.0);
            case.assert_picture(&mut engine, &edit, "image", n, PICTURE);
            edit.truncation = info.default_truncation.unwrap();
            case.assert_picture(&mut engine, &edit, "image_trunc", n, PICTURE);
            edit.moves.push(case.stored_move("2-5", 0, 2.0, "2-5"));
            case.assert_picture(&mut engine, &edit, "edit/image", n, PICTURE);
            let codes = Code::WPlus(case.expected.rows("wp_trunc", n));
            case.assert_picture(&mut engine, &case.edit(n, codes, 0.123), "image_trunc", n, PICTURE);
        }
    }
}

#[test]
fn stylegan_activations_match_stage_by_stage() {
    for case in cases() {
        let generator = case.load();
        for n in case.samples() {
            let w = case.assert_code(&generator, "w", n);
            let names = [1, 3, 5, 7, 9, 11].map(|n| format!("synthesis.layer{n}"));
            case.assert_stages(&generator, &w, 1.0, n, &names.each_ref().map(String::as_str));
        }
    }
}

#[test]
fn stylegan_has_the_directions_of_the_reference() {
    for case in cases().iter().filter(|case| case.is_cpu()) {
        let mut engine = case.open();
        for (group, layers) in [("all", "0-11"), ("0-1", "0-1"), ("2-5", "2-5"), ("6-11", "6-11")] {
            assert_basis(&mut engine, &layers.parse().unwrap(), &case.expected, group);
        }
    }
}
