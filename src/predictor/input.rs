//! A picture as a network takes it.

use super::description::{Channels, Fit, Layout};
use crate::ops::area_mean_on_host;

/// How a picture goes in, with nothing left open.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Input {
    /// In the file.
    pub name: String,
    pub layout: Layout,
    /// Height and width.
    pub size: [usize; 2],
    pub channels: Channels,
    /// What black and white are.
    pub range: [f32; 2],
    /// Of each channel, as the network has them.
    pub mean: [f32; 3],
    pub std: [f32; 3],
    pub fit: Fit,
    /// Whole numbers go in.
    pub whole: bool,
}

impl Input {
    fn channel_count(&self) -> usize {
        if self.channels == Channels::Grey { 1 } else { 3 }
    }

    /// Of the tensor for one picture.
    pub fn shape(&self) -> [usize; 4] {
        let ([height, width], channels) = (self.size, self.channel_count());
        match self.layout {
            Layout::Nchw => [1, channels, height, width],
            Layout::Nhwc => [1, height, width, channels],
        }
    }

    /// The tensor of a picture: planes of red, green and blue in -1..=1, `[3, height, width]` of `size`.
    pub fn tensor(&self, picture: &[f32], size: [usize; 2]) -> Vec<f32> {
        let planes = fitted(picture, size, self.size, self.fit);
        let plane = self.size[0] * self.size[1];
        let (red, rest) = planes.split_at(plane);
        let (green, blue) = rest.split_at(plane);
        let order = match self.channels {
            Channels::Rgb => vec![red.to_vec(), green.to_vec(), blue.to_vec()],
            Channels::Bgr => vec![blue.to_vec(), green.to_vec(), red.to_vec()],
            Channels::Grey => {
                let grey = red.iter().zip(green).zip(blue).map(|((r, g), b)| 0.299 * r + 0.587 * g + 0.114 * b);
                vec![grey.collect()]
            }
        };
        let [black, white] = self.range;
        let channels = order.len();
        let mut tensor = vec![0.0; channels * plane];
        for (channel, values) in order.into_iter().enumerate() {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            for (pixel, x) in values.into_iter().enumerate() {
                let value = (black + (white - black) * (x + 1.0) / 2.0 - mean) / std;
                let at = match self.layout {
                    Layout::Nchw => channel * plane + pixel,
                    Layout::Nhwc => pixel * channels + channel,
                };
                tensor[at] = if self.whole { value.round() } else { value };
            }
        }
        tensor
    }
}

/// Planes `[N, height, width]` of `size` in the size `to`, limited to -1..=1: where they are larger, means over areas; where they are
/// smaller, between the nearest pixels.
pub(super) fn fitted(planes: &[f32], size: [usize; 2], to: [usize; 2], fit: Fit) -> Vec<f32> {
    let (planes, size) = match fit {
        Fit::Stretch => (planes.to_vec(), size),
        Fit::Crop => cropped(planes, size, to),
    };
    let less = [size[0].min(to[0]), size[1].min(to[1])];
    let planes = area_mean_on_host(&planes, size, less);
    if less == to { planes } else { grown(&planes, less, to) }
}

/// The middle, as large a part as has the proportions of `to`.
fn cropped(planes: &[f32], [height, width]: [usize; 2], to: [usize; 2]) -> (Vec<f32>, [usize; 2]) {
    let (tall, wide) = (height * to[1], width * to[0]);
    let kept = match tall > wide {
        true => [((width * to[0] + to[1] / 2) / to[1]).clamp(1, height), width],
        false => [height, ((height * to[1] + to[0] / 2) / to[0]).clamp(1, width)],
    };
    let corner = [(height - kept[0]) / 2, (width - kept[1]) / 2];
    let rows = planes.chunks_exact(height * width).flat_map(|plane| {
        let rows = plane.chunks_exact(width).skip(corner[0]).take(kept[0]);
        rows.flat_map(|row| row[corner[1]..][..kept[1]].iter().copied())
    });
    (rows.collect(), kept)
}

