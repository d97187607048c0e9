//! Convolutions on a GPU's matrix units ("cooperative matrices"), for maps and weights in f16.
//!
//! A plane of threads (subgroup) multiplies matrices of 16x16 or 8x8 at once: weights `[outputs, inputs]` of one tap with
//! pixels `[inputs, positions]`. Pixels lie in shared memory with their channels side by side, so the pixels of another tap
//! are the same matrix from another start; where a row of the tile is no multiple of the matrix, positions are counted on
//! over its end, and what the matrices find there becomes sums that nobody reads. Sums are f32; in shared memory the threads
//! take them over, filter where the convolution ends in a filter, finish and write them.
//!
//! cubecl writes no such matrices for wgpu's own compiler, so the kernel is WGSL text, filled in for each shape.

use std::fmt;

use burn::tensor::{DType, Tensor, TensorData};
use burn_wgpu::CubeTensor;
use cubecl::ir::metadata::Info;
use cubecl::ir::settings::{Dim3, KernelSettings};
use cubecl::ir::{AddressType, ElemType, Scope, UIntKind};
use cubecl::prelude::*;
use cubecl::server::KernelArguments;
use cubecl::{CubeKernel, PrecompiledSource};
use half::f16;
use serde::Serialize;

use super::epilogue::{Epilogue, add_shares};
use super::{Conv, LANES, fresh, into_tensor, primitive, shares};
use crate::ops::{After, Place, stored_as};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Form {
    /// Stride 1, with a 1x1 or 3x3 kernel.
    Same,
    /// 3x3 that doubles the size, and the filter [1,3,3,1] x [1,3,3,1] / 16, whose factor 1/16 is in the weights.
    Filtered,
    /// 4x4 with padding 1 that doubles the size.
    Transposed,
}

/// What one workgroup does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Plan {
    pub(super) outputs: usize,
    /// Input pixels whose results are made: an even number of rows, and a width that is a multiple of four.
    pub(super) height: usize,
    pub(super) width: usize,
    /// Planes that divide the output channels, and the pixels.
    pub(super) planes: [usize; 2],
    /// Input channels in shared memory.
    pub(super) inputs: usize,
}

/// Plans to choose from and to measure for kernels that keep the size. Not measured on a GPU yet.
pub(crate) const SAME: [Plan; 6] = [
    Plan { outputs: 32, height: 8, width: 8, planes: [2, 2], inputs: 32 },
    Plan { outputs: 32, height: 8, width: 16, planes: [1, 4], inputs: 32 },
    Plan { outputs: 64, height: 8, width: 16, planes: [2, 2], inputs: 16 },
    Plan { outputs: 64, height: 8, width: 16, planes: [2, 2], inputs: 32 },
    Plan { outputs: 64, height: 8, width: 16, planes: [2, 4], inputs: 16 },
    Plan { outputs: 128, height: 8, width: 16, planes: [4, 2], inputs: 16 },
];

/// The same for those that double it.
pub(crate) const DOUBLING: [Plan; 4] = [
    Plan { outputs: 16, height: 8, width: 8, planes: [1, 4], inputs: 32 },
    Plan { outputs: 16, height: 8, width: 16, planes: [1, 4], inputs: 16 },
    Plan { outputs: 16, height: 8, width: 16, planes: [1, 7], inputs: 16 },
    Plan { outputs: 16, height: 8, width: 16, planes: [1, 8], inputs: 32 },
];

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { outputs, height, width, planes: [over_outputs, over_pixels], inputs } = self;
        write!(f, "matrices {outputs}/{over_outputs} x {height} x {width}/{over_pixels}, inputs {inputs}")
    }
}

/// A plan for one form of convolution on one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tile {
    form: Form,
    /// Side of the kernel.
    kernel: usize,
    plan: Plan,
    units: MatrixUnits,
}

