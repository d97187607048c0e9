//! What leaves the program: pictures with their edit inside, contact sheets, sheets of directions, films, tables, arrays, converted weights.
//! And the latent codes of other tools that come in. Every file is written whole or not at all ([`crate::files`]).

mod canvas;
mod direction_sheet;
mod film;
mod heat_map;
mod latents;
mod npy;
mod png;
mod sequence;
mod series;
mod sheet;
mod sink;
mod study_page;
mod table;
mod weights;

use std::io;
use std::path::PathBuf;

pub use direction_sheet::{MAX_CELL, MAX_STEPS, SheetError, SheetFormat, SheetPlan, SheetRow, SheetRun, render_sheet};
pub use film::{FilmError, FilmFormat, FilmPlan, MAX_FILM_SIDE};
pub use heat_map::{HeatMap, HeatMapError};
pub use latents::{Codes, DirectionsAs, ForeignDirection, ForeignDirections, Latents, LatentsError, Space};
pub use npy::{write_npy, write_npz};
pub use png::write_png;
pub use sequence::{FilmTarget, Sequence, SequenceStep, Shot, Sweep, render_sequence, sweep_values};
pub use series::{Older, SHEET, clear_for_series, files_of_series, frame_name};
pub use sheet::{ContactSheet, sheet_columns};
pub use sink::{FrameSink, SequenceFrame, ThreadSink};
pub use study_page::{StudyItem, write_study};
pub use table::{Cell, Column, Table, TableFormat};
pub use weights::{NumberFormat, write_weights};

use crate::files::WriteError;
use crate::layout::LayoutError;
use crate::progress::Cancelled;
use crate::render::RenderError;

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("cannot make or read the folder {path}")]
    Folder { path: PathBuf, source: io::Error },
    #[error("{folder} holds {files} files of an older series of frames")]
    OlderSeries { folder: PathBuf, files: usize },
    #[error("cannot remove {path}, a frame of an older series")]
    Remove { path: PathBuf, source: io::Error },
    #[error("cannot encode {path}")]
    Encode { path: PathBuf, source: ::png::EncodingError },
    #[error("tensor {tensor} holds {value}, more than half precision can store (65504)")]
    HalfRange { tensor: String, value: f32 },
    #[error("cannot write the header of {path}")]
    Header { path: PathBuf, source: safetensors::SafeTensorError },
    #[error("a thread that encodes and writes stopped unexpectedly")]
    Stopped,
    #[error(transparent)]
    HeatMap(#[from] HeatMapError),
    #[error(transparent)]
    Sheet(#[from] SheetError),
    #[error(transparent)]
    Film(#[from] FilmError),
    #[error(transparent)]
    Weights(#[from] LayoutError),
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}
