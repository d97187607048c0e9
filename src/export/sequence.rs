//! Numbered frames in a folder: the command line's pictures, and sweeps along one move.

use std::path::{Path, PathBuf};

use super::{ContactSheet, ExportError, write_npy, write_png};
use crate::progress::{Progress, Report};
use crate::project::Project;
use crate::render::Engine;

/// Frames along one move, while the rest of the edit stays.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// Position in `edit.moves`.
    pub index: usize,
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

/// Writes `frame_0000.png`, `frame_0001.png` and so on, each with the project that makes it again.
pub struct FrameWriter<'a> {
    folder: &'a Path,
    /// Also write `frame_0000.npy`: float32 `[C, H, W]`, not clipped.
    raw: bool,
    sheet: Option<ContactSheet>,
    frames: usize,
}

impl<'a> FrameWriter<'a> {
    /// Makes the folder. Frames that are in it already are replaced one by one.
    pub fn create(folder: &'a Path, raw: bool, sheet: Option<ContactSheet>) -> Result<Self, ExportError> {
        std::fs::create_dir_all(folder).map_err(|source| ExportError::Folder { path: folder.into(), source })?;
        Ok(FrameWriter { folder, raw, sheet, frames: 0 })
    }

    /// Renders `project.edit` and writes the next frame; returns where. `label` names it on the sheet.
    pub fn write(&mut self, engine: &mut Engine, project: &Project, label: &str) -> Result<PathBuf, ExportError> {
        let picture = engine.render(&project.edit)?;
        let pixels = picture.to_pixels()?;
        let path = self.path("png");
        write_png(&path, &pixels, Some(project))?;
        if self.raw {
            let shape = [picture.channels(), picture.height(), picture.width()];
            write_npy(&self.path("npy"), &shape, &picture.to_f32()?)?;
        }
        if let Some(sheet) = &mut self.sheet {
            sheet.add(label, &pixels);
        }
        self.frames += 1;
        Ok(path)
    }

    /// Writes `sheet.png`, if there is a sheet; returns where.
    pub fn finish(self) -> Result<Option<PathBuf>, ExportError> {
        let Some(sheet) = self.sheet else { return Ok(None) };
        let path = self.folder.join("sheet.png");
        write_png(&path, &sheet.into_pixels(), None)?;
        Ok(Some(path))
    }

    /// Four digits, or as many as the number needs.
    fn path(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("frame_{:04}.{extension}", self.frames))
    }
}

/// Writes the frames of a sweep along one move of `project`. Returns the sheet, or the first frame if there is no sheet.
pub fn write_sweep(
    engine: &mut Engine,
    project: &Project,
    sweep: &Sweep,
    report: Report,
) -> Result<PathBuf, ExportError> {
    let values = sweep_values(sweep.from, sweep.to, sweep.frames);
    let labels: Vec<String> = values.iter().map(|value| format!("{value:+.2}")).collect();
    let longest = labels.iter().map(String::len).max().unwrap_or(0);
    let size = engine.info().map_or(0, |info| info.resolution);
    let sheet = sweep.sheet.then(|| ContactSheet::new(values.len(), values.len(), [size; 2], longest));
    let mut writer = FrameWriter::create(&sweep.folder, false, sheet)?;
    let mut project = project.clone();
    let mut first = None;
    for (frame, (value, label)) in values.iter().zip(&labels).enumerate() {
        report(Progress { stage: "rendering".into(), done: frame as u64, total: values.len() as u64 })?;
        if let Some(step) = project.edit.moves.get_mut(sweep.index) {
            (step.value, step.enabled) = (*value, true);
        }
        let path = writer.write(engine, &project, label)?;
        first.get_or_insert(path);
    }
    Ok(writer.finish()?.or(first).unwrap_or_else(|| sweep.folder.clone()))
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
