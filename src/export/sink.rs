//! Where the frames of a sequence go: threads that encode and write while the next frame is rendered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use super::film::{FilmWriter, as_frame};
use super::{ContactSheet, ExportError, Shot, frame_name, write_npy, write_png};
use crate::layout::ChannelOrder;
use crate::project::Project;
use crate::recipe::Range;
use crate::render::{Engine, Pixels, RenderError};

/// A rendered frame on its way to the disk.
pub struct SequenceFrame {
    /// From 0.
    pub number: usize,
    pub label: String,
    /// What makes it again.
    pub project: Project,
    /// Channels, height and width.
    shape: [usize; 3],
    order: ChannelOrder,
    range: Range,
    /// As the network makes them, planar, not clipped.
    values: Vec<f32>,
    pixels: OnceLock<Option<Pixels>>,
}

impl SequenceFrame {
    /// Renders a picture and reads it from the device.
    pub(super) fn render(
        engine: &mut Engine,
        number: usize,
        shot: &Shot,
        project: &Project,
    ) -> Result<Self, RenderError> {
        let picture = engine.render(&shot.edit)?;
        Ok(SequenceFrame {
            number,
            label: shot.label.clone(),
            project: Project { edit: shot.edit.clone(), ..project.clone() },
            shape: [picture.channels(), picture.height(), picture.width()],
            order: picture.order(),
            range: engine.info().map_or(Range::Signed, |info| info.range()),
            values: picture.to_f32()?,
            pixels: OnceLock::new(),
        })
    }

    /// As it is shown; made by the thread that first asks.
    ///
    /// # Errors
    /// It is not finite.
    pub fn pixels(&self) -> Result<&Pixels, RenderError> {
        let make = || {
            let [channels, height, width] = self.shape;
            let is_finite = self.values.iter().all(|x| x.is_finite());
            is_finite.then(|| Pixels::from_planar(&self.values, channels, height, width).in_rgb(self.order))
        };
        self.pixels.get_or_init(make).as_ref().ok_or(RenderError::NotFinite)
    }

    /// The network's own numbers, `[channels, height, width]`, not clipped.
    fn raw(&self) -> Vec<f32> {
        self.values.iter().map(|&x| self.range.own(x)).collect()
    }
}

/// Takes the frames of a sequence in their order: files, a sheet, a film.
pub trait FrameSink: Send {
    /// True if another frame can be taken; waits at most that long for it.
    ///
    /// # Errors
    /// A frame that was taken could not be written. Each failure is told once.
    fn is_ready(&mut self, patience: Duration) -> Result<bool, ExportError>;

    /// Takes the next frame. Never waits.
    fn put(&mut self, frame: Arc<SequenceFrame>);

    /// True if nothing that was taken waits to be written; waits at most that long for it.
    ///
    /// # Errors
    /// As [`FrameSink::is_ready`].
    fn is_settled(&mut self, patience: Duration) -> Result<bool, ExportError>;

    /// No more frames come. True once everything is written; waits at most that long for it.
    ///
    /// # Errors
    /// As [`FrameSink::is_ready`].
    fn finish(&mut self, patience: Duration) -> Result<bool, ExportError>;

    /// The file, or the first of several.
    fn path(&self) -> &Path;
}

/// Frames that may wait for each thread: enough for an uneven disk, few enough for memory (12 MB at 1024 pixels).
const WAITING: usize = 2;
/// A GPU may render faster than one thread encodes; more than a few would only compete for the disk.
const MAX_THREADS: usize = 3;

/// What a thread does with frames.
type Handler = Box<dyn FnMut(Message) -> Result<(), ExportError> + Send>;

enum Message {
    Frame(Arc<SequenceFrame>),
    /// There are no more.
    End,
}

/// A sink with threads of its own. Dropped, it leaves them to write what they have.
pub struct ThreadSink {
    path: PathBuf,
    queue: Sender<Message>,
    outcomes: Receiver<Result<(), ExportError>>,
    /// Messages without an outcome yet, and how many there may be.
    waiting: usize,
    most: usize,
    has_ended: bool,
}

