//! Which of the arrays in a file are meant: by their names, and by what fits the model.

use std::path::Path;

use super::LatentsError;
use super::file::{Item, Numbers, UNNAMED};
use super::reading::Space;

/// An array of a file.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Names and numbers on the way to it, such as `photo.jpg/latent/0`; empty if the file is the array.
    pub path: Vec<Step>,
    pub numbers: Numbers,
    /// Noise lies beside it, as in what rosinality's projector writes: its `latent` is in w.
    beside_noise: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Key(String),
    /// In a list.
    Index(usize),
}

/// What the name of an array promises.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Role {
    /// Latent codes, perhaps of a space that the name tells.
    Codes(Option<Space>),
    Directions,
    /// Pictures, noise, averages, losses: what lies beside codes.
    Beside,
}

const Z: &[&str] = &["z", "zs", "zlatent", "zlatents", "latentz", "latentsz", "zcode", "zcodes"];
const W: &[&str] = &["w", "wlatent", "wlatents", "latentw", "wcode", "wcodes", "projectedw"];
const W_PLUS: &[&str] = &[
    "ws",
    "wp",
    "wps",
    "w+",
    "wplus",
    "dlatent",
    "dlatents",
    "projectedws",
    "projectedwplus",
    "latentwplus",
    "latentsw+",
    "latentw+",
    "w+latent",
    "wpluslatent",
    "wpluslatents",
    "w+latents",
];
const CODES: &[&str] = &[
    "latent",
    "latents",
    "code",
    "codes",
    "latentcode",
    "latentcodes",
    "projected",
    "projection",
    "styles",
    "inversion",
];
const DIRECTIONS: &[&str] = &[
    "eigvec",
    "eigvecs",
    "eigenvector",
    "eigenvectors",
    "direction",
    "directions",
    "boundary",
    "boundaries",
    "component",
    "components",
    "latcomp",
    "actcomp",
    "comp",
    "comps",
    "semantics",
    "semanticdirections",
];
const BESIDE: &[&str] = &[
    "noise",
    "noises",
    "img",
    "imgs",
    "image",
    "images",
    "wavg",
    "latentavg",
    "latentsavg",
    "dlatentavg",
    "avg",
    "mean",
    "meanlatent",
    "latentmean",
    "wmean",
    "latmean",
    "wstd",
    "latentstd",
    "latstdev",
    "std",
    "stdev",
    "label",
    "labels",
    "class",
    "classes",
    "loss",
    "losses",
    "lpips",
    "mask",
    "masks",
    "eigval",
    "eigvals",
    "variance",
    "variances",
    "varratio",
    "randomstdevs",
    "actmean",
    "actstdev",
    "eigenvalue",
    "eigenvalues",
    "seed",
    "seeds",
    "step",
    "lr",
    "psi",
];

/// A name as it is compared: without capitals, dashes and dots.
pub(super) fn plain(name: &str) -> String {
    name.to_lowercase().chars().filter(|c| c.is_alphanumeric() || *c == '+').collect()
}

impl Role {
    fn of(name: &str) -> Option<Role> {
        let plain = plain(name);
        let one_of = |names: &[&str]| names.contains(&plain.as_str());
        Some(match () {
            () if one_of(Z) => Role::Codes(Some(Space::Z)),
            () if one_of(W) => Role::Codes(Some(Space::W)),
            () if one_of(W_PLUS) => Role::Codes(Some(Space::WPlus)),
            () if one_of(CODES) => Role::Codes(None),
            () if one_of(DIRECTIONS) => Role::Directions,
            () if one_of(BESIDE) => Role::Beside,
            () => return None,
        })
    }
}

impl Found {
    /// The path as people write it.
    pub(super) fn name(&self) -> String {
        let steps = self.path.iter().map(|step| match step {
            Step::Key(key) => key.clone(),
            Step::Index(index) => index.to_string(),
        });
        if self.path.is_empty() { UNNAMED.to_owned() } else { steps.collect::<Vec<_>>().join("/") }
    }

    fn keys(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.path.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
    }

