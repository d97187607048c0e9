//! Pictures in a row: rendered one by one, and handed to sinks that encode and write them on threads of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::sink::{FrameSink, SequenceFrame};
use super::{ContactSheet, ExportError, FilmPlan, SHEET, ThreadSink, sheet_columns};
use crate::edit::{Direction, Edit, Shelf};
use crate::generator::ModelInfo;
use crate::motion::Motion;
use crate::progress::{Progress, Report};
use crate::project::Project;
use crate::render::Engine;

/// A picture to make, with the text that names it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shot {
    pub label: String,
    pub edit: Edit,
}

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
    /// Also write all frames on one labelled picture.
    pub sheet: bool,
}

impl Sweep {
    /// The pictures, made when they are asked for.
    pub fn shots(&self, edit: &Edit) -> impl Iterator<Item = Shot> + Send + 'static {
        let (direction, edit) = (self.direction.clone(), edit.clone());
        sweep_values(self.from, self.to, self.frames).into_iter().map(move |value| {
            let mut edit = edit.clone();
            edit.set_along(&direction, value).enabled = true;
            Shot { label: label(value), edit }
        })
    }

    /// The pictures as numbered files in the folder, each with the project that makes it again, and the sheet.
    pub fn sequence(&self, project: Project, info: &ModelInfo) -> Sequence<'static> {
        let mut sinks: Vec<Box<dyn FrameSink>> = vec![Box::new(ThreadSink::numbered_png(&self.folder, false))];
        if self.sheet {
            let longest = [self.from, self.to].map(|value| label(value).len());
            let (frames, size) = (self.frames, [info.size.width, info.size.height]);
            let make =
                move || ContactSheet::new(frames, sheet_columns(frames, 1, size), size, longest[0].max(longest[1]));
            sinks.push(Box::new(ThreadSink::sheet(self.folder.join(SHEET), make)));
        }
        let shots = self.shots(&project.edit);
        Sequence::new(project, shots, self.frames, sinks)
    }
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

/// Where the frames of a motion go.
#[derive(Clone, Debug, PartialEq)]
pub enum FilmTarget {
    /// One file.
    Film(FilmPlan),
    /// Numbered PNG files in a folder, each with the edit that makes it again.
    Folder(PathBuf),
}

impl FilmTarget {
    /// The frames of a motion, on their way there.
    ///
    /// # Errors
    /// There can be no such film.
    pub fn sequence(&self, project: Project, motion: Motion) -> Result<Sequence<'static>, ExportError> {
        let sink = match self {
            FilmTarget::Film(plan) => plan.sink()?,
            FilmTarget::Folder(folder) => ThreadSink::numbered_png(folder, false),
        };
        let frames = motion.frames();
        let shots = (0..frames).map(move |number| Shot { label: String::new(), edit: motion.frame(number) });
        Ok(Sequence::new(project, shots, frames, vec![Box::new(sink)]))
    }
}

fn label(value: f32) -> String {
    format!("{value:+.2}")
}

/// Pictures that are rendered one by one, and where they go.
///
/// Dropped halfway, what was rendered is still written; each file is whole or absent.
pub struct Sequence<'a> {
    /// Everything of a frame's project but its edit.
    project: Project,
    shots: Box<dyn Iterator<Item = Shot> + Send + 'a>,
    frames: usize,
    /// The next picture, until it is rendered.
    next: Option<Shot>,
    rendered: usize,
    sinks: Vec<Box<dyn FrameSink>>,
}

/// How far a sequence is after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceStep {
    Rendered,
    /// Encoding or writing is behind.
    Waiting,
    Finished,
}

impl<'a> Sequence<'a> {
    /// `frames` pictures into all `sinks`; what is shown of the result at the end is the last one's.
    ///
    /// A picture carries its own edit; what was kept beside that is no part of it.
    pub fn new(
        project: Project,
        shots: impl Iterator<Item = Shot> + Send + 'a,
        frames: usize,
        sinks: Vec<Box<dyn FrameSink>>,
    ) -> Self {
        let project = Project { shelf: Shelf::default(), ..project };
        Sequence { project, shots: Box::new(shots), frames, next: None, rendered: 0, sinks }
    }

    pub fn frames(&self) -> usize {
        self.frames
    }

    /// The file that shows the result, or the first of them.
    pub fn path(&self) -> &Path {
        self.sinks.last().map_or(Path::new(""), |sink| sink.path())
    }

    pub fn progress(&self) -> Progress {
        let stage = if self.rendered < self.frames { "rendering" } else { "writing" };
        Progress { stage: stage.into(), done: self.rendered as u64, total: self.frames as u64 }
    }

    /// Renders the next picture, or waits at most that long for those that encode and write. If it fails while it renders, it
    /// may be called again with another engine.
    ///
    /// # Errors
    /// A picture cannot be made or written; which one is said.
    pub fn step(&mut self, engine: &mut Engine, patience: Duration) -> Result<SequenceStep, ExportError> {
        let deadline = Instant::now() + patience;
        let left = || deadline.saturating_duration_since(Instant::now());
        for sink in &mut self.sinks {
            if !sink.is_ready(left())? {
                return Ok(SequenceStep::Waiting);
            }
        }
        if self.next.is_none() {
            self.next = self.shots.next();
        }
        let Some(shot) = &self.next else {
            for sink in &mut self.sinks {
                if !sink.finish(left())? {
                    return Ok(SequenceStep::Waiting);
                }
            }
            return Ok(SequenceStep::Finished);
        };
        let frame = Arc::new(SequenceFrame::render(engine, self.rendered, shot, &self.project)?);
        self.next = None;
        self.rendered += 1;
        self.sinks.iter_mut().for_each(|sink| sink.put(frame.clone()));
        Ok(SequenceStep::Rendered)
    }

    /// Waits until the frames that were rendered are written, well or not. What all of them would have become is not made.
    fn settle(&mut self) {
        for sink in &mut self.sinks {
            while !sink.is_settled(PATIENCE).unwrap_or(false) {}
        }
    }
}

/// How long one wait for the threads takes at most where nothing else is to be done.
const PATIENCE: Duration = Duration::from_millis(100);

/// Renders a whole sequence and waits for its files.
///
/// # Errors
/// A picture cannot be made or written, or `report` stopped it; what was rendered before is written then.
pub fn render_sequence(engine: &mut Engine, mut sequence: Sequence<'_>, report: Report) -> Result<(), ExportError> {
    let mut rest = || loop {
        report(sequence.progress())?;
        if sequence.step(engine, PATIENCE)? == SequenceStep::Finished {
            return Ok(());
        }
    };
    let outcome = rest();
    if outcome.is_err() {
        sequence.settle();
    }
    outcome
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
