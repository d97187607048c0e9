//! `sefa-studio [FILE]`: opens the window.

use super::arguments::DeviceArguments;
use crate::render::{Example, Source};
use crate::ui::{self, WindowOptions};

/// Returns when the window is closed. Without a file, the generator inside the program is opened.
pub fn run(file: Option<Source>, device: DeviceArguments) -> anyhow::Result<()> {
    let source = file.unwrap_or(Source::Example(Example::default()));
    let DeviceArguments { device, precision } = device;
    ui::run(WindowOptions { source, device, precision })
}
