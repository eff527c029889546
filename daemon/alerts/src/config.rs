//! Settings of the state machine and of delivery.

use serde::{Deserialize, Serialize};

/// When a condition of one severity counts as on and as off.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeverityRule {
    /// From this probability on a forecast is a strike (or if the entity is in breach now).
    pub fire_probability: f64,
    /// Up to this probability, and not in breach, a forecast counts towards resolving. Between the two nothing moves.
    pub clear_probability: f64,
}

impl Default for SeverityRule {
    /// 0.6 and 0.3: a page is more likely right than wrong, and needs half of that to be taken back.
    fn default() -> Self {
        Self {
            fire_probability: 0.6,
            clear_probability: 0.3,
        }
    }
}

/// Settings of the state machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertConfig {
    /// Consecutive scheduled forecasts that must agree before an alert fires.
    pub for_strikes: u32,
    /// Consecutive scheduled forecasts that must agree before it resolves.
    pub clear_strikes: u32,
    /// Critical thresholds.
    pub critical: SeverityRule,
    /// Warning thresholds; `None` (the default): they never alert.
    pub warning: Option<SeverityRule>,
    /// Forecasts further apart than this (and than three steps) are not consecutive: strikes start anew. In seconds.
    pub max_strike_gap_secs: u64,
    /// An alert that fires again within this time of its last resolution is flapping and gets harder to resolve.
    /// In seconds.
    pub flap_window_secs: u64,
    /// How often a firing alert is told again to sinks that want it. In seconds.
    pub refresh_secs: u64,
    /// An alert whose entity had no scheduled forecast for this long is resolved as unobserved. In seconds.
    pub stale_secs: u64,
    /// A notification that was not delivered within this time becomes a dead letter. In seconds.
    pub deadline_secs: u64,
    /// Most undelivered notifications per sink; beyond it the oldest become dead letters.
    pub max_queued_per_sink: u32,
    /// Most dead letters kept per sink.
    pub max_dead_per_sink: u32,
    /// History older than this is deleted. In days.
    pub history_retention_days: u32,
    /// Most transitions kept, whatever their age.
    pub history_max_rows: u32,
    /// Where people look; a notification's link is `{link_base}/?server={name}`.
    pub link_base: Option<String>,
}

impl Default for AlertConfig {
    fn default() -> Self {
        Self {
            for_strikes: 3,
            clear_strikes: 3,
            critical: SeverityRule::default(),
            warning: None,
            max_strike_gap_secs: 2 * 3600,
            flap_window_secs: 6 * 3600,
            refresh_secs: 300,
            stale_secs: 24 * 3600,
            deadline_secs: 4 * 3600,
            max_queued_per_sink: 10_000,
            max_dead_per_sink: 1_000,
            history_retention_days: 90,
            history_max_rows: 200_000,
            link_base: None,
        }
    }
}

impl AlertConfig {
    /// What is wrong with the values, for people; `None` if nothing.
    pub(crate) fn problem(&self) -> Option<String> {
        for (severity, rule) in [("critical", Some(self.critical)), ("warning", self.warning)] {
            let Some(SeverityRule {
                fire_probability,
                clear_probability,
            }) = rule
            else {
                continue;
            };
            if !(0.0 <= clear_probability
                && clear_probability < fire_probability
                && fire_probability <= 1.0)
            {
                return Some(format!(
                    "{severity}: clear_probability {clear_probability} must be at least 0 and below fire_probability {fire_probability}, which must be at most 1"
                ));
            }
        }
        (self.for_strikes == 0 || self.clear_strikes == 0)
            .then(|| "for_strikes and clear_strikes must be at least 1".to_owned())
    }

    /// A firing notification is good for this long: several refreshes may be lost before a receiver takes it for over.
    pub(crate) fn ends_after_ms(&self) -> i64 {
        millis(self.refresh_secs.max(60)).saturating_mul(4)
    }
}

/// Settings of the delivery worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryConfig {
    /// Deliveries of one sink that may run at a time; of one fingerprint it is always one.
    pub max_in_flight: usize,
    /// An attempt without an answer for this long has failed and is tried again. In seconds.
    pub attempt_timeout_secs: u64,
    /// Pause after the first failure; doubles with each further one. In milliseconds.
    pub backoff_base_ms: u64,
    /// Longest pause. In milliseconds.
    pub backoff_max_ms: u64,
    /// How often refreshes, stale alerts and retention are looked after. In milliseconds.
    pub upkeep_ms: u64,
    /// On shutdown running deliveries get this long to end. In seconds.
    pub drain_secs: u64,
    /// Seed of the jitter; `None`: from the operating system.
    pub seed: Option<u64>,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            max_in_flight: 4,
            attempt_timeout_secs: 30,
            backoff_base_ms: 1_000,
            backoff_max_ms: 5 * 60_000,
            upkeep_ms: 10_000,
            drain_secs: 5,
            seed: None,
        }
    }
}

/// Seconds as milliseconds of our clocks.
pub(crate) fn millis(secs: u64) -> i64 {
    i64::try_from(secs).unwrap_or(i64::MAX).saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_sound_and_nonsense_is_named() {
        assert_eq!(AlertConfig::default().problem(), None);
        let crossed = SeverityRule {
            fire_probability: 0.3,
            clear_probability: 0.6,
        };
        let config = AlertConfig {
            warning: Some(crossed),
            ..AlertConfig::default()
        };
        assert!(config.problem().expect("a problem").contains("warning"));
        let nan = SeverityRule {
            fire_probability: f64::NAN,
            clear_probability: 0.1,
        };
        assert!(
            AlertConfig {
                critical: nan,
                ..AlertConfig::default()
            }
            .problem()
            .is_some()
        );
        assert!(
            AlertConfig {
                for_strikes: 0,
                ..AlertConfig::default()
            }
            .problem()
            .is_some()
        );
    }
}