/// Between the nearest pixels, whose centres lie half a pixel from the border.
fn grown(planes: &[f32], [height, width]: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    let along = |length: usize, to: usize| {
        let place = move |at: usize| {
            let at = ((at as f32 + 0.5) * length as f32 / to as f32 - 0.5).clamp(0.0, (length - 1) as f32);
            let low = at as usize;
            (low, (low + 1).min(length - 1), at - low as f32)
        };
        (0..to).map(place).collect::<Vec<_>>()
    };
    let (rows, columns) = (along(height, to[0]), along(width, to[1]));
    let mut grown = Vec::with_capacity(planes.len() / (height * width).max(1) * to[0] * to[1]);
    for plane in planes.chunks_exact(height * width) {
        for &(y0, y1, down) in &rows {
            let (upper, lower) = (&plane[y0 * width..][..width], &plane[y1 * width..][..width]);
            grown.extend(columns.iter().map(|&(x0, x1, right)| {
                let mix = |row: &[f32]| row[x0] * (1.0 - right) + row[x1] * right;
                mix(upper) * (1.0 - down) + mix(lower) * down
            }));
        }
    }
    grown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(layout: Layout, channels: Channels) -> Input {
        Input {
            name: "x".into(),
            layout,
            size: [1, 2],
            channels,
            range: [0.0, 1.0],
            mean: [0.5, 0.25, 0.0],
            std: [0.5, 1.0, 2.0],
            fit: Fit::Stretch,
            whole: false,
        }
    }

    #[test]
    fn pictures_become_what_a_network_was_trained_with() {
        // Red, green and blue of two pixels.
        let picture = [-1.0, 1.0, 0.0, 0.5, 1.0, -1.0];
        let planar = input(Layout::Nchw, Channels::Rgb);
        assert_eq!(planar.tensor(&picture, [1, 2]), [-1.0, 1.0, 0.25, 0.5, 0.5, 0.0]);
        assert_eq!(planar.shape(), [1, 3, 1, 2]);
        let interleaved = input(Layout::Nhwc, Channels::Rgb);
        assert_eq!(interleaved.tensor(&picture, [1, 2]), [-1.0, 0.25, 0.5, 1.0, 0.5, 0.0]);
        assert_eq!(interleaved.shape(), [1, 1, 2, 3]);
        let bgr = input(Layout::Nchw, Channels::Bgr);
        assert_eq!(bgr.tensor(&picture, [1, 2])[..2], [1.0, -1.0], "blue first, with the first mean");
        let bytes = Input { range: [0.0, 255.0], mean: [0.0; 3], std: [1.0; 3], whole: true, ..planar };
        assert_eq!(bytes.tensor(&picture, [1, 2]), [0.0, 255.0, 128.0, 191.0, 255.0, 0.0]);
        let grey = Input { channels: Channels::Grey, mean: [0.0; 3], std: [1.0; 3], ..interleaved };
        let found = grey.tensor(&picture, [1, 2]);
        assert!((found[0] - (0.587 * 0.5 + 0.114)).abs() < 1e-6 && found.len() == 2, "{found:?}");
    }

    #[test]
    fn pictures_of_every_size_fit() {
        let picture: Vec<f32> = (0..16).map(|x| x as f32 / 16.0).collect();
        assert_eq!(fitted(&picture, [4, 4], [2, 2], Fit::Stretch), [2.5, 4.5, 10.5, 12.5].map(|x| x / 16.0));
        assert_eq!(fitted(&picture, [4, 4], [4, 4], Fit::Stretch), picture);
        assert_eq!(fitted(&picture, [4, 4], [4, 2], Fit::Crop)[..4], [1.0, 2.0, 5.0, 6.0].map(|x| x / 16.0));
        assert_eq!(fitted(&picture, [4, 4], [1, 2], Fit::Crop).len(), 2);
        assert_eq!(fitted(&[0.0, 1.0], [1, 2], [1, 4], Fit::Stretch), [0.0, 0.25, 0.75, 1.0]);
        assert_eq!(fitted(&[0.5; 6], [2, 3], [5, 1], Fit::Stretch), [0.5; 5], "one side shrinks, one grows");
        assert_eq!(fitted(&[-3.0, 2.0], [1, 2], [1, 2], Fit::Stretch), [-1.0, 1.0]);
    }
}
