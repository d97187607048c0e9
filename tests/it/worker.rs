//! The worker thread: the newest picture wins, whatever else runs; every job is answered once; failures leave it working.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sefa_studio::edit::{Code, Direction, Edit, LayerSet, Sample, Seed, Weighting};
use sefa_studio::export::Sweep;
use sefa_studio::gpu::{Precision, RenderDevice};
use sefa_studio::names::DirectionNames;
use sefa_studio::progress::Progress;
use sefa_studio::project::Project;
use sefa_studio::render::{Engine, Example, Frame, FrameImage, Source, ViewId};
use sefa_studio::tasks::{Export, Outcome, Step, Task, TaskError};
use sefa_studio::worker::{Background, Event, EventKind, Job, JobId, ModelId, Worker};

fn spawn() -> (Worker, Arc<AtomicUsize>) {
    let wakes = Arc::new(AtomicUsize::new(0));
    let counter = wakes.clone();
    let wake = move || {
        counter.fetch_add(1, Ordering::SeqCst);
    };
    (Worker::spawn(|| RenderDevice::cpu(None), wake).unwrap(), wakes)
}

/// All events until no job is left; checks that each job had its last word once, and nothing after it.
fn settle(worker: &Worker) -> Vec<Event> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut events = Vec::new();
    while !worker.is_idle() {
        assert!(Instant::now() < deadline, "the worker did not finish");
        std::thread::sleep(Duration::from_millis(2));
        events.extend(worker.events(Duration::ZERO));
    }
    events.extend(worker.events(Duration::ZERO));
    let mut ended: HashMap<JobId, &Event> = HashMap::new();
    for event in &events {
        assert!(!ended.contains_key(&event.job), "{event:?} came after {:?}", ended[&event.job]);
        if event.kind.is_last() {
            ended.insert(event.job, event);
        }
    }
    events
}

fn edit(seed: u64) -> Edit {
    Edit { sample: Sample { code: Code::Seed(Seed::studio(seed)), ..Sample::default() }, ..Edit::default() }
}

fn open(worker: &Worker, source: Source) -> ModelId {
    ModelId::opened_by(worker.send(Job::Open { source, recipe: None }))
}

fn toy_heads(worker: &Worker) -> ModelId {
    open(worker, Source::Example(Example::ToyHeads))
}

fn render(model: ModelId, seed: u64) -> Job {
    Job::Render { model, view: ViewId::PICTURE, edit: edit(seed) }
}

fn frames(events: &[Event]) -> Vec<&Frame> {
    events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Rendered { frame, .. } => Some(frame),
            _ => None,
        })
        .collect()
}

/// The last word about a job.
#[track_caller]
fn answer(events: &[Event], job: JobId) -> &EventKind {
    let last = events.iter().find(|event| event.job == job && event.kind.is_last());
    &last.unwrap_or_else(|| panic!("{job:?} was not answered")).kind
}

