//! What can be told of a picture without any network.

use super::Attribute;
use super::description::Fit;
use super::input::fitted;

/// Larger side of the pictures that are looked at; sharpness depends on it.
pub(super) const SIDE: usize = 128;
/// What differs from the border by so much of what lies between black and white is not of the background.
const DIFFERENT: f32 = 0.1;

/// Name, title, and what lies at its ends.
const ATTRIBUTES: [[&str; 4]; COUNT] = [
    ["lightness", "lightness", "lighter", "darker"],
    ["saturation", "saturation", "more vivid", "paler"],
    ["hue (cos)", "hue", "redder", "more cyan"],
    ["hue (sin)", "hue", "greener", "more violet"],
    ["contrast", "contrast", "more contrast", "less contrast"],
    ["sharpness", "sharpness", "sharper", "softer"],
    ["symmetry", "symmetry", "more symmetric", "less symmetric"],
    ["centre_x", "position from left to right", "to the right", "to the left"],
    ["centre_y", "position from top to bottom", "lower", "higher"],
    ["size", "size", "larger", "smaller"],
];
pub(super) const COUNT: usize = 10;

pub(super) fn attributes() -> Vec<Attribute> {
    let attribute = |[name, title, plus, minus]: [&str; 4]| Attribute {
        name: name.into(),
        title: title.into(),
        plus: plus.into(),
        minus: minus.into(),
    };
    ATTRIBUTES.map(attribute).to_vec()
}

/// Of a picture, planes of red, green and blue in -1..=1, `[3, height, width]`. In this order:
/// * lightness: mean luma (Rec. 709), 0..=1
/// * saturation: mean of the largest less the smallest of red, green and blue, 0..=1
/// * hue: mean of the colours as points of a circle with red at (1, 0) and green at 120 degrees; grey ones lie in the middle
/// * contrast: standard deviation of luma
/// * sharpness: mean absolute difference of a pixel's luma from the mean of its four neighbours
/// * symmetry: correlation of luma with its mirror image, -1..=1; 1 for an even picture
/// * the centre of what differs from the border, -1..=1 from left to right and from top to bottom; 0 if nothing does
/// * size: share of pixels that do, 0..=1
pub(super) fn predict(picture: &[f32], size: [usize; 2]) -> [f32; COUNT] {
    let [height, width] = size.map(|side| side.min(SIDE));
    let planes = fitted(picture, size, [height, width], Fit::Stretch);
    let count = (height * width) as f64;
    let share = |x: f32| (x + 1.0) / 2.0;
    let pixels: Vec<[f32; 3]> =
        (0..height * width).map(|at| [0, 1, 2].map(|channel| share(planes[channel * height * width + at]))).collect();
    let mean = |values: &mut dyn Iterator<Item = f32>| values.map(f64::from).sum::<f64>() / count;
    let luma: Vec<f32> = pixels.iter().map(|[r, g, b]| 0.2126 * r + 0.7152 * g + 0.0722 * b).collect();
    let lightness = mean(&mut luma.iter().copied());
    let spread =
        |pixel: &[f32; 3]| pixel.iter().fold(0.0_f32, |a, b| a.max(*b)) - pixel.iter().fold(1.0_f32, |a, b| a.min(*b));
    let saturation = mean(&mut pixels.iter().map(spread));
    let hue = [
        mean(&mut pixels.iter().map(|[r, g, b]| r - (g + b) / 2.0)),
        mean(&mut pixels.iter().map(|[_, g, b]| (g - b) * 3_f32.sqrt() / 2.0)),
    ];
    let around = |at: usize| f64::from(luma[at]) - lightness;
    let variance = (0..luma.len()).map(|at| around(at).powi(2)).sum::<f64>() / count;
    let mirrored = |at: usize| at / width * width + (width - 1 - at % width);
    let alike = (0..luma.len()).map(|at| around(at) * around(mirrored(at))).sum::<f64>() / count;
    // Rounding alone makes no picture uneven.
    let symmetry = if variance > 1e-9 { alike / variance } else { 1.0 };
    let [size, x, y] = figure(&pixels, [height, width]);
    [lightness, saturation, hue[0], hue[1], variance.sqrt(), sharpness(&luma, [height, width]), symmetry, x, y, size]
        .map(|x| x as f32)
}

