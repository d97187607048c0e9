//! Adjoints of convolutions, for gradients with respect to what went into them. Those that keep the size are convolutions again, with
//! inputs and outputs swapped and the kernel flipped; those that double it need an operator that halves it.

use burn::tensor::{Tensor, TensorData};

use super::{After, Conv, Host, Place, cpu, each_sample, is_cpu};

/// The adjoint of a convolution that doubles the size.
pub struct ConvDown(Form);

#[expect(clippy::large_enum_variant, reason = "one per layer while gradients are asked for, never moved about")]
enum Form {
    Cpu(cpu::PackedDown),
    /// A 3x3 convolution of maps whose four parities of rows and columns are channels of their own.
    Phases(Conv),
}

/// What a doubling convolution does along an axis: row `k` of the kernel on row `y` reaches large row `2y + k - 2 + n` with the factor
/// of tap `n`.
struct Axis<'a> {
    kernel: usize,
    taps: &'a [f32],
}

/// StyleGAN2's filter, and the pairs of a nearest up-sampling.
const SMOOTH: Axis = Axis { kernel: 3, taps: &[0.25, 0.75, 0.75, 0.25] };
const PAIRS: Axis = Axis { kernel: 3, taps: &[0.0, 1.0, 1.0] };
/// Padding 1 and no filter.
const PLAIN: Axis = Axis { kernel: 4, taps: &[0.0, 1.0] };

impl Conv {
    /// The adjoint of [`Conv::for_side`] of that weight, `[outputs, inputs, k, k]`, without what surrounds it.
    pub fn adjoint(weight: &[f32], [outputs, inputs, k]: [usize; 3], side: usize, place: impl Into<Place>) -> Self {
        let taps = k * k;
        let kernels = (0..inputs).flat_map(|i| (0..outputs).map(move |o| o * inputs + i));
        let flipped = kernels.flat_map(|kernel| weight[kernel * taps..][..taps].iter().rev().copied());
        Conv::for_side(&flipped.collect::<Vec<_>>(), [inputs, outputs, k], side, place)
    }

    /// y `[N, outputs, h, w]`, scale `[N, outputs]` -> `[N, inputs, h, w]`, of an adjoint.
    pub fn pull(&self, y: Tensor<4>, scale: Option<Tensor<2>>) -> Tensor<4> {
        self.forward(y, scale, &After::default())
    }
}

impl ConvDown {
    /// The adjoint of [`super::ConvUp`] of that weight, `[outputs, inputs, 3, 3]`, for small maps of that width and height.
    pub fn of_up(weight: &[f32], shape: [usize; 2], side: usize, place: impl Into<Place>) -> Self {
        let at = |o, i, tap| weight[(o * shape[1] + i) * 9 + tap];
        Self::new(shape, side, &place.into(), &SMOOTH, at, || cpu::PackedDown::of_filtered(weight, shape))
    }

    /// The adjoint of [`super::ConvNearestUp`] of that weight, `[outputs, inputs, 3, 3]`, for small maps of that width and height.
    pub fn of_nearest(weight: &[f32], shape: [usize; 2], side: usize, place: impl Into<Place>) -> Self {
        let at = |o, i, tap| weight[(o * shape[1] + i) * 9 + 8 - tap];
        Self::new(shape, side, &place.into(), &PAIRS, at, || cpu::PackedDown::of_nearest(weight, shape))
    }

    /// The adjoint of [`super::ConvTranspose`] of that weight, `[inputs, outputs, 4, 4]`, for small maps of that width and height.
    pub fn of_transposed(weight: &[f32], [inputs, outputs]: [usize; 2], side: usize, place: impl Into<Place>) -> Self {
        let at = |o, i, tap| weight[(i * outputs + o) * 16 + tap];
        let packed = || cpu::PackedDown::of_transposed(weight, [inputs, outputs]);
        Self::new([outputs, inputs], side, &place.into(), &PLAIN, at, packed)
    }

    fn new(
        [outputs, inputs]: [usize; 2],
        side: usize,
        place: &Place,
        axis: &Axis,
        at: impl Fn(usize, usize, usize) -> f32,
        packed: impl FnOnce() -> cpu::PackedDown,
    ) -> Self {
        if is_cpu(place) {
            return ConvDown(Form::Cpu(packed()));
        }
        let weight = axis.phases([outputs, inputs], at);
        ConvDown(Form::Phases(Conv::for_side(&weight, [inputs, 4 * outputs, 3], side, place)))
    }

