//! What a connector that keeps its contract is good for.

use std::time::{Duration, Instant};

use argus_connector_host::{Connector, Failure};
use serde_json::json;

use crate::support::{PATIENCE, eventually, memory, query, spec};

#[tokio::test]
async fn pages_come_when_asked_for() {
    let memory = memory().await;
    let mut cursor = query(&memory, "find", json!({ "count": 5 })).await.unwrap();
    assert_eq!(memory.status().cursors, 1);
    let mut pages = Vec::new();
    loop {
        let page = cursor.next(2, 1 << 20, PATIENCE).await.unwrap();
        let text = String::from_utf8(page.documents.to_vec()).unwrap();
        pages.push((text, page.count, page.last));
        if page.last {
            break;
        }
    }
    let expected = [
        ("{\"n\":0}\n{\"n\":1}\n", 2, false),
        ("{\"n\":2}\n{\"n\":3}\n", 2, false),
        ("{\"n\":4}\n", 1, true),
    ];
    assert_eq!(
        pages,
        expected.map(|(text, count, last)| (text.to_owned(), count, last))
    );
    let after = cursor.next(2, 100, PATIENCE).await.unwrap();
    assert!(
        after.last && after.documents.is_empty(),
        "an answer has one end"
    );
    drop(cursor);
    let status = memory.status();
    assert_eq!((status.documents, status.cursors, status.errors), (5, 0, 0));
}

#[tokio::test]
async fn bytes_bound_a_page_but_one_document_always_comes() {
    let memory = memory().await;
    let mut cursor = query(&memory, "find", json!({ "count": 5 })).await.unwrap();
    assert_eq!(cursor.next(100, 1, PATIENCE).await.unwrap().count, 1);
    assert_eq!(cursor.next(100, 12, PATIENCE).await.unwrap().count, 2);
}

#[tokio::test]
async fn whoever_asks_decides_how_long_to_wait() {
    let memory = memory().await;
    let mut tail = query(&memory, "tail", json!({ "every_ms": 300 }))
        .await
        .unwrap();
    let started = Instant::now();
    let page = tail
        .next(10, 1 << 20, Duration::from_millis(20))
        .await
        .unwrap();
    assert!(
        page.count == 0 && !page.last,
        "nothing yet, and not the end"
    );
    assert!(
        started.elapsed() < Duration::from_millis(250),
        "{:?}",
        started.elapsed()
    );
    // The wait goes on where it was: nothing is fetched twice, nothing is lost.
    for n in 0..3 {
        let page = tail.next(10, 1 << 20, PATIENCE).await.unwrap();
        assert_eq!(&*page.documents, format!("{{\"n\":{n}}}\n").as_bytes());
    }
    // Dropping it while the connector waits ends that.
    drop(tail);
    eventually("the end of the tail", || memory.status().waiting == 0).await;
}

#[tokio::test]
async fn errors_are_the_connectors_own() {
    let memory = memory().await;
    let told = json!({ "code": "access_denied", "message": "no role `reader`", "retryable": true });
    let error = query(&memory, "fail", told).await.expect_err("told to");
    assert_eq!(
        error.to_string(),
        "connector memory (memory 0.1.0): no role `reader` (access_denied)"
    );
    assert!(error.code() == "access_denied" && error.retryable());
    let error = query(&memory, "fly", json!(null))
        .await
        .expect_err("cannot");
    assert_eq!(error.code(), "unknown_operation");
    assert!(
        error.to_string().contains("there are: check, find"),
        "{error}"
    );
    for reserved in ["", "@next", "@close"] {
        let error = query(&memory, reserved, json!(null))
            .await
            .expect_err("reserved");
        assert_eq!(error.code(), "unknown_operation");
    }
    assert_eq!(
        memory.status().last_error,
        Some(error.to_string())
            .filter(|_| false)
            .or(memory.status().last_error)
    );
}

#[tokio::test]
async fn panics_cost_their_own_request() {
    let memory = memory().await;
    for (operation, said) in [
        ("panic", "I was told to panic"),
        ("panic_later", "I was told to panic later"),
    ] {
        let error = query(&memory, operation, json!(null))
            .await
            .expect_err("panics");
        assert_eq!(error.code(), "connector_failed");
        assert!(error.to_string().contains(said), "{error}");
    }
    let mut cursor = query(&memory, "panic_in_cursor", json!({ "after": 2 }))
        .await
        .unwrap();
    assert_eq!(cursor.next(10, 1 << 20, PATIENCE).await.unwrap().count, 2);
    let error = cursor
        .next(10, 1 << 20, PATIENCE)
        .await
        .expect_err("panics");
    assert!(error.to_string().contains("panic in a cursor"), "{error}");
    assert!(
        cursor.next(10, 1 << 20, PATIENCE).await.unwrap().last,
        "it is closed"
    );
    query(&memory, "check", json!(null))
        .await
        .expect("as good as new");
    assert_eq!(memory.status().misbehaviour, Default::default());
}

