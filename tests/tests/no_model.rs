//! Without a model everything works but prediction, and prediction says why.

use std::time::Duration;

use argus_e2e::{Daemon, Setup, eventually};
use serde_json::json;

#[test]
fn ingest_works_and_predictions_answer_503_with_the_reason() -> anyhow::Result<()> {
    let nothing = tempfile::tempdir()?;
    let setup = Setup {
        models_dir: Some(nothing.path().to_path_buf()),
        ..Setup::default()
    };
    let mut daemon = Daemon::start(setup)?;
    let records: Vec<_> = (0..40)
        .map(|i| json!({"timestamp": 1_767_607_200 + i * 300, "server_name": "ppdb001", "mem_used_pct": 50 + i % 3}))
        .collect();
    daemon.feed(&records)?;

    for path in [
        "/predictions/current",
        "/predictions/ppdb001",
        "/predictions",
    ] {
        let (status, body) = daemon.get(path)?;
        assert_eq!(status, 503, "{path}: {body}");
        let detail = body["detail"].as_str().unwrap_or_default();
        let named = nothing.path().display().to_string();
        assert!(
            detail.contains("no model") && detail.contains(&named),
            "{path}: {detail}"
        );
    }
    let (status, _) = daemon.post("/predictions/ppdb001", "")?;
    assert_eq!(status, 503);

    let ready = daemon.get_ok("/-/ready")?;
    assert!(
        ready.to_string().contains("model"),
        "readiness tells of the missing model: {ready}"
    );
    eventually("the entity on /servers", Duration::from_secs(5), || {
        let servers = daemon.get_ok("/servers")?;
        anyhow::ensure!(servers.to_string().contains("ppdb001"), "{servers}");
        Ok(servers)
    })?;

    daemon.kill_and_restart()?;
    let servers = daemon.get_ok("/servers")?;
    assert!(
        servers.to_string().contains("ppdb001"),
        "known after a restart: {servers}"
    );
    Ok(())
}
