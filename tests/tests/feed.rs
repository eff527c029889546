//! Every row of the data contract's validation, over the wire: right status, right message, nothing lost, and nobody
//! else's predictions touched.

use std::io::Write;
use std::time::Duration;

use argus_e2e::{Daemon, Setup, eventually};
use serde_json::{Value, json};

const START: i64 = 1_767_607_200;

fn good(server: &str, bin: i64) -> Value {
    json!({"timestamp": START + bin * 300, "server_name": server, "cpu_user_pct": 20, "cpu_idle_pct": 75,
           "mem_used_pct": 40.25, "status": "healthy"})
}

#[test]
fn bad_records_cost_only_themselves() -> anyhow::Result<()> {
    let daemon = Daemon::start(Setup::default())?;
    let context: Vec<_> = (0..20).map(|bin| good("neighbour", bin)).collect();
    daemon.feed(&context)?;
    let before = neighbour(&daemon)?;

    let long = "x".repeat(256);
    let bad = [
        (
            json!({"server_name": "a"}),
            "missing_timestamp",
            "timestamp",
        ),
        (
            json!({"timestamp": START, "cpu_user_pct": 1}),
            "missing_server",
            "server_name",
        ),
        (
            json!({"timestamp": START, "server_name": long, "cpu_user_pct": 1}),
            "bad_server_name",
            "255",
        ),
        (
            json!({"timestamp": START, "server_name": "a\nb", "cpu_user_pct": 1}),
            "bad_server_name",
            "control",
        ),
        (
            json!({"timestamp": "yesterday", "server_name": "a", "cpu_user_pct": 1}),
            "bad_timestamp",
            "yesterday",
        ),
        (
            json!({"timestamp": START, "server_name": "a", "cpu_user_pct": 6540}),
            "out_of_range",
            "6540",
        ),
        (
            json!({"timestamp": START, "server_name": "a", "net_in_mb_s": -1}),
            "out_of_range",
            "net_in_mb_s",
        ),
        (
            json!({"timestamp": START, "server_name": "a", "cpu_user_pct": "hot"}),
            "not_a_number",
            "hot",
        ),
        (
            json!({"timestamp": START, "server_name": "a", "cpu_user_pct": "NaN"}),
            "nan",
            "NaN",
        ),
        (
            json!({"timestamp": START, "server_name": "a", "cpu_user_pct": 1, "status": "banana"}),
            "unknown_status",
            "banana",
        ),
        (
            json!({"timestamp": "2999-01-01T00:00:00Z", "server_name": "a", "cpu_user_pct": 1}),
            "future_timestamp",
            "2999",
        ),
        (good("neighbour", 19), "duplicate_timestamp", "neighbour"),
        (
            json!({"timestamp": START - 2_881 * 300, "server_name": "neighbour", "cpu_user_pct": 1}),
            "too_old",
            "window",
        ),
        (json!("text"), "not_an_object", "object"),
    ];
    for (record, code, told) in &bad {
        let server = "companion";
        let companion = json!({"timestamp": START, "server_name": server, "mem_used_pct": 33});
        let body = json!({"records": [record, companion]}).to_string();
        let (status, answer) = daemon.post("/feed/data", &body)?;
        let error = &answer["errors"][0];
        assert_eq!(error["code"], *code, "{record}: {answer}");
        assert_eq!(error["index"], 0, "{record}: {answer}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(
            message.contains(told),
            "{record}: `{message}` does not tell `{told}`"
        );
        // The companion is a duplicate from the second round on, so the batch may hold nothing acceptable.
        assert!(
            status == 200 || status == 422,
            "{record}: {status} {answer}"
        );
        assert_eq!(answer["records_received"], 2, "{answer}");
    }
    let (status, answer) =
        daemon.post("/feed/data", &json!({"records": [bad[5].0]}).to_string())?;
    assert_eq!(
        (status, &answer["accepted"], &answer["rejected"]),
        (422, &json!(0), &json!(1)),
        "{answer}"
    );

    assert_eq!(
        neighbour(&daemon)?,
        before,
        "nobody else's predictions are touched"
    );
    Ok(())
}