    /// y `[N, outputs, 2h, 2w]`, scale `[N, outputs]` -> `[N, inputs, h, w]`
    pub fn pull(&self, y: Tensor<4>, scale: Option<Tensor<2>>) -> Tensor<4> {
        let ([n, channels, height, width], device) = (y.dims(), y.device());
        let [height, width] = [height / 2, width / 2];
        match &self.0 {
            Form::Cpu(packed) => {
                let (y, scale) = (Host::of(y), scale.map(Host::of));
                let one = |sample| {
                    let scale = scale.as_ref().map(|scale| scale.sample(sample, n));
                    packed.sums(y.sample(sample, n), [height, width], scale)
                };
                let values = each_sample(n, one);
                Tensor::from_data(TensorData::new(values, [n, packed.channels(), height, width]), &device)
            }
            Form::Phases(conv) => {
                let phases = y.reshape([n, channels, height, 2, width, 2]).permute([0, 1, 3, 5, 2, 4]);
                let scale = scale.map(|scale| scale.reshape([n, channels, 1]).repeat_dim(2, 4));
                let scale = scale.map(|scale| scale.reshape([n, 4 * channels]));
                conv.pull(phases.reshape([n, 4 * channels, height, width]), scale)
            }
        }
    }
}

impl Axis<'_> {
    /// Factor of large row `2y + t` for kernel row `k`, `t` counted from -2.
    fn factor(&self, k: usize, t: usize) -> f32 {
        t.checked_sub(k).and_then(|tap| self.taps.get(tap)).copied().unwrap_or(0.0)
    }

    /// `[inputs, 4 outputs, 3, 3]`: the weight of each parity of rows and columns, `weight(o, i, tap)` that of the kernel.
    fn phases(&self, [outputs, inputs]: [usize; 2], weight: impl Fn(usize, usize, usize) -> f32) -> Vec<f32> {
        // Rows 2y - 2 to 2y + 3 are the rows y - 1 to y + 1 of both parities.
        let large = |neighbour: usize, parity: usize| 2 * neighbour + parity;
        let mut values = Vec::with_capacity(36 * outputs * inputs);
        for (i, o) in (0..inputs).flat_map(|i| (0..outputs).map(move |o| (i, o))) {
            for (phase, tap) in (0..4).flat_map(|phase| (0..9).map(move |tap| (phase, tap))) {
                let (y, x) = (large(tap / 3, phase / 2), large(tap % 3, phase % 2));
                let kernel = (0..self.kernel.pow(2)).map(|at| (at, at / self.kernel, at % self.kernel));
                values
                    .push(kernel.map(|(at, ky, kx)| weight(o, i, at) * self.factor(ky, y) * self.factor(kx, x)).sum());
            }
        }
        values
    }
}

#[cfg(test)]
pub(super) mod tests {
    use burn::tensor::Device;

    use super::super::tests::{numbers, weights};
    use super::*;
    use crate::ops::{ConvNearestUp, ConvTranspose, ConvUp};

    /// Both products of an operator and its adjoint, in double precision.
    fn products(y: Tensor<4>, r: Tensor<4>, x: Tensor<4>, pulled: Tensor<4>) -> [f64; 2] {
        let values = |x: Tensor<4>| x.into_data().try_into_vec::<f32>().unwrap();
        let product = |a, b| {
            let (a, b) = (values(a), values(b));
            assert_eq!(a.len(), b.len());
            a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
        };
        [product(y, r), product(x, pulled)]
    }

    #[track_caller]
    fn assert_adjoint(what: &str, [one, other]: [f64; 2], scale: f64) {
        assert!((one - other).abs() < 1e-5 * scale, "{what}: {one} and {other}");
    }

    /// N, inputs, outputs, height, width: small, large enough for tiles, and oblong.
    pub(in crate::ops) const SHAPES: [[usize; 5]; 6] = [
        [1, 5, 3, 4, 4],
        [2, 16, 20, 8, 8],
        [1, 1, 1, 1, 1],
        [1, 32, 24, 40, 24],
        [1, 70, 66, 32, 33],
        [2, 9, 7, 5, 12],
    ];

