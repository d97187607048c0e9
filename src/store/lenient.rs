//! Reading what can be read of a file whose entries do not depend on each other.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// A value, and where parts were left out.
#[derive(Debug)]
pub struct Decoded<T> {
    pub value: T,
    /// The JSON without the parts that were left out.
    pub json: Map<String, Value>,
    /// Names of what could not be decoded, such as `theme` or `recent.x.pt`.
    pub dropped: Vec<String>,
}

/// Decodes a structure whose fields all have defaults. A field that cannot be decoded is left out; of one that is a map or a
/// list only the entries that cannot be.
///
/// # Errors
/// The structure does not even decode without fields.
pub fn decode<T: DeserializeOwned>(json: Map<String, Value>) -> Result<Decoded<T>, serde_json::Error> {
    if let Ok(value) = serde_json::from_value(Value::Object(json.clone())) {
        return Ok(Decoded { value, json, dropped: Vec::new() });
    }
    let decodes = |key: &str, value: Value| serde_json::from_value::<T>(json!({ key: value })).is_ok();
    let mut dropped = Vec::new();
    let mut kept = Map::new();
    for (key, mut value) in json {
        if !decodes(&key, value.clone()) {
            match &mut value {
                Value::Object(entries) => entries.retain(|name, entry| {
                    let sound = decodes(&key, json!({ name: entry }));
                    if !sound {
                        dropped.push(format!("{key}.{name}"));
                    }
                    sound
                }),
                Value::Array(entries) => entries.retain(|entry| {
                    let sound = decodes(&key, json!([entry]));
                    if !sound {
                        dropped.push(format!("an entry of {key}"));
                    }
                    sound
                }),
                _ => {}
            }
            if !decodes(&key, value.clone()) {
                dropped.retain(|name| !name.starts_with(&format!("{key}.")) && *name != format!("an entry of {key}"));
                dropped.push(key);
                continue;
            }
        }
        kept.insert(key, value);
    }
    let value = serde_json::from_value(Value::Object(kept.clone()))?;
    Ok(Decoded { value, json: kept, dropped })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Thing {
        number: u8,
        list: Vec<u8>,
        map: BTreeMap<String, u8>,
    }

    fn decoded(value: Value) -> Decoded<Thing> {
        decode(value.as_object().unwrap().clone()).unwrap()
    }

    #[test]
    fn only_what_cannot_be_decoded_is_left_out() {
        let Decoded { value, json, dropped } = decoded(
            json!({"number": 300, "list": [1, "x", 3], "map": {"a": 1, "b": null, "c": 3}, "of another program": [1]}),
        );
        let map = [("a".to_owned(), 1), ("c".to_owned(), 3)].into();
        assert_eq!(value, Thing { number: 0, list: vec![1, 3], map });
        let mut dropped = dropped;
        dropped.sort();
        assert_eq!(dropped, ["an entry of list", "map.b", "number"]);
        assert_eq!(Value::Object(json), json!({"list": [1, 3], "map": {"a": 1, "c": 3}, "of another program": [1]}));
        let Decoded { value, dropped, .. } = decoded(json!({"number": 7, "list": {"x": 1}}));
        assert_eq!((value, dropped), (Thing { number: 7, ..Thing::default() }, vec!["list".to_owned()]));
        assert!(decoded(json!({"number": 7})).dropped.is_empty());
    }
}
