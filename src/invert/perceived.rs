//! How much pictures of one size look like the photo, to a network of the user's.

use std::sync::Arc;

use super::Target;
use super::view::area_means;
use crate::layout::ChannelOrder;
use crate::perceptual::{Features, MAX_SIDE, Perceptual, PerceptualError};

/// Of that against differences of values and edges.
const WEIGHT: f64 = 0.2;

/// What pictures of one size are compared with.
pub(super) struct Perceived {
    network: Arc<Perceptual>,
    features: Features,
    /// One weight per pixel of the picture; absent where all count.
    mask: Option<Vec<f32>>,
    /// Height and width of the pictures, and by what they are shrunk before they are looked at.
    size: [usize; 2],
    shrink: usize,
    order: ChannelOrder,
}

impl Perceived {
    pub(super) fn new(network: &Arc<Perceptual>, target: &Target, size: [usize; 2]) -> Result<Self, PerceptualError> {
        let channels = target.values.len() / (target.size[0] * target.size[1]);
        let values = area_means(&target.values, channels, target.size, size);
        let mask = target.mask.as_ref().map(|mask| area_means(mask, 1, target.size, size));
        let mut shrink = 1;
        while size[0].max(size[1]) / shrink > MAX_SIDE && size.iter().all(|side| side.is_multiple_of(2 * shrink)) {
            shrink *= 2;
        }
        let features = Features::default();
        let mut seen = Perceived { network: network.clone(), features, mask, size, shrink, order: target.order };
        let (planes, small) = seen.planes(&values);
        seen.features = network.features(&planes, small)?;
        Ok(seen)
    }

    /// Planes of red, green and blue of a picture, and their size.
    fn planes(&self, picture: &[f32]) -> (Vec<f32>, [usize; 2]) {
        let plane = self.size[0] * self.size[1];
        let channels = picture.len() / plane;
        let mut planes = Vec::with_capacity(3 * plane);
        for colour in 0..3 {
            let from = self.channel_of(colour, channels) * plane;
            planes.extend_from_slice(&picture[from..from + plane]);
        }
        if let Some(mask) = &self.mask {
            planes.iter_mut().enumerate().for_each(|(at, x)| *x *= mask[at % plane]);
        }
        let small = self.size.map(|side| side / self.shrink);
        (area_means(&planes, 3, self.size, small), small)
    }

    fn channel_of(&self, colour: usize, channels: usize) -> usize {
        match (channels, self.order) {
            (0..=2, _) => 0,
            (_, ChannelOrder::Bgr) => 2 - colour,
            (..) => colour,
        }
    }

    /// LPIPS, which is 0 for the photo itself.
    pub(super) fn distance(&self, picture: &[f32]) -> Result<f64, PerceptualError> {
        let (planes, small) = self.planes(picture);
        Ok(self.network.cost(&planes, small, &self.features)?.0)
    }

    /// What that adds to the cost of a picture, and to its gradient.
    pub(super) fn add(&self, picture: &[f32], gradient: &mut [f32]) -> Result<f64, PerceptualError> {
        let (planes, [height, width]) = self.planes(picture);
        let (cost, of_planes) = self.network.cost(&planes, [height, width], &self.features)?;
        let plane = self.size[0] * self.size[1];
        let (channels, share) = (picture.len() / plane, WEIGHT as f32 / (self.shrink * self.shrink) as f32);
        for (at, small) in of_planes.chunks_exact(height * width).enumerate() {
            let to = self.channel_of(at, channels) * plane;
            for (pixel, to) in gradient[to..to + plane].iter_mut().enumerate() {
                let (y, x) = (pixel / self.size[1] / self.shrink, pixel % self.size[1] / self.shrink);
                let mask = self.mask.as_ref().map_or(1.0, |mask| mask[pixel]);
                *to += share * mask * small[y * width + x];
            }
        }
        Ok(WEIGHT * cost)
    }
}
