//! 3x3 convolutions of small maps by Winograd's F(2x2, 3x3): 16 products make 4 outputs, where the direct sum needs 36.
//!
//! [`super::winograd`] needs fewer, 36 for 16, but of maps of 16 pixels reading its kernels, four times as large as the weights,
//! takes longer than the sums. These are not even twice as large, and 16x16 pixels fill a block of tiles. Rounding errors are
//! those of the direct sum.

use super::kernel::{OUTPUTS, widest};
use super::memory::{Disjoint, Source, fresh};
use super::tiles::{BLOCK, PackedTiles, Product, Products, Tiles, each_block, take_line};
use super::{AfterSums, Before};

/// Outputs of a tile, in each direction.
const TILE: usize = 2;
/// Inputs of a tile, in each direction.
const SIDE: usize = TILE + 2;
/// Values that a tile is transformed to.
const PLANES: usize = SIDE * SIDE;

/// The transformed kernels of a convolution; `weight(o, i, tap)` is the factor of input `i` at `tap`, counted row by row, for
/// output `o`.
pub(super) fn pack_small(shape: [usize; 2], weight: impl Fn(usize, usize, usize) -> f32 + Sync) -> PackedTiles {
    let products = (0..PLANES).map(|plane| Product { input: plane, weight: plane, to: plane }).collect();
    PackedTiles::new(shape, products, |o, i| transform_kernel(std::array::from_fn(|tap| f64::from(weight(o, i, tap)))))
}

/// `G kernel G^T`
fn transform_kernel(kernel: [f64; 9]) -> [f64; PLANES] {
    const G: [[f64; 3]; SIDE] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];
    let along = |row: [f64; 3], g: [f64; 3]| row[0] * g[0] + row[1] * g[1] + row[2] * g[2];
    std::array::from_fn(|plane| {
        let row = |y: usize| along([kernel[3 * y], kernel[3 * y + 1], kernel[3 * y + 2]], G[plane % SIDE]);
        along([row(0), row(1), row(2)], G[plane / SIDE])
    })
}

/// 3x3 convolution with stride 1 and zero padding of one sample. `x` is `[inputs, height, width]`. Returns
/// `[outputs, height, width]`.
pub(super) fn conv_small(
    x: &[f32],
    [height, width]: [usize; 2],
    before: Before,
    packed: &PackedTiles,
    after: AfterSums,
) -> Vec<f32> {
    let tiles = Tiles::of_side(TILE, [height, width], 0..height.div_ceil(TILE));
    let source = Source { x, channels: packed.inputs, height, width, before };
    let mut result = fresh(packed.outputs * height * width);
    let target = Disjoint::new(&mut result);
    each_block(
        &tiles,
        packed,
        |block, channel, to| transform_input(&source, &tiles, block, channel, to),
        |block, groups, transformed, room| {
            let products = room.take(groups.len() * packed.products_of_group());
            packed.multiply(groups.clone(), transformed, products, tiles.count(block));
            let channels = groups.start * OUTPUTS..packed.outputs.min(groups.end * OUTPUTS);
            for (index, channel) in channels.enumerate() {
                let group = &products[index / OUTPUTS * packed.products_of_group()..];
                finish_channel(Products::new(group, index), &tiles, block, &target, channel, &after);
            }
        },
    );
    result
}