#[test]
fn of_many_renders_the_newest_is_always_shown_and_most_are_skipped() {
    let (worker, wakes) = spawn();
    let model = toy_heads(&worker);
    for seed in 0..10_000 {
        worker.send(render(model, seed));
    }
    let events = settle(&worker);
    let shown = frames(&events);
    assert_eq!(shown.last().unwrap().edit, edit(9_999));
    assert!(shown.len() < 1000, "{} of 10,000 renders were made", shown.len());
    let number = |frame: &Frame| match frame.edit.sample.code {
        Code::Seed(seed) => seed.number,
        _ => panic!("no seed"),
    };
    assert!(shown.windows(2).all(|pair| number(pair[0]) < number(pair[1])));
    let superseded = events.iter().filter(|event| matches!(event.kind, EventKind::Superseded)).count();
    assert_eq!(superseded + shown.len(), 10_000, "every edit is accounted for");
    // A wake follows its event, so the last one may still be under way.
    let deadline = Instant::now() + Duration::from_secs(10);
    while wakes.load(Ordering::SeqCst) < events.len() - superseded {
        assert!(Instant::now() < deadline, "events came without a wake");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// On software Vulkan, where the embedded heads take long enough.
#[test]
fn while_a_slider_is_held_slow_pictures_are_shown_halfway_and_then_whole() {
    for device in super::support::devices().into_iter().filter(|device| device.wgpu().is_some()) {
        let worker = Worker::spawn(|| device, || ()).unwrap();
        let model = toy_heads(&worker);
        let shown = |seed| {
            worker.send(render(model, seed));
            let events = settle(&worker);
            frames(&events).into_iter().cloned().collect::<Vec<_>>()
        };
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
            assert!(frame.took < last.took, "the time of the whole picture counts from the edit");
        }
        let (ran, all) = last.stages_run;
        assert_eq!(ran, all, "the stages of the preview count too");
        worker.expect_edits(false);
        assert_eq!(shown(3).len(), 1);
    }
}

/// The same on the CPU, with a network that takes it long enough; what a preview begins, the whole picture ends.
#[test]
fn previews_on_the_cpu_become_the_picture_that_a_fresh_render_gives() {
    let file = super::support::stylegan2(256, 16, 2, |side| (8192 / side).min(256));
    let source = Source::File(file.path().into());
    let (worker, _) = spawn();
    let model = open(&worker, source.clone());
    let free = worker.send(render(model, 1));
    let EventKind::Rendered { frame, .. } = answer(&settle(&worker), free).clone() else { panic!("no picture") };
    if frame.took < Duration::from_millis(150) {
        return super::support::skipped("previews: this CPU is too fast");
    }
    worker.expect_edits(true);
    let jobs: Vec<JobId> = (2..6)
        .map(|seed| {
            std::thread::sleep(Duration::from_millis(60));
            worker.send(render(model, seed))
        })
        .collect();
    let events = settle(&worker);
    worker.expect_edits(false);
    let previews = frames(&events).into_iter().filter(|frame| !frame.is_exact).count();
    assert!(previews > 0, "nothing was shown on the way");
    let EventKind::Rendered { frame, .. } = answer(&events, jobs[3]) else { panic!("the newest edit was not made") };
    let FrameImage::Pixels(pixels) = &frame.image else { panic!("a texture from the CPU") };
    let mut engine = Engine::new(RenderDevice::cpu(None));
    engine.open(&source, &mut sefa_studio::progress::silent).unwrap();
    assert_eq!(**pixels, engine.render(&edit(5)).unwrap().to_pixels().unwrap());
}

#[test]
fn a_broken_file_is_reported_and_the_old_model_goes_on() {
    let (worker, _) = spawn();
    let model = toy_heads(&worker);
    worker.send(render(model, 1));
    let broken = worker.send(Job::Open { source: Source::File("there is no such file.pth".into()), recipe: None });
    let last = worker.send(render(model, 2));
    let of_broken = worker.send(render(ModelId::opened_by(broken), 3));
    let events = settle(&worker);
    let EventKind::Failed(failure) = answer(&events, broken) else { panic!("no failure") };
    assert!(failure.headline.contains("there is no such file.pth"));
    assert!(matches!(answer(&events, last), EventKind::Rendered { .. }));
    assert!(matches!(answer(&events, of_broken), EventKind::Superseded));
}

#[test]
fn another_precision_opens_the_model_again_where_the_device_has_it() {
    for device in super::support::devices() {
        let is_gpu = device.wgpu().is_some();
        let worker = Worker::spawn(|| device, || ()).unwrap();
        let before = open(&worker, Source::Example(Example::Faces));
        let store = worker.send(Job::Store(Precision::F16));
        let events = settle(&worker);
        assert_eq!(matches!(answer(&events, store), EventKind::Opened { .. }), is_gpu);
        assert_eq!(matches!(answer(&events, store), EventKind::Stored), !is_gpu);
        let (old, new) = (worker.send(render(before, 1)), worker.send(render(ModelId::opened_by(store), 1)));
        let rendered = settle(&worker);
        assert_eq!(matches!(answer(&rendered, old), EventKind::Rendered { .. }), !is_gpu);
        assert_eq!(matches!(answer(&rendered, new), EventKind::Rendered { .. }), is_gpu);
        let mut devices = events.iter().rev().filter_map(|event| match &event.kind {
            EventKind::Device(facts) => Some((facts.label.as_str(), facts.note.as_deref().unwrap_or_default())),
            _ => None,
        });
        let (label, note) = devices.next().unwrap();
        assert_eq!((label.ends_with(", f16"), note.contains("f32 is used")), (is_gpu, !is_gpu), "{label}: {note}");
    }
}

#[test]
fn what_is_asked_of_no_model_is_answered() {
    let (worker, _) = spawn();
    let nowhere = ModelId::opened_by(JobId::fresh());
    let picture = worker.send(render(nowhere, 0));
    let task = worker.send(Job::Run { model: nowhere, task: Box::new(Steps::endless().0) });
    let events = settle(&worker);
    assert!(matches!(answer(&events, picture), EventKind::Superseded));
    assert!(matches!(answer(&events, task), EventKind::Failed(_)));
}

#[test]
fn frames_carry_their_pixels_and_factorisations_their_layers() {
    let (worker, _) = spawn();
    let model = open(&worker, Source::Example(Example::Faces));
    let picture = worker.send(render(model, 4));
    let directions = worker.send(Job::Factorize { model, layers: LayerSet::range(0, 0), weighting: Weighting::Raw });
    let wrong = worker.send(Job::Factorize { model, layers: LayerSet::range(7, 9), weighting: Weighting::Raw });
    let events = settle(&worker);
    let EventKind::Rendered { view: ViewId::PICTURE, frame } = answer(&events, picture) else { panic!("no picture") };
    let FrameImage::Pixels(pixels) = &frame.image else { panic!("a texture from the CPU") };
    assert_eq!((pixels.width, pixels.height, pixels.channels), (64, 64, 3));
    assert!(pixels.data.iter().any(|&x| x != pixels.data[0]), "a picture of one colour");
    assert!(matches!(answer(&events, directions), EventKind::Superseded), "only the newest counts");
    assert!(matches!(answer(&events, wrong), EventKind::Failed(_)));
    let directions = worker.send(Job::Factorize { model, layers: LayerSet::range(0, 0), weighting: Weighting::Raw });
    let events = settle(&worker);
    let EventKind::Factorized(set) = answer(&events, directions) else { panic!("no directions") };
    assert_eq!((set.layers.to_string().as_str(), set.len()), ("0", 100));
}

/// What a task does in a step.
#[derive(Clone, Copy, PartialEq)]
enum Act {
    Go,
    Panic,
    Fail,
    Finish,
}

/// A task whose steps are told from outside: each waits for what it is to do.
struct Steps {
    acts: Receiver<Act>,
    done: Sender<u64>,
    steps: u64,
}

impl Steps {
    /// With the senders that make it go on; receives how many steps were made.
    fn new() -> (Self, Sender<Act>, Receiver<u64>) {
        let ((act, acts), (done, steps)) = (channel(), channel());
        (Steps { acts, done, steps: 0 }, act, steps)
    }

    /// One that always goes on.
    fn endless() -> (Self, Receiver<u64>) {
        let (task, _, steps) = Steps::new();
        (task, steps)
    }
}

impl Task for Steps {
    fn name(&self) -> String {
        "Stepping".into()
    }

    fn step(&mut self, engine: &mut Engine) -> Result<Step, TaskError> {
        self.steps += 1;
        let _ = self.done.send(self.steps);
        match self.acts.recv().unwrap_or(Act::Go) {
            Act::Go => {
                std::thread::sleep(Duration::from_millis(1));
                Ok(Step::More(Progress { stage: "stepping".into(), done: self.steps, total: 0 }))
            }
            Act::Panic => panic!("on purpose"),
            Act::Fail => Err(engine
                .render(&Edit { truncation: sefa_studio::edit::Truncation { psi: f32::NAN, cutoff: None }, ..edit(0) })
                .map(drop)
                .unwrap_err()
                .into()),
            Act::Finish => Ok(Step::Done(Outcome::Written("nowhere".into()))),
        }
    }
}

#[test]
fn a_picture_comes_between_two_steps_of_a_task_and_the_task_goes_on() {
    let (worker, _) = spawn();
    let model = toy_heads(&worker);
    settle(&worker);
    let (task, act, steps) = Steps::new();
    let job = worker.send(Job::Run { model, task: Box::new(task) });
    assert_eq!(steps.recv(), Ok(1));
    let picture = worker.send(render(model, 5));
    act.send(Act::Go).unwrap();
    assert_eq!(steps.recv(), Ok(2));
    let events = worker.events(Duration::ZERO);
    assert!(matches!(answer(&events, picture), EventKind::Rendered { .. }), "the picture waited for more than a step");
    act.send(Act::Finish).unwrap();
    assert!(matches!(answer(&settle(&worker), job), EventKind::Done(Outcome::Written(_))));
}

/// Renders one picture in its only step, once it was told to.
struct Renders {
    go: Receiver<()>,
    begun: Sender<u64>,
    attempts: u64,
    pixels: Sender<Vec<u8>>,
}

impl Task for Renders {
    fn name(&self) -> String {
        "Rendering".into()
    }

    fn step(&mut self, engine: &mut Engine) -> Result<Step, TaskError> {
        self.attempts += 1;
        let _ = self.begun.send(self.attempts);
        let _ = self.go.recv();
        let pixels = engine.render(&edit(7))?.to_pixels()?;
        let _ = self.pixels.send(pixels.data);
        Ok(Step::Done(Outcome::Written("nowhere".into())))
    }
}

#[test]
fn a_picture_comes_even_within_a_step_which_goes_on_where_it_was() {
    let (worker, _) = spawn();
    let model = toy_heads(&worker);
    settle(&worker);
    let ((go, told), (begun, attempts), (pixels, made)) = (channel(), channel(), channel());
    let task = Renders { go: told, begun, attempts: 0, pixels };
    let job = worker.send(Job::Run { model, task: Box::new(task) });
    assert_eq!(attempts.recv(), Ok(1));
    let picture = worker.send(render(model, 5));
    go.send(()).unwrap();
    assert_eq!(attempts.recv(), Ok(2), "the step was not interrupted");
    let events = worker.events(Duration::ZERO);
    assert!(matches!(answer(&events, picture), EventKind::Rendered { .. }));
    drop(go);
    assert!(matches!(answer(&settle(&worker), job), EventKind::Done(_)));
    assert!(attempts.recv().is_err(), "interrupted for nothing");
    let mut engine = Engine::new(RenderDevice::cpu(None));
    engine.open(&Source::Example(Example::ToyHeads), &mut sefa_studio::progress::silent).unwrap();
    assert_eq!(made.recv().unwrap(), engine.render(&edit(7)).unwrap().to_pixels().unwrap().data);
}

#[test]
fn tiles_come_in_passes_nearest_first_and_each_tells_what_is_wrong_with_it() {
    let (worker, _) = spawn();
    let model = toy_heads(&worker);
    let mut wanted: Vec<Edit> = (0..70).map(edit).collect();
    wanted[3].truncation.psi = f32::NAN;
    let asked = wanted.clone();
    let job = worker.send(Job::Tiles { model, base: ViewId::PICTURE, side: 32, exact: false, wanted });
    let events = settle(&worker);
    let passes: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Tiles { made, left } if event.job == job => Some((made, *left)),
            _ => None,
        })
        .collect();
    assert!(passes.len() > 2, "a picture had to wait for all of them");
    let made: Vec<_> = passes.iter().flat_map(|(made, _)| made.iter()).collect();
    assert_eq!(made.len(), asked.len());
    assert!(
        asked.iter().all(|edit| made.iter().filter(|(of, _)| format!("{of:?}") == format!("{edit:?}")).count() == 1)
    );
    assert_eq!(made[0].0, asked[0]);
    for (edit, tile) in made {
        match tile {
            Ok(tile) => assert_eq!((tile.pixels.width, tile.pixels.height), (32, 32)),
            Err(failure) => assert!(edit.truncation.psi.is_nan() && failure.headline.contains("psi"), "{failure:?}"),
        }
    }
    let lefts: Vec<usize> = passes.iter().map(|(_, left)| *left).collect();
    assert!(lefts.is_sorted_by(|a, b| a > b) && lefts.last() == Some(&0), "{lefts:?}");
    let none = worker.send(Job::Tiles { model, base: ViewId::PICTURE, side: 32, exact: true, wanted: Vec::new() });
    assert!(matches!(answer(&settle(&worker), none), EventKind::Tiles { left: 0, .. }));
}

