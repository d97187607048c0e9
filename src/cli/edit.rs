//! `sefa-studio [FILE]`: opens the window.

use crate::gpu::DeviceChoice;
use crate::render::{Example, Source};
use crate::ui::{self, WindowOptions};

/// Returns when the window is closed. Without a file, the generator inside the program is opened.
pub fn run(file: Option<Source>, device: DeviceChoice) -> anyhow::Result<()> {
    let source = file.unwrap_or(Source::Example(Example::default()));
    ui::run(WindowOptions { source, device })
}
