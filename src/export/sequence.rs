//! Numbered frames in a folder: the command line's pictures, and sweeps along one move.
//!
//! While a frame is rendered, the frames before it are encoded and written by other threads.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::{ContactSheet, ExportError, SHEET, frame_name, sheet_columns, write_npy, write_png};
use crate::edit::Direction;
use crate::layout::ChannelOrder;
use crate::progress::Cancelled;
use crate::project::Project;
use crate::recipe::Range;
use crate::render::{Engine, Pixels, RenderError};

/// Frames along one move, while the rest of the edit stays.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// Which move; it is made if the edit has none along it.
    pub direction: Arc<Direction>,
    pub from: f32,
    pub to: f32,
    /// At least 2.
    pub frames: usize,
    pub folder: PathBuf,
    /// Also write all frames side by side as one labelled picture.
    pub sheet: bool,
}

/// `steps` values from `from` to `to`, evenly spaced, both ends exact; the one value `from` if `steps` is 1.
pub fn sweep_values(from: f32, to: f32, steps: usize) -> Vec<f32> {
    let (from, to) = (f64::from(from), f64::from(to));
    let last = steps.saturating_sub(1).max(1) as f64;
    let value = |step: usize| {
        let t = step as f64 / last;
        (from * (1.0 - t) + to * t) as f32
    };
    (0..steps).map(value).collect()
}

/// Rendered frames that may wait for each thread: enough for an uneven disk, few enough for memory (12 MB at 1024 pixels).
const WAITING: usize = 2;
/// A GPU may render faster than one thread encodes; more than a few would only compete for the disk.
const MAX_THREADS: usize = 3;

/// Writes `frame_0000.png`, `frame_0001.png` and so on, each with the project that makes it again.
///
/// Each file is whole or absent. If one cannot be written, the next call that would need its thread says so, at the latest
/// [`FrameWriter::finish`]; frames that were already rendered are still written. Dropping it waits for them.
pub struct FrameWriter {
    folder: PathBuf,
    raw: bool,
    frames: usize,
    /// Frame n goes to queue n modulo their number. A queue is closed if its thread has failed.
    queues: Vec<SyncSender<Frame>>,
    threads: Vec<JoinHandle<Result<Option<ContactSheet>, ExportError>>>,
}

/// A rendered frame on its way to the disk.
struct Frame {
    path: PathBuf,
    /// Where the values go as they are.
    /// Where the network's own numbers go, and their range.
    raw: Option<(PathBuf, Range)>,
    project: Project,
    label: String,
    /// Channels, height and width of `values`.
    shape: [usize; 3],
    order: ChannelOrder,
    values: Vec<f32>,
}

