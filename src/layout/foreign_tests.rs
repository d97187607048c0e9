//! Networks that are not opened are called by what they are.

use super::fixture_tests::{NamedTensor, detect_bytes, safetensors};

fn refusal(tensors: Vec<NamedTensor>) -> String {
    detect_bytes(safetensors(tensors, [])).map(|weights| weights.layout).expect_err("was accepted").to_string()
}

/// A tensor's name and shape.
type Shaped = (&'static str, &'static [usize]);

fn shaped(tensors: &[Shaped]) -> Vec<NamedTensor> {
    let filled = |&(name, shape): &Shaped| (name.to_string(), shape.to_vec(), vec![0.5; shape.iter().product()]);
    tensors.iter().map(filled).collect()
}

/// Some names of each family's public files, and what the refusal must call it.
const FAMILIES: &[(&[&str], &str)] = &[
    (
        &["GE.initial_block", "GE.blocks.0.to_style1.weight", "GE.blocks.0.to_noise1.weight", "SE.net.0.weight"],
        "lucidrains",
    ),
    (&["GE.initial_conv.0.weight", "GE.layers.0.0.0.net.0.weight", "GE.out_conv.weight"], "lightweight-gan"),
    (&["initial_conv.0.weight", "layers.0.0.2.weight", "out_conv.weight"], "lightweight-gan"),
    (
        &["synthesis.init.init.0.weight_orig", "synthesis.feat_8.1.weight_orig", "synthesis.to_big.weight"],
        "Projected GAN",
    ),
    (&["module.init.init.0.weight_orig", "module.feat_8.1.weight_orig", "module.to_big.weight_orig"], "FastGAN"),
    (&["synthesis.input.freqs", "synthesis.L0_36_10.weight", "mapping.embed_proj.weight"], "StyleGAN-XL"),
    (&["synthesis.input.freqs", "synthesis.L0_36_10.weight", "mapping.embed.weight"], "StyleGAN-XL"),
    (&["mapping.mlp.fc0.weight", "synthesis.b8.input.freqs", "synthesis.b8.convs1.0.affine.proj.weight"], "StyleGAN-T"),
    (&["Model.MainLayers.0.Layers.0.Basis", "Model.AggregationLayer.Layer.weight"], "R3GAN"),
    (&["formatLayer.module.weight", "scaleLayers.0.0.module.weight", "toRGBLayers.0.module.weight"], "pytorch_GAN_zoo"),
    (&["l4.0.module.weight_bar", "l1.0.module.weight_bar", "attn1.query_conv.weight"], "SAGAN"),
    (&["l1.weight_orig", "block2.c1.weight_orig", "attn_block.theta.weight_orig"], "SAGAN of mimicry"),
    (&["l1.weight", "block2.c1.weight", "block2.b1.embed.weight"], "mimicry"),
    (&["G_linear.module.weight_bar", "GBlock.0.conv0.module.weight_bar"], "biggan_v1"),
    (&["shared.weight", "shared_feat.weight", "linear.weight", "blocks.0.0.bn1.gain.weight"], "IC-GAN"),
    (&["linear0.weight_orig", "shared.weight", "blocks.0.0.conv2d1.weight_orig"], "a BigGAN of PyTorch-StudioGAN"),
    (
        &["linear0.weight", "blocks.0.0.conv2d1.weight", "blocks.0.0.conv2d4.weight"],
        "a BigGAN-deep of PyTorch-StudioGAN",
    ),
    (&["linear0.weight", "blocks.0.0.conv2d1.weight", "conv2d5.weight"], "a residual generator of PyTorch-StudioGAN"),
    (&["backbone.synthesis.b4.const", "decoder.net.0.weight"], "EG3D"),
    (&["g_mapping.map.dense0.weight", "g_synthesis.init_block.const"], "huangzh13"),
    (&["progression_8.conv.0.weight", "to_rgb_8.conv.weight"], "rosinality's code (progressive-gan-pytorch)"),
    (&["stylegan_decoder.style_mlp.1.weight", "conv_body_first.weight"], "GFPGAN"),
    (&["decoder.conv_in.weight", "decoder.mid_block.x", "decoder.conv_out.weight", "encoder.x"], "latent diffusion"),
    (&["quantize.embedding.weight", "decoder.conv_in.weight"], "VQGAN"),
    (&["model.diffusion_model.out.2.weight", "first_stage_model.x"], "latent diffusion"),
    (&["time_embedding.linear_1.weight", "down_blocks.0.x", "up_blocks.0.x", "conv_in.weight"], "diffusion model"),
    (&["time_mlp.1.weight", "downs.0.0.x", "init_conv.weight"], "diffusion model"),
    (&["lora_unet_down_blocks_0.lora_up.weight", "lora_unet_down_blocks_0.lora_down.weight"], "LoRA"),
    (&["bert.embeddings.word_embeddings.weight", "bert.encoder.layer.0.x"], "BERT-like"),
    (&["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"], "text model"),
    (&["visual.conv1.weight", "token_embedding.weight"], "CLIP"),
    (&["conv_pre.weight", "ups.0.weight", "resblocks.0.convs1.0.weight"], "vocoder"),
    (&["features.0.weight", "classifier.0.weight"], "VGG-like"),
    (&["encoder.input_layer.0.weight", "encoder.body.0.x", "encoder.styles.0.x"], "encoder of pSp or e4e"),
    (&["conv_first.weight", "body.0.rdb1.conv1.weight", "conv_last.weight"], "super-resolution"),
    (&["b256.fromrgb.weight", "b4.fc.weight", "b4.out.weight"], "discriminator of a StyleGAN2"),
    (&["FromRGB_lod0/weight", "4x4/Dense0/weight"], "discriminator"),
    (&["dense0.weight", "dense0.bias", "dense7.weight"], "mapping network of a StyleGAN"),
    (&["convs.0.0.weight", "final_conv.0.weight", "final_linear.0.weight"], "discriminator of a StyleGAN2"),
];

