//! 3x3 convolutions of large maps with many channels by Winograd's minimal filtering, F(4x4, 3x3) (Lavin & Gray, CVPR 2016):
//! 36 products make 16 outputs, where the direct sum needs 144.
//!
//! The picture is cut into tiles of 4x4 outputs, each from 6x6 inputs. Inputs and kernels are transformed to 36 values, the
//! matrices of channels are multiplied for each of the 36, and the products are transformed back. The points of
//! interpolation are 0, +-3/4, +-3/2 and infinity: with the usual 0, +-1, +-2 rounding errors are twice as large, with
//! these less than twice those of the direct sum in single precision.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use super::kernel::{OUTPUTS, widest};
use super::memory::{Disjoint, Source, fresh};
use super::tiles::{BLOCK, PackedTiles, Product, Products, TILE, Tiles, each_block, take_line, threads};
use super::{AfterSums, Before};

/// Inputs of a tile, in each direction.
const SIDE: usize = TILE + 2;
/// Values that a tile is transformed to.
const PLANES: usize = SIDE * SIDE;

/// The transformed kernels of a convolution; `weight(o, i, tap)` is the factor of input `i` at `tap`, counted row by row, for
/// output `o`.
pub(super) fn pack_tiles(shape: [usize; 2], weight: impl Fn(usize, usize, usize) -> f32 + Sync) -> PackedTiles {
    let products = (0..PLANES).map(|plane| Product { input: plane, weight: plane, to: plane }).collect();
    PackedTiles::new(shape, products, |o, i| transform_kernel(std::array::from_fn(|tap| f64::from(weight(o, i, tap)))))
}

/// `G kernel G^T`
fn transform_kernel(kernel: [f64; 9]) -> [f64; PLANES] {
    const G: [[f64; 3]; SIDE] = [
        [64.0 / 81.0, 0.0, 0.0],
        [-128.0 / 243.0, -32.0 / 81.0, -8.0 / 27.0],
        [-128.0 / 243.0, 32.0 / 81.0, -8.0 / 27.0],
        [32.0 / 243.0, 16.0 / 81.0, 8.0 / 27.0],
        [32.0 / 243.0, -16.0 / 81.0, 8.0 / 27.0],
        [0.0, 0.0, 1.0],
    ];
    let along = |row: [f64; 3], g: [f64; 3]| row[0] * g[0] + row[1] * g[1] + row[2] * g[2];
    std::array::from_fn(|plane| {
        let rows =
            std::array::from_fn(|y| along([kernel[3 * y], kernel[3 * y + 1], kernel[3 * y + 2]], G[plane % SIDE]));
        along(rows, G[plane / SIDE])
    })
}

/// 3x3 convolution with stride 1 and zero padding of one sample.
///
/// `x` is `[inputs, height, width]`; if it is owned, its memory may become the result's. Returns `[outputs, height, width]`.
pub(crate) fn conv_tiles(
    x: Cow<[f32]>,
    size: [usize; 2],
    before: Before,
    packed: &PackedTiles,
    after: AfterSums,
) -> Vec<f32> {
    let tiles = Tiles::new(size, 0..size[0].div_ceil(TILE));
    match x {
        Cow::Owned(x) if packed.inputs == packed.outputs && tiles.blocks() >= 2 * BAND_BLOCKS * threads() => {
            in_place(x, size, before, packed, after)
        }
        x => {
            let mut result = fresh(packed.outputs * size[0] * size[1]);
            let source = Source { x: &x, channels: packed.inputs, height: size[0], width: size[1], before };
            conv_rows(&source, None, &tiles, packed, &after, &mut result);
            result
        }
    }
}

/// Blocks of tiles per thread in a band of [`in_place`]. The more, the less threads wait for each other.
const BAND_BLOCKS: usize = 16;

/// Writes the result over `x`, band by band: fresh memory for a wide map costs as much time as its arithmetic.
fn in_place(
    mut x: Vec<f32>,
    [height, width]: [usize; 2],
    before: Before,
    packed: &PackedTiles,
    after: AfterSums,
) -> Vec<f32> {
    let channels = packed.inputs;
    let columns = width.div_ceil(TILE);
    let rows = (BAND_BLOCKS * threads() * BLOCK).div_ceil(columns);
    let mut band = vec![0.0; channels * rows * TILE * width];
    // The row above the band, as it was.
    let mut above = vec![0.0; channels * width];
    for first in (0..height.div_ceil(TILE)).step_by(rows) {
        let source = Source { x: &x, channels, height, width, before };
        let tiles = Tiles::new([height, width], first..(first + rows).min(height.div_ceil(TILE)));
        let length = (tiles.pixel_rows.end - tiles.pixel_rows.start) * width;
        let band = &mut band[..channels * length];
        conv_rows(&source, Some(&above), &tiles, packed, &after, band);
        let pixels = tiles.pixel_rows.start * width..tiles.pixel_rows.end * width;
        let planes = x.par_chunks_exact_mut(height * width).zip(band.par_chunks_exact(length));
        planes.zip(above.par_chunks_exact_mut(width)).for_each(|((plane, band), above)| {
            above.copy_from_slice(&plane[pixels.end - width..pixels.end]);
            plane[pixels.clone()].copy_from_slice(band);
        });
    }
    x
}

