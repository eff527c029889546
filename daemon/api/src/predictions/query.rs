//! Which entities and metrics a reader wants.

use std::ops::Bound;
use std::sync::Arc;

use argus_fleet::{EntityState, Fleet, Level};
use argus_schema::{EntityName, Schema};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use super::render::Parts;
use crate::problem::Problem;

/// Query of `/predictions/current`, and filter message of a WebSocket. Lists are separated by commas.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Query {
    /// Names of servers.
    pub server: Option<String>,
    /// Profile ids.
    pub profile: Option<String>,
    /// Levels: `critical`, `warning`, `degraded`, `healthy`.
    pub level: Option<String>,
    /// Names of metrics; others are left out of the answer.
    pub metrics: Option<String>,
    /// Most servers in the answer.
    #[serde(default, deserialize_with = "whole_number")]
    pub limit: Option<usize>,
    /// `metadata.next_cursor` of the answer before.
    pub cursor: Option<String>,
}

/// Query of `/predictions/{server}`.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OneQuery {
    /// Names of metrics, separated by commas; others are left out of the answer.
    metrics: Option<String>,
}

impl OneQuery {
    pub fn understand(&self, schema: &Schema) -> Result<Parts, Problem> {
        columns(schema, self.metrics.as_deref()).map(|metrics| Parts { metrics })
    }
}

/// A number in JSON, or its text in a query string.
fn whole_number<'de, D: Deserializer<'de>>(value: D) -> Result<Option<usize>, D::Error> {
    let number = match Value::deserialize(value)? {
        Value::Null => return Ok(None),
        Value::String(text) => text.parse().map_err(|_| text),
        other => other
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .ok_or_else(|| other.to_string()),
    };
    number.map(Some).map_err(|text| {
        let shown: String = text.chars().take(40).collect();
        de::Error::custom(format_args!(
            "`limit` is `{shown}`; a whole number of at least 1 is needed"
        ))
    })
}

/// A query that was understood.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    servers: Option<Vec<String>>,
    profiles: Option<Vec<u8>>,
    levels: Option<Vec<Level>>,
    limit: Option<usize>,
    after: Option<EntityName>,
    pub parts: Parts,
}

/// One page of entities.
pub(crate) struct Page {
    pub entities: Vec<Arc<EntityState>>,
    /// Where the next page begins, if there is one.
    pub next: Option<EntityName>,
}

impl Query {
    pub fn understand(&self, schema: &Schema) -> Result<Selection, Problem> {
        let profiles = list(self.profile.as_deref())
            .map(|ids| {
                ids.iter()
                    .map(|id| profile_code(schema, id))
                    .collect::<Result<Vec<_>, _>>()
            })
            .transpose()?;
        let levels = list(self.level.as_deref())
            .map(|names| {
                names
                    .iter()
                    .map(|name| level_of(name))
                    .collect::<Result<Vec<_>, _>>()
            })
            .transpose()?;
        let metrics = columns(schema, self.metrics.as_deref())?;
        if self.limit == Some(0) {
            return Err(Problem::bad_request(
                "bad_limit",
                "`limit` must be at least 1",
            ));
        }
        let after = self
            .cursor
            .as_deref()
            .map(EntityName::new)
            .transpose()
            .map_err(|_| bad_cursor())?;
        let servers = list(self.server.as_deref());
        Ok(Selection {
            servers,
            profiles,
            levels,
            limit: self.limit,
            after,
            parts: Parts { metrics },
        })
    }
}

fn bad_cursor() -> Problem {
    let detail =
        "`cursor` must be `metadata.next_cursor` of the answer before; begin again without it";
    Problem::bad_request("bad_cursor", detail)
}

fn list(text: Option<&str>) -> Option<Vec<String>> {
    text.map(|text| text.split(',').map(|item| item.trim().to_owned()).collect())
}

fn profile_code(schema: &Schema, id: &str) -> Result<u8, Problem> {
    let known = || {
        schema
            .profiles
            .iter()
            .map(|p| p.id.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    schema.profile_code(id).ok_or_else(|| {
        Problem::bad_request(
            "unknown_profile",
            format!("there is no profile `{id}`; there are {}", known()),
        )
    })
}

fn level_of(name: &str) -> Result<Level, Problem> {
    [
        Level::Critical,
        Level::Warning,
        Level::Degraded,
        Level::Healthy,
    ]
    .into_iter()
    .find(|level| level.as_str() == name)
    .ok_or_else(|| {
        let detail =
            format!("there is no level `{name}`; there are critical, warning, degraded, healthy");
        Problem::bad_request("unknown_level", detail)
    })
}

fn columns(schema: &Schema, names: Option<&str>) -> Result<Option<Vec<usize>>, Problem> {
    list(names)
        .map(|names| names.iter().map(|name| column(schema, name)).collect())
        .transpose()
}

fn column(schema: &Schema, name: &str) -> Result<usize, Problem> {
    let known = || {
        schema
            .metrics
            .iter()
            .map(|m| m.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    schema.metric_index(name).ok_or_else(|| {
        Problem::bad_request(
            "unknown_metric",
            format!("there is no metric `{name}`; there are {}", known()),
        )
    })
}

impl Selection {
    /// Whether an entity is wanted.
    pub fn has(&self, entity: &EntityState) -> bool {
        let is_level = |levels: &Vec<Level>| {
            entity
                .risk
                .as_ref()
                .is_some_and(|risk| levels.contains(&Level::of(risk.score)))
        };
        self.servers
            .as_ref()
            .is_none_or(|names| names.iter().any(|name| name == entity.name.as_str()))
            && self
                .profiles
                .as_ref()
                .is_none_or(|codes| codes.contains(&entity.profile))
            && self.levels.as_ref().is_none_or(is_level)
    }

    /// Refuses a cursor that no page of this fleet ends with.
    pub fn check_cursor(&self, fleet: &Fleet) -> Result<(), Problem> {
        match &self.after {
            Some(name) if !fleet.entities.contains_key(name) => Err(bad_cursor()),
            _ => Ok(()),
        }
    }

    /// The wanted entities in the order of their names, one page of them.
    pub fn page(&self, fleet: &Fleet) -> Page {
        let start = self
            .after
            .as_ref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let limit = self.limit.unwrap_or(usize::MAX);
        let mut wanted = fleet
            .entities
            .range::<EntityName, _>((start, Bound::Unbounded))
            .map(|(_, entity)| entity)
            .filter(|entity| self.has(entity));
        let entities: Vec<_> = wanted.by_ref().take(limit).cloned().collect();
        let next = wanted
            .next()
            .and(entities.last())
            .map(|last| last.name.clone());
        Page { entities, next }
    }
}
