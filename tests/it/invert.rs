//! Inversion: codes of pictures that a model made are found again, whatever the family; what cannot be is said.

use std::fs;
use std::path::Path;

use sefa_studio::edit::{Code, Edit, NoiseMode};
use sefa_studio::generator::ModelInfo;
use sefa_studio::gpu::{Precision, RenderDevice};
use sefa_studio::invert::{Found, InvertError, Mask, Photo, Search, SearchSpace, Settings, Target};
use sefa_studio::progress;
use sefa_studio::render::{Engine, Example, RenderError, Source};
use sefa_studio::tasks::{Inversion, Outcome, Step, Task};
use serde_json::Value;

use crate::cli::Shell;
use crate::support::{devices, fixture, half_devices, pixels_of, stylegan2};

fn open(source: &Source, device: &RenderDevice) -> Engine {
    let mut engine = Engine::new(device.clone());
    engine.open(source, &mut progress::silent).unwrap();
    engine
}

/// What the model shows for a seed, as a photo.
fn target(engine: &mut Engine, seed: u64, psi: f32) -> Target {
    let info = engine.info().unwrap();
    let mut edit = Edit { noise: info.start(seed).noise, ..info.start(seed) };
    edit.truncation.psi = psi;
    let photo = Photo::of_pixels(&engine.render(&edit).unwrap().to_pixels().unwrap());
    photo.target(photo.middle(&info), None, [255; 3], &info)
}

fn search(engine: &mut Engine, target: Target, settings: Settings) -> Result<Found, InvertError> {
    let mut search = Search::new(target, settings, &engine.info().unwrap())?;
    loop {
        if let Some(found) = search.step(engine)? {
            return Ok(found);
        }
    }
}

fn quick(info: &ModelInfo, steps: usize) -> Settings {
    Settings { steps, ..Settings::new(info) }
}

#[test]
fn heads_that_the_model_made_are_found_again() {
    let mut engine = open(&Source::Example(Example::ToyHeads), &RenderDevice::cpu(None));
    let info = engine.info().unwrap();
    let target = target(&mut engine, 1234, 0.7);
    let found = search(&mut engine, target, quick(&info, 60)).unwrap();
    assert!(found.psnr >= 35.0 && found.steps <= 60, "{} dB after {} steps", found.psnr, found.steps);
    assert!(matches!(&found.edit.sample.code, Code::WPlus(rows) if rows.len() == info.num_layers));
    engine.check(&found.edit).unwrap();
}

/// A few steps on pictures of every family make them resemble the target more than anything in the samples does.
#[test]
fn every_family_is_inverted() {
    let mut sources = vec![(Source::Example(Example::Faces), 20.0)];
    for (file, psnr) in [
        ("stylegan2_ada_skip/model.pth", 15.0),
        ("stylegan2_ada_cond_pkl/model.pkl", 15.0),
        ("stylegan2_ada_resnet/model.pth", 15.0),
        ("stylegan2_human_oblong/model.pth", 12.0),
        ("stylegan1_genforce/model.pth", 10.0),
        ("stylegan3_t/model.pth", 15.0),
        ("pggan_genforce/model.pth", 12.0),
        ("biggan_ajbrock/G_ema.pth", 12.0),
        ("biggan_deep_hf_small/pytorch_model.bin", 12.0),
    ] {
        sources.push((Source::File(fixture(file)), psnr));
    }
    for (number, (source, least)) in sources.into_iter().enumerate() {
        // Software Vulkan is slow, and that gradients are right there too is tested by themselves.
        for device in devices().into_iter().filter(|device| device.wgpu().is_none() || number < 2) {
            let mut engine = open(&source, &device);
            let info = engine.info().unwrap();
            let seen = target(&mut engine, 3, 1.0);
            let steps = if device.wgpu().is_some() { 2 } else { 60 };
            let found = search(&mut engine, seen, quick(&info, steps)).unwrap();
            let what = format!("{source} on {}", device.label());
            assert!(steps == 2 || found.psnr > least, "{what}: {} dB", found.psnr);
            engine.check(&found.edit).unwrap_or_else(|error| panic!("{what}: {error}"));
            engine.render(&found.edit).unwrap().to_pixels().unwrap();
        }
    }
}

