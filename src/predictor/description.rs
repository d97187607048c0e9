//! What a file does not say of its network: how pictures go in, and what the numbers that come out mean.
//!
//! A description lies beside the network, `smile.predictor.json` beside `smile.onnx`:
//!
//! ```json
//! {
//!   "version": 1,
//!   "input": {"layout": "nchw", "size": [224, 224], "channels": "rgb", "range": [0, 1],
//!             "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "fit": "crop"},
//!   "outputs": [
//!     {"name": "logits", "activation": "sigmoid",
//!      "attributes": ["young", {"name": "smile", "plus": "smiling", "minus": "serious"}, null]}
//!   ]
//! }
//! ```
//!
//! Everything but the version may be left out: then it is what the network's metadata, or the shape of its input, says, else what is
//! customary ([`Settings`] has the defaults). Of outputs only those that are listed are used. Numbers in the place of a `null` are not
//! looked at. Attributes of one `title` are parts of one thing, such as the cosine and the sine of a hue.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use super::Attribute;

/// Bytes of a description: the names of a thousand classes have 30 kB.
const MAX_BYTES: u64 = 1 << 20;
/// Newest version that is read.
const VERSION: u32 = 1;
/// Numbers that one picture gets.
pub const MAX_ATTRIBUTES: usize = 4096;
/// Letters of a name.
const MAX_NAME: usize = 200;
/// Pixels of a side of the input.
const SIDES: std::ops::RangeInclusive<usize> = 1..=4096;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    pub version: u32,
    #[serde(default)]
    pub input: InputForm,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputForm>,
}

/// How a picture goes in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputForm {
    /// Where there are several: the picture's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// Height and width in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
    /// What black and white are before the mean is taken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<[f32; 2]>,
    /// Of each channel as the network has them, or one for all; taken off in the unit of `range`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f32>>,
    /// Divides what is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<Vec<f32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fit: Option<Fit>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Channels before rows.
    #[default]
    Nchw,
    /// Channels behind columns.
    Nhwc,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    #[default]
    Rgb,
    Bgr,
    Grey,
}

/// What becomes of a picture of other proportions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    #[default]
    Stretch,
    /// What sticks out on either side is cut off.
    Crop,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// The numbers are scores as they are.
    #[default]
    None,
    /// Each becomes a share of 1 by itself.
    Sigmoid,
    /// All of an output become shares of 1 together.
    Softmax,
    /// The numbers are measures in units of their own, and stay.
    Regression,
}

/// What comes out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputForm {
    /// In the file; the next one if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// One for each number, `null` for those that are not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Vec<Option<AttributeForm>>>,
}

/// A name, or a map with more.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttributeForm(pub Attribute);

impl<'de> Deserialize<'de> for AttributeForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Form {
            name: String,
            title: Option<String>,
            #[serde(default)]
            plus: String,
            #[serde(default)]
            minus: String,
        }
        struct NameOrForm;
        impl<'de> Visitor<'de> for NameOrForm {
            type Value = AttributeForm;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("the name of an attribute, a map with its name, or null")
            }

            fn visit_str<E>(self, name: &str) -> Result<AttributeForm, E> {
                Ok(AttributeForm(Attribute::named(name)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AttributeForm, A::Error> {
                let Form { name, title, plus, minus } = Form::deserialize(MapAccessDeserializer::new(map))?;
                let Attribute { name, title: own, .. } = Attribute::named(&name);
                Ok(AttributeForm(Attribute { name, title: title.unwrap_or(own), plus, minus }))
            }
        }
        deserializer.deserialize_any(NameOrForm)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: expected a description of a predictor of at most {MAX_BYTES} bytes, found {bytes}")]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("{path} is no description of a predictor")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{path}: {problem}")]
    Content { path: PathBuf, problem: String },
}

impl Description {
    /// Where the description of a network lies.
    pub fn path_beside(network: &Path) -> PathBuf {
        network.with_extension("predictor.json")
    }

