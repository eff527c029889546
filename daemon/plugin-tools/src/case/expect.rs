//! What is expected, held against what happened.

use serde_json::{Map, Value, json};

use super::{Expect, Request};
use crate::diff::diff;
use crate::receiver::Received;

/// What happened in a case.
#[derive(Debug)]
pub(super) struct Happened {
    /// Requests with the names of their targets, in the order in which they arrived at each.
    pub requests: Vec<(String, Received)>,
    /// The answer, or code, message and whether to try again.
    pub result: Result<Value, Value>,
}

/// Differences for people; empty if all is as expected.
pub(super) fn differences(expect: &Expect, happened: &Happened) -> Vec<String> {
    let mut found = Vec::new();
    match (&expect.ok, &expect.error, &happened.result) {
        (Some(ok), _, Ok(answer)) => compare("answer", ok, answer, &mut found),
        (_, Some(error), Err(actual)) => compare("error", error, actual, &mut found),
        (_, Some(error), Ok(answer)) => found.push(format!(
            "expected the error {error}, but the call ended well: {answer}"
        )),
        (_, None, Err(error)) => {
            let message = error["message"].as_str().unwrap_or_default();
            found.push(format!("the call failed: {message}"));
        }
        (None, None, Ok(_)) => {}
    }
    if let Some(expected) = &expect.requests {
        let wanted: Vec<Value> = expected.iter().map(wanted).collect();
        let actual: Vec<Value> = expected
            .iter()
            .map(Some)
            .chain(std::iter::repeat(None))
            .zip(&happened.requests)
            .map(|(request, (target, received))| seen(request, target, received))
            .collect();
        compare("requests", &json!(wanted), &json!(actual), &mut found);
    }
    found
}

fn compare(what: &str, expected: &Value, actual: &Value, found: &mut Vec<String>) {
    if !contains(actual, expected) {
        let lines = diff(&pretty(expected), &pretty(&restricted(actual, expected)));
        found.push(format!("{what} (- expected, + actual):\n{lines}"));
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// Whether everything expected is there: objects may have more members, texts that end in `…` may go on.
fn contains(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => expected
            .iter()
            .all(|(name, value)| actual.get(name).is_some_and(|found| contains(found, value))),
        (Value::Array(actual), Value::Array(expected)) => {
            actual.len() == expected.len()
                && actual.iter().zip(expected).all(|(a, e)| contains(a, e))
        }
        (Value::String(actual), Value::String(expected)) => match expected.strip_suffix('…') {
            Some(beginning) => actual.starts_with(beginning),
            None => actual == expected,
        },
        (Value::Number(actual), Value::Number(expected)) => {
            actual == expected || same_number(actual.as_f64(), expected.as_f64())
        }
        _ => actual == expected,
    }
}

/// Numbers that went through single precision are close, not equal.
fn same_number(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-5 * a.abs().max(b.abs()),
        _ => false,
    }
}

/// What is expected nowhere is left out of a diff, and what is as expected shows as it was expected.
fn restricted(actual: &Value, expected: &Value) -> Value {
    if contains(actual, expected) {
        return expected.clone();
    }
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            let members = expected.iter().filter_map(|(name, wanted)| {
                Some((name.clone(), restricted(actual.get(name)?, wanted)))
            });
            Value::Object(members.collect())
        }
        (Value::Array(actual), Value::Array(expected)) => {
            let items = actual.iter().enumerate();
            let items = items.map(|(i, item)| match expected.get(i) {
                Some(wanted) => restricted(item, wanted),
                None => item.clone(),
            });
            Value::Array(items.collect())
        }
        _ => actual.clone(),
    }
}

/// A request as a case names it.
fn wanted(request: &Request) -> Value {
    let mut members = Map::new();
    members.insert("target".into(), json!(request.target));
    if let Some(method) = &request.method {
        members.insert("method".into(), json!(method));
    }
    if let Some(path) = &request.path {
        members.insert("path".into(), json!(path));
    }
    if !request.headers.is_empty() {
        members.insert("headers".into(), json!(request.headers));
    }
    if let Some(body) = &request.json {
        members.insert("json".into(), body.clone());
    }
    if let Some(body) = &request.body {
        members.insert("body".into(), json!(body));
    }
    Value::Object(members)
}

