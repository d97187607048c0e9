//! Contact sheets: many frames side by side, each with a line of text under it.

use super::canvas::{Canvas, LETTER, LINE, MAX_PIXELS, MAX_SIDE, TEXT};
use crate::render::Pixels;

/// Between pictures and around them, in pixels.
const GAP: usize = 8;
/// Smaller pictures are enlarged towards this width, so that text and picture can be read together.
const READABLE_WIDTH: usize = 128;
/// A sweep of so many steps is one row, and reads as one.
const ONE_ROW: usize = 16;

/// Columns of a sheet of `codes` sweeps with `steps` frames of `size` pixels (width, height) each: a row for each sweep where that
/// is short, else whole rows on a sheet that is nearly square.
pub fn sheet_columns(steps: usize, codes: usize, size: [usize; 2]) -> usize {
    if 1 < steps && steps <= ONE_ROW {
        return steps;
    }
    let frames = steps * codes;
    let [width, height] = pitch(enlarged(size), 0).map(|side| side as f64);
    let oblong = |columns: usize| (columns as f64 * width).ln() - (frames.div_ceil(columns) as f64 * height).ln();
    let nearest = |candidates: &mut dyn Iterator<Item = usize>| {
        candidates.min_by(|a, b| oblong(*a).abs().total_cmp(&oblong(*b).abs()))
    };
    // Sweeps that fill their rows, unless the sheet becomes a strip by that.
    let whole = nearest(&mut (1..=steps).filter(|columns| steps > 1 && steps.is_multiple_of(*columns)));
    let whole = whole.filter(|columns| oblong(*columns).abs() < 3f64.ln());
    whole.or(nearest(&mut (1..=frames))).unwrap_or(1)
}

/// A picture of that size as it is drawn where there is room.
fn enlarged(size: [usize; 2]) -> [usize; 2] {
    let enlarge = READABLE_WIDTH.div_ceil(size[0].max(1));
    size.map(|side| (side * enlarge).max(1))
}

/// From one frame to the next, with the label below and gaps.
fn pitch(picture: [usize; 2], label_width: usize) -> [usize; 2] {
    [picture[0].max(label_width) + GAP, picture[1] + LINE + GAP]
}

/// A sheet that takes its frames one by one, so that a long sequence never has to be in memory at full size.
pub struct ContactSheet {
    columns: usize,
    /// Width and height of a frame on the sheet.
    picture: [usize; 2],
    /// Distance from one frame to the next.
    pitch: [usize; 2],
    frames: usize,
    sheet: Canvas,
}

impl ContactSheet {
    /// Room for `frames` frames of `size` pixels (width, height) in rows of `columns`.
    pub fn new(frames: usize, columns: usize, size: [usize; 2], longest_label: usize) -> Self {
        let columns = columns.clamp(1, frames.max(1));
        let rows = frames.div_ceil(columns);
        let text = longest_label * LETTER;
        let layout = |picture: [usize; 2]| {
            let pitch = pitch(picture, text);
            (pitch, [GAP + columns * pitch[0], GAP + rows * pitch[1]])
        };
        let mut picture = enlarged(size);
        let (mut pitch, mut whole) = layout(picture);
        let mut reduce = 1;
        let is_too_large = |[width, height]: [usize; 2]| width * height > MAX_PIXELS || width.max(height) > MAX_SIDE;
        while is_too_large(whole) && picture[0].max(picture[1]) > 1 {
            reduce += 1;
            picture = size.map(|side| (side / reduce).max(1));
            (pitch, whole) = layout(picture);
        }
        ContactSheet { columns, picture, pitch, frames: 0, sheet: Canvas::new(whole) }
    }

    /// Adds the next frame: left to right, then the next row.
    pub fn add(&mut self, label: &str, frame: &Pixels) {
        let left = GAP + self.frames % self.columns * self.pitch[0];
        let top = GAP + self.frames / self.columns * self.pitch[1];
        self.frames += 1;
        self.sheet.draw_picture(frame, self.picture, [left, top]);
        self.sheet.draw_text(label, [left, top + self.picture[1]], TEXT);
    }

