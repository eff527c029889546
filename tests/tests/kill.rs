//! Acknowledged means on disk: 50 × SIGKILL while feeding loses nothing that was answered.
#![expect(clippy::print_stdout, reason = "figures of a run are for people")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argus_e2e::{Daemon, Setup};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

const KILLS: usize = 50;
const SEED: u64 = 20_260_105;
const SERVERS: usize = 20;
/// With 5 ms from record to record, 24 bins take 1.4 million records: more than the feeder can send.
const SPACING_MS: i64 = 5;
/// Records of a batch: several servers, several milliseconds, so that one group commit holds several entities.
const BATCH: usize = 40;

/// All timestamps lie within the newest 24 bins of 5 minutes, where duplicates are exact: a record is stored
/// if and only if sending it again is refused as an identical duplicate.
fn record(number: usize) -> Value {
    let base_ms: i64 = 1_767_607_200_000;
    json!({
        "timestamp": base_ms + i64::try_from(number).expect("small") * SPACING_MS,
        "server_name": format!("kill-{}", number % SERVERS),
        "cpu_user_pct": f64::from(u32::try_from(number % 97).expect("small")),
        "mem_used_pct": 40.5,
    })
}

#[test]
fn every_acknowledged_record_survives_fifty_kills() -> anyhow::Result<()> {
    println!("seed {SEED}");
    let mut rng = StdRng::seed_from_u64(SEED);
    let no_models = tempfile::tempdir()?;
    let setup = Setup {
        models_dir: Some(no_models.path().to_path_buf()),
        ..Setup::default()
    };
    let mut daemon = Daemon::start(setup)?;

    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let url = Arc::new(Mutex::new(daemon.url.clone()));
    let stop = Arc::new(AtomicBool::new(false));
    let feeder = std::thread::spawn({
        let (acknowledged, url, stop) = (
            Arc::clone(&acknowledged),
            Arc::clone(&url),
            Arc::clone(&stop),
        );
        move || feed(&acknowledged, &url, &stop)
    });
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(rng.random_range(5..120)));
        daemon.kill_and_restart()?;
        url.lock().expect("feeder is alive").clone_from(&daemon.url);
    }
    stop.store(true, Ordering::Relaxed);
    feeder.join().expect("feeder ends");

    let acknowledged = acknowledged.lock().expect("feeder ended").clone();
    println!(
        "{} records acknowledged across {KILLS} kills",
        acknowledged.len()
    );
    assert!(
        acknowledged.len() > KILLS * BATCH / 4,
        "only {} records got through",
        acknowledged.len()
    );
    for numbers in acknowledged.chunks(5_000) {
        let records: Vec<_> = numbers.iter().map(|n| record(*n)).collect();
        let (_, answer) = daemon.post("/feed/data", &json!({ "records": records }).to_string())?;
        let lost: Vec<_> = lost(&answer, numbers);
        assert!(
            lost.is_empty(),
            "records {lost:?} were acknowledged and lost"
        );
    }
    Ok(())
}

/// Numbers of the records that were not refused as identical duplicates.
fn lost(answer: &Value, numbers: &[usize]) -> Vec<usize> {
    let mut stored = vec![false; numbers.len()];
    for error in answer["errors"].as_array().into_iter().flatten() {
        let index = error["index"]
            .as_u64()
            .and_then(|i| usize::try_from(i).ok());
        if let Some(slot) = index.and_then(|i| stored.get_mut(i)) {
            *slot = error["code"] == "duplicate_timestamp" && error["identical"] == true;
        }
    }
    numbers
        .iter()
        .zip(stored)
        .filter(|(_, stored)| !stored)
        .map(|(n, _)| *n)
        .collect()
}

fn feed(acknowledged: &Mutex<Vec<usize>>, url: &Mutex<String>, stop: &AtomicBool) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .into();
    let mut next = 0;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(2));
        let numbers: Vec<usize> = (next..next + BATCH).collect();
        next += BATCH;
        let records: Vec<_> = numbers.iter().map(|n| record(*n)).collect();
        let to = format!("{}/feed/data", url.lock().expect("test is alive"));
        let Ok(mut answer) = agent.post(to).send_json(json!({ "records": records })) else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        let Ok(body) = answer.body_mut().read_json::<Value>() else {
            continue;
        };
        if answer.status() == 200 && body["accepted"] == BATCH {
            acknowledged.lock().expect("test is alive").extend(numbers);
        }
    }
}
