//! Latent codes and directions that other tools found, whatever file they are in: arrays alone, in maps and in lists.
//!
//! A file becomes one tree of arrays ([`file`]); names and shapes tell which of them are meant ([`find`]) and what space
//! their numbers lie in ([`reading`]). What was read is said; what could be two things is refused, never guessed in silence.

mod directions;
mod file;
mod find;
mod reading;

use std::io;
use std::path::{Path, PathBuf};

pub use directions::{DirectionsAs, ForeignDirection, ForeignDirections};
use file::{MAX_VALUES, Numbers, UNNAMED, too_large};
use find::{Found, Role};
pub use reading::Space;
use reading::{Clues, Misread, Widths};

use super::npy::NpyError;
use crate::checkpoint::CheckpointError;
use crate::edit::Code;
use crate::generator::ModelInfo;

/// The arrays of a file, not yet held against a model.
#[derive(Clone, Debug)]
pub struct Latents {
    path: PathBuf,
    found: Vec<Found>,
    /// Those that were not asked for, if others were.
    others: Vec<Found>,
    /// Only one name was asked for.
    is_chosen: bool,
}

/// Codes of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Codes {
    pub codes: Vec<Code>,
    /// What they were taken for, such as "array w [3, 1, 16]: 3 codes in w".
    pub reading: String,
    /// What may be wrong with that.
    pub doubt: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum LatentsError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: array {key} cannot be read")]
    Array { path: PathBuf, key: String, source: NpyError },
    #[error("{path} is a broken npz file")]
    Zip { path: PathBuf, source: zip::result::ZipError },
    #[error("{path} begins as JSON and is none")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error(
        "no arrays of numbers: expected npy, npz, safetensors, a PyTorch or pickle file, JSON or a table of numbers"
    )]
    Container(#[from] CheckpointError),
    #[error("{path} is an edit of this program, no list of codes; give it to --edit")]
    Edit { path: PathBuf },
    #[error("{path} holds no array of numbers")]
    Empty { path: PathBuf },
    #[error("{path} holds several arrays that can be codes; choose one with --latents-key: {}", listed(keys))]
    Ambiguous { path: PathBuf, keys: Vec<String> },
    #[error("{path} has no array named {key}; it has {}", listed(keys))]
    NoSuchKey { path: PathBuf, key: String, keys: Vec<String> },
    #[error("{path}: array {key} holds {found} numbers, more than the {MAX_VALUES} that are read")]
    TooLarge { path: PathBuf, key: String, found: u64 },
    #[error("{path}: array {key} has shape {found:?}; expected {expected}")]
    Shape { path: PathBuf, key: String, expected: String, found: Vec<usize> },
    #[error("{path} holds no array of a shape that codes of this model have, {expected}; it holds {}", listed(found))]
    NoneFits { path: PathBuf, expected: String, found: Vec<String> },
    #[error(
        "{path}: array {key} {shape:?} can be one code with a w for each of the {layers} layers (--space w+) or {layers} codes \
         in z or w (--space z, --space w); say which"
    )]
    Unclear { path: PathBuf, key: String, shape: Vec<usize>, layers: usize },
    #[error(
        "{path}: array {key} holds directions ({why}), not codes: a direction moves a code, it is none. \
         render --direction and the moves of an edit take directions; --space draws these as codes nevertheless"
    )]
    Directions { path: PathBuf, key: String, why: &'static str },
    #[error(
        "{path} holds no array of a shape that directions of this model have, {expected}; it holds {}",
        listed(found)
    )]
    NoDirections { path: PathBuf, expected: String, found: Vec<String> },
    #[error("{path}: array {key} has shape {found:?}; expected directions of this model, {expected}")]
    DirectionsShape { path: PathBuf, key: String, expected: String, found: Vec<usize> },
    #[error("{path}: array {key} {shape:?} can be {}; say which", directions::as_options(readings, shape))]
    UnclearDirections { path: PathBuf, key: String, shape: Vec<usize>, readings: Vec<DirectionsAs> },
    #[error("{path}: direction {index} of array {key} is zero: it leads nowhere")]
    NoLength { path: PathBuf, key: String, index: usize },
    #[error("{path}: array {key} holds {value} at position {position}; expected finite numbers")]
    NotFinite { path: PathBuf, key: String, position: usize, value: f32 },
}

