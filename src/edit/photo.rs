//! The photo that a code was found for.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A part of a photo: a rectangle of the proportions of a model's pictures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// Its middle, in pixels from the photo's upper left corner.
    pub centre: [f32; 2],
    /// In pixels of the photo.
    pub width: f32,
    /// In degrees, clockwise.
    pub turn: f32,
}

/// What an edit remembers of the photo that its code was found for: enough to compare, on any machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhotoNote {
    /// File name, without its folder.
    pub name: String,
    pub crop: Crop,
    /// What was cut out, in small: a PNG file of at most [`PhotoNote::SIDE`] pixels along its larger side.
    #[serde(serialize_with = "write_base64", deserialize_with = "read_base64")]
    pub picture: Vec<u8>,
}

impl PhotoNote {
    /// Of the small picture, in pixels.
    pub const SIDE: usize = 256;
    /// Of its file: more than such a picture takes without compression.
    pub const MAX_BYTES: usize = 512 << 10;
}

fn write_base64<S: Serializer>(bytes: &[u8], file: S) -> Result<S::Ok, S::Error> {
    file.serialize_str(&BASE64_STANDARD.encode(bytes))
}

fn read_base64<'de, D: Deserializer<'de>>(file: D) -> Result<Vec<u8>, D::Error> {
    let bytes = BASE64_STANDARD.decode(String::deserialize(file)?).map_err(D::Error::custom)?;
    if bytes.len() > PhotoNote::MAX_BYTES {
        let (found, most) = (bytes.len(), PhotoNote::MAX_BYTES);
        return Err(D::Error::custom(format!("a photo's picture of {found} bytes, expected at most {most}")));
    }
    Ok(bytes)
}
