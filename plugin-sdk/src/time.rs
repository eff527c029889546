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
