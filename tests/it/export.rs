//! Files that leave the program and come back: pictures with their project, latent codes of other tools.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use sefa_studio::edit::{Code, Edit, LayerSet, Move, Sample, SeedKind, Weighting};
use sefa_studio::export::{self, ExportError, FrameWriter, Latents, Space, Sweep};
use sefa_studio::generator::{Family, ModelInfo, Size};
use sefa_studio::gpu::RenderDevice;
use sefa_studio::layout::ChannelOrder;
use sefa_studio::names::DirectionNames;
use sefa_studio::progress::{self, Cancelled, Progress};
use sefa_studio::project::{ModelIdentity, Project, ProjectError, VERSION};
use sefa_studio::render::{Engine, Example, Pixels, Source};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn project() -> Project {
    let layers = "0-1".parse().unwrap();
    let mut names = DirectionNames::default();
    names.set(&layers, Weighting::RowNormalised, 0, "turn \"left\", größer");
    Project {
        version: VERSION,
        model: ModelIdentity {
            identity: "abc".into(),
            name: "größer".into(),
            family: "StyleGAN2".into(),
            source: "example:toy-heads".into(),
        },
        edit: Edit {
            sample: Sample { code: Code::W((0..512).map(|i| i as f32 / 7.0).collect()), class: None, mix: None },
            moves: vec![Move {
                layers,
                weighting: Weighting::RowNormalised,
                index: 0,
                vector: vec![0.1; 512],
                value: -1.25,
                enabled: true,
                name: "turn".into(),
            }],
            ..Edit::default()
        },
        names,
    }
}

fn picture(channels: usize) -> Pixels {
    let (width, height) = (37, 21);
    let data = (0..width * height * channels).map(|i| (i * 31 % 251) as u8).collect();
    Pixels { width, height, channels, data }
}

fn pixels_of(png: &[u8]) -> Vec<u8> {
    let mut reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
    let mut data = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut data).unwrap();
    data
}

/// Names in a folder: what a failed write left behind.
fn names_in(folder: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(|entry| name(entry.unwrap())).collect();
    names.sort();
    names
}

#[test]
fn a_png_carries_its_project_and_the_exact_pixels() {
    let folder = TempDir::new().unwrap();
    for channels in [1, 3, 4] {
        let path = folder.path().join("picture.png");
        export::write_png(&path, &picture(channels), Some(&project())).unwrap();
        assert_eq!(pixels_of(&fs::read(&path).unwrap()), picture(channels).data);
        assert_eq!(Project::load(&path).unwrap(), project());
        assert_eq!(names_in(folder.path()), ["picture.png"]);
    }
}

#[test]
fn a_project_after_the_picture_is_found_and_a_picture_without_one_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("other.png");
    let mut bytes = Vec::new();
    let mut writer = png::Encoder::new(&mut bytes, 1, 1).write_header().unwrap();
    writer.write_image_data(&[7]).unwrap();
    let json = project().to_json();
    writer.write_text_chunk(&png::text_metadata::ITXtChunk::new("Comment", "no project")).unwrap();
    writer.write_text_chunk(&png::text_metadata::ITXtChunk::new("SeFa Studio", json.clone())).unwrap();
    drop(writer);
    assert_eq!(export::embedded_project(&bytes).unwrap(), Some(json));

    export::write_png(&path, &picture(3), None).unwrap();
    assert!(matches!(Project::load(&path), Err(ProjectError::NoEdit { .. })));
}

#[test]
fn truncated_pngs_are_errors_or_still_hold_the_whole_project() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("picture.png");
    export::write_png(&path, &picture(3), Some(&project())).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(13) {
        if let Ok(Some(json)) = export::embedded_project(&whole[..length]) {
            assert_eq!(json, project().to_json(), "cut to {length} bytes");
        }
    }
    assert!(matches!(export::embedded_project(&whole[..100]), Err(ExportError::Decode(_))));
    let mut damaged = whole.clone();
    damaged[60] ^= 0xff;
    assert!(!matches!(export::embedded_project(&damaged), Ok(Some(_))), "a damaged chunk was believed");
}

#[test]
fn a_text_chunk_that_unpacks_to_gigabytes_is_refused() {
    let mut bytes = Vec::new();
    let mut writer = png::Encoder::new(&mut bytes, 1, 1).write_header().unwrap();
    let mut bomb = png::text_metadata::ITXtChunk::new("SeFa Studio", " ".repeat(80 << 20));
    bomb.compressed = true;
    writer.write_text_chunk(&bomb).unwrap();
    writer.write_image_data(&[0]).unwrap();
    drop(writer);
    assert!(bytes.len() < 1 << 20);
    assert!(matches!(export::embedded_project(&bytes), Err(ExportError::Decode(_))));
}

