//! Films by ffmpeg, where it is installed: the frames go through a pipe.

use std::io::{Read, Seek, SeekFrom, Write};
use std::process::{Child, Command, Stdio};

use super::{FilmError, FilmPlan, FilmWriter};
use crate::export::ExportError;
use crate::files::Draft;
use crate::render::Pixels;

/// Letters of ffmpeg's complaint that are shown, from its end.
const MOST_LETTERS: usize = 600;

/// What ffmpeg calls files whose names end like that, if such an end can be one's.
pub(super) fn format_of(extension: &str) -> Option<String> {
    let name = match extension {
        "mkv" => "matroska",
        "ts" => "mpegts",
        "mpg" => "mpeg",
        "wmv" => "asf",
        other => other,
    };
    // It becomes an argument of another program.
    let is_plain = (1..=16).contains(&name.len()) && name.bytes().all(|letter| letter.is_ascii_alphanumeric());
    // Pictures and folders of series are ours, and text is no film.
    const NONE: [&str; 10] = ["html", "htm", "json", "txt", "jpg", "jpeg", "npy", "csv", "tif", "safetensors"];
    (is_plain && !NONE.contains(&name)).then(|| name.to_owned())
}

/// Ends with its film, finished or given up.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) struct FfmpegWriter {
    draft: Draft,
    ffmpeg: Running,
    /// What it says of what goes wrong. A file: a pipe that nobody reads would fill up.
    complaints: std::fs::File,
}

impl FfmpegWriter {
    pub(super) fn new(plan: &FilmPlan, size: [usize; 2], format: &str, draft: Draft) -> Result<Self, ExportError> {
        let complaints = tempfile::tempfile().map_err(|source| draft.failed(source))?;
        let complaints_of_child = complaints.try_clone().map_err(|source| draft.failed(source))?;
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"]);
        command.args(["-f", "rawvideo", "-pix_fmt", "rgb24"]);
        command.args(["-video_size", &format!("{}x{}", size[0], size[1])]);
        command.args(["-framerate", &plan.playback.fps.to_string(), "-i", "pipe:0", "-an"]);
        // Players know little but halved chroma, which takes even sizes.
        command.args(["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p"]);
        if format == "webp" {
            command.args(["-loop", if plan.playback.loops { "0" } else { "1" }]);
        }
        command.args(["-f", format]).arg(draft.place());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(complaints_of_child);
        let child = command.spawn().map_err(|source| FilmError::NoFfmpeg { path: plan.path.clone(), source })?;
        Ok(FfmpegWriter { draft, ffmpeg: Running(child), complaints })
    }

    /// Waits for its end, and tells why it failed, if it did.
    fn end(&mut self) -> Result<(), FilmError> {
        drop(self.ffmpeg.0.stdin.take());
        let path = || self.draft.path().to_owned();
        let status =
            self.ffmpeg.0.wait().map_err(|error| FilmError::Ffmpeg { path: path(), message: error.to_string() })?;
        if status.success() {
            return Ok(());
        }
        let mut said = Vec::new();
        let _ = self
            .complaints
            .seek(SeekFrom::Start(0))
            .and_then(|_| (&self.complaints).take(1 << 20).read_to_end(&mut said));
        // It knows the file by its temporary name.
        let said = String::from_utf8_lossy(&said);
        let said = said.replace(&*self.draft.place().to_string_lossy(), &self.draft.path().to_string_lossy());
        let said: Vec<char> = said.trim().chars().filter(|letter| !letter.is_control() || *letter == '\n').collect();
        let said: String = said[said.len().saturating_sub(MOST_LETTERS)..].iter().collect();
        let message = if said.is_empty() { status.to_string() } else { said };
        Err(FilmError::Ffmpeg { path: path(), message })
    }
}

impl FilmWriter for FfmpegWriter {
    fn add(&mut self, frame: &Pixels) -> Result<(), ExportError> {
        let written = self.ffmpeg.0.stdin.as_mut().map_or(Ok(()), |input| input.write_all(&frame.data));
        let Err(error) = written else { return Ok(()) };
        // It has ended by itself, and says why.
        self.end()?;
        Err(self.draft.failed(error).into())
    }

    fn finish(mut self: Box<Self>) -> Result<(), ExportError> {
        self.end()?;
        Ok(self.draft.keep()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_the_name_of_a_format_goes_to_ffmpeg() {
        assert_eq!(["webm", "mkv", "mov"].map(|end| format_of(end).unwrap()), ["webm", "matroska", "mov"]);
        for none in ["", "a b", "-i", "x;y", "html", "npy", "aaaaaaaaaaaaaaaaa"] {
            assert_eq!(format_of(none), None, "{none}");
        }
    }
}
