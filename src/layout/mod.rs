//! Named tensors -> the canonical weights of one family, whatever layout the file has.
//!
//! [`detect`] finds the generator in a checkpoint and recognises its layout by names and shapes alone. What comes out has
//! one spelling per family ([`Weights`]), so that `generator/` knows nothing of files. Shapes come from the tensors, never
//! from the tables of the public models.

mod assembly;
mod basicsr;
mod biggan;
mod biggan_deep;
mod chain;
mod conventions;
mod dcgan;
mod detect;
mod entry;
mod error;
mod flow;
mod foreign;
mod genforce;
mod interfacegan;
mod keras;
mod kind;
mod lernapparat;
mod mapping;
mod mmgeneration;
mod nvidia;
mod onnx;
mod pggan;
mod rosinality;
mod script;
mod state_dict;
mod stated;
mod style_based;
mod stylegan;
mod stylegan2;
mod stylegan3;
mod tensorflow;
mod unwrap;
mod weights;

pub(crate) use assembly::PgganClasses;
pub use chain::{Axis, EPSILON, Reading};
pub use conventions::{ChannelOrder, Conventions, LatentNorm, SETTINGS, Upsampling};
pub use detect::{GIVEN_RECIPE, detect};
pub use error::{LayoutError, LayoutProblem, Names};
pub use weights::Weights;

#[cfg(test)]
mod family_tests;
#[cfg(test)]
mod fixture_tests;
#[cfg(test)]
mod foreign_tests;
#[cfg(test)]
mod pickling;
#[cfg(test)]
mod refusal_tests;
#[cfg(test)]
mod spelling_tests;
#[cfg(test)]
mod stated_tests;
#[cfg(test)]
mod style_tests;
