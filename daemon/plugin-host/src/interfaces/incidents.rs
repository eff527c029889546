//! `argus:plugin/incidents`: alerts and regressions, read.

use std::sync::Arc;

use crate::bindings::argus::plugin::incidents::{Host, Incident};
use crate::bindings::argus::plugin::types::{Error, Pair};
use crate::call::CallState;
use crate::kinds::disarm::disarmed;
use crate::kinds::reported;
use crate::services::incidents::{Incident as Found, IncidentQuery, IncidentsService};

/// Incidents of one answer.
const MAX_INCIDENTS: u32 = 100;

impl Host for CallState {
    async fn find(
        &mut self,
        query: Vec<Pair>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<Incident>, Error>> {
        let query = match parse(query, limit.min(MAX_INCIDENTS)) {
            Ok(query) => query,
            Err(reason) => return Ok(Err(reported("invalid_query", reason))),
        };
        let found = self.incidents_service()?.find(query).await;
        Ok(match found {
            Ok(found) => Ok(found.into_iter().map(to_wit).collect()),
            Err(error) => Err(error.into()),
        })
    }

    async fn get(&mut self, id: String) -> wasmtime::Result<Result<Incident, Error>> {
        let found = self.incidents_service()?.get(id).await;
        Ok(found.map(to_wit).map_err(Error::from))
    }

    async fn facts(&mut self, id: String) -> wasmtime::Result<Result<Vec<Pair>, Error>> {
        let facts = match self.incidents_service()?.facts(id).await {
            Ok(facts) => facts,
            Err(error) => return Ok(Err(error.into())),
        };
        self.hand_over(
            facts
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum(),
        )?;
        let pairs = facts.into_iter().map(|(name, value)| Pair { name, value });
        Ok(Ok(disarmed(pairs.collect())))
    }
}

impl CallState {
    /// There whenever the interface is linked.
    fn incidents_service(&self) -> wasmtime::Result<Arc<dyn IncidentsService>> {
        let service = self.services.incidents.clone();
        service.ok_or_else(|| wasmtime::Error::msg("there are no incidents"))
    }
}

fn parse(pairs: Vec<Pair>, limit: u32) -> Result<IncidentQuery, String> {
    let mut query = IncidentQuery {
        limit: limit as usize,
        ..IncidentQuery::default()
    };
    for Pair { name, value } in pairs {
        let time = || {
            let ms = value.parse::<i64>();
            ms.map_err(|_| format!("{name} is not a number of milliseconds"))
        };
        match name.as_str() {
            "from-ms" => query.from_ms = Some(time()?),
            "to-ms" => query.to_ms = Some(time()?),
            "entity" => query.entity = Some(value),
            "state" => query.state = Some(value),
            "kind" => query.kind = Some(value),
            "severity" => query.severity = Some(value),
            "metric" => query.metric = Some(value),
            _ => {
                let name: String = name.chars().take(64).collect();
                return Err(format!("there is no condition {name:?}"));
            }
        }
    }
    Ok(query)
}

fn to_wit(found: Found) -> Incident {
    disarmed(Incident {
        id: found.id,
        kind: found.kind,
        state: found.state,
        severity: found.severity,
        entity: found.entity,
        profile: found.profile,
        metric: found.metric,
        started_at_ms: found.started_at_ms,
        updated_at_ms: found.updated_at_ms,
        ended_at_ms: found.ended_at_ms,
        summary: found.summary,
    })
}
