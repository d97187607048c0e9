//! Operators where this project has its own: convolutions of style-based generators in as few passes as the device allows.
//!
//! Each operator has three forms that give the same result (tested against each other): plain tensor operations, which run
//! on every device; on the CPU one pass over cache-sized strips ([`cpu`]); on GPUs kernels of our own ([`gpu`]), which store
//! weights and maps in f32 or f16 ([`Place`]). Weights are packed once at load.

mod area;
mod attention;
mod cpu;
mod down;
mod gpu;
mod linear;
pub mod measure;
mod nearest;
mod norm;
mod place;
mod pull;
mod residual;
mod upsample;

pub use area::area_mean;
pub use attention::pull_attention;
pub(crate) use cpu::area_mean as area_mean_on_host;
pub use cpu::{FilterPlan, Gram, keep_freed_memory};
pub use down::ConvDown;
pub use gpu::MatrixUnits;
pub use linear::{Demodulation, Linear};
pub use nearest::ConvNearestUp;
pub use norm::{StyleLayer, pixel_norm};
pub(crate) use place::stored_as;
pub use place::{Place, Precision};
pub use pull::{
    NormGradient, pull_after, pull_lrelu, pull_nearest_up, pull_norm, pull_pixel_norm, pull_scale, pull_shortcut,
};
use residual::{Around, on_host};
pub use residual::{Norm, attention, nearest_up, sum};
pub use upsample::{Upsample, UpsampleAdjoint};

use std::borrow::Cow;

use burn::tensor::activation::leaky_relu;
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, PadMode};
use burn::tensor::{Device, Tensor, TensorData};
use burn_flex::{Flex, FlexTensor};

/// What follows a convolution: `clamp(lrelu(x * scale + bias + noise))`, each part optional.
#[derive(Clone, Default)]
pub struct After {
    /// `[N, outputs]`
    pub scale: Option<Tensor<2>>,
    /// `[outputs]`
    pub bias: Option<Tensor<1>>,
    /// `[1, 1, height, width]` for all samples, or `[N, 1, height, width]`
    pub noise: Option<Tensor<4>>,
    /// Slope of the activation below zero, under 1.
    pub slope: Option<f32>,
    /// Largest magnitude.
    pub clamp: Option<f32>,
    /// The result is a picture: f32, however maps are stored.
    pub is_picture: bool,
}

impl After {
    fn apply(&self, mut x: Tensor<4>) -> Tensor<4> {
        let [n, channels, ..] = x.dims();
        if let Some(scale) = &self.scale {
            x = x * scale.clone().reshape([n, channels, 1, 1]);
        }
        if let Some(bias) = &self.bias {
            x = x + bias.clone().reshape([1, channels, 1, 1]);
        }
        if let Some(noise) = &self.noise {
            x = x + noise.clone();
        }
        if let Some(slope) = self.slope {
            x = leaky_relu(x, slope.into());
        }
        match self.clamp {
            Some(limit) => x.clamp(-limit, limit),
            None => x,
        }
    }
}

/// Convolution with a 3x3 or 1x1 kernel, stride 1, zero padding that keeps the size, input channels scaled by a style.
pub struct Conv(Form<cpu::PackedConv, gpu::TiledConv>);

/// Transposed 3x3 convolution of stride 2 followed by the filter [1,3,3,1] x [1,3,3,1] / 16, which doubles the size
/// (StyleGAN2, `upsample_conv_2d`).
pub struct ConvUp(Form<cpu::PackedUp, gpu::Double>);

/// Transposed 4x4 convolution of stride 2 and padding 1, which doubles the size.
pub struct ConvTranspose(Form<cpu::PackedUp, gpu::Double>);

#[expect(clippy::large_enum_variant, reason = "one per layer for the life of a model, never moved about")]
enum Form<Packed, Kernel> {
    /// Weight, and for [`ConvUp`] the filter, as the tensor operations take them: for GPUs that our kernels ask too much of.
    Tensors {
        weight: Tensor<4>,
        filter: Option<Tensor<4>>,
    },
    Cpu(Packed),
    Gpu(Kernel),
    Matrix(gpu::MatrixConv),
}

