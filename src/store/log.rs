//! The log: what this program did, and what the libraries under it warn of, so that a fault that was met elsewhere can be
//! understood. Two files of limited size; nothing is printed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

use super::lock::refuse_what_waits;

/// The present file; the one before it ends in `.old.log`.
pub const FILE: &str = "sefa-studio.log";
const OLD_FILE: &str = "sefa-studio.old.log";
/// A file that is longer becomes the old one.
const MAX_BYTES: u64 = 1 << 20;

/// Starts the log in `folder`: our own messages from "info" on, those of libraries from "warn" on. The first call counts.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn start(folder: &Path) -> io::Result<()> {
    let file = LogFile::open(folder, MAX_BYTES)?;
    let shown = Targets::new().with_default(LevelFilter::WARN).with_target(env!("CARGO_CRATE_NAME"), LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer().with_writer(file).with_ansi(false).with_filter(shown);
    if tracing_subscriber::registry().with(lines).try_init().is_ok() {
        let (version, system, processor) = (env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
        let arguments: Vec<_> = std::env::args_os().skip(1).collect();
        tracing::info!(process = std::process::id(), ?arguments, "SeFa Studio {version} on {system} {processor}");
    }
    Ok(())
}

/// Sends every panic to the log: which thread, where, and (by the spans around it) at what. `is_shown`: also to the hook that
/// was set before.
pub fn take_panics(is_shown: bool) {
    let before = take_hook();
    set_hook(Box::new(move |panic| {
        log_panic(panic);
        if is_shown {
            before(panic);
        }
    }));
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let location = panic.location().map_or_else(String::new, ToString::to_string);
    let message = panic.payload_as_str().unwrap_or("of unknown kind");
    tracing::error!(thread = thread.name().unwrap_or("unnamed"), location, "panic: {message}");
}

/// A file that is exchanged for a new one when it is long. Several processes may write it: each line is one write at its end.
struct LogFile {
    folder: PathBuf,
    most: u64,
    file: Mutex<File>,
}

impl LogFile {
    fn open(folder: &Path, most: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(LogFile { folder: folder.into(), most, file: Mutex::new(append(&folder.join(FILE))?) })
    }
}

fn append(path: &Path) -> io::Result<File> {
    refuse_what_waits(path)?;
    File::options().append(true).create(true).open(path)
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine { log: self, file: self.file.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// One message on its way into the file.
struct LogLine<'a> {
    log: &'a LogFile,
    file: MutexGuard<'a, File>,
}

impl Write for LogLine<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.file.metadata()?.len() > self.log.most {
            let path = self.log.folder.join(FILE);
            // Another process may have exchanged it already.
            if path.metadata().is_ok_and(|facts| facts.len() > self.log.most) {
                fs::rename(&path, self.log.folder.join(OLD_FILE))?;
            }
            *self.file = append(&path)?;
        }
        self.file.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_two_files_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let (log, other) = (LogFile::open(folder.path(), 1000).unwrap(), LogFile::open(folder.path(), 1000).unwrap());
        for number in 0..100 {
            let log = if number % 3 == 0 { &other } else { &log };
            log.make_writer().write_all(format!("{number:099}\n").as_bytes()).unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [FILE, OLD_FILE]);
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(text(FILE).len() + text(OLD_FILE).len() < 3000);
        assert!(text(FILE).ends_with(&format!("{:099}\n", 99)), "the newest line is in the new file");
    }

    const FOLDER: &str = "SEFA_STUDIO_TEST_LOG";

    #[test]
    #[ignore = "the next test runs it in a process of its own, because log and panic hook are the process's"]
    fn panics_into_the_log() {
        start(Path::new(&std::env::var_os(FOLDER).unwrap())).unwrap();
        take_panics(false);
        tracing::warn!(target: "wgpu_core", "a library warns");
        tracing::info!(target: "wgpu_core", "a library chatters");
        let work = || {
            let _at = tracing::info_span!("rendering", seed = 17).entered();
            panic!("out of {}", "memory");
        };
        assert!(thread::Builder::new().name("engine".into()).spawn(work).unwrap().join().is_err());
    }

    #[test]
    fn a_panic_is_in_the_log_with_thread_place_and_work() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--ignored", "--exact", "store::log::tests::panics_into_the_log"]);
        let output = child.env(FOLDER, folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let log = fs::read_to_string(folder.path().join(FILE)).unwrap();
        let line = log.lines().find(|line| line.contains("panic: out of memory")).unwrap_or_else(|| panic!("{log}"));
        for part in ["ERROR", "thread=\"engine\"", "log.rs:", "rendering{seed=17}"] {
            assert!(line.contains(part), "no {part} in {line}");
        }
        assert!(log.contains("a library warns") && !log.contains("chatters") && log.contains("SeFa Studio"), "{log}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("memory"), "nothing is printed");
    }
}