/// Transforms one channel of a block to `[16][inputs][BLOCK]`.
#[expect(unsafe_code, reason = "a call alone writes its channel's values of the planes")]
fn transform_input(source: &Source, tiles: &Tiles, block: usize, channel: usize, transformed: &Disjoint) {
    let mut rows = [[[0.0; BLOCK]; SIDE]; SIDE];
    let mut line = [0.0; TILE * BLOCK + 2];
    for run in tiles.runs(block) {
        let line = &mut line[..TILE * run.count + 2];
        for (i, rows) in rows.iter_mut().enumerate() {
            match (run.y + i).checked_sub(1).filter(|&y| y < source.height) {
                Some(y) => {
                    let row = &source.x[(channel * source.height + y) * source.width..][..source.width];
                    take_line(source, channel, row, run.x as isize - 1, line);
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
        let [to0, to1, to2, to3] = to;
        for (t, pair) in line[..line.len() - 2].as_chunks::<TILE>().0.iter().enumerate() {
            let values = forward([pair[0], pair[1], line[TILE * t + 2], line[TILE * t + 3]]);
            [to0[at + t], to1[at + t], to2[at + t], to3[at + t]] = values;
        }
    }
}

widest! {
    fn transform_columns(from: [&[f32; BLOCK]; SIDE], to: [&mut [f32]; SIDE]) {
        let [to0, to1, to2, to3] = to.map(|to| &mut to[..BLOCK]);
        for t in 0..BLOCK {
            [to0[t], to1[t], to2[t], to3[t]] = forward(from.map(|row| row[t]));
        }
    }
}

/// `B^T d`
#[inline(always)]
fn forward(d: [f32; SIDE]) -> [f32; SIDE] {
    [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]
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
    let height = tiles.pixel_rows.end;
    let mut rows = [[[0.0; BLOCK]; SIDE]; TILE];
    let [row0, row1] = &mut rows;
    for column in 0..SIDE {
        let from = std::array::from_fn(|i| products.of(i * SIDE + column));
        gather_columns(from, [&mut row0[column], &mut row1[column]]);
    }
    let mut line = [0.0; TILE * BLOCK];
    for run in tiles.runs(block) {
        let width = (TILE * run.count).min(tiles.width - run.x);
        for (row, y) in rows.iter().zip(run.y..height) {
            gather_line(row, run.at, &mut line[..TILE * run.count]);
            // SAFETY: a task owns the pixels of its block in its channels.
            let to = unsafe { target.slice((channel * height + y) * tiles.width + run.x, width) };
            to.copy_from_slice(&line[..width]);
            after.finish(to, channel, y * tiles.width + run.x, tiles.width);
        }
    }
}

widest! {
    fn gather_columns(from: [&[f32]; SIDE], to: [&mut [f32; BLOCK]; TILE]) {
        let [from0, from1, from2, from3] = from.map(|from| &from[..BLOCK]);
        let [to0, to1] = to;
        for t in 0..BLOCK {
            [to0[t], to1[t]] = back([from0[t], from1[t], from2[t], from3[t]]);
        }
    }
}

widest! {
    fn gather_line(row: &[[f32; BLOCK]; SIDE], at: usize, line: &mut [f32]) {
        let pairs = line.as_chunks_mut::<TILE>().0;
        let [row0, row1, row2, row3] = row.each_ref().map(|row| &row[at..at + pairs.len()]);
        for (t, pair) in pairs.iter_mut().enumerate() {
            *pair = back([row0[t], row1[t], row2[t], row3[t]]);
        }
    }
}

/// `A^T m`
#[inline(always)]
fn back(m: [f32; SIDE]) -> [f32; TILE] {
    [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_close, numbers, plain_conv};
    use super::*;

    #[test]
    fn small_tiled_convolutions_equal_their_definition() {
        // One tile, cut tiles, a block that is full, runs that end within a block, and many blocks.
        for (h, w, inputs, outputs) in
            [(2, 2, 5, 3), (1, 1, 2, 9), (7, 33, 3, 8), (16, 16, 24, 40), (30, 44, 17, 12), (64, 130, 5, 9)]
        {
            let (x, weight) = (numbers(inputs * h * w, 1), numbers(outputs * inputs * 9, 2));
            let packed = pack_small([outputs, inputs], |o, i, tap| weight[(o * inputs + i) * 9 + tap]);
            let found = conv_small(&x, [h, w], Before::default(), &packed, AfterSums::default());
            let expected = plain_conv(&x, [h, w], [outputs, inputs], 3, &weight);
            assert_close(&found, &expected, &format!("{h}x{w} {inputs}->{outputs}"));
        }
    }
}
