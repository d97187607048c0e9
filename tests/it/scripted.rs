//! The window with a scripted background: every order in which answers can come, without a thread.

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use egui::accesskit::Toggled;
use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use sefa_studio::directions::DirectionSet;
use sefa_studio::edit::{Code, Edit, LayerSet, Origin, Weighting};
use sefa_studio::failure::Failure;
use sefa_studio::generator::ModelInfo;
use sefa_studio::gpu::{Precision, RenderDevice};
use sefa_studio::names::DirectionNames;
use sefa_studio::progress::{self, Progress};
use sefa_studio::project::Project;
use sefa_studio::render::{CodeSource, Engine, Example, Frame, FrameImage, Pixels, Source, ViewId};
use sefa_studio::tasks::Outcome;
use sefa_studio::ui::{App, ScriptedDialogs, Services};
use sefa_studio::worker::{Background, DeviceFacts, Event, EventKind, Job, JobId, ModelId};

/// What a window asked for, and what it is told.
#[derive(Default)]
struct Script {
    sent: Vec<(JobId, Job)>,
    answered: HashSet<JobId>,
    cancelled: Vec<JobId>,
    events: Vec<Event>,
    has_ended: bool,
    starts: usize,
}

#[derive(Clone, Default)]
struct Scripted(Rc<RefCell<Script>>);

impl Background for Scripted {
    fn send(&self, job: Job) -> JobId {
        let id = JobId::fresh();
        self.0.borrow_mut().sent.push((id, job));
        id
    }

    fn cancel(&self, job: JobId) {
        self.0.borrow_mut().cancelled.push(job);
    }

    fn events(&self, _: Duration) -> Vec<Event> {
        std::mem::take(&mut self.0.borrow_mut().events)
    }

    fn expect_edits(&self, _: bool) {}

    fn look_at(&self, _: ViewId) {}

    fn is_idle(&self) -> bool {
        let script = self.0.borrow();
        script.sent.iter().all(|(id, _)| script.answered.contains(id))
    }

    fn is_alive(&self) -> bool {
        !self.0.borrow().has_ended
    }
}

type Window = Harness<'static, App>;

/// A window and the script behind it.
struct Stage {
    window: Window,
    script: Scripted,
}

/// An example with the directions of its bottom layers.
struct Known {
    info: Arc<ModelInfo>,
    directions: Arc<DirectionSet>,
}

fn known(example: Example) -> &'static Known {
    static KNOWN: [OnceLock<Known>; 2] = [const { OnceLock::new() }; 2];
    let load = || {
        let mut engine = Engine::new(RenderDevice::cpu(None));
        let info = engine.open(&Source::Example(example), &mut progress::silent).unwrap();
        let last = if info.num_layers > 1 { 1 } else { 0 };
        let basis = engine.factorize(&LayerSet::range(0, last), Weighting::RowNormalised).unwrap();
        Known { info, directions: Arc::new(DirectionSet::from(&*basis)) }
    };
    KNOWN[example as usize].get_or_init(load)
}

impl Stage {
    fn new(source: Source, paths: impl IntoIterator<Item = PathBuf>, precision: Option<Precision>) -> Self {
        let script = Scripted::default();
        let behind = script.clone();
        let dialogs = ScriptedDialogs::new(paths.into_iter().map(Some));
        let window = Harness::builder().with_size([1280.0, 800.0]).with_step_dt(0.03).build_eframe(move |cc| {
            let start = behind.clone();
            let background = Box::new(move |_| {
                let mut script = start.0.borrow_mut();
                script.starts += 1;
                script.has_ended = false;
                Ok(Box::new(start.clone()) as Box<dyn Background>)
            });
            let services = Services {
                background,
                dialogs: Box::new(dialogs),
                start: source,
                restore: false,
                precision,
                folders: None,
            };
            App::new(cc, services).unwrap()
        });
        Stage { window, script }
    }

