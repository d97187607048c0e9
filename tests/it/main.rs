//! Integration tests, one binary. Fixtures under `tests/fixtures` hold checkpoints and expected values that this project did
//! not compute (see the README there).

mod analysis;
mod cli;
mod engine;
mod export;
mod film;
mod finite;
mod foreign;
mod golden;
mod hostile;
mod invert;
#[cfg(feature = "gui")]
mod kept;
#[cfg(all(feature = "gui", target_os = "linux"))]
mod kill;
mod latents;
mod library;
mod measure;
mod perceptual;
mod predictor;
mod projects;
#[cfg(feature = "gui")]
mod saving;
mod screen;
#[cfg(feature = "gui")]
mod scripted;
mod seeds;
mod sheet;
mod structure;
mod support;
mod tiles;
#[cfg(feature = "gui")]
mod ui;
#[cfg(feature = "gui")]
mod ui_access;
#[cfg(feature = "gui")]
mod ui_widgets;
#[cfg(all(feature = "gui", target_os = "linux"))]
mod window;
mod worker;
