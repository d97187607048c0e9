//! Transposed 3x3 convolutions of stride 2 by minimal filtering: 81 products for a tile of 4x4 inputs, where the direct sum
//! needs 144.
//!
//! In one dimension a tile of four inputs is a polynomial x(u) of degree 3. The even sums are the coefficients of
//! x(u) (w0 + w2 u), of degree 4 and so known from five points, and the odd sums are those of x(u) w1, known from four. Both
//! take x at the same points, +-1/2 and +-3/2, the even sums also at infinity: five transformed inputs make nine products, and
//! w1 is the same at every point. What the even sums have beyond the tile belongs to the next one.
//! Rounding errors are about twice those of the direct sum in single precision, with 0, +-1, 2 and infinity three times.

use std::cell::RefCell;

use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use super::doubling::Filter;
use super::kernel::widest;
use super::memory::{Buffer, Disjoint, Source, fresh};
use super::tiles::{BLOCK, PackedTiles, Product, Products, TILE, Tiles, each_block, take_line};
use super::{After, Before};

/// Points at which the inputs of a tile are taken, in each direction: 1/2, -1/2, 3/2, -3/2 and infinity.
const POINTS: usize = TILE + 1;
/// Transformed kernels, in each direction: the even sums' at each point, and the odd sums' at all.
const KERNELS: usize = POINTS + 1;
/// Products, in each direction: of the even sums at each point, and then of the odd sums at all but infinity.
const BOTH: usize = POINTS + TILE;
/// Values of the sum maps that are made before they are filtered, a share of the processor's third cache.
const BAND: usize = 1 << 21;

/// The transformed kernels; `weight(o, i, tap)` is the factor of input `i` at `tap`, counted row by row, for output `o`.
pub(super) fn pack_doubling(shape: [usize; 2], weight: impl Fn(usize, usize, usize) -> f32 + Sync) -> PackedTiles {
    // In one direction: point of the input, and kernel.
    let along = |product| if product < POINTS { (product, product) } else { (product - POINTS, POINTS) };
    let mut products: Vec<Product> = (0..BOTH * BOTH)
        .map(|to| {
            let ((y, kernel_y), (x, kernel_x)) = (along(to / BOTH), along(to % BOTH));
            Product { input: y * POINTS + x, weight: kernel_y * KERNELS + kernel_x, to }
        })
        .collect();
    products.sort_by_key(|product| product.input);
    PackedTiles::new(shape, products, |o, i| transform_kernel(std::array::from_fn(|tap| f64::from(weight(o, i, tap)))))
}

/// In each direction (w0 + w2 u) / 2 at the points, w2 at infinity, and w1 / 2: halves, since [`back`] takes half the sum and half
/// the difference of two products.
fn transform_kernel(kernel: [f64; 9]) -> [f64; KERNELS * KERNELS] {
    const G: [[f64; 3]; KERNELS] =
        [[0.5, 0.0, 0.25], [0.5, 0.0, -0.25], [0.5, 0.0, 0.75], [0.5, 0.0, -0.75], [0.0, 0.0, 1.0], [0.0, 0.5, 0.0]];
    let along = |row: [f64; 3], g: [f64; 3]| row[0] * g[0] + row[1] * g[1] + row[2] * g[2];
    std::array::from_fn(|plane| {
        let row = |y: usize| along([kernel[3 * y], kernel[3 * y + 1], kernel[3 * y + 2]], G[plane % KERNELS]);
        along([row(0), row(1), row(2)], G[plane / KERNELS])
    })
}

/// Sum maps of some rows of tiles for one output channel, in columns still as products: per row of tiles the even rows 0 to 3,
/// what the even rows add to the next row of tiles, and the odd rows 0 to 3, each `[9 products][tiles]`.
struct Maps<'a> {
    values: &'a mut [f32],
    /// Tiles in a row.
    columns: usize,
}

impl Maps<'_> {
    /// Rows that a row of tiles has.
    const ROWS: usize = BOTH;

    fn row_length(columns: usize) -> usize {
        BOTH * columns
    }

    /// Row 2n + parity, n counted from the second row of tiles on.
    fn row(&self, parity: usize, n: isize) -> &[f32] {
        let n = (n + TILE as isize) as usize;
        let length = Self::row_length(self.columns);
        &self.values[(n / TILE * Self::ROWS + parity * POINTS + n % TILE) * length..][..length]
    }

    /// Adds what a row of tiles has for the next one.
    fn pass_on(&mut self, tile_row: usize) {
        let length = Self::row_length(self.columns);
        let from = (tile_row * Self::ROWS + TILE) * length;
        let to = (tile_row + 1) * Self::ROWS * length;
        let (before, after) = self.values.split_at_mut(to);
        add(&before[from..from + length], &mut after[..length]);
    }
}

