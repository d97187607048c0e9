//! PNG files that carry the project they were made from, so that a picture can be opened again as an edit.

use std::io::Cursor;
use std::path::Path;

use png::text_metadata::ITXtChunk;
use png::{BitDepth, ColorType, Decoder, Encoder, Limits};

use super::ExportError;
use crate::files::write_bytes;
use crate::project::{self, Project};
use crate::render::Pixels;

/// Names the text chunk that holds the project as JSON.
const KEYWORD: &str = "SeFa Studio";

/// Memory that reading a picture's text may take: the longest project, once packed and once unpacked.
const MAX_DECODER_BYTES: usize = 2 * project::MAX_BYTES as usize;

/// Writes a picture, with the project that makes it again. All of it or nothing.
pub fn write_png(path: &Path, pixels: &Pixels, project: Option<&Project>) -> Result<(), ExportError> {
    let bytes = encode(pixels, project).map_err(|source| ExportError::Encode { path: path.into(), source })?;
    Ok(write_bytes(path, &bytes)?)
}

fn encode(pixels: &Pixels, project: Option<&Project>) -> Result<Vec<u8>, png::EncodingError> {
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
        let mut chunk = ITXtChunk::new(KEYWORD, project.to_json());
        chunk.compressed = true;
        writer.write_text_chunk(&chunk)?;
    }
    writer.write_image_data(&pixels.data)?;
    writer.finish()?;
    Ok(bytes)
}

/// True if `bytes` begin as every PNG file does.
pub fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG\r\n\x1a\n")
}

/// JSON of the project inside a PNG file; `None` if it has none. The picture itself is not decoded.
pub fn embedded_project(bytes: &[u8]) -> Result<Option<String>, ExportError> {
    let decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MAX_DECODER_BYTES });
    let mut reader = decoder.read_info().map_err(ExportError::Decode)?;
    if find_chunk(reader.info()).is_none() {
        // This program writes the text first; tools that save pictures again often put it last.
        reader.finish().map_err(ExportError::Decode)?;
    }
    let Some(chunk) = find_chunk(reader.info()) else { return Ok(None) };
    let mut chunk = chunk.clone();
    chunk.decompress_text_with_limit(project::MAX_BYTES as usize).map_err(ExportError::Decode)?;
    chunk.get_text().map(Some).map_err(ExportError::Decode)
}

fn find_chunk<'a>(info: &'a png::Info<'_>) -> Option<&'a ITXtChunk> {
    info.utf8_text.iter().find(|chunk| chunk.keyword == KEYWORD)
}
