//! Recognises the layout of a generator's tensors, by names and shapes only.

use super::assembly::{Assembled, BATCH_NORM_EPSILON};
use super::chain::{self, BY_USER, Match};
use super::entry::Entry;
use super::error::{LayoutError, LayoutProblem, Names};
use super::foreign::{refuse_foreign, refuse_others, unknown};
use super::unwrap::{self, Network};
use super::weights::{FORMAT, RECIPE, Weights, family_of};
use super::{
    basicsr, biggan, biggan_deep, genforce, interfacegan, lernapparat, mmgeneration, nvidia, pggan, rosinality, stated,
    style_based, stylegan, stylegan3, tensorflow,
};
use crate::checkpoint::{Checkpoint, Container, Tensor, Unreadable};
use crate::family::Family;
use crate::limits;
use crate::recipe::{Recipe, Source, Stated};

/// The metadata's key of a recipe that a person gives, for as long as the file is read.
pub const GIVEN_RECIPE: &str = "given_recipe";

/// Recognises the generator in `checkpoint`.
///
/// # Errors
/// No known layout matches, the network cannot be opened, or tensors are missing or misshapen.
pub fn detect(checkpoint: Checkpoint) -> Result<Weights, LayoutError> {
    let file = checkpoint.file.clone();
    recognise(checkpoint).map_err(|problem| LayoutError { file, problem })
}

fn recognise(checkpoint: Checkpoint) -> Result<Weights, LayoutProblem> {
    let wanted = checkpoint.network.as_deref();
    let stated = checkpoint.program.as_ref().map(|program| stated::network(program, &checkpoint.tree)).transpose()?;
    let read = |network: &mut Network| {
        if checkpoint.container == Container::Safetensors {
            network.state.sort_naturally();
        }
        // What the network is may show in what lies around it, too.
        for state in [network.surroundings.as_ref(), Some(&network.state)].into_iter().flatten() {
            refuse_foreign(state)?;
            if !checkpoint.metadata.contains_key(GIVEN_RECIPE) {
                chain::refuse_autoencoder(state)?;
            }
        }
        state_recipe(network, &checkpoint)?;
        let assembled = assemble(network);
        let mut assembled = assembled.map_err(|problem| explain(problem, network))?;
        if network.by_names_only && matches!(assembled.family, Family::Dcgan | Family::Chain) {
            return Err(unknown(&network.state, None));
        }
        check_extent(&assembled, checkpoint.file_len)?;
        apply_metadata(&mut assembled, &checkpoint)?;
        Ok(assembled)
    };
    let (network, assembled) = unwrap::find(&checkpoint.tree, stated, wanted, read)?;
    let (mut ignored, mut warnings) = (network.ignored, network.warnings);
    let mut metadata = checkpoint.metadata;
    metadata.remove(GIVEN_RECIPE);
    warnings.extend(assembled.warnings);
    if !assembled.unused.is_empty() {
        ignored.push(format!("tensors {}", Names(assembled.unused)));
    }
    Ok(Weights {
        file: checkpoint.file,
        family: assembled.family,
        layout: assembled.layout,
        container: checkpoint.container,
        file_len: checkpoint.file_len,
        metadata,
        carries_code: checkpoint.carries_code,
        network_taken: network.taken,
        ignored,
        warnings,
        conventions: assembled.conventions,
        conv_clamp: assembled.conv_clamp,
        batch_norm_epsilon: assembled.batch_norm_epsilon,
        last_norm_epsilon: assembled.last_norm_epsilon,
        instance_norm_epsilon: assembled.instance_norm_epsilon,
        noise_of_blocks: assembled.noise_of_blocks,
        pggan_classes: assembled.pggan_classes,
        recipe: assembled.described.recipe,
        facts: assembled.described.facts,
        reading: assembled.described.reading,
        renamed: assembled.described.renamed,
        statistics: None,
        tensors: assembled.tensors,
    })
}

/// What is missed may be there, as a kind of tensor that is not read; what is unknown may be a part of something known.
fn explain(problem: LayoutProblem, network: &Network) -> LayoutProblem {
    match (problem, network.state.unread.first(), &network.surroundings) {
        (LayoutProblem::Missing { .. } | LayoutProblem::Unknown { .. }, Some((name, kind)), _) => {
            let what = format!("this is {kind}, which is not read. Convert the network to float32 and save it again");
            LayoutProblem::content(name, what)
        }
        (problem @ LayoutProblem::Unknown { .. }, None, Some(whole)) => refuse_others(whole).err().unwrap_or(problem),
        (problem, ..) => problem,
    }
}

