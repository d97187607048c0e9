//! What is not opened: networks and files that are recognised, and what was seen of the others.

use super::error::{LayoutProblem, Names};
use super::state_dict::StateDict;
use super::stylegan2::Spelling;
use super::{basicsr, genforce, mmgeneration, nvidia, rosinality, tensorflow};
use crate::checkpoint::{Tree, Value};

/// A network by some of its tensors: prefixes that all occur.
struct Sign {
    prefixes: &'static [&'static str],
    network: &'static str,
}

/// Networks that are met under the same extensions, or with some of the same names.
const FOREIGN: [Sign; 9] = [
    Sign { prefixes: &["stylegan_decoder.", "conv_body"], network: "a GFPGAN, which restores given pictures of faces" },
    Sign { prefixes: &["GAN.GE.", "GAN.SE."], network: "a StyleGAN2 of lucidrains' code, another network" },
    Sign { prefixes: &["GE.", "S.net."], network: "a StyleGAN2 of lucidrains' code, another network" },
    Sign { prefixes: &["backbone.synthesis.b4."], network: "an EG3D, which draws scenes in space" },
    Sign { prefixes: &["synthesis.init.init."], network: "a Projected GAN (FastGAN's generator)" },
    Sign { prefixes: &["main.init.init."], network: "a Projected GAN (FastGAN's generator)" },
    Sign { prefixes: &["init.init.", "feat_8."], network: "a FastGAN" },
    Sign { prefixes: &["mapping.embed_proj."], network: "a StyleGAN-XL, another network with StyleGAN3's layers" },
    Sign { prefixes: &["model.diffusion_model."], network: "a latent diffusion model" },
];

/// Other networks, for the description, by some of their tensors.
const LIKE: [(&[&str], &str); 4] = [
    (&["conv1.weight", "layer1.0.conv1.weight", "fc.weight"], "ResNet-like network"),
    (&["features.0.weight", "classifier.0.weight"], "VGG-like network"),
    (&["embeddings.word_embeddings.weight"], "BERT-like network"),
    (&["cls_token", "pos_embed"], "vision transformer"),
];

const OPENED: &str = "Open a PGGAN, StyleGAN, StyleGAN2, StyleGAN3, BigGAN or DCGAN instead";

pub(super) fn refuse_foreign(state: &StateDict) -> Result<(), LayoutProblem> {
    let starts = |prefix: &str| state.names().any(|name| name.starts_with(prefix));
    match FOREIGN.iter().find(|sign| sign.prefixes.iter().all(|prefix| starts(prefix))) {
        Some(sign) => Err(LayoutProblem::foreign(sign.network, OPENED)),
        None => Ok(()),
    }
}

/// Training scripts save optimisers to files of their own, beside the networks.
pub(super) fn refuse_optimiser(tree: &Tree, value: Value) -> Result<(), LayoutProblem> {
    let has = |key| tree.get(value, key).is_some();
    if has("param_groups") && has("state") {
        let advice = "Open the generator's file beside it (G_ema.pth in BigGAN's case)";
        return Err(LayoutProblem::foreign("the state of an optimiser, without a network", advice));
    }
    Ok(())
}

/// BigGAN's `state_dict.pth` has the progress of the training, and no tensor.
pub(super) fn refuse_counters(tree: &Tree, value: Value) -> Result<(), LayoutProblem> {
    let has = |key| tree.get(value, key).is_some();
    if has("itr") && has("epoch") {
        let advice = "Open the generator's file beside it (G_ema.pth in BigGAN's case)";
        return Err(LayoutProblem::foreign("the progress of a training, without a network", advice));
    }
    Ok(())
}

const STYLEGAN2: [&Spelling; 6] = [
    &nvidia::SPELLING,
    &genforce::SPELLING,
    &rosinality::SPELLING,
    &tensorflow::STYLEGAN2,
    &mmgeneration::SPELLING,
    &basicsr::SPELLING,
];

/// Says what was seen, and which layout comes closest.
pub(super) fn unknown(state: &StateDict, remark: Option<String>) -> LayoutProblem {
    let names = Names(state.names().map(String::from).collect());
    let class = state.class.as_ref().map(|class| format!(" of class {class:.80}")).unwrap_or_default();
    let all = |names: &[&str]| names.iter().all(|name| state.has(name));
    let like = LIKE.iter().find(|(names, _)| all(names)).map_or("network", |(_, like)| *like);
    let seen = format!("a {like}{class} of {} tensors, {names}", state.len());
    let likeness = STYLEGAN2.iter().map(|spelling| (spelling.layout, spelling.likeness(state)));
    let best = likeness.max_by(|(_, (a, _)), (_, (b, _))| a.total_cmp(b)).filter(|(_, (share, _))| *share > 0.1);
    let nearest = match (best, remark) {
        (Some((layout, (_, missing))), _) => format!("Nearest: StyleGAN2 ({layout}), which also has {missing}"),
        (None, Some(remark)) => format!("Nearest: {remark}"),
        (None, None) => known(),
    };
    LayoutProblem::Unknown { seen, nearest }
}

pub(super) fn known() -> String {
    "Expected a generator: PGGAN, StyleGAN, StyleGAN2, StyleGAN3, BigGAN, BigGAN-deep or DCGAN".into()
}
