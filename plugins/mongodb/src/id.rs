//! `_id`: what a document is called, and where it stands among those of its time.

use argus_plugin::Error;
use serde_json::Value;
use serde_json::value::RawValue;

/// Types in the order in which MongoDB sorts their values (and, of equal rank, compares them), by the names that
/// `$type` knows.
const ORDER: &[&[&str]] = &[
    &["number"],
    &["string", "symbol"],
    &["object"],
    &["array"],
    &["binData"],
    &["objectId"],
    &["bool"],
    &["date"],
    &["timestamp"],
    &["regex"],
];

/// What people call the document: an object id by its digits, others as extended JSON. Unique, as `_id` is.
pub fn shown(text: &str) -> &str {
    let digits = text
        .strip_prefix(r#"{"$oid":""#)
        .and_then(|rest| rest.strip_suffix(r#""}"#));
    digits.unwrap_or(text)
}

/// Conditions on `_id`, one after another, that together hold for whatever MongoDB sorts behind this one: `$gt` looks at
/// values of the same type only. Two queries and not an `$or`, because each of them is a span of the index.
pub fn behind(text: &str) -> Result<[Box<RawValue>; 2], Error> {
    let id: Value = serde_json::from_str(text)?;
    let later: Vec<_> = ORDER
        .iter()
        .skip(rank_of(&id) + 1)
        .flat_map(|types| types.iter())
        .collect();
    let later = serde_json::to_string(&later)?;
    Ok([
        // Written as it is: as a value, an id of several fields would lose their order, and be another one.
        RawValue::from_string(format!(r#"{{"$gt":{text}}}"#))?,
        RawValue::from_string(format!(r#"{{"$type":{later}}}"#))?,
    ])
}

fn rank_of(id: &Value) -> usize {
    let name = match id {
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Array(_) => "array",
        Value::Null => return 0,
        Value::Object(fields) => match fields.keys().next().map(String::as_str) {
            Some("$numberInt" | "$numberLong" | "$numberDouble" | "$numberDecimal") => "number",
            Some("$symbol") => "string",
            Some("$binary" | "$uuid") => "binData",
            Some("$oid") => "objectId",
            Some("$date") => "date",
            Some("$timestamp") => "timestamp",
            Some("$regularExpression") => "regex",
            _ => "object",
        },
    };
    ORDER
        .iter()
        .position(|types| types.contains(&name))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compound_ids_keep_their_order() {
        let [same, later] = behind(r#"{"b":1,"a":2}"#).expect("conditions");
        assert_eq!(same.get(), r#"{"$gt":{"b":1,"a":2}}"#);
        assert!(later.get().starts_with(r#"{"$type":["array","#), "{later}");
    }

    #[test]
    fn ids_are_shown_briefly_and_apart() {
        assert_eq!(
            shown(r#"{"$oid":"65a0b1c2d3e4f5a6b7c8d9e0"}"#),
            "65a0b1c2d3e4f5a6b7c8d9e0"
        );
        assert_eq!(shown("7"), "7");
        assert_eq!(shown(r#""7""#), r#""7""#);
    }

    #[test]
    fn every_type_has_its_place() {
        for (id, first_behind) in [
            ("7", "string"),
            (r#""a""#, "object"),
            (r#"{"$oid":"65a0b1c2d3e4f5a6b7c8d9e0"}"#, "bool"),
            (r#"{"$date":{"$numberLong":"1"}}"#, "timestamp"),
            (r#"{"$binary":{"base64":"","subType":"04"}}"#, "objectId"),
        ] {
            let [_, later] = behind(id).expect("conditions");
            let expected = format!(r#"{{"$type":["{first_behind}","#);
            assert!(later.get().starts_with(&expected), "{later}");
        }
    }
}
