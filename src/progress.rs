//! Progress of long work, how long it still takes, and the way to stop it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How far a long piece of work has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What is being done now, ready to show: "reading tensors".
    pub stage: String,
    pub done: u64,
    /// In the unit of `done` (bytes, tensors, frames); 0 if unknown.
    pub total: u64,
}

/// The user stopped the work. Not a failure: nothing is reported for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

/// Called now and then during long work; an error tells the work to stop.
pub type Report<'a> = &'a mut dyn FnMut(Progress) -> Result<(), Cancelled>;

/// A report for work that nobody watches.
pub fn silent(_: Progress) -> Result<(), Cancelled> {
    Ok(())
}

/// Stops one piece of work. Clones stop the same one.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// # Errors
    /// The work was stopped.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }
}

/// How fast a piece of work goes, from its last reports; whatever runs between its steps counts too.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    stage: String,
    /// When how much was done, the newest last.
    reports: VecDeque<(Instant, u64)>,
}

/// Reports that a pace is the mean of.
const REPORTS: usize = 20;

impl Pace {
    /// Takes in a report. Another stage begins anew: its unit may be another one.
    pub fn note(&mut self, progress: &Progress, now: Instant) {
        if self.stage != progress.stage || self.reports.back().is_some_and(|&(_, done)| done > progress.done) {
            *self = Pace { stage: progress.stage.clone(), reports: VecDeque::new() };
        }
        self.reports.push_back((now, progress.done));
        if self.reports.len() > REPORTS {
            self.reports.pop_front();
        }
    }

    /// How long the rest takes at this pace; `None` while nobody can tell.
    pub fn left(&self, progress: &Progress) -> Option<Duration> {
        let (&(first, before), &(last, now)) = (self.reports.front()?, self.reports.back()?);
        let done = now.checked_sub(before).filter(|&done| done > 0)?;
        let rest = progress.total.checked_sub(progress.done)?;
        Duration::try_from_secs_f64((last - first).as_secs_f64() * rest as f64 / done as f64).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(done: u64) -> Progress {
        Progress { stage: "rendering".into(), done, total: 100 }
    }

    #[test]
    fn the_rest_takes_as_long_as_the_last_steps_did() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        assert_eq!(pace.left(&frames(0)), None);
        pace.note(&frames(0), at(0));
        assert_eq!(pace.left(&frames(0)), None, "one report tells no pace");
        (1..=10).for_each(|done| pace.note(&frames(done), at(done)));
        assert_eq!(pace.left(&frames(10)), Some(Duration::from_secs(90)));
        // Twice as slow: after as many reports as are kept, the fast ones count no more.
        (11..=40).for_each(|done| pace.note(&frames(done), at(10 + 2 * (done - 10))));
        assert_eq!(pace.left(&frames(40)), Some(Duration::from_secs(120)));
        pace.note(&Progress { stage: "writing".into(), done: 0, total: 7 }, at(100));
        assert_eq!(pace.left(&frames(0)), None, "another stage, another pace");
    }

    #[test]
    fn one_token_stops_one_piece_of_work() {
        let (first, second) = (CancelToken::default(), CancelToken::default());
        first.clone().cancel();
        assert_eq!((first.check(), second.check()), (Err(Cancelled), Ok(())));
    }
}
