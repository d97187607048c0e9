//! What waits, and what is next: a plain value without threads or clocks.

use std::collections::VecDeque;
use std::time::Instant;

use super::protocol::{Event, EventKind, Job, JobId, ModelId};
use crate::failure::Failure;
use crate::progress::CancelToken;
use crate::render::ViewId;

/// A job with what has become of it so far.
#[derive(Debug)]
pub struct Work {
    pub id: JobId,
    pub job: Job,
    pub cancel: CancelToken,
    /// Of a render that has shown a preview.
    pub begun: Option<Begun>,
    /// A step that was interrupted: it goes on before other tasks have their turn.
    pub keeps_turn: bool,
}

/// A render that goes on: its time and its stages are those of all its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    pub at: Instant,
    pub stages_run: usize,
}

/// The order in which kinds of work are taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// The view that is looked at and edited.
    Hand,
    Directions,
    OtherView,
    Opening,
    Tiles,
    Step,
}

/// Jobs that wait or run. Each one that was pushed is answered once: by whoever takes it, or, if it is dropped, in
/// [`Queue::take_answers`].
#[derive(Debug)]
pub struct Queue {
    /// In the order in which they came; unfinished tasks go to the end, so that they take turns.
    waiting: VecDeque<Work>,
    running: Vec<Running>,
    open: Option<ModelId>,
    /// Models that were open before, whose tasks are not done yet.
    kept: Vec<ModelId>,
    hand: ViewId,
    answers: Vec<Event>,
}

#[derive(Debug)]
struct Running {
    id: JobId,
    cancel: CancelToken,
    opens: bool,
    /// The model, if it is a task.
    task_of: Option<ModelId>,
}

impl Default for Queue {
    fn default() -> Self {
        Queue {
            waiting: VecDeque::new(),
            running: Vec::new(),
            open: None,
            kept: Vec::new(),
            hand: ViewId::PICTURE,
            answers: Vec::new(),
        }
    }
}

impl Queue {
    /// Adds a job. Those that it makes pointless are dropped.
    pub fn push(&mut self, id: JobId, job: Job) {
        self.drop_waiting(|other| replaces(&job, &other.job).then_some(EventKind::Superseded));
        self.waiting.push_back(Work { id, job, cancel: CancelToken::default(), begun: None, keeps_turn: false });
        self.drop_orphans();
    }

    /// Stops one job: one that waits is dropped, one that runs is told.
    pub fn cancel(&mut self, id: JobId) {
        self.drop_waiting(|work| (work.id == id).then_some(EventKind::Cancelled));
        self.running.iter().filter(|running| running.id == id).for_each(|running| running.cancel.cancel());
        self.drop_orphans();
    }

    pub fn cancel_all(&mut self) {
        self.drop_waiting(|_| Some(EventKind::Cancelled));
        self.running.iter().for_each(|running| running.cancel.cancel());
    }

    /// The thread is gone: nothing that waits or runs will be done any more.
    pub fn abandon(&mut self) {
        self.cancel_all();
        for running in std::mem::take(&mut self.running) {
            self.answer(running.id, EventKind::Cancelled);
        }
    }

    /// The most urgent job that can be done now; it runs until it is given back or done.
    #[expect(clippy::should_implement_trait, reason = "what is next changes with every push: no iterator")]
    pub fn next(&mut self) -> Option<Work> {
        self.take(Rank::Step)
    }

    /// The same while a model is being opened: pictures and directions of the one that is still open.
    pub fn next_while_opening(&mut self) -> Option<Work> {
        self.take(Rank::OtherView)
    }

    /// What was begun and is not done. It is dropped if something newer has come in its place.
    pub fn give_back(&mut self, work: Work) {
        let is_cancelled = self.end(work.id);
        let is_replaced = self.waiting.iter().any(|other| other.id > work.id && replaces(&other.job, &work.job));
        // An older one may have been given back before.
        self.drop_waiting(|other| {
            (other.id < work.id && replaces(&work.job, &other.job)).then_some(EventKind::Superseded)
        });
        match work.job {
            _ if is_cancelled => self.answer(work.id, EventKind::Cancelled),
            _ if is_replaced => self.answer(work.id, EventKind::Superseded),
            Job::Run { .. } if !work.keeps_turn => self.waiting.push_back(work),
            _ => self.waiting.push_front(work),
        }
        self.drop_orphans();
    }

    /// A job came to its end, whichever. True if it was told to stop.
    pub fn done(&mut self, id: JobId) -> bool {
        let was_cancelled = self.end(id);
        self.drop_orphans();
        was_cancelled
    }

    /// An opening came to its end, and its model takes the place of the open one. Whatever was asked of that one is
    /// dropped, except tasks. False if the opening was told to stop: then nothing changes.
    pub fn opened(&mut self, job: JobId) -> bool {
        let was_cancelled = self.end(job);
        if !was_cancelled {
            self.kept.extend(self.open.replace(ModelId::opened_by(job)));
        }
        self.drop_orphans();
        !was_cancelled
    }

    /// Takes a job off those that run. True if it was told to stop.
    fn end(&mut self, id: JobId) -> bool {
        let position = self.running.iter().position(|running| running.id == id);
        position.is_some_and(|position| self.running.remove(position).cancel.is_cancelled())
    }

    /// True while there is work for a model: it is open, or its tasks are not done.
    pub fn needs(&self, model: ModelId) -> bool {
        self.open == Some(model) || self.kept.contains(&model)
    }

