//! What a connector does against its contract costs its own request an error that names it, and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use argus_connector_host::{Connector, ConnectorError, ConnectorStatus, Failure};
use serde_json::json;

use crate::support::{PATIENCE, eventually, query, spec};

const SHORT: Duration = Duration::from_millis(150);

async fn hostile(behaviour: &str) -> Arc<Connector> {
    let mut spec = spec("hostile", json!({ "behaviour": behaviour }));
    spec.limits.query_timeout = SHORT;
    Connector::open(spec).await.unwrap()
}

async fn ask(connector: &Arc<Connector>, operation: &str) -> Result<(), ConnectorError> {
    query(connector, operation, json!(null)).await.map(drop)
}

/// What a request comes to, and what is on the books when all is quiet. Whatever it did, the next request works, and
/// every buffer was freed exactly once.
struct Case {
    operation: &'static str,
    /// A part of the error's text; none for success.
    error: Option<&'static str>,
    settled: fn(&ConnectorStatus) -> bool,
}

const CASES: &[Case] = &[
    Case {
        operation: "behave",
        error: None,
        settled: |s| s.misbehaviour == Default::default(),
    },
    Case {
        operation: "inside",
        error: None,
        settled: |s| s.misbehaviour.inside_submit == 1,
    },
    Case {
        operation: "twice",
        error: None,
        settled: |s| s.misbehaviour.twice == 1,
    },
    Case {
        operation: "twice_at_once",
        error: None,
        settled: |s| s.misbehaviour.twice == 1,
    },
    Case {
        operation: "late",
        error: Some("did not answer within"),
        settled: |s| s.misbehaviour.late == 1 && s.owed == 0,
    },
    Case {
        operation: "late_and_twice",
        error: Some("did not answer within"),
        settled: |s| s.misbehaviour.late == 1 && s.misbehaviour.twice == 1 && s.owed == 0,
    },
    Case {
        operation: "never",
        error: Some("did not answer within"),
        settled: |s| s.owed == 1,
    },
    Case {
        operation: "refuse",
        error: Some("refused the request"),
        settled: |s| s.misbehaviour == Default::default(),
    },
    Case {
        operation: "refuse_oddly",
        error: Some("refused the request"),
        settled: |s| s.misbehaviour == Default::default(),
    },
    Case {
        operation: "refuse_and_complete",
        error: None,
        settled: |s| s.misbehaviour.refused_and_completed == 1,
    },
    Case {
        operation: "wrong_ctx",
        error: None,
        // One of the five lies in this connector's numbers; the others belong to other connectors, or to none.
        settled: |s| s.misbehaviour.invented >= 1,
    },
    Case {
        operation: "odd_status",
        error: Some("there is no status 99"),
        settled: |s| s.misbehaviour.nonsense == 1,
    },
    Case {
        operation: "no_memory",
        error: Some("its reply has no memory"),
        settled: |s| s.misbehaviour.nonsense == 1,
    },
    Case {
        operation: "too_long",
        error: Some("its reply has no memory"),
        settled: |s| s.misbehaviour.nonsense == 1,
    },
    Case {
        operation: "malformed_error",
        error: Some("its error is malformed"),
        settled: |s| s.misbehaviour.nonsense == 1,
    },
    Case {
        operation: "ugly_error",
        error: Some("line one line two"),
        settled: |s| s.misbehaviour == Default::default(),
    },
];

#[tokio::test]
async fn requests_gone_wrong() {
    for case in CASES {
        let name = case.operation;
        let connector = hostile("").await;
        let outcome = ask(&connector, name).await;
        match (&outcome, case.error) {
            (Ok(()), None) => {}
            (Err(error), Some(fragment)) => {
                let text = error.to_string();
                assert!(
                    text.starts_with("connector hostile (hostile 6.6.6): "),
                    "{name}: {text}"
                );
                assert!(
                    text.contains(fragment) && !text.contains(char::is_control),
                    "{name}: {text}"
                );
            }
            _ => panic!("{name}: {outcome:?}"),
        }
        eventually(name, || {
            let status = connector.status();
            (case.settled)(&status) && status.waiting == 0
        })
        .await;
        ask(&connector, "behave")
            .await
            .unwrap_or_else(|error| panic!("after {name}: {error}"));
        eventually_nothing_is_lent(name, &connector).await;
    }
}

