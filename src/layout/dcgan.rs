//! DCGAN (Radford et al. 2016; PyTorch's tutorial): a chain of transposed convolutions with batch norms between them.
//!
//! The names of the layers differ from one training script to the next, so the network is recognised by the shapes and the
//! order of its tensors. A transposed convolution stores `[in, out, k, k]`: each one's `out` is the next one's `in`. The
//! convolutions of a discriminator or an encoder store `[out, in, k, k]` and do not chain that way.

use super::assembly::{Assembled, BATCH_NORM_EPSILON};
use super::entry::{Canonical, Entry};
use super::error::{LayoutProblem, Names};
use super::state_dict::StateDict;
use crate::checkpoint::Tensor;
use crate::generator::Family;

/// Eleven layers make a picture of 4096 pixels.
const MAX_LAYERS: usize = 11;
const NORM_PARTS: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

/// The tensors of one module: those whose names differ in the last part only.
struct Module<'a> {
    name: &'a str,
    parts: Vec<(&'a str, &'a Tensor)>,
}

impl<'a> Module<'a> {
    fn part(&self, part: &str) -> Option<&'a Tensor> {
        self.parts.iter().find(|(name, _)| *name == part).map(|(_, tensor)| *tensor)
    }

    /// `[in, out, k, k]` of a convolution.
    fn kernel(&self) -> Option<[usize; 4]> {
        self.part("weight").and_then(|weight| weight.shape().try_into().ok())
    }

    fn path(&self, part: &str) -> String {
        if self.name.is_empty() { part.into() } else { format!("{}.{part}", self.name) }
    }
}

fn modules(state: &StateDict) -> Vec<Module<'_>> {
    let mut modules: Vec<Module<'_>> = Vec::new();
    for (name, tensor) in state.iter() {
        let (module, part) = name.rsplit_once('.').unwrap_or(("", name));
        // State dicts list the tensors of a module together.
        match modules.last_mut() {
            Some(last) if last.name == module => last.parts.push((part, tensor)),
            _ => modules.push(Module { name: module, parts: vec![(part, tensor)] }),
        }
    }
    modules
}

/// Whether some tensors are a DCGAN.
pub(super) enum Match {
    Yes(Assembled),
    /// There is a chain of kernels; the text says what is different.
    Nearly(String),
    No,
}

/// The canonical tensors of a DCGAN.
pub(super) fn assemble(state: &StateDict) -> Result<Match, LayoutProblem> {
    let modules = modules(state);
    let (convs, others): (Vec<_>, Vec<_>) = modules.iter().partition(|module| module.kernel().is_some());
    let chain: Vec<(&Module<'_>, [usize; 4])> = convs.iter().filter_map(|m| Some((*m, m.kernel()?))).collect();
    if chain.len() < 2 {
        return Ok(Match::No);
    }
    if let Some(stranger) = others.iter().find(|module| module.part("running_mean").is_none()) {
        let name = stranger.parts.first().map(|(part, _)| stranger.path(part)).unwrap_or_default();
        return Ok(Match::Nearly(format!("a DCGAN, which has no {name}")));
    }
    if let Some(pair) = chain.windows(2).find(|pair| pair[0].1[1] != pair[1].1[0]) {
        let [(a, a_shape), (b, b_shape)] = pair else { return Ok(Match::No) };
        let remark = format!(
            "a DCGAN, but {} {a_shape:?} does not feed {} {b_shape:?} as transposed convolutions do (a discriminator or an \
             encoder?)",
            a.path("weight"),
            b.path("weight")
        );
        return Ok(Match::Nearly(remark));
    }
    let tensors = build(&chain, &others)?;
    let epsilons: Vec<f64> =
        state.attributes.iter().filter(|(name, _)| name.ends_with(".eps")).filter_map(|(_, eps)| *eps).collect();
    if let Some(other) = epsilons.iter().find(|eps| **eps != epsilons[0] || !(**eps > 0.0 && **eps < 1.0)) {
        return Err(LayoutProblem::unsupported(format!(
            "a DCGAN whose batch norms have eps {} and {other}",
            epsilons[0]
        )));
    }
    let assembled = Assembled::new(Family::Dcgan, "sequential", tensors);
    let batch_norm_epsilon = epsilons.first().map_or(BATCH_NORM_EPSILON, |eps| *eps as f32);
    Ok(Match::Yes(Assembled { batch_norm_epsilon, ..assembled }))
}

fn build(chain: &[(&Module<'_>, [usize; 4])], norms: &[&Module<'_>]) -> Result<Canonical, LayoutProblem> {
    let last = chain.len() - 1;
    if chain.len() > MAX_LAYERS {
        return Err(LayoutProblem::unsupported(format!("a DCGAN of {} layers", chain.len())));
    }
    if norms.len() != last {
        let what =
            format!("a DCGAN of {} convolutions and {} batch norms (one between each two)", chain.len(), norms.len());
        return Err(LayoutProblem::unsupported(what));
    }
    let mut tensors = Canonical::new();
    for (i, (conv, [input, output, height, width])) in chain.iter().enumerate() {
        let name = conv.path("weight");
        if [*height, *width] != [4, 4] {
            return Err(LayoutProblem::shape(&name, &[*input, *output, 4, 4], &[*input, *output, *height, *width]));
        }
        if i == last && !matches!(output, 1 | 3 | 4) {
            let expected = format!("[{input}, 1, 3 or 4, 4, 4]");
            return Err(LayoutProblem::Shape { tensor: name, expected, found: vec![*input, *output, 4, 4] });
        }
        put(&mut tensors, conv, "weight", format!("main.{}.weight", 3 * i), &[*input, *output, 4, 4])?;
        if conv.part("bias").is_some() {
            put(&mut tensors, conv, "bias", format!("main.{}.bias", 3 * i), &[*output])?;
        }
        if let Some(norm) = norms.get(i) {
            for part in NORM_PARTS {
                put(&mut tensors, norm, part, format!("main.{}.{part}", 3 * i + 1), &[*output])?;
            }
        }
    }
    Ok(tensors)
}

fn put(
    tensors: &mut Canonical,
    module: &Module<'_>,
    part: &str,
    canonical: String,
    expected: &[usize],
) -> Result<(), LayoutProblem> {
    let name = module.path(part);
    let Some(tensor) = module.part(part) else {
        return Err(LayoutProblem::Missing { layout: "DCGAN".into(), names: Names(vec![name]) });
    };
    if tensor.shape() != expected {
        return Err(LayoutProblem::shape(&name, expected, tensor.shape()));
    }
    tensors.insert(canonical, Entry { tensor: tensor.clone(), shape: expected.to_vec(), changes: Vec::new() });
    Ok(())
}
