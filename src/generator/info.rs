//! What the rest of the program may know about an open generator: plain facts, no tensors.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::edit::{
    Code, Direction, Edit, LayerSet, Noise, NoiseMode, Sample, Seed, SeedKind, Style, Truncation, Vectors, Waypoint,
};
use crate::family::Family;
use crate::layout::{ChannelOrder, Upsampling};
use crate::names::DirectionNames;
use crate::recipe::{Fact, Range, Recipe};
use crate::size::Size;

/// More moves than anybody makes by hand; bounds what an edit from a file may cost in every render.
pub const MAX_MOVES: usize = 4096;

/// Likewise of styles, each of which may have a code to map.
pub const MAX_STYLES: usize = 64;

/// Likewise of samples that a sample lies between: four, each of which may lie between four others, and so on.
pub const MAX_WAYPOINTS: usize = 400;

/// Facts about an open model. Downstream of `generator/` these replace every question about the family.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelInfo {
    /// A name to show: the title in the file's metadata, or the file's stem.
    pub name: String,
    /// BLAKE3 of the canonical tensors, in hex: the same for every container and layout of one network.
    pub identity: String,
    pub family: Family,
    /// Naming scheme of the file's tensors, such as "nvidia" or "rosinality".
    pub layout: String,
    /// Kind of file, such as "torch zip".
    pub container: String,
    /// Of the picture.
    #[serde(flatten)]
    pub size: Size,
    /// Picture channels: 1 grey, 3 RGB, 4 RGBA.
    pub channels: usize,
    pub z_dim: usize,
    /// Width of w; `None` where the latent space is z itself.
    pub w_dim: Option<usize>,
    /// Whose seeds are meant by the model's seeds: those of the tool that it comes from, unless its file says otherwise.
    pub seeds: SeedKind,
    pub num_layers: usize,
    /// The layers whose codes can be moved, `num_layers` of them.
    pub layers: Vec<LayerInfo>,
    /// Number of classes; `None` for unconditional models.
    pub classes: Option<usize>,
    /// True if the file carries program code (which is never run).
    pub carries_code: bool,
    /// Where in the file the network lies, and what is said of it: "g_ema (averaged; beside it: g, d)".
    pub network_taken: String,
    /// Parts of the file that were not used.
    pub ignored: Vec<String>,
    pub warnings: Vec<String>,
    /// Text that the file says of itself: title, licence, source.
    pub metadata: BTreeMap<String, String>,
    /// Names that the file gives to its directions.
    pub direction_names: DirectionNames,
    /// `Some` where truncation means something, with the family's customary setting.
    pub default_truncation: Option<Truncation>,
    /// True if the network has per-pixel noise inputs.
    pub has_noise: bool,
    /// True if the file has the noise that the network was trained to be shown with; else there is none or random noise.
    pub stores_noise: bool,
    /// What the channels of the network's pictures are. Shown and exported pictures are RGB; arrays are as the network makes them.
    pub channel_order: ChannelOrder,
    /// How the network doubles sizes, where that is a matter of choice and not of the family.
    pub upsampling: Option<Upsampling>,
    /// Half-width of a direction's slider, in latent units: `slider_range` in the file's metadata, or what is customary.
    pub slider_range: f32,
    /// The network step by step, where a recipe describes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Recipe>,
    /// What is known or guessed of such a network, and by what.
    pub facts: Vec<Fact>,
}

/// One latent layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerInfo {
    pub index: usize,
    /// Canonical tensor prefix, such as "synthesis.b8.conv0".
    pub name: String,
    /// Of the layer's output.
    #[serde(flatten)]
    pub size: Size,
    /// Number of style outputs (rows of the layer's style weight).
    pub channels: usize,
}

/// The layer groups of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    Bottom,
    Middle,
    Top,
    All,
}

impl Group {
    pub const ALL: [Group; 4] = [Group::Bottom, Group::Middle, Group::Top, Group::All];

    pub fn name(self) -> &'static str {
        match self {
            Group::Bottom => "Bottom",
            Group::Middle => "Middle",
            Group::Top => "Top",
            Group::All => "All",
        }
    }
}