/// The connector itself counts what it handed out and got back; a second `free` of a buffer would end the process.
async fn eventually_nothing_is_lent(name: &str, connector: &Arc<Connector>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = ask(connector, "lent").await.expect_err("tells by an error");
        let Failure::Reported(told) = &error.failure else {
            panic!("{name}: {error}");
        };
        if told.message == "0" {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{name}: {} bytes are lent",
            told.message
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn opening_gone_wrong() {
    for (behaviour, fragment) in [
        ("open_says_nothing", "neither an instance nor an error"),
        ("open_talks_nonsense", "neither an instance nor an error"),
        ("open_says_too_much", "neither an instance nor an error"),
        ("open_hangs", "did not open within 200ms"),
    ] {
        let mut spec = spec("hostile", json!({ "behaviour": behaviour }));
        spec.limits.open_timeout = Duration::from_millis(200);
        let error = Connector::open(spec).await.expect_err(behaviour);
        let text = error.to_string();
        assert!(
            text.starts_with("connector hostile (hostile 6.6.6): "),
            "{text}"
        );
        assert!(text.contains(fragment), "{behaviour}: {text}");
    }
}

#[tokio::test]
async fn calls_that_hang_hang_alone() {
    let stuck = hostile("").await;
    let fine = hostile("").await;
    let started = Instant::now();
    let error = ask(&stuck, "hang").await.expect_err("hangs");
    assert!(matches!(error.failure, Failure::TimedOut(_)), "{error}");
    // Its thread is lost; whoever asks it next is told in time, and nothing piles up.
    for _ in 0..3 {
        let error = ask(&stuck, "behave").await.expect_err("its thread is lost");
        assert!(matches!(error.failure, Failure::TimedOut(_)), "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!((stuck.status().owed, stuck.status().waiting), (1, 0));
    eventually("it shows", || stuck.status().stuck_ms.is_some()).await;
    ask(&fine, "behave").await.expect("a neighbour");
    assert!(!stuck.close(SHORT).await, "nothing closes it");

    let deaf = hostile("cancel_hangs").await;
    ask(&deaf, "never").await.expect_err("given up");
    ask(&deaf, "behave").await.expect_err("cancelling hangs");
    let obstinate = hostile("close_hangs").await;
    ask(&obstinate, "behave").await.expect("until it is closed");
    assert!(!obstinate.close(SHORT).await);
}

#[tokio::test]
async fn dropped_while_requests_are_under_way() {
    for operation in ["late", "late_and_twice", "never"] {
        let connector = hostile("").await;
        let asked = connector.clone();
        let asking = tokio::spawn(async move { ask(&asked, operation).await });
        eventually("the request", || connector.status().waiting == 1).await;
        asking.abort();
        drop(connector);
    }
    // Their completions come when nobody is left to be told.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    ask(&hostile("").await, "behave")
        .await
        .expect("the daemon lives");
}

#[tokio::test]
async fn answers_that_never_come_are_bounded() {
    let mut spec = spec("hostile", json!({ "behaviour": "" }));
    spec.limits.query_timeout = Duration::ZERO;
    spec.limits.concurrent_requests = 300;
    let connector = Connector::open(spec).await.unwrap();
    let asking: Vec<_> = (0..300)
        .map(|_| {
            let connector = connector.clone();
            tokio::spawn(async move { ask(&connector, "never").await })
        })
        .collect();
    for asked in asking {
        asked.await.unwrap().expect_err("never");
    }
    let error = ask(&connector, "behave")
        .await
        .expect_err("it owes too much");
    assert!(matches!(error.failure, Failure::Silent(_)), "{error}");
}

#[tokio::test]
async fn pages_that_are_too_large_are_not_taken() {
    let mut spec = spec("hostile", json!({ "behaviour": "" }));
    spec.limits.page_bytes = 1 << 20;
    let connector = Connector::open(spec).await.unwrap();
    let mut cursor = query(&connector, "many", json!(null)).await.unwrap();
    let error = cursor.next(1, 100, PATIENCE).await.expect_err("3 MiB");
    assert_eq!(error.code(), "too_large");
    assert!(
        cursor.next(1, 100, PATIENCE).await.unwrap().last,
        "it is closed"
    );
    eventually_nothing_is_lent("too large", &connector).await;
}
