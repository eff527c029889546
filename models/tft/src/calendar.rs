//! The time of a bin as inputs.

use serde::{Deserialize, Serialize};

use crate::source::Calendar;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const WEEK_MS: i64 = 7 * DAY_MS;
/// From Monday 0:00 to the epoch, which was a Thursday.
const EPOCH_IN_WEEK_MS: i64 = 3 * DAY_MS;

/// A function of the start of a bin, in UTC.
pub(crate) fn calendar(field: Calendar, bin_ms: i64) -> f32 {
    let in_day = bin_ms.rem_euclid(DAY_MS) as f64 / DAY_MS as f64;
    let week_ms = bin_ms
        .rem_euclid(WEEK_MS)
        .wrapping_add(EPOCH_IN_WEEK_MS)
        .rem_euclid(WEEK_MS);
    let in_week = week_ms as f64 / WEEK_MS as f64;
    let value = match field {
        Calendar::HourSin => (std::f64::consts::TAU * in_day).sin(),
        Calendar::HourCos => (std::f64::consts::TAU * in_day).cos(),
        Calendar::DowSin => (std::f64::consts::TAU * in_week).sin(),
        Calendar::DowCos => (std::f64::consts::TAU * in_week).cos(),
        Calendar::IsWeekend => f64::from(week_ms >= 5 * DAY_MS),
    };
    value as f32
}

/// The same for the bins of a grid, computed once: windows share their times, and sines cost more than reading them.
#[derive(Debug)]
pub(crate) struct CalendarTable {
    step_ms: i64,
    /// For each bin of a week from the epoch's place in it on, if a week has a whole number of them.
    week: Vec<[f32; FIELDS.len()]>,
    /// What [`time_of_day`] says of each bin of a day, if it has a whole number of them.
    day: Vec<[f32; DAY_INPUTS]>,
}

const FIELDS: [Calendar; 5] = [
    Calendar::HourSin,
    Calendar::HourCos,
    Calendar::DowSin,
    Calendar::DowCos,
    Calendar::IsWeekend,
];
/// Numbers of [`time_of_day`].
pub(crate) const DAY_INPUTS: usize = 8;

impl CalendarTable {
    pub(crate) fn new(step_secs: u32) -> Self {
        let step_ms = i64::from(step_secs.max(1)) * 1000;
        let starts = |span_ms: i64| {
            let is_whole = span_ms % step_ms == 0;
            let bins = if is_whole { span_ms / step_ms } else { 0 };
            (0..bins).map(move |bin| bin * step_ms)
        };
        let of_week = |bin_ms| FIELDS.map(|field| calendar(field, bin_ms));
        Self {
            step_ms,
            week: starts(WEEK_MS).map(of_week).collect(),
            day: starts(DAY_MS).map(time_of_day).collect(),
        }
    }

    /// As [`calendar`].
    pub(crate) fn calendar(&self, field: Calendar, bin_ms: i64) -> f32 {
        match self.entry(&self.week, bin_ms, WEEK_MS) {
            Some(fields) => fields[field as usize],
            None => calendar(field, bin_ms),
        }
    }

    /// As [`time_of_day`].
    pub(crate) fn time_of_day(&self, bin_ms: i64) -> [f32; DAY_INPUTS] {
        match self.entry(&self.day, bin_ms, DAY_MS) {
            Some(inputs) => *inputs,
            None => time_of_day(bin_ms),
        }
    }

    fn entry<'a, T>(&self, table: &'a [T], bin_ms: i64, span_ms: i64) -> Option<&'a T> {
        let in_span = bin_ms.rem_euclid(span_ms);
        let at = usize::try_from(in_span / self.step_ms).ok()?;
        (in_span % self.step_ms == 0)
            .then(|| table.get(at))
            .flatten()
    }
}

/// The place of a bin's start in the day and in the hour, in UTC, as first and second harmonics.
fn time_of_day(bin_ms: i64) -> [f32; DAY_INPUTS] {
    let turn = |period_ms: i64| {
        let share = bin_ms.rem_euclid(period_ms) as f64 / period_ms as f64;
        (share * std::f64::consts::TAU) as f32
    };
    let (day, hour) = (turn(DAY_MS), turn(HOUR_MS));
    [
        day.sin(),
        day.cos(),
        (2.0 * day).sin(),
        (2.0 * day).cos(),
        hour.sin(),
        hour.cos(),
        (2.0 * hour).sin(),
        (2.0 * hour).cos(),
    ]
}

