//! Transposed convolutions of stride 2, which double the size of a picture, and the filter that StyleGAN2 applies after them.
//!
//! An input pixel and its neighbours decide a 2x2 block of the result (for the 3x3 kernel: of the map before the filter).
//! Each thread sums the blocks of 2x2 input pixels in registers. With a filter, a workgroup also makes the blocks around
//! its own, passes the map through shared memory and writes only the filtered values: about a quarter more products, but
//! the map of size 2h+1, four times the input, never exists.

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
pub(crate) struct DoubleTile {
    /// Side of the kernel: 3 with the filter [1,3,3,1] x [1,3,3,1] / 16, or 4 with padding 1 and without a filter.
    kernel: usize,
    /// Output channels, a multiple of four.
    outputs: usize,
    /// Input pixels along each axis whose blocks are written: even.
    side: usize,
    /// Input channels in shared memory.
    inputs: usize,
}

/// Tiles to choose from and to measure, from small pictures to large: for 3x3 kernels.
pub(crate) const TILES: [DoubleTile; 3] = [
    DoubleTile { kernel: 3, outputs: 64, side: 4, inputs: 2 },
    DoubleTile { kernel: 3, outputs: 16, side: 8, inputs: 8 },
    DoubleTile { kernel: 3, outputs: 8, side: 16, inputs: 6 },
];

/// The same for 4x4 kernels.
const UNFILTERED: [DoubleTile; 3] = [
    DoubleTile { kernel: 4, outputs: 64, side: 4, inputs: 2 },
    DoubleTile { kernel: 4, outputs: 32, side: 8, inputs: 4 },
    DoubleTile { kernel: 4, outputs: 16, side: 16, inputs: 4 },
];

impl fmt::Display for DoubleTile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DoubleTile { outputs, side, inputs, .. } = self;
        write!(f, "tile {outputs} x {side} x {side}, inputs {inputs}")
    }
}

impl DoubleTile {
    /// For 3x3 kernels as an H200 has shown it, from 32 pixels on; 4x4 kernels were not measured.
    fn choose(kernel: usize, [height, width]: [usize; 2]) -> Self {
        let [tiny, small, large] = if kernel == 3 { TILES } else { UNFILTERED };
        match (height.max(width), kernel) {
            (0..=4, _) => tiny,
            (5..=8, _) | (_, 3) => small,
            _ => large,
        }
    }

    fn is_filtered(&self) -> bool {
        self.kernel == 3
    }

    /// Input pixels around the tile whose blocks the filter needs.
    fn halo(&self) -> usize {
        usize::from(self.is_filtered())
    }

    /// Input pixels along each axis whose blocks are summed.
    fn positions(&self) -> usize {
        self.side + 2 * self.halo()
    }

    /// Threads that have the same output channels, along each axis.
    fn threads_per_row(&self) -> usize {
        self.positions() / 2
    }

    fn pixel_threads(&self) -> usize {
        self.threads_per_row() * self.threads_per_row()
    }

    fn threads(&self) -> usize {
        self.pixel_threads() * self.outputs / LANES
    }

    /// Rows of an input channel in shared memory: blocks reach one pixel back, and those of the 4x4 kernel one ahead.
    fn rows(&self) -> usize {
        self.positions() + self.kernel - 2
    }

    /// Their length, odd to spread them over the banks.
    fn row(&self) -> usize {
        self.rows() | 1
    }

    fn plane(&self) -> usize {
        self.rows() * self.row()
    }

    fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    fn shared(&self) -> Resident {
        Resident {
            inputs: self.inputs,
            rows: self.rows(),
            row: self.row(),
            before: self.halo() + 1,
            taps: self.taps(),
            vectors: self.outputs / LANES,
            threads: self.threads(),
        }
    }

    /// Values of one channel of the map before the filter.
    fn map(&self) -> usize {
        4 * self.positions() * self.positions()
    }

    /// Numbers in shared memory beside the weights: the input, and later, in the same place, a map of one output channel of
    /// every four.
    fn values(&self) -> usize {
        let maps = if self.is_filtered() { self.outputs / LANES * self.map() } else { 0 };
        maps.max(self.inputs * self.plane())
    }

    /// Parity of the outputs that kernel row (or column) `k` adds to, and from where in the window of inputs: output
    /// 2y + k - padding takes input y.
    fn reach(&self, k: usize) -> (usize, usize) {
        let padding = self.kernel - 3;
        let parity = (k + padding) % 2;
        (parity, (2 + padding + parity - k) / 2)
    }
}

