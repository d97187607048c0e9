//! What of a photo counts.

use std::path::Path;

use super::{Photo, PhotoError};

/// Pixels of the larger side of a mask that is painted.
const SIDE: usize = 512;

/// One weight for every part of a photo, whatever the size of either.
#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    pub width: usize,
    pub height: usize,
    /// Rows from the top: 0 where nothing counts, 255 where all does.
    pub weights: Vec<u8>,
}

impl Mask {
    /// A mask that hides nothing yet, of a photo's proportions.
    pub fn open(photo: &Photo) -> Self {
        let larger = photo.width.max(photo.height);
        let [width, height] = [photo.width, photo.height].map(|side| (side * SIDE.min(larger) / larger).max(1));
        Mask { width, height, weights: vec![255; width * height] }
    }

    /// Reads the mask of a photo: what is white counts.
    ///
    /// # Errors
    /// As [`Photo::read`]; the mask has another size than the photo, or hides everything.
    pub fn read(path: &Path, photo: &Photo) -> Result<Self, PhotoError> {
        let picture = Photo::read(path)?;
        let (expected, found) = ([photo.width, photo.height], [picture.width, picture.height]);
        if expected != found {
            return Err(PhotoError::Mask { path: path.into(), expected, found });
        }
        // What is transparent is hidden too.
        let weight = |&[r, g, b, a]: &[u8; 4]| {
            let light = [r, g, b].map(u32::from).iter().sum::<u32>() / 3;
            (light * u32::from(a) / 255) as u8
        };
        let weights: Vec<u8> = picture.pixels().as_chunks::<4>().0.iter().map(weight).collect();
        let mask = Mask { width: picture.width, height: picture.height, weights };
        if mask.hides_all() {
            return Err(PhotoError::Hidden { path: path.into() });
        }
        Ok(mask)
    }

    pub fn hides_all(&self) -> bool {
        self.weights.iter().all(|&weight| weight == 0)
    }

    pub fn hides_nothing(&self) -> bool {
        self.weights.iter().all(|&weight| weight == 255)
    }

    /// Hides a disc, or shows it again. Its centre is given in parts of the photo's width and height, its radius in parts of its larger
    /// side.
    pub fn paint(&mut self, centre: [f32; 2], radius: f32, hides: bool) {
        let radius = radius * self.width.max(self.height) as f32;
        let [x, y] = [centre[0] * self.width as f32, centre[1] * self.height as f32];
        let rows = (y - radius).max(0.0) as usize..((y + radius).max(0.0) as usize + 1).min(self.height);
        for row in rows {
            let half = (radius.powi(2) - (row as f32 + 0.5 - y).powi(2)).max(0.0).sqrt();
            let columns = (x - half).max(0.0) as usize..((x + half).max(0.0) as usize).min(self.width);
            let start = row * self.width;
            if half > 0.0 && !columns.is_empty() {
                self.weights[start + columns.start..start + columns.end].fill(if hides { 0 } else { 255 });
            }
        }
    }

    /// The weight at a place, 0 to 255, which is given in parts of the photo's width and height.
    pub(super) fn at(&self, place: [f32; 2]) -> f32 {
        let along = |part: f32, side: usize| ((part * side as f32).max(0.0) as usize).min(side - 1);
        f32::from(self.weights[along(place[1], self.height) * self.width + along(place[0], self.width)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discs_hide_and_show() {
        let mut mask = Mask { width: 100, height: 50, weights: vec![255; 5000] };
        assert!(mask.hides_nothing());
        mask.paint([0.5, 0.5], 0.1, true);
        assert_eq!((mask.at([0.5, 0.5]), mask.at([0.58, 0.5]), mask.at([0.62, 0.5])), (0.0, 0.0, 255.0));
        // A disc in pixels, whatever the proportions.
        assert_eq!((mask.at([0.5, 0.67]), mask.at([0.5, 0.73])), (0.0, 255.0));
        mask.paint([0.5, 0.5], 0.2, false);
        assert!(mask.hides_nothing());
        for beyond in [[-3.0, 0.5], [0.5, 9.0], [1.0, 1.0], [0.0, 0.0]] {
            mask.paint(beyond, 0.05, true);
        }
        mask.paint([0.5, 0.5], 3.0, true);
        assert!(mask.hides_all());
    }
}
