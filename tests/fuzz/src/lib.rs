//! What the targets share: a file through the whole program.

use std::sync::atomic::{AtomicU64, Ordering};

use sefa_studio::checkpoint::Checkpoint;
use sefa_studio::edit::Weighting;
use sefa_studio::generator::Group;
use sefa_studio::gpu::RenderDevice;
use sefa_studio::layout;
use sefa_studio::progress::silent;
use sefa_studio::render::{Engine, Source};

/// Pixels of a network that is drawn; larger ones make slow runs and teach nothing new.
const SMALL: usize = 64 * 64;

/// Structure, layout and all tensors of a file; if they make a small network it is loaded, drawn and factorised on the CPU.
pub fn read_all(file: Vec<u8>) {
    let Ok(checkpoint) = Checkpoint::from_bytes(file.clone(), "fuzz") else { return };
    let Ok(weights) = layout::detect(checkpoint) else { return };
    let Ok(info) = sefa_studio::generator::describe(&weights, "fuzz") else { return };
    if info.size.pixels() <= SMALL {
        draw(&file);
    }
}

fn draw(file: &[u8]) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("sefa-studio-fuzz-{}-{number}", std::process::id()));
    if std::fs::write(&path, file).is_err() {
        return;
    }
    let mut engine = Engine::new(RenderDevice::cpu(None));
    if let Ok(info) = engine.open(&Source::File(path.clone()), &mut silent) {
        let _ = engine.render(&info.start(1)).and_then(|picture| picture.to_f32());
        if let Some(layers) = info.group(Group::All) {
            let _ = engine.factorize(&layers, Weighting::RowNormalised);
        }
    }
    let _ = std::fs::remove_file(path);
}