#[cube(launch)]
#[expect(clippy::too_many_arguments, reason = "buffers of a kernel")]
fn double_kernel<S: Float, T: Float, N: Size>(
    x: &[S],
    style: ComptimeOption<&[f32]>,
    weight: &[Vector<S, Const<4>>],
    after: &Epilogue,
    out: &mut [Vector<T, N>],
    sizes: &Sizes,
    #[comptime] tile: DoubleTile,
    #[comptime] lanes: usize,
    #[define(S, T)] _types: [ElemType; 2],
) {
    let (taps, window) = comptime!((tile.taps(), tile.kernel));
    let (row_length, plane) = comptime!((tile.row(), tile.plane()));
    let tile_vectors = comptime!(tile.outputs / LANES);
    let shared = comptime!(tile.shared());

    // Which part of the result this workgroup makes.
    let (top, left) = (CUBE_POS_Y as usize * tile.side, CUBE_POS_X as usize * tile.side);
    let part = part(sizes, tile.outputs);

    // Which blocks this thread sums.
    let unit = UNIT_POS as usize;
    let pixel_unit = unit % comptime!(tile.pixel_threads());
    let output_unit = unit / comptime!(tile.pixel_threads());
    let row = pixel_unit / comptime!(tile.threads_per_row()) * 2;
    let column = pixel_unit % comptime!(tile.threads_per_row()) * 2;

    let mut values = Shared::<[f32]>::new_slice(comptime!(tile.values()));
    let mut weights = Shared::<[Vector<f32, Const<4>>]>::new_slice(comptime!(shared.weights()));
    // Rows and columns of 4x4 sums.
    let mut sums = Array::<Vector<f32, Const<4>>>::new(16usize);
    let mut near = Array::<f32>::new(comptime!(window * window));

    let mut chunk = part.first;
    while chunk < part.end {
        copy_values::<S>(x, style, &mut values, sizes, &part, chunk, top, left, shared);
        copy_weights::<S>(weight, &mut weights, sizes, &part, chunk, shared);
        sync_cube();
        for input in 0..tile.inputs {
            #[unroll]
            for y in 0..window {
                #[unroll]
                for px in 0..window {
                    near[y * window + px] = values[input * plane + (row + y) * row_length + column + px];
                }
            }
            #[unroll]
            for ky in 0..window {
                #[unroll]
                for kx in 0..window {
                    let ((odd_y, from_y), (odd_x, from_x)) = comptime!((tile.reach(ky), tile.reach(kx)));
                    let tap = input * taps + ky * window + kx;
                    let factor = weights[tap * tile_vectors + output_unit];
                    #[unroll]
                    for y in 0..2usize {
                        #[unroll]
                        for px in 0..2usize {
                            let value = near[(y + from_y) * window + px + from_x];
                            sums[(2 * y + odd_y) * 4 + 2 * px + odd_x] += factor * Vector::new(value);
                        }
                    }
                }
            }
        }
        sync_cube();
        chunk += tile.inputs;
    }

    let height = 2 * sizes.height;
    let width = 2 * sizes.width;
    if comptime!(tile.is_filtered()) {
        let map_row = comptime!(2 * tile.positions());
        let map = comptime!(tile.map());
        // Not unrolled: the filter's code is long enough once.
        for o in 0..LANES {
            #[unroll]
            for own in 0..LANES {
                if o == own {
                    #[unroll]
                    for y in 0..4usize {
                        #[unroll]
                        for px in 0..4usize {
                            let to = output_unit * map + (2 * row + y) * map_row + 2 * column + px;
                            values[to] = sums[y * 4 + px].extract(own);
                        }
                    }
                }
            }
            sync_cube();
            // 4x4 pixels of the result at a time.
            let blocks = comptime!(tile.side / 2);
            for index in range_stepped(unit, comptime!(tile_vectors * blocks * blocks), shared.threads) {
                let vector = index / comptime!(blocks * blocks);
                let block_y = index / blocks % blocks;
                let block_x = index % blocks;
                // A block of the result starts two map rows after its tile's halo, and the filter one row earlier.
                let from = vector * map + (4 * block_y + 1) * map_row + 4 * block_x + 1;
                let filtered = filter(&values, from, map_row);
                let y = 2 * top + 4 * block_y;
                let px = 2 * left + 4 * block_x;
                let channel = (part.group * tile_vectors + vector) * LANES + o;
                let at = part.result * sizes.outputs + channel;
                if channel < sizes.outputs {
                    #[unroll]
                    for line in 0..4usize {
                        write_line::<T, N>(after, out, filtered[line], at, channel, y + line, px, height, width, lanes);
                    }
                }
            }
            sync_cube();
        }
    } else {
        #[unroll]
        for o in 0..LANES {
            let channel = (part.group * tile_vectors + output_unit) * LANES + o;
            let at = part.result * sizes.outputs + channel;
            if channel < sizes.outputs {
                #[unroll]
                for y in 0..4usize {
                    let mut line = Vector::<f32, Const<4>>::new(0.0);
                    #[unroll]
                    for px in 0..4usize {
                        line.insert(px, sums[y * 4 + px].extract(o));
                    }
                    let (y, px) = (2 * (top + row) + y, 2 * (left + column));
                    write_line::<T, N>(after, out, line, at, channel, y, px, height, width, lanes);
                }
            }
        }
    }
}

