//! How the values of the network's input columns are computed: part of `config.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::calendar::Clock;

/// One input column of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its column name in the architecture.
    pub name: String,
    /// Where its values come from.
    pub source: Source,
}

/// How the values of an input column are computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// Category: the entity's profile. Code `i + 1` is `categories[i]`, 0 is any other.
    Profile {
        /// Profile ids.
        categories: Vec<String>,
    },
    /// Category: the status of the bin, coded as the schema does; 0 is missing.
    Status,
    /// Category: something with a name, by a table of codes, as imported models have it.
    Named {
        /// What.
        of: Naming,
        /// Code by name.
        codes: BTreeMap<String, i64>,
        /// Code of what is missing or has none.
        other: i64,
    },
    /// What a clock or calendar shows at the bin's start, standardised, as imported models have it.
    Clock {
        /// Which.
        field: Clock,
        /// Subtracted.
        mean: f64,
        /// Divided by.
        scale: f64,
    },
    /// A function of the bin's start in UTC.
    Calendar {
        /// Which.
        field: Calendar,
    },
    /// Steps to the first forecast bin, over the longest encoder: below 0 in the past, 0 at the first forecast bin.
    RelativeTime,
    /// A metric, scaled; carried forward, then backward, where missing; 0 where never observed.
    Metric {
        /// Its name.
        metric: String,
    },
    /// A metric some steps before the bin in question, scaled; 0 where not observed or outside what the caller gave.
    Lag {
        /// Its name.
        metric: String,
        /// How many steps before.
        steps: u32,
    },
    /// 1 where [`Source::Lag`] has an observed value, else 0.
    LagObserved {
        /// The metric's name.
        metric: String,
        /// How many steps before.
        steps: u32,
    },
    /// Share of the schema's metrics that were observed in the bin: 0 is a gap.
    ObservedShare,
    /// Length of the encoder, centred: `(length - longest / 2) / longest · 2`.
    EncoderLength,
    /// The metric's centre in this window, compressed and standardised.
    Center {
        /// Its name.
        metric: String,
    },
    /// The metric's scale in this window, its logarithm standardised.
    Scale {
        /// Its name.
        metric: String,
    },
    /// Share of the context's bins in which the metric was observed.
    PresentShare {
        /// Its name.
        metric: String,
    },
}

/// What a category with a table of codes stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Naming {
    /// The entity's profile.
    Profile,
    /// The status of the bin.
    Status,
    /// The entity itself, by its name or its short id.
    Entity,
    /// What a clock or calendar shows, as a decimal number.
    Clock {
        /// Which.
        field: Clock,
    },
}

/// Functions of the time of a bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calendar {
    /// Sine of the time of day.
    HourSin,
    /// Cosine of the time of day.
    HourCos,
    /// Sine of the time of the week, which starts on Monday.
    DowSin,
    /// Cosine of the time of the week.
    DowCos,
    /// 1 on Saturdays and Sundays, else 0.
    IsWeekend,
}

impl Source {
    /// Whether values are category codes.
    pub(crate) fn is_categorical(&self) -> bool {
        matches!(
            self,
            Self::Profile { .. } | Self::Status | Self::Named { .. }
        )
    }

    pub(crate) fn metric(&self) -> Option<&str> {
        match self {
            Self::Metric { metric }
            | Self::Lag { metric, .. }
            | Self::LagObserved { metric, .. }
            | Self::Center { metric }
            | Self::Scale { metric }
            | Self::PresentShare { metric } => Some(metric),
            _ => None,
        }
    }
}
