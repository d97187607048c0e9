//! Films: the frames of a motion, as the window shows them, in files that others play.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use sefa_studio::edit::{Easing, Edit, Kept, Playback};
use sefa_studio::export::{ExportError, FilmPlan, FilmTarget, render_sequence};
use sefa_studio::generator::Group;
use sefa_studio::motion::Motion;
use sefa_studio::names::DirectionNames;
use sefa_studio::progress;
use sefa_studio::project::Project;
use sefa_studio::render::Engine;
use shiguredo_mp4::demux::{Input, Mp4FileDemuxer};
use tempfile::TempDir;

use super::cli::Shell;
use super::engine::{moved, sample, toy_heads};
use crate::support::pixels_of;

/// Six frames of two samples, one of them moved.
fn motion(engine: &mut Engine, playback: Playback) -> Motion {
    let step = moved(engine, Group::Bottom, 2.0);
    let moved = Edit { moves: vec![step], ..sample(3) };
    Motion::walk(vec![sample(1), moved], 6.0 / f64::from(playback.fps), playback).unwrap()
}

fn project(engine: &Engine) -> Project {
    let source = "example:toy-heads".into();
    Project::new(&engine.info().unwrap(), source, Edit::default(), DirectionNames::default())
}

fn plan(engine: &Engine, motion: &Motion, path: &Path, side: Option<usize>) -> FilmPlan {
    let size = engine.info().unwrap().size;
    FilmPlan {
        path: path.into(),
        playback: motion.playback(),
        frames: motion.frames(),
        picture: [size.width, size.height],
        side,
    }
}

fn write(engine: &mut Engine, motion: &Motion, target: &FilmTarget) -> Result<(), ExportError> {
    let sequence = target.sequence(project(engine), motion.clone())?;
    render_sequence(engine, sequence, &mut progress::silent)
}

/// The pictures that the window shows, RGB.
fn shown(engine: &mut Engine, motion: &Motion) -> Vec<Vec<u8>> {
    let picture = |number| engine.render(&motion.frame(number)).unwrap().to_pixels().unwrap().data;
    (0..motion.frames()).map(picture).collect()
}

const LOOP: Playback = Playback { fps: 25, loops: true, fresh_noise: false };

/// Peak signal to noise ratio, dB.
fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = a.iter().zip(b).map(|(&a, &b)| f64::from(i32::from(a) - i32::from(b)).powi(2)).sum::<f64>();
    10.0 * (255.0f64.powi(2) * a.len() as f64 / square).log10()
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn frames_in_files_are_those_of_the_window_and_carry_their_edits() {
    let (folder, mut engine) = (TempDir::new().unwrap(), toy_heads());
    let motion = motion(&mut engine, LOOP);
    let frames = folder.path().join("frames");
    write(&mut engine, &motion, &FilmTarget::Folder(frames.clone())).unwrap();
    let expected = shown(&mut engine, &motion);
    assert_eq!((expected.len(), names_in(&frames).len()), (6, 6));
    for (number, expected) in expected.iter().enumerate() {
        let path = frames.join(format!("frame_{number:04}.png"));
        assert!(pixels_of(&fs::read(&path).unwrap()) == *expected, "frame {number}");
        let edit = Project::load(&path).unwrap().edit;
        assert_eq!(edit, motion.frame(number), "frame {number}");
        // Whoever opens it has the same picture.
        assert!(engine.render(&edit).unwrap().to_pixels().unwrap().data == *expected);
    }
}

#[test]
fn an_apng_has_every_pixel_of_every_frame() {
    let (folder, mut engine) = (TempDir::new().unwrap(), toy_heads());
    let motion = motion(&mut engine, Playback { loops: false, ..LOOP });
    let path = folder.path().join("film.png");
    let film = FilmTarget::Film(plan(&engine, &motion, &path, None));
    write(&mut engine, &motion, &film).unwrap();
    let mut reader = png::Decoder::new(std::io::BufReader::new(File::open(&path).unwrap())).read_info().unwrap();
    let control = *reader.info().animation_control().unwrap();
    assert_eq!((control.num_frames, control.num_plays), (7, 1));
    for (number, expected) in shown(&mut engine, &motion).iter().enumerate() {
        let mut frame = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut frame).unwrap();
        assert!(frame == *expected, "frame {number}");
        let control = reader.info().frame_control().unwrap();
        assert_eq!((control.delay_num, control.delay_den), (1, 25));
    }
    assert_eq!(names_in(folder.path()), ["film.png"]);
}

