//! Values that several subcommands take.

use std::ffi::OsString;
use std::str::FromStr;

use anyhow::{anyhow, bail};
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::classes::Classes;
use crate::edit::{Code, LayerSet, Seed, SeedKind, Style};
use crate::family::Family;
use crate::generator::{Group, ModelInfo};
use crate::gpu::{DeviceChoice, DeviceError, Precision, RenderDevice};
use crate::layout::{ChannelOrder, Upsampling};
use crate::recipe::{MAX_JSON, Recipe};
use crate::render::{Example, Source};

/// Pictures of one call; also bounds what a text like `0-99999999999` can allocate.
pub const MAX_FRAMES: usize = 100_000;

/// Where pictures are made, and how.
#[derive(Args, Clone, Copy)]
pub struct DeviceArguments {
    /// Where pictures are made: auto, gpu, gpu:N or cpu
    #[arg(long, global = true, default_value = "auto", hide_default_value = true, value_name = "DEVICE")]
    pub device: DeviceChoice,

    /// How a GPU stores weights and maps: f32, or f16 in half the memory and on matrix units [default: f32; in the window as it was left]
    #[arg(long, global = true, value_name = "PRECISION")]
    pub precision: Option<Precision>,
}

impl DeviceArguments {
    pub fn open(self) -> Result<RenderDevice, DeviceError> {
        Ok(RenderDevice::new(self.device)?.with_precision(self.precision.unwrap_or_default()))
    }
}

/// A path in any encoding, or `example:NAME`.
pub fn source() -> impl TypedValueParser<Value = Source> {
    OsStringValueParser::new().try_map(|text: OsString| match text.to_str() {
        None => Ok(Source::File(text.into())),
        Some(utf8) => match Source::from(utf8.to_owned()) {
            Source::File(_) if utf8.starts_with("example:") => {
                let names: Vec<String> =
                    Example::ALL.iter().map(|&example| Source::Example(example).to_string()).collect();
                Err(format!("expected {}, or a file", names.join(", ")))
            }
            source => Ok(source),
        },
    })
}

/// Which network of a file, and what a person knows of it that the file does not say; `convert` writes that into its file.
#[derive(Args)]
pub struct ReadingArguments {
    /// Network to use of several in the file, by its path there, such as g or state_dict.generator [default: the likeliest
    /// generator, its average before it; `info` says which]
    #[arg(long, value_name = "PATH")]
    network: Option<String>,

    /// How a StyleGAN2 doubles sizes where its names do not tell (BasicSR): fir or bilinear [default: fir]
    #[arg(long, value_name = "KIND")]
    upsampling: Option<Upsampling>,

    /// What the network's channels are: rgb or bgr. Pictures are shown and written as RGB [default: bgr for MMGeneration,
    /// else rgb]
    #[arg(long, value_name = "ORDER")]
    channels: Option<ChannelOrder>,

    /// Read the network step by step as this recipe says (`info --recipe` writes one), whatever its file says or leaves open
    #[arg(long = "as", value_name = "RECIPE.json", value_parser = recipe)]
    pub recipe: Option<String>,
}

/// The text of a recipe that can be used.
fn recipe(path: &str) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > MAX_JSON as u64 {
        return Err(format!("{length} bytes, expected at most {MAX_JSON}"));
    }
    let json = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Recipe::parse(&json).map_err(|error| error.to_string())?;
    Ok(json)
}

impl ReadingArguments {
    /// The source with all of it.
    pub fn of(&self, source: Source) -> Source {
        let upsampling = self.upsampling.map(|upsampling| ("upsampling", upsampling.to_string()));
        let channels = self.channels.map(|order| ("channel_order", order.to_string()));
        source.with_network(self.network.clone()).told(upsampling.into_iter().chain(channels))
    }

    /// Says which of it means nothing to a model.
    pub fn warn_of_no_effect(&self, family: Family) {
        if self.upsampling.is_some() && family != Family::StyleGan2 {
            super::warn(&format!("--upsampling has no effect: this is a {family}"));
        }
    }
}

/// A number that is one: neither NaN nor infinite.
pub fn finite(text: &str) -> Result<f32, String> {
    let number: Option<f32> = text.parse().ok();
    number.filter(|number| number.is_finite()).ok_or_else(|| "expected a finite number".into())
}

pub fn above_zero(text: &str) -> Result<f32, String> {
    finite(text).ok().filter(|&number| number > 0.0).ok_or_else(|| "expected a number above 0".into())
}

