use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::edit::{Code, Edit, LayerSet, Seed, Weighting};
use crate::gpu::Precision;
use crate::render::{Engine, Example, Source};
use crate::tasks::{Step, Task, TaskError};

/// A task that is never run here.
struct Idle;

impl Task for Idle {
    fn name(&self) -> String {
        "Idling".into()
    }

    fn step(&mut self, _: &mut Engine) -> Result<Step, TaskError> {
        unreachable!("queues run nothing")
    }
}

fn edit(seed: u64) -> Edit {
    let mut edit = Edit::default();
    edit.sample.code = Code::Seed(Seed::studio(seed));
    edit
}

fn render(model: ModelId, view: ViewId, seed: u64) -> Job {
    Job::Render { model, view, edit: edit(seed) }
}

fn factorize(model: ModelId, last: usize) -> Job {
    Job::Factorize { model, layers: LayerSet::range(0, last), weighting: Weighting::RowNormalised }
}

fn open() -> Job {
    Job::Open { source: Source::Example(Example::ToyHeads), recipe: None }
}

fn run(model: ModelId) -> Job {
    Job::Run { model, task: Box::new(Idle) }
}

fn tiles(model: ModelId, count: u64) -> Job {
    let wanted = (0..count).map(edit).collect();
    Job::Tiles { model, base: ViewId::PICTURE, side: 64, exact: false, wanted }
}

const OTHER: ViewId = ViewId(7);

fn push(queue: &mut Queue, job: Job) -> JobId {
    let id = JobId::fresh();
    queue.push(id, job);
    id
}

fn next(queue: &mut Queue) -> Option<JobId> {
    queue.next().map(|work| work.id)
}

/// Takes the next job and says that it is done.
fn do_next(queue: &mut Queue) -> Option<JobId> {
    let id = next(queue)?;
    queue.done(id);
    Some(id)
}

fn opened(queue: &mut Queue) -> ModelId {
    let id = push(queue, open());
    assert_eq!(next(queue), Some(id));
    assert!(queue.opened(id));
    ModelId::opened_by(id)
}

/// A queue with an open model.
fn with_model() -> (Queue, ModelId) {
    let mut queue = Queue::default();
    let model = opened(&mut queue);
    (queue, model)
}

fn answers(queue: &mut Queue) -> Vec<(JobId, &'static str)> {
    let name = |kind: &EventKind| match kind {
        EventKind::Superseded => "superseded",
        EventKind::Cancelled => "cancelled",
        EventKind::Failed(_) => "failed",
        other => panic!("{other:?} is no answer of a queue"),
    };
    queue.take_answers().iter().map(|event| (event.job, name(&event.kind))).collect()
}

#[test]
fn the_picture_under_the_hand_comes_first_and_tasks_last() {
    let (mut queue, model) = with_model();
    let task = push(&mut queue, run(model));
    let small = push(&mut queue, tiles(model, 3));
    let opening = push(&mut queue, open());
    let other = push(&mut queue, render(model, OTHER, 1));
    let directions = push(&mut queue, factorize(model, 1));
    let picture = push(&mut queue, render(model, ViewId::PICTURE, 1));
    assert_eq!([picture, directions, other].map(Some), [(); 3].map(|()| do_next(&mut queue)));
    assert_eq!(next(&mut queue), Some(opening));
    assert!(!queue.done(opening));
    assert_eq!([small, task].map(Some), [(); 2].map(|()| next(&mut queue)));
    assert!(answers(&mut queue).is_empty());
}

#[test]
fn whichever_view_is_looked_at_comes_first() {
    let (mut queue, model) = with_model();
    let picture = push(&mut queue, render(model, ViewId::PICTURE, 1));
    let other = push(&mut queue, render(model, OTHER, 1));
    queue.look_at(OTHER);
    assert!(queue.hurries(ViewId::COMPARISON), "the view that is looked at waits");
    assert_eq!([other, picture].map(Some), [(); 2].map(|()| do_next(&mut queue)));
    assert!(!queue.hurries(ViewId::COMPARISON));
}

