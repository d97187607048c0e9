//! What is not opened: networks and files that are recognised, and what was seen of the others.

use super::error::{LayoutProblem, Names};
use super::kind::Kind;
use super::state_dict::StateDict;
use super::stylegan2::Spelling;
use super::{basicsr, genforce, mmgeneration, nvidia, rosinality, tensorflow};
use crate::checkpoint::{Tree, Value};

/// A network by names that all occur in it.
struct Sign {
    /// What some name starts with; behind a `*`, what it contains.
    names: &'static [&'static str],
    network: &'static str,
    advice: &'static str,
}

const fn sign(names: &'static [&'static str], network: &'static str, advice: &'static str) -> Sign {
    Sign { names, network, advice }
}

const LATER: &str = "This program does not draw it yet: open a PGGAN, StyleGAN, StyleGAN2, StyleGAN3, BigGAN, BigGAN-deep or \
                     DCGAN instead";
/// What to do about networks that take the features of a picture beside z.
pub(super) const NO_FEATURES: &str = "It draws from the features of a picture (of a ResNet or SwAV, 2048 numbers), which cannot \
                                      be given here: open a network that draws from noise, or from noise and a class";
const NO_TEXT: &str =
    "It draws from text or noise in many steps, and no layer takes a code: open the generator of a GAN";
const MAP: &str = "Its code is a map, one vector for each part of the picture: directions found in its first layer are tints, the \
                   same everywhere. Open a network that draws from one vector";
const SPACE: &str = "It draws scenes in space, seen by a camera: open a generator of plain pictures";
pub(super) const TAKES_PICTURE: &str = "It takes a picture, not a code, so there are no directions to find: open the generator \
                                        or decoder of a network that draws from noise";
pub(super) const JUDGES: &str = "It takes a picture and judges it: the generator that it was trained with lies beside it, often \
                                 called G, netG or g_ema";
const NO_PICTURES: &str = "It makes no pictures: open the generator of a GAN, or the decoder of a VAE";
const HALF: &str = "It makes w, not pictures: save the state dicts of both networks as one, \
                    {**mapping.state_dict(), **synthesis.state_dict()}";
const CHANGES: &str = "It holds changes to the weights of another network, and no network: open that network";

