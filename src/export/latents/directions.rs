//! Directions that other tools found: boundaries, learned matrices, principal components, in any file that codes are read from.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::find::{Found, Role};
use super::{Latents, LatentsError, MAX_VALUES};
use crate::edit::{Direction, LayerSet, Origin, Vectors};
use crate::generator::ModelInfo;

/// How the axes of an array are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectionsAs {
    /// A direction in each row, `[k, dim]`.
    Rows,
    /// In each column, `[dim, k]`.
    Columns,
    /// A vector for each layer, `[layers, dim]`, of one direction or of each of several.
    Layers,
}

impl DirectionsAs {
    pub const ALL: [DirectionsAs; 3] = [DirectionsAs::Rows, DirectionsAs::Columns, DirectionsAs::Layers];

    pub fn name(self) -> &'static str {
        match self {
            DirectionsAs::Rows => "rows",
            DirectionsAs::Columns => "columns",
            DirectionsAs::Layers => "layers",
        }
    }
}

impl FromStr for DirectionsAs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = DirectionsAs::ALL.into_iter().find(|reading| reading.name() == text);
        found.ok_or_else(|| format!("expected rows, columns or layers, found {text:?}"))
    }
}

impl fmt::Display for DirectionsAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A direction of a file, in all layers of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct ForeignDirection {
    pub name: String,
    pub direction: Direction,
    /// It is as long as a standard deviation of codes along it.
    pub counts_sigmas: bool,
}

impl ForeignDirection {
    /// Half-width of a slider that goes about as far as those of the model's own directions; `None` where that is so anyway.
    pub fn range(&self, info: &ModelInfo) -> Option<f32> {
        const SIGMAS: f32 = 3.0;
        if self.counts_sigmas {
            return Some(SIGMAS);
        }
        let range = info.slider_range / self.direction.length() as f32;
        let is_unit = (range / info.slider_range - 1.0).abs() < 0.01;
        // Two digits: nobody wants a slider to 17.320509.
        let digits = 10_f32.powf(range.log10().floor() - 1.0);
        (!is_unit && range.is_finite() && digits > 0.0).then(|| (range / digits).round() * digits)
    }
}

/// The directions of a file, and what they were taken for.
#[derive(Clone, Debug, PartialEq)]
pub struct ForeignDirections {
    pub directions: Vec<ForeignDirection>,
    /// One for each array: "smile.npy: array [1, 512] is read as 1 direction".
    pub readings: Vec<String>,
}

impl Latents {
    /// The arrays as directions of a model, read as `asked` if their shapes fit several readings.
    ///
    /// # Errors
    /// No array has the shape of directions of the model, one fits two readings, or its numbers are none or all zero.
    pub fn directions(&self, asked: Option<DirectionsAs>, info: &ModelInfo) -> Result<ForeignDirections, LatentsError> {
        let mut result = ForeignDirections { directions: Vec::new(), readings: Vec::new() };
        let mut left = MAX_VALUES;
        // Where moves act.
        let space = if info.w_dim.is_some() { "w" } else { "z" };
        let arrays = self.direction_arrays(asked, info)?;
        let several = arrays.len() > 1;
        for found in arrays {
            let reading = self.reading_of(found, asked, info)?;
            let values = self.values(found, &mut left)?;
            let mut vectors = reading.vectors(&values, info.code_dim(), info.num_layers);
            let sigmas = self.sigmas_of(found, vectors.len());
            let counts_sigmas = match sigmas {
                Some(sigmas) => {
                    let sigmas = self.values(sigmas, &mut left)?;
                    vectors.iter_mut().zip(sigmas).for_each(|(vectors, sigma)| scale(vectors, sigma));
                    true
                }
                None => false,
            };
            let (count, shape) = (vectors.len(), found.numbers.shape());
            let name = self.name_of(found, several);
            for (index, vectors) in vectors.into_iter().enumerate() {
                let (name, origin) = called(&self.path, &name, index, count);
                let direction = Direction { layers: LayerSet::range(0, info.num_layers - 1), vectors, origin };
                if direction.length() == 0.0 {
                    return Err(LatentsError::NoLength { path: self.path.clone(), key: found.name(), index });
                }
                result.directions.push(ForeignDirection { name, direction, counts_sigmas });
            }
            let plural = if count == 1 { "direction" } else { "directions" };
            let how = match (reading, count) {
                (DirectionsAs::Rows, _) => "",
                (DirectionsAs::Columns, _) => ", one a column",
                (DirectionsAs::Layers, _) => " with a vector for each layer",
            };
            let unit = if counts_sigmas { ", in standard deviations" } else { "" };
            let array = if found.path.is_empty() { String::new() } else { format!(" {}", found.name()) };
            let path = self.path.display();
            result
                .readings
                .push(format!("{path}: array{array} {shape:?} is read as {count} {plural} of {space}{how}{unit}"));
        }
        Ok(result)
    }

