//! Gradients of StyleGAN2's pictures with respect to w.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use burn::tensor::Tensor;

use super::{Architecture, Config};
use crate::generator::adjoint::{ConvAdjoint, add, linear, scaled};
use crate::generator::layers::Linear;
use crate::generator::mapping::MappingAdjoint;
use crate::generator::{Adjoint, Gradient, LoadError, Pulled, Tally, Tape};
use crate::layout::{Upsampling, Weights};
use crate::ops::{self, ConvDown, Place, UpsampleAdjoint, pull_after, pull_scale};

/// The adjoint of [`super::StyleGan2`].
pub(super) struct StyleGan2Adjoint {
    mapping: MappingAdjoint,
    blocks: Vec<Block>,
    upsample: UpsampleAdjoint,
}

struct Block {
    up: Option<StyledConv>,
    conv: StyledConv,
    skip: Option<ConvAdjoint>,
    rgb: Option<ToRgb>,
}

impl StyleGan2Adjoint {
    pub(super) fn load(
        config: &Config,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Self, LoadError> {
        let mapping = config.mapping.load_adjoint(weights, device, tally)?;
        let mut blocks = Vec::new();
        for (b, &channels) in config.channels.iter().enumerate() {
            let prefix = format!("synthesis.b{}", 4 << b);
            let mut loader = LayerLoader { config, weights, device, side: config.base.doubled(b).larger(), tally };
            let (mut up, mut skip) = (None, None);
            let mut scale = 1.0;
            if b > 0 {
                let inputs = config.channels[b - 1];
                up = Some(loader.conv(&format!("{prefix}.conv0"), [channels, inputs], true, 1.0)?);
                if config.architecture == Architecture::Residual {
                    scale = FRAC_1_SQRT_2;
                    let shape = [channels, inputs, 1, 1];
                    let weight = loader.tally.get(weights, &format!("{prefix}.skip.weight"), &shape)?;
                    let gain = scale / (inputs as f64).sqrt();
                    skip = Some(ConvAdjoint::same(weight, [channels, inputs, 1], 0, gain, device));
                }
            }
            let conv = loader.conv(&format!("{prefix}.conv1"), [channels, channels], false, scale)?;
            let rgb = match config.has_rgb(b) {
                true => Some(loader.rgb(&format!("{prefix}.torgb"), channels)?),
                false => None,
            };
            blocks.push(Block { up, conv, skip, rgb });
        }
        let upsample = match config.upsampling {
            Upsampling::Fir => UpsampleAdjoint::new(device),
            Upsampling::Bilinear => UpsampleAdjoint::bilinear(device),
        };
        Ok(StyleGan2Adjoint { mapping, blocks, upsample })
    }
}

impl Adjoint for StyleGan2Adjoint {
    fn pull(&self, stage: usize, mut tape: Tape, grad: Gradient) -> Pulled {
        let block = &self.blocks[stage];
        let Gradient { mut features, picture } = grad;
        // From the last layer to the first.
        let mut codes = Vec::new();
        let mut smaller = None;
        if let Some(rgb) = &block.rgb {
            let (of_input, of_w) = match picture {
                Some(picture) => {
                    smaller = (stage > 0).then(|| self.upsample.pull(picture.clone()));
                    let (of_input, of_w) = rgb.pull(picture, &mut tape);
                    (Some(of_input), of_w)
                }
                None => (None, rgb.forget(&mut tape)),
            };
            features = add(features, of_input);
            codes.push(of_w);
        }
        // Where no picture was asked for and nothing comes from the stages after, nothing goes to those before.
        let Some(features) = features else {
            unreachable!("a gradient of the features or of the picture");
        };
        let (mut of_input, of_w) = block.conv.pull(features.clone(), &mut tape);
        codes.push(of_w);
        if let Some(up) = &block.up {
            let (of_smaller, of_w) = up.pull(of_input, &mut tape);
            of_input = of_smaller;
            codes.push(of_w);
        }
        if let Some(skip) = &block.skip {
            of_input = of_input + skip.pull(self.upsample.pull(features), None);
        }
        codes.reverse();
        let input = match stage {
            0 => Gradient::default(),
            _ => Gradient { features: Some(of_input), picture: smaller },
        };
        Pulled { input, codes, embedding: None }
    }

    fn pull_map(&self, tape: Tape, grad: Tensor<2>) -> Tensor<2> {
        self.mapping.pull(tape, grad)
    }
}

/// Reads the layers of one block.
struct LayerLoader<'a, 'b> {
    config: &'a Config,
    weights: &'a Weights,
    device: &'a Place,
    /// Of the maps.
    side: usize,
    tally: &'a mut Tally<'b>,
}

impl LayerLoader<'_, '_> {
    fn affine(&mut self, prefix: &str, inputs: usize) -> Result<Linear, LoadError> {
        let w_dim = self.config.mapping.w_dim;
        let weight = self.tally.get(self.weights, &format!("{prefix}.affine.weight"), &[inputs, w_dim])?;
        Ok(linear(&weight, w_dim, 1.0 / (w_dim as f64).sqrt(), self.device))
    }

