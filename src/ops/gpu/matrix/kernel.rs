//! The kernel: the text of its shader, filled in.

use cubecl::ir::metadata::Info;
use cubecl::ir::settings::{Dim3, KernelSettings};
use cubecl::ir::{AddressType, ElemType, Scope, UIntKind};
use cubecl::prelude::*;
use cubecl::{CubeKernel, PrecompiledSource};
use serde::Serialize;

use super::super::LANES;
use super::tile::{Form, Plan, Tile};

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

pub(super) fn wgsl(x: f32) -> String {
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
        let text = include_str!("../../../../shaders/matrix.wgsl.jinja");
        minijinja::Environment::new().render_str(text, minijinja::value::Serde(blanks))
    }

    fn threads(&self) -> Dim3 {
        CubeDim::new_1d(self.tile.threads() as u32).0
    }
}

impl KernelMetadata for Kernel {
    fn id(&self) -> KernelId {
        // Nothing is read beyond its end, so loops need no guards.
        KernelId::new::<Self>().info(self.clone()).cube_dim(self.threads()).mode(ExecutionMode::Unchecked)
    }

    fn address_type(&self) -> ElemType {
        UIntKind::U32.into()
    }
}

impl CubeKernel for Kernel {
    /// Empty: the text stands in for what would be compiled from it.
    fn define(&self) -> KernelDefinition {
        let settings = KernelSettings::new(self.threads(), ExecutionMode::Unchecked, AddressType::U32);
        KernelDefinition { body: Scope::root(settings.clone()), settings, info: Info::default() }
    }

    fn source(&self) -> Option<PrecompiledSource> {
        let source = self.text().expect("the template is checked by a test, and so are its blanks");
        Some(PrecompiledSource { source, entrypoint_name: "main".into(), lang: "wgsl" })
    }
}
