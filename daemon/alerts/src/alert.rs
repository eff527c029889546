//! One alert as readers see it.

use std::collections::BTreeSet;
use std::fmt;

use argus_fleet::Level;
use argus_schema::EntityName;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::machine::Strikes;

/// Number of an alert in this database; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlertId(pub i64);

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Stable name of an entity and condition, 16 hexadecimal digits: the same for every alert about it, on every machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Of an entity's metric: the severity is not part of it, so that an escalation is the same alert.
    pub fn of(entity: &EntityName, metric: &str) -> Self {
        // A name has no control characters, so the separator cannot be forged.
        let digest = Sha256::digest(format!("breach\n{entity}\n{metric}"));
        Self(hex(&digest[..8]))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing into a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Where an alert is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Some strikes, not enough yet.
    Pending,
    /// Told to the sinks.
    Firing,
    /// Over.
    Resolved,
}

impl AlertState {
    /// `pending`, `firing` or `resolved`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// Somebody has seen it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who.
    pub who: String,
    /// When, ms since the epoch.
    pub at_ms: i64,
    /// What they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One entity's condition from its first strike to its resolution. Values are in the metric's unit and from the newest
/// scheduled forecast; times are ms since the epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Its number.
    pub id: AlertId,
    /// Stable over all alerts about this entity and metric.
    pub fingerprint: Fingerprint,
    /// Whose.
    pub entity: EntityName,
    /// Profile id of the entity when the alert began; part of the labels, which must not change.
    pub profile: String,
    /// The metric that passes its threshold.
    pub metric: String,
    /// Column of the metric in the schema.
    pub metric_index: usize,
    /// Its unit.
    pub unit: String,
    /// Where it is in its life.
    pub state: AlertState,
    /// `critical` or `warning`; of a pending alert the severity it would fire with.
    pub severity: Level,
    /// The highest severity it has fired with.
    pub peak_severity: Level,
    /// The threshold of `severity`.
    pub threshold: f64,
    /// Whether values below the threshold are the bad ones.
    pub below: bool,
    /// Calibrated probability of passing it within the horizon.
    pub probability: f64,
    /// The same within 30 minutes.
    pub probability_30m: f64,
    /// Newest observed value.
    pub current: Option<f64>,
    /// Most extreme value of the median forecast.
    pub predicted_peak: Option<f64>,
    /// Whether the threshold is passed now.
    pub in_breach: bool,
    /// Whether the numbers are derived from other metrics.
    pub derived: bool,
    /// When the median passes the threshold (else the pessimistic decile), by event time.
    pub expected_breach_ms: Option<i64>,
    /// The same counted from the newest observed bin, in minutes.
    pub minutes_ahead: Option<f64>,
    /// Risk score of the entity.
    pub risk_score: f64,
    /// The forecast that was judged last: start of the newest bin it saw.
    pub origin_ms: i64,
    /// First strike.
    pub pending_since_ms: i64,
    /// When it fired.
    pub started_at_ms: Option<i64>,
    /// Last change of anything here.
    pub updated_at_ms: i64,
    /// When it resolved.
    pub resolved_at_ms: Option<i64>,
    /// Who has seen it.
    pub acknowledged: Option<Acknowledgement>,
    /// How often the same fingerprint fired and resolved shortly before; each doubles the strikes needed to resolve.
    pub flaps: u32,
    /// Consecutive forecasts for and against it.
    pub strikes: Strikes,
    /// When a notification was last put into the outbox.
    pub notified_at_ms: Option<i64>,
    /// Sinks that have been told of it, and therefore hear the rest.
    #[serde(default)]
    pub told: BTreeSet<String>,
}

impl Alert {
    /// Whether it is pending or firing.
    pub fn is_open(&self) -> bool {
        self.state != AlertState::Resolved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_stable_and_tell_entities_and_metrics_apart() {
        let name = |n| EntityName::new(n).expect("a name");
        let print = Fingerprint::of(&name("ppdb001"), "mem_used_pct");
        assert_eq!(print.as_str(), "b38cd33cf38d4e0d");
        assert_ne!(print, Fingerprint::of(&name("ppdb002"), "mem_used_pct"));
        assert_ne!(print, Fingerprint::of(&name("ppdb001"), "swap_used_pct"));
    }
}
