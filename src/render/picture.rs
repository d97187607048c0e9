//! Finished pictures: the tensor on the device, and the forms in which it leaves.

use std::sync::Arc;
use std::time::Duration;

use burn::tensor::Tensor;

use super::RenderError;
use crate::edit::Edit;
use crate::generator::read_back;
use crate::layout::ChannelOrder;

/// A rendered picture, still on the device: `[1, channels, height, width]`, nominally -1..=1, not clipped.
pub struct Picture {
    /// As the network makes it.
    pub(super) tensor: Tensor<4>,
    pub(super) order: ChannelOrder,
    /// Stages that ran, of all stages.
    pub(super) stages_run: (usize, usize),
    pub(super) is_exact: bool,
}

impl Picture {
    /// A picture that is not the engine's: `[1, channels, height, width]`.
    pub fn new(tensor: Tensor<4>) -> Self {
        Picture { tensor, order: ChannelOrder::Rgb, stages_run: (0, 0), is_exact: true }
    }

    pub fn channels(&self) -> usize {
        self.tensor.dims()[1]
    }

    pub fn height(&self) -> usize {
        self.tensor.dims()[2]
    }

    pub fn width(&self) -> usize {
        self.tensor.dims()[3]
    }

    /// Stages that had to run for this picture, of all stages; the others came from the cache.
    pub fn stages_run(&self) -> (usize, usize) {
        self.stages_run
    }

    /// False for a smaller picture from halfway through the network.
    pub fn is_exact(&self) -> bool {
        self.is_exact
    }

    pub fn tensor(&self) -> &Tensor<4> {
        &self.tensor
    }

    /// What the channels are; that of [`Picture::to_f32`].
    pub fn order(&self) -> ChannelOrder {
        self.order
    }

    /// The picture with red first, as screens show it.
    pub(super) fn in_rgb(&self) -> Tensor<4> {
        match (self.order, self.channels()) {
            (ChannelOrder::Bgr, 3 | 4) => {
                let order = [2, 1, 0, 3];
                let planes = order[..self.channels()].iter().map(|&channel| self.tensor.clone().narrow(1, channel, 1));
                Tensor::cat(planes.collect(), 1)
            }
            _ => self.tensor.clone(),
        }
    }

    /// Values as the network makes them, planar `[channels, height, width]`, unclipped. Waits for the device.
    pub fn to_f32(&self) -> Result<Vec<f32>, RenderError> {
        Ok(read_back(self.tensor.clone())?)
    }

    /// 8-bit pixels, `floor(clamp(x * 127.5 + 128, 0, 255))` as NVIDIA's and genforce's tools round.
    /// Waits for the device.
    pub fn to_pixels(&self) -> Result<Pixels, RenderError> {
        let values = self.to_f32()?;
        if !values.iter().all(|x| x.is_finite()) {
            return Err(RenderError::NotFinite);
        }
        Ok(Pixels::from_planar(&values, self.channels(), self.height(), self.width()).in_rgb(self.order))
    }
}

/// An 8-bit picture on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    pub width: usize,
    pub height: usize,
    /// 1 grey, 3 RGB, 4 RGBA.
    pub channels: usize,
    /// Interleaved rows from the top, `width * height * channels` bytes.
    pub data: Vec<u8>,
}

impl Pixels {
    /// From planar `[channels, height, width]` values in -1..=1.
    pub fn from_planar(values: &[f32], channels: usize, height: usize, width: usize) -> Self {
        let plane = width * height;
        let mut data = vec![0; values.len()];
        for (pixel, out) in data.chunks_exact_mut(channels).enumerate() {
            for (channel, byte) in out.iter_mut().enumerate() {
                // `as` saturates and turns NaN into 0.
                *byte = (values[channel * plane + pixel] * 127.5 + 128.0) as u8;
            }
        }
        Pixels { width, height, channels, data }
    }

    /// The same picture with red first, where `order` says otherwise.
    pub fn in_rgb(mut self, order: ChannelOrder) -> Self {
        if order == ChannelOrder::Bgr && self.channels >= 3 {
            self.data.chunks_exact_mut(self.channels).for_each(|pixel| pixel.swap(0, 2));
        }
        self
    }

    /// The same picture as opaque RGBA (grey repeated), for screens.
    pub fn to_rgba(&self) -> Vec<u8> {
        let rgba = |p: &[u8]| match *p {
            [grey] => [grey, grey, grey, 255],
            [r, g, b] => [r, g, b, 255],
            [r, g, b, a] => [r, g, b, a],
            _ => [0, 0, 0, 255],
        };
        self.data.chunks_exact(self.channels).flat_map(rgba).collect()
    }
}

/// A picture on its way to the window, stamped with what it shows.
#[derive(Clone, Debug)]
pub struct Frame {
    /// `ModelInfo::identity` of the model that made it.
    pub model: String,
    /// The edit it answers.
    pub edit: Edit,
    /// Width and height of the model's pictures in pixels; the image of a preview is smaller.
    pub size: [usize; 2],
    /// False for a preview, which an exact frame of the newest edit will replace.
    pub is_exact: bool,
    /// From the edit to the finished picture.
    pub took: Duration,
    /// Stages that had to run, of all stages; the rest came from the cache.
    pub stages_run: (usize, usize),
    pub image: FrameImage,
}

/// Where a frame's pixels are.
#[derive(Clone, Debug)]
pub enum FrameImage {
    /// On the host, to be uploaded by the window.
    Pixels(Arc<Pixels>),
    /// On the device that the window shares: `Rgba8Unorm`, sRGB-encoded values, opaque.
    Texture(Arc<wgpu::Texture>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_round_as_the_reference_tools_do_and_clip() {
        let values = [-1.0, 0.0, 1.0, -5.0, 5.0, -0.996, f32::NAN, 0.5, 0.25, 0.1, 0.2, 0.3];
        let pixels = Pixels::from_planar(&values, 3, 2, 2);
        let reference = |x: f32| (x * 127.5 + 128.0).clamp(0.0, 255.0).floor() as u8;
        assert_eq!(pixels.data[0], reference(-1.0));
        assert_eq!(pixels.data[3], 128);
        assert_eq!(pixels.data[6], 255);
        assert_eq!(pixels.data[9], 0);
        assert_eq!(pixels.data[1], 255, "second plane is green");
    }

    #[test]
    fn grey_becomes_opaque_rgba() {
        let grey = Pixels { width: 2, height: 1, channels: 1, data: vec![7, 9] };
        assert_eq!(grey.to_rgba(), [7, 7, 7, 255, 9, 9, 9, 255]);
    }
}
