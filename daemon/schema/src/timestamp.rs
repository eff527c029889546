//! The time of a record: text or number into milliseconds since the epoch.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde_json::Value;

/// Numbers from here on are milliseconds, below seconds: 10¹¹ s is the year 5138, 10¹¹ ms is March 1973.
const FIRST_MILLISECONDS: f64 = 1e11;
/// 9999-12-31T23:59:59.999Z, the last time RFC 3339 can write.
const LAST_MS: i64 = 253_402_300_799_999;

/// A time, and whether its text had no zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParsedTime {
    /// Milliseconds since the Unix epoch, 0 to the end of year 9999.
    pub(crate) ms: i64,
    /// Text without a zone, taken as UTC.
    pub(crate) zoneless: bool,
}

/// Reads a `timestamp` value; the error is what is wrong with it, to follow "… is X; ".
pub(crate) fn parse_time(value: &Value) -> Result<ParsedTime, &'static str> {
    let time = match value {
        Value::String(text) => parse_text(text)?,
        Value::Number(number) => parse_number(number.as_f64().unwrap_or(f64::NAN))?,
        _ => return Err(ALLOWED),
    };
    if time.ms < 0 {
        return Err("times before 1970 are not possible");
    }
    if time.ms > LAST_MS {
        return Err("this lies after the year 9999; epoch seconds or milliseconds are needed");
    }
    Ok(time)
}

const ALLOWED: &str = "RFC 3339 text such as 2026-01-31T12:00:00Z, or a number of epoch seconds or milliseconds, is needed";

fn parse_text(text: &str) -> Result<ParsedTime, &'static str> {
    if is_decimal(text) {
        return parse_number(text.parse().map_err(|_| ALLOWED)?);
    }
    // The library reads much of ISO 8601: bare dates, no seconds, no colons. Which of these a sender means is a guess.
    if zone(text).ok_or(ALLOWED)? {
        let timestamp = text.parse::<Timestamp>().map_err(|_| ALLOWED)?;
        return Ok(ParsedTime {
            ms: timestamp.as_millisecond(),
            zoneless: false,
        });
    }
    let civil = text.parse::<DateTime>().map_err(|_| ALLOWED)?;
    let timestamp = Offset::UTC.to_timestamp(civil).map_err(|_| ALLOWED)?;
    Ok(ParsedTime {
        ms: timestamp.as_millisecond(),
        zoneless: true,
    })
}

/// Digits, perhaps with a sign and a fraction: log shippers with templates send numbers so.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    [whole, fraction]
        .iter()
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a time written as RFC 3339 has it, `2026-01-31T12:00:00`, perhaps with a fraction, ends with a zone; `None` where
/// it is written otherwise. That day and hour exist is for the library to say.
fn zone(text: &str) -> Option<bool> {
    let (head, tail) = text.split_at_checked(19)?;
    let is_written = |text: &str, form: &str| {
        text.len() == form.len()
            && text
                .bytes()
                .zip(form.bytes())
                .all(|(byte, form)| match form {
                    b'0' => byte.is_ascii_digit(),
                    b'T' => matches!(byte, b'T' | b't' | b' '),
                    other => byte == other,
                })
    };
    let tail = match tail.strip_prefix('.') {
        Some(fraction) => {
            let rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            (rest.len() < fraction.len()).then_some(rest)?
        }
        None => tail,
    };
    let is_offset =
        |offset: &str| is_written(offset, "00:00") && offset[..2] <= *"23" && offset[3..] <= *"59";
    let has_zone = match tail {
        "" => false,
        "Z" | "z" => true,
        _ => is_offset(tail.strip_prefix(['+', '-'])?).then_some(true)?,
    };
    is_written(head, "0000-00-00T00:00:00").then_some(has_zone)
}

fn parse_number(number: f64) -> Result<ParsedTime, &'static str> {
    if !number.is_finite() {
        return Err(ALLOWED);
    }
    let ms = if number.abs() < FIRST_MILLISECONDS {
        number * 1000.0
    } else {
        number
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, and the caller checks the range"
    )]
    let ms = ms.round() as i64;
    Ok(ParsedTime {
        ms,
        zoneless: false,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(value: Value, expected: Option<(i64, bool)>) {
        let parsed = parse_time(&value).ok().map(|time| (time.ms, time.zoneless));
        assert_eq!(parsed, expected, "{value}");
    }

    #[test]
    fn text_with_and_without_zone() {
        check(
            json!("2026-11-21T12:02:05Z"),
            Some((1_795_262_525_000, false)),
        );
        check(
            json!("2026-11-21T14:02:05.210350+02:00"),
            Some((1_795_262_525_210, false)),
        );
        check(
            json!("2026-11-21t12:02:05z"),
            Some((1_795_262_525_000, false)),
        );
        check(
            json!("2026-11-21T12:02:05.21"),
            Some((1_795_262_525_210, true)),
        );
        check(
            json!("2026-11-21 12:02:05"),
            Some((1_795_262_525_000, true)),
        );
        check(
            json!("2026-11-21 17:32:05+05:30"),
            Some((1_795_262_525_000, false)),
        );
        for bad in [
            "",
            "now",
            "2026-11-21",
            "12:00",
            "2026-13-01T00:00:00Z",
            "2026-02-30T00:00:00",
            "2026-02-30T00:00:00Z",
            "20261121T180000Z",
            "2026-11-21T18:00",
            "2026-11-21T18:00Z",
            "2026-11-21T18:00:00+0530",
            "2026-11-21T18:00:00+05",
            "2026-11-21T18:00:00+24:00",
            "2026-11-21T18:00:00+05:60",
            "2026-11-21T18:00:00.Z",
            "2026-11-21T18:00:00,5Z",
            "2026-11-21T18:00:00Z[UTC]",
            "2026-11-21T18:00:0é",
            "+1795262525",
            "1795262525.",
            "1e9",
            ".5",
            "-",
        ] {
            check(json!(bad), None);
        }
    }

    #[test]
    fn numbers_are_seconds_or_milliseconds() {
        check(json!(1_795_262_525), Some((1_795_262_525_000, false)));
        check(json!(1_795_262_525.25), Some((1_795_262_525_250, false)));
        check(
            json!(1_795_262_525_123_i64),
            Some((1_795_262_525_123, false)),
        );
        check(json!(100_000_000_000_i64), Some((100_000_000_000, false)));
        check(json!(99_999_999_999_i64), Some((99_999_999_999_000, false)));
        check(json!(0), Some((0, false)));
        check(json!("1795288529"), Some((1_795_288_529_000, false)));
        check(json!("1795288529000"), Some((1_795_288_529_000, false)));
        check(json!("1795288529.25"), Some((1_795_288_529_250, false)));
    }

    #[test]
    fn out_of_bounds_and_other_types() {
        for bad in [
            json!(-1),
            json!("-1"),
            json!("9".repeat(400)),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(1e300),
            json!("1969-12-31T23:59:59Z"),
        ] {
            check(bad, None);
        }
        for bad in [json!(true), json!([1]), json!({"$date": 1})] {
            check(bad, None);
        }
    }
}
