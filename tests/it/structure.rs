//! The architecture, checked: dependencies point one way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

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
    let src = src();
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
        &["generator/", "ops/", "perceptual.rs", "render/", "gpu.rs"],
    );
}

/// What each module may use of the others. Of two modules at most one may use the other, directly or by way of third ones.
const ARROWS: [(&str, &[&str]); 34] = [
    ("classes", &[]),
    ("edit", &[]),
    ("eigen", &[]),
    ("failure", &[]),
    ("family", &[]),
    ("files", &[]),
    ("limits", &[]),
    ("ops", &[]),
    ("progress", &[]),
    ("recipe", &[]),
    ("size", &[]),
    ("checkpoint", &["limits", "progress"]),
    ("gpu", &["ops"]),
    ("latent", &["edit", "recipe"]),
    ("motion", &["edit"]),
    ("names", &["edit"]),
    ("pca", &["eigen"]),
    ("sefa", &["edit", "eigen"]),
    ("directions", &["edit", "pca", "sefa"]),
    ("layout", &["checkpoint", "family", "limits", "recipe", "size"]),
    (
        "generator",
        &[
            "checkpoint",
            "edit",
            "family",
            "latent",
            "layout",
            "limits",
            "names",
            "ops",
            "progress",
            "recipe",
            "sefa",
            "size",
        ],
    ),
    ("predictor", &["checkpoint", "limits", "ops", "progress"]),
    ("project", &["edit", "generator", "names", "recipe"]),
    (
        "render",
        &[
            "checkpoint",
            "edit",
            "family",
            "generator",
            "gpu",
            "latent",
            "layout",
            "ops",
            "pca",
            "progress",
            "sefa",
            "size",
        ],
    ),
    ("analysis", &["directions", "edit", "eigen", "layout", "pca", "predictor", "progress", "render"]),
    ("perceptual", &["checkpoint", "generator", "ops", "progress"]),
    ("invert", &["edit", "family", "generator", "layout", "pca", "perceptual", "progress", "render", "size"]),
    (
        "export",
        &["checkpoint", "edit", "files", "generator", "layout", "motion", "progress", "project", "recipe", "render"],
    ),
    ("store", &["files", "project"]),
    ("library", &["directions", "edit", "files", "generator", "names", "project", "store"]),
    (
        "tasks",
        &[
            "analysis",
            "directions",
            "edit",
            "export",
            "generator",
            "invert",
            "motion",
            "pca",
            "predictor",
            "progress",
            "project",
            "render",
        ],
    ),
    (
        "worker",
        &[
            "directions",
            "edit",
            "export",
            "failure",
            "generator",
            "gpu",
            "invert",
            "progress",
            "recipe",
            "render",
            "tasks",
        ],
    ),
    (
        "ui",
        &[
            "analysis",
            "classes",
            "directions",
            "edit",
            "export",
            "failure",
            "files",
            "generator",
            "gpu",
            "invert",
            "layout",
            "library",
            "limits",
            "motion",
            "names",
            "pca",
            "predictor",
            "progress",
            "project",
            "recipe",
            "render",
            "store",
            "tasks",
            "worker",
        ],
    ),
    (
        "cli",
        &[
            "analysis",
            "classes",
            "directions",
            "edit",
            "export",
            "family",
            "files",
            "generator",
            "gpu",
            "invert",
            "layout",
            "library",
            "motion",
            "names",
            "ops",
            "pca",
            "perceptual",
            "predictor",
            "progress",
            "project",
            "recipe",
            "render",
            "size",
            "store",
            "ui",
        ],
    ),
];

/// A use of one module by another, outside tests.
#[derive(Debug)]
struct Use {
    from: String,
    to: String,
    /// File and line.
    place: String,
}

/// The modules that `lib.rs` declares.
fn modules() -> BTreeSet<String> {
    let lib = fs::read_to_string(src().join("lib.rs")).unwrap();
    let names = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    names.map(str::to_owned).collect()
}

