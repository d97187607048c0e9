//! What the numbers of an array are: codes in z, in w, or with one w per layer. By shape; axes of length 1 say nothing.

use std::fmt;
use std::str::FromStr;

use crate::edit::Code;
use crate::generator::ModelInfo;

/// The latent space that codes lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    Z,
    W,
    /// One w per layer.
    WPlus,
}

impl FromStr for Space {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "z" => Ok(Space::Z),
            "w" => Ok(Space::W),
            "w+" => Ok(Space::WPlus),
            other => Err(format!("expected z, w or w+, found {other:?}")),
        }
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Space::Z => "z",
            Space::W => "w",
            Space::WPlus => "w+",
        })
    }
}

/// The widths that codes of a model have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    pub z: usize,
    pub w: Option<usize>,
    pub layers: usize,
}

/// What is known of an array besides its shape.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clues {
    /// The space that was asked for.
    pub asked: Option<Space>,
    /// The space that the array's name tells.
    pub named: Option<Space>,
    /// It is one photo's array of many.
    pub is_one_of_many: bool,
    /// All its rows are the same numbers, as those of a w that was repeated for every layer.
    pub repeats: bool,
}

/// Why an array is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misread {
    Shape,
    /// One w per layer, or as many codes as there are layers.
    Ambiguous,
}

impl Widths {
    pub(super) fn of(info: &ModelInfo) -> Self {
        Widths { z: info.z_dim, w: info.w_dim, layers: info.num_layers }
    }

    /// True if an array of this shape holds codes of some space (of the one asked for).
    pub(super) fn fits(self, shape: &[usize], asked: Option<Space>) -> bool {
        let clues = Clues { asked, ..Clues::default() };
        !matches!(self.space(shape, clues), Err(Misread::Shape))
    }

    /// The space that an array of this shape lies in.
    ///
    /// The space asked for decides; then whether the last axes are a w per layer of a leading axis (`[N, layers, w]`); then the
    /// array's name; then the only width that fits; then z. `[layers, w]` is one w+, but where z is as wide as w it could
    /// as well be as many z: then nothing but a clue decides.
    pub(super) fn space(self, shape: &[usize], clues: Clues) -> Result<Space, Misread> {
        let plus = self.w.filter(|&w| fits(shape, &[self.layers, w])).is_some();
        let in_w = self.w.filter(|&w| fits(shape, &[w])).is_some();
        let in_z = fits(shape, &[self.z]);
        let stacked = plus && self.is_stacked(shape);
        let told = match clues.asked {
            Some(Space::Z) => return if in_z { Ok(Space::Z) } else { Err(Misread::Shape) },
            Some(Space::WPlus) => return if plus { Ok(Space::WPlus) } else { Err(Misread::Shape) },
            Some(Space::W) if stacked => return Ok(Space::WPlus),
            Some(Space::W) => {
                return match (in_w, plus) {
                    (true, _) => Ok(Space::W),
                    (false, true) => Ok(Space::WPlus),
                    (false, false) => Err(Misread::Shape),
                };
            }
            None => clues.named,
        };
        match told {
            _ if stacked => Ok(Space::WPlus),
            Some(Space::W | Space::WPlus) if plus => Ok(Space::WPlus),
            Some(Space::W | Space::WPlus) if in_w => Ok(Space::W),
            Some(Space::Z) if in_z => Ok(Space::Z),
            _ if plus && in_z && !clues.is_one_of_many && !clues.repeats && self.layers > 1 => Err(Misread::Ambiguous),
            _ if plus && self.layers > 1 => Ok(Space::WPlus),
            _ if in_z => Ok(Space::Z),
            _ if in_w => Ok(Space::W),
            _ => Err(Misread::Shape),
        }
    }

    /// True if the shape ends in `[layers, w]` with an axis before them, be it of length 1.
    fn is_stacked(self, shape: &[usize]) -> bool {
        let Some(w) = self.w else { return false };
        let trailing = shape.iter().rev().take_while(|&&axis| axis == 1 && w != 1).count();
        let shape = &shape[..shape.len() - trailing];
        shape.len() > 2 && shape.ends_with(&[self.layers, w])
    }

    /// The codes of values that lie in `space`.
    pub(super) fn codes(self, values: &[f32], space: Space) -> Vec<Code> {
        let w = self.w.unwrap_or(self.z);
        let per_layer = |code: &[f32]| Code::WPlus(code.chunks_exact(w).map(<[f32]>::to_vec).collect());
        match space {
            Space::Z => values.chunks_exact(self.z).map(|z| Code::Z(z.to_vec())).collect(),
            Space::W => values.chunks_exact(w).map(|w| Code::W(w.to_vec())).collect(),
            Space::WPlus => values.chunks_exact(self.layers * w).map(per_layer).collect(),
        }
    }

    /// The shapes that are read, for messages.
    pub(super) fn expected(self, asked: Option<Space>) -> String {
        let Widths { z, w, layers } = self;
        let in_z = format!("[N, {z}] in z");
        let Some(w) = w else {
            return if matches!(asked, None | Some(Space::Z)) { in_z } else { format!("{in_z}: the model has no w") };
        };
        let (in_w, plus) = (format!("[N, {w}] in w"), format!("[N, {layers}, {w}] with one w per layer"));
        match asked {
            Some(Space::Z) => in_z,
            Some(Space::W) => format!("{in_w}, or {plus}"),
            Some(Space::WPlus) => plus,
            None if z == w => format!("{in_z}, the same in w with --space w, or {plus}"),
            None => format!("{in_z}, {in_w}, or {plus}"),
        }
    }
}

/// True for `[code..]` and `[N, code..]`, N at least 1 and the first axis of all, with axes of length 1 anywhere else.
fn fits(shape: &[usize], code: &[usize]) -> bool {
    let long = |shape: &[usize]| shape.iter().copied().filter(|&axis| axis != 1).collect::<Vec<_>>();
    match long(shape).strip_suffix(&long(code)[..]) {
        Some([]) => true,
        Some([count]) => *count > 0 && shape.first() == Some(count),
        _ => false,
    }
}