thread_local! {
    /// The sum maps of a band, kept from one picture to the next.
    static BANDS: RefCell<Buffer> = RefCell::default();
}

widest! {
    fn add(from: &[f32], to: &mut [f32]) {
        to.iter_mut().zip(from).for_each(|(to, x)| *to += x);
    }
}

/// `x` is `[inputs, height, width]`. Returns `[outputs, 2 height, 2 width]`.
pub(super) fn double_tiles(
    x: &[f32],
    size @ [height, width]: [usize; 2],
    before: Before,
    packed: &PackedTiles,
    filter: Filter,
    after: After,
) -> Vec<f32> {
    let source = Source { x, channels: packed.inputs, height, width, before };
    let (columns, all_rows) = (width.div_ceil(TILE), height.div_ceil(TILE));
    let tile_row = Maps::ROWS * Maps::row_length(columns);
    let mut result = fresh(packed.outputs * 4 * height * width);
    // Whole blocks, and as many of them as the cache holds.
    let rows_per_block = BLOCK.div_ceil(columns);
    let rows = (BAND / (packed.outputs * tile_row) / rows_per_block * rows_per_block).clamp(rows_per_block, all_rows);
    // Before those of the band the row of tiles before it, and after them one for what the last hands on.
    let maps = (rows + 2) * tile_row;
    let mut buffer = BANDS.take();
    let band = buffer.take(packed.outputs * maps);
    for first in (0..all_rows).step_by(rows) {
        let end = (first + rows).min(all_rows);
        let tiles = Tiles::new(size, first..end);
        let target = Disjoint::new(band);
        each_block(
            &tiles,
            packed,
            |block, channel, to| transform_input(&source, &tiles, block, channel, to),
            |block, channel, products| {
                let from = channel * maps + tile_row;
                gather_rows(products, &tiles, block, &target, from);
            },
        );
        let planes = result.par_chunks_exact_mut(4 * height * width).zip(band.par_chunks_exact_mut(maps));
        planes.enumerate().for_each(|(channel, (plane, values))| {
            let mut maps = Maps { values, columns };
            if first == 0 {
                maps.values[..tile_row].fill(0.0);
            }
            let count = end - first;
            maps.values[(count + 1) * tile_row..].fill(0.0);
            (0..=count).for_each(|row| maps.pass_on(row));
            // The last rows want sums that the next band has.
            let from = (2 * TILE * first).saturating_sub(2);
            let to = if end == all_rows { 2 * height } else { 2 * TILE * end - 2 };
            let mut products = vec![0.0; Maps::row_length(columns)];
            let [mut even, mut odd] = [(); 2].map(|()| vec![0.0; TILE * columns + 2]);
            let offset = (TILE * first) as isize;
            for y in from..to {
                filter.rows(y, |parity, n| maps.row(parity, n - offset), &mut products);
                gather_columns(&products, &mut even, &mut odd);
                let pixel = y * 2 * width;
                let row = &mut plane[pixel..pixel + 2 * width];
                filter.columns(&even, &odd, row);
                after.finish(row, channel, pixel, 2 * width);
            }
            maps.values.copy_within(count * tile_row..(count + 1) * tile_row, 0);
        });
    }
    BANDS.set(buffer);
    result
}

/// Transforms one channel of a block to `[25][inputs][BLOCK]`.
fn transform_input(source: &Source, tiles: &Tiles, block: usize, channel: usize, transformed: &Disjoint) {
    let mut rows = [[[0.0; BLOCK]; POINTS]; TILE];
    let mut line = [0.0; TILE * BLOCK];
    for run in tiles.runs(block) {
        let line = &mut line[..TILE * run.count];
        for (y, rows) in (run.y..).zip(&mut rows) {
            match y < source.height {
                true => {
                    let row = &source.x[(channel * source.height + y) * source.width..][..source.width];
                    take_line(source, channel, row, run.x as isize, line);
                }
                false => line.fill(0.0),
            }
            transform_line(line, run.at, rows);
        }
    }
    let plane = source.channels * BLOCK;
    for column in 0..POINTS {
        // SAFETY: nobody else writes this channel's values of the planes.
        let to = std::array::from_fn(|i| unsafe {
            transformed.slice((i * POINTS + column) * plane + channel * BLOCK, BLOCK)
        });
        transform_columns(rows.each_ref().map(|row| &row[column]), to);
    }
}

widest! {
    fn transform_line(line: &[f32], at: usize, to: &mut [[f32; BLOCK]; POINTS]) {
        let [to0, to1, to2, to3, to4] = to;
        for (t, quad) in line.as_chunks::<TILE>().0.iter().enumerate() {
            [to0[at + t], to1[at + t], to2[at + t], to3[at + t], to4[at + t]] = forward(*quad);
        }
    }
}