#[tokio::test]
async fn time_is_up_when_the_asker_says() {
    let memory = memory().await;
    let body = json!({ "ms": 60_000 }).to_string().into_bytes();
    let started = Instant::now();
    let error = memory
        .query("sleep", &[], body, Duration::from_millis(50))
        .await
        .expect_err("too slow");
    assert!(error.code() == "timed_out" && error.retryable(), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(memory.status().owed, 0, "it said so itself");
}

#[tokio::test]
async fn leaving_cancels() {
    let memory = memory().await;
    let asking = query(&memory, "sleep", json!({ "ms": 60_000 }));
    let left = tokio::time::timeout(Duration::from_millis(50), asking).await;
    assert!(left.is_err());
    eventually("the completion of what was cancelled", || {
        let status = memory.status();
        (status.waiting, status.owed, status.misbehaviour.late) == (0, 0, 1)
    })
    .await;
}

#[tokio::test]
async fn cursors_of_answers_that_nobody_reads_are_closed() {
    let memory = memory().await;
    let tail = || query(&memory, "tail", json!({ "every_ms": 60_000 }));
    // Together more than the connector lets be open at a time.
    for _ in 0..70 {
        let mut asking: Vec<_> = (0..16).map(|_| Box::pin(tail())).collect();
        for asked in &mut asking {
            // Hands the request in, and never looks again.
            let _ = tokio::time::timeout(Duration::ZERO, asked).await;
        }
        eventually("the answers", || memory.status().waiting == 0).await;
    }
    tail().await.expect("no cursor is left open");
}

#[tokio::test]
async fn requests_beyond_the_limit_wait_their_turn() {
    let mut spec = spec("memory", json!({}));
    spec.limits.concurrent_requests = 2;
    let memory = Connector::open(spec).await.unwrap();
    let sleep = |ms: u64, patience| {
        let body = json!({ "ms": ms }).to_string().into_bytes();
        let memory = memory.clone();
        async move {
            memory
                .query("sleep", &[], body, Duration::from_millis(patience))
                .await
        }
    };
    let (first, second, third) =
        tokio::join!(sleep(400, 5_000), sleep(400, 5_000), sleep(0, 5_000));
    assert!(first.is_ok() && second.is_ok() && third.is_ok());
    let (_, _, refused) = tokio::join!(sleep(2_000, 5_000), sleep(2_000, 5_000), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        sleep(0, 10).await
    });
    assert_eq!(refused.expect_err("no slot").failure, Failure::Busy(2));
}

#[tokio::test]
async fn closing_ends_what_runs() {
    let memory = memory().await;
    let sleeping = tokio::spawn({
        let memory = memory.clone();
        async move {
            query(&memory, "sleep", json!({ "ms": 60_000 }))
                .await
                .map(drop)
        }
    });
    eventually("the request", || memory.status().waiting == 1).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(memory.close(PATIENCE).await);
    let error = sleeping.await.unwrap().expect_err("ended");
    assert!(error.to_string().contains("closing"), "{error}");
    let error = query(&memory, "check", json!(null))
        .await
        .expect_err("closed");
    assert_eq!(error.failure, Failure::Closed);
}

#[tokio::test]
async fn secrets_arrive_and_stay_unseen() {
    let mut spec = spec("memory", json!({}));
    spec.secrets = [("password".to_owned(), "s3cret".to_owned())]
        .into_iter()
        .collect();
    assert!(!format!("{spec:?}").contains("s3cret"));
    let memory = Connector::open(spec).await.unwrap();
    let mut answer = query(&memory, "secret", json!({ "name": "password" }))
        .await
        .unwrap();
    assert_eq!(
        &*answer.next(1, 100, PATIENCE).await.unwrap().documents,
        b"true\n"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_askers_at_once() {
    let memory = memory().await;
    let mut askers = Vec::new();
    for asker in 0..16_u64 {
        let memory = memory.clone();
        askers.push(tokio::spawn(async move {
            for _ in 0..50 {
                let body = json!({ "from": asker * 1000, "count": 10 });
                let mut cursor = query(&memory, "find", body).await.unwrap();
                let mut documents = 0;
                loop {
                    let page = cursor.next(4, 1 << 20, PATIENCE).await.unwrap();
                    documents += page.count;
                    if page.last {
                        break;
                    }
                }
                assert_eq!(documents, 10);
            }
        }));
    }
    for asker in askers {
        asker.await.unwrap();
    }
    let status = memory.status();
    assert_eq!(
        (status.documents, status.cursors, status.waiting),
        (8_000, 0, 0)
    );
    assert_eq!(status.misbehaviour, Default::default());
}
