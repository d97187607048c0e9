//! Files that leave the program and come back: pictures with their project.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use sefa_studio::directions::DirectionSet;
use sefa_studio::edit::{Code, Direction, Edit, LayerSet, Move, Sample, Shelf, Weighting};
use sefa_studio::export::{self, ExportError, FrameSink, Sequence, Shot, Sweep, ThreadSink};
use sefa_studio::generator::ModelInfo;
use sefa_studio::gpu::RenderDevice;
use sefa_studio::names::DirectionNames;
use sefa_studio::progress;
use sefa_studio::project::{self, ModelIdentity, Project, ProjectError};
use sefa_studio::render::{Engine, Example, Pixels, Source};
use sefa_studio::tasks::{Export, Outcome, Step, Task};
use tempfile::TempDir;

use crate::support::pixels_of;

fn project() -> Project {
    let layers = "0-1".parse().unwrap();
    let mut names = DirectionNames::default();
    names.set(&layers, Weighting::RowNormalised, 0, "turn \"left\", größer");
    Project {
        model: ModelIdentity {
            identity: "abc".into(),
            name: "größer".into(),
            family: "StyleGAN2".into(),
            source: "example:toy-heads".into(),
            recipe: None,
        },
        edit: Edit {
            sample: Sample { code: Code::W((0..512).map(|i| i as f32 / 7.0).collect()), ..Sample::default() },
            moves: vec![Move {
                name: "turn".into(),
                ..Move::new(Direction::sefa(layers, Weighting::RowNormalised, 0, vec![0.1; 512]).into(), -1.25)
            }],
            ..Edit::default()
        },
        names,
        shelf: Shelf::default(),
    }
}

fn picture(channels: usize) -> Pixels {
    let (width, height) = (37, 21);
    let data = (0..width * height * channels).map(|i| (i * 31 % 251) as u8).collect();
    Pixels { width, height, channels, data }
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
    assert_eq!(project::embedded_project(&bytes).unwrap(), Some(json));

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
        if let Ok(Some(json)) = project::embedded_project(&whole[..length]) {
            assert_eq!(json, project().to_json(), "cut to {length} bytes");
        }
    }
    assert!(project::embedded_project(&whole[..100]).is_err());
    let mut damaged = whole.clone();
    damaged[60] ^= 0xff;
    assert!(!matches!(project::embedded_project(&damaged), Ok(Some(_))), "a damaged chunk was believed");
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
    assert!(project::embedded_project(&bytes).is_err());
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
    let set = DirectionSet::from(&*basis);
    let direction = |index: usize| set.directions[index].clone();
    edit.moves = vec![Move { enabled: false, ..Move::new(direction(0), 0.5) }, Move::new(direction(1), 0.25)];
    let project = Project::new(&info, source.to_string(), edit, DirectionNames::default());
    let sweep = |name: &str, sheet| {
        let folder = folder.path().join(name);
        Sweep { direction: direction(0), from: -2.0, to: 2.0, frames: 3, folder, sheet }
    };

    let mut whole = Export::sweep(project.clone(), &sweep("whole", true), &info);
    let path = loop {
        if let Step::Done(Outcome::Written(path)) = whole.step(&mut engine).unwrap() {
            break path;
        }
    };
    assert_eq!(path, folder.path().join("whole/sheet.png"));
    let names = ["frame_0000.png", "frame_0001.png", "frame_0002.png", "sheet.png"];
    assert_eq!(names_in(&folder.path().join("whole")), names);
    for (name, value) in names.iter().zip([-2.0, 0.0, 2.0]) {
        let frame = folder.path().join("whole").join(name);
        let edit = Project::load(&frame).unwrap().edit;
        assert_eq!((edit.moves[0].value, edit.moves[0].enabled), (value, true));
        assert_eq!(edit.moves[1..], [Move::new(direction(1), 0.25)], "the other move stays");
        let pixels = engine.render(&edit).unwrap().to_pixels().unwrap();
        assert_eq!(pixels_of(&fs::read(&frame).unwrap()), pixels.data, "{name} is not the picture of its own edit");
    }

    let mut stopped = Export::sweep(project, &sweep("stopped", true), &info);
    for _ in 0..2 {
        assert!(matches!(stopped.step(&mut engine).unwrap(), Step::More(_)));
    }
    drop(stopped);
    // What was rendered is written by threads that go on.
    let deadline = Instant::now() + Duration::from_secs(30);
    while !folder.path().join("stopped").join(names[1]).exists() {
        assert!(Instant::now() < deadline, "a rendered frame was lost");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(names_in(&folder.path().join("stopped")), names[..2]);
}

/// The first so many seeds as numbered frames, and as the network's own numbers.
fn render_all(engine: &mut Engine, info: &ModelInfo, folder: &Path, frames: u64) -> Result<(), ExportError> {
    let project = Project::new(info, "example:toy-heads".into(), info.start(0), DirectionNames::default());
    let shots = (0..frames).map(|seed| Shot { label: String::new(), edit: info.start(seed) });
    let sinks: Vec<Box<dyn FrameSink>> = vec![Box::new(ThreadSink::numbered_png(folder, true))];
    let sequence = Sequence::new(project, shots, frames as usize, sinks);
    export::render_sequence(engine, sequence, &mut progress::silent)
}

#[test]
fn a_frame_that_cannot_be_written_is_named_and_leaves_the_others_whole() {
    let folder = TempDir::new().unwrap();
    let mut engine = Engine::new(RenderDevice::cpu(None));
    let source = Source::Example(Example::ToyHeads);
    let info = engine.open(&source, &mut progress::silent).unwrap();
    // A folder that is not empty cannot be replaced by a file.
    fs::create_dir_all(folder.path().join("frame_0001.png/inside")).unwrap();
    for frames in [2, 20] {
        // The failure is told while frames are still rendered, or at the end.
        let error = render_all(&mut engine, &info, folder.path(), frames).unwrap_err();
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
    render_all(&mut engine, &info, folder.path(), 12).unwrap();
    assert_eq!(names_in(folder.path()).len(), 24);
    for seed in 0..12 {
        let picture = engine.render(&info.start(seed)).unwrap();
        let name = |extension: &str| folder.path().join(format!("frame_{seed:04}.{extension}"));
        assert_eq!(pixels_of(&fs::read(name("png")).unwrap()), picture.to_pixels().unwrap().data);
        assert_eq!(fs::read(name("npy")).unwrap()[128..], crate::latents::f32s(&picture.to_f32().unwrap()));
    }
}
