//! Tiles are the engine's pictures made smaller, however many one pass makes and wherever it starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sefa_studio::edit::{Code, Edit, Move, Noise, NoiseMode, Sample, Truncation};
use sefa_studio::generator::Group;
use sefa_studio::progress;
use sefa_studio::render::{Engine, Example, Pixels, RenderError, Source, Tile, TileResult, ViewId};

use super::engine::{moved, sample, toy_heads};
use crate::support::{devices, fixture, stylegan2_of_256};

/// From the definition: every pixel is the mean over its area of what the screen shows, weighted by how much of each pixel is in it.
fn scaled(values: &[f32], [channels, height, width]: [usize; 3], [to_height, to_width]: [usize; 2]) -> Pixels {
    let share = |at: usize, of: usize, from: usize, to: usize| {
        let (from, to) = (from as f64, to as f64);
        let (start, end) = (at as f64 * from / to, (at + 1) as f64 * from / to);
        (end.min(of as f64 + 1.0) - start.max(of as f64)).max(0.0) * to / from
    };
    let mut means = Vec::new();
    for plane in values.chunks_exact(height * width).take(channels) {
        for (y, x) in (0..to_height).flat_map(|y| (0..to_width).map(move |x| (y, x))) {
            let mut mean = 0.0;
            for (row, values) in plane.chunks_exact(width).enumerate() {
                let of_row = share(y, row, height, to_height);
                for (column, value) in values.iter().enumerate().filter(|_| of_row > 0.0) {
                    mean += of_row * share(x, column, width, to_width) * f64::from(value.clamp(-1.0, 1.0));
                }
            }
            means.push(mean as f32);
        }
    }
    Pixels::from_planar(&means, channels, to_height, to_width)
}

/// The picture of an edit, scaled.
fn expected(engine: &mut Engine, edit: &Edit, size: [usize; 2]) -> Pixels {
    let picture = engine.render(edit).unwrap();
    let shape = [picture.channels(), picture.height(), picture.width()];
    scaled(&picture.to_f32().unwrap(), shape, size).in_rgb(picture.order())
}

/// Values at the edge of two levels may be rounded to either.
#[track_caller]
fn assert_alike(found: &Pixels, expected: &Pixels, what: &str) {
    assert_eq!([found.width, found.height, found.channels], [expected.width, expected.height, expected.channels]);
    let off: Vec<u8> = found.data.iter().zip(&expected.data).map(|(a, b)| a.abs_diff(*b)).collect();
    assert!(off.iter().all(|&levels| levels <= 1), "{what}: off by {:?} levels", off.iter().max());
    let differing = off.iter().filter(|&&levels| levels > 0).count();
    assert!(differing * 200 <= off.len(), "{what}: {differing} of {} values differ", off.len());
}

fn whole(tiles: Vec<TileResult>) -> Vec<Tile> {
    tiles.into_iter().map(Result::unwrap).collect()
}

fn with(edit: &Edit, moves: &[&Move]) -> Edit {
    Edit { moves: moves.iter().map(|&step| step.clone()).collect(), ..edit.clone() }
}

/// Edits that one pass makes, and edits that it does not.
fn mixed(engine: &mut Engine) -> Vec<Edit> {
    let (top, bottom) = (moved(engine, Group::Top, 4.0), moved(engine, Group::Bottom, -3.0));
    let random = |seed| Edit { noise: Noise { mode: NoiseMode::Random, seed }, ..with(&sample(5), &[&top]) };
    let mut edits: Vec<Edit> = (0..5).map(sample).collect();
    edits.extend([with(&sample(5), &[]), with(&sample(5), &[&top]), with(&sample(5), &[&bottom, &top])]);
    edits.extend([random(1), random(2), random(1)]);
    edits.push(Edit { noise: Noise { mode: NoiseMode::None, seed: 0 }, ..sample(5) });
    edits.push(Edit { truncation: Truncation { psi: 0.4, cutoff: Some(3) }, ..sample(5) });
    edits
}