#[test]
fn an_unwritable_target_is_named_and_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    fs::create_dir_all(folder.path().join("full.png/inside")).unwrap();
    for target in ["file/picture.png", "missing/picture.png", "full.png"] {
        let path = folder.path().join(target);
        let error = export::write_png(&path, &picture(3), None).unwrap_err();
        assert!(error.to_string().contains(target), "{error}");
        assert!(std::error::Error::source(&error).is_some(), "{error} has no cause");
    }
    assert!(export::write_npy(&folder.path().join("missing/a.npy"), &[1], &[0.0]).is_err());
    assert_eq!(names_in(folder.path()), ["file", "full.png"]);
    assert_eq!(fs::read_to_string(file).unwrap(), "in the way");
}

#[test]
fn a_failed_write_keeps_the_file_that_was_there() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("picture.png");
    export::write_png(&path, &picture(3), None).unwrap();
    let before = fs::read(&path).unwrap();
    let impossible = Pixels { width: 0, height: 0, channels: 3, data: Vec::new() };
    assert!(export::write_png(&path, &impossible, None).is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(names_in(folder.path()), ["picture.png"]);
}

#[test]
fn a_sweep_moves_one_move_and_can_be_stopped() {
    let folder = TempDir::new().unwrap();
    let mut engine = Engine::new(RenderDevice::cpu(None));
    let source = Source::Example(Example::ToyHeads);
    let info = engine.open(&source, &mut progress::silent).unwrap();
    let layers: LayerSet = "0-1".parse().unwrap();
    let basis = engine.factorize(&layers, Weighting::RowNormalised).unwrap();
    let mut edit = info.start(3);
    edit.moves.push(Move {
        layers,
        weighting: Weighting::RowNormalised,
        index: 0,
        vector: basis.direction(0).to_vec(),
        value: 0.5,
        enabled: false,
        name: String::new(),
    });
    let project = Project::new(&info, source.to_string(), edit, DirectionNames::default());
    let sweep =
        |name: &str, sheet| Sweep { index: 0, from: -2.0, to: 2.0, frames: 3, folder: folder.path().join(name), sheet };

    let path = export::write_sweep(&mut engine, &project, &sweep("whole", true), &mut progress::silent).unwrap();
    assert_eq!(path, folder.path().join("whole/sheet.png"));
    let names = ["frame_0000.png", "frame_0001.png", "frame_0002.png", "sheet.png"];
    assert_eq!(names_in(&folder.path().join("whole")), names);
    for (name, value) in names.iter().zip([-2.0, 0.0, 2.0]) {
        let frame = folder.path().join("whole").join(name);
        let edit = Project::load(&frame).unwrap().edit;
        assert_eq!((edit.moves[0].value, edit.moves[0].enabled), (value, true));
        let pixels = engine.render(&edit).unwrap().to_pixels().unwrap();
        assert_eq!(pixels_of(&fs::read(&frame).unwrap()), pixels.data, "{name} is not the picture of its own edit");
    }

    let mut stop_at_2 = |progress: Progress| if progress.done == 2 { Err(Cancelled) } else { Ok(()) };
    let stopped = export::write_sweep(&mut engine, &project, &sweep("stopped", true), &mut stop_at_2);
    assert!(matches!(stopped, Err(ExportError::Cancelled(_))));
    assert_eq!(names_in(&folder.path().join("stopped")), names[..2]);
}

#[test]
fn a_frame_that_cannot_be_written_is_named_and_leaves_the_others_whole() {
    let folder = TempDir::new().unwrap();
    let mut engine = Engine::new(RenderDevice::cpu(None));
    let source = Source::Example(Example::ToyHeads);
    let info = engine.open(&source, &mut progress::silent).unwrap();
    let project = |seed| Project::new(&info, source.to_string(), info.start(seed), DirectionNames::default());
    // A folder that is not empty cannot be replaced by a file.
    fs::create_dir_all(folder.path().join("frame_0001.png/inside")).unwrap();
    for frames in [2, 20] {
        let mut writer = FrameWriter::create(folder.path(), true, None).unwrap();
        let written = (0..frames).try_for_each(|seed| writer.write(&mut engine, &project(seed), "").map(drop));
        // The failure is told while frames are still rendered, or at the end.
        let error = written.and_then(|()| writer.finish().map(drop)).unwrap_err();
        assert!(error.to_string().contains("frame_0001.png"), "{error}");
        for name in names_in(folder.path()) {
            let path = folder.path().join(&name);
            assert!(name.starts_with("frame_") && !name.contains("0019"), "{name} was left behind");
            assert!(path.is_dir() || path.extension().unwrap() == "npy" || Project::load(&path).is_ok(), "{name}");
        }
    }
}

