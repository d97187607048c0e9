//! The adjoint of self-attention.

use burn::tensor::activation::softmax;
use burn::tensor::{DType, Tensor};

use super::stored_as;

/// From the gradient with respect to [`super::attention`] of `map`, `[N, C, H, W]`, to that with respect to `map`, `[N, 2 width + C, H, W]`.
/// Of a pooled window the first of the largest values has the gradient.
pub fn pull_attention(grad: Tensor<4>, map: Tensor<4>, width: usize) -> Tensor<4> {
    let map = stored_as(map, DType::F32);
    let [n, channels, height, breadth] = map.dims();
    let values = channels - 2 * width;
    let rows = |x: Tensor<4>| {
        let [n, channels, height, breadth] = x.dims();
        x.reshape([n, channels, height * breadth])
    };
    let (phi, g) =
        (Pooled::new(map.clone().narrow(1, width, width)), Pooled::new(map.clone().narrow(1, 2 * width, values)));
    let theta = rows(map.narrow(1, 0, width));
    let (phi_rows, g_rows) = (rows(phi.largest.clone()), rows(g.largest.clone()));
    // [N, pixels, keys]
    let shares = softmax(theta.clone().swap_dims(1, 2).matmul(phi_rows.clone()), 2);
    let grad = rows(grad);
    let of_g = grad.clone().matmul(shares.clone());
    let of_shares = grad.swap_dims(1, 2).matmul(g_rows);
    let along = (of_shares.clone() * shares.clone()).sum_dim(2);
    let of_scores = (of_shares - along) * shares;
    let of_theta = phi_rows.matmul(of_scores.clone().swap_dims(1, 2));
    let of_phi = theta.matmul(of_scores);
    let as_map = |rows: Tensor<3>, pixels: [usize; 2]| {
        let channels = rows.dims()[1];
        rows.reshape([n, channels, pixels[0], pixels[1]])
    };
    let small = [height / 2, breadth / 2];
    Tensor::cat(
        vec![as_map(of_theta, [height, breadth]), phi.pull(as_map(of_phi, small)), g.pull(as_map(of_g, small))],
        1,
    )
}

/// A map whose windows of 2x2 gave their largest value.
struct Pooled {
    largest: Tensor<4>,
    /// `[N, C, h, 2, w, 2]`
    windows: Tensor<6>,
}

impl Pooled {
    fn new(x: Tensor<4>) -> Self {
        let [n, channels, height, width] = x.dims();
        let (height, width) = (height / 2, width / 2);
        let windows = x.reshape([n, channels, height, 2, width, 2]);
        let largest = windows.clone().max_dim(5).max_dim(3).reshape([n, channels, height, width]);
        Pooled { largest, windows }
    }

    /// `[N, C, h, w]` -> `[N, C, 2h, 2w]`
    fn pull(self, grad: Tensor<4>) -> Tensor<4> {
        let [n, channels, height, width] = grad.dims();
        let shape = [n, channels, height, 1, width, 1];
        let largest = self.largest.reshape(shape);
        let mut left = grad.reshape(shape);
        let rows: Vec<Tensor<6>> = (0..2)
            .map(|y| {
                let pair = [0, 1].map(|x| {
                    let value = self.windows.clone().narrow(3, y, 1).narrow(5, x, 1);
                    let is_largest = value.equal(largest.clone()).float();
                    let taken = left.clone() * is_largest;
                    left = left.clone() - taken.clone();
                    taken
                });
                Tensor::cat(pair.into(), 5)
            })
            .collect();
        Tensor::cat(rows, 3).reshape([n, channels, 2 * height, 2 * width])
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::super::tests::numbers;
    use super::*;
    use crate::ops::attention;

    /// Against differences along some directions, in whose steps no other value becomes the largest of its window.
    #[test]
    fn attention_has_the_gradient_that_differences_show() {
        let device = Device::flex();
        let (n, width, values, side) = (2, 3, 5, 4);
        let map = numbers([n, 2 * width + values, side, side], 1, &device);
        let r = numbers([n, values, side, side], 2, &device);
        let number = |map: Tensor<4>| f64::from((attention(map, width) * r.clone()).sum().into_scalar::<f32>());
        let gradient = pull_attention(r.clone(), map.clone(), width);
        assert_eq!(gradient.dims(), map.dims());
        for seed in 3..6 {
            let direction = numbers([n, 2 * width + values, side, side], seed, &device);
            let along = |step: f64| number(map.clone() + direction.clone().mul_scalar(step));
            let found = f64::from((gradient.clone() * direction.clone()).sum().into_scalar::<f32>());
            let expected = (along(1e-3) - along(-1e-3)) / 2e-3;
            assert!((found - expected).abs() < 1e-2 * expected.abs().max(0.1), "{found} and {expected}");
        }
    }

    #[test]
    fn of_equal_values_one_has_the_gradient() {
        let device = Device::flex();
        let pooled = Pooled::new(Tensor::ones([1, 1, 2, 4], &device));
        let found = pooled.pull(Tensor::from_data([[[[3.0, -2.0]]]], &device));
        let expected: Tensor<4> = Tensor::from_data([[[[3.0, 0.0, -2.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]], &device);
        assert!((found - expected).abs().sum().into_scalar::<f32>() == 0.0);
    }
}