#[test]
fn each_space_gives_codes_of_its_own() {
    let mut engine = open(&Source::File(fixture("stylegan2_ada_skip/model.pth")), &RenderDevice::cpu(None));
    let info = engine.info().unwrap();
    let seen = target(&mut engine, 5, 1.0);
    for space in [SearchSpace::Z, SearchSpace::W, SearchSpace::WPlus] {
        let found = search(&mut engine, seen.clone(), Settings { space, ..quick(&info, 20) }).unwrap();
        match (space, &found.edit.sample.code) {
            (SearchSpace::Z, Code::Z(z)) => {
                let length = z.iter().map(|x| x * x).sum::<f32>();
                assert!((length - z.len() as f32).abs() < 1e-2, "on the sphere, found {length}");
            }
            (SearchSpace::W, Code::WPlus(rows)) => assert!(rows.iter().all(|row| *row == rows[0])),
            (SearchSpace::WPlus, Code::WPlus(rows)) => assert!(rows.iter().any(|row| *row != rows[0])),
            (_, code) => panic!("{space}: {code:?}"),
        }
    }
}

#[test]
fn the_same_seed_finds_the_same_code_and_editable_codes_are_more_typical() {
    let mut engine = open(&Source::Example(Example::Faces), &RenderDevice::cpu(None));
    let info = engine.info().unwrap();
    let seen = target(&mut engine, 40, 1.0);
    let run = |engine: &mut Engine, editable| {
        search(engine, seen.clone(), Settings { editable, ..quick(&info, 64) }).unwrap()
    };
    let (first, again) = (run(&mut engine, 0.0), run(&mut engine, 0.0));
    assert_eq!(first, again);
    let editable = run(&mut engine, 1.0);
    assert!(editable.percentile <= first.percentile, "{} and {}", editable.percentile, first.percentile);
}

#[test]
fn a_mask_hides_what_is_not_to_be_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = open(&Source::Example(Example::Faces), &RenderDevice::cpu(None));
    let info = engine.info().unwrap();
    let pixels = engine.render(&info.start(7)).unwrap().to_pixels().unwrap();
    let mut spoilt = pixels.clone();
    let mut mask = pixels.clone();
    mask.data.fill(255);
    for y in 10..30 {
        let row = (y * pixels.width + 20) * 3..(y * pixels.width + 44) * 3;
        spoilt.data[row.clone()].fill(0);
        mask.data[row].fill(0);
    }
    let path = folder.path().join("mask.png");
    sefa_studio::export::write_png(&path, &mask, None).unwrap();
    let photo = Photo::of_pixels(&spoilt);
    let mask = Mask::read(&path, &photo).unwrap();
    let of = |mask| photo.target(photo.middle(&info), mask, [0; 3], &info);
    let faithful = Settings { editable: 0.1, ..quick(&info, 100) };
    let found = search(&mut engine, of(Some(&mask)), faithful.clone()).unwrap();
    let plain = search(&mut engine, of(None), faithful).unwrap();
    // Only the masked search comes near the face below the patch.
    assert!(found.psnr > plain.psnr + 3.0, "{} with the mask, {} without", found.psnr, plain.psnr);
}

#[test]
fn tasks_search_in_steps_and_tell_how_far_they_are() {
    let mut engine = open(&Source::Example(Example::Faces), &RenderDevice::cpu(None));
    let info = engine.info().unwrap();
    let seen = target(&mut engine, 2, 1.0);
    let mut task = Inversion::new("me.jpg", quick(&info, 5), move || seen.clone().named("me.jpg"));
    assert_eq!(task.name(), "Finding me.jpg");
    let (mut stages, mut costs) = (Vec::new(), Vec::new());
    let outcome = loop {
        match task.step(&mut engine).unwrap() {
            Step::More(progress) => stages.push(progress.stage),
            Step::Nearer(progress, glimpse) => {
                stages.push(progress.stage);
                costs.push(glimpse.cost);
                assert_eq!(glimpse.picture.width, info.size.width);
                assert_eq!(glimpse.edit.sample.photo().unwrap().name, "me.jpg");
                engine.check(&glimpse.edit).unwrap();
            }
            Step::Measured(..) => unreachable!("a search is no measurement"),
            Step::Done(outcome) => break outcome,
        }
    };
    assert!(costs.windows(2).all(|pair| pair[1] <= pair[0]) && costs.len() >= 4, "{costs:?}");
    stages.dedup();
    assert_eq!(stages, ["preparing gradients", "comparing samples", "trying the nearest", "searching"]);
    assert!(matches!(outcome, Outcome::Found(found) if found.steps == 5));
}

