//! What is no chain from a code to a picture, by what it is.

use super::super::error::LayoutProblem;
use super::super::state_dict::StateDict;
use super::Match;
use super::items::{Item, Kind, items};
use super::units::Misfit;

/// An autoencoder whose code is a map has no linear map that takes a code.
pub(in super::super) fn refuse_autoencoder(state: &StateDict) -> Result<(), LayoutProblem> {
    let all = items(state);
    let of = |words: &[&str]| all.iter().filter(|item| item.is_layer() && item.is_called(words)).collect::<Vec<_>>();
    let (encoder, decoder) = (of(&["encoder", "enc"]), of(&["decoder", "dec"]));
    let takes_pictures = encoder.first().is_some_and(|item| matches!(item.kind, Kind::Kernel([_, 1 | 3 | 4, ..])));
    let has_latent = all.iter().any(|item| matches!(item.kind, Kind::Linear(_)));
    if !takes_pictures || decoder.is_empty() || has_latent {
        return Ok(());
    }
    // A code of one pixel is a code all the same: its kernel takes as much as it sees.
    let code = encoder.last().map(|item| (&item.kind, item.path("weight")));
    if let Some((Kind::Kernel([_, _, height, width]), _)) = code
        && height * width >= 16
        && encoder.len() >= 4
    {
        return Ok(());
    }
    Err(LayoutProblem::foreign(
        "a network that takes a picture, not a code: an autoencoder without a latent layer",
        "It has no directions to find. Open a generator, or an autoencoder whose decoder starts with a linear layer",
    ))
}

/// What comes closest to being said of layers that do not link.
pub(super) fn nearly(own: &[Item<'_>], misfit: Misfit, strangers: &[String]) -> Match {
    let layers: Vec<&Item<'_>> = own.iter().filter(|item| item.is_layer()).collect();
    let (Some(first), Some(last)) = (layers.first(), layers.last()) else { return Match::No };
    if layers.len() < 2 {
        return Match::No;
    }
    let takes_pictures = matches!(first.kind, Kind::Kernel([_, 1 | 3 | 4, ..]));
    let makes = match last.kind {
        Kind::Linear([outputs, _]) => outputs,
        Kind::Kernel([outputs, ..]) => outputs,
        _ => 0,
    };
    if takes_pictures && strangers.is_empty() {
        let what = match (&last.kind, makes) {
            (_, 1) => "a discriminator, which takes a picture and says whether it is real",
            (Kind::Linear(_), _) => "an encoder or a classifier, which takes a picture, not a code",
            (Kind::Kernel([3 | 4, ..]), _) => "a network from pictures to pictures, which takes no code",
            _ => "a network that takes a picture, not a code",
        };
        return Match::Nearly(what.into());
    }
    if let Some(stranger) = strangers.first() {
        return Match::Nearly(format!("a chain of layers, which has no {stranger}"));
    }
    match misfit {
        Misfit::Gap(before, after) if !before.is_empty() => {
            Match::Nearly(format!("a chain of layers, but {before} does not feed {after}"))
        }
        Misfit::NoPicture(name, outputs) => Match::Nearly(format!(
            "a chain of layers, but the last one, {name}, makes {outputs} numbers, which are no square picture"
        )),
        _ => Match::No,
    }
}