#[test]
fn tiles_are_pictures_made_smaller_wherever_they_start() {
    for device in devices() {
        let label = device.label();
        let is_exact = device.wgpu().is_none();
        let mut engine = Engine::new(device);
        engine.open(&Source::Example(Example::ToyHeads), &mut progress::silent).unwrap();
        let edits = mixed(&mut engine);
        engine.render_view(ViewId::PICTURE, &edits[6], || false).unwrap();
        let shared = whole(engine.exact_tiles(&edits, 50, Some(ViewId::PICTURE)).unwrap());
        let alone = whole(engine.exact_tiles(&edits, 50, None).unwrap());
        for (n, edit) in edits.iter().enumerate() {
            assert!(alone[n].is_exact && shared[n].is_exact);
            let expected = expected(&mut engine, edit, [50, 50]);
            assert_alike(&alone[n].pixels, &expected, &format!("tile {n} on {label}"));
            match is_exact {
                true => assert_eq!(shared[n], alone[n], "tile {n} on {label}"),
                false => assert_alike(&shared[n].pixels, &expected, &format!("tile {n} from the view on {label}")),
            }
        }
        assert_ne!(alone[8], alone[9], "random noise of two seeds");
        assert_eq!(alone[8], alone[10]);
    }
}

/// Label, psi and noise of each tile of a pass are its own, in networks that read them.
#[test]
fn tiles_of_one_pass_keep_their_classes_and_psi() {
    for file in
        ["biggan_deep_hf_small/pytorch_model.bin", "stylegan2_ada_cond_pkl/model.pkl", "biggan_ajbrock/G_ema.pth"]
    {
        for device in devices() {
            let label = format!("{file} on {}", device.label());
            let mut engine = Engine::new(device);
            let info = engine.open(&Source::File(fixture(file)), &mut progress::silent).unwrap();
            let classes = info.classes.unwrap();
            let edit = |n: usize| Edit {
                sample: Sample { class: Some(n % classes), ..sample(n as u64 / 2).sample },
                truncation: Truncation { psi: [0.5, 0.8][n % 2], cutoff: None },
                ..Edit::default()
            };
            let edits: Vec<Edit> = (0..4).map(edit).collect();
            let tiles = whole(engine.exact_tiles(&edits, info.size.larger(), None).unwrap());
            for (n, edit) in edits.iter().enumerate() {
                let size = [info.size.height, info.size.width];
                let expected = expected(&mut engine, edit, size);
                assert_alike(&tiles[n].pixels, &expected, &format!("tile {n} of {label}"));
            }
        }
    }
}

#[test]
fn a_tile_runs_only_the_stages_that_the_view_has_not_run_for_it() {
    let mut engine = toy_heads();
    let bottom = moved(&mut engine, Group::Bottom, 2.0);
    let shown = with(&sample(3), &[&bottom]);
    let top = |value: f32, engine: &mut Engine| with(&shown, &[&bottom, &moved(engine, Group::Top, value)]);
    let edits: Vec<Edit> = [-4.0, -2.0, 0.0, 2.0, 4.0].map(|value| top(value, &mut engine)).into();
    let ran = |engine: &mut Engine, edits: &[Edit], from| {
        let before = engine.stages_run();
        whole(engine.exact_tiles(edits, 64, from).unwrap());
        engine.stages_run() - before
    };
    let passes = edits.len().div_ceil(engine.tiles_together()) as u64;
    let alone = ran(&mut engine, &edits, Some(ViewId::PICTURE));
    assert_eq!(alone, 3 * passes + 3 * 5, "no view has shown anything yet: what all of a pass share runs once");
    engine.render_view(ViewId::PICTURE, &shown, || false).unwrap();
    assert_eq!(ran(&mut engine, &edits, Some(ViewId::PICTURE)), 3 * 4, "the one in the middle is the view's picture");
    assert_eq!(ran(&mut engine, std::slice::from_ref(&shown), Some(ViewId::PICTURE)), 0);
    assert_eq!(ran(&mut engine, std::slice::from_ref(&shown), Some(ViewId::COMPARISON)), 6, "another view has not");
    let twice = 6 * 2usize.div_ceil(engine.tiles_together()) as u64;
    assert_eq!(ran(&mut engine, &[shown.clone(), shown.clone()], None), twice, "equal ones run once");
}