/// Something more urgent comes all the time, between any two stages; the result is the same.
#[test]
fn interrupted_steps_go_on_where_they_were() {
    let mut engine = open(&Source::File(fixture("stylegan2_ada_skip/model.pth")), &RenderDevice::cpu(None));
    let info = engine.info().unwrap();
    let seen = target(&mut engine, 2, 1.0);
    let calm = search(&mut engine, seen.clone(), quick(&info, 6)).unwrap();
    let mut task = Search::new(seen, quick(&info, 6), &info).unwrap();
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (counter, mut interrupted) = (asked.clone(), 0);
    engine.interrupt_when(move || counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 3 == 2);
    let found = loop {
        match task.step(&mut engine) {
            Ok(Some(found)) => break found,
            Ok(None) => {}
            Err(InvertError::Render(RenderError::Interrupted)) => interrupted += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(interrupted < 100_000, "it never comes to an end");
    };
    assert!(interrupted > 10, "{interrupted}");
    assert_eq!(found, calm);
}

#[test]
fn models_that_cannot_be_inverted_say_why() {
    let cpu = RenderDevice::cpu(None);
    let message = |path: &Path, space: Option<SearchSpace>| {
        let mut engine = open(&Source::File(path.into()), &cpu);
        let info = engine.info().unwrap();
        let seen = target(&mut engine, 1, 1.0);
        let settings = Settings { space: space.unwrap_or(SearchSpace::of(&info)), ..quick(&info, 3) };
        search(&mut engine, seen, settings).unwrap_err().to_string()
    };
    let chain = message(&fixture("vae_linear/decoder.onnx"), None);
    assert!(chain.contains("cannot be inverted yet"), "{chain}");
    let no_w = message(&fixture("dcgan/netG.pth"), Some(SearchSpace::WPlus));
    assert!(no_w.contains("its codes are z"), "{no_w}");
}

/// Values that overflow for every code: the search steps back three times and says so.
#[test]
fn overflowing_values_end_the_search_with_a_message() {
    let file = stylegan2(16, 8, 1, |_| 8);
    let mut engine = open(&Source::File(file.path().into()), &RenderDevice::cpu(None));
    let info = engine.info().unwrap();
    let seen = target(&mut engine, 1, 1.0);
    // The same network with a picture that is none.
    let bytes = std::fs::read(file.path()).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let changed: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, tensor)| {
            let data = match name {
                "synthesis.b16.torgb.bias" => f32::MAX.to_le_bytes().repeat(3),
                _ => tensor.data().to_vec(),
            };
            (name.to_owned(), tensor.shape().to_vec(), data)
        })
        .collect();
    let views = changed.iter().map(|(name, shape, data)| {
        (name.clone(), safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap())
    });
    let broken = tempfile::Builder::new().suffix(".safetensors").tempfile().unwrap();
    safetensors::serialize_to_file(views, None, broken.path()).unwrap();
    let mut engine = open(&Source::File(broken.path().into()), &RenderDevice::cpu(None));
    let message = search(&mut engine, seen, quick(&info, 30)).unwrap_err().to_string();
    assert!(message.contains("overflow"), "{message}");
}

#[test]
fn a_file_that_has_changed_is_not_taken_for_the_open_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.pth");
    std::fs::copy(fixture("dcgan/netG.pth"), &path).unwrap();
    let mut engine = open(&Source::File(path.clone()), &RenderDevice::cpu(None));
    std::fs::copy(fixture("stylegan2_ada_skip/model.pth"), &path).unwrap();
    assert!(matches!(engine.gradients(&mut progress::silent), Err(RenderError::Changed(_))));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(engine.gradients(&mut progress::silent), Err(RenderError::Checkpoint(_))));
}

/// Gradients are made in f32 whatever the pictures are stored in.
#[test]
fn models_in_half_precision_are_inverted() {
    for device in half_devices() {
        assert_eq!(device.place().precision(), Precision::F16);
        let mut engine = open(&Source::File(fixture("stylegan2_ada_skip/model.pth")), &device);
        let info = engine.info().unwrap();
        let seen = target(&mut engine, 2, 1.0);
        let settings = Settings { noise: NoiseMode::None, ..quick(&info, 2) };
        let found = search(&mut engine, seen, settings).unwrap();
        assert!(found.psnr.is_finite() && found.edit.noise.mode == NoiseMode::None);
    }
}

