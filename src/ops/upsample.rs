//! Up-sampling by two with the filter [1,3,3,1] x [1,3,3,1] (StyleGAN2, `upsample_2d`).

use burn::tensor::{Device, Tensor};

use super::{After, ConvTranspose, gpu};

/// Doubles a picture; zeros outside it.
pub struct Upsample {
    /// Absent where a kernel does it.
    conv: Option<ConvTranspose>,
}

impl Upsample {
    pub fn new(device: &Device) -> Self {
        Upsample { conv: (!gpu::is_able(device)).then(|| Self::plain(device)) }
    }

    fn plain(device: &Device) -> ConvTranspose {
        const TAPS: [f32; 4] = [1.0, 3.0, 3.0, 1.0];
        // Sum 4: every value is spread over four.
        let kernel: Vec<f32> = TAPS.iter().flat_map(|a| TAPS.map(|b| a * b / 16.0)).collect();
        ConvTranspose::new(&kernel, [1, 1], device)
    }

    /// `[N, C, H, W]` -> `[N, C, 2H, 2W]`
    pub fn forward(&self, picture: Tensor<4>) -> Tensor<4> {
        let Some(conv) = &self.conv else { return gpu::upsample(picture) };
        let [n, channels, height, width] = picture.dims();
        // Channels go through as pictures of their own, so that the convolution needs no groups.
        let planes = picture.reshape([n * channels, 1, height, width]);
        conv.forward(planes, &After::default()).reshape([n, channels, 2 * height, 2 * width])
    }
}
