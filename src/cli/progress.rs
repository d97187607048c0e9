//! A progress bar on the standard error, for work that takes long enough to wonder.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::progress::{Cancelled, Progress};

/// Work that is done by then shows no bar.
const PATIENCE: Duration = Duration::from_millis(500);

/// Shown after half a second, only on a terminal; disappears when dropped.
pub struct Bar {
    bar: ProgressBar,
    /// Makes the bar visible, unless the sender is dropped before.
    curtain: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Bar {
    pub fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let (done, finished) = mpsc::channel();
        let hidden = bar.clone();
        let curtain = thread::spawn(move || {
            if finished.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                hidden.set_draw_target(ProgressDrawTarget::stderr());
                hidden.enable_steady_tick(Duration::from_millis(100));
            }
        });
        let bar = Bar { bar, curtain: Some((done, curtain)) };
        bar.show(Progress { stage: String::new(), done: 0, total: 0 });
        bar
    }

    /// A report for long work. The command line never cancels: Ctrl+C ends the program, and files appear whole or not
    /// at all.
    pub fn report(&mut self) -> impl FnMut(Progress) -> Result<(), Cancelled> {
        |progress| {
            self.show(progress);
            Ok(())
        }
    }

    pub fn show(&self, progress: Progress) {
        let template = match progress.total {
            0 => "{spinner} {msg} {elapsed}",
            _ => "{msg:<20} [{wide_bar}] {percent:>3} % {eta:>4}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
        self.bar.set_message(progress.stage);
        self.bar.set_length(progress.total);
        self.bar.set_position(progress.done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some((done, curtain)) = self.curtain.take() {
            drop(done);
            // It must not draw after the bar was cleared; a panic in it is no reason for another one.
            let _ = curtain.join();
        }
        self.bar.finish_and_clear();
    }
}