#[test]
fn a_task_goes_on_with_its_model_when_another_one_is_opened() {
    let (worker, _) = spawn();
    let model = toy_heads(&worker);
    settle(&worker);
    struct Named(Vec<String>, usize);
    impl Task for Named {
        fn name(&self) -> String {
            "Naming".into()
        }
        fn step(&mut self, engine: &mut Engine) -> Result<Step, TaskError> {
            self.0.push(engine.info().map_or_else(String::new, |info| info.name.clone()));
            std::thread::sleep(Duration::from_millis(5));
            let done = self.0.len() as u64;
            match self.0.len() == self.1 {
                true => Ok(Step::Done(Outcome::Written(self.0.join("/").into()))),
                false => Ok(Step::More(Progress { stage: String::new(), done, total: 0 })),
            }
        }
    }
    let job = worker.send(Job::Run { model, task: Box::new(Named(Vec::new(), 200)) });
    let other = open(&worker, Source::Example(Example::Faces));
    let picture = worker.send(render(other, 1));
    let events = settle(&worker);
    let EventKind::Done(Outcome::Written(names)) = answer(&events, job) else { panic!("the task did not end") };
    let names: Vec<_> = names.iter().collect();
    assert!(names.len() == 200 && names.iter().all(|name| *name == names[0]), "another model took its place");
    let of = |job: JobId| events.iter().position(|event| event.job == job && event.kind.is_last());
    assert!(of(picture) < of(job), "the other model waited for the task");
    let after = worker.send(render(model, 1));
    assert!(matches!(answer(&settle(&worker), after), EventKind::Superseded), "a model without tasks is closed");
}

