//! Transposed 3x3 convolutions of stride 2 by minimal filtering: 81 products for a tile of 4x4 inputs, where the direct sum
//! needs 144.
//!
//! In one dimension a tile of four inputs is a polynomial x(u) of degree 3. The even sums are the coefficients of
//! x(u) (w0 + w2 u), of degree 4 and so known from five points, and the odd sums are those of x(u) w1, known from four. Both
//! take x at the same points, +-1/2 and +-3/2, the even sums also at infinity: five transformed inputs make nine products, and
//! w1 is the same at every point. What the even sums have beyond the tile belongs to the next one.
//! Rounding errors are about twice those of the direct sum in single precision, with 0, +-1, 2 and infinity three times.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use super::doubling::{Filter, filter_columns};
use super::kernel::{OUTPUTS, widest};
use super::memory::{Buffer, Disjoint, Source, fresh};
use super::tiles::{BLOCK, PackedTiles, Product, Products, Run, TILE, Tiles, take_line, threads};
use super::{AfterSums, Before};

/// Points at which the inputs of a tile are taken, in each direction: 1/2, -1/2, 3/2, -3/2 and infinity.
const POINTS: usize = TILE + 1;
/// Transformed kernels, in each direction: the even sums' at each point, and the odd sums' at all.
const KERNELS: usize = POINTS + 1;
/// Products, in each direction: of the even sums at each point, and then of the odd sums at all but infinity.
const BOTH: usize = POINTS + TILE;
/// Fewest rows of tiles that are worth a strip of their own: each strip computes one row of tiles of the strip above again.
const STRIP_ROWS: usize = 8;
/// Rows of the sum map that a row of tiles keeps for the next: its last three, and what it adds to the next one's first.
const CARRIED: usize = 4;

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

thread_local! {
    static SCRATCH: RefCell<DoublingScratch> = RefCell::default();
    /// All transformed tiles of a picture that has few.
    static TRANSFORMED: RefCell<Buffer> = RefCell::default();
}

/// A thread's buffers, kept from part to part.
#[derive(Default)]
struct DoublingScratch {
    /// `[blocks][planes][inputs][BLOCK]`
    transformed: Buffer,
    /// Of one group, `[blocks][products][8][BLOCK]`.
    products: Buffer,
    /// What each output keeps for the next row of tiles.
    carried: Buffer,
    /// Rows of one output on their way to the picture.
    rows: [Buffer; 3],
}

