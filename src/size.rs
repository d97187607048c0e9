//! The size of a picture, and of the maps that it grows from.

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// Width and height in pixels. Shown as "64 x 128".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    pub width: usize,
    pub height: usize,
}

impl Size {
    pub const fn new(width: usize, height: usize) -> Size {
        Size { width, height }
    }

    pub const fn square(side: usize) -> Size {
        Size { width: side, height: side }
    }

    pub fn pixels(self) -> usize {
        self.width * self.height
    }

    /// The size as layers double it.
    pub fn doubled(self, times: usize) -> Size {
        Size { width: self.width << times, height: self.height << times }
    }

    pub fn halved(self) -> Size {
        Size { width: self.width / 2, height: self.height / 2 }
    }

    pub fn larger(self) -> usize {
        self.width.max(self.height)
    }

    /// One number where that says all: "128", or "64x128".
    pub fn brief(self) -> String {
        if self.width == self.height { self.width.to_string() } else { self.name() }
    }

    /// For the names of stages: "128x128".
    pub fn name(self) -> String {
        format!("{}x{}", self.width, self.height)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.width, self.height)
    }
}

/// With `resolution`, the larger side, which was all there was to tell of squares.
impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut size = serializer.serialize_struct("Size", 3)?;
        size.serialize_field("width", &self.width)?;
        size.serialize_field("height", &self.height)?;
        size.serialize_field("resolution", &self.larger())?;
        size.end()
    }
}