impl<Packed, Kernel> Form<Packed, Kernel> {
    /// On matrix units where they are of use, or else tiled.
    fn on_gpu(matrix: Option<gpu::MatrixConv>, tiled: impl FnOnce() -> Kernel) -> Self {
        matrix.map_or_else(|| Form::Gpu(tiled()), Form::Matrix)
    }
}

impl Conv {
    /// `weight` is `[outputs, inputs, k, k]`, row-major, with k 1 or 3.
    pub fn new(weight: &[f32], shape: [usize; 3], place: impl Into<Place>) -> Self {
        Self::for_side(weight, shape, 0, place)
    }

    /// As [`Conv::new`], in the form that is fastest for maps of that width and height; right for all.
    pub fn for_side(weight: &[f32], shape: [usize; 3], side: usize, place: impl Into<Place>) -> Self {
        let place = place.into();
        if gpu::is_able(&place) {
            let matrix = gpu::MatrixConv::same(weight, shape, gpu::By::Side(side), &place);
            return Conv(Form::on_gpu(matrix, || gpu::TiledConv::new(weight, shape, &place)));
        }
        if !is_cpu(&place) {
            return Self::of_tensors(weight, shape, &place);
        }
        Conv(Form::Cpu(cpu::PackedConv::new(weight, shape, side)))
    }

    fn of_tensors(weight: &[f32], [outputs, inputs, k]: [usize; 3], device: &Device) -> Self {
        let weight = Tensor::from_data(TensorData::new(weight.to_vec(), [outputs, inputs, k, k]), device);
        Conv(Form::Tensors { weight, filter: None })
    }

    /// x `[N, inputs, h, w]`, style `[N, inputs]` -> `[N, outputs, h, w]`
    pub fn forward(&self, x: Tensor<4>, style: Option<Tensor<2>>, after: &After) -> Tensor<4> {
        match &self.0 {
            Form::Tensors { weight, .. } => {
                let padding = weight.dims()[2] / 2;
                let options = ConvOptions::new([1, 1], [padding, padding], [1, 1], 1);
                after.apply(conv2d(styled(x, style), weight.clone(), None, options))
            }
            Form::Cpu(packed) => on_host(x, Around::styled(style), after, packed),
            Form::Gpu(conv) if conv.is_to_rgb() => conv.to_rgb(x, style, after, None),
            Form::Gpu(conv) => conv.forward(x, style, after),
            Form::Matrix(conv) => conv.forward(x, style, after),
        }
    }

    /// The same, and `smaller` `[N, outputs, h/2, w/2]` up-sampled and added to it.
    pub fn forward_onto(
        &self,
        smaller: Tensor<4>,
        upsample: &Upsample,
        x: Tensor<4>,
        style: Option<Tensor<2>>,
        after: &After,
    ) -> Tensor<4> {
        match &self.0 {
            Form::Gpu(conv) if conv.is_to_rgb() && !upsample.is_bilinear() => {
                conv.to_rgb(x, style, after, Some(smaller))
            }
            _ => upsample.forward(smaller) + self.forward(x, style, after),
        }
    }
}

impl ConvUp {
    /// `weight` is `[outputs, inputs, 3, 3]`, row-major; input pixel (y, x) adds its kernel at output (2y, 2x), unflipped.
    /// In the form that is fastest for inputs of that width and height; right for all.
    pub fn for_side(weight: &[f32], [outputs, inputs]: [usize; 2], side: usize, place: impl Into<Place>) -> Self {
        let place = place.into();
        if gpu::is_able(&place) {
            let matrix = gpu::MatrixConv::filtered(weight, [outputs, inputs], gpu::By::Side(side), &place);
            return ConvUp(Form::on_gpu(matrix, || gpu::Double::filtered(weight, [outputs, inputs], &place)));
        }
        if !is_cpu(&place) {
            return Self::of_tensors(weight, [outputs, inputs], &place);
        }
        ConvUp(Form::Cpu(cpu::PackedUp::filtered(weight, [outputs, inputs], side)))
    }