#[test]
fn frames_come_in_order_and_equal_a_single_render() {
    let folder = TempDir::new().unwrap();
    let mut engine = Engine::new(RenderDevice::cpu(None));
    let source = Source::Example(Example::ToyHeads);
    let info = engine.open(&source, &mut progress::silent).unwrap();
    let mut writer = FrameWriter::create(folder.path(), true, None).unwrap();
    for seed in 0..12 {
        let project = Project::new(&info, source.to_string(), info.start(seed), DirectionNames::default());
        let path = writer.write(&mut engine, &project, "").unwrap();
        assert_eq!(path, folder.path().join(format!("frame_{seed:04}.png")));
    }
    assert_eq!(writer.finish().unwrap(), None);
    assert_eq!(names_in(folder.path()).len(), 24);
    for seed in 0..12 {
        let picture = engine.render(&info.start(seed)).unwrap();
        let name = |extension: &str| folder.path().join(format!("frame_{seed:04}.{extension}"));
        assert_eq!(pixels_of(&fs::read(name("png")).unwrap()), picture.to_pixels().unwrap().data);
        assert_eq!(fs::read(name("npy")).unwrap()[128..], f32s(&picture.to_f32().unwrap()));
    }
}

// ---- latent codes ----

/// A StyleGAN2 with z of 4, w of 3 and two layers.
fn info() -> ModelInfo {
    ModelInfo {
        name: "small".into(),
        identity: String::new(),
        family: Family::StyleGan2,
        layout: String::new(),
        container: String::new(),
        size: Size::square(4),
        channels: 3,
        z_dim: 4,
        w_dim: Some(3),
        seeds: SeedKind::Numpy,
        num_layers: 2,
        layers: Vec::new(),
        classes: None,
        carries_code: false,
        network_taken: "the whole file".into(),
        ignored: Vec::new(),
        warnings: Vec::new(),
        metadata: BTreeMap::new(),
        direction_names: DirectionNames::default(),
        default_truncation: None,
        has_noise: false,
        stores_noise: false,
        channel_order: ChannelOrder::Rgb,
        slider_range: 1.0,
    }
}

fn npy(descr: &str, shape: &str, data: Vec<u8>) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &data].concat()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn npz(members: &[(&str, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
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
        let chain = |error: &dyn std::error::Error| {
            let causes = std::iter::successors(Some(error), |error| error.source());
            causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
        };
        let latents = Latents::read(&self.add(bytes), key).map_err(|error| chain(&error))?;
        latents.into_codes(space, &info()).map_err(|error| chain(&error))
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

    let error = codes("(2, 3)", &Z[..6], None).unwrap_err();
    assert!(error.contains("[2, 3]") && error.contains("[N, 4] in z") && error.contains("codes.bin"), "{error}");
    for (shape, values, space) in [
        ("(1, 2, 3)", &Z[..6], Some(Space::Z)),
        ("(1, 3, 2)", &Z[..6], None),
        ("(0, 4)", &Z[..0], None),
        ("(1, 1, 1, 4)", &Z[..4], None),
        ("()", &Z[..1], None),
    ] {
        assert!(codes(shape, values, space).unwrap_err().contains("expected"), "{shape} was accepted");
    }
}

#[test]
fn one_of_several_arrays_is_chosen_by_name() {
    let files = Files::new();
    let (z, other) = (npy("<f4", "(1, 4)", f32s(&Z[..4])), npy("<f4", "(1, 9)", f32s(&[0.0; 9])));
    let archive = npz(&[("first.npy", other), ("z.npy", z.clone())], CompressionMethod::Deflated);
    let error = files.codes(&archive, None, None).unwrap_err();
    assert!(error.contains("first, z") && error.contains("--latents-key"), "{error}");
    assert_eq!(files.codes(&archive, Some("z"), None).unwrap(), [Code::Z(Z[..4].to_vec())]);
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