impl Tile {
    /// `None` if the device is too small for the plan.
    pub(super) fn new(form: Form, kernel: usize, plan: Plan, units: MatrixUnits) -> Option<Self> {
        let tile = Tile { form, kernel, plan, units };
        let divides =
            plan.outputs.is_multiple_of(units.side * plan.planes[0]) && plan.inputs.is_multiple_of(units.side);
        let bytes = size_of::<f16>() * tile.pixels() * tile.pixel() + size_of::<f32>() * tile.sums();
        (divides && bytes <= units.shared_bytes && tile.threads() <= units.threads).then_some(tile)
    }

    fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    fn threads(&self) -> usize {
        self.plan.planes[0] * self.plan.planes[1] * self.units.plane
    }

    /// How much higher and wider the result is.
    fn scale(&self) -> usize {
        if self.form == Form::Same { 1 } else { 2 }
    }

    /// Results of a position, one or a block of 2x2, which are summed apart.
    fn phases(&self) -> usize {
        self.scale() * self.scale()
    }

    /// Positions around the tile that the filter needs.
    fn halo(&self) -> usize {
        usize::from(self.form == Form::Filtered)
    }

    /// Side of the square of pixels that a position reads, and how many rows and columns earlier than the tile they begin.
    fn window(&self) -> usize {
        if self.form == Form::Same { self.kernel } else { self.kernel - 1 }
    }

    fn before(&self) -> usize {
        if self.form == Form::Same { self.kernel / 2 } else { self.halo() + 1 }
    }

    /// The phase that row (or column) `k` of the kernel adds to, and the pixel of the window that it reads.
    fn reach(&self, k: usize) -> (usize, usize) {
        if self.form == Form::Same {
            return (0, k);
        }
        // Output 2y + k - padding takes input y.
        let padding = self.kernel - 3;
        let parity = (k + padding) % 2;
        (parity, (2 + padding + parity - k) / 2)
    }

    fn rows(&self) -> usize {
        self.plan.height + 2 * self.halo()
    }

    fn columns(&self) -> usize {
        self.plan.width + 2 * self.halo()
    }

    /// True if matrices end where rows of positions do.
    fn is_aligned(&self) -> bool {
        self.columns().is_multiple_of(self.units.side)
    }

    /// Pixels from one row to the next.
    fn row(&self) -> usize {
        let row = self.columns() + self.window() - 1;
        if self.is_aligned() { row } else { row.next_multiple_of(LANES) }
    }

    /// Positions from one row to the next.
    fn map_row(&self) -> usize {
        if self.is_aligned() { self.columns() } else { self.row() }
    }

    /// Matrices of positions.
    fn fragments(&self) -> usize {
        ((self.rows() - 1) * self.map_row() + self.columns()).div_ceil(self.units.side)
    }

    /// Those of one plane.
    fn own_fragments(&self) -> usize {
        self.fragments().div_ceil(self.plan.planes[1])
    }

    /// Matrices of output channels of one plane.
    fn own_outputs(&self) -> usize {
        self.plan.outputs / self.units.side / self.plan.planes[0]
    }

    /// Pixels that are copied to shared memory.
    fn copied(&self) -> usize {
        (self.rows() + self.window() - 1) * self.row()
    }

    /// Pixels that have room there: matrices of positions may run on over the last row.
    fn pixels(&self) -> usize {
        let reach = self.fragments() * self.units.side + (self.window() - 1) * (self.row() + 1);
        if self.is_aligned() { self.copied() } else { reach.max(self.copied()) }
    }

    /// Numbers from one pixel to the next: 16 bytes more than there are channels, so that neighbours lie in other banks.
    fn pixel(&self) -> usize {
        self.plan.inputs + 8
    }

    /// Sums from one channel to the next: reads of four may run on over the last row, and neighbours lie in other banks.
    fn map(&self) -> usize {
        let read = (self.rows() - 1) * self.map_row() + self.plan.width + LANES;
        (self.fragments() * self.units.side).max(read).next_multiple_of(LANES) + LANES
    }

    /// Sums that are in shared memory at once.
    fn sums(&self) -> usize {
        let channels = match self.form {
            Form::Same => self.plan.planes[0] * self.units.side,
            Form::Filtered => self.plan.outputs,
            Form::Transposed => 2 * self.plan.outputs,
        };
        channels * self.map()
    }
}