    fn of_tensors(weight: &[f32], [outputs, inputs]: [usize; 2], device: &Device) -> Self {
        let weight = Tensor::from_data(TensorData::new(weight.to_vec(), [outputs, inputs, 3, 3]), device);
        const TAPS: [f32; 4] = [1.0, 3.0, 3.0, 1.0];
        let filter: Vec<f32> = TAPS.iter().flat_map(|a| TAPS.map(|b| a * b / 16.0)).collect();
        let filter = Tensor::<4>::from_data(TensorData::new(filter, [1, 1, 4, 4]), device);
        // A repeated filter, not an expanded view: convolutions want it laid out.
        let filter = Some(filter.repeat(&[outputs, 1, 1, 1]));
        ConvUp(Form::Tensors { weight: weight.swap_dims(0, 1), filter })
    }

    /// x `[N, inputs, h, w]`, style `[N, inputs]` -> `[N, outputs, 2h, 2w]`
    pub fn forward(&self, x: Tensor<4>, style: Option<Tensor<2>>, after: &After) -> Tensor<4> {
        match &self.0 {
            Form::Tensors { weight, filter } => {
                let options = ConvTransposeOptions::new([2, 2], [0, 0], [0, 0], [1, 1], 1);
                let map = conv_transpose2d(styled(x, style), weight.clone(), None, options);
                let channels = map.dims()[1];
                let options = ConvOptions::new([1, 1], [1, 1], [1, 1], channels);
                let filter = filter.clone().expect("made by `of_tensors` with a filter");
                after.apply(conv2d(map, filter, None, options))
            }
            Form::Cpu(packed) => on_host(x, Around::styled(style), after, packed),
            Form::Gpu(conv) => conv.forward(x, style, after),
            Form::Matrix(conv) => conv.forward(x, style, after),
        }
    }
}

impl ConvTranspose {
    /// `weight` is `[inputs, outputs, 4, 4]`, row-major, as transposed convolutions are stored.
    pub fn new(weight: &[f32], shape: [usize; 2], place: impl Into<Place>) -> Self {
        Self::for_side(weight, shape, 0, place)
    }

    /// As [`ConvTranspose::new`], in the form that is fastest for inputs of that width and height; right for all.
    pub fn for_side(weight: &[f32], [inputs, outputs]: [usize; 2], side: usize, place: impl Into<Place>) -> Self {
        let place = place.into();
        if gpu::is_able(&place) {
            let matrix = gpu::MatrixConv::transposed(weight, [inputs, outputs], gpu::By::Side(side), &place);
            return ConvTranspose(Form::on_gpu(matrix, || gpu::Double::transposed(weight, [inputs, outputs], &place)));
        }
        if !is_cpu(&place) {
            return Self::of_tensors(weight, [inputs, outputs], &place);
        }
        ConvTranspose(Form::Cpu(cpu::PackedUp::transposed(weight, [inputs, outputs])))
    }

    fn of_tensors(weight: &[f32], [inputs, outputs]: [usize; 2], device: &Device) -> Self {
        let weight = Tensor::from_data(TensorData::new(weight.to_vec(), [inputs, outputs, 4, 4]), device);
        ConvTranspose(Form::Tensors { weight, filter: None })
    }

    /// x `[N, inputs, h, w]` -> `[N, outputs, 2h, 2w]`
    pub fn forward(&self, x: Tensor<4>, after: &After) -> Tensor<4> {
        match &self.0 {
            Form::Tensors { weight, .. } => {
                let options = ConvTransposeOptions::new([2, 2], [1, 1], [0, 0], [1, 1], 1);
                after.apply(conv_transpose2d(x, weight.clone(), None, options))
            }
            Form::Cpu(packed) => on_host(x, Around::default(), after, packed),
            Form::Gpu(conv) => conv.forward(x, None, after),
            Form::Matrix(conv) => conv.forward(x, None, after),
        }
    }
}

fn styled(x: Tensor<4>, style: Option<Tensor<2>>) -> Tensor<4> {
    match style {
        Some(style) => {
            let [n, channels] = style.dims();
            x * style.reshape([n, channels, 1, 1])
        }
        None => x,
    }
}

