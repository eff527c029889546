//! `[demo_feed]`: a synthetic fleet to look at.

use serde::{Deserialize, Serialize};

use crate::check::Checker;

/// A synthetic fleet that feeds the daemon, for looking around.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DemoFeed {
    /// Whether it runs.
    pub enabled: bool,
    /// Number of servers.
    pub servers: usize,
    /// How often each of them reports.
    pub interval_secs: u64,
    /// Seed of its random numbers.
    pub seed: u64,
}

impl Default for DemoFeed {
    fn default() -> Self {
        Self {
            enabled: false,
            servers: 20,
            interval_secs: 5,
            seed: 42,
        }
    }
}

impl DemoFeed {
    pub(crate) fn check(&self, found: &mut Checker) {
        found.range(&["demo_feed", "servers"], &self.servers, 1..=10_000);
        found.range(
            &["demo_feed", "interval_secs"],
            &self.interval_secs,
            1..=3600,
        );
    }
}
