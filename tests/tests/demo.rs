//! The demo feed: a synthetic fleet with a past, forecast by the model at once, that plays what it is told.

use std::time::Duration;

use argus_e2e::{Daemon, Setup, eventually};
use serde_json::json;

#[test]
fn a_demo_fleet_is_forecast_and_plays_scenarios() -> anyhow::Result<()> {
    let config = "[step]\nstep_secs = 10\ngrace_secs = 1\n[self_source]\nenabled = false\n\
                  [demo]\nenabled = true\nservers = 8\ninterval_secs = 1\nhistory_hours = 1\n"
        .to_owned();
    let daemon = Daemon::start(Setup {
        config,
        ..Setup::default()
    })?;
    eventually(
        "forecasts of the whole fleet",
        Duration::from_secs(60),
        || {
            let all = daemon.get_ok("/predictions/current")?;
            let ready = all["predictions"].as_object().map_or(0, |servers| {
                servers
                    .values()
                    .filter(|server| server["forecast_state"] == "ready")
                    .count()
            });
            anyhow::ensure!(ready == 8, "{ready} of 8");
            Ok(())
        },
    )?;
    assert_eq!(daemon.get_ok("/scenario/status")?["scenario"], "healthy");

    let (status, answer) = daemon.post("/scenario/set", r#"{"scenario":"critical"}"#)?;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        (&answer["old_scenario"], &answer["affected_servers"]),
        (&json!("healthy"), &json!(2))
    );
    let playing = daemon.get_ok("/scenario/status")?;
    let affected: Vec<String> = serde_json::from_value(playing["affected_servers"].clone())?;
    eventually("the scenario shows", Duration::from_secs(90), || {
        for server in &affected {
            let now = daemon.get_ok(&format!("/predictions/{server}"))?;
            let memory = now["mem_used_pct"]["current"].as_f64();
            anyhow::ensure!(memory > Some(90.0), "{server}: {memory:?}");
        }
        Ok(())
    })?;
    Ok(())
}