#[test]
fn the_command_line_writes_codes_pictures_and_a_table() {
    let shell = Shell::new();
    shell.ok("render example:faces --seeds 3-4 --out made");
    std::fs::create_dir(shell.path("photos")).unwrap();
    std::fs::copy(shell.path("made/frame_0000.png"), shell.path("photos/a.png")).unwrap();
    std::fs::copy(shell.path("made/frame_0001.png"), shell.path("photos/b.png")).unwrap();
    let line = "invert example:faces --photos photos --out found --steps 64 --seed 1";
    let said = shell.ok(line);
    assert!(said.contains("a.png:") && said.contains("b.png:") && said.contains(" dB in "), "{said}");
    for name in ["a.npz", "a.png", "a-pair.png", "b.npz", "b.png", "b-pair.png"] {
        assert!(shell.path(&format!("found/{name}")).exists(), "{name}");
    }
    let table: serde_json::Value =
        serde_json::from_slice(&std::fs::read(shell.path("found/table.json")).unwrap()).unwrap();
    let row = &table["rows"][1];
    assert!(row["photo"].as_str().unwrap().ends_with("b.png"), "{row}");
    assert!(row["psnr"].as_f64().unwrap() > 15.0 && row["seconds"].as_f64().unwrap() > 0.0, "{row}");
    assert_eq!((row["steps"].as_u64(), table["space"].as_str()), (Some(64), Some("z")));

    // The code alone makes the picture again, and so does the edit inside the picture.
    shell.ok("render example:faces --latents found/a.npz --out again");
    shell.ok("render --edit found/a.png --out edit");
    assert_eq!(shell.pixels("again/frame_0000.png"), shell.pixels("found/a.png"));
    assert_eq!(shell.pixels("edit/frame_0000.png"), shell.pixels("found/a.png"));

    let refused = shell.fails(line, 1);
    assert!(refused.contains("--overwrite"), "{refused}");
    shell.ok(&format!("{line} --overwrite"));
}

#[test]
fn bad_photos_are_refused_by_name_and_leave_nothing() {
    let shell = Shell::new();
    std::fs::write(shell.path("text.jpg"), "no photo").unwrap();
    let message = shell.fails("invert example:faces --photos text.jpg --out found --steps 2", 1);
    assert!(message.contains("text.jpg") && message.contains("JPEG"), "{message}");
    let message = shell.fails("invert example:faces --photos nowhere.png --out found --steps 2", 1);
    assert!(message.contains("nowhere.png"), "{message}");
    shell.ok("render example:faces --seeds 3 --out made");
    shell.ok("render example:toy-heads --seeds 3 --out larger");
    let masked = "invert example:faces --photos made/frame_0000.png --out found --steps 2 --mask larger/frame_0000.png";
    let message = shell.fails(masked, 1);
    assert!(message.contains("64 x 64") && message.contains("128 x 128"), "{message}");
    let twice = "invert example:faces --photos made/frame_0000.png,larger/frame_0000.png --out found --steps 2";
    assert!(shell.fails(twice, 1).contains("frame_0000"));
    assert!(!shell.path("found/frame_0000.npz").exists());
    for line in [
        "invert example:faces --out found",
        "invert example:faces --photos made --out found --steps 0",
        "invert example:faces --photos made --out found --space wplus",
        "invert example:faces --photos made --out found --noise random",
        "invert example:faces --photos made --out found --background 1,2",
    ] {
        shell.fails(line, 2);
    }
    let spaces = shell.fails("invert example:faces --photos made --out found --space w", 1);
    assert!(spaces.contains("its codes are z"), "{spaces}");
}

#[test]
fn a_picture_of_the_model_is_found_again_and_renders_from_its_code() {
    let shell = Shell::new();
    shell.ok("render --seeds 901 --psi 0.7 --out made");
    shell.ok("invert --photos made/frame_0000.png --out found --steps 40 --seed 1");
    let table: Value = serde_json::from_slice(&fs::read(shell.path("found/table.json")).unwrap()).unwrap();
    let row = &table["rows"][0];
    assert!(row["psnr"].as_f64().unwrap() > 25.0 && row["steps"] == 40 && row["seconds"].is_number(), "{table}");
    assert!(shell.path("found/frame_0000-pair.png").exists());
    shell.ok("render --latents found/frame_0000.npz --psi 1 --out again");
    let [found, again] =
        ["found/frame_0000.png", "again/frame_0000.png"].map(|name| pixels_of(&fs::read(shell.path(name)).unwrap()));
    assert_eq!(found, again, "the code is that of the picture beside it");
    let (code, said) = shell.said("invert --photos made/frame_0000.png --out found");
    assert!(code == Some(1) && said.contains("frame_0000.npz is there already"), "{said}");
}

#[test]
fn what_is_no_photo_is_refused_by_name() {
    let shell = Shell::new();
    fs::write(shell.path("bad.png"), "no picture").unwrap();
    for (line, expected) in [
        ("invert --photos bad.png --out found", "bad.png: expected a picture (PNG, JPEG, WebP, BMP or TIFF)"),
        ("invert --photos missing.png --out found", "missing.png"),
    ] {
        let (code, said) = shell.said(line);
        assert!(code == Some(1) && said.contains(expected), "{line}: {said}");
    }
    let left = fs::read_dir(shell.path("found")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "nothing is written");
}
