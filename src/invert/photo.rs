//! Photos that are to be found, and the part of them that is.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{
    DynamicImage, ImageBuffer, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage, Rgba, imageops,
};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use super::Mask;
use crate::edit::{Crop, PhotoNote};
use crate::generator::ModelInfo;
use crate::layout::ChannelOrder;
use crate::render::Pixels;

/// How the names of photos end.
pub const PHOTO_ENDINGS: [&str; 7] = ["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff"];
/// Pixels of a photo.
const MAX_PIXELS: u64 = 120_000_000;
/// Pixels of its shorter side.
const MIN_SIDE: u32 = 8;
/// Pixels of its longer side.
const MAX_SIDE: u32 = 1 << 16;
/// Letters of a photo's name.
const MAX_NAME: usize = 200;
/// Bytes that decoding may take.
const MAX_BYTES: u64 = 2 << 30;

#[derive(Debug, thiserror::Error)]
pub enum PhotoError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: expected a picture (PNG, JPEG, WebP, BMP or TIFF), found none of these")]
    Format { path: PathBuf },
    #[error("{path} is no picture that can be read")]
    Decode { path: PathBuf, source: ImageError },
    #[error("{path}: expected at most {} million pixels, found {width} x {height}", MAX_PIXELS / 1_000_000)]
    TooLarge { path: PathBuf, width: u32, height: u32 },
    #[error("{path}: expected at least {MIN_SIDE} x {MIN_SIDE} pixels, found {width} x {height}")]
    TooSmall { path: PathBuf, width: u32, height: u32 },
    #[error("{path}: expected a mask of the photo's size, {} x {} pixels, found {} x {}", expected[0], expected[1], found[0], found[1])]
    Mask { path: PathBuf, expected: [usize; 2], found: [usize; 2] },
    #[error("{path}: the mask hides the whole photo: expected some of it white")]
    Hidden { path: PathBuf },
}

/// A picture from a file, upright.
#[derive(Clone, Debug)]
pub struct Photo {
    pub width: usize,
    pub height: usize,
    /// RGBA rows from the top.
    pixels: Vec<u8>,
}

/// What a search is to find.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Planar `[channels, height, width]` in -1..=1, as the model makes its pictures.
    pub(super) values: Vec<f32>,
    /// `[height, width]`: 0 where nothing counts, 1 where all does.
    pub(super) mask: Option<Vec<f32>>,
    /// Height and width.
    pub(super) size: [usize; 2],
    channels: usize,
    pub(super) order: ChannelOrder,
    crop: Crop,
    /// What edits remember of it.
    pub(super) note: Option<Arc<PhotoNote>>,
}

impl Photo {
    /// True if a file is named as a photo is.
    pub fn is_named(path: &Path) -> bool {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        PHOTO_ENDINGS.contains(&ending.as_str())
    }

