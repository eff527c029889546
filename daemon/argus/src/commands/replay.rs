//! `argus replay`: posts a trace through the public API, as any client would.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use argus_schema::Schema;
use argus_trace::{TraceRow, read_merged};
use serde_json::{Map, Value, json};

use crate::cli::{ReplayArgs, Speed};
use crate::exit::Outcome;
use crate::output;

/// Records per request at full speed; a paced replay posts one request per timestamp.
const BATCH_RECORDS: usize = 2_000;
/// Waits on 429 and 503 before giving up on one request.
const MAX_WAITS: usize = 120;

#[derive(Debug, Default)]
struct Counts {
    accepted: u64,
    identical: u64,
    rejected: BTreeMap<String, u64>,
    first_errors: Vec<String>,
}

/// Runs the command.
pub fn run(args: &ReplayArgs) -> anyhow::Result<Outcome> {
    let schema = Schema::server();
    let rows = read_merged(&args.file, &schema)
        .with_context(|| format!("read {}", args.file.display()))?;
    let total = rows.len() as u64;
    let bar = output::progress(total, "records");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let client = Poster::new(args)?;

    let mut counts = Counts::default();
    let mut batch: Vec<TraceRow> = Vec::new();
    let mut pace = Pace::new(args.speed);
    for row in rows {
        let full = match args.speed {
            Speed::Max => batch.len() >= BATCH_RECORDS,
            Speed::Times(_) => batch.last().is_some_and(|last| last.time_ms != row.time_ms),
        };
        if full {
            pace.wait_until(batch[0].time_ms);
            runtime.block_on(client.post(&schema, &batch, &mut counts))?;
            bar.inc(batch.len() as u64);
            batch.clear();
        }
        batch.push(row);
    }
    if let Some(first) = batch.first() {
        pace.wait_until(first.time_ms);
        runtime.block_on(client.post(&schema, &batch, &mut counts))?;
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok(report(args, total, &counts))
}

fn report(args: &ReplayArgs, total: u64, counts: &Counts) -> Outcome {
    let rejected: u64 = counts.rejected.values().sum();
    if args.json {
        output::line(json!({
            "records": total, "accepted": counts.accepted, "identical_duplicates": counts.identical,
            "rejected": rejected, "rejected_by_code": counts.rejected,
        }));
    } else {
        output::line(format_args!(
            "{total} records: {} accepted, {} identical duplicates, {rejected} rejected",
            counts.accepted, counts.identical
        ));
    }
    for error in &counts.first_errors {
        output::note(error);
    }
    if rejected == 0 {
        Outcome::Done
    } else {
        Outcome::No
    }
}

/// Keeps event time at a multiple of wall time.
struct Pace {
    speed: Speed,
    start: Option<(Instant, i64)>,
}

impl Pace {
    fn new(speed: Speed) -> Self {
        Self { speed, start: None }
    }

    fn wait_until(&mut self, time_ms: i64) {
        let Speed::Times(times) = self.speed else {
            return;
        };
        let (started, first_ms) = *self.start.get_or_insert((Instant::now(), time_ms));
        #[expect(
            clippy::cast_precision_loss,
            reason = "a pace needs no more than 2^52 ms"
        )]
        let due = Duration::from_secs_f64((time_ms - first_ms).max(0) as f64 / 1e3 / times);
        std::thread::sleep(due.saturating_sub(started.elapsed()));
    }
}

struct Poster {
    client: argus_outbound_http::Client,
    url: String,
    headers: Vec<(String, String)>,
}

impl Poster {
    fn new(args: &ReplayArgs) -> anyhow::Result<Self> {
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        headers.extend(
            args.key
                .iter()
                .map(|key| ("x-api-key".to_owned(), key.clone())),
        );
        let url = format!("{}/feed/data", args.url.trim_end_matches('/'));
        Ok(Self {
            client: argus_outbound_http::Client::trusted()?,
            url,
            headers,
        })
    }

    async fn post(
        &self,
        schema: &Schema,
        rows: &[TraceRow],
        counts: &mut Counts,
    ) -> anyhow::Result<()> {
        let records: Vec<Value> = rows.iter().map(|row| record(schema, row)).collect();
        let body =
            argus_outbound_http::Bytes::from(serde_json::to_vec(&json!({ "records": records }))?);
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        for _ in 0..MAX_WAITS {
            let answer = self.client.post(&self.url, &headers, body.clone()).await;
            let answer = answer
                .with_context(|| format!("post to {}; is the daemon running there?", self.url))?;
            match answer.status {
                200 | 422 => return counts.add(&answer.body),
                429 | 503 => tokio::time::sleep(retry_after(&answer)).await,
                status => {
                    let text = String::from_utf8_lossy(&answer.body);
                    bail!(
                        "{} answered {status}: {}",
                        self.url,
                        text.chars().take(400).collect::<String>()
                    );
                }
            }
        }
        bail!("{} asked to wait {MAX_WAITS} times in a row", self.url)
    }
}

fn retry_after(answer: &argus_outbound_http::Response) -> Duration {
    let said = answer
        .headers
        .get("retry-after")
        .and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(said.unwrap_or(1))
}

impl Counts {
    fn add(&mut self, body: &[u8]) -> anyhow::Result<()> {
        let answer: Value =
            serde_json::from_slice(body).context("the daemon's answer is no JSON")?;
        let Some(accepted) = answer["accepted"].as_u64() else {
            bail!("the daemon's answer has no `accepted`: {answer}");
        };
        self.accepted += accepted;
        for error in answer["errors"].as_array().into_iter().flatten() {
            if error["identical"] == true {
                self.identical += 1;
                continue;
            }
            *self
                .rejected
                .entry(error["code"].as_str().unwrap_or("unknown").to_owned())
                .or_default() += 1;
            if self.first_errors.len() < 5 {
                self.first_errors
                    .push(error["message"].as_str().unwrap_or_default().to_owned());
            }
        }
        // The daemon may list fewer errors than it counts; what it does not list is still no success.
        let listed = answer["errors"].as_array().map_or(0, Vec::len) as u64;
        let unlisted = answer["rejected"]
            .as_u64()
            .unwrap_or(0)
            .saturating_sub(listed);
        if unlisted > 0 {
            *self.rejected.entry("not listed".to_owned()).or_default() += unlisted;
        }
        Ok(())
    }
}

/// A record as a client writes it: absent metrics are left out, never sent as 0.
fn record(schema: &Schema, row: &TraceRow) -> Value {
    let mut fields = Map::new();
    fields.insert("timestamp".to_owned(), json!(row.time_ms));
    fields.insert("server_name".to_owned(), json!(&*row.server));
    for (metric, value) in schema.metrics.iter().zip(&row.values) {
        if !value.is_nan() {
            fields.insert(metric.name.clone(), json!(value));
        }
    }
    if let Some(status) = usize::from(row.status)
        .checked_sub(1)
        .and_then(|i| schema.statuses.get(i))
    {
        fields.insert("status".to_owned(), json!(status));
    }
    if let Some(profile) = row
        .profile
        .and_then(|code| schema.profiles.get(usize::from(code)))
    {
        fields.insert("profile".to_owned(), json!(profile.id));
    }
    if let Some(cores) = row.cores {
        fields.insert("cores".to_owned(), json!(cores));
    }
    Value::Object(fields)
}
