//! `[alerts]`: when an alert fires and resolves, and how it is delivered.

use serde::{Deserialize, Serialize};

use crate::check::Checker;

/// When an alert fires and resolves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// Scheduled forecasts in a row that must expect a breach before an alert fires.
    pub for_strikes: u32,
    /// Scheduled forecasts in a row that must expect none before it resolves.
    pub clear_strikes: u32,
    /// Probability of a breach from which a forecast counts as a strike.
    pub fire_probability: f64,
    /// Probability below which a forecast counts towards resolving; the gap keeps an alert from flapping.
    pub clear_probability: f64,
    /// How often sinks hear of an alert that goes on firing.
    pub refresh_secs: u64,
    /// How long resolved alerts are kept.
    pub history_retention_days: u32,
    /// `[alerts.delivery]`: retries of notifications.
    pub delivery: Delivery,
}

/// Retries of notifications.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// Pause before the first retry; doubled after each, with jitter.
    pub first_backoff_secs: u64,
    /// Longest pause between two tries.
    pub max_backoff_secs: u64,
    /// A notification that could not be delivered for this long is given up, and counted.
    pub deadline_secs: u64,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            for_strikes: 3,
            clear_strikes: 3,
            fire_probability: 0.6,
            clear_probability: 0.4,
            refresh_secs: 300,
            history_retention_days: 400,
            delivery: Delivery::default(),
        }
    }
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            first_backoff_secs: 1,
            max_backoff_secs: 300,
            deadline_secs: 6 * 3600,
        }
    }
}

impl Alerts {
    pub(crate) fn check(&self, found: &mut Checker) {
        found.range(&["alerts", "for_strikes"], &self.for_strikes, 1..=100);
        found.range(&["alerts", "clear_strikes"], &self.clear_strikes, 1..=100);
        found.range(
            &["alerts", "fire_probability"],
            &self.fire_probability,
            0.01..=1.0,
        );
        found.range(
            &["alerts", "clear_probability"],
            &self.clear_probability,
            0.0..=1.0,
        );
        if self.clear_probability > self.fire_probability {
            found.report(
                &["alerts", "clear_probability"],
                format!(
                    "an alert that fires at {} cannot clear at {}",
                    self.fire_probability, self.clear_probability
                ),
                "`clear_probability` must not exceed `fire_probability`",
            );
        }
        found.range(&["alerts", "refresh_secs"], &self.refresh_secs, 10..=86_400);
        found.range(
            &["alerts", "history_retention_days"],
            &self.history_retention_days,
            1..=36_500,
        );
        let delivery = &self.delivery;
        found.range(
            &["alerts", "delivery", "first_backoff_secs"],
            &delivery.first_backoff_secs,
            1..=3600,
        );
        found.range(
            &["alerts", "delivery", "max_backoff_secs"],
            &delivery.max_backoff_secs,
            1..=86_400,
        );
        found.range(
            &["alerts", "delivery", "deadline_secs"],
            &delivery.deadline_secs,
            1..=30 * 86_400,
        );
    }
}
