//! Pictures of some size, and what they are compared with.

use super::Target;
use super::cost::Likeness;
use crate::size::Size;

/// Pixels of the larger side at which samples are compared.
const COMPARED: usize = 32;

/// A picture on the way through the network.
pub(super) struct View {
    /// After how many stages it is there.
    pub stages: usize,
    pub likeness: Likeness,
    /// Means are taken of so many pixels along both axes before pictures are compared.
    shrink: usize,
    /// Height and width, of the picture.
    pub size: [usize; 2],
}

impl View {
    /// Compares pictures of a size after so many stages, shrunk until the larger side is at most `most`.
    fn new(target: &Target, stages: usize, size: [usize; 2], most: usize) -> Self {
        let shrink = size[0].max(size[1]).div_ceil(most.max(1)).next_power_of_two();
        let shrink = shrink.min(size[0]).min(size[1]);
        let compared = size.map(|side| side / shrink);
        let reduce = |values: &[f32], channels: usize| area_means(values, channels, target.size, compared);
        let mask = target.mask.as_ref().map(|mask| reduce(mask, 1));
        let channels = target.values.len() / (target.size[0] * target.size[1]);
        View { stages, likeness: Likeness::new(reduce(&target.values, channels), mask, compared), shrink, size }
    }

    /// Of a picture of the view's size.
    pub(super) fn cost(&self, picture: &[f32]) -> f64 {
        let channels = picture.len() / (self.size[0] * self.size[1]);
        let compared = self.size.map(|side| side / self.shrink);
        match self.shrink {
            1 => self.likeness.cost(picture).0,
            _ => self.likeness.cost(&area_means(picture, channels, self.size, compared)).0,
        }
    }
}

/// Of the pictures that a network makes on the way: 64 pixels, 128, 256 and the whole, as far as it has them; and what samples are
/// ranked by.
pub(super) fn views(target: &Target, sizes: &[(usize, Size)]) -> (Vec<View>, View) {
    let whole = sizes.last().map_or((usize::MAX, target.size), |(stages, _)| (*stages, target.size));
    // Pictures that a growing network doubles without detail tell nothing new.
    let of_side = |side: usize| {
        let (stages, size) = sizes.iter().find(|(_, size)| size.larger() >= side)?;
        Some((*stages, [size.height, size.width]))
    };
    let mut chosen: Vec<(usize, [usize; 2])> = [64, 128, 256].into_iter().filter_map(of_side).chain([whole]).collect();
    chosen.dedup();
    let small = of_side(COMPARED).unwrap_or(whole);
    let view = |(stages, size): (usize, [usize; 2])| View::new(target, stages, size, size[0].max(size[1]));
    (chosen.into_iter().map(view).collect(), View::new(target, small.0, small.1, COMPARED))
}

/// Planes `[height, width]` made smaller (or no larger): each pixel is the mean of the area that it covers.
pub(super) fn area_means(values: &[f32], channels: usize, from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    if from == to {
        return values.to_vec();
    }
    let along = |values: &[f32], lines: usize, from: usize, to: usize| {
        // Rows of `from` values to rows of `to`.
        let mut result = Vec::with_capacity(lines * to);
        for line in values.chunks_exact(from) {
            for at in 0..to {
                let (start, end) = (at * from, (at + 1) * from);
                let share = |of: usize| ((of + 1) * to).min(end).saturating_sub((of * to).max(start)) as f32;
                let covered = start / to..end.div_ceil(to);
                result.push(covered.map(|of| share(of) * line[of]).sum::<f32>() / from as f32);
            }
        }
        result
    };
    let transposed = |values: &[f32], height: usize, width: usize| -> Vec<f32> {
        (0..width).flat_map(|x| (0..height).map(move |y| y * width + x)).map(|at| values[at]).collect()
    };
    let mut result = Vec::with_capacity(channels * to[0] * to[1]);
    for plane in values.chunks_exact(from[0] * from[1]) {
        let narrow = along(plane, from[0], from[1], to[1]);
        let low = along(&transposed(&narrow, from[0], to[1]), to[1], from[0], to[0]);
        result.extend(transposed(&low, to[1], to[0]));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_become_their_means() {
        let plane: Vec<f32> = (0..24).map(|i| i as f32).collect();
        assert_eq!(area_means(&plane, 1, [4, 6], [2, 2]), [4.0, 7.0, 16.0, 19.0]);
        assert_eq!(area_means(&plane, 1, [4, 6], [4, 6]), plane);
        let found = area_means(&[0.0, 3.0, 6.0], 1, [1, 3], [1, 2]);
        assert!((found[0] - 1.0).abs() < 1e-6 && (found[1] - 5.0).abs() < 1e-6, "{found:?}");
    }
}
