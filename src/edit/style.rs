//! Style mixing: some layers take their codes from another sample.

use serde::{Deserialize, Serialize};

use super::{ClassMix, Code, LayerSet, Sample, enabled_by_default};

/// Layers whose codes come from another sample (Karras et al., 2019, section 3.1): where there is a w, its w; else, as in BigGAN,
/// its z. They are what that sample has in those layers under the edit's truncation. Noise stays that of the edit, and so does what a
/// class does beside the codes: BigGAN's blocks read the class of the sample, not of its styles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Style {
    pub layers: LayerSet,
    pub code: Code,
    /// The class that w is made with; `None` is the sample's own, with its mixture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<usize>,
    /// A second class to mix into `class`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<ClassMix>,
    /// A muted style stays in the list and leaves the picture alone.
    #[serde(default = "enabled_by_default")]
    pub enabled: bool,
}

impl Style {
    /// The style of a sample of the same class.
    pub fn new(layers: LayerSet, code: Code) -> Self {
        Style { layers, code, class: None, mix: None, enabled: true }
    }
}

impl Sample {
    /// The styles that count; of two with one layer the later one has it.
    pub fn active_styles(&self) -> impl Iterator<Item = &Style> {
        self.styles.iter().filter(|style| style.enabled)
    }

    /// The other sample that a style of this one takes its codes from.
    pub fn of_style(&self, style: &Style) -> Sample {
        let own = (self.class, self.mix);
        let (class, mix) = style.class.map_or(own, |class| (Some(class), style.mix));
        Sample { code: style.code.clone(), class, mix, ..Sample::default() }
    }

    /// Takes over what `other` has in some layers: its code with its class, and its own styles as far as they lie there. What this
    /// sample's styles had in those layers is gone.
    pub fn take_style(&mut self, layers: &LayerSet, other: &Sample) {
        for style in std::mem::take(&mut self.styles) {
            self.styles.extend(style.layers.without(layers).map(|layers| Style { layers, ..style.clone() }));
        }
        let base = Style { class: other.class, mix: other.mix, ..Style::new(layers.clone(), other.code.clone()) };
        self.styles.push(base);
        for style in other.active_styles() {
            let sample = other.of_style(style);
            let taken = style.layers.within(layers);
            self.styles.extend(taken.map(|layers| Style {
                class: sample.class,
                mix: sample.mix,
                ..Style::new(layers, sample.code)
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::Seed;

    fn sample(seed: u64, class: Option<usize>) -> Sample {
        Sample { code: Code::Seed(Seed::studio(seed)), class, ..Sample::default() }
    }

    fn style(layers: &str, seed: u64, class: Option<usize>) -> Style {
        Style { class, ..Style::new(layers.parse().unwrap(), Code::Seed(Seed::studio(seed))) }
    }

    #[test]
    fn a_style_is_of_the_samples_class_unless_it_has_one() {
        let mix = Some(ClassMix { class: 4, amount: 0.25 });
        let own = Sample { mix, ..sample(1, Some(3)) };
        let of = |style: &Style| own.of_style(style);
        assert_eq!(of(&style("0", 2, None)), Sample { mix, ..sample(2, Some(3)) });
        assert_eq!(of(&style("0", 2, Some(5))), sample(2, Some(5)), "the mixture belongs to the class");
    }

    #[test]
    fn taking_a_style_leaves_the_other_layers_as_they_are() {
        let mut own = Sample { styles: vec![style("0-3", 2, None), style("3-5", 3, None)], ..sample(1, Some(0)) };
        let muted = Style { enabled: false, ..style("2", 9, None) };
        let other = Sample { styles: vec![style("3-8", 6, None), muted], ..sample(5, Some(7)) };
        own.take_style(&"2-4".parse().unwrap(), &other);
        let expected = [style("0-1", 2, None), style("5", 3, None), style("2-4", 5, Some(7)), style("3-4", 6, Some(7))];
        assert_eq!(own.styles, expected);
        own.take_style(&"0-8".parse().unwrap(), &sample(8, None));
        assert_eq!(own.styles, [style("0-8", 8, None)], "nothing is left that nobody sees");
    }

    #[test]
    fn styles_survive_json_and_strange_fields_are_refused() {
        let mixed =
            Style { mix: Some(ClassMix { class: 1, amount: 0.1 }), enabled: false, ..style("2-5,7", 3, Some(2)) };
        for style in [mixed, Style::new(LayerSet::range(0, 1), Code::WPlus(vec![vec![0.1], vec![1.0e-9]]))] {
            let json = serde_json::to_string(&style).unwrap();
            assert_eq!(serde_json::from_str::<Style>(&json).unwrap(), style, "{json}");
        }
        let strange = r#"{"layers":"0","code":{"seed":1},"psi":1}"#;
        assert!(serde_json::from_str::<Style>(strange).unwrap_err().to_string().contains("unknown field `psi`"));
        let bare: Sample = serde_json::from_str(r#"{"code":{"seed":1}}"#).unwrap();
        assert_eq!(
            serde_json::to_string(&bare).unwrap(),
            r#"{"code":{"seed":1}}"#,
            "as it was before there were styles"
        );
    }
}