    /// Reads a photo and turns it as its camera says. Of animations, the first picture.
    ///
    /// # Errors
    /// The file cannot be read, is no picture, or one of a size that is refused.
    pub fn read(path: &Path) -> Result<Self, PhotoError> {
        let read = |source| PhotoError::Read { path: path.into(), source };
        let mut reader = ImageReader::new(BufReader::new(File::open(path).map_err(read)?));
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(MAX_BYTES);
        (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
        reader.limits(limits);
        let reader = reader.with_guessed_format().map_err(read)?;
        if reader.format().is_none() {
            return Err(PhotoError::Format { path: path.into() });
        }
        let failed = |source: ImageError| match source {
            ImageError::Unsupported(_) => PhotoError::Format { path: path.into() },
            ImageError::IoError(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
                PhotoError::Read { path: path.into(), source }
            }
            source => PhotoError::Decode { path: path.into(), source },
        };
        let mut decoder = reader.into_decoder().map_err(failed)?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > MAX_PIXELS {
            return Err(PhotoError::TooLarge { path: path.into(), width, height });
        }
        if width.min(height) < MIN_SIDE {
            return Err(PhotoError::TooSmall { path: path.into(), width, height });
        }
        // A photo whose orientation cannot be read is one without.
        let orientation = decoder.orientation().ok();
        let mut image = DynamicImage::from_decoder(decoder).map_err(failed)?;
        if let Some(orientation) = orientation {
            image.apply_orientation(orientation);
        }
        let image = image.into_rgba8();
        let (width, height) = (image.width() as usize, image.height() as usize);
        Ok(Photo { width, height, pixels: image.into_raw() })
    }

    /// Planes of red, green and blue in -1..=1, `[3, height, width]`; black where it is transparent.
    pub fn planes(&self) -> Vec<f32> {
        let plane = |at: usize| {
            self.pixels
                .chunks_exact(4)
                .map(move |pixel| f32::from(pixel[at]) * f32::from(pixel[3]) / 255.0 / 127.5 - 1.0)
        };
        (0..3).flat_map(plane).collect()
    }

    /// A picture that is none of a file.
    pub fn of_pixels(pixels: &Pixels) -> Self {
        Photo { width: pixels.width, height: pixels.height, pixels: pixels.to_rgba() }
    }

    /// RGBA rows from the top.
    pub(super) fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// In small, for screens: at most `side` pixels along its larger side.
    pub fn small(&self, side: usize) -> Pixels {
        let larger = self.width.max(self.height);
        let [width, height] = [self.width, self.height].map(|own| (own * side.min(larger) / larger).max(1));
        let view = ImageBuffer::<Rgba<u8>, _>::from_raw(self.width as u32, self.height as u32, self.pixels.as_slice());
        let data = view.map(|view| imageops::thumbnail(&view, width as u32, height as u32).into_raw());
        Pixels { width, height, channels: 4, data: data.unwrap_or_default() }
    }

    /// As much of the middle as has the proportions of a model's pictures.
    pub fn middle(&self, info: &ModelInfo) -> Crop {
        let (width, height) = (self.width as f32, self.height as f32);
        let proportion = info.size.width as f32 / info.size.height as f32;
        Crop { centre: [width / 2.0, height / 2.0], width: width.min(height * proportion), turn: 0.0 }
    }

    /// A part of the photo as a model would make it, over a background (RGB) where the photo is transparent. Beyond the photo, its border
    /// goes on. `mask`: what counts, if not all does.
    pub fn target(&self, crop: Crop, mask: Option<&Mask>, background: [u8; 3], info: &ModelInfo) -> Target {
        let size @ [height, width] = [info.size.height, info.size.width];
        let samples = self.sampled(crop, mask, size, background);
        let plane = height * width;
        let channel = |at: usize| samples.iter().map(move |sample| sample[at] / 127.5 - 1.0);
        let mut values = Vec::with_capacity(info.channels * plane);
        match info.channels {
            1 => values.extend(samples.iter().map(|[r, g, b, _]| (0.299 * r + 0.587 * g + 0.114 * b) / 127.5 - 1.0)),
            channels => {
                let order = if info.channel_order == ChannelOrder::Bgr { [2, 1, 0] } else { [0, 1, 2] };
                order.into_iter().take(channels).for_each(|at| values.extend(channel(at)));
                // A model's own transparency: the photo is opaque.
                values.resize(channels * plane, 1.0);
            }
        }
        let mask = mask.is_some().then(|| samples.iter().map(|sample| sample[3] / 255.0).collect());
        Target { values, mask, size, channels: info.channels, order: info.channel_order, crop, note: None }
    }

    /// RGB over the background and the mask, 0 to 255, of every pixel of a crop: the mean of so many points that none of the photo's
    /// pixels is left out.
    fn sampled(
        &self,
        crop: Crop,
        mask: Option<&Mask>,
        [height, width]: [usize; 2],
        background: [u8; 3],
    ) -> Vec<[f32; 4]> {
        let step = crop.width / width as f32;
        // No more than the photo has pixels to read, each four times.
        let most = (4.0 * (self.width * self.height) as f32 / (width * height) as f32).sqrt().ceil();
        let points = step.ceil().min(most).max(1.0) as usize;
        let (sin, cos) = crop.turn.to_radians().sin_cos();
        let mut samples = vec![[0.0; 4]; width * height];
        samples.par_chunks_exact_mut(width).enumerate().for_each(|(y, row)| {
            for (x, sample) in row.iter_mut().enumerate() {
                for point in 0..points * points {
                    let along = |at: usize, point: usize, side: usize| {
                        (at as f32 + (point as f32 + 0.5) / points as f32 - side as f32 / 2.0) * step
                    };
                    let (dx, dy) = (along(x, point % points, width), along(y, point / points, height));
                    let at = [crop.centre[0] + dx * cos - dy * sin, crop.centre[1] + dx * sin + dy * cos];
                    let value = self.at(at, background);
                    (0..3).for_each(|n| sample[n] += value[n]);
                    let part = [at[0] / self.width as f32, at[1] / self.height as f32];
                    sample[3] += mask.map_or(255.0, |mask| mask.at(part));
                }
                sample.iter_mut().for_each(|x| *x /= (points * points) as f32);
            }
        });
        samples
    }

    /// Between the four nearest pixels; x and y from the upper left corner.
    fn at(&self, [x, y]: [f32; 2], background: [u8; 3]) -> [f32; 3] {
        let along = |at: f32, length: usize| {
            let at = (at - 0.5).clamp(0.0, (length - 1) as f32);
            let low = at as usize;
            (low, (low + 1).min(length - 1), at - low as f32)
        };
        let ((x0, x1, b), (y0, y1, a)) = (along(x, self.width), along(y, self.height));
        let weights =
            [(x0, y0, (1.0 - a) * (1.0 - b)), (x1, y0, (1.0 - a) * b), (x0, y1, a * (1.0 - b)), (x1, y1, a * b)];
        let mut sum = [0.0; 3];
        for (x, y, weight) in weights {
            let pixel = self.pixel(x, y, background);
            (0..3).for_each(|n| sum[n] += weight * pixel[n]);
        }
        sum
    }

    fn pixel(&self, x: usize, y: usize, background: [u8; 3]) -> [f32; 3] {
        let pixel = &self.pixels[4 * (y * self.width + x)..][..4];
        let alpha = f32::from(pixel[3]) / 255.0;
        let over = |n: usize| alpha * f32::from(pixel[n]) + (1.0 - alpha) * f32::from(background[n]);
        [over(0), over(1), over(2)]
    }
}

impl Target {
    /// For screens and files, red first.
    pub fn pixels(&self) -> Pixels {
        let [height, width] = self.size;
        self.shown(&self.values, height, width)
    }

