//! A picture that is drawn on the processor: other pictures and lines of text on a dark ground.

use image::imageops::{self, FilterType};
use image::{Rgba, RgbaImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use crate::render::Pixels;

pub(super) const BACKGROUND: u8 = 24;
/// Greys of text: to be read first, and after that.
pub(super) const TEXT: u8 = 220;
pub(super) const FAINT: u8 = 140;
/// Height of a line of text and width of a letter, in pixels.
pub(super) const LINE: usize = RasterHeight::Size16.val();
pub(super) const LETTER: usize = get_raster_width(FontWeight::Regular, RasterHeight::Size16);
/// A canvas has at most this many pixels (400 MB as RGB would open in no viewer).
pub(super) const MAX_PIXELS: usize = 100_000_000;
/// Pixels of its longer side: viewers that draw with the GPU go no further.
pub(super) const MAX_SIDE: usize = 16_384;

/// RGB. What is drawn beyond its edges is not there.
pub(super) struct Canvas {
    pub(super) pixels: Pixels,
}

impl Canvas {
    /// Width and height.
    pub(super) fn new([width, height]: [usize; 2]) -> Self {
        Canvas { pixels: Pixels { width, height, channels: 3, data: vec![BACKGROUND; width * height * 3] } }
    }

    pub(super) fn into_pixels(self) -> Pixels {
        self.pixels
    }

    /// Draws a picture at another size, width and height, from a place: left and top.
    pub(super) fn draw_picture(&mut self, picture: &Pixels, [width, height]: [usize; 2], [left, top]: [usize; 2]) {
        let size = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        let source =
            RgbaImage::from_raw(size(picture.width), size(picture.height), picture.to_rgba()).unwrap_or_default();
        // Enlarged pixels stay squares; where there are too many, each is the mean of those it stands for.
        let scaled = match width >= picture.width {
            true => imageops::resize(&source, size(width), size(height), FilterType::Nearest),
            false => imageops::thumbnail(&source, size(width), size(height)),
        };
        for (x, y, &Rgba([red, green, blue, alpha])) in scaled.enumerate_pixels() {
            let rgb = [red, green, blue].map(|value| mix(BACKGROUND, value, alpha));
            self.set(left + x as usize, top + y as usize, rgb);
        }
    }

    /// Draws a line of text whose first letter has its upper left corner at a place. Letters that the font has not are `?`.
    pub(super) fn draw_text(&mut self, text: &str, [left, top]: [usize; 2], grey: u8) {
        let raster = |letter| get_raster(letter, FontWeight::Regular, RasterHeight::Size16);
        for (at, letter) in text.chars().enumerate() {
            let Some(glyph) = raster(letter).or_else(|| raster('?')) else { return };
            for (y, row) in glyph.rows().enumerate() {
                for (x, &coverage) in row.iter().enumerate() {
                    self.set(left + at * LETTER + x, top + y, [mix(BACKGROUND, grey, coverage); 3]);
                }
            }
        }
    }

    /// Draws a line of text that runs upwards from a place: left and bottom.
    pub(super) fn draw_text_upwards(&mut self, text: &str, [left, bottom]: [usize; 2], grey: u8) {
        let mut line = Canvas::new([text.chars().count() * LETTER, LINE]);
        line.draw_text(text, [0, 0], grey);
        let width = line.pixels.width;
        for (at, pixel) in line.pixels.data.chunks_exact(3).enumerate() {
            let (along, down) = (at % width, at / width);
            if let Some(y) = bottom.checked_sub(along + 1) {
                self.set(left + down, y, [pixel[0], pixel[1], pixel[2]]);
            }
        }
    }

    /// Fills a rectangle of a size, width and height, from a place.
    pub(super) fn fill(&mut self, [left, top]: [usize; 2], [width, height]: [usize; 2], rgb: [u8; 3]) {
        for y in top..top + height {
            (left..left + width).for_each(|x| self.set(x, y, rgb));
        }
    }

    /// A line of text on what is there: dark on what is light.
    pub(super) fn draw_text_over(&mut self, text: &str, [left, top]: [usize; 2]) {
        let offset = (top * self.pixels.width + left) * 3;
        let ground = self.pixels.data.get(offset..offset + 3).map_or([BACKGROUND; 3], |rgb| [rgb[0], rgb[1], rgb[2]]);
        let is_light = ground.iter().map(|&value| u32::from(value)).sum::<u32>() > 3 * 110;
        let grey = if is_light { 0 } else { TEXT };
        for (at, letter) in text.chars().enumerate() {
            let Some(glyph) = get_raster(letter, FontWeight::Regular, RasterHeight::Size16) else { return };
            for (y, row) in glyph.rows().enumerate() {
                for (x, &coverage) in row.iter().enumerate() {
                    self.set(left + at * LETTER + x, top + y, ground.map(|value| mix(value, grey, coverage)));
                }
            }
        }
    }

    fn set(&mut self, x: usize, y: usize, rgb: [u8; 3]) {
        let offset = (y * self.pixels.width + x) * 3;
        if x < self.pixels.width
            && let Some(pixel) = self.pixels.data.get_mut(offset..offset + 3)
        {
            pixel.copy_from_slice(&rgb);
        }
    }
}

fn mix(from: u8, to: u8, amount: u8) -> u8 {
    let amount = u32::from(amount);
    ((u32::from(from) * (255 - amount) + u32::from(to) * amount + 127) / 255) as u8
}
