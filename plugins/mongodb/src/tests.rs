//! Queries and records, with documents as the connector sends them.

use argus_plugin::source::{Batch, Options};
use argus_plugin::testing::{self, Host};
use argus_plugin::{Error, Source};
use serde_json::{Value, json};

use super::*;

const NOW_MS: i64 = 1_770_091_506_000;

fn plugin(more: Value) -> MongoDb {
    let mut config = json!({
        "connector": "metrics", "database": "fleet", "collection": "servers",
        "mapping": { "layout": "flat" }, // A minute before now, which is one window.
        "reading": { "start": "2026-02-03T04:04:06Z" },
    });
    for (key, value) in more.as_object().expect("an object") {
        config[key] = value.clone();
    }
    testing::source(config).expect("good settings")
}

fn document(n: i64) -> Value {
    json!({
        "_id": { "$oid": format!("{n:024x}") },
        "timestamp": { "$date": { "$numberLong": (NOW_MS - 60_000 + n / 2).to_string() } },
        "server_name": "db-1", "cpu_user_pct": n, "unheard_of": 1,
    })
}

fn poll(
    plugin: &MongoDb,
    host: &Host,
    checkpoint: Option<&[u8]>,
    max_records: u32,
) -> Result<Batch, Error> {
    let options = Options {
        max_records,
        ..Options::default()
    };
    plugin.poll(host, checkpoint, &options)
}

fn lines(batch: &Batch) -> Vec<Value> {
    let lines = batch
        .items
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).expect("a record"))
        .collect()
}

fn bodies(host: &Host) -> Vec<Value> {
    host.queries()
        .iter()
        .map(|query| serde_json::from_slice(&query.body).expect("JSON"))
        .collect()
}

#[test]
fn documents_become_records_in_the_order_of_time_and_id() {
    let documents: Vec<Value> = (0..4).map(document).collect();
    let host = Host::new().at(NOW_MS).documents("metrics", &documents);
    let batch = poll(&plugin(json!({})), &host, None, 3).expect("a batch");
    let records = lines(&batch);
    assert_eq!(records.len(), 3);
    assert_eq!(records[2]["cpu_user_pct"].as_f64(), Some(2.0));
    assert_eq!(records[2]["timestamp"], NOW_MS - 60_000 + 1);
    assert!(batch.more);

    let first = &bodies(&host)[0];
    assert_eq!(
        (&first["database"], &first["collection"]),
        (&json!("fleet"), &json!("servers"))
    );
    assert_eq!(first["sort"], json!([{ "timestamp": 1 }, { "_id": 1 }]));
    assert_eq!(first["projection"]["timestamp"], 1);
    assert_eq!(first["projection"]["unheard_of"], Value::Null);
}

#[test]
fn the_next_poll_goes_on_behind_the_last_document() {
    let host = Host::new()
        .at(NOW_MS)
        .documents("metrics", &[document(0), document(1), document(2)]);
    let plugin = plugin(json!({ "filter": { "site": "north" } }));
    let batch = poll(&plugin, &host, None, 2).expect("a batch");
    let host = Host::new().at(NOW_MS).documents("metrics", &[]);
    poll(&plugin, &host, Some(&batch.checkpoint), 2).expect("a batch");
    let bodies = bodies(&host);
    let filters: Vec<&Value> = bodies.iter().map(|body| &body["filter"]).collect();
    let at = |ms: i64| json!({ "$date": { "$numberLong": ms.to_string() } });
    let last_ms = NOW_MS - 60_000;
    // Of the last one's time behind it, then all that come later; each is a span of the index.
    let id = json!({ "$oid": format!("{:024x}", 1) });
    assert_eq!(
        *filters[0],
        json!({ "site": "north", "timestamp": at(last_ms), "_id": { "$gt": id } })
    );
    assert_eq!(
        *filters[1],
        json!({ "site": "north", "timestamp": at(last_ms), "_id": { "$type": ["bool", "date", "timestamp", "regex"] } })
    );
    assert_eq!(filters[2]["timestamp"]["$gte"], at(last_ms + 1));
}