#[test]
fn a_skip_architecture_may_stop_at_its_own_smaller_picture() {
    let file = stylegan2_of_256();
    let open = || {
        let mut engine = toy_heads();
        engine.open(&Source::File(file.path().into()), &mut progress::silent).unwrap();
        engine
    };
    let mut engine = open();
    let bottom = moved(&mut engine, Group::Bottom, 5.0);
    let edits = [sample(1), with(&sample(1), &[&bottom]), sample(2)];
    let previews = whole(engine.tiles(&edits, 60, None).unwrap());
    let exact = whole(engine.exact_tiles(&edits, 60, None).unwrap());
    for (n, edit) in edits.iter().enumerate() {
        assert!(!previews[n].is_exact && exact[n].is_exact);
        let preview = open().render_view(ViewId::PICTURE, edit, || true).unwrap();
        assert_eq!((preview.is_exact(), preview.width()), (false, 64));
        let preview = scaled(&preview.to_f32().unwrap(), [3, 64, 64], [60, 60]);
        assert_alike(&previews[n].pixels, &preview, &format!("preview {n}"));
        assert_alike(&exact[n].pixels, &expected(&mut engine, edit, [60, 60]), &format!("tile {n}"));
        assert_ne!(previews[n].pixels, exact[n].pixels);
    }
    // No smaller picture is large enough for these.
    let large = whole(engine.tiles(&edits, 200, None).unwrap());
    assert!(large.iter().all(|tile| tile.is_exact && tile.pixels.width == 200));
    // A preview that is made before the moved layers would show nothing of the move.
    let mut last = moved(&mut engine, Group::Top, 8.0);
    let mut direction = (*last.direction).clone();
    direction.layers = "12-13".parse().unwrap();
    last.direction = direction.into();
    engine.render_view(ViewId::PICTURE, &sample(1), || false).unwrap();
    let moved = whole(engine.tiles(&[sample(1), with(&sample(1), &[&last])], 60, Some(ViewId::PICTURE)).unwrap());
    assert!(moved.iter().all(|tile| tile.is_exact));
    assert_ne!(moved[0].pixels, moved[1].pixels);
}

#[test]
fn an_edit_that_does_not_fit_is_told_in_its_place() {
    let mut engine = toy_heads();
    let wrong = Edit { sample: Sample { code: Code::Z(vec![0.0; 3]), ..Sample::default() }, ..Edit::default() };
    let edits = [sample(1), wrong.clone(), sample(2), wrong];
    let tiles = engine.tiles(&edits, 32, None).unwrap();
    let is_misfit = |tile: &TileResult| matches!(tile, Err(RenderError::Misfit { .. }));
    assert_eq!(tiles.iter().map(is_misfit).collect::<Vec<_>>(), [false, true, false, true]);
    assert_eq!(tiles[2].as_ref().unwrap(), engine.tiles(&[sample(2)], 32, None).unwrap()[0].as_ref().unwrap());
    assert!(engine.tiles(&[], 32, None).unwrap().is_empty());
}

#[test]
fn one_pass_at_a_time_makes_all_of_them() {
    let mut engine = toy_heads();
    let edits = mixed(&mut engine);
    let mut waiting: Vec<&Edit> = edits.iter().collect();
    let mut passes = 0;
    while !waiting.is_empty() {
        let made = engine.first_tiles(&waiting, 16, None, false).unwrap();
        assert_eq!(made[0].0, 0, "the first that was asked for comes first");
        assert!(made.len() <= engine.tiles_together());
        let places: Vec<usize> = made.into_iter().map(|(at, tile)| (at, tile.unwrap()).0).collect();
        waiting = (0..waiting.len()).filter(|at| !places.contains(at)).map(|at| waiting[at]).collect();
        passes += 1;
    }
    let kinds = 4; // of noise, and those that read all of another pass's
    assert!(passes <= edits.len().div_ceil(engine.tiles_together()) + kinds, "{passes} passes");
}

#[test]
fn an_interrupted_pass_runs_no_further_stage_and_is_made_again() {
    let mut engine = toy_heads();
    let wanted = [sample(1), sample(2), sample(3)];
    let expected = engine.tiles(&wanted, 128, None).map(whole).unwrap();
    let before = engine.stages_run();
    let left = Arc::new(AtomicUsize::new(2));
    let counter = left.clone();
    let count_down = |left: usize| left.checked_sub(1);
    engine.interrupt_when(move || counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count_down).is_err());
    let interrupted = engine.tiles(&wanted, 128, None);
    assert!(matches!(interrupted, Err(RenderError::Interrupted)), "{interrupted:?}");
    assert_eq!(engine.stages_run() - before, 2);
    left.store(usize::MAX, Ordering::Relaxed);
    assert_eq!(engine.tiles(&wanted, 128, None).map(whole).unwrap(), expected);
}
