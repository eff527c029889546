//! The time of a bin as inputs.

use crate::model_config::Calendar;

const DAY_MS: i64 = 86_400_000;
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

#[cfg(test)]
mod tests {
    use super::*;

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