    /// With the toy heads open, a picture shown, and one step to undo.
    fn edited(paths: impl IntoIterator<Item = PathBuf>) -> (Self, Edit) {
        let mut stage = Stage::new(Source::Example(Example::ToyHeads), paths, None);
        stage.open_as(stage.opening(), Example::ToyHeads);
        stage.answer_all();
        stage.press(Modifiers::NONE, Key::ArrowRight);
        stage.window.run_steps(20);
        stage.answer_all();
        let edit = stage.edit();
        assert_eq!(stage.window.state().shown_edit(), Some(&edit));
        (stage, edit)
    }

    fn press(&mut self, modifiers: Modifiers, key: Key) {
        self.window.key_press_modifiers(modifiers, key);
        self.window.run_steps(2);
    }

    fn click(&mut self, name: &str) {
        self.window.get_by_label(name).click();
        // A list is laid out anew in the frame after the first.
        self.window.run_steps(4);
    }

    /// In the View menu, where a shortcut may follow the text.
    fn choose_half_precision(&mut self) {
        self.click("Model");
        self.window.get_by_label_contains("Half precision on the GPU").click();
        self.window.run_steps(2);
    }

    fn edit(&self) -> Edit {
        self.window.state().document().edit.clone()
    }

    fn says(&self, text: &str) -> bool {
        self.window.query_all_by_label_contains(text).next().is_some()
    }

    fn headline(&self) -> Option<&str> {
        self.window.state().failure().map(|failure| failure.headline.as_str())
    }

    /// The newest job without an answer of which this is true.
    #[track_caller]
    fn job(&self, is_it: impl Fn(&Job) -> bool) -> JobId {
        let script = self.script.0.borrow();
        let open = script.sent.iter().rev().find(|(id, job)| !script.answered.contains(id) && is_it(job));
        open.unwrap_or_else(|| panic!("no such job in {:?}", script.sent)).0
    }

    #[track_caller]
    fn opening(&self) -> JobId {
        self.job(|job| matches!(job, Job::Open { .. }))
    }

    #[track_caller]
    fn store(&self) -> JobId {
        self.job(|job| matches!(job, Job::Store(_)))
    }

    #[track_caller]
    fn render(&self, of: ViewId) -> JobId {
        self.job(|job| matches!(job, Job::Render { view, .. } if *view == of))
    }

    #[track_caller]
    fn factorize(&self) -> JobId {
        self.job(|job| matches!(job, Job::Factorize { .. }))
    }

    /// Starts an export. Where the file is to go is looked at on a thread first.
    #[track_caller]
    fn export(&mut self) -> JobId {
        let tasks = |stage: &Self| {
            stage.script.0.borrow().sent.iter().filter(|(_, job)| matches!(job, Job::Run { .. })).count()
        };
        let before = tasks(self);
        self.press(Modifiers::COMMAND, Key::E);
        let deadline = Instant::now() + Duration::from_secs(60);
        while tasks(self) == before {
            assert!(Instant::now() < deadline, "waited 60 s for the export");
            self.window.step();
            std::thread::sleep(Duration::from_millis(5));
        }
        self.job(|job| matches!(job, Job::Run { .. }))
    }

    /// The model that a job is asked of.
    fn model_of(&self, job: JobId) -> Option<ModelId> {
        self.script.0.borrow().sent.iter().find(|(id, _)| *id == job).and_then(|(_, job)| job.model())
    }

    fn sent(&self) -> usize {
        self.script.0.borrow().sent.len()
    }

    fn was_cancelled(&self, job: JobId) -> bool {
        self.script.0.borrow().cancelled.contains(&job)
    }

    /// Says something about a job, which the window hears with its next frame.
    fn say_later(&mut self, job: JobId, kind: EventKind) {
        let mut script = self.script.0.borrow_mut();
        if kind.is_last() {
            script.answered.insert(job);
        }
        script.events.push(Event { job, kind });
    }

    fn say(&mut self, job: JobId, kind: EventKind) {
        self.say_later(job, kind);
        self.window.run_steps(2);
    }

    fn fail(&mut self, job: JobId, headline: &str) {
        self.say(job, EventKind::Failed(Failure::new(headline)));
    }

    fn open_as(&mut self, job: JobId, example: Example) {
        let (info, source) = (known(example).info.clone(), Source::Example(example));
        self.say(job, EventKind::Opened { info, source, took: Duration::ZERO });
    }

