//! What minimal filtering (Winograd, 1980) of any kind shares: a picture is cut into tiles of 4x4 pixels, inputs and kernels are
//! transformed, the matrices of channels are multiplied for each pair of transformed values, and the products of an output
//! channel are handed on, to be transformed back.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator, ParallelSliceMut};

use super::kernel::{Input, OUTPUTS, accumulate};
use super::memory::{Buffer, Disjoint, Source};

/// Pixels of a tile, in each direction.
pub(super) const TILE: usize = 4;
/// Tiles that are multiplied at a time, a multiple of the kernel's positions.
pub(super) const BLOCK: usize = 64;

/// Which transformed values are multiplied.
#[derive(Clone, Copy)]
pub(super) struct Product {
    /// Plane of the transformed inputs.
    pub input: usize,
    /// Plane of the transformed kernels.
    pub weight: usize,
    /// Plane of the products.
    pub to: usize,
}

/// A transformed kernel per pair of channels.
pub(crate) struct PackedTiles {
    /// `[planes][outputs / 8][inputs][8]`, missing outputs are zero.
    values: Vec<f32>,
    products: Vec<Product>,
    pub inputs: usize,
    pub outputs: usize,
}

impl PackedTiles {
    /// `transformed(o, i)` is the kernel from input `i` to output `o`. Neighbours in `products` share their input.
    #[expect(unsafe_code, reason = "a task alone writes its group's values")]
    pub(super) fn new<const PLANES: usize>(
        [outputs, inputs]: [usize; 2],
        products: Vec<Product>,
        transformed: impl Fn(usize, usize) -> [f64; PLANES] + Sync,
    ) -> Self {
        let groups = outputs.div_ceil(OUTPUTS);
        let mut values = vec![0.0; PLANES * groups * inputs * OUTPUTS];
        let target = Disjoint::new(&mut values);
        (0..groups).into_par_iter().for_each(|group| {
            for (index, o) in (group * OUTPUTS..outputs.min((group + 1) * OUTPUTS)).enumerate() {
                for i in 0..inputs {
                    for (plane, value) in transformed(o, i).into_iter().enumerate() {
                        let at = ((plane * groups + group) * inputs + i) * OUTPUTS + index;
                        // SAFETY: no other task has this group's values.
                        let to = unsafe { target.slice(at, 1) };
                        to[0] = value as f32;
                    }
                }
            }
        });
        PackedTiles { values, products, inputs, outputs }
    }

    pub(super) fn groups(&self) -> usize {
        self.outputs.div_ceil(OUTPUTS)
    }

    fn group(&self, plane: usize, group: usize) -> &[f32] {
        let length = self.inputs * OUTPUTS;
        &self.values[(plane * self.groups() + group) * length..][..length]
    }

    /// Transformed values of a block, `[planes][inputs][BLOCK]`, in number.
    pub(super) fn block_length(&self) -> usize {
        let planes = self.products.iter().map(|product| product.input + 1).max().unwrap_or(0);
        planes * self.inputs * BLOCK
    }

    /// Products of a block and one group of outputs, in number.
    pub(super) fn products_of_group(&self) -> usize {
        self.products.len() * OUTPUTS * BLOCK
    }

    /// Multiplies a block, `[planes][inputs][BLOCK]`, to `[groups][products][8][BLOCK]`. Only `count` tiles count.
    pub(super) fn multiply(&self, groups: Range<usize>, transformed: &[f32], to: &mut [f32], count: usize) {
        let panel = self.inputs * BLOCK;
        for product in &self.products {
            let values = &transformed[product.input * panel..][..panel];
            let input = Input { values, plane: BLOCK, channels: self.inputs, first: 0, taps: &[0] };
            for (group, to) in groups.clone().zip(to.chunks_exact_mut(self.products_of_group())) {
                let sums = &mut to[product.to * OUTPUTS * BLOCK..][..OUTPUTS * BLOCK];
                accumulate(&input, self.group(product.weight, group), sums, BLOCK, count);
            }
        }
    }
}

/// Rows of square tiles of a picture, in blocks of [`BLOCK`] tiles.
pub(super) struct Tiles {
    pub pixel_rows: Range<usize>,
    pub width: usize,
    /// Tiles in a row.
    pub columns: usize,
    count: usize,
    /// Pixels of a tile, in each direction.
    side: usize,
}

/// Neighbouring tiles of one row within a block.
pub(super) struct Run {
    /// Number of the first within its block.
    pub at: usize,
    pub count: usize,
    /// Of the first pixel.
    pub x: usize,
    pub y: usize,
}

impl Tiles {
    /// Of the customary [`TILE`].
    pub(super) fn new(size: [usize; 2], rows: Range<usize>) -> Self {
        Self::of_side(TILE, size, rows)
    }

