//! The sheet as one picture: a block for each sample, in it a row for each direction.

use std::io::Write;

use super::super::canvas::{Canvas, FAINT, LETTER, LINE, MAX_PIXELS, MAX_SIDE, TEXT};
use super::super::{ExportError, png};
use super::writer::{Cells, Stoppable};
use super::{Place, Sheet, SheetError, length, shown};
use crate::files::{WriteError, write_atomically};

/// Around the whole and between blocks.
const MARGIN: usize = 16;
/// Between pictures.
const GAP: usize = 2;
/// From a label to its pictures.
const LABEL_GAP: usize = 12;
/// Letters of the labels beside rows.
const LABEL_LETTERS: usize = 24;
/// Smaller pictures are enlarged towards this width, by whole factors.
const READABLE_WIDTH: usize = 64;
/// Lines beside a row for which there is room always: a name and a score.
const LABEL_LINES: usize = 2;

/// Where everything is.
pub(super) struct Layout {
    /// Width and height of a picture as it is drawn.
    picture: [usize; 2],
    /// From one row to the next.
    row: usize,
    label: usize,
    header: Vec<(String, u8)>,
    block: [usize; 2],
    /// Blocks side by side.
    columns: usize,
    size: [usize; 2],
}

impl Layout {
    /// # Errors
    /// The picture would be too large.
    pub(super) fn of(sheet: &Sheet) -> Result<Self, SheetError> {
        let enlarge = (READABLE_WIDTH / sheet.cell[0]).max(1);
        let picture = sheet.cell.map(|side| side * enlarge);
        let (samples, rows, steps) = (sheet.plan.samples.len(), sheet.plan.rows.len(), sheet.plan.steps);
        let letters = (0..rows).flat_map(|row| label(sheet, row)).map(|(line, _)| line.chars().count()).max();
        let label = letters.unwrap_or(0) * LETTER + LABEL_GAP;
        let row = picture[1].max(LABEL_LINES * LINE) + GAP;
        // Over the rows stand the sample and the steps.
        let block = [label + steps * (picture[0] + GAP), 2 * LINE + rows * row];
        let size = |columns: usize| {
            let down = samples.div_ceil(columns);
            let header = header(sheet, (columns * (block[0] + MARGIN) - MARGIN) / LETTER).len() * LINE + LINE / 2;
            [MARGIN + columns * (block[0] + MARGIN), MARGIN + header + down * (block[1] + MARGIN)]
        };
        let fits = |[width, height]: [usize; 2]| width.max(height) <= MAX_SIDE && width * height <= MAX_PIXELS;
        let oblong = |[width, height]: [usize; 2]| (width as f64 / height as f64).ln().abs();
        // Nearest to a square, of those that viewers open if there are any.
        let candidates = (1..=samples).map(|columns| (columns, size(columns)));
        let best = candidates.min_by(|(_, a), (_, b)| {
            (!fits(*a), oblong(*a)).partial_cmp(&(!fits(*b), oblong(*b))).unwrap_or(std::cmp::Ordering::Equal)
        });
        let (columns, size) = best.unwrap_or((1, size(1)));
        if !fits(size) {
            return Err(SheetError::Picture { size });
        }
        let header = header(sheet, (size[0] - 2 * MARGIN) / LETTER);
        Ok(Layout { picture, row, label, header, block, columns, size })
    }

    /// Left and top of a sample's block.
    fn block(&self, sample: usize) -> [usize; 2] {
        let top = MARGIN + self.header.len() * LINE + LINE / 2;
        let [width, height] = self.block;
        [MARGIN + sample % self.columns * (width + MARGIN), top + sample / self.columns * (height + MARGIN)]
    }

    /// Left and top of a picture.
    fn cell(&self, place: Place) -> [usize; 2] {
        let [left, top] = self.block(place.sample);
        [left + self.label + place.step * (self.picture[0] + GAP), top + 2 * LINE + place.row * self.row]
    }
}

/// Draws the cells as they come, and writes the picture at last.
pub(super) fn write(sheet: &Sheet, cells: &Cells) -> Result<(), ExportError> {
    let layout = Layout::of(sheet)?;
    let mut canvas = Canvas::new(layout.size);
    draw_labels(&mut canvas, sheet, &layout);
    let mut at = 0;
    while at < sheet.cells() {
        for cell in cells.next()? {
            let corner = layout.cell(sheet.place(at));
            match cell {
                Some(pixels) => canvas.draw_picture(&pixels, layout.picture, corner),
                None => canvas.draw_text("not finite", corner, FAINT),
            }
            at += 1;
        }
    }
    let path = &sheet.plan.path;
    let pixels = canvas.into_pixels();
    let bytes = png::encode(&pixels, None).map_err(|source| ExportError::Encode { path: path.clone(), source })?;
    drop(pixels);
    write_atomically(path, |file| {
        let written = Stoppable { file, stop: &cells.stop }.write_all(&bytes);
        written.map_err(|source| match cells.stop.check() {
            Err(cancelled) => ExportError::Cancelled(cancelled),
            Ok(()) => WriteError { path: path.clone(), source }.into(),
        })
    })
}

