//! A progress bar on the standard error, for work that takes long enough to wonder.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::progress::{Cancelled, Progress};

/// Work that is done by then shows no bar.
const PATIENCE: Duration = Duration::from_millis(500);

/// Shown after half a second, only on a terminal; disappears when dropped.
pub struct Bar {
    started: Instant,
    bar: ProgressBar,
    visible: bool,
}

impl Bar {
    pub fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        Bar { started: Instant::now(), bar, visible: false }
    }

    /// A report for long work. The command line never cancels: Ctrl+C ends the program, and files appear whole or not
    /// at all.
    pub fn report(&mut self) -> impl FnMut(Progress) -> Result<(), Cancelled> {
        |progress| {
            self.show(progress);
            Ok(())
        }
    }

    pub fn show(&mut self, progress: Progress) {
        if !self.visible && self.started.elapsed() > PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.visible = true;
        }
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
        self.bar.finish_and_clear();
    }
}