#[test]
fn cancel_stops_one_job_and_no_other() {
    let (worker, _) = spawn();
    let model = toy_heads(&worker);
    settle(&worker);
    let (task, act, steps) = Steps::new();
    let job = worker.send(Job::Run { model, task: Box::new(task) });
    assert_eq!(steps.recv(), Ok(1));
    // Queued behind the step that runs: honoured although something else runs.
    let queued = worker.send(Job::Open { source: Source::Example(Example::Faces), recipe: None });
    worker.cancel(queued);
    let kept = worker.send(Job::Open { source: Source::Example(Example::Faces), recipe: None });
    // Running: ends with its step.
    worker.cancel(job);
    act.send(Act::Go).unwrap();
    let events = settle(&worker);
    assert!(matches!(answer(&events, queued), EventKind::Cancelled));
    assert!(matches!(answer(&events, job), EventKind::Cancelled));
    assert!(matches!(answer(&events, kept), EventKind::Opened { .. }));
    // Done: the next one does not know.
    worker.cancel(kept);
    let next = worker.send(Job::Open { source: Source::Example(Example::ToyHeads), recipe: None });
    assert!(matches!(answer(&settle(&worker), next), EventKind::Opened { .. }));
}

#[test]
fn a_panic_ends_one_job_and_the_device_stays() {
    for device in super::support::devices() {
        let label = device.label();
        let worker = Worker::spawn(|| device, || ()).unwrap();
        let model = toy_heads(&worker);
        for act in [Act::Panic, Act::Fail] {
            let (task, acts, _steps) = Steps::new();
            acts.send(act).unwrap();
            let job = worker.send(Job::Run { model, task: Box::new(task) });
            let events = settle(&worker);
            let EventKind::Failed(failure) = answer(&events, job) else { panic!("no failure") };
            assert_eq!(failure.causes.iter().any(|cause| cause == "on purpose"), act == Act::Panic, "{failure:?}");
            let moved = events.iter().find_map(|event| match &event.kind {
                EventKind::Device(facts) if facts.label != label => Some(&facts.label),
                _ => None,
            });
            assert_eq!(moved, None, "a panic of a job is no lost device");
            let picture = worker.send(render(model, 1));
            assert!(matches!(answer(&settle(&worker), picture), EventKind::Rendered { .. }));
            assert!(worker.is_alive());
        }
    }
}

