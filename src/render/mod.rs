//! Edit -> picture: the engine, its stage cache, and the pictures that leave it.

mod engine;
mod picture;
mod screen;
mod source;

pub use engine::{Engine, RenderError, StageTime};
pub use picture::{Frame, FrameImage, Picture, Pixels};
pub use screen::{Screen, picture_texture};
pub use source::{Example, Source};
