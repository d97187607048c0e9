//! Projects inside pictures: the text chunk of a PNG file that holds the JSON.

use std::io::Cursor;

use png::text_metadata::ITXtChunk;
use png::{Decoder, DecodingError, Limits};

use super::{MAX_BYTES, Project};

/// Names the chunk.
const KEYWORD: &str = "SeFa Studio";

/// Memory that reading a picture's text may take: the longest project, once packed and once unpacked.
const MAX_DECODER_BYTES: usize = 2 * MAX_BYTES as usize;

/// True if `bytes` begin as every PNG file does.
pub fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG\r\n\x1a\n")
}

impl Project {
    /// What a PNG file carries so that it can be opened again as an edit.
    pub(crate) fn text_chunk(&self) -> ITXtChunk {
        let mut chunk = ITXtChunk::new(KEYWORD, self.to_json());
        chunk.compressed = true;
        chunk
    }
}

/// JSON of the project inside a PNG file; `None` if it has none. The picture itself is not decoded.
///
/// # Errors
/// The file is damaged or truncated before its text, or its text is longer than a project may be.
pub fn embedded_project(bytes: &[u8]) -> Result<Option<String>, DecodingError> {
    let decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MAX_DECODER_BYTES });
    let mut reader = decoder.read_info()?;
    if find_chunk(reader.info()).is_none() {
        // This program writes the text first; tools that save pictures again often put it last.
        reader.finish()?;
    }
    let Some(chunk) = find_chunk(reader.info()) else { return Ok(None) };
    let mut chunk = chunk.clone();
    chunk.decompress_text_with_limit(MAX_BYTES as usize)?;
    chunk.get_text().map(Some)
}

fn find_chunk<'a>(info: &'a png::Info<'_>) -> Option<&'a ITXtChunk> {
    info.utf8_text.iter().find(|chunk| chunk.keyword == KEYWORD)
}
