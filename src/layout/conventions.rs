//! What no tensor of a style-based network holds, and its pictures depend on. Layouts have it from the code that they belong
//! to; files that this program wrote have it in their metadata, under the same words.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// StyleGAN2 (the first two of its mapping and synthesis networks) and what its pictures are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conventions {
    pub upsampling: Upsampling,
    pub latent_norm: LatentNorm,
    pub channel_order: ChannelOrder,
}

/// How StyleGAN2's layers, and the pictures on their way, double their size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Upsampling {
    /// A transposed convolution and the filter [1, 3, 3, 1]; zeros outside.
    #[default]
    Fir,
    /// Bilinear interpolation, its border repeated, before an ordinary convolution (BasicSR's "bilinear", GFPGAN's "clean").
    Bilinear,
}

/// How z is normalised before the mapping network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LatentNorm {
    /// `z / sqrt(mean of squares + 1e-8)`
    #[default]
    Squares,
    /// `z / (root of the mean of squares + 1e-6)` (MMGeneration)
    Root,
}

/// What the channels of a picture are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    #[default]
    Rgb,
    /// Blue, green, red: shown in the order 2, 1, 0.
    Bgr,
}

/// Keys of metadata that a person may know better than a file.
pub const SETTINGS: [&str; 2] = ["upsampling", "channel_order"];

const UPSAMPLING: [(&str, Upsampling); 2] = [("fir", Upsampling::Fir), ("bilinear", Upsampling::Bilinear)];
const LATENT_NORM: [(&str, LatentNorm); 2] = [("squares", LatentNorm::Squares), ("root", LatentNorm::Root)];
const CHANNEL_ORDER: [(&str, ChannelOrder); 2] = [("rgb", ChannelOrder::Rgb), ("bgr", ChannelOrder::Bgr)];

fn word_of<T: Copy + PartialEq>(words: &'static [(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}

fn value_of<T: Copy>(words: &[(&str, T)], text: &str) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    let known = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
    found.map(|(_, value)| *value).ok_or_else(|| format!("expected {}", known()))
}

impl Conventions {
    pub(super) const DEFAULT: Conventions =
        Conventions { upsampling: Upsampling::Fir, latent_norm: LatentNorm::Squares, channel_order: ChannelOrder::Rgb };

    /// What differs from the default, for metadata.
    pub(super) fn settings(self) -> impl Iterator<Item = (&'static str, String)> {
        let Conventions { upsampling, latent_norm, channel_order } = self;
        let words = [
            ("upsampling", word_of(&UPSAMPLING, upsampling), upsampling == Upsampling::default()),
            ("latent_norm", word_of(&LATENT_NORM, latent_norm), latent_norm == LatentNorm::default()),
            ("channel_order", word_of(&CHANNEL_ORDER, channel_order), channel_order == ChannelOrder::default()),
        ];
        words.into_iter().filter(|(_, _, is_default)| !is_default).map(|(key, word, _)| (key, word.to_owned()))
    }

    /// Takes over what metadata says. Gives what was not understood, one sentence each.
    pub(super) fn apply(&mut self, metadata: &BTreeMap<String, String>) -> Vec<String> {
        let mut misread = Vec::new();
        let Conventions { upsampling, latent_norm, channel_order } = self;
        take(metadata, "upsampling", &UPSAMPLING, upsampling, &mut misread);
        take(metadata, "latent_norm", &LATENT_NORM, latent_norm, &mut misread);
        take(metadata, "channel_order", &CHANNEL_ORDER, channel_order, &mut misread);
        misread
    }
}

fn take<T: Copy>(
    metadata: &BTreeMap<String, String>,
    key: &str,
    words: &[(&str, T)],
    value: &mut T,
    misread: &mut Vec<String>,
) {
    let Some(text) = metadata.get(key) else { return };
    match value_of(words, text) {
        Ok(found) => *value = found,
        Err(expected) => misread.push(format!("{key} {text:.40?} in the metadata is not used: {expected}")),
    }
}

impl FromStr for Upsampling {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        value_of(&UPSAMPLING, text)
    }
}

impl FromStr for ChannelOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        value_of(&CHANNEL_ORDER, text)
    }
}

impl fmt::Display for Upsampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word_of(&UPSAMPLING, *self))
    }
}

impl fmt::Display for ChannelOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word_of(&CHANNEL_ORDER, *self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conventions_survive_metadata_and_misread_words_are_said() {
        let conventions = Conventions {
            upsampling: Upsampling::Bilinear,
            latent_norm: LatentNorm::Root,
            channel_order: ChannelOrder::Bgr,
        };
        let mut metadata: BTreeMap<String, String> =
            conventions.settings().map(|(key, text)| (key.to_owned(), text)).collect();
        let mut again = Conventions::default();
        assert_eq!(again.apply(&metadata), [""; 0]);
        assert_eq!(again, conventions);
        assert_eq!(Conventions::default().settings().count(), 0);
        metadata.insert("upsampling".into(), "cubic".into());
        let misread = again.apply(&metadata);
        assert!(misread[0].contains("expected fir or bilinear"), "{misread:?}");
        assert_eq!(again, conventions);
    }
}
