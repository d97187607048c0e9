//! Files of versions that this program does not know: what can be said of them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::ProjectError;

/// The fields of the present version, by where they are. Only what holds nothing but named fields is listed.
const KNOWN: [(&str, &[&str]); 10] = [
    ("", &["version", "program", "model", "edit", "names", "shelf"]),
    ("model", &["identity", "name", "family", "source", "recipe"]),
    ("edit", &["sample", "truncation", "noise", "moves"]),
    ("edit.sample", &["code", "class", "mix", "styles", "photo"]),
    ("edit.sample.photo", &["name", "crop", "picture"]),
    ("edit.sample.styles", &["layers", "code", "class", "mix", "enabled"]),
    ("shelf", &["directions", "kept", "playback"]),
    ("shelf.playback", &["fps", "loops", "fresh_noise"]),
    ("shelf.kept", &["edit", "name", "seconds", "easing"]),
    ("edit.moves", &["value", "enabled", "name", "direction"]),
];

/// Of longer files nothing is told: taken apart, JSON takes ten times its length.
const MOST_BYTES: usize = 4 << 20;
/// Unknown fields named in one message.
const MOST_NAMED: usize = 8;
/// Letters of a text from the file that a message repeats.
const MOST_LETTERS: usize = 60;

/// The error for a file of version `found`.
pub fn refuse(path: &Path, found: u32, json: &[u8]) -> ProjectError {
    let content = Some(json).filter(|json| json.len() <= MOST_BYTES).and_then(|json| serde_json::from_slice(json).ok());
    let about = content.map_or_else(String::new, |content| about(&content));
    ProjectError::Version { path: path.into(), found, about }
}

fn about(content: &Value) -> String {
    let mut about = match content.get("program").and_then(Value::as_str) {
        Some(program) => format!(", written by {}", short(program)),
        None => String::new(),
    };
    let unknown = unknown_fields(content);
    if !unknown.is_empty() {
        let rest = unknown.len().saturating_sub(MOST_NAMED);
        let named = unknown.iter().take(MOST_NAMED).map(|field| short(field)).collect::<Vec<_>>().join(", ");
        let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        about.push_str(&format!(", with fields that are unknown here ({named}{rest})"));
    }
    about
}

/// Fields that the present version does not have, such as "edit.mood".
fn unknown_fields(content: &Value) -> BTreeSet<String> {
    let mut unknown = BTreeSet::new();
    for (place, fields) in KNOWN {
        let found = place.split('.').filter(|part| !part.is_empty()).try_fold(content, |value, part| value.get(part));
        let objects = match found {
            Some(Value::Array(values)) => values.iter().collect(),
            other => Vec::from_iter(other),
        };
        let keys = objects.into_iter().filter_map(Value::as_object).flat_map(serde_json::Map::keys);
        for key in keys.filter(|key| !fields.contains(&key.as_str())) {
            unknown.insert(if place.is_empty() { key.clone() } else { format!("{place}.{key}") });
        }
    }
    unknown
}

/// Text of a file as a message can show it.
fn short(text: &str) -> String {
    let shown: String = text.chars().filter(|letter| !letter.is_control()).take(MOST_LETTERS).collect();
    if shown.chars().count() < text.chars().count() { format!("{shown}…") } else { shown }
}
