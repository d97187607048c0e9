//! Residual generators of mimicry (kwotsin/mimicry, `nets/sngan`, `nets/wgan_gp`): SNGAN, WGAN-GP, SSGAN, InfoMax-GAN.

use super::super::assembly::Assembled;
use super::super::entry::Canonical;
use super::super::error::{LayoutProblem, Names};
use super::super::state_dict::StateDict;
use super::items::{Item, Kind};
use super::units::Role;
use super::{Described, put, put_parts, weight};
use crate::family::Family;
use crate::recipe::{Activation, Conv, Fact, Padding, Prior, Range, Recipe, Resizing, Size, Source, Step, VERSION};

const LAYOUT: &str = "mimicry";

/// The network, if its names are these.
pub(super) fn assemble(state: &StateDict, items: &[Item<'_>]) -> Result<Option<Assembled>, LayoutProblem> {
    let find = |name: &str| items.iter().find(|item| item.name == name);
    let (Some(first), Some(_)) = (find("l1"), find("block2.c1")) else { return Ok(None) };
    let Kind::Linear([rows, z_dim]) = first.kind else { return Ok(None) };
    if let Some(conditional) =
        items.iter().find(|item| item.name.ends_with(".embed") || item.name.starts_with("attn_block"))
    {
        let what = format!("mimicry's network with {} (conditional norms or attention)", conditional.example());
        return Err(LayoutProblem::unsupported(what));
    }
    let mut tensors = Canonical::new();
    let mut missing = Vec::new();
    let mut take = |name: &str, norm: bool| -> Result<Option<&Item<'_>>, LayoutProblem> {
        let Some(item) = find(name) else {
            missing.push(format!("{name}.weight"));
            return Ok(None);
        };
        if !norm {
            put(&mut tensors, item, "weight", weight(item, Role::Conv)?);
            put_parts(&mut tensors, item, &["bias"]);
        } else {
            put_parts(&mut tensors, item, &["weight", "bias", "running_mean", "running_var"]);
        }
        Ok(Some(item))
    };
    take("l1", false)?;
    let blocks = (2..).take_while(|block| find(&format!("block{block}.c1")).is_some()).count();
    let Some(Kind::Kernel([_, channels, ..])) = find("block2.c1").map(|item| &item.kind) else { return Ok(None) };
    let start = (rows / (*channels).max(1)).isqrt();
    let mut steps = vec![linear(first), Step::Reshape { shape: [*channels, start, start], channels_last: false }];
    for block in 2..2 + blocks {
        let mut part = |part: &str, norm| take(&format!("block{block}.{part}"), norm);
        let (norm1, conv1) = (part("b1", true)?, part("c1", false)?);
        let (norm2, conv2) = (part("b2", true)?, part("c2", false)?);
        let shortcut = match find(&format!("block{block}.c_sc")) {
            Some(_) => part("c_sc", false)?,
            None => None,
        };
        let up = Step::Resize { size: Size::Times([2.0, 2.0]), method: Resizing::Bilinear { align_corners: false } };
        let mut branch = vec![norm1.map(batch_norm), Some(relu()), Some(up.clone()), conv1.map(conv)];
        branch.extend([norm2.map(batch_norm), Some(relu()), conv2.map(conv)]);
        let shortcut = match shortcut {
            Some(item) => vec![up, conv(item)],
            None => vec![],
        };
        steps.push(Step::residual(branch.into_iter().flatten().collect(), shortcut));
    }
    let last = 2 + blocks;
    let norm = take(&format!("b{last}"), true)?;
    let out = take(&format!("c{last}"), false)?;
    steps.extend([norm.map(batch_norm), Some(relu()), out.map(conv)].into_iter().flatten());
    steps.push(Step::Activation { function: Activation::Tanh });
    if !missing.is_empty() {
        return Err(LayoutProblem::Missing { layout: format!("residual generator ({LAYOUT})"), names: Names(missing) });
    }
    let colours = match out.map(|item| &item.kind) {
        Some(Kind::Kernel([colours, ..])) => *colours,
        _ => 0,
    };
    let side = start << blocks.min(12);
    let recipe = Recipe {
        version: VERSION,
        prior: Prior::Normal,
        z_dim,
        classes: None,
        steps,
        picture: [colours, side, side],
        range: Range::Signed,
        batch_statistics: false,
    };
    recipe.check().map_err(|what| LayoutProblem::Recipe { what })?;
    let used: Vec<String> = tensors.keys().cloned().collect();
    let by = "the names, which are mimicry's".to_string();
    let fact =
        Fact { what: "network".into(), value: format!("{blocks} residual blocks"), source: Source::Stated { by } };
    let unused = state.names().filter(|name| !super::is_used(name, &used)).map(String::from).collect();
    let described = Described { recipe: Some(recipe), facts: vec![fact], ..Described::default() };
    Ok(Some(Assembled { described, unused, ..Assembled::new(Family::Chain, LAYOUT, tensors) }))
}

fn relu() -> Step {
    Step::Activation { function: Activation::Relu }
}

fn linear(item: &Item<'_>) -> Step {
    Step::Linear { weight: item.path("weight"), bias: item.optional("bias"), transposed: false }
}

fn batch_norm(item: &Item<'_>) -> Step {
    Step::BatchNorm {
        mean: item.path("running_mean"),
        variance: item.path("running_var"),
        weight: item.optional("weight"),
        bias: item.optional("bias"),
        epsilon: 1e-5,
    }
}

/// A convolution that keeps the size.
fn conv(item: &Item<'_>) -> Step {
    let padding = match item.kind {
        Kind::Kernel([_, _, k, _]) => k / 2,
        _ => 0,
    };
    Step::Conv(Conv {
        weight: item.path("weight"),
        bias: item.optional("bias"),
        stride: [1, 1],
        padding: [padding; 4],
        dilation: [1, 1],
        groups: 1,
        padding_mode: Padding::Zeros,
    })
}
