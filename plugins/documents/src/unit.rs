//! Units, and what a value in one is in the unit of a metric.

use serde::Deserialize;

/// The unit of a value in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// 0 to 100.
    Percent,
    /// 0 to 1.
    Fraction,
    /// Bytes a second.
    BytesPerSec,
    /// Bytes a millisecond: a count of bytes divided by a period in milliseconds.
    BytesPerMs,
    /// 10³ bytes a second.
    KilobytesPerSec,
    /// 2¹⁰ bytes a second.
    KibibytesPerSec,
    /// 10⁶ bytes a second.
    MegabytesPerSec,
    /// 2²⁰ bytes a second.
    MebibytesPerSec,
    /// Bits a second.
    BitsPerSec,
    /// 10⁶ bits a second.
    MegabitsPerSec,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
    /// Days.
    Days,
    /// A number of things.
    Count,
}

/// What a metric's name says that it measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dimension {
    Percent,
    MegabytesPerSec,
    Days,
    Count,
}

impl Dimension {
    fn of_metric(name: &str) -> Self {
        match name {
            _ if name.ends_with("_pct") => Self::Percent,
            _ if name.ends_with("_mb_s") => Self::MegabytesPerSec,
            _ if name.ends_with("_days") => Self::Days,
            _ => Self::Count,
        }
    }
}

impl Unit {
    /// What a value is multiplied with to be in the unit that the metric's name ends with: `_pct`, `_mb_s`, `_days`,
    /// none of these for a count. `None` where the unit measures something else.
    pub fn factor_to(self, metric: &str) -> Option<f64> {
        const MS_PER_DAY: f64 = 86_400_000.0;
        let (dimension, factor) = match self {
            Self::Percent => (Dimension::Percent, 1.0),
            Self::Fraction => (Dimension::Percent, 100.0),
            Self::BytesPerSec => (Dimension::MegabytesPerSec, 1e-6),
            Self::BytesPerMs | Self::KilobytesPerSec => (Dimension::MegabytesPerSec, 1e-3),
            Self::KibibytesPerSec => (Dimension::MegabytesPerSec, 1.024e-3),
            Self::MegabytesPerSec => (Dimension::MegabytesPerSec, 1.0),
            Self::MebibytesPerSec => (Dimension::MegabytesPerSec, 1.048_576),
            Self::BitsPerSec => (Dimension::MegabytesPerSec, 1.25e-7),
            Self::MegabitsPerSec => (Dimension::MegabytesPerSec, 0.125),
            Self::Milliseconds => (Dimension::Days, 1.0 / MS_PER_DAY),
            Self::Seconds => (Dimension::Days, 1e3 / MS_PER_DAY),
            Self::Minutes => (Dimension::Days, 6e4 / MS_PER_DAY),
            Self::Hours => (Dimension::Days, 1.0 / 24.0),
            Self::Days => (Dimension::Days, 1.0),
            Self::Count => (Dimension::Count, 1.0),
        };
        (dimension == Dimension::of_metric(metric)).then_some(factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_fits_a_metric_or_not() {
        for (unit, metric, expected) in [
            (Unit::Fraction, "mem_used_pct", Some(100.0)),
            (Unit::Percent, "mem_used_pct", Some(1.0)),
            (Unit::MegabitsPerSec, "net_in_mb_s", Some(0.125)),
            (Unit::BytesPerMs, "net_in_mb_s", Some(1e-3)),
            (Unit::Hours, "uptime_days", Some(1.0 / 24.0)),
            (Unit::Count, "back_close_wait", Some(1.0)),
            (Unit::Seconds, "mem_used_pct", None),
            (Unit::Fraction, "load_average", None),
        ] {
            assert_eq!(unit.factor_to(metric), expected, "{unit:?} {metric}");
        }
    }
}