    /// The view whose pictures come before all others.
    pub fn look_at(&mut self, view: ViewId) {
        self.hand = view;
    }

    pub fn hand(&self) -> ViewId {
        self.hand
    }

    /// True if a newer edit of a view waits.
    pub fn has_newer(&self, view: ViewId) -> bool {
        let renders_it = |work: &Work| matches!(work.job, Job::Render { view: other, .. } if other == view);
        self.waiting.iter().any(|work| renders_it(work) && self.is_ready(work))
    }

    /// True if a render of this view should come to an end: a newer edit waits, or one of the view under the hand.
    pub fn hurries(&self, view: ViewId) -> bool {
        self.has_newer(view) || self.has_newer(self.hand)
    }

    /// True if a step of a task or a pass of tiles should end soon: it is cancelled, or a view waits for it.
    pub fn interrupts_steps(&self) -> bool {
        let is_urgent = |work: &Work| self.rank(&work.job) <= Rank::OtherView && self.is_ready(work);
        let is_cancelled = |running: &Running| !running.opens && running.cancel.is_cancelled();
        self.waiting.iter().any(is_urgent) || self.running.iter().any(is_cancelled)
    }

    /// True if nothing waits and nothing runs.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Answers to jobs that were dropped, since the last call.
    pub fn take_answers(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.answers)
    }

    fn take(&mut self, last: Rank) -> Option<Work> {
        let ready = self.waiting.iter().enumerate().filter(|(_, work)| self.is_ready(work));
        let ranked = ready.map(|(position, work)| (self.rank(&work.job), position)).filter(|(rank, _)| *rank <= last);
        let (_, position) = ranked.min()?;
        let mut work = self.waiting.remove(position)?;
        work.keeps_turn = false;
        let task_of = if let Job::Run { model, .. } = &work.job { Some(*model) } else { None };
        let (id, cancel, opens) = (work.id, work.cancel.clone(), work.job.opens());
        self.running.push(Running { id, cancel, opens, task_of });
        Some(work)
    }

    fn rank(&self, job: &Job) -> Rank {
        match job {
            Job::Render { view, .. } if *view == self.hand => Rank::Hand,
            Job::Factorize { .. } => Rank::Directions,
            Job::Render { .. } => Rank::OtherView,
            Job::Store(_) | Job::Open { .. } => Rank::Opening,
            Job::Tiles { .. } => Rank::Tiles,
            Job::Run { .. } => Rank::Step,
        }
    }

    fn is_ready(&self, work: &Work) -> bool {
        match work.job {
            Job::Store(_) | Job::Open { .. } => !self.running.iter().any(|running| running.opens),
            Job::Factorize { model, .. } | Job::Render { model, .. } | Job::Tiles { model, .. } => {
                self.open == Some(model)
            }
            Job::Run { model, .. } => self.needs(model),
        }
    }

    /// True if a model is being opened or will be.
    fn is_awaited(&self, model: ModelId) -> bool {
        let waiting = self.waiting.iter().filter(|work| work.job.opens()).map(|work| work.id);
        let running = self.running.iter().filter(|running| running.opens).map(|running| running.id);
        waiting.chain(running).any(|id| ModelId::opened_by(id) == model)
    }

    /// Drops what was asked of a model that is not there any more, and models that nothing is asked of.
    fn drop_orphans(&mut self) {
        let waiting = self.waiting.iter().filter_map(|work| match work.job {
            Job::Run { model, .. } => Some(model),
            _ => None,
        });
        let busy: Vec<ModelId> = waiting.chain(self.running.iter().filter_map(|running| running.task_of)).collect();
        self.kept.retain(|model| busy.contains(model));
        let models = self.waiting.iter().filter_map(|work| work.job.model());
        let awaited: Vec<ModelId> = models.filter(|&model| self.is_awaited(model)).collect();
        let (open, kept) = (self.open, self.kept.clone());
        self.drop_waiting(|work| {
            let model = work.job.model()?;
            let is_there = open == Some(model) || awaited.contains(&model);
            match &work.job {
                _ if is_there => None,
                Job::Run { .. } if kept.contains(&model) => None,
                Job::Run { task, .. } => {
                    let headline = format!("{}: its model was closed before it began", task.name());
                    Some(EventKind::Failed(Failure::new(headline)))
                }
                _ => Some(EventKind::Superseded),
            }
        });
    }

    /// Drops the waiting jobs for which there is an answer.
    fn drop_waiting(&mut self, mut answer: impl FnMut(&Work) -> Option<EventKind>) {
        let answers = &mut self.answers;
        self.waiting.retain(|work| match answer(work) {
            Some(kind) => {
                answers.push(Event { job: work.id, kind });
                false
            }
            None => true,
        });
    }

    fn answer(&mut self, job: JobId, kind: EventKind) {
        self.answers.push(Event { job, kind });
    }
}

/// True if `newer` makes `older` pointless: it would only be replaced by what it makes.
fn replaces(newer: &Job, older: &Job) -> bool {
    match (newer, older) {
        (Job::Render { model, view, .. }, Job::Render { model: before, view: same, .. }) => {
            (model, view) == (before, same)
        }
        (Job::Factorize { model, .. }, Job::Factorize { model: before, .. })
        | (Job::Tiles { model, .. }, Job::Tiles { model: before, .. }) => model == before,
        _ => false,
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
