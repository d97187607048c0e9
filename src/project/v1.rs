//! Version 1, written by SeFa Studio 0.1.0: every move was along a direction of SeFa, whose parts were fields of the move.

use serde::Deserialize;

use super::ModelIdentity;
use crate::edit::{self, Direction, LayerSet, Noise, Sample, Truncation, Weighting};
use crate::names::DirectionNames;

#[derive(Deserialize)]
pub struct Project {
    model: ModelIdentity,
    edit: Edit,
    #[serde(default)]
    names: DirectionNames,
}

/// Sample, truncation and noise are as they still are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    sample: Sample,
    truncation: Truncation,
    noise: Noise,
    moves: Vec<Move>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    layers: LayerSet,
    weighting: Weighting,
    index: usize,
    vector: Vec<f32>,
    value: f32,
    #[serde(default = "edit::enabled_by_default")]
    enabled: bool,
    #[serde(default)]
    name: String,
}

impl From<Project> for super::Project {
    fn from(Project { model, edit, names }: Project) -> Self {
        let Edit { sample, truncation, noise, moves } = edit;
        let moves = moves.into_iter().map(Into::into).collect();
        let edit = edit::Edit { sample, truncation, noise, moves };
        super::Project { model, edit, names, shelf: edit::Shelf::default() }
    }
}

impl From<Move> for edit::Move {
    fn from(Move { layers, weighting, index, vector, value, enabled, name }: Move) -> Self {
        let direction = Direction::sefa(layers, weighting, index, vector).into();
        edit::Move { value, enabled, name, direction }
    }
}
