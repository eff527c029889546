//! Fetches measurements from an HTTP service, page by page.
//!
//! The service answers `GET measurements?after=N&limit=M` with `{"measurements": [{"id": 1, "host": …, "time": …,
//! "cpu": …}], "more": false}`, ordered by id. The checkpoint is the id of the last one fetched.

use argus_plugin::source::{Batch, Options};
use argus_plugin::{Error, Host, Request, Source};
use serde::Deserialize;
use serde_json::json;

/// The `[plugins.NAME.config]` table; `config.schema.json` describes it for people and tools.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Most measurements of one request.
    #[serde(default = "thousand")]
    page: u32,
}

fn thousand() -> u32 {
    1000
}

#[derive(Deserialize)]
struct Page {
    measurements: Vec<Measurement>,
    more: bool,
}

#[derive(Deserialize)]
struct Measurement {
    id: u64,
    host: Option<String>,
    time: String,
    cpu: Option<f64>,
}

struct MyPlugin {
    config: Config,
}

impl Source for MyPlugin {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        Ok(Self { config })
    }

    fn poll(&self, host: &Host, checkpoint: Option<&[u8]>, options: &Options) -> Result<Batch, Error> {
        let after = match checkpoint {
            None => 0,
            Some(checkpoint) => serde_json::from_slice::<u64>(checkpoint)?,
        };
        let limit = self.config.page.min(options.max_records);
        let page: Page = Request::get("service", &format!("measurements?after={after}&limit={limit}"))
            .send(host)?
            .require_success()?
            .json()?;
        let last = page.measurements.last().map_or(after, |measurement| measurement.id);
        let mut batch = Batch::new(last.to_string());
        batch.more = page.more;
        for Measurement { id, host: server, time, cpu } in page.measurements {
            let Some(server) = server else {
                host.warn(&format!("measurement {id} names no host"));
                batch.skipped += 1;
                continue;
            };
            // What was not measured is null, never 0.
            batch.push(&json!({ "server_name": server, "timestamp": time, "cpu_user_pct": cpu }))?;
        }
        Ok(batch)
    }
}

argus_plugin::source!(
    MyPlugin,
    config_schema = include_str!("../config.schema.json")
);

#[cfg(test)]
mod tests {
    use argus_plugin::testing;

    use super::*;

    #[test]
    fn measurements_become_records_and_the_checkpoint_moves_on() {
        let answer = json!({
            "measurements": [
                { "id": 8, "host": "web-1", "time": "2026-02-03T04:05:00Z", "cpu": 12.5 },
                { "id": 9, "time": "2026-02-03T04:05:00Z", "cpu": 1.0 },
            ],
            "more": true,
        });
        let host = testing::Host::new().respond("service", 200, answer.to_string());
        let plugin: MyPlugin = testing::source(json!({})).expect("good settings");
        let options = Options {
            max_records: 500,
            ..Options::default()
        };
        let batch = plugin.poll(&host, Some(b"7"), &options).expect("polled");
        assert_eq!(host.requests()[0].path, "measurements?after=7&limit=500");
        assert_eq!((batch.checkpoint.as_slice(), batch.skipped, batch.more), (&b"9"[..], 1, true));
        assert_eq!(batch.items.iter().filter(|byte| **byte == b'\n').count(), 1);
    }

    #[test]
    fn the_schema_describes_the_settings() {
        testing::check_config_schema::<Config>(include_str!("../config.schema.json"));
    }
}