    /// What its path says besides what such arrays are: "smile" of `directions/smile`; empty if that is nothing.
    pub(super) fn title(&self) -> String {
        let steps = self.path.iter().filter_map(|step| match step {
            Step::Key(key) => Role::of(key).is_none().then(|| key.clone()),
            Step::Index(index) => Some((index + 1).to_string()),
        });
        steps.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn last_key(&self) -> Option<&str> {
        self.keys().next_back()
    }

    /// True if its own name is one of these, which are plain.
    pub(super) fn is_called(&self, names: &[&str]) -> bool {
        matches!(self.path.last(), Some(Step::Key(key)) if names.contains(&plain(key).as_str()))
    }

    /// True if both lie in the same map.
    pub(super) fn is_beside(&self, other: &Found) -> bool {
        self.path.split_last().map(|(_, map)| map) == other.path.split_last().map(|(_, map)| map)
    }

    /// What the innermost telling name says.
    pub(super) fn role(&self) -> Option<Role> {
        match self.keys().rev().find_map(Role::of) {
            Some(Role::Codes(None)) if self.beside_noise => Some(Role::Codes(Some(Space::W))),
            role => role,
        }
    }

    /// True inside a list, or under the name of a photo: then each array is one photo's.
    pub(super) fn is_one_of_many(&self) -> bool {
        self.path.iter().any(|step| match step {
            Step::Index(_) => true,
            Step::Key(key) => is_photo(key),
        })
    }

    /// Arrays of one series share this: their names without list numbers and photos' names.
    fn series(&self) -> Vec<&str> {
        let telling = self.keys().rev().find(|key| matches!(Role::of(key), Some(Role::Codes(_))));
        match telling {
            Some(key) => vec![key],
            None => self.keys().map(|key| if is_photo(key) { "" } else { key }).collect(),
        }
    }

    /// True if `wanted` is the path, or a name on it.
    fn answers_to(&self, wanted: &str) -> bool {
        self.name() == wanted && !self.path.is_empty() || self.keys().any(|key| key == wanted)
    }
}

fn is_photo(key: &str) -> bool {
    let key = key.to_lowercase();
    [".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"].iter().any(|end| key.ends_with(end))
}

/// All arrays of a file, in its order.
pub(super) fn arrays(item: Item) -> Vec<Found> {
    let mut found = Vec::new();
    collect(item, &mut Vec::new(), false, &mut found);
    found
}

fn collect(item: Item, path: &mut Vec<Step>, beside_noise: bool, found: &mut Vec<Found>) {
    match item {
        Item::Array(numbers) => found.push(Found { path: path.clone(), numbers, beside_noise }),
        Item::Map(entries) => {
            let has_noise = entries.iter().any(|(key, _)| key == "noise");
            for (key, entry) in entries {
                path.push(Step::Key(key));
                collect(entry, path, has_noise, found);
                path.pop();
            }
        }
        Item::List(items) => {
            for (index, entry) in items.into_iter().enumerate() {
                path.push(Step::Index(index));
                collect(entry, path, beside_noise, found);
                path.pop();
            }
        }
        Item::Number(_) | Item::Other => {}
    }
}

/// The arrays under a name that was asked for, and the others.
pub(super) fn named(path: &Path, found: Vec<Found>, wanted: &str) -> Result<(Vec<Found>, Vec<Found>), LatentsError> {
    let keys: Vec<String> = found.iter().filter(|found| !found.path.is_empty()).map(Found::name).collect();
    let exact = found.iter().any(|found| found.name() == wanted);
    let meant = |found: &Found| if exact { found.name() == wanted } else { found.answers_to(wanted) };
    let (matching, others): (Vec<Found>, Vec<Found>) = found.into_iter().partition(meant);
    match matching.is_empty() || wanted == UNNAMED {
        false => Ok((matching, others)),
        true => Err(LatentsError::NoSuchKey { path: path.into(), key: wanted.into(), keys }),
    }
}

/// The one series of arrays that is meant where no name was asked for. `fits` tells whether an array may hold codes of the
/// model.
pub(super) fn series(path: &Path, found: &[Found], fits: impl Fn(&Found) -> bool) -> Result<Vec<Found>, LatentsError> {
    let possible = |found: &&Found| !matches!(found.role(), Some(Role::Directions | Role::Beside)) && fits(found);
    let fitting: Vec<&Found> = found.iter().filter(possible).collect();
    let telling: Vec<&Found> = fitting.iter().copied().filter(|found| found.role().is_some()).collect();
    let chosen = if telling.is_empty() { fitting } else { telling };
    let Some(first) = chosen.first() else { return Ok(Vec::new()) };
    if chosen.iter().any(|found| found.series() != first.series()) {
        let keys = chosen.iter().map(|found| found.name()).collect();
        return Err(LatentsError::Ambiguous { path: path.into(), keys });
    }
    Ok(chosen.into_iter().cloned().collect())
}
