//! PNG files that carry the project they were made from, so that a picture can be opened again as an edit.

use std::path::Path;

use png::{BitDepth, ColorType, Encoder};

use super::ExportError;
use crate::files::write_bytes;
use crate::project::Project;
use crate::render::Pixels;

/// Writes a picture, with the project that makes it again. All of it or nothing.
pub fn write_png(path: &Path, pixels: &Pixels, project: Option<&Project>) -> Result<(), ExportError> {
    let bytes = encode(pixels, project).map_err(|source| ExportError::Encode { path: path.into(), source })?;
    Ok(write_bytes(path, &bytes)?)
}

/// The bytes of a PNG file.
pub(super) fn encode(pixels: &Pixels, project: Option<&Project>) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let side = |length: usize| u32::try_from(length).unwrap_or(0); // 0 is refused by the encoder
    let mut encoder = Encoder::new(&mut bytes, side(pixels.width), side(pixels.height));
    encoder.set_depth(BitDepth::Eight);
    encoder.set_color(match pixels.channels {
        1 => ColorType::Grayscale,
        4 => ColorType::Rgba,
        _ => ColorType::Rgb,
    });
    let mut writer = encoder.write_header()?;
    if let Some(project) = project {
        writer.write_text_chunk(&project.text_chunk())?;
    }
    writer.write_image_data(&pixels.data)?;
    writer.finish()?;
    Ok(bytes)
}
