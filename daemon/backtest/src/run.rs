//! A whole backtest: some servers at a time, so that memory does not grow with the trace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use argus_alerts::AlertConfig;
use argus_trace::{
    ForecastWriter, Incident, LabelledSpan, ServerRows, check_writable, count_servers,
    read_servers, write_alerts,
};

use crate::bins::ServerBins;
use crate::chain::{Alert, Chain};
use crate::errors::BacktestError;
use crate::reliability::RiskTally;
use crate::replay::{Answer, Done, Replay};
use crate::report::{AlertSummary, Report, Seconds};
use crate::schedule::{self, Stroke};
use crate::scores::{Tally, deciles};
use crate::warnings;

/// Rows in memory at a time; a single server may have more. About 250 MB with 14 metrics.
const GROUP_ROWS: u64 = 2_000_000;
const WEEK_MS: f64 = 7.0 * 86_400_000.0;

/// When servers are forecast.
#[derive(Debug, Clone)]
pub enum Origins {
    /// Every so many seconds, a multiple of the step.
    Every(u32),
    /// At listed origins: start of the last bin to see, ms since the epoch, by server.
    Listed(BTreeMap<String, Vec<i64>>),
}

/// Known incidents to judge the alerts by.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    /// What went wrong.
    pub incidents: Vec<Incident>,
    /// Over which time somebody looked; empty: over all of the trace.
    pub labelled: Vec<LabelledSpan>,
    /// Minutes at the start of each span in which nothing is judged.
    pub warm_up_minutes: i64,
}

/// What to replay, and what to write.
pub struct Request {
    /// The trace's files; see [`argus_trace::trace_files`].
    pub files: Vec<PathBuf>,
    /// When servers are forecast.
    pub origins: Origins,
    /// When alerts fire and resolve.
    pub alerts: AlertConfig,
    /// Known incidents, if any.
    pub truth: Option<Truth>,
    /// Where every forecast is written.
    pub forecasts_to: Option<PathBuf>,
    /// Where every alert is written.
    pub alerts_to: Option<PathBuf>,
}

impl Origins {
    pub(crate) fn mentions(&self, server: &str) -> bool {
        match self {
            Self::Every(_) => true,
            Self::Listed(listed) => listed.contains_key(server),
        }
    }
}

/// Progress of a backtest.
pub trait Progress {
    /// About so many forecasts will be made.
    fn begin(&mut self, forecasts: u64);
    /// So many more were made.
    fn advance(&mut self, forecasts: u64);
}

/// Replays a trace through the model and the alert chain, and judges both.
///
/// # Errors
/// When the trace cannot be read, an output not written, the model or the alert engine fails, or no server has enough
/// context.
pub fn backtest(
    replay: &Replay,
    request: &Request,
    progress: &mut dyn Progress,
) -> Result<Report, BacktestError> {
    let started = Instant::now();
    if let Origins::Every(every_secs) = request.origins {
        check_stride(every_secs, replay.step_secs)?;
    }
    if let Some(path) = &request.alerts_to {
        check_writable(path)?;
    }
    let counts = count_servers(&request.files, &replay.schema)?;
    progress.begin(expected(&counts, &request.origins));
    let mut run = Run::new(replay, request)?;
    for group in groups(&counts, |name| request.origins.mentions(name)) {
        let series = read_servers(&request.files, &replay.schema, &group)?;
        run.group(&replay.bins(series)?, progress)?;
    }
    let mut report = run.finish(&counts)?;
    report.seconds.total = started.elapsed().as_secs_f64();
    report.seconds.outside_model = report.seconds.total - report.seconds.model;
    Ok(report)
}

pub(crate) fn check_stride(every_secs: u32, step_secs: u32) -> Result<(), BacktestError> {
    match every_secs > 0 && every_secs.is_multiple_of(step_secs) {
        true => Ok(()),
        false => Err(BacktestError::Stride {
            every_secs,
            step_secs,
        }),
    }
}

/// About how many forecasts a trace gives.
pub(crate) fn expected(counts: &BTreeMap<String, ServerRows>, origins: &Origins) -> u64 {
    match origins {
        Origins::Every(secs) => {
            let every_ms = i64::from(*secs) * 1000;
            let strokes = |rows: &ServerRows| (rows.last_ms - rows.first_ms) / every_ms + 1;
            let of_server = |rows: &ServerRows| u64::try_from(strokes(rows)).unwrap_or(0);
            counts
                .values()
                .map(|rows| of_server(rows).min(rows.rows))
                .sum()
        }
        Origins::Listed(listed) => listed.values().map(|bins| bins.len() as u64).sum(),
    }
}

