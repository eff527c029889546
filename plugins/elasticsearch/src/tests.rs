use argus_documents::{Collection, Span};
use argus_plugin::testing::{self, Host};
use serde_json::json;

use super::*;

const TIME_MS: i64 = 1_770_000_000_000;

fn source(config: Value) -> Elasticsearch {
    testing::source(config).expect("settings")
}

/// Starts a minute before the tests' now: one window.
fn typical() -> Value {
    json!({
        "connector": "logs", "index": "metrics-*", "mapping": { "layout": "flat" },
        "reading": { "start": "2026-02-02T02:39:50Z" },
    })
}

fn options() -> Options {
    Options {
        max_records: 100,
        ..Options::default()
    }
}

fn hit(id: &str, time_ms: i64, source: Value) -> Value {
    json!({ "_index": "metrics-1", "_id": id, "_source": source, "sort": [time_ms, 4_294_967_296_i64] })
}

#[test]
fn hits_become_records() {
    let host = Host::new().at(TIME_MS + 50_000).documents(
        "logs",
        &[
            hit(
                "a",
                TIME_MS,
                json!({"server_name": "s1", "mem_used_pct": 50}),
            ),
            hit(
                "b",
                TIME_MS,
                json!({"server_name": "s2", "mem_used_pct": "high"}),
            ),
        ],
    );
    let batch = source(typical())
        .poll(&host, None, &options())
        .expect("a batch");
    let items = String::from_utf8(batch.items).expect("text");
    assert_eq!(
        items,
        "{\"server_name\":\"s1\",\"timestamp\":1770000000000,\"mem_used_pct\":50.0}\n"
    );
    assert_eq!((batch.skipped, batch.more), (1, false));
    let told = host.lines().remove(0).1;
    assert!(
        told.starts_with("connector `logs`, index `metrics-*`: document `metrics-1/b` has \"high\" at `mem_used_pct`"),
        "{told}"
    );
    let body: Value = serde_json::from_slice(&host.queries()[0].body).expect("JSON");
    assert_eq!(body["index"], "metrics-*");
    assert_eq!(
        body["query"]["bool"]["filter"][0]["range"]["@timestamp"]["lt"],
        TIME_MS + 45_000
    );
    assert_eq!(body["source"], true);
    let mut config = typical();
    config["only_needed_fields"] = json!(true);
    let host = Host::new().documents("logs", &[]);
    source(config)
        .poll(&host, None, &options())
        .expect("a batch");
    let body: Value = serde_json::from_slice(&host.queries()[0].body).expect("JSON");
    let fields = body["source"].as_array().expect("fields");
    assert!(fields.contains(&json!("server_name")) && !fields.contains(&json!("*")));
}

/// The second poll looks for documents without a time; the third looks back first, then forward from the very time that
/// the first stopped at.
#[test]
fn the_third_poll_counts_and_goes_on() {
    let first = hit(
        "a",
        TIME_MS,
        json!({"server_name": "s1", "mem_used_pct": 50}),
    );
    let late = hit(
        "c",
        TIME_MS - 5000,
        json!({"server_name": "s3", "mem_used_pct": 70}),
    );
    let source = source(typical());
    let host = Host::new()
        .at(TIME_MS + 50_000)
        .documents("logs", std::slice::from_ref(&first));
    let batch = source.poll(&host, None, &options()).expect("a batch");

    let host = Host::new()
        .at(TIME_MS + 50_000)
        .documents("logs", &[json!({ "total": 0, "aggregations": null })]);
    let batch = source
        .poll(&host, Some(&batch.checkpoint), &options())
        .expect("a batch");
    let queries = host.queries();
    assert_eq!((queries.len(), batch.items.len()), (1, 0));
    let body: Value = serde_json::from_slice(&queries[0].body).expect("JSON");
    assert!(body["aggregations"]["slices"].is_null(), "{body}");

    let bucket = json!({ "key": TIME_MS - 10_000, "doc_count": 1 });
    let counts = json!({ "total": 1, "aggregations": { "slices": { "buckets": [bucket] } } });
    let host = Host::new()
        .at(TIME_MS + 50_000)
        .documents("logs", &[counts])
        .documents("logs", std::slice::from_ref(&late));
    let batch = source
        .poll(&host, Some(&batch.checkpoint), &options())
        .expect("a batch");
    assert!(String::from_utf8_lossy(&batch.items).contains("s3"));
    let queries = host.queries();
    let operations: Vec<_> = queries
        .iter()
        .map(|query| query.operation.as_str())
        .collect();
    assert_eq!(operations, ["aggregate", "search"]);
    let body: Value = serde_json::from_slice(&queries[0].body).expect("JSON");
    let histogram = &body["aggregations"]["slices"]["date_histogram"];
    assert_eq!(
        *histogram,
        json!({ "field": "@timestamp", "fixed_interval": "10000ms", "min_doc_count": 1 })
    );
}

#[test]
fn a_tiebreaker_goes_on_behind_the_last() {
    let mut config = typical();
    config["tiebreaker"] = json!("event.id");
    config["query"] = json!({ "term": { "kind": "host" } });
    let source = source(config);
    let document = json!({ "server_name": "s1", "mem_used_pct": 50 });
    let sorted =
        json!({ "_index": "i", "_id": "a", "_source": document, "sort": [TIME_MS, "e-7", 3] });
    let host = Host::new().documents("logs", &[sorted]);
    let span = Span {
        from_ms: TIME_MS,
        until_ms: TIME_MS + 10,
        after: Some("\"e-6\""),
        limit: 5,
        known: 0,
        began_ns: 0,
        poll_secs: 5,
    };
    let mut ties = Vec::new();
    let mut take = |document: argus_documents::Document<'_>| {
        ties.push(document.tie.map(str::to_owned));
        true
    };
    assert!(source.index.read(&host, &span, &mut take).expect("reads"));
    assert_eq!(ties, [Some("\"e-7\"".to_owned())]);
    let body: Value = serde_json::from_slice(&host.queries()[0].body).expect("JSON");
    assert_eq!(body["sort"][1], json!({ "event.id": "asc" }));
    let behind = &body["query"]["bool"]["should"][1]["bool"]["filter"];
    assert_eq!(
        behind[1],
        json!({ "range": { "event.id": { "gt": "e-6" } } })
    );
    assert_eq!(
        behind[0]["bool"]["filter"][1],
        json!({ "term": { "kind": "host" } })
    );
}

#[test]
fn the_check_asks_for_index_and_field() {
    let refused = Error::new(
        "not_found",
        "connector logs: there is no index that matches `metrics-*`",
    );
    let host = Host::new().fail_query("logs", refused);
    let error = source(typical()).check(&host).expect_err("no index");
    assert!(error.message.contains("metrics-*"));
    let query = host.queries().remove(0);
    assert_eq!(
        (query.operation.as_str(), query.body),
        (
            "check",
            br#"{"index":"metrics-*","time":"@timestamp"}"#.to_vec()
        )
    );
}

#[test]
fn the_schema_fits_the_settings() {
    testing::check_config_schema::<Config>(CONFIG_SCHEMA);
    let schema: Value = serde_json::from_str(CONFIG_SCHEMA).expect("JSON");
    for (part, check) in [
        (
            "mapping",
            testing::check_config_schema::<MappingConfig> as fn(&str),
        ),
        ("reading", testing::check_config_schema::<ReadingConfig>),
    ] {
        check(&schema["properties"][part].to_string());
    }
}
