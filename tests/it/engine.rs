//! The engine's caches must never show: a cached render is a fresh one, bit for bit.

use sefa_studio::edit::{
    Code, Direction, Edit, Move, Noise, NoiseMode, Origin, Sample, Seed, Truncation, Vectors, Weighting,
};
use sefa_studio::generator::Group;
use sefa_studio::gpu::RenderDevice;
use sefa_studio::progress::{self, Cancelled};
use sefa_studio::render::{Engine, Example, RenderError, Source, ViewId};

use crate::support::stylegan2_of_256;

pub fn toy_heads() -> Engine {
    let mut engine = Engine::new(RenderDevice::cpu(None));
    engine.open(&Source::Example(Example::ToyHeads), &mut progress::silent).unwrap();
    engine
}

pub fn sample(seed: u64) -> Edit {
    Edit { sample: Sample { code: Code::Seed(Seed::studio(seed)), ..Sample::default() }, ..Edit::default() }
}

pub fn moved(engine: &mut Engine, group: Group, value: f32) -> Move {
    let layers = engine.info().unwrap().group(group).unwrap();
    let basis = engine.factorize(&layers, Weighting::RowNormalised).unwrap();
    let direction = Direction::sefa(layers, Weighting::RowNormalised, 0, basis.direction(0).to_vec());
    Move::new(direction.into(), value)
}

#[test]
fn a_move_of_top_layers_reruns_only_the_stages_that_read_them() {
    let mut engine = toy_heads();
    let mut edit = sample(3);
    assert_eq!(engine.render(&edit).unwrap().stages_run(), (6, 6));
    assert_eq!(engine.render(&edit).unwrap().stages_run(), (0, 6));
    edit.moves.push(moved(&mut engine, Group::Top, 4.0));
    // Layer 6 is the second convolution at 32x32; everything below keeps its output.
    assert_eq!(engine.render(&edit).unwrap().stages_run(), (3, 6));
    edit.moves[0].enabled = false;
    assert_eq!(engine.render(&edit).unwrap().stages_run(), (3, 6));
    edit.moves.push(moved(&mut engine, Group::Bottom, 1.0));
    assert_eq!(engine.render(&edit).unwrap().stages_run(), (6, 6));
}

#[test]
fn a_gpu_is_prepared_while_the_model_opens() {
    for device in super::support::devices().into_iter().filter(|device| device.wgpu().is_some()) {
        let mut engine = Engine::new(device);
        let mut stages = Vec::new();
        let mut report = |progress: progress::Progress| {
            stages.push((progress.stage.to_string(), progress.done, progress.total));
            Ok(())
        };
        let info = engine.open(&Source::Example(Example::ToyHeads), &mut report).unwrap();
        let prepared: Vec<_> = stages.iter().filter(|(stage, ..)| stage.contains("GPU")).map(|s| (s.1, s.2)).collect();
        assert_eq!(prepared, [0, 1, 2, 3, 4, 5].map(|done| (done, 6)));
        assert_eq!(engine.render(&info.start(0)).unwrap().stages_run(), (0, 6), "the first sample is there already");

        let mut stop = |progress: progress::Progress| if progress.total == 6 { Err(Cancelled) } else { Ok(()) };
        assert!(engine.open(&Source::Example(Example::Faces), &mut stop).is_ok(), "another number of stages");
        assert!(engine.open(&Source::Example(Example::ToyHeads), &mut stop).unwrap_err().is_cancelled());
        assert_ne!(engine.info().unwrap().identity, info.identity, "the old model stays");
    }
}

#[test]
fn cached_pictures_equal_fresh_ones_bit_for_bit() {
    let mut engine = toy_heads();
    let (top, middle, bottom) = (
        moved(&mut engine, Group::Top, 3.0),
        moved(&mut engine, Group::Middle, -5.0),
        moved(&mut engine, Group::Bottom, 7.5),
    );
    let with = |moves: &[&Move]| Edit { moves: moves.iter().map(|&m| m.clone()).collect(), ..sample(5) };
    let random = |seed| Edit { noise: Noise { mode: NoiseMode::Random, seed }, ..with(&[&middle]) };
    let mut walk = vec![with(&[]), with(&[&top]), with(&[&top, &bottom]), with(&[&middle, &bottom]), with(&[&top])];
    walk.extend([random(1), random(2), random(1), sample(6), with(&[&bottom])]);
    walk.push(Edit { truncation: Truncation { psi: 0.3, cutoff: Some(4) }, ..with(&[&top]) });
    walk.push(Edit { noise: Noise { mode: NoiseMode::None, seed: 9 }, ..with(&[&top]) });
    let mut seen: Vec<Vec<f32>> = Vec::new();
    for edit in &walk {
        let cached = engine.render(edit).unwrap().to_f32().unwrap();
        let fresh = toy_heads().render(edit).unwrap().to_f32().unwrap();
        assert_eq!(cached, fresh, "{edit:?}");
        seen.push(cached);
    }
    assert_ne!(seen[5], seen[6], "noise seeds 1 and 2 gave one picture");
    assert_eq!(seen[5], seen[7], "noise seed 1 gave two pictures");
    assert_ne!(seen[0], seen[1], "a move changed nothing");
}

