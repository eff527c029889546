//! `argus bench explain`: how long the shipped explainers take, and what readers notice of it.
//!
//! A daemon of its own, in a folder that is removed afterwards, is fed a day of many entities. Then each explainer is
//! asked about one server after the other over HTTP, once while nobody else asks anything and once beside a client that
//! reads `/predictions/current` all the time. No server is explained twice by the same explainer: nothing comes from the
//! cache.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use argus_outbound_http::{Bytes, Client, Method, Request};
use argus_schema::Schema;
use clap::Args;
use serde_json::{Map, Value, json};

use super::Machine;
use super::forecast::plausible_values;
use crate::cli::ModelSelection;
use crate::exit::Outcome;
use crate::output;

const EXPLAINERS: [&str; 3] = ["shap", "attention", "counterfactual"];
const STEPS: u32 = 288;
const STEP_MS: i64 = 300_000;
/// Entities in one body of records.
const FED_AT_ONCE: u32 = 30;
/// Reads of `/predictions/current` while nothing else happens.
const QUIET_READS: usize = 200;
const PATIENCE: Duration = Duration::from_secs(120);

/// `argus bench explain`.
#[derive(Debug, Args)]
pub struct ExplainBenchArgs {
    /// Entities that the daemon watches.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(60..=10_000))]
    pub entities: u32,
    /// Servers that are explained, alone and again others beside a reader.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=30))]
    pub servers: u32,
    /// Which model answers.
    #[command(flatten)]
    pub model: ModelSelection,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &ExplainBenchArgs) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let folder = std::env::temp_dir().join(format!("argus-bench-explain-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = runtime.block_on(measure(args, &folder));
    std::fs::remove_dir_all(&folder)?;
    let measured = measured?;
    // Measured last: its matrices would take the processor from the daemon.
    let machine = Machine::measure()?;
    report(args, &measured, &machine);
    Ok(Outcome::Done)
}

/// Milliseconds, sorted.
#[derive(Debug, Default)]
struct Times(Vec<f64>);

impl Times {
    fn new(mut ms: Vec<f64>) -> Self {
        ms.sort_by(f64::total_cmp);
        Self(ms)
    }

    /// The time that this share took at most.
    fn quantile(&self, share: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a position in a list of a few thousand"
        )]
        let place = (self.0.len() as f64 * share).ceil() as usize;
        let found = self.0.get(place.clamp(1, self.0.len().max(1)) - 1);
        found.copied().unwrap_or(f64::NAN)
    }

    fn json(&self) -> Value {
        json!({ "p50_ms": self.quantile(0.5), "p99_ms": self.quantile(0.99), "n": self.0.len() })
    }
}

#[derive(Debug)]
struct Measured {
    /// By explainer, then all three for one server.
    alone: [Times; 4],
    beside: [Times; 4],
    /// Runs of the model by `shap` and by `counterfactual`, the median server.
    evaluations: [f64; 2],
    quiet_reads: Times,
    reads: Times,
}

