//! A series in a folder: numbered frames, and the sheet of all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ExportError;

/// The name of the sheet beside the frames.
pub const SHEET: &str = "sheet.png";

/// Name of frame `number`: four digits, or as many as the number needs.
pub fn frame_name(number: usize, extension: &str) -> String {
    format!("frame_{number:04}.{extension}")
}

/// What to do with the frames that a folder holds already. A new series never mixes with an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Older {
    /// Is an error that says how many there are.
    Refuse,
    /// The older frames are removed first.
    Remove,
}

/// The files of a series in a folder, in no order; none if there is no folder.
///
/// # Errors
/// The folder cannot be read.
pub fn files_of_series(folder: &Path) -> Result<Vec<PathBuf>, ExportError> {
    let failed = |source| ExportError::Folder { path: folder.into(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let is_file = !entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_file && entry.file_name().to_str().is_some_and(is_of_series) {
            files.push(entry.path());
        }
    }
    Ok(files)
}

fn is_of_series(name: &str) -> bool {
    let number = name.strip_prefix("frame_").and_then(|rest| rest.strip_suffix(".png").or(rest.strip_suffix(".npy")));
    let is_number = |text: &str| text.len() >= 4 && text.bytes().all(|digit| digit.is_ascii_digit());
    name == SHEET || number.is_some_and(is_number)
}

/// Makes a folder ready for a new series.
///
/// # Errors
/// There is an older series and it is to stay, or a file of it cannot be removed.
pub fn clear_for_series(folder: &Path, older: Older) -> Result<(), ExportError> {
    let files = files_of_series(folder)?;
    match older {
        _ if files.is_empty() => Ok(()),
        Older::Refuse => Err(ExportError::OlderSeries { folder: folder.into(), files: files.len() }),
        Older::Remove => files
            .into_iter()
            .try_for_each(|path| fs::remove_file(&path).map_err(|source| ExportError::Remove { path, source })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_series_stays_unless_it_is_to_go_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        clear_for_series(&path.join("missing"), Older::Refuse).unwrap();
        clear_for_series(path, Older::Refuse).unwrap();
        let others = ["frame_1.png", "frame_0001.jpg", "frame_00a1.png", "notes.txt", "my sheet.png", "Frame_0001.png"];
        let frames = [&frame_name(0, "png"), &frame_name(0, "npy"), &frame_name(12345, "png"), SHEET];
        others.iter().chain(&frames).for_each(|name| fs::write(path.join(name), name).unwrap());
        fs::create_dir(path.join("frame_0002.png")).unwrap();
        let refused = clear_for_series(path, Older::Refuse).unwrap_err();
        assert!(matches!(&refused, ExportError::OlderSeries { files: 4, .. }), "{refused}");
        assert!(refused.to_string().contains(&path.display().to_string()));
        assert!(frames.iter().all(|name| path.join(name).exists()));
        clear_for_series(path, Older::Remove).unwrap();
        assert!(!frames.iter().any(|name| path.join(name).exists()));
        assert!(others.iter().all(|name| path.join(name).exists()));
    }
}