/// How far a mixture goes, 0 to 1.
pub fn share(text: &str) -> Result<f32, String> {
    finite(text).ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "expected a number from 0 to 1".into())
}

/// A list such as `0,3,10-12`.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers(pub Vec<u64>);

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = || "expected a list such as 0,3,10-12".to_owned();
        let number = |part: &str| part.trim().parse::<u64>().map_err(|_| expected());
        let mut numbers = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(expected());
            }
            if last - first >= (MAX_FRAMES - numbers.len()) as u64 {
                return Err(format!("expected at most {MAX_FRAMES} numbers"));
            }
            numbers.extend(first..=last);
        }
        Ok(Numbers(numbers))
    }
}

/// Whose seeds are meant; `None` for auto, those of the tool that the model comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeedsOf(pub Option<SeedKind>);

impl FromStr for SeedsOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(SeedsOf(None)),
            kind => kind
                .parse()
                .map(|kind| SeedsOf(Some(kind)))
                .map_err(|_| "expected auto, studio, numpy, torch or scipy".into()),
        }
    }
}

/// Classes by number or name, such as `0,10-12,golden retriever`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassList(Vec<ClassChoice>);

/// A class by number or name.
#[derive(Clone, Debug, PartialEq)]
pub enum ClassChoice {
    Number(u64),
    Name(String),
}

impl FromStr for ClassList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut classes = Vec::new();
        for part in text.split(',') {
            if part.contains(char::is_alphabetic) {
                classes.push(ClassChoice::Name(part.trim().to_owned()));
                continue;
            }
            let Numbers(numbers) = part.parse().map_err(|_| "expected a list such as 0,10-12,golden retriever")?;
            classes.extend(numbers.into_iter().map(ClassChoice::Number));
        }
        if classes.len() > MAX_FRAMES {
            return Err(format!("expected at most {MAX_FRAMES} classes"));
        }
        Ok(ClassList(classes))
    }
}

impl FromStr for ClassChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ClassList(mut classes) = text.parse()?;
        let class = classes.pop().filter(|_| classes.is_empty());
        class.ok_or_else(|| "expected one class, such as 207 or golden retriever".into())
    }
}

impl ClassList {
    /// The classes of a model that are meant; `option` is named if they are none.
    pub fn resolve(&self, option: &str, info: &ModelInfo) -> anyhow::Result<Vec<usize>> {
        self.0.iter().map(|class| class.resolve(option, info)).collect()
    }
}

impl ClassChoice {
    /// The class of a model that is meant; `option` is named if it is none.
    pub fn resolve(&self, option: &str, info: &ModelInfo) -> anyhow::Result<usize> {
        let Some(count) = info.classes else { bail!("{option}: {} has no classes", info.name) };
        match self {
            ClassChoice::Number(number) => match usize::try_from(*number).ok().filter(|&class| class < count) {
                Some(class) => Ok(class),
                None => bail!("{option}: expected classes from 0 to {} for {}, found {number}", count - 1, info.name),
            },
            ClassChoice::Name(name) => {
                Classes::new(count).named(name).map_err(|problem| anyhow!("{option}: {problem} ({})", info.name))
            }
        }
    }
}

/// `all`, `bottom`, `middle`, `top`, or layers such as `2-5,7`.
#[derive(Clone, Debug, PartialEq)]
pub enum LayerChoice {
    Group(Group),
    Set(LayerSet),
}

impl FromStr for LayerChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(group) = Group::ALL.into_iter().find(|group| group.name().eq_ignore_ascii_case(text)) {
            return Ok(LayerChoice::Group(group));
        }
        let expected = |_| "expected all, bottom, middle, top, or layers such as 2-5,7".to_owned();
        text.parse().map(LayerChoice::Set).map_err(expected)
    }
}

impl LayerChoice {
    pub const ALL: LayerChoice = LayerChoice::Group(Group::All);

    /// The layers of a model that are meant.
    pub fn resolve(&self, info: &ModelInfo) -> anyhow::Result<LayerSet> {
        let last = info.num_layers.saturating_sub(1);
        match self {
            LayerChoice::Group(group) => match info.group(*group) {
                Some(layers) => Ok(layers),
                None => {
                    bail!("{} has no {} layers: its layers are 0 to {last}", info.name, group.name().to_lowercase())
                }
            },
            LayerChoice::Set(layers) if layers.last() > last => {
                bail!("expected layers from 0 to {last} for {}, found {layers}", info.name)
            }
            LayerChoice::Set(layers) => Ok(layers.clone()),
        }
    }
}

