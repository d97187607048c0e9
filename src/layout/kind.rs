//! What kind of network some tensors are, as far as the shapes and a few names tell: for the refusal of those that no layout fits.

use super::foreign::{JUDGES, TAKES_PICTURE};
use super::state_dict::StateDict;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// From a code to a picture.
    Generator,
    /// From picture to picture.
    PictureToPicture,
    /// From picture to picture, through parts called encoder and decoder.
    Autoencoder,
    /// From a picture to one number.
    Discriminator,
    /// From a picture to several numbers.
    Classifier,
    /// From a picture to maps or codes.
    Encoder,
    /// Convolutions along one axis: sound, or other sequences.
    Sequences,
    /// Convolutions along three axes: volumes, or films.
    Volumes,
    /// Nothing but matrices.
    Perceptron,
    Unknown,
}

/// Channels of a picture: grey, RGB, RGBA.
fn is_picture(channels: usize) -> bool {
    matches!(channels, 1 | 3 | 4)
}

impl Kind {
    pub(super) fn of(state: &StateDict) -> Kind {
        if let Some(kind) = state.class.as_deref().and_then(of_class) {
            return kind;
        }
        let shapes: Vec<&[usize]> = state.iter().map(|(_, tensor)| tensor.shape()).collect();
        let kernels: Vec<[usize; 4]> = shapes.iter().filter_map(|&shape| shape.try_into().ok()).collect();
        // Biases, gains and pictures of noise are no kernels.
        let kernels: Vec<_> = kernels.into_iter().filter(|[a, b, ..]| a * b > 4).collect();
        let of_rank = |rank: usize| shapes.iter().filter(|shape| shape.len() == rank && shape[0] > 1).count();
        let [Some(first), Some(last)] = [kernels.first(), kernels.last()] else {
            return match (of_rank(5), of_rank(3), of_rank(2)) {
                (1.., ..) => Kind::Volumes,
                (_, 1.., _) => Kind::Sequences,
                (_, _, 1..) => Kind::Perceptron,
                _ => Kind::Unknown,
            };
        };
        let starts_with = |part: &str| state.names().any(|name| name.starts_with(part));
        let takes_picture = is_picture(first[1]) && !is_picture(first[0]);
        // Convolutions store their outputs first, transposed ones second.
        let outputs = [last[0], last[1]].into_iter().find(|&channels| is_picture(channels));
        let is_last_matrix = shapes.iter().rev().find(|shape| shape.len() >= 2).filter(|shape| shape.len() == 2);
        match (takes_picture, is_last_matrix, outputs) {
            (true, ..) if starts_with("encoder.") && starts_with("decoder.") => Kind::Autoencoder,
            (true, Some(matrix), _) => {
                if matrix[0] == 1 {
                    Kind::Discriminator
                } else {
                    Kind::Classifier
                }
            }
            (true, None, Some(1)) if last[0] == 1 && first[1] != 1 => Kind::Discriminator,
            (true, None, Some(_)) => Kind::PictureToPicture,
            (true, None, None) => Kind::Encoder,
            (false, None, Some(_)) => Kind::Generator,
            (false, ..) => Kind::Unknown,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Generator => "generator of an unknown layout, it seems,",
            Kind::PictureToPicture => "network from picture to picture, it seems,",
            Kind::Autoencoder => "autoencoder without a latent layer, it seems,",
            Kind::Discriminator => "discriminator, it seems,",
            Kind::Classifier => "classifier or encoder, it seems,",
            Kind::Encoder => "encoder, it seems,",
            Kind::Sequences => "network for sound or other sequences, it seems,",
            Kind::Volumes => "network for volumes or films, it seems,",
            Kind::Perceptron => "network without convolutions",
            Kind::Unknown => "network",
        }
    }

    /// What to do about it, where it cannot be a generator.
    pub(super) fn advice(self) -> Option<&'static str> {
        match self {
            Kind::PictureToPicture | Kind::Autoencoder | Kind::Classifier | Kind::Encoder => Some(TAKES_PICTURE),
            Kind::Discriminator => Some(JUDGES),
            Kind::Sequences | Kind::Volumes => Some("It makes no pictures: open the generator of a GAN"),
            Kind::Generator | Kind::Perceptron | Kind::Unknown => None,
        }
    }
}

/// What the class of a pickled module is called.
fn of_class(class: &str) -> Option<Kind> {
    let class = class.to_ascii_lowercase();
    let has = |part: &str| class.contains(part);
    let name = class.rsplit('.').next().unwrap_or_default();
    match () {
        () if has("discriminator") || has("critic") => Some(Kind::Discriminator),
        () if has("classifier") => Some(Kind::Classifier),
        () if has("unet") => Some(Kind::PictureToPicture),
        () if name.ends_with("encoder") && !name.ends_with("autoencoder") => Some(Kind::Encoder),
        () => None,
    }
}
