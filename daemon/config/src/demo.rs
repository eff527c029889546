//! `[demo]`: a synthetic fleet, for demonstrations.

use serde::{Deserialize, Serialize};

use crate::check::Checker;

/// The built-in feed of a synthetic fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Demo {
    /// Whether there is a synthetic fleet beside what is real.
    pub enabled: bool,
    /// Number of servers, spread over the seven profiles.
    pub servers: u32,
    /// How often each of them reports.
    pub interval_secs: u32,
    /// Hours of the past that it begins with, so that forecasts need not wait; 0 for none.
    pub history_hours: u32,
    /// Same seed, same servers.
    pub seed: u64,
}

impl Default for Demo {
    fn default() -> Self {
        Self {
            enabled: false,
            servers: 20,
            interval_secs: 30,
            history_hours: 26,
            seed: 42,
        }
    }
}

impl Demo {
    pub(crate) fn check(&self, found: &mut Checker) {
        found.range(&["demo", "servers"], &self.servers, 1..=1_000);
        found.range(&["demo", "interval_secs"], &self.interval_secs, 1..=3_600);
        found.range(&["demo", "history_hours"], &self.history_hours, 0..=168);
    }
}