    /// As [`super::LayerLoader::conv`].
    fn conv(
        &mut self,
        prefix: &str,
        [outputs, inputs]: [usize; 2],
        up: bool,
        scale: f64,
    ) -> Result<StyledConv, LoadError> {
        let (device, side) = (self.device, self.side);
        let weight = self.tally.get(self.weights, &format!("{prefix}.weight"), &[outputs, inputs, 3, 3])?;
        let sums: Vec<f32> =
            weight.as_chunks::<9>().0.iter().map(|kernel| kernel.iter().map(|x| x * x).sum()).collect();
        let is_interpolated = up && self.config.upsampling == Upsampling::Bilinear;
        let gain = SQRT_2 * scale;
        Ok(StyledConv {
            style: self.affine(prefix, inputs)?,
            squares: linear(&sums, inputs, -1.0 / (gain * gain), device),
            interpolation: is_interpolated.then(|| UpsampleAdjoint::bilinear(device)),
            op: match up && !is_interpolated {
                true => ConvAdjoint::Down(ConvDown::of_up(&weight, [outputs, inputs], side / 2, device)),
                false => ConvAdjoint::Same(ops::Conv::adjoint(&weight, [outputs, inputs, 3], side, device)),
            },
        })
    }

    fn rgb(&mut self, prefix: &str, inputs: usize) -> Result<ToRgb, LoadError> {
        let outputs = self.config.picture_channels;
        let weight = self.tally.get(self.weights, &format!("{prefix}.weight"), &[outputs, inputs, 1, 1])?;
        let weight = scaled(weight, 1.0 / (inputs as f64).sqrt());
        Ok(ToRgb {
            style: self.affine(prefix, inputs)?,
            conv: ops::Conv::adjoint(&weight, [outputs, inputs, 1], 0, self.device),
            clamp: self.weights.conv_clamp,
        })
    }
}

/// The adjoint of [`super::StyledConv`].
struct StyledConv {
    style: Linear,
    /// The sums of squared kernels, from outputs to inputs, divided by the squared gain of the demodulation and negated.
    squares: Linear,
    interpolation: Option<UpsampleAdjoint>,
    op: ConvAdjoint,
}

impl StyledConv {
    /// From `[N, outputs, height, width]` to `[N, inputs, h, w]` and w `[N, w_dim]`
    fn pull(&self, grad: Tensor<4>, tape: &mut Tape) -> (Tensor<4>, Tensor<2>) {
        let after = tape.take_after();
        let (y, style, x) = (tape.take(), tape.take_rows(), tape.take());
        let (grad, sums) = pull_after(grad, &y, &after);
        drop(y);
        let grad = self.op.pull(grad, after.scale.clone());
        let (grad, mut of_style) = pull_scale(grad, &x, style.clone());
        // The styles act a second time, through the demodulation gain / sqrt(styles² squares + 1e-8) = scale, whose own gradient
        // times itself the sums are.
        if let Some((sums, scale)) = sums.zip(after.scale) {
            of_style = of_style + style * self.squares.forward(sums * scale.square());
        }
        let grad = match &self.interpolation {
            Some(interpolation) => interpolation.pull(grad),
            None => grad,
        };
        (grad, self.style.forward(of_style))
    }
}

/// The adjoint of [`super::ToRgb`].
struct ToRgb {
    style: Linear,
    conv: ops::Conv,
    clamp: Option<f32>,
}

impl ToRgb {
    /// From `[N, picture channels, h, w]` to `[N, inputs, h, w]` and w `[N, w_dim]`
    fn pull(&self, grad: Tensor<4>, tape: &mut Tape) -> (Tensor<4>, Tensor<2>) {
        let (own, style, x) = (tape.take(), tape.take_rows(), tape.take());
        let (grad, _) = pull_after(grad, &own, &ops::After { clamp: self.clamp, ..ops::After::default() });
        let (grad, of_style) = pull_scale(self.conv.pull(grad, None), &x, style);
        (grad, self.style.forward(of_style))
    }

    /// The gradient with respect to w, `[N, w_dim]`, where the picture does not matter.
    fn forget(&self, tape: &mut Tape) -> Tensor<2> {
        let (_, style, _) = (tape.take(), tape.take_rows(), tape.take());
        self.style.forward(style.zeros_like())
    }
}