    /// The answer to a render that was sent.
    fn frame(&self, job: JobId, is_exact: bool) -> EventKind {
        let script = self.script.0.borrow();
        let (_, job) = script.sent.iter().find(|(id, _)| *id == job).unwrap();
        let Job::Render { view, edit, .. } = job else { panic!("{job:?} is no render") };
        let pixels = Pixels { width: 4, height: 4, channels: 1, data: vec![100; 16] };
        let frame = Frame {
            model: String::new(),
            edit: edit.clone(),
            size: [128, 128],
            is_exact,
            took: Duration::from_millis(5),
            stages_run: (6, 6),
            image: FrameImage::Pixels(Arc::new(pixels)),
        };
        EventKind::Rendered { view: *view, frame }
    }

    fn show(&mut self, job: JobId) {
        let kind = self.frame(job, true);
        self.say(job, kind);
    }

    /// Answers renders and factorisations, well, until none is left.
    fn answer_all(&mut self) {
        loop {
            let next = {
                let script = self.script.0.borrow();
                let is_due = |job: &Job| matches!(job, Job::Render { .. } | Job::Factorize { .. });
                script.sent.iter().find(|(id, job)| !script.answered.contains(id) && is_due(job)).map(|(id, _)| *id)
            };
            let Some(job) = next else { return };
            let is_render =
                matches!(self.script.0.borrow().sent.iter().find(|(id, _)| *id == job), Some((_, Job::Render { .. })));
            match is_render {
                true => self.show(job),
                false => self.say(job, EventKind::Factorized(known(Example::ToyHeads).directions.clone())),
            }
        }
    }