/// `[N, C, h, w]` -> `[N, C, h + 2 * border, w + 2 * border]`, zeros around.
pub fn bordered(x: Tensor<4>, border: usize) -> Tensor<4> {
    let ([n, channels, height, width], device) = (x.dims(), x.device());
    if border == 0 {
        return x;
    }
    if !is_cpu(&device) {
        return x.pad((border, border, border, border), PadMode::Constant(0.0));
    }
    let values = cpu::bordered(Host::of(x).values(), [height, width], border);
    Tensor::from_data(TensorData::new(values, [n, channels, height + 2 * border, width + 2 * border]), &device)
}

/// StyleGAN3's filtered activation, on the CPU only: x `[N, C, h, w]`, one bias per channel -> `[N, C, H, W]`.
pub fn filtered_on_cpu(x: Tensor<4>, bias: &[f32], plan: &FilterPlan) -> Tensor<4> {
    let [n, channels, height, width] = x.dims();
    let (device, [up_height, up_width]) = (x.device(), plan.output());
    let x = Host::of(x);
    let values = each_sample(n, |sample| cpu::filtered(x.sample(sample, n), [height, width], bias, plan));
    Tensor::from_data(TensorData::new(values, [n, channels, up_height, up_width]), &device)
}

/// True if tensors of this device lie in the host's memory.
pub fn is_cpu(device: &Device) -> bool {
    *device == Device::flex()
}

/// The values of all samples, one after the other; those of a single one are not copied.
fn each_sample(n: usize, one: impl Fn(usize) -> Vec<f32>) -> Vec<f32> {
    if n == 1 { one(0) } else { (0..n).flat_map(one).collect() }
}

/// A tensor of the CPU backend, laid out row by row.
struct Host(FlexTensor);

impl Host {
    fn of<const D: usize>(tensor: Tensor<D>) -> Self {
        let primitive = tensor.try_into_primitive::<Flex>();
        Host(primitive.expect("the operator was made for this device's tensors").to_contiguous())
    }

    fn values(&self) -> &[f32] {
        self.0.as_slice().expect("f32 values in row-major order")
    }

