//! `/sources`: where records come from besides clients that feed them.

use axum::extract::State;
use serde_json::{Value, json};

use crate::context::{Api, Shared};
use crate::problem::{Answer, ok};

/// Sources that are polled, and the native connectors they ask: states, counts, and the newest error of each.
#[utoipa::path(get, path = "/sources", tag = "operations", security(("key" = ["read"])),
    responses((status = 200, description = "sources and connectors")))]
pub(crate) async fn sources(State(api): State<Shared>) -> Answer {
    ok(&json!({
        "sources": api.context.control.sources(),
        "connectors": api.context.control.connectors(),
    }))
}

/// What anybody may know, without a key: states and counts, no words of servers.
pub(crate) fn summary(api: &Api) -> Value {
    let sources = api.context.control.sources();
    let sources = sources.iter().map(|source| {
        json!({
            "name": source.name,
            "state": source.state,
            "catching_up": source.catching_up,
            "failures_in_row": source.failures_in_row,
            "accepted": source.accepted,
        })
    });
    let connectors = api.context.control.connectors();
    let connectors = connectors
        .iter()
        .map(|connector| json!({"name": connector.name, "state": connector.state}));
    json!({"sources": sources.collect::<Vec<_>>(), "connectors": connectors.collect::<Vec<_>>()})
}
