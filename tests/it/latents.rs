//! Latent codes of other tools: every kind of file, shape and nesting, and what is refused.

use std::fs;
use std::io::{Cursor, Write};
use std::path::PathBuf;

use half::f16;
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::{prop_assert_eq, proptest};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use sefa_studio::checkpoint::Checkpoint;
use sefa_studio::edit::Code;
use sefa_studio::export::{Codes, Latents, Space};
use sefa_studio::generator::{self, ModelInfo};
use sefa_studio::{layout, progress};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::support::fixture;

/// A model with these widths.
fn model(z_dim: usize, w_dim: Option<usize>, num_layers: usize) -> ModelInfo {
    let checkpoint = Checkpoint::open(&fixture("dcgan/netG.pth"), &mut progress::silent).unwrap();
    let info = generator::describe(&layout::detect(checkpoint).unwrap(), "small").unwrap();
    ModelInfo { z_dim, w_dim, num_layers, ..info }
}

/// z of 4, w of 3 and two layers.
fn info() -> ModelInfo {
    model(4, Some(3), 2)
}

pub fn npy(descr: &str, shape: &str, data: Vec<u8>) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &data].concat()
}

pub fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub fn npz(members: &[(&str, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Files(TempDir::new().unwrap())
    }

    /// The name tells nothing: files are recognised by content.
    fn add(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join("codes.bin");
        fs::write(&path, bytes).unwrap();
        path
    }

    fn codes(&self, bytes: &[u8], key: Option<&str>, space: Option<Space>) -> Result<Vec<Code>, String> {
        self.codes_of(bytes, key, space, &info()).map(|codes| codes.codes)
    }

    fn codes_of(
        &self,
        bytes: &[u8],
        key: Option<&str>,
        space: Option<Space>,
        info: &ModelInfo,
    ) -> Result<Codes, String> {
        let latents = Latents::read(&self.add(bytes), key).map_err(|error| chain(&error))?;
        latents.into_codes(space, info).map_err(|error| chain(&error))
    }
}

const Z: [f32; 8] = [0.5, -1.0, 2.0, 0.25, 1.0, 1.5, -0.5, 4.0];

#[test]
fn codes_are_read_from_every_kind_of_file_and_number() {
    let files = Files::new();
    let f64s: Vec<u8> = Z.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect();
    let f16s: Vec<u8> = Z.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
    let expected: Vec<Code> = Z.chunks(4).map(|z| Code::Z(z.to_vec())).collect();
    let array = npy("<f4", "(2, 4)", f32s(&Z));
    let tensor = |dtype, data: &[u8]| {
        safetensors::serialize([("z", TensorView::new(dtype, vec![2, 4], data).unwrap())], None).unwrap()
    };
    for bytes in [
        npy("<f4", "(2, 4)", f32s(&Z)),
        npy("<f8", "(2, 4)", f64s.clone()),
        npy("<f2", "(2, 4)", f16s.clone()),
        npz(&[("z.npy", array.clone())], CompressionMethod::Stored),
        npz(&[("z.npy", array)], CompressionMethod::Deflated),
        npz(&[("z.npy", npy("<f8", "(2, 4)", f64s.clone()))], CompressionMethod::Deflated),
        tensor(Dtype::F32, &f32s(&Z)),
        tensor(Dtype::F64, &f64s),
        tensor(Dtype::F16, &f16s),
    ] {
        assert_eq!(files.codes(&bytes, None, None).unwrap(), expected);
    }
}

#[test]
fn shapes_and_spaces_decide_what_a_code_is() {
    let files = Files::new();
    let codes = |shape: &str, values: &[f32], space| files.codes(&npy("<f4", shape, f32s(values)), None, space);
    assert_eq!(codes("(4,)", &Z[..4], None).unwrap(), [Code::Z(Z[..4].to_vec())]);
    assert_eq!(codes("(3,)", &Z[..3], Some(Space::W)).unwrap(), [Code::W(Z[..3].to_vec())]);
    let w_plus = Code::WPlus(vec![Z[..3].to_vec(), Z[3..6].to_vec()]);
    assert_eq!(codes("(1, 2, 3)", &Z[..6], None).unwrap(), std::slice::from_ref(&w_plus));
    assert_eq!(codes("(1, 2, 3)", &Z[..6], Some(Space::W)).unwrap(), [w_plus]);

    assert_eq!(codes("(2, 3)", &Z[..6], None).unwrap(), [Code::WPlus(vec![Z[..3].to_vec(), Z[3..6].to_vec()])]);
    assert_eq!(codes("(2, 3)", &Z[..6], Some(Space::W)).unwrap().len(), 2, "two codes in w, as it was said");

    let error = codes("(2, 5)", &[0.5; 10], None).unwrap_err();
    assert!(error.contains("[2, 5]") && error.contains("[N, 4] in z") && error.contains("codes.bin"), "{error}");
    for (shape, values, space) in [
        ("(1, 2, 3)", &Z[..6], Some(Space::Z)),
        ("(2, 4)", &Z[..8], Some(Space::WPlus)),
        ("(1, 3, 2)", &Z[..6], None),
        ("(0, 4)", &Z[..0], None),
        ("(1, 2, 4)", &Z[..8], None),
        ("()", &Z[..1], None),
    ] {
        assert!(codes(shape, values, space).unwrap_err().contains("expected"), "{shape} was accepted");
    }
}

#[test]
fn what_could_be_two_things_is_refused_until_it_is_said() {
    let files = Files::new();
    let info = model(4, Some(4), 2);
    let codes = |bytes: &[u8], space| files.codes_of(bytes, None, space, &info);
    let array = npy("<f4", "(2, 4)", f32s(&Z));
    let error = codes(&array, None).unwrap_err();
    assert!(error.contains("--space w+") && error.contains("each of the 2 layers"), "{error}");
    let one = Code::WPlus(vec![Z[..4].to_vec(), Z[4..].to_vec()]);
    let plus = codes(&array, Some(Space::WPlus)).unwrap();
    assert_eq!(plus.codes, std::slice::from_ref(&one));
    assert!(
        plus.reading.contains("[2, 4]") && plus.reading.contains("1 code with one w per layer"),
        "{}",
        plus.reading
    );
    let two = [Z[..4].to_vec(), Z[4..].to_vec()];
    assert_eq!(codes(&array, Some(Space::Z)).unwrap().codes, two.clone().map(Code::Z));
    assert_eq!(codes(&array, Some(Space::W)).unwrap().codes, two.clone().map(Code::W));
    // A name, a list and rows that repeat each other leave no doubt.
    let named = |name: &str| codes(&npz(&[(&format!("{name}.npy"), array.clone())], CompressionMethod::Stored), None);
    assert_eq!(named("w_plus").unwrap().codes, std::slice::from_ref(&one));
    assert_eq!(named("dlatents").unwrap().codes, std::slice::from_ref(&one));
    assert_eq!(named("z").unwrap().codes, two.map(Code::Z));
    assert!(named("latents").is_err());
    let json = b"{\"a.png\": [[1, 2, 3, 4], [5, 6, 7, 8]], \"b.png\": [[1, 2, 3, 4], [5, 6, 7, 8]]}";
    assert_eq!(codes(json, None).unwrap().codes.len(), 2);
    let repeated = npy("<f4", "(2, 4)", f32s(&[&Z[..4], &Z[..4]].concat()));
    assert_eq!(codes(&repeated, None).unwrap().codes, [Code::WPlus(vec![Z[..4].to_vec(); 2])]);
    // Another number of rows is no w+.
    assert_eq!(codes(&npy("<f4", "(1, 4)", f32s(&Z[..4])), None).unwrap().codes, [Code::Z(Z[..4].to_vec())]);
}

proptest! {
    /// Axes of length 1 say nothing: wherever they are, the codes are the same.
    #[test]
    fn axes_of_length_1_change_nothing(
        count in 1usize..4, layers in 2usize..5, z in 2usize..6, w in 2usize..6, space in spaces(), places in ones(),
    ) {
        let info = model(z, Some(w), layers);
        let code = match space {
            Space::Z => vec![z],
            Space::W => vec![w],
            Space::WPlus => vec![layers, w],
        };
        let values: Vec<f32> = (0..count * code.iter().product::<usize>()).map(|i| i as f32 / 8.0 - 1.0).collect();
        // Ones go before and after every axis of the code, but not between the layers and their w.
        let mut shape = vec![count];
        shape.extend(std::iter::repeat_n(1, places.0));
        shape.extend(&code);
        shape.extend(std::iter::repeat_n(1, places.1));
        let plain: Vec<usize> = [vec![count], code].concat();
        let text = |shape: &[usize]| format!("({},)", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        let files = Files::new();
        let codes = |shape: &[usize]| {
            files.codes_of(&npy("<f4", &text(shape), f32s(&values)), None, Some(space), &info).map(|read| read.codes)
        };
        let (with, without) = (codes(&shape), codes(&plain));
        prop_assert_eq!(without.as_ref().map(Vec::len), Ok(count));
        prop_assert_eq!(with, without);
        if count == 1 {
            prop_assert_eq!(codes(&[vec![1], shape].concat()), codes(&plain));
        }
    }

    /// However deep codes lie in maps and lists, they are found, in the file's order, and what lies beside them is not taken.
    #[test]
    fn nested_codes_are_found_in_order(photos in 1usize..5, wrap in proptest::collection::vec(0usize..3, 0..4), name in names()) {
        let info = model(6, Some(6), 3);
        let code = |photo: usize| (0..6).map(|i| (photo * 10 + i) as f32).collect::<Vec<f32>>();
        let mut json = serde_json::json!({});
        for photo in 0..photos {
            // Pictures and noise of a shape that codes have as well.
            let entry = serde_json::json!({ name.0: code(photo), "noises": code(90), "img": [code(91)], "step": 7 });
            json[format!("photo {photo}.jpg")] = entry;
        }
        for kind in wrap {
            json = match kind {
                0 => serde_json::json!([json]),
                1 => serde_json::json!({ "results": json }),
                _ => serde_json::json!({ "args": "text", "data": json, "loss": 0.5 }),
            };
        }
        let files = Files::new();
        let read = files.codes_of(json.to_string().as_bytes(), None, None, &info).map(|read| read.codes);
        let expected: Vec<Code> = (0..photos).map(|photo| (name.1)(code(photo))).collect();
        prop_assert_eq!(read, Ok(expected));
    }
}

fn spaces() -> impl Strategy<Value = Space> {
    prop_oneof![Just(Space::Z), Just(Space::W), Just(Space::WPlus)]
}

fn ones() -> impl Strategy<Value = (usize, usize)> {
    (0usize..3, 0usize..3)
}

type Make = fn(Vec<f32>) -> Code;

fn names() -> impl Strategy<Value = (&'static str, Make)> {
    let choices: [(&'static str, Make); 5] =
        [("latent", Code::Z), ("latents", Code::Z), ("z", Code::Z), ("w", Code::W), ("projected_w", Code::W)];
    proptest::sample::select(choices.to_vec())
}

#[test]
fn files_of_projectors_and_encoders_are_read() {
    let info = model(16, Some(16), 8);
    let read = |name: &str, space| {
        let latents = Latents::read(&fixture(&format!("latents/{name}")), None).map_err(|error| chain(&error))?;
        latents.into_codes(space, &info).map_err(|error| chain(&error))
    };
    // {"photo.jpg": {"img": [3, 8, 8], "latent": [16], "noise": [[1, 1, 4, 4]]}}
    let projector = read("projector.pt", None).unwrap();
    assert!(matches!(&projector.codes[..], [Code::W(w)] if w.len() == 16), "noise beside it: {projector:?}");
    assert_eq!(read("projector.pt", Some(Space::W)).unwrap(), projector);
    assert!(projector.reading.contains("photo.jpg/latent"), "{}", projector.reading);
    // A list of two tensors [8, 16].
    let list = read("list_of_latents.pt", None).unwrap();
    assert!(matches!(&list.codes[..], [Code::WPlus(a), Code::WPlus(b)] if a.len() == 8 && b.len() == 8), "{list:?}");
    // numpy.save of a map of lists.
    let objects = read("named_latents.npy", None).unwrap();
    assert!(matches!(&objects.codes[..], [Code::WPlus(_)]), "{objects:?}");
    // What a factorisation writes: {"ckpt": .., "eigvec": [16, 16]}.
    let error = read("factor.pt", None).unwrap_err();
    assert!(error.contains("eigvec") && error.contains("directions"), "{error}");
    assert!(read("factor.pt", Some(Space::W)).unwrap().doubt.is_some_and(|doubt| doubt.contains("directions")));
}

#[test]
fn directions_are_refused_by_name_and_by_their_angles() {
    let files = Files::new();
    let unit = [1.0, 0.0, 0.0, 0.0, 0.0, 0.6, 0.8, 0.0];
    let array = npy("<f4", "(2, 4)", f32s(&unit));
    let error = files.codes(&array, None, None).unwrap_err();
    assert!(error.contains("directions") && error.contains("right angles") && error.contains("--space"), "{error}");
    assert_eq!(files.codes(&array, None, Some(Space::Z)).unwrap().len(), 2);
    // What `factorize --out` writes.
    let (directions, values) = (f32s(&Z[..4]), f32s(&[2.0]));
    let tensors = [
        ("eigenvalues", TensorView::new(Dtype::F32, vec![1], &values).unwrap()),
        ("directions", TensorView::new(Dtype::F32, vec![1, 4], &directions).unwrap()),
    ];
    let error = files.codes(&safetensors::serialize(tensors, None).unwrap(), None, None).unwrap_err();
    assert!(error.contains("array directions holds directions"), "{error}");
    let json = br#"{"model": "m", "layers": "0-1", "eigenvalues": [2.0], "directions": [[0.5, -1.0, 2.0, 0.25]]}"#;
    assert!(files.codes(json, None, None).unwrap_err().contains("directions"));
    let error = files.codes(br#"{"version": 1, "model": {}, "edit": {}}"#, None, None).unwrap_err();
    assert!(error.contains("--edit"), "{error}");
}

#[test]
fn text_is_read_as_json_or_as_a_table() {
    let files = Files::new();
    let expected: Vec<Code> = Z.chunks(4).map(|z| Code::Z(z.to_vec())).collect();
    for text in [
        "0.5,-1,2,0.25\n1,1.5,-0.5,4\n",
        "# z of two pictures\n0.5 -1.0 2e0 .25\r\n1.0\t1.5 -0.5  4\n\n",
        "[[0.5, -1, 2, 0.25], [1, 1.5, -0.5, 4]]",
        r#"{"z": [[[0.5, -1, 2, 0.25]], [[1, 1.5, -0.5, 4]]]}"#,
    ] {
        assert_eq!(files.codes(text.as_bytes(), None, None).unwrap(), expected, "{text}");
    }
    for text in ["1,2,3,4\n5,6", "1,2,x,4", "[[1, 2,", "{\"z\": [1, 2, 3, 1e99]}", "1 2 3 nan"] {
        assert!(files.codes(text.as_bytes(), None, None).is_err(), "{text} was accepted");
    }
}

#[test]
fn one_of_several_arrays_is_chosen_by_name() {
    let files = Files::new();
    let (z, other) = (npy("<f4", "(1, 4)", f32s(&Z[..4])), npy("<f4", "(1, 9)", f32s(&[0.0; 9])));
    let archive = npz(&[("first.npy", other), ("z.npy", z.clone())], CompressionMethod::Deflated);
    for key in [None, Some("z")] {
        assert_eq!(files.codes(&archive, key, None).unwrap(), [Code::Z(Z[..4].to_vec())], "the other one fits no code");
    }
    let twice = npz(&[("first.npy", z.clone()), ("second.npy", z.clone())], CompressionMethod::Deflated);
    let error = files.codes(&twice, None, None).unwrap_err();
    assert!(error.contains("first, second") && error.contains("--latents-key"), "{error}");
    assert_eq!(files.codes(&twice, Some("second"), None).unwrap(), [Code::Z(Z[..4].to_vec())]);
    let error = files.codes(&archive, Some("w"), None).unwrap_err();
    assert!(error.contains("no array named w") && error.contains("first, z"), "{error}");
    let error = files.codes(&z, Some("w"), None).unwrap_err();
    assert!(error.contains("without a name"), "{error}");
}

#[test]
fn numbers_that_are_none_and_damaged_files_are_refused() {
    let files = Files::new();
    for bad in [f32::NAN, f32::INFINITY] {
        let error = files.codes(&npy("<f4", "(1, 4)", f32s(&[0.0, bad, 0.0, 0.0])), None, None).unwrap_err();
        assert!(error.contains("position 1") && error.contains("finite"), "{error}");
    }
    let archive = npz(&[("z.npy", npy("<f4", "(2, 4)", f32s(&Z)))], CompressionMethod::Deflated);
    let mut flipped = archive.clone();
    flipped[60] ^= 0xff;
    let empty = npz(&[("readme.txt", b"hello".to_vec())], CompressionMethod::Stored);
    let page = b"<!DOCTYPE html><html>not found</html>".to_vec();
    for bytes in [Vec::new(), archive[..80].to_vec(), flipped, empty, page, npy("<i8", "(1,)", vec![0; 8])] {
        let error = files.codes(&bytes, None, None).unwrap_err();
        assert!(!error.is_empty());
    }
    assert!(Latents::read(files.0.path(), None).is_err(), "a folder was accepted");
    assert!(Latents::read(&files.0.path().join("missing.npy"), None).unwrap_err().to_string().contains("missing.npy"));
}
