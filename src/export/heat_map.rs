//! Matrices of numbers as a picture.

use std::path::Path;

use super::canvas::{Canvas, FAINT, LETTER, LINE, MAX_PIXELS, MAX_SIDE, TEXT};
use super::{ExportError, png};
use crate::files;

/// A matrix, what its rows and columns are, and the numbers that are painted in full.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    /// Over the matrix.
    pub title: String,
    pub rows: Vec<String>,
    pub columns: Vec<String>,
    /// Row by row; `None` stays dark.
    pub values: Vec<Option<f64>>,
    /// Whatever is as large as that, positive or negative, has the full colour.
    pub largest: f64,
}

/// Sides of a cell: as large as has room for a number, and as small as can be seen.
const CELLS: [usize; 2] = [44, 4];
/// Around the whole, and between labels and cells.
const MARGIN: usize = 12;
/// Letters of a label.
const LABEL: usize = 24;
/// Cells that are at least so wide have their number in them.
const NUMBERED: usize = 40;
/// Labels of columns that are longer than that are words, and run upwards.
const SHORT: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("a heat map of {rows} rows and {columns} columns would be too large a picture; fewer of them can be chosen")]
pub struct HeatMapError {
    rows: usize,
    columns: usize,
}

impl HeatMap {
    /// Writes the picture as PNG. All of it or nothing.
    ///
    /// # Errors
    /// It would be too large, or cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ExportError> {
        let canvas = self.draw()?;
        let bytes = png::encode(&canvas.into_pixels(), None)
            .map_err(|source| ExportError::Encode { path: path.into(), source })?;
        Ok(files::write_bytes(path, &bytes)?)
    }

    fn draw(&self) -> Result<Canvas, HeatMapError> {
        let (rows, columns) = (self.rows.len(), self.columns.len());
        let letters = longest(&self.rows);
        let left = 2 * MARGIN + letters * LETTER;
        let widest = longest(&self.columns);
        let heads = if widest > SHORT { widest * LETTER } else { LINE };
        let top = MARGIN + LINE + heads + MARGIN;
        let size = |cell: usize| {
            let width = left + columns * cell + MARGIN;
            [width.max(2 * MARGIN + self.title.chars().count() * LETTER), top + rows * cell + MARGIN]
        };
        let fits = |&cell: &usize| {
            let [width, height] = size(cell);
            width.max(height) <= MAX_SIDE && width * height <= MAX_PIXELS
        };
        // The largest cells whose picture is as wide as a screen, else whatever a viewer opens.
        let is_handy = |&cell: &usize| size(cell)[0] <= 2000;
        let cells = || (CELLS[1]..=CELLS[0]).rev().filter(fits);
        let cell = cells().find(is_handy).or_else(|| cells().next_back());
        let cell = cell.ok_or(HeatMapError { rows, columns })?;
        let mut canvas = Canvas::new(size(cell));
        canvas.draw_text(&self.title, [MARGIN, MARGIN], TEXT);
        self.draw_labels(&mut canvas, [left, top], cell);
        for (at, value) in self.values.iter().enumerate().take(rows * columns) {
            let (row, column) = (at / columns, at % columns);
            let Some(value) = *value else { continue };
            let corner = [left + column * cell, top + row * cell];
            let gap = usize::from(cell > 8);
            canvas.fill(corner, [cell - gap; 2], colour(value / self.largest));
            if cell >= NUMBERED {
                let text = format!("{value:.2}");
                let indent = (cell - gap).saturating_sub(text.len() * LETTER) / 2;
                canvas.draw_text_over(&text, [corner[0] + indent, corner[1] + (cell - LINE) / 2]);
            }
        }
        Ok(canvas)
    }

    /// Rows have theirs where there is room for a line, columns where there is for their letters, at least every tenth.
    fn draw_labels(&self, canvas: &mut Canvas, [left, top]: [usize; 2], cell: usize) {
        let every = |room: usize, needed: usize| [1, 2, 5, 10, 20, 50, 100].into_iter().find(|n| n * room >= needed);
        let short = |label: &String| label.chars().take(LABEL).collect::<String>();
        let step = every(cell, LINE).unwrap_or(usize::MAX);
        for (row, label) in self.rows.iter().enumerate().step_by(step) {
            canvas.draw_text(&short(label), [MARGIN, top + row * cell + cell.saturating_sub(LINE) / 2], FAINT);
        }
        let widest = longest(&self.columns);
        let is_words = widest > SHORT;
        let needed = if is_words { LINE } else { (widest + 1) * LETTER };
        let step = every(cell, needed).unwrap_or(usize::MAX);
        for (column, label) in self.columns.iter().enumerate().step_by(step) {
            let corner = left + column * cell;
            match is_words {
                true => {
                    let middle = corner + cell.saturating_sub(LINE) / 2;
                    canvas.draw_text_upwards(&short(label), [middle, top - 2], FAINT);
                }
                false => canvas.draw_text(&short(label), [corner, top - LINE - 2], FAINT),
            }
        }
    }
}

/// Letters of the longest label.
fn longest(labels: &[String]) -> usize {
    labels.iter().map(|label| label.chars().count().min(LABEL)).max().unwrap_or(0)
}

/// Blue for -1, grey for 0, orange for 1: told apart by everybody, and lighter the farther from 0.
fn colour(value: f64) -> [u8; 3] {
    const ENDS: [[f64; 3]; 3] = [[90.0, 160.0, 255.0], [48.0, 48.0, 48.0], [255.0, 170.0, 70.0]];
    let value = value.clamp(-1.0, 1.0);
    let end = if value < 0.0 { ENDS[0] } else { ENDS[2] };
    let amount = value.abs();
    std::array::from_fn(|channel| (ENDS[1][channel] + (end[channel] - ENDS[1][channel]) * amount).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(rows: usize, columns: usize) -> HeatMap {
        let labels = |count: usize| (0..count).map(|n| n.to_string()).collect();
        let values = (0..rows * columns).map(|at| Some(at as f64 / (rows * columns) as f64 - 0.5)).collect();
        HeatMap { title: "cosines".into(), rows: labels(rows), columns: labels(columns), values, largest: 1.0 }
    }

    #[test]
    fn cells_have_the_colour_of_their_number() {
        assert_eq!((colour(0.0), colour(1.0), colour(-7.0)), ([48; 3], [255, 170, 70], [90, 160, 255]));
        let mut two = map(1, 2);
        two.values = vec![Some(-1.0), None];
        let pixels = two.draw().unwrap().into_pixels();
        let colours: Vec<[u8; 3]> = pixels.data.as_chunks::<3>().0.to_vec();
        assert!(colours.contains(&[90, 160, 255]) && !colours.contains(&[255, 170, 70]));
    }

    #[test]
    fn matrices_of_every_size_fit_or_are_refused() {
        assert!(map(2, 3).draw().unwrap().pixels.width < 400);
        assert!(map(60, 512).draw().unwrap().pixels.width <= 2200);
        assert!(map(0, 0).draw().is_ok());
        let words = HeatMap { columns: ["lightness", "hue"].map(str::to_owned).to_vec(), ..map(1, 2) };
        let [plain, words] = [map(1, 2), words].map(|map| map.draw().unwrap().into_pixels());
        assert_eq!((words.width, words.height), (plain.width, plain.height + 9 * LETTER - LINE));
        let error = map(5000, 1).draw().err().unwrap();
        assert!(error.to_string().contains("5000 rows"));
    }
}