#[test]
fn a_gif_looks_like_its_frames_and_keeps_time() {
    let (folder, mut engine) = (TempDir::new().unwrap(), toy_heads());
    let motion = motion(&mut engine, Playback { fps: 30, ..LOOP });
    let path = folder.path().join("film.gif");
    let film = FilmTarget::Film(plan(&engine, &motion, &path, None));
    write(&mut engine, &motion, &film).unwrap();
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(File::open(&path).unwrap()).unwrap();
    let (mut canvas, mut delays) = (vec![0; shown(&mut engine, &motion)[0].len()], Vec::new());
    for expected in shown(&mut engine, &motion) {
        let frame = decoder.read_next_frame().unwrap().expect("as many frames");
        delays.push(frame.delay);
        for (pixel, rgba) in canvas.chunks_exact_mut(3).zip(frame.buffer.chunks_exact(4)) {
            if rgba[3] > 0 {
                pixel.copy_from_slice(&rgba[..3]);
            }
        }
        let quality = psnr(&canvas, &expected);
        assert!(quality > 30.0, "{quality} dB");
    }
    assert!(decoder.read_next_frame().unwrap().is_none());
    assert_eq!(decoder.repeat(), gif::Repeat::Infinite);
    assert_eq!(delays, [3, 4, 3, 3, 4, 3], "hundredths of a second, together as long as the motion");
}

/// The frames of an MP4 file as RGB, its width and height, and its length in seconds.
fn decoded(path: &Path) -> (Vec<Vec<u8>>, [usize; 2], f64) {
    let file = fs::read(path).unwrap();
    let mut demuxer = Mp4FileDemuxer::new();
    while let Some(required) = demuxer.required_input() {
        let start = required.position as usize;
        let end = required.size.map_or(file.len(), |size| start + size);
        demuxer.handle_input(Input { position: required.position, data: &file[start..end.min(file.len())] });
    }
    let mut decoder = Decoder::new().unwrap();
    let (mut frames, mut size, mut seconds) = (Vec::new(), [0, 0], 0.0);
    while let Some(sample) = demuxer.next_sample().unwrap() {
        let mut stream = Vec::new();
        if let Some(shiguredo_mp4::boxes::SampleEntry::Avc1(entry)) = sample.sample_entry {
            for unit in entry.avcc_box.sps_list.iter().chain(&entry.avcc_box.pps_list) {
                stream.extend_from_slice(&[0, 0, 0, 1]);
                stream.extend_from_slice(unit);
            }
        }
        let mut data = &file[sample.data_offset as usize..][..sample.data_size];
        while let Some((length, rest)) = data.split_first_chunk::<4>() {
            let (unit, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
            stream.extend_from_slice(&[0, 0, 0, 1]);
            stream.extend_from_slice(unit);
            data = rest;
        }
        let picture = decoder.decode(&stream).unwrap().expect("a picture for every sample");
        let (width, height) = picture.dimensions();
        let mut rgb = vec![0; width * height * 3];
        picture.write_rgb8(&mut rgb);
        frames.push(rgb);
        size = [width, height];
        seconds += f64::from(sample.duration) / f64::from(sample.track.timescale.get());
    }
    (frames, size, seconds)
}

#[test]
fn an_mp4_is_decoded_to_its_frames() {
    let (folder, mut engine) = (TempDir::new().unwrap(), toy_heads());
    let motion = motion(&mut engine, LOOP);
    let path = folder.path().join("film.mp4");
    let film = FilmTarget::Film(plan(&engine, &motion, &path, Some(256)));
    write(&mut engine, &motion, &film).unwrap();
    let (frames, size, seconds) = decoded(&path);
    assert_eq!((frames.len(), size), (6, [256, 256]));
    assert!((seconds - 0.24).abs() < 1e-9, "{seconds}");
    for (number, (found, expected)) in frames.iter().zip(shown(&mut engine, &motion)).enumerate() {
        let [width, height] = size;
        let side = (expected.len() / 3).isqrt();
        let at = |x: usize, y: usize| &expected[3 * ((y * side / height) * side + x * side / width)..][..3];
        let enlarged: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| at(x, y).to_vec())).collect();
        let quality = psnr(found, &enlarged);
        assert!(quality > 35.0, "frame {number}: {quality} dB");
    }
    let start = fs::read(&path).unwrap();
    let place = |name: &[u8]| start.windows(4).position(|window| window == name).unwrap();
    assert!(place(b"moov") < place(b"mdat"), "it plays while it loads");
}

