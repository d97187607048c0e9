//! Convolution with a 3x3 or 1x1 kernel, stride 1 and zero padding, as a tiled matrix product that is never laid out.
//!
//! A workgroup makes a rectangle of pixels for some output channels. In turns it copies that rectangle of a few input
//! channels with its border, scaled by the style, and their weights into shared memory; each thread then adds the products
//! of a few neighbouring pixels and output channels in registers.

use std::fmt;

use burn::tensor::Tensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::epilogue::{Epilogue, add_shares, finish};
use super::tile::{Resident, copy_values, copy_weights, part};
use super::{DeviceWeights, LANES, Operands, Sizes, SizesLaunch, elem_type, into_tensor, lanes, shares, stored};
use crate::ops::{After, Place};

/// What one workgroup does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConvTile {
    /// Side of the kernel, 1 or 3.
    kernel: usize,
    /// Output channels, of a workgroup and of a thread: multiples of four.
    outputs: [usize; 2],
    /// Rows of pixels.
    height: usize,
    /// Pixels in a row, of a workgroup and of a thread: multiples of four.
    width: [usize; 2],
    /// Input channels in shared memory.
    inputs: usize,
}

/// Tiles to choose from and to measure, for 3x3 kernels.
pub(crate) const TILES: [ConvTile; 7] = [
    ConvTile { kernel: 3, outputs: [32, 4], height: 4, width: [4, 4], inputs: 8 },
    ConvTile { kernel: 3, outputs: [32, 4], height: 8, width: [8, 4], inputs: 8 },
    ConvTile { kernel: 3, outputs: [64, 8], height: 8, width: [8, 4], inputs: 4 },
    ConvTile { kernel: 3, outputs: [64, 8], height: 8, width: [16, 4], inputs: 4 },
    ConvTile { kernel: 3, outputs: [64, 8], height: 8, width: [16, 8], inputs: 4 },
    ConvTile { kernel: 3, outputs: [32, 8], height: 8, width: [32, 8], inputs: 4 },
    ConvTile { kernel: 3, outputs: [128, 8], height: 8, width: [16, 8], inputs: 2 },
];

impl fmt::Display for ConvTile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConvTile { outputs: [outputs, each], height, width: [width, run], inputs, .. } = self;
        write!(f, "tile {outputs}/{each} x {height} x {width}/{run}, inputs {inputs}")
    }
}

impl ConvTile {
    /// A tile of [`TILES`]: on an H200 the best for StyleGAN2's layers from 64 to 512 pixels, or within 5 % of it.
    fn choose(kernel: usize, outputs: usize, [height, width]: [usize; 2]) -> Self {
        let [tiny, small, _, high, _, wide, _] = TILES;
        let tile = match (height.max(width), outputs) {
            (0..=4, _) => tiny,
            (5..=8, _) => small,
            (_, ..=32) => wide,
            _ => high,
        };
        if kernel == 1 { tile.pointwise() } else { tile }
    }

    /// The same for a 1x1 kernel.
    fn pointwise(self) -> Self {
        ConvTile { kernel: 1, inputs: 8, ..self }
    }

    fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    fn threads_per_row(&self) -> usize {
        self.width[0] / self.width[1]
    }

    /// Threads that have the same output channels.
    fn pixel_threads(&self) -> usize {
        self.threads_per_row() * self.height
    }

    fn threads(&self) -> usize {
        self.pixel_threads() * self.outputs[0] / self.outputs[1]
    }

    /// Length of a row in shared memory: odd, so that threads of different rows read from different banks.
    fn row(&self) -> usize {
        (self.width[0] + self.kernel) | 1
    }

    /// Length of a channel in shared memory.
    fn plane(&self) -> usize {
        self.row() * (self.height + self.kernel - 1)
    }

