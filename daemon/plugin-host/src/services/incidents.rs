//! Incidents: alerts on entities, regressions of endpoints.

use super::{BoxFuture, ServiceError};

/// One incident. The fields mean what the WIT says of them; times are ms since the epoch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Incident {
    /// Unique, and the same as in the API.
    pub id: String,
    /// `alert` or `regression`.
    pub kind: String,
    /// `open`, `acknowledged` or `resolved`.
    pub state: String,
    /// `critical`, `warning` or `degraded`.
    pub severity: String,
    /// Whose.
    pub entity: String,
    /// Its profile; empty where it has none.
    pub profile: String,
    /// The metric or signal.
    pub metric: Option<String>,
    /// When it began.
    pub started_at_ms: i64,
    /// When it changed last.
    pub updated_at_ms: i64,
    /// When it ended.
    pub ended_at_ms: Option<i64>,
    /// One line for people.
    pub summary: String,
}

/// Which incidents; all conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IncidentQuery {
    /// Only of this entity.
    pub entity: Option<String>,
    /// Only in this state.
    pub state: Option<String>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only of this severity.
    pub severity: Option<String>,
    /// Only of this metric.
    pub metric: Option<String>,
    /// That began at this time or later.
    pub from_ms: Option<i64>,
    /// That began before this time.
    pub to_ms: Option<i64>,
    /// At most so many, newest first.
    pub limit: usize,
}

/// Reads incidents.
pub trait IncidentsService: Send + Sync {
    /// Incidents that match, newest first. Error codes: `incidents_unavailable`.
    fn find(&self, query: IncidentQuery) -> BoxFuture<'_, Result<Vec<Incident>, ServiceError>>;

    /// One incident. Error codes: `not_found`, `incidents_unavailable`.
    fn get(&self, id: String) -> BoxFuture<'_, Result<Incident, ServiceError>>;

    /// What else is known of it, as names and values. Error codes as [`get`](Self::get).
    fn facts(&self, id: String) -> BoxFuture<'_, Result<Vec<(String, String)>, ServiceError>>;
}