/// A daemon under measurement; ends with this.
struct Daemon {
    process: Child,
    url: String,
    client: Client,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended already needs no ending.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn measure(args: &ExplainBenchArgs, folder: &Path) -> anyhow::Result<Measured> {
    let daemon = Daemon::start(args, folder)?;
    daemon.feed(args.entities).await?;
    daemon.wait_for_forecasts(args.entities).await?;
    // The first call of a plugin finds cold caches, and the first of a profile makes its background.
    daemon.explain_all(args.entities - 1).await?;

    let mut evaluations = [Vec::new(), Vec::new()];
    let mut alone: [Vec<f64>; 4] = Default::default();
    for server in 0..args.servers {
        let (times, runs) = daemon.explain_all(server).await?;
        times
            .into_iter()
            .zip(&mut alone)
            .for_each(|(ms, all)| all.push(ms));
        runs.into_iter()
            .zip(&mut evaluations)
            .for_each(|(n, all)| all.push(n));
    }
    let mut quiet = Vec::new();
    for _ in 0..QUIET_READS {
        quiet.push(daemon.read().await?);
    }
    let done = AtomicBool::new(false);
    let explaining = async {
        let mut beside: [Vec<f64>; 4] = Default::default();
        for server in args.servers..2 * args.servers {
            let (times, _) = daemon.explain_all(server).await?;
            times
                .into_iter()
                .zip(&mut beside)
                .for_each(|(ms, all)| all.push(ms));
        }
        done.store(true, Ordering::Relaxed);
        anyhow::Ok(beside)
    };
    let reading = async {
        let mut reads = Vec::new();
        while !done.load(Ordering::Relaxed) {
            reads.push(daemon.read().await?);
            // A reader that never pauses would measure only itself.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(reads)
    };
    let (beside, reads) = tokio::try_join!(explaining, reading)?;
    Ok(Measured {
        alone: alone.map(Times::new),
        beside: beside.map(Times::new),
        evaluations: evaluations.map(|all| Times::new(all).quantile(0.5)),
        quiet_reads: Times::new(quiet),
        reads: Times::new(reads),
    })
}

impl Daemon {
    fn start(args: &ExplainBenchArgs, folder: &Path) -> anyhow::Result<Self> {
        let mut config =
            "[self_source]\nenabled = false\n[server]\nreads_per_minute = 1000000\n".to_owned();
        for name in EXPLAINERS {
            config += &format!("[plugins.{name}]\nkind = \"explainer\"\npath = \"{name}.wasm\"\n");
        }
        let file = folder.join("argus.toml");
        std::fs::write(&file, config)?;
        let log = std::fs::File::create(folder.join("log"))?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file);
        command.arg("--data-dir").arg(folder.join("data"));
        let model = |option: &str, dir: &Option<PathBuf>, command: &mut Command| {
            if let Some(dir) = dir {
                command.arg(option).arg(dir);
            }
        };
        model("--model", &args.model.model, &mut command);
        model("--models-dir", &args.model.models_dir, &mut command);
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn()?;
        let told = process.stdout.take().context("the daemon has no output")?;
        let mut lines = BufReader::new(told).lines().map_while(Result::ok);
        let url = lines.find_map(|line| {
            let (_, rest) = line.split_once("Argus is at ")?;
            rest.split_whitespace().next().map(str::to_owned)
        });
        let daemon = Self {
            process,
            url: url.unwrap_or_default(),
            client: Client::trusted()?,
        };
        if daemon.url.is_empty() {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            bail!("the daemon did not start: {log}");
        }
        Ok(daemon)
    }

    async fn feed(&self, entities: u32) -> anyhow::Result<()> {
        let schema = Schema::server();
        let newest = jiff::Timestamp::now().as_millisecond().div_euclid(STEP_MS) * STEP_MS;
        let bar = output::progress(u64::from(entities), "entities");
        for first in (0..entities).step_by(FED_AT_ONCE as usize) {
            let last = (first + FED_AT_ONCE).min(entities);
            let records: Vec<Value> = (first..last)
                .flat_map(|entity| (0..=STEPS).map(move |step| (entity, step)))
                .map(|(entity, step)| {
                    let at_ms = newest - i64::from(STEPS - step) * STEP_MS;
                    record(&schema, entity, step, at_ms)
                })
                .collect();
            let body = Bytes::from(serde_json::to_vec(&json!({ "records": records }))?);
            let url = format!("{}/feed/data", self.url);
            let headers = [("content-type", "application/json")];
            let answer = self.client.post(&url, &headers, body).await?;
            if answer.status != 200 {
                bail!("{}", String::from_utf8_lossy(&answer.body));
            }
            bar.inc(u64::from(last - first));
        }
        bar.finish_and_clear();
        Ok(())
    }

    async fn wait_for_forecasts(&self, entities: u32) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let (_, answer) = self.get("/status").await?;
            let status: Value = serde_json::from_slice(&answer)?;
            let ready = status["servers_ready"].as_u64().unwrap_or(0);
            // The last one's forecast is among the last to be made; before that it is not even known.
            if ready >= u64::from(entities) && self.is_forecast(entities - 1).await? {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                bail!("not all entities have a forecast after {PATIENCE:?}: {status}");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn is_forecast(&self, entity: u32) -> anyhow::Result<bool> {
        let (_, answer) = self.get(&format!("/predictions/{}", name(entity))).await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        Ok(answer["forecast_state"] == "ready")
    }

    /// Milliseconds by explainer and together, and how often two of them ran the model.
    async fn explain_all(&self, server: u32) -> anyhow::Result<([f64; 4], [f64; 2])> {
        let mut times = [0.0; 4];
        let mut runs = [0.0; 2];
        for (place, explainer) in EXPLAINERS.into_iter().enumerate() {
            let path = format!("/explain/{}?explainer={explainer}", name(server));
            let (ms, body) = self.get(&path).await?;
            let told: Value = serde_json::from_slice(&body)?;
            times[place] = ms;
            times[3] += ms;
            let counted = match explainer {
                "shap" => Some((0, &told["shap"]["evaluations"])),
                "counterfactual" => {
                    let details = &told["explanations"]["counterfactual"]["details"];
                    Some((1, &details["evaluations"]))
                }
                _ => None,
            };
            if let Some((place, count)) = counted {
                runs[place] = count.as_f64().unwrap_or(f64::NAN);
            }
        }
        Ok((times, runs))
    }

    async fn read(&self) -> anyhow::Result<f64> {
        Ok(self.get("/predictions/current").await?.0)
    }

    /// Milliseconds to the last byte, and the body.
    async fn get(&self, path: &str) -> anyhow::Result<(f64, Bytes)> {
        let mut request = Request::new(Method::GET, format!("{}{path}", self.url).parse()?);
        request.timeout = PATIENCE;
        request.max_response_bytes = 1 << 30;
        let started = Instant::now();
        let answer = self.client.send(request).await?;
        let ms = started.elapsed().as_secs_f64() * 1e3;
        if answer.status != 200 {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            bail!("GET {path} answered {}: {text}", answer.status);
        }
        Ok((ms, answer.body))
    }
}

fn name(entity: u32) -> String {
    format!("bench-{entity:05}")
}

fn record(schema: &Schema, entity: u32, step: u32, at_ms: i64) -> Value {
    let mut fields = Map::new();
    fields.insert("timestamp".to_owned(), json!(at_ms));
    fields.insert("server_name".to_owned(), json!(name(entity)));
    fields.insert("profile".to_owned(), json!("web_api"));
    let values = plausible_values(schema, entity, step);
    for (metric, value) in schema.metrics.iter().zip(values) {
        fields.insert(metric.name.clone(), json!(value));
    }
    Value::Object(fields)
}

fn report(args: &ExplainBenchArgs, measured: &Measured, machine: &Machine) {
    let Measured {
        alone,
        beside,
        evaluations,
        quiet_reads,
        reads,
    } = measured;
    let names = EXPLAINERS.into_iter().chain(["all three"]);
    if args.json {
        let by_name = |times: &[Times; 4]| -> Map<String, Value> {
            let named = names.clone().zip(times);
            named
                .map(|(name, times)| (name.replace(' ', "_"), times.json()))
                .collect()
        };
        output::line(json!({
            "entities": args.entities, "servers": args.servers, "alone": by_name(alone),
            "beside_reader": by_name(beside), "shap_evaluations": evaluations[0],
            "counterfactual_evaluations": evaluations[1], "predictions_current_quiet": quiet_reads.json(),
            "predictions_current_beside": reads.json(), "sgemm_gflops": machine.sgemm_gflops_2_threads,
            "sgemm_gflops_1_thread": machine.sgemm_gflops_1_thread,
        }));
        return;
    }
    output::line(format_args!(
        "{} entities, {} servers explained one after the other; milliseconds over HTTP, median (slowest of 100)",
        args.entities, args.servers
    ));
    for ((name, alone), beside) in names.zip(alone).zip(beside) {
        output::line(format_args!(
            "{name:>14}: {:6.1} ({:6.1}) alone, {:6.1} ({:6.1}) beside a reader",
            alone.quantile(0.5),
            alone.quantile(0.99),
            beside.quantile(0.5),
            beside.quantile(0.99)
        ));
    }
    output::line(format_args!(
        "runs of the model, median server: shap {:.0}, attention 1, counterfactual {:.0}",
        evaluations[0], evaluations[1]
    ));
    output::line(format_args!(
        "/predictions/current: {:.1} ({:.1}) alone, {:.1} ({:.1}) beside explanations ({} reads)",
        quiet_reads.quantile(0.5),
        quiet_reads.quantile(0.99),
        reads.quantile(0.5),
        reads.quantile(0.99),
        reads.0.len()
    ));
    output::line(format_args!(
        "sgemm in the same run: {:.0} GFLOP/s with 1 thread, {:.0} with 2",
        machine.sgemm_gflops_1_thread, machine.sgemm_gflops_2_threads
    ));
}
