//! Edit -> picture: the engine, what it remembers, and the pictures that leave it.

mod components;
mod engine;
mod gradient;
mod model;
mod picture;
mod recent;
mod screen;
mod source;
mod tile_cache;
mod tiles;
mod trace;

pub use components::{CodeSource, ComponentSearch, moments_of};
pub use engine::{Engine, RenderError, StageTime};
pub use gradient::{Cost, Drawn, Gradients, Point, Slope};
pub use picture::{Frame, FrameImage, Picture, Pixels};
pub use screen::{Screen, picture_texture};
pub use source::{Example, Source};
pub use tile_cache::{TileCache, TileKey};
pub use tiles::{Made, Tile, TileResult, tile_size};
pub use trace::ViewId;
