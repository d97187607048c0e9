//! What a workgroup makes on matrix units, and what it needs for that.

use std::fmt;

use half::f16;

use super::super::LANES;

/// What a device has to offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatrixUnits {
    /// Of the square matrices.
    pub(super) side: usize,
    /// Threads that share a matrix, at most.
    pub(super) plane: usize,
    /// Shared memory of a workgroup, in bytes, and its threads, at most.
    pub(super) shared_bytes: usize,
    pub(super) threads: usize,
}

impl MatrixUnits {
    /// `None` if the device lacks products of f16 that are summed in f32, or wgpu does not know their shape.
    pub fn of(adapter: &wgpu::Adapter, device: &wgpu::Device) -> Option<Self> {
        let needed =
            wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP;
        let (info, limits) = (adapter.get_info(), device.limits());
        let products = adapter.cooperative_matrix_properties();
        let sides = products.iter().filter_map(|product| {
            let side = product.m_size;
            let halves = [product.ab_type, product.cr_type]
                == [wgpu::CooperativeScalarType::F16, wgpu::CooperativeScalarType::F32];
            (halves && [product.n_size, product.k_size] == [side, side]).then_some(side as usize)
        });
        let side = sides.max().filter(|_| device.features().contains(needed))?;
        Some(MatrixUnits {
            side,
            plane: info.subgroup_max_size as usize,
            shared_bytes: limits.max_compute_workgroup_storage_size as usize,
            threads: limits.max_compute_invocations_per_workgroup as usize,
        })
    }
}

/// Which convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// Stride 1, with a 1x1 or 3x3 kernel.
    Same,
    /// 3x3 that doubles the size, and the filter [1,3,3,1] x [1,3,3,1] / 16, whose factor 1/16 is in the weights.
    Filtered,
    /// 4x4 with padding 1 that doubles the size.
    Transposed,
}

impl Form {
    /// In the text of the shader.
    pub(super) fn name(self) -> &'static str {
        match self {
            Form::Same => "same",
            Form::Filtered => "filtered",
            Form::Transposed => "transposed",
        }
    }
}

/// What one workgroup does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MatrixPlan {
    pub(super) outputs: usize,
    /// Input pixels whose results are made: an even number of rows, and a width that is a multiple of four.
    pub(super) height: usize,
    pub(super) width: usize,
    /// Planes that divide the output channels, and the pixels.
    pub(super) planes: [usize; 2],
    /// Input channels in shared memory.
    pub(super) inputs: usize,
}

/// Plans to choose from and to measure for kernels that keep the size. On an H200 the last is the fastest for StyleGAN2's layers
/// from 64 to 256 pixels (130 TFLOP/s), the one before it for those of 64 channels, the third up to 32 pixels.
pub(crate) const SAME: [MatrixPlan; 6] = [
    MatrixPlan { outputs: 32, height: 8, width: 8, planes: [2, 2], inputs: 32 },
    MatrixPlan { outputs: 32, height: 8, width: 16, planes: [1, 4], inputs: 32 },
    MatrixPlan { outputs: 64, height: 8, width: 16, planes: [2, 2], inputs: 16 },
    MatrixPlan { outputs: 64, height: 8, width: 16, planes: [2, 2], inputs: 32 },
    MatrixPlan { outputs: 64, height: 8, width: 16, planes: [2, 4], inputs: 16 },
    MatrixPlan { outputs: 128, height: 8, width: 16, planes: [4, 2], inputs: 16 },
];

/// The same for those that double it. On an H200 the fourth is within 5 % of the fastest from 32 to 256 pixels, the
/// second is the fastest below.
pub(crate) const DOUBLING: [MatrixPlan; 5] = [
    MatrixPlan { outputs: 16, height: 4, width: 8, planes: [1, 8], inputs: 16 },
    MatrixPlan { outputs: 16, height: 8, width: 8, planes: [1, 4], inputs: 32 },
    MatrixPlan { outputs: 16, height: 8, width: 16, planes: [1, 8], inputs: 16 },
    MatrixPlan { outputs: 16, height: 8, width: 16, planes: [1, 8], inputs: 32 },
    MatrixPlan { outputs: 16, height: 8, width: 16, planes: [1, 7], inputs: 16 },
];

impl fmt::Display for MatrixPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MatrixPlan { outputs, height, width, planes: [over_outputs, over_pixels], inputs } = self;
        write!(f, "matrices {outputs}/{over_outputs} x {height} x {width}/{over_pixels}, inputs {inputs}")
    }
}

/// A plan for one form of convolution on one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MatrixTile {
    pub(super) form: Form,
    /// Side of the kernel.
    pub(super) kernel: usize,
    pub(super) plan: MatrixPlan,
    pub(super) units: MatrixUnits,
}

impl MatrixTile {
    /// `None` if the device is too small for the plan.
    pub(super) fn new(form: Form, kernel: usize, plan: MatrixPlan, units: MatrixUnits) -> Option<Self> {
        let tile = MatrixTile { form, kernel, plan, units };
        // More sums than this leave a thread's registers.
        const REGISTERS: usize = 128;
        let sums = tile.own_outputs() * tile.phases() * tile.own_fragments();
        let divides =
            plan.outputs.is_multiple_of(units.side * plan.planes[0]) && plan.inputs.is_multiple_of(units.side);
        let bytes = size_of::<f16>() * tile.pixels() * tile.pixel() + size_of::<f32>() * tile.sums();
        (divides
            && sums * units.side * units.side <= REGISTERS * units.plane
            && bytes <= units.shared_bytes
            && tile.threads() <= units.threads)
            .then_some(tile)
    }

