//! Posts notifications to a URL, as Argus JSON or as the body of Alertmanager's webhook.

mod alertmanager;
mod config;

use argus_plugin::{Error, Host, Notification, Receipt, Request, Sink};

use config::{Config, Format};

/// The sink.
#[derive(Debug)]
pub struct Webhook {
    config: Config,
}

impl Sink for Webhook {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        config.validate()?;
        Ok(Self { config })
    }

    fn deliver(
        &self,
        host: &Host,
        notification: &Notification,
        key: &str,
    ) -> Result<Receipt, Error> {
        let body = match self.config.format {
            Format::Argus => argus_body(notification, key),
            Format::Alertmanager => alertmanager::body(notification, &self.config, host.now_ms())?,
        };
        let answer = Request::post(&self.config.target, &self.config.path)
            .header("idempotency-key", key)
            .json(&body)
            .send(host)?
            .require_success()?;
        Ok(Receipt {
            remote_id: None,
            message: Some(format!("answered {}", answer.status)),
        })
    }
}

/// The notification's fields under a version, so that receivers can tell when the shape changes.
fn argus_body(notification: &Notification, key: &str) -> serde_json::Value {
    serde_json::json!({
        "version": "1",
        "idempotency_key": key,
        "notification": notification.to_json(),
    })
}

argus_plugin::sink!(
    Webhook,
    config_schema = include_str!("../config.schema.json")
);

#[cfg(test)]
mod tests {
    use argus_plugin::{Response, testing};
    use serde_json::json;

    use super::*;

    fn deliver(config: serde_json::Value, notification: &Notification) -> testing::Host {
        let host = testing::Host::new().respond("webhook", 202, "");
        let webhook: Webhook = testing::sink(config).expect("good settings");
        let receipt = webhook
            .deliver(&host, notification, "key-1")
            .expect("delivered");
        assert_eq!(receipt.message.as_deref(), Some("answered 202"));
        host
    }

    #[test]
    fn argus_json_carries_every_field() {
        let host = deliver(json!({ "path": "/hooks/argus" }), &testing::notification());
        let request = &host.requests()[0];
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("POST", "/hooks/argus")
        );
        assert_eq!(request.header_value("Idempotency-Key"), Some("key-1"));
        assert_eq!(
            request.header_value("content-type"),
            Some("application/json")
        );
        let body = host.last_json();
        assert_eq!(body["version"], "1");
        assert_eq!(body["idempotency_key"], "key-1");
        let notification = &body["notification"];
        assert_eq!(notification["event"], "firing");
        assert_eq!(notification["entity"], "db-01");
        assert_eq!(notification["probability"], 0.87);
        assert_eq!(notification["updated_at"], "2026-02-03T04:05:06.789Z");
        assert_eq!(notification["expected_breach"], "2026-02-03T06:05:06.789Z");
        assert_eq!(notification["labels"]["condition"], "breach_8h");
        let fields = notification.as_object().expect("an object");
        assert!(
            fields.values().all(|value| !value.is_null()),
            "{notification}"
        );
    }

    #[test]
    fn alertmanager_body_is_version_4() {
        let config = json!({ "format": "alertmanager", "receiver": "night-shift", "labels": { "team": "ops" } });
        let body = deliver(config, &testing::notification()).last_json();
        assert_eq!(body["version"], "4");
        assert_eq!(body["status"], "firing");
        assert_eq!(body["receiver"], "night-shift");
        assert_eq!(body["truncatedAlerts"], 0);
        assert_eq!(
            body["groupLabels"],
            json!({ "alertname": "ArgusForecastBreach" })
        );
        assert_eq!(body["groupKey"], "{}:{alertname=\"ArgusForecastBreach\"}");
        assert_eq!(body["externalURL"], "http://argus.example");
        let alert = &body["alerts"][0];
        assert_eq!(alert["status"], "firing");
        assert_eq!(alert["labels"]["server"], "db-01");
        assert_eq!(alert["labels"]["team"], "ops");
        assert_eq!(alert["labels"], body["commonLabels"]);
        assert_eq!(alert["generatorURL"], "http://argus.example/servers/db-01");
        assert_eq!(
            alert["endsAt"], "0001-01-01T00:00:00Z",
            "Alertmanager's webhook names no end while firing"
        );
        assert_eq!(alert["fingerprint"].as_str().map(str::len), Some(16));
    }

    #[test]
    fn alertmanager_body_of_a_resolved_alert() {
        let mut notification = testing::notification();
        notification.event = "resolved".into();
        notification.ends_at_ms = Some(notification.updated_at_ms);
        let body = deliver(json!({ "format": "alertmanager" }), &notification).last_json();
        assert_eq!(body["status"], "resolved");
        assert_eq!(body["alerts"][0]["status"], "resolved");
        assert_eq!(body["alerts"][0]["endsAt"], "2026-02-03T04:05:06.789Z");
    }

    #[test]
    fn alertmanager_body_of_a_changed_severity() {
        let mut notification = testing::notification();
        notification.event = "severity_changed".into();
        let body = deliver(json!({ "format": "alertmanager" }), &notification).last_json();
        assert_eq!(body["status"], "firing");
        let member = |i: usize| {
            (
                &body["alerts"][i]["labels"]["severity"],
                &body["alerts"][i]["status"],
            )
        };
        assert_eq!(member(0), (&json!("critical"), &json!("firing")));
        assert_eq!(member(1), (&json!("warning"), &json!("resolved")));
        assert_eq!(body["commonLabels"]["server"], "db-01");
        assert!(body["commonLabels"].get("severity").is_none());
    }

    #[test]
    fn answers_decide_about_retries() {
        for (status, retryable) in [
            (400, false),
            (401, false),
            (404, false),
            (429, true),
            (500, true),
            (503, true),
        ] {
            let answer = Response {
                status,
                body: b"because".to_vec(),
                ..Response::default()
            };
            let host = testing::Host::new().respond_with("webhook", answer);
            let webhook: Webhook = testing::sink(json!({})).expect("good settings");
            let error = webhook
                .deliver(&host, &testing::notification(), "k")
                .expect_err("no success");
            assert_eq!(error.retryable, retryable, "{status}");
            assert_eq!(
                error.message,
                format!("the target answered {status}: because")
            );
        }
        let host = testing::Host::new().fail("webhook", Error::retryable("timed_out", "no answer"));
        let webhook: Webhook = testing::sink(json!({})).expect("good settings");
        assert!(
            webhook
                .deliver(&host, &testing::notification(), "k")
                .expect_err("no answer")
                .retryable
        );
    }

    #[test]
    fn bad_settings_are_named() {
        for (config, fragment) in [
            (json!({ "fromat": "argus" }), "unknown field `fromat`"),
            (
                json!({ "format": "xml" }),
                "config.format: unknown variant `xml`",
            ),
            (
                json!({ "labels": { "team": 1 } }),
                "config.labels.team: invalid type",
            ),
            (json!({ "hold_secs": 1 }), "hold_secs must be at least 60"),
            (json!({ "target": "" }), "target must not be empty"),
        ] {
            let error = testing::sink::<Webhook>(config).expect_err(fragment);
            assert_eq!(error.code, "invalid_config");
            assert!(error.message.contains(fragment), "{error}");
        }
    }

    #[test]
    fn the_schema_matches() {
        testing::check_config_schema::<Config>(include_str!("../config.schema.json"));
    }
}
