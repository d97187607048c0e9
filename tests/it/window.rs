//! The real window, on a virtual display: it opens, and shows a picture.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A process that ends with the test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Colours in the middle third of the screen, from the frame buffer that Xvfb keeps in a file (X window dump, 32 bits a pixel).
fn colours_in_the_middle(dump: &Path) -> usize {
    let Ok(bytes) = fs::read(dump) else { return 0 };
    let field = |index: usize| {
        let bytes = bytes.get(4 * index..4 * index + 4).and_then(|b| b.try_into().ok());
        bytes.map_or(0, u32::from_be_bytes) as usize
    };
    let (header, width, height, stride, colours) = (field(0), field(4), field(5), field(12), field(19));
    let pixels = header + 12 * colours;
    let mut seen = std::collections::HashSet::new();
    for y in height / 3..2 * height / 3 {
        for x in width / 3..2 * width / 3 {
            let at = pixels + y * stride + 4 * x;
            seen.extend(bytes.get(at..at + 3).map(<[u8]>::to_vec));
        }
    }
    seen.len()
}

/// Starts a virtual display whose frame buffer lies in `folder`, and returns its name; `None`, said, where there is no Xvfb.
pub fn display(number: u32, folder: &Path) -> Option<(Running, String)> {
    let display = format!(":{number}");
    // Without -noreset it starts anew when its last window goes, and refuses those that come meanwhile.
    let arguments = [display.as_str(), "-noreset", "-screen", "0", "1280x800x24", "-nolisten", "tcp", "-fbdir"];
    let server = Command::new("Xvfb").args(arguments).arg(folder).stderr(Stdio::null()).spawn();
    let server = match server {
        Ok(server) => Running(server),
        Err(error) => {
            assert!(std::env::var_os("SEFA_STUDIO_ALL_TESTS").is_none(), "no Xvfb to test the window on: {error}");
            super::support::skipped(&format!("the window: Xvfb: {error}"));
            return None;
        }
    };
    let socket = PathBuf::from(format!("/tmp/.X11-unix/X{number}"));
    wait_for("the display", &mut || folder.join("Xvfb_screen0").exists() && socket.exists());
    Some((server, display))
}

/// Longer than anything takes even where many programs share two processors.
const PATIENCE: Duration = Duration::from_secs(300);

/// Waits for something, and returns how long that was.
pub fn wait_for(what: &str, done: &mut dyn FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited {} s for {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(100));
    }
    start.elapsed()
}

#[test]
fn the_window_opens_on_a_display_and_shows_the_first_picture() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_server, display)) = display(100 + std::process::id() % 900, folder.path()) else { return };
    let dump = folder.path().join("Xvfb_screen0");
    let home = tempfile::tempdir().unwrap();
    let mut window = Command::new(env!("CARGO_BIN_EXE_sefa-studio"));
    window.env("DISPLAY", &display).env_remove("WAYLAND_DISPLAY").env("HOME", home.path());
    window.env("SEFA_STUDIO_HOME", home.path()).stderr(Stdio::null());
    let mut window = Running(window.spawn().unwrap());
    wait_for("the picture", &mut || {
        assert_eq!(window.0.try_wait().unwrap(), None, "the program ended");
        // The panels around it have a handful of colours; a rendered head has thousands.
        colours_in_the_middle(&dump) > 500
    });
}

#[test]
fn without_a_display_the_program_names_the_headless_command() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sefa-studio"));
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").env_remove("WAYLAND_SOCKET");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("display") && message.contains("sefa-studio render --out"), "{message}");
}
