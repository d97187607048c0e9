//! Pictures made smaller: every pixel becomes the mean of the area that it covers.

use burn::tensor::{Device, Tensor, TensorData};

use super::{Host, cpu, gpu, is_cpu};

/// x `[N, C, h, w]`, f32 -> `[N, C, height, width]`: the means over areas of x limited to -1..=1, as screens show it. Neither
/// side may grow. A pixel whose area has a value that is not finite is not finite.
pub fn area_mean(x: Tensor<4>, [height, width]: [usize; 2]) -> Tensor<4> {
    let ([n, channels, from_height, from_width], device) = (x.dims(), x.device());
    assert!((1..=from_height).contains(&height) && (1..=from_width).contains(&width), "a smaller size");
    if gpu::is_able(&device) {
        return gpu::area_mean(x, [height, width]);
    }
    if !is_cpu(&device) {
        return plain(x, [height, width]);
    }
    let values = cpu::area_mean(Host::of(x).values(), [from_height, from_width], [height, width]);
    Tensor::from_data(TensorData::new(values, [n, channels, height, width]), &device)
}

fn plain(x: Tensor<4>, [height, width]: [usize; 2]) -> Tensor<4> {
    let [n, channels, from_height, from_width] = x.dims();
    let device = x.device();
    // Zero for what is finite.
    let broken = x.clone() - x.clone();
    let x = (x.clamp(-1.0, 1.0) + broken).reshape([n * channels, from_height, from_width]);
    let rows = shares(from_height, height, &device).repeat_dim(0, n * channels);
    let columns = shares(from_width, width, &device).swap_dims(1, 2).repeat_dim(0, n * channels);
    rows.matmul(x).matmul(columns).reshape([n, channels, height, width])
}

/// What part of each of `to` lengths each of `from` lengths is, `[1, to, from]`.
fn shares(from: usize, to: usize, device: &Device) -> Tensor<3> {
    let share = |(at, of): (usize, usize)| {
        let overlap = ((at + 1) * from).min((of + 1) * to).saturating_sub((at * from).max(of * to));
        overlap as f32 / from as f32
    };
    let values = (0..to).flat_map(|at| (0..from).map(move |of| (at, of))).map(share).collect::<Vec<_>>();
    Tensor::from_data(TensorData::new(values, [1, to, from]), device)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{assert_equal, numbers};
    use super::*;

    pub(in crate::ops) const SIZES: [([usize; 4], [usize; 2]); 5] = [
        ([1, 3, 8, 8], [2, 2]),
        ([2, 1, 9, 5], [4, 5]),
        ([2, 3, 7, 12], [3, 5]),
        ([1, 4, 16, 8], [1, 1]),
        ([1, 3, 6, 6], [6, 6]),
    ];

    #[test]
    fn means_over_areas_equal_their_definition() {
        let x = Tensor::<4>::from_data([[[[-0.5, 1.0, 0.25], [3.0, 0.5, -9.0]]]], &Device::flex());
        let found = area_mean(x.clone(), [1, 1]).into_data().try_into_vec::<f32>().unwrap();
        assert!((found[0] - (-0.5 + 1.0 + 0.25 + 1.0 + 0.5 - 1.0) / 6.0).abs() < 1e-6);
        // A pixel and a half each.
        let found = area_mean(x, [2, 2]).into_data().try_into_vec::<f32>().unwrap();
        for (found, expected) in found.into_iter().zip([0.0, 0.5, 2.5 / 3.0, -0.5]) {
            assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
        }
    }

    #[test]
    fn the_fast_form_equals_the_plain_one() {
        for (shape, size) in SIZES {
            let x = numbers(shape, 1, &Device::flex()).mul_scalar(1.5);
            assert_equal(area_mean(x.clone(), size), plain(x, size));
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let x = Tensor::<4>::from_data([[[[0.0, 0.0, 0.0, broken]]]], &Device::flex());
            for found in [area_mean(x.clone(), [1, 2]), plain(x, [1, 2])] {
                let found = found.into_data().try_into_vec::<f32>().unwrap();
                assert!(!found[1].is_finite(), "{broken} became {}", found[1]);
            }
        }
    }
}