#[test]
fn families_are_called_by_their_names() {
    for (names, expected) in FAMILIES {
        let named: Vec<NamedTensor> = names.iter().map(|name| (name.to_string(), vec![1], vec![0.5])).collect();
        let message = refusal(named);
        assert!(message.starts_with("test.safetensors: ") && message.contains(expected), "{names:?}: {message}");
        assert!(!message.contains("DCGAN, ") && !message.contains("Nearest"), "{names:?}: {message}");
    }
}

/// Networks of unknown names, by their shapes.
#[test]
fn kinds_of_networks_are_told_by_their_shapes() {
    let cases: &[(&[Shaped], &str)] = &[
        (
            &[("a.weight", &[16, 3, 4, 4]), ("b.weight", &[32, 16, 4, 4]), ("c.weight", &[1, 32, 4, 4])],
            "a discriminator, it seems",
        ),
        (
            &[("a.weight", &[16, 3, 3, 3]), ("b.weight", &[32, 16, 3, 3]), ("fc.weight", &[1, 512])],
            "a discriminator, it seems",
        ),
        (
            &[("a.weight", &[16, 3, 3, 3]), ("b.weight", &[32, 16, 3, 3]), ("fc.weight", &[10, 512])],
            "a classifier or encoder",
        ),
        (
            &[("a.weight", &[16, 3, 7, 7]), ("b.weight", &[16, 16, 3, 3]), ("c.weight", &[3, 16, 7, 7])],
            "a network from picture to picture",
        ),
        (&[("a.weight", &[16, 3, 3, 3]), ("b.weight", &[32, 16, 3, 3])], "an encoder"),
        (&[("a.weight", &[16, 1, 5]), ("b.weight", &[32, 16, 5])], "sound or other sequences"),
        (&[("a.weight", &[16, 3, 3, 3, 3]), ("b.weight", &[32, 16, 3, 3, 3])], "volumes or films"),
    ];
    for (tensors, expected) in cases {
        let message = refusal(shaped(tensors));
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("DCGAN"), "{message}");
    }
}