/// A request that arrived, in the shape of the one that was expected there.
fn seen(expected: Option<&Request>, target: &str, received: &Received) -> Value {
    let headers: Map<String, Value> = received
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    let text = String::from_utf8_lossy(&received.body);
    let mut members = Map::new();
    members.insert("target".into(), json!(target));
    members.insert("method".into(), json!(received.method));
    members.insert("path".into(), json!(received.path));
    if expected.is_some_and(|request| !request.headers.is_empty()) {
        members.insert("headers".into(), Value::Object(headers));
    }
    if expected.is_some_and(|request| request.body.is_some()) {
        members.insert("body".into(), json!(text));
    } else {
        let body = serde_json::from_slice(&received.body);
        members.insert("json".into(), body.unwrap_or_else(|_| json!(text)));
    }
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happened(result: Result<Value, Value>, body: &str) -> Happened {
        let request = Received {
            method: "POST".into(),
            path: "/messages".into(),
            headers: vec![
                ("idempotency-key".into(), "k".into()),
                ("host".into(), "x".into()),
            ],
            body: body.as_bytes().to_vec(),
        };
        Happened {
            requests: vec![("chat".into(), request)],
            result,
        }
    }

    fn check(expect: Value, happened: &Happened, expected: &[&str]) {
        let expect: Expect = serde_json::from_value(expect).expect("an expectation");
        assert_eq!(differences(&expect, happened), expected);
    }

    #[test]
    fn what_is_not_named_may_be_anything() {
        let happened = happened(
            Ok(json!({ "remote_id": "42", "message": null })),
            r#"{"text":"hello","n":1}"#,
        );
        check(json!({}), &happened, &[]);
        check(json!({ "ok": { "remote_id": "42" } }), &happened, &[]);
        let request = json!({ "target": "chat", "path": "/messages", "headers": { "idempotency-key": "k" }, "json": { "text": "hel…" } });
        check(json!({ "requests": [request] }), &happened, &[]);
    }

    #[test]
    fn differences_show_expected_and_actual() {
        let happened = happened(Ok(json!({})), r#"{"text":"hello","n":1}"#);
        check(
            json!({ "requests": [{ "target": "chat", "json": { "text": "bye", "n": 1.0 } }] }),
            &happened,
            &[
                "requests (- expected, + actual):\n  [\n    {\n      \"target\": \"chat\",\n      \"json\": {\n-       \"text\": \"bye\",\n+       \"text\": \"hello\",\n        \"n\": 1.0\n      }\n    }\n  ]",
            ],
        );
        check(
            json!({ "requests": [] }),
            &happened,
            &[
                "requests (- expected, + actual):\n- []\n+ [\n+   {\n+     \"target\": \"chat\",\n+     \"method\": \"POST\",\n+     \"path\": \"/messages\",\n+     \"json\": {\n+       \"text\": \"hello\",\n+       \"n\": 1\n+     }\n+   }\n+ ]",
            ],
        );
    }

    #[test]
    fn results_are_judged() {
        let failed = happened(
            Err(
                json!({ "code": "http_500", "message": "the target answered 500", "retryable": true }),
            ),
            "",
        );
        check(
            json!({}),
            &failed,
            &["the call failed: the target answered 500"],
        );
        check(
            json!({ "error": { "code": "http_500", "retryable": true } }),
            &failed,
            &[],
        );
        check(
            json!({ "error": { "retryable": false } }),
            &failed,
            &[
                "error (- expected, + actual):\n  {\n-   \"retryable\": false\n+   \"retryable\": true\n  }",
            ],
        );
        let fine = happened(Ok(json!({})), "");
        check(
            json!({ "error": { "code": "x" } }),
            &fine,
            &["expected the error {\"code\":\"x\"}, but the call ended well: {}"],
        );
    }
}
