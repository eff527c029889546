//! Doubles numbers. What `argus plugin bench` measures: its check does nothing, and its explanation takes a metric's
//! values from the host, doubles them and hands them back.

use argus_plugin::explainer::{Explanation, Subject};
use argus_plugin::model::{Edit, Output};
use argus_plugin::{Error, Explainer, Host};

/// The explainer.
#[derive(Debug)]
pub struct Bench;

/// It has no settings.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Explainer for Bench {
    type Config = Config;

    fn new(_: Config) -> Result<Self, Error> {
        Ok(Self)
    }

    fn explain(&self, host: &Host, subject: &Subject) -> Result<Explanation, Error> {
        let window = host.window(&subject.entity, &[])?;
        let steps = window.shape().context_steps;
        let mut values = window.values(0)?;
        for value in &mut values {
            *value *= 2.0;
        }
        let edits = [Edit::replace(0, 0, 0..steps, 0)];
        let sums = window.predict(1, &edits, &values, &[Output::risk_unclamped()])?;
        Ok(Explanation {
            summary: format!("{}", sums[0]),
            drivers: Vec::new(),
            details: "{}".to_owned(),
        })
    }
}

argus_plugin::explainer!(
    Bench,
    config_schema = r#"{"type":"object","additionalProperties":false,"properties":{}}"#
);

#[cfg(test)]
mod tests {
    use argus_plugin::testing;

    use super::*;

    #[test]
    fn numbers_are_doubled() {
        let window = testing::Window::new(&["m"], 3, 1, |context, _| context[0].iter().sum());
        let window = window.values("m", &[1.0, 2.0, 3.5]);
        let host = testing::Host::new().with_window("e", window);
        let bench: Bench = testing::explainer(serde_json::json!({})).expect("no settings");
        let subject = Subject {
            entity: "e".into(),
            profile: String::new(),
            target: "risk".into(),
            step: 0,
            options: Vec::new(),
        };
        assert_eq!(
            bench.explain(&host, &subject).expect("doubled").summary,
            "13"
        );
    }
}
