//! Films: the frames of a motion as one file.
//!
//! GIF, APNG and MP4 (H.264) are written by this program alone; every other kind of file is ffmpeg's, where that is installed.

mod apng;
mod ffmpeg;
mod gif;
mod mp4;

use std::path::{Path, PathBuf};

use super::ExportError;
use super::canvas::Canvas;
use super::sink::ThreadSink;
use crate::edit::Playback;
use crate::files::Draft;
use crate::render::Pixels;

/// Larger side of a film's frames at most, in pixels.
pub const MAX_FILM_SIDE: usize = 4096;

/// A film to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct FilmPlan {
    /// The end of its name says what kind of film; a file that is there is replaced.
    pub path: PathBuf,
    pub playback: Playback,
    pub frames: usize,
    /// Width and height of the pictures.
    pub picture: [usize; 2],
    /// Larger side of the film's frames in pixels; `None` is that of the pictures. Enlarged pixels stay squares.
    pub side: Option<usize>,
}

/// A kind of film.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilmFormat {
    Gif,
    Apng,
    Mp4,
    /// What ffmpeg calls it.
    Ffmpeg(String),
}

#[derive(Debug, thiserror::Error)]
pub enum FilmError {
    #[error(
        "{0}: expected a name that ends in .mp4, .gif or .png; where ffmpeg is installed, also .webm, .mkv, .mov or another that it \
         knows"
    )]
    Format(PathBuf),
    #[error("{path}: {kind} films have {}, found {found}", expected)]
    Limit { path: PathBuf, kind: &'static str, expected: &'static str, found: String },
    #[error("a film's larger side is {0} pixels, expected 1 to {MAX_FILM_SIDE}")]
    Side(usize),
    #[error("cannot encode {path}")]
    H264 { path: PathBuf, source: openh264::Error },
    #[error("cannot encode {path}")]
    Gif { path: PathBuf, source: ::gif::EncodingError },
    #[error("cannot encode {path}: {problem}")]
    Encode { path: PathBuf, problem: String },
    #[error("{path} can only be written by ffmpeg, which cannot be started; without it films are .mp4, .gif or .png")]
    NoFfmpeg { path: PathBuf, source: std::io::Error },
    #[error("ffmpeg could not write {path}: {message}")]
    Ffmpeg { path: PathBuf, message: String },
}

impl FilmFormat {
    /// By the end of a file's name.
    pub fn of(path: &Path) -> Option<FilmFormat> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "gif" => Some(FilmFormat::Gif),
            "png" | "apng" => Some(FilmFormat::Apng),
            "mp4" | "m4v" => Some(FilmFormat::Mp4),
            other => ffmpeg::format_of(other).map(FilmFormat::Ffmpeg),
        }
    }
}

impl FilmPlan {
    /// Width and height of the film's frames.
    ///
    /// # Errors
    /// No film has frames of that size.
    pub fn size(&self) -> Result<[usize; 2], FilmError> {
        let side = self.side.unwrap_or_else(|| self.picture[0].max(self.picture[1]));
        if !(1..=MAX_FILM_SIDE).contains(&side) {
            return Err(FilmError::Side(side));
        }
        Ok(scaled(self.picture, side))
    }

    fn limit(&self, kind: &'static str, expected: &'static str, found: String) -> FilmError {
        FilmError::Limit { path: self.path.clone(), kind, expected, found }
    }

    /// The thread that takes the frames. The film is written beside its place, and moved there when it is whole.
    ///
    /// # Errors
    /// There is no such kind of film, it cannot have such frames, or the file cannot be made.
    pub fn sink(&self) -> Result<ThreadSink, ExportError> {
        let size = self.size()?;
        let format = FilmFormat::of(&self.path).ok_or_else(|| FilmError::Format(self.path.clone()))?;
        let draft = |path: &Path| Draft::begin(path).map_err(ExportError::from);
        let writer: Box<dyn FilmWriter> = match format {
            FilmFormat::Gif => Box::new(gif::GifWriter::new(self, size, draft(&self.path)?)?),
            FilmFormat::Apng => Box::new(apng::ApngWriter::new(self, size, draft(&self.path)?)?),
            FilmFormat::Mp4 => Box::new(mp4::Mp4Writer::new(self, size, draft(&self.path)?)?),
            FilmFormat::Ffmpeg(name) => Box::new(ffmpeg::FfmpegWriter::new(self, size, &name, draft(&self.path)?)?),
        };
        Ok(ThreadSink::film(self.path.clone(), size, writer))
    }
}

/// Writes the frames of a film. Dropped before the end, it leaves nothing.
pub(super) trait FilmWriter: Send {
    /// RGB, all of one size.
    fn add(&mut self, frame: &Pixels) -> Result<(), ExportError>;

    /// No more frames come: the file gets its name.
    fn finish(self: Box<Self>) -> Result<(), ExportError>;
}

/// A picture as a frame of a film: RGB of that size.
pub(super) fn as_frame(picture: &Pixels, size: [usize; 2]) -> Pixels {
    let mut canvas = Canvas::new(size);
    canvas.draw_picture(picture, size, [0, 0]);
    canvas.into_pixels()
}

/// The size whose larger side is `side`.
fn scaled(picture: [usize; 2], side: usize) -> [usize; 2] {
    let larger = picture[0].max(picture[1]).max(1);
    picture.map(|length| ((length * side + larger / 2) / larger).max(1))
}