/// Loses the device of this whole process, so the test below runs it in one of its own.
#[test]
#[ignore = "run by another test"]
fn lose_the_device() {
    for device in super::support::devices().into_iter().filter(|device| device.wgpu().is_some()) {
        let wgpu = device.wgpu().unwrap().device.clone();
        let worker = Worker::spawn(|| device, || ()).unwrap();
        let model = toy_heads(&worker);
        let before = worker.send(render(model, 1));
        assert!(matches!(answer(&settle(&worker), before), EventKind::Rendered { .. }));
        let (task, act, _steps) = Steps::new();
        let job = worker.send(Job::Run { model, task: Box::new(task) });
        wgpu.destroy();
        let picture = worker.send(render(model, 2));
        [Act::Go, Act::Finish].into_iter().for_each(|next| act.send(next).unwrap());
        let events = settle(&worker);
        let moved = events.iter().find_map(|event| match &event.kind {
            EventKind::Device(facts) => Some((&facts.label, facts.note.as_deref().unwrap_or_default())),
            _ => None,
        });
        let (label, note) = moved.expect("the device is still trusted");
        assert!(label.starts_with("CPU") && note.contains("pictures are made on the CPU now"), "{label}: {note}");
        let EventKind::Rendered { frame, .. } = answer(&events, picture) else { panic!("no picture") };
        assert!(matches!(frame.image, FrameImage::Pixels(_)) && frame.edit == edit(2));
        assert!(matches!(answer(&events, job), EventKind::Done(_)), "the task goes on");
        println!("the device was lost");
    }
}

