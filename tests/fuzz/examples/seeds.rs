//! Writes the seed corpus from the fixtures: `cargo run --release --example seeds`.

use std::fmt::Write;
use std::fs;
use std::io::Result;
use std::path::{Path, PathBuf};

use sefa_studio::checkpoint::{Checkpoint, Container, Tree, Value};
use sefa_studio::layout;

/// Larger files make slow runs and teach nothing new.
const MAX_SEED: usize = 400_000;
/// Where files keep their networks.
const PARTS: [&str; 3] = ["generator_smooth", "generator", "g_ema"];

fn main() -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for case in fs::read_dir(here.join("../fixtures"))? {
        let case = case?.path();
        if !case.is_dir() {
            continue;
        }
        for file in fs::read_dir(&case)? {
            let file = file?.path();
            let name = format!("{}-{}", stem(&case), stem(&file));
            let bytes = fs::read(&file)?;
            let Ok(checkpoint) = Checkpoint::from_bytes(bytes.clone(), &name) else { continue };
            let target = match checkpoint.container {
                Container::Safetensors => "safetensors",
                Container::TorchLegacy | Container::PythonPickle => "pickle",
                _ => "torch_zip",
            };
            if bytes.len() <= MAX_SEED {
                write(here, target, &name, &bytes)?;
            }
            write(here, "layout", &format!("{name}-stored"), stored(&checkpoint.tree).as_bytes())?;
            if let Ok(weights) = layout::detect(checkpoint) {
                let mut text = String::new();
                weights.shapes().for_each(|(name, shape)| line(&mut text, name, shape));
                write(here, "layout", &format!("{name}-canonical"), text.as_bytes())?;
            }
        }
    }
    Ok(())
}

fn stem(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn write(here: &Path, target: &str, name: &str, bytes: &[u8]) -> Result<()> {
    let folder: PathBuf = here.join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

/// Names and shapes as the file has them.
fn stored(tree: &Tree) -> String {
    let root = tree.root();
    let part: Value = PARTS.iter().find_map(|part| tree.get(root, part)).unwrap_or(root);
    let mut text = String::new();
    for &(key, value) in tree.entries(part).unwrap_or_default() {
        if let (Some(name), Some(tensor)) = (tree.text(key), tree.tensor(value)) {
            line(&mut text, name, tensor.shape());
        }
    }
    text
}

fn line(text: &mut String, name: &str, shape: &[usize]) {
    let axes: String = shape.iter().map(|axis| format!(" {axis}")).collect();
    let _ = writeln!(text, "{name}{axes}");
}
