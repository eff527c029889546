//! What every sink must get right, whatever it carries notifications to.
//!
//! One case of the plugin's own says how it is configured and what a good answer looks like; the suite then changes one
//! thing at a time. Plugins of other kinds are held to the part that all share: manifest, settings, check.

use std::path::Path;
use std::sync::Arc;

use argus_plugin_host::{
    Failure, Plugin, PluginError, PluginKind, PluginSpec, SecretSource, SinkNotification,
    TargetSpec,
};
use serde_json::{Value, json};

use crate::case::input::{self, Delivery};
use crate::case::{Case, Outcome, Workbench, error_json, plugin_name, services};
use crate::errors::ToolError;
use crate::inspect;
use crate::receiver::{Answer, Received, Receiver};

const SECRET: &str = "conformance-secret-1f9a";
const KEY: &str = "conformance-key-77";
/// That of the sample.
const FINGERPRINT: &str = "a1b2c3d4e5f60718";
const EVENTS: [&str; 7] = [
    "firing",
    "refresh",
    "severity_changed",
    "acknowledged",
    "resolved",
    "test",
    "a_word_of_the_future",
];
const SEVERITIES: [&str; 3] = ["critical", "warning", "degraded"];

/// Runs the suite. `case` gives settings, targets and good answers.
///
/// # Errors
/// When the component cannot be read, or the workbench fails; what a plugin gets wrong is an outcome.
pub fn run(bench: &Workbench, wasm: &Path, case: &Case) -> Result<Vec<Outcome>, ToolError> {
    let bytes = std::fs::read(wasm).map_err(ToolError::file("read", wasm))?;
    let report = inspect::inspect(&bytes).map_err(|reason| ToolError::content(wasm, reason))?;
    let mut suite = Suite {
        bench,
        wasm,
        case,
        kind: PluginKind::Sink,
        outcomes: Vec::new(),
    };
    suite.note(
        "it has a manifest and imports only what its kind may have",
        report.problems(),
    );
    let Some(kind) = report.kind.and_then(PluginKind::from_name) else {
        return Ok(suite.outcomes);
    };
    suite.kind = kind;
    let schema = report
        .manifest
        .map_or(Value::Null, |manifest| manifest.config_schema);
    suite.settings(&schema)?;
    if kind == PluginKind::Sink {
        suite.deliveries()?;
        suite.answers()?;
        suite.secrets()?;
    }
    Ok(suite.outcomes)
}

struct Suite<'a> {
    bench: &'a Workbench,
    wasm: &'a Path,
    case: &'a Case,
    kind: PluginKind,
    outcomes: Vec<Outcome>,
}