impl ModelInfo {
    /// Layers of a group: bottom 0-1, middle 2-5, top 6-last, as far as the model has them; `None` if it has none of it.
    pub fn group(&self, group: Group) -> Option<LayerSet> {
        let last = self.num_layers - 1;
        match group {
            Group::Bottom => Some(LayerSet::range(0, last.min(1))),
            Group::Middle => (last >= 2).then(|| LayerSet::range(2, last.min(5))),
            Group::Top => (last >= 6).then(|| LayerSet::range(6, last)),
            Group::All => Some(LayerSet::range(0, last)),
        }
    }

    /// Width of the codes that moves act on: w, or z where there is no w.
    pub fn code_dim(&self) -> usize {
        self.w_dim.unwrap_or(self.z_dim)
    }

    /// What a mode of noise amounts to: none, where stored noise is asked for and the file has none.
    pub fn noise_mode(&self, asked: NoiseMode) -> NoiseMode {
        match asked {
            NoiseMode::Const if self.has_noise && !self.stores_noise => NoiseMode::None,
            mode => mode,
        }
    }

    /// A seed as people mean it who speak of this model's seeds: one of the tool that the model comes from.
    pub fn seed(&self, number: u64) -> Seed {
        Seed { number, kind: self.seeds }
    }

    /// What the numbers of the network's own output mean; pictures here are -1..1 whatever it is.
    pub fn range(&self) -> Range {
        self.recipe.as_ref().map_or(Range::Signed, |recipe| recipe.range)
    }

    /// The edit a newly opened model starts from.
    pub fn start(&self, seed: u64) -> Edit {
        Edit {
            sample: Sample { code: Code::Seed(self.seed(seed)), class: self.classes.map(|_| 0), ..Sample::default() },
            truncation: self.default_truncation.unwrap_or_default(),
            noise: Noise { mode: self.noise_mode(NoiseMode::Const), seed: 0 },
            ..Edit::default()
        }
    }

    /// Why `layers` cannot be used with this model, if they cannot.
    pub fn check_layers(&self, layers: &LayerSet) -> Result<(), String> {
        if layers.last() < self.num_layers {
            return Ok(());
        }
        Err(format!("layers {layers}, but the model has layers 0 to {}", self.num_layers - 1))
    }

    /// Why `edit` cannot be applied to this model, if it cannot.
    pub fn check(&self, edit: &Edit) -> Result<(), String> {
        self.check_sample(&edit.sample)?;
        check_psi(edit.truncation)?;
        let waypoints = waypoints(&edit.sample);
        if waypoints > MAX_WAYPOINTS {
            return Err(format!("a code between {waypoints} others, expected at most {MAX_WAYPOINTS}"));
        }
        if edit.moves.len() > MAX_MOVES {
            return Err(format!("{} moves, expected at most {MAX_MOVES}", edit.moves.len()));
        }
        for step in &edit.moves {
            self.check_direction(&step.direction)?;
            if !step.value.is_finite() {
                return Err(format!("a move of {}, expected a finite number", step.value));
            }
        }
        Ok(())
    }

    fn check_sample(&self, sample: &Sample) -> Result<(), String> {
        self.check_code(&sample.code)?;
        self.check_classes(sample)?;
        self.check_styles(sample)
    }

    fn check_code(&self, code: &Code) -> Result<(), String> {
        let w_dim = || self.w_dim.ok_or_else(|| "a code in w, but the model's latent space is z".to_owned());
        match code {
            Code::Seed(seed) => seed.check(),
            Code::Z(z) => check_code("z", z, self.z_dim),
            Code::W(w) => check_code("w", w, w_dim()?),
            Code::WPlus(codes) if codes.len() != self.num_layers => {
                Err(format!("w+ has {} layers, the model has {}", codes.len(), self.num_layers))
            }
            Code::WPlus(codes) => {
                let w_dim = w_dim()?;
                codes.iter().try_for_each(|w| check_code("w+", w, w_dim))
            }
            Code::Between(between) => {
                between.check()?;
                between.through.iter().try_for_each(|Waypoint { sample, truncation }| {
                    self.check_sample(sample)?;
                    check_psi(*truncation)
                })
            }
        }
    }

    /// True if layers can take their codes from different samples.
    pub fn mixes_styles(&self) -> bool {
        self.num_layers > 1
    }

