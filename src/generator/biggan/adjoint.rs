//! Gradients of BigGAN's pictures with respect to z and the embedding of the class.

use burn::tensor::Tensor;

use super::{BlockConfig, Config, norm_names};
use crate::generator::adjoint::{ConvAdjoint, linear, whole};
use crate::generator::biggan_blocks::{AttentionAdjoint, NormAdjoint, ToPictureAdjoint};
use crate::generator::layers::Linear;
use crate::generator::{Adjoint, Gradient, LoadError, Pulled, Tally, Tape};
use crate::layout::Weights;
use crate::ops::{Place, pull_nearest_up};

/// The adjoint of [`super::BigGan`].
pub(super) struct BigGanAdjoint {
    config: Config,
    first: Linear,
    blocks: Vec<Block>,
    to_picture: ToPictureAdjoint,
}

struct Block {
    norms: [NormAdjoint; 2],
    convs: [ConvAdjoint; 2],
    shortcut: ConvAdjoint,
    attention: Option<AttentionAdjoint>,
}

impl BigGanAdjoint {
    pub(super) fn load(
        config: &Config,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Self, LoadError> {
        let (c0, chunk) = (config.first_channels, config.chunk);
        let first = linear(&tally.get(weights, "linear.weight", &[16 * c0, chunk])?, chunk, 1.0, device);
        let mut blocks = Vec::new();
        for (i, block) in config.blocks.iter().enumerate() {
            blocks.push(Block::load(i, block, config.condition(), weights, device, tally)?);
        }
        let shape = [config.picture_channels, config.blocks[config.blocks.len() - 1].outputs];
        let to_picture = ToPictureAdjoint::load("output_layer.2", shape, weights, device, tally)?;
        Ok(BigGanAdjoint { config: config.clone(), first, blocks, to_picture })
    }

    /// The gradient with respect to z of that with respect to the chunk that a stage reads, zero elsewhere.
    fn of_z(&self, grad: Tensor<2>, stage: usize) -> Tensor<2> {
        let (n, device) = (grad.dims()[0], grad.device());
        let zeros = |width: usize| Tensor::<2>::zeros([n, width], &device);
        let before = stage * self.config.chunk;
        let after = self.config.z_dim() - before - self.config.chunk;
        let parts = [(before, zeros(before)), (self.config.chunk, grad), (after, zeros(after))];
        Tensor::cat(parts.into_iter().filter(|(width, _)| *width > 0).map(|(_, part)| part).collect(), 1)
    }
}

impl Adjoint for BigGanAdjoint {
    fn pull(&self, stage: usize, mut tape: Tape, grad: Gradient) -> Pulled {
        let grad = whole(grad);
        let Some(number) = stage.checked_sub(1) else {
            let [n, channels, height, width] = grad.dims();
            let grad = self.first.forward(grad.reshape([n, channels * height * width]));
            return Pulled { codes: vec![self.of_z(grad, 0)], ..Pulled::default() };
        };
        let Some(block) = self.blocks.get(number) else {
            let input = Gradient::of_features(self.to_picture.pull(grad, &mut tape));
            return Pulled { input, ..Pulled::default() };
        };
        let (of_input, of_condition) = block.pull(grad, &mut tape);
        let (width, chunk) = (self.config.embedding_width, self.config.chunk);
        let codes = self.config.is_split.then(|| self.of_z(of_condition.clone().narrow(1, width, chunk), stage));
        let embedding = (width > 0).then(|| of_condition.narrow(1, 0, width));
        Pulled { input: Gradient::of_features(of_input), codes: codes.into_iter().collect(), embedding }
    }

    fn pull_map(&self, _: Tape, grad: Tensor<2>) -> Tensor<2> {
        grad
    }
}

impl Block {
    fn load(
        index: usize,
        config: &BlockConfig,
        condition: usize,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Self, LoadError> {
        let BlockConfig { inputs, hidden, outputs, has_attention } = *config;
        let prefix = format!("blocks.{index}.0");
        let mut norm = |j: usize, channels: usize| {
            NormAdjoint::load(&norm_names(&prefix, j), [channels, condition], weights, device, tally)
        };
        let norms = [norm(1, inputs)?, norm(2, hidden)?];
        let mut get = |name: &str, outputs: usize, inputs: usize, kernel: usize| {
            tally.get(weights, &format!("{prefix}.{name}.weight"), &[outputs, inputs, kernel, kernel])
        };
        let conv1 = get("conv1", hidden, inputs, 3)?;
        let conv1 = ConvAdjoint::nearest(conv1, [hidden, inputs], 4 << index, 1.0, device);
        let conv2 = get("conv2", outputs, hidden, 3)?;
        let conv2 = ConvAdjoint::same(conv2, [outputs, hidden, 3], 8 << index, 1.0, device);
        let shortcut = get("conv_sc", outputs, inputs, 1)?;
        let shortcut = ConvAdjoint::same(shortcut, [outputs, inputs, 1], 0, 1.0, device);
        let mut attention = None;
        if has_attention {
            let names = super::attention_names(index);
            let names = names.each_ref().map(String::as_str);
            attention = Some(AttentionAdjoint::load(names, outputs, weights, device, tally)?);
        }
        Ok(Block { norms, convs: [conv1, conv2], shortcut, attention })
    }

    /// From `[N, outputs, 2H, 2W]` to `[N, inputs, H, W]` and the condition, `[N, width]`
    fn pull(&self, grad: Tensor<4>, tape: &mut Tape) -> (Tensor<4>, Tensor<2>) {
        let grad = match &self.attention {
            Some(attention) => attention.pull(grad, tape),
            None => grad,
        };
        let of_shortcut = self.shortcut.pull(pull_nearest_up(grad.clone()), None);
        let (branch, second) = self.norms[1].pull(self.convs[1].pull(grad, None), tape);
        let (of_input, first) = self.norms[0].pull(self.convs[0].pull(branch, None), tape);
        (of_input + of_shortcut, first + second)
    }
}
