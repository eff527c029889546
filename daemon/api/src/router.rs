//! Paths, and who may ask for them.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::auth::{require_admin, require_ingest, require_read};
use crate::context::Shared;
use crate::metrics::{measure, metrics};
use crate::problem::Problem;
use crate::{
    admin, alerts, explain, feed, inputs, openapi, predictions, remote_write, scenario, servers,
    status, ws,
};

/// Bodies of small requests; feeds read theirs themselves.
const MAX_SMALL_BODY_BYTES: usize = 64 * 1024;

/// All paths with everything around them.
pub(crate) fn router(api: Shared) -> Router {
    let open = Router::new()
        .route("/", get(status::index))
        .route("/health", get(status::health))
        .route("/status", get(status::status))
        .route("/-/healthy", get(status::healthy))
        .route("/-/ready", get(status::ready))
        .route("/openapi.json", get(openapi::document))
        .route("/docs", get(status::docs));
    let ingest = Router::new()
        .route("/feed/data", post(feed::feed))
        .route("/feed", post(feed::feed))
        .route("/api/v1/write", post(remote_write::write))
        .route_layer(from_fn_with_state(api.clone(), require_ingest));
    let read = Router::new()
        .route("/predictions/current", get(predictions::current))
        .route(
            "/predictions/{server}",
            get(predictions::one).post(predictions::now),
        )
        .route("/predictions", get(predictions::list))
        .route("/explain/{server}", get(explain::explain))
        .route("/servers", get(servers::list))
        .route("/alerts/active", get(alerts::active))
        .route("/alerts", get(alerts::list))
        .route("/plugins", get(admin::plugins))
        .route("/sources", get(inputs::sources))
        .route("/scenario", get(scenario::status))
        .route("/scenario/status", get(scenario::status))
        .route("/metrics", get(metrics))
        .route("/ws/predictions", get(ws::connect))
        .route("/ws", get(ws::connect))
        .route_layer(from_fn_with_state(api.clone(), require_read));
    let admin = Router::new()
        .route("/servers/{name}", delete(servers::retire))
        .route("/alerts/{id}/ack", post(alerts::acknowledge))
        .route("/scenario/set", post(scenario::set))
        .route("/admin/models", get(admin::models))
        .route("/admin/model-info", get(admin::model_info))
        .route("/admin/reload-model", post(admin::reload_model))
        .route("/admin/plugins/{name}/reload", post(admin::reload_plugin))
        .route("/admin/rollback-model", post(admin::roll_back_model))
        .route("/admin/sinks/{name}/test", post(admin::test_sink))
        .route_layer(from_fn_with_state(api.clone(), require_admin));
    open.merge(ingest)
        .merge(read)
        .merge(admin)
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_SMALL_BODY_BYTES))
        .layer(from_fn_with_state(api.clone(), measure))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(from_fn(no_sniffing))
        .layer(cors(&api.context.config.cors_origins))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(api)
}

async fn unknown_path(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::not_found(
        "unknown_path",
        format!("there is no `{path}`; `/docs` lists what there is"),
    )
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    let detail = format!("`{path}` cannot be asked with {method}; the `Allow` header says how");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail)
}

async fn no_sniffing(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Pages of the configured origins may read and write; of others neither.
fn cors(origins: &[String]) -> CorsLayer {
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| origin.parse().ok()))
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            header::CONTENT_TYPE,
            header::AUTHORIZATION,
            HeaderName::from_static("x-api-key"),
        ])
        .expose_headers([header::RETRY_AFTER])
        .max_age(Duration::from_secs(600))
}

/// A bug of ours costs the request that met it.
fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let text = cause
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| cause.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic".to_owned());
    Problem::internal(text).into_response()
}
