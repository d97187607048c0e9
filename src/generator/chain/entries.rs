//! Where z enters a recipe, and the first linear map that each entry meets: the rows that SeFa works on.

use super::shapes::{Shape, Shapes, Totals};
use crate::layout::{LayoutError, Weights};
use crate::recipe::{Branch, ConvTranspose, Input, Joining, Step};
use crate::sefa::StyleRows;

/// The first linear map after an entry of z.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FirstMap {
    /// The weight's name.
    pub(super) weight: String,
    kind: Kind,
    /// The place of z among the map's inputs.
    columns: [usize; 2],
    /// Number of values that the map makes.
    pub(super) rows: usize,
    /// Shape of what it makes.
    pub(super) to: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// `[out, in]`
    Rows,
    /// `[in, out]`
    Columns,
    /// `[in, out, kh, kw]` on one pixel
    Transposed,
}

/// Numbers of z in a vector: which entry, and where.
#[derive(Clone, Copy)]
struct Trace {
    entry: usize,
    columns: [usize; 2],
}

/// One for each entry of z, in the order in which [`count`] counts them; `None` where no linear map of z alone follows.
pub(super) fn first_maps(shapes: &Shapes) -> Result<Vec<Option<FirstMap>>, LayoutError> {
    let z_dim = shapes.recipe.z_dim;
    let mut search = Search { shapes, found: vec![None; count(&shapes.recipe.steps)], next: 0 };
    let start = match takes_flow(&shapes.recipe.steps) {
        true => vec![search.enter()],
        false => vec![],
    };
    search.follow(&shapes.recipe.steps, start, [z_dim, 1, 1])?;
    Ok(search.found)
}

/// True if the first step takes z as it comes, rather than joining branches that take it.
pub(super) fn takes_flow(steps: &[Step]) -> bool {
    match steps.first() {
        Some(Step::Join { branches, .. }) => branches.iter().any(|branch| branch.input == Input::Flow),
        _ => true,
    }
}

/// How often z enters.
pub(super) fn count(steps: &[Step]) -> usize {
    fn of_branches(steps: &[Step]) -> usize {
        let of_branch = |branch: &Branch| usize::from(branch.input == Input::Z) + of_branches(&branch.steps);
        let of_step = |step: &Step| match step {
            Step::Join { branches, .. } => branches.iter().map(of_branch).sum(),
            _ => 0,
        };
        steps.iter().map(of_step).sum()
    }
    usize::from(takes_flow(steps)) + of_branches(steps)
}

struct Search<'a> {
    shapes: &'a Shapes<'a>,
    found: Vec<Option<FirstMap>>,
    next: usize,
}

impl Search<'_> {
    fn enter(&mut self) -> Trace {
        self.next += 1;
        Trace { entry: self.next - 1, columns: [0, self.shapes.recipe.z_dim] }
    }

    /// What is left of `traces` after the steps, and the shape there.
    fn follow(
        &mut self,
        steps: &[Step],
        mut traces: Vec<Trace>,
        mut shape: Shape,
    ) -> Result<(Vec<Trace>, Shape), LayoutError> {
        for step in steps {
            let to = self.shapes.after_steps(std::slice::from_ref(step), shape, &mut Totals::default())?;
            match step {
                Step::Linear { weight, transposed, .. } => {
                    let kind = if *transposed { Kind::Columns } else { Kind::Rows };
                    self.meet(&mut traces, weight, kind, to.iter().product(), to);
                }
                Step::ConvTranspose(ConvTranspose { weight, groups: 1, .. }) if shape[1..] == [1, 1] => {
                    let [_, outputs, height, width] = self.shapes.weights.dims(weight)?;
                    self.meet(&mut traces, weight, Kind::Transposed, outputs * height * width, to);
                }
                Step::Join { how, branches } => {
                    let mut joined = Vec::new();
                    let mut before = 0;
                    for branch in branches {
                        let from = self.shapes.of_input(branch.input, shape);
                        let start = match branch.input {
                            Input::Flow => traces.clone(),
                            Input::Z => vec![self.enter()],
                            Input::Class => vec![],
                        };
                        let (rest, made) = self.follow(&branch.steps, start, from)?;
                        let offset = if *how == Joining::Concat { before } else { 0 };
                        joined.extend(
                            rest.into_iter()
                                .map(|trace| Trace { columns: trace.columns.map(|column| column + offset), ..trace }),
                        );
                        before += made[0];
                    }
                    traces = joined;
                }
                // One number of z stays one number there.
                Step::Activation { .. } | Step::BatchNorm { .. } | Step::PixelNorm { .. } | Step::Scale { .. } => {}
                Step::LayerNorm { .. } | Step::Flatten { channels_last: false } => {}
                Step::Reshape { shape: [_, 1, 1], .. } => {}
                _ => traces.clear(),
            }
            shape = to;
        }
        Ok((traces, shape))
    }

    fn meet(&mut self, traces: &mut Vec<Trace>, weight: &str, kind: Kind, rows: usize, to: Shape) {
        for trace in traces.drain(..) {
            let slot = &mut self.found[trace.entry];
            if slot.is_none() {
                *slot = Some(FirstMap { weight: weight.into(), kind, columns: trace.columns, rows, to });
            }
        }
    }
}

impl FirstMap {
    /// One row per value that the map makes, one column per number of z.
    pub(super) fn rows(&self, weights: &Weights) -> Result<StyleRows, LayoutError> {
        let shape = weights.shape(&self.weight).unwrap_or_default().to_vec();
        let values = weights.get(&self.weight, &shape)?;
        let [from, to] = self.columns;
        let rows = match self.kind {
            Kind::Rows => values.chunks_exact(shape[1]).flat_map(|row| row[from..to].iter().copied()).collect(),
            Kind::Columns | Kind::Transposed => {
                let length = values.len() / shape[0];
                (0..length)
                    .flat_map(|at| (from..to).map(move |column| column * length + at))
                    .map(|at| values[at])
                    .collect()
            }
        };
        Ok(StyleRows { values: rows, dim: to - from })
    }
}