fn sharpness(luma: &[f32], [height, width]: [usize; 2]) -> f64 {
    let inside = |side: usize| 1..side.saturating_sub(1).max(1);
    let places = inside(height).flat_map(|y| inside(width).map(move |x| y * width + x));
    let (mut sum, mut count) = (0.0, 0.0);
    for at in places.filter(|_| height > 2 && width > 2) {
        let neighbours = luma[at - 1] + luma[at + 1] + luma[at - width] + luma[at + width];
        sum += f64::from((luma[at] - neighbours / 4.0).abs());
        count += 1.0;
    }
    sum / f64::max(count, 1.0)
}

/// Share of what differs from the mean colour of the border, and its centre from left to right and from top to bottom.
fn figure(pixels: &[[f32; 3]], [height, width]: [usize; 2]) -> [f64; 3] {
    let place = |at: usize| [at % width, at / width];
    let is_border = |at: &usize| {
        let [x, y] = place(*at);
        x == 0 || y == 0 || x + 1 == width || y + 1 == height
    };
    let border: Vec<usize> = (0..pixels.len()).filter(is_border).collect();
    let mean = [0, 1, 2].map(|c| border.iter().map(|&at| pixels[at][c]).sum::<f32>() / border.len().max(1) as f32);
    let (mut large, mut sums) = (0.0, [0.0; 3]);
    for (at, pixel) in pixels.iter().enumerate() {
        let difference = (0..3).map(|c| (pixel[c] - mean[c]).abs()).sum::<f32>() / 3.0;
        if difference <= DIFFERENT {
            continue;
        }
        large += 1.0;
        let weight = f64::from(difference);
        for (sum, (at, side)) in sums.iter_mut().zip(place(at).into_iter().zip([width, height])) {
            *sum += weight * ((2 * at + 1) as f64 / side as f64 - 1.0);
        }
        sums[2] += weight;
    }
    let centre = |sum: f64| if sums[2] > 0.0 { sum / sums[2] } else { 0.0 };
    [large / pixels.len().max(1) as f64, centre(sums[0]), centre(sums[1])]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a picture whose pixels are such colours, 0..=1.
    fn of(size: [usize; 2], colour: impl Fn(usize, usize) -> [f32; 3]) -> [f32; COUNT] {
        let [height, width] = size;
        let plane = |c: usize| (0..height * width).map(move |at| (at % width, at / width, c));
        let values: Vec<f32> = (0..3).flat_map(plane).map(|(x, y, c)| 2.0 * colour(x, y)[c] - 1.0).collect();
        predict(&values, size)
    }

    fn assert_near(found: &[f32], expected: &[f32]) {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}, expected {expected:?}");
    }

    #[test]
    fn even_pictures_have_the_numbers_of_their_colour() {
        assert_near(&of([8, 6], |_, _| [0.25; 3]), &[0.25, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        let red = of([5, 5], |_, _| [1.0, 0.0, 0.0]);
        assert_near(&red[..4], &[0.2126, 1.0, 1.0, 0.0]);
        let green = of([5, 5], |_, _| [0.0, 1.0, 0.0]);
        assert_near(&green[1..4], &[1.0, -0.5, 0.75_f32.sqrt()]);
    }

    #[test]
    fn a_figure_has_its_place_and_its_size() {
        // 2 x 4 pixels, left of the middle and above it.
        let found = of([16, 16], |x, y| if (3..5).contains(&x) && (4..8).contains(&y) { [1.0; 3] } else { [0.0; 3] });
        assert_near(&found[7..], &[-0.5, -0.25, 8.0 / 256.0]);
        assert!(found[6] < 0.0, "its mirror image lies elsewhere");
        let even = of([16, 16], |x, _| if (4..12).contains(&x) { [0.5; 3] } else { [0.0; 3] });
        assert_near(&even[6..8], &[1.0, 0.0]);
    }

    #[test]
    fn contrast_and_sharpness_are_those_of_luma() {
        let checks = of([9, 9], |x, y| if (x + y) % 2 == 0 { [1.0; 3] } else { [0.0; 3] });
        assert!((checks[4] - 0.5).abs() < 1e-3 && (checks[5] - 1.0).abs() < 1e-5, "{checks:?}");
        let slope = of([9, 9], |x, _| [x as f32 / 8.0; 3]);
        assert!(slope[5] < 1e-6 && slope[4] > 0.3, "{slope:?}");
        assert!(of([1, 1], |_, _| [0.5; 3]).iter().all(|x| x.is_finite()));
        assert!(of([300, 200], |x, y| [(x % 7) as f32 / 7.0, (y % 5) as f32 / 5.0, 0.3]).iter().all(|x| x.is_finite()));
    }
}
