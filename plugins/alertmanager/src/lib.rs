//! Posts alerts to Prometheus Alertmanager, `POST /api/v2/alerts`.
//!
//! Alertmanager keeps an alert by its labels and drops it when its `endsAt` passes. Labels are therefore stable over
//! an alert's life (a change of severity ends one alert and begins another), `endsAt` lies ahead while it fires (each refresh moves it on), and is now once it is resolved.
//! Posting the same alert twice changes nothing there, so retries are harmless.

use std::collections::BTreeMap;

use argus_formats::{AlertSettings, alerts};
use argus_plugin::{Error, Host, Notification, Receipt, Request, Sink};
use serde::Deserialize;

/// `[plugins.NAME.config]`; `config.schema.json` describes it for tools.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name of the target to post to.
    target: String,
    /// Label `alertname`; else the daemon's.
    alertname: Option<String>,
    /// Labels added to every alert.
    labels: BTreeMap<String, String>,
    /// How long an alert that names no end lives on, in seconds.
    hold_secs: u32,
    /// Whether `check` asks Alertmanager.
    require_ready: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            target: "alertmanager".into(),
            alertname: None,
            labels: BTreeMap::new(),
            hold_secs: 900,
            require_ready: false,
        }
    }
}

/// The sink.
#[derive(Debug)]
pub struct Alertmanager {
    target: String,
    require_ready: bool,
    settings: AlertSettings,
}

impl Sink for Alertmanager {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        if config.target.is_empty() {
            return Err(Error::new(
                "invalid_config",
                "config.target must not be empty",
            ));
        }
        let settings = AlertSettings {
            alertname: config.alertname,
            labels: config.labels,
            hold_secs: config.hold_secs,
        };
        settings.validate()?;
        Ok(Self {
            target: config.target,
            require_ready: config.require_ready,
            settings,
        })
    }

    fn check(&self, host: &Host) -> Result<(), Error> {
        if self.require_ready {
            Request::get(&self.target, "-/ready")
                .send(host)?
                .require_success()?;
        }
        Ok(())
    }

    fn deliver(
        &self,
        host: &Host,
        notification: &Notification,
        _key: &str,
    ) -> Result<Receipt, Error> {
        let alerts = alerts(notification, &self.settings, host.now_ms());
        let fingerprint = alerts[0].fingerprint();
        Request::post(&self.target, "api/v2/alerts")
            .json(&alerts)
            .send(host)?
            .require_success()?;
        Ok(Receipt {
            remote_id: Some(fingerprint),
            message: None,
        })
    }
}

argus_plugin::sink!(
    Alertmanager,
    config_schema = include_str!("../config.schema.json")
);

#[cfg(test)]
mod tests {
    use argus_plugin::testing;
    use serde_json::json;

    use super::*;

    fn sink(config: serde_json::Value) -> Alertmanager {
        testing::sink(config).expect("good settings")
    }

    #[test]
    fn a_firing_alert() {
        let host = testing::Host::new().respond("alertmanager", 200, "");
        let receipt = sink(json!({ "labels": { "team": "ops" } }))
            .deliver(&host, &testing::notification(), "k")
            .expect("delivered");
        assert_eq!(host.requests()[0].path, "api/v2/alerts");
        assert_eq!(
            host.last_json(),
            json!([{
                "labels": {
                    "alertname": "ArgusForecastBreach",
                    "condition": "breach_8h",
                    "metric": "mem_used_pct",
                    "profile": "database",
                    "server": "db-01",
                    "severity": "critical",
                    "team": "ops",
                },
                "annotations": {
                    "current": "81.5",
                    "drivers": "mem_used_pct, swap_used_pct, io_wait_pct",
                    "expected_breach": "2026-02-03T06:05:06.789Z",
                    "level": "warning",
                    "probability": "0.87",
                    "summary": "db-01: mem_used_pct reaches 95 % in 2 h (87 %)",
                    "threshold": "95",
                },
                "startsAt": "2026-02-03T03:50:06.789Z",
                "endsAt": "2026-02-03T04:20:06.789Z",
                "generatorURL": "http://argus.example/servers/db-01",
            }])
        );
        assert_eq!(receipt.remote_id.as_deref().map(str::len), Some(16));
    }

    #[test]
    fn refresh_and_resolve_speak_of_the_same_alert() {
        let host = testing::Host::new().respond("alertmanager", 200, "");
        let mut notification = testing::notification();
        let mut seen = Vec::new();
        for (event, minutes) in [
            ("firing", 0),
            ("refresh", 5),
            ("refresh", 10),
            ("resolved", 12),
        ] {
            let now = testing::notification().updated_at_ms + minutes * 60_000;
            let host = testing::Host::new()
                .respond("alertmanager", 200, "")
                .at(now);
            notification.event = event.into();
            notification.updated_at_ms = now;
            notification.ends_at_ms = Some(if event == "resolved" {
                now
            } else {
                now + 900_000
            });
            sink(json!({}))
                .deliver(&host, &notification, event)
                .expect("delivered");
            seen.push(host.last_json()[0].clone());
        }
        drop(host);
        assert!(
            seen.iter()
                .all(|alert| alert["labels"] == seen[0]["labels"])
        );
        assert!(
            seen.iter()
                .all(|alert| alert["startsAt"] == seen[0]["startsAt"])
        );
        assert_eq!(seen[2]["endsAt"], "2026-02-03T04:30:06.789Z");
        assert_eq!(seen[3]["endsAt"], "2026-02-03T04:17:06.789Z");
    }

    #[test]
    fn check_asks_only_when_told() {
        let silent = testing::Host::new();
        sink(json!({})).check(&silent).expect("nothing asked");
        assert!(silent.requests().is_empty());
        let ready = testing::Host::new().respond("alertmanager", 503, "starting");
        let error = sink(json!({ "require_ready": true }))
            .check(&ready)
            .expect_err("not ready");
        assert!(error.retryable, "{error}");
        assert_eq!(ready.requests()[0].method, "GET");
    }

    #[test]
    fn bad_settings_are_named() {
        for (config, fragment) in [
            (json!({ "alertnam": "x" }), "unknown field `alertnam`"),
            (json!({ "alertname": "" }), "alertname must not be empty"),
            (
                json!({ "hold_secs": "soon" }),
                "config.hold_secs: invalid type",
            ),
        ] {
            let error = testing::sink::<Alertmanager>(config).expect_err(fragment);
            assert!(error.message.contains(fragment), "{error}");
        }
    }

    #[test]
    fn the_schema_matches() {
        testing::check_config_schema::<Config>(include_str!("../config.schema.json"));
    }
}