#[test]
fn of_a_view_only_the_newest_edit_counts() {
    let (mut queue, model) = with_model();
    let first = push(&mut queue, render(model, ViewId::PICTURE, 1));
    let other = push(&mut queue, render(model, OTHER, 1));
    let (old, new) = (push(&mut queue, factorize(model, 1)), push(&mut queue, factorize(model, 2)));
    let second = push(&mut queue, render(model, ViewId::PICTURE, 2));
    assert_eq!(answers(&mut queue), [(old, "superseded"), (first, "superseded")]);
    assert_eq!([second, new, other].map(Some), [(); 3].map(|()| do_next(&mut queue)));
    assert!(queue.is_idle());
}

#[test]
fn tiles_that_are_not_wanted_any_more_are_forgotten() {
    let (mut queue, model) = with_model();
    let far = push(&mut queue, tiles(model, 100));
    let near = push(&mut queue, tiles(model, 10));
    assert_eq!(answers(&mut queue), [(far, "superseded")]);
    let work = queue.next().unwrap();
    assert_eq!(work.id, near);
    queue.give_back(work);
    let work = queue.next().unwrap();
    let nothing = push(&mut queue, tiles(model, 0));
    queue.give_back(work);
    assert_eq!(answers(&mut queue), [(near, "superseded")]);
    assert_eq!(do_next(&mut queue), Some(nothing));
}

#[test]
fn models_are_opened_one_after_the_other_in_order() {
    let mut queue = Queue::default();
    let opens = [push(&mut queue, open()), push(&mut queue, Job::Store(Precision::F16)), push(&mut queue, open())];
    for id in opens {
        assert_eq!(next(&mut queue), Some(id));
        assert_eq!(next(&mut queue), None, "two at once");
        assert!(queue.opened(id));
    }
    assert!(answers(&mut queue).is_empty());
}

#[test]
fn what_is_asked_of_a_model_waits_until_it_is_open() {
    let mut queue = Queue::default();
    let opening = push(&mut queue, open());
    let model = ModelId::opened_by(opening);
    let picture = push(&mut queue, render(model, ViewId::PICTURE, 1));
    let task = push(&mut queue, run(model));
    assert_eq!(next(&mut queue), Some(opening));
    assert_eq!(next(&mut queue), None);
    queue.opened(opening);
    assert_eq!([picture, task].map(Some), [(); 2].map(|()| do_next(&mut queue)));

    let opening = push(&mut queue, open());
    let model = ModelId::opened_by(opening);
    let picture = push(&mut queue, render(model, ViewId::PICTURE, 1));
    let task = push(&mut queue, run(model));
    next(&mut queue);
    queue.done(opening);
    assert_eq!(answers(&mut queue), [(picture, "superseded"), (task, "failed")], "it did not open");
    let late = push(&mut queue, render(model, ViewId::PICTURE, 2));
    assert_eq!(answers(&mut queue), [(late, "superseded")]);
    assert!(queue.is_idle());
}

#[test]
fn a_closed_model_keeps_its_tasks_and_loses_everything_else() {
    let (mut queue, before) = with_model();
    let task = push(&mut queue, run(before));
    let running = queue.next().unwrap();
    let second = push(&mut queue, run(before));
    let opening = push(&mut queue, open());
    queue.give_back(running);
    assert_eq!(next(&mut queue), Some(opening));
    let picture = push(&mut queue, render(before, ViewId::PICTURE, 1));
    let directions = push(&mut queue, factorize(before, 1));
    queue.opened(opening);
    assert_eq!(answers(&mut queue), [(picture, "superseded"), (directions, "superseded")]);
    assert!(queue.needs(before));
    assert_eq!([second, task].map(Some), [(); 2].map(|()| do_next(&mut queue)));
    assert!(!queue.needs(before) && queue.needs(ModelId::opened_by(opening)));
    let late = push(&mut queue, run(before));
    assert_eq!(answers(&mut queue), [(late, "failed")]);
}

#[test]
fn tasks_take_turns() {
    let (mut queue, model) = with_model();
    let tasks = [(); 3].map(|()| push(&mut queue, run(model)));
    let mut turns = Vec::new();
    for _ in 0..7 {
        let work = queue.next().unwrap();
        turns.push(work.id);
        queue.give_back(work);
    }
    assert_eq!(turns, [tasks, tasks, [tasks[0]; 3]].concat()[..7]);
}