#[test]
fn an_edit_that_does_not_fit_is_refused_with_what_was_expected_and_found() {
    let mut engine = toy_heads();
    let problem = |engine: &mut Engine, edit: &Edit| match engine.render(edit) {
        Err(RenderError::Misfit { problem, .. }) => problem,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("rendered {edit:?}"),
    };
    let code = |code| Edit { sample: Sample { code, ..Sample::default() }, ..Edit::default() };
    assert_eq!(problem(&mut engine, &code(Code::Z(vec![0.0; 7]))), "z has 7 numbers, expected 128");
    assert_eq!(problem(&mut engine, &code(Code::WPlus(vec![vec![0.0; 128]; 3]))), "w+ has 3 layers, the model has 12");
    assert!(problem(&mut engine, &code(Code::W(vec![f32::NAN; 128]))).contains("not finite"));
    let class = Edit {
        sample: Sample { code: Code::Seed(Seed::default()), class: Some(2), ..Sample::default() },
        ..Edit::default()
    };
    assert_eq!(problem(&mut engine, &class), "class 2, but the model has no classes");
    let along = |layers: &str, vectors| {
        let direction = Direction { layers: layers.parse().unwrap(), vectors, origin: Origin::Mixed };
        Edit { moves: vec![Move::new(direction.into(), 1.0)], ..Edit::default() }
    };
    let (one, per_layer) = (Vectors::One, |layers| Vectors::PerLayer(vec![vec![0.0; 128]; layers]));
    let beyond = along("8-14", one(vec![0.0; 128]));
    assert_eq!(problem(&mut engine, &beyond), "layers 8-14, but the model has layers 0 to 11");
    let short = along("0", one(vec![0.0; 127]));
    assert_eq!(problem(&mut engine, &short), "a direction has 127 numbers, expected 128");
    for vectors in [0, 1, 3] {
        let found = problem(&mut engine, &along("0,4", per_layer(vectors)));
        assert_eq!(found, format!("a direction with {vectors} vectors, expected one for each of its 2 layers (0,4)"));
    }
    assert!(engine.render(&along("0,4", per_layer(2))).is_ok());
    let not_finite = along("0-1", Vectors::PerLayer(vec![vec![0.0; 128], vec![f32::INFINITY; 128]]));
    assert_eq!(problem(&mut engine, &not_finite), "a direction holds a value that is not finite");
    let many = Edit { moves: vec![moved(&mut engine, Group::Bottom, 0.0); 4097], ..Edit::default() };
    assert_eq!(problem(&mut engine, &many), "4097 moves, expected at most 4096");
    let psi = Edit { truncation: Truncation { psi: f32::INFINITY, cutoff: None }, ..Edit::default() };
    assert!(problem(&mut engine, &psi).contains("psi"));
}

#[test]
fn a_vector_for_each_layer_moves_each_by_its_own() {
    let mut engine = toy_heads();
    let (bottom, top) = (moved(&mut engine, Group::Bottom, 3.0), moved(&mut engine, Group::Top, 3.0));
    let of =
        |step: &Move, layers| vec![step.direction.vector_of(step.direction.layers.first()).unwrap().to_vec(); layers];
    let vectors = Vectors::PerLayer([of(&bottom, 2), of(&top, 6)].concat());
    let layers = "0-1,6-11".parse().unwrap();
    let both = Move::new(Direction { layers, vectors, origin: Origin::Mixed }.into(), 3.0);
    let one = engine.render(&Edit { moves: vec![both], ..sample(5) }).unwrap().to_f32().unwrap();
    let two = engine.render(&Edit { moves: vec![bottom, top], ..sample(5) }).unwrap().to_f32().unwrap();
    assert_eq!(one, two);
    assert_ne!(one, engine.render(&sample(5)).unwrap().to_f32().unwrap());
}

#[test]
fn a_failed_or_cancelled_open_leaves_the_old_model() {
    let mut engine = toy_heads();
    let before = engine.info().unwrap();
    let missing = engine.open(&Source::File("no such file".into()), &mut progress::silent);
    assert!(missing.is_err_and(|error| !error.is_cancelled()));
    let mut stop = |_| Err(Cancelled);
    let cancelled = engine.open(&Source::Example(Example::Faces), &mut stop);
    assert!(cancelled.is_err_and(|error| error.is_cancelled()));
    assert_eq!(engine.info().unwrap(), before);
    engine.render(&sample(0)).unwrap();
}

