//! Up-sampling by two with the filter [1,3,3,1] x [1,3,3,1] (StyleGAN2, `upsample_2d`), and bilinear up-sampling, which differs
//! at the border only.

use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor};

use super::{After, ConvDown, ConvTranspose, Place, gpu};

/// Doubles a picture.
pub struct Upsample {
    border: Border,
    /// Absent where a kernel does it.
    conv: Option<ConvTranspose>,
}

/// What lies outside a picture.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Border {
    Zeros,
    /// The nearest pixel.
    Repeated,
}

impl Upsample {
    /// With zeros outside the picture.
    pub fn new(device: &Device) -> Self {
        Self::with(Border::Zeros, device)
    }

    /// Bilinear interpolation whose corners are not aligned (PyTorch's `align_corners=False`).
    pub fn bilinear(device: &Device) -> Self {
        Self::with(Border::Repeated, device)
    }

    fn with(border: Border, device: &Device) -> Self {
        Upsample { border, conv: (!gpu::is_able(device)).then(|| Self::plain(device)) }
    }

    pub(super) fn is_bilinear(&self) -> bool {
        self.border == Border::Repeated
    }

    fn plain(device: &Device) -> ConvTranspose {
        ConvTranspose::new(&kernel(), [1, 1], device)
    }

    /// `[N, C, H, W]` -> `[N, C, 2H, 2W]`
    pub fn forward(&self, picture: Tensor<4>) -> Tensor<4> {
        if !self.is_bilinear() {
            return self.filtered(picture);
        }
        let [_, _, height, width] = picture.dims();
        // One more pixel on each side becomes two.
        let doubled = self.filtered(picture.pad((1, 1, 1, 1), PadMode::Edge));
        doubled.narrow(2, 2, 2 * height).narrow(3, 2, 2 * width)
    }

    fn filtered(&self, picture: Tensor<4>) -> Tensor<4> {
        let Some(conv) = &self.conv else { return gpu::upsample(picture) };
        let [n, channels, height, width] = picture.dims();
        // Channels go through as pictures of their own, so that the convolution needs no groups.
        let planes = picture.reshape([n * channels, 1, height, width]);
        conv.forward(planes, &After::default()).reshape([n, channels, 2 * height, 2 * width])
    }
}

/// `[4, 4]`
fn kernel() -> Vec<f32> {
    const TAPS: [f32; 4] = [1.0, 3.0, 3.0, 1.0];
    // Sum 4: every value is spread over four.
    TAPS.iter().flat_map(|a| TAPS.map(|b| a * b / 16.0)).collect()
}

/// The adjoint of [`Upsample`], which halves a picture.
pub struct UpsampleAdjoint {
    border: Border,
    conv: ConvDown,
}

impl UpsampleAdjoint {
    /// Of [`Upsample::new`].
    pub fn new(device: &Place) -> Self {
        Self::with(Border::Zeros, device)
    }

    /// Of [`Upsample::bilinear`].
    pub fn bilinear(device: &Place) -> Self {
        Self::with(Border::Repeated, device)
    }

    fn with(border: Border, device: &Place) -> Self {
        UpsampleAdjoint { border, conv: ConvDown::of_transposed(&kernel(), [1, 1], 0, device) }
    }

    /// `[N, C, 2H, 2W]` -> `[N, C, H, W]`
    pub fn pull(&self, grad: Tensor<4>) -> Tensor<4> {
        if self.border == Border::Zeros {
            return self.filtered(grad);
        }
        // The doubled pixels of the border were cut off; what they were made of adds to the pixels that they repeat.
        let sums = self.filtered(grad.pad((2, 2, 2, 2), PadMode::Constant(0.0)));
        folded(folded(sums, 2), 3)
    }

    fn filtered(&self, grad: Tensor<4>) -> Tensor<4> {
        let [n, channels, height, width] = grad.dims();
        let planes = grad.reshape([n * channels, 1, height, width]);
        self.conv.pull(planes, None).reshape([n, channels, height / 2, width / 2])
    }
}

/// The first and the last entry along an axis added to their neighbours.
fn folded(x: Tensor<4>, axis: usize) -> Tensor<4> {
    let inside = x.dims()[axis] - 2;
    let at = |first: usize, count: usize| x.clone().narrow(axis, first, count);
    if inside == 1 {
        return at(0, 1) + at(1, 1) + at(2, 1);
    }
    let (first, last) = (at(0, 1) + at(1, 1), at(inside, 1) + at(inside + 1, 1));
    match inside {
        2 => Tensor::cat(vec![first, last], axis),
        _ => Tensor::cat(vec![first, at(2, inside - 2), last], axis),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_equal, numbers};
    use super::*;
    use burn::tensor::TensorData;

    #[test]
    fn bilinear_up_sampling_equals_its_definition() {
        let device = Device::flex();
        let (height, width) = (3, 5);
        let picture = numbers([2, 3, height, width], 1, &device);
        let values: Vec<f32> = picture.clone().into_data().try_into_vec().unwrap();
        // The source of a pixel lies half a pixel off; outside the picture is its border.
        let along = |at: usize, length: usize| {
            let source = ((at as f32 + 0.5) / 2.0 - 0.5).clamp(0.0, (length - 1) as f32);
            let low = source.floor() as usize;
            (low, (low + 1).min(length - 1), source - source.floor())
        };
        let mut expected = Vec::new();
        for plane in values.chunks_exact(height * width) {
            for y in 0..2 * height {
                for x in 0..2 * width {
                    let ((y0, y1, b), (x0, x1, a)) = (along(y, height), along(x, width));
                    let row = |y: usize| plane[y * width + x0] * (1.0 - a) + plane[y * width + x1] * a;
                    expected.push(row(y0) * (1.0 - b) + row(y1) * b);
                }
            }
        }
        let expected = Tensor::from_data(TensorData::new(expected, [2, 3, 2 * height, 2 * width]), &device);
        assert_equal(Upsample::bilinear(&device).forward(picture), expected);
    }
    #[test]
    fn both_have_their_adjoints() {
        let device = Device::flex();
        let product = |a: Tensor<4>, b: Tensor<4>| (a * b).sum().into_scalar::<f32>();
        for (height, width) in [(1, 1), (2, 3), (5, 8)] {
            let x = numbers([2, 3, height, width], 1, &device);
            let r = numbers([2, 3, 2 * height, 2 * width], 2, &device);
            let place = Place::from(&device);
            for (upsample, adjoint) in [
                (Upsample::new(&device), UpsampleAdjoint::new(&place)),
                (Upsample::bilinear(&device), UpsampleAdjoint::bilinear(&place)),
            ] {
                let (one, other) =
                    (product(upsample.forward(x.clone()), r.clone()), product(x.clone(), adjoint.pull(r.clone())));
                assert!((one - other).abs() < 1e-4, "{height}x{width}: {one} and {other}");
            }
        }
    }
}
