//! Two windows that change one file.

use serde_json::{Map, Value};

/// What both sides changed since `base`: entries of objects one by one, and where both changed the same one, `mine`. `None` is
/// an entry that is not there.
pub fn merge(base: Option<&Value>, mine: Option<&Value>, theirs: Option<&Value>) -> Option<Value> {
    if mine == base {
        return theirs.cloned();
    }
    if theirs == base {
        return mine.cloned();
    }
    let (Some(Value::Object(mine)), Some(Value::Object(theirs))) = (mine, theirs) else { return mine.cloned() };
    let nothing = Map::new();
    let base = base.and_then(Value::as_object).unwrap_or(&nothing);
    let mut keys: Vec<&String> = mine.keys().chain(theirs.keys()).collect();
    keys.sort();
    keys.dedup();
    let merged = keys.into_iter().filter_map(|key| {
        let value = merge(base.get(key), mine.get(key), theirs.get(key))?;
        Some((key.clone(), value))
    });
    Some(Value::Object(merged.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_sides_keep_what_they_changed_and_mine_wins() {
        let base = json!({"theme": "Dark", "names": {"a": 1, "b": 2, "c": 3}, "list": [1]});
        let mine = json!({"theme": "Light", "names": {"a": 1, "b": 7, "d": 4}, "list": [1, 2]});
        let theirs = json!({"theme": "Dark", "names": {"a": 5, "b": 8, "c": 3, "e": 6}, "list": [3], "new": true});
        let merged = merge(Some(&base), Some(&mine), Some(&theirs)).unwrap();
        let expected = json!({
            "theme": "Light", "names": {"a": 5, "b": 7, "d": 4, "e": 6}, "list": [1, 2], "new": true
        });
        assert_eq!(merged, expected);
        assert_eq!(merge(None, Some(&mine), None), Some(mine.clone()));
        assert_eq!(merge(Some(&base), Some(&base), Some(&theirs)), Some(theirs));
        assert_eq!(merge(Some(&base), None, Some(&base)), None, "what was removed stays removed");
    }
}