/// The first layout whose tell-tale names are there decides; a network without any may still be a DCGAN.
fn assemble(network: &mut Network) -> Result<Assembled, LayoutProblem> {
    let state = &network.state;
    if let Stated::Network { recipe, by } = &state.stated {
        return chain::stated_network(state, recipe, by);
    }
    stylegan::refuse_revised(state)?;
    if stylegan3::matches(state) {
        return Ok(with_mean(stylegan3::assemble(state)?));
    }
    if state.has(nvidia::SPELLING.constant) {
        return Ok(with_mean(nvidia::assemble(state)?));
    }
    if state.has(genforce::SPELLING.constant) {
        return Ok(with_mean(genforce::SPELLING.assemble(genforce::unified(state).as_ref().unwrap_or(state))?));
    }
    for spelling in [stylegan::GENFORCE, stylegan::TENSORFLOW, interfacegan::STYLEGAN] {
        if spelling.matches(state) {
            return Ok(with_mean(spelling.assemble(state)?));
        }
    }
    if let Some(assembled) = lernapparat::assemble(state) {
        return Ok(with_mean(assembled?));
    }
    if style_based::matches(state) {
        take_mean(network)?;
        return Ok(with_mean(style_based::assemble(&network.state)?));
    }
    let unified = tensorflow::unified(state)?;
    let state = unified.as_ref().unwrap_or(state);
    if state.has(tensorflow::STYLEGAN2.constant) {
        let mut assembled = with_mean(tensorflow::STYLEGAN2.assemble(state)?);
        assembled.conv_clamp = nvidia::conv_clamp(state)?;
        // A level of detail that StyleGAN left behind.
        assembled.unused.retain(|name| name != "lod");
        return Ok(assembled);
    }
    if state.has(mmgeneration::SPELLING.constant) {
        let mut assembled = mmgeneration::SPELLING.assemble(mmgeneration::unified(state).as_ref().unwrap_or(state))?;
        assembled.guesses.push(mmgeneration::COLOURS);
        return Ok(with_mean(assembled));
    }
    if let Some(spelling) = basicsr::spelling(state) {
        take_mean(network)?;
        let mut assembled = spelling.assemble(&network.state)?;
        if !basicsr::is_clean(spelling) {
            assembled.guesses.push(basicsr::UPSAMPLING);
        }
        return Ok(with_mean(assembled));
    }
    if state.has(rosinality::SPELLING.constant) && state.has("conv1.conv.weight") {
        take_mean(network)?;
        return Ok(with_mean(rosinality::assemble(&network.state)?));
    }
    for spelling in [pggan::GENFORCE, pggan::TENSORFLOW, interfacegan::PGGAN] {
        if spelling.matches(state) {
            return spelling.assemble(state);
        }
    }
    if biggan_deep::matches(state) {
        return biggan_deep::assemble(state);
    }
    if biggan::matches(state) {
        return if biggan::is_deep(state) { biggan_deep::assemble_brock(state) } else { biggan::assemble(state) };
    }
    refuse_others(state)?;
    match chain::assemble(state)? {
        Match::Yes(assembled) => Ok(*assembled),
        Match::Nearly(remark) => Err(unknown(state, Some(remark))),
        Match::No => Err(unknown(state, None)),
    }
}

/// See [`limits::elements`].
fn check_extent(assembled: &Assembled, file_len: u64) -> Result<(), LayoutProblem> {
    let lengths = assembled.tensors.values().map(|entry| entry.tensor.len() as u64);
    let elements = lengths.fold(0u64, u64::saturating_add);
    if elements <= limits::elements(file_len) {
        return Ok(());
    }
    let what = format!("a file whose tensors overlap ({elements} numbers in {file_len} bytes)");
    Err(LayoutProblem::foreign(what, "The tensors of a generator do not: fetch the file from its source again"))
}

fn with_mean(mut assembled: Assembled) -> Assembled {
    let means = ["mapping.w_avg", "truncation.w_avg"];
    if !means.iter().any(|name| assembled.tensors.contains_key(*name)) {
        assembled.warnings.push("no mean w in the file: it is estimated from 4096 samples".into());
    }
    assembled
}

/// The mean w lies beside the network, not in it.
fn take_mean(network: &mut Network) -> Result<(), LayoutProblem> {
    if let Some(mean) = network.mean_w.as_ref() {
        let one = one_mean(mean)?.unwrap_or_else(|| mean.clone());
        network.state.insert(rosinality::MEAN_W.into(), one);
    }
    Ok(())
}

/// `latent_avg` as one vector, if it is. Encoder bundles have a row per layer, usually the same one.
fn one_mean(mean: &Tensor) -> Result<Option<Tensor>, Unreadable> {
    if mean.shape().len() < 2 {
        return Ok(Some(mean.clone()));
    }
    let Some(first) = mean.row(0) else { return Ok(None) };
    let values = first.to_f32()?;
    let same = mean.to_f32()?.chunks(values.len().max(1)).all(|row| row == values);
    Ok(same.then_some(first))
}

