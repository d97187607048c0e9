//! The parts of the program that meet untrusted files, compiled from its own sources, and what the targets share.

#[path = "../../../src/checkpoint/mod.rs"]
pub mod checkpoint;
#[path = "../../../src/edit.rs"]
pub mod edit;
pub mod generator;
#[path = "../../../src/layout/mod.rs"]
pub mod layout;
#[path = "../../../src/progress.rs"]
pub mod progress;

use checkpoint::Checkpoint;

/// Reads a file as the program would: structure, layout, and all tensors.
pub fn read_all(file: Vec<u8>) {
    let Ok(checkpoint) = Checkpoint::from_bytes(file, "fuzz") else { return };
    if let Ok(weights) = layout::detect(checkpoint) {
        let _ = weights.identity();
    }
}