/// Generators that are met under the same extensions, and have some of the names of those that are opened: looked for first. The
/// more special ones come before the more general.
const FOREIGN: &[Sign] = &[
    sign(&["*to_style1."], "a StyleGAN2 of lucidrains' code (stylegan2_pytorch), another network", LATER),
    sign(
        &["*GE.initial_block", "*S.net."],
        "a StyleGAN2 of lucidrains' code (stylegan2_pytorch), another network",
        LATER,
    ),
    sign(&["GAN.GE.", "GAN.SE."], "a StyleGAN2 of lucidrains' code (stylegan2_pytorch), another network", LATER),
    sign(&["*initial_conv.0.", "*out_conv.", "*layers.0.0."], "a lightweight-gan of lucidrains' code", LATER),
    sign(&["backbone.synthesis.b4."], "an EG3D, which draws scenes in space", SPACE),
    sign(&["synthesis.fg_nerf."], "a StyleNeRF, which draws scenes in space", SPACE),
    sign(&["siren.network.", "siren.mapping_network."], "a pi-GAN, which draws scenes in space", SPACE),
    sign(&["neural_renderer.", "bounding_box_generator."], "a GIRAFFE, which draws scenes in space", SPACE),
    sign(&["synthesis.init.init."], "a Projected GAN (FastGAN's generator)", LATER),
    sign(&["main.init.init."], "a Projected GAN (FastGAN's generator)", LATER),
    sign(&["*init.init.", "*feat_8."], "a FastGAN", LATER),
    sign(&["mapping.embed_proj."], "a StyleGAN-XL, another network with StyleGAN3's layers", LATER),
    sign(&["synthesis.", "*.affine.proj."], "a StyleGAN-T", LATER),
    sign(&["*MainLayers.0.Layers.0.Basis"], "an R3GAN", LATER),
    sign(&["*MainLayers.0.Layers.", "*AggregationLayer."], "an R3GAN", LATER),
    sign(&["*synthesis.b4.", "*.transformer."], "a GANformer", LATER),
    sign(&["layers.0.blocks.0.", "style.1.", "to_rgbs."], "a StyleSwin", LATER),
    sign(&["*.iwt.ll"], "a SWAGAN, which draws wavelets", LATER),
    sign(&["formatLayer.module.", "scaleLayers."], "a PGGAN of pytorch_GAN_zoo, another network", LATER),
    sign(&["progression_8.", "to_rgb_8."], "a PGGAN of rosinality's code (progressive-gan-pytorch)", LATER),
    sign(&["initial_block.conv_1.", "rgb_converters."], "a PGGAN of akanimax' code (pro_gan_pytorch)", LATER),
    sign(&["g_mapping.map.", "g_synthesis.init_block."], "a StyleGAN of huangzh13's code (StyleGAN.pytorch)", LATER),
    sign(&["G_linear.module.", "GBlock.0."], "a BigGAN converted from TensorFlow Hub (biggan_v1)", LATER),
    sign(&["shared_feat."], "an IC-GAN, a BigGAN that draws from instance features", NO_FEATURES),
    sign(&["info_mix_linear."], "an InfoGAN of PyTorch-StudioGAN", LATER),
    sign(&["linear0.", "blocks.0.0.conv2d4."], "a BigGAN-deep of PyTorch-StudioGAN", LATER),
    sign(&["linear0.", "blocks.0.0.conv2d1.", "shared."], "a BigGAN of PyTorch-StudioGAN", LATER),
    sign(
        &["linear0.", "blocks.0.0.conv2d1."],
        "a residual generator of PyTorch-StudioGAN (SNGAN, SAGAN, WGAN-GP or the like)",
        LATER,
    ),
    sign(&["linear0.", "blocks.0.0.deconv0."], "a DCGAN of PyTorch-StudioGAN", LATER),
    sign(&["l1.0.module.weight_bar", "attn1.query_conv."], "a SAGAN of heykeetae's code", LATER),
    sign(&["block2.c1.", "attn_block."], "a SAGAN of mimicry's code", LATER),
    sign(&["block2.c1.", "block2.b1.embed."], "a conditional residual generator of mimicry's code (cGAN-PD)", LATER),
    sign(&["stylegan_decoder."], "a GFPGAN, which restores given pictures of faces", TAKES_PICTURE),
    sign(&["quantize.embedding", "decoder.conv_in."], "a VQGAN", MAP),
    sign(&["*decoder.conv_in.", "*decoder.conv_out.", "*decoder.mid"], "an autoencoder of latent diffusion", MAP),
];

/// Networks that are not generators, by their names; looked for when no layout fits.
const OTHERS: &[Sign] = &[
    sign(&["model.diffusion_model."], "latent diffusion model", NO_TEXT),
    sign(&["time_embedding.linear_1.", "up_blocks."], "diffusion model (a U-Net of diffusers)", NO_TEXT),
    sign(&["time_embed.0.", "input_blocks.0."], "diffusion model", NO_TEXT),
    sign(&["*time_mlp.", "*downs."], "diffusion model", NO_TEXT),
    sign(&["x_embedder.", "t_embedder."], "diffusion transformer", NO_TEXT),
    sign(&["transformer_blocks.0.", "*time_"], "diffusion transformer", NO_TEXT),
    sign(&["conv_in.", "conv_out.", "mid"], "decoder of latent diffusion", MAP),
    sign(&["*lora_up."], "LoRA", CHANGES),
    sign(&["*lora_A."], "LoRA", CHANGES),
    sign(&["*word_embeddings."], "BERT-like network", NO_PICTURES),
    sign(&["text_model."], "text encoder", NO_PICTURES),
    sign(&["visual.", "token_embedding."], "CLIP, which compares pictures and text", NO_PICTURES),
    sign(&["*embed_tokens.", "*layers.0."], "text model", NO_PICTURES),
    sign(&["*wte.", "*h.0."], "text model", NO_PICTURES),
    sign(&["encoder.block.0.layer.0."], "text model", NO_PICTURES),
    sign(&["conv_pre.", "ups.0.", "resblocks.0."], "vocoder, which makes sound", NO_PICTURES),
    sign(&["conv1.weight", "layer1.0.conv1.weight", "fc.weight"], "ResNet-like network", TAKES_PICTURE),
    sign(&["features.0.weight", "classifier.0.weight"], "VGG-like network", TAKES_PICTURE),
    sign(&["features.", "classifier."], "classifier", TAKES_PICTURE),
    sign(&["dense0.", "dense7."], "mapping network of a StyleGAN without its synthesis network", HALF),
    sign(&["Conv2d_1a_3x3.", "Mixed_"], "Inception-like network", TAKES_PICTURE),
    sign(&["cls_token", "pos_embed"], "vision transformer", TAKES_PICTURE),
    sign(&["*backbone.body.", "rpn."], "detector", TAKES_PICTURE),
    sign(&["*input_layer.", "*body.0.", "*styles.0."], "encoder of pSp or e4e without its generator", TAKES_PICTURE),
    sign(&["input_layer.0.", "body.0.", "output_layer."], "face recogniser", TAKES_PICTURE),
    sign(&["conv_first.", "conv_last."], "super-resolution network", TAKES_PICTURE),
    sign(&["model.model.1.model."], "pix2pix network (a U-Net)", TAKES_PICTURE),
    sign(
        &["model.1.", "*.conv_block."],
        "network of residual blocks from picture to picture, as in CycleGAN",
        TAKES_PICTURE,
    ),
    sign(&["inc.", "outc."], "U-Net", TAKES_PICTURE),
    sign(&["b4.fc.", "b4.out."], "discriminator of a StyleGAN2", JUDGES),
    sign(&["final_linear.0.", "final_conv."], "discriminator of a StyleGAN2", JUDGES),
    sign(&["fromRGBLayers.", "decisionLayer."], "discriminator of a PGGAN", JUDGES),
    sign(&["*fromrgb"], "discriminator", JUDGES),
    sign(&["*from_rgb"], "discriminator", JUDGES),
    sign(&["*FromRGB"], "discriminator", JUDGES),
    sign(&["blocks.0.0.conv1.", "linear.", "embed."], "discriminator of a BigGAN", JUDGES),
    sign(&["down_from_big.", "rf_big."], "discriminator of a FastGAN", JUDGES),
];

