//! The one name of the generators that layouts use.

#[path = "../../../../src/generator/info.rs"]
pub mod info;

pub use info::Family;
