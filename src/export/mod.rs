//! What leaves the program: pictures with their edit inside, contact sheets, arrays, converted weights. And the latent
//! codes of other tools that come in.
//!
//! Every file is written beside its target and renamed when it is complete, so a failure never leaves half a file.

mod latents;
mod npy;
mod png;
mod sequence;
mod sheet;
mod weights;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

pub use latents::{Codes, Latents, LatentsError, Space};
pub use npy::write_npy;
pub use png::{embedded_project, is_png, write_png};
pub use sequence::{FrameWriter, Sweep, sweep_values, write_sweep};
pub use sheet::ContactSheet;
pub use weights::{Precision, write_weights};

use crate::layout::LayoutError;
use crate::progress::Cancelled;
use crate::render::RenderError;

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("cannot write {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot make the folder {path}")]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot encode {path}")]
    Encode { path: PathBuf, source: ::png::EncodingError },
    #[error("damaged or truncated PNG file")]
    Decode(#[source] ::png::DecodingError),
    #[error("tensor {tensor} holds {value}, more than half precision can store (65504)")]
    HalfRange { tensor: String, value: f32 },
    #[error("cannot write the header of {path}")]
    Header { path: PathBuf, source: safetensors::SafeTensorError },
    #[error(transparent)]
    Weights(#[from] LayoutError),
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Writes a file through `content`, all of it or nothing: into a temporary file in the same folder, flushed to the disk,
/// then renamed to `path`.
fn write_atomically(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<&File>) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let failed = |source| ExportError::Write { path: path.into(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".sefa-studio-").suffix(".part");
    // The crate's default is private; a picture gets the permissions that any new file gets here.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder.tempfile_in(folder).map_err(failed)?;
    let mut writer = BufWriter::with_capacity(1 << 20, file.as_file());
    content(&mut writer)?;
    writer.flush().map_err(failed)?;
    drop(writer);
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Writes a file whose content is in memory. All of it or nothing.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    write_atomically(path, |file| {
        file.write_all(bytes).map_err(|source| ExportError::Write { path: path.into(), source })
    })
}