impl Sign {
    fn is_on(&self, state: &StateDict) -> bool {
        let occurs = |name: &&str| match name.strip_prefix('*') {
            Some(part) => state.names().any(|name| name.contains(part)),
            None => state.names().any(|full| full.starts_with(*name)),
        };
        self.names.iter().all(occurs)
    }
}

/// Refuses generators of other families by their names.
pub(super) fn refuse_foreign(state: &StateDict) -> Result<(), LayoutProblem> {
    let found = FOREIGN.iter().find(|sign| sign.is_on(state));
    if let Some(sign) = found {
        return Err(LayoutProblem::foreign(sign.network, sign.advice));
    }
    // Without classes it keeps a table of them, and no layer for it.
    let has = |name: &str| state.has(name);
    if has("synthesis.input.freqs") && has("mapping.embed.weight") && !has("mapping.embed.bias") {
        return Err(LayoutProblem::foreign("a StyleGAN-XL without classes", LATER));
    }
    Ok(())
}

/// Refuses networks that are no generators, if their names tell.
pub(super) fn refuse_others(state: &StateDict) -> Result<(), LayoutProblem> {
    match OTHERS.iter().find(|sign| sign.is_on(state)) {
        Some(sign) => Err(LayoutProblem::Unknown { seen: seen(sign.network, state), nearest: sign.advice.into() }),
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

/// Says what was seen, and what to do: of a network that could be a generator, which layout comes closest.
pub(super) fn unknown(state: &StateDict, remark: Option<String>) -> LayoutProblem {
    let likeness = STYLEGAN2.iter().map(|spelling| (spelling.layout, spelling.likeness(state)));
    let best = likeness.max_by(|(_, (a, _)), (_, (b, _))| a.total_cmp(b)).filter(|(_, (share, _))| *share > 0.1);
    let kind = Kind::of(state);
    let nearest = match (best, kind.advice()) {
        (Some((layout, (_, missing))), _) => format!("Nearest: StyleGAN2 ({layout}), which also has {missing}"),
        (None, Some(advice)) => advice.into(),
        (None, None) => match remark {
            Some(remark) => format!("Closest is {remark}"),
            None => known(),
        },
    };
    LayoutProblem::Unknown { seen: seen(kind.name(), state), nearest }
}

fn seen(network: &str, state: &StateDict) -> String {
    let names = Names(state.names().map(String::from).collect());
    let class = state.class.as_ref().map(|class| format!(" of class {class:.80}")).unwrap_or_default();
    let article = if network.starts_with(['a', 'e', 'i', 'o', 'u', 'I']) { "an" } else { "a" };
    format!("{article} {network}{class} of {} tensors, {names}", state.len())
}

pub(super) fn known() -> String {
    "Expected a generator: PGGAN, StyleGAN, StyleGAN2, StyleGAN3, BigGAN, BigGAN-deep or DCGAN".into()
}
