//! The architecture, checked: dependencies point one way.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(sources(&path)) } else { files.push(path) }
    }
    files
}

/// Files under `src/` whose code (comments aside) holds one of `words`, relative to `src/`.
fn users_of(words: &[&str]) -> Vec<String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut users = Vec::new();
    for file in sources(&src) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        if code.into_iter().any(|line| words.iter().any(|word| line.contains(word))) {
            users.push(file.strip_prefix(&src).unwrap().display().to_string());
        }
    }
    assert!(!users.is_empty(), "nobody uses {words:?}: this check looks for the wrong thing");
    users
}

#[track_caller]
fn assert_only(words: &[&str], allowed: &[&str]) {
    for user in users_of(words) {
        assert!(
            allowed.iter().any(|prefix| user.starts_with(prefix)),
            "src/{user} uses {words:?}; only {allowed:?} may"
        );
    }
}

#[test]
fn egui_appears_only_in_the_window() {
    assert_only(&["egui::", "egui_wgpu", "eframe::", "rfd::"], &["ui/"]);
}

#[test]
fn burn_appears_only_where_tensors_live() {
    assert_only(
        &["burn::", "burn_cubecl", "burn_flex", "burn_wgpu", "cubecl::"],
        &["generator/", "ops/", "render/", "gpu.rs"],
    );
}

#[test]
fn the_core_knows_nobody_above_it() {
    let upper = ["crate::ui", "crate::cli", "crate::worker", "crate::render", "crate::checkpoint", "crate::layout"];
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in [
        "edit.rs",
        "edit/direction.rs",
        "edit/layers.rs",
        "edit/seed.rs",
        "directions.rs",
        "latent/mod.rs",
        "sefa/mod.rs",
        "progress.rs",
    ] {
        let text = fs::read_to_string(src.join(file)).unwrap();
        for module in upper {
            assert!(!text.contains(module), "src/{file} uses {module}");
        }
    }
    assert_only(&["crate::ui"], &["ui/", "cli/"]);
    assert_only(&["crate::worker"], &["ui/"]);
    assert_only(&["crate::tasks"], &["ui/", "worker/"]);
}