/// `x` is `[inputs, height, width]`. Returns `[outputs, 2 height, 2 width]`.
pub(super) fn double_tiles(
    x: &[f32],
    size @ [height, width]: [usize; 2],
    before: Before,
    packed: &PackedTiles,
    filter: Filter,
    after: AfterSums,
) -> Vec<f32> {
    let source = Source { x, channels: packed.inputs, height, width, before };
    let (columns, all_rows) = (width.div_ceil(TILE), height.div_ceil(TILE));
    // Rows of tiles that are multiplied at a time.
    let rows = (BLOCK / columns).max(1);
    let length = packed.block_length();
    let bands = |rows_of_all: Range<usize>| {
        let end = rows_of_all.end;
        rows_of_all.step_by(rows).map(move |first| Tiles::new(size, first..(first + rows).min(end)))
    };
    let wanted_parts = 4 * threads();
    let few = all_rows.div_ceil(rows) < wanted_parts;
    let strips = if few { 1 } else { (all_rows / STRIP_ROWS).clamp(1, wanted_parts) };
    let strip_rows = all_rows.div_ceil(strips).next_multiple_of(rows);
    let strips = all_rows.div_ceil(strip_rows);
    let groups_per_share = packed.groups().div_ceil(wanted_parts.div_ceil(strips));
    let shares = packed.groups().div_ceil(groups_per_share);
    // Of few tiles each input is transformed once for all shares of the outputs.
    let mut buffer = TRANSFORMED.take();
    let mut transformed_bands = Vec::new();
    if few {
        let mut rest = buffer.take(bands(0..all_rows).map(|tiles| tiles.blocks() * length).sum());
        for tiles in bands(0..all_rows) {
            let (band, after) = rest.split_at_mut(tiles.blocks() * length);
            let target = Disjoint::new(band);
            (0..packed.inputs).into_par_iter().with_min_len(16).for_each(|channel| {
                transform_input(&source, &tiles, channel, length, &target);
            });
            transformed_bands.push(&*band);
            rest = after;
        }
    }
    let mut result = fresh(packed.outputs * 4 * height * width);
    let picture = Disjoint::new(&mut result);
    (0..strips * shares).into_par_iter().with_max_len(1).for_each(|index| {
        let (strip, share) = (index / shares, index % shares);
        let groups = share * groups_per_share..((share + 1) * groups_per_share).min(packed.groups());
        let first = strip * strip_rows;
        let end = (first + strip_rows).min(all_rows);
        // What the last row of tiles above this strip has for it.
        let above = first.checked_sub(1).map(|row| Tiles::new(size, row..first));
        SCRATCH.with_borrow_mut(|scratch| {
            let keeps = CARRIED * BOTH * columns;
            let carried = scratch.carried.take(groups.len() * OUTPUTS * keeps);
            carried.fill(0.0);
            let mut rows = Rows::new(size, TILE * first, filter, &after, &picture, &mut scratch.rows);
            for (index, tiles) in above.into_iter().chain(bands(first..end)).enumerate() {
                let transformed = match transformed_bands.get(index) {
                    Some(transformed) => transformed,
                    None => {
                        let transformed = scratch.transformed.take(tiles.blocks() * length);
                        let target = Disjoint::new(transformed);
                        (0..packed.inputs)
                            .for_each(|channel| transform_input(&source, &tiles, channel, length, &target));
                        &*transformed
                    }
                };
                let products_length = packed.products_of_group();
                for group in groups.clone() {
                    let products = scratch.products.take(tiles.blocks() * products_length);
                    let blocks = products.chunks_exact_mut(products_length).zip(transformed.chunks_exact(length));
                    for (block, (products, transformed)) in blocks.enumerate() {
                        packed.multiply(group..group + 1, transformed, products, tiles.count(block));
                    }
                    for channel in group * OUTPUTS..packed.outputs.min((group + 1) * OUTPUTS) {
                        let carried = &mut carried[(channel - groups.start * OUTPUTS) * keeps..][..keeps];
                        for (block, products) in products.chunks_exact(products_length).enumerate() {
                            let products = Products::new(products, channel);
                            tiles.runs(block).for_each(|run| rows.take(products, run, channel, carried));
                        }
                        if tiles.pixel_rows.end == height {
                            rows.end(all_rows * TILE, channel, carried);
                        }
                    }
                }
            }
        });
    });
    drop(transformed_bands);
    TRANSFORMED.set(buffer);
    result
}

/// Output rows, made from products row of tiles by row of tiles.
struct Rows<'a> {
    /// Of the input.
    size: [usize; 2],
    /// First output row that is wanted.
    first: usize,
    filter: Filter,
    after: &'a AfterSums<'a>,
    /// `[outputs, 2 height, 2 width]`
    picture: &'a Disjoint<'a>,
    columns: usize,
    /// `[ROWS_OF_TILE][9 products][columns]`
    rows: &'a mut [f32],
    even: &'a mut [f32],
    odd: &'a mut [f32],
}

/// Rows of the picture that a row of tiles completes: from two before its own on.
const ROWS_OF_TILE: usize = 2 * TILE;

impl<'a> Rows<'a> {
    /// `y` is the input row at which a strip begins.
    fn new(
        size: [usize; 2],
        y: usize,
        filter: Filter,
        after: &'a AfterSums<'a>,
        picture: &'a Disjoint<'a>,
        [rows, even, odd]: &'a mut [Buffer; 3],
    ) -> Self {
        let columns = size[1].div_ceil(TILE);
        let rows = rows.take(ROWS_OF_TILE * BOTH * columns);
        let [even, odd] = [even, odd].map(|buffer| buffer.take(TILE * columns + 2));
        [even[0], odd[0], odd[TILE * columns + 1]] = [0.0; 3];
        let first = (2 * y).saturating_sub(2);
        Rows { size, first, filter, after, picture, columns, rows, even, odd }
    }

    /// Takes a run's products of an output channel. `carried` is `[CARRIED][9 products][columns]`, from the row of tiles before.
    fn take(&mut self, products: Products, run: Run, channel: usize, carried: &mut [f32]) {
        let from = run.x / TILE;
        filter_tiles(products, run.at, self.filter, from..from + run.count, self.columns, carried, self.rows);
        if from + run.count == self.columns {
            self.write(2 * run.y, channel);
        }
    }

