//! What directions mean, by what they change.

use crate::predictor::Attribute;

/// A weaker direction gets no name: standard deviations for each unit of distance.
pub const NAMED_FROM: f64 = 0.1;
/// A direction is named after what it moves most if it moves that so many times as much as the next.
const CLEAR: f64 = 1.5;

/// What a direction changes of one thing, which one attribute tells of or several together.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// [`Attribute::title`] of them.
    pub title: String,
    /// Standard deviations for each unit of distance; of several attributes the root of the sum of squares, which has no sign.
    pub change: f64,
    /// Of the sum of all squared changes, 0..=1.
    pub share: f64,
    /// What its positive and its negative end look like; empty where nobody said.
    pub ends: [String; 2],
}

/// The name that a direction gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Meaning {
    pub name: String,
    /// Share of the squared change in what it moves most, 0..=1.
    pub purity: f64,
    /// Standard deviations for each unit of distance of what it moves most.
    pub change: f64,
    pub ends: [String; 2],
}

/// What a direction does, the strongest first. `changes` are those of the attributes, in standard deviations for each unit of
/// distance; what is not finite is left out.
pub fn effects(attributes: &[Attribute], changes: &[f64]) -> Vec<Effect> {
    let mut effects: Vec<Effect> = Vec::new();
    for (attribute, &change) in attributes.iter().zip(changes).filter(|(_, change)| change.is_finite()) {
        match effects.iter_mut().find(|effect| effect.title == attribute.title) {
            Some(effect) => {
                effect.change = effect.change.hypot(change);
                effect.ends = Default::default();
            }
            None => {
                let [plus, minus] = [&attribute.plus, &attribute.minus].map(Clone::clone);
                let ends = if change < 0.0 { [minus, plus] } else { [plus, minus] };
                effects.push(Effect { title: attribute.title.clone(), change, share: 0.0, ends });
            }
        }
    }
    let all: f64 = effects.iter().map(|effect| effect.change.powi(2)).sum();
    for effect in &mut effects {
        effect.share = if all > 0.0 { effect.change.powi(2) / all } else { 0.0 };
    }
    effects.sort_by(|a, b| b.change.abs().total_cmp(&a.change.abs()));
    effects
}

/// The name of a direction with such effects: what it moves most, if it moves that clearly more than the next, else both; none if it
/// moves nothing by [`NAMED_FROM`].
pub fn meaning(effects: &[Effect]) -> Option<Meaning> {
    let first = effects.first().filter(|first| first.change.abs() >= NAMED_FROM)?;
    let close = effects.get(1).filter(|second| first.change.abs() < CLEAR * second.change.abs());
    Some(Meaning {
        name: close.map_or_else(|| first.title.clone(), |second| format!("{}, {}", first.title, second.title)),
        purity: first.share,
        change: first.change,
        ends: if close.is_some() { Default::default() } else { first.ends.clone() },
    })
}

impl Effect {
    /// How purely and strongly: the change times its share.
    pub fn rank(&self) -> f64 {
        self.change.abs() * self.share
    }
}

/// The things that a word means among attributes, by their titles: one that is called so, else all in whose name or title it is found.
///
/// # Errors
/// There is none.
pub fn titles_for<'a>(attributes: &'a [Attribute], word: &str) -> Result<Vec<&'a str>, NoSuchAttribute> {
    let word = word.trim().to_lowercase();
    let is_called =
        |attribute: &&Attribute| [&attribute.name, &attribute.title].iter().any(|x| x.to_lowercase() == word);
    let holds = |attribute: &&Attribute| {
        let ends = [&attribute.name, &attribute.title, &attribute.plus, &attribute.minus];
        !word.is_empty() && ends.iter().any(|text| text.to_lowercase().contains(&word))
    };
    let of = |found: Vec<&'a Attribute>| {
        let mut titles: Vec<&str> = found.iter().map(|attribute| attribute.title.as_str()).collect();
        titles.dedup();
        titles
    };
    let exact: Vec<&Attribute> = attributes.iter().filter(is_called).collect();
    let found = if exact.is_empty() { attributes.iter().filter(holds).collect() } else { exact };
    match found.is_empty() {
        true => Err(NoSuchAttribute { word, known: of(attributes.iter().collect()).join(", ") }),
        false => Ok(of(found)),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {known:.2000}; found {word:?}")]
pub struct NoSuchAttribute {
    word: String,
    known: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> Vec<Attribute> {
        let hue = |name: &str| Attribute { title: "hue".into(), ..Attribute::named(name) };
        let smile = Attribute { plus: "smiling".into(), minus: "serious".into(), ..Attribute::named("smile") };
        vec![smile, hue("hue (cos)"), hue("hue (sin)"), Attribute::named("hair_length")]
    }

    fn named(changes: [f64; 4]) -> Option<Meaning> {
        meaning(&effects(&attributes(), &changes))
    }

    #[test]
    fn directions_are_named_after_what_they_move_most() {
        let smile = named([-0.6, 0.0, 0.1, 0.3]).unwrap();
        assert_eq!((smile.name.as_str(), smile.change), ("smile", -0.6));
        assert_eq!(smile.ends, ["serious", "smiling"].map(str::to_owned), "its positive end");
        assert!((smile.purity - 0.36 / 0.46).abs() < 1e-12);
        let hue = named([0.2, 0.3, -0.4, f64::NAN]).unwrap();
        assert_eq!((hue.name.as_str(), hue.change, hue.ends), ("hue", 0.5, Default::default()));
        assert_eq!(named([0.3, 0.0, 0.0, -0.21]).unwrap().name, "smile, hair length");
        assert_eq!((named([0.09, 0.0, 0.0, 0.0]), named([f64::NAN; 4]), named([0.0; 4])), (None, None, None));
    }

    #[test]
    fn words_find_what_they_mean() {
        let all = attributes();
        assert_eq!(titles_for(&all, "Smile"), Ok(vec!["smile"]));
        assert_eq!(titles_for(&all, "serious"), Ok(vec!["smile"]));
        assert_eq!(titles_for(&all, "hue"), Ok(vec!["hue"]));
        assert_eq!(titles_for(&all, "h"), Ok(vec!["hue", "hair length"]));
        let error = titles_for(&all, "nose").unwrap_err().to_string();
        assert_eq!(error, "expected one of smile, hue, hair length; found \"nose\"");
        assert!(titles_for(&all, " ").is_err());
    }
}
