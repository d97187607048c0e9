//! The kernel: the text of its shader, filled in.

use cubecl::ir::metadata::Info;
use cubecl::ir::settings::{Dim3, KernelSettings};
use cubecl::ir::{AddressType, ElemType, Scope, UIntKind};
use cubecl::prelude::*;
use cubecl::{CubeKernel, PrecompiledSource};
use minijinja::{Value, context};

use super::super::LANES;
use super::tile::{MatrixPlan, MatrixTile};

/// All that tells one kernel from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kernel {
    pub(super) tile: MatrixTile,
    pub(super) samples: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) share: usize,
    pub(super) is_half: bool,
    /// Optional operands, in the order of their bindings.
    pub(super) operands: Vec<&'static str>,
    /// Each sample has noise of its own.
    pub(super) has_own_noise: bool,
    /// As WGSL writes them.
    pub(super) slope: Option<String>,
    pub(super) clamp: Option<String>,
    /// Bits of the smallest number, less its sign, that is kept as it is: NaNs where the network clamps, infinities as well
    /// where it does not.
    pub(super) kept: &'static str,
}

/// Rows of the map of one parity among those that four rows of results need, which are the map's rows 1 to 7, counted from the
/// first row of positions.
fn filter_rows(parity: usize) -> Vec<Value> {
    const TAPS: [f32; 4] = [1.0, 3.0, 3.0, 1.0];
    let line = |row: usize| {
        let reached = (0..4).filter_map(|result| Some((result, *TAPS.get((row - 1).checked_sub(result)?)?)));
        let taps: Vec<_> = reached.map(|(row, factor)| context! { row, factor => wgsl(factor) }).collect();
        context! { row => row / 2, taps }
    };
    (1..8).filter(|row| row % 2 == parity).map(line).collect()
}

pub(super) fn wgsl(x: f32) -> String {
    format!("{x:?}f")
}

impl Kernel {
    /// The shader with its blanks filled in; what they mean is said there.
    pub(super) fn text(&self) -> Result<String, minijinja::Error> {
        let tile = &self.tile;
        let MatrixPlan { outputs: tile_outputs, height: tile_height, width: tile_width, planes, inputs: turn } =
            tile.plan;
        let (side, scale, result) = (tile.units.side, tile.scale(), if self.is_half { "f16" } else { "f32" });
        let result_width = scale * self.width;
        let result_vector = if result_width.is_multiple_of(LANES) { format!("vec4<{result}>") } else { result.into() };
        let bindings = [("maps", "f16"), ("weight", "vec4<f16>"), ("out", &result_vector)];
        let bindings = bindings.into_iter().chain(self.operands.iter().map(|&name| (name, "f32")));
        let window = tile.window();
        let shifts = (0..window * window).map(|shift| {
            let (y, x) = (shift / window, shift % window);
            let taps = (0..tile.taps()).filter_map(|tap| {
                let ((odd_y, from_y), (odd_x, from_x)) = (tile.reach(tap / tile.kernel), tile.reach(tap % tile.kernel));
                ([from_y, from_x] == [y, x]).then(|| context! { tap, phase => 2 * odd_y + odd_x })
            });
            context! { offset => y * tile.row() + x, taps => taps.collect::<Vec<_>>() }
        });
        let blocks = tile_outputs * (tile_height / 2) * (tile_width / LANES);
        let has = |name| self.operands.contains(&name);
        let blanks = context! {
            form => tile.form.name(),
            side,
            inputs => self.inputs,
            outputs => self.outputs,
            height => self.height,
            width => self.width,
            result_height => scale * self.height,
            result_width,
            samples => self.samples,
            share => self.share,
            turn,
            tile_outputs,
            tile_height,
            tile_width,
            threads => tile.threads(),
            planes_outputs => planes[0],
            planes_positions => planes[1],
            fragments => tile.fragments(),
            own_fragments => tile.own_fragments(),
            own_outputs => tile.own_outputs(),
            // None run on over the ends of rows, or else 0.
            fragments_per_row => if tile.is_aligned() { tile.columns() / side } else { 0 },
            phases => tile.phases(),
            copied => tile.copied(),
            row => tile.row(),
            before => tile.before(),
            pixel => tile.pixel() / LANES,
            map_row => tile.map_row(),
            map => tile.map(),
            pixels => tile.pixels() * tile.pixel() / LANES,
            sums => tile.sums() / LANES,
            groups => self.outputs.div_ceil(tile_outputs),
            input_blocks => self.inputs.next_multiple_of(turn) / side,
            output_blocks => self.outputs.next_multiple_of(tile_outputs) / side,
            bindings => bindings.map(|(name, element)| context! { name, element }).collect::<Vec<_>>(),
            shifts => shifts.collect::<Vec<_>>(),
            filter_rows => [filter_rows(0), filter_rows(1)],
            items => blocks.div_ceil(tile.threads()),
            result,
            style => has("style"),
            scale => has("scale"),
            bias => has("bias"),
            noise => has("noise"),
            own_noise => self.has_own_noise,
            slope => self.slope.clone(),
            clamp => self.clamp.clone(),
            kept => self.kept,
        };
        let mut environment = minijinja::Environment::new();
        environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        environment.render_str(include_str!("../../../../shaders/matrix.wgsl.jinja"), blanks)
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