/// Convolves rows of tiles into `result`, `[outputs, their rows, width]`. `above` holds the row before them, `[inputs, width]`,
/// if it is not in the source.
fn conv_rows(
    source: &Source,
    above: Option<&[f32]>,
    tiles: &Tiles,
    packed: &PackedTiles,
    after: &AfterSums,
    result: &mut [f32],
) {
    let target = Disjoint::new(result);
    each_block(
        tiles,
        packed,
        |block, channel, to| transform_input(source, above, tiles, block, channel, to),
        |block, groups, transformed, room| {
            let products = room.take(groups.len() * packed.products_of_group());
            packed.multiply(groups.clone(), transformed, products, tiles.count(block));
            let channels = groups.start * OUTPUTS..packed.outputs.min(groups.end * OUTPUTS);
            for (index, channel) in channels.enumerate() {
                let group = &products[index / OUTPUTS * packed.products_of_group()..];
                finish_channel(Products::new(group, index), tiles, block, &target, channel, after);
            }
        },
    );
}

/// Transforms one channel of a block to `[36][inputs][BLOCK]`.
#[expect(unsafe_code, reason = "a call alone writes its channel's values of the planes")]
fn transform_input(
    source: &Source,
    above: Option<&[f32]>,
    tiles: &Tiles,
    block: usize,
    channel: usize,
    transformed: &Disjoint,
) {
    let mut rows = [[[0.0; BLOCK]; SIDE]; SIDE];
    let mut line = [0.0; TILE * BLOCK + 2];
    for run in tiles.runs(block) {
        let line = &mut line[..TILE * run.count + 2];
        for (i, rows) in rows.iter_mut().enumerate() {
            match (run.y + i).checked_sub(1).filter(|&y| y < source.height) {
                Some(y) => {
                    let row = match above {
                        Some(above) if y < tiles.pixel_rows.start => &above[channel * source.width..],
                        _ => &source.x[(channel * source.height + y) * source.width..],
                    };
                    take_line(source, channel, &row[..source.width], run.x as isize - 1, line);
                }
                None => line.fill(0.0),
            }
            transform_line(line, run.at, rows);
        }
    }
    let plane = source.channels * BLOCK;
    for column in 0..SIDE {
        // SAFETY: nobody else writes this channel's values of the planes.
        let to =
            std::array::from_fn(|i| unsafe { transformed.slice((i * SIDE + column) * plane + channel * BLOCK, BLOCK) });
        transform_columns(rows.each_ref().map(|row| &row[column]), to);
    }
}

widest! {
    fn transform_line(line: &[f32], at: usize, to: &mut [[f32; BLOCK]; SIDE]) {
        let [to0, to1, to2, to3, to4, to5] = to;
        let quads = line.as_chunks::<TILE>().0;
        for (t, quad) in quads.iter().enumerate() {
            let values = forward([quad[0], quad[1], quad[2], quad[3], line[4 * t + 4], line[4 * t + 5]]);
            [to0[at + t], to1[at + t], to2[at + t], to3[at + t], to4[at + t], to5[at + t]] = values;
        }
    }
}

widest! {
    fn transform_columns(from: [&[f32; BLOCK]; SIDE], to: [&mut [f32]; SIDE]) {
        let [to0, to1, to2, to3, to4, to5] = to.map(|to| &mut to[..BLOCK]);
        for t in 0..BLOCK {
            [to0[t], to1[t], to2[t], to3[t], to4[t], to5[t]] = forward(from.map(|row| row[t]));
        }
    }
}

/// `B^T d`
#[inline(always)]
fn forward(d: [f32; SIDE]) -> [f32; SIDE] {
    let (near, near_odd) = (d[4] - 2.25 * d[2], 0.75 * d[3] - 1.6875 * d[1]);
    let (far, far_odd) = (d[4] - 0.5625 * d[2], 1.5 * d[3] - 0.84375 * d[1]);
    [
        1.265625 * d[0] - 2.8125 * d[2] + d[4],
        near + near_odd,
        near - near_odd,
        far + far_odd,
        far - far_odd,
        1.265625 * d[1] - 2.8125 * d[3] + d[5],
    ]
}

