//! Exports: a picture, a sequence of pictures, a sheet of directions.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Outcome, Step, Task, TaskError};
use crate::export::{
    ContactSheet, ExportError, FilmTarget, FrameSink, Sequence, SequenceStep, SheetPlan, SheetRun, Shot, Sweep,
    ThreadSink,
};
use crate::generator::ModelInfo;
use crate::motion::Motion;
use crate::project::Project;
use crate::render::Engine;

/// How long a step waits for the threads that encode and write, if they are behind: so little that no slider notices.
const PATIENCE: Duration = Duration::from_millis(5);

/// Renders pictures one by one; other threads encode and write them.
pub struct Export {
    name: String,
    sequence: Sequence<'static>,
}

impl Export {
    /// The picture of a project's edit, as a PNG that carries the project.
    pub fn picture(project: Project, path: PathBuf) -> Self {
        let name = exporting(&path);
        let shot = Shot { label: String::new(), edit: project.edit.clone() };
        let sinks: Vec<Box<dyn FrameSink>> = vec![Box::new(ThreadSink::png(path))];
        Export { name, sequence: Sequence::new(project, std::iter::once(shot), 1, sinks) }
    }

    /// Pictures in rows of `columns`, each with its label below, as one PNG.
    pub fn contact_sheet(project: Project, shots: Vec<Shot>, columns: usize, info: &ModelInfo, path: PathBuf) -> Self {
        let name = format!("Exporting {}", path.file_name().unwrap_or_default().to_string_lossy());
        let (frames, size) = (shots.len(), [info.size.width, info.size.height]);
        let longest_label = shots.iter().map(|shot| shot.label.chars().count()).max().unwrap_or(0);
        let make = move || ContactSheet::new(frames, columns, size, longest_label);
        let sinks: Vec<Box<dyn FrameSink>> = vec![Box::new(ThreadSink::sheet(path, make))];
        Export { name, sequence: Sequence::new(project, shots.into_iter(), frames, sinks) }
    }

    /// These pictures, as numbered PNG files in a folder, each with the project that makes it again.
    pub fn pictures(project: Project, shots: Vec<Shot>, folder: &Path) -> Self {
        let sinks: Vec<Box<dyn FrameSink>> = vec![Box::new(ThreadSink::numbered_png(folder, false))];
        let frames = shots.len();
        let name = format!("Exporting {frames} pictures");
        Export { name, sequence: Sequence::new(project, shots.into_iter(), frames, sinks) }
    }

    /// The frames of a motion.
    ///
    /// # Errors
    /// There can be no such film.
    pub fn motion(project: Project, motion: Motion, target: &FilmTarget) -> Result<Self, ExportError> {
        let name = match target {
            FilmTarget::Film(plan) => exporting(&plan.path),
            FilmTarget::Folder(_) => format!("Exporting {} frames", motion.frames()),
        };
        Ok(Export { name, sequence: target.sequence(project, motion)? })
    }

    /// The frames of a sweep along one move of a project.
    pub fn sweep(project: Project, sweep: &Sweep, info: &ModelInfo) -> Self {
        Export { name: format!("Exporting {} frames", sweep.frames), sequence: sweep.sequence(project, info) }
    }
}

/// Renders a sheet of directions, several cells a step; another thread encodes and writes it.
pub struct DirectionSheet(SheetRun);

impl DirectionSheet {
    /// # Errors
    /// The plan makes no sheet for this model, or there can be no such file.
    pub fn new(plan: SheetPlan, info: &ModelInfo) -> Result<Self, ExportError> {
        SheetRun::new(plan, info).map(DirectionSheet)
    }
}

impl Task for DirectionSheet {
    fn name(&self) -> String {
        exporting(self.0.path())
    }

    fn step(&mut self, engine: &mut Engine) -> Result<Step, TaskError> {
        Ok(match self.0.step(engine, PATIENCE)? {
            SequenceStep::Finished => Step::Done(Outcome::Written(self.0.path().to_owned())),
            SequenceStep::Rendered | SequenceStep::Waiting => Step::More(self.0.progress()),
        })
    }
}

fn exporting(path: &Path) -> String {
    format!("Exporting {}", path.file_name().unwrap_or_default().to_string_lossy())
}

impl Task for Export {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn step(&mut self, engine: &mut Engine) -> Result<Step, TaskError> {
        Ok(match self.sequence.step(engine, PATIENCE)? {
            SequenceStep::Finished => Step::Done(Outcome::Written(self.sequence.path().to_owned())),
            SequenceStep::Rendered | SequenceStep::Waiting => Step::More(self.sequence.progress()),
        })
    }
}