    /// Completes the rows that waited for another row of tiles. `y` is where that would begin.
    fn end(&mut self, y: usize, channel: usize, carried: &mut [f32]) {
        for x in (0..self.columns).step_by(BLOCK) {
            let count = BLOCK.min(self.columns - x);
            self.take(Products::ZERO, Run { at: 0, count, x: x * TILE, y }, channel, carried);
        }
    }

    /// `y` is the output row at which the row of tiles begins.
    #[expect(unsafe_code, reason = "a task alone writes the rows of its strip in its channels")]
    fn write(&mut self, y: usize, channel: usize) {
        let [height, width] = self.size.map(|length| 2 * length);
        for (y, products) in (y..).zip(self.rows.chunks_exact(BOTH * self.columns)) {
            // Before the first row of a strip there is what the strip above makes.
            let Some(y) = y.checked_sub(2).filter(|y| (self.first..height).contains(y)) else { continue };
            gather_columns(products, self.even, self.odd);
            // SAFETY: a task owns the rows of its strip in its channels.
            let row = unsafe { self.picture.slice((channel * height + y) * width, width) };
            filter_columns(self.filter, self.even, self.odd, row);
            self.after.finish(row, channel, y * width, width);
        }
    }
}

widest! {
    /// Transforms the columns of a run's products back to rows of the sum map, and filters these.
    fn filter_tiles(
        products: Products,
        at: usize,
        filter: Filter,
        to: Range<usize>,
        columns: usize,
        carried: &mut [f32],
        rows: &mut [f32],
    ) {
        let Filter { outer, inner } = filter;
        let count = to.len().min(BLOCK);
        for column in 0..BOTH {
            let from: [&[f32]; BOTH] = std::array::from_fn(|i| &products.of(i * BOTH + column)[at..][..count]);
            let [even0, even1, even2, even3, beyond, odd0, odd1, odd2, odd3] = from;
            let at_column = |row: usize| (row * BOTH + column) * columns + to.start;
            let before: [&[f32]; CARRIED] = std::array::from_fn(|row| &carried[at_column(row)..][..count]);
            // Room of its own: the compiler could not tell that so many slices lie apart.
            let mut filtered = [[0.0; BLOCK]; ROWS_OF_TILE];
            let mut next = [[0.0; BLOCK]; CARRIED];
            for t in 0..count {
                let even = back([even0[t], even1[t], even2[t], even3[t]], beyond[t]);
                let odd = back([odd0[t], odd1[t], odd2[t], odd3[t]], 0.0);
                let first = before[3][t] + even[0];
                let m = [before[0][t], before[1][t], before[2][t], first, odd[0], even[1], odd[1], even[2], odd[2], even[3], odd[3]];
                for y in 0..ROWS_OF_TILE {
                    filtered[y][t] = outer * (m[y] + m[y + 3]) + inner * (m[y + 1] + m[y + 2]);
                }
                [next[0][t], next[1][t], next[2][t], next[3][t]] = [odd[2], even[3], odd[3], beyond[t]];
            }
            for (row, values) in filtered.iter().enumerate() {
                rows[at_column(row)..][..count].copy_from_slice(&values[..count]);
            }
            for (row, values) in next.iter().enumerate() {
                carried[at_column(row)..][..count].copy_from_slice(&values[..count]);
            }
        }
    }
}

/// Transforms one channel of all blocks, each to its values of `[25][inputs][BLOCK]`.
#[expect(unsafe_code, reason = "a call alone writes its channel's values of the planes")]
fn transform_input(source: &Source, tiles: &Tiles, channel: usize, block_length: usize, transformed: &Disjoint) {
    let mut rows = [[[0.0; BLOCK]; POINTS]; TILE];
    let mut line = [0.0; TILE * BLOCK];
    for block in 0..tiles.blocks() {
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
            let at = |i: usize| block * block_length + (i * POINTS + column) * plane + channel * BLOCK;
            // SAFETY: nobody else writes this channel's values of the planes.
            let to = std::array::from_fn(|i| unsafe { transformed.slice(at(i), BLOCK) });
            transform_columns(rows.each_ref().map(|row| &row[column]), to);
        }
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