    /// The one beside a network, if there is one.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn beside(network: &Path) -> Result<Option<Description>, DescriptionError> {
        let path = Description::path_beside(network);
        let read = |source| DescriptionError::Read { path: path.clone(), source };
        let facts = match path.metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            facts => facts.map_err(read)?,
        };
        if !facts.is_file() {
            return Err(read(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no file")));
        }
        if facts.len() > MAX_BYTES {
            return Err(DescriptionError::TooLarge { path, bytes: facts.len() });
        }
        let mut json = String::new();
        File::open(&path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut json)).map_err(read)?;
        Description::parse(&json, &path).map(Some)
    }

    /// `path` stands for the file in messages.
    ///
    /// # Errors
    /// It is no description, or says what cannot be.
    pub fn parse(json: &str, path: &Path) -> Result<Description, DescriptionError> {
        let parsed: Result<Description, _> = serde_json::from_str(json);
        let description = parsed.map_err(|source| DescriptionError::Json { path: path.into(), source })?;
        match description.check() {
            Ok(()) => Ok(description),
            Err(problem) => Err(DescriptionError::Content { path: path.into(), problem }),
        }
    }

    fn check(&self) -> Result<(), String> {
        if !(1..=VERSION).contains(&self.version) {
            return Err(format!("expected version 1 to {VERSION}, found {}", self.version));
        }
        let InputForm { size, range, mean, std, .. } = &self.input;
        if let Some(size) = size.filter(|size| size.iter().any(|side| !SIDES.contains(side))) {
            return Err(format!("size: expected sides of {} to {} pixels, found {size:?}", SIDES.start(), SIDES.end()));
        }
        if let Some(range) = range.filter(|[black, white]| !(black.is_finite() && white.is_finite() && black != white))
        {
            return Err(format!("range: expected two different numbers, found {range:?}"));
        }
        for (what, numbers, is_sound) in [
            ("mean", mean, (|x: &f32| x.is_finite()) as fn(&f32) -> bool),
            ("std", std, |x: &f32| x.is_finite() && *x > 0.0),
        ] {
            let Some(numbers) = numbers else { continue };
            if !matches!(numbers.len(), 1 | 3) || !numbers.iter().all(is_sound) {
                let shown = &numbers[..numbers.len().min(8)];
                return Err(format!("{what}: expected one number or one for each channel, found {shown:?}"));
            }
        }
        let attributes = || self.outputs.iter().filter_map(|output| output.attributes.as_ref());
        let count: usize = attributes().map(Vec::len).sum();
        if count > MAX_ATTRIBUTES || self.outputs.len() > MAX_ATTRIBUTES {
            return Err(format!("expected at most {MAX_ATTRIBUTES} attributes, found {count}"));
        }
        for AttributeForm(attribute) in attributes().flatten().flatten() {
            attribute.check()?;
        }
        Ok(())
    }
}

impl Attribute {
    fn check(&self) -> Result<(), String> {
        for text in [&self.name, &self.title, &self.plus, &self.minus] {
            let letters = text.chars().count();
            if letters > MAX_NAME {
                return Err(format!("expected names of at most {MAX_NAME} letters, found one of {letters}"));
            }
        }
        if self.name.is_empty() || self.title.is_empty() { Err("an attribute without a name".into()) } else { Ok(()) }
    }
}

/// What the metadata of a network say in ways that are in use: JSON lists under `names`, `labels` or `classes`, or Python's map of
/// numbers to names that Ultralytics writes; `layout`, `channels`, `range` ("-1..1"), `mean`, `std`, `activation`.
pub fn from_metadata(metadata: &[(String, String)]) -> Description {
    let metadata: BTreeMap<&str, &str> = metadata.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
    let word = |key: &str| Some(serde_json::Value::String(metadata.get(key)?.trim().to_lowercase()));
    let list = |key: &str| serde_json::from_str::<Vec<f32>>(metadata.get(key)?).ok();
    let range = metadata.get("range").and_then(|text| {
        let (black, white) = text.split_once("..")?;
        Some([black.trim().parse().ok()?, white.trim().parse().ok()?])
    });
    let names = ["names", "labels", "classes"].iter().find_map(|key| names(metadata.get(key)?));
    let attributes = names.map(|names| names.iter().map(|name| Some(AttributeForm(Attribute::named(name)))).collect());
    let activation = word("activation").and_then(|word| serde_json::from_value(word).ok());
    let input = InputForm {
        layout: word("layout").and_then(|word| serde_json::from_value(word).ok()),
        channels: word("channels").and_then(|word| serde_json::from_value(word).ok()),
        range,
        mean: list("mean"),
        std: list("std"),
        ..InputForm::default()
    };
    let outputs = match (&attributes, activation) {
        (None, None) => Vec::new(),
        _ => vec![OutputForm { name: None, activation, attributes }],
    };
    let description = Description { version: VERSION, input, outputs };
    // What makes no sense is not what it seems.
    if description.check().is_ok() { description } else { Description { version: VERSION, ..Description::default() } }
}

