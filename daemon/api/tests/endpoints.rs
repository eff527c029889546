//! What each path answers, and in which shape.

mod common;

use common::{Daemon, HORIZON, get, post, read, record, send};
use http::{Request, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn statuses() {
    let daemon = Daemon::new();
    let router = daemon.router();
    let (status, answer) = post(&router, "/feed", record("db-1", 1).to_string()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    for (request, expected) in [
        ("GET /", 200),
        ("GET /health", 200),
        ("GET /status", 200),
        ("GET /-/healthy", 200),
        ("GET /-/ready", 200),
        ("GET /openapi.json", 200),
        ("GET /docs", 200),
        ("GET /metrics", 200),
        ("GET /predictions/current", 200),
        (
            "GET /predictions/current?server=db-1&profile=database&level=healthy&metrics=cpu_user_pct",
            200,
        ),
        ("GET /predictions/current?profile=nothing", 400),
        ("GET /predictions/current?level=nothing", 400),
        ("GET /predictions/current?metrics=nothing", 400),
        ("GET /predictions/current?limit=0", 400),
        ("GET /predictions/current?limit=many", 400),
        ("GET /predictions/current?limit=", 400),
        ("GET /predictions/current?servers=ok", 400),
        ("GET /predictions/current?foo=bar", 400),
        ("GET /predictions/current?server=db-1&server=web-1", 400),
        ("GET /predictions/current?cursor=abc", 400),
        ("GET /predictions/db-1", 200),
        ("GET /predictions/db-1?metrics=mem_used_pct", 200),
        ("GET /predictions/db-1?metrics=nope", 400),
        ("GET /predictions/db-1?foo=1", 400),
        ("POST /predictions/db-1?metrics=nope", 400),
        ("GET /predictions?limit=2", 400),
        ("GET /alerts?foo=1", 400),
        ("GET /alerts/active?foo=1", 400),
        ("GET /predictions/nobody", 404),
        ("GET /predictions/a%00b", 400),
        ("POST /predictions/db-1", 200),
        ("POST /predictions/new-1", 409),
        ("POST /predictions/nobody", 404),
        ("POST /predictions/panic", 500),
        ("GET /predictions", 200),
        ("GET /servers", 200),
        ("DELETE /servers/nobody", 404),
        ("DELETE /servers/db-1", 200),
        ("GET /alerts/active", 200),
        ("GET /alerts/active?state=all", 200),
        ("GET /alerts/active?state=nothing", 400),
        ("GET /alerts", 200),
        ("POST /alerts/7/ack", 404),
        ("POST /alerts/x/ack", 404),
        ("GET /admin/models", 200),
        ("GET /admin/model-info", 200),
        ("POST /admin/reload-model", 200),
        ("POST /admin/reload-model?model_path=missing", 404),
        ("POST /admin/reload-model?model_path=broken", 422),
        ("POST /admin/rollback-model", 404),
        ("GET /scenario/status", 404),
        ("POST /scenario/set", 400),
        ("GET /plugins", 200),
        ("GET /sources", 200),
        ("POST /admin/plugins/slack/reload", 200),
        ("POST /admin/plugins/broken/reload", 422),
        ("POST /admin/plugins/nobody/reload", 404),
        ("POST /admin/sinks/slack/test", 200),
        ("POST /admin/sinks/down/test", 502),
        ("POST /admin/sinks/nobody/test", 404),
        ("GET /nothing", 404),
        ("DELETE /predictions/current", 405),
        ("GET /feed", 405),
        ("GET /ws", 400),
    ] {
        let (method, path) = request.split_once(' ').expect("method and path");
        let response = send(&router, Request::builder().method(method).uri(path), "").await;
        let content_type = response.headers()["content-type"]
            .to_str()
            .expect("text")
            .to_owned();
        let (status, answer) = read(response).await;
        assert_eq!(status.as_u16(), expected, "{request}: {answer}");
        if expected >= 400 {
            assert_eq!(content_type, "application/problem+json", "{request}");
            assert_eq!(answer["status"], expected, "{request}");
            for key in ["type", "title", "code", "detail"] {
                assert!(answer[key].is_string(), "{request}: no {key}");
            }
        }
    }
}

#[tokio::test]
async fn current_predictions_have_the_known_shape() {
    let daemon = Daemon::new();
    let router = daemon.router();
    let (status, answer) = get(&router, "/predictions/current").await;
    assert_eq!(status, StatusCode::OK);
    let web = &answer["predictions"]["web-1"];
    let memory = &web["mem_used_pct"];
    for quantile in ["p10", "p50", "p90"] {
        assert_eq!(memory[quantile].as_array().expect("a list").len(), HORIZON);
    }
    for step in 0..HORIZON {
        let value = |quantile: &str| memory[quantile][step].as_f64().expect("a number");
        assert!(value("p10") <= value("p50") && value("p50") <= value("p90"));
    }
    assert_eq!(memory["current"], 15.0);
    assert!((memory["trend"].as_f64().expect("a number") - 0.1).abs() < 1e-5);
    let java = json!({"p50": null, "p10": null, "p90": null, "current": null, "trend": null});
    assert_eq!(web["java_cpu_pct"], java);
    assert_eq!(
        (&web["profile"], &web["profile_label"]),
        (&json!("web_api"), &json!("Web API"))
    );
    assert_eq!(
        (&web["risk_score"], &web["forecast_state"]),
        (&json!(90.0), &json!("ready"))
    );
    assert_eq!(
        web["alert"],
        json!({"level": "critical", "score": 90.0, "color": "#FF0000", "emoji": "🔴", "label": "Critical"})
    );
    assert_eq!(
        web["breaches"][0]["expected_at"],
        "2026-03-01T12:55:00.000Z"
    );
    assert_eq!(web["breaches"][0]["minutes_ahead"], 60.0);

    let new = &answer["predictions"]["new-1"];
    assert_eq!(
        (&new["forecast_state"], &new["risk_score"]),
        (&json!("warming_up"), &Value::Null)
    );
    assert_eq!(
        (&new["cpu_user_pct"]["current"], &new["cpu_user_pct"]["p50"]),
        (&json!(10.0), &Value::Null)
    );

    assert_eq!(answer["environment"]["total_servers"], 3);
    assert_eq!(answer["summary"]["critical_count"], 1);
    assert_eq!(answer["summary"]["top_5_risks"], json!(["web-1", "db-1"]));
    assert_eq!(answer["metadata"]["model_type"], "TFT");
    assert_eq!(answer["metadata"]["horizon_steps"], 96);
    assert_eq!(answer["alerts"][0]["server"], "web-1");
    assert_eq!(answer["alerts"][0]["minutes_ahead"], 60.0);
}

/// Structure, names and everything else a client sees of one server; the long lists cut.
#[tokio::test]
async fn one_prediction_as_seen_by_a_client() {
    let daemon = Daemon::new();
    let (_, mut answer) = get(&daemon.router(), "/predictions/web-1").await;
    for metric in answer.as_object_mut().expect("an object").values_mut() {
        for quantile in ["p10", "p50", "p90"] {
            if let Some(list) = metric.get_mut(quantile).and_then(Value::as_array_mut) {
                list.truncate(2);
            }
        }
    }
    insta::assert_json_snapshot!(answer);
}

#[tokio::test]
async fn status_as_seen_by_a_client() {
    let daemon = Daemon::new();
    let (_, answer) = get(&daemon.router(), "/status").await;
    insta::assert_json_snapshot!(answer, {".recovery" => "{…}"});
}

#[tokio::test]
async fn oldest_list_as_seen_by_a_client() {
    let daemon = Daemon::new();
    let (_, answer) = get(&daemon.router(), "/predictions").await;
    insta::assert_json_snapshot!(answer);
}

#[tokio::test]
async fn filters_narrow_and_pages_follow() {
    let daemon = Daemon::new();
    let router = daemon.router();
    let names = |answer: &Value| {
        answer["predictions"]
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };

    let (_, answer) = get(&router, "/predictions/current?profile=database,web_api").await;
    assert_eq!(names(&answer), ["db-1", "web-1"]);
    let (_, answer) = get(
        &router,
        "/predictions/current?level=critical&metrics=mem_used_pct",
    )
    .await;
    assert_eq!(names(&answer), ["web-1"]);
    assert!(answer["predictions"]["web-1"].get("cpu_user_pct").is_none());
    assert_eq!(
        answer["summary"]["total_servers"], 3,
        "filters do not change the summary"
    );

    let (_, first) = get(&router, "/predictions/current?limit=2").await;
    assert_eq!(names(&first), ["db-1", "new-1"]);
    assert_eq!(first["metadata"]["next_cursor"], "new-1");
    let (_, second) = get(&router, "/predictions/current?limit=2&cursor=new-1").await;
    assert_eq!(names(&second), ["web-1"]);
    assert_eq!(second["metadata"]["next_cursor"], Value::Null);
}

#[tokio::test]
async fn a_query_that_is_not_understood_is_explained() {
    let daemon = Daemon::new();
    let router = daemon.router();
    for (path, code, detail) in [
        (
            "/predictions/current?servers=ok",
            "unknown_parameter",
            "there is no parameter `servers`; there are server, profile, level, metrics, limit, cursor",
        ),
        (
            "/predictions?limit=2",
            "unknown_parameter",
            "there is no parameter `limit`; this takes none",
        ),
        (
            "/predictions/current?limit=x",
            "bad_query",
            "`limit` is `x`; a whole number of at least 1 is needed",
        ),
        (
            "/alerts/active?state=all&state=all",
            "bad_query",
            "the parameter `state` is given more than once",
        ),
        (
            "/predictions/current?cursor=abc",
            "bad_cursor",
            "`cursor` must be `metadata.next_cursor` of the answer before; begin again without it",
        ),
    ] {
        let (status, answer) = get(&router, path).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(
            (&answer["code"], &answer["detail"]),
            (&json!(code), &json!(detail)),
            "{path}"
        );
    }
    let (_, answer) = get(&router, "/predictions/db-1?metrics=mem_used_pct").await;
    assert!(answer["mem_used_pct"].is_object() && answer.get("cpu_user_pct").is_none());
}

#[tokio::test]
async fn an_empty_fleet_is_no_error() {
    let daemon = Daemon::new();
    daemon.fleet.rcu(|fleet| argus_fleet::Fleet {
        entities: Default::default(),
        ..fleet.as_ref().clone()
    });
    let (status, answer) = get(&daemon.router(), "/predictions/current").await;
    assert_eq!(
        (status, &answer["predictions"]),
        (StatusCode::OK, &json!({}))
    );
    assert_eq!(answer["environment"]["fleet_health"], "unknown");
    assert_eq!(answer["environment"]["prob_8h"], Value::Null);
}

#[tokio::test]
async fn without_a_model_predictions_say_why() {
    let daemon = Daemon::without_model();
    let router = daemon.router();
    for path in ["/predictions/current", "/predictions/db-1", "/predictions"] {
        let (status, answer) = get(&router, path).await;
        assert_eq!(
            (status, &answer["code"]),
            (StatusCode::SERVICE_UNAVAILABLE, &json!("no_model")),
            "{path}"
        );
        assert!(
            answer["detail"].as_str().expect("text").contains("/models"),
            "{answer}"
        );
    }
    let (status, answer) = get(&router, "/-/ready").await;
    assert_eq!(
        (status, &answer["model_loaded"]),
        (StatusCode::OK, &json!(false))
    );
    let (_, answer) = get(&router, "/status").await;
    assert!(answer["no_model_reason"].is_string());
    let (_, answer) = get(&router, "/admin/model-info").await;
    assert_eq!(answer["loaded"], false);
}

#[tokio::test]
async fn stale_servers_are_shown_as_stale() {
    let daemon = Daemon::new();
    let router = daemon.router();
    post(&router, "/feed", record("db-1", 60).to_string()).await;
    let (_, answer) = get(&router, "/predictions/current?server=db-1").await;
    let entity = &answer["predictions"]["db-1"];
    assert_eq!(
        (&entity["stale_secs"], &entity["stale"]),
        (&json!(3600), &json!(true))
    );
    assert_eq!(entity["as_of"], "2026-03-01T11:00:00.000Z");
    assert_eq!(entity["forecast_state"], "ready", "its last forecast stays");
}

#[tokio::test]
async fn alerts_are_listed_and_acknowledged() {
    let daemon = Daemon::new();
    let router = daemon.router();
    assert_eq!(get(&router, "/alerts/active").await.1["count"], 0);
    daemon.fire_an_alert();
    let (_, answer) = get(&router, "/alerts/active").await;
    assert_eq!(answer["count"], 1);
    let alert = &answer["alerts"][0];
    assert_eq!(
        (&alert["server"], &alert["metric"]),
        (&json!("web-1"), &json!("mem_used_pct"))
    );
    assert_eq!(
        (&alert["severity"], &alert["state"]),
        (&json!("critical"), &json!("firing"))
    );
    assert_eq!(
        get(&router, "/alerts/active?server=db-1").await.1["count"],
        0
    );
    let (_, oldest) = get(&router, "/alerts").await;
    assert_eq!(oldest["alerts"][0]["alert_type"], "mem_spike_predicted");

    let body = json!({"who": "ann", "note": "looking"}).to_string();
    let (status, answer) = post(&router, "/alerts/1/ack", body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["alert"]["acknowledged"]["who"], "ann");
    let (status, _) = post(&router, "/alerts/1/ack", "{").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);

    let (_, answer) = post(&router, "/alerts/1/ack", "").await;
    let acknowledged = &answer["alert"]["acknowledged"];
    assert_eq!(
        (&acknowledged["who"], &acknowledged["note"]),
        (&json!("anonymous"), &json!("looking")),
        "the note stays"
    );
}

#[tokio::test]
async fn a_wrong_method_names_the_right_ones() {
    let daemon = Daemon::new();
    let response = send(&daemon.router(), Request::get("/feed"), "").await;
    assert_eq!(response.headers()["allow"], "POST");
}

#[tokio::test]
async fn metrics_are_openmetrics() {
    let daemon = Daemon::new();
    let router = daemon.router();
    post(
        &router,
        "/feed",
        json!([record("a", 1), {"server_name": "a"}]).to_string(),
    )
    .await;
    get(&router, "/no/such/path").await;
    let (_, text) = get(&router, "/metrics").await;
    let text = text.as_str().expect("text");
    assert!(text.ends_with("# EOF\n"));
    for line in [
        "argus_ingest_records_accepted_total 1",
        "argus_ingest_records_rejected_total{reason=\"missing_timestamp\"} 1",
        "argus_ingest_records_rejected_total{reason=\"out_of_range\"} 0",
        "argus_fleet_entities{state=\"warming_up\"} 1",
        "argus_http_requests_total{method=\"GET\",route=\"unknown\",status=\"404\"} 1",
        "argus_model_loaded 1.0",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[tokio::test]
async fn answers_are_compressed_on_request() {
    let daemon = Daemon::new();
    let router = daemon.router();
    for encoding in ["gzip", "zstd", "br"] {
        let request = Request::get("/predictions/current").header("accept-encoding", encoding);
        let response = send(&router, request, "").await;
        assert_eq!(response.headers()["content-encoding"], encoding);
    }
}

#[tokio::test]
async fn starting_and_stopping_are_not_ready() {
    use argus_api::control::Readiness;
    let daemon = Daemon::new();
    *daemon.control.readiness.lock() = Readiness::Starting("recovering the store".to_owned());
    let (status, answer) = get(&daemon.router(), "/-/ready").await;
    assert_eq!(
        (status, &answer["detail"]),
        (
            StatusCode::SERVICE_UNAVAILABLE,
            &json!("recovering the store")
        )
    );
    assert_eq!(get(&daemon.router(), "/health").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_scenario_is_set_by_name_and_for_a_time() {
    let daemon = Daemon::new();
    let router = daemon.router();
    let set = |body: &'static str| post(&router, "/scenario/set", body.to_owned());
    let (status, answer) = set(r#"{"scenario":"critical","duration_hours":2}"#).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["old_scenario"], "healthy");
    assert_eq!(answer["new_scenario"], "critical");
    assert_eq!(
        (&answer["affected_servers"], &answer["tick_count"]),
        (&12.into(), &7.into())
    );
    assert_eq!(answer["duration_hours"], 2.0);
    let (status, _) = set(r#"{"mode":"critical"}"#).await;
    assert_eq!(status, StatusCode::OK, "the older name of the field");
    for (body, expected, code) in [
        (r#"{"scenario":"boom"}"#, 422, "unknown_scenario"),
        (
            r#"{"scenario":"critical","duration_hours":-1}"#,
            400,
            "bad_duration",
        ),
        (
            r#"{"scenario":"critical","duration_hours":1e99}"#,
            400,
            "bad_duration",
        ),
        (r#"{"scenario":7}"#, 400, "bad_body"),
    ] {
        let (status, answer) = set(body).await;
        assert_eq!(
            (status.as_u16(), answer["code"].as_str()),
            (expected, Some(code)),
            "{body}"
        );
    }
}