fn draw_labels(canvas: &mut Canvas, sheet: &Sheet, layout: &Layout) {
    for (number, (line, grey)) in layout.header.iter().enumerate() {
        canvas.draw_text(line, [MARGIN, MARGIN + number * LINE], *grey);
    }
    for (sample, shot) in sheet.plan.samples.iter().enumerate() {
        let [left, top] = layout.block(sample);
        let letters = layout.block[0] / LETTER;
        canvas.draw_text(&cut(&shown(&shot.label), letters), [left, top], TEXT);
        for step in 0..sheet.plan.steps {
            let text = sheet.column(step);
            let [left, _] = layout.cell(Place { sample, row: 0, step });
            let indent = layout.picture[0].saturating_sub(text.chars().count() * LETTER) / 2;
            let grey = if 2 * step + 1 == sheet.plan.steps { TEXT } else { FAINT };
            canvas.draw_text(&cut(&text, layout.picture[0] / LETTER), [left + indent, top + LINE], grey);
        }
        for row in 0..sheet.plan.rows.len() {
            let [_, top] = layout.cell(Place { sample, row, step: 0 });
            let lines = label(sheet, row);
            let fitting = ((layout.row - GAP) / LINE).min(lines.len());
            let indent = (layout.row - GAP - fitting * LINE) / 2;
            for (number, (line, grey)) in lines.iter().take(fitting).enumerate() {
                canvas.draw_text(line, [left, top + indent + number * LINE], *grey);
            }
        }
    }
}

/// What stands over everything: the model, the facts, its identity, in lines of so many letters.
fn header(sheet: &Sheet, letters: usize) -> Vec<(String, u8)> {
    let facts = sheet.facts("-").into_iter().chain([format!("{}, model {}", sheet.family, sheet.identity)]);
    let title = (format!("Directions of {}", sheet.model), TEXT);
    let lines = std::iter::once(title).chain(facts.map(|fact| (fact, FAINT)));
    let wrapped = lines.flat_map(|(text, grey)| wrap(&text, letters).into_iter().map(move |line| (line, grey)));
    wrapped.collect()
}

/// Lines beside a row, the most important first: its name, its score, its range if that is its own.
fn label(sheet: &Sheet, row: usize) -> Vec<(String, u8)> {
    let direction = &sheet.plan.rows[row];
    let star = if direction.is_starred { "* " } else { "" };
    let name = format!("{} {star}{}", row + 1, direction.title());
    let mut names = wrap(&name, LABEL_LETTERS);
    if names.len() > 2 {
        names = vec![names[0].clone(), cut(&format!("{}...", names[1]), LABEL_LETTERS)];
    }
    let score =
        direction.score().map(|score| cut(&format!("{} {score}", shown(&sheet.plan.score_name)), LABEL_LETTERS));
    let range = sheet.range.is_none().then(|| format!("a = {}", length(direction.range)));
    let facts = score.into_iter().chain(range).map(|line| (line, FAINT));
    names.into_iter().map(|line| (line, TEXT)).chain(facts).collect()
}

/// A text in lines of at most so many letters, broken between words where that can be.
fn wrap(text: &str, letters: usize) -> Vec<String> {
    let letters = letters.max(1);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let letters_of_word: Vec<char> = word.chars().collect();
        if length > 0 && length + 1 + letters_of_word.len() > letters {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        for letter in letters_of_word {
            if length == letters {
                lines.push(std::mem::take(&mut line));
                length = 0;
            }
            line.push(letter);
            length += 1;
        }
    }
    lines.push(line);
    lines
}

/// The first letters of a text, with a sign that there were more.
fn cut(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(letters.saturating_sub(2)).collect();
    cut.push_str("..");
    cut.chars().take(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_long_words_within() {
        assert_eq!(wrap("3 smile, a little", 8), ["3 smile,", "a little"]);
        assert_eq!(wrap("pneumonoultra of", 6), ["pneumo", "noultr", "a of"]);
        assert_eq!(wrap("", 6), [""]);
        assert_eq!((cut("smile", 5), cut("smiles", 5), cut("smile", 1)), ("smile".into(), "smi..".into(), ".".into()));
    }
}
