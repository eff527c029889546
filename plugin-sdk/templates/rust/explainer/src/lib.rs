//! Says what the risk would be if one metric after the other had been as usual.

use argus_plugin::explainer::{Driver, Explanation, Subject};
use argus_plugin::model::{Edit, Output};
use argus_plugin::{Error, Explainer, Host};
use serde::Deserialize;
use serde_json::json;

/// The `[plugins.NAME.config]` table; `config.schema.json` describes it for people and tools.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Drivers to tell of.
    #[serde(default = "five")]
    most: usize,
}

fn five() -> usize {
    5
}

struct MyPlugin {
    config: Config,
}

impl Explainer for MyPlugin {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        Ok(Self { config })
    }

    fn explain(&self, host: &Host, subject: &Subject) -> Result<Explanation, Error> {
        if subject.target != "risk" {
            let message = format!("my-plugin explains the risk, not {}", subject.target);
            return Err(Error::new("unknown_target", message));
        }
        let window = host.window(&subject.entity, &[])?;
        let shape = window.shape();
        let names = shape.metric_names();
        // Variant 0 is the window as it is; in each of the others one metric is replaced by its typical values.
        let variants = names.len() as u32 + 1;
        let edits: Vec<Edit> = (1..variants)
            .map(|variant| Edit::typical(variant, variant - 1, 0..shape.context_steps))
            .collect();
        let risks = window.predict(variants, &edits, &[], &[Output::risk()])?;
        let risk = risks[0];
        let mut drivers: Vec<Driver> = names
            .iter()
            .zip(&risks[1..])
            .filter(|(_, without)| without.is_finite())
            .map(|(name, without)| Driver {
                name: (*name).to_owned(),
                impact: risk - without,
                standard_error: 0.0,
                text: format!("{name} adds {:.1} to the risk", risk - without),
            })
            .collect();
        drivers.sort_by(|a, b| b.impact.abs().total_cmp(&a.impact.abs()));
        drivers.truncate(self.config.most);
        let top = drivers.first().map_or("nothing in particular", |driver| &driver.name);
        Ok(Explanation {
            summary: format!("risk {risk:.1}, most of all because of {top}"),
            details: json!({ "risk": risk, "evaluations": variants }).to_string(),
            drivers,
        })
    }
}

argus_plugin::explainer!(
    MyPlugin,
    config_schema = include_str!("../config.schema.json")
);

#[cfg(test)]
mod tests {
    use argus_plugin::testing;

    use super::*;

    #[test]
    fn the_metric_that_matters_comes_first() {
        let window = testing::Window::new(&["cpu", "mem"], 1, 1, |context, _| {
            0.25 * context[0][0] + 0.75 * context[1][0]
        });
        let window = window.values("cpu", &[40.0]).typical("cpu", &[20.0]);
        let window = window.values("mem", &[90.0]).typical("mem", &[50.0]);
        let host = testing::Host::new().with_window("db-01", window);
        let plugin: MyPlugin = testing::explainer(json!({})).expect("good settings");
        let subject = Subject {
            entity: "db-01".into(),
            profile: "database".into(),
            target: "risk".into(),
            step: 0,
            options: Vec::new(),
        };
        let explanation = plugin.explain(&host, &subject).expect("explained");
        assert_eq!(explanation.drivers[0].name, "mem");
        assert_eq!(explanation.drivers[0].impact, 30.0);
    }

    #[test]
    fn the_schema_describes_the_settings() {
        testing::check_config_schema::<Config>(include_str!("../config.schema.json"));
    }
}