#[test]
fn a_step_that_makes_room_for_a_picture_keeps_its_turn() {
    let (mut queue, model) = with_model();
    let tasks = [(); 2].map(|()| push(&mut queue, run(model)));
    let mut work = queue.next().unwrap();
    push(&mut queue, open());
    push(&mut queue, tiles(model, 2));
    assert!(!queue.interrupts_steps(), "neither a model nor tiles are waited for by a hand");
    let picture = push(&mut queue, render(model, OTHER, 1));
    assert!(queue.interrupts_steps());
    work.keeps_turn = true;
    queue.give_back(work);
    assert_eq!(do_next(&mut queue), Some(picture));
    assert!(!queue.interrupts_steps());
    (0..2).for_each(|_| _ = do_next(&mut queue));
    let work = queue.next().unwrap();
    assert_eq!(work.id, tasks[0]);
    queue.give_back(work);
    let work = queue.next().unwrap();
    assert_eq!(work.id, tasks[1], "once is enough");
    queue.cancel(tasks[1]);
    assert!(queue.interrupts_steps(), "what is cancelled ends soon");
}

#[test]
fn cancel_stops_one_job_wherever_it_is() {
    let (mut queue, model) = with_model();
    // One that waits, behind another.
    let (first, second) = (push(&mut queue, open()), push(&mut queue, open()));
    queue.cancel(second);
    assert_eq!(answers(&mut queue), [(second, "cancelled")]);
    // One that runs: it is told, and nobody else.
    let work = queue.next().unwrap();
    let third = push(&mut queue, open());
    queue.cancel(first);
    assert!(work.cancel.is_cancelled());
    assert!(!queue.opened(first), "the model that was open stays");
    assert!(queue.needs(model));
    // One that is done: the next one does not know.
    queue.cancel(first);
    let work = queue.next().unwrap();
    assert_eq!(work.id, third);
    assert!(!work.cancel.is_cancelled());
    assert!(queue.opened(third));
    // A task between two steps, and one within a step.
    let model = ModelId::opened_by(third);
    let task = push(&mut queue, run(model));
    let work = queue.next().unwrap();
    queue.give_back(work);
    queue.cancel(task);
    assert_eq!(answers(&mut queue), [(task, "cancelled")]);
    let task = push(&mut queue, run(model));
    let work = queue.next().unwrap();
    queue.cancel(task);
    queue.give_back(work);
    assert_eq!(answers(&mut queue), [(task, "cancelled")]);
    // One that never was.
    queue.cancel(JobId::fresh());
    assert!(answers(&mut queue).is_empty() && queue.is_idle());
}

#[test]
fn a_preview_goes_on_unless_something_newer_came() {
    let (mut queue, model) = with_model();
    let old = push(&mut queue, render(model, ViewId::PICTURE, 1));
    let work = queue.next().unwrap();
    assert!(!queue.has_newer(ViewId::PICTURE));
    let new = push(&mut queue, render(model, ViewId::PICTURE, 2));
    assert!(queue.has_newer(ViewId::PICTURE) && queue.hurries(OTHER));
    queue.give_back(work);
    assert_eq!(answers(&mut queue), [(old, "superseded")]);
    let other = push(&mut queue, render(model, OTHER, 1));
    let mut work = queue.next().unwrap();
    assert_eq!(work.id, new);
    work.begun = Some(Begun { at: Instant::now(), stages_run: 3 });
    queue.give_back(work);
    let work = queue.next().unwrap();
    assert_eq!((work.id, work.begun.map(|begun| begun.stages_run)), (new, Some(3)));
    queue.done(new);
    assert_eq!(do_next(&mut queue), Some(other));
}

#[test]
fn while_a_model_is_opened_only_pictures_and_directions_of_the_one_before_are_made() {
    let (mut queue, model) = with_model();
    let opening = push(&mut queue, open());
    next(&mut queue);
    let task = push(&mut queue, run(model));
    let store = push(&mut queue, Job::Store(Precision::F16));
    let picture = push(&mut queue, render(model, ViewId::PICTURE, 1));
    let directions = push(&mut queue, factorize(model, 1));
    for expected in [Some(picture), Some(directions), None] {
        let work = queue.next_while_opening();
        assert_eq!(work.map(|work| work.id), expected);
        expected.map(|id| queue.done(id));
    }
    queue.done(opening);
    assert_eq!([store, task].map(Some), [(); 2].map(|()| do_next(&mut queue)));
}