/// A picture panics that is made while another model is opened: it is made again, and the opening goes on.
#[test]
#[ignore = "run by another test"]
fn lose_the_device_while_a_model_is_opened() {
    for device in super::support::devices().into_iter().filter(|device| device.wgpu().is_some()) {
        let wgpu = device.wgpu().unwrap().device.clone();
        let is_held = Arc::new(AtomicBool::new(false));
        let (release, held) = channel::<()>();
        let held = Mutex::new(held);
        let holds = is_held.clone();
        let wake = move || {
            if holds.swap(false, Ordering::SeqCst) {
                held.lock().unwrap().recv().unwrap();
            }
        };
        let worker = Worker::spawn(|| device, wake).unwrap();
        let model = toy_heads(&worker);
        settle(&worker);
        is_held.store(true, Ordering::SeqCst);
        let opening = worker.send(Job::Open { source: Source::Example(Example::Faces), recipe: None });
        let deadline = Instant::now() + Duration::from_secs(60);
        while is_held.load(Ordering::SeqCst) {
            assert!(Instant::now() < deadline, "the opening says nothing");
            std::thread::sleep(Duration::from_millis(1));
        }
        // The thread waits within the opening.
        wgpu.destroy();
        let picture = worker.send(render(model, 2));
        release.send(()).unwrap();
        let events = settle(&worker);
        assert!(matches!(answer(&events, opening), EventKind::Opened { .. }), "{:?}", answer(&events, opening));
        // Made on the CPU, or pointless by then because the other model is open.
        let asked = answer(&events, picture);
        assert!(matches!(asked, EventKind::Rendered { .. } | EventKind::Superseded), "{asked:?}");
        let after = worker.send(render(ModelId::opened_by(opening), 3));
        let EventKind::Rendered { frame, .. } = answer(&settle(&worker), after).clone() else { panic!("no picture") };
        assert!(matches!(frame.image, FrameImage::Pixels(_)), "from the CPU");
        println!("the device was lost");
    }
}

#[test]
fn a_lost_device_is_left_and_its_model_goes_on_on_the_cpu() {
    if super::support::devices().len() < 2 {
        return;
    }
    for test in ["worker::lose_the_device", "worker::lose_the_device_while_a_model_is_opened"] {
        let program = std::env::current_exe().unwrap();
        let arguments = [test, "--exact", "--ignored", "--nocapture"];
        let output = std::process::Command::new(program).args(arguments).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.contains("the device was lost"), "{test}: {said}");
    }
}

#[test]
fn a_thread_that_dies_says_so_and_answers_everything() {
    let worker = Worker::spawn(|| panic!("no device"), || ()).unwrap();
    let early = worker.send(Job::Open { source: Source::Example(Example::Faces), recipe: None });
    let mut events = settle(&worker);
    events.extend(worker.events(Duration::from_secs(10)));
    let stopped = events.iter().find_map(|event| match &event.kind {
        EventKind::Stopped(failure) => Some(failure),
        _ => None,
    });
    assert_eq!(stopped.expect("nobody was told").causes, ["no device"]);
    assert!(!worker.is_alive());
    assert!(matches!(answer(&events, early), EventKind::Cancelled));
    let late = worker.send(render(ModelId::opened_by(early), 1));
    assert!(matches!(answer(&settle(&worker), late), EventKind::Cancelled));
}

