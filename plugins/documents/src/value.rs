//! Reading values out of documents: JSON, and the JSON that MongoDB's extended form is.

use std::borrow::Cow;

use argus_plugin::time::parse_rfc3339;
use serde_json::Value;

/// Longest text that a message repeats.
const SHOWN_CHARS: usize = 60;
/// The last millisecond of the year 9999.
const LAST_MS: i64 = 253_402_300_799_999;

/// A value as a document's text has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    pub(crate) fn new(json: &'a str) -> Self {
        Self(json)
    }

    /// Its JSON.
    pub fn json(self) -> &'a str {
        self.0
    }

    /// See [`number`].
    pub fn number(self) -> Option<f64> {
        if self
            .0
            .starts_with(|first: char| first == '-' || first.is_ascii_digit())
        {
            let number: f64 = self.0.parse().ok()?;
            return number.is_finite().then_some(number);
        }
        number(&self.value()?)
    }

    /// Text, as it is.
    pub fn text(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains('\\') {
            return serde_json::from_str(self.0).ok().map(Cow::Owned);
        }
        Some(Cow::Borrowed(inner))
    }

    /// See [`time_ms`].
    pub fn time_ms(self) -> Option<i64> {
        // As MongoDB's connector sends every date.
        let date = self.0.strip_prefix(r#"{"$date":{"$numberLong":""#);
        if let Some(ms) = date.and_then(|date| date.strip_suffix(r#""}}"#)) {
            return ms.parse().ok().filter(|ms| (0..=LAST_MS).contains(ms));
        }
        time_ms(&self.value()?)
    }

    /// For a message, shortened.
    pub fn shown(self) -> String {
        shortened(self.0)
    }

    fn value(self) -> Option<Value> {
        serde_json::from_str(self.0).ok()
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
    // The bound makes the casts exact; before 1970 nobody measured servers.
    #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
    (0.0..=LAST_MS as f64)
        .contains(&ms)
        .then(|| ms.round() as i64)
}

/// A value for a message, shortened.
pub fn shown(value: &Value) -> String {
    shortened(&value.to_string())
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
            let json = value.to_string();
            assert_eq!(Raw::new(&json).number(), expected, "{value}");
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
            (json!({"$date": {"$numberLong": "-1"}}), None),
            (json!(-1), None),
            (json!("yesterday"), None),
            (json!({"date": 1}), None),
            (json!(null), None),
        ] {
            assert_eq!(time_ms(&value), expected, "{value}");
            let json = value.to_string();
            assert_eq!(Raw::new(&json).time_ms(), expected, "{value}");
        }
    }
}
