//! Names of files that are written.

use std::path::PathBuf;

use super::document::Document;
use crate::edit::Code;
use crate::generator::ModelInfo;

/// "toy-heads-1042-pose+1,4": model, seed (numpy1042 if it is of another tool than the model), classes, and at most three moves. No
/// dot is in it: whoever takes the suffix away would leave another one.
pub fn proposed(info: &ModelInfo, document: &Document) -> String {
    let mut parts = vec![plain(&info.name)];
    parts.push(match document.edit.sample.code {
        Code::Seed(seed) if seed.kind == info.seeds => seed.number.to_string(),
        Code::Seed(seed) => format!("{}{}", seed.kind, seed.number),
        _ => "code".to_owned(),
    });
    parts.extend(document.edit.sample.class.map(|class| format!("c{class}")));
    parts.extend(document.edit.sample.mix.map(|mix| format!("c{}-{:.2}", mix.class, mix.amount)));
    for step in document.edit.moves.iter().filter(|step| step.is_active()).take(3) {
        parts.push(format!("{}{:+.1}", plain(&document.called(&step.direction)), step.value));
    }
    parts.join("-").replace('.', ",")
}

/// The path with this suffix: added unless it is there, whatever dots the name has besides.
pub fn with_suffix(path: PathBuf, suffix: &str) -> PathBuf {
    if path.extension().is_some_and(|own| own.eq_ignore_ascii_case(suffix)) {
        return path;
    }
    let mut name = path.into_os_string();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Text that every file system takes.
fn plain(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress;
    use crate::render::{Engine, Example, Source};

    #[test]
    fn names_of_files_are_plain() {
        assert_eq!(plain("Toy heads (StyleGAN2)"), "toy-heads-stylegan2");
        assert_eq!(plain("../../x:y"), "x-y");
    }

    #[test]
    fn a_suffix_is_added_unless_it_is_there() {
        for (typed, meant) in [
            ("a/b", "a/b.png"),
            ("a/b.PNG", "a/b.PNG"),
            ("a/heads-17-pose+1.4", "a/heads-17-pose+1.4.png"),
            ("a/b.json", "a/b.json.png"),
            ("a.b/c", "a.b/c.png"),
            ("a/b.", "a/b..png"),
        ] {
            assert_eq!(with_suffix(typed.into(), "png"), PathBuf::from(meant), "{typed}");
        }
    }

    #[test]
    fn proposed_names_have_no_dot() {
        let mut engine = Engine::new(crate::gpu::RenderDevice::cpu(None));
        let info = engine.open(&Source::Example(Example::ToyHeads), &mut progress::silent).unwrap();
        let basis = engine.factorize(&"0-1".parse().unwrap(), crate::edit::Weighting::RowNormalised).unwrap();
        let set = crate::directions::DirectionSet::from(&*basis);
        let mut document = Document { edit: info.start(17), ..Document::default() };
        document.set(&set.directions[0], 1.44);
        document.rename(&set.directions[0], "pose v1.2");
        assert_eq!(proposed(&info, &document), "toy-heads-17-pose-v1-2+1,4");
    }
}