/// Enough names to find the right one; a whole checkpoint has hundreds.
fn listed(keys: &[String]) -> String {
    match keys {
        [] => "one array without a name".into(),
        keys if keys.len() > 20 => format!("{}, ...", keys[..20].join(", ")),
        keys => keys.join(", "),
    }
}

impl Latents {
    /// Reads the arrays of a file, or those of the name `key` alone.
    ///
    /// # Errors
    /// The file cannot be read or holds no arrays (of that name).
    pub fn read(path: &Path, key: Option<&str>) -> Result<Self, LatentsError> {
        let mut found = find::arrays(file::read(path)?);
        if found.is_empty() {
            return Err(LatentsError::Empty { path: path.into() });
        }
        let mut others = Vec::new();
        if let Some(key) = key {
            (found, others) = find::named(path, found, key)?;
        }
        Ok(Latents { path: path.into(), found, others, is_chosen: key.is_some() })
    }

    /// The codes as starting points of edits, `space` being that of their numbers if it is known.
    ///
    /// # Errors
    /// No array has the shape of codes of the model, several may be meant, what an array holds is not clear, or its numbers
    /// are not finite.
    pub fn into_codes(self, space: Option<Space>, info: &ModelInfo) -> Result<Codes, LatentsError> {
        let widths = Widths::of(info);
        let chosen = self.choose(space, widths)?;
        let mut codes = Vec::new();
        let mut spaces = Vec::new();
        let mut doubt = None;
        let mut left = MAX_VALUES;
        for found in &chosen {
            let (shape, values) = (found.numbers.shape(), self.values(found, &mut left)?);
            let directions = match found.role() {
                Some(Role::Directions) => Some("by its name"),
                _ if are_orthonormal(&values, shape) => Some("its rows have length 1 and right angles"),
                _ => None,
            };
            match (directions, space) {
                (Some(why), None) => {
                    return Err(LatentsError::Directions { path: self.path.clone(), key: found.name(), why });
                }
                (Some(why), Some(_)) => doubt = Some(format!("array {} looks like directions: {why}", found.name())),
                (None, _) => {}
            }
            let named = match found.role() {
                Some(Role::Codes(named)) => named,
                _ => None,
            };
            let repeats = repeats(&values, shape);
            let clues = Clues { asked: space, named, is_one_of_many: found.is_one_of_many(), repeats };
            let read = widths.space(shape, clues).map_err(|misread| self.misread(misread, found, space, widths))?;
            codes.extend(widths.codes(&values, read));
            spaces.push(read);
        }
        let reading = self.reading(&chosen, codes.len(), spaces.first().copied().unwrap_or(Space::Z));
        Ok(Codes { codes, reading, doubt })
    }

    /// The arrays that are meant, in the file's order; at least one.
    fn choose(&self, space: Option<Space>, widths: Widths) -> Result<Vec<Found>, LatentsError> {
        if let [only] = &self.found[..] {
            return Ok(vec![only.clone()]);
        }
        let has_space = |found: &Found| {
            let other = match found.role() {
                Some(Role::Codes(Some(named))) => space.is_some_and(|space| (space == Space::Z) != (named == Space::Z)),
                _ => false,
            };
            !other && widths.fits(found.numbers.shape(), space)
        };
        let chosen = find::series(&self.path, &self.found, has_space)?;
        if !chosen.is_empty() {
            return Ok(chosen);
        }
        let path = self.path.clone();
        // What else lies in a file of directions does not make it one of codes.
        let directions = self.found.iter().find(|found| found.role() == Some(Role::Directions));
        if let Some(found) = directions.filter(|_| !self.is_chosen || space.is_none()) {
            return Err(LatentsError::Directions { path, key: found.name(), why: "by its name" });
        }
        let found = self.found.iter().map(|found| format!("{} {:?}", found.name(), found.numbers.shape())).collect();
        Err(LatentsError::NoneFits { path, expected: widths.expected(space), found })
    }