    /// True if the file cannot be a checkpoint: all its arrays are directions of the model, or what lies beside directions.
    pub fn is_of_directions(&self, info: &ModelInfo) -> bool {
        let fits = |found: &Found| !readings(found.numbers.shape(), info.code_dim(), info.num_layers).is_empty();
        let is_parameter =
            |found: &Found| found.last_key().is_some_and(|key| key.ends_with(".weight") || key.ends_with(".bias"));
        let is_beside = |found: &Found| found.role().is_some();
        !self.found.iter().any(is_parameter)
            && self.found.iter().all(|found| fits(found) || is_beside(found))
            && self.direction_arrays(None, info).is_ok()
    }

    /// The arrays that are meant: those that are named so, else those of which nothing else is known.
    fn direction_arrays(&self, asked: Option<DirectionsAs>, info: &ModelInfo) -> Result<Vec<&Found>, LatentsError> {
        if self.is_chosen || self.found.len() == 1 {
            return Ok(self.found.iter().collect());
        }
        let fits = |found: &&Found| {
            let readings = readings(found.numbers.shape(), info.code_dim(), info.num_layers);
            asked.map_or(!readings.is_empty(), |asked| readings.contains(&asked))
        };
        let has_latent_components = self.found.iter().any(|found| found.is_called(&["latcomp"]));
        // GANSpace keeps what moves latents beside what it is in a layer's outputs.
        let is_of_outputs = |found: &Found| has_latent_components && found.is_called(&["actcomp"]);
        let of_role = |role: Option<Role>| {
            let meant = self.found.iter().filter(move |found| found.role() == role && !is_of_outputs(found));
            meant.filter(fits).collect::<Vec<_>>()
        };
        let named = of_role(Some(Role::Directions));
        let chosen = if named.is_empty() { of_role(None) } else { named };
        if chosen.is_empty() {
            let found =
                self.found.iter().map(|found| format!("{} {:?}", found.name(), found.numbers.shape())).collect();
            return Err(LatentsError::NoDirections { path: self.path.clone(), expected: expected(info), found });
        }
        Ok(chosen)
    }

    fn reading_of(
        &self,
        found: &Found,
        asked: Option<DirectionsAs>,
        info: &ModelInfo,
    ) -> Result<DirectionsAs, LatentsError> {
        let shape = found.numbers.shape();
        let possible = readings(shape, info.code_dim(), info.num_layers);
        let (path, key) = (self.path.clone(), found.name());
        // rosinality's factorisation has a direction in each column.
        let told = asked.or(found.is_called(&["eigvec"]).then_some(DirectionsAs::Columns));
        match (told, &possible[..]) {
            (Some(told), _) if possible.contains(&told) => Ok(told),
            (None, [only]) => Ok(*only),
            (None, [_, _, ..]) => {
                Err(LatentsError::UnclearDirections { path, key, shape: shape.to_vec(), readings: possible })
            }
            _ => {
                let (expected, found) = (expected(info), shape.to_vec());
                Err(LatentsError::DirectionsShape { path, key, expected, found })
            }
        }
    }