/// Transforms the products of one channel back, and finishes its rows.
#[expect(unsafe_code, reason = "a task alone writes the pixels of its block in its channels")]
fn finish_channel(
    products: Products,
    tiles: &Tiles,
    block: usize,
    target: &Disjoint,
    channel: usize,
    after: &AfterSums,
) {
    let Range { start: top, end: bottom } = tiles.pixel_rows;
    let mut rows = [[[0.0; BLOCK]; SIDE]; TILE];
    let [row0, row1, row2, row3] = &mut rows;
    for column in 0..SIDE {
        let from = std::array::from_fn(|i| products.of(i * SIDE + column));
        gather_columns(from, [&mut row0[column], &mut row1[column], &mut row2[column], &mut row3[column]]);
    }
    let mut line = [0.0; TILE * BLOCK];
    for run in tiles.runs(block) {
        let width = (TILE * run.count).min(tiles.width - run.x);
        for (row, y) in rows.iter().zip(run.y..bottom) {
            gather_line(row, run.at, &mut line[..TILE * run.count]);
            // SAFETY: a task owns the pixels of its block in its channels.
            let to = unsafe { target.slice((channel * (bottom - top) + y - top) * tiles.width + run.x, width) };
            to.copy_from_slice(&line[..width]);
            after.finish(to, channel, y * tiles.width + run.x, tiles.width);
        }
    }
}

widest! {
    fn gather_columns(from: [&[f32]; SIDE], to: [&mut [f32; BLOCK]; TILE]) {
        let [from0, from1, from2, from3, from4, from5] = from.map(|from| &from[..BLOCK]);
        let [to0, to1, to2, to3] = to;
        for t in 0..BLOCK {
            [to0[t], to1[t], to2[t], to3[t]] = back([from0[t], from1[t], from2[t], from3[t], from4[t], from5[t]]);
        }
    }
}

widest! {
    fn gather_line(row: &[[f32; BLOCK]; SIDE], at: usize, line: &mut [f32]) {
        let quads = line.as_chunks_mut::<TILE>().0;
        let [row0, row1, row2, row3, row4, row5] = row.each_ref().map(|row| &row[at..at + quads.len()]);
        for (t, quad) in quads.iter_mut().enumerate() {
            *quad = back([row0[t], row1[t], row2[t], row3[t], row4[t], row5[t]]);
        }
    }
}

/// `A^T m`
#[inline(always)]
fn back(m: [f32; SIDE]) -> [f32; TILE] {
    let (near, near_odd) = (m[1] + m[2], m[1] - m[2]);
    let (far, far_odd) = (m[3] + m[4], m[3] - m[4]);
    [
        m[0] + near + far,
        0.75 * near_odd + 1.5 * far_odd,
        0.5625 * near + 2.25 * far,
        0.421875 * near_odd + 3.375 * far_odd + m[5],
    ]
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_close, numbers, plain_conv};
    use super::*;

    #[test]
    fn tiled_convolutions_equal_their_definition() {
        // One tile, cut tiles, runs that end within a block, few blocks with shares, and many blocks.
        for (h, w, inputs, outputs) in
            [(4, 4, 5, 3), (1, 1, 2, 9), (7, 33, 3, 8), (32, 32, 24, 40), (70, 64, 17, 12), (128, 260, 5, 9)]
        {
            let (x, weight) = (numbers(inputs * h * w, 1), numbers(outputs * inputs * 9, 2));
            let packed = pack_tiles([outputs, inputs], |o, i, tap| weight[(o * inputs + i) * 9 + tap]);
            let found = conv_tiles(Cow::Borrowed(&x), [h, w], Before::default(), &packed, AfterSums::default());
            let expected = plain_conv(&x, [h, w], [outputs, inputs], 3, &weight);
            assert_close(&found, &expected, &format!("{h}x{w} {inputs}->{outputs}"));
        }
    }

    #[test]
    fn in_place_and_elsewhere_are_the_same_to_the_bit() {
        let (h, w, channels) = (203, 301, 2);
        let (x, weight) = (numbers(channels * h * w, 1), numbers(channels * channels * 9, 2));
        let (scale, offset, noise) = (numbers(channels, 3), numbers(channels, 4), numbers(h * w, 5));
        let packed = pack_tiles([channels, channels], |o, i, tap| weight[(o * channels + i) * 9 + tap]);
        let before = Before { scale: Some(&scale), offset: Some(&offset) };
        let after = AfterSums { noise: Some(&noise), slope: Some(0.2), ..AfterSums::default() };
        let elsewhere = conv_tiles(Cow::Borrowed(&x), [h, w], before, &packed, after);
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(Tiles::new([h, w], 0..h.div_ceil(TILE)).blocks() >= 2 * BAND_BLOCKS);
            let found = pool.install(|| in_place(x.clone(), [h, w], before, &packed, after));
            assert!(found == elsewhere, "with {threads} threads");
        }
    }
}