#[test]
fn groups_are_those_of_the_paper() {
    let info = toy_heads().info().unwrap();
    let text = |group| info.group(group).unwrap().to_string();
    assert_eq!(Group::ALL.map(text), ["0-1", "2-5", "6-11", "0-11"]);
    let layers: Vec<_> = info.layers.iter().map(|layer| (layer.name.as_str(), layer.size.larger())).collect();
    assert_eq!(layers[0], ("synthesis.b4.conv1", 4));
    assert_eq!(layers[1], ("synthesis.b8.conv0", 8));
    assert_eq!(layers[6], ("synthesis.b32.conv1", 32));
    assert_eq!(layers[11], ("synthesis.b128.torgb", 128));
}

#[test]
fn a_render_that_stopped_halfway_leaves_nothing_wrong_behind() {
    let faces = || {
        let mut engine = Engine::new(RenderDevice::cpu(None));
        engine.open(&Source::Example(Example::Faces), &mut progress::silent).unwrap();
        engine
    };
    let mut engine = faces();
    let plain = sample(5);
    let edit = Edit { moves: vec![moved(&mut engine, Group::Bottom, 6.0)], ..sample(5) };
    engine.render(&plain).unwrap();
    // This network has no picture before its end, so that it is rendered whole whatever is asked.
    let whole = engine.render_view(ViewId::PICTURE, &edit, || true).unwrap();
    assert!(whole.is_exact());
    assert_eq!(whole.to_f32().unwrap(), faces().render(&edit).unwrap().to_f32().unwrap());

    let large = stylegan2_of_256();
    let mut engine = Engine::new(RenderDevice::cpu(None));
    engine.open(&Source::File(large.path().into()), &mut progress::silent).unwrap();
    let bottom = moved(&mut engine, Group::Bottom, 6.0);
    let edit = Edit { moves: vec![bottom], ..sample(5) };
    let expected = engine.render(&edit).unwrap().to_f32().unwrap();
    let before = engine.render(&plain).unwrap().to_f32().unwrap();
    let preview = engine.render_view(ViewId::PICTURE, &edit, || true).unwrap();
    assert_eq!((preview.is_exact(), preview.width()), (false, 64));
    // The stages above were made from the plain sample and read unchanged codes; they must not be taken for this edit's.
    let finished = engine.render(&edit).unwrap();
    assert_eq!(finished.stages_run(), (2, 7), "goes on where the preview stopped");
    assert_eq!(finished.to_f32().unwrap(), expected);
    assert_eq!(engine.render(&plain).unwrap().to_f32().unwrap(), before);
}

#[test]
fn an_export_leaves_the_traces_of_views_alone_and_starts_from_them() {
    let mut engine = toy_heads();
    let top = moved(&mut engine, Group::Top, 4.0);
    let bottom = moved(&mut engine, Group::Bottom, 4.0);
    let with = |seed, moves: &[&Move]| Edit { moves: moves.iter().map(|&m| m.clone()).collect(), ..sample(seed) };
    let view =
        |engine: &mut Engine, view, edit: &Edit| engine.render_view(view, edit, || false).unwrap().stages_run().0;
    assert_eq!(view(&mut engine, ViewId::PICTURE, &with(1, &[&top])), 6);
    assert_eq!(view(&mut engine, ViewId::COMPARISON, &with(1, &[])), 3, "the stages below the move are the picture's");
    for seed in 2..5 {
        assert_eq!(engine.render(&with(seed, &[])).unwrap().stages_run().0, 6);
    }
    assert_eq!(view(&mut engine, ViewId(7), &with(3, &[])), 6, "only the last of these is remembered");
    assert_eq!(engine.render(&with(1, &[&top])).unwrap().stages_run().0, 0);
    assert_eq!(view(&mut engine, ViewId::PICTURE, &with(1, &[&top])), 0);
    assert_eq!(view(&mut engine, ViewId::COMPARISON, &with(1, &[])), 0);
    // What is taken from another trace is what it was made from.
    let found = engine.render_view(ViewId(7), &with(1, &[&bottom]), || false).unwrap().to_f32().unwrap();
    assert_eq!(found, toy_heads().render(&with(1, &[&bottom])).unwrap().to_f32().unwrap());
}

#[test]
fn a_picture_that_is_interrupted_goes_on_stage_by_stage_and_is_the_same() {
    let mut engine = toy_heads();
    let edit = sample(8);
    let fresh = toy_heads().render(&edit).unwrap().to_f32().unwrap();
    engine.interrupt_when(|| true);
    let mut interrupted = 0;
    let picture = loop {
        match engine.render(&edit) {
            Ok(picture) => break picture,
            Err(RenderError::Interrupted) => interrupted += 1,
            Err(error) => panic!("{error:?}"),
        }
        // Whatever a view does meanwhile; views are never interrupted.
        engine.render_view(ViewId::PICTURE, &sample(interrupted), || false).unwrap();
    };
    assert_eq!((interrupted, picture.stages_run()), (5, (1, 6)));
    assert_eq!(picture.to_f32().unwrap(), fresh);
}