    /// Standard deviations along the components in an array: GANSpace's caches and their like count in these.
    fn sigmas_of(&self, found: &Found, count: usize) -> Option<&Found> {
        const COMPONENTS: [&str; 3] = ["latcomp", "comp", "components"];
        const SIGMAS: [&str; 4] = ["latstdev", "latstd", "stdev", "std"];
        if !found.is_called(&COMPONENTS) {
            return None;
        }
        let is_theirs = |other: &&Found| {
            let shape = other.numbers.shape();
            other.is_called(&SIGMAS) && other.is_beside(found) && shape.iter().product::<usize>() == count
        };
        self.found.iter().chain(&self.others).find(is_theirs)
    }

    /// The name of an array; before what says nothing but a number, or what such arrays are, that of the file.
    fn name_of(&self, found: &Found, several: bool) -> String {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let title = found.title();
        let name = match title.chars().any(char::is_alphabetic) {
            true => title,
            false if several && title.is_empty() => format!("{stem} {}", found.name()),
            false => format!("{stem} {title}"),
        };
        name.trim().chars().filter(|letter| !letter.is_control()).take(MAX_LETTERS).collect()
    }
}

/// Of a name; with its number a name stays shorter than what a library keeps.
const MAX_LETTERS: usize = 150;

/// Name and origin of direction `index` of `count` in an array.
fn called(path: &Path, name: &str, index: usize, count: usize) -> (String, Origin) {
    if count > 1 {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return (format!("{name} {}", index + 1), Origin::File { name: file, index });
    }
    let name = name.to_owned();
    let origin = match name.to_lowercase().contains("boundary") {
        true => Origin::Boundary { name: name.clone() },
        false => Origin::Learned { name: name.clone() },
    };
    (name, origin)
}

/// What an array of this shape can be. Axes of length 1 say nothing, except that they tell a stack from one direction.
fn readings(shape: &[usize], dim: usize, layers: usize) -> Vec<DirectionsAs> {
    let Some(count) = shape.iter().try_fold(1_usize, |product, &axis| product.checked_mul(axis)) else {
        return Vec::new();
    };
    if count == 0 {
        return Vec::new();
    }
    if count == dim && (shape.contains(&dim) || dim == 1) {
        return vec![DirectionsAs::Rows];
    }
    let has_layers = layers > 1;
    if has_layers && shape.len() > 2 && shape.ends_with(&[layers, dim]) {
        return vec![DirectionsAs::Layers];
    }
    if let &[_, 1, last] = shape
        && last == dim
    {
        return vec![DirectionsAs::Rows];
    }
    let long: Vec<usize> = shape.iter().copied().filter(|&axis| axis != 1).collect();
    let flat = layers.saturating_mul(dim);
    let fits = |reading: &DirectionsAs| match (reading, &long[..]) {
        (DirectionsAs::Rows, &[_, last]) => last == dim,
        (DirectionsAs::Columns, &[first, _]) => first == dim,
        (DirectionsAs::Layers, &[last]) => has_layers && last == flat,
        (DirectionsAs::Layers, &[first, last]) => has_layers && (last == flat || first == layers && last == dim),
        _ => false,
    };
    DirectionsAs::ALL.into_iter().filter(fits).collect()
}

impl DirectionsAs {
    /// The directions of an array that is read so.
    fn vectors(self, values: &[f32], dim: usize, layers: usize) -> Vec<Vectors> {
        match self {
            DirectionsAs::Rows => values.chunks_exact(dim).map(|row| Vectors::One(row.to_vec())).collect(),
            DirectionsAs::Columns => {
                let count = values.len() / dim;
                let column = |at: usize| values.iter().skip(at).step_by(count).copied().collect();
                (0..count).map(|at| Vectors::One(column(at))).collect()
            }
            DirectionsAs::Layers => values.chunks_exact(layers * dim).map(|all| of_layers(all, dim)).collect(),
        }
    }
}