    pub(in crate::ops) fn check(device: &Device, shape: [usize; 5]) {
        let [n, inputs, outputs, h, w] = shape;
        let side = h.max(w);
        let x = numbers([n, inputs, h, w], 1, device);
        let (style, scale) = (numbers([n, inputs], 2, device), numbers([n, outputs], 3, device));
        let after = After { scale: Some(scale.clone()), ..After::default() };
        let styled = |pulled: Tensor<4>| pulled * style.clone().reshape([n, inputs, 1, 1]);
        let size = (n * outputs * inputs * h * w) as f64;
        for k in [1, 3] {
            let weight = weights(outputs * inputs * k * k);
            let r = numbers([n, outputs, h, w], 4, device);
            let conv = Conv::for_side(&weight, [outputs, inputs, k], side, device);
            let adjoint = Conv::adjoint(&weight, [outputs, inputs, k], side, device);
            let y = conv.forward(x.clone(), Some(style.clone()), &after);
            let pulled = styled(adjoint.pull(r.clone(), Some(scale.clone())));
            assert_adjoint(&format!("{k}x{k} {shape:?}"), products(y, r, x.clone(), pulled), size);
        }
        let r = numbers([n, outputs, 2 * h, 2 * w], 4, device);
        let weight = weights(outputs * inputs * 9);
        let y =
            ConvUp::for_side(&weight, [outputs, inputs], side, device).forward(x.clone(), Some(style.clone()), &after);
        let adjoint = ConvDown::of_up(&weight, [outputs, inputs], side, device);
        let pulled = styled(adjoint.pull(r.clone(), Some(scale.clone())));
        assert_adjoint(&format!("up {shape:?}"), products(y, r.clone(), x.clone(), pulled), size);
        let y = ConvNearestUp::for_side(&weight, [outputs, inputs], side, device).forward_residual(
            x.clone(),
            None,
            None,
            &after,
        );
        let pulled =
            ConvDown::of_nearest(&weight, [outputs, inputs], side, device).pull(r.clone(), Some(scale.clone()));
        assert_adjoint(&format!("nearest {shape:?}"), products(y, r.clone(), x.clone(), pulled), size);
        let weight = weights(outputs * inputs * 16);
        let y = ConvTranspose::new(&weight, [inputs, outputs], device).forward(x.clone(), &after);
        let pulled = ConvDown::of_transposed(&weight, [inputs, outputs], side, device).pull(r.clone(), Some(scale));
        assert_adjoint(&format!("transposed {shape:?}"), products(y, r, x, pulled), size);
    }

    #[test]
    fn convolutions_have_their_adjoints_on_the_cpu() {
        SHAPES.into_iter().for_each(|shape| check(&Device::flex(), shape));
    }

    #[test]
    fn halving_equals_the_same_by_parities() {
        let device = Device::flex();
        for [n, inputs, outputs, h, w] in SHAPES {
            let r = numbers([n, outputs, 2 * h, 2 * w], 4, &device);
            let scale = Some(numbers([n, outputs], 3, &device));
            let (nine, sixteen) = (weights(outputs * inputs * 9), weights(outputs * inputs * 16));
            let phases = |axis: &Axis, at: &dyn Fn(usize, usize, usize) -> f32| {
                let weight = axis.phases([outputs, inputs], at);
                ConvDown(Form::Phases(Conv::of_tensors(&weight, [inputs, 4 * outputs, 3], &device)))
            };
            for (fast, plain) in [
                (
                    ConvDown::of_up(&nine, [outputs, inputs], h, &device),
                    phases(&SMOOTH, &|o, i, tap| nine[(o * inputs + i) * 9 + tap]),
                ),
                (
                    ConvDown::of_nearest(&nine, [outputs, inputs], h, &device),
                    phases(&PAIRS, &|o, i, tap| nine[(o * inputs + i) * 9 + 8 - tap]),
                ),
                (
                    ConvDown::of_transposed(&sixteen, [inputs, outputs], h, &device),
                    phases(&PLAIN, &|o, i, tap| sixteen[(i * outputs + o) * 16 + tap]),
                ),
            ] {
                let (fast, plain) = (fast.pull(r.clone(), scale.clone()), plain.pull(r.clone(), scale.clone()));
                let worst: f32 = (fast - plain).abs().max().into_scalar();
                assert!(worst < 2e-4, "{n} {inputs}->{outputs} {h}x{w}: off by {worst}");
            }
        }
    }
}
