//! The real program, killed at random moments while it edits, saves and exports: whatever it wrote is whole, and what it had open
//! comes back. `SEFA_STUDIO_KILLS` says how often (`.ci/kill-session` a hundred times).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sefa_studio::project::Project;
use sefa_studio::store::{Folders, Session, Sessions};

use crate::window::{Running, display, wait_for};

/// A small generator of numbers (SplitMix64): a run can be repeated from its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

struct Stage {
    display: String,
    home: PathBuf,
    /// Where the program runs, and where it saves and exports.
    out: PathBuf,
    /// The longest that was waited for each thing.
    waits: RefCell<BTreeMap<String, Duration>>,
}

impl Stage {
    /// Starts the program and waits until it shows a model.
    fn start(&self) -> Running {
        let mut program = Command::new(env!("CARGO_BIN_EXE_sefa-studio"));
        program.current_dir(&self.out).env("DISPLAY", &self.display).env("SEFA_STUDIO_HOME", &self.home);
        // Without a bus there are no dialogs of the system, and paths are typed into the window.
        program.env_remove("WAYLAND_DISPLAY").env_remove("DBUS_SESSION_BUS_ADDRESS").env("XDG_RUNTIME_DIR", &self.home);
        let said = self.out.with_file_name("stderr");
        program.args(["--device", "cpu"]).stderr(fs::File::create(&said).unwrap());
        let mut program = Running(program.spawn().unwrap());
        let mut window = String::new();
        self.wait_for("the window", &mut || {
            let ended = program.0.try_wait().unwrap();
            assert_eq!(ended, None, "the program ended: {}", fs::read_to_string(&said).unwrap());
            window = self.xdotool("search --onlyvisible --name layers");
            !window.is_empty()
        });
        self.xdotool(&format!("windowfocus --sync {window}"));
        program
    }

    fn wait_for(&self, what: &str, done: &mut dyn FnMut() -> bool) {
        let took = wait_for(what, done);
        let mut waits = self.waits.borrow_mut();
        let longest = waits.entry(what.into()).or_default();
        *longest = took.max(*longest);
    }

    fn xdotool(&self, arguments: &str) -> String {
        let mut command = Command::new("xdotool");
        let output = command.args(arguments.split(' ')).env("DISPLAY", &self.display).stderr(Stdio::null()).output();
        String::from_utf8(output.expect("xdotool").stdout).unwrap().trim().to_owned()
    }