/// What a person says of a file comes first; files of this program carry the recipe of a chain in their metadata.
fn state_recipe(network: &mut Network, checkpoint: &Checkpoint) -> Result<(), LayoutProblem> {
    let text = |key: &str| checkpoint.metadata.get(key);
    let converted = text("format").is_some_and(|format| format == FORMAT);
    let (json, by) = match (text(GIVEN_RECIPE), text(RECIPE).filter(|_| converted)) {
        (Some(json), _) => (json, BY_USER),
        (None, Some(json)) => (json, "the file, which this program wrote"),
        (None, None) => return Ok(()),
    };
    let recipe = Recipe::parse(json).map_err(|error| LayoutProblem::Recipe { what: error.to_string() })?;
    network.state.stated = Stated::Network { recipe, by: by.into() };
    Ok(())
}

/// Takes over what a safetensors file or a config.json says of the network.
fn apply_metadata(assembled: &mut Assembled, checkpoint: &Checkpoint) -> Result<(), LayoutProblem> {
    let text = |key: &str| checkpoint.metadata.get(key).map(String::as_str);
    let converted = text("format") == Some(FORMAT);
    if converted {
        // Nothing is open in a file of this program.
        assembled.described.reading = None;
        assembled.described.facts.retain(|fact| fact.source != Source::Guess);
    }
    if let Some(name) = text("family").filter(|_| converted) {
        match family_of(name) {
            Some(family) if family == assembled.family => {}
            Some(family @ (Family::Dcgan | Family::Chain)) if assembled.described.recipe.is_some() => {
                assembled.family = family;
            }
            Some(family) => {
                let what = format!("says that this is a {family}, but the tensors are a {}", assembled.family);
                return Err(LayoutProblem::content("metadata", what));
            }
            None => {
                let what = format!("a network of family {name:.40} (written by a later version of this program)");
                return Err(LayoutProblem::unsupported(what));
            }
        }
    }
    let mut positive = |key: &str| {
        let number = text(key)?.parse().ok().filter(|number: &f32| number.is_finite() && *number > 0.0);
        if number.is_none() {
            let text = text(key).unwrap_or_default();
            let warning = format!("{key} {text:.40?} in the metadata is not a positive number: it is not used");
            assembled.warnings.push(warning);
        }
        number
    };
    let (clamp, epsilon) = (positive("conv_clamp"), positive("batch_norm_epsilon"));
    let (last, instance) = (positive("last_norm_epsilon"), positive("instance_norm_epsilon"));
    assembled.batch_norm_epsilon = epsilon.unwrap_or(assembled.batch_norm_epsilon);
    // Files converted before it was kept apart: Brock's networks have one row of statistics and PyTorch's own epsilon.
    let one_row = |entry: &Entry| entry.shape.first() == Some(&1);
    let one_row = assembled.tensors.get("generator.bn.running_means").is_some_and(one_row);
    let last = last.or(if converted && one_row { Some(BATCH_NORM_EPSILON) } else { epsilon });
    if matches!(assembled.family, Family::BigGanDeep) {
        assembled.last_norm_epsilon = last.unwrap_or(assembled.last_norm_epsilon);
    }
    assembled.instance_norm_epsilon = instance.unwrap_or(assembled.instance_norm_epsilon);
    assembled.noise_of_blocks |= converted && text("noise_of") == Some("blocks");
    if assembled.family == Family::Pggan {
        let told = text("classes").map(|count| (count, text("classes_normalised") == Some("with z")));
        pggan::apply_classes(assembled, converted, told)?;
    }
    if matches!(assembled.family, Family::StyleGan2 | Family::StyleGan3) {
        assembled.conv_clamp = if converted { clamp } else { assembled.conv_clamp.or(clamp) };
    }
    let misread = assembled.conventions.apply(&checkpoint.metadata);
    assembled.warnings.extend(misread);
    let guesses = std::mem::take(&mut assembled.guesses).into_iter().filter(|(key, _)| text(key).is_none());
    assembled.warnings.extend(guesses.map(|(_, warning)| warning.to_owned()));
    if assembled.clamp_unknown && !converted && assembled.conv_clamp.is_none() {
        let warning =
            "the file does not say whether activations are clamped (conv_clamp is kept in .pkl files only): none is";
        assembled.warnings.push(warning.into());
    }
    if let Some(config) = checkpoint.config.as_deref().filter(|_| assembled.layout == biggan_deep::HUGGING_FACE) {
        biggan_deep::apply_config(assembled, config)?;
    }
    Ok(())
}
