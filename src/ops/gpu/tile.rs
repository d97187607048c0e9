//! What the tiled kernels share: which part of the result a workgroup makes, and the copies into its shared memory.

use cubecl::prelude::*;

use super::{LANES, Sizes};

/// Which part of the result a workgroup makes, beside its pixels.
#[derive(CubeType)]
pub(super) struct Part {
    /// Which of the groups of output channels.
    pub group: usize,
    pub sample: usize,
    /// Input channels to sum.
    pub first: usize,
    pub end: usize,
    /// Where the sums go: counts the samples of all shares, one share after the other.
    pub result: usize,
}

#[cube]
pub(super) fn part(sizes: &Sizes, #[comptime] outputs: usize) -> Part {
    let groups = sizes.outputs.div_ceil(outputs);
    let result = CUBE_POS_Z as usize / groups;
    let first = result / sizes.samples * sizes.share;
    Part {
        group: CUBE_POS_Z as usize % groups,
        sample: result % sizes.samples,
        first,
        end: min(first + sizes.share, sizes.inputs),
        result,
    }
}

/// What a workgroup keeps in shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Resident {
    /// Input channels.
    pub inputs: usize,
    /// Rows and length of a row of each.
    pub rows: usize,
    pub row: usize,
    /// How many rows and columns these begin before the tile.
    pub before: usize,
    pub taps: usize,
    /// Output channels divided by four.
    pub vectors: usize,
    /// That do the copying.
    pub threads: usize,
}

impl Resident {
    fn values(&self) -> usize {
        self.inputs * self.rows * self.row
    }

    pub(super) fn weights(&self) -> usize {
        self.inputs * self.taps * self.vectors
    }
}

/// Copies input channels from `chunk` on around the tile at (`top`, `left`), scaled by the style; zeros where there are none.
#[cube]
#[expect(clippy::too_many_arguments, reason = "from where to where")]
pub(super) fn copy_values<S: Float>(
    x: &[S],
    style: ComptimeOption<&[f32]>,
    values: &mut Shared<[f32]>,
    sizes: &Sizes,
    part: &Part,
    chunk: usize,
    top: usize,
    left: usize,
    #[comptime] shared: Resident,
) {
    let (plane, before) = comptime!((shared.rows * shared.row, shared.before));
    for index in range_stepped(UNIT_POS as usize, comptime!(shared.values()), shared.threads) {
        let channel = chunk + index / plane;
        // Row and column, both `before` further than in the picture.
        let y = top + index % plane / shared.row;
        let px = left + index % shared.row;
        let mut value = 0f32;
        let inside = y >= before && y < sizes.height + before && px >= before && px < sizes.width + before;
        if inside && channel < part.end {
            let at = part.sample * sizes.inputs + channel;
            value = f32::cast_from(x[(at * sizes.height + y - before) * sizes.width + px - before]);
            if comptime!(style.is_some()) {
                value *= style.as_ref().unwrap()[at];
            }
        }
        values[index] = value;
    }
}

/// Copies the weights of input channels from `chunk` on; zeros where there are none.
#[cube]
pub(super) fn copy_weights<S: Float>(
    weight: &[Vector<S, Const<4>>],
    weights: &mut Shared<[Vector<f32, Const<4>>]>,
    sizes: &Sizes,
    part: &Part,
    chunk: usize,
    #[comptime] shared: Resident,
) {
    let all = sizes.outputs.div_ceil(LANES);
    for index in range_stepped(UNIT_POS as usize, comptime!(shared.weights()), shared.threads) {
        let tap = chunk * shared.taps + index / shared.vectors;
        let vector = part.group * shared.vectors + index % shared.vectors;
        let mut value = Vector::<f32, Const<4>>::new(0.0);
        if tap < part.end * shared.taps && vector < all {
            value = Vector::cast_from(weight[tap * all + vector]);
        }
        weights[index] = value;
    }
}
