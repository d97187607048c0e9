//! Chains: networks of layers one after the other, recognised by the shapes and the order of their tensors.
//!
//! What shapes leave open (activations, strides, the output) becomes axes of a [`Reading`], which `generator/chain` settles
//! by the statistics of batch norms as far as these tell; the rest is a guess, and is called one.

mod class;
mod items;
mod reading;
mod refuse;
mod residual;
mod sizes;
mod stated;
mod units;

use super::assembly::Assembled;
use super::dcgan;
use super::entry::{Canonical, Change, Entry, SpectralNorm, Vectors};
use super::error::LayoutProblem;
use super::state_dict::StateDict;
use crate::family::Family;
use crate::recipe::{Fact, Recipe, Source, Stated, Step};
use items::{Item, Kind, items};
use reading::Custom;
pub use reading::{Axis, EPSILON, Reading};
pub(super) use refuse::refuse_autoencoder;
pub(super) use sizes::Place;
use sizes::{Plan, plans};
use stated::Modules;
use std::sync::Arc;
use units::{Linked, Norm, link};
pub(super) use units::{Role, Unit};

/// Who states a recipe that a person gives.
pub(super) const BY_USER: &str = "the user";

/// What a recipe network has beside its tensors.
#[derive(Clone, Debug, Default)]
pub(super) struct Described {
    pub(super) recipe: Option<Recipe>,
    /// The tensors under the names of the recipe, where those of the network have others: its family's own code draws it.
    pub(super) renamed: Option<Canonical>,
    pub(super) facts: Vec<Fact>,
    /// Open questions.
    pub(super) reading: Option<Reading>,
}

/// Whether some tensors are a chain.
pub(super) enum Match {
    Yes(Box<Assembled>),
    /// It is a network of layers; the text says what does not fit.
    Nearly(String),
    No,
}

/// Words in the names of what belongs to a network and does not draw.
const OTHERS: [&str; 22] = [
    "encoder",
    "enc",
    "encode",
    "mu",
    "mean",
    "logvar",
    "var",
    "logsigma",
    "sigma",
    "std",
    "discriminator",
    "disc",
    "critic",
    "classifier",
    "netd",
    "d",
    "dis",
    "adv",
    "aux",
    "q",
    "fcmu",
    "fcvar",
];
/// Of these, those that have the width of z.
const MEANS: [&str; 3] = ["mu", "mean", "fcmu"];

pub(super) fn assemble(state: &StateDict) -> Result<Match, LayoutProblem> {
    match &state.stated {
        Stated::Network { recipe, by } => return stated_network(state, recipe, by).map(yes),
        Stated::Unsupported { what } => return Err(LayoutProblem::unsupported(what.clone())),
        Stated::Modules { .. } | Stated::Nothing => {}
    }
    let all = items(state);
    if let Some(assembled) = residual::assemble(state, &all)? {
        return Ok(yes(assembled));
    }
    let (others, mut own): (Vec<Item<'_>>, Vec<Item<'_>>) = all.into_iter().partition(|item| item.is_called(&OTHERS));
    if !own.iter().any(Item::is_layer) {
        // Everything is called so: then the names say nothing.
        own = items(state);
    }
    let modules = match &state.stated {
        Stated::Modules { modules, by } => Some(Modules::new(modules, by)),
        _ => None,
    };
    let stated = modules.as_ref().map(|modules| modules.recipe(&own, means(&others))).transpose()?.flatten();
    let mut linked = link(&own);
    if linked.is_err() {
        // Files that are sorted by name have lost the order of modules: what holds linear layers comes first.
        let list = |item: &Item<'_>| item.name.split('.').next().unwrap_or_default().to_string();
        let with_linear = |item: &Item<'_>| matches!(item.kind, Kind::Linear(_)).then(|| list(item));
        let first: Vec<String> = own.iter().filter_map(with_linear).collect();
        own.sort_by_key(|item| !first.contains(&list(item)));
        linked = link(&own);
    }
    let linked = match (linked, &stated) {
        (Ok(linked), _) => linked,
        (Err(_), Some((recipe, facts))) => return by_modules(state, recipe, facts),
        (Err((misfit, strangers)), None) => return Ok(refuse::nearly(&own, misfit, &strangers)),
    };
    let read = read(state, (&own, &others), linked, modules.as_ref())?;
    let Some((recipe, facts)) = stated else { return Ok(read) };
    match read {
        // What is stated is what is customary: the family's own code may draw it.
        Match::Yes(mut assembled)
            if assembled.described.recipe.as_ref().is_some_and(|customary| customary.steps == recipe.steps) =>
        {
            assembled.described.facts = facts;
            assembled.described.reading = None;
            Ok(Match::Yes(assembled))
        }
        _ => by_modules(state, &recipe, &facts),
    }
}