    /// The edit before is there still, and so is the step that leads back from it.
    #[track_caller]
    fn assert_untouched(&mut self, before: &Edit) {
        assert_eq!(self.edit(), *before);
        self.answer_all();
        self.press(Modifiers::COMMAND, Key::Z);
        assert_ne!(self.edit(), *before, "the history is gone");
        self.press(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
        assert_eq!(self.edit(), *before);
        // Whatever is asked now is asked of a model that is open.
        let models: HashSet<_> = {
            let script = self.script.0.borrow();
            let open = script.sent.iter().filter(|(id, _)| !script.answered.contains(id));
            open.filter_map(|(_, job)| job.model()).collect()
        };
        assert_eq!(models.len(), 1, "{models:?}");
        self.answer_all();
        assert_eq!(self.window.state().shown_edit(), Some(before));
    }
}

/// Components of the toy heads, of few codes.
fn components() -> Outcome {
    static KNOWN: OnceLock<Outcome> = OnceLock::new();
    let load = || {
        let mut engine = Engine::new(RenderDevice::cpu(None));
        engine.open(&Source::Example(Example::ToyHeads), &mut progress::silent).unwrap();
        let components = engine.components(CodeSource::Drawn { samples: 600, seed: 0 }, &mut progress::silent);
        Outcome::Components { samples: 100_000, seed: 0, components: Arc::new(components.unwrap()) }
    };
    KNOWN.get_or_init(load).clone()
}

/// Principal components are searched once, whatever is looked at meanwhile, and moved in whichever layers are chosen.
#[test]
fn principal_components_are_found_by_a_task_and_remembered() {
    let (mut stage, _) = Stage::edited([]);
    stage.click("Directions by PCA");
    let search = stage.job(|job| matches!(job, Job::Run { .. }));
    stage.say(search, EventKind::Progress(Progress { stage: "mapping codes".into(), done: 1, total: 4 }));
    assert!(stage.says("codes are drawn and mapped") && stage.says("Principal components: mapping codes 1 of 4"));
    // Other layers, and back to SeFa and again: it is the same search.
    stage.click("All");
    stage.click("Directions by SeFa");
    stage.answer_all();
    stage.click("Directions by PCA");
    assert_eq!(stage.job(|job| matches!(job, Job::Run { .. })), search);
    stage.say(search, EventKind::Done(components()));
    assert!(!stage.says("codes are drawn and mapped") && stage.says("100000 codes of seed 0"));
    let before = stage.sent();
    let slider = stage.window.get_by_role_and_label(egui::accesskit::Role::Slider, "PCA 1").rect().center();
    stage.window.drag_at(slider);
    stage.window.hover_at(slider + egui::vec2(20.0, 0.0));
    stage.window.drop_at(slider + egui::vec2(20.0, 0.0));
    stage.window.run_steps(4);
    let moved = stage.edit().moves[0].clone();
    assert_eq!(moved.direction.origin, Origin::Pca { samples: 100_000, seed: 0, index: 0 });
    assert_eq!(moved.direction.layers, LayerSet::range(0, 11));
    stage.click("Bottom");
    assert!(stage.window.query_by_role_and_label(egui::accesskit::Role::Slider, "PCA 1").is_some());
    let script = stage.script.0.borrow();
    let renders = script.sent[before..].iter().all(|(_, job)| matches!(job, Job::Render { .. }));
    assert!(renders, "{:?}", &script.sent[before..]);
}

#[test]
fn a_search_that_is_cancelled_or_fails_leaves_the_list_usable() {
    let (mut stage, _) = Stage::edited([]);
    stage.click("Directions by PCA");
    let search = stage.job(|job| matches!(job, Job::Run { .. }));
    stage.click("Cancel");
    assert!(stage.was_cancelled(search));
    stage.say(search, EventKind::Cancelled);
    stage.answer_all();
    assert!(stage.says("Row-normalised"), "SeFa's directions are back");
    stage.click("Directions by PCA");
    let search = stage.job(|job| matches!(job, Job::Run { .. }));
    stage.fail(search, "the device failed");
    assert!(stage.says("These directions cannot be found.") && stage.says("the device failed"));
    stage.click("Try again");
    let again = stage.job(|job| matches!(job, Job::Run { .. }));
    assert_ne!(again, search);
    stage.say(again, EventKind::Done(components()));
    assert!(stage.says("100000 codes of seed 0"));
}

fn broken() -> PathBuf {
    "no such file.pth".into()
}

/// W3: half precision, and then a file that does not open: in whichever order the answers come.
#[test]
fn a_broken_file_opened_after_a_change_of_precision_leaves_edit_and_history() {
    for store_first in [true, false] {
        let (mut stage, before) = Stage::edited([broken()]);
        stage.choose_half_precision();
        stage.press(Modifiers::COMMAND, Key::O);
        let (store, opening) = (stage.store(), stage.opening());
        if store_first {
            stage.open_as(store, Example::ToyHeads);
            stage.fail(opening, "this is no model");
        } else {
            stage.fail(opening, "this is no model");
            stage.open_as(store, Example::ToyHeads);
        }
        assert_eq!(stage.headline(), Some("this is no model"));
        let picture = stage.render(ViewId::PICTURE);
        assert_eq!(stage.model_of(picture), Some(ModelId::opened_by(store)), "the picture is made anew");
        stage.assert_untouched(&before);
    }
}

#[test]
fn a_precision_that_cannot_be_had_is_taken_back() {
    let (mut stage, before) = Stage::edited([]);
    stage.choose_half_precision();
    stage.fail(stage.store(), "out of memory");
    assert_eq!(stage.headline(), Some("out of memory"));
    stage.assert_untouched(&before);
    stage.choose_half_precision();
    let script = stage.script.0.borrow();
    assert!(matches!(script.sent.last(), Some((_, Job::Store(Precision::F16)))), "the menu was wrong");
}

/// W3: out of memory, cancelled, or superseded by another opening: the model that is open does not notice.
#[test]
fn an_opening_that_comes_to_nothing_leaves_edit_and_history() {
    let failed = || EventKind::Failed(Failure::new("out of memory"));
    for end in [failed, || EventKind::Cancelled] {
        let (mut stage, before) = Stage::edited([broken()]);
        stage.press(Modifiers::COMMAND, Key::O);
        let opening = stage.opening();
        let progress = Progress { stage: "reading tensors".into(), done: 1, total: 4 };
        stage.say(opening, EventKind::Progress(progress));
        assert!(stage.says("reading tensors 1 of 4"));
        stage.say(opening, end());
        assert!(!stage.says("reading tensors"));
        stage.assert_untouched(&before);
    }
}

#[test]
fn the_open_model_answers_while_another_one_is_opened() {
    let (mut stage, _) = Stage::edited([broken()]);
    stage.press(Modifiers::COMMAND, Key::O);
    stage.press(Modifiers::NONE, Key::ArrowRight);
    let picture = stage.render(ViewId::PICTURE);
    stage.show(picture);
    assert_eq!(stage.window.state().shown_edit(), Some(&stage.edit()));
}

#[test]
fn of_two_openings_the_first_is_told_to_stop_and_the_second_counts() {
    let (mut stage, before) = Stage::edited([broken(), broken()]);
    stage.press(Modifiers::COMMAND, Key::O);
    let first = stage.opening();
    stage.press(Modifiers::COMMAND, Key::O);
    let second = stage.opening();
    assert!(first != second && stage.was_cancelled(first) && !stage.was_cancelled(second));
    stage.say(first, EventKind::Cancelled);
    assert_eq!(stage.edit(), before);
    stage.open_as(second, Example::Faces);
    assert_eq!(stage.window.state().model(), Some(&*known(Example::Faces).info));
}

/// It was done already when it was told to stop: then it is the open model, and everything is asked of it.
#[test]
fn an_opening_that_was_cancelled_too_late_is_open() {
    let (mut stage, _) = Stage::edited([broken()]);
    stage.press(Modifiers::COMMAND, Key::O);
    let opening = stage.opening();
    stage.click("Cancel");
    assert!(stage.was_cancelled(opening));
    stage.open_as(opening, Example::Faces);
    let picture = stage.render(ViewId::PICTURE);
    assert_eq!(stage.model_of(picture), Some(ModelId::opened_by(opening)));
    assert_eq!(stage.window.state().model(), Some(&*known(Example::Faces).info));
}

#[test]
fn what_a_closed_model_still_says_is_not_heard() {
    let (mut stage, _) = Stage::edited([broken()]);
    stage.press(Modifiers::NONE, Key::ArrowRight);
    let picture = stage.render(ViewId::PICTURE);
    let late = stage.frame(picture, true);
    stage.click("Middle");
    let directions = stage.factorize();
    stage.press(Modifiers::COMMAND, Key::O);
    let opening = stage.opening();
    stage.open_as(opening, Example::Faces);
    stage.say(picture, late);
    stage.say(directions, EventKind::Factorized(known(Example::ToyHeads).directions.clone()));
    assert_eq!(stage.window.state().shown_edit(), None, "a picture of the model before");
    assert!(!stage.says("Name of direction 1"), "directions of the model before");
    let (picture, directions) = (stage.render(ViewId::PICTURE), stage.factorize());
    stage.say(directions, EventKind::Factorized(known(Example::Faces).directions.clone()));
    stage.show(picture);
    assert_eq!(stage.window.state().shown_edit(), Some(&stage.edit()));
    assert!(stage.says("Name of direction 1"));
    // Nor what fails late.
    stage.fail(picture, "late");
    assert_eq!(stage.headline(), None);
}

#[test]
fn an_older_picture_never_takes_the_place_of_a_newer_one() {
    let (mut stage, _) = Stage::edited([]);
    let mut jobs = Vec::new();
    for _ in 0..3 {
        stage.press(Modifiers::NONE, Key::ArrowRight);
        jobs.push(stage.render(ViewId::PICTURE));
    }
    stage.say(jobs[0], EventKind::Superseded);
    let preview = stage.frame(jobs[1], false);
    stage.say(jobs[1], preview.clone());
    stage.say(jobs[1], EventKind::Superseded);
    stage.show(jobs[2]);
    assert_eq!(stage.window.state().shown_edit(), Some(&stage.edit()));
    stage.say(jobs[1], preview);
    assert_eq!(stage.window.state().shown_edit(), Some(&stage.edit()), "an old preview came back");
}

/// W12, W19: the comparison is asked for behind the picture, and the caption never says what is not shown.
#[test]
fn the_caption_says_unedited_only_of_the_unedited_sample() {
    let (mut stage, _) = Stage::edited([]);
    let direction = known(Example::ToyHeads).directions.directions[0].clone();
    stage.window.get_by_label("Value of direction 1").focus();
    stage.window.step();
    stage.window.get_by_label("Value of direction 1").type_text("2");
    stage.press(Modifiers::NONE, Key::Enter);
    assert_eq!(stage.edit().along(&direction).map(|step| step.value), Some(2.0));
    let (picture, comparison) = (stage.render(ViewId::PICTURE), stage.render(ViewId::COMPARISON));
    assert!(picture < comparison, "the comparison was asked for first");
    stage.window.key_down(Key::Space);
    stage.window.run_steps(2);
    assert!(stage.says("making the unedited sample…") && !stage.says("unedited sample ·"));
    stage.show(picture);
    assert!(!stage.says("unedited sample ·"));
    stage.show(comparison);
    assert!(stage.says("unedited sample ·") && !stage.says("making the unedited sample"));
    stage.window.key_up(Key::Space);
    stage.window.run_steps(2);
    // A comparison that cannot be made says so, while it is asked for.
    stage.press(Modifiers::NONE, Key::ArrowRight);
    stage.show(stage.render(ViewId::PICTURE));
    stage.fail(stage.render(ViewId::COMPARISON), "not finite");
    assert_eq!(stage.headline(), None, "nobody asked");
    stage.window.key_down(Key::Space);
    stage.window.run_steps(2);
    assert!(stage.says("the unedited sample cannot be made") && stage.says("not finite"));
}

/// W20
#[test]
fn directions_that_cannot_be_found_say_so_and_can_be_tried_again() {
    let (mut stage, before) = Stage::edited([]);
    assert!(stage.says("Name of direction 1"));
    stage.click("Middle");
    stage.fail(stage.factorize(), "the solver did not converge");
    assert!(stage.says("These directions cannot be found.") && stage.says("the solver did not converge"));
    assert!(!stage.says("Name of direction 1"), "sliders of other layers than those that are selected");
    assert_eq!(stage.edit(), before);
    let sent = stage.sent();
    stage.window.run_steps(20);
    assert_eq!(stage.sent(), sent, "tried again by itself");
    stage.click("Try again");
    let again = stage.factorize();
    stage.fail(again, "the solver did not converge");
    assert!(stage.says("These directions cannot be found."));
    stage.click("Bottom");
    stage.answer_all();
    assert!(stage.says("Name of direction 1") && !stage.says("cannot be found"));
}

/// W21
#[test]
fn the_error_of_a_picture_goes_with_the_next_good_one_and_not_before() {
    let (mut stage, _) = Stage::edited([broken()]);
    stage.press(Modifiers::NONE, Key::ArrowRight);
    stage.fail(stage.render(ViewId::PICTURE), "the picture is not finite");
    assert_eq!(stage.headline(), Some("the picture is not finite"));
    stage.click("Middle");
    stage.say(stage.factorize(), EventKind::Factorized(known(Example::ToyHeads).directions.clone()));
    stage.press(Modifiers::NONE, Key::ArrowRight);
    assert_eq!(stage.headline(), Some("the picture is not finite"), "asking is no good picture");
    stage.show(stage.render(ViewId::PICTURE));
    assert_eq!(stage.headline(), None);
    stage.press(Modifiers::NONE, Key::ArrowRight);
    stage.fail(stage.render(ViewId::PICTURE), "the picture is not finite");
    stage.click("Dismiss");
    assert_eq!(stage.headline(), None);
}

fn project_of(example: Example, folder: &Path) -> (PathBuf, Project) {
    let info = &known(example).info;
    let mut edit = info.start(4321);
    edit.truncation = Default::default();
    let project = Project::new(info, "gone.pth".into(), edit, DirectionNames::default());
    let path = folder.join("edit.json");
    std::fs::write(&path, project.to_json()).unwrap();
    (path, project)
}

/// Until a file is read by its thread.
#[track_caller]
fn wait_for(stage: &mut Stage, is_there: impl Fn(&Stage) -> bool) {
    for _ in 0..2000 {
        stage.window.step();
        if is_there(stage) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("waited in vain");
}

/// W2: "Open that model, and the edit follows" is true.
#[test]
fn an_edit_waits_until_its_model_is_opened_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let (path, project) = project_of(Example::Faces, folder.path());
    let (mut stage, before) = Stage::edited([path, broken(), broken()]);
    stage.press(Modifiers::COMMAND, Key::O);
    let is_opening = |stage: &Stage| matches!(stage.script.0.borrow().sent.last(), Some((_, Job::Open { .. })));
    wait_for(&mut stage, is_opening);
    stage.fail(stage.opening(), "gone.pth is gone");
    assert_eq!(stage.headline(), Some("gone.pth is gone"));
    assert!(stage.says("Open that model, and the edit follows."));
    assert_eq!(stage.edit(), before);
    // Another model than the edit's: it waits on.
    stage.press(Modifiers::COMMAND, Key::O);
    stage.open_as(stage.opening(), Example::ToyHeads);
    stage.answer_all();
    assert!(stage.says("Open that model, and the edit follows."));
    stage.press(Modifiers::COMMAND, Key::O);
    stage.open_as(stage.opening(), Example::Faces);
    assert_eq!(stage.edit(), project.edit);
    assert!(!stage.says("and the edit follows"));
}

#[test]
fn an_edit_that_waits_can_be_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let (path, project) = project_of(Example::Faces, folder.path());
    let mut stage = Stage::new(Source::File(path), [broken()], None);
    let is_opening = |stage: &Stage| matches!(stage.script.0.borrow().sent.last(), Some((_, Job::Open { .. })));
    wait_for(&mut stage, is_opening);
    stage.say(stage.opening(), EventKind::Cancelled);
    assert!(stage.says("Open that model, and the edit follows."));
    stage.click("Drop the edit");
    assert!(!stage.says("and the edit follows"));
    stage.press(Modifiers::COMMAND, Key::O);
    stage.open_as(stage.opening(), Example::Faces);
    assert_ne!(stage.edit(), project.edit);
}

