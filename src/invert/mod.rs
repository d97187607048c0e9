//! Inversion: the code whose picture is nearest to a photo, found by gradients of the model's own network (Zhu et al., ECCV 2016; Abdal
//! et al., ICCV 2019; Karras et al., CVPR 2020, appendix D). What is found is an ordinary code, to be edited like any other.
//!
//! ```text
//!  file --photo--> Photo --crop--> Target ----------------.
//!  samples of the model --search--> start --gradients--> code, and how near it is
//! ```

mod adam;
mod cost;
mod descent;
mod knowledge;
mod mask;
mod perceived;
mod photo;
mod search;
mod settings;
mod space;
mod typical;
mod view;

pub use mask::Mask;
pub use photo::{PHOTO_ENDINGS, Photo, PhotoError, Target, noted_picture};
pub use search::{Found, Glimpse, Search};
pub use settings::{SearchSpace, Settings};

use crate::perceptual::PerceptualError;
use crate::render::RenderError;

#[derive(Debug, thiserror::Error)]
pub enum InvertError {
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error("{model} has no w: its codes are z; expected the space z")]
    NoW { model: String },
    #[error("a search in {space} can only go on from a code of {space}")]
    From { space: SearchSpace },
    #[error(transparent)]
    Perceptual(#[from] PerceptualError),
    #[error("the values of {model} overflow wherever the search goes: it was given up after three smaller steps")]
    Overflow { model: String },
}
