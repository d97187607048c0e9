//! What a TorchScript archive says of its network: its objects as a state dict, and its forward function as a recipe.

mod arguments;
mod operators;
mod run;
mod shapes;
mod syntax;
mod tokens;

use super::flow::{Flowing, Obstacle, unknown};
use super::state_dict::StateDict;
use super::stated;
use crate::checkpoint::{Object, Script, Tree, Value};
use crate::recipe::{Input, Recipe};
use run::Run;

/// Names of all classes of an archive start so.
const ROOT: &str = "__torch__.";
/// Objects within objects.
const MAX_DEPTH: usize = 32;
/// Objects and their attributes, counting shared ones each time.
const MAX_PARTS: usize = 100_000;
/// Bytes of a tensor's name.
const MAX_NAME: usize = 512;

/// An object of a class of the archive.
fn object(tree: &Tree, value: Value) -> Option<&Object> {
    tree.object(value).filter(|object| object.class.starts_with(ROOT))
}

/// The tensors of all objects under dotted names, as a state dict has them, and the constants as `CONSTANTS.c0`.
///
/// # Errors
/// The root is no module, or modules contain each other without end.
pub(super) fn collect(tree: &Tree, script: &Script) -> Result<StateDict, String> {
    let root = tree.root();
    let class = object(tree, root).map(|object| object.class.to_string());
    let mut state = StateDict::default();
    state.class = Some(class.ok_or("a TorchScript archive without a module")?);
    let mut parts = MAX_PARTS;
    let mut waiting = vec![(String::new(), root, 0)];
    while let Some((prefix, value, depth)) = waiting.pop() {
        let Some(object) = object(tree, value) else { continue };
        let attributes = tree.entries(object.state).unwrap_or_default();
        let left = parts.checked_sub(attributes.len() + 1).filter(|_| depth < MAX_DEPTH);
        parts = left.ok_or("modules that contain each other without end")?;
        let mut children = Vec::new();
        for &(key, value) in attributes {
            let Some(name) = tree.text(key).filter(|name| prefix.len() + name.len() < MAX_NAME) else { continue };
            let name = format!("{prefix}{name}");
            match tree.tensor(value) {
                Some(tensor) => state.insert(name, tensor.clone()),
                None => children.push((format!("{name}."), value, depth + 1)),
            }
        }
        waiting.extend(children.into_iter().rev());
    }
    let constants = script.constants.items(script.constants.root()).unwrap_or_default();
    for (at, &constant) in constants.iter().enumerate().take(MAX_PARTS) {
        if let Some(tensor) = script.constants.tensor(constant) {
            state.insert(format!("CONSTANTS.c{at}"), tensor.clone());
        }
    }
    Ok(state)
}

/// The recipe of the forward function. Tensors that only it has (transposed ones) are added to `state`.
///
/// # Errors
/// It takes no code, or has something that no recipe can say.
pub(super) fn recipe(tree: &Tree, script: &Script, state: &mut StateDict) -> Flowing<Recipe> {
    let Some(root) = object(tree, tree.root()) else { return unknown("no module") };
    let forward = Run::new(tree, script, state).function(&root.class, "forward").map_err(Obstacle::Unknown)?;
    let names: Vec<&str> =
        forward.parameters.iter().filter(|(_, default)| default.is_none()).map(|(name, _)| name.as_str()).collect();
    let inputs: Vec<Input> = match names[..] {
        [_] => vec![Input::Z],
        [first, second] if stated::names_class(first) && !stated::names_class(second) => vec![Input::Class, Input::Z],
        [_, _] => vec![Input::Z, Input::Class],
        _ => {
            return unknown(format!(
                "a forward function of {} inputs, expected a code and perhaps a class",
                names.len()
            ));
        }
    };
    stated::solve(|width| Run::new(tree, script, state).forward(&inputs, width))
}
