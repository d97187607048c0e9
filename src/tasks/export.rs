//! Exports: a picture, or a sequence of pictures.

use std::path::PathBuf;

use super::{Outcome, Step, Task, TaskError};
use crate::export::{self, FrameWriter, Sweep};
use crate::progress::Progress;
use crate::project::Project;
use crate::render::Engine;

/// Writes the picture of a project's edit as a PNG that carries the project.
pub struct ExportPicture {
    project: Box<Project>,
    path: PathBuf,
}

impl ExportPicture {
    pub fn new(project: Box<Project>, path: PathBuf) -> Self {
        ExportPicture { project, path }
    }
}

impl Task for ExportPicture {
    fn name(&self) -> String {
        format!("Exporting {}", self.path.file_name().unwrap_or_default().to_string_lossy())
    }

    fn step(&mut self, engine: &mut Engine) -> Result<Step, TaskError> {
        let pixels = engine.render(&self.project.edit)?.to_pixels()?;
        export::write_png(&self.path, &pixels, Some(&self.project))?;
        Ok(Step::Done(Outcome::Written(self.path.clone())))
    }
}

/// Writes the frames of a sweep along one move of a project.
pub struct ExportSequence {
    project: Box<Project>,
    sweep: Sweep,
    values: Vec<f32>,
    writer: Option<FrameWriter>,
    done: usize,
    first: Option<PathBuf>,
}

impl ExportSequence {
    pub fn new(project: Box<Project>, sweep: Sweep) -> Self {
        let values = export::sweep_values(sweep.from, sweep.to, sweep.frames);
        ExportSequence { project, sweep, values, writer: None, done: 0, first: None }
    }
}

impl Task for ExportSequence {
    fn name(&self) -> String {
        format!("Exporting {} frames", self.values.len())
    }

    fn step(&mut self, engine: &mut Engine) -> Result<Step, TaskError> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(self.sweep.writer(engine, &self.values)?),
        };
        if let Some(&value) = self.values.get(self.done) {
            let path = self.sweep.write(writer, engine, &mut self.project, value)?;
            self.first.get_or_insert(path);
            self.done += 1;
            let (done, total) = (self.done as u64, self.values.len() as u64);
            return Ok(Step::More(Progress { stage: "rendering".into(), done, total }));
        }
        let sheet = self.writer.take().map(FrameWriter::finish).transpose()?.flatten();
        let written = sheet.or(self.first.take()).unwrap_or_else(|| self.sweep.folder.clone());
        Ok(Step::Done(Outcome::Written(written)))
    }
}
