//! What people see in directions (Shen & Zhou, CVPR 2021, Table 3): does something change at once, and is it one thing that has a name?

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::edit::{LayerSet, Weighting};

/// What one person answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerSheet {
    pub version: u32,
    /// Name, identity and family of the model that the pictures are of.
    pub model: String,
    pub identity: String,
    pub family: String,
    /// How the person is called; may be empty.
    pub participant: String,
    pub answers: Vec<Answer>,
}

/// What one person answered about one direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    pub layers: LayerSet,
    pub weighting: Weighting,
    pub index: usize,
    pub obvious: bool,
    pub meaningful: bool,
    #[serde(default)]
    pub name: String,
}

/// The present version of sheets.
pub const VERSION: u32 = 1;
/// Directions that are asked about in one sheet, at most.
pub const MAX_ANSWERS: usize = 10_000;
/// Letters of a name.
pub const MAX_NAME: usize = 80;

impl AnswerSheet {
    /// Why it is none, if it is not.
    pub fn check(&self) -> Result<(), String> {
        if self.version != VERSION {
            return Err(format!("expected answers of version {VERSION}, found {}", self.version));
        }
        if self.answers.len() > MAX_ANSWERS {
            return Err(format!("expected at most {MAX_ANSWERS} answers, found {}", self.answers.len()));
        }
        let mut seen = BTreeSet::new();
        for answer in &self.answers {
            let called = || format!("direction {} of layers {}", answer.index, answer.layers);
            if !seen.insert((&answer.layers, answer.weighting, answer.index)) {
                return Err(format!("{} is answered twice", called()));
            }
            if answer.meaningful && !answer.obvious {
                return Err(format!("{} is meaningful without a change that one sees", called()));
            }
            if answer.name.chars().count() > MAX_NAME {
                return Err(format!("the name of {} is longer than {MAX_NAME} letters", called()));
            }
        }
        Ok(())
    }
}

/// What several people saw in one direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// People who were asked, who saw a change, and who called it one thing.
    pub asked: usize,
    pub obvious: usize,
    pub meaningful: usize,
    /// Names that they gave, the most frequent first, with how many gave it.
    pub names: Vec<(String, usize)>,
}

impl Seen {
    /// More than half of them.
    pub fn is_obvious(&self) -> bool {
        2 * self.obvious > self.asked
    }

    pub fn is_meaningful(&self) -> bool {
        2 * self.meaningful > self.asked
    }
}

/// Which direction: of SeFa's of some layers.
pub type Asked = (LayerSet, Weighting, usize);

/// The answers of all, direction by direction. Names are one if they differ in case or spaces alone.
pub fn merge(sheets: &[AnswerSheet]) -> BTreeMap<Asked, Seen> {
    let mut all: BTreeMap<Asked, Seen> = BTreeMap::new();
    for answer in sheets.iter().flat_map(|sheet| &sheet.answers) {
        let seen = all.entry((answer.layers.clone(), answer.weighting, answer.index)).or_default();
        seen.asked += 1;
        seen.obvious += usize::from(answer.obvious);
        seen.meaningful += usize::from(answer.meaningful);
        let name = answer.name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        if !name.is_empty() {
            match seen.names.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count += 1,
                None => seen.names.push((name, 1)),
            }
        }
    }
    for seen in all.values_mut() {
        seen.names.sort_by(|(a, many), (b, others)| others.cmp(many).then(a.cmp(b)));
    }
    all
}

/// Of one group: so many directions in which one person saw a change, so many that are one thing, of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub obvious: usize,
    pub meaningful: usize,
    pub of: usize,
}

/// The counts of one person, group by group.
pub fn counts(sheet: &AnswerSheet) -> BTreeMap<LayerSet, Count> {
    let mut counts: BTreeMap<LayerSet, Count> = BTreeMap::new();
    for answer in &sheet.answers {
        let count = counts.entry(answer.layers.clone()).or_default();
        count.of += 1;
        count.obvious += usize::from(answer.obvious);
        count.meaningful += usize::from(answer.meaningful);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(index: usize, obvious: bool, meaningful: bool, name: &str) -> Answer {
        let (layers, weighting) = (LayerSet::range(0, 1), Weighting::RowNormalised);
        Answer { layers, weighting, index, obvious, meaningful, name: name.into() }
    }

    fn sheet(answers: Vec<Answer>) -> AnswerSheet {
        let text = |text: &str| text.to_owned();
        AnswerSheet {
            version: 1,
            model: text("m"),
            identity: text("i"),
            family: text("f"),
            participant: text("p"),
            answers,
        }
    }

    #[test]
    fn answers_of_several_people_are_counted() {
        let one = sheet(vec![answer(0, true, true, "Turn"), answer(1, true, false, ""), answer(2, false, false, "")]);
        let two = sheet(vec![answer(0, true, true, "turn "), answer(1, false, false, "hat")]);
        let three = sheet(vec![answer(0, true, false, "yaw")]);
        assert_eq!(counts(&one)[&LayerSet::range(0, 1)], Count { obvious: 2, meaningful: 1, of: 3 });
        let all = merge(&[one, two, three]);
        let seen: Vec<&Seen> = all.values().collect();
        assert_eq!((seen[0].asked, seen[0].obvious, seen[0].meaningful), (3, 3, 2));
        assert_eq!(seen[0].names, [("turn".to_owned(), 2), ("yaw".to_owned(), 1)]);
        assert!(seen[0].is_obvious() && seen[0].is_meaningful());
        assert!(!seen[1].is_obvious(), "half is not most");
    }

    #[test]
    fn sheets_that_cannot_be_are_refused() {
        assert_eq!(sheet(vec![answer(0, true, true, "")]).check(), Ok(()));
        for (answers, expected) in [
            (vec![answer(0, true, true, ""), answer(0, true, true, "")], "twice"),
            (vec![answer(3, false, true, "")], "direction 3 of layers 0-1 is meaningful without"),
            (vec![answer(0, true, true, &"x".repeat(81))], "longer than 80"),
        ] {
            let problem = sheet(answers).check().unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
        let old = AnswerSheet { version: 2, ..sheet(Vec::new()) };
        assert!(old.check().unwrap_err().contains("version 1, found 2"));
    }
}