/// What a clock and a calendar show at the start of a bin, in UTC, as plain numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// 0 to 23.
    Hour,
    /// 0 to 59.
    Minute,
    /// 0 for Monday to 6 for Sunday.
    DayOfWeek,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12.
    Month,
    /// 1 on Saturdays and Sundays, else 0.
    IsWeekend,
}

impl Clock {
    /// Under which names people have such columns.
    pub(crate) const NAMES: [(&str, Self); 9] = [
        ("hour", Self::Hour),
        ("minute", Self::Minute),
        ("day_of_week", Self::DayOfWeek),
        ("dayofweek", Self::DayOfWeek),
        ("weekday", Self::DayOfWeek),
        ("day", Self::DayOfMonth),
        ("day_of_month", Self::DayOfMonth),
        ("month", Self::Month),
        ("is_weekend", Self::IsWeekend),
    ];

    /// By the name of a column.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        names
            .find(|(known, _)| *known == name)
            .map(|(_, clock)| *clock)
    }

    /// What it shows at `bin_ms`; 0 outside the range of calendars.
    pub(crate) fn at(self, bin_ms: i64) -> i64 {
        let Ok(time) = jiff::Timestamp::from_millisecond(bin_ms) else {
            return 0;
        };
        let time = jiff::tz::Offset::UTC.to_datetime(time);
        let weekday = i64::from(time.weekday().to_monday_zero_offset());
        match self {
            Self::Hour => i64::from(time.hour()),
            Self::Minute => i64::from(time.minute()),
            Self::DayOfWeek => weekday,
            Self::DayOfMonth => i64::from(time.day()),
            Self::Month => i64::from(time.month()),
            Self::IsWeekend => i64::from(weekday >= 5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_show_what_pandas_shows() {
        // Thursday, 29 February 2024, 12:35, and the Saturday after.
        let thursday = 1_709_208_000_000 + 35 * 60_000;
        let check = |clock: Clock, expected: [i64; 2]| {
            assert_eq!(
                [clock.at(thursday), clock.at(thursday + 2 * DAY_MS)],
                expected,
                "{clock:?}"
            );
        };
        check(Clock::Hour, [12, 12]);
        check(Clock::Minute, [35, 35]);
        check(Clock::DayOfWeek, [3, 5]);
        check(Clock::DayOfMonth, [29, 2]);
        check(Clock::Month, [2, 3]);
        check(Clock::IsWeekend, [0, 1]);
        assert_eq!(Clock::named("month"), Some(Clock::Month));
        assert_eq!(Clock::named("holiday"), None);
    }

    #[test]
    fn the_table_says_the_same() {
        for (step_secs, start) in [(300, 0), (300, -7_000), (7, 0), (2_700, 0)] {
            let table = CalendarTable::new(step_secs);
            for bin in [-5_000, -1, 0, 1, 287, 288, 2_015, 2_016, 1_000_000] {
                let bin_ms = start + bin * i64::from(step_secs) * 1000;
                for field in FIELDS {
                    assert_eq!(table.calendar(field, bin_ms), calendar(field, bin_ms));
                }
                assert_eq!(table.time_of_day(bin_ms), time_of_day(bin_ms));
            }
        }
    }

    #[test]
    fn weekends_and_phases() {
        // 2024-02-29 was a Thursday, 2024-03-02 a Saturday.
        let thursday_noon = 1_709_208_000_000;
        assert_eq!(calendar(Calendar::IsWeekend, thursday_noon), 0.0);
        assert_eq!(
            calendar(Calendar::IsWeekend, thursday_noon + 2 * DAY_MS),
            1.0
        );
        assert_eq!(
            calendar(Calendar::IsWeekend, thursday_noon + 4 * DAY_MS),
            0.0
        );
        assert!((calendar(Calendar::HourCos, thursday_noon) + 1.0).abs() < 1e-6);
        // Thursday noon is the middle of the week.
        assert!((calendar(Calendar::DowCos, thursday_noon) + 1.0).abs() < 1e-6);
        assert!((calendar(Calendar::HourSin, -18 * 3_600_000) - 1.0).abs() < 1e-6);
    }
}
