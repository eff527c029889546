//! Reading values out of documents: JSON, and the JSON that MongoDB's extended form is.

use argus_plugin::time::parse_rfc3339;
use serde_json::Value;

/// Longest text that a message repeats.
const SHOWN_CHARS: usize = 60;

/// The value at a path of names with dots between them. Documents may nest (`{"host": {"name": …}}`) or hold dotted
/// names (`{"host.name": …}`), also in part; a list of one is its element, as search engines see it. Null is nothing.
pub fn at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    let found = match document {
        // Most paths that a document does not have are single names; this is asked of every rule.
        Value::Object(fields) => fields.get(path).or_else(|| {
            let dots = path.bytes().enumerate().filter(|(_, byte)| *byte == b'.');
            dots.map(|(dot, _)| dot).find_map(|dot| {
                let inner = fields.get(&path[..dot])?;
                at(inner, &path[dot + 1..])
            })
        })?,
        Value::Array(one) if one.len() == 1 => return at(&one[0], path),
        _ => return None,
    };
    match found {
        Value::Null => None,
        Value::Array(one) if one.len() == 1 && !one[0].is_null() => Some(&one[0]),
        found => Some(found),
    }
}

/// A finite number: a JSON number, text that is one (`"45.2"`), or one of extended JSON (`{"$numberLong": "7"}`).
pub fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        Value::Object(fields) if fields.len() == 1 => {
            let (name, inner) = fields.iter().next()?;
            match name.as_str() {
                "$numberInt" | "$numberLong" | "$numberDouble" | "$numberDecimal" => {
                    inner.as_str()?.parse().ok()?
                }
                _ => return None,
            }
        }
        _ => return None,
    };
    f64::is_finite(number).then_some(number)
}

/// Text, as it is.
pub fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

/// A time in milliseconds since the epoch: RFC 3339 text (without a zone: UTC), epoch seconds or, from 10¹¹ on,
/// milliseconds, or a date of extended JSON (`{"$date": …}`).
pub fn time_ms(value: &Value) -> Option<i64> {
    const FIRST_MILLISECONDS: f64 = 1e11;
    if let Value::Object(fields) = value {
        let date = fields.get("$date")?;
        return match date {
            Value::String(text) => parse_rfc3339(text),
            date => exact_ms(number(date)?),
        };
    }
    if let Some(number) = number(value) {
        let is_seconds = number.abs() < FIRST_MILLISECONDS;
        return exact_ms(if is_seconds { number * 1000.0 } else { number });
    }
    parse_rfc3339(value.as_str()?)
}

fn exact_ms(ms: f64) -> Option<i64> {
    const LAST_MS: f64 = 253_402_300_799_999.0;
    // The bound makes the cast exact; before 1970 nobody measured servers.
    #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
    (0.0..=LAST_MS).contains(&ms).then(|| ms.round() as i64)
}

/// A value for a message, shortened.
pub fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN_CHARS {
        return text;
    }
    let head: String = text.chars().take(SHOWN_CHARS).collect();
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_go_through_nesting_and_dotted_names() {
        for document in [
            json!({"a": {"b": {"c": 1}}}),
            json!({"a.b.c": 1}),
            json!({"a.b": {"c": 1}}),
            json!({"a": {"b.c": [1]}}),
            json!({"a": [{"b": {"c": 1}}]}),
            json!({"a": {"x": 2}, "a.b": {"c": 1}}),
        ] {
            assert_eq!(at(&document, "a.b.c"), Some(&json!(1)), "{document}");
        }
        for document in [
            json!({}),
            json!({"a": {"b": {"c": null}}}),
            json!({"a": {"b": {"c": [null]}}})
                .pointer("/none")
                .cloned()
                .unwrap_or(json!(1)),
            json!({"a": {"b": 3}}),
            json!({"a": [{"b": {"c": 1}}, {}]}),
        ] {
            assert_eq!(at(&document, "a.b.c"), None, "{document}");
        }
    }

    #[test]
    fn numbers() {
        for (value, expected) in [
            (json!(0), Some(0.0)),
            (json!("45.2"), Some(45.2)),
            (json!({"$numberLong": "7"}), Some(7.0)),
            (json!({"$numberDecimal": "0.25"}), Some(0.25)),
            (json!({"$numberDouble": "NaN"}), None),
            (json!("high"), None),
            (json!("inf"), None),
            (json!(true), None),
            (json!([1, 2]), None),
        ] {
            assert_eq!(number(&value), expected, "{value}");
        }
    }

    #[test]
    fn times() {
        for (value, expected) in [
            (json!("2026-02-03T04:05:06.789Z"), Some(1_770_091_506_789)),
            (
                json!("2026-02-03T06:05:06.789123+02:00"),
                Some(1_770_091_506_789),
            ),
            (json!(1_770_091_506), Some(1_770_091_506_000)),
            (json!(1_770_091_506_789_i64), Some(1_770_091_506_789)),
            (
                json!({"$date": "2026-02-03T04:05:06.789Z"}),
                Some(1_770_091_506_789),
            ),
            (
                json!({"$date": {"$numberLong": "1770091506789"}}),
                Some(1_770_091_506_789),
            ),
            (json!(-1), None),
            (json!("yesterday"), None),
            (json!({"date": 1}), None),
            (json!(null), None),
        ] {
            assert_eq!(time_ms(&value), expected, "{value}");
        }
    }
}