impl FrameWriter {
    /// Makes the folder. Frames that are in it already are replaced one by one. `raw` also writes `frame_0000.npy`: float32
    /// `[C, H, W]`, not clipped.
    pub fn create(folder: &Path, raw: bool, sheet: Option<ContactSheet>) -> Result<Self, ExportError> {
        std::fs::create_dir_all(folder).map_err(|source| ExportError::Folder { path: folder.into(), source })?;
        let threads = match sheet {
            // A sheet takes its frames in order.
            Some(_) => 1,
            None => thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).clamp(1, MAX_THREADS)),
        };
        let mut writer = FrameWriter { folder: folder.into(), raw, frames: 0, queues: Vec::new(), threads: Vec::new() };
        let mut sheet = sheet;
        for _ in 0..threads {
            let (queue, frames) = sync_channel(WAITING);
            let sheet = sheet.take();
            writer.queues.push(queue);
            writer.threads.push(thread::spawn(move || write_frames(&frames, sheet)));
        }
        Ok(writer)
    }

    /// Renders `project.edit` and hands the next frame over to be written; returns where. `label` names it on the sheet.
    pub fn write(&mut self, engine: &mut Engine, project: &Project, label: &str) -> Result<PathBuf, ExportError> {
        let picture = engine.render(&project.edit)?;
        let path = self.path("png");
        let frame = Frame {
            path: path.clone(),
            raw: self.raw.then(|| (self.path("npy"), engine.info().map_or(Range::Signed, |info| info.range()))),
            project: project.clone(),
            label: label.to_owned(),
            shape: [picture.channels(), picture.height(), picture.width()],
            order: picture.order(),
            values: picture.to_f32()?,
        };
        let thread = self.frames % self.queues.len().max(1);
        self.frames += 1;
        if self.queues.get(thread).is_none_or(|queue| queue.send(frame).is_err()) {
            // A writer whose failure was told already stays stopped.
            return Err(self.close().err().unwrap_or(ExportError::Cancelled(Cancelled)));
        }
        Ok(path)
    }

    /// Waits for all frames, then writes `sheet.png`, if there is a sheet; returns where.
    pub fn finish(mut self) -> Result<Option<PathBuf>, ExportError> {
        let Some(sheet) = self.close()? else { return Ok(None) };
        let path = self.folder.join(SHEET);
        write_png(&path, &sheet.into_pixels(), None)?;
        Ok(Some(path))
    }

    /// Waits for the frames that were handed over. The first failure, or the sheet.
    fn close(&mut self) -> Result<Option<ContactSheet>, ExportError> {
        self.queues.clear();
        let mut result = Ok(None);
        for thread in self.threads.drain(..) {
            match (thread.join().unwrap_or_else(|panic| resume_unwind(panic)), &result) {
                (Ok(None), _) | (_, Err(_)) => {}
                (other, Ok(_)) => result = other,
            }
        }
        result
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.folder.join(frame_name(self.frames, extension))
    }
}

impl Drop for FrameWriter {
    fn drop(&mut self) {
        self.queues.clear();
        for thread in self.threads.drain(..) {
            // Whoever drops a writer that is not finished has another failure to report.
            let _ = thread.join();
        }
    }
}

/// Writes frames until there are no more; returns the sheet with them.
fn write_frames(
    frames: &Receiver<Frame>,
    mut sheet: Option<ContactSheet>,
) -> Result<Option<ContactSheet>, ExportError> {
    for Frame { path, raw, project, label, shape, order, values } in frames {
        if !values.iter().all(|x| x.is_finite()) {
            return Err(RenderError::NotFinite.into());
        }
        let [channels, height, width] = shape;
        let pixels = Pixels::from_planar(&values, channels, height, width).in_rgb(order);
        write_png(&path, &pixels, Some(&project))?;
        if let Some((raw, range)) = raw {
            let values: Vec<f32> = values.into_iter().map(|x| range.own(x)).collect();
            write_npy(&raw, &shape, &values)?;
        }
        if let Some(sheet) = &mut sheet {
            sheet.add(&label, &pixels);
        }
    }
    Ok(sheet)
}

impl Sweep {
    /// What writes the frames of these values.
    pub fn writer(&self, engine: &Engine, values: &[f32]) -> Result<FrameWriter, ExportError> {
        let longest = values.iter().map(|&value| label(value).len()).max().unwrap_or(0);
        let size = engine.info().map_or([0; 2], |info| [info.size.width, info.size.height]);
        let sheet = self.sheet.then(|| ContactSheet::new(values.len(), sheet_columns(values.len(), 1, size), size, longest));
        FrameWriter::create(&self.folder, false, sheet)
    }

    /// Renders the frame of one value of the move and hands it over; returns where.
    pub fn write(
        &self,
        writer: &mut FrameWriter,
        engine: &mut Engine,
        project: &mut Project,
        value: f32,
    ) -> Result<PathBuf, ExportError> {
        project.edit.set_along(&self.direction, value).enabled = true;
        writer.write(engine, project, &label(value))
    }
}

fn label(value: f32) -> String {
    format!("{value:+.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_hit_both_ends_and_the_middle_exactly() {
        assert_eq!(sweep_values(-3.0, 3.0, 7), [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]);
        assert_eq!(sweep_values(2.5, -0.1, 2), [2.5, -0.1]);
        assert_eq!(sweep_values(2.5, -0.1, 1), [2.5]);
        let fine = sweep_values(-0.7, 0.7, 1001);
        assert_eq!((fine[0], fine[500], fine[1000]), (-0.7, 0.0, 0.7));
    }
}
