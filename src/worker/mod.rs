//! The one thread that owns tensors: [`Job`] in, [`Event`] out.
//!
//! ```text
//!  window --send(Job)--> Queue --next()--> thread: Engine --Event--> window
//!           cancel(JobId) '                  '-- one step of a Task, then back to the queue
//! ```
//!
//! [`Queue`] is a plain value that says what is next and what has become pointless: the newest edit of the view under the
//! hand comes before everything else, a step of a [`Task`](crate::tasks::Task) after everything else, and it makes room for
//! a picture between two stages of its own. While a newer edit
//! waits, or the hand that makes them holds a slider, a slow render shows the smaller picture that the network has on its way
//! and goes on later; the newest edit is always rendered to the end. While a model is opened, pictures of the one before
//! are made between its parts.
//!
//! Where to add things: another kind of **long work** is a task in [`crate::tasks`]; another **view** is a
//! [`ViewId`] and nothing here.

mod protocol;
mod queue;
mod shared;
mod thread;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration;

pub use protocol::{DeviceFacts, Event, EventKind, Job, JobId, ModelId};
pub use queue::{Begun, Queue, Work};

use crate::gpu::RenderDevice;
use crate::render::ViewId;
use shared::Shared;

/// Whoever does the work of a window: [`Worker`], or in tests a script.
pub trait Background {
    /// Never waits. The job's events carry what is returned.
    fn send(&self, job: Job) -> JobId;
    /// Stops one job, wherever it is; one that is done already is left alone, and so is every other.
    fn cancel(&self, job: JobId);
    /// Everything that happened since the last call. If that is nothing, waits that long for a first event.
    fn events(&self, patience: Duration) -> Vec<Event>;
    /// Tells whether the user holds a slider, or whatever else makes one edit after the other.
    fn expect_edits(&self, held: bool);
    /// Pictures of this view come first from now on; at the start it is [`ViewId::PICTURE`].
    fn look_at(&self, view: ViewId);
    /// True if no job waits or runs.
    fn is_idle(&self) -> bool;
    /// False once the thread has ended by itself: jobs are answered with [`EventKind::Cancelled`] then.
    fn is_alive(&self) -> bool;
}

/// Called after events, from any thread.
pub type Wake = Box<dyn Fn() + Send + Sync>;
/// Starts a background; again if the one before has ended.
pub type StartBackground = Box<dyn Fn(Wake) -> std::io::Result<Box<dyn Background>>>;

/// Handle of the thread. Dropping it stops everything; a step that takes long is not waited for.
pub struct Worker {
    shared: Arc<Shared>,
    events: Receiver<Event>,
    thread: Option<JoinHandle<()>>,
}

/// How long a closed window waits for the thread to stop at its next report.
const GOODBYE: Duration = Duration::from_millis(500);

impl Worker {
    /// Starts the thread. `device` opens the device there; `wake` is called after events.
    ///
    /// # Errors
    /// The system can start no thread.
    pub fn spawn(
        device: impl FnOnce() -> RenderDevice + Send + 'static,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let (outbox, events) = mpsc::channel();
        let shared = Arc::new(Shared::new(outbox, Box::new(wake)));
        let its = shared.clone();
        let thread = std::thread::Builder::new().name("engine".into()).spawn(move || thread::run(device, &its))?;
        Ok(Worker { shared, events, thread: Some(thread) })
    }
}

impl Worker {
    /// Starts threads on this device, one each time that it is asked.
    pub fn starter(device: impl Fn() -> RenderDevice + Clone + Send + 'static) -> StartBackground {
        Box::new(move |wake| Ok(Box::new(Worker::spawn(device.clone(), wake)?)))
    }
}

impl Background for Worker {
    fn send(&self, job: Job) -> JobId {
        self.shared.push(job)
    }

    fn cancel(&self, job: JobId) {
        self.shared.cancel(job);
    }

    fn events(&self, patience: Duration) -> Vec<Event> {
        let first = if patience.is_zero() { None } else { self.events.recv_timeout(patience).ok() };
        first.into_iter().chain(self.events.try_iter()).collect()
    }

    fn expect_edits(&self, held: bool) {
        self.shared.expect_edits(held);
    }

    fn look_at(&self, view: ViewId) {
        self.shared.look_at(view);
    }

    fn is_idle(&self) -> bool {
        self.shared.is_idle()
    }

    fn is_alive(&self) -> bool {
        self.shared.is_alive()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // What does not stop by then ends with the program; files appear whole or not at all.
        if self.shared.stop(GOODBYE)
            && let Some(thread) = self.thread.take()
        {
            // A panic there was reported when it happened.
            let _ = thread.join();
        }
    }
}
