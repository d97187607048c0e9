//! Gradients of StyleGAN3's pictures with respect to w.

use burn::tensor::Tensor;

use super::{Config, FourierInput, Layer as Forward, LayerConfig, PICTURE_GAIN, Waves};
use crate::generator::adjoint::{add, linear};
use crate::generator::filtered::FilteredActivation;
use crate::generator::layers::Linear;
use crate::generator::mapping::MappingAdjoint;
use crate::generator::{Adjoint, Gradient, LoadError, Pulled, Tally, Tape};
use crate::layout::Weights;
use crate::ops::{self, Place, pull_after, pull_scale};

/// The adjoint of [`super::StyleGan3`].
pub(super) struct StyleGan3Adjoint {
    mapping: MappingAdjoint,
    input: InputAdjoint,
    layers: Vec<LayerAdjoint>,
}

impl StyleGan3Adjoint {
    pub(super) fn load(
        config: &Config,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Self, LoadError> {
        let w_dim = config.mapping.w_dim;
        let mut layers = Vec::new();
        for (i, layer) in config.layers.iter().enumerate() {
            let is_last = i + 1 == config.layers.len();
            layers.push(LayerAdjoint::load(layer, is_last, w_dim, weights, device, tally)?);
        }
        Ok(StyleGan3Adjoint {
            mapping: config.mapping.load_adjoint(weights, device, tally)?,
            input: InputAdjoint::load(config, weights, device, tally)?,
            layers,
        })
    }
}

impl Adjoint for StyleGan3Adjoint {
    fn pull(&self, stage: usize, mut tape: Tape, grad: Gradient) -> Pulled {
        let of_picture = grad.picture.map(|picture| picture.mul_scalar(PICTURE_GAIN));
        let Some(grad) = add(grad.features, of_picture) else {
            unreachable!("a gradient of the features or of the picture")
        };
        let Some(layer) = stage.checked_sub(1).map(|layer| &self.layers[layer]) else {
            return Pulled { codes: vec![self.input.pull(grad, &mut tape)], ..Pulled::default() };
        };
        let (of_input, of_w) = layer.pull(grad, &mut tape);
        Pulled { input: Gradient::of_features(of_input), codes: vec![of_w], embedding: None }
    }

    fn pull_map(&self, tape: Tape, grad: Tensor<2>) -> Tensor<2> {
        self.mapping.pull(tape, grad)
    }
}

/// The adjoint of [`FourierInput`].
struct InputAdjoint {
    affine: Linear,
    waves: Waves,
    mixing: ops::Conv,
}

impl InputAdjoint {
    fn load(config: &Config, weights: &Weights, device: &Place, tally: &mut Tally) -> Result<Self, LoadError> {
        let (channels, w_dim) = (config.input_channels, config.mapping.w_dim);
        let affine = tally.get(weights, "synthesis.input.affine.weight", &[4, w_dim])?;
        let mixing = FourierInput::read_mixing(channels, weights, tally)?;
        let side = config.layers[0].size.larger();
        Ok(InputAdjoint {
            affine: linear(&affine, w_dim, 1.0 / (w_dim as f64).sqrt(), device),
            waves: Waves::load(config, weights, device, tally)?,
            mixing: ops::Conv::adjoint(&mixing, [channels, channels, 1], side, device),
        })
    }

    /// From `[N, C, height, width]` to w `[N, w_dim]`
    fn pull(&self, grad: Tensor<4>, tape: &mut Tape) -> Tensor<2> {
        let t = tape.take_rows();
        self.affine.forward(self.waves.pull(self.mixing.pull(grad, None), t))
    }
}

/// The adjoint of [`Forward`].
struct LayerAdjoint {
    style: Linear,
    conv: ops::Conv,
    kernel: usize,
    /// The sums of squared kernels, from outputs to inputs, negated; the last layer has none.
    squares: Option<Linear>,
    gain: f64,
    activation: FilteredActivation,
}

impl LayerAdjoint {
    fn load(
        config: &LayerConfig,
        is_last: bool,
        w_dim: usize,
        weights: &Weights,
        device: &Place,
        tally: &mut Tally,
    ) -> Result<Self, LoadError> {
        let LayerConfig { inputs, outputs, kernel, size, .. } = *config;
        let parts = Forward::read(config, is_last, w_dim, weights, device, tally)?;
        Ok(LayerAdjoint {
            style: linear(&parts.affine, w_dim, parts.style_gain / (w_dim as f64).sqrt(), device),
            conv: ops::Conv::adjoint(&parts.weight, [outputs, inputs, kernel], size.larger(), device),
            kernel,
            squares: (!is_last).then(|| linear(&parts.squares(kernel), inputs, -1.0, device)),
            gain: parts.gain,
            activation: parts.activation,
        })
    }

    /// From `[N, outputs, height, width]` to `[N, inputs, h, w]` and w `[N, w_dim]`
    fn pull(&self, grad: Tensor<4>, tape: &mut Tape) -> (Tensor<4>, Tensor<2>) {
        let after = tape.take_after();
        let (y, affine, x) = (tape.take(), tape.take_rows(), tape.take());
        let (grad, sums) = pull_after(self.activation.pull(grad, y.clone()), &y, &after);
        let grad = self.conv.pull(grad, after.scale.clone());
        let (style, factor) = match &self.squares {
            Some(_) => {
                let factor = affine.clone().square().mean_dim(1).sqrt().recip();
                (affine.clone() * factor.clone(), Some(factor))
            }
            None => (affine, None),
        };
        let (grad, of_style) = pull_scale(grad, &x, style.clone().mul_scalar(self.gain));
        let mut of_style = of_style.mul_scalar(self.gain);
        // As in StyleGAN2; then the styles' own normalisation.
        if let (Some(squares), Some(sums), Some(scale), Some(factor)) = (&self.squares, sums, after.scale, factor) {
            of_style = of_style + style.clone() * squares.forward(sums * scale.square());
            let along = (of_style.clone() * style.clone()).mean_dim(1);
            of_style = (of_style - style * along) * factor;
        }
        let [_, _, height, width] = grad.dims();
        let border = self.kernel / 2;
        let grad = grad.narrow(2, border, height - 2 * border).narrow(3, border, width - 2 * border);
        (grad, self.style.forward(of_style))
    }
}
