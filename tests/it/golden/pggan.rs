//! PGGAN, plain and fused, grown to the end and not.

use sefa_studio::edit::{Code, LayerSet};
use sefa_studio::family::Family;
use sefa_studio::size::Size;

use super::{Case, PICTURE, assert_basis};

const FOLDERS: [&str; 2] = ["pggan_genforce", "pggan_genforce_fused"];

fn cases() -> impl Iterator<Item = Case> {
    FOLDERS.iter().flat_map(|folder| Case::all(folder, &["model.pth", "model_tf.pkl"]))
}

#[test]
fn pggan_renders_as_the_reference() {
    for case in cases() {
        let mut engine = case.open();
        let info = engine.info().unwrap();
        assert_eq!(
            (info.family, info.size, info.code_dim(), info.num_layers),
            (Family::Pggan, Size::square(32), 16, 1)
        );
        for n in case.samples() {
            let mut edit = case.edit_of_z(n, 1.0);
            case.assert_picture(&mut engine, &edit, "image", n, PICTURE);
            edit.moves.push(case.stored_move("all", 0, 3.0, "0"));
            case.assert_picture(&mut engine, &edit, "edit/image", n, PICTURE);
        }
    }
}

#[test]
fn pggan_activations_match_stage_by_stage() {
    for case in cases() {
        let generator = case.load();
        for n in case.samples() {
            let code = case.assert_code(&generator, "z_norm", n);
            case.assert_stages(&generator, &code, 1.0, n, &["layer1", "layer3", "layer5", "layer7"]);
        }
    }
}

#[test]
fn pggan_fades_between_resolutions_as_the_reference() {
    for case in FOLDERS.iter().flat_map(|folder| Case::all(folder, &["model.pth"])) {
        for lod in ["1.0", "1.5", "2.25"] {
            let grown = case.with_tensor("lod", &[lod.parse().unwrap()]);
            let mut engine = grown.open();
            for n in case.samples() {
                grown.assert_picture(&mut engine, &grown.edit_of_z(n, 1.0), &format!("image_lod{lod}"), n, PICTURE);
            }
        }
    }
}

#[test]
fn interfacegans_pggan_renders_as_its_own_code() {
    for case in Case::all("pggan_interfacegan", &["model.pth"]) {
        let (mut engine, generator) = (case.open(), case.load());
        let faded = case.with_tensor("lod", &[1.0]);
        let mut faded_engine = faded.open();
        for n in case.samples() {
            let edit = case.edit_of_z(n, 1.0);
            case.assert_picture(&mut engine, &edit, "image", n, PICTURE);
            faded.assert_picture(&mut faded_engine, &edit, "image_lod1", n, PICTURE);
            let z = case.expected.row("z", n);
            case.assert_stages(&generator, &z, 1.0, n, &["layer1", "layer3", "layer5", "layer7"]);
            let edited = case.edit(n, Code::Z(case.expected.row("edit/z", n)), 1.0);
            case.assert_picture(&mut engine, &edited, "edit/image", n, PICTURE);
        }
        if case.is_cpu() {
            assert_basis(&mut engine, &LayerSet::range(0, 0), &case.expected, "layer0");
        }
    }
}

#[test]
fn pggan_with_classes_renders_as_the_reference() {
    for case in Case::all("pggan_tf_classes", &["model_tf.pkl"]) {
        let mut engine = case.open();
        let info = engine.info().unwrap();
        assert_eq!((info.family, info.z_dim, info.classes), (Family::Pggan, 9, Some(4)));
        // Converted, it is the same.
        let mut converted = case.with_tensor("lod", &[0.0]).open();
        for n in case.samples() {
            case.assert_picture(&mut engine, &case.edit_of_z(n, 1.0), "image", n, PICTURE);
            case.assert_picture(&mut converted, &case.edit_of_z(n, 1.0), "image", n, PICTURE);
        }
        if case.is_cpu() {
            let basis = engine.factorize(&LayerSet::range(0, 0), Default::default()).unwrap();
            assert_eq!(basis.len(), 9, "directions are of z alone");
        }
    }
}

#[test]
fn pggan_has_the_directions_of_the_reference() {
    for case in cases().filter(Case::is_cpu) {
        assert_basis(&mut case.open(), &LayerSet::range(0, 0), &case.expected, "all");
    }
}
