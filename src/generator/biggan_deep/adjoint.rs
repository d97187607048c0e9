//! Gradients of BigGAN-deep's pictures with respect to z and the embedding of the class.

use burn::tensor::Tensor;

use super::{ATTENTION, Config, Item, norm_names, prefix};
use crate::generator::adjoint::{ConvAdjoint, linear, whole};
use crate::generator::biggan_blocks::{AttentionAdjoint, NormAdjoint, ToPictureAdjoint};
use crate::generator::layers::Linear;
use crate::generator::{Adjoint, Gradient, LoadError, Pulled, Tally, Tape};
use crate::layout::Weights;
use crate::ops::{Place, pull_shortcut};

/// The adjoint of [`super::BigGanDeep`].
pub(super) struct BigGanDeepAdjoint {
    config: Config,
    first: Linear,
    items: Vec<LoadedItem>,
    to_picture: ToPictureAdjoint,
}

enum LoadedItem {
    Block(Block),
    Attention(Box<AttentionAdjoint>),
}

struct Block {
    norms: Vec<NormAdjoint>,
    convs: Vec<ConvAdjoint>,
    /// Channels of the input.
    inputs: usize,
    doubles: bool,
}

impl BigGanDeepAdjoint {
    pub(super) fn load(
        config: &Config,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Self, LoadError> {
        let (c0, condition) = (config.first_channels, config.condition());
        let gen_z = tally.get(weights, "generator.gen_z.weight", &[16 * c0, condition])?;
        let first = linear(&gen_z, condition, 1.0, device);
        let (mut items, mut channels) = (Vec::new(), c0);
        for ((index, item), resolution) in config.items.iter().enumerate().zip(config.resolutions()) {
            items.push(match *item {
                Item::Attention { channels } => {
                    let names = ATTENTION.map(|name| format!("{}.{name}", prefix(index)));
                    let names = names.each_ref().map(String::as_str);
                    LoadedItem::Attention(Box::new(AttentionAdjoint::load(names, channels, weights, device, tally)?))
                }
                Item::Block { outputs, .. } => {
                    channels = outputs;
                    LoadedItem::Block(Block::load(*item, [index, resolution], condition, weights, device, tally)?)
                }
            });
        }
        let shape = [config.picture_channels, channels];
        let to_picture = ToPictureAdjoint::load("generator.conv_to_rgb", shape, weights, device, tally)?;
        Ok(BigGanDeepAdjoint { config: config.clone(), first, items, to_picture })
    }

    /// Of a stage that reads the condition, `[N, z_dim + embedding]`.
    fn pulled(&self, input: Gradient, of_condition: Tensor<2>) -> Pulled {
        let (z_dim, width) = (self.config.z_dim, self.config.embedding_width);
        let embedding = (width > 0).then(|| of_condition.clone().narrow(1, z_dim, width));
        Pulled { input, codes: vec![of_condition.narrow(1, 0, z_dim)], embedding }
    }
}

impl Adjoint for BigGanDeepAdjoint {
    fn pull(&self, stage: usize, mut tape: Tape, grad: Gradient) -> Pulled {
        let grad = whole(grad);
        let Some(number) = stage.checked_sub(1) else {
            let n = grad.dims()[0];
            // Channels last.
            let grad = grad.permute([0, 2, 3, 1]).reshape([n, 16 * self.config.first_channels]);
            return self.pulled(Gradient::default(), self.first.forward(grad));
        };
        let features = match self.items.get(number) {
            Some(LoadedItem::Block(block)) => {
                let (of_input, of_condition) = block.pull(grad, &mut tape);
                return self.pulled(Gradient::of_features(of_input), of_condition);
            }
            Some(LoadedItem::Attention(attention)) => attention.pull(grad, &mut tape),
            None => self.to_picture.pull(grad, &mut tape),
        };
        Pulled { input: Gradient::of_features(features), ..Pulled::default() }
    }

    fn pull_map(&self, _: Tape, grad: Tensor<2>) -> Tensor<2> {
        grad
    }
}

impl Block {
    fn load(
        item: Item,
        [index, resolution]: [usize; 2],
        condition: usize,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Self, LoadError> {
        let Item::Block { inputs, bottleneck, outputs, .. } = item else { unreachable!("asked for blocks alone") };
        let prefix = prefix(index);
        let mut norms = Vec::new();
        for (j, channels) in [inputs, bottleneck, bottleneck, bottleneck].into_iter().enumerate() {
            let names = norm_names(&prefix, j);
            norms.push(NormAdjoint::load(&names, [channels, condition], weights, device, tally)?);
        }
        let mut conv = |j: usize, outputs: usize, inputs: usize, kernel: usize, up: bool| {
            let name = format!("{prefix}.conv_{j}.weight");
            let weight = tally.get(weights, &name, &[outputs, inputs, kernel, kernel])?;
            Ok::<_, LoadError>(match up {
                true => ConvAdjoint::nearest(weight, [outputs, inputs], resolution / 2, 1.0, device),
                false => ConvAdjoint::same(weight, [outputs, inputs, kernel], resolution, 1.0, device),
            })
        };
        let convs = vec![
            conv(0, bottleneck, inputs, 1, false)?,
            conv(1, bottleneck, bottleneck, 3, item.doubles())?,
            conv(2, bottleneck, bottleneck, 3, false)?,
            conv(3, outputs, bottleneck, 1, false)?,
        ];
        Ok(Block { norms, convs, inputs, doubles: item.doubles() })
    }

    /// From `[N, outputs, H, W]` to `[N, inputs, h, w]` and the condition, `[N, width]`
    fn pull(&self, grad: Tensor<4>, tape: &mut Tape) -> (Tensor<4>, Tensor<2>) {
        let [n, _, height, width] = grad.dims();
        let by = if self.doubles { 2 } else { 1 };
        let of_shortcut = pull_shortcut(grad.clone(), [n, self.inputs, height / by, width / by]);
        let (mut branch, mut of_condition) = (grad, None);
        for (conv, norm) in self.convs.iter().zip(&self.norms).rev() {
            let (of_input, of_own) = norm.pull(conv.pull(branch, None), tape);
            branch = of_input;
            of_condition = Some(of_condition.map_or(of_own.clone(), |sum: Tensor<2>| sum + of_own));
        }
        let of_condition = of_condition.unwrap_or_else(|| unreachable!("a block has four norms"));
        (branch + of_shortcut, of_condition)
    }
}