/// All that tells one kernel from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kernel {
    pub(super) tile: Tile,
    pub(super) samples: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) share: usize,
    pub(super) is_half: bool,
    /// Optional operands, in the order of their bindings.
    pub(super) operands: Vec<&'static str>,
    /// As WGSL writes them.
    pub(super) slope: Option<String>,
    pub(super) clamp: Option<String>,
}

/// What the text of the shader leaves open; see there.
#[derive(Serialize)]
struct Blanks<'a> {
    form: Form,
    side: usize,
    inputs: usize,
    outputs: usize,
    height: usize,
    width: usize,
    result_height: usize,
    result_width: usize,
    samples: usize,
    share: usize,
    turn: usize,
    tile_outputs: usize,
    tile_height: usize,
    tile_width: usize,
    threads: usize,
    planes_outputs: usize,
    planes_positions: usize,
    fragments: usize,
    own_fragments: usize,
    own_outputs: usize,
    /// 0 if they run on over the ends of rows.
    fragments_per_row: usize,
    phases: usize,
    copied: usize,
    row: usize,
    before: usize,
    pixel: usize,
    map_row: usize,
    map: usize,
    /// Vectors in shared memory.
    pixels: usize,
    sums: usize,
    groups: usize,
    input_blocks: usize,
    output_blocks: usize,
    bindings: Vec<Binding<'a>>,
    shifts: Vec<Shift>,
    /// Of the filter, for each parity of the map's rows.
    filter_rows: [Vec<Line>; 2],
    /// Blocks of results that a thread filters.
    items: usize,
    result: &'static str,
    style: bool,
    scale: bool,
    bias: bool,
    noise: bool,
    slope: &'a Option<String>,
    clamp: &'a Option<String>,
}

#[derive(Serialize)]
struct Binding<'a> {
    name: &'a str,
    r#type: String,
}

/// The taps that read the same pixel of the window.
#[derive(Serialize)]
struct Shift {
    offset: usize,
    taps: Vec<Tap>,
}

#[derive(Serialize)]
struct Tap {
    tap: usize,
    phase: usize,
}

/// A row of sums, and the rows of results that it adds to.
#[derive(Serialize)]
struct Line {
    row: usize,
    taps: Vec<FilterTap>,
}

#[derive(Serialize)]
struct FilterTap {
    row: usize,
    factor: String,
}

/// Rows of the map of one parity among those that four rows of results need, which are the map's rows 1 to 7, counted from the
/// first row of positions.
fn filter_rows(parity: usize) -> Vec<Line> {
    const TAPS: [f32; 4] = [1.0, 3.0, 3.0, 1.0];
    let rows = (1..8).filter(|row| row % 2 == parity);
    let line = |row: usize| {
        let reached = (0..4).filter_map(|result| Some((result, *TAPS.get((row - 1).checked_sub(result)?)?)));
        let taps = reached.map(|(row, factor)| FilterTap { row, factor: wgsl(factor) }).collect();
        Line { row: row / 2, taps }
    };
    rows.map(line).collect()
}

fn wgsl(x: f32) -> String {
    format!("{x:?}f")
}

