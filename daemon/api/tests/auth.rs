//! Keys, scopes, hosts, origins, rates.

mod common;

use argus_api::auth::{Scope, check_bind};
use common::{Daemon, get, read, record, send};
use http::{Request, StatusCode};
use serde_json::json;

const INGEST: &str = "POST /feed/data";
const READ: &str = "GET /predictions/current";
const ADMIN: &str = "GET /admin/models";

fn key(daemon: &Daemon, scopes: &[Scope]) -> String {
    daemon
        .keys
        .create("test", scopes, 0, &mut rand::rng())
        .expect("made")
        .text
}

async fn status(daemon: &Daemon, request: &str, headers: &[(&str, &str)]) -> u16 {
    let (method, path) = request.split_once(' ').expect("method and path");
    let mut builder = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    send(&daemon.router(), builder, record("a", 1).to_string())
        .await
        .status()
        .as_u16()
}

#[tokio::test]
async fn scopes_decide() {
    let daemon = Daemon::new();
    let ingest = key(&daemon, &[Scope::Ingest]);
    let read = key(&daemon, &[Scope::Read]);
    let admin = key(&daemon, &[Scope::Admin]);
    let all = key(&daemon, &Scope::ALL);
    for (name, text, expected) in [
        ("ingest", ingest.as_str(), [200, 403, 403]),
        ("read", &read, [403, 200, 403]),
        ("admin", &admin, [403, 403, 200]),
        // The record is there already.
        ("all", &all, [422, 200, 200]),
        ("unknown", "argus_00", [401, 401, 401]),
        ("empty", "", [401, 401, 401]),
    ] {
        for (request, expected) in [INGEST, READ, ADMIN].into_iter().zip(expected) {
            assert_eq!(
                status(&daemon, request, &[("x-api-key", text)]).await,
                expected,
                "{name}: {request}"
            );
        }
    }
    let bearer = format!("Bearer {all}");
    assert_eq!(
        status(&daemon, READ, &[("authorization", &bearer)]).await,
        200
    );
    assert_eq!(
        status(&daemon, READ, &[("authorization", "Basic eDp5")]).await,
        401
    );
    assert_eq!(status(&daemon, READ, &[]).await, 401);
}

#[tokio::test]
async fn acknowledgements_bear_the_name_of_the_key() {
    let daemon = Daemon::new();
    daemon.fire_an_alert();
    let admin = key(&daemon, &[Scope::Admin]);
    let request = Request::post("/alerts/1/ack").header("x-api-key", admin);
    let body = serde_json::json!({"who": "somebody else"}).to_string();
    let (_, answer) = read(send(&daemon.router(), request, body).await).await;
    assert_eq!(answer["alert"]["acknowledged"]["who"], "test", "{answer}");
}

#[tokio::test]
async fn open_paths_need_no_key() {
    let daemon = Daemon::new();
    key(&daemon, &[Scope::Admin]);
    for path in [
        "/health",
        "/status",
        "/-/healthy",
        "/-/ready",
        "/openapi.json",
        "/docs",
    ] {
        assert_eq!(
            status(&daemon, &format!("GET {path}"), &[]).await,
            200,
            "{path}"
        );
    }
    for path in [
        "/metrics",
        "/servers",
        "/alerts/active",
        "/plugins",
        "/sources",
        "/ws",
        "/predictions/db-1",
    ] {
        assert_eq!(
            status(&daemon, &format!("GET {path}"), &[]).await,
            401,
            "{path}"
        );
    }
}

#[tokio::test]
async fn revoked_keys_are_out_at_once() {
    let daemon = Daemon::new();
    let made = daemon
        .keys
        .create("a", &[Scope::Read], 0, &mut rand::rng())
        .expect("made");
    key(&daemon, &[Scope::Admin]);
    assert_eq!(
        status(&daemon, READ, &[("x-api-key", &made.text)]).await,
        200
    );
    assert!(daemon.keys.revoke(&made.info.id).expect("written"));
    assert_eq!(
        status(&daemon, READ, &[("x-api-key", &made.text)]).await,
        401
    );
}

#[tokio::test]
async fn without_keys_only_this_machine_is_trusted() {
    let mut daemon = Daemon::new();
    daemon.config.allowed_hosts = vec!["argus.internal".to_owned()];
    for (host, expected) in [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("[::1]:8000", 200),
        ("argus.internal:8000", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:8000", 403),
    ] {
        assert_eq!(
            status(&daemon, READ, &[("host", host)]).await,
            expected,
            "{host}"
        );
    }
    for (origin, expected) in [
        ("https://evil.example", 403),
        ("null", 403),
        ("http://localhost:5173", 200),
    ] {
        assert_eq!(
            status(&daemon, INGEST, &[("origin", origin)]).await,
            expected,
            "{origin}"
        );
    }
}

#[tokio::test]
async fn other_machines_never_get_in_without_a_key() {
    let mut daemon = Daemon::new();
    daemon.config.listen = "0.0.0.0:8000".parse().expect("an address");
    assert_eq!(status(&daemon, READ, &[]).await, 401);
    assert!(check_bind(daemon.config.listen, &daemon.keys).is_err());
    key(&daemon, &[Scope::Read]);
    assert!(check_bind(daemon.config.listen, &daemon.keys).is_ok());
}

#[tokio::test]
async fn reads_are_limited_and_ingest_is_not() {
    let mut daemon = Daemon::new();
    daemon.config.reads_per_minute = 3;
    let router = daemon.router();
    for _ in 0..3 {
        assert_eq!(get(&router, "/alerts/active").await.0, StatusCode::OK);
    }
    let response = send(&router, Request::get("/alerts/active"), "").await;
    let wait: u64 = response.headers()["retry-after"]
        .to_str()
        .expect("text")
        .parse()
        .expect("seconds");
    assert!((1..=60).contains(&wait));
    let (status, answer) = read(response).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer["error"], "Rate limit exceeded: 3 per 1 minute");
    assert_eq!(answer["code"], "rate_limited");
    for minutes_ago in 1..10 {
        let response = send(
            &router,
            Request::post("/feed"),
            record("a", minutes_ago).to_string(),
        )
        .await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(get(&router, "/health").await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn cross_origin_reads_follow_the_configuration() {
    let mut daemon = Daemon::new();
    daemon.config.cors_origins = vec!["https://dashboard.example".to_owned()];
    let router = daemon.router();
    for (origin, allowed) in [
        ("https://dashboard.example", true),
        ("https://evil.example", false),
    ] {
        let response = send(
            &router,
            Request::get("/health").header("origin", origin),
            "",
        )
        .await;
        let header = response
            .headers()
            .get("access-control-allow-origin")
            .map(|h| json!(h.to_str().expect("text")));
        assert_eq!(header, allowed.then(|| json!(origin)), "{origin}");
    }
}
