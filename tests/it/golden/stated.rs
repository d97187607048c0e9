//! Networks that their files state: TorchScript, ONNX and Keras.

use sefa_studio::edit::{Code, LayerSet, Sample};
use sefa_studio::family::Family;

use super::{Case, PICTURE, assert_basis, assert_close, edit};

#[test]
fn archives_and_graphs_draw_the_network_that_they_state() {
    let archives = ["scripted.pt", "traced.pt", "frozen.pt", "model.onnx"];
    for (folder, files, group) in
        [("archive_dcgan", &archives[..], "first"), ("vae_linear", &["decoder.onnx"][..], "decoder_input")]
    {
        for case in Case::all(folder, files) {
            let mut engine = case.open();
            assert_eq!(engine.info().unwrap().family, Family::Chain, "{}", case.file.display());
            for n in case.samples() {
                case.assert_picture(&mut engine, &case.edit_of_z(n, 1.0), "image", n, PICTURE);
            }
            if case.is_cpu() {
                assert_basis(&mut engine, &LayerSet::range(0, 0), &case.expected, group);
            }
        }
    }
}

/// Scripted, traced and frozen code; graphs of both exporters; models as `.keras` and as `.h5`.
#[test]
fn every_way_to_state_a_network_draws_its_pictures() {
    let files = [
        "mlp_scripted.pt",
        "mlp_old.onnx",
        "mlp_dynamo.onnx",
        "cond_scripted.pt",
        "cond_traced.pt",
        "cond_frozen.pt",
        "cond_old.onnx",
        "cond_dynamo.onnx",
        "res_traced.pt",
        "res_frozen.pt",
        "res_old.onnx",
        "sequential.keras",
        "sequential.h5",
        "functional.keras",
        "functional.h5",
    ];
    for case in Case::all("stated", &files) {
        let name = case.file.file_name().unwrap().to_string_lossy().into_owned();
        let network = name.split(['_', '.']).next().unwrap();
        let mut engine = case.open();
        let info = engine.info().unwrap();
        for n in case.samples() {
            let mut edit = edit(Code::Z(case.expected.row(&format!("{network}/z"), n)), 1.0);
            let class = matches!(network, "cond" | "functional").then(|| [1, 3][n]);
            edit.sample = Sample { class, ..edit.sample };
            let found = engine.render(&edit).unwrap().to_f32().unwrap();
            let own: Vec<f32> = found.iter().map(|&x| info.range().own(x)).collect();
            assert_close(&case.what("picture", n), &own, &case.expected.row(&format!("{network}/image"), n), PICTURE);
        }
    }
}
