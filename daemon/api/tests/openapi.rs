//! The OpenAPI document is part of the interface: a change shows in review.

mod common;

use std::collections::BTreeSet;

use common::{Daemon, get};
use serde_json::Value;

#[test]
fn golden_document() {
    insta::assert_snapshot!(argus_api::openapi_json());
}

#[tokio::test]
async fn is_3_1_and_names_every_path() {
    let daemon = Daemon::new();
    let (_, document) = get(&daemon.router(), "/openapi.json").await;
    assert!(
        document["openapi"]
            .as_str()
            .expect("a version")
            .starts_with("3.1")
    );
    let paths: BTreeSet<&str> = document["paths"]
        .as_object()
        .expect("paths")
        .keys()
        .map(String::as_str)
        .collect();
    for path in [
        "/feed/data",
        "/api/v1/write",
        "/predictions/current",
        "/predictions/{server}",
        "/predictions",
        "/explain/{server}",
        "/servers",
        "/servers/{name}",
        "/alerts/active",
        "/alerts",
        "/alerts/{id}/ack",
        "/health",
        "/status",
        "/-/healthy",
        "/-/ready",
        "/metrics",
        "/admin/models",
        "/admin/model-info",
        "/admin/reload-model",
        "/admin/rollback-model",
        "/scenario/set",
        "/scenario/status",
        "/plugins",
        "/sources",
        "/admin/plugins/{name}/reload",
        "/admin/sinks/{name}/test",
        "/ws/predictions",
    ] {
        assert!(paths.contains(path), "{path} is missing");
    }
}

/// Members that the document requires are in the real answers, and the answers have no member that it does not know.
#[tokio::test]
async fn answers_have_the_documented_members() {
    let daemon = Daemon::new();
    daemon.fire_an_alert();
    let router = daemon.router();
    common::post(&router, "/feed", common::record("db-1", 1).to_string()).await;
    let (_, document) = get(&router, "/openapi.json").await;
    for path in [
        "/predictions/current",
        "/predictions/web-1",
        "/alerts/active",
        "/servers",
        "/plugins",
    ] {
        let (_, answer) = get(&router, path).await;
        let documented = if path == "/predictions/web-1" {
            "/predictions/{server}"
        } else {
            path
        };
        let content = &document["paths"][documented]["get"]["responses"]["200"]["content"]["application/json"];
        check(&document, &content["schema"], &answer, path);
    }
}

fn check(document: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.trim_start_matches('#');
        return check(
            document,
            document
                .pointer(pointer)
                .expect("the reference leads somewhere"),
            value,
            place,
        );
    }
    if let Some(variants) = schema["oneOf"].as_array().filter(|_| !value.is_null()) {
        let variant = variants
            .iter()
            .find(|v| v["type"] != "null")
            .expect("something but null");
        return check(document, variant, value, place);
    }
    if let Some(parts) = schema["allOf"].as_array() {
        for part in parts {
            check(document, part, value, place);
        }
    }
    if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
        for item in list {
            check(document, items, item, place);
        }
    }
    let Some(members) = value.as_object() else {
        return;
    };
    for required in schema["required"].as_array().into_iter().flatten() {
        let name = required.as_str().expect("a name");
        assert!(members.contains_key(name), "{place} lacks `{name}`");
    }
    for (name, member) in members {
        let inner = format!("{place}.{name}");
        match schema["properties"]
            .get(name)
            .or(schema.get("additionalProperties"))
        {
            Some(documented) => check(document, documented, member, &inner),
            None => assert!(
                schema.get("properties").is_none(),
                "{inner} is not documented"
            ),
        }
    }
}