#[test]
fn ten_thousand_quick_edits_leave_one_of_each_view() {
    let (mut queue, model) = with_model();
    let mut last = [JobId::THREAD; 3];
    for seed in 0..10_000 {
        last[0] = push(&mut queue, render(model, ViewId::PICTURE, seed));
        last[1] = push(&mut queue, render(model, OTHER, seed));
        last[2] = push(&mut queue, factorize(model, seed as usize % 5));
        assert!(queue.waiting.len() <= 3);
        assert_eq!(queue.take_answers().len(), if seed == 0 { 0 } else { 3 });
    }
    assert_eq!([last[0], last[2], last[1]].map(Some), [(); 3].map(|()| do_next(&mut queue)));
}

#[test]
fn an_end_answers_everything() {
    let (mut queue, model) = with_model();
    let jobs = [push(&mut queue, render(model, OTHER, 1)), push(&mut queue, run(model)), push(&mut queue, open())];
    let running = queue.next().unwrap();
    queue.abandon();
    assert!(queue.is_idle() && running.cancel.is_cancelled());
    let answered: HashSet<JobId> = answers(&mut queue).into_iter().map(|(job, _)| job).collect();
    assert_eq!(answered, HashSet::from(jobs));
}

/// Something that happens to a queue.
#[derive(Clone, Debug)]
enum Happening {
    Render {
        view: u32,
        of_newest: bool,
    },
    Factorize,
    Tiles,
    Open,
    Run {
        of_newest: bool,
    },
    /// The job pushed so many before the last one.
    Cancel(usize),
    LookAt(u32),
    Take,
    /// The job that was taken first and is not done: it goes on.
    GiveBack,
    Finish {
        well: bool,
    },
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (0..3_u32, any::<bool>()).prop_map(|(view, of_newest)| Happening::Render { view, of_newest }),
        1 => Just(Happening::Factorize),
        1 => Just(Happening::Tiles),
        1 => Just(Happening::Open),
        2 => any::<bool>().prop_map(|of_newest| Happening::Run { of_newest }),
        2 => (0..8_usize).prop_map(Happening::Cancel),
        1 => (0..3_u32).prop_map(Happening::LookAt),
        4 => Just(Happening::Take),
        2 => Just(Happening::GiveBack),
        4 => any::<bool>().prop_map(|well| Happening::Finish { well }),
    ]
}

/// A queue beside what it must not forget.
#[derive(Default)]
struct Watched {
    queue: Queue,
    /// Every job in its order; renders with model and view, openings with `None`.
    pushed: Vec<JobId>,
    renders: HashMap<JobId, (ModelId, ViewId)>,
    opens: Vec<JobId>,
    /// Cancelled before they were answered.
    cancelled: HashSet<JobId>,
    answered: HashMap<JobId, &'static str>,
    begun_opens: Vec<JobId>,
    taken: VecDeque<Work>,
    open: Option<ModelId>,
}

impl Watched {
    fn push(&mut self, job: Job) {
        let id = JobId::fresh();
        self.pushed.push(id);
        match &job {
            Job::Render { model, view, .. } => _ = self.renders.insert(id, (*model, *view)),
            Job::Open { .. } => self.opens.push(id),
            _ => {}
        }
        self.queue.push(id, job);
    }

    /// The model that is open, or the one that is opened last.
    fn model(&self, newest: bool) -> Option<ModelId> {
        let last = self.opens.last().map(|&id| ModelId::opened_by(id));
        if newest { last } else { self.open.or(last) }
    }

    fn answer(&mut self, id: JobId, answer: &'static str) {
        let before = self.answered.insert(id, answer);
        assert_eq!(before, None, "two answers to {id:?}");
        assert!(answer == "cancelled" || !self.cancelled.contains(&id), "{answer} to a cancelled job");
    }

    fn take_answers(&mut self) {
        for (id, answer) in answers(&mut self.queue) {
            self.answer(id, answer);
        }
    }

    /// The newest edits of the view under the hand that nobody has begun.
    fn waits_under_the_hand(&self) -> bool {
        let hand = self.queue.hand();
        let is_free = |id: &JobId| !self.answered.contains_key(id) && self.taken.iter().all(|work| work.id != *id);
        self.renders.iter().any(|(id, (model, view))| Some(*model) == self.open && *view == hand && is_free(id))
    }