/// Names that a line of the module `at` (its path within the crate) takes from the crate's root.
fn from_root<'a>(line: &'a str, at: &[String]) -> impl Iterator<Item = &'a str> {
    let up = "super::".repeat(at.len());
    let starts: Vec<usize> = ["crate::".to_owned(), up]
        .iter()
        .flat_map(|prefix| {
            line.match_indices(prefix.as_str()).map(|(start, _)| start + prefix.len()).collect::<Vec<_>>()
        })
        .collect();
    starts.into_iter().map(move |start| {
        let rest = &line[start..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        assert!(end > 0, "{at:?}: {line:?}: name one module of the crate in each line, so that arrows can be seen");
        &rest[..end]
    })
}

fn uses() -> Vec<Use> {
    let modules = modules();
    let mut uses = Vec::new();
    for file in sources(&src()) {
        let relative = file.strip_prefix(src()).unwrap();
        let mut at: Vec<String> =
            relative.with_extension("").iter().map(|part| part.to_string_lossy().into()).collect();
        at.pop_if(|last| last == "mod");
        let from = at[0].clone();
        if !modules.contains(&from) || at.iter().any(|part| part.ends_with("tests")) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        // Tests stand at the end of a file, and may use whatever they need.
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
        for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for to in from_root(line, &at).filter(|to| modules.contains(*to) && *to != from) {
                let place = format!("src/{}:{}", relative.display(), number + 1);
                uses.push(Use { from: from.clone(), to: to.to_owned(), place });
            }
        }
    }
    uses
}

#[test]
fn modules_use_only_those_that_the_table_names() {
    let (allowed, uses) = (BTreeMap::from(ARROWS), uses());
    let listed: BTreeSet<String> = allowed.keys().map(|&module| module.to_owned()).collect();
    assert_eq!(listed, modules(), "every module has its line in the table");
    let forbidden = uses.iter().filter(|used| !allowed[used.from.as_str()].contains(&used.to.as_str()));
    let forbidden: Vec<String> =
        forbidden.map(|Use { from, to, place }| format!("{place}: {from} may not use {to}")).collect();
    assert!(forbidden.is_empty(), "{}", forbidden.join("\n"));
    let used: BTreeSet<(&str, &str)> = uses.iter().map(|used| (used.from.as_str(), used.to.as_str())).collect();
    for (from, targets) in ARROWS {
        let idle: Vec<&&str> = targets.iter().filter(|to| !used.contains(&(from, **to))).collect();
        assert!(idle.is_empty(), "the table lets {from} use {idle:?}, which it does not");
    }
}

#[test]
fn arrows_run_one_way() {
    let mut left = BTreeMap::from(ARROWS);
    // Modules that use nothing that is left are taken away, until none is left, or they use each other in a circle.
    while !left.is_empty() {
        let bottom: Vec<&str> = left
            .iter()
            .filter(|(_, targets)| targets.iter().all(|to| !left.contains_key(to)))
            .map(|(&module, _)| module)
            .collect();
        assert!(!bottom.is_empty(), "a circle among {:?}", left.keys());
        left.retain(|module, _| !bottom.contains(module));
    }
}

#[test]
fn uses_are_seen_however_they_are_written() {
    let names = |line, at: &[&str]| {
        let at: Vec<String> = at.iter().map(|&part| part.to_owned()).collect();
        from_root(line, &at).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names("use crate::edit::{Edit, Move};", &["a"]), ["edit"]);
    assert_eq!(names("    let x = crate::edit::f(crate::render::g());", &["a", "b"]), ["edit", "render"]);
    assert_eq!(names("use super::render::Engine;", &["a"]), ["render"]);
    assert_eq!(names("use super::sibling::Thing;", &["a", "b"]), [""; 0]);
    assert_eq!(names("use super::super::render::Engine;", &["a", "b"]), ["render"]);
}