    /// Presses keys and confirms the path that is asked for until a new file is there.
    fn write_file(&self, keys: &str, extension: &str) -> PathBuf {
        let before = self.files(extension);
        let mut written = None;
        let mut tries = 0;
        self.wait_for(&format!("a new {extension} file after {keys}"), &mut || {
            // Keys that come before the window listens are lost.
            if tries % 20 == 0 {
                self.xdotool(&format!("key {keys}"));
            }
            tries += 1;
            self.xdotool("key Return");
            written = self.files(extension).into_iter().find(|path| !before.contains(path));
            written.is_some()
        });
        written.unwrap()
    }

    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.out).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|own| own == extension)).collect()
    }

    fn sessions(&self) -> Vec<PathBuf> {
        let files = files_below(&Folders::below(&self.home).sessions()).into_iter();
        files.filter(|path| path.extension().is_some_and(|own| own == "json")).collect()
    }

    /// Does what comes to mind, until the program is gone.
    fn play(&self, dice: &mut Dice, is_over: &dyn Fn() -> bool) {
        while !is_over() {
            match dice.roll(8) {
                0..3 => drop(self.xdotool(&format!("key --delay 15 {}", ["Right"; 5].join(" ")))),
                3 => {
                    // From the middle of a slider.
                    let [y, distance] = [185 + 22 * dice.roll(10), 10 + dice.roll(50)];
                    self.xdotool(&format!("mousemove 1150 {y} mousedown 1"));
                    self.xdotool(&format!("mousemove_relative {distance} 0 mousemove_relative 3 0 mouseup 1"));
                }
                4 => drop(self.xdotool("key ctrl+z")),
                5 => drop(self.xdotool("key ctrl+s")),
                6 => {
                    self.xdotool("key ctrl+e");
                    thread::sleep(Duration::from_millis(200));
                    self.xdotool("key Return");
                }
                _ => drop(self.xdotool("key Escape Right n k m")),
            }
        }
    }

    /// Checks every file that the program may write. Returns the session, and how many unfinished files lie about.
    fn inspect(&self) -> (Option<Session>, usize) {
        let folders = Folders::below(&self.home);
        let sessions = Sessions::new(&folders);
        let (mut found, mut unfinished) = (Vec::new(), 0);
        for path in files_below(&self.home).into_iter().chain(files_below(&self.out)) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(!name.contains(".broken-"), "{name}: something was not whole before");
            match path.extension().and_then(|extension| extension.to_str()) {
                _ if name.starts_with(".sefa-studio-") => unfinished += 1,
                Some("json") if path.starts_with(folders.sessions()) => {
                    found.push(sessions.look_at(&path).unwrap_or_else(|| panic!("{name} is half a session")));
                }
                Some("json") if path.starts_with(&self.out) => drop(Project::load(&path).unwrap()),
                Some("json") => drop(serde_json::from_slice::<serde_json::Value>(&fs::read(&path).unwrap()).unwrap()),
                Some("png") => {
                    let mut reader = png::Decoder::new(Cursor::new(fs::read(&path).unwrap())).read_info().unwrap();
                    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
                    reader.next_frame(&mut pixels).unwrap_or_else(|error| panic!("{name} is half a picture: {error}"));
                    reader.finish().unwrap();
                    if path.starts_with(&self.out) {
                        Project::load(&path).unwrap();
                    }
                }
                _ => {}
            }
        }
        assert!(found.len() <= 1, "{} sessions of one window", found.len());
        (found.pop(), unfinished)
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn killed_at_any_moment_the_program_leaves_whole_files_and_comes_back() {
    let kills: u32 = std::env::var("SEFA_STUDIO_KILLS").map_or(3, |text| text.parse().unwrap());
    let random = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    let seed = std::env::var("SEFA_STUDIO_KILL_SEED").map_or_else(|_| random(), |text| text.parse().unwrap());
    println!("{kills} kills from seed {seed}");
    let screen = tempfile::tempdir().unwrap();
    let Some((_server, display)) = display(1000 + std::process::id() % 900, screen.path()) else { return };
    if let Err(error) = Command::new("xdotool")
        .arg("version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .and_then(|mut it| it.wait())
    {
        assert!(std::env::var_os("SEFA_STUDIO_ALL_TESTS").is_none(), "no xdotool to press keys: {error}");
        return super::support::skipped(&format!("killing the window: xdotool: {error}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let (home, out) = (folder.path().join("home"), folder.path().join("out"));
    fs::create_dir_all(&out).unwrap();
    let stage = Stage { display, home, out, waits: RefCell::default() };
    let mut dice = Dice(seed);
    let (mut left, mut restored, mut unfinished, mut pictures, mut savings) = (None::<Session>, 0, 0, 0, 0);
    for round in 0..kills {
        let program = stage.start();
        if let Some(left) = &left {
            // What is exported now is what came back.
            let picture = stage.write_file("ctrl+e", "png");
            assert_eq!(Project::load(&picture).unwrap().edit, left.project.edit, "round {round}");
            restored += 1;
        } else {
            // Killed before there was anything to keep: its names are free again.
            stage.files("json").iter().for_each(|path| fs::remove_file(path).unwrap());
            savings += usize::from(stage.write_file("ctrl+s", "json").exists());
            if round > 0 {
                // Chance would have it that every round ends before a document is kept.
                stage.wait_for("the document on the disk", &mut || !stage.sessions().is_empty());
            }
        }
        let program = Arc::new(Mutex::new(program));
        let moment = Duration::from_millis(dice.roll(5000));
        let killer = {
            let program = program.clone();
            thread::spawn(move || {
                thread::sleep(moment);
                program.lock().unwrap().0.kill().unwrap();
            })
        };
        let start = Instant::now();
        stage.play(&mut dice, &|| start.elapsed() > moment);
        killer.join().unwrap();
        let status = program.lock().unwrap().0.wait().unwrap();
        assert_eq!(status.code(), None, "round {round}: the program ended by itself: {status}");
        let found = stage.inspect();
        assert!(left.is_none() || found.0.is_some(), "round {round}: the session is gone");
        left = found.0;
        unfinished += found.1;
        pictures += stage.files("png").len();
        // So that names are free again.
        stage.files("png").iter().for_each(|path| fs::remove_file(path).unwrap());
    }
    println!(
        "{kills} kills: {restored} restored, {pictures} pictures and {savings} first saves whole, {unfinished} unfinished files under names of their own"
    );
    println!("waited at most {:.1?}", stage.waits.borrow());
    assert!(restored + 2 >= kills, "{restored} of {kills} came back");
}