#[test]
fn an_operators_conditions_on_the_same_field_hold_too() {
    let host = Host::new().at(NOW_MS).documents("metrics", &[]);
    let own = json!({ "timestamp": { "$ne": null } });
    poll(&plugin(json!({ "filter": own })), &host, None, 2).expect("a batch");
    let filter = &bodies(&host)[0]["filter"]["$and"];
    assert_eq!(filter[0], own);
    assert!(filter[1]["timestamp"]["$gte"].is_object(), "{filter}");
}

#[test]
fn documents_that_are_no_records_are_told_by_their_ids() {
    let mut wrong = document(0);
    wrong["cpu_user_pct"] = json!("high");
    let mut nameless = document(1);
    nameless
        .as_object_mut()
        .expect("an object")
        .remove("server_name");
    let host = Host::new()
        .at(NOW_MS)
        .documents("metrics", &[wrong, nameless, document(2)]);
    let batch = poll(&plugin(json!({})), &host, None, 100).expect("a batch");
    assert_eq!((lines(&batch).len(), batch.skipped), (1, 2));
    let told: Vec<String> = host.lines().into_iter().map(|(_, line)| line).collect();
    for (n, fragment) in [(0, "\"high\" at `cpu_user_pct`"), (1, "names no server")] {
        let line = &told[n];
        let id = format!("document `{n:024x}`");
        assert!(
            line.contains("connector `metrics`, collection `fleet.servers`"),
            "{line}"
        );
        assert!(line.contains(&id) && line.contains(fragment), "{line}");
    }
}

#[test]
fn a_connectors_error_is_handed_on() {
    let refused = Error::new(
        "access_denied",
        "connector metrics: db-1:27017 refused the login",
    );
    let host = Host::new().fail_query("metrics", refused);
    let plugin = plugin(json!({}));
    assert_eq!(
        plugin.check(&host).expect_err("refused").code,
        "access_denied"
    );
    assert_eq!(
        poll(&plugin, &host, None, 1).expect_err("refused").code,
        "access_denied"
    );
}

#[test]
fn mistakes_name_the_setting() {
    for (settings, fragment) in [
        (
            json!({ "connector": "m", "collection": "", "mapping": { "layout": "flat" } }),
            "config.collection",
        ),
        (
            json!({ "connector": "m", "collection": "c", "time": "$ts", "mapping": { "layout": "flat" } }),
            "config.time",
        ),
        (
            json!({ "connector": "m", "collection": "c", "mapping": { "layout": "flta" } }),
            "config.mapping.layout",
        ),
        (
            json!({ "connector": "m", "collection": "c", "mapping": {} }),
            "config.mapping",
        ),
        (json!({ "connector": "m", "collection": "c" }), "mapping"),
    ] {
        let error = testing::source::<MongoDb>(settings.clone())
            .err()
            .expect("a mistake");
        assert!(error.message.contains(fragment), "{settings}: {error:?}");
    }
}

#[test]
fn the_schema_describes_the_settings() {
    testing::check_config_schema::<Config>(CONFIG_SCHEMA);
    let schema: Value = serde_json::from_str(CONFIG_SCHEMA).expect("JSON");
    for part in ["mapping", "reading"] {
        assert!(
            schema["properties"][part]["properties"].is_object(),
            "{part}"
        );
    }
}

#[test]
fn gaps_are_crossed_in_growing_windows() {
    let host = Host::new().at(NOW_MS).documents("metrics", &[]);
    let batch = poll(
        &plugin(json!({ "reading": { "start": "oldest" } })),
        &host,
        None,
        100,
    )
    .expect("a batch");
    assert!(!batch.more);
    let bodies = bodies(&host);
    let edge = |body: &Value, operator: &str| {
        let time = body["filter"]["timestamp"][operator]["$date"]["$numberLong"].clone();
        time.as_str()
            .and_then(|ms| ms.parse::<i64>().ok())
            .expect("a time")
    };
    assert!(bodies.len() < 20, "{}", bodies.len());
    assert_eq!(edge(&bodies[0], "$gte"), 0);
    for pair in bodies.windows(2) {
        assert_eq!(
            edge(&pair[0], "$lt"),
            edge(&pair[1], "$gte"),
            "no gap between windows"
        );
    }
    assert_eq!(edge(&bodies[bodies.len() - 1], "$lt"), NOW_MS - 5000);
}
