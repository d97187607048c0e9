//! The thread that encodes and writes a sheet while its cells are rendered.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::super::ExportError;
use super::{Cell, Sheet, SheetFormat, html, page};
use crate::files;
use crate::progress::{CancelToken, Cancelled};

/// Messages that may wait for the thread; each has the cells of a pass.
const WAITING: usize = 4;

/// Takes the cells of a sheet in their order. Dropped before the end, it leaves nothing.
pub(super) struct Writer {
    cells: Option<Sender<Vec<Cell>>>,
    taken: Receiver<()>,
    waiting: usize,
    thread: Option<JoinHandle<Result<(), ExportError>>>,
    stop: CancelToken,
}

/// What the thread gets.
pub(super) struct Cells {
    cells: Receiver<Vec<Cell>>,
    taken: Sender<()>,
    pub(super) stop: CancelToken,
}

impl Cells {
    /// The next cells, once there are some.
    ///
    /// # Errors
    /// There will be none.
    pub(super) fn next(&self) -> Result<Vec<Cell>, Cancelled> {
        let cells = self.cells.recv().map_err(|_| Cancelled)?;
        let _ = self.taken.send(());
        self.stop.check().map(|()| cells)
    }
}

impl Writer {
    /// # Errors
    /// There can be no such file.
    pub(super) fn start(sheet: &Arc<Sheet>) -> Result<Self, ExportError> {
        // Before anything is rendered for nothing.
        let spool = files::spool(&sheet.plan.path)?;
        let (sender, receiver) = channel();
        let (taken, outcomes) = channel();
        let stop = CancelToken::default();
        let cells = Cells { cells: receiver, taken, stop: stop.clone() };
        let sheet = sheet.clone();
        let thread = thread::spawn(move || match sheet.format {
            SheetFormat::Html => html::write(&sheet, spool, &cells),
            SheetFormat::Png => page::write(&sheet, &cells),
        });
        Ok(Writer { cells: Some(sender), taken: outcomes, waiting: 0, thread: Some(thread), stop })
    }

    /// True if cells can be taken; waits at most that long for it.
    ///
    /// # Errors
    /// They cannot be written.
    pub(super) fn is_ready(&mut self, patience: Duration) -> Result<bool, ExportError> {
        self.waiting -= self.taken.try_iter().count();
        if self.waiting < WAITING {
            return Ok(true);
        }
        match self.taken.recv_timeout(patience) {
            Ok(()) => self.waiting -= 1,
            Err(RecvTimeoutError::Timeout) => return Ok(false),
            Err(RecvTimeoutError::Disconnected) => self.outcome()?,
        }
        Ok(true)
    }

    /// Takes the next cells. Never waits.
    pub(super) fn put(&mut self, cells: Vec<Cell>) {
        if let Some(sender) = &self.cells {
            // If the thread has ended, it is told by `is_ready` or `finish`.
            let _ = sender.send(cells);
            self.waiting += 1;
        }
    }

    /// There are no more cells. True once the file is there; waits at most that long for it.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn finish(&mut self, patience: Duration) -> Result<bool, ExportError> {
        self.cells = None;
        loop {
            match self.taken.recv_timeout(patience) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(false),
                Err(RecvTimeoutError::Disconnected) => return self.outcome().map(|()| true),
            }
        }
    }

    /// How the thread ended, which is told once.
    fn outcome(&mut self) -> Result<(), ExportError> {
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap_or(Err(ExportError::Stopped)))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.cancel();
        self.cells = None;
        // At most one batch of cells is still encoded; after that nothing is left of the file.
        let _ = self.outcome();
    }
}

/// Fails once the writing is to stop.
pub(super) struct Stoppable<'a, W> {
    pub(super) file: W,
    pub(super) stop: &'a CancelToken,
}

impl<W: Write> Write for Stoppable<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.stop.check().map_err(std::io::Error::other)?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
