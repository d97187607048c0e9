//! Small pictures in files that may be deleted at any time.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;

use egui::ColorImage;
use image::{ImageFormat, ImageReader, Limits, RgbaImage, imageops};

use crate::export;
use crate::render::Pixels;

/// Pixels of the longer side.
const SIDE: usize = 96;
/// Longest file that is read, in bytes.
const MAX_BYTES: u64 = 256 << 10;

/// Writes a picture in small. That it cannot be written is no matter: it can be made again.
pub fn write(path: &Path, picture: &ColorImage) {
    if let Some(folder) = path.parent() {
        let _ = fs::create_dir_all(folder);
    }
    let written = small(picture).map(|pixels| export::write_png(path, &pixels, None));
    if let Some(Err(error)) = written {
        tracing::debug!("{error}");
    }
}

fn small(picture: &ColorImage) -> Option<Pixels> {
    let [width, height] = picture.size;
    let bytes = picture.pixels.iter().flat_map(|pixel| pixel.to_srgba_unmultiplied()).collect();
    let whole = RgbaImage::from_raw(width.try_into().ok()?, height.try_into().ok()?, bytes)?;
    let longer = width.max(height).max(1);
    let [width, height] = [width, height].map(|side| (side * SIDE.min(longer) / longer).max(1));
    let small = imageops::thumbnail(&whole, width.try_into().ok()?, height.try_into().ok()?);
    Some(Pixels { width, height, channels: 4, data: small.into_raw() })
}

/// Reads a small picture; `None` if there is none.
pub fn read(path: &Path) -> Option<ColorImage> {
    // Asked before opening, because opening a pipe would wait for somebody to write.
    let file = fs::metadata(path).is_ok_and(|facts| facts.is_file()).then(|| File::open(path).ok()).flatten()?;
    let mut bytes = Vec::new();
    BufReader::new(file).take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    let mut reader = ImageReader::with_format(std::io::Cursor::new(bytes), ImageFormat::Png);
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(SIDE as u32), Some(SIDE as u32));
    reader.limits(limits);
    let picture = reader.decode().ok()?.into_rgba8();
    let size = [picture.width() as usize, picture.height() as usize];
    Some(ColorImage::from_rgba_unmultiplied(size, picture.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::Color32;

    #[test]
    fn a_picture_is_written_small_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/a.png");
        assert!(read(&path).is_none());
        write(&path, &ColorImage::filled([400, 200], Color32::LIGHT_BLUE));
        assert_eq!(read(&path).unwrap(), ColorImage::filled([96, 48], Color32::LIGHT_BLUE));
        write(&path, &ColorImage::filled([16, 32], Color32::LIGHT_BLUE));
        assert_eq!(read(&path).unwrap().size, [16, 32], "nothing is enlarged");
    }

    #[test]
    fn what_is_no_small_picture_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        fs::write(&path, "no picture").unwrap();
        assert!(read(&path).is_none());
        let large = Pixels { width: 500, height: 1, channels: 4, data: vec![0; 2000] };
        export::write_png(&path, &large, None).unwrap();
        assert!(read(&path).is_none());
        assert!(read(folder.path()).is_none());
        #[cfg(unix)]
        {
            let pipe = folder.path().join("pipe.png");
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            assert!(read(&pipe).is_none(), "nobody is waited for");
        }
    }
}