fn names(text: &str) -> Option<Vec<String>> {
    if let Ok(names) = serde_json::from_str::<Vec<String>>(text) {
        return Some(names);
    }
    // {0: 'cat', 1: "dog's"}
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (number, behind) = rest.split_once(':')?;
        let behind = behind.trim_start();
        let quote = behind.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
        let (name, behind) = behind[1..].split_once(quote)?;
        if number.trim().parse() != Ok(names.len()) || names.len() >= MAX_ATTRIBUTES {
            return None;
        }
        names.push(name.to_owned());
        rest = behind.trim_start().trim_start_matches(',').trim_start();
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Description, String> {
        Description::parse(json, Path::new("x.predictor.json")).map_err(|error| match error {
            DescriptionError::Json { source, .. } => source.to_string(),
            error => error.to_string(),
        })
    }

    #[test]
    fn the_example_of_the_documentation_is_one() {
        let json: String = include_str!("description.rs")
            .lines()
            .skip_while(|line| *line != "//! ```json")
            .skip(1)
            .take_while(|line| *line != "//! ```")
            .map(|line| &line[3..])
            .collect();
        let found = parse(&json).unwrap();
        assert_eq!((found.input.size, found.input.fit), (Some([224, 224]), Some(Fit::Crop)));
        let attributes = found.outputs[0].attributes.as_ref().unwrap();
        assert_eq!(attributes[0], Some(AttributeForm(Attribute::named("young"))));
        let smile = attributes[1].as_ref().unwrap().0.clone();
        assert_eq!((smile.title, smile.plus, smile.minus), ("smile".into(), "smiling".into(), "serious".into()));
        assert_eq!(attributes[2], None);
        let again = serde_json::to_string(&found).unwrap();
        assert_eq!(parse(&again).unwrap(), found, "what is written is read");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (json, expected) in [
            ("{}", "missing field `version`"),
            (r#"{"version": 2}"#, "expected version 1 to 1, found 2"),
            (r#"{"version": 1, "size": 3}"#, "unknown field `size`"),
            (r#"{"version": 1, "input": {"layout": "chw"}}"#, "unknown variant `chw`"),
            (r#"{"version": 1, "input": {"size": [0, 4]}}"#, "sides of 1 to 4096"),
            (r#"{"version": 1, "input": {"range": [1, 1]}}"#, "two different numbers"),
            (r#"{"version": 1, "input": {"std": [0]}}"#, "std: expected"),
            (r#"{"version": 1, "input": {"mean": [1, 2]}}"#, "mean: expected"),
            (r#"{"version": 1, "outputs": [{"attributes": [""]}]}"#, "without a name"),
            (r#"{"version": 1, "outputs": [{"attributes": [3]}]}"#, "expected the name of an attribute"),
            (r#"{"version": 1, "outputs": [{"attributes": [{"name": "a", "end": "b"}]}]}"#, "unknown field `end`"),
        ] {
            let message = parse(json).unwrap_err();
            assert!(message.contains(expected), "{json}: {message}");
        }
    }

    #[test]
    fn metadata_tell_what_they_can() {
        let pairs = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
            from_metadata(&pairs)
        };
        let found = pairs(&[
            ("names", r#"["a", "b"]"#),
            ("layout", "NHWC"),
            ("channels", "BGR"),
            ("range", "-1..1"),
            ("activation", "sigmoid"),
        ]);
        assert_eq!((found.input.layout, found.input.channels), (Some(Layout::Nhwc), Some(Channels::Bgr)));
        assert_eq!((found.input.range, found.outputs[0].activation), (Some([-1.0, 1.0]), Some(Activation::Sigmoid)));
        assert_eq!(names("{0: 'cat', 1: \"dog's\"}"), Some(vec!["cat".into(), "dog's".into()]));
        assert_eq!((names("{1: 'cat'}"), names("{0: cat}"), names("cat")), (None, None, None));
        assert!(pairs(&[("names", "[3]"), ("layout", "x"), ("range", "a..b"), ("std", "[0]")]).outputs.is_empty());
    }
}