/// What calls back may fail as well, and then it is the thread that dies, while it opens or renders.
#[test]
fn a_thread_that_dies_at_any_job_says_so() {
    for fatal in 1..12 {
        let wakes = AtomicUsize::new(0);
        let wake = move || assert_ne!(wakes.fetch_add(1, Ordering::SeqCst), fatal, "the window is broken");
        let worker = Worker::spawn(|| RenderDevice::cpu(None), wake).unwrap();
        let model = open(&worker, Source::Example(Example::Faces));
        let (task, acts, _steps) = Steps::new();
        (0..3).for_each(|_| acts.send(Act::Go).unwrap());
        acts.send(Act::Finish).unwrap();
        let jobs = [worker.send(render(model, 1)), worker.send(Job::Run { model, task: Box::new(task) })];
        let events = settle(&worker);
        for job in jobs {
            answer(&events, job);
        }
    }
}

#[test]
fn dropping_the_worker_ends_its_thread() {
    let (worker, wakes) = spawn();
    let model = toy_heads(&worker);
    worker.send(Job::Run { model, task: Box::new(Steps::endless().0) });
    drop(worker);
    // The thread owned the other handle of the counter.
    assert_eq!(Arc::strong_count(&wakes), 1);
}

/// Whatever a closed window leaves in the folder of an export is whole.
#[test]
fn closing_ends_an_export_after_whole_files() {
    let folder = tempfile::tempdir().unwrap();
    let (worker, _) = spawn();
    let opening = worker.send(Job::Open { source: Source::Example(Example::Faces), recipe: None });
    let events = settle(&worker);
    let EventKind::Opened { info, .. } = answer(&events, opening) else { panic!("no model") };
    let model = ModelId::opened_by(opening);
    let direction = Direction::sefa(LayerSet::range(0, 0), Weighting::Raw, 0, vec![0.1; info.z_dim]);
    let (frames, folder) = (100_000, folder.path().to_owned());
    let sweep =
        Sweep { direction: direction.into(), from: -1.0, to: 1.0, frames, folder: folder.clone(), sheet: false };
    let project = Project::new(info, "example:faces".into(), edit(3), DirectionNames::default());
    worker.send(Job::Run { model, task: Box::new(Export::sweep(project, &sweep, info)) });
    let deadline = Instant::now() + Duration::from_secs(60);
    while !folder.join("frame_0009.png").exists() {
        assert!(Instant::now() < deadline, "no frames");
        std::thread::sleep(Duration::from_millis(1));
    }
    toy_heads(&worker);
    let start = Instant::now();
    drop(worker);
    assert!(start.elapsed() < Duration::from_secs(10));
    // What was rendered by then is written by threads of its own.
    let names = || {
        let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        entries.collect::<std::collections::BTreeSet<_>>()
    };
    let is_written = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "png");
    let mut seen = names();
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let now = names();
        if now == seen && now.iter().all(is_written) {
            break;
        }
        assert!(Instant::now() < deadline, "frames are still written");
        seen = now;
    }
    assert!(seen.len() < frames);
    for path in seen {
        Project::load(&path).unwrap();
    }
}

#[test]
fn a_closed_window_does_not_wait_for_a_long_step_or_for_what_is_queued() {
    let (worker, _) = spawn();
    let model = toy_heads(&worker);
    settle(&worker);
    let (task, act, steps) = Steps::new();
    worker.send(Job::Run { model, task: Box::new(task) });
    assert_eq!(steps.recv(), Ok(1));
    (0..100).for_each(|_| _ = toy_heads(&worker));
    let start = Instant::now();
    drop(worker);
    // The step would wait for ever.
    assert!(start.elapsed() < Duration::from_secs(10));
    drop(act);
    assert!(steps.recv_timeout(Duration::from_secs(10)).is_err(), "the task was not stopped");
}