#[test]
fn odd_sizes_gain_a_row_and_sizes_that_no_codec_takes_are_refused() {
    let (folder, mut engine) = (TempDir::new().unwrap(), toy_heads());
    let motion = motion(&mut engine, LOOP);
    let path = folder.path().join("odd.mp4");
    let film = |side| FilmTarget::Film(plan(&engine, &motion, &path, Some(side)));
    let (odd, small, large, none) = (film(101), film(9), film(4000), film(0));
    write(&mut engine, &motion, &odd).unwrap();
    assert_eq!(decoded(&path).1, [102, 102]);
    let before = fs::read(&path).unwrap();
    let mut refused = |target: &FilmTarget| write(&mut engine, &motion, target).unwrap_err().to_string();
    for (target, expected) in [
        (&small, "odd.mp4: MP4 films have 16 x 16 to 3840 x 2160 pixels, found 9 x 9"),
        (&large, "odd.mp4: MP4 films have 16 x 16 to 3840 x 2160 pixels, found 4000 x 4000"),
        (&none, "a film's larger side is 0 pixels, expected 1 to 4096"),
    ] {
        let message = refused(target);
        assert!(message.ends_with(expected), "{message}");
    }
    assert_eq!(fs::read(&path).unwrap(), before, "what was there stays");
    assert_eq!(names_in(folder.path()), ["odd.mp4"]);
}

#[test]
fn films_that_cannot_be_are_refused_before_a_frame_is_made() {
    let (folder, mut engine) = (TempDir::new().unwrap(), toy_heads());
    let fast = motion(&mut engine, Playback { fps: 60, ..LOOP });
    for (name, expected) in [
        ("a.gif", "GIF films have at most 50 frames a second, found 60"),
        ("a.json", "expected a name that ends in .mp4, .gif or .png"),
        ("missing/a.mp4", "cannot write"),
    ] {
        let target = FilmTarget::Film(plan(&engine, &fast, &folder.path().join(name), None));
        let message = target.sequence(project(&engine), fast.clone()).err().expect(name).to_string();
        assert!(message.contains(expected) && message.contains(name), "{message}");
    }
    assert_eq!(names_in(folder.path()), [""; 0]);
}