    fn shared(&self) -> Resident {
        Resident {
            inputs: self.inputs,
            rows: self.height + self.kernel - 1,
            row: self.row(),
            before: self.kernel / 2,
            taps: self.taps(),
            vectors: self.outputs[0] / LANES,
            threads: self.threads(),
        }
    }
}

#[cube(launch)]
#[expect(clippy::too_many_arguments, reason = "buffers of a kernel")]
fn conv_kernel<S: Float, T: Float, N: Size>(
    x: &[S],
    style: ComptimeOption<&[f32]>,
    weight: &[Vector<S, Const<4>>],
    after: &Epilogue,
    out: &mut [Vector<T, N>],
    sizes: &Sizes,
    #[comptime] tile: ConvTile,
    #[comptime] lanes: usize,
    #[define(S, T)] _types: [ElemType; 2],
) {
    let taps = comptime!(tile.taps());
    let (row_length, plane) = comptime!((tile.row(), tile.plane()));
    let (pixels, vectors) = comptime!((tile.width[1], tile.outputs[1] / LANES));
    let tile_vectors = comptime!(tile.outputs[0] / LANES);
    let shared = comptime!(tile.shared());

    // Which part of the result this workgroup makes.
    let (top, left) = (CUBE_POS_Y as usize * tile.height, CUBE_POS_X as usize * comptime!(tile.width[0]));
    let part = part(sizes, comptime!(tile.outputs[0]));

    // Which part of that this thread makes.
    let unit = UNIT_POS as usize;
    let pixel_unit = unit % comptime!(tile.pixel_threads());
    let output_unit = unit / comptime!(tile.pixel_threads());
    let row = pixel_unit / comptime!(tile.threads_per_row());
    let column = pixel_unit % comptime!(tile.threads_per_row()) * pixels;

    let mut values = Shared::<[f32]>::new_slice(comptime!(tile.inputs * plane));
    let mut weights = Shared::<[Vector<f32, Const<4>>]>::new_slice(comptime!(shared.weights()));
    let mut sums = Array::<Vector<f32, Const<4>>>::new(comptime!(vectors * pixels));
    let mut near = Array::<f32>::new(comptime!(pixels + tile.kernel - 1));

    let mut chunk = part.first;
    while chunk < part.end {
        copy_values::<S>(x, style, &mut values, sizes, &part, chunk, top, left, shared);
        copy_weights::<S>(weight, &mut weights, sizes, &part, chunk, shared);
        sync_cube();
        for input in 0..tile.inputs {
            #[unroll]
            for ky in 0..tile.kernel {
                let from = input * plane + (row + ky) * row_length + column;
                #[unroll]
                for p in 0..comptime!(pixels + tile.kernel - 1) {
                    near[p] = values[from + p];
                }
                #[unroll]
                for kx in 0..tile.kernel {
                    let tap = input * taps + ky * tile.kernel + kx;
                    #[unroll]
                    for v in 0..vectors {
                        let factor = weights[tap * tile_vectors + output_unit * vectors + v];
                        #[unroll]
                        for p in 0..pixels {
                            sums[v * pixels + p] += factor * Vector::new(near[p + kx]);
                        }
                    }
                }
            }
        }
        sync_cube();
        chunk += tile.inputs;
    }

    let y = top + row;
    #[unroll]
    for v in 0..vectors {
        #[unroll]
        for o in 0..LANES {
            let channel = (part.group * tile_vectors + output_unit * vectors + v) * LANES + o;
            #[unroll]
            for run in 0..comptime!(pixels / lanes) {
                let px = left + column + run * lanes;
                if channel < sizes.outputs && y < sizes.height && px < sizes.width {
                    let mut found = Vector::<f32, N>::new(0.0);
                    #[unroll]
                    for lane in 0..lanes {
                        found.insert(lane, sums[v * pixels + run * lanes + lane].extract(o));
                    }
                    let at = part.result * sizes.outputs + channel;
                    let pixel = y * sizes.width + px;
                    let found = finish::<N>(after, found, at, channel, pixel, lanes);
                    out[(at * sizes.height * sizes.width + pixel) / lanes] = stored::<T, N>(found);
                }
            }
        }
    }
}