    fn take(&mut self) {
        let is_awaited = self.waits_under_the_hand();
        let Some(work) = self.queue.next() else {
            assert!(!is_awaited, "a picture under the hand was not made");
            return;
        };
        let view = self.renders.get(&work.id).map(|(_, view)| *view);
        assert!(!is_awaited || view == Some(self.queue.hand()), "something came before the picture under the hand");
        if work.job.opens() && self.begun_opens.last() != Some(&work.id) {
            self.begun_opens.push(work.id);
        }
        self.taken.push_back(work);
    }

    fn finish(&mut self, well: bool) {
        let Some(work) = self.taken.pop_front() else { return };
        let (id, opens) = (work.id, work.job.opens());
        let is_cancelled = if opens && well { !self.queue.opened(id) } else { self.queue.done(id) };
        assert_eq!(is_cancelled, self.cancelled.contains(&id));
        if opens && well && !is_cancelled {
            self.open = Some(ModelId::opened_by(id));
        }
        self.answer(id, if is_cancelled { "cancelled" } else { "done" });
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Render { view, of_newest } => {
                if let Some(model) = self.model(of_newest) {
                    self.push(render(model, ViewId(view), 0));
                }
            }
            Happening::Factorize => {
                if let Some(model) = self.model(false) {
                    self.push(factorize(model, 1));
                }
            }
            Happening::Tiles => {
                if let Some(model) = self.model(false) {
                    self.push(tiles(model, 3));
                }
            }
            Happening::Run { of_newest } => {
                if let Some(model) = self.model(of_newest) {
                    self.push(run(model));
                }
            }
            Happening::Open => self.push(open()),
            Happening::Cancel(back) => {
                if let Some(&id) = self.pushed.iter().rev().nth(back) {
                    if !self.answered.contains_key(&id) {
                        self.cancelled.insert(id);
                    }
                    self.queue.cancel(id);
                }
            }
            Happening::LookAt(view) => self.queue.look_at(ViewId(view)),
            Happening::Take => self.take(),
            Happening::GiveBack => {
                if let Some(work) = self.taken.pop_front() {
                    self.queue.give_back(work);
                }
            }
            Happening::Finish { well } => self.finish(well),
        }
        self.take_answers();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_lost_and_nothing_is_answered_twice(happenings in prop::collection::vec(happening(), 1..120)) {
        let mut watched = Watched::default();
        happenings.into_iter().for_each(|happening| watched.happen(happening));
        // Everything that is left is done, well.
        loop {
            watched.happen(Happening::Take);
            if watched.taken.is_empty() {
                break;
            }
            watched.happen(Happening::Finish { well: true });
        }
        prop_assert!(watched.queue.is_idle());
        for id in &watched.pushed {
            prop_assert!(watched.answered.contains_key(id), "no answer to {id:?}");
        }
        // Of each view of the open model the newest edit was made, unless it was cancelled.
        for (view, model) in (0..3).map(ViewId).zip(watched.open.into_iter().cycle()) {
            let asked = |id: &&JobId| watched.renders.get(*id) == Some(&(model, view));
            if let Some(newest) = watched.pushed.iter().rev().find(asked) {
                let expected = if watched.cancelled.contains(newest) { "cancelled" } else { "done" };
                prop_assert_eq!(watched.answered[newest], expected);
            }
        }
        // Models were opened in the order in which they were asked for.
        let mut asked = watched.opens.iter();
        prop_assert!(watched.begun_opens.iter().all(|begun| asked.any(|id| id == begun)));
    }
}

#[test]
fn of_two_that_are_given_back_the_newer_one_stays() {
    let mut queue = Queue::default();
    let (model, ids) = (ModelId::opened_by(JobId::fresh()), [JobId::fresh(), JobId::fresh()]);
    queue.open = Some(model);
    let mut taken = Vec::new();
    for id in ids {
        queue.push(id, render(model, ViewId::PICTURE, 0));
        taken.push(queue.next().unwrap());
    }
    taken.into_iter().for_each(|work| queue.give_back(work));
    let answers: Vec<JobId> = queue.take_answers().into_iter().map(|answer| answer.job).collect();
    assert_eq!((answers, queue.next().unwrap().id), (vec![ids[0]], ids[1]));
}
