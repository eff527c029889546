//! The rhythm of days and weeks.

use crate::profiles::Profile;

/// A moment as hour of the day and day of the week.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moment {
    /// 0 ≤ hour < 24, with fractions.
    pub(crate) hour: f64,
    /// 0 is Monday.
    pub(crate) weekday: u32,
}

impl Moment {
    pub(crate) fn at(time_ms: i64) -> Self {
        let days = time_ms.div_euclid(86_400_000);
        let hour = time_ms.rem_euclid(86_400_000) as f64 / 3_600_000.0;
        // The epoch was a Thursday.
        Self {
            hour,
            weekday: (days + 3).rem_euclid(7) as u32,
        }
    }

    pub(crate) fn is_weekend(self) -> bool {
        self.weekday >= 5
    }

    pub(crate) fn is_between(self, from_hour: f64, to_hour: f64) -> bool {
        self.hour >= from_hour && self.hour < to_hour
    }
}

/// Factor on a profile's activity; `shift_hours` moves a server's day against the others'.
pub(crate) fn activity(profile: &Profile, moment: Moment, shift_hours: f64) -> f64 {
    let hour = (moment.hour + shift_hours).rem_euclid(24.0);
    let [night, early, day, afternoon, evening] = profile.day;
    // The profile's factors hold at the middle of their hours; between them the activity moves evenly.
    let anchors = [
        (3.0, night),
        (7.5, early),
        (12.0, day),
        (17.0, afternoon),
        (21.0, evening),
        (27.0, night),
    ];
    let hour = if hour < anchors[0].0 {
        hour + 24.0
    } else {
        hour
    };
    let next = anchors
        .iter()
        .position(|(at, _)| hour < *at)
        .unwrap_or(anchors.len() - 1)
        .max(1);
    let ((from, low), (to, high)) = (anchors[next - 1], anchors[next]);
    let daily = low + (high - low) * (hour - from) / (to - from);
    daily
        * if moment.is_weekend() {
            profile.weekend
        } else {
            1.0
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiles::split;

    #[test]
    fn moments_know_their_weekday() {
        // 2024-01-01T06:30Z, a Monday.
        let monday = Moment::at(1_704_090_600_000);
        assert_eq!(
            monday,
            Moment {
                hour: 6.5,
                weekday: 0
            }
        );
        assert!(Moment::at(1_704_090_600_000 + 5 * 86_400_000).is_weekend());
    }

    #[test]
    fn activity_has_no_jumps_within_a_day() {
        for (profile, _) in split(7) {
            let at = |minute: u32| {
                activity(
                    profile,
                    Moment {
                        hour: f64::from(minute % 1_440) / 60.0,
                        weekday: 2,
                    },
                    0.0,
                )
            };
            for minute in 0..1_440 {
                assert!(
                    (at(minute) - at(minute + 1)).abs() < 0.01,
                    "{} at {minute}",
                    profile.id
                );
            }
        }
    }
}