widest! {
    fn transform_columns(from: [&[f32; BLOCK]; TILE], to: [&mut [f32]; POINTS]) {
        let [to0, to1, to2, to3, to4] = to.map(|to| &mut to[..BLOCK]);
        for t in 0..BLOCK {
            [to0[t], to1[t], to2[t], to3[t], to4[t]] = forward(from.map(|row| row[t]));
        }
    }
}

/// The polynomial with these coefficients at the points.
#[inline(always)]
fn forward(x: [f32; TILE]) -> [f32; POINTS] {
    let (near, near_odd) = (x[0] + 0.25 * x[2], 0.5 * x[1] + 0.125 * x[3]);
    let (far, far_odd) = (x[0] + 2.25 * x[2], 1.5 * x[1] + 3.375 * x[3]);
    [near + near_odd, near - near_odd, far + far_odd, far - far_odd, x[3]]
}

/// Transforms the columns of one channel's products back, to the rows of its sum maps, which start at `from`.
fn gather_rows(products: Products, tiles: &Tiles, block: usize, maps: &Disjoint, from: usize) {
    let top = tiles.pixel_rows.start;
    let row_length = Maps::row_length(tiles.columns);
    let mut sums = [[0.0; BLOCK]; BOTH];
    for column in 0..BOTH {
        back_columns(std::array::from_fn(|product| products.of(product * BOTH + column)), &mut sums);
        for run in tiles.runs(block) {
            let first_row = (run.y - top) / TILE * Maps::ROWS;
            let at = from + first_row * row_length + column * tiles.columns + run.x / TILE;
            for (index, sums) in sums.iter().enumerate() {
                // SAFETY: a task owns the tiles of its block in its channels.
                let to = unsafe { maps.slice(at + index * row_length, run.count) };
                to.copy_from_slice(&sums[run.at..run.at + run.count]);
            }
        }
    }
}

widest! {
    fn back_columns(from: [&[f32]; BOTH], to: &mut [[f32; BLOCK]; BOTH]) {
        let [even0, even1, even2, even3, beyond, odd0, odd1, odd2, odd3] = from.map(|from| &from[..BLOCK]);
        let [to_even0, to_even1, to_even2, to_even3, to_beyond, to_odd0, to_odd1, to_odd2, to_odd3] = to;
        for t in 0..BLOCK {
            [to_even0[t], to_even1[t], to_even2[t], to_even3[t]] =
                back([even0[t], even1[t], even2[t], even3[t]], beyond[t]);
            to_beyond[t] = beyond[t];
            [to_odd0[t], to_odd1[t], to_odd2[t], to_odd3[t]] = back([odd0[t], odd1[t], odd2[t], odd3[t]], 0.0);
        }
    }
}

widest! {
    /// Transforms the products of a row back to its even and its odd columns, which begin with one before the first.
    fn gather_columns(products: &[f32], even: &mut [f32], odd: &mut [f32]) {
        let columns = products.len() / BOTH;
        let from: [&[f32]; BOTH] = std::array::from_fn(|product| &products[product * columns..][..columns]);
        let [even0, even1, even2, even3, beyond, odd0, odd1, odd2, odd3] = from;
        for (t, quad) in odd[1..].as_chunks_mut::<TILE>().0[..columns].iter_mut().enumerate() {
            *quad = back([odd0[t], odd1[t], odd2[t], odd3[t]], 0.0);
        }
        for (t, quad) in even[1..].as_chunks_mut::<TILE>().0[..columns].iter_mut().enumerate() {
            *quad = back([even0[t], even1[t], even2[t], even3[t]], beyond[t]);
        }
        // What the tile before has for this one.
        for (t, beyond) in beyond[..columns - 1].iter().enumerate() {
            even[1 + TILE * (t + 1)] += beyond;
        }
        even[1 + TILE * columns] = beyond[columns - 1];
    }
}

/// The first four coefficients of a polynomial from half its values at the finite points, and its fifth.
#[inline(always)]
fn back(half: [f32; TILE], fifth: f32) -> [f32; TILE] {
    let (near, near_odd) = (half[0] + half[1], half[0] - half[1]);
    let (far, far_odd) = (half[2] + half[3], half[2] - half[3]);
    let third = 0.5 * (far - near) - 2.5 * fifth;
    let fourth = far_odd * (1.0 / 3.0) - near_odd;
    [near - 0.25 * third - 0.0625 * fifth, 2.0 * near_odd - 0.25 * fourth, third, fourth]
}
