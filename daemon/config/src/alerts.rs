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
    /// Forecasts further apart than this are not "in a row".
    pub max_strike_gap_secs: u64,
    /// An alert that fires again within this time of its last resolution is flapping, and gets harder to resolve.
    pub flap_window_secs: u64,
    /// How often a firing alert is told again to sinks that want it.
    pub refresh_secs: u64,
    /// An alert about a server without a forecast for this long is resolved as unobserved.
    pub stale_secs: u64,
    /// How long the history of alerts is kept.
    pub history_retention_days: u32,
    /// Most transitions kept, whatever their age.
    pub history_max_rows: u32,
    /// Where people look; notifications link to `{link_base}/?server={name}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_base: Option<String>,
    /// `[alerts.critical]`: probabilities for critical thresholds.
    pub critical: SeverityRule,
    /// `[alerts.warning]`: the same for warning thresholds. Without this table they never alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<SeverityRule>,
    /// `[alerts.delivery]`: retries of notifications.
    pub delivery: Delivery,
}

/// From which probability on a threshold counts as expected to be passed, and below which it no longer does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeverityRule {
    /// Probability of a breach from which a forecast counts as a strike.
    pub fire_probability: f64,
    /// Probability up to which a forecast counts towards resolving; the gap keeps an alert from flapping.
    pub clear_probability: f64,
}

/// Retries of notifications.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// Deliveries of one sink at a time.
    pub max_in_flight: usize,
    /// How long one attempt may take.
    pub attempt_timeout_secs: u64,
    /// Pause before the first retry; doubled after each, with jitter.
    pub first_backoff_secs: u64,
    /// Longest pause between two attempts.
    pub max_backoff_secs: u64,
    /// A notification that could not be delivered for this long is given up, and counted.
    pub deadline_secs: u64,
    /// Most undelivered notifications of one sink; beyond that the oldest are given up.
    pub max_queued_per_sink: u32,
    /// Most given-up notifications kept of one sink, to look at.
    pub max_dead_per_sink: u32,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            for_strikes: 3,
            clear_strikes: 3,
            max_strike_gap_secs: 2 * 3600,
            flap_window_secs: 6 * 3600,
            refresh_secs: 300,
            stale_secs: 24 * 3600,
            history_retention_days: 90,
            history_max_rows: 200_000,
            link_base: None,
            critical: SeverityRule::default(),
            warning: None,
            delivery: Delivery::default(),
        }
    }
}

impl Default for SeverityRule {
    fn default() -> Self {
        Self {
            fire_probability: 0.6,
            clear_probability: 0.3,
        }
    }
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            max_in_flight: 4,
            attempt_timeout_secs: 30,
            first_backoff_secs: 1,
            max_backoff_secs: 300,
            deadline_secs: 4 * 3600,
            max_queued_per_sink: 10_000,
            max_dead_per_sink: 1_000,
        }
    }
}

impl Alerts {
    pub(crate) fn check(&self, found: &mut Checker) {
        found.range(&["alerts", "for_strikes"], &self.for_strikes, 1..=100);
        found.range(&["alerts", "clear_strikes"], &self.clear_strikes, 1..=100);
        found.range(
            &["alerts", "max_strike_gap_secs"],
            &self.max_strike_gap_secs,
            1..=30 * 86_400,
        );
        found.range(
            &["alerts", "flap_window_secs"],
            &self.flap_window_secs,
            0..=30 * 86_400,
        );
        found.range(&["alerts", "refresh_secs"], &self.refresh_secs, 10..=86_400);
        found.range(
            &["alerts", "stale_secs"],
            &self.stale_secs,
            60..=365 * 86_400,
        );
        found.range(
            &["alerts", "history_retention_days"],
            &self.history_retention_days,
            1..=36_500,
        );
        found.range(
            &["alerts", "history_max_rows"],
            &self.history_max_rows,
            1000..=100_000_000,
        );
        if let Some(link) = &self.link_base
            && !link.starts_with("http://")
            && !link.starts_with("https://")
        {
            let help = "write it as \"https://argus.example.com\"";
            found.report(
                &["alerts", "link_base"],
                format!("`{link}` is no http or https address"),
                help,
            );
        }
        self.critical.check("critical", found);
        if let Some(warning) = self.warning {
            warning.check("warning", found);
        }
        self.delivery.check(found);
    }
}

impl SeverityRule {
    fn check(self, severity: &'static str, found: &mut Checker) {
        let Self {
            fire_probability: fire,
            clear_probability: clear,
        } = self;
        found.range(&["alerts", severity, "fire_probability"], &fire, 0.01..=1.0);
        found.range(
            &["alerts", severity, "clear_probability"],
            &clear,
            0.0..=1.0,
        );
        if clear >= fire {
            found.report(
                &["alerts", severity, "clear_probability"],
                format!("an alert that fires at {fire} cannot clear at {clear}"),
                "`clear_probability` must lie below `fire_probability`",
            );
        }
    }
}

impl Delivery {
    fn check(&self, found: &mut Checker) {
        let path = |key: &'static str| ["alerts", "delivery", key];
        found.range(&path("max_in_flight"), &self.max_in_flight, 1..=256);
        found.range(
            &path("attempt_timeout_secs"),
            &self.attempt_timeout_secs,
            1..=600,
        );
        found.range(
            &path("first_backoff_secs"),
            &self.first_backoff_secs,
            1..=3600,
        );
        found.range(
            &path("max_backoff_secs"),
            &self.max_backoff_secs,
            1..=86_400,
        );
        found.range(&path("deadline_secs"), &self.deadline_secs, 1..=30 * 86_400);
        found.range(
            &path("max_queued_per_sink"),
            &self.max_queued_per_sink,
            1..=1_000_000,
        );
        found.range(
            &path("max_dead_per_sink"),
            &self.max_dead_per_sink,
            0..=1_000_000,
        );
    }
}
