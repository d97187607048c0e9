//! Names of a model's classes: those of ImageNet where there are exactly 1000, plain numbers otherwise.

use std::sync::LazyLock;

/// One name a line, class 0 first (see `assets/README.md`).
static IMAGENET: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!("../assets/imagenet-classes.txt").lines().collect());

/// Candidates that an ambiguous name lists.
const MOST_CANDIDATES: usize = 8;

/// The classes of a conditional model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classes {
    count: usize,
}

impl Classes {
    pub fn new(count: usize) -> Self {
        Classes { count }
    }

    pub fn count(self) -> usize {
        self.count
    }

    /// True if the classes have names.
    pub fn are_named(self) -> bool {
        self.count == IMAGENET.len()
    }

    /// Name of a class, such as "golden retriever".
    pub fn name(self, class: usize) -> Option<&'static str> {
        IMAGENET.get(class).copied().filter(|_| self.are_named())
    }

    /// Number and name, such as "207 golden retriever", or the number alone.
    pub fn label(self, class: usize) -> String {
        self.name(class).map_or_else(|| class.to_string(), |name| format!("{class} {name}"))
    }

    /// The classes that a text in a search field means: all its words occur in the name, or the number starts with it.
    /// What fits best comes first: the number itself, the whole name, names that start with the text, words that do.
    pub fn search(self, text: &str) -> Vec<usize> {
        let text = text.trim().to_lowercase();
        if text.is_empty() {
            return (0..self.count).collect();
        }
        let rank = |class: usize| {
            let number = class.to_string();
            let name = self.name(class).unwrap_or_default().to_lowercase();
            let has_all_words = text.split_whitespace().all(|word| name.contains(word));
            match () {
                () if number == text || name == text || format!("{number} {name}") == text => Some(0),
                () if number.starts_with(&text) || name.starts_with(&text) => Some(1),
                () if name.split([' ', '-']).any(|word| word.starts_with(&text)) => Some(2),
                () => has_all_words.then_some(3),
            }
        };
        let mut found: Vec<(u8, usize)> = (0..self.count).filter_map(|class| Some((rank(class)?, class))).collect();
        found.sort_unstable();
        found.into_iter().map(|(_, class)| class).collect()
    }

    /// The one class of this name: the whole name, else its only beginning, else its only part; upper and lower case are
    /// the same.
    ///
    /// # Errors
    /// What is wrong with the name: no class has it, or several have (some of them are listed).
    pub fn named(self, text: &str) -> Result<usize, String> {
        if !self.are_named() {
            return Err(format!("expected numbers from 0 to {}, found {text:?}", self.count.saturating_sub(1)));
        }
        let text = text.trim().to_lowercase();
        let fits = |fits: &dyn Fn(&str) -> bool| -> Vec<usize> {
            (0..self.count).filter(|&class| self.name(class).is_some_and(|name| fits(&name.to_lowercase()))).collect()
        };
        let found =
            [fits(&|name| name == text), fits(&|name| name.starts_with(&text)), fits(&|name| name.contains(&text))];
        match found.iter().find(|found| !found.is_empty()).map(Vec::as_slice) {
            Some(&[class]) => Ok(class),
            Some(_) => {
                // Everything that has the text, not only what begins with it, could have been meant.
                let candidates = &found[2];
                let shown: Vec<String> =
                    candidates.iter().take(MOST_CANDIDATES).map(|&class| self.label(class)).collect();
                let more = candidates.len().saturating_sub(MOST_CANDIDATES);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                Err(format!("{text:?} fits several classes: {}{more}", shown.join(", ")))
            }
            None => Err(format!("no class is called {text:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_classes_have_names_and_others_do_not() {
        assert_eq!(IMAGENET.len(), 1000);
        assert!(IMAGENET.iter().all(|name| !name.trim().is_empty() && name.is_ascii()));
        let imagenet = Classes::new(1000);
        assert_eq!(imagenet.label(207), "207 golden retriever");
        assert_eq!((imagenet.label(0), imagenet.label(999)), ("0 tench".into(), "999 toilet tissue".into()));
        assert_eq!(Classes::new(10).label(7), "7");
        assert_eq!(imagenet.name(1000), None);
    }

    #[test]
    fn searching_finds_names_and_numbers_the_best_first() {
        let imagenet = Classes::new(1000);
        assert_eq!(imagenet.search("retriever"), [205, 206, 207, 208, 209]);
        assert_eq!(imagenet.search("gold retr"), [207]);
        assert_eq!(imagenet.search("207"), [207]);
        assert_eq!(imagenet.search("207 golden retriever"), [207]);
        assert_eq!(imagenet.search("20")[..3], [20, 200, 201]);
        assert_eq!(imagenet.search("Cock")[0], 7, "the whole name before its compounds");
        assert_eq!(imagenet.search(" ").len(), 1000);
        assert!(imagenet.search("no such thing").is_empty());
        assert_eq!(Classes::new(12).search("1"), [1, 10, 11]);
    }

    #[test]
    fn a_name_means_one_class_or_none() {
        let imagenet = Classes::new(1000);
        assert_eq!(imagenet.named("Golden Retriever"), Ok(207));
        assert_eq!(imagenet.named("golden r"), Ok(207));
        assert_eq!(imagenet.named("den retr"), Ok(207));
        assert_eq!(imagenet.named("cock"), Ok(7), "the whole name, though others contain it");
        let message = imagenet.named("retriever").unwrap_err();
        assert!(message.contains("207 golden retriever") && message.contains("208 Labrador retriever"), "{message}");
        assert!(imagenet.named("e").unwrap_err().contains("more"));
        assert!(imagenet.named("unicorn").unwrap_err().contains("unicorn"));
        assert!(Classes::new(10).named("tench").unwrap_err().contains("0 to 9"));
    }
}