    pub(super) fn of_side(side: usize, [height, width]: [usize; 2], rows: Range<usize>) -> Self {
        let columns = width.div_ceil(side);
        let pixel_rows = rows.start * side..(rows.end * side).min(height);
        Tiles { pixel_rows, width, columns, count: columns * rows.len(), side }
    }

    pub(super) fn blocks(&self) -> usize {
        self.count.div_ceil(BLOCK)
    }

    pub(super) fn count(&self, block: usize) -> usize {
        BLOCK.min(self.count - block * BLOCK)
    }

    pub(super) fn runs(&self, block: usize) -> impl Iterator<Item = Run> {
        let Tiles { columns, side, .. } = *self;
        let top = self.pixel_rows.start;
        let first = block * BLOCK;
        let end = first + self.count(block);
        (first / columns..end.div_ceil(columns)).map(move |row| {
            let from = first.max(row * columns);
            let to = end.min((row + 1) * columns);
            Run { at: from - first, count: to - from, x: (from - row * columns) * side, y: top + row * side }
        })
    }
}

/// The products of one block and output channel.
#[derive(Clone, Copy)]
pub(super) struct Products<'a> {
    values: &'a [f32],
    /// Distance between one product of all tiles and the next.
    plane: usize,
}

impl<'a> Products<'a> {
    pub(super) const ZERO: Products<'static> = Products { values: &[0.0; BLOCK], plane: 0 };

    /// `values` are those of a group, `[products][8][BLOCK]`.
    pub(super) fn new(values: &'a [f32], output: usize) -> Self {
        Products { values: &values[output % OUTPUTS * BLOCK..], plane: OUTPUTS * BLOCK }
    }

    #[inline(always)]
    pub(super) fn of(&self, product: usize) -> &'a [f32] {
        &self.values[product * self.plane..][..BLOCK]
    }
}

/// A thread's buffers, kept from part to part.
#[derive(Default)]
struct TilesScratch {
    /// `[planes][inputs][BLOCK]`
    block: Buffer,
    products: Buffer,
}

thread_local! {
    static SCRATCH: RefCell<TilesScratch> = RefCell::default();
    /// All transformed blocks of a picture that has few.
    static BLOCKS: RefCell<Buffer> = RefCell::default();
}

pub(super) fn threads() -> usize {
    rayon::current_num_threads()
}

/// Does all blocks, in parallel. `transform(block, channel, to)` transforms one input channel of a block to its values of
/// `[planes][inputs][BLOCK]`, `multiply(block, groups of outputs, transformed, room)` does the rest.
pub(super) fn each_block(
    tiles: &Tiles,
    packed: &PackedTiles,
    transform: impl Fn(usize, usize, &Disjoint) + Sync,
    multiply: impl Fn(usize, Range<usize>, &[f32], &mut Buffer) + Sync,
) {
    let (blocks, groups) = (tiles.blocks(), packed.groups());
    let length = packed.block_length();
    let wanted_parts = 4 * threads();
    if blocks >= wanted_parts {
        (0..blocks).into_par_iter().with_max_len(1).for_each(|block| {
            SCRATCH.with_borrow_mut(|TilesScratch { block: transformed, products }| {
                let transformed = transformed.take(length);
                let parts = Disjoint::new(transformed);
                (0..packed.inputs).for_each(|channel| transform(block, channel, &parts));
                multiply(block, 0..groups, transformed, products);
            });
        });
        return;
    }
    // Few blocks: all are transformed first, and then several tasks multiply each, with a share of the outputs.
    let mut buffer = BLOCKS.take();
    let transformed = buffer.take(blocks * length);
    transformed.par_chunks_exact_mut(length).enumerate().for_each(|(block, chunk)| {
        let parts = Disjoint::new(chunk);
        let channels = (0..packed.inputs).into_par_iter().with_min_len(16);
        channels.for_each(|channel| transform(block, channel, &parts));
    });
    let groups_per_share = groups.div_ceil(wanted_parts.div_ceil(blocks));
    let shares = groups.div_ceil(groups_per_share);
    (0..blocks * shares).into_par_iter().with_max_len(1).for_each(|index| {
        let (block, share) = (index / shares, index % shares);
        let groups = share * groups_per_share..((share + 1) * groups_per_share).min(groups);
        SCRATCH.with_borrow_mut(|scratch| {
            multiply(block, groups, &transformed[block * length..][..length], &mut scratch.products);
        });
    });
    BLOCKS.set(buffer);
}

/// The values of a row of a channel from column `x` on, ready for the convolution; zeros beside the picture.
pub(super) fn take_line(source: &Source, channel: usize, row: &[f32], x: isize, line: &mut [f32]) {
    let left = (-x).max(0) as usize;
    let from = x.max(0) as usize;
    let count = (line.len() - left).min(row.len() - from);
    line[..left].fill(0.0);
    line[left + count..].fill(0.0);
    source.prepare(channel, &row[from..from + count], &mut line[left..left + count]);
}