/// Wanted servers that are read together, so that memory does not grow with the trace.
pub fn groups(
    counts: &BTreeMap<String, ServerRows>,
    is_wanted: impl Fn(&str) -> bool,
) -> Vec<BTreeSet<String>> {
    let mut groups: Vec<BTreeSet<String>> = Vec::new();
    let mut rows = u64::MAX;
    for (name, count) in counts {
        if !is_wanted(name) {
            continue;
        }
        rows = rows.saturating_add(count.rows);
        if rows > GROUP_ROWS {
            groups.push(BTreeSet::new());
            rows = count.rows;
        }
        if let Some(group) = groups.last_mut() {
            group.insert(name.clone());
        }
    }
    groups
}

struct Run<'a> {
    replay: &'a Replay,
    request: &'a Request,
    forecasts: Option<ForecastWriter>,
    tally: Tally,
    risk: RiskTally,
    alerts: Vec<Alert>,
    done: Done,
    servers: usize,
    outside: usize,
    out_of_range: usize,
    /// First and last origin, ms since the epoch.
    span: Option<(i64, i64)>,
    /// Replayed span of each server.
    spans: BTreeMap<String, (i64, i64)>,
    /// Bins with data from the first origin of each server that was answered to the last.
    replayed_bins: u64,
}

impl<'a> Run<'a> {
    fn new(replay: &'a Replay, request: &'a Request) -> Result<Self, BacktestError> {
        let levels = replay.model.model.quantile_levels();
        let forecasts = request.forecasts_to.as_deref().map(ForecastWriter::create);
        Ok(Self {
            replay,
            request,
            forecasts: forecasts.transpose()?,
            tally: Tally::new(&replay.schema, levels, replay.step_secs),
            risk: RiskTally::default(),
            alerts: Vec::new(),
            done: Done::default(),
            servers: 0,
            outside: 0,
            out_of_range: 0,
            span: None,
            spans: BTreeMap::new(),
            replayed_bins: 0,
        })
    }

    fn strokes(&mut self, server: &ServerBins) -> Vec<Stroke> {
        let step_ms = self.replay.step_ms();
        match &self.request.origins {
            Origins::Every(secs) => {
                let steps = i64::from(secs / self.replay.step_secs);
                schedule::strided(server, steps, step_ms)
            }
            Origins::Listed(listed) => {
                let origins = listed
                    .get(server.name.as_str())
                    .map_or(&[][..], Vec::as_slice);
                let bins: Vec<i64> = origins.iter().map(|ms| ms.div_euclid(step_ms)).collect();
                let (strokes, outside) = schedule::listed(server, &bins, step_ms);
                self.outside += outside;
                strokes
            }
        }
    }