/// The weights of a convolution on the device.
pub(crate) struct TiledConv {
    pub(super) packed: DeviceWeights,
    pub(super) kernel: usize,
}

impl TiledConv {
    /// `weight` is `[outputs, inputs, k, k]`, row-major, with k 1 or 3.
    pub(crate) fn new(weight: &[f32], [outputs, inputs, k]: [usize; 3], place: impl Into<Place>) -> Self {
        let at = |o, i, tap| weight[(o * inputs + i) * k * k + tap];
        TiledConv { packed: DeviceWeights::new([outputs, inputs, k * k], &place.into(), at), kernel: k }
    }

    /// x `[N, inputs, h, w]`, style `[N, inputs]` -> `[N, outputs, h, w]`
    pub(crate) fn forward(&self, x: Tensor<4>, style: Option<Tensor<2>>, after: &After) -> Tensor<4> {
        let [n, _, height, width] = x.dims();
        let tile = ConvTile::choose(self.kernel, self.packed.outputs, [height, width]);
        let shares =
            shares(workgroups(&tile, self.packed.outputs, [n, height, width]), self.packed.inputs / tile.inputs);
        self.forward_by(tile, shares, x, style, after)
    }

    /// The same with this tile, the input channels cut into `shares`.
    pub(crate) fn forward_by(
        &self,
        tile: ConvTile,
        shares: usize,
        x: Tensor<4>,
        style: Option<Tensor<2>>,
        after: &After,
    ) -> Tensor<4> {
        let DeviceWeights { inputs, outputs, .. } = &self.packed;
        let [n, _, height, width] = x.dims();
        let Operands { x, style, weight, shape, parts, result, shares, share } =
            self.packed.operands(x, style, after, shares, tile.inputs, 1);
        let lanes = lanes(width);
        let now = if shares == 1 { after } else { &After::default() };
        let types = [x.dtype, parts.dtype].map(elem_type);
        conv_kernel::launch(
            &x.client.clone(),
            CubeCount::Static(
                width.div_ceil(tile.width[0]) as u32,
                height.div_ceil(tile.height) as u32,
                (outputs.div_ceil(tile.outputs[0]) * n * shares) as u32,
            ),
            CubeDim::new_1d(tile.threads() as u32),
            lanes,
            x.into_buffer_arg(),
            style.map(|style| style.into_buffer_arg()).into(),
            weight.into_buffer_arg(),
            Epilogue::of(now, shape),
            parts.clone().into_buffer_arg(),
            SizesLaunch::new(n, *inputs, *outputs, height, width, share),
            tile,
            lanes,
            types,
        );
        into_tensor(if shares == 1 { parts } else { add_shares(parts, result, shares, after) })
    }
}

fn workgroups(tile: &ConvTile, outputs: usize, [n, height, width]: [usize; 3]) -> usize {
    n * height.div_ceil(tile.height) * width.div_ceil(tile.width[0]) * outputs.div_ceil(tile.outputs[0])
}

#[cfg(test)]
mod tests {
    use super::super::{SHARED_BYTES, THREADS};
    use super::*;

    #[test]
    fn every_tile_fits_every_device() {
        for tile in TILES.iter().flat_map(|&tile| [tile, tile.pointwise()]) {
            let weights = tile.inputs * tile.taps() * tile.outputs[0];
            assert!(4 * (tile.inputs * tile.plane() + weights) <= SHARED_BYTES, "{tile:?}");
            assert!(tile.threads() <= THREADS, "{tile:?}");
            let multiples = [tile.outputs[0] / tile.outputs[1] * tile.outputs[1], tile.outputs[1], tile.width[1]];
            assert!(multiples.iter().all(|x| x.is_multiple_of(LANES)), "{tile:?}");
        }
    }
}