    /// A picture of the model, likewise.
    pub(super) fn shown(&self, picture: &[f32], height: usize, width: usize) -> Pixels {
        Pixels::from_planar(picture, self.channels, height, width).in_rgb(self.order)
    }

    /// The same, which the edits that are found remember. `name`: of the photo's file.
    pub fn named(self, name: &str) -> Self {
        Target { note: Some(Arc::new(self.note_as(name))), ..self }
    }

    fn note_as(&self, name: &str) -> PhotoNote {
        let pixels = self.pixels();
        let rgb = pixels.to_rgba().as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect();
        let mut picture = Vec::new();
        let [width, height] = [pixels.width, pixels.height];
        if let Some(whole) = RgbImage::from_raw(width as u32, height as u32, rgb) {
            let larger = width.max(height);
            let [width, height] =
                [width, height].map(|side| (side * PhotoNote::SIDE.min(larger) / larger).max(1) as u32);
            let small = imageops::thumbnail(&whole, width, height);
            // Memory takes everything.
            let _ = small.write_to(&mut io::Cursor::new(&mut picture), ImageFormat::Png);
        }
        PhotoNote { name: name.chars().take(MAX_NAME).collect(), crop: self.crop, picture }
    }
}

/// The small picture of a photo that an edit remembers; `None` if the file that it is from is damaged.
pub fn noted_picture(note: &PhotoNote) -> Option<Pixels> {
    let mut reader = ImageReader::with_format(io::Cursor::new(&note.picture), ImageFormat::Png);
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(PhotoNote::SIDE as u32), Some(PhotoNote::SIDE as u32));
    reader.limits(limits);
    let picture = reader.decode().ok()?.into_rgba8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    Some(Pixels { width, height, channels: 4, data: picture.into_raw() })
}

#[cfg(test)]
mod tests {
    use image::RgbaImage;

    use super::*;

    fn photo(width: usize, height: usize, at: impl Fn(usize, usize) -> [u8; 4]) -> Photo {
        let pixels = (0..width * height).flat_map(|i| at(i % width, i / width)).collect();
        Photo { width, height, pixels }
    }

    fn crop(photo: &Photo, width: f32, turn: f32) -> Crop {
        Crop { centre: [photo.width as f32 / 2.0, photo.height as f32 / 2.0], width, turn }
    }

    #[test]
    fn a_crop_of_the_same_size_is_the_photo_and_quarter_turns_turn_it() {
        let photo = photo(4, 4, |x, y| [(10 * x) as u8, (10 * y) as u8, 7, 255]);
        let samples = |turn| photo.sampled(crop(&photo, 4.0, turn), None, [4, 4], [0; 3]);
        for (at, sample) in samples(0.0).iter().enumerate() {
            assert!(
                (sample[0] - (10 * (at % 4)) as f32).abs() < 1e-3 && (sample[1] - (10 * (at / 4)) as f32).abs() < 1e-3
            );
        }
        // Turned clockwise, the crop's right is the photo's lower side.
        for (at, sample) in samples(90.0).iter().enumerate() {
            assert!((sample[1] - (10 * (at % 4)) as f32).abs() < 1e-2, "{at}: {sample:?}");
        }
    }

    #[test]
    fn smaller_pictures_are_means_and_larger_ones_lie_between() {
        let photo = photo(64, 64, |x, _| [if x % 2 == 0 { 0 } else { 200 }, 0, 0, 255]);
        let small = photo.sampled(crop(&photo, 64.0, 0.0), None, [8, 8], [0; 3]);
        assert!(small.iter().all(|sample| (sample[0] - 100.0).abs() < 15.0), "{small:?}");
        let large = photo.sampled(crop(&photo, 8.0, 0.0), None, [64, 64], [0; 3]);
        assert!(large.iter().all(|sample| (0.0..=200.0).contains(&sample[0])));
    }

