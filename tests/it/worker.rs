//! The worker thread: newest render wins, failures leave it working, dropping it joins.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sefa_studio::directions::Method;
use sefa_studio::edit::{Code, Edit, LayerSet, Sample, Seed, Weighting};
use sefa_studio::gpu::{Precision, RenderDevice};
use sefa_studio::render::{Engine, Example, FrameImage, Source};
use sefa_studio::worker::{Event, Job, Purpose, Task, Worker};

fn spawn() -> (Worker, Arc<AtomicUsize>) {
    let wakes = Arc::new(AtomicUsize::new(0));
    let counter = wakes.clone();
    let wake = move || {
        counter.fetch_add(1, Ordering::SeqCst);
    };
    (Worker::spawn(|| Engine::new(RenderDevice::cpu(None)), wake).unwrap(), wakes)
}

/// All events until no job is left.
fn settle(worker: &Worker) -> Vec<Event> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut events = Vec::new();
    while !worker.is_idle() {
        assert!(Instant::now() < deadline, "the worker did not finish");
        std::thread::sleep(Duration::from_millis(2));
        events.extend(worker.events(Duration::ZERO));
    }
    events.extend(worker.events(Duration::ZERO));
    events
}

fn render(seed: u64) -> Job {
    let edit =
        Edit { sample: Sample { code: Code::Seed(Seed::studio(seed)), class: None, mix: None }, ..Edit::default() };
    Job::Render { edit, purpose: Purpose::Edit }
}

fn frames(events: &[Event]) -> Vec<&Edit> {
    events
        .iter()
        .filter_map(|event| if let Event::Rendered { frame, .. } = event { Some(&frame.edit) } else { None })
        .collect()
}

#[test]
fn of_many_renders_the_newest_is_always_shown_and_most_are_skipped() {
    let (worker, wakes) = spawn();
    worker.send(Job::Open(Source::Example(Example::ToyHeads)));
    for seed in 0..200 {
        worker.send(render(seed));
    }
    let events = settle(&worker);
    let shown = frames(&events);
    assert_eq!(shown.last().unwrap().sample.code, Code::Seed(Seed::studio(199)));
    assert!(shown.len() < 100, "{} of 200 renders were made", shown.len());
    assert!(shown.windows(2).all(|pair| match (&pair[0].sample.code, &pair[1].sample.code) {
        (Code::Seed(a), Code::Seed(b)) => a.number < b.number,
        _ => false,
    }));
    assert!(wakes.load(Ordering::SeqCst) >= events.len());
}

/// On software Vulkan, where the embedded heads take long enough.
#[test]
fn while_a_slider_is_held_slow_pictures_are_shown_halfway_and_then_whole() {
    for device in super::support::devices().into_iter().filter(|device| device.wgpu().is_some()) {
        let worker = Worker::spawn(|| Engine::new(device), || ()).unwrap();
        let shown = |seed| {
            worker.send(render(seed));
            let events = settle(&worker);
            let frame = |event| if let Event::Rendered { frame, .. } = event { Some(frame) } else { None };
            events.into_iter().filter_map(frame).collect::<Vec<_>>()
        };
        worker.send(Job::Open(Source::Example(Example::ToyHeads)));
        let free = shown(1);
        assert_eq!(free.len(), 1, "nothing newer is expected");
        if free[0].took < Duration::from_millis(66) {
            super::support::skipped("previews: this GPU is too fast");
            continue;
        }
        worker.expect_edits(true);
        let held = shown(2);
        let (last, previews) = held.split_last().unwrap();
        assert!(last.is_exact && !previews.is_empty(), "{} previews", previews.len());
        for frame in previews {
            let FrameImage::Texture(texture) = &frame.image else { panic!("pixels from a GPU") };
            assert!(!frame.is_exact && texture.width() < 128, "a preview of {} pixels", texture.width());
        }
        worker.expect_edits(false);
        assert_eq!(shown(3).len(), 1);
    }
}

#[test]
fn a_broken_file_is_reported_and_the_old_model_goes_on() {
    let (worker, _) = spawn();
    worker.send(Job::Open(Source::Example(Example::ToyHeads)));
    worker.send(render(1));
    worker.send(Job::Open(Source::File("there is no such file.pth".into())));
    worker.send(render(2));
    let events = settle(&worker);
    let failed = events.iter().find_map(|event| match event {
        Event::Failed { task: Task::Open, headline, .. } => Some(headline.as_str()),
        _ => None,
    });
    assert!(failed.expect("a failure").contains("there is no such file.pth"));
    assert_eq!(frames(&events).last().unwrap().sample.code, Code::Seed(Seed::studio(2)));
}

#[test]
fn another_precision_opens_the_model_again_where_the_device_has_it() {
    for device in super::support::devices() {
        let is_gpu = device.wgpu().is_some();
        let worker = Worker::spawn(|| Engine::new(device), || ()).unwrap();
        worker.send(Job::Open(Source::Example(Example::Faces)));
        worker.send(Job::Store(Precision::F16));
        worker.send(render(1));
        let events = settle(&worker);
        let opened = events.iter().filter(|event| matches!(event, Event::Opened { .. })).count();
        assert_eq!(opened, if is_gpu { 2 } else { 1 });
        let mut devices = events.iter().rev().filter_map(|event| match event {
            Event::Device { label, note } => Some((label.as_str(), note.as_deref().unwrap_or_default())),
            _ => None,
        });
        let (label, note) = devices.next().unwrap();
        assert_eq!((label.ends_with(", f16"), note.contains("f32 is used")), (is_gpu, !is_gpu), "{label}: {note}");
        assert_eq!(frames(&events).len(), 1);
    }
}

#[test]
fn rendering_without_a_model_fails_politely() {
    let (worker, _) = spawn();
    worker.send(render(0));
    let events = settle(&worker);
    assert!(events.iter().any(|event| matches!(event, Event::Failed { task: Task::Render, .. })));
}

#[test]
fn frames_carry_their_pixels_and_factorisations_their_layers() {
    let (worker, _) = spawn();
    worker.send(Job::Open(Source::Example(Example::Faces)));
    worker.send(render(4));
    worker.send(Job::Factorize { layers: LayerSet::range(0, 0), weighting: Weighting::Raw });
    let events = settle(&worker);
    let mut seen = (false, false);
    for event in &events {
        match event {
            Event::Rendered { frame, .. } => {
                let FrameImage::Pixels(pixels) = &frame.image else { panic!("a texture from the CPU") };
                assert_eq!((pixels.width, pixels.height, pixels.channels), (64, 64, 3));
                assert!(pixels.data.iter().any(|&x| x != pixels.data[0]), "a picture of one colour");
                seen.0 = true;
            }
            Event::Factorized(set) => {
                assert_eq!((set.layers.to_string().as_str(), set.len()), ("0", 100));
                assert_eq!(set.method, Method::Sefa { weighting: Weighting::Raw });
                seen.1 = true;
            }
            _ => {}
        }
    }
    assert_eq!(seen, (true, true));
}

#[test]
fn dropping_the_worker_ends_its_thread() {
    let (worker, wakes) = spawn();
    worker.send(Job::Open(Source::Example(Example::ToyHeads)));
    drop(worker);
    // The thread owned the other handle of the counter.
    assert_eq!(Arc::strong_count(&wakes), 1);
}