    fn group(
        &mut self,
        servers: &[ServerBins],
        progress: &mut dyn Progress,
    ) -> Result<(), BacktestError> {
        let step_ms = self.replay.step_ms();
        let mut strokes: Vec<(usize, Stroke)> = Vec::new();
        for (index, server) in servers.iter().enumerate() {
            self.out_of_range += server.out_of_range;
            let of_server = self.strokes(server);
            let end = server.first_bin + i64::try_from(server.len()).unwrap_or(0);
            let span = (server.first_bin * step_ms, end * step_ms);
            self.spans.insert(server.name.to_string(), span);
            strokes.extend(of_server.into_iter().map(|stroke| (index, stroke)));
        }
        let replay = self.replay;
        let empty = Tally::new(
            &replay.schema,
            replay.model.model.quantile_levels(),
            replay.step_secs,
        );
        let score = |answers: &[Answer<'_>]| {
            let (mut tally, mut risk) = (empty.clone(), RiskTally::default());
            for answer in answers {
                tally.add(answer);
                risk.add(replay, answer);
            }
            (tally, risk)
        };
        let mut chain: Option<(usize, Chain<'_>)> = None;
        // First and last origin that was answered, by server.
        let mut answered: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        let done = replay.run(servers, &strokes, score, |answers, (tally, risk)| {
            self.tally.merge(&tally);
            self.risk.merge(&risk);
            for answer in answers {
                self.write(answer)?;
                let bin = answer.forecast.origin_ms.div_euclid(step_ms);
                let origin = servers[answer.index].position(bin).unwrap_or(0);
                let span = answered.entry(answer.index).or_insert((origin, origin));
                span.1 = origin;
                if chain
                    .as_ref()
                    .is_none_or(|(index, _)| *index != answer.index)
                {
                    self.close(chain.take())?;
                    let server = &servers[answer.index];
                    let alerts = &self.request.alerts;
                    let next = Chain::new(&replay.schema, server, alerts, replay.step_secs)?;
                    chain = Some((answer.index, next));
                    self.servers += 1;
                }
                if let Some((_, chain)) = &mut chain {
                    chain.add(answer)?;
                }
                let origin_ms = answer.forecast.origin_ms;
                let (first, last) = self.span.unwrap_or((origin_ms, origin_ms));
                self.span = Some((first.min(origin_ms), last.max(origin_ms)));
            }
            progress.advance(answers.len() as u64);
            Ok::<_, BacktestError>(())
        })?;
        self.close(chain)?;
        for (index, (first, last)) in answered {
            self.replayed_bins += u64::from(servers[index].with_data(first, last + 1));
        }
        self.done.forecasts += done.forecasts;
        self.done.too_short += done.too_short;
        self.done.in_model += done.in_model;
        Ok(())
    }

    fn write(&mut self, answer: &Answer<'_>) -> Result<(), BacktestError> {
        let Some(writer) = &mut self.forecasts else {
            return Ok(());
        };
        let forecast = &answer.forecast;
        for (column, metric) in self.replay.schema.metrics.iter().enumerate() {
            let name = forecast.entity.as_str();
            writer.write(
                name,
                forecast.origin_ms,
                &metric.name,
                deciles(forecast, column),
            )?;
        }
        Ok(())
    }

    fn close(&mut self, chain: Option<(usize, Chain<'_>)>) -> Result<(), BacktestError> {
        if let Some((_, chain)) = chain {
            self.alerts.extend(chain.finish()?);
        }
        Ok(())
    }

    fn finish(mut self, counts: &BTreeMap<String, ServerRows>) -> Result<Report, BacktestError> {
        let Some((from, to)) = self.span else {
            // The writer is dropped unfinished, so that no empty file looks like an answer.
            return Err(BacktestError::Nothing {
                needed: argus_forecast::MIN_CONTEXT_BINS,
            });
        };
        if let Some(writer) = self.forecasts.take() {
            writer.finish()?;
        }
        self.alerts.sort_by(|a, b| {
            let key = |alert: &'_ Alert| (alert.fired.at_ms, alert.fired.server.clone());
            key(a).cmp(&key(b))
        });
        if let Some(path) = &self.request.alerts_to {
            let fired: Vec<_> = self
                .alerts
                .iter()
                .map(|alert| alert.fired.clone())
                .collect();
            write_alerts(path, &fired)?;
        }
        if let Origins::Listed(listed) = &self.request.origins {
            let unknown = listed
                .iter()
                .filter(|(name, _)| !counts.contains_key(*name));
            self.outside += unknown.map(|(_, origins)| origins.len()).sum::<usize>();
        }
        if let Some(truth) = &self.request.truth {
            let incidents = truth.incidents.iter().map(|incident| &incident.server);
            let labelled = truth.labelled.iter().map(|span| &span.server);
            let is_strange = |name: &&String| !self.spans.contains_key(*name);
            let strangers: BTreeSet<_> = incidents.chain(labelled).filter(is_strange).collect();
            if !strangers.is_empty() {
                tracing::warn!(
                    servers = strangers.len(),
                    "some incidents or labelled spans are of servers that were not replayed: not judged"
                );
            }
        }
        let weeks = self.replayed_bins as f64 * self.replay.step_ms() as f64 / WEEK_MS;
        let every_secs = match self.request.origins {
            Origins::Every(secs) => Some(secs),
            Origins::Listed(_) => None,
        };
        Ok(Report {
            model: self.replay.model.id.path.clone(),
            weights_sha256: self.replay.model.id.weights_sha256.clone(),
            servers: self.servers,
            forecasts: self.done.forecasts,
            too_little_context: self.done.too_short,
            unknown_origins: self.outside,
            values_out_of_range: self.out_of_range,
            step_secs: self.replay.step_secs,
            every_secs,
            from: rfc3339(from),
            to: rfc3339(to),
            scores: self.tally.scores(&self.replay.schema),
            calibration: self.replay.model.calibration.kind(),
            risk: self.risk.scores(),
            alerts: AlertSummary::new(&self.alerts, self.request.alerts.for_strikes, weeks),
            incidents: self
                .request
                .truth
                .as_ref()
                .map(|truth| self.warnings(truth)),
            seconds: Seconds {
                model: self.done.in_model.as_secs_f64(),
                ..Seconds::default()
            },
        })
    }

    fn warnings(&self, truth: &Truth) -> warnings::Warnings {
        let alerts: Vec<(&str, i64)> = self
            .alerts
            .iter()
            .map(|alert| (alert.fired.server.as_str(), alert.fired.at_ms))
            .collect();
        let whole = match truth.labelled.is_empty() {
            true => warnings::whole(&self.spans),
            false => {
                let is_replayed = |span: &&LabelledSpan| self.spans.contains_key(&span.server);
                truth.labelled.iter().filter(is_replayed).cloned().collect()
            }
        };
        warnings::judge(&alerts, &truth.incidents, &whole, truth.warm_up_minutes)
    }
}

fn rfc3339(time_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(time_ms)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string()
}