impl ThreadSink {
    /// `frame_0000.png`, `frame_0001.png` and so on, each with its project. Makes the folder; frames that are in it are
    /// replaced one by one. `raw` also writes `frame_0000.npy`: float32 `[C, H, W]`, not clipped.
    pub fn numbered_png(folder: &Path, raw: bool) -> Self {
        let threads = thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).clamp(1, MAX_THREADS));
        let handler = || -> Handler {
            let folder = folder.to_owned();
            Box::new(move |message| match message {
                Message::Frame(frame) => write_numbered(&frame, &folder, raw),
                Message::End => Ok(()),
            })
        };
        Self::start(folder.join(frame_name(0, "png")), (0..threads).map(|_| handler()).collect())
    }

    /// One picture with its project.
    pub fn png(path: PathBuf) -> Self {
        let target = path.clone();
        let handler: Handler = Box::new(move |message| match message {
            Message::Frame(frame) => write_png(&target, frame.pixels()?, Some(&frame.project)),
            Message::End => Ok(()),
        });
        Self::start(path, vec![handler])
    }

    /// All frames on one labelled picture, which the thread makes: it may have hundreds of megabytes.
    pub fn sheet(path: PathBuf, make: impl FnOnce() -> ContactSheet + Send + 'static) -> Self {
        let target = path.clone();
        let (mut make, mut sheet) = (Some(make), None);
        let handler: Handler = Box::new(move |message| {
            sheet = sheet.take().or_else(|| make.take().map(|make| make()));
            match (message, &mut sheet) {
                (Message::Frame(frame), Some(sheet)) => sheet.add(&frame.label, frame.pixels()?),
                (Message::End, sheet) => {
                    if let Some(sheet) = sheet.take() {
                        write_png(&target, &sheet.into_pixels(), None)?;
                    }
                }
                (Message::Frame(_), None) => {}
            }
            Ok(())
        });
        Self::start(path, vec![handler])
    }

    /// All frames as one film, RGB of that size.
    pub(super) fn film(path: PathBuf, size: [usize; 2], writer: Box<dyn FilmWriter>) -> Self {
        let mut writer = Some(writer);
        let handler: Handler = Box::new(move |message| match message {
            Message::Frame(frame) => {
                let added = writer.as_mut().map_or(Ok(()), |writer| writer.add(&as_frame(frame.pixels()?, size)));
                if added.is_err() {
                    // Told once; what comes after that goes nowhere.
                    writer = None;
                }
                added
            }
            Message::End => writer.take().map_or(Ok(()), |writer| writer.finish()),
        });
        Self::start(path, vec![handler])
    }

    /// One thread for each handler; each message goes to the first that is free.
    fn start(path: PathBuf, handlers: Vec<Handler>) -> Self {
        let (queue, messages) = channel();
        let (report, outcomes) = channel();
        let messages = Arc::new(Mutex::new(messages));
        let most = handlers.len() * (WAITING + 1);
        for mut handle in handlers {
            let (messages, report) = (messages.clone(), report.clone());
            thread::spawn(move || {
                loop {
                    // Whoever waits for a message holds the lock, so that the others wait for that.
                    let message = messages.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(message) = message else { return };
                    let outcome = catch_unwind(AssertUnwindSafe(|| handle(message)));
                    // Nobody hears of it if the sink was dropped; what it took is written all the same.
                    let _ = report.send(outcome.unwrap_or(Err(ExportError::Stopped)));
                }
            });
        }
        ThreadSink { path, queue, outcomes, waiting: 0, most, has_ended: false }
    }

    /// True if at most so many messages wait.
    fn is_down_to(&mut self, waiting: usize, patience: Duration) -> Result<bool, ExportError> {
        for outcome in self.outcomes.try_iter() {
            self.waiting -= 1;
            outcome?;
        }
        while self.waiting > waiting {
            match self.outcomes.recv_timeout(patience) {
                Ok(outcome) => {
                    self.waiting -= 1;
                    outcome?;
                }
                Err(RecvTimeoutError::Timeout) => return Ok(false),
                Err(RecvTimeoutError::Disconnected) => {
                    self.waiting = 0;
                    return Err(ExportError::Stopped);
                }
            }
        }
        Ok(true)
    }

    fn send(&mut self, message: Message) {
        // The threads live as long as the queue.
        let _ = self.queue.send(message);
        self.waiting += 1;
    }
}

impl FrameSink for ThreadSink {
    fn is_ready(&mut self, patience: Duration) -> Result<bool, ExportError> {
        self.is_down_to(self.most - 1, patience)
    }

    fn put(&mut self, frame: Arc<SequenceFrame>) {
        self.send(Message::Frame(frame));
    }

    fn is_settled(&mut self, patience: Duration) -> Result<bool, ExportError> {
        self.is_down_to(0, patience)
    }

    fn finish(&mut self, patience: Duration) -> Result<bool, ExportError> {
        if !std::mem::replace(&mut self.has_ended, true) {
            self.send(Message::End);
        }
        self.is_down_to(0, patience)
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

fn write_numbered(frame: &SequenceFrame, folder: &Path, raw: bool) -> Result<(), ExportError> {
    std::fs::create_dir_all(folder).map_err(|source| ExportError::Folder { path: folder.into(), source })?;
    let path = |extension| folder.join(frame_name(frame.number, extension));
    write_png(&path("png"), frame.pixels()?, Some(&frame.project))?;
    if raw {
        write_npy(&path("npy"), &frame.shape, &frame.raw())?;
    }
    Ok(())
}
