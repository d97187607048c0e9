//! `sefa-studio [FILE]`: opens the window.

use super::arguments::DeviceArguments;
use crate::render::{Example, Source};
use crate::ui::{self, WindowOptions};

/// Returns when the window is closed. Without a file, the document that was left last is opened again; if there is none, or
/// `fresh` is asked for, the generator inside the program.
pub fn run(file: Option<Source>, fresh: bool, device: DeviceArguments) -> anyhow::Result<()> {
    let restore = file.is_none() && !fresh;
    let source = file.unwrap_or(Source::Example(Example::default()));
    let DeviceArguments { device, precision } = device;
    ui::run(WindowOptions { source, restore, device, precision })
}
