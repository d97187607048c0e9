//! TorchScript archives: objects, constants, and the text of their code, which is only ever read.

use std::collections::BTreeMap;

use super::budget::Budget;
use super::error::Broken;
use super::torch_zip::Zip;
use super::tree::Tree;

/// Files of code; one for every class.
const MAX_FILES: usize = 20_000;

/// What a TorchScript archive says of its network. The tree has its objects.
#[derive(Debug)]
pub struct Script {
    /// Texts by dotted name: `__torch__.torch.nn.modules.conv`.
    pub code: BTreeMap<String, String>,
    /// `CONSTANTS.c0` and so on: a list.
    pub constants: Tree,
}

/// The objects, and the program over them.
pub(super) fn read(zip: &mut Zip<'_>, budget: &mut Budget<'_>) -> Result<(Tree, Script), Broken> {
    let root = zip.root(budget)?;
    let objects = zip.pickle(&root, "data.pkl", "data/", budget)?;
    let constants = zip.pickle(&root, "constants.pkl", "constants/", budget)?;
    let folder = format!("{root}code/");
    let names = zip.names_in_order().into_iter().filter_map(|name| {
        let module = name.strip_prefix(&folder)?.strip_suffix(".py")?.replace('/', ".");
        Some((name, module))
    });
    let names: Vec<(String, String)> = names.collect();
    if names.len() > MAX_FILES {
        return Err(Broken::new("central directory", format!("{} files of code", names.len())));
    }
    let mut code = BTreeMap::new();
    for (name, module) in names {
        let bytes = zip.named(&name, budget)?;
        let place = || format!("entry {name}");
        budget.memory(bytes.len()).map_err(|what| Broken::new(place(), what))?;
        let bytes = bytes.load().map_err(|gone| Broken::new(place(), gone))?;
        let text = str::from_utf8(&bytes).map_err(|_| Broken::new(place(), "expected a text, found other bytes"))?;
        code.insert(module, text.to_string());
    }
    Ok((objects.tree, Script { code, constants: constants.tree }))
}
