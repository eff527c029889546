//! `argus train` killed with SIGKILL at random moments ends with the very weights of a run that nobody disturbed.
//!
//! The small run is part of the tests. The large one shows what is promised of memory too and takes about five minutes:
//! `cargo test --release -p argus --test train_killed -- --ignored --nocapture`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a measurement says what it measured")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A run and how often it is killed.
struct Trial {
    servers: u32,
    days: u32,
    options: Vec<String>,
    kills: u32,
}

/// What a process used and did.
#[derive(Debug, Default)]
struct Seen {
    /// Resident memory in MiB, twice a second.
    rss_mib: Vec<u64>,
    wall: Duration,
}

impl Seen {
    /// Greatest resident memory in some part of the run, in MiB.
    fn most(&self, from: f64, to: f64) -> u64 {
        let place = |share: f64| (share * self.rss_mib.len() as f64) as usize;
        let part = &self.rss_mib[place(from)..place(to)];
        part.iter().copied().max().unwrap_or(0)
    }
}

fn argus() -> Command {
    Command::new(env!("CARGO_BIN_EXE_argus"))
}

fn generate(trial: &Trial, trace: &Path) {
    let (servers, days) = (trial.servers.to_string(), trial.days.to_string());
    let made = argus()
        .args(["generate", "--servers", &servers, "--days", &days])
        .arg("--output")
        .arg(trace)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

fn start(trial: &Trial, trace: &Path, output: &Path) -> Child {
    fs::create_dir_all(output).unwrap();
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(output.join("log"))
        .unwrap();
    argus()
        .arg("train")
        .arg("--input")
        .arg(trace)
        .arg("--output")
        .arg(output)
        .arg("--progress-json")
        .arg(output.join("progress.json"))
        .args(&trial.options)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Follows a process until it ends, or kills it after a while.
fn follow(mut child: Child, kill_after: Option<Duration>, output: &Path) -> Option<Seen> {
    let (started, mut seen) = (Instant::now(), Seen::default());
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let log = fs::read_to_string(output.join("log")).unwrap();
            assert!(status.success(), "{status}: {log}");
            seen.wall = started.elapsed();
            return Some(seen);
        }
        if kill_after.is_some_and(|after| started.elapsed() >= after) {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss = rss.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        seen.rss_mib.extend(rss.map(|kib| kib / 1_024));
        // Moments of kills are shares of the time that the undisturbed run took, so that has to be exact.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a run keeps in its output folder until it is done.
const WORK_FOLDER: &str = ".argus.training";

fn models(output: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(output).unwrap().map(|e| e.unwrap().path());
    entries
        .filter(|path| path.join("model.safetensors").exists())
        .collect()
}

/// The one model in a folder.
fn model(output: &Path) -> PathBuf {
    let models = models(output);
    assert_eq!(models.len(), 1, "{models:?}");
    models[0].clone()
}

/// Undisturbed, then disturbed. Returns what the undisturbed run used.
fn try_out(trial: &Trial) -> Seen {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = u64::from(seed.subsec_nanos());
    eprintln!("seed of the moments: {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("fleet.parquet");
    generate(trial, &trace);
    let (whole, cut) = (dir.path().join("whole"), dir.path().join("cut"));
    let seen = follow(start(trial, &trace, &whole), None, &whole).unwrap();
    eprintln!("undisturbed: {:.1} s", seen.wall.as_secs_f64());

    let mut ended_early = false;
    for kill in 0..trial.kills {
        let after = seen.wall.mul_f64(rng.random_range(0.02..0.6));
        let child = start(trial, &trace, &cut);
        // A run that was killed on its way out has done its work; one more would be a new one.
        let is_whole = |cut: &Path| !cut.join(WORK_FOLDER).exists() && !models(cut).is_empty();
        if follow(child, Some(after), &cut).is_some() || is_whole(&cut) {
            ended_early = true;
            break;
        }
        let progress = fs::read_to_string(cut.join("progress.json")).unwrap_or_default();
        eprintln!("kill {kill} after {:.1} s: {progress}", after.as_secs_f64());
    }
    if !ended_early {
        follow(start(trial, &trace, &cut), None, &cut).unwrap();
    }
    let weights = |output: &Path| fs::read(model(output).join("model.safetensors")).unwrap();
    assert!(
        weights(&whole) == weights(&cut),
        "the weights of the disturbed run differ"
    );
    assert!(
        !cut.join(WORK_FOLDER).exists(),
        "the work folder is removed"
    );
    let log = fs::read_to_string(cut.join("log")).unwrap();
    assert!(log.contains("goes on from its checkpoint"), "{log}");
    seen
}

fn options(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_killed_run_ends_with_the_same_weights() {
    try_out(&Trial {
        servers: 3,
        days: 4,
        options: options(
            "--max-steps 300 --batch-windows 4 --pass-windows 2 --threads 2 --hidden-size 8 --attention-heads 2
             --continuous-size 4 --direct-width 4 --direct-blocks 1 --validate-every 100 --chunk-secs 1800
             --epoch-share 0.05",
        ),
        kills: 4,
    });
}

/// 10.5 million rows: 670 MB even without names and statuses.
#[test]
#[ignore = "takes minutes and gigabytes"]
fn memory_stays_flat_on_a_large_trace() {
    let seen = try_out(&Trial {
        servers: 365,
        days: 100,
        options: options(
            "--memory-mb 64 --max-steps 300 --batch-windows 32 --threads 2 --hidden-size 32 --attention-heads 4
             --continuous-size 8 --lag 288 --validate-every 100",
        ),
        kills: 10,
    });
    let parts = [0.0, 0.25, 0.5, 0.75].map(|from| seen.most(from, from + 0.25));
    eprintln!("most resident memory in each quarter, MiB: {parts:?}");
    assert!(parts.iter().all(|mib| *mib <= 1_024), "{parts:?}");
}
