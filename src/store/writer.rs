//! A thread for writing, so that no window waits for a disk.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

type Write = Box<dyn FnOnce() + Send>;

/// Writes one file after the other; dropping it waits until all are written.
pub struct Writer {
    queue: Option<Sender<Write>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// # Errors
    /// No thread can be started.
    pub fn start() -> io::Result<Writer> {
        let (queue, writes) = channel::<Write>();
        let run = move || {
            for write in writes {
                // The panic is in the log; what comes after it is written all the same.
                let _ = catch_unwind(AssertUnwindSafe(write));
            }
        };
        let thread = Builder::new().name("writer".into()).spawn(run)?;
        Ok(Writer { queue: Some(queue), thread: Some(thread) })
    }

    /// Waits until all is written; what comes after this is not.
    pub fn finish(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // What panicked in it is in the log.
            let _ = thread.join();
        }
    }

    pub fn write(&self, write: impl FnOnce() + Send + 'static) {
        if let Some(queue) = &self.queue {
            // The thread listens as long as there is a sender.
            let _ = queue.send(Box::new(write));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    #[test]
    fn what_was_handed_over_is_written_in_order_before_the_end() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let writer = Writer::start().unwrap();
        for number in 0..5 {
            let written = written.clone();
            writer.write(move || {
                std::thread::sleep(Duration::from_millis(5));
                assert_ne!(number, 2, "one that panics");
                written.lock().unwrap().push(number);
            });
        }
        drop(writer);
        assert_eq!(*written.lock().unwrap(), [0, 1, 3, 4]);
    }
}
