//! The sheet of directions: what each does to each of some samples, in an odd number of steps from -a to +a, as one labelled
//! picture or as one page for browsers that needs nothing else.

mod html;
mod page;
mod run;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Shot, sweep_values};
use crate::edit::{Direction, Edit};
use crate::generator::ModelInfo;
use crate::render::{Pixels, tile_size};

pub use run::{SheetRun, render_sheet};

/// Steps of a row at most: more than a screen shows.
pub const MAX_STEPS: usize = 101;
/// Larger side of a cell at most.
pub const MAX_CELL: usize = 4096;
/// Pixels of all cells together. Browsers keep them as RGBA, 400 MB of them.
const MAX_CELL_PIXELS: usize = 100_000_000;
/// Letters of a text from a file that are shown.
const MAX_LETTERS: usize = 200;

/// What a sheet shows, and where it goes.
#[derive(Clone, Debug)]
pub struct SheetPlan {
    /// What the directions are and how they were found, such as "layers 0-1, rows normalised".
    pub about: String,
    /// Each with its name, such as "seed 3". The moves that they have stay; one along a row's direction gives way.
    pub samples: Vec<Shot>,
    pub rows: Vec<SheetRow>,
    /// What scores are called, such as "eigenvalue".
    pub score_name: String,
    /// Odd.
    pub steps: usize,
    /// Larger side of a cell in pixels. Cells are never larger than the network's pictures.
    pub side: usize,
    /// The network's own smaller pictures do where it makes them on its way and they are as large as the cells. They are not
    /// what the whole network makes, and much faster.
    pub previews: bool,
    /// A name that ends in .html or .png; a file that is there is replaced.
    pub path: PathBuf,
}

/// A direction on a sheet.
#[derive(Clone, Debug)]
pub struct SheetRow {
    pub direction: Arc<Direction>,
    /// What people call it, or nothing.
    pub name: String,
    pub score: Option<f64>,
    /// Steps go from minus this to this, in latent units.
    pub range: f32,
    pub is_starred: bool,
}

/// Why there is no such sheet.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SheetError {
    #[error("{0}: expected a name that ends in .html or .png")]
    Format(PathBuf),
    #[error("a sheet without {0}")]
    Nothing(&'static str),
    #[error("{0} steps, expected an odd number from 3 to {MAX_STEPS}: the one in the middle is the sample itself")]
    Steps(usize),
    #[error("cells of {0} pixels, expected 1 to {MAX_CELL}")]
    Side(usize),
    #[error("a range of {range} for {row}, expected more than 0")]
    Range { row: String, range: f32 },
    #[error("{what} does not fit {model}: {problem}")]
    Misfit { what: String, model: String, problem: String },
    #[error(
        "{samples} x {rows} x {steps} (samples, directions, steps) are {cells} cells of {} x {} pixels, {} megapixels; expected \
         at most {}: take fewer of them, or a smaller side",
        cell[0], cell[1], pixels / 1_000_000, MAX_CELL_PIXELS / 1_000_000
    )]
    Cells { samples: usize, rows: usize, steps: usize, cells: usize, cell: [usize; 2], pixels: usize },
    #[error(
        "a picture of {} x {} pixels; expected at most {} a side and {} megapixels: take a smaller side, fewer samples or \
         directions, or a name that ends in .html",
        size[0], size[1], super::canvas::MAX_SIDE, super::canvas::MAX_PIXELS / 1_000_000
    )]
    Picture { size: [usize; 2] },
}

/// Which kind of file a sheet becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SheetFormat {
    Html,
    Png,
}

impl SheetFormat {
    /// By the end of a file's name.
    pub fn of(path: &Path) -> Option<SheetFormat> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "html" | "htm" => Some(SheetFormat::Html),
            "png" => Some(SheetFormat::Png),
            _ => None,
        }
    }
}

/// A picture of a sheet; `None` where the model's values overflow.
type Cell = Option<Arc<Pixels>>;

