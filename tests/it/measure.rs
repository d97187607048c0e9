//! Times, for people to read: `cargo test --release --test it measure:: -- --ignored --nocapture
//! --test-threads 1`. No time is a test.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sefa_studio::directions::DirectionSet;
use sefa_studio::edit::{Edit, Move, Weighting};
use sefa_studio::export::Sweep;
use sefa_studio::generator::{Group, ModelInfo};
use sefa_studio::gpu::RenderDevice;
use sefa_studio::names::DirectionNames;
use sefa_studio::project::Project;
use sefa_studio::render::{Source, ViewId};
use sefa_studio::tasks::Export;
use sefa_studio::worker::{Background, Event, EventKind, Job, JobId, ModelId, Worker};

const DRAGS: usize = 15;

/// StyleGAN2 of 256 pixels with the channels of config F.
fn stylegan2() -> tempfile::NamedTempFile {
    super::support::stylegan2(256, 512, 8, |side| (32768 / side).min(512))
}

struct Session {
    worker: Worker,
    /// Events that nobody has looked at.
    events: VecDeque<Event>,
    info: Arc<ModelInfo>,
    model: ModelId,
    /// Frames of the export that are done.
    exported: u64,
}

impl Session {
    fn open(source: Source) -> Self {
        let worker = Worker::spawn(|| RenderDevice::cpu(None), || ()).unwrap();
        let opening = worker.send(Job::Open { source, recipe: None });
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            assert!(Instant::now() < deadline, "the model did not open");
            for event in worker.events(Duration::from_millis(10)) {
                if let EventKind::Opened { info, .. } = event.kind {
                    let model = ModelId::opened_by(opening);
                    return Session { worker, events: VecDeque::new(), info, model, exported: 0 };
                }
            }
        }
    }

    /// Takes in events until one of them is what is waited for.
    fn until<T>(&mut self, found: impl Fn(&Event) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            assert!(Instant::now() < deadline, "nothing came");
            self.events.extend(self.worker.events(Duration::from_millis(1)));
            while let Some(event) = self.events.pop_front() {
                match &event.kind {
                    EventKind::Progress(progress) => self.exported = progress.done,
                    EventKind::Failed(failure) => panic!("{failure:?}"),
                    _ => {}
                }
                if let Some(found) = found(&event) {
                    return found;
                }
            }
        }
    }

    fn last(&mut self, job: JobId) -> EventKind {
        self.until(|event| (event.job == job && event.kind.is_last()).then(|| event.kind.clone()))
    }

    /// Time from the first motion of a slider to the first picture of it, and to the whole one, in milliseconds.
    fn drag(&mut self, edit: Edit) -> [f64; 2] {
        self.worker.expect_edits(true);
        let start = Instant::now();
        let job = self.worker.send(Job::Render { model: self.model, view: ViewId::PICTURE, edit });
        let is_shown = |event: &Event| match &event.kind {
            EventKind::Rendered { frame, .. } if event.job == job => Some(frame.is_exact),
            _ => None,
        };
        let mut is_exact = self.until(is_shown);
        let first = start.elapsed();
        while !is_exact {
            is_exact = self.until(is_shown);
        }
        self.worker.expect_edits(false);
        [first, start.elapsed()].map(|time| time.as_secs_f64() * 1e3)
    }

    fn drags(&mut self, step: &Move, what: &str) {
        let mut times = [const { Vec::new() }; 2];
        for number in 0..DRAGS {
            // Not in step with whatever else runs.
            std::thread::sleep(Duration::from_millis(150 + 37 * number as u64));
            let mut edit = self.info.start(3);
            edit.moves.push(Move { value: 0.1 + number as f32 * 0.3, ..step.clone() });
            self.drag(edit).into_iter().zip(&mut times).for_each(|(time, times)| times.push(time));
        }
        let [first, whole] = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            format!("median {:.0} ms, worst {:.0} ms", times[DRAGS / 2], times[DRAGS - 1])
        });
        println!("{what}: first picture {first}; whole picture {whole}");
    }
}

#[test]
#[ignore = "prints times"]
fn a_drag_while_a_thousand_frames_are_exported() {
    let file = stylegan2();
    let mut session = Session::open(Source::File(file.path().into()));
    let (info, model) = (session.info.clone(), session.model);
    let layers = |group| info.group(group).unwrap();
    let directions = [Group::Bottom, Group::Top].map(|group| {
        let weighting = Weighting::RowNormalised;
        let job = session.worker.send(Job::Factorize { model, layers: layers(group), weighting });
        let EventKind::Factorized(set) = session.last(job) else { panic!("no directions") };
        first_of(&set)
    });
    session.drag(info.start(3));
    for (step, name) in directions.iter().zip(["bottom", "top"]) {
        session.drags(step, &format!("{name} layers, nothing else"));
    }

    let folder = tempfile::tempdir().unwrap();
    let project = Project::new(&info, file.path().display().to_string(), info.start(5), DirectionNames::default());
    let direction = directions[0].direction.clone();
    let sweep = Sweep { direction, from: -3.0, to: 3.0, frames: 1000, folder: folder.path().into(), sheet: false };
    let task = Box::new(Export::sweep(project, &sweep, &info));
    let job = session.worker.send(Job::Run { model, task });
    session.until(|event| matches!(&event.kind, EventKind::Progress(progress) if progress.done >= 3).then_some(()));
    let pace = |session: &mut Session, what: &str, work: &mut dyn FnMut(&mut Session)| {
        let (start, before) = (Instant::now(), session.exported);
        work(session);
        let (done, took) = (session.exported - before, start.elapsed().as_secs_f64());
        println!("export {what}: {:.2} frames per second ({done} in {took:.1} s)", done as f64 / took);
    };
    pace(&mut session, "alone", &mut |session| {
        let enough = Instant::now() + Duration::from_secs(8);
        session.until(|_| (Instant::now() > enough).then_some(()));
    });
    for (step, name) in directions.iter().zip(["bottom", "top"]) {
        pace(&mut session, "during those drags", &mut |session| {
            session.drags(step, &format!("{name} layers, while 1000 frames are exported"));
        });
    }
    session.worker.cancel(job);
    assert!(matches!(session.last(job), EventKind::Cancelled));
}

/// How long the model that is open keeps a hand waiting while another one is read and built.
#[test]
#[ignore = "prints times"]
fn a_drag_while_a_model_is_opened() {
    let file = stylegan2();
    let source = Source::File(file.path().into());
    let mut session = Session::open(source.clone());
    let mut edit = session.info.start(3);
    session.drag(edit.clone());
    let start = Instant::now();
    let opening = session.worker.send(Job::Open { source, recipe: None });
    let mut times = Vec::new();
    loop {
        edit.truncation.psi += 0.01;
        let asked = Instant::now();
        let job = session.worker.send(Job::Render { model: session.model, view: ViewId::PICTURE, edit: edit.clone() });
        let is_open = session.until(|event| match &event.kind {
            EventKind::Opened { .. } if event.job == opening => Some(true),
            EventKind::Rendered { .. } if event.job == job => Some(false),
            // Asked of the model before when the other one was there already.
            EventKind::Superseded if event.job == job => Some(true),
            _ => None,
        });
        if is_open {
            break;
        }
        times.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    let took = start.elapsed().as_secs_f64();
    println!("{} pictures during an opening of {took:.1} s: median {median:.0} ms, worst {worst:.0} ms", times.len());
}

fn first_of(set: &DirectionSet) -> Move {
    Move::new(set.directions[0].clone(), 1.0)
}