impl Kernel {
    pub(super) fn text(&self) -> Result<String, minijinja::Error> {
        let Kernel { tile, .. } = self;
        let (scale, result_type) = (tile.scale(), if self.is_half { "f16" } else { "f32" });
        let result_width = scale * self.width;
        let result_vector =
            if result_width.is_multiple_of(LANES) { format!("vec4<{result_type}>") } else { result_type.into() };
        let mut bindings = vec![
            Binding { name: "maps", r#type: "f16".into() },
            Binding { name: "weight", r#type: "vec4<f16>".into() },
            Binding { name: "out", r#type: result_vector },
        ];
        bindings.extend(self.operands.iter().map(|name| Binding { name, r#type: "f32".into() }));
        let window = tile.window();
        let shifts = (0..window * window).map(|shift| {
            let (y, x) = (shift / window, shift % window);
            let taps = (0..tile.taps()).filter_map(|tap| {
                let ((odd_y, from_y), (odd_x, from_x)) = (tile.reach(tap / tile.kernel), tile.reach(tap % tile.kernel));
                ([from_y, from_x] == [y, x]).then_some(Tap { tap, phase: 2 * odd_y + odd_x })
            });
            Shift { offset: y * tile.row() + x, taps: taps.collect() }
        });
        let Plan { outputs, height, width, planes, inputs } = tile.plan;
        let blocks = outputs * (height / 2) * (width / LANES);
        let has = |name| self.operands.contains(&name);
        let blanks = Blanks {
            form: tile.form,
            side: tile.units.side,
            inputs: self.inputs,
            outputs: self.outputs,
            height: self.height,
            width: self.width,
            result_height: scale * self.height,
            result_width,
            samples: self.samples,
            share: self.share,
            turn: inputs,
            tile_outputs: outputs,
            tile_height: height,
            tile_width: width,
            threads: tile.threads(),
            planes_outputs: planes[0],
            planes_positions: planes[1],
            fragments: tile.fragments(),
            own_fragments: tile.own_fragments(),
            own_outputs: tile.own_outputs(),
            fragments_per_row: if tile.is_aligned() { tile.columns() / tile.units.side } else { 0 },
            phases: tile.phases(),
            copied: tile.copied(),
            row: tile.row(),
            before: tile.before(),
            pixel: tile.pixel() / LANES,
            map_row: tile.map_row(),
            map: tile.map(),
            pixels: tile.pixels() * tile.pixel() / LANES,
            sums: tile.sums() / LANES,
            groups: self.outputs.div_ceil(outputs),
            input_blocks: self.inputs.next_multiple_of(inputs) / tile.units.side,
            output_blocks: self.outputs.next_multiple_of(outputs) / tile.units.side,
            bindings,
            shifts: shifts.collect(),
            filter_rows: [filter_rows(0), filter_rows(1)],
            items: blocks.div_ceil(tile.threads()),
            result: result_type,
            style: has("style"),
            scale: has("scale"),
            bias: has("bias"),
            noise: has("noise"),
            slope: &self.slope,
            clamp: &self.clamp,
        };
        let text = include_str!("../../../shaders/matrix.wgsl.jinja");
        minijinja::Environment::new().render_str(text, minijinja::value::Serde(blanks))
    }

    fn threads(&self) -> Dim3 {
        CubeDim::new_1d(self.tile.threads() as u32).0
    }
}

impl KernelMetadata for Kernel {
    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(self.clone()).cube_dim(self.threads())
    }

    fn address_type(&self) -> ElemType {
        UIntKind::U32.into()
    }
}

impl CubeKernel for Kernel {
    /// Empty: the text stands in for what would be compiled from it.
    fn define(&self) -> KernelDefinition {
        let settings = KernelSettings::new(self.threads(), ExecutionMode::Checked, AddressType::U32);
        KernelDefinition { body: Scope::root(settings.clone()), settings, info: Info::default() }
    }

    fn source(&self) -> Option<PrecompiledSource> {
        let source = self.text().expect("the template is checked by a test, and so are its blanks");
        Some(PrecompiledSource { source, entrypoint_name: "main".into(), lang: "wgsl" })
    }
}

/// The weights of a convolution, as matrices `[outputs, inputs]`, column by column: `[taps, inputs / side, outputs / side]` of
/// them, filled up with zeros to multiples of the plan's channels.
pub(crate) struct MatrixConv {
    weight: Tensor<1>,
    inputs: usize,
    outputs: usize,
    tile: Tile,
}

impl MatrixConv {
    /// `weight` is `[outputs, inputs, k, k]`, row-major, with k 1 or 3. `None` where the kernels without matrix units do
    /// better or are needed, as for all constructors here.
    pub(crate) fn same(weight: &[f32], shape: [usize; 3], side: usize, place: &Place) -> Option<Self> {
        let plan = match (side, shape[0]) {
            (..=8, _) => SAME[0],
            (_, ..=32) => SAME[1],
            _ => SAME[2],
        };
        Self::is_worthwhile([shape[1], shape[0]], side, place).then(|| Self::same_by(plan, weight, shape, place))?
    }

    /// 3x3 and the filter; `weight` is `[outputs, inputs, 3, 3]`, row-major, not flipped.
    pub(crate) fn filtered(weight: &[f32], shape: [usize; 2], side: usize, place: &Place) -> Option<Self> {
        let plan = if side <= 8 { DOUBLING[0] } else { DOUBLING[1] };
        Self::is_worthwhile(shape, side, place).then(|| Self::filtered_by(plan, weight, shape, place))?
    }

    /// 4x4; `weight` is `[inputs, outputs, 4, 4]`, row-major.
    pub(crate) fn transposed(weight: &[f32], shape: [usize; 2], side: usize, place: &Place) -> Option<Self> {
        let plan = if side <= 8 { DOUBLING[0] } else { DOUBLING[1] };
        Self::is_worthwhile(shape, side, place).then(|| Self::transposed_by(plan, weight, shape, place))?
    }

    pub(crate) fn same_by(plan: Plan, weight: &[f32], shape: [usize; 3], place: &Place) -> Option<Self> {
        let [_, inputs, k] = shape;
        Self::new(Form::Same, plan, shape, place, |o, i, tap| weight[(o * inputs + i) * k * k + tap])
    }

    pub(crate) fn filtered_by(plan: Plan, weight: &[f32], shape: [usize; 2], place: &Place) -> Option<Self> {
        let [outputs, inputs] = shape;
        let at = |o, i, tap| weight[(o * inputs + i) * 9 + tap] / 16.0;
        Self::new(Form::Filtered, plan, [outputs, inputs, 3], place, at)
    }

    pub(super) fn transposed_by(plan: Plan, weight: &[f32], shape: [usize; 2], place: &Place) -> Option<Self> {
        let [inputs, outputs] = shape;
        let at = |o, i, tap| weight[(i * outputs + o) * 16 + tap];
        Self::new(Form::Transposed, plan, [outputs, inputs, 4], place, at)
    }

    /// Tiny pictures and few channels fill no matrices.
    fn is_worthwhile(channels: [usize; 2], side: usize, place: &Place) -> bool {
        place.matrix_units().is_some_and(|units| side >= 8 && channels.iter().all(|&count| count >= units.side))
    }

    /// `weight(o, i, tap)` is the factor of input `i` at `tap` for output `o`.
    fn new(
        form: Form,
        plan: Plan,
        [outputs, inputs, kernel]: [usize; 3],
        place: &Place,
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Option<Self> {
        let units = place.matrix_units()?;
        let tile = Tile::new(form, kernel, plan, units)?;
        // The kernel reads four channels at a time.
        if !inputs.is_multiple_of(LANES) {
            return None;
        }
        let side = units.side;
        let (blocks, output_blocks) =
            (inputs.next_multiple_of(plan.inputs) / side, outputs.next_multiple_of(plan.outputs) / side);
        let largest = f16::MAX.to_f32();
        let mut values = vec![0.0; tile.taps() * blocks * output_blocks * side * side];
        for (index, column) in values.chunks_exact_mut(side).enumerate() {
            let (matrix, i) = (index / side, index % side);
            let (tap, block, output_block) =
                (matrix / (blocks * output_blocks), matrix / output_blocks % blocks, matrix % output_blocks);
            let (first_output, input) = (output_block * side, block * side + i);
            for (o, to) in column.iter_mut().enumerate() {
                if first_output + o < outputs && input < inputs {
                    *to = weight(first_output + o, input, tap).clamp(-largest, largest);
                }
            }
        }
        let count = values.len();
        let weight = Tensor::from_data(TensorData::new(values, [count]), (&**place, DType::F16));
        Some(MatrixConv { weight, inputs, outputs, tile })
    }

    /// x `[N, inputs, h, w]`, style `[N, inputs]` -> `[N, outputs, h, w]` or `[N, outputs, 2h, 2w]`
    pub(crate) fn forward(&self, x: Tensor<4>, style: Option<Tensor<2>>, after: &After) -> Tensor<4> {
        let [n, _, height, width] = x.dims();
        let Plan { outputs, height: rows, width: columns, inputs, .. } = self.tile.plan;
        let workgroups = n * height.div_ceil(rows) * width.div_ceil(columns) * self.outputs.div_ceil(outputs);
        self.forward_by(shares(workgroups, self.inputs / inputs), x, style, after)
    }

    /// The same with the input channels cut into `shares`.
    pub(crate) fn forward_by(&self, shares: usize, x: Tensor<4>, style: Option<Tensor<2>>, after: &After) -> Tensor<4> {
        let MatrixConv { inputs, outputs, tile, .. } = *self;
        let [n, channels, height, width] = x.dims();
        assert_eq!(channels, inputs, "channels of the input");
        assert!(style.as_ref().is_none_or(|style| style.dims() == [n, inputs]), "styles");
        let share = inputs.div_ceil(shares).next_multiple_of(tile.plan.inputs);
        let shares = inputs.div_ceil(share);
        let x = primitive(stored_as(x, DType::F16));
        let shape = [shares * n, outputs, tile.scale() * height, tile.scale() * width];
        let result = if after.is_picture { DType::F32 } else { DType::F16 };
        let parts = fresh(&x, shape, if shares == 1 { result } else { DType::F32 });
        let now = if shares == 1 { after } else { &After::default() };
        Epilogue::check(now, shape);
        let optional: [(&str, Option<CubeTensor>); 4] = [
            ("style", style.map(primitive)),
            ("scale", now.scale.clone().map(primitive)),
            ("bias", now.bias.clone().map(primitive)),
            ("noise", now.noise.clone().map(primitive)),
        ];
        let (operands, optional): (Vec<_>, Vec<_>) =
            optional.into_iter().filter_map(|(name, tensor)| Some((name, tensor?))).unzip();
        let limit = match parts.dtype {
            DType::F16 => Some(now.clamp.unwrap_or(f32::MAX).min(f16::MAX.to_f32())),
            _ => now.clamp,
        };
        let kernel = Kernel {
            tile,
            samples: n,
            inputs,
            outputs,
            height,
            width,
            share,
            is_half: parts.dtype == DType::F16,
            operands,
            slope: now.slope.map(wgsl),
            clamp: limit.map(wgsl),
        };
        let Plan { outputs: tile_outputs, height: tile_height, width: tile_width, .. } = tile.plan;
        let count = CubeCount::Static(
            width.div_ceil(tile_width) as u32,
            height.div_ceil(tile_height) as u32,
            (outputs.div_ceil(tile_outputs) * n * shares) as u32,
        );
        let client = x.client.clone();
        let buffers = [x, primitive(self.weight.clone()), parts.clone()].into_iter().chain(optional);
        let buffers = buffers.map(|tensor| tensor.handle.binding()).collect();
        client.launch(Box::new(kernel), count, KernelArguments::new().with_buffers(buffers));
        into_tensor(if shares == 1 { parts } else { add_shares(parts, result, shares, after) })
    }
}

/// Whether a convolution on the matrix units of `place` is what it is without them.
pub(crate) fn are_right(place: &Place) -> bool {
    const CHANNELS: usize = 32;
    const SIDE: usize = 16;
    let numbers = |count| (0..count).map(|i: usize| ((i * 6007) % 997) as f32 / 498.5 - 1.0).collect::<Vec<_>>();
    let (weight, shape) = (numbers(9 * CHANNELS * CHANNELS), [CHANNELS, CHANNELS, 3]);
    let values = |x: Tensor<4>| x.cast(DType::F32).into_data().try_into_vec::<f32>().ok();
    let check = || {
        let x = TensorData::new(numbers(CHANNELS * SIDE * SIDE), [1, CHANNELS, SIDE, SIDE]);
        let x = Tensor::from_data(x, (&**place, DType::F16));
        let found = values(MatrixConv::same(&weight, shape, SIDE, place)?.forward(x.clone(), None, &After::default()))?;
        let expected = values(Conv::new(&weight, shape, place).forward(x, None, &After::default()))?;
        let largest = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        Some(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 2e-3 * largest))
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).ok().flatten().unwrap_or(false)
}