/// Vectors that are the same in every layer are one.
fn of_layers(values: &[f32], dim: usize) -> Vectors {
    let first = &values[..dim];
    match values.chunks_exact(dim).all(|vector| vector == first) {
        true => Vectors::One(first.to_vec()),
        false => Vectors::PerLayer(values.chunks_exact(dim).map(<[f32]>::to_vec).collect()),
    }
}

fn scale(vectors: &mut Vectors, factor: f32) {
    let all = match vectors {
        Vectors::One(vector) => std::slice::from_mut(vector),
        Vectors::PerLayer(vectors) => vectors,
    };
    all.iter_mut().flatten().for_each(|x| *x *= factor);
}

/// The shapes that are read, for messages.
fn expected(info: &ModelInfo) -> String {
    let (dim, layers) = (info.code_dim(), info.num_layers);
    let mut shapes = format!("[{dim}], [k, {dim}]");
    if layers > 1 {
        shapes.push_str(&format!(", [{layers}, {dim}], [k, {layers}, {dim}], [k, {}]", layers * dim));
    }
    shapes + &format!(" or, one a column, [{dim}, k]")
}

/// The possible readings, as options.
pub(super) fn as_options(readings: &[DirectionsAs], shape: &[usize]) -> String {
    let long: Vec<usize> = shape.iter().copied().filter(|&axis| axis != 1).collect();
    let option = |reading: &DirectionsAs| {
        let what = match reading {
            DirectionsAs::Rows => format!("{} directions, one a row", long[0]),
            DirectionsAs::Columns => format!("{} directions, one a column", long[long.len() - 1]),
            DirectionsAs::Layers => "a vector for each layer".to_owned(),
        };
        format!("{what} (--as {reading})")
    };
    readings.iter().map(option).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::DirectionsAs::{Columns, Layers, Rows};
    use super::*;

    #[test]
    fn shapes_tell_what_an_array_is_or_that_it_can_be_two_things() {
        let of = |shape: &[usize]| readings(shape, 16, 8);
        for shape in [&[16][..], &[1, 16], &[16, 1], &[1, 1, 16]] {
            assert_eq!(of(shape), [Rows], "{shape:?}");
        }
        assert_eq!((of(&[5, 16]), of(&[5, 1, 16]), of(&[8, 1, 16])), (vec![Rows], vec![Rows], vec![Rows]));
        assert_eq!((of(&[1, 8, 16]), of(&[5, 8, 16]), of(&[1, 5, 8, 16])), (vec![Layers], vec![Layers], vec![Layers]));
        assert_eq!((of(&[128]), of(&[1, 128]), of(&[3, 128])), (vec![Layers], vec![Layers], vec![Layers]));
        assert_eq!(of(&[8, 16]), [Rows, Layers]);
        assert_eq!((of(&[16, 5]), of(&[16, 16])), (vec![Columns], vec![Rows, Columns]));
        for shape in [&[][..], &[0], &[0, 16], &[15], &[5, 15], &[2, 3, 16], &[usize::MAX, 16]] {
            assert_eq!(of(shape), [], "{shape:?}");
        }
        assert_eq!((readings(&[1, 16], 16, 1), readings(&[3, 16], 16, 1)), (vec![Rows], vec![Rows]));
        assert_eq!(
            as_options(&of(&[8, 16]), &[8, 16]),
            "8 directions, one a row (--as rows) or a vector for each layer (--as layers)"
        );
    }

    #[test]
    fn columns_are_turned_and_equal_layers_are_one_vector() {
        assert_eq!(
            Columns.vectors(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 1),
            [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]].map(|vector| Vectors::One(vector.to_vec()))
        );
        assert_eq!(Layers.vectors(&[1.0, 2.0, 1.0, 2.0], 2, 2), [Vectors::One(vec![1.0, 2.0])]);
        let apart = Vectors::PerLayer(vec![vec![1.0, 2.0], vec![3.0, 4.0]]);
        assert_eq!(Layers.vectors(&[1.0, 2.0, 3.0, 4.0], 2, 2), [apart]);
    }
}
