//! Renders a sheet in steps.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::{ExportError, SequenceStep};
use super::writer::Writer;
use super::{Cell, Place, Sheet, SheetPlan};
use crate::edit::Edit;
use crate::generator::ModelInfo;
use crate::progress::{Progress, Report};
use crate::render::{Engine, RenderError, TileResult};

/// Cells that the engine may choose from for a pass, for each that it makes.
const OFFERED: usize = 4;

/// A sheet that is rendered, several cells a step, while a thread encodes and writes what is there. Dropped before it is finished,
/// it leaves nothing.
pub struct SheetRun {
    sheet: Arc<Sheet>,
    /// Cells that wait for those before them.
    made: BTreeMap<usize, Cell>,
    /// Cells before this one went to the writer.
    next: usize,
    rendered: usize,
    /// A sample and its own picture, which is the middle of each of its rows.
    middle: Option<(usize, Cell)>,
    writer: Writer,
}

impl SheetRun {
    /// # Errors
    /// The plan makes no sheet for this model, or there can be no such file.
    pub fn new(plan: SheetPlan, info: &ModelInfo) -> Result<Self, ExportError> {
        let sheet = Arc::new(Sheet::new(plan, info)?);
        let writer = Writer::start(&sheet)?;
        Ok(SheetRun { sheet, made: BTreeMap::new(), next: 0, rendered: 0, middle: None, writer })
    }

    pub fn path(&self) -> &Path {
        &self.sheet.plan.path
    }

    /// Pictures on the sheet.
    pub fn cells(&self) -> usize {
        self.sheet.cells()
    }

    pub fn progress(&self) -> Progress {
        let (done, total) = (self.rendered, self.cells());
        let stage = if done < total { "rendering" } else { "writing" };
        Progress { stage: stage.into(), done: done as u64, total: total as u64 }
    }

    /// Renders the cells of one pass, or waits at most that long for the thread that encodes and writes. If it fails while it
    /// renders, it may be called again with another engine.
    ///
    /// # Errors
    /// A cell cannot be made, or the file cannot be written.
    pub fn step(&mut self, engine: &mut Engine, patience: Duration) -> Result<SequenceStep, ExportError> {
        if !self.writer.is_ready(patience)? {
            return Ok(SequenceStep::Waiting);
        }
        if self.rendered == self.cells() {
            let is_done = self.writer.finish(patience)?;
            return Ok(if is_done { SequenceStep::Finished } else { SequenceStep::Waiting });
        }
        self.render(engine)?;
        let mut ready = Vec::new();
        while let Some(cell) = self.made.remove(&self.next) {
            ready.push(cell);
            self.next += 1;
        }
        if !ready.is_empty() {
            self.writer.put(ready);
        }
        Ok(SequenceStep::Rendered)
    }

    /// One pass, from the first cell that is missing on; all of one sample, whose first stages they share.
    fn render(&mut self, engine: &mut Engine) -> Result<(), RenderError> {
        let offered = OFFERED * engine.tiles_together();
        self.take_middles(offered);
        let Some(first) = self.missing().next() else { return Ok(()) };
        let sample = self.sheet.place(first).sample;
        let wanted: Vec<usize> = self.missing().take(offered).collect();
        let edits: Vec<Edit> = wanted.iter().map(|&cell| self.sheet.edit(self.sheet.place(cell))).collect();
        let edits: Vec<&Edit> = edits.iter().collect();
        let SheetPlan { samples, side, previews, .. } = &self.sheet.plan;
        let tiles = engine.first_tiles_beside(&samples[sample].edit, &edits, *side, !previews)?;
        let cells: Vec<(usize, Cell)> =
            tiles.into_iter().map(|(at, tile)| Ok((wanted[at], cell(tile)?))).collect::<Result<_, RenderError>>()?;
        for (at, cell) in cells {
            if self.sheet.is_sample(self.sheet.place(at)) {
                self.middle = Some((sample, cell.clone()));
            }
            self.take(at, cell);
        }
        self.take_middles(offered);
        Ok(())
    }

    /// Cells of the first sample that misses any.
    fn missing(&self) -> impl Iterator<Item = usize> {
        let of_sample = self.sheet.cells_of_sample();
        let missing = |cell: &usize| !self.made.contains_key(cell);
        let first = (self.next..self.cells()).find(missing).unwrap_or(self.cells());
        let end = (first / of_sample + 1) * of_sample;
        (first..end.min(self.cells())).filter(missing)
    }

    /// Middles among the next cells that are there already: one for all rows.
    fn take_middles(&mut self, offered: usize) {
        let Some((sample, cell)) = self.middle.clone() else { return };
        let is_there = |at: &usize| {
            let place: Place = self.sheet.place(*at);
            place.sample == sample && self.sheet.is_sample(place)
        };
        let window = self.missing().take(offered + self.sheet.plan.steps);
        let middles: Vec<usize> = window.filter(is_there).collect();
        middles.into_iter().for_each(|at| self.take(at, cell.clone()));
    }

    fn take(&mut self, at: usize, cell: Cell) {
        self.made.insert(at, cell);
        self.rendered += 1;
    }
}

/// A cell stays empty where the model's values overflow; the others of the sheet are as good as ever.
fn cell(tile: TileResult) -> Result<Cell, RenderError> {
    match tile {
        Ok(tile) => Ok(Some(Arc::new(tile.pixels))),
        Err(RenderError::NotFinite) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How long one wait for the thread takes at most where nothing else is to be done.
const PATIENCE: Duration = Duration::from_millis(100);

/// Renders a whole sheet and waits for its file.
///
/// # Errors
/// A cell cannot be made, the file cannot be written, or `report` stopped it; then there is no file.
pub fn render_sheet(engine: &mut Engine, mut sheet: SheetRun, report: Report) -> Result<(), ExportError> {
    loop {
        report(sheet.progress())?;
        if sheet.step(engine, PATIENCE)? == SequenceStep::Finished {
            return Ok(());
        }
    }
}