/// A plan that fits its model, with what files and pages tell of that.
#[derive(Clone, Debug)]
struct Sheet {
    plan: SheetPlan,
    format: SheetFormat,
    model: String,
    family: String,
    identity: String,
    /// Width and height of a cell.
    cell: [usize; 2],
    /// Range of all rows, if they have the same.
    range: Option<f32>,
}

impl Sheet {
    fn new(plan: SheetPlan, info: &ModelInfo) -> Result<Self, SheetError> {
        let format = SheetFormat::of(&plan.path).ok_or_else(|| SheetError::Format(plan.path.clone()))?;
        if plan.samples.is_empty() || plan.rows.is_empty() {
            return Err(SheetError::Nothing(if plan.rows.is_empty() { "directions" } else { "samples" }));
        }
        if plan.steps.is_multiple_of(2) || !(3..=MAX_STEPS).contains(&plan.steps) {
            return Err(SheetError::Steps(plan.steps));
        }
        if !(1..=MAX_CELL).contains(&plan.side) {
            return Err(SheetError::Side(plan.side));
        }
        let misfit = |what: String, problem| SheetError::Misfit { what, model: info.name.clone(), problem };
        for row in &plan.rows {
            if !(row.range.is_finite() && row.range > 0.0) {
                return Err(SheetError::Range { row: row.title(), range: row.range });
            }
            info.check_direction(&row.direction).map_err(|problem| misfit(row.title(), problem))?;
        }
        let [height, width] = tile_size([info.size.height, info.size.width], plan.side);
        let (samples, rows, steps) = (plan.samples.len(), plan.rows.len(), plan.steps);
        let cells = samples.saturating_mul(rows).saturating_mul(steps);
        let pixels = cells.saturating_mul(width * height);
        if pixels > MAX_CELL_PIXELS {
            return Err(SheetError::Cells { samples, rows, steps, cells, cell: [width, height], pixels });
        }
        // After their number is known to be small.
        for sample in &plan.samples {
            info.check(&sample.edit).map_err(|problem| misfit(shown(&sample.label), problem))?;
        }
        let first = plan.rows[0].range;
        let range = plan.rows.iter().all(|row| row.range == first).then_some(first);
        let (model, family, identity) = (shown(&info.name), info.family.to_string(), info.identity.clone());
        let sheet = Sheet { plan, format, model, family, identity, cell: [width, height], range };
        match sheet.format {
            SheetFormat::Png => page::Layout::of(&sheet).map(drop)?,
            SheetFormat::Html => {}
        }
        Ok(sheet)
    }

    fn cells(&self) -> usize {
        self.plan.samples.len() * self.cells_of_sample()
    }

    fn cells_of_sample(&self) -> usize {
        self.plan.rows.len() * self.plan.steps
    }

    /// Where a cell is. Cells are numbered sample by sample, and for each row by row.
    fn place(&self, cell: usize) -> Place {
        let (rows, steps) = (self.plan.rows.len(), self.plan.steps);
        Place { sample: cell / steps / rows, row: cell / steps % rows, step: cell % steps }
    }

    fn value(&self, row: usize, step: usize) -> f32 {
        let range = self.plan.rows[row].range;
        sweep_values(-range, range, self.plan.steps)[step]
    }

    fn edit(&self, place: Place) -> Edit {
        let mut edit = self.plan.samples[place.sample].edit.clone();
        edit.set_along(&self.plan.rows[place.row].direction, self.value(place.row, place.step)).enabled = true;
        edit
    }

    /// True if a cell shows the sample as it is.
    fn is_sample(&self, place: Place) -> bool {
        let along = self.plan.samples[place.sample].edit.along(&self.plan.rows[place.row].direction);
        2 * place.step + 1 == self.plan.steps && along.is_none_or(|step| !step.is_active())
    }

    /// What stands over a column: distances, or parts of each row's own range.
    fn column(&self, step: usize) -> String {
        match self.range {
            Some(range) => distance(self.value(0, step), range),
            None => {
                let part = sweep_values(-1.0, 1.0, self.plan.steps)[step];
                let text = distance(part, 1.0);
                if part == 0.0 { text } else { format!("{text} a") }
            }
        }
    }