#[test]
fn bad_bodies_are_refused_whole() -> anyhow::Result<()> {
    let daemon = Daemon::start(Setup::default())?;
    let record = good("never", 0).to_string();
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let many = format!("[{}]", vec![record.as_str(); 10_001].join(","));
    let large = format!(
        "{{\"records\":[{record}],\"padding\":\"{}\"}}",
        "x".repeat(11 << 20)
    );
    let bodies: Vec<(&str, Vec<u8>, u16)> = vec![
        ("empty", Vec::new(), 400),
        ("truncated", br#"{"records":[{"timestamp":1"#.to_vec(), 400),
        ("text", b"hello".to_vec(), 400),
        ("not UTF-8", vec![0xff, 0xfe, 0x00], 400),
        ("a number", b"42".to_vec(), 422),
        (
            "an object that names no server",
            br#"{"foo":1}"#.to_vec(),
            422,
        ),
        (
            "records that are no list",
            br#"{"records":42}"#.to_vec(),
            422,
        ),
        ("too deep", deep.into_bytes(), 422),
        ("too many", many.into_bytes(), 413),
        ("too large", large.into_bytes(), 413),
    ];
    for (what, body, expected) in &bodies {
        let (status, answer) =
            daemon.post_bytes("/feed/data", body, &[("content-type", "application/json")])?;
        assert_eq!(status, *expected, "{what}: {answer}");
        assert!(
            answer["detail"].as_str().is_some_and(|d| d.len() > 10),
            "{what}: {answer}"
        );
    }
    let servers = daemon.get_ok("/servers")?;
    assert!(
        !servers.to_string().contains("never"),
        "nothing is stored of a refused body: {servers}"
    );
    Ok(())
}

#[test]
fn all_json_forms_and_encodings_are_read() -> anyhow::Result<()> {
    let daemon = Daemon::start(Setup::default())?;
    let object = good("object", 0).to_string();
    let array = json!([good("array", 0), good("array", 1)]).to_string();
    let ndjson = format!("{}\n{}\n", good("lines", 0), good("lines", 1));
    let wrapped = json!({"records": [good("wrapped", 0)]}).to_string();
    for (path, body, accepted) in [
        ("/feed", &object, 1),
        ("/feed", &array, 2),
        ("/feed/data", &ndjson, 2),
        ("/feed/data", &wrapped, 1),
    ] {
        let (status, answer) = daemon.post(path, body)?;
        assert_eq!(
            (status, &answer["accepted"]),
            (200, &json!(accepted)),
            "{body}: {answer}"
        );
    }
    let zipped = gzip(good("gzip", 0).to_string().as_bytes())?;
    let (status, answer) =
        daemon.post_bytes("/feed/data", &zipped, &[("content-encoding", "gzip")])?;
    assert_eq!((status, &answer["accepted"]), (200, &json!(1)), "{answer}");
    let packed = zstd::encode_all(good("zstd", 0).to_string().as_bytes(), 0)?;
    let (status, answer) =
        daemon.post_bytes("/feed/data", &packed, &[("content-encoding", "zstd")])?;
    assert_eq!((status, &answer["accepted"]), (200, &json!(1)), "{answer}");
    let bomb = gzip(&vec![b' '; 200 << 20])?;
    let (status, answer) =
        daemon.post_bytes("/feed/data", &bomb, &[("content-encoding", "gzip")])?;
    assert_eq!(status, 413, "{answer}");
    Ok(())
}

fn gzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// The neighbour's forecast, without what moves with the clock.
fn neighbour(daemon: &Daemon) -> anyhow::Result<Value> {
    eventually("the neighbour's forecast", Duration::from_secs(20), || {
        let body = daemon.get_ok("/predictions/current?server=neighbour")?;
        let server = &body["predictions"]["neighbour"];
        anyhow::ensure!(server["forecast_state"] == "ready", "{server}");
        Ok(server["mem_used_pct"].clone())
    })
}