    /// All values, with their memory if nobody else has them.
    fn take(&mut self) -> Cow<'_, [f32]> {
        if !self.0.is_unique() {
            return Cow::Borrowed(self.values());
        }
        let empty = FlexTensor::from_data(TensorData::new(Vec::<f32>::new(), [0]));
        let values = std::mem::replace(&mut self.0, empty).into_data().try_into_vec();
        Cow::Owned(values.expect("f32 values in row-major order"))
    }

    /// Entry `index` of `count` along the first axis.
    fn sample(&self, index: usize, count: usize) -> &[f32] {
        let values = self.values();
        let length = values.len() / count;
        &values[index * length..(index + 1) * length]
    }

    /// Entry `index` along the first axis, of which one alone is for all.
    fn own_or_shared(&self, index: usize, values: usize) -> &[f32] {
        match self.values().len() {
            length if length == values => self.values(),
            _ => &self.values()[index * values..(index + 1) * values],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn numbers<const D: usize>(shape: [usize; D], seed: usize, device: &Device) -> Tensor<D> {
        let values = cpu::tests::numbers(shape.iter().product(), seed);
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    pub(super) fn weights(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 6007) % 997) as f32 / 498.5 - 1.0).collect()
    }

    #[track_caller]
    pub(super) fn assert_equal(fast: Tensor<4>, plain: Tensor<4>) {
        assert_eq!(fast.dims(), plain.dims());
        let (fast, plain): (Vec<f32>, Vec<f32>) =
            (fast.into_data().try_into_vec().unwrap(), plain.into_data().try_into_vec().unwrap());
        let worst = fast.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "off by {worst}");
    }

    pub(super) fn everything(n: usize, outputs: usize, side: usize, device: &Device) -> After {
        After {
            scale: Some(numbers([n, outputs], 3, device)),
            bias: Some(numbers([outputs], 4, device)),
            noise: Some(numbers(noise_shape(n, [side, side]), 5, device)),
            slope: Some(0.2),
            clamp: Some(2.0),
            is_picture: false,
        }
    }

    /// Two samples have noise of their own; other numbers of them share it.
    pub(super) fn noise_shape(n: usize, [height, width]: [usize; 2]) -> [usize; 4] {
        [if n == 2 { 2 } else { 1 }, 1, height, width]
    }

    #[test]
    fn fast_convolutions_equal_plain_ones_for_a_batch_and_views() {
        let device = Device::flex();
        for (n, inputs, outputs, side, k) in [(1, 5, 3, 8, 1), (2, 16, 20, 16, 3), (3, 8, 8, 4, 3), (2, 32, 24, 40, 3)]
        {
            // A permuted view: its values are not in row-major order.
            let x = numbers([n, side, side, inputs], 1, &device).permute([0, 3, 1, 2]);
            let style = Some(numbers([n, inputs], 2, &device));
            let after = everything(n, outputs, side, &device);
            let weight = weights(outputs * inputs * k * k);
            let fast = Conv::for_side(&weight, [outputs, inputs, k], side, &device);
            let fast = fast.forward(x.clone(), style.clone(), &after);
            let plain = Conv::of_tensors(&weight, [outputs, inputs, k], &device).forward(x, style, &after);
            assert_equal(fast, plain);
        }
    }

    #[test]
    fn fast_up_convolutions_equal_plain_ones() {
        let device = Device::flex();
        for (n, inputs, outputs, side) in [(1, 6, 4, 4), (2, 24, 10, 16), (2, 70, 66, 32)] {
            let x = numbers([n, inputs, side, side], 1, &device);
            let style = Some(numbers([n, inputs], 2, &device));
            let after = everything(n, outputs, 2 * side, &device);
            let weight = weights(outputs * inputs * 9);
            let fast =
                ConvUp::for_side(&weight, [outputs, inputs], side, &device).forward(x.clone(), style.clone(), &after);
            let plain = ConvUp::of_tensors(&weight, [outputs, inputs], &device).forward(x, style, &after);
            assert_equal(fast, plain);
        }
    }

    /// Forms are chosen by the longer side; the shorter one may be next to nothing.
    #[test]
    fn oblong_maps_are_convolved_in_every_form() {
        let device = Device::flex();
        for (height, width, inputs, outputs) in
            [(4, 2, 5, 3), (4, 7, 16, 20), (48, 24, 32, 20), (64, 2, 17, 24), (3, 130, 24, 16), (40, 5, 66, 70)]
        {
            let (side, style) = (height.max(width), Some(numbers([1, inputs], 2, &device)));
            let x = numbers([1, inputs, height, width], 1, &device);
            let after = |scale: usize| After {
                noise: Some(numbers([1, 1, scale * height, scale * width], 5, &device)),
                ..everything(1, outputs, 1, &device)
            };
            let weight = weights(outputs * inputs * 9);
            let same = Conv::for_side(&weight, [outputs, inputs, 3], side, &device);
            let plain = Conv::of_tensors(&weight, [outputs, inputs, 3], &device);
            assert_equal(
                same.forward(x.clone(), style.clone(), &after(1)),
                plain.forward(x.clone(), style.clone(), &after(1)),
            );
            let double = ConvUp::for_side(&weight, [outputs, inputs], side, &device);
            let plain = ConvUp::of_tensors(&weight, [outputs, inputs], &device);
            assert_equal(double.forward(x.clone(), style.clone(), &after(2)), plain.forward(x, style, &after(2)));
        }
    }

    #[test]
    fn fast_transposed_convolutions_equal_plain_ones() {
        let device = Device::flex();
        for (n, inputs, outputs, side) in [(1, 6, 4, 4), (2, 24, 10, 16)] {
            let x = numbers([n, inputs, side, side], 1, &device);
            let after = everything(n, outputs, 2 * side, &device);
            let weight = weights(outputs * inputs * 16);
            let fast = ConvTranspose::new(&weight, [inputs, outputs], &device).forward(x.clone(), &after);
            let plain = ConvTranspose::of_tensors(&weight, [inputs, outputs], &device).forward(x, &after);
            assert_equal(fast, plain);
        }
    }
}
