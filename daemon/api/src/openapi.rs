//! The OpenAPI 3.1 document: paths from the handlers, shapes from `shapes`.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::header;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use crate::{
    admin, alerts, explain, feed, inputs, metrics, predictions, remote_write, scenario, servers,
    status, ws,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Argus",
        description = "Forecasts every server's metrics 8 hours ahead, and tells what will break. Timestamps are RFC 3339 in UTC; numbers that are not known are null; every error is a problem document."
    ),
    paths(
        feed::feed,
        remote_write::write,
        predictions::current,
        predictions::one,
        predictions::now,
        predictions::list,
        explain::explain,
        ws::connect,
        servers::list,
        servers::retire,
        alerts::active,
        alerts::list,
        alerts::acknowledge,
        admin::models,
        admin::model_info,
        admin::reload_model,
        admin::roll_back_model,
        admin::plugins,
        admin::reload_plugin,
        admin::test_sink,
        scenario::set,
        scenario::status,
        inputs::sources,
        status::health,
        status::status,
        status::healthy,
        status::ready,
        metrics::metrics,
    ),
    modifiers(&Conventions)
)]
struct Document;

/// What holds for all operations and is not repeated at each.
struct Conventions;

/// Second names of paths.
const ALIASES: [(&str, &str); 2] = [("/feed", "/feed/data"), ("/ws", "/ws/predictions")];

impl Modify for Conventions {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme(
            "key",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))),
        );
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        for item in document.paths.paths.values_mut() {
            for operation in [&mut item.get, &mut item.post, &mut item.delete]
                .into_iter()
                .flatten()
            {
                split_summary(operation);
                add_refusals(operation);
                name_problem_type(operation);
            }
        }
        for (alias, path) in ALIASES {
            if let Some(item) = document.paths.paths.get(path) {
                let mut item = item.clone();
                for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                    operation.operation_id = operation
                        .operation_id
                        .as_ref()
                        .map(|id| format!("{id}_alias"));
                    operation.summary = Some(format!("The same as `{path}`."));
                    operation.description = None;
                }
                document.paths.paths.insert(alias.to_owned(), item);
            }
        }
    }
}

/// The first sentence of a handler's documentation is the summary, the rest the description.
fn split_summary(operation: &mut Operation) {
    let text = [operation.summary.take(), operation.description.take()];
    let text = text
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('\n', " ");
    let (summary, rest) = text
        .split_once(". ")
        .map_or((text.as_str(), ""), |(first, rest)| (first, rest));
    operation.summary = Some(summary.trim_end_matches('.').to_owned());
    operation.description = (!rest.is_empty()).then(|| rest.to_owned());
}

/// What a key or its absence can cause.
fn add_refusals(operation: &mut Operation) {
    let Some(security) = &mut operation.security else {
        return;
    };
    security.push(SecurityRequirement::new::<&str, [&str; 0], &str>(
        "bearer",
        [],
    ));
    for (status, description) in [
        ("401", "missing or unknown key"),
        (
            "403",
            "the key lacks the scope, or the host or origin is not allowed",
        ),
        (
            "429",
            "too many reads; `Retry-After` says when to come back",
        ),
    ] {
        let problem = Content::new(Some(Ref::from_schema_name("Problem")));
        let response = ResponseBuilder::new()
            .description(description)
            .content(JSON, problem)
            .build();
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert(RefOr::T(response));
    }
}

const JSON: &str = "application/json";

fn name_problem_type(operation: &mut Operation) {
    for response in operation.responses.responses.values_mut() {
        let RefOr::T(response) = response else {
            continue;
        };
        let is_problem = |content: &RefOr<Content>| {
            let RefOr::T(content) = content else {
                return false;
            };
            matches!(&content.schema, Some(RefOr::Ref(reference)) if reference.ref_location.ends_with("/Problem"))
        };
        if response.content.get(JSON).is_some_and(is_problem)
            && let Some(content) = response.content.shift_remove(JSON)
        {
            response
                .content
                .insert("application/problem+json".to_owned(), content);
        }
    }
}

static TEXT: LazyLock<String> = LazyLock::new(|| {
    // Plain data: a failure here is caught by the golden file.
    Document::openapi().to_pretty_json().unwrap_or_default()
});

/// The document as it is served at `/openapi.json`.
pub fn openapi_json() -> &'static str {
    &TEXT
}

pub(crate) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], openapi_json()).into_response()
}