    /// Facts about the sheet, a line each; `minus` is the sign of what is below zero.
    fn facts(&self, minus: &str) -> Vec<String> {
        let SheetPlan { about, samples, rows, steps, .. } = &self.plan;
        let range = match self.range {
            Some(range) => format!("from {minus}{0} to +{0}", length(range)),
            None => format!("from {minus}a to +a, a of each row its own"),
        };
        let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let shape =
            format!("{}, {}, {steps} steps {range}", count(samples.len(), "sample"), count(rows.len(), "direction"));
        let psi = samples[0].edit.truncation.psi;
        let psi = Some(psi).filter(|&psi| psi != 1.0 && samples.iter().all(|shot| shot.edit.truncation.psi == psi));
        let psi = psi.map_or(String::new(), |psi| format!(", psi {psi}"));
        let mut facts = vec![format!("{}; {shape}{psi}", shown(about))];
        if self.plan.previews {
            facts.push("previews: the network's own smaller pictures where it makes them".into());
        }
        facts
    }
}

impl SheetRow {
    /// Its name, or what it is called that has none.
    fn title(&self) -> String {
        match self.name.trim() {
            "" => {
                let called = shown(&self.direction.origin.to_string());
                let mut letters = called.chars();
                letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
            }
            name => shown(name),
        }
    }

    fn score(&self) -> Option<String> {
        self.score.map(significant)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    sample: usize,
    row: usize,
    step: usize,
}

/// Text from a file as it is shown: one line, not endless, without what steers terminals and browsers.
fn shown(text: &str) -> String {
    // Marks that turn the direction of writing would turn what follows too.
    let is_mark = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c }).filter(|&c| !is_mark(c));
    let mut shown: String = plain.take(MAX_LETTERS + 1).collect();
    if let Some((end, _)) = shown.char_indices().nth(MAX_LETTERS) {
        shown.truncate(end);
        shown.push_str("...");
    }
    shown.trim().to_owned()
}

/// A distance with its sign, with as many digits as tell the steps of such a range apart.
fn distance(value: f32, range: f32) -> String {
    let digits = (2.0 - range.log10().floor()).clamp(0.0, 8.0) as usize;
    if value == 0.0 { "0".into() } else { format!("{value:+.*}", digits.min(8)) }
}

/// The end of a range, without a sign.
fn length(range: f32) -> String {
    distance(range, range).trim_start_matches('+').to_owned()
}

/// Four digits that matter.
fn significant(score: f64) -> String {
    let size = if score == 0.0 { 0.0 } else { score.abs().log10().floor() };
    if !(-4.0..9.0).contains(&size) {
        return format!("{score:.3e}");
    }
    format!("{score:.*}", (3.0 - size).max(0.0) as usize)
}

impl fmt::Display for SheetFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SheetFormat::Html => "page",
            SheetFormat::Png => "picture",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_matter() {
        let distances = [(3.0, 3.0), (-1.5, 3.0), (0.0, 3.0), (7.5, 15.0), (-0.02, 0.05), (100.0, 300.0)];
        let found = distances.map(|(value, range)| distance(value, range));
        assert_eq!(found, ["+3.00", "-1.50", "0", "+7.5", "-0.0200", "+100"]);
        let found = [0.123_456, 12.345_67, 12_345.67, 0.0, 0.000_012, -3.0, 1e12].map(significant);
        assert_eq!(found, ["0.1235", "12.35", "12346", "0.000", "1.200e-5", "-3.000", "1.000e12"]);
    }

    #[test]
    fn text_from_files_is_one_line_that_ends() {
        assert_eq!(shown(" a\r\nb\u{202e}c\u{1b}[2J "), "a  bc [2J");
        let long = shown(&"é".repeat(10_000));
        assert_eq!((long.chars().count(), long.ends_with("é...")), (MAX_LETTERS + 3, true));
    }
}