impl Suite<'_> {
    fn note(&mut self, name: &str, differences: Vec<String>) {
        let name = format!("conformance: {name}");
        self.outcomes.push(Outcome { name, differences });
    }

    /// Settings: described, checked, and refused in words that name them.
    fn settings(&mut self, schema: &Value) -> Result<(), ToolError> {
        let described = schema["type"] == "object" && schema["properties"].is_object();
        let closed = schema["additionalProperties"] == false;
        let mut found = Vec::new();
        if !described {
            found.push("the manifest holds no JSON Schema of an object with properties".to_owned());
        } else if !closed {
            found.push("the schema lacks \"additionalProperties\": false".to_owned());
        }
        self.note(
            "its settings are described by a schema that is closed",
            found,
        );

        let good = self.check(self.case.config.clone())?;
        let failed = good.err().map(|error| format!("check failed: {error}"));
        self.note(
            "the case's settings pass its check",
            failed.into_iter().collect(),
        );

        let mut odd = self.case.config.clone();
        if odd.is_null() {
            odd = json!({});
        }
        odd["setting_that_is_none"] = json!(1);
        let refused = self.check(odd)?;
        let found = names_it(refused, "setting_that_is_none");
        self.note("an unknown setting is refused by name", found);

        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for name in required.iter().filter_map(Value::as_str) {
            let mut without = self.case.config.clone();
            if let Some(settings) = without.as_object_mut() {
                settings.remove(name);
            }
            let refused = self.check(without)?;
            self.note(
                &format!("without the setting `{name}` it is refused by name"),
                names_it(refused, name),
            );
        }
        Ok(())
    }

    /// Every kind of notification, sparse ones and oversized ones; the key goes along.
    fn deliveries(&mut self) -> Result<(), ToolError> {
        let mut found = Vec::new();
        for event in EVENTS {
            for severity in SEVERITIES {
                let input = json!({ "event": event, "severity": severity });
                let (result, _) = self.deliver(&input, None)?;
                let told = |error: PluginError| format!("{event}, {severity}: {error}");
                found.extend(result.err().map(told));
            }
        }
        self.note("every kind of notification is delivered", found);

        let sparse = json!({
            "metric": null, "unit": null, "threshold": null, "probability": null, "current_value": null,
            "expected_breach_ms": null, "ends_at_ms": null, "risk_score": null, "link": null, "summary": "",
        });
        let (result, _) = self.deliver(&sparse, None)?;
        let found = result.err().map(|error| error.to_string());
        self.note(
            "a notification without anything optional is delivered",
            found.into_iter().collect(),
        );

        let long = "ä\"\\<&>\n".repeat(20_000);
        let labels: serde_json::Map<String, Value> = (0..200)
            .map(|i| (format!("label_{i}"), json!("x".repeat(500))))
            .collect();
        let oversized = json!({ "summary": long, "entity": "e".repeat(5000), "labels": labels });
        let (result, _) = self.deliver(&oversized, None)?;
        let found = result.err().filter(|error| is_fault(&error.failure));
        let found = found.map(|error| error.to_string());
        self.note("oversized text costs no fault", found.into_iter().collect());

        let (_, received) = self.deliver(&json!({}), None)?;
        let (_, again) = self.deliver(&json!({}), None)?;
        let bodies = |requests: &[Received]| -> Vec<Vec<u8>> {
            requests
                .iter()
                .map(|request| request.body.clone())
                .collect()
        };
        let holds = |text: &str| received.iter().any(|request| request.text().contains(text));
        let mut found = Vec::new();
        if received.is_empty() {
            found.push("it sent no request".to_owned());
        } else if !holds(KEY) && !holds(FINGERPRINT) && bodies(&received) != bodies(&again) {
            found.push(format!(
                "no request holds the key {KEY} or the fingerprint {FINGERPRINT}, and two attempts differ"
            ));
        }
        self.note(
            "the far side can tell a second attempt from a second notification",
            found,
        );
        Ok(())
    }

    /// What the far side answers decides about another attempt.
    fn answers(&mut self) -> Result<(), ToolError> {
        for (status, retryable) in [
            (429, true),
            (500, true),
            (503, true),
            (400, false),
            (403, false),
        ] {
            let (result, _) = self.deliver(&json!({}), Some(Answer::new(status, "because")))?;
            let mut found = Vec::new();
            match result {
                Ok(_) => found.push("it was taken for delivered".to_owned()),
                Err(error) if is_fault(&error.failure) => found.push(error.to_string()),
                Err(error) if error.retryable() != retryable => {
                    found.push(format!(
                        "retryable should be {retryable}: {}",
                        error_json(&error)
                    ));
                }
                Err(_) => {}
            }
            let then = if retryable {
                "is tried again"
            } else {
                "is given up"
            };
            self.note(
                &format!("after an answer {status} the notification {then}"),
                found,
            );
        }
        Ok(())
    }

    /// A far side that sends everything back must not make a secret visible.
    fn secrets(&mut self) -> Result<(), ToolError> {
        let mut found = Vec::new();
        for status in [200, 400] {
            let (result, received) = self.deliver_with(&json!({}), move |request: &Received| {
                Answer::new(status, request.text())
            })?;
            let sent = received
                .iter()
                .any(|request| request.text().contains(SECRET));
            if !sent {
                found.push("the secret did not reach the far side".to_owned());
            }
            let shown = match result {
                Ok(answer) => answer.to_string(),
                Err(error) => format!("{error} {}", error_json(&error)),
            };
            if shown.contains(SECRET) {
                found.push(format!("the secret is visible: {shown}"));
            }
        }
        self.note("a secret that the far side sends back stays hidden", found);
        Ok(())
    }

    fn check(&self, config: Value) -> Result<Result<(), PluginError>, ToolError> {
        let receivers = self.receivers(Arc::new(|_: &Received| Answer::new(200, "{}")))?;
        let spec = self.spec(config, &receivers);
        let host = self.bench.host(services(self.case)?)?;
        Ok(self.bench.block_on(async {
            let plugin = host.load(spec).await?;
            plugin.check().await
        }))
    }

    /// Delivers a notification; the far side gives the case's answers, or this one.
    fn deliver(
        &self,
        input: &Value,
        answer: Option<Answer>,
    ) -> Result<(Result<Value, PluginError>, Vec<Received>), ToolError> {
        let mut described = self
            .case
            .targets
            .values()
            .flat_map(|target| &target.answers);
        let good = described
            .next()
            .map_or_else(|| Answer::new(200, "{}"), Answer::from);
        let answer = answer.unwrap_or(good);
        self.deliver_with(input, move |_: &Received| answer.clone())
    }

    fn deliver_with(
        &self,
        input: &Value,
        behaviour: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) -> Result<(Result<Value, PluginError>, Vec<Received>), ToolError> {
        let receivers = self.receivers(Arc::new(behaviour))?;
        let spec = self.spec(self.case.config.clone(), &receivers);
        let host = self.bench.host(services(self.case)?)?;
        let input = json!({ "notification": input, "idempotency_key": KEY });
        let delivery: Delivery =
            input::read(input::delivery_sample(), &input).map_err(ToolError::Refused)?;
        let notification = SinkNotification::from(delivery.notification);
        let result = self.bench.block_on(async {
            let plugin: Arc<Plugin> = host.load(spec).await?;
            let receipt = plugin
                .deliver(&notification, &delivery.idempotency_key)
                .await?;
            Ok(json!({ "remote_id": receipt.remote_id, "message": receipt.message }))
        });
        let received = receivers
            .iter()
            .flat_map(|(_, receiver)| receiver.received());
        Ok((result, received.collect()))
    }

    fn receivers(
        &self,
        behaviour: Arc<dyn Fn(&Received) -> Answer + Send + Sync>,
    ) -> Result<Vec<(String, Receiver)>, ToolError> {
        let start = |name: &String| {
            let behaviour = behaviour.clone();
            let receiver = Receiver::start(([127, 0, 0, 1], 0).into(), move |r| behaviour(r));
            let receiver = receiver.map_err(ToolError::file("listen for", Path::new(name)))?;
            Ok((name.clone(), receiver))
        };
        self.case.targets.keys().map(start).collect()
    }

    /// The case's settings and targets, each target with one more secret in one more header.
    fn spec(&self, config: Value, receivers: &[(String, Receiver)]) -> PluginSpec {
        let mut spec = PluginSpec::new(plugin_name(self.wasm), self.kind, self.wasm);
        spec.config = config;
        for (name, receiver) in receivers {
            let described = &self.case.targets[name];
            let mut target = TargetSpec::new(format!("http://{}/", receiver.address()));
            target.methods = described.methods.clone();
            target.headers = described.headers.clone();
            target
                .headers
                .insert("x-conformance".into(), "{{secret:conformance}}".into());
            for (name, value) in &described.secrets {
                target
                    .secrets
                    .insert(name.clone(), SecretSource::Value(value.clone()));
            }
            let secret = SecretSource::Value(SECRET.into());
            target.secrets.insert("conformance".into(), secret);
            spec.targets.insert(name.clone(), target);
        }
        spec
    }
}

/// What is wrong with a refusal that should have named a setting.
fn names_it(result: Result<(), PluginError>, name: &str) -> Vec<String> {
    match result {
        Ok(()) => vec!["it was accepted".to_owned()],
        Err(error) if is_fault(&error.failure) => vec![error.to_string()],
        Err(error) if !error.to_string().contains(name) => {
            vec![format!("the error does not name `{name}`: {error}")]
        }
        Err(_) => Vec::new(),
    }
}

/// Traps, panics and exceeded limits: what a plugin must not come to by itself.
fn is_fault(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Panicked(_)
            | Failure::Trapped(_)
            | Failure::TimedOut(_)
            | Failure::ComputeExceeded(_)
            | Failure::MemoryExceeded { .. }
            | Failure::StackExhausted
            | Failure::TooMuchData { .. }
    )
}