    /// The values of an array, finite. `left` counts down how many numbers may still be read.
    fn values(&self, found: &Found, left: &mut usize) -> Result<Vec<f32>, LatentsError> {
        let (path, key) = (self.path.clone(), found.name());
        let count = found.numbers.shape().iter().try_fold(1usize, |product, &axis| product.checked_mul(axis));
        let Some(fewer) = count.and_then(|count| left.checked_sub(count)) else {
            return Err(too_large(&path, Some(&key), count.map_or(u64::MAX, |count| count as u64)));
        };
        *left = fewer;
        let values = match &found.numbers {
            Numbers::Read(array) => array.values.clone(),
            Numbers::Stored(tensor) => match tensor.to_f32() {
                Ok(values) => values,
                Err(gone) => return Err(LatentsError::Read { path, source: io::Error::other(gone) }),
            },
        };
        match values.iter().position(|value| !value.is_finite()) {
            Some(position) => Err(LatentsError::NotFinite { path, key, position, value: values[position] }),
            None => Ok(values),
        }
    }

    fn misread(&self, misread: Misread, found: &Found, space: Option<Space>, widths: Widths) -> LatentsError {
        let (path, key, shape) = (self.path.clone(), found.name(), found.numbers.shape().to_vec());
        match misread {
            Misread::Shape => LatentsError::Shape { path, key, expected: widths.expected(space), found: shape },
            Misread::Ambiguous => LatentsError::Unclear { path, key, shape, layers: widths.layers },
        }
    }

    fn reading(&self, chosen: &[Found], codes: usize, space: Space) -> String {
        let arrays = match chosen {
            [only] if only.path.is_empty() => format!("array {:?}", only.numbers.shape()),
            [only] => format!("array {} {:?}", only.name(), only.numbers.shape()),
            [first, ..] => format!("{} arrays such as {} {:?}", chosen.len(), first.name(), first.numbers.shape()),
            [] => UNNAMED.to_owned(),
        };
        let are = if chosen.len() > 1 { "are" } else { "is" };
        let what = match (codes, space) {
            (1, Space::WPlus) => "1 code with one w per layer (w+)".to_owned(),
            (codes, Space::WPlus) => format!("{codes} codes with one w per layer (w+)"),
            (1, space) => format!("1 code in {space}"),
            (codes, space) => format!("{codes} codes in {space}"),
        };
        format!("{}: {arrays} {are} read as {what}", self.path.display())
    }
}

/// True for two or more rows of length 1 at right angles: the directions that factorisations give. Random codes never are.
fn are_orthonormal(values: &[f32], shape: &[usize]) -> bool {
    /// Rows that are looked at.
    const ROWS: usize = 8;
    const TOLERANCE: f64 = 1e-3;
    let (Some(&width), true) = (shape.last(), shape.iter().filter(|&&axis| axis != 1).count() == 2) else {
        return false;
    };
    if width < 2 || values.len() < 2 * width {
        return false;
    }
    let rows: Vec<&[f32]> = values.chunks_exact(width).take(ROWS).collect();
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    rows.iter().enumerate().all(|(i, a)| {
        let unit = (product(a, a) - 1.0).abs() < TOLERANCE;
        unit && rows[..i].iter().all(|b| product(a, b).abs() < TOLERANCE)
    })
}

/// True if there are several rows and all are the same.
fn repeats(values: &[f32], shape: &[usize]) -> bool {
    let width = shape.last().copied().unwrap_or(0);
    if width < 2 || values.len() < 2 * width {
        return false;
    }
    values.chunks_exact(width).all(|row| row == &values[..width])
}