    #[test]
    fn what_is_transparent_shows_the_background() {
        let photo = photo(8, 8, |x, _| [200, 100, 0, if x < 4 { 0 } else { 255 }]);
        let samples = photo.sampled(crop(&photo, 8.0, 0.0), None, [8, 8], [10, 20, 30]);
        assert_eq!(
            (samples[0][..3].to_vec(), samples[7][..3].to_vec()),
            (vec![10.0, 20.0, 30.0], vec![200.0, 100.0, 0.0])
        );
    }

    #[test]
    fn files_that_are_no_photos_are_refused_by_what_is_wrong_with_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let message = |name: &str| Photo::read(&path(name)).unwrap_err().to_string();
        std::fs::write(path("text.png"), "no picture at all, but long enough").unwrap();
        assert!(message("text.png").contains("PNG, JPEG, WebP, BMP or TIFF"));
        RgbaImage::from_pixel(1, 40, Rgba([9; 4])).save(path("thin.png")).unwrap();
        assert!(message("thin.png").contains("found 1 x 40"), "{}", message("thin.png"));
        let mut bytes = Vec::new();
        RgbaImage::from_pixel(40, 40, Rgba([9; 4]))
            .write_to(&mut io::Cursor::new(&mut bytes), image::ImageFormat::Png)
            .unwrap();
        for length in 0..bytes.len() - 12 {
            std::fs::write(path("cut.png"), &bytes[..length]).unwrap();
            assert!(Photo::read(&path("cut.png")).is_err(), "{length} bytes were accepted");
        }
        assert!(Photo::read(&path("missing.png")).unwrap_err().to_string().contains("missing.png"));
        // A header that claims more than anybody has.
        let mut large = bytes.clone();
        large[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
        let crc = crc(&large[12..29]);
        large[29..33].copy_from_slice(&crc.to_be_bytes());
        std::fs::write(path("large.png"), &large).unwrap();
        assert!(message("large.png").contains("found 30000 x 30000"), "{}", message("large.png"));
    }

    /// Of PNG's chunks.
    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 })
        })
    }

    #[test]
    fn every_kind_of_picture_is_read_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let plain = RgbaImage::from_fn(16, 12, |x, y| Rgba([(x * 15) as u8, (y * 20) as u8, 128, 255]));
        let image = DynamicImage::ImageRgba8(plain);
        for (name, image, bound) in [
            ("a.png", image.clone(), 0),
            ("a.bmp", image.to_rgb8().into(), 0),
            ("a.tiff", image.to_rgb8().into(), 0),
            ("a.webp", image.clone(), 0),
            ("a.jpg", image.to_rgb8().into(), 30),
            ("deep.png", DynamicImage::ImageRgb16(image.to_rgb16()), 0),
            ("deep.tiff", DynamicImage::ImageRgb16(image.to_rgb16()), 0),
        ] {
            let path = folder.path().join(name);
            image.save(&path).unwrap();
            let photo = Photo::read(&path).unwrap();
            assert_eq!((photo.width, photo.height), (16, 12), "{name}");
            let expected = image.to_rgba8().into_raw();
            let worst = photo.pixels.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(bound), "{name}: {worst:?}");
        }
        let grey = folder.path().join("grey.png");
        image.to_luma8().save(&grey).unwrap();
        assert!(Photo::read(&grey).unwrap().pixels.chunks_exact(4).all(|p| p[0] == p[1] && p[1] == p[2]));
    }

    #[test]
    fn masks_have_the_photos_size_and_leave_something() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.png");
        let plain = photo(10, 9, |_, _| [1, 2, 3, 255]);
        RgbaImage::from_pixel(9, 10, Rgba([255; 4])).save(&path).unwrap();
        let message = Mask::read(&path, &plain).unwrap_err().to_string();
        assert!(message.contains("10 x 9") && message.contains("9 x 10"), "{message}");
        RgbaImage::from_pixel(10, 9, Rgba([0, 0, 0, 255])).save(&path).unwrap();
        assert!(matches!(Mask::read(&path, &plain), Err(PhotoError::Hidden { .. })));
        RgbaImage::from_fn(10, 9, |x, _| Rgba([255, 255, 255, if x < 5 { 255 } else { 0 }])).save(&path).unwrap();
        let mask = Mask::read(&path, &plain).unwrap();
        let samples = plain.sampled(crop(&plain, 10.0, 0.0), Some(&mask), [9, 10], [0; 3]);
        assert_eq!((samples[0][3], samples[9][3]), (255.0, 0.0));
    }
}
