//! What the handle and the thread share: the queue, and the way out for events.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::protocol::{DeviceFacts, Event, EventKind, Job, JobId, ModelId};
use super::queue::{Queue, Work};
use crate::failure::Failure;
use crate::render::ViewId;

/// After a preview, how long a held slider may take to send its newest edit; the rest of the old one would only delay it.
const NEWER_WITHIN: Duration = Duration::from_millis(17);

/// What the handle and the thread share.
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    outbox: Sender<Event>,
    wake: Box<dyn Fn() + Send + Sync>,
    /// A slider is held: more edits are to be expected.
    is_held: AtomicBool,
}

#[derive(Default)]
struct State {
    queue: Queue,
    /// The window is closed.
    is_stopping: bool,
    /// The thread is gone.
    has_ended: bool,
}

impl Shared {
    pub(super) fn new(outbox: Sender<Event>, wake: Box<dyn Fn() + Send + Sync>) -> Self {
        let is_held = AtomicBool::new(false);
        Shared { state: Mutex::default(), changed: Condvar::new(), outbox, wake, is_held }
    }

    /// A panic while the lock was held left a queue that is whole: no method of it stops halfway.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, job: Job) -> JobId {
        let id = JobId::fresh();
        let mut is_lost = false;
        self.change(|state| {
            is_lost = state.has_ended || state.is_stopping;
            if !is_lost {
                state.queue.push(id, job);
            }
        });
        if is_lost {
            self.say(id, EventKind::Cancelled);
        }
        id
    }

    pub(super) fn cancel(&self, id: JobId) {
        self.change(|state| state.queue.cancel(id));
    }

    pub(super) fn look_at(&self, view: ViewId) {
        self.state().queue.look_at(view);
    }

    pub(super) fn expect_edits(&self, held: bool) {
        self.is_held.store(held, Ordering::SeqCst);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.state().queue.is_idle()
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.state().has_ended
    }

    /// Stops everything and waits that long for the thread. False if it is still busy.
    pub(super) fn stop(&self, patience: Duration) -> bool {
        self.change(|state| {
            state.is_stopping = true;
            state.queue.cancel_all();
        });
        let waited = self.changed.wait_timeout_while(self.state(), patience, |state| !state.has_ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.has_ended
    }

    /// Changes the state and sends the answers to what was dropped by it.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let answers = state.queue.take_answers();
        // Nobody waits for the news that something became pointless.
        let wakes = answers.iter().any(|answer| !matches!(answer.kind, EventKind::Superseded));
        answers.into_iter().for_each(|answer| self.post(answer));
        drop(state);
        self.changed.notify_all();
        if wakes {
            (self.wake)();
        }
    }

    fn post(&self, event: Event) {
        // The window may be gone already; then nobody wants the event.
        let _ = self.outbox.send(event);
    }

    /// Says something about a job that is not its last word.
    pub(super) fn say(&self, job: JobId, kind: EventKind) {
        self.post(Event { job, kind });
        (self.wake)();
    }

    /// The last word about a job; that it was cancelled meanwhile comes before everything else.
    pub(super) fn finish(&self, job: JobId, kind: EventKind) {
        self.change(|state| {
            let kind = if state.queue.done(job) { EventKind::Cancelled } else { kind };
            self.post(Event { job, kind });
        });
        (self.wake)();
    }

    pub(super) fn give_back(&self, work: Work) {
        self.change(|state| state.queue.give_back(work));
    }

    /// Waits for work; `None` when the window is closed.
    pub(super) fn next(&self) -> Option<Work> {
        let mut state = self.state();
        loop {
            if state.is_stopping {
                return None;
            }
            if let Some(work) = state.queue.next() {
                return Some(work);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn next_while_opening(&self) -> Option<Work> {
        self.state().queue.next_while_opening()
    }

    /// True if a step of a task should end soon.
    pub(super) fn interrupts_steps(&self) -> bool {
        self.state().queue.interrupts_steps()
    }

    /// True if a render should end with the picture that it has by now, which is `old` already.
    pub(super) fn hurries(&self, view: ViewId) -> bool {
        let state = self.state();
        state.queue.hurries(view) || self.is_held.load(Ordering::SeqCst) && state.queue.hand() == view
    }

    /// Gives a held slider the time to send its newest edit.
    pub(super) fn wait_for_newer(&self, view: ViewId) {
        if self.is_held.load(Ordering::SeqCst) {
            let is_waiting = |state: &mut State| !state.is_stopping && !state.queue.has_newer(view);
            drop(self.changed.wait_timeout_while(self.state(), NEWER_WITHIN, is_waiting));
        }
    }

    /// The last word about an opening. False if it was cancelled meanwhile: then the model that was open stays. `device`: that of
    /// the new model, if it is another one; whoever sees the model knows its device.
    pub(super) fn finish_opening(&self, job: JobId, opened: EventKind, device: Option<DeviceFacts>) -> bool {
        let mut is_open = false;
        self.change(|state| {
            is_open = state.queue.opened(job);
            if let Some(device) = device.filter(|_| is_open) {
                self.post(Event { job: JobId::THREAD, kind: EventKind::Device(device) });
            }
            self.post(Event { job, kind: if is_open { opened } else { EventKind::Cancelled } });
        });
        (self.wake)();
        is_open
    }

    pub(super) fn needs(&self, model: ModelId) -> bool {
        self.state().queue.needs(model)
    }

    pub(super) fn ended(&self, failure: Option<Failure>) {
        self.change(|state| {
            state.has_ended = true;
            state.queue.abandon();
            if let Some(failure) = failure {
                self.post(Event { job: JobId::THREAD, kind: EventKind::Stopped(failure) });
            }
        });
        (self.wake)();
    }
}