/// Layers whose codes come from another seed, such as `6-11=7`, or `top=7:golden retriever` with a class.
#[derive(Clone, Debug, PartialEq)]
pub struct StyleChoice {
    layers: LayerChoice,
    seed: u64,
    class: Option<ClassChoice>,
}

impl FromStr for StyleChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected =
            || "expected LAYERS=SEED, such as 6-11=7 or top=7, and a class behind it if there is one (top=7:207)";
        let (layers, sample) = text.split_once('=').ok_or_else(expected)?;
        let (seed, class) = sample.split_once(':').map_or((sample, None), |(seed, class)| (seed, Some(class)));
        Ok(StyleChoice {
            layers: layers.trim().parse()?,
            seed: seed.trim().parse().map_err(|_| expected())?,
            class: class.map(str::parse).transpose()?,
        })
    }
}

impl StyleChoice {
    /// True if it names a class.
    pub fn has_class(&self) -> bool {
        self.class.is_some()
    }

    /// The style that is meant, of a seed of this kind.
    pub fn resolve(&self, info: &ModelInfo, kind: SeedKind) -> anyhow::Result<Style> {
        if !info.mixes_styles() {
            bail!("--style: {} has one layer, whose code is the whole sample; there is nothing to mix", info.name);
        }
        let seed = Seed { number: self.seed, kind };
        seed.check().map_err(|problem| anyhow!("--style: {problem}"))?;
        let class = self.class.as_ref().map(|class| class.resolve("--style", info)).transpose()?;
        let layers = self.layers.resolve(info).map_err(|problem| anyhow!("--style: {problem}"))?;
        Ok(Style { class, ..Style::new(layers, Code::Seed(seed)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_numbers_are_read_and_bounded() {
        assert_eq!("0,3,10-12".parse(), Ok(Numbers(vec![0, 3, 10, 11, 12])));
        assert_eq!("18446744073709551615".parse(), Ok(Numbers(vec![u64::MAX])));
        for bad in ["", "a", "1,", "5-2", "-1", "1.5", "0-18446744073709551615", "0-99999,5", "18446744073709551616"] {
            assert!(bad.parse::<Numbers>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn classes_are_numbers_ranges_and_names() {
        let (number, name) = (ClassChoice::Number, |name: &str| ClassChoice::Name(name.into()));
        let list = |classes: &[ClassChoice]| Ok(ClassList(classes.to_vec()));
        assert_eq!("3,10-11".parse(), list(&[number(3), number(10), number(11)]));
        assert_eq!("Black-and-tan, 3".parse(), list(&[name("Black-and-tan"), number(3)]));
        assert_eq!("tiger cat".parse(), Ok(name("tiger cat")));
        for bad in ["", "3,", "5-2", "-1", "?", "0-99999999999"] {
            assert!(bad.parse::<ClassList>().is_err(), "{bad:?} was accepted");
        }
        assert!("3,4".parse::<ClassChoice>().is_err());
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        assert_eq!(finite("-1e-3"), Ok(-0.001));
        for bad in ["NaN", "inf", "-inf", "1e99", "", "0,5"] {
            assert!(finite(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn styles_are_layers_with_a_seed_and_perhaps_a_class() {
        let layers = |text: &str| text.parse::<LayerChoice>().unwrap();
        let style = |text: &str, seed, class| Ok(StyleChoice { layers: layers(text), seed, class });
        assert_eq!("6-11=7".parse(), style("6-11", 7, None));
        assert_eq!("top=0:207".parse(), style("top", 0, Some(ClassChoice::Number(207))));
        assert_eq!("2,4 = 7:tiger cat".parse(), style("2,4", 7, Some(ClassChoice::Name("tiger cat".into()))));
        for bad in ["", "7", "=7", "top=", "top=-1", "top=1.5", "0-1=3:", "x=3", "0=1:2,3"] {
            assert!(bad.parse::<StyleChoice>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn layers_are_named_or_numbered() {
        assert_eq!("top".parse(), Ok(LayerChoice::Group(Group::Top)));
        assert_eq!("2-5,7".parse(), Ok(LayerChoice::Set("2-5,7".parse().unwrap())));
        assert!("upper".parse::<LayerChoice>().is_err());
    }
}
