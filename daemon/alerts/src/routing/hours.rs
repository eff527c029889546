//! Weekly hours in a time zone, daylight saving time included.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weekday {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// Hours of some days of the week. Hours that end before they begin last into the next day, and belong to the day on
/// which they began.
#[derive(Debug, Clone)]
pub struct Hours {
    days: [bool; 7],
    from: u16,
    until: u16,
    zone: TimeZone,
}

/// Why hours cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// Not a zone.
    #[error("there is no time zone {0:?}; write one such as \"Europe/Berlin\" or \"UTC\"")]
    Zone(String),
    /// Not a span of hours.
    #[error("{0:?} is no span of hours; write one such as \"08:00-18:30\"")]
    Span(String),
}

const DAY_MINUTES: u16 = 24 * 60;

impl Hours {
    /// `days` empty means every day; `span` is `HH:MM-HH:MM`, none the whole day; `zone` is an IANA name.
    pub fn new(days: &[Weekday], span: Option<&str>, zone: &str) -> Result<Self, HoursError> {
        let zone = TimeZone::get(zone).map_err(|_| HoursError::Zone(zone.to_owned()))?;
        let (from, until) = match span {
            None => (0, DAY_MINUTES),
            Some(span) => parse_span(span).ok_or_else(|| HoursError::Span(span.to_owned()))?,
        };
        let mut week = [days.is_empty(); 7];
        for day in days {
            week[*day as usize] = true;
        }
        Ok(Self {
            days: week,
            from,
            until,
            zone,
        })
    }

    /// Whether a moment, in ms since the epoch, lies within.
    pub fn contain(&self, at_ms: i64) -> bool {
        let Ok(at) = Timestamp::from_millisecond(at_ms) else {
            return false;
        };
        let local = at.to_zoned(self.zone.clone());
        let today = local.weekday().to_monday_zero_offset().unsigned_abs() as usize % 7;
        let yesterday = (today + 6) % 7;
        let minute = local.hour().unsigned_abs() as u16 * 60 + local.minute().unsigned_abs() as u16;
        if self.from < self.until {
            return self.days[today] && (self.from..self.until).contains(&minute);
        }
        (self.days[today] && minute >= self.from) || (self.days[yesterday] && minute < self.until)
    }
}

fn parse_span(span: &str) -> Option<(u16, u16)> {
    let (from, until) = span.split_once('-')?;
    let (from, until) = (parse_time(from)?, parse_time(until)?);
    (from != until && from < DAY_MINUTES).then_some((from, until))
}

fn parse_time(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |digits: &str| {
        let two = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        two.then(|| digits.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= DAY_MINUTES).then_some(minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> i64 {
        let time: Timestamp = time.parse().expect("a time");
        time.as_millisecond()
    }

    #[track_caller]
    fn check(hours: &Hours, within: &[&str], without: &[&str]) {
        for (times, expected) in [(within, true), (without, false)] {
            for time in times {
                assert_eq!(hours.contain(at(time)), expected, "{time}");
            }
        }
    }

    #[test]
    fn office_hours_follow_the_clocks_on_the_wall() {
        use Weekday::{Fri, Mon, Thu, Tue, Wed};
        let days = [Mon, Tue, Wed, Thu, Fri];
        let hours = Hours::new(&days, Some("08:00-18:00"), "Europe/Berlin").expect("hours");
        check(
            &hours,
            // Winter is an hour ahead of UTC, summer two.
            &[
                "2026-02-02T07:00:00Z",
                "2026-02-06T16:59:59Z",
                "2026-07-06T06:00:00Z",
            ],
            &[
                "2026-02-02T06:59:59Z",
                "2026-02-02T17:00:00Z",
                "2026-07-06T16:00:00Z",
                "2026-02-07T10:00:00Z",
            ],
        );
    }

    #[test]
    fn nights_belong_to_the_day_they_begin_on() {
        let hours = Hours::new(&[Weekday::Fri], Some("22:00-06:00"), "UTC").expect("hours");
        check(
            &hours,
            &["2026-02-06T22:00:00Z", "2026-02-07T05:59:00Z"],
            &[
                "2026-02-06T05:00:00Z",
                "2026-02-07T06:00:00Z",
                "2026-02-07T23:00:00Z",
            ],
        );
        let whole = Hours::new(&[Weekday::Sun], None, "UTC").expect("hours");
        check(
            &whole,
            &["2026-02-08T00:00:00Z", "2026-02-08T23:59:59Z"],
            &["2026-02-09T00:00:00Z"],
        );
        let late = Hours::new(&[], Some("20:00-24:00"), "UTC").expect("hours");
        check(&late, &["2026-02-08T23:59:59Z"], &["2026-02-09T00:00:00Z"]);
    }

    #[test]
    fn nonsense_is_named() {
        for span in [
            "8-18",
            "08:00",
            "08:00-08:00",
            "24:00-06:00",
            "08:60-09:00",
            "-1:00-02:00",
            "8:00-18:00",
        ] {
            let error = Hours::new(&[], Some(span), "UTC").expect_err(span);
            assert_eq!(error, HoursError::Span(span.to_owned()));
        }
        assert!(matches!(
            Hours::new(&[], None, "Europe/Atlantis"),
            Err(HoursError::Zone(_))
        ));
    }
}