    /// The finished sheet, RGB.
    pub fn into_pixels(self) -> Pixels {
        self.sheet.into_pixels()
    }
}

#[cfg(test)]
mod tests {
    use super::super::canvas::BACKGROUND;
    use super::*;

    fn plain(side: usize, value: u8) -> Pixels {
        Pixels { width: side, height: side, channels: 1, data: vec![value; side * side] }
    }

    #[test]
    fn frames_lie_in_rows_and_are_labelled() {
        let mut sheet = ContactSheet::new(5, 3, [128, 128], "seed 0".len());
        (0..5).for_each(|i| sheet.add(&format!("seed {i}"), &plain(128, 50 + i)));
        let sheet = sheet.into_pixels();
        assert_eq!((sheet.width, sheet.height), (GAP + 3 * (128 + GAP), GAP + 2 * (128 + LINE + GAP)));
        let at = |x: usize, y: usize| sheet.data[(y * sheet.width + x) * 3];
        assert_eq!(at(GAP, GAP), 50);
        assert_eq!(at(GAP + 2 * (128 + GAP), GAP), 52);
        assert_eq!(at(GAP, GAP + 128 + LINE + GAP), 53);
        assert_eq!(at(0, 0), BACKGROUND);
        let label = (0..LINE).flat_map(|y| (0..60).map(move |x| (x, y)));
        assert!(label.into_iter().any(|(x, y)| at(GAP + x, GAP + 128 + y) > 150), "no text under the first frame");
    }

    #[test]
    fn small_frames_are_enlarged_and_a_huge_sheet_is_reduced() {
        assert_eq!(ContactSheet::new(1, 1, [32, 32], 0).picture, [128, 128]);
        assert_eq!(ContactSheet::new(1, 1, [1024, 1024], 0).picture, [1024, 1024]);
        let reduced = ContactSheet::new(500, 7, [1024, 1024], 12);
        assert!(reduced.picture[0] < 1024 && reduced.sheet.pixels.width * reduced.sheet.pixels.height <= MAX_PIXELS);
    }

    #[test]
    fn long_sweeps_wrap_into_whole_rows_of_a_sheet_that_viewers_open() {
        assert_eq!([7, 11, 16].map(|steps| sheet_columns(steps, 1, [256, 256])), [7, 11, 16]);
        assert_eq!(sheet_columns(7, 300, [256, 256]), 7, "a row for each code");
        assert_eq!([1, 9, 10].map(|codes| sheet_columns(1, codes, [64, 64])), [1, 3, 4], "without a sweep, a square");
        assert_eq!(sheet_columns(2000, 1, [1024, 1024]), 50, "40 rows of 50");
        assert_eq!(sheet_columns(1999, 1, [1024, 1024]), 45, "a prime number fills no rows");
        assert_eq!(sheet_columns(100, 1, [64, 256]), 20, "5 rows of tall pictures");
        for steps in ONE_ROW + 1..=2000 {
            let columns = sheet_columns(steps, 1, [256, 256]);
            let [width, height] = [columns * (256 + GAP), steps.div_ceil(columns) * (256 + LINE + GAP)];
            assert!(width.max(height) <= 3 * width.min(height), "{steps} steps on {width} x {height}");
        }
        for size in [[32, 32], [256, 256], [1024, 1024], [512, 1024], [4096, 16]] {
            let sheet = ContactSheet::new(2000, sheet_columns(2000, 1, size), size, "+10.00".len()).into_pixels();
            let (longer, shorter) = (sheet.width.max(sheet.height), sheet.width.min(sheet.height));
            assert!(longer <= MAX_SIDE, "{size:?}: {longer}");
            assert!(longer < 3 * shorter, "{size:?}: {} x {}", sheet.width, sheet.height);
        }
    }
}