    /// The best plan that the device is large enough for, as an H200 has shown them; small planes need the first of each.
    pub(super) fn choose(form: Form, kernel: usize, outputs: usize, side: usize, units: MatrixUnits) -> Option<Self> {
        let plans = match (form, side, outputs) {
            (Form::Same, ..=8, _) => vec![SAME[0]],
            (Form::Same, _, ..=32) => vec![SAME[1], SAME[0]],
            (Form::Same, ..=32, _) => vec![SAME[2], SAME[0]],
            (Form::Same, _, ..=64) => vec![SAME[4], SAME[2], SAME[0]],
            (Form::Same, ..) => vec![SAME[5], SAME[2], SAME[0]],
            (_, ..=16, _) => vec![DOUBLING[1], DOUBLING[0]],
            _ => vec![DOUBLING[3], DOUBLING[2], DOUBLING[0]],
        };
        plans.into_iter().find_map(|plan| MatrixTile::new(form, kernel, plan, units))
    }

    /// Workgroups along the columns, the rows, and the output channels of all samples.
    pub(super) fn grid(&self, [samples, outputs, height, width]: [usize; 4]) -> [usize; 3] {
        let MatrixPlan { outputs: own, height: rows, width: columns, .. } = self.plan;
        [width.div_ceil(columns), height.div_ceil(rows), outputs.div_ceil(own) * samples]
    }

    pub(super) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    pub(super) fn threads(&self) -> usize {
        self.plan.planes[0] * self.plan.planes[1] * self.units.plane
    }

    /// How much higher and wider the result is.
    pub(super) fn scale(&self) -> usize {
        if self.form == Form::Same { 1 } else { 2 }
    }

    /// Results of a position, one or a block of 2x2, which are summed apart.
    pub(super) fn phases(&self) -> usize {
        self.scale() * self.scale()
    }

    /// Positions around the tile that the filter needs.
    pub(super) fn halo(&self) -> usize {
        usize::from(self.form == Form::Filtered)
    }

    /// Side of the square of pixels that a position reads, and how many rows and columns earlier than the tile they begin.
    pub(super) fn window(&self) -> usize {
        if self.form == Form::Same { self.kernel } else { self.kernel - 1 }
    }

    pub(super) fn before(&self) -> usize {
        if self.form == Form::Same { self.kernel / 2 } else { self.halo() + 1 }
    }

    /// The phase that row (or column) `k` of the kernel adds to, and the pixel of the window that it reads.
    pub(super) fn reach(&self, k: usize) -> (usize, usize) {
        if self.form == Form::Same {
            return (0, k);
        }
        // Output 2y + k - padding takes input y.
        let padding = self.kernel - 3;
        let parity = (k + padding) % 2;
        (parity, (2 + padding + parity - k) / 2)
    }

    pub(super) fn rows(&self) -> usize {
        self.plan.height + 2 * self.halo()
    }

    pub(super) fn columns(&self) -> usize {
        self.plan.width + 2 * self.halo()
    }

    /// True if matrices end where rows of positions do.
    pub(super) fn is_aligned(&self) -> bool {
        self.columns().is_multiple_of(self.units.side)
    }

    /// Pixels from one row to the next.
    pub(super) fn row(&self) -> usize {
        let row = self.columns() + self.window() - 1;
        if self.is_aligned() { row } else { row.next_multiple_of(LANES) }
    }

    /// Positions from one row to the next.
    pub(super) fn map_row(&self) -> usize {
        if self.is_aligned() { self.columns() } else { self.row() }
    }

    /// Matrices of positions.
    pub(super) fn fragments(&self) -> usize {
        ((self.rows() - 1) * self.map_row() + self.columns()).div_ceil(self.units.side)
    }

    /// Those of one plane.
    pub(super) fn own_fragments(&self) -> usize {
        self.fragments().div_ceil(self.plan.planes[1])
    }

    /// Matrices of output channels of one plane.
    pub(super) fn own_outputs(&self) -> usize {
        self.plan.outputs / self.units.side / self.plan.planes[0]
    }

    /// Pixels that are copied to shared memory.
    pub(super) fn copied(&self) -> usize {
        (self.rows() + self.window() - 1) * self.row()
    }

    /// Pixels that have room there: matrices of positions may run on over the last row.
    pub(super) fn pixels(&self) -> usize {
        let reach = self.fragments() * self.units.side + (self.window() - 1) * (self.row() + 1);
        if self.is_aligned() { self.copied() } else { reach.max(self.copied()) }
    }

    /// Numbers from one pixel to the next: 16 bytes more than there are channels, so that neighbours lie in other banks.
    pub(super) fn pixel(&self) -> usize {
        self.plan.inputs + 8
    }

    /// Sums from one channel to the next: reads of four may run on over the last row, and neighbours lie in other banks.
    pub(super) fn map(&self) -> usize {
        let read = (self.rows() - 1) * self.map_row() + self.plan.width + LANES;
        (self.fragments() * self.units.side).max(read).next_multiple_of(LANES) + LANES
    }

    /// Sums that are in shared memory at once.
    pub(super) fn sums(&self) -> usize {
        let channels = match self.form {
            Form::Same => self.plan.planes[0] * self.units.side,
            Form::Filtered => self.plan.outputs,
            Form::Transposed => 2 * self.plan.outputs,
        };
        channels * self.map()
    }
}