/// A network whose modules state it.
fn by_modules(state: &StateDict, recipe: &Recipe, facts: &[Fact]) -> Result<Match, LayoutProblem> {
    let mut assembled = stated_network(state, recipe, "")?;
    assembled.layout = "sequential";
    let transposed = |step: &Step| !matches!(step, Step::Linear { .. } | Step::Conv(_) | Step::Join { .. });
    if recipe.steps.iter().all(transposed) {
        assembled.family = Family::Dcgan;
    }
    assembled.described.facts = facts.to_vec();
    Ok(yes(assembled))
}

/// Width of z where an encoder tells.
fn means(others: &[Item<'_>]) -> Option<usize> {
    others.iter().filter(|item| item.is_called(&MEANS)).find_map(|item| match item.kind {
        Kind::Linear([outputs, _]) => Some(outputs),
        _ => None,
    })
}

fn yes(assembled: Assembled) -> Match {
    Match::Yes(Box::new(assembled))
}

fn read(
    state: &StateDict,
    (own, others): (&[Item<'_>], &[Item<'_>]),
    linked: Linked,
    modules: Option<&Modules<'_>>,
) -> Result<Match, LayoutProblem> {
    let Linked { branches, mut units, start } = linked;
    for norm in units.iter_mut().filter_map(|unit| unit.norm.as_mut()) {
        let stated = state.attributes.iter().find(|(name, _)| name.strip_suffix(".eps") == Some(&norm.name));
        norm.epsilon = stated.and_then(|(_, epsilon)| *epsilon).filter(|epsilon| (0.0..=1e3).contains(epsilon));
    }
    if let Some(unit) = units.first_mut().filter(|unit| unit.name == "decoder_input") {
        // The PyTorch-VAE collection reshapes at once.
        unit.is_activated = false;
    }
    let Some(first) = units.first() else { return Ok(Match::No) };
    let is_decoder = start > 0 || others.iter().any(|item| item.is_layer() && item.is_called(&OTHERS[..10]));
    let is_vae = own.iter().any(|item| item.name == "decoder_input")
        && own.iter().any(|item| item.name.starts_with("final_layer."));
    let custom = match (is_vae, is_decoder) {
        (true, _) => Custom::PytorchVae,
        (false, true) => Custom::Decoder,
        (false, false) => Custom::Gan,
    };
    let layers: Vec<&Item<'_>> = own.iter().filter(|item| item.is_layer()).collect();
    // Two heads of one shape before the decoder are mean and variance.
    let heads = start.checked_sub(1).and_then(|last| match layers.get(last)?.kind {
        Kind::Linear([outputs, _]) => Some(outputs),
        _ => None,
    });
    let entrance = match &branches {
        Some([of_z, of_class]) => class::Entrance::of_branches(of_z, of_class),
        None => class::Entrance::find(own, first.inputs, means(others).or(heads)),
    };
    let kernels: Vec<Unit> = units.iter().filter(|unit| unit.role != Role::Linear).cloned().collect();
    let linear = units.len() - kernels.len();
    let side = match (&branches, linear.checked_sub(1).and_then(|last| units.get(last))) {
        (_, Some(last)) => kernels.first().map_or(1, |kernel| (last.outputs / kernel.inputs.max(1)).isqrt()),
        (Some([branch, _]), None) if branch.role != Role::Linear => branch.kernel[0],
        (Some([a, b]), None) => {
            kernels.first().map_or(1, |kernel| ((a.outputs + b.outputs) / kernel.inputs.max(1)).isqrt())
        }
        (None, None) => 1,
    };
    let mut found: Vec<Plan> = if kernels.is_empty() { Vec::new() } else { plans(&kernels, side) };
    let mut known = modules.map(|modules| modules.known()).unwrap_or_default();
    if let Some(plan) = modules.map(|modules| modules.plan(&kernels, side)).transpose()?.flatten() {
        known.sizes = true;
        found = vec![plan];
    }
    for plan in &mut found {
        plan.places.splice(0..0, std::iter::repeat_n(Place::Vector, linear));
    }
    if found.is_empty() && !kernels.is_empty() {
        return Ok(Match::Nearly(format!(
            "a chain of convolutions from {side}x{side}, whose kernels fit no customary size"
        )));
    }
    let tensors = tensors(own, units.iter().chain(branches.iter().flatten()), &entrance)?;
    let used: Vec<String> = tensors.keys().cloned().collect();
    let unused = state.names().filter(|name| !is_used(name, &used)).map(String::from).collect();
    let is_transposed = |unit: &Unit| unit.role == Role::Transposed;
    let all_transposed = units.iter().all(is_transposed) && branches.iter().flatten().all(is_transposed);
    let family = if all_transposed { Family::Dcgan } else { Family::Chain };
    let reading = Reading::new(entrance.z_dim, entrance.class, branches, units, found, (custom, known));
    let mut facts = vec![Fact {
        what: "layers".into(),
        value: format!("{} of the file", reading.units.len()),
        source: Source::Shapes,
    }];
    facts.extend(entrance.fact);
    let customary = reading.recipe(&vec![0; reading.axes().len()]);
    let Some(customary) = customary else { return Ok(Match::No) };
    let mut assembled = Assembled { unused, ..Assembled::new(family, "sequential", tensors) };
    let renamed = dcgan::plain(&reading, &assembled.tensors);
    let renamed = renamed.map(|canonical| std::mem::replace(&mut assembled.tensors, canonical));
    facts.extend(reading.axes().iter().map(|axis| Fact {
        what: axis.what.into(),
        value: axis.values.first().cloned().unwrap_or_default(),
        source: axis.stated.clone().unwrap_or(Source::Guess),
    }));
    if let Some(epsilon) = dcgan::epsilon(&reading) {
        assembled.batch_norm_epsilon = epsilon as f32;
    }
    assembled.described = Described { recipe: Some(customary), renamed, facts, reading: Some(reading) };
    Ok(yes(assembled))
}

/// A network that the file states in full.
pub(super) fn stated_network(state: &StateDict, recipe: &Recipe, by: &str) -> Result<Assembled, LayoutProblem> {
    recipe.check().map_err(|what| LayoutProblem::Recipe { what })?;
    let mut tensors = Canonical::new();
    let items = items(state);
    for (name, role) in recipe.layers() {
        let entry = match state.get(name) {
            Some(tensor) => Entry { tensor: tensor.clone(), shape: tensor.shape().to_vec(), changes: vec![] },
            None => {
                let item =
                    name.strip_suffix(".weight").and_then(|module| items.iter().find(|item| item.name == module));
                let missing = || LayoutProblem::content(name, "named by the recipe, found no such tensor");
                weight(item.ok_or_else(missing)?, if role { Role::Transposed } else { Role::Conv })?
            }
        };
        tensors.insert(name.into(), entry);
    }
    let unused = state.names().filter(|name| !tensors.contains_key(*name)).map(String::from).collect();
    let fact = Fact {
        what: "network".into(),
        value: format!("{} steps", recipe.steps.len()),
        source: if by == BY_USER { Source::User } else { Source::Stated { by: by.into() } },
    };
    let described = Described { recipe: Some(recipe.clone()), facts: vec![fact], ..Described::default() };
    Ok(Assembled { described, unused, ..Assembled::new(Family::Chain, "graph", tensors) })
}

/// The tensors of all units under the names that recipes have for them.
fn tensors<'b>(
    own: &[Item<'_>],
    units: impl Iterator<Item = &'b Unit>,
    entrance: &class::Entrance,
) -> Result<Canonical, LayoutProblem> {
    let mut tensors = Canonical::new();
    let find = |name: &str| own.iter().find(|item| item.name == name);
    for unit in units {
        let Some(item) = find(&unit.name) else { continue };
        let weight = weight(item, unit.role)?;
        put(&mut tensors, item, "weight", weight);
        put_parts(&mut tensors, item, &["bias"]);
        if let Some(Norm { name, .. }) = &unit.norm
            && let Some(item) = find(name)
        {
            put_parts(&mut tensors, item, &["weight", "bias", "running_mean", "running_var"]);
        }
        if let Some(item) = unit.slopes.as_ref().and_then(|name| find(name.trim_end_matches(".weight"))) {
            put_parts(&mut tensors, item, &["weight"]);
        }
    }
    if let Some(item) = entrance.table.as_ref().and_then(|name| find(name)) {
        put_parts(&mut tensors, item, &["weight", "bias"]);
    }
    Ok(tensors)
}

fn put(tensors: &mut Canonical, item: &Item<'_>, part: &str, entry: Entry) {
    tensors.insert(item.path(part), entry);
}

fn put_parts(tensors: &mut Canonical, item: &Item<'_>, parts: &[&str]) {
    for part in parts {
        if let Some(tensor) = item.part(part) {
            put(tensors, item, part, Entry { tensor: tensor.clone(), shape: tensor.shape().to_vec(), changes: vec![] });
        }
    }
}

/// A layer's weight with the division or scaling that its normalisation asks for.
fn weight(item: &Item<'_>, role: Role) -> Result<Entry, LayoutProblem> {
    if let Some(tensor) = item.part("weight") {
        return Ok(Entry { tensor: tensor.clone(), shape: tensor.shape().to_vec(), changes: vec![] });
    }
    if let (Some(length), Some(direction)) = (item.part("weight_g"), item.part("weight_v")) {
        let rows = direction.shape().first().copied().unwrap_or(0);
        if length.len() != rows {
            return Err(LayoutProblem::content(
                &item.path("weight_g"),
                format!("expected {rows} lengths, found {}", length.len()),
            ));
        }
        let changes = vec![Change::Lengths(length.clone())];
        return Ok(Entry { tensor: direction.clone(), shape: direction.shape().to_vec(), changes });
    }
    let Some(stored) = item.part("weight_orig") else {
        return Err(LayoutProblem::content(&item.path("weight"), "expected, found no such tensor"));
    };
    let shape = stored.shape().to_vec();
    let (Some(u), Some(v)) = (item.part("weight_u"), item.part("weight_v")) else {
        return Err(LayoutProblem::content(
            &item.path("weight_u"),
            "expected beside weight_orig, found no such tensor",
        ));
    };
    // The matrix of a transposed convolution has its outputs first (PyTorch's `spectral_norm`).
    let matrix = match role {
        Role::Transposed => stored.permuted(&[1, 0, 2, 3]).unwrap_or_else(|| stored.clone()),
        _ => stored.clone(),
    };
    let matrix = if matrix.shape().first() == Some(&u.len()) { matrix } else { stored.clone() };
    let rows = matrix.shape().first().copied().unwrap_or(0).max(1);
    if u.len() != rows || v.len() != matrix.len() / rows {
        let found =
            format!("expected vectors of {rows} and {}, found {} and {}", matrix.len() / rows, u.len(), v.len());
        return Err(LayoutProblem::content(&item.path("weight_u"), found));
    }
    let norm = SpectralNorm::new(matrix, rows, Vectors::Stored { u: u.clone(), v: v.clone() });
    Ok(Entry { tensor: stored.clone(), shape, changes: vec![Change::Divide(Arc::new(norm))] })
}

/// True for tensors that are read, or that go without saying.
fn is_used(name: &str, used: &[String]) -> bool {
    if name.ends_with("num_batches_tracked") {
        return true;
    }
    let module = name.split(".parametrizations.").next().unwrap_or(name);
    let module = if module == name { module.rsplit_once('.').map_or("", |(module, _)| module) } else { module };
    used.iter().any(|used| used == name || used.rsplit_once('.').map_or("", |(of, _)| of) == module)
}