/// Four rows of four pixels: the 7x7 values from `from` on under the filter, whose factor 1/16 is in the weights.
#[cube]
fn filter(map: &Shared<[f32]>, from: usize, row: usize) -> Array<Vector<f32, Const<4>>> {
    let mut found = Array::<Vector<f32, Const<4>>>::new(4usize);
    let mut near = Array::<f32>::new(7usize);
    #[unroll]
    for y in 0..7usize {
        #[unroll]
        for px in 0..7usize {
            near[px] = map[from + y * row + px];
        }
        let mut line = Vector::<f32, Const<4>>::new(0.0);
        #[unroll]
        for px in 0..4usize {
            line.insert(px, near[px] + near[px + 3] + 3.0 * (near[px + 1] + near[px + 2]));
        }
        #[unroll]
        for to in 0..4usize {
            if comptime!(y == to || y == to + 3) {
                found[to] += line;
            }
            if comptime!(y == to + 1 || y == to + 2) {
                found[to] += line * Vector::new(3.0);
            }
        }
    }
    found
}

/// Finishes and writes four pixels of row `y` from `px` on; those outside the picture are dropped.
#[cube]
#[expect(clippy::too_many_arguments, reason = "where four numbers go")]
fn write_line<T: Float, N: Size>(
    after: &Epilogue,
    out: &mut [Vector<T, N>],
    line: Vector<f32, Const<4>>,
    sample_channel: usize,
    channel: usize,
    y: usize,
    px: usize,
    height: usize,
    width: usize,
    #[comptime] lanes: usize,
) {
    #[unroll]
    for part in 0..comptime!(4 / lanes) {
        let px = px + part * lanes;
        if y < height && px < width {
            let mut found = Vector::<f32, N>::new(0.0);
            #[unroll]
            for lane in 0..lanes {
                found.insert(lane, line.extract(part * lanes + lane));
            }
            let pixel = y * width + px;
            let found = finish::<N>(after, found, sample_channel, channel, pixel, lanes);
            out[(sample_channel * height * width + pixel) / lanes] = stored::<T, N>(found);
        }
    }
}

/// The weights of a convolution that doubles the size, on the device.
pub(crate) struct Double {
    packed: DeviceWeights,
    kernel: usize,
}

impl Double {
    /// 3x3 and the filter; `weight` is `[outputs, inputs, 3, 3]`, row-major, not flipped.
    pub(crate) fn filtered(weight: &[f32], [outputs, inputs]: [usize; 2], place: impl Into<Place>) -> Self {
        let at = |o, i, tap| weight[(o * inputs + i) * 9 + tap] / 16.0;
        Double { packed: DeviceWeights::new([outputs, inputs, 9], &place.into(), at), kernel: 3 }
    }

    /// 4x4; `weight` is `[inputs, outputs, 4, 4]`, row-major.
    pub(crate) fn transposed(weight: &[f32], [inputs, outputs]: [usize; 2], place: impl Into<Place>) -> Self {
        let at = |o, i, tap| weight[(i * outputs + o) * 16 + tap];
        Double { packed: DeviceWeights::new([outputs, inputs, 16], &place.into(), at), kernel: 4 }
    }

    /// x `[N, inputs, h, w]`, style `[N, inputs]` -> `[N, outputs, 2h, 2w]`
    pub(crate) fn forward(&self, x: Tensor<4>, style: Option<Tensor<2>>, after: &After) -> Tensor<4> {
        let [n, _, height, width] = x.dims();
        let tile = DoubleTile::choose(self.kernel, [height, width]);
        let tiles = height.div_ceil(tile.side) * width.div_ceil(tile.side);
        let workgroups = n * tiles * self.packed.outputs.div_ceil(tile.outputs);
        let shares = shares(workgroups, self.packed.inputs / tile.inputs);
        self.forward_by(tile, shares, x, style, after)
    }

    /// The same with this tile, the input channels cut into `shares`.
    pub(crate) fn forward_by(
        &self,
        tile: DoubleTile,
        shares: usize,
        x: Tensor<4>,
        style: Option<Tensor<2>>,
        after: &After,
    ) -> Tensor<4> {
        let DeviceWeights { inputs, outputs, .. } = &self.packed;
        let [n, _, height, width] = x.dims();
        let Operands { x, style, weight, shape, parts, result, shares, share } =
            self.packed.operands(x, style, after, shares, tile.inputs, 2);
        let lanes = lanes(2 * width);
        let now = if shares == 1 { after } else { &After::default() };
        let types = [x.dtype, parts.dtype].map(elem_type);
        double_kernel::launch(
            &x.client.clone(),
            CubeCount::Static(
                width.div_ceil(tile.side) as u32,
                height.div_ceil(tile.side) as u32,
                (outputs.div_ceil(tile.outputs) * n * shares) as u32,
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

#[cfg(test)]
mod tests {
    use super::super::{SHARED_BYTES, THREADS};
    use super::*;

    #[test]
    fn every_tile_fits_every_device() {
        for tile in TILES.iter().chain(&UNFILTERED) {
            let weights = tile.inputs * tile.kernel * tile.kernel * tile.outputs;
            assert!(4 * (tile.values() + weights) <= SHARED_BYTES, "{tile:?}");
            assert!(tile.threads() <= THREADS && tile.side.is_multiple_of(2), "{tile:?}");
            assert!(tile.outputs.is_multiple_of(LANES), "{tile:?}");
        }
    }
}