    fn check_styles(&self, sample: &Sample) -> Result<(), String> {
        let styles = &sample.styles;
        if styles.len() > MAX_STYLES {
            return Err(format!("{} styles, expected at most {MAX_STYLES}", styles.len()));
        }
        if !styles.is_empty() && !self.mixes_styles() {
            return Err("a style for some layers, but the model has one layer: its code is the whole sample".into());
        }
        styles
            .iter()
            .try_for_each(|style| self.check_style(sample, style).map_err(|problem| format!("a style: {problem}")))
    }

    fn check_style(&self, sample: &Sample, style: &Style) -> Result<(), String> {
        self.check_layers(&style.layers)?;
        self.check_code(&style.code)?;
        match (style.class, style.mix) {
            (None, Some(_)) => Err("a mixture of classes without the first of them".into()),
            _ => self.check_classes(&sample.of_style(style)),
        }
    }

    /// Why the model's codes cannot be moved along `direction`, if they cannot.
    pub fn check_direction(&self, direction: &Direction) -> Result<(), String> {
        self.check_layers(&direction.layers)?;
        match &direction.vectors {
            Vectors::One(vector) => check_code("a direction", vector, self.code_dim()),
            Vectors::PerLayer(vectors) if vectors.len() != direction.layers.len() => Err(format!(
                "a direction with {} vectors, expected one for each of its {} layers ({})",
                vectors.len(),
                direction.layers.len(),
                direction.layers
            )),
            Vectors::PerLayer(vectors) => {
                vectors.iter().try_for_each(|vector| check_code("a direction", vector, self.code_dim()))
            }
        }
    }

    fn check_classes(&self, sample: &Sample) -> Result<(), String> {
        let known = |class: usize| match self.classes {
            Some(classes) if class < classes => Ok(()),
            Some(classes) => Err(format!("class {class}, but the model has classes 0 to {}", classes - 1)),
            None => Err(format!("class {class}, but the model has no classes")),
        };
        match (sample.class, sample.mix) {
            (Some(class), None) => known(class),
            (Some(class), Some(mix)) => {
                known(class)?;
                known(mix.class)?;
                let amount = mix.amount;
                (0.0..=1.0)
                    .contains(&amount)
                    .then_some(())
                    .ok_or_else(|| format!("a class mixture of {amount}, expected 0 to 1"))
            }
            (None, _) if self.classes.is_some() => Err("no class, but the model needs one".into()),
            (None, Some(_)) => Err("a mixture of classes, but the model has no classes".into()),
            (None, None) => Ok(()),
        }
    }
}

fn check_psi(truncation: Truncation) -> Result<(), String> {
    let psi = truncation.psi;
    psi.is_finite().then_some(()).ok_or_else(|| format!("psi is {psi}, expected a finite number"))
}

/// Samples that a sample lies between, and those between which they lie.
fn waypoints(sample: &Sample) -> usize {
    let of_code = |code: &Code| match code {
        Code::Between(between) => between.through.iter().map(|point| 1 + waypoints(&point.sample)).sum(),
        _ => 0,
    };
    of_code(&sample.code) + sample.styles.iter().map(|style| of_code(&style.code)).sum::<usize>()
}

/// Why a code, or what is added to one, cannot be used, if it cannot.
fn check_code(what: &str, code: &[f32], expected: usize) -> Result<(), String> {
    if code.len() != expected {
        return Err(format!("{what} has {} numbers, expected {expected}", code.len()));
    }
    code.iter().all(|x| x.is_finite()).then_some(()).ok_or_else(|| format!("{what} holds a value that is not finite"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_tell_scripts_both_sides_and_the_larger_one() {
        let layer = LayerInfo { index: 0, name: "L".into(), size: Size::new(64, 128), channels: 3 };
        let json = serde_json::to_value(&layer).unwrap();
        let expected = serde_json::json!(
            {"index": 0, "name": "L", "width": 64, "height": 128, "resolution": 128, "channels": 3}
        );
        assert_eq!(json, expected);
        assert_eq!([Size::square(8).brief(), layer.size.brief(), layer.size.to_string()], ["8", "64x128", "64 x 128"]);
    }
}
