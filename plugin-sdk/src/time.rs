//! Times as text.

/// A time as RFC 3339 in UTC, e.g. `2026-02-03T04:05:06.789Z`. Clamped to the years 0000 to 9999, which is what the
/// format can say.
pub fn rfc3339(ms: i64) -> String {
    const FIRST_MS: i64 = -62_167_219_200_000;
    const LAST_MS: i64 = 253_402_300_799_999;
    let ms = ms.clamp(FIRST_MS, LAST_MS);
    let (year, month, day) = civil_date(ms.div_euclid(86_400_000));
    let of_day = ms.rem_euclid(86_400_000);
    let (hours, minutes) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (seconds, millis) = (of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

/// Milliseconds since the epoch of a time as RFC 3339 writes it; without a zone it is in UTC. What is finer than a
/// millisecond is cut off.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let (head, tail) = text.split_at_checked(19)?;
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    let bytes = head.as_bytes();
    let is_written = separators
        .iter()
        .all(|&(place, separator)| bytes[place] == separator);
    if !is_written || !matches!(bytes[10], b'T' | b't' | b' ') {
        return None;
    }
    let number = |text: &str| -> Option<i64> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse().ok() } else { None }
    };
    let part = |from: usize, to: usize| number(head.get(from..to)?);
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hours, minutes, seconds) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    let days = days_since_epoch(year, month, day);
    // A day that does not exist comes back as another one; a leap second is the last of its minute.
    let exists = civil_date(days) == (year, month, day);
    if !exists || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let fraction_bytes = tail.strip_prefix('.').map_or(0, |fraction| {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        digits + 1
    });
    let (fraction, zone) = tail.split_at(fraction_bytes);
    let ms = match fraction.len() {
        0 => 0,
        1 => return None,
        _ => number(&format!("{:0<3.3}", &fraction[1..]))?,
    };
    let offset_minutes = match zone {
        "" | "Z" | "z" => 0,
        zone => {
            let sign = match zone.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            if hours.len() != 2 || minutes.len() != 2 {
                return None;
            }
            sign * (number(hours)? * 60 + number(minutes)?)
        }
    };
    let seconds = days * 86_400 + hours * 3600 + (minutes - offset_minutes) * 60 + seconds.min(59);
    Some(seconds * 1000 + ms)
}

/// The reverse of [`civil_date`].
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (cycle, year_of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let leap_days = year_of_cycle / 4 - year_of_cycle / 100;
    cycle * 146_097 + year_of_cycle * 365 + leap_days + day_of_year - 719_468
}

/// Year, month and day of a day since the epoch in the proleptic Gregorian calendar. Years are counted from March, so
/// that the leap day is the last of its year, in cycles of 400 years (146,097 days).
fn civil_date(days_since_epoch: i64) -> (i64, i64, i64) {
    // Day 0 of the cycle that holds 1970 is 0000-03-01, 719,468 days before the epoch.
    let days = days_since_epoch + 719_468;
    let (cycle, day_of_cycle) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let leap_days = day_of_cycle / 1460 - day_of_cycle / 36_524 + day_of_cycle / 146_096;
    let year_of_cycle = (day_of_cycle - leap_days) / 365;
    let day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    // March to July and August to December have 153 days each.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = cycle * 400 + year_of_cycle + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_210_096_789, "2024-02-29T12:34:56.789Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (i64::MIN, "0000-01-01T00:00:00.000Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(ms), expected);
        }
    }

    #[test]
    fn times_are_read() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T00:00:00.000Z", Some(951_782_400_000)),
            ("2024-02-29 12:34:56.789123", Some(1_709_210_096_789)),
            ("2024-02-29T14:34:56.7+02:00", Some(1_709_210_096_700)),
            ("2024-02-29T07:04:56-05:30", Some(1_709_210_096_000)),
            ("2023-02-29T00:00:00Z", None),
            ("2024-13-01T00:00:00Z", None),
            ("2024-01-01T24:00:00Z", None),
            ("2024-01-01T00:00:00.Z", None),
            ("2024-01-01T00:00:00+2", None),
            ("2024-01-01", None),
            ("+024-01-01T00:00:00Z", None),
            ("2024-01-01T00:00:00Zulu", None),
            ("", None),
        ] {
            assert_eq!(parse_rfc3339(text), expected, "{text}");
        }
        for ms in [
            -62_167_219_200_000,
            -1,
            0,
            951_782_400_001,
            253_402_300_799_999,
        ] {
            assert_eq!(parse_rfc3339(&rfc3339(ms)), Some(ms));
        }
    }

    #[test]
    fn days_follow_each_other() {
        let mut previous = civil_date(-719_529);
        for day in -719_528..200_000 {
            let next = civil_date(day);
            let (year, month, date) = previous;
            assert!(
                next == (year, month, date + 1)
                    || next == (year, month + 1, 1)
                    || next == (year + 1, 1, 1),
                "{previous:?} {next:?}"
            );
            assert!(next.2 <= 31 && next.1 <= 12);
            previous = next;
        }
    }
}
