//! Records in: forms, encodings, counts, refusals.

mod common;

use common::{Daemon, NOW_MS, get, post, read, record, send};
use http::{Request, StatusCode};
use serde_json::{Value, json};

async fn feed(daemon: &Daemon, body: &Value) -> (StatusCode, Value) {
    post(&daemon.router(), "/feed/data", body.to_string()).await
}

#[tokio::test]
async fn every_json_form_is_taken() {
    let daemon = Daemon::new();
    let router = daemon.router();
    let lines = format!("{}\n{}\n", record("d", 1), record("d", 2));
    for (path, body, count) in [
        (
            "/feed/data",
            json!({"records": [record("a", 1), record("a", 2)]}).to_string(),
            2,
        ),
        (
            "/feed",
            json!([record("b", 1), record("b", 2)]).to_string(),
            2,
        ),
        ("/feed", record("c", 1).to_string(), 1),
        ("/feed/data", lines, 2),
    ] {
        let (status, answer) = post(&router, path, body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(
            (&answer["status"], &answer["accepted"]),
            (&json!("accepted"), &json!(count))
        );
    }
    let (_, answer) = post(&router, "/feed", record("c", 2).to_string()).await;
    assert_eq!(answer["tick"], 5);
    assert_eq!(answer["servers_tracked"], 4);
    assert_eq!(answer["warmup_complete"], false);
    for key in [
        "window_size",
        "rolling_window_size",
        "servers_ready",
        "records_received",
        "rejected",
        "errors",
    ] {
        assert!(answer.get(key).is_some(), "{key} is missing");
    }
}

#[tokio::test]
async fn compressed_bodies_are_taken() {
    use std::io::Write;
    let daemon = Daemon::new();
    let body = json!({"records": [record("a", 1)]}).to_string();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(body.as_bytes()).expect("compressed");
    let request = Request::post("/feed/data").header("content-encoding", "gzip");
    let (status, answer) = read(
        send(
            &daemon.router(),
            request,
            gzip.finish().expect("compressed"),
        )
        .await,
    )
    .await;
    assert_eq!(
        (status, &answer["accepted"]),
        (StatusCode::OK, &json!(1)),
        "{answer}"
    );

    let request = Request::post("/feed/data").header("content-encoding", "lzma");
    let (status, answer) = read(send(&daemon.router(), request, body).await).await;
    assert_eq!(
        (status, &answer["code"]),
        (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            &json!("unsupported_encoding")
        )
    );
}

#[tokio::test]
async fn good_records_stay_and_bad_ones_come_back() {
    let daemon = Daemon::new();
    let mut hot = record("a", 2);
    hot["cpu_user_pct"] = json!(6540);
    let future =
        json!({"server_name": "a", "timestamp": (NOW_MS + 3_600_000) / 1000, "cpu_user_pct": 1});
    let body = json!({"records": [record("a", 1), hot, record("a", 1), future, 7]});
    let (status, answer) = feed(&daemon, &body).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&answer["accepted"], &answer["rejected"]),
        (&json!(1), &json!(4))
    );
    let errors = answer["errors"].as_array().expect("a list");
    let seen: Vec<(u64, &str)> = errors
        .iter()
        .map(|e| {
            (
                e["index"].as_u64().expect("index"),
                e["code"].as_str().expect("code"),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (1, "out_of_range"),
            (2, "duplicate_timestamp"),
            (3, "future_timestamp"),
            (4, "not_an_object")
        ]
    );
    assert_eq!(errors[1]["identical"], true);
    assert_eq!(answer["identical_duplicates"], 1);
    assert!(
        errors[0]["message"]
            .as_str()
            .expect("text")
            .contains("6540"),
        "{}",
        errors[0]
    );
}

#[tokio::test]
async fn all_refused_is_422_with_the_same_fields() {
    let daemon = Daemon::new();
    let (status, answer) = feed(&daemon, &json!({"records": [{"server_name": "a"}]})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        (&answer["status"], &answer["accepted"], &answer["rejected"]),
        (&json!("rejected"), &json!(0), &json!(1))
    );
    assert_eq!(answer["errors"][0]["code"], "missing_timestamp");
    assert!(answer["detail"].is_string());
}

#[tokio::test]
async fn an_empty_batch_is_ignored() {
    let (status, answer) = feed(&Daemon::new(), &json!({"records": []})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&answer["status"], &answer["reason"]),
        (&json!("ignored"), &json!("empty batch"))
    );
}

#[tokio::test]
async fn unusable_bodies_are_refused_whole() {
    let mut daemon = Daemon::new();
    daemon.config.max_body_bytes = 2000;
    daemon.config.max_records = 3;
    let router = daemon.router();
    let many = json!([
        record("a", 1),
        record("a", 2),
        record("a", 3),
        record("a", 4)
    ])
    .to_string();
    for (body, status, code) in [
        ("{".to_owned(), 400, "not_json"),
        (String::new(), 400, "empty_body"),
        ("7".to_owned(), 422, "wrong_shape"),
        ("{\"hello\":1}".to_owned(), 422, "no_records"),
        ("[".repeat(1900), 400, "not_json"),
        (many, 413, "too_many_records"),
        (" ".repeat(2001), 413, "too_large"),
    ] {
        let response = send(&router, Request::post("/feed/data"), body).await;
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        let (got, answer) = read(response).await;
        assert_eq!(
            (got.as_u16(), &answer["code"]),
            (status, &json!(code)),
            "{answer}"
        );
        assert_eq!(answer["status"], status);
    }
    let (_, servers) = get(&router, "/servers").await;
    assert_eq!(servers["count"], 0, "something was stored");
}

#[tokio::test]
async fn a_bomb_is_refused_by_its_unpacked_size() {
    let mut daemon = Daemon::new();
    daemon.config.max_body_bytes = 100_000;
    let packed = zstd::encode_all(&vec![b' '; 10_000_000][..], 3).expect("compressed");
    assert!(packed.len() < 100_000);
    let request = Request::post("/feed").header("content-encoding", "zstd");
    let (status, answer) = read(send(&daemon.router(), request, packed).await).await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("too_large"))
    );
}

#[tokio::test]
async fn remote_write_refuses_what_it_cannot_read() {
    let daemon = Daemon::new();
    let router = daemon.router();
    let (status, _) = post(&router, "/api/v1/write", "not snappy").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let v2 = Request::post("/api/v1/write").header(
        "content-type",
        "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    );
    assert_eq!(
        send(&router, v2, "").await.status(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    // An empty request is a valid one: Prometheus sends it to try the connection.
    let empty = snap::raw::Encoder::new()
        .compress_vec(&[])
        .expect("compressed");
    let response = send(
        &router,
        Request::post("/api/v1/write").header("content-encoding", "snappy"),
        empty,
    )
    .await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn without_a_model_ingest_works() {
    let daemon = Daemon::without_model();
    let (status, _) = feed(&daemon, &json!([record("a", 1)])).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_closed_store_asks_to_come_back() {
    let daemon = Daemon::new();
    daemon.store.close();
    let response = send(
        &daemon.router(),
        Request::post("/feed"),
        record("a", 1).to_string(),
    )
    .await;
    assert!(response.headers().contains_key("retry-after"));
    let (status, answer) = read(response).await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("stopping"))
    );
}