/// Several tasks at once: each is cancelled by itself, and each has its own end.
#[test]
fn tasks_are_listed_and_cancelled_one_by_one() {
    let (mut stage, before) = Stage::edited(["a.png", "b.png", "c.png"].map(PathBuf::from));
    let tasks = [(); 3].map(|()| stage.export());
    stage.click("3 tasks");
    assert!(stage.says("Exporting a.png") && stage.says("Exporting c.png"));
    stage.click("Cancel Exporting b.png");
    assert_eq!(stage.script.0.borrow().cancelled, [tasks[1]]);
    stage.say(tasks[1], EventKind::Cancelled);
    let rendering = |done| EventKind::Progress(Progress { stage: "rendering".into(), done, total: 7 });
    stage.say(tasks[0], EventKind::Done(Outcome::Written("a.png".into())));
    assert!(stage.says("Exported a.png"));
    stage.say(tasks[2], rendering(3));
    assert!(stage.says("Exporting c.png: rendering 3 of 7"));
    stage.fail(tasks[2], "cannot write c.png");
    assert_eq!(stage.headline(), Some("cannot write c.png"));
    assert!(!stage.says("Exporting"));
    assert_eq!(stage.edit(), before);
}

/// W15: wherever the thread dies, the window says so, keeps the document, and starts again.
#[test]
fn an_engine_that_stops_is_started_again_and_the_edit_stays() {
    let stopped = || EventKind::Stopped(Failure { headline: "The engine stopped".into(), causes: vec!["why".into()] });
    for during in ["rest", "store", "open", "render", "task"] {
        let (mut stage, before) = Stage::edited([broken()]);
        match during {
            "store" => stage.choose_half_precision(),
            "open" => stage.press(Modifiers::COMMAND, Key::O),
            "task" => _ = stage.export(),
            "render" => {
                stage.press(Modifiers::NONE, Key::ArrowRight);
                stage.press(Modifiers::COMMAND, Key::Z);
            }
            _ => {}
        }
        let lost: Vec<JobId> = {
            let script = stage.script.0.borrow();
            script.sent.iter().map(|(id, _)| *id).filter(|id| !script.answered.contains(id)).collect()
        };
        stage.script.0.borrow_mut().has_ended = true;
        stage.say_later(JobId::THREAD, stopped());
        lost.into_iter().for_each(|job| stage.say_later(job, EventKind::Cancelled));
        stage.window.run_steps(3);
        assert!(stage.says("The engine stopped"), "{during}");
        assert_eq!(stage.edit(), before, "{during}");
        let sent = stage.sent();
        stage.window.run_steps(10);
        assert_eq!(stage.sent(), sent, "{during}: something is asked of nobody");
        stage.click("Start again");
        assert_eq!(stage.script.0.borrow().starts, 2);
        assert!(!stage.says("Start again"));
        let again: Vec<JobId> = {
            let script = stage.script.0.borrow();
            script.sent[sent..].iter().filter(|(_, job)| matches!(job, Job::Open { .. })).map(|(id, _)| *id).collect()
        };
        assert_eq!(again.len(), if during == "open" { 2 } else { 1 }, "{during}");
        stage.open_as(again[0], Example::ToyHeads);
        if during == "open" {
            stage.fail(again[1], "this is no model");
        }
        let picture = stage.render(ViewId::PICTURE);
        assert_eq!(stage.model_of(picture), Some(ModelId::opened_by(again[0])), "{during}");
        stage.assert_untouched(&before);
    }
}