/// A picture that was begun is not left behind if the export stops, or if its folder goes.
#[test]
fn a_film_that_is_given_up_leaves_nothing() {
    let (folder, mut engine) = (TempDir::new().unwrap(), toy_heads());
    let motion = motion(&mut engine, LOOP);
    let path = folder.path().join("film.mp4");
    fs::write(&path, "older").unwrap();
    let film = FilmTarget::Film(plan(&engine, &motion, &path, None));
    let sequence = film.sequence(project(&engine), motion.clone()).unwrap();
    let mut left = 3;
    let stopped = render_sequence(&mut engine, sequence, &mut |_| {
        left -= 1;
        if left == 0 { Err(progress::Cancelled) } else { Ok(()) }
    });
    assert!(matches!(stopped, Err(ExportError::Cancelled(_))), "{stopped:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "older");
    let gone = folder.path().join("gone");
    fs::create_dir(&gone).unwrap();
    let film = FilmTarget::Film(plan(&engine, &motion, &gone.join("film.gif"), None));
    let sequence = film.sequence(project(&engine), motion).unwrap();
    fs::remove_dir_all(&gone).unwrap();
    let message = render_sequence(&mut engine, sequence, &mut progress::silent).unwrap_err().to_string();
    assert!(message.contains("film.gif"), "{message}");
}

#[test]
fn animate_walks_swings_and_plays_the_shelf_of_a_project() {
    let shell = Shell::new();
    let said = shell.ok("animate --walk 3 --seeds 5 --seconds 0.5 --fps 10 --loop --out walk.gif");
    assert!(said.starts_with("5 frames, 0.5 s, in walk.gif"), "{said}");
    let said =
        shell.ok("animate --swing --layers bottom --direction 1 --seconds 0.4 --fps 10 --side 128 --out swing.mp4");
    assert!(said.starts_with("4 frames, 0.4 s, in swing.mp4"), "{said}");
    assert_eq!(decoded(&shell.path("swing.mp4")).1, [128, 128]);
    shell.ok("animate --swing --layers bottom --direction 1 --seconds 0.4 --fps 10 --out frames");
    assert_eq!(names_in(&shell.path("frames")).len(), 4);
    // The shelf of a project, with its times.
    let engine = toy_heads();
    let keys = [(1, 0.2, Easing::Hold), (2, 0.3, Easing::Linear), (3, 0.5, Easing::Smooth)];
    let kept = |(seed, seconds, easing)| Kept { edit: sample(seed), seconds, easing, ..Kept::default() };
    let mut shelf: sefa_studio::edit::Shelf = keys.map(kept).into_iter().collect();
    shelf.playback = Playback { fps: 20, loops: false, fresh_noise: false };
    let project = Project { shelf, ..project(&engine) };
    fs::write(shell.path("project.json"), project.to_json()).unwrap();
    assert_eq!(Project::load(&shell.path("project.json")).unwrap(), project);
    let said = shell.ok("animate project.json --out shelf.png");
    assert!(said.starts_with("11 frames, 0.5 s, in shelf.png"), "{said}");
    let said = shell.ok("animate project.json --loop --seconds 2 --fps 5 --out shelf.png");
    assert!(said.starts_with("10 frames, 2.0 s, in shelf.png"), "{said}");
}

/// Of a shelf that was filled with another model, what does not fit is named, and nothing is written.
#[test]
fn keys_of_another_model_are_named() {
    let shell = Shell::new();
    let mut engine = toy_heads();
    let moves = vec![moved(&mut engine, Group::Top, 1.0)];
    let edits = [sample(1), Edit { moves, ..sample(2) }];
    let shelf = edits.map(|edit| Kept { edit, ..Kept::default() }).into_iter().collect();
    let mut project = Project { shelf, ..project(&engine) };
    project.model.source = "example:faces".into();
    fs::write(shell.path("other.json"), project.to_json()).unwrap();
    let (code, said) = shell.said("animate other.json --out film.gif");
    assert_eq!(code, Some(1), "{said}");
    for part in
        ["made with another model, Toy heads", "picture 2 of the motion", "layers 6-11, but the model has layers 0"]
    {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert!(!shell.path("film.gif").exists());
}

#[test]
fn animate_says_what_it_needs() {
    let shell = Shell::new();
    let engine = toy_heads();
    let one = [sample(1)].map(|edit| Kept { edit, ..Kept::default() }).into_iter().collect();
    fs::write(shell.path("one.json"), Project { shelf: one, ..project(&engine) }.to_json()).unwrap();
    for (line, expected) in [
        ("animate --out a.mp4", "expected --walk N, --swing, or a project whose shelf is to be played"),
        (
            "animate one.json --out a.mp4",
            "the project keeps one picture on its shelf; a motion needs two pictures or more",
        ),
        ("animate --walk 2 --seconds 3500 --out a.mp4", "are 105001 frames, expected at most 100000"),
        ("animate --walk 3 --seeds 1,2 --out a.mp4", "expected 3 samples or one seed to begin with, found 2"),
        ("animate --swing --direction 999 --out a.mp4", "--direction: expected 0 to"),
        ("animate --walk 2 --out a.html", "a.html: expected a name that ends in .mp4"),
        ("animate one.json --seeds 1 --out a.mp4", "one.json has its own samples"),
    ] {
        let output = shell.said(line);
        assert_eq!(output.0, Some(1), "{line}: {}", output.1);
        assert!(output.1.contains(expected), "{line}: {}", output.1);
    }
    assert!(!shell.path("a.mp4").exists());
    // A folder with frames of an older motion stays as it is.
    shell.ok("animate --walk 2 --seconds 0.1 --fps 10 --out frames");
    let output = shell.said("animate --walk 2 --seconds 0.1 --fps 10 --out frames");
    assert!(output.0 == Some(1) && output.1.contains("--overwrite"), "{}", output.1);
    shell.ok("animate --walk 2 --seconds 0.1 --fps 10 --overwrite --out frames");
}

/// A program of that name that takes some input and then complains.
#[cfg(unix)]
#[test]
fn what_ffmpeg_complains_about_is_shown_and_nothing_is_left() {
    use std::os::unix::fs::PermissionsExt;
    let shell = Shell::new();
    let tools = shell.path("tools");
    fs::create_dir(&tools).unwrap();
    let script = tools.join("ffmpeg");
    fs::write(&script, "#!/bin/sh\nhead -c 20000 >/dev/null\necho 'Unknown encoder: sausage' >&2\nexit 1\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::join_paths([tools.clone(), "/usr/bin".into(), "/bin".into()]).unwrap();
    let run = |path: &std::ffi::OsStr| {
        let mut command: Command = shell.command("animate --walk 2 --seconds 1 --fps 10 --out a.webm --device cpu");
        let output = command.env("PATH", path).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run(&path);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("ffmpeg could not write a.webm: Unknown encoder: sausage"), "{said}");
    assert_eq!(names_in(shell.path("tools").parent().unwrap()).iter().filter(|name| name.contains("sefa")).count(), 0);
    let (code, said) = run(shell.path("home").as_os_str());
    assert!(
        code == Some(1) && said.contains("a.webm can only be written by ffmpeg, which cannot be started"),
        "{said}"
    );
}