/// It dies before anything is open: what it was to open is opened by the next one.
#[test]
fn an_engine_that_never_started_is_started_again() {
    let mut stage = Stage::new(Source::Example(Example::Faces), [], Some(Precision::F16));
    let (store, opening) = (stage.store(), stage.opening());
    stage.say_later(JobId::THREAD, EventKind::Stopped(Failure::new("The engine stopped")));
    stage.say_later(store, EventKind::Cancelled);
    stage.say_later(opening, EventKind::Cancelled);
    stage.window.run_steps(3);
    stage.click("Start again");
    assert_ne!(stage.store(), store, "the precision is asked for again");
    let again = stage.opening();
    stage.open_as(again, Example::Faces);
    assert_eq!(stage.window.state().model(), Some(&*known(Example::Faces).info));
}

/// A flood of answers within one frame of the window: the newest counts.
#[test]
fn ten_thousand_answers_within_one_frame_leave_the_newest() {
    let (mut stage, _) = Stage::edited([]);
    stage.press(Modifiers::NONE, Key::ArrowRight);
    let picture = stage.render(ViewId::PICTURE);
    let (preview, exact) = (stage.frame(picture, false), stage.frame(picture, true));
    for _ in 0..10_000 {
        stage.say_later(JobId::fresh(), EventKind::Superseded);
        stage.say_later(picture, preview.clone());
    }
    stage.say(picture, exact);
    assert!(stage.window.state().frame().unwrap().is_exact);
    assert_eq!(stage.window.state().shown_edit(), Some(&stage.edit()));
    let Code::Seed(seed) = stage.edit().sample.code else { panic!("no seed") };
    assert_eq!(seed.number, Example::ToyHeads.first_seed() + 2);
}

/// The menu shows how the device stores, whatever was asked for: it may have no f16, or be lost.
#[test]
fn the_menu_shows_the_precision_that_the_device_says() {
    let (mut stage, _) = Stage::edited([]);
    let says = |stage: &mut Stage, precision| {
        let facts = DeviceFacts { label: "a device".into(), note: None, precision };
        stage.script.0.borrow_mut().events.push(Event { job: JobId::THREAD, kind: EventKind::Device(facts) });
        stage.window.run_steps(2);
    };
    let is_on = |stage: &mut Stage| {
        stage.click("Model");
        let entry = stage.window.get_by_label_contains("Half precision on the GPU");
        let toggled = entry.accesskit_node().toggled();
        stage.press(Modifiers::NONE, Key::Escape);
        toggled == Some(Toggled::True)
    };
    assert!(!is_on(&mut stage));
    stage.choose_half_precision();
    assert!(!is_on(&mut stage), "asked for, but not yet so");
    says(&mut stage, Precision::F16);
    assert!(is_on(&mut stage));
    says(&mut stage, Precision::F32);
    assert!(!is_on(&mut stage), "the GPU was lost, and the CPU goes on");
}
